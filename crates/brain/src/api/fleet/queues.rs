//! `GET queues`.

use axum::Json;
use axum::extract::State;

use crate::api::Problem;
use crate::api::types::{Queue, QueuePage};
use crate::auth::RequireViewer;
use crate::brain::Brain;

/// Queues
///
/// All of them, by name, as they were last sampled.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/queues",
    operation_id = "list_queues",
    tag = "fleet",
    params(("project" = String, Path)),
    responses((status = 200, description = "All queues", body = QueuePage))
)]
pub(in crate::api) async fn queues(
    access: RequireViewer,
    State(brain): State<Brain>,
) -> Result<Json<QueuePage>, Problem> {
    let queues = brain.store.queues(access.project.id).await?;
    let items = queues.into_iter().map(|(queue, agent)| Queue::new(queue, Some(agent))).collect();
    Ok(Json(QueuePage { items, next_cursor: None }))
}
