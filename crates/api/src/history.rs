//! `/ui/history`: what was decided of a task instance, when and why, for as long as its run is kept.

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use updraft_model::TaskState;
use updraft_store::read::instances::AttemptRow;

use crate::ApiState;
use crate::error::Error;
use crate::request::Params;
use crate::shapes::{self, Time, time};

/// Something that happened to an instance.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Entry {
    at: Time,
    /// The state that it came into; null: none, it was cleared.
    state: Option<String>,
    /// At which try it was then; 0: at none yet.
    try_number: i32,
    /// In a word, or what somebody asked for, and who: `clear by eve`.
    reason: Option<String>,
    /// In a sentence.
    message: Option<String>,
    /// Where the try ran.
    host: Option<String>,
    /// Who paid for its failure: `user`, the task's own retries, or `infra`.
    budget: Option<String>,
}

/// All that happened to an instance, oldest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct History {
    dag_id: String,
    dag_run_id: String,
    task_id: String,
    map_index: i32,
    entries: Vec<Entry>,
    total_entries: i64,
}

pub(crate) async fn history(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    params: Params,
) -> Result<Json<History>, Error> {
    let map_index = params.map_index()?;
    let (run, row) = crate::instances::find(&state, &dag_id, &run_id, &task_id, map_index).await?;
    let attempts = state.store().attempt_list(run.key(), row.idx, row.map_index).await?;
    let moves = state.store().instance_moves(run.key(), row.idx, row.map_index).await?;
    let number = |attempt: i32| (attempt - run.attempt_base).max(0);
    let mut found: Vec<(DateTime<Utc>, Entry)> = Vec::with_capacity(moves.len() + attempts.len());
    for moved in moves {
        // What an end says stands with its attempt; being queued is no end of the attempt before.
        let ended: Option<&AttemptRow> = match moved.state.as_str() {
            "none" | "scheduled" | "queued" | "deferred" => None,
            _ => attempts.iter().find(|attempt| attempt.attempt == moved.attempt && attempt.ended_at.is_some()),
        };
        let entry = Entry {
            at: time(moved.at),
            state: moved.state.parse::<TaskState>().ok().and_then(TaskState::as_api).map(str::to_owned),
            try_number: number(moved.attempt),
            reason: moved.reason.or_else(|| ended.and_then(|attempt| attempt.reason.clone())),
            message: ended.and_then(|attempt| attempt.message.clone()),
            host: ended.and_then(|attempt| attempt.host.as_deref()).map(|host| shapes::hostname(Some(host)).to_owned()),
            budget: ended.and_then(|attempt| attempt.budget.clone()),
        };
        found.push((moved.at, entry));
    }
    // Nobody plans by a command's begin, so it is no event.
    let by_scheduler = |attempt: &AttemptRow| {
        attempt.state == "deferred" || attempt.evidence.as_ref().is_some_and(|evidence| evidence["runner"] == "scheduler")
    };
    for attempt in attempts.iter().filter(|attempt| attempt.attempt > run.attempt_base && !by_scheduler(attempt)) {
        if let Some(at) = attempt.started_at {
            let host = attempt.host.as_deref().map(|host| shapes::hostname(Some(host)).to_owned());
            let entry = Entry {
                at: time(at),
                state: Some("running".to_owned()),
                try_number: number(attempt.attempt),
                reason: None,
                message: None,
                host,
                budget: None,
            };
            found.push((at, entry));
        }
    }
    // Stable: what has the same time stays in the order of the events.
    found.sort_by_key(|(at, _)| *at);
    let entries: Vec<Entry> = found.into_iter().map(|(_, entry)| entry).collect();
    let total_entries = crate::listing::count(entries.len());
    Ok(Json(History { dag_id, dag_run_id: run.run_id, task_id, map_index, entries, total_entries }))
}
