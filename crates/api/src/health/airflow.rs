//! Figures of the whole installation under Airflow's names (`--airflow-metrics`). What each stands for is in `docs/metrics.md`.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use updraft_store::read::fleet::Gauge;
use updraft_telemetry::metrics;

/// What this process counts, and what the gauges say.
#[derive(Debug)]
pub(super) struct Airflow {
    pub(super) gauges: Vec<Gauge>,
}

/// The rows of one name: the value of its label, if it has one, and its own.
type Rows = Vec<(Option<String>, f64)>;

impl Airflow {
    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Gauge> {
        self.gauges.iter().filter(move |gauge| gauge.name == name)
    }

    /// The sum of the rows in which some label has one of these values; of all, where there are none.
    fn sum(&self, name: &str, values: &[&str]) -> Rows {
        let counts = |gauge: &&Gauge| values.is_empty() || gauge.labels.iter().any(|(_, value)| values.contains(&value.as_str()));
        vec![(None, self.of(name).filter(counts).map(|gauge| gauge.value).sum())]
    }

    fn pools(&self, state: &str) -> Rows {
        let of_state = self.of("pool_slots").filter(|gauge| gauge.labels.iter().any(|(name, value)| *name == "state" && value == state));
        of_state.map(|gauge| (pool(gauge), gauge.value)).collect()
    }

    /// What waits in pools that are full.
    fn starving(&self) -> Rows {
        let open = self.pools("open");
        let is_full = |pool: &Option<String>| open.iter().any(|(of, slots)| of == pool && *slots <= 0.0);
        self.of("pool_waiting").map(|gauge| (pool(gauge), if is_full(&pool(gauge)) { gauge.value } else { 0.0 })).collect()
    }
}

fn pool(gauge: &Gauge) -> Option<String> {
    gauge.labels.iter().find(|(name, _)| *name == "pool").map(|(_, value)| value.clone())
}

impl Collector for Airflow {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        if let Some(counted) = metrics::airflow() {
            counted.encode(&mut out)?;
        }
        if self.gauges.is_empty() {
            return Ok(());
        }
        let slots = self.sum("workers_slots", &[]);
        let running = self.sum("task_instances", &["running"]);
        let open = vec![(None, (slots[0].1 - running[0].1).max(0.0))];
        let queued = self.sum("task_instances", &["queued"]);
        let starving = self.starving();
        for (name, label, help, rows) in [
            ("dagbag_size", "", "DAGs", self.sum("dags", &["active", "paused"])),
            ("dag_processing_import_errors", "", "DAG files that cannot be read", self.sum("import_errors", &[])),
            ("executor_open_slots", "", "Attempts that workers could watch besides", open),
            ("executor_queued_tasks", "", "Attempts that wait for a worker", queued.clone()),
            ("executor_running_tasks", "", "Attempts that run", running.clone()),
            ("pool_open_slots", "pool", "Open slots, of pools with a limit", self.pools("open")),
            ("pool_queued_slots", "pool", "Slots of attempts that wait for a worker", self.pools("queued")),
            ("pool_running_slots", "pool", "Slots of attempts that run", self.pools("running")),
            ("pool_scheduled_slots", "pool", "Slots of what waits for the pool", self.pools("scheduled")),
            ("pool_deferred_slots", "pool", "Slots of what is deferred, which holds none", self.pools("deferred")),
            ("pool_starving_tasks", "pool", "What waits in a pool that is full", starving.clone()),
            ("scheduler_tasks_starving", "", "What waits in pools that are full", vec![(None, starving.iter().map(|(_, n)| n).sum())]),
            ("scheduler_dagruns_running", "", "DAGs of which a run is running", self.sum("dags_running", &[])),
            ("ti_scheduled", "", "Task instances that wait for a slot", self.sum("task_instances", &["scheduled"])),
            ("ti_queued", "", "Task instances that wait for a worker", queued),
            ("ti_running", "", "Task instances that run", running),
        ] {
            let mut family = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (value, number) in rows {
                let labels: Vec<(&str, String)> = value.into_iter().map(|value| (label, value)).collect();
                family.encode_family(&labels)?.encode_gauge(&number)?;
            }
        }
        Ok(())
    }
}
