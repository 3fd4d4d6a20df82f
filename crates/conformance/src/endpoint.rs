//! Where the brain is, and a byte stream to it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why an address or a certificate cannot be used: wrong usage.
#[derive(Debug, Error)]
pub enum BadEndpoint {
    /// Not an address of a brain.
    #[error("\"{0}\" is not the address of a brain; write one like ws://127.0.0.1:7440 or https://tasks.example.com")]
    Url(String),
    /// A file of certificates or of a key.
    #[error("{0} cannot be used: {1}")]
    Certificates(String, String),
    /// A certificate without its key, or a key without its certificate.
    #[error("--client-cert and --client-key go together")]
    HalfACertificate,
    /// Something of this system.
    #[error("TLS cannot be prepared: {0}; give the CA of the brain's certificate with --ca-cert")]
    Tls(String),
}

/// Certificates, ours and those that we trust. Files in PEM form.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Trust what these sign, instead of what the system trusts.
    pub ca_cert: Option<PathBuf>,
    /// Our own certificate, where the brain wants one.
    pub client_cert: Option<PathBuf>,
    /// Its key.
    pub client_key: Option<PathBuf>,
}

/// A byte stream, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A brain's address.
#[derive(Clone)]
pub(crate) struct Endpoint {
    host: String,
    port: u16,
    /// What goes into the `Host` header.
    authority: String,
    /// Path in front of `/ws`, without a slash at its end.
    prefix: String,
    tls: Option<TlsConnector>,
}

impl Endpoint {
    /// Reads an address: `ws`, `wss`, `http` or `https`, with a path if the brain is behind one.
    pub(crate) fn parse(url: &str, trust: &Trust) -> Result<Self, BadEndpoint> {
        let bad = || BadEndpoint::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let is_secure = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err(bad()),
        };
        let authority = uri.authority().ok_or_else(bad)?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(bad());
        }
        let prefix = uri.path().trim_end_matches('/');
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 }),
            authority: authority.to_string(),
            prefix: prefix.strip_suffix("/ws").unwrap_or(prefix).to_owned(),
            tls: if is_secure { Some(connector(trust)?) } else { None },
        })
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> Result<Box<dyn Stream>, String> {
        let connecting = async {
            let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| error.to_string())?;
            // Many rules are a small frame and its answer.
            tcp.set_nodelay(true).map_err(|error| error.to_string())?;
            let Some(tls) = &self.tls else { return Ok(Box::new(tcp) as Box<dyn Stream>) };
            let name = ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
            let stream = tls.connect(name, tcp).await.map_err(|error| error.to_string())?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err("nobody answered within 10 s".to_owned()),
        }
    }

    /// What goes into the `Host` header.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// The whole path of `path`.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// The address of the WebSocket.
    pub(crate) fn websocket(&self) -> String {
        format!("{}://{}{}", if self.tls.is_some() { "wss" } else { "ws" }, self.authority, self.path("/ws"))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.websocket())
    }
}

/// TLS with the system's roots, or those of `--ca-cert` instead, and a certificate of our own if there is one.
fn connector(trust: &Trust) -> Result<TlsConnector, BadEndpoint> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let failed = |error: rustls::Error| BadEndpoint::Tls(error.to_string());
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map_err(failed)?;
    let builder = match &trust.ca_cert {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| unusable(path, &error))?;
            }
            builder.with_root_certificates(roots)
        }
        None => {
            let verifier = Verifier::new(provider).map_err(failed)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let config = match (&trust.client_cert, &trust.client_key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key_path)) => {
            let key = PrivateKeyDer::from_pem_file(key_path).map_err(|error| unusable(key_path, &error))?;
            builder.with_client_auth_cert(certificates(cert)?, key).map_err(|error| unusable(cert, &error))?
        }
        (Some(_), None) | (None, Some(_)) => return Err(BadEndpoint::HalfACertificate),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BadEndpoint> {
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| unusable(path, &error));
    match certificates? {
        none if none.is_empty() => Err(unusable(path, &"there is no certificate in it")),
        certificates => Ok(certificates),
    }
}

fn unusable(path: &Path, why: &dyn fmt::Display) -> BadEndpoint {
    BadEndpoint::Certificates(path.display().to_string(), why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_to_the_websocket() {
        for (url, websocket) in [
            ("ws://127.0.0.1:7440", "ws://127.0.0.1:7440/ws"),
            ("http://[::1]:7440/", "ws://[::1]:7440/ws"),
            ("https://tasks.example.com/taskplane/", "wss://tasks.example.com/taskplane/ws"),
            ("wss://tasks.example.com/ws", "wss://tasks.example.com/ws"),
        ] {
            let endpoint = Endpoint::parse(url, &Trust::default()).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(endpoint.websocket(), websocket);
        }
        for url in ["", "127.0.0.1:7440", "ftp://a", "ws://", "http://user:secret@host", "http://host/?a=b"] {
            assert!(Endpoint::parse(url, &Trust::default()).is_err(), "{url}");
        }
    }

    #[test]
    fn certificates_that_cannot_be_read_are_named() {
        let trust = Trust { ca_cert: Some("/nowhere.pem".into()), ..Trust::default() };
        let error = Endpoint::parse("wss://a", &trust).err().map(|error| error.to_string());
        assert!(error.is_some_and(|text| text.contains("/nowhere.pem")));
        let trust = Trust { client_key: Some("/nowhere.pem".into()), ..Trust::default() };
        assert!(matches!(Endpoint::parse("wss://a", &trust), Err(BadEndpoint::HalfACertificate | BadEndpoint::Tls(_))));
    }
}
