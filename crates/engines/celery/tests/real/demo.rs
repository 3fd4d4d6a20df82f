//! The shop of `demo/`, as it is, with an agent beside it.

use std::collections::{BTreeMap, BTreeSet};

use taskplane_model::TaskEventKind;

use crate::harness::{Agent, Redis, eventually, shop};

#[tokio::test]
async fn the_shop_is_observed_without_any_change_to_it() {
    let redis = Redis::start().await;
    let queues = ["-Q", "default,emails,payments,reports"];
    let worker = ["-m", "celery", "-A", "shop.app:app", "worker", "--concurrency", "2", "-n", "shop@test"];
    let _worker = shop(&redis, &[&worker[..], &queues[..]].concat());
    let agent = Agent::start(&redis).await;
    agent.knows("shop@test").await;
    let _traffic = shop(&redis, &["-m", "shop.traffic", "--rate", "10", "--seed", "7"]);

    let declined = eventually("a declined card", || {
        agent
            .tasks()
            .into_iter()
            .find(|t| t.kind == TaskEventKind::Failed && t.name.as_deref() == Some("billing.charge"))
    })
    .await;
    assert_eq!(declined.exception.as_deref(), Some("CardDeclinedError"));
    eventually("a receipt that is sent again", || {
        agent
            .tasks()
            .into_iter()
            .find(|t| t.kind == TaskEventKind::Retry && t.name.as_deref() == Some("emails.send_receipt"))
    })
    .await;
    eventually("every queue of every task", || {
        let mut queues: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for task in agent.tasks() {
            // Of some, nothing but the result may have been seen.
            let Some(name) = task.name else { continue };
            queues.entry(name).or_default().extend(task.queue);
        }
        let known = |name: &str, queue: &str| queues.get(name).is_some_and(|q| q.len() == 1 && q.contains(queue));
        let placed = known("orders.place", "default") && known("inventory.reserve", "default");
        (placed && known("billing.charge", "payments") && known("emails.send_receipt", "emails")).then_some(())
    })
    .await;
}
