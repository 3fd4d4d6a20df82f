//! The frames of a long-poll body: one a line, whatever the chunks they come in.

use crate::limits::MAX_FRAME_BYTES;

/// Takes a body apart as it comes. Blank lines are passed over; the last line may be without its end.
#[derive(Debug, Default)]
pub struct FrameLines {
    bytes: Vec<u8>,
    /// Where the first line begins that was not taken yet.
    from: usize,
    /// Up to here there is no end of line behind `from`.
    searched: usize,
    has_ended: bool,
}

/// A line that cannot be a frame. What follows it is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// Longer than a frame may be: 1009.
    TooLarge,
    /// Not UTF-8: 1007.
    NotText,
}

impl FrameLines {
    /// Adds what came. Take all frames out before adding more: what is held is then at most one frame and one chunk.
    pub fn push(&mut self, chunk: &[u8]) {
        self.bytes.drain(..self.from);
        self.searched -= self.from;
        self.from = 0;
        self.bytes.extend_from_slice(chunk);
    }

    /// Nothing more will come: what is left is the last line.
    pub fn end(&mut self) {
        self.has_ended = true;
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.bytes.len() - self.from
    }

    /// The next frame. `None` when more must come first, or all have been taken.
    pub fn next_frame(&mut self) -> Option<Result<String, LineFault>> {
        while let Some(line) = self.next_line() {
            if line.len() > MAX_FRAME_BYTES {
                return Some(Err(LineFault::TooLarge));
            }
            if !line.trim_ascii().is_empty() {
                return Some(std::str::from_utf8(line).map(str::to_owned).map_err(|_| LineFault::NotText));
            }
        }
        // A line that is too long already need not be waited for.
        (self.held() > MAX_FRAME_BYTES).then_some(Err(LineFault::TooLarge))
    }

    fn next_line(&mut self) -> Option<&[u8]> {
        let begin = self.from;
        let end = match self.bytes[self.searched..].iter().position(|byte| *byte == b'\n') {
            Some(at) => self.searched + at,
            None if self.has_ended && begin < self.bytes.len() => self.bytes.len(),
            None => {
                self.searched = self.bytes.len();
                return None;
            }
        };
        self.from = (end + 1).min(self.bytes.len());
        self.searched = self.from;
        Some(&self.bytes[begin..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frames of a body that comes in `chunks`, up to the first fault.
    fn frames(chunks: &[&[u8]]) -> (Vec<String>, Option<LineFault>) {
        let mut lines = FrameLines::default();
        let mut frames = Vec::new();
        let mut take = |lines: &mut FrameLines| loop {
            match lines.next_frame() {
                Some(Ok(frame)) => frames.push(frame),
                Some(Err(fault)) => return Some(fault),
                None => return None,
            }
        };
        let mut fault = None;
        for chunk in chunks {
            lines.push(chunk);
            fault = fault.or_else(|| take(&mut lines));
        }
        lines.end();
        fault = fault.or_else(|| take(&mut lines));
        (frames, fault)
    }

    #[test]
    fn frames_come_whole_whatever_the_chunks() {
        let expected = (vec!["one".to_owned(), "two".to_owned(), "three".to_owned()], None);
        assert_eq!(frames(&[b"one\ntwo\nthree"]), expected);
        assert_eq!(frames(&[b"o", b"ne\nt", b"wo", b"\n", b"three\n"]), expected);
        assert_eq!(frames(&[b"\n\none\n \t\n", b"two\n\n\nthree", b"\n  "]), expected);
        assert_eq!(frames(&[]), (Vec::new(), None));
    }

    #[test]
    fn what_is_not_utf8_is_told_after_the_frames_before_it() {
        assert_eq!(frames(&[b"one\n\xff\xfe\ntwo\n"]), (vec!["one".to_owned()], Some(LineFault::NotText)));
    }

    #[test]
    fn a_line_over_the_limit_is_not_collected() {
        let mut lines = FrameLines::default();
        let chunk = vec![b'x'; 1 << 20];
        let chunks = (1..).find(|_| {
            lines.push(&chunk);
            lines.next_frame() == Some(Err(LineFault::TooLarge))
        });
        assert_eq!(chunks, Some(MAX_FRAME_BYTES / chunk.len() + 1));
    }
}
