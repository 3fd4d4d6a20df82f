//! From what an engine answered to what is told of it.

use serde_json::{Map, Value, json};

use super::Redactor;
use super::event::{MAX_VALUE_BYTES, raw};
use super::text::cut_end;
use super::value::redacted_json;
use crate::engine::{FoundTask, FoundTasks, RetryPreview};

/// Most bytes of a value or a message where many tasks were asked for, so that a thousand fit into one frame.
const MAX_SHORT_BYTES: usize = 512;
/// Most bytes in JSON of a name.
const MAX_NAME_BYTES: usize = 512;
/// What stands for arguments that cannot be read outside the application.
const UNREADABLE: &str = "<not readable here>";
/// Most silent workers named with each task.
const MAX_SILENT: usize = 10;

impl Redactor {
    /// What a retry would send, with its arguments or without.
    pub(crate) fn preview(&self, preview: &RetryPreview, with_values: bool) -> Value {
        let mut told = json!({
            "source": preview.source.wire_name(),
            "lossless": preview.lossless,
            "name": cut_end(&preview.name, MAX_NAME_BYTES),
            "queue": cut_end(&preview.queue, MAX_NAME_BYTES),
            "eta": preview.eta.map(|at| at.to_string()),
            "notes": preview.notes.iter().map(|note| self.shown_text(note, MAX_SHORT_BYTES)).collect::<Vec<_>>(),
        });
        if with_values {
            let (args, kwargs) = match &preview.arguments {
                Some((args, kwargs)) => {
                    let (args, kwargs) = (Value::Array(args.clone()), Value::Object(kwargs.clone()));
                    (self.value(&args, MAX_VALUE_BYTES), self.value(&kwargs, MAX_VALUE_BYTES))
                }
                None => (UNREADABLE.into(), UNREADABLE.into()),
            };
            (told["args_redacted"], told["kwargs_redacted"]) = (args, kwargs);
        }
        told
    }

    /// What was found of one of the tasks of `all`.
    pub(crate) fn found(&self, task: &FoundTask, all: &FoundTasks) -> Value {
        let (value_room, text_room) =
            if all.tasks.len() == 1 { (MAX_VALUE_BYTES, 16 << 10) } else { (MAX_SHORT_BYTES, MAX_SHORT_BYTES) };
        let silent: Vec<_> =
            all.workers_silent.iter().take(MAX_SILENT).map(|name| cut_end(name, MAX_NAME_BYTES)).collect();
        let evidence = task.evidence.iter().map(|clause| self.shown_text(clause, MAX_SHORT_BYTES));
        let mut told = Map::from_iter([
            ("state".to_owned(), json!(task.state.wire_name())),
            ("evidence".to_owned(), json!(evidence.collect::<Vec<_>>())),
            ("workers_answered".to_owned(), json!(all.workers_answered)),
            ("workers_silent".to_owned(), json!(silent)),
        ]);
        let text = |text: &Option<String>, room| text.as_ref().map(|text| json!(self.shown_text(text, room)));
        let name = |name: &Option<String>| name.as_ref().map(|name| json!(cut_end(name, MAX_NAME_BYTES)));
        let known = [
            ("known_by", task.found_in.map(|place| json!(place.wire_name()))),
            ("worker", name(&task.worker)),
            ("queue", name(&task.queue)),
            ("finished_at", task.finished_at.map(|at| json!(at.to_string()))),
            ("result_redacted", task.result.as_ref().map(|result| self.value(result, value_room))),
            ("exception", text(&task.exception, MAX_NAME_BYTES)),
            ("exception_message", text(&task.exception_message, text_room)),
        ];
        if !task.unseen.is_empty() {
            let places: Vec<_> = task.unseen.iter().map(|place| place.wire_name()).collect();
            told.insert("unseen".to_owned(), json!(places));
        }
        told.extend(known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        Value::Object(told)
    }

    fn value(&self, value: &Value, max_bytes: usize) -> Value {
        serde_json::from_str(raw(redacted_json(self, value, max_bytes)).get()).unwrap_or(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{ArgumentSource, FoundIn, FoundState};

    fn redactor() -> Redactor {
        Redactor::new(&Default::default()).expect("built-in rules")
    }

    #[test]
    fn a_preview_shows_arguments_only_redacted_and_only_where_they_were_asked_for() {
        let preview = RetryPreview {
            source: ArgumentSource::Message,
            lossless: true,
            name: "mail.send".into(),
            queue: "mail".into(),
            eta: None,
            notes: vec!["its callbacks are kept".into()],
            arguments: Some((
                vec![json!("bob@example.com"), json!(7)],
                json!({"password": "hunter2"}).as_object().cloned().expect("a map"),
            )),
        };
        let told = redactor().preview(&preview, true);
        assert_eq!(
            (&told["args_redacted"], &told["kwargs_redacted"]["password"]),
            (&json!(["<email>", 7]), &json!("<redacted>"))
        );
        assert_eq!(
            (&told["source"], &told["lossless"], &told["queue"]),
            (&json!("message"), &json!(true), &json!("mail"))
        );
        assert_eq!(redactor().preview(&preview, false).get("args_redacted"), None);
        let told = redactor().preview(&RetryPreview { arguments: None, ..preview }, true);
        assert_eq!(told["args_redacted"], "<not readable here>");
    }

    #[test]
    fn a_thousand_states_fit_into_a_frame() {
        let long = "x'y ".repeat(10_000);
        let task = FoundTask {
            state: FoundState::Failed,
            found_in: Some(FoundIn::ResultBackend),
            worker: Some("w".repeat(600)),
            result: Some(json!([long, long])),
            exception: Some("E".repeat(600)),
            exception_message: Some(long.clone()),
            evidence: vec!["its worker is gone".into(); 3],
            unseen: vec![FoundIn::Queue, FoundIn::Unacked],
            ..FoundTask::default()
        };
        let tasks = (0..1_000).map(|n| (format!("{n:0512}"), task.clone())).collect();
        let all = FoundTasks { tasks, workers_answered: 1, workers_silent: vec!["w2@h".into()] };
        let redactor = redactor();
        let told: Map<_, _> = all.tasks.iter().map(|(id, task)| (id.clone(), redactor.found(task, &all))).collect();
        let unseen = told.values().next().map(|task| task["unseen"].clone());
        assert_eq!(unseen, Some(json!(["queue", "unacked"])));
        let bytes = Value::Object(told).to_string().len();
        assert!(bytes < taskplane_protocol::limits::MAX_FRAME_BYTES, "{bytes} bytes");
    }
}
