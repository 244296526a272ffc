//! Tasks that the scheduler does itself, in the words of Airflow's operators: sensors of times and of other DAGs, runs of other DAGs, branches by
//! the time.

use std::collections::BTreeSet;

use chrono::NaiveTime;
use chrono_tz::Tz;
use serde_json::Value;
use updraft_model::dag::native::{BranchTask, BranchTest, ExternalTasks, TriggerRun, WaitFor, WaitTask};
use updraft_model::{TaskId, TaskKind, TaskSpec};

use crate::dates;
use crate::diagnostic::{Kind, did_you_mean};
use crate::yaml::Told;
use crate::yaml::de::Error;
use crate::yaml::node::{Node, Place};
use crate::yaml::shape::{TaskShape, Words};

/// What a sensor has, whatever it waits for.
const SENSOR: &[&str] = &["poke_interval", "timeout", "soft_fail", "mode", "exponential_backoff", "max_wait", "deferrable"];
const TASK_STATES: &[&str] = &[
    "none",
    "removed",
    "scheduled",
    "queued",
    "running",
    "success",
    "restarting",
    "failed",
    "up_for_retry",
    "up_for_reschedule",
    "upstream_failed",
    "skipped",
    "deferred",
];
const RUN_STATES: &[&str] = &["queued", "running", "success", "failed"];
const DAYS: &[&str] = &["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const WEEK_MS: u64 = 604_800_000;

/// One of these operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    DateTimeSensor,
    DateTimeSensorAsync,
    TimeSensor,
    TimeSensorAsync,
    TimeDeltaSensor,
    WaitSensor,
    DayOfWeekSensor,
    ExternalTaskSensor,
    TriggerDagRunOperator,
    BranchDateTimeOperator,
    BranchDayOfWeekOperator,
}

const ALL: &[Class] = &[
    Class::DateTimeSensor,
    Class::DateTimeSensorAsync,
    Class::TimeSensor,
    Class::TimeSensorAsync,
    Class::TimeDeltaSensor,
    Class::WaitSensor,
    Class::DayOfWeekSensor,
    Class::ExternalTaskSensor,
    Class::TriggerDagRunOperator,
    Class::BranchDateTimeOperator,
    Class::BranchDayOfWeekOperator,
];

impl Class {
    /// By the name of Airflow's class.
    pub(super) fn named(class: &str) -> Option<Self> {
        // Both wait alike.
        let class = if class == "TimeDeltaSensorAsync" { "TimeDeltaSensor" } else { class };
        ALL.iter().copied().find(|known| known.class() == class)
    }

    /// The class.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::DateTimeSensor => "DateTimeSensor",
            Self::DateTimeSensorAsync => "DateTimeSensorAsync",
            Self::TimeSensor => "TimeSensor",
            Self::TimeSensorAsync => "TimeSensorAsync",
            Self::TimeDeltaSensor => "TimeDeltaSensor",
            Self::WaitSensor => "WaitSensor",
            Self::DayOfWeekSensor => "DayOfWeekSensor",
            Self::ExternalTaskSensor => "ExternalTaskSensor",
            Self::TriggerDagRunOperator => "TriggerDagRunOperator",
            Self::BranchDateTimeOperator => "BranchDateTimeOperator",
            Self::BranchDayOfWeekOperator => "BranchDayOfWeekOperator",
        }
    }

    const fn words(self) -> &'static [&'static str] {
        match self {
            Self::DateTimeSensor | Self::DateTimeSensorAsync | Self::TimeSensor | Self::TimeSensorAsync => &["target_time"],
            Self::TimeDeltaSensor => &["delta"],
            Self::WaitSensor => &["time_to_wait"],
            Self::DayOfWeekSensor => &["week_day", "use_task_logical_date"],
            Self::ExternalTaskSensor => &[
                "external_dag_id",
                "external_task_id",
                "external_task_ids",
                "external_task_group_id",
                "allowed_states",
                "skipped_states",
                "failed_states",
                "execution_delta",
                "check_existence",
            ],
            Self::TriggerDagRunOperator => &[
                "trigger_dag_id",
                "trigger_run_id",
                "conf",
                "logical_date",
                "run_after",
                "note",
                "reset_dag_run",
                "skip_when_already_exists",
                "fail_when_dag_is_paused",
                "wait_for_completion",
                "allowed_states",
                "failed_states",
                "poke_interval",
                "deferrable",
            ],
            Self::BranchDateTimeOperator => {
                &["target_lower", "target_upper", "use_task_logical_date", "follow_task_ids_if_true", "follow_task_ids_if_false"]
            }
            Self::BranchDayOfWeekOperator => &["week_day", "use_task_logical_date", "follow_task_ids_if_true", "follow_task_ids_if_false"],
        }
    }

    const fn is_sensor(self) -> bool {
        !matches!(self, Self::TriggerDagRunOperator | Self::BranchDateTimeOperator | Self::BranchDayOfWeekOperator)
    }

    /// Whether a key is one of its own.
    pub(super) fn takes(self, key: &str) -> bool {
        self.words().contains(&key) || self.is_sensor() && SENSOR.contains(&key)
    }

    /// Its own keys, for people.
    pub(super) fn keys(self) -> String {
        let of_sensors: &[&str] = if self.is_sensor() { SENSOR } else { &[] };
        self.words().iter().chain(of_sensors).copied().collect::<Vec<_>>().join(", ")
    }

    /// The fields that are templates.
    pub(super) const fn templated(self) -> &'static [&'static str] {
        match self {
            Self::DateTimeSensor | Self::DateTimeSensorAsync => &["target_time"],
            Self::ExternalTaskSensor => &["external_dag_id", "external_task_id", "external_task_ids", "external_task_group_id"],
            Self::TriggerDagRunOperator => &["trigger_dag_id", "trigger_run_id", "logical_date", "conf"],
            _ => &[],
        }
    }
}

/// Whether a key belongs to these operators alone.
pub(super) fn is_key(key: &str) -> bool {
    ALL.iter().any(|class| class.takes(key))
}

/// What makes a task of it.
pub(super) struct Making<'a, 's> {
    pub(super) id: &'a TaskId,
    pub(super) node: &'a Node<'s>,
    pub(super) at: Place,
    pub(super) zone: Tz,
}

impl Making<'_, '_> {
    /// What the task does.
    pub(super) fn run(&self, operator: Class, shape: &mut TaskShape) -> Result<TaskKind, Error> {
        let of_date = shape.use_task_logical_date.unwrap_or(false);
        let what = match operator {
            Class::DateTimeSensor | Class::DateTimeSensorAsync => {
                WaitFor::Moment { target_time: self.moment("target_time", self.need("target_time", shape.target_time.take())?)? }
            }
            Class::TimeSensor | Class::TimeSensorAsync => {
                let text = self.need("target_time", shape.target_time.take())?;
                let time = time_of_day(&text).ok_or_else(|| {
                    Error::new(self.place("target_time"), format!("{text:?} is no time of the day")).hint("write \"06:30\" or \"06:30:15\"")
                })?;
                WaitFor::TimeOfDay { target_time: time.format("%H:%M:%S%.f").to_string() }
            }
            Class::TimeDeltaSensor => {
                let delta = self.need("delta", shape.delta.take())?;
                WaitFor::Delta { delta_ms: i64::try_from(delta.0).unwrap_or(i64::MAX) }
            }
            Class::WaitSensor => {
                let given = self.need("time_to_wait", shape.time_to_wait.take())?;
                if self.node.get("time_to_wait").and_then(Node::text).is_some_and(|text| text.parse::<f64>().is_ok()) {
                    let hint = "name the unit, as in 5m or 300s: a bare number is minutes in Airflow and seconds everywhere else";
                    return Err(Error::new(self.place("time_to_wait"), "`time_to_wait` is a bare number").hint(hint));
                }
                WaitFor::Duration { duration_ms: given.0 }
            }
            Class::DayOfWeekSensor => WaitFor::Weekday { days: self.days(shape)?, of_logical_date: of_date },
            Class::ExternalTaskSensor => WaitFor::External(self.external(shape)?),
            Class::TriggerDagRunOperator => WaitFor::Run(self.trigger(shape)?),
            Class::BranchDateTimeOperator => {
                let test = self.between(shape)?;
                return self.branch(shape, test, of_date);
            }
            Class::BranchDayOfWeekOperator => {
                let test = BranchTest::Weekday { days: self.days(shape)? };
                return self.branch(shape, test, of_date);
            }
        };
        let deferrable = shape.deferrable.unwrap_or(false);
        // As Airflow: what its triggers do, or a sleep, knows no timeout.
        let times_out = match operator {
            Class::DateTimeSensorAsync | Class::TimeSensorAsync | Class::WaitSensor | Class::TriggerDagRunOperator => false,
            Class::TimeSensor => !deferrable,
            _ => true,
        };
        Ok(TaskKind::Wait(Box::new(WaitTask {
            what,
            poke_interval_ms: shape.poke_interval.map_or(60_000, |ms| ms.0),
            timeout_ms: times_out.then(|| shape.timeout.map_or(WEEK_MS, |ms| ms.0)),
            soft_fail: shape.soft_fail.unwrap_or(false),
            exponential_backoff: shape.exponential_backoff.unwrap_or(false),
            max_wait_ms: shape.max_wait.map(|ms| ms.0),
        })))
    }

    fn place(&self, key: &str) -> Place {
        self.node.get(key).map_or(self.at, |node| node.at)
    }

    fn need<T>(&self, key: &str, value: Option<T>) -> Result<T, Error> {
        value.ok_or_else(|| Error::new(self.at, format!("task `{}` has no `{key}`", self.id)))
    }

    /// A date, or a template of one. What it is then without an offset is UTC; what is written here is in the DAG's zone.
    fn moment(&self, key: &str, text: String) -> Result<String, Error> {
        if text.contains("{{") || text.contains("{%") {
            return Ok(text);
        }
        dates::parse(&text, self.zone).map(|at| at.to_rfc3339()).map_err(|message| {
            Error::new(self.place(key), message).hint("write 2026-01-31 06:30, RFC 3339, or a template such as \"{{ data_interval_end }}\"")
        })
    }

    fn days(&self, shape: &mut TaskShape) -> Result<Vec<u8>, Error> {
        let words = self.need("week_day", shape.week_day.take())?.0;
        let mut days = BTreeSet::new();
        for word in &words {
            let by_name = DAYS.iter().position(|day| day.eq_ignore_ascii_case(word)).and_then(|at| u8::try_from(at + 1).ok());
            let day = by_name.or_else(|| word.parse().ok().filter(|day| (1..=7).contains(day)));
            days.insert(day.ok_or_else(|| {
                let near = did_you_mean(word, DAYS.iter().copied());
                let hint =
                    near.map_or_else(|| "write Monday, or a list of such names".to_owned(), |near| format!("did you mean `{near}`?"));
                Error::new(self.place("week_day"), format!("{word:?} is no day of the week")).hint(hint)
            })?);
        }
        if days.is_empty() {
            return Err(Error::new(self.place("week_day"), "`week_day` names no day").hint("write Monday, or a list of such names"));
        }
        Ok(days.into_iter().collect())
    }

    fn states(&self, key: &str, words: Option<Words>, known: &[&str]) -> Result<Vec<String>, Error> {
        let words = words.unwrap_or_default().0;
        if let Some(wrong) = words.iter().find(|word| !known.contains(&word.as_str())) {
            let near = did_you_mean(wrong, known.iter().copied());
            let hint = near.map_or_else(|| format!("one of {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
            return Err(Error::new(self.place(key), format!("`{key}` has {wrong:?}, which is no state")).hint(hint));
        }
        Ok(words)
    }

    fn external(&self, shape: &mut TaskShape) -> Result<ExternalTasks, Error> {
        let external_dag_id = self.need("external_dag_id", shape.external_dag_id.take())?;
        let (one, several) = (shape.external_task_id.take(), shape.external_task_ids.take());
        let group = shape.external_task_group_id.take();
        if one.is_some() && several.is_some() {
            let message = format!("task `{}` has `external_task_id` and `external_task_ids`", self.id);
            return Err(Error::new(self.place("external_task_ids"), message).hint("leave one out"));
        }
        let external_task_ids = one.map_or_else(|| several.unwrap_or_default().0, |one| vec![one]);
        if group.is_some() && !external_task_ids.is_empty() {
            let message = format!("task `{}` waits for a group and for tasks", self.id);
            return Err(Error::new(self.place("external_task_group_id"), message).hint("leave one out"));
        }
        if external_task_ids.iter().collect::<BTreeSet<_>>().len() < external_task_ids.len() {
            return Err(Error::new(self.place("external_task_ids"), "`external_task_ids` has an id twice").hint("take one of them out"));
        }
        let known = if external_task_ids.is_empty() && group.is_none() { RUN_STATES } else { TASK_STATES };
        let mut allowed_states = self.states("allowed_states", shape.allowed_states.take(), known)?;
        if allowed_states.is_empty() {
            allowed_states.push("success".to_owned());
        }
        let skipped_states = self.states("skipped_states", shape.skipped_states.take(), known)?;
        let failed_states = self.states("failed_states", shape.failed_states.take(), known)?;
        let mut seen = BTreeSet::new();
        for (key, states) in [("allowed_states", &allowed_states), ("skipped_states", &skipped_states), ("failed_states", &failed_states)] {
            if let Some(twice) = states.iter().find(|state| !seen.insert(state.as_str())) {
                return Err(Error::new(self.place(key), format!("the state {twice} is named twice")).hint("each state means one thing"));
            }
        }
        Ok(ExternalTasks {
            external_dag_id,
            external_task_ids,
            external_task_group_id: group,
            allowed_states,
            skipped_states,
            failed_states,
            execution_delta_ms: shape.execution_delta.map(|ms| i64::try_from(ms.0).unwrap_or(i64::MAX)),
            check_existence: shape.check_existence.unwrap_or(false),
        })
    }

    fn trigger(&self, shape: &mut TaskShape) -> Result<TriggerRun, Error> {
        let conf = shape.conf.take().unwrap_or_default();
        if !matches!(conf, Value::Null | Value::Object(_) | Value::String(_)) {
            return Err(Error::new(self.place("conf"), "`conf` is no map").hint("write a map, or a template that gives a JSON object"));
        }
        let mut allowed_states = self.states("allowed_states", shape.allowed_states.take(), RUN_STATES)?;
        if allowed_states.is_empty() {
            allowed_states.push("success".to_owned());
        }
        let failed_states = match shape.failed_states.take() {
            None => vec!["failed".to_owned()],
            given => self.states("failed_states", given, RUN_STATES)?,
        };
        let date = |key: &str, text: Option<String>| text.map(|text| self.moment(key, text)).transpose();
        Ok(TriggerRun {
            trigger_dag_id: self.need("trigger_dag_id", shape.trigger_dag_id.take())?,
            trigger_run_id: shape.trigger_run_id.take(),
            conf,
            // As in Python: null is said, nothing is not.
            no_logical_date: self.node.get("logical_date").is_some_and(Node::is_null),
            logical_date: date("logical_date", shape.logical_date.take())?,
            run_after: date("run_after", shape.run_after.take())?,
            note: shape.note.take(),
            reset_dag_run: shape.reset_dag_run.unwrap_or(false),
            skip_when_already_exists: shape.skip_when_already_exists.unwrap_or(false),
            fail_when_dag_is_paused: shape.fail_when_dag_is_paused.unwrap_or(false),
            wait_for_completion: shape.wait_for_completion.unwrap_or(false),
            allowed_states,
            failed_states,
        })
    }

    fn between(&self, shape: &mut TaskShape) -> Result<BranchTest, Error> {
        let bound = |key: &str, text: Option<String>| {
            let Some(text) = text else { return Ok(None) };
            if let Some(time) = time_of_day(&text) {
                return Ok(Some(time.format("%H:%M:%S%.f").to_string()));
            }
            let moment = dates::parse(&text, self.zone).map(|at| Some(at.to_rfc3339()));
            moment.map_err(|_| {
                let message = format!("{text:?} is neither a time of the day nor a date");
                Error::new(self.place(key), message).hint("write \"06:30\", or \"2026-01-31 06:30\"")
            })
        };
        let (lower, upper) = (bound("target_lower", shape.target_lower.take())?, bound("target_upper", shape.target_upper.take())?);
        if lower.is_none() && upper.is_none() {
            let message = format!("task `{}` has neither `target_lower` nor `target_upper`", self.id);
            return Err(Error::new(self.at, message).hint("give one of them, or both"));
        }
        Ok(BranchTest::Between { lower, upper })
    }

    fn branch(&self, shape: &mut TaskShape, test: BranchTest, of_logical_date: bool) -> Result<TaskKind, Error> {
        Ok(TaskKind::Branch(Box::new(BranchTask {
            test,
            of_logical_date,
            if_true: self.need("follow_task_ids_if_true", shape.follow_task_ids_if_true.take())?.0,
            if_false: self.need("follow_task_ids_if_false", shape.follow_task_ids_if_false.take())?.0,
        })))
    }
}

fn time_of_day(text: &str) -> Option<NaiveTime> {
    let text = text.trim();
    NaiveTime::parse_from_str(text, "%H:%M:%S%.f").or_else(|_| NaiveTime::parse_from_str(text, "%H:%M")).ok()
}

/// Tells of branches that go on with tasks that are not there.
pub(super) fn check_branches(made: &[(Place, TaskSpec)], nodes: &[&Node<'_>], told: &mut Told<'_>, dag: Option<&str>) {
    let ids: BTreeSet<&str> = made.iter().map(|(_, task)| task.task_id.as_str()).collect();
    for ((at, task), node) in made.iter().zip(nodes) {
        let TaskKind::Branch(branch) = &task.run else { continue };
        for (key, followed) in [("follow_task_ids_if_true", &branch.if_true), ("follow_task_ids_if_false", &branch.if_false)] {
            for id in followed.iter().filter(|id| !ids.contains(id.as_str())) {
                let hint = did_you_mean(id, ids.iter().copied()).map(|near| format!("did you mean `{near}`?"));
                let message = format!("task `{}` goes on with `{id}`, which this DAG does not have", task.task_id);
                told.error(node.get(key).map_or(*at, |node| node.at), Kind::Invalid, message, hint, dag);
            }
        }
    }
}
