//! What can be said of templates before there is a run: text that is no Jinja, and names that no run has.

use std::sync::Arc;

use chrono::DateTime;
use minijinja::ErrorKind;
use serde_json::Value as Json;
use updraft_model::dag::PodTask;
use updraft_model::{DagSpec, Semantics, TaskKind, TaskSpec};

use super::context::Scope;
use super::{POD_TEMPLATES, RenderContext, RunFacts, engine, is_template, macros, rewrite};

/// Why a template would fail in every run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Which argument of the task.
    pub field: String,
    /// The line in it, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: &'static str,
}

/// The templates of a task that would fail in every run.
pub fn mistakes(dag: &Arc<DagSpec>, task: &TaskSpec) -> Vec<Mistake> {
    let templates = templates(task);
    if templates.is_empty() {
        return Vec::new();
    }
    let run = RunFacts::new(Arc::clone(dag), Semantics::Airflow3, "", DateTime::UNIX_EPOCH);
    let context = Scope::value(&RenderContext::new(Arc::new(run)), task);
    let mut found = Vec::new();
    for (field, text) in templates {
        let source = rewrite::sums(text);
        let mistake = |line: usize, message: String, remedy| Mistake { field: field.clone(), line, message, remedy };
        let template = match engine().template_from_str(&source) {
            Ok(template) => template,
            Err(error) => {
                let what = error.detail().unwrap_or("it is no Jinja").to_owned();
                let remedy = match error.kind() {
                    ErrorKind::SyntaxError => {
                        "mend it; what is meant for the shell and has {{ or {% or {# in it must stand in {% raw %} … {% endraw %}"
                    }
                    _ => "mend it",
                };
                found.push(mistake(error.line().unwrap_or(1), what, remedy));
                continue;
            }
        };
        let mut names: Vec<String> = template.undeclared_variables(true).into_iter().collect();
        names.sort();
        for name in names {
            let (first, rest) = name.split_once('.').unwrap_or((&name, ""));
            let second = rest.split('.').next().unwrap_or_default();
            let line = text.lines().position(|line| line.contains(if second.is_empty() { first } else { second })).map_or(1, |at| at + 1);
            if engine().globals().any(|(global, _)| global == first) || first == "caller" || first == "loop" {
                continue;
            }
            if context.get_attr(first).is_ok_and(|value| value.is_undefined()) {
                let remedy = "names of user_defined_macros are not there: put the value into the DAG file, into params or into a variable";
                found.push(mistake(line, format!("there is no {first} in the context"), remedy));
            } else if first == "macros" && !second.is_empty() && !macros::MODULES.contains(&second) && !macros::FUNCTIONS.contains(&second)
            {
                found.push(mistake(line, format!("macros.{second} is not supported"), "compute it in the task, or in the DAG file"));
            }
        }
    }
    found
}

/// Everything of a task that Jinja has to do with, by its field.
pub(super) fn templates(task: &TaskSpec) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    match &task.run {
        TaskKind::Empty | TaskKind::LatestOnly | TaskKind::Branch(_) | TaskKind::Airflow(_) => {}
        TaskKind::Wait(wait) => super::waits::of_wait(wait, &mut found),
        TaskKind::Bash { bash_command, env, cwd, .. } => {
            found.push(("bash_command".to_owned(), bash_command.as_str()));
            found.extend(env.iter().flatten().map(|(name, value)| (format!("env.{name}"), value.as_str())));
            found.extend(cwd.as_deref().map(|cwd| ("cwd".to_owned(), cwd)));
        }
        TaskKind::Python(python) => found.extend(python.templates.iter().map(|(place, text)| (place.clone(), text.as_str()))),
        TaskKind::Pod(pod) => of_pod(pod, &mut found),
    }
    found.retain(|(_, text)| is_template(text));
    found
}

fn of_pod<'a>(pod: &'a PodTask, found: &mut Vec<(String, &'a str)>) {
    for (name, value) in [("image", &pod.image), ("name", &pod.name), ("namespace", &pod.namespace)] {
        found.extend(value.as_deref().map(|value| (name.to_owned(), value)));
    }
    for (name, list) in [("cmds", &pod.cmds), ("arguments", &pod.arguments)] {
        found.extend(list.iter().enumerate().map(|(i, item)| (format!("{name}[{i}]"), item.as_str())));
    }
    for (name, map) in [("labels", &pod.labels), ("annotations", &pod.annotations)] {
        found.extend(map.iter().map(|(key, value)| (format!("{name}.{key}"), value.as_str())));
    }
    for var in &pod.env_vars {
        found.extend(var.value.as_deref().map(|value| (format!("env_vars.{}", var.name), value)));
        if let Some(from) = &var.value_from {
            of_json(&format!("env_vars.{}", var.name), from, found);
        }
    }
    if let Some(resources) = &pod.container_resources {
        of_json("container_resources", resources, found);
    }
    for (name, value) in pod.rest.iter().filter(|(name, _)| POD_TEMPLATES.contains(&name.as_str())) {
        of_json(name, value, found);
    }
}

pub(super) fn of_json<'a>(field: &str, json: &'a Json, found: &mut Vec<(String, &'a str)>) {
    match json {
        Json::String(text) => found.push((field.to_owned(), text)),
        Json::Array(items) => items.iter().enumerate().for_each(|(i, item)| of_json(&format!("{field}[{i}]"), item, found)),
        Json::Object(items) => items.iter().for_each(|(name, item)| of_json(&format!("{field}.{name}"), item, found)),
        _ => {}
    }
}
