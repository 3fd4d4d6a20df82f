//! Several tasks, one after the other.

use anyhow::{Error, Result, ensure};
use serde_json::{Map, Value, json};

use super::Order;
use super::preview::preview;
use crate::api::{Api, failure};
use crate::output;

/// Gives the commands, and tells of each task what came of it as soon as it is known: who stops it knows what was done.
pub(super) async fn run(api: &Api, orders: Vec<Order>, dry_run: bool, json: bool) -> Result<()> {
    let count = orders.len();
    let mut outcome = Outcome::new(dry_run);
    let mut stopped = None;
    for order in orders {
        match api.command(order.cmd, order.args).await {
            Ok(command) => outcome.take(&order.task_id, command),
            // What the brain does not take once, or nobody answers, it does not take for the others either.
            Err(error) => {
                stopped = Some(error);
                break;
            }
        }
        outcome.tell(&order.task_id, json)?;
    }
    if json && !outcome.commands.is_empty() {
        output::json(&outcome.as_json())?;
    }
    outcome.end(count, stopped)
}

/// What came of the tasks, by their ids.
struct Outcome {
    dry_run: bool,
    commands: Vec<Value>,
    /// New ids, or previews.
    done: Map<String, Value>,
    /// Why not.
    failed: Map<String, Value>,
    /// Why not, in a word.
    codes: Map<String, Value>,
}

impl Outcome {
    fn new(dry_run: bool) -> Self {
        Self { dry_run, commands: Vec::new(), done: Map::new(), failed: Map::new(), codes: Map::new() }
    }

    fn take(&mut self, id: &str, command: Value) {
        let result = &command["result"];
        let done = if self.dry_run { &result["previews"][id] } else { &result["new_task_id"] };
        match failure(&command) {
            None if self.dry_run && !done.is_object() => {
                self.failed.insert(id.to_owned(), result["failed"][id].clone());
            }
            None => drop(self.done.insert(id.to_owned(), done.clone())),
            Some(failure) => {
                let is_certain = command["status"] == "failed";
                let message = command["message"].as_str().filter(|_| is_certain).map(str::to_owned);
                let message = message.unwrap_or_else(|| failure.to_string());
                let code = command["error"].as_str().or(command["status"].as_str()).unwrap_or("unknown").to_owned();
                if self.dry_run {
                    self.failed.insert(id.to_owned(), json!({"error": code, "message": message}));
                } else {
                    self.failed.insert(id.to_owned(), json!(message));
                    self.codes.insert(id.to_owned(), json!(code));
                }
            }
        }
        self.commands.push(command);
    }

    /// The new id or what would be sent, for people; what was not retried is told beside.
    fn tell(&self, id: &str, json: bool) -> Result<()> {
        let (done, failed) = (self.done.get(id), self.failed.get(id).unwrap_or(&Value::Null));
        if self.dry_run {
            return if json { Ok(()) } else { output::data(&preview(id, done.unwrap_or(&Value::Null), failed)) };
        }
        match done {
            Some(_) if json => Ok(()),
            Some(new) => output::data(new.as_str().unwrap_or_default()),
            None => {
                let is_certain = self.commands.last().is_some_and(|command| command["status"] == "failed");
                let what = if is_certain { "was not" } else { "may have been" };
                output::note(&format!("{id} {what} retried: {}", failed.as_str().unwrap_or_default()));
                Ok(())
            }
        }
    }

    /// As one command about all of them would tell it, and the commands.
    fn as_json(&self) -> Value {
        let result = if self.dry_run {
            json!({"previews": self.done, "failed": self.failed})
        } else {
            json!({"retried": self.done, "failed": self.failed, "codes": self.codes})
        };
        json!({"result": result, "commands": self.commands})
    }

    /// It is a success only if all of them were.
    fn end(&self, count: usize, stopped: Option<Error>) -> Result<()> {
        let tried = self.commands.len();
        match stopped {
            Some(error) if tried == 0 => return Err(error),
            Some(error) => return Err(error.context(format!("stopped after {tried} of {count} tasks"))),
            None => {}
        }
        let missed = count - self.done.len();
        let what = if self.dry_run { "cannot be" } else { "were not" };
        ensure!(missed == 0, "{missed} of {count} tasks {what} retried");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::wrong_usage::WrongUsage;

    fn outcome(dry_run: bool, commands: &[(&str, Value)]) -> Outcome {
        let mut outcome = Outcome::new(dry_run);
        for (id, command) in commands {
            outcome.take(id, command.clone());
        }
        outcome
    }

    fn retried(new: &str) -> Value {
        json!({"cmd": "retry_task", "status": "succeeded", "result": {"new_task_id": new}})
    }

    #[test]
    fn it_succeeds_only_if_all_tasks_were_retried() {
        assert!(outcome(false, &[("a", retried("x")), ("b", retried("y"))]).end(2, None).is_ok());
        let failed = json!({"cmd": "retry_task", "status": "failed", "error": "not_found", "message": "it is gone"});
        let some = outcome(false, &[("a", retried("x")), ("b", failed.clone())]);
        assert_eq!(some.end(2, None).expect_err("one failed").to_string(), "1 of 2 tasks were not retried");
        let told = json!({
            "result": {"retried": {"a": "x"}, "failed": {"b": "it is gone"}, "codes": {"b": "not_found"}},
            "commands": [retried("x"), failed],
        });
        assert_eq!(some.as_json(), told);
    }

    #[test]
    fn a_task_of_which_nobody_knows_is_not_said_to_be_untouched() {
        let message = "the agent did not answer in time; the command may have been executed";
        let late = json!({"cmd": "retry_task", "status": "timed_out", "message": message});
        let told = outcome(false, &[("a", late)]).as_json();
        let why = told["result"]["failed"]["a"].as_str().expect("a reason");
        assert!(why.contains("was not answered in time") && why.contains("may have been executed"), "{told}");
        assert_eq!(told["result"]["codes"], json!({"a": "timed_out"}));
    }

    #[test]
    fn previews_and_reasons_are_told_by_task() {
        let can = json!({"status": "succeeded", "result": {"previews": {"a": {"name": "pay"}}, "failed": {}}});
        let gone = json!({"error": "not_found", "message": "it is gone"});
        let cannot = json!({"status": "succeeded", "result": {"previews": {}, "failed": {"b": gone}}});
        let away = json!({"status": "failed", "error": "agent_not_connected", "message": "nothing was sent"});
        let all = outcome(true, &[("a", can), ("b", cannot), ("c", away)]);
        let result = all.as_json()["result"].clone();
        assert_eq!(result["previews"], json!({"a": {"name": "pay"}}));
        let not_sent = json!({"error": "agent_not_connected", "message": "nothing was sent"});
        assert_eq!(result["failed"], json!({"b": gone, "c": not_sent}));
        assert_eq!(all.end(3, None).expect_err("two cannot").to_string(), "2 of 3 tasks cannot be retried");
    }

    #[test]
    fn what_stops_the_rest_is_told_with_how_far_it_came() {
        let refused = || anyhow!(WrongUsage("no such thing".to_owned()));
        let first = outcome(false, &[]).end(2, Some(refused())).expect_err("stopped");
        assert!(first.is::<WrongUsage>() && first.to_string() == "no such thing", "{first:#}");
        let later = outcome(false, &[("a", retried("x"))]).end(3, Some(refused())).expect_err("stopped");
        assert!(later.is::<WrongUsage>(), "{later:#}");
        assert_eq!(format!("{later:#}"), "stopped after 1 of 3 tasks: no such thing");
    }
}
