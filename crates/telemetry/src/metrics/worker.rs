//! What a worker does, and how attempts end.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Histograms, Label, airflow, count, dag_label, number, one_of, short, wait, work};

/// States of an instance after an attempt of it ended. `none`: it was cleared meanwhile.
const ENDS: &[&str] = &["success", "failed", "up_for_retry", "skipped", "none"];
const BUDGETS: &[&str] = &["none", "user", "infra"];

/// See [`worker`](fn@super::worker).
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
    pub(super) fn new() -> Self {
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

    pub(super) fn register(&self, to: &mut Registry) {
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
