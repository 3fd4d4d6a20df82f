//! An agent that has read the protocol and nothing else: a WebSocket, and JSON in it.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Response, header};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::brain::{PATIENCE, TestBrain};

/// The `hello` of the specification's source text, word for word; its agent is called `web-01` and has no `instance_id`.
pub(crate) const SOURCE_HELLO: &str = include_str!("../../../protocol/fixtures/hello.json");

pub(crate) struct Agent {
    socket: WebSocketStream<TcpStream>,
}

/// What a brain says.
#[derive(Debug)]
pub(crate) enum Said {
    Frame(Value),
    Close(u16, String),
    /// The connection ended without a close frame.
    Nothing,
}

impl Agent {
    /// A connection that has not said hello; or why there is none.
    pub(crate) async fn try_connect(
        brain: &TestBrain,
        authorization: Option<&str>,
    ) -> Result<Self, Response<Option<Vec<u8>>>> {
        let mut request = format!("ws://{}/ws", brain.address).into_client_request().expect("a request");
        if let Some(value) = authorization {
            request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_str(value).expect("a header"));
        }
        let tcp = TcpStream::connect(brain.address).await.expect("the brain listens");
        match client_async(request, tcp).await {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(Error::Http(response)) => Err(*response),
            Err(error) => panic!("neither upgraded nor refused: {error}"),
        }
    }

    /// A connection that has not said hello.
    pub(crate) async fn connect(brain: &TestBrain, token: &str) -> Self {
        Self::try_connect(brain, Some(&format!("Bearer {token}"))).await.expect("the token opens")
    }

    /// A connection with a token of its own whose hello was answered with an ack of `last_seq`.
    pub(crate) async fn open(brain: &TestBrain, hello: &Value, last_seq: u64) -> Self {
        let token = brain.token(None).await;
        let mut agent = Self::connect(brain, &token.text).await;
        agent.send(hello).await;
        agent.hears_ack(last_seq).await;
        agent
    }

    /// Sends a frame.
    pub(crate) async fn send(&mut self, frame: &Value) {
        self.send_message(Message::text(frame.to_string())).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        self.try_send(message).await.expect("the brain takes it");
    }

    pub(crate) async fn try_send(&mut self, message: Message) -> Result<(), Error> {
        tokio::time::timeout(PATIENCE, self.socket.send(message)).await.expect("the brain reads")
    }

    /// Sends bytes as a text frame, whatever they are. The brain may close before it has read them all.
    pub(crate) async fn send_raw_text(&mut self, bytes: Vec<u8>) {
        let frame = Frame::message(bytes, OpCode::Data(Data::Text), true);
        let _ = self.try_send(Message::Frame(frame)).await;
    }

    /// Sends a batch and waits for its ack, which must be the next thing that the brain says.
    pub(crate) async fn tell(&mut self, seq: u64, events: Value) {
        self.send(&batch(seq, events)).await;
        self.hears_ack(seq).await;
    }

    /// Sends a batch and waits for its ack; inquiries that come before it are not answered.
    pub(crate) async fn tell_next(&mut self, seq: u64, events: Value) {
        self.send(&batch(seq, events)).await;
        loop {
            let frame = self.frame().await;
            if frame == json!({ "type": "ack", "seq": seq }) {
                return;
            }
            assert_eq!(frame["cmd"], "query_state", "{frame}");
        }
    }

    /// What the brain says next; pings and pongs are not counted.
    pub(crate) async fn next(&mut self) -> Said {
        tokio::time::timeout(PATIENCE, self.next_said()).await.expect("the brain says something")
    }

    async fn next_said(&mut self) -> Said {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Said::Frame(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Said::Close(frame.code.into(), frame.reason.as_str().to_owned());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("a brain does not say {other:?}"),
                Some(Err(_)) | None => return Said::Nothing,
            }
        }
    }

    /// The next frame.
    pub(crate) async fn frame(&mut self) -> Value {
        match self.next().await {
            Said::Frame(frame) => frame,
            other => panic!("expected a frame, not {other:?}"),
        }
    }

    /// Asserts that an ack of `seq` is what the brain says next.
    pub(crate) async fn hears_ack(&mut self, seq: u64) {
        assert_eq!(self.frame().await, json!({ "type": "ack", "seq": seq }));
    }

    /// The next frame, which must be a command.
    pub(crate) async fn command(&mut self) -> Value {
        let frame = self.frame().await;
        assert_eq!(frame["type"], "command", "{frame}");
        frame
    }

    /// Answers a command; `more` is the answer without type and id.
    pub(crate) async fn answer(&mut self, cmd_id: &Value, more: Value) {
        let mut result = json!({ "type": "command_result", "cmd_id": cmd_id });
        result.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.send(&result).await;
    }

    /// The code and reason of the close that the brain sends, after acks that may still be on their way.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Said::Frame(frame) if frame["type"] == "ack" => {}
                Said::Close(code, reason) => return (code, reason),
                other => panic!("expected a close, not {other:?}"),
            }
        }
    }

    /// Ends the connection without a close frame, as a crash does.
    pub(crate) fn vanish(self) {
        drop(self);
    }
}

/// The `hello` of an agent that knows only the source text.
pub(crate) fn plain(name: &str) -> Value {
    let mut hello: Value = serde_json::from_str(SOURCE_HELLO).expect("JSON");
    hello["agent_name"] = json!(name);
    hello
}

/// The `hello` of an agent like ours.
pub(crate) fn rich(name: &str, instance_id: &str) -> Value {
    let mut hello = plain(name);
    hello["instance_id"] = json!(instance_id);
    hello["agent_version"] = json!("0.1.0");
    hello["worker_role"] = json!("worker");
    hello["extensions"] = json!(["progress"]);
    hello
}

pub(crate) fn batch(seq: u64, events: Value) -> Value {
    json!({ "type": "event_batch", "seq": seq, "events": events })
}
