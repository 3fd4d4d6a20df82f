//! Commands and their answers.

use std::time::Duration;

use serde_json::{Value, json};

use crate::probe::{Probe, batch, new_stream};
use crate::rule::rules;
use crate::socket::Heard;
use crate::verdict::{Failure, Verdict};

rules! {
    "command.unknown-result", "command_result", "An answer to a command that nobody gave is ignored, and so is its progress.", unknown_result;
    "command.answered", "command", "A command reaches the agent as a command frame, and its answer ends it, once.", answered;
    "command.at-most-once", "command", "A command that was delivered and not answered is not sent again.", at_most_once;
}

async fn unknown_result(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    for frame in [
        json!({"type": "command_result", "cmd_id": "nobody-gave-it", "ok": true, "result": {"new_task_id": "x"}}),
        json!({"type": "command_result", "cmd_id": "", "ok": false, "error": "busy", "message": null}),
        json!({"type": "command_progress", "cmd_id": "nobody-gave-it", "done": 1, "total": 2}),
    ] {
        socket.send(&frame).await?;
    }
    socket.deliver(&batch(1, &probe.task("result"))).await?;
    Ok("a batch after them was acked".to_owned())
}

/// Gives this agent a command through the API. Returns the command's id there.
pub(super) async fn give(probe: &Probe) -> Result<String, Failure> {
    if !probe.has_own_name() {
        return Err(Failure::untested("needs an agent name of its own"));
    }
    let body = json!({"cmd": "restart_agent", "args": {}, "agent": probe.agent});
    let Some((status, command)) = probe.api_post("commands", &body).await? else {
        return Err(Failure::untested("needs --api-key of an operator"));
    };
    match command["id"].as_str() {
        Some(id) if status == 202 => Ok(id.to_owned()),
        _ => Err(Failure::broken(format!("the API says {status} to a command: {command}"))),
    }
}

/// The command in the API, once it is over.
pub(super) async fn ended(probe: &Probe, id: &str) -> Result<Value, Failure> {
    let mut last = Value::Null;
    for _ in 0..5 {
        let Some((_, command)) = probe.api(&format!("commands/{id}?wait=2")).await? else { break };
        if !matches!(command["status"].as_str(), Some("pending" | "sent")) {
            return Ok(command);
        }
        last = command;
    }
    Err(Failure::broken(format!("10 s later, the API still shows {last}")))
}

async fn answered(probe: Probe) -> Verdict {
    let mut socket = probe.open_new().await?;
    let id = give(&probe).await?;
    let command = socket.command().await?;
    if command.cmd != "restart_agent" || command.cmd_id.is_empty() || !command.args.is_object() {
        return Err(Failure::broken(format!("{command:?} for restart_agent")));
    }
    let refusal = json!({"type": "command_result", "cmd_id": command.cmd_id, "ok": false, "error": "unsupported_command", "message": "no"});
    socket.send(&refusal).await?;
    socket.send(&json!({"type": "command_result", "cmd_id": command.cmd_id, "ok": true})).await?;
    let stored = ended(&probe, &id).await?;
    if stored["status"] != "failed" || stored["error"] != "unsupported_command" {
        return Err(Failure::broken(format!("after unsupported_command, the API shows {stored}")));
    }
    Ok("refused with unsupported_command, and the API says so".to_owned())
}

async fn at_most_once(probe: Probe) -> Verdict {
    let stream = new_stream();
    let (mut socket, _) = probe.open(&stream).await?;
    let id = give(&probe).await?;
    socket.command().await?;
    drop(socket);
    let (mut socket, _) = probe.open(&stream).await?;
    if let Heard::Text(text) = socket.hear(Duration::from_secs(2)).await {
        return Err(Failure::broken(format!("after a reconnect the brain sent {text}")));
    }
    let stored = ended(&probe, &id).await?;
    if stored["status"] != "unknown" {
        return Err(Failure::broken(format!("the API shows the status {}, and not unknown", stored["status"])));
    }
    Ok("not sent again; the API says that its outcome is unknown".to_owned())
}
