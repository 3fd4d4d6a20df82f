//! `POST bulk`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use taskplane_model::bulk::{self, BulkChange, BulkOptions, MAX_CANARY, MAX_RATE};
use taskplane_model::{TaskState, Timestamp};
use taskplane_protocol::limits::MAX_TASK_ID_BYTES;
use taskplane_store::access::NewAudit;

use super::dry_run::dry_run;
use crate::api::Problem;
use crate::api::extract::Body;
use crate::api::tasks::FilterParams;
use crate::api::types::{BulkDryRun, BulkFilter, BulkJob, NewBulkJob};
use crate::auth::RequireOperator;
use crate::brain::Brain;
use crate::bulk::{Resolved, Wanted, resolve, tell};
use crate::clock;

/// Longest idempotency key, in bytes.
const MAX_KEY_BYTES: usize = 200;
/// Most ids of a selection.
const MAX_IDS: usize = 1_000;
/// Limit of failures of a job with a canary that says none.
const CANARY_LIMIT: u8 = 50;
/// Tasks that are noted in one transaction.
const NOTED_AT_ONCE: usize = 1_000;

/// Retry many tasks
///
/// With `dry_run`, says what would be done: how many tasks, of which types, and what can and cannot be retried and why; agents are asked
/// what they know of the original arguments. Without, makes a job of the tasks that the filter means now, at most the newest
/// 100,000, and answers with it. No task is retried twice: what was retried before, or is in another job, is left out.
#[utoipa::path(
    post,
    path = "/api/v1/projects/{project}/bulk",
    operation_id = "create_bulk_job",
    tag = "commands",
    params(("project" = String, Path)),
    request_body = NewBulkJob,
    responses(
        (status = 200, description = "What would be done", body = BulkDryRun),
        (status = 202, description = "The job as it now stands", body = BulkJob)
    )
)]
pub(in crate::api) async fn create(
    access: RequireOperator,
    State(brain): State<Brain>,
    Body(new): Body<NewBulkJob>,
) -> Result<Response, Problem> {
    let now = clock::now();
    let include = check(&new)?;
    let mut filter = FilterParams::from(new.filter.clone()).filter(now)?;
    if let Some(ids) = &new.filter.ids {
        if !filter.ids.is_empty() {
            let detail = "filter.q names tasks by id, and so does filter.ids: give one of them.";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail));
        }
        filter.ids.clone_from(ids);
    }
    if let Some(key) = new.idempotency_key.as_deref().filter(|_| !new.dry_run)
        && let Some(job) = brain.store.bulk_job_with_key(access.project.id, key).await?
    {
        return Ok((StatusCode::ACCEPTED, Json(BulkJob::from(job))).into_response());
    }
    let wanted = Wanted { project: access.project.id, filter, include, now };
    let turn = brain.resolving.acquire().await.map_err(|error| Problem::internal(&error))?;
    let resolved = resolve(&*brain.store, wanted).await?;
    drop(turn);
    if new.dry_run {
        let found = dry_run(&brain, access.project.id, &access.actor(), resolved).await?;
        return Ok(Json(found).into_response());
    }
    let found = resolved.items.len() as u64;
    if let Some(expected) = new.expected_count.filter(|expected| *expected != found) {
        let detail = format!("{found} tasks can be retried now, not {expected}. Look again, and ask for that many.");
        return Err(Problem::new(StatusCode::CONFLICT, "count_changed", detail));
    }
    let job = make(&brain, &access, new, resolved, now).await?;
    Ok((StatusCode::ACCEPTED, Json(BulkJob::from(job))).into_response())
}

async fn make(
    brain: &Brain,
    access: &RequireOperator,
    new: NewBulkJob,
    resolved: Resolved,
    now: Timestamp,
) -> Result<bulk::BulkJob, Problem> {
    let (project, actor) = (access.project.id, access.actor());
    let limit = new.stop_above_percent.or_else(|| new.canary.filter(|canary| *canary > 0).map(|_| CANARY_LIMIT));
    let options = BulkOptions {
        canary: new.canary.unwrap_or(0),
        rate_per_minute: new.rate_per_minute,
        stop_above_percent: limit,
    };
    let id = uuid::Uuid::now_v7().to_string();
    let picked = new.filter.ids.as_ref().map(Vec::len);
    // The ids of a selection are those of the job's tasks: once is enough.
    let filter = BulkFilter { ids: None, ..new.filter };
    let mut filter = serde_json::to_value(filter).unwrap_or_default();
    if let Some(fields) = filter.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
        fields.extend(picked.map(|picked| ("picked".to_owned(), picked.into())));
    }
    let job = bulk::BulkJob {
        filter,
        include: new.include,
        left_out: resolved.left_out,
        truncated: resolved.truncated,
        lanes: resolved.lanes,
        ..bulk::BulkJob::new(id, project, actor.clone(), options, now)
    };
    let audit = NewAudit {
        actor,
        action: "create_bulk_job".to_owned(),
        target: Some(job.id.clone()),
        detail: Some(
            serde_json::json!({"cmd": "retry", "filter": job.filter, "tasks": resolved.items.len()}).to_string(),
        ),
    };
    let (job, is_new) = brain.store.create_bulk_job(job, new.idempotency_key, audit).await?;
    if !is_new {
        return Ok(job);
    }
    let mut items = resolved.items;
    while !items.is_empty() {
        let rest = items.split_off(items.len().min(NOTED_AT_ONCE));
        if !brain.store.add_bulk_items(project, &job.id, std::mem::replace(&mut items, rest)).await? {
            break;
        }
    }
    let begun = brain.store.change_bulk_job(project, &job.id, BulkChange::Begin, None, clock::now()).await?;
    let job = begun.map_or(job, |(job, _)| job);
    tell(brain, &job);
    Ok(job)
}

/// Checks what the types do not say. Returns the states that are retried, too.
fn check(new: &NewBulkJob) -> Result<Vec<TaskState>, Problem> {
    let refuse = |code, detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
    if new.cmd != "retry" {
        let detail = format!("There is no bulk command \"{}\"; there is retry.", new.cmd);
        return Err(Problem::new(StatusCode::BAD_REQUEST, "unknown_command", detail));
    }
    let within = |name: &str, value: Option<u32>, least: u32, most: u32| match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(refuse("invalid_body", format!("{name} is {value}; it must be from {least} to {most}.")))
        }
        _ => Ok(()),
    };
    within("canary", new.canary, 0, MAX_CANARY)?;
    within("rate_per_minute", new.rate_per_minute, 1, MAX_RATE)?;
    within("stop_above_percent", new.stop_above_percent.map(u32::from), 0, 100)?;
    if new.idempotency_key.as_ref().is_some_and(|key| key.is_empty() || key.len() > MAX_KEY_BYTES) {
        return Err(refuse("invalid_body", format!("idempotency_key must have 1 to {MAX_KEY_BYTES} bytes.")));
    }
    let is_id = |id: &String| (1..=MAX_TASK_ID_BYTES).contains(&id.len());
    if new.filter.ids.as_ref().is_some_and(|ids| !(1..=MAX_IDS).contains(&ids.len()) || !ids.iter().all(is_id)) {
        let detail = format!("filter.ids must have 1 to {MAX_IDS} ids of 1 to {MAX_TASK_ID_BYTES} bytes.");
        return Err(refuse("invalid_body", detail));
    }
    let state = |name: &String| {
        let unknown = || refuse("invalid_body", format!("include holds \"{name}\", which is no state of a task."));
        TaskState::from_name(name).ok_or_else(unknown)
    };
    new.include.iter().take(TaskState::ALL.len()).map(state).collect()
}
