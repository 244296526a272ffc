//! A run again with other params, the bars of a run, and what an attempt was started with.

use serde_json::json;
use sqlx::PgPool;

use crate::harness::Api;

#[sqlx::test(migrations = "../../migrations")]
async fn a_run_runs_again_with_another_conf_or_not_at_all(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let path = "/ui/runs/diamond/r1/rerun";
    let (status, why) = api.refused("POST", path, Some(json!({"conf": {}}))).await;
    assert_eq!(status, 409, "{why}");
    assert!(why.as_str().unwrap().contains("stop it or wait"), "{why}");
    api.sql("delete from live_attempt; update task_instance set state = 'failed', ended_at = now(), started_at = now() where state in ('queued', 'none'); update run set state = 'failed', end_date = now()").await;

    // What fails changes nothing.
    assert_eq!(api.refused("POST", path, Some(json!({"conf": {}, "task_ids": ["nobody"]}))).await.0, 404);
    assert_eq!(api.refused("POST", path, Some(json!({}))).await.0, 422);
    api.sql("create function no() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$; create trigger no before insert on audit_log for each row execute function no()").await;
    assert_eq!(api.refused("POST", path, Some(json!({"conf": {"x": 2}}))).await.0, 500);
    api.sql("drop trigger no on audit_log").await;
    let run = api.get("/api/v2/dags/diamond/dagRuns/r1").await;
    assert_eq!((&run["conf"], &run["state"]), (&json!({"x": 1}), &json!("failed")), "all of it or nothing");

    let done = api.send("POST", path, json!({"conf": {"x": 2, "api_key": "s3cret"}, "only_failed": true})).await;
    assert_eq!(done["total_entries"], 3, "b, c and d");
    let run = api.get("/api/v2/dags/diamond/dagRuns/r1").await;
    assert_eq!((&run["conf"]["x"], &run["state"]), (&json!(2), &json!("running")));
    let bars = api.get("/ui/runs/diamond/r1/bars").await;
    assert_eq!((&bars["states"], &bars["task_ids"]), (&json!("snnn"), &json!(["a", "b", "c", "d"])));
    let log = api.get("/api/v2/eventLogs?event=rerun_dag_run").await;
    let extra = log["event_logs"][0]["extra"].as_str().unwrap();
    assert!(extra.contains(r#""before":{"x":1}"#) && extra.contains(r#""api_key":"***""#) && !extra.contains("s3cret"), "{extra}");
}

#[sqlx::test(migrations = "../../migrations")]
async fn bars_say_why(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let bars = api.get("/ui/runs/diamond/r1/bars").await;
    assert_eq!((&bars["states"], &bars["tries"]), (&json!("srfn"), &json!([2, 1, 1, 0])));
    assert_eq!((&bars["says"], &bars["words"]), (&json!([-1, -1, 0, -1]), &json!(["the command used more memory than its limit"])));
    assert_eq!(bars["starts"][0], 1_767_225_605_000_i64);
    assert_eq!(api.status("GET", "/ui/runs/diamond/none/bars").await, 404);
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_attempt_shows_what_it_was_started_with_and_no_secret(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    api.sql(
        r#"update attempt set launch = '{"argv": ["bash", "-c", "true"], "env": {"TOKEN": "s3cret", "REGION": "eu"}, "image": "busybox", "entrypoint_length": 1, "pod": {"namespace": "jobs"}}',
           evidence = evidence || '{"runner": "kubernetes", "pod": {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "base", "env": [{"name": "TOKEN", "value": "s3cret"}]}]}, "status": {"phase": "Failed"}, "events": []}}'
           where idx = 2"#,
    )
    .await;
    let shown = api.get("/ui/attempts/diamond/r1/c/1").await;
    assert!(!shown.to_string().contains("s3cret"), "{shown}");
    assert_eq!(
        (&shown["runner"], &shown["image"], &shown["command"]),
        (&json!("kubernetes"), &json!("busybox"), &json!(["bash", "-c", "true"]))
    );
    assert_eq!(shown["env"], json!([{"name": "REGION", "value": "eu"}, {"name": "TOKEN", "value": "***"}]));
    assert_eq!((&shown["pod"]["status"]["phase"], &shown["asked"]["metadata"]["namespace"]), (&json!("Failed"), &json!("jobs")));
    assert!(shown["evidence"].get("pod").is_none(), "it is shown once");
    let why = api.get("/ui/why/diamond/r1/c").await;
    assert!(
        why["evidence"]["runner"] == "kubernetes" && !why.to_string().contains("s3cret"),
        "the record of the pod is not there, masked or not: {why}"
    );
    let live = api.get("/ui/attempts/diamond/r1/b/1").await;
    assert_eq!((&live["state"], &live["ended_at"], &live["evidence"]), (&json!("running"), &json!(null), &json!(null)));
    assert_eq!(api.status("GET", "/ui/attempts/diamond/r1/c/2").await, 404);
}
