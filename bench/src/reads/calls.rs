//! What is called.

use std::rc::Rc;

use anyhow::Result;
use fastrand::Rng;
use taskplane_model::time::{DAY, MINUTE};
use taskplane_model::{TaskState, Timestamp};

use super::Reader;
use super::check::Expect;
use super::filter::Filter;
use crate::fill::manifest::Manifest;
use crate::fill::vocabulary::{ABSENT_WORD, COMMON_WORD, QUEUES, RARE_PHRASE, RARE_WORD, RARE_WORKER};

/// A kind of call.
pub(crate) struct Call {
    pub(crate) label: String,
    pub(crate) make: Box<dyn Fn(&mut Rng) -> Ask>,
}

/// One call.
pub(crate) struct Ask {
    pub(crate) path: String,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) expect: Expect,
}

type Make<T> = Rc<dyn Fn(&mut Rng) -> T>;
type MakeFilter = Box<dyn Fn(&mut Rng, &Manifest) -> Filter>;

/// Every kind of call.
pub(crate) async fn all(reader: &Reader, manifest: &Manifest) -> Result<Vec<Call>> {
    let manifest = Rc::new(manifest.clone());
    let mut calls = Vec::new();
    for (label, filter) in filters(&manifest) {
        let of_list = Rc::clone(&filter);
        calls.push(call(format!("list {label}"), move |random| {
            let filter = of_list(random);
            Ask { path: "tasks".into(), query: filter.query(), expect: Expect::Tasks(filter) }
        }));
        calls.push(call(format!("count {label}"), move |random| {
            let filter = filter(random);
            Ask { path: "task-counts".into(), query: filter.query(), expect: Expect::Counts(filter) }
        }));
    }
    for page in [2, 50] {
        let cursors = cursors(reader, &manifest, page).await?;
        calls.push(call(format!("list page {page}"), move |random| {
            let cursor = random.choice(&cursors).cloned().unwrap_or_default();
            let expect = Expect::Tasks(Filter::default());
            Ask { path: "tasks".into(), query: vec![("cursor", cursor)], expect }
        }));
    }
    calls.extend(of_one_task(&manifest));
    calls.extend(of_statistics(&manifest));
    for path in ["agents", "workers", "queues"] {
        let least = if path == "agents" { 16 } else { 0 };
        calls.push(call(path.to_owned(), move |_| ask(path, Expect::Items(least))));
    }
    for path in ["schedules", "quarantine", "commands", "audit"] {
        calls.push(call(path.to_owned(), move |_| ask(path, Expect::Items(0))));
    }
    Ok(calls)
}

fn call(label: String, make: impl Fn(&mut Rng) -> Ask + 'static) -> Call {
    Call { label, make: Box::new(make) }
}

fn ask(path: impl Into<String>, expect: Expect) -> Ask {
    Ask { path: path.into(), query: Vec::new(), expect }
}

/// The filters, each for lists and for counts.
fn filters(manifest: &Rc<Manifest>) -> Vec<(String, Make<Filter>)> {
    let mut filters: Vec<(String, Make<Filter>)> = Vec::new();
    let until = Some(manifest.until());
    let mut add = |label: &str, make: MakeFilter| {
        let manifest = Rc::clone(manifest);
        filters.push((label.to_owned(), Rc::new(move |random: &mut Rng| make(random, &manifest))));
    };
    add("newest", Box::new(|_, _| Filter::default()));
    for state in TaskState::ALL {
        let filter = Filter { state: Some(state), until, ..Filter::default() };
        add(&format!("state={}", state.name()), Box::new(move |_, _| filter.clone()));
    }
    add("state=failed, until any time", {
        Box::new(|random, m| Filter {
            state: Some(TaskState::Failed),
            until: Some(instant(random, m)),
            ..Filter::default()
        })
    });
    add(
        "name, common",
        Box::new(move |random, m| Filter { name: Some(name(random, m, 0, 10)), until, ..Filter::default() }),
    );
    add(
        "name, rare",
        Box::new(move |random, m| Filter { name: Some(name(random, m, 150, 200)), until, ..Filter::default() }),
    );
    let areas = ["billing.*", "orders.*", "search.*", "exports.*"];
    add("name prefix", {
        Box::new(move |random, _| Filter { name: random.choice(areas).map(str::to_owned), until, ..Filter::default() })
    });
    add("queue, common", {
        Box::new(move |random, _| Filter {
            queue: random.choice(&QUEUES[..8]).map(|&queue| queue.to_owned()),
            until,
            ..Filter::default()
        })
    });
    let rare_queue = QUEUES[QUEUES.len() - 1];
    add("queue, rare", Box::new(move |_, _| Filter { queue: Some(rare_queue.into()), until, ..Filter::default() }));
    add("queue, unknown", Box::new(|_, _| Filter { queue: Some("no-such-queue".into()), ..Filter::default() }));
    add("worker, common", {
        Box::new(move |random, m| Filter { worker: Some(worker(random, m)), until, ..Filter::default() })
    });
    add("worker, rare", Box::new(move |_, _| Filter { worker: Some(RARE_WORKER.into()), until, ..Filter::default() }));
    let failed = Some(TaskState::Failed);
    add("state=failed, name", {
        Box::new(move |random, m| Filter {
            state: failed,
            name: Some(name(random, m, 0, 200)),
            until,
            ..Filter::default()
        })
    });
    add("state=failed, queue", {
        Box::new(move |random, _| Filter {
            state: failed,
            queue: random.choice(QUEUES).map(str::to_owned),
            until,
            ..Filter::default()
        })
    });
    add("state=failed, worker", {
        Box::new(move |random, m| Filter { state: failed, worker: Some(worker(random, m)), until, ..Filter::default() })
    });
    add("a minute", Box::new(|random, m| window(random, m, MINUTE)));
    add("an hour", Box::new(|random, m| window(random, m, 60 * MINUTE)));
    add("an hour, name", {
        Box::new(|random, m| Filter { name: Some(name(random, m, 0, 50)), ..window(random, m, 60 * MINUTE) })
    });
    texts(&mut add);
    filters
}

type Add<'a> = dyn FnMut(&str, MakeFilter) + 'a;

/// Filters of the search box.
fn texts(add: &mut Add<'_>) {
    let fixed = |q: &str, text: &str| {
        let filter = Filter { q: Some(q.to_owned()), text: Some(text.to_owned()), ..Filter::default() };
        Box::new(move |_: &mut Rng, _: &Manifest| filter.clone())
    };
    add("q=id:…", Box::new(|random, m| by_id(random, m, "id:")));
    add("q=a pasted id", Box::new(|random, m| by_id(random, m, "")));
    add("q=common word", fixed(COMMON_WORD, COMMON_WORD));
    add("q=rare word", fixed(RARE_WORD, RARE_WORD));
    add("q=absent word", fixed(ABSENT_WORD, ABSENT_WORD));
    add("q=rare phrase", fixed(&format!("\"{RARE_PHRASE}\""), RARE_PHRASE));
    add("q=common phrase", fixed("\"card declined by\"", "card declined by"));
    add("q=state:failed common word", fixed(&format!("state:failed {COMMON_WORD}"), COMMON_WORD));
    add("q=an order number", {
        Box::new(|random, m| {
            let order = sample(random, m).1;
            Filter { text: Some(order.to_lowercase()), q: Some(order), ..Filter::default() }
        })
    });
    add("q=inside an order number", {
        Box::new(|random, m| {
            let digits = sample(random, m).1.split_off(5);
            Filter { text: Some(digits.clone()), q: Some(digits), ..Filter::default() }
        })
    });
    add("q=arg:currency=EUR", fixed("arg:currency=EUR", "eur"));
    add("q=arg:, absent", fixed("arg:currency=XXX", "xxx"));
}

fn by_id(random: &mut Rng, manifest: &Manifest, key: &str) -> Filter {
    let id = sample(random, manifest).0;
    Filter { q: Some(format!("{key}{id}")), text: Some(id), ..Filter::default() }
}

/// Cursors of the `page`-th pages that begin at some instants.
async fn cursors(reader: &Reader, manifest: &Manifest, page: usize) -> Result<Vec<String>> {
    let mut random = Rng::with_seed(page as u64);
    let mut cursors = Vec::new();
    for _ in 0..5 {
        let until = instant(&mut random, manifest);
        let mut cursor = None;
        for _ in 1..page {
            let mut query = vec![("until", until.to_string())];
            query.extend(cursor.map(|cursor| ("cursor", cursor)));
            let body = reader.get("tasks", &query).await?.body;
            cursor = body["next_cursor"].as_str().map(str::to_owned);
        }
        cursors.extend(cursor);
    }
    Ok(cursors)
}

fn of_one_task(manifest: &Rc<Manifest>) -> Vec<Call> {
    let of_sample = |suffix: &'static str, expect: fn(String) -> Expect| {
        let manifest = Rc::clone(manifest);
        move |random: &mut Rng| {
            let id = sample(random, &manifest).0;
            ask(format!("tasks/celery/{id}{suffix}"), expect(id))
        }
    };
    let of_workflow = |large: bool| {
        let manifest = Rc::clone(manifest);
        let most = manifest.workflows.first().map_or(0, |(_, size)| *size);
        move |random: &mut Rng| {
            let fitting: Vec<_> = manifest.workflows.iter().filter(|(_, size)| (*size == most) == large).collect();
            let (root, size) = random.choice(fitting).cloned().unwrap_or_default();
            ask(format!("tasks/celery/{root}/tree"), Expect::Items((size / 2).min(500) as usize))
        }
    };
    vec![
        call("task".into(), of_sample("", Expect::Task)),
        call("task, unknown".into(), |random| {
            let id = uuid::Builder::from_random_bytes(random.u128(..).to_le_bytes()).into_uuid();
            ask(format!("tasks/celery/{id}"), Expect::Nothing)
        }),
        call("events".into(), of_sample("/events", |_| Expect::Items(1))),
        call("tree of one".into(), of_sample("/tree", |_| Expect::Items(1))),
        call("tree".into(), of_workflow(false)),
        call("tree, largest".into(), of_workflow(true)),
    ]
}

fn of_statistics(manifest: &Rc<Manifest>) -> Vec<Call> {
    let mut calls = Vec::new();
    for (label, time) in [("1h", 60 * MINUTE), ("24h", DAY), ("7d", 7 * DAY), ("30d", 30 * DAY)] {
        let since = Timestamp(manifest.until - time).to_string();
        let until = manifest.until().to_string();
        let window = vec![("since", since), ("until", until)];
        for path in ["stats", "task-types"] {
            let window = window.clone();
            let make = move |_: &mut Rng| Ask { query: window.clone(), ..ask(path, Expect::Items(1)) };
            calls.push(call(format!("{path} {label}"), make));
        }
        let (of_name, names) = (window.clone(), Rc::clone(manifest));
        calls.push(call(format!("stats {label}, name"), move |random| {
            let mut query = of_name.clone();
            query.push(("name", name(random, &names, 0, 200)));
            Ask { query, ..ask("stats", Expect::Items(1)) }
        }));
        calls.push(call(format!("stats {label}, queue"), move |random| {
            let mut query = window.clone();
            query.extend(random.choice(QUEUES).map(|queue| ("queue", queue.to_owned())));
            Ask { query, ..ask("stats", Expect::Items(1)) }
        }));
    }
    calls
}

/// Id and order number of a task.
fn sample(random: &mut Rng, manifest: &Manifest) -> (String, String) {
    random.choice(&manifest.samples).map(|sample| (sample.task_id.clone(), sample.order.clone())).unwrap_or_default()
}

/// A task type by its rank.
fn name(random: &mut Rng, manifest: &Manifest, from: usize, until: usize) -> String {
    random.choice(&manifest.names[from..until]).map(|name| name.name.clone()).unwrap_or_default()
}

fn worker(random: &mut Rng, manifest: &Manifest) -> String {
    random.choice(&manifest.workers).map(|worker| worker.name.clone()).unwrap_or_default()
}

fn instant(random: &mut Rng, manifest: &Manifest) -> Timestamp {
    let first = manifest.from + (manifest.until - manifest.from) / 20;
    Timestamp(random.i64(first..manifest.until))
}

fn window(random: &mut Rng, manifest: &Manifest, length: i64) -> Filter {
    let until = instant(random, manifest);
    Filter { since: Some(until.plus(-length)), until: Some(until), ..Filter::default() }
}
