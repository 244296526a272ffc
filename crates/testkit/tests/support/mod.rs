//! What tests against a real database begin with.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use serde_json::{Value, json};
use updraft_model::{DagSpec, RunKey};
use updraft_store::{DagUpsert, NewRun, Store};

/// The run `r` of the DAG `d`, which has these tasks. It has started, and nothing of it is planned.
pub(crate) async fn started_run(store: &Store, tasks: &[Value]) -> RunKey {
    let mut spec: DagSpec = serde_json::from_value(json!({"dag_id": "d", "schedule": {"kind": "none"}, "tasks": tasks})).unwrap();
    spec.validate().unwrap();
    let dag = DagUpsert {
        spec: &spec,
        json: &spec.canonical_json(),
        hash: &spec.version_hash(),
        source: "",
        bundle: "d",
        relative_fileloc: "d",
        fileloc: "d",
        git_commit: None,
        paused_at_creation: false,
        max_active_runs: 1,
        parse_ms: 0.0,
        timetable_summary: "",
        timetable_description: "",
    };
    let version_id = store.dag_upsert(&dag).await.unwrap().version_id;
    let new = NewRun {
        dag_id: "d",
        run_id: "r",
        run_type: "manual",
        logical_date: None,
        data_interval: None,
        run_after: chrono::DateTime::UNIX_EPOCH,
        conf: json!({}),
        note: None,
        triggered_by: "test",
        triggering_user: None,
        version_id,
        trace: None,
    };
    let run = store.run_create(&new).await.unwrap().unwrap();
    store.runs_start("d").await.unwrap();
    run
}
