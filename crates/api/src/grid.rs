//! `GET /ui/grid/{dag_id}`: runs × tasks of a DAG in one answer. A state is one character, so that 1,000 tasks × 50 runs are 50 KB.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Serialize;
use updraft_store::read::runs::GridRun;

use crate::ApiState;
use crate::dags;
use crate::error::Error;
use crate::groups::Groups;
use crate::request::{Params, parse_time};
use crate::shapes::{self, Time, maybe, seconds, time};

/// Runs of an answer, and the most.
const RUNS: i64 = 50;
const MOST: i64 = 200;

/// The letters of states, and among the instances of one mapped task which of them is shown: the first that any of them has.
const LETTERS: &[(&str, u8)] = &[
    ("failed", b'f'),
    ("upstream_failed", b'u'),
    ("running", b'r'),
    ("up_for_retry", b'y'),
    ("queued", b'q'),
    ("deferred", b'd'),
    ("scheduled", b'c'),
    ("none", b'n'),
    ("success", b's'),
    ("skipped", b'k'),
    ("removed", b'x'),
];
/// The task is not in that run's version, or has no instance there.
pub(crate) const ABSENT: u8 = b'-';

/// The letter of a state.
pub(crate) fn letter(state: &str) -> Option<u8> {
    LETTERS.iter().find(|(word, _)| *word == state).map(|(_, letter)| *letter)
}

/// Which of several letters is shown: the least.
pub(crate) fn rank(letter: u8) -> usize {
    LETTERS.iter().position(|(_, own)| *own == letter).unwrap_or(LETTERS.len())
}

/// The letter of a state.
pub(crate) fn letter_of(state: &str) -> u8 {
    LETTERS.iter().find(|(word, _)| *word == state).map_or(ABSENT, |(_, letter)| *letter)
}

/// A row of a grid.
#[derive(Debug, Serialize, JsonSchema)]
struct GridTask {
    task_id: String,
    display_name: String,
    operator: String,
    /// Tasks that come before it.
    upstream_task_ids: Vec<String>,
    /// Whether the newest version still has it.
    is_current: bool,
    /// The innermost group that it is in.
    group: Option<String>,
    is_setup: bool,
    is_teardown: bool,
}

/// A group of rows.
#[derive(Debug, Serialize, JsonSchema)]
struct GridGroup {
    group_id: String,
    /// What it is called within the group around it.
    label: String,
    /// The group around it, which comes before it.
    parent: Option<String>,
}

/// A column of a grid.
#[derive(Debug, Serialize, JsonSchema)]
struct GridColumn {
    dag_run_id: String,
    #[schemars(schema_with = "shapes::run_state")]
    state: String,
    run_type: String,
    run_after: Time,
    start_date: Option<Time>,
    end_date: Option<Time>,
    duration: Option<f64>,
    version_number: i32,
    note: Option<String>,
    /// A letter for each task: `s`uccess, `f`ailed, `u`pstream failed, `r`unning, `q`ueued, s`c`heduled, waiting to retr`y`, s`k`ipped, `x` removed,
    /// `n`o state yet, and `-` where the run has no such task. Of a mapped task the worst.
    cells: String,
}

/// The tasks of a DAG in its latest runs.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Grid {
    dag_id: String,
    /// In the order of the newest version; those that only older ones have come last.
    tasks: Vec<GridTask>,
    /// Those of all versions, outer ones first.
    groups: Vec<GridGroup>,
    /// Newest first.
    runs: Vec<GridColumn>,
    /// Whether older runs are there.
    has_more: bool,
}

/// The latest runs of a DAG with the states of its tasks.
pub(crate) async fn grid(State(state): State<ApiState>, Path(dag_id): Path<String>, params: Params) -> Result<Json<Grid>, Error> {
    let dag = dags::find(&state, &dag_id).await?;
    let limit = params.int("limit")?.unwrap_or(RUNS).clamp(1, MOST);
    let before = params.one("before").map(|text| parse_time("query", "before", text)).transpose()?;
    let mut found = state.store().run_grid(&dag_id, before, limit + 1).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = found.len() > shown;
    found.truncate(shown);

    let mut tasks = Vec::new();
    let mut groups: Vec<GridGroup> = Vec::new();
    let mut rows: HashMap<String, usize> = HashMap::new();
    let mut versions = vec![dag.version_id];
    for run in &found {
        if !versions.contains(&run.version_id) {
            versions.push(run.version_id);
        }
    }
    // For each version, the row of the task at each of its positions.
    let mut places: HashMap<i64, Vec<usize>> = HashMap::new();
    for id in versions {
        let version = state.version(id).await?;
        let own = Groups::of(version.spec());
        for group in &own.list {
            // Of two versions that put a group into different ones, the newer.
            if groups.iter().all(|known| known.group_id != group.id) {
                let parent = group.parent.map(|parent| own.list[parent].id.clone());
                groups.push(GridGroup { group_id: group.id.clone(), label: group.label.clone(), parent });
            }
        }
        let place = version.spec().tasks.iter().zip(&own.of_task).map(|(task, group)| {
            *rows.entry(task.task_id.to_string()).or_insert_with(|| {
                tasks.push(GridTask {
                    task_id: task.task_id.to_string(),
                    display_name: task.display_name.clone().unwrap_or_else(|| task.task_id.to_string()),
                    operator: shapes::operator(task).to_owned(),
                    upstream_task_ids: task.upstream.iter().map(ToString::to_string).collect(),
                    is_current: id == dag.version_id,
                    group: group.map(|group| own.list[group].id.clone()),
                    is_setup: task.is_setup,
                    is_teardown: task.is_teardown,
                });
                tasks.len() - 1
            })
        });
        places.insert(id, place.collect());
    }
    let runs = found.into_iter().map(|run| {
        let cells = cells(&run, places.get(&run.version_id).map(Vec::as_slice).unwrap_or_default(), tasks.len());
        GridColumn {
            dag_run_id: run.run_id,
            state: run.state,
            run_type: run.run_type,
            run_after: time(run.run_after),
            start_date: maybe(run.start_date),
            end_date: maybe(run.end_date),
            duration: seconds(run.start_date, run.end_date),
            version_number: run.version_number,
            note: run.note,
            cells,
        }
    });
    let runs = runs.collect();
    Ok(Json(Grid { dag_id, tasks, groups, runs, has_more }))
}

/// The letters of a run, for rows of which there are `count`.
fn cells(run: &GridRun, rows: &[usize], count: usize) -> String {
    let mut cells = vec![ABSENT; count];
    for (position, state) in run.positions.iter().zip(&run.states) {
        let row = usize::try_from(*position).ok().and_then(|at| rows.get(at));
        if let (Some(row), Some(letter)) = (row, letter(state))
            && rank(letter) < rank(cells[*row])
        {
            cells[*row] = letter;
        }
    }
    cells.into_iter().map(char::from).collect()
}
