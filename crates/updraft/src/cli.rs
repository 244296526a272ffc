//! The verbs that talk to the API. Nothing here touches the database.
//!
//! stdout is data and nothing else; what went wrong, why, and what to do next goes to stderr. Exit codes: 0 done, 1 failed, 2 usage,
//! 3 not found, 4 forbidden, 5 conflict, 6 the API cannot be reached; `runs watch` and `--wait` end with 10 when the run failed.

mod backfill;
mod connections;
mod dags;
mod explain;
mod http;
mod maintenance;
pub(crate) mod output;
mod pools;
mod runs;
mod tasks;
mod variables;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use http::Failure;

/// What all verbs share.
#[derive(Clone, Args)]
pub(crate) struct Global {
    /// Where the API is.
    #[arg(long, env = "UPDRAFT_API_URL", default_value = "http://127.0.0.1:8080", value_name = "URL", global = true)]
    pub(crate) api_url: String,
    /// Who logs in, where the API has a password.
    #[arg(long, env = "UPDRAFT_API_USER", default_value = "admin", value_name = "USER", global = true)]
    pub(crate) api_user: String,
    /// The API's password. Better given as UPDRAFT_API_PASSWORD or UPDRAFT_API_PASSWORD_FILE: a command line is readable to everybody.
    #[arg(long, env = "UPDRAFT_API_PASSWORD", hide_env_values = true, value_name = "PASSWORD", global = true)]
    pub(crate) api_password: Option<String>,
}

// By hand: the password is nobody's business.
impl std::fmt::Debug for Global {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Global").field("api_url", &self.api_url).field("api_user", &self.api_user).finish_non_exhaustive()
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// DAGs: list, show, trigger, pause, check.
    #[command(subcommand)]
    Dags(Dags),
    /// Runs of DAGs: list, show, watch.
    #[command(subcommand)]
    Runs(runs::Runs),
    /// Tasks: list, states in a run, logs, clear.
    #[command(subcommand)]
    Tasks(tasks::Tasks),
    /// Says why a task is not running, or how it ended and what proves it.
    #[command(after_help = "Examples:\n  updraft why sales_daily latest load\n  updraft why sales_daily latest load -o json")]
    Why(explain::Why),
    /// Checks the installation: database, schedulers, workers, limits, promises. Exits 1 when something is broken.
    #[command(after_help = "Example:\n  updraft doctor")]
    Doctor(explain::Doctor),
    /// Backfills, runs for a stretch of the past: create, list, show, pause, unpause, cancel.
    #[command(subcommand)]
    Backfill(backfill::Backfill),
    /// Pools: list, get, set.
    #[command(subcommand)]
    Pools(pools::Pools),
    /// Variables: list, get, set, delete, import, export.
    #[command(subcommand)]
    Variables(variables::Variables),
    /// Connections: list, get, add, delete, import.
    #[command(subcommand)]
    Connections(connections::Connections),
    /// Maintenance: on, off, status. Nothing is launched while it is on; what runs goes on.
    #[command(subcommand)]
    Maintenance(maintenance::Maintenance),
}

/// The verbs about DAGs.
#[derive(Debug, Subcommand)]
pub(crate) enum Dags {
    /// Reads DAG files and says what is in them, or what is wrong with them. Needs no API and no database.
    Check(crate::check::Options),
    /// Lists DAGs.
    #[command(after_help = "Examples:\n  updraft dags list\n  updraft dags list --tag sales -o json")]
    List(dags::List),
    /// Shows a DAG and its tasks.
    #[command(alias = "details", after_help = "Example:\n  updraft dags show sales_daily")]
    Show(dags::Show),
    /// Triggers a run and prints its run id.
    #[command(
        after_help = "Examples:\n  updraft dags trigger sales_daily\n  updraft dags trigger sales_daily -c '{\"region\": \"eu\"}' --wait\n  updraft dags trigger sales_daily -e 2026-01-31"
    )]
    Trigger(dags::Trigger),
    /// Pauses DAGs: nothing new starts, what runs goes on.
    #[command(after_help = "Example:\n  updraft dags pause sales_daily")]
    Pause(dags::Pause),
    /// Unpauses DAGs.
    #[command(after_help = "Example:\n  updraft dags unpause sales_daily")]
    Unpause(dags::Pause),
    /// Lists the runs of a DAG: the same as `runs list`.
    #[command(after_help = "Example:\n  updraft dags list-runs sales_daily --state failed")]
    ListRuns(runs::List),
    /// Prints the state of a run.
    #[command(after_help = "Example:\n  updraft dags state sales_daily latest")]
    State(runs::Show),
    /// Lists files that cannot be read.
    #[command(after_help = "Example:\n  updraft dags list-import-errors")]
    ListImportErrors(dags::ImportErrors),
}

/// Carries out a verb.
pub(crate) async fn run(command: ClientCommand, global: &Global) -> ExitCode {
    let client = match http::Client::new(global) {
        Ok(client) => client,
        Err(failure) => return failure.tell(),
    };
    match carry_out(command, &client).await {
        Ok(code) => code,
        Err(failure) => failure.tell(),
    }
}

async fn carry_out(command: ClientCommand, client: &http::Client) -> Result<ExitCode, Failure> {
    match command {
        ClientCommand::Dags(Dags::Check(_)) => Err(Failure::usage("dags check does not talk to the API")),
        ClientCommand::Dags(Dags::List(options)) => dags::list(client, &options).await,
        ClientCommand::Dags(Dags::Show(options)) => dags::show(client, &options).await,
        ClientCommand::Dags(Dags::Trigger(options)) => dags::trigger(client, &options).await,
        ClientCommand::Dags(Dags::Pause(options)) => dags::pause(client, &options, true).await,
        ClientCommand::Dags(Dags::Unpause(options)) => dags::pause(client, &options, false).await,
        ClientCommand::Dags(Dags::ListRuns(options)) => runs::list(client, &options).await,
        ClientCommand::Dags(Dags::State(options)) => runs::state(client, &options).await,
        ClientCommand::Dags(Dags::ListImportErrors(options)) => dags::import_errors(client, &options).await,
        ClientCommand::Runs(runs::Runs::List(options)) => runs::list(client, &options).await,
        ClientCommand::Runs(runs::Runs::Show(options)) => runs::show(client, &options).await,
        ClientCommand::Runs(runs::Runs::Watch(options)) => runs::watch(client, &options).await,
        ClientCommand::Tasks(tasks::Tasks::List(options)) => tasks::list(client, &options).await,
        ClientCommand::Tasks(tasks::Tasks::States(options)) => tasks::states(client, &options).await,
        ClientCommand::Tasks(tasks::Tasks::Logs(options)) => tasks::logs(client, &options).await,
        ClientCommand::Tasks(tasks::Tasks::Clear(options)) => tasks::clear(client, &options).await,
        ClientCommand::Why(options) => explain::why(client, &options).await,
        ClientCommand::Doctor(options) => explain::doctor(client, &options).await,
        ClientCommand::Backfill(command) => backfill::run(client, &command).await,
        ClientCommand::Pools(pools::Pools::List(options)) => pools::list(client, &options).await,
        ClientCommand::Pools(pools::Pools::Get(options)) => pools::get(client, &options).await,
        ClientCommand::Pools(pools::Pools::Set(options)) => pools::set(client, &options).await,
        ClientCommand::Variables(command) => variables::run(client, &command).await,
        ClientCommand::Connections(command) => connections::run(client, &command).await,
        ClientCommand::Maintenance(command) => maintenance::run(client, &command).await,
    }
}

/// The text of a file, or of standard input by the name `-`.
fn read(file: &str) -> Result<String, Failure> {
    let text = if file == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(file) };
    text.map_err(|error| Failure::usage(format!("cannot read {file}: {error}")))
}

/// The JSON object in a file.
fn read_object(file: &str) -> Result<serde_json::Map<String, Value>, Failure> {
    serde_json::from_str(&read(file)?).map_err(|error| Failure::usage(format!("{file} is not a JSON object: {error}")))
}

/// Writes a file that only its owner reads, or standard output by the name `-`.
fn write(file: &str, text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    if file == "-" {
        crate::print(text);
        return Ok(());
    }
    let opened = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(file);
    opened
        .and_then(|mut opened| opened.write_all(text.as_bytes()))
        .map_err(|error| Failure::new(1, format!("cannot write {file}: {error}")))
}

/// Creates many, and says what was not.
async fn bulk_create(client: &http::Client, path: &str, entities: Vec<Value>, existing: &str) -> Result<(), Failure> {
    let action = json!({"action": "create", "entities": entities, "action_on_existence": existing});
    let done = client.patch(path, &json!({"actions": [action]})).await?;
    if let Some(error) = done["create"]["errors"].get(0) {
        return Err(Failure::new(5, error["error"].as_str().unwrap_or("refused")));
    }
    crate::say(&format!("imported {} of {}", done["create"]["success"].as_array().map_or(0, Vec::len), entities.len()));
    Ok(())
}
