//! The frames of a request's body, as it comes.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::StreamExt;
use taskplane_protocol::limits::MAX_FRAME_BYTES;
use taskplane_protocol::lines::{FrameLines, LineFault};
use tokio::time::Instant;

use super::super::wire::Incoming;

/// Most bytes of one body.
pub(super) const MAX_BODY_BYTES: usize = 4 * MAX_FRAME_BYTES;
/// How long a body may keep us waiting, in all …
const PATIENCE: Duration = Duration::from_secs(15);
/// … and longer when it brings something: a second for so many bytes.
const SLOWEST_BYTES_PER_SECOND: usize = 16 << 10;
/// How long we read on after the end of a session, so that its close is not lost in a connection that is reset.
const DRAIN: Duration = Duration::from_secs(5);

/// What the body brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A frame, or what cannot be one.
    Came(Incoming),
    /// The body has ended.
    End,
    /// The body is longer than one may be.
    TooMuch,
    /// The body comes too slowly.
    TooSlow,
    /// The connection broke. What came of the last line is not a frame.
    Broken,
}

/// Reads a body line by line. Blank lines are left out; the last line may be without its end.
pub(super) struct Lines {
    chunks: BodyDataStream,
    frames: FrameLines,
    read: usize,
    waited: Duration,
    has_ended: bool,
}

impl Lines {
    pub(super) fn of(body: Body) -> Self {
        Self {
            chunks: body.into_data_stream(),
            frames: FrameLines::default(),
            read: 0,
            waited: Duration::ZERO,
            has_ended: false,
        }
    }

    /// The next line that is not blank. After anything but a text frame there is no next one.
    pub(super) async fn next(&mut self) -> Line {
        loop {
            match self.frames.next_frame() {
                Some(Ok(frame)) => return Line::Came(Incoming::Text(frame.into())),
                Some(Err(LineFault::TooLarge)) => return Line::Came(Incoming::TooLarge),
                Some(Err(LineFault::NotText)) => return Line::Came(Incoming::NotText),
                None if self.has_ended => return Line::End,
                None => {}
            }
            match self.chunk().await {
                Ok(Some(chunk)) => self.frames.push(&chunk),
                Ok(None) => {
                    self.frames.end();
                    self.has_ended = true;
                }
                Err(line) => return line,
            }
        }
    }

    /// Reads on for a while, and takes nothing in.
    pub(super) async fn drain(mut self) {
        let rest = async { while let Ok(Some(_)) = self.chunk().await {} };
        let _ = tokio::time::timeout(DRAIN, rest).await;
    }

    /// Waits for the next part of the body. Only this time counts: while storage is slow, it is us who make the peer wait.
    async fn chunk(&mut self) -> Result<Option<Bytes>, Line> {
        let began = Instant::now();
        let earned = u32::try_from(self.read / SLOWEST_BYTES_PER_SECOND).unwrap_or(u32::MAX);
        let left = (PATIENCE + Duration::from_secs(1) * earned).saturating_sub(self.waited);
        let chunk = tokio::time::timeout(left, self.chunks.next()).await.map_err(|_| Line::TooSlow)?;
        self.waited += began.elapsed();
        let chunk = chunk.transpose().map_err(|_| Line::Broken)?;
        self.read += chunk.as_ref().map_or(0, Bytes::len);
        if self.read > MAX_BODY_BYTES { Err(Line::TooMuch) } else { Ok(chunk) }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn body(chunks: &[&'static [u8]]) -> Lines {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok::<_, std::io::Error>(Bytes::from_static(chunk))).collect();
        Lines::of(Body::from_stream(stream::iter(chunks)))
    }

    fn frame(text: &str) -> Line {
        Line::Came(Incoming::Text(text.to_owned().into()))
    }

    async fn all(mut lines: Lines) -> Vec<Line> {
        let mut all = Vec::new();
        while let line @ Line::Came(Incoming::Text(_)) = lines.next().await {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn lines_come_whole_whatever_the_chunks() {
        let expected = [frame("one"), frame("two"), frame("three")];
        assert_eq!(all(body(&[b"one\ntwo\nthree"])).await, expected);
        assert_eq!(all(body(&[b"o", b"ne\nt", b"wo", b"\n", b"three\n"])).await, expected);
        assert_eq!(all(body(&[b"\n\none\n \t\n", b"two\n\n\nthree", b"\n  "])).await, expected);
        assert_eq!(all(body(&[])).await, []);
    }

    #[tokio::test]
    async fn what_is_not_utf8_is_told_after_the_lines_before_it() {
        let mut lines = body(&[b"one\n\xff\xfe\ntwo\n"]);
        assert_eq!(lines.next().await, frame("one"));
        assert_eq!(lines.next().await, Line::Came(Incoming::NotText));
    }

    #[tokio::test]
    async fn an_incomplete_line_of_a_body_that_breaks_off_is_no_frame() {
        let chunks = [Ok(Bytes::from_static(b"one\ntw")), Err(std::io::Error::other("reset"))];
        let mut lines = Lines::of(Body::from_stream(stream::iter(chunks)));
        assert_eq!(lines.next().await, frame("one"));
        assert_eq!(lines.next().await, Line::Broken);
    }

    #[tokio::test]
    async fn a_line_over_the_limit_is_not_collected() {
        let chunk = Bytes::from(vec![b'x'; 1 << 20]);
        let chunks = stream::iter((0..8).map(move |_| Ok::<_, std::io::Error>(chunk.clone())));
        let mut lines = Lines::of(Body::from_stream(chunks));
        assert_eq!(lines.next().await, Line::Came(Incoming::TooLarge));
        assert!(lines.frames.held() <= MAX_FRAME_BYTES + (1 << 20));
    }

    #[tokio::test]
    async fn a_body_over_the_limit_ends_there() {
        let chunk = Bytes::from([&vec![b'x'; (1 << 20) - 1][..], b"\n"].concat());
        let chunks = stream::iter((0..).map(move |_| Ok::<_, std::io::Error>(chunk.clone())));
        let mut lines = Lines::of(Body::from_stream(chunks));
        let mut taken = 0;
        let end = loop {
            match lines.next().await {
                Line::Came(Incoming::Text(frame)) => taken += frame.len(),
                other => break other,
            }
        };
        assert_eq!(end, Line::TooMuch);
        assert!(taken <= MAX_BODY_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_given_up() {
        let drip = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
        });
        let began = Instant::now();
        assert_eq!(Lines::of(Body::from_stream(drip)).next().await, Line::TooSlow);
        assert!(began.elapsed() <= PATIENCE + Duration::from_secs(1), "{:?}", began.elapsed());
    }
}
