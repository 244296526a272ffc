//! What the worker asks of whatever runs the commands: the process runner here, the pod runner in `crates/kubernetes`.
//!
//! A runner holds no state that matters. Everything that it answers comes from what is on disk (or in the cluster), so any worker that may
//! reach that place can go on where another one died.

use std::future::Future;
use std::io;
use std::time::Duration;

use updraft_model::end::Stopped;
use updraft_model::{AttemptKey, EndFacts, LaunchSpec};

/// Starts attempts, tells how they ended, and clears up after them. Each method may be called again, by any worker, at any time.
pub trait Runner: Send + Sync + 'static {
    /// The word in [`updraft_model::Evidence::runner`]: `process` or `kubernetes`.
    fn kind(&self) -> &'static str;

    /// Which attempts this runner may adopt: those that were claimed under the same text. It changes when the host restarts.
    fn host(&self) -> &str;

    /// Starts the attempt, unless somebody did already: the command is started at most once, whoever calls this how often. A mistake of
    /// the task (no such program) is not an error here; it is an end, with [`EndFacts::spawn_error`].
    fn launch(&self, key: AttemptKey, spec: &LaunchSpec) -> impl Future<Output = Result<Handle, LaunchError>> + Send;

    /// Resolves when the attempt has ended and nothing of it runs any more. Call [`Runner::launch`] first, on adoption too: an attempt that
    /// was never started is closed as lost by this call and cannot be started after it. Dropping the future is harmless.
    fn wait(&self, key: AttemptKey) -> impl Future<Output = EndFacts> + Send;

    /// Asks for the end of the attempt and returns without waiting for it: SIGTERM, the runner's grace, SIGKILL. The reason is recorded
    /// first, so that the end carries it. The first reason stays. Stopping what has ended changes nothing.
    fn stop(&self, key: AttemptKey, why: Stopped) -> impl Future<Output = Result<(), StopError>> + Send;

    /// Up to `max` bytes of the log (stdout and stderr, as written) from byte `offset` on. Empty while nothing was written.
    fn read_log(&self, key: AttemptKey, offset: u64, max: usize) -> impl Future<Output = io::Result<LogRead>> + Send;

    /// Forgets an ended attempt, whose evidence and log the store has. A late [`Runner::launch`] does not start it again. Refused, with
    /// [`io::ErrorKind::ResourceBusy`], while something of it runs.
    fn release(&self, key: AttemptKey) -> impl Future<Output = io::Result<()>> + Send;

    /// The attempts that are known here and not released: what the sweeper compares with the store.
    fn present(&self) -> impl Future<Output = io::Result<Vec<AttemptKey>>> + Send;
}

/// A launched attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handle {
    /// The object that runs it, for [`updraft_model::Evidence::handle`]: the folder of the attempt, or the pod's uid.
    pub id: String,
    /// Somebody had launched it before: it was found, not started.
    pub found: bool,
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogRead {
    /// The bytes. They may end within a character.
    pub data: Vec<u8>,
    /// Where to read on. More than `offset + data.len()` when the middle of a log that grew too long was dropped.
    pub next: u64,
    /// Nothing more had been written at this moment. While the attempt runs, more may come.
    pub eof: bool,
}

/// Whether trying the same again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Yes, after this time.
    After(Duration),
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
