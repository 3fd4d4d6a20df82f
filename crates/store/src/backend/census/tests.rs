//! Counting by censuses comes to the same as counting tasks.

use taskplane_model::filter::TaskFilter;
use taskplane_model::time::{MINUTE, SECOND};
use taskplane_model::{TaskState, Timestamp};

use super::count::Outline;
use super::steps::{Situation, State, Step, next};
use super::*;
use crate::backend::ids::least_key;
use crate::backend::plan::{Brief, FilterTerms, Terms, Wanted};
use crate::backend::search::Segment;
use crate::backend::search::lookup::Rows;
use crate::backend::tally::Tally;
use crate::retention::Kept;
use crate::tasks::TaskQuery;

const NOW: Timestamp = Timestamp(1_794_969_600_000_000);

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn number(&mut self, bound: u64) -> i64 {
        self.below(bound).cast_signed()
    }

    fn task(&mut self, key: i64) -> Brief {
        let state = [4, 4, 4, 4, 4, 5, 6, 0, 2][self.below(9) as usize];
        let (project, worker) = (1 + self.number(2), self.number(40));
        Brief { key, project, engine: 1, state, name: self.number(6), queue: self.number(3), worker }
    }
}

/// Tasks and their censuses, as a database keeps them.
struct World {
    tasks: Vec<Brief>,
    outline: Outline,
    rows: Rows,
}

impl World {
    /// Some tasks, of which several may have one key, without a census.
    fn random(random: &mut Random, count: usize) -> Self {
        let (mut tasks, mut key) = (Vec::new(), 1_000);
        for _ in 0..count {
            key += random.number(4);
            tasks.push(random.task(key));
        }
        let outline = Outline { first: i64::MIN, ..Outline::default() };
        Self { tasks, outline, rows: Rows::default() }
    }

    fn take(&mut self, low: i64, high: i64) {
        let mut taker = Taker::default();
        for task in self.tasks.iter().filter(|task| (low..high).contains(&task.key)) {
            assert!(taker.add(task));
        }
        let Some(mut taken) = taker.finish(low, high) else { return };
        taken.census.id = self.outline.censuses.len() as i64 + 1;
        for (row, body) in taken.rows {
            self.rows.insert(place(taken.census.id, row), body);
        }
        self.outline.censuses.push(taken.census);
    }

    /// Another task than before stands at a place.
    fn change(&mut self, random: &mut Random) {
        let at = random.below(self.tasks.len() as u64) as usize;
        let key = self.tasks[at].key;
        self.tasks[at] = Brief { project: self.tasks[at].project, ..random.task(key) };
        self.outline.changed.push(key);
    }

    /// Drops tasks below a key that are not kept for their state.
    fn drop_below(&mut self, key: i64) {
        let is_kept = |task: &Brief| {
            let state = TaskState::from_number(task.state).expect("is a state");
            task.key >= key || Kept::of_state(state) == Kept::Failures
        };
        self.tasks.retain(is_kept);
        self.outline.dropped_below = key;
    }

    /// Counts by censuses, and by rows what they leave. The second number says how many rows that were.
    fn count(&self, wanted: &Wanted<'_>) -> (Tally, usize) {
        let states = wanted.states();
        let mut tally = Tally::new(&states);
        let mut counting = Counting::new(wanted, &states, self.outline.clone());
        while let Some(places) = counting.ask(&tally) {
            let found = |place: i64| Some((place, self.rows.get(&place)?.clone()));
            counting.take(&places.into_iter().filter_map(found).collect(), &mut tally).expect("is understood");
        }
        let newest = counting.newest();
        let mut ranges = vec![newest];
        ranges.extend(counting.into_left());
        assert!(ranges.windows(2).all(|pair| pair[1].until <= pair[0].from), "ranges descend: {ranges:?}");
        let mut rows = 0;
        for task in &self.tasks {
            if ranges.iter().any(|range| (range.from..range.until).contains(&task.key)) {
                rows += 1;
                if wanted.admits(task) {
                    tally.add(task.state);
                }
            }
        }
        (tally, rows)
    }
}

fn terms(random: &mut Random, bound: u64) -> Terms {
    if random.below(2) == 0 {
        return Terms::Any;
    }
    Terms::These((0..=random.below(2)).map(|_| random.number(bound)).collect())
}

fn expected(tasks: &[Brief], wanted: &Wanted<'_>) -> Vec<(TaskState, u64, bool)> {
    let is_meant = |task: &&Brief| wanted.admits(task) && (wanted.from..wanted.until).contains(&task.key);
    let count = |state: &TaskState| tasks.iter().filter(is_meant).filter(|task| task.state == *state as u8).count();
    wanted.states().into_iter().map(|state| (state, count(&state) as u64, false)).collect()
}

#[test]
fn counts_are_those_of_the_tasks() {
    let mut random = Random(7);
    for round in 0..200 {
        let mut world = World::random(&mut random, 200 + 30 * round);
        let last = world.tasks.last().map_or(0, |task| task.key);
        let mut low = 0;
        for _ in 0..random.below(5) {
            let high = (low + 100 + random.number(3_000)).min(last + 1);
            if low < high && random.below(9) > 0 {
                world.take(low, high);
            }
            low = high;
        }
        if random.below(3) == 0 {
            world.drop_below(random.number(last.cast_unsigned()));
        }
        (0..random.below(20)).for_each(|_| world.change(&mut random));
        for _ in 0..8 {
            let all = FilterTerms {
                names: terms(&mut random, 6),
                queues: terms(&mut random, 3),
                workers: terms(&mut random, 40),
                engines: Terms::Any,
            };
            let mut filter = TaskFilter::default();
            if random.below(2) == 0 {
                filter.states = vec![TaskState::Failed, TaskState::Succeeded];
            }
            let query = TaskQuery { project: 1, filter, ..TaskQuery::default() };
            let mut wanted = Wanted::new(&query, all);
            if random.below(2) == 0 {
                (wanted.from, wanted.until) = (random.number(2_000), 2_000 + random.number(last.cast_unsigned()));
            }
            let (tally, _) = world.count(&wanted);
            assert_eq!(tally.into_counts().by_state, expected(&world.tasks, &wanted), "round {round}");
        }
    }
}

#[test]
fn only_edges_changes_and_what_is_new_are_left_to_rows() {
    let mut random = Random(8);
    let mut world = World::random(&mut random, 20_000);
    let last = world.tasks.last().map_or(0, |task| task.key);
    world.take(0, last - 1_000);
    (0..3).for_each(|_| world.change(&mut random));
    let query = TaskQuery { project: 1, ..TaskQuery::default() };
    let any = || FilterTerms { names: Terms::Any, queues: Terms::Any, workers: Terms::Any, engines: Terms::Any };
    let mut wanted = Wanted::new(&query, any());
    let new = world.tasks.iter().filter(|task| task.key >= last - 1_000).count();
    let (_, rows) = world.count(&wanted);
    assert!(rows - new <= 3 * (BLOCK + 3), "{rows} rows, {new} of them new");
    (wanted.from, wanted.until) = (5_003, 9_001);
    let (tally, rows) = world.count(&wanted);
    assert!(rows <= 5 * (BLOCK + 3), "{rows} rows");
    assert_eq!(tally.into_counts().by_state, expected(&world.tasks, &wanted));
}

#[test]
fn what_goes_beyond_the_bound_says_so_and_ends_early() {
    let mut random = Random(9);
    let mut world = World::random(&mut random, 60_000);
    world.tasks.iter_mut().for_each(|task| task.project = 1);
    let last = world.tasks.last().map_or(0, |task| task.key);
    for part in 0..6 {
        world.take(last * part / 6, last * (part + 1) / 6 + part / 5);
    }
    let filter = TaskFilter { states: vec![TaskState::Succeeded], ..TaskFilter::default() };
    let query = TaskQuery { project: 1, filter, ..TaskQuery::default() };
    let any = FilterTerms { names: Terms::Any, queues: Terms::Any, workers: Terms::Any, engines: Terms::Any };
    let wanted = Wanted::new(&query, any);
    let (tally, _) = world.count(&wanted);
    assert_eq!(tally.into_counts().by_state, [(TaskState::Succeeded, 10_000, true)]);
}

#[test]
fn rows_that_make_no_sense_are_no_counts() {
    let mut random = Random(10);
    let mut world = World::random(&mut random, 5_000);
    world.take(0, 1 << 40);
    let query = TaskQuery { project: 1, ..TaskQuery::default() };
    for damage in 0..2_000 {
        let mut rows = world.rows.clone();
        let place = place(1, random.number(4));
        let Some(row) = rows.get_mut(&place) else { continue };
        let at = random.below(row.len() as u64) as usize;
        if damage % 3 == 0 {
            row.truncate(at)
        } else {
            row[at] ^= 1 << random.below(8)
        }
        let workers = Terms::These((0..20).collect());
        let all = FilterTerms {
            names: Terms::Any,
            queues: Terms::These([1].into_iter().collect()),
            workers,
            engines: Terms::Any,
        };
        let wanted = Wanted::new(&query, all);
        let mut tally = Tally::new(&TaskState::ALL);
        let mut counting = Counting::new(&wanted, &TaskState::ALL, world.outline.clone());
        while let Some(places) = counting.ask(&tally) {
            let found = |place: i64| Some((place, rows.get(&place)?.clone()));
            // Nothing but an error, or another number.
            if counting.take(&places.into_iter().filter_map(found).collect(), &mut tally).is_err() {
                break;
            }
        }
    }
}

fn segment(low: i64, high: i64, tasks: u32) -> Segment {
    Segment { id: 1, is_patch: false, low, high, tasks, postings: 0, bucket_bits: 1, opaque: Vec::new() }
}

#[test]
fn a_census_is_taken_of_settled_tasks_and_anew_when_many_have_changed() {
    let at = |seconds: i64| least_key(NOW.plus(seconds * SECOND));
    let mut situation = Situation {
        state: State { taken_until: 0, taking_until: 0, version: 0 },
        segments: vec![segment(0, at(-60), 32_000), segment(at(-60), at(-30), 18_000), segment(at(-30), at(0), 18_000)],
        censuses: Vec::new(),
        changed: Vec::new(),
        dropped_below: 0,
    };
    let first = Step { low: 0, high: at(-60), replaces: None, most_open: Some(32_000 / 16) };
    assert_eq!(next(&situation, NOW), Some(first.clone()));
    assert_eq!(next(&situation, NOW.plus(60 * MINUTE)), Some(Step { most_open: None, ..first }));
    situation.state.taken_until = at(-60);
    situation.censuses.push(Census { id: 5, low: 0, high: at(-60), tasks: 32_000 });
    assert_eq!(next(&situation, NOW), None, "the others are too young");
    let second = Step { low: at(-60), high: at(0), replaces: None, most_open: Some(36_000 / 16) };
    assert_eq!(next(&situation, NOW.plus(20 * SECOND)), Some(second));
    let fewer = Step { low: at(-60), high: at(-30), replaces: None, most_open: None };
    assert_eq!(next(&situation, NOW.plus(60 * MINUTE)), Some(fewer));
    situation.changed = (0..31).map(|n| at(-100) + n).chain([at(-100)]).collect();
    assert_eq!(next(&situation, NOW), None);
    situation.changed.push(at(-61));
    let again = Step { low: 0, high: at(-60), replaces: Some(5), most_open: None };
    assert_eq!(next(&situation, NOW), Some(again));
    situation.dropped_below = at(-90);
    assert_eq!(next(&situation, NOW), None, "it would not know what has been dropped");
}
