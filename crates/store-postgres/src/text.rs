//! Text in and out of columns.
//!
//! PostgreSQL keeps every character but NUL, and names from outside may have one. So U+F0000, a private character that means
//! nothing, stands before a `0` for NUL and before itself for itself. No other text changes.

use std::borrow::Cow;
use std::error::Error;

use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

const ESCAPE: char = '\u{F0000}';

/// Text in the form of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text<S>(pub(crate) S);

impl<S> Text<S> {
    /// As the columns of several rows.
    pub(crate) fn all(texts: impl IntoIterator<Item = S>) -> Vec<Self> {
        texts.into_iter().map(Self).collect()
    }
}

impl<S: AsRef<str> + std::fmt::Debug> ToSql for Text<S> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        escaped(self.0.as_ref()).as_ref().to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        <&str as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Text<String> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        <&str as FromSql>::from_sql(ty, raw).map(|text| Self(plain(text)))
    }

    fn accepts(ty: &Type) -> bool {
        <&str as FromSql>::accepts(ty)
    }
}

/// An optional text in the form of a column.
pub(crate) fn maybe<S>(text: Option<S>) -> Option<Text<S>> {
    text.map(Text)
}

fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for one in text.chars() {
        match one {
            '\0' => out.extend([ESCAPE, '0']),
            ESCAPE => out.extend([ESCAPE, ESCAPE]),
            one => out.push(one),
        }
    }
    Cow::Owned(out)
}

fn plain(text: &str) -> String {
    if !text.contains(ESCAPE) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(one) = rest.next() {
        match one {
            ESCAPE => out.push(rest.next().filter(|next| *next != '0').unwrap_or('\0')),
            one => out.push(one),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_and_no_two_become_one() {
        let texts = ["", "plain", "ü", "\0", "a\0b\0", "\u{F0000}", "\u{F0000}0", "\0\u{F0000}", "0", "\u{F0000}\0"];
        let kept: Vec<String> = texts.iter().map(|text| escaped(text).into_owned()).collect();
        for (text, kept) in texts.iter().zip(&kept) {
            assert!(!kept.contains('\0'), "{kept:?}");
            assert_eq!(plain(kept), *text);
        }
        assert_eq!(kept.iter().collect::<std::collections::HashSet<_>>().len(), texts.len());
        assert!(matches!(escaped("plain"), Cow::Borrowed(_)));
    }
}
