//! What surrounds the database: permissions, log, disk, and the brain that runs on it.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use taskplane_store::backend::part_file::with_suffix;
use taskplane_store::checkup::{Check, Checkup, bytes_text};

use crate::claim;
use crate::disk;
use crate::open::PAGE_SIZE;

/// Less room than this is about to be none …
const NO_ROOM: u64 = 256 << 20;
/// … and less than this soon.
const LITTLE_ROOM: u64 = 2 << 30;
/// The log is begun anew long before this, unless somebody holds an old state of it.
const LONG_LOG: u64 = 1 << 30;
/// How often the disk is synced to see how long it takes.
const SYNCS: usize = 20;
/// A disk that is faster than this is likely to keep what it was told in a memory that may be lost …
const FAST: Duration = Duration::from_micros(50);
/// … and one that is slower holds acks up.
const SLOW: Duration = Duration::from_millis(30);

pub(super) fn look(checkup: &mut Checkup, folder: &Path, file: &Path) {
    if !folder.is_dir() {
        return;
    }
    #[cfg(unix)]
    look_at_permissions(checkup, folder, file);
    look_at_log(checkup, file);
    look_at_space(checkup, folder);
    look_at_syncs(checkup, folder);
    if !claim::is_held(folder) {
        checkup.ok(Check::Brain, "no brain runs on this folder");
    }
}

#[cfg(unix)]
fn look_at_permissions(checkup: &mut Checkup, folder: &Path, file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    let files = [file.to_owned(), with_suffix(file, "-wal"), with_suffix(file, "-shm")];
    let open = files.iter().find(|path| mode(path) & 0o077 != 0);
    let (of_folder, shown) = (mode(folder), folder.display());
    if of_folder & 0o022 != 0 {
        let found = format!("others can write to {shown} (mode {of_folder:03o})");
        checkup.problem(Check::Permissions, found, format!("chmod 700 {shown}"));
    } else if let Some(path) = open {
        let found = format!("others can open {} (mode {:03o}), which holds task data", path.display(), mode(path));
        checkup.problem(Check::Permissions, found, format!("chmod 600 {}", path.display()));
    } else if of_folder & 0o077 != 0 {
        let found = format!("others can look into {shown} (mode {of_folder:03o})");
        checkup.warning(Check::Permissions, found, format!("chmod 700 {shown}"));
    } else {
        checkup.ok(Check::Permissions, "only the owner can open the folder and its files");
    }
}

fn look_at_log(checkup: &mut Checkup, file: &Path) {
    let bytes = fs::metadata(with_suffix(file, "-wal")).map_or(0, |metadata| metadata.len());
    let found = format!("the write-ahead log has {}", bytes_text(bytes));
    if bytes < LONG_LOG {
        checkup.ok(Check::WriteAheadLog, found);
    } else {
        let advice = "end the backup or the program that has been reading for long; the log is emptied by itself then";
        checkup.warning(Check::WriteAheadLog, found, advice);
    }
}

fn look_at_space(checkup: &mut Checkup, folder: &Path) {
    let space = match disk::space(folder) {
        Ok(space) => space,
        Err(error) => {
            let found = format!("the room on the disk is not known ({error})");
            return checkup.warning(Check::FreeSpace, found, "look at it with `df`");
        }
    };
    let found = format!("{} of {} are free", bytes_text(space.free), bytes_text(space.total));
    if space.free < NO_ROOM {
        checkup.problem(Check::FreeSpace, found, "free some, or move the folder: without room the brain acks nothing");
    } else if space.free < LITTLE_ROOM {
        checkup.warning(Check::FreeSpace, found, "free some, or keep the history for a shorter time");
    } else {
        checkup.ok(Check::FreeSpace, found);
    }
}

/// Writes a page and syncs, again and again, in a file that has no name when this returns.
fn look_at_syncs(checkup: &mut Checkup, folder: &Path) {
    let median = match measure_syncs(folder) {
        Ok(median) => median,
        Err(error) => {
            let found = format!("nothing can be written to {} ({error})", folder.display());
            return checkup.problem(Check::DiskSync, found, "check the permissions and the mount of the folder");
        }
    };
    let found = format!("syncing a page takes {:.2} ms (median of {SYNCS})", median.as_secs_f64() * 1e3);
    if median < FAST {
        let advice = "suspiciously fast: make sure that disk or virtual machine keep what they say they have written";
        checkup.warning(Check::DiskSync, found, advice);
    } else if median > SLOW {
        checkup.warning(Check::DiskSync, found, "acks wait for it: use a faster disk, or one of its own");
    } else {
        checkup.ok(Check::DiskSync, found);
    }
}

fn measure_syncs(folder: &Path) -> std::io::Result<Duration> {
    let path = folder.join(format!("doctor-{}.tmp", std::process::id()));
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path)?;
    fs::remove_file(&path)?;
    let page = vec![1; PAGE_SIZE as usize];
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let began = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times[SYNCS / 2])
}
