use proptest::prelude::*;

use super::*;
use crate::{TaskEvent, TaskEventKind, TaskRecord};

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

fn parse(text: &str) -> TaskFilter {
    TaskFilter::parse(text, NOW).expect("parses")
}

fn failed_charge() -> TaskRecord {
    let mut record = TaskRecord::default();
    record.apply(
        "id-1",
        &TaskEvent {
            kind: TaskEventKind::Failed,
            ts: NOW,
            name: Some("billing.charge"),
            kwargs: Some(r#"{"order_id":17,"card":"<card>"}"#),
            queue: Some("payments"),
            worker: Some("w1@host"),
            exception: Some("CardError"),
            exception_message: Some("Card declined by bank"),
            ..TaskEvent::default()
        },
    );
    record
}

fn finds(text: &str) -> bool {
    parse(text).matches("celery", "id-1", &failed_charge().task())
}

#[test]
fn every_key_narrows() {
    for text in [
        "",
        "state:failed",
        "state:lost,failed",
        "name:billing.charge",
        "name:billing.*",
        "name:*.charge",
        "queue:pay*",
        "worker:w1@*",
        "engine:celery",
        "id:id-1",
        "arg:order_id=17",
        "arg:card=<card>",
        "\"card declined\"",
        "CARDERROR",
        "state:failed billing",
    ] {
        assert!(finds(text), "{text}");
    }
    for text in [
        "state:succeeded",
        "name:billing",
        "name:charge*",
        "queue:emails",
        "worker:w2*",
        "engine:rq",
        "id:id",
        "arg:order_id=1",
        "arg:nothing=17",
        "\"declined card\"",
        "state:failed emails",
    ] {
        assert!(!finds(text), "{text}");
    }
}

#[test]
fn the_window_is_read_from_text() {
    let filter = parse("since:2h until:2026-11-22T18:00:00Z");
    assert_eq!(filter.since, Some(NOW.plus(-2 * 60 * crate::time::MINUTE)));
    assert_eq!(filter.until, Timestamp::parse_rfc3339("2026-11-22T18:00:00Z"));
}

#[test]
fn mistakes_are_named() {
    let error = |text| TaskFilter::parse(text, NOW).expect_err("refused");
    assert_eq!(error("colour:red"), FilterError::UnknownKey("colour".into()));
    assert_eq!(error("state:broken"), FilterError::UnknownState("broken".into()));
    assert_eq!(error("since:soon"), FilterError::BadTime("since", "soon".into()));
    assert_eq!(error("name:"), FilterError::MissingValue("name".into()));
    assert_eq!(error("arg:x"), FilterError::BadArg("x".into()));
    assert_eq!(error("\"open"), FilterError::OpenQuote);
    assert_eq!(error(&"x".repeat(MAX_FILTER_BYTES + 1)), FilterError::TooLong);
}

#[test]
fn a_pasted_id_is_looked_up() {
    let filter = parse("4769C3F8-cd0d-4c51-a40e-d97e941db0a4 4769c3f8");
    assert_eq!(filter.ids, ["4769c3f8-cd0d-4c51-a40e-d97e941db0a4"]);
    assert_eq!(filter.text, ["4769c3f8"]);
}

#[test]
fn text_with_colons_is_text() {
    assert_eq!(parse("ValueError:x 10:30").text, ["valueerror:x", "10:30"]);
}

#[test]
fn patterns_anchor_at_both_ends() {
    for (pattern, text, hit) in [
        ("a*", "abc", true),
        ("*c", "abc", true),
        ("a*c", "abc", true),
        ("*b*", "abc", true),
        ("*", "", true),
        ("a*b*c", "aXbYc", true),
        ("abc", "abc", true),
        ("ab", "abc", false),
        ("a*ab", "ab", false),
        ("b*", "abc", false),
        ("", "x", false),
    ] {
        assert_eq!(Pattern(pattern.into()).matches(text), hit, "{pattern} on {text}");
    }
}

proptest! {
    #[test]
    fn reading_a_filter_never_panics(text in ".{0,80}") {
        if let Ok(filter) = TaskFilter::parse(&text, NOW) {
            let _ = filter.matches("celery", "id-1", &failed_charge().task());
        }
    }
}
