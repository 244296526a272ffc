//! Taking attempts: slots first, then hints, so that whoever has no room leaves them to others.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tracing::{debug, warn};
use updraft_store::{Claimed, GroupRow, RunningAttempt};

use crate::runner::Runner;
use crate::{Shared, drive};

/// Most attempts in one claim.
const BATCH: usize = 64;
/// Attempts in one lease group: what changes hands at once.
const GROUP: usize = 500;
/// How often Postgres is asked for work while the broker is away.
const PULL_EVERY_WITHOUT_BROKER: Duration = Duration::from_secs(1);

/// Claims until shutdown.
pub(crate) async fn claimer<R: Runner>(shared: &Arc<Shared<R>>, first: GroupRow) {
    let mut group = first;
    let mut in_group = 0;
    let mut hints = shared.broker.hints(shared.config.queues.clone());
    let mut status = shared.broker.status();
    let mut pulls_often = false;
    // The first look is a pull: what was queued while nobody was here has no hint any more.
    let mut pull_at = tokio::time::Instant::now();
    loop {
        let permit = tokio::select! {
            biased;
            () = shared.shutdown.cancelled() => return,
            permit = Arc::clone(&shared.permits).acquire_owned() => match permit { Ok(permit) => permit, Err(_) => return },
        };
        let room = 1 + shared.permits.available_permits().min(BATCH - 1);
        let taken = tokio::select! {
            biased;
            () = shared.shutdown.cancelled() => return,
            taken = hints.take(room) => Some(taken),
            () = tokio::time::sleep_until(pull_at) => None,
            // Without the broker no hint comes, and the long wait for the next pull was for a time when they do.
            Ok(()) = status.changed(), if !pulls_often => {
                pulls_often = !shared.broker.is_up();
                if pulls_often {
                    pull_at = pull_at.min(tokio::time::Instant::now() + PULL_EVERY_WITHOUT_BROKER);
                }
                continue;
            }
        };
        let most = i64::try_from(room).unwrap_or(i64::MAX);
        let host = shared.runner.host();
        let claimed = loop {
            let result = match &taken {
                None => shared.store.attempts_pull(&shared.config.queues, most, group.id, shared.id, group.epoch, host).await,
                Some(taken) => shared.store.attempts_claim(&taken.keys, group.id, shared.id, group.epoch, host).await,
            };
            match result {
                Ok(claimed) => break claimed,
                Err(error) => {
                    tokio::select! {
                        () = shared.shutdown.cancelled() => return,
                        () = error.patience("claim") => {}
                    }
                }
            }
        };
        let attempts = match claimed {
            Claimed::Attempts(attempts) => attempts,
            Claimed::GroupLost => {
                // I was silent for too long and somebody adopted my group. What I drive still ends by its evidence; new attempts need a new group.
                warn!(group = %group.id, "lease group was adopted by another worker");
                group = new_group(shared).await;
                in_group = 0;
                // The hints in hand are dropped, and so go back to their queue; a pull finds the same sooner.
                pull_at = tokio::time::Instant::now();
                continue;
            }
        };
        if let Some(taken) = taken {
            if attempts.len() < taken.keys.len() {
                debug!(hints = taken.keys.len(), claimed = attempts.len(), "some hints were stale");
            }
            // The claim has committed. A hint that it did not win is somebody else's, and nobody needs it either.
            taken.done();
        } else {
            // More may wait than fitted; otherwise the hints will say, if the broker is there.
            let full = attempts.len() >= room;
            pulls_often = !shared.broker.is_up();
            let usual = if pulls_often { PULL_EVERY_WITHOUT_BROKER.min(shared.config.pull_every) } else { shared.config.pull_every };
            pull_at = tokio::time::Instant::now() + if full { Duration::ZERO } else { usual };
        }
        in_group += attempts.len();
        start(shared, permit, attempts);
        if in_group >= GROUP {
            group = new_group(shared).await;
            in_group = 0;
        }
    }
}

fn start<R: Runner>(shared: &Arc<Shared<R>>, first: OwnedSemaphorePermit, attempts: Vec<RunningAttempt>) {
    let mut first = Some(first);
    for attempt in attempts {
        // There is room: nobody else takes permits.
        let permit = first.take().or_else(|| Arc::clone(&shared.permits).try_acquire_owned().ok());
        shared.drivers.spawn(drive::drive(Arc::clone(shared), attempt, permit));
    }
}

async fn new_group<R: Runner>(shared: &Shared<R>) -> GroupRow {
    loop {
        match shared.store.group_create(shared.id, shared.runner.host()).await {
            Ok(group) => return group,
            Err(error) => error.patience("make a lease group").await,
        }
    }
}
