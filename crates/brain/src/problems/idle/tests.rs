use taskplane_model::fleet::{WorkerFacts, WorkerSign};

use super::*;

/// Looks are so many seconds apart.
const STEP: i64 = 5;

fn at(seconds: i64) -> Timestamp {
    Timestamp((1_000_000 + seconds) * SECOND)
}

/// A worker of two queues, heard at `seconds`.
fn worker(seconds: i64, processed: u64, active: u64) -> Worker {
    Worker {
        name: "w1".into(),
        engine: "celery".into(),
        sign: WorkerSign::Heartbeat,
        last_seen_at: at(seconds),
        facts: WorkerFacts {
            concurrency: Some(2),
            active: Some(active),
            processed: Some(processed),
            queues: Some(vec!["emails".into(), "reports".into()]),
            ..WorkerFacts::default()
        },
        agent: 1,
    }
}

fn queue(seconds: i64, name: &str, depth: u64) -> Queue {
    let sampled_at = at(seconds);
    Queue { name: name.into(), engine: "celery".into(), depth: Some(depth), sampled_at, ..Queue::default() }
}

/// Looks until `seconds`, at what `seen` says of each moment; what follows then.
fn idle_after(seconds: i64, mut seen: impl FnMut(i64) -> (Worker, Vec<Queue>)) -> Option<Idle> {
    let mut memory = Memory::default();
    let mut last = None;
    for now in (0..=seconds).step_by(STEP as usize) {
        let (worker, queues) = seen(now);
        memory.see(std::slice::from_ref(&worker), &queues, at(now));
        last = Some(worker);
    }
    memory.idle(&last?, at(seconds))
}

#[test]
fn a_worker_that_begins_nothing_while_messages_wait_is_idle_after_a_minute() {
    let seen = |now| (worker(now, 7, 0), vec![queue(now, "emails", 34), queue(now, "other", 9)]);
    assert_eq!(idle_after(60, seen), None);
    let idle = idle_after(65, seen).expect("idle");
    assert_eq!((idle.since, idle.waiting, idle.usual_gap), (at(0), 34, None));
    assert_eq!(idle.queues, ["emails"]);
}

#[test]
fn since_is_when_messages_began_to_wait_or_when_it_last_began_one() {
    let waits_late = |now| (worker(now, 7, 0), vec![queue(now, "emails", if now < 40 { 0 } else { 3 })]);
    assert_eq!(idle_after(95, waits_late), None);
    assert_eq!(idle_after(105, waits_late).map(|idle| idle.since), Some(at(40)));
    let stops = |now: i64| (worker(now, 7 + now.min(50) as u64, 0), vec![queue(now, "emails", 500)]);
    // One a second: the least patience is enough.
    assert_eq!(idle_after(80, stops), None);
    let idle = idle_after(85, stops).expect("idle");
    assert_eq!((idle.since, idle.usual_gap), (at(50), Some(SECOND)));
}

#[test]
fn a_slow_worker_is_given_its_usual_time() {
    // A task every 40 s, until it stops at 200 s: it is waited for 400 s.
    let seen = |now: i64| (worker(now, (now.min(200) / 40) as u64, 0), vec![queue(now, "emails", 9)]);
    assert_eq!(idle_after(595, seen), None);
    assert!(idle_after(605, seen).is_some());
    let slower = |now: i64| (worker(now, (now.min(1_000) / 500) as u64, 0), vec![queue(now, "emails", 9)]);
    assert!(idle_after(1_605, slower).is_some(), "ten minutes are enough for everybody");
}

#[test]
fn a_worker_whose_pool_is_full_is_busy_and_one_with_room_is_not() {
    let busy = |active| move |now| (worker(now, 7, active), vec![queue(now, "emails", 34)]);
    assert_eq!(idle_after(600, busy(2)), None);
    assert!(idle_after(600, busy(1)).is_some(), "one of two places is free all the time");
    let unknown = |now| {
        let mut worker = worker(now, 7, 1);
        worker.facts.concurrency = None;
        (worker, vec![queue(now, "emails", 34)])
    };
    assert_eq!(idle_after(600, unknown), None);
}

#[test]
fn nothing_is_said_of_a_worker_whose_queues_were_empty_in_between() {
    let seen = |now| (worker(now, 7, 0), vec![queue(now, "emails", u64::from(now % 50 != 0))]);
    assert_eq!(idle_after(600, seen), None);
    assert_eq!(idle_after(600, |now| (worker(now, 7, 0), vec![queue(now, "other", 5)])), None);
}

#[test]
fn old_words_prove_nothing() {
    let agent_gone = |now: i64| (worker(now.min(20), 7, 0), vec![queue(now.min(20), "emails", 5)]);
    let sampler_gone = |now: i64| (worker(now, 7, 0), vec![queue(now.min(20), "emails", 5)]);
    for seconds in (0..=200).step_by(STEP as usize) {
        assert_eq!(idle_after(seconds, agent_gone), None, "{seconds}");
        assert_eq!(idle_after(seconds, sampler_gone), None, "{seconds}");
    }
}

#[test]
fn a_worker_that_restarts_or_was_silent_begins_anew() {
    let restarts = |now: i64| (worker(now, if now < 50 { 7 } else { 0 }, 0), vec![queue(now, "emails", 5)]);
    assert_eq!(idle_after(110, restarts), None);
    assert_eq!(idle_after(115, restarts).map(|idle| idle.since), Some(at(50)));
    let silent = |now: i64| (worker(if now < 60 { 0 } else { now }, 7, 0), vec![queue(now, "emails", 5)]);
    assert_eq!(idle_after(115, silent), None);
}

#[test]
fn clocks_of_workers_and_brokers_do_not_matter_much() {
    let seen = |now: i64| (worker(now - 50, 7, 0), vec![queue(now + 3_600, "emails", 5)]);
    assert!(idle_after(65, seen).is_some());
}

#[test]
fn tasks_are_counted_from_the_first_look_or_anew() {
    let mut memory = Memory::default();
    let key = ("celery".to_owned(), "w1".to_owned());
    for (now, processed) in [(0, 7), (5, 9), (10, 12)] {
        memory.see(&[worker(now, processed, 0)], &[], at(now));
    }
    assert_eq!(memory.counted(&worker(10, 12, 0), at(10)), Some(Counted { since: at(0), tasks: 5 }));
    memory.count_anew(&key, at(10));
    assert_eq!(memory.counted(&worker(10, 12, 0), at(10)), Some(Counted { since: at(10), tasks: 0 }));
}

#[test]
fn workers_and_queues_that_are_gone_are_forgotten() {
    let mut memory = Memory::default();
    memory.see(&[worker(0, 7, 0)], &[queue(0, "emails", 5)], at(0));
    memory.see(&[], &[], at(5));
    assert!(memory.workers.is_empty() && memory.queues.is_empty());
    let many: Vec<Worker> = (0..MOST + 9).map(|n| Worker { name: n.to_string(), ..worker(10, 1, 0) }).collect();
    memory.see(&many, &[], at(10));
    assert_eq!(memory.workers.len(), MOST);
}

#[test]
fn the_problem_names_worker_queues_and_figures() {
    let idle = Idle { since: at(0), queues: vec!["emails".into()], waiting: 34, usual_gap: Some(3 * SECOND) };
    let problem = of_idle(&worker(125, 7, 0), &idle, at(125));
    assert_eq!(problem.title, "Worker w1 takes no tasks");
    assert_eq!(
        problem.cause,
        "Its heartbeats come, but it has begun nothing for 2 min 5 s, while 34 messages wait in emails. It runs 0 of 2 tasks. \
         It used to begin one every 3 s."
    );
    assert_eq!((problem.since, problem.subject.name.as_str()), (Some(at(0)), "w1"));
}
