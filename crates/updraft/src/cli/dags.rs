//! DAGs.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::http::{Client, Failure, part};
use super::output::{Listing, Output, text, when};

/// Options of `dags list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only DAGs whose id contains this (`%` matches anything).
    pattern: Option<String>,
    /// Only DAGs with this tag.
    #[arg(long)]
    tag: Vec<String>,
    /// Only paused ones.
    #[arg(long, conflicts_with = "active")]
    paused: bool,
    /// Only ones that are not paused.
    #[arg(long)]
    active: bool,
    /// At most so many.
    #[arg(long)]
    limit: Option<usize>,
    #[command(flatten)]
    output: Output,
}

/// Options of `dags show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The DAG.
    dag: String,
    #[command(flatten)]
    output: Output,
}

/// Options of `dags trigger`.
#[derive(Debug, Args)]
pub(crate) struct Trigger {
    /// The DAG.
    dag: String,
    /// Configuration, a JSON object.
    #[arg(short, long, value_name = "JSON")]
    conf: Option<String>,
    /// The run's name. Default: `manual__` and the time.
    #[arg(short, long, value_name = "RUN_ID")]
    run_id: Option<String>,
    /// Which date the run is for. Default: none; templates then use the time of the trigger.
    #[arg(short = 'e', long, alias = "exec-date", value_name = "TIME")]
    logical_date: Option<String>,
    /// A note for people.
    #[arg(long)]
    note: Option<String>,
    /// Wait for the end; exit 10 when the run fails.
    #[arg(long)]
    wait: bool,
    /// With --wait: no longer than this, as in 90s or 2h; exit 11 then. The run goes on.
    #[arg(long, requires = "wait", value_name = "DURATION", value_parser = crate::settings::duration)]
    timeout: Option<std::time::Duration>,
    #[command(flatten)]
    output: Output,
}

/// Options of `dags pause` and `dags unpause`.
#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// The DAGs.
    #[arg(required = true)]
    dags: Vec<String>,
    #[command(flatten)]
    output: Output,
}

/// Options of `dags list-import-errors`.
#[derive(Debug, Args)]
pub(crate) struct ImportErrors {
    #[command(flatten)]
    output: Output,
}

/// Options of `dags delete`.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The DAG.
    dag: String,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
}

/// Options of `dags next-execution` and `dags versions`.
#[derive(Debug, Args)]
pub(crate) struct Only {
    /// The DAG.
    dag: String,
    #[command(flatten)]
    output: Output,
}

/// Options of `dags source`.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The DAG.
    dag: String,
    /// Which version. Default: the newest.
    #[arg(long = "dag-version", value_name = "NUMBER")]
    number: Option<u32>,
}

const LISTING: Listing = Listing {
    name: |d| text(&d["dag_id"]),
    columns: &[
        ("dag_id", |d| text(&d["dag_id"])),
        ("paused", |d| text(&d["is_paused"])),
        ("schedule", |d| text(&d["timetable_summary"])),
        ("next_run", |d| when(&d["next_dagrun_run_after"])),
        ("owners", |d| text(&d["owners"])),
        ("file", |d| text(&d["relative_fileloc"])),
    ],
    wide: &[
        ("tags", |d| {
            d["tags"].as_array().map(|tags| tags.iter().map(|tag| text(&tag["name"])).collect::<Vec<_>>().join(", ")).unwrap_or_default()
        }),
        ("max_active_runs", |d| text(&d["max_active_runs"])),
        ("max_active_tasks", |d| text(&d["max_active_tasks"])),
        ("parsed", |d| when(&d["last_parsed_time"])),
        ("import_errors", |d| text(&d["has_import_errors"])),
        ("description", |d| text(&d["description"])),
    ],
};

const VERSIONS: Listing = Listing {
    name: |v| text(&v["version_number"]),
    columns: &[
        ("version", |v| text(&v["version_number"])),
        ("created", |v| when(&v["created_at"])),
        ("bundle", |v| text(&v["bundle_name"])),
        ("commit", |v| text(&v["bundle_version"])),
    ],
    wide: &[("id", |v| text(&v["id"])), ("url", |v| text(&v["bundle_url"]))],
};

pub(crate) async fn list(client: &Client, options: &List) -> Result<ExitCode, Failure> {
    let mut path = String::from("/api/v2/dags?order_by=dag_id");
    if let Some(pattern) = &options.pattern {
        path.push_str(&format!("&dag_id_pattern={}", part(pattern)));
    }
    for tag in &options.tag {
        path.push_str(&format!("&tags={}", part(tag)));
    }
    if options.paused || options.active {
        path.push_str(&format!("&paused={}", options.paused));
    }
    let rows = client.all(&path, "dags", options.limit).await?;
    if rows.is_empty() {
        crate::say("no DAGs. Put a file into the folder of --dags, and see what `updraft dags check FOLDER` says");
    }
    Ok(options.output.list(&rows, &LISTING))
}

pub(crate) async fn show(client: &Client, options: &Show) -> Result<ExitCode, Failure> {
    let dag = part(&options.dag);
    let mut details = client.get(&format!("/api/v2/dags/{dag}/details")).await?;
    let mut tasks = client.get(&format!("/api/v2/dags/{dag}/tasks?order_by=idx")).await?;
    let tasks = tasks["tasks"].take();
    let arrows: Vec<String> = tasks
        .as_array()
        .into_iter()
        .flatten()
        .map(|t| {
            let down = text(&t["downstream_task_ids"]);
            let name = format!("{} ({})", text(&t["task_id"]), text(&t["operator_name"]));
            if down.is_empty() { name } else { format!("{name} → {down}") }
        })
        .collect();
    details["tasks"] = tasks;
    let pairs = [
        ("dag_id", text(&details["dag_id"])),
        ("description", text(&details["description"])),
        ("paused", text(&details["is_paused"])),
        ("schedule", text(&details["timetable_summary"])),
        ("", text(&details["timetable_description"])),
        ("timezone", text(&details["timezone"])),
        ("start_date", text(&details["start_date"])),
        ("next_run", when(&details["next_dagrun_run_after"])),
        ("catchup", text(&details["catchup"])),
        ("max_active_runs", text(&details["max_active_runs"])),
        ("max_active_tasks", text(&details["max_active_tasks"])),
        ("owners", text(&details["owners"])),
        ("file", text(&details["fileloc"])),
        ("version", text(&details["latest_dag_version"]["version_number"])),
        ("tasks", arrows.join("\n")),
    ];
    Ok(options.output.one(&details, &pairs))
}

pub(crate) async fn trigger(client: &Client, options: &Trigger) -> Result<ExitCode, Failure> {
    let mut body = json!({"logical_date": options.logical_date});
    if let Some(conf) = &options.conf {
        let parsed: Value = serde_json::from_str(conf).map_err(|e| Failure::usage(format!("--conf is not JSON: {e}")))?;
        if !parsed.is_object() {
            return Err(Failure::usage("--conf must be a JSON object, as in '{\"key\": \"value\"}'"));
        }
        body["conf"] = parsed;
    }
    if let Some(run_id) = &options.run_id {
        body["dag_run_id"] = json!(run_id);
    }
    if let Some(note) = &options.note {
        body["note"] = json!(note);
    }
    let run = client.post(&format!("/api/v2/dags/{}/dagRuns", part(&options.dag)), &body).await?;
    let run_id = text(&run["dag_run_id"]);
    let code = if options.output.output.is_data() { options.output.one(&run, &[]) } else { crate::print(&format!("{run_id}\n")) };
    if options.wait {
        return super::runs::wait(client, &options.dag, &run_id, options.timeout).await;
    }
    let dag = client.get(&format!("/api/v2/dags/{}", part(&options.dag))).await?;
    if dag["is_paused"] == Value::Bool(true) {
        crate::say(&format!("the DAG is paused: the run waits until `updraft dags unpause {}`", options.dag));
    } else {
        crate::say(&format!("next: updraft runs watch {} {run_id}", options.dag));
    }
    Ok(code)
}

pub(crate) async fn pause(client: &Client, options: &Pause, paused: bool) -> Result<ExitCode, Failure> {
    let mut rows = Vec::new();
    for dag in &options.dags {
        rows.push(client.patch(&format!("/api/v2/dags/{}", part(dag)), &json!({"is_paused": paused})).await?);
    }
    Ok(options.output.rows(&rows, &[("dag_id", |d| text(&d["dag_id"])), ("paused", |d| text(&d["is_paused"]))]))
}

pub(crate) async fn delete(client: &Client, options: &Delete) -> Result<ExitCode, Failure> {
    let dag = part(&options.dag);
    if !options.yes {
        let runs = client.get(&format!("/api/v2/dags/{dag}/dagRuns?limit=1")).await?;
        let question = format!("{} and its {} runs, with their logs, will be gone. Go on?", options.dag, text(&runs["total_entries"]));
        if !super::confirmed(&question, "--yes")? {
            return Ok(ExitCode::FAILURE);
        }
    }
    client.delete(&format!("/api/v2/dags/{dag}")).await?;
    crate::say(&format!("deleted {}. If its file is still there, it comes back without its runs when that is read next", options.dag));
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn next_execution(client: &Client, options: &Only) -> Result<ExitCode, Failure> {
    let dag = client.get(&format!("/api/v2/dags/{}", part(&options.dag))).await?;
    let next = json!({
        "dag_id": dag["dag_id"], "is_paused": dag["is_paused"], "logical_date": dag["next_dagrun_logical_date"],
        "run_after": dag["next_dagrun_run_after"], "data_interval_start": dag["next_dagrun_data_interval_start"],
        "data_interval_end": dag["next_dagrun_data_interval_end"],
    });
    if next["run_after"].is_null() {
        crate::say(&format!("{} has no next run by its schedule ({})", options.dag, text(&dag["timetable_summary"])));
    } else if dag["is_paused"] == true {
        crate::say(&format!("the DAG is paused: nothing starts until `updraft dags unpause {}`", options.dag));
    }
    let pairs = [
        ("run_after", text(&next["run_after"])),
        ("logical_date", text(&next["logical_date"])),
        ("data_interval_start", text(&next["data_interval_start"])),
        ("data_interval_end", text(&next["data_interval_end"])),
    ];
    Ok(options.output.one(&next, &pairs))
}

pub(crate) async fn versions(client: &Client, options: &Only) -> Result<ExitCode, Failure> {
    let path = format!("/api/v2/dags/{}/dagVersions?order_by=-version_number", part(&options.dag));
    Ok(options.output.list(&client.all(&path, "dag_versions", None).await?, &VERSIONS))
}

pub(crate) async fn source(client: &Client, options: &Source) -> Result<ExitCode, Failure> {
    let number = options.number.map(|number| format!("?version_number={number}")).unwrap_or_default();
    let answer = client.get(&format!("/api/v2/dagSources/{}{number}", part(&options.dag))).await?;
    Ok(crate::print(&text(&answer["content"])))
}

pub(crate) async fn import_errors(client: &Client, options: &ImportErrors) -> Result<ExitCode, Failure> {
    let rows = client.all("/api/v2/importErrors", "import_errors", None).await?;
    Ok(options
        .output
        .rows(&rows, &[("file", |e| text(&e["filename"])), ("since", |e| when(&e["timestamp"])), ("error", |e| text(&e["stack_trace"]))]))
}
