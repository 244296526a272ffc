//! `updraft migrate`: what becomes of what somebody has elsewhere, before anything is moved. Needs neither a server nor a database.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chrono::Utc;
use clap::{Args, Subcommand, ValueEnum};
use updraft_dagfile::migrate::{page, report};
use updraft_dagfile::python::Snapshot;
use updraft_dagfile::{Filter, IgnoreSyntax, check};
use updraft_model::Semantics;

use crate::{USAGE, print, say};

/// Where from.
#[derive(Debug, Subcommand)]
pub(crate) enum Migrate {
    /// Reads a folder of Airflow's DAG files and says of each: runs unchanged, needs which edit, needs an image with Airflow, not supported.
    #[command(
        after_help = "Examples:\n  updraft migrate airflow dags\n  updraft migrate airflow dags --html report.html\n  updraft migrate airflow dags -o json --exclude 'tests/' | jq .totals"
    )]
    Airflow(Airflow),
}

#[derive(Debug, Args)]
pub(crate) struct Airflow {
    /// The folder that the DAG files are in.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Writes the report as one HTML page into this file, in addition.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Which Airflow's meaning files will have that do not say: the installation's.
    #[arg(long, env = "UPDRAFT_AIRFLOW_SEMANTICS", default_value = "3", value_name = "2|3")]
    airflow_semantics: Semantics,
    /// Only files that one of these patterns takes, as in .gitignore. May be repeated.
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Without files that one of these patterns takes. May be repeated.
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// How `.airflowignore` is read: glob as in Airflow 3, regexp as in Airflow 2.
    #[arg(long, value_enum, default_value_t = Dialect::Glob)]
    ignore_syntax: Dialect,
    /// The installation's pod policy, to find what it would refuse.
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
    #[value(alias = "text")]
    Table,
    Json,
    Yaml,
    Html,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Dialect {
    Glob,
    Regexp,
}

pub(crate) async fn run(Migrate::Airflow(options): Migrate) -> ExitCode {
    let fail = |why: String, code: ExitCode| {
        say(&format!("error: {why}"));
        code
    };
    let usage = ExitCode::from(USAGE);
    if !options.folder.is_dir() {
        return fail(format!("{}: no such folder; updraft dags check reads single files", options.folder.display()), usage);
    }
    let filter = match Filter::new(&options.include, &options.exclude) {
        Ok(filter) => filter,
        Err(why) => return fail(why, usage),
    };
    let policy = match options.pod_policy.as_deref().map(crate::settings::read_pod_policy).transpose() {
        Ok(policy) => policy,
        Err(why) => return fail(why, usage),
    };
    let processor = match crate::check::reader(options.dag_python.clone(), Duration::from_secs(options.dag_file_timeout)) {
        Ok(processor) => processor,
        Err(why) => return fail(format!("python DAG files cannot be read: {why}"), ExitCode::FAILURE),
    };
    let how = check::Options {
        now: Utc::now(),
        semantics: options.airflow_semantics,
        ignore: match options.ignore_syntax {
            Dialect::Glob => IgnoreSyntax::Glob,
            Dialect::Regexp => IgnoreSyntax::Regexp,
        },
        filter,
        snapshot: Snapshot::default(),
        policy,
    };
    let report = match report(&options.folder, Some(&processor), &how).await {
        Ok(report) => report,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            return fail(format!("{error}{cause}"), ExitCode::FAILURE);
        }
    };
    if let Some(file) = &options.html
        && let Err(why) = std::fs::write(file, page::html(&report))
    {
        return fail(format!("{} cannot be written: {why}", file.display()), ExitCode::FAILURE);
    }
    match options.output {
        Output::Table => print(&report.human()),
        Output::Html => print(&page::html(&report)),
        Output::Json => match serde_json::to_string_pretty(&report) {
            Ok(json) => print(&format!("{json}\n")),
            Err(why) => fail(why.to_string(), ExitCode::FAILURE),
        },
        Output::Yaml => print(&crate::cli::output::yaml(&serde_json::to_value(&report).unwrap_or_default())),
    }
}
