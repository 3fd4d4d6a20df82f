//! Reading a socket in large pieces for those who ask for small ones.
//!
//! A WebSocket keeps a buffer as large as the pieces in which it reads, also while nothing comes. Of 10,000 idle agents that is
//! most of the memory; so they read in small pieces, and what a large one brought at once waits here.
//!
//! After a pause mostly a frame begins. Its head comes alone then, so that the WebSocket library takes memory for that frame and
//! nothing behind it, which is what lets it give all of it back (`gateway/websocket.rs`).

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of the longest head of a WebSocket frame (RFC 6455, section 5.2).
const HEAD: usize = 14;
/// Bytes that are read at once, and at most wait to be asked for.
const PIECE: usize = 16 << 10;

thread_local! {
    // What is read is copied out before anybody else on this thread reads.
    static PIECE_READ: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE]);
}

/// A stream that is read in pieces of [`PIECE`], and holds memory only for what was read and not yet asked for.
pub(super) struct ReadAhead<S> {
    stream: S,
    ahead: Bytes,
    /// There was nothing to read.
    is_idle: bool,
}

impl<S> ReadAhead<S> {
    /// Of `stream`, from which nothing was read yet.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, ahead: Bytes::new(), is_idle: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            let now = this.ahead.len().min(buf.remaining());
            buf.put_slice(&this.ahead[..now]);
            this.ahead.advance(now);
            if this.ahead.is_empty() {
                this.ahead = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        PIECE_READ.with_borrow_mut(|piece| {
            let mut piece = ReadBuf::new(piece);
            let read = Pin::new(&mut this.stream).poll_read(cx, &mut piece);
            let was_idle = std::mem::replace(&mut this.is_idle, read.is_pending());
            ready!(read)?;
            let room = if was_idle { buf.remaining().min(HEAD) } else { buf.remaining() };
            let (now, later) = piece.filled().split_at(piece.filled().len().min(room));
            buf.put_slice(now);
            if !later.is_empty() {
                this.ahead = Bytes::copy_from_slice(later);
            }
            Poll::Ready(Ok(()))
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn everything_comes_in_order_whatever_the_sizes_that_are_asked_for() {
        let sent: Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
        let (mut far, near) = tokio::io::duplex(PIECE * 2);
        let text = sent.clone();
        let sending = tokio::spawn(async move {
            for part in text.chunks(7_777) {
                far.write_all(part).await.expect("is taken");
            }
        });
        let mut near = ReadAhead::new(near);
        let mut came = Vec::new();
        for size in [1, 512, 14, PIECE, 3, 4_096, PIECE * 3].into_iter().cycle() {
            let mut part = vec![0; size];
            let read = near.read(&mut part).await.expect("can be read");
            if read == 0 {
                break;
            }
            came.extend_from_slice(&part[..read]);
        }
        sending.await.expect("ends");
        assert!(came == sent, "{} of {} bytes", came.len(), sent.len());
    }

    #[tokio::test]
    async fn after_a_pause_the_head_of_a_frame_comes_alone() {
        let (mut far, near) = tokio::io::duplex(PIECE);
        let mut near = ReadAhead::new(near);
        let mut part = [0; 600];
        for _ in 0..2 {
            assert!(futures_util::poll!(std::pin::pin!(near.read(&mut part))).is_pending());
            far.write_all(&[7; 1_000]).await.expect("is taken");
            for expected in [HEAD, 600, 1_000 - HEAD - 600] {
                assert_eq!(near.read(&mut part).await.expect("can be read"), expected);
            }
        }
    }

    #[tokio::test]
    async fn nothing_is_held_when_nothing_waits() {
        let (mut far, near) = tokio::io::duplex(PIECE);
        far.write_all(&[7; 1_000]).await.expect("is taken");
        let mut near = ReadAhead::new(near);
        let mut part = [0; 600];
        assert_eq!(near.read(&mut part).await.expect("can be read"), 600);
        assert_eq!(near.ahead.len(), 400);
        assert_eq!(near.read(&mut part).await.expect("can be read"), 400);
        assert!(near.ahead.is_empty());
        drop(far);
        assert_eq!(near.read(&mut part).await.expect("can be read"), 0, "the end");
    }
}
