//! `taskplane signin-link`.

use anyhow::{Result, ensure};
use taskplane_brain::{auth, clock};
use taskplane_store_sqlite::SqliteStore;

use crate::arguments::SigninLinkOptions;
use crate::output::say;
use crate::store::Place;

pub(crate) async fn run(options: SigninLinkOptions) -> Result<()> {
    let place = Place::of(options.store)?;
    let announced = match &place {
        Place::Folder(folder) => {
            ensure!(
                SqliteStore::exists(folder),
                "there is no brain's data in {}: name the folder that the brain was started with, by --data-dir",
                folder.display()
            );
            taskplane_store_sqlite::address(folder)
        }
        Place::Database(_) => None,
    };
    let url = options.public_url.or(announced);
    let url = url.unwrap_or_else(|| "http://127.0.0.1:7440".to_owned());
    let store = place.open().await?;
    let link = auth::issue_signin_link(&*store, url.trim_end_matches('/'), clock::now()).await?;
    say(&link);
    Ok(())
}
