//! `GET /ui/runs/{dag_id}/{run_id}/bars`: all tasks of a run in one answer, by columns. A state is one character and a time a number, so that
//! 10,000 tasks are some hundred kilobytes.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::ApiState;
use crate::error::Error;
use crate::grid::letter_of;
use crate::shapes;

/// The tasks of a run, each at its place in every list.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Bars {
    dag_id: String,
    dag_run_id: String,
    #[schemars(schema_with = "shapes::run_state")]
    run_state: String,
    task_ids: Vec<String>,
    /// -1: it is not mapped.
    map_indexes: Vec<i32>,
    /// Letters, as those of a grid.
    states: String,
    tries: Vec<i32>,
    /// Milliseconds since 1970.
    starts: Vec<Option<i64>>,
    ends: Vec<Option<i64>>,
    /// Which of `words` says why it is in its state; -1: none does.
    says: Vec<i32>,
    words: Vec<String>,
    /// Places of those that have a note.
    notes: Vec<usize>,
    /// Places of those that are being stopped.
    stopping: Vec<usize>,
}

fn milliseconds(at: Option<DateTime<Utc>>) -> Option<i64> {
    at.map(|at| at.timestamp_millis())
}

/// All tasks of a run.
pub(crate) async fn bars(State(state): State<ApiState>, Path((dag_id, run_id)): Path<(String, String)>) -> Result<Json<Bars>, Error> {
    let run = crate::runs::find(&state, &dag_id, &run_id).await?;
    let version = state.version(run.version_id).await?;
    let rows = state.store().run_bars(run.key()).await?;
    let mut bars = Bars { dag_id: run.dag_id, dag_run_id: run.run_id, run_state: run.state, ..Bars::default() };
    let mut known: HashMap<String, i32> = HashMap::new();
    for row in rows {
        let Some(task) = version.task(row.idx) else { continue };
        let place = bars.task_ids.len();
        bars.task_ids.push(task.task_id.to_string());
        bars.map_indexes.push(row.map_index);
        bars.states.push(char::from(letter_of(&row.state)));
        bars.tries.push((row.attempt - run.attempt_base).max(0));
        bars.starts.push(milliseconds(row.started_at));
        bars.ends.push(milliseconds(row.ended_at));
        let says = row.message.or(row.reason).map_or(-1, |words| {
            *known.entry(words).or_insert_with_key(|words| {
                bars.words.push(words.clone());
                i32::try_from(bars.words.len()).unwrap_or(i32::MAX) - 1
            })
        });
        bars.says.push(says);
        if row.has_note {
            bars.notes.push(place);
        }
        if row.intent.is_some() {
            bars.stopping.push(place);
        }
    }
    Ok(Json(bars))
}
