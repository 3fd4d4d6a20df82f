//! What the collector has to say: single lines on stderr. The application may have a logging of its own, also in Rust; this
//! one is only that of the collector's threads.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;

/// Most places in the program whose last line is remembered.
const PLACES: usize = 256;

/// Writes each event as a line, except one that its place in the program has just written word for word.
pub(super) struct StderrLines {
    wanted: Targets,
    last: Mutex<HashMap<(&'static str, u32), String>>,
}

impl StderrLines {
    pub(super) fn new(wanted: Targets) -> Self {
        Self { wanted, last: Mutex::new(HashMap::new()) }
    }

    /// True when this place has not said the same before.
    fn is_news(&self, metadata: &Metadata<'static>, line: &str) -> bool {
        let place = (metadata.file().unwrap_or_default(), metadata.line().unwrap_or_default());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.get(&place).is_some_and(|said| said == line) {
            return false;
        }
        if last.len() >= PLACES {
            last.clear();
        }
        last.insert(place, line.to_owned());
        true
    }
}

impl Subscriber for StderrLines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && self.wanted.would_enable(metadata.target(), metadata.level())
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut words = Words::default();
        event.record(&mut words);
        let line = format!("taskplane: {}{}", words.message, words.fields).replace(['\n', '\r'], " ");
        if self.is_news(event.metadata(), &line) {
            // There is nobody to tell that stderr is closed.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            // What went wrong needs no name.
            "error" | "reason" => write!(self.fields, ": {value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
