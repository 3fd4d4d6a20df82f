use proptest::prelude::*;

use super::*;

/// The frames of the specification's source text, word for word.
const HELLO: &str = include_str!("../../fixtures/hello.json");
const EVENT_BATCH: &str = include_str!("../../fixtures/event_batch.json");
const COMMAND_RESULT: &str = include_str!("../../fixtures/command_result.json");

#[test]
fn the_specifications_own_frames_are_read() {
    let AgentFrame::Hello(hello) = AgentFrame::parse(HELLO).expect("hello") else { panic!("hello") };
    assert_eq!((hello.agent_name.as_str(), hello.instance_id.as_str()), ("web-01", ""));
    assert_eq!(hello.capabilities["celery-beat"]["writable_backend"], "django-celery-beat");

    let AgentFrame::EventBatch(batch) = AgentFrame::parse(EVENT_BATCH).expect("batch") else { panic!("batch") };
    let event = batch.events[0].as_ref().expect("readable");
    assert_eq!((batch.seq, event.name.as_deref()), (4281, Some("email.send_welcome")));
    assert_eq!(event.kwargs_redacted.map(RawValue::get), Some(r#"{ "to": "<email>" }"#));

    let AgentFrame::CommandResult(result) = AgentFrame::parse(COMMAND_RESULT).expect("result") else {
        panic!("result")
    };
    assert!(result.ok && result.cmd_id == "cmd-4821");

    let command =
        r#"{"type":"command","cmd_id":"cmd-4821","cmd":"retry_task","args":{"task_id":"1f9c5","engine":"celery"}}"#;
    assert!(matches!(BrainFrame::parse(command), Ok(BrainFrame::Command(c)) if c.args["engine"] == "celery"));
    assert!(matches!(BrainFrame::parse(r#"{"type":"ack","seq":4281}"#), Ok(BrainFrame::Ack { seq: 4281 })));
    assert!(matches!(
        AgentFrame::parse(r#"{"type":"heartbeat","ts":"2026-04-16T12:34:56.789Z"}"#),
        Ok(AgentFrame::Heartbeat(_))
    ));
}

#[test]
fn a_bad_event_does_not_block_its_batch() {
    let text = r#"{"seq":1,"events":[{"event_type":"task_sent","task_id":5},7,{"event_type":"task_sent","task_id":"a"}],"type":"event_batch"}"#;
    let AgentFrame::EventBatch(batch) = AgentFrame::parse(text).expect("batch") else { panic!("batch") };
    let readable: Vec<bool> = batch.events.iter().map(Result::is_ok).collect();
    assert_eq!(readable, [false, false, true]);
    assert_eq!(batch.events[1].as_ref().expect_err("poison").raw, "7");
}

#[test]
fn a_peer_that_writes_null_or_nonsense_where_nothing_depends_on_it_is_understood() {
    let hello =
        r#"{"type":"hello","protocol":"v1","agent_name":"a","instance_id":null,"engines":null,"schedulers":null}"#;
    assert!(
        matches!(AgentFrame::parse(hello), Ok(AgentFrame::Hello(h)) if h.instance_id.is_empty() && h.engines.is_empty())
    );
    let heartbeat = r#"{"type":"heartbeat","ts":5,"buffer":{"oldest_ts":"soon"},"adapters":{"celery":"ok"}}"#;
    let Ok(AgentFrame::Heartbeat(heartbeat)) = AgentFrame::parse(heartbeat) else { panic!("a heartbeat") };
    assert!(heartbeat.buffer.is_none() && heartbeat.adapters.is_some());
    for ts in ["5", "1.5", "null", "true", "[1,[2]]", r#"{"a":{}}"#] {
        let text = format!(
            r#"{{"type":"event_batch","seq":1,"events":[{{"ts":{ts},"event_type":"task_sent","task_id":"t"}}]}}"#
        );
        let AgentFrame::EventBatch(batch) = AgentFrame::parse(&text).expect("a batch") else { panic!("a batch") };
        assert!(batch.events[0].as_ref().is_ok_and(|e| e.ts.is_none()), "{ts}");
    }
}

#[test]
fn plain_text_is_borrowed_and_escapes_are_decoded() {
    let text = r#"{"type":"event_batch","seq":1,"events":[{"event_type":"task_sent","task_id":"a\"b","name":"n"}]}"#;
    let AgentFrame::EventBatch(batch) = AgentFrame::parse(text).expect("batch") else { panic!("batch") };
    let event = batch.events[0].as_ref().expect("readable");
    assert_eq!(event.task_id.as_deref(), Some("a\"b"));
    assert!(matches!(&event.name, Some(Str(std::borrow::Cow::Borrowed("n")))));
}

#[test]
fn what_we_write_we_read() {
    let result =
        CommandResult { cmd_id: "c".into(), ok: false, error: Some("busy".into()), ..CommandResult::default() };
    let text = encode("command_result", &result);
    assert!(matches!(AgentFrame::parse(&text), Ok(AgentFrame::CommandResult(read)) if read == result));
    assert!(matches!(BrainFrame::parse(&BrainFrame::ack(9)), Ok(BrainFrame::Ack { seq: 9 })));
}

proptest! {
    #[test]
    fn parsing_never_panics(text in ".{0,200}") {
        let _ = AgentFrame::parse(&text);
        let _ = BrainFrame::parse(&text);
    }

    #[test]
    fn parsing_damaged_frames_never_panics(at in 0usize..400, byte in any::<u8>()) {
        let mut bytes = EVENT_BATCH.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let _ = AgentFrame::parse(text);
        }
    }
}
