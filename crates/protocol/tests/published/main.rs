//! What is published of the protocol is true: schemas, golden frames, and the frames in the document.
#![expect(clippy::expect_used, reason = "in a test, what cannot be is a failure")]

mod document;
mod fixtures;
mod schemas;
