//! A brain that does what the test says.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// Longer than anything takes; reached only when a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it takes too long")
}

pub(crate) struct ScriptedBrain {
    listener: TcpListener,
}

/// One connection of the agent.
pub(crate) struct Visit {
    socket: WebSocketStream<TcpStream>,
    pub(crate) path: String,
    pub(crate) authorization: String,
}

impl ScriptedBrain {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    pub(crate) async fn start_at(address: &str) -> Self {
        Self { listener: TcpListener::bind(address).await.expect("binds") }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.listener.local_addr().expect("address"))
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().expect("address").port()
    }

    /// Waits for a connection and takes it.
    #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
    pub(crate) async fn visit(&self) -> Visit {
        let (stream, _) = soon(self.listener.accept()).await.expect("accepts");
        let (mut path, mut authorization) = (String::new(), String::new());
        let note = |request: &Request, response: Response| {
            path = request.uri().path().to_owned();
            let header = request.headers().get("authorization");
            authorization = header.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
            Ok(response)
        };
        let socket = soon(accept_hdr_async(stream, note)).await.expect("a handshake");
        Visit { socket, path, authorization }
    }

    /// Waits for a connection, takes it, reads `hello` and says what it has.
    pub(crate) async fn welcome(&self, last_seq: u64) -> Visit {
        let mut visit = self.visit().await;
        assert_eq!(visit.frame().await["type"], "hello");
        visit.ack(last_seq).await;
        visit
    }

    /// Waits for a connection and refuses its token.
    pub(crate) async fn refuse(&self) {
        self.answer("401 Unauthorized", "WWW-Authenticate: Bearer\r\n").await;
    }

    /// Waits for a connection and answers its request with a status, and headers that end each in a line break. Returns a
    /// moment at which the answer was not given yet.
    pub(crate) async fn answer(&self, status: &str, headers: &str) -> Instant {
        let (mut stream, _) = soon(self.listener.accept()).await.expect("accepts");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(stream.read_u8()).await.expect("a request"));
        }
        let answer = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\n\r\n");
        let before = Instant::now();
        stream.write_all(answer.as_bytes()).await.expect("writes");
        before
    }

    /// True when nobody comes for a while.
    pub(crate) async fn is_left_alone_for(&self, time: Duration) -> bool {
        timeout(time, self.listener.accept()).await.is_err()
    }
}

impl Visit {
    /// The next frame, as it came. Heartbeats come whenever there is something to say, and are passed over.
    pub(crate) async fn text(&mut self) -> String {
        loop {
            match soon(self.socket.next()).await.expect("an open connection").expect("a message") {
                Message::Text(text) if text.starts_with(r#"{"type":"heartbeat""#) => {}
                Message::Text(text) => return text.to_string(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn frame(&mut self) -> Value {
        serde_json::from_str(&self.text().await).expect("JSON")
    }

    /// The next batch, as it came, and its number.
    pub(crate) async fn batch(&mut self) -> (u64, String) {
        let text = self.text().await;
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(frame["type"], "event_batch", "{text}");
        (frame["seq"].as_u64().expect("a number"), text)
    }

    /// Batches until so many events came, without acking any.
    pub(crate) async fn batches_of(&mut self, events: usize) -> Vec<(u64, String)> {
        let mut batches = Vec::new();
        let mut seen = 0;
        while seen < events {
            let batch = self.batch().await;
            seen += task_ids(&batch.1).len();
            batches.push(batch);
        }
        batches
    }

    /// The tasks of the next batches until so many came; each batch is acked, so that the agent's window never closes however
    /// many batches it makes of them.
    pub(crate) async fn takes(&mut self, events: usize) -> Vec<String> {
        let mut tasks = Vec::new();
        while tasks.len() < events {
            let (seq, text) = self.batch().await;
            tasks.extend(task_ids(&text));
            self.ack(seq).await;
        }
        tasks
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        soon(self.socket.send(Message::text(frame.to_string()))).await.expect("sends");
    }

    pub(crate) async fn ack(&mut self, seq: u64) {
        self.send(json!({"type": "ack", "seq": seq})).await;
    }

    pub(crate) async fn command(&mut self, cmd_id: &str, cmd: &str, args: Value) {
        self.send(json!({"type": "command", "cmd_id": cmd_id, "cmd": cmd, "args": args})).await;
    }

    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: "as the test says".into() };
        soon(self.socket.close(Some(frame))).await.expect("closes");
        while soon(self.socket.next()).await.is_some_and(|message| message.is_ok()) {}
    }

    /// Waits until the agent closes, and returns the code it gave.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                _ => return None,
            }
        }
    }
}

/// The ids of the tasks in a batch, in order.
pub(crate) fn task_ids(batch: &str) -> Vec<String> {
    let frame: Value = serde_json::from_str(batch).expect("JSON");
    let events = frame["events"].as_array().expect("events");
    events.iter().map(|event| event["task_id"].as_str().expect("an id").to_owned()).collect()
}
