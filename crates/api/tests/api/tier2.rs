//! What few clients ask for: XComs by hand, a DAG's end, and polite refusals.

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::Api;

#[sqlx::test(migrations = "../../migrations")]
async fn xcoms_by_hand(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let path = "/api/v2/dags/diamond/dagRuns/r1/taskInstances/a/xcomEntries";
    let made = api.call("POST", path, Some(json!({"key": "rows", "value": {"n": [1, null]}})), "application/json").await;
    assert_eq!(made.status.as_u16(), 201);
    assert_eq!((&made.json()["value"], &made.json()["map_index"]), (&json!({"n": [1, null]}), &json!(-1)));
    let (status, detail) = api.refused("POST", path, Some(json!({"key": "rows", "value": 1}))).await;
    assert_eq!((status, detail), (409, json!("The XCom with key: `rows` with mentioned task instance already exists.")));
    assert_eq!(api.send("PATCH", &format!("{path}/rows"), json!({"value": 2})).await["value"], 2);
    assert_eq!(api.get(&format!("{path}/rows")).await["value"], 2);
    assert_eq!(api.status("DELETE", &format!("{path}/rows")).await, 204);
    for (method, body) in [("PATCH", Some(json!({"value": 1}))), ("DELETE", None)] {
        let (status, detail) = api.refused(method, &format!("{path}/rows"), body).await;
        assert_eq!((status, detail), (404, json!("The XCom with key: `rows` with mentioned task instance doesn't exist.")), "{method}");
    }
    let (status, detail) = api.refused("POST", path, Some(json!({"key": ""}))).await;
    assert_eq!((status, detail.as_array().map(Vec::len)), (422, Some(2)), "{detail}");
    let nope = "/api/v2/dags/diamond/dagRuns/r1/taskInstances/nope/xcomEntries";
    let rows = &format!("{path}/rows");
    let (status, detail) = api.refused("POST", nope, Some(json!({"key": "k", "value": 1}))).await;
    assert_eq!((status, detail), (404, json!("Task with ID: `nope` not found in dag: `diamond`")));
    let (status, detail) = api.refused("POST", &path.replace("r1", "r7"), Some(json!({"key": "k", "value": 1}))).await;
    assert_eq!((status, detail), (404, json!("Dag Run with ID: `r7` not found for dag: `diamond`")));
    for (method, path, body) in
        [("POST", path, json!({"key": "k", "value": {"__type": "x"}})), ("PATCH", rows, json!({"value": ["[{\"__var\": 1}]"]}))]
    {
        let (status, detail) = api.refused(method, path, Some(body)).await;
        assert_eq!((status, &detail[0]["loc"]), (422, &json!(["body", "value"])), "{detail}");
    }
    let large = json!({"key": "k", "value": "x".repeat(2 << 20)});
    assert_eq!(api.refused("POST", path, Some(large)).await.0, 422);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_dag_is_deleted_when_nothing_of_it_runs(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let path = "/api/v2/dags/diamond";
    let (status, detail) = api.refused("DELETE", path, None).await;
    assert_eq!((status, detail), (409, json!("Task instances of dag with id: 'diamond' are still running")));
    api.sql("delete from live_attempt").await;
    api.send("POST", &format!("{path}/dagRuns"), json!({"logical_date": null, "dag_run_id": "r2"})).await;
    assert_eq!(api.call("DELETE", path, None, "application/json").await.json(), Value::Null);
    assert_eq!(api.get(&format!("{path}/dagRuns")).await["total_entries"], 0);
    assert_eq!(api.get(path).await["dag_id"], "diamond", "its file has it: it would be back at the next look");
    // The number of an attempt is never used again.
    let kept: i64 =
        sqlx::query_scalar("select count(*) from attempt_tombstone where dag_id = 'diamond'").fetch_one(&api.pool).await.unwrap();
    assert_eq!(kept, 2);
    api.sql("update dag set is_stale = true where dag_id = 'diamond'").await;
    assert_eq!(api.status("DELETE", path).await, 200);
    let (status, detail) = api.refused("DELETE", path, None).await;
    assert_eq!((status, detail), (404, json!("Dag with id: diamond was not found")));
    assert_eq!(api.get("/api/v2/dags/with_params").await["dag_id"], "with_params");
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_updraft_has_not_is_refused_with_the_reason(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let instance = "/api/v2/dags/diamond/dagRuns/r1/taskInstances/a";
    for (method, path, words) in [
        ("GET", "/api/v2/assets", "no assets"),
        ("POST", "/api/v2/assets/7/materialize", "no assets"),
        ("GET", "/api/v2/dags/diamond/assets/queuedEvents", "no assets"),
        ("GET", "/api/v2/plugins/importErrors", "no plugins"),
        ("GET", "/api/v2/providers", "no providers"),
        ("PUT", "/api/v2/parseDagFile/x", "when it changes"),
        ("GET", "/api/v2/auth/login", "POST /auth/token"),
        ("POST", "/api/v2/connections/defaults", "no default connections"),
        ("GET", "/api/v2/dags/diamond/dagRuns/r1/hitlDetails", "ask people"),
        ("GET", &format!("{instance}/-1/hitlDetails"), "ask people"),
        ("GET", &format!("{instance}/state-store"), "no state store"),
        ("DELETE", &format!("{instance}/state-store/k"), "no state store"),
    ] {
        let (status, detail) = api.refused(method, path, None).await;
        assert_eq!(status, 501, "{path}: {detail}");
        assert!(detail.as_str().unwrap().contains(words), "{path}: {detail}");
    }
    assert_eq!(api.refused("GET", "/api/v2/nonsense", None).await, (404, json!("Not Found")));
    assert_eq!(api.refused("GET", "/api/v2/config/section/core/option/fernet_key", None).await.0, 403);
    assert_eq!(api.get(&format!("{instance}/links")).await, json!({"extra_links": {}, "total_entries": 0}));
    assert_eq!(api.get("/api/v2/dags/diamond/dagRuns/r1/upstreamAssetEvents").await["asset_events"], Value::Array(vec![]));
    assert_eq!(api.refused("GET", &format!("{instance}/externalLogUrl/1"), None).await.0, 400);
}

#[sqlx::test(migrations = "../../migrations")]
async fn filters_are_read_as_airflows_client_writes_them(pool: PgPool) {
    let api = Api::new(pool).await;
    for n in 1..=3 {
        let body =
            json!({"logical_date": format!("2026-01-0{n}T00:00:00Z"), "dag_run_id": format!("r{n}"), "conf": {"n": n, "rate": "5%"}});
        api.send("POST", "/api/v2/dags/diamond/dagRuns", body).await;
    }
    for (query, expected) in [
        ("logical_date_gte=2026-01-02T00%3A00%3A00.000000%2B0000", vec!["r2", "r3"]),
        ("logical_date_lt=2026-01-02T01%3A00%3A00.000000%2B0100", vec!["r1"]),
        ("run_id_pattern=r1%7CR3", vec!["r1", "r3"]),
        ("run_id_prefix_pattern=r1%7Cr2", vec!["r1", "r2"]),
        ("run_id_prefix_pattern=R", vec![]),
        ("conf_contains=%22n%22%3A%202", vec!["r2"]),
        ("conf_contains=5%25%22", vec!["r1", "r2", "r3"]),
        ("conf_contains=_", vec![]),
    ] {
        let page = api.get(&format!("/api/v2/dags/diamond/dagRuns?order_by=logical_date&{query}")).await;
        let found: Vec<&str> = page["dag_runs"].as_array().unwrap().iter().map(|run| run["dag_run_id"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{query}");
    }
}
