use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::hub::{LiveHub, Look};
use super::journal::News;
use super::pace::Pace;
use super::place::Place;
use super::{MAX_ITEM_BYTES, Topic};

/// One event of the stream.
#[derive(Debug)]
pub struct LiveEvent {
    /// What it is about.
    pub topic: Topic,
    /// The event as readers get it: `id`, `event`, and `data`, which is `{"changed": n, "items": […]}` with fewer items than
    /// `changed` when there were too many.
    pub frame: Bytes,
}

/// What a reader gets next.
#[derive(Debug)]
pub enum Next {
    /// An event.
    Event(LiveEvent),
    /// Something was missed: fetch everything again.
    Resync,
}

/// A reader's place in the stream. What it has not been told is only put together when it asks: who reads slowly is told less often,
/// and nothing waits for it.
pub struct Subscription {
    pub(super) hub: LiveHub,
    pub(super) project: u64,
    pub(super) topics: BTreeSet<Topic>,
    pub(super) place: Place,
    pub(super) noted: Arc<Notify>,
    pub(super) pace: Pace,
    pub(super) ready: VecDeque<LiveEvent>,
}

impl Subscription {
    /// Waits for what is next. May be given up at any time: nothing is lost.
    pub async fn next(&mut self) -> Next {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Next::Event(event);
            }
            // Made before looking, so that no change falls between.
            let noted = Arc::clone(&self.noted).notified_owned();
            if !self.hub.has_news(self.project, &self.place, &self.topics) {
                noted.await;
                self.pace.changed(Instant::now());
                continue;
            }
            sleep_until(self.pace.due()).await;
            let now = Instant::now();
            self.pace.told(now);
            match self.hub.look(self.project, &self.place, &self.topics, now) {
                Look::Resync(end) => {
                    self.place = end;
                    return Next::Resync;
                }
                Look::News(news, end) => self.take(news, end),
            }
        }
    }

    /// Makes events of what is new, each with the place behind it.
    fn take(&mut self, news: Vec<News>, end: Place) {
        let mut place = end;
        for one in &news {
            place.counts[one.topic] = self.place.counts[one.topic];
        }
        for one in news {
            place.counts[one.topic] = end.counts[one.topic];
            let frame = frame(self.hub.epoch(), &place, &one);
            self.ready.push_back(LiveEvent { topic: one.topic, frame });
        }
        self.place = end;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.leave(self.project);
    }
}

/// The text of an event, as the format of Server-Sent Events has it. JSON has no line breaks of its own.
fn frame(epoch: &str, place: &Place, news: &News) -> Bytes {
    let size: usize = news.items.iter().map(|item| item.len() + 1).sum();
    let mut text = String::with_capacity(size.min(MAX_ITEM_BYTES) + 160);
    let _ = write!(
        text,
        "id: {epoch}-{place}\nevent: {}\ndata: {{\"changed\":{},\"items\":[",
        news.topic.name(),
        news.changed
    );
    let most = text.len() + MAX_ITEM_BYTES;
    let mut separator = "";
    for item in news.items.iter().filter_map(|item| std::str::from_utf8(item).ok()) {
        if text.len() + item.len() <= most {
            text.push_str(separator);
            text.push_str(item);
            separator = ",";
        }
    }
    text.push_str("]}\n\n");
    text.into()
}
