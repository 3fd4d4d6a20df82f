//! The program tells a brain that keeps the rules from brains that break one each.
#![expect(clippy::expect_used, reason = "in a test, what cannot be is a failure")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use taskplane_conformance::report::{Report, Standing};
use taskplane_conformance::{Options, Unchecked};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// What a brain does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sin {
    None,
    LetsAnybodyIn,
    ForgetsToChallenge,
    TakesAnyVersion,
    TakesAnythingFirst,
    ClosesWithAnotherCode,
    AcksTooMuch,
    AcksGoBack,
    ForgetsStreams,
    AcksRoundedNumbers,
    ChokesOnUnknownFrames,
    ChokesOnPoison,
}

/// The rules that the scripted brain keeps when it does nothing wrong.
const RULES: &[&str] = &[
    "handshake.no-token",
    "hello.major",
    "hello.first",
    "frame.binary",
    "frame.unknown-types",
    "ack.batch",
    "ack.old",
    "ack.reconnect",
    "ack.64-bit",
    "event.poison",
];

type Streams = Arc<Mutex<HashMap<String, u64>>>;

/// Starts a brain that commits one sin; returns its address.
async fn brain(sin: Sin) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let streams = Streams::default();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, sin, streams.clone()));
        }
    });
    format!("ws://{address}")
}

async fn serve(socket: TcpStream, sin: Sin, streams: Streams) {
    #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
    let admit = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let is_known = request.headers().get("authorization").is_some_and(|value| value == "Bearer right");
        if is_known || sin == Sin::LetsAnybodyIn {
            return Ok(response);
        }
        let mut refusal = ErrorResponse::new(None);
        *refusal.status_mut() = StatusCode::UNAUTHORIZED;
        if sin != Sin::ForgetsToChallenge {
            refusal.headers_mut().insert("www-authenticate", "Bearer".parse().expect("a value"));
        }
        Err(refusal)
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(socket, admit).await else { return };
    let mut stream: Option<String> = None;
    while let Some(Ok(message)) = socket.next().await {
        let answer = match message {
            Message::Text(text) => answer(&text, &mut stream, sin, &streams),
            Message::Binary(_) => Err(if sin == Sin::ClosesWithAnotherCode { 1003 } else { 1007 }),
            _ => Ok(None),
        };
        let message = match answer {
            Ok(None) => continue,
            Ok(Some(seq)) => Message::Text(format!(r#"{{"type":"ack","seq":{seq}}}"#).into()),
            Err(code) => Message::Close(Some(CloseFrame { code: code.into(), reason: "".into() })),
        };
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

/// The `ack` that answers a frame, or the code to close with.
fn answer(text: &str, stream: &mut Option<String>, sin: Sin, streams: &Streams) -> Result<Option<u64>, u16> {
    let frame: Value = serde_json::from_str(text).map_err(|_| 1007_u16)?;
    let mut streams = streams.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(name) = stream else {
        if frame["type"] != "hello" {
            return if sin == Sin::TakesAnythingFirst { Ok(None) } else { Err(4000) };
        }
        let is_v1 = frame["protocol"].as_str().is_some_and(|version| version == "v1" || version.starts_with("v1."));
        if !is_v1 && sin != Sin::TakesAnyVersion {
            return Err(4001);
        }
        let name = format!("{}/{}", frame["agent_name"], frame["instance_id"]);
        *stream = Some(name.clone());
        let last = streams.get(&name).copied().unwrap_or_default();
        return Ok(Some(if sin == Sin::ForgetsStreams { 0 } else { last }));
    };
    match frame["type"].as_str() {
        Some("event_batch") => {
            let events = frame["events"].as_array().ok_or(1007_u16)?;
            if sin == Sin::ChokesOnPoison && events.iter().any(|event| !event["event_type"].is_string()) {
                return Err(1007);
            }
            let seq = frame["seq"].as_u64().ok_or(1007_u16)?;
            let last = streams.entry(name.clone()).or_default();
            *last = (*last).max(seq);
            Ok(Some(match sin {
                // One more for every batch, until there are no more numbers.
                Sin::AcksTooMuch => last.wrapping_add(1),
                Sin::AcksGoBack => seq,
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "that is the sin")]
                Sin::AcksRoundedNumbers => *last as f64 as u64,
                _ => *last,
            }))
        }
        Some("heartbeat" | "command_result" | "hello") => Ok(None),
        _ if sin == Sin::ChokesOnUnknownFrames => Err(1007),
        _ => Ok(None),
    }
}

async fn check(brain: &str, token: &str) -> Result<Report, Unchecked> {
    let only = RULES.iter().map(|rule| (*rule).to_owned()).collect();
    let options = Options { brain: brain.to_owned(), token: token.to_owned(), only, ..Options::default() };
    taskplane_conformance::run(options).await
}

fn broken(report: &Report) -> Vec<&'static str> {
    let broken = report.rules.iter().filter(|finding| finding.verdict == Standing::Broken);
    broken.map(|finding| finding.id).collect()
}

#[tokio::test]
async fn a_brain_that_keeps_the_rules_is_said_to() {
    let report = check(&brain(Sin::None).await, "right").await.expect("a report");
    assert_eq!((report.kept, report.broken, report.untested), (RULES.len(), 0, 0), "{}", report.text());
}

/// Takes 10 s: some sins are that nothing happens.
#[tokio::test]
async fn every_sin_is_found_and_no_other() {
    let sins: [(Sin, &[&str]); 11] = [
        (Sin::LetsAnybodyIn, &["handshake.no-token"]),
        (Sin::ForgetsToChallenge, &["handshake.no-token"]),
        (Sin::TakesAnyVersion, &["hello.major"]),
        (Sin::TakesAnythingFirst, &["hello.first"]),
        (Sin::ClosesWithAnotherCode, &["frame.binary"]),
        // Wherever a batch is delivered.
        (
            Sin::AcksTooMuch,
            &["frame.unknown-types", "ack.batch", "ack.old", "ack.reconnect", "ack.64-bit", "event.poison"],
        ),
        (Sin::AcksGoBack, &["ack.old"]),
        (Sin::ForgetsStreams, &["ack.reconnect", "ack.64-bit"]),
        (Sin::AcksRoundedNumbers, &["ack.64-bit"]),
        (Sin::ChokesOnUnknownFrames, &["frame.unknown-types"]),
        (Sin::ChokesOnPoison, &["event.poison"]),
    ];
    let checks = sins.map(|(sin, rules)| async move {
        let report = check(&brain(sin).await, "right").await.expect("a report");
        let text = report.text();
        assert_eq!(broken(&report), rules, "{sin:?}: {text}");
        assert!(text.contains(&format!("✗ {}", rules[0])) && text.contains("see docs/protocol.md#"), "{text}");
    });
    futures_util::future::join_all(checks).await;
}

#[tokio::test]
async fn a_brain_that_is_not_there_or_refuses_the_token_is_no_report() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let nobody = format!("ws://{}", listener.local_addr().expect("an address"));
    drop(listener);
    assert!(matches!(check(&nobody, "right").await, Err(Unchecked::Unreachable(..))));
    let brain = brain(Sin::None).await;
    assert!(matches!(check(&brain, "wrong").await, Err(Unchecked::TokenRefused(_))));
}

#[tokio::test]
async fn a_report_is_also_one_json_object() {
    let report = check(&brain(Sin::TakesAnyVersion).await, "right").await.expect("a report");
    let value = serde_json::to_value(&report).expect("JSON");
    assert_eq!((&value["broken"], &value["kept"]), (&json!(1), &json!(RULES.len() - 1)));
    let finding = value["rules"].as_array().and_then(|rules| rules.iter().find(|rule| rule["id"] == "hello.major"));
    let finding = finding.expect("the finding");
    assert_eq!((&finding["verdict"], &finding["section"]), (&json!("broken"), &json!("versions")));
    assert!(finding["seen"].as_str().is_some_and(|seen| !seen.is_empty()) && finding["seconds"].is_number());
}
