use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use updraft_model::state::moves;
use updraft_model::{RunState, TaskState};

use super::*;
use crate::plan::plan;
use crate::view::tests::{spec_of, view_of};
use crate::why::{Waiting, why};

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

/// Tasks as `spec_of` has them; a name that begins with `s` is a setup, with `t` a teardown, with `f` a teardown whose failure fails the run.
fn scoped(tasks: &[(&str, &[&str])]) -> DagSpec {
    let mut spec = spec_of(tasks);
    for task in &mut spec.tasks {
        task.is_setup = task.task_id.as_str().starts_with('s');
        task.is_teardown = task.task_id.as_str().starts_with(['t', 'f']);
        task.on_failure_fail_dagrun = task.task_id.as_str().starts_with('f');
        if task.is_teardown {
            task.trigger_rule = TriggerRule::AllDoneSetupSuccess;
        }
    }
    spec
}

/// Runs a DAG in which the named tasks end otherwise than well (`f`ailed, s`k`ipped). Returns what became of it and of its run.
fn run(spec: &DagSpec, ends: &[(&str, TaskState)]) -> (String, RunState) {
    let mut view = view_of(spec.clone());
    loop {
        let planned = plan(&mut view, NOW);
        let scheduled: Vec<u32> = planned.steps.iter().filter(|step| step.step == moves::SCHEDULE).map(|step| step.task).collect();
        if let Some((end, _)) = planned.end {
            let letter = |task: u32| match view.state(task) {
                TaskState::Success => 's',
                TaskState::Failed => 'f',
                TaskState::UpstreamFailed => 'u',
                TaskState::Skipped => 'k',
                _ => '?',
            };
            let all = spec.tasks.iter().zip(0u32..).map(|(task, at)| format!("{}={}", task.task_id, letter(at)));
            return (all.collect::<Vec<_>>().join(" "), end);
        }
        assert!(!scheduled.is_empty(), "nothing moves: {:?}", view.states);
        for task in scheduled {
            let id = spec.tasks[task as usize].task_id.as_str();
            view.apply(task, TaskState::Queued);
            view.apply(task, ends.iter().find(|(name, _)| *name == id).map_or(TaskState::Success, |(_, end)| *end));
        }
    }
}

fn check(spec: &DagSpec, ends: &[(&str, TaskState)], expected: &str, end: RunState) {
    assert_eq!(run(spec, ends), (expected.to_owned(), end), "{ends:?}");
}

#[test]
fn a_teardown_runs_whatever_became_of_the_work_if_a_setup_succeeded() {
    let one = scoped(&[("s", &[]), ("work", &["s"]), ("t", &["s", "work"])]);
    check(&one, &[], "s=s work=s t=s", RunState::Success);
    check(&one, &[("work", TaskState::Failed)], "s=s work=f t=s", RunState::Failed);
    check(&one, &[("work", TaskState::Skipped)], "s=s work=k t=s", RunState::Success);
    check(&one, &[("s", TaskState::Failed)], "s=f work=u t=u", RunState::Failed);
    check(&one, &[("s", TaskState::Skipped)], "s=k work=k t=k", RunState::Success);
    let two = scoped(&[("s1", &[]), ("s2", &[]), ("work", &["s1", "s2"]), ("t", &["s1", "s2", "work"])]);
    check(&two, &[("s1", TaskState::Failed)], "s1=f s2=s work=u t=s", RunState::Failed);
    check(&two, &[("s1", TaskState::Failed), ("s2", TaskState::Skipped)], "s1=f s2=k work=u t=u", RunState::Failed);
    check(&two, &[("s1", TaskState::Skipped), ("s2", TaskState::Skipped)], "s1=k s2=k work=k t=k", RunState::Success);
    // Without a setup before it, it is done when all before it is.
    check(&scoped(&[("work", &[]), ("t", &["work"])]), &[("work", TaskState::Failed)], "work=f t=s", RunState::Failed);
}

#[test]
fn a_teardown_does_not_decide_how_the_run_ended() {
    let mild = scoped(&[("s", &[]), ("work", &["s"]), ("t", &["s", "work"])]);
    check(&mild, &[("t", TaskState::Failed)], "s=s work=s t=f", RunState::Success);
    let strict = scoped(&[("s", &[]), ("work", &["s"]), ("f", &["s", "work"])]);
    check(&strict, &[("f", TaskState::Failed)], "s=s work=s f=f", RunState::Failed);
    // As in Airflow, work right before such a teardown is no leaf: the teardown decides, and it ended well.
    check(&strict, &[("work", TaskState::Failed)], "s=s work=f f=s", RunState::Success);
    // Of nothing but teardowns, the last one decides.
    let only = scoped(&[("t1", &[]), ("t2", &["t1"])]);
    check(&only, &[("t1", TaskState::Failed)], "t1=f t2=s", RunState::Success);
    check(&only, &[("t2", TaskState::Failed)], "t1=s t2=f", RunState::Failed);
}

#[test]
fn what_a_setup_stands_for_needs_it_without_an_arrow() {
    let mut spec = scoped(&[("s", &[]), ("a", &["s"]), ("b", &["a"]), ("t", &["s", "b"]), ("after", &["t"])]);
    spec.tasks[2].trigger_rule = TriggerRule::AllDone;
    spec.tasks[4].trigger_rule = TriggerRule::AllDone;
    check(&spec, &[("a", TaskState::Failed)], "s=s a=f b=s t=s after=s", RunState::Success);
    check(&spec, &[("s", TaskState::Failed)], "s=f a=u b=u t=u after=s", RunState::Failed);
    check(&spec, &[("s", TaskState::Skipped)], "s=k a=k b=k t=k after=s", RunState::Success);
    // A setup without a teardown stands for all that comes after it.
    spec.tasks[3].is_teardown = false;
    spec.tasks[3].trigger_rule = TriggerRule::AllDone;
    check(&spec, &[("s", TaskState::Failed)], "s=f a=u b=u t=s after=u", RunState::Failed);
    // What runs always looks at nothing.
    spec.tasks[4].trigger_rule = TriggerRule::Always;
    check(&spec, &[("s", TaskState::Failed)], "s=f a=u b=u t=s after=s", RunState::Success);
}

#[test]
fn a_task_waits_for_setups_that_are_farther_away() {
    // `b` could go on as soon as `x` succeeded; the setup before `a` is still at it.
    let mut spec = scoped(&[("s", &[]), ("a", &["s"]), ("x", &[]), ("b", &["a", "x"]), ("t", &["b", "s"])]);
    spec.tasks[3].trigger_rule = TriggerRule::OneSuccess;
    let mut view = view_of(spec);
    plan(&mut view, NOW);
    view.apply(0, TaskState::Queued);
    view.apply(2, TaskState::Success);
    assert!(plan(&mut view, NOW).is_empty());
    assert_eq!(why(&view, 3, NOW), [Waiting::Upstream { task_id: "s".to_owned(), state: "queued" }]);
    view.apply(0, TaskState::Success);
    let steps: Vec<u32> = plan(&mut view, NOW).steps.iter().map(|step| step.task).collect();
    assert_eq!(steps, [1, 3]);
}

#[test]
fn a_teardown_waits_for_all_between_its_setups_and_itself() {
    let mut spec = scoped(&[("s", &[]), ("slow", &["s"]), ("x", &[]), ("last", &["slow", "x"]), ("t", &["s", "last"])]);
    spec.tasks[2].upstream.push(updraft_model::TaskId::new("s").unwrap());
    spec.tasks[3].trigger_rule = TriggerRule::OneSuccess;
    let mut view = view_of(spec);
    for task in [0, 2, 3] {
        plan(&mut view, NOW);
        view.apply(task, TaskState::Queued);
        view.apply(task, TaskState::Success);
    }
    view.apply(1, TaskState::Queued);
    assert!(plan(&mut view, NOW).is_empty());
    assert_eq!(why(&view, 4, NOW), [Waiting::Upstream { task_id: "slow".to_owned(), state: "queued" }]);
    view.apply(1, TaskState::Failed);
    assert_eq!(plan(&mut view, NOW).steps.len(), 1);
}

#[test]
fn a_setup_that_a_person_deleted_holds_nothing_up() {
    let mut spec = scoped(&[("s", &[]), ("a", &["s"]), ("b", &["a"]), ("t", &["s", "b"])]);
    spec.tasks[1].trigger_rule = TriggerRule::AllDone;
    let mut view = view_of(spec);
    view.apply(0, TaskState::Removed);
    for task in [1, 2] {
        assert_eq!(plan(&mut view, NOW).steps.iter().map(|step| step.task).collect::<Vec<_>>(), [task]);
        view.apply(task, TaskState::Queued);
        view.apply(task, TaskState::Success);
    }
    assert_eq!(plan(&mut view, NOW).end, Some((RunState::Success, None)));
    assert_eq!(view.state(3), TaskState::UpstreamFailed);
}

fn names(graph: &DagGraph, of: &[&str], choose: impl Fn(&[u32]) -> Vec<u32>) -> String {
    let of: Vec<u32> = of.iter().map(|id| graph.position(id).unwrap()).collect();
    choose(&of).into_iter().map(|task| graph.spec().tasks[task as usize].task_id.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_clear_takes_setups_and_teardowns_along() {
    let graph = DagGraph::new(scoped(&[
        ("first", &[]),
        ("s", &["first"]),
        ("a", &["s"]),
        ("b", &["a"]),
        ("t", &["s", "b"]),
        ("s2", &[]),
        ("c", &["b", "s2"]),
        ("t2", &["c", "s2"]),
    ]));
    let cleared = |of: &[&str], up, down| names(&graph, of, |of| graph.cleared_with(of, up, down));
    assert_eq!(cleared(&["b"], false, false), "s t");
    assert_eq!(cleared(&["first"], false, false), "");
    // The first setup is not for what comes after its teardown's work.
    assert_eq!(cleared(&["c"], false, false), "s2 t2");
    assert_eq!(cleared(&["s"], false, false), "t");
    assert_eq!(cleared(&["t"], false, false), "");
    // What comes after brings its own setups; what comes before brings the teardowns of its setups.
    assert_eq!(cleared(&["a"], false, true), "s b t s2 c t2");
    assert_eq!(cleared(&["c"], true, false), "first s a b t s2 t2");
    assert_eq!(cleared(&["s"], false, true), "a b t s2 c t2");
    let marked = |of: &[&str], up, down| names(&graph, of, |of| graph.marked_with(of, up, down));
    assert_eq!(marked(&["a"], false, true), "b c");
    assert_eq!(marked(&["t"], true, false), "first s a b");
    assert_eq!(marked(&["b"], false, false), "");
}

/// What Airflow's definition of each says, word by word, without the ways in which it is worked out here.
struct Reference<'g>(&'g DagGraph);

impl Reference<'_> {
    fn relatives(&self, task: u32, down: bool) -> BTreeSet<u32> {
        self.0.closure(&[task], down).into_iter().collect()
    }
    fn teardowns_after(&self, task: u32) -> BTreeSet<u32> {
        self.0.downstream(task).iter().copied().filter(|other| self.0.node(*other).teardown).collect()
    }
    /// The setups before a task of which a teardown comes after it, or that have none.
    fn setups_of(&self, task: u32) -> BTreeSet<u32> {
        let after = self.relatives(task, true);
        let stands = |setup: &u32| self.teardowns_after(*setup).is_empty() || !self.teardowns_after(*setup).is_disjoint(&after);
        self.relatives(task, false).into_iter().filter(|other| self.0.node(*other).setup).filter(stands).collect()
    }
    fn watched(&self, task: u32) -> BTreeSet<u32> {
        let (node, direct) = (self.0.node(task), self.0.upstream(task));
        let far: BTreeSet<u32> = if node.rule == TriggerRule::Always {
            BTreeSet::new()
        } else if node.teardown {
            let setups = direct.iter().filter(|other| self.0.node(**other).setup);
            setups.flat_map(|setup| self.relatives(*setup, true)).filter(|other| self.relatives(task, false).contains(other)).collect()
        } else {
            self.setups_of(task)
        };
        far.into_iter().filter(|other| !direct.contains(other)).collect()
    }
    fn cleared_with(&self, of: &[u32], up: bool, down: bool) -> BTreeSet<u32> {
        let mut all = BTreeSet::new();
        let with_setups = |all: &mut BTreeSet<u32>, task: u32| {
            if !self.0.node(task).setup && !self.0.node(task).teardown {
                for setup in self.setups_of(task) {
                    all.insert(setup);
                    all.extend(self.teardowns_after(setup));
                }
            }
        };
        for task in of {
            if down {
                for after in self.relatives(*task, true) {
                    all.insert(after);
                    if !of.contains(&after) {
                        with_setups(&mut all, after);
                    }
                }
            }
            if up {
                for before in self.relatives(*task, false) {
                    all.insert(before);
                    if self.0.node(before).setup {
                        all.extend(self.teardowns_after(before));
                    }
                }
            } else {
                with_setups(&mut all, *task);
            }
            if self.0.node(*task).setup && !down {
                all.extend(self.teardowns_after(*task));
            }
        }
        all.into_iter().filter(|task| !of.contains(task)).collect()
    }
}

fn any_scoped() -> impl Strategy<Value = DagSpec> {
    let letters = prop::sample::select(vec!["s", "t", "f", "w", "w", "w"]);
    let rules = prop::sample::select(vec![TriggerRule::AllSuccess, TriggerRule::AllDone, TriggerRule::OneSuccess, TriggerRule::Always]);
    prop::collection::vec((letters, rules, any::<u16>()), 1..12).prop_map(|tasks| {
        let ids: Vec<String> = tasks.iter().enumerate().map(|(at, (letter, ..))| format!("{letter}{at}")).collect();
        let ups: Vec<Vec<&str>> =
            (0..tasks.len()).map(|at| (0..at).filter(|up| tasks[at].2 >> up & 1 == 1).map(|up| ids[up].as_str()).collect()).collect();
        let all: Vec<(&str, &[&str])> = ids.iter().zip(&ups).map(|(id, ups)| (id.as_str(), ups.as_slice())).collect();
        let mut spec = scoped(&all);
        for (task, (letter, rule, _)) in spec.tasks.iter_mut().zip(&tasks) {
            if *letter == "w" || *rule == TriggerRule::Always {
                task.trigger_rule = *rule;
            }
        }
        spec
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// What is worked out once for a version is what Airflow's definitions say of each task.
    #[test]
    fn the_definitions_hold(spec in any_scoped(), of in any::<u16>(), up in any::<bool>(), down in any::<bool>()) {
        let graph = Arc::new(DagGraph::new(spec));
        let reference = Reference(&graph);
        let tasks: Vec<u32> = (0..u32::try_from(graph.len()).unwrap()).collect();
        for task in &tasks {
            let watched_here: BTreeSet<u32> = watched(&graph, *task).into_iter().collect();
            prop_assert_eq!(watched_here, reference.watched(*task), "{}", task);
        }
        let of: Vec<u32> = tasks.into_iter().filter(|task| of >> task & 1 == 1).collect();
        let cleared: BTreeSet<u32> = graph.cleared_with(&of, up, down).into_iter().collect();
        prop_assert_eq!(cleared, reference.cleared_with(&of, up, down));
    }
}
