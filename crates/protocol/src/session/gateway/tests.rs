use super::*;

const HELLO: &str = r#"{"type":"hello","protocol":"v1","agent_name":"web-01","engines":["celery"]}"#;
const START: Duration = Duration::from_secs(100);

fn session() -> GatewaySession {
    GatewaySession::new(START)
}

fn open(last_seq: u64) -> GatewaySession {
    let mut session = session();
    assert!(matches!(session.handle(START, GatewayInput::Text(HELLO))[..], [GatewayOutput::Open(_)]));
    let acks = session.handle(START, GatewayInput::Opened { last_seq });
    assert_eq!(sent(&acks), [BrainFrame::ack(last_seq)]);
    session
}

fn sent(outputs: &[GatewayOutput<'_>]) -> Vec<String> {
    outputs.iter().filter_map(|o| if let GatewayOutput::Send(text) = o { Some(text.clone()) } else { None }).collect()
}

fn closed_with(outputs: &[GatewayOutput<'_>]) -> Option<CloseCode> {
    outputs.iter().find_map(|o| if let GatewayOutput::Close(code, _) = o { Some(*code) } else { None })
}

#[test]
fn hello_is_answered_with_the_last_persisted_seq() {
    open(4281);
}

#[test]
fn a_first_frame_that_is_not_hello_closes_with_4000() {
    for text in [r#"{"type":"heartbeat"}"#, r#"{"type":"news"}"#, r#"{"no":"type"}"#, r#"{"type":"hello"}"#] {
        assert_eq!(closed_with(&session().handle(START, GatewayInput::Text(text))), Some(CloseCode::NoHello), "{text}");
    }
}

#[test]
fn no_hello_within_ten_seconds_closes_with_4000() {
    let mut session = session();
    assert!(session.handle(START + Duration::from_secs(9), GatewayInput::Tick).is_empty());
    let outputs = session.handle(START + Duration::from_secs(10), GatewayInput::Tick);
    assert_eq!(closed_with(&outputs), Some(CloseCode::NoHello));
}

#[test]
fn nothing_happens_before_the_next_tick_and_something_at_it() {
    for mut session in [session(), open(0)] {
        let mut ticks = 0;
        while !session.is_closed() {
            let at = session.next_tick();
            assert!(session.handle(at - Duration::from_millis(1), GatewayInput::Tick).is_empty());
            assert!(!session.handle(at, GatewayInput::Tick).is_empty());
            ticks += 1;
        }
        assert!((1..=5).contains(&ticks), "{ticks}");
    }
    let mut session = open(0);
    let before = session.next_tick();
    session.handle(START + Duration::from_secs(5), GatewayInput::Text(r#"{"type":"heartbeat"}"#));
    assert!(session.next_tick() >= before);
}

#[test]
fn another_major_version_closes_with_4001_and_a_minor_one_does_not() {
    let hello = |version: &str| HELLO.replace("v1", version);
    for version in ["v2", "v0", "one", ""] {
        let text = hello(version);
        let mut session = session();
        let outputs = session.handle(START, GatewayInput::Text(&text));
        assert_eq!(closed_with(&outputs), Some(CloseCode::VersionMismatch), "{version}");
    }
    // Another version's hello may have another form.
    for text in [r#"{"type":"hello","protocol":"v2"}"#, r#"{"protocol":"v3.1","agent_name":{"a":1},"type":"hello"}"#] {
        assert_eq!(closed_with(&session().handle(START, GatewayInput::Text(text))), Some(CloseCode::VersionMismatch));
    }
    let text = hello("v1.9");
    assert!(matches!(session().handle(START, GatewayInput::Text(&text))[..], [GatewayOutput::Open(_)]));
}

#[test]
fn garbage_closes_with_1007_and_too_much_with_1009() {
    for text in [
        "",
        "nonsense",
        "[1]",
        "7",
        r#"{"type":"event_batch","seq":"x"}"#,
        r#"{"type":"event_batch","seq":1,"events":[]}"#,
    ] {
        assert_eq!(closed_with(&open(0).handle(START, GatewayInput::Text(text))), Some(CloseCode::Malformed), "{text}");
    }
    assert_eq!(closed_with(&open(0).handle(START, GatewayInput::NotText)), Some(CloseCode::Malformed));
    assert_eq!(closed_with(&open(0).handle(START, GatewayInput::TooLarge)), Some(CloseCode::TooLarge));
    assert_eq!(closed_with(&session().handle(START, GatewayInput::Text("garbage"))), Some(CloseCode::Malformed));
}

#[test]
fn acks_are_cumulative_and_never_go_back() {
    let mut session = open(5);
    assert_eq!(sent(&session.handle(START, GatewayInput::Stored { seq: 7 })), [BrainFrame::ack(7)]);
    // A replay of 3 is acked again, with the highest number.
    assert_eq!(sent(&session.handle(START, GatewayInput::Stored { seq: 3 })), [BrainFrame::ack(7)]);
}

#[test]
fn unknown_frames_are_ignored() {
    let mut session = open(0);
    let outputs = session.handle(START, GatewayInput::Text(r#"{"type":"gossip","x":1}"#));
    assert!(matches!(&outputs[..], [GatewayOutput::UnknownFrame(kind)] if kind == "gossip"));
    assert!(!session.is_closed());
}

#[test]
fn a_silent_agent_is_given_up_after_three_heartbeats() {
    let mut session = open(0);
    let mut pings = 0;
    for second in 1..90 {
        for output in session.handle(START + Duration::from_secs(second), GatewayInput::Tick) {
            assert!(matches!(output, GatewayOutput::Ping));
            pings += 1;
        }
        session.handle(START + Duration::from_secs(second), GatewayInput::Alive);
    }
    assert_eq!(pings, 4);
    let outputs = session.handle(START + Duration::from_secs(90), GatewayInput::Tick);
    assert_eq!(closed_with(&outputs), Some(CloseCode::HeartbeatTimeout));
    assert!(session.handle(START, GatewayInput::Text(HELLO)).is_empty(), "a closed session answers nothing");
}

#[test]
fn a_close_reason_fits_its_frame() {
    let text = HELLO.replace("v1", &"ü".repeat(200));
    let mut session = session();
    let outputs = session.handle(START, GatewayInput::Text(&text));
    let [GatewayOutput::Close(_, reason)] = &outputs[..] else { panic!("closes") };
    assert!(reason.len() <= 123);
}

#[test]
fn silence_does_not_count_while_nothing_is_read() {
    let mut session = open(0);
    for second in (10..200).step_by(10) {
        let now = START + Duration::from_secs(second);
        session.handle(now, GatewayInput::NotReading);
        assert_eq!(closed_with(&session.handle(now, GatewayInput::Tick)), None, "{second}");
    }
    let later = START + Duration::from_secs(190) + HEARTBEAT_TIMEOUT;
    assert_eq!(closed_with(&session.handle(later, GatewayInput::Tick)), Some(CloseCode::HeartbeatTimeout));
}

#[test]
fn a_hello_over_its_limit_closes_with_1009() {
    let hello = |bytes| format!(r#"{},"more":"{}"}}"#, &HELLO[..HELLO.len() - 1], "x".repeat(bytes));
    let text = hello(MAX_HELLO_BYTES - 200);
    assert!(matches!(session().handle(START, GatewayInput::Text(&text))[..], [GatewayOutput::Open(_)]));
    let text = hello(MAX_HELLO_BYTES);
    assert_eq!(closed_with(&session().handle(START, GatewayInput::Text(&text))), Some(CloseCode::TooLarge));
}

#[test]
fn of_a_heartbeat_over_its_limit_only_the_sign_of_life_counts() {
    let report = "x".repeat(MAX_HEARTBEAT_BYTES);
    let text = format!(r#"{{"type":"heartbeat","adapters":{{"celery":"{report}"}}}}"#);
    let mut session = open(0);
    let outputs = session.handle(START, GatewayInput::Text(&text));
    assert!(matches!(&outputs[..], [GatewayOutput::Heartbeat(heartbeat)] if heartbeat.adapters.is_none()));
}

#[test]
fn deep_nesting_is_read_without_recursion() {
    for (open_all, close_all) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = format!("{}1{}", open_all.repeat(100_000), close_all.repeat(100_000));
        let mut session = open(0);
        let batch = format!(
            r#"{{"type":"event_batch","seq":1,"x":{deep},"events":[{{"event_type":"a","args_redacted":{deep}}},{{"y":{deep}}},{deep}]}}"#
        );
        let outputs = session.handle(START, GatewayInput::Text(&batch));
        assert!(matches!(&outputs[..], [GatewayOutput::Ingest(batch)] if batch.events.len() == 3));
        for kind in ["heartbeat", "gossip", "hello", "command_result", "command_progress", "schedule_sync"] {
            for key in ["adapters", "metadata", "result", "schedules", "more"] {
                let text =
                    format!(r#"{{"type":"{kind}","protocol":"v1","agent_name":"a","cmd_id":"c","{key}":{deep}}}"#);
                // Whatever comes of it, nothing overflows.
                open(0).handle(START, GatewayInput::Text(&text));
                self::session().handle(START, GatewayInput::Text(&text));
            }
        }
        assert_eq!(
            closed_with(&session.handle(START, GatewayInput::Text(&deep[..100_000]))),
            Some(CloseCode::Malformed)
        );
    }
}

#[test]
fn many_empty_events_are_counted_and_not_kept() {
    let text = format!(r#"{{"type":"event_batch","seq":1,"events":[{{}}{}]}}"#, ",{}".repeat(200_000));
    let mut session = open(0);
    let outputs = session.handle(START, GatewayInput::Text(&text));
    let [GatewayOutput::Close(CloseCode::Malformed, reason)] = &outputs[..] else { panic!("closes: {outputs:?}") };
    assert!(reason.contains("200001 events"), "{reason}");
}
