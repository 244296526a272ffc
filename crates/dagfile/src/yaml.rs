//! YAML and JSON DAG files.
//!
//! dag-factory's files are read, too (`factory`). [`parse`] gives every DAG of a file and every mistake, each with line, column and what to do. A broken DAG does not hide the good ones
//! beside it. Nothing is executed, and size, depth and aliases are capped: a hostile file costs one error.

mod convert;
mod de;
mod factory;
mod groups;
mod node;
mod shape;
mod teardown;
#[cfg(test)]
mod tests;
mod waits;

use serde_json::Value;
use updraft_model::DagSpec;

use crate::diagnostic::{Diagnostic, Kind, Warning};
use node::Node;

/// Largest file, in bytes.
pub const MAX_BYTES: usize = 10 * 1024 * 1024;
/// Most mistakes that are told of one file.
const MAX_ERRORS: usize = 20;

/// What a file gave.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The DAGs without mistakes, in the order of the file.
    pub dags: Vec<DagSpec>,
    /// The mistakes, in the order of the file.
    pub errors: Vec<Diagnostic>,
    /// What the author should know.
    pub warnings: Vec<Warning>,
    /// Whether the file means to be a DAG file at all. A folder scan leaves the others alone; a file named by a person is told so.
    pub is_dag_file: bool,
}

/// Parses the bytes of `file`, a name for messages only.
pub fn parse(file: &str, bytes: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    if bytes.len() > MAX_BYTES {
        let message =
            format!("the file has {} bytes, more than the {} MiB that a DAG file may have", bytes.len(), MAX_BYTES / (1024 * 1024));
        parsed.errors.push(Diagnostic::new(file, Kind::TooLarge, message).hint("split it, or make the tasks shorter with default_args"));
        parsed.is_dag_file = contains(&bytes[..64 * 1024], b"dag_id");
        return parsed;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            let line = before.iter().filter(|b| **b == b'\n').count() as u32 + 1;
            let mut diagnostic = Diagnostic::new(file, Kind::Syntax, "the file is not UTF-8").hint("save it as UTF-8");
            diagnostic.line = Some(line);
            parsed.errors.push(diagnostic);
            parsed.is_dag_file = contains(bytes, b"dag_id");
            return parsed;
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (documents, broken) = node::documents(text);
    let mut told = Told { file, text, parsed: &mut parsed, more: 0 };
    for document in &documents {
        if looks_like_a_dag(document) {
            told.parsed.is_dag_file = true;
            convert::document(document, &mut told);
        } else if factory::is_one(document) {
            told.parsed.is_dag_file = true;
            factory::document(document, &mut told);
        }
    }
    if let Some(broken) = broken {
        told.parsed.is_dag_file |= text.contains("dag_id") || text.contains("updraft/v");
        told.error(broken.at, broken.kind, broken.message, broken.hint, None);
    } else if told.parsed.is_dag_file {
        for document in documents.iter().filter(|document| !looks_like_a_dag(document) && !factory::is_one(document)) {
            let message = "this document is no DAG: it has neither `dag_id` nor `tasks`";
            told.error(document.at, Kind::NoDag, message.to_owned(), None, None);
        }
    } else {
        let diagnostic = Diagnostic::new(file, Kind::NoDag, "there is no DAG in this file")
            .hint("a DAG has a `dag_id` and `tasks`: see `updraft schema` for the whole shape");
        told.parsed.errors.push(diagnostic);
    }
    let more = told.more;
    if more > 0 {
        parsed.errors.push(Diagnostic::new(file, Kind::Invalid, format!("{more} more mistakes are not shown")));
    }
    parsed
}

/// The JSON Schema (draft 2020-12) of a YAML DAG file, from the structs that read it.
pub fn json_schema() -> Value {
    let mut schema =
        schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<shape::DagShape>().to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("patternProperties".to_owned(), serde_json::json!({"^x-": {"description": "Anything: a place for anchors."}}));
        if let Some(required) = object.get_mut("required").and_then(Value::as_array_mut) {
            required.push(Value::from("tasks"));
        }
    }
    schema
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

fn looks_like_a_dag(document: &Node<'_>) -> bool {
    let Some(entries) = document.entries() else { return false };
    let has = |key: &str| entries.iter().any(|(k, _)| k.text() == Some(key));
    let ours = document.get("apiVersion").and_then(Node::text).is_some_and(|version| version.starts_with("updraft/"));
    ours || has("dag_id") || (has("tasks") && ["schedule", "start_date", "default_args", "catchup"].iter().any(|key| has(key)))
}

/// Where the mistakes of one file are collected.
struct Told<'a> {
    file: &'a str,
    text: &'a str,
    parsed: &'a mut Parsed,
    more: usize,
}

impl Told<'_> {
    fn error(&mut self, at: node::Place, kind: Kind, message: String, hint: Option<String>, dag_id: Option<&str>) {
        if self.parsed.errors.len() >= MAX_ERRORS {
            self.more += 1;
            return;
        }
        let mut diagnostic = Diagnostic::new(self.file, kind, message).at(self.text, at.line, Some(at.column), at.length as usize);
        diagnostic.hint = hint;
        diagnostic.dag_id = dag_id.map(str::to_owned);
        self.parsed.errors.push(diagnostic);
    }

    fn told(&mut self, error: de::Error, or_at: node::Place, dag_id: Option<&str>) {
        self.error(error.at.unwrap_or(or_at), error.kind, error.message, error.hint, dag_id);
    }

    fn warning(&mut self, message: String, line: u32) {
        if self.parsed.warnings.len() < MAX_ERRORS {
            self.parsed.warnings.push(Warning { message, line: Some(line) });
        }
    }

    fn is_full(&self) -> bool {
        self.parsed.errors.len() >= MAX_ERRORS
    }

    fn count(&self) -> usize {
        self.parsed.errors.len() + self.more
    }
}
