use std::sync::Arc;

use updraft_model::{Semantics, TaskId, TaskKind, TaskSpec};

use super::*;

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

const DAY: u64 = 86_400_000;

fn run(zone: &str) -> RunFacts {
    let mut dag = crate::view::tests::spec_of(&[]);
    dag.timezone = zone.to_owned();
    RunFacts::new(Arc::new(dag), Semantics::Airflow3, "r", time("2026-11-27T06:00:00Z"))
}

fn sensor(what: WaitFor) -> WaitTask {
    WaitTask { what, poke_interval_ms: 60_000, timeout_ms: Some(7 * DAY), soft_fail: false, exponential_backoff: false, max_wait_ms: None }
}

fn at(what: WaitFor, run: &RunFacts, since: &str) -> Option<DateTime<Utc>> {
    match by_clock(&what, run, time(since)).unwrap().unwrap() {
        Found::At(at, _) => at,
        other => panic!("{other:?}"),
    }
}

#[test]
fn clocks_tell_when() {
    let (utc, berlin) = (run("UTC"), run("Europe/Berlin"));
    let since = "2026-11-27T22:30:00Z";
    let moment = |text: &str| WaitFor::Moment { target_time: text.to_owned() };
    for (text, expect) in [
        ("2026-11-28T01:00:00+01:00", "2026-11-28T00:00:00Z"),
        ("2026-11-28 01:00:00+01:00", "2026-11-28T00:00:00Z"),
        ("2026-11-28T01:00:00.5", "2026-11-28T01:00:00.5Z"),
        ("2026-11-28", "2026-11-28T00:00:00Z"),
    ] {
        // Without a zone it is UTC, whatever the DAG's.
        assert_eq!(at(moment(text), &berlin, since), Some(time(expect)), "{text}");
    }
    assert!(by_clock(&moment("soon"), &utc, time(since)).unwrap_err().contains("soon"));
    // 23:30 of the 27th in Berlin.
    let of_day = |text: &str| WaitFor::TimeOfDay { target_time: text.to_owned() };
    assert_eq!(at(of_day("23:45:00"), &berlin, since), Some(time("2026-11-27T22:45:00Z")));
    assert_eq!(at(of_day("00:15:00"), &berlin, since), Some(time("2026-11-26T23:15:00Z")));
    assert_eq!(at(of_day("23:45:00"), &utc, since), Some(time("2026-11-27T23:45:00Z")));
    let mut with_interval = run("UTC");
    assert_eq!(at(WaitFor::Delta { delta_ms: 1000 }, &with_interval, since), Some(time("2026-11-27T06:00:01Z")));
    with_interval.data_interval_end = Some(time("2026-11-27T00:00:00Z"));
    assert_eq!(at(WaitFor::Delta { delta_ms: 1000 }, &with_interval, since), Some(time("2026-11-27T00:00:01Z")));
    assert_eq!(at(WaitFor::Duration { duration_ms: 90_000 }, &utc, since), Some(time("2026-11-27T22:31:30Z")));
}

#[test]
fn days_of_the_week_are_those_of_utc() {
    // A Friday.
    let since = "2026-11-27T22:30:00Z";
    let days = |days: &[u8], of_logical_date| WaitFor::Weekday { days: days.to_vec(), of_logical_date };
    assert_eq!(at(days(&[5], false), &run("Asia/Tokyo"), since), Some(time(since)));
    assert_eq!(at(days(&[1, 7], false), &run("UTC"), since), Some(time("2026-11-29T00:00:00Z")));
    assert_eq!(at(days(&[4], true), &run("UTC"), since), None);
    assert!(matches!(by_clock(&days(&[5], true), &run("UTC"), time(since)), Ok(Some(Found::There(_)))));
}

#[test]
fn limits_end_a_wait() {
    let since = time("2026-11-27T00:00:00Z");
    let wait = sensor(WaitFor::Duration { duration_ms: 30 * DAY });
    let never = || Found::At(None, "x".to_owned());
    let end = since + TimeDelta::days(7);
    let at = |next: Next| match next {
        Next::Wait { at, .. } => at,
        other => panic!("{other:?}"),
    };
    assert_eq!(at(weigh(&wait, None, since, since, never())), end);
    assert_eq!(at(weigh(&wait, Some(DAY), since, since, never())), since + TimeDelta::days(1));
    assert!(matches!(weigh(&wait, None, since, end, never()), Next::Fail { reason: "sensor_timeout", again: false, .. }));
    assert!(matches!(weigh(&wait, Some(DAY), since, end, never()), Next::Fail { reason: "timeout", again: true, .. }));
    // What is there at the last moment is there.
    assert!(matches!(weigh(&wait, None, since, end, Found::At(Some(end), String::new())), Next::Succeed { .. }));
    let soft = WaitTask { soft_fail: true, ..wait.clone() };
    assert!(matches!(weigh(&soft, None, since, end, never()), Next::Skip { reason: "sensor_timeout", .. }));
    assert!(matches!(weigh(&soft, None, since, since, Found::Failed("gone", String::new())), Next::Skip { reason: "gone", .. }));
    assert!(matches!(weigh(&wait, None, since, since, Found::Failed("gone", String::new())), Next::Fail { again: true, .. }));
    let patient = WaitTask { timeout_ms: None, ..wait };
    assert_eq!(at(weigh(&patient, None, since, end, never())), DateTime::<Utc>::MAX_UTC);
}

#[test]
fn looks_have_their_pause() {
    let since = time("2026-11-27T00:00:00Z");
    let at = |wait: &WaitTask, seconds: i64| match weigh(
        wait,
        None,
        since,
        since + TimeDelta::seconds(seconds),
        Found::LookAgain(String::new()),
    ) {
        Next::Wait { at, .. } => (at - since).num_seconds() - seconds,
        other => panic!("{other:?}"),
    };
    let wait = sensor(WaitFor::External(ExternalTasks::default()));
    assert_eq!([0, 600].map(|s| at(&wait, s)), [60, 60]);
    let growing = WaitTask { exponential_backoff: true, max_wait_ms: Some(300_000), ..wait };
    assert_eq!([0, 60, 120, 600].map(|s| at(&growing, s)), [60, 60, 120, 300]);
}

#[test]
fn states_of_others_decide() {
    let external = ExternalTasks {
        external_dag_id: "up".to_owned(),
        external_task_ids: vec!["a".to_owned(), "b".to_owned()],
        allowed_states: vec!["success".to_owned()],
        skipped_states: vec!["skipped".to_owned()],
        failed_states: vec!["failed".to_owned(), "upstream_failed".to_owned()],
        ..ExternalTasks::default()
    };
    let look = |states: &[&str]| by_states(&external, &states.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>(), 2, DateTime::UNIX_EPOCH);
    assert!(matches!(look(&["success", "success"]), Found::There(_)));
    assert!(matches!(look(&["success", "running"]), Found::LookAgain(_)));
    assert!(matches!(look(&[]), Found::LookAgain(_)));
    assert!(matches!(look(&["skipped", "running"]), Found::Skipped(..)));
    // A failure counts more.
    assert!(matches!(look(&["skipped", "upstream_failed"]), Found::Failed(..)));
}

#[test]
fn groups_hold_what_is_in_groups_of_theirs() {
    let mut dag = crate::view::tests::spec_of(&[]);
    dag.task_groups =
        serde_json::from_value(serde_json::json!([{"group_id": "g"}, {"group_id": "g.h", "parent": "g"}, {"group_id": "i"}])).unwrap();
    for (id, group) in [("a", None), ("g.b", Some("g")), ("g.h.c", Some("g.h")), ("i.d", Some("i"))] {
        let mut task = TaskSpec::new(TaskId::new(id).unwrap(), TaskKind::Empty);
        task.task_group = group.map(str::to_owned);
        dag.tasks.push(task);
    }
    assert_eq!(tasks_of_group(&dag, "g"), Some(vec![1, 2]));
    assert_eq!(tasks_of_group(&dag, "x"), None);
}
