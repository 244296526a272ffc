//! Files → versions, cursors, import errors.
//!
//! A DAG leaves only when a complete look at its source lacks it and finds others there; a broken file keeps its last good version and shows
//! its error; a source that is suddenly empty, or cannot be read, changes nothing and says so.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use updraft_broker::Broker;
use updraft_dagfile::Diagnostic;
use updraft_dagfile::loader::FileResult;
use updraft_dagfile::python::Snapshot;
use updraft_model::{DagSpec, Semantics};
use updraft_planner::timetable::{self, Slot, Timetable, Window};
use updraft_store::read::history::CommitTaken;
use updraft_store::{DagUpsert, SlotRow, Store};
use updraft_telemetry::metrics;

use crate::dag_feed::{DagOrigin, DagSource, Feed, Reading};
use crate::{Config, answers, frame};

/// Shortest and longest wait after a look that failed.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

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
    let answers = answers::follow(store.clone(), config.clone(), shutdown.clone()).await;
    let mut followers = tokio::task::JoinSet::new();
    for source in config.sources.clone() {
        let follower = Follower {
            store: store.clone(),
            broker: broker.clone(),
            config: config.clone(),
            status: Arc::clone(&status),
            source,
            answers: answers.clone(),
            left_out: BTreeSet::new(),
            noted: None,
        };
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
    /// What files are answered.
    answers: watch::Receiver<Arc<Snapshot>>,
    /// Files of the commit that are not in its folder: each has an import error.
    left_out: BTreeSet<String>,
    /// The commit that is noted as taken.
    noted: Option<String>,
}

impl Follower {
    async fn follow(mut self, shutdown: CancellationToken) {
        let mut feed = Feed::start(&self.source, &self.config.sync_now, self.answers.clone(), shutdown.clone());
        // What was read last, for the status: when, with what problems, and why DAGs are kept that no file has.
        let mut last = json!({});
        let mut failures: u32 = 0;
        loop {
            let looked = tokio::select! {
                () = shutdown.cancelled() => return,
                looked = feed.read() => looked,
            };
            let failed = match looked {
                Ok(Some(reading)) => {
                    for problem in reading.changes.problems.iter().chain(&reading.changes.notes) {
                        warn!("{problem}");
                    }
                    for file in &reading.changes.files {
                        metrics::scheduler().parsed(Duration::from_millis(file.duration_ms));
                    }
                    let begin = Instant::now();
                    let kept = loop {
                        match self.take(&feed, &reading).await {
                            Ok(kept) => break kept,
                            Err(error) => tokio::select! {
                                () = shutdown.cancelled() => return,
                                () = error.patience("store DAGs") => {}
                            },
                        }
                    };
                    let parsing = feed.parser().results().map(|file| file.duration_ms).sum();
                    metrics::scheduler().synced(begin.elapsed(), Duration::from_millis(parsing));
                    let problems: Vec<String> = reading.changes.problems.iter().map(ToString::to_string).collect();
                    last = json!({"problems": problems, "kept": kept, "read_at": Utc::now()});
                    failures = 0;
                    None
                }
                Ok(None) => None,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    warn!(error = %error, "the DAG files of {} cannot be read; what was known stays", self.source.bundle);
                    Some(error.to_string())
                }
            };
            self.say(&feed, &last, failed.as_deref());
            feed.parser().rest().await;
            let again = async {
                if failed.is_none() {
                    return feed.changed().await;
                }
                let pause = PAUSES.0.saturating_mul(1 << failures.min(10)).min(PAUSES.1);
                let _ = tokio::time::timeout(pause, feed.changed()).await;
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = again => {}
            }
        }
    }

    /// Puts one object under the bundle's name: that of the source, what its files came to, and what is wrong, worst last.
    fn say(&self, feed: &Feed, last: &Value, failed: Option<&str>) {
        let mut status = feed.status();
        let files = feed.parser().results().count();
        let broken = feed.parser().results().filter(|f| !f.errors.is_empty()).count();
        let dags: usize = feed.parser().results().map(|f| f.dags.len()).sum();
        if let Some(status) = status.as_object_mut() {
            status.insert("files".to_owned(), files.into());
            status.insert("dags".to_owned(), dags.into());
            status.insert("files_with_errors".to_owned(), broken.into());
            for part in [last, &feed.parser().status()] {
                status.extend(part.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
            }
            let problem = last["problems"].as_array().and_then(|all| all.first()).and_then(Value::as_str);
            if let Some(error) = failed.or_else(|| last["kept"].as_str()).or(problem) {
                // Beside what the repository says: a server that is away hides nothing of the last commit, and the other way round.
                let both: Vec<&str> = status.get("last_error").and_then(Value::as_str).into_iter().chain([error]).collect();
                let both = both.join("\n");
                status.insert("state".to_owned(), "degraded".into());
                status.insert("last_error".to_owned(), both.into());
            }
        }
        self.status.send_modify(|all| {
            if let Some(all) = all.as_object_mut() {
                all.insert(self.source.bundle.clone(), status);
            }
        });
    }

    /// Stores what was read. Why DAGs are kept that no file has, if they are.
    async fn take(&mut self, feed: &Feed, reading: &Reading) -> Result<Option<String>, updraft_store::Error> {
        let bundle = self.source.bundle.clone();
        let changed = reading.changes.files.iter();
        let files: Vec<&FileResult> = if reading.whole { feed.parser().results().collect() } else { changed.collect() };
        let mut moved: Vec<String> = Vec::new();
        for file in &files {
            let mut errors: Vec<Diagnostic> = file.errors.clone();
            let source = read_text(&reading.root.join(&file.path)).await;
            for spec in &file.dags {
                let broken = self.config.policy.as_ref().map(|policy| updraft_dagfile::policy::violations(policy, spec, &file.path));
                if let Some(broken) = broken.filter(|broken| !broken.is_empty()) {
                    // Its last good version stays, as with any other mistake.
                    errors.extend(broken);
                    continue;
                }
                match self.store_dag(spec, file, &source, reading.commit.as_deref()).await? {
                    Ok(true) => moved.push(spec.dag_id.to_string()),
                    Ok(false) => {}
                    Err(error) => errors.push(
                        Diagnostic::new(file.path.clone(), updraft_dagfile::Kind::Invalid, error.to_string()).dag(spec.dag_id.as_str()),
                    ),
                }
            }
            let message = (!errors.is_empty()).then(|| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
            if let Some(message) = &message {
                warn!(file = file.path, "{message}");
            }
            let details = message.is_some().then(|| frame::details(&errors, &source));
            self.store.import_error_set(&bundle, &file.path, message.as_deref(), details.as_ref()).await?;
        }
        let left_out = reading.notes.iter().filter(|note| note.left_out);
        for note in left_out.clone() {
            self.store.import_error_set(&bundle, &note.path, Some(&note.message), None).await?;
        }
        let left_out: BTreeSet<String> = left_out.map(|note| note.path.clone()).collect();
        let known: BTreeSet<&str> = feed.parser().results().map(|f| f.path.as_str()).collect();
        let back = self.left_out.difference(&left_out).filter(|path| !known.contains(path.as_str()));
        for file in reading.changes.removed.iter().filter(|path| !left_out.contains(*path)).chain(back) {
            self.store.import_error_set(&bundle, file, None, None).await?;
        }
        if !reading.changes.problems.is_empty() {
            self.left_out = left_out;
            self.note_commit(feed, reading, moved, &[]).await?;
            return Ok(None);
        }
        if reading.whole {
            for file in self.store.import_error_files(&bundle).await? {
                if !known.contains(file.as_str()) && !left_out.contains(&file) {
                    self.store.import_error_set(&bundle, &file, None, None).await?;
                }
            }
        }
        self.left_out = left_out;
        let (removed, kept) = self.retire(feed, reading).await?;
        self.note_commit(feed, reading, moved, &removed).await?;
        Ok(kept)
    }

    /// Writes down which commit was taken and what came of it. A look that found nothing new has nothing to say of it.
    async fn note_commit(
        &mut self,
        feed: &Feed,
        reading: &Reading,
        mut changed: Vec<String>,
        removed: &[String],
    ) -> Result<(), updraft_store::Error> {
        let Some(commit) = &reading.commit else { return Ok(()) };
        if self.noted.as_ref() == Some(commit) && changed.is_empty() && removed.is_empty() {
            return Ok(());
        }
        changed.sort_unstable();
        changed.dedup();
        let fetched = reading.fetched.as_ref();
        let errors = feed.parser().results().filter(|file| !file.errors.is_empty()).count() + self.left_out.len();
        self.store
            .commit_taken(&CommitTaken {
                bundle: &self.source.bundle,
                commit,
                author: fetched.map(|commit| commit.author.as_str()),
                subject: fetched.map(|commit| commit.subject.as_str()),
                committed_at: fetched.and_then(|commit| commit.committed_at),
                changed: &changed,
                removed,
                errors: i32::try_from(errors).unwrap_or(i32::MAX),
            })
            .await?;
        self.noted = Some(commit.clone());
        Ok(())
    }

    /// DAGs that no file has any more, and why they are kept if they are. A file that is broken may still mean to have what it had.
    async fn retire(&self, feed: &Feed, reading: &Reading) -> Result<(Vec<String>, Option<String>), updraft_store::Error> {
        let mut present: BTreeSet<&str> = BTreeSet::new();
        let mut broken: BTreeSet<&str> = BTreeSet::new();
        let mut files = 0;
        for file in feed.parser().results() {
            files += 1;
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
            return Ok((gone, None));
        }
        // All at once is a failed mount or a slip of a commit far more often than a wish. One that leaves a folder with other files is one.
        let is_wish = !present.is_empty() || files > 0 && known.len() == 1 && matches!(self.source.origin, DagOrigin::Folder(_));
        if !is_wish {
            let place = match &reading.commit {
                Some(commit) => format!("commit {}", commit.get(..10).unwrap_or(commit)),
                None => reading.root.display().to_string(),
            };
            let kept = format!("{place} has no DAG any more: {} of before are kept until one is there again", gone.len());
            warn!("{kept}");
            return Ok((Vec::new(), Some(kept)));
        }
        info!("{} left: no file has them any more", gone.join(", "));
        self.store.dags_retire(&self.source.bundle, &gone).await?;
        Ok((gone, None))
    }

    /// Whether that gave the DAG another version.
    async fn store_dag(
        &mut self,
        spec: &Arc<DagSpec>,
        file: &FileResult,
        source: &str,
        commit: Option<&str>,
    ) -> Result<Result<bool, timetable::Error>, updraft_store::Error> {
        let semantics = self.config.semantics;
        let timetable = match timetable_of(spec, semantics) {
            Ok(timetable) => timetable,
            Err(error) => return Ok(Err(error)),
        };
        let json = spec.canonical_json();
        let hash = spec.version_hash();
        let max_active_runs = spec.max_active_runs.unwrap_or(self.config.defaults.max_active_runs);
        let fileloc = self.source.origin.name_of(&file.path);
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
                fileloc: &fileloc,
                git_commit: commit,
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
        Ok(Ok(upserted.changed))
    }
}

async fn read_text(path: &Path) -> String {
    tokio::fs::read(path).await.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}")).unwrap_or_default()
}
