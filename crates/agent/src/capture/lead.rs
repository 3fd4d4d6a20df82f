//! Standing by until this process collects.

use std::path::Path;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Collector;

/// How often a process that stands by tries to lead.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// Waits until this process is the collector of the group folder `dir`, or until `stop`, and then returns `None`. A folder
/// that cannot be used is said once, and tried again.
pub async fn lead(dir: &Path, stop: &CancellationToken) -> Option<Collector> {
    let mut is_said = false;
    loop {
        let folder = dir.to_owned();
        match spawn_blocking(move || Collector::try_lead(&folder)).await {
            Ok(Ok(Some(collector))) => return Some(collector),
            Ok(Err(error)) if !is_said => {
                is_said = true;
                let folder = dir.display();
                tracing::warn!(%error, %folder, "captured events cannot be collected here; trying again every second");
            }
            _ => {}
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = sleep(TRY_EVERY) => {}
        }
    }
}
