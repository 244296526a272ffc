//! DAGs.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::http::{Client, Failure, part};
use super::output::{Column, Output, text, when};

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

const COLUMNS: &[Column] = &[
    ("dag_id", |d| text(&d["dag_id"])),
    ("paused", |d| text(&d["is_paused"])),
    ("schedule", |d| text(&d["timetable_summary"])),
    ("next_run", |d| when(&d["next_dagrun_run_after"])),
    ("owners", |d| text(&d["owners"])),
    ("file", |d| text(&d["relative_fileloc"])),
];

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
    Ok(options.output.rows(&rows, COLUMNS))
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
    let code = match options.output.output {
        super::output::Format::Table => crate::print(&format!("{run_id}\n")),
        _ => options.output.one(&run, &[]),
    };
    if options.wait {
        return super::runs::wait(client, &options.dag, &run_id).await;
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

pub(crate) async fn import_errors(client: &Client, options: &ImportErrors) -> Result<ExitCode, Failure> {
    let rows = client.all("/api/v2/importErrors", "import_errors", None).await?;
    Ok(options
        .output
        .rows(&rows, &[("file", |e| text(&e["filename"])), ("since", |e| when(&e["timestamp"])), ("error", |e| text(&e["stack_trace"]))]))
}
