//! The supervisor of one attempt of the process runner, a process of its own. It starts the command once, outlives the worker, and leaves
//! the evidence of the end in the folder (`crate::process::folder` has the layout). It plays the kubelet.
//!
//! `updraft supervise` is the process that supervisors are forked from (`fork_server`). `main` is called before anything heavy: no async
//! runtime, no argument parser, no logging. Both have one thread. What a supervisor has to say goes into the attempt's log.
//!
//! It is the leader of its own session, so no terminal and no signal to the worker's process group reaches it, and the subreaper of all that
//! the command starts, so that nothing escapes: whatever lives when the command has ended is killed and reaped *before* `exit` is written.
//! SIGINT and SIGHUP are ignored. SIGTERM, which a host that shuts down sends to everybody, is only noted: should the command end on
//! account of it, the end says *disrupted* and not *failed*.

mod command;
mod descendants;
pub(crate) mod fork_server;
mod memory;
mod usage;
mod xcom;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use rustix::process::{Pid, Signal, WaitStatus};
use updraft_model::EndFacts;
use updraft_model::end::Stopped;

use self::command::Spawned;
use self::memory::MemoryCap;
use crate::process::folder::{self, SpecFile, StartedFile, StopFile};
use crate::process::log;

/// The end is recorded.
const RECORDED: u8 = 0;
/// Another supervisor has this attempt, or had it.
const NOT_MINE: u8 = 10;
/// The folder could not be worked with.
const BROKEN: u8 = 11;

/// Ends within this time of a SIGTERM to the supervisor are blamed on it.
const DISRUPTION_WINDOW: Duration = Duration::from_secs(10);
/// How often the size of the log is looked at.
const LOG_CHECK: Duration = Duration::from_secs(2);

/// Forks supervisors for the attempts below the folder that is the next argument (those before it, `updraft supervise`, are consumed already).
pub fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(attempts) = arguments.next().map(PathBuf::from) else { return ExitCode::from(2) };
    fork_server::serve(&attempts).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

/// Supervises one attempt, in a process forked for it. Its exit code is for people.
fn main_of(dir: &Path) -> u8 {
    supervise(dir).unwrap_or_else(|error| {
        // The log is the only place that anybody reads; the worker finds out by the evidence, or its absence.
        if let Ok(mut log) = open_log(&dir.join(folder::LOG)) {
            let _nothing_left_to_try = writeln!(log, "[updraft] the supervisor failed: {error}");
        }
        BROKEN
    })
}

fn supervise(dir: &Path) -> io::Result<u8> {
    rustix::process::setsid()?;
    #[cfg(target_os = "linux")]
    let _for_ps = rustix::thread::set_name(c"updraft-task");
    std::env::set_current_dir(dir)?;
    let Some(lock) = own_the_start()? else { return Ok(NOT_MINE) };

    let Some(spec) = folder::read_json::<SpecFile>(Path::new(folder::SPEC))? else { return Ok(NOT_MINE) };
    let control = open_control()?;
    let started = StartedFile { boot_id: spec.boot_id.clone(), supervisor: rustix::process::getpid().as_raw_nonzero().get(), never: None };
    match folder::write_new(Path::new(folder::STARTED), &serde_json::to_vec(&started)?) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(NOT_MINE),
        other => other?,
    }
    // From here on the attempt is ours, whatever happens: nobody will ever start it again.
    if folder::tombstone(dir).exists() {
        return Ok(NOT_MINE);
    }
    let mut supervisor = Supervisor::new(dir, spec, control)?;
    let facts = supervisor.run()?;
    record(&facts)?;
    // Not before: who finds no reader of the FIFO and no record takes us for dead, and what holds the lock for a leftover to kill.
    drop(supervisor);
    drop(lock);
    Ok(RECORDED)
}

/// The evidence is what everything waits for, so a full disk is waited for in turn: ten minutes, in which the attempt counts as running.
fn record(facts: &EndFacts) -> io::Result<()> {
    let bytes = serde_json::to_vec(facts)?;
    for _ in 0..600 {
        match folder::write_atomically(Path::new(""), folder::EXIT, &bytes) {
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                std::thread::sleep(Duration::from_secs(1));
            }
            other => return other,
        }
    }
    folder::write_atomically(Path::new(""), folder::EXIT, &bytes)
}

/// Descriptors that the worker itself inherited (a build tool's job server, a test harness's pipe) are not the command's: whoever waits for
/// their end would wait for the task. Nor are the fork server's a supervisor's, but for `kept`.
fn close_inherited(kept: Option<RawFd>) -> io::Result<()> {
    let listing = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    let open: Vec<RawFd> = fs::read_dir(listing)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2 && Some(*descriptor) != kept) {
        // The listing's own is closed by now.
        let _may_be_closed = nix::unistd::close(descriptor);
    }
    Ok(())
}

/// Takes the lock. `None`: the attempt was started, by somebody else. Workers hold the lock for an instant when they test it, so a refusal
/// counts only together with `started`.
fn own_the_start() -> io::Result<Option<File>> {
    let lock = folder::open_lock(Path::new(folder::LOCK), true)?;
    loop {
        let taken = folder::try_lock(&lock)?;
        if Path::new(folder::STARTED).exists() {
            return Ok(None);
        }
        if taken {
            return Ok(Some(lock));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Opens the FIFO for reading and writing: with a writer of our own it never reports an end.
fn open_control() -> io::Result<File> {
    use nix::sys::stat::Mode;
    match nix::unistd::mkfifo(folder::CONTROL, Mode::S_IRUSR | Mode::S_IWUSR) {
        Err(nix::errno::Errno::EEXIST) | Ok(()) => {}
        Err(error) => return Err(error.into()),
    }
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open(folder::CONTROL)
}

fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

struct Supervisor<'a> {
    dir: &'a Path,
    spec: SpecFile,
    control: File,
    log: File,
    log_dropped: u64,
    signals: UnixStream,
    terminated: Arc<AtomicBool>,
    terminated_at: Option<Instant>,
    stopped: Option<Stopped>,
    /// When the next SIGKILL goes out, once it was stopped.
    kill_at: Option<Instant>,
}

impl<'a> Supervisor<'a> {
    fn new(dir: &'a Path, spec: SpecFile, control: File) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        // Handlers, not SIG_IGN: the command would inherit that.
        let (signals, wake) = UnixStream::pair()?;
        signals.set_nonblocking(true)?;
        let terminated = Arc::new(AtomicBool::new(false));
        for ignored in [signal_hook::consts::SIGINT, signal_hook::consts::SIGHUP] {
            signal_hook::flag::register(ignored, Arc::new(AtomicBool::new(false)))?;
        }
        signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&terminated))?;
        signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, wake.try_clone()?)?;
        signal_hook::low_level::pipe::register(signal_hook::consts::SIGCHLD, wake)?;
        let log = open_log(Path::new(folder::LOG))?;
        Ok(Self { dir, spec, control, log, log_dropped: 0, signals, terminated, terminated_at: None, stopped: None, kill_at: None })
    }

    fn run(&mut self) -> io::Result<EndFacts> {
        if let Some(image) = self.spec.launch.image.clone() {
            self.say(format_args!("process runner: image {image} is ignored, the command runs on this host"));
        }
        if let Some(stop) = stop_request() {
            let detail = Some("it was stopped before it started".to_owned());
            return Ok(EndFacts { stopped: Some(stop.why), detail, ..EndFacts::default() });
        }
        let memory = match self.spec.launch.memory_limit {
            Some(limit) => Some(MemoryCap::prepare(limit, self.dir, &mut self.log)?),
            None => None,
        };
        let started = Instant::now();
        let started_at = now();
        let spawned = command::spawn(&self.spec.launch, self.dir, &self.log, memory.as_ref());
        let command = match spawned {
            Ok(Spawned::Running(pid)) => pid,
            Ok(Spawned::Refused(error)) => {
                self.say(format_args!("the command could not be started: {error}"));
                memory.iter().for_each(MemoryCap::remove);
                return Ok(EndFacts { spawn_error: Some(error), ended_at: Some(now()), ..EndFacts::default() });
            }
            // Not the task's fault. No exit code and no spawn error: that is lost, and tried again elsewhere or later.
            Err(error) => {
                memory.iter().for_each(MemoryCap::remove);
                return Ok(EndFacts { detail: Some(format!("the host could not start a process: {error}")), ..EndFacts::default() });
            }
        };
        // It may hold secrets, and nobody will need it again. From the spawn on, no error but that of waiting may end us: the command would
        // lose its witness.
        let _release_removes_it_too = fs::remove_file(folder::SPEC);
        let status = self.watch(command, started)?;
        let ended_at = now();
        let out_of_memory = memory.as_ref().is_some_and(MemoryCap::killed);
        descendants::end_all(&self.signals)?;
        memory.iter().for_each(MemoryCap::remove);

        let exit_code = status.exit_status();
        let signal = status.terminating_signal();
        let mut detail = None;
        if self.stopped.is_none() && self.was_terminated(signal)? {
            self.stopped = Some(Stopped::Disrupted);
            detail = Some("it ended right after the host had told its supervisor to terminate (SIGTERM), as in a shutdown".to_owned());
        }
        let xcom = if self.spec.launch.xcom { xcom::read(Path::new(folder::XCOM), self.spec.launch.python.is_some()) } else { None };
        Ok(EndFacts {
            node: None,
            started_at: Some(started_at),
            ended_at: Some(ended_at),
            exit_code,
            signal,
            // A program that lost a child to the limit and still exits 0 coped with it.
            oom_killed: out_of_memory && exit_code != Some(0),
            stopped: self.stopped,
            spawn_error: None,
            cause: None,
            detail,
            xcom,
            usage: usage::of_children(command),
            pod: None,
        })
    }

    /// Whether the host told us, shortly before the command's end, to terminate.
    fn was_terminated(&mut self, signal: Option<i32>) -> io::Result<bool> {
        // A shutdown signals everybody at once, in any order: the command may have died of it before it is our turn.
        let patience = Instant::now() + Duration::from_millis(50);
        while signal == Some(signal_hook::consts::SIGTERM) && !self.terminated.load(Ordering::Relaxed) && Instant::now() < patience {
            descendants::sleep(&self.signals, None, patience.saturating_duration_since(Instant::now()))?;
        }
        if self.terminated.load(Ordering::Relaxed) && self.terminated_at.is_none() {
            self.terminated_at = Some(Instant::now());
        }
        Ok(self.terminated_at.is_some_and(|at| at.elapsed() < DISRUPTION_WINDOW))
    }

    /// A line of our own in the log. A full disk costs the line, not the attempt.
    fn say(&mut self, line: std::fmt::Arguments<'_>) {
        let _disk_may_be_full = writeln!(self.log, "[updraft] {line}");
    }

    /// Until the command has ended and is reaped.
    fn watch(&mut self, command: Pid, started: Instant) -> io::Result<WaitStatus> {
        let deadline = self.spec.launch.timeout_ms.and_then(|timeout| started.checked_add(Duration::from_millis(timeout)));
        let mut log_check = started + LOG_CHECK;
        loop {
            // The end comes before any request: who ended first was not stopped.
            if let Some(status) = descendants::reap(command)? {
                return Ok(status);
            }
            let now = Instant::now();
            if self.terminated.load(Ordering::Relaxed) && self.terminated_at.is_none() {
                self.terminated_at = Some(now);
            }
            if self.stopped.is_none() {
                if let Some(stop) = self.stop_call()? {
                    self.stop(command, stop, now);
                } else if deadline.is_some_and(|deadline| deadline <= now) {
                    self.say(format_args!("the attempt took longer than its timeout and is stopped"));
                    self.stop(command, Stopped::Timeout, now);
                }
            }
            if self.kill_at.is_some_and(|at| at <= now) {
                descendants::kill_now(command);
                // Those whose parents just died come to us, and are next.
                self.kill_at = Some(now + Duration::from_millis(20));
            }
            if log_check <= now {
                log_check = now + LOG_CHECK;
                // A file system without holes: the log is unbounded there.
                let _kept_whole = log::bound(&self.log, &mut self.log_dropped);
            }
            let next = [deadline.filter(|_| self.stopped.is_none()), self.kill_at, Some(log_check)].into_iter().flatten().min();
            self.sleep(next.map_or(LOG_CHECK, |next| next.saturating_duration_since(now)))?;
        }
    }

    /// Tells the command, its group and whatever daemon it made to end. The reason is kept first.
    fn stop(&mut self, command: Pid, why: Stopped, now: Instant) {
        self.stopped = Some(why);
        self.kill_at = now.checked_add(Duration::from_millis(self.spec.grace_ms));
        descendants::signal(command, Signal::TERM);
    }

    /// Whether a worker called over the FIFO, and why.
    fn stop_call(&self) -> io::Result<Option<Stopped>> {
        let mut calls = [0; 16];
        match (&self.control).read(&mut calls) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(stop_request().map(|stop| stop.why)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Until a signal, a call, or the time is over.
    fn sleep(&self, time: Duration) -> io::Result<()> {
        descendants::sleep(&self.signals, Some(&self.control), time)
    }
}

fn stop_request() -> Option<StopFile> {
    folder::read_json(Path::new(folder::STOP)).ok().flatten()
}

fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}
