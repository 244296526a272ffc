//! Python DAG files: run in a child process, never in this one.
//!
//! [`Processor`] holds warm `python3`s inside the [`crate::sandbox`] and hands each of them one file at a time; the small package named `airflow`
//! that those files import is ours and is carried in this binary. The child forks for each file, so that no file sees what another did.

mod embedded;
mod interpreter;
mod processes;
mod processor;
mod protocol;

use std::path::PathBuf;

pub use embedded::{task_bootstrap, task_package};
pub use interpreter::Interpreter;
pub use processor::{Options, Processor, Status};
pub use protocol::{Asked, Capitals, Outcome, Snapshot, Withheld};

/// Why Python files cannot be read at all. What is wrong with one file is a [`crate::Diagnostic`] instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No interpreter.
    #[error("no python3 was found ({tried}): install python3 or name one with --python")]
    NoPython {
        /// Where it was looked for, and what came of it.
        tried: String,
    },
    /// The embedded package could not be written to disk.
    #[error("cannot unpack the python side to {path}")]
    Unpack {
        /// Where to.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The child could not be started.
    #[error("cannot start the python parser {program:?}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}
