//! A dashboard that is open and does not read.

use serde_json::json;
use taskplane_brain::live::Topic;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::agent::{Agent, rich};
use crate::brain::{PATIENCE, TestBrain};
use crate::events::life;

/// Deltas that are told while one of the dashboards does not read …
const DELTAS: u64 = 16;
/// … and the size of each.
const DELTA_BYTES: usize = 100_000;
/// What may be held for who does not read: by the kernels, and on its way to them.
const MOST_HELD: usize = 1 << 20;

struct Dashboard {
    stream: TcpStream,
    /// The end of what came.
    text: String,
    bytes: usize,
}

impl Dashboard {
    async fn open(brain: &TestBrain) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(16 << 10).expect("a small buffer");
        let mut stream = socket.connect(brain.address).await.expect("the brain listens");
        let request = format!(
            "GET /api/v1/projects/default/stream?topics=queues HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
            brain.address, brain.api_key
        );
        stream.write_all(request.as_bytes()).await.expect("the brain reads");
        let mut dashboard = Self { stream, text: String::new(), bytes: 0 };
        dashboard.reads_until("event: hello").await;
        dashboard
    }

    async fn reads_until(&mut self, what: &str) {
        let mut buffer = vec![0; 64 << 10];
        while !self.text.contains(what) {
            let read = timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("in time").expect("a stream");
            assert_ne!(read, 0, "the stream goes on");
            self.bytes += read;
            let kept = self.text.len().saturating_sub(what.len());
            self.text.drain(..kept);
            self.text.push_str(std::str::from_utf8(&buffer[..read]).expect("text"));
        }
    }
}

#[tokio::test]
async fn a_dashboard_that_does_not_read_costs_little_and_holds_nobody_up() {
    let brain = TestBrain::start().await;
    let project = brain.brain.store.project("default").await.expect("a store").expect("a project").id;
    let mut agent = Agent::open(&brain, &rich("web", "i1"), 0).await;
    let (mut stuck, mut reading) = (Dashboard::open(&brain).await, Dashboard::open(&brain).await);
    let filler = "x".repeat(DELTA_BYTES);
    for n in 0..DELTAS {
        brain.brain.live.note(project, Topic::Queues, "q".into(), json!({ "filler": filler, "n": n }));
        reading.reads_until(&format!(r#""n":{n}}}"#)).await;
        if n % 4 == 0 {
            agent.tell(n / 4 + 1, life(&format!("t{n}"))).await;
        }
    }
    assert_eq!(brain.totals().await["succeeded"], DELTAS / 4);
    stuck.reads_until(&format!(r#""n":{}}}"#, DELTAS - 1)).await;
    assert!(stuck.bytes < MOST_HELD, "{} bytes were held for it", stuck.bytes);
}
