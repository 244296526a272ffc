//! Every decision of the scheduler, as functions: which instances move ([`plan()`]), which of the ready ones are admitted ([`admit()`]), why one
//! does not run ([`why()`]), when a DAG runs ([`timetable`]), what a task is once its templates are filled in ([`render`]).
//!
//! No IO, no clock, no randomness, no logging: `now` is an argument, and equal inputs give equal outputs, byte for byte. The scheduler
//! executes what is decided here and decides nothing itself.

#![warn(missing_docs)]

mod admit;
mod branch;
pub mod decision;
mod graph;
mod plan;
pub mod render;
mod retry;
mod scope;
pub mod timetable;
mod trigger_rule;
mod view;
pub mod wait;
mod why;

pub use admit::{AdmitHead, admit};
pub use graph::{DagGraph, Defaults};
pub use plan::{Moves, Planned, plan};
pub use retry::{infra_retry_delay_ms, user_retry_delay_ms};
pub use trigger_rule::{Counts, Decision, decide};
pub use view::{InstanceState, Past, RunView};
pub use why::{Waiting, why};
