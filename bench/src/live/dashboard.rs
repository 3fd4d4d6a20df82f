//! An open dashboard: reads `GET stream` off the socket with as little work as possible, because it shares the machine with
//! the brain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// The receive buffer of somebody who does not read, in bytes.
pub(super) const SMALL_BUFFER: u32 = 4 << 10;
/// Bytes read at once.
const READ: usize = 64 << 10;
/// Where a delta of tasks begins, up to its count.
const DELTA: &[u8] = b"event: tasks\ndata: {\"changed\":";
const RESYNC: &[u8] = b"event: resync\n";
/// How long opening a stream may take.
const OPEN: Duration = Duration::from_secs(10);

/// A delta of tasks as it came.
pub(super) struct Delta {
    pub(super) at: Instant,
    /// Changes told since the stream was opened, this delta included.
    pub(super) changes: u64,
}

/// What a dashboard saw.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) deltas: Vec<Delta>,
    pub(super) resyncs: u64,
}

/// Opens the stream of tasks and waits for its head.
pub(super) async fn open(brain: SocketAddr, api_key: &str, receive_buffer: Option<u32>) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    let opened = timeout(OPEN, async {
        let mut stream = socket.connect(brain).await?;
        let request = format!(
            "GET /api/v1/projects/default/stream?topics=tasks HTTP/1.1\r\nHost: {brain}\r\nAuthorization: Bearer {api_key}\r\n\
             Accept: text/event-stream\r\nAccept-Encoding: gzip\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !contains(&head, b"event: hello") {
            ensure!(
                head.len() < 8_192,
                "the answer to GET stream does not begin with hello: {}",
                String::from_utf8_lossy(&head)
            );
            let mut byte = [0];
            stream.read_exact(&mut byte).await.context("reading the head of the stream")?;
            head.push(byte[0]);
        }
        ensure!(head.starts_with(b"HTTP/1.1 200"), "GET stream: {}", String::from_utf8_lossy(&head));
        Ok(stream)
    });
    opened.await.context("GET stream was not answered within 10 s")?
}

/// Reads until all of the changes that `finishing` says have been told.
pub(super) async fn read(
    mut stream: TcpStream,
    bytes: Arc<AtomicU64>,
    mut finishing: watch::Receiver<Option<u64>>,
) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut finder = Finder::default();
    let mut buffer = vec![0; READ];
    let mut changes = 0;
    loop {
        if finishing.borrow_and_update().is_some_and(|all| changes >= all) {
            return Ok(seen);
        }
        let read = tokio::select! {
            read = stream.read(&mut buffer) => read.context("reading a stream")?,
            changed = finishing.changed() => {
                changed?;
                continue;
            }
        };
        ensure!(read > 0, "the brain ended a stream");
        let at = Instant::now();
        bytes.fetch_add(read as u64, Ordering::Relaxed);
        finder.take(&buffer[..read], |found| match found {
            Found::Changed(more) => {
                changes += more;
                seen.deltas.push(Delta { at, changes });
            }
            Found::Resync => seen.resyncs += 1,
        });
    }
}

/// What a dashboard finds that did not read, once it does.
#[derive(Default)]
pub(super) struct Stuck {
    /// It was told to fetch everything again, or the brain had closed the stream: it was found out.
    pub(super) is_found_out: bool,
    /// Bytes that were kept for it until then.
    pub(super) held: usize,
}

/// Reads what has piled up for a dashboard that did not read.
pub(super) async fn read_at_last(mut stream: TcpStream, within: Duration) -> Stuck {
    let mut stuck = Stuck::default();
    let reading = async {
        let (mut finder, mut buffer) = (Finder::default(), vec![0; READ]);
        while !stuck.is_found_out {
            // A stream that was closed because nobody read it ends with a reset.
            let read = stream.read(&mut buffer).await.unwrap_or(0);
            stuck.held += read;
            stuck.is_found_out = read == 0;
            finder.take(&buffer[..read], |one| stuck.is_found_out |= matches!(one, Found::Resync));
        }
    };
    let _ = timeout(within, reading).await;
    stuck
}

enum Found {
    Changed(u64),
    Resync,
}

/// Finds the counts of deltas in a stream that comes in pieces.
#[derive(Default)]
struct Finder {
    /// The end of what came, as far as something may begin in it.
    rest: Vec<u8>,
}

impl Finder {
    fn take(&mut self, piece: &[u8], mut found: impl FnMut(Found)) {
        self.rest.extend_from_slice(piece);
        let mut from = 0;
        while let Some(line) = find(&self.rest[from..], b"event: ") {
            let event = &self.rest[from + line..];
            if event.starts_with(RESYNC) {
                found(Found::Resync);
            } else if event.starts_with(DELTA) {
                let digits = event[DELTA.len()..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                let text = &event[DELTA.len()..DELTA.len() + digits];
                if event.len() == DELTA.len() + digits {
                    // More digits may follow.
                    from += line;
                    break;
                }
                found(Found::Changed(std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0)));
            } else if DELTA.starts_with(event) || RESYNC.starts_with(event) {
                from += line;
                break;
            }
            from += line + 1;
        }
        let kept = self.rest.len().min(DELTA.len() + 24);
        let from = from.max(self.rest.len() - kept);
        self.rest.drain(..from);
    }
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    find(text, what).is_some()
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut from = 0;
    loop {
        // By its first byte, which is fast; a delta is mostly data.
        let at = from + text[from..].iter().position(|byte| *byte == first)?;
        if text[at..].starts_with(what) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_are_found_however_the_stream_is_cut() {
        let stream = b"40\r\nid: e-1\nevent: tasks\ndata: {\"changed\":123,\"items\":[{\"a\":1}]}\n\n\r\n\
                       10\r\nevent: resync\ndata: {}\n\n\r\nid: e-2\nevent: tasks\ndata: {\"changed\":45,\"items\":[]}\n\n";
        for size in 1..stream.len() {
            let (mut finder, mut changes, mut resyncs) = (Finder::default(), Vec::new(), 0);
            for piece in stream.chunks(size) {
                finder.take(piece, |found| match found {
                    Found::Changed(count) => changes.push(count),
                    Found::Resync => resyncs += 1,
                });
            }
            assert_eq!((changes, resyncs), (vec![123, 45], 1), "in pieces of {size}");
        }
    }
}
