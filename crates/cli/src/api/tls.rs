//! TLS towards the brain.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use reqwest::{Certificate, ClientBuilder, Identity};

use crate::arguments::ClientTlsOptions;
use crate::wrong_usage::WrongUsage;

/// Makes a client trust whom `options` name, and show the certificate that they name.
///
/// # Errors
/// When the files cannot be used.
pub(super) fn with_tls(client: ClientBuilder, is_https: bool, options: &ClientTlsOptions) -> Result<ClientBuilder> {
    if !is_https {
        // Nobody needs to be trusted then, and a host without CA certificates must do.
        return Ok(client.tls_certs_only([]));
    }
    let client = match &options.ca_cert {
        Some(path) => client.tls_certs_only(authorities(path)?),
        None => client,
    };
    Ok(match (&options.client_cert, &options.client_key) {
        (Some(cert), Some(key)) => client.identity(identity(cert, key)?),
        (None, None) => client,
        _ => bail!(WrongUsage("--client-cert and --client-key belong together: give both".to_owned())),
    })
}

fn authorities(path: &Path) -> Result<Vec<Certificate>> {
    let found = Certificate::from_pem_bundle(&read(path)?).unwrap_or_default();
    if found.is_empty() {
        bail!("{} holds no certificate: it must be PEM, with BEGIN CERTIFICATE in it", path.display());
    }
    Ok(found)
}

fn identity(cert: &Path, key: &Path) -> Result<Identity> {
    let pem = [read(key)?, b"\n".to_vec(), read(cert)?].concat();
    Identity::from_pem(&pem).map_err(|_| {
        anyhow!(
            "{} and {} are no certificate and its private key, PEM and not encrypted",
            cert.display(),
            key.display()
        )
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// What to do about an error of TLS; `None` when it is none of TLS.
pub(super) fn explained(error: &reqwest::Error) -> Option<String> {
    use rustls::{CertificateError, Error};
    let error = tls_error(error)?;
    Some(match error {
        // The latter is a CA that has the same name and another key.
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            format!("{error}: give the CA that signed the brain's certificate with --ca-cert")
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!("{error}: use a name in --url that the certificate is for"),
        // What `openssl req -x509` makes unless it is told otherwise.
        Error::InvalidCertificate(CertificateError::Other(other))
            if format!("{other:?}").contains("CaUsedAsEndEntity") =>
        {
            "its certificate is one of a CA, and not one of a server: have that CA sign one for the brain, or make a \
             self-signed one with basicConstraints=CA:FALSE"
                .to_owned()
        }
        Error::InvalidMessage(_) => "the brain does not speak TLS there: use http:// in --url".to_owned(),
        _ => error.to_string(),
    })
}

fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(error);
        }
        // What an I/O error wraps is not its source.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(wrapped) = wrapped {
            return tls_error(wrapped);
        }
        cause = error.source();
    }
    None
}
