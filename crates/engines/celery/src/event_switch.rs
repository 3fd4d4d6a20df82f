//! Which workers send task events because this agent told them to: only those are told to stop.
//!
//! A worker that was started with `-E` answers "already" to both orders and goes on sending. One whose events another program turned
//! on cannot be told from it, and is left alone too. The memory is a small file beside the payloads, so that an agent that is
//! started again with `--events off` still knows what an earlier one had turned on.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde_json::Value;

/// More workers than this are not remembered.
const MAX_WORKERS: usize = 10_000;
/// A file larger than this is none of ours.
const MAX_FILE: u64 = 4 << 20;
const FILE: &str = "events-turned-on.json";

/// What a worker answers to `enable_events` or `disable_events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It did not send them, and does now.
    TurnedOn,
    /// It was sending them.
    WasOn,
    /// It sent them, and does no longer.
    TurnedOff,
    /// It was not told to send them; with `-E` it sends them all the same.
    WasNotTold,
    /// It has nothing that could send them.
    Cannot,
}

impl Answer {
    pub(crate) fn read(reply: &Value) -> Option<Self> {
        let text = |key: &str| reply.get(key).and_then(Value::as_str);
        Some(match (text("ok"), text("error")) {
            (Some("task events enabled"), _) => Self::TurnedOn,
            (Some("task events already enabled"), _) => Self::WasOn,
            (Some("task events disabled"), _) => Self::TurnedOff,
            (Some("task events already disabled"), _) => Self::WasNotTold,
            (_, Some("event dispatcher unavailable")) => Self::Cannot,
            _ => return None,
        })
    }

    /// Whether the worker sends task events now, where the answer says so.
    pub(crate) fn sends(self) -> Option<bool> {
        match self {
            Self::TurnedOn | Self::WasOn => Some(true),
            Self::TurnedOff | Self::Cannot => Some(false),
            Self::WasNotTold => None,
        }
    }
}

/// The workers whose events this agent has turned on, with the process that they were.
#[derive(Debug, Default)]
pub(crate) struct TurnedOn {
    path: Option<PathBuf>,
    by_worker: BTreeMap<String, u64>,
}

impl TurnedOn {
    /// Reads what an earlier agent has left in `dir`. What cannot be read was never turned on: events that stay on do no harm.
    pub(crate) fn open(dir: Option<&Path>) -> Self {
        let path = dir.map(|dir| dir.join(FILE));
        let by_worker = path.as_deref().and_then(read).unwrap_or_default();
        Self { path, by_worker }
    }

    /// True when this process of the worker was told to send events by us.
    pub(crate) fn contains(&self, worker: &str, pid: u64) -> bool {
        self.by_worker.get(worker) == Some(&pid)
    }

    /// Remembers these, and forgets those.
    pub(crate) fn change(&mut self, on: Vec<(String, u64)>, off: &[String]) {
        let before = self.by_worker.clone();
        for name in off {
            self.by_worker.remove(name);
        }
        for (name, pid) in on {
            if self.by_worker.len() < MAX_WORKERS || self.by_worker.contains_key(&name) {
                self.by_worker.insert(name, pid);
            }
        }
        if before != self.by_worker
            && let Err(error) = self.write()
        {
            tracing::warn!(error = %error.kind(), "which workers were told to send task events cannot be kept: an agent with --events off will leave them on");
        }
    }

    fn write(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if let Some(dir) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let beside = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        serde_json::to_writer(&mut file, &self.by_worker)?;
        fs::rename(&beside, path)
    }
}

fn read(path: &Path) -> Option<BTreeMap<String, u64>> {
    if fs::metadata(path).ok()?.len() > MAX_FILE {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_say_whether_events_are_sent_and_already_disabled_says_nothing() {
        let sends = |reply: Value| Answer::read(&reply).map(Answer::sends);
        assert_eq!(sends(json!({"ok": "task events enabled"})), Some(Some(true)));
        assert_eq!(sends(json!({"ok": "task events already enabled"})), Some(Some(true)));
        assert_eq!(sends(json!({"ok": "task events disabled"})), Some(Some(false)));
        assert_eq!(sends(json!({"ok": "task events already disabled"})), Some(None), "-E answers this too");
        assert_eq!(sends(json!({"error": "event dispatcher unavailable"})), Some(Some(false)));
        assert_eq!(sends(json!({"ok": "pong"})), None);
    }

    #[test]
    fn an_agent_that_comes_later_knows_what_was_turned_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let folder = dir.path().join("not there yet");
        let mut turned_on = TurnedOn::open(Some(&folder));
        turned_on.change(vec![("a@h".into(), 7), ("b@h".into(), 8)], &[]);
        turned_on.change(Vec::new(), &["b@h".into()]);
        let later = TurnedOn::open(Some(&folder));
        assert!(later.contains("a@h", 7) && !later.contains("b@h", 8));
        assert!(!later.contains("a@h", 9), "another process was never told");
        assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 1, "nothing else is left behind");
    }

    #[test]
    fn a_file_that_cannot_be_read_counts_as_empty() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join(FILE), "{\"a@h\": \"x\"").expect("writes");
        assert!(!TurnedOn::open(Some(dir.path())).contains("a@h", 7));
    }
}
