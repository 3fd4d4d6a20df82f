//! The HTTP server: routes, below a base path if there is one, and what connections need.

mod accept;
mod agent_certificate;
mod forwarded;
mod open_files;
mod read_ahead;
mod tls;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

pub use forwarded::TrustedProxies;
pub use tls::{ServerTls, TlsError, TlsFiles};

use crate::brain::Brain;
use crate::public_url::{PublicUrl, ReachedAt};
use crate::{api, dashboard, gateway};

/// How to serve. The default is without TLS, to whoever connects.
#[derive(Default)]
pub struct ServerOptions {
    /// TLS, if it is spoken.
    pub tls: Option<Arc<ServerTls>>,
    /// Proxies whose word about a request counts.
    pub trusted_proxies: TrustedProxies,
}

/// All routes, below the public URL's path and without it: proxies may take it off or leave it on.
pub fn routes(brain: Brain) -> Router {
    let agents = Router::new()
        .route("/ws", get(gateway::upgrade))
        .route("/ws/longpoll", post(gateway::poll))
        .route_layer(middleware::from_fn_with_state(brain.clone(), agent_certificate::required));
    let router = agents
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(brain.clone())
        .merge(api::router(brain.clone()))
        .fallback_service(dashboard::router(brain.public_url.clone()));
    let router = dashboard::with_security_headers(router, &brain.public_url);
    let public_url = brain.public_url.clone();
    let below = ServiceBuilder::new().map_request(move |request| without_base(request, &public_url)).service(router);
    Router::new().fallback_service(below)
}

/// Serves plain HTTP until the brain stops, then lets open connections end.
pub async fn serve(listener: TcpListener, brain: Brain) {
    serve_with(listener, brain, ServerOptions::default()).await;
}

/// Serves until the brain stops, then lets open connections end.
pub async fn serve_with(listener: TcpListener, brain: Brain, options: ServerOptions) {
    accept::serve(listener, routes(brain.clone()), brain, options).await;
}

/// Takes the base path off a request that has it.
fn without_base(mut request: Request, public_url: &PublicUrl) -> Request {
    let reached = ReachedAt::of(request.extensions(), public_url);
    let path = request.uri().path();
    let below = [&reached.base, public_url.base()].into_iter().find_map(|base| base.strip(path));
    let Some(below) = below.filter(|below| below.len() < path.len()) else { return request };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let path_and_query = format!("{below}{query}").try_into();
    let mut parts = request.uri().clone().into_parts();
    if let Ok(path_and_query) = path_and_query {
        parts.path_and_query = Some(path_and_query);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// Alive.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Able to work: the store answers, and what agents sent last could be stored.
async fn readyz(State(brain): State<Brain>) -> Response {
    let trouble = match brain.store.projects().await {
        Ok(_) => brain.ingest.trouble(),
        Err(error) => Some(error.to_string()),
    };
    match trouble {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response(),
    }
}

async fn metrics(State(brain): State<Brain>) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], brain.metrics.render()).into_response()
}
