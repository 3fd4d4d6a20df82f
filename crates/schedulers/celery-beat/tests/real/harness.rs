//! Processes, and an agent's end of a scheduler.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use taskplane_agent::engine::Health;
use taskplane_agent::scheduler::{ScheduleEntry, ScheduleObserver, Scheduler};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Nothing that is awaited takes longer on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() > end {
            bail!("in vain awaited: {what}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A process of ours, killed with all its children when dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command, folder: &Path, name: &str) -> Result<Self> {
        let log = File::create(folder.join(format!("{name}.log")))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        Ok(Self(command.spawn()?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

/// A scheduler that is observed.
pub(crate) struct Watched {
    listings: mpsc::Receiver<(&'static str, Vec<ScheduleEntry>)>,
    healths: mpsc::Receiver<(&'static str, Health)>,
    /// What was told last.
    pub(crate) told: Option<Vec<ScheduleEntry>>,
    pub(crate) health: Option<Health>,
    stop: CancellationToken,
}

impl Watched {
    pub(crate) fn start(scheduler: Arc<dyn Scheduler>) -> Self {
        let (to_listings, listings) = mpsc::channel(64);
        let (to_healths, healths) = mpsc::channel(64);
        let observer = ScheduleObserver::new(scheduler.name(), to_listings, to_healths);
        let stop = CancellationToken::new();
        let until = stop.clone();
        tokio::spawn(async move { scheduler.observe(observer, until).await });
        Self { listings, healths, told: None, health: None, stop }
    }

    /// Waits until what was told is as wanted.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&[ScheduleEntry]) -> Option<T>,
    ) -> Result<T> {
        eventually(what, async || {
            while let Ok((_, listing)) = self.listings.try_recv() {
                self.told = Some(listing);
            }
            self.take_health();
            Ok(self.told.as_deref().and_then(&mut wanted))
        })
        .await
    }

    /// Waits for a text of its health; empty for a good one.
    pub(crate) async fn until_health(&mut self, part: &str) -> Result<()> {
        let found = eventually(part, async || {
            self.take_health();
            Ok(match &self.health {
                Some(Health::Ok) if part.is_empty() => Some(()),
                Some(Health::Down(why)) if !part.is_empty() && why.contains(part) => Some(()),
                _ => None,
            })
        });
        found.await.map_err(|error| error.context(format!("{:?}", self.health)))
    }

    fn take_health(&mut self) {
        while let Ok((_, health)) = self.healths.try_recv() {
            self.health = Some(health);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
