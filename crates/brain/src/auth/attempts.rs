//! Wrong credentials, counted per peer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use governor::clock::DefaultClock;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

/// Wrong credentials that a peer may send in a row …
const BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(29);
/// … and per minute in the long run.
const PER_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(29);
/// Peers remembered at once.
const MAX_PEERS: usize = 10_000;

/// Limits how many wrong credentials a peer may try.
///
/// Only failures count, and only they are refused: behind a proxy many people share one address, and one broken script
/// must not lock the others out.
pub(crate) struct FailedAttempts {
    limiter: RateLimiter<IpAddr, HashMapStateStore<IpAddr>, DefaultClock>,
}

impl Default for FailedAttempts {
    fn default() -> Self {
        Self { limiter: RateLimiter::hashmap(Quota::per_minute(PER_MINUTE).allow_burst(BURST)) }
    }
}

impl FailedAttempts {
    /// Counts a failure of `peer`; false when it had too many.
    pub(crate) fn note(&self, peer: Option<IpAddr>) -> bool {
        let peer = group(peer);
        if self.limiter.len() >= MAX_PEERS {
            self.limiter.retain_recent();
        }
        // When even the recent ones are too many, this is an attack from many addresses: they share one allowance.
        let key = if self.limiter.len() >= MAX_PEERS { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { peer };
        self.limiter.check_key(&key).is_ok()
    }
}

/// Who counts as one peer: an IPv4 address, or an IPv6 network of the size that one site is given.
fn group(peer: Option<IpAddr>) -> IpAddr {
    match peer.map(|ip| ip.to_canonical()) {
        Some(IpAddr::V6(ip)) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        Some(ip) => ip,
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_runs_out_of_attempts_and_others_do_not() {
        let attempts = FailedAttempts::default();
        let peer = |text: &str| Some(text.parse().expect("an address"));
        let tried = (0..100).take_while(|_| attempts.note(peer("2001:db8::1"))).count();
        assert_eq!(tried, 30);
        assert!(!attempts.note(peer("2001:db8::2")), "the same network");
        assert!(attempts.note(peer("192.0.2.1")));
    }

    #[test]
    fn the_peers_that_are_remembered_are_bounded() {
        let attempts = FailedAttempts::default();
        for i in 0..u32::try_from(MAX_PEERS).expect("small") + 100 {
            attempts.note(Some(IpAddr::V4(Ipv4Addr::from(i))));
        }
        assert!(attempts.limiter.len() <= MAX_PEERS + 1);
    }
}
