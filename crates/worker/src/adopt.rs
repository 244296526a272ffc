//! Heartbeats, intents and the adoption of groups whose worker is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::{info, warn};
use updraft_model::AttemptKey;
use updraft_model::end::Stopped;
use updraft_store::{GroupRow, WorkerRow};
use updraft_telemetry::metrics;
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
    // Groups that I may have adopted without hearing of it.
    let mut unsure: BTreeMap<Uuid, GroupRow> = BTreeMap::new();
    let mut beat_ok_since: Option<Instant> = None;
    let mut round = 0u32;
    loop {
        shared.config.pulse.beat();
        shared.tell_watched();
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            () = tokio::time::sleep(shared.config.heartbeat) => {}
        }
        match shared.store.worker_beat(shared.id).await {
            Ok(beat) => {
                beat_ok_since.get_or_insert_with(Instant::now);
                shared.tell_draining(beat.draining);
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
        if let Err(error) = look_for_silent(&shared, &mut watched, &mut unsure, beat_ok_since).await {
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
    unsure: &mut BTreeMap<Uuid, GroupRow>,
    beat_ok_since: Option<Instant>,
) -> Result<(), updraft_store::Error> {
    while let Some((id, row)) = unsure.first_key_value() {
        adopt(shared, row).await?;
        let id = *id;
        unsure.remove(&id);
    }
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
            watched.remove(&row.id);
            let id = row.id;
            unsure.insert(id, row.clone());
            adopt(shared, &row).await?;
            unsure.remove(&id);
        }
    }
    Ok(())
}

/// Adopts every group of this host at once. Only for a worker that knows itself alone here.
pub(crate) async fn adopt_host<R: Runner>(shared: &Arc<Shared<R>>) {
    let foreign = loop {
        match shared.store.groups_foreign(shared.id, Some(shared.runner.host())).await {
            Ok(foreign) => break foreign,
            Err(error) => error.patience("find what this host left running").await,
        }
    };
    for row in foreign {
        while let Err(error) = adopt(shared, &row).await {
            error.patience("adopt what this host left running").await;
        }
    }
}

/// Takes a group over and drives what it holds. After an error it may have been taken all the same: it is to be called again with the row
/// as it was seen, until it answers, or nobody drives the group.
async fn adopt<R: Runner>(shared: &Arc<Shared<R>>, seen: &GroupRow) -> Result<(), updraft_store::Error> {
    if shared.store.group_adopt(seen, shared.id).await?.is_none() {
        return Ok(());
    }
    // A group that was mine before may hold what I still drive. Without a bind nothing else tells a driver that another of this process has
    // just ended the attempt and removed its traces, so who drives is asked before what lives.
    let mine: Vec<AttemptKey> = if R::BINDS { Vec::new() } else { shared.driven().keys().copied().collect() };
    let mut attempts = shared.store.attempts_of_group(seen.id).await?;
    attempts.retain(|attempt| !mine.contains(&attempt.key()));
    metrics::worker().adopted(attempts.len());
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
