//! What an answered command says of each task that it was about.

use serde_json::Value;
use taskplane_model::bulk::BulkEnd;
use taskplane_model::command::{Command, CommandStatus};

/// Longest code and text that are kept of an agent's answer, in bytes.
const MAX_CODE: usize = 60;
const MAX_MESSAGE: usize = 500;

/// Nothing was sent, or the agent did not begin.
const NOT_BEGUN: [&str; 4] = ["agent_not_connected", "not_sent", "store_unavailable", "busy"];
/// The agent refused the whole command before it did anything.
const REFUSED: [&str; 6] =
    ["unsupported_command", "invalid_args", "not_found", "no_original_payload", "read_only", "not_retried"];
/// The agent had no time left to try it.
const NOT_TRIED: &str = "not_tried";
/// The broker may have it all the same.
pub(super) const ENGINE_ERROR: &str = "engine_error";

/// What became of each task of a `bulk_retry` that has ended. Tasks that are not named were not answered.
pub(super) fn ends(command: &Command) -> Vec<(String, BulkEnd)> {
    let ids = command.args.get("task_ids").and_then(Value::as_array).into_iter().flatten();
    ids.filter_map(Value::as_str).filter_map(|id| Some((id.to_owned(), end(command, id)?))).collect()
}

fn end(command: &Command, id: &str) -> Option<BulkEnd> {
    let message = || command.message.as_deref().map(cut);
    match command.status {
        CommandStatus::Pending | CommandStatus::Sent => None,
        CommandStatus::TimedOut => Some(BulkEnd::Unknown("timed_out".into(), message())),
        CommandStatus::Unknown => Some(BulkEnd::Unknown("agent_went_away".into(), message())),
        CommandStatus::Succeeded => of_result(command.result.as_ref()?, id),
        CommandStatus::Failed => {
            let code = command.error.as_deref().unwrap_or(ENGINE_ERROR);
            Some(match code {
                _ if NOT_BEGUN.contains(&code) => BulkEnd::Again,
                _ if REFUSED.contains(&code) => BulkEnd::Refused(code.to_owned(), message()),
                _ => BulkEnd::Unknown(code_of(code), message()),
            })
        }
    }
}

fn of_result(result: &Value, id: &str) -> Option<BulkEnd> {
    if let Some(new) = result.get("retried").and_then(|retried| retried.get(id)) {
        // An agent that does not say the new id has retried it all the same.
        let new = new.as_str().filter(|new| !new.is_empty());
        let nameless = || BulkEnd::Unknown("no_new_id".into(), None);
        return Some(new.map_or_else(nameless, |new| BulkEnd::Accepted(new.to_owned())));
    }
    let why = result.get("failed")?.get(id)?;
    let (code, message) = why_not(why, result.get("codes").and_then(|codes| codes.get(id)));
    Some(match code.as_str() {
        NOT_TRIED => BulkEnd::Again,
        ENGINE_ERROR => BulkEnd::Unknown(code, message),
        _ => BulkEnd::Refused(code, message),
    })
}

/// Why a task was not retried: a code and a text. Agents say a code, a text, or both in an object or beside it.
pub(super) fn why_not(why: &Value, code: Option<&Value>) -> (String, Option<String>) {
    let text = |value: &Value| value.as_str().map(cut);
    let said = |value: &Value| value.as_str().filter(|code| is_code(code)).map(str::to_owned);
    if let Some(code) = code.and_then(said) {
        return (code, text(why));
    }
    if why.is_object() {
        let code = why.get("error").and_then(said).unwrap_or_else(|| "not_retried".to_owned());
        return (code, why.get("message").and_then(text));
    }
    match said(why) {
        Some(code) => (code, None),
        None => ("not_retried".to_owned(), text(why)),
    }
}

fn code_of(code: &str) -> String {
    if is_code(code) { code.to_owned() } else { ENGINE_ERROR.to_owned() }
}

fn is_code(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    !text.is_empty() && text.len() <= MAX_CODE && text.bytes().all(is_plain)
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_MESSAGE)].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use taskplane_model::Timestamp;

    use super::*;

    fn command(status: CommandStatus, result: Option<Value>, error: Option<&str>) -> Command {
        Command {
            id: "c".into(),
            cmd: "bulk_retry".into(),
            args: json!({"engine": "celery", "task_ids": ["a", "b", "c", "d", "e"]}),
            agent: None,
            status,
            result,
            error: error.map(str::to_owned),
            message: Some("for people".into()),
            created_at: Timestamp(0),
            finished_at: None,
            created_by: "tester".into(),
            task_id: None,
        }
    }

    #[test]
    fn each_task_has_an_end_of_its_own() {
        let result = json!({
            "retried": {"a": "a2"},
            "failed": {"b": "no_original_payload", "c": "The broker is away.", "d": {"error": "not_found", "message": "no d"}},
            "codes": {"c": "engine_error"},
        });
        let refused = |code: &str, message: Option<&str>| BulkEnd::Refused(code.into(), message.map(str::to_owned));
        let found = ends(&command(CommandStatus::Succeeded, Some(result), None));
        let expected = [
            ("a", BulkEnd::Accepted("a2".into())),
            ("b", refused("no_original_payload", None)),
            ("c", BulkEnd::Unknown("engine_error".into(), Some("The broker is away.".into()))),
            ("d", refused("not_found", Some("no d"))),
        ];
        assert_eq!(found, expected.map(|(id, end)| (id.to_owned(), end)));
        let other = json!({"failed": {"a": "Some sentence."}});
        assert_eq!(
            ends(&command(CommandStatus::Succeeded, Some(other), None)),
            [("a".to_owned(), refused("not_retried", Some("Some sentence.")))]
        );
    }

    #[test]
    fn what_was_certainly_not_sent_waits_again_and_what_may_have_been_done_is_unknown() {
        let all = |status, error| ends(&command(status, None, error)).into_iter().map(|(_, end)| end).next();
        assert_eq!(all(CommandStatus::Failed, Some("agent_not_connected")), Some(BulkEnd::Again));
        assert_eq!(all(CommandStatus::Failed, Some("busy")), Some(BulkEnd::Again));
        assert!(matches!(all(CommandStatus::Failed, Some("unsupported_command")), Some(BulkEnd::Refused(..))));
        assert!(matches!(all(CommandStatus::Failed, Some("engine_error")), Some(BulkEnd::Unknown(..))));
        assert!(
            matches!(all(CommandStatus::Failed, Some("Über alles")), Some(BulkEnd::Unknown(code, _)) if code == ENGINE_ERROR)
        );
        assert!(matches!(all(CommandStatus::TimedOut, None), Some(BulkEnd::Unknown(..))));
        assert!(matches!(all(CommandStatus::Unknown, None), Some(BulkEnd::Unknown(..))));
        assert_eq!(all(CommandStatus::Sent, None), None);
    }
}
