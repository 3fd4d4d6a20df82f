//! One word on how the connections to the brokers stand, from several loops that each know a part.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use taskplane_agent::engine::{Health, Observer};

use crate::shared::lock;

/// One of several brokers, and what of it.
type Part = (usize, &'static str);

/// Collects the state of each part and reports every change of the whole.
pub(crate) struct HealthBoard {
    observer: Observer,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Parts with what is wrong with them; `None` is well.
    parts: BTreeMap<Part, Option<String>>,
    told: Option<Health>,
}

/// The board as one broker's loops see it.
#[derive(Clone)]
pub(crate) struct BrokerHealth {
    board: Arc<HealthBoard>,
    broker: usize,
}

impl BrokerHealth {
    pub(crate) async fn ok(&self, part: &'static str) {
        self.board.set((self.broker, part), None).await;
    }

    pub(crate) async fn down(&self, part: &'static str, why: String) {
        self.board.set((self.broker, part), Some(why)).await;
    }
}

impl HealthBoard {
    /// A board on which every part is still unknown: the whole is well once each of them is.
    pub(crate) fn new(observer: Observer, parts: impl Iterator<Item = Part>) -> Self {
        let waiting = Some("connecting".to_owned());
        let parts = parts.map(|part| (part, waiting.clone())).collect();
        // The first state is not told: it is over in a moment.
        let told = Some(Health::Down("connecting".to_owned()));
        Self { observer, state: Mutex::new(State { parts, told }) }
    }

    /// For the loops of one broker.
    pub(crate) fn of(self: &Arc<Self>, broker: usize) -> BrokerHealth {
        BrokerHealth { board: Arc::clone(self), broker }
    }

    async fn set(&self, part: Part, wrong: Option<String>) {
        let change = {
            let mut state = lock(&self.state);
            state.parts.insert(part, wrong);
            let whole = state.whole();
            (state.told.as_ref() != Some(&whole)).then(|| {
                state.told = Some(whole.clone());
                whole
            })
        };
        if let Some(health) = change {
            self.observer.health(health).await;
        }
    }
}

impl State {
    /// Well when every part is; else the first thing that is wrong with each broker.
    fn whole(&self) -> Health {
        let mut wrong: BTreeMap<usize, &str> = BTreeMap::new();
        for ((broker, _), why) in &self.parts {
            if let Some(why) = why {
                wrong.entry(*broker).or_insert(why);
            }
        }
        if wrong.is_empty() {
            return Health::Ok;
        }
        let mut reasons: Vec<&str> = wrong.into_values().collect();
        reasons.dedup();
        Health::Down(reasons.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    fn down(why: &str) -> Health {
        Health::Down(why.to_owned())
    }

    #[tokio::test]
    async fn the_whole_is_well_only_when_every_part_is() {
        let (observations, _kept) = mpsc::channel(8);
        let (health, mut told) = mpsc::channel(8);
        let observer = Observer::new("celery", observations, health);
        let parts = [(0, "a"), (0, "b"), (1, "a")];
        let all = Arc::new(HealthBoard::new(observer, parts.into_iter()));
        let (board, other) = (all.of(0), all.of(1));
        drop(all);
        other.ok("a").await;
        board.ok("a").await;
        board.ok("b").await;
        board.down("b", "gone".into()).await;
        board.down("b", "gone".into()).await;
        other.down("a", "lost".into()).await;
        other.ok("a").await;
        board.ok("b").await;
        drop((board, other));
        let mut all = Vec::new();
        while let Some((_, health)) = told.recv().await {
            all.push(health);
        }
        assert_eq!(all, [Health::Ok, down("gone"), down("gone; lost"), down("gone"), Health::Ok]);
    }
}
