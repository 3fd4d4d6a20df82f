use super::*;
use crate::{TaskEvent, TaskEventKind as Kind, TaskRecord};

const NOW: Timestamp = Timestamp(1_795_000_000 * SECOND);

fn record(told: &[TaskEvent<'_>]) -> TaskRecord {
    let mut record = TaskRecord::default();
    told.iter().for_each(|event| record.apply("t", event));
    record
}

/// So many seconds ago, on the worker `w1@h`.
fn event(kind: Kind, ago: i64, attempt: u32) -> TaskEvent<'static> {
    let ts = NOW.plus(-ago * SECOND);
    TaskEvent { kind, ts, attempt: Some(attempt), worker: Some("w1@h"), ..TaskEvent::default() }
}

fn seconds_under_way(told: &[TaskEvent<'_>]) -> Option<i64> {
    under_way_since(&record(told).task()).map(|since| (NOW.0 - since.0) / SECOND)
}

#[test]
fn a_type_is_asked_about_after_three_times_what_nearly_all_of_it_take() {
    let ask =
        AskAfter::new(None, vec![(Pattern("report.*".into()), 7_200 * SECOND), (Pattern("report.old".into()), SECOND)]);
    let p99 = |name, p99: i64| ask.of(Some(name), Some(p99 * SECOND)) / SECOND;
    assert_eq!([p99("mail", 1), p99("mail", 60), p99("mail", 1_000_000)], [60, 180, 86_400]);
    assert_eq!([p99("report.new", 1), p99("report.old", 500)], [7_200, 1]);
    assert_eq!([ask.of(None, None), ask.of(Some("never.seen"), None)], [600 * SECOND; 2]);
    assert_eq!((ask.least(), AskAfter::default().least()), (SECOND, MINUTE));
    let soon = AskAfter::new(Some(2 * SECOND), Vec::new());
    assert_eq!([soon.of(None, None), soon.of(Some("x"), Some(1)), soon.least()], [2 * SECOND; 3]);
}

#[test]
fn a_task_is_under_way_from_when_its_worker_could_do_something_about_it() {
    let eta = Some(NOW.plus(-30 * SECOND));
    let received = TaskEvent { eta, ..event(Kind::Received, 500, 0) };
    assert_eq!(seconds_under_way(&[event(Kind::Received, 500, 0)]), Some(500));
    assert_eq!(seconds_under_way(std::slice::from_ref(&received)), Some(30), "it was due later");
    assert_eq!(seconds_under_way(&[received, event(Kind::Started, 20, 0)]), Some(20));
    let progress = event(Kind::Progress, 3, 0);
    assert_eq!(seconds_under_way(&[event(Kind::Started, 500, 0), progress]), Some(3), "it gets on");
    assert_eq!(seconds_under_way(&[event(Kind::Sent, 500, 0)]), None);
    let retry = [event(Kind::Started, 500, 0), event(Kind::Retry, 400, 0)];
    assert_eq!(seconds_under_way(&retry), None, "it waits");
    let again = [&retry[..], &[event(Kind::Received, 300, 1)]].concat();
    assert_eq!(seconds_under_way(&again), Some(300));
    assert_eq!(seconds_under_way(&[event(Kind::Started, 500, 0), event(Kind::Lost, 100, 0)]), None);
}

fn nothing() -> Answer {
    let evidence = vec!["no result is stored".to_owned(), "not held by any of the 2 workers that answered".to_owned()];
    Answer { found: Found::Nothing, evidence, workers_answered: 2, ..Answer::default() }
}

fn again() -> Known {
    Known { missing_since: Some(NOW.plus(-30 * SECOND)), worker_is_gone: true, ..Known::default() }
}

fn verdict(answer: &Answer, known: Known) -> Verdict {
    let record = record(&[event(Kind::Received, 700, 0), event(Kind::Started, 650, 0)]);
    judge(&record.task(), answer, known, 600 * SECOND, NOW)
}

#[test]
fn a_task_is_lost_when_nothing_is_found_twice() {
    assert_eq!(verdict(&nothing(), Known { missing_since: None, ..again() }), Verdict::Missing);
    let too_soon = Known { missing_since: Some(NOW.plus(-29 * SECOND)), ..again() };
    assert_eq!(verdict(&nothing(), too_soon), Verdict::Missing);
    let expected = [
        "no result is stored",
        "not held by any of the 2 workers that answered",
        "the worker w1@h, which had it, is gone",
    ];
    assert_eq!(verdict(&nothing(), again()), Verdict::Lost(expected.map(str::to_owned).to_vec()));
}

#[test]
fn whoever_may_have_it_and_cannot_be_asked_keeps_it_from_being_lost() {
    let silent = Answer { workers_silent: 1, ..nothing() };
    assert_eq!(verdict(&silent, again()), Verdict::Unclear);
    assert_eq!(verdict(&nothing(), Known { agent_is_behind: true, ..again() }), Verdict::Unclear);
    let nobody = Answer { workers_answered: 0, ..nothing() };
    assert_eq!(verdict(&nobody, Known { worker_is_gone: false, ..again() }), Verdict::Unclear);
    assert!(matches!(verdict(&nobody, again()), Verdict::Lost(_)), "its worker is gone");
    let found = |found| verdict(&Answer { found, ..nothing() }, again());
    assert_eq!([found(Found::Ended), found(Found::Alive)], [Verdict::Completed, Verdict::Alive]);
    assert_eq!(found(Found::Unclear), Verdict::Unclear);
}

#[test]
fn what_cannot_be_seen_is_said_or_keeps_it_from_being_lost() {
    let lost = |answer: &Answer, known| match verdict(answer, known) {
        Verdict::Lost(clauses) => clauses.last().cloned().unwrap_or_default(),
        other => format!("{other:?}"),
    };
    let unread = Answer { results_unseen: true, ..nothing() };
    assert_eq!(lost(&unread, again()), "it may have finished unheard");
    let unheard = Known { ends_unheard: true, ..again() };
    assert_eq!(lost(&unread, unheard), "Unclear", "neither its end nor its result would be known");
    assert_eq!(lost(&nothing(), unheard), "the worker w1@h, which had it, is gone", "its result would be seen");
    assert_eq!(lost(&nothing(), Known { worker_is_gone: false, ..again() }), "it may have finished unheard");
    let unseen = Answer { queues_unseen: true, ..nothing() };
    assert_eq!(lost(&unseen, again()), "Unclear");
    assert_eq!(lost(&unseen, Known { queue_is_empty: true, ..again() }), "no message waits in its queue");
    let delivered = Answer { unacked_unseen: true, ..nothing() };
    assert_eq!(lost(&delivered, Known { queue_is_empty: true, ..again() }), "Unclear");
    let received = record(&[event(Kind::Received, 700, 0)]);
    let known = Known { queue_is_empty: true, ..again() };
    assert_eq!(
        judge(&received.task(), &unseen, known, 600 * SECOND, NOW),
        Verdict::Unclear,
        "it went back to its queue"
    );
}

#[test]
fn pauses_grow_up_to_an_hour_or_the_threshold() {
    let minutes = |times, threshold: i64| pause_after(times, threshold * MINUTE) / MINUTE;
    assert_eq!([1, 2, 3, 4, 99].map(|times| minutes(times, 10)), [10, 20, 40, 60, 60]);
    assert_eq!([1, 2, 9].map(|times| minutes(times, 300)), [300; 3]);
    assert_eq!((confirm_after(SECOND), confirm_after(MINUTE)), (SECOND, 30 * SECOND));
}

#[test]
fn evidence_comes_back_clause_by_clause() {
    let clauses = vec![as_clause("one; and more"), as_clause(&"ü".repeat(400)), as_clause(" two ")];
    assert_eq!((clauses[0].as_str(), clauses[1].len(), clauses[2].as_str()), ("one, and more", 500, "two"));
    assert_eq!(evidence_clauses(&evidence_text(&clauses)), clauses);
}

#[test]
fn the_states_of_answers_are_understood() {
    for (state, found) in [
        ("succeeded", Found::Ended),
        ("revoked", Found::Ended),
        ("pending", Found::Alive),
        ("retrying", Found::Alive),
        ("unknown", Found::Nothing),
        ("lost", Found::Unclear),
        ("gone fishing", Found::Unclear),
    ] {
        assert_eq!(Found::from_state(state), found, "{state}");
    }
}
