//! What is done to runs and instances: in bulk, by group, by deleting, and what is refused.

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::Api;

const RUNS: &str = "/api/v2/dags/diamond/dagRuns";

fn ids(answer: &Value) -> Vec<String> {
    answer["task_instances"].as_array().unwrap().iter().map(|t| t["task_id"].as_str().unwrap().to_owned()).collect()
}

async fn events(api: &Api, event: &str) -> i64 {
    sqlx::query_scalar("select count(*) from audit_log where event = $1").bind(event).fetch_one(&api.pool).await.unwrap()
}

#[sqlx::test(migrations = "../../migrations")]
async fn runs_are_changed_and_deleted_in_bulk(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    api.send("POST", RUNS, json!({"logical_date": null, "dag_run_id": "r2"})).await;
    api.send("POST", RUNS, json!({"logical_date": null, "dag_run_id": "r3", "run_after": "2099-01-01T00:00:00Z"})).await;
    let body = json!({"actions": [
        {"action": "create", "entities": [{"dag_run_id": "x"}]},
        {"action": "update", "entities": [{"dag_run_id": "r2", "state": "failed", "note": "n"}, "r3"]},
        {"action": "update", "entities": [{"dag_run_id": "r3", "note": "no"}, {"dag_run_id": "nope", "note": "no"}]},
        {"action": "delete", "entities": ["r1", {"dag_run_id": "r2"}, "r3"]},
    ]});
    let answer = api.send("PATCH", RUNS, body).await;
    assert_eq!(answer["create"]["errors"][0]["status_code"], 405);
    assert_eq!(answer["update"]["success"], json!(["diamond.r2"]));
    let errors: Vec<i64> = answer["update"]["errors"].as_array().unwrap().iter().map(|e| e["status_code"].as_i64().unwrap()).collect();
    assert_eq!(errors, [400, 404], "a name alone cannot be updated; one that is missing ends its action before it begins");
    assert_eq!(answer["update"]["errors"][1]["error"], "The DagRuns with these identifiers: [('diamond', 'nope')] were not found");
    // r1 runs; r2 was ended by the update, and r3 waits: both go.
    assert_eq!(answer["delete"]["success"], json!(["diamond.r2", "diamond.r3"]));
    assert_eq!(
        answer["delete"]["errors"],
        json!([{"error": "The DagRun with dag_id: `diamond` and run_id: `r1` cannot be deleted in running state", "status_code": 409}])
    );
    assert_eq!(api.get(RUNS).await["total_entries"], 1);
    assert_eq!(events(&api, "bulk_dag_runs").await, 3);

    // Nothing is done when any part of the request is wrong.
    let body = json!({"actions": [
        {"action": "update", "entities": [{"dag_run_id": "r1", "note": "n"}]},
        {"action": "update", "entities": [{"dag_run_id": "r1", "state": "running"}]},
    ]});
    let (status, detail) = api.refused("PATCH", RUNS, Some(body)).await;
    assert_eq!((status, &detail[0]["loc"]), (422, &json!(["body", "actions", 1, "entities", 0, "state"])), "{detail}");
    assert_eq!(api.get(&format!("{RUNS}/r1")).await["note"], Value::Null);
}

#[sqlx::test(migrations = "../../migrations")]
async fn instances_are_changed_and_deleted_in_bulk(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let path = format!("{RUNS}/r1/taskInstances");
    let body = json!({"actions": [{"action": "update", "entities": [
        {"task_id": "c", "map_index": -1, "new_state": "failed"},
        {"task_id": "a", "new_state": "skipped", "note": "not needed"},
        {"task_id": "b", "new_state": "success"},
    ]}]});
    let answer = api.send("PATCH", &path, body).await;
    assert_eq!(answer["update"]["success"], json!(["diamond.r1.a[-1]", "diamond.r1.b[-1]"]));
    assert_eq!(answer["update"]["errors"], json!([{"error": "Task id c is already in failed state", "status_code": 409}]));
    let a = api.get(&format!("{path}/a")).await;
    assert_eq!((&a["state"], &a["note"]), (&json!("skipped"), &json!("not needed")), "what is over can be skipped");
    assert_eq!(api.get(&format!("{path}/b")).await["state"], "running", "its worker ends it first");
    let delete = json!({"actions": [{"action": "delete", "entities": ["a", "b", {"task_id": "d"}]}]});
    let answer = api.send("PATCH", &path, delete).await;
    assert_eq!(answer["delete"]["success"], json!(["diamond.r1.a[-1]", "diamond.r1.d[-1]"]));
    assert_eq!(answer["delete"]["errors"][0]["status_code"], 409, "it runs");
    assert_eq!(ids(&api.get(&path).await), ["b", "c"]);
    let missing = json!({"actions": [{"action": "delete", "entities": ["a", "c"]}]});
    let answer = api.send("PATCH", &path, missing).await;
    let error = "No task instances found for dag_id: diamond, run_id: r1, task_id: a";
    assert_eq!(answer["delete"], json!({"success": [], "errors": [{"error": error, "status_code": 404}]}));
    assert_eq!(events(&api, "bulk_task_instances").await, 4);
}

#[sqlx::test(migrations = "../../migrations")]
async fn one_instance_is_deleted(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let path = format!("{RUNS}/r1/taskInstances");
    let (status, detail) = api.refused("DELETE", &format!("{path}/b"), None).await;
    assert!(status == 409 && detail.as_str().unwrap().contains("running state"), "{status} {detail}");
    assert_eq!(api.call("DELETE", &format!("{path}/c"), None, "*/*").await.json(), Value::Null);
    let (status, detail) = api.refused("DELETE", &format!("{path}/c?map_index=-1"), None).await;
    let text = "The Task Instance with dag_id: `diamond`, run_id: `r1`, task_id: `c` and map_index: `-1` was not found";
    assert_eq!((status, detail), (404, json!(text)));
    assert_eq!(events(&api, "delete_task_instance").await, 1);
    // What waited for it is told that by the one that is left.
    let blocked = api.get(&format!("{path}/d/dependencies")).await;
    assert_eq!(blocked["dependencies"].as_array().map(Vec::len), Some(1), "{blocked}");
    assert_eq!(blocked["dependencies"][0]["name"], "Trigger Rule");
    assert!(blocked["dependencies"][0]["reason"].as_str().unwrap().contains("upstream b"), "{blocked}");
    assert_eq!(api.get(&format!("{path}/b/-1/dependencies")).await["dependencies"], json!([]), "it runs");
}

#[sqlx::test(migrations = "../../migrations")]
async fn marks_show_first_and_notes_go(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let path = format!("{RUNS}/r1/taskInstances");
    let body = json!({"new_state": "failed", "include_downstream": true});
    for dry in ["a/dry_run", "a/-1/dry_run"] {
        let shown = api.send("PATCH", &format!("{path}/{dry}"), body.clone()).await;
        assert_eq!(ids(&shown), ["a", "b", "d"], "{dry}: c has failed already");
    }
    assert_eq!(api.send("PATCH", &format!("{path}/c/dry_run"), json!({"new_state": "failed"})).await["total_entries"], 0);
    assert_eq!(api.get(&format!("{path}/a")).await["state"], "success");
    for (note, kept) in [("x", json!("x")), ("", Value::Null)] {
        let noted = api.send("PATCH", &format!("{path}/a"), json!({"note": note})).await;
        assert_eq!(noted["task_instances"][0]["note"], kept);
        assert_eq!(api.send("PATCH", &format!("{RUNS}/r1"), json!({"note": note})).await["note"], kept);
    }
    let (status, detail) = api.refused("PATCH", &format!("{path}/a"), Some(json!({"note": "x".repeat(1001)}))).await;
    assert_eq!((status, &detail[0]["type"]), (422, &json!("string_too_long")));

    let group = format!("{RUNS}/r1/taskGroupInstances/nope");
    let (status, detail) = api.refused("PATCH", &group, Some(json!({"new_state": "failed"}))).await;
    assert_eq!((status, detail), (404, json!("Task group 'nope' not found in DAG 'diamond'")));
    let (status, detail) = api.refused("GET", &format!("{path}/a/listMapped"), None).await;
    assert_eq!((status, detail), (404, json!("Task id a is not mapped")));
    assert_eq!(api.refused("GET", &format!("{path}/nope/listMapped"), None).await, (404, json!("Task id nope not found")));
    assert_eq!(api.refused("GET", "/api/v2/dags/~/dagRuns/r1/taskInstances", None).await.0, 400);
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_nothing_ran_for_is_found_by_what_its_file_says(pool: PgPool) {
    let api = Api::new(pool).await;
    api.send("POST", "/api/v2/dags/with_params/dagRuns", json!({"logical_date": null, "dag_run_id": "p1", "conf": {"day": "mon"}})).await;
    let path = "/api/v2/dags/with_params/dagRuns/p1/taskInstances";
    let found = async |query: &str| api.get(&format!("{path}?{query}")).await["total_entries"].as_i64().unwrap();
    assert_eq!((found("pool=default_pool").await, found("queue=default").await, found("pool=other").await), (1, 1, 0));
    assert_eq!((found("try_number=0").await, found("try_number=1").await), (1, 0), "it has not begun");
    api.sql("update task_instance set state = 'success', started_at = now(), ended_at = now()").await;
    assert_eq!((found("try_number=1").await, found("pool=default_pool&try_number=1").await), (1, 1));
    assert_eq!(api.get(&format!("{path}/only")).await["try_number"], 1);
    api.sql("update task_instance set reason = 'mark_success'").await;
    assert_eq!((found("try_number=1").await, &api.get(&format!("{path}/only")).await["try_number"]), (0, &json!(0)), "marked: not tried");
    for place in ["dags/with_params/dagRuns/~", "dags/~/dagRuns/~"] {
        let all = api.get(&format!("/api/v2/{place}/taskInstances?pool=default_pool&order_by=-queue&order_by=pool")).await;
        assert_eq!(all["total_entries"], 1, "{place}");
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn templates_are_shown_as_they_became_without_secrets(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    api.sql("update attempt set launch = '{\"argv\": [\"bash\", \"-c\", \"echo r1\"], \"env\": {\"AIRFLOW_CTX_DAG_ID\": \"diamond\"}, \"cwd\": \"/tmp\"}' where idx = 0 and attempt = 2")
        .await;
    let expected = json!({"bash_command": "echo r1", "env": null, "cwd": "/tmp"});
    assert_eq!(api.get(&format!("{RUNS}/r1/taskInstances/a")).await["rendered_fields"], expected);
    let listed = api.get(&format!("{RUNS}/r1/taskInstances")).await;
    assert_eq!((&listed["task_instances"][0]["rendered_fields"], &listed["task_instances"][3]["rendered_fields"]), (&expected, &json!({})));
}

#[sqlx::test(migrations = "../../migrations")]
async fn many_runs_are_cleared_or_none(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    api.send("POST", RUNS, json!({"logical_date": null, "dag_run_id": "r2"})).await;
    let path = "/api/v2/dags/diamond/clearDagRuns";
    let (status, _) =
        api.refused("POST", path, Some(json!({"dag_runs": [{"dag_run_id": "r1"}, {"dag_run_id": "nope"}], "dry_run": false}))).await;
    assert_eq!((status, events(&api, "clear_dag_runs").await), (404, 0), "all are looked up before the first is touched");
    let shown = api.send("POST", path, json!({"dag_runs": [{"dag_run_id": "r1"}], "only_failed": true})).await;
    assert_eq!((ids(&shown), &shown["total_entries"]), (vec!["c".to_owned()], &json!(1)), "dry, unless told");
    let body = json!({"dag_runs": [{"dag_run_id": "r2"}, {"dag_run_id": "r1"}, {"dag_run_id": "r2"}], "dry_run": false, "note": "again"});
    let cleared = api.send("POST", path, body).await;
    let runs: Vec<(&str, &str)> =
        cleared["dag_runs"].as_array().unwrap().iter().map(|r| (r["dag_run_id"].as_str().unwrap(), r["note"].as_str().unwrap())).collect();
    assert_eq!((runs, &cleared["total_entries"]), (vec![("r2", "again"), ("r1", "again")], &json!(2)), "each once, in the order asked");
    assert_eq!(api.get(&format!("{RUNS}/r1/taskInstances/c")).await["state"], Value::Null);
    assert_eq!(api.get(&format!("{RUNS}/r1/taskInstances/b")).await["state"], "running", "its worker ends it first");
    assert_eq!(api.get(&format!("{RUNS}/r1/taskInstances/c")).await["note"], Value::Null, "the note is the run's");
    for (body, status) in [
        (json!({"dag_runs": []}), 422),
        (json!({"dag_runs": [{"dag_run_id": "r1"}], "partition_key": "x"}), 422),
        (json!({"dag_runs": [{"dag_run_id": "r1"}], "only_new": true, "only_failed": true}), 422),
        (json!({"dag_runs": [{"dag_run_id": "r1", "dag_id": "with_params"}]}), 400),
    ] {
        assert_eq!(api.refused("POST", path, Some(body.clone())).await.0, status, "{body}");
    }
    assert_eq!(api.send("POST", path, json!({"partition_key": "x"})).await["total_entries"], 0, "no run has a partition");
    let partitions = "/api/v2/dags/diamond/clearPartitions";
    let none = json!({"dag_runs_cleared": 0, "task_instances_cleared": 0, "dry_run": true});
    assert_eq!(api.send("POST", partitions, json!({"run_id": "r1"})).await, none);
    assert_eq!(api.refused("POST", partitions, Some(json!({}))).await.0, 422);
}

#[sqlx::test(migrations = "../../migrations")]
async fn clears_that_make_no_sense_are_refused(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let path = "/api/v2/dags/diamond/clearTaskInstances";
    for (body, text) in [
        (json!({"only_failed": true, "only_running": true}), "only_failed and only_running both"),
        (json!({"start_date": "2026-01-02", "end_date": "2026-01-01"}), "end_date is sooner than start_date"),
        (json!({"task_ids": []}), "at least 1 element"),
    ] {
        let (status, detail) = api.refused("POST", path, Some(body)).await;
        assert!(status == 422 && detail[0]["msg"].as_str().unwrap().contains(text), "{detail}");
    }
    let (status, detail) = api.refused("POST", path, Some(json!({"dag_run_id": "r1", "include_past": true}))).await;
    assert!(status == 400 && detail.as_str().unwrap().starts_with("Cannot use include_past"), "{detail}");
    // The run stays with its version.
    let clear = format!("{RUNS}/r1/clear");
    assert_eq!(api.send("POST", &clear, json!({"only_new": true})).await, json!({"task_instances": [], "total_entries": 0}));
    api.sql("insert into dag_version (dag_id, number, hash, spec, source, task_count)
             select dag_id, 2, 'h2', jsonb_set(spec::jsonb, '{tasks, 4}', (spec::jsonb -> 'tasks' -> 0) || '{\"task_id\": \"fresh\"}')::text, '', 5 from dag_version
             where dag_id = 'diamond';
             update dag set version_id = (select max(id) from dag_version) where dag_id = 'diamond'")
        .await;
    let shown = api.send("POST", &clear, json!({"only_new": true})).await;
    assert_eq!(shown["task_instances"], json!([{"task_id": "fresh", "task_display_name": "fresh"}]));
    let (status, detail) = api.refused("POST", &clear, Some(json!({"only_new": true, "dry_run": false}))).await;
    assert!(status == 501 && detail.as_str().unwrap().contains("fresh"), "{status} {detail}");
}
