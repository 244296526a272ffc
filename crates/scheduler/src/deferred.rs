//! Tasks that wait without a slot: what is due is looked at here, one look for each, and what it came to is written in one commit.
//!
//! A look may be lost at any moment: what was taken is due again after its lease, and a run that was made for an attempt is written with it.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde_json::{Map, Value};
use tracing::{info, warn};
use updraft_model::dag::native::{ExternalTasks, TriggerRun, WaitFor};
use updraft_model::trigger::{check_conf, check_run_id};
use updraft_model::{DagSpec, RunKey, TaskSpec};
use updraft_planner::wait::{self, Found, Next, instant_of};
use updraft_planner::{DagGraph, render, user_retry_delay_ms};
use updraft_store::{Deferred, Error, Looked, OtherDag, Triggered, Triggering};

use crate::Scheduler;
use crate::admission::Values;
use crate::dag_sync::timetable_of;
use crate::run_creator::run_id;

/// Most looks in one commit.
const MOST: i32 = 200;
/// How long a scheduler has what it took to itself.
const LEASE_SECONDS: i32 = 10;

/// What a look is about.
struct Look<'a> {
    of: &'a Deferred,
    graph: Arc<DagGraph>,
    run: Arc<render::RunFacts>,
    values: &'a mut Values,
    /// Runs that were made or cleared, to be planned.
    started: &'a mut BTreeSet<RunKey>,
}

/// Whether it is there; none: somebody else has ended the wait. A mistake in the task itself is a text.
type Sight = Result<Option<Found>, String>;

/// A run that is asked for.
struct Wanted {
    logical_date: Option<DateTime<Utc>>,
    run_after: Option<DateTime<Utc>>,
    conf: Value,
    name: String,
}

fn wanted(asked: &TriggerRun, spec: &DagSpec, now: DateTime<Utc>) -> Result<Wanted, String> {
    let moment = |field: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => instant_of(text).map(Some).ok_or_else(|| format!("{field} is {text:?}, which is no date and time")),
    };
    let given = moment("logical_date", &asked.logical_date)?;
    let logical_date = if asked.no_logical_date { None } else { given.or(Some(now)) };
    let run_after = moment("run_after", &asked.run_after)?;
    let conf = render::conf_of(asked.conf.clone())?;
    let nothing = Map::new();
    check_conf(spec, conf.as_object().unwrap_or(&nothing))?;
    let name = asked.trigger_run_id.clone().unwrap_or_else(|| run_id("manual", run_after.or(logical_date).unwrap_or(now)));
    check_run_id(&name)?;
    Ok(Wanted { logical_date, run_after, conf, name })
}

impl Scheduler {
    /// Looks at all that is due. Returns the runs that follow from it.
    pub(crate) async fn look_at_deferred(&mut self) -> Result<BTreeSet<RunKey>, Error> {
        let mut runs = BTreeSet::new();
        loop {
            let due = self.store.deferred_take(MOST, LEASE_SECONDS).await?;
            if due.is_empty() {
                return Ok(runs);
            }
            let mut values = Values::default();
            let mut looked = Vec::with_capacity(due.len());
            for of in &due {
                let run = of.key.instance.run;
                if self.cache.get(run).is_none() && self.cache.load(&self.store, run, self.config.semantics).await?.is_none() {
                    warn!(run.key = %run, "what waits in run {run} cannot be looked at: the stored form of its DAG cannot be read");
                    continue;
                }
                let Some(cached) = self.cache.get(run) else { continue };
                let (graph, facts) = (Arc::clone(cached.view.graph()), Arc::clone(&cached.for_templates));
                let look = Look { of, graph, run: facts, values: &mut values, started: &mut runs };
                looked.extend(self.look(look).await?);
            }
            let over: BTreeSet<RunKey> = looked.iter().filter(|one| one.state != "deferred").map(|one| one.key.instance.run).collect();
            let moved = self.store.deferred_commit(&looked).await?;
            runs.extend(moved.into_iter().map(|key| key.run).filter(|run| over.contains(run)));
        }
    }

    async fn look(&mut self, mut look: Look<'_>) -> Result<Option<Looked>, Error> {
        let graph = Arc::clone(&look.graph);
        let Some(task) = usize::try_from(look.of.key.instance.idx).ok().and_then(|at| graph.spec().tasks.get(at)) else { return Ok(None) };
        let Some(wait) = task.waits() else { return Ok(None) };
        let (since, now) = (look.of.since, look.of.now);
        let next = match self.rendered(&mut look, task).await? {
            Ok(what) => match self.find(&mut look, task, &what).await? {
                Ok(Some(found)) => wait::weigh(wait, task.execution_timeout_ms, since, now, found),
                Ok(None) => return Ok(None),
                Err(message) => Next::Fail { reason: "render_error", message: format!("task {}, {message}", task.task_id), again: false },
            },
            Err(error) => Next::Fail { reason: "render_error", message: error.to_string(), again: false },
        };
        Ok(Some(looked(&look, task, next)))
    }

    /// The task with its templates rendered.
    async fn rendered(&mut self, look: &mut Look<'_>, task: &TaskSpec) -> Result<Result<WaitFor, render::Error>, Error> {
        let instance = look.of.key.instance;
        let attempt_base = self.cache.get(instance.run).map_or(0, |cached| cached.facts.attempt_base);
        let mut context = render::RenderContext::new(Arc::clone(&look.run));
        context.try_number = look.of.key.attempt - attempt_base;
        context.max_tries = i32::try_from(task.retries).unwrap_or(i32::MAX);
        context.map_index = instance.map_index;
        if render::uses_xcom(task) {
            context.xcoms = look.values.xcoms(&self.store, instance.run, &look.graph).await?;
        }
        if render::uses_settings(task) {
            if look.values.settings.is_none() {
                look.values.settings = Some(Arc::new(self.settings().await?));
            }
            context.settings = look.values.settings.as_ref().map(Arc::clone).unwrap_or_default();
        }
        Ok(render::render_wait(&context, task).and_then(|what| what.ok_or_else(|| render::Error::Empty { task: task.task_id.to_string() })))
    }

    async fn find(&mut self, look: &mut Look<'_>, task: &TaskSpec, what: &WaitFor) -> Result<Sight, Error> {
        match what {
            WaitFor::External(external) => self.external(look, external).await.map(|found| Ok(Some(found))),
            WaitFor::Run(run) => self.triggered(look, task, run).await,
            _ => Ok(wait::by_clock(what, &look.run, look.of.since)),
        }
    }

    async fn external(&mut self, look: &Look<'_>, external: &ExternalTasks) -> Result<Found, Error> {
        let dag_id = external.external_dag_id.as_str();
        let dag = self.store.other_dag(dag_id).await?;
        let missing = match self.missing(dag.as_ref(), external).await? {
            Some(missing) if external.check_existence => return Ok(Found::Failed("external_missing", missing)),
            missing => missing,
        };
        let own = look.run.logical_date();
        let date = external.execution_delta_ms.map_or(own, |ms| own.checked_sub_signed(TimeDelta::milliseconds(ms)).unwrap_or(own));
        let (mut states, mut wanted) = (Vec::new(), 1);
        if let Some(run) = self.store.other_run(dag_id, date).await?
            && let Some(graph) = self.cache.graph(&self.store, run.version_id).await?
        {
            let positions: Option<Vec<u32>> = match &external.external_task_group_id {
                Some(group) => Some(wait::tasks_of_group(graph.spec(), group).unwrap_or_default()),
                None if external.external_task_ids.is_empty() => None,
                None => Some(external.external_task_ids.iter().filter_map(|id| graph.position(id)).collect()),
            };
            match positions {
                None => states.push(run.state),
                Some(positions) => {
                    wanted = positions.len().max(external.external_task_ids.len());
                    let positions: Vec<i32> = positions.into_iter().filter_map(|at| i32::try_from(at).ok()).collect();
                    states = self.store.neighbour_states(RunKey(run.id), &positions).await?.into_iter().map(|row| row.state).collect();
                }
            }
        }
        let found = wait::by_states(external, &states, wanted, date);
        Ok(match (found, missing) {
            (Found::LookAgain(message), Some(missing)) => Found::LookAgain(format!("{message}; {missing}")),
            (found, _) => found,
        })
    }

    /// What of the other DAG is not there.
    async fn missing(&mut self, dag: Option<&OtherDag>, external: &ExternalTasks) -> Result<Option<String>, Error> {
        let dag_id = &external.external_dag_id;
        let Some(dag) = dag.filter(|dag| !dag.is_stale) else { return Ok(Some(format!("there is no DAG {dag_id}"))) };
        let Some(graph) = self.cache.graph(&self.store, dag.version_id).await? else { return Ok(None) };
        if let Some(id) = external.external_task_ids.iter().find(|id| graph.position(id).is_none()) {
            return Ok(Some(format!("DAG {dag_id} has no task {id}")));
        }
        let group = external.external_task_group_id.as_ref().filter(|group| wait::tasks_of_group(graph.spec(), group).is_none());
        Ok(group.map(|group| format!("DAG {dag_id} has no task group {group}")))
    }

    async fn triggered(&mut self, look: &mut Look<'_>, task: &TaskSpec, asked: &TriggerRun) -> Result<Sight, Error> {
        let dag_id = asked.trigger_dag_id.as_str();
        let made =
            look.of.memo.as_ref().and_then(|memo| Some((RunKey(memo.get("run")?.as_i64()?), memo.get("run_id")?.as_str()?.to_owned())));
        let (run, name) = match made {
            Some(made) => made,
            None => match self.trigger(look, task, asked).await? {
                Ok(made) => made,
                Err(found) => return Ok(found),
            },
        };
        if !asked.wait_for_completion {
            return Ok(Ok(Some(Found::There(format!("made the run {name} of DAG {dag_id}")))));
        }
        let state = self.store.other_run_state(run).await?;
        Ok(Ok(Some(match state {
            None => Found::Failed("run_gone", format!("the run {name} of DAG {dag_id} was deleted")),
            Some(state) if asked.failed_states.contains(&state) => {
                Found::Failed("run_failed", format!("the run {name} of DAG {dag_id} is {state}"))
            }
            Some(state) if asked.allowed_states.contains(&state) => Found::There(format!("the run {name} of DAG {dag_id} is {state}")),
            Some(state) => Found::LookAgain(format!("waits for the run {name} of DAG {dag_id}: it is {state}")),
        })))
    }

    /// Makes the run. In the place of one: what that comes to.
    async fn trigger(
        &mut self,
        look: &mut Look<'_>,
        task: &TaskSpec,
        asked: &TriggerRun,
    ) -> Result<Result<(RunKey, String), Sight>, Error> {
        let dag_id = asked.trigger_dag_id.as_str();
        let failed = |reason, message: String| Ok(Err(Ok(Some(Found::Failed(reason, message)))));
        let Some(dag) = self.store.other_dag(dag_id).await?.filter(|dag| !dag.is_stale) else {
            return failed("no_such_dag", format!("there is no DAG {dag_id} (trigger_dag_id)"));
        };
        if asked.fail_when_dag_is_paused && dag.is_paused {
            return failed("dag_paused", format!("DAG {dag_id} is paused"));
        }
        let Some(graph) = self.cache.graph(&self.store, dag.version_id).await? else {
            return failed("dag_unreadable", format!("the stored form of DAG {dag_id} cannot be read"));
        };
        let now = look.of.now.trunc_subsecs(6);
        let Wanted { logical_date, run_after, conf, name } = match wanted(asked, graph.spec(), now) {
            Ok(wanted) => wanted,
            Err(mistake) => return Ok(Err(Err(mistake))),
        };
        let interval = logical_date.and_then(|at| Some(timetable_of(graph.spec(), self.config.semantics).ok()?.manual_interval(at)));
        let triggering = Triggering {
            dag_id,
            run_id: &name,
            logical_date,
            data_interval: interval,
            run_after: run_after.or(logical_date).unwrap_or(now),
            conf: &conf,
            note: asked.note.as_deref(),
            user: look.run.triggering_user.as_deref(),
            version_id: dag.version_id,
            reset: asked.reset_dag_run,
        };
        match self.store.deferred_trigger(look.of.key, &triggering).await? {
            Triggered::Gone => Ok(Err(Ok(None))),
            Triggered::Exists(there) => {
                let message = format!("there is a run {there} of DAG {dag_id} already");
                let found = if asked.skip_when_already_exists {
                    Found::Skipped("run_exists", format!("{message}, and skip_when_already_exists is on"))
                } else {
                    Found::Failed("run_exists", format!("{message}; reset_dag_run=True would clear it"))
                };
                Ok(Err(Ok(Some(found))))
            }
            Triggered::Made(run, name, told) => {
                info!(dag.id = dag_id, run.id = name, "task {} of run {} made run {name} of {dag_id}", task.task_id, look.run.run_id);
                for worker in told {
                    self.broker.notify(worker);
                }
                look.started.insert(run);
                look.started.extend(self.store.runs_start(dag_id).await?.into_iter().map(|(run, _)| run));
                Ok(Ok((run, name)))
            }
        }
    }
}

/// As it is written.
fn looked(look: &Look<'_>, task: &TaskSpec, next: Next) -> Looked {
    let key = look.of.key;
    match next {
        Next::Succeed { message } => Looked { key, state: "success", reason: None, message, at: None },
        // Postgres has no year beyond 294276; nobody waits for that long.
        Next::Wait { at, message } => {
            let most = look.of.now + TimeDelta::days(36_525);
            Looked { key, state: "deferred", reason: None, message, at: Some(at.min(most)) }
        }
        Next::Skip { reason, message } => Looked { key, state: "skipped", reason: Some(reason), message, at: None },
        Next::Fail { reason, message, again } => {
            if !again || i64::from(look.of.failures) >= i64::from(task.retries) {
                return Looked { key, state: "failed", reason: Some(reason), message, at: None };
            }
            let nth = u32::try_from(look.of.failures).unwrap_or(0) + 1;
            let date = look.run.logical_date().to_rfc3339();
            let delay = user_retry_delay_ms(task, look.run.dag.dag_id.as_str(), &date, nth);
            let at = look.of.now + TimeDelta::milliseconds(i64::try_from(delay).unwrap_or(i64::MAX));
            Looked { key, state: "up_for_retry", reason: Some(reason), message, at: Some(at) }
        }
    }
}
