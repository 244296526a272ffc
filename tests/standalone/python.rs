//! Python tasks, from the file to the states that follow from what they did.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Standalone, encode};

const TASKS: &str = r#"
import datetime
import os
from airflow.exceptions import AirflowFailException, AirflowSkipException
from airflow.operators.empty import EmptyOperator
from airflow.operators.python import BranchPythonOperator, PythonOperator, ShortCircuitOperator
from airflow.sdk import DAG, task
from airflow.sensors.bash import BashSensor
from airflow.sensors.python import PythonSensor
from lib.words import shout

with DAG("code", params={"who": "you"}):
    def extract(day, ti, **context):
        assert "UPDRAFT_DATABASE_URL" not in os.environ
        ti.xcom_push("day", day)
        print("extracted", context["params"]["who"])
        return {"rows": [1, 2, 3]}

    @task
    def total(found):
        return sum(found["rows"])

    @task
    def tell(n, ti):
        from lib.late import END
        return shout("%d of %s" % (n, ti.xcom_pull("extract", key="day") == ti.dag_run.logical_date.strftime("%Y-%m-%d"))) + END

    extracted = PythonOperator(task_id="extract", python_callable=extract, op_args=["{{ ds }}"])
    tell(total(extracted.output))

    def choose():
        return "left"

    choice = BranchPythonOperator(task_id="choose", python_callable=choose)
    left, right = EmptyOperator(task_id="left"), EmptyOperator(task_id="right", trigger_rule="all_done")
    choice >> [left, right] >> EmptyOperator(task_id="join", trigger_rule="none_failed_min_one_success")

    ShortCircuitOperator(task_id="short", python_callable=lambda: False) >> EmptyOperator(task_id="cut") >> EmptyOperator(
        task_id="far", trigger_rule="all_done")

    def skips():
        raise AirflowSkipException("nothing to do")

    def final():
        raise AirflowFailException("the password is wrong")

    def breaks():
        raise ValueError("no rows")

    PythonOperator(task_id="skips", python_callable=skips, retries=2)
    PythonOperator(task_id="final", python_callable=final, retries=2, retry_delay=datetime.timedelta(0))
    PythonOperator(task_id="breaks", python_callable=breaks, retries=1, retry_delay=datetime.timedelta(0))
    PythonSensor(task_id="sees", python_callable=lambda: True, poke_interval=0.1)
    BashSensor(task_id="gives_up", bash_command="false", poke_interval=0.1, timeout=0.3, soft_fail=True)
"#;

#[test]
fn python_code_runs_and_decides() {
    let files =
        [("code.py", TASKS), ("lib/__init__.py", ""), ("lib/words.py", "def shout(x): return x.upper()\n"), ("lib/late.py", "END = '!'\n")];
    let server = Standalone::start(&files, &[]);
    server.until_dag("code");
    let run = server.trigger("code");
    assert_eq!(server.end_of("code", &run, Duration::from_secs(120)), "failed");
    let states = server.cli_json(&["tasks", "states", "code", &run, "-o", "json"]);
    let of = |task: &str| states.as_array().unwrap().iter().find(|t| t["task_id"] == task).unwrap_or_else(|| panic!("{task}")).clone();
    for (task, state) in [
        ("extract", "success"),
        ("total", "success"),
        ("tell", "success"),
        ("choose", "success"),
        ("left", "success"),
        ("right", "skipped"),
        ("join", "success"),
        ("short", "success"),
        ("cut", "skipped"),
        ("far", "skipped"),
        ("skips", "skipped"),
        ("final", "failed"),
        ("breaks", "failed"),
        ("sees", "success"),
        ("gives_up", "skipped"),
    ] {
        assert_eq!(of(task)["state"], state, "{}", of(task));
    }
    assert_eq!((&of("right")["reason"], &of("far")["reason"]), (&json!("branch"), &json!("branch")));
    let xcom = |task: &str, key: &str| {
        let path = format!("/api/v2/dags/code/dagRuns/{}/taskInstances/{task}/xcomEntries/{key}", encode(&run));
        server.get(&path).unwrap()["value"].clone()
    };
    assert_eq!(xcom("total", "return_value"), 6);
    assert_eq!(xcom("tell", "return_value"), "6 OF TRUE!");
    assert_eq!(xcom("choose", "skipmixin_key"), json!({"followed": ["left"]}));
    // Who says that trying again is of no use is not tried again.
    assert_eq!((&of("final")["reason"], &server.instance("code", &run, "final")["try_number"]), (&json!("failed_for_good"), &json!(1)));
    assert_eq!(server.instance("code", &run, "breaks")["try_number"], 2);
}
