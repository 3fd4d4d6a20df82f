//! What reverse proxies say about a request: `Forwarded` (RFC 7239) and the `X-Forwarded-` headers, believed only where they
//! come from a trusted proxy.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::public_url::BasePath;

/// Most proxies between a client and us; what would come before is not looked at.
const MAX_HOPS: usize = 32;

/// Proxies whose word counts.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

/// What is believed about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Whom the request comes from.
    pub(super) client: IpAddr,
    /// Whether the client spoke TLS with the outermost trusted proxy.
    pub(super) is_https: Option<bool>,
    /// The host that the client asked for.
    pub(super) host: Option<HeaderValue>,
    /// What the proxy took off the path, or left on it.
    pub(super) base: Option<BasePath>,
}

/// One hop of a request's way, as the proxy that received it tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Hop {
    from: Option<IpAddr>,
    proto: Option<String>,
    host: Option<String>,
}

impl TrustedProxies {
    /// Believes the proxies in these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&ip))
    }

    /// What to believe about a request that came from `peer`.
    pub(super) fn told(&self, peer: IpAddr, headers: &HeaderMap) -> Told {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return Told { client: peer, is_https: None, host: None, base: None };
        }
        let prefix = last_item(headers, "x-forwarded-prefix");
        let (standard, usual) = (forwarded_hops(headers), x_forwarded_hops(headers));
        let (standard, usual) = (self.outermost(peer, &standard), self.outermost(peer, &usual));
        let (client, hop) = match (standard, usual) {
            (Some(told), None) | (None, Some(told)) => told,
            // A proxy that sets only one of the two passes on what the client wrote into the other. Where they do not agree,
            // one of them is made up, and it cannot be known which.
            (Some((client, standard)), Some((other, usual))) if client == other => {
                let hop = Hop {
                    from: Some(client),
                    proto: agreed(standard.proto, usual.proto),
                    host: agreed(standard.host, usual.host),
                };
                (client, hop)
            }
            (Some(_), Some(_)) | (None, None) => (peer, Hop::default()),
        };
        Told {
            client,
            is_https: hop.proto.and_then(|proto| match proto.to_ascii_lowercase().as_str() {
                "https" | "wss" => Some(true),
                "http" | "ws" => Some(false),
                _ => None,
            }),
            host: hop.host.and_then(|host| HeaderValue::from_str(&host).ok()),
            base: prefix.and_then(|prefix| BasePath::parse(&prefix).ok()),
        }
    }

    /// The client, and what was told by the outermost trusted proxy, which the client spoke with. `None` where nothing is
    /// told.
    fn outermost(&self, peer: IpAddr, hops: &[Hop]) -> Option<(IpAddr, Hop)> {
        let mut told: Option<(IpAddr, Hop)> = None;
        for hop in hops.iter().rev().take(MAX_HOPS) {
            let speaker = told.as_ref().map_or(peer, |(client, _)| *client);
            if !self.trusts(speaker) {
                break;
            }
            // A hop without an address ends what can be known.
            let Some(from) = hop.from else {
                return Some((speaker, hop.clone()));
            };
            told = Some((from, hop.clone()));
        }
        told
    }
}

fn agreed(one: Option<String>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(&other).then_some(one),
        (one, other) => one.or(other),
    }
}

/// All values of a header, in order; those that are not text count as empty.
fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    let Ok(name) = HeaderName::try_from(name) else { return Vec::new() };
    headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default().to_owned()).collect()
}

/// The items of a header that is a plain list.
fn items(headers: &HeaderMap, name: &str) -> Vec<String> {
    let items = values(headers, name).join(",");
    if items.trim().is_empty() { Vec::new() } else { items.split(',').map(|item| item.trim().to_owned()).collect() }
}

/// The last item: the nearest proxy's.
fn last_item(headers: &HeaderMap, name: &str) -> Option<String> {
    items(headers, name).pop().filter(|item| !item.is_empty())
}

fn x_forwarded_hops(headers: &HeaderMap) -> Vec<Hop> {
    let from = items(headers, "x-forwarded-for");
    let (proto, host) = (items(headers, "x-forwarded-proto"), items(headers, "x-forwarded-host"));
    // A list that is as long says it of each hop; another one only of the last.
    let of = |list: &[String], at: usize| {
        let item = if list.len() == from.len() { list.get(at) } else { list.last() };
        item.filter(|item| !item.is_empty()).cloned()
    };
    let hop = |(at, node): (usize, &String)| Hop { from: address(node), proto: of(&proto, at), host: of(&host, at) };
    if from.is_empty() && !(proto.is_empty() && host.is_empty()) {
        return vec![Hop { from: None, proto: proto.last().cloned(), host: host.last().cloned() }];
    }
    from.iter().enumerate().map(hop).collect()
}

fn forwarded_hops(headers: &HeaderMap) -> Vec<Hop> {
    let text = values(headers, "forwarded").join(",");
    if text.trim().is_empty() {
        return Vec::new();
    }
    unquoted_split(&text, ',').into_iter().map(forwarded_hop).collect()
}

fn forwarded_hop(element: &str) -> Hop {
    let mut hop = Hop::default();
    for pair in unquoted_split(element, ';') {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let value = unquoted(value.trim());
        match name.trim().to_ascii_lowercase().as_str() {
            "for" => hop.from = address(&value),
            "proto" => hop.proto = Some(value),
            "host" => hop.host = Some(value),
            _ => {}
        }
    }
    hop
}

/// Splits where the separator is not inside a quoted string.
fn unquoted_split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if c == separator && !quoted => {
                parts.push(&text[from..at]);
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return value.to_owned() };
    let mut escaped = false;
    inner
        .chars()
        .filter(|c| {
            escaped = *c == '\\' && !escaped;
            !escaped
        })
        .collect()
}

/// An address, with or without a port, brackets as an IPv6 address with a port has them.
fn address(node: &str) -> Option<IpAddr> {
    let node = node.trim();
    let ip = node.parse::<IpAddr>().ok();
    let ip = ip.or_else(|| node.parse::<SocketAddr>().ok().map(|address| address.ip()));
    let ip = ip.or_else(|| node.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    ip.map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxies(networks: &[&str]) -> TrustedProxies {
        TrustedProxies::new(networks.iter().map(|network| network.parse().expect("a network")).collect())
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn told(pairs: &[(&'static str, &str)]) -> Told {
        proxies(&["10.0.0.0/8", "fd00::/8"]).told(ip("10.0.0.1"), &headers(pairs))
    }

    #[test]
    fn the_client_is_the_last_whom_no_trusted_proxy_names_as_a_proxy() {
        for (name, value, client) in [
            ("x-forwarded-for", "192.0.2.1", "192.0.2.1"),
            ("x-forwarded-for", "198.51.100.9, 192.0.2.1", "192.0.2.1"),
            ("x-forwarded-for", "198.51.100.9, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
            ("x-forwarded-for", "10.0.0.3,10.0.0.2", "10.0.0.3"),
            ("x-forwarded-for", "192.0.2.1:4711", "192.0.2.1"),
            ("x-forwarded-for", "[2001:db8::1]:4711", "2001:db8::1"),
            ("x-forwarded-for", "2001:db8::1", "2001:db8::1"),
            ("x-forwarded-for", "::ffff:192.0.2.1", "192.0.2.1"),
            ("x-forwarded-for", "192.0.2.1, unknown", "10.0.0.1"),
            ("x-forwarded-for", "192.0.2.1, nonsense, 10.0.0.2", "10.0.0.2"),
            ("x-forwarded-for", "", "10.0.0.1"),
            ("forwarded", "for=192.0.2.1", "192.0.2.1"),
            ("forwarded", "For=\"[2001:db8::1]:4711\";proto=https", "2001:db8::1"),
            ("forwarded", "for=198.51.100.9, for=192.0.2.1;by=x, for=10.0.0.2", "192.0.2.1"),
            ("forwarded", "for=192.0.2.1, for=_hidden", "10.0.0.1"),
            ("forwarded", "for=\"a,b\\\",c\", for=192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(told(&[(name, value)]).client, ip(client), "{name}: {value}");
        }
        let twice = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "10.0.0.2")];
        assert_eq!(told(&twice).client, ip("192.0.2.1"));
    }

    #[test]
    fn two_headers_that_contradict_each_other_are_not_believed() {
        let contradiction = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=198.51.100.9;proto=https")];
        let believed = told(&contradiction);
        assert_eq!((believed.client, believed.is_https), (ip("10.0.0.1"), None));
        let same = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1;proto=https")];
        let believed = told(&same);
        assert_eq!((believed.client, believed.is_https), (ip("192.0.2.1"), Some(true)));
    }

    #[test]
    fn scheme_host_and_prefix_are_those_that_the_client_used() {
        let believed = told(&[
            ("x-forwarded-for", "192.0.2.1, 10.0.0.2"),
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-host", "tasks.example.com, inner"),
            ("x-forwarded-prefix", "/tasks/"),
        ]);
        assert_eq!(believed.is_https, Some(true));
        assert_eq!(believed.host.expect("a host"), "tasks.example.com");
        assert_eq!(believed.base.expect("a base").as_str(), "/tasks");
        let believed = told(&[("forwarded", "for=192.0.2.1;proto=https;host=\"tasks.example.com:8443\"")]);
        assert_eq!(
            (believed.is_https, believed.host.expect("a host").as_bytes()),
            (Some(true), &b"tasks.example.com:8443"[..])
        );
        assert_eq!(told(&[("x-forwarded-proto", "https")]).is_https, Some(true));
        assert_eq!(told(&[("x-forwarded-prefix", "//evil.example")]).base, None);
    }

    #[test]
    fn who_is_no_trusted_proxy_is_not_believed() {
        let lies = headers(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1;proto=https;host=evil"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-prefix", "/evil"),
        ]);
        let peer = ip("192.0.2.7");
        let nothing = Told { client: peer, is_https: None, host: None, base: None };
        assert_eq!(proxies(&["10.0.0.0/8"]).told(peer, &lies), nothing);
        assert_eq!(TrustedProxies::default().told(peer, &lies), nothing);
    }

    proptest! {
        #[test]
        fn whatever_the_headers_say_they_are_only_read(
            forwarded in "[ -~\t]{0,80}", list in "[ -~\t]{0,80}", proto in "[ -~]{0,20}", trusted: bool
        ) {
            let pairs = [("forwarded", &*forwarded), ("x-forwarded-for", &list), ("x-forwarded-proto", &proto)];
            let peer = if trusted { ip("10.0.0.1") } else { ip("192.0.2.7") };
            let believed = proxies(&["10.0.0.0/8"]).told(peer, &headers(&pairs));
            prop_assert!(trusted || believed.client == peer && believed.is_https.is_none());
        }

        #[test]
        fn what_a_client_writes_before_the_proxies_addition_changes_nothing(made_up in "[ -~]{0,60}") {
            let list = format!("{made_up}, 192.0.2.1");
            prop_assert_eq!(told(&[("x-forwarded-for", &list)]).client, ip("192.0.2.1"));
        }

        #[test]
        fn ipv6_clients_are_read_in_every_form(address: std::net::Ipv6Addr) {
            for form in [format!("{address}"), format!("[{address}]"), format!("[{address}]:443")] {
                prop_assert_eq!(told(&[("x-forwarded-for", &form)]).client, IpAddr::V6(address).to_canonical());
            }
        }
    }
}
