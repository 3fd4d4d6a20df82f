//! The way through an HTTP proxy, as `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say.

use std::fmt;
use std::io;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::endpoint::{Endpoint, host_and_port};

/// Longest head of a proxy's answer, in bytes.
const MAX_ANSWER_BYTES: usize = 8 << 10;
/// Port of a proxy that names none.
const DEFAULT_PORT: u16 = 80;

/// Which proxies to use. The default is none; see [`ProxySettings::from_env`].
#[derive(Clone, Default)]
pub struct ProxySettings {
    /// Proxy on the way to `wss://` and `https://`: `http://[user:password@]host[:port]`.
    pub https: Option<String>,
    /// Proxy on the way to `ws://` and `http://`, in the same form.
    pub http: Option<String>,
    /// Hosts that are reached without a proxy: names (with everything below them), addresses, networks such as
    /// `10.0.0.0/8`, each with an optional `:port`, separated by commas; `*` is every host.
    pub no_proxy: Option<String>,
}

/// Why the proxy settings cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ProxySettingsError {
    /// TLS or SOCKS to the proxy.
    #[error("{0} begins with {1}://, and only http:// proxies can be used: they see nothing of what TLS encrypts")]
    Scheme(&'static str, String),
    /// Not an address. Not repeated, because it may hold a password.
    #[error("{0} is not the address of a proxy, such as http://proxy.example.com:3128")]
    Address(&'static str),
}

/// An HTTP proxy.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// The whole value of `Proxy-Authorization`.
    authorization: Option<String>,
}

/// Why there is no way through a proxy.
#[derive(Debug, Error)]
pub(crate) enum ProxyError {
    #[error("wants a user name and a password: put them into its URL, as in http://user:password@proxy:3128")]
    Authentication,
    #[error("did not accept the user name and the password of its URL")]
    WrongAuthentication,
    #[error("refused to connect to the brain: {0}")]
    Refused(String),
    #[error("does not answer like an HTTP proxy")]
    NotAProxy,
    #[error("broke the connection: {0}")]
    Broken(#[from] io::Error),
}

impl ProxySettings {
    /// What the environment says; lower-case names win, as elsewhere.
    pub fn from_env() -> Self {
        let read = |lower: &str, upper: &str| {
            [lower, upper]
                .into_iter()
                .filter_map(|name| std::env::var(name).ok())
                .find(|value| !value.trim().is_empty())
        };
        Self {
            https: read("https_proxy", "HTTPS_PROXY"),
            http: read("http_proxy", "HTTP_PROXY"),
            no_proxy: read("no_proxy", "NO_PROXY"),
        }
    }

    /// The proxy on the way to `endpoint`, if there is one.
    ///
    /// # Errors
    /// There is one, and it cannot be used.
    pub(super) fn on_the_way_to(&self, endpoint: &Endpoint) -> Result<Option<Proxy>, ProxySettingsError> {
        let (name, url) = if endpoint.is_tls() { ("HTTPS_PROXY", &self.https) } else { ("HTTP_PROXY", &self.http) };
        let Some(url) = url.as_deref().map(str::trim).filter(|url| !url.is_empty()) else { return Ok(None) };
        let no_proxy = self.no_proxy.as_deref().unwrap_or_default();
        // No proxy can reach this host's loopback.
        if is_loopback(endpoint.host()) || bypasses(no_proxy, endpoint.host(), endpoint.port()) {
            return Ok(None);
        }
        proxy(name, url).map(Some)
    }
}

impl fmt::Debug for ProxySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URLs may hold passwords.
        let given = |url: &Option<String>| url.as_ref().map(|_| "..");
        f.debug_struct("ProxySettings")
            .field("https", &given(&self.https))
            .field("http", &given(&self.http))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn proxy(name: &'static str, url: &str) -> Result<Proxy, ProxySettingsError> {
    let rest = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some((scheme, _)) => return Err(ProxySettingsError::Scheme(name, scheme.to_owned())),
        None => url,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (credentials, address) =
        authority.rsplit_once('@').map_or((None, authority), |(credentials, address)| (Some(credentials), address));
    if !address.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(ProxySettingsError::Address(name));
    }
    let (host, port) = host_and_port(address).map_err(|_| ProxySettingsError::Address(name))?;
    Ok(Proxy {
        host: host.to_owned(),
        port: port.unwrap_or(DEFAULT_PORT),
        authorization: credentials.map(basic_authorization),
    })
}

fn basic_authorization(credentials: &str) -> String {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let mut plain: Vec<u8> = percent_decode_str(user).collect();
    plain.push(b':');
    plain.extend(percent_decode_str(password));
    format!("Basic {}", STANDARD.encode(plain))
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// True when `no_proxy` names `host:port`.
fn bypasses(no_proxy: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let items = no_proxy.split(|c: char| c == ',' || c.is_whitespace());
    items.filter(|item| !item.is_empty()).any(|item| names(&item.to_ascii_lowercase(), &host, port))
}

/// True when one item of a `NO_PROXY` names the host.
fn names(item: &str, host: &str, port: u16) -> bool {
    if item == "*" {
        return true;
    }
    let ip = host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    if let Ok(network) = item.parse::<IpNet>() {
        return ip.is_some_and(|ip| network.contains(&ip));
    }
    // An IPv6 address without brackets has colons of its own.
    let item = match item.parse::<IpAddr>() {
        Ok(_) => item,
        Err(_) => match host_and_port(item) {
            Ok((name, None)) => name,
            Ok((name, Some(only))) if only == port => name,
            _ => return false,
        },
    };
    if let Ok(address) = item.parse::<IpAddr>() {
        return ip == Some(address.to_canonical());
    }
    let name = item.strip_prefix('*').unwrap_or(item).trim_matches('.');
    // Names below a name, but not "10.1" below an address.
    let is_below = || ip.is_none() && host.strip_suffix(name).is_some_and(|above| above.ends_with('.'));
    !name.is_empty() && (host == name || is_below())
}

/// Asks a proxy for a tunnel to `endpoint`. Afterwards the stream is the tunnel.
pub(super) async fn tunnel<S>(mut stream: S, proxy: &Proxy, endpoint: &Endpoint) -> Result<S, ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let target = match endpoint.host() {
        address if address.contains(':') => format!("[{address}]:{}", endpoint.port()),
        host => format!("{host}:{}", endpoint.port()),
    };
    let authorization =
        proxy.authorization.as_ref().map(|value| format!("Proxy-Authorization: {value}\r\n")).unwrap_or_default();
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let head = answer(&mut stream).await?;
    let line = head.split(|b| *b == b'\r' || *b == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let (version, status) = line.split_once(' ').ok_or(ProxyError::NotAProxy)?;
    if !version.starts_with("HTTP/1.") {
        return Err(ProxyError::NotAProxy);
    }
    match status.get(..3).and_then(|code| code.parse::<u16>().ok()) {
        Some(200..=299) => Ok(stream),
        Some(407) if proxy.authorization.is_some() => Err(ProxyError::WrongAuthentication),
        Some(407) => Err(ProxyError::Authentication),
        Some(_) => Err(ProxyError::Refused(status.chars().filter(|c| !c.is_control()).take(200).collect())),
        None => Err(ProxyError::NotAProxy),
    }
}

/// The head of the answer. Read byte by byte: what follows it belongs to the tunnel.
async fn answer<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, ProxyError> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
        if head.len() == MAX_ANSWER_BYTES {
            return Err(ProxyError::NotAProxy);
        }
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        url.parse().expect(url)
    }

    #[test]
    fn no_proxy_names_hosts_in_every_usual_form() {
        for (no_proxy, host, port) in [
            ("*", "anything", 1),
            ("brain", "brain", 80),
            ("BRAIN", "brain", 80),
            ("a, brain ,b", "brain", 80),
            ("a brain", "brain", 80),
            ("example.com", "brain.example.com", 80),
            ("example.com", "example.com.", 80),
            (".example.com", "brain.example.com", 80),
            (".example.com", "example.com", 80),
            ("*.example.com", "brain.example.com", 80),
            ("brain:8443", "brain", 8443),
            ("example.com:8443", "brain.example.com", 8443),
            ("10.1.2.3", "10.1.2.3", 80),
            ("10.1.2.3:80", "10.1.2.3", 80),
            ("10.0.0.0/8", "10.1.2.3", 80),
            ("fd00::/8", "fd00::1", 80),
            ("fd00::1", "fd00:0::1", 80),
            ("[fd00::1]", "fd00::1", 80),
            ("[fd00::1]:443", "fd00::1", 443),
            ("10.0.0.0/8", "::ffff:10.1.2.3", 80),
        ] {
            assert!(bypasses(no_proxy, host, port), "{no_proxy} {host}:{port}");
        }
    }

    #[test]
    fn no_proxy_names_nothing_else() {
        for (no_proxy, host, port) in [
            ("", "brain", 80),
            (",, ,", "brain", 80),
            ("brain", "otherbrain", 80),
            ("example.com", "notexample.com", 80),
            ("brain.example.com", "example.com", 80),
            ("brain:8443", "brain", 443),
            ("2.3", "10.1.2.3", 80),
            ("10.0.0.0/8", "11.1.2.3", 80),
            ("10.0.0.0/8", "brain", 80),
            ("10.0.0.0/99", "10.1.2.3", 80),
            ("*.", "brain", 80),
            (".", "brain", 80),
            (":80", "brain", 80),
            ("brain:", "brain", 80),
        ] {
            assert!(!bypasses(no_proxy, host, port), "{no_proxy} {host}:{port}");
        }
    }

    proptest! {
        #[test]
        fn whatever_no_proxy_says_it_is_only_read(no_proxy in any::<String>(), host in "[a-z0-9.:]{1,20}", port: u16) {
            bypasses(&no_proxy, &host, port);
            let with_all = format!("{no_proxy},*");
            prop_assert!(bypasses(&with_all, &host, port));
        }
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let settings = ProxySettings {
            https: Some("http://secure:3128".into()),
            http: Some("plain".into()),
            no_proxy: Some("near".into()),
        };
        let way = |url| settings.on_the_way_to(&endpoint(url)).expect("settings").map(|proxy| proxy.to_string());
        assert_eq!(way("wss://brain").as_deref(), Some("secure:3128"));
        assert_eq!(way("http://brain").as_deref(), Some("plain:80"));
        for near in ["wss://near", "wss://localhost", "wss://127.0.0.1:1", "ws://[::1]:1"] {
            assert_eq!(way(near), None, "{near}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused_without_its_password() {
        let refused = |url: &str| {
            let settings = ProxySettings { https: Some(url.into()), ..ProxySettings::default() };
            assert!(!format!("{settings:?}").contains("hunter2"));
            // A proxy that is not on the way may be anything.
            assert!(settings.on_the_way_to(&endpoint("ws://brain")).expect("not used").is_none());
            let error = settings.on_the_way_to(&endpoint("wss://brain")).err().expect(url).to_string();
            assert!(error.contains("HTTPS_PROXY") && !error.contains("hunter2"), "{error}");
        };
        for url in
            ["socks5://me:hunter2@proxy", "https://me:hunter2@proxy", "http://me:hunter2@", "http://me:hunter2@h:x"]
        {
            refused(url);
        }
    }

    #[test]
    fn credentials_are_decoded() {
        let read = proxy("HTTP_PROXY", "http://a%40b:p%3Aw@proxy:3128/").expect("a proxy");
        assert_eq!(read.authorization.as_deref(), Some("Basic YUBiOnA6dw=="));
        assert_eq!(read.to_string(), "proxy:3128");
        assert_eq!(proxy("HTTP_PROXY", "[::1]:3128").expect("a proxy").to_string(), "[::1]:3128");
    }

    async fn asked(url: &str, answer: &str) -> (String, Result<Vec<u8>, ProxyError>) {
        let (ours, mut theirs) = tokio::io::duplex(64 << 10);
        theirs.write_all(answer.as_bytes()).await.expect("writes");
        let way = proxy("HTTP_PROXY", url).expect("a proxy");
        let target = endpoint("wss://[fd00::1]/x");
        let opened = async {
            let mut stream = tunnel(ours, &way, &target).await?;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await?;
            Ok(rest)
        };
        let asked = async {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(theirs.read_u8().await.expect("a request"));
            }
            drop(theirs);
            String::from_utf8(request).expect("text")
        };
        let (opened, request) = tokio::join!(opened, asked);
        (request, opened)
    }

    #[tokio::test]
    async fn a_tunnel_begins_right_after_the_answer() {
        let (request, opened) = asked("u:p@proxy", "HTTP/1.1 200 OK\r\nVia: x\r\n\r\nfirst bytes").await;
        let expected =
            "CONNECT [fd00::1]:443 HTTP/1.1\r\nHost: [fd00::1]:443\r\nProxy-Authorization: Basic dTpw\r\n\r\n";
        assert_eq!(request, expected);
        assert_eq!(opened.expect("a tunnel"), b"first bytes");
    }

    #[tokio::test]
    async fn a_refusal_says_why() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(MAX_ANSWER_BYTES));
        for (url, answer, says) in [
            ("proxy", "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "wants a user name"),
            ("u:p@proxy", "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "did not accept"),
            ("proxy", "HTTP/1.1 403 Forbidden by policy\r\n\r\n", "403 Forbidden by policy"),
            ("proxy", "SSH-2.0-OpenSSH_9.2\r\n\r\n", "not answer like an HTTP proxy"),
            ("proxy", "HTTP/1.1 xx\r\n\r\n", "not answer like an HTTP proxy"),
            ("proxy", &long, "not answer like an HTTP proxy"),
            ("proxy", "HTTP/1.1 200", "broke the connection"),
        ] {
            let error = asked(url, answer).await.1.expect_err(answer).to_string();
            assert!(error.contains(says), "{answer:.40}: {error}");
        }
    }
}
