//! The verbs that talk to the API. Nothing here touches the database.
//!
//! stdout is data and nothing else; what went wrong, why, and what to do next goes to stderr. [`EXIT_CODES`] says what they mean.

pub(crate) mod airflow;
mod backfill;
pub(crate) mod call;
pub(crate) mod complete;
mod connections;
mod contexts;
mod dags;
mod diff;
mod doctor;
mod explain;
mod fleet;
mod http;
mod jobs;
mod login;
mod maintenance;
pub(crate) mod output;
mod pools;
mod redact;
pub(crate) mod reference;
mod render;
mod runs;
mod tasks;
mod terminal;
mod users;
mod variables;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use http::Failure;

/// What a verb ends with.
pub(crate) const EXIT_CODES: &[(u8, &str)] = &[
    (0, "Done"),
    (
        1,
        "Failed. `doctor`: something is broken; `dags check`: a file has a mistake; `jobs check`: none is alive; `dags diff --exit-code`: there is a difference",
    ),
    (2, "Usage or configuration: a wrong flag, a value that is refused, a verb of Airflow's that is not here"),
    (3, "Not found"),
    (4, "Forbidden, or not logged in"),
    (5, "Conflict: a run of that name or date exists"),
    (6, "The API, or for `db` Postgres, cannot be reached"),
    (10, "`runs watch`, `dags trigger --wait`: the run failed"),
    (11, "`runs watch`, `dags trigger --wait`: the run was not over within --timeout"),
    (130, "Interrupted by Ctrl-C"),
];

/// What all verbs share.
#[derive(Clone, Args)]
pub(crate) struct Global {
    /// Which API, by its name (`updraft context add`). Default: the context in use. On the command line it beats the environment's address
    /// and login.
    #[arg(long, env = "UPDRAFT_CONTEXT", value_name = "NAME", global = true, help_heading = "API")]
    pub(crate) context: Option<String>,
    /// Where the API is. Default: the context's address, else http://127.0.0.1:8080.
    #[arg(long, env = "UPDRAFT_API_URL", value_name = "URL", global = true, help_heading = "API")]
    pub(crate) api_url: Option<String>,
    /// Who logs in, where the API has a password.
    #[arg(long, env = "UPDRAFT_API_USER", default_value = "admin", value_name = "USER", global = true, help_heading = "API")]
    pub(crate) api_user: String,
    /// The API's password. Better given as UPDRAFT_API_PASSWORD or UPDRAFT_API_PASSWORD_FILE: a command line is readable to everybody.
    #[arg(long, env = "UPDRAFT_API_PASSWORD", hide_env_values = true, value_name = "PASSWORD", global = true, help_heading = "API")]
    pub(crate) api_password: Option<String>,
    /// A token instead of a password. Better given as UPDRAFT_API_TOKEN or UPDRAFT_API_TOKEN_FILE, or kept by `updraft login`.
    #[arg(long, env = "UPDRAFT_API_TOKEN", hide_env_values = true, value_name = "TOKEN", global = true, help_heading = "API")]
    pub(crate) api_token: Option<String>,
}

// By hand: the password is nobody's business.
impl std::fmt::Debug for Global {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Global").field("context", &self.context).field("api_url", &self.api_url).finish_non_exhaustive()
    }
}

impl Global {
    /// A context that was named on the command line beats what the environment says of the API.
    pub(crate) fn settle(&mut self, matches: &clap::ArgMatches) {
        let typed = |name: &str| matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine);
        if !typed("context") {
            return;
        }
        for (name, value) in [("api_url", &mut self.api_url), ("api_password", &mut self.api_password), ("api_token", &mut self.api_token)]
        {
            if !typed(name) {
                *value = None;
            }
        }
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// DAGs: list, show, trigger, pause, delete, check, diff.
    #[command(subcommand, after_help = "Examples:\n  updraft dags list\n  updraft dags trigger sales_daily --wait")]
    Dags(Dags),
    /// Runs of DAGs: list, show, watch.
    #[command(subcommand, after_help = "Examples:\n  updraft runs list sales_daily\n  updraft runs watch sales_daily latest")]
    Runs(runs::Runs),
    /// Tasks: list, states in a run, history, logs, render, clear.
    #[command(
        subcommand,
        after_help = "Examples:\n  updraft tasks states sales_daily latest\n  updraft tasks logs -f sales_daily latest load"
    )]
    Tasks(tasks::Tasks),
    /// Says why a task is not running, or how it ended and what proves it.
    #[command(after_help = "Examples:\n  updraft why sales_daily latest load\n  updraft why sales_daily latest load -o json")]
    Why(explain::Why),
    /// Backfills, runs for a stretch of the past: create, list, show, pause, unpause, cancel.
    #[command(subcommand, after_help = "Example:\n  updraft backfill list sales_daily")]
    Backfill(backfill::Backfill),
    /// Checks the installation: database, broker, clocks, disks, DAG sources, schedulers, workers, limits, promises. Exits 1 when something
    /// is broken.
    #[command(
        after_help = "Examples:\n  updraft doctor\n  updraft doctor --bundle support.json\n  kubectl exec deployment/updraft-worker -- updraft doctor --kubernetes"
    )]
    Doctor(doctor::Doctor),
    /// Jobs, Airflow's word for schedulers and workers: list, check.
    #[command(subcommand, after_help = "Example:\n  updraft jobs list")]
    Jobs(jobs::Jobs),
    /// Pools: list, get, set, delete, import, export.
    #[command(subcommand, after_help = "Example:\n  updraft pools set warehouse 4")]
    Pools(pools::Pools),
    /// Variables: list, get, set, delete, import, export.
    #[command(subcommand, after_help = "Example:\n  updraft variables set region eu")]
    Variables(variables::Variables),
    /// Connections: list, get, add, delete, import, export.
    #[command(subcommand, after_help = "Example:\n  updraft connections list")]
    Connections(connections::Connections),
    /// Users: list, get, create, reset-password, disable, enable, add-role, remove-role, delete.
    #[command(subcommand, after_help = "Example:\n  updraft users create eve --role op")]
    Users(users::Users),
    /// Roles: list, create, set, delete.
    #[command(subcommand, after_help = "Example:\n  updraft roles list")]
    Roles(users::Roles),
    /// Personal tokens, for programs: list, create, revoke.
    #[command(subcommand, after_help = "Example:\n  updraft tokens create ci --days 30")]
    Tokens(users::Tokens),
    /// Workers: list, drain, undrain.
    #[command(subcommand, after_help = "Example:\n  updraft workers list")]
    Workers(fleet::Workers),
    /// Queues: list, with what waits in each and who takes from it.
    #[command(subcommand, after_help = "Example:\n  updraft queues list")]
    Queues(fleet::Queues),
    /// Maintenance: on, off, status. Nothing is launched while it is on; what runs goes on.
    #[command(subcommand, after_help = "Example:\n  updraft maintenance on --reason 'node pool upgrade'")]
    Maintenance(maintenance::Maintenance),
    /// Contexts, names for APIs: add, use, list, remove.
    #[command(subcommand, after_help = "Example:\n  updraft context add prod https://updraft.example.com")]
    Context(contexts::ContextCommand),
    /// Logs in at an API, and keeps the token in a context: a file that only you can read.
    #[command(
        after_help = "Examples:\n  updraft login https://updraft.example.com --api-user me\n  updraft login https://updraft.example.com --context prod < password\n  updraft login --context prod --token - < token"
    )]
    Login(login::Login),
    /// Forgets the token of a context.
    #[command(after_help = "Example:\n  updraft logout --context prod")]
    Logout,
    /// Sends any request to the API: `updraft api GET /dags` is the same.
    #[command(
        after_help = "Examples:\n  updraft api GET /dags -q limit=2\n  updraft api POST /dags/sales_daily/dagRuns -d '{\"logical_date\": null}'\n  updraft api /ui/doctor"
    )]
    Call(call::Call),
}

/// The verbs about DAGs.
#[derive(Debug, Subcommand)]
pub(crate) enum Dags {
    /// Reads DAG files and says what is in them, or what is wrong with them. Needs no API and no database.
    Check(crate::check::Options),
    /// Lists DAGs.
    #[command(after_help = "Examples:\n  updraft dags list\n  updraft dags list --tag sales -o json\n  updraft dags list --paused -o name")]
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
    /// Says when a DAG runs next by its schedule.
    #[command(after_help = "Example:\n  updraft dags next-execution sales_daily")]
    NextExecution(dags::Only),
    /// Lists the versions of a DAG, the newest first.
    #[command(after_help = "Example:\n  updraft dags versions sales_daily")]
    Versions(dags::Only),
    /// Prints the file of a DAG as it was read.
    #[command(after_help = "Examples:\n  updraft dags source sales_daily\n  updraft dags source sales_daily --dag-version 3")]
    Source(dags::Source),
    /// Deletes a DAG with its runs.
    #[command(after_help = "Example:\n  updraft dags delete sales_daily --yes")]
    Delete(dags::Delete),
    /// Says what changes for DAGs between two commits: DAGs, tasks and fields. Needs no API.
    #[command(
        after_help = "Examples:\n  updraft dags diff main..my-branch --folder dags\n  updraft dags diff HEAD\n  updraft dags diff origin/main...HEAD --exit-code -o json"
    )]
    Diff(diff::Diff),
    /// Lists files that cannot be read.
    #[command(after_help = "Example:\n  updraft dags list-import-errors")]
    ListImportErrors(dags::ImportErrors),
}

/// Carries out a verb.
pub(crate) async fn run(command: ClientCommand, global: &Global) -> ExitCode {
    let done = match &command {
        ClientCommand::Context(command) => contexts::run(command),
        ClientCommand::Login(options) => login::login(options, global).await,
        ClientCommand::Logout => login::logout(global),
        ClientCommand::Dags(Dags::Diff(options)) => diff::run(options).await,
        ClientCommand::Tasks(tasks::Tasks::Render(options)) if options.is_local() => render::local(options).await,
        _ => match http::Client::new(global) {
            Ok(client) => carry_out(command, &client).await,
            Err(failure) => Err(failure),
        },
    };
    done.unwrap_or_else(Failure::tell)
}

async fn carry_out(command: ClientCommand, client: &http::Client) -> Result<ExitCode, Failure> {
    match command {
        ClientCommand::Dags(Dags::Check(_) | Dags::Diff(_))
        | ClientCommand::Context(_)
        | ClientCommand::Login(_)
        | ClientCommand::Logout => Err(Failure::usage("this verb is not one of the API's")),
        ClientCommand::Dags(Dags::NextExecution(options)) => dags::next_execution(client, &options).await,
        ClientCommand::Dags(Dags::Versions(options)) => dags::versions(client, &options).await,
        ClientCommand::Dags(Dags::Source(options)) => dags::source(client, &options).await,
        ClientCommand::Dags(Dags::Delete(options)) => dags::delete(client, &options).await,
        ClientCommand::Tasks(tasks::Tasks::State(options)) => tasks::state(client, &options).await,
        ClientCommand::Tasks(tasks::Tasks::FailedDeps(options)) => tasks::failed_deps(client, &options).await,
        ClientCommand::Tasks(tasks::Tasks::History(options)) => tasks::history(client, &options).await,
        ClientCommand::Tasks(tasks::Tasks::Render(options)) => tasks::render(client, &options.of_run()).await,
        ClientCommand::Jobs(command) => jobs::run(client, &command).await,
        ClientCommand::Call(options) => call::run(client, &options).await,
        ClientCommand::Pools(pools::Pools::Delete(options)) => pools::delete(client, &options).await,
        ClientCommand::Pools(pools::Pools::Import(options)) => pools::import(client, &options).await,
        ClientCommand::Pools(pools::Pools::Export(options)) => pools::export(client, &options).await,
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
        ClientCommand::Backfill(command) => backfill::run(client, &command).await,
        ClientCommand::Doctor(options) => doctor::run(client, &options).await,
        ClientCommand::Pools(pools::Pools::List(options)) => pools::list(client, &options).await,
        ClientCommand::Pools(pools::Pools::Get(options)) => pools::get(client, &options).await,
        ClientCommand::Pools(pools::Pools::Set(options)) => pools::set(client, &options).await,
        ClientCommand::Variables(command) => variables::run(client, &command).await,
        ClientCommand::Connections(command) => connections::run(client, &command).await,
        ClientCommand::Users(command) => users::users(client, &command).await,
        ClientCommand::Roles(command) => users::roles(client, &command).await,
        ClientCommand::Tokens(command) => users::tokens(client, &command).await,
        ClientCommand::Workers(command) => fleet::workers(client, &command).await,
        ClientCommand::Queues(command) => fleet::queues(client, &command).await,
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

/// Asks on a terminal. Elsewhere nobody can answer: the flag that says yes is named.
fn confirmed(question: &str, flag: &str) -> Result<bool, Failure> {
    use std::io::IsTerminal as _;
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{question} Nobody is here to answer: say {flag}")));
    }
    crate::say(&format!("{question} [y/N]"));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|e| Failure::new(1, format!("cannot read the answer: {e}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
