//! The HTTP server: routes, and an accept loop with real time-outs and limits.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

use crate::brain::Brain;
use crate::{api, dashboard, gateway};

/// Most connections at once.
const MAX_CONNECTIONS: usize = 20_000;
/// How long a peer may take to send its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long open connections have to end when the brain stops.
const DRAIN: Duration = Duration::from_secs(8);

/// All routes.
pub fn routes(brain: Brain) -> Router {
    let router = Router::new()
        .route("/ws", get(gateway::upgrade))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(brain.clone())
        .merge(api::router(brain.clone()))
        .fallback_service(dashboard::router());
    dashboard::with_security_headers(router)
}

/// Serves until the brain stops, then lets open connections end.
pub async fn serve(listener: TcpListener, brain: Brain) {
    let router = routes(brain.clone());
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = brain.stop.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let (tcp, peer, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Most likely out of file descriptors: wait for some to come back rather than spin.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let connection = connection(tcp, peer, router.clone());
        let watched = graceful.watcher();
        tokio::spawn(async move {
            let _permit = permit;
            let builder = http_builder();
            let served = builder.serve_connection_with_upgrades(connection.0, connection.1).into_owned();
            // Errors here are the peer's: resets and time-outs.
            let _ = watched.watch(served).await;
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(std::io::Error::other)?;
    let (tcp, peer) = listener.accept().await?;
    // Acks and live events are small and must not wait for more.
    tcp.set_nodelay(true)?;
    Ok((tcp, peer, permit))
}

type RouterService = TowerToHyperService<tower::util::BoxCloneService<Request<Incoming>, Response, Infallible>>;

fn connection(tcp: TcpStream, peer: SocketAddr, router: Router) -> (TokioIo<TcpStream>, RouterService) {
    let service = tower::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let mut router = router.clone();
        router.call(request.map(Body::new))
    });
    (TokioIo::new(tcp), TowerToHyperService::new(tower::util::BoxCloneService::new(service)))
}

fn http_builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Without a timer the header time-out would do nothing.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(256).keep_alive_interval(Duration::from_secs(20));
    builder
}

/// Alive.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Able to work: the store answers.
async fn readyz(State(brain): State<Brain>) -> Response {
    match brain.store.projects().await {
        Ok(_) => "ready\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {error}\n")).into_response(),
    }
}

async fn metrics(State(brain): State<Brain>) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], brain.metrics.render()).into_response()
}
