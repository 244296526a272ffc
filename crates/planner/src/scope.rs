//! Setup and teardown tasks: how far a setup reaches, what that adds to the trigger rules, which tasks decide a run, and which go along when
//! others are cleared. Airflow's meaning.
//!
//! A setup stands for the tasks between it and its teardowns (the teardowns right after it), or for all tasks after it where it has none. Such a
//! task runs only once all the setups that stand for it succeeded, those without an arrow to it as well; a teardown waits until everything
//! between its setups and itself is over. Both are kept as *watchers*: by task, those that look at it though no arrow joins them.

use updraft_model::{DagSpec, TriggerRule};

use crate::graph::{DagGraph, Edges, TaskNode};
use crate::trigger_rule::{Counts, Decision, decide};
use crate::view::RunView;

/// The tasks that can be reached from some, which are in it only if arrows lead back to them.
pub(crate) fn reach(edges: &Edges, tasks: usize, from: &[u32]) -> Vec<bool> {
    let mut seen = vec![false; tasks];
    let mut open: Vec<u32> = from.to_vec();
    while let Some(task) = open.pop() {
        for next in edges.of(task) {
            if !std::mem::replace(&mut seen[*next as usize], true) {
                open.push(*next);
            }
        }
    }
    seen
}

fn only(edges: &Edges, task: u32, what: impl Fn(u32) -> bool) -> Vec<u32> {
    edges.of(task).iter().copied().filter(|other| what(*other)).collect()
}

/// The tasks that a setup stands for; what cleans up among them is to be left out.
pub(crate) fn stands_for(nodes: &[TaskNode], up: &Edges, down: &Edges, setup: u32) -> Vec<u32> {
    let after = reach(down, nodes.len(), &[setup]);
    let teardowns = only(down, setup, |task| nodes[task as usize].teardown);
    let before = (!teardowns.is_empty()).then(|| reach(up, nodes.len(), &teardowns));
    let within = |task: &usize| before.as_ref().is_none_or(|before| before[*task]);
    (0..nodes.len()).filter(|task| after[*task]).filter(within).filter_map(|task| u32::try_from(task).ok()).collect()
}

/// By task, those that look at it though no arrow joins them.
pub(crate) fn watchers(nodes: &[TaskNode], up: &Edges, down: &Edges) -> Edges {
    let mut watchers: Vec<Vec<u32>> = vec![Vec::new(); nodes.len()];
    for (task, node) in (0u32..).zip(nodes) {
        // Whoever runs always looks at nothing.
        let looks = |other: u32| nodes[other as usize].rule != TriggerRule::Always;
        if node.setup {
            let reached = stands_for(nodes, up, down, task);
            let further = reached.into_iter().filter(|other| !nodes[*other as usize].teardown && looks(*other));
            watchers[task as usize].extend(further.filter(|other| !up.of(*other).contains(&task)));
        } else if node.teardown && looks(task) {
            let setups = only(up, task, |other| nodes[other as usize].setup);
            let (after, before) = (reach(down, nodes.len(), &setups), reach(up, nodes.len(), &[task]));
            for (other, watchers) in (0u32..).zip(&mut watchers) {
                if after[other as usize] && before[other as usize] && !up.of(task).contains(&other) {
                    watchers.push(task);
                }
            }
        }
    }
    Edges::new(&watchers)
}

/// Which tasks decide how a run ended: those that nothing comes after but teardowns, and teardowns whose failure is to fail the run. Of a DAG
/// that has none of these, its leaves.
pub(crate) fn deciding(spec: &DagSpec, down: &[Vec<u32>]) -> Vec<bool> {
    let counts = |task: usize| !spec.tasks[task].is_teardown || spec.tasks[task].on_failure_fail_dagrun;
    let decide: Vec<bool> =
        down.iter().enumerate().map(|(task, down)| counts(task) && !down.iter().any(|other| counts(*other as usize))).collect();
    if decide.contains(&true) { decide } else { down.iter().map(Vec::is_empty).collect() }
}

/// Counts of a run in which nothing is over: of the setups right before each task, and of what it looks at. Nothing where there are no setups.
pub(crate) fn totals(graph: &DagGraph) -> (Vec<Counts>, Vec<Counts>) {
    if !graph.has_setups() {
        return (Vec::new(), Vec::new());
    }
    let mut setups = vec![Counts::default(); graph.len()];
    let mut scopes = setups.clone();
    for task in 0..u32::try_from(graph.len()).unwrap_or(u32::MAX) {
        if graph.node(task).setup {
            graph.downstream(task).iter().for_each(|down| setups[*down as usize].total += 1);
        }
        graph.watchers(task).iter().for_each(|watcher| scopes[*watcher as usize].total += 1);
    }
    (setups, scopes)
}

/// What a task looks at though no arrow joins them. For people who ask why it waits: it reads the whole graph.
pub(crate) fn watched(graph: &DagGraph, task: u32) -> Vec<u32> {
    (0..u32::try_from(graph.len()).unwrap_or(u32::MAX)).filter(|other| graph.watchers(*other).contains(&task)).collect()
}

/// What becomes of a task that has not begun, and the reason where that is not to run it: its trigger rule, and what setups add.
pub(crate) fn decision(view: &RunView, task: u32) -> (Decision, &'static str) {
    const RULE: &str = "trigger_rule";
    const SETUP: &str = "setup";
    let node = view.graph.node(task);
    let direct = decide(node.rule, view.counts(task));
    let (Some(setups), Some(scope)) = (view.setups.get(task as usize), view.scopes.get(task as usize)) else { return (direct, RULE) };
    // A setup that failed is not waited for: nothing that it stands for can run any more.
    if !node.teardown && scope.failed + scope.upstream_failed > 0 {
        return (Decision::UpstreamFailed, SETUP);
    }
    if !node.teardown && scope.skipped > 0 {
        return (Decision::Skip, SETUP);
    }
    if node.rule == TriggerRule::AllDoneSetupSuccess && direct == Decision::Run && setups.total > 0 && setups.success == 0 {
        return (if setups.skipped == setups.total { Decision::Skip } else { Decision::UpstreamFailed }, SETUP);
    }
    // An instance that a person deleted is over too: nothing waits for it.
    (if direct == Decision::Run && scope.done() < scope.total { Decision::Wait } else { direct }, RULE)
}

impl DagGraph {
    /// The tasks that are cleared along with some: all before or after them, if asked for, and the setups that stand for them with their
    /// teardowns, as Airflow chooses them. Without the given ones.
    pub fn cleared_with(&self, of: &[u32], up: bool, down: bool) -> Vec<u32> {
        let mut chosen = vec![false; self.len()];
        let mut choose = |tasks: &[u32]| tasks.iter().for_each(|task| chosen[*task as usize] = true);
        let after = if down { self.closure(of, true) } else { Vec::new() };
        choose(&after);
        if up {
            let before = self.closure(of, false);
            choose(&before);
            before.iter().filter(|task| self.node(**task).setup).for_each(|setup| choose(&self.teardowns(*setup)));
        }
        if !down {
            of.iter().filter(|task| self.node(**task).setup).for_each(|setup| choose(&self.teardowns(*setup)));
        }
        // With all before them, their setups are chosen already.
        let own: &[u32] = if up { &[] } else { of };
        let work = after.iter().chain(own).filter(|task| !self.node(**task).setup && !self.node(**task).teardown);
        let mut is_work = vec![false; self.len()];
        work.for_each(|task| is_work[*task as usize] = true);
        let setups = (0u32..).zip(&self.spec().tasks).map(|(task, _)| task).filter(|task| self.node(*task).setup);
        for setup in setups {
            if self.stands_for(setup).iter().any(|task| is_work[*task as usize]) {
                choose(&[setup]);
                choose(&self.teardowns(setup));
            }
        }
        (0u32..).zip(chosen).filter(|(task, hit)| *hit && !of.contains(task)).map(|(task, _)| task).collect()
    }

    /// The tasks that are marked along with some: all before or after them, if asked for. What a mark reaches downwards leaves teardowns out, as
    /// Airflow does: they clean up whatever is said of the tasks before them.
    pub fn marked_with(&self, of: &[u32], up: bool, down: bool) -> Vec<u32> {
        let before = if up { self.closure(of, false) } else { Vec::new() };
        let after = if down { self.closure(of, true) } else { Vec::new() };
        let mut all: Vec<u32> = after.into_iter().filter(|task| !self.node(*task).teardown).chain(before).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn teardowns(&self, setup: u32) -> Vec<u32> {
        self.downstream(setup).iter().copied().filter(|task| self.node(*task).teardown).collect()
    }
}

#[cfg(test)]
mod tests;
