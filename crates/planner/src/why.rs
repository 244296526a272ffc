//! Why a task instance is not running: the question that users ask most. Shares its predicates with [`crate::plan()`].

use chrono::{DateTime, Utc};
use serde::Serialize;
use updraft_model::{RunState, TaskState, TriggerRule};

use crate::plan::{past_met, retry_due};
use crate::scope;
use crate::trigger_rule::{Decision, decide};
use crate::view::RunView;

/// One thing that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Waiting {
    /// The run itself has not started: `max_active_runs`, its `run_after`, or a paused DAG.
    RunQueued,
    /// The run is over.
    RunOver {
        /// How it ended.
        state: &'static str,
    },
    /// An upstream is not over, and the trigger rule needs it.
    Upstream {
        /// The upstream.
        task_id: String,
        /// Its state.
        state: &'static str,
    },
    /// The trigger rule can no longer be met.
    Never {
        /// The rule.
        rule: &'static str,
        /// What it will become.
        becomes: &'static str,
    },
    /// The same task of the run before has not ended well.
    PastRun,
    /// A retry delay.
    Until {
        /// When it is over; absent: not known to the view.
        at: Option<DateTime<Utc>>,
    },
    /// Everything is met and it waits for a slot: the caller knows pools and limits.
    Admission,
    /// A worker has it, or may take it.
    Live,
    /// The scheduler waits for something on its behalf.
    Deferred,
    /// It is over.
    Over {
        /// How.
        state: &'static str,
    },
    /// The planner moves it at its next look.
    Ready,
}

/// Everything that stands in the way of a task. [`Waiting::Ready`] if and only if [`crate::plan()`] would move it to run.
pub fn why(view: &RunView, task: u32, now: DateTime<Utc>) -> Vec<Waiting> {
    let state = view.state(task);
    match state {
        TaskState::Queued | TaskState::Running => return vec![Waiting::Live],
        TaskState::Scheduled => return vec![Waiting::Admission],
        TaskState::Deferred => return vec![Waiting::Deferred],
        _ if state.is_terminal() => return vec![Waiting::Over { state: state.as_str() }],
        _ => {}
    }
    match view.run_state {
        RunState::Queued => return vec![Waiting::RunQueued],
        RunState::Success | RunState::Failed => return vec![Waiting::RunOver { state: view.run_state.as_str() }],
        RunState::Running => {}
    }
    if state == TaskState::UpForRetry {
        return if retry_due(view, task, now) {
            vec![Waiting::Ready]
        } else {
            let at = view.retries.get(&task).copied().flatten().filter(|at| *at < DateTime::<Utc>::MAX_UTC);
            vec![Waiting::Until { at }]
        };
    }
    if view.left_out_by(task).is_some() {
        return vec![Waiting::Never { rule: "branch", becomes: TaskState::Skipped.as_str() }];
    }
    let node = view.graph.node(task);
    let mut waiting = Vec::new();
    match scope::decision(view, task).0 {
        Decision::Run => {}
        Decision::Skip => waiting.push(never(node.rule, TaskState::Skipped)),
        Decision::UpstreamFailed => waiting.push(never(node.rule, TaskState::UpstreamFailed)),
        Decision::Wait => {
            // Where its rule is met, what it waits for stands farther away: its setups, or what its setups are for.
            let before = match decide(node.rule, view.counts(task)) {
                Decision::Run => scope::watched(&view.graph, task),
                _ => view.graph.upstream(task).to_vec(),
            };
            waiting.extend(before.into_iter().filter(|up| !view.state(*up).is_terminal()).map(|up| Waiting::Upstream {
                task_id: view.graph.spec().tasks[up as usize].task_id.to_string(),
                state: view.state(up).as_str(),
            }));
        }
    }
    if !past_met(view, task) {
        waiting.push(Waiting::PastRun);
    }
    if waiting.is_empty() {
        waiting.push(Waiting::Ready);
    }
    waiting
}

fn never(rule: TriggerRule, becomes: TaskState) -> Waiting {
    Waiting::Never { rule: rule.as_str(), becomes: becomes.as_str() }
}
