//! The API on a database of the test's own, with two DAGs.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt as _;
use updraft_api::{Access, ApiState, router};
use updraft_broker::Broker;
use updraft_model::{DagSpec, Semantics};
use updraft_planner::Defaults;
use updraft_store::{DagUpsert, Keyring, Store};

pub(crate) struct Api {
    pub(crate) app: Router,
    pub(crate) pool: PgPool,
    pub(crate) keyring: Option<Arc<Keyring>>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text))
    }
}

impl Api {
    pub(crate) async fn new(pool: PgPool) -> Self {
        Self::with(pool, Broker::in_process(), Access::default()).await
    }

    pub(crate) async fn with(pool: PgPool, broker: Broker, access: Access) -> Self {
        let store = Store::from_pool(pool.clone());
        for spec in [diamond(), with_params()] {
            upsert(&store, &spec).await;
        }
        let keyring = access.keyring.clone();
        let state = ApiState::new(store, broker, Semantics::Airflow3, Defaults::default(), "0.1.0", chrono::Utc::now(), access);
        Self { app: router(state), pool, keyring }
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>, accept: &str) -> Answer {
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

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", path, None, "application/json").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.json()
    }

    pub(crate) async fn refused(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let answer = self.call(method, path, body, "application/json").await;
        (answer.status.as_u16(), answer.json()["detail"].take())
    }

    pub(crate) async fn status(&self, method: &str, path: &str) -> u16 {
        self.call(method, path, None, "application/json").await.status.as_u16()
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.call(method, path, Some(body), "application/json").await;
        assert!(answer.status.is_success(), "{method} {path}: {} {}", answer.status, answer.text);
        answer.json()
    }

    pub(crate) async fn sql(&self, text: &'static str) {
        sqlx::raw_sql(text).execute(&self.pool).await.unwrap();
    }

    /// A run `r1` of `diamond` in which `a` failed once and then succeeded, `b` runs, `c` failed and `d` waits.
    pub(crate) async fn half_done(&self) {
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

/// What the scheduler stores when it has read a file.
pub(crate) async fn upsert(store: &Store, spec: &DagSpec) {
    let json = spec.canonical_json();
    let hash = spec.version_hash();
    let dag = DagUpsert {
        spec,
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
    };
    store.dag_upsert(&dag).await.unwrap();
}

pub(crate) fn diamond() -> DagSpec {
    let task = |id: &str, up: &[&str]| {
        json!({"task_id": id, "run": {"kind": "bash", "bash_command": "true"}, "upstream": up, "operator": "BashOperator",
        "operator_module": "airflow.providers.standard.operators.bash", "retries": if id == "a" { 1 } else { 0 }, "template_fields": ["bash_command", "env", "cwd"]})
    };
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
