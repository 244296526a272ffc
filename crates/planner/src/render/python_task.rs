//! What the process of a Python task is handed: the run, the rendered texts, the values of other tasks. `updraft_task/context.py` reads it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value as Json, json};
use updraft_model::dag::PythonTask;
use updraft_model::launch::PythonLaunch;
use updraft_model::{LaunchSpec, TaskSpec};

use super::context::Scope;
use super::{Error, Renderer};

/// What the runtime exits with: see `updraft_task/main.py`.
const FINAL: i32 = 198;
const SKIPPED: i32 = 199;
/// Most bytes of other tasks' values.
const MOST_XCOM: usize = 256 * 1024;

fn time(at: DateTime<Utc>) -> Json {
    Json::String(at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

impl Renderer<'_> {
    pub(super) fn python(&self, python: &PythonTask, spec: &mut LaunchSpec) -> Result<(), Error> {
        let run = &self.ctx.run;
        let templates = python.templates.iter().map(|(place, text)| Ok((place.clone(), Json::String(self.text(place, text)?))));
        let templates = Json::Object(templates.collect::<Result<Map<_, _>, Error>>()?);
        let mut dates = Map::new();
        let date = run.logical_date();
        let scope = Scope::of(self.ctx, self.task);
        for (name, at) in [
            ("logical_date", Some(date)),
            ("data_interval_start", Some(run.data_interval_start.unwrap_or(date))),
            ("data_interval_end", Some(run.data_interval_end.unwrap_or(date))),
            ("run_after", Some(run.run_after)),
            ("start_date", run.start_date),
            ("prev_execution_date", Some(scope.neighbour(false))),
            ("next_execution_date", Some(scope.neighbour(true))),
            ("prev_data_interval_start_success", run.prev_data_interval_start_success),
            ("prev_data_interval_end_success", run.prev_data_interval_end_success),
            ("prev_start_date_success", run.prev_start_date_success),
            ("prev_end_date_success", run.prev_end_date_success),
        ] {
            dates.extend(at.map(|at| (name.to_owned(), time(at))));
        }
        let mut input = json!({
            "dag_id": run.dag.dag_id,
            "task_id": self.task.task_id,
            "try_number": self.ctx.try_number,
            "max_tries": self.ctx.max_tries,
            "semantics": run.semantics.as_str(),
            "native": python.native,
            "run": {
                "run_id": run.run_id, "run_type": run.run_type, "conf": run.conf, "triggering_user": run.triggering_user,
            },
            "dates": dates,
            "params": scope.params_json(),
            "templates": templates,
        });
        self.values(&mut input)?;
        spec.python = Some(PythonLaunch { version: 0, input });
        spec.xcom = true;
        spec.skip_on_exit_code = vec![SKIPPED];
        spec.final_exit_code = vec![FINAL];
        spec.image.clone_from(&python.image);
        let mut pod = Map::new();
        for (name, value) in [("full_pod_spec", &python.full_pod_spec), ("container_resources", &python.container_resources)] {
            pod.extend(value.clone().map(|value| (name.to_owned(), value)));
        }
        spec.pod = (!pod.is_empty()).then_some(Json::Object(pod));
        Ok(())
    }

    /// The values of the run's other tasks; where they are too many, of those before this one.
    fn values(&self, input: &mut Json) -> Result<(), Error> {
        let mut by_task: BTreeMap<&str, BTreeMap<&str, &Json>> = BTreeMap::new();
        for ((task, key), value) in self.ctx.xcoms.iter() {
            by_task.entry(task).or_default().insert(key, value);
        }
        let size = |values: &BTreeMap<&str, BTreeMap<&str, &Json>>| serde_json::to_string(values).map_or(usize::MAX, |text| text.len());
        if size(&by_task) > MOST_XCOM {
            let before = self.before();
            by_task.retain(|task, _| before.contains(*task));
            let bytes = size(&by_task);
            if bytes > MOST_XCOM {
                return Err(Error::TooMuch { task: self.task.task_id.to_string(), bytes, most: MOST_XCOM });
            }
            input["xcoms_cut"] = json!(true);
            input["xcoms_of"] = json!(before);
        }
        input["xcoms"] = json!(by_task);
        Ok(())
    }

    /// Ids of all tasks before this one.
    fn before(&self) -> BTreeSet<&str> {
        let tasks: BTreeMap<&str, &TaskSpec> = self.ctx.run.dag.tasks.iter().map(|task| (task.task_id.as_str(), task)).collect();
        let mut found = BTreeSet::new();
        let mut open = VecDeque::from([self.task.task_id.as_str()]);
        while let Some(id) = open.pop_front() {
            let Some(task) = tasks.get(id).copied() else { continue };
            for up in &task.upstream {
                if found.insert(up.as_str()) {
                    open.push_back(up.as_str());
                }
            }
        }
        found
    }
}
