//! Workers and queues: who takes work, and where work waits.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::http::{Client, Failure, part};
use super::output::{Listing, Output, text, when};

/// The verbs about workers.
#[derive(Debug, Subcommand)]
pub(crate) enum Workers {
    /// Lists workers: their queues, how much they watch, whether they drain.
    #[command(after_help = "Examples:\n  updraft workers list\n  updraft workers list -o wide")]
    List(Show),
    /// Has a worker take nothing new. What it watches goes on to its end; the state is `drained` then.
    #[command(after_help = "Example:\n  updraft workers drain updraft-worker-7d4b9 --reason 'node pool upgrade'")]
    Drain(Drain),
    /// Lets a worker take again, within seconds.
    #[command(after_help = "Example:\n  updraft workers undrain updraft-worker-7d4b9")]
    Undrain(One),
}

/// The verbs about queues.
#[derive(Debug, Subcommand)]
pub(crate) enum Queues {
    /// Lists queues: how much waits in each, since when, who takes from it.
    #[command(after_help = "Examples:\n  updraft queues list\n  updraft queues list -o json")]
    List(Show),
}

/// How to show it.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    output: Output,
}

/// Options of `workers drain`.
#[derive(Debug, Args)]
pub(crate) struct Drain {
    #[command(flatten)]
    one: One,
    /// Why, for those who look.
    #[arg(long)]
    reason: Option<String>,
}

/// Which worker.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The worker: its id, or its host if no other lives there
    worker: String,
    #[command(flatten)]
    output: Output,
}

const WORKERS: Listing = Listing {
    name: |w| text(&w["id"]),
    columns: &[
        ("hostname", |w| text(&w["hostname"])),
        ("state", |w| text(&w["state"])),
        ("queues", |w| words(&w["queues"])),
        ("running", |w| format!("{}/{}", text(&w["running"]), text(&w["concurrency"]))),
        ("latest_heartbeat", |w| when(&w["latest_heartbeat"])),
        ("id", |w| text(&w["id"])),
    ],
    wide: &[
        ("runner", |w| text(&w["runner"])),
        ("pid", |w| text(&w["pid"])),
        ("started", |w| when(&w["start_date"])),
        ("draining_since", |w| when(&w["draining_since"])),
        ("by", |w| text(&w["drained_by"])),
        ("reason", |w| text(&w["drain_reason"])),
    ],
};

const QUEUES: Listing = Listing {
    name: |q| text(&q["queue"]),
    columns: &[
        ("queue", |q| text(&q["queue"])),
        ("queued", |q| text(&q["queued"])),
        ("oldest_seconds", |q| q["oldest_seconds"].as_f64().map_or_else(String::new, |seconds| format!("{seconds:.1}"))),
        ("running", |q| text(&q["running"])),
        ("begun_per_minute", |q| text(&q["begun_per_minute"])),
        ("ended_per_minute", |q| text(&q["ended_per_minute"])),
        ("workers", |q| text(&q["workers"])),
        ("slots", |q| text(&q["slots"])),
    ],
    wide: &[
        ("draining", |q| text(&q["draining"])),
        ("broker_messages", |q| text(&q["broker_messages"])),
        ("broker_consumers", |q| text(&q["broker_consumers"])),
    ],
};

fn words(list: &Value) -> String {
    list.as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(",")
}

/// The id of the worker that `name` names.
async fn id(client: &Client, name: &str) -> Result<String, Failure> {
    let answer = client.get("/ui/workers").await?;
    let all = answer["workers"].as_array().cloned().unwrap_or_default();
    if all.iter().any(|worker| worker["id"] == name) {
        return Ok(name.to_owned());
    }
    let lives = |worker: &&Value| !matches!(worker["state"].as_str(), Some("stopped" | "silent"));
    let here: Vec<&Value> = all.iter().filter(|worker| worker["hostname"] == name).filter(lives).collect();
    match here.as_slice() {
        [only] => Ok(text(&only["id"])),
        [] => Err(Failure::new(1, format!("no worker that lives has the id or the host {name:?}")).next("updraft workers list")),
        many => Err(Failure::new(1, format!("{} workers live on {name:?}: name one by its id", many.len())).next("updraft workers list")),
    }
}

pub(crate) async fn workers(client: &Client, command: &Workers) -> Result<ExitCode, Failure> {
    let (worker, output) = match command {
        Workers::List(options) => {
            let answer = client.get("/ui/workers").await?;
            return Ok(options.output.list(answer["workers"].as_array().map_or(&[], Vec::as_slice), &WORKERS));
        }
        Workers::Drain(options) => {
            let path = format!("/ui/workers/{}/drain", part(&id(client, &options.one.worker).await?));
            (client.put(&path, &json!({"reason": options.reason})).await?, &options.one.output)
        }
        Workers::Undrain(options) => {
            let path = format!("/ui/workers/{}/drain", part(&id(client, &options.worker).await?));
            (client.delete(&path).await?, &options.output)
        }
    };
    Ok(output.list(&[worker], &WORKERS))
}

pub(crate) async fn queues(client: &Client, command: &Queues) -> Result<ExitCode, Failure> {
    let Queues::List(options) = command;
    let answer = client.get("/ui/queues").await?;
    if let Some(error) = answer["broker_error"].as_str() {
        crate::say(&format!("warning: RabbitMQ's own counts are missing: {error}"));
    }
    Ok(options.output.list(answer["queues"].as_array().map_or(&[], Vec::as_slice), &QUEUES))
}
