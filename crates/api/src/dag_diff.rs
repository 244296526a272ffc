//! `GET /ui/diff/{dag_id}`: two versions of a DAG side by side: what they say, as `updraft dags diff` compares it, and the lines of their files.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};
use updraft_model::dag::diff;

use crate::ApiState;
use crate::dags;
use crate::error::Error;
use crate::graph;
use crate::request::Params;

/// Lines around a difference.
const AROUND: usize = 4;
/// After it a shorter way to say what differs is no longer looked for.
const PATIENCE: Duration = Duration::from_millis(300);

/// What differs in what two versions say.
#[derive(Debug, Serialize, JsonSchema)]
struct DagChange {
    /// `added`, `removed`: a task; `changed`: a field.
    kind: &'static str,
    /// The task; null: the DAG itself.
    task_id: Option<String>,
    field: Option<String>,
    before: Value,
    after: Value,
}

/// A line of a file.
#[derive(Debug, Serialize, JsonSchema)]
struct DiffLine {
    /// `same`, `removed` or `added`.
    kind: &'static str,
    /// Its number before.
    before: Option<usize>,
    /// Its number after.
    after: Option<usize>,
    text: String,
}

/// Two versions of a DAG.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DagDiff {
    dag_id: String,
    from_version: i32,
    to_version: i32,
    changes: Vec<DagChange>,
    /// What differs in the files, each with some lines around it.
    hunks: Vec<Vec<DiffLine>>,
}

pub(crate) async fn diff(State(state): State<ApiState>, Path(dag_id): Path<String>, params: Params) -> Result<Json<DagDiff>, Error> {
    dags::find(&state, &dag_id).await?;
    let (to_version, to) = graph::version_of(&state, &dag_id, params.int("to")?).await?;
    // The first version has none before it, and is like itself.
    let from = params.int("from")?.unwrap_or_else(|| i64::from(to_version).saturating_sub(1).max(1));
    let (from_version, from) = graph::version_of(&state, &dag_id, Some(from)).await?;
    let (before, after) = (state.version(from).await?, state.version(to).await?);
    let written = |version: &crate::versions::Version| {
        serde_json::to_value(&**version.graph.spec())
            .map_err(|error| Error::Broken(format!("the spec of {dag_id} cannot be written: {error}")))
    };
    let changes = diff::changes(&written(&before)?, &written(&after)?).into_iter().map(|change| DagChange {
        kind: change.kind.as_str(),
        task_id: change.task_id,
        field: change.field,
        before: change.before,
        after: change.after,
    });
    let changes = changes.collect();
    let (old, new) = (source(&state, &dag_id, from_version).await?, source(&state, &dag_id, to_version).await?);
    let hunks = tokio::task::spawn_blocking(move || hunks(&old, &new)).await;
    let hunks = hunks.map_err(|error| Error::Broken(format!("the versions of {dag_id} cannot be compared: {error}")))?;
    Ok(Json(DagDiff { dag_id, from_version, to_version, changes, hunks }))
}

async fn source(state: &ApiState, dag_id: &str, number: i32) -> Result<String, Error> {
    let missing = || Error::NotFound(format!("The source code of the DAG {dag_id}, version_number {number} was not found"));
    state.store().dag_source(dag_id, Some(number)).await?.map(|row| row.source).ok_or_else(missing)
}

fn hunks(old: &str, new: &str) -> Vec<Vec<DiffLine>> {
    let found = TextDiff::configure().timeout(PATIENCE).diff_lines(old, new);
    let line = |change: similar::Change<&str>| DiffLine {
        kind: match change.tag() {
            ChangeTag::Equal => "same",
            ChangeTag::Delete => "removed",
            ChangeTag::Insert => "added",
        },
        before: change.old_index().map(|at| at + 1),
        after: change.new_index().map(|at| at + 1),
        text: change.value().trim_end_matches(['\n', '\r']).to_owned(),
    };
    found.grouped_ops(AROUND).iter().map(|group| group.iter().flat_map(|op| found.iter_changes(op)).map(line).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_stands_among_a_few_lines() {
        let old: String = (1..=40).map(|n| format!("line {n}\n")).collect();
        let new = old.replace("line 20\n", "line twenty\nand more\n").replace("line 40\n", "");
        let found = hunks(&old, &new);
        assert_eq!(found.len(), 2);
        let short = |hunk: &[DiffLine]| -> Vec<String> {
            hunk.iter().filter(|l| l.kind != "same").map(|l| format!("{} {:?} {:?} {}", l.kind, l.before, l.after, l.text)).collect()
        };
        assert_eq!(short(&found[0]), ["removed Some(20) None line 20", "added None Some(20) line twenty", "added None Some(21) and more"]);
        assert_eq!((found[0].len(), found[0][0].before), (11, Some(16)));
        assert_eq!(short(&found[1]), ["removed Some(40) None line 40"]);
        assert!(hunks(&old, &old).is_empty());
    }
}
