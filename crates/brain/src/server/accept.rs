//! Taking connections in, with limits on how many and on how long each may take to say something.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Request, Uri, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tower::Service;

use super::ServerOptions;
use super::agent_certificate::AgentCertificate;
use super::forwarded::TrustedProxies;
use super::open_files;
use super::read_ahead::ReadAhead;
use super::tls::ServerTls;
use crate::brain::Brain;
use crate::client_address::ClientAddress;
use crate::public_url::{PublicUrl, ReachedAt};

/// Most connections at once.
const MAX_CONNECTIONS: usize = 20_000;
/// Bytes that the kernel takes for a peer that does not read, beyond what is on its way: megabytes by default. Whoever reads
/// the live stream too slowly is to find out, and to cost little until then.
#[cfg(target_os = "linux")]
const MAX_UNSENT: u32 = 128 << 10;
/// How long a peer may take in nothing of what waits for it before the connection is closed.
#[cfg(target_os = "linux")]
const STUCK: Duration = Duration::from_secs(60);
/// Bytes of an answer that wait here for a peer that does not read, besides what the kernel takes; and of a request's head, at most.
const MAX_BUFFER: usize = 64 << 10;
/// How long a peer may take to send its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may take to agree on TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long open connections have to end when the brain stops.
const DRAIN: Duration = Duration::from_secs(8);
/// First byte of every TLS connection: a handshake record. No HTTP request begins with it.
const TLS_HANDSHAKE: u8 = 0x16;
/// What somebody hears who speaks plain HTTP where TLS is spoken.
const NOT_TLS: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n\
                       this port speaks TLS: use https:// in a browser, and wss:// or https:// in agents\n";

/// What every connection needs.
struct Server {
    router: Router,
    brain: Brain,
    tls: Option<Arc<ServerTls>>,
    proxies: TrustedProxies,
}

/// Serves until the brain stops, then lets open connections end.
pub(super) async fn serve(listener: TcpListener, router: Router, brain: Brain, options: ServerOptions) {
    if let Some(tls) = &options.tls {
        brain.tasks.spawn(Arc::clone(tls).keep_current(brain.stop.clone()));
    }
    let server = Arc::new(Server { router, brain, tls: options.tls, proxies: options.trusted_proxies });
    open_files::raise_for(MAX_CONNECTIONS);
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = server.brain.stop.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let (tcp, peer, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Most likely out of file descriptors: wait for some to come back rather than spin.
                tracing::warn!(%error, "could not accept a connection");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (server, watcher) = (Arc::clone(&server), graceful.watcher());
        tokio::spawn(async move {
            let _permit = permit;
            server.connection(tcp, peer, watcher).await;
        });
    }
    drop(listener);
    if timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (tcp, peer) = listener.accept().await?;
    // Acks and live events are small and must not wait for more.
    tcp.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    {
        let socket = socket2::SockRef::from(&tcp);
        socket.set_tcp_notsent_lowat(MAX_UNSENT)?;
        socket.set_tcp_user_timeout(Some(STUCK))?;
    }
    Ok((tcp, peer, permit))
}

impl Server {
    async fn connection(self: Arc<Self>, tcp: TcpStream, peer: SocketAddr, watcher: Watcher) {
        let Some(tls) = self.tls.clone() else {
            return self.serve(tcp, peer, AgentCertificate::NotAsked, false, watcher).await;
        };
        let stop = self.brain.stop.clone();
        let agreed = tokio::select! {
            () = stop.cancelled() => return,
            agreed = timeout(HANDSHAKE_TIMEOUT, handshake(&tls, tcp)) => agreed,
        };
        match agreed {
            Ok(Ok(Some(stream))) => {
                let given = stream.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty());
                let certificate = match (tls.asks_agents(), given) {
                    (false, _) => AgentCertificate::NotAsked,
                    (true, true) => AgentCertificate::Given,
                    (true, false) => AgentCertificate::Missing,
                };
                self.serve(stream, peer, certificate, true, watcher).await;
            }
            Ok(Ok(None)) => tracing::debug!(%peer, "plain HTTP where TLS is spoken"),
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS was not agreed on"),
            Err(_) => tracing::debug!(%peer, "TLS was not agreed on in time"),
        }
    }

    async fn serve<S>(
        self: Arc<Self>,
        stream: S,
        peer: SocketAddr,
        certificate: AgentCertificate,
        is_tls: bool,
        watcher: Watcher,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let asked = Arc::new(AtomicBool::new(false));
        let (server, noted) = (self, Arc::clone(&asked));
        let service = tower::service_fn(move |request: Request<Incoming>| {
            noted.store(true, Ordering::Relaxed);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(certificate);
            server.proxies.apply(peer, is_tls, &server.brain.public_url, &mut request);
            server.router.clone().call(request)
        });
        let builder = http_builder();
        let connection =
            builder.serve_connection_with_upgrades(TokioIo::new(ReadAhead::new(stream)), as_hyper(service));
        let mut served = std::pin::pin!(watcher.watch(connection.into_owned()));
        // The header time-out begins with the first bytes: whoever sends none would hold its place for ever.
        tokio::select! {
            // Errors here are the peer's: resets and time-outs.
            _ = &mut served => return,
            () = sleep(HEADER_TIMEOUT) => {}
        }
        if asked.load(Ordering::Relaxed) {
            let _ = served.await;
        }
    }
}

type BoxedService = tower::util::BoxCloneService<Request<Incoming>, Response, Infallible>;

fn as_hyper<S>(service: S) -> TowerToHyperService<BoxedService>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    TowerToHyperService::new(BoxedService::new(service))
}

/// Agrees on TLS; `None` where the peer does not even try.
async fn handshake(
    tls: &ServerTls,
    mut tcp: TcpStream,
) -> io::Result<Option<tokio_rustls::server::TlsStream<TcpStream>>> {
    let mut first = [0];
    if tcp.peek(&mut first).await? == 1 && first[0] != TLS_HANDSHAKE {
        tcp.write_all(NOT_TLS.as_bytes()).await?;
        tcp.shutdown().await?;
        return Ok(None);
    }
    tls.acceptor().accept(tcp).await.map(Some)
}

fn http_builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Without a timer the header time-out would do nothing.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_send_buf_size(MAX_BUFFER)
        .max_concurrent_streams(256)
        .keep_alive_interval(Duration::from_secs(20));
    builder
}

impl TrustedProxies {
    /// Notes on a request whom it comes from and how its browser reached us.
    fn apply(&self, peer: SocketAddr, is_tls: bool, public_url: &PublicUrl, request: &mut Request<Body>) {
        let told = self.told(peer.ip(), request.headers());
        let reached = ReachedAt {
            is_https: is_tls || public_url.is_https() || told.is_https == Some(true),
            base: told.base.unwrap_or_else(|| public_url.base().clone()),
        };
        request.extensions_mut().insert(ClientAddress(told.client));
        request.extensions_mut().insert(reached);
        if let Some(host) = told.host {
            set_host(request, host);
        }
    }
}

/// Makes a request one for `host`: what browsers say of their origin is compared with it.
fn set_host(request: &mut Request<Body>, host: HeaderValue) {
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return };
    if request.uri().authority().is_some() {
        let mut parts = request.uri().clone().into_parts();
        parts.authority = Some(authority);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request.headers_mut().insert(header::HOST, host);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_replaces_the_requests_own() {
        for uri in ["/tasks", "http://inner/tasks"] {
            let mut request =
                Request::builder().uri(uri).header(header::HOST, "inner").body(Body::empty()).expect("one");
            set_host(&mut request, HeaderValue::from_static("tasks.example.com"));
            assert_eq!(request.headers()[header::HOST], "tasks.example.com");
            assert!(request.uri().host().is_none_or(|host| host == "tasks.example.com"));
            assert_eq!(request.uri().path(), "/tasks");
        }
    }
}
