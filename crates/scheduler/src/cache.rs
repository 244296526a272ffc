//! The states of the runs that were seen lately, and the DAG versions that they share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::error;
use updraft_model::{DagSpec, RunKey, RunState, Schedule, Semantics, TaskState};
use updraft_planner::timetable::{Slot, Window};
use updraft_planner::{DagGraph, InstanceState, Past, RunView, decision, render};
use updraft_store::{Error, InstanceRow, RunFacts, RunHead, Store};
use updraft_telemetry::{metrics, traces};
use uuid::Uuid;

use crate::dag_sync::{semantics_of, timetable_of};
use crate::run_trace::RunTrace;

/// Most bytes of run states that are kept, by their own estimate.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Most DAG versions that are kept.
const MOST_GRAPHS: usize = 256;
/// Most runs of which it is remembered that their start was measured.
const MOST_STARTED: usize = 4096;

/// A run as it was last seen.
pub(crate) struct Cached {
    pub(crate) view: RunView,
    pub(crate) seq: i64,
    pub(crate) epoch: i64,
    pub(crate) facts: Arc<RunFacts>,
    /// What is the same for every template of the run.
    pub(crate) for_templates: Arc<render::RunFacts>,
    /// What its attempts belong to.
    pub(crate) trace: Option<RunTrace>,
    used: u64,
}

/// The cache of one scheduler.
#[derive(Default)]
pub(crate) struct Cache {
    runs: BTreeMap<RunKey, Cached>,
    graphs: BTreeMap<i64, Arc<DagGraph>>,
    bytes: usize,
    clock: u64,
    /// Runs whose start was measured.
    started: BTreeSet<RunKey>,
    /// What ids of spans are made with. Read once, if anything is traced.
    installation: Option<Uuid>,
}

fn state(row: &InstanceRow, run: RunKey) -> Result<TaskState, Error> {
    row.state.parse().map_err(|e| Error::BadRow {
        table: "task_instance",
        key: format!("{run}/{}/{}", row.idx, row.map_index),
        reason: format!("{e}"),
    })
}

/// When a run of a timetable stops being the newest: at the end of the interval after its own, as Airflow's `LatestOnlyOperator` has it. A run
/// that a person triggered always is.
fn latest_until(spec: &DagSpec, installation: Semantics, facts: &RunFacts, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if matches!(facts.run_type.as_str(), "manual" | "operator_triggered") || matches!(spec.schedule, Schedule::Continuous) {
        return None;
    }
    let date = facts.logical_date.unwrap_or(facts.run_after);
    let (start, end) = (facts.data_interval_start.unwrap_or(date), facts.data_interval_end.unwrap_or(date));
    let own = Slot { logical_date: date, data_interval_start: start, data_interval_end: end, run_after: facts.run_after };
    // The DAG's own end does not matter: what would come next, came there anything.
    let window = Window { start_date: Some(end), end_date: None, catchup: true };
    Some(timetable_of(spec, installation).ok()?.next_slot(Some(&own), &window, now)?.data_interval_end)
}

/// Tells a view what the tasks of its run have decided that may leave out others.
pub(crate) async fn decide(store: &Store, run: RunKey, view: &mut RunView) -> Result<(), Error> {
    if !view.graph().has_decisions() {
        return Ok(());
    }
    for (idx, key, value) in store.xcoms_of(run).await? {
        if let Ok(task) = u32::try_from(idx)
            && key == decision::KEY
            && view.graph().decides(task)
        {
            view.decided(task, &value);
        }
    }
    Ok(())
}

impl Cache {
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.bytes = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(crate) fn get(&mut self, run: RunKey) -> Option<&mut Cached> {
        self.clock += 1;
        let clock = self.clock;
        let cached = self.runs.get_mut(&run)?;
        cached.used = clock;
        Some(cached)
    }

    pub(crate) fn forget(&mut self, run: RunKey) {
        if let Some(cached) = self.runs.remove(&run) {
            self.bytes = self.bytes.saturating_sub(cached.view.weight());
        }
    }

    /// The graph of a version.
    pub(crate) async fn graph(&mut self, store: &Store, version_id: i64) -> Result<Option<Arc<DagGraph>>, Error> {
        if let Some(graph) = self.graphs.get(&version_id) {
            return Ok(Some(Arc::clone(graph)));
        }
        let Some(json) = store.dag_version_spec(version_id).await? else { return Ok(None) };
        let spec: DagSpec = match serde_json::from_str(&json) {
            Ok(spec) => spec,
            Err(cause) => {
                // Only this DAG's runs stand still; everything else goes on (B12).
                error!(error = %cause, version.id = version_id, "the stored form of DAG version {version_id} cannot be read");
                return Ok(None);
            }
        };
        if self.graphs.len() >= MOST_GRAPHS {
            self.graphs.pop_first();
        }
        let graph = Arc::new(DagGraph::new(spec));
        self.graphs.insert(version_id, Arc::clone(&graph));
        Ok(Some(graph))
    }

    /// Loads a run anew. None: there is no such run, or its DAG cannot be read.
    pub(crate) async fn load(&mut self, store: &Store, run: RunKey, semantics: Semantics) -> Result<Option<&mut Cached>, Error> {
        self.forget(run);
        let Some(head) = store.run_load(run).await? else { return Ok(None) };
        let Some(graph) = self.graph(store, head.facts.version_id).await? else { return Ok(None) };
        let past = if graph.waits_for_past() { self.past(store, run).await? } else { None };
        let RunHead { facts, seq, epoch, instances, now } = head;
        let latest_until = if graph.asks_for_latest() { latest_until(graph.spec(), semantics, &facts, now) } else { None };
        self.measure_start(&facts, &instances);
        let run_state: RunState =
            facts.state.parse().map_err(|e| Error::BadRow { table: "run", key: run.to_string(), reason: format!("{e}") })?;
        let deadline = facts
            .start_date
            .zip(graph.spec().dagrun_timeout_ms)
            .and_then(|(start, ms)| start.checked_add_signed(TimeDelta::milliseconds(i64::try_from(ms).unwrap_or(i64::MAX))));
        let mut states = Vec::with_capacity(instances.len());
        for row in &instances {
            if let Ok(task) = u32::try_from(row.idx)
                && (task as usize) < graph.len()
            {
                states.push(InstanceState { task, state: state(row, run)?, not_before: row.not_before });
            }
        }
        // A run is made with all its instances: one that is missing was deleted by a person, and nothing waits for it.
        let there: BTreeSet<u32> = states.iter().map(|instance| instance.task).collect();
        let deleted = (0..u32::try_from(graph.len()).unwrap_or(u32::MAX)).filter(|task| !there.contains(task));
        states.extend(deleted.map(|task| InstanceState { task, state: TaskState::Removed, not_before: None }));
        let for_templates = Arc::new(render::RunFacts {
            run_type: facts.run_type.clone(),
            logical_date: facts.logical_date,
            data_interval_start: facts.data_interval_start,
            data_interval_end: facts.data_interval_end,
            start_date: facts.start_date,
            conf: facts.conf.clone(),
            triggering_user: facts.triggering_user.clone(),
            ..render::RunFacts::new(Arc::clone(graph.spec()), semantics_of(graph.spec(), semantics), facts.run_id.clone(), facts.run_after)
        });
        let tracer = traces::tracer();
        if tracer.is_some() && self.installation.is_none() {
            self.installation = Some(store.installation_id().await?);
        }
        let trace = RunTrace::of(tracer, self.installation, &facts);
        let mut view = RunView::new(graph, run_state, states, deadline, past)
            .latest_until(latest_until)
            .logical_date(Some(facts.logical_date.unwrap_or(facts.run_after)));
        decide(store, run, &mut view).await?;
        self.make_room(view.weight());
        self.clock += 1;
        self.bytes += view.weight();
        let cached = Cached { view, seq, epoch, facts: Arc::new(facts), for_templates, trace, used: self.clock };
        self.runs.insert(run, cached);
        Ok(self.runs.get_mut(&run))
    }

    /// How the run before stands.
    pub(crate) async fn past(&mut self, store: &Store, run: RunKey) -> Result<Option<Past>, Error> {
        let Some((before, version_id, instances)) = store.run_before(run).await? else { return Ok(None) };
        let Some(graph) = self.graph(store, version_id).await? else { return Ok(None) };
        let mut past = Past::new();
        for row in &instances {
            if let Some(task) = usize::try_from(row.idx).ok().and_then(|i| graph.spec().tasks.get(i)) {
                past.insert(task.task_id.to_string(), state(row, before)?);
            }
        }
        Ok(Some(past))
    }

    /// How late a run of a timetable started, when it is met for the first time: nothing of it was touched yet.
    fn measure_start(&mut self, facts: &RunFacts, instances: &[InstanceRow]) {
        let untouched = |row: &InstanceRow| row.state == "none" && row.attempt == facts.attempt_base;
        let Some(start) = facts.start_date.filter(|_| facts.run_type == "scheduled" && facts.state == "running") else { return };
        if !instances.iter().all(untouched) || !self.started.insert(facts.run) {
            return;
        }
        if self.started.len() > MOST_STARTED {
            self.started.pop_first();
        }
        metrics::scheduler().run_started(&facts.dag_id, (start - facts.run_after).to_std().unwrap_or_default());
    }

    fn make_room(&mut self, bytes: usize) {
        while self.bytes + bytes > MOST_BYTES {
            let Some(oldest) = self.runs.iter().min_by_key(|(_, c)| c.used).map(|(run, _)| *run) else { return };
            self.forget(oldest);
        }
    }
}
