//! An agent that cannot use WebSockets: frames in the bodies of requests, and in those of their answers.

use std::collections::VecDeque;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Body, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::agent::batch;
use crate::brain::{PATIENCE, TestBrain};

/// One long-poll session, or none yet.
#[derive(Clone)]
pub(crate) struct Poller {
    http: reqwest::Client,
    url: String,
    token: String,
    pub(crate) session: Option<String>,
    heard: VecDeque<Value>,
}

/// What a request is answered.
#[derive(Debug, PartialEq)]
pub(crate) enum Reply {
    Frames(Vec<Value>),
    Refused(u16, Value),
}

impl Reply {
    pub(crate) fn frames(self) -> Vec<Value> {
        match self {
            Self::Frames(frames) => frames,
            refused @ Self::Refused(..) => panic!("expected frames, not {refused:?}"),
        }
    }

    /// The code and reason of a close.
    pub(crate) fn closed(self) -> (u16, String) {
        match self {
            Self::Refused(409, body) => {
                assert_eq!(body["error"], "closed");
                let code = body["close_code"].as_u64().and_then(|code| u16::try_from(code).ok()).expect("a code");
                (code, body["reason"].as_str().expect("a reason").to_owned())
            }
            Self::Refused(426, body) => {
                assert_eq!(body, json!({ "error": "protocol_mismatch", "close_code": 4001 }));
                (4001, String::new())
            }
            other => panic!("expected a close, not {other:?}"),
        }
    }
}

pub(crate) fn gone() -> Reply {
    Reply::Refused(410, json!({ "error": "session_gone" }))
}

impl Poller {
    pub(crate) fn new(brain: &TestBrain, token: &str) -> Self {
        let url = format!("http://{}/ws/longpoll", brain.address);
        Self { http: reqwest::Client::new(), url, token: token.to_owned(), session: None, heard: VecDeque::new() }
    }

    /// A session with a token of its own whose hello was answered with an ack of `last_seq`.
    pub(crate) async fn open(brain: &TestBrain, hello: &Value, last_seq: u64) -> Self {
        let mut poller = Self::new(brain, &brain.token(None).await.text);
        assert_eq!(poller.post(hello.to_string(), 25).await.frames(), [ack(last_seq)]);
        poller
    }

    /// The same session, with requests that go to another brain.
    pub(crate) fn by_way_of(self, brain: &TestBrain) -> Self {
        Self { url: format!("http://{}/ws/longpoll", brain.address), ..self }
    }

    pub(crate) fn request(&self, body: impl Into<Body>, query: &str) -> RequestBuilder {
        let request = self.http.post(format!("{}{query}", self.url)).timeout(2 * PATIENCE).body(body);
        let request = request.header(AUTHORIZATION, format!("Bearer {}", self.token));
        let request = request.header(CONTENT_TYPE, "application/x-ndjson");
        match &self.session {
            Some(session) => request.header("Taskplane-Session", session),
            None => request,
        }
    }

    /// Posts a body, and waits for what comes back.
    pub(crate) async fn post(&mut self, body: impl Into<Body>, wait: u64) -> Reply {
        let answer = self.request(body, &format!("?wait={wait}")).send().await.expect("an answer");
        if let Some(session) = answer.headers().get("taskplane-session") {
            let session = session.to_str().expect("text").to_owned();
            assert!(self.session.as_ref().is_none_or(|known| *known == session), "the session keeps its name");
            self.session = Some(session);
        }
        reply(answer).await
    }

    /// Posts frames.
    pub(crate) async fn post_frames(&mut self, frames: &[Value], wait: u64) -> Reply {
        let body: String = frames.iter().map(|frame| format!("{frame}\n")).collect();
        self.post(body, wait).await
    }

    /// Sends a batch and polls until it is acked.
    pub(crate) async fn tell(&mut self, seq: u64, events: Value) {
        let mut body = batch(seq, events).to_string();
        while self.heard.back() != Some(&ack(seq)) {
            let frames = self.post(std::mem::take(&mut body), 25).await.frames();
            assert!(!frames.is_empty(), "no ack came");
            self.heard.extend(frames);
        }
    }

    /// The next frame that is no ack.
    pub(crate) async fn command(&mut self) -> Value {
        loop {
            while let Some(frame) = self.heard.pop_front() {
                if frame["type"] != "ack" {
                    assert_eq!(frame["type"], "command", "{frame}");
                    return frame;
                }
            }
            let frames = self.post("", 25).await.frames();
            assert!(!frames.is_empty(), "no command came");
            self.heard.extend(frames);
        }
    }
}

/// Reads an answer.
pub(crate) async fn reply(answer: Response) -> Reply {
    let status = answer.status().as_u16();
    let content_type = answer.headers().get(CONTENT_TYPE).map(|value| value.to_str().expect("text").to_owned());
    let text = answer.text().await.expect("a body");
    if status == 200 {
        assert_eq!(content_type.as_deref(), Some("application/x-ndjson"));
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        return Reply::Frames(text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect());
    }
    Reply::Refused(status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}")))
}

pub(crate) fn ack(seq: u64) -> Value {
    json!({ "type": "ack", "seq": seq })
}
