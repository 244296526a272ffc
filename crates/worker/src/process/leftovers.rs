//! Ends what a killed supervisor left behind, so that the next attempt overlaps with nothing (invariant I3).
//!
//! While the supervisor lives it is the subreaper of all that the command starts, and no search is needed. Without it, a process belongs to
//! the attempt when its environment names the folder, when it is in the attempt's cgroup, or when it holds the lock file and is in the
//! supervisor's session (workers open the lock file too, to test it, and must not be taken for the task). What drops all of these marks and
//! keeps the lock is waited for.

use std::io;
use std::path::Path;

use super::folder::StartedFile;

/// Kills what it finds, and says how many that were.
#[cfg(target_os = "linux")]
pub(crate) fn kill(dir: &Path, started: &StartedFile) -> io::Result<usize> {
    let cgroup = std::fs::read_to_string(dir.join(super::folder::CGROUP)).ok();
    let in_cgroup = |pid: i32| {
        let members = cgroup.as_deref().and_then(|path| std::fs::read_to_string(Path::new(path).join("cgroup.procs")).ok());
        members.is_some_and(|members| members.lines().any(|line| line.parse() == Ok(pid)))
    };
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let mut found = 0;
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()).filter(|pid| *pid != own) else { continue };
        let belongs = || bears_marker(pid, dir) || holds_lock_in_session(pid, dir, started.supervisor) || in_cgroup(pid);
        if !belongs() {
            continue;
        }
        // The pid may have passed to another process since: pin the process first, ask again, then kill what was pinned.
        let Some(raw) = rustix::process::Pid::from_raw(pid) else { continue };
        let Ok(pinned) = rustix::process::pidfd_open(raw, rustix::process::PidfdFlags::empty()) else { continue };
        if belongs() {
            found += 1;
            let _gone_already = rustix::process::pidfd_send_signal(&pinned, rustix::process::Signal::KILL);
        }
    }
    if found == 0
        && let Some(path) = cgroup
    {
        let _gone_or_still_in_use = std::fs::remove_dir(path);
    }
    Ok(found)
}

#[cfg(target_os = "linux")]
fn bears_marker(pid: i32, dir: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    // A zombie has no environment, and other users' processes are not ours to read.
    let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { return false };
    let prefix = super::folder::MARKER.as_bytes();
    environment.split(|byte| *byte == 0).any(|entry| {
        entry.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(b"=")).is_some_and(|value| value == dir.as_os_str().as_bytes())
    })
}

#[cfg(target_os = "linux")]
fn holds_lock_in_session(pid: i32, dir: &Path, session: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // After the name, which may hold anything and ends with the last parenthesis: state, parent, group, session.
    let own_session = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(3)?.parse::<i32>().ok());
    if session == 0 || own_session != Some(session) {
        return false;
    }
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let lock = dir.join(super::folder::LOCK);
    descriptors.flatten().any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target == lock))
}

/// Nothing to search with: the lock says whether anything still runs.
#[cfg(not(target_os = "linux"))]
pub(crate) fn kill(_dir: &Path, _started: &StartedFile) -> io::Result<usize> {
    Ok(0)
}
