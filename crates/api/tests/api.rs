//! The API against a real Postgres: shapes as Airflow has them, errors, filters, pages, and what a request changes.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt as _;
use updraft_api::{ApiState, router};
use updraft_broker::Broker;
use updraft_model::{DagSpec, Semantics};
use updraft_planner::Defaults;
use updraft_store::{DagUpsert, Store};

/// Where Airflow's own answers are, on the machine where this was written. Absent elsewhere: the key lists below stand on their own.
const GOLDEN: &str = "/work/shared/airflow/golden";

struct Api {
    app: Router,
    pool: PgPool,
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text))
    }
}

impl Api {
    async fn new(pool: PgPool) -> Self {
        let store = Store::from_pool(pool.clone());
        for spec in [diamond(), with_params()] {
            let json = spec.canonical_json();
            let hash = spec.version_hash();
            store
                .dag_upsert(&DagUpsert {
                    spec: &spec,
                    json: &json,
                    hash: &hash,
                    source: "# the file\n",
                    bundle: "dags-folder",
                    relative_fileloc: "examples.py",
                    fileloc: "/dags/examples.py",
                    git_commit: None,
                    paused_at_creation: false,
                    max_active_runs: 2,
                    parse_ms: 12.5,
                    timetable_summary: "*/5 * * * *",
                    timetable_description: "Every 5 minutes",
                })
                .await
                .unwrap();
        }
        let state = ApiState::new(store, Broker::in_process(), Semantics::Airflow3, Defaults::default(), "0.1.0", chrono::Utc::now());
        Self { app: router(state), pool }
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>, accept: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:8080").header("accept", accept);
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let response = self.app.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", path, None, "application/json").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.json()
    }

    async fn refused(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let answer = self.call(method, path, body, "application/json").await;
        (answer.status.as_u16(), answer.json()["detail"].take())
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.call(method, path, Some(body), "application/json").await;
        assert!(answer.status.is_success(), "{method} {path}: {} {}", answer.status, answer.text);
        answer.json()
    }

    async fn sql(&self, text: &'static str) {
        sqlx::raw_sql(text).execute(&self.pool).await.unwrap();
    }

    /// A run `r1` of `diamond` in which `a` failed once and then succeeded, `b` runs, `c` failed and `d` waits.
    async fn half_done(&self) {
        self.send("POST", "/api/v2/dags/diamond/dagRuns", json!({"logical_date": null, "dag_run_id": "r1", "conf": {"x": 1}})).await;
        self.sql(
            "insert into worker (id, host, pid, runner, queues, concurrency) values ('00000000-0000-0000-0000-000000000001', 'h1', 1, 'process', '{default}', 4);
             insert into lease_group (id, owner, host) values ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 'h1');
             insert into attempt (run_id, idx, map_index, attempt, state, budget, reason, message, evidence, host, queue, pool, slots, queued_at, started_at, ended_at)
             select id, 0, -1, 1, 'up_for_retry', 'user', 'exit_code', 'the command exited with code 3', '{\"runner\": \"process\", \"exit_code\": 3}', 'h1', 'default', 'default_pool', 1,
                    '2026-01-01T00:00:00Z', '2026-01-01T00:00:01Z', '2026-01-01T00:00:02Z' from run where run_id = 'r1';
             insert into attempt (run_id, idx, map_index, attempt, state, evidence, host, queue, pool, slots, queued_at, started_at, ended_at)
             select id, 0, -1, 2, 'success', '{\"runner\": \"process\", \"exit_code\": 0, \"started_at\": \"2026-01-01T00:00:05Z\", \"ended_at\": \"2026-01-01T00:00:07.5Z\"}', 'h1', 'default',
                    'default_pool', 1, '2026-01-01T00:00:04Z', '2026-01-01T00:00:05Z', '2026-01-01T00:00:07.5Z' from run where run_id = 'r1';
             update task_instance set state = 'success', attempt = 2, user_failures = 1, started_at = '2026-01-01T00:00:05Z', ended_at = '2026-01-01T00:00:07.5Z' where idx = 0;
             update task_instance set state = 'queued', attempt = 1 where idx = 1;
             insert into live_attempt (run_id, idx, map_index, attempt, state, queue, pool, slots, prio, group_id, host, user_retries_left, user_retry_delay_ms, infra_retries_left,
                    infra_retry_delay_ms, launch, started_at)
             select id, 1, -1, 1, 'running', 'default', 'default_pool', 1, 2, '00000000-0000-0000-0000-000000000002', 'h1', 0, 0, 5, 0, '{}', now() from run where run_id = 'r1';
             insert into attempt (run_id, idx, map_index, attempt, state, budget, reason, message, evidence, host, queue, pool, slots, queued_at, started_at, ended_at)
             select id, 2, -1, 1, 'failed', 'user', 'oom_killed', 'the command used more memory than its limit', '{\"runner\": \"process\", \"oom_killed\": true}', 'h1', 'default',
                    'default_pool', 1, now(), now(), now() from run where run_id = 'r1';
             update task_instance set state = 'failed', attempt = 1, user_failures = 1, reason = 'oom_killed', message = 'the command used more memory than its limit',
                    started_at = now(), ended_at = now() where idx = 2;
             insert into log_chunk (run_id, idx, map_index, attempt, start, data) select id, 0, -1, 2, 0, convert_to('hello' || chr(10) || 'wor', 'utf8') from run;
             insert into log_chunk (run_id, idx, map_index, attempt, start, data) select id, 0, -1, 2, 9, convert_to('ld' || chr(10), 'utf8') from run;
             insert into xcom (run_id, idx, map_index, key, value, attempt) select id, 0, -1, 'return_value', '{\"rows\": 7}', 2 from run",
        )
        .await;
    }
}

fn diamond() -> DagSpec {
    let task = |id: &str, up: &[&str]| json!({"task_id": id, "run": {"kind": "bash", "bash_command": "true"}, "upstream": up, "operator": "BashOperator",
        "operator_module": "airflow.providers.standard.operators.bash", "retries": if id == "a" { 1 } else { 0 }, "template_fields": ["bash_command", "env", "cwd"]});
    let mut spec: DagSpec = serde_json::from_value(json!({
        "dag_id": "diamond", "schedule": {"kind": "cron", "expressions": ["*/5 * * * *"]}, "tags": ["demo"], "doc_md": "# Hello",
        "start_date": "2026-01-01T00:00:00Z", "dagrun_timeout_ms": 3_600_000,
        "tasks": [task("a", &[]), task("b", &["a"]), task("c", &["a"]), task("d", &["b", "c"])],
    }))
    .unwrap();
    spec.validate().unwrap();
    spec
}

fn with_params() -> DagSpec {
    serde_json::from_value(json!({
        "dag_id": "with_params", "schedule": {"kind": "none"},
        "params": {"region": {"value": "eu", "schema": {"type": "string", "enum": ["eu", "us"]}}, "day": {"value": null, "schema": {"type": "string"}}},
        "tasks": [{"task_id": "only", "run": {"kind": "empty"}}],
    }))
    .unwrap()
}

fn keys(value: &Value) -> Vec<String> {
    let mut keys: Vec<String> = value.as_object().unwrap_or_else(|| panic!("not an object: {value}")).keys().cloned().collect();
    keys.sort();
    keys
}

#[track_caller]
fn has_keys(value: &Value, expected: &str) {
    let mut expected: Vec<String> = expected.split_whitespace().map(str::to_owned).collect();
    expected.sort();
    assert_eq!(keys(value), expected);
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The same keys and the same types, as far as Airflow's answer shows them: null says nothing of a type.
fn same_shape(place: &str, ours: &Value, golden: &Value, problems: &mut Vec<String>) {
    match (ours, golden) {
        (Value::Object(a), Value::Object(b)) => {
            for key in b.keys().filter(|k| !a.contains_key(*k)) {
                problems.push(format!("{place}.{key} is missing"));
            }
            for (key, value) in a {
                match b.get(key) {
                    // Configurations and parameters are the user's own.
                    Some(_) if key == "conf" || key == "rendered_fields" || key == "params" => {}
                    Some(other) => same_shape(&format!("{place}.{key}"), value, other, problems),
                    None => problems.push(format!("{place}.{key} is not Airflow's")),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            if let (Some(first), Some(other)) = (a.first(), b.first()) {
                same_shape(&format!("{place}[0]"), first, other, problems);
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        // Python's whole floats and ours.
        (a, b) if kind(a) != kind(b) => problems.push(format!("{place}: {} instead of {}", kind(a), kind(b))),
        _ => {}
    }
}

fn golden(name: &str, ours: &Value) {
    let path = format!("{GOLDEN}/{name}.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("{path} is not on this machine: only the key lists are compared");
        return;
    };
    let golden: Value = serde_json::from_str(&text).unwrap();
    let mut problems = Vec::new();
    same_shape(name, ours, &golden, &mut problems);
    assert!(problems.is_empty(), "{name}: {problems:#?}");
}

const DAG_KEYS: &str = "dag_id dag_display_name is_paused is_stale last_parsed_time last_parse_duration last_expired bundle_name bundle_version \
    relative_fileloc fileloc description timetable_summary timetable_description timetable_partitioned timetable_periodic tags max_active_tasks \
    max_active_runs max_consecutive_failed_dag_runs has_task_concurrency_limits has_import_errors next_dagrun_logical_date \
    next_dagrun_data_interval_start next_dagrun_data_interval_end next_dagrun_run_after allowed_run_types owners is_backfillable file_token";
const DETAIL_KEYS: &str = "catchup dag_run_timeout asset_expression doc_md start_date end_date is_paused_upon_creation params \
    render_template_as_native_obj template_search_path timezone last_parsed default_args rerun_with_latest_version owner_links is_favorite \
    active_runs_count concurrency latest_dag_version";
const RUN_KEYS: &str = "dag_run_id dag_id logical_date queued_at start_date end_date duration data_interval_start data_interval_end run_after \
    last_scheduling_decision run_type state triggered_by triggering_user_name conf note dag_versions bundle_version dag_display_name partition_key \
    partition_date";
const INSTANCE_KEYS: &str = "id task_id dag_id dag_run_id map_index logical_date run_after start_date end_date duration state try_number max_tries \
    task_display_name dag_display_name hostname unixname pool pool_slots queue priority_weight operator operator_name queued_when scheduled_when pid \
    executor executor_config note rendered_map_index rendered_fields trigger triggerer_job dag_version";

#[sqlx::test(migrations = "../../migrations")]
async fn shapes_are_airflows(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    api.sql("insert into scheduler (id, host, pid) values ('00000000-0000-0000-0000-000000000009', 'h1', 1)").await;

    let dags = api.get("/api/v2/dags?dag_id_pattern=diamond").await;
    has_keys(&dags["dags"][0], DAG_KEYS);
    golden("dags", &dags);
    let details = api.get("/api/v2/dags/diamond/details").await;
    has_keys(&details, &format!("{DAG_KEYS} {DETAIL_KEYS}"));
    assert_eq!(details["dag_run_timeout"], "PT1H");
    assert_eq!(details["catchup"], false);
    golden("dag_details", &details);
    golden("dag_patch", &api.send("PATCH", "/api/v2/dags/diamond", json!({"is_paused": false})).await);
    golden("tasks", &api.get("/api/v2/dags/diamond/tasks").await);
    golden("dagsources", &api.get("/api/v2/dagSources/diamond").await);
    golden("dagstats", &api.get("/api/v2/dagStats").await);
    golden("dagversions", &api.get("/api/v2/dags/diamond/dagVersions").await);
    golden("importErrors", &api.get("/api/v2/importErrors").await);
    golden("variables", &api.get("/api/v2/variables").await);
    golden("connections", &api.get("/api/v2/connections").await);
    golden("jobs", &api.get("/api/v2/jobs").await);
    golden("pools", &api.get("/api/v2/pools").await);
    golden("eventlogs", &api.get("/api/v2/eventLogs").await);

    let runs = api.get("/api/v2/dags/diamond/dagRuns").await;
    has_keys(&runs, "dag_runs total_entries total_entries_limit next_cursor previous_cursor");
    has_keys(&runs["dag_runs"][0], RUN_KEYS);
    golden("dagruns", &runs);
    golden("allruns", &api.get("/api/v2/dags/~/dagRuns").await);
    let instances = api.get("/api/v2/dags/diamond/dagRuns/r1/taskInstances").await;
    has_keys(&instances["task_instances"][0], INSTANCE_KEYS);
    golden("tis", &instances);
    let logs = api.get("/api/v2/dags/diamond/dagRuns/r1/taskInstances/a/logs/2").await;
    has_keys(&logs, "content continuation_token");

    let health = api.get("/api/v2/monitor/health").await;
    assert_eq!(health["metadatabase"]["status"], "healthy");
    assert_eq!(health["scheduler"]["status"], "healthy");
    assert_eq!(health["triggerer"]["status"], Value::Null);
    has_keys(&api.get("/api/v2/version").await, "version git_version");
}

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
    let logged: i64 = sqlx::query_scalar("select count(*) from audit_log where event = 'trigger_dag_run'").fetch_one(&api.pool).await.unwrap();
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
    assert_eq!(ids(&api.get("/api/v2/dags/~/dagRuns?state=queued&state=running&logical_date_gte=2026-01-02&logical_date_lt=2026-01-03").await), ["r2"]);
    assert_eq!(ids(&api.get("/api/v2/dags/~/dagRuns?run_id_pattern=%25_1").await), ["r1"]);
    let listed = api.send("POST", "/api/v2/dags/~/dagRuns/list", json!({"dag_ids": ["diamond"], "states": ["running"], "page_limit": 1})).await;
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

    let events = |v: &Value| -> Vec<String> { v["content"].as_array().unwrap().iter().map(|l| l["event"].as_str().unwrap().to_owned()).collect() };
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
    let (status, _) = api.refused("POST", path, Some(json!({"dag_run_id": "r1", "only_failed": false, "prevent_running_task": true, "dry_run": false}))).await;
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
    let kinds = |v: &Value| -> Vec<String> { v["waiting"].as_array().unwrap().iter().map(|w| w["kind"].as_str().unwrap().to_owned()).collect() };
    let c = api.get("/ui/why/diamond/r1/c").await;
    assert_eq!((&c["reason"], &c["budget"]), (&json!("oom_killed"), &json!("user")));
    assert!(c["summary"].as_str().unwrap().contains("memory"), "{c}");
    let a = api.get("/ui/why/diamond/latest/a").await;
    assert_eq!(a["evidence"]["exit_code"], 0);
    let b = api.get("/ui/why/diamond/r1/b").await;
    assert!(b["summary"].as_str().unwrap().starts_with("running for"), "{b}");
    api.sql("update task_instance set state = 'none', reason = null, message = null, ended_at = null, started_at = null where idx = 2").await;
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
        v["findings"].as_array().unwrap().iter().find(|f| f["id"] == id).unwrap_or_else(|| panic!("no finding {id}: {v}"))["status"].as_str().unwrap().to_owned()
    };
    let before = api.get("/ui/doctor").await;
    for id in ["database", "runs-planned", "due-taken", "dags-due", "attempts-watched", "attempts-claimed", "queues-served", "pools-exist", "I3", "I4", "I7", "I9-pools", "I9-runs", "import-errors"] {
        assert_eq!(status(&before, id), "ok", "{id}: {before}");
    }
    assert_eq!((status(&before, "scheduler"), status(&before, "workers")), ("fail".to_owned(), "fail".to_owned()));
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
