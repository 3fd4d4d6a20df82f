use taskplane_model::TaskState;
use taskplane_model::fleet::{Queue, Worker, WorkerFacts, WorkerSign};

use super::super::facts::{FailedAttempt, NoTrace, Pace, TaskFacts, Usual};
use super::*;
use crate::problems::Idle;

const HOUR: i64 = 60 * MINUTE;

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-23T14:00:00Z").expect("a time")
}

fn ago(micros: i64) -> Timestamp {
    now().plus(-micros)
}

/// A task that waits in a queue that two workers consume.
fn waiting() -> Facts {
    Facts {
        engine: "celery".into(),
        task: TaskFacts {
            state: TaskState::Pending,
            name: Some("mail.send".into()),
            queue: Some("emails".into()),
            since: ago(10 * MINUTE),
            received_at: None,
            started_at: None,
            ended_at: None,
            eta: None,
            expires: None,
            failed: None,
            known_by: KnownBy::TaskEvents,
            eta_known_by: KnownBy::TaskEvents,
        },
        place: Place::Waiting,
        place_known: (KnownBy::TaskEvents, ago(10 * MINUTE)),
        no_trace: None,
        queue: Some(queue(120, Some(2))),
        consumption: Consumption::Somebody,
        consumers: vec![worker("w1", 1, 2), worker("w2", 0, 2)],
        holder: None,
        watcher: Watcher::Sees,
        pace: Some(Pace { begun: 150, within: 5 * MINUTE }),
        usual: None,
    }
}

/// A task that the worker w1 holds since five minutes.
fn held(holder: SeenWorker) -> Facts {
    let mut facts = waiting();
    facts.task.state = TaskState::Received;
    facts.task.received_at = Some(ago(5 * MINUTE));
    Facts {
        place: Place::Held(Some("w1".into())),
        place_known: (KnownBy::TaskEvents, ago(5 * MINUTE)),
        holder: Some(holder),
        ..facts
    }
}

/// A task that runs on w1 since so long.
fn running(so_long: i64, holder: SeenWorker) -> Facts {
    let mut facts = held(holder);
    facts.task.state = TaskState::Started;
    facts.task.started_at = Some(ago(so_long));
    let usual = Usual { runs: 40, half: 2 * SECOND, most: 10 * SECOND };
    Facts { place: Place::Running(Some("w1".into())), usual: Some(usual), ..facts }
}

fn queue(depth: u64, consumers: Option<u64>) -> Queue {
    let (name, engine) = ("emails".into(), "celery".into());
    Queue { name, engine, depth: Some(depth), consumers, sampled_at: ago(3 * SECOND), ..Queue::default() }
}

fn worker(name: &str, active: u64, concurrency: u64) -> SeenWorker {
    let facts = WorkerFacts {
        active: Some(active),
        concurrency: Some(concurrency),
        visibility_timeout_s: Some(3_600.0),
        ..WorkerFacts::default()
    };
    let (engine, last_seen_at) = ("celery".into(), ago(4 * SECOND));
    let worker = Worker { name: name.into(), engine, sign: WorkerSign::Heartbeat, last_seen_at, facts, agent: 1 };
    SeenWorker { worker, state: WorkerState::Online, idle: None, runs: Vec::new() }
}

fn gone(name: &str) -> SeenWorker {
    SeenWorker { state: WorkerState::Offline, ..worker(name, 0, 2) }
}

fn idle(name: &str) -> SeenWorker {
    let idle = Idle { since: ago(3 * MINUTE), queues: vec!["emails".into()], waiting: 120, usual_gap: None };
    SeenWorker { idle: Some(idle), ..worker(name, 0, 2) }
}

fn codes(facts: &Facts) -> Vec<(Code, Role)> {
    judge(facts, now()).1.into_iter().map(|reason| (reason.code, reason.role)).collect()
}

fn summary_of(facts: &Facts) -> String {
    judge(facts, now()).0
}

fn text(facts: &Facts, code: Code) -> String {
    let reasons = judge(facts, now()).1;
    let reason = reasons.into_iter().find(|reason| reason.code == code);
    reason.unwrap_or_else(|| panic!("no {code:?}: {:?}", codes(facts))).text
}

#[test]
fn a_task_that_waits_behind_others_is_told_how_long() {
    let facts = waiting();
    assert_eq!(codes(&facts), [(Code::Behind, Role::Delays)]);
    let expected = "120 messages wait in the queue emails: about 4 min at the present pace, as 30 a minute are begun.";
    assert_eq!(text(&facts, Code::Behind), expected);
    assert_eq!(
        summary_of(&facts),
        "It waits its turn: 120 messages wait in its queue emails, about 4 min at the present pace."
    );
    let reason = &judge(&facts, now()).1[0];
    assert_eq!((reason.known_by, reason.known_at), (KnownBy::QueueSample, Some(ago(3 * SECOND))));
    assert_eq!(reason.since, Some(ago(10 * MINUTE)));
}

#[test]
fn without_a_pace_no_time_is_told() {
    let facts = Facts { pace: Some(Pace { begun: 0, within: 5 * MINUTE }), ..waiting() };
    let told = text(&facts, Code::Behind);
    assert!(told.contains("None of its tasks was seen to begin within the last 5 min"), "{told}");
    assert_eq!(summary_of(&facts), "It waits its turn: 120 messages wait in its queue emails.");
    let slow = Facts { pace: Some(Pace { begun: 1, within: 5 * MINUTE }), ..waiting() };
    assert!(text(&slow, Code::Behind).contains("about 10 h at the present pace, as 12 an hour"));
}

#[test]
fn a_queue_that_nothing_consumes_blocks() {
    let facts = Facts {
        queue: Some(queue(34, Some(0))),
        consumption: Consumption::Nobody(HowKnown::BySample),
        consumers: Vec::new(),
        ..waiting()
    };
    assert_eq!(codes(&facts), [(Code::QueueUnconsumed, Role::Blocks)]);
    assert_eq!(text(&facts, Code::QueueUnconsumed), "No worker consumes the queue emails, in which 34 messages wait.");
    assert_eq!(summary_of(&facts), "It does not run because no worker consumes its queue emails.");
    let reason = &judge(&facts, now()).1[0];
    assert_eq!((reason.known_by, reason.known_at), (KnownBy::QueueSample, Some(ago(3 * SECOND))));

    let by_workers = Facts { consumption: Consumption::Nobody(HowKnown::ByWorkers(3)), ..facts };
    let reason = &judge(&by_workers, now()).1[0];
    assert!(reason.text.ends_with("None of the 3 workers that are online lists it among its queues."));
    assert_eq!(reason.known_by, KnownBy::WorkerHeartbeat);
}

#[test]
fn a_time_that_has_not_come_blocks_first() {
    let mut facts = waiting();
    facts.task.eta = Some(now().plus(25 * MINUTE));
    assert_eq!(codes(&facts), [(Code::Eta, Role::Blocks), (Code::Behind, Role::Delays)]);
    assert_eq!(summary_of(&facts), "It does not run because it is not to run before 14:25 UTC, in 25 min.");
    facts.task.eta = Some(ago(MINUTE));
    assert_eq!(codes(&facts), [(Code::Behind, Role::Delays)]);
}

#[test]
fn an_expired_task_is_dropped_by_whoever_takes_it() {
    let mut facts = waiting();
    facts.task.expires = Some(ago(MINUTE));
    assert_eq!(codes(&facts)[0], (Code::Expired, Role::Blocks));
    assert_eq!(summary_of(&facts), "It does not run because it expired at 13:59 UTC.");
    facts.task.expires = Some(now().plus(MINUTE));
    assert_eq!(codes(&facts), [(Code::Behind, Role::Delays)]);
}

#[test]
fn a_retry_waits_for_its_time_or_its_turn() {
    let mut facts = waiting();
    facts.task.state = TaskState::Retrying;
    let (exception, known_by) = (Some("ConnectionError".into()), KnownBy::TaskEvents);
    facts.task.failed = Some(FailedAttempt { number: 2, exception, known_by });
    facts.task.eta = Some(now().plus(2 * MINUTE));
    assert_eq!(codes(&facts)[0], (Code::WaitsForRetry, Role::Blocks));
    let expected = "Attempt 2 failed with ConnectionError, and the next one is to run at 14:02 UTC, in 2 min.";
    assert_eq!(text(&facts, Code::WaitsForRetry), expected);
    facts.task.eta = None;
    assert_eq!(codes(&facts), [(Code::Behind, Role::Delays), (Code::WaitsForRetry, Role::Context)]);
}

#[test]
fn workers_that_are_full_delay_and_are_counted() {
    let both = Facts { consumers: vec![worker("w1", 2, 2), worker("w2", 2, 2)], ..waiting() };
    assert_eq!(codes(&both), [(Code::WorkersBusy, Role::Delays), (Code::Behind, Role::Delays)]);
    let expected = "All 4 places of the 2 workers that take from the queue emails are taken.";
    assert_eq!(text(&both, Code::WorkersBusy), expected);
    let one = Facts { consumers: vec![worker("w1", 1, 1)], ..waiting() };
    assert_eq!(
        summary_of(&one),
        "It waits its turn: w1, the only worker that takes from its queue emails, runs 1 of 1 task."
    );
}

#[test]
fn a_worker_that_takes_nothing_is_named_and_blocks_when_it_is_the_only_one() {
    let only = Facts { consumers: vec![idle("w1")], ..waiting() };
    assert_eq!(codes(&only)[0], (Code::WorkerIdle, Role::Blocks));
    assert_eq!(summary_of(&only), "It does not run because w1 takes no tasks of its queue emails.");
    let reason = &judge(&only, now()).1[0];
    assert_eq!((reason.known_by, reason.since), (KnownBy::WorkerHeartbeat, Some(ago(3 * MINUTE))));
    assert!(reason.text.contains("begun nothing for 3 min"), "{}", reason.text);
    let other_works = Facts { consumers: vec![idle("w1"), worker("w2", 2, 2)], ..waiting() };
    let expected = [(Code::WorkerIdle, Role::Delays), (Code::WorkersBusy, Role::Delays), (Code::Behind, Role::Delays)];
    assert_eq!(codes(&other_works), expected);
}

#[test]
fn what_is_not_known_is_said_to_be_unknown() {
    let mut no_queue = waiting();
    no_queue.task.queue = None;
    assert_eq!(codes(&no_queue), [(Code::QueueUnknown, Role::Context)]);
    assert_eq!(summary_of(&no_queue), "What keeps it is not known: which queue it was sent to is not known.");
    let no_sample = Facts { queue: None, consumption: Consumption::Unknown, consumers: Vec::new(), ..waiting() };
    assert_eq!(codes(&no_sample), [(Code::QueueUnknown, Role::Context)]);
    let empty = Facts { queue: Some(queue(0, Some(2))), ..waiting() };
    assert_eq!(codes(&empty), [(Code::QueueUnknown, Role::Context)]);
    assert!(text(&empty, Code::QueueUnknown).contains("Ask the agent"));
    let mut mute = empty.clone();
    mute.consumers[0].worker.facts.task_events = Some(false);
    assert!(text(&mute, Code::QueueUnknown).contains("task events are off"));
    let sampled_before = Queue { sampled_at: ago(11 * MINUTE), ..queue(0, Some(2)) };
    let before = Facts { queue: Some(sampled_before), ..waiting() };
    assert_eq!(codes(&before), [(Code::SampleOld, Role::Context)]);
    assert_eq!(summary_of(&before), "Nothing that is known keeps it from running.");
}

#[test]
fn an_old_sample_is_said_to_be_old() {
    let old = Queue { sampled_at: ago(5 * MINUTE), ..queue(120, Some(2)) };
    let facts = Facts { queue: Some(old), ..waiting() };
    assert_eq!(codes(&facts), [(Code::Behind, Role::Delays), (Code::SampleOld, Role::Context)]);
    assert!(text(&facts, Code::SampleOld).contains("5 min ago"));
}

#[test]
fn while_nobody_looks_nothing_is_sold_as_certain() {
    let since = ago(2 * MINUTE);
    let away = Facts { watcher: Watcher::Away(vec!["sidecar".into()], since), ..waiting() };
    assert_eq!(codes(&away)[1], (Code::AgentOffline, Role::Context));
    assert_eq!(
        summary_of(&away),
        "Not known for sure, because the agent sidecar, which would tell, is offline since 13:58 UTC. By what was known before, it \
         waits its turn: 120 messages wait in its queue emails, about 4 min at the present pace."
    );
    let blind = Facts { watcher: Watcher::Blind("sidecar".into(), "connection refused".into()), ..waiting() };
    let expected =
        "The agent sidecar does not see all of celery: connection refused. What happens there now is not known.";
    assert_eq!(text(&blind, Code::AgentOffline), expected);
    let nobody = Facts { watcher: Watcher::Nobody, ..waiting() };
    assert_eq!(text(&nobody, Code::NoAgent), "No agent watches celery: what becomes of its tasks is not seen.");
}

#[test]
fn a_task_that_a_full_worker_holds_waits_for_it() {
    let runs = vec![("report.build".to_owned(), Some(ago(HOUR)))];
    let facts = held(SeenWorker { runs, ..worker("w1", 2, 2) });
    assert_eq!(codes(&facts), [(Code::WorkersBusy, Role::Delays), (Code::HeldByWorker, Role::Context)]);
    assert_eq!(
        text(&facts, Code::WorkersBusy),
        "w1 runs 2 of 2 tasks: it begins the next one when one of them ends. It runs report.build since 13:00 UTC."
    );
    assert_eq!(text(&facts, Code::HeldByWorker), "w1 holds it since 13:55 UTC and has not begun it.");
    assert_eq!(summary_of(&facts), "It waits its turn: w1, which holds it, runs 2 of 2 tasks.");
}

#[test]
fn a_task_that_a_worker_with_room_holds_may_hang_with_it() {
    let facts = held(worker("w1", 1, 2));
    assert_eq!(codes(&facts), [(Code::HeldByWorker, Role::Delays)]);
    assert!(text(&facts, Code::HeldByWorker).contains("though it runs 1 of 2 tasks"));
    let hanging = held(idle("w1"));
    assert_eq!(codes(&hanging), [(Code::WorkerIdle, Role::Blocks), (Code::HeldByWorker, Role::Delays)]);
    assert_eq!(summary_of(&hanging), "It does not run because w1, which holds it, has begun nothing for 3 min.");
}

#[test]
fn a_worker_holds_a_task_until_its_time_unless_its_broker_is_faster() {
    let mut facts = held(worker("w1", 2, 2));
    facts.task.eta = Some(now().plus(30 * MINUTE));
    assert_eq!(codes(&facts), [(Code::Eta, Role::Blocks), (Code::HeldByWorker, Role::Context)]);
    assert_eq!(text(&facts, Code::HeldByWorker), "w1 holds it since 13:55 UTC until then.");
    facts.task.eta = Some(now().plus(2 * HOUR));
    let expected = [Code::Eta, Code::EtaBeyondVisibility, Code::HeldByWorker];
    assert_eq!(codes(&facts).into_iter().map(|(code, _)| code).collect::<Vec<_>>(), expected);
    let told = text(&facts, Code::EtaBeyondVisibility);
    for part in ["14:55 UTC", "of 1 h", "more than once", "broker_transport_options"] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn of_a_worker_that_is_gone_it_is_told_when_the_message_comes_back() {
    let facts = held(gone("w1"));
    assert_eq!(codes(&facts), [(Code::WorkerGone, Role::Blocks)]);
    let told = text(&facts, Code::WorkerGone);
    assert!(told.starts_with("The worker w1, which held it, is offline since 13:59 UTC."), "{told}");
    assert!(told.contains("visibility timeout of 1 h, at about 14:55 UTC"), "{told}");
    let mut unknown = gone("w1");
    unknown.worker.facts.visibility_timeout_s = None;
    assert!(text(&held(unknown), Code::WorkerGone).ends_with("When its message is delivered again is not known."));
    let silent = held(SeenWorker { state: WorkerState::Unknown, ..gone("w1") });
    assert!(text(&silent, Code::WorkerGone).contains("was last heard at 13:59 UTC"));
    let unheard = Facts { watcher: Watcher::Away(vec!["sidecar".into()], ago(MINUTE)), ..silent };
    assert_eq!(codes(&unheard), [(Code::HeldByWorker, Role::Delays), (Code::AgentOffline, Role::Context)]);
}

#[test]
fn a_worker_of_which_nothing_is_known_is_not_made_up() {
    let nameless = Facts { place: Place::Held(None), holder: None, ..held(worker("w1", 0, 2)) };
    assert_eq!(codes(&nameless), [(Code::HeldByWorker, Role::Context)]);
    assert!(text(&nameless, Code::HeldByWorker).contains("which one is not known"));
    let unheard = Facts { holder: None, ..held(worker("w1", 0, 2)) };
    assert!(text(&unheard, Code::HeldByWorker).contains("w1, of which nothing is heard"));
}

#[test]
fn a_task_that_runs_is_compared_with_others() {
    let facts = running(15 * SECOND, worker("w1", 1, 2));
    assert_eq!(codes(&facts), [(Code::Running, Role::Context)]);
    assert_eq!(
        text(&facts, Code::Running),
        "It runs on w1 since 13:59 UTC, for 15 s. Of the last 40 runs of mail.send, half took 2 s at most, and 95 % took 10 s at most."
    );
    assert_eq!(summary_of(&facts), "It is running.");
    let long = running(3 * MINUTE, worker("w1", 1, 2));
    assert_eq!(codes(&long), [(Code::RunningLong, Role::Delays)]);
    assert_eq!(summary_of(&long), "It runs for long: it runs for 3 min by now, and 95 % of its type end within 10 s.");
    let few = Usual { runs: 19, half: SECOND, most: SECOND };
    assert_eq!(codes(&Facts { usual: Some(few), ..long.clone() }), [(Code::Running, Role::Context)]);
    assert_eq!(text(&Facts { usual: None, ..long }, Code::Running), "It runs on w1 since 13:57 UTC, for 3 min.");
}

#[test]
fn a_task_whose_worker_is_gone_does_not_run() {
    let facts = running(3 * MINUTE, gone("w1"));
    assert_eq!(codes(&facts)[0], (Code::WorkerGone, Role::Blocks));
    assert!(text(&facts, Code::WorkerGone).contains("If its message was to be acknowledged only at the end"));
    assert_eq!(
        summary_of(&facts),
        "It is recorded as running, but the worker w1, which ran it, is offline since 13:59 UTC."
    );
}

#[test]
fn what_the_agent_has_found_counts_more_than_what_is_recorded() {
    let asked = (KnownBy::Inquiry, ago(SECOND));
    let waits = Facts { place_known: asked, ..waiting() };
    let reason = &judge(&waits, now()).1[0];
    assert_eq!((reason.code, reason.known_by, reason.known_at), (Code::Behind, KnownBy::Inquiry, Some(ago(SECOND))));
    assert!(reason.text.starts_with("Its message waits in the queue emails"), "{}", reason.text);
    let unconsumed = Facts { consumption: Consumption::Nobody(HowKnown::BySample), ..waits };
    assert!(text(&unconsumed, Code::QueueUnconsumed).ends_with("The agent has just found its message there."));

    let delivered = Facts { place: Place::Delivered, place_known: asked, ..waiting() };
    assert_eq!(codes(&delivered), [(Code::WorkerGone, Role::Blocks)]);
    let last_heard = Facts { place: Place::Delivered, place_known: asked, ..held(gone("w1")) };
    assert!(text(&last_heard, Code::WorkerGone).contains("The worker w1, which held it, is offline"));
    let ended = Facts { place: Place::Ended("succeeded".into()), place_known: asked, ..waiting() };
    assert_eq!(summary_of(&ended), "It has ended: succeeded, as the agent has just found.");
    assert!(codes(&ended).is_empty());
}

#[test]
fn no_trace_of_a_task_that_a_worker_should_have_blocks() {
    let no_trace =
        |all_answered| Some(NoTrace { evidence: vec!["no result is stored".into(), "x".into()], all_answered });
    let lost = Facts { no_trace: no_trace(true), ..running(MINUTE, worker("w1", 0, 2)) };
    assert_eq!(codes(&lost)[0], (Code::QueueUnknown, Role::Blocks));
    assert_eq!(
        summary_of(&lost),
        "It is recorded as running, but the agent finds no trace of it, with no worker and in no queue."
    );
    assert!(text(&lost, Code::QueueUnknown).ends_with("no trace: no result is stored; x."));
    let silent = Facts { no_trace: no_trace(false), ..running(MINUTE, worker("w1", 0, 2)) };
    assert_eq!(codes(&silent)[0].1, Role::Delays);
    let cannot_look = Facts { no_trace: no_trace(true), ..waiting() };
    assert_eq!(codes(&cannot_look), [(Code::Behind, Role::Delays), (Code::QueueUnknown, Role::Context)]);
}

#[test]
fn a_task_that_has_ended_has_no_reasons() {
    let mut facts = waiting();
    (facts.place, facts.task.state) = (Place::Ended("failed".into()), TaskState::Failed);
    facts.task.ended_at = Some(ago(HOUR));
    assert_eq!(judge(&facts, now()), ("It has ended: failed at 13:00 UTC.".to_owned(), Vec::new()));
}

#[test]
fn what_no_event_of_the_task_told_is_not_said_to_be_known_by_events() {
    let known_by = |facts: &Facts| judge(facts, now()).1[0].known_by;
    let mut facts = waiting();
    facts.task.known_by = KnownBy::Inspection;
    facts.task.expires = Some(ago(MINUTE));
    assert_eq!(known_by(&facts), KnownBy::Inspection);

    let mut facts = waiting();
    facts.task.eta_known_by = KnownBy::Inspection;
    facts.task.eta = Some(now().plus(MINUTE));
    assert_eq!(known_by(&facts), KnownBy::Inspection);
    facts.task.failed = Some(FailedAttempt { number: 1, exception: None, known_by: KnownBy::ResultBackend });
    assert_eq!(known_by(&facts), KnownBy::ResultBackend);
}
