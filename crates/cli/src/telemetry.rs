//! Logs, to standard error.

use tracing_subscriber::EnvFilter;

use crate::arguments::LogFormat;

/// The AMQP library logs as errors what it also returns as such, and what is no error here: that a queue does not exist.
const QUIET: &str = "lapin=off";

/// Starts logging. `filter` is in the form of `RUST_LOG`; one that cannot be read means `info`.
pub(crate) fn start(filter: &str, format: LogFormat) {
    // Who asks for a library by name gets it: the later word counts.
    let quieted = |filter: &str| EnvFilter::try_new(format!("{QUIET},{filter}"));
    let filter = quieted(filter).unwrap_or_else(|_| EnvFilter::new(format!("{QUIET},info")));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => builder.json().init(),
    }
}
