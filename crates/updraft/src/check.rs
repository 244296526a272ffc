//! `updraft dags check`: reads DAG files as the scheduler would, and says what is in them or what is wrong.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chrono::Utc;
use clap::{Args, ValueEnum};
use updraft_dagfile::check::{self, check};
use updraft_dagfile::python::{self, Processor, Snapshot};
use updraft_dagfile::{Filter, IgnoreSyntax, python::Error as PythonError};
use updraft_model::Semantics;

use crate::{USAGE, print, say};

/// What to check and how.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  updraft dags check dags\n  updraft dags check dags/sales.py -o json\n  updraft dags check dags --include 'team_a/' --exclude '*_test.py'\n\nExit code 1: a file has a mistake."
)]
pub(crate) struct Options {
    /// Files and folders.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Of folders only files that one of these patterns takes, as in .gitignore. May be repeated.
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Of folders without files that one of these patterns takes. May be repeated.
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Which Airflow's meaning files have that do not say.
    #[arg(long, env = "UPDRAFT_AIRFLOW_SEMANTICS", default_value = "3", value_name = "2|3")]
    airflow_semantics: Semantics,
    /// The installation's pod policy, to refuse what it would refuse.
    #[arg(long, env = "UPDRAFT_POD_POLICY", value_name = "FILE")]
    pod_policy: Option<PathBuf>,
    /// The Python that reads DAG files. Default: python3 of PATH.
    #[arg(long, env = "UPDRAFT_DAG_PYTHON")]
    dag_python: Option<PathBuf>,
    /// How long one Python file may take, in seconds.
    #[arg(long, env = "UPDRAFT_DAG_FILE_TIMEOUT", default_value_t = 30)]
    dag_file_timeout: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    #[value(alias = "table")]
    Text,
    Json,
    Yaml,
}

pub(crate) async fn run(options: Options) -> ExitCode {
    let missing: Vec<String> =
        options.paths.iter().filter(|p| !p.exists()).map(|p| format!("error: {}: no such file or folder", p.display())).collect();
    if !missing.is_empty() {
        say(&missing.join("\n"));
        return ExitCode::from(USAGE);
    }
    let policy = match options.pod_policy.as_deref().map(crate::settings::read_pod_policy).transpose() {
        Ok(policy) => policy,
        Err(mistake) => {
            say(&format!("error: {mistake}"));
            return ExitCode::from(USAGE);
        }
    };
    let filter = match Filter::new(&options.include, &options.exclude) {
        Ok(filter) => filter,
        Err(mistake) => {
            say(&format!("error: {mistake}"));
            return ExitCode::from(USAGE);
        }
    };
    let processor = match processor(&options) {
        Ok(processor) => Some(processor),
        Err(error) => {
            say(&format!("warning: python DAG files cannot be read: {error}"));
            None
        }
    };
    let how = check::Options {
        now: Utc::now(),
        semantics: options.airflow_semantics,
        ignore: IgnoreSyntax::default(),
        filter,
        snapshot: Snapshot::default(),
        policy,
    };
    let report = match check(&options.paths, processor.as_ref(), &how).await {
        Ok(report) => report,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|c| format!(": {c}")).unwrap_or_default();
            say(&format!("error: {error}{cause}"));
            return ExitCode::FAILURE;
        }
    };
    let printed = match options.output {
        Output::Text => print(&report.human()),
        Output::Json => match serde_json::to_string_pretty(&report) {
            Ok(json) => print(&format!("{json}\n")),
            Err(error) => {
                say(&format!("error: {error}"));
                return ExitCode::FAILURE;
            }
        },
        Output::Yaml => print(&crate::cli::output::yaml(&serde_json::to_value(&report).unwrap_or_default())),
    };
    if report.errors > 0 { ExitCode::FAILURE } else { printed }
}

fn processor(options: &Options) -> Result<Processor, PythonError> {
    reader(options.dag_python.clone(), Duration::from_secs(options.dag_file_timeout))
}

/// What reads Python files, in a child that is locked down.
pub(crate) fn reader(python: Option<PathBuf>, timeout: Duration) -> Result<Processor, PythonError> {
    let helper = std::env::current_exe().map(|exe| vec![exe.into(), "sandbox".into()]).unwrap_or_default();
    Processor::new(python::Options { python, helper, timeout, ..python::Options::default() })
}
