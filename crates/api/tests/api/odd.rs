//! What nobody means to send, and the document that says what may be sent.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt as _;

use crate::harness::Api;

#[sqlx::test(migrations = "../../migrations")]
async fn an_address_that_is_no_text_is_refused(pool: PgPool) {
    let api = Api::new(pool).await;
    for path in [
        "/api/v2/dags/%00",
        "/api/v2/dags/a%FF",
        "/api/v2/dags?dag_id_pattern=%00",
        "/api/v2/dags/%C3%28/dagRuns",
        "/ui/overview?tags=a%00",
    ] {
        let (status, detail) = api.refused("GET", path, None).await;
        assert_eq!(status, 400, "{path}: {detail}");
        assert!(detail.as_str().unwrap().contains("UTF-8"), "{path}: {detail}");
    }
    for path in ["/api/v2/dags/%C3%A4", "/api/v2/dags/100%25", "/api/v2/dags/a%0", "/api/v2/dags/%zz"] {
        assert_eq!(api.status("GET", path).await, 404, "{path}");
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_body_with_what_the_database_cannot_keep_is_refused(pool: PgPool) {
    let api = Api::new(pool).await;
    let runs = "/api/v2/dags/diamond/dagRuns";
    for conf in [json!({"a": "x\0y"}), json!({"a\0": 1}), json!({"a": [{"b": "\0"}]})] {
        let (status, detail) = api.refused("POST", runs, Some(json!({"logical_date": null, "conf": conf}))).await;
        assert_eq!((status, &detail[0]["loc"]), (422, &json!(["body"])), "{detail}");
    }
    // A backslash is none.
    api.send("POST", runs, json!({"logical_date": null, "conf": {"a": "\\u0000"}})).await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn only_texts_have_patterns(pool: PgPool) {
    let api = Api::new(pool).await;
    for query in ["slots_contains=1", "slots_pattern=1", "slots_prefix_pattern=1"] {
        assert!(
            api.get(&format!("/api/v2/pools?{query}")).await["total_entries"].as_i64().unwrap() > 0,
            "{query} names nothing, and is ignored"
        );
    }
    api.get("/api/v2/dags/~/dagRuns?start_date_pattern=2026&logical_date_contains=x&id_contains=1").await;
    api.get("/api/v2/dags?is_paused_contains=t&next_dagrun_prefix_pattern=2").await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn times_have_years_of_four_digits(pool: PgPool) {
    let api = Api::new(pool).await;
    let runs = "/api/v2/dags/diamond/dagRuns";
    for time in ["+12026-01-01T00:00:00Z", "0000-12-31T23:59:59Z", "-0001-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00"] {
        let (status, detail) = api.refused("POST", runs, Some(json!({"logical_date": time}))).await;
        assert_eq!((status, &detail[0]["loc"]), (422, &json!(["body", "logical_date"])), "{time}: {detail}");
    }
    assert_eq!(api.status("GET", "/api/v2/dags/~/dagRuns?run_after_gte=%2B12026-01-01T00:00:00Z").await, 422);
    assert_eq!(api.status("GET", "/api/v2/dags/~/dagRuns?run_after_gte=0001-01-01T00:00:00Z").await, 200);
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_must_be_there_is_not_null(pool: PgPool) {
    let api = Api::new(pool).await;
    for (method, path, body, name) in [
        ("POST", "/api/v2/pools", json!({"name": null, "slots": 1}), "name"),
        ("POST", "/api/v2/pools", json!({"name": "p", "slots": null}), "slots"),
        ("POST", "/api/v2/variables", json!({"key": null, "value": "v"}), "key"),
        ("POST", "/api/v2/connections", json!({"connection_id": null, "conn_type": "http"}), "connection_id"),
        ("POST", "/api/v2/connections", json!({"connection_id": "c", "conn_type": null}), "conn_type"),
        ("PATCH", "/api/v2/dags/diamond", json!({"is_paused": null}), "is_paused"),
        ("PATCH", "/api/v2/pools", json!({"actions": null}), "actions"),
    ] {
        let (status, detail) = api.refused(method, path, Some(body)).await;
        assert_eq!((status, &detail[0]["loc"]), (422, &json!(["body", name])), "{method} {path}: {detail}");
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_changes_nothing_must_still_be_what_it_is(pool: PgPool) {
    let api = Api::new(pool).await;
    let dag = "/api/v2/dags/diamond";
    for (method, path, body, name) in [
        ("POST", "/api/v2/pools", json!({"name": "p", "slots": 1, "team_name": {}}), "team_name"),
        ("POST", "/api/v2/pools", json!({"name": "p", "pool": {}, "slots": 1}), "pool"),
        ("POST", "/api/v2/variables", json!({"key": "k", "value": "v", "team_name": 1}), "team_name"),
        ("POST", "/api/v2/connections", json!({"connection_id": "c", "conn_type": "http", "team_name": []}), "team_name"),
        ("POST", &format!("{dag}/dagRuns"), json!({"logical_date": null, "partition_key": 1}), "partition_key"),
        ("POST", &format!("{dag}/clearTaskInstances"), json!({"run_on_latest_version": "x"}), "run_on_latest_version"),
        ("POST", &format!("{dag}/dagRuns/list"), json!({"page_offset": 9_223_372_036_854_775_808_u64}), "page_offset"),
        ("POST", &format!("{dag}/dagRuns/list"), json!({"page_limit": 1e300}), "page_limit"),
    ] {
        let (status, detail) = api.refused(method, path, Some(body)).await;
        assert_eq!((status, &detail[0]["loc"]), (422, &json!(["body", name])), "{method} {path}: {detail}");
    }
    for (path, entity) in
        [(format!("{dag}/dagRuns"), json!({"dag_run_id": null})), (format!("{dag}/dagRuns/~/taskInstances"), json!({"task_id": null}))]
    {
        let body = json!({"actions": [{"action": "delete", "entities": [entity]}]});
        assert_eq!(api.refused("PATCH", &path, Some(body)).await.0, 422, "{path}");
    }
    // Without what is no text in it, the mask would be empty, and that is all fields.
    let masked = json!({"actions": [{"action": "update", "entities": [], "update_mask": [{}]}]});
    let (status, detail) = api.refused("PATCH", "/api/v2/pools", Some(masked)).await;
    assert_eq!((status, &detail[0]["loc"]), (422, &json!(["body", "actions", 0, "update_mask", 0])));
    let (status, _) = api.refused("PATCH", "/api/v2/dags?tags_match_mode=some", Some(json!({"is_paused": true}))).await;
    assert_eq!(status, 422, "before it is found that nothing is chosen");
    for path in ["/api/v2/dags?tags_match_mode=some", "/api/v2/dagWarnings?warning_type=null"] {
        assert_eq!(api.status("GET", path).await, 422, "{path}");
    }
    assert_eq!(api.status("GET", "/api/v2/dags?tags=demo&tags_match_mode=all").await, 200);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_map_index_out_of_range_is_not_another_instance(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let tasks = "/api/v2/dags/diamond/dagRuns/r1/taskInstances";
    let (status, detail) = api.refused("DELETE", &format!("{tasks}/c?map_index=4294967295"), None).await;
    assert_eq!((status, &detail[0]["loc"]), (422, &json!(["query", "map_index"])));
    let entity = json!({"task_id": "c", "map_index": -2_147_483_649_i64});
    let (status, detail) = api.refused("PATCH", tasks, Some(json!({"actions": [{"action": "delete", "entities": [entity]}]}))).await;
    assert_eq!((status, &detail[0]["type"]), (422, &json!("int_parsing_size")), "{detail}");
    assert_eq!(api.status("GET", &format!("{tasks}/c")).await, 200, "it is still there");
    for path in ["dependencies", "links", "logs/1", "xcomEntries/x"] {
        assert_eq!(api.status("GET", &format!("{tasks}/c/{path}?map_index=4294967295")).await, 422, "{path}");
    }
    assert_eq!(api.status("GET", "/ui/why/diamond/r1/c?map_index=4294967295").await, 422);
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_document_and_its_page_are_served(pool: PgPool) {
    let api = Api::new(pool).await;
    let document = api.get("/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document, updraft_api::openapi());
    for (path, kind) in [("/docs", "text/html"), ("/assets/docs.js", "text/javascript"), ("/assets/docs.css", "text/css")] {
        let request = Request::get(path).header("host", "127.0.0.1:8080").body(Body::empty()).unwrap();
        let response = api.app.clone().oneshot(request).await.unwrap();
        let headers = response.headers().clone();
        assert_eq!(response.status(), 200, "{path}");
        assert!(headers["content-type"].to_str().unwrap().starts_with(kind), "{path}");
        assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'self'"), "{path}");
        let text = String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap();
        // The policy would keep a browser from taking any of these.
        for forbidden in ["http://", "https://", "style=", "onclick", "innerHTML", "eval("] {
            assert!(!text.contains(forbidden), "{path} has {forbidden}");
        }
    }
}

/// The schema of an answer, with the names of the properties that it demands.
fn demanded(document: &Value, schema: &str) -> Vec<String> {
    let required = document["components"]["schemas"][schema]["required"].as_array().unwrap();
    required.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[sqlx::test(migrations = "../../migrations")]
async fn schemas_demand_what_is_always_there(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let document = updraft_api::openapi();
    for (schema, path) in [
        ("DAGDetailsResponse", "/api/v2/dags/diamond/details"),
        ("DAGRunResponse", "/api/v2/dags/diamond/dagRuns/r1"),
        ("TaskInstanceResponse", "/api/v2/dags/diamond/dagRuns/r1/taskInstances/a"),
        ("DAGRunCollectionResponse", "/api/v2/dags/diamond/dagRuns"),
        ("PoolResponse", "/api/v2/pools/default_pool"),
    ] {
        let mut given: Vec<String> = api.get(path).await.as_object().unwrap().keys().cloned().collect();
        let mut demanded = demanded(&document, schema);
        given.sort();
        demanded.sort();
        assert_eq!(given, demanded, "{schema}");
    }
}
