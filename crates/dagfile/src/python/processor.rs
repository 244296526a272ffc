//! Warm Python children, and the hand on their collar.
//!
//! The Python side limits itself: time and memory of each file. This is the outer layer for when that fails: an outer clock, a cap on the
//! answer, one restart of a child that died between two files, and an end of the whole process group when the processor goes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tracing::{debug, warn};

use crate::diagnostic::{Diagnostic, Kind};
use crate::python::embedded::{self, Unpacked};
use crate::python::processes::{descendants, end_groups, end_strays};
use crate::python::protocol::{Answer, Outcome, Request, Snapshot};
use crate::python::{Error, Interpreter};
use crate::sandbox::{self, NOBODY, Report, ReportLine};

/// How much longer than a file's own time the outer clock runs.
const GRACE: Duration = Duration::from_secs(5);
/// Closes what this process may have inherited from whoever started it (our own descriptors close by themselves), then runs the file that
/// is its first argument. Landlock does not reach files that are open already.
const BOOT: &str = "import os, sys\nos.closerange(3, 65536)\nsys.argv = sys.argv[1:]\n\
    with open(sys.argv[0], 'rb') as f: code = compile(f.read(), sys.argv[0], 'exec')\n\
    globals()['__file__'] = sys.argv[0]\nexec(code)";
/// Address space of a file where a limit makes no sense: macOS maps hundreds of gigabytes into every process and refuses a limit below
/// that. More than any processor has, and few enough for the Python side to add its reserve.
const ALL_MEMORY: u64 = 1 << 50;
/// Most processes of a file, its readers included. The kernel's own limit counts all processes of the user, and so would have one file take
/// from others what they need.
const PROCESSES: usize = 64;
/// Most files that are read at once unless somebody asks for more: each child has 20 MB.
const MOST_AT_ONCE: usize = 4;
/// How often they are counted, while a file takes longer than this.
const COUNTED_EACH: Duration = Duration::from_millis(100);
/// What is kept of the child's stderr.
const STDERR_BYTES: usize = 64 * 1024;
/// Most entries of a folder that are looked at to see whether another user can read it.
const LOOKED_AT: usize = 5_000;

/// How Python files are read.
#[derive(Debug, Clone)]
pub struct Options {
    /// The interpreter. Absent: the first `python3` of `PATH`, else `/usr/bin/python3`.
    pub python: Option<PathBuf>,
    /// The command that enters the sandbox, normally `[current_exe, "sandbox"]`; it must end in [`sandbox::enter_and_exec`]. Empty: no
    /// sandbox, which is for tests of the Python side alone.
    pub helper: Vec<OsString>,
    /// Folders of installed packages that files may import from.
    pub site: Vec<PathBuf>,
    /// Further folders that files may read.
    pub read: Vec<PathBuf>,
    /// Folders that files may not read, except what they need of them, such as the data folder. For systems where the sandbox names what is
    /// forbidden (macOS): Linux' names what is allowed and needs no telling.
    pub hide: Vec<PathBuf>,
    /// Environment of the files, besides `PATH`, `LANG` and `TZ`.
    pub env: BTreeMap<String, String>,
    /// Time of one file. Airflow's default: 30 s.
    pub timeout: Duration,
    /// Memory of one file, in bytes. Linux only: elsewhere it is not limited.
    pub memory_bytes: u64,
    /// Most bytes of an answer.
    pub max_output_bytes: usize,
    /// After how long without work the child is ended.
    pub idle: Duration,
    /// Where the Python side is unpacked. Absent: the folder for temporary files.
    pub unpack_to: Option<PathBuf>,
    /// Whether to leave the root user where the files allow it.
    pub leave_root: bool,
    /// Files that are read at once, each by a child of its own. Default: as many as there are processors, at most 4.
    pub at_once: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            python: None,
            helper: Vec::new(),
            site: Vec::new(),
            read: Vec::new(),
            hide: Vec::new(),
            env: BTreeMap::new(),
            timeout: Duration::from_secs(30),
            memory_bytes: 512 * 1024 * 1024,
            max_output_bytes: 64 * 1024 * 1024,
            idle: Duration::from_secs(30),
            unpack_to: None,
            leave_root: true,
            at_once: std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MOST_AT_ONCE),
        }
    }
}

/// How the processor is doing.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Status {
    /// The interpreter and its version.
    pub python: String,
    /// What the sandbox of the last child said; absent: none was started yet, or there is no sandbox.
    pub sandbox: Option<Report>,
    /// Whether a child is warm.
    pub running: bool,
    /// Children started.
    pub starts: u64,
    /// Files parsed.
    pub files: u64,
}

/// Reads Python DAG files. Cheap to clone; clones share the children, each of which works on one file at a time.
#[derive(Debug, Clone)]
pub struct Processor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: Options,
    interpreter: Interpreter,
    unpacked: Unpacked,
    children: Vec<tokio::sync::Mutex<Slot>>,
    /// One for each child.
    turns: tokio::sync::Semaphore,
    /// Files that were begun, and how many of them are being read.
    begun: AtomicU64,
    reading: AtomicUsize,
    status: Arc<Mutex<Status>>,
}

#[derive(Debug, Default)]
struct Slot {
    running: Option<Running>,
    roots: BTreeSet<PathBuf>,
    next_id: u64,
}

#[derive(Debug)]
struct Running {
    child: Child,
    group: Option<Pid>,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: Arc<Mutex<Vec<u8>>>,
    /// Whether it has answered once.
    warm: bool,
    /// What it was told last of what files may ask for.
    snapshot: Option<Snapshot>,
    scratch: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.start_kill();
        end_strays(self.scratch.path());
    }
}

/// Ends when there are more processes than a file may have.
async fn too_many(parser: Option<i32>) {
    let Some(parser) = parser else { return std::future::pending().await };
    loop {
        tokio::time::sleep(COUNTED_EACH).await;
        if tokio::task::spawn_blocking(move || descendants(parser).len() >= PROCESSES).await.is_ok_and(|many| many) {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why the child gave no answer.
enum Silence {
    /// It ended, or closed its output.
    Ended,
    /// The outer clock ran out.
    TimedOut,
    /// There were more processes than one file may have.
    Bomb,
    /// The answer is longer than it may be, or is none.
    Nonsense(String),
}

impl Processor {
    /// Finds Python and unpacks our side of it; starts nothing yet.
    pub fn new(options: Options) -> Result<Self, Error> {
        let interpreter = Interpreter::find(options.python.as_deref())?;
        let unpacked = embedded::unpack(options.unpack_to.as_deref(), rustix::process::geteuid().is_root() && options.leave_root)?;
        let python = format!("{} {}", interpreter.executable.display(), interpreter.version);
        let status = Arc::new(Mutex::new(Status { python, ..Status::default() }));
        if options.helper.is_empty() {
            warn!("DAG files are read without a sandbox: name the helper that enters it");
        }
        sandbox::become_unreadable();
        let at_once = options.at_once.max(1);
        let children = (0..at_once).map(|_| tokio::sync::Mutex::default()).collect();
        let turns = tokio::sync::Semaphore::new(at_once);
        let (begun, reading) = (AtomicU64::new(0), AtomicUsize::new(0));
        Ok(Self { shared: Arc::new(Shared { options, interpreter, unpacked, children, turns, begun, reading, status }) })
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        lock(&self.shared.status).clone()
    }

    /// How many files it reads at once, if as many are asked for.
    pub fn at_once(&self) -> usize {
        self.shared.children.len()
    }

    /// Reads one file below `root`. `name` is what messages call it. A file that cannot be read has its mistake in the outcome; an error
    /// means that no file can be read now.
    pub async fn parse(&self, root: &Path, path: &Path, name: &str, snapshot: &Snapshot) -> Result<Outcome, Error> {
        let shared = &self.shared;
        let (outcome, was_alone) = {
            let _turn = shared.turns.acquire().await;
            self.parse_in_turn(root, path, name, snapshot).await?
        };
        if was_alone || !is_doubtful(&outcome) {
            return Ok(outcome);
        }
        // Who did it is found by reading it alone.
        let _all = shared.turns.acquire_many(u32::try_from(shared.children.len()).unwrap_or(u32::MAX)).await;
        Ok(self.parse_in_turn(root, path, name, snapshot).await?.0)
    }

    /// The outcome, and whether no other file was being read meanwhile.
    async fn parse_in_turn(&self, root: &Path, path: &Path, name: &str, snapshot: &Snapshot) -> Result<(Outcome, bool), Error> {
        let shared = &self.shared;
        let mine = shared.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let alone = shared.reading.fetch_add(1, Ordering::SeqCst) == 0;
        let reading = Reading(&shared.reading);
        let (at, mut slot) = shared.free().await;
        let outcome = shared.parse(&mut slot, root, path, name, snapshot).await;
        let id = slot.next_id;
        drop(slot);
        drop(reading);
        shared.tell_running();
        self.end_when_idle(at, id);
        Ok((outcome?, alone && shared.begun.load(Ordering::SeqCst) == mine))
    }

    /// Ends the children now; the next file starts another.
    pub async fn rest(&self) {
        for child in &self.shared.children {
            child.lock().await.running = None;
        }
        self.shared.tell_running();
    }

    fn end_when_idle(&self, at: usize, id: u64) {
        let weak = Arc::downgrade(&self.shared);
        let idle = self.shared.options.idle;
        tokio::spawn(async move {
            tokio::time::sleep(idle).await;
            let Some(shared) = weak.upgrade() else { return };
            let Some(child) = shared.children.get(at) else { return };
            let mut slot = child.lock().await;
            if slot.next_id == id && slot.running.take().is_some() {
                drop(slot);
                shared.tell_running();
                debug!("ended the idle python parser");
            }
        });
    }
}

/// One of the files that are being read, until it is dropped.
struct Reading<'a>(&'a AtomicUsize);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether a file's mistake may be another one's doing: children have one user, so a file can end another one's child or take its time.
fn is_doubtful(outcome: &Outcome) -> bool {
    let doubtful = |kind| matches!(kind, Kind::Signal | Kind::Exit | Kind::Timeout | Kind::Processes | Kind::Internal);
    outcome.errors.iter().any(|error| doubtful(error.kind))
}

impl Shared {
    /// A child that nobody has: the first, so that one after the other has one child. Whoever asks has a turn.
    async fn free(&self) -> (usize, tokio::sync::MutexGuard<'_, Slot>) {
        for (at, child) in self.children.iter().enumerate() {
            if let Ok(slot) = child.try_lock() {
                return (at, slot);
            }
        }
        // One is being ended.
        (0, self.children[0].lock().await)
    }

    fn tell_running(&self) {
        // What is locked is at work.
        let running = self.children.iter().any(|child| child.try_lock().map_or(true, |slot| slot.running.is_some()));
        lock(&self.status).running = running;
    }

    async fn parse(&self, slot: &mut Slot, root: &Path, path: &Path, name: &str, snapshot: &Snapshot) -> Result<Outcome, Error> {
        let source = match tokio::fs::read(path).await {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => return Ok(Outcome::failed(Diagnostic::new(name, Kind::Io, format!("the file cannot be read: {error}")))),
        };
        if !slot.roots.contains(root) {
            // The sandbox's rules cannot be widened: a new root needs a new child.
            slot.running = None;
            // Old worktrees go; several living folders may take turns.
            slot.roots.retain(|old| old.is_dir());
            slot.roots.insert(root.to_owned());
        }
        loop {
            slot.next_id += 1;
            let running = match &mut slot.running {
                Some(running) => running,
                None => slot.running.insert(self.start(&slot.roots)?),
            };
            let was_warm = running.warm;
            let mut env = self.options.env.clone();
            env.entry("TMPDIR".to_owned()).or_insert_with(|| running.scratch.path().to_string_lossy().into_owned());
            let request = Request {
                id: slot.next_id,
                path,
                root,
                timeout_seconds: self.options.timeout.as_secs_f64(),
                memory_bytes: if cfg!(target_os = "linux") { self.options.memory_bytes } else { ALL_MEMORY },
                max_output_bytes: self.options.max_output_bytes,
                // It may be long, and is the same for thousands of files.
                snapshot: (running.snapshot.as_ref() != Some(snapshot)).then_some(snapshot),
                env: &env,
            };
            match running.ask(&request, self.options.timeout + GRACE, self.options.max_output_bytes).await {
                Ok(answer) => {
                    running.warm = true;
                    if running.snapshot.as_ref() != Some(snapshot) {
                        running.snapshot = Some(snapshot.clone());
                    }
                    lock(&self.status).files += 1;
                    return Ok(Outcome::of(answer, name, &source));
                }
                Err(silence) => {
                    let stderr = running.last_words().await;
                    slot.running = None;
                    // It may have died while nobody looked; a fresh one gets the file once.
                    if matches!(silence, Silence::Ended) && was_warm {
                        continue;
                    }
                    return Ok(Outcome::failed(self.diagnostic(name, silence, &stderr)));
                }
            }
        }
    }

    fn diagnostic(&self, name: &str, silence: Silence, stderr: &str) -> Diagnostic {
        let mut diagnostic = match silence {
            Silence::TimedOut => {
                let message =
                    format!("the file took longer than {} s and did not let itself be stopped", self.options.timeout.as_secs_f64());
                Diagnostic::new(name, Kind::Timeout, message)
                    .hint("keep slow work out of the top level of DAG files: it runs at every parse")
            }
            Silence::Bomb => Diagnostic::new(name, Kind::Processes, format!("the file started more than {PROCESSES} processes"))
                .hint("start processes inside a task, not at the top of the file"),
            Silence::Ended => Diagnostic::new(name, Kind::Internal, "the python parser ended while it read this file"),
            Silence::Nonsense(why) => Diagnostic::new(name, Kind::Internal, format!("the python parser gave no usable answer: {why}")),
        };
        if !stderr.trim().is_empty() {
            diagnostic.traceback = Some(stderr.trim().to_owned());
        }
        diagnostic
    }

    fn start(&self, roots: &BTreeSet<PathBuf>) -> Result<Running, Error> {
        let main = self.unpacked.path.join("updraft_dagfile/main.py");
        let python = &self.interpreter.executable;
        let failed = |source| Error::Spawn { program: python.clone(), source };
        let private = std::fs::Permissions::from_mode(0o700);
        let scratch = tempfile::Builder::new().prefix("updraft-dagfile-").permissions(private).tempdir().map_err(failed)?;
        let mut read: Vec<PathBuf> = self.interpreter.prefixes.clone();
        read.extend([python.clone(), self.unpacked.path.clone()]);
        read.extend(self.options.site.iter().cloned());
        let user = (self.options.leave_root
            && rustix::process::geteuid().is_root()
            && read.iter().all(|path| reachable(path))
            && roots.iter().chain(&self.options.read).all(|path| open_to_all(path)))
        .then_some(NOBODY);
        read.extend(roots.iter().chain(&self.options.read).cloned());
        if user.is_some() {
            std::os::unix::fs::chown(scratch.path(), user, user).map_err(failed)?;
        }
        let mut words: Vec<OsString> = Vec::new();
        if !self.options.helper.is_empty() {
            words.extend(self.options.helper.iter().cloned());
            let (scratch, hide) = ([scratch.path().to_owned()], &self.options.hide);
            words.extend(sandbox::words(&read, &scratch, hide, &["PATH", "LANG", "TZ", "HOME", "TMPDIR"], user));
        }
        words.push(python.into());
        words.extend(["-I", "-S", "-B", "-c", BOOT].map(OsString::from));
        words.push(main.into());
        for site in &self.options.site {
            words.extend(["--site".into(), site.into()]);
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir("/").env_clear();
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LANG", "C.UTF-8").env("TZ", "UTC");
        command.env("HOME", scratch.path()).env("TMPDIR", scratch.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|source| Error::Spawn { program: words[0].clone().into(), source })?;
        let broken = || std::io::Error::other("a pipe is missing");
        let stdin = child.stdin.take().ok_or_else(|| failed(broken()))?;
        let stdout = child.stdout.take().ok_or_else(|| failed(broken()))?;
        let stderr = child.stderr.take().ok_or_else(|| failed(broken()))?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let kept = Arc::new(Mutex::new(Vec::new()));
        {
            let mut status = lock(&self.status);
            status.starts += 1;
            status.sandbox = None;
        }
        tokio::spawn(listen(stderr, kept.clone(), self.status.clone()));
        debug!(user, "started the python parser");
        Ok(Running { child, group, stdin, stdout: BufReader::new(stdout), stderr: kept, warm: false, snapshot: None, scratch })
    }
}

impl Running {
    async fn ask(&mut self, request: &Request<'_>, limit: Duration, max_bytes: usize) -> Result<Answer, Silence> {
        let mut line = serde_json::to_vec(request).map_err(|error| Silence::Nonsense(error.to_string()))?;
        line.push(b'\n');
        // The answer's cap is the Python side's to keep; this is for when it does not.
        let most = max_bytes as u64 + 1024 * 1024;
        let parser = self.parser();
        let talk = async {
            self.stdin.write_all(&line).await.map_err(|_| Silence::Ended)?;
            self.stdin.flush().await.map_err(|_| Silence::Ended)?;
            let mut answer = Vec::new();
            (&mut self.stdout).take(most).read_until(b'\n', &mut answer).await.map_err(|_| Silence::Ended)?;
            match answer.last() {
                Some(b'\n') => Ok(answer),
                _ if answer.len() as u64 >= most => Err(Silence::Nonsense(format!("more than {max_bytes} bytes"))),
                _ => Err(Silence::Ended),
            }
        };
        let bomb = too_many(parser);
        let answer = tokio::select! {
            answer = tokio::time::timeout(limit, talk) => answer.unwrap_or(Err(Silence::TimedOut))?,
            () = bomb => {
                // At once, and not on a thread that others are waiting for: there is one more of them every moment.
                if let Some(parser) = parser {
                    let _ = tokio::task::spawn_blocking(move || end_groups(parser)).await;
                }
                return Err(Silence::Bomb);
            }
        };
        let answer: Answer = serde_json::from_slice(&answer).map_err(|error| Silence::Nonsense(error.to_string()))?;
        if answer.id != request.id {
            return Err(Silence::Nonsense(format!("an answer to {} instead of {}", answer.id, request.id)));
        }
        Ok(answer)
    }

    fn parser(&self) -> Option<i32> {
        self.child.id().and_then(|id| i32::try_from(id).ok())
    }

    /// What it wrote to stderr, without the sandbox's report.
    async fn last_words(&mut self) -> String {
        if let Some(group) = self.group {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), self.child.wait()).await;
        String::from_utf8_lossy(&lock(&self.stderr)).into_owned()
    }
}

/// Keeps the end of stderr, and takes the sandbox's report out of it.
async fn listen(stderr: tokio::process::ChildStderr, kept: Arc<Mutex<Vec<u8>>>, status: Arc<Mutex<Status>>) {
    let mut lines = BufReader::new(stderr);
    let mut first = true;
    loop {
        let mut line = Vec::new();
        match (&mut lines).take(STDERR_BYTES as u64).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // Only the helper writes before the files do, so only the first line is believed.
        if std::mem::take(&mut first)
            && let Ok(ReportLine { sandbox }) = serde_json::from_slice(&line)
        {
            for warning in &sandbox.warnings {
                warn!("{warning}");
            }
            for limit in &sandbox.limits {
                debug!("{limit}");
            }
            lock(&status).sandbox = Some(sandbox);
            continue;
        }
        let mut kept = lock(&kept);
        kept.extend_from_slice(&line);
        let over = kept.len().saturating_sub(STDERR_BYTES);
        kept.drain(..over);
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().map(|meta| meta.mode()).unwrap_or(0)
}

/// Whether a user who owns nothing can come to `path` and use it; what is below it is taken on trust.
fn reachable(path: &Path) -> bool {
    path.canonicalize().is_ok_and(|real| mode(&real) & 0o005 == 0o005 && real.ancestors().skip(1).all(|folder| mode(folder) & 0o001 != 0))
}

/// Whether such a user can read everything below `path` as well.
fn open_to_all(path: &Path) -> bool {
    let mut queue = vec![path.to_owned()];
    let mut looked = 0;
    while let Some(at) = queue.pop() {
        looked += 1;
        let Ok(meta) = at.symlink_metadata() else { continue };
        if looked > LOOKED_AT || meta.is_symlink() && looked > 1 {
            continue;
        }
        let needed = if at.is_dir() { 0o005 } else { 0o004 };
        if mode(&at) & needed != needed {
            return false;
        }
        if at.is_dir() {
            queue.extend(std::fs::read_dir(&at).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    reachable(path) || path.is_file()
}
