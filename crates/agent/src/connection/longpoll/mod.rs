//! Frames in the bodies of HTTP requests, for networks that block WebSockets.
//!
//! One request is always held by the brain, which answers it when it has something to say. What there is to send goes at once
//! in another request, which makes the brain give the held one back; then the newer one is the one that is held. At most one
//! request that carries frames is under way: over two connections a batch could overtake another one. While it is, frames
//! gather and go together in the next one.
//!
//! A request that fails ends the session, and frames that were in it are sent again by the next one, as after a WebSocket that
//! broke.

mod exchange;

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use taskplane_protocol::limits::LONGPOLL_WAIT;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::dial::Dialer;
use super::token::Token;
use super::transport::{Broken, Channel, ConnectError, Incoming, Transport};
use exchange::{Answer, Lane, Request};

/// Most bytes of a request's body, or one frame that is longer.
const MAX_BODY_BYTES: usize = 1 << 20;
/// Frames and other news that wait to be taken in.
const WAITING: usize = 64;
/// How long the brain may take to answer the first request, which it does as soon as it can …
const HELLO_WAIT: Duration = Duration::from_secs(10);
/// … and to ack a batch before the next frames are sent all the same.
const BATCH_WAIT: Duration = Duration::from_secs(5);
/// How long the last frames have.
const GOOD_BYE: Duration = Duration::from_secs(2);
/// How the frame of a batch begins.
const BATCH: &str = r#"{"type":"event_batch""#;

/// Long-poll over streams of our own.
pub(super) struct LongPollTransport {
    dialer: Arc<Dialer>,
}

impl LongPollTransport {
    pub(super) fn new(dialer: Arc<Dialer>) -> Self {
        Self { dialer }
    }
}

#[async_trait]
impl Transport for LongPollTransport {
    async fn connect(&self, token: &Token) -> Result<Box<dyn Channel>, ConnectError> {
        let lanes = [(); 2].map(|()| Lane::new(Arc::clone(&self.dialer), token));
        let [mut first, second] = lanes;
        first.open().await?;
        let (to_pump, frames) = mpsc::channel(WAITING);
        let (news, incoming) = mpsc::channel(WAITING);
        let pump = Pump { session: None, lanes: vec![second, first], frames, waiting: VecDeque::new(), news };
        let pumping = AbortOnDropHandle::new(tokio::spawn(pump.run()));
        Ok(Box::new(LongPollChannel { frames: Some(to_pump), incoming, _pumping: pumping }))
    }
}

struct LongPollChannel {
    /// `None` once good-bye was said.
    frames: Option<mpsc::Sender<String>>,
    incoming: mpsc::Receiver<Incoming>,
    _pumping: AbortOnDropHandle<()>,
}

#[async_trait]
impl Channel for LongPollChannel {
    async fn send(&mut self, frame: String) -> Result<(), Broken> {
        let Some(frames) = &self.frames else { return Err(over()) };
        frames.send(frame).await.map_err(|_| over())
    }

    async fn receive(&mut self) -> Incoming {
        self.incoming.recv().await.unwrap_or_else(|| Incoming::Broken(over().0))
    }

    async fn close(&mut self) {
        self.frames = None;
        let _ = timeout(GOOD_BYE, async { while self.incoming.recv().await.is_some() {} }).await;
    }
}

fn over() -> Broken {
    Broken("the long-poll session is over".into())
}

/// A request under way, which gives its lane back.
type UnderWay = Option<BoxFuture<'static, (Lane, Answer)>>;

struct Pump {
    /// What the brain calls the session, once it has begun.
    session: Option<String>,
    /// Connections that carry nothing now.
    lanes: Vec<Lane>,
    frames: mpsc::Receiver<String>,
    /// Frames that were taken and not sent.
    waiting: VecDeque<String>,
    news: mpsc::Sender<Incoming>,
}

impl Pump {
    async fn run(mut self) {
        // The first request carries `hello`; before its answer there is no session to say anything in.
        let Some(hello) = self.frames.recv().await else { return };
        self.waiting.push_back(hello);
        let mut post = self.post(HELLO_WAIT);
        let mut held: UnderWay = None;
        let mut is_closing = false;
        loop {
            if post.is_none() && !self.waiting.is_empty() {
                post = self.post(Duration::ZERO);
            }
            if post.is_none() && self.waiting.is_empty() {
                if is_closing {
                    return;
                }
                held = held.or_else(|| self.request(String::new(), LONGPOLL_WAIT));
            }
            tokio::select! {
                frame = self.frames.recv(), if !is_closing && self.waiting.len() < WAITING => match frame {
                    Some(frame) => self.waiting.push_back(frame),
                    None => is_closing = true,
                },
                (lane, answer) = done(&mut post) => {
                    post = None;
                    if !self.take(lane, answer).await {
                        return;
                    }
                }
                (lane, answer) = done(&mut held) => {
                    held = None;
                    if !self.take(lane, answer).await {
                        return;
                    }
                }
            }
        }
    }

    /// Sends what waits, as much as one request carries. The brain answers when it has acked it, or after `wait` at the most
    /// when there is no batch in it.
    fn post(&mut self, wait: Duration) -> UnderWay {
        if self.lanes.is_empty() {
            return None;
        }
        let (mut body, mut has_batch) = (String::new(), false);
        while let Some(frame) = self.waiting.front()
            && (body.is_empty() || body.len() + frame.len() < MAX_BODY_BYTES)
        {
            has_batch |= frame.starts_with(BATCH);
            body.push_str(frame);
            body.push('\n');
            self.waiting.pop_front();
        }
        self.request(body, if has_batch { BATCH_WAIT } else { wait })
    }

    fn request(&mut self, body: String, wait: Duration) -> UnderWay {
        let lane = self.lanes.pop()?;
        let request = Request { session: self.session.clone(), body, wait };
        Some(lane.exchange(request).boxed())
    }

    /// False when the session is over.
    async fn take(&mut self, lane: Lane, answer: Answer) -> bool {
        self.lanes.push(lane);
        match answer {
            Answer::Frames { session, frames } => {
                self.session = session.or(self.session.take());
                let is_silent = frames.is_empty();
                for frame in frames {
                    if self.news.send(Incoming::Text(frame)).await.is_err() {
                        return false;
                    }
                }
                !is_silent || self.news.send(Incoming::Alive).await.is_ok()
            }
            Answer::End(end) => {
                let _ = self.news.send(end).await;
                false
            }
        }
    }
}

async fn done(request: &mut UnderWay) -> (Lane, Answer) {
    match request {
        Some(request) => request.await,
        None => pending().await,
    }
}
