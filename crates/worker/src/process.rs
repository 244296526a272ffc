//! The process runner: attempts as processes of this host. What `updraft standalone` uses, and anybody who wants no cluster.
//!
//! A small supervisor (`crate::supervise`) plays the kubelet for each attempt. It is a process of its own, in its own session, so a
//! worker may die or be deployed while its commands go on. Worker and supervisor talk through the folder of the attempt (`folder` has its
//! layout), and any worker on the same host that uses the same state folder can take over.
//!
//! ```text
//! launch   make the folder complete under another name, rename it into place (one winner), have a supervisor forked (all losers may, too)
//! start    the supervisor takes the lock, opens the control FIFO, makes `started` (one winner, for ever), spawns the command
//! end      command reaped → descendants killed and reaped → `exit` renamed into place → supervisor exits
//! wait     own supervisor: its exit wakes us; another worker's: a pidfd, and a look every second; then the evidence on disk decides
//! release  tombstone, then the folder goes: a worker that slept through all of it cannot start the attempt again
//! ```
//!
//! Invariants I2 and I3 hold per host: the store hands an attempt only to workers with the same [`Runner::host`].

mod evidence;
pub(crate) mod folder;
mod fork_server;
mod leftovers;
pub(crate) mod log;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use tokio::sync::watch;
use updraft_model::end::Stopped;
use updraft_model::{AttemptKey, EndFacts, LaunchSpec};

use self::evidence::State;
use self::folder::{SpecFile, StopFile};
use self::fork_server::ForkServer;
use crate::runner::{Assignment, Handle, LaunchError, Launched, LogPosition, LogRead, Outcome, Retry, Runner, StopError};

/// How long a tombstone stays: far longer than any worker can sleep through and still believe in its claim.
const TOMBSTONE_AGE: Duration = Duration::from_secs(6 * 3600);

/// How long a folder that is being made may take before it counts as abandoned.
const SCRATCH_AGE: Duration = Duration::from_secs(3600);

/// How to run processes.
#[derive(Debug, Clone)]
pub struct ProcessConfig {
    /// The folder of all attempts, on a local file system (`flock`). Workers that share it adopt each other's attempts.
    pub state_dir: PathBuf,
    /// The program that forks supervisors, and its first arguments; the folder of all attempts is added.
    pub supervisor: (PathBuf, Vec<OsString>),
    /// How long a command has between SIGTERM and SIGKILL.
    pub grace: Duration,
}

impl ProcessConfig {
    /// The defaults: this very program as `updraft supervise`, 10 seconds of grace.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        // Not the path of the executable: after an upgrade that is another version, or gone.
        let program = if cfg!(target_os = "linux") { PathBuf::from("/proc/self/exe") } else { std::env::current_exe().unwrap_or_default() };
        Self { state_dir: state_dir.into(), supervisor: (program, vec!["supervise".into()]), grace: Duration::from_secs(10) }
    }
}

/// Runs attempts as processes of this host. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ProcessRunner {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    attempts: PathBuf,
    config: ProcessConfig,
    host: String,
    boot_id: String,
    forks: ForkServer,
    /// The supervisors that this process had forked and that have not ended yet. The channel closes when one does.
    own: Mutex<HashMap<AttemptKey, watch::Receiver<()>>>,
}

impl ProcessRunner {
    /// Makes the state folder if need be, and forgets the tombstones of long ago.
    pub fn new(config: ProcessConfig) -> io::Result<Self> {
        let state = &config.state_dir;
        fs::create_dir_all(state)?;
        // The marker in the environment of the commands is this path, so it must be the same for everybody.
        let state = state.canonicalize()?;
        for sub_folder in [folder::ATTEMPTS, folder::RELEASED] {
            match folder::make_private_dir(&state.join(sub_folder)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        // Two state folders on one host know nothing of each other, so the folder is part of the identity.
        folder::write_once(&state, "id", uuid::Uuid::new_v4().simple().to_string().as_bytes())?;
        let id = fs::read_to_string(state.join("id"))?;
        let boot_id = folder::boot_id();
        let host = format!("{}/{boot_id}/{}", rustix::system::uname().nodename().to_string_lossy(), id.trim());
        let attempts = state.join(folder::ATTEMPTS);
        let forks = ForkServer::new(config.supervisor.clone(), attempts.clone());
        let runner = Self { inner: Arc::new(Inner { attempts, config, host, boot_id, forks, own: Mutex::new(HashMap::new()) }) };
        prune_tombstones(&state.join(folder::RELEASED))?;
        Ok(runner)
    }

    /// The folder of an attempt.
    pub fn folder(&self, key: AttemptKey) -> PathBuf {
        self.inner.attempts.join(folder::name(key))
    }

    fn own(&self, key: AttemptKey) -> Option<watch::Receiver<()>> {
        self.inner.own.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    /// Blocking: file operations. `true`: the attempt needs a supervisor.
    fn lay_out(&self, key: AttemptKey, launch: LaunchSpec) -> Result<(Handle, bool), LaunchError> {
        let dir = self.folder(key);
        let failed = |operation| failed(operation, &dir);
        let known = || Ok((handle(&dir, true), false));
        let tombstone = folder::tombstone(&dir);
        if tombstone.exists() {
            return known();
        }
        let found = !self.prepare(&dir, launch).map_err(failed("preparing"))?;
        if found {
            match evidence::inspect(&dir).map_err(failed("inspecting"))? {
                // Whoever made the folder died, or is about to have a supervisor forked. One too many does no harm, one too few would.
                State::Prepared => {
                    let spec: Option<SpecFile> = folder::read_json(&dir.join(folder::SPEC)).map_err(failed("reading the spec in"))?;
                    if spec.is_some_and(|spec| spec.boot_id != self.inner.boot_id) {
                        // `started` may have been lost with the host's memory: who cannot prove that nothing ran must not start it.
                        return known();
                    }
                }
                State::Absent | State::Running(_) | State::Orphaned(_) | State::Ended(_) => return known(),
            }
        } else if tombstone.exists() {
            // It ended and was released between our two looks; the folder that we just made anew must go.
            fs::remove_dir_all(&dir).map_err(failed("removing"))?;
            return known();
        }
        Ok((handle(&dir, found), true))
    }

    /// Makes the folder, complete or not at all. `false`: it was there.
    fn prepare(&self, dir: &Path, launch: LaunchSpec) -> io::Result<bool> {
        let scratch = self.inner.attempts.join(folder::scratch_name(&dir.file_name().unwrap_or_default().to_string_lossy()));
        let grace_ms = u64::try_from(self.inner.config.grace.as_millis()).unwrap_or(u64::MAX);
        let spec = SpecFile { launch: LaunchSpec { pod: None, ..launch.with_carried() }, boot_id: self.inner.boot_id.clone(), grace_ms };
        let made = folder::make_private_dir(&scratch)
            .and_then(|()| folder::write_new(&scratch.join(folder::SPEC), &serde_json::to_vec(&spec)?))
            .and_then(|()| fs::rename(&scratch, dir));
        match made {
            Ok(()) => Ok(true),
            Err(error) => {
                let _may_not_exist = fs::remove_dir_all(&scratch);
                if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) { Ok(false) } else { Err(error) }
            }
        }
    }

    async fn fork_supervisor(&self, key: AttemptKey) -> io::Result<()> {
        let ended = self.inner.forks.fork(folder::name(key)).await?;
        self.inner.own.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert_with(|| ended.clone());
        let runner = self.clone();
        tokio::spawn(async move {
            let _closed = ended.clone().changed().await;
            let mut own = runner.inner.own.lock().unwrap_or_else(PoisonError::into_inner);
            // Another launch of the same attempt may have its own supervisor under the key.
            if own.get(&key).is_some_and(|newest| newest.same_channel(&ended)) {
                own.remove(&key);
            }
        });
        Ok(())
    }

    /// Looks at the evidence, once. `Err`: not yet, and what to wait for.
    fn look(&self, key: AttemptKey) -> Result<Box<EndFacts>, Pending> {
        let dir = self.folder(key);
        let looked = evidence::inspect(&dir).and_then(|state| {
            Ok(match state {
                State::Ended(facts) => Ok(facts),
                State::Running(supervisor) => Err(Pending::Supervisor(supervisor)),
                State::Absent => Ok(evidence::lost(&dir, format!("the attempt has no folder {} (any more)", dir.display()))),
                State::Prepared => {
                    evidence::close_unstarted(&dir, "its supervisor ended before it started the command")?.ok_or(Pending::Moment)
                }
                State::Orphaned(started) => evidence::close_orphan(&dir, &started)?.ok_or(Pending::Moment),
            })
        });
        looked.unwrap_or_else(|error| {
            tracing::warn!(%error, folder = %dir.display(), "looking for the end of an attempt failed, trying again");
            Err(Pending::Second)
        })
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> T + Send + 'static) -> Result<T, io::Error> {
        let runner = self.clone();
        tokio::task::spawn_blocking(move || work(&runner)).await.map_err(io::Error::other)
    }
}

/// What stands between a look and the next.
#[derive(Debug, Clone, Copy)]
enum Pending {
    /// The end of another worker's supervisor, by pid.
    Supervisor(i32),
    /// Somebody starts or dies right now.
    Moment,
    /// An error that may pass.
    Second,
}

impl Pending {
    async fn over(self) {
        match self {
            // The pid may have passed to another process, which would only cost us the early wake-up.
            Self::Supervisor(pid) => {
                let _late = tokio::time::timeout(Duration::from_secs(1), supervisor_end(pid)).await;
            }
            Self::Moment => tokio::time::sleep(Duration::from_millis(10)).await,
            Self::Second => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

#[cfg(target_os = "linux")]
async fn supervisor_end(pid: i32) {
    use rustix::process::{PidfdFlags, pidfd_open};
    use tokio::net::unix::pipe::Receiver;
    let pidfd = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::NONBLOCK).ok());
    // A pidfd is no pipe, but all that is asked of it is when it gets readable, and this is tokio's way to that without `unsafe`.
    match pidfd.and_then(|pidfd| Receiver::from_owned_fd_unchecked(pidfd).ok()) {
        Some(pidfd) => drop(pidfd.readable().await),
        None => tokio::time::sleep(Duration::from_millis(100)).await,
    }
}

#[cfg(not(target_os = "linux"))]
async fn supervisor_end(_pid: i32) {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

impl Runner for ProcessRunner {
    // The supervisor's folder and lock decide who starts the command; the store has nothing to add.
    const BINDS: bool = false;

    fn kind(&self) -> &'static str {
        "process"
    }

    fn host(&self) -> &str {
        &self.inner.host
    }

    async fn launch(&self, assignment: Assignment<'_>) -> Result<Launched, LaunchError> {
        let key = assignment.key;
        if self.own(key).is_some() {
            return Ok(Launched::Made(handle(&self.folder(key), true)));
        }
        let spec = assignment.spec.clone();
        let (handle, needs_supervisor) = self
            .blocking(move |runner| runner.lay_out(key, spec))
            .await
            .unwrap_or_else(|error| Err(launch_error("running a blocking task".to_owned(), error)))?;
        if needs_supervisor {
            self.fork_supervisor(key).await.map_err(failed("starting the supervisor of", &self.folder(key)))?;
        }
        Ok(Launched::Made(handle))
    }

    async fn wait(&self, key: AttemptKey) -> EndFacts {
        loop {
            if let Some(mut ended) = self.own(key) {
                let _closed = ended.changed().await;
            }
            // The usual case takes no detour over a blocking thread.
            if let Ok(Some(facts)) = evidence::exit_record(&self.folder(key)) {
                return *facts;
            }
            match self.blocking(move |runner| runner.look(key)).await {
                Ok(Ok(facts)) => return *facts,
                Ok(Err(pending)) => pending.over().await,
                Err(_shutting_down) => Pending::Second.over().await,
            }
        }
    }

    async fn stop(&self, key: AttemptKey, why: Stopped) -> Result<(), StopError> {
        let dir = self.folder(key);
        let folder = dir.display().to_string();
        let told = self.blocking(move |_| {
            if !dir.is_dir() {
                return Ok(folder::tombstone(&dir).exists());
            }
            // First the reason, then the call: a supervisor that does not read its FIFO yet looks for the file before it spawns.
            folder::write_once(&dir, folder::STOP, &serde_json::to_vec(&StopFile { why })?)?;
            if let Some(mut control) = evidence::control(&dir)? {
                control.write_all(b"s")?;
            }
            Ok(true)
        });
        match told.await.and_then(|told| told) {
            Ok(true) => Ok(()),
            Ok(false) => Err(StopError::NotLaunched),
            Err(source) => Err(StopError::Io { folder, source }),
        }
    }

    async fn read_log(&self, key: AttemptKey, from: &LogPosition, max: usize) -> io::Result<LogRead> {
        let path = self.folder(key).join(folder::LOG);
        let offset = from.offset;
        self.blocking(move |_| log::read(&path, offset, max)).await?
    }

    async fn read_log_before(&self, key: AttemptKey, at: &LogPosition, max: usize) -> io::Result<Vec<u8>> {
        let path = self.folder(key).join(folder::LOG);
        let until = at.offset;
        self.blocking(move |_| log::read_before(&path, until, max)).await?
    }

    async fn release(&self, key: AttemptKey, _: Outcome) -> io::Result<()> {
        let dir = self.folder(key);
        self.blocking(move |_| {
            match evidence::inspect(&dir)? {
                State::Ended(_) => {}
                State::Absent => return Ok(()),
                // Lost is an end as well: `wait` said so, or nothing was ever started.
                State::Prepared => drop(evidence::close_unstarted(&dir, "it was released before it started")?.ok_or_else(busy)?),
                State::Orphaned(started) => drop(evidence::close_orphan(&dir, &started)?.ok_or_else(busy)?),
                State::Running(_) => return Err(busy()),
            }
            folder::bury(&dir)?;
            match fs::remove_dir_all(&dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        })
        .await?
    }

    async fn present(&self) -> io::Result<Vec<AttemptKey>> {
        self.blocking(|runner| {
            let mut keys = Vec::new();
            for entry in fs::read_dir(&runner.inner.attempts)? {
                let entry = entry?;
                let name = entry.file_name();
                match name.to_str().and_then(|name| name.strip_prefix('.')) {
                    // Half a folder of a worker that was killed while it made it. It holds the task's environment, and nobody knows its name.
                    Some(scratch) if abandoned(scratch, &entry) => drop(fs::remove_dir_all(entry.path())),
                    Some(_) => {}
                    None => keys.extend(name.to_str().and_then(folder::key)),
                }
            }
            // The sweeper calls this now and then, which is the right pace for tombstones, too.
            prune_tombstones(&runner.inner.config.state_dir.join(folder::RELEASED))?;
            keys.sort_unstable();
            Ok(keys)
        })
        .await?
    }
}

fn busy() -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, "the attempt still runs; stop it and wait for its end first")
}

/// Whether the process that made a scratch folder (`name.PID.N`) is gone; or, should another have its number now, a long time.
fn abandoned(scratch: &str, entry: &fs::DirEntry) -> bool {
    let maker = scratch.rsplit('.').nth(1).and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    let gone = maker.is_none_or(|pid| test_kill_process(pid) == Err(Errno::SRCH));
    gone || entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|age| age > SCRATCH_AGE))
}

fn prune_tombstones(released: &Path) -> io::Result<()> {
    let now = SystemTime::now();
    for entry in fs::read_dir(released)? {
        let entry = entry?;
        let old = |metadata: fs::Metadata| metadata.modified().is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > TOMBSTONE_AGE));
        if entry.metadata().is_ok_and(old) {
            let _another_worker_was_first = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

fn handle(dir: &Path, found: bool) -> Handle {
    Handle { id: dir.display().to_string(), found }
}

fn failed(operation: &str, dir: &Path) -> impl FnOnce(io::Error) -> LaunchError {
    let operation = format!("{operation} {}", dir.display());
    move |error| launch_error(operation, error)
}

fn launch_error(operation: String, source: io::Error) -> LaunchError {
    use io::ErrorKind::{OutOfMemory, QuotaExceeded, ReadOnlyFilesystem, StorageFull, WouldBlock};
    let (remedy, retry) = match source.kind() {
        StorageFull | QuotaExceeded => ("free space on the file system of the state folder", Retry::After(Duration::from_secs(30))),
        WouldBlock | OutOfMemory => {
            ("the host is short of processes or memory: lower the worker's slots or raise its limits", Retry::After(Duration::from_secs(2)))
        }
        ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => ("give the worker a state folder that it may write to", Retry::Never),
        // EMFILE and ENFILE have no kind of their own.
        _ if [Errno::MFILE, Errno::NFILE].iter().any(|errno| source.raw_os_error() == Some(errno.raw_os_error())) => {
            ("the worker is short of file descriptors: raise its limit (ulimit -n)", Retry::After(Duration::from_secs(2)))
        }
        _ => ("check the state folder and the updraft program of this worker", Retry::After(Duration::from_secs(10))),
    };
    LaunchError { operation, remedy, retry, source }
}

/// Proof that the futures can be spawned.
const _: fn(&ProcessRunner, AttemptKey) = |runner, key| {
    fn is_send(_: &impl Future) {}
    is_send(&runner.wait(key));
};
