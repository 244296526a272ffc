//! The API against a real Postgres: shapes as Airflow has them, errors, filters, pages, and what a request changes.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on should stop where it stands, and says what it skips"
)]

mod access;
mod audit;
mod backfills;
mod cve;
mod dag_pages;
mod events;
mod fleet;
mod grid;
mod harness;
mod latest;
mod lists;
mod logs;
mod marks;
mod odd;
mod oidc;
mod runs_again;
mod secrets;
mod setup_teardown;
mod shapes;
mod tier2;
mod users;
mod writes;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use harness::Api;
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt as _;

#[sqlx::test(migrations = "../../migrations")]
async fn triggering_follows_airflow(pool: PgPool) {
    let api = Api::new(pool).await;
    let path = "/api/v2/dags/diamond/dagRuns";
    let run = api.send("POST", path, json!({"logical_date": null})).await;
    let id = run["dag_run_id"].as_str().unwrap();
    assert!(id.starts_with("manual__2") && id.ends_with("+00:00"), "{id}");
    assert_eq!(run["state"], "running", "there is room: it starts at once");
    assert_eq!((&run["run_type"], &run["triggered_by"], &run["logical_date"]), (&json!("manual"), &json!("rest_api"), &Value::Null));

    let dated = api.send("POST", path, json!({"logical_date": "2026-01-31T00:00:00Z", "note": "n", "conf": {"a": [1]}})).await;
    assert_eq!(dated["dag_run_id"], "manual__2026-01-31T00:00:00+00:00");
    assert_eq!(dated["data_interval_start"], "2026-01-31T00:00:00Z");
    assert_eq!((&dated["conf"], &dated["note"]), (&json!({"a": [1]}), &json!("n")));
    let third = api.send("POST", path, json!({"logical_date": null, "dag_run_id": "third"})).await;
    assert_eq!(third["state"], "queued", "max_active_runs is 2");

    let (status, detail) = api.refused("POST", path, Some(json!({"logical_date": null, "dag_run_id": "third"}))).await;
    assert_eq!((status, &detail["reason"]), (409, &json!("Unique constraint violation")));
    let (status, detail) = api.refused("POST", path, Some(json!({"logical_date": "2026-01-31", "dag_run_id": "other"}))).await;
    assert_eq!(status, 409, "{detail}");
    let (status, detail) = api.refused("POST", path, Some(json!({}))).await;
    assert_eq!(status, 422);
    assert_eq!((&detail[0]["type"], &detail[0]["loc"]), (&json!("missing"), &json!(["body", "logical_date"])));
    let (status, detail) = api.refused("POST", path, Some(json!({"logical_date": null, "execution_date": "x"}))).await;
    assert_eq!((status, &detail[0]["type"]), (422, &json!("extra_forbidden")));
    let (status, _) = api.refused("POST", path, Some(json!({"logical_date": "yesterday"}))).await;
    assert_eq!(status, 422);
    let (status, _) = api.refused("POST", path, Some(json!({"logical_date": null, "dag_run_id": "scheduled__x"}))).await;
    assert_eq!(status, 400);
    let (status, detail) = api.refused("POST", "/api/v2/dags/nope/dagRuns", Some(json!({"logical_date": null}))).await;
    assert_eq!((status, detail), (404, json!("Dag with dag_id: 'nope' not found")));

    let params = "/api/v2/dags/with_params/dagRuns";
    let (status, detail) = api.refused("POST", params, Some(json!({"logical_date": null}))).await;
    assert_eq!(status, 400);
    assert!(detail.as_str().unwrap().contains("day"), "{detail}");
    let (status, _) = api.refused("POST", params, Some(json!({"logical_date": null, "conf": {"day": "mon", "region": "as"}}))).await;
    assert_eq!(status, 400);
    api.send("POST", params, json!({"logical_date": null, "conf": {"day": "mon", "more": 1}})).await;

    let later = api.send("POST", params, json!({"logical_date": null, "run_after": "2099-01-01T00:00:00Z", "conf": {"day": "tue"}})).await;
    assert_eq!(later["state"], "queued");
    let due: i64 = sqlx::query_scalar("select count(*) from due where kind = 'run_start'").fetch_one(&api.pool).await.unwrap();
    assert_eq!(due, 1, "somebody starts it then");
    let logged: i64 =
        sqlx::query_scalar("select count(*) from audit_log where event = 'trigger_dag_run'").fetch_one(&api.pool).await.unwrap();
    assert_eq!(logged, 5);
}

#[sqlx::test(migrations = "../../migrations")]
async fn lists_filter_order_and_page(pool: PgPool) {
    let api = Api::new(pool).await;
    for n in 1..=3 {
        let body = json!({"logical_date": format!("2026-01-0{n}T00:00:00Z"), "dag_run_id": format!("r{n}")});
        api.send("POST", "/api/v2/dags/diamond/dagRuns", body).await;
    }
    let ids = |value: &Value| -> Vec<String> {
        value["dag_runs"].as_array().unwrap().iter().map(|r| r["dag_run_id"].as_str().unwrap().to_owned()).collect()
    };
    let page = api.get("/api/v2/dags/diamond/dagRuns?order_by=-run_after&limit=2").await;
    assert_eq!((ids(&page), &page["total_entries"]), (vec!["r3".to_owned(), "r2".to_owned()], &json!(3)));
    assert_eq!(ids(&api.get("/api/v2/dags/diamond/dagRuns?order_by=-run_after&limit=2&offset=2").await), ["r1"]);
    assert_eq!(ids(&api.get("/api/v2/dags/~/dagRuns?state=queued").await), ["r3"]);
    assert_eq!(
        ids(&api.get("/api/v2/dags/~/dagRuns?state=queued&state=running&logical_date_gte=2026-01-02&logical_date_lt=2026-01-03").await),
        ["r2"]
    );
    assert_eq!(ids(&api.get("/api/v2/dags/~/dagRuns?run_id_pattern=%25_1").await), ["r1"]);
    let listed =
        api.send("POST", "/api/v2/dags/~/dagRuns/list", json!({"dag_ids": ["diamond"], "states": ["running"], "page_limit": 1})).await;
    assert_eq!((ids(&listed), &listed["total_entries"]), (vec!["r1".to_owned()], &json!(2)));

    let first = api.get("/api/v2/dags/diamond/dagRuns?cursor=&limit=2").await;
    let next = first["next_cursor"].as_str().unwrap();
    let second = api.get(&format!("/api/v2/dags/diamond/dagRuns?limit=2&cursor={next}")).await;
    assert_eq!((ids(&second), &second["next_cursor"]), (vec!["r3".to_owned()], &Value::Null));

    let tasks = api.get("/api/v2/dags/diamond/dagRuns/~/taskInstances?task_id=b&task_id=d").await;
    assert_eq!(tasks["total_entries"], 6);
    let tasks = api.send("POST", "/api/v2/dags/~/dagRuns/~/taskInstances/list", json!({"task_ids": ["c"], "dag_run_ids": ["r2"]})).await;
    assert_eq!((&tasks["total_entries"], &tasks["task_instances"][0]["task_id"]), (&json!(1), &json!("c")));
    assert_eq!(api.get("/api/v2/dags?tags=demo").await["total_entries"], 1);
    assert_eq!(api.get("/api/v2/dags?tags=none").await["total_entries"], 0);
    assert_eq!(api.get("/api/v2/dags?paused=true").await["total_entries"], 0);
    assert_eq!(api.get("/api/v2/dagTags").await["tags"], json!(["demo"]));

    for (path, status) in [
        ("/api/v2/dags?limit=x", 422),
        ("/api/v2/dags?limit=-1", 422),
        ("/api/v2/dags?order_by=color", 400),
        ("/api/v2/dags/diamond/dagRuns?logical_date_gte=soon", 422),
        ("/api/v2/nothing", 404),
        ("/api/v1/dags", 410),
        ("/api/v2/config", 403),
    ] {
        assert_eq!(api.refused("GET", path, None).await.0, status, "{path}");
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn instances_tries_logs_and_xcoms(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let base = "/api/v2/dags/diamond/dagRuns/r1/taskInstances";
    let a = api.get(&format!("{base}/a")).await;
    assert_eq!((&a["state"], &a["try_number"], &a["max_tries"], &a["duration"]), (&json!("success"), &json!(2), &json!(1), &json!(2.5)));
    assert_eq!((&a["priority_weight"], &a["hostname"]), (&json!(4), &json!("h1")));
    assert!(uuid::Uuid::parse_str(a["id"].as_str().unwrap()).is_ok());
    assert_eq!(a["id"], api.get(&format!("{base}/a")).await["id"], "the id is stable");
    assert_eq!(api.get(&format!("{base}/b")).await["state"], "running", "the live attempt says so");
    assert_eq!(api.get(&format!("{base}/d")).await["state"], Value::Null);
    assert_eq!(api.get(&format!("{base}?state=running")).await["total_entries"], 1);
    assert_eq!(api.get(&format!("{base}?state=none")).await["total_entries"], 1);

    let tries = api.get(&format!("{base}/a/tries")).await;
    let states: Vec<&str> = tries["task_instances"].as_array().unwrap().iter().map(|t| t["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["failed", "success"]);
    assert_eq!(api.get(&format!("{base}/a/tries/1")).await["try_number"], 1);

    let (status, detail) = api.refused("GET", &format!("{base}/nope"), None).await;
    assert_eq!((status, detail), (404, json!("The Task Instance with dag_id: `diamond`, run_id: `r1` and task_id: `nope` was not found")));
    assert_eq!(api.refused("GET", &format!("{base}/a/7"), None).await.0, 404);
    assert_eq!(api.refused("GET", &format!("{base}/a/tries/9"), None).await.0, 404);

    let events =
        |v: &Value| -> Vec<String> { v["content"].as_array().unwrap().iter().map(|l| l["event"].as_str().unwrap().to_owned()).collect() };
    let log = api.get(&format!("{base}/a/logs/2")).await;
    assert_eq!(events(&log)[3..], ["hello", "world"]);
    assert_eq!(log["continuation_token"], Value::Null, "it is over and all is read");
    let live = api.get(&format!("{base}/b/logs/1")).await;
    let token = live["continuation_token"].as_str().expect("it goes on");
    api.sql("insert into log_chunk (run_id, idx, map_index, attempt, start, data) select id, 1, -1, 1, 0, convert_to('one' || chr(10) || 'tw', 'utf8') from run").await;
    let more = api.get(&format!("{base}/b/logs/1?token={token}")).await;
    assert!(events(&more).contains(&"one".to_owned()) && !events(&more).contains(&"tw".to_owned()), "{more}");
    let ndjson = api.call("GET", &format!("{base}/a/logs/2"), None, "application/x-ndjson").await;
    assert_eq!(ndjson.text.lines().count(), 5);
    assert_eq!(api.call("GET", &format!("{base}/a/logs/2"), None, "text/plain").await.status, StatusCode::NOT_ACCEPTABLE);
    assert_eq!(api.refused("GET", &format!("{base}/a/logs/3"), None).await.0, 404);
    let raw = api.call("GET", "/ui/logs/diamond/r1/a/latest?offset=4", None, "*/*").await;
    assert_eq!((raw.text.as_str(), raw.headers["updraft-next-offset"].to_str().unwrap()), ("o\nworld\n", "12"));

    let xcom = api.get(&format!("{base}/a/xcomEntries/return_value")).await;
    assert_eq!(xcom["value"], json!({"rows": 7}));
    assert_eq!(api.get(&format!("{base}/~/xcomEntries")).await["total_entries"], 1);
    assert_eq!(api.refused("GET", &format!("{base}/a/xcomEntries/other"), None).await.0, 404);
}

#[sqlx::test(migrations = "../../migrations")]
async fn clearing_shows_first_and_acts_when_told(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let path = "/api/v2/dags/diamond/clearTaskInstances";
    let ids = |v: &Value| -> Vec<String> {
        v["task_instances"].as_array().unwrap().iter().map(|t| t["task_id"].as_str().unwrap().to_owned()).collect()
    };
    let shown = api.send("POST", path, json!({"dag_run_id": "r1"})).await;
    assert_eq!((ids(&shown), &shown["total_entries"]), (vec!["c".to_owned()], &json!(1)), "only_failed and dry_run are on by default");
    let c = "/api/v2/dags/diamond/dagRuns/r1/taskInstances/c";
    assert_eq!(api.get(c).await["state"], "failed", "a dry run changes nothing");
    let wide = api.send("POST", path, json!({"dag_run_id": "r1", "only_failed": false, "task_ids": ["c"], "include_upstream": true})).await;
    assert_eq!(ids(&wide), ["a", "c"]);
    assert_eq!(api.refused("POST", path, Some(json!({"dag_run_id": "nope"}))).await.0, 404);
    assert_eq!(api.refused("POST", path, Some(json!({"dag_run_id": "r1", "task_ids": ["nope"]}))).await.0, 404);
    assert_eq!(api.refused("POST", path, Some(json!({"dag_run_id": "r1", "color": 1}))).await.0, 422);
    assert_eq!(api.refused("POST", path, Some(json!({"include_past": true}))).await.0, 422);
    let (status, _) = api
        .refused("POST", path, Some(json!({"dag_run_id": "r1", "only_failed": false, "prevent_running_task": true, "dry_run": false})))
        .await;
    assert_eq!(status, 409);

    api.sql("update run set state = 'failed', end_date = now() where run_id = 'r1'").await;
    api.send("POST", path, json!({"dag_run_id": "r1", "dry_run": false})).await;
    let after = api.get(c).await;
    assert_eq!((&after["state"], &after["try_number"], &after["max_tries"]), (&Value::Null, &json!(1), &json!(1)), "the tries go on");
    assert_eq!(api.get("/api/v2/dags/diamond/dagRuns/r1").await["state"], "running", "reopened, and started since there is room");
}

#[sqlx::test(migrations = "../../migrations")]
async fn people_mark_runs_and_tasks(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let base = "/api/v2/dags/diamond/dagRuns/r1";
    let marked = api.send("PATCH", &format!("{base}/taskInstances/c"), json!({"new_state": "success"})).await;
    assert_eq!(marked["task_instances"][0]["state"], "success");
    assert!(marked["task_instances"][0]["note"].as_str().unwrap().contains("mark success"));
    assert_eq!(api.refused("PATCH", &format!("{base}/taskInstances/c"), Some(json!({"new_state": "success"}))).await.0, 409);
    assert_eq!(api.refused("PATCH", &format!("{base}/taskInstances/c"), Some(json!({"new_state": "running"}))).await.0, 422);

    let noted = api.send("PATCH", base, json!({"note": "look here"})).await;
    assert_eq!((&noted["note"], &noted["state"]), (&json!("look here"), &json!("running")));
    assert_eq!(api.refused("DELETE", base, None).await.0, 409, "it runs");
    let failed = api.send("PATCH", base, json!({"state": "failed"})).await;
    assert_eq!(failed["state"], "failed");
    assert_eq!(api.get(&format!("{base}/taskInstances/d")).await["state"], "skipped", "it had not begun");
    assert_eq!(api.get(&format!("{base}/taskInstances/b")).await["state"], "running", "its worker ends it");
    assert_eq!(api.refused("DELETE", base, None).await.0, 409, "a task of it still runs");

    api.sql("delete from live_attempt; update task_instance set state = 'failed', ended_at = now() where idx = 1").await;
    let gone = api.call("DELETE", base, None, "*/*").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(api.refused("GET", base, None).await.0, 404);
    api.send("POST", "/api/v2/dags/diamond/dagRuns", json!({"logical_date": null, "dag_run_id": "r1"})).await;
    let (least,): (i32,) = sqlx::query_as("select min(attempt) from task_instance").fetch_one(&api.pool).await.unwrap();
    assert_eq!(least, 2, "attempt numbers of the deleted run are not used again");
    assert_eq!(api.get(&format!("{base}/taskInstances/a")).await["try_number"], 0, "people count from the start");
}

#[sqlx::test(migrations = "../../migrations")]
async fn why_names_what_stands_in_the_way(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let kinds =
        |v: &Value| -> Vec<String> { v["waiting"].as_array().unwrap().iter().map(|w| w["kind"].as_str().unwrap().to_owned()).collect() };
    let c = api.get("/ui/why/diamond/r1/c").await;
    assert_eq!((&c["reason"], &c["budget"]), (&json!("oom_killed"), &json!("user")));
    assert!(c["summary"].as_str().unwrap().contains("memory"), "{c}");
    let a = api.get("/ui/why/diamond/latest/a").await;
    assert_eq!(a["evidence"]["exit_code"], 0);
    let b = api.get("/ui/why/diamond/r1/b").await;
    assert!(b["summary"].as_str().unwrap().starts_with("running for"), "{b}");
    api.sql("update task_instance set state = 'none', reason = null, message = null, ended_at = null, started_at = null where idx = 2")
        .await;
    let d = api.get("/ui/why/diamond/r1/d").await;
    assert_eq!(kinds(&d), ["upstream", "upstream"]);
    assert_eq!(d["waiting"][0]["state"], "running", "the live attempt says so");

    api.sql("update dag set is_paused = true; update run set state = 'queued'").await;
    assert!(kinds(&api.get("/ui/why/diamond/r1/d").await).contains(&"paused".to_owned()));
    api.sql(
        "update run set state = 'running'; update pool set slots = 1; update task_instance set state = 'scheduled' where idx = 2;
         insert into ready (pool, run_id, idx, map_index, prio, slots) select 'default_pool', id, 2, -1, 1, 1 from run",
    )
    .await;
    let c = api.get("/ui/why/diamond/r1/c").await;
    assert!(kinds(&c).contains(&"pool".to_owned()), "{c}");
    assert_eq!(api.refused("GET", "/ui/why/diamond/r1/nope", None).await.0, 404);
}

#[sqlx::test(migrations = "../../migrations")]
async fn doctor_finds_what_is_broken(pool: PgPool) {
    let api = Api::new(pool).await;
    let status = |v: &Value, id: &str| -> String {
        v["findings"].as_array().unwrap().iter().find(|f| f["id"] == id).unwrap_or_else(|| panic!("no finding {id}: {v}"))["status"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let before = api.get("/ui/doctor").await;
    for id in [
        "database",
        "clock",
        "broker",
        "runs-planned",
        "due-taken",
        "dags-due",
        "attempts-watched",
        "attempts-claimed",
        "queues-served",
        "pools-exist",
        "I3",
        "I4",
        "I7",
        "I9-pools",
        "I9-runs",
        "import-errors",
    ] {
        assert_eq!(status(&before, id), "ok", "{id}: {before}");
    }
    assert_eq!((status(&before, "scheduler"), status(&before, "workers")), ("fail".to_owned(), "fail".to_owned()));
    let findings = before["findings"].as_array().unwrap();
    assert!(findings.iter().any(|f| f["id"].as_str().unwrap().starts_with("disk:")), "{before}");
    assert!(findings.iter().all(|f| f["status"] == "ok" || f["remedy"].is_string()), "each finding has a remedy: {before}");
    api.half_done().await;
    let healthy = api.get("/ui/doctor").await;
    for id in ["workers", "attempts-watched", "I3", "I4", "I7", "I9-pools"] {
        assert_eq!(status(&healthy, id), "ok", "{id}: {healthy}");
    }
    api.sql(
        "update worker set last_heartbeat = now() - interval '5 minutes'; update pool set slots = 0;
         insert into import_error (bundle, relative_fileloc, message) values ('dags-folder', 'bad.py', 'line 1: no');
         insert into due (kind, run_id, at) select 'retry', id, now() - interval '5 minutes' from run;
         insert into event (run_id, seq, idx, map_index, attempt, at) select id, 1000, -1, -1, 0, now() - interval '5 minutes' from run;
         update run_seq set seq = 1000, planned = 999;
         update task_instance set state = 'success', attempt = 1, ended_at = now(), reason = null where idx = 2",
    )
    .await;
    let broken = api.get("/ui/doctor").await;
    for id in ["attempts-watched", "I9-pools", "due-taken", "runs-planned", "I4", "workers"] {
        assert_eq!(status(&broken, id), "fail", "{id}: {broken}");
    }
    assert_eq!(status(&broken, "import-errors"), "warn");
    assert_eq!(broken["status"], "fail");
}

#[sqlx::test(migrations = "../../migrations")]
async fn pools_pauses_and_guards(pool: PgPool) {
    let api = Api::new(pool).await;
    let made = api.call("POST", "/api/v2/pools", Some(json!({"name": "p", "slots": 3})), "*/*").await;
    assert_eq!((made.status, &made.json()["open_slots"]), (StatusCode::CREATED, &json!(3)));
    assert_eq!(api.refused("POST", "/api/v2/pools", Some(json!({"name": "p", "slots": 3}))).await.0, 409);
    assert_eq!(api.refused("POST", "/api/v2/pools", Some(json!({"name": "q", "slots": -2}))).await.0, 422);
    assert_eq!(api.send("PATCH", "/api/v2/pools/p", json!({"slots": -1})).await["open_slots"], -1);
    assert_eq!(api.refused("DELETE", "/api/v2/pools/default_pool", None).await.0, 400);
    assert_eq!(api.call("DELETE", "/api/v2/pools/p", None, "*/*").await.status, StatusCode::NO_CONTENT);
    assert_eq!(api.refused("GET", "/api/v2/pools/p", None).await, (404, json!("The Pool with name: `p` was not found")));

    assert_eq!(api.send("PATCH", "/api/v2/dags/diamond?update_mask=is_paused", json!({"is_paused": true})).await["is_paused"], true);
    assert_eq!(api.refused("PATCH", "/api/v2/dags/diamond", Some(json!({}))).await.0, 422);
    assert_eq!(api.refused("PATCH", "/api/v2/dags/nope", Some(json!({"is_paused": true}))).await.0, 404);
    let token = api.call("POST", "/auth/token", Some(json!({"username": "a", "password": "b"})), "*/*").await;
    assert_eq!(token.status, StatusCode::CREATED);
    assert!(token.json()["access_token"].is_string());

    let page = api.call("GET", "/", None, "text/html").await;
    assert!(page.headers["content-security-policy"].to_str().unwrap().contains("default-src 'self'"));
    assert!(!page.text.contains("<script>") && !page.text.contains("style="), "nothing inline");
    let text = api.call("GET", "/api/v2/dagSources/diamond", None, "text/plain").await;
    assert_eq!(text.text, "# the file\n");
    let request = Request::builder().uri("/api/v2/dags").header("host", "evil.example").body(Body::empty()).unwrap();
    assert_eq!(api.app.clone().oneshot(request).await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_column_filters_and_orders(pool: PgPool) {
    use updraft_store::read::{Kind, audit, dags, instances, pools, runs, secrets, xcoms};
    let api = Api::new(pool).await;
    api.half_done().await;
    for (path, columns) in [
        ("/api/v2/dags", dags::DAG_COLUMNS),
        ("/api/v2/dags/diamond/dagVersions", dags::VERSION_COLUMNS),
        ("/api/v2/importErrors", dags::IMPORT_ERROR_COLUMNS),
        ("/api/v2/dags/diamond/dagRuns", runs::RUN_COLUMNS),
        ("/api/v2/dags/diamond/dagRuns/r1/taskInstances", instances::INSTANCE_COLUMNS),
        ("/api/v2/dags/~/dagRuns/~/taskInstances/~/xcomEntries", xcoms::XCOM_COLUMNS),
        ("/api/v2/pools", pools::POOL_COLUMNS),
        ("/api/v2/eventLogs", audit::AUDIT_COLUMNS),
        ("/api/v2/variables", secrets::VARIABLE_COLUMNS),
        ("/api/v2/connections", secrets::CONNECTION_COLUMNS),
    ] {
        for column in columns {
            let name = column.name;
            let tests: &[(&str, &str)] = match column.kind {
                // Words of a few: any other is refused.
                Kind::Text if matches!(name, "state" | "last_dag_run_state") => &[("", "success"), ("_pattern", "x")],
                Kind::Text if name == "run_type" => &[("", "manual"), ("_prefix_pattern", "x")],
                Kind::Text => &[("", "x"), ("_pattern", "x"), ("_prefix_pattern", "x")],
                // Refused of DAGs without partitions, which all are.
                Kind::Time if name == "partition_date" => &[("", "2026-01-01")],
                Kind::Time => &[("", "2026-01-01"), ("_gte", "2026-01-01"), ("_lt", "2026-01-01T00:00:00Z")],
                Kind::Number => &[("", "1"), ("_gt", "1"), ("_lte", "1.5")],
                Kind::Real => &[("_gt", "1"), ("_lte", "1.5")],
                Kind::Bool => &[("", "true"), ("", "false")],
            };
            for (suffix, value) in tests {
                api.get(&format!("{path}?order_by=-{name}&{name}{suffix}={value}")).await;
            }
        }
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn waiting_for_a_run_ends_with_it(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    api.send("PATCH", "/api/v2/dags/diamond/dagRuns/r1", json!({"state": "success"})).await;
    let answer = api.call("GET", "/api/v2/dags/diamond/dagRuns/r1/wait?interval=1&result=a", None, "*/*").await;
    assert_eq!(answer.text, "{\"results\":{\"a\":{\"rows\":7}},\"state\":\"success\"}\n");
    assert_eq!(api.refused("GET", "/api/v2/dags/diamond/dagRuns/r1/wait?interval=0", None).await.0, 422);
}
