//! Where a virtual host of RabbitMQ is, and how it is reached.

use std::fs;

use lapin::{
    tcp::{OwnedIdentity, OwnedTLSConfig},
    types::ShortString,
    uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo},
};
use taskplane_celery_address::{Url, percent_decode};

use crate::config::ConfigError;

/// RabbitMQ's own default, and what kombu fills in.
const GUEST: &str = "guest";
const DEFAULT_PORT: u16 = 5672;
const DEFAULT_TLS_PORT: u16 = 5671;
/// Seconds between heartbeats: a peer that is silent for twice as long is gone.
const HEARTBEAT: u16 = 20;
/// Bytes of a frame. The driver holds 64 frames of this size per connection.
const FRAME: u32 = 32 << 10;

/// One virtual host, and its name for people.
#[derive(Clone)]
pub(crate) struct RabbitAddress {
    pub(crate) uri: AMQPUri,
    pub(crate) tls: OwnedTLSConfig,
    /// `host:port/vhost`, without credentials.
    pub(crate) shown: String,
}

impl RabbitAddress {
    /// Takes a URL as kombu writes it. `what` names it in errors.
    pub(crate) fn new(what: &'static str, url: &Url) -> Result<Self, ConfigError> {
        let bad = |why: &str| ConfigError::BadUrl { what, why: why.to_owned() };
        let secure = url.scheme == "amqps" || url.options.iter().any(|(name, _)| name.starts_with("ssl_"));
        let vhost = virtual_host(&url.path).ok_or_else(|| bad("the virtual host (after the host) is badly escaped"))?;
        if ShortString::try_new(vhost.as_str()).is_err() {
            return Err(bad("the virtual host is longer than 255 bytes"));
        }
        let or_guest = |text: &Option<String>| text.clone().unwrap_or_else(|| GUEST.to_owned());
        let port = url.port.unwrap_or(if secure { DEFAULT_TLS_PORT } else { DEFAULT_PORT });
        Ok(Self {
            shown: format!("{}:{port}/{vhost}", url.host),
            tls: if secure { tls(what, url)? } else { OwnedTLSConfig::default() },
            uri: AMQPUri {
                scheme: if secure { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
                authority: AMQPAuthority {
                    userinfo: AMQPUserInfo { username: or_guest(&url.user), password: or_guest(&url.password) },
                    host: url.host.clone(),
                    port,
                },
                vhost,
                query: AMQPQueryString {
                    heartbeat: Some(HEARTBEAT),
                    frame_max: Some(FRAME),
                    ..AMQPQueryString::default()
                },
            },
        })
    }
}

/// `/` unless another is named; `//` names it too, as `%2F` does.
fn virtual_host(path: &str) -> Option<String> {
    Some(match percent_decode(path)? {
        path if path.is_empty() => "/".to_owned(),
        path => path,
    })
}

/// The files of a URL that has TLS, in kombu's names.
fn tls(what: &'static str, url: &Url) -> Result<OwnedTLSConfig, ConfigError> {
    let bad = |why: &str| ConfigError::BadUrl { what, why: why.to_owned() };
    if url.option("ssl_cert_reqs").is_some_and(|reqs| !matches!(reqs, "required" | "CERT_REQUIRED")) {
        return Err(bad(
            "ssl_cert_reqs turns the check of the server's certificate off, which the agent does not do: name the \
             authority that signed it with ssl_ca_certs=/path/ca.pem instead",
        ));
    }
    let read = |path: &str| {
        fs::read(path).map_err(|error| ConfigError::TlsFile {
            what,
            path: path.to_owned(),
            why: error.kind().to_string(),
        })
    };
    let cert_chain = match url.option("ssl_ca_certs") {
        Some(path) => Some(String::from_utf8(read(path)?).map_err(|_| ConfigError::TlsFile {
            what,
            path: path.to_owned(),
            why: "it is no text".to_owned(),
        })?),
        None => None,
    };
    let identity = match (url.option("ssl_certfile"), url.option("ssl_keyfile")) {
        (Some(cert), key) => Some(OwnedIdentity::PKCS8 { pem: read(cert)?, key: read(key.unwrap_or(cert))? }),
        (None, Some(_)) => return Err(bad("ssl_keyfile needs ssl_certfile beside it")),
        (None, None) => None,
    };
    Ok(OwnedTLSConfig { identity, cert_chain })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<RabbitAddress, ConfigError> {
        RabbitAddress::new("broker", &Url::parse(url).expect(url))
    }

    #[test]
    fn urls_are_read_as_kombu_writes_them() {
        for (url, shown) in [
            ("amqp://", "localhost:5672//"),
            ("amqp://rabbit", "rabbit:5672//"),
            ("amqp://rabbit/", "rabbit:5672//"),
            ("pyamqp://u:p@rabbit:5673//", "rabbit:5673//"),
            ("amqp://rabbit/prod", "rabbit:5672/prod"),
            ("amqp://rabbit//prod", "rabbit:5672//prod"),
            ("amqp://rabbit/%2Fprod%20eu", "rabbit:5672//prod eu"),
            ("amqps://rabbit/prod", "rabbit:5671/prod"),
        ] {
            assert_eq!(parse(url).expect(url).shown, shown, "{url}");
        }
        let user = |url: &str| parse(url).expect(url).uri.authority.userinfo;
        let pair = |user: &str, password: &str| AMQPUserInfo { username: user.into(), password: password.into() };
        assert_eq!(user("amqp://h"), pair("guest", "guest"));
        assert_eq!(user("amqp://b%40b:p%2Fs%3As@h//"), pair("b@b", "p/s:s"));
        assert_eq!(parse("amqps://h").expect("parses").uri.scheme, AMQPScheme::AMQPS);
    }

    #[test]
    fn what_cannot_be_used_is_explained_without_the_password() {
        for (url, why) in [
            ("amqp://u:hunter2@h/%zz", "virtual host"),
            ("amqps://u:hunter2@h/?ssl_cert_reqs=none", "ssl_ca_certs"),
            ("amqps://u:hunter2@h/?ssl_keyfile=/k", "ssl_certfile"),
            ("amqps://u:hunter2@h/?ssl_ca_certs=/no/such/file.pem", "/no/such/file.pem"),
        ] {
            let error = parse(url).err().expect(url).to_string();
            assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
        }
        assert!(parse(&format!("amqp://h/{}", "v".repeat(256))).is_err());
    }
}
