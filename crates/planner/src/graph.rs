//! A DAG version as the planner needs it: arrows by index, priorities worked out.

use std::collections::BTreeMap;
use std::sync::Arc;

use updraft_model::dag::WeightRule;
use updraft_model::dag::native::BranchTask;
use updraft_model::{DagSpec, TaskKind, TriggerRule};

use crate::scope;

/// The installation's answers to what a DAG leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// Most active runs of a DAG (Airflow's `max_active_runs_per_dag`).
    pub max_active_runs: u32,
    /// Most tasks at once (Airflow's `max_active_tasks_per_dag`).
    pub max_active_tasks: u32,
    /// How often an attempt that the infrastructure lost is made again.
    pub infra_retries: u32,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { max_active_runs: 16, max_active_tasks: 16, infra_retries: 5 }
    }
}

/// What the planner needs of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskNode {
    pub(crate) rule: TriggerRule,
    pub(crate) depends_on_past: bool,
    pub(crate) wait_for_downstream: bool,
    pub(crate) noop: bool,
    pub(crate) latest_only: bool,
    /// Whether it is a setup task.
    pub(crate) setup: bool,
    /// Whether it is a teardown task.
    pub(crate) teardown: bool,
    /// Whether its end decides how the run ended.
    pub(crate) decides_run: bool,
    /// Whether the scheduler waits for it itself, instead of a worker running it.
    pub(crate) waits: bool,
    /// It may leave out tasks after it, by what it stores at its end.
    pub(crate) decides: bool,
    pub(crate) prio: i32,
}

/// A DAG version, shared by all its runs.
#[derive(Debug, Clone)]
pub struct DagGraph {
    spec: Arc<DagSpec>,
    nodes: Vec<TaskNode>,
    up: Edges,
    down: Edges,
    /// By task: those that look at how it stands though no arrow joins them. See [`scope`].
    watchers: Edges,
    has_setups: bool,
    waits_for_past: bool,
}

/// Neighbours of every task, in one list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Edges {
    starts: Vec<u32>,
    list: Vec<u32>,
}

impl Edges {
    pub(crate) fn new(neighbours: &[Vec<u32>]) -> Self {
        let mut edges = Self { starts: vec![0], list: Vec::new() };
        for of_task in neighbours {
            edges.list.extend_from_slice(of_task);
            edges.starts.push(u32::try_from(edges.list.len()).unwrap_or(u32::MAX));
        }
        edges
    }

    pub(crate) fn of(&self, task: u32) -> &[u32] {
        let task = task as usize;
        &self.list[self.starts[task] as usize..self.starts[task + 1] as usize]
    }
}

impl DagGraph {
    /// Builds it. The spec must have passed [`DagSpec::validate`]; an upstream that does not exist is left out.
    pub fn new(spec: DagSpec) -> Self {
        let index: BTreeMap<&str, u32> =
            spec.tasks.iter().enumerate().map(|(i, t)| (t.task_id.as_str(), u32::try_from(i).unwrap_or(u32::MAX))).collect();
        let up: Vec<Vec<u32>> =
            spec.tasks.iter().map(|t| t.upstream.iter().filter_map(|u| index.get(u.as_str()).copied()).collect()).collect();
        let mut down: Vec<Vec<u32>> = vec![Vec::new(); spec.tasks.len()];
        for (task, ups) in (0u32..).zip(&up) {
            for u in ups {
                down[*u as usize].push(task);
            }
        }
        let priorities = priorities(&spec, &up, &down);
        let decide = scope::deciding(&spec, &down);
        let nodes: Vec<TaskNode> = spec
            .tasks
            .iter()
            .zip(priorities)
            .zip(decide)
            .map(|((t, prio), decides_run)| TaskNode {
                rule: t.trigger_rule,
                depends_on_past: t.waits_for_past(),
                wait_for_downstream: t.wait_for_downstream,
                noop: t.is_knot(),
                latest_only: matches!(t.run, TaskKind::LatestOnly),
                // Airflow refuses what is both.
                setup: t.is_setup && !t.is_teardown,
                teardown: t.is_teardown,
                decides_run,
                waits: t.waits().is_some(),
                decides: matches!(&t.run, TaskKind::Python(python) if python.decides),
                prio,
            })
            .collect();
        let has_setups = nodes.iter().any(|node| node.setup || node.teardown);
        let waits_for_past = spec.tasks.iter().any(updraft_model::TaskSpec::waits_for_past);
        let (up, down) = (Edges::new(&up), Edges::new(&down));
        let watchers = if has_setups { scope::watchers(&nodes, &up, &down) } else { Edges::default() };
        Self { up, down, watchers, has_setups, nodes, waits_for_past, spec: Arc::new(spec) }
    }

    /// The spec that it was built from.
    pub fn spec(&self) -> &Arc<DagSpec> {
        &self.spec
    }
    /// How many tasks it has.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }
    /// Whether it has no tasks.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
    /// The tasks right before one.
    pub fn upstream(&self, task: u32) -> &[u32] {
        self.up.of(task)
    }
    /// The tasks right after one.
    pub fn downstream(&self, task: u32) -> &[u32] {
        self.down.of(task)
    }
    /// Whether any task is a setup or a teardown.
    pub fn has_setups(&self) -> bool {
        self.has_setups
    }
    /// The tasks that look at how one stands though no arrow joins them.
    pub(crate) fn watchers(&self, task: u32) -> &[u32] {
        if self.has_setups { self.watchers.of(task) } else { &[] }
    }
    /// The priority of a task: its weight, summed as its weight rule says.
    pub fn priority(&self, task: u32) -> i32 {
        self.nodes[task as usize].prio
    }
    /// Whether any task looks at the run before.
    pub fn waits_for_past(&self) -> bool {
        self.waits_for_past
    }
    /// Whether any task asks if its run is the newest.
    pub fn asks_for_latest(&self) -> bool {
        self.nodes.iter().any(|node| node.latest_only)
    }
    pub(crate) fn branch(&self, task: u32) -> Option<&BranchTask> {
        match &self.spec.tasks[task as usize].run {
            TaskKind::Branch(branch) => Some(branch),
            _ => None,
        }
    }
    /// Whether any task may leave out others.
    pub fn has_decisions(&self) -> bool {
        self.nodes.iter().any(|node| node.decides)
    }
    /// Whether this task may.
    pub fn decides(&self, task: u32) -> bool {
        self.nodes.get(task as usize).is_some_and(|node| node.decides)
    }
    /// The position of a task.
    pub fn position(&self, task_id: &str) -> Option<u32> {
        self.spec.tasks.iter().position(|t| t.task_id.as_str() == task_id).and_then(|i| u32::try_from(i).ok())
    }
    /// All tasks that come before (or, with `down`, after) the given ones, without them.
    pub fn closure(&self, of: &[u32], down: bool) -> Vec<u32> {
        let seen = scope::reach(if down { &self.down } else { &self.up }, self.len(), of);
        (0u32..).zip(seen).filter(|(task, hit)| *hit && !of.contains(task)).map(|(task, _)| task).collect()
    }

    /// The tasks that a setup stands for; what cleans up among them is to be left out.
    pub(crate) fn stands_for(&self, setup: u32) -> Vec<u32> {
        scope::stands_for(&self.nodes, &self.up, &self.down, setup)
    }

    pub(crate) fn node(&self, task: u32) -> &TaskNode {
        &self.nodes[task as usize]
    }
}

/// Weight sums over all descendants or ancestors, exactly: reachability in blocks of columns, so that the memory stays bounded and
/// 100,000 tasks take a fraction of a second.
fn priorities(spec: &DagSpec, up: &[Vec<u32>], down: &[Vec<u32>]) -> Vec<i32> {
    let own: Vec<i64> = spec.tasks.iter().map(|t| i64::from(t.priority_weight)).collect();
    let mut sums = own.clone();
    for (rule, towards, away) in [(WeightRule::Downstream, down, up), (WeightRule::Upstream, up, down)] {
        if spec.tasks.iter().any(|t| t.weight_rule == rule) {
            let reached = reachable_weight(&own, towards, away);
            for (task, weight) in reached.into_iter().enumerate() {
                if spec.tasks[task].weight_rule == rule {
                    sums[task] += weight;
                }
            }
        }
    }
    sums.into_iter().map(|sum| i32::try_from(sum).unwrap_or(if sum < 0 { i32::MIN } else { i32::MAX })).collect()
}

const BLOCK_WORDS: usize = 16;

fn reachable_weight(weights: &[i64], towards: &[Vec<u32>], away: &[Vec<u32>]) -> Vec<i64> {
    // Topological order in which everything a task reaches comes before it.
    let mut waits: Vec<usize> = towards.iter().map(Vec::len).collect();
    let mut order: Vec<u32> = (0u32..).zip(&waits).filter(|(_, w)| **w == 0).map(|(i, _)| i).collect();
    let mut next = 0;
    while next < order.len() {
        for back in &away[order[next] as usize] {
            waits[*back as usize] -= 1;
            if waits[*back as usize] == 0 {
                order.push(*back);
            }
        }
        next += 1;
    }
    let mut sums = vec![0i64; weights.len()];
    let columns = BLOCK_WORDS * 64;
    let mut bits = vec![[0u64; BLOCK_WORDS]; weights.len()];
    for (block, block_weights) in weights.chunks(columns).enumerate() {
        let first = block * columns;
        let even = block_weights.iter().all(|w| *w == block_weights[0]);
        for task in &order {
            let mut reached = [0u64; BLOCK_WORDS];
            for neighbour in &towards[*task as usize] {
                let neighbour = *neighbour as usize;
                for (word, of_neighbour) in reached.iter_mut().zip(bits[neighbour]) {
                    *word |= of_neighbour;
                }
                if (first..first + block_weights.len()).contains(&neighbour) {
                    let column = neighbour - first;
                    reached[column / 64] |= 1 << (column % 64);
                }
            }
            bits[*task as usize] = reached;
            sums[*task as usize] += if even {
                let count: u32 = reached.iter().map(|w| w.count_ones()).sum();
                i64::from(count) * block_weights[0]
            } else {
                (0..block_weights.len()).filter(|c| reached[c / 64] >> (c % 64) & 1 == 1).map(|c| block_weights[c]).sum()
            };
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::spec_of;

    #[test]
    fn priorities_count_every_descendant_once() {
        let graph = DagGraph::new(spec_of(&[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["b", "c"])]));
        let prio: Vec<i32> = (0..4).map(|t| graph.priority(t)).collect();
        assert_eq!(prio, [4, 2, 2, 1]);
    }

    #[test]
    fn priorities_hold_across_blocks_and_with_uneven_weights() {
        let ids: Vec<String> = (0..2500).map(|i| format!("t{i}")).collect();
        let mut spec = spec_of(&[]);
        for (i, id) in ids.iter().enumerate() {
            let mut task = updraft_model::TaskSpec::new(updraft_model::TaskId::new(id.as_str()).unwrap(), TaskKind::Empty);
            task.priority_weight = i32::try_from(i % 3).unwrap();
            if i > 0 {
                task.upstream.push(updraft_model::TaskId::new(ids[i - 1].as_str()).unwrap());
            }
            spec.tasks.push(task);
        }
        let graph = DagGraph::new(spec);
        let expected: i32 = (0..2500).map(|i| i % 3).sum();
        assert_eq!(graph.priority(0), expected);
        assert_eq!(graph.priority(2499), 2499 % 3);
    }

    #[test]
    fn closures() {
        let graph = DagGraph::new(spec_of(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("x", &[])]));
        assert_eq!(graph.closure(&[0], true), [1, 2]);
        assert_eq!(graph.closure(&[2], false), [0, 1]);
    }
}
