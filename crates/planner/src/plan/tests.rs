use std::sync::Arc;

use proptest::prelude::*;
use updraft_model::{DagSpec, TaskId, TaskKind, TriggerRule};

use super::*;
use crate::graph::DagGraph;
use crate::view::tests::{spec_of, view_of};
use crate::view::{InstanceState, Past};
use crate::why::{Waiting, why};

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn names(view: &RunView, moves: &Moves) -> Vec<String> {
    moves.steps.iter().map(|s| format!("{} {}", view.graph.spec().tasks[s.task as usize].task_id, s.step.name())).collect()
}

/// Runs every scheduled task to an end given by `outcome`, until nothing moves any more. Returns the tasks in the order of their starts.
fn run_to_end(view: &mut RunView, mut outcome: impl FnMut(u32) -> TaskState) -> (Vec<u32>, Option<RunState>) {
    let mut started = Vec::new();
    let mut end = None;
    loop {
        let moves = plan(view, NOW);
        end = end.or_else(|| moves.end.map(|e| e.0));
        let scheduled: Vec<u32> = moves.steps.iter().filter(|s| s.step == moves::SCHEDULE).map(|s| s.task).collect();
        if scheduled.is_empty() {
            return (started, end);
        }
        for task in scheduled {
            started.push(task);
            view.apply(task, TaskState::Queued);
            view.apply(task, outcome(task));
        }
    }
}

#[test]
fn a_diamond_goes_in_order() {
    let mut view = view_of(spec_of(&[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["b", "c"])]));
    let first = plan(&mut view, NOW);
    assert_eq!(names(&view, &first), ["a SCHEDULE"]);
    view.apply(0, TaskState::Success);
    let second = plan(&mut view, NOW);
    assert_eq!(names(&view, &second), ["b SCHEDULE", "c SCHEDULE"]);
    view.apply(1, TaskState::Success);
    assert!(plan(&mut view, NOW).is_empty());
    view.apply(2, TaskState::Success);
    let third = plan(&mut view, NOW);
    assert_eq!(names(&view, &third), ["d SCHEDULE"]);
    view.apply(3, TaskState::Success);
    assert_eq!(plan(&mut view, NOW).end, Some((RunState::Success, None)));
}

#[test]
fn a_failure_flows_down_and_fails_the_run() {
    let mut view = view_of(spec_of(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("x", &[])]));
    let (started, end) = run_to_end(&mut view, |task| if task == 0 { TaskState::Failed } else { TaskState::Success });
    assert_eq!(started, [0, 3]);
    assert_eq!(end, Some(RunState::Failed));
    assert_eq!(view.state(2), TaskState::UpstreamFailed);
}

#[test]
fn a_failure_that_a_leaf_handles_does_not_fail_the_run() {
    let mut spec = spec_of(&[("a", &[]), ("cleanup", &["a"])]);
    spec.tasks[1].trigger_rule = TriggerRule::AllDone;
    let mut view = view_of(spec);
    let (_, end) = run_to_end(&mut view, |task| if task == 0 { TaskState::Failed } else { TaskState::Success });
    assert_eq!(end, Some(RunState::Success));
}

#[test]
fn empty_operators_end_without_a_worker() {
    let ids: Vec<String> = (0..10_000).map(|i| format!("t{i}")).collect();
    let tasks: Vec<(&str, Vec<&str>)> =
        ids.iter().enumerate().map(|(i, id)| (id.as_str(), if i == 0 { vec![] } else { vec![ids[i - 1].as_str()] })).collect();
    let borrowed: Vec<(&str, &[&str])> = tasks.iter().map(|(id, ups)| (*id, ups.as_slice())).collect();
    let mut spec = spec_of(&borrowed);
    for task in &mut spec.tasks {
        task.run = TaskKind::Empty;
    }
    let mut view = view_of(spec);
    let moves = plan(&mut view, NOW);
    assert_eq!(moves.steps.len(), 10_000);
    assert_eq!(moves.end, Some((RunState::Success, None)));
}

#[test]
fn only_the_newest_run_goes_on_behind_latest_only() {
    let mut spec =
        spec_of(&[("only", &[]), ("next", &["only"]), ("after", &["next"]), ("always", &["only"]), ("beside", &[]), ("done", &["next"])]);
    spec.tasks[0].run = TaskKind::LatestOnly;
    // Airflow skips the tasks right behind it whatever their rule, and what comes after those follows its own.
    spec.tasks[3].trigger_rule = TriggerRule::Always;
    spec.tasks[5].trigger_rule = TriggerRule::AllDone;
    let later = Some(NOW + chrono::TimeDelta::seconds(1));
    for until in [None, later, Some(NOW)] {
        let (started, end) = run_to_end(&mut view_of(spec.clone()).latest_until(until), |_| TaskState::Success);
        assert_eq!((started.len(), end), (5, Some(RunState::Success)), "{until:?}");
    }
    let mut view = view_of(spec).latest_until(Some(NOW - chrono::TimeDelta::microseconds(1)));
    let moves = plan(&mut view, NOW);
    let reason = |task: u32| moves.steps.iter().find(|step| step.task == task && step.step == moves::SKIP).and_then(|step| step.reason);
    assert_eq!([1, 2, 3].map(reason), [Some("latest_only"), Some("trigger_rule"), Some("latest_only")]);
    assert_eq!(names(&view, &moves), ["only COMPLETE_NOOP", "next SKIP", "after SKIP", "always SKIP", "beside SCHEDULE", "done SCHEDULE"]);
}

#[test]
fn what_a_branch_does_not_follow_is_skipped_whatever_its_rule() {
    let mut spec = spec_of(&[("choose", &[]), ("a", &["choose"]), ("b", &["choose"]), ("always", &["choose"]), ("join", &["a", "b"])]);
    spec.tasks[0].run = TaskKind::Python(Box::new(updraft_model::dag::PythonTask { decides: true, ..Default::default() }));
    spec.tasks[3].trigger_rule = TriggerRule::Always;
    spec.tasks[4].trigger_rule = TriggerRule::NoneFailedMinOneSuccess;
    let decision = serde_json::json!({"followed": ["a"]});
    let mut view = view_of(spec.clone());
    // A rule that waits for nobody lets a task start before the branch has said anything.
    assert_eq!(names(&view_of(spec.clone()), &plan(&mut view, NOW)), ["choose SCHEDULE", "always SCHEDULE"]);
    spec.tasks[3].trigger_rule = TriggerRule::AllDone;
    let mut view = view_of(spec.clone());
    plan(&mut view, NOW);
    view.apply(0, TaskState::Success);
    view.decided(0, &decision);
    let moves = plan(&mut view, NOW);
    assert_eq!(names(&view, &moves), ["a SCHEDULE", "b SKIP", "always SKIP"]);
    assert!(moves.steps.iter().filter(|step| step.step == moves::SKIP).all(|step| step.reason == Some("branch")));
    // Whoever loads the run anew decides the same, and so does whoever clears what was left out.
    let states = [(0, TaskState::Success), (1, TaskState::Queued)].map(|(task, state)| InstanceState { task, state, not_before: None });
    let mut loaded = RunView::new(std::sync::Arc::clone(view.graph()), RunState::Running, states, None, None);
    loaded.decided(0, &decision);
    assert_eq!(why(&loaded, 2, NOW), [Waiting::Never { rule: "branch", becomes: "skipped" }]);
    assert_eq!(names(&loaded, &plan(&mut loaded.clone(), NOW)), ["b SKIP", "always SKIP"]);
    // A branch that is cleared has decided nothing.
    loaded.apply(0, TaskState::None);
    assert_eq!(names(&loaded, &plan(&mut loaded.clone(), NOW)), ["choose SCHEDULE"]);
    // The join runs after the one that was followed.
    view.apply(1, TaskState::Success);
    assert_eq!(names(&view, &plan(&mut view.clone(), NOW)), ["join SCHEDULE"]);
}

#[test]
fn a_short_circuit_leaves_out_all_that_it_names() {
    let mut spec = spec_of(&[("short", &[]), ("next", &["short"]), ("last", &["next", "other"]), ("other", &[])]);
    spec.tasks[0].run = TaskKind::Python(Box::new(updraft_model::dag::PythonTask { decides: true, ..Default::default() }));
    spec.tasks[2].trigger_rule = TriggerRule::AllDone;
    let mut view = view_of(spec);
    plan(&mut view, NOW);
    view.apply(0, TaskState::Success);
    view.decided(0, &serde_json::json!({"skipped": "downstream"}));
    assert_eq!(names(&view, &plan(&mut view.clone(), NOW)), ["next SKIP", "last SKIP"]);
}

#[test]
fn a_dag_without_tasks_ends_at_once() {
    assert_eq!(plan(&mut view_of(spec_of(&[])), NOW).end, Some((RunState::Success, None)));
}

#[test]
fn retries_wait_for_their_time() {
    let mut view = view_of(spec_of(&[("a", &[])]));
    plan(&mut view, NOW);
    view.apply(0, TaskState::Queued);
    view.apply(0, TaskState::UpForRetry);
    assert!(plan(&mut view, NOW).is_empty());
    assert_eq!(why(&view, 0, NOW), [Waiting::Until { at: None }]);
    view.due(0);
    assert_eq!(names(&view.clone(), &plan(&mut view, NOW)), ["a SCHEDULE"]);

    let later = NOW + chrono::TimeDelta::seconds(5);
    let loaded = [InstanceState { task: 0, state: TaskState::UpForRetry, not_before: Some(later) }];
    let mut view = RunView::new(Arc::new(DagGraph::new(spec_of(&[("a", &[])]))), RunState::Running, loaded, None, None);
    assert!(plan(&mut view, NOW).is_empty());
    assert_eq!(why(&view, 0, NOW), [Waiting::Until { at: Some(later) }]);
    view.touched.insert(0);
    assert_eq!(plan(&mut view, later).steps.len(), 1);
}

#[test]
fn a_run_that_times_out_skips_what_waits_and_stops_what_lives() {
    let graph = Arc::new(DagGraph::new(spec_of(&[("a", &[]), ("b", &["a"])])));
    let deadline = NOW + chrono::TimeDelta::seconds(1);
    let mut view = RunView::new(graph, RunState::Running, [], Some(deadline), None);
    plan(&mut view, NOW);
    view.apply(0, TaskState::Queued);
    let moves = plan(&mut view, deadline);
    assert_eq!((names(&view, &moves), &moves.stop[..], moves.end), (vec!["b SKIP".to_owned()], &[0u32][..], None));
    assert!(plan(&mut view, deadline).is_empty(), "the stop is asked for once");
    view.apply(0, TaskState::Skipped);
    assert_eq!(plan(&mut view, deadline).end, Some((RunState::Failed, Some("dagrun_timeout"))));
}

#[test]
fn depends_on_past_waits_for_the_run_before() {
    let mut spec = spec_of(&[("a", &[]), ("b", &["a"])]);
    spec.tasks[0].wait_for_downstream = true;
    let graph = Arc::new(DagGraph::new(spec));
    let past = |a, b| Some(Past::from([("a".to_owned(), a), ("b".to_owned(), b)]));
    let mut view = RunView::new(graph, RunState::Running, [], None, past(TaskState::Success, TaskState::Queued));
    assert!(plan(&mut view, NOW).is_empty());
    assert_eq!(why(&view, 0, NOW), [Waiting::PastRun]);
    view.past_changed(past(TaskState::Success, TaskState::Failed));
    assert!(plan(&mut view, NOW).is_empty());
    view.past_changed(past(TaskState::Success, TaskState::Skipped));
    assert_eq!(names(&view.clone(), &plan(&mut view, NOW)), ["a SCHEDULE"]);
}

/// Every graph of up to four tasks, every combination of ends: the run ends, in order, and fails exactly when a leaf does (I1, I6).
#[test]
fn all_small_graphs_end() {
    let ids = ["a", "b", "c", "d"];
    for n in 1..=4usize {
        let pairs: Vec<(usize, usize)> = (0..n).flat_map(|to| (0..to).map(move |from| (from, to))).collect();
        for arrows in 0..1u32 << pairs.len() {
            let mut ups: Vec<Vec<&str>> = vec![Vec::new(); n];
            for (bit, (from, to)) in pairs.iter().enumerate() {
                if arrows >> bit & 1 == 1 {
                    ups[*to].push(ids[*from]);
                }
            }
            let tasks: Vec<(&str, &[&str])> = (0..n).map(|i| (ids[i], ups[i].as_slice())).collect();
            let graph = Arc::new(DagGraph::new(spec_of(&tasks)));
            for outcomes in 0..3usize.pow(u32::try_from(n).unwrap()) {
                let outcome = |task: u32| match outcomes / 3usize.pow(task) % 3 {
                    0 => TaskState::Success,
                    1 => TaskState::Failed,
                    _ => TaskState::Skipped,
                };
                let mut view = RunView::new(Arc::clone(&graph), RunState::Running, [], None, None);
                let (started, end) = run_to_end(&mut view, outcome);
                assert!(end.is_some(), "arrows {arrows:b} outcomes {outcomes}: no end");
                for task in &started {
                    for up in graph.upstream(*task) {
                        assert_eq!(view.state(*up), TaskState::Success);
                    }
                }
                let leaf_failed = (0..u32::try_from(n).unwrap())
                    .any(|t| graph.downstream(t).is_empty() && matches!(view.state(t), TaskState::Failed | TaskState::UpstreamFailed));
                assert_eq!(end == Some(RunState::Failed), leaf_failed);
            }
        }
    }
}

fn any_spec() -> impl Strategy<Value = DagSpec> {
    let rules = prop::sample::select(vec![
        TriggerRule::AllSuccess,
        TriggerRule::AllDone,
        TriggerRule::OneSuccess,
        TriggerRule::OneFailed,
        TriggerRule::OneDone,
        TriggerRule::NoneFailed,
        TriggerRule::NoneFailedMinOneSuccess,
        TriggerRule::NoneSkipped,
        TriggerRule::AllFailed,
        TriggerRule::AllSkipped,
        TriggerRule::AllDoneSetupSuccess,
        TriggerRule::Always,
    ]);
    // One in three is a setup or a teardown.
    let roles = prop::sample::select(vec!["setup", "teardown", "", "", "", ""]);
    prop::collection::vec((rules, any::<u16>(), any::<bool>(), roles), 1..14).prop_map(|tasks| {
        let mut spec = spec_of(&[]);
        for (i, (rule, arrows, empty, role)) in tasks.into_iter().enumerate() {
            let mut task = updraft_model::TaskSpec::new(TaskId::new(format!("t{i}")).unwrap(), TaskKind::Empty);
            if !empty {
                task.run = spec_of(&[("x", &[])]).tasks[0].run.clone();
            }
            task.trigger_rule = rule;
            task.is_setup = role == "setup";
            task.is_teardown = role == "teardown";
            task.upstream = (0..i).filter(|up| arrows >> up & 1 == 1).map(|up| TaskId::new(format!("t{up}")).unwrap()).collect();
            spec.tasks.push(task);
        }
        spec
    })
}

fn any_end() -> impl Strategy<Value = TaskState> {
    prop::sample::select(vec![TaskState::Success, TaskState::Failed, TaskState::Skipped])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The laws: moves are legal, a second plan is empty, a cached view and a fresh one decide the same, `why` says ready exactly for what
    /// would move, and the run ends.
    #[test]
    fn the_laws_of_planning(spec in any_spec(), ends in prop::collection::vec(any_end(), 14), order in any::<u64>()) {
        let graph = Arc::new(DagGraph::new(spec));
        let mut view = RunView::new(Arc::clone(&graph), RunState::Running, [], None, None);
        let mut live: Vec<u32> = Vec::new();
        let mut ended = false;
        for step in 0..200u64 {
            let before = view.clone();
            let moves = plan(&mut view, NOW);
            for planned in &moves.steps {
                prop_assert!(planned.step.allows(planned.from));
                if before.state(planned.task) == TaskState::None && planned.step == moves::SCHEDULE {
                    let direct = why(&before, planned.task, NOW);
                    // What cascades through empty operators in the same plan was not ready before it.
                    let cascaded = direct.iter().any(|w| matches!(w, Waiting::Upstream { .. }));
                    prop_assert!(direct == [Waiting::Ready] || cascaded);
                    live.push(planned.task);
                }
            }
            for task in 0..u32::try_from(graph.len()).unwrap() {
                if why(&before, task, NOW) == [Waiting::Ready] {
                    prop_assert!(moves.steps.iter().any(|s| s.task == task), "{task} was ready and did not move");
                }
            }
            prop_assert!(plan(&mut view.clone(), NOW).is_empty());
            let instances: Vec<_> = (0..u32::try_from(graph.len()).unwrap())
                .map(|task| InstanceState { task, state: view.state(task), not_before: None })
                .collect();
            let mut fresh = RunView::new(Arc::clone(&graph), view.run_state(), instances, None, None);
            prop_assert!(fresh == view, "fold(deltas) != load");
            let again = plan(&mut fresh, NOW);
            prop_assert!(again.steps.is_empty(), "a fresh view finds moves that the cached one missed: {again:?}");
            if moves.end.is_some() {
                ended = true;
                break;
            }
            prop_assert!(!live.is_empty(), "nothing is live and the run has not ended");
            let pick = usize::try_from((order.rotate_left(u32::try_from(step % 64).unwrap())) % live.len() as u64).unwrap();
            let task = live.swap_remove(pick);
            view.apply(task, TaskState::Queued);
            view.apply(task, ends[task as usize]);
        }
        prop_assert!(ended);
    }
}

fn wait_kind() -> TaskKind {
    serde_json::from_value(serde_json::json!({"kind": "wait", "what": {"kind": "duration", "duration_ms": 1000}})).unwrap()
}

#[test]
fn what_the_scheduler_waits_for_takes_no_slot() {
    let mut spec = spec_of(&[("a", &[]), ("wait", &["a"]), ("after", &["wait"])]);
    spec.tasks[1].run = wait_kind();
    let mut view = view_of(spec);
    plan(&mut view, NOW);
    view.apply(0, TaskState::Queued);
    view.apply(0, TaskState::Success);
    let moves = plan(&mut view, NOW);
    assert_eq!(names(&view, &moves), ["wait DEFER"]);
    assert_eq!((view.live(), why(&view, 1, NOW)), (0, vec![Waiting::Deferred]));
    assert!(plan(&mut view, NOW).is_empty());
    // Of a retry as well.
    view.apply(1, TaskState::UpForRetry);
    assert!(plan(&mut view, NOW).is_empty());
    view.due(1);
    let moves = plan(&mut view, NOW);
    assert_eq!(names(&view, &moves), ["wait DEFER"]);
    view.apply(1, TaskState::Success);
    let moves = plan(&mut view, NOW);
    assert_eq!(names(&view, &moves), ["after SCHEDULE"]);
}

#[test]
fn a_run_that_is_out_of_time_waits_no_more() {
    let mut spec = spec_of(&[("wait", &[])]);
    spec.tasks[0].run = wait_kind();
    let deadline = NOW + chrono::TimeDelta::seconds(1);
    let mut view = RunView::new(Arc::new(DagGraph::new(spec)), RunState::Running, [], Some(deadline), None);
    plan(&mut view, NOW);
    let moves = plan(&mut view, deadline);
    assert_eq!((names(&view, &moves), moves.end), (vec!["wait SKIP".to_owned()], Some((RunState::Failed, Some("dagrun_timeout")))));
}

#[test]
fn a_branch_leaves_out_what_no_followed_task_leads_to() {
    let branch = |if_true: &[&str]| -> TaskKind {
        serde_json::from_value(serde_json::json!({
            "kind": "branch", "test": {"kind": "between", "lower": "1970-01-01T00:00:00"}, "if_true": if_true, "if_false": ["no"],
        }))
        .unwrap()
    };
    // `both` is right after the branch and comes after a followed task too: it is not skipped.
    let mut spec =
        spec_of(&[("b", &[]), ("yes", &["b"]), ("no", &["b"]), ("both", &["b", "yes"]), ("eager", &["b"]), ("after_no", &["no"])]);
    spec.tasks[0].run = branch(&["yes"]);
    spec.tasks[4].trigger_rule = TriggerRule::Always;
    let mut view = view_of(spec.clone());
    let moves = plan(&mut view, NOW);
    assert_eq!(names(&view, &moves), ["b COMPLETE_NOOP", "yes SCHEDULE", "no SKIP", "eager SKIP", "after_no SKIP"]);
    let reason = |task: u32| moves.steps.iter().find(|step| step.task == task).and_then(|step| step.reason);
    assert_eq!([2, 4, 5].map(reason), [Some("branch"), Some("branch"), Some("trigger_rule")]);
    assert_eq!(view.state(3), TaskState::None);
    // The clock of the day before says no.
    let mut view = view_of(spec.clone());
    let moves = plan(&mut view, NOW - chrono::TimeDelta::days(1));
    assert_eq!(names(&view, &moves), ["b COMPLETE_NOOP", "yes SKIP", "no SCHEDULE", "both SKIP", "eager SKIP"]);
    // Its date may count instead.
    if let TaskKind::Branch(branch) = &mut spec.tasks[0].run {
        branch.of_logical_date = true;
    }
    let mut view = view_of(spec).logical_date(Some(NOW - chrono::TimeDelta::days(1)));
    assert_eq!(plan(&mut view, NOW).steps.len(), 5);
    assert_eq!(view.state(1), TaskState::Skipped);
}
