//! Whom a request comes from: what limits are counted by and what logs name.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::Extensions;
use axum::http::request::Parts;

/// Address of whoever sent a request: the other end of the connection or, where that is a trusted proxy, whom the proxy
/// names. An IPv4 address is never in its IPv6 form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The address that a request's extensions hold.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let peer = || extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| Self(peer.0.ip().to_canonical()));
        extensions.get::<Self>().copied().or_else(peer)
    }
}

/// `0.0.0.0` where there was no connection.
impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions).unwrap_or(Self(Ipv4Addr::UNSPECIFIED.into())))
    }
}
