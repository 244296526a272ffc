//! Backfills over the API: Airflow's answers and refusals, what there is to run, and who is told.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;
use updraft_model::DagSpec;
use updraft_store::{DagUpsert, Store};

use crate::harness::Api;

/// Stores a daily DAG; its hash is the command of its first task.
async fn daily(api: &Api, dag_id: &str, command: &str, tasks: &[&str], task: Value) {
    let tasks: Vec<Value> = tasks
        .iter()
        .map(|id| {
            let mut one = json!({"task_id": id, "run": {"kind": "bash", "bash_command": command}});
            one.as_object_mut().unwrap().extend(task.as_object().unwrap().clone());
            one
        })
        .collect();
    let spec: DagSpec = serde_json::from_value(json!({
        "dag_id": dag_id, "schedule": {"kind": "cron", "expressions": ["0 0 * * *"]}, "start_date": "2026-01-01T00:00:00Z", "tasks": tasks,
        "params": {"region": {"value": "eu", "schema": {"type": "string", "enum": ["eu", "us"]}}},
    }))
    .unwrap();
    let (text, hash) = (spec.canonical_json(), spec.version_hash());
    let dag = DagUpsert {
        spec: &spec,
        json: &text,
        hash: &hash,
        source: "",
        bundle: "dags-folder",
        relative_fileloc: "daily.py",
        fileloc: "/dags/daily.py",
        git_commit: None,
        paused_at_creation: false,
        max_active_runs: 1,
        parse_ms: 1.0,
        timetable_summary: "",
        timetable_description: "",
    };
    Store::from_pool(api.pool.clone()).dag_upsert(&dag).await.unwrap();
}

fn wanted(first: u32, last: u32) -> Value {
    json!({"dag_id": "daily", "from_date": format!("2026-02-{first:02}T00:00:00Z"), "to_date": format!("2026-02-{last:02}T00:00:00Z")})
}

fn with(mut body: Value, more: Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn runs(api: &Api) -> Vec<(String, String)> {
    let answer = api.get("/api/v2/dags/daily/dagRuns?run_type=backfill&order_by=logical_date").await;
    let text = |run: &Value, key: &str| run[key].as_str().unwrap().to_owned();
    answer["dag_runs"].as_array().unwrap().iter().map(|run| (text(run, "dag_run_id"), text(run, "state"))).collect()
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_backfill_is_made_run_and_complete(pool: PgPool) {
    let api = Api::new(pool).await;
    daily(&api, "daily", "true", &["only"], json!({})).await;
    let dry = api.send("POST", "/api/v2/backfills/dry_run", with(wanted(1, 3), json!({"run_backwards": true}))).await;
    assert_eq!(dry["total_entries"], 3);
    assert_eq!(dry["backfills"][0], json!({"logical_date": "2026-02-03T00:00:00Z", "partition_key": null, "partition_date": null}));
    assert!(runs(&api).await.is_empty(), "nothing is made");

    let made =
        api.send("POST", "/api/v2/backfills", with(wanted(1, 3), json!({"max_active_runs": 2, "dag_run_conf": {"region": "us"}}))).await;
    assert_eq!(
        (&made["dag_id"], &made["dag_display_name"], &made["from_date"]),
        (&json!("daily"), &json!("daily"), &json!("2026-02-01T00:00:00Z"))
    );
    assert_eq!((&made["is_paused"], &made["reprocess_behavior"], &made["completed_at"]), (&json!(false), &json!("none"), &Value::Null));
    assert_eq!(made["dag_run_conf"], json!({"region": "us"}));
    let states: Vec<String> = runs(&api).await.into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, ["running", "running", "queued"], "it starts at once, under its own limit: the DAG's is 1");
    let first = api.get("/api/v2/dags/daily/dagRuns/backfill__2026-02-01T00%3A00%3A00%2B00%3A00").await;
    assert_eq!(
        (&first["run_type"], &first["triggered_by"], &first["conf"]),
        (&json!("backfill"), &json!("backfill"), &json!({"region": "us"}))
    );
    assert_eq!(api.get("/ui/backfills/1").await["run_counts"], json!({"running": 2, "queued": 1}));
    let mine = api.send("POST", "/api/v2/dags/daily/dagRuns", json!({"logical_date": null})).await;
    assert_eq!(mine["state"], "running", "the backfill takes no room");

    let path = "/ui/why/daily/backfill__2026-02-03T00%3A00%3A00%2B00%3A00/only";
    let why = api.get(path).await;
    assert_eq!(why["waiting"][0]["detail"], "2 runs of backfill 1 are running and max_active_runs is 2");
    api.send("PUT", "/api/v2/backfills/1/pause", json!({})).await;
    let why = api.get(path).await;
    assert_eq!(
        (&why["waiting"][0]["kind"], &why["waiting"][0]["remedy"]),
        (&json!("backfill_paused"), &json!("updraft backfill unpause 1"))
    );
    api.send("PUT", "/api/v2/backfills/1/unpause", json!({})).await;

    api.sql("update run set state = 'success', end_date = now() where state = 'running'").await;
    api.send("PATCH", "/api/v2/dags/daily", json!({"is_paused": false})).await;
    assert_eq!(runs(&api).await.last().unwrap().1, "running");
    assert_eq!(api.get("/api/v2/backfills/1").await["completed_at"], Value::Null);
    api.sql("update run set state = 'failed', end_date = now() where state = 'running'").await;
    api.send("PATCH", "/api/v2/dags/daily", json!({"is_paused": false})).await;
    assert_ne!(api.get("/api/v2/backfills/1").await["completed_at"], Value::Null);
    for verb in ["pause", "unpause", "cancel"] {
        let (status, detail) = api.refused("PUT", &format!("/api/v2/backfills/1/{verb}"), None).await;
        assert_eq!((status, detail), (409, json!("Backfill is already completed.")), "{verb}");
    }
    let log = api.get("/api/v2/eventLogs?dag_id=daily").await;
    let events: Vec<&str> = log["event_logs"].as_array().unwrap().iter().map(|entry| entry["event"].as_str().unwrap()).collect();
    assert_eq!(events[..4], ["create_backfill", "trigger_dag_run", "pause_backfill", "unpause_backfill"]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_cancelled_backfill_can_be_made_up_for(pool: PgPool) {
    let api = Api::new(pool).await;
    daily(&api, "daily", "true", &["only"], json!({})).await;
    api.send("PATCH", "/api/v2/dags/daily", json!({"is_paused": true})).await;
    api.send("POST", "/api/v2/backfills", wanted(1, 2)).await;
    let (status, detail) = api.refused("POST", "/api/v2/backfills", Some(wanted(5, 6))).await;
    assert_eq!((status, detail), (409, json!("There is already a running backfill for dag daily")));
    let over = api.send("PUT", "/api/v2/backfills/1/cancel", json!({})).await;
    assert!(over["is_paused"] == true && over["completed_at"].is_string(), "{over}");
    assert!(runs(&api).await.iter().all(|(_, state)| state == "failed"));

    // What never began can be cleared all the same, and runs as one of the DAG's own.
    let path = "/api/v2/dags/daily/dagRuns/backfill__2026-02-01T00%3A00%3A00%2B00%3A00";
    assert_eq!(api.send("POST", &format!("{path}/clear"), json!({"dry_run": false})).await["state"], "queued");
    api.send("PATCH", "/api/v2/dags/daily", json!({"is_paused": false})).await;
    assert_eq!(api.get(path).await["state"], "running");

    let again = with(wanted(1, 3), json!({"reprocess_behavior": "failed"}));
    let dry = api.send("POST", "/api/v2/backfills/dry_run", again.clone()).await;
    let dates: Vec<&str> = dry["backfills"].as_array().unwrap().iter().map(|b| b["logical_date"].as_str().unwrap()).collect();
    assert_eq!(dates, ["2026-02-02T00:00:00Z", "2026-02-03T00:00:00Z"], "the first is in flight");
    assert_eq!(api.send("POST", "/api/v2/backfills", again).await["id"], 2);
    assert_eq!(api.get("/ui/backfills/2").await["run_counts"], json!({"running": 2}));
    let list = api.get("/api/v2/backfills?dag_id=daily&order_by=-id&limit=1").await;
    assert_eq!((&list["backfills"][0]["id"], &list["total_entries"]), (&json!(2), &json!(2)));
    assert_eq!(api.get("/api/v2/backfills?dag_id=nope").await["total_entries"], 0);
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_done_again_is_the_dag_of_today(pool: PgPool) {
    let api = Api::new(pool).await;
    daily(&api, "daily", "false", &["a", "b"], json!({})).await;
    let first = wanted(1, 2);
    api.send("POST", "/api/v2/backfills", first.clone()).await;
    let fail = "update run set state = 'failed', end_date = now(); update task_instance set state = 'failed', ended_at = now()";
    api.sql(fail).await;
    let versions = async || -> Vec<i64> {
        let found = api.get("/api/v2/dags/daily/dagRuns?order_by=logical_date").await;
        found["dag_runs"].as_array().unwrap().iter().map(|run| run["dag_versions"][0]["version_number"].as_i64().unwrap()).collect()
    };
    // The command was mended, and a task came after the others.
    daily(&api, "daily", "true", &["a", "b", "c"], json!({})).await;
    let again = |latest: bool| with(first.clone(), json!({"reprocess_behavior": "failed", "run_on_latest_version": latest}));
    api.send("POST", "/api/v2/backfills", again(false)).await;
    assert_eq!(versions().await, [1, 1]);
    api.sql(fail).await;
    api.send("POST", "/api/v2/backfills", again(true)).await;
    assert_eq!(versions().await, [2, 2]);
    let path = "/api/v2/dags/daily/dagRuns/backfill__2026-02-01T00%3A00%3A00%2B00%3A00/taskInstances";
    assert_eq!(api.get(path).await["total_entries"], 3);
    api.sql(fail).await;
    // A task is gone: the places of the others are no longer theirs.
    daily(&api, "daily", "true", &["a", "c"], json!({})).await;
    api.send("POST", "/api/v2/backfills", again(true)).await;
    assert_eq!(versions().await, [2, 2]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_wrong_backfill_is_refused_with_airflows_words(pool: PgPool) {
    let api = Api::new(pool).await;
    daily(&api, "daily", "true", &["only"], json!({})).await;
    daily(&api, "chained", "true", &["only"], json!({"depends_on_past": true})).await;
    daily(&api, "downstream", "true", &["only"], json!({"wait_for_downstream": true})).await;
    let past = "Dag has tasks for which depends_on_past=True. You must set reprocess behavior to reprocess completed or reprocess failed.";
    for (more, text) in [
        (
            json!({"from_date": "2026-02-05"}),
            "from_date (2026-02-05T00:00:00+00:00) must not be after to_date (2026-02-03T00:00:00+00:00).",
        ),
        (json!({"from_date": "2126-02-01", "to_date": "2126-02-03"}), "Backfill cannot be executed for future dates."),
        (json!({"dag_id": "with_params"}), "with_params has a non-periodic schedule that does not support backfills"),
        (json!({"dag_id": "chained"}), past),
        (json!({"dag_id": "downstream"}), past),
        (
            json!({"dag_id": "chained", "run_backwards": true, "reprocess_behavior": "failed"}),
            "Backfill cannot be run in reverse when the Dag has tasks where depends_on_past=True.",
        ),
        (json!({"dag_run_conf": {"region": "as"}}), "Invalid input for param region: \"as\" is not one of [\"eu\",\"us\"]"),
        (
            json!({"dag_id": "diamond", "from_date": "2024-01-01"}),
            "this is too much for one backfill, which has at most 10000 runs and 500000 task instances: take a shorter range, and the rest when it is complete",
        ),
    ] {
        for path in ["/api/v2/backfills", "/api/v2/backfills/dry_run"] {
            let (status, detail) = api.refused("POST", path, Some(with(wanted(1, 3), more.clone()))).await;
            assert_eq!((status, &detail[0]["msg"]), (422, &json!(text)), "{path} {more}");
        }
    }
    let between = json!({"from_date": "2026-02-01T01:00:00Z", "to_date": "2026-02-01T02:00:00Z"});
    let (status, detail) = api.refused("POST", "/api/v2/backfills", Some(with(wanted(1, 1), between.clone()))).await;
    let text = "No runs to create for Dag daily in the range [2026-02-01 01:00:00+00:00, 2026-02-01 02:00:00+00:00]";
    assert_eq!((status, &detail[0]["msg"]), (422, &json!(text)));
    assert_eq!(
        api.send("POST", "/api/v2/backfills/dry_run", with(wanted(1, 1), between)).await,
        json!({"backfills": [], "total_entries": 0})
    );
    for (more, field) in [
        (json!({"surprise": 1}), "surprise"),
        (json!({"reprocess_behavior": "all"}), "reprocess_behavior"),
        (json!({"from_date": null}), "from_date"),
        (json!({"dag_id": null}), "dag_id"),
        (json!({"max_active_runs": "x"}), "max_active_runs"),
        (json!({"max_active_runs": 0}), "max_active_runs"),
        (json!({"dag_run_conf": []}), "dag_run_conf"),
    ] {
        let (status, detail) = api.refused("POST", "/api/v2/backfills", Some(with(wanted(1, 3), more))).await;
        assert_eq!((status, &detail[0]["loc"], detail.as_array().map(Vec::len)), (422, &json!(["body", field]), Some(1)), "{detail}");
    }
    let (status, detail) = api.refused("POST", "/api/v2/backfills", Some(json!({}))).await;
    assert_eq!((status, detail.as_array().map(Vec::len)), (422, Some(3)));
    api.sql("update dag set is_stale = true where dag_id = 'downstream'").await;
    for dag_id in ["nope", "downstream"] {
        for path in ["/api/v2/backfills", "/api/v2/backfills/dry_run"] {
            let (status, detail) = api.refused("POST", path, Some(with(wanted(1, 3), json!({"dag_id": dag_id})))).await;
            assert_eq!((status, detail), (404, json!(format!("Could not find dag {dag_id}"))));
        }
    }
    for (method, path) in [
        ("GET", "/api/v2/backfills/9"),
        ("GET", "/ui/backfills/9"),
        ("PUT", "/api/v2/backfills/9/pause"),
        ("PUT", "/api/v2/backfills/9/unpause"),
        ("PUT", "/api/v2/backfills/9/cancel"),
    ] {
        assert_eq!(api.refused(method, path, None).await, (404, json!("Backfill not found")), "{path}");
    }
    assert_eq!(api.refused("GET", "/api/v2/backfills/-1", None).await.0, 422);
    assert_eq!(api.refused("GET", "/api/v2/backfills?dag_id=daily&order_by=from_date", None).await.0, 400);
    let (status, detail) = api.refused("GET", "/api/v2/backfills", None).await;
    assert_eq!((status, &detail[0]["loc"], &detail[0]["type"]), (422, &json!(["query", "dag_id"]), &json!("missing")));
    let left: i64 = sqlx::query_scalar("select count(*) from backfill").fetch_one(&api.pool).await.unwrap();
    assert_eq!(left, 0);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_dag_takes_its_backfills_with_it(pool: PgPool) {
    let api = Api::new(pool).await;
    daily(&api, "daily", "true", &["only"], json!({})).await;
    api.send("POST", "/api/v2/backfills", wanted(1, 3)).await;
    assert_eq!(api.call("DELETE", "/api/v2/dags/daily", None, "application/json").await.status, StatusCode::OK);
    assert_eq!(api.get("/api/v2/backfills?dag_id=daily").await["total_entries"], 0);
    assert!(runs(&api).await.is_empty());
}
