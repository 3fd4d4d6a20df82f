//! TCP ports that tests may give to servers.

use std::fs::File;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

/// Below what Linux hands out to outgoing connections (32768 and up): a port from there can be taken by anyone between the
/// moment it is chosen and the moment a server listens on it, or while a server restarts.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// Locked for as long as this process lives; other test processes pass these ports over.
static RESERVED: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A TCP port on 127.0.0.1 that is free now, and that no other test gets while this process lives.
///
/// # Errors
/// When there is none, or the folder of reservations in the system's temporary folder cannot be written.
pub fn free_port() -> Result<u16> {
    let folder = std::env::temp_dir().join("taskplane-test-ports");
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let mut reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
    // Processes begin at different places, so that few look at the same ports.
    let begin = std::process::id().wrapping_mul(97) % u32::from(RANGE.end - RANGE.start);
    let (before, after): (Vec<u16>, Vec<u16>) = RANGE.partition(|port| u32::from(port - RANGE.start) < begin);
    for port in after.into_iter().chain(before) {
        let path = folder.join(port.to_string());
        let file = File::options().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        if file.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            reserved.push(file);
            return Ok(port);
        }
    }
    bail!("no port from {} to {} is free", RANGE.start, RANGE.end - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_handed_out_once() {
        let ports: std::collections::BTreeSet<u16> = (0..50).map(|_| free_port().expect("a port")).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| RANGE.contains(port)));
    }
}
