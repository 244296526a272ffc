//! Which instances of a run move now.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use updraft_model::state::{Move, moves};
use updraft_model::{RunState, TaskState};

use crate::branch;
use crate::scope;
use crate::trigger_rule::Decision;
use crate::view::RunView;

/// One move of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Planned {
    /// The task.
    pub task: u32,
    /// The state that it is in.
    pub from: TaskState,
    /// What it does.
    pub step: Move,
    /// Why, in a word, when the move's own name does not say it.
    pub reason: Option<&'static str>,
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moves {
    /// Moves, by task.
    pub steps: Vec<Planned>,
    /// Live instances whose attempts must be stopped, since the run is over.
    pub stop: Vec<u32>,
    /// The run's own end, and why.
    pub end: Option<(RunState, Option<&'static str>)>,
}

impl Moves {
    /// Whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.stop.is_empty() && self.end.is_none()
    }
}

/// Decides every move that follows from what has changed since the last plan. Work is in proportion to the change, not to the run.
///
/// The view is left as if the moves were committed, so planning again gives nothing; a view whose moves were not committed must be thrown
/// away and built anew.
pub fn plan(view: &mut RunView, now: DateTime<Utc>) -> Moves {
    let mut planned = Moves::default();
    if view.run_state != RunState::Running {
        view.touched.clear();
        return planned;
    }

    // Phase 1: a run whose time is over starts nothing more.
    let over = view.deadline.is_some_and(|deadline| deadline <= now);
    if over {
        stop_everything(view, &mut planned);
    }

    // Phase 2: follow what was touched, and what that touches in turn. Empty operators end at once, so a whole chain of them goes in one plan.
    while let Some(task) = view.touched.pop_first() {
        if let Some(step) = step_of(view, task, now) {
            debug_assert!(step.step.allows(step.from), "{step:?} is not a legal move");
            view.set(task, step.step.target());
            planned.steps.push(step);
            if step.step != moves::COMPLETE_NOOP {
                continue;
            }
            if view.graph.node(task).latest_only && view.latest_until.is_some_and(|until| until < now) {
                leave_out(view, task, &BTreeSet::new(), "latest_only", &mut planned);
            } else if let Some(followed) = branch::followed(view, task, now) {
                leave_out(view, task, &followed, "branch", &mut planned);
            }
        }
    }

    // Phase 3: the end of the run.
    if view.unfinished == 0 {
        let (state, reason) = if over { (RunState::Failed, Some("dagrun_timeout")) } else { (end_state(view), None) };
        view.run_state = state;
        planned.end = Some((state, reason));
    }

    planned.steps.sort_unstable();
    planned
}

fn stop_everything(view: &mut RunView, planned: &mut Moves) {
    for task in 0..u32::try_from(view.states.len()).unwrap_or(u32::MAX) {
        let from = view.state(task);
        if moves::SKIP.allows(from) {
            view.set(task, TaskState::Skipped);
            planned.steps.push(Planned { task, from, step: moves::SKIP, reason: Some("dagrun_timeout") });
        } else if from == TaskState::Queued && !view.stopping {
            planned.stop.push(task);
        }
    }
    view.stopping = true;
    view.touched.clear();
}

/// Skips the tasks right after one but those that are followed, whatever their trigger rules say, as Airflow does.
fn leave_out(view: &mut RunView, task: u32, followed: &BTreeSet<u32>, reason: &'static str, planned: &mut Moves) {
    let graph = Arc::clone(&view.graph);
    for down in graph.downstream(task) {
        let from = view.state(*down);
        if moves::SKIP.allows(from) && !followed.contains(down) {
            view.set(*down, TaskState::Skipped);
            planned.steps.push(Planned { task: *down, from, step: moves::SKIP, reason: Some(reason) });
        }
    }
}

fn step_of(view: &RunView, task: u32, now: DateTime<Utc>) -> Option<Planned> {
    let from = view.state(task);
    let planned = |step, reason| Some(Planned { task, from, step, reason });
    match from {
        TaskState::None if view.left_out_by(task).is_some() => planned(moves::SKIP, Some("branch")),
        TaskState::None => match scope::decision(view, task) {
            (Decision::Wait, _) => None,
            (Decision::Skip, reason) => planned(moves::SKIP, Some(reason)),
            (Decision::UpstreamFailed, reason) => planned(moves::FAIL_UPSTREAM, Some(reason)),
            (Decision::Run, _) if !past_met(view, task) => None,
            (Decision::Run, _) if view.graph.node(task).noop => planned(moves::COMPLETE_NOOP, None),
            (Decision::Run, _) => planned(start(view, task), None),
        },
        TaskState::UpForRetry if retry_due(view, task, now) => planned(start(view, task), None),
        _ => None,
    }
}

/// How an attempt of a task begins: in the queue for a slot, or with the scheduler itself.
fn start(view: &RunView, task: u32) -> Move {
    if view.graph.node(task).waits { moves::DEFER } else { moves::SCHEDULE }
}

/// Whether the delay before a retry is over.
pub(crate) fn retry_due(view: &RunView, task: u32, now: DateTime<Utc>) -> bool {
    view.retries.get(&task).is_some_and(|at| at.is_none_or(|at| at <= now))
}

/// Whether the run before allows a task to start: the same task there ended well or was skipped, and so did the tasks right after it when
/// it waits for downstream. A task that the run before did not have does not wait.
pub(crate) fn past_met(view: &RunView, task: u32) -> bool {
    let node = view.graph.node(task);
    let Some(past) = view.past.as_ref().filter(|_| node.depends_on_past) else { return true };
    let met = |task: u32| {
        let id = view.graph.spec().tasks[task as usize].task_id.as_str();
        past.get(id).is_none_or(|state| matches!(state, TaskState::Success | TaskState::Skipped))
    };
    met(task) && (!node.wait_for_downstream || view.graph.downstream(task).iter().all(|down| met(*down)))
}

/// A run fails when one of the tasks that decide did: its leaves, or those before its teardowns.
fn end_state(view: &RunView) -> RunState {
    let tasks = 0..u32::try_from(view.states.len()).unwrap_or(u32::MAX);
    let failed = |task: u32| view.graph.node(task).decides_run && matches!(view.state(task), TaskState::Failed | TaskState::UpstreamFailed);
    if tasks.into_iter().any(failed) { RunState::Failed } else { RunState::Success }
}

#[cfg(test)]
mod tests;
