//! The loops that observe: subscriptions feed one intake; remote control and queue sampling run beside them.

use std::{sync::Arc, time::Duration};

use taskplane_agent::engine::{Observation, Observer};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

#[cfg(feature = "database")]
use crate::database;
use crate::{
    backfill::backfill,
    broker::{BrokerError, Incoming, Subscription},
    clock::{self, Backoff},
    config::Watch,
    content::EnvelopeError,
    events::{self, Event},
    health::BrokerHealth,
    intake::{self, Intake},
    payloads::Record,
    prepare::prepare_workers,
    queues::Sampler,
    redis as redis_side,
    result_backend::ResultBackend,
    results::Meta,
    shared::{Shared, lock},
    told,
};

/// Messages that wait to be read. What comes beyond it from Redis is dropped, as Redis itself would do for a slow
/// reader; RabbitMQ keeps it for a while.
const MAX_INCOMING: usize = 8_192;
/// A result larger than this is not read.
const MAX_RESULT: usize = 4 << 20;
/// What may come up at any moment is looked for this often.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How often the intake looks for results that waited long enough and workers that fell silent.
const TICK: Duration = Duration::from_millis(100);

/// What the health of this deployment consists of.
pub(crate) fn parts(shared: &Shared) -> Vec<&'static str> {
    let polled = shared.results.as_ref().and_then(ResultBackend::polled).filter(|_| shared.watch == Watch::Everything);
    subscriptions(shared).iter().map(Subscription::part).chain(["queues"]).chain(polled).collect()
}

/// Observes until `stop`.
pub(crate) async fn observe(shared: Arc<Shared>, observer: Observer, health: BrokerHealth, stop: CancellationToken) {
    *lock(&shared.observer) = Some(observer.clone());
    let (incoming, intake) = mpsc::channel(MAX_INCOMING);
    *lock(&shared.incoming) = Some(incoming.clone());
    let (failed, records) = mpsc::channel(64);
    let subscriptions = subscriptions(&shared);
    let mut loops = JoinSet::new();
    for subscription in subscriptions {
        loops.spawn(listen(Arc::clone(&shared), subscription, incoming.clone(), health.clone(), stop.clone()));
    }
    // Where the application tells of its tasks, this tells of what commands have found out.
    loops.spawn(take_in(Arc::clone(&shared), intake, failed, observer.clone(), stop.clone()));
    loops.spawn(keep(Arc::clone(&shared), records));
    loops.spawn(prepare_workers(Arc::clone(&shared), observer.clone(), health.clone(), stop.clone()));
    match shared.watch {
        Watch::Everything => {
            #[cfg(feature = "database")]
            if let Some(ResultBackend::Database(results)) = &shared.results {
                let (shared, results) = (Arc::clone(&shared), Arc::clone(results));
                loops.spawn(database::follow(shared, results, incoming.clone(), health.clone(), stop.clone()));
            }
            loops.spawn(backfill(Arc::clone(&shared), incoming, stop.clone()));
        }
        Watch::Queues => drop(loops.spawn(told::keep_all(Arc::clone(&shared), stop.clone()))),
    }
    loops.spawn(sample(Arc::clone(&shared), observer, health, stop));
    while loops.join_next().await.is_some() {}
    *lock(&shared.incoming) = None;
    *lock(&shared.observer) = None;
}

/// What is listened to: the broker, and the result backend where that is another server.
fn subscriptions(shared: &Shared) -> Vec<Subscription> {
    if shared.watch == Watch::Queues {
        return Vec::new();
    }
    let results = shared.results.as_ref().and_then(ResultBackend::redis);
    let mut subscriptions = vec![shared.broker.events(results.map(Arc::as_ref))];
    if let Some(results) = results.filter(|results| !shared.broker.publishes_results_of(results)) {
        subscriptions.push(Subscription::Redis(redis_side::Subscription::results(results)));
    }
    subscriptions
}

/// Keeps a subscription up.
async fn listen(
    shared: Arc<Shared>,
    subscription: Subscription,
    incoming: mpsc::Sender<Incoming>,
    health: BrokerHealth,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::new(shared.timings.reconnect);
    while !stop.is_cancelled() {
        let mut since = None;
        let deliver = subscription.deliver(&incoming, async || {
            since = Some(Instant::now());
            health.ok(subscription.part()).await;
            // Workers that came while nobody listened still have to be asked for their events.
            shared.fresh_worker.notify_one();
        });
        let Some(error) = stop.run_until_cancelled(deliver).await else { return };
        if error.is_not_yet() {
            health.down(subscription.part(), error.to_string()).await;
            stop.run_until_cancelled(sleep(LOOK_AGAIN.min(shared.timings.reconnect.1))).await;
            backoff.reset();
            continue;
        }
        if since.is_some_and(|since| since.elapsed() > Duration::from_secs(60)) {
            backoff.reset();
        }
        tracing::warn!(part = subscription.part(), error = %error, "subscription lost, connecting again");
        health.down(subscription.part(), error.to_string()).await;
        stop.run_until_cancelled(sleep(backoff.next())).await;
    }
}

/// Reads what is published and tells of it.
async fn take_in(
    shared: Arc<Shared>,
    mut incoming: mpsc::Receiver<Incoming>,
    failed: mpsc::Sender<Vec<Record>>,
    observer: Observer,
    stop: CancellationToken,
) {
    let mut intake = Intake::new(shared.timings.result_hold, clock::now());
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch = Vec::new();
    loop {
        let told = tokio::select! {
            () = stop.cancelled() => break,
            count = incoming.recv_many(&mut batch, 256) => {
                if count == 0 {
                    break;
                }
                read_batch(&shared, &mut intake, batch.drain(..))
            }
            _ = tick.tick() => overdue(&shared, &mut intake).await,
        };
        for observation in told {
            // The agent's buffer may be behind, but stopping must not wait for it.
            if stop.run_until_cancelled(observer.record(observation)).await.is_none() {
                return;
            }
        }
        if !intake.failed.is_empty() {
            // When the disk is behind, losing some arguments is better than losing events.
            let _ = failed.try_send(std::mem::take(&mut intake.failed));
        }
    }
}

fn read_batch(shared: &Shared, intake: &mut Intake, batch: impl Iterator<Item = Incoming>) -> Vec<Observation> {
    let (now, at) = (clock::now(), std::time::Instant::now());
    let mut told = Vec::new();
    for message in batch {
        match message {
            Incoming::Envelope(raw) => told.extend(take_events(shared, intake, events::parse(&raw, now), at)),
            Incoming::Content(content) => {
                told.extend(take_events(shared, intake, events::read_content(&content, now), at));
            }
            Incoming::Result(raw) => take_result(intake, &raw, at, |meta| meta),
            Incoming::StoredResult(raw) => take_result(intake, &raw, at, Meta::stored),
        }
    }
    told
}

fn take_result(intake: &mut Intake, raw: &[u8], at: std::time::Instant, mark: impl FnOnce(Meta) -> Meta) {
    if raw.len() <= MAX_RESULT
        && let Some(meta) = Meta::parse(raw)
    {
        intake.result(mark(meta), raw.len(), at);
    }
}

fn take_events(
    shared: &Shared,
    intake: &mut Intake,
    events: Result<Vec<Event>, EnvelopeError>,
    at: std::time::Instant,
) -> Vec<Observation> {
    match events {
        Ok(events) => events.into_iter().filter_map(|event| take_event(shared, intake, event, at)).collect(),
        Err(error) => {
            tracing::debug!(%error, "an event was not understood");
            Vec::new()
        }
    }
}

fn take_event(shared: &Shared, intake: &mut Intake, event: Event, at: std::time::Instant) -> Option<Observation> {
    let mut workers = lock(&shared.workers);
    match event {
        Event::Task(event) => {
            if let Some(worker) = &event.seen.worker
                && workers.touch(worker, event.ts, at)
            {
                shared.fresh_worker.notify_one();
            }
            intake.event(*event, &mut lock(&shared.tracker), &workers)
        }
        Event::Worker(event) => {
            let verdict = workers.sign(*event, at, &shared.timings);
            if verdict.fresh {
                shared.fresh_worker.notify_one();
            }
            verdict.told.map(intake::worker)
        }
    }
}

/// Results that waited in vain for their event, and workers that fell silent.
async fn overdue(shared: &Shared, intake: &mut Intake) -> Vec<Observation> {
    let now = clock::now();
    let silent = lock(&shared.workers).silent(now, std::time::Instant::now(), &shared.timings);
    // What a worker says of itself it says to whoever it tells of its tasks.
    let is_ours_to_tell = shared.watch == Watch::Everything;
    let mut told: Vec<Observation> = silent.into_iter().filter(|_| is_ours_to_tell).map(intake::worker).collect();
    let overdue = intake.overdue(std::time::Instant::now());
    let ours = ours(shared, overdue).await;
    // Always in this order: workers, then tracker.
    let workers = lock(&shared.workers);
    let mut tracker = lock(&shared.tracker);
    told.extend(ours.iter().filter_map(|meta| intake.alone(meta, now, &mut tracker, &workers)));
    told
}

/// Leaves out results of other applications: channels know no databases, so that those of all databases of the server
/// arrive here. A result of a task never heard of counts only when it lies in our database.
async fn ours(shared: &Shared, metas: Vec<Meta>) -> Vec<Meta> {
    let Some(backend) = shared.results.as_ref().and_then(ResultBackend::redis) else { return metas };
    let known: Vec<bool> = {
        let tracker = lock(&shared.tracker);
        metas.iter().map(|meta| tracker.contains(&meta.task_id)).collect()
    };
    let strangers: Vec<String> =
        metas.iter().zip(&known).filter(|(_, known)| !**known).map(|(meta, _)| backend.key(&meta.task_id)).collect();
    let mut stored = Vec::with_capacity(strangers.len());
    for keys in strangers.chunks(500) {
        let exists: Result<Vec<bool>, BrokerError> = backend
            .link
            .run(&backend.right(), async |c| {
                let mut pipe = redis::pipe();
                for key in keys {
                    pipe.exists(key);
                }
                pipe.query_async(c).await
            })
            .await;
        // When that cannot be asked, a task too many is better than one too few.
        stored.extend(exists.unwrap_or_else(|_| vec![true; keys.len()]));
    }
    let mut stored = stored.into_iter();
    let keep = known.into_iter().map(|known| known || stored.next().unwrap_or(true));
    metas.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(meta, _)| meta).collect()
}

/// Writes the arguments of failed tasks to the payload store, off the async threads.
async fn keep(shared: Arc<Shared>, mut records: mpsc::Receiver<Vec<Record>>) {
    let mut complained = false;
    while let Some(batch) = records.recv().await {
        let payloads = Arc::clone(&shared.payloads);
        let written = tokio::task::spawn_blocking(move || {
            let mut store = lock(&payloads);
            batch.into_iter().try_for_each(|record| store.put(record, clock::now()))
        });
        if let Ok(Err(error)) = written.await
            && !std::mem::replace(&mut complained, true)
        {
            tracing::warn!(error = %error.kind(), "the arguments of failed tasks cannot be kept: retrying them may not be possible");
        }
    }
}

/// Samples the queues.
async fn sample(shared: Arc<Shared>, observer: Observer, health: BrokerHealth, stop: CancellationToken) {
    let mut sampler = Sampler::new(Arc::clone(&shared));
    let mut tick = interval(shared.timings.sample_every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let Some(sampled) = stop.run_until_cancelled(sampler.sample()).await else { return };
        match sampled {
            Ok(told) => {
                match sampler.mismatch() {
                    None => health.ok("queues").await,
                    Some(error) => health.down("queues", error.to_string()).await,
                }
                for observation in told {
                    if stop.run_until_cancelled(observer.record(observation)).await.is_none() {
                        return;
                    }
                }
            }
            Err(error) => health.down("queues", error.to_string()).await,
        }
    }
}
