//! What a process counts and measures. Every metric that is not read from the database at the scrape is named here, with its buckets and labels,
//! and in `docs/metrics.md`: a test compares the two with what real processes tell.
//!
//! Metrics belong to the process, as its log does, so the groups below are statics: a group is told of once some role has asked for it. Labels
//! have few values, all known here. The one exception, a DAG's id, is behind a switch and a cap ([`Settings::dags`]).

mod airflow;
mod pods;
mod window;
mod worker;

use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use airflow::Airflow;
pub use pods::Pods;
pub use worker::{AttemptEnded, Worker};

/// Seconds of what should take milliseconds.
const SHORT: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Seconds of what people wait for.
const WAIT: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0];
/// Seconds of the work itself.
const WORK: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0, 86_400.0];
/// How many at once.
const COUNT: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// A label with its value.
type Label = (&'static str, &'static str);
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// What is told besides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// Airflow's names, too.
    pub airflow: bool,
    /// How many DAGs have figures of their own: the first that are heard of. The others are `other`. 0: no figure has a DAG's id.
    pub dags: usize,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();
static DAGS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Says what is told besides. Once, before anything is measured; later calls change nothing.
pub fn configure(settings: Settings) {
    let _ = SETTINGS.set(settings);
}

fn settings() -> Settings {
    SETTINGS.get().copied().unwrap_or_default()
}

/// What a figure of this DAG is told under. None: figures have no DAG's id.
fn dag_label(dag_id: &str) -> Option<String> {
    label_of(&mut DAGS.lock().unwrap_or_else(PoisonError::into_inner), settings().dags, dag_id)
}

fn label_of(known: &mut BTreeSet<String>, most: usize, dag_id: &str) -> Option<String> {
    if most == 0 {
        return None;
    }
    if !known.contains(dag_id) {
        if known.len() >= most {
            return Some("other".to_owned());
        }
        known.insert(dag_id.to_owned());
    }
    Some(dag_id.to_owned())
}

/// Airflow's names, if somebody wants them.
pub fn airflow() -> Option<&'static Airflow> {
    static GROUP: LazyLock<Airflow> = LazyLock::new(Airflow::default);
    settings().airflow.then(|| &*GROUP)
}

/// One of the values that a label may have.
fn one_of(value: &str, known: &'static [&'static str]) -> &'static str {
    known.iter().copied().find(|one| *one == value).unwrap_or("other")
}

fn short() -> Histogram {
    Histogram::new(SHORT.iter().copied())
}

fn wait() -> Histogram {
    Histogram::new(WAIT.iter().copied())
}

fn work() -> Histogram {
    Histogram::new(WORK.iter().copied())
}

fn count() -> Histogram {
    Histogram::new(COUNT.iter().copied())
}

/// A count as the metrics have it.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn number(n: usize) -> f64 {
    n as f64
}

/// A group that exists once it was asked for.
macro_rules! groups {
    ($($name:ident: $group:ident, $what:literal;)*) => {
        mod cells {
            use super::*;
            $(#[expect(non_upper_case_globals, reason = "named as what it holds")]
            pub(super) static $name: OnceLock<$group> = OnceLock::new();)*
        }
        $(#[doc = $what]
        pub fn $name() -> &'static $group {
            cells::$name.get_or_init($group::new)
        })*
        /// Registers all that was asked for, under names without a prefix.
        pub fn register(registry: &mut Registry) {
            $(if let Some(group) = cells::$name.get() {
                group.register(registry);
            })*
        }
    };
}

groups! {
    database: Database, "What this process asks Postgres.";
    broker: Broker, "What it hands to RabbitMQ.";
    scheduler: Scheduler, "What a scheduler does.";
    worker: Worker, "What a worker does.";
    pods: Pods, "What a worker asks of a cluster.";
    http: Http, "What an API is asked.";
    traces: Traces, "What becomes of spans.";
}

/// See [`database`].
pub struct Database {
    /// How long a statement waited for a connection.
    pub pool_wait: Histogram,
    /// A statement that is a transaction of its own, from the connection in hand to its last row.
    pub statement: Histogram,
}

impl Database {
    fn new() -> Self {
        Self { pool_wait: short(), statement: short() }
    }

    fn register(&self, to: &mut Registry) {
        to.register("database_pool_wait_seconds", "How long a statement or transaction waited for a connection", self.pool_wait.clone());
        let help = "A statement that is a transaction of its own, from the connection in hand to its last row";
        to.register("database_statement_seconds", help, self.statement.clone());
    }
}

/// See [`broker`].
pub struct Broker {
    /// From a message's sending to RabbitMQ's confirm.
    pub confirm: Histogram,
}

impl Broker {
    fn new() -> Self {
        Self { confirm: short() }
    }

    fn register(&self, to: &mut Registry) {
        to.register("broker_confirm_seconds", "From the sending of a message to RabbitMQ's confirm", self.confirm.clone());
    }
}

/// See [`traces`].
pub struct Traces {
    /// Spans that the collector took.
    pub exported: Counter,
    /// Spans that it did not take.
    pub failed: Counter,
    /// Spans that found the queue full.
    pub dropped: Counter,
    spans: Family<[Label; 1], Counter>,
}

impl Traces {
    fn new() -> Self {
        let spans = Family::<[Label; 1], Counter>::default();
        let of = |result| spans.get_or_create_owned(&[("result", result)]);
        Self { exported: of("exported"), failed: of("failed"), dropped: of("dropped"), spans }
    }

    fn register(&self, to: &mut Registry) {
        to.register(
            "trace_spans",
            "Spans that the collector took, that it did not take, and that found the queue full",
            self.spans.clone(),
        );
    }
}

/// How runs end and how they come about.
pub const RUN_TYPES: &[&str] = &["scheduled", "manual", "backfill", "operator_triggered", "asset_triggered"];
const RUN_ENDS: &[&str] = &["success", "failed"];

/// See [`scheduler`].
pub struct Scheduler {
    loops: Counter,
    cached_runs: Gauge,
    turn: Histogram,
    plan: Histogram,
    admission: Histogram,
    admitted: Counter,
    runs_ended: Family<[Label; 2], Counter>,
    run_duration: Histograms<[Label; 1]>,
    dag_run_duration: Histograms<Vec<(&'static str, String)>>,
    schedule_delay: Histogram,
    parse: Histogram,
    sync: Histogram,
}

/// The end of a run.
#[derive(Debug, Clone, Copy)]
pub struct RunEnded<'a> {
    /// Its DAG.
    pub dag_id: &'a str,
    /// `scheduled`, `manual`, …
    pub run_type: &'a str,
    /// `success` or `failed`.
    pub state: &'a str,
    /// From its start to its end.
    pub took: Duration,
}

impl Scheduler {
    fn new() -> Self {
        let runs_ended = Family::<[Label; 2], Counter>::default();
        let run_duration = Histograms::new_with_constructor(work as fn() -> Histogram);
        // Rates begin at the first run, not at the second.
        for state in RUN_ENDS {
            let _ = run_duration.get_or_create(&[("state", *state)]);
            for run_type in RUN_TYPES {
                let _ = runs_ended.get_or_create(&[("state", *state), ("run_type", *run_type)]);
            }
        }
        Self {
            loops: Counter::default(),
            cached_runs: Gauge::default(),
            turn: short(),
            plan: short(),
            admission: short(),
            admitted: Counter::default(),
            runs_ended,
            run_duration,
            dag_run_duration: Histograms::new_with_constructor(work as fn() -> Histogram),
            schedule_delay: wait(),
            parse: wait(),
            sync: wait(),
        }
    }

    fn register(&self, to: &mut Registry) {
        to.register("scheduler_loops", "Turns of the scheduler's loop", self.loops.clone());
        to.register("scheduler_cached_runs", "Runs whose state is in the scheduler's memory", self.cached_runs.clone());
        to.register("scheduler_turn_seconds", "What one turn of the loop did: load, plan, commit, admit, hint", self.turn.clone());
        to.register("planner_pass_seconds", "The planner itself, for the runs of one commit: no database in it", self.plan.clone());
        to.register("admission_seconds", "Admission from one pool: load, render, commit, hint", self.admission.clone());
        to.register("attempts_admitted", "Attempts that were queued", self.admitted.clone());
        to.register("dag_runs_ended", "Runs that ended", self.runs_ended.clone());
        to.register("dag_run_duration_seconds", "Runs from their start to their end", self.run_duration.clone());
        to.register("dag_run_duration_by_dag_seconds", "The same by DAG (--metrics-dags)", self.dag_run_duration.clone());
        let help = "How long after its time a scheduled run started";
        to.register("schedule_delay_seconds", help, self.schedule_delay.clone());
        to.register("dag_file_parse_seconds", "Reading one DAG file that changed", self.parse.clone());
        to.register("dag_sync_seconds", "Storing what one look at the DAG files found", self.sync.clone());
    }

    /// The loop came round and worked for so long. The states of so many runs are in memory.
    pub fn turned(&self, took: Duration, cached_runs: usize) {
        self.loops.inc();
        self.cached_runs.set(i64::try_from(cached_runs).unwrap_or(i64::MAX));
        self.turn.observe(took.as_secs_f64());
        if let Some(airflow) = airflow() {
            airflow.count("scheduler_heartbeat", None, 1);
            airflow.time("scheduler_scheduler_loop_duration", None, took);
        }
    }

    /// The planner went over some runs.
    pub fn planned(&self, took: Duration) {
        self.plan.observe(took.as_secs_f64());
    }

    /// One pool was admitted from.
    pub fn admitted(&self, attempts: usize, took: Duration) {
        self.admission.observe(took.as_secs_f64());
        self.admitted.inc_by(attempts as u64);
        if let Some(airflow) = airflow() {
            airflow.time("scheduler_critical_section_duration", None, took);
            airflow.set("scheduler_tasks_executable", number(attempts));
        }
    }

    /// A run ended.
    pub fn run_ended(&self, run: &RunEnded<'_>) {
        let state = one_of(run.state, RUN_ENDS);
        self.runs_ended.get_or_create(&[("state", state), ("run_type", one_of(run.run_type, RUN_TYPES))]).inc();
        self.run_duration.get_or_create(&[("state", state)]).observe(run.took.as_secs_f64());
        let label = dag_label(run.dag_id);
        if let Some(dag_id) = &label {
            let labels = vec![("dag_id", dag_id.clone()), ("state", state.to_owned())];
            self.dag_run_duration.get_or_create(&labels).observe(run.took.as_secs_f64());
        }
        if let Some(airflow) = airflow() {
            let (all, by_dag) = match state {
                "success" => ("dagrun_duration_success", "dagrun_duration"),
                _ => ("dagrun_duration_failed", "dagrun_failed"),
            };
            airflow.time(all, None, run.took);
            airflow.time(by_dag, label, run.took);
        }
    }

    /// A run of a timetable started so long after its time.
    pub fn run_started(&self, dag_id: &str, late: Duration) {
        self.schedule_delay.observe(late.as_secs_f64());
        if let Some(airflow) = airflow() {
            airflow.time("dagrun_schedule_delay", dag_label(dag_id), late);
        }
    }

    /// A file was read.
    pub fn parsed(&self, took: Duration) {
        self.parse.observe(took.as_secs_f64());
        if let Some(airflow) = airflow() {
            airflow.time("dag_processing_last_duration", None, took);
        }
    }

    /// What was read is stored. `parsing` is how long all files together took to be read, as they are now.
    pub fn synced(&self, took: Duration, parsing: Duration) {
        self.sync.observe(took.as_secs_f64());
        if let Some(airflow) = airflow() {
            airflow.set("dag_processing_total_parse_time", parsing.as_secs_f64());
        }
    }
}

const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const CLASSES: &[&str] = &["1xx", "2xx", "3xx", "4xx", "5xx"];

/// See [`http`].
pub struct Http {
    /// Event streams that are open.
    pub streams: Gauge,
    requests: Histograms<Vec<(&'static str, String)>>,
}

impl Http {
    fn new() -> Self {
        Self { streams: Gauge::default(), requests: Histograms::new_with_constructor(short as fn() -> Histogram) }
    }

    fn register(&self, to: &mut Registry) {
        let help = "Requests to the API from their head to the head of the answer, by the route's template";
        to.register("http_request_seconds", help, self.requests.clone());
        to.register("event_streams", "Event streams that are open", self.streams.clone());
    }

    /// A request was answered. `route` is its template, never its path.
    pub fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let class = CLASSES.get(usize::from(status / 100).wrapping_sub(1)).copied().unwrap_or("other");
        let labels = vec![("method", one_of(method, METHODS).to_owned()), ("route", route.to_owned()), ("status", class.to_owned())];
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests;
