//! Jobs, Airflow's word for processes that say they live: schedulers and workers.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::http::{Client, Failure, part};
use super::output::{Listing, Output, text, when};

/// The verbs about jobs.
#[derive(Debug, Subcommand)]
pub(crate) enum Jobs {
    /// Lists schedulers and workers, and when they were last heard of.
    #[command(after_help = "Examples:\n  updraft jobs list\n  updraft jobs list --job-type WorkerJob --state running")]
    List(List),
    /// Says whether a scheduler (or what --job-type names) is alive. Exits 1 when none is: for probes and scripts.
    #[command(after_help = "Examples:\n  updraft jobs check\n  updraft jobs check --job-type WorkerJob --hostname node-7")]
    Check(Check),
}

/// Options of `jobs list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only of this kind: SchedulerJob, WorkerJob, DagProcessorJob.
    #[arg(long)]
    job_type: Option<String>,
    /// Only in this state: running, failed.
    #[arg(long)]
    state: Option<String>,
    /// Only on this host.
    #[arg(long)]
    hostname: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// Options of `jobs check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Of which kind: SchedulerJob, WorkerJob, DagProcessorJob.
    #[arg(long, default_value = "SchedulerJob")]
    job_type: String,
    /// Only on this host.
    #[arg(long)]
    hostname: Option<String>,
    /// Taken for the sake of Airflow's scripts: several are always fine.
    #[arg(long, hide = true)]
    allow_multiple: bool,
    /// Likewise.
    #[arg(long, hide = true)]
    limit: Option<i64>,
    #[command(flatten)]
    output: Output,
}

const LISTING: Listing = Listing {
    name: |j| format!("{}/{}", text(&j["job_type"]), text(&j["hostname"])),
    columns: &[
        ("job_type", |j| text(&j["job_type"])),
        ("hostname", |j| text(&j["hostname"])),
        ("state", |j| text(&j["state"])),
        ("latest_heartbeat", |j| when(&j["latest_heartbeat"])),
    ],
    wide: &[("started", |j| when(&j["start_date"])), ("ended", |j| when(&j["end_date"])), ("id", |j| text(&j["id"]))],
};

async fn find(client: &Client, filters: &[(&str, Option<&String>)]) -> Result<Vec<Value>, Failure> {
    let mut path = String::from("/api/v2/jobs?");
    for (key, value) in filters {
        if let Some(value) = value {
            path.push_str(&format!("{key}={}&", part(value)));
        }
    }
    client.all(path.trim_end_matches(['&', '?']), "jobs", None).await
}

pub(crate) async fn run(client: &Client, command: &Jobs) -> Result<ExitCode, Failure> {
    match command {
        Jobs::List(options) => {
            let filters =
                [("job_type", options.job_type.as_ref()), ("job_state", options.state.as_ref()), ("hostname", options.hostname.as_ref())];
            Ok(options.output.list(&find(client, &filters).await?, &LISTING))
        }
        Jobs::Check(options) => {
            let alive = "running".to_owned();
            let filters = [("job_type", Some(&options.job_type)), ("job_state", Some(&alive)), ("hostname", options.hostname.as_ref())];
            let found = find(client, &filters).await?;
            if found.is_empty() {
                return Err(Failure::new(1, format!("no {} is alive", options.job_type)).next("updraft doctor"));
            }
            Ok(options.output.list(&found, &LISTING))
        }
    }
}
