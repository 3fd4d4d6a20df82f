//! The tasks of one project: who is due, who is asked, what is answered.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use taskplane_model::command::{BRAIN, Command, CommandStatus};
use taskplane_model::filter::TaskFilter;
use taskplane_model::stuck::{Answer, Found, Known, Verdict, confirm_after, judge, pause_after, under_way_since};
use taskplane_model::time::{MINUTE, SECOND};
use taskplane_model::{TaskRecord, Timestamp};
use taskplane_protocol::frame::commands;
use taskplane_store::StoreError;
use taskplane_store::commands::CommandQuery;
use taskplane_store::tasks::{LostTask, Page, StoredTask, TaskQuery};

use super::answer::answer;
use super::memory::Memory;
use super::surroundings::{Askable, Surroundings};
use super::typical::Typical;
use super::walk::Walk;
use crate::api::types::Task;
use crate::brain::Brain;
use crate::clock;
use crate::commands::{CommandRequest, SubmitError};
use crate::live::Topic;
use crate::metrics::{InquiryLabels, InquiryOutcome};

/// Tasks that an agent is asked about at once.
const ASKED_AT_ONCE: usize = 200;
/// Tasks that wait to be asked about, for one agent. While no agent has room the walk waits.
const LINE: usize = 1_000;
/// Agents that are being asked at once.
const AGENTS_AT_ONCE: usize = 8;
/// While something is under way.
const SOON: Duration = Duration::from_millis(250);
/// An agent that failed to answer is left alone for so long …
const AFTER_FAILURE: i64 = 30 * SECOND;
/// … and one that cannot, for so long.
const AFTER_REFUSAL: i64 = 10 * MINUTE;
/// A command that has not ended by then is not waited for any more.
const GIVE_UP_AFTER: i64 = 2 * MINUTE;
/// Longest pause after an answer that said nothing.
const LONGEST_UNCLEAR: i64 = 10 * MINUTE;
/// How long inquiries can be looked at when they have been answered, and how many of them.
const KEEP: i64 = 10 * MINUTE;
const KEEP_MOST: usize = 50;
/// Commands among which those are looked for that a brain before this one has left.
const LOOKED_FOR: usize = 200;

/// What is under way in one project.
pub(super) struct ProjectWatch {
    project: u64,
    walk: Walk,
    typical: Typical,
    askable: Askable,
    memory: Memory,
    /// By agent and engine.
    lines: BTreeMap<(u64, String), Line>,
    /// Inquiries that have ended, oldest first; `None` until those of whoever led before were looked for.
    spent: Option<VecDeque<(Timestamp, String)>>,
}

/// What one agent is to be asked about one engine.
#[derive(Default)]
struct Line {
    /// Key and id.
    waiting: VecDeque<(i64, String)>,
    under_way: Option<Inquiry>,
    not_before: Timestamp,
}

/// A question that was asked.
struct Inquiry {
    command: String,
    asked_at: Timestamp,
    /// The tasks as they were then.
    tasks: Vec<StoredTask>,
}

impl ProjectWatch {
    pub(super) fn new(project: u64) -> Self {
        Self {
            project,
            walk: Walk::default(),
            typical: Typical::default(),
            askable: Askable::default(),
            memory: Memory::default(),
            lines: BTreeMap::new(),
            spent: None,
        }
    }

    /// Takes in answers, goes on one page, and asks. Returns when to take the next step.
    pub(super) async fn step(&mut self, brain: &Brain) -> Result<Duration, StoreError> {
        self.take_answers(brain).await?;
        self.look(brain).await?;
        self.ask(brain).await?;
        self.tidy(brain).await?;
        let now = clock::now();
        let is_busy = |line: &Line| line.under_way.is_some() || (!line.waiting.is_empty() && line.not_before <= now);
        if self.walk.is_under_way() || self.lines.values().any(is_busy) {
            return Ok(SOON);
        }
        let until_next = self.walk.next().0.saturating_sub(now.0);
        Ok(Duration::from_micros(u64::try_from(until_next).unwrap_or(0)).max(SOON))
    }

    /// Goes on with the walk: who is due gets in line.
    async fn look(&mut self, brain: &Brain) -> Result<(), StoreError> {
        let has_room = |line: &Line| line.waiting.len() < LINE;
        if !self.lines.is_empty() && !self.lines.values().any(has_room) {
            return Ok(());
        }
        let now = clock::now();
        let Some(walked) = self.walk.step(brain, self.project, brain.ask_after.least(), now).await? else {
            return Ok(());
        };
        if !walked.tasks.is_empty() {
            self.typical.refresh(brain, self.project, now).await?;
            self.askable.refresh(brain, self.project, now).await?;
        }
        for stored in walked.tasks {
            let is_left_alone = !self.memory.is_due(stored.key, now);
            if is_left_alone || !self.is_overdue(brain, &stored.record, now) {
                continue;
            }
            let Some(agent) = self.askable.one_of(&stored.record.agents, &stored.engine) else { continue };
            let line = self.lines.entry((agent, stored.engine)).or_default();
            if has_room(line) {
                self.memory.ask(stored.key);
                line.waiting.push_back((stored.key, stored.task_id));
            }
        }
        if walked.is_last {
            self.memory.end_round();
        }
        Ok(())
    }

    /// Asks each agent that is not being asked about those at the head of its line.
    async fn ask(&mut self, brain: &Brain) -> Result<(), StoreError> {
        let now = clock::now();
        let mut at_once = self.lines.values().filter(|line| line.under_way.is_some()).count();
        let can_be_asked = |line: &Line| line.under_way.is_none() && !line.waiting.is_empty() && line.not_before <= now;
        let places: Vec<(u64, String)> =
            self.lines.iter().filter(|(_, line)| can_be_asked(line)).map(|(place, _)| place.clone()).collect();
        for place in places {
            if at_once >= AGENTS_AT_ONCE {
                break;
            }
            at_once += usize::from(self.ask_one(brain, place, now).await?);
        }
        self.lines.retain(|_, line| !line.waiting.is_empty() || line.under_way.is_some() || line.not_before > now);
        Ok(())
    }

    /// Asks one agent; false when there is nothing to ask it any more.
    async fn ask_one(&mut self, brain: &Brain, place: (u64, String), now: Timestamp) -> Result<bool, StoreError> {
        let Some(line) = self.lines.get_mut(&place) else { return Ok(false) };
        let first: Vec<(i64, String)> = line.waiting.drain(..line.waiting.len().min(ASKED_AT_ONCE)).collect();
        for (key, _) in &first {
            // Should anything go wrong, the walk comes by again.
            self.memory.release(*key);
        }
        let (agent, engine) = &place;
        let Some(name) = self.askable.name(*agent).map(str::to_owned) else { return Ok(false) };
        let ids: Vec<String> = first.into_iter().map(|(_, id)| id).collect();
        let filter = TaskFilter { ids, engines: vec![engine.clone()], ..TaskFilter::default() };
        let query = TaskQuery { project: self.project, filter, limit: ASKED_AT_ONCE, cursor: None };
        // As they are now: what has become known since is not asked about.
        let mut tasks = brain.store.list_tasks(query).await?.items;
        tasks.retain(|task| self.is_overdue(brain, &task.record, now));
        if tasks.is_empty() {
            return Ok(false);
        }
        let ids: Vec<&str> = tasks.iter().map(|task| task.task_id.as_str()).collect();
        let request = CommandRequest {
            project: self.project,
            cmd: commands::QUERY_STATE.to_owned(),
            args: json!({"engine": engine, "task_ids": ids}),
            agent: Some(name),
            idempotency_key: None,
            created_by: BRAIN.to_owned(),
        };
        let command = match brain.commands.submit(request).await {
            Ok(command) => command.id,
            Err(SubmitError::Store(error)) => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "an agent could not be asked how tasks stand; it is asked later");
                self.leave_alone(&place, now.plus(AFTER_FAILURE));
                return Ok(false);
            }
        };
        for task in &tasks {
            self.memory.ask(task.key);
        }
        if let Some(line) = self.lines.get_mut(&place) {
            line.under_way = Some(Inquiry { command, asked_at: now, tasks });
        }
        Ok(true)
    }

    /// Takes in the answers that have come.
    async fn take_answers(&mut self, brain: &Brain) -> Result<(), StoreError> {
        let open = self.lines.iter().filter_map(|(place, line)| Some((place, line.under_way.as_ref()?)));
        let open: Vec<_> =
            open.map(|(place, inquiry)| (place.clone(), inquiry.command.clone(), inquiry.asked_at)).collect();
        for (place, id, asked_at) in open {
            let command = brain.store.command(self.project, &id).await?;
            let now = clock::now();
            let has_ended = command.as_ref().is_none_or(|command| command.status.is_final());
            if !has_ended && now.0.saturating_sub(asked_at.0) < GIVE_UP_AFTER {
                continue;
            }
            let Some(inquiry) = self.lines.get_mut(&place).and_then(|line| line.under_way.take()) else { continue };
            for task in &inquiry.tasks {
                self.memory.release(task.key);
            }
            self.spent.get_or_insert_default().push_back((now, id));
            match command.as_ref().filter(|command| command.status == CommandStatus::Succeeded) {
                Some(Command { result: Some(result), .. }) => self.judge(brain, inquiry.tasks, result, now).await?,
                _ => self.not_answered(brain, &place, command, inquiry.tasks.len(), now),
            }
        }
        Ok(())
    }

    fn not_answered(
        &mut self,
        brain: &Brain,
        place: &(u64, String),
        command: Option<Command>,
        tasks: usize,
        now: Timestamp,
    ) {
        count(brain, InquiryOutcome::Failed, tasks);
        let error = command.and_then(|command| command.error).unwrap_or_default();
        let is_refusal = matches!(error.as_str(), "unsupported_command" | "invalid_args");
        self.leave_alone(place, now.plus(if is_refusal { AFTER_REFUSAL } else { AFTER_FAILURE }));
    }

    /// Does not ask an agent before `then`.
    fn leave_alone(&mut self, place: &(u64, String), then: Timestamp) {
        let Some(line) = self.lines.get_mut(place) else { return };
        line.not_before = then;
        for (key, _) in line.waiting.drain(..) {
            self.memory.release(key);
        }
    }

    /// Judges what was answered about tasks, and calls lost those that are.
    async fn judge(
        &mut self,
        brain: &Brain,
        tasks: Vec<StoredTask>,
        result: &Value,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let answers: Vec<Answer> = tasks.iter().map(|task| answer(result, &task.task_id)).collect();
        let is_nothing = |answer: &Answer| answer.found == Found::Nothing;
        let around = match answers.iter().any(is_nothing) {
            true => Some(Surroundings::read(brain, self.project, now).await?),
            false => None,
        };
        let mut lost = Vec::new();
        for (stored, answer) in tasks.into_iter().zip(answers) {
            let known = around.as_ref().map(|around| self.known(around, &stored)).unwrap_or_default();
            let threshold = self.threshold(brain, &stored.record);
            let task = stored.record.task();
            let verdict = judge(&task, &answer, known, threshold, now);
            count(brain, InquiryOutcome::from(&verdict), 1);
            let (key, updated_at) = (stored.key, task.updated_at);
            match verdict {
                Verdict::Completed | Verdict::Alive => {
                    self.memory.rest(key, now, false, |times| pause_after(times, threshold));
                }
                Verdict::Unclear => {
                    let first = confirm_after(threshold);
                    self.memory.rest(key, now, true, |times| pause_after(times, first).min(LONGEST_UNCLEAR));
                }
                Verdict::Missing => self.memory.miss(key, updated_at, now, confirm_after(threshold)),
                Verdict::Lost(evidence) => lost.push(LostTask { judged: stored, evidence }),
            }
        }
        self.call_lost(brain, lost, now).await
    }

    fn known(&self, around: &Surroundings, stored: &StoredTask) -> Known {
        let task = stored.record.task();
        Known {
            worker_is_gone: around.worker_is_gone(&stored.engine, &task),
            agent_is_behind: around.is_behind(&stored.record.agents),
            ends_unheard: around.ends_unheard(&stored.engine, &stored.record.agents),
            queue_is_empty: around.queue_is_empty(&stored.engine, &task),
            missing_since: self.memory.missing_since(stored.key, task.updated_at),
        }
    }

    async fn call_lost(&mut self, brain: &Brain, lost: Vec<LostTask>, now: Timestamp) -> Result<(), StoreError> {
        if lost.is_empty() || !brain.leadership.is_mine() {
            return Ok(());
        }
        let keys: Vec<i64> = lost.iter().map(|lost| lost.judged.key).collect();
        let changed = brain.store.mark_lost(self.project, lost, now).await?;
        // Those that were not changed have just been heard of: they are looked at as if for the first time.
        keys.into_iter().for_each(|key| self.memory.forget(key));
        if changed.is_empty() {
            return Ok(());
        }
        tracing::info!(tasks = changed.len(), "tasks are lost: nothing was found of them, twice");
        brain.metrics.lost_tasks.inc_by(changed.len() as u64);
        tell(brain, self.project, &changed);
        Ok(())
    }

    /// Forgets inquiries that have been there to look at for long enough.
    async fn tidy(&mut self, brain: &Brain) -> Result<(), StoreError> {
        let (store, now) = (&brain.store, clock::now());
        let spent = match &mut self.spent {
            Some(spent) => spent,
            none => none.insert(left_by_others(brain, self.project).await?),
        };
        while let Some((at, id)) = spent.front() {
            if spent.len() <= KEEP_MOST && now.0.saturating_sub(at.0) < KEEP {
                break;
            }
            store.forget_inquiry(self.project, id).await?;
            spent.pop_front();
        }
        Ok(())
    }

    fn is_overdue(&self, brain: &Brain, record: &TaskRecord, now: Timestamp) -> bool {
        let since = under_way_since(&record.task());
        since.is_some_and(|since| now.0.saturating_sub(since.0) >= self.threshold(brain, record))
    }

    fn threshold(&self, brain: &Brain, record: &TaskRecord) -> i64 {
        let name = record.name.as_deref();
        brain.ask_after.of(name, self.typical.p99(name))
    }
}

/// The inquiries among the latest commands that have ended, oldest first: those of a brain that has stopped.
async fn left_by_others(brain: &Brain, project: u64) -> Result<VecDeque<(Timestamp, String)>, StoreError> {
    let query = CommandQuery { task_id: None, inquiries: true };
    let (commands, _) = brain.store.commands(project, query, Page { limit: LOOKED_FOR, cursor: None }).await?;
    let left = commands.into_iter().rev().filter(|command| command.is_inquiry() && command.status.is_final());
    Ok(left.map(|command| (command.created_at, command.id)).collect())
}

fn count(brain: &Brain, outcome: InquiryOutcome, tasks: usize) {
    brain.metrics.task_inquiries.get_or_create(&InquiryLabels { outcome }).inc_by(tasks as u64);
}

/// Tells open dashboards.
fn tell(brain: &Brain, project: u64, changed: &[StoredTask]) {
    if !brain.live.has_readers() {
        return brain.live.note_untold();
    }
    for stored in changed {
        let key = format!("{}/{}", stored.engine, stored.task_id);
        let item = serde_json::to_value(Task::from(stored)).unwrap_or_default();
        brain.live.note(project, Topic::Tasks, key, item);
    }
}
