//! What the pages of one DAG show: graph, calendar, comparison of versions, how tasks fared.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt as _;
use updraft_model::DagSpec;
use updraft_store::Store;

use crate::harness::{Api, upsert};

fn grouped(retries: u32, more: &[Value]) -> DagSpec {
    let task = |id: &str, up: &[&str]| json!({"task_id": id, "run": {"kind": "empty"}, "upstream": up, "operator": "EmptyOperator", "retries": retries});
    let mut tasks =
        vec![task("start", &[]), task("load.eu", &["start"]), task("load.us", &["start"]), task("end", &["load.eu", "load.us"])];
    tasks.extend_from_slice(more);
    let mut spec: DagSpec = serde_json::from_value(json!({"dag_id": "grouped", "schedule": {"kind": "none"}, "tasks": tasks})).unwrap();
    spec.validate().unwrap();
    spec
}

fn ids(picture: &Value) -> Vec<String> {
    picture["boxes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| format!("{}{}", b["id"].as_str().unwrap(), if b["kind"] == "group" { "/" } else { "" }))
        .collect()
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_graph_has_boxes_and_lines_that_fit(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let store = Store::from_pool(pool);
    upsert(&store, &grouped(0, &[])).await;
    let open = api.get("/ui/graph/grouped").await;
    assert_eq!(ids(&open), ["load/", "start", "load.eu", "load.us", "end"]);
    assert_eq!((&open["version_number"], &open["groups"]), (&json!(1), &json!([{"group_id": "load", "parent": null}])));
    let load = &open["boxes"][0];
    assert_eq!((&load["is_open"], &load["members"], &load["parent"]), (&json!(true), &json!(["load.eu", "load.us"]), &Value::Null));
    let eu = &open["boxes"][2];
    assert_eq!((&eu["label"], &eu["parent"], &eu["operator"]), (&json!("eu"), &json!(0), &json!("EmptyOperator")));
    let whole = |of: &Value, name: &str| of[name].as_i64().unwrap();
    assert!(whole(eu, "x") > whole(load, "x") && whole(eu, "x") + whole(eu, "width") < whole(load, "x") + whole(load, "width"));
    // start → port → eu and us → port → end: both have the same before and after them.
    assert_eq!(open["lines"].as_array().unwrap().len(), 6);
    for line in open["lines"].as_array().unwrap() {
        assert!(line["points"].as_array().unwrap().len() % 2 == 0 && !line["is_back"].as_bool().unwrap(), "{line}");
        assert!(line["from"].as_u64().unwrap() < 7 && line["to"].as_u64().unwrap() < 7);
    }
    let folded = api.get("/ui/graph/grouped?folded=load").await;
    assert_eq!(ids(&folded), ["load/", "start", "end"]);
    assert_eq!((&folded["boxes"][0]["is_open"], folded["lines"].as_array().unwrap().len()), (&json!(false), 2));
    assert_eq!(api.get("/ui/graph/grouped?folded=*").await, folded);
    assert_eq!(api.get("/ui/graph/grouped?open=nothing").await, folded);
    assert_eq!(api.get("/ui/graph/grouped?open=load,other").await, open);
    assert_eq!(api.status("GET", "/ui/graph/grouped?open=load&folded=load").await, 400);
    assert_eq!(api.status("GET", "/ui/graph/nothing").await, 404);
    assert_eq!(api.status("GET", "/ui/graph/grouped?version=2").await, 404);
    assert_eq!(api.status("GET", "/ui/graph/grouped?version=99999999999").await, 404);

    // Another version is another picture, and the old one is still to be had.
    let extra = json!({"task_id": "extra", "run": {"kind": "empty"}, "upstream": ["end"]});
    upsert(&store, &grouped(0, &[extra])).await;
    assert_eq!(ids(&api.get("/ui/graph/grouped").await).len(), 6);
    assert_eq!(api.get("/ui/graph/grouped?version=1").await, open);
}

#[sqlx::test(migrations = "../../migrations")]
async fn large_graphs_are_folded_at_first(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let many: Vec<Value> = (0..200).map(|n| json!({"task_id": format!("many.t{n}"), "run": {"kind": "empty"}})).collect();
    upsert(&Store::from_pool(pool), &grouped(0, &many)).await;
    assert_eq!(ids(&api.get("/ui/graph/grouped").await), ["load/", "many/", "start", "end"]);
    assert_eq!(api.get("/ui/graph/grouped?open=*").await["boxes"].as_array().unwrap().len(), 206);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_browser_that_has_the_picture_is_told_so(pool: PgPool) {
    let api = Api::new(pool).await;
    let ask = async |path: &str, tag: &str| {
        let request = Request::get(path).header("host", "127.0.0.1:8080").header("if-none-match", tag).body(Body::empty()).unwrap();
        api.app.clone().oneshot(request).await.unwrap()
    };
    let first = ask("/ui/graph/diamond", "\"other\"").await;
    assert_eq!((first.status().as_u16(), first.headers()["cache-control"].to_str().unwrap()), (200, "private, no-cache"));
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}")] {
        let again = ask("/ui/graph/diamond", &known).await;
        assert_eq!((again.status().as_u16(), again.headers()["etag"].to_str().unwrap()), (304, tag.as_str()));
    }
    assert_eq!(ask("/ui/graph/diamond?version=1", &tag).await.status(), 304, "the same version by its number");
    assert_eq!(ask("/ui/graph/with_params", &tag).await.status(), 200);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_calendar_counts_runs_by_days_of_a_zone_and_plans(pool: PgPool) {
    let api = Api::new(pool).await;
    for (run, at) in [("r1", "2026-01-01T22:30:00Z"), ("r2", "2026-01-01T23:30:00Z"), ("r3", "2026-01-02T10:00:00Z")] {
        api.send("POST", "/api/v2/dags/diamond/dagRuns", json!({"logical_date": at, "dag_run_id": run, "run_after": at})).await;
    }
    api.sql("update run set state = 'failed', end_date = now() where run_id = 'r3'").await;
    let year = "from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z";
    let short = |calendar: &Value| -> Vec<String> {
        calendar["buckets"].as_array().unwrap().iter().map(|b| format!("{} {}", b["label"].as_str().unwrap(), b["counts"])).collect()
    };
    let utc = api.get(&format!("/ui/calendar/diamond?{year}")).await;
    assert_eq!(short(&utc), ["2026-01-01 {\"running\":2}", "2026-01-02 {\"failed\":1}"]);
    assert_eq!((&utc["first"], &utc["zone"]), (&json!("2026-01-01T22:30:00Z"), &json!("UTC")));
    let berlin = api.get(&format!("/ui/calendar/diamond?{year}&zone=Europe/Berlin")).await;
    assert_eq!(short(&berlin), ["2026-01-01 {\"running\":1}", "2026-01-02 {\"failed\":1,\"running\":1}"]);
    assert_eq!(
        (&berlin["buckets"][1]["from"], &berlin["buckets"][1]["to"]),
        (&json!("2026-01-01T23:00:00Z"), &json!("2026-01-02T23:00:00Z"))
    );
    let hours = api.get("/ui/calendar/diamond?by=hour&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z").await;
    assert_eq!(short(&hours), ["2026-01-01T22 {\"running\":1}", "2026-01-01T23 {\"running\":1}"]);

    // Every five minutes, from the next slot on, until there are 10,000.
    api.sql(
        "update dag set next_logical_date = '2098-12-31T23:50:00Z', next_interval_start = '2098-12-31T23:50:00Z', next_interval_end = '2098-12-31T23:50:00Z', \
         next_run_after = '2098-12-31T23:50:00Z' where dag_id = 'diamond'",
    )
    .await;
    let planned = api.get("/ui/calendar/diamond?from=2098-12-31T00:00:00Z&to=2099-01-02T00:00:00Z").await;
    assert_eq!(short(&planned), ["2098-12-31 {\"planned\":2}", "2099-01-01 {\"planned\":288}"]);
    assert_eq!(planned["planned_until"], Value::Null);
    let far = api.get("/ui/calendar/diamond?from=2099-01-01T00:00:00Z&to=2099-12-31T00:00:00Z").await;
    assert_eq!(far["planned_until"], json!("2099-02-04T17:10:00Z"));
    api.send("PATCH", "/api/v2/dags/diamond", json!({"is_paused": true})).await;
    assert_eq!(short(&api.get("/ui/calendar/diamond?from=2098-12-31T00:00:00Z&to=2099-01-02T00:00:00Z").await), Vec::<String>::new());

    assert_eq!(api.status("GET", "/ui/calendar/diamond?zone=Mars").await, 422);
    assert_eq!(api.status("GET", "/ui/calendar/diamond?by=week").await, 422);
    assert_eq!(api.status("GET", "/ui/calendar/diamond?from=2020-01-01&to=2026-01-01").await, 400);
    assert_eq!(api.status("GET", "/ui/calendar/nothing").await, 404);
}

#[sqlx::test(migrations = "../../migrations")]
async fn versions_are_compared_in_what_they_say(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let store = Store::from_pool(pool);
    upsert(&store, &grouped(0, &[])).await;
    upsert(&store, &grouped(0, &[json!({"task_id": "extra", "run": {"kind": "empty"}})])).await;
    let diff = api.get("/ui/diff/grouped").await;
    assert_eq!((&diff["from_version"], &diff["to_version"], &diff["hunks"]), (&json!(1), &json!(2), &json!([])));
    assert_eq!(diff["changes"], json!([{"kind": "added", "task_id": "extra", "field": null, "before": null, "after": null}]));
    let back = api.get("/ui/diff/grouped?from=2&to=1").await;
    assert_eq!(back["changes"][0]["kind"], "removed");
    upsert(&store, &grouped(3, &[])).await;
    let fields = api.get("/ui/diff/grouped?from=1&to=3").await;
    assert_eq!(fields["changes"][0], json!({"kind": "changed", "task_id": "end", "field": "retries", "before": 0, "after": 3}));
    assert_eq!(fields["changes"].as_array().unwrap().len(), 4);
    api.sql("update dag_version set source = E'a\\nb\\nc\\n' where dag_id = 'grouped' and number = 1").await;
    api.sql("update dag_version set source = E'a\\nB\\nc\\n' where dag_id = 'grouped' and number = 3").await;
    let lines = &api.get("/ui/diff/grouped?from=1&to=3").await["hunks"][0];
    let kinds: Vec<&str> = lines.as_array().unwrap().iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["same", "removed", "added", "same"]);
    assert_eq!(lines[2], json!({"kind": "added", "before": null, "after": 2, "text": "B"}));
    let one = api.get("/ui/diff/diamond").await;
    assert_eq!((&one["from_version"], &one["changes"]), (&json!(1), &json!([])), "the first is like itself");
    assert_eq!(api.status("GET", "/ui/diff/grouped?from=9").await, 404);
}

#[sqlx::test(migrations = "../../migrations")]
async fn tasks_say_how_they_fared(pool: PgPool) {
    let api = Api::new(pool).await;
    assert_eq!(api.get("/ui/taskFares/diamond").await["runs"], json!(0));
    api.half_done().await;
    let fares = api.get("/ui/taskFares/diamond").await;
    let of = |fares: &Value, at: usize| fares["tasks"][at].clone();
    let a = of(&fares, 0);
    assert_eq!(
        (&a["task_id"], &a["states"], &a["last_duration"], &a["failures"], &a["mapped"]),
        (&json!("a"), &json!("s"), &json!(2.5), &json!(0), &Value::Null)
    );
    assert_eq!(
        (&of(&fares, 1)["states"], &of(&fares, 2)["states"], &of(&fares, 2)["failures"], &of(&fares, 3)["states"]),
        (&json!("r"), &json!("f"), &json!(1), &json!("n"))
    );
    // A second run, in which `a` is mapped.
    api.send("POST", "/api/v2/dags/diamond/dagRuns", json!({"logical_date": null, "dag_run_id": "r2"})).await;
    api.sql(
        "insert into task_instance (run_id, idx, map_index, state, started_at, ended_at) select id, 0, n, case n when 0 then 'failed' else 'success' end, \
         '2026-02-01T00:00:00Z', '2026-02-01T00:00:10Z' from run, generate_series(0, 2) n where run_id = 'r2'",
    )
    .await;
    let fares = api.get("/ui/taskFares/diamond").await;
    let a = of(&fares, 0);
    assert_eq!(
        (&a["states"], &a["last_duration"], &a["longest_duration"], &a["failures"]),
        (&json!("sf"), &json!(10.0), &json!(10.0), &json!(1))
    );
    assert_eq!((&a["mapped"], &fares["runs"]), (&json!(4), &json!(2)));
    assert_eq!(api.get("/ui/taskFares/diamond?limit=1").await["tasks"][0]["states"], json!("f"));
    assert_eq!(api.status("GET", "/ui/taskFares/nothing").await, 404);
}
