//! A certificate authority of a test's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// Signs certificates that only those trust who trust it.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
pub struct Issued {
    /// The certificate.
    pub cert: String,
    /// The private key.
    pub key: String,
}

impl Authority {
    /// A new one, which signs nothing of any other.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// Its own certificate, PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server's certificate for these names and addresses.
    ///
    /// # Errors
    /// One of them is neither.
    pub fn server(&self, names: &[&str]) -> Result<Issued> {
        self.issue(self.params(names, ExtendedKeyUsagePurpose::ServerAuth)?)
    }

    /// A server's certificate that was valid until the end of 1999.
    ///
    /// # Errors
    /// One of the names is neither name nor address.
    pub fn expired_server(&self, names: &[&str]) -> Result<Issued> {
        let mut params = self.params(names, ExtendedKeyUsagePurpose::ServerAuth)?;
        params.not_after = rcgen::date_time_ymd(1999, 12, 31);
        self.issue(params)
    }

    /// Its own certificate with the names of a server, as careless people make one: still that of a CA.
    ///
    /// # Errors
    /// One of the names is neither name nor address.
    pub fn careless(names: &[&str]) -> Result<Issued> {
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        Ok(Issued { cert: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
    }

    /// A client's certificate.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn client(&self, name: &str) -> Result<Issued> {
        self.issue(self.params(&[name], ExtendedKeyUsagePurpose::ClientAuth)?)
    }

    fn params(&self, names: &[&str], purpose: ExtendedKeyUsagePurpose) -> Result<CertificateParams> {
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }

    fn issue(&self, params: CertificateParams) -> Result<Issued> {
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(Issued { cert: cert.pem(), key: key.serialize_pem() })
    }
}

impl Issued {
    /// A server that shows it and, with `client_ca`, wants clients' certificates that it signed.
    ///
    /// # Errors
    /// It is no server's certificate.
    pub fn acceptor(&self, client_ca: Option<&Authority>) -> Result<TlsAcceptor> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes())?)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let cert = CertificateDer::from_pem_slice(self.cert.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        Ok(TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![cert], key)?)))
    }

    /// Writes both into a folder, as `<name>.pem` and `<name>.key`, and returns where they are.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn write(&self, folder: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
        let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        std::fs::write(&cert, &self.cert)?;
        std::fs::write(&key, &self.key)?;
        Ok((cert, key))
    }
}
