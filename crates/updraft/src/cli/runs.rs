//! Runs.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use chrono::Utc;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::http::{Client, Failure, part};
use super::output::{Format, Listing, Output, state as state_word, text, took, when};
use super::terminal::{self, StatusLine};

/// A run that failed.
const RUN_FAILED: u8 = 10;
/// A run that was not over in time.
const TIMED_OUT: u8 = 11;
/// How often a watch looks.
const LOOK: Duration = Duration::from_millis(300);
/// How long a watch waits for an API that went away.
const PATIENCE: Duration = Duration::from_secs(60);

/// The verbs about runs.
#[derive(Debug, Subcommand)]
pub(crate) enum Runs {
    /// Lists runs, the newest first.
    #[command(after_help = "Examples:\n  updraft runs list sales_daily\n  updraft runs list --state failed --limit 20")]
    List(List),
    /// Shows a run.
    #[command(after_help = "Example:\n  updraft runs show sales_daily latest")]
    Show(Show),
    /// Prints every change of state until the run is over; exits 0 on success, 10 on failure.
    #[command(
        after_help = "Examples:\n  updraft runs watch sales_daily latest\n  updraft runs watch sales_daily latest -o json | jq .state"
    )]
    Watch(Watch),
}

/// Options of `runs list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The DAG. Default: all.
    #[arg(default_value = "~", hide_default_value = true)]
    dag: String,
    /// Only runs in this state.
    #[arg(long)]
    state: Vec<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    output: Output,
}

/// Options of `runs show` and `dags state`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The DAG.
    dag: String,
    /// The run, or `latest`.
    run: String,
    #[command(flatten)]
    output: Output,
}

/// Options of `runs watch`.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The DAG.
    dag: String,
    /// The run, or `latest`.
    #[arg(default_value = "latest")]
    run: String,
    /// No longer than this, as in 90s or 2h; exit 11 then. The run goes on.
    #[arg(long, value_name = "DURATION", value_parser = crate::settings::duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    output: Output,
}

const LISTING: Listing = Listing {
    name: |r| text(&r["dag_run_id"]),
    columns: &[
        ("dag_id", |r| text(&r["dag_id"])),
        ("run_id", |r| text(&r["dag_run_id"])),
        ("state", |r| state_word(&r["state"])),
        ("type", |r| text(&r["run_type"])),
        ("started", |r| when(&r["start_date"])),
        ("took", |r| took(&r["duration"])),
    ],
    wide: &[
        ("logical_date", |r| text(&r["logical_date"])),
        ("run_after", |r| text(&r["run_after"])),
        ("ended", |r| when(&r["end_date"])),
        ("triggered_by", |r| format!("{} {}", text(&r["triggered_by"]), text(&r["triggering_user_name"])).trim_end().to_owned()),
        ("note", |r| text(&r["note"])),
    ],
};

pub(crate) async fn list(client: &Client, options: &List) -> Result<ExitCode, Failure> {
    let mut path =
        format!("/api/v2/dags/{}/dagRuns?order_by=-run_after", if options.dag == "~" { "~".to_owned() } else { part(&options.dag) });
    for state in &options.state {
        path.push_str(&format!("&state={}", part(state)));
    }
    let rows = client.all(&path, "dag_runs", Some(options.limit)).await?;
    if rows.is_empty() && options.dag != "~" {
        crate::say(&format!("no runs. Start one: updraft dags trigger {}", options.dag));
    }
    Ok(options.output.list(&rows, &LISTING))
}

fn run_path(dag: &str, run: &str) -> String {
    format!("/ui/runs/{}/{}", part(dag), part(run))
}

fn counts(run: &Value) -> String {
    run["task_counts"].as_object().map(|map| map.iter().map(|(s, n)| format!("{n} {s}")).collect::<Vec<_>>().join(", ")).unwrap_or_default()
}

/// A run by its id, as `latest`, or by its logical date, as Airflow's verbs take it.
pub(crate) async fn find(client: &Client, dag: &str, run: &str) -> Result<Value, Failure> {
    match client.get(&run_path(dag, run)).await {
        Err(failure) if failure.code == 3 => match at_date(client, dag, run).await? {
            Some(run) => client.get(&run_path(dag, &run)).await,
            None => Err(failure),
        },
        other => other,
    }
}

/// The run of this logical date: a moment, or the only one of a day.
async fn at_date(client: &Client, dag: &str, word: &str) -> Result<Option<String>, Failure> {
    let (from, until) = match (word.parse::<chrono::NaiveDate>(), chrono::DateTime::parse_from_rfc3339(word)) {
        (Ok(day), _) => (format!("{day}T00:00:00Z"), format!("{day}T23:59:59.999999Z")),
        (_, Ok(_)) => (word.to_owned(), word.to_owned()),
        _ => return Ok(None),
    };
    let path = format!("/api/v2/dags/{}/dagRuns?logical_date_gte={}&logical_date_lte={}&limit=2", part(dag), part(&from), part(&until));
    let found = client.get(&path).await?;
    match found["dag_runs"].as_array().map(Vec::as_slice) {
        Some([run]) => Ok(Some(text(&run["dag_run_id"]))),
        Some([_, ..]) => {
            Err(Failure::usage(format!("there is more than one run on {word}: name its run id")).next(format!("updraft runs list {dag}")))
        }
        _ => Ok(None),
    }
}

pub(crate) async fn show(client: &Client, options: &Show) -> Result<ExitCode, Failure> {
    let run = find(client, &options.dag, &options.run).await?;
    let pairs = [
        ("dag_id", text(&run["dag_id"])),
        ("run_id", text(&run["dag_run_id"])),
        ("state", state_word(&run["state"])),
        ("reason", text(&run["reason"])),
        ("type", text(&run["run_type"])),
        ("logical_date", text(&run["logical_date"])),
        ("run_after", text(&run["run_after"])),
        ("started", text(&run["start_date"])),
        ("ended", text(&run["end_date"])),
        ("took", took(&run["duration"])),
        ("conf", if run["conf"] == json!({}) { String::new() } else { run["conf"].to_string() }),
        ("triggered_by", format!("{} {}", text(&run["triggered_by"]), text(&run["triggering_user_name"]))),
        ("note", text(&run["note"])),
        ("tasks", counts(&run)),
    ];
    Ok(options.output.one(&run, &pairs))
}

/// Airflow's `dags state`: the word alone.
pub(crate) async fn state(client: &Client, options: &Show) -> Result<ExitCode, Failure> {
    let run = find(client, &options.dag, &options.run).await?;
    Ok(if options.output.output.is_data() { options.output.one(&run, &[]) } else { crate::print(&format!("{}\n", text(&run["state"]))) })
}

pub(crate) async fn watch(client: &Client, options: &Watch) -> Result<ExitCode, Failure> {
    let first = find(client, &options.dag, &options.run).await?;
    let run = text(&first["dag_run_id"]);
    within(options.timeout, &options.dag, &run, follow(client, &options.dag, &run, Some(options.output.output))).await
}

/// A limit on the waiting, not on the run.
async fn within(
    limit: Option<Duration>,
    dag: &str,
    run: &str,
    work: impl Future<Output = Result<ExitCode, Failure>>,
) -> Result<ExitCode, Failure> {
    let Some(limit) = limit else { return work.await };
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(Failure::new(TIMED_OUT, format!("the run was not over after {} s; it goes on", limit.as_secs_f64()))
            .next(format!("updraft runs watch {dag} {run}"))),
    }
}

/// Waits for the end of a run and says it on stderr.
pub(crate) async fn wait(client: &Client, dag: &str, run: &str, limit: Option<Duration>) -> Result<ExitCode, Failure> {
    within(limit, dag, run, follow(client, dag, run, None)).await
}

/// Asks again until the API answers, for as long as a restart may take.
async fn patiently(client: &Client, path: &str) -> Result<Value, Failure> {
    let begin = tokio::time::Instant::now();
    loop {
        match client.get(path).await {
            Err(failure) if failure.code == 6 && begin.elapsed() < PATIENCE => tokio::time::sleep(LOOK).await,
            other => return other,
        }
    }
}

async fn follow(client: &Client, dag: &str, run: &str, form: Option<Format>) -> Result<ExitCode, Failure> {
    let path = run_path(dag, run);
    let mut seen: HashMap<(String, i64), (Value, Value)> = HashMap::new();
    let mut counted = Value::Null;
    let mut run_state = Value::Null;
    let begin = tokio::time::Instant::now();
    let mut status = StatusLine::new();
    loop {
        // The run first: when it is over, the tasks that are read after it are final.
        let now = patiently(client, &path).await?;
        if let Some(form) = form
            && now["task_counts"] != counted
        {
            counted = now["task_counts"].clone();
            for task in client.all(&format!("{path}/tasks"), "tasks", None).await? {
                let key = (text(&task["task_id"]), task["map_index"].as_i64().unwrap_or(-1));
                let value = (task["state"].clone(), task["try_number"].clone());
                let before = seen.insert(key, value.clone());
                let changed = before.as_ref().map_or_else(|| !value.0.is_null(), |b| *b != value);
                if changed {
                    status.clear();
                }
                if changed && print_task(&task, form) != ExitCode::SUCCESS {
                    return Ok(ExitCode::SUCCESS);
                }
            }
        }
        if now["state"] != run_state {
            run_state = now["state"].clone();
            status.clear();
            if let Some(form) = form {
                print_run(&now, form);
            }
        }
        match now["state"].as_str() {
            Some("success") => {
                status.clear();
                if form.is_none() {
                    crate::say(&format!("success after {}", took(&now["duration"])));
                }
                return Ok(ExitCode::SUCCESS);
            }
            Some("failed") => {
                status.clear();
                crate::say(&format!("the run failed. See: updraft tasks states {dag} {run}"));
                return Ok(ExitCode::from(RUN_FAILED));
            }
            _ => {
                status.show(&progress(&now, begin.elapsed()));
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// How far a run is, in one line.
fn progress(run: &Value, waited: Duration) -> String {
    let (mut done, mut total) = (0, 0);
    for (state, count) in run["task_counts"].as_object().into_iter().flatten() {
        let count = count.as_u64().unwrap_or(0);
        total += count;
        if matches!(state.as_str(), "success" | "failed" | "upstream_failed" | "skipped" | "removed") {
            done += count;
        }
    }
    let seconds = waited.as_secs();
    let running = run["task_counts"]["running"].as_u64().unwrap_or(0);
    format!("{} · {done} of {total} tasks are over, {running} running · {}:{:02}", text(&run["state"]), seconds / 60, seconds % 60)
}

fn print_task(task: &Value, form: Format) -> ExitCode {
    let map = task["map_index"].as_i64().filter(|m| *m >= 0).map(|m| format!("[{m}]")).unwrap_or_default();
    let message = match text(&task["message"]) {
        m if m.is_empty() => String::new(),
        m => format!("\t{}", m.replace('\n', " ")),
    };
    emit(
        task,
        form,
        &format!("{}\t{}{map}\t{}{message}\n", Utc::now().format("%H:%M:%S"), text(&task["task_id"]), state_word(&task["state"])),
    )
}

fn print_run(run: &Value, form: Format) {
    emit(run, form, &format!("{}\t{}\t{}\n", Utc::now().format("%H:%M:%S"), text(&run["dag_run_id"]), state_word(&run["state"])));
}

fn emit(whole: &Value, form: Format, line: &str) -> ExitCode {
    match form {
        Format::Table | Format::Wide if terminal::colours() => crate::print(&terminal::paint(line)),
        Format::Table | Format::Wide => crate::print(line),
        Format::Name => {
            crate::print(&format!("{}\n", text(if whole["task_id"].is_null() { &whole["dag_run_id"] } else { &whole["task_id"] })))
        }
        Format::Json => crate::print(&format!("{whole}\n")),
        Format::Yaml => crate::print(&format!("---\n{}", super::output::yaml(whole))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_counts_what_is_over() {
        let run = json!({"state": "running", "task_counts": {"success": 3, "skipped": 1, "running": 2, "none": 4}});
        assert_eq!(progress(&run, Duration::from_secs(75)), "running · 4 of 10 tasks are over, 2 running · 1:15");
    }
}
