//! What a runner is given: everything rendered, nothing left to decide.

use std::collections::BTreeMap;

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
    /// Whether the value that it leaves in the XCom file is taken.
    pub xcom: bool,
    /// The queue that it came through, for the pod policy's sake.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub queue: String,
    /// The pod's other fields, for the pod runner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Value>,
}
