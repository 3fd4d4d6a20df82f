//! `GET commands`.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use taskplane_store::commands::CommandQuery;
use utoipa::IntoParams;

use crate::api::Problem;
use crate::api::cursor::{CursorKind, PageParams};
use crate::api::extract::Params;
use crate::api::types::{Command, CommandPage};
use crate::auth::RequireViewer;
use crate::brain::Brain;

/// Which commands.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct CommandParams {
    /// Only those about this task.
    task_id: Option<String>,
    /// Also what the brain asked by itself lately: how tasks stand that are under way for long.
    inquiries: Option<bool>,
}

/// Commands
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{project}/commands",
    operation_id = "list_commands",
    tag = "commands",
    params(("project" = String, Path), CommandParams, PageParams),
    responses((status = 200, description = "One page of commands", body = CommandPage))
)]
pub(in crate::api) async fn list(
    access: RequireViewer,
    State(brain): State<Brain>,
    Params(CommandParams { task_id, inquiries }): Params<CommandParams>,
    Params(page): Params<PageParams>,
) -> Result<Json<CommandPage>, Problem> {
    let task_id = task_id.filter(|id| !id.is_empty());
    let query = CommandQuery { task_id, inquiries: inquiries.unwrap_or(false) };
    let (commands, next) = brain.store.commands(access.project.id, query, page.store_page()?).await?;
    Ok(Json(CommandPage {
        items: commands.into_iter().map(Command::from).collect(),
        next_cursor: next.map(|cursor| CursorKind::Store.seal(cursor)),
    }))
}
