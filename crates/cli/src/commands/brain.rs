//! `taskplane brain`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use taskplane_brain::brain::Brain;
use taskplane_brain::{auth, clock, server};
use taskplane_store::{AccessStore, Store};
use taskplane_store_sqlite::Claim;
use tokio::net::TcpListener;

use crate::arguments::BrainOptions;
use crate::output::say;

/// A stopping brain waits so long for what is under way.
const STOP_WITHIN: Duration = Duration::from_secs(9);

pub(crate) async fn run(options: BrainOptions) -> Result<()> {
    ensure!(
        options.listen.ip().is_loopback() || options.insecure_bind,
        "refusing to listen on {} without TLS: tokens and task data would be readable on the network. Put a proxy with TLS in \
         front and keep --listen on 127.0.0.1, or add --insecure-bind if this network is trusted",
        options.listen
    );
    let store = super::open_store(&options.store)?;
    let mut claim = Claim::take(&options.store.data_dir)?;
    let listener = TcpListener::bind(options.listen).await.with_context(|| {
        format!("cannot listen on {}: choose another address with --listen, or stop what listens there", options.listen)
    })?;
    let address = listener.local_addr()?;
    let public_url = options.public_url.unwrap_or_else(|| format!("http://{address}"));
    if let Err(error) = claim.announce(&public_url) {
        tracing::warn!(%error, "other programs will not know where this brain is reached");
    }
    let unclaimed = store.is_unclaimed().await?;
    let stop = super::stop_on_signal()?;
    let store: Arc<dyn Store> = Arc::new(store);
    let brain = Brain::start(Arc::clone(&store), &public_url, stop).await?;
    say(&format!("Taskplane {} is at {public_url}", env!("CARGO_PKG_VERSION")));
    if unclaimed {
        let link = auth::issue_signin_link(&*store, &public_url, clock::now()).await?;
        say(&format!("First start. Sign in within 15 minutes (one use):\n  {link}"));
        let folder = options.store.data_dir.display();
        say(&format!("Later, make another link with: taskplane signin-link --data-dir {folder}"));
    }
    let tasks = brain.tasks.clone();
    server::serve(listener, brain).await;
    tasks.close();
    if tokio::time::timeout(STOP_WITHIN, tasks.wait()).await.is_err() {
        tracing::warn!("stopped before everything under way had ended; nothing that was acked is lost");
    }
    Ok(())
}
