//! What people type: the filter language, and times in their text forms.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taskplane_model::filter::{Pattern, TaskFilter};
use taskplane_model::time::{parse_age, parse_point};
use taskplane_model::{TaskEvent, TaskRecord, Timestamp};

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

fuzz_target!(|text: &str| {
    filter_is_read(text);
    time_is_read(text);
    if let Some((pattern, name)) = text.split_once('\n')
        && pattern.len() * name.len() < 1 << 16
    {
        let found = Pattern(pattern.to_owned()).matches(name);
        assert_eq!(found, matches_by_table(pattern.as_bytes(), name.as_bytes()), "{pattern:?} {name:?}");
    }
});

fn filter_is_read(text: &str) {
    let Ok(filter) = TaskFilter::parse(text, NOW) else { return };
    let mut record = TaskRecord::default();
    let event = TaskEvent { name: Some("billing.charge"), kwargs: Some(r#"{"a":1}"#), ts: NOW, ..TaskEvent::default() };
    record.apply("1f9c5", &event);
    filter.matches("celery", "1f9c5", &record.task());
    // Read twice, it narrows no further.
    let mut twice = filter.clone();
    twice.add_text(text, NOW).expect("it was understood the first time");
    assert_eq!((twice.since, twice.until), (filter.since, filter.until));
    let matched = |filter: &TaskFilter| filter.matches("celery", "1f9c5", &record.task());
    assert_eq!(matched(&filter), matched(&twice));
}

fn time_is_read(text: &str) {
    if let Some(age) = parse_age(text) {
        assert!(age > 0);
        assert!(parse_point(text, NOW).is_some_and(|point| point < NOW));
    }
    if let Some(point) = Timestamp::parse_rfc3339(text) {
        assert_eq!(Timestamp::parse_rfc3339(&point.to_string()), Some(point), "{point}");
        point.is_absurd(NOW);
        point.minute();
        point.ms_since(NOW);
        NOW.ms_since(point);
    }
}

/// The meaning of `*`, decided in the slow and plain way.
fn matches_by_table(pattern: &[u8], text: &[u8]) -> bool {
    let mut reachable = vec![false; text.len() + 1];
    reachable[0] = true;
    for part in pattern {
        if *part == b'*' {
            let first = reachable.iter().position(|r| *r).unwrap_or(reachable.len());
            reachable[first..].fill(true);
        } else {
            for at in (0..text.len()).rev() {
                reachable[at + 1] = reachable[at] && text[at] == *part;
            }
            reachable[0] = false;
        }
    }
    reachable[text.len()]
}
