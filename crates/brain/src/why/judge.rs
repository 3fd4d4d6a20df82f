//! From what is known to the reasons, and to the answer in a sentence.

use taskplane_model::Timestamp;
use taskplane_model::time::{MINUTE, SECOND};

use super::facts::{Facts, Place, SeenWorker, Watcher};
use super::phrases::{load, lowered, raised, rate, runs, time_for};
use super::summary::{Judged, ended, summary, unseen};
use crate::api::types::{WhyCode as Code, WhyKnownBy as KnownBy, WhyReason, WhyRole as Role, WorkerState};
use crate::problems::{Consumption, HowKnown, raise_visibility_timeout, visibility_timeout};
use crate::wording::{agreeing, clock, listed, plural, span};

/// A sample that is older is said to be: a queue is sampled every 10 s at least.
const OLD_SAMPLE: i64 = MINUTE;
/// So many runs say what is usual …
const ENOUGH_RUNS: u64 = 20;
/// … and a run is long that takes so many times as long as most …
const LONG: i64 = 2;
/// … and so much longer.
const MUCH_LONGER: i64 = 10 * SECOND;

/// The answer in a sentence, and its reasons: what blocks first.
pub(super) fn judge(facts: &Facts, now: Timestamp) -> (String, Vec<WhyReason>) {
    let mut judgement = Judgement { facts, now, reasons: Vec::new() };
    match &facts.place {
        Place::Ended(state) => return (ended(facts, state, now), Vec::new()),
        Place::Waiting => judgement.waiting(),
        Place::Held(worker) => judgement.held(worker.as_deref()),
        Place::Delivered => judgement.delivered(),
        Place::Running(worker) => judgement.running(worker.as_deref()),
    }
    judgement.no_trace();
    judgement.watcher();
    let mut reasons = judgement.reasons;
    reasons.sort_by_key(|judged| judged.reason.role);
    (summary(facts, &reasons, now), reasons.into_iter().map(|judged| judged.reason).collect())
}

struct Judgement<'f> {
    facts: &'f Facts,
    now: Timestamp,
    reasons: Vec<Judged>,
}

impl Judgement<'_> {
    /// It waits in its queue, as far as is known.
    fn waiting(&mut self) {
        let has_time = self.expired() | self.not_before();
        let Some(name) = self.facts.task.queue.clone() else {
            let text = "Which queue it was sent to is not known, and so neither who could take it.";
            let clause = "which queue it was sent to is not known".to_owned();
            return self.push_placed(Code::QueueUnknown, Role::Context, text.to_owned(), clause);
        };
        if let Consumption::Nobody(how_known) = self.facts.consumption {
            return self.unconsumed(&name, how_known);
        }
        self.idle_consumers(&name);
        self.busy_consumers(&name);
        self.in_queue(&name, has_time);
    }

    /// A worker holds it and has not begun it.
    fn held(&mut self, worker: Option<&str>) {
        let has_time = self.expired() | self.not_before();
        let (Some(name), Some(holder)) = (worker, &self.facts.holder) else {
            let which =
                worker.map_or("which one is not known".to_owned(), |name| format!("{name}, of which nothing is heard"));
            let text = format!("A worker holds it and has not begun it: {which}.");
            return self.push_placed(
                Code::HeldByWorker,
                Role::Context,
                text.clone(),
                lowered(text.trim_end_matches('.')),
            );
        };
        if self.is_gone(holder) {
            return self.holder_gone(holder);
        }
        self.beyond_visibility(holder);
        let since = self.facts.task.received_at.map(|at| format!(" since {}", clock(at, self.now))).unwrap_or_default();
        let (runs, load) = (runs(holder, self.now), load(holder));
        if has_time {
            let text = format!("{name} holds it{since} until then.");
            return self.push_placed(Code::HeldByWorker, Role::Context, text, String::new());
        }
        if holder.is_full() {
            let text = format!("{name} holds it{since} and has not begun it.");
            self.push_placed(Code::HeldByWorker, Role::Context, text, String::new());
            let text = format!("{name} {load}: it begins the next one when one of them ends.{runs}");
            return self.push_heard(
                Code::WorkersBusy,
                Role::Delays,
                text,
                format!("{name}, which holds it, {load}"),
                holder,
            );
        }
        if holder.idle.is_some() {
            self.idle_holder(holder);
        }
        let text = format!(
            "{name} holds it{since} and has not begun it, though it {load}: tasks that it took before, a rate limit, or a pool that \
             hangs may be why.{runs}"
        );
        self.push_placed(Code::HeldByWorker, Role::Delays, text, format!("{name} holds it and has not begun it"));
    }

    /// Its message is delivered, and nobody says that he has it.
    fn delivered(&mut self) {
        self.expired();
        self.not_before();
        if let Some(holder) = self.facts.holder.as_ref().filter(|holder| self.is_gone(holder)) {
            return self.holder_gone(holder);
        }
        let text = "Its message is delivered and not acknowledged, and no worker that answered has it. If the worker that took it is \
                    gone, it is delivered again after the broker's visibility timeout.";
        let clause = "its message is with a worker that does not answer or is gone".to_owned();
        self.push_placed(Code::WorkerGone, Role::Blocks, text.to_owned(), clause);
    }

    fn running(&mut self, worker: Option<&str>) {
        let (facts, now) = (self.facts, self.now);
        if let Some(holder) = facts.holder.as_ref().filter(|holder| self.is_gone(holder)) {
            self.holder_gone(holder);
        }
        let on = worker.map(|name| format!(" on {name}")).unwrap_or_default();
        let elapsed = facts.task.started_at.map(|at| now.0.saturating_sub(at.0));
        let since = facts.task.started_at.zip(elapsed);
        let since = since.map(|(at, so_long)| format!(" since {}, for {}", clock(at, now), span(so_long)));
        let text = format!("It runs{on}{}.", since.unwrap_or_default());
        let Some(usual) = facts.usual else {
            return self.started(Code::Running, Role::Context, text, String::new());
        };
        let of = facts.task.name.as_deref().unwrap_or("its type");
        let usually = format!(
            " Of the last {} of {of}, half took {} at most, and 95 % took {} at most.",
            plural(usual.runs, "run"),
            span(usual.half),
            span(usual.most)
        );
        let is_long = |elapsed: i64| elapsed > LONG * usual.most && elapsed > usual.most + MUCH_LONGER;
        match elapsed.filter(|elapsed| usual.runs >= ENOUGH_RUNS && is_long(*elapsed)) {
            None => self.started(Code::Running, Role::Context, text + &usually, String::new()),
            Some(elapsed) => {
                let clause = format!(
                    "it runs for {} by now, and 95 % of its type end within {}",
                    span(elapsed),
                    span(usual.most)
                );
                self.started(Code::RunningLong, Role::Delays, text + &usually, clause);
            }
        }
    }

    fn expired(&mut self) -> bool {
        let Some(at) = self.facts.task.expires.filter(|at| *at <= self.now) else { return false };
        let clause = format!("it expired at {}", clock(at, self.now));
        let text = format!("It expired at {}: a worker that takes it now drops it.", clock(at, self.now));
        self.of_task(Code::Expired, Role::Blocks, text, clause, at);
        true
    }

    /// A time before which it is not to run: true when that has not come.
    fn not_before(&mut self) -> bool {
        let (task, now) = (&self.facts.task, self.now);
        let due = task.eta.filter(|eta| *eta > now);
        let then = due.map(|eta| format!("{}, in {}", clock(eta, now), span(eta.0 - now.0)));
        if let Some(failed) = &task.failed {
            let with = failed.exception.as_deref().map(|exception| format!(" with {exception}")).unwrap_or_default();
            let failure = format!("attempt {} failed{with}", failed.number);
            let (role, rest) = match &then {
                Some(then) => (Role::Blocks, format!("the next one is to run at {then}")),
                None => (Role::Context, "the next one waits to be begun".to_owned()),
            };
            let clause = format!("{failure}, and {rest}");
            self.push_told(Code::WaitsForRetry, role, format!("{}.", raised(&clause)), clause, failed.known_by);
        } else if let Some(then) = &then {
            let clause = format!("it is not to run before {then}");
            self.push_told(Code::Eta, Role::Blocks, format!("{}.", raised(&clause)), clause, task.eta_known_by);
        }
        due.is_some()
    }

    fn unconsumed(&mut self, name: &str, how_known: HowKnown) {
        let depth = self.facts.queue.as_ref().and_then(|queue| queue.depth).filter(|depth| *depth > 0);
        let waits =
            depth.map(|depth| format!(", in which {} {}", plural(depth, "message"), agreeing(depth, "waits", "wait")));
        let mut text = format!("No worker consumes the queue {name}{}.", waits.unwrap_or_default());
        match how_known {
            HowKnown::BySample => {}
            HowKnown::ByWorkers(0) => text.push_str(" No worker is online."),
            HowKnown::ByWorkers(1) => {
                text.push_str(" The only worker that is online does not list it among its queues.")
            }
            HowKnown::ByWorkers(online) => {
                text.push_str(&format!(" None of the {online} workers that are online lists it among its queues."));
            }
        }
        if self.facts.place_known.0 == KnownBy::Inquiry {
            text.push_str(" The agent has just found its message there.");
        }
        let clause = format!("no worker consumes its queue {name}");
        match (how_known, &self.facts.queue) {
            (HowKnown::BySample, Some(queue)) => {
                let at = queue.sampled_at;
                self.push(Code::QueueUnconsumed, Role::Blocks, text, clause, (KnownBy::QueueSample, Some(at)), None);
            }
            _ => {
                let known = (KnownBy::WorkerHeartbeat, Some(self.now));
                self.push(Code::QueueUnconsumed, Role::Blocks, text, clause, known, None);
            }
        }
        self.old_sample(name);
    }

    fn idle_consumers(&mut self, queue: &str) {
        let consumers = &self.facts.consumers;
        let idle: Vec<&SeenWorker> = consumers.iter().filter(|consumer| consumer.idle.is_some()).collect();
        let Some(since) = idle.iter().filter_map(|seen| seen.idle.as_ref()).map(|idle| idle.since).max() else {
            return;
        };
        let names = listed(idle.iter().map(|seen| seen.worker.name.as_str()));
        let count = idle.len() as u64;
        let so_long = span(self.now.0.saturating_sub(since.0));
        let role = if idle.len() == consumers.len() { Role::Blocks } else { Role::Delays };
        let has = agreeing(count, "its heartbeats come, but it has", "their heartbeats come, but they have");
        let text = format!(
            "{names} {} the queue {queue} and {} no tasks: {has} begun nothing for {so_long} though messages wait. Restarting {} helps \
             as a rule.",
            agreeing(count, "consumes", "consume"),
            agreeing(count, "takes", "take"),
            agreeing(count, "it", "them")
        );
        let clause = format!("{names} {} no tasks of its queue {queue}", agreeing(count, "takes", "take"));
        let known = (KnownBy::WorkerHeartbeat, idle.iter().map(|seen| seen.worker.last_seen_at).max());
        self.push(Code::WorkerIdle, role, text, clause, known, Some(since));
    }

    fn busy_consumers(&mut self, queue: &str) {
        let consumers = &self.facts.consumers;
        let able: Vec<&SeenWorker> = consumers.iter().filter(|consumer| consumer.idle.is_none()).collect();
        if able.is_empty() || !able.iter().all(|consumer| consumer.is_full()) {
            return;
        }
        let known = (KnownBy::WorkerHeartbeat, able.iter().map(|seen| seen.worker.last_seen_at).min());
        let (text, clause) = if let [only] = able.as_slice() {
            let (name, load) = (&only.worker.name, load(only));
            let text = format!("{name}, the only worker that takes from the queue {queue}, {load}.");
            (text, format!("{name}, the only worker that takes from its queue {queue}, {load}"))
        } else {
            let places: u64 = able.iter().filter_map(|consumer| consumer.load()).map(|(_, places)| places).sum();
            let all = format!("all {places} places of the {} workers that take from", able.len());
            (format!("{} the queue {queue} are taken.", raised(&all)), format!("{all} its queue {queue} are taken"))
        };
        self.push(Code::WorkersBusy, Role::Delays, text, clause, known, None);
    }

    /// Where it stands among what waits in its queue.
    fn in_queue(&mut self, name: &str, has_time: bool) {
        let was_found = self.facts.place_known.0 == KnownBy::Inquiry;
        let Some((queue, depth)) = self.facts.queue.as_ref().and_then(|queue| Some((queue, queue.depth?))) else {
            let text = format!("No agent tells how many messages wait in the queue {name}.");
            let clause = format!("nothing is known of its queue {name}");
            return self.push_placed(Code::QueueUnknown, Role::Context, text, clause);
        };
        let known = (KnownBy::QueueSample, Some(queue.sampled_at));
        let since = Some(self.facts.task.since);
        if was_found {
            let text = format!("Its message waits in the queue {name}{}", self.prospect(depth.max(1)));
            let clause = format!("its message waits in the queue {name}{}", self.short_prospect(depth.max(1)));
            self.push_placed(Code::Behind, Role::Delays, text, clause);
        } else if depth > 0 {
            let waits = agreeing(depth, "waits", "wait");
            let text = format!("{} {waits} in the queue {name}{}", plural(depth, "message"), self.prospect(depth));
            let clause =
                format!("{} {waits} in its queue {name}{}", plural(depth, "message"), self.short_prospect(depth));
            self.push(Code::Behind, Role::Delays, text, clause, known, since);
        } else if queue.sampled_at > self.facts.task.since && !has_time {
            let is_mute = |consumer: &SeenWorker| consumer.worker.facts.task_events == Some(false);
            let taken = match self.facts.consumers.iter().any(is_mute) {
                true => "a worker may have it without a word, as task events are off",
                false => "a worker has taken it and no event told of that yet, or it is gone",
            };
            let text = format!(
                "Nothing waits in the queue {name}, so its message is not there any more: {taken}. Ask the agent to find out."
            );
            let clause = format!("its message is not in its queue {name}, and no event tells who has it");
            self.push(Code::QueueUnknown, Role::Context, text, clause, known, None);
        }
        self.old_sample(name);
    }

    /// How long so many messages take.
    fn prospect(&self, depth: u64) -> String {
        match self.facts.pace {
            Some(pace) if pace.begun > 0 => {
                format!(": about {} at the present pace, as {} are begun.", span(time_for(depth, pace)), rate(pace))
            }
            Some(pace) => {
                let minutes = span(pace.within / MINUTE * MINUTE);
                format!(
                    ". None of its tasks was seen to begin within the last {minutes}, so how long it takes is not known."
                )
            }
            None => ".".to_owned(),
        }
    }

    fn short_prospect(&self, depth: u64) -> String {
        let pace = self.facts.pace.filter(|pace| pace.begun > 0);
        pace.map(|pace| format!(", about {} at the present pace", span(time_for(depth, pace)))).unwrap_or_default()
    }

    fn old_sample(&mut self, name: &str) {
        let Some(queue) = &self.facts.queue else { return };
        let age = self.now.0.saturating_sub(queue.sampled_at.0);
        if age > OLD_SAMPLE {
            let text = format!("The queue {name} was last looked at {} ago: it may be otherwise by now.", span(age));
            let known = (KnownBy::QueueSample, Some(queue.sampled_at));
            self.push(Code::SampleOld, Role::Context, text, String::new(), known, None);
        }
    }

    /// True for a worker that said goodbye, or is silent though somebody listens.
    fn is_gone(&self, worker: &SeenWorker) -> bool {
        match worker.state {
            WorkerState::Online => false,
            WorkerState::Offline => true,
            WorkerState::Unknown => self.facts.watcher == Watcher::Sees,
        }
    }

    /// The worker that has it is gone.
    fn holder_gone(&mut self, holder: &SeenWorker) {
        let (name, now) = (&holder.worker.name, self.now);
        let seen = clock(holder.worker.last_seen_at, now);
        let is_gone = match holder.state {
            WorkerState::Offline => format!("is offline since {seen}"),
            _ => format!("was last heard at {seen}"),
        };
        let has_begun = matches!(self.facts.place, Place::Running(_));
        let had = if has_begun { "ran it" } else { "held it" };
        let again = self.facts.task.received_at.zip(visibility_timeout(&holder.worker));
        let again = again.map(|(received, timeout)| (clock(received.plus(timeout), now), span(timeout)));
        let then = match (again, has_begun) {
            (Some((at, timeout)), false) => format!(
                " Its message is delivered again after the visibility timeout of {timeout}, at about {at}, unless the worker has put \
                 it back when it stopped."
            ),
            (Some((at, timeout)), true) => format!(
                " If its message was to be acknowledged only at the end, it is delivered again after the visibility timeout of \
                 {timeout}, at about {at}; otherwise it does not run again by itself."
            ),
            (None, false) => " When its message is delivered again is not known.".to_owned(),
            (None, true) => " Whether it runs again by itself depends on when its message was acknowledged.".to_owned(),
        };
        let text = format!("The worker {name}, which {had}, {is_gone}.{then}");
        let clause = format!("the worker {name}, which {had}, {is_gone}");
        let known = (KnownBy::WorkerHeartbeat, Some(holder.worker.last_seen_at));
        self.push(Code::WorkerGone, Role::Blocks, text, clause, known, Some(holder.worker.last_seen_at));
    }

    fn idle_holder(&mut self, holder: &SeenWorker) {
        let Some(idle) = &holder.idle else { return };
        let (name, so_long) = (&holder.worker.name, span(self.now.0.saturating_sub(idle.since.0)));
        let text = format!(
            "{name} has begun nothing for {so_long}, though it has room and {} in its queues: it seems to hang. Look at its log, and \
             restart it.",
            plural(idle.waiting, "message")
        );
        let clause = format!("{name}, which holds it, has begun nothing for {so_long}");
        let known = (KnownBy::WorkerHeartbeat, Some(holder.worker.last_seen_at));
        self.push(Code::WorkerIdle, Role::Blocks, text, clause, known, Some(idle.since));
    }

    fn beyond_visibility(&mut self, holder: &SeenWorker) {
        let (task, Some(timeout)) = (&self.facts.task, visibility_timeout(&holder.worker)) else { return };
        let Some((received, eta)) = task.received_at.zip(task.eta.filter(|eta| *eta > self.now)) else { return };
        if eta.0.saturating_sub(received.0) <= timeout {
            return;
        }
        let text = format!(
            "Its broker delivers it again at about {}, before its time has come, because it stays unacknowledged for longer than the \
             visibility timeout of {}: it may be begun more than once. {}",
            clock(received.plus(timeout), self.now),
            span(timeout),
            raise_visibility_timeout(&self.facts.engine)
        );
        self.push_heard(Code::EtaBeyondVisibility, Role::Context, text, String::new(), holder);
    }

    /// The agent has looked and found nothing.
    fn no_trace(&mut self) {
        let Some(no_trace) = &self.facts.no_trace else { return };
        let known = self.asked_at();
        let is_with_worker = matches!(self.facts.place, Place::Held(_) | Place::Running(_));
        // On some brokers, messages that wait cannot be looked at: then this is no news.
        let role = if is_with_worker && no_trace.all_answered { Role::Blocks } else { Role::Context };
        let text = format!("The agent looked for it and found no trace: {}.", no_trace.evidence.join("; "));
        let clause = "the agent finds no trace of it, with no worker and in no queue".to_owned();
        self.push(Code::QueueUnknown, role, text, clause, (KnownBy::Inquiry, known), None);
    }

    fn asked_at(&self) -> Option<Timestamp> {
        let (by, at) = self.facts.place_known;
        Some(if by == KnownBy::Inquiry { at } else { self.now })
    }

    /// Who would tell does not, if it is so.
    fn watcher(&mut self) {
        let Some(clause) = unseen(self.facts, self.now) else { return };
        let (code, text, since) = match &self.facts.watcher {
            Watcher::Nobody => {
                (Code::NoAgent, format!("{}: what becomes of its tasks is not seen.", raised(&clause)), None)
            }
            Watcher::Away(_, since) => (
                Code::AgentOffline,
                format!("{}: what has happened since is not known.", raised(&clause)),
                Some(*since),
            ),
            _ => (Code::AgentOffline, format!("{}. What happens there now is not known.", raised(&clause)), None),
        };
        let known = (KnownBy::AgentConnection, Some(self.now));
        self.push(code, Role::Context, text, String::new(), known, since);
    }

    fn of_task(&mut self, code: Code, role: Role, text: String, clause: String, since: Timestamp) {
        self.push(code, role, text, clause, (self.facts.task.known_by, Some(self.facts.task.since)), Some(since));
    }

    fn push_told(&mut self, code: Code, role: Role, text: String, clause: String, known_by: KnownBy) {
        let since = self.facts.task.since;
        self.push(code, role, text, clause, (known_by, Some(since)), Some(since));
    }

    /// Known as it is known where the task is.
    fn push_placed(&mut self, code: Code, role: Role, text: String, clause: String) {
        let (by, at) = self.facts.place_known;
        let since = self.facts.task.received_at.unwrap_or(self.facts.task.since);
        self.push(code, role, text, clause, (by, Some(at)), Some(since));
    }

    fn started(&mut self, code: Code, role: Role, text: String, clause: String) {
        let (by, at) = self.facts.place_known;
        self.push(code, role, text, clause, (by, Some(at)), self.facts.task.started_at);
    }

    fn push_heard(&mut self, code: Code, role: Role, text: String, clause: String, worker: &SeenWorker) {
        let known = (KnownBy::WorkerHeartbeat, Some(worker.worker.last_seen_at));
        self.push(code, role, text, clause, known, None);
    }

    fn push(
        &mut self,
        code: Code,
        role: Role,
        text: String,
        clause: String,
        (known_by, known_at): (KnownBy, Option<Timestamp>),
        since: Option<Timestamp>,
    ) {
        self.reasons.push(Judged { reason: WhyReason { code, text, role, known_by, known_at, since }, clause });
    }
}

#[cfg(test)]
mod tests;
