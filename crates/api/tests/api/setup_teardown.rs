//! Setup and teardown tasks: what is cleared and marked along with others, and what the page is told of them.

use serde_json::{Value, json};
use sqlx::PgPool;
use updraft_model::DagSpec;
use updraft_store::Store;

use crate::harness::{Api, upsert};

const CLEAR: &str = "/api/v2/dags/cluster/clearTaskInstances";

/// The run `r1` of `cluster`, whose work failed.
async fn failed(pool: PgPool) -> Api {
    let api = Api::new(pool).await;
    let bash = json!({"kind": "bash", "bash_command": "true"});
    let mut spec: DagSpec = serde_json::from_value(json!({"dag_id": "cluster", "schedule": {"kind": "none"}, "tasks": [
        {"task_id": "create", "run": bash, "is_setup": true},
        {"task_id": "use", "run": bash, "upstream": ["create"]},
        {"task_id": "drop", "run": bash, "upstream": ["create", "use"], "is_teardown": true, "trigger_rule": "all_done_setup_success"},
        {"task_id": "after", "run": bash, "upstream": ["use"]},
    ]}))
    .unwrap();
    spec.validate().unwrap();
    upsert(&Store::from_pool(api.pool.clone()), &spec).await;
    api.send("POST", "/api/v2/dags/cluster/dagRuns", json!({"logical_date": null, "dag_run_id": "r1"})).await;
    api.sql(
        "update run set state = 'failed', end_date = now(); update task_instance set started_at = now(), ended_at = now(), \
         state = case idx when 1 then 'failed' when 3 then 'upstream_failed' else 'success' end",
    )
    .await;
    api
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["task_instances"].as_array().unwrap().iter().map(|row| row["task_id"].as_str().unwrap()).collect()
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_clear_shows_and_takes_setups_and_teardowns_along(pool: PgPool) {
    let api = failed(pool).await;
    let of = |task: &str, more: Value| {
        let mut body = json!({"dag_run_id": "r1", "only_failed": false, "task_ids": [task]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    assert_eq!(ids(&api.send("POST", CLEAR, of("use", json!({}))).await), ["create", "use", "drop"]);
    assert_eq!(ids(&api.send("POST", CLEAR, of("use", json!({"only_failed": true}))).await), ["use"]);
    assert_eq!(ids(&api.send("POST", CLEAR, of("create", json!({}))).await), ["create", "drop"]);
    assert_eq!(ids(&api.send("POST", CLEAR, of("drop", json!({}))).await), ["drop"]);
    assert_eq!(ids(&api.send("POST", CLEAR, of("use", json!({"include_downstream": true}))).await), ["create", "use", "drop", "after"]);
    let states = "/api/v2/dags/cluster/dagRuns/r1/taskInstances";
    let state_of = |answer: &Value| answer["task_instances"].as_array().unwrap().iter().map(|row| row["state"].clone()).collect::<Vec<_>>();
    assert_eq!(state_of(&api.get(states).await), ["success", "failed", "success", "upstream_failed"], "a dry run changes nothing");
    api.send("POST", CLEAR, of("use", json!({"dry_run": false}))).await;
    assert_eq!(state_of(&api.get(states).await), [Value::Null, Value::Null, Value::Null, json!("upstream_failed")]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_run_with_other_params_takes_them_along_too(pool: PgPool) {
    let api = failed(pool).await;
    let again = api.send("POST", "/ui/runs/cluster/r1/rerun", json!({"conf": {"x": 1}, "task_ids": ["use"]})).await;
    assert_eq!(again["total_entries"], 3);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_mark_leaves_teardowns_behind_it_alone(pool: PgPool) {
    let api = failed(pool).await;
    let path = "/api/v2/dags/cluster/dagRuns/r1/taskInstances/create/dry_run";
    let marked = api.send("PATCH", path, json!({"new_state": "skipped", "include_downstream": true})).await;
    assert_eq!(ids(&marked), ["create", "use", "after"]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_page_is_told_what_they_are(pool: PgPool) {
    let api = failed(pool).await;
    let roles = |list: &Value| {
        let role = |one: &Value| (one["is_setup"].as_bool().unwrap(), one["is_teardown"].as_bool().unwrap());
        list.as_array().unwrap().iter().map(role).collect::<Vec<_>>()
    };
    let expected = [(true, false), (false, false), (false, true), (false, false)];
    assert_eq!(roles(&api.get("/ui/grid/cluster").await["tasks"]), expected);
    assert_eq!(roles(&api.get("/ui/graph/cluster").await["boxes"]), expected);
}
