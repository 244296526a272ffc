//! The worker: takes attempts, starts them, watches them to their end, writes what happened.
//!
//! It holds nothing that matters. Attempts are claimed into *lease groups*, rows that say who watches; the commands themselves belong to
//! the runner and outlive the worker. When a worker dies, another one takes its groups over by one compare-and-set each and goes on
//! watching: nothing is restarted (I10).
//!
//! ```text
//! claimer    permits → hints or pull → claim (commit) → one driver per attempt
//! driver     launch → (bind → start) → wait → finish
//! binder     batches binds: which of the objects that were made for an attempt may start
//! finisher   batches ends: one transaction for what is there now, then a wake for the scheduler
//! log_shipper  copies new bytes of live logs to the store, and the rest at the end, then lets the runner forget the attempt
//! sweeper    lets the runner forget what is over and was left lying by a worker that died
//! heartbeat  moves the beat of my groups, hears of intents, looks for groups whose beat stands still
//! ```

mod adopt;
mod attempt_trace;
mod bind;
mod claim;
mod crash_point;
mod drive;
mod finish;
mod log_ship;
mod mask;
pub mod process;
mod progress;
mod python;
pub mod runner;
pub mod supervise;
mod sweep;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use updraft_broker::Broker;
use updraft_model::AttemptKey;
use updraft_store::{GroupRow, Store, WorkerRow};
use updraft_telemetry::{Pulse, metrics};
use uuid::Uuid;

pub use crate::python::PythonRuntime;
use crate::runner::{LogPosition, Progress, Runner};

/// How a worker behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// The queues that it takes from.
    pub queues: Vec<String>,
    /// Most attempts that it watches at once.
    pub concurrency: usize,
    /// How often it moves the beat of its groups.
    pub heartbeat: Duration,
    /// How long a beat must stand still, on this worker's clock and while its own heartbeats go through, before it adopts the group. At
    /// least three heartbeats.
    pub lease_ttl: Duration,
    /// How often it looks for attempts without a hint.
    pub pull_every: Duration,
    /// Whether no other worker of this host can be alive: then every group of the host is adopted at once. Only `standalone` knows that,
    /// because it holds the lock of its data folder.
    pub only_worker_of_host: bool,
    /// Beats whenever the heartbeat comes round, whether or not it goes through.
    pub pulse: Pulse,
    /// What this worker logs in with. A command that gets hold of it does not get it into its log.
    pub secrets: Secrets,
    /// How Python tasks are run. None: they fail, and say so.
    pub python: Option<Arc<PythonRuntime>>,
}

/// Texts that nobody may read, not in what describes this worker either.
#[derive(Clone, Default)]
pub struct Secrets(pub Vec<String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queues: vec!["default".to_owned()],
            concurrency: 64,
            heartbeat: Duration::from_secs(2),
            lease_ttl: Duration::from_secs(7),
            pull_every: Duration::from_secs(10),
            only_worker_of_host: false,
            pulse: Pulse::default(),
            secrets: Secrets::default(),
            python: None,
        }
    }
}

/// Why a worker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lease would be judged before its owner had a fair chance to renew it.
    #[error("lease_ttl ({ttl:?}) must be at least three heartbeats ({heartbeat:?} each)")]
    LeaseTooShort {
        /// The setting.
        ttl: Duration,
        /// The setting.
        heartbeat: Duration,
    },
    /// Nothing could ever be claimed.
    #[error("concurrency must be at least 1")]
    NoConcurrency,
}

/// Everything that the parts of one worker share.
pub(crate) struct Shared<R> {
    pub(crate) id: Uuid,
    pub(crate) store: Store,
    pub(crate) broker: Broker,
    pub(crate) runner: R,
    pub(crate) config: Config,
    pub(crate) permits: Arc<Semaphore>,
    /// Somebody wants that this worker takes nothing new.
    pub(crate) draining: watch::Sender<bool>,
    pub(crate) ends: mpsc::UnboundedSender<finish::End>,
    pub(crate) logs: mpsc::UnboundedSender<log_ship::Rest>,
    pub(crate) binds: mpsc::UnboundedSender<bind::Bind>,
    pub(crate) progress: mpsc::Sender<Progress>,
    /// The attempts that are driven here.
    pub(crate) driven: Mutex<BTreeMap<AttemptKey, Driven>>,
    pub(crate) drivers: TaskTracker,
    pub(crate) shutdown: CancellationToken,
    /// Finds the worker's own secrets in logs.
    pub(crate) own: Option<Arc<mask::Finder>>,
}

/// An attempt that is driven here.
pub(crate) struct Driven {
    /// How far its log is stored. None: not known yet, its log is not copied.
    pub(crate) log: Option<LogPosition>,
    /// Somebody wants it stopped. Matters to an attempt that is not launched yet.
    pub(crate) unwanted: CancellationToken,
    /// Over its log. None: it knows no secret.
    pub(crate) mask: Option<mask::Mask>,
}

impl<R> Shared<R> {
    /// What hides the secrets of an attempt, and the worker's.
    pub(crate) fn mask(&self, spec: &updraft_model::LaunchSpec) -> Option<mask::Mask> {
        let of_launch = mask::of_launch(spec);
        let finder = if of_launch.is_empty() {
            self.own.clone()
        } else {
            mask::Finder::of(of_launch.into_iter().chain(self.config.secrets.0.iter().map(String::as_str)))
        };
        finder.map(mask::Mask::new)
    }

    /// Hears whether it is to take nothing new.
    pub(crate) fn tell_draining(&self, draining: bool) {
        let changed = self.draining.send_if_modified(|now| std::mem::replace(now, draining) != draining);
        if changed && draining {
            info!(worker.id = %self.id, "draining: nothing new is taken, what is watched goes on; `updraft workers undrain {}` ends it", self.id);
        } else if changed {
            info!(worker.id = %self.id, "no longer draining: new attempts are taken");
        }
    }

    pub(crate) fn driven(&self) -> std::sync::MutexGuard<'_, BTreeMap<AttemptKey, Driven>> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells how many attempts are watched here.
    pub(crate) fn tell_watched(&self) {
        metrics::worker().watched.set(i64::try_from(self.driven().len()).unwrap_or(i64::MAX));
    }

    /// Tells people where an attempt stands. Dropped when too much is told at once: it is told again.
    pub(crate) fn news(&self, news: Progress) {
        let _ = self.progress.try_send(news);
    }
}

/// Runs a worker until `shutdown`. Then it stops claiming, hands its groups over and returns; whatever it watched goes on without it.
/// `no_new_work` comes before: it only stops claiming, and what was claimed is watched to its end.
pub async fn run<R: Runner>(
    store: Store,
    broker: Broker,
    runner: R,
    config: Config,
    no_new_work: CancellationToken,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    if config.lease_ttl < config.heartbeat * 3 {
        return Err(Error::LeaseTooShort { ttl: config.lease_ttl, heartbeat: config.heartbeat });
    }
    if config.concurrency == 0 {
        return Err(Error::NoConcurrency);
    }
    metrics::worker().slots.set(i64::try_from(config.concurrency).unwrap_or(i64::MAX));
    let (ends, end_queue) = mpsc::unbounded_channel();
    let (logs, log_queue) = mpsc::unbounded_channel();
    let (binds, bind_queue) = mpsc::unbounded_channel();
    let (progress, progress_queue) = mpsc::channel(progress::MOST);
    let own = mask::Finder::of(config.secrets.0.iter().map(String::as_str));
    let shared = Arc::new(Shared {
        id: Uuid::now_v7(),
        permits: Arc::new(Semaphore::new(config.concurrency)),
        draining: watch::Sender::new(false),
        store,
        broker,
        runner,
        config,
        ends,
        logs,
        binds,
        progress,
        driven: Mutex::default(),
        drivers: TaskTracker::new(),
        shutdown: shutdown.clone(),
        own,
    });
    let row = WorkerRow {
        id: shared.id,
        host: shared.runner.host().to_owned(),
        pid: i32::try_from(std::process::id()).unwrap_or(0),
        runner: shared.runner.kind().to_owned(),
        queues: shared.config.queues.clone(),
        concurrency: i32::try_from(shared.config.concurrency).unwrap_or(i32::MAX),
    };
    let group = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        group = register(&shared, &row) => group,
    };
    info!(worker.id = %shared.id, host = row.host, "worker {} takes from {}", shared.id, row.queues.join(", "));

    let parts = TaskTracker::new();
    parts.spawn(finish::finisher(Arc::clone(&shared), end_queue));
    parts.spawn(log_ship::log_shipper(Arc::clone(&shared), log_queue));
    parts.spawn(bind::binder(Arc::clone(&shared), bind_queue));
    parts.spawn(progress::progress_writer(Arc::clone(&shared), progress_queue));
    parts.spawn(sweep::sweeper(Arc::clone(&shared)));
    if shared.config.only_worker_of_host {
        adopt::adopt_host(&shared).await;
    }
    parts.spawn(adopt::heartbeat(Arc::clone(&shared), row));
    parts.spawn(adopt::notices(Arc::clone(&shared)));
    tokio::select! {
        () = no_new_work.cancelled() => {}
        () = claim::claimer(&shared, group) => {}
    }
    shutdown.cancelled().await;

    // Shutdown: nothing is claimed any more. Whatever is live is handed over.
    parts.close();
    if tokio::time::timeout(Duration::from_millis(1500), async {
        if let Err(error) = shared.store.groups_hand_over(shared.id).await {
            warn!(error = %error, "could not hand over: others will adopt after the lease");
        }
        let _ = shared.store.worker_leave(shared.id).await;
    })
    .await
    .is_err()
    {
        warn!("could not hand over in time: others will adopt after the lease");
    }
    Ok(())
}

async fn register<R: Runner>(shared: &Shared<R>, row: &WorkerRow) -> GroupRow {
    loop {
        let made = async {
            shared.store.worker_register(row).await?;
            shared.store.group_create(shared.id, shared.runner.host()).await
        };
        match made.await {
            Ok(group) => return group,
            Err(error) => error.patience("register").await,
        }
    }
}
