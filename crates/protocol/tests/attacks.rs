//! Attacks that fuzzing does not come upon, since they are longer than what it tries: nesting and numbers without end.

use std::time::{Duration, Instant};

use taskplane_model::Timestamp;
use taskplane_protocol::frame::{AgentFrame, BrainFrame};
use taskplane_protocol::limits::MAX_FRAME_BYTES;
use taskplane_protocol::understand::understand;

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

/// Every place of a frame where a value of the peer's choice may stand.
fn frames_with(value: &str) -> Vec<String> {
    let places = [
        r#"{"type":@}"#,
        r#"{"x":@,"type":"heartbeat"}"#,
        r#"{"type":"gossip","x":@}"#,
        r#"{"type":"hello","protocol":"v1","agent_name":"a","capabilities":@,"metadata":{"x":@}}"#,
        r#"{"type":"hello","protocol":@,"agent_name":"a"}"#,
        r#"{"type":"event_batch","seq":@,"events":[{}]}"#,
        r#"{"type":"event_batch","seq":1,"events":@}"#,
        r#"{"type":"event_batch","seq":1,"events":[@]}"#,
        r#"{"type":"event_batch","seq":1,"events":[{"event_type":"task_sent","task_id":"a","ts":@}]}"#,
        r#"{"type":"event_batch","seq":1,"events":[{"event_type":"task_sent","task_id":"a","retries":@}]}"#,
        r#"{"type":"event_batch","seq":1,"events":[{"event_type":"task_sent","task_id":"a","args_redacted":@}]}"#,
        r#"{"type":"event_batch","seq":1,"events":[{"event_type":"task_sent","task_id":"a","unknown":@}]}"#,
        r#"{"type":"event_batch","seq":1,"events":[{"event_type":"worker_online","worker":"w","software":@}]}"#,
        r#"{"type":"heartbeat","ts":@,"buffer":@,"adapters":@}"#,
        r#"{"type":"command_result","cmd_id":"c","ok":true,"result":@}"#,
        r#"{"type":"schedule_sync","scheduler":"s","schedules":[{"id":"a","args_redacted":@}]}"#,
        r#"{"type":"command","cmd_id":"c","cmd":"retry_task","args":@}"#,
        r#"{"type":"ack","seq":@}"#,
    ];
    places.iter().map(|place| place.replace('@', value)).collect()
}

/// Reads the frame as both ends do, and whatever its events mean. True when it is a frame.
fn read(text: &str) -> bool {
    let from_brain = BrainFrame::parse(text);
    let from_agent = AgentFrame::parse(text);
    if let Ok(AgentFrame::EventBatch(batch)) = &from_agent {
        for event in batch.events.iter().flatten() {
            let _ = understand(event, Some("celery"), NOW);
        }
    }
    from_brain.is_ok() || from_agent.is_ok()
}

#[test]
fn nesting_without_end_is_read_or_refused_wherever_it_stands() {
    // A thread of an async runtime has 2 MiB of stack, this one has less.
    let reader = std::thread::Builder::new().stack_size(512 << 10).spawn(|| {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let deep = 100_000;
            for closed in [format!("{}1{}", open.repeat(deep), close.repeat(deep)), open.repeat(deep)] {
                for text in frames_with(&closed) {
                    assert!(text.len() < MAX_FRAME_BYTES);
                    read(&text);
                }
            }
        }
    });
    reader.expect("a thread").join().expect("no overflow of the stack");
}

#[test]
fn arguments_that_are_kept_as_text_may_be_nested_as_deep_as_they_like() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let text = frames_with(&deep).into_iter().find(|text| text.contains(r#""args_redacted""#)).expect("one of them");
    assert!(read(&text));
}

#[test]
fn numbers_and_strings_without_end_take_no_longer_than_their_length() {
    let begin = Instant::now();
    let digits = "9".repeat(1 << 18);
    let long = format!("\"{}\"", "\\u0000".repeat(1 << 15));
    let values = [digits.clone(), format!("-{digits}"), format!("0.{digits}"), format!("1e{digits}"), long];
    for text in values.iter().flat_map(|value| frames_with(value)) {
        read(&text);
    }
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}
