//! Opens streams to the brain: TCP, through a proxy where one is on the way, with TLS where the URL says so.

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::endpoint::Endpoint;
use super::proxy::{Proxy, ProxyError, ProxySettings, ProxySettingsError, tunnel};
use super::tls::{TlsClient, TlsOptions, TlsOptionsError, explained};

/// Longest time for each of TCP, the proxy and TLS.
const STEP: Duration = Duration::from_secs(8);

/// An open way to the brain, for whatever a transport speaks on it.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Opens streams to one brain.
pub(crate) struct Dialer {
    endpoint: Endpoint,
    proxy: Option<Proxy>,
    tls: Option<TlsClient>,
}

/// Why a way to the brain cannot even be tried.
#[derive(Debug, Error)]
pub enum DialerError {
    /// Certificates and keys.
    #[error(transparent)]
    Tls(#[from] TlsOptionsError),
    /// The proxy.
    #[error(transparent)]
    Proxy(#[from] ProxySettingsError),
}

/// Why there is no stream to the brain.
#[derive(Debug, Error)]
pub(crate) enum DialError {
    /// No TCP connection to the brain, or to the proxy.
    #[error("{0} cannot be reached: {1}")]
    Connect(String, io::Error),
    /// Somebody is there who does not answer.
    #[error("{0} did not answer in time")]
    Slow(String),
    /// The proxy does not let us through.
    #[error("the proxy {0} {1}")]
    Proxy(String, ProxyError),
    /// No TLS; what to do about it.
    #[error("{0}")]
    Tls(String),
}

impl Dialer {
    /// Reads certificates and decides about the proxy.
    ///
    /// # Errors
    /// Certificates, key or proxy cannot be used.
    pub(crate) fn new(endpoint: Endpoint, tls: TlsOptions, proxy: &ProxySettings) -> Result<Self, DialerError> {
        let proxy = proxy.on_the_way_to(&endpoint)?;
        let tls = if endpoint.is_tls() {
            Some(TlsClient::new(&endpoint, tls)?)
        } else {
            if tls.ca_cert.is_some() || tls.client.is_some() {
                tracing::warn!(brain = %endpoint, "certificates are not used, because the brain's URL is one without TLS");
            }
            None
        };
        Ok(Self { endpoint, proxy, tls })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Opens a stream. Each step has eight seconds. May be dropped while it waits.
    pub(crate) async fn dial(&self) -> Result<Box<dyn Stream>, DialError> {
        let tcp = match &self.proxy {
            None => self.connect(self.endpoint.host(), self.endpoint.port()).await?,
            Some(proxy) => {
                let tcp = self.connect(&proxy.host, proxy.port).await?;
                let opened = timeout(STEP, tunnel(tcp, proxy, &self.endpoint)).await;
                let opened = opened.map_err(|_| DialError::Slow(self.peer()))?;
                opened.map_err(|error| DialError::Proxy(proxy.to_string(), error))?
            }
        };
        let Some(tls) = &self.tls else { return Ok(Box::new(tcp)) };
        let (connector, name) = tls.connector();
        match timeout(STEP, connector.connect(name, tcp)).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(DialError::Tls(self.explain_tls(&error))),
            Err(_) => Err(DialError::Slow(format!("the brain at {}", self.endpoint.authority()))),
        }
    }

    /// What an error of an open stream means. The brain's opinion of a client certificate comes only after the handshake.
    pub(crate) fn explain(&self, error: &io::Error) -> String {
        explained(error, &self.endpoint).unwrap_or_else(|| error.to_string())
    }

    fn explain_tls(&self, error: &io::Error) -> String {
        explained(error, &self.endpoint).unwrap_or_else(|| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                "the connection was closed while TLS was being agreed on: is this the brain's port?".to_owned()
            }
            _ => format!("TLS to {} failed: {error}", self.endpoint.host()),
        })
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        let opened = async {
            let tcp = TcpStream::connect((host, port)).await?;
            // Frames are written whole; waiting for more would only delay them.
            tcp.set_nodelay(true)?;
            Ok(tcp)
        };
        match timeout(STEP, opened).await {
            Ok(Ok(tcp)) => Ok(tcp),
            Ok(Err(error)) => Err(DialError::Connect(self.peer(), error)),
            Err(_) => Err(DialError::Slow(self.peer())),
        }
    }

    /// Whom TCP connects to.
    fn peer(&self) -> String {
        match &self.proxy {
            Some(proxy) => format!("the proxy {proxy}"),
            None => format!("the brain at {}", self.endpoint.authority()),
        }
    }
}

#[cfg(test)]
mod tests;
