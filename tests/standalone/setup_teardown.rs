//! Setup and teardown tasks run as what they are, in their order, and are cleared with the work between them.

use std::time::Duration;

use serde_json::json;

use crate::harness::Standalone;

const CLUSTER: &str = r#"
from airflow.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("cluster"):
    create = BashOperator(task_id="create", bash_command="echo made").as_setup()
    use = BashOperator(task_id="use", bash_command="exit 1")
    create >> use >> BashOperator(task_id="drop", bash_command="echo dropped").as_teardown(setups=create)
"#;

/// No arrow joins `late` to `create`, and its own rule would let it run. `drop` fails, which the run does not mind.
const BY_YAML: &str = r#"
dag_id: no_cluster
schedule: null
params: {code: 1}
tasks:
  create: {setup: true, bash_command: "exit {{ params.code }}"}
  use: {needs: create, bash_command: "true"}
  late: {needs: use, trigger_rule: all_done, bash_command: "true"}
  drop: {needs: late, teardown: {setups: [create]}, bash_command: "exit 1"}
"#;

#[test]
fn what_is_set_up_is_torn_down_and_both_are_cleared_with_the_work() {
    let server = Standalone::start(&[("cluster.py", CLUSTER), ("no_cluster.yaml", BY_YAML)], &[]);
    let states = |dag: &str, run: &str, tasks: &[&str]| {
        let of = |task: &&str| {
            let row = server.instance(dag, run, task);
            format!("{}:{}", row["state"].as_str().unwrap_or("none"), row["try_number"])
        };
        tasks.iter().map(of).collect::<Vec<_>>()
    };
    server.until_dag("cluster");
    let run = server.trigger("cluster");
    assert_eq!(server.end_of("cluster", &run, Duration::from_secs(60)), "failed", "the work failed, the teardown did not");
    let all = ["create", "use", "drop"];
    assert_eq!(states("cluster", &run, &all), ["success:1", "failed:1", "success:1"]);
    assert!(server.log_of("cluster", &run, "drop", 1).contains("dropped"));

    let clear = json!({"dag_run_id": run, "task_ids": ["use"], "only_failed": false, "dry_run": false});
    let (status, answer) = server.post("/api/v2/dags/cluster/clearTaskInstances", &clear);
    assert_eq!((status, &answer["total_entries"]), (200, &json!(3)), "{answer}");
    server
        .until(Duration::from_secs(60), "all three ran again", || states("cluster", &run, &all) == ["success:2", "failed:2", "success:2"]);

    server.until_dag("no_cluster");
    let all = ["create", "use", "late", "drop"];
    let run = server.trigger("no_cluster");
    assert_eq!(server.end_of("no_cluster", &run, Duration::from_secs(60)), "failed");
    assert_eq!(states("no_cluster", &run, &all), ["failed:1", "upstream_failed:0", "upstream_failed:0", "upstream_failed:0"]);
    let good = json!({"logical_date": null, "dag_run_id": "good", "conf": {"code": 0}});
    assert_eq!(server.post("/api/v2/dags/no_cluster/dagRuns", &good).0, 200);
    assert_eq!(server.end_of("no_cluster", "good", Duration::from_secs(60)), "success", "the teardown's failure is its own");
    assert_eq!(states("no_cluster", "good", &all), ["success:1", "success:1", "success:1", "failed:1"]);
}
