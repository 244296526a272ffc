//! Who reads the files: this process, a child of it, or a dag-processor elsewhere.
//!
//! ```text
//! InProcess   Loader here: `updraft standalone`, `dags check`
//! Child       updraft dag-processor --stdio, started and restarted here, with an empty environment
//! Remote      updraft dag-processor --listen unix:PATH, a container of its own that sees the same folders
//! ```
//!
//! The other two exist because a scheduler holds the database's password and a parser is what meets hostile files first: a file that took
//! the parser over would find nothing there worth having. What comes back is not believed: paths may not climb, DAGs are checked again.
//!
//! A file that ends the dag-processor does so twice: once may have been the kernel's need of memory. Then it is set aside, which is an error
//! of that file, and the others are read.

mod serve;
mod session;
mod wire;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::ignore::IgnoreSyntax;
use crate::loader::{Changes, FileResult, Loader};
use crate::python::{self, Processor, Snapshot};
use session::Session;

pub use serve::serve;

/// Where files are read.
#[derive(Debug, Clone)]
pub enum ParserConfig {
    /// Here.
    InProcess {
        /// How Python files are read; absent: they are each an error.
        python: Option<python::Options>,
    },
    /// In a child of this process.
    Child {
        /// The program and its words, which must end in [`serve()`] over stdin and stdout.
        command: Vec<OsString>,
        /// How long it may say nothing while it works: longer than any file may take.
        patience: Duration,
    },
    /// By a process that listens.
    Remote {
        /// The Unix socket.
        socket: PathBuf,
        /// As for a child.
        patience: Duration,
    },
}

/// Why a folder could not be read. What was known before stays known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Here, or by the dag-processor's own account.
    #[error("{0}")]
    Read(String),
    /// It could not be started.
    #[error("cannot start the dag-processor {program:?}")]
    Start {
        /// The program.
        program: OsString,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Nobody listens.
    #[error("no dag-processor listens at {socket}: start one with `updraft dag-processor --listen unix:{socket}`")]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It ended again and again.
    #[error("the dag-processor ended {times} times in a row: {why}")]
    Ended {
        /// How often.
        times: u32,
        /// The last time.
        why: String,
    },
}

/// Reads one folder, wherever that happens.
#[derive(Debug)]
pub struct Parser {
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Here { loader: Box<Loader>, python: Result<Option<Processor>, String> },
    Away(Box<Session>),
}

impl Parser {
    /// A parser that knows nothing yet. `name` tells it apart from others at the same dag-processor.
    pub fn new(name: &str, config: &ParserConfig, syntax: IgnoreSyntax) -> Self {
        let inner = match config {
            ParserConfig::InProcess { python } => {
                // Without Python the other files are still read.
                let python = python.clone().map(Processor::new).transpose().map_err(|error| error.to_string());
                let processor = python.as_ref().ok().cloned().flatten();
                Inner::Here { loader: Box::new(Loader::new(processor, syntax)), python }
            }
            ParserConfig::Child { command, patience } => Inner::Away(Box::new(Session::child(name, command.clone(), syntax, *patience))),
            ParserConfig::Remote { socket, patience } => Inner::Away(Box::new(Session::remote(name, socket.clone(), syntax, *patience))),
        };
        Self { inner }
    }

    /// Reads what has changed below `root`, which must be absolute.
    pub async fn refresh(&mut self, root: &Path, snapshot: &Snapshot) -> Result<Changes, Error> {
        match &mut self.inner {
            Inner::Here { loader, .. } => loader.refresh(root, snapshot).await.map_err(|error| Error::Read(wire::with_causes(&error))),
            Inner::Away(session) => session.refresh(root, snapshot).await,
        }
    }

    /// Every file's result as it stands.
    pub fn results(&self) -> Box<dyn Iterator<Item = &FileResult> + '_> {
        match &self.inner {
            Inner::Here { loader, .. } => Box::new(loader.results()),
            Inner::Away(session) => Box::new(session.results()),
        }
    }

    /// Reads everything again at the next refresh: what was read last may have been torn.
    pub fn distrust(&mut self) {
        match &mut self.inner {
            Inner::Here { loader, .. } => loader.distrust(),
            Inner::Away(session) => session.distrust(),
        }
    }

    /// Gives back what is only needed while files are read.
    pub async fn rest(&self) {
        if let Inner::Here { python: Ok(Some(processor)), .. } = &self.inner {
            processor.rest().await;
        }
    }

    /// What people are told of it.
    pub fn status(&self) -> Value {
        match &self.inner {
            Inner::Here { python: Ok(processor), .. } => json!({"python": processor.as_ref().map(Processor::status)}),
            Inner::Here { python: Err(error), .. } => json!({"python": error}),
            Inner::Away(session) => session.status(),
        }
    }
}
