//! Bulk jobs.

pub(super) mod change;
pub(super) mod create;
mod dry_run;
pub(super) mod get;
pub(super) mod items;
pub(super) mod list;

use serde::Deserialize;

use super::Problem;

#[derive(Deserialize)]
pub(in crate::api) struct JobPath {
    id: String,
}

fn not_found(id: &str) -> Problem {
    Problem::not_found("bulk job", format!("There is no bulk job with the id {id}."))
}
