//! Variables, connections and pools in bulk: Airflow's answers, and no secret in any of them nor in the database.

use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::PgPool;
use updraft_api::Access;
use updraft_broker::Broker;
use updraft_store::Keyring;

use crate::harness::Api;

fn keyring() -> Arc<Keyring> {
    Arc::new(Keyring::parse(&Keyring::generate("first").unwrap()).unwrap())
}

async fn api(pool: PgPool) -> Api {
    Api::with(pool, Broker::in_process(), Access { keyring: Some(keyring()), ..Access::default() }).await
}

#[sqlx::test(migrations = "../../migrations")]
async fn variables_come_and_go_as_in_airflow(pool: PgPool) {
    let api = api(pool).await;
    let made = api.send("POST", "/api/v2/variables", json!({"key": "region", "value": "eu", "description": "where"})).await;
    assert_eq!(made, json!({"key": "region", "value": "eu", "description": "where", "is_encrypted": true, "team_name": null}));
    let (status, detail) = api.refused("POST", "/api/v2/variables", Some(json!({"key": "region", "value": "us"}))).await;
    assert_eq!((status, detail), (409, json!("The Variable with key: `region` already exists")));
    assert_eq!(api.get("/api/v2/variables/region").await["value"], "eu");

    let path = "/api/v2/variables/region";
    let changed =
        api.send("PATCH", &format!("{path}?update_mask=value"), json!({"key": "region", "value": "us", "description": "no"})).await;
    assert_eq!((&changed["value"], &changed["description"]), (&json!("us"), &json!("where")));
    let changed = api.send("PATCH", path, json!({"key": "region", "value": {"a": 1}, "description": null})).await;
    assert_eq!((&changed["value"], &changed["description"]), (&json!("{\"a\":1}"), &Value::Null));
    let (status, detail) = api.refused("PATCH", path, Some(json!({"key": "other", "value": 1}))).await;
    assert_eq!((status, detail), (400, json!("Invalid body, key from request body doesn't match uri parameter")));

    for (body, place) in [(json!({"value": 1}), "key"), (json!({"key": "k"}), "value"), (json!({"key": "", "value": 1}), "key")] {
        let (status, detail) = api.refused("POST", "/api/v2/variables", Some(body)).await;
        assert_eq!((status, &detail[0]["loc"][1]), (422, &json!(place)));
    }
    // A key may have slashes.
    api.send("POST", "/api/v2/variables", json!({"key": "team/a", "value": 1})).await;
    assert_eq!(api.get("/api/v2/variables/team/a").await["value"], "1");
    let list = api.get("/api/v2/variables?variable_key_pattern=team&order_by=-key").await;
    assert_eq!((&list["total_entries"], &list["variables"][0]["key"]), (&json!(1), &json!("team/a")));

    assert_eq!(api.status("DELETE", path).await, 204);
    for method in ["GET", "DELETE"] {
        let (status, detail) = api.refused(method, path, None).await;
        assert_eq!((status, detail), (404, json!("The Variable with key: `region` was not found")), "{method}");
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn connections_keep_their_secrets(pool: PgPool) {
    let api = api(pool).await;
    let body = json!({
        "connection_id": "warehouse", "conn_type": "postgres", "host": "db", "port": 5432, "login": "etl", "schema": "dwh",
        "password": "canary-1", "extra": "{\"sslmode\": \"require\", \"private_key\": \"canary-2\"}",
    });
    let made = api.send("POST", "/api/v2/connections", body).await;
    assert_eq!((&made["password"], &made["port"], &made["schema"]), (&json!("***"), &json!(5432), &json!("dwh")));
    assert_eq!(made["extra"], "{\"private_key\":\"***\",\"sslmode\":\"require\"}");
    api.send("POST", "/api/v2/variables", json!({"key": "api_token", "value": "canary-3"})).await;
    api.send("POST", "/api/v2/variables", json!({"key": "settings", "value": {"db": {"password": "canary-4"}}})).await;
    assert_eq!(api.get("/api/v2/variables/api_token").await["value"], "***");
    assert_eq!(api.get("/api/v2/variables/settings").await["value"], "{\"db\":{\"password\":\"***\"}}");

    // What comes back masked stays as it was; the rest changes.
    let back = json!({"connection_id": "warehouse", "conn_type": "postgres", "password": "***", "extra": made["extra"], "host": "db2"});
    let changed = api.send("PATCH", "/api/v2/connections/warehouse", back).await;
    assert_eq!((&changed["host"], &changed["login"]), (&json!("db2"), &json!("etl")));
    let row: (Vec<u8>, Vec<u8>) =
        sqlx::query_as("select sealed_password, sealed_extra from connection").fetch_one(&api.pool).await.unwrap();
    let ring = api.keyring.as_ref().unwrap();
    assert_eq!(ring.open("connection/password/warehouse", &row.0).unwrap(), b"canary-1");
    assert!(String::from_utf8(ring.open("connection/extra/warehouse", &row.1).unwrap()).unwrap().contains("canary-2"));

    let everything = [
        api.get("/api/v2/connections").await.to_string(),
        api.get("/api/v2/connections/warehouse").await.to_string(),
        api.get("/api/v2/variables").await.to_string(),
        api.get("/api/v2/eventLogs").await.to_string(),
    ];
    assert!(everything.iter().all(|answer| !answer.contains("canary")), "{everything:?}");
    for table in ["variable", "connection", "audit_log"] {
        let dump: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select t::text from {table} t"))).fetch_all(&api.pool).await.unwrap();
        // Bytes are dumped as hexadecimal digits.
        let hex: String = "canary".bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!dump.is_empty() && dump.iter().all(|row| !row.contains("canary") && !row.contains(&hex)), "{table}: {dump:?}");
    }

    for (field, value) in [("connection_id", json!("a b")), ("port", json!(70_000)), ("extra", json!("[1]")), ("extra", json!("{"))] {
        let mut body = json!({"connection_id": "x", "conn_type": "http"});
        body[field] = value;
        let (status, detail) = api.refused("POST", "/api/v2/connections", Some(body)).await;
        assert_eq!((status, &detail[0]["loc"][1]), (422, &json!(field)));
    }
    assert_eq!(api.refused("POST", "/api/v2/connections/test", Some(json!({}))).await.0, 403);
    assert_eq!(api.status("DELETE", "/api/v2/connections/warehouse").await, 204);
    let (status, detail) = api.refused("GET", "/api/v2/connections/warehouse", None).await;
    assert_eq!((status, detail), (404, json!("The Connection with connection_id: `warehouse` was not found")));
}

#[sqlx::test(migrations = "../../migrations")]
async fn bulk_calls_are_all_or_nothing_as_far_as_what_exists_goes(pool: PgPool) {
    let api = api(pool).await;
    let variable = |key: &str, value: i32| json!({"key": key, "value": value});
    let path = "/api/v2/variables";
    let bulk = |action: Value| json!({"actions": [action]});
    let create = |existing: &str| {
        bulk(json!({"action": "create", "entities": [variable("a", 1), variable("b", 2)], "action_on_existence": existing}))
    };
    let done = api.send("PATCH", path, create("fail")).await;
    assert_eq!(done, json!({"create": {"success": ["a", "b"], "errors": []}, "update": null, "delete": null}));
    let refused = api.send("PATCH", path, bulk(json!({"action": "create", "entities": [variable("b", 3), variable("c", 3)]}))).await;
    let error = json!({"error": "The variables with these keys: {'b'} already exist.", "status_code": 409});
    assert_eq!(refused["create"], json!({"success": [], "errors": [error]}));
    assert_eq!(api.refused("GET", "/api/v2/variables/c", None).await.0, 404, "nothing of it was done");
    assert_eq!(api.send("PATCH", path, create("skip")).await["create"]["success"], json!([]));
    assert_eq!(api.send("PATCH", path, create("overwrite")).await["create"]["success"], json!(["a", "b"]));

    let update = json!({"action": "update", "entities": [variable("a", 9), variable("z", 9)]});
    let refused = api.send("PATCH", path, bulk(update.clone())).await;
    assert_eq!(refused["update"]["errors"][0]["status_code"], 404);
    let mut skipping = update;
    skipping["action_on_non_existence"] = json!("skip");
    let both = json!({"actions": [skipping, {"action": "delete", "entities": ["b", {"key": "a"}]}]});
    let done = api.send("PATCH", path, both).await;
    assert_eq!((&done["update"]["success"], &done["delete"]["success"]), (&json!(["a"]), &json!(["b", "a"])));
    let (status, detail) = api.refused("PATCH", path, Some(bulk(json!({"action": "drop", "entities": []})))).await;
    assert_eq!((status, &detail[0]["msg"]), (422, &json!("Input should be 'create' or 'update' or 'delete'")));

    let pools = json!({"actions": [
        {"action": "create", "entities": [{"name": "p", "slots": 2}]},
        {"action": "update", "entities": [{"name": "p", "slots": 3}], "update_mask": ["slots"]},
    ]});
    assert_eq!(api.send("PATCH", "/api/v2/pools", pools).await["update"]["success"], json!(["p"]));
    assert_eq!(api.get("/api/v2/pools/p").await["slots"], 3);
    let default = json!({"actions": [{"action": "delete", "entities": ["default_pool"]}]});
    assert_eq!(api.refused("PATCH", "/api/v2/pools", Some(default)).await.0, 400);
    let connections = json!({"actions": [{"action": "create", "entities": [{"connection_id": "c", "conn_type": "http"}]}]});
    assert_eq!(api.send("PATCH", "/api/v2/connections", connections).await["create"]["success"], json!(["c"]));
}

#[sqlx::test(migrations = "../../migrations")]
async fn without_a_key_nothing_is_stored_and_with_another_nothing_is_shown(pool: PgPool) {
    let with = api(pool.clone()).await;
    with.send("POST", "/api/v2/variables", json!({"key": "a", "value": "canary"})).await;
    let without = Api::with(pool.clone(), Broker::in_process(), Access::default()).await;
    let (status, detail) = without.refused("POST", "/api/v2/variables", Some(json!({"key": "b", "value": "x"}))).await;
    assert_eq!(status, 409);
    assert!(detail.as_str().unwrap().contains("updraft secrets new-key"), "{detail}");
    assert_eq!(without.get("/api/v2/variables").await["variables"][0]["value"], Value::Null);

    let other = Arc::new(Keyring::parse(&Keyring::generate("other").unwrap()).unwrap());
    let other = Api::with(pool, Broker::in_process(), Access { keyring: Some(other), ..Access::default() }).await;
    let (status, detail) = other.refused("GET", "/api/v2/variables/a", None).await;
    assert_eq!(status, 409);
    assert!(detail.as_str().unwrap().contains("sealed with the key \"first\""), "{detail}");
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_audit_log_has_a_conf_without_its_secrets(pool: PgPool) {
    let api = api(pool).await;
    let conf = json!({"region": "eu", "db": {"password": "canary"}});
    api.send("POST", "/api/v2/dags/diamond/dagRuns", json!({"logical_date": null, "dag_run_id": "r", "conf": conf})).await;
    let log = api.get("/api/v2/eventLogs").await.to_string();
    assert!(log.contains("region") && log.contains("***") && !log.contains("canary"), "{log}");
    assert_eq!(api.get("/api/v2/dags/diamond/dagRuns/r").await["conf"], conf, "the run has it as it was given");
}
