//! Where the brain is.

use std::fmt;

use thiserror::Error;

/// A brain's WebSocket endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address, an IPv6 address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// `host[:port]` as it was given.
    authority: String,
    /// Path of the endpoint, with its base.
    path: String,
}

/// Why a URL is not a brain's.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EndpointError {
    /// TLS is not there yet.
    #[error("TLS is not supported yet: use ws:// to a brain on this host or through a tunnel, not wss:// or https://")]
    Tls,
    /// Neither of the schemes.
    #[error("the brain's URL must begin with ws:// or http://")]
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

    /// Reads `ws://host[:port][/base]`; `/ws` is appended to the base unless it ends in it.
    fn from_str(url: &str) -> Result<Self, EndpointError> {
        let url = url.trim();
        let (scheme, rest) = url.split_once("://").ok_or(EndpointError::Scheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "ws" | "http" => {}
            "wss" | "https" => return Err(EndpointError::Tls),
            _ => return Err(EndpointError::Scheme),
        }
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
        let base = path.trim_end_matches('/');
        let path = if base.ends_with("/ws") { base.to_owned() } else { format!("{base}/ws") };
        Ok(Self { host: host.to_owned(), port, authority: authority.to_owned(), path })
    }
}

fn host_and_port(authority: &str) -> Result<(&str, u16), EndpointError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, after) = bracketed.split_once(']').ok_or(EndpointError::Host)?;
            (host, after.strip_prefix(':').or_else(|| after.is_empty().then_some("80")))
        }
        None => authority.split_once(':').map_or((authority, Some("80")), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err(EndpointError::Host);
    }
    let port = port.and_then(|port| port.parse().ok()).filter(|port| *port != 0).ok_or(EndpointError::Port)?;
    Ok((host, port))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ws://{}{}", self.authority, self.path)
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
            (" ws://127.0.0.1:1 ", "ws://127.0.0.1:1/ws", "127.0.0.1", 1),
        ] {
            let read: Endpoint = url.parse().expect(url);
            assert_eq!((read.to_string().as_str(), read.host.as_str(), read.port), (endpoint, host, port));
        }
    }

    #[test]
    fn other_urls_are_refused_with_the_reason() {
        for (url, error) in [
            ("wss://brain", EndpointError::Tls),
            ("https://brain", EndpointError::Tls),
            ("brain:8400", EndpointError::Scheme),
            ("ftp://brain", EndpointError::Scheme),
            ("ws://me:secret@brain", EndpointError::Credentials),
            ("ws://brain/?token=x", EndpointError::Query),
            ("ws://", EndpointError::Host),
            ("ws://:80", EndpointError::Host),
            ("ws://brain:0", EndpointError::Port),
            ("ws://brain:x", EndpointError::Port),
            ("ws://[::1", EndpointError::Host),
            ("ws://brain/a b", EndpointError::Characters),
        ] {
            assert_eq!(url.parse::<Endpoint>(), Err(error), "{url}");
        }
    }
}
