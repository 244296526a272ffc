//! What the scheduler does itself: sensors, branches by the time and runs of other DAGs, without a worker and through kill -9.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::Standalone;

const WAITS: &str = r#"
from datetime import datetime, time, timedelta
from airflow.operators.bash import BashOperator
from airflow.operators.empty import EmptyOperator
from airflow.operators.datetime import BranchDateTimeOperator
from airflow.operators.weekday import BranchDayOfWeekOperator
from airflow.sdk import DAG
from airflow.sensors.date_time import DateTimeSensor
from airflow.sensors.time_delta import TimeDeltaSensor, WaitSensor
from airflow.sensors.time_sensor import TimeSensorAsync
from airflow.sensors.weekday import DayOfWeekSensor

ALL = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]

with DAG("waits"):
    DateTimeSensor(task_id="past", target_time="{{ (data_interval_end - macros.timedelta(hours=1)).isoformat() }}")
    WaitSensor(task_id="short", time_to_wait=timedelta(seconds=2)) >> BashOperator(task_id="after", bash_command="echo went on")
    TimeDeltaSensor(task_id="delta", delta=timedelta(seconds=1))
    TimeSensorAsync(task_id="midnight", target_time=time(0, 0))
    DayOfWeekSensor(task_id="some_day", week_day=ALL)
    DateTimeSensor(task_id="too_late", target_time="2999-01-01", timeout=1, retries=3)
    DateTimeSensor(task_id="soft", target_time="2999-01-01", timeout=1, soft_fail=True)
    DateTimeSensor(task_id="slow", target_time="2999-01-01", execution_timeout=timedelta(seconds=1), retries=1, retry_delay=timedelta(0))
    DateTimeSensor(task_id="wrong", target_time="{{ no_such_name }}")
    DateTimeSensor(task_id="no_date", target_time="{{ ds }} at noon")
    branch = BranchDateTimeOperator(task_id="branch", follow_task_ids_if_true="yes", follow_task_ids_if_false=["no"],
                                    target_lower=datetime(2020, 1, 1), target_upper=None)
    yes, no, both = [EmptyOperator(task_id=name) for name in ("yes", "no", "both")]
    branch >> [yes, no, both]
    yes >> both
    day = BranchDayOfWeekOperator(task_id="day", week_day=ALL, follow_task_ids_if_true=[], follow_task_ids_if_false="never")
    day >> EmptyOperator(task_id="never", trigger_rule="always")
"#;

#[test]
fn sensors_of_times_end_as_in_airflow() {
    let server = Standalone::start(&[("waits.py", WAITS)], &[]);
    server.until_dag("waits");
    let run = server.trigger("waits");
    assert_eq!(server.end_of("waits", &run, Duration::from_secs(60)), "failed");
    let states = server.cli_json(&["tasks", "states", "waits", &run, "-o", "json"]);
    let row = |task: &str| states.as_array().unwrap().iter().find(|row| row["task_id"] == task).unwrap().clone();
    for (task, state, reason) in [
        ("past", "success", None),
        ("short", "success", None),
        ("after", "success", None),
        ("delta", "success", None),
        ("midnight", "success", None),
        ("some_day", "success", None),
        ("too_late", "failed", Some("sensor_timeout")),
        ("soft", "skipped", Some("sensor_timeout")),
        ("slow", "failed", Some("timeout")),
        ("wrong", "failed", Some("render_error")),
        ("no_date", "failed", Some("render_error")),
        ("branch", "success", None),
        ("yes", "success", None),
        ("no", "skipped", Some("branch")),
        ("both", "success", None),
        ("day", "success", None),
        ("never", "skipped", Some("branch")),
    ] {
        let row = row(task);
        assert_eq!((row["state"].as_str(), row["reason"].as_str().filter(|_| reason.is_some())), (Some(state), reason), "{task}: {row}");
    }
    let try_of = |task: &str| server.instance("waits", &run, task)["try_number"].clone();
    // A sensor that is out of time is not tried again; one whose attempt took too long is.
    assert_eq!((try_of("too_late"), try_of("slow"), try_of("short")), (json!(1), json!(2), json!(1)));
    assert!(row("wrong")["message"].as_str().unwrap().contains("no_such_name"), "{}", row("wrong"));
    let short = server.instance("waits", &run, "short");
    assert!(short["duration"].as_f64().unwrap() >= 2.0, "{short}");
    let why = server.cli_json(&["why", "waits", &run, "too_late", "-o", "json"]);
    assert!(why["summary"].as_str().unwrap().contains("waited for longer than its timeout"), "{why}");
}

const LONG: &str = r#"
from datetime import timedelta
from airflow.operators.bash import BashOperator
from airflow.sdk import DAG
from airflow.sensors.time_delta import WaitSensor
from airflow.sensors.date_time import DateTimeSensor

with DAG("long", dagrun_timeout=None):
    DateTimeSensor(task_id="wait", target_time="{{ dag_run.conf['until'] }}") >> BashOperator(task_id="after", bash_command="echo went on")

with DAG("hasty", dagrun_timeout=timedelta(seconds=1)):
    WaitSensor(task_id="wait", time_to_wait=60)
"#;

fn state(server: &Standalone, run: &str, task: &str) -> Value {
    server
        .get(&format!("/api/v2/dags/long/dagRuns/{}/taskInstances/{task}", crate::harness::encode(run)))
        .map_or(Value::Null, |row| row["state"].clone())
}

#[test]
fn what_waits_outlives_kill_9_and_obeys() {
    let mut server = Standalone::start(&[("long.py", LONG)], &[]);
    server.until_dag("long");
    let trigger = |server: &Standalone, name: &str, until: &str| {
        let body = json!({"logical_date": null, "dag_run_id": name, "conf": {"until": until}});
        let (status, answer) = server.post("/api/v2/dags/long/dagRuns", &body);
        assert_eq!(status, 200, "{answer}");
    };
    for name in ["cleared", "marked", "failed"] {
        trigger(&server, name, "2999-01-01");
    }
    let soon = chrono::Utc::now() + chrono::TimeDelta::seconds(6);
    trigger(&server, "killed", &soon.to_rfc3339());
    let all = ["cleared", "marked", "failed", "killed"];
    server.until(Duration::from_secs(30), "all wait", || all.iter().all(|run| state(&server, run, "wait") == "deferred"));
    let pool = server.get("/api/v2/pools/default_pool").unwrap();
    assert_eq!((&pool["deferred_slots"], &pool["occupied_slots"]), (&json!(4), &json!(0)), "{pool}");
    let why = server.cli_json(&["why", "long", "cleared", "wait", "-o", "json"]);
    assert_eq!(why["waiting"][0]["kind"], "deferred", "{why}");
    server.until(Duration::from_secs(30), "it says until when", || {
        let why = server.cli_json(&["why", "long", "cleared", "wait", "-o", "json"]);
        why["summary"].as_str().is_some_and(|summary| summary.contains("2999-01-01T00:00:00Z"))
    });

    server.kill_9();
    server.launch();
    server.until(Duration::from_secs(60), "the page answers", || server.get("/api/v2/dags/long").is_some());
    assert_eq!(server.end_of("long", "killed", Duration::from_secs(60)), "success");
    assert!(chrono::Utc::now() >= soon);
    assert_eq!(server.instance("long", "killed", "wait")["try_number"], 1);

    let (status, answer) = server.post(
        "/api/v2/dags/long/clearTaskInstances",
        &json!({"dag_run_id": "cleared", "task_ids": ["wait"], "dry_run": false, "only_failed": false}),
    );
    assert_eq!(status, 200, "{answer}");
    server.until(Duration::from_secs(30), "it waits anew", || {
        let row = server.instance("long", "cleared", "wait");
        row["state"] == "deferred" && row["try_number"] == 2
    });
    let (status, answer) = server.patch("/api/v2/dags/long/dagRuns/marked/taskInstances/wait", &json!({"new_state": "success"}));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(server.end_of("long", "marked", Duration::from_secs(30)), "success");
    let (status, answer) = server.patch("/api/v2/dags/long/dagRuns/failed", &json!({"state": "failed"}));
    assert_eq!(status, 200, "{answer}");
    server.until(Duration::from_secs(30), "it waits no more", || state(&server, "failed", "wait") == "failed");
    let run = server.trigger("hasty");
    assert_eq!(server.end_of("hasty", &run, Duration::from_secs(30)), "failed");
    assert_eq!(server.instance("hasty", &run, "wait")["state"], "skipped");
}

const OTHERS: &str = r#"
from datetime import datetime, timedelta
from airflow.operators.bash import BashOperator
from airflow.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, TaskGroup
from airflow.sensors.external_task import ExternalTaskSensor

AT = datetime(2026, 11, 1)

with DAG("other", is_paused_upon_creation=False):
    with TaskGroup("g"):
        BashOperator(task_id="say", bash_command="echo got {{ dag_run.conf['day'] }} {{ dag_run.conf['n'] + 1 }}; sleep 1") \
            >> BashOperator(task_id="fail", bash_command="{{ dag_run.conf.get('end', 'exit 0') }}")

with DAG("controller"):
    n = BashOperator(task_id="n", bash_command="true")
    common = dict(trigger_dag_id="other", conf={"day": "{{ ds }}", "n": 1}, poke_interval=1)
    made = TriggerDagRunOperator(task_id="made", wait_for_completion=True, logical_date=AT, trigger_run_id="it", **common)
    made >> TriggerDagRunOperator(task_id="again", trigger_run_id="it", **common)
    made >> TriggerDagRunOperator(task_id="left", trigger_run_id="it", skip_when_already_exists=True, **common)
    TriggerDagRunOperator(task_id="nowhere", trigger_dag_id="no_such_dag")
    TriggerDagRunOperator(task_id="bad", trigger_dag_id="other", trigger_run_id="bad", conf={"day": "x", "n": 1, "end": "exit 3"},
                          wait_for_completion=True, poke_interval=1, logical_date=None)

with DAG("sensors"):
    common = dict(external_dag_id="other", poke_interval=1)
    ExternalTaskSensor(task_id="run", **common)
    ExternalTaskSensor(task_id="task", external_task_ids=["g.say", "g.fail"], **common)
    ExternalTaskSensor(task_id="group", external_task_group_id="g", **common)
    ExternalTaskSensor(task_id="failed", external_task_id="g.say", allowed_states=["failed"], failed_states=["success"], **common)
    ExternalTaskSensor(task_id="skipped", external_task_id="g.say", allowed_states=["failed"], skipped_states=["success"], **common)
    ExternalTaskSensor(task_id="missing", external_task_id="none", check_existence=True, **common)
    ExternalTaskSensor(task_id="earlier", execution_delta=timedelta(days=1), timeout=3, **common)
"#;

#[test]
fn other_dags_are_run_and_waited_for() {
    let server = Standalone::start(&[("others.py", OTHERS)], &[]);
    for dag in ["other", "controller", "sensors"] {
        server.until_dag(dag);
    }
    let body = json!({"logical_date": "2026-11-01T00:00:00Z", "dag_run_id": "s"});
    let (status, answer) = server.post("/api/v2/dags/sensors/dagRuns", &body);
    assert_eq!(status, 200, "{answer}");
    server.until(Duration::from_secs(30), "a sensor waits for a run that is not there", || {
        server.instance("sensors", "s", "run")["state"] == "deferred"
    });
    let run = server.trigger("controller");
    assert_eq!(server.end_of("controller", &run, Duration::from_secs(90)), "failed");
    let row = |dag: &str, run: &str, task: &str| {
        let states = server.cli_json(&["tasks", "states", dag, run, "-o", "json"]);
        let row = states.as_array().unwrap().iter().find(|row| row["task_id"] == task).unwrap().clone();
        (row["state"].as_str().unwrap_or_default().to_owned(), row["message"].as_str().unwrap_or_default().to_owned())
    };
    for (task, state, message) in [
        ("made", "success", "the run it of DAG other is success"),
        ("again", "failed", "there is a run it of DAG other already"),
        ("left", "skipped", "skip_when_already_exists"),
        ("nowhere", "failed", "there is no DAG no_such_dag"),
        ("bad", "failed", "the run bad of DAG other is failed"),
    ] {
        let row = row("controller", &run, task);
        assert!(row.0 == state && row.1.contains(message), "{task}: {row:?}");
    }
    let other = server.get("/api/v2/dags/other/dagRuns/it").unwrap();
    assert_eq!(
        (&other["run_type"], &other["triggered_by"], &other["state"]),
        (&json!("operator_triggered"), &json!("operator"), &json!("success"))
    );
    assert!(server.log_of("other", "it", "g.say", 1).contains(" 2"), "values keep their type");
    let xcom = server
        .get(&format!("/api/v2/dags/controller/dagRuns/{}/taskInstances/made/xcomEntries/trigger_run_id", crate::harness::encode(&run)));
    assert_eq!(xcom.unwrap()["value"], "it");

    assert_eq!(server.end_of("sensors", "s", Duration::from_secs(60)), "failed");
    for (task, state) in [
        ("run", "success"),
        ("task", "success"),
        ("group", "success"),
        ("failed", "failed"),
        ("skipped", "skipped"),
        ("missing", "failed"),
        ("earlier", "failed"),
    ] {
        let row = row("sensors", "s", task);
        assert_eq!(row.0, state, "{task}: {row:?}");
    }
    assert!(row("sensors", "s", "missing").1.contains("DAG other has no task none"));
    assert!(row("sensors", "s", "earlier").1.contains("2026-10-31T00:00:00Z"));
}
