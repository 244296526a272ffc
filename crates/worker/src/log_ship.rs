//! Logs go to the store beside everything else, and decide nothing: an end is written whether or not its log could be read.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::warn;
use updraft_model::AttemptKey;
use updraft_store::LogChunk;

use crate::Shared;
use crate::runner::Runner;

/// How often the logs of live attempts are looked at.
const EVERY: Duration = Duration::from_millis(500);
/// Most bytes of one chunk.
const CHUNK: usize = 256 * 1024;
/// Most bytes of one statement.
const STATEMENT: usize = 4 * 1024 * 1024;

/// Marks an attempt of which it is not known yet from where on its log is to be copied.
pub(crate) const NOT_YET: u64 = u64::MAX;

/// An attempt that has ended and is written: what is left of its log goes to the store, and then the runner may forget it.
pub(crate) struct Rest {
    pub(crate) key: AttemptKey,
}

/// Ships logs until the worker is gone.
pub(crate) async fn log_shipper<R: Runner>(shared: Arc<Shared<R>>, mut ended: mpsc::UnboundedReceiver<Rest>) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut rests = Vec::new();
    loop {
        tokio::select! {
            count = ended.recv_many(&mut rests, 256) => {
                if count == 0 {
                    return;
                }
                let keys: Vec<AttemptKey> = rests.drain(..).map(|rest| rest.key).collect();
                ship(&shared, &keys).await;
                for key in keys {
                    shared.driven().remove(&key);
                    if let Err(error) = shared.runner.release(key).await {
                        warn!(error = %error, "cannot release attempt {} of run {}", key.attempt, key.instance.run);
                    }
                }
            }
            _ = tick.tick() => {
                let live: Vec<AttemptKey> = shared.driven().keys().copied().collect();
                if !live.is_empty() {
                    ship(&shared, &live).await;
                }
            }
        }
    }
}

/// Stores everything that is new in these logs.
async fn ship<R: Runner>(shared: &Shared<R>, keys: &[AttemptKey]) {
    let mut chunks: Vec<LogChunk> = Vec::new();
    let mut bytes = 0;
    for key in keys {
        // Cleared by an earlier pass, or never driven here (its end was written by another worker).
        let Some(mut at) = shared.driven().get(key).copied() else { continue };
        if at == NOT_YET {
            continue;
        }
        loop {
            let read = match shared.runner.read_log(*key, at, CHUNK).await {
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
                Err(error) => {
                    warn!(error = %error, "cannot read the log of attempt {} of run {}", key.attempt, key.instance.run);
                    break;
                }
            };
            if read.data.is_empty() && read.next <= at {
                break;
            }
            bytes += read.data.len();
            let eof = read.eof;
            if !read.data.is_empty() {
                chunks.push(LogChunk { key: *key, start: at, data: read.data });
            }
            at = read.next;
            if let Some(stored) = shared.driven().get_mut(key) {
                *stored = at;
            }
            if bytes >= STATEMENT {
                store(shared, &mut chunks).await;
                bytes = 0;
            }
            if eof {
                break;
            }
        }
    }
    store(shared, &mut chunks).await;
}

async fn store<R: Runner>(shared: &Shared<R>, chunks: &mut Vec<LogChunk>) {
    while !chunks.is_empty() {
        match shared.store.log_append(chunks).await {
            Ok(()) => chunks.clear(),
            Err(error) => error.patience("store logs").await,
        }
    }
}
