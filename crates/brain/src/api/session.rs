//! `GET session` and `DELETE session`.

use axum::Json;
use axum::extract::State;
use axum::http::{Extensions, StatusCode, header};
use axum::response::IntoResponse;
use taskplane_store::access::Project;

use super::Problem;
use super::types::Session;
use crate::auth::{self, Principal};
use crate::brain::Brain;
use crate::clock;
use crate::public_url::ReachedAt;

/// The project that is shown first, where there are several.
const FIRST_PROJECT: &str = "default";

/// Who asks
///
/// And what they may see.
#[utoipa::path(
    get,
    path = "/api/v1/session",
    operation_id = "get_session",
    tag = "access",
    responses((status = 200, description = "Whoever the credentials belong to", body = Session))
)]
pub(super) async fn get(principal: Principal, State(brain): State<Brain>) -> Result<Json<Session>, Problem> {
    let all = brain.store.projects().await?;
    let visible = |project: &Project| principal.project.is_none_or(|only| only == project.id);
    let projects: Vec<String> = all.into_iter().filter(visible).map(|project| project.name).collect();
    let project = projects.iter().find(|name| *name == FIRST_PROJECT).or(projects.first()).cloned().unwrap_or_default();
    Ok(Json(Session {
        principal: principal.name().to_owned(),
        role: principal.role.into(),
        project,
        projects,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        expires_at: principal.expires,
    }))
}

/// Sign out
///
/// Ends the session of the cookie.
#[utoipa::path(
    delete,
    path = "/api/v1/session",
    operation_id = "sign_out",
    tag = "access",
    responses((status = 204, description = "Signed out"))
)]
pub(super) async fn end(
    principal: Principal,
    State(brain): State<Brain>,
    extensions: Extensions,
) -> Result<impl IntoResponse, Problem> {
    let Some(session) = principal.session() else {
        let detail = "An API key has no session to end; there is nothing to sign out of.";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "not_a_session", detail));
    };
    brain.store.end_session(session, clock::now()).await?;
    let reached = ReachedAt::of(&extensions, &brain.public_url);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, auth::end_session_cookie(&reached))]))
}
