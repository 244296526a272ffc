//! What every role tells on `/metrics`, beside the page that lists it.

use std::fs;
use std::time::Duration;

use crate::http::request;
use crate::metrics_page::{differences, value};
use crate::roles::{Fleet, Plan, Role, free_port};

const DAGS: &str = r#"
from datetime import datetime
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("good", start_date=datetime(2020, 1, 1), schedule=None) as dag:
    BashOperator(task_id="first_of_all", bash_command="sleep 0.3") >> [BashOperator(task_id=t, bash_command="true") for t in "bc"]

with DAG("bad", start_date=datetime(2020, 1, 1), schedule=None) as dag:
    BashOperator(task_id="never", bash_command="exit 3", retries=1, retry_delay=0.01)

with DAG("waiting", start_date=datetime(2020, 1, 1), schedule=None) as dag:
    BashOperator(task_id="waits", bash_command="true", queue="of-nobody")
"#;

/// A cluster that nobody can reach: the worker waits for it, and says so.
const KUBECONFIG: &str = r#"
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {}}]
current-context: c
"#;

fn scrape(role: &Role) -> String {
    let (status, text) = request(role.health, "GET", "/metrics", None).unwrap_or_default();
    if status == 200 { text } else { String::new() }
}

fn agrees(fleet: &mut Fleet, roles: &[&str], airflow: bool, role: impl Fn(&Fleet) -> &Role) -> String {
    let mut last = Vec::new();
    let mut text = String::new();
    let limit = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        text.clear();
        text.push_str(&scrape(role(fleet)));
        if !text.is_empty() {
            last = differences(&text, roles, airflow);
            if last.is_empty() {
                return text;
            }
        }
        assert!(std::time::Instant::now() < limit, "{roles:?}: {last:#?}\n{text}\n{}", fleet.ends_of_logs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn every_role_tells_what_the_page_says_and_nothing_else() {
    let environment =
        [("UPDRAFT_AIRFLOW_METRICS", "true"), ("UPDRAFT_METRICS_DAGS", "5")].map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
    let plan = Plan { schedulers: 1, workers: 1, environment, probes: true, ..Plan::default() };
    let mut fleet = Fleet::start(&[("metrics.py", DAGS)], plan);
    for dag in ["good", "bad"] {
        fleet.until_dag(dag);
        fleet.trigger(dag, "the_first_run");
        fleet.until(Duration::from_secs(60), &format!("the run of {dag} ends"), |fleet| fleet.ended(dag) == Some(1));
    }
    fleet.trigger("waiting", "the_first_run");

    let scheduler = agrees(&mut fleet, &["scheduler"], true, |fleet| &fleet.schedulers[0]);
    let worker = agrees(&mut fleet, &["worker"], true, |fleet| &fleet.workers[0]);
    let api = agrees(&mut fleet, &["API"], true, |fleet| &fleet.api);

    let is = |text: &str, key: &str, expected: f64| assert_eq!(value(text, key), Some(expected), "{key} in\n{text}");
    is(&scheduler, r#"updraft_dag_runs_ended_total{state="success",run_type="manual"}"#, 1.0);
    is(&scheduler, r#"updraft_dag_runs_ended_total{state="failed",run_type="manual"}"#, 1.0);
    is(&scheduler, r#"updraft_dag_run_duration_seconds_count{state="success"}"#, 1.0);
    is(&scheduler, r#"updraft_dag_run_duration_by_dag_seconds_count{dag_id="good",state="success"}"#, 1.0);
    assert!(value(&scheduler, "updraft_attempts_admitted_total") >= Some(5.0), "{scheduler}");
    is(&scheduler, r#"airflow_dagrun_duration_count{dag_id="good"}"#, 1.0);
    is(&scheduler, r#"airflow_dagrun_failed_count{dag_id="bad"}"#, 1.0);
    is(&worker, r#"updraft_attempts_ended_total{state="success",budget="none"}"#, 3.0);
    is(&worker, r#"updraft_attempts_ended_total{state="up_for_retry",budget="user"}"#, 1.0);
    is(&worker, r#"updraft_attempts_ended_total{state="failed",budget="user"}"#, 1.0);
    is(&worker, "airflow_ti_successes", 3.0);
    is(&worker, "airflow_ti_failures", 2.0);
    for wait in ["queue_wait", "slot_wait", "claim_wait", "launch"] {
        is(&worker, &format!("updraft_task_{wait}_seconds_count"), 5.0);
    }
    let seconds = |key: &str| value(&worker, key).unwrap();
    let parts: f64 = ["slot_wait", "claim_wait", "launch"].iter().map(|part| seconds(&format!("updraft_task_{part}_seconds_sum"))).sum();
    let whole = seconds("updraft_task_queue_wait_seconds_sum");
    assert!((parts - whole).abs() < 0.1 && whole > 0.0, "the parts of the wait are {parts} s, the whole {whole} s");
    let ran = seconds(r#"updraft_task_duration_seconds_sum{state="success"}"#);
    assert!((0.3..10.0).contains(&ran), "one of them slept for 0.3 s: {ran}");
    let route = r#"updraft_http_request_seconds_count{method="POST",route="/api/v2/dags/{dag_id}/dagRuns",status="2xx"}"#;
    assert!(value(&api, route).is_some_and(|count| count >= 2.0), "{api}");
    is(&api, r#"airflow_pool_open_slots{pool="default_pool"}"#, 127.0);
    is(&api, "airflow_dagbag_size", 3.0);
    is(&api, r#"updraft_queue_depth{queue="of-nobody"}"#, 1.0);

    // No label is the name of a run or a task.
    for text in [&scheduler, &worker, &api] {
        let leaks: Vec<&str> = text.lines().filter(|line| line.contains("the_first_run") || line.contains("first_of_all")).collect();
        assert!(leaks.is_empty(), "{leaks:?}");
    }

    let kubeconfig = fleet.folder.join("kubeconfig");
    fs::write(&kubeconfig, KUBECONFIG).unwrap();
    let words = ["--runner", "kubernetes", "--namespace", "nowhere"];
    let pods = fleet.launch("worker-pods", &words, &[("KUBECONFIG", kubeconfig.to_str().unwrap()), ("UPDRAFT_AIRFLOW_METRICS", "true")]);
    fleet.workers.push(pods);
    // It waits for its cluster, so it is no worker yet: what it tells of pods is all there is to compare.
    fleet.until(Duration::from_secs(30), "a worker tells of pods", |fleet| {
        let text = scrape(&fleet.workers[1]);
        let of_pods = |name: &str| name.contains("_pod_") || name.contains("_kubernetes_");
        !text.is_empty()
            && !differences(&text, &["worker with pods"], true).iter().any(|difference| of_pods(difference))
            && text.contains("updraft_kubernetes_calls")
    });

    let socket = format!("unix:{}", fleet.folder.join("dags.sock").display());
    let health = free_port();
    let mut processor =
        fleet.launch_without_wire("dag-processor", &["--listen", &socket, "--health-address", &format!("127.0.0.1:{health}")]);
    processor.health = health;
    fleet.workers.push(processor);
    agrees(&mut fleet, &["dag-processor"], false, |fleet| &fleet.workers[2]);
}
