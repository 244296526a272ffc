//! Writing ends: one transaction for whatever has ended by now. One row per transaction would give the disk's rate of fsyncs; batches give
//! ten times that, and a single end still goes at once, because the batch is what is there, never a timer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tracing::{info, warn};
use updraft_model::{AttemptKey, RunKey, Verdict};
use updraft_store::{FinishOutcome, FinishResult, Finished};
use updraft_telemetry::metrics;

use crate::runner::{Outcome, Runner};
use crate::{Shared, attempt_trace, log_ship};

/// Most ends in one transaction.
const BATCH: usize = 128;

/// An attempt that has ended.
pub(crate) struct End {
    pub(crate) finished: Finished,
}

/// Writes ends until the worker is gone. An end that cannot be written now is tried again for as long as it takes: it is the only copy
/// of a verdict besides the runner's own evidence.
pub(crate) async fn finisher<R: Runner>(shared: Arc<Shared<R>>, mut queue: mpsc::UnboundedReceiver<End>) {
    let mut batch: Vec<Finished> = Vec::new();
    loop {
        if batch.is_empty() {
            match queue.recv().await {
                Some(end) => batch.push(end.finished),
                None => return,
            }
        }
        while batch.len() < BATCH {
            match queue.try_recv() {
                Ok(end) => batch.push(end.finished),
                Err(_) => break,
            }
        }
        let begin = Instant::now();
        match shared.store.attempts_finish(&batch).await {
            Ok(outcomes) => {
                metrics::worker().finished(batch.len(), begin.elapsed());
                written(&shared, &batch, outcomes).await;
                batch.clear();
            }
            Err(error) if error.retry() == updraft_store::Retry::Never && batch.len() > 1 => {
                // One bad row must not hold up the others: write them one by one.
                warn!(error = %error, "a batch of ends was refused, writing them one by one");
                for finished in std::mem::take(&mut batch) {
                    let one = [finished];
                    match shared.store.attempts_finish(&one).await {
                        Ok(outcomes) => written(&shared, &one, outcomes).await,
                        Err(error) if error.retry() == updraft_store::Retry::Never => {
                            // It stays claimed and its evidence stays on the host; `doctor` shows it.
                            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                            tracing::error!(error = %error, cause, key = ?one[0].key(), "the end of an attempt cannot be written");
                        }
                        Err(_) => batch.extend(one),
                    }
                }
            }
            Err(error) => error.patience("write ends").await,
        }
    }
}

/// Wakes the planner, and lets the runner forget what is over.
async fn written<R: Runner>(shared: &Shared<R>, ends: &[Finished], outcomes: Vec<FinishOutcome>) {
    let mut runs: Vec<RunKey> = Vec::new();
    let mut before: Vec<AttemptKey> = Vec::new();
    let by_key: BTreeMap<AttemptKey, &Finished> = ends.iter().map(|end| (end.key(), end)).collect();
    for FinishOutcome { key, result, state, .. } in outcomes {
        match result {
            FinishResult::Finished => {
                runs.push(key.instance.run);
                if let Some(end) = by_key.get(&key) {
                    measure(end, &state);
                    attempt_trace::ended(shared, end, &state);
                }
            }
            FinishResult::Already | FinishResult::Unknown => {
                info!(?result, "the end of attempt {} of run {} was written before", key.attempt, key.instance.run);
                before.push(key);
            }
            FinishResult::Refused => {
                // Somebody else watches the object that counts.
                warn!("attempt {} of run {} runs in another object: this end is not its own", key.attempt, key.instance.run);
                shared.driven().remove(&key);
                continue;
            }
        }
        let outcome = if matches!(state.as_str(), "success" | "skipped") { Outcome::Good } else { Outcome::Bad };
        let _ = shared.logs.send(log_ship::Rest { key, outcome });
    }
    runs.sort_unstable();
    runs.dedup();
    shared.broker.wake(&runs);
    for end in before.iter().filter_map(|key| by_key.get(key)) {
        attempt_trace::ended_before(shared, end).await;
    }
}

/// What the metrics say of an attempt that ended. Its times are of several clocks: what would be negative is nothing.
fn measure(end: &Finished, state: &str) {
    let between =
        |from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>| -> Option<Duration> { Some((to? - from?).to_std().unwrap_or_default()) };
    let attempt = end.attempt();
    let facts = &end.evidence().facts;
    let (scheduled, queued, claimed) = (attempt.notes().scheduled_at, Some(attempt.queued_at()), Some(attempt.started_at()));
    metrics::worker().ended(&metrics::AttemptEnded {
        dag_id: &attempt.launch().dag_id,
        state,
        budget: match end.verdict() {
            Verdict::Failed { budget, .. } => Some(budget.as_str()),
            Verdict::Success | Verdict::Skipped => None,
        },
        ran: between(facts.started_at, facts.ended_at),
        queue_wait: between(scheduled, facts.started_at),
        slot_wait: between(scheduled, queued),
        claim_wait: between(queued, claimed),
        launch: between(claimed, facts.started_at),
    });
}
