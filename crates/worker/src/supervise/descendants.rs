//! The command and all that it started: telling them to end, killing them, reaping them.
//!
//! As their subreaper we are the parent of every orphan among them, wherever it moved itself to (`setsid`, double fork), and a child that
//! was not reaped yet keeps its pid: no signal can hit a stranger.
//!
//! Systems other than Linux have no subreapers. There the command's group is all that can be reached: it is killed when the command has ended
//! and is not reaped yet, since the group's number is safe for so long. A descendant that left the group lives on, and keeps the lock.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group};

/// Reaps whatever has ended. `Some`: the command is among it.
pub(crate) fn reap(command: Pid) -> io::Result<Option<WaitStatus>> {
    #[cfg(not(target_os = "linux"))]
    if !end_group_of_ended(command) {
        return Ok(None);
    }
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == command => return Ok(Some(status)),
            Ok(Some(_orphan)) => {}
            Ok(None) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Kills the group of a command that has ended and is not reaped. `false`: it has not ended.
#[cfg(not(target_os = "linux"))]
fn end_group_of_ended(command: Pid) -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if let Ok(None) = waitid(WaitId::Pid(command), look) {
        return false;
    }
    let _group_may_be_empty = kill_process_group(command, Signal::KILL);
    // An error of the look is an error of the wait that follows.
    true
}

/// Signals the command's group, and every child of ours that left it. Only while the command is not reaped.
pub(crate) fn signal(command: Pid, signal: Signal) {
    let _group_may_be_empty = kill_process_group(command, signal);
    for child in children() {
        if child == command || rustix::process::getpgid(Some(child)) != Ok(command) {
            let _ended_already = kill_process(child, signal);
        }
    }
}

/// Kills the command's group and all children of ours.
pub(crate) fn kill_now(command: Pid) {
    signal(command, Signal::KILL);
}

/// Kills and reaps all that is left once the command was reaped. Returns when there is nothing any more, however long that takes: until
/// then the attempt has not ended.
pub(crate) fn end_all(signals: &UnixStream) -> io::Result<()> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => continue,
            Err(Errno::CHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
            Ok(None) => {}
        }
        for child in children() {
            let _ended_already = kill_process(child, Signal::KILL);
        }
        // A child that became somebody else (setuid) cannot be killed; the time-out keeps us looking without spinning.
        sleep(signals, None, Duration::from_millis(100))?;
    }
}

/// Until a signal comes, `control` can be read, or `time` is over.
pub(crate) fn sleep(signals: &UnixStream, control: Option<&File>, time: Duration) -> io::Result<()> {
    // Rounded up: waking a moment too early would mean another round for nothing.
    let timeout = Timespec { tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(time.subsec_nanos()) };
    let mut waited = vec![PollFd::new(signals, PollFlags::IN)];
    waited.extend(control.map(|control| PollFd::new(control, PollFlags::IN)));
    match rustix::event::poll(&mut waited, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut drained = [0; 64];
    while matches!((&mut &*signals).read(&mut drained), Ok(read) if read > 0) {}
    Ok(())
}

/// Our children: the command, and orphans of its making.
#[cfg(target_os = "linux")]
fn children() -> Vec<Pid> {
    let pids = |text: &str| text.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect();
    if let Ok(listed) = std::fs::read_to_string("/proc/thread-self/children") {
        return pids(&listed);
    }
    // A kernel without CONFIG_PROC_CHILDREN: ask everybody for the parent.
    let own = rustix::process::getpid().as_raw_nonzero().to_string();
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ours = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)? == own;
        parent.then(|| pid.to_owned())
    };
    let found: Vec<String> = processes.flatten().filter_map(|entry| ours(entry.file_name().to_str()?)).collect();
    pids(&found.join(" "))
}

/// Nobody tells; the process group has to do.
#[cfg(not(target_os = "linux"))]
fn children() -> Vec<Pid> {
    Vec::new()
}
