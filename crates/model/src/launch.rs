//! What a runner is given: everything rendered, nothing left to decide.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One attempt, ready to start. Made by the scheduler at admission, stored beside the live attempt, handed to the worker by the claim.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LaunchSpec {
    /// Ids as users know them, for logs and for the environment.
    pub dag_id: String,
    /// The run id as users know it.
    pub run_id: String,
    /// The task id.
    pub task_id: String,
    /// Which try this is, as users count: 1 for the first.
    pub try_number: i32,
    /// The program and its arguments. The process runner starts it; the pod runner sets `command` to `entrypoint` and `args` to the rest.
    pub argv: Vec<String>,
    /// How many of `argv` are the entrypoint (the operator's `cmds`), for the pod runner.
    pub entrypoint_length: usize,
    /// The environment that the task asks for.
    pub env: BTreeMap<String, String>,
    /// Whether `env` stands alone instead of being added to the worker's allow-listed own.
    pub clear_env: bool,
    /// Where it runs. Absent: a fresh folder of its own (process), the image's (pod).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The container image. The process runner ignores it and says so in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// How long it may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Most memory that it may use, in bytes: the container's limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<u64>,
    /// Exit codes that mean *skipped*.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skip_on_exit_code: Vec<i32>,
    /// Exit codes that mean *failed for good*: no retry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub final_exit_code: Vec<i32>,
    /// Of a Python task: what its process is handed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<PythonLaunch>,
    /// What the worker adds to start it and no runner may recognise it by: it is not stored, and another version of the worker adds another.
    #[serde(skip)]
    pub carried: Option<Arc<Carried>>,
    /// Whether the value that it leaves in the XCom file is taken.
    pub xcom: bool,
    /// The queue that it came through, for the pod policy's sake.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub queue: String,
    /// The pod's other fields, for the pod runner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Value>,
}

/// What the process of a Python task is handed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PythonLaunch {
    /// The DAG version whose code it is. The code itself is put in by the worker: it is stored once, not with each attempt.
    pub version: i64,
    /// Who it is, its rendered texts, the values of other tasks: what `updraft_task` reads.
    pub input: Value,
}

/// A program and variables besides those of the spec.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Carried {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables of its environment.
    pub env: BTreeMap<String, String>,
}

impl LaunchSpec {
    /// The spec with what the worker has added, for a runner to start.
    #[must_use]
    pub fn with_carried(&self) -> Self {
        let mut whole = self.clone();
        if let Some(carried) = whole.carried.take() {
            whole.argv.clone_from(&carried.argv);
            whole.entrypoint_length = whole.argv.len();
            whole.env.extend(carried.env.clone());
        }
        whole
    }
}

/// What the scheduler notes beside a launch spec, in the same object of JSON, for whoever claims the attempt.
///
/// It is no part of the spec: pods are recognised by the hash of that, and a worker of the version before, which drops what it does not know,
/// must come to the same one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LaunchNotes {
    /// Since when nothing but a slot was missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<DateTime<Utc>>,
    /// What the span of the attempt needs besides. None: nobody traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceNotes>,
}

/// See [`LaunchNotes::trace`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TraceNotes {
    /// The run's span: its `traceparent`, and after a space its `tracestate`, if it has one.
    pub run: String,
    /// Where the attempt was queued.
    pub queue: String,
    /// Whose slots it has.
    pub pool: String,
}

impl LaunchNotes {
    /// The spec with these notes, as it is stored.
    pub fn beside(&self, spec: &LaunchSpec) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct Noted<'a> {
            #[serde(flatten)]
            spec: &'a LaunchSpec,
            noted: &'a LaunchNotes,
        }
        serde_json::to_string(&Noted { spec, noted: self })
    }

    /// The notes beside a stored spec; none, where there are none or they are no notes.
    pub fn of(stored: &str) -> Self {
        #[derive(Deserialize)]
        struct Noted {
            #[serde(default)]
            noted: LaunchNotes,
        }
        serde_json::from_str::<Noted>(stored).map(|stored| stored.noted).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_stand_beside_the_spec_and_change_nothing_of_it() {
        let spec = LaunchSpec { dag_id: "d".to_owned(), env: [("A".to_owned(), "1".to_owned())].into(), ..LaunchSpec::default() };
        let notes = LaunchNotes {
            scheduled_at: Some(DateTime::UNIX_EPOCH),
            trace: Some(TraceNotes { run: "00-1-2-01".to_owned(), queue: "q".to_owned(), pool: "p".to_owned() }),
        };
        let stored = notes.beside(&spec).unwrap();
        assert_eq!(serde_json::from_str::<LaunchSpec>(&stored).unwrap(), spec);
        assert_eq!(LaunchNotes::of(&stored), notes);
        // As a scheduler of the version before stored it.
        assert_eq!(LaunchNotes::of(&serde_json::to_string(&spec).unwrap()), LaunchNotes::default());
        assert_eq!(LaunchNotes::of("no JSON"), LaunchNotes::default());
    }
}
