//! From ready to queued: fair order by the planner, rendering, the guarded commit, the hints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, warn};
use updraft_model::{AttemptKey, InstanceKey, LaunchNotes, RunKey, Semantics};
use updraft_planner::{AdmitHead, DagGraph, admit, infra_retry_delay_ms, render, user_retry_delay_ms};
use updraft_store::{Candidate, Error, HEADS_EACH, Head, Store};
use updraft_telemetry::metrics;

use crate::Scheduler;
use crate::answers::{for_task, snapshot};
use crate::dag_sync::semantics_of;
use crate::run_trace::RunTrace;

/// Most admissions in one commit.
const MOST: usize = 256;

/// By task id and key.
pub(crate) type Xcoms = BTreeMap<(String, String), serde_json::Value>;

/// What the values of templates come from; loaded once for a batch, if any of it asks.
#[derive(Default)]
pub(crate) struct Values {
    xcoms: BTreeMap<RunKey, Arc<Xcoms>>,
    pub(crate) settings: Option<Arc<render::Settings>>,
}

impl Values {
    /// Those that the tasks of a run have left.
    pub(crate) async fn xcoms(&mut self, store: &Store, run: RunKey, graph: &DagGraph) -> Result<Arc<Xcoms>, Error> {
        if let Some(known) = self.xcoms.get(&run) {
            return Ok(Arc::clone(known));
        }
        let values = store.xcoms_of(run).await?;
        let named = values.into_iter().filter_map(|(idx, key, value)| {
            let of = graph.spec().tasks.get(usize::try_from(idx).ok()?)?;
            Some(((of.task_id.to_string(), key), value))
        });
        let named = Arc::new(named.collect());
        self.xcoms.insert(run, Arc::clone(&named));
        Ok(named)
    }
}

impl Scheduler {
    /// Admits one batch from a pool and tells the workers. A pool that may have room for more comes up again at the next turn, after whatever
    /// ended meanwhile has been planned: otherwise a large backlog would keep the planner from its work.
    pub(crate) async fn admit(&mut self, pool: &str) -> Result<(), Error> {
        let Some(heads) = self.store.admit_heads(pool).await? else {
            warn!(pool, "tasks wait for pool {pool}, which does not exist: make it with `updraft pools set {pool} SLOTS`");
            self.waiting.insert(pool.to_owned());
            return Ok(());
        };
        if heads.heads.is_empty() {
            self.waiting.remove(pool);
            return Ok(());
        }
        self.waiting.insert(pool.to_owned());
        let runs: BTreeSet<RunKey> = heads.heads.iter().map(|h| h.run).collect();
        for run in &runs {
            if self.cache.get(*run).is_none() && self.cache.load(&self.store, *run, self.config.semantics).await?.is_none() {
                debug!(run = %run, "run cannot be loaded");
            }
        }
        let begin = Instant::now();
        let order = self.order(&heads.heads, heads.free);
        if order.is_empty() {
            return Ok(());
        }
        let mut values = Values::default();
        let mut candidates = Vec::with_capacity(order.len());
        for position in order {
            if let Some(candidate) = self.candidate(&heads.heads[position], &mut values).await? {
                candidates.push(candidate);
            }
        }
        let asked = candidates.len();
        let admitted = self.store.admit_commit(pool, &candidates).await?;
        let mut by_queue: BTreeMap<(&str, Option<String>), Vec<AttemptKey>> = BTreeMap::new();
        for admission in &admitted {
            let run = admission.key.instance.run;
            let trace = self.cache.get(run).and_then(|cached| cached.trace.as_ref()).map(RunTrace::traceparent);
            by_queue.entry((admission.queue.as_str(), trace)).or_default().push(admission.key);
            if let Some(cached) = self.cache.get(run)
                && let Ok(task) = u32::try_from(admission.key.instance.idx)
            {
                cached.view.admitted(task);
                if cached.seq == admission.base {
                    cached.seq = admission.seq;
                }
            }
        }
        // `base` is the same for all admissions of a run, so the first of them moves `seq` and the others find it moved.
        for ((queue, trace), keys) in by_queue {
            self.broker.hint_traced(queue, keys, trace.as_deref());
        }
        metrics::scheduler().admitted(admitted.len(), begin.elapsed());
        if !admitted.is_empty() && admitted.len() == heads.heads.len() && admitted.len() < HEADS_EACH {
            // Fewer heads than one run alone could show, and all of them in: nothing waits here any more.
            self.waiting.remove(pool);
        } else if asked > 0 && admitted.len() == asked {
            self.backlog.insert(pool.to_owned());
        }
        Ok(())
    }

    /// The fair order. Of a run that has met its limit one head is still offered, so that the commit parks it if the limit really holds.
    fn order(&mut self, heads: &[Head], free: i64) -> Vec<usize> {
        let mut offered: Vec<AdmitHead> = Vec::with_capacity(heads.len());
        for head in heads {
            let run_room = self.cache.get(head.run).map(|cached| {
                let limit = cached.view.graph().spec().max_active_tasks.unwrap_or(self.config.defaults.max_active_tasks);
                i64::from(limit) - i64::try_from(cached.view.live()).unwrap_or(i64::MAX)
            });
            offered.push(AdmitHead { run: head.run, slots: head.slots, vtime: head.vtime, run_room });
        }
        let mut order = admit(&offered, free, MOST);
        let mut blocked: BTreeSet<RunKey> = BTreeSet::new();
        for (position, head) in offered.iter().enumerate() {
            if head.run_room.is_some_and(|room| room <= 0) && blocked.insert(head.run) {
                order.push(position);
            }
        }
        order
    }

    async fn candidate(&mut self, head: &Head, known: &mut Values) -> Result<Option<Candidate>, Error> {
        let Some(cached) = self.cache.get(head.run) else { return Ok(None) };
        let graph = Arc::clone(cached.view.graph());
        let facts = Arc::clone(&cached.facts);
        let for_templates = Arc::clone(&cached.for_templates);
        let trace = cached.trace.clone();
        let Some(task) = usize::try_from(head.idx).ok().and_then(|i| graph.spec().tasks.get(i)) else { return Ok(None) };
        let instance = InstanceKey { run: head.run, idx: head.idx, map_index: head.map_index };
        let attempt = head.attempt + 1;
        let xcoms = if render::uses_xcom(task) { known.xcoms(&self.store, head.run, &graph).await? } else { Arc::default() };
        if render::uses_settings(task) && known.settings.is_none() {
            known.settings = Some(Arc::new(self.settings().await?));
        }
        let context = render::RenderContext {
            try_number: attempt - facts.attempt_base,
            max_tries: i32::try_from(task.retries).unwrap_or(i32::MAX),
            map_index: head.map_index,
            xcoms,
            settings: known.settings.as_ref().map(Arc::clone).unwrap_or_default(),
            ..render::RenderContext::new(for_templates)
        };
        let launch = match render::render(&context, task) {
            Ok(mut launch) => {
                if let Some(python) = &mut launch.python {
                    python.version = facts.version_id;
                    // What a file is answered at its top level, a task is answered as well: no secret is in it.
                    let settings = known.settings.as_deref();
                    python.input["answers"] =
                        settings.map(|settings| for_task(snapshot(settings, self.config.secrets.conf()), graph.spec())).unwrap_or_default();
                }
                let trace = trace.and_then(|trace| trace.attempt(instance, attempt, &task.pool, &task.queue, &mut launch));
                let notes = LaunchNotes { scheduled_at: Some(head.since), trace };
                notes.beside(&launch).unwrap_or_default()
            }
            Err(error) => {
                let reason = if matches!(error, render::Error::Airflow { .. }) { "needs_airflow" } else { "render_error" };
                self.store.admit_reject(instance, reason, &error.to_string()).await?;
                self.broker.wake(&[head.run]);
                return Ok(None);
            }
        };
        let spec = graph.spec();
        let date = facts.logical_date.unwrap_or(facts.run_after).to_rfc3339();
        let dag_limits = semantics_of(spec, self.config.semantics) == Semantics::Airflow2;
        let limit = i32::try_from(spec.max_active_tasks.unwrap_or(self.config.defaults.max_active_tasks)).unwrap_or(i32::MAX);
        let infra_retries = i32::try_from(self.config.defaults.infra_retries).unwrap_or(i32::MAX);
        let ms = |delay: u64| i64::try_from(delay).unwrap_or(i64::MAX);
        let nth = |failures: i32| u32::try_from(failures).unwrap_or(0) + 1;
        Ok(Some(Candidate {
            key: AttemptKey { instance, attempt },
            queue: task.queue.clone(),
            launch,
            user_retries_left: i32::try_from(task.retries).unwrap_or(i32::MAX).saturating_sub(head.user_failures),
            user_retry_delay_ms: ms(user_retry_delay_ms(task, spec.dag_id.as_str(), &date, nth(head.user_failures))),
            infra_retries_left: infra_retries.saturating_sub(head.infra_failures),
            infra_retry_delay_ms: ms(infra_retry_delay_ms(spec.dag_id.as_str(), task.task_id.as_str(), &date, nth(head.infra_failures))),
            // Airflow 2 counts the tasks of all runs of a DAG, Airflow 3 those of one run.
            run_limit: (!dag_limits).then_some(limit),
            dag_id: spec.dag_id.to_string(),
            dag_limit: dag_limits.then_some(limit),
            task_limit: task.max_active_tis_per_dag.map(|n| i32::try_from(n).unwrap_or(i32::MAX)),
        }))
    }
}
