//! Tasks: what they are, how they stand in a run, what they printed, and running them again.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::http::{Client, Failure, part};
use super::output::{Column, Listing, Output, state as state_word, text, took, when};

/// How often a follower looks for more.
const LOOK: Duration = Duration::from_millis(400);

/// The verbs about tasks.
#[derive(Debug, Subcommand)]
pub(crate) enum Tasks {
    /// Lists the tasks of a DAG.
    #[command(after_help = "Example:\n  updraft tasks list sales_daily")]
    List(List),
    /// Shows how the tasks of a run stand, and why.
    #[command(
        alias = "states-for-dag-run",
        after_help = "Examples:\n  updraft tasks states sales_daily latest\n  updraft tasks states sales_daily latest --state failed -o json"
    )]
    States(States),
    /// Prints the state of a task in a run. Airflow's order of words; the other one is understood, too.
    #[command(after_help = "Examples:\n  updraft tasks state sales_daily load latest\n  updraft tasks state sales_daily load 2026-01-31")]
    State(One),
    /// Shows what stands between a task and its start: `why` in short.
    #[command(after_help = "Example:\n  updraft tasks failed-deps sales_daily load latest")]
    FailedDeps(One),
    /// Tells what was decided of a task in a run: its states with times and reasons, tries, hosts, who cleared or marked it.
    #[command(after_help = "Example:\n  updraft tasks history sales_daily load latest")]
    History(One),
    /// Shows the templated fields of a task as they became in a run; with --dags, the pod that it would be.
    #[command(
        after_help = "Examples:\n  updraft tasks render sales_daily load latest\n  updraft tasks render sales_daily load --dags dags --date 2026-01-31"
    )]
    Render(super::render::Render),
    /// Prints the log of a task.
    #[command(after_help = "Examples:\n  updraft tasks logs sales_daily latest load\n  updraft tasks logs -f sales_daily latest load")]
    Logs(Logs),
    /// Clears tasks of a run, so that they run again.
    #[command(
        after_help = "Examples:\n  updraft tasks clear sales_daily latest --only-failed --downstream -y\n  updraft tasks clear sales_daily latest --task load --dry-run\n  updraft tasks clear sales_daily -s 2026-01-01 -e 2026-01-31 -t load -d -y"
    )]
    Clear(Clear),
}

/// Options of `tasks list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The DAG.
    dag: String,
    #[command(flatten)]
    output: Output,
}

/// Options of `tasks states`.
#[derive(Debug, Args)]
pub(crate) struct States {
    /// The DAG.
    dag: String,
    /// The run, or `latest`.
    #[arg(default_value = "latest")]
    run: String,
    /// Only tasks in this state.
    #[arg(long)]
    state: Vec<String>,
    #[command(flatten)]
    output: Output,
}

/// One task of one run, as Airflow's verbs name it.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The DAG.
    pub(super) dag: String,
    /// The task.
    pub(super) task: String,
    /// The run, its date, or `latest`.
    pub(super) run: String,
    /// Which instance of a mapped task.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true, hide_default_value = true)]
    pub(super) map_index: i32,
    #[command(flatten)]
    pub(super) output: Output,
}

/// Options of `tasks logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The DAG.
    dag: String,
    /// The run, or `latest`.
    run: String,
    /// The task.
    task: String,
    /// Which try. Default: the newest.
    #[arg(long = "try", value_name = "NUMBER")]
    try_number: Option<u32>,
    /// Which instance of a mapped task.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true, hide_default_value = true)]
    map_index: i32,
    /// Go on until the task is over, through its retries.
    #[arg(short, long)]
    follow: bool,
}

/// Options of `tasks clear`.
#[derive(Debug, Args)]
pub(crate) struct Clear {
    /// The DAG.
    dag: String,
    /// The run, or `latest`. Or none, with --start-date or --end-date.
    #[arg(required_unless_present_any = ["start_date", "end_date"], conflicts_with_all = ["start_date", "end_date"])]
    run: Option<String>,
    /// All runs that were due from this date on, as in 2026-01-31 or 2026-01-31T12:00:00Z.
    #[arg(short, long, value_name = "TIME")]
    start_date: Option<String>,
    /// All runs that were due up to this date.
    #[arg(short, long, value_name = "TIME")]
    end_date: Option<String>,
    /// Only these tasks. Default: all.
    #[arg(short, long = "task", value_name = "TASK")]
    tasks: Vec<String>,
    /// Only tasks that failed, or did not run because of them.
    #[arg(short = 'f', long)]
    only_failed: bool,
    /// Only tasks that run: they are stopped first.
    #[arg(short = 'r', long)]
    only_running: bool,
    /// And all tasks after them.
    #[arg(short, long)]
    downstream: bool,
    /// And all tasks before them.
    #[arg(short, long)]
    upstream: bool,
    /// And the same in earlier runs.
    #[arg(long)]
    past: bool,
    /// And the same in later runs.
    #[arg(long)]
    future: bool,
    /// Only show what would be cleared.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn list(client: &Client, options: &List) -> Result<ExitCode, Failure> {
    let mut answer = client.get(&format!("/api/v2/dags/{}/tasks?order_by=idx", part(&options.dag))).await?;
    let Value::Array(rows) = answer["tasks"].take() else { return Err(Failure::new(1, "the answer has no tasks")) };
    const LISTING: Listing = Listing {
        name: |t| text(&t["task_id"]),
        columns: &[
            ("task_id", |t| text(&t["task_id"])),
            ("operator", |t| text(&t["operator_name"])),
            ("trigger_rule", |t| text(&t["trigger_rule"])),
            ("retries", |t| t["retries"].as_f64().map(|n| format!("{n:.0}")).unwrap_or_default()),
            ("pool", |t| text(&t["pool"])),
            ("queue", |t| text(&t["queue"])),
            ("downstream", |t| text(&t["downstream_task_ids"])),
        ],
        wide: &[
            ("owner", |t| text(&t["owner"])),
            ("priority_weight", |t| text(&t["priority_weight"])),
            ("depends_on_past", |t| text(&t["depends_on_past"])),
            ("mapped", |t| text(&t["is_mapped"])),
        ],
    };
    Ok(options.output.list(&rows, &LISTING))
}

pub(crate) async fn states(client: &Client, options: &States) -> Result<ExitCode, Failure> {
    let mut path = format!("/ui/runs/{}/{}/tasks?", part(&options.dag), part(&options.run));
    for state in &options.state {
        path.push_str(&format!("&state={}", part(state)));
    }
    let rows = client.all(&path, "tasks", None).await?;
    const LISTING: Listing = Listing {
        name: instance_name,
        columns: &[
            ("task_id", instance_name),
            ("state", |t| state_word(&t["state"])),
            ("try", |t| text(&t["try_number"])),
            ("started", |t| when(&t["start_date"])),
            ("took", |t| took(&t["duration"])),
            ("reason", |t| text(&t["reason"])),
            ("message", |t| text(&t["message"])),
        ],
        wide: &[("ended", |t| when(&t["end_date"])), ("hostname", |t| text(&t["hostname"])), ("note", |t| text(&t["note"]))],
    };
    Ok(options.output.list(&rows, &LISTING))
}

fn instance_name(task: &Value) -> String {
    let map = task["map_index"].as_i64().filter(|m| *m >= 0).map(|m| format!("[{m}]")).unwrap_or_default();
    format!("{}{map}", text(&task["task_id"]))
}

/// The task and the run of a verb of Airflow's: `DAG TASK RUN`, or the order of our own verbs. A run may be named by its date.
async fn locate(client: &Client, options: &One) -> Result<(String, String), Failure> {
    let dag = part(&options.dag);
    let known = client.get(&format!("/api/v2/dags/{dag}/tasks")).await?;
    let is_task = |word: &str| known["tasks"].as_array().into_iter().flatten().any(|task| task["task_id"] == word);
    let turned = !is_task(&options.task) && is_task(&options.run);
    let (task, run) = if turned { (&options.run, &options.task) } else { (&options.task, &options.run) };
    let found = super::runs::find(client, &options.dag, run).await?;
    Ok((task.clone(), text(&found["dag_run_id"])))
}

fn instance_path(dag: &str, run: &str, task: &str, map_index: i32) -> String {
    let path = format!("/api/v2/dags/{}/dagRuns/{}/taskInstances/{}", part(dag), part(run), part(task));
    if map_index < 0 { path } else { format!("{path}/{map_index}") }
}

/// Airflow's `tasks state`: the word alone.
pub(crate) async fn state(client: &Client, options: &One) -> Result<ExitCode, Failure> {
    let (task, run) = locate(client, options).await?;
    let instance = client.get(&instance_path(&options.dag, &run, &task, options.map_index)).await?;
    Ok(if options.output.output.is_data() {
        options.output.one(&instance, &[])
    } else {
        let word = text(&instance["state"]);
        crate::print(&format!("{}\n", if word.is_empty() { "none" } else { &word }))
    })
}

pub(crate) async fn failed_deps(client: &Client, options: &One) -> Result<ExitCode, Failure> {
    let (task, run) = locate(client, options).await?;
    let path = format!("/ui/why/{}/{}/{}?map_index={}", part(&options.dag), part(&run), part(&task), options.map_index);
    let mut answer = client.get(&path).await?;
    let Value::Array(rows) = answer["waiting"].take() else { return Err(Failure::new(1, "the answer has no reasons")) };
    if rows.is_empty() {
        crate::say(&format!("nothing stands in its way: {}", text(&answer["summary"])));
    }
    const COLUMNS: &[Column] = &[("kind", |w| text(&w["kind"])), ("detail", |w| text(&w["detail"])), ("remedy", |w| text(&w["remedy"]))];
    Ok(options.output.rows(&rows, COLUMNS))
}

pub(crate) async fn history(client: &Client, options: &One) -> Result<ExitCode, Failure> {
    let (task, run) = locate(client, options).await?;
    let path = format!("/ui/history/{}/{}/{}?map_index={}", part(&options.dag), part(&run), part(&task), options.map_index);
    let answer = client.get(&path).await?;
    const COLUMNS: &[Column] = &[
        ("at", |e| when(&e["at"])),
        ("state", |e| state_word(&e["state"])),
        ("try", |e| text(&e["try_number"])),
        ("reason", |e| text(&e["reason"])),
        ("paid_by", |e| text(&e["budget"])),
        ("host", |e| text(&e["host"])),
        ("message", |e| text(&e["message"])),
    ];
    Ok(options.output.rows(answer["entries"].as_array().map_or(&[], Vec::as_slice), COLUMNS))
}

pub(crate) async fn render(client: &Client, options: &One) -> Result<ExitCode, Failure> {
    let (task, run) = locate(client, options).await?;
    let instance = client.get(&instance_path(&options.dag, &run, &task, options.map_index)).await?;
    let fields = instance["rendered_fields"].as_object().cloned().unwrap_or_default();
    if fields.is_empty() {
        crate::say(&format!("nothing of {task} is rendered yet, or it has no templates; its state is {}", state_word(&instance["state"])));
    }
    let rows: Vec<Value> = fields.into_iter().map(|(field, value)| json!({"field": field, "value": value})).collect();
    Ok(options.output.rows(&rows, &[("field", |f| text(&f["field"])), ("value", |f| text(&f["value"]))]))
}

fn over(state: &Value) -> bool {
    matches!(state.as_str(), Some("success" | "failed" | "upstream_failed" | "skipped" | "removed"))
}

pub(crate) async fn logs(client: &Client, options: &Logs) -> Result<ExitCode, Failure> {
    let run = super::runs::find(client, &options.dag, &options.run).await?;
    let run_id = text(&run["dag_run_id"]);
    let (dag, run, task, map) = (part(&options.dag), part(&run_id), part(&options.task), options.map_index);
    let instance = instance_path(&options.dag, &run_id, &options.task, map);
    let mut number = options.try_number.map(i64::from);
    loop {
        let now = client.get(&instance).await?;
        let newest = now["try_number"].as_i64().unwrap_or(0);
        let wanted = number.unwrap_or_else(|| newest.max(1));
        if newest < wanted {
            let why = text(&client.get(&format!("/ui/why/{dag}/{run}/{task}?map_index={map}")).await?["summary"]);
            if over(&now["state"]) || !options.follow {
                return Err(Failure::new(3, format!("there is no try {wanted} of {}: {why}", options.task))
                    .next(format!("updraft why {} {run_id} {}", options.dag, options.task)));
            }
            tokio::time::sleep(LOOK).await;
            continue;
        }
        if print_try(client, &format!("/ui/logs/{dag}/{run}/{task}/{wanted}?map_index={map}"), options.follow).await? {
            // The reader has gone away.
            return Ok(ExitCode::SUCCESS);
        }
        if !options.follow || options.try_number.is_some() {
            return Ok(ExitCode::SUCCESS);
        }
        let now = client.get(&instance).await?;
        if over(&now["state"]) && now["try_number"].as_i64() == Some(wanted) {
            return Ok(ExitCode::SUCCESS);
        }
        crate::say(&format!("--- try {wanted} is over; waiting for the next ---"));
        number = Some(wanted + 1);
    }
}

/// Prints one try; true when nobody reads any more.
async fn print_try(client: &Client, path: &str, follow: bool) -> Result<bool, Failure> {
    let mut offset = 0;
    loop {
        let response = client.send(Method::GET, &format!("{path}&offset={offset}"), None).await?;
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let next = header("updraft-next-offset").and_then(|n| n.parse().ok()).unwrap_or(offset);
        let end = header("updraft-log-end").as_deref() == Some("true");
        let bytes = response.bytes().await.map_err(|e| Failure::new(6, format!("the API went away in mid-log: {e}")))?;
        let mut out = std::io::stdout().lock();
        if out.write_all(&bytes).and_then(|()| out.flush()).is_err() {
            return Ok(true);
        }
        drop(out);
        let stood_still = next == offset;
        offset = next;
        if end || (stood_still && !follow) {
            return Ok(false);
        }
        if stood_still {
            tokio::time::sleep(LOOK).await;
        }
    }
}

pub(crate) async fn clear(client: &Client, options: &Clear) -> Result<ExitCode, Failure> {
    let mut body = json!({
        "dry_run": true, "only_failed": options.only_failed, "only_running": options.only_running, "include_downstream": options.downstream,
        "include_upstream": options.upstream, "include_past": options.past, "include_future": options.future,
    });
    if let Some(run) = &options.run {
        let run = super::runs::find(client, &options.dag, run).await?;
        body["dag_run_id"] = run["dag_run_id"].clone();
    }
    for (key, date) in [("start_date", &options.start_date), ("end_date", &options.end_date)] {
        if let Some(date) = date {
            body[key] = json!(whole_date(date, key == "end_date")?);
        }
    }
    if !options.tasks.is_empty() {
        body["task_ids"] = json!(options.tasks);
    }
    let path = format!("/api/v2/dags/{}/clearTaskInstances", part(&options.dag));
    let mut answer = client.post(&path, &body).await?;
    let total = answer["total_entries"].as_u64().unwrap_or(0);
    if total == 0 {
        crate::say("nothing to clear");
    } else if !options.dry_run {
        if !options.yes && !super::confirmed(&format!("{total} tasks will run again. Go on?"), "--yes, or --dry-run to see them")? {
            return Ok(ExitCode::FAILURE);
        }
        body["dry_run"] = json!(false);
        answer = client.post(&path, &body).await?;
    }
    let Value::Array(rows) = answer["task_instances"].take() else { return Err(Failure::new(1, "the answer has no task_instances")) };
    const COLUMNS: &[Column] =
        &[("run_id", |t| text(&t["dag_run_id"])), ("task_id", |t| text(&t["task_id"])), ("state", |t| state_word(&t["state"]))];
    Ok(options.output.rows(&rows, COLUMNS))
}

/// A moment; of a day its beginning or its end.
fn whole_date(text: &str, end: bool) -> Result<String, Failure> {
    if let Ok(day) = text.parse::<chrono::NaiveDate>() {
        return Ok(format!("{day}T{}Z", if end { "23:59:59.999999" } else { "00:00:00" }));
    }
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|_| text.to_owned())
        .map_err(|_| Failure::usage(format!("{text:?} is no date: write 2026-01-31, or 2026-01-31T12:00:00Z")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_and_end() {
        assert_eq!(whole_date("2026-01-31", false).ok().as_deref(), Some("2026-01-31T00:00:00Z"));
        assert_eq!(whole_date("2026-01-31", true).ok().as_deref(), Some("2026-01-31T23:59:59.999999Z"));
        assert_eq!(whole_date("2026-01-31T12:00:00+01:00", true).ok().as_deref(), Some("2026-01-31T12:00:00+01:00"));
        assert!(whole_date("yesterday", true).is_err());
    }
}
