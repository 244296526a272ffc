//! The grid of a DAG, and the files of the page.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::json;
use sqlx::PgPool;
use tower::ServiceExt;

use crate::harness::Api;

#[sqlx::test(migrations = "../../migrations")]
async fn a_grid_has_a_letter_for_each_task_of_each_run(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let grid = api.get("/ui/grid/diamond").await;
    let names: Vec<&str> = grid["tasks"].as_array().unwrap().iter().map(|task| task["task_id"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    let runs = grid["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1);
    // The second is with a worker: its live attempt says that it runs, the row that it is queued.
    assert_eq!((&runs[0]["dag_run_id"], runs[0]["cells"].as_str().unwrap()), (&json!("r1"), "srfn"));
    assert_eq!((&grid["has_more"], &grid["groups"], &grid["tasks"][0]["group"]), (&json!(false), &json!([]), &serde_json::Value::Null));
    // Of a mapped task, the worst.
    api.sql("insert into task_instance (run_id, idx, map_index, state, ended_at) select id, 0, 0, 'failed', now() from run").await;
    assert_eq!(api.get("/ui/grid/diamond").await["runs"][0]["cells"], json!("frfn"));
}

#[sqlx::test(migrations = "../../migrations")]
async fn older_runs_are_asked_for_by_time(pool: PgPool) {
    let api = Api::new(pool).await;
    for (run, day) in [("r1", "01"), ("r2", "02"), ("r3", "03")] {
        let body =
            json!({"logical_date": format!("2026-01-{day}T00:00:00Z"), "dag_run_id": run, "run_after": format!("2026-01-{day}T00:00:00Z")});
        api.send("POST", "/api/v2/dags/diamond/dagRuns", body).await;
    }
    let ids = |grid: &serde_json::Value| -> Vec<String> {
        grid["runs"].as_array().unwrap().iter().map(|run| run["dag_run_id"].as_str().unwrap().to_owned()).collect()
    };
    let newest = api.get("/ui/grid/diamond?limit=2").await;
    assert_eq!((ids(&newest), &newest["has_more"]), (vec!["r3".to_owned(), "r2".to_owned()], &json!(true)));
    let older = api.get("/ui/grid/diamond?limit=2&before=2026-01-02T00:00:00Z").await;
    assert_eq!((ids(&older), &older["has_more"]), (vec!["r1".to_owned()], &json!(false)));
    assert_eq!(api.status("GET", "/ui/grid/diamond?before=yesterday").await, 422);
    assert_eq!(api.status("GET", "/ui/grid/nothing").await, 404);
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_place_of_the_dashboard_answers_the_page(pool: PgPool) {
    let api = Api::new(pool).await;
    let get = async |path: &str, coding: &str| {
        let request = Request::get(path).header("host", "127.0.0.1:8080").header("accept-encoding", coding).body(Body::empty()).unwrap();
        let response = api.app.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        (head, to_bytes(body, usize::MAX).await.unwrap())
    };
    let (_, page) = get("/", "identity").await;
    let page = String::from_utf8(page.to_vec()).unwrap();
    for path in ["/dags", "/dags/diamond/runs/r%2F1/tasks/a", "/pools", "/variables", "/connections", "/import-errors"] {
        let (head, body) = get(path, "identity").await;
        assert_eq!((head.status.as_u16(), body.as_ref()), (200, page.as_bytes()), "{path}");
    }
    for path in page.split('"').filter(|word| word.starts_with("/assets/")) {
        for coding in ["identity", "gzip, deflate", "gzip;q=0.8, br"] {
            let (head, body) = get(path, coding).await;
            assert_eq!(head.status, 200, "{path}");
            assert!(!body.is_empty());
            let told = head.headers.get("content-encoding").map(|value| value.to_str().unwrap());
            assert!(told.is_none_or(|told| coding.contains(told)), "{path}: {told:?} was not asked for");
        }
    }
    assert_eq!(get("/assets/nothing.js", "gzip").await.0.status, 404);
}
