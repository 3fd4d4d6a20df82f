//! Forms of secrets and personal data that are known by their look.

use std::borrow::Cow;
use std::ops::Range;

use regex::{Captures, Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::assignment::secret_values;
use super::keys::SecretKeys;
use super::luhn::holds_card_number;
use super::marker::{CARD, EMAIL, JWT, REDACTED, URL_CREDENTIALS};

/// Most memory one compiled rule may take, in bytes; bounds what configuration can ask for.
const RULE_SIZE_LIMIT: usize = 2 << 20;

/// Says of a match whether it counts.
type Check = fn(&str) -> bool;

/// What a match is replaced by, and when it counts.
struct Rule {
    regex: Regex,
    marker: &'static str,
    /// What a regular expression cannot say.
    counts: Check,
}

/// A match in a value.
pub(super) struct Found {
    /// What to write instead.
    pub(super) marker: &'static str,
    /// Where it is.
    pub(super) range: Range<usize>,
}

/// All forms: one pass of the set over a text says which rules are worth a look.
pub(super) struct Patterns {
    set: RegexSet,
    rules: Vec<Rule>,
}

/// In this order: what may contain other forms comes before them. Word boundaries are ASCII's: with those of Unicode, text
/// that is not ASCII is searched a hundred times slower.
const BUILT_IN: &[(&str, &str, Check)] = &[
    (PRIVATE_KEY, REDACTED, always),
    (URL, URL_CREDENTIALS, always),
    (r"eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){0,3}", JWT, always),
    (r"(?i)(?-u:\b)(?:bearer\s+)+[A-Za-z0-9._~+/=:-]{4,}", REDACTED, is_bearer),
    (r"(?i)(?-u:\b)(?:basic|digest|negotiate|token|apikey)\s+[A-Za-z0-9._~+/=:-]{8,}", REDACTED, is_credential),
    (NAMED_ELSEWHERE, REDACTED, always),
    (VENDOR_KEY, REDACTED, always),
    (r"[A-Za-z0-9/+]{40,}", REDACTED, is_random_key),
    (r#"(?:"[^"\n]{1,64}"|[\w.%+'-]+)(?:@|%40)\w[\w-]*(?:\.[\w-]+)+"#, EMAIL, always),
    (r"[0-9](?:[ -]?[0-9]){12,}", CARD, holds_card_number),
];

/// Position of [`PRIVATE_KEY`] in [`BUILT_IN`].
const PRIVATE_KEY_RULE: usize = 0;

/// Also when the end is missing: then to the end of the text.
const PRIVATE_KEY: &str =
    r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|\z)";

/// `scheme://user@` and `scheme://user:password@`, where the password may have anything but white space in it.
const URL: &str = r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://(?:[^\s/?#@<>:]+|[^\s/@:<>]*:\S*)@";

/// A secret that is named in another way than by `:` or `=`: an option of a command line (`--db-password x`), an element
/// (`<password>x`), a query that was encoded (`token%3Dx`), an arrow (`password -> x`).
const NAMED_ELSEWHERE: &str = concat!(
    r"(?i)(?:--?[A-Za-z0-9_-]*(?:password|passwd|passphrase|secret|token|api[_-]?key)[A-Za-z0-9_-]*\s+[^\s-]\S*",
    r"|<[A-Za-z0-9_:-]*(?:password|passwd|passphrase|secret|token|api[_-]?key)[A-Za-z0-9_:-]*>[^<\s][^<]*",
    r"|[A-Za-z0-9_-]*(?:password|passwd|passphrase|secret|token|api[_-]?key)[A-Za-z0-9_-]*(?:%3D|\s*->\s*)[^\s&%]+)",
);

/// Keys that their vendors made recognisable: clouds, version control, payment, mail, chat.
const VENDOR_KEY: &str = concat!(
    r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA|AIPA|ANPA|ANVA|APKA)[A-Z0-9]{12,}",
    r"|AIza[0-9A-Za-z_-]{30,}|ya29\.[0-9A-Za-z_-]{10,}|GOCSPX-[0-9A-Za-z_-]{20,}",
    r"|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|gl[a-z]{2,5}-[A-Za-z0-9_-]{16,}|ATATT[A-Za-z0-9_=-]{16,}|ATBB[A-Za-z0-9]{20,}",
    r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{8,}|whsec_[A-Za-z0-9+/=]{16,}|sq0[a-z]{3}-[A-Za-z0-9_-]{16,}|EAAA[A-Za-z0-9_-]{48,}",
    r"|access_token\$[a-z]+\$[0-9a-z]{8,}\$[0-9a-f]{16,}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{24,}",
    r"|xox[a-z]-[A-Za-z0-9-]{8,}|xapp-[A-Za-z0-9-]{16,}|hooks\.slack\.com/services/[A-Za-z0-9/]{16,}|[0-9]{8,10}:AA[A-Za-z0-9_-]{30,}",
    r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|key-[0-9a-f]{32}|(?:SK|AC)[0-9a-f]{32}|[0-9a-f]{32}-us[0-9]{1,2}",
    r"|sk-[A-Za-z0-9_-]{20,}|npm_[A-Za-z0-9]{20,}|pypi-[A-Za-z0-9_-]{40,}|rubygems_[0-9a-f]{40,}|do[opr]_v1_[0-9a-f]{32,}|hf_[A-Za-z0-9]{24,}",
    r"|hv[sbr]\.[A-Za-z0-9_-]{20,}|dapi[0-9a-f]{32}|AGE-SECRET-KEY-1[0-9A-Z]{20,}|[?&]sig=[A-Za-z0-9%/+=-]{16,}",
);

impl Patterns {
    /// The built-in forms and `extra` ones from configuration, which are replaced by `<redacted>`.
    pub(super) fn new(extra: &[String]) -> Result<Self, regex::Error> {
        let built_in = BUILT_IN.iter().map(|(text, marker, counts)| (*text, *marker, *counts));
        let added = extra.iter().map(|text| (text.as_str(), REDACTED, always as Check));
        let sources: Vec<_> = built_in.chain(added).collect();
        let rule = |(text, marker, counts): &(&str, &'static str, Check)| {
            let regex = RegexBuilder::new(text).size_limit(RULE_SIZE_LIMIT).build()?;
            Ok(Rule { regex, marker, counts: *counts })
        };
        let set = RegexSetBuilder::new(sources.iter().map(|(text, ..)| text))
            .size_limit(RULE_SIZE_LIMIT * sources.len())
            .build()?;
        Ok(Self { set, rules: sources.iter().map(rule).collect::<Result<_, regex::Error>>()? })
    }

    /// The first form found in `text`, by order of the rules.
    pub(super) fn find(&self, text: &str, keys: &SecretKeys) -> Option<Found> {
        let by_look = self.set.matches(text).iter().find_map(|index| {
            let rule = self.rules.get(index)?;
            let hit = rule.regex.find_iter(text).find(|hit| counts(rule, hit.as_str()))?;
            Some(Found { marker: rule.marker, range: hit.range() })
        });
        by_look.or_else(|| {
            let range = secret_values(text, keys).into_iter().next()?;
            Some(Found { marker: REDACTED, range })
        })
    }

    /// `text` with every form replaced in place.
    pub(super) fn scrub<'t>(&self, text: &'t str, keys: &SecretKeys) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        // A key block spans lines, which would end a named value: it goes first. A named value hides whatever is in it.
        if self.set.matches(&text).matched(PRIVATE_KEY_RULE)
            && let Some(rule) = self.rules.get(PRIVATE_KEY_RULE)
        {
            text = Cow::Owned(replace(rule, &text));
        }
        if let Some(hidden) = without_named_values(&text, keys) {
            text = Cow::Owned(hidden);
        }
        for index in &self.set.matches(&text) {
            if let Some(rule) = self.rules.get(index) {
                text = Cow::Owned(replace(rule, &text));
            }
        }
        text
    }
}

fn counts(rule: &Rule, hit: &str) -> bool {
    // An expression from configuration may match nothing at all, everywhere.
    !hit.is_empty() && (rule.counts)(hit)
}

fn replace(rule: &Rule, text: &str) -> String {
    let by = |hit: &Captures<'_>| match (&hit[0], hit.name("scheme")) {
        (all, _) if !counts(rule, all) => all.to_owned(),
        (_, Some(scheme)) if rule.marker == URL_CREDENTIALS => format!("{}://{URL_CREDENTIALS}@", scheme.as_str()),
        _ => rule.marker.to_owned(),
    };
    rule.regex.replace_all(text, by).into_owned()
}

fn without_named_values(text: &str, keys: &SecretKeys) -> Option<String> {
    let values = secret_values(text, keys);
    values.first()?;
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for value in values {
        out.push_str(&text[from..value.start]);
        out.push_str(REDACTED);
        from = value.end;
    }
    out.push_str(&text[from..]);
    Some(out)
}

fn always(_: &str) -> bool {
    true
}

/// "bearer authentication failed" is no token.
fn is_bearer(hit: &str) -> bool {
    let token = hit.rsplit(char::is_whitespace).next().unwrap_or(hit).trim_end_matches(['.', ':']).to_ascii_lowercase();
    !matches!(
        token.as_str(),
        "auth"
            | "authentication"
            | "authorization"
            | "token"
            | "tokens"
            | "scheme"
            | "type"
            | "must"
            | "required"
            | "missing"
            | "header"
    )
}

/// Of the ambiguous schemes, only what looks like credentials: "basic authentication" does not.
fn is_credential(hit: &str) -> bool {
    let token = hit.rsplit(char::is_whitespace).next().unwrap_or(hit);
    token.bytes().any(|b| b.is_ascii_digit() || b == b'=') || token.bytes().skip(1).any(|b| b.is_ascii_uppercase())
}

/// Forty characters of base64 in upper and lower case with digits, as cloud secrets are; not a digest in hex, not a path.
fn is_random_key(hit: &str) -> bool {
    let has = |test: fn(&u8) -> bool| hit.as_bytes().iter().any(test);
    let path_like = hit.starts_with('/') || hit.bytes().filter(|b| *b == b'/').count() * 10 > hit.len();
    has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit) && !path_like
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrub(text: &str) -> String {
        let patterns = Patterns::new(&[]).expect("compiles");
        patterns.scrub(text, &SecretKeys::new(&[])).into_owned()
    }

    #[test]
    fn what_is_secret_is_replaced_in_place() {
        for (text, clean) in [
            ("user bob@example.com is gone", "user <email> is gone"),
            ("Müller <jörg.müller@bücher.example>", "Müller <<email>>"),
            (
                "redis://:p@ss/w?rd@host.example.org:6379/0 is down",
                "redis://<url-credentials>@host.example.org:6379/0 is down",
            ),
            ("https://deploy@git.example.org/x", "https://<url-credentials>@git.example.org/x"),
            ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln here", "got <jwt> here"),
            ("sent Bearer abc.def-123 to", "sent <redacted> to"),
            ("sent basic dXNlcjpwYXNz to", "sent <redacted> to"),
            ("AKIAIOSFODNN7EXAMPLE denied", "<redacted> denied"),
            ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY denied", "<redacted> denied"),
            ("ghp_0123456789abcdefABCDEF0123456789abcd", "<redacted>"),
            ("card 4111 1111-1111 1111 declined", "card <card> declined"),
            ("a -----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- b", "a <redacted> b"),
            ("key=-----BEGIN PRIVATE KEY-----\\nMII", "key=<redacted>"),
            ("password=-----BEGIN PRIVATE KEY-----\nMII\nX", "password=<redacted>"),
            ("mysqldump --db-password hunter2 shop", "mysqldump <redacted> shop"),
            ("<user><password>hunter2</password></user>", "<user><redacted></password></user>"),
            ("GET /cb?access_token%3Dhunter2&x=1", "GET /cb?<redacted>&x=1"),
            ("user_password -> hunter2", "<redacted>"),
            ("retry with password='a b', user='bob'", "retry with password=<redacted>, user='bob'"),
        ] {
            assert_eq!(scrub(text), clean);
        }
    }

    #[test]
    fn ordinary_text_stays() {
        for text in [
            "Basic authentication required",
            "bearer authentication failed",
            "division by zero",
            "File \"/usr/local/lib/python3/site-packages/celery/app/trace.py\", line 477, in trace_task",
            "commit 3f786850e387550fdab836ed7e6dc881de23001b is missing",
            "order 4111111111111112 not found",
            "http://host:8080/path?x=1",
            "celery@worker-1 is gone",
            "usage: login --password -v",
            "the password must be longer",
            "InvalidTokenError: Signature has expired",
        ] {
            assert_eq!(scrub(text), text);
        }
    }

    #[test]
    fn text_that_is_not_ascii_is_searched_as_fast_as_any() {
        let begin = std::time::Instant::now();
        let text = "ü".repeat(50_000);
        assert_eq!(scrub(&text), text);
        assert!(begin.elapsed() < std::time::Duration::from_secs(10), "{:?}", begin.elapsed());
    }

    #[test]
    fn values_hidden_before_are_passed_in_one_go() {
        let begin = std::time::Instant::now();
        let text = "password=<redacted>".repeat(5_000);
        assert_eq!(scrub(&text), text);
        assert!(begin.elapsed() < std::time::Duration::from_secs(10), "{:?}", begin.elapsed());
    }

    #[test]
    fn rules_from_configuration_are_added_and_bounded() {
        let patterns = Patterns::new(&[r"CUST-\d+".into(), "x*".into()]).expect("compiles");
        let keys = SecretKeys::new(&[]);
        assert_eq!(patterns.scrub("CUST-123 bob@example.com", &keys), "<redacted> <email>");
        assert!(Patterns::new(&["(".into()]).is_err());
        assert!(Patterns::new(&[r"\w{9999}{9999}".into()]).is_err());
    }
}
