//! `POST commands`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;

use super::arguments;
use crate::api::Problem;
use crate::api::extract::Body;
use crate::api::types::{Command, NewCommand};
use crate::auth::RequireOperator;
use crate::brain::Brain;
use crate::commands::CommandRequest;

/// Longest idempotency key, in bytes.
const MAX_KEY_BYTES: usize = 200;

/// Give a command
///
/// Answers at once with the command's row, which may have failed already, for instance because no agent is connected. What
/// comes of it shows under `commands/{id}?wait=10` and in the live stream. Every command is executed at most once.
///
/// | cmd | args | result |
/// | --- | --- | --- |
/// | `retry_task` | `engine`, `task_id`, `override`? (`args`, `kwargs`, `queue`, `eta`) | `new_task_id` |
/// | `cancel_task` | `engine`, `task_id`, `terminate`?, `signal`? | `state` |
/// | `bulk_retry` | `engine`, `task_ids` (1 to 1,000) | `retried`, `failed` |
/// | `preview_retry` | `engine`, `task_ids` (1 to 1,000), `override`? | `previews`, `failed`; publishes nothing |
/// | `query_state` | `engine`, `task_ids` (1 to 1,000) | by task id: `state`, `known_by`?, `evidence`, and what was found |
/// | `worker_control` | `engine`, `action`, `worker`? or `workers`?, and by action `n`, `task_name` and `rate`, or `queue` | `replies`, `silent` |
/// | `purge_queue` | `engine`, `queue` | `purged` |
/// | `schedule_create` | `scheduler`, `schedule` (`name`, `task`, `kind`, `expression`, and more) | `schedule` |
/// | `schedule_update` | `scheduler`, `id`, `schedule` (what changes) | `schedule` |
/// | `schedule_delete` | `scheduler`, `id` | |
/// | `schedule_pause` | `scheduler`, `id`, `paused`? (false resumes) | `schedule` |
/// | `schedule_run_now` | `scheduler`, `id` | |
/// | `restart_agent` | none; needs `agent` | |
#[utoipa::path(
    post,
    path = "/api/v1/projects/{project}/commands",
    operation_id = "create_command",
    tag = "commands",
    params(("project" = String, Path)),
    request_body = NewCommand,
    responses((status = 202, description = "The command as it now stands", body = Command))
)]
pub(in crate::api) async fn create(
    access: RequireOperator,
    State(brain): State<Brain>,
    Body(new): Body<NewCommand>,
) -> Result<(StatusCode, Json<Command>), Problem> {
    arguments::check(&new)?;
    if new.idempotency_key.as_ref().is_some_and(|key| key.is_empty() || key.len() > MAX_KEY_BYTES) {
        let detail = format!("idempotency_key must have 1 to {MAX_KEY_BYTES} bytes.");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail));
    }
    let request = CommandRequest {
        project: access.project.id,
        cmd: new.cmd,
        args: Value::Object(new.args),
        agent: new.agent,
        idempotency_key: new.idempotency_key,
        created_by: access.actor(),
    };
    let command = brain.commands.submit(request).await?;
    Ok((StatusCode::ACCEPTED, Json(command.into())))
}
