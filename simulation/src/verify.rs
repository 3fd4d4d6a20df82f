//! What must hold when the faults have stopped and everything has come to rest.

use std::collections::BTreeMap;
use std::io::Read;

use taskplane_model::command::CommandStatus;
use taskplane_model::{TaskRecord, Timestamp};
use taskplane_protocol::frame::Event;
use taskplane_protocol::understand::{Meaning, understand};

use crate::chance::Chance;
use crate::events::number_of;
use crate::failure::{Violation, hold};
use crate::router::{is_restart, task_of};
use crate::store::{Contents, count, shown};
use crate::truth::{Fate, Truth};

/// Holds what is stored against what really happened.
pub(crate) fn verify(truth: &Truth, contents: &Contents, chance: &mut Chance) -> Result<(), Violation> {
    let stored = stored_events(truth)?;
    for (number, event) in truth.events.iter().enumerate() {
        let times = stored[number].len();
        hold!(times <= 1, "event {number} is stored {times} times");
        hold!(times == 1 || event.fate != Fate::Kept, "event {number} is neither stored nor counted as lost");
    }
    let folded = fold_one_by_one(truth, &stored, chance)?;
    tasks(&folded, contents)?;
    statistics(contents)?;
    agents(truth, &folded, contents)?;
    commands(truth, contents)
}

/// For each event, when it was stored; from what was committed as it came.
fn stored_events(truth: &Truth) -> Result<Vec<Vec<(Timestamp, String)>>, Violation> {
    let mut stored = vec![Vec::new(); truth.events.len()];
    for raw in &truth.raw {
        let mut text = String::new();
        let inflated = flate2::read::ZlibDecoder::new(&raw.compressed[..]).read_to_string(&mut text);
        inflated.map_err(Violation::io)?;
        let events: Vec<&serde_json::value::RawValue> = serde_json::from_str(&text)
            .map_err(|error| Violation::new(format!("what is stored is no JSON: {error}")))?;
        let numbers: Vec<usize> = events.iter().filter_map(|event| number_of(event.get())).collect();
        let sealed = truth.streams[raw.stream].batches.get(&raw.seq).map(|batch| &batch.events);
        hold!(sealed == Some(&numbers), "batch {} of stream {} is stored as {numbers:?}", raw.seq, raw.stream);
        for (number, event) in numbers.into_iter().zip(events) {
            hold!(truth.events[number].text == event.get(), "event {number} is stored as something else");
            stored[number].push((raw.received_at, raw.agent.clone()));
        }
    }
    Ok(stored)
}

/// What each stored event tells, one after the other in an arbitrary order.
#[derive(Default)]
struct Folded {
    tasks: BTreeMap<String, TaskRecord>,
    quarantined: BTreeMap<String, u64>,
}

fn fold_one_by_one(
    truth: &Truth,
    stored: &[Vec<(Timestamp, String)>],
    chance: &mut Chance,
) -> Result<Folded, Violation> {
    let mut folded = Folded::default();
    let mut order: Vec<usize> = (0..stored.len()).filter(|number| !stored[*number].is_empty()).collect();
    chance.shuffle(&mut order);
    for number in order {
        let text = &truth.events[number].text;
        let Some((received_at, agent)) = stored[number].first() else { continue };
        let event: Event<'_> =
            serde_json::from_str(text).map_err(|error| Violation::new(format!("event {number}: {error}")))?;
        match understand(&event, Some("celery"), *received_at) {
            Ok(Meaning::Task { task_id, event, .. }) => {
                folded.tasks.entry(task_id.to_owned()).or_default().apply(task_id, &event);
            }
            Ok(_) => {}
            Err(_) => *folded.quarantined.entry(agent.clone()).or_default() += 1,
        }
    }
    Ok(folded)
}

fn tasks(folded: &Folded, contents: &Contents) -> Result<(), Violation> {
    let stored: Vec<&String> = contents.tasks.keys().collect();
    let expected: Vec<&String> = folded.tasks.keys().collect();
    hold!(stored == expected, "the tasks {stored:?} are stored, and events told of {expected:?}");
    for (id, expected) in &folded.tasks {
        let stored = contents.tasks.get(id).map(plain);
        hold!(stored.as_ref() == Some(expected), "{id} is stored as {stored:?}, and its events make it {expected:?}");
    }
    Ok(())
}

/// A record without the numbers that are the store's own.
fn plain(record: &TaskRecord) -> TaskRecord {
    TaskRecord { batches: Vec::new(), agents: Vec::new(), ..record.clone() }
}

/// What is counted must be what the tasks, as they are now stored, add up to.
fn statistics(contents: &Contents) -> Result<(), Violation> {
    let mut expected = BTreeMap::new();
    contents.tasks.values().for_each(|record| count(&mut expected, record, 1));
    let expected = shown(&expected);
    for (key, rollup) in &expected {
        let stored = contents.statistics.get(key);
        hold!(stored == Some(rollup), "the statistics of {key:?} are {stored:?}, and its tasks add up to {rollup:?}");
    }
    let extra = contents.statistics.keys().find(|key| !expected.contains_key(*key));
    hold!(extra.is_none(), "there are statistics of {extra:?} without tasks");
    Ok(())
}

fn agents(truth: &Truth, folded: &Folded, contents: &Contents) -> Result<(), Violation> {
    let mut lost: BTreeMap<&str, u64> = BTreeMap::new();
    for ((_, agent), to) in &truth.stored_to {
        *lost.entry(agent).or_default() += to;
    }
    for raw in &truth.raw {
        *lost.entry(&raw.agent).or_default() -= 1;
    }
    for (name, counted) in &contents.agents {
        let expected =
            (lost.get(name.as_str()).copied().unwrap_or(0), folded.quarantined.get(name).copied().unwrap_or(0));
        hold!(*counted == expected, "{name} has {counted:?} batches lost and events in quarantine, not {expected:?}");
    }
    Ok(())
}

/// A command's status must be true.
fn commands(truth: &Truth, contents: &Contents) -> Result<(), Violation> {
    for (id, (status, error)) in &contents.commands {
        let times = truth.executed.get(&task_of(id)).copied().unwrap_or(0);
        hold!(times <= 1, "{id} was executed {times} times");
        if is_restart(id) {
            continue;
        }
        let error = error.as_deref().unwrap_or_default();
        let is_true = match status {
            CommandStatus::Succeeded => times == 1,
            CommandStatus::Failed if error == "engine_error" => true,
            CommandStatus::Failed => times == 0,
            CommandStatus::TimedOut | CommandStatus::Unknown => true,
            // Its end could not be written down; the next start of the brain says that it is not known.
            CommandStatus::Pending => truth.unrecorded.contains(id) && times == 0,
            CommandStatus::Sent => truth.unrecorded.contains(id),
        };
        hold!(is_true, "{id} is {} ({error}), and it was executed {times} times", status.name());
    }
    Ok(())
}
