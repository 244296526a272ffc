//! `GET /ui/taskFares/{dag_id}`: how each task of a DAG fared in the latest runs: states, durations, how many it was made into.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Serialize;

use crate::ApiState;
use crate::dags;
use crate::error::Error;
use crate::grid;
use crate::request::Params;
use crate::shapes::{Time, maybe};

/// Runs that are looked at, and the most.
const RUNS: i64 = 25;
const MOST: i64 = 100;

/// How a task fared.
#[derive(Debug, Serialize, JsonSchema)]
struct TaskFare {
    task_id: String,
    /// A letter for each run, as in the grid; the newest is the last.
    states: String,
    /// When it last started.
    last_start: Option<Time>,
    /// How long it took when it last ended by itself, in seconds.
    last_duration: Option<f64>,
    /// The middle of its durations.
    median_duration: Option<f64>,
    longest_duration: Option<f64>,
    /// In how many of the runs it failed.
    failures: usize,
    /// Of a mapped task: how many instances it had in the newest run.
    mapped: Option<i64>,
}

/// How the tasks of a DAG's newest version fared.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TaskFares {
    dag_id: String,
    /// How many runs were looked at.
    runs: usize,
    /// In the order of the file.
    tasks: Vec<TaskFare>,
}

#[derive(Default)]
struct Seen {
    states: Vec<u8>,
    durations: Vec<f64>,
    last_start: Option<Time>,
    failures: usize,
    mapped: Option<i64>,
}

pub(crate) async fn fares(State(state): State<ApiState>, Path(dag_id): Path<String>, params: Params) -> Result<Json<TaskFares>, Error> {
    let dag = dags::find(&state, &dag_id).await?;
    let limit = params.int("limit")?.unwrap_or(RUNS).clamp(1, MOST);
    let rows = state.store().task_fares(&dag_id, limit).await?;
    let newest = state.version(dag.version_id).await?;
    let places: HashMap<&str, usize> = newest.spec().tasks.iter().enumerate().map(|(at, task)| (task.task_id.as_str(), at)).collect();
    let mut seen: Vec<Seen> = places.iter().map(|_| Seen::default()).collect();
    let mut runs = 0;
    for run in rows.chunk_by(|a, b| a.run == b.run) {
        let version = state.version(run[0].version_id).await?;
        for row in run {
            let Some(own) = version.task(row.idx).and_then(|task| places.get(task.task_id.as_str())).map(|at| &mut seen[*at]) else {
                continue;
            };
            // Runs before this one that had no such task.
            own.states.resize(runs, grid::ABSENT);
            let letter =
                row.states.iter().filter_map(|word| grid::letter(word)).min_by_key(|letter| grid::rank(*letter)).unwrap_or(grid::ABSENT);
            own.states.push(letter);
            own.failures += usize::from(letter == b'f');
            own.durations.extend(row.seconds);
            own.last_start = own.last_start.or_else(|| maybe(row.started_at));
            if runs == 0 && row.instances > 1 {
                own.mapped = Some(row.instances);
            }
        }
        runs += 1;
    }
    let tasks = newest.spec().tasks.iter().zip(seen).map(|(task, mut own)| {
        own.states.resize(runs, grid::ABSENT);
        own.states.reverse();
        let last_duration = own.durations.first().copied();
        own.durations.sort_by(f64::total_cmp);
        TaskFare {
            task_id: task.task_id.to_string(),
            states: own.states.into_iter().map(char::from).collect(),
            last_start: own.last_start,
            last_duration,
            median_duration: own.durations.get(own.durations.len() / 2).copied(),
            longest_duration: own.durations.last().copied(),
            failures: own.failures,
            mapped: own.mapped,
        }
    });
    Ok(Json(TaskFares { tasks: tasks.collect(), dag_id, runs }))
}
