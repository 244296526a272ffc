//! The words of Updraft: ids, the parsed form of a DAG, the states of a task instance and the table of legal moves between them,
//! what a runner needs to start an attempt, and what proves its end.
//!
//! Every other crate speaks in these types. Nothing here does IO, reads a clock or draws a random number.

#![warn(missing_docs)]
pub mod connection;
pub mod dag;
pub mod end;
pub mod hint;
pub mod ids;
pub mod invariants;
pub mod launch;
pub mod pod_policy;
pub mod redact;
pub mod state;
pub mod trigger;

pub use dag::{DagSpec, Schedule, Semantics, TaskKind, TaskSpec, TriggerRule};
pub use end::{Budget, EndFacts, Evidence, Verdict, verdict};
pub use hint::{AttemptKey, InstanceKey};
pub use ids::{DagId, RunKey, TaskId};
pub use launch::{LaunchNotes, LaunchSpec, TraceNotes};
pub use pod_policy::PodPolicy;
pub use state::{RunState, TaskState};
