//! Connections to RabbitMQ, made when first needed and again after they broke.
//!
//! What publishes has a connection of its own: a broker that is short of memory or disk stops reading from those that
//! publish, and observing is to go on then.

use std::{io, net::Shutdown, os::fd::AsFd as _, sync::Arc, time::Duration};

use async_compat::Compat;
use lapin::{
    AsyncTcpStream, Channel, Connection, ConnectionProperties, ErrorKind,
    runtime::default_runtime,
    uri::{AMQPScheme, AMQPUri},
};
use tokio::{sync::Mutex, time::timeout};

use super::RabbitAddress;
use crate::{broker::BrokerError, shared::lock};

/// How long a connection may take to come up.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long an answer on a channel may take.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Longest text of the server that is shown.
const MAX_TEXT: usize = 200;

/// One connection at a time to a virtual host, on the first of its servers that can be reached.
pub(crate) struct Link {
    addresses: Vec<RabbitAddress>,
    /// Shown in RabbitMQ's list of connections.
    name: &'static str,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Arc<Connection>>,
    /// Which server to try next.
    next: usize,
}

/// Why something on a channel failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// What was named does not exist (404).
    Absent,
    /// Everything else, for people.
    Other(BrokerError),
}

impl Link {
    /// `addresses` are servers of one cluster, of which any will do; at least one.
    pub(crate) fn new(addresses: Vec<RabbitAddress>, name: &'static str) -> Self {
        Self { addresses, name, state: Mutex::default() }
    }

    /// Where it is, for people.
    pub(crate) fn shown(&self) -> &str {
        self.addresses.first().map_or("", |address| address.shown.as_str())
    }

    /// A new channel: one that failed cannot be used again, so that none is shared. On a fresh connection, when the last one
    /// turns out to be closed: that is noticed when it is used.
    pub(super) async fn channel(&self) -> Result<Channel, BrokerError> {
        let connection = self.connection().await?;
        match self.within(connection.create_channel()).await {
            Err(_) if !connection.status().connected() => {
                let fresh = self.connection().await?;
                self.within(fresh.create_channel()).await
            }
            created => created,
        }
        .map_err(|failure| self.error(failure))
    }

    /// True when the broker takes nothing that is published now.
    pub(super) async fn is_blocked(&self) -> bool {
        self.state.lock().await.connection.as_ref().is_some_and(|connection| connection.status().blocked())
    }

    async fn connection(&self) -> Result<Arc<Connection>, BrokerError> {
        let mut state = self.state.lock().await;
        if let Some(connection) = state.connection.as_ref().filter(|connection| connection.status().connected()) {
            return Ok(Arc::clone(connection));
        }
        state.connection = None;
        let mut failed = None;
        for _ in 0..self.addresses.len() {
            let Some(address) = self.addresses.get(state.next % self.addresses.len()) else { break };
            match self.connect(address).await {
                Ok(connection) => {
                    let connection = Arc::new(connection);
                    state.connection = Some(Arc::clone(&connection));
                    return Ok(connection);
                }
                Err(why) => failed = Some(BrokerError::new("RabbitMQ", &address.shown, &why)),
            }
            state.next = state.next.wrapping_add(1);
        }
        Err(failed.unwrap_or_else(|| self.failed("has no address")))
    }

    async fn connect(&self, address: &RabbitAddress) -> Result<Connection, String> {
        let runtime = default_runtime().map_err(|_| "cannot be reached outside the agent's runtime".to_owned())?;
        let properties = ConnectionProperties::default().with_connection_name(self.name.into());
        // The driver gives every attempt a thread, which ends with its socket alone: one that is given up is shut.
        let socket: Arc<std::sync::Mutex<Option<std::net::TcpStream>>> = Arc::default();
        let (tls, held) = (address.tls.clone(), Arc::clone(&socket));
        let connect = Connection::connector(
            address.uri.clone(),
            runtime,
            async move |uri: AMQPUri, _runtime| -> lapin::Result<_> {
                let host = uri.authority.host.as_str();
                let stream = tokio::net::TcpStream::connect((host, uri.authority.port)).await?;
                *lock(&held) = Some(stream.as_fd().try_clone_to_owned()?.into());
                let stream = AsyncTcpStream::Plain(Compat::new(stream));
                match uri.scheme {
                    AMQPScheme::AMQP => Ok(stream),
                    AMQPScheme::AMQPS => Ok(stream.into_tls(host, tls.as_ref()).await?),
                }
            },
            properties,
        );
        let connected = timeout(CONNECT_WITHIN, connect).await;
        let socket = lock(&socket).take();
        match connected {
            Ok(connected) => connected.map_err(|error| explain(&error)),
            Err(_elapsed) => {
                let _ = socket.map(|socket| socket.shutdown(Shutdown::Both));
                Err("did not answer in time".to_owned())
            }
        }
    }

    /// An answer of the broker, or why there is none.
    pub(super) async fn within<T>(&self, answer: impl Future<Output = lapin::Result<T>>) -> Result<T, Failure> {
        match timeout(ANSWER_WITHIN, answer).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.failure(&error)),
            Err(_elapsed) => {
                // Nobody knows what this connection is still good for.
                self.state.lock().await.connection = None;
                Err(Failure::Other(self.failed("did not answer in time")))
            }
        }
    }

    pub(super) fn failure(&self, error: &lapin::Error) -> Failure {
        match error.kind() {
            ErrorKind::ProtocolError(refusal) if refusal.get_id() == 404 => Failure::Absent,
            _ => Failure::Other(self.failed(&explain(error))),
        }
    }

    /// The words for a failure where absence is as unexpected as any other.
    pub(super) fn error(&self, failure: Failure) -> BrokerError {
        match failure {
            Failure::Absent => self.failed("says that what was asked for does not exist (404)"),
            Failure::Other(error) => error,
        }
    }

    /// The words for a broker that takes nothing now.
    pub(super) fn blocked(&self) -> BrokerError {
        self.failed("takes no messages now: it is short of memory or disk. Free some on its host")
    }

    pub(super) fn failed(&self, why: &str) -> BrokerError {
        BrokerError::new("RabbitMQ", self.shown(), why)
    }
}

/// What went wrong and what to do, in words. RabbitMQ's own texts name virtual hosts, users and queues, never passwords.
fn explain(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::IOError(error) | ErrorKind::RuntimeShutdownError(error) => explain_io(error),
        ErrorKind::ProtocolError(refusal) => explain_refusal(refusal.get_id(), refusal.get_message().as_str()),
        ErrorKind::MissingHeartbeatError => "sent no heartbeat for too long".to_owned(),
        ErrorKind::InvalidConnectionState(_) | ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidChannel(_) => {
            "closed the connection".to_owned()
        }
        ErrorKind::ParsingError(_) | ErrorKind::InvalidProtocolVersion(_) => {
            "answered with something that is no AMQP 0.9.1: is this its AMQP port (5672, or 5671 with amqps://)?"
                .to_owned()
        }
        ErrorKind::ChannelsLimitReached => "has no channel left on this connection: raise channel_max".to_owned(),
        _ => "failed: the AMQP driver gave up".to_owned(),
    }
}

fn explain_io(error: &io::Error) -> String {
    let text = error.to_string();
    if text.contains("certificate") || text.contains("CertificateRequired") {
        let text = shorten(&text);
        return format!(
            "could not agree on TLS ({text}): name the authority that signed its certificate with \
             ?ssl_ca_certs=/path/ca.pem, and use the host name that the certificate is for"
        );
    }
    if text.contains("corrupt message") {
        return "does not speak TLS on this port: with amqps:// it is usually 5671".to_owned();
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refuses connections (is it running?)".to_owned(),
        io::ErrorKind::TimedOut => "did not answer in time".to_owned(),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => "closed the connection".to_owned(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "cannot be reached".to_owned(),
        _ if text.contains("lookup") => "has a host name that cannot be resolved".to_owned(),
        kind => format!("failed: {kind}"),
    }
}

fn explain_refusal(code: u16, text: &str) -> String {
    let said = shorten(text);
    match code {
        403 if text.contains("Login was refused") || text.contains("login refused") => {
            "does not accept the user or password in the URL".to_owned()
        }
        403 => format!(
            "does not permit the agent's user to do that ({said}): give it the permissions that the workers' user has"
        ),
        405 => format!("has this locked for another connection ({said})"),
        406 => format!("has this with other properties than expected ({said})"),
        530 if text.contains("not found") => {
            format!("has no such virtual host ({said}): create it, or correct the end of the URL")
        }
        530 => format!(
            "does not let the agent's user into the virtual host ({said}): give it the permissions that the workers' \
             user has"
        ),
        320 => format!("closed the connection ({said})"),
        501 | 505 => "answered with something that is no AMQP 0.9.1: is this its AMQP port?".to_owned(),
        _ => format!("answered with the error {code} ({said})"),
    }
}

fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do() {
        for (code, text, told) in [
            (403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.", "user or password"),
            (403, "ACCESS_REFUSED - access to exchange 'celeryev' in vhost '/' refused for user 'a'", "permissions"),
            (530, "NOT_ALLOWED - vhost nope not found", "create it"),
            (530, "NOT_ALLOWED - access to vhost 'x' refused for user 'y'", "permissions"),
            (320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'", "shutdown"),
            (406, "PRECONDITION_FAILED - inequivalent arg", "other properties"),
        ] {
            assert!(explain_refusal(code, text).contains(told), "{code}");
        }
        assert!(explain_refusal(541, &"x\n".repeat(1_000)).len() < 300);
    }
}
