//! The shapes of the answers: the keys and types of Airflow's own.

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::Api;

/// Where Airflow's own answers are, on the machine where this was written. Absent elsewhere: the key lists below stand on their own.
const GOLDEN: &str = "/work/shared/airflow/golden";

fn keys(value: &Value) -> Vec<String> {
    let mut keys: Vec<String> = value.as_object().unwrap_or_else(|| panic!("not an object: {value}")).keys().cloned().collect();
    keys.sort();
    keys
}

#[track_caller]
fn has_keys(value: &Value, expected: &str) {
    let mut expected: Vec<String> = expected.split_whitespace().map(str::to_owned).collect();
    expected.sort();
    assert_eq!(keys(value), expected);
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The same keys and the same types, as far as Airflow's answer shows them: null says nothing of a type.
fn same_shape(place: &str, ours: &Value, golden: &Value, problems: &mut Vec<String>) {
    match (ours, golden) {
        (Value::Object(a), Value::Object(b)) => {
            for key in b.keys().filter(|k| !a.contains_key(*k)) {
                problems.push(format!("{place}.{key} is missing"));
            }
            for (key, value) in a {
                match b.get(key) {
                    // Configurations and parameters are the user's own.
                    Some(_) if key == "conf" || key == "rendered_fields" || key == "params" => {}
                    Some(other) => same_shape(&format!("{place}.{key}"), value, other, problems),
                    None => problems.push(format!("{place}.{key} is not Airflow's")),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            if let (Some(first), Some(other)) = (a.first(), b.first()) {
                same_shape(&format!("{place}[0]"), first, other, problems);
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        // Python's whole floats and ours.
        (a, b) if kind(a) != kind(b) => problems.push(format!("{place}: {} instead of {}", kind(a), kind(b))),
        _ => {}
    }
}

fn golden(name: &str, ours: &Value) {
    let path = format!("{GOLDEN}/{name}.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("{path} is not on this machine: only the key lists are compared");
        return;
    };
    let golden: Value = serde_json::from_str(&text).unwrap();
    let mut problems = Vec::new();
    same_shape(name, ours, &golden, &mut problems);
    assert!(problems.is_empty(), "{name}: {problems:#?}");
}

const DAG_KEYS: &str = "dag_id dag_display_name is_paused is_stale last_parsed_time last_parse_duration last_expired bundle_name bundle_version \
    relative_fileloc fileloc description timetable_summary timetable_description timetable_partitioned timetable_periodic tags max_active_tasks \
    max_active_runs max_consecutive_failed_dag_runs has_task_concurrency_limits has_import_errors next_dagrun_logical_date \
    next_dagrun_data_interval_start next_dagrun_data_interval_end next_dagrun_run_after allowed_run_types owners is_backfillable file_token";
const DETAIL_KEYS: &str = "catchup dag_run_timeout asset_expression doc_md start_date end_date is_paused_upon_creation params \
    render_template_as_native_obj template_search_path timezone last_parsed default_args rerun_with_latest_version owner_links is_favorite \
    active_runs_count concurrency latest_dag_version";
const RUN_KEYS: &str = "dag_run_id dag_id logical_date queued_at start_date end_date duration data_interval_start data_interval_end run_after \
    last_scheduling_decision run_type state triggered_by triggering_user_name conf note dag_versions bundle_version dag_display_name partition_key \
    partition_date";
const INSTANCE_KEYS: &str = "id task_id dag_id dag_run_id map_index logical_date run_after start_date end_date duration state try_number max_tries \
    task_display_name dag_display_name hostname unixname pool pool_slots queue priority_weight operator operator_name queued_when scheduled_when pid \
    executor executor_config note rendered_map_index rendered_fields trigger triggerer_job dag_version";

#[sqlx::test(migrations = "../../migrations")]
async fn shapes_are_airflows(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    api.sql("insert into scheduler (id, host, pid) values ('00000000-0000-0000-0000-000000000009', 'h1', 1)").await;

    let dags = api.get("/api/v2/dags?dag_id_pattern=diamond").await;
    has_keys(&dags["dags"][0], DAG_KEYS);
    golden("dags", &dags);
    let details = api.get("/api/v2/dags/diamond/details").await;
    has_keys(&details, &format!("{DAG_KEYS} {DETAIL_KEYS}"));
    assert_eq!(details["dag_run_timeout"], "PT1H");
    assert_eq!(details["catchup"], false);
    golden("dag_details", &details);
    golden("dag_patch", &api.send("PATCH", "/api/v2/dags/diamond", json!({"is_paused": false})).await);
    golden("tasks", &api.get("/api/v2/dags/diamond/tasks").await);
    golden("dagsources", &api.get("/api/v2/dagSources/diamond").await);
    golden("dagstats", &api.get("/api/v2/dagStats").await);
    golden("dagversions", &api.get("/api/v2/dags/diamond/dagVersions").await);
    golden("importErrors", &api.get("/api/v2/importErrors").await);
    golden("variables", &api.get("/api/v2/variables").await);
    golden("connections", &api.get("/api/v2/connections").await);
    golden("jobs", &api.get("/api/v2/jobs").await);
    golden("pools", &api.get("/api/v2/pools").await);
    golden("eventlogs", &api.get("/api/v2/eventLogs").await);

    let runs = api.get("/api/v2/dags/diamond/dagRuns").await;
    has_keys(&runs, "dag_runs total_entries total_entries_limit next_cursor previous_cursor");
    has_keys(&runs["dag_runs"][0], RUN_KEYS);
    golden("dagruns", &runs);
    golden("allruns", &api.get("/api/v2/dags/~/dagRuns").await);
    let instances = api.get("/api/v2/dags/diamond/dagRuns/r1/taskInstances").await;
    has_keys(&instances["task_instances"][0], INSTANCE_KEYS);
    golden("tis", &instances);
    let logs = api.get("/api/v2/dags/diamond/dagRuns/r1/taskInstances/a/logs/2").await;
    has_keys(&logs, "content continuation_token");

    let health = api.get("/api/v2/monitor/health").await;
    assert_eq!(health["metadatabase"]["status"], "healthy");
    assert_eq!(health["scheduler"]["status"], "healthy");
    assert_eq!(health["triggerer"]["status"], Value::Null);
    has_keys(&api.get("/api/v2/version").await, "version git_version");
}
