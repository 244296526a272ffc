//! From a task to what a runner starts: templates rendered, nothing left to decide.
//!
//! The scheduler calls [`render`] at admission, with the XComs loaded only for a task that [`uses_xcom`]. Templates are Jinja with Airflow's
//! context, strictly: a name that does not exist is an error that says which. No template reads a clock, draws a random number
//! (`macros.uuid` and `macros.random` are derived from the attempt) or runs for long (it has fuel). A text without `{{`, `{%` or `{#`
//! never meets the engine.
//!
//! Rendered, as Airflow does: of a bash task the command, the environment and the folder; of a pod the fields of [`POD_TEMPLATES`].

mod arithmetic;
mod context;
mod filters;
mod json;
mod macros;
mod mistakes;
mod moment;
mod python;
mod python_task;
mod quantity;
mod rewrite;
mod span;
mod waits;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};
use serde_json::{Map, Value as Json};
use updraft_model::dag::{EnvVar, PodTask};
use updraft_model::{DagSpec, LaunchSpec, Semantics, TaskKind, TaskSpec};

pub use mistakes::{Mistake, mistakes};
pub use quantity::{InvalidQuantity, bytes_of};
pub use waits::{conf_of, render_wait};

/// Arguments of a pod, beside the fields of [`PodTask`], that are templates.
pub const POD_TEMPLATES: &[&str] = &[
    "kubernetes_conn_id",
    "env_from",
    "configmaps",
    "volumes",
    "volume_mounts",
    "config_file",
    "cluster_context",
    "base_container_name",
    "node_selector",
    "hostname",
    "pod_template_file",
    "pod_template_dict",
    "trigger_kwargs",
];

/// Instructions that one template may take: some tens of milliseconds.
const FUEL: u64 = 2_000_000;

/// Why a task cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message says what each part is")]
pub enum Error {
    /// A template fails.
    #[error("task {task}, {field}, line {line}: {message}{}{help}", if .help.is_empty() { "" } else { "; " })]
    Template { task: String, field: String, line: usize, message: String, help: &'static str },
    /// A template that would write out a secret.
    #[error(
        "task {task}, {field}: {name} is secret, and what is rendered can be read by everybody who may see the task or its pod; keep it in a \
         Kubernetes Secret and name that in env_from, env_vars (valueFrom) or secrets, or read it in the task's own code"
    )]
    Secret { task: String, field: String, name: String },
    /// A variable or connection that is there and cannot be read.
    #[error("task {task}, {field}: {why}")]
    Unreadable { task: String, field: String, why: String },
    /// A command that Airflow would take for the name of a file.
    #[error(
        "task {task}, bash_command: {command:?} ends in {extension}, so it names a template file, which is not supported yet; to run it as a command, put a space after it"
    )]
    TemplateFile { task: String, command: String, extension: &'static str },
    /// A memory limit that is none.
    #[error("task {task}, container_resources.limits.memory: {why}")]
    Memory { task: String, why: InvalidQuantity },
    /// An operator of Airflow's.
    #[error(
        "task {task} needs an image with Airflow: {reason}; put its work into an image of its own and run that with KubernetesPodOperator"
    )]
    Airflow { task: String, reason: String },
    /// More values than a process can be handed.
    #[error(
        "task {task}: the values of the tasks before it (XCom) are {bytes} bytes, and a Python task is handed at most {most}: store large values \
         elsewhere, and return where they are"
    )]
    TooMuch { task: String, bytes: usize, most: usize },
    /// Nothing to start.
    #[error("task {task} is done by the scheduler itself: nothing is started for it")]
    Empty { task: String },
}

/// What is the same for every task of a run.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// The DAG, in the version of the run.
    pub dag: Arc<DagSpec>,
    /// Which Airflow it was written for: how a time is printed.
    pub semantics: Semantics,
    /// The run id as users know it.
    pub run_id: String,
    /// `scheduled`, `manual`, `backfill` …
    pub run_type: String,
    /// Absent on some manual runs; templates then see `run_after`.
    pub logical_date: Option<DateTime<Utc>>,
    /// Start of the time that it covers.
    pub data_interval_start: Option<DateTime<Utc>>,
    /// End of the time that it covers.
    pub data_interval_end: Option<DateTime<Utc>>,
    /// When it could start.
    pub run_after: DateTime<Utc>,
    /// When it started.
    pub start_date: Option<DateTime<Utc>>,
    /// What it was triggered with: an object, or null.
    pub conf: Json,
    /// Who triggered it.
    pub triggering_user: Option<String>,
    /// Of the last run before it that ended well.
    pub prev_data_interval_start_success: Option<DateTime<Utc>>,
    /// Of the last run before it that ended well.
    pub prev_data_interval_end_success: Option<DateTime<Utc>>,
    /// Of the last run before it that ended well.
    pub prev_start_date_success: Option<DateTime<Utc>>,
    /// Of the last run before it that ended well.
    pub prev_end_date_success: Option<DateTime<Utc>>,
}

impl RunFacts {
    /// The facts of a run that was made at `run_after`, everything optional left out.
    pub fn new(dag: Arc<DagSpec>, semantics: Semantics, run_id: impl Into<String>, run_after: DateTime<Utc>) -> Self {
        Self {
            dag,
            semantics,
            run_id: run_id.into(),
            run_type: "manual".to_owned(),
            logical_date: None,
            data_interval_start: None,
            data_interval_end: None,
            run_after,
            start_date: None,
            conf: Json::Null,
            triggering_user: None,
            prev_data_interval_start_success: None,
            prev_data_interval_end_success: None,
            prev_start_date_success: None,
            prev_end_date_success: None,
        }
    }

    /// The date that templates see: always there.
    pub fn logical_date(&self) -> DateTime<Utc> {
        self.logical_date.unwrap_or(self.run_after)
    }
}

/// What a task is rendered with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RenderContext {
    /// The run.
    pub run: Arc<RunFacts>,
    /// Which try this is, 1 for the first.
    pub try_number: i32,
    /// How many there may be beyond the first.
    pub max_tries: i32,
    /// Which of the instances of a mapped task; -1: not mapped.
    pub map_index: i32,
    /// Values that tasks of the run have left, by task id and key. May be empty unless the task [`uses_xcom`].
    pub xcoms: Arc<BTreeMap<(String, String), Json>>,
    /// Variables and connections. May be empty unless the task [`uses_settings`].
    pub settings: Arc<Settings>,
}

/// What the installation keeps for templates, in the order in which it is asked: folder, environment, database.
///
/// A template that reads what is secret by its name ([`updraft_model::redact`]) is an error: its text would stand in Postgres, in the pod and
/// wherever the pod is shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Of the folder that secrets are mounted in.
    pub folder: Arc<Outside>,
    /// Of the environment of the scheduler, by name in capitals.
    pub environment: Arc<Outside>,
    /// Variables of the database by key.
    pub variables: BTreeMap<String, String>,
    /// Connections of the database by id: objects with `conn_type`, `host`, `login`, `password`, `port`, `schema`, `extra`. Of a password it is
    /// enough to say that there is one.
    pub connections: BTreeMap<String, Json>,
}

/// Values from elsewhere than the database; in the place of each that cannot be read, why.
#[derive(Clone, Default, PartialEq)]
pub struct Outside {
    /// Variables by key.
    pub variables: BTreeMap<String, Result<String, String>>,
    /// Connections by id, as in [`Settings`].
    pub connections: BTreeMap<String, Result<Json, String>>,
    /// Why nothing is known of what else there may be. No value that is asked for after this can be trusted then.
    pub unreadable: Option<String>,
}

// By hand: these are secrets.
impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Outside");
        shown.field("variables", &self.variables.len()).field("connections", &self.connections.len());
        shown.field("unreadable", &self.unreadable).finish()
    }
}

impl Outside {
    /// What is wrong with it, all of it.
    pub fn mistakes(&self) -> impl Iterator<Item = &String> {
        let variables = self.variables.values().filter_map(|value| value.as_ref().err());
        let connections = self.connections.values().filter_map(|value| value.as_ref().err());
        self.unreadable.iter().chain(variables).chain(connections)
    }
}

impl Settings {
    /// A variable, or why it cannot be read. None: there is none.
    fn variable(&self, key: &str) -> Option<Result<&str, &str>> {
        let outside = self.asked(key, |outside| &outside.variables);
        outside.map(|found| found.map(String::as_str)).or_else(|| self.variables.get(key).map(|value| Ok(value.as_str())))
    }

    /// A connection, or why it cannot be read. None: there is none.
    fn connection(&self, id: &str) -> Option<Result<&Json, &str>> {
        self.asked(id, |outside| &outside.connections).or_else(|| self.connections.get(id).map(Ok))
    }

    fn asked<T>(&self, name: &str, of: fn(&Outside) -> &BTreeMap<String, Result<T, String>>) -> Option<Result<&T, &str>> {
        let capitals = name.to_uppercase();
        for (outside, name) in [(&self.folder, name), (&self.environment, capitals.as_str())] {
            if let Some(found) = of(outside).get(name) {
                return Some(found.as_ref().map_err(String::as_str));
            }
            if let Some(why) = &outside.unreadable {
                return Some(Err(why));
            }
        }
        None
    }
}

impl RenderContext {
    /// The first try of a task that is not mapped and reads no XComs, variables or connections.
    pub fn new(run: Arc<RunFacts>) -> Self {
        Self { run, try_number: 1, max_tries: 0, map_index: -1, xcoms: Arc::default(), settings: Arc::default() }
    }
}

/// Renders a task. An empty task is an error: nothing of it is ever started.
pub fn render(ctx: &RenderContext, task: &TaskSpec) -> Result<LaunchSpec, Error> {
    let renderer = Renderer::new(ctx, task);
    let mut spec = LaunchSpec {
        dag_id: ctx.run.dag.dag_id.to_string(),
        run_id: ctx.run.run_id.clone(),
        task_id: task.task_id.to_string(),
        try_number: ctx.try_number,
        queue: task.queue.clone(),
        timeout_ms: task.execution_timeout_ms,
        ..LaunchSpec::default()
    };
    match &task.run {
        TaskKind::Empty | TaskKind::LatestOnly | TaskKind::Branch(_) | TaskKind::Wait(_) => {
            return Err(Error::Empty { task: task.task_id.to_string() });
        }
        TaskKind::Bash { bash_command, env, append_env, cwd, skip_on_exit_code } => {
            if let Some(extension) = [".sh", ".bash"].into_iter().find(|extension| bash_command.ends_with(extension)) {
                return Err(Error::TemplateFile { task: spec.task_id, command: bash_command.clone(), extension });
            }
            spec.argv = vec!["bash".to_owned(), "-c".to_owned(), renderer.text("bash_command", bash_command)?];
            spec.entrypoint_length = spec.argv.len();
            for (name, value) in env.iter().flatten() {
                spec.env.insert(name.clone(), renderer.text(&format!("env.{name}"), value)?);
            }
            spec.clear_env = env.is_some() && !append_env;
            spec.cwd = cwd.as_ref().map(|cwd| renderer.text("cwd", cwd)).transpose()?;
            spec.skip_on_exit_code.clone_from(skip_on_exit_code);
        }
        TaskKind::Python(python) => renderer.python(python, &mut spec)?,
        TaskKind::Pod(pod) => renderer.pod(pod, &mut spec)?,
        TaskKind::Airflow(what) => return Err(Error::Airflow { task: spec.task_id, reason: what.reason.clone() }),
    }
    // As in Airflow, the context wins over what the task says.
    context_variables(ctx, task, &mut spec.env);
    Ok(spec)
}

/// Whether the task may read an XCom while it is rendered.
pub fn uses_xcom(task: &TaskSpec) -> bool {
    // The code of a task asks as it runs.
    matches!(task.run, TaskKind::Python(_)) || mentions(task, &["xcom"])
}

/// Whether the task may read a variable or a connection while it is rendered.
pub fn uses_settings(task: &TaskSpec) -> bool {
    matches!(task.run, TaskKind::Python(_)) || mentions(task, &["var", "conn"])
}

/// Whether a template of the task has one of the words.
fn mentions(task: &TaskSpec, words: &[&str]) -> bool {
    mistakes::templates(task).iter().any(|(_, text)| words.iter().any(|word| text.contains(word)))
}

fn context_variables(ctx: &RenderContext, task: &TaskSpec, env: &mut BTreeMap<String, String>) {
    let run = &ctx.run;
    let date = moment::Moment::utc(run.logical_date(), 'T').iso('T');
    let try_number = ctx.try_number.to_string();
    for (airflow, updraft, value) in [
        ("AIRFLOW_CTX_DAG_ID", "UPDRAFT_DAG_ID", run.dag.dag_id.as_str()),
        ("AIRFLOW_CTX_TASK_ID", "UPDRAFT_TASK_ID", task.task_id.as_str()),
        ("AIRFLOW_CTX_DAG_RUN_ID", "UPDRAFT_RUN_ID", &run.run_id),
        ("AIRFLOW_CTX_TRY_NUMBER", "UPDRAFT_TRY_NUMBER", &try_number),
        ("AIRFLOW_CTX_LOGICAL_DATE", "UPDRAFT_LOGICAL_DATE", &date),
        ("AIRFLOW_CTX_EXECUTION_DATE", "UPDRAFT_EXECUTION_DATE", &date),
        ("AIRFLOW_CTX_DAG_OWNER", "UPDRAFT_DAG_OWNER", &task.owner),
    ] {
        env.insert(airflow.to_owned(), value.to_owned());
        env.insert(updraft.to_owned(), value.to_owned());
    }
}

struct Renderer<'a> {
    ctx: &'a RenderContext,
    task: &'a TaskSpec,
    /// Made for the first template.
    scope: OnceCell<Value>,
}

impl<'a> Renderer<'a> {
    const fn new(ctx: &'a RenderContext, task: &'a TaskSpec) -> Self {
        Self { ctx, task, scope: OnceCell::new() }
    }

    fn text(&self, field: &str, source: &str) -> Result<String, Error> {
        if !is_template(source) {
            // Jinja takes one line break off the end.
            return Ok(source.strip_suffix('\n').map_or(source, |s| s.strip_suffix('\r').unwrap_or(s)).to_owned());
        }
        // Jinja knows one kind of line break.
        let source =
            if source.contains('\r') { Cow::Owned(source.replace("\r\n", "\n").replace('\r', "\n")) } else { Cow::Borrowed(source) };
        let scope = self.scope.get_or_init(|| context::Scope::value(self.ctx, self.task)).clone();
        let rewritten = rewrite::sums(&source);
        let rendered = engine().render_str(&rewritten, scope.clone());
        // Whatever became of the text: it is thrown away, and this is why.
        let (task, field_name) = (self.task.task_id.to_string(), field.to_owned());
        match scope.downcast_object_ref::<context::Part>().and_then(context::Part::stopped) {
            None => rendered.map_err(|error| self.failed(field, &error)),
            Some(context::Stop::Secret(name)) => Err(Error::Secret { task, field: field_name, name }),
            Some(context::Stop::Unreadable(why)) => Err(Error::Unreadable { task, field: field_name, why }),
        }
    }

    fn failed(&self, field: &str, error: &minijinja::Error) -> Error {
        let mut message = match (error.kind(), error.detail()) {
            (ErrorKind::UndefinedError, Some(detail)) => detail.replace('`', "'"),
            (ErrorKind::InvalidOperation, Some(detail)) => detail.to_owned(),
            (kind, Some(detail)) => format!("{kind}: {detail}"),
            (kind, None) => kind.to_string(),
        };
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        let message = arithmetic::as_written(&message);
        let help = match error.kind() {
            ErrorKind::UndefinedError if message.contains("var.") => "create the variable, or write var.value.get('name', 'default')",
            ErrorKind::UndefinedError if message.contains("conn.") => "create the connection",
            ErrorKind::UndefinedError if message.contains("params.") || message.contains("conf") => {
                "give it a default in params, trigger the run with it, or write | default('…')"
            }
            ErrorKind::UndefinedError => "check the name, or write | default('…')",
            ErrorKind::SyntaxError => "bash's own ${#x} and {% must stand in {% raw %} … {% endraw %}",
            ErrorKind::OutOfFuel => "the template runs for too long: do the work in the task",
            _ => "",
        };
        Error::Template { task: self.task.task_id.to_string(), field: field.to_owned(), line: error.line().unwrap_or(1), message, help }
    }

    fn list(&self, field: &str, items: &[String]) -> Result<Vec<String>, Error> {
        items.iter().enumerate().map(|(i, item)| self.text(&format!("{field}[{i}]"), item)).collect()
    }

    fn map(&self, field: &str, items: &BTreeMap<String, String>) -> Result<Json, Error> {
        let items = items.iter().map(|(name, value)| Ok((name.clone(), Json::String(self.text(&format!("{field}.{name}"), value)?))));
        Ok(Json::Object(items.collect::<Result<Map<_, _>, Error>>()?))
    }

    fn json(&self, field: &str, json: &Json) -> Result<Json, Error> {
        Ok(match json {
            Json::String(text) => Json::String(self.text(field, text)?),
            Json::Array(items) => {
                Json::Array(items.iter().enumerate().map(|(i, item)| self.json(&format!("{field}[{i}]"), item)).collect::<Result<_, _>>()?)
            }
            Json::Object(items) => {
                let items = items.iter().map(|(name, item)| Ok((name.clone(), self.json(&format!("{field}.{name}"), item)?)));
                Json::Object(items.collect::<Result<_, Error>>()?)
            }
            plain => plain.clone(),
        })
    }

    fn pod(&self, pod: &PodTask, spec: &mut LaunchSpec) -> Result<(), Error> {
        spec.argv = self.list("cmds", &pod.cmds)?;
        spec.entrypoint_length = spec.argv.len();
        spec.argv.extend(self.list("arguments", &pod.arguments)?);
        spec.image = pod.image.as_ref().map(|image| self.text("image", image)).transpose()?;
        spec.xcom = pod.do_xcom_push;
        spec.skip_on_exit_code.clone_from(&pod.skip_on_exit_code);
        let mut rest = Map::new();
        let mut from = Vec::new();
        for EnvVar { name, value, value_from } in &pod.env_vars {
            match value_from {
                Some(source) => from.push(serde_json::json!({"name": name, "valueFrom": self.json(&format!("env_vars.{name}"), source)?})),
                None => {
                    let value = value.as_deref().unwrap_or_default();
                    spec.env.insert(name.clone(), self.text(&format!("env_vars.{name}"), value)?);
                }
            }
        }
        if !from.is_empty() {
            rest.insert("env_vars".to_owned(), Json::Array(from));
        }
        // `$(NAME)` in a variable sees those before it: the map above has lost the order.
        if pod.env_vars.len() > 1 {
            rest.insert("env_order".to_owned(), pod.env_vars.iter().map(|one| Json::String(one.name.clone())).collect());
        }
        for (name, value) in [("name", &pod.name), ("namespace", &pod.namespace)] {
            if let Some(value) = value {
                rest.insert(name.to_owned(), Json::String(self.text(name, value)?));
            }
        }
        for (name, value) in [("labels", &pod.labels), ("annotations", &pod.annotations)] {
            if !value.is_empty() {
                rest.insert(name.to_owned(), self.map(name, value)?);
            }
        }
        if let Some(resources) = &pod.container_resources {
            let resources = self.json("container_resources", resources)?;
            spec.memory_limit = match resources.pointer("/limits/memory") {
                Some(memory) if !memory.is_null() => {
                    let text = memory.as_str().map_or_else(|| Cow::Owned(memory.to_string()), Cow::Borrowed);
                    Some(bytes_of(&text).map_err(|why| Error::Memory { task: spec.task_id.clone(), why })?)
                }
                _ => None,
            };
            rest.insert("container_resources".to_owned(), resources);
        }
        rest.insert("on_finish_action".to_owned(), serde_json::to_value(pod.on_finish_action).unwrap_or_default());
        for (name, value) in &pod.rest {
            let value = if POD_TEMPLATES.contains(&name.as_str()) { self.json(name, value)? } else { value.clone() };
            rest.insert(name.clone(), value);
        }
        spec.pod = Some(Json::Object(rest));
        Ok(())
    }
}

/// Whether Jinja has anything to do.
fn is_template(text: &str) -> bool {
    text.as_bytes().windows(2).any(|pair| pair[0] == b'{' && matches!(pair[1], b'{' | b'%' | b'#'))
}

/// The one engine: it holds no template, so every caller shares it.
fn engine() -> &'static Environment<'static> {
    static ENGINE: OnceLock<Environment<'static>> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_fuel(Some(FUEL));
        // Costs nothing until a template fails, and then it knows the name that was undefined.
        env.set_debug(true);
        env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        env.set_formatter(python::format);
        env.set_unknown_method_callback(python::method);
        for (operator, name) in arithmetic::OPERATORS {
            env.add_function(*name, move |a: Value, b: Value| arithmetic::binary(operator, &a, &b));
        }
        filters::add(&mut env);
        env
    })
}
