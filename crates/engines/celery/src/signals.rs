//! Names of POSIX signals, as Python on Linux knows them.

use serde_json::Value;

const SIGNALS: &[(&str, u64)] = &[
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGILL", 4),
    ("SIGTRAP", 5),
    ("SIGABRT", 6),
    ("SIGBUS", 7),
    ("SIGFPE", 8),
    ("SIGKILL", 9),
    ("SIGUSR1", 10),
    ("SIGSEGV", 11),
    ("SIGUSR2", 12),
    ("SIGPIPE", 13),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
    ("SIGCHLD", 17),
    ("SIGCONT", 18),
    ("SIGSTOP", 19),
    ("SIGTSTP", 20),
    ("SIGXCPU", 24),
];

/// Signals that may be sent to end a task. Those that suspend a process, or that it does not notice, end nothing.
const ENDING: &[&str] =
    &["SIGTERM", "SIGKILL", "SIGINT", "SIGQUIT", "SIGHUP", "SIGABRT", "SIGUSR1", "SIGUSR2", "SIGALRM"];

/// The name of a signal that an event tells by number or, on some paths, by name.
pub(crate) fn signal_name(value: &Value) -> Option<String> {
    let number = match value {
        Value::Number(n) => n.as_u64()?,
        Value::String(text) => match text.parse() {
            Ok(number) => number,
            Err(_) => return known(text).map(str::to_owned),
        },
        _ => return None,
    };
    match SIGNALS.iter().find(|(_, n)| *n == number) {
        Some((name, _)) => Some((*name).to_owned()),
        None => Some(format!("signal {number}")),
    }
}

/// The full name of a signal an operator may end a task with: `kill`, `KILL` and `SIGKILL` are the same.
pub(crate) fn ending_signal(name: &str) -> Result<&'static str, String> {
    known(name).filter(|name| ENDING.contains(name)).ok_or_else(|| {
        format!(
            "{:?} is no signal that ends a task; use one of {}",
            name.chars().take(20).collect::<String>(),
            ENDING.join(", ")
        )
    })
}

fn known(name: &str) -> Option<&'static str> {
    let upper = name.trim().to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    SIGNALS.iter().map(|(name, _)| *name).find(|name| name.strip_prefix("SIG") == Some(bare))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn signals_are_named() {
        assert_eq!(signal_name(&json!(15)).as_deref(), Some("SIGTERM"));
        assert_eq!(signal_name(&json!("9")).as_deref(), Some("SIGKILL"));
        assert_eq!(signal_name(&json!("SIGUSR1")).as_deref(), Some("SIGUSR1"));
        assert_eq!(signal_name(&json!(34)).as_deref(), Some("signal 34"));
        assert_eq!(signal_name(&Value::Null), None);
    }

    #[test]
    fn only_signals_that_end_a_task_are_taken() {
        assert_eq!(ending_signal("kill"), Ok("SIGKILL"));
        assert_eq!(ending_signal("SIGTERM"), Ok("SIGTERM"));
        for name in ["SIGSTOP", "SIGNOPE", "", "9; rm -rf /"] {
            assert!(ending_signal(name).is_err(), "{name}");
        }
    }
}
