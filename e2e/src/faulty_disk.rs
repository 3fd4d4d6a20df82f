//! A disk that goes bad under a running process: read-only though files are open, or slow to sync.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::process::{Process, repository};

/// Files below a folder, as processes see them that were started with it.
pub struct FaultyDisk {
    folder: PathBuf,
    library: PathBuf,
    switch: PathBuf,
}

impl FaultyDisk {
    /// Prepares for faults of the files below `folder`; what it needs for that goes into `workshop`, under `name`.
    ///
    /// # Errors
    /// When there is no C compiler, which a Rust toolchain needs as well.
    pub fn new(folder: &Path, workshop: &Path, name: &str) -> Result<Self> {
        let library = workshop.join(format!("{name}.so"));
        let source = repository().join("e2e/faults/faulty_disk.c");
        let mut compiler = std::process::Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
        let compiled = compiler.output().context("starting the C compiler, cc")?;
        ensure!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Ok(Self { folder: folder.to_owned(), library, switch: workshop.join(format!("{name}.switch")) })
    }

    /// Lets the process of `command` feel the faults.
    pub fn put_under(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library);
        command.env("FAULTY_DISK_FOLDER", &self.folder).env("FAULTY_DISK_SWITCH", &self.switch);
    }

    /// Fails unless `process` really feels the faults: a binary that is linked statically would not.
    ///
    /// # Errors
    /// When it does not.
    pub fn is_felt_by(&self, process: &Process) -> Result<()> {
        let pid = process.pid().context("the process has ended")?;
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
        let is_loaded = maps.contains(&*self.library.to_string_lossy());
        ensure!(is_loaded, "the faulty disk could not be put under the process: is its binary linked statically?");
        Ok(())
    }

    /// From now on nothing can be written, as after a kernel turned the filesystem read-only.
    ///
    /// # Errors
    /// When that cannot be said.
    pub fn make_read_only(&self) -> Result<()> {
        self.say("readonly")
    }

    /// From now on every sync takes so much longer.
    ///
    /// # Errors
    /// When that cannot be said.
    pub fn make_slow(&self, by: Duration) -> Result<()> {
        self.say(&format!("slow {}", by.as_millis()))
    }

    /// From now on it is a good disk.
    ///
    /// # Errors
    /// When that cannot be said.
    pub fn repair(&self) -> Result<()> {
        self.say("")
    }

    fn say(&self, what: &str) -> Result<()> {
        // Replaced as a whole, so that nobody reads half a word.
        let new = self.switch.with_extension("new");
        std::fs::write(&new, what)?;
        Ok(std::fs::rename(&new, &self.switch)?)
    }
}
