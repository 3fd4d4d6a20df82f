//! The filter language of the search box: `state:failed name:billing.* queue:emails since:2h arg:order_id=17 "card declined"`.
//!
//! Terms are joined by *and*; several values of one key (`state:failed,lost`, or the key twice) by *or*. A bare word or a
//! quoted phrase is looked for, without regard to case, in name, id, arguments, exception and its message.

use thiserror::Error;

use crate::time::parse_point;
use crate::{Task, TaskState, Timestamp};

/// Longest filter text that is read, in bytes.
pub const MAX_FILTER_BYTES: usize = 2_000;

/// Why a filter was not understood; the text is for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FilterError {
    /// Longer than [`MAX_FILTER_BYTES`].
    #[error("the filter is longer than {MAX_FILTER_BYTES} characters")]
    TooLong,
    /// A key that does not exist.
    #[error(
        "unknown key \"{0}\"; the keys are state, name, queue, worker, engine, id, since, until and arg (quote the term to search for it as text)"
    )]
    UnknownKey(String),
    /// A state that does not exist.
    #[error(
        "unknown state \"{0}\"; the states are pending, received, started, retrying, succeeded, failed, revoked, rejected and lost"
    )]
    UnknownState(String),
    /// Not a time.
    #[error("{0}:{1} is not a time; write an age such as 90s, 15m, 2h or 7d, or a time such as 2026-11-22T18:00:00Z")]
    BadTime(&'static str, String),
    /// A key without a value.
    #[error("{0}: needs a value")]
    MissingValue(String),
    /// `arg:` without `=`.
    #[error("arg:{0} is not understood; write arg:name=value")]
    BadArg(String),
    /// A quote that is not closed.
    #[error("a quote is not closed")]
    OpenQuote,
}

/// Text with `*` for any run of characters. Without `*` it is the whole text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(pub String);

impl Pattern {
    /// True when `text` is of this pattern.
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(rest) = text.strip_prefix(parts.next().unwrap_or("")) else { return false };
        let parts: Vec<&str> = parts.collect();
        let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
        let mut rest = rest;
        for part in middle {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.len() >= last.len() && rest.ends_with(last)
    }

    /// The text itself, where the pattern has no `*`.
    pub fn exact(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(self.0.as_str())
    }
}

/// Which tasks are meant. Empty lists mean: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// In one of these states.
    pub states: Vec<TaskState>,
    /// Of one of these types.
    pub names: Vec<Pattern>,
    /// In or from one of these queues.
    pub queues: Vec<Pattern>,
    /// Held last by one of these workers.
    pub workers: Vec<Pattern>,
    /// Of one of these engines.
    pub engines: Vec<String>,
    /// With one of these ids.
    pub ids: Vec<String>,
    /// First seen at or after.
    pub since: Option<Timestamp>,
    /// First seen before.
    pub until: Option<Timestamp>,
    /// Keyword arguments with these values.
    pub args: Vec<(String, String)>,
    /// Words and phrases, lower case.
    pub text: Vec<String>,
}

impl TaskFilter {
    /// Reads filter text. Ages count back from `now`.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, FilterError> {
        let mut filter = Self::default();
        filter.add_text(text, now)?;
        Ok(filter)
    }

    /// Narrows by more filter text.
    pub fn add_text(&mut self, text: &str, now: Timestamp) -> Result<(), FilterError> {
        if text.len() > MAX_FILTER_BYTES {
            return Err(FilterError::TooLong);
        }
        for term in terms(text)? {
            match term {
                // A pasted id is looked up, which is exact and quick at any size.
                Term::Text(text) if is_uuid(&text) => self.ids.push(text.to_lowercase()),
                Term::Text(text) => self.text.push(text.to_lowercase()),
                Term::Pair(key, value) => self.add_term(&key, &value, now)?,
            }
        }
        Ok(())
    }

    /// Narrows by one `key:value`; `value` may be a comma-separated list.
    pub fn add_term(&mut self, key: &str, value: &str, now: Timestamp) -> Result<(), FilterError> {
        if value.is_empty() {
            return Err(FilterError::MissingValue(key.to_owned()));
        }
        let values = || value.split(',').filter(|v| !v.is_empty());
        let patterns = || values().map(|v| Pattern(v.to_owned()));
        match key {
            "state" => {
                for name in values() {
                    let state = TaskState::from_name(name).ok_or_else(|| FilterError::UnknownState(name.to_owned()))?;
                    self.states.push(state);
                }
            }
            "name" => self.names.extend(patterns()),
            "queue" => self.queues.extend(patterns()),
            "worker" => self.workers.extend(patterns()),
            "engine" => self.engines.extend(values().map(str::to_owned)),
            "id" => self.ids.extend(values().map(str::to_owned)),
            "since" => self.since = later(self.since, parse_point(value, now).ok_or_else(|| bad_time("since", value))?),
            "until" => {
                self.until = earlier(self.until, parse_point(value, now).ok_or_else(|| bad_time("until", value))?)
            }
            "arg" => {
                let (name, value) = value.split_once('=').ok_or_else(|| FilterError::BadArg(value.to_owned()))?;
                self.args.push((name.to_owned(), value.to_owned()));
            }
            _ => return Err(FilterError::UnknownKey(key.to_owned())),
        }
        Ok(())
    }

    /// True when the store's columns cannot decide: arguments or text have to be read.
    pub fn needs_record(&self) -> bool {
        !self.args.is_empty() || !self.text.is_empty()
    }

    /// True when `task`, named by `engine` and `task_id`, is meant. Does not look at `since` and `until`: the window is over
    /// the store's time of first sight.
    pub fn matches(&self, engine: &str, task_id: &str, task: &Task<'_>) -> bool {
        let any = |patterns: &[Pattern], text: Option<&str>| {
            patterns.is_empty() || text.is_some_and(|text| patterns.iter().any(|p| p.matches(text)))
        };
        (self.states.is_empty() || self.states.contains(&task.state))
            && any(&self.names, task.record.name.as_deref())
            && any(&self.queues, task.queue())
            && any(&self.workers, task.worker())
            && (self.engines.is_empty() || self.engines.iter().any(|e| e == engine))
            && (self.ids.is_empty() || self.ids.iter().any(|id| id == task_id))
            && self.args.iter().all(|(name, value)| has_argument(task, name, value))
            && self.text.iter().all(|text| has_text(task_id, task, text))
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

fn later(a: Option<Timestamp>, b: Timestamp) -> Option<Timestamp> {
    Some(a.map_or(b, |a| a.max(b)))
}

fn earlier(a: Option<Timestamp>, b: Timestamp) -> Option<Timestamp> {
    Some(a.map_or(b, |a| a.min(b)))
}

fn bad_time(key: &'static str, value: &str) -> FilterError {
    FilterError::BadTime(key, value.to_owned())
}

/// The keyword arguments in JSON text, with their values as `arg:` compares them; none when it is no object.
pub fn arguments(kwargs: &str) -> Vec<(String, String)> {
    let Ok(serde_json::Value::Object(map)) = serde_json::from_str(kwargs) else { return Vec::new() };
    let text = |value| match value {
        serde_json::Value::String(text) => Some(text),
        other => serde_json::to_string(&other).ok(),
    };
    map.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
}

fn has_argument(task: &Task<'_>, name: &str, value: &str) -> bool {
    let kwargs = task.record.kwargs.as_deref().unwrap_or("");
    arguments(kwargs).iter().any(|(known, text)| known == name && text == value)
}

fn has_text(task_id: &str, task: &Task<'_>, text: &str) -> bool {
    let contains = |hay: Option<&str>| hay.is_some_and(|hay| hay.to_lowercase().contains(text));
    contains(task.record.name.as_deref())
        || contains(Some(task_id))
        || contains(task.record.args.as_deref())
        || contains(task.record.kwargs.as_deref())
        || task
            .attempts
            .iter()
            .filter_map(|a| a.end)
            .any(|end| contains(end.exception.as_deref()) || contains(end.exception_message.as_deref()))
}

enum Term {
    Text(String),
    Pair(String, String),
}

/// Splits into terms at spaces outside quotes. A quote right after `key:` quotes the value.
fn terms(text: &str) -> Result<Vec<Term>, FilterError> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after_key) = match rest.find([':', '"', ' ', '\t', '\n']) {
            Some(at) if at > 0 && rest.as_bytes()[at] == b':' && is_key(&rest[..at]) => {
                (Some(&rest[..at]), &rest[at + 1..])
            }
            _ => (None, rest),
        };
        let (value, tail) = if let Some(quoted) = after_key.strip_prefix('"') {
            let end = quoted.find('"').ok_or(FilterError::OpenQuote)?;
            (&quoted[..end], &quoted[end + 1..])
        } else {
            let end = after_key.find(char::is_whitespace).unwrap_or(after_key.len());
            (&after_key[..end], &after_key[end..])
        };
        match key {
            Some(key) => out.push(Term::Pair(key.to_owned(), value.to_owned())),
            None if value.is_empty() => {}
            None => out.push(Term::Text(value.to_owned())),
        }
        rest = tail.trim_start();
    }
    Ok(out)
}

/// A word before `:` is meant as a key when it is plain lower-case letters; `ValueError: x` and `10:30` are text.
fn is_key(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_lowercase())
}

#[cfg(test)]
mod tests;
