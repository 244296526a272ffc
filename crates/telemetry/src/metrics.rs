//! What a process counts and measures. Every metric that is not read from the database at the scrape is named here, with its buckets and labels,
//! and in `docs/metrics.md`: a test compares the two with what real processes tell.
//!
//! Metrics belong to the process, as its log does, so the groups below are statics: a group is told of once some role has asked for it. Labels
//! have few values, all known here. The one exception, a DAG's id, is behind a switch and a cap ([`Settings::dags`]).

mod airflow;
mod window;

use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use airflow::Airflow;

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
pub const RUN_TYPES: &[&str] = &["scheduled", "manual", "backfill", "asset_triggered"];
const RUN_ENDS: &[&str] = &["success", "failed"];

/// See [`scheduler`].
pub struct Scheduler {
    loops: Counter,
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

    /// The loop came round and worked for so long.
    pub fn turned(&self, took: Duration) {
        self.loops.inc();
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

/// States of an instance after an attempt of it ended. `none`: it was cleared meanwhile.
const ENDS: &[&str] = &["success", "failed", "up_for_retry", "skipped", "none"];
const BUDGETS: &[&str] = &["none", "user", "infra"];

/// See [`worker`].
pub struct Worker {
    /// Attempts that it may watch at once.
    pub slots: Gauge,
    /// Attempts that it watches.
    pub watched: Gauge,
    ended: Family<[Label; 2], Counter>,
    duration: Histograms<[Label; 1]>,
    dag_ended: Family<Vec<(&'static str, String)>, Counter>,
    queue_wait: Histogram,
    slot_wait: Histogram,
    claim_wait: Histogram,
    launch: Histogram,
    claim: Histogram,
    claimed: Histogram,
    finish: Histogram,
    finished: Histogram,
    adopted: Counter,
}

/// The end of an attempt. Times that nobody knows are absent: a command that was never started has no duration.
#[derive(Debug, Clone, Copy, Default)]
pub struct AttemptEnded<'a> {
    /// Its DAG.
    pub dag_id: &'a str,
    /// The state of the instance afterwards.
    pub state: &'a str,
    /// Who pays: `user`, `infra`. None: nobody.
    pub budget: Option<&'a str>,
    /// How long its command ran.
    pub ran: Option<Duration>,
    /// From the moment when its instance could have started to the start of its command.
    pub queue_wait: Option<Duration>,
    /// The part of it until it was queued: the pool, or another limit.
    pub slot_wait: Option<Duration>,
    /// The part of it until a worker claimed it.
    pub claim_wait: Option<Duration>,
    /// The part of it until the command ran.
    pub launch: Option<Duration>,
}

impl Worker {
    fn new() -> Self {
        let ended = Family::<[Label; 2], Counter>::default();
        let duration = Histograms::new_with_constructor(work as fn() -> Histogram);
        for state in ENDS {
            let _ = duration.get_or_create(&[("state", *state)]);
        }
        for (state, budget) in [
            ("success", "none"),
            ("skipped", "none"),
            ("failed", "user"),
            ("failed", "infra"),
            ("up_for_retry", "user"),
            ("up_for_retry", "infra"),
        ] {
            let _ = ended.get_or_create(&[("state", state), ("budget", budget)]);
        }
        Self {
            slots: Gauge::default(),
            watched: Gauge::default(),
            ended,
            duration,
            dag_ended: Family::default(),
            queue_wait: wait(),
            slot_wait: wait(),
            claim_wait: wait(),
            launch: wait(),
            claim: short(),
            claimed: count(),
            finish: short(),
            finished: count(),
            adopted: Counter::default(),
        }
    }

    fn register(&self, to: &mut Registry) {
        to.register("worker_slots", "Attempts that this worker may watch at once", self.slots.clone());
        to.register("worker_attempts", "Attempts that this worker watches", self.watched.clone());
        to.register(
            "attempts_ended",
            "Attempts whose end this worker wrote, by the state of their instance afterwards",
            self.ended.clone(),
        );
        to.register("attempts_ended_by_dag", "The same by DAG (--metrics-dags)", self.dag_ended.clone());
        to.register("task_duration_seconds", "Commands from their start to their end", self.duration.clone());
        let help = "From the moment when a task could start (scheduled) to the start of its command";
        to.register("task_queue_wait_seconds", help, self.queue_wait.clone());
        to.register("task_slot_wait_seconds", "The part of it until it was queued: a pool or a limit", self.slot_wait.clone());
        to.register("task_claim_wait_seconds", "The part of it until a worker claimed it", self.claim_wait.clone());
        to.register("task_launch_seconds", "The part of it until the command ran: the pod, its node, its image", self.launch.clone());
        to.register("claim_seconds", "Claims of attempts in Postgres", self.claim.clone());
        to.register("claim_batch_attempts", "Attempts that a claim gave, where it gave any", self.claimed.clone());
        to.register("finish_seconds", "Writing the ends of attempts", self.finish.clone());
        to.register("finish_batch_attempts", "Ends in one transaction", self.finished.clone());
        to.register("attempts_adopted", "Attempts that were taken over from a worker that is gone", self.adopted.clone());
    }

    /// A claim gave so many.
    pub fn claimed(&self, attempts: usize, took: Duration) {
        self.claim.observe(took.as_secs_f64());
        if attempts > 0 {
            self.claimed.observe(number(attempts));
            if let Some(airflow) = airflow() {
                airflow.count("ti_start", None, attempts as u64);
            }
        }
    }

    /// Attempts were taken over.
    pub fn adopted(&self, attempts: usize) {
        self.adopted.inc_by(attempts as u64);
        if let Some(airflow) = airflow() {
            airflow.count("scheduler_orphaned_tasks_adopted", None, attempts as u64);
        }
    }

    /// So many ends were written in one transaction.
    pub fn finished(&self, attempts: usize, took: Duration) {
        self.finish.observe(took.as_secs_f64());
        self.finished.observe(number(attempts));
    }

    /// An attempt ended.
    pub fn ended(&self, end: &AttemptEnded<'_>) {
        let state = one_of(end.state, ENDS);
        let budget = one_of(end.budget.unwrap_or("none"), BUDGETS);
        self.ended.get_or_create(&[("state", state), ("budget", budget)]).inc();
        if let Some(ran) = end.ran {
            self.duration.get_or_create(&[("state", state)]).observe(ran.as_secs_f64());
        }
        for (histogram, took) in [
            (&self.queue_wait, end.queue_wait),
            (&self.slot_wait, end.slot_wait),
            (&self.claim_wait, end.claim_wait),
            (&self.launch, end.launch),
        ] {
            if let Some(took) = took {
                histogram.observe(took.as_secs_f64());
            }
        }
        let label = dag_label(end.dag_id);
        if let Some(dag_id) = &label {
            self.dag_ended.get_or_create(&vec![("dag_id", dag_id.clone()), ("state", state.to_owned())]).inc();
        }
        let Some(airflow) = airflow() else { return };
        airflow.count("ti_finish", Some(state.to_owned()), 1);
        match state {
            "success" => airflow.count("ti_successes", None, 1),
            "failed" | "up_for_retry" => airflow.count("ti_failures", None, 1),
            _ => {}
        }
        if budget == "infra" {
            airflow.count("scheduler_tasks_killed_externally", None, 1);
        }
        let timed = [
            ("task_duration", label, end.ran),
            ("task_queued_duration", None, end.claim_wait),
            ("task_scheduled_duration", None, end.slot_wait),
        ];
        for (name, label, took) in timed {
            if let Some(took) = took {
                airflow.time(name, label, took);
            }
        }
    }
}

/// What an API server answers, as Airflow counts it: by HTTP status.
const ANSWERS: &[(&str, &str)] = &[
    ("ok", "200"),
    ("exists", "409"),
    ("refused", "422"),
    ("quota", "403"),
    ("rights", "403"),
    ("not_found", "404"),
    ("changed", "409"),
    ("away", "error"),
];
const VERBS: &[&str] = &["create", "get", "patch", "delete", "list", "logs", "events"];

/// See [`pods`].
pub struct Pods {
    calls: Family<[Label; 1], Counter>,
    create: Histograms<[Label; 1]>,
    delete: Histograms<[Label; 1]>,
}

impl Pods {
    fn new() -> Self {
        let histograms = || Histograms::new_with_constructor(short as fn() -> Histogram);
        let (create, delete) = (histograms(), histograms());
        for family in [&create, &delete] {
            let _ = family.get_or_create(&[("answer", "ok")]);
        }
        let calls = Family::<[Label; 1], Counter>::default();
        for verb in VERBS {
            let _ = calls.get_or_create(&[("verb", *verb)]);
        }
        Self { calls, create, delete }
    }

    fn register(&self, to: &mut Registry) {
        to.register("kubernetes_calls", "Calls to the API server of Kubernetes, watches aside", self.calls.clone());
        to.register("pod_create_seconds", "Creating a pod: the call, not the pod's own start", self.create.clone());
        to.register("pod_delete_seconds", "Deleting a pod: the call, not the pod's own end", self.delete.clone());
    }

    /// A call was made.
    pub fn called(&self, verb: &str) {
        self.calls.get_or_create(&[("verb", one_of(verb, VERBS))]).inc();
    }

    /// A pod was created, or not: `answer` says how.
    pub fn created(&self, answer: &str, took: Duration) {
        Self::answered(&self.create, ["kubernetes_executor_pod_creation", "kubernetes_executor_pod_creation_status"], answer, took);
    }

    /// A pod was deleted, or not.
    pub fn deleted(&self, answer: &str, took: Duration) {
        Self::answered(&self.delete, ["kubernetes_executor_pod_deletion", "kubernetes_executor_pod_deletion_status"], answer, took);
    }

    fn answered(family: &Histograms<[Label; 1]>, names: [&'static str; 2], answer: &str, took: Duration) {
        let (answer, status) = ANSWERS.iter().copied().find(|(one, _)| *one == answer).unwrap_or(("other", "error"));
        family.get_or_create(&[("answer", answer)]).observe(took.as_secs_f64());
        if let Some(airflow) = airflow() {
            airflow.time(names[0], None, took);
            airflow.count(names[1], Some(status.to_owned()), 1);
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
