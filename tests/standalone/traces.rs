//! Traces, as a collector gets them from the whole program.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use crate::collector::{Collector, Received};
use crate::harness::Standalone;
use crate::http::{exchange_with, request};
use crate::metrics_page::value;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const CANARY: &str = "canary-that-no-span-may-have";
const LONG: Duration = Duration::from_secs(60);

/// Starts one that traces to a collector.
fn traced(collector: &Collector, dag: &str) -> Standalone {
    let endpoint = collector.endpoint();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=blue"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_SERVICE_NAME", "updraft-of-the-test"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
    ];
    let standalone = Standalone::start_with(&[("d.yaml", dag)], &[], &environment);
    standalone.until_dag("d");
    standalone
}

/// Triggers the DAG with these headers.
fn trigger(standalone: &Standalone, run_id: &str, headers: &[(&str, &str)], conf: &Value) {
    let body = json!({"logical_date": null, "dag_run_id": run_id, "conf": conf});
    let (status, _, answer) = exchange_with(standalone.port, "POST", "/api/v2/dags/d/dagRuns", headers, Some(&body)).unwrap();
    assert_eq!(status, 200, "{answer}");
}

fn read(standalone: &Standalone, name: &str) -> String {
    fs::read_to_string(standalone.path(name)).unwrap_or_default().trim().to_owned()
}

fn attribute<'a>(span: &'a Received, name: &str) -> &'a str {
    span.attributes.get(name).map(String::as_str).unwrap_or_default()
}

#[test]
fn a_run_is_one_trace_from_its_trigger_to_its_ends() {
    let collector = Collector::start();
    let dag = format!(
        r#"
dag_id: d
schedule: null
tasks:
  a: {{bash_command: 'echo "$TRACEPARENT $TRACESTATE" > $OUT/a', env: {{OUT: "{{{{ dag_run.conf.out }}}}", API_PASSWORD: {CANARY}}}}}
  b: {{needs: [a], retries: 1, retry_delay: 0, bash_command: 'echo {CANARY}; exit 3'}}
"#
    );
    let standalone = traced(&collector, &dag);
    let out = standalone.path("").display().to_string();
    let parent = format!("00-{TRACE}-{CALLER}-01");
    trigger(
        &standalone,
        "r",
        &[("traceparent", &parent), ("tracestate", "rojo=00f067aa0ba902b7")],
        &json!({"out": out, "password": CANARY}),
    );
    standalone.until(LONG, "the run's span is there", || collector.named("dag_run.d").len() == 1);
    standalone.until(LONG, "its attempts' are there", || collector.spans().len() >= 5);

    let spans = collector.spans();
    assert_eq!(spans.len(), 5, "{spans:#?}");
    for span in &spans {
        assert_eq!((span.trace_id.as_str(), span.state.as_str()), (TRACE, "rojo=00f067aa0ba902b7"), "{span:#?}");
        assert!(span.start < span.end, "{span:#?}");
        assert_eq!(attribute(span, "airflow.dag_id"), "d");
        assert_eq!(attribute(span, "airflow.dag_run.run_id"), "r");
        for (name, value) in [("service.name", "updraft-of-the-test"), ("deployment.environment.name", "test")] {
            assert_eq!(span.resource.get(name).map(String::as_str), Some(value), "{span:#?}");
        }
    }
    let request = &collector.named("POST /api/v2/dags/{dag_id}/dagRuns")[0];
    assert_eq!((request.parent.as_str(), request.kind, attribute(request, "http.response.status_code")), (CALLER, 2, "200"));
    let run = &collector.named("dag_run.d")[0];
    assert_eq!((&run.parent, run.status, attribute(run, "airflow.dag_run.state")), (&request.span_id, 2, "failed"));
    assert_eq!(attribute(run, "airflow.dag_run.run_type"), "manual");
    assert!(request.start <= run.start, "it is the request that makes the run");

    let (a, b) = (&collector.named("task_run.a")[0], collector.named("task_run.b"));
    let expected = [
        (a, "a", "1", "success", 1, "", "0"),
        (&b[0], "b", "1", "up_for_retry", 2, "exit_code", "3"),
        (&b[1], "b", "2", "failed", 2, "exit_code", "3"),
    ];
    for (span, task, try_number, state, status, message, exit_code) in expected {
        assert_eq!(span.parent, run.span_id, "{span:#?}");
        assert!(run.start <= span.start, "{span:#?}");
        assert_eq!((span.status, span.status_message.as_str()), (status, message), "{span:#?}");
        for (name, value) in [
            ("airflow.task_id", task),
            ("airflow.task_instance.try_number", try_number),
            ("airflow.task_instance.state", state),
            ("airflow.task_instance.map_index", "-1"),
            ("airflow.task_instance.queue", "default"),
            ("airflow.task_instance.pool", "default_pool"),
            ("process.exit.code", exit_code),
            ("updraft.runner", "process"),
            ("error.type", message),
        ] {
            assert_eq!(attribute(span, name), value, "{name} of {span:#?}");
        }
        assert_eq!(span.events, ["scheduled", "queued", "claimed", "started"], "{span:#?}");
    }
    assert!(a.end <= b[0].end && b[0].end <= b[1].end);
    assert_ne!(b[0].span_id, b[1].span_id);
    assert_eq!(read(&standalone, "a"), format!("00-{TRACE}-{}-01 rojo=00f067aa0ba902b7", a.span_id), "what the process saw");

    assert!(!collector.holds(CANARY) && !collector.holds("canary-of-the-environment"), "{spans:#?}");
    assert!(collector.heads().to_ascii_lowercase().contains("x-tenant: blue"), "{}", collector.heads());
}

#[test]
fn a_caller_that_is_not_sampled_is_followed_and_a_run_of_nobody_is_a_trace_of_its_own() {
    let collector = Collector::start();
    let dag = "dag_id: d\nschedule: null\ntasks:\n  a: {bash_command: 'echo $TRACEPARENT > $OUT/{{ run_id }}; sleep {{ dag_run.conf.seconds }}', env: {OUT: '{{ dag_run.conf.out }}'}}\n";
    let standalone = traced(&collector, dag);
    let out = json!({"out": standalone.path("").display().to_string(), "seconds": "0"});
    trigger(&standalone, "silent", &[("traceparent", &format!("00-{TRACE}-{CALLER}-00"))], &out);
    assert_eq!(standalone.end_of("d", "silent", LONG), "success");
    trigger(&standalone, "alone", &[("traceparent", "nonsense")], &out);
    standalone.until(LONG, "the run's spans are there", || collector.spans().len() >= 3);
    let seen = read(&standalone, "silent");
    assert!(seen.starts_with(&format!("00-{TRACE}-")) && seen.ends_with("-00") && !seen.contains(CALLER), "{seen}");
    let spans = collector.spans();
    assert!(spans.iter().all(|span| span.trace_id != TRACE && attribute(span, "airflow.dag_run.run_id") == "alone"), "{spans:#?}");
    assert_eq!(spans.iter().filter(|span| span.parent.is_empty()).count(), 1, "one root: {spans:#?}");

    let runs = || collector.named("dag_run.d");
    // A run that a person ends has its span, too. One that is over has it already.
    let slow = json!({"out": out["out"], "seconds": "600"});
    trigger(&standalone, "by-hand", &[], &slow);
    standalone.until(LONG, "its task runs", || !read(&standalone, "by-hand").is_empty());
    for _ in 0..2 {
        assert_eq!(standalone.patch("/api/v2/dags/d/dagRuns/by-hand", &json!({"state": "failed"})).0, 200);
    }
    standalone
        .until(LONG, "its task's span is there", || collector.named("task_run.a").iter().any(|span| span.status_message == "cancelled"));
    standalone.until(LONG, "its span is there", || runs().iter().any(|span| attribute(span, "airflow.dag_run.run_id") == "by-hand"));
    assert_eq!(runs().len(), 2, "{:#?}", runs());
}

#[test]
fn the_spans_of_a_run_outlive_a_kill_of_everything() {
    let collector = Collector::start();
    let dag = "dag_id: d\nschedule: null\ntasks:\n  a: {bash_command: 'echo $TRACEPARENT > $OUT/a; until [ -e $OUT/go ]; do sleep 0.05; done', env: {OUT: '{{ dag_run.conf.out }}'}}\n  b: {needs: [a], bash_command: 'true'}\n";
    let mut standalone = traced(&collector, dag);
    let out = json!({"out": standalone.path("").display().to_string()});
    trigger(&standalone, "r", &[], &out);
    standalone.until(LONG, "the task runs", || !read(&standalone, "a").is_empty());
    standalone.kill_9();
    assert!(collector.named("task_run.a").is_empty(), "nothing of it has ended");
    standalone.launch();
    fs::write(standalone.path("go"), "").unwrap();
    assert_eq!(standalone.end_of("d", "r", LONG), "success");
    standalone.until(LONG, "the run's span is there", || !collector.named("dag_run.d").is_empty());
    standalone
        .until(LONG, "its attempts' are there", || !collector.named("task_run.a").is_empty() && !collector.named("task_run.b").is_empty());
    let (runs, a, b) = (collector.named("dag_run.d"), collector.named("task_run.a"), collector.named("task_run.b"));
    assert_eq!((runs.len(), a.len(), b.len()), (1, 1, 1), "{:#?}", collector.spans());
    assert_eq!(read(&standalone, "a"), format!("00-{}-{}-01", a[0].trace_id, a[0].span_id), "the process knew its span before the kill");
    for span in [&a[0], &b[0]] {
        assert_eq!((&span.trace_id, &span.parent), (&runs[0].trace_id, &runs[0].span_id));
    }
}

#[test]
fn without_an_endpoint_the_callers_context_is_handed_on_and_nothing_else_changes() {
    let dag = "dag_id: d\nschedule: null\ntasks:\n  a: {bash_command: 'env > $OUT/{{ run_id }}', env: {OUT: '{{ dag_run.conf.out }}'}}\n";
    let standalone = Standalone::start(&[("d.yaml", dag)], &[]);
    standalone.until_dag("d");
    let out = json!({"out": standalone.path("").display().to_string()});
    let parent = format!("00-{TRACE}-{CALLER}-01");
    trigger(&standalone, "called", &[("traceparent", &parent), ("tracestate", "a=b")], &out);
    trigger(&standalone, "alone", &[], &out);
    for run in ["called", "alone"] {
        assert_eq!(standalone.end_of("d", run, LONG), "success");
    }
    let called = read(&standalone, "called");
    assert!(called.contains(&format!("TRACEPARENT={parent}\n")) && called.contains("TRACESTATE=a=b\n"), "{called}");
    let alone = read(&standalone, "alone");
    assert!(alone.contains("OUT=") && !alone.contains("TRACE"), "{alone}");
}

#[test]
fn a_collector_that_is_away_is_said_once_and_costs_spans_alone() {
    let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (nobody, health) = (format!("http://127.0.0.1:{}", port()), port());
    let dag = "dag_id: d\nschedule: null\ntasks:\n  a: {bash_command: 'true'}\n";
    let environment =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", nobody.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "10"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "500")];
    let mut standalone = Standalone::start_with(&[("d.yaml", dag)], &["--health-address", &format!("127.0.0.1:{health}")], &environment);
    standalone.until_dag("d");
    let failed = || value(&request(health, "GET", "/metrics", None)?.1, r#"updraft_trace_spans_total{result="failed"}"#);
    for (run, so_far) in [("1", 3.0), ("2", 6.0)] {
        trigger(&standalone, run, &[], &json!({}));
        assert_eq!(standalone.end_of("d", run, LONG), "success");
        standalone.until(LONG, "its spans are counted", || failed().is_some_and(|failed| failed >= so_far));
    }
    assert_eq!(standalone.log().matches("does not take spans").count(), 1, "{}", standalone.log());
    let took = standalone.interrupt();
    assert!(took < Duration::from_secs(15), "{took:?}");
}
