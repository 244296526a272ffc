//! Tasks: what they are, how they stand in a run, what they printed, and running them again.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::http::{Client, Failure, part};
use super::output::{Column, Output, state as state_word, text, took, when};

/// How often a follower looks for more.
const LOOK: Duration = Duration::from_millis(400);

/// The verbs about tasks.
#[derive(Debug, Subcommand)]
pub(crate) enum Tasks {
    /// Lists the tasks of a DAG.
    #[command(after_help = "Example:\n  updraft tasks list sales_daily")]
    List(List),
    /// Shows how the tasks of a run stand, and why.
    #[command(
        alias = "states-for-dag-run",
        after_help = "Examples:\n  updraft tasks states sales_daily latest\n  updraft tasks states sales_daily latest --state failed -o json"
    )]
    States(States),
    /// Prints the log of a task.
    #[command(after_help = "Examples:\n  updraft tasks logs sales_daily latest load\n  updraft tasks logs -f sales_daily latest load")]
    Logs(Logs),
    /// Clears tasks of a run, so that they run again.
    #[command(
        after_help = "Examples:\n  updraft tasks clear sales_daily latest --only-failed --downstream -y\n  updraft tasks clear sales_daily latest --task load --dry-run"
    )]
    Clear(Clear),
}

/// Options of `tasks list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The DAG.
    dag: String,
    #[command(flatten)]
    output: Output,
}

/// Options of `tasks states`.
#[derive(Debug, Args)]
pub(crate) struct States {
    /// The DAG.
    dag: String,
    /// The run, or `latest`.
    #[arg(default_value = "latest")]
    run: String,
    /// Only tasks in this state.
    #[arg(long)]
    state: Vec<String>,
    #[command(flatten)]
    output: Output,
}

/// Options of `tasks logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The DAG.
    dag: String,
    /// The run, or `latest`.
    run: String,
    /// The task.
    task: String,
    /// Which try. Default: the newest.
    #[arg(long = "try", value_name = "NUMBER")]
    try_number: Option<u32>,
    /// Which instance of a mapped task.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true, hide_default_value = true)]
    map_index: i32,
    /// Go on until the task is over, through its retries.
    #[arg(short, long)]
    follow: bool,
}

/// Options of `tasks clear`.
#[derive(Debug, Args)]
pub(crate) struct Clear {
    /// The DAG.
    dag: String,
    /// The run, or `latest`.
    run: String,
    /// Only these tasks. Default: all.
    #[arg(short, long = "task", value_name = "TASK")]
    tasks: Vec<String>,
    /// Only tasks that failed, or did not run because of them.
    #[arg(short = 'f', long)]
    only_failed: bool,
    /// And all tasks after them.
    #[arg(short, long)]
    downstream: bool,
    /// And all tasks before them.
    #[arg(short, long)]
    upstream: bool,
    /// And the same in earlier runs.
    #[arg(long)]
    past: bool,
    /// And the same in later runs.
    #[arg(long)]
    future: bool,
    /// Only show what would be cleared.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn list(client: &Client, options: &List) -> Result<ExitCode, Failure> {
    let mut answer = client.get(&format!("/api/v2/dags/{}/tasks?order_by=idx", part(&options.dag))).await?;
    let Value::Array(rows) = answer["tasks"].take() else { return Err(Failure::new(1, "the answer has no tasks")) };
    const COLUMNS: &[Column] = &[
        ("task_id", |t| text(&t["task_id"])),
        ("operator", |t| text(&t["operator_name"])),
        ("trigger_rule", |t| text(&t["trigger_rule"])),
        ("retries", |t| t["retries"].as_f64().map(|n| format!("{n:.0}")).unwrap_or_default()),
        ("pool", |t| text(&t["pool"])),
        ("queue", |t| text(&t["queue"])),
        ("downstream", |t| text(&t["downstream_task_ids"])),
    ];
    Ok(options.output.rows(&rows, COLUMNS))
}

pub(crate) async fn states(client: &Client, options: &States) -> Result<ExitCode, Failure> {
    let mut path = format!("/ui/runs/{}/{}/tasks?", part(&options.dag), part(&options.run));
    for state in &options.state {
        path.push_str(&format!("&state={}", part(state)));
    }
    let rows = client.all(&path, "tasks", None).await?;
    const COLUMNS: &[Column] = &[
        ("task_id", |t| {
            let map = t["map_index"].as_i64().filter(|m| *m >= 0).map(|m| format!("[{m}]")).unwrap_or_default();
            format!("{}{map}", text(&t["task_id"]))
        }),
        ("state", |t| state_word(&t["state"])),
        ("try", |t| text(&t["try_number"])),
        ("started", |t| when(&t["start_date"])),
        ("took", |t| took(&t["duration"])),
        ("reason", |t| text(&t["reason"])),
        ("message", |t| text(&t["message"])),
    ];
    Ok(options.output.rows(&rows, COLUMNS))
}

fn over(state: &Value) -> bool {
    matches!(state.as_str(), Some("success" | "failed" | "upstream_failed" | "skipped" | "removed"))
}

pub(crate) async fn logs(client: &Client, options: &Logs) -> Result<ExitCode, Failure> {
    let run = client.get(&format!("/ui/runs/{}/{}", part(&options.dag), part(&options.run))).await?;
    let run_id = text(&run["dag_run_id"]);
    let (dag, run, task, map) = (part(&options.dag), part(&run_id), part(&options.task), options.map_index);
    let instance = if map < 0 {
        format!("/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}")
    } else {
        format!("/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/{map}")
    };
    let mut number = options.try_number.map(i64::from);
    loop {
        let now = client.get(&instance).await?;
        let newest = now["try_number"].as_i64().unwrap_or(0);
        let wanted = number.unwrap_or_else(|| newest.max(1));
        if newest < wanted {
            let why = text(&client.get(&format!("/ui/why/{dag}/{run}/{task}?map_index={map}")).await?["summary"]);
            if over(&now["state"]) || !options.follow {
                return Err(Failure::new(3, format!("there is no try {wanted} of {}: {why}", options.task))
                    .next(format!("updraft why {} {run_id} {}", options.dag, options.task)));
            }
            tokio::time::sleep(LOOK).await;
            continue;
        }
        if print_try(client, &format!("/ui/logs/{dag}/{run}/{task}/{wanted}?map_index={map}"), options.follow).await? {
            // The reader has gone away.
            return Ok(ExitCode::SUCCESS);
        }
        if !options.follow || options.try_number.is_some() {
            return Ok(ExitCode::SUCCESS);
        }
        let now = client.get(&instance).await?;
        if over(&now["state"]) && now["try_number"].as_i64() == Some(wanted) {
            return Ok(ExitCode::SUCCESS);
        }
        crate::say(&format!("--- try {wanted} is over; waiting for the next ---"));
        number = Some(wanted + 1);
    }
}

/// Prints one try; true when nobody reads any more.
async fn print_try(client: &Client, path: &str, follow: bool) -> Result<bool, Failure> {
    let mut offset = 0;
    loop {
        let response = client.send(Method::GET, &format!("{path}&offset={offset}"), None).await?;
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let next = header("updraft-next-offset").and_then(|n| n.parse().ok()).unwrap_or(offset);
        let end = header("updraft-log-end").as_deref() == Some("true");
        let bytes = response.bytes().await.map_err(|e| Failure::new(6, format!("the API went away in mid-log: {e}")))?;
        let mut out = std::io::stdout().lock();
        if out.write_all(&bytes).and_then(|()| out.flush()).is_err() {
            return Ok(true);
        }
        drop(out);
        let stood_still = next == offset;
        offset = next;
        if end || (stood_still && !follow) {
            return Ok(false);
        }
        if stood_still {
            tokio::time::sleep(LOOK).await;
        }
    }
}

pub(crate) async fn clear(client: &Client, options: &Clear) -> Result<ExitCode, Failure> {
    let run = client.get(&format!("/ui/runs/{}/{}", part(&options.dag), part(&options.run))).await?;
    let mut body = json!({
        "dry_run": true, "dag_run_id": run["dag_run_id"], "only_failed": options.only_failed, "include_downstream": options.downstream,
        "include_upstream": options.upstream, "include_past": options.past, "include_future": options.future,
    });
    if !options.tasks.is_empty() {
        body["task_ids"] = json!(options.tasks);
    }
    let path = format!("/api/v2/dags/{}/clearTaskInstances", part(&options.dag));
    let mut answer = client.post(&path, &body).await?;
    let total = answer["total_entries"].as_u64().unwrap_or(0);
    if total == 0 {
        crate::say("nothing to clear");
    } else if !options.dry_run {
        if !options.yes && !confirmed(total)? {
            return Ok(ExitCode::FAILURE);
        }
        body["dry_run"] = json!(false);
        answer = client.post(&path, &body).await?;
    }
    let Value::Array(rows) = answer["task_instances"].take() else { return Err(Failure::new(1, "the answer has no task_instances")) };
    const COLUMNS: &[Column] =
        &[("run_id", |t| text(&t["dag_run_id"])), ("task_id", |t| text(&t["task_id"])), ("state", |t| state_word(&t["state"]))];
    Ok(options.output.rows(&rows, COLUMNS))
}

fn confirmed(total: u64) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{total} tasks would be cleared: say --yes, or --dry-run to see them")));
    }
    crate::say(&format!("{total} tasks will run again. Go on? [y/N]"));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|e| Failure::new(1, format!("cannot read the answer: {e}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
