//! What the spans say. Names and `airflow.*` attributes are Airflow's, of 3.2 and later; the rest are OpenTelemetry's own conventions, and
//! `updraft.*` where it has none.
//!
//! Only ids, states, times and words from short lists: no environment, no conf, no XCom, no message, since all of these may quote a secret.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use opentelemetry::trace::{Event, SpanId, SpanKind, Status};
use opentelemetry::{Key, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use uuid::Uuid;

use super::{Context, Tracer};

/// A run that is over, as the database has it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSpan {
    /// Its key.
    pub run: i64,
    /// Its DAG.
    pub dag_id: String,
    /// Its name.
    pub run_id: String,
    /// `scheduled`, `manual`, …
    pub run_type: String,
    /// `success` or `failed`.
    pub state: String,
    /// Which date it stands for.
    pub logical_date: Option<DateTime<Utc>>,
    /// From when it waited for its turn.
    pub queued_at: DateTime<Utc>,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// What triggered it: see [`Context::carrier`].
    pub trigger: Option<String>,
}

/// An attempt that is over. What is none was not seen.
#[derive(Debug, Clone, Copy)]
pub struct AttemptSpan<'a> {
    /// Its run.
    pub run: &'a Context,
    /// The task's position, the instance's, and the number of the attempt.
    pub key: (i32, i32, i32),
    /// Its DAG.
    pub dag_id: &'a str,
    /// The run's name.
    pub run_id: &'a str,
    /// Its task.
    pub task_id: &'a str,
    /// Which try of the task it was.
    pub try_number: i32,
    /// The state of its instance after it.
    pub state: &'a str,
    /// Why it failed, in a word.
    pub reason: Option<&'a str>,
    /// Who pays for that.
    pub budget: Option<&'a str>,
    /// Where it was queued.
    pub queue: &'a str,
    /// Whose slots it had.
    pub pool: &'a str,
    /// What ran it.
    pub runner: &'a str,
    /// The name of its pod.
    pub pod_name: Option<&'a str>,
    /// The pod's uid.
    pub pod_uid: Option<&'a str>,
    /// The pod's node.
    pub node: Option<&'a str>,
    /// The host, of a process.
    pub host: Option<&'a str>,
    /// What its command exited with.
    pub exit_code: Option<i32>,
    /// When nothing but a slot was missing.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// When it was queued.
    pub queued_at: DateTime<Utc>,
    /// When a worker claimed it.
    pub claimed_at: DateTime<Utc>,
    /// When its command started.
    pub started_at: Option<DateTime<Utc>>,
    /// When that ended, or when it was known that there would be none.
    pub ended_at: DateTime<Utc>,
}

/// A request to the API.
#[derive(Debug, Clone, Copy)]
pub struct RequestSpan<'a> {
    /// Its own context.
    pub context: &'a Context,
    /// What came with it.
    pub incoming: Option<&'a Context>,
    /// The method.
    pub method: &'static str,
    /// The path, as a template.
    pub route: &'static str,
    /// What was answered.
    pub status: u16,
    /// The DAG that it is about.
    pub dag_id: &'a str,
    /// The run that it made.
    pub run_id: Option<&'a str>,
    /// When it came.
    pub started_at: SystemTime,
}

/// The attributes that are there.
#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.0.push(KeyValue::new(Key::from_static_str(key), value));
        self
    }

    fn with_some<V: Into<Value>>(self, key: &'static str, value: Option<V>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }
}

fn event(name: &'static str, at: DateTime<Utc>) -> Event {
    Event::new(name, at.into(), Vec::new(), 0)
}

impl Tracer {
    /// Exports the span of a run that is over.
    pub fn run_ended(&self, installation: Uuid, span: &RunSpan) {
        let trigger = span.trigger.as_deref().and_then(Context::from_carrier);
        let context = self.run(installation, span.run, span.started_at.timestamp_micros(), trigger.as_ref());
        if !context.is_sampled() {
            return;
        }
        let attributes = Attributes::default()
            .with("airflow.dag_id", span.dag_id.clone())
            .with("airflow.dag_run.run_id", span.run_id.clone())
            .with("airflow.dag_run.run_type", span.run_type.clone())
            .with("airflow.dag_run.state", span.state.clone())
            .with_some("airflow.dag_run.logical_date", span.logical_date.map(|date| date.to_rfc3339()));
        let status = match span.state.as_str() {
            "success" => Status::Ok,
            _ => Status::error("a task of the run failed, or somebody marked it"),
        };
        let events = vec![event("queued", span.queued_at), event("started", span.started_at)];
        self.send(SpanData {
            attributes: attributes.0,
            events: events_of(events),
            status,
            ..self.span(
                &context,
                trigger.as_ref(),
                SpanKind::Internal,
                format!("dag_run.{}", span.dag_id).into(),
                // A trigger may be for later, and then the trace would begin long before the run.
                (span.queued_at.into(), span.ended_at.into()),
            )
        });
    }

    /// Exports the span of an attempt that is over.
    pub fn attempt_ended(&self, span: &AttemptSpan<'_>) {
        if !span.run.is_sampled() {
            return;
        }
        let (idx, map_index, attempt) = span.key;
        let context = span.run.attempt(idx, map_index, attempt);
        let attributes = Attributes::default()
            .with("airflow.dag_id", span.dag_id.to_owned())
            .with("airflow.dag_run.run_id", span.run_id.to_owned())
            .with("airflow.task_id", span.task_id.to_owned())
            .with("airflow.task_instance.try_number", i64::from(span.try_number))
            .with("airflow.task_instance.map_index", i64::from(map_index))
            .with("airflow.task_instance.state", span.state.to_owned())
            .with("airflow.task_instance.queue", span.queue.to_owned())
            .with("airflow.task_instance.pool", span.pool.to_owned())
            .with("updraft.runner", span.runner.to_owned())
            .with_some("k8s.pod.name", span.pod_name.map(str::to_owned))
            .with_some("k8s.pod.uid", span.pod_uid.map(str::to_owned))
            .with_some("k8s.node.name", span.node.map(str::to_owned))
            .with_some("host.name", span.host.map(str::to_owned))
            .with_some("process.exit.code", span.exit_code.map(i64::from))
            .with_some("error.type", span.reason.map(str::to_owned))
            .with_some("updraft.end.budget", span.budget.map(str::to_owned));
        let status = match (span.reason, span.state) {
            (Some(reason), _) => Status::error(reason.to_owned()),
            (None, "success") => Status::Ok,
            (None, _) => Status::Unset,
        };
        let mut events = vec![event("queued", span.queued_at), event("claimed", span.claimed_at)];
        events.extend(span.started_at.map(|at| event("started", at)));
        if let Some(at) = span.scheduled_at {
            events.insert(0, event("scheduled", at));
        }
        let name = if map_index < 0 { format!("task_run.{}", span.task_id) } else { format!("task_run.{}_{map_index}", span.task_id) };
        self.send(SpanData {
            attributes: attributes.0,
            events: events_of(events),
            status,
            ..self.span(
                &context,
                Some(span.run),
                SpanKind::Consumer,
                name.into(),
                (span.scheduled_at.unwrap_or(span.queued_at).into(), span.ended_at.into()),
            )
        });
    }

    /// Exports the span of a request.
    pub fn request_ended(&self, span: &RequestSpan<'_>) {
        if !span.context.is_sampled() {
            return;
        }
        let attributes = Attributes::default()
            .with("http.request.method", span.method)
            .with("http.route", span.route)
            .with("http.response.status_code", i64::from(span.status))
            .with("airflow.dag_id", span.dag_id.to_owned())
            .with_some("airflow.dag_run.run_id", span.run_id.map(str::to_owned));
        self.send(SpanData {
            attributes: attributes.0,
            // Of a server's span, what the client did wrong is no error.
            status: if span.status >= 500 { Status::error("") } else { Status::Unset },
            ..self.span(
                span.context,
                span.incoming,
                SpanKind::Server,
                format!("{} {}", span.method, span.route).into(),
                (span.started_at, SystemTime::now()),
            )
        });
    }

    /// A span without anything but who it is. Times are of several clocks: none ends before it starts.
    fn span(
        &self,
        context: &Context,
        parent: Option<&Context>,
        span_kind: SpanKind,
        name: Cow<'static, str>,
        (start_time, end_time): (SystemTime, SystemTime),
    ) -> SpanData {
        SpanData {
            span_context: context.span_context(),
            parent_span_id: parent.map_or(SpanId::INVALID, Context::span_id),
            parent_span_is_remote: parent.is_some(),
            span_kind,
            name,
            start_time,
            end_time: end_time.max(start_time + Duration::from_micros(1)),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

fn events_of(list: Vec<Event>) -> SpanEvents {
    let mut events = SpanEvents::default();
    events.events = list;
    events
}
