//! The cached state of one run: what the planner looks at.
//!
//! It is built once from all instances, and then follows the run's events. The law that keeps it honest: folding the events over an older
//! view gives the same view as loading the run anew. Counters live here only, so they cannot drift from the rows.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use updraft_model::{RunState, TaskState};

use crate::graph::DagGraph;
use crate::scope;
use crate::trigger_rule::Counts;

/// One instance as it was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceState {
    /// The task.
    pub task: u32,
    /// Its state. `running` and `queued` are the same to the planner.
    pub state: TaskState,
    /// When a retry may start; absent or past: it may.
    pub not_before: Option<DateTime<Utc>>,
}

/// What the run before looks like to `depends_on_past`: states by task id, since its version may be another.
pub type Past = BTreeMap<String, TaskState>;

/// A run as the planner sees it.
#[derive(Debug, Clone)]
pub struct RunView {
    pub(crate) graph: Arc<DagGraph>,
    pub(crate) run_state: RunState,
    pub(crate) states: Vec<TaskState>,
    pub(crate) counts: Vec<Counts>,
    /// How the setups among the direct upstreams of each task stand. Empty where the DAG has no setups.
    pub(crate) setups: Vec<Counts>,
    /// How the tasks stand that each task looks at without an arrow. Empty likewise.
    pub(crate) scopes: Vec<Counts>,
    /// Instances in `up_for_retry`, with the time from which they may go on; `None` once that time is known to have come.
    pub(crate) retries: BTreeMap<u32, Option<DateTime<Utc>>>,
    pub(crate) unfinished: usize,
    pub(crate) live: usize,
    /// Tasks that a change has touched since the last plan.
    pub(crate) touched: BTreeSet<u32>,
    pub(crate) deadline: Option<DateTime<Utc>>,
    pub(crate) past: Option<Past>,
    pub(crate) latest_until: Option<DateTime<Utc>>,
    pub(crate) logical_date: Option<DateTime<Utc>>,
    pub(crate) stopping: bool,
    /// What tasks have decided that may leave out others, and whom they leave out.
    pub(crate) decisions: BTreeMap<u32, BTreeSet<u32>>,
}

impl RunView {
    /// Builds the view of a run from all its instances. Instances that are missing count as `none`. `deadline` is when the run times out,
    /// `past` the run before (for DAGs that wait for it; absent: there is none).
    pub fn new(
        graph: Arc<DagGraph>,
        run_state: RunState,
        instances: impl IntoIterator<Item = InstanceState>,
        deadline: Option<DateTime<Utc>>,
        past: Option<Past>,
    ) -> Self {
        let tasks = graph.len();
        let mut counts = vec![Counts::default(); tasks];
        for (task, of_task) in (0u32..).zip(&mut counts) {
            of_task.total = u32::try_from(graph.upstream(task).len()).unwrap_or(u32::MAX);
        }
        let (setups, scopes) = scope::totals(&graph);
        let mut view = Self {
            states: vec![TaskState::None; tasks],
            counts,
            setups,
            scopes,
            retries: BTreeMap::new(),
            unfinished: tasks,
            live: 0,
            touched: (0..u32::try_from(tasks).unwrap_or(u32::MAX)).collect(),
            deadline,
            past,
            latest_until: None,
            logical_date: None,
            stopping: false,
            decisions: BTreeMap::new(),
            graph,
            run_state,
        };
        for instance in instances {
            view.set(instance.task, instance.state);
            if instance.state == TaskState::UpForRetry {
                view.retries.insert(instance.task, instance.not_before);
            }
        }
        view
    }

    /// When the run stops being the newest of its DAG's timetable, for `LatestOnlyOperator`. Absent, as in a new view: never.
    #[must_use]
    pub const fn latest_until(mut self, at: Option<DateTime<Utc>>) -> Self {
        self.latest_until = at;
        self
    }

    /// The run's logical date, for operators that branch by it. Absent, as in a new view: they go by the clock.
    #[must_use]
    pub const fn logical_date(mut self, at: Option<DateTime<Utc>>) -> Self {
        self.logical_date = at;
        self
    }

    /// What a task has decided, of the run's values ([`crate::decision`]). It counts while that task is a success.
    pub fn decided(&mut self, task: u32, decision: &serde_json::Value) {
        let left_out = crate::decision::left_out(&self.graph, task, decision);
        self.touched.extend(&left_out);
        self.decisions.insert(task, left_out);
    }

    /// Who has left a task out, if somebody has.
    pub(crate) fn left_out_by(&self, task: u32) -> Option<u32> {
        self.decisions.iter().find(|(by, out)| out.contains(&task) && self.state(**by) == TaskState::Success).map(|(by, _)| *by)
    }

    /// The DAG version.
    pub fn graph(&self) -> &Arc<DagGraph> {
        &self.graph
    }
    /// The state of a task.
    pub fn state(&self, task: u32) -> TaskState {
        self.states[task as usize]
    }
    /// How many instances are queued or running.
    pub fn live(&self) -> usize {
        self.live
    }
    /// How many instances are not over.
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }
    /// The state of the run.
    pub fn run_state(&self) -> RunState {
        self.run_state
    }
    /// How the direct upstreams of a task stand.
    pub fn counts(&self, task: u32) -> &Counts {
        &self.counts[task as usize]
    }
    /// About how much memory it takes, in bytes, for the bound of a cache.
    pub fn weight(&self) -> usize {
        let counts = self.counts.len() + self.setups.len() + self.scopes.len();
        self.states.len() * size_of::<TaskState>() + counts * size_of::<Counts>() + 256
    }

    /// Follows one event: the instance has a new state.
    pub fn apply(&mut self, task: u32, state: TaskState) {
        if (task as usize) < self.states.len() {
            self.set(task, state);
            if state == TaskState::UpForRetry {
                // Until its due row says so, the time is not known to have come.
                self.retries.insert(task, Some(DateTime::<Utc>::MAX_UTC));
            }
            self.touched.insert(task);
        }
    }

    /// Follows an admission of the caller's own: the instance is queued, and nothing need be looked at for it.
    pub fn admitted(&mut self, task: u32) {
        if (task as usize) < self.states.len() {
            self.set(task, TaskState::Queued);
        }
    }

    /// Follows one event: the time that an instance waited for has come.
    pub fn due(&mut self, task: u32) {
        if let Some(at) = self.retries.get_mut(&task) {
            *at = None;
            self.touched.insert(task);
        }
    }

    /// Follows a change of the run before: every task that waits for it is looked at again.
    pub fn past_changed(&mut self, past: Option<Past>) {
        self.past = past;
        for task in 0..u32::try_from(self.states.len()).unwrap_or(u32::MAX) {
            if self.graph.node(task).depends_on_past && self.state(task) == TaskState::None {
                self.touched.insert(task);
            }
        }
    }

    pub(crate) fn set(&mut self, task: u32, state: TaskState) {
        // A worker's claim does not matter here: the attempt is live either way.
        let state = if state == TaskState::Running { TaskState::Queued } else { state };
        let before = std::mem::replace(&mut self.states[task as usize], state);
        if before == state {
            return;
        }
        self.retries.remove(&task);
        match (before.is_terminal(), state.is_terminal()) {
            (false, true) => self.unfinished -= 1,
            (true, false) => self.unfinished += 1,
            _ => {}
        }
        if before == TaskState::Queued {
            self.live -= 1;
        }
        if state == TaskState::Queued {
            self.live += 1;
        }
        if before.is_terminal() || state.is_terminal() {
            let graph = Arc::clone(&self.graph);
            let counts_as_setup = graph.node(task).setup;
            for down in graph.downstream(task) {
                self.counts[*down as usize].shift(before, state);
                if counts_as_setup {
                    self.setups[*down as usize].shift(before, state);
                }
                self.touched.insert(*down);
            }
            for watcher in graph.watchers(task) {
                self.scopes[*watcher as usize].shift(before, state);
                self.touched.insert(*watcher);
            }
        }
    }
}

/// Two views are the same when the planner could not tell them apart.
impl PartialEq for RunView {
    fn eq(&self, other: &Self) -> bool {
        self.run_state == other.run_state
            && self.states == other.states
            && self.counts == other.counts
            && self.setups == other.setups
            && self.scopes == other.scopes
            && self.unfinished == other.unfinished
            && self.live == other.live
            && self.decisions == other.decisions
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use updraft_model::{DagSpec, TaskId, TaskKind, TaskSpec};

    pub(crate) fn spec_of(tasks: &[(&str, &[&str])]) -> DagSpec {
        let tasks = tasks
            .iter()
            .map(|(id, ups)| {
                let run = TaskKind::Bash {
                    bash_command: "true".to_owned(),
                    env: None,
                    append_env: false,
                    cwd: None,
                    skip_on_exit_code: vec![99],
                };
                let mut task = TaskSpec::new(TaskId::new(*id).unwrap(), run);
                task.upstream = ups.iter().map(|u| TaskId::new(*u).unwrap()).collect();
                task
            })
            .collect();
        let empty = serde_json::json!({"dag_id": "d", "schedule": {"kind": "none"}, "tasks": []});
        serde_json::from_value::<DagSpec>(empty).map(|spec| DagSpec { tasks, ..spec }).unwrap()
    }

    pub(crate) fn view_of(spec: DagSpec) -> RunView {
        RunView::new(Arc::new(DagGraph::new(spec)), RunState::Running, [], None, None)
    }

    #[test]
    fn folding_events_is_the_same_as_loading() {
        let spec = spec_of(&[("a", &[]), ("b", &["a"]), ("c", &["a", "b"])]);
        let graph = Arc::new(DagGraph::new(spec));
        let mut folded = RunView::new(Arc::clone(&graph), RunState::Running, [], None, None);
        for (task, state) in
            [(0, TaskState::Queued), (0, TaskState::Failed), (0, TaskState::None), (0, TaskState::Success), (1, TaskState::Skipped)]
        {
            folded.apply(task, state);
        }
        let loaded = RunView::new(
            graph,
            RunState::Running,
            [(0, TaskState::Success), (1, TaskState::Skipped)].map(|(task, state)| InstanceState { task, state, not_before: None }),
            None,
            None,
        );
        assert!(folded == loaded);
        assert_eq!(folded.counts(2), &Counts { total: 2, success: 1, skipped: 1, ..Counts::default() });
    }
}
