//! The index never hides what a filter means.

use std::collections::BTreeMap;

use taskplane_model::filter::TaskFilter;
use taskplane_model::task::{Mark, ToldQueue};
use taskplane_model::{TaskEventKind, TaskRecord, Timestamp};

use super::lookup::Rows;
use super::steps::{State, Step, Waiting, next, young};
use super::terms::Column;
use super::*;
use crate::backend::ids::least_key;

const NOW: Timestamp = Timestamp(1_794_969_600_000_000);

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn pick<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.below(texts.len() as u64) as usize]
    }
}

#[derive(Clone)]
struct Sample {
    task_id: String,
    queue: i64,
    record: TaskRecord,
}

impl Sample {
    fn random(random: &mut Random) -> Self {
        let id =
            format!("{:08x}-{:04x}-dead-beef-{:012x}", random.below(1 << 31), random.below(1 << 16), random.below(9));
        let task_id = if random.below(9) == 0 { format!("job:{}", random.below(99)) } else { id };
        let queue = random.below(4) as i64;
        let value = random.pick(&[
            "17",
            "\"17\"",
            "1.50",
            "1e3",
            "null",
            "[1, 2]",
            "{\"b\": 1, \"a\": 2}",
            "\"\\u00e9\"",
            "\"ŒUVRE\"",
        ]);
        let kwargs =
            Some(format!("{{\"order_id\": {}, \"{}\": {value}}}", random.below(3_000), random.pick(&["who", "ΣΑΣ"])));
        let mut record = TaskRecord {
            name: (random.below(9) > 0).then(|| format!("shop.task{}", random.below(6))),
            kwargs: (random.below(9) > 0).then_some(kwargs).flatten(),
            queue: (queue > 0).then(|| ToldQueue {
                attempt: 0,
                is_exact: false,
                ts: NOW,
                value: format!("queue{queue}"),
            }),
            ..TaskRecord::default()
        };
        if random.below(20) == 0 {
            record.marks.push(Mark {
                attempt: Some(0),
                kind: TaskEventKind::Failed,
                ts: NOW,
                exception: Some("CardError".into()),
                exception_message: Some(format!("Card {} Declined ΌΣΟΣ", random.below(40))),
                ..Mark::default()
            });
        }
        Self { task_id, queue, record }
    }

    fn document(&self) -> Document<'_> {
        Document { engine: 1, name: 0, queue: self.queue, worker: 0, task_id: &self.task_id, record: &self.record }
    }
}

/// Segments and their rows, as a database keeps them.
#[derive(Default)]
struct Index {
    segments: Vec<Segment>,
    rows: Rows,
}

impl Index {
    fn add<'s>(
        &mut self,
        is_patch: bool,
        samples: impl IntoIterator<Item = (&'s i64, &'s Sample)>,
        low: i64,
        high: i64,
    ) {
        let mut builder = Builder::new(is_patch);
        for (key, sample) in samples {
            builder.add(*key, &sample.document());
        }
        let Some(mut built) = builder.finish(low, high) else { return };
        built.segment.id = self.segments.len() as i64 + 1;
        for (bucket, body) in built.buckets {
            self.rows.insert(place(built.segment.id, bucket), body);
        }
        self.segments.push(built.segment);
    }

    fn ranges(&self, clauses: Vec<Clause>, changed: Vec<i64>, until: i64, (from, below): (i64, i64)) -> Vec<Range> {
        let outline = Outline { indexed_until: until, segments: self.segments.clone(), changed };
        let mut lookup = Lookup::new(clauses, outline, from, below);
        let mut found = Vec::new();
        while let Some(places) = lookup.ask() {
            let rows = places.iter().filter_map(|place| Some((*place, self.rows.get(place)?.clone()))).collect();
            lookup.take(&rows).expect("is understood");
            found.extend(std::iter::from_fn(|| lookup.pop_range()));
        }
        found.extend(std::iter::from_fn(|| lookup.pop_range()));
        assert!(found.windows(2).all(|pair| pair[0].from > pair[1].from), "ranges descend: {found:?}");
        assert!(found.iter().all(|range| from <= range.from && range.until <= below));
        found
    }
}

fn clauses(filter: &TaskFilter) -> Vec<Clause> {
    let mut clauses: Vec<Clause> = filter.text.iter().flat_map(|text| Clause::text(text)).collect();
    clauses.extend(filter.args.iter().map(|(name, value)| Clause::argument(name, value)));
    let queues = filter.queues.iter().filter_map(|queue| queue.0.strip_prefix("queue")?.parse().ok());
    if !filter.queues.is_empty() {
        clauses.push(Clause::numbers(Column::Queue, queues));
    }
    clauses
}

const FILTERS: [&str; 22] = [
    "declined",
    "\"card 7 dec\"",
    "shop.task3",
    "dead",
    "beef-0000",
    "12",
    "123",
    "1234",
    "\"order_id\": 17",
    "œuvre",
    "όσο",
    "όσος",
    "σας",
    "arg:order_id=17",
    "arg:who=17",
    "arg:who=1.5",
    "arg:who=1000.0",
    "arg:who=é",
    "arg:ΣΑΣ=[1,2]",
    "queue:queue2 declined",
    "queue:queue1,queue3 \"job:7\"",
    "nothing contains this",
];

/// Random tasks in segments of many sizes, with gaps, patches, changes that are not indexed and tasks above: whatever a filter
/// means lies in the ranges that the index leaves.
#[test]
fn no_match_is_hidden() {
    for seed in 0..3 {
        let mut random = Random(seed);
        let mut tasks: BTreeMap<i64, Sample> = BTreeMap::new();
        for _ in 0..3_000 {
            tasks.insert(random.below(100_000) as i64, Sample::random(&mut random));
        }
        let until = 90_000;
        let mut index = Index::default();
        let mut low = 0;
        while low < until {
            let high = (low + 1 + random.below(30_000) as i64).min(until);
            index.add(false, tasks.range(low..high), low, high);
            low = high;
        }
        let mut changed = Vec::new();
        let mut patched = BTreeMap::new();
        for _ in 0..300 {
            let key = random.below(90_000) as i64;
            let sample = Sample::random(&mut random);
            if random.below(3) == 0 && !patched.contains_key(&key) {
                changed.push(key);
            } else if !changed.contains(&key) {
                patched.insert(key, sample.clone());
            } else {
                continue;
            }
            tasks.insert(key, sample);
        }
        let last = patched.keys().last().copied().unwrap_or(0);
        index.add(true, &patched, 0, last + 1);
        for text in FILTERS {
            let filter = TaskFilter::parse(text, NOW).expect("is a filter");
            let window = (random.below(40_000) as i64, 60_000 + random.below(50_000) as i64);
            let ranges = index.ranges(clauses(&filter), changed.clone(), until, window);
            for (key, sample) in tasks.range(window.0..window.1) {
                let is_meant = filter.matches("celery", &sample.task_id, &sample.record.task());
                let is_left = ranges.iter().any(|range| (range.from..range.until).contains(key));
                assert!(is_left || !is_meant, "seed {seed}: {text} hides {key} {:?}", sample.record);
            }
        }
    }
}

/// What is rare leaves little to read.
#[test]
fn rare_words_leave_few_tasks() {
    let mut random = Random(1);
    let mut tasks: BTreeMap<i64, Sample> = (0..20_000).map(|key| (key, Sample::random(&mut random))).collect();
    let needle = tasks.get_mut(&7_777).expect("is there");
    needle.task_id = "0b7f5a1e-3c4d-4e5f-8a9b-0c1d2e3f4a5b".into();
    needle.record.args = Some("[\"needle in a haystack\"]".into());
    let mut index = Index::default();
    for low in (0..20_000).step_by(2_500) {
        index.add(false, tasks.range(low..low + 2_500), low, low + 2_500);
    }
    for text in ["\"needle in\"", "0b7f5a1e", "haystack queue:queue0,queue1,queue2,queue3"] {
        let filter = TaskFilter::parse(text, NOW).expect("is a filter");
        let ranges = index.ranges(clauses(&filter), Vec::new(), 20_000, (0, i64::MAX));
        assert_eq!(ranges[0], Range { from: 20_000, until: i64::MAX, tasks: u32::MAX });
        let tasks: i64 = ranges[1..].iter().map(|range| range.until - range.from).sum();
        assert!(tasks <= 3 * BLOCK as i64, "{text}: {tasks}");
    }
}

/// A task with more text than is taken apart is always looked at.
#[test]
fn tasks_with_much_text_are_looked_at() {
    let mut random = Random(1);
    let mut tasks: BTreeMap<i64, Sample> = (0..1_000).map(|key| (key, Sample::random(&mut random))).collect();
    tasks.get_mut(&500).expect("is there").record.args = Some("x".repeat(TASK_TEXT + 1));
    let mut index = Index::default();
    index.add(false, &tasks, 0, 1_000);
    let ranges = index.ranges(Clause::text("nothing contains this"), Vec::new(), 1_000, (0, 1_000));
    assert!(ranges.iter().any(|range| (range.from..range.until).contains(&500)), "{ranges:?}");
    assert!(ranges.iter().map(|range| range.until - range.from).sum::<i64>() <= BLOCK as i64 + 1);
}

/// While nothing happens but time, steps come to an end; all tasks are in segments then, and these are few.
#[test]
fn steps_come_to_an_end() {
    let settled = least_key(NOW);
    let segment = |id, is_patch, low, high, tasks| Segment {
        id,
        is_patch,
        low,
        high,
        tasks,
        postings: tasks * 50,
        bucket_bits: 3,
        opaque: Vec::new(),
    };
    let mut segments: Vec<Segment> = (0..500).map(|n| segment(n, false, n * 10, n * 10 + 10, 1_500)).collect();
    segments.extend((0..50).map(|n| segment(500 + n, true, n * 100, n * 100 + 50, 300)));
    segments.push(segment(400, true, 0, 4_000, 1));
    let state = State { indexed_until: 5_000, indexing_until: 5_000, version: 1, folded_at: NOW };
    let later = NOW.plus(60_000_000);
    let mut steps = 0;
    loop {
        steps += 1;
        assert!(steps < 1_000, "the steps do not end");
        let old = match next(&state, &segments, Waiting::default(), 0, later) {
            Step::Rest => break,
            Step::Join(old) | Step::JoinPatches(old) => old,
            step => panic!("{step:?}"),
        };
        let (low, high) = (old.iter().map(|s| s.low).min(), old.iter().map(|s| s.high).max());
        let (low, high) = (low.expect("some"), high.expect("some"));
        let tasks = old.iter().map(|s| s.tasks).sum();
        assert!(tasks as usize <= SEGMENT_TASKS);
        segments.retain(|segment| !old.contains(segment));
        segments.push(segment(1_000 + steps, old[0].is_patch, low, high, tasks));
    }
    assert!(segments.len() < 60, "{} segments are left", segments.len());
    assert!(young(NOW) < settled);
    let waiting = Waiting { tasks: 2_000, first: 5_001, last: 6_000 };
    assert_eq!(next(&state, &segments, waiting, 0, later), Step::Advance(young(later)));
    assert_eq!(next(&state, &segments, Waiting::default(), 5_000, later), Step::Fold);
}

/// Only what may be found by something new has to be noted.
#[test]
fn what_a_task_says_more_is_noticed() {
    let mut random = Random(3);
    let old = TaskRecord { marks: Vec::new(), ..Sample::random(&mut random).record };
    let same = [(0, 0); 3];
    assert!(!grew(&old, &old, same));
    assert!(!grew(&old, &old, [(0, 1), (0, 2), (3, 3)]));
    assert!(grew(&old, &old, [(1, 2), (0, 0), (0, 0)]));
    let with = |change: fn(&mut TaskRecord)| {
        let mut new = old.clone();
        change(&mut new);
        grew(&old, &new, same)
    };
    assert!(with(|record| record.name = Some("other".into())));
    assert!(with(|record| record.args = Some("[1]".into())));
    assert!(with(|record| record.kwargs = Some("{}".into())));
    assert!(with(|record| record.marks.push(Mark { exception_message: Some("no".into()), ..Mark::default() })));
    assert!(!with(|record| record.marks.push(Mark { result: Some("1".into()), ..Mark::default() })));
}
