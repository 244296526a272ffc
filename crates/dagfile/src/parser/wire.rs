//! What goes between a scheduler and its dag-processor: lines of JSON.
//!
//! ```text
//! →  Request                      read this folder
//! ←  Reading{path, hash} …        one before each file that is read: the last one before a death is the suspect
//! ←  File{…} …                    one for each file that was read again
//! ←  Done{…}  or  Failed{…}       the end of the answer
//! ```
//!
//! One request at a time. Whoever sees the other's end closed ends too.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::diagnostic::Diagnostic;
use crate::ignore::IgnoreSyntax;
use crate::loader::FileResult;
use crate::python::Snapshot;

/// Longest line. Python's answers end at half of it.
pub(super) const LINE_BYTES: u64 = 128 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) id: u64,
    /// Whose memory is meant: a dag-processor may read several folders.
    pub(super) name: String,
    pub(super) root: PathBuf,
    pub(super) syntax: IgnoreSyntax,
    pub(super) snapshot: Snapshot,
    /// Files that are not to be read, with their hashes.
    pub(super) set_aside: BTreeMap<String, String>,
    /// Whether what was read before may be torn.
    pub(super) distrust: bool,
    /// Whether no two files are to be read at the same time: who ended the last one is not known.
    #[serde(default)]
    pub(super) one_by_one: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(super) enum Reply {
    Reading { path: String, hash: String },
    Read { path: String },
    File { file: Box<FileResult> },
    Done(Box<Done>),
    Failed { id: u64, message: String },
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) id: u64,
    pub(super) removed: Vec<String>,
    pub(super) unchanged: usize,
    pub(super) problems: Vec<Diagnostic>,
    pub(super) notes: Vec<Diagnostic>,
    pub(super) emptied: bool,
    pub(super) python: Value,
}

/// An error with all that led to it.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
