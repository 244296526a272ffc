//! `tasks render`: a task's templates as they became in a run, or with `--dags`, without a server, the pod that a task would be.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::Args;
use serde_json::{Value, json};
use updraft_dagfile::loader::Loader;
use updraft_dagfile::python::Snapshot;
use updraft_dagfile::{Filter, IgnoreSyntax};
use updraft_model::{DagSpec, Semantics};
use updraft_planner::render::{RenderContext, RunFacts, render};
use updraft_planner::timetable::Timetable;

use super::http::Failure;
use super::output::{Format, Output, yaml};
use super::tasks::One;

/// Options of `tasks render`.
#[derive(Debug, Args)]
pub(crate) struct Render {
    /// The DAG.
    dag: String,
    /// The task.
    task: String,
    /// The run, its date, or `latest`.
    #[arg(required_unless_present = "dags", conflicts_with = "dags")]
    run: Option<String>,
    /// Which instance of a mapped task.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true, hide_default_value = true)]
    map_index: i32,
    /// Asks no server: reads the DAG from this folder or file, and prints the pod that the task would be.
    #[arg(long, value_name = "PATH")]
    dags: Option<PathBuf>,
    /// The run's date, with --dags. Default: now.
    #[arg(long, requires = "dags", value_name = "DATE")]
    date: Option<String>,
    /// What the run would be triggered with, as a JSON object, with --dags.
    #[arg(long, requires = "dags", value_name = "JSON")]
    conf: Option<String>,
    /// The namespace of a pod whose task names none, with --dags.
    #[arg(long, requires = "dags", default_value = "default", value_name = "NAME")]
    namespace: String,
    /// The image of a task that names none, with --dags.
    #[arg(long, requires = "dags", value_name = "IMAGE")]
    pod_default_image: Option<String>,
    /// The installation's pod policy, with --dags.
    #[arg(long, requires = "dags", value_name = "FILE")]
    pod_policy: Option<PathBuf>,
    /// Which Airflow's meaning files have that do not say, with --dags.
    #[arg(long, requires = "dags", default_value = "3", value_name = "2|3")]
    airflow_semantics: Semantics,
    /// The Python that reads DAG files, with --dags. Default: python3 of PATH.
    #[arg(long, requires = "dags", value_name = "FILE")]
    dag_python: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

impl Render {
    /// Whether no server is asked.
    pub(crate) fn is_local(&self) -> bool {
        self.dags.is_some()
    }

    /// What to ask the server for.
    pub(crate) fn of_run(self) -> One {
        One { dag: self.dag, task: self.task, run: self.run.unwrap_or_default(), map_index: self.map_index, output: self.output }
    }
}

/// Prints the pod that a task of a file would be.
pub(crate) async fn local(options: &Render) -> Result<ExitCode, Failure> {
    let dag = read(options).await?;
    let Some(task) = dag.tasks.iter().find(|task| task.task_id.as_str() == options.task) else {
        let known: Vec<&str> = dag.tasks.iter().map(|task| task.task_id.as_str()).collect();
        return Err(Failure::new(3, format!("DAG {} has no task {}; it has {}", options.dag, options.task, known.join(", "))));
    };
    if task.is_knot() || task.waits().is_some() {
        return Err(Failure::new(1, format!("{} is a task that the scheduler does itself: nothing is started for it", options.task)));
    }
    let run = facts(options, Arc::clone(&dag))?;
    let launch = render(&RenderContext::new(Arc::new(run)), task).map_err(|error| Failure::new(1, error.to_string()))?;
    if launch.python.is_some() {
        let why =
            "is Python code: its pod is made by a worker, which adds the code to it; ask a server for what it was handed (without --dags)";
        return Err(Failure::new(1, format!("{} {why}", options.task)));
    }
    let mut config = updraft_kubernetes::Config::new(uuid::Uuid::nil());
    config.default_image.clone_from(&options.pod_default_image);
    if let Some(file) = &options.pod_policy {
        config.policy = crate::settings::read_pod_policy(file).map_err(Failure::usage)?;
    }
    // Which namespaces are open to tasks is the workers' to say.
    config.allowed_namespaces.extend(launch.pod.as_ref().and_then(|pod| pod["namespace"].as_str()).map(str::to_owned));
    let pod = updraft_kubernetes::preview(&config, &options.namespace, &launch).map_err(|mistake| Failure::new(1, mistake))?;
    Ok(match options.output.output {
        Format::Json => crate::print(&format!("{pod:#}\n")),
        Format::Name => crate::print(&format!("{}\n", pod["metadata"]["name"].as_str().unwrap_or_default())),
        Format::Table | Format::Wide | Format::Yaml => crate::print(&yaml(&pod)),
    })
}

async fn read(options: &Render) -> Result<Arc<DagSpec>, Failure> {
    let named = options.dags.clone().unwrap_or_default();
    let path = std::path::absolute(&named).unwrap_or_else(|_| named.clone());
    let failed = |error: &dyn std::fmt::Display| Failure::new(1, format!("cannot read {}: {error}", named.display()));
    let (root, filter) = match (path.is_file(), path.parent(), path.file_name().and_then(|name| name.to_str())) {
        (true, Some(folder), Some(name)) => (folder.to_owned(), Filter::new(&[format!("/{name}")], &[]).map_err(|why| failed(&why))?),
        _ => (path, Filter::default()),
    };
    let processor = crate::check::reader(options.dag_python.clone(), Duration::from_secs(30)).map_err(|error| failed(&error))?;
    let mut loader = Loader::new(Some(processor), IgnoreSyntax::default()).filtered(filter);
    let changes = loader.refresh(&root, &Snapshot::default()).await.map_err(|error| failed(&error))?;
    let mut errors = Vec::new();
    for file in &changes.files {
        if let Some(dag) = file.dags.iter().find(|dag| dag.dag_id.as_str() == options.dag) {
            return Ok(Arc::clone(dag));
        }
        errors.extend(file.errors.iter().map(ToString::to_string));
    }
    let none = format!("there is no DAG {} in {}", options.dag, named.display());
    Err(Failure::new(
        3,
        errors.first().map_or_else(|| none.clone(), |error| format!("{none}; of {} with a mistake the first is\n{error}", errors.len())),
    ))
}

fn facts(options: &Render, dag: Arc<DagSpec>) -> Result<RunFacts, Failure> {
    let at = match options.date.as_deref() {
        None => Utc::now(),
        Some(text) => DateTime::parse_from_rfc3339(text)
            .map(|at| at.with_timezone(&Utc))
            .or_else(|_| text.parse::<NaiveDate>().map(|day| day.and_time(NaiveTime::MIN).and_utc()))
            .map_err(|_| Failure::usage(format!("--date {text:?} is no date such as 2026-01-31 or 2026-01-31T06:00:00Z")))?,
    };
    let conf: Value = match &options.conf {
        None => Value::Null,
        Some(text) => serde_json::from_str(text)
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| Failure::usage(format!("--conf {text:?} is no JSON object such as {}", json!({"day": "2026-01-31"}))))?,
    };
    let semantics = dag.semantics.unwrap_or(options.airflow_semantics);
    let interval = Timetable::new(&dag.schedule, &dag.timezone, semantics).map(|table| table.manual_interval(at)).unwrap_or((at, at));
    let mut run = RunFacts::new(dag, semantics, format!("manual__{}", at.to_rfc3339()), at);
    run.logical_date = Some(at);
    (run.data_interval_start, run.data_interval_end) = (Some(interval.0), Some(interval.1));
    run.conf = conf;
    Ok(run)
}
