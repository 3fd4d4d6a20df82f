//! Long-poll bodies: whatever the chunks they come in, the same frames are found, and each is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taskplane_protocol::frame::AgentFrame;
use taskplane_protocol::lines::{FrameLines, LineFault};

type Body = (Vec<String>, Option<LineFault>);

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (body, cuts) = input;
    let found = frames(std::iter::once(&body[..]));
    let mut rest = &body[..];
    let chunks = cuts.iter().map(|cut| {
        let (chunk, after) = rest.split_at(usize::from(*cut).min(rest.len()));
        rest = after;
        chunk
    });
    let chunks: Vec<&[u8]> = chunks.collect();
    assert_eq!(frames(chunks.into_iter().chain([rest])), found);
    assert_eq!(plainly(&body), found);
    for frame in &found.0 {
        if let Err(error) = AgentFrame::parse(frame) {
            assert!(!error.to_string().is_empty());
        }
    }
});

fn frames<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Body {
    let mut lines = FrameLines::default();
    let mut frames = Vec::new();
    for chunk in chunks {
        lines.push(chunk);
        if let Some(fault) = take(&mut lines, &mut frames) {
            return (frames, Some(fault));
        }
    }
    lines.end();
    let fault = take(&mut lines, &mut frames);
    (frames, fault)
}

fn take(lines: &mut FrameLines, frames: &mut Vec<String>) -> Option<LineFault> {
    loop {
        match lines.next_frame()? {
            Ok(frame) => frames.push(frame),
            Err(fault) => return Some(fault),
        }
    }
}

/// The same, of the whole body at once. Inputs are far below the limit of a frame.
fn plainly(body: &[u8]) -> Body {
    let mut frames = Vec::new();
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        match std::str::from_utf8(line) {
            Ok(frame) => frames.push(frame.to_owned()),
            Err(_) => return (frames, Some(LineFault::NotText)),
        }
    }
    (frames, None)
}
