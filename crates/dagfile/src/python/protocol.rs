//! What goes to the Python side and what comes back: one line of JSON each way. `python/updraft_dagfile/main.py` describes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use updraft_model::DagSpec;

use crate::diagnostic::{Diagnostic, Kind, Snippet, Warning};

/// What files may ask for at their top level: `Variable.get`, `BaseHook.get_connection`, `conf.get`. There is no secret in it: whoever may
/// write a DAG file may read it all.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Text by name.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Connections by id: an object with `conn_type`, `host`, …, or a URI. What is secret in one is `***`, which no file gets to see.
    #[serde(default)]
    pub connections: BTreeMap<String, Value>,
    /// Values of the configuration by `section.key`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conf: BTreeMap<String, String>,
    /// Names that have a value that files do not get, and why.
    #[serde(default, skip_serializing_if = "Withheld::is_empty")]
    pub withheld: Withheld,
    /// Names in capitals that stand for any name that reads so: what an environment has.
    #[serde(default, skip_serializing_if = "Capitals::is_empty")]
    pub capitals: Capitals,
}

/// What files do not get, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Withheld {
    /// Variables.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Connections.
    #[serde(default)]
    pub connections: BTreeMap<String, String>,
    /// Why no name at all can be answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<String>,
}

impl Withheld {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Answers to any spelling of a name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Capitals {
    /// Variables.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Connections.
    #[serde(default)]
    pub connections: BTreeMap<String, Value>,
    /// What of it files do not get.
    #[serde(default)]
    pub withheld: Withheld,
}

impl Capitals {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The names that a file asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Asked {
    /// Variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
    /// Connections, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<String>,
    /// Values of the configuration, as `section.key`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conf: Vec<String>,
}

impl Asked {
    /// Whether it asked for nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A hash of the answers to these questions: what a file does not ask for does not make it parse again.
    pub(crate) fn answers(&self, snapshot: &Snapshot) -> [u8; 32] {
        let Snapshot { variables, connections, conf, withheld, capitals } = snapshot;
        let variables: Vec<_> = self
            .variables
            .iter()
            .map(|name| {
                let capital = name.to_uppercase();
                let loud = (capitals.variables.get(&capital), capitals.withheld.variables.get(&capital));
                (name, variables.get(name), withheld.variables.get(name), loud)
            })
            .collect();
        let connections: Vec<_> = self
            .connections
            .iter()
            .map(|id| {
                let capital = id.to_uppercase();
                let loud = (capitals.connections.get(&capital), capitals.withheld.connections.get(&capital));
                (id, connections.get(id), withheld.connections.get(id), loud)
            })
            .collect();
        let conf: Vec<_> = self.conf.iter().map(|key| (key, conf.get(key))).collect();
        let all = withheld.all.as_ref().filter(|_| !variables.is_empty() || !connections.is_empty());
        Sha256::digest(serde_json::to_vec(&(variables, connections, conf, all)).unwrap_or_default()).into()
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
    /// Absent: as before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot: Option<&'a Snapshot>,
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
    /// What it asked for.
    pub asked: Asked,
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
