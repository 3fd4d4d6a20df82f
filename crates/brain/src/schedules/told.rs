//! Schedules as they are told: several agents beside one scheduler tell of the same schedule.

use std::collections::BTreeMap;

use taskplane_model::Timestamp;
use taskplane_model::schedule::Schedule;
use taskplane_model::schedule_run::ScheduleKey;
use taskplane_store::fleet::StoredSchedule;

use super::judge::Presence;
use crate::brain::Brain;

/// A schedule by the word of those who see its scheduler.
#[derive(Clone, Debug)]
pub(crate) struct ToldSchedule {
    /// The schedule by the word that counts: of a connected agent, and of several the latest.
    pub(crate) schedule: Schedule,
    /// Name of the agent whose word it is.
    pub(crate) agent: String,
    /// When it told.
    pub(crate) synced_at: Timestamp,
    /// All agents that tell of it: number and name.
    pub(crate) agents: Vec<(u64, String)>,
    /// Names of agents that tell something else under this id: they see another scheduler of the same name.
    pub(crate) differing: Vec<String>,
    /// Whether any of them is connected.
    pub(crate) presence: Presence,
}

/// The schedules of a project as they are told now.
pub(crate) fn merged(brain: &Brain, stored: Vec<StoredSchedule>) -> BTreeMap<ScheduleKey, ToldSchedule> {
    let mut presences = BTreeMap::new();
    for told in &stored {
        presences.entry(told.agent_id).or_insert_with(|| {
            let presence = brain.replicas.presence(&brain.connections, told.agent_id);
            presence.map_or(Presence::Away, |presence| Presence::Since(presence.connected_at))
        });
    }
    merge(stored, |agent| presences.get(&agent).copied().unwrap_or(Presence::Away))
}

fn merge(stored: Vec<StoredSchedule>, presence: impl Fn(u64) -> Presence) -> BTreeMap<ScheduleKey, ToldSchedule> {
    let mut copies: BTreeMap<ScheduleKey, Vec<StoredSchedule>> = BTreeMap::new();
    for told in stored {
        let key = ScheduleKey { scheduler: told.scheduler.clone(), id: told.schedule.id.clone() };
        copies.entry(key).or_default().push(told);
    }
    let one = |(key, mut copies): (ScheduleKey, Vec<StoredSchedule>)| {
        // Of an agent that is away, what it said last may be long gone.
        copies.sort_by_key(|told| (presence(told.agent_id) == Presence::Away, std::cmp::Reverse(told.synced_at)));
        let connected = |told: &StoredSchedule| match presence(told.agent_id) {
            Presence::Away => None,
            Presence::Since(since) => Some(since),
        };
        // Since then there was always one of them.
        let since = copies.iter().filter_map(connected).min();
        let agents = copies.iter().map(|told| (told.agent_id, told.agent.clone())).collect();
        let mut copies = copies.into_iter();
        let first = copies.next()?;
        let is_here = |told: &StoredSchedule| presence(told.agent_id) != Presence::Away;
        let differs =
            |told: &StoredSchedule| is_here(&first) && is_here(told) && told.schedule.task != first.schedule.task;
        let differing = copies.filter(differs).map(|told| told.agent).collect();
        let presence = since.map_or(Presence::Away, Presence::Since);
        let StoredSchedule { agent, synced_at, schedule, .. } = first;
        Some((key, ToldSchedule { schedule, agent, synced_at, agents, differing, presence }))
    };
    copies.into_iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(agent_id: u64, task: &str, synced_at: i64) -> StoredSchedule {
        StoredSchedule {
            scheduler: "celery-beat".into(),
            agent: format!("a{agent_id}"),
            agent_id,
            synced_at: Timestamp(synced_at),
            schedule: Schedule { id: "1".into(), task: Some(task.into()), ..Schedule::default() },
        }
    }

    fn merge_one(copies: Vec<StoredSchedule>, here: &[u64]) -> ToldSchedule {
        let presence = |agent| if here.contains(&agent) { Presence::Since(Timestamp(0)) } else { Presence::Away };
        let merged = merge(copies, presence);
        assert_eq!(merged.len(), 1);
        merged.into_values().next().expect("one")
    }

    #[test]
    fn a_connected_agent_counts_and_of_several_the_latest_word() {
        let copies = || vec![copy(1, "t", 30), copy(2, "t", 10), copy(3, "t", 20)];
        let told = merge_one(copies(), &[2, 3]);
        assert_eq!((told.agent.as_str(), told.agents.len()), ("a3", 3));
        assert_eq!(merge_one(copies(), &[]).agent, "a1");
        assert_eq!(merge_one(copies(), &[]).presence, Presence::Away);
    }

    #[test]
    fn another_deployment_with_the_same_ids_is_told_apart() {
        let copies = || vec![copy(1, "t", 30), copy(2, "other", 10)];
        assert_eq!(merge_one(copies(), &[1, 2]).differing, ["a2"]);
        assert!(merge_one(copies(), &[1]).differing.is_empty());
    }
}
