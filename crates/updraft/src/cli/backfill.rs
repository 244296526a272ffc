//! Backfills.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::http::{Client, Failure, part};
use super::output::{Column, Format, Output, text, when};

/// The verbs about backfills.
#[derive(Debug, Subcommand)]
pub(crate) enum Backfill {
    /// Makes runs for a stretch of the past and prints the backfill's number. A DAG has one backfill at a time.
    #[command(
        after_help = "Examples:\n  updraft backfill create --dag-id sales_daily --from-date 2026-01-01 --to-date 2026-01-31 --dry-run\n  \
        updraft backfill create --dag-id sales_daily --from-date 2026-01-01 --to-date 2026-01-31 --max-active-runs 3\n  \
        updraft backfill create --dag-id sales_daily --from-date 2026-01-01 --to-date 2026-01-31 --reprocess-behavior failed"
    )]
    Create(Create),
    /// Lists the backfills of a DAG, the newest first.
    #[command(after_help = "Example:\n  updraft backfill list sales_daily")]
    List(List),
    /// Shows a backfill and how its runs stand.
    #[command(after_help = "Example:\n  updraft backfill show 3")]
    Show(One),
    /// Pauses a backfill: nothing more of it starts, what runs goes on.
    #[command(after_help = "Example:\n  updraft backfill pause 3")]
    Pause(One),
    /// Lets a paused backfill go on.
    #[command(after_help = "Example:\n  updraft backfill unpause 3")]
    Unpause(One),
    /// Ends a backfill: what is queued of it fails, what runs goes on.
    #[command(after_help = "Example:\n  updraft backfill cancel 3")]
    Cancel(One),
}

/// What becomes of dates that have a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reprocess {
    /// They are passed over.
    None,
    /// A run that failed is done again.
    Failed,
    /// A run that is over is done again.
    Completed,
}

/// Options of `backfill create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The DAG.
    #[arg(long, value_name = "DAG")]
    dag_id: String,
    /// The first date, included.
    #[arg(long, value_name = "TIME")]
    from_date: String,
    /// The last date, included.
    #[arg(long, value_name = "TIME")]
    to_date: String,
    /// The conf of the runs, a JSON object.
    #[arg(long, value_name = "JSON")]
    dag_run_conf: Option<String>,
    /// Run the last date first. Not for DAGs with depends_on_past.
    #[arg(long)]
    run_backwards: bool,
    /// How many of its runs may run at once. The DAG's own runs are not counted, nor are these counted to the DAG's max_active_runs.
    #[arg(long, value_name = "N", default_value_t = 10)]
    max_active_runs: u32,
    /// What becomes of dates that have a run.
    #[arg(long, value_enum, default_value = "none")]
    reprocess_behavior: Reprocess,
    /// Runs that are done again go on with the DAG as it is now: the default.
    #[arg(long, overrides_with = "no_run_on_latest_version")]
    run_on_latest_version: bool,
    /// Leave them on the version of the DAG that they have.
    #[arg(long, overrides_with = "run_on_latest_version")]
    no_run_on_latest_version: bool,
    /// Only print for which dates there would be runs.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

/// Options of `backfill list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The DAG.
    dag: String,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    output: Output,
}

/// Options of the others.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The backfill's number.
    id: u64,
    #[command(flatten)]
    output: Output,
}

fn state(backfill: &Value) -> String {
    let word = match (backfill["completed_at"].is_null(), backfill["is_paused"] == true) {
        (false, _) => "complete",
        (true, true) => "paused",
        (true, false) => "active",
    };
    word.to_owned()
}

const COLUMNS: &[Column] = &[
    ("id", |b| text(&b["id"])),
    ("dag_id", |b| text(&b["dag_id"])),
    ("from", |b| text(&b["from_date"])),
    ("to", |b| text(&b["to_date"])),
    ("state", state),
    ("reprocess", |b| text(&b["reprocess_behavior"])),
    ("max_active_runs", |b| text(&b["max_active_runs"])),
    ("created", |b| when(&b["created_at"])),
    ("completed", |b| when(&b["completed_at"])),
];

pub(crate) async fn run(client: &Client, command: &Backfill) -> Result<ExitCode, Failure> {
    match command {
        Backfill::Create(options) => create(client, options).await,
        Backfill::List(options) => {
            let path = format!("/api/v2/backfills?dag_id={}&order_by=-id", part(&options.dag));
            let rows = client.all(&path, "backfills", Some(options.limit)).await?;
            Ok(options.output.rows(&rows, COLUMNS))
        }
        Backfill::Show(options) => show(client, options).await,
        Backfill::Pause(options) => change(client, options, "pause").await,
        Backfill::Unpause(options) => change(client, options, "unpause").await,
        Backfill::Cancel(options) => change(client, options, "cancel").await,
    }
}

async fn create(client: &Client, options: &Create) -> Result<ExitCode, Failure> {
    let mut body = json!({
        "dag_id": options.dag_id, "from_date": options.from_date, "to_date": options.to_date, "run_backwards": options.run_backwards,
        "max_active_runs": options.max_active_runs, "run_on_latest_version": !options.no_run_on_latest_version,
        "reprocess_behavior": match options.reprocess_behavior {
            Reprocess::None => "none",
            Reprocess::Failed => "failed",
            Reprocess::Completed => "completed",
        },
    });
    if let Some(conf) = &options.dag_run_conf {
        let parsed: Value = serde_json::from_str(conf).map_err(|e| Failure::usage(format!("--dag-run-conf is not JSON: {e}")))?;
        if !parsed.is_object() {
            return Err(Failure::usage("--dag-run-conf must be a JSON object, as in '{\"key\": \"value\"}'"));
        }
        body["dag_run_conf"] = parsed;
    }
    if options.dry_run {
        let mut answer = client.post("/api/v2/backfills/dry_run", &body).await?;
        let rows: Vec<Value> = answer["backfills"].as_array_mut().map(std::mem::take).unwrap_or_default();
        if rows.is_empty() {
            crate::say("no runs: the schedule has no date in the range, or all have a run. See --reprocess-behavior");
        }
        return Ok(options.output.rows(&rows, &[("logical_date", |b| text(&b["logical_date"]))]));
    }
    let made = client.post("/api/v2/backfills", &body).await?;
    let id = text(&made["id"]);
    let code = match options.output.output {
        Format::Table => crate::print(&format!("{id}\n")),
        _ => options.output.one(&made, &[]),
    };
    let dag = client.get(&format!("/api/v2/dags/{}", part(&options.dag_id))).await?;
    if dag["is_paused"] == Value::Bool(true) {
        crate::say(&format!("the DAG is paused: its backfill waits until `updraft dags unpause {}`", options.dag_id));
    } else {
        crate::say(&format!("next: updraft backfill show {id}"));
    }
    Ok(code)
}

async fn show(client: &Client, options: &One) -> Result<ExitCode, Failure> {
    let backfill = client.get(&format!("/ui/backfills/{}", options.id)).await?;
    let counts = |b: &Value| {
        b["run_counts"]
            .as_object()
            .map(|map| map.iter().map(|(s, n)| format!("{n} {s}")).collect::<Vec<_>>().join(", "))
            .unwrap_or_default()
    };
    let pairs = [
        ("id", text(&backfill["id"])),
        ("dag_id", text(&backfill["dag_id"])),
        ("from", text(&backfill["from_date"])),
        ("to", text(&backfill["to_date"])),
        ("state", state(&backfill)),
        ("runs", counts(&backfill)),
        ("backwards", text(&backfill["run_backwards"])),
        ("reprocess", text(&backfill["reprocess_behavior"])),
        ("max_active_runs", text(&backfill["max_active_runs"])),
        ("conf", if backfill["dag_run_conf"].is_null() { String::new() } else { backfill["dag_run_conf"].to_string() }),
        ("by", text(&backfill["triggering_user_name"])),
        ("created", when(&backfill["created_at"])),
        ("completed", when(&backfill["completed_at"])),
    ];
    Ok(options.output.one(&backfill, &pairs))
}

async fn change(client: &Client, options: &One, verb: &str) -> Result<ExitCode, Failure> {
    let backfill = client.put(&format!("/api/v2/backfills/{}/{verb}", options.id), &json!({})).await?;
    Ok(options.output.rows(&[backfill], COLUMNS))
}
