//! Small disks: real filesystems of a few megabytes that a test may fill and make read-only.
//!
//! Each is a tmpfs in a mount namespace of its own, so that nothing stays behind however the test ends. Processes that use
//! it are started inside ([`SmallDisk::command`]); the test itself reaches in through `/proc`.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The file that takes the room away.
const BALLAST: &str = "ballast";
/// What to do where a host lets nobody mount anything.
const REMEDY: &str = "a test needs a small filesystem, which takes root with CAP_SYS_ADMIN (in a container: `--cap-add SYS_ADMIN`), or \
     user namespaces for this user (Debian: `sysctl kernel.unprivileged_userns_clone=1`; Ubuntu: `sysctl \
     kernel.apparmor_restrict_unprivileged_userns=0`)";

/// A mounted tmpfs. Gone when it and the processes that were started in it are.
pub struct SmallDisk {
    path: PathBuf,
    /// Keeps the namespace; ends when its input is closed, and thus with the test, however that ends.
    holder: Child,
    /// How `nsenter` gets in besides `--mount`.
    credentials: &'static [&'static str],
}

impl SmallDisk {
    /// Mounts a disk of `bytes` at `path`, which is created.
    ///
    /// # Errors
    /// When this host does not let this user mount anything; the text says what would.
    pub fn mount(path: &Path, bytes: u64) -> Result<Self> {
        std::fs::create_dir_all(path)?;
        let ways: [(&[&str], &[&str]); 2] =
            [(&[], &[]), (&["--user", "--map-root-user"], &["--user", "--preserve-credentials"])];
        let mut failures = String::new();
        for (unshare, credentials) in ways {
            match hold(path, bytes, unshare) {
                Ok(holder) => return Ok(Self { path: path.to_owned(), holder, credentials }),
                Err(failure) => failures.push_str(&format!("; unshare --mount {}: {failure}", unshare.join(" "))),
            }
        }
        bail!("{REMEDY}{failures}")
    }

    /// Its path, for processes inside.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its path from outside.
    pub fn from_outside(&self) -> PathBuf {
        let inside = self.path.strip_prefix("/").unwrap_or(&self.path);
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(inside)
    }

    /// A command that runs `program` where the disk is.
    pub fn command(&self, program: &Path) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("nsenter");
        command.args(self.way_in()).arg("--").arg(program);
        command
    }

    /// Fills the disk up to `room` bytes.
    ///
    /// # Errors
    /// When it cannot be written at all.
    pub fn fill(&self, room: u64) -> Result<()> {
        let mut ballast = File::options().create(true).append(true).open(self.from_outside().join(BALLAST))?;
        let block = [0; 4096];
        let error = loop {
            if let Err(error) = ballast.write_all(&block) {
                break error;
            }
        };
        ensure!(error.kind() == ErrorKind::StorageFull, "filling {}: {error}", self.path.display());
        let len = ballast.metadata()?.len();
        Ok(ballast.set_len(len.saturating_sub(room))?)
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// When it cannot be given back.
    pub fn empty(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.from_outside().join(BALLAST))?)
    }

    /// Makes it read-only, or writable again. As on any system, that is refused while somebody has a file open for writing.
    ///
    /// # Errors
    /// When it is refused.
    pub fn remount(&self, read_only: bool) -> Result<()> {
        let mode = if read_only { "remount,bind,ro" } else { "remount,bind,rw" };
        let done =
            Command::new("nsenter").args(self.way_in()).args(["--", "mount", "-o", mode]).arg(&self.path).output()?;
        ensure!(done.status.success(), "mount -o {mode}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }

    fn way_in(&self) -> Vec<String> {
        let target = [format!("--target={}", self.holder.id()), "--mount".to_owned()];
        target.into_iter().chain(self.credentials.iter().map(|&arg| arg.to_owned())).collect()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A process in a namespace of its own in which the disk is mounted.
fn hold(path: &Path, bytes: u64, unshare: &[&str]) -> Result<Child> {
    let script = format!("mount -t tmpfs -o size={bytes},mode=700 taskplane-test \"$0\" && echo mounted && exec cat");
    let mut holder = Command::new("unshare")
        .args(unshare)
        .args(["--mount", "--propagation", "private", "--", "sh", "-c", &script])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting unshare (of util-linux)")?;
    let mut said = [0; 8];
    let mounted = holder.stdout.as_mut().is_some_and(|out| out.read_exact(&mut said).is_ok()) && said == *b"mounted\n";
    if mounted {
        return Ok(holder);
    }
    let _ = holder.kill();
    let output = holder.wait_with_output()?;
    bail!("{}", String::from_utf8_lossy(&output.stderr).trim())
}
