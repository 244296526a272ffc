//! What a worker that died between the end of an attempt and its release left behind: folders, pods. The runner is asked first and the
//! database afterwards, so that nothing which came in between can be taken for a left-over (H8); and only what the database knows to be
//! over is released. What it does not know is left alone: after a restore of an old backup it may well be alive.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::Shared;
use crate::runner::{Outcome, Runner};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(30);
/// Most attempts in one question.
const BATCH: usize = 500;

/// Sweeps until shutdown.
pub(crate) async fn sweeper<R: Runner>(shared: Arc<Shared<R>>) {
    loop {
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let mut present = match shared.runner.present().await {
            Ok(present) => present,
            Err(error) => {
                warn!(error = %error, "cannot look for left-overs");
                continue;
            }
        };
        {
            let driven = shared.driven();
            present.retain(|key| !driven.contains_key(key));
        }
        for keys in present.chunks(BATCH) {
            match shared.store.attempts_closed(keys).await {
                Ok(closed) => {
                    for (key, good) in closed {
                        info!("clearing up attempt {} of run {}, which is over", key.attempt, key.instance.run);
                        if let Err(error) = shared.runner.release(key, if good { Outcome::Good } else { Outcome::Bad }).await {
                            warn!(error = %error, "cannot release attempt {} of run {}", key.attempt, key.instance.run);
                        }
                    }
                }
                Err(error) => error.patience("look for left-overs").await,
            }
        }
    }
}
