//! TLS to the brain: whom to trust, and who we are.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use thiserror::Error;
use tokio_rustls::TlsConnector;

use super::endpoint::Endpoint;

/// What the agent needs besides the URL to speak TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// Certificates (PEM) of those who may sign the brain's. Only these are trusted then; without them, whom the system
    /// trusts.
    pub ca_cert: Option<PathBuf>,
    /// The agent's own certificate, if the brain wants one.
    pub client: Option<ClientCertificate>,
}

/// The agent's own certificate and its key, PEM.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate, and then those between it and the CA.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why TLS cannot be spoken.
#[derive(Debug, Error)]
pub enum TlsOptionsError {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file without certificates.
    #[error("{} holds no certificate: it must be PEM, with BEGIN CERTIFICATE in it", .0.display())]
    NoCertificate(PathBuf),
    /// A file without a private key.
    #[error("{} holds no private key: it must be PEM, not encrypted, with BEGIN PRIVATE KEY in it", .0.display())]
    NoKey(PathBuf),
    /// Certificate and key do not belong together.
    #[error("the client certificate {} and the key {} cannot be used together: {source}", .cert.display(), .key.display())]
    Pair {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// Certificates that nobody can be trusted by.
    #[error("{} cannot be used as a CA: {reason}", .path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system trusts nobody.
    #[error(
        "this host has no CA certificates ({0}): install its ca-certificates package, or give the CA of the brain's \
         certificate with --ca-cert"
    )]
    NoSystemRoots(rustls::Error),
    /// Not a name.
    #[error("the brain's host is neither a name nor an address")]
    ServerName,
}

/// Speaks TLS. Certificates that have been renewed are used from the next connection on.
pub(super) struct TlsClient {
    options: TlsOptions,
    server_name: ServerName<'static>,
    current: Mutex<(Files, Arc<ClientConfig>)>,
}

/// What the files of [`TlsOptions`] hold.
#[derive(PartialEq, Eq)]
struct Files {
    ca: Option<Vec<u8>>,
    client: Option<(Vec<u8>, Vec<u8>)>,
}

impl TlsClient {
    /// Reads the files.
    pub(super) fn new(endpoint: &Endpoint, options: TlsOptions) -> Result<Self, TlsOptionsError> {
        let server_name = endpoint.host().to_owned().try_into().map_err(|_| TlsOptionsError::ServerName)?;
        let files = Files::read(&options)?;
        let config = config(&options, &files)?;
        Ok(Self { options, server_name, current: Mutex::new((files, config)) })
    }

    /// What makes a stream a TLS stream, and the name that the other side must prove.
    pub(super) fn connector(&self) -> (TlsConnector, ServerName<'static>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match self.changed(&current.0) {
            Ok(Some(changed)) => *current = changed,
            Ok(None) => {}
            // Perhaps half written: what was there before may do until the next connection.
            Err(error) => tracing::warn!(%error, "the changed TLS files cannot be used; the former ones are"),
        }
        (TlsConnector::from(Arc::clone(&current.1)), self.server_name.clone())
    }

    fn changed(&self, before: &Files) -> Result<Option<(Files, Arc<ClientConfig>)>, TlsOptionsError> {
        let files = Files::read(&self.options)?;
        if files == *before {
            return Ok(None);
        }
        let config = config(&self.options, &files)?;
        Ok(Some((files, config)))
    }
}

impl Files {
    /// Small files; they are read in place.
    fn read(options: &TlsOptions) -> Result<Self, TlsOptionsError> {
        let read =
            |path: &Path| std::fs::read(path).map_err(|source| TlsOptionsError::File { path: path.to_owned(), source });
        let client = options.client.as_ref();
        Ok(Self {
            ca: options.ca_cert.as_deref().map(read).transpose()?,
            client: client.map(|client| Ok((read(&client.cert)?, read(&client.key)?))).transpose()?,
        })
    }
}

fn config(options: &TlsOptions, files: &Files) -> Result<Arc<ClientConfig>, TlsOptionsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = match (&options.ca_cert, &files.ca) {
        (Some(path), Some(pem)) => trusting(path, pem, &provider)?,
        _ => Arc::new(Verifier::new(Arc::clone(&provider)).map_err(TlsOptionsError::NoSystemRoots)?),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsOptionsError::NoSystemRoots)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match (&options.client, &files.client) {
        (Some(paths), Some((cert, key))) => {
            let chain = certificates(&paths.cert, cert)?;
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsOptionsError::NoKey(paths.key.clone()))?;
            let pair = |source| TlsOptionsError::Pair { cert: paths.cert.clone(), key: paths.key.clone(), source };
            builder.with_client_auth_cert(chain, key).map_err(pair)?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn trusting(
    path: &Path,
    pem: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsOptionsError> {
    let unusable = |reason: String| TlsOptionsError::Ca { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    Ok(verifier.build().map_err(|error| unusable(error.to_string()))?)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsOptionsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok().filter(|found| !found.is_empty()).ok_or_else(|| TlsOptionsError::NoCertificate(path.to_owned()))
}

/// What to do about an error of TLS on the way to `endpoint`; `None` when it is none of TLS.
pub(super) fn explained(error: &io::Error, endpoint: &Endpoint) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let host = endpoint.host();
    Some(match error {
        rustls::Error::InvalidCertificate(why) => match why {
            // The latter is a CA that has the same name and another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the brain's certificate is not signed by anybody this agent trusts: give \
                                                the certificate of the CA that signed it with --ca-cert"
                    .to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("{why}: renew the brain's certificate, or set this host's clock right")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("{why}: set this host's clock right, or wait")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!(
                    "{why}: use a name that the brain's certificate is for in --brain, or give the brain one for {host}"
                )
            }
            // What `openssl req -x509` makes unless it is told otherwise.
            CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                "the brain's certificate is one of a CA, and not one of a server: have that CA sign one for the brain, or \
                 make a self-signed one with basicConstraints=CA:FALSE"
                    .to_owned()
            }
            _ => format!("the brain's certificate cannot be trusted: {why}"),
        },
        rustls::Error::InvalidMessage(_) => {
            format!("the brain does not speak TLS on this port: use {}", endpoint.with_other_scheme())
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the brain wants a client certificate: give one with --client-cert and --client-key".to_owned()
        }
        rustls::Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::DecryptError,
        ) => format!("the brain does not accept the certificate of --client-cert: {error}"),
        _ => format!("TLS to {host} failed: {error}"),
    })
}
