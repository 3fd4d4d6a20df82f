//! Arguments of `worker_control`.

use serde_json::Value;
use taskplane_protocol::limits::MAX_NAME_BYTES;

use super::Args;
use crate::engine::{CommandError, WorkerAction, WorkerControlRequest};

/// Most workers named in one order.
const MAX_WORKERS: usize = 1_000;
/// Most processes or threads that a pool grows or shrinks by at once.
const MAX_STEP: u64 = 1_000;

impl Args<'_> {
    pub(in crate::dispatch) fn worker_control(&self) -> Result<WorkerControlRequest, CommandError> {
        let action = self.action()?;
        let workers = self.workers()?;
        // Left out by mistake, a name must not become an order to everybody.
        let needs_names =
            matches!(action, WorkerAction::Shutdown | WorkerAction::PoolGrow(_) | WorkerAction::PoolShrink(_));
        if needs_names && workers.is_empty() {
            return Err(self.invalid("workers", "the names of workers: this is never ordered of all of them"));
        }
        Ok(WorkerControlRequest { workers, action })
    }

    fn action(&self) -> Result<WorkerAction, CommandError> {
        let known = "ping, shutdown, pool_grow, pool_shrink, rate_limit, add_consumer or cancel_consumer";
        let needed = |field: &str, expected: &str| {
            let text = self.text(field, MAX_NAME_BYTES)?.map(str::to_owned);
            text.ok_or_else(|| self.invalid(field, expected))
        };
        let queue = || needed("queue", "the name of a queue");
        Ok(match self.text("action", MAX_NAME_BYTES)? {
            Some("ping") => WorkerAction::Ping,
            Some("shutdown") => WorkerAction::Shutdown,
            Some("pool_grow") => WorkerAction::PoolGrow(self.step()?),
            Some("pool_shrink") => WorkerAction::PoolShrink(self.step()?),
            Some("rate_limit") => WorkerAction::RateLimit {
                task_name: needed("task_name", "a task type")?,
                rate: needed("rate", "a rate")?,
            },
            Some("add_consumer") => WorkerAction::AddConsumer { queue: queue()? },
            Some("cancel_consumer") => WorkerAction::CancelConsumer { queue: queue()? },
            _ => return Err(self.invalid("action", known)),
        })
    }

    fn step(&self) -> Result<u32, CommandError> {
        let Some(n) = self.given("n") else { return Ok(1) };
        let step = n.as_u64().filter(|n| (1..=MAX_STEP).contains(n)).and_then(|n| u32::try_from(n).ok());
        step.ok_or_else(|| self.invalid("n", &format!("a number from 1 to {MAX_STEP}")))
    }

    /// Those of `worker` and `workers`, each once.
    fn workers(&self) -> Result<Vec<String>, CommandError> {
        let expected = || self.invalid("workers", &format!("an array of at most {MAX_WORKERS} names of workers"));
        let one = self.text("worker", MAX_NAME_BYTES)?.map(str::to_owned);
        let many = match self.given("workers") {
            None => Vec::new(),
            // Named, but empty: nobody was meant, and all must not be.
            Some(Value::Array(names)) if !names.is_empty() && names.len() <= MAX_WORKERS => {
                let name =
                    |name: &Value| name.as_str().filter(|n| (1..=MAX_NAME_BYTES).contains(&n.len())).map(str::to_owned);
                names.iter().map(name).collect::<Option<Vec<_>>>().ok_or_else(expected)?
            }
            Some(_) => return Err(expected()),
        };
        let mut names: Vec<String> = one.into_iter().chain(many).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(args: Value) -> Result<WorkerControlRequest, CommandError> {
        Args::new("worker_control", &args)?.worker_control()
    }

    #[test]
    fn orders_are_read() {
        let grow = read(json!({"action": "pool_grow", "worker": "a@h", "workers": ["b@h", "a@h"], "n": 3}));
        let workers = vec!["a@h".to_owned(), "b@h".to_owned()];
        assert_eq!(grow, Ok(WorkerControlRequest { workers, action: WorkerAction::PoolGrow(3) }));
        let ping = read(json!({"action": "ping"}));
        assert_eq!(ping, Ok(WorkerControlRequest { workers: vec![], action: WorkerAction::Ping }));
        let limit = read(json!({"action": "rate_limit", "task_name": "a.b", "rate": "10/m"}));
        let action = WorkerAction::RateLimit { task_name: "a.b".into(), rate: "10/m".into() };
        assert_eq!(limit.map(|order| order.action), Ok(action));
    }

    #[test]
    fn what_could_hit_the_wrong_workers_is_refused() {
        for args in [
            json!({}),
            json!({"action": "pool_restart", "worker": "a@h"}),
            json!({"action": "shutdown"}),
            json!({"action": "shutdown", "workers": []}),
            json!({"action": "ping", "workers": []}),
            json!({"action": "ping", "workers": ["a@h", 5]}),
            json!({"action": "pool_shrink", "workers": null}),
            json!({"action": "pool_grow", "worker": "a@h", "n": 0}),
            json!({"action": "pool_grow", "worker": "a@h", "n": -1}),
            json!({"action": "pool_grow", "worker": "a@h", "n": 1_000_000}),
            json!({"action": "rate_limit", "worker": "a@h", "rate": "1/s"}),
            json!({"action": "add_consumer", "worker": "a@h"}),
        ] {
            let refused = read(args.clone()).expect_err("must be refused");
            assert_eq!(refused.code(), "invalid_args", "{args}");
        }
    }
}
