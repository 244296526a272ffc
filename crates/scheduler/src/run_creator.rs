//! Automated runs: one for each slot of a timetable, none twice (I8).

use tracing::{info, warn};
use updraft_model::RunKey;
use updraft_planner::timetable::Slot;
use updraft_store::Error;

use crate::Scheduler;
use crate::dag_sync::{slot, slot_row, timetable_of, window_of};

/// Most DAGs in one round.
const ROUND: i64 = 100;

impl Scheduler {
    /// Takes the slots that are due, one per DAG and round, so that a DAG that has much to make up does not hold up the others. Returns the runs
    /// that started.
    pub(crate) async fn create_runs(&mut self) -> Result<Vec<RunKey>, Error> {
        let mut started = Vec::new();
        loop {
            let due = self.store.dags_due(ROUND).await?;
            if due.is_empty() {
                return Ok(started);
            }
            let mut moved = false;
            for dag in due {
                if dag.room <= 0 {
                    self.store.dag_cap(&dag.dag_id).await?;
                    moved = true;
                    continue;
                }
                let Some(taken) = dag.cursor.next else { continue };
                let next = match self.cache.graph(&self.store, dag.version_id).await? {
                    Some(graph) => match timetable_of(graph.spec(), self.config.semantics) {
                        Ok(timetable) => {
                            let window = window_of(graph.spec(), self.config.semantics);
                            // Paused for long, or late: without catchup only the latest slot counts.
                            let latest = timetable.next_slot(dag.cursor.last.map(slot).as_ref(), &window, dag.now);
                            if !window.catchup
                                && let Some(latest) = latest.filter(|s| s.run_after > taken.run_after && s.run_after <= dag.now)
                            {
                                self.store.dag_next_set(&dag.dag_id, dag.cursor.last, Some(slot_row(&latest))).await?;
                                moved = true;
                                continue;
                            }
                            timetable.next_slot(Some(&slot(taken)), &window, dag.now)
                        }
                        Err(error) => {
                            warn!(dag.id = dag.dag_id, error = %error, "the schedule of {} cannot be followed", dag.dag_id);
                            None
                        }
                    },
                    None => None,
                };
                let run_id = run_id("scheduled", taken.logical_date);
                if self.store.dag_slot_take(&dag, &run_id, next.map(|s: Slot| slot_row(&s))).await? {
                    moved = true;
                    info!(dag.id = dag.dag_id, run.id = run_id, "created run {run_id} of {}", dag.dag_id);
                    started.extend(self.store.runs_start(&dag.dag_id).await?.into_iter().map(|(run, _)| run));
                }
            }
            if !moved {
                return Ok(started);
            }
        }
    }
}

/// A run's name as Airflow makes it: `scheduled__2026-11-23T14:10:00+00:00`.
pub(crate) fn run_id(kind: &str, date: chrono::DateTime<chrono::Utc>) -> String {
    let micros = if date.timestamp_subsec_micros() == 0 { "" } else { "%.6f" };
    format!("{kind}__{}", date.format(&format!("%Y-%m-%dT%H:%M:%S{micros}+00:00")))
}
