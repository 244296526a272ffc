//! What the folder of an attempt proves. Called from blocking threads; every function looks once and returns.
//!
//! The order of the questions matters. `exit` first, since it is final. Then `started`: without it nothing was ever spawned, and whoever
//! wants to call such an attempt lost has to make `started` himself, under the lock, so that a supervisor that comes late finds itself
//! shut out. Then the control FIFO: only the supervisor reads it, and it opens it before it makes `started`, so no reader means that the
//! supervisor is gone, and `exit` is looked for once more, since it may have been written in between. A dead supervisor does not mean that the
//! command is dead: `leftovers` comes before the word *lost*.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use updraft_model::EndFacts;

use super::folder::{self, StartedFile, StopFile};
use super::leftovers;

#[derive(Debug)]
pub(crate) enum State {
    /// There is no such folder.
    Absent,
    /// Ready to start; nobody has.
    Prepared,
    /// The supervisor lives. Its pid, to be woken by its end; 0 when unknown.
    Running(i32),
    /// The supervisor is gone without having recorded an end.
    Orphaned(StartedFile),
    /// It ended, or it never will.
    Ended(Box<EndFacts>),
}

pub(crate) fn inspect(dir: &Path) -> io::Result<State> {
    if let Some(facts) = exit_record(dir)? {
        return Ok(State::Ended(facts));
    }
    let started = match folder::read_json::<StartedFile>(&dir.join(folder::STARTED)) {
        Ok(Some(started)) => started,
        Ok(None) if dir.is_dir() => return Ok(State::Prepared),
        Ok(None) => return Ok(State::Absent),
        // It exists, and that is what counts: made this instant and not written yet, or cut by a crash of the host.
        Err(error) if is_cut(&error) => StartedFile::default(),
        Err(error) => return Err(error),
    };
    if let Some(why) = started.never {
        return Ok(State::Ended(lost(dir, why)));
    }
    if control(dir)?.is_some() {
        return Ok(State::Running(started.supervisor));
    }
    Ok(match exit_record(dir)? {
        Some(facts) => State::Ended(facts),
        None => State::Orphaned(started),
    })
}

/// The write end of the supervisor's FIFO; `None` when no supervisor reads it.
pub(crate) fn control(dir: &Path) -> io::Result<Option<std::fs::File>> {
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    match OpenOptions::new().write(true).custom_flags(nonblocking).open(dir.join(folder::CONTROL)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Closes an attempt that nobody started, so that nobody will. `None`: somebody is starting it this moment, look again.
pub(crate) fn close_unstarted(dir: &Path, why: &str) -> io::Result<Option<Box<EndFacts>>> {
    let lock = folder::open_lock(&dir.join(folder::LOCK), false)?;
    if !folder::try_lock(&lock)? {
        return Ok(None);
    }
    let started = StartedFile { never: Some(why.to_owned()), ..StartedFile::default() };
    match folder::write_new(&dir.join(folder::STARTED), &serde_json::to_vec(&started)?) {
        Ok(()) => Ok(Some(lost(dir, why.to_owned()))),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

/// Ends what a dead supervisor left behind. `None`: something of it may still run, look again.
pub(crate) fn close_orphan(dir: &Path, started: &StartedFile) -> io::Result<Option<Box<EndFacts>>> {
    let found = leftovers::kill(dir, started)?;
    let free = folder::try_lock(&folder::open_lock(&dir.join(folder::LOCK), false)?)?;
    if found > 0 || !free {
        return Ok(None);
    }
    if let Some(facts) = exit_record(dir)? {
        return Ok(Some(facts));
    }
    let boot = folder::boot_id();
    let why = if started.boot_id.is_empty() || started.boot_id == boot {
        "the supervisor was killed before the command ended; what was left of the command was killed too"
    } else {
        "the host restarted while the command ran"
    };
    Ok(Some(lost(dir, why.to_owned())))
}

/// No evidence of an end. Whoever had asked for a stop gets that as the reason.
pub(crate) fn lost(dir: &Path, why: String) -> Box<EndFacts> {
    let stop = folder::read_json::<StopFile>(&dir.join(folder::STOP)).ok().flatten();
    Box::new(EndFacts { stopped: stop.map(|stop| stop.why), detail: Some(why), ..EndFacts::default() })
}

/// The record of the end, if it is there: one small file, cheap enough for an async thread.
pub(crate) fn exit_record(dir: &Path) -> io::Result<Option<Box<EndFacts>>> {
    match folder::read_json::<EndFacts>(&dir.join(folder::EXIT)) {
        Ok(facts) => Ok(facts.map(Box::new)),
        Err(error) if is_cut(&error) => Ok(Some(lost(dir, "the record of the end was cut, as by a crash of the host".to_owned()))),
        Err(error) => Err(error),
    }
}

/// How `serde_json` errors arrive as IO errors.
fn is_cut(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}
