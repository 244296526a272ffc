//! Runs that go on with the newest version of their DAG when they are cleared (`run_on_latest_version`).

use updraft_model::DagSpec;
use updraft_store::read::runs::RunRow;

use crate::ApiState;
use crate::error::Error;

/// Whether a run of one version can go on with another. A run knows its tasks by their places: all that it has must be where they were, and new
/// ones come after them.
pub(crate) fn can_go_on(old: &DagSpec, new: &DagSpec) -> bool {
    let (old, new) = (&old.tasks, &new.tasks);
    old.len() <= new.len() && old.iter().zip(new).all(|(old, new)| old.task_id == new.task_id)
}

/// The version that a run is to go on with; none when it has it. An error says why it cannot.
pub(super) async fn version_for(state: &ApiState, run: &RunRow) -> Result<Option<i64>, Error> {
    let dag = crate::dags::find(state, &run.dag_id).await?;
    if dag.version_id == run.version_id {
        return Ok(None);
    }
    let refuse = |why: &str| {
        let remedy = "clear it without run_on_latest_version, or trigger a new run";
        Err(Error::BadRequest(format!("the run {} cannot go on with the newest version of {}: {why}; {remedy}", run.run_id, run.dag_id)))
    };
    if !run.is_over() {
        return refuse("it is not over yet, and what runs of it belongs to the version that it has");
    }
    let (old, new) = (state.version(run.version_id).await?, state.version(dag.version_id).await?);
    if !can_go_on(old.spec(), new.spec()) {
        return refuse("tasks of it are gone there, or in other places: what it has done could not be told apart");
    }
    Ok(Some(dag.version_id))
}

/// Moves it there.
pub(super) async fn go_on(state: &ApiState, run: &RunRow, version: i64, by: &str) -> Result<(), Error> {
    if state.store().run_version_move(run.key(), run.version_id, version, by).await? {
        return Ok(());
    }
    let why = "a task of it is still being stopped, or somebody else has changed it: look again";
    Err(Error::Conflict(format!("the run {} cannot go on with the newest version of {}: {why}", run.run_id, run.dag_id)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(tasks: &[&str]) -> DagSpec {
        let tasks: Vec<_> = tasks.iter().map(|id| json!({"task_id": id, "run": {"kind": "empty"}})).collect();
        serde_json::from_value(json!({"dag_id": "d", "schedule": {"kind": "none"}, "tasks": tasks})).unwrap()
    }

    #[test]
    fn tasks_stay_in_their_places() {
        for (old, new, goes_on) in [
            (["a", "b"].as_slice(), ["a", "b"].as_slice(), true),
            (&["a", "b"], &["a", "b", "c"], true),
            (&["a", "b"], &["a"], false),
            (&["a", "b"], &["b", "a"], false),
            (&["a", "b"], &["new", "a", "b"], false),
        ] {
            assert_eq!(can_go_on(&of(old), &of(new)), goes_on, "{old:?} {new:?}");
        }
    }
}
