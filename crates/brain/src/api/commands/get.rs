//! `GET commands/{id}`.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::Problem;
use crate::api::extract::{Named, Params};
use crate::api::types::Command;
use crate::auth::RequireViewer;
use crate::brain::Brain;

/// Longest wait, in seconds: proxies give up after 60.
const MAX_WAIT: u64 = 55;

#[derive(Deserialize)]
pub(in crate::api) struct CommandPath {
    id: String,
}

/// How long to wait.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct WaitParams {
    /// Answer when the command has ended, or after so many seconds (at most 55), whichever is first.
    #[param(maximum = 55, example = 10)]
    wait: Option<u64>,
}

/// One command
///
/// With `wait`, answers when it has ended.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/commands/{id}",
    operation_id = "get_command",
    tag = "commands",
    params(("project" = String, Path), ("id" = String, Path), WaitParams),
    responses((status = 200, description = "The command as it now stands", body = Command))
)]
pub(in crate::api) async fn get(
    access: RequireViewer,
    State(brain): State<Brain>,
    Named(CommandPath { id }): Named<CommandPath>,
    Params(WaitParams { wait }): Params<WaitParams>,
) -> Result<Json<Command>, Problem> {
    let wait = wait.unwrap_or(0);
    if wait > MAX_WAIT {
        let detail = format!("wait is {wait}; it must be from 0 to {MAX_WAIT} seconds.");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_wait", detail));
    }
    let command = tokio::select! {
        command = brain.commands.wait(access.project.id, &id, Duration::from_secs(wait)) => command?,
        // Nobody waits for a brain that stops.
        () = brain.stop.cancelled() => brain.store.command(access.project.id, &id).await?,
    };
    let not_found = || Problem::not_found("command", format!("There is no command with the id {id}."));
    command.map(|command| Json(command.into())).ok_or_else(not_found)
}
