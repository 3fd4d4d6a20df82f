//! Stopping a process for a while, and what it takes of memory.

use anyhow::{Context, Result, ensure};

use crate::process::Process;

/// Stops a process in the middle of whatever it does, until [`resume`].
///
/// # Errors
/// When it has ended.
pub fn pause(process: &Process) -> Result<()> {
    signal(process, "-STOP")
}

/// Lets a stopped process go on.
///
/// # Errors
/// When it has ended.
pub fn resume(process: &Process) -> Result<()> {
    signal(process, "-CONT")
}

/// The most memory that a process has had resident so far, in MiB.
///
/// # Errors
/// When it has ended.
pub fn peak_memory(process: &Process) -> Result<u64> {
    let pid = process.pid().context("the process has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the peak of resident memory")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib >> 10)
}

fn signal(process: &Process, signal: &str) -> Result<()> {
    let pid = process.pid().context("the process has ended")?.to_string();
    let sent = std::process::Command::new("kill").args([signal, &pid]).status()?;
    ensure!(sent.success(), "kill {signal} {pid}");
    Ok(())
}
