//! Templates as Airflow's own Jinja renders them: `tests/airflow/template_facts.json` is its answer, `make test-airflow` asks again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use updraft_model::{DagSpec, Semantics, TaskSpec};
use updraft_planner::render::{Error, RenderContext, RunFacts, Settings, render};

#[derive(Deserialize)]
struct Facts {
    context: Json,
    facts: Vec<Fact>,
    /// Where we mean to differ: a text of ours, or a part of our error, by the template.
    ours: BTreeMap<String, Ours>,
}

#[derive(Deserialize)]
struct Fact {
    about: String,
    template: String,
    text: Option<String>,
    error: Option<String>,
    line: Option<usize>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Ours {
    text: Option<String>,
    error: Option<String>,
}

fn facts() -> Facts {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/airflow/template_facts.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn at(json: &Json) -> Option<DateTime<Utc>> {
    json.as_str().map(|text| text.parse().unwrap())
}

/// The same context that the other side had.
fn context(facts: &Json) -> RenderContext {
    let (dag, run) = (&facts["dag"], &facts["run"]);
    let params = |of: &Json| -> Json {
        of.as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), json!({"value": value})))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let others = facts["task"]["upstream"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| json!({"task_id": id, "owner": facts["task"]["owner"], "run": {"kind": "empty"}}));
    let spec: DagSpec = serde_json::from_value(json!({
        "dag_id": dag["dag_id"], "description": dag["description"], "start_date": dag["start_date"], "tags": dag["tags"],
        "schedule": {"kind": "cron", "expressions": [dag["schedule"]]}, "max_active_runs": dag["max_active_runs"],
        "params": params(&dag["params"]), "tasks": others.chain([task_json(facts, "true")]).collect::<Vec<_>>(),
    }))
    .unwrap();
    let mut made = RunFacts::new(Arc::new(spec), Semantics::Airflow3, run["run_id"].as_str().unwrap(), at(&run["run_after"]).unwrap());
    made.run_type = run["run_type"].as_str().unwrap().to_owned();
    made.logical_date = at(&run["logical_date"]);
    made.data_interval_start = at(&run["data_interval_start"]);
    made.data_interval_end = at(&run["data_interval_end"]);
    made.start_date = at(&run["start_date"]);
    made.conf = run["conf"].clone();
    made.triggering_user = run["user"].as_str().map(str::to_owned);
    made.prev_data_interval_start_success = at(&run["previous"]["data_interval_start"]);
    made.prev_data_interval_end_success = at(&run["previous"]["data_interval_end"]);
    made.prev_start_date_success = at(&run["previous"]["start_date"]);
    made.prev_end_date_success = at(&run["previous"]["end_date"]);
    let mut ctx = RenderContext::new(Arc::new(made));
    ctx.try_number = serde_json::from_value(facts["try_number"].clone()).unwrap();
    ctx.max_tries = serde_json::from_value(facts["max_tries"].clone()).unwrap();
    ctx.settings = Arc::new(Settings {
        variables: serde_json::from_value(facts["variables"].clone()).unwrap(),
        connections: serde_json::from_value(facts["connections"].clone()).unwrap(),
        ..Settings::default()
    });
    let xcoms: Vec<(String, String, Json)> = serde_json::from_value(facts["xcoms"].clone()).unwrap();
    ctx.xcoms = Arc::new(xcoms.into_iter().map(|(task, key, value)| ((task, key), value)).collect());
    ctx
}

fn task_json(facts: &Json, command: &str) -> Json {
    let task = &facts["task"];
    json!({
        "task_id": task["task_id"], "operator": "BashOperator", "upstream": task["upstream"], "retries": task["retries"], "pool": task["pool"],
        "pool_slots": task["pool_slots"], "queue": task["queue"], "owner": task["owner"], "priority_weight": task["priority_weight"],
        "retry_delay_ms": task["retry_delay_seconds"].as_i64().unwrap() * 1000,
        "params": {"of_task": {"value": task["params"]["of_task"]}},
        "run": {"kind": "bash", "bash_command": command},
    })
}

#[test]
fn templates_give_what_airflow_gives() {
    let Facts { context: data, facts, mut ours } = facts();
    let ctx = context(&data);
    let mut wrong = String::new();
    let mut same = 0;
    for fact in &facts {
        let task: TaskSpec = serde_json::from_value(task_json(&data, &fact.template)).unwrap();
        let found = render(&ctx, &task).map(|spec| spec.argv[2].clone());
        let meant = ours.remove(&fact.template);
        let problem = match (&found, &meant) {
            (Ok(text), Some(Ours { text: Some(expect), .. })) if text == expect && fact.text.as_ref() != Some(text) => None,
            (Err(error), Some(Ours { error: Some(part), .. })) if error.to_string().contains(part) && fact.text.is_some() => None,
            (_, Some(_)) => Some("is listed as a difference and is another one, or none".to_owned()),
            (Ok(text), None) if fact.text.as_ref() == Some(text) => None,
            (Err(error), None) if fact.error.is_some() => of_error(error, fact),
            (_, None) => Some("differs".to_owned()),
        };
        match problem {
            None => same += 1,
            Some(problem) => {
                let theirs = fact
                    .text
                    .as_ref()
                    .map_or_else(|| format!("{:?} {:?} line {:?}", fact.error, fact.name, fact.line), |t| format!("{t:?}"));
                let found = found.map_or_else(|error| format!("error: {error}"), |text| format!("{text:?}"));
                let _ = write!(wrong, "\n{} {:?} {problem}\n  Airflow {theirs}\n  ours    {found}", fact.about, fact.template);
            }
        }
    }
    assert!(wrong.is_empty(), "{same} of {} are the same{wrong}", facts.len());
    assert!(ours.is_empty(), "differences of templates that are not asked for: {:?}", ours.keys());
    assert!(facts.len() >= 300);
}

/// What is wrong with an error of ours where Airflow has one, too: the place or the name.
fn of_error(error: &Error, fact: &Fact) -> Option<String> {
    let Error::Template { line, message, .. } = error else { return Some("is an error without a place".to_owned()) };
    if fact.line.is_some_and(|expect| expect != *line) {
        return Some("has another line".to_owned());
    }
    let name = fact.name.as_ref()?;
    (!message.contains(name.as_str())).then(|| "has no name".to_owned())
}
