//! The processes of a file: counted by what they stem from, ended by their groups, and found by their environment when their parent is gone.

use std::collections::BTreeSet;
#[cfg(target_os = "linux")]
use std::collections::HashMap;
use std::path::Path;

use rustix::process::{Pid, Signal};

/// Ends what is left of a child that could not clean up after itself: a file's process is in a session of its own, where the group's signal
/// does not reach. They are known by the scratch folder in the environment that they were started with.
///
/// All are stopped before any is ended: what ends makes room for one more, and a bomb would win that race.
#[cfg(target_os = "linux")]
pub(super) fn end_strays(scratch: &Path) {
    let mut held = HashMap::new();
    loop {
        let before = held.len();
        for pid in processes(scratch) {
            // Held first, looked at again, then stopped: the number cannot have passed to another process in between.
            if !held.contains_key(&pid)
                && let Ok(process) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
                && is_of(pid, scratch)
            {
                let _ = rustix::process::pidfd_send_signal(&process, Signal::STOP);
                held.insert(pid, process);
            }
        }
        if held.len() == before {
            break;
        }
    }
    for process in held.values() {
        let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
    }
}

/// The processes that were started with this scratch folder.
#[cfg(target_os = "linux")]
fn processes(scratch: &Path) -> Vec<Pid> {
    numbers().filter_map(Pid::from_raw).filter(|pid| is_of(*pid, scratch)).collect()
}

#[cfg(target_os = "linux")]
fn numbers() -> impl Iterator<Item = i32> {
    std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// All processes that stem from one, those included that have ended and that nobody has waited for: they fill the kernel's limit as well. With
/// the group of each. Nobody who loses its parent gets away, since the Python parser is the one that such processes come back to.
///
/// Read from `stat` alone. A process' environment is behind a lock that it holds while it makes another one, and where thousands do so each
/// waits for all: the bombs of a user who has no limit of processes, as root has none, were counted after a minute.
#[cfg(target_os = "linux")]
pub(super) fn descendants(of: i32) -> Vec<(i32, i32)> {
    let mut children: HashMap<i32, Vec<(i32, i32)>> = HashMap::new();
    for pid in numbers() {
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // The name stands in brackets and may hold any of them. After it: state, parent, group.
        let mut fields =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().skip(1).map_while(|field| field.parse().ok());
        if let (Some(parent), Some(group)) = (fields.next(), fields.next()) {
            children.entry(parent).or_default().push((pid, group));
        }
    }
    let mut found = Vec::new();
    let mut open = vec![of];
    while let Some(parent) = open.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            open.push(child.0);
            found.push(child);
        }
    }
    found
}

#[cfg(not(target_os = "linux"))]
pub(super) fn descendants(_of: i32) -> Vec<(i32, i32)> {
    Vec::new()
}

/// Ends the groups of all that stems from the parser, while it is there to be found by: that signal reaches everybody in a group at once,
/// whoever is being made included.
pub(super) fn end_groups(parser: i32) {
    let own = rustix::process::getpgrp();
    let mut ended = BTreeSet::new();
    loop {
        let before = ended.len();
        for (_, group) in descendants(parser) {
            if let Some(group) = Pid::from_raw(group).filter(|group| *group != own)
                && ended.insert(group.as_raw_nonzero())
            {
                let _ = rustix::process::kill_process_group(group, Signal::KILL);
            }
        }
        if ended.len() == before {
            break;
        }
    }
}

#[cfg(target_os = "linux")]
fn is_of(pid: Pid, scratch: &Path) -> bool {
    let mark = [b"HOME=", scratch.as_os_str().as_encoded_bytes()].concat();
    let environment = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
    environment.is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|pair| pair == mark))
}

/// Who they are is not known without `/proc`: their own alarm ends them, when their file's time is over.
#[cfg(not(target_os = "linux"))]
pub(super) fn end_strays(_scratch: &Path) {}
