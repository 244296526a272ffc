//! Tasks that the scheduler does itself: no slot, no worker, no process. Their words are those of Airflow's operators.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::is_false;

/// A task that waits for something, or has something done and may wait for that. While it waits it is `deferred`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitTask {
    /// For what.
    pub what: WaitFor,
    /// How long between two looks, where somebody else's doing is looked at.
    #[serde(default = "poke_interval")]
    pub poke_interval_ms: u64,
    /// How long it waits at most; then it fails, without a retry. Absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Whether it is skipped where it would fail.
    #[serde(default, skip_serializing_if = "is_false")]
    pub soft_fail: bool,
    /// Whether the time between two looks grows with the time that it has waited.
    #[serde(default, skip_serializing_if = "is_false")]
    pub exponential_backoff: bool,
    /// The most that it grows to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_wait_ms: Option<u64>,
}

fn poke_interval() -> u64 {
    60_000
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum WaitFor {
    /// A moment.
    Moment {
        /// As ISO 8601, rendered as a template; without a zone it is UTC.
        target_time: String,
    },
    /// A time of the day on which it begins to wait, in the DAG's time zone.
    TimeOfDay {
        /// `HH:MM:SS`, with a fraction or without.
        target_time: String,
    },
    /// Some time after the end of the run's data interval.
    Delta {
        /// How long.
        delta_ms: i64,
    },
    /// Some time after it has begun to wait.
    Duration {
        /// How long.
        duration_ms: u64,
    },
    /// A day of the week, by UTC.
    Weekday {
        /// Which: 1 is Monday, 7 Sunday. Sorted.
        days: Vec<u8>,
        /// Whether the run's logical date is meant, instead of today.
        #[serde(default, skip_serializing_if = "is_false")]
        of_logical_date: bool,
    },
    /// Tasks of another DAG, or a run of it.
    External(ExternalTasks),
    /// A run of another DAG, that it makes first.
    Run(TriggerRun),
}

/// Tasks of another DAG in its run for a date; no tasks and no group: the run itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExternalTasks {
    /// The DAG, rendered as a template.
    pub external_dag_id: String,
    /// Its tasks, rendered as templates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_task_ids: Vec<String>,
    /// All tasks of this group, rendered as a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_task_group_id: Option<String>,
    /// All of them in one of these: it is there.
    pub allowed_states: Vec<String>,
    /// One of them in one of these: it is skipped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped_states: Vec<String>,
    /// One of them in one of these: it fails.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed_states: Vec<String>,
    /// How much earlier than its own date the run's is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_delta_ms: Option<i64>,
    /// Whether it fails where there is no such DAG, task or group, instead of waiting for it.
    #[serde(skip_serializing_if = "is_false")]
    pub check_existence: bool,
}

/// A run of another DAG.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TriggerRun {
    /// The DAG, rendered as a template.
    pub trigger_dag_id: String,
    /// The run's name, rendered as a template. Absent: made of its date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_run_id: Option<String>,
    /// What the run is given: an object, texts in it rendered as templates, or a text that is rendered to JSON.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub conf: Value,
    /// The run's date, rendered as a template. Absent: the time at which it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logical_date: Option<String>,
    /// Whether the run has no date at all.
    #[serde(skip_serializing_if = "is_false")]
    pub no_logical_date: bool,
    /// It starts no earlier, rendered as a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_after: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whether a run of that name or date is cleared, instead of being an error.
    #[serde(skip_serializing_if = "is_false")]
    pub reset_dag_run: bool,
    /// Whether the task is skipped when there is such a run.
    #[serde(skip_serializing_if = "is_false")]
    pub skip_when_already_exists: bool,
    /// Whether it fails when the DAG is paused.
    #[serde(skip_serializing_if = "is_false")]
    pub fail_when_dag_is_paused: bool,
    /// Whether it waits until the run is in one of the states below.
    #[serde(skip_serializing_if = "is_false")]
    pub wait_for_completion: bool,
    /// States of the run that are a success.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_states: Vec<String>,
    /// States of the run that are a failure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed_states: Vec<String>,
}

/// A knot that chooses among the tasks right after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BranchTask {
    /// What is asked.
    pub test: BranchTest,
    /// Whether it is asked of the run's logical date, instead of now.
    #[serde(default, skip_serializing_if = "is_false")]
    pub of_logical_date: bool,
    /// Ids of the tasks to go on with when it is true.
    #[serde(default)]
    pub if_true: Vec<String>,
    /// And when it is not.
    #[serde(default)]
    pub if_false: Vec<String>,
}

/// What a [`BranchTask`] asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum BranchTest {
    /// Whether the time is between two. Each is a time of that day or a moment, both of them in the DAG's time zone unless they name one.
    Between {
        /// Not before it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lower: Option<String>,
        /// Not after it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upper: Option<String>,
    },
    /// Whether it is one of these days of the week: 1 is Monday, 7 Sunday.
    Weekday {
        /// Sorted.
        days: Vec<u8>,
    },
}
