//! `taskplane restore`.

use std::time::Instant;

use anyhow::Result;
use taskplane_brain::clock;
use taskplane_store_sqlite::backup::{self, Restored};

use crate::arguments::RestoreOptions;
use crate::output;
use crate::store::Place;
use crate::wrong_usage::WrongUsage;

pub(crate) async fn run(options: RestoreOptions) -> Result<()> {
    let RestoreOptions { from, force, store } = options;
    let began = Instant::now();
    let seconds = || format!("{:.1} s", began.elapsed().as_secs_f64());
    match Place::of(store)? {
        Place::Folder(folder) => {
            // A part of a file's name: no colons, and nothing below the second.
            let time: String = clock::now().to_string().chars().filter(char::is_ascii_alphanumeric).take(15).collect();
            let target = folder.clone();
            let restored = tokio::task::spawn_blocking(move || backup::restore(&target, &from, force, &time)).await?;
            let Restored { copied, kept } = restored?;
            output::say(&format!(
                "{}: {} bytes, {} tasks, {}",
                folder.display(),
                copied.bytes,
                copied.tasks,
                seconds()
            ));
            if let Some(kept) = kept {
                output::note(&format!(
                    "what was there before is kept as {}; delete it when all is well",
                    kept.display()
                ));
            }
        }
        Place::Database(_) if force => {
            let text = "--force is not for PostgreSQL: make an empty database, and restore into that one";
            return Err(WrongUsage(text.to_owned()).into());
        }
        Place::Database(url) => {
            let stop = super::stop_on_signal()?;
            let tasks = taskplane_store_postgres::backup::restore(&url, &from, stop.cancelled()).await?;
            output::say(&format!("the database: {tasks} tasks, {}", seconds()));
        }
    }
    Ok(())
}
