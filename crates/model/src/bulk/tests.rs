use super::*;

const NOW: Timestamp = Timestamp(1_794_969_600_000_000);

fn job(total: u64, options: BulkOptions) -> BulkJob {
    let mut job = BulkJob::new("j".into(), 1, "tester".into(), options, NOW);
    (job.counts.total, job.counts.waiting) = (total, total);
    assert!(job.change(BulkChange::Begin, NOW));
    job
}

fn claim(job: &mut BulkJob, now: Timestamp) -> u32 {
    let count = job.allowance(now);
    if count > 0 {
        job.claimed(BulkClaim { command: format!("c{}", job.counts.waiting), count, at: now }, now);
    }
    count
}

/// Answers every claim: all of their tasks were published again, and ended so.
fn answer(job: &mut BulkJob, outcome: Option<BulkOutcome>, now: Timestamp) {
    for claim in job.claims.clone() {
        for _ in 0..claim.count {
            job.answered(&BulkEnd::Accepted("new".into()));
            outcome.into_iter().for_each(|outcome| job.ended(outcome, now));
        }
        assert!(job.settled(&claim.command, now));
    }
    job.judge(now);
}

#[test]
fn the_pace_is_kept_whatever_the_steps() {
    let rate_per_minute = Some(600);
    let mut job = job(10_000, BulkOptions { rate_per_minute, ..BulkOptions::default() });
    let mut sent = 0;
    for step in 0..600 {
        let now = NOW.plus(step * 100_000);
        let count = claim(&mut job, now);
        assert!(count == 0 || count == 10, "a second's worth at once, not {count}");
        sent += count;
        answer(&mut job, None, now);
        assert!(i64::from(sent) <= 10 + step);
    }
    assert!(sent >= 590, "{sent}");
    // What was not used while it was paused is not made up for.
    let late = NOW.plus(60 * MINUTE - 1);
    assert_eq!((claim(&mut job, late), claim(&mut job, late)), (10, 0));
}

#[test]
fn a_slow_pace_sends_one_task_at_a_time() {
    let mut job = job(10, BulkOptions { rate_per_minute: Some(6), ..BulkOptions::default() });
    let sent: u32 = (0..600).map(|step| claim(&mut job, NOW.plus(step * 100_000))).sum();
    assert!((4..=6).contains(&sent), "bounded by open claims: {sent}");
}

#[test]
fn without_a_pace_only_answers_are_waited_for() {
    let mut job = job(1_000, BulkOptions::default());
    let sent: Vec<u32> = (0..6).map(|_| claim(&mut job, NOW)).collect();
    assert_eq!(sent, [100, 100, 100, 100, 0, 0]);
    answer(&mut job, Some(BulkOutcome::Succeeded), NOW);
    assert_eq!(claim(&mut job, NOW), 100);
}

#[test]
fn the_canary_goes_first_and_has_to_end_well() {
    let options = BulkOptions { canary: 5, stop_above_percent: Some(50), ..BulkOptions::default() };
    let mut good = job(100, options.clone());
    assert_eq!(claim(&mut good, NOW), 5);
    assert_eq!((claim(&mut good, NOW), good.waits_for()), (0, Some(BulkWait::Canary)));
    answer(&mut good, None, NOW);
    assert_eq!(claim(&mut good, NOW), 0, "they have not ended");
    (0..5).for_each(|_| good.ended(BulkOutcome::Succeeded, NOW));
    good.judge(NOW);
    assert_eq!((claim(&mut good, NOW), good.canary_passed), (95, true));

    let mut bad = job(100, options.clone());
    claim(&mut bad, NOW);
    answer(&mut bad, Some(BulkOutcome::Failed), NOW);
    assert_eq!((bad.state, bad.counts.waiting), (BulkState::Stopped, 95));
    assert!(bad.reason.as_deref().is_some_and(|why| why.starts_with("5 of the 5")), "{:?}", bad.reason);

    // Tasks that could not be retried are no canaries.
    let mut refused = job(100, options);
    claim(&mut refused, NOW);
    (0..5).for_each(|_| refused.answered(&BulkEnd::Refused("not_found".into(), None)));
    refused.settled("c100", NOW);
    refused.judge(NOW);
    assert_eq!(claim(&mut refused, NOW), 5);
}

#[test]
fn it_stops_when_too_many_fail_again_and_not_before_that_says_anything() {
    let mut job = job(1_000, BulkOptions { stop_above_percent: Some(50), ..BulkOptions::default() });
    claim(&mut job, NOW);
    for claim in job.claims.clone() {
        (0..claim.count).for_each(|_| job.answered(&BulkEnd::Accepted("new".into())));
        job.settled(&claim.command, NOW);
    }
    (0..19).for_each(|_| job.ended(BulkOutcome::Failed, NOW));
    job.judge(NOW);
    assert_eq!(job.state, BulkState::Running);
    claim(&mut job, NOW);
    job.ended(BulkOutcome::Failed, NOW);
    job.judge(NOW);
    assert_eq!((job.state, job.allowance(NOW)), (BulkState::Stopping, 0), "an answer is missing");
    answer(&mut job, Some(BulkOutcome::Succeeded), NOW);
    assert_eq!(job.state, BulkState::Stopped);
}

#[test]
fn it_has_finished_when_everything_has_ended_or_for_an_hour_nothing_was_heard() {
    let mut job = job(2, BulkOptions::default());
    claim(&mut job, NOW);
    answer(&mut job, None, NOW);
    assert_eq!((job.state, job.waits_for()), (BulkState::Running, Some(BulkWait::Ends)));
    job.ended(BulkOutcome::Succeeded, NOW);
    assert!(!job.change(BulkChange::Look, NOW.plus(WATCHED_FOR)));
    assert!(job.change(BulkChange::Look, NOW.plus(WATCHED_FOR + 1)));
    assert_eq!((job.state, job.counts.not_ended, job.is_open()), (BulkState::Finished, 1, false));
}

#[test]
fn pausing_cancelling_and_what_changes_nothing() {
    let mut job = job(500, BulkOptions::default());
    assert!(!job.change(BulkChange::Resume, NOW));
    claim(&mut job, NOW);
    assert!(job.change(BulkChange::Pause(None), NOW) && !job.change(BulkChange::Pause(None), NOW));
    assert_eq!(job.allowance(NOW), 0);
    assert!(job.change(BulkChange::Resume, NOW) && job.allowance(NOW) > 0);
    assert!(job.change(BulkChange::Cancel, NOW));
    assert_eq!((job.state, job.waits_for()), (BulkState::Stopping, Some(BulkWait::Answers)));
    assert!(!job.change(BulkChange::Cancel, NOW));
    answer(&mut job, None, NOW);
    assert_eq!((job.state, job.is_open(), job.counts.waiting), (BulkState::Cancelled, true, 400));
}

#[test]
fn what_was_never_noted_whole_never_begins() {
    let mut job = BulkJob::new("j".into(), 1, "tester".into(), BulkOptions::default(), NOW);
    assert!(!job.change(BulkChange::Look, NOW.plus(PREPARED_WITHIN)));
    assert!(job.change(BulkChange::Look, NOW.plus(PREPARED_WITHIN + 1)));
    assert_eq!(job.state, BulkState::Cancelled);
}

#[test]
fn numbers_and_names_round_trip() {
    for (number, state) in BulkItemState::ALL.into_iter().enumerate() {
        assert_eq!((state as usize, BulkItemState::from_number(number as u8)), (number, Some(state)));
        assert_eq!(BulkItemState::from_name(state.name()), Some(state));
    }
    assert_eq!(BulkOutcome::ALL.map(|one| BulkOutcome::from_number(one as u8)), BulkOutcome::ALL.map(Some));
    assert_eq!(BulkOutcome::from_number(0), None);
}
