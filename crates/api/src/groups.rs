//! The groups of a DAG, as a page shows them: those of the file, and for tasks in none the beginnings of their names up to a dot, where several
//! share one. YAML files write groups so.

use std::collections::BTreeMap;

use updraft_model::DagSpec;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DagGroup {
    pub(crate) id: String,
    /// What it is called within the group around it.
    pub(crate) label: String,
    /// The group around it, which comes before it in the list.
    pub(crate) parent: Option<usize>,
}

/// The groups of a version, and the innermost one of each task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    pub(crate) list: Vec<DagGroup>,
    pub(crate) of_task: Vec<Option<usize>>,
}

impl Groups {
    pub(crate) fn of(spec: &DagSpec) -> Self {
        let mut found = Self::default();
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        let said: BTreeMap<&str, _> = spec.task_groups.iter().map(|group| (group.group_id.as_str(), group)).collect();
        let mut shared: BTreeMap<&str, usize> = BTreeMap::new();
        for task in spec.tasks.iter().filter(|task| task.task_group.is_none()) {
            for beginning in beginnings(task.task_id.as_str()) {
                *shared.entry(beginning).or_default() += 1;
            }
        }
        for task in &spec.tasks {
            // The groups around it, innermost first.
            let mut around: Vec<&str> = Vec::new();
            let mut next = task.task_group.as_deref();
            while let Some(id) = next.filter(|id| !around.contains(id)) {
                around.push(id);
                next = said.get(id).and_then(|group| group.parent.as_deref());
            }
            if around.is_empty() {
                around =
                    beginnings(task.task_id.as_str()).filter(|beginning| shared.get(beginning).is_some_and(|count| *count > 1)).collect();
                around.reverse();
            }
            let mut parent = None;
            for id in around.into_iter().rev() {
                parent = Some(*known.entry(id.to_owned()).or_insert_with(|| {
                    let above: Option<&DagGroup> = parent.map(|parent: usize| &found.list[parent]);
                    let short = above.and_then(|above| id.strip_prefix(above.id.as_str())?.strip_prefix('.')).unwrap_or(id);
                    let label = said.get(id).and_then(|group| group.display_name.clone()).unwrap_or_else(|| short.to_owned());
                    found.list.push(DagGroup { id: id.to_owned(), label, parent });
                    found.list.len() - 1
                }));
            }
            found.of_task.push(parent);
        }
        found
    }

    /// The tasks of each group, those of groups in it included.
    pub(crate) fn members(&self, spec: &DagSpec) -> Vec<Vec<String>> {
        let mut members = vec![Vec::new(); self.list.len()];
        for (task, group) in spec.tasks.iter().zip(&self.of_task) {
            let mut next = *group;
            while let Some(group) = next {
                members[group].push(task.task_id.to_string());
                next = self.list[group].parent;
            }
        }
        members
    }
}

/// `a` and `a.b` of `a.b.c`.
fn beginnings(id: &str) -> impl Iterator<Item = &str> {
    id.match_indices('.').map(|(at, _)| &id[..at]).filter(|beginning| !beginning.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn groups(spec: serde_json::Value) -> (Vec<String>, Vec<Option<String>>) {
        let spec: DagSpec = serde_json::from_value(spec).unwrap();
        let found = Groups::of(&spec);
        let list = found.list.iter().map(|group| match group.parent {
            Some(parent) => format!("{} > {} ({})", found.list[parent].id, group.id, group.label),
            None => format!("{} ({})", group.id, group.label),
        });
        (list.collect(), found.of_task.iter().map(|group| group.map(|at| found.list[at].id.clone())).collect())
    }

    #[test]
    fn groups_are_those_of_the_file_or_beginnings_that_several_names_share() {
        let task = |id: &str| json!({"task_id": id, "run": {"kind": "empty"}});
        let tasks = json!([task("a.one"), task("a.in.x"), task("a.in.y"), task("b.alone"), task("c"), task(".d")]);
        let (list, of_task) = groups(json!({"dag_id": "d", "schedule": {"kind": "none"}, "tasks": tasks}));
        assert_eq!(list, ["a (a)", "a > a.in (in)"]);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of_task, [some("a"), some("a.in"), some("a.in"), None, None, None]);

        let member = |id: &str, group: &str| json!({"task_id": id, "run": {"kind": "empty"}, "task_group": group});
        let said = json!([{"group_id": "load", "display_name": "Load all"}, {"group_id": "load.eu", "parent": "load"}]);
        let tasks = json!([member("load.eu.x", "load.eu"), member("plain", "load")]);
        let (list, of_task) = groups(json!({"dag_id": "d", "schedule": {"kind": "none"}, "task_groups": said, "tasks": tasks}));
        assert_eq!(list, ["load (Load all)", "load > load.eu (eu)"]);
        assert_eq!(of_task, [some("load.eu"), some("load")]);
    }
}
