//! A brain that takes events over TLS, and acks them.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use taskplane_testkit::{Authority, Issued};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

/// Longer than anything takes; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct TlsBrain {
    pub(crate) port: u16,
    seen: watch::Sender<Seen>,
}

#[derive(Default)]
struct Seen {
    path: String,
    tasks: Vec<String>,
}

impl TlsBrain {
    pub(crate) async fn start(issued: &Issued, client_ca: Option<&Authority>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let acceptor = issued.acceptor(client_ca).expect("a server's certificate");
        let seen = watch::Sender::new(Seen::default());
        let noting = seen.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, noting) = (acceptor.clone(), noting.clone());
                tokio::spawn(async move {
                    if let Ok(tls) = acceptor.accept(tcp).await {
                        serve(tls, &noting).await;
                    }
                });
            }
        });
        Self { port, seen }
    }

    /// Waits for an event of a task, and forgets what was seen.
    pub(crate) async fn receives(&self, task_id: &str) {
        let mut seen = self.seen.subscribe();
        let there = seen.wait_for(|seen| seen.tasks.iter().any(|task| task == task_id));
        tokio::time::timeout(PATIENCE, there).await.expect("it takes too long").expect("a brain");
        self.seen.send_modify(|seen| seen.tasks.clear());
    }

    /// The path of the last handshake.
    pub(crate) fn path(&self) -> String {
        self.seen.borrow().path.clone()
    }
}

#[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, seen: &watch::Sender<Seen>) {
    let note = |request: &Request, response: Response| {
        seen.send_modify(|seen| request.uri().path().clone_into(&mut seen.path));
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr_async(stream, note).await else { return };
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        let seq = match frame["type"].as_str() {
            Some("hello") => json!(0),
            Some("event_batch") => frame["seq"].clone(),
            _ => continue,
        };
        let ack = json!({"type": "ack", "seq": seq}).to_string();
        if socket.send(Message::text(ack)).await.is_err() {
            return;
        }
        let tasks = frame["events"].as_array().into_iter().flatten().filter_map(|event| event["task_id"].as_str());
        seen.send_modify(|seen| seen.tasks.extend(tasks.map(str::to_owned)));
    }
}
