//! Frames that cannot be read end the connection, and nothing else.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::agent::{Agent, Said, batch, plain};
use crate::brain::{PATIENCE, TestBrain};
use crate::events::{event, life};

const MAX_FRAME_BYTES: usize = 4 << 20;

async fn close_after(brain: &TestBrain, last_seq: u64, message: Message) -> (u16, String) {
    let mut agent = Agent::open(brain, &plain("web"), last_seq).await;
    // The brain may close, for a good reason, before it has read everything.
    let _ = agent.try_send(message).await;
    agent.closed().await
}

fn padded(bytes: usize) -> String {
    let frame = json!({ "type": "gossip", "text": "" }).to_string();
    frame.replace(r#""""#, &format!(r#""{}""#, "x".repeat(bytes - frame.len())))
}

#[tokio::test]
async fn text_that_is_no_frame_closes_with_1007() {
    let brain = TestBrain::start().await;
    let malformed = [
        "",
        "nonsense",
        "{",
        r#"{"type":"heartbeat"} {"type":"heartbeat"}"#,
        "null",
        "7",
        r#""heartbeat""#,
        "[]",
        r#"["gossip"]"#,
        r#"["heartbeat"]"#,
        r#"["command_result","c",true]"#,
        r#"[{"type":"heartbeat"}]"#,
        r#"{"type":7}"#,
    ];
    for text in malformed {
        let (code, reason) = close_after(&brain, 0, Message::text(text)).await;
        assert_eq!(code, 1007, "{text}: {reason}");
        assert!(!reason.is_empty(), "{text}");
    }
}

#[tokio::test]
async fn text_that_is_no_object_closes_with_1007_also_before_hello() {
    let brain = TestBrain::start().await;
    let token = brain.token(None).await;
    for text in ["nonsense", "[]", "7", r#"["gossip"]"#, r#"["hello","v1","web","i1"]"#] {
        let mut agent = Agent::connect(&brain, &token.text).await;
        agent.send_text(text).await;
        assert_eq!(agent.closed().await.0, 1007, "{text}");
    }
}

#[tokio::test]
async fn what_is_not_utf8_text_closes_with_1007() {
    let brain = TestBrain::start().await;
    let binary = Message::binary(json!({ "type": "heartbeat" }).to_string().into_bytes());
    assert_eq!(close_after(&brain, 0, binary).await.0, 1007);
    let broken = Frame::message(b"{\"type\":\"\xff\xfe\"}".to_vec(), OpCode::Data(Data::Text), true);
    assert_eq!(close_after(&brain, 0, Message::Frame(broken)).await.0, 1007);
}

#[tokio::test]
async fn a_second_hello_closes_with_1007() {
    let brain = TestBrain::start().await;
    assert_eq!(close_after(&brain, 0, Message::text(plain("web").to_string())).await.0, 1007);
}

#[tokio::test]
async fn a_batch_that_is_not_one_closes_with_1007_and_stores_nothing() {
    let brain = TestBrain::start().await;
    let many: Value = (0..5_001).map(|at| event("task_sent", &format!("t{at}"))).collect();
    let malformed = [
        batch(1, json!([])),
        batch(1, many),
        batch(0, life("t1")),
        batch(1, json!({})),
        batch(1, json!(null)),
        json!({ "type": "event_batch", "seq": 1 }),
        json!({ "type": "event_batch", "events": life("t1") }),
        json!({ "type": "event_batch", "seq": "1", "events": life("t1") }),
        json!({ "type": "event_batch", "seq": -1, "events": life("t1") }),
        json!({ "type": "event_batch", "seq": 1.5, "events": life("t1") }),
    ];
    for frame in malformed {
        let (code, reason) = close_after(&brain, 0, Message::text(frame.to_string())).await;
        assert_eq!(code, 1007, "{reason}");
    }
    assert_eq!(brain.task_ids().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_largest_batch_is_taken() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    agent.tell(1, (0..5_000).map(|at| event("task_sent", &format!("t{at}"))).collect()).await;
    assert_eq!(brain.totals().await["sent"], 5_000);
}

#[tokio::test]
async fn the_largest_frame_is_taken_and_a_larger_one_closes_with_1009() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    agent.send_text(&padded(MAX_FRAME_BYTES)).await;
    agent.tell(1, life("t1")).await;
    agent.vanish();
    assert_eq!(close_after(&brain, 1, Message::text(padded(MAX_FRAME_BYTES + 1))).await.0, 1009);
    assert_eq!(close_after(&brain, 1, Message::text(padded(2 * MAX_FRAME_BYTES))).await.0, 1009);
}

#[tokio::test]
async fn a_frame_that_is_too_large_in_pieces_closes_with_1009() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    let piece = |first, last| {
        let kind = if first { Data::Text } else { Data::Continue };
        Message::Frame(Frame::message(vec![b' '; 1 << 20], OpCode::Data(kind), last))
    };
    for at in 0..5 {
        // The brain may have closed before the last piece.
        let _ = agent.try_send(piece(at == 0, at == 4)).await;
    }
    assert_eq!(agent.closed().await.0, 1009);
}

#[tokio::test]
async fn a_close_reaches_an_agent_that_goes_on_sending() {
    let brain = TestBrain::start().await;
    let mut agent = Agent::open(&brain, &plain("web"), 0).await;
    agent.send_text("nonsense").await;
    for seq in 1..=200 {
        if agent.try_send(Message::text(batch(seq, life("t1")).to_string())).await.is_err() {
            break;
        }
    }
    let said = tokio::time::timeout(PATIENCE, agent.next()).await.expect("something");
    assert!(matches!(said, Said::Close(1007, _)), "{said:?}");
    assert_eq!(brain.task_ids().await, Vec::<String>::new());
}
