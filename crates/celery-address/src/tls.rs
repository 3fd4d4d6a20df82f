//! TLS to Redis, as the URL's `ssl_` options ask for it.

use std::fs;

use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, RedisConnectionInfo, TlsCertificates};

use crate::{AddressError, Url};

/// How far the server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Everything,
    /// Not whether it is for the host's name.
    AnyName,
    Nothing,
}

/// Whom to believe, and who to be. Files are read again for each connection: renewed ones need no restart.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    check: Check,
    ca: Option<String>,
    certificate: Option<(String, String)>,
}

impl Tls {
    /// The TLS that a URL asks for, if it does, in the names that kombu and redis-py have for it.
    pub(crate) fn of(url: &Url) -> Result<Option<Self>, AddressError> {
        let asked = url.scheme == "rediss"
            || url.option("ssl").is_some_and(is_yes)
            || url.options.iter().any(|(name, _)| name.starts_with("ssl_"));
        if !asked {
            return Ok(None);
        }
        let file = |name: &str| url.option(name).filter(|path| !path.is_empty()).map(str::to_owned);
        let certificate = match (file("ssl_certfile"), file("ssl_keyfile")) {
            (Some(cert), key) => Some((cert.clone(), key.unwrap_or(cert))),
            (None, Some(_)) => return Err(AddressError::Url("ssl_keyfile needs ssl_certfile beside it".to_owned())),
            (None, None) => None,
        };
        let tls = Self { check: check(url)?, ca: file("ssl_ca_certs"), certificate };
        tls.certificates()?;
        Ok(Some(tls))
    }

    /// Says what is not checked.
    pub(crate) fn warn(&self, shown: &str) {
        match self.check {
            Check::Everything => {}
            Check::AnyName => tracing::warn!(
                redis = shown,
                "ssl_check_hostname=false: whoever has any certificate of the authority can pose as this Redis"
            ),
            Check::Nothing => tracing::warn!(
                redis = shown,
                "ssl_cert_reqs=none: the certificate of this Redis is not checked, and anybody can pose as it; name the \
                 authority that signed it with ssl_ca_certs=/path/ca.pem instead"
            ),
        }
    }

    pub(crate) fn has_certificate(&self) -> bool {
        self.certificate.is_some()
    }

    /// What connects to a server.
    pub(crate) fn client(&self, host: &str, port: u16, settings: RedisConnectionInfo) -> Result<Client, AddressError> {
        let insecure = self.check == Check::Nothing;
        let addr = ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure, tls_params: None };
        let unusable = |_| AddressError::Url("its TLS files cannot be used: give PEM files".to_owned());
        let client = Client::build_with_tls(connection(addr, settings)?, self.certificates()?).map_err(unusable)?;
        if self.check != Check::AnyName {
            return Ok(client);
        }
        let info = client.get_connection_info().clone();
        let mut addr = info.addr().clone();
        addr.set_danger_accept_invalid_hostnames(true);
        Client::open(info.set_addr(addr)).map_err(unusable)
    }

    fn certificates(&self) -> Result<TlsCertificates, AddressError> {
        let client_tls = match &self.certificate {
            Some((cert, key)) => Some(ClientTlsConfig {
                client_cert: read(cert, "CERTIFICATE-----")?,
                client_key: read(key, "PRIVATE KEY-----")?,
            }),
            None => None,
        };
        let root_cert = self.ca.as_deref().map(|path| read(path, "CERTIFICATE-----")).transpose()?;
        Ok(TlsCertificates { client_tls, root_cert })
    }
}

/// What the driver needs to know.
pub(crate) fn connection(addr: ConnectionAddr, settings: RedisConnectionInfo) -> Result<ConnectionInfo, AddressError> {
    use redis::IntoConnectionInfo as _;

    let info = addr.into_connection_info().map_err(|_| AddressError::Url("the host cannot be used".to_owned()))?;
    Ok(info.set_redis_settings(settings))
}

fn check(url: &Url) -> Result<Check, AddressError> {
    // For one who connects, Python knows no difference between optional and required.
    match url.option("ssl_cert_reqs") {
        None | Some("required" | "CERT_REQUIRED" | "optional" | "CERT_OPTIONAL") => {}
        Some("none" | "CERT_NONE") => return Ok(Check::Nothing),
        Some(_) => return Err(AddressError::Url("ssl_cert_reqs is one of required, optional and none".to_owned())),
    }
    let any_name = url.option("ssl_check_hostname").is_some_and(|value| value.eq_ignore_ascii_case("false"));
    Ok(if any_name { Check::AnyName } else { Check::Everything })
}

/// True for what people write for yes.
pub(crate) fn is_yes(value: &str) -> bool {
    ["true", "1", "yes", "on"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

fn read(path: &str, holds: &str) -> Result<Vec<u8>, AddressError> {
    let file = |why: String| AddressError::File { path: path.to_owned(), why };
    let bytes = fs::read(path).map_err(|error| file(error.kind().to_string()))?;
    if !String::from_utf8_lossy(&bytes).contains(holds) {
        let what = if holds.starts_with("CERT") { "certificate" } else { "private key without a password" };
        return Err(file(format!("it holds no {what} in PEM")));
    }
    Ok(bytes)
}
