//! What a branch or a short circuit has decided, as it stands in the XCom of the key [`KEY`]: Airflow's form, so that API clients know it.
//!
//! It is read from the database whenever a run is, so a scheduler that was killed in between decides the same; and it stands for as long as the
//! task that decided is a success, so what was left out and is cleared is left out again.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::graph::DagGraph;

/// Where decisions are kept.
pub const KEY: &str = "skipmixin_key";

/// The tasks that a decision of `task` leaves out. A value that says nothing leaves out nothing.
pub fn left_out(graph: &DagGraph, task: u32, decision: &Value) -> BTreeSet<u32> {
    let ids = |value: &Value| -> BTreeSet<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let id_of = |task: u32| graph.spec().tasks[task as usize].task_id.as_str();
    if let Some(followed) = decision.get("followed") {
        let followed = ids(followed);
        return graph.downstream(task).iter().copied().filter(|down| !followed.contains(id_of(*down))).collect();
    }
    match decision.get("skipped") {
        Some(Value::String(word)) if word == "downstream" => graph.closure(&[task], true).into_iter().collect(),
        Some(skipped) => {
            let skipped = ids(skipped);
            graph.closure(&[task], true).into_iter().filter(|down| skipped.contains(id_of(*down))).collect()
        }
        None => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::view::tests::spec_of;

    #[test]
    fn a_decision_names_who_is_followed_or_who_is_left_out() {
        let graph = DagGraph::new(spec_of(&[("b", &[]), ("x", &["b"]), ("y", &["b"]), ("z", &["x", "y"])]));
        let of = |decision| left_out(&graph, 0, &decision).into_iter().collect::<Vec<_>>();
        assert_eq!(of(json!({"followed": ["x"]})), [2]);
        assert_eq!(of(json!({"followed": []})), [1, 2]);
        assert_eq!(of(json!({"skipped": ["y", "z", "b", "unknown"]})), [2, 3]);
        assert_eq!(of(json!({"skipped": "downstream"})), [1, 2, 3]);
        assert_eq!(of(json!("nonsense")), [0u32; 0]);
    }
}
