//! Where the brain is.

use std::fmt;

use thiserror::Error;

/// Where a brain is, and whether the way to it is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    tls: bool,
    /// Name or address, an IPv6 address without brackets.
    host: String,
    port: u16,
    /// `host[:port]` as it was given.
    authority: String,
    /// Path of the WebSocket endpoint, with its base.
    path: String,
}

/// Why a URL is not a brain's.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EndpointError {
    /// None of the schemes.
    #[error("the brain's URL must begin with wss:// or https://, or without TLS with ws:// or http://")]
    Scheme,
    /// Credentials in a URL end up in logs.
    #[error("the brain's URL must not contain credentials: give the token on its own")]
    Credentials,
    /// There is something that a base URL does not have.
    #[error("the brain's URL must not have a query or a fragment")]
    Query,
    /// No host.
    #[error("the brain's URL has no host")]
    Host,
    /// Not a port.
    #[error("the brain's URL has a port that is not a number from 1 to 65535")]
    Port,
    /// Not a path.
    #[error("the brain's URL has characters in it that no URL has")]
    Characters,
}

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;

    /// Reads `wss://host[:port][/base]`, or the same with `https`, `ws` or `http`; `/ws` is appended to the base unless it
    /// ends in it.
    fn from_str(url: &str) -> Result<Self, EndpointError> {
        let url = url.trim();
        let (scheme, rest) = url.split_once("://").ok_or(EndpointError::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "ws" | "http" => false,
            "wss" | "https" => true,
            _ => return Err(EndpointError::Scheme),
        };
        let (authority, path) = rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
        if authority.contains('@') {
            return Err(EndpointError::Credentials);
        }
        if path.contains(['?', '#']) {
            return Err(EndpointError::Query);
        }
        if !rest.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(EndpointError::Characters);
        }
        let (host, port) = host_and_port(authority)?;
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        let base = path.trim_end_matches('/');
        let path = if base.ends_with("/ws") { base.to_owned() } else { format!("{base}/ws") };
        Ok(Self { tls, host: host.to_owned(), port, authority: authority.to_owned(), path })
    }
}

impl Endpoint {
    /// True where the way is encrypted.
    pub(super) fn is_tls(&self) -> bool {
        self.tls
    }

    /// Name or address, an IPv6 address without brackets.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// `host[:port]`, the value of the `Host` header.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Path of the long-poll endpoint, with its base.
    pub(super) fn longpoll_path(&self) -> String {
        format!("{}/longpoll", self.path)
    }

    /// The same address under the other scheme: what to try when encryption is what the two sides disagree about.
    pub(super) fn with_other_scheme(&self) -> Self {
        Self { tls: !self.tls, ..self.clone() }
    }
}

/// Host and port of `host[:port]`, where an IPv6 address has brackets.
pub(super) fn host_and_port(authority: &str) -> Result<(&str, Option<u16>), EndpointError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, after) = bracketed.split_once(']').ok_or(EndpointError::Host)?;
            if after.is_empty() { (host, None) } else { (host, Some(after.strip_prefix(':').unwrap_or("none"))) }
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err(EndpointError::Host);
    }
    match port.map(str::parse) {
        None => Ok((host, None)),
        Some(Ok(port @ 1..)) => Ok((host, Some(port))),
        Some(_) => Err(EndpointError::Port),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_found_under_the_base() {
        for (url, endpoint, host, port) in [
            ("ws://brain:8400", "ws://brain:8400/ws", "brain", 8400),
            ("ws://brain:8400/", "ws://brain:8400/ws", "brain", 8400),
            ("http://brain/tasks/", "ws://brain/tasks/ws", "brain", 80),
            ("WS://brain/tasks/ws", "ws://brain/tasks/ws", "brain", 80),
            ("ws://[::1]:8400/ws/", "ws://[::1]:8400/ws", "::1", 8400),
            ("wss://brain", "wss://brain/ws", "brain", 443),
            ("https://[::1]/tasks", "wss://[::1]/tasks/ws", "::1", 443),
            ("HTTPS://brain:8443/tasks", "wss://brain:8443/tasks/ws", "brain", 8443),
            (" ws://127.0.0.1:1 ", "ws://127.0.0.1:1/ws", "127.0.0.1", 1),
        ] {
            let read: Endpoint = url.parse().expect(url);
            assert_eq!((read.to_string().as_str(), read.host(), read.port()), (endpoint, host, port));
            assert_eq!(read.is_tls(), endpoint.starts_with("wss"), "{url}");
        }
    }

    #[test]
    fn long_poll_is_below_the_websocket() {
        let endpoint: Endpoint = "https://brain:8443/tasks/".parse().expect("an endpoint");
        assert_eq!((endpoint.longpoll_path().as_str(), endpoint.authority()), ("/tasks/ws/longpoll", "brain:8443"));
        assert_eq!(endpoint.with_other_scheme().to_string(), "ws://brain:8443/tasks/ws");
    }

    #[test]
    fn other_urls_are_refused_with_the_reason() {
        for (url, error) in [
            ("brain:8400", EndpointError::Scheme),
            ("ftp://brain", EndpointError::Scheme),
            ("wss://me:secret@brain", EndpointError::Credentials),
            ("ws://brain/?token=x", EndpointError::Query),
            ("ws://", EndpointError::Host),
            ("ws://:80", EndpointError::Host),
            ("ws://brain:0", EndpointError::Port),
            ("ws://brain:", EndpointError::Port),
            ("ws://brain:x", EndpointError::Port),
            ("ws://[::1]8400", EndpointError::Port),
            ("ws://[::1", EndpointError::Host),
            ("ws://brain/a b", EndpointError::Characters),
        ] {
            assert_eq!(url.parse::<Endpoint>(), Err(error), "{url}");
        }
    }
}
