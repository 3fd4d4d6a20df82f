use super::*;

const START: Duration = Duration::from_secs(100);

fn live() -> AgentSession {
    let mut session = AgentSession::new(START);
    let hello = Hello { protocol: "v1".into(), agent_name: "a".into(), ..Hello::default() };
    let outputs = session.handle(START, AgentInput::Connected(&hello));
    assert!(matches!(&outputs[..], [AgentOutput::Send(text)] if text.starts_with(r#"{"type":"hello""#)));
    assert!(!session.wants_batch(), "nothing is sent before the brain has said where to begin");
    assert_eq!(session.handle(START, AgentInput::Text(r#"{"type":"ack","seq":4}"#)), [AgentOutput::Acked(4)]);
    session
}

fn batch(seq: u64, bytes: usize) -> AgentInput<'static> {
    AgentInput::Batch { seq, frame: "x".repeat(bytes) }
}

#[test]
fn the_window_is_bounded_by_batches() {
    let mut session = live();
    for seq in 5..5 + WINDOW_BATCHES as u64 {
        assert!(session.wants_batch());
        session.handle(START, batch(seq, 10));
    }
    assert!(!session.wants_batch());
    session.handle(START, AgentInput::Text(r#"{"type":"ack","seq":5}"#));
    assert!(session.wants_batch());
}

#[test]
fn the_window_is_bounded_by_bytes() {
    let mut session = live();
    session.handle(START, batch(5, WINDOW_BYTES));
    assert!(!session.wants_batch());
    session.handle(START, AgentInput::Text(r#"{"type":"ack","seq":5}"#));
    assert!(session.wants_batch());
}

#[test]
fn one_ack_covers_many_batches() {
    let mut session = live();
    for seq in 5..15 {
        session.handle(START, batch(seq, 100));
    }
    assert_eq!(session.handle(START, AgentInput::Text(r#"{"type":"ack","seq":14}"#)), [AgentOutput::Acked(14)]);
    assert_eq!(session.bytes_in_flight, 0);
}

#[test]
fn heartbeats_go_out_every_thirty_seconds() {
    let mut session = live();
    let mut beats = 0;
    for second in 1..=59 {
        let now = START + Duration::from_secs(second);
        session.handle(now, AgentInput::Alive);
        beats += session.handle(now, AgentInput::Tick(&Heartbeat::default())).len();
    }
    assert_eq!(beats, 2, "one at once, one after 30 s");
}

#[test]
fn an_adapter_in_trouble_is_told_at_once() {
    let mut session = live();
    let with =
        |text: &str| Heartbeat { adapters: Some([("celery".into(), text.into())].into()), ..Heartbeat::default() };
    assert_eq!(session.handle(START, AgentInput::Tick(&with("ok"))).len(), 1);
    assert_eq!(session.handle(START, AgentInput::Tick(&with("ok"))).len(), 0);
    assert_eq!(session.handle(START, AgentInput::Tick(&with("Redis is away"))).len(), 1);
}

#[test]
fn a_silent_brain_is_given_up() {
    let mut fresh = AgentSession::new(START);
    let tick = |session: &mut AgentSession, seconds| {
        session.handle(START + Duration::from_secs(seconds), AgentInput::Tick(&Heartbeat::default()))
    };
    assert!(tick(&mut fresh, 9).is_empty());
    assert!(matches!(tick(&mut fresh, 10)[..], [AgentOutput::GiveUp(_)]));
    let mut session = live();
    assert!(matches!(tick(&mut session, 60)[..], [AgentOutput::GiveUp(_)]));
}

#[test]
fn commands_are_handed_on_and_unknown_frames_are_counted() {
    let mut session = live();
    let text = r#"{"type":"command","cmd_id":"c1","cmd":"retry_task","args":{"task_id":"t"},"new":true}"#;
    assert!(
        matches!(&session.handle(START, AgentInput::Text(text))[..], [AgentOutput::Execute(c)] if c.cmd == "retry_task")
    );
    let unknown = session.handle(START, AgentInput::Text(r#"{"type":"gossip"}"#));
    assert_eq!(unknown, [AgentOutput::UnknownFrame("gossip".into())]);
}
