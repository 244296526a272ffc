//! What differs between two versions of a DAG, by what they say and not by their text.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What became of a task, or of a field of a task or of the DAG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// The task is new.
    Added,
    /// The task is gone.
    Removed,
    /// The field says something else.
    Changed,
}

impl ChangeKind {
    /// In lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What it is.
    pub kind: ChangeKind,
    /// The task; none: it is the DAG's own.
    pub task_id: Option<String>,
    /// The field; none: it is the task as a whole.
    pub field: Option<String>,
    /// What it said; null: nothing.
    pub before: Value,
    /// What it says.
    pub after: Value,
}

/// The tasks of a spec, as JSON.
fn tasks(spec: &Value) -> BTreeMap<&str, &Value> {
    spec["tasks"].as_array().into_iter().flatten().filter_map(|task| Some((task["task_id"].as_str()?, task))).collect()
}

/// The fields that differ between two objects, tasks aside.
fn fields(task_id: Option<&str>, before: &Value, after: &Value) -> Vec<Change> {
    let keys = |side: &Value| side.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let all: BTreeSet<String> = keys(before).into_iter().chain(keys(after)).filter(|key| key != "tasks").collect();
    all.into_iter()
        .filter(|key| before[key] != after[key])
        .map(|key| Change {
            kind: ChangeKind::Changed,
            task_id: task_id.map(str::to_owned),
            before: before[&key].clone(),
            after: after[&key].clone(),
            field: Some(key),
        })
        .collect()
}

/// What differs between two [`super::DagSpec`]s, written as JSON: fields of the DAG, then tasks by their ids.
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = fields(None, before, after);
    let (old, new) = (tasks(before), tasks(after));
    let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    for name in names {
        let whole = |kind| Change { kind, task_id: Some(name.to_owned()), field: None, before: Value::Null, after: Value::Null };
        match (old.get(name), new.get(name)) {
            (None, _) => found.push(whole(ChangeKind::Added)),
            (_, None) => found.push(whole(ChangeKind::Removed)),
            (Some(was), Some(is)) => found.extend(fields(Some(name), was, is)),
        }
    }
    found
}
