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
