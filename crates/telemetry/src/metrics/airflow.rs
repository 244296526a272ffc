//! The figures under the names that a Prometheus user of Airflow knows: those that its StatsD figures have once the exporter of its chart has
//! mapped them. Counters have no `_total` there, and timers are summaries in seconds over the last ten minutes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::window::Window;

/// The exporter's.
const QUANTILES: &[(f64, &str)] = &[(0.5, "0.5"), (0.9, "0.9"), (0.99, "0.99")];

/// What is told under a name: with which label, if it has one.
struct Name {
    name: &'static str,
    label: &'static str,
    is_timer: bool,
    help: &'static str,
}

const fn figure(name: &'static str, label: &'static str, help: &'static str) -> Name {
    Name { name, label, is_timer: false, help }
}

const fn timer(name: &'static str, label: &'static str, help: &'static str) -> Name {
    Name { name, label, is_timer: true, help }
}

/// All names, with who tells them.
const NAMES: &[(Role, Name)] = &[
    (Role::Scheduler, figure("scheduler_heartbeat", "", "Turns of the scheduler's loop")),
    (Role::Scheduler, timer("scheduler_scheduler_loop_duration", "", "One turn of the scheduler's loop, in seconds")),
    (Role::Scheduler, timer("scheduler_critical_section_duration", "", "Admission from one pool, in seconds")),
    (Role::Scheduler, figure("scheduler_tasks_executable", "", "Attempts that the last admission queued")),
    (Role::Scheduler, timer("dagrun_duration_success", "", "Runs that succeeded, in seconds")),
    (Role::Scheduler, timer("dagrun_duration_failed", "", "Runs that failed, in seconds")),
    (Role::Scheduler, timer("dagrun_duration", "dag_id", "Runs that succeeded, in seconds")),
    (Role::Scheduler, timer("dagrun_failed", "dag_id", "Runs that failed, in seconds")),
    (Role::Scheduler, timer("dagrun_schedule_delay", "dag_id", "How long after its time a scheduled run started, in seconds")),
    (Role::Scheduler, timer("dag_processing_last_duration", "", "Reading one DAG file that changed, in seconds")),
    (Role::Scheduler, figure("dag_processing_total_parse_time", "", "Reading all DAG files, each as it was read last, in seconds")),
    (Role::Worker, figure("ti_start", "", "Attempts that were claimed")),
    (Role::Worker, figure("ti_finish", "state", "Attempts that ended")),
    (Role::Worker, figure("ti_successes", "", "Attempts that succeeded")),
    (Role::Worker, figure("ti_failures", "", "Attempts that failed, with or without a retry to come")),
    (Role::Worker, timer("task_duration", "dag_id", "Commands, in seconds")),
    (Role::Worker, timer("task_queued_duration", "", "From queued to claimed, in seconds")),
    (Role::Worker, timer("task_scheduled_duration", "", "From scheduled to queued, in seconds")),
    (Role::Worker, figure("scheduler_orphaned_tasks_adopted", "", "Attempts that were taken over from a worker that is gone")),
    (Role::Worker, figure("scheduler_tasks_killed_externally", "", "Attempts that the infrastructure ended")),
    (Role::Pods, timer("kubernetes_executor_pod_creation", "", "Creating a pod, in seconds")),
    (Role::Pods, figure("kubernetes_executor_pod_creation_status", "status", "Pods that were created, or not, by HTTP status")),
    (Role::Pods, timer("kubernetes_executor_pod_deletion", "", "Deleting a pod, in seconds")),
    (Role::Pods, figure("kubernetes_executor_pod_deletion_status", "status", "Pods that were deleted, or not, by HTTP status")),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Scheduler,
    Worker,
    Pods,
}

impl Role {
    fn is_here(self) -> bool {
        match self {
            Self::Scheduler => super::cells::scheduler.get().is_some(),
            Self::Worker => super::cells::worker.get().is_some(),
            Self::Pods => super::cells::pods.get().is_some(),
        }
    }
}

/// By name, then by the value of its label; none for a name without.
type By<T> = BTreeMap<&'static str, BTreeMap<Option<String>, T>>;

/// See [`airflow`](fn@super::airflow).
#[derive(Debug, Default)]
pub struct Airflow {
    figures: Mutex<Figures>,
}

#[derive(Debug, Default)]
struct Figures {
    numbers: By<f64>,
    timers: By<Window>,
}

impl Airflow {
    fn figures(&self) -> std::sync::MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub(super) fn count(&self, name: &'static str, label: Option<String>, more: u64) {
        *self.figures().numbers.entry(name).or_default().entry(label).or_default() += more as f64;
    }

    pub(super) fn set(&self, name: &'static str, value: f64) {
        self.figures().numbers.entry(name).or_default().insert(None, value);
    }

    pub(super) fn time(&self, name: &'static str, label: Option<String>, took: Duration) {
        let now = Instant::now();
        let mut figures = self.figures();
        let window = figures.timers.entry(name).or_default().entry(label).or_insert_with(|| Window::new(now));
        window.add(took.as_secs_f64(), now);
    }

    /// Tells all that this process knows, under names without a prefix.
    pub fn encode(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let now = Instant::now();
        let mut figures = self.figures();
        for (role, Name { name, label, is_timer, help }) in NAMES {
            if !role.is_here() {
                continue;
            }
            // The exporter's mapping gives this one a label.
            let always: &[(&str, &str)] = if *name == "scheduler_heartbeat" { &[("type", "counter")] } else { &[] };
            let labels = |value: &Option<String>| -> Vec<(String, String)> {
                let own = value.iter().map(|value| ((*label).to_owned(), value.clone()));
                always.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).chain(own).collect()
            };
            let mut family = out.encode_descriptor(name, help, None, MetricType::Unknown)?;
            if *is_timer {
                let timers = figures.timers.entry(name).or_default();
                for (value, window) in &mut *timers {
                    for (q, text) in QUANTILES {
                        let mut labels = labels(value);
                        labels.push(("quantile".to_owned(), (*text).to_owned()));
                        family.encode_family(&labels)?.encode_gauge(&window.quantile(*q, now))?;
                    }
                }
                for (part, of) in [("sum", (|w| w.sum) as fn(&Window) -> f64), ("count", |w| counted(w.count))] {
                    let name = format!("{name}_{part}");
                    let mut family = out.encode_descriptor(&name, help, None, MetricType::Unknown)?;
                    for (value, window) in &*timers {
                        family.encode_family(&labels(value))?.encode_gauge(&of(window))?;
                    }
                }
                continue;
            }
            match figures.numbers.get(name) {
                Some(rows) => {
                    for (value, number) in rows {
                        family.encode_family(&labels(value))?.encode_gauge(number)?;
                    }
                }
                // Rates begin at the first, not at the second.
                None if label.is_empty() => family.encode_family(&labels(&None))?.encode_gauge(&0.0)?,
                None => {}
            }
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn counted(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[derive(Debug)]
    struct All(Airflow);

    impl Collector for All {
        fn encode(&self, mut out: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
            self.0.encode(&mut out)
        }
    }

    #[test]
    fn figures_have_the_names_of_the_exporter() {
        let (scheduler, worker) = (super::super::scheduler(), super::super::worker());
        let _ = (scheduler, worker);
        let airflow = Airflow::default();
        airflow.count("scheduler_heartbeat", None, 3);
        airflow.count("ti_finish", Some("success".to_owned()), 2);
        airflow.time("dagrun_duration", Some("etl".to_owned()), Duration::from_secs(8));
        airflow.set("scheduler_tasks_executable", 5.0);
        let mut registry = Registry::with_prefix("airflow");
        registry.register_collector(Box::new(All(airflow)));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "# TYPE airflow_scheduler_heartbeat unknown",
            r#"airflow_scheduler_heartbeat{type="counter"} 3.0"#,
            r#"airflow_ti_finish{state="success"} 2.0"#,
            "airflow_ti_failures 0.0",
            r#"airflow_dagrun_duration_sum{dag_id="etl"} 8.0"#,
            r#"airflow_dagrun_duration_count{dag_id="etl"} 1.0"#,
            "airflow_scheduler_tasks_executable 5.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(text.contains(r#"airflow_dagrun_duration{dag_id="etl",quantile="0.5"} "#), "{text}");
        assert!(!text.contains("kubernetes_executor"), "no cluster here:\n{text}");
    }
}
