//! What becomes of the tasks behind one that a person marks.

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::Api;

const INSTANCES: &str = "/api/v2/dags/diamond/dagRuns/r1/taskInstances";

/// The run `r1` of `diamond`, which failed: `c` did, and so `d` was not begun.
async fn failed(api: &Api) {
    api.half_done().await;
    api.sql(
        "delete from live_attempt; update run set state = 'failed', end_date = now();
         update task_instance set state = 'success', started_at = now(), ended_at = now() where idx = 1;
         update task_instance set state = 'upstream_failed', ended_at = now() where idx = 3",
    )
    .await;
}

async fn states(api: &Api) -> Vec<Value> {
    let answer = api.get(INSTANCES).await;
    answer["task_instances"].as_array().unwrap().iter().map(|row| row["state"].clone()).collect()
}

async fn run_state(api: &Api) -> Value {
    api.get("/api/v2/dags/diamond/dagRuns/r1").await["state"].clone()
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_failed_behind_a_task_goes_on_when_it_is_marked(pool: PgPool) {
    let api = Api::new(pool).await;
    failed(&api).await;
    let dry = api.send("PATCH", &format!("{INSTANCES}/c/dry_run"), json!({"new_state": "success"})).await;
    assert_eq!((&dry["total_entries"], states(&api).await[3].as_str()), (&json!(1), Some("upstream_failed")), "a dry run changes nothing");
    let marked = api.send("PATCH", &format!("{INSTANCES}/c"), json!({"new_state": "success"})).await;
    assert_eq!((&marked["total_entries"], &marked["task_instances"][0]["task_id"]), (&json!(1), &json!("c")), "what was marked");
    assert_eq!(states(&api).await, [json!("success"), json!("success"), json!("success"), Value::Null]);
    assert_eq!(run_state(&api).await, "running", "it goes on");
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_marked_with_it_keeps_its_mark(pool: PgPool) {
    let api = Api::new(pool).await;
    failed(&api).await;
    let body = json!({"new_state": "failed", "include_downstream": true});
    api.send("PATCH", &format!("{INSTANCES}/b"), body).await;
    assert_eq!(states(&api).await, ["success", "failed", "failed", "failed"], "c is not behind b");
    assert_eq!(run_state(&api).await, "failed");
    // Of what is before it nothing is touched, nor what did not fail.
    api.send("PATCH", &format!("{INSTANCES}/b"), json!({"new_state": "success"})).await;
    assert_eq!(states(&api).await, [json!("success"), json!("success"), json!("failed"), Value::Null]);
    assert_eq!(run_state(&api).await, "running");
}
