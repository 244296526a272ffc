//! Maintenance: nothing is launched, what runs goes on.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::http::{Client, Failure};
use super::output::{Column, Output, text};

/// The verbs about maintenance.
#[derive(Debug, Subcommand)]
pub(crate) enum Maintenance {
    /// Stops launches: nothing new starts, anywhere. What runs goes on and ends as ever.
    #[command(after_help = "Example:\n  updraft maintenance on --reason 'node pool upgrade'")]
    On(On),
    /// Ends it: what waited starts within seconds.
    #[command(after_help = "Example:\n  updraft maintenance off")]
    Off(Show),
    /// Says whether there is one, since when and why.
    #[command(after_help = "Example:\n  updraft maintenance status")]
    Status(Show),
}

/// Options of `maintenance on`.
#[derive(Debug, Args)]
pub(crate) struct On {
    /// Why: shown by `why` and `doctor`.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// Options of the others.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    output: Output,
}

const PATH: &str = "/ui/maintenance";
const COLUMNS: &[Column] = &[
    ("maintenance", |m| text(&m["maintenance"])),
    ("since", |m| text(&m["since"])),
    ("by", |m| text(&m["by"])),
    ("reason", |m| text(&m["reason"])),
];

pub(crate) async fn run(client: &Client, command: &Maintenance) -> Result<ExitCode, Failure> {
    let (answer, output) = match command {
        Maintenance::On(options) => (client.put(PATH, &json!({"reason": options.reason})).await?, &options.output),
        Maintenance::Off(options) => (client.delete(PATH).await?, &options.output),
        Maintenance::Status(options) => (client.get(PATH).await?, &options.output),
    };
    Ok(output.rows(&[answer], COLUMNS))
}
