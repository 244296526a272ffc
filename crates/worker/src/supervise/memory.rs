//! The memory limit of a command: a cgroup of its own where this host lets us make one, else a limit of the address space.
//!
//! There is no code of ours between fork and exec (that would need `unsafe`), so the supervisor steps into the cgroup, spawns, and steps out
//! again: the command is a member from its first instruction on, and the supervisor is charged nothing worth naming.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::process::Pid;

#[cfg(target_os = "linux")]
use crate::process::folder;

#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux has cgroups, and a limit that can be set from outside"))]
pub(crate) enum MemoryCap {
    /// A cgroup of ours; where we came from; the file that counts the kernel's kills.
    Cgroup { path: PathBuf, home: PathBuf, events: &'static str },
    /// Bytes of address space for each process.
    AddressSpace(u64),
}

impl MemoryCap {
    /// Makes what is needed, and tells the log which of the two it is.
    pub(crate) fn prepare(limit: u64, dir: &Path, log: &mut File) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        match cgroup(limit, dir) {
            Ok(cap) => return Ok(cap),
            Err(error) => writeln!(
                log,
                "[updraft] memory limit {limit} bytes: no cgroup can be made here ({error}), so it limits the address space of each process \
                 (RLIMIT_AS): allocations fail instead of an OOM kill"
            )?,
        }
        #[cfg(not(target_os = "linux"))]
        writeln!(log, "[updraft] memory limit {limit} bytes of {}: this system cannot enforce it", dir.display())?;
        Ok(Self::AddressSpace(limit))
    }

    /// Before the spawn.
    pub(crate) fn enter(&self) -> io::Result<()> {
        match self {
            Self::Cgroup { path, .. } => join(path),
            Self::AddressSpace(_) => Ok(()),
        }
    }

    /// After the spawn, whether it succeeded or not.
    pub(crate) fn leave(&self) -> io::Result<()> {
        match self {
            Self::Cgroup { home, .. } => join(home),
            Self::AddressSpace(_) => Ok(()),
        }
    }

    /// Limits the address space of the command. A moment late, which for a limit of memory does not matter.
    pub(crate) fn limit(&self, command: Pid) {
        #[cfg(target_os = "linux")]
        if let Self::AddressSpace(limit) = self {
            let limit = rustix::process::Rlimit { current: Some(*limit), maximum: Some(*limit) };
            let _ended_already = rustix::process::prlimit(Some(command), rustix::process::Resource::As, limit);
        }
        #[cfg(not(target_os = "linux"))]
        let _unused = command;
    }

    /// Whether the kernel killed something for want of memory. Never known for an address space.
    pub(crate) fn killed(&self) -> bool {
        let Self::Cgroup { path, events, .. } = self else { return false };
        let count = |line: &str| line.strip_prefix("oom_kill ").and_then(|count| count.trim().parse::<u64>().ok());
        fs::read_to_string(path.join(events)).is_ok_and(|text| text.lines().filter_map(count).any(|count| count > 0))
    }

    /// Once nothing of the command is left.
    pub(crate) fn remove(&self) {
        if let Self::Cgroup { path, .. } = self {
            let _left_to_the_host = fs::remove_dir(path);
        }
    }
}

fn join(cgroup: &Path) -> io::Result<()> {
    // 0 means whoever writes.
    fs::OpenOptions::new().write(true).open(cgroup.join("cgroup.procs"))?.write_all(b"0")
}

#[cfg(target_os = "linux")]
fn cgroup(limit: u64, dir: &Path) -> io::Result<MemoryCap> {
    let membership = fs::read_to_string("/proc/self/cgroup")?;
    // `4:memory:/some/path` in v1, `0::/some/path` in v2. Where both are mounted the controller belongs to one of them.
    let find = |wanted: fn(&str) -> bool| {
        membership.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            wanted(controllers).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let name = format!("updraft-{}", dir.file_name().unwrap_or_default().to_string_lossy());
    let write =
        |path: &Path, file: &str, value: &str| fs::OpenOptions::new().write(true).open(path.join(file))?.write_all(value.as_bytes());
    if let Some(path) = find(|controllers| controllers.split(',').any(|controller| controller == "memory")) {
        let home = Path::new("/sys/fs/cgroup/memory").join(path);
        let made = make(&home, &name, dir)?;
        let limited = write(&made, "memory.limit_in_bytes", &limit.to_string());
        // Swap accounting may be switched off.
        let _no_swap = write(&made, "memory.memsw.limit_in_bytes", &limit.to_string());
        return limited.map(|()| MemoryCap::Cgroup { path: made.clone(), home, events: "memory.oom_control" }).inspect_err(|_| {
            let _unused = fs::remove_dir(&made);
        });
    }
    let path = find(str::is_empty).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no memory controller"))?;
    let home = Path::new("/sys/fs/cgroup").join(path);
    // A cgroup with processes of its own hands out no controllers, except the root; then a sibling has to do.
    let hands_out = |path: &Path| fs::read_to_string(path.join("cgroup.subtree_control")).is_ok_and(|list| list.contains("memory"));
    let parent = [Some(home.as_path()), home.parent()].into_iter().flatten().find(|path| hands_out(path));
    let parent = parent.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the memory controller is not delegated"))?;
    let made = make(parent, &name, dir)?;
    let limited = write(&made, "memory.max", &limit.to_string());
    let _no_swap = write(&made, "memory.swap.max", "0");
    let _all_at_once = write(&made, "memory.oom.group", "1");
    limited.map(|()| MemoryCap::Cgroup { path: made.clone(), home, events: "memory.events" }).inspect_err(|_| {
        let _unused = fs::remove_dir(&made);
    })
}

/// Makes the cgroup, and leaves its path for whoever has to clear up after a killed supervisor.
#[cfg(target_os = "linux")]
fn make(parent: &Path, name: &str, dir: &Path) -> io::Result<PathBuf> {
    let made = parent.join(name);
    match fs::create_dir(&made) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    folder::write_new(&dir.join(folder::CGROUP), made.as_os_str().as_encoded_bytes())?;
    Ok(made)
}
