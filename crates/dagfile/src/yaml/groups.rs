//! `task_groups`: what they are, and what an arrow to or from one of them means. As in Airflow: whatever needs a group needs the tasks that it
//! ends with, and what a group needs, the tasks that it begins with need.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use updraft_model::dag::TaskGroupSpec;
use updraft_model::{TaskId, TaskSpec};

use crate::diagnostic::{Kind, did_you_mean};
use crate::yaml::Told;
use crate::yaml::node::{Node, Place};
use crate::yaml::shape::GroupShape;

/// A group and its place.
struct Group {
    at: Place,
    id: String,
    shape: GroupShape,
}

/// The groups of a DAG; its tasks get the arrows that are drawn to and from groups.
pub(super) fn weave(
    document: &Node<'_>,
    made: &mut [(Place, TaskSpec)],
    nodes: &[&Node<'_>],
    told: &mut Told<'_>,
    dag: Option<&str>,
) -> Vec<TaskGroupSpec> {
    let entries = document.get("task_groups").and_then(Node::entries).unwrap_or_default();
    let groups: Vec<Group> = entries
        .iter()
        .filter_map(|(key, node)| {
            // A mistake in it is told with the DAG's own keys.
            let shape = if node.is_null() { GroupShape::default() } else { GroupShape::deserialize(node).ok()? };
            Some(Group { at: key.at, id: key.text()?.to_owned(), shape })
        })
        .collect();
    let of: BTreeMap<&str, &Group> = groups.iter().map(|group| (group.id.as_str(), group)).collect();
    let before = told.count();
    let near = |word: &str| did_you_mean(word, of.keys().copied()).map(|near| format!("did you mean `{near}`?"));
    for group in &groups {
        if let Some(parent) = group.shape.parent.as_deref().filter(|parent| !of.contains_key(parent)) {
            told.error(
                group.at,
                Kind::Invalid,
                format!("group `{}` is in `{parent}`, which this DAG does not have", group.id),
                near(parent),
                dag,
            );
        }
        if let Some((at, _)) = made.iter().find(|(_, task)| task.task_id.as_str() == group.id) {
            told.error(*at, Kind::Invalid, format!("`{}` is a task and a group", group.id), Some("rename one of them".to_owned()), dag);
        }
        if around(&of, &group.id).is_none() {
            told.error(group.at, Kind::Invalid, format!("group `{}` is inside itself", group.id), None, dag);
        }
    }
    for ((at, task), node) in made.iter().zip(nodes) {
        if let Some(id) = task.task_group.as_deref().filter(|id| !of.contains_key(id)) {
            let at = node.get("task_group").map_or(*at, |node| node.at);
            told.error(
                at,
                Kind::Invalid,
                format!("task `{}` is in the group `{id}`, which this DAG does not have", task.task_id),
                near(id),
                dag,
            );
        }
    }
    if told.count() > before {
        return Vec::new();
    }

    let ids: BTreeSet<String> = made.iter().map(|(_, task)| task.task_id.to_string()).collect();
    let members: BTreeMap<&str, BTreeSet<String>> = of
        .keys()
        .map(|group| {
            let inside = made.iter().filter(|(_, task)| is_inside(&of, task.task_group.as_deref(), group));
            (*group, inside.map(|(_, task)| task.task_id.to_string()).collect())
        })
        .collect();
    // What a word of `needs` stands for among the tasks, whole.
    let meant = |word: &str| -> BTreeSet<String> {
        match members.get(word) {
            Some(members) if !ids.contains(word) => members.clone(),
            _ => BTreeSet::from([word.to_owned()]),
        }
    };
    // By task, everything that it needs in any way: itself, and by the groups that it is in.
    let needs_in = |task: &TaskSpec, within: &str| -> BTreeSet<String> {
        let mut needed: BTreeSet<String> = task.upstream.iter().flat_map(|word| meant(word.as_str())).collect();
        for group in around_task(&of, task).into_iter().take_while(|group| *group != within) {
            needed.extend(of[group].shape.needs.0.iter().flat_map(|word| meant(word)));
        }
        needed
    };
    let mut begins: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut ends: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (group, inside) in &members {
        let needed: Vec<(String, BTreeSet<String>)> = made
            .iter()
            .filter(|(_, task)| inside.contains(task.task_id.as_str()))
            .map(|(_, task)| (task.task_id.to_string(), needs_in(task, group).intersection(inside).cloned().collect()))
            .collect();
        begins.insert(group, needed.iter().filter(|(_, needs)| needs.is_empty()).map(|(id, _)| id.clone()).collect());
        let last = inside.iter().filter(|id| !needed.iter().any(|(_, needs)| needs.contains(*id)));
        ends.insert(group, last.cloned().collect());
    }
    let whole = |word: &str| -> Vec<String> {
        match ends.get(word) {
            Some(ends) if !ids.contains(word) => ends.clone(),
            _ => vec![word.to_owned()],
        }
    };
    for ((at, task), node) in made.iter_mut().zip(nodes) {
        let own = around_task(&of, task);
        if let Some(group) = task.upstream.iter().find(|word| !ids.contains(word.as_str()) && own.contains(&word.as_str())) {
            let at = node.get("needs").map_or(*at, |node| node.at);
            let message = format!("task `{}` needs the group `{group}`, which it is in", task.task_id);
            told.error(at, Kind::Invalid, message, Some("name the tasks that it needs".to_owned()), dag);
            continue;
        }
        let mut words: Vec<String> = task.upstream.iter().flat_map(|word| whole(word.as_str())).collect();
        for group in own.iter().filter(|group| begins[**group].contains(&task.task_id.to_string())) {
            words.extend(of[group].shape.needs.0.iter().flat_map(|word| whole(word)));
        }
        let mut seen = BTreeSet::new();
        words.retain(|word| seen.insert(word.clone()));
        task.upstream = words.into_iter().filter_map(|word| TaskId::new(word).ok()).collect();
    }
    for group in &groups {
        for word in &group.shape.needs.0 {
            if !ids.contains(word) && !of.contains_key(word.as_str()) {
                let hint = did_you_mean(word, ids.iter().map(String::as_str).chain(of.keys().copied()));
                let message = format!("group `{}` needs `{word}`, which this DAG does not have", group.id);
                told.error(group.at, Kind::Invalid, message, hint.map(|near| format!("did you mean `{near}`?")), dag);
            } else if is_inside(&of, Some(&group.id), word) || members[group.id.as_str()].contains(word) {
                let message = format!("group `{}` needs `{word}`, which is a part of it or around it", group.id);
                told.error(group.at, Kind::Invalid, message, None, dag);
            }
        }
    }
    groups
        .iter()
        .map(|group| TaskGroupSpec {
            group_id: group.id.clone(),
            display_name: group.shape.display_name.clone(),
            tooltip: group.shape.tooltip.clone(),
            parent: group.shape.parent.clone(),
            is_mapped: false,
        })
        .collect()
}

/// A group and those around it, from the inside. None: it is inside itself.
fn around<'g>(of: &BTreeMap<&'g str, &'g Group>, group: &str) -> Option<Vec<&'g str>> {
    let mut found: Vec<&'g str> = Vec::new();
    let mut next = of.get_key_value(group).map(|(id, _)| *id);
    while let Some(id) = next {
        if found.contains(&id) {
            return None;
        }
        found.push(id);
        next = of[id].shape.parent.as_deref().and_then(|parent| of.get_key_value(parent)).map(|(id, _)| *id);
    }
    Some(found)
}

fn around_task<'g>(of: &BTreeMap<&'g str, &'g Group>, task: &TaskSpec) -> Vec<&'g str> {
    task.task_group.as_deref().and_then(|group| around(of, group)).unwrap_or_default()
}

fn is_inside(of: &BTreeMap<&str, &Group>, innermost: Option<&str>, group: &str) -> bool {
    innermost.and_then(|innermost| around(of, innermost)).is_some_and(|around| around.contains(&group))
}
