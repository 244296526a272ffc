//! The scheduler: executes what the planner decides.
//!
//! ```text
//! plan loop    wake or due time → load what changed → plan → commit → admit → hint
//! run creator  DAGs whose next slot has come → a run each, oldest first
//! dag sync     files of folders and repositories → versions, cursors, import errors
//! sweeper      every few seconds: runs with the durable mark that nobody planned, DAGs that nobody started
//! ```
//!
//! It keeps the states of the runs that it has seen, and reads only what came since. Nothing of that matters: any number of schedulers may
//! run, and one that starts anew loads what it needs. There is no leader. A hint is never believed, only looked up.

mod admission;
mod answers;
mod cache;
mod cycle;
pub mod dag_feed;
mod dag_sync;
mod deferred;
mod fleet_minutes;
mod frame;
mod outside;
mod retention;
mod run_creator;
mod run_trace;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;
use updraft_broker::Broker;
use updraft_model::{PodPolicy, RunKey, Semantics};
use updraft_planner::Defaults;
use updraft_store::read::retention::Retention;
use updraft_store::{Keyring, SchedulerBeat, Store};
use uuid::Uuid;

pub use dag_feed::{DagOrigin, DagSource};
pub use dag_sync::{semantics_of, timetable_of, window_of};
pub use outside::SecretSources;
pub use updraft_git::SyncNow;
pub use updraft_telemetry::Pulse;

/// How a scheduler behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// The installation's answers to what DAGs leave open.
    pub defaults: Defaults,
    /// Which Airflow's meaning files have that do not say.
    pub semantics: Semantics,
    /// Whether a new DAG starts out paused.
    pub paused_at_creation: bool,
    /// How often the sweeper looks for what was lost.
    pub sweep_every: Duration,
    /// Where DAG files come from.
    pub sources: Vec<DagSource>,
    /// Has the repositories among them fetched at once: whoever hears of a push keeps a clone of it.
    pub sync_now: SyncNow,
    /// Shown beside its heartbeat.
    pub host: String,
    /// Beats whenever the plan loop comes round, which is every ten seconds at least.
    pub pulse: Pulse,
    /// What pods may be: a DAG that breaks a rule is refused. None: nobody looks.
    pub policy: Option<PodPolicy>,
    /// How long finished runs are kept. None: for ever.
    pub retention: Option<Retention>,
    /// What opens variables and connections for templates. None: there are none.
    pub keyring: Option<Arc<Keyring>>,
    /// Where variables and connections are looked for before that.
    pub secrets: SecretSources,
}

/// How often the sweeper looks while the broker is away.
const SWEEP_WITHOUT_BROKER: Duration = Duration::from_secs(1);

/// One scheduler. [`run`] drives it; tests and benchmarks step it by [`Scheduler::cycle`].
pub struct Scheduler {
    pub(crate) id: Uuid,
    pub(crate) store: Store,
    pub(crate) broker: Broker,
    pub(crate) config: Config,
    pub(crate) cache: cache::Cache,
    /// Pools to admit from at the next turn.
    pub(crate) backlog: std::collections::BTreeSet<String>,
    /// Pools in which something was left waiting: an end frees slots for it.
    pub(crate) waiting: std::collections::BTreeSet<String>,
    pub(crate) dags_status: watch::Receiver<Value>,
    /// Where runs go that have ended, for their spans. None: nothing is traced.
    pub(crate) ended: Option<run_trace::EndedRuns>,
}

/// Runs a scheduler until `shutdown`. A lost server is waited for, never a reason to exit.
pub async fn run(store: Store, broker: Broker, config: Config, shutdown: CancellationToken) {
    let (status, dags_status) = watch::channel(Value::Object(serde_json::Map::new()));
    let sync = tokio::spawn(dag_sync::dag_sync(store.clone(), broker.clone(), config.clone(), Arc::new(status), shutdown.clone()));
    let forgetting = config.retention.map(|retention| tokio::spawn(retention::forget_old(store.clone(), retention, shutdown.clone())));
    let counting = tokio::spawn(fleet_minutes::count(store.clone(), shutdown.clone()));
    let (ended, emitter) = run_trace::begin(&store, &shutdown);
    let mut scheduler = Scheduler { ended, ..Scheduler::new(store, broker, config, dags_status) };
    info!(scheduler.id = %scheduler.id, "scheduler {} starts", scheduler.id);
    let (notices, sync_now) = (scheduler.broker.notices(scheduler.id), scheduler.config.sync_now.clone());
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = scheduler.work() => {}
        () = fetch_when_told(notices, sync_now) => {}
    }
    let _ = tokio::time::timeout(Duration::from_secs(1), scheduler.store.scheduler_leave(scheduler.id)).await;
    // The emitter ends with its queue.
    drop(scheduler);
    if let Some(emitter) = emitter {
        let _ = tokio::time::timeout(Duration::from_secs(1), emitter).await;
    }
    let _ = sync.await;
    let _ = counting.await;
    if let Some(forgetting) = forgetting {
        let _ = forgetting.await;
    }
}

/// Whoever hears of a push (the API, by a webhook) tells all schedulers.
async fn fetch_when_told(mut notices: updraft_broker::Notices, sync_now: SyncNow) {
    loop {
        notices.take().await;
        sync_now.ask();
    }
}

impl Scheduler {
    /// A scheduler that has seen nothing yet. `dags_status` is shown beside its heartbeat.
    pub fn new(store: Store, broker: Broker, config: Config, dags_status: watch::Receiver<Value>) -> Self {
        Self {
            id: Uuid::now_v7(),
            store,
            broker,
            config,
            cache: cache::Cache::default(),
            backlog: std::collections::BTreeSet::new(),
            waiting: std::collections::BTreeSet::new(),
            dags_status,
            ended: None,
        }
    }

    async fn work(&mut self) {
        let mut wakes = self.broker.wakes();
        let mut sweep_at = Instant::now();
        let mut due_at = Instant::now();
        let mut broker = self.broker.status();
        loop {
            self.config.pulse.beat();
            if !broker.borrow_and_update().is_up() {
                // Nobody can wake it: the durable marks are all there is.
                sweep_at = sweep_at.min(Instant::now() + SWEEP_WITHOUT_BROKER);
            }
            let (mut runs, look_around): (Vec<RunKey>, bool) = tokio::select! {
                biased;
                // A pool may have room for more than one batch: go on, but hear first what has ended meanwhile.
                () = std::future::ready(()), if !self.backlog.is_empty() => wakes.try_take(),
                woken = wakes.take() => woken,
                () = tokio::time::sleep_until(due_at.min(sweep_at)) => (Vec::new(), true),
                Ok(()) = broker.changed() => continue,
            };
            let begin = Instant::now();
            let sweeping = begin >= sweep_at;
            let worked = async {
                if sweeping {
                    self.sweep(&mut runs).await?;
                }
                let mut asks_due = look_around;
                if look_around {
                    runs.extend(self.store.due_take(500).await?);
                    runs.extend(self.look_at_deferred().await?);
                    runs.extend(self.create_runs().await?);
                }
                asks_due |= self.cycle(runs).await?;
                if asks_due {
                    due_at = self.next_due().await?;
                }
                Ok::<(), updraft_store::Error>(())
            };
            if let Err(error) = worked.await {
                // Whatever was half done is derived again from the durable marks.
                self.cache.clear();
                error.patience("plan").await;
                sweep_at = Instant::now();
                continue;
            }
            updraft_telemetry::metrics::scheduler().turned(begin.elapsed(), self.cache.len());
            if sweeping {
                sweep_at = Instant::now() + self.config.sweep_every;
            }
        }
    }

    /// Looks for whatever a lost hint or a dead scheduler left lying: one statement each, on small indexes.
    async fn sweep(&mut self, runs: &mut Vec<RunKey>) -> Result<(), updraft_store::Error> {
        let dags_status = self.dags_status.borrow().clone();
        let secrets_status = self.config.secrets.status().await;
        self.store
            .scheduler_beat(&SchedulerBeat {
                id: self.id,
                host: &self.config.host,
                pid: i32::try_from(std::process::id()).unwrap_or(0),
                dags_status: &dags_status,
                secrets_status: &secrets_status,
            })
            .await?;
        runs.extend(self.store.runs_dirty(500).await?);
        for dag_id in self.store.dags_to_start().await? {
            runs.extend(self.store.runs_start(&dag_id).await?.into_iter().map(|(run, _)| run));
        }
        self.backlog.extend(self.store.pools_unpark().await?);
        self.store.partitions_ensure().await
    }

    async fn next_due(&self) -> Result<Instant, updraft_store::Error> {
        // A little late rather than a little early: what is not due yet by the database's clock would be looked at twice.
        let wait =
            self.store.due_next().await?.map_or(Duration::from_secs(3600), |ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0) + 1));
        Ok(Instant::now() + wait.min(Duration::from_secs(3600)))
    }
}
