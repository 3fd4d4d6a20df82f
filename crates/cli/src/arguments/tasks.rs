//! `taskplane tasks`.

use clap::{Args, Subcommand, value_parser};
use serde_json::Value;

use super::ApiOptions;

#[derive(Args, Debug)]
pub(crate) struct TasksCommand {
    #[command(flatten)]
    pub(crate) api: ApiOptions,
    #[command(subcommand)]
    pub(crate) verb: TasksVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TasksVerb {
    /// List tasks, newest first.
    #[command(after_help = "Examples:\n  taskplane tasks list --state failed,lost --since 2h\n  \
                            taskplane tasks list --q 'name:billing.* arg:order_id=17 \"card declined\"'")]
    List(TaskListOptions),
    /// Show a task: facts, attempts, error.
    #[command(after_help = "Example:\n  taskplane tasks show 0b5f0a6e-0f5c-4a7e-9b7d-1f2f3a4b5c6d")]
    Show(TaskShowOptions),
    /// Say why a task is not running: what blocks it, what it waits for.
    #[command(after_help = "Examples:\n  taskplane tasks why 0b5f0a6e-0f5c-4a7e-9b7d-1f2f3a4b5c6d\n  \
                            taskplane tasks why ID --ask")]
    Why(TaskWhyOptions),
    /// Run tasks again with the same arguments, and print the new ids; or all that match, as a job.
    #[command(after_help = "Examples:\n  taskplane tasks retry ID1 ID2 ID3\n  \
                            taskplane tasks retry --filter 'state:failed name:billing.* since:2h' --dry-run\n  \
                            taskplane tasks retry --filter 'state:failed since:2h' --canary 5 --rate 600 --wait\n  \
                            taskplane tasks retry ID --args '[17]' --kwargs '{\"card\": \"…\"}' --queue emails\n\n\
                            With --json, one task is told as its command, and several as \
                            {\"result\": {\"retried\": {OLD: NEW}, \"failed\": {ID: WHY}, \"codes\": {ID: CODE}}, \"commands\": […]}; \
                            with --dry-run, \"previews\" is in the place of \"retried\".")]
    Retry(RetryOptions),
    /// Cancel a task, and print its new state.
    #[command(after_help = "Example:\n  taskplane tasks cancel ID --terminate --signal SIGKILL")]
    Cancel(CancelOptions),
}

#[derive(Args, Debug)]
pub(crate) struct TaskListOptions {
    /// Filter, as in the dashboard, such as `state:failed name:billing.* since:2h`.
    #[arg(long, visible_alias = "filter", value_name = "FILTER")]
    pub(crate) q: Option<String>,
    /// Only these states, separated by commas, such as `failed,lost`.
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Only these task types, separated by commas; `*` stands for anything.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Only these queues, separated by commas; `*` stands for anything.
    #[arg(long)]
    pub(crate) queue: Option<String>,
    /// Only these workers, separated by commas; `*` stands for anything.
    #[arg(long)]
    pub(crate) worker: Option<String>,
    /// First seen at or after: a time such as 2026-11-22T18:00:00Z, or an age such as 90s, 15m, 2h, 7d.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// First seen before: as --since.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Most tasks to list.
    #[arg(long, value_name = "N", default_value = "50", value_parser = value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
}

#[derive(Args, Debug)]
pub(crate) struct TaskShowOptions {
    /// The task's id.
    pub(crate) id: String,
    /// The task's engine.
    #[arg(long, default_value = "celery")]
    pub(crate) engine: String,
}

#[derive(Args, Debug)]
pub(crate) struct TaskWhyOptions {
    /// The task's id.
    pub(crate) id: String,
    /// The task's engine.
    #[arg(long, default_value = "celery")]
    pub(crate) engine: String,
    /// Also have the agent look at the broker and ask the workers, which takes some seconds.
    #[arg(long)]
    pub(crate) ask: bool,
}

/// Retrying everything that matches, as a job of the brain.
#[derive(Args, Debug, Default)]
pub(crate) struct RetryMatchingOptions {
    /// Retry all tasks that match, such as `state:failed name:billing.* since:2h`, and print the job's id.
    #[arg(long, visible_alias = "q", value_name = "FILTER", conflicts_with_all = ["args", "kwargs", "queue", "eta"])]
    pub(crate) filter: Option<String>,
    /// Only say what would be retried, and what cannot be and why; of tasks given by id, what exactly would be sent.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Retry so many tasks first, and the rest when they have ended and not too many have failed again.
    #[arg(long, requires = "filter", value_name = "N", value_parser = value_parser!(u32).range(0..=1_000))]
    pub(crate) canary: Option<u32>,
    /// Most tasks a minute.
    #[arg(long, requires = "filter", value_name = "N", value_parser = value_parser!(u32).range(1..=60_000))]
    pub(crate) rate: Option<u32>,
    /// Stop when more than so many percent of the retried tasks fail again.
    #[arg(long, requires = "filter", value_name = "PERCENT", value_parser = value_parser!(u8).range(0..=100))]
    pub(crate) stop_above: Option<u8>,
    /// Wait until the job has ended, and fail unless every task was retried and succeeded.
    #[arg(long, requires = "filter", conflicts_with = "dry_run")]
    pub(crate) wait: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RetryOptions {
    /// Ids of the tasks, of one engine. Each is retried by an agent that has seen it, one after the other.
    #[arg(required_unless_present = "filter", conflicts_with = "filter", value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// The tasks' engine.
    #[arg(long, default_value = "celery")]
    pub(crate) engine: String,
    #[command(flatten)]
    pub(crate) matching: RetryMatchingOptions,
    /// Positional arguments instead of the original ones: a JSON list. Only for a single task.
    #[arg(long, value_name = "JSON", value_parser = json_list)]
    pub(crate) args: Option<Value>,
    /// Keyword arguments instead of the original ones: a JSON object. Only for a single task.
    #[arg(long, value_name = "JSON", value_parser = json_object)]
    pub(crate) kwargs: Option<Value>,
    /// Queue instead of the original one. Only for a single task.
    #[arg(long)]
    pub(crate) queue: Option<String>,
    /// Do not begin it before this time, such as 2026-11-23T20:30:00Z. Only for a single task.
    #[arg(long, value_name = "TIME")]
    pub(crate) eta: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct CancelOptions {
    /// The task's id.
    pub(crate) id: String,
    /// The task's engine.
    #[arg(long, default_value = "celery")]
    pub(crate) engine: String,
    /// End it even if it already runs; without this, only a task that has not begun is stopped.
    #[arg(long)]
    pub(crate) terminate: bool,
    /// Signal to end it with, such as SIGKILL; the default is SIGTERM.
    #[arg(long, requires = "terminate", value_parser = signal)]
    pub(crate) signal: Option<String>,
}

pub(super) fn json_list(text: &str) -> Result<Value, String> {
    parsed(text, "list, such as [17, \"a\"]", Value::is_array)
}

pub(super) fn json_object(text: &str) -> Result<Value, String> {
    parsed(text, "object, such as {\"order\": 17}", Value::is_object)
}

fn parsed(text: &str, wanted: &str, fits: fn(&Value) -> bool) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    if fits(&value) { Ok(value) } else { Err(format!("it must be a JSON {wanted}")) }
}

/// `kill`, `KILL` and `SIGKILL` are the same.
#[expect(clippy::unnecessary_wraps, reason = "the shape that clap wants")]
fn signal(text: &str) -> Result<String, String> {
    let name = text.to_ascii_uppercase();
    Ok(if name.starts_with("SIG") { name } else { format!("SIG{name}") })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::arguments::{Cli, Command};

    fn verb(line: &[&str]) -> Result<TasksVerb, clap::Error> {
        match Cli::try_parse_from([&["taskplane", "tasks"], line].concat())?.command {
            Command::Tasks(tasks) => Ok(tasks.verb),
            _ => panic!("not tasks"),
        }
    }

    #[test]
    fn the_connection_is_given_before_or_after_the_verb() {
        for line in [["--project", "p", "list"], ["list", "--project", "p"]] {
            let cli = Cli::try_parse_from([&["taskplane", "tasks"][..], &line].concat()).expect("parses");
            let Command::Tasks(tasks) = cli.command else { panic!("not tasks") };
            assert_eq!(tasks.api.project, "p");
        }
    }

    #[test]
    fn a_retry_takes_ids_and_json() {
        let line = ["retry", "a", "--args", "[-1]", "--kwargs", "{\"x\": null}", "--queue", "q"];
        let TasksVerb::Retry(options) = verb(&line).expect("parses") else { panic!("not retry") };
        assert_eq!((options.ids, options.engine.as_str()), (vec!["a".to_owned()], "celery"));
        assert_eq!((options.args, options.kwargs), (Some(json!([-1])), Some(json!({"x": null}))));
        for wrong in [
            &["retry"][..],
            &["retry", "a", "--args", "{}"],
            &["retry", "a", "--args", "[1"],
            &["retry", "a", "--kwargs", "[]"],
        ] {
            assert_eq!(verb(wrong).expect_err("refused").exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn a_signal_needs_terminate_and_goes_by_any_name() {
        assert!(verb(&["cancel", "a", "--signal", "SIGKILL"]).is_err());
        for name in ["kill", "KILL", "SIGKILL"] {
            let line = ["cancel", "a", "--terminate", "--signal", name];
            let TasksVerb::Cancel(options) = verb(&line).expect("parses") else { panic!("not cancel") };
            assert_eq!(options.signal.as_deref(), Some("SIGKILL"));
        }
    }

    #[test]
    fn a_list_has_a_limit() {
        let TasksVerb::List(options) = verb(&["list", "--state", "failed,lost"]).expect("parses") else {
            panic!("not list")
        };
        assert_eq!((options.state.as_deref(), options.limit), (Some("failed,lost"), 50));
        for wrong in ["0", "-1", "many"] {
            assert!(verb(&["list", "--limit", wrong]).is_err(), "{wrong}");
        }
    }
}
