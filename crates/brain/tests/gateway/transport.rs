//! Either transport, for statements that hold on both.

use serde_json::Value;

use crate::agent::Agent;
use crate::brain::TestBrain;
use crate::poller::{Poller, Reply, ack};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    WebSocket,
    LongPoll,
}

pub(crate) const BOTH: [Transport; 2] = [Transport::WebSocket, Transport::LongPoll];

/// An agent on either of them.
pub(crate) enum Peer {
    WebSocket(Box<Agent>),
    LongPoll(Box<Poller>),
}

impl Peer {
    /// A connection of which `first` is the first frame.
    pub(crate) async fn begin(
        brain: &TestBrain,
        transport: Transport,
        token: &str,
        first: &str,
    ) -> (Self, Option<Reply>) {
        match transport {
            Transport::WebSocket => {
                let mut agent = Agent::connect(brain, token).await;
                agent.send_text(first).await;
                (Self::WebSocket(Box::new(agent)), None)
            }
            Transport::LongPoll => {
                let mut poller = Poller::new(brain, token);
                let reply = poller.post(first.to_owned(), 25).await;
                (Self::LongPoll(Box::new(poller)), Some(reply))
            }
        }
    }

    /// A connection with `token` whose hello was answered with an ack of `last_seq`.
    pub(crate) async fn open(
        brain: &TestBrain,
        transport: Transport,
        token: &str,
        hello: &Value,
        last_seq: u64,
    ) -> Self {
        match Self::begin(brain, transport, token, &hello.to_string()).await {
            (Self::WebSocket(mut agent), _) => {
                agent.hears_ack(last_seq).await;
                Self::WebSocket(agent)
            }
            (peer, reply) => {
                assert_eq!(reply.expect("an answer").frames(), [ack(last_seq)]);
                peer
            }
        }
    }

    /// Sends a batch and waits for its ack.
    pub(crate) async fn tell(&mut self, seq: u64, events: Value) {
        match self {
            Self::WebSocket(agent) => agent.tell(seq, events).await,
            Self::LongPoll(poller) => poller.tell(seq, events).await,
        }
    }

    /// Sends text as it is, and returns how the connection is closed.
    pub(crate) async fn closed_after(mut self, text: Vec<u8>) -> (u16, String) {
        match &mut self {
            Self::WebSocket(agent) => agent.send_raw_text(text).await,
            Self::LongPoll(poller) => match poller.post(text, 25).await {
                // What was acked before the close comes first.
                Reply::Frames(_) => {}
                refused => return refused.closed(),
            },
        }
        self.closed().await
    }

    /// How the connection is closed, after acks that may still be on their way.
    pub(crate) async fn closed(mut self) -> (u16, String) {
        match &mut self {
            Self::WebSocket(agent) => agent.closed().await,
            Self::LongPoll(poller) => loop {
                match poller.post("", 25).await {
                    Reply::Frames(frames) => assert!(frames.iter().all(|frame| frame["type"] == "ack"), "{frames:?}"),
                    refused => return refused.closed(),
                }
            },
        }
    }
}
