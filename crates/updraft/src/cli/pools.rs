//! Pools.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::http::{Client, Failure, part};
use super::output::{Column, Output, text};

/// The verbs about pools.
#[derive(Debug, Subcommand)]
pub(crate) enum Pools {
    /// Lists pools and what is in them.
    #[command(after_help = "Example:\n  updraft pools list")]
    List(List),
    /// Shows a pool.
    #[command(after_help = "Example:\n  updraft pools get default_pool")]
    Get(Get),
    /// Makes a pool, or changes it.
    #[command(after_help = "Examples:\n  updraft pools set warehouse 4 'at most four loads at once'\n  updraft pools set unlimited -- -1")]
    Set(Set),
}

/// Options of `pools list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    output: Output,
}

/// Options of `pools get`.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The pool.
    name: String,
    #[command(flatten)]
    output: Output,
}

/// Options of `pools set`.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The pool.
    name: String,
    /// How many slots; -1: without limit.
    #[arg(allow_negative_numbers = true)]
    slots: i32,
    /// For people.
    description: Option<String>,
    #[command(flatten)]
    output: Output,
}

const COLUMNS: &[Column] = &[
    ("name", |p| text(&p["name"])),
    ("slots", |p| text(&p["slots"])),
    ("running", |p| text(&p["running_slots"])),
    ("queued", |p| text(&p["queued_slots"])),
    ("waiting", |p| text(&p["scheduled_slots"])),
    ("open", |p| text(&p["open_slots"])),
    ("description", |p| text(&p["description"])),
];

pub(crate) async fn list(client: &Client, options: &List) -> Result<ExitCode, Failure> {
    let rows = client.all("/api/v2/pools", "pools", None).await?;
    Ok(options.output.rows(&rows, COLUMNS))
}

pub(crate) async fn get(client: &Client, options: &Get) -> Result<ExitCode, Failure> {
    let pool = client.get(&format!("/api/v2/pools/{}", part(&options.name))).await?;
    Ok(options.output.rows(&[pool], COLUMNS))
}

pub(crate) async fn set(client: &Client, options: &Set) -> Result<ExitCode, Failure> {
    let path = format!("/api/v2/pools/{}", part(&options.name));
    let mut body = json!({"slots": options.slots});
    if let Some(description) = &options.description {
        body["description"] = json!(description);
    }
    let pool = match client.patch(&path, &body).await {
        Err(failure) if failure.code == 3 => {
            body["name"] = json!(options.name);
            client.post("/api/v2/pools", &body).await?
        }
        other => other?,
    };
    Ok(options.output.rows(&[pool], COLUMNS))
}
