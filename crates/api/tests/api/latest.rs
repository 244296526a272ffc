//! Runs that are cleared to go on with the newest version of their DAG.

use serde_json::{Value, json};
use sqlx::PgPool;
use updraft_model::{DagSpec, TaskId};
use updraft_store::Store;

use crate::harness::{Api, diamond, upsert};

const CLEAR: &str = "/api/v2/dags/diamond/clearTaskInstances";
const RUN: &str = "/api/v2/dags/diamond/dagRuns/r1";

/// `diamond` with one more task behind all others.
fn longer() -> DagSpec {
    let mut spec = diamond();
    let mut last = spec.tasks[3].clone();
    last.task_id = TaskId::new("e").unwrap();
    last.upstream = vec![TaskId::new("d").unwrap()];
    spec.tasks.push(last);
    spec.validate().unwrap();
    spec
}

async fn over(api: &Api) {
    api.half_done().await;
    api.sql(
        "delete from live_attempt; update run set state = 'failed', end_date = now();
         update task_instance set state = 'upstream_failed', ended_at = now() where idx in (1, 3)",
    )
    .await;
}

async fn version_of(api: &Api) -> Value {
    api.get(RUN).await["dag_versions"][0]["version_number"].clone()
}

fn states(answer: &Value) -> Vec<(String, Value)> {
    let rows = answer["task_instances"].as_array().unwrap();
    rows.iter().map(|row| (row["task_id"].as_str().unwrap().to_owned(), row["state"].clone())).collect()
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_run_goes_on_with_the_newest_version_when_asked_to(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    over(&api).await;
    upsert(&Store::from_pool(pool), &longer()).await;
    api.send("POST", CLEAR, json!({"dag_run_id": "r1", "run_on_latest_version": true})).await;
    assert_eq!(version_of(&api).await, 1, "a dry run changes nothing");
    api.send("POST", CLEAR, json!({"dag_run_id": "r1", "dry_run": false, "run_on_latest_version": true})).await;
    assert_eq!(version_of(&api).await, 2);
    let instances = api.get(&format!("{RUN}/taskInstances")).await;
    let waits = |id: &str| (id.to_owned(), Value::Null);
    assert_eq!(states(&instances), [("a".to_owned(), json!("success")), waits("b"), waits("c"), waits("d"), waits("e")]);
    assert_eq!(instances["total_entries"], 5);
    assert_eq!(api.get(RUN).await["state"], "running");
    // It has it: nothing moves, and a run that goes on is no obstacle.
    api.send("POST", CLEAR, json!({"dag_run_id": "r1", "dry_run": false, "run_on_latest_version": true, "only_failed": false})).await;
    assert_eq!(version_of(&api).await, 2);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_run_keeps_its_version_when_it_is_not_asked_to_leave_it(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    over(&api).await;
    upsert(&Store::from_pool(pool), &longer()).await;
    api.send("POST", CLEAR, json!({"dag_run_id": "r1", "dry_run": false})).await;
    assert_eq!(version_of(&api).await, 1);
    assert_eq!(api.get(&format!("{RUN}/taskInstances")).await["total_entries"], 4);
}

#[sqlx::test(migrations = "../../migrations")]
async fn whole_runs_go_on_with_it_too(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    over(&api).await;
    upsert(&Store::from_pool(pool), &longer()).await;
    api.send("POST", &format!("{RUN}/clear"), json!({"dry_run": false, "run_on_latest_version": true})).await;
    assert_eq!(version_of(&api).await, 2);
    let instances = api.get(&format!("{RUN}/taskInstances")).await;
    assert!(states(&instances).iter().all(|(_, state)| state.is_null()), "{instances}");
    assert_eq!(instances["total_entries"], 5);
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_cannot_go_on_is_refused_with_the_reason(pool: PgPool) {
    let api = Api::new(pool.clone()).await;
    let store = Store::from_pool(pool);
    over(&api).await;
    let mut other = longer();
    other.tasks.remove(1);
    other.tasks.iter_mut().for_each(|task| task.upstream.retain(|id| id.as_str() != "b"));
    upsert(&store, &other).await;
    for dry_run in [true, false] {
        let body = json!({"dag_run_id": "r1", "dry_run": dry_run, "run_on_latest_version": true});
        let (status, detail) = api.refused("POST", CLEAR, Some(body)).await;
        assert_eq!(status, 400);
        assert!(detail.as_str().unwrap().contains("tasks of it are gone there"), "{detail}");
    }
    upsert(&store, &longer()).await;
    api.sql("update run set state = 'running', end_date = null").await;
    let body = json!({"dag_run_id": "r1", "dry_run": false, "run_on_latest_version": true});
    let (status, detail) = api.refused("POST", CLEAR, Some(body)).await;
    assert!(status == 400 && detail.as_str().unwrap().contains("not over yet"), "{status} {detail}");
    assert_eq!(version_of(&api).await, 1);
    assert_eq!(states(&api.get(&format!("{RUN}/taskInstances")).await)[2], ("c".to_owned(), json!("failed")), "nothing was touched");
}
