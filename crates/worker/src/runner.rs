//! What the worker asks of whatever runs the commands: the process runner here, the pod runner in `crates/kubernetes`.
//!
//! A runner holds no state that matters. Everything that it answers comes from what is on disk (or in the cluster), so any worker that may
//! reach that place can go on where another one died.

use std::future::Future;
use std::io;
use std::time::Duration;

use updraft_model::end::Stopped;
use updraft_model::{AttemptKey, EndFacts, LaunchSpec};
use uuid::Uuid;

/// Starts attempts, tells how they ended, and clears up after them. Each method may be called again, by any worker, at any time.
///
/// ```text
/// process      launch (starts it) → wait → release
/// kubernetes   launch (creates the pod, gated) → the store binds its uid, write-once → start (opens the gate) → wait → release
///                                               └ another uid is bound, or the attempt is closed → discard
/// ```
pub trait Runner: Send + Sync + 'static {
    /// Whether what [`Runner::launch`] made waits until the store has bound it and [`Runner::start`] is called. Otherwise `launch` starts the
    /// command, and sees to it by itself that this happens once.
    const BINDS: bool;

    /// The word in [`updraft_model::Evidence::runner`]: `process` or `kubernetes`.
    fn kind(&self) -> &'static str;

    /// Which attempts this runner may adopt: those that were claimed under the same text. It changes when the host restarts.
    fn host(&self) -> &str;

    /// Makes what runs the attempt, or finds it, when somebody made it before. Of one attempt at most one command is ever started, whoever
    /// calls this how often.
    fn launch(&self, assignment: Assignment<'_>) -> impl Future<Output = Result<Launched, LaunchError>> + Send;

    /// Lets the command of a bound attempt start. Called again after an adoption; starting what has started changes nothing.
    fn start(&self, assignment: Assignment<'_>, handle: &str) -> impl Future<Output = Result<(), LaunchError>> + Send {
        let _ = (assignment, handle);
        std::future::ready(Ok(()))
    }

    /// Removes what [`Runner::launch`] made, which the store refused for good: the attempt is closed, or another object is bound to it.
    fn discard(&self, assignment: Assignment<'_>, handle: &str) -> impl Future<Output = io::Result<()>> + Send {
        let _ = (assignment, handle);
        std::future::ready(Ok(()))
    }

    /// Resolves when the attempt has ended and nothing of it runs any more. Call [`Runner::launch`] first, on adoption too: an attempt that
    /// was never started is closed as lost by this call and cannot be started after it. Dropping the future is harmless.
    fn wait(&self, key: AttemptKey) -> impl Future<Output = EndFacts> + Send;

    /// Asks for the end of the attempt and returns without waiting for it: SIGTERM, the runner's grace, SIGKILL. The reason is recorded
    /// first, so that the end carries it. The first reason stays. Stopping what has ended changes nothing.
    fn stop(&self, key: AttemptKey, why: Stopped) -> impl Future<Output = Result<(), StopError>> + Send;

    /// Up to `max` bytes of the log from a position on. Empty while nothing was written.
    fn read_log(&self, key: AttemptKey, from: &LogPosition, max: usize) -> impl Future<Output = io::Result<LogRead>> + Send;

    /// Up to `max` bytes of the log right before a position, as far as they can be told: who goes on with a log that somebody else copied up to
    /// there masks a secret that lies across it. None of them is stored again.
    fn read_log_before(&self, key: AttemptKey, at: &LogPosition, max: usize) -> impl Future<Output = io::Result<Vec<u8>>> + Send;

    /// Forgets an ended attempt, whose evidence and log the store has. A late [`Runner::launch`] does not start it again. Refused, with
    /// [`io::ErrorKind::ResourceBusy`], while something of it runs.
    fn release(&self, key: AttemptKey, outcome: Outcome) -> impl Future<Output = io::Result<()>> + Send;

    /// The attempts that are known here and not released: what the sweeper compares with the store.
    fn present(&self) -> impl Future<Output = io::Result<Vec<AttemptKey>>> + Send;

    /// What people find an attempt's object by, where it has a name: that of its pod.
    fn object_name(&self, assignment: Assignment<'_>) -> Option<String> {
        let _ = assignment;
        None
    }

    /// What is worth telling about attempts that have not ended (`ImagePullBackOff: …`). Called once, by the worker that owns the runner.
    fn progress(&self) -> Option<tokio::sync::mpsc::Receiver<Progress>> {
        None
    }
}

/// An attempt, as a worker hands it to its runner.
#[derive(Debug, Clone, Copy)]
pub struct Assignment<'a> {
    /// Which attempt.
    pub key: AttemptKey,
    /// The lease group that it was claimed into. It stays the same when the group changes hands.
    pub group: Uuid,
    /// The object that the store has bound to it, if it has: then no other is ever made for this attempt.
    pub bound: Option<&'a str>,
    /// What to run.
    pub spec: &'a LaunchSpec,
}

impl<'a> Assignment<'a> {
    /// An attempt that nothing is bound to, for runners that bind nothing.
    pub fn unbound(key: AttemptKey, spec: &'a LaunchSpec) -> Self {
        Self { key, group: Uuid::nil(), bound: None, spec }
    }
}

/// What a launch gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Launched {
    /// It runs, or will once it is started.
    Made(Handle),
    /// It cannot run, and that is its end: what it asks for can never be made. Nothing of it is left.
    Ended(Box<EndFacts>),
}

/// A launched attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handle {
    /// The object that runs it, for [`updraft_model::Evidence::handle`]: the folder of the attempt, or the pod's uid.
    pub id: String,
    /// Somebody had launched it before: it was found, not started.
    pub found: bool,
}

impl Launched {
    /// What was made, if something was.
    pub fn made(self) -> Option<Handle> {
        match self {
            Self::Made(handle) => Some(handle),
            Self::Ended(_) => None,
        }
    }
}

/// How far a log has been stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogPosition {
    /// Bytes stored.
    pub offset: u64,
    /// The runner's own mark, where bytes cannot be counted at the source (a pod's log has times instead).
    pub cursor: Option<String>,
}

impl From<u64> for LogPosition {
    fn from(offset: u64) -> Self {
        Self { offset, cursor: None }
    }
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogRead {
    /// The bytes. They may end within a character.
    pub data: Vec<u8>,
    /// Where to read on. Its offset is more than the old one plus `data.len()` when the middle of a log that grew too long was dropped.
    pub next: LogPosition,
    /// Nothing more had been written at this moment. While the attempt runs, more may come.
    pub eof: bool,
}

/// How an attempt that is released ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With success, or skipped.
    Good,
    /// Any other way.
    Bad,
}

/// News of an attempt that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Which attempt.
    pub key: AttemptKey,
    /// Where it stands, for people. Empty: it runs, there is nothing to say any more.
    pub detail: String,
}

/// Whether trying the same again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Yes, after this time, a few times: then the attempt is given back as lost.
    After(Duration),
    /// Yes, after this time, for as long as it takes: a quota is full, the server is away.
    Wait(Duration),
    /// No: a person has to change something first.
    Never,
}

/// The host (or the cluster) could not start an attempt. Nothing of it runs.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed: {remedy}")]
pub struct LaunchError {
    /// What was done to what, such as `creating /var/lib/updraft/attempts/…`.
    pub operation: String,
    /// What the person who runs the worker can do.
    pub remedy: &'static str,
    /// Whether and when to try again.
    pub retry: Retry,
    /// The system's own words.
    #[source]
    pub source: io::Error,
}

/// An attempt could not be told to stop.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// It was never launched here, so there is nothing to stop: do not launch it.
    #[error("the attempt was never launched on this host")]
    NotLaunched,
    /// The object that runs it could not be reached.
    #[error("stopping {object} failed; it is tried again with the next heartbeat")]
    Object {
        /// What runs it, such as `pod tasks/etl-load-…`.
        object: String,
        /// The system's own words.
        #[source]
        source: io::Error,
    },
    /// Its folder or its supervisor could not be reached.
    #[error("telling the supervisor of {folder} to stop failed; check that the worker owns the folder")]
    Io {
        /// The folder of the attempt.
        folder: String,
        /// The system's own words.
        #[source]
        source: io::Error,
    },
}
