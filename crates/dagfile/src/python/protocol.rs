//! What goes to the Python side and what comes back: one line of JSON each way. `python/updraft_dagfile/main.py` describes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use updraft_model::DagSpec;

use crate::diagnostic::{Diagnostic, Kind, Snippet, Warning};

/// What files may ask for at their top level: `Variable.get`, `BaseHook.get_connection`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Text by name.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Connections by id: an object with `conn_type`, `host`, …, or a URI.
    #[serde(default)]
    pub connections: BTreeMap<String, Value>,
}

/// The names that a file asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    pub(crate) variables: Vec<String>,
    #[serde(default)]
    pub(crate) connections: Vec<String>,
}

impl Asked {
    /// A hash of the answers to these questions: what a file does not ask for does not make it parse again.
    pub(crate) fn answers(&self, snapshot: &Snapshot) -> [u8; 32] {
        let variables: Vec<_> = self.variables.iter().map(|name| (name, snapshot.variables.get(name))).collect();
        let connections: Vec<_> = self.connections.iter().map(|id| (id, snapshot.connections.get(id))).collect();
        Sha256::digest(serde_json::to_vec(&(variables, connections)).unwrap_or_default()).into()
    }
}

#[derive(Serialize)]
pub(crate) struct Request<'a> {
    pub(crate) id: u64,
    pub(crate) path: &'a Path,
    pub(crate) root: &'a Path,
    pub(crate) timeout_seconds: f64,
    pub(crate) memory_bytes: u64,
    pub(crate) max_output_bytes: usize,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) env: &'a BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(crate) struct Answer {
    pub(crate) id: u64,
    #[serde(default)]
    dags: Vec<Value>,
    #[serde(default)]
    errors: Vec<Told>,
    #[serde(default)]
    warnings: Vec<Warning>,
    #[serde(default)]
    output: String,
    #[serde(default)]
    duration_ms: u64,
    #[serde(default)]
    asked: Asked,
    #[serde(default)]
    modules: Vec<PathBuf>,
    #[serde(default)]
    folders: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Told {
    kind: String,
    message: String,
    line: Option<u32>,
    column: Option<u32>,
    hint: Option<String>,
    traceback: Option<String>,
    dag_id: Option<String>,
}

/// What one Python file gave.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Its DAGs, in the order of creation, checked.
    pub dags: Vec<DagSpec>,
    /// Its mistakes.
    pub errors: Vec<Diagnostic>,
    /// What its author should know.
    pub warnings: Vec<Warning>,
    /// What it printed, cut.
    pub output: String,
    /// How long it took.
    pub duration_ms: u64,
    /// Other files that it imported or read: when they change, it may.
    pub modules: Vec<PathBuf>,
    /// Folders that it listed.
    pub folders: Vec<PathBuf>,
    pub(crate) asked: Asked,
}

impl Outcome {
    /// An outcome that is one mistake.
    pub(crate) fn failed(diagnostic: Diagnostic) -> Self {
        Self { errors: vec![diagnostic], ..Self::default() }
    }

    /// Takes the answer apart. `file` is the name for messages, `source` the text that lines are shown from. Nothing in it is trusted: the
    /// file had the child in its hands.
    pub(crate) fn of(answer: Answer, file: &str, source: &str) -> Self {
        let mut errors: Vec<Diagnostic> = answer.errors.into_iter().map(|told| told.diagnostic(file, source)).collect();
        let mut dags = Vec::with_capacity(answer.dags.len());
        for value in answer.dags {
            let dag_id = value.get("dag_id").and_then(Value::as_str).map(str::to_owned);
            let checked = serde_json::from_value::<DagSpec>(value)
                .map_err(|error| (Kind::Internal, format!("the python side gave a DAG that is none: {error}")))
                .and_then(|mut dag| dag.validate().map(|()| dag).map_err(|error| (Kind::Invalid, error.to_string())));
            match checked {
                Ok(dag) => dags.push(dag),
                Err((kind, message)) => errors.push(Diagnostic { dag_id, ..Diagnostic::new(file, kind, message) }),
            }
        }
        Self {
            dags,
            errors,
            warnings: answer.warnings,
            output: answer.output,
            duration_ms: answer.duration_ms,
            modules: answer.modules,
            folders: answer.folders,
            asked: answer.asked,
        }
    }
}

impl Told {
    fn diagnostic(self, file: &str, source: &str) -> Diagnostic {
        Diagnostic {
            file: file.to_owned(),
            line: self.line,
            column: self.column,
            kind: Kind::from_word(&self.kind),
            message: self.message,
            hint: self.hint,
            snippet: self.line.and_then(|line| Snippet::of(source, line, self.column, 1)),
            dag_id: self.dag_id,
            traceback: self.traceback,
        }
    }
}
