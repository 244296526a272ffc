//! dag-factory's files: a map from DAG id to DAG, with Airflow's class names for operators. Each DAG is written in our own shape and read as such,
//! with the places of the file, so that mistakes are told where they stand.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize as _;
use serde_json::Value as Json;
use updraft_model::dag::{AirflowTask, TaskGroupSpec};
use updraft_model::{DagSpec, TaskKind};

use crate::yaml::node::{Node, Place};
use crate::yaml::shape::{BASH_KEYS, POD_KEYS};
use crate::yaml::{Told, convert, waits};

/// The entry whose content every DAG has.
const DEFAULT: &str = "default";
/// Keys of a DAG that are ours as well.
const OF_DAG: &[&str] = &[
    "description",
    "doc_md",
    "tags",
    "schedule",
    "timezone",
    "start_date",
    "end_date",
    "catchup",
    "max_active_runs",
    "max_active_tasks",
    "concurrency",
    "dagrun_timeout",
    "is_paused_upon_creation",
    "params",
    "render_template_as_native_obj",
    "max_consecutive_failed_dag_runs",
    "dag_display_name",
    "owner_links",
];
/// Keys of any task that are ours as well.
const OF_TASK: &[&str] = &[
    "trigger_rule",
    "owner",
    "doc_md",
    "retries",
    "retry_delay",
    "retry_exponential_backoff",
    "max_retry_delay",
    "execution_timeout",
    "pool",
    "pool_slots",
    "queue",
    "priority_weight",
    "weight_rule",
    "depends_on_past",
    "wait_for_downstream",
    "max_active_tis_per_dag",
    "task_concurrency",
    "task_display_name",
    "params",
    "email",
    "email_on_failure",
    "email_on_retry",
];
/// dag-factory's own names of keys, and ours.
const RENAMED: &[(&str, &str)] = &[
    ("schedule_interval", "schedule"),
    ("dagrun_timeout_sec", "dagrun_timeout"),
    ("retry_delay_sec", "retry_delay"),
    ("execution_timeout_secs", "execution_timeout"),
    ("execution_timeout_sec", "execution_timeout"),
];

/// Whether a document is one of dag-factory's.
pub(super) fn is_one(document: &Node<'_>) -> bool {
    let Some(entries) = document.entries() else { return false };
    entries.iter().all(|(key, dag)| key.text().is_some() && (dag.entries().is_some() || dag.is_null()))
        && entries.iter().any(|(key, dag)| key.text() != Some(DEFAULT) && dag.get("tasks").is_some_and(has_operators))
}

fn has_operators(tasks: &Node<'_>) -> bool {
    let named = |task: &Node<'_>| task.get("operator").is_some() || task.get("decorator").is_some();
    match (tasks.entries(), tasks.items()) {
        (Some(entries), _) => entries.iter().any(|(_, task)| named(task)),
        (_, Some(items)) => items.iter().any(named),
        _ => false,
    }
}

/// Reads every DAG of the document.
pub(super) fn document(document: &Node<'_>, told: &mut Told<'_>) {
    let default = document.get(DEFAULT);
    for (id, dag) in document.entries().unwrap_or_default() {
        if id.text() != Some(DEFAULT) && dag.get("tasks").is_some() {
            one(id, dag, default, told);
        }
    }
}

/// What our own shape has no words for.
#[derive(Default)]
struct Beside {
    /// By task: its class, the class' module, its arguments.
    airflow: BTreeMap<String, (String, String, BTreeMap<String, Json>)>,
    groups: Vec<TaskGroupSpec>,
    /// By task.
    group_of: BTreeMap<String, String>,
}

fn one<'s>(id: &Node<'s>, dag: &Node<'s>, default: Option<&Node<'s>>, told: &mut Told<'_>) {
    let mut beside = Beside::default();
    let mut entries = vec![(Node::text_at(id.at, "dag_id"), id.clone())];
    let mut aside: Vec<(Place, String)> = Vec::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let of_default = default.map(|default| default.entries().unwrap_or_default()).unwrap_or_default();
    for (key, value) in dag.entries().unwrap_or_default().iter().chain(of_default) {
        let Some(name) = key.text().map(renamed) else { continue };
        if matches!(name, "default_args" | "tasks" | "task_groups") || !seen.insert(name.to_owned()) {
            continue;
        }
        match OF_DAG.contains(&name) {
            true => entries.push((Node::text_at(key.at, name), resolved(value))),
            false => aside.push((key.at, name.to_owned())),
        }
    }
    // What every task has. Its dates are the DAG's.
    let mut defaults = Vec::new();
    let mut known: BTreeSet<String> = BTreeSet::new();
    let given = [Some(dag), default].into_iter().flatten().filter_map(|node| node.get("default_args")?.entries());
    for (key, value) in given.flatten() {
        let Some(name) = key.text().map(renamed) else { continue };
        if !known.insert(name.to_owned()) {
            continue;
        }
        let entry = (Node::text_at(key.at, name), resolved(value));
        match name {
            "start_date" | "end_date" if seen.insert(name.to_owned()) => entries.push(entry),
            "start_date" | "end_date" => {}
            name if OF_TASK.contains(&name) || BASH_KEYS.contains(&name) || POD_KEYS.contains(&name) => defaults.push(entry),
            name => aside.push((key.at, name.to_owned())),
        }
    }
    if !defaults.is_empty() {
        entries.push((Node::text_at(id.at, "default_args"), Node::map_at(id.at, defaults)));
    }
    for (at, name) in aside {
        told.warning(format!("`{name}` is read and left aside"), at.line);
    }
    groups(dag, &mut beside);
    entries.push((Node::text_at(id.at, "tasks"), tasks(dag, &mut beside)));
    let before = told.parsed.dags.len();
    convert::document(&Node::map_at(id.at, entries), told);
    if let Some(made) = told.parsed.dags.get_mut(before) {
        finish(made, beside);
    }
}

fn renamed(name: &str) -> &str {
    RENAMED.iter().find(|(theirs, _)| *theirs == name).map_or(name, |(_, ours)| ours)
}

/// A `__type__` as our own words for it.
fn resolved<'s>(value: &Node<'s>) -> Node<'s> {
    let Some(kind) = value.get("__type__").and_then(Node::text) else { return value.clone() };
    let number = |name: &str| value.get(name).and_then(Node::text).and_then(|text| text.parse::<f64>().ok());
    let class = kind.rsplit('.').next().unwrap_or(kind);
    match class {
        "timedelta" | "duration" => {
            let units = [
                ("weeks", 604_800.0),
                ("days", 86_400.0),
                ("hours", 3_600.0),
                ("minutes", 60.0),
                ("seconds", 1.0),
                ("milliseconds", 0.001),
            ];
            let seconds: f64 = units.iter().filter_map(|(unit, size)| number(unit).map(|count| count * size)).sum();
            Node::text_at(value.at, &format!("{seconds}s"))
        }
        "datetime" | "DateTime" => {
            let part = |name: &str, least: f64| number(name).unwrap_or(least);
            let text = format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
                part("year", 1.0),
                part("month", 1.0),
                part("day", 1.0),
                part("hour", 0.0),
                part("minute", 0.0),
                part("second", 0.0)
            );
            Node::text_at(value.at, &text)
        }
        _ => value.clone(),
    }
}

fn groups(dag: &Node<'_>, beside: &mut Beside) {
    let Some(node) = dag.get("task_groups") else { return };
    let named: Vec<(String, &Node<'_>)> = match (node.entries(), node.items()) {
        (Some(entries), _) => entries.iter().filter_map(|(key, group)| Some((key.text()?.to_owned(), group))).collect(),
        (_, Some(items)) => items
            .iter()
            .filter_map(|group| Some((group.get("group_name").or_else(|| group.get("group_id"))?.text()?.to_owned(), group)))
            .collect(),
        _ => Vec::new(),
    };
    for (group_id, group) in named {
        beside.groups.push(TaskGroupSpec {
            group_id,
            display_name: None,
            tooltip: group.get("tooltip").and_then(Node::text).filter(|text| !text.is_empty()).map(str::to_owned),
            parent: group.get("parent_group_name").and_then(Node::text).map(str::to_owned),
            is_mapped: false,
        });
    }
}

/// The tasks in our shape, by their whole ids.
fn tasks<'s>(dag: &Node<'s>, beside: &mut Beside) -> Node<'s> {
    let Some(node) = dag.get("tasks") else { return Node::map_at(dag.at, Vec::new()) };
    let listed: Vec<(Node<'s>, Node<'s>)> = match (node.entries(), node.items()) {
        (Some(entries), _) => entries.to_vec(),
        (_, Some(items)) => items.iter().filter_map(|task| Some((task.get("task_id")?.clone(), task.clone()))).collect(),
        _ => return node.clone(),
    };
    let group_of = |task: &Node<'_>| task.get("task_group_name").and_then(Node::text).map(str::to_owned);
    let whole = |id: &str, group: Option<&str>| group.map_or_else(|| id.to_owned(), |group| format!("{group}.{id}"));
    // By the name that dependencies use: tasks, and all tasks of a group.
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (id, task) in &listed {
        let (Some(id), group) = (id.text(), group_of(task)) else { continue };
        let full = whole(id, group.as_deref());
        names.entry(id.to_owned()).or_default().push(full.clone());
        if let Some(group) = group {
            names.entry(group.clone()).or_default().push(full.clone());
            beside.group_of.insert(full, group);
        }
    }
    let needs_of = |node: &Node<'s>| -> Vec<(Place, String)> {
        let word = |node: &Node<'s>| node.text().map(|text| (node.at, text.to_owned()));
        let node = node.get("dependencies");
        node.and_then(Node::items)
            .map(|items| items.iter().filter_map(word).collect())
            .unwrap_or_else(|| node.and_then(word).into_iter().collect())
    };
    let group_needs = |group: &str| {
        dag.get("task_groups").and_then(|groups| groups.get(group).or_else(|| named(groups, group))).map(needs_of).unwrap_or_default()
    };
    let mut made = Vec::new();
    for (id, task) in &listed {
        let Some(text) = id.text() else { continue };
        let group = group_of(task);
        let full = whole(text, group.as_deref());
        let mut needs = needs_of(task);
        if let Some(group) = &group {
            needs.extend(group_needs(group));
        }
        let needs: Vec<Node<'s>> = needs
            .iter()
            .flat_map(|(at, name)| {
                names.get(name).cloned().unwrap_or_else(|| vec![name.clone()]).into_iter().map(|name| Node::text_at(*at, &name))
            })
            .collect();
        let mut entries = vec![(Node::text_at(task.at, "needs"), Node::list_at(task.at, needs))];
        let class = task.get("operator").or_else(|| task.get("decorator")).and_then(Node::text).unwrap_or_default();
        let (module, name) = class.rsplit_once('.').unwrap_or(("", class));
        let ours = task.get("expand").is_none()
            && (matches!(name, "BashOperator" | "KubernetesPodOperator" | "EmptyOperator" | "DummyOperator" | "LatestOnlyOperator")
                || is_waited_for(name, task));
        let mut arguments = BTreeMap::new();
        for (key, value) in task.entries().unwrap_or_default() {
            match key.text().map(renamed) {
                None | Some("task_id" | "task_group_name" | "dependencies") => {}
                Some("operator" | "decorator") if !ours => {}
                // Airflow's bare number is minutes here.
                Some("time_to_wait") if ours && value.text().is_some_and(|text| text.parse::<u32>().is_ok()) => {
                    let minutes = format!("{}m", value.text().unwrap_or_default());
                    entries.push((Node::text_at(key.at, "time_to_wait"), Node::text_at(value.at, &minutes)));
                }
                Some(name) if ours || OF_TASK.contains(&name) => entries.push((Node::text_at(key.at, name), resolved(value))),
                Some(name) => {
                    arguments.insert(name.to_owned(), Json::deserialize(value).unwrap_or_default());
                }
            }
        }
        if !ours {
            entries.push((Node::text_at(task.at, "operator"), Node::text_at(task.at, "empty")));
            beside.airflow.insert(full.clone(), (name.to_owned(), module.to_owned(), arguments));
        }
        made.push((Node::text_at(id.at, &full), Node::map_at(task.at, entries)));
    }
    Node::map_at(node.at, made)
}

/// Whether the scheduler does a task itself: its operator is one of those, and nothing that is said of it is for Airflow alone.
fn is_waited_for(class: &str, task: &Node<'_>) -> bool {
    let Some(operator) = waits::Class::named(class) else { return false };
    let known = |key: &str| {
        OF_TASK.contains(&key) || matches!(key, "task_id" | "task_group_name" | "dependencies" | "operator") || operator.takes(key)
    };
    task.entries().unwrap_or_default().iter().all(|(key, _)| key.text().map(renamed).is_some_and(known))
}

/// A group of a list.
fn named<'n, 's>(groups: &'n Node<'s>, name: &str) -> Option<&'n Node<'s>> {
    groups.items()?.iter().find(|group| group.get("group_name").or_else(|| group.get("group_id")).and_then(Node::text) == Some(name))
}

fn finish(dag: &mut DagSpec, beside: Beside) {
    let Beside { mut airflow, groups, group_of } = beside;
    dag.task_groups = groups;
    for task in &mut dag.tasks {
        task.task_group = group_of.get(task.task_id.as_str()).cloned();
        if let Some((class, module, arguments)) = airflow.remove(task.task_id.as_str()) {
            let reason = if class.contains("Python") || class.contains("ShortCircuit") || class.is_empty() {
                format!("{} is Python code, which YAML does not bring along", if class.is_empty() { "a decorator" } else { &class })
            } else {
                format!("{class} is Airflow's own code")
            };
            let mut run = AirflowTask { reason, arguments, expand: Vec::new() };
            if let Some(Json::Object(expand)) = run.arguments.remove("expand") {
                run.reason = format!("{class} is a mapped task");
                run.expand = expand.keys().cloned().collect();
            }
            task.run = TaskKind::Airflow(Box::new(run));
            task.operator = class;
            task.operator_module = module;
            task.template_fields = Vec::new();
        }
    }
}
