//! How much of the gateway agents may take up.

use std::num::NonZeroU32;
use std::time::Duration;

/// Limits of the gateway.
#[derive(Clone, Copy, Debug)]
pub struct GatewayLimits {
    /// Handshakes (upgrades, and first requests of long-poll sessions) per second and client address in the long run.
    pub handshakes_per_second: NonZeroU32,
    /// Handshakes of one client address at once: a whole fleet behind one address may come back after a restart.
    pub handshake_burst: NonZeroU32,
    /// Connections of one agent token, sessions included.
    pub connections_per_token: usize,
    /// Long-poll sessions in all.
    pub longpoll_sessions: usize,
    /// Most bytes of batches in memory, three quarters of them for one token. Beyond it sockets are not read.
    pub ingest_memory: usize,
    /// How long batches are held, unacked, while the store cannot be written. After that agents are sent away with 1013.
    pub store_patience: Duration,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            handshakes_per_second: NonZeroU32::MIN.saturating_add(199),
            handshake_burst: NonZeroU32::MIN.saturating_add(11_999),
            // More than the largest fleet we measure, and well below what the server accepts in all.
            connections_per_token: 12_000,
            longpoll_sessions: 10_000,
            ingest_memory: 48 << 20,
            store_patience: Duration::from_secs(30),
        }
    }
}
