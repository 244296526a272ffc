//! `updraft schedule`: what a schedule means, without a server.

use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use updraft_model::Semantics;
use updraft_planner::timetable::Timetable;

use crate::{USAGE, print, say};

/// About schedules.
#[derive(Debug, Subcommand)]
pub(crate) enum Schedule {
    /// Prints the next times at which a cron expression or preset fires, in UTC.
    #[command(after_help = "Example:\n  updraft schedule next '0 6 * * 1-5' --timezone Europe/Stockholm --count 3")]
    Next(Next),
}

#[derive(Debug, Args)]
pub(crate) struct Next {
    /// Five fields, or a preset such as @daily.
    cron: String,
    /// IANA name of the zone in which the expression is meant.
    #[arg(long, default_value = "UTC")]
    timezone: String,
    /// From when on; a fire at this very time counts. Default: now.
    #[arg(long)]
    after: Option<DateTime<Utc>>,
    /// How many.
    #[arg(long, default_value_t = 10)]
    count: usize,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
    Yaml,
}

pub(crate) fn run(Schedule::Next(next): &Schedule) -> ExitCode {
    let schedule = updraft_model::Schedule::Cron { expressions: vec![next.cron.clone()], data_intervals: None };
    let fires = Timetable::new(&schedule, &next.timezone, Semantics::Airflow3)
        .and_then(|timetable| timetable.fires(next.after.unwrap_or_else(Utc::now), next.count));
    match fires {
        Ok(fires) => {
            let times: Vec<String> = fires.iter().map(|t| t.to_rfc3339_opts(SecondsFormat::Secs, true)).collect();
            print(&match next.output {
                Output::Json => {
                    format!("{}\n", json!(times.iter().map(|t| json!({"run_after": t})).collect::<Vec<_>>()))
                }
                Output::Yaml if times.is_empty() => "[]\n".to_owned(),
                Output::Yaml => times.iter().map(|t| format!("- run_after: {t}\n")).collect(),
                Output::Table => times.iter().map(|t| format!("{t}\n")).collect(),
            })
        }
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::from(USAGE)
        }
    }
}
