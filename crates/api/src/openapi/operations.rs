//! An operation for every route, by area. Ids are Airflow's where the route is Airflow's.

use axum::http::Method;
use updraft_store::read::audit::AUDIT_COLUMNS;
use updraft_store::read::backfills::BACKFILL_COLUMNS;
use updraft_store::read::dags::{ANY_RUN_COLUMNS, DAG_COLUMNS, IMPORT_ERROR_COLUMNS, VERSION_COLUMNS};
use updraft_store::read::instances::INSTANCE_COLUMNS;
use updraft_store::read::pools::POOL_COLUMNS;
use updraft_store::read::runs::RUN_COLUMNS;
use updraft_store::read::secrets::{CONNECTION_COLUMNS, VARIABLE_COLUMNS};
use updraft_store::read::xcoms::XCOM_COLUMNS;
use updraft_store::users::USER_COLUMNS;

use super::parameters::Of;
use super::{Operation, bodies};
use crate::bulk::Answers;
use crate::shapes::{Dag, DagDetails, DagVersion, Instance, Run, Task, Try};
use crate::{
    attempt, auth, backfills, bars, calendar, clear, condition, connections, dag_diff, dags, doctor, fleet, graph, grid, history,
    import_errors, instances, logs, maintenance, meta, page, pools, rerun, runs, sources, task_fares, users, variables, webhook, why,
    xcoms,
};

mod ours;

const RUNS: &str = "/api/v2/dags/{dag_id}/dagRuns";
const TASKS: &str = "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances";
const GROUP: &str = "/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskGroupInstances/{group}";
const LOG: &str = "/ui/logs/{dag_id}/{run_id}/{task_id}/{try_number}";
const MAP: &[&str] = &["map_index"];

fn get(path: impl Into<String>, id: &'static str, summary: &'static str) -> Operation {
    Operation::new(Method::GET, path.into(), id, summary)
}

fn post(path: impl Into<String>, id: &'static str, summary: &'static str) -> Operation {
    Operation::new(Method::POST, path.into(), id, summary)
}

fn put(path: impl Into<String>, id: &'static str, summary: &'static str) -> Operation {
    Operation::new(Method::PUT, path.into(), id, summary)
}

fn patch(path: impl Into<String>, id: &'static str, summary: &'static str) -> Operation {
    Operation::new(Method::PATCH, path.into(), id, summary)
}

fn delete(path: impl Into<String>, id: &'static str, summary: &'static str) -> Operation {
    Operation::new(Method::DELETE, path.into(), id, summary)
}

/// All of them.
pub(super) fn all() -> Vec<Operation> {
    let areas: [(&str, Vec<Operation>); 20] = [
        ("DAG", of_dags()),
        ("DagRun", of_runs()),
        ("TaskInstance", of_instances()),
        ("Task", of_tasks()),
        ("XCom", of_xcoms()),
        ("DagVersion", of_versions()),
        ("DagSource", vec![source()]),
        ("DagStats", vec![stats()]),
        ("Import Error", of_import_errors()),
        ("DagWarning", vec![warnings()]),
        ("Backfill", of_backfills()),
        ("Pool", of_pools()),
        ("Variable", of_variables()),
        ("Connection", of_connections()),
        ("Event Log", of_event_logs()),
        ("Monitor", of_monitor()),
        ("Login", ours::of_login()),
        ("User", ours::of_users()),
        ("Updraft", ours::of_updraft()),
        ("Refused", ours::refused()),
    ];
    areas.into_iter().flat_map(|(tag, area)| area.into_iter().map(move |operation| Operation { tag, ..operation })).collect()
}

fn choosing_dags(operation: Operation) -> Operation {
    operation
        .list(DAG_COLUMNS)
        .filters(ANY_RUN_COLUMNS)
        .query("last_dag_run_state", Of::Words(runs::STATES), "The state of its newest run")
        .query("dag_run_state", Of::Words(runs::STATES), "The state of any of its runs")
        .query("tags", Of::Texts, "Has any of these tags")
        .query("tags_match_mode", Of::Word(dags::TAGS_MATCH), "`all`: has all of `tags`")
        .query("owners", Of::Texts, "Has a task of any of these owners")
        .query("is_favorite", Of::Flag, "Whether it is a favorite of who asks")
        .query("exclude_stale", Of::Flag, "Leaves out those that their file no longer has; true, if nothing is said")
}

fn of_dags() -> Vec<Operation> {
    let one = "/api/v2/dags/{dag_id}";
    vec![
        choosing_dags(get("/api/v2/dags", "get_dags", "Lists DAGs").gives::<dags::Dags>()),
        choosing_dags(patch("/api/v2/dags", "patch_dags", "Pauses or unpauses DAGs"))
            .says("Those that the filters choose. Without `dag_id_pattern` and `dag_id_prefix_pattern` none are; `~` is all.")
            .mask()
            .body(bodies::is_paused())
            .gives::<dags::Dags>(),
        get(one, "get_dag", "Shows a DAG").gives::<Dag>().fails(&[404]),
        patch(one, "patch_dag", "Pauses or unpauses a DAG").mask().body(bodies::is_paused()).gives::<Dag>().fails(&[404]),
        delete(one, "delete_dag", "Deletes what is known of a DAG")
            .says("Its runs and their logs too. A DAG that its file still has comes back without them.")
            .gives::<()>()
            .fails(&[404, 409]),
        get(format!("{one}/details"), "get_dag_details", "Shows a DAG with its details").gives::<DagDetails>().fails(&[404]),
        post(format!("{one}/favorite"), "favorite_dag", "Makes a DAG a favorite of who asks").ends().fails(&[404, 409]),
        post(format!("{one}/unfavorite"), "unfavorite_dag", "Makes it a favorite no longer").ends().fails(&[404, 409]),
        get("/api/v2/dagTags", "get_dag_tags", "Lists the tags of DAGs")
            .page()
            .query("tag_name_pattern", Of::Text, "`%` is any text, `_` any character, `|` is \"or\"")
            .query("tag_name_prefix_pattern", Of::Text, "Begins with this; `|` is \"or\"")
            .query("order_by", Of::Text, "`name`, or `-name` for the other way round")
            .gives::<dags::Tags>(),
    ]
}

fn of_tasks() -> Vec<Operation> {
    vec![
        get("/api/v2/dags/{dag_id}/tasks", "get_tasks", "Lists the tasks of a DAG")
            .query(
                "order_by",
                Of::Word(&["task_id", "-task_id", "task_display_name", "-task_display_name", "idx", "-idx"]),
                "By what; `idx` is the order of the file",
            )
            .gives::<dags::Tasks>()
            .fails(&[404]),
        get("/api/v2/dags/{dag_id}/tasks/{task_id}", "get_task", "Shows a task of a DAG").gives::<Task>().fails(&[404]),
    ]
}

fn of_versions() -> Vec<Operation> {
    vec![
        get("/api/v2/dags/{dag_id}/dagVersions", "get_dag_versions", "Lists the versions of a DAG")
            .list(VERSION_COLUMNS)
            .gives::<dags::Versions>()
            .fails(&[404]),
        get("/api/v2/dags/{dag_id}/dagVersions/{number}", "get_dag_version", "Shows a version of a DAG")
            .numbers(&["number"])
            .gives::<DagVersion>()
            .fails(&[404]),
    ]
}

fn source() -> Operation {
    get("/api/v2/dagSources/{dag_id}", "get_dag_source", "Shows the file of a DAG")
        .query("version_number", Of::Whole, "Of which version; the newest, if nothing is said")
        .gives::<dags::Source>()
        .or("text/plain; charset=utf-8")
        .fails(&[404, 406])
}

fn stats() -> Operation {
    get("/api/v2/dagStats", "get_dag_stats", "Counts the runs of DAGs by state")
        .query("dag_ids", Of::Texts, "Of these DAGs; of all, if nothing is said")
        .gives::<dags::AllStats>()
}

fn warnings() -> Operation {
    get("/api/v2/dagWarnings", "list_dag_warnings", "Lists what is odd about DAGs and no error")
        .fields(dags::WARNINGS)
        .query("dag_id", Of::Text, "")
        .query("warning_type", Of::Word(dags::WARNING_TYPES), "")
        .gives::<dags::Warnings>()
}

fn of_import_errors() -> Vec<Operation> {
    vec![
        get("/api/v2/importErrors", "get_import_errors", "Lists the files that could not be read")
            .list(IMPORT_ERROR_COLUMNS)
            .gives::<dags::ImportErrors>(),
        get("/api/v2/importErrors/{id}", "get_import_error", "Shows what is wrong with a file")
            .numbers(&["id"])
            .gives::<dags::ImportError>()
            .fails(&[404]),
    ]
}

fn of_runs() -> Vec<Operation> {
    let one = format!("{RUNS}/{{run_id}}");
    let of_dag = "/api/v2/dags/{dag_id}";
    vec![
        get(RUNS, "get_dag_runs", "Lists runs")
            .list(RUN_COLUMNS)
            .cursor()
            .query("state", Of::Words(runs::STATES), "Any of these")
            .query("run_type", Of::Words(runs::TYPES), "Any of these")
            .gives::<runs::Runs>()
            .fails(&[404]),
        post(format!("{RUNS}/list"), "get_list_dag_runs_batch", "Lists runs, with the filters in the body")
            .body(bodies::list_runs())
            .gives::<runs::Runs>()
            .fails(&[404]),
        post(RUNS, "trigger_dag_run", "Triggers a run").body(bodies::trigger()).gives::<Run>().fails(&[404, 409]),
        patch(RUNS, "bulk_dag_runs", "Updates and deletes runs").body(bodies::bulk_runs()).gives::<Answers>(),
        get(one.clone(), "get_dag_run", "Shows a run").gives::<Run>().fails(&[404]),
        patch(one.clone(), "patch_dag_run", "Marks a run, or writes its note")
            .mask()
            .body(bodies::patch_run())
            .gives::<Run>()
            .fails(&[404]),
        delete(one.clone(), "delete_dag_run", "Deletes a run").ends().fails(&[404, 409]),
        post(format!("{one}/clear"), "clear_dag_run", "Clears a run, or shows what that would clear")
            .body(bodies::clear_run())
            .gives::<clear::ClearedRun>()
            .fails(&[404, 501]),
        get(format!("{one}/upstreamAssetEvents"), "get_upstream_asset_events", "Lists nothing: no run comes from an asset")
            .gives::<runs::AssetEvents>()
            .fails(&[404]),
        get(format!("{one}/wait"), "wait_dag_run_until_finished", "Waits for the end of a run")
            .says("Who accepts JSON alone gets one answer, at the end; anybody else a line of JSON for each look.")
            .required("interval", Of::Number, "Seconds between two looks: more than 0, at most 3600")
            .query("result", Of::Texts, "Tasks whose return values come with the end")
            .gives::<runs::Waited>()
            .or("application/x-ndjson")
            .fails(&[404]),
        post(format!("{of_dag}/clearDagRuns"), "clear_dag_runs", "Clears runs, or shows what that would clear")
            .body(bodies::clear_runs())
            .gives::<clear::ClearedRuns>()
            .fails(&[404, 501]),
        post(format!("{of_dag}/clearPartitions"), "clear_dag_run_partitions", "Takes partitions away from runs: none has one")
            .body(bodies::clear_partitions())
            .gives::<clear::ClearedPartitions>()
            .fails(&[404]),
    ]
}

fn of_instances() -> Vec<Operation> {
    let one = format!("{TASKS}/{{task_id}}");
    let mapped = format!("{one}/{{map_index}}");
    let choosing = |operation: Operation| {
        let mut listed = operation.list(INSTANCE_COLUMNS).cursor();
        for name in instances::parameters() {
            let of = if name.ends_with("pattern") { Of::Text } else { Of::Texts };
            listed = listed.query(name, of, "");
        }
        let listed = listed.query("task_group_id", Of::Text, "In this group of tasks, or in a group within it");
        listed.query("state", Of::Words(instances::STATES), "Any of these").gives::<instances::Instances>().fails(&[404])
    };
    let marks = |operation: Operation| operation.mask().body(bodies::patch_instance()).gives::<instances::SomeInstances>().fails(&[404]);
    vec![
        choosing(get(TASKS, "get_task_instances", "Lists task instances")),
        post(format!("{TASKS}/list"), "get_task_instances_batch", "Lists task instances, with the filters in the body")
            .body(bodies::list_instances())
            .gives::<instances::Instances>()
            .fails(&[404]),
        patch(TASKS, "bulk_task_instances", "Updates and deletes task instances").body(bodies::bulk_instances()).gives::<Answers>(),
        get(one.clone(), "get_task_instance", "Shows a task instance").gives::<Instance>().fails(&[404]),
        marks(patch(one.clone(), "patch_task_instance", "Marks a task instance, or writes its note")).fails(&[409]),
        delete(one.clone(), "delete_task_instance", "Deletes a task instance").map_index().gives::<()>().fails(&[404, 409]),
        marks(patch(format!("{one}/dry_run"), "patch_task_instance_dry_run", "Shows what a mark would change")),
        get(format!("{one}/dependencies"), "get_task_instance_dependencies", "Lists what keeps a task from being queued")
            .map_index()
            .gives::<why::Dependencies>()
            .fails(&[404]),
        get(format!("{one}/tries"), "get_task_instance_tries", "Lists the tries of a task instance")
            .gives::<instances::Tries>()
            .fails(&[404]),
        get(format!("{one}/tries/{{try_number}}"), "get_task_instance_try_details", "Shows a try")
            .numbers(&["try_number"])
            .gives::<Try>()
            .fails(&[404]),
        get(format!("{one}/links"), "get_extra_links", "Lists the links of a task instance: operators make them, and none runs here")
            .map_index()
            .gives::<instances::Links>()
            .fails(&[404]),
        choosing(get(format!("{one}/listMapped"), "get_mapped_task_instances", "Lists the instances of a mapped task")),
        get(mapped.clone(), "get_mapped_task_instance", "Shows an instance of a mapped task")
            .numbers(MAP)
            .gives::<Instance>()
            .fails(&[404]),
        marks(
            patch(mapped.clone(), "patch_task_instance_by_map_index", "Marks an instance of a mapped task, or writes its note")
                .numbers(MAP),
        )
        .fails(&[409]),
        marks(
            patch(format!("{mapped}/dry_run"), "patch_task_instance_dry_run_by_map_index", "Shows what a mark would change").numbers(MAP),
        ),
        get(
            format!("{mapped}/dependencies"),
            "get_task_instance_dependencies_by_map_index",
            "Lists what keeps an instance of a mapped task from being queued",
        )
        .numbers(MAP)
        .gives::<why::Dependencies>()
        .fails(&[404]),
        get(format!("{mapped}/tries"), "get_mapped_task_instance_tries", "Lists the tries of an instance of a mapped task")
            .numbers(MAP)
            .gives::<instances::Tries>()
            .fails(&[404]),
        get(
            format!("{mapped}/tries/{{try_number}}"),
            "get_mapped_task_instance_try_details",
            "Shows a try of an instance of a mapped task",
        )
        .numbers(&["map_index", "try_number"])
        .gives::<Try>()
        .fails(&[404]),
        marks(patch(GROUP, "patch_task_group_instances", "Marks all of a group, or writes their notes")).fails(&[409]),
        marks(patch(format!("{GROUP}/dry_run"), "patch_task_group_instances_dry_run", "Shows what a mark of a group would change")),
        post(
            "/api/v2/dags/{dag_id}/clearTaskInstances",
            "post_clear_task_instances",
            "Clears task instances, or shows what that would clear",
        )
        .body(bodies::clear_instances())
        .gives::<clear::ClearedInstances>()
        .fails(&[404, 409]),
        get(format!("{one}/logs/{{try_number}}"), "get_log", "Reads the log of a try")
            .says("`try_number` may be `latest`. Answers come in pages: go on with `continuation_token` while there is one.")
            .query("token", Of::Text, "`continuation_token` of the page before")
            .query("full_content", Of::Flag, "Pages of 64 MiB instead of 1 MiB")
            .map_index()
            .gives::<logs::Log>()
            .or("application/x-ndjson")
            .fails(&[404, 406]),
        get(format!("{one}/externalLogUrl/{{try_number}}"), "get_external_log_url", "Says that logs are nowhere else").fails(&[400]),
    ]
}

fn of_xcoms() -> Vec<Operation> {
    let all = format!("{TASKS}/{{task_id}}/xcomEntries");
    let one = format!("{all}/{{*key}}");
    vec![
        get(all.clone(), "get_xcom_entries", "Lists what tasks left")
            .says("`~` as the task is any.")
            .list(XCOM_COLUMNS)
            .gives::<xcoms::Xcoms>()
            .fails(&[404]),
        post(all, "create_xcom_entry", "Leaves a value as if the task had")
            .body(bodies::xcom())
            .creates::<xcoms::XcomWithValue>()
            .fails(&[404, 409]),
        get(one.clone(), "get_xcom_entry", "Shows what a task left")
            .map_index()
            .query("deserialize", Of::Flag, "The value itself, whatever `stringify` says")
            .query("stringify", Of::Flag, "The value as text")
            .gives::<xcoms::XcomWithValue>()
            .fails(&[404]),
        patch(one.clone(), "update_xcom_entry", "Leaves another value")
            .body(bodies::patch_xcom())
            .gives::<xcoms::XcomWithValue>()
            .fails(&[404]),
        delete(one, "delete_xcom_entry", "Takes a value away").map_index().ends().fails(&[404]),
    ]
}

fn of_backfills() -> Vec<Operation> {
    let one = "/api/v2/backfills/{id}";
    let changes = |what: &'static str, id: &'static str, summary: &'static str| {
        put(format!("{one}/{what}"), id, summary).numbers(&["id"]).gives::<backfills::Backfill>().fails(&[404, 409])
    };
    vec![
        get("/api/v2/backfills", "list_backfills", "Lists the backfills of a DAG")
            .list(BACKFILL_COLUMNS)
            .required("dag_id", Of::Text, "Of this DAG")
            .gives::<backfills::Backfills>(),
        post("/api/v2/backfills", "create_backfill", "Makes a backfill")
            .body(bodies::backfill())
            .gives::<backfills::Backfill>()
            .fails(&[404, 409]),
        post("/api/v2/backfills/dry_run", "create_backfill_dry_run", "Shows the runs that a backfill would have")
            .body(bodies::backfill())
            .gives::<backfills::AllPlanned>()
            .fails(&[404]),
        get(one, "get_backfill", "Shows a backfill").numbers(&["id"]).gives::<backfills::Backfill>().fails(&[404]),
        changes("pause", "pause_backfill", "Starts no more of its runs"),
        changes("unpause", "unpause_backfill", "Goes on starting its runs"),
        changes("cancel", "cancel_backfill", "Ends a backfill: what has not begun fails"),
    ]
}

fn of_pools() -> Vec<Operation> {
    let one = "/api/v2/pools/{name}";
    vec![
        get("/api/v2/pools", "get_pools", "Lists pools").list(POOL_COLUMNS).gives::<pools::AllShown>(),
        post("/api/v2/pools", "post_pool", "Makes a pool").body(bodies::pool()).creates::<pools::Shown>().fails(&[409]),
        patch("/api/v2/pools", "bulk_pools", "Makes, updates and deletes pools").body(bodies::bulk_pools()).gives::<Answers>(),
        get(one, "get_pool", "Shows a pool").gives::<pools::Shown>().fails(&[404]),
        patch(one, "patch_pool", "Changes a pool").mask().body(bodies::patch_pool()).gives::<pools::Shown>().fails(&[404]),
        delete(one, "delete_pool", "Deletes a pool: its tasks wait until there is one again").ends().fails(&[404]),
    ]
}

fn of_variables() -> Vec<Operation> {
    let one = "/api/v2/variables/{*key}";
    vec![
        get("/api/v2/variables", "get_variables", "Lists variables").list(VARIABLE_COLUMNS).gives::<variables::AllShown>(),
        post("/api/v2/variables", "post_variable", "Makes a variable").body(bodies::variable()).creates::<variables::Shown>().fails(&[409]),
        patch("/api/v2/variables", "bulk_variables", "Makes, updates and deletes variables")
            .body(bodies::bulk_variables())
            .gives::<Answers>()
            .fails(&[409]),
        get(one, "get_variable", "Shows a variable").gives::<variables::Shown>().fails(&[404, 409]),
        patch(one, "patch_variable", "Changes a variable").mask().body(bodies::variable()).gives::<variables::Shown>().fails(&[404, 409]),
        delete(one, "delete_variable", "Deletes a variable").ends().fails(&[404]),
    ]
}

fn of_connections() -> Vec<Operation> {
    let all = "/api/v2/connections";
    let one = "/api/v2/connections/{id}";
    vec![
        get(all, "get_connections", "Lists connections").list(CONNECTION_COLUMNS).gives::<connections::AllShown>(),
        post(all, "post_connection", "Makes a connection").body(bodies::connection()).creates::<connections::Shown>().fails(&[409]),
        patch(all, "bulk_connections", "Makes, updates and deletes connections")
            .body(bodies::bulk_connections())
            .gives::<Answers>()
            .fails(&[409]),
        get(one, "get_connection", "Shows a connection").gives::<connections::Shown>().fails(&[404]),
        patch(one, "patch_connection", "Changes a connection")
            .mask()
            .body(bodies::connection())
            .gives::<connections::Shown>()
            .fails(&[404, 409]),
        delete(one, "delete_connection", "Deletes a connection").ends().fails(&[404]),
        post(format!("{all}/test"), "test_connection", "Refuses to test a connection: hooks are in tasks' images"),
        post(format!("{all}/enqueue-test"), "enqueue_connection_test", "Refuses to test a connection: hooks are in tasks' images"),
        get(format!("{all}/enqueue-test"), "get_connection_test", "Finds no test of a connection")
            .header("airflow-connection-test-token", "Of the test that is looked for")
            .fails(&[404]),
        post(format!("{all}/defaults"), "create_default_connections", "Refuses to make examples of connections").fails(&[501]),
    ]
}

fn of_event_logs() -> Vec<Operation> {
    vec![
        get("/api/v2/eventLogs", "get_event_logs", "Lists who asked for what")
            .list(AUDIT_COLUMNS)
            .query("included_events", Of::Texts, "Only these events")
            .query("excluded_events", Of::Texts, "None of these events")
            .query("before", Of::Time, "")
            .query("after", Of::Time, "")
            .gives::<meta::EventLogs>(),
        get("/api/v2/eventLogs/{id}", "get_event_log", "Shows an entry of the audit log")
            .numbers(&["id"])
            .gives::<meta::EventLog>()
            .fails(&[404]),
    ]
}

fn of_monitor() -> Vec<Operation> {
    vec![
        get("/api/v2/version", "get_version", "Says whose shapes these are, and what makes them").gives::<meta::Version>(),
        get("/api/v2/monitor/health", "get_health", "Says how the parts of the installation are")
            .says("It answers 200 whatever it says, as Airflow's does.")
            .gives::<meta::Health>(),
        get("/api/v2/jobs", "get_jobs", "Lists the processes of the installation")
            .fields(meta::JOBS)
            .query("is_alive", Of::Flag, "Whether it has been heard of lately")
            .query("job_state", Of::Text, "")
            .query("job_type", Of::Text, "")
            .query("hostname", Of::Text, "")
            .query("executor_class", Of::Text, "")
            .gives::<meta::Jobs>(),
        get("/api/v2/config", "get_config", "Refuses to show a configuration"),
        get("/api/v2/config/section/{section}/option/{option}", "get_config_value", "Refuses to show a configuration"),
    ]
}
