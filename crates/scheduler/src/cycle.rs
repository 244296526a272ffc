//! One turn: load what changed, plan, commit, admit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tracing::{debug, info, warn};
use updraft_model::state::{Intent, moves};
use updraft_model::{RunKey, RunState, TaskState};
use updraft_planner::{Moves, plan};
use updraft_store::{Commit, Error, MOST_EVENTS, MoveRow, RunEnd, RunFacts, RunLoad};
use updraft_telemetry::metrics;

use crate::Scheduler;
use crate::cache::decide;

/// Most runs in one commit.
const BATCH: usize = 128;

impl Scheduler {
    /// Plans runs until nothing follows any more, and admits what became ready. True: something was put off to a later time.
    pub async fn cycle(&mut self, runs: Vec<RunKey>) -> Result<bool, Error> {
        let mut open: BTreeSet<RunKey> = runs.into_iter().collect();
        let mut pools: BTreeSet<String> = std::mem::take(&mut self.backlog);
        let mut put_off = false;
        loop {
            let mut batch: Vec<RunKey> = Vec::new();
            while batch.len() < BATCH
                && let Some(run) = open.pop_first()
            {
                batch.push(run);
            }
            if batch.is_empty() {
                break;
            }
            let turn = self.turn(&batch).await?;
            put_off |= turn.put_off;
            open.extend(turn.again);
            pools.extend(turn.pools);
            for (dag_id, most) in turn.failing {
                if self.store.dag_pause_failing(&dag_id, most).await? {
                    warn!(dag.id = dag_id, "{dag_id} is paused: its last {most} runs have failed (max_consecutive_failed_dag_runs)");
                }
            }
            for dag_id in turn.ended {
                open.extend(self.store.runs_start(&dag_id).await?.into_iter().map(|(run, _)| run));
                // The next slot of a DAG at its max_active_runs, or of @continuous, waits for this.
                self.broker.wake_all();
            }
        }
        for pool in pools {
            self.admit(&pool).await?;
        }
        Ok(put_off)
    }

    async fn turn(&mut self, batch: &[RunKey]) -> Result<Turn, Error> {
        let mut turn = Turn::default();
        let mut commit = Commit::default();
        let now = self.refresh(batch, &mut turn).await?;
        let mut planning = Duration::ZERO;

        for run in batch {
            let Some(cached) = self.cache.get(*run) else { continue };
            let begin = Instant::now();
            let planned = plan(&mut cached.view, now);
            planning += begin.elapsed();
            commit.runs.push((*run, cached.epoch, cached.seq));
            let facts = std::sync::Arc::clone(&cached.facts);
            let waits_for_past = cached.view.graph().waits_for_past();
            let most_failures = cached.view.graph().spec().max_consecutive_failed_dag_runs;
            if !planned.stop.is_empty() {
                let keys: Vec<(i32, i32)> =
                    planned.stop.iter().filter_map(|task| Some((i32::try_from(*task).ok()?, updraft_model::hint::NOT_MAPPED))).collect();
                info!(dag.id = facts.dag_id, run.id = facts.run_id, "run {} took longer than its dagrun_timeout", facts.run_id);
                for effect in self.store.intent_request(*run, &keys, Intent::Skip, "dagrun_timeout").await? {
                    if let Some(worker) = effect.told {
                        self.broker.notify(worker);
                    }
                }
            }
            self.collect(*run, &planned, &mut commit, &mut turn);
            if let Some((state, reason)) = planned.end {
                debug!(dag.id = facts.dag_id, run.id = facts.run_id, "run {} ends as {state}", facts.run_id);
                commit.ends.push(RunEnd { run: *run, state: state.as_str(), reason: reason.map(str::to_owned) });
                turn.ended.insert(facts.dag_id.clone());
                if state == RunState::Failed && most_failures > 0 {
                    turn.failing.push((facts.dag_id.clone(), i64::from(most_failures)));
                }
            }
            if waits_for_past
                && (turn.moved_on.contains(run) || planned.steps.iter().any(|s| s.step.target().is_terminal()) || planned.end.is_some())
                && let Some(after) = self.store.run_after(*run).await?
            {
                commit.poke.push(after);
                turn.again.insert(after);
            }
        }
        if commit.runs.is_empty() {
            return Ok(turn);
        }
        metrics::scheduler().planned(planning);
        commit.poke.sort_unstable();
        commit.poke.dedup();

        let ends: BTreeMap<RunKey, &str> = commit.ends.iter().map(|end| (end.run, end.state)).collect();
        for committed in self.store.plan_commit(&commit).await? {
            if committed.fresh
                && ends.contains_key(&committed.run)
                && let Some(ended) = &self.ended
            {
                ended.send(committed.run);
            }
            let complete = match self.cache.get(committed.run) {
                Some(cached) if committed.fresh && committed.base == cached.seq => {
                    cached.seq = committed.seq;
                    if let Some(state) = ends.get(&committed.run) {
                        count_end(&cached.facts, state, now);
                    }
                    true
                }
                Some(_) if committed.fresh => {
                    // Events came in between: read them next. They leave the run dirty, so nothing depends on this.
                    turn.again.insert(committed.run);
                    true
                }
                _ => false,
            };
            if !complete {
                self.cache.forget(committed.run);
                turn.again.insert(committed.run);
            }
        }
        // A run that has ended is not needed again, also one that was asked for after its end: a wake that was on its way.
        for run in batch {
            if !turn.again.contains(run) && self.cache.get(*run).is_some_and(|cached| cached.view.run_state().is_terminal()) {
                self.cache.forget(*run);
            }
        }
        Ok(turn)
    }

    /// Brings the cache up to date for these runs. Returns the database's clock.
    async fn refresh(&mut self, batch: &[RunKey], turn: &mut Turn) -> Result<DateTime<Utc>, Error> {
        let seen: Vec<(RunKey, i64)> = batch.iter().map(|run| (*run, self.cache.get(*run).map_or(i64::MAX, |c| c.seq))).collect();
        let (now, loads) = self.store.plan_load(&seen).await?;
        for RunLoad { run, epoch, seq, events } in loads {
            let usable = match self.cache.get(run) {
                Some(cached) => cached.epoch == epoch && events.first().is_none_or(|e| e.seq == cached.seq + 1),
                None => false,
            };
            if !usable {
                if let Some(cached) = self.cache.load(&self.store, run, self.config.semantics).await? {
                    // What ended while nobody looked may have freed slots, and what is past due is found by the plan itself.
                    turn.pools.extend(cached.view.graph().spec().tasks.iter().map(|t| t.pool.clone()));
                    turn.put_off = true;
                    turn.moved_on.insert(run);
                }
                continue;
            }
            // Cut off: the rest comes with the next turn, and until then the run counts as seen up to here.
            let cut = events.len() >= MOST_EVENTS;
            let seq = if cut { events.last().map_or(seq, |e| e.seq) } else { seq };
            if cut {
                turn.again.insert(run);
            }
            let mut past_changed = false;
            if let Some(cached) = self.cache.get(run) {
                let mut decided = false;
                for event in events {
                    let Ok(task) = u32::try_from(event.idx) else {
                        past_changed = true;
                        continue;
                    };
                    match event.state.as_deref().map(str::parse::<TaskState>) {
                        Some(Ok(state)) => {
                            cached.view.apply(task, state);
                            decided |= state == TaskState::Success && cached.view.graph().decides(task);
                            if state.is_terminal() || state == TaskState::UpForRetry {
                                turn.moved_on.insert(run);
                                turn.put_off |= state == TaskState::UpForRetry;
                                if let Some(of) = cached.view.graph().spec().tasks.get(task as usize) {
                                    turn.freed.insert(of.pool.clone());
                                }
                            }
                        }
                        Some(Err(error)) => {
                            return Err(Error::BadRow { table: "event", key: format!("{run}/{}", event.seq), reason: error.to_string() });
                        }
                        None => cached.view.due(task),
                    }
                }
                if decided {
                    decide(&self.store, run, &mut cached.view).await?;
                }
                cached.seq = seq;
                past_changed &= cached.view.graph().waits_for_past();
                // The run's own state changes by events of the run itself: started, reopened.
                if cached.view.run_state() == RunState::Queued {
                    past_changed = false;
                    self.cache.load(&self.store, run, self.config.semantics).await?;
                }
            }
            if past_changed {
                let past = self.cache.past(&self.store, run).await?;
                if let Some(cached) = self.cache.get(run) {
                    cached.view.past_changed(past);
                }
            }
        }
        // A slot that became free matters only to pools in which something waits.
        let freed = std::mem::take(&mut turn.freed);
        turn.pools.extend(freed.into_iter().filter(|pool| self.waiting.contains(pool)));
        Ok(now)
    }

    fn collect(&mut self, run: RunKey, planned: &Moves, commit: &mut Commit, turn: &mut Turn) {
        let Some(cached) = self.cache.get(run) else { return };
        let graph = std::sync::Arc::clone(cached.view.graph());
        for step in &planned.steps {
            let Ok(idx) = i32::try_from(step.task) else { continue };
            let task = &graph.spec().tasks[step.task as usize];
            if step.step == moves::SCHEDULE {
                turn.pools.insert(task.pool.clone());
            }
            // The first look is due at once.
            turn.put_off |= step.step == moves::DEFER;
            commit.moves.push(MoveRow {
                run,
                idx,
                map_index: updraft_model::hint::NOT_MAPPED,
                from: step.from.as_str(),
                to: step.step.target().as_str(),
                reason: step.reason,
                message: step.reason.and_then(|reason| explain(reason, step.step.target(), task.trigger_rule.as_str())),
                queue: task.queue.clone(),
                pool: task.pool.clone(),
                prio: graph.priority(step.task),
                slots: i32::try_from(task.pool_slots).unwrap_or(i32::MAX),
            });
        }
    }
}

/// Another scheduler that ended the same run meanwhile counts it, not this one: then this one's plan was not of the last event.
fn count_end(facts: &RunFacts, state: &str, now: DateTime<Utc>) {
    let took = facts.start_date.and_then(|start| (now - start).to_std().ok()).unwrap_or_default();
    metrics::scheduler().run_ended(&metrics::RunEnded { dag_id: &facts.dag_id, run_type: &facts.run_type, state, took });
}

fn explain(reason: &str, target: TaskState, rule: &str) -> Option<String> {
    match (reason, target) {
        ("trigger_rule", TaskState::UpstreamFailed) => Some(format!("an upstream failed, so the trigger rule {rule} cannot be met")),
        ("trigger_rule", _) => Some(format!("the trigger rule {rule} asks for a skip, given how the upstreams ended")),
        ("setup", TaskState::UpstreamFailed) => Some("a setup task that it needs failed".to_owned()),
        ("setup", _) => Some("a setup task that it needs was skipped".to_owned()),
        ("latest_only", _) => Some("its run is not the newest of the DAG, and a LatestOnlyOperator stands before it".to_owned()),
        ("branch", _) => Some("a task before it decided that the run goes on without it".to_owned()),
        ("dagrun_timeout", _) => Some("its run took longer than dagrun_timeout".to_owned()),
        _ => None,
    }
}

/// What one turn leaves to do.
#[derive(Default)]
struct Turn {
    /// Runs to look at again.
    again: BTreeSet<RunKey>,
    /// Pools to admit from.
    pools: BTreeSet<String>,
    /// Pools of which slots became free.
    freed: BTreeSet<String>,
    /// Runs in which an attempt has ended.
    moved_on: BTreeSet<RunKey>,
    /// DAGs of which a run has ended.
    ended: BTreeSet<String>,
    /// DAGs of which a run has failed, and after how many in a row they are paused.
    failing: Vec<(String, i64)>,
    /// Something waits for a time.
    put_off: bool,
}
