//! Folders of DAG files from git, one for each tree, complete or not there at all.
//!
//! ```text
//! source    the text after --dags → a folder, or a repository @ref #folder
//! command   the git program: an environment of its own, credentials by file, a clock over it
//! checkout  a commit's tree → temporary folder → counted → made read-only → renamed
//! mirror    fetch every few seconds, at once when asked; publish; say how it goes; forget old trees
//! ```
//!
//! The scheduler's DAG sync follows a [`Mirror`] and reads what it publishes. A published folder never changes: what reads it sees one
//! commit. Whatever goes wrong (no network, no right, no such branch, a commit without the folder) leaves the last good tree where it is.
//!
//! Nothing here parses a DAG, runs a hook, fetches a submodule or talks to a database.

mod checkout;
mod command;
mod credentials;
mod mirror;
mod source;

use std::path::PathBuf;
use std::time::Duration;

pub use checkout::{Note, Tree};
pub use credentials::Credentials;
pub use mirror::{Checkout, Commit, Mirror, Options, Published, State, Status, SyncNow};
pub use source::{GitUrl, Mistake, Origin, Scheme, Source, parse};

/// Why a commit could not be had. Nothing that was published is touched by it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is missing.
    #[error(
        "there is no `git` program here: install the package git (apt-get install git, apk add git), or mount the DAG files as a folder"
    )]
    NoGit(#[source] std::io::Error),
    /// Another process has the folder.
    #[error("another process keeps its clone in {path}: give each scheduler a data folder of its own")]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// Something of this host.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// The doing.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It took too long and was ended.
    #[error("git {what} took longer than {} s and was ended", limit.as_secs_f64())]
    TimedOut {
        /// Its verb.
        what: &'static str,
        /// How long it may take.
        limit: Duration,
    },
    /// It said no.
    #[error("{said}")]
    Failed {
        /// Its verb.
        what: &'static str,
        /// What is wrong in our words where we know it, and git's own.
        said: String,
        /// Whether it is the clone that is broken, not the way to the server.
        clone_is_broken: bool,
    },
    /// The commit lacks the folder.
    #[error("commit {commit} has no folder {folder}: name another after #, or bring it back")]
    NoFolder {
        /// Short.
        commit: String,
        /// As the source names it.
        folder: String,
    },
    /// The commit holds something that no folder should.
    #[error("commit {commit} is refused: {why}")]
    BadTree {
        /// Short.
        commit: String,
        /// What.
        why: String,
    },
}

impl Error {
    /// Whether another try could help only after another push: then there is no reason to ask the server less often.
    pub(crate) fn is_of_the_commit(&self) -> bool {
        matches!(self, Self::NoFolder { .. } | Self::BadTree { .. })
    }

    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}
