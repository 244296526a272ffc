//! `updraft`: one binary, a subcommand per role.

mod check;
mod cli;
mod dag_processor;
mod dag_sources;
mod database;
mod env_files;
mod init;
mod migrate;
mod port;
mod roles;
mod schedule;
mod secrets;
mod settings;
mod standalone;

use std::ffi::OsStr;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// Exit code for mistakes of usage or configuration.
const USAGE: u8 = 2;

/// Runs DAGs of pods: a scheduler and a worker fleet for the DAG files that Airflow users have.
#[derive(Debug, Parser)]
#[command(
    name = "updraft",
    version,
    max_term_width = 110,
    arg_required_else_help = true,
    after_help = "Examples:\n  updraft standalone --dags dags\n  updraft dags list\n  updraft why DAG latest TASK\n\nA verb of Airflow's that is not here says why, and what to type instead."
)]
struct Cli {
    #[command(flatten)]
    global: cli::Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything in one process, with a Postgres of its own: for a laptop, a demo, a test.
    Standalone(standalone::Options),
    /// Reads DAG files, makes runs, decides what starts next. Any number may run.
    Scheduler(roles::scheduler::Options),
    /// Takes attempts, starts them, watches them to their end. Any number may run.
    Worker(roles::worker::Options),
    /// The REST API and the page. Any number may run. `updraft api GET /dags` is a request to it: see `updraft call`.
    #[command(alias = "api-server")]
    Api(roles::api::Options),
    /// Reads DAG files for a scheduler, in a process without credentials.
    DagProcessor(dag_processor::Options),
    /// Migrates or checks the database.
    #[command(subcommand, after_help = "Example:\n  updraft db check --database-url postgres://updraft@localhost/updraft")]
    Db(database::Db),
    /// Makes and changes the keys that seal variables and connections.
    #[command(subcommand, after_help = "Example:\n  updraft secrets new-key > secret-keys")]
    Secrets(secrets::Secrets),
    /// Makes a repository of DAGs: two DAGs, the image of their tasks, values for the chart, a Makefile.
    Init(init::Options),
    /// What becomes of the DAG files of an Airflow, before anything is moved.
    #[command(subcommand, after_help = "Example:\n  updraft migrate airflow dags --html report.html")]
    Migrate(migrate::Migrate),
    /// When a cron expression fires.
    #[command(subcommand, after_help = "Example:\n  updraft schedule next '0 6 * * 1-5' --count 3")]
    Schedule(schedule::Schedule),
    /// Prints the JSON Schema of YAML DAG files.
    #[command(after_help = "Example:\n  updraft schema > dag.schema.json")]
    Schema,
    /// Prints the version of this program.
    #[command(after_help = "Example:\n  updraft version")]
    Version,
    /// Prints every command with one line about it.
    #[command(after_help = "Example:\n  updraft cheat-sheet")]
    CheatSheet,
    /// Prints a page of the documentation that is made from the code.
    #[command(hide = true)]
    Docs {
        /// Which page.
        #[arg(value_parser = ["state-machine", "cli", "commands", "openapi"])]
        page: String,
    },
    /// Prints completions for a shell. They know the ids of DAGs, runs, tasks, pools and contexts, by asking the API.
    #[command(
        after_help = "Examples:\n  updraft completion bash > /etc/bash_completion.d/updraft\n  updraft completion fish > ~/.config/fish/completions/updraft.fish"
    )]
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    #[command(flatten)]
    Client(cli::ClientCommand),
}

fn main() -> ExitCode {
    // Neither wants threads or a runtime, and one runs thousands of times: decided before anything else.
    let mut words = std::env::args_os().skip(1);
    match words.next().as_deref().and_then(OsStr::to_str) {
        Some("supervise") => return updraft_worker::supervise::main(words),
        Some("sandbox") => {
            let error = updraft_dagfile::sandbox::enter_and_exec(words);
            say(&format!("error: {error}"));
            return ExitCode::from(127);
        }
        _ => {}
    }
    cli::complete::answer(Cli::command);
    let command = match env_files::with_files(Cli::command()) {
        Ok(command) => command,
        Err(mistakes) => {
            say(&mistakes);
            return ExitCode::from(USAGE);
        }
    };
    let words = cli::call::rewritten(std::env::args_os().collect());
    let parsed = command.try_get_matches_from(&words).and_then(|matches| {
        let mut cli = Cli::from_arg_matches(&matches)?;
        cli.global.settle(&matches);
        Ok(cli)
    });
    match parsed {
        Ok(cli) => run(cli),
        Err(error) => {
            let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
            match cli::airflow::explain(&error, &words) {
                Some(why) => {
                    say(&why);
                    ExitCode::from(USAGE)
                }
                None => error.exit(),
            }
        }
    }
}

fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Standalone(options) => block_on(standalone::run(options)),
        Command::Scheduler(options) => block_on(roles::scheduler::run(options)),
        Command::Worker(options) => block_on(roles::worker::run(options)),
        Command::Api(options) => block_on(roles::api::run(options, &cli.global)),
        Command::DagProcessor(options) => block_on(dag_processor::run(options)),
        Command::Db(db) => block_on(database::run(db)),
        Command::Secrets(secrets) => block_on(secrets::run(secrets)),
        Command::Schedule(command) => schedule::run(&command),
        Command::Init(options) => init::run(&options),
        Command::Migrate(command) => block_on(migrate::run(command)),
        Command::Schema => print(&format!("{:#}\n", updraft_dagfile::yaml::json_schema())),
        Command::Version => print(&format!("{}\n", env!("CARGO_PKG_VERSION"))),
        Command::CheatSheet => print(&cli::reference::cheat_sheet(Cli::command())),
        Command::Docs { page } => match page.as_str() {
            "cli" => print(&cli::reference::page(Cli::command())),
            "openapi" => print(&format!("{:#}\n", updraft_api::openapi())),
            "commands" => print(&format!("{}\n", cli::reference::list(Cli::command()))),
            _ => print(&updraft_model::state::state_machine_page()),
        },
        Command::Completion { shell } => match cli::complete::registration(shell) {
            Ok(script) => {
                let printed = print(&script);
                cli::complete::hint(shell);
                printed
            }
            Err(why) => {
                say(&format!("error: {why}"));
                ExitCode::FAILURE
            }
        },
        Command::Client(cli::ClientCommand::Dags(cli::Dags::Check(options))) => block_on(check::run(options)),
        // One request at a time: threads would cost more than they bring.
        Command::Client(command) => finish(tokio::runtime::Builder::new_current_thread(), cli::run(command, &cli.global)),
    }
}

fn block_on(work: impl Future<Output = ExitCode>) -> ExitCode {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2);
    finish(builder, async {
        let code = work.await;
        // Bounded, since a collector that is away must not hold up the exit.
        updraft_telemetry::traces::flush(std::time::Duration::from_secs(2)).await;
        code
    })
}

fn finish(mut builder: tokio::runtime::Builder, work: impl Future<Output = ExitCode>) -> ExitCode {
    match builder.enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(work);
            // A reader of a slow disk must not hold up the exit.
            runtime.shutdown_timeout(std::time::Duration::from_millis(200));
            code
        }
        Err(error) => {
            say(&format!("error: cannot start threads: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Data: to stdout. A reader that has gone away is no mistake of ours.
pub(crate) fn print(data: &str) -> ExitCode {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(data.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Talk: to stderr.
#[expect(clippy::print_stderr, reason = "talk belongs on stderr")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }
}
