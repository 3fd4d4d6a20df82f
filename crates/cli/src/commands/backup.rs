//! `taskplane backup`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use taskplane_store::checkup::bytes_text;
use taskplane_store_sqlite::backup::{self, Copied, Progress};
use tokio_util::sync::CancellationToken;

use crate::arguments::BackupOptions;
use crate::output;
use crate::store::Place;

pub(crate) async fn run(options: BackupOptions) -> Result<()> {
    let BackupOptions { to, force, store } = options;
    let began = Instant::now();
    let stop = super::stop_on_signal()?;
    let (bytes, tasks) = match Place::of(store)? {
        Place::Folder(folder) => {
            let Copied { bytes, tasks } = copy(folder, to.clone(), force, stop).await?;
            (bytes, tasks)
        }
        Place::Database(url) => {
            let dumped = taskplane_store_postgres::backup::back_up(&url, &to, force, stop.cancelled()).await?;
            (dumped.bytes, dumped.tasks)
        }
    };
    output::say(&line(&to, bytes, tasks, began));
    Ok(())
}

async fn copy(folder: PathBuf, to: PathBuf, force: bool, stop: CancellationToken) -> Result<Copied> {
    let mut shown = None;
    let watch = move |progress: Progress| {
        if let Some(percent) = (progress.done * 100).checked_div(progress.total)
            && shown.replace(percent) != Some(percent)
        {
            output::progress(&format!("{percent} % of {} copied", bytes_text(progress.total)));
        }
        if stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let copied = tokio::task::spawn_blocking(move || backup::back_up(&folder, &to, force, watch)).await?;
    output::progress("");
    Ok(copied?)
}

/// What was done, for people and for logs.
fn line(to: &Path, bytes: u64, tasks: u64, began: Instant) -> String {
    format!("{}: {bytes} bytes, {tasks} tasks, {:.1} s", to.display(), began.elapsed().as_secs_f64())
}
