//! One word on how the connection to the broker stands, from several loops that each know a part.

use std::{collections::BTreeMap, sync::Mutex};

use taskplane_agent::engine::{Health, Observer};

use crate::shared::lock;

/// Collects the state of each part and reports every change of the whole.
pub(crate) struct HealthBoard {
    observer: Observer,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Parts with what is wrong with them; `None` is well.
    parts: BTreeMap<&'static str, Option<String>>,
    told: Option<Health>,
}

impl HealthBoard {
    /// A board on which every part is still unknown: the whole is well once each of them is.
    pub(crate) fn new(observer: Observer, parts: &[&'static str]) -> Self {
        let waiting = Some("connecting".to_owned());
        let parts = parts.iter().map(|part| (*part, waiting.clone())).collect();
        // The first state is not told: it is over in a moment.
        let told = Some(Health::Down("connecting".to_owned()));
        Self { observer, state: Mutex::new(State { parts, told }) }
    }

    pub(crate) async fn ok(&self, part: &'static str) {
        self.set(part, None).await;
    }

    pub(crate) async fn down(&self, part: &'static str, why: String) {
        self.set(part, Some(why)).await;
    }

    async fn set(&self, part: &'static str, wrong: Option<String>) {
        let change = {
            let mut state = lock(&self.state);
            state.parts.insert(part, wrong);
            let whole = match state.parts.values().flatten().next() {
                Some(why) => Health::Down(why.clone()),
                None => Health::Ok,
            };
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn the_whole_is_well_only_when_every_part_is() {
        let (observations, _kept) = mpsc::channel(8);
        let (health, mut told) = mpsc::channel(8);
        let board = HealthBoard::new(Observer::new("celery", observations, health), &["a", "b"]);
        board.ok("a").await;
        board.ok("b").await;
        board.down("b", "gone".into()).await;
        board.down("b", "gone".into()).await;
        board.ok("b").await;
        drop(board);
        let mut all = Vec::new();
        while let Some((_, health)) = told.recv().await {
            all.push(health);
        }
        assert_eq!(all, [Health::Ok, Health::Down("gone".into()), Health::Ok]);
    }
}
