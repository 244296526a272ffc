//! Forgets what is older than the installation keeps, a little at a time. Any number of schedulers may: who comes second finds nothing.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use updraft_store::Store;
use updraft_store::read::retention::Retention;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(3600);

/// Looks every hour until shutdown.
pub(crate) async fn forget_old(store: Store, retention: Retention, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            done = once(&store, retention) => match done {
                Ok((0, partitions)) if partitions.is_empty() => {}
                Ok((runs, partitions)) => info!(runs, partitions = partitions.len(), "forgot {runs} runs beyond the retention"),
                Err(error) => warn!(error = %error, "could not forget old runs; tried again in an hour"),
            },
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn once(store: &Store, retention: Retention) -> Result<(u64, Vec<String>), updraft_store::Error> {
    Ok((store.runs_forget(retention).await?, store.partitions_drop(retention.older_than).await?))
}
