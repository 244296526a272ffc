//! Workers and queues.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

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

#[sqlx::test(migrations = "../../migrations")]
async fn a_worker_says_what_it_watches_and_a_scheduler_what_it_reads(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    api.sql(
        r#"insert into scheduler (id, host, pid, dags_status, version) values (gen_random_uuid(), 'node-3', 9,
             '{"git": {"state": "ok", "source": "git+https://host/dags.git@main", "python": "no interpreter", "dag_processor": {"starts": 3, "set_aside": ["a.py"]}}}', '1.2.3')"#,
    )
    .await;
    let watched = api.get("/ui/workers/00000000-0000-0000-0000-000000000001/attempts").await;
    assert_eq!(watched["total_entries"], 1, "{watched}");
    let one = &watched["attempts"][0];
    assert_eq!(
        (&one["dag_id"], &one["dag_run_id"], &one["task_id"], &one["pool"]),
        (&json!("diamond"), &json!("r1"), &json!("b"), &json!("default_pool"))
    );
    let (status, _) = api.refused("GET", &format!("/ui/workers/{WORKER}/attempts"), None).await;
    assert_eq!(status, 404);
    let schedulers = api.get("/ui/schedulers").await;
    let one = &schedulers["schedulers"][0];
    assert_eq!((&one["hostname"], &one["state"], &one["version"]), (&json!("node-3"), &json!("running"), &json!("1.2.3")), "{one}");
    assert_eq!(
        (&one["dag_processor_error"], &one["dag_processor_starts"], &one["files_set_aside"]),
        (&json!("no interpreter"), &json!(3), &json!(["a.py"]))
    );
}

/// The whole minute that is over for at least as long as the counting waits.
const LAST: &str = "date_trunc('minute', now() - interval '10 s') - interval '1 minute'";

#[sqlx::test(migrations = "../../migrations")]
async fn minutes_are_counted_once_and_tell_how_it_went(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    api.half_done().await;
    let text = format!(
        "delete from event;
         insert into event (run_id, seq, idx, map_index, attempt, state, at)
             select id, 1, 0, -1, 1, 'up_for_retry', {LAST} from run union all select id, 2, 0, -1, 2, 'success', {LAST} + interval '59 s' from run
             union all select id, 3, 2, -1, 1, 'failed', {LAST} + interval '30 s' from run
             union all select id, 4, 3, -1, 0, 'upstream_failed', {LAST} + interval '30 s' from run
             union all select id, 5, -1, -1, 0, 'failed', {LAST} + interval '30 s' from run
             union all select id, 6, 1, -1, 1, 'success', {LAST} + interval '60 s' from run
             union all select id, 7, 1, -1, 1, 'success', {LAST} - interval '1 s' from run;
         insert into live_attempt (run_id, idx, map_index, attempt, queue, pool, slots, prio, user_retries_left, user_retry_delay_ms, infra_retries_left, infra_retry_delay_ms, launch)
             select id, 3, -1, 1, 'gpu', 'default_pool', 1, 1, 0, 0, 0, 0, '{{}}' from run"
    );
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&pool).await.unwrap();
    let store = updraft_store::Store::from_pool(pool.clone());
    let (first, second) = tokio::join!(store.fleet_minutes_take(), store.fleet_minutes_take());
    for wait in [first.unwrap(), second.unwrap()] {
        assert!(wait > 0.0 && wait <= 70.0, "{wait}");
    }
    let history = api.get("/ui/fleet/history?range=1h").await;
    let points = history["points"].as_array().unwrap();
    assert_eq!((points.len(), &history["step_seconds"]), (60, &json!(60)));
    let counted: Vec<&Value> = points.iter().filter(|point| !point["success"].is_null()).collect();
    assert_eq!(counted.len(), 1, "{counted:?}");
    let point = counted[0];
    let ends = ["success", "failed", "retried", "skipped"].map(|name| point[name].as_i64().unwrap());
    assert_eq!(ends, [1, 1, 1, 1], "the run itself, and what is of other minutes, count for nothing: {point}");
    assert_eq!(
        (&point["queued"], &point["running"], &point["workers"], &point["slots"]),
        (&json!({"default": 0, "gpu": 1}), &json!(1), &json!(1), &json!(4))
    );
    // Each of a's tries waited for a second, c's not at all.
    let p50 = point["wait_p50"].as_f64().unwrap();
    assert!(p50 > 0.5 && p50 <= 1.1, "{point}");
    // A minute longer ago, and one that was counted when nobody knew any more what waited.
    sqlx::raw_sql(AssertSqlSafe(format!(
        "insert into fleet_minute (at, success, waits) values ({LAST} - interval '2 hours', 30, array_fill(0, array[48]))"
    )))
    .execute(&pool)
    .await
    .unwrap();
    let day = api.get("/ui/fleet/history?range=24h").await;
    let sums: Vec<i64> = day["points"].as_array().unwrap().iter().filter_map(|point| point["success"].as_i64()).collect();
    assert_eq!(sums, [30, 1]);
    let (status, detail) = api.refused("GET", "/ui/fleet/history?range=1y", None).await;
    assert!(status == 400 && detail.to_string().contains("7d"), "{status} {detail}");
}

#[sqlx::test(migrations = "../../migrations")]
async fn minutes_are_kept_for_eight_days(pool: PgPool) {
    let store = updraft_store::Store::from_pool(pool.clone());
    sqlx::raw_sql(
        "insert into fleet_minute (at) select date_trunc('minute', now() - interval '10 s') - n * interval '1 minute' from unnest(array[5, 11519, 11521]) n",
    )
    .execute(&pool)
    .await
    .unwrap();
    store.fleet_minutes_take().await.unwrap();
    let there: i64 = sqlx::query_scalar("select count(*) from fleet_minute").fetch_one(&pool).await.unwrap();
    assert_eq!(there, 6, "four were missing in between, and the oldest has gone");
}

fn part(health: &Value, name: &str) -> Value {
    health["parts"].as_array().unwrap().iter().find(|part| part["part"] == name).unwrap().clone()
}

#[sqlx::test(migrations = "../../migrations")]
async fn health_says_what_is_silent_and_what_to_do(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let health = api.get("/ui/health").await;
    assert_eq!((&part(&health, "database")["status"], &part(&health, "broker")["status"]), (&json!("healthy"), &json!("healthy")));
    let scheduler = part(&health, "scheduler");
    assert_eq!((&scheduler["status"], &scheduler["detail"]), (&json!("unhealthy"), &json!("no scheduler was ever heard of")), "{health}");
    assert!(scheduler["remedy"].as_str().unwrap().contains("updraft scheduler"));
    api.sql(
        "insert into worker (id, host, pid, runner, queues, concurrency) values ('00000000-0000-4000-8000-000000000001', 'n', 7, 'process', '{default}', 4);
         insert into scheduler (id, host, pid, dags_status) values (gen_random_uuid(), 'n', 9, '{\"git\": {\"state\": \"degraded\", \"last_error\": \"secret-host is away\"}}')",
    )
    .await;
    let health = api.get("/ui/health").await;
    assert_eq!(
        (&part(&health, "scheduler")["detail"], &part(&health, "workers")["detail"]),
        (&json!("1 scheduler"), &json!("1 worker, 4 slots"))
    );
    assert_eq!(part(&health, "dag_processor")["status"], "degraded");
    assert!(!health.to_string().contains("secret-host"), "who may see a page need not see that: {health}");
    api.sql("update worker set draining_since = now(); update installation set maintenance_since = now(), maintenance_by = 'eve', maintenance_reason = 'disks'")
        .await;
    let health = api.get("/ui/health").await;
    assert_eq!(part(&health, "workers")["status"], "degraded", "{health}");
    assert!(health["maintenance"].as_str().unwrap().starts_with("maintenance by eve since "), "{health}");
    api.sql("update worker set last_heartbeat = now() - interval '31 s'").await;
    let workers = part(&api.get("/ui/health").await, "workers");
    assert!(
        workers["status"] == "unhealthy"
            && workers["detail"].as_str().unwrap().starts_with("no worker is alive: the last was heard of at 20"),
        "{workers}"
    );
    pool.close().await;
    let health = api.get("/ui/health").await;
    assert_eq!(
        (&part(&health, "database")["status"], &part(&health, "workers")["status"]),
        (&json!("unhealthy"), &json!("unknown")),
        "{health}"
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn sources_show_each_commit_and_what_it_changed(pool: PgPool) {
    use updraft_store::read::history::CommitTaken;

    let api = Api::new(pool.clone()).await;
    let (status, detail) = api.refused("POST", "/ui/sources/sync", Some(json!({}))).await;
    assert!(status == 409 && detail.to_string().contains("updraft scheduler"), "{status} {detail}");
    api.sql(
        r#"insert into scheduler (id, host, pid, dags_status, last_heartbeat) values
             (gen_random_uuid(), 'n1', 1, '{"git": {"state": "ok", "source": "git+https://host/dags.git@main", "commit": "bbb", "author": "Eve", "subject": "<b>two</b>", "dags": 3, "files": 2}}', now()),
             (gen_random_uuid(), 'n2', 1, '{"git": {"state": "ok", "source": "git+https://host/dags.git@main", "commit": "aaa"}}', now() - interval '1 s'),
             (gen_random_uuid(), 'n3', 1, '{"old": {"state": "ok", "root": "/dags"}}', now() - interval '1 hour')"#,
    )
    .await;
    let store = updraft_store::Store::from_pool(pool.clone());
    let (one, two) = (["one".to_owned()], ["two".to_owned()]);
    let new = CommitTaken {
        bundle: "git",
        commit: "bbb",
        author: Some("Eve"),
        subject: Some("<b>two</b>"),
        changed: &one,
        errors: 1,
        ..CommitTaken::default()
    };
    store.commit_taken(&CommitTaken { bundle: "git", commit: "aaa", ..CommitTaken::default() }).await.unwrap();
    store.commit_taken(&new).await.unwrap();
    // Another scheduler takes the same one: it finds other DAGs changed, as the first was there before it for these.
    store.commit_taken(&CommitTaken { changed: &two, removed: &one, author: None, errors: 0, ..new.clone() }).await.unwrap();
    let all = api.get("/ui/sources").await;
    let sources = all["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 1, "those of the dead are theirs: {all}");
    assert_eq!(
        (&sources[0]["kind"], &sources[0]["commit"], &sources[0]["author"], &sources[0]["dags"]),
        (&json!("git"), &json!("bbb"), &json!("Eve"), &json!(3))
    );
    assert_eq!(sources[0]["schedulers"][1]["commit"], "aaa", "{all}");
    let commits: Vec<&Value> = all["commits"].as_array().unwrap().iter().map(|commit| &commit["commit"]).collect();
    assert_eq!(commits, ["bbb", "aaa"]);
    let first = &all["commits"][0];
    assert_eq!(
        (&first["author"], &first["changed"], &first["removed"], &first["files_with_errors"]),
        (&json!("Eve"), &json!(["one", "two"]), &json!(["one"]), &json!(0))
    );
    assert_eq!(api.get("/ui/sources?commits=1").await["commits"].as_array().unwrap().len(), 1);
    let told = api.call("POST", "/ui/sources/sync", Some(json!({})), "application/json").await;
    assert_eq!((told.status.as_u16(), told.json()), (202, json!({"schedulers": 2})));
    assert_eq!(api.get("/api/v2/eventLogs?event=sync_dag_sources").await["total_entries"], 1);
    for n in 0..205 {
        store.commit_taken(&CommitTaken { bundle: "other", commit: &n.to_string(), ..CommitTaken::default() }).await.unwrap();
    }
    let kept: i64 = sqlx::query_scalar("select count(*) from source_commit where bundle = 'other'").fetch_one(&pool).await.unwrap();
    assert_eq!(kept, 201, "two hundred, and the newest");
}

#[sqlx::test(migrations = "../../migrations")]
async fn import_errors_have_the_lines_around_them(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let store = updraft_store::Store::from_pool(pool);
    let details = json!([{"file": "a.yaml", "line": 2, "column": 3, "kind": "unknown_key", "message": "no <key>", "hint": "write schedule",
        "snippet": {"text": "x", "caret": "  ^^^"}, "around": {"first": 1, "lines": ["dag_id: a", "shcedule: x"]}}]);
    store.import_error_set("b", "a.yaml", Some("error: no <key>"), Some(&details)).await.unwrap();
    store.import_error_set("b", "old.yaml", Some("error: old"), None).await.unwrap();
    let files = api.get("/ui/import-errors").await;
    let mistake = &files["files"][0]["mistakes"][0];
    assert_eq!(
        (&mistake["kind"], &mistake["line"], &mistake["caret"], &mistake["hint"]),
        (&json!("unknown_key"), &json!(2), &json!("  ^^^"), &json!("write schedule"))
    );
    assert_eq!(mistake["around"], json!({"first": 1, "lines": ["dag_id: a", "shcedule: x"]}));
    assert_eq!((&files["files"][1]["mistakes"], &files["files"][1]["text"]), (&json!([]), &json!("error: old")));
}
