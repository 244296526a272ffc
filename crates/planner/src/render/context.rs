//! What a template can name: Airflow's context, made on demand, so that a template pays for what it uses.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, TimeDelta, Utc};
use minijinja::value::{Enumerator, Kwargs, Object, ObjectRepr, Serde, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use updraft_model::redact::{MASK, has_secret, is_sensitive, redact};
use updraft_model::{Schedule, Semantics, TaskSpec};

use super::moment::{Moment, invalid};
use super::python::str_of;
use super::span::Delta;
use super::{RenderContext, macros};
use crate::timetable::Timetable;

/// One task instance, as its templates see it.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) ctx: RenderContext,
    pub(super) task: TaskSpec,
    /// How often chance was asked for.
    draws: AtomicU32,
    /// The first that was read of what must not get into a text.
    stop: OnceLock<Stop>,
}

/// Why a text is thrown away.
#[derive(Debug, Clone)]
pub(super) enum Stop {
    /// This is secret.
    Secret(String),
    /// A value is there and cannot be read, for this reason.
    Unreadable(String),
}

impl Scope {
    pub(super) fn value(ctx: &RenderContext, task: &TaskSpec) -> Value {
        Value::from_object(Part { scope: Arc::new(Self::of(ctx, task)), what: What::Context })
    }

    pub(super) fn of(ctx: &RenderContext, task: &TaskSpec) -> Self {
        Self { ctx: ctx.clone(), task: task.clone(), draws: AtomicU32::new(0), stop: OnceLock::new() }
    }

    fn moment(&self, at: DateTime<Utc>) -> Value {
        let old = self.ctx.run.semantics == Semantics::Airflow2;
        Value::from_object(Moment::utc(at, if old { 'T' } else { ' ' }))
    }

    fn moment_or_none(&self, at: Option<DateTime<Utc>>) -> Value {
        at.map_or_else(|| Value::from(()), |at| self.moment(at))
    }

    /// DAG params, then the task's, then whatever the run was given.
    fn params(&self) -> Value {
        serialized(self.params_json())
    }

    pub(super) fn params_json(&self) -> BTreeMap<&str, &Json> {
        let mut params: BTreeMap<&str, &Json> = BTreeMap::new();
        params.extend(self.ctx.run.dag.params.iter().map(|(name, param)| (name.as_str(), &param.value)));
        params.extend(self.task.params.iter().map(|(name, param)| (name.as_str(), &param.value)));
        params.extend(self.ctx.run.conf.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value)));
        params
    }

    /// The fire times before and after the logical date; the date itself for a DAG without a rhythm, as in Airflow 2 for manual runs.
    pub(super) fn neighbour(&self, next: bool) -> DateTime<Utc> {
        let run = &self.ctx.run;
        let at = run.logical_date();
        let table = Timetable::new(&run.dag.schedule, &run.dag.timezone, run.semantics).ok();
        table.and_then(|table| if next { table.following(at) } else { table.preceding(at) }).unwrap_or(at)
    }

    /// 32 bytes that differ from call to call and are the same each time that this attempt is rendered.
    fn draw(&self) -> [u8; 32] {
        let run = &self.ctx.run;
        let n = self.draws.fetch_add(1, Ordering::Relaxed);
        let key =
            format!("{}\0{}\0{}\0{}\0{}\0{n}", run.dag.dag_id, run.run_id, self.task.task_id, self.ctx.map_index, self.ctx.try_number);
        Sha256::digest(key).into()
    }

    fn xcom_pull(&self, args: &[Value]) -> Result<Value, Error> {
        let (tasks, _dag, key, kwargs): (Option<Value>, Option<Value>, Option<String>, Kwargs) = from_args(args)?;
        let tasks = tasks.map_or_else(|| kwargs.get::<Option<Value>>("task_ids"), |t| Ok(Some(t)))?;
        let key = key.map_or_else(|| kwargs.get::<Option<String>>("key"), |k| Ok(Some(k)))?;
        let default = kwargs.get::<Option<Value>>("default")?.unwrap_or_else(|| Value::from(()));
        for name in ["dag_id", "run_id"] {
            let other = kwargs.get::<Option<String>>(name)?;
            let own = if name == "dag_id" { self.ctx.run.dag.dag_id.as_str() } else { &self.ctx.run.run_id };
            if other.is_some_and(|other| other != own) {
                return Err(invalid(format!("xcom_pull({name}=…) of another run is not supported")));
            }
        }
        let _ = (kwargs.get::<Option<Value>>("map_indexes")?, kwargs.get::<Option<Value>>("include_prior_dates")?);
        kwargs.assert_all_used()?;
        let key = key.unwrap_or_else(|| "return_value".to_owned());
        let pull = |task: &str| self.ctx.xcoms.get(&(task.to_owned(), key.clone())).map(serialized);
        Ok(match tasks {
            Some(list) if matches!(list.kind(), ValueKind::Seq | ValueKind::Iterable) => {
                list.try_iter()?.filter_map(|task| pull(&str_of(&task))).collect::<Vec<_>>().into()
            }
            Some(task) if !task.is_none() => pull(&str_of(&task)).unwrap_or(default),
            // Without task ids any task of the run counts; the last by name, since there is no order of time here.
            _ => self.ctx.xcoms.iter().rfind(|((_, k), _)| *k == key).map_or(default, |(_, v)| serialized(v)),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Context,
    DagRun,
    Dag,
    Task,
    /// One of the DAG, by its place.
    TaskAt(usize),
    TaskInstance,
    Var,
    VarValue,
    VarJson,
    Connections,
    Connection(String),
    Macros,
    Module(&'static str),
}

/// One object of the context.
#[derive(Debug, Clone)]
pub(super) struct Part {
    scope: Arc<Scope>,
    what: What,
}

impl Part {
    /// What a template has read by now that ends it.
    pub(super) fn stopped(&self) -> Option<Stop> {
        self.scope.stop.get().cloned()
    }

    /// Stands for a secret, and keeps in mind that it was read: the text that it gets into is thrown away.
    fn hidden(&self, name: String) -> Value {
        self.scope.stop.get_or_init(|| Stop::Secret(name));
        MASK.into()
    }

    /// Stands for a value that cannot be read: no default takes its place.
    fn unreadable(&self, why: &str) -> Value {
        self.scope.stop.get_or_init(|| Stop::Unreadable(why.to_owned()));
        MASK.into()
    }

    fn other(&self, what: What) -> Value {
        Value::from_object(Self { scope: Arc::clone(&self.scope), what })
    }

    /// A module of `macros`.
    pub(super) fn module(&self, name: &'static str) -> Value {
        self.other(What::Module(name))
    }

    /// Chance, see [`Scope::draw`].
    pub(super) fn draw(&self) -> [u8; 32] {
        self.scope.draw()
    }

    fn context(&self, name: &str) -> Option<Value> {
        let scope = &self.scope;
        let run = &scope.ctx.run;
        let date = run.logical_date();
        let nodash = |text: String| Value::from(text.replace('-', ""));
        let ds = |at: DateTime<Utc>| at.format("%Y-%m-%d").to_string();
        let iso = |at: DateTime<Utc>| Moment::utc(at, 'T').iso('T');
        let day = TimeDelta::days(1);
        Some(match name {
            "ds" => ds(date).into(),
            "ds_nodash" => nodash(ds(date)),
            "ts" => iso(date).into(),
            "ts_nodash" => date.format("%Y%m%dT%H%M%S").to_string().into(),
            "ts_nodash_with_tz" => iso(date).replace(['-', ':'], "").into(),
            "logical_date" | "execution_date" => scope.moment(date),
            "data_interval_start" => scope.moment(run.data_interval_start.unwrap_or(date)),
            "data_interval_end" => scope.moment(run.data_interval_end.unwrap_or(date)),
            "run_after" => scope.moment(run.run_after),
            "prev_data_interval_start_success" => scope.moment_or_none(run.prev_data_interval_start_success),
            "prev_data_interval_end_success" => scope.moment_or_none(run.prev_data_interval_end_success),
            "prev_start_date_success" => scope.moment_or_none(run.prev_start_date_success),
            "prev_end_date_success" => scope.moment_or_none(run.prev_end_date_success),
            "prev_execution_date_success" => scope.moment_or_none(run.prev_data_interval_start_success),
            "next_execution_date" => scope.moment(scope.neighbour(true)),
            "prev_execution_date" => scope.moment(scope.neighbour(false)),
            "next_ds" => ds(scope.neighbour(true)).into(),
            "next_ds_nodash" => nodash(ds(scope.neighbour(true))),
            "prev_ds" => ds(scope.neighbour(false)).into(),
            "prev_ds_nodash" => nodash(ds(scope.neighbour(false))),
            "yesterday_ds" => ds(date - day).into(),
            "yesterday_ds_nodash" => nodash(ds(date - day)),
            "tomorrow_ds" => ds(date + day).into(),
            "tomorrow_ds_nodash" => nodash(ds(date + day)),
            "run_id" => run.run_id.as_str().into(),
            "try_number" => scope.ctx.try_number.into(),
            "map_index" => scope.ctx.map_index.into(),
            "task_instance_key_str" => format!("{}__{}__{}", run.dag.dag_id, scope.task.task_id, date.format("%Y%m%d")).into(),
            "params" => scope.params(),
            "dag" => self.other(What::Dag),
            "dag_run" => self.other(What::DagRun),
            "task" => self.other(What::Task),
            "ti" | "task_instance" => self.other(What::TaskInstance),
            "var" => self.other(What::Var),
            "conn" => self.other(What::Connections),
            "macros" => self.other(What::Macros),
            "test_mode" => false.into(),
            "task_reschedule_count" => 0.into(),
            "map_index_template" | "expanded_ti_count" | "exception" | "reason" | "partition_key" | "partition_date" | "templates_dict" => {
                Value::from(())
            }
            "inlets" | "outlets" => Vec::<Value>::new().into(),
            "inlet_events" | "outlet_events" | "triggering_asset_events" | "triggering_dataset_events" => {
                serialized(BTreeMap::<String, ()>::new())
            }
            _ => return None,
        })
    }

    fn dag_run(&self, name: &str) -> Option<Value> {
        let run = &self.scope.ctx.run;
        Some(match name {
            "run_id" => run.run_id.as_str().into(),
            "dag_id" => run.dag.dag_id.as_str().into(),
            "run_type" => run.run_type.as_str().into(),
            "external_trigger" => matches!(run.run_type.as_str(), "manual" | "operator_triggered").into(),
            "conf" => {
                if run.conf.is_null() {
                    serialized(BTreeMap::<String, ()>::new())
                } else {
                    serialized(&run.conf)
                }
            }
            "start_date" => self.scope.moment_or_none(run.start_date),
            "end_date" | "note" | "partition_key" | "partition_date" | "team_name" => Value::from(()),
            "clear_number" => 0.into(),
            "consumed_asset_events" => Vec::<Value>::new().into(),
            "state" => "running".into(),
            "triggering_user_name" => run.triggering_user.as_deref().map_or_else(|| Value::from(()), Value::from),
            "logical_date" | "execution_date" | "data_interval_start" | "data_interval_end" | "run_after" => self.context(name)?,
            _ => return None,
        })
    }

    fn dag(&self, name: &str) -> Option<Value> {
        let dag = &self.scope.ctx.run.dag;
        let text = |text: &Option<String>| text.as_deref().map_or_else(|| Value::from(()), Value::from);
        Some(match name {
            "dag_id" => dag.dag_id.as_str().into(),
            "dag_display_name" => dag.display_name.as_deref().unwrap_or(dag.dag_id.as_str()).into(),
            "description" => text(&dag.description),
            "doc_md" => text(&dag.doc_md),
            "tags" => serialized(&dag.tags),
            "timezone" => dag.timezone.as_str().into(),
            "start_date" => self.scope.moment_or_none(dag.start_date),
            "end_date" => self.scope.moment_or_none(dag.end_date),
            "default_args" => serialized(&dag.default_args),
            "params" => serialized(dag.params.iter().map(|(name, p)| (name, &p.value)).collect::<BTreeMap<_, _>>()),
            "task_ids" => dag.tasks.iter().map(|t| Value::from(t.task_id.as_str())).collect::<Vec<_>>().into(),
            // An installation may have other numbers; these are what Airflow has where a DAG says nothing.
            "max_active_runs" => dag.max_active_runs.unwrap_or(16).into(),
            "max_active_tasks" => dag.max_active_tasks.unwrap_or(16).into(),
            "catchup" => dag.catchup.unwrap_or(self.scope.ctx.run.semantics == Semantics::Airflow2).into(),
            "schedule" | "schedule_interval" => match &dag.schedule {
                Schedule::Cron { expressions, .. } if expressions.len() == 1 => expressions[0].as_str().into(),
                Schedule::None => Value::from(()),
                other => Timetable::new(other, &dag.timezone, self.scope.ctx.run.semantics).ok()?.summary().into(),
            },
            "tasks" => (0..dag.tasks.len()).map(|i| self.other(What::TaskAt(i))).collect::<Vec<_>>().into(),
            "owner" => {
                let owners: std::collections::BTreeSet<&str> = dag.tasks.iter().map(|t| t.owner.as_str()).collect();
                owners.into_iter().collect::<Vec<_>>().join(", ").into()
            }
            _ => return None,
        })
    }

    fn task(&self, task: &TaskSpec, name: &str) -> Option<Value> {
        Some(match name {
            "task_id" => task.task_id.as_str().into(),
            "dag_id" => self.scope.ctx.run.dag.dag_id.as_str().into(),
            "task_display_name" => task.display_name.as_deref().unwrap_or(task.task_id.as_str()).into(),
            "owner" => task.owner.as_str().into(),
            "retries" => task.retries.into(),
            "pool" => task.pool.as_str().into(),
            "queue" => task.queue.as_str().into(),
            "priority_weight" => task.priority_weight.into(),
            "task_type" | "operator_name" => task.operator.as_str().into(),
            "trigger_rule" => task.trigger_rule.as_str().into(),
            "label" => {
                let group = task.task_group.as_ref().map(|group| format!("{group}."));
                group.and_then(|group| task.task_id.as_str().strip_prefix(&*group)).unwrap_or(task.task_id.as_str()).into()
            }
            "pool_slots" => task.pool_slots.into(),
            "depends_on_past" => task.depends_on_past.into(),
            "wait_for_downstream" => task.wait_for_downstream.into(),
            "execution_timeout" => match task.execution_timeout_ms {
                Some(ms) => Value::from_object(Delta::new(TimeDelta::milliseconds(i64::try_from(ms).ok()?))),
                None => Value::from(()),
            },
            "email" | "sla" | "doc" | "run_as_user" => Value::from(()),
            "doc_md" => task.doc_md.as_deref().map_or_else(|| Value::from(()), Value::from),
            "downstream_task_ids" => {
                let own = &task.task_id;
                let after = self.scope.ctx.run.dag.tasks.iter().filter(|other| other.upstream.contains(own));
                after.map(|other| Value::from(other.task_id.as_str())).collect::<Vec<_>>().into()
            }
            "upstream_task_ids" => task.upstream.iter().map(|t| Value::from(t.as_str())).collect::<Vec<_>>().into(),
            "start_date" => self.scope.moment_or_none(task.start_date.or(self.scope.ctx.run.dag.start_date)),
            "end_date" => self.scope.moment_or_none(task.end_date.or(self.scope.ctx.run.dag.end_date)),
            "retry_delay" => Value::from_object(Delta::new(TimeDelta::milliseconds(i64::try_from(task.retry_delay_ms).ok()?))),
            "params" => self.scope.params(),
            "dag" => self.other(What::Dag),
            _ => return None,
        })
    }

    fn task_instance(&self, name: &str) -> Option<Value> {
        let scope = &self.scope;
        Some(match name {
            "try_number" => scope.ctx.try_number.into(),
            "max_tries" => scope.ctx.max_tries.into(),
            "map_index" => scope.ctx.map_index.into(),
            "run_id" => scope.ctx.run.run_id.as_str().into(),
            "state" => "running".into(),
            "hostname" => "".into(),
            "operator" => scope.task.operator.as_str().into(),
            "start_date" | "end_date" | "duration" => Value::from(()),
            "key" => self.context("task_instance_key_str")?,
            "execution_date" | "logical_date" => self.context(name)?,
            "task" => self.other(What::Task),
            "dag_run" => self.other(What::DagRun),
            "task_id" | "dag_id" | "pool" | "queue" | "priority_weight" => self.task(&scope.task, name)?,
            _ => return None,
        })
    }

    fn variable(&self, name: &str) -> Option<Value> {
        let text = match self.scope.ctx.settings.variable(name)? {
            Ok(text) => text,
            Err(why) => return Some(self.unreadable(why)),
        };
        let json = serde_json::from_str::<Json>(text).ok();
        let secret = is_sensitive(name) || json.as_ref().is_some_and(has_secret);
        match (&self.what, json) {
            (What::VarValue, _) if secret => Some(self.hidden(format!("var.value.{name}"))),
            (What::VarJson, _) if is_sensitive(name) => Some(self.hidden(format!("var.json.{name}"))),
            // A variable that is no JSON is as undefined as one that is not there; the error of `call_method` says more.
            (What::VarJson, json) => json.map(|json| self.open(&format!("var.json.{name}"), json)),
            _ => Some(text.into()),
        }
    }

    /// JSON as it may be read: secrets in it are hidden when they are asked for.
    fn open(&self, name: &str, json: Json) -> Value {
        match json {
            Json::Object(_) if has_secret(&json) => Value::from_object(Guarded { part: self.clone(), name: name.to_owned(), json }),
            json => serialized(redact(json)),
        }
    }

    fn connection(&self, id: &str, name: &str) -> Option<Value> {
        let connection = match self.scope.ctx.settings.connection(id)? {
            Ok(connection) => connection.as_object()?,
            Err(why) => return Some(self.unreadable(why)),
        };
        let extra = || match connection.get("extra") {
            Some(Json::String(text)) => serde_json::from_str::<Json>(text).ok(),
            extra => extra.cloned(),
        };
        Some(match (name, connection.get(name)) {
            ("conn_id", None) => id.into(),
            ("extra_dejson", None) => {
                self.open(&format!("conn.{id}.extra_dejson"), extra().unwrap_or_else(|| Json::Object(Default::default())))
            }
            ("extra", Some(_)) if extra().as_ref().is_some_and(has_secret) => self.hidden(format!("conn.{id}.extra")),
            (_, Some(value)) if is_sensitive(name) && !value.is_null() => self.hidden(format!("conn.{id}.{name}")),
            (_, Some(value)) => serialized(value),
            ("host" | "login" | "password" | "schema" | "port" | "extra" | "conn_type" | "description", None) => Value::from(()),
            _ => return None,
        })
    }
}

/// A JSON object with secrets in it.
#[derive(Debug)]
struct Guarded {
    part: Part,
    name: String,
    json: Json,
}

impl Object for Guarded {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        let name = format!("{}.{key}", self.name);
        let value = self.json.get(key)?;
        Some(if is_sensitive(key) && !value.is_null() { self.part.hidden(name) } else { self.part.open(&name, value.clone()) })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let keys = self.json.as_object().into_iter().flat_map(|fields| fields.keys().map(|key| Value::from(key.as_str())));
        Enumerator::Values(keys.collect())
    }
}

pub(super) fn serialized(value: impl serde::Serialize) -> Value {
    Serde(value).into()
}

impl Object for Part {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.what == What::Context { ObjectRepr::Map } else { ObjectRepr::Plain }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        match &self.what {
            What::Context => self.context(name),
            What::DagRun => self.dag_run(name),
            What::Dag => self.dag(name),
            What::Task => self.task(&self.scope.task, name),
            What::TaskAt(i) => self.task(self.scope.ctx.run.dag.tasks.get(*i)?, name),
            What::TaskInstance => self.task_instance(name),
            What::Var => match name {
                "value" => Some(self.other(What::VarValue)),
                "json" => Some(self.other(What::VarJson)),
                _ => None,
            },
            What::VarValue | What::VarJson => self.variable(name),
            What::Connections => self.scope.ctx.settings.connection(name).map(|_| self.other(What::Connection(name.to_owned()))),
            What::Connection(id) => self.connection(id, name),
            What::Macros => macros::MODULES.iter().find(|module| **module == name).map(|module| self.module(module)),
            What::Module(module) => macros::of_module(self, module, name),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        match self.what {
            What::Module("datetime") => Moment::from_parts(args).map(Value::from_object),
            _ => Err(invalid("this is no function")),
        }
    }

    fn call_method(self: &Arc<Self>, state: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        match &self.what {
            What::TaskInstance if method == "xcom_pull" => self.scope.xcom_pull(args),
            What::TaskInstance if method == "xcom_push" => Err(invalid("a template cannot push an XCom: the task does, when it runs")),
            What::Dag if matches!(method, "has_task" | "get_task") => {
                let (id,): (&str,) = from_args(args)?;
                let at = self.scope.ctx.run.dag.tasks.iter().position(|task| task.task_id.as_str() == id);
                match (method, at) {
                    ("has_task", at) => Ok(at.is_some().into()),
                    (_, Some(at)) => Ok(self.other(What::TaskAt(at))),
                    _ => Err(invalid(format!("dag.get_task: there is no task {id}"))),
                }
            }
            What::TaskInstance if method == "get_dagrun" => Ok(self.other(What::DagRun)),
            What::VarValue | What::VarJson | What::Connections if method == "get" => {
                let (name, default, kwargs): (Value, Option<Value>, Kwargs) = from_args(args)?;
                let default = match default {
                    Some(default) => default,
                    None if kwargs.has("default_var") => kwargs.get("default_var")?,
                    None => kwargs.get::<Option<Value>>("default")?.unwrap_or_else(|| Value::from(())),
                };
                Ok(self.get_value(&name).unwrap_or(default))
            }
            What::Connection(id) if method == "get_uri" => {
                Err(invalid(format!("conn.{id}.get_uri() is not supported: put it together from its fields")))
            }
            What::Macros => macros::call(self, method, args),
            What::Module(module) => macros::call_of_module(self, module, method, args),
            _ => match self.get_value(&Value::from(method)) {
                Some(value) => value.call(state, args),
                None => Err(Error::from(ErrorKind::UnknownMethod)),
            },
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = &self.scope.ctx.run;
        match &self.what {
            What::Dag => write!(f, "<DAG: {}>", run.dag.dag_id),
            What::DagRun => write!(f, "<DagRun {} @ {}: {}>", run.dag.dag_id, Moment::utc(run.logical_date(), ' ').iso(' '), run.run_id),
            What::Task => write!(f, "<Task({}): {}>", self.scope.task.operator, self.scope.task.task_id),
            What::TaskAt(i) => match run.dag.tasks.get(*i) {
                Some(task) => write!(f, "<Task({}): {}>", task.operator, task.task_id),
                None => Ok(()),
            },
            What::TaskInstance => write!(f, "<TaskInstance: {}.{} {} [running]>", run.dag.dag_id, self.scope.task.task_id, run.run_id),
            What::Connection(id) => f.write_str(id),
            other => write!(f, "<{other:?}>"),
        }
    }
}
