//! Files → versions, cursors, import errors.
//!
//! A DAG leaves only when a complete scan of its folder lacks it; a broken file keeps its last good version and shows its error; a folder that
//! is suddenly empty or unreadable changes nothing and says so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use notify::Watcher as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use updraft_broker::Broker;
use updraft_dagfile::loader::{FileResult, Loader};
use updraft_dagfile::python::{Options, Processor, Snapshot};
use updraft_dagfile::{Diagnostic, IgnoreSyntax};
use updraft_model::{DagSpec, Semantics};
use updraft_planner::timetable::{self, Slot, Timetable, Window};
use updraft_store::{DagUpsert, SlotRow, Store};

use crate::Config;

/// How long a folder must be quiet after a change before it is read: editors and `git` write in several steps.
const SETTLE: Duration = Duration::from_millis(100);
/// How often it is read even if nothing says that it changed: some file systems tell nothing.
const AT_LEAST_EVERY: Duration = Duration::from_secs(30);

/// A folder of DAG files.
#[derive(Debug, Clone)]
pub struct DagSource {
    /// Its name: Airflow's *bundle*.
    pub bundle: String,
    /// Where it is.
    pub root: PathBuf,
    /// How its Python files are read; absent: they are each an error.
    pub python: Option<Options>,
}

/// Why a source cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Python is not usable.
    #[error("python DAG files cannot be read")]
    Python(#[source] updraft_dagfile::python::Error),
}

/// Which Airflow's meaning a DAG has.
pub fn semantics_of(spec: &DagSpec, installation: Semantics) -> Semantics {
    spec.semantics.unwrap_or(installation)
}

/// The timetable of a DAG.
pub fn timetable_of(spec: &DagSpec, installation: Semantics) -> Result<Timetable, timetable::Error> {
    Timetable::new(&spec.schedule, &spec.timezone, semantics_of(spec, installation))
}

/// What a DAG allows its timetable.
pub fn window_of(spec: &DagSpec, installation: Semantics) -> Window {
    // A DAG without a start date may start wherever its first task does.
    let start_date = spec.start_date.or_else(|| spec.tasks.iter().filter_map(|t| t.start_date).min());
    let catchup = spec.catchup.unwrap_or_else(|| semantics_of(spec, installation).catchup());
    Window { start_date, end_date: spec.end_date, catchup }
}

pub(crate) fn slot(row: SlotRow) -> Slot {
    Slot {
        logical_date: row.logical_date,
        data_interval_start: row.interval_start,
        data_interval_end: row.interval_end,
        run_after: row.run_after,
    }
}

pub(crate) fn slot_row(slot: &Slot) -> SlotRow {
    SlotRow {
        logical_date: slot.logical_date,
        interval_start: slot.data_interval_start,
        interval_end: slot.data_interval_end,
        run_after: slot.run_after,
    }
}

/// Follows all sources until shutdown.
pub(crate) async fn dag_sync(store: Store, broker: Broker, config: Config, status: Arc<watch::Sender<Value>>, shutdown: CancellationToken) {
    let mut followers = tokio::task::JoinSet::new();
    for source in config.sources.clone() {
        let follower =
            Follower { store: store.clone(), broker: broker.clone(), config: config.clone(), status: Arc::clone(&status), source };
        followers.spawn(follower.follow(shutdown.clone()));
    }
    while followers.join_next().await.is_some() {}
}

struct Follower {
    store: Store,
    broker: Broker,
    config: Config,
    status: Arc<watch::Sender<Value>>,
    source: DagSource,
}

impl Follower {
    async fn follow(mut self, shutdown: CancellationToken) {
        let processor = match self.source.python.clone().map(Processor::new).transpose() {
            Ok(processor) => processor,
            Err(error) => {
                warn!(error = %error, "python DAG files cannot be read");
                self.say(json!({"state": "degraded", "python": error.to_string()}));
                None
            }
        };
        let mut loader = Loader::new(processor.clone(), IgnoreSyntax::default());
        let (changed, mut changes) = tokio::sync::mpsc::channel::<()>(1);
        let watcher = watch_folder(&self.source.root, changed);
        let mut first = true;
        loop {
            match loader.refresh(&self.source.root, &Snapshot::default()).await {
                Ok(found) => {
                    let held = found.emptied || !found.problems.is_empty();
                    for problem in found.problems.iter().chain(&found.notes) {
                        warn!("{problem}");
                    }
                    let all: Vec<FileResult> = if first { loader.results().cloned().collect() } else { found.files.clone() };
                    let mut again = true;
                    while again {
                        match self.take(&loader, &all, &found.removed, first, held).await {
                            Ok(()) => again = false,
                            Err(error) => tokio::select! {
                                () = shutdown.cancelled() => return,
                                () = error.patience("store DAGs") => {}
                            },
                        }
                    }
                    let files = loader.results().count();
                    let broken = loader.results().filter(|f| !f.errors.is_empty()).count();
                    let dags: usize = loader.results().map(|f| f.dags.len()).sum();
                    let state = if held { "held" } else { "ok" };
                    self.say(json!({
                        "state": state, "root": self.source.root, "files": files, "dags": dags, "files_with_errors": broken,
                        "problems": found.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
                        "emptied": found.emptied, "python": processor.as_ref().map(Processor::status), "read_at": Utc::now(),
                    }));
                    first = false;
                }
                Err(error) => {
                    warn!(error = %error, root = %self.source.root.display(), "DAG files cannot be read; what was known stays");
                    self.say(json!({"state": "unreadable", "root": self.source.root, "error": error.to_string()}));
                }
            }
            if let Some(processor) = &processor {
                processor.rest().await;
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = changes.recv(), if watcher.is_some() => {
                    // Wait until it is quiet.
                    while tokio::time::timeout(SETTLE, changes.recv()).await.is_ok_and(|c| c.is_some()) {}
                }
                () = tokio::time::sleep(if watcher.is_some() { AT_LEAST_EVERY } else { Duration::from_secs(2) }) => {}
            }
        }
    }

    fn say(&self, status: Value) {
        self.status.send_modify(|all| {
            if let Some(all) = all.as_object_mut() {
                all.insert(self.source.bundle.clone(), status);
            }
        });
    }

    async fn take(
        &mut self,
        loader: &Loader,
        files: &[FileResult],
        removed: &[String],
        first: bool,
        held: bool,
    ) -> Result<(), updraft_store::Error> {
        let bundle = self.source.bundle.clone();
        for file in files {
            let mut errors: Vec<Diagnostic> = file.errors.clone();
            let source = read_text(&self.source.root.join(&file.path)).await;
            for spec in &file.dags {
                if let Err(error) = self.store_dag(spec, file, &source).await? {
                    errors.push(
                        Diagnostic::new(file.path.clone(), updraft_dagfile::Kind::Invalid, error.to_string()).dag(spec.dag_id.as_str()),
                    );
                }
            }
            let message = (!errors.is_empty()).then(|| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
            if let Some(message) = &message {
                warn!(file = file.path, "{message}");
            }
            self.store.import_error_set(&bundle, &file.path, message.as_deref()).await?;
        }
        for file in removed {
            self.store.import_error_set(&bundle, file, None).await?;
        }
        if held {
            return Ok(());
        }
        if first {
            let known: BTreeSet<&str> = loader.results().map(|f| f.path.as_str()).collect();
            for file in self.store.import_error_files(&bundle).await? {
                if !known.contains(file.as_str()) {
                    self.store.import_error_set(&bundle, &file, None).await?;
                }
            }
        }
        if first || !removed.is_empty() || !files.is_empty() {
            self.retire(loader).await?;
        }
        Ok(())
    }

    /// DAGs that no file has any more. A file that is broken may still mean to have what it had.
    async fn retire(&self, loader: &Loader) -> Result<(), updraft_store::Error> {
        let mut present: BTreeSet<&str> = BTreeSet::new();
        let mut broken: BTreeSet<&str> = BTreeSet::new();
        for file in loader.results() {
            present.extend(file.dags.iter().map(|d| d.dag_id.as_str()));
            if !file.errors.is_empty() {
                broken.insert(file.path.as_str());
            }
        }
        let known = self.store.dags_of(&self.source.bundle).await?;
        let gone: Vec<String> = known
            .iter()
            .filter(|(dag_id, file)| !present.contains(dag_id.as_str()) && !broken.contains(file.as_str()))
            .map(|(dag_id, _)| dag_id.clone())
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        if present.is_empty() && known.len() > 1 {
            warn!("no file in {} has a DAG any more: taken for a failed mount, {} DAGs are kept", self.source.root.display(), gone.len());
            return Ok(());
        }
        info!("{} left: no file has them any more", gone.join(", "));
        self.store.dags_retire(&self.source.bundle, &gone).await
    }

    async fn store_dag(
        &mut self,
        spec: &Arc<DagSpec>,
        file: &FileResult,
        source: &str,
    ) -> Result<Result<(), timetable::Error>, updraft_store::Error> {
        let semantics = self.config.semantics;
        let timetable = match timetable_of(spec, semantics) {
            Ok(timetable) => timetable,
            Err(error) => return Ok(Err(error)),
        };
        let json = spec.canonical_json();
        let hash = spec.version_hash();
        let max_active_runs = spec.max_active_runs.unwrap_or(self.config.defaults.max_active_runs);
        let fileloc = self.source.root.join(&file.path);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of parsing")]
        let upserted = self
            .store
            .dag_upsert(&DagUpsert {
                spec,
                json: &json,
                hash: &hash,
                source,
                bundle: &self.source.bundle,
                relative_fileloc: &file.path,
                fileloc: &fileloc.to_string_lossy(),
                git_commit: None,
                paused_at_creation: spec.is_paused_upon_creation.unwrap_or(self.config.paused_at_creation),
                max_active_runs: i32::try_from(max_active_runs).unwrap_or(i32::MAX),
                parse_ms: file.duration_ms as f64,
                timetable_summary: timetable.summary(),
                timetable_description: &timetable.description(),
            })
            .await?;
        if upserted.new_version {
            info!(dag.id = %spec.dag_id, "new version of {} from {}", spec.dag_id, file.path);
        }
        debug!(dag.id = %spec.dag_id, "read {}", spec.dag_id);
        let last = upserted.cursor.last.map(slot);
        let next = timetable.next_slot(last.as_ref(), &window_of(spec, semantics), Utc::now()).map(|s| slot_row(&s));
        if next != upserted.cursor.next {
            self.store.dag_next_set(spec.dag_id.as_str(), upserted.cursor.last, next).await?;
        }
        self.broker.wake_all();
        Ok(Ok(()))
    }
}

async fn read_text(path: &Path) -> String {
    tokio::fs::read(path).await.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}")).unwrap_or_default()
}

/// Tells when something below the folder changes. None: the system cannot tell, and the folder is read every few seconds instead.
fn watch_folder(root: &Path, changed: tokio::sync::mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let told = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|e| !e.kind.is_access()) {
            let _ = changed.try_send(());
        }
    };
    let mut watcher = match notify::recommended_watcher(told) {
        Ok(watcher) => watcher,
        Err(error) => {
            warn!(error = %error, "changes of files are not announced here, looking every 2 s");
            return None;
        }
    };
    match watcher.watch(root, notify::RecursiveMode::Recursive) {
        Ok(()) => Some(watcher),
        Err(error) => {
            warn!(error = %error, "{} cannot be watched, looking every 2 s", root.display());
            None
        }
    }
}
