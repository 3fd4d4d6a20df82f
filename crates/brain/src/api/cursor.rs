//! Pages: how long they are, and where the next one begins.

use std::fmt::Display;
use std::str::FromStr;

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use utoipa::IntoParams;

use super::problem::Problem;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

/// What a cursor looks like inside, so that a cursor of another list or another version is refused rather than misread.
#[derive(Clone, Copy, Debug)]
pub(super) enum CursorKind {
    /// Tasks: the key of the last one.
    Tasks,
    /// A list with a cursor of the store's own.
    Store,
    /// Events of a task: how many were seen.
    Events,
    /// Schedules: scheduler and id of the last one.
    Schedules,
}

impl CursorKind {
    fn tag(self) -> &'static str {
        match self {
            Self::Tasks => "t1:",
            Self::Store => "s1:",
            Self::Events => "e1:",
            Self::Schedules => "c1:",
        }
    }

    /// The cursor as callers see it.
    pub(super) fn seal(self, position: impl Display) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}{position}", self.tag()))
    }

    /// Reads a cursor that a caller sent back.
    pub(super) fn open<T: FromStr>(self, cursor: &str) -> Result<T, Problem> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let position = text.as_deref().and_then(|text| text.strip_prefix(self.tag())).and_then(|p| p.parse().ok());
        position.ok_or_else(|| {
            let detail = "The cursor is not one of this list; use next_cursor of the page before, or leave it out.";
            Problem::new(StatusCode::BAD_REQUEST, "bad_cursor", detail)
        })
    }
}

/// Which page of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParams {
    /// Items per page: 1 to 200, normally 50.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl PageParams {
    /// Items per page.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if (1..=MAX_LIMIT).contains(&limit) {
            return Ok(limit);
        }
        let detail = format!("limit is {limit}; it must be from 1 to {MAX_LIMIT}.");
        Err(Problem::new(StatusCode::BAD_REQUEST, "bad_limit", detail))
    }

    /// Where the page before ended.
    pub(super) fn position<T: FromStr>(&self, kind: CursorKind) -> Result<Option<T>, Problem> {
        self.cursor.as_deref().filter(|cursor| !cursor.is_empty()).map(|cursor| kind.open(cursor)).transpose()
    }

    /// The page as lists with a cursor of the store's own take it.
    pub(super) fn store_page(&self) -> Result<taskplane_store::tasks::Page, Problem> {
        Ok(taskplane_store::tasks::Page { limit: self.limit()?, cursor: self.position(CursorKind::Store)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let sealed = CursorKind::Tasks.seal(-42);
        assert_eq!(CursorKind::Tasks.open::<i64>(&sealed).ok(), Some(-42));
        let sealed = CursorKind::Store.seal("2026:7");
        assert_eq!(CursorKind::Store.open::<String>(&sealed).ok().as_deref(), Some("2026:7"));
    }

    #[test]
    fn other_text_is_not_a_cursor() {
        for text in ["", "42", "****", &CursorKind::Events.seal(1), &CursorKind::Tasks.seal("x")] {
            assert!(CursorKind::Tasks.open::<i64>(text).is_err(), "{text}");
        }
    }
}
