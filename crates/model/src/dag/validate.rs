//! What must be true of a parsed DAG beyond what the types say.

use std::collections::BTreeMap;

use super::{DagSpec, Schedule};
use crate::ids::TaskId;

/// Why a parsed DAG cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDag {
    /// Two tasks have one id.
    #[error("task id {0:?} is used twice")]
    DuplicateTask(TaskId),
    /// A task names an upstream that the DAG lacks.
    #[error("task {task} has the upstream {upstream}, which this DAG does not have")]
    UnknownUpstream {
        /// The task.
        task: TaskId,
        /// The name that it gives.
        upstream: TaskId,
    },
    /// The arrows go round.
    #[error("the tasks wait for each other in a circle: {}", .0.iter().map(TaskId::as_str).collect::<Vec<_>>().join(" → "))]
    Cycle(Vec<TaskId>),
    /// A number that must be at least 1.
    #[error("{field} of {of} is 0: it must be at least 1")]
    Zero {
        /// The parameter.
        field: &'static str,
        /// The task or DAG.
        of: String,
    },
    /// `@continuous` allows one run at a time.
    #[error("a DAG with schedule @continuous needs max_active_runs=1, this one has {0}")]
    Continuous(u32),
    /// How far each setup and teardown reaches is worked out whenever a version is loaded.
    #[error("{setups} setup and teardown tasks among {arrows} arrows are too many: at most {}", MOST_REACH / .arrows)]
    TooManySetups {
        /// How many there are.
        setups: usize,
        /// Among so many arrows.
        arrows: usize,
    },
}

/// Most steps that the reach of all setup and teardown tasks of a DAG may take: a fraction of a second.
const MOST_REACH: usize = 40_000_000;

impl DagSpec {
    /// Checks what the types do not say, and sorts what has no order. Front ends call it on everything that they make.
    pub fn validate(&mut self) -> Result<(), InvalidDag> {
        self.tags.sort();
        self.tags.dedup();
        let mut index: BTreeMap<&str, usize> = BTreeMap::new();
        for (i, task) in self.tasks.iter().enumerate() {
            if index.insert(task.task_id.as_str(), i).is_some() {
                return Err(InvalidDag::DuplicateTask(task.task_id.clone()));
            }
            if task.pool_slots == 0 {
                return Err(InvalidDag::Zero { field: "pool_slots", of: task.task_id.to_string() });
            }
        }
        for (field, value) in [("max_active_runs", self.max_active_runs), ("max_active_tasks", self.max_active_tasks)] {
            if value == Some(0) {
                return Err(InvalidDag::Zero { field, of: self.dag_id.to_string() });
            }
        }
        if self.schedule == Schedule::Continuous {
            match self.max_active_runs {
                None => self.max_active_runs = Some(1),
                Some(1) => {}
                Some(n) => return Err(InvalidDag::Continuous(n)),
            }
        }
        let mut upstream: Vec<Vec<usize>> = Vec::with_capacity(self.tasks.len());
        for task in &self.tasks {
            let mut of_task = Vec::with_capacity(task.upstream.len());
            for up in &task.upstream {
                match index.get(up.as_str()) {
                    Some(i) => of_task.push(*i),
                    None => {
                        return Err(InvalidDag::UnknownUpstream { task: task.task_id.clone(), upstream: up.clone() });
                    }
                }
            }
            upstream.push(of_task);
        }
        if let Some(circle) = find_cycle(&upstream) {
            return Err(InvalidDag::Cycle(circle.into_iter().map(|i| self.tasks[i].task_id.clone()).collect()));
        }
        let setups = self.tasks.iter().filter(|task| task.is_setup || task.is_teardown).count();
        let arrows: usize = upstream.iter().map(Vec::len).sum();
        if setups.saturating_mul(arrows) > MOST_REACH {
            return Err(InvalidDag::TooManySetups { setups, arrows });
        }
        for task in &mut self.tasks {
            task.upstream.sort();
            task.upstream.dedup();
        }
        Ok(())
    }
}

/// A circle in `upstream`, in the direction of the arrows and closed by its first task, if there is one. Iterative: a chain may be
/// 100,000 long.
fn find_cycle(upstream: &[Vec<usize>]) -> Option<Vec<usize>> {
    // Kahn: take away what waits for nothing until nothing is left to take.
    let mut waits: Vec<usize> = upstream.iter().map(Vec::len).collect();
    let mut downstream: Vec<Vec<usize>> = vec![Vec::new(); upstream.len()];
    for (task, ups) in upstream.iter().enumerate() {
        for up in ups {
            downstream[*up].push(task);
        }
    }
    let mut free: Vec<usize> = (0..upstream.len()).filter(|i| waits[*i] == 0).collect();
    let mut taken = 0;
    while let Some(task) = free.pop() {
        taken += 1;
        for down in &downstream[task] {
            waits[*down] -= 1;
            if waits[*down] == 0 {
                free.push(*down);
            }
        }
    }
    if taken == upstream.len() {
        return None;
    }
    // Whoever still waits has an upstream that still waits: walk up until a task comes twice.
    let mut at = (0..upstream.len()).find(|i| waits[*i] > 0)?;
    let mut seen_at = vec![usize::MAX; upstream.len()];
    let mut path = Vec::new();
    while seen_at[at] == usize::MAX {
        seen_at[at] = path.len();
        path.push(at);
        at = *upstream[at].iter().find(|up| waits[**up] > 0)?;
    }
    let mut circle = path.split_off(seen_at[at]);
    circle.reverse();
    circle.push(circle[0]);
    Some(circle)
}
