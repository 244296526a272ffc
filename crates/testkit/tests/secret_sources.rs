//! What a scheduler without secret keys knows: the folder and the environment have values, and only the database has none. A sealed variable that
//! nobody here can open is as undefined as one that is not there.

use std::time::Duration;

use serde_json::json;
use sqlx::PgPool;
use updraft_broker::Broker;
use updraft_model::{DagSpec, Semantics};
use updraft_planner::Defaults;
use updraft_scheduler::{Config, Pulse, Scheduler, SecretSources, SyncNow};
use updraft_store::{DagUpsert, NewRun, Store};

#[sqlx::test(migrations = "../../migrations")]
async fn values_from_outside_need_no_keys(pool: PgPool) {
    let folder = std::env::temp_dir().join(format!("updraft-sources-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(folder.join("variables")).unwrap();
    std::fs::write(folder.join("variables/region"), "mounted\n").unwrap();
    let environment = [("AIRFLOW_CONN_WAREHOUSE".into(), "postgres://me:canary@db:5432/dwh".into())];
    let secrets = SecretSources::new(Some(folder.clone()), environment.into_iter());
    sqlx::query("insert into variable (key, sealed) values ('stored', 'x')").execute(&pool).await.unwrap();

    let store = Store::from_pool(pool.clone());
    let bash = |id: &str, command: &str| json!({"task_id": id, "run": {"kind": "bash", "bash_command": command}});
    let tasks = [bash("outside", "echo {{ var.value.region }} {{ conn.warehouse.host }}"), bash("stored", "echo {{ var.value.stored }}")];
    let mut spec: DagSpec = serde_json::from_value(json!({"dag_id": "d", "schedule": {"kind": "none"}, "tasks": tasks})).unwrap();
    spec.validate().unwrap();
    let (json, hash) = (spec.canonical_json(), spec.version_hash());
    let dag = DagUpsert {
        spec: &spec,
        json: &json,
        hash: &hash,
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
        run_after: chrono::Utc::now(),
        conf: json!({}),
        note: None,
        triggered_by: "test",
        triggering_user: None,
        version_id,
        trace: None,
    };
    let run = store.run_create(&new).await.unwrap().unwrap();
    store.runs_start("d").await.unwrap();

    let config = Config {
        defaults: Defaults::default(),
        semantics: Semantics::Airflow3,
        paused_at_creation: false,
        sweep_every: Duration::from_secs(60),
        sources: Vec::new(),
        sync_now: SyncNow::default(),
        host: "h".to_owned(),
        pulse: Pulse::default(),
        policy: None,
        retention: None,
        keyring: None,
        secrets,
    };
    let mut scheduler = Scheduler::new(store, Broker::in_process(), config, tokio::sync::watch::channel(json!({})).1);
    scheduler.cycle(vec![run]).await.unwrap();
    let launch: String = sqlx::query_scalar("select launch::text from live_attempt where idx = 0").fetch_one(&pool).await.unwrap();
    assert!(launch.contains("echo mounted db"), "{launch}");
    let (reason, message): (String, String) =
        sqlx::query_as("select reason, message from task_instance where idx = 1").fetch_one(&pool).await.unwrap();
    assert_eq!(reason, "render_error");
    assert!(message.contains("var.value.stored"), "{message}");
    let all: String = sqlx::query_scalar("select string_agg(l::text, '') from live_attempt l").fetch_one(&pool).await.unwrap();
    assert!(!all.contains("canary"));
    std::fs::remove_dir_all(folder).unwrap();
}
