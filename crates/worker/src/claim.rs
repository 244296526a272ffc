//! Taking attempts: slots first, then hints, so that whoever has no room leaves them to others.
//!
//! A claim may commit without its answer reaching us: the server was restarted, the network was cut. Then the attempts are ours and nobody
//! knows. So after a claim that failed, the epoch of the group is ended, which fences whatever of it may still be under way, and what the
//! group holds that we never started is started.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::{debug, info, warn};
use updraft_model::AttemptKey;
use updraft_store::{Claimed, GroupRow, RunningAttempt};
use updraft_telemetry::metrics;

use crate::runner::Runner;
use crate::{Shared, crash_point, drive};

/// Most attempts in one claim.
const BATCH: usize = 64;
/// Attempts in one lease group: what changes hands at once.
const GROUP: usize = 500;

/// How often it looks for attempts while the broker is away.
const PULL_WITHOUT_BROKER: Duration = Duration::from_secs(1);

/// Claims until shutdown.
pub(crate) async fn claimer<R: Runner>(shared: &Arc<Shared<R>>, first: GroupRow) {
    let mut group = first;
    // What was claimed into the group: all that it should ever have held.
    let mut started: HashSet<AttemptKey> = HashSet::new();
    let mut hints = shared.broker.hints(shared.config.queues.clone());
    let mut draining = shared.draining.subscribe();
    let mut broker = shared.broker.status();
    // The first look is a pull: what was queued while nobody was here has no hint any more. None: at once.
    let mut pulled_at: Option<Instant> = None;
    loop {
        if *draining.borrow_and_update() {
            // What was fetched goes back to its queue, for others.
            drop(hints);
            tokio::select! {
                () = shared.shutdown.cancelled() => return,
                // The sender lives as long as the worker.
                _ = draining.wait_for(|draining| !draining) => {}
            }
            hints = shared.broker.hints(shared.config.queues.clone());
            pulled_at = None;
        }
        let permit = tokio::select! {
            biased;
            () = shared.shutdown.cancelled() => return,
            permit = Arc::clone(&shared.permits).acquire_owned() => match permit { Ok(permit) => permit, Err(_) => return },
        };
        let room = 1 + shared.permits.available_permits().min(BATCH - 1);
        let every =
            if broker.borrow_and_update().is_up() { shared.config.pull_every } else { PULL_WITHOUT_BROKER.min(shared.config.pull_every) };
        let pull_at = pulled_at.map_or_else(Instant::now, |at| at + every);
        let taken = tokio::select! {
            biased;
            () = shared.shutdown.cancelled() => return,
            _ = draining.changed() => continue,
            taken = hints.take(room) => Some(taken),
            () = tokio::time::sleep_until(pull_at) => None,
            // It came or went: the pace of pulling is another.
            Ok(()) = broker.changed() => continue,
        };
        let most = i64::try_from(room).unwrap_or(i64::MAX);
        let host = shared.runner.host();
        let mut unheard = Vec::new();
        let mut unsure = false;
        let mut begin = Instant::now();
        let claimed = loop {
            let result = async {
                if unsure {
                    match what_was_claimed(shared, &mut group, &started).await? {
                        Some(attempts) => unheard = attempts,
                        None => return Ok(Claimed::GroupLost),
                    }
                    unsure = false;
                }
                match &taken {
                    None => shared.store.attempts_pull(&shared.config.queues, most, group.id, shared.id, group.epoch, host).await,
                    Some(taken) => shared.store.attempts_claim(&taken.keys, group.id, shared.id, group.epoch, host).await,
                }
            };
            match result.await {
                Ok(claimed) => break claimed,
                Err(error) => {
                    unsure = true;
                    tokio::select! {
                        () = shared.shutdown.cancelled() => return,
                        () = error.patience("claim") => {}
                    }
                    begin = Instant::now();
                }
            }
        };
        let mut attempts = match claimed {
            Claimed::Attempts(attempts) => attempts,
            Claimed::Draining => {
                // Heard before the heartbeat. What a claim without an answer may have given is mine all the same.
                shared.tell_draining(true);
                started.extend(unheard.iter().map(RunningAttempt::key));
                start(shared, permit, unheard);
                continue;
            }
            Claimed::GroupLost => {
                // I was silent for too long and somebody adopted my group. What I drive still ends by its evidence; new attempts need a new group.
                warn!(group = %group.id, "lease group was adopted by another worker");
                group = new_group(shared).await;
                started.clear();
                // The hints in hand go back to their queue.
                pulled_at = None;
                continue;
            }
        };
        match taken {
            // More may wait than fitted; otherwise the hints will say.
            None => pulled_at = (attempts.len() < room).then(Instant::now),
            Some(taken) => {
                if attempts.len() < taken.keys.len() {
                    debug!(hints = taken.keys.len(), claimed = attempts.len(), "some hints were stale");
                }
                // The claim has committed: the message has done what it was for.
                taken.done();
            }
        }
        if !unheard.is_empty() {
            info!("found {} attempts that were claimed without an answer", unheard.len());
            attempts.append(&mut unheard);
        }
        metrics::worker().claimed(attempts.len(), begin.elapsed());
        if !attempts.is_empty() {
            crash_point::reached("claimed").await;
        }
        started.extend(attempts.iter().map(RunningAttempt::key));
        start(shared, permit, attempts);
        if started.len() >= GROUP {
            group = new_group(shared).await;
            started.clear();
        }
    }
}

/// Ends the group's epoch and reads what it holds besides what we know of. `None`: it is not ours any more.
async fn what_was_claimed<R: Runner>(
    shared: &Shared<R>,
    group: &mut GroupRow,
    started: &HashSet<AttemptKey>,
) -> Result<Option<Vec<RunningAttempt>>, updraft_store::Error> {
    let Some(epoch) = shared.store.group_renew(group, shared.id).await? else { return Ok(None) };
    let mut attempts = shared.store.attempts_of_group(group.id).await?;
    group.epoch = epoch;
    attempts.retain(|attempt| !started.contains(&attempt.key()));
    Ok(Some(attempts))
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
