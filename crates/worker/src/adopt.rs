//! Heartbeats, intents and the adoption of groups whose worker is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::{info, warn};
use updraft_model::AttemptKey;
use updraft_model::end::Stopped;
use updraft_store::{GroupRow, WorkerRow};
use uuid::Uuid;

use crate::runner::{Runner, StopError};
use crate::{Shared, drive};

/// A foreign group as it was first seen in this shape: its beat stands still since then.
struct Watched {
    row: GroupRow,
    since: Instant,
}

/// Beats until shutdown: keeps my groups mine, hears of intents, adopts what has no owner or a silent one.
pub(crate) async fn heartbeat<R: Runner>(shared: Arc<Shared<R>>, row: WorkerRow) {
    let mut watched: BTreeMap<Uuid, Watched> = BTreeMap::new();
    let mut beat_ok_since: Option<Instant> = None;
    let mut round = 0u32;
    loop {
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            () = tokio::time::sleep(shared.config.heartbeat) => {}
        }
        match shared.store.worker_beat(shared.id).await {
            Ok(beat) => {
                beat_ok_since.get_or_insert_with(Instant::now);
                stop(&shared, &beat.intents).await;
            }
            Err(error) => {
                // While my own beats do not go through, nobody else's can: what I saw of others counts for nothing (H5).
                beat_ok_since = None;
                watched.clear();
                error.patience("send a heartbeat").await;
                continue;
            }
        }
        if let Err(error) = look_for_silent(&shared, &mut watched, beat_ok_since).await {
            error.patience("look for silent workers").await;
        }
        round += 1;
        if round.is_multiple_of(20) {
            // Rows of groups that hold nothing any more, and my own row, should somebody have removed it.
            if let Err(error) = async {
                shared.store.groups_prune().await?;
                shared.store.worker_register(&row).await
            }
            .await
            {
                error.patience("prune lease groups").await;
            }
        }
    }
}

async fn look_for_silent<R: Runner>(
    shared: &Arc<Shared<R>>,
    watched: &mut BTreeMap<Uuid, Watched>,
    beat_ok_since: Option<Instant>,
) -> Result<(), updraft_store::Error> {
    let foreign = shared.store.groups_foreign(shared.id, Some(shared.runner.host())).await?;
    watched.retain(|id, _| foreign.iter().any(|row| row.id == *id));
    for row in foreign {
        let handed_over = row.owner.is_none();
        let still = match watched.get(&row.id) {
            Some(seen) if seen.row == row => {
                seen.since.elapsed() >= shared.config.lease_ttl
                    && beat_ok_since.is_some_and(|since| since.elapsed() >= shared.config.lease_ttl)
            }
            _ => {
                watched.insert(row.id, Watched { row: row.clone(), since: Instant::now() });
                false
            }
        };
        if handed_over || still {
            adopt(shared, &row).await?;
            watched.remove(&row.id);
        }
    }
    Ok(())
}

/// Adopts every group of this host at once. Only for a worker that knows itself alone here.
pub(crate) async fn adopt_host<R: Runner>(shared: &Arc<Shared<R>>) {
    loop {
        let done = async {
            for row in shared.store.groups_foreign(shared.id, Some(shared.runner.host())).await? {
                adopt(shared, &row).await?;
            }
            Ok::<(), updraft_store::Error>(())
        };
        match done.await {
            Ok(()) => return,
            Err(error) => error.patience("adopt what this host left running").await,
        }
    }
}

async fn adopt<R: Runner>(shared: &Arc<Shared<R>>, seen: &GroupRow) -> Result<(), updraft_store::Error> {
    if shared.store.group_adopt(seen, shared.id).await?.is_none() {
        return Ok(());
    }
    let attempts = shared.store.attempts_of_group(seen.id).await?;
    info!(group = %seen.id, attempts = attempts.len(), "adopted {} attempts of a worker that is gone", attempts.len());
    for attempt in attempts {
        // What lives already holds no permit of mine: it is watched beyond my concurrency rather than left alone.
        let permit = Arc::clone(&shared.permits).try_acquire_owned().ok();
        shared.drivers.spawn(drive::drive(Arc::clone(shared), attempt, permit));
    }
    Ok(())
}

/// Hears of intents at once; the heartbeat is the safety net.
pub(crate) async fn notices<R: Runner>(shared: Arc<Shared<R>>) {
    let mut notices = shared.broker.notices(shared.id);
    loop {
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            () = notices.take() => {}
        }
        match shared.store.intents_of(shared.id).await {
            Ok(intents) => stop(&shared, &intents).await,
            Err(error) => error.patience("read intents").await,
        }
    }
}

async fn stop<R: Runner>(shared: &Shared<R>, intents: &[AttemptKey]) {
    for key in intents {
        match shared.runner.stop(*key, Stopped::Cancelled).await {
            Ok(()) => {}
            // Not there yet: its driver hears of it, should it still wait for a place, and the next heartbeat asks again.
            Err(StopError::NotLaunched) => {
                if let Some(driven) = shared.driven().get(key) {
                    driven.unwanted.cancel();
                }
            }
            Err(error) => warn!(error = %error, "cannot stop attempt {} of run {}", key.attempt, key.instance.run),
        }
    }
}
