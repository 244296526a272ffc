//! Logs go to the store beside everything else, and decide nothing: an end is written whether or not its log could be read.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tracing::warn;
use updraft_model::AttemptKey;
use updraft_store::LogChunk;

use crate::runner::{LogPosition, LogRead, Outcome, Runner};
use crate::{Shared, crash_point, drive};

/// How often the logs of live attempts are looked at.
const EVERY: Duration = Duration::from_millis(500);
/// Most bytes of one chunk.
const CHUNK: usize = 256 * 1024;
/// Most bytes of one statement.
const STATEMENT: usize = 4 * 1024 * 1024;
/// Logs that are read, and attempts that are let go of, at once: with pods each is a call over the network.
const AT_ONCE: usize = 16;
/// How long one read of a live log may take. A node that does not answer must not hold up the logs of the others; the next look asks again.
const LIVE_READ: Duration = Duration::from_secs(2);
/// The same once the attempt has ended, when there is no other look.
const LAST_READ: Duration = Duration::from_secs(60);

/// An attempt that has ended and is written: what is left of its log goes to the store, and then the runner may forget it.
pub(crate) struct Rest {
    pub(crate) key: AttemptKey,
    pub(crate) outcome: Outcome,
}

/// Ships logs until the worker is gone.
pub(crate) async fn log_shipper<R: Runner>(shared: Arc<Shared<R>>, mut ended: mpsc::UnboundedReceiver<Rest>) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut rests: Vec<Rest> = Vec::new();
    loop {
        tokio::select! {
            count = ended.recv_many(&mut rests, 256) => {
                if count == 0 {
                    return;
                }
                ship(&shared, rests.iter().map(|rest| rest.key).collect(), LAST_READ).await;
                crash_point::reached("before-release").await;
                stream::iter(rests.drain(..)).for_each_concurrent(AT_ONCE, |rest| release(&shared, rest)).await;
            }
            _ = tick.tick() => {
                let live: Vec<AttemptKey> = shared.driven().keys().copied().collect();
                if !live.is_empty() {
                    ship(&shared, live, LIVE_READ).await;
                }
            }
        }
    }
}

async fn release<R: Runner>(shared: &Shared<R>, Rest { key, outcome }: Rest) {
    shared.driven().remove(&key);
    if let Err(error) = shared.runner.release(key, outcome).await {
        warn!(error = %error, "cannot release attempt {} of run {}", key.attempt, key.instance.run);
    }
}

/// What is new in a log, from where it was left. `None`: nothing, or it is not ours to copy any more.
async fn read<R: Runner>(shared: &Shared<R>, key: AttemptKey, limit: Duration) -> Option<(AttemptKey, LogPosition, LogRead)> {
    // Cleared by an earlier pass, or never driven here (its end was written by another worker).
    let at = shared.driven().get(&key).and_then(|driven| driven.log.clone())?;
    let result = tokio::time::timeout(limit, shared.runner.read_log(key, &at, CHUNK)).await;
    match result.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer for {limit:?}")))) {
        Ok(mut read) => {
            if let Some(mask) = shared.driven().get_mut(&key).and_then(|driven| driven.mask.as_mut()) {
                mask.apply(&mut read.data);
            }
            Some((key, at, read))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            warn!(error = %error, "cannot read the log of attempt {} of run {}", key.attempt, key.instance.run);
            None
        }
    }
}

/// Stores everything that is new in these logs: in rounds, one chunk of each in a round. Two workers may copy one log for a while, when one of
/// them was taken for dead. Each goes on from an end that it knows, so the one that comes second is refused at that very place; a second chunk
/// in the same statement would start where the other has none, and be stored twice.
async fn ship<R: Runner>(shared: &Shared<R>, mut keys: Vec<AttemptKey>, limit: Duration) {
    while !keys.is_empty() {
        let mut more = Vec::new();
        let mut chunks: Vec<(LogChunk, LogPosition)> = Vec::new();
        let mut bytes = 0;
        let mut reads = stream::iter(keys).map(|key| read(shared, key, limit)).buffer_unordered(AT_ONCE);
        while let Some(read) = reads.next().await {
            let Some((key, at, read)) = read else { continue };
            if read.data.is_empty() {
                if read.next != at {
                    set(shared, key, read.next);
                }
                continue;
            }
            if !read.eof {
                more.push(key);
            }
            bytes += read.data.len();
            chunks.push((LogChunk { key, start: at.offset, data: read.data, cursor: read.next.cursor.clone() }, read.next));
            if bytes >= STATEMENT {
                store(shared, &mut chunks).await;
                bytes = 0;
            }
        }
        store(shared, &mut chunks).await;
        keys = more;
    }
}

async fn store<R: Runner>(shared: &Shared<R>, chunks: &mut Vec<(LogChunk, LogPosition)>) {
    if chunks.is_empty() {
        return;
    }
    let (rows, ends): (Vec<LogChunk>, Vec<LogPosition>) = std::mem::take(chunks).into_iter().unzip();
    let refused = loop {
        match shared.store.log_append(&rows).await {
            Ok(refused) => break refused,
            Err(error) => error.patience("store logs").await,
        }
    };
    for (row, end) in rows.iter().zip(ends) {
        // Another worker was here first: go on from where it is.
        let end = if refused.contains(&row.key) { drive::log_resume(shared, row.key).await } else { end };
        set(shared, row.key, end);
    }
}

fn set<R: Runner>(shared: &Shared<R>, key: AttemptKey, position: LogPosition) {
    if let Some(driven) = shared.driven().get_mut(&key) {
        driven.log = Some(position);
    }
}
