//! What the audit log says of a change: before and after, and no secret in either.

use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::PgPool;
use updraft_api::Access;
use updraft_broker::Broker;
use updraft_store::Keyring;

use crate::harness::Api;

async fn api(pool: PgPool) -> Api {
    let keyring = Some(Arc::new(Keyring::parse(&Keyring::generate("first").unwrap()).unwrap()));
    Api::with(pool, Broker::in_process(), Access { keyring, ..Access::default() }).await
}

/// Events with what stands beside them, oldest first.
async fn entries(api: &Api) -> Vec<(String, Value)> {
    sqlx::query_as("select event, coalesce(extra, 'null') from audit_log order by id").fetch_all(&api.pool).await.unwrap()
}

fn is(event: &str, extra: Value) -> (String, Value) {
    (event.to_owned(), extra)
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_pool_is_told_before_and_after(pool: PgPool) {
    let api = api(pool).await;
    let path = "/api/v2/pools";
    api.send("POST", path, json!({"name": "p", "slots": 3, "description": "d"})).await;
    assert_eq!(api.refused("POST", path, Some(json!({"name": "p", "slots": 4}))).await.0, 409);
    api.send("PATCH", &format!("{path}/p?update_mask=slots"), json!({"slots": 5, "description": "no"})).await;
    let existing =
        json!({"action": "create", "entities": [{"name": "p", "slots": 6}, {"name": "q", "slots": 1}], "action_on_existence": "overwrite"});
    api.send("PATCH", path, json!({"actions": [existing]})).await;
    assert_eq!(api.status("DELETE", &format!("{path}/p")).await, 204);
    assert_eq!(api.status("DELETE", &format!("{path}/p")).await, 404);
    let of = |name: &str, slots: i32, description: Option<&str>| json!({"name": name, "slots": slots, "description": description, "include_deferred": false});
    let p = |slots: i32| of("p", slots, Some("d"));
    assert_eq!(
        entries(&api).await,
        [
            is("post_pool", json!({"after": p(3)})),
            is("patch_pool", json!({"before": p(3), "after": p(5)})),
            is("patch_pool", json!({"before": p(5), "after": p(6)})),
            is("post_pool", json!({"after": of("q", 1, None)})),
            is("bulk_pools", json!({"create": {"success": ["p", "q"], "errors": []}, "update": null, "delete": null})),
            is("delete_pool", json!({"before": p(6)})),
        ],
        "what was refused has no entry"
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn values_of_variables_stand_nowhere(pool: PgPool) {
    let api = api(pool).await;
    let path = "/api/v2/variables";
    api.send("POST", path, json!({"key": "region", "value": "canary-1", "description": "d"})).await;
    let one = &format!("{path}/region");
    api.send("PATCH", one, json!({"key": "region", "value": "canary-1", "description": "e"})).await;
    api.send("PATCH", one, json!({"key": "region", "value": "canary-two"})).await;
    api.send("PATCH", one, json!({"key": "region", "value": "***"})).await;
    let delete = json!({"action": "delete", "entities": ["region"]});
    api.send("PATCH", path, json!({"actions": [delete]})).await;
    let v = |description: &str| json!({"key": "region", "value": "***", "description": description});
    let patch = |before: &str, after: &str, value: &str| json!({"key": "region", "before": v(before), "after": v(after), "value": value});
    assert_eq!(
        entries(&api).await,
        [
            is("post_variable", json!({"key": "region", "after": v("d")})),
            is("patch_variable", patch("d", "e", "kept")),
            is("patch_variable", patch("e", "e", "changed")),
            is("patch_variable", patch("e", "e", "kept")),
            is("delete_variable", json!({"key": "region", "before": v("e")})),
            is("bulk_variables", json!({"create": null, "update": null, "delete": {"success": ["region"], "errors": []}})),
        ]
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn secrets_of_connections_stand_nowhere(pool: PgPool) {
    let api = api(pool).await;
    let path = "/api/v2/connections";
    let body = |host: &str, password: &str, extra: &str| json!({"connection_id": "c", "conn_type": "http", "host": host, "password": password, "extra": extra});
    api.send("POST", path, body("h", "canary-1", r#"{"region": "canary-2", "token": "canary-3"}"#)).await;
    let one = &format!("{path}/c");
    // As the API shows it: nothing of what is masked changes.
    api.send("PATCH", one, body("h2", "***", r#"{"region": "canary-2", "token": "***"}"#)).await;
    api.send("PATCH", one, body("h2", "canary-four", r#"{"region": "canary-5", "token": "***"}"#)).await;
    api.send("PATCH", one, json!({"connection_id": "c", "conn_type": "http", "password": null, "extra": null})).await;
    assert_eq!(api.status("DELETE", one).await, 204);
    let c = |host: &str, secret: Option<&str>| {
        json!({"connection_id": "c", "conn_type": "http", "description": null, "host": host, "login": null, "schema": null, "port": null,
            "password": secret, "extra": secret})
    };
    let hidden = Some("***");
    let patch = |before: Value, after: Value, secrets: &str| json!({"connection_id": "c", "before": before, "after": after, "password": secrets, "extra": secrets});
    assert_eq!(
        entries(&api).await,
        [
            is("post_connection", json!({"connection_id": "c", "after": c("h", hidden)})),
            is("patch_connection", patch(c("h", hidden), c("h2", hidden), "kept")),
            is("patch_connection", patch(c("h2", hidden), c("h2", hidden), "changed")),
            is("patch_connection", patch(c("h2", hidden), c("h2", None), "changed")),
            is("delete_connection", json!({"connection_id": "c", "before": c("h2", None)})),
        ]
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn pauses_marks_and_notes_are_told_before_and_after(pool: PgPool) {
    let api = api(pool).await;
    api.half_done().await;
    let dag = "/api/v2/dags/diamond";
    for paused in [true, false, false] {
        api.send("PATCH", dag, json!({"is_paused": paused})).await;
    }
    let instance = &format!("{dag}/dagRuns/r1/taskInstances/c");
    api.send("PATCH", instance, json!({"new_state": "success", "note": "by hand"})).await;
    let state = api.get(&format!("{dag}/dagRuns/r1")).await["state"].clone();
    api.send("PATCH", &format!("{dag}/dagRuns/r1"), json!({"note": "one"})).await;
    api.send("PATCH", &format!("{dag}/dagRuns/r1"), json!({"note": "two", "state": "success"})).await;
    let entity = json!({"dag_id": "diamond", "dag_run_id": "r1", "note": "three"});
    api.send("PATCH", &format!("{dag}/dagRuns"), json!({"actions": [{"action": "update", "entities": [entity]}]})).await;
    let found: Vec<(String, Value, Value)> = sqlx::query_as(
        "select event, coalesce(extra -> 'before', 'null'), coalesce(extra -> 'after', 'null') from audit_log where event <> 'trigger_dag_run' order by id",
    )
    .fetch_all(&api.pool)
    .await
    .unwrap();
    let paused = |before: bool, after: bool| ("patch_dag".to_owned(), json!({"is_paused": before}), json!({"is_paused": after}));
    let run = |event: &str, before: Value, after: Value| (event.to_owned(), before, after);
    assert_eq!(
        found,
        [
            paused(false, true),
            paused(true, false),
            paused(false, false),
            run("patch_task_instance", json!({"note": null, "state": "failed"}), json!({"note": "by hand", "state": "success"})),
            run("patch_dag_run", json!({"note": null}), json!({"note": "one"})),
            run("patch_dag_run", json!({"note": "one", "state": state}), json!({"note": "two", "state": "success"})),
            run("bulk_dag_runs", json!({"note": "two"}), json!({"note": "three"})),
        ]
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_cannot_be_noted_is_not_done(pool: PgPool) {
    let api = api(pool).await;
    api.send("POST", "/api/v2/pools", json!({"name": "p", "slots": 3})).await;
    api.send("POST", "/api/v2/variables", json!({"key": "v", "value": 1})).await;
    api.send("POST", "/api/v2/connections", json!({"connection_id": "c", "conn_type": "http"})).await;
    api.sql("alter table audit_log add constraint no_room check (false) not valid").await;
    let bodies = [
        ("PATCH", "/api/v2/pools/p", json!({"slots": 4})),
        ("POST", "/api/v2/pools", json!({"name": "q", "slots": 4})),
        ("DELETE", "/api/v2/pools/p", Value::Null),
        ("PATCH", "/api/v2/variables/v", json!({"key": "v", "value": 2})),
        ("DELETE", "/api/v2/variables/v", Value::Null),
        ("PATCH", "/api/v2/connections/c", json!({"connection_id": "c", "conn_type": "ftp"})),
        ("DELETE", "/api/v2/connections/c", Value::Null),
        ("PATCH", "/api/v2/dags/diamond", json!({"is_paused": true})),
    ];
    for (method, path, body) in bodies {
        assert_eq!(api.refused(method, path, Some(body).filter(|body| !body.is_null())).await.0, 500, "{method} {path}");
    }
    assert_eq!(api.get("/api/v2/pools/p").await["slots"], 3);
    assert_eq!(api.get("/api/v2/pools").await["total_entries"], 2);
    assert_eq!(api.get("/api/v2/variables/v").await["value"], "1");
    assert_eq!(api.get("/api/v2/connections/c").await["conn_type"], "http");
    assert_eq!(api.get("/api/v2/dags/diamond").await["is_paused"], false);
}
