//! What a standalone tells on `/metrics`: all that its parts tell.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::Standalone;
use crate::http::request;
use crate::metrics_page::{differences, value};

const DAG: &str = "dag_id: one\ntasks:\n  a: {bash_command: 'true'}\n  waits: {bash_command: 'true', queue: of-nobody}\n";

#[test]
fn a_standalone_tells_what_its_parts_tell() {
    let health = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{health}");
    let standalone = Standalone::start(&[("one.yaml", DAG)], &["--health-address", &address, "--metrics-dags", "1"]);
    standalone.until(Duration::from_secs(20), "the DAG is there", || standalone.get("/api/v2/dags/one").is_some());
    let triggered = standalone.post("/api/v2/dags/one/dagRuns", &json!({"logical_date": null, "dag_run_id": "r"}));
    assert_eq!(triggered.0, 200, "{}", triggered.1);
    assert_eq!(request(health, "GET", "/livez", None).map(|(status, _)| status), Some(200));
    assert_eq!(request(health, "GET", "/readyz", None).map(|(status, _)| status), Some(200));
    // Its broker is no RabbitMQ, so nothing is ever confirmed, and its run does not end.
    let not_here = ["updraft_broker_confirm_seconds is not told", "updraft_dag_run_duration_by_dag_seconds is not told"];
    let begin = Instant::now();
    loop {
        let Some((200, text)) = request(health, "GET", "/metrics", None) else { panic!("no answer: {}", standalone.log()) };
        let mut differences = differences(&text, &["scheduler", "worker", "API"], false);
        differences.retain(|difference| !not_here.contains(&difference.as_str()));
        if differences.is_empty() && value(&text, r#"updraft_attempts_ended_total{state="success",budget="none"}"#) == Some(1.0) {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "{differences:#?}\n{text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A scheduler that goes on for months meets millions of runs: none stays in its memory after its end.
#[test]
fn runs_that_have_ended_leave_the_memory_of_the_scheduler() {
    const RUNS: usize = 30;
    let health = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tasks: String = (0..20).map(|task| format!("  t{task}: {{bash_command: 'true'}}\n")).collect();
    let dag = format!("dag_id: many\nmax_active_runs: 100\ntasks:\n{tasks}");
    let standalone = Standalone::start(&[("many.yaml", &dag)], &["--health-address", &format!("127.0.0.1:{health}")]);
    standalone.until(Duration::from_secs(20), "the DAG is there", || standalone.get("/api/v2/dags/many").is_some());
    for _ in 0..RUNS {
        let triggered = standalone.post("/api/v2/dags/many/dagRuns", &json!({"logical_date": null}));
        assert_eq!(triggered.0, 200, "{}", triggered.1);
    }
    let cached = || value(&request(health, "GET", "/metrics", None)?.1, "updraft_scheduler_cached_runs");
    standalone.until(Duration::from_secs(60), "all have ended", || {
        standalone.get("/api/v2/dags/many/dagRuns?state=success").is_some_and(|runs| runs["total_entries"] == RUNS)
    });
    standalone.until(Duration::from_secs(20), "none is in memory", || cached() == Some(0.0));
}
