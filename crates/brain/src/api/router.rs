//! The table of routes.

use std::time::Duration;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Extensions, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::csrf::{CsrfLayer, ProtectionError};
use utoipa::OpenApi;
use utoipa::openapi::{OpenApi as OpenApiDocument, Server};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::openapi::{Document, completed};
use super::problem::PROBLEM_JSON;
use super::{
    ApiState, Problem, agent_tokens, audit, bulk, commands, docs, fleet, problems, schedules, session, stats, storage,
    stream, task_types, tasks,
};
use crate::auth;
use crate::brain::Brain;
use crate::public_url::{PublicUrl, ReachedAt};

/// Largest body; a bulk command with 1,000 long ids fits.
const MAX_BODY_BYTES: usize = 1 << 20;

/// How long a body may take to come.
const BODY_WITHIN: Duration = Duration::from_secs(15);

/// Every operation of the API.
pub(super) fn table() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(session::get, session::end))
        .routes(routes!(tasks::list::list))
        .routes(routes!(tasks::count::count))
        .routes(routes!(tasks::get::get))
        .routes(routes!(tasks::events::events))
        .routes(routes!(tasks::tree::tree))
        .routes(routes!(tasks::why::why))
        .routes(routes!(stats::stats))
        .routes(routes!(task_types::task_types))
        .routes(routes!(storage::storage))
        .routes(routes!(fleet::agents::agents))
        .routes(routes!(fleet::workers::workers))
        .routes(routes!(fleet::queues::queues))
        .routes(routes!(problems::problems))
        .routes(routes!(schedules::list::list))
        .routes(routes!(schedules::get::get))
        .routes(routes!(schedules::preview::preview))
        .routes(routes!(schedules::schedulers::schedulers))
        .routes(routes!(fleet::quarantine::quarantine))
        .routes(routes!(commands::list::list, commands::create::create))
        .routes(routes!(commands::get::get))
        .routes(routes!(bulk::list::list, bulk::create::create))
        .routes(routes!(bulk::get::get))
        .routes(routes!(bulk::items::items))
        .routes(routes!(bulk::change::pause))
        .routes(routes!(bulk::change::resume))
        .routes(routes!(bulk::change::cancel))
        .routes(routes!(stream::stream))
        .routes(routes!(audit::audit))
        .routes(routes!(agent_tokens::list::list, agent_tokens::create::create))
        .routes(routes!(agent_tokens::revoke::revoke))
}

/// The API, its documentation, and signing in.
pub fn router(brain: Brain) -> Router {
    let csrf = csrf(&brain.public_url);
    let public_url = brain.public_url.clone();
    let (operations, document) = table().split_for_parts();
    let document = completed(document);
    let page = docs::page(&document);
    operations
        .route(
            "/api/v1/openapi.json",
            get(move |extensions| async move { Json(located(document, &extensions, &public_url)) }),
        )
        .route("/api/docs", get(|| async move { page }))
        .route("/api", any(nothing_here))
        .route("/api/{*rest}", any(nothing_here))
        .layer(middleware::map_response(never_cached))
        .merge(auth::signin_router())
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(with_whole_body))
        .layer(csrf)
        .layer(middleware::map_request(without_origin_for_keys))
        .layer(CatchPanicLayer::new())
        .layer(middleware::map_response(problems_only))
        .layer(CompressionLayer::new())
        .with_state(ApiState::new(brain))
}

/// The document with the path that its paths are below, where there is one.
fn located(mut document: OpenApiDocument, extensions: &Extensions, public_url: &PublicUrl) -> OpenApiDocument {
    let base = ReachedAt::of(extensions, public_url).base;
    if !base.as_str().is_empty() {
        document.servers = Some(vec![Server::new(base.as_str())]);
    }
    document
}

async fn nothing_here() -> Problem {
    Problem::of_status(StatusCode::NOT_FOUND)
}

async fn never_cached(mut response: Response) -> Response {
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Pages of other sites must not use a signed-in browser's cookie.
fn csrf(public_url: &PublicUrl) -> CsrfLayer<fn(ProtectionError) -> Response> {
    let layer = CsrfLayer::new();
    // Behind a proxy that changes `Host`, older browsers can only be told by the address that people use.
    let layer = match layer.clone().add_trusted_origin(public_url.origin()) {
        Ok(trusting) => trusting,
        Err(error) => {
            tracing::warn!(%error, "the public URL is not an address that browsers could come from");
            layer
        }
    };
    layer.with_rejection_response(cross_origin)
}

fn cross_origin(_: ProtectionError) -> Response {
    let detail = "This request came from a page of another site. Use the dashboard's own address, or an API key.";
    Problem::new(StatusCode::FORBIDDEN, "cross_origin", detail).into_response()
}

/// Requests with an `Authorization` header are not checked for their origin: browsers do not add that header by themselves,
/// and where it is, cookies do not count.
async fn without_origin_for_keys(mut request: Request) -> Request {
    if request.headers().contains_key(header::AUTHORIZATION) {
        request.headers_mut().remove(header::ORIGIN);
        request.headers_mut().remove("sec-fetch-site");
    }
    request
}

/// Reads the body before anything else is done with it: one that drips in must not keep a handler waiting.
async fn with_whole_body(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(BODY_WITHIN, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Ok(Err(_)) => Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE).into_response(),
        Err(_) => {
            let detail = format!("The request's body did not come within {} s.", BODY_WITHIN.as_secs());
            Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail).into_response()
        }
    }
}

/// Makes problem documents of the errors that come from below our handlers: wrong methods, panics and the like.
async fn problems_only(response: Response) -> Response {
    let status = response.status();
    let content_type = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_ours = content_type == PROBLEM_JSON.as_bytes() || content_type.starts_with(b"text/html");
    if is_ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let mut problem = Problem::of_status(status).into_response();
    for name in [header::ALLOW, header::RETRY_AFTER, header::CACHE_CONTROL] {
        if let Some(value) = response.headers().get(&name) {
            problem.headers_mut().insert(name, value.clone());
        }
    }
    problem
}
