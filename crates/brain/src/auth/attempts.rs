//! What a peer may do so often and no more.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

/// Wrong credentials that a peer may send in a row …
const BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(29);
/// … and per minute in the long run.
const PER_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(29);
/// Peers remembered at once.
const MAX_PEERS: usize = 10_000;
/// How often those are looked for that need not be remembered.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Limits how often each peer may do something.
pub(crate) struct PeerLimit {
    limiter: RateLimiter<IpAddr, HashMapStateStore<IpAddr>, DefaultClock>,
    swept: Mutex<Option<Instant>>,
}

impl PeerLimit {
    /// A limit for each peer.
    pub(crate) fn new(quota: Quota) -> Self {
        Self { limiter: RateLimiter::hashmap(quota), swept: Mutex::default() }
    }

    /// Counts once for `peer`.
    ///
    /// # Errors
    /// When it was too often, with the time after which it may be again.
    pub(crate) fn note(&self, peer: Option<IpAddr>) -> Result<(), Duration> {
        let peer = group(peer);
        if self.limiter.len() >= MAX_PEERS && self.is_time_to_sweep() {
            self.limiter.retain_recent();
        }
        // When even the recent ones are too many, this is an attack from many addresses: they share one allowance.
        let key = if self.limiter.len() >= MAX_PEERS { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { peer };
        self.limiter.check_key(&key).map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
    }

    fn is_time_to_sweep(&self) -> bool {
        let mut swept = self.swept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_time = swept.is_none_or(|at| at.elapsed() >= SWEEP_EVERY);
        if is_time {
            *swept = Some(Instant::now());
        }
        is_time
    }
}

/// Limits how many wrong credentials a peer may try.
///
/// Only failures count, and only they are refused: behind a proxy many people share one address, and one broken script
/// must not lock the others out.
pub(crate) struct FailedAttempts(PeerLimit);

impl Default for FailedAttempts {
    fn default() -> Self {
        Self(PeerLimit::new(Quota::per_minute(PER_MINUTE).allow_burst(BURST)))
    }
}

impl FailedAttempts {
    /// Counts a failure of `peer`; false when it had too many.
    pub(crate) fn note(&self, peer: Option<IpAddr>) -> bool {
        self.0.note(peer).is_ok()
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
    fn who_comes_too_often_is_told_when_to_come_again() {
        let limit = PeerLimit::new(Quota::per_minute(NonZeroU32::MIN));
        assert_eq!(limit.note(None), Ok(()));
        let wait = limit.note(None).expect_err("is too often");
        assert!(wait > Duration::from_secs(50) && wait <= Duration::from_secs(60), "{wait:?}");
    }

    #[test]
    fn the_peers_that_are_remembered_are_bounded() {
        let attempts = FailedAttempts::default();
        for i in 0..u32::try_from(MAX_PEERS).expect("small") + 100 {
            attempts.note(Some(IpAddr::V4(Ipv4Addr::from(i))));
        }
        assert!(attempts.0.limiter.len() <= MAX_PEERS + 1);
    }
}
