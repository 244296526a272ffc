//! Traces of a fleet, in which no process lives as long as a run.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::collector::Collector;
use crate::http::exchange_with;
use crate::roles::{Fleet, Plan};

const DAGS: &str = r#"
from datetime import datetime
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("called", start_date=datetime(2020, 1, 1), schedule=None) as dag:
    BashOperator(task_id="a", bash_command="echo $TRACEPARENT > {ledger}; until [ -e {ledger}.go ]; do sleep 0.05; done") >> \
        BashOperator(task_id="b", bash_command="true")

with DAG("once", start_date=datetime(2020, 1, 1), schedule="@once") as dag:
    BashOperator(task_id="c", bash_command="until [ -e {ledger}.go ]; do sleep 0.05; done")
"#;

#[test]
fn spans_outlive_a_killed_worker_and_are_exported_when_roles_stop() {
    let collector = Collector::start();
    // Nothing is exported by time here: it is the stop of each role that does it.
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint().as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "600000")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    let mut fleet = Fleet::start(&[("traces.py", DAGS)], Plan { schedulers: 2, workers: 2, environment, ..Plan::default() });
    fleet.until_dag("called");
    let (trace, caller) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let parent = format!("00-{trace}-{caller}-01");
    let body = json!({"logical_date": null, "dag_run_id": "r"});
    let answer = exchange_with(fleet.port, "POST", "/api/v2/dags/called/dagRuns", &[("traceparent", &parent)], Some(&body)).unwrap();
    assert_eq!(answer.0, 200, "{}", answer.2);
    let ledger = fleet.ledger();
    let seen = |ledger: &std::path::Path| fs::read_to_string(ledger).unwrap_or_default().trim().to_owned();
    fleet.until(Duration::from_secs(60), "the task runs", |_| !seen(&ledger).is_empty());

    // Whichever watches it is gone, and another one comes.
    fleet.workers[0].kill_9();
    fleet.workers[1].kill_9_and_restart();
    fs::write(ledger.with_extension("go"), "").unwrap();
    fleet.until(Duration::from_secs(60), "the run ends", |fleet| fleet.run_state("called", "r") == "success");
    fleet.until(Duration::from_secs(60), "the run of the timetable ends", |fleet| fleet.ended("once") == Some(1));
    assert_eq!(collector.spans(), [], "nothing is exported before its time");
    for role in fleet.schedulers.iter_mut().chain([&mut fleet.workers[1], &mut fleet.api]) {
        let took = role.terminate();
        assert!(took < Duration::from_secs(6), "{} took {took:?}", role.name);
    }

    let one = |name: &str| {
        let mut spans = collector.named(name);
        assert_eq!(spans.len(), 1, "{name}: {:#?}", collector.spans());
        spans.remove(0)
    };
    let request = one("POST /api/v2/dags/{dag_id}/dagRuns");
    let (run, a, b) = (one("dag_run.called"), one("task_run.a"), one("task_run.b"));
    for (span, parent) in [(&request, caller), (&run, &request.span_id), (&a, &run.span_id), (&b, &run.span_id)] {
        assert_eq!((span.trace_id.as_str(), span.parent.as_str()), (trace, parent), "{span:#?}");
        assert_ne!(span.status, 2, "{span:#?}");
        assert!(span.start >= request.start && span.start < span.end, "{span:#?}");
        assert_eq!(span.resource.get("service.name").map(String::as_str), Some("updraft"));
    }
    assert_eq!(seen(&ledger), format!("00-{trace}-{}-01", a.span_id), "the process knew its span before anybody made it");
    let (root, c) = (one("dag_run.once"), one("task_run.c"));
    assert_eq!(root.parent, "", "a run of a timetable is a root");
    assert_eq!((&c.trace_id, &c.parent), (&root.trace_id, &root.span_id));
    assert_ne!(root.trace_id, trace);
    assert!(!collector.holds("postgres:") && !collector.holds("amqp:"), "{:#?}", collector.spans());
    // Of worker, API, and the schedulers that ended a run: one of them may have ended both.
    let requests = collector.heads().matches("POST /v1/traces ").count();
    assert!((3..=4).contains(&requests), "one request of each role: {}", collector.heads());
    assert_eq!(collector.spans().len(), 6, "{:#?}", collector.spans());
}
