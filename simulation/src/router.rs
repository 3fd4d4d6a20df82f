//! Commands in the brain: the steps of its command router, and what is open.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use taskplane_model::Timestamp;
use taskplane_model::command::{Command, CommandOutcome, CommandStatus};
use taskplane_protocol::frame::{self, CommandResult, commands};

use crate::network::Line;
use crate::sabotage::Sabotage;

/// How long an agent has for a command.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(30);

/// A command that was sent and has not ended.
struct Open {
    line: Line,
    deadline: Duration,
    ending: bool,
}

#[derive(Default)]
pub(crate) struct Router {
    open: BTreeMap<String, Open>,
    /// What a brain that sends twice would send again.
    lost: Vec<String>,
}

impl Router {
    pub(crate) fn opened(&mut self, id: &str, line: Line, deadline: Duration) {
        self.open.insert(id.to_owned(), Open { line, deadline, ending: false });
    }

    /// Takes in an agent's answer; how the command ends, if it is open there.
    pub(crate) fn answered(&mut self, line: Line, result: CommandResult) -> Option<(String, CommandOutcome)> {
        let known = self.open.get(&result.cmd_id).is_some_and(|open| open.line == line);
        if !known || !self.claim(&result.cmd_id) {
            return None;
        }
        let outcome = if result.ok {
            CommandOutcome { status: CommandStatus::Succeeded, result: None, error: None, message: None }
        } else {
            CommandOutcome::failed(&result.error.unwrap_or_default(), "the agent refused or failed")
        };
        Some((result.cmd_id, outcome))
    }

    /// Ends what was sent over a connection that is gone.
    pub(crate) fn connection_lost(&mut self, line: Line, sabotage: Option<Sabotage>) -> Vec<(String, CommandOutcome)> {
        let outcome = match sabotage {
            Some(Sabotage::OptimisticOutcome) => {
                CommandOutcome { status: CommandStatus::Succeeded, result: None, error: None, message: None }
            }
            Some(Sabotage::PessimisticOutcome) => CommandOutcome::failed("agent_not_connected", "it went away"),
            _ => CommandOutcome::uncertain(CommandStatus::Unknown, "the agent went away before it answered"),
        };
        let ended = self.claim_where(|open| open.line == line);
        self.lost.extend(ended.iter().cloned());
        ended.into_iter().map(|id| (id, outcome.clone())).collect()
    }

    /// Ends commands whose time is up.
    pub(crate) fn overdue(&mut self, now: Duration) -> Vec<(String, CommandOutcome)> {
        let outcome = CommandOutcome::uncertain(CommandStatus::TimedOut, "the agent did not answer in time");
        let ended = self.claim_where(|open| open.deadline <= now);
        ended.into_iter().map(|id| (id, outcome.clone())).collect()
    }

    /// The end of a command is recorded, or cannot be.
    pub(crate) fn forget(&mut self, id: &str) {
        self.open.remove(id);
    }

    /// True when no command waits for its end.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// What a brain that sends twice sends again.
    pub(crate) fn take_lost(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lost)
    }

    fn claim_where(&mut self, wanted: impl Fn(&Open) -> bool) -> Vec<String> {
        let ids: Vec<String> = self.open.iter().filter(|(_, open)| wanted(open)).map(|(id, _)| id.clone()).collect();
        ids.into_iter().filter(|id| self.claim(id)).collect()
    }

    fn claim(&mut self, id: &str) -> bool {
        self.open.get_mut(id).is_some_and(|open| !std::mem::replace(&mut open.ending, true))
    }
}

/// The row of a new command. Each is about a task of its own, by which it is recognised when it is executed.
pub(crate) fn row(id: &str, agent: Option<String>, now: Timestamp) -> Command {
    Command {
        id: id.to_owned(),
        cmd: commands::CANCEL_TASK.to_owned(),
        args: json!({"engine": "celery", "task_id": task_of(id)}),
        agent,
        status: CommandStatus::Pending,
        result: None,
        error: None,
        message: None,
        created_at: now,
        finished_at: None,
        created_by: "simulation".into(),
        task_id: Some(task_of(id)),
    }
}

/// The frame of a command.
pub(crate) fn frame(id: &str) -> frame::Command {
    let args = json!({"engine": "celery", "task_id": task_of(id)});
    let cmd = if is_restart(id) { commands::RESTART_AGENT } else { commands::CANCEL_TASK };
    frame::Command { cmd_id: id.to_owned(), cmd: cmd.to_owned(), args }
}

/// The task that a command is about.
pub(crate) fn task_of(id: &str) -> String {
    format!("of-{id}")
}

/// True for the commands that have an agent begin anew.
pub(crate) fn is_restart(id: &str) -> bool {
    id.starts_with("restart-")
}
