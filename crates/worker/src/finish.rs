//! Writing ends: one transaction for whatever has ended by now. One row per transaction would give the disk's rate of fsyncs; batches give
//! ten times that, and a single end still goes at once, because the batch is what is there, never a timer.

use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{info, warn};
use updraft_model::RunKey;
use updraft_store::{FinishResult, Finished};

use crate::runner::Runner;
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
                let mut runs: Vec<RunKey> = Vec::new();
                for outcome in outcomes {
                    if outcome.result == FinishResult::Finished {
                        runs.push(outcome.key.instance.run);
                    } else {
                        info!(result = ?outcome.result, "the end of attempt {} of run {} was written before", outcome.key.attempt, outcome.key.instance.run);
                    }
                    let _ = shared.logs.send(log_ship::Rest { key: outcome.key });
                }
                runs.sort_unstable();
                runs.dedup();
                shared.broker.wake(&runs);
                batch.clear();
            }
            Err(error) if error.retry() == updraft_store::Retry::Never && batch.len() > 1 => {
                // One bad row must not hold up the others: write them one by one.
                warn!(error = %error, "a batch of ends was refused, writing them one by one");
                for finished in std::mem::take(&mut batch) {
                    let one = [finished];
                    match shared.store.attempts_finish(&one).await {
                        Ok(outcomes) => {
                            shared.broker.wake(&[one[0].key().instance.run]);
                            for outcome in outcomes {
                                let _ = shared.logs.send(log_ship::Rest { key: outcome.key });
                            }
                        }
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
