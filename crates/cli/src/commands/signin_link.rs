//! `taskplane signin-link`.

use anyhow::{Result, ensure};
use taskplane_brain::{auth, clock};
use taskplane_store_sqlite::SqliteStore;

use crate::arguments::SigninLinkOptions;
use crate::output::say;

pub(crate) async fn run(options: SigninLinkOptions) -> Result<()> {
    let folder = &options.store.data_dir;
    ensure!(
        SqliteStore::exists(folder),
        "there is no brain's data in {}: name the folder that the brain was started with, by --data-dir",
        folder.display()
    );
    let url = options.public_url.or_else(|| taskplane_store_sqlite::address(folder));
    let url = url.unwrap_or_else(|| "http://127.0.0.1:7440".to_owned());
    let store = super::open_store(&options.store)?;
    let link = auth::issue_signin_link(&store, url.trim_end_matches('/'), clock::now()).await?;
    say(&link);
    Ok(())
}
