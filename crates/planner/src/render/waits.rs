//! The templates of a task that the scheduler waits for itself.

use serde_json::Value as Json;
use updraft_model::TaskSpec;
use updraft_model::dag::native::{ExternalTasks, TriggerRun, WaitFor, WaitTask};

use super::mistakes::of_json;
use super::{Error, RenderContext, Renderer};

/// What the task waits for, with its templates rendered. None: it is no such task.
pub fn render_wait(ctx: &RenderContext, task: &TaskSpec) -> Result<Option<WaitFor>, Error> {
    let Some(wait) = task.waits() else { return Ok(None) };
    let renderer = Renderer::new(ctx, task);
    let text = |field: &str, source: &String| renderer.text(field, source);
    let maybe = |field: &str, source: &Option<String>| source.as_ref().map(|source| text(field, source)).transpose();
    Ok(Some(match &wait.what {
        WaitFor::Moment { target_time } => WaitFor::Moment { target_time: text("target_time", target_time)? },
        WaitFor::External(external) => WaitFor::External(ExternalTasks {
            external_dag_id: text("external_dag_id", &external.external_dag_id)?,
            external_task_ids: renderer.list("external_task_ids", &external.external_task_ids)?,
            external_task_group_id: maybe("external_task_group_id", &external.external_task_group_id)?,
            ..external.clone()
        }),
        WaitFor::Run(run) => WaitFor::Run(TriggerRun {
            trigger_dag_id: text("trigger_dag_id", &run.trigger_dag_id)?,
            trigger_run_id: maybe("trigger_run_id", &run.trigger_run_id)?,
            logical_date: maybe("logical_date", &run.logical_date)?,
            run_after: maybe("run_after", &run.run_after)?,
            conf: renderer.json("conf", &run.conf)?,
            ..run.clone()
        }),
        other => other.clone(),
    }))
}

/// What of it may be a template, by its field.
pub(super) fn of_wait<'a>(wait: &'a WaitTask, found: &mut Vec<(String, &'a str)>) {
    match &wait.what {
        WaitFor::Moment { target_time } => found.push(("target_time".to_owned(), target_time.as_str())),
        WaitFor::External(external) => {
            found.push(("external_dag_id".to_owned(), external.external_dag_id.as_str()));
            found.extend(external.external_task_ids.iter().enumerate().map(|(i, id)| (format!("external_task_ids[{i}]"), id.as_str())));
            found.extend(external.external_task_group_id.as_deref().map(|id| ("external_task_group_id".to_owned(), id)));
        }
        WaitFor::Run(run) => {
            found.push(("trigger_dag_id".to_owned(), run.trigger_dag_id.as_str()));
            for (name, value) in
                [("trigger_run_id", &run.trigger_run_id), ("logical_date", &run.logical_date), ("run_after", &run.run_after)]
            {
                found.extend(value.as_deref().map(|value| (name.to_owned(), value)));
            }
            of_json("conf", &run.conf, found);
        }
        WaitFor::TimeOfDay { .. } | WaitFor::Delta { .. } | WaitFor::Duration { .. } | WaitFor::Weekday { .. } => {}
    }
}

/// What a run is given: an object, or the JSON of one.
pub fn conf_of(conf: Json) -> Result<Json, String> {
    let conf = match conf {
        Json::String(text) if text.trim().is_empty() => Json::Null,
        Json::String(text) => serde_json::from_str(&text).map_err(|error| format!("conf is {text:?}, which is no JSON: {error}"))?,
        other => other,
    };
    match conf {
        Json::Null => Ok(Json::Object(serde_json::Map::new())),
        Json::Object(_) => Ok(conf),
        other => Err(format!("conf is {other}, and a run takes an object")),
    }
}
