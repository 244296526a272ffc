//! Every way to end: its reason is told, from the right budget, and none is taken for success.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Standalone, encode, processes_with};

const ENDS: &str = r#"
dag_id: ends
schedule: null
tasks:
  exits: {bash_command: "exit 3"}
  signalled: {bash_command: "kill -KILL $$"}
  times_out: {bash_command: "sleep 600", execution_timeout: 1s}
  missing: {image: none, cmds: [no-such-command-anywhere]}
  no_command: {image: busybox}
  hungry:
    image: none
    cmds: [python3, -c, "x = bytearray(400 * 1024 * 1024); print(len(x))"]
    container_resources: {limits: {memory: 64Mi}}
  undefined: {bash_command: "echo {{ no_such_name }}"}
  skips: {bash_command: "exit 99"}
  retried: {bash_command: "exit 1", retries: 2, retry_delay: 0}
  polite: {bash_command: "trap 'exit 0' TERM; echo ready; sleep 600 & wait", execution_timeout: 1s}
  good: {bash_command: "echo fine"}
"#;

#[test]
fn every_end_has_its_reason() {
    let server = Standalone::start(&[("ends.yaml", ENDS)], &[]);
    server.until_dag("ends");
    let run = server.trigger("ends");
    assert_eq!(server.end_of("ends", &run, Duration::from_secs(90)), "failed");
    let states = server.cli_json(&["tasks", "states", "ends", &run, "-o", "json"]);
    let state_of = |task: &str| {
        states.as_array().unwrap().iter().find(|t| t["task_id"] == task).unwrap_or_else(|| panic!("{task} in {states}")).clone()
    };
    for (task, state, reason, budget) in [
        ("exits", "failed", "exit_code", json!("user")),
        ("signalled", "failed", "signal", json!("user")),
        ("times_out", "failed", "timeout", json!("user")),
        ("missing", "failed", "cannot_start", json!("user")),
        ("no_command", "failed", "cannot_start", json!("user")),
        ("hungry", "failed", "oom_killed", json!("user")),
        ("retried", "failed", "exit_code", json!("user")),
        ("polite", "failed", "timeout", json!("user")),
    ] {
        let row = state_of(task);
        assert_eq!((row["state"].as_str(), row["reason"].as_str()), (Some(state), Some(reason)), "{task}: {row}");
        let why = server.cli_json(&["why", "ends", &run, task, "-o", "json"]);
        assert_eq!(why["budget"], budget, "{task}: {why}");
        assert!(why["message"].as_str().is_some_and(|m| m.len() > 10), "{task}: {why}");
    }
    assert_eq!(state_of("undefined")["reason"], "render_error");
    assert!(state_of("undefined")["message"].as_str().unwrap().contains("no_such_name"), "{}", state_of("undefined"));
    assert_eq!(state_of("skips")["state"], "skipped");
    assert_eq!(state_of("good")["state"], "success");
    assert_eq!(server.instance("ends", &run, "retried")["try_number"], 3);
    assert!(processes_with("sleep 600").is_empty(), "a child of a stopped command lives on");
}

const NEEDS_AIRFLOW: &str = r#"
from airflow.operators.bash import BashOperator
from airflow.providers.amazon.aws.operators.s3 import S3ListOperator
from airflow.sdk import DAG

with DAG("theirs"):
    S3ListOperator(task_id="list", bucket="b", retries=3) >> BashOperator(task_id="after", bash_command="true")
    BashOperator.partial(task_id="many").expand(bash_command=["true", "false"])
    BashOperator(task_id="ours", bash_command="true")
"#;

#[test]
fn what_only_airflow_can_do_fails_at_once_and_says_so() {
    let server = Standalone::start(&[("theirs.py", NEEDS_AIRFLOW)], &[]);
    server.until_dag("theirs");
    let run = server.trigger("theirs");
    assert_eq!(server.end_of("theirs", &run, Duration::from_secs(60)), "failed");
    let states = server.cli_json(&["tasks", "states", "theirs", &run, "-o", "json"]);
    let state_of = |task: &str| states.as_array().unwrap().iter().find(|t| t["task_id"] == task).unwrap().clone();
    for (task, why) in [("list", "S3ListOperator is Airflow's own code"), ("many", "BashOperator is a mapped task")] {
        let row = state_of(task);
        assert_eq!((&row["state"], &row["reason"]), (&json!("failed"), &json!("needs_airflow")), "{row}");
        assert!(row["message"].as_str().unwrap().contains(why), "{row}");
    }
    assert_eq!(state_of("after")["state"], "upstream_failed");
    assert_eq!(state_of("ours")["state"], "success");
}

#[test]
fn a_cancelled_task_is_stopped_with_its_children() {
    let dag = "dag_id: slow\nschedule: null\ntasks:\n  sleeps: {bash_command: 'sleep 3601 & sleep 3602', retries: 5}\n  after: {needs: [sleeps], bash_command: 'true'}\n";
    let server = Standalone::start(&[("slow.yaml", dag)], &[]);
    server.until_dag("slow");
    let run = server.trigger("slow");
    server.until(Duration::from_secs(30), "both sleeps run", || {
        !processes_with("sleep\x003601").is_empty() && !processes_with("sleep\x003602").is_empty()
    });
    let (status, body) = {
        // Airflow's way to cancel: mark the run failed.
        let path = format!("/api/v2/dags/slow/dagRuns/{}", encode(&run));
        server.patch(&path, &json!({"state": "failed"}))
    };
    assert_eq!(status, 200, "{body}");
    server.until(Duration::from_secs(20), "the task is stopped", || {
        processes_with("sleep\x003601").is_empty() && processes_with("sleep\x003602").is_empty()
    });
    assert_eq!(server.end_of("slow", &run, Duration::from_secs(20)), "failed");
    server.until(Duration::from_secs(20), "it has failed", || server.instance("slow", &run, "sleeps")["state"] == "failed");
    // A cancelled task is not retried, whatever is left of its retries.
    assert_eq!(server.instance("slow", &run, "sleeps")["try_number"], 1);
}

#[test]
fn a_run_that_takes_too_long_is_stopped_by_the_clock() {
    let dag = "dag_id: late\nschedule: null\ndagrun_timeout: 2s\ntasks:\n  sleeps: {bash_command: 'sleep 3604'}\n  after: {needs: [sleeps], bash_command: 'true'}\n";
    let server = Standalone::start(&[("late.yaml", dag)], &[]);
    server.until_dag("late");
    let run = server.trigger("late");
    assert_eq!(server.end_of("late", &run, Duration::from_secs(20)), "failed");
    for task in ["sleeps", "after"] {
        assert_eq!(server.instance("late", &run, task)["state"], "skipped", "{task}");
    }
    assert!(processes_with("sleep\x003604").is_empty(), "the command lives on");
}

#[test]
fn a_dag_that_keeps_failing_is_paused() {
    let dag = "dag_id: broken\nschedule: null\nmax_consecutive_failed_dag_runs: 2\ntasks:\n  fails: {bash_command: 'exit 1'}\n";
    let server = Standalone::start(&[("broken.yaml", dag)], &[]);
    server.until_dag("broken");
    for _ in 0..2 {
        assert_eq!(server.get("/api/v2/dags/broken").unwrap()["is_paused"], false);
        let run = server.trigger("broken");
        assert_eq!(server.end_of("broken", &run, Duration::from_secs(20)), "failed");
    }
    server.until(Duration::from_secs(10), "it is paused", || server.get("/api/v2/dags/broken").unwrap()["is_paused"] == true);
}

/// Runs that were made up for do not do again what only the newest should do.
#[test]
fn only_the_newest_run_goes_on_behind_latest_only() {
    const DAG: &str = r#"
from datetime import datetime
from airflow.operators.bash import BashOperator
from airflow.operators.latest_only import LatestOnlyOperator
from airflow.sdk import DAG

with DAG("newest", schedule="@yearly", start_date=datetime(2023, 1, 1), catchup=True):
    LatestOnlyOperator(task_id="only") >> BashOperator(task_id="tell", bash_command="echo told")
    BashOperator(task_id="count", bash_command="echo counted")
"#;
    let server = Standalone::start(&[("newest.py", DAG)], &[]);
    server.until_dag("newest");
    let by_hand = server.trigger("newest");
    let runs = || server.get("/api/v2/dags/newest/dagRuns?run_type=scheduled&order_by=logical_date").unwrap()["dag_runs"].clone();
    server.until(Duration::from_secs(60), "all runs are over", || {
        runs().as_array().is_some_and(|runs| runs.len() >= 4 && runs.iter().all(|run| run["state"] == "success"))
    });
    assert_eq!(server.end_of("newest", &by_hand, Duration::from_secs(60)), "success");
    let state = |run: &str, task: &str| server.instance("newest", run, task)["state"].clone();
    let runs = runs();
    let runs: Vec<&str> = runs.as_array().unwrap().iter().filter_map(|run| run["dag_run_id"].as_str()).collect();
    for (at, run) in runs.iter().chain([&by_hand.as_str()]).enumerate() {
        let told = if at + 1 < runs.len() { "skipped" } else { "success" };
        assert_eq!(
            (state(run, "only"), state(run, "tell"), state(run, "count")),
            (json!("success"), json!(told), json!("success")),
            "{run}"
        );
    }
    let skipped = server.cli_json(&["tasks", "states", "newest", runs[0], "-o", "json"]);
    let skipped = skipped.as_array().unwrap().iter().find(|task| task["task_id"] == "tell").unwrap();
    assert_eq!(skipped["reason"], "latest_only");
    assert!(skipped["message"].as_str().unwrap().contains("not the newest"), "{skipped}");
}
