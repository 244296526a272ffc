//! Keys that travel: which instance, which attempt. They carry no state; who receives one looks the state up.

use serde::{Deserialize, Serialize};

use crate::ids::RunKey;

/// The map index of a task that is not mapped.
pub const NOT_MAPPED: i32 = -1;

/// One task instance: a task of a run. `idx` is the task's position in the run's DAG version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceKey {
    /// The run.
    pub run: RunKey,
    /// Position of the task in [`crate::DagSpec::tasks`].
    pub idx: i32,
    /// Which of the instances of a mapped task; [`NOT_MAPPED`] for a task that is not mapped.
    pub map_index: i32,
}

/// One attempt of a task instance: the fencing token of the whole protocol. Attempt numbers of an instance only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptKey {
    /// The instance.
    #[serde(flatten)]
    pub instance: InstanceKey,
    /// 1 for the first attempt that the instance ever made.
    pub attempt: i32,
}
