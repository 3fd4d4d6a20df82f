//! The golden frames do what their folder says, and the published schema agrees.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use taskplane_protocol::frame::{AgentFrame, BrainFrame, encode};
use taskplane_protocol::session::{GatewayInput, GatewayOutput, GatewaySession};
use taskplane_protocol::understand::understand;

use crate::schemas::Schemas;

const NOW: taskplane_model::Timestamp = taskplane_model::Timestamp(1_795_400_000_000_000);

fn golden(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder);
    let mut frames: Vec<(String, String)> = std::fs::read_dir(&folder)
        .expect("the folder")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("the frame"))
        })
        .collect();
    frames.sort();
    assert!(!frames.is_empty());
    frames
}

fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(file);
    serde_json::from_str(&std::fs::read_to_string(path).expect("the file")).expect("a list of cases")
}

/// What a frame says, in a form that can be compared, and the same after it was written again.
fn meaning(text: &str) -> (Value, Option<Value>) {
    let value = |frame: &AgentFrame<'_>| match frame {
        AgentFrame::Hello(hello) => (serde_json::to_value(hello), Some(encode("hello", hello))),
        AgentFrame::Heartbeat(heartbeat) => (serde_json::to_value(heartbeat), Some(encode("heartbeat", heartbeat))),
        AgentFrame::CommandResult(result) => (serde_json::to_value(result), Some(encode("command_result", result))),
        AgentFrame::CommandProgress(progress) => {
            (serde_json::to_value(progress), Some(encode("command_progress", progress)))
        }
        AgentFrame::EventBatch(batch) => {
            let events: Vec<_> = batch.events.iter().map(|event| event.as_ref().expect("readable")).collect();
            let again = serde_json::json!({"type": "event_batch", "seq": batch.seq, "events": events});
            (serde_json::to_value(&events), Some(again.to_string()))
        }
        // Only ever read by this crate.
        AgentFrame::ScheduleSync(sync) => (Ok(Value::from(format!("{sync:?}"))), None),
        AgentFrame::Unknown(kind) => panic!("{kind} is not known"),
    };
    let (before, again) = value(&AgentFrame::parse(text).expect("a frame"));
    let after = again.map(|again| value(&AgentFrame::parse(&again).expect("what we write")).0.expect("JSON"));
    (before.expect("JSON"), after)
}

#[test]
fn golden_frames_of_agents_satisfy_their_schema_and_survive_being_read_and_written() {
    let schemas = Schemas::load();
    for (name, text) in golden("agent") {
        schemas.check(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (before, after) = meaning(&text);
        if let Some(after) = after {
            assert_eq!(before, after, "{name}");
        }
        if let AgentFrame::EventBatch(batch) = AgentFrame::parse(&text).expect("a frame") {
            for event in &batch.events {
                understand(event.as_ref().expect("readable"), None, NOW).unwrap_or_else(|why| panic!("{name}: {why}"));
            }
        }
    }
}

#[test]
fn golden_frames_of_brains_satisfy_their_schema_and_survive_being_read_and_written() {
    let schemas = Schemas::load();
    for (name, text) in golden("brain") {
        schemas.check(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        match BrainFrame::parse(&text).expect("a frame") {
            BrainFrame::Ack { seq } => {
                let again = BrainFrame::ack(seq);
                assert!(matches!(BrainFrame::parse(&again), Ok(BrainFrame::Ack { seq: s }) if s == seq), "{name}");
            }
            BrainFrame::Command(command) => {
                let again = encode("command", &command);
                assert!(matches!(BrainFrame::parse(&again), Ok(BrainFrame::Command(c)) if c == command), "{name}");
            }
            BrainFrame::Unknown(kind) => panic!("{name}: {kind} is not known"),
        }
    }
}

#[test]
fn every_frame_has_a_golden_one() {
    let names: Vec<String> = golden("agent").into_iter().chain(golden("brain")).map(|(name, _)| name).collect();
    for frame in Schemas::load().frames() {
        assert!(names.iter().any(|name| name.split('.').next() == Some(frame)), "{frame} has no golden frame");
    }
}

/// What a brain's session makes of one frame: a close code, or what else it does.
fn gateway(case: &Value) -> (Option<u16>, String) {
    let mut session = GatewaySession::new(Duration::ZERO);
    if case["before_hello"] != true {
        let hello = r#"{"type":"hello","protocol":"v1","agent_name":"a","engines":["celery"]}"#;
        session.handle(Duration::ZERO, GatewayInput::Text(hello));
        session.handle(Duration::ZERO, GatewayInput::Opened { last_seq: 0 });
    }
    let text = case["text"].as_str().expect("text");
    let outputs = session.handle(Duration::ZERO, GatewayInput::Text(text));
    let code = outputs.iter().find_map(|output| match output {
        GatewayOutput::Close(code, _) => Some(code.number()),
        _ => None,
    });
    (code, format!("{outputs:?}"))
}

#[test]
fn refused_frames_end_the_connection_with_their_code_and_break_their_schema() {
    let schemas = Schemas::load();
    for case in cases("refused.json") {
        let (name, text) = (&case["name"], case["text"].as_str().expect("text"));
        if case["direction"] == "brain" {
            assert!(BrainFrame::parse(text).is_err(), "{name}");
        } else {
            let (code, outputs) = gateway(&case);
            assert_eq!(code.map(Value::from).as_ref(), Some(&case["close_code"]), "{name}: {outputs}");
        }
        // In their place, these would be fine; or a schema cannot say what is wrong with them.
        let is_about_more_than_form = case["close_code"] == 4001
            || case["close_code"] == 4000
            || ["a second hello", "a hello with an empty name", "a hello with a line break in its name"]
                .contains(&name.as_str().expect("a name"));
        assert!(is_about_more_than_form || schemas.check(text).is_err(), "{name} satisfies its schema");
    }
}

#[test]
fn tolerated_frames_have_the_effect_that_is_said() {
    for case in cases("tolerated.json") {
        let (name, text) = (&case["name"], case["text"].as_str().expect("text"));
        if case["direction"] == "brain" {
            assert!(matches!(BrainFrame::parse(text), Ok(BrainFrame::Unknown(_))), "{name}");
            continue;
        }
        let (code, outputs) = gateway(&case);
        assert_eq!(code, None, "{name}: {outputs}");
        let effect = case["effect"].as_str().expect("an effect");
        let frame = AgentFrame::parse(text).expect("a frame");
        assert_eq!(matches!(frame, AgentFrame::Unknown(_)), effect == "ignored", "{name}");
        if let AgentFrame::EventBatch(batch) = frame {
            let poison = batch.events.iter().filter(|event| match event {
                Ok(event) => understand(event, Some("celery"), NOW).is_err(),
                Err(_) => true,
            });
            assert_eq!(poison.count(), usize::from(effect == "quarantined"), "{name}");
        }
    }
}
