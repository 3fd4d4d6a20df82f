//! One look at the schedules of a project: what was expected, what was seen.

use std::collections::BTreeMap;

use taskplane_model::filter::{Pattern, TaskFilter};
use taskplane_model::schedule_run::{ScheduleKey, ScheduleWatch};
use taskplane_model::time::{DAY, SECOND};
use taskplane_model::{TaskState, Timestamp};
use taskplane_store::StoreError;
use taskplane_store::fleet::ScheduleNews;
use taskplane_store::tasks::{StoredTask, TaskQuery};

use super::arguments::contradict;
use super::judge::{Judgement, Sighting};
use super::told::{ToldSchedule, merged};
use crate::brain::Brain;

/// Runs that are kept of each schedule.
const KEEP: usize = 100;
/// Schedules whose news are kept in one transaction.
const STEP: usize = 50;
/// Tasks of one type that are looked at, newest first …
const PAGE: usize = 500;
/// … in so many pages.
const PAGES: usize = 4;
/// How long a schedule that nobody tells of any more is remembered.
const REMEMBERED: i64 = DAY;
/// How late a scheduler's record may be told, unless it has shown otherwise: django-celery-beat writes every three minutes.
const RECORD_DELAY: i64 = 240 * SECOND;
/// From so many runs on, what a scheduler has shown counts.
const RUNS_TO_LEARN: usize = 5;

/// Judges what the schedules of a project should have run by `now`. May be done twice, and by two brains.
///
/// # Errors
/// When the store cannot be read or written; the next look makes up for it.
pub async fn look(brain: &Brain, project: u64, now: Timestamp) -> Result<(), StoreError> {
    let told = merged(brain, brain.store.schedules(project).await?);
    let mut watches: BTreeMap<ScheduleKey, ScheduleWatch> =
        brain.store.schedule_watches(project).await?.into_iter().collect();
    if told.is_empty() && watches.is_empty() {
        return Ok(());
    }
    let delays = record_delays(&told, &watches);
    let mut judgements = Vec::with_capacity(told.len());
    for (key, told) in told {
        let judgement = Judgement::begin(watches.remove(&key), &told.schedule, now);
        judgements.push((key, told, judgement));
    }
    show_tasks(brain, project, &mut judgements).await?;
    let mut news: Vec<ScheduleNews> = watches.into_iter().filter_map(|(key, watch)| gone(key, watch, now)).collect();
    for (key, told, mut judgement) in judgements {
        judgement.settle(told.presence, delays.get(&key.scheduler).copied());
        news.extend(judgement.finish(key));
    }
    while !news.is_empty() {
        let rest = news.split_off(news.len().min(STEP));
        brain.store.note_schedule_runs(project, std::mem::replace(&mut news, rest), KEEP).await?;
    }
    Ok(())
}

/// How long after a run each scheduler's record of it may be told; schedulers without a record are left out.
fn record_delays(
    told: &BTreeMap<ScheduleKey, ToldSchedule>,
    watches: &BTreeMap<ScheduleKey, ScheduleWatch>,
) -> BTreeMap<String, i64> {
    let mut seen: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (key, told) in told {
        if told.schedule.last_run_at.is_some() || watches.get(key).is_some_and(|watch| watch.last_run_at.is_some()) {
            let delays = watches.get(key).map(|watch| watch.delays.as_slice()).unwrap_or_default();
            seen.entry(&key.scheduler).or_default().extend(delays);
        }
    }
    let delay = |(scheduler, delays): (&str, Vec<u32>)| {
        let longest = delays.iter().max().filter(|_| delays.len() >= RUNS_TO_LEARN);
        let learned = longest.map(|longest| (i64::from(*longest) * 3 / 2 + 15) * SECOND);
        (scheduler.to_owned(), learned.unwrap_or(RECORD_DELAY))
    };
    seen.into_iter().map(delay).collect()
}

/// What becomes of a schedule that nobody tells of any more.
fn gone(key: ScheduleKey, watch: ScheduleWatch, now: Timestamp) -> Option<ScheduleNews> {
    let watch = match watch.gone_since {
        None => Some(ScheduleWatch { gone_since: Some(now), open: Vec::new(), ..watch }),
        Some(since) if now.0.saturating_sub(since.0) > REMEMBERED => None,
        Some(_) => return None,
    };
    Some(ScheduleNews { key, watch, runs: Vec::new(), unexpected: Vec::new() })
}

type Judged = (ScheduleKey, ToldSchedule, Judgement);

/// Looks for the tasks of schedules that wait for a sign of a run, once for each type of task.
async fn show_tasks(brain: &Brain, project: u64, judgements: &mut [Judged]) -> Result<(), StoreError> {
    let mut wanted: BTreeMap<String, (Timestamp, Vec<usize>)> = BTreeMap::new();
    for (place, (_, told, judgement)) in judgements.iter().enumerate() {
        // A star would mean other types as well.
        let name = told.schedule.task.as_ref().filter(|name| !name.is_empty() && !name.contains('*'));
        if let (Some(name), Some(since)) = (name, judgement.wants_tasks_since(told.presence)) {
            let entry = wanted.entry(name.clone()).or_insert((since, Vec::new()));
            entry.0 = entry.0.min(since);
            entry.1.push(place);
        }
    }
    for (name, (since, places)) in wanted {
        let tasks = tasks_since(brain, project, name, since).await?;
        for place in places {
            let (_, told, judgement) = &mut judgements[place];
            let sightings: Vec<Sighting> = tasks.iter().filter_map(|task| sighting(task, told)).collect();
            judgement.take_tasks(&sightings);
            for link in judgement.new_links() {
                if was_running(brain, project, told, &link.task_before, link.began).await? {
                    judgement.overlaps(link.due);
                }
            }
        }
    }
    Ok(())
}

/// Tasks of a type, ascending.
async fn tasks_since(
    brain: &Brain,
    project: u64,
    name: String,
    since: Timestamp,
) -> Result<Vec<StoredTask>, StoreError> {
    let filter = TaskFilter { names: vec![Pattern(name)], since: Some(since), ..TaskFilter::default() };
    let mut query = TaskQuery { project, filter, limit: PAGE, cursor: None };
    let mut tasks = Vec::new();
    for _ in 0..PAGES {
        let page = brain.store.list_tasks(query.clone()).await?;
        tasks.extend(page.items);
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    tasks.reverse();
    Ok(tasks)
}

/// What a task says of a schedule; `None` when it is of another engine or queue, has other arguments, or is one that people have sent
/// again.
fn sighting(stored: &StoredTask, told: &ToldSchedule) -> Option<Sighting> {
    let task = stored.record.task();
    let is_other = |wanted: &Option<String>, found: Option<&str>| {
        wanted.as_deref().is_some_and(|wanted| found.is_some_and(|found| found != wanted))
    };
    let (engine, queue) = (&told.schedule.engine, &told.schedule.queue);
    // What a scheduler sends is no part of another task's work.
    let is_child = task.record.parent_id.is_some() || task.record.retry_of.is_some();
    let is_elsewhere = is_other(engine, Some(&stored.engine)) || is_other(queue, task.queue());
    if is_child || is_elsewhere || contradict(&told.schedule, &stored.record) {
        return None;
    }
    let sent = task.attempts.first().and_then(|attempt| attempt.sent_at);
    let at = sent.unwrap_or(stored.first_seen);
    Some(Sighting { task_id: stored.task_id.clone(), at, is_sent: sent.is_some() })
}

/// True when a task had not ended at `then`.
async fn was_running(
    brain: &Brain,
    project: u64,
    told: &ToldSchedule,
    task_id: &str,
    then: Timestamp,
) -> Result<bool, StoreError> {
    let engines = told.schedule.engine.iter().cloned().collect();
    let filter = TaskFilter { ids: vec![task_id.to_owned()], engines, ..TaskFilter::default() };
    let page = brain.store.list_tasks(TaskQuery { project, filter, limit: 1, cursor: None }).await?;
    let Some(stored) = page.items.first() else { return Ok(false) };
    let task = stored.record.task();
    let has_begun = task.attempts.iter().any(|attempt| attempt.started_at.is_some());
    Ok(match task.last_end() {
        _ if task.state == TaskState::Lost || !has_begun => false,
        Some(end) if task.state.is_final() => end.ts > then,
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use taskplane_model::TaskRecord;
    use taskplane_model::schedule::Schedule;

    use super::super::judge::Presence;
    use super::*;

    fn told(args: serde_json::Value) -> ToldSchedule {
        let schedule = Schedule { task: Some("shop.add".into()), args_redacted: Some(args), ..Schedule::default() };
        let (agent, synced_at) = ("a".into(), Timestamp(0));
        ToldSchedule { schedule, agent, synced_at, agents: vec![], differing: vec![], presence: Presence::Away }
    }

    fn sent_with(args: Option<&str>) -> StoredTask {
        let record =
            TaskRecord { name: Some("shop.add".into()), args: args.map(str::to_owned), ..TaskRecord::default() };
        let (engine, task_id) = ("celery".into(), "t".into());
        StoredTask { key: 1, first_seen: Timestamp(7), engine, task_id, agent: None, record }
    }

    #[test]
    fn a_task_with_other_arguments_is_somebody_elses() {
        let schedules = [json!([1]), json!([2])].map(told);
        let counts_for = |task: StoredTask| schedules.each_ref().map(|told| sighting(&task, told).is_some());
        assert_eq!(counts_for(sent_with(Some("[1]"))), [true, false]);
        assert_eq!(counts_for(sent_with(Some("[2]"))), [false, true]);
        assert_eq!(counts_for(sent_with(Some("[3]"))), [false, false]);
        assert_eq!(counts_for(sent_with(None)), [true, true], "nobody has told them");
    }
}
