//! What went wrong with a socket, as far as its peer should be told.

/// A frame over the limit.
pub(super) fn is_too_large(error: &axum::Error) -> bool {
    // axum hides the codec's error type behind a box; its words are all there is.
    let text = error.to_string();
    text.contains("too long") || text.contains("too large") || text.contains("too big")
}

/// A text frame that is not text.
pub(super) fn is_not_utf8(error: &axum::Error) -> bool {
    error.to_string().to_ascii_lowercase().contains("utf-8")
}
