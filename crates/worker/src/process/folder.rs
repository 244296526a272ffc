//! The folder of an attempt: its name, its files and their contents. Workers and supervisors meet nowhere else.
//!
//! ```text
//! <state>/attempts/<run>-<idx>-<map>-<attempt>/   made complete beside its place, then renamed into it
//!     spec        what to start; removed once it was started, since it may hold secrets
//!     lock        flock held by the supervisor, the command and every descendant that keeps the descriptor
//!     started     made with O_EXCL before the command is spawned: who made it is the only one who ever spawns
//!     control     FIFO, read by the supervisor alone: no reader means no supervisor
//!     stop        why it shall end; the first one stays
//!     log         stdout and stderr
//!     xcom.json   what the command leaves
//!     work/       its working directory, when the task names none
//!     cgroup      path of its memory cgroup, when there is one
//!     exit        how it ended (EndFacts), renamed into place after the last descendant was reaped
//! <state>/released/<name>                          an attempt that must never start again
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use updraft_model::end::Stopped;
use updraft_model::{AttemptKey, InstanceKey, LaunchSpec, RunKey};

pub(crate) const SPEC: &str = "spec";
pub(crate) const LOCK: &str = "lock";
pub(crate) const STARTED: &str = "started";
pub(crate) const CONTROL: &str = "control";
pub(crate) const STOP: &str = "stop";
pub(crate) const LOG: &str = "log";
pub(crate) const XCOM: &str = "xcom.json";
pub(crate) const WORK: &str = "work";
#[cfg(target_os = "linux")]
pub(crate) const CGROUP: &str = "cgroup";
pub(crate) const EXIT: &str = "exit";
pub(crate) const ATTEMPTS: &str = "attempts";
pub(crate) const RELEASED: &str = "released";

/// In the environment of every command: the folder of its attempt. It marks the descendants, should the supervisor be killed.
pub(crate) const MARKER: &str = "UPDRAFT_ATTEMPT_DIR";

/// The contents of `spec`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SpecFile {
    pub(crate) launch: LaunchSpec,
    pub(crate) boot_id: String,
    pub(crate) grace_ms: u64,
}

/// The contents of `started`. Pids are for waking up sooner and for people; no verdict rests on them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StartedFile {
    pub(crate) boot_id: String,
    pub(crate) supervisor: i32,
    /// It was closed before anything was started, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) never: Option<String>,
}

/// The contents of `stop`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct StopFile {
    pub(crate) why: Stopped,
}

pub(crate) fn name(key: AttemptKey) -> String {
    let InstanceKey { run, idx, map_index } = key.instance;
    format!("{run}-{idx}-{map_index}-{}", key.attempt)
}

/// The key in a folder's name. Numbers may be negative (a task that is not mapped has index -1), hence no plain split.
pub(crate) fn key(name: &str) -> Option<AttemptKey> {
    fn number(text: &str) -> Option<(i64, &str)> {
        let sign = usize::from(text.starts_with('-'));
        let end = text[sign..].find('-').map_or(text.len(), |at| at + sign);
        Some((text[..end].parse().ok()?, text[end..].strip_prefix('-').unwrap_or("")))
    }
    let (run, rest) = number(name)?;
    let (idx, rest) = number(rest)?;
    let (map_index, rest) = number(rest)?;
    let (attempt, rest) = number(rest)?;
    let found = AttemptKey {
        instance: InstanceKey { run: RunKey(run), idx: idx.try_into().ok()?, map_index: map_index.try_into().ok()? },
        attempt: attempt.try_into().ok()?,
    };
    (rest.is_empty() && self::name(found) == name).then_some(found)
}

pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// A name beside `final_name` that nobody else uses: dots are never keys, and the number differs within this process.
pub(crate) fn scratch_name(final_name: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    format!(".{final_name}.{}.{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// Creates a file that must not exist yet, for the owner alone, and writes it.
pub(crate) fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(contents)
}

/// Writes a file so that readers see all of it or none. Not synced: a process crash loses nothing, and after a crash of the host nothing
/// here counts, since the boot id differs.
pub(crate) fn write_atomically(dir: &Path, file_name: &str, contents: &[u8]) -> io::Result<()> {
    let scratch = dir.join(scratch_name(file_name));
    write_new(&scratch, contents)?;
    fs::rename(&scratch, dir.join(file_name))
}

/// As [`write_atomically`], but whoever comes first wins. `false`: the file was there.
pub(crate) fn write_once(dir: &Path, file_name: &str, contents: &[u8]) -> io::Result<bool> {
    let scratch = dir.join(scratch_name(file_name));
    write_new(&scratch, contents)?;
    let linked = fs::hard_link(&scratch, dir.join(file_name));
    fs::remove_file(&scratch)?;
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads one of the JSON files. `None`: it is not there. A file that cannot be parsed was cut by a crash of the host.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens the lock file for the descriptor to be *inherited* through `exec` (`inherit`), or for a test of the lock.
pub(crate) fn open_lock(path: &Path, inherit: bool) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDWR | OFlags::CREATE | if inherit { OFlags::empty() } else { OFlags::CLOEXEC };
    Ok(File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?))
}

/// Takes the lock, if nobody holds it.
pub(crate) fn try_lock(lock: &File) -> io::Result<bool> {
    match rustix::fs::flock(lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Identifies this boot of the host. Empty where the system does not tell.
#[cfg(target_os = "linux")]
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Identifies this boot of the host. Empty where the system does not tell. Starts a program: asked once by a worker, and once per attempt
/// that lost its supervisor.
#[cfg(not(target_os = "linux"))]
pub(crate) fn boot_id() -> String {
    let told = std::process::Command::new("/usr/sbin/sysctl").args(["-n", "kern.bootsessionuuid"]).output();
    let told = told.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    told.and_then(|id| String::from_utf8(id).ok()).map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// The tombstone of the attempt in `folder`.
pub(crate) fn tombstone(folder: &Path) -> PathBuf {
    let state = folder.parent().and_then(Path::parent).unwrap_or_else(|| Path::new("."));
    state.join(RELEASED).join(folder.file_name().unwrap_or_default())
}

/// Makes the tombstone of the attempt in `folder`. It is another link to `started`, which holds no secret, with the time of this moment: a
/// file system is slow to make new files where many were removed a moment ago (ext4 looks at each of those first).
pub(crate) fn bury(folder: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
    let started = folder.join(STARTED);
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let linked = utimensat(CWD, &started, &Timestamps { last_access: now, last_modification: now }, AtFlags::empty())
        .map_err(io::Error::from)
        .and_then(|()| fs::hard_link(&started, tombstone(folder)));
    match linked {
        // Another worker is at it, or was and died; or there are no links here.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => match write_new(&tombstone(folder), b"") {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys_are_inverse() {
        for (run, idx, map_index, attempt) in [(1, 0, -1, 1), (i64::MAX, 99_999, 12, i32::MAX), (7, 3, 0, 2)] {
            let expected = AttemptKey { instance: InstanceKey { run: RunKey(run), idx, map_index }, attempt };
            assert_eq!(key(&name(expected)), Some(expected));
        }
        for bad in ["", "1-2-3", "1-2-3-4-5", ".1-2--1-4", "a-b-c-d", "01-2-3-4", "1-2--1-"] {
            assert_eq!(key(bad), None, "{bad:?}");
        }
    }
}
