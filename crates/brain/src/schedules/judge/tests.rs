//! A schedule's life in virtual time.

use super::*;

const BEGIN: Timestamp = Timestamp(1_794_999_600_000_000); // a full hour
const HERE: Presence = Presence::Since(Timestamp(0));
const PROMPT: Option<i64> = Some(15 * SECOND);
const LAZY: Option<i64> = Some(240 * SECOND);

/// A schedule, what is told of it, and what has been judged.
struct Story {
    schedule: Schedule,
    presence: Presence,
    delay: Option<i64>,
    tasks: Vec<Sighting>,
    watch: Option<ScheduleWatch>,
    runs: BTreeMap<i64, ScheduleRun>,
}

impl Story {
    fn of(kind: &str, expression: &str) -> Self {
        let schedule = Schedule {
            id: "1".into(),
            kind: Some(kind.into()),
            expression: Some(expression.into()),
            ..Schedule::default()
        };
        let (watch, runs, tasks) = (None, BTreeMap::new(), Vec::new());
        Self { schedule, presence: HERE, delay: None, tasks, watch, runs }
    }

    fn delayed(mut self, delay: Option<i64>) -> Self {
        self.delay = delay;
        self
    }

    /// The scheduler's record says that it ran so many seconds after the beginning.
    fn ran(&mut self, seconds: i64) {
        self.schedule.last_run_at = Some(after(seconds));
        self.schedule.total_run_count = Some(self.schedule.total_run_count.unwrap_or(0) + 1);
    }

    fn task(&mut self, id: &str, seconds: i64, is_sent: bool) {
        self.tasks.push(Sighting { task_id: id.into(), at: after(seconds), is_sent });
    }

    /// Judges, so many seconds after the beginning.
    fn look(&mut self, seconds: i64) {
        let now = after(seconds);
        let mut judgement = Judgement::begin(self.watch.take(), &self.schedule, now);
        let original = judgement.original.clone();
        if let Some(since) = judgement.wants_tasks_since(self.presence) {
            let seen: Vec<Sighting> =
                self.tasks.iter().filter(|task| task.at >= since && task.at <= now).cloned().collect();
            judgement.take_tasks(&seen);
        }
        judgement.settle(self.presence, self.delay);
        let key = ScheduleKey { scheduler: "celery-beat".into(), id: "1".into() };
        let Some(news) = judgement.finish(key) else {
            self.watch = original;
            return;
        };
        for due in news.unexpected {
            self.runs.remove(&((due.0 - BEGIN.0) / SECOND));
        }
        self.runs.extend(news.runs.into_iter().map(|run| ((run.due.0 - BEGIN.0) / SECOND, run)));
        self.watch = news.watch;
    }

    fn look_every(&mut self, step: i64, from: i64, until: i64) {
        (from..=until).step_by(usize::try_from(step).expect("a step")).for_each(|at| self.look(at));
    }

    /// Runs by their due times, in seconds after the beginning.
    fn states(&self) -> Vec<(i64, RunState)> {
        self.runs.iter().map(|(due, run)| (*due, run.state)).collect()
    }
}

fn after(seconds: i64) -> Timestamp {
    BEGIN.plus(seconds * SECOND)
}

use RunState::{Late, Missed, Overdue, Seen, Unknown};

#[test]
fn what_the_record_names_was_seen_in_time() {
    let mut story = Story::of("crontab", "* * * * *").delayed(PROMPT);
    story.look(5);
    for minute in 1..=3 {
        story.ran(60 * minute);
        story.look(60 * minute + 2);
        story.look_every(5, 60 * minute + 7, 60 * minute + 50);
    }
    assert_eq!(story.states(), [(60, Seen), (120, Seen), (180, Seen)]);
    let run = &story.runs[&120];
    assert_eq!((run.seen_at, run.evidence), (Some(after(120)), Some(RunEvidence::LastRunAt)));
}

#[test]
fn nothing_is_expected_from_before_it_was_first_seen() {
    let mut story = Story::of("crontab", "* * * * *").delayed(PROMPT);
    story.schedule.last_run_at = Some(after(-86_400));
    story.look_every(5, 5, 30);
    assert!(story.runs.is_empty() && story.watch.as_ref().is_some_and(|watch| watch.open.is_empty()));
}

#[test]
fn a_dead_scheduler_is_overdue_then_missed_and_comes_back_late() {
    let mut story = Story::of("crontab", "*/10 * * * *").delayed(PROMPT);
    story.schedule.last_run_at = Some(after(-300));
    story.look(0);
    story.look(600 + 70);
    assert!(story.runs.is_empty(), "a minute of tolerance, and the record's delay: {:?}", story.runs);
    story.look(600 + 80);
    assert_eq!(story.states(), [(600, Overdue)]);
    story.look(600 + 125);
    assert_eq!(story.states(), [(600, Missed)]);
    story.look_every(30, 750, 1_500);
    story.ran(1_500);
    story.look(1_502);
    assert_eq!(story.states(), [(600, Missed), (1_200, Late)]);
    story.ran(1_800);
    story.look(1_802);
    assert_eq!(story.states().last(), Some(&(1_800, Seen)));
}

#[test]
fn a_task_at_its_time_shows_a_run_at_once() {
    let mut story = Story::of("crontab", "* * * * *").delayed(LAZY);
    story.look(0);
    story.task("other", 40, true);
    story.task("a", 60, true);
    story.task("b", 121, false);
    story.look_every(5, 5, 130);
    assert_eq!(story.states(), [(60, Seen), (120, Seen)]);
    let (first, second) = (&story.runs[&60], &story.runs[&120]);
    assert_eq!((first.task_id.as_deref(), first.evidence), (Some("a"), Some(RunEvidence::Task)));
    assert_eq!((second.task_id.as_deref(), second.seen_at), (Some("b"), Some(after(121))));
    // Tasks are prompt, so that their absence is noticed long before a lazy record could tell.
    story.look_every(5, 135, 215);
    assert_eq!(story.states().last(), Some(&(180, Overdue)));
    story.look_every(5, 220, 180 + 300);
    assert_eq!(story.runs[&180].state, Missed);
}

#[test]
fn a_task_that_is_sent_late_is_late_and_one_that_is_received_late_may_have_waited() {
    let mut story = Story::of("crontab", "0 * * * *");
    story.look(0);
    let due = 3_600;
    story.task("waited", due + 600, false);
    story.look(due + 601);
    assert_eq!(story.states(), [(due, Seen)]);
    story.task("late", due + 3_600 + 600, true);
    story.look(due + 3_600 + 601);
    assert_eq!(story.runs[&(due + 3_600)].state, Late);
}

#[test]
fn what_a_lazy_record_counts_was_seen() {
    let mut story = Story::of("interval", "30s").delayed(LAZY);
    story.schedule.last_run_at = Some(after(0));
    story.schedule.total_run_count = Some(100);
    story.look_every(5, 0, 180);
    assert!(story.runs.is_empty(), "nobody worries yet: {:?}", story.runs);
    story.schedule.last_run_at = Some(after(181));
    story.schedule.total_run_count = Some(106);
    story.look(185);
    assert_eq!(story.states(), [30, 60, 90, 120, 150, 180].map(|due| (due, Seen)));
    assert_eq!(story.runs[&60].evidence, Some(RunEvidence::RunCount));
    assert_eq!(story.watch.as_ref().expect("a watch").delays, [155]);
    // The next is counted from there.
    story.look(212);
    assert_eq!(story.watch.expect("a watch").open.last().map(|run| run.due), Some(after(211)));
}

#[test]
fn a_little_that_a_scheduler_adds_to_each_interval_is_no_missed_run() {
    let mut story = Story::of("interval", "10s").delayed(LAZY);
    (story.schedule.last_run_at, story.schedule.total_run_count) = (Some(after(0)), Some(0));
    story.look_every(5, 0, 180);
    // 18 were nominal; 17 took 175 seconds.
    (story.schedule.last_run_at, story.schedule.total_run_count) = (Some(after(180)), Some(17));
    story.look(181);
    story.look_every(5, 185, 240);
    assert!(story.runs.values().all(|run| run.state == Seen), "{:?}", story.states());
    assert_eq!(story.runs.len(), 17);
}

#[test]
fn a_run_that_only_some_of_the_count_explain_is_missed() {
    let mut story = Story::of("crontab", "* * * * *").delayed(PROMPT);
    (story.schedule.last_run_at, story.schedule.total_run_count) = (Some(after(0)), Some(10));
    story.look(1);
    story.look_every(5, 5, 170);
    // It was down for two minutes: of three runs, one was made.
    story.ran(181);
    story.look(182);
    story.look_every(5, 185, 300);
    assert_eq!(story.states()[..3], [(60, Missed), (120, Missed), (180, Seen)]);
}

#[test]
fn while_no_agent_is_there_nobody_knows() {
    let mut story = Story::of("crontab", "*/10 * * * *").delayed(PROMPT);
    (story.schedule.last_run_at, story.schedule.total_run_count) = (Some(after(0)), Some(10));
    story.look(5);
    story.presence = Presence::Away;
    story.look_every(60, 60, 1_920);
    assert_eq!(story.states(), [(600, Unknown), (1_200, Unknown), (1_800, Unknown)]);
    // It comes back, and its record tells: three runs, the last at 1,800.
    story.presence = Presence::Since(after(1_930));
    (story.schedule.last_run_at, story.schedule.total_run_count) = (Some(after(1_800)), Some(13));
    story.look(1_932);
    assert_eq!(story.states(), [(600, Seen), (1_200, Seen), (1_800, Seen)]);
}

#[test]
fn a_record_that_has_not_moved_while_the_agent_was_away_says_missed() {
    let mut story = Story::of("crontab", "*/10 * * * *").delayed(PROMPT);
    story.schedule.last_run_at = Some(after(0));
    story.look(5);
    story.presence = Presence::Away;
    story.look_every(60, 60, 780);
    story.presence = Presence::Since(after(800));
    story.look_every(30, 810, 900);
    assert_eq!(story.states(), [(600, Unknown)], "what it tells has to be waited for");
    story.look(930);
    assert_eq!(story.states(), [(600, Missed)]);
}

#[test]
fn without_a_record_what_was_not_watched_stays_unknown_and_tasks_that_come_later_tell() {
    let mut story = Story::of("crontab", "*/10 * * * *");
    story.look(5);
    story.presence = Presence::Away;
    story.look_every(60, 60, 1_260);
    story.presence = Presence::Since(after(1_270));
    story.task("buffered", 601, true);
    story.look_every(60, 1_275, 1_600);
    assert_eq!(story.states(), [(600, Seen), (1_200, Unknown)]);
}

#[test]
fn a_paused_schedule_expects_nothing_and_begins_anew() {
    let mut story = Story::of("crontab", "* * * * *").delayed(PROMPT);
    story.look(5);
    story.schedule.enabled = Some(false);
    story.look_every(10, 10, 600);
    assert!(story.runs.is_empty());
    story.schedule.enabled = Some(true);
    story.look(610);
    assert!(story.watch.as_ref().is_some_and(|watch| watch.since == after(610) && watch.open.is_empty()));
    story.look_every(10, 620, 770);
    assert_eq!(story.states(), [(660, Missed), (720, Overdue)]);
}

#[test]
fn another_expression_is_another_beginning() {
    let mut story = Story::of("crontab", "* * * * *").delayed(PROMPT);
    story.look_every(10, 5, 115);
    assert_eq!(story.states(), [(60, Overdue)]);
    story.schedule.expression = Some("*/2 * * * *".into());
    story.look(119);
    // It was due under the old one, and did not run.
    assert_eq!(story.states(), [(60, Missed)]);
    assert!(story.watch.as_ref().is_some_and(|watch| watch.open.is_empty() && watch.since == after(119)));
}

#[test]
fn a_one_off_that_has_run_and_is_disabled_was_seen() {
    let mut story = Story::of("clocked", &after(100).to_string()).delayed(PROMPT);
    story.look(5);
    story.ran(101);
    story.schedule.enabled = Some(false);
    story.look(104);
    story.look_every(30, 110, 600);
    assert_eq!(story.states(), [(100, Seen)]);
}

#[test]
fn a_run_that_nobody_expected_is_shown_as_well() {
    let mut story = Story::of("interval", "1h").delayed(PROMPT);
    story.look(0);
    story.ran(3);
    story.look(5);
    assert_eq!(story.states(), [(3, Seen)]);
    assert_eq!(next_runs(story.watch.as_ref(), &story.schedule, after(6), 2), [after(3_603), after(7_203)]);
}

#[test]
fn an_interval_counts_from_the_tasks_where_there_is_no_record() {
    let mut story = Story::of("interval", "60s");
    story.look(0);
    for run in 1..=5 {
        story.task(&format!("t{run}"), 61 * run, true);
        story.look_every(5, 61 * run + 1, 61 * run + 55);
    }
    assert_eq!(story.states().iter().filter(|(_, state)| *state == Seen).count(), 5, "{:?}", story.states());
    story.look_every(5, 365, 460);
    assert_eq!(story.states()[5..], [(305 + 60, Missed), (305 + 120, Overdue)]);
}

#[test]
fn the_record_sets_right_what_a_task_seemed_to_be() {
    let mut story = Story::of("crontab", "*/10 * * * *").delayed(LAZY);
    (story.schedule.last_run_at, story.schedule.total_run_count) = (Some(after(0)), Some(1));
    story.look(5);
    story.task("t", 700, true);
    story.look(701);
    assert_eq!(story.states(), [(600, Late)]);
    story.ran(600);
    story.look(720);
    let run = &story.runs[&600];
    assert_eq!((run.state, run.seen_at, run.task_id.as_deref()), (Seen, Some(after(600)), Some("t")));
}

#[test]
fn the_task_of_a_recorded_run_is_found_later_and_the_one_before_is_known() {
    let mut story = Story::of("crontab", "* * * * *").delayed(PROMPT);
    story.look(5);
    story.task("a", 60, true);
    story.ran(60);
    story.look(62);
    story.ran(120);
    story.look(121);
    assert_eq!(story.runs[&120].task_id, None);
    story.task("b", 122, false);
    let mut judgement = Judgement::begin(story.watch.clone(), &story.schedule, after(126));
    judgement.take_tasks(&story.tasks);
    let link = Link { due: after(120), began: after(120), task_before: "a".into() };
    assert_eq!(judgement.new_links(), [link]);
    judgement.overlaps(after(120));
    let key = ScheduleKey { scheduler: "s".into(), id: "1".into() };
    let news = judgement.finish(key).expect("news");
    assert_eq!(news.runs.len(), 1);
    assert!(news.runs[0].overlapping && news.runs[0].task_id.as_deref() == Some("b"));
}

#[test]
fn a_brain_that_was_away_for_long_expects_the_latest_only() {
    let mut story = Story::of("crontab", "* * * * *").delayed(PROMPT);
    story.look(5);
    story.look(60 * 60 * 24 * 30);
    assert!((90..=MAX_OPEN).contains(&story.runs.len()));
    assert!(story.watch.expect("a watch").open.len() < MAX_OPEN, "what was missed long ago is settled");
    let mut story = Story::of("interval", "1s").delayed(PROMPT);
    story.look(5);
    story.look(60 * 60 * 24 * 30);
    assert!(story.watch.expect("a watch").open.len() <= MAX_OPEN);
}

#[test]
fn nothing_changes_when_nothing_happens() {
    let mut story = Story::of("crontab", "0 3 1 1 *").delayed(PROMPT);
    story.look(0);
    let key = ScheduleKey { scheduler: "s".into(), id: "1".into() };
    let mut judgement = Judgement::begin(story.watch.clone(), &story.schedule, after(5));
    judgement.settle(HERE, PROMPT);
    assert!(judgement.finish(key).is_none());
}

#[test]
fn before_its_start_and_after_its_end_nothing_is_expected() {
    let mut story = Story::of("crontab", "* * * * *").delayed(PROMPT);
    (story.schedule.starts_at, story.schedule.expires_at) = (Some(after(100)), Some(after(130)));
    story.look_every(10, 0, 600);
    assert_eq!(story.states(), [(120, Missed)]);
    assert_eq!(next_runs(None, &story.schedule, after(0), 5), [after(120)]);
}

#[test]
fn what_is_not_understood_expects_nothing() {
    let mut story = Story::of("crontab", "never").delayed(PROMPT);
    story.look_every(60, 0, 6_000);
    assert!(story.runs.is_empty());
    assert!(next_runs(story.watch.as_ref(), &story.schedule, after(0), 5).is_empty());
}
