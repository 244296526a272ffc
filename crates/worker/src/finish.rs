//! Writing ends: one transaction for whatever has ended by now. One row per transaction would give the disk's rate of fsyncs; batches give
//! ten times that, and a single end still goes at once, because the batch is what is there, never a timer.

use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{info, warn};
use updraft_model::RunKey;
use updraft_store::{FinishOutcome, FinishResult, Finished};

use crate::runner::{Outcome, Runner};
use crate::{Shared, log_ship};

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
        match shared.store.attempts_finish(&batch).await {
            Ok(outcomes) => {
                written(&shared, outcomes);
                batch.clear();
            }
            Err(error) if error.retry() == updraft_store::Retry::Never && batch.len() > 1 => {
                // One bad row must not hold up the others: write them one by one.
                warn!(error = %error, "a batch of ends was refused, writing them one by one");
                for finished in std::mem::take(&mut batch) {
                    let one = [finished];
                    match shared.store.attempts_finish(&one).await {
                        Ok(outcomes) => written(&shared, outcomes),
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
fn written<R: Runner>(shared: &Shared<R>, outcomes: Vec<FinishOutcome>) {
    let mut runs: Vec<RunKey> = Vec::new();
    for FinishOutcome { key, result, state, .. } in outcomes {
        match result {
            FinishResult::Finished => runs.push(key.instance.run),
            FinishResult::Already | FinishResult::Unknown => {
                info!(?result, "the end of attempt {} of run {} was written before", key.attempt, key.instance.run);
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
}
