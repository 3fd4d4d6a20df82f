use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use taskplane_model::fleet::{WorkerFacts, WorkerSign};
use taskplane_model::{KnownBy, TaskEventKind, Timestamp};
use taskplane_protocol::frame::{AgentFrame, Event};

use super::value::redacted_json;
use super::*;
use crate::engine::{Observation, QueueObservation, Subject, TaskObservation, WorkerObservation};

const TS: Timestamp = Timestamp(1_795_000_000_123_456);

fn redactor(strings: Strings) -> &'static Redactor {
    static ALL: LazyLock<[Redactor; 3]> = LazyLock::new(|| {
        [Strings::Default, Strings::PatternsOnly, Strings::MaskAll].map(|strings| {
            Redactor::new(&RedactionConfig { strings, ..RedactionConfig::default() }).expect("built-in rules")
        })
    });
    &ALL[strings as usize]
}

fn task(task: TaskObservation) -> Observation {
    Observation { engine: "celery", ts: TS, subject: Subject::Task(Box::new(task)) }
}

#[test]
fn an_event_begins_with_its_type_time_and_engine() {
    let observation = task(TaskObservation {
        kind: TaskEventKind::Sent,
        task_id: "1f9c5".into(),
        name: Some("email.send_welcome".into()),
        args: Some(json!(["Dear Mrs. Robinson, hello"])),
        kwargs: Some(json!({"to": "bob@example.com"})),
        queue: Some("a queue with a long name, unchanged".into()),
        retries: Some(0),
        ..TaskObservation::default()
    });
    assert_eq!(
        redactor(Strings::Default).encode(&observation),
        concat!(
            r#"{"event_type":"task_sent","ts":"2026-11-18T11:06:40.123456Z","engine":"celery","task_id":"1f9c5","#,
            r#""name":"email.send_welcome","args_redacted":["<str len=25>"],"kwargs_redacted":{"to":"<email>"},"#,
            r#""queue":"a queue with a long name, unchanged","retries":0}"#
        )
    );
}

#[test]
fn workers_and_queues_keep_their_names_and_lose_what_is_no_number() {
    let facts = WorkerFacts { loadavg: vec![0.5, f64::NAN], pid: Some(7), ..WorkerFacts::default() };
    let worker = WorkerObservation { sign: WorkerSign::Online, worker: "celery@web.example.com".into(), facts };
    let encoded = redactor(Strings::MaskAll).encode(&Observation {
        engine: "celery",
        ts: TS,
        subject: Subject::Worker(Box::new(worker)),
    });
    assert!(
        encoded.contains(r#""event_type":"worker_online""#) && encoded.contains(r#""worker":"celery@web.example.com""#)
    );
    assert!(encoded.contains(r#""loadavg":[0.5]"#));
    let queue = QueueObservation {
        queue: "q".into(),
        depth: Some(0),
        unacked: None,
        consumers: None,
        oldest_age_ms: Some(f64::INFINITY),
    };
    let encoded =
        redactor(Strings::Default).encode(&Observation { engine: "celery", ts: TS, subject: Subject::Queue(queue) });
    assert!(encoded.ends_with(r#""engine":"celery","queue":"q","depth":0}"#), "{encoded}");
}

#[test]
fn the_largest_event_is_under_the_cap() {
    let nasty = "\u{1}".repeat(300_000);
    let value = || Some(json!(vec![vec!["\u{1}".repeat(16); 256]; 256]));
    let observation = task(TaskObservation {
        task_id: nasty.clone(),
        name: Some(nasty.clone()),
        args: value(),
        kwargs: value(),
        result: value(),
        exception: Some(nasty.clone()),
        exception_message: Some(nasty.clone()),
        traceback: Some(nasty.clone()),
        worker: Some(nasty.clone()),
        hostname: Some(nasty.clone()),
        root_id: Some(nasty),
        ..TaskObservation::default()
    });
    for strings in [Strings::Default, Strings::PatternsOnly, Strings::MaskAll] {
        let text = redactor(strings).encode(&observation);
        assert!(text.len() <= MAX_EVENT_BYTES, "{}", text.len());
        serde_json::from_str::<Value>(&text).expect("JSON");
    }
}

#[test]
fn a_traceback_keeps_its_lines_and_loses_its_secrets() {
    let traceback = concat!(
        "Traceback (most recent call last):\n",
        "  File \"/app/tasks.py\", line 7, in charge\n",
        "    client.post(url, password='hunter2', user=user)\n",
        "HTTPError: 401 for https://bob:pw@pay.example.com/v1, bob@example.com\n"
    );
    let text = redactor(Strings::Default)
        .encode(&task(TaskObservation { traceback: Some(traceback.into()), ..TaskObservation::default() }));
    let event: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        event["traceback"],
        concat!(
            "Traceback (most recent call last):\n",
            "  File \"/app/tasks.py\", line 7, in charge\n",
            "    client.post(url, password=<redacted>, user=user)\n",
            "HTTPError: 401 for https://<url-credentials>@pay.example.com/v1, <email>\n"
        )
    );
}

/// A secret in the form it is known by, and the part of it that must not be seen anywhere.
fn secret() -> impl Strategy<Value = (String, String)> {
    let whole = |secret: String| (secret.clone(), secret);
    let card = "[0-9]{12}".prop_map(move |digits| {
        let numbers = (0..10).map(|check| format!("4{digits}00{check}"));
        whole(numbers.into_iter().find(|number| super::luhn::holds_card_number(number)).expect("one of ten passes"))
    });
    prop_oneof![
        "[a-z]{3,10}\\.[a-z]{3,8}@[a-z]{3,10}\\.(com|org|example\\.net)".prop_map(whole),
        "eyJ[A-Za-z0-9_-]{10,30}\\.[A-Za-z0-9_-]{10,40}\\.[A-Za-z0-9_-]{10,40}".prop_map(whole),
        "AKIA[A-Z0-9]{16}".prop_map(whole),
        "gh[pousr]_[A-Za-z0-9]{36}".prop_map(whole),
        "sk_live_[A-Za-z0-9]{24}".prop_map(whole),
        "xoxb-[0-9]{10}-[A-Za-z0-9]{24}".prop_map(whole),
        "[A-Za-z0-9._~-]{12,40}".prop_map(|token| (format!("Bearer {token}"), token)),
        "[A-Za-z0-9!$/+]{12,20}".prop_map(|password| (format!("redis://me:{password}@broker:6379/0"), password)),
        "[A-Za-z0-9+/]{64}".prop_map(|line| {
            (format!("-----BEGIN RSA PRIVATE KEY-----\n{line}\n-----END RSA PRIVATE KEY-----"), line)
        }),
        card,
    ]
}

/// A nested value that has `needle` somewhere in it: as an element, inside a text, as a value, as a key, under a secret key.
fn hiding(needle: String) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(needle)),
        "[a-z ]{0,30}".prop_map({
            let needle = needle.clone();
            move |around| json!(format!("{around} {needle} {around}"))
        }),
        Just(json!({ needle.clone(): 1 })),
        Just(json!({"note": {"db_password": needle}})),
    ];
    let other = prop_oneof![Just(json!(null)), any::<i64>().prop_map(|n| json!(n)), ".{0,30}".prop_map(|t| json!(t))];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            (inner.clone(), prop::collection::vec(other.clone(), 0..4)).prop_map(|(inner, mut others)| {
                others.push(inner);
                Value::Array(others)
            }),
            (inner, "[a-zA-Z_]{0,12}").prop_map(|(inner, key)| json!({key: inner, "other": 1})),
        ]
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![".{0,40}", "[\\x00-\\x7f]{0,40}", secret().prop_map(|s| s.0), "[<>a-z=@:'\" 0-9]{0,40}"];
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i32>().prop_map(|n| json!(f64::from(n) / 8.0)),
        text.clone().prop_map(|t| json!(t))
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::btree_map(text.clone(), inner, 0..8)
                .prop_map(|m| Value::Object(m.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_secret_survives_in_any_position(
        ((needle, core), value) in secret().prop_flat_map(|secret| (Just(secret.clone()), hiding(secret.0)))
    ) {
        for strings in [Strings::Default, Strings::PatternsOnly, Strings::MaskAll] {
            let observation = task(TaskObservation {
                args: Some(value.clone()),
                kwargs: Some(json!({"x": value.clone()})),
                result: Some(value.clone()),
                exception_message: Some(format!("failed with {needle} in it")),
                traceback: Some(value.to_string()),
                ..TaskObservation::default()
            });
            let text = redactor(strings).encode(&observation);
            prop_assert!(!text.contains(&core), "{core} in {text}");
        }
    }

    #[test]
    fn any_value_gives_valid_json_under_the_cap_and_redacting_again_changes_nothing(value in any_value()) {
        for strings in [Strings::Default, Strings::PatternsOnly, Strings::MaskAll] {
            let redactor = redactor(strings);
            let once = redacted_json(redactor, &value, MAX_VALUE_BYTES);
            prop_assert!(once.len() <= MAX_VALUE_BYTES);
            let once: Value = serde_json::from_str(&once).expect("JSON");
            let twice: Value = serde_json::from_str(&redacted_json(redactor, &once, MAX_VALUE_BYTES)).expect("JSON");
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn any_text_is_redacted_without_panic_and_once_is_enough(text in "(.{0,60}|[<>a-z=@:'\"\\\\ \n0-9]{0,60}|password[=:] ?.{0,20})") {
        let redactor = redactor(Strings::Default);
        let once = redactor.message(&text);
        prop_assert_eq!(redactor.message(&once), once);
    }

    #[test]
    fn an_event_of_a_task_has_the_fields_of_the_protocol_in_their_order(
        texts in prop::collection::vec(prop::option::of("\\PC{0,20}"), 16),
        // An event that is read has no value rather than null.
        value in prop::option::of(any_value().prop_filter("null", |value| !value.is_null())),
        number in prop::option::of(prop_oneof![any::<i32>().prop_map(|n| f64::from(n) / 8.0), Just(f64::NAN)]), whole in prop::option::of(any::<u32>()), truth in prop::option::of(any::<bool>()),
    ) {
        let text = |index: usize| texts[index].clone();
        let at = whole.map(|micros| Timestamp(i64::from(micros) * 1_000_003));
        let observation = task(TaskObservation {
            kind: TaskEventKind::Failed, task_id: text(0).unwrap_or_default(), name: text(1), args: value.clone(), kwargs: value.clone(),
            queue: text(2), routing_key: text(3), exchange: text(4), worker: text(5), hostname: text(6), pid: whole.map(u64::from),
            retries: whole, eta: at, expires: at, priority: whole.map(|whole| i64::from(whole) - 7), root_id: text(7), parent_id: text(8),
            group_id: text(9), chord_id: text(10), runtime_ms: number, result: value, exception: text(11), exception_message: text(12),
            traceback: text(13), signal: text(14), terminated: truth, expired: truth, requeue: truth,
            known_by: truth.map(|_| KnownBy::Inspection), done: number, total: number, note: text(15),
        });
        let written = redactor(Strings::Default).encode(&observation);
        let event: Event = serde_json::from_str(&written).expect("an event");
        prop_assert_eq!(event.runtime_ms, number.filter(|number| number.is_finite()));
        prop_assert_eq!(serde_json::to_string(&event).expect("JSON"), written);
    }

    #[test]
    fn any_event_is_read_by_the_brain(args in any_value(), text in ".{0,60}") {
        let observation = task(TaskObservation {
            task_id: "t".into(), args: Some(args), name: Some(text.clone()), exception_message: Some(text), ..TaskObservation::default()
        });
        let frame = format!(r#"{{"type":"event_batch","seq":1,"events":[{}]}}"#, redactor(Strings::Default).encode(&observation));
        let Ok(AgentFrame::EventBatch(batch)) = AgentFrame::parse(&frame) else { panic!("{frame}") };
        prop_assert!(batch.events[0].is_ok());
    }
}
