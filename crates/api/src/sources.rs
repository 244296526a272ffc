//! `/ui/sources`: where DAG files come from, at which commit each scheduler is, and what the last commits changed. "Sync now" tells all
//! schedulers what a webhook tells them.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use updraft_store::read::fleet::SchedulerRow;
use updraft_store::read::history::CommitRow;

use crate::ApiState;
use crate::error::Error;
use crate::meta::SILENT_SECONDS;
use crate::request::{Caller, Params};
use crate::shapes::{Time, maybe, time};
use crate::webhook::Told;

/// Commits that are shown, if nothing is said, and at most.
const COMMITS: i64 = 30;
const MOST_COMMITS: i64 = 200;

/// Where a scheduler is with a source.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AtSource {
    scheduler: String,
    hostname: String,
    state: String,
    commit: Option<String>,
}

/// A folder or a repository, as the scheduler that was heard of last has it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DagSource {
    bundle: String,
    /// `git` or `folder`.
    kind: &'static str,
    /// The repository, branch and folder in it, or the folder. Free of credentials.
    source: String,
    /// `starting`, `ok` or `degraded`.
    state: String,
    commit: Option<String>,
    author: Option<String>,
    subject: Option<String>,
    committed_at: Option<String>,
    /// When the server last answered, of a repository.
    fetched_at: Option<String>,
    /// When files of it were last read.
    read_at: Option<String>,
    files: i64,
    dags: i64,
    files_with_errors: i64,
    last_error: Option<String>,
    failing_since: Option<String>,
    /// What is odd in it, and what was left out.
    notes: Vec<String>,
    schedulers: Vec<AtSource>,
}

/// A commit that was taken, and what came of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TakenCommit {
    bundle: String,
    commit: String,
    author: Option<String>,
    subject: Option<String>,
    committed_at: Option<Time>,
    taken_at: Time,
    /// DAGs that got another version by it.
    changed: Vec<String>,
    /// DAGs that no file had any more.
    removed: Vec<String>,
    /// Files of it that could not be read.
    files_with_errors: i32,
}

/// Where DAG files come from, and the last commits, newest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DagSources")]
pub(crate) struct Sources {
    sources: Vec<DagSource>,
    commits: Vec<TakenCommit>,
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn source(bundle: &str, status: &Value, row: &SchedulerRow) -> DagSource {
    let git = text(&status["source"]);
    let list = |name: &str| status[name].as_array().into_iter().flatten().filter_map(text);
    DagSource {
        bundle: bundle.to_owned(),
        kind: if git.is_some() { "git" } else { "folder" },
        source: git.or_else(|| text(&status["root"])).unwrap_or_default(),
        state: text(&status["state"]).unwrap_or_else(|| "starting".to_owned()),
        commit: text(&status["commit"]),
        author: text(&status["author"]),
        subject: text(&status["subject"]),
        committed_at: text(&status["committed_at"]),
        fetched_at: text(&status["fetched_at"]),
        read_at: text(&status["read_at"]),
        files: status["files"].as_i64().unwrap_or(0),
        dags: status["dags"].as_i64().unwrap_or(0),
        files_with_errors: status["files_with_errors"].as_i64().unwrap_or(0),
        last_error: text(&status["last_error"]),
        failing_since: text(&status["failing_since"]),
        notes: list("notes").chain(list("problems")).collect(),
        schedulers: vec![at(status, row)],
    }
}

fn at(status: &Value, row: &SchedulerRow) -> AtSource {
    AtSource {
        scheduler: row.id.to_string(),
        hostname: row.host.clone(),
        state: text(&status["state"]).unwrap_or_else(|| "starting".to_owned()),
        commit: text(&status["commit"]),
    }
}

fn commit(row: CommitRow) -> TakenCommit {
    TakenCommit {
        bundle: row.bundle,
        commit: row.commit,
        author: row.author,
        subject: row.subject,
        committed_at: maybe(row.committed_at),
        taken_at: time(row.taken_at),
        changed: row.changed,
        removed: row.removed,
        files_with_errors: row.errors,
    }
}

pub(crate) async fn list(State(state): State<ApiState>, params: Params) -> Result<Json<Sources>, Error> {
    let most = params.int("commits")?.unwrap_or(COMMITS).clamp(0, MOST_COMMITS);
    let schedulers = state.store().scheduler_list().await?;
    let mut sources: BTreeMap<String, DagSource> = BTreeMap::new();
    // The liveliest first: what is shown of a source is its word.
    for row in schedulers.iter().filter(|row| row.silent_seconds <= SILENT_SECONDS) {
        for (bundle, status) in row.dags_status.as_object().into_iter().flatten() {
            sources
                .entry(bundle.clone())
                .and_modify(|known| known.schedulers.push(at(status, row)))
                .or_insert_with(|| source(bundle, status, row));
        }
    }
    let commits = state.store().commits_taken(most).await?.into_iter().map(commit).collect();
    Ok(Json(Sources { sources: sources.into_values().collect(), commits }))
}

/// Has all schedulers ask all their repositories at once.
pub(crate) async fn sync(State(state): State<ApiState>, caller: Caller) -> Result<(StatusCode, Json<Told>), Error> {
    let told = crate::webhook::tell_schedulers(&state).await?;
    if told.schedulers == 0 {
        return Err(Error::Conflict("no scheduler is alive, and schedulers fetch: start one (updraft scheduler)".to_owned()));
    }
    caller.log(&state, "sync_dag_sources", json!({"schedulers": told.schedulers})).await?;
    Ok((StatusCode::ACCEPTED, Json(told)))
}
