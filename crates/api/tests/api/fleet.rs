//! Workers and queues.

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::Api;

const WORKER: &str = "00000000-0000-4000-8000-000000000001";

#[sqlx::test(migrations = "../../migrations")]
async fn workers_are_listed_drained_and_let_go(pool: PgPool) {
    let api = Api::new(pool).await;
    api.sql(
        "insert into worker (id, host, pid, runner, queues, concurrency, last_heartbeat) values
             ('00000000-0000-4000-8000-000000000001', 'node-1', 7, 'kubernetes', '{default,gpu}', 100, now()),
             (gen_random_uuid(), 'node-2', 8, 'kubernetes', '{default}', 50, now() - interval '10 minutes')",
    )
    .await;
    let all = api.get("/ui/workers").await;
    assert_eq!(all["total_entries"], 2);
    let one = &all["workers"][0];
    assert_eq!((&one["hostname"], &one["state"], &one["queues"]), (&json!("node-1"), &json!("running"), &json!(["default", "gpu"])));
    assert_eq!(all["workers"][1]["state"], "silent");

    let path = format!("/ui/workers/{WORKER}/drain");
    let drained = api.send("PUT", &path, json!({"reason": "node upgrade"})).await;
    // It watches nothing.
    assert_eq!((&drained["state"], &drained["drain_reason"]), (&json!("drained"), &json!("node upgrade")));
    assert!(drained["draining_since"].is_string(), "{drained}");
    let log = api.get("/api/v2/eventLogs?event=drain_worker").await;
    assert_eq!(log["total_entries"], 1, "{log}");

    let queues = api.get("/ui/queues").await;
    let gpu = queues["queues"].as_array().unwrap().iter().find(|queue| queue["queue"] == "gpu").unwrap();
    assert_eq!((&gpu["workers"], &gpu["slots"], &gpu["draining"]), (&json!(0), &json!(0), &json!(1)), "{gpu}");
    assert_eq!((&gpu["broker_messages"], &queues["broker_error"]), (&Value::Null, &Value::Null), "no RabbitMQ here");

    let back = api.call("DELETE", &path, None, "application/json").await.json();
    assert_eq!((&back["state"], &back["draining_since"]), (&json!("running"), &Value::Null));

    let gone = all["workers"][1]["id"].as_str().unwrap();
    let (status, detail) = api.refused("PUT", &format!("/ui/workers/{gone}/drain"), Some(json!({}))).await;
    assert!(status == 409 && detail.to_string().contains("/ui/workers"), "{status} {detail}");
    for unknown in ["node-1", "00000000-0000-4000-8000-000000000009"] {
        let (status, detail) = api.refused("PUT", &format!("/ui/workers/{unknown}/drain"), Some(json!({}))).await;
        assert!(status == 404 && detail.to_string().contains("/ui/workers"), "{status} {detail}");
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn why_says_that_all_workers_drain(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    api.sql(
        "update worker set draining_since = now(), last_heartbeat = now();
         update live_attempt set state = 'queued', group_id = null, started_at = null where idx = 1",
    )
    .await;
    let why = api.get("/ui/why/diamond/r1/b").await;
    let waiting = &why["waiting"][0];
    assert_eq!(waiting["kind"], "workers_drain", "{why}");
    assert!(waiting["remedy"].as_str().unwrap().contains("updraft workers undrain"), "{why}");
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_history_of_an_instance_tells_tries_ends_and_who_cleared_it(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let cleared = json!({"dry_run": false, "only_failed": true, "dag_run_id": "r1", "task_ids": ["c"]});
    api.send("POST", "/api/v2/dags/diamond/clearTaskInstances", cleared).await;
    let history = api.get("/ui/history/diamond/r1/c").await;
    let entries = history["entries"].as_array().unwrap();
    assert_eq!((entries.len(), &history["total_entries"]), (2, &json!(2)), "{history}");
    assert_eq!((&entries[0]["state"], &entries[0]["try_number"], &entries[0]["host"]), (&json!("running"), &json!(1), &json!("h1")));
    let reason = entries[1]["reason"].as_str().unwrap();
    assert!(reason.starts_with("clear by "), "{reason}");
    assert_eq!(entries[1]["state"], Value::Null, "{history}");
    let (status, _) = api.refused("GET", "/ui/history/diamond/r1/nothing", None).await;
    assert_eq!(status, 404);
}
