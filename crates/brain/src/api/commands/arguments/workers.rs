//! What the arguments of `worker_control` must look like.

use serde_json::Value;
use taskplane_protocol::limits::MAX_NAME_BYTES;

use super::text_within;

/// Most workers named in one order.
const MAX_WORKERS: usize = 1_000;
/// Most that a pool grows or shrinks by at once.
const MAX_STEP: u64 = 1_000;
/// What workers can be told to do.
const ACTIONS: [&str; 7] =
    ["ping", "shutdown", "pool_grow", "pool_shrink", "rate_limit", "add_consumer", "cancel_consumer"];

pub(super) fn action(value: &Value) -> Result<(), String> {
    if value.as_str().is_some_and(|action| ACTIONS.contains(&action)) {
        return Ok(());
    }
    Err(format!("must be one of {}", ACTIONS.join(", ")))
}

pub(super) fn names(value: &Value) -> Result<(), String> {
    let names = value.as_array().ok_or("must be a list of names")?;
    if names.is_empty() || names.len() > MAX_WORKERS {
        return Err(format!("has {} names; it must have 1 to {MAX_WORKERS}", names.len()));
    }
    let name = |name: &Value| text_within(name.as_str().ok_or("is not a string")?, MAX_NAME_BYTES);
    names.iter().try_for_each(|worker| name(worker).map_err(|why| format!("holds a name that {why}")))
}

pub(super) fn step(value: &Value) -> Result<(), String> {
    match value.as_u64() {
        Some(1..=MAX_STEP) => Ok(()),
        _ => Err(format!("must be a number from 1 to {MAX_STEP}")),
    }
}
