//! `GET /ui/events`: what changes, as it changes (server-sent events).
//!
//! While anybody listens, one task asks Postgres four times a second what was written since, and every stream takes from its answer what
//! belongs to its scope. The id of a message is the moment up to which it tells, so `Last-Event-ID` goes on on any replica of the API: what was
//! missed is read from the same tables. Where too much was missed a message says `reset`: read again what you show.
//!
//! What is told is a state, never a difference: being told twice does no harm, and a stream that goes on may tell the last seconds again.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Interval, MissedTickBehavior};
use updraft_model::{RunKey, TaskState};
use updraft_store::read::changes::{DagFace, InstanceChanged, RunChanged};
use updraft_store::read::history::Marks;
use updraft_telemetry::metrics;

use crate::ApiState;
use crate::condition::{self, Condition};
use crate::error::Error;
use crate::guard::{Entered, Proof};
use crate::request::Params;
use crate::shapes::{maybe, time};

/// Between two looks.
const TICK: Duration = Duration::from_millis(250);
/// Looks between two comparisons of the DAGs.
const DAGS_EACH: u32 = 4;
/// Looks between two comparisons of all that is beside DAGs and runs.
const OTHERS_EACH: u32 = 8;
/// How long a transaction may take from its first statement to its commit and still be told of.
const SLACK: TimeDelta = TimeDelta::seconds(10);
/// Most runs that one look, or the way back of a stream, tells of.
const MOST_RUNS: usize = 5_000;
/// The farthest way back.
const FARTHEST: TimeDelta = TimeDelta::minutes(15);
/// Messages that wait for a slow client before it is told to read everything again.
const ROOM: usize = 64;
/// Whoever listens proves so often that they still may.
const PROVED_EACH: Duration = Duration::from_secs(10);
/// Streams of one process.
const MOST_STREAMS: usize = 1_000;

/// What one look found.
#[derive(Debug)]
struct Told {
    /// Up to when.
    at: DateTime<Utc>,
    /// Too much to tell.
    reset: bool,
    runs: Vec<RunTold>,
    dags: Vec<DagTold>,
    others: Others,
}

/// What is told of the installation, to everybody: nothing of it is anybody's secret.
#[derive(Debug, Default)]
struct Others {
    /// Which lists look otherwise.
    lists: Vec<&'static str>,
    /// How the installation is, if that is another than before.
    health: Option<Value>,
}

impl Others {
    const LISTS: [&str; 6] = ["workers", "sources", "pools", "backfills", "history", "audit"];

    const fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.health.is_none()
    }
}

#[derive(Debug)]
struct RunTold {
    dag_id: String,
    run_id: String,
    shape: Value,
    tasks: Vec<Value>,
}

#[derive(Debug)]
struct DagTold {
    dag_id: String,
    shape: Value,
}

/// The one that looks, and the many that are told.
#[derive(Debug)]
pub(crate) struct Feed {
    told: broadcast::Sender<Arc<Told>>,
    looking: Mutex<bool>,
    streams: AtomicUsize,
    pub(crate) health: HealthTold,
}

/// How the installation is, as the streams and the answers of this process say.
///
/// A page reads it once, and then only hears what is told. So that it cannot keep for ever what was so for a moment between two looks, an
/// answer that says otherwise than what was told last has the next look tell how it is then, changed or not.
#[derive(Debug, Default)]
pub(crate) struct HealthTold(Mutex<(Option<Condition>, bool)>);

impl HealthTold {
    /// Remembers what a page was answered.
    pub(crate) fn answered(&self, condition: &Condition) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.1 |= told.0.as_ref() != Some(condition);
    }

    /// What there is to tell after a look.
    fn look(&self, condition: Condition) -> Option<Value> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unlike = std::mem::take(&mut told.1);
        let before = told.0.replace(condition);
        let now = told.0.as_ref()?;
        (unlike || before.is_some_and(|before| before != *now)).then(|| condition::told(now))
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self { told: broadcast::Sender::new(ROOM), looking: Mutex::new(false), streams: AtomicUsize::new(0), health: HealthTold::default() }
    }
}

impl Feed {
    fn listen(state: &ApiState) -> broadcast::Receiver<Arc<Told>> {
        let feed = &state.inner.feed;
        // Under the lock, so that the one that looks cannot leave between this and the look at the number of those who listen.
        let mut looking = feed.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = feed.told.subscribe();
        if !*looking {
            *looking = true;
            tokio::spawn(look(state.clone()));
        }
        receiver
    }

    fn may_leave(&self) -> bool {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        *looking = self.told.receiver_count() > 0;
        !*looking
    }
}

/// Looks until nobody listens.
async fn look(state: ApiState) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looker = Looker::default();
    let mut complained = false;
    loop {
        tokio::select! {
            () = state.inner.closing.cancelled() => {}
            _ = ticks.tick() => {}
        }
        if state.inner.closing.is_cancelled() || state.inner.feed.may_leave() {
            return;
        }
        match looker.look(&state).await {
            Ok(told) => {
                complained = false;
                if let Some(told) = told {
                    // Nobody there any more: the next turn ends this.
                    let _ = state.inner.feed.told.send(Arc::new(told));
                }
            }
            // The streams live on, and are told what they missed when Postgres is back.
            Err(error) => {
                if !std::mem::replace(&mut complained, true) {
                    tracing::warn!(%error, "event streams wait: what changed cannot be read");
                }
                if let Some(others) = Looker::without_database(&state) {
                    let at = looker.until.unwrap_or_default();
                    let _ = state.inner.feed.told.send(Arc::new(Told { at, reset: false, runs: Vec::new(), dags: Vec::new(), others }));
                }
            }
        }
    }
}

/// What has been told already.
#[derive(Debug, Default)]
struct Looker {
    /// Up to when was looked.
    until: Option<DateTime<Utc>>,
    /// By run: the number of its last event, and what its row said.
    seen: HashMap<i64, (i64, String)>,
    begun: HashMap<(i64, i32, i32, i32), DateTime<Utc>>,
    dags: Option<HashMap<String, DagFace>>,
    marks: Option<Marks>,
    turn: u32,
}

fn begun_key(row: &InstanceChanged) -> (i64, i32, i32, i32) {
    (row.id, row.idx, row.map_index, row.attempt)
}

impl Looker {
    async fn look(&mut self, state: &ApiState) -> Result<Option<Told>, Error> {
        let store = state.store();
        let now = store.now().await?;
        let since = self.until.unwrap_or(now) - SLACK;
        let changed = store.runs_changed(since, i64::try_from(MOST_RUNS).unwrap_or(i64::MAX) + 1).await?;
        let mut told = Told { at: now, reset: changed.len() > MOST_RUNS, runs: Vec::new(), dags: Vec::new(), others: Others::default() };
        let news: Vec<RunChanged> = changed
            .iter()
            .filter(|run| self.seen.get(&run.id).is_none_or(|(seq, state)| *seq < run.seq || *state != run.state))
            .take(MOST_RUNS)
            .cloned()
            .collect();
        let after: Vec<(RunKey, i64)> =
            news.iter().map(|run| (RunKey(run.id), self.seen.get(&run.id).map_or(0, |(seq, _)| *seq))).collect();
        // In this order: what has begun by the second answer had not ended in the first.
        let mut moves = if after.is_empty() { Vec::new() } else { store.instances_changed(&after, since).await? };
        let begun = store.instances_begun(since).await?;
        moves.extend(begun.iter().filter(|row| !self.begun.contains_key(&begun_key(row))).cloned());
        told.runs = tell(state, news, moves).await?;
        // All is asked before anything is taken as told: what the next look finds told has been told.
        let faces = if self.turn.is_multiple_of(DAGS_EACH) { Some(store.dag_faces().await?) } else { None };
        let marks = if self.turn.is_multiple_of(OTHERS_EACH) { Some(store.marks().await?) } else { None };
        let condition = if faces.is_some() { Some(condition::look(state).await) } else { None };
        self.begun.retain(|_, at| *at >= since);
        self.begun.extend(begun.iter().map(|row| (begun_key(row), row.at)));
        // Whoever wrote nothing for the whole of the slack is known by its times again.
        self.seen = changed.into_iter().map(|run| (run.id, (run.seq, run.state))).collect();
        told.dags = faces.map(|faces| self.compare(faces)).unwrap_or_default();
        told.others.lists = marks.map(|marks| self.compare_marks(marks)).unwrap_or_default();
        // Who is silent says nothing: this asks for it.
        told.others.health = condition.and_then(|condition| state.inner.feed.health.look(condition));
        self.turn = self.turn.wrapping_add(1);
        self.until = Some(now);
        Ok((told.reset || !told.runs.is_empty() || !told.dags.is_empty() || !told.others.is_empty()).then_some(told))
    }

    /// The same while nothing can be asked. Told at once: who looks should not take what they see for the state of things.
    fn without_database(state: &ApiState) -> Option<Others> {
        let health = state.inner.feed.health.look(condition::without_database(state))?;
        Some(Others { lists: Vec::new(), health: Some(health) })
    }

    /// The lists that look otherwise than the last time; none the first time.
    fn compare_marks(&mut self, now: Marks) -> Vec<&'static str> {
        let Some(before) = self.marks.replace(now.clone()) else { return Vec::new() };
        let changed = [
            before.workers != now.workers,
            before.sources != now.sources,
            before.pools != now.pools,
            before.backfills != now.backfills,
            before.minute != now.minute,
            before.audit != now.audit,
        ];
        Others::LISTS.into_iter().zip(changed).filter(|(_, changed)| *changed).map(|(list, _)| list).collect()
    }

    /// The DAGs that look otherwise than the last time; none the first time.
    fn compare(&mut self, faces: Vec<DagFace>) -> Vec<DagTold> {
        let now: HashMap<String, DagFace> = faces.into_iter().map(|face| (face.dag_id.clone(), face)).collect();
        let Some(before) = self.dags.replace(now) else { return Vec::new() };
        let now = self.dags.iter().flatten();
        let mut told: Vec<DagTold> = now.filter(|(id, face)| before.get(*id) != Some(face)).map(|(_, face)| dag_told(face)).collect();
        let gone = before.keys().filter(|id| !self.dags.iter().any(|dags| dags.contains_key(*id)));
        told.extend(gone.map(|id| DagTold { dag_id: id.clone(), shape: json!({"dag_id": id, "deleted": true}) }));
        told.sort_by(|a, b| a.dag_id.cmp(&b.dag_id));
        told
    }
}

fn dag_told(face: &DagFace) -> DagTold {
    let shape = json!({
        "dag_id": face.dag_id, "is_paused": face.is_paused, "is_stale": face.is_stale, "has_import_errors": face.has_import_errors,
        "version": face.version_id, "deleted": false,
    });
    DagTold { dag_id: face.dag_id.clone(), shape }
}

/// Runs with the moves of their instances, under the names that people know.
async fn tell(state: &ApiState, mut runs: Vec<RunChanged>, moves: Vec<InstanceChanged>) -> Result<Vec<RunTold>, Error> {
    let known: HashSet<i64> = runs.iter().map(|run| run.id).collect();
    let unknown: HashSet<i64> = moves.iter().map(|m| m.id).filter(|id| !known.contains(id)).collect();
    let unknown: Vec<RunKey> = unknown.into_iter().map(RunKey).collect();
    if !unknown.is_empty() {
        runs.extend(state.store().runs_now(&unknown).await?);
    }
    let mut by_run: HashMap<i64, Vec<InstanceChanged>> = HashMap::new();
    for row in moves {
        by_run.entry(row.id).or_default().push(row);
    }
    let mut told = Vec::with_capacity(runs.len());
    for run in runs {
        let moves = by_run.remove(&run.id).unwrap_or_default();
        let mut tasks = Vec::with_capacity(moves.len());
        if !moves.is_empty() {
            let version = state.version(run.version_id).await?;
            tasks.extend(moves.iter().filter_map(|m| {
                let state = match m.state.as_str() {
                    "running" => Some("running"),
                    other => other.parse::<TaskState>().ok().and_then(TaskState::as_api),
                };
                Some(json!({
                    "task_id": version.task(m.idx)?.task_id, "map_index": m.map_index, "state": state,
                    "try_number": (m.attempt - run.attempt_base).max(0), "reason": m.reason, "at": time(m.at),
                }))
            }));
        }
        let shape = json!({
            "dag_id": run.dag_id, "dag_run_id": run.run_id, "state": run.state, "start_date": maybe(run.start_date), "end_date": maybe(run.end_date),
        });
        told.push(RunTold { dag_id: run.dag_id, run_id: run.run_id, shape, tasks });
    }
    Ok(told)
}

/// What a stream is about.
#[derive(Debug, Clone)]
struct Scope {
    dag_id: Option<String>,
    run_id: Option<String>,
    /// What the listener may see of it.
    seen: crate::access::Scope,
}

impl Scope {
    fn of(params: &Params) -> Result<Self, Error> {
        let text = |name| params.one(name).filter(|text| !text.is_empty() && *text != "~").map(str::to_owned);
        let scope = Self { dag_id: text("dag_id"), run_id: text("run_id"), seen: params.1.clone() };
        if scope.run_id.is_some() && scope.dag_id.is_none() {
            return Err(Error::BadRequest("dag_id is required when run_id is specified".to_owned()));
        }
        Ok(scope)
    }

    fn has(&self, dag_id: &str, run_id: Option<&str>) -> bool {
        self.seen.has(dag_id)
            && self.dag_id.as_deref().is_none_or(|own| own == dag_id)
            && self.run_id.as_deref().is_none_or(|own| run_id.is_none_or(|run| run == own))
    }

    /// A message; none where nothing of it belongs here.
    fn message(&self, told: &Told) -> Option<Event> {
        if told.reset {
            return Some(reset(told.at));
        }
        let runs: Vec<Value> = told
            .runs
            .iter()
            .filter(|run| self.has(&run.dag_id, Some(&run.run_id)))
            .map(|run| {
                let mut shape = run.shape.clone();
                // The tasks of one run: who watches them all at once could not read so fast.
                if self.run_id.is_some() {
                    shape["task_instances"] = json!(run.tasks);
                }
                shape
            })
            .collect();
        let dags: Vec<Value> = told.dags.iter().filter(|dag| self.has(&dag.dag_id, None)).map(|dag| dag.shape.clone()).collect();
        if runs.is_empty() && dags.is_empty() && told.others.is_empty() {
            return None;
        }
        let mut data = json!({"dag_runs": runs, "dags": dags});
        if !told.others.lists.is_empty() {
            data["lists"] = json!(told.others.lists);
        }
        if let Some(health) = &told.others.health {
            data["health"] = health.clone();
        }
        Some(event("changes", told.at, &data))
    }
}

fn event(name: &str, at: DateTime<Utc>, data: &Value) -> Event {
    Event::default().event(name).id(at.timestamp_micros().to_string()).data(data.to_string())
}

fn reset(at: DateTime<Utc>) -> Event {
    event("reset", at, &json!({"remedy": "read again what you show"}))
}

/// What a stream that goes on has missed.
async fn missed(state: &ApiState, scope: &Scope, last: &str) -> Result<Option<Event>, Error> {
    let now = state.store().now().await?;
    let then = last.parse().ok().and_then(DateTime::from_timestamp_micros).filter(|then| *then <= now + SLACK && *then >= now - FARTHEST);
    let Some(then) = then else { return Ok(Some(reset(now))) };
    let since = then - SLACK;
    let changed = state.store().runs_changed(since, i64::try_from(MOST_RUNS).unwrap_or(i64::MAX) + 1).await?;
    if changed.len() > MOST_RUNS {
        return Ok(Some(reset(now)));
    }
    let runs: Vec<RunChanged> = changed.into_iter().filter(|run| scope.has(&run.dag_id, Some(&run.run_id))).collect();
    let mut moves = Vec::new();
    if scope.run_id.is_some() {
        let all: Vec<(RunKey, i64)> = runs.iter().map(|run| (RunKey(run.id), 0)).collect();
        moves = state.store().instances_changed(&all, since).await?;
        let begun = state.store().instances_begun(since).await?;
        moves.extend(begun.into_iter().filter(|row| runs.iter().any(|run| run.id == row.id)));
    }
    // Nothing remembers what the DAGs and all else looked like then.
    let dags = state.store().dag_faces().await?.iter().map(dag_told).collect();
    let condition = condition::look(state).await;
    state.inner.feed.health.answered(&condition);
    let others = Others { lists: Others::LISTS.to_vec(), health: Some(condition::told(&condition)) };
    let told = Told { at: now, reset: false, runs: tell(state, runs, moves).await?, dags, others };
    Ok(scope.message(&told))
}

/// Counts the streams of this process.
pub(crate) struct Open(ApiState);

impl Open {
    pub(crate) fn begin(state: &ApiState) -> Result<Self, Error> {
        let open = Self(state.clone());
        metrics::http().streams.inc();
        if state.inner.feed.streams.fetch_add(1, Ordering::Relaxed) >= MOST_STREAMS {
            return Err(Error::Busy(format!("{MOST_STREAMS} event streams are open on this API already: close some, or add a replica")));
        }
        Ok(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.inner.feed.streams.fetch_sub(1, Ordering::Relaxed);
        metrics::http().streams.dec();
    }
}

/// One who listens.
struct Listener {
    receiver: broadcast::Receiver<Arc<Told>>,
    scope: Scope,
    open: Open,
    /// None where nobody logs in.
    proof: Option<Proof>,
    proofs: Interval,
}

impl Listener {
    /// The next message; none at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let told = tokio::select! {
                // In this order: who reads slowly is not told what waited for them before they have proved that they still may.
                biased;
                () = self.open.0.inner.closing.cancelled() => return None,
                _ = self.proofs.tick(), if self.proof.is_some() => {
                    self.prove().await?;
                    continue;
                }
                told = self.receiver.recv() => told,
            };
            let message = match told {
                Ok(told) => self.scope.message(&told),
                Err(RecvError::Lagged(_)) => Some(reset(Utc::now())),
                Err(RecvError::Closed) => return None,
            };
            if message.is_some() {
                return message;
            }
        }
    }

    /// Ends the stream of whoever may not listen any more: asked again, the API says why. Roles and DAGs that came since count from now on.
    async fn prove(&mut self) -> Option<()> {
        match self.proof.as_ref()?.scope(&self.open.0).await {
            Ok(seen) => self.scope.seen = seen?,
            // Nothing is told either while the database is away.
            Err(error) => tracing::debug!(%error, "who listens to events cannot be looked up"),
        }
        Some(())
    }
}

/// The stream. `dag_id` narrows it to a DAG, `run_id` to a run and tells of its task instances too.
pub(crate) async fn events(
    State(state): State<ApiState>,
    entered: Option<Extension<Entered>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Error> {
    let scope = Scope::of(&params)?;
    let open = Open::begin(&state)?;
    // First this, then the past: nothing falls between them.
    let receiver = Feed::listen(&state);
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).or_else(|| params.one("last_event_id"));
    let first = match last {
        Some(last) => missed(&state, &scope, last).await?,
        None => Some(event("open", state.store().now().await?, &json!({"version": state.inner.version}))),
    };
    let proof = entered.map(|Extension(entered)| Proof::of(entered, &headers));
    let mut proofs = tokio::time::interval_at(tokio::time::Instant::now() + PROVED_EACH, PROVED_EACH);
    proofs.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let listener = Listener { receiver, scope, open, proof, proofs };
    let rest = stream::unfold(listener, |mut listener| async move { Some((Ok::<_, Infallible>(listener.next().await?), listener)) });
    let all = futures::StreamExt::chain(stream::iter(first.map(Ok)), rest);
    // Proxies that gather answers before they pass them on would make it late.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"))];
    Ok((unbuffered, Sse::new(all).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(query: &[(&str, &str)]) -> Result<Scope, Error> {
        Scope::of(&Params(query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(), crate::access::Scope::ALL))
    }

    #[test]
    fn a_scope_has_its_own_and_nothing_else() {
        let all = scope(&[("dag_id", "~")]).unwrap();
        assert!(all.has("a", Some("r")) && all.has("b", None));
        let dag = scope(&[("dag_id", "a")]).unwrap();
        assert!(dag.has("a", Some("r")) && dag.has("a", None) && !dag.has("b", None));
        let run = scope(&[("dag_id", "a"), ("run_id", "r")]).unwrap();
        assert!(run.has("a", Some("r")) && run.has("a", None) && !run.has("a", Some("s")) && !run.has("b", Some("r")));
        assert!(scope(&[("run_id", "r")]).is_err());
    }

    #[test]
    fn lists_are_told_when_they_look_otherwise() {
        let mut looker = Looker::default();
        let marks = |workers: &str, audit| Marks { workers: workers.to_owned(), audit, ..Marks::default() };
        assert!(looker.compare_marks(marks("a", None)).is_empty(), "the first look");
        assert!(looker.compare_marks(marks("a", None)).is_empty(), "nothing changed");
        assert_eq!(looker.compare_marks(marks("b", Some(1))), ["workers", "audit"]);
    }

    #[test]
    fn dags_are_told_when_they_look_otherwise() {
        let face =
            |id: &str, is_paused| DagFace { dag_id: id.to_owned(), version_id: 1, is_paused, is_stale: false, has_import_errors: false };
        let mut looker = Looker::default();
        assert!(looker.compare(vec![face("a", true), face("b", true)]).is_empty(), "the first look");
        assert!(looker.compare(vec![face("a", true), face("b", true)]).is_empty(), "nothing changed");
        let told = looker.compare(vec![face("a", false), face("c", true)]);
        let told: Vec<_> = told.iter().map(|dag| (dag.dag_id.as_str(), dag.shape["deleted"] == json!(true))).collect();
        assert_eq!(told, [("a", false), ("b", true), ("c", false)]);
    }
}
