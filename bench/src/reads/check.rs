//! Whether an answer is right.

use anyhow::Result;
use serde_json::Value;
use taskplane_model::TaskState;
use taskplane_model::Timestamp;
use taskplane_model::time::{DAY, MINUTE};

use super::filter::Filter;
use super::{Answer, Reader};
use crate::fill::manifest::Manifest;
use crate::fill::vocabulary::{ABSENT_WORD, RARE_WORD};

/// How many tasks there are, by what `fill` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known(pub(crate) u64);

/// What an answer must be.
pub(crate) enum Expect {
    /// A page of tasks of this filter.
    Tasks(Filter),
    /// Counts for this filter.
    Counts(Filter),
    /// A task with this id.
    Task(String),
    /// Nothing: there is no such task.
    Nothing,
    /// At least so many items.
    Items(usize),
}

/// What was found of an answer.
pub(crate) enum Outcome {
    Right,
    /// Right, but a count below the bound was not finished.
    Unfinished,
    Wrong(String),
}

impl Expect {
    /// Judges an answer.
    pub(crate) fn judge(&self, answer: &Answer, manifest: &Manifest) -> Outcome {
        let wrong = Outcome::Wrong;
        let status = if matches!(self, Self::Nothing) { 404 } else { 200 };
        if answer.status != status {
            return wrong(format!("status {}: {}", answer.status, answer.body));
        }
        let body = &answer.body;
        match self {
            Self::Nothing => Outcome::Right,
            Self::Tasks(filter) => match first_wrong(items(body), filter) {
                Some(task) => wrong(format!("not asked for, or not in order: {task}")),
                None => Outcome::Right,
            },
            Self::Counts(filter) => count(body, filter.known(manifest)),
            Self::Task(id) if body["task_id"] == id.as_str() => Outcome::Right,
            Self::Task(_) => wrong(format!("another task: {body}")),
            Self::Items(least) if items(body).len() >= *least => Outcome::Right,
            Self::Items(least) => wrong(format!("{} items, expected {least}", items(body).len())),
        }
    }
}

/// The items of a page.
pub(crate) fn items(body: &Value) -> &[Value] {
    body["items"].as_array().map_or(&[], Vec::as_slice)
}

fn first_wrong<'a>(tasks: &'a [Value], filter: &Filter) -> Option<&'a Value> {
    let seen = |task: &Value| task["first_seen_at"].as_str().map(str::to_owned);
    let disordered = tasks.windows(2).find(|two| seen(&two[0]) < seen(&two[1])).map(|two| &two[1]);
    tasks.iter().find(|task| !filter.admits(task)).or(disordered)
}

fn count(body: &Value, known: Option<Known>) -> Outcome {
    let (Some(count), Some(more)) = (body["total"]["count"].as_u64(), body["total"]["more"].as_bool()) else {
        return Outcome::Wrong(format!("not a count: {body}"));
    };
    match known {
        Some(Known(tasks)) if count > tasks || (!more && count < tasks) => {
            Outcome::Wrong(format!("{tasks} tasks are there, and {count} were counted (more: {more})"))
        }
        Some(known) if more && known.is_below_bound() => Outcome::Unfinished,
        _ => Outcome::Right,
    }
}

/// Checks once, before anything else is stored, what a single call cannot show. Returns what is wrong.
pub(crate) async fn whole_store(reader: &Reader, manifest: &Manifest) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut expect = |what: &str, found: u64, expected: u64| {
        if found != expected {
            problems.push(format!("{what}: {found}, expected {expected}"));
        }
    };
    let marked = find_all(reader, RARE_WORD).await?;
    let found = manifest.marked.iter().filter(|id| marked.contains(id)).count();
    expect("tasks with the rare word", found as u64, manifest.marked.len() as u64);
    expect("tasks beside them", marked.len() as u64, manifest.marked.len() as u64);
    expect("tasks with a word that none has", find_all(reader, ABSENT_WORD).await?.len() as u64, 0);
    if let Some(sample) = manifest.samples.get(manifest.samples.len() / 2) {
        let found = find_all(reader, &sample.order).await?.contains(&sample.task_id);
        expect("the task with an order number", u64::from(found), 1);
    }
    // Statistics are exact: every attempt that was sent, and every end.
    let step = (manifest.days.cast_signed() + 2) * DAY / MINUTE;
    let query = [
        ("since", Timestamp(manifest.from - MINUTE).to_string()),
        ("until", Timestamp(manifest.until + DAY).to_string()),
        ("step", format!("{step}m")),
    ];
    let stats = reader.get("stats", &query).await?.body;
    let sum = |field: &str| items(&stats).iter().filter_map(|item| item[field].as_u64()).sum::<u64>();
    // What an earlier measurement has ingested is there as well.
    let before = sum("sent").saturating_sub(manifest.tasks);
    expect("tasks sent", sum("sent"), manifest.tasks + before);
    expect("tasks failed", sum("failed"), manifest.in_state(TaskState::Failed));
    expect("tasks revoked", sum("revoked"), manifest.in_state(TaskState::Revoked));
    Ok(problems)
}

/// Ids of all tasks that a word finds, page after page.
async fn find_all(reader: &Reader, word: &str) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("q", word.to_owned())];
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page = reader.get("tasks", &query).await?.body;
        ids.extend(items(&page).iter().filter_map(|task| task["task_id"].as_str().map(str::to_owned)));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(ids),
        }
    }
}
