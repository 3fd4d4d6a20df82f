//! Sizes, counts and times of the protocol.

use std::time::Duration;

/// Largest frame a brain accepts, in bytes.
pub const MAX_FRAME_BYTES: usize = 4 << 20;
/// Most events in one batch.
pub const MAX_BATCH_EVENTS: usize = 5_000;
/// Largest `hello`, in bytes; a larger one closes with 1009.
pub const MAX_HELLO_BYTES: usize = 256 << 10;
/// Largest heartbeat whose report is kept, in bytes; of a larger one only the sign of life counts.
pub const MAX_HEARTBEAT_BYTES: usize = 64 << 10;
/// Largest event that is understood, in bytes; a larger one goes to quarantine.
pub const MAX_EVENT_BYTES: usize = 512 << 10;
/// Deepest nesting of arguments and results; an event with deeper ones goes to quarantine.
pub const MAX_DEPTH: usize = 100;
/// Longest task id, in bytes.
pub const MAX_TASK_ID_BYTES: usize = 512;
/// Longest name of an agent, engine, queue, worker or task type, in bytes.
pub const MAX_NAME_BYTES: usize = 512;
/// Most tasks in one `bulk_retry`.
pub const MAX_BULK_TASKS: usize = 1_000;

/// Our agent seals a batch at so many events …
pub const SEAL_EVENTS: usize = 500;
/// … or so many bytes …
pub const SEAL_BYTES: usize = 256 << 10;
/// … or after so long, whichever is first.
pub const SEAL_AFTER: Duration = Duration::from_millis(100);

/// Most batches in flight without an ack.
pub const WINDOW_BATCHES: usize = 32;
/// Most bytes in flight without an ack.
pub const WINDOW_BYTES: usize = 8 << 20;

/// An agent's heartbeat.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(30);
/// Silence after which the brain gives an agent up.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(90);
/// How long a brain waits for `hello`, and an agent for the first `ack`.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// WebSocket ping of the brain.
pub const PING_EVERY: Duration = Duration::from_secs(20);
/// Silence, pings included, after which an agent gives a brain up.
pub const BRAIN_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a long-poll waits for frames when it does not say.
pub const LONGPOLL_WAIT: Duration = Duration::from_secs(25);
/// The longest that a long-poll may wait: proxies give up after 60 s.
pub const LONGPOLL_MAX_WAIT: Duration = Duration::from_secs(55);
/// Time without a request after which a long-poll session ends.
pub const LONGPOLL_SESSION_IDLE: Duration = Duration::from_secs(60);
