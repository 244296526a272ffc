//! Where attempts stand before their commands run (`ImagePullBackOff: …`, `waits to be launched: exceeded quota`), for people. Written in
//! batches, may be lost, decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::debug;
use updraft_model::AttemptKey;

use crate::Shared;
use crate::runner::{Progress, Runner};

/// Most news that wait to be written.
pub(crate) const MOST: usize = 4096;
/// News are gathered for this long: of several about one attempt the last counts.
const GATHER: Duration = Duration::from_millis(500);

/// Writes news until the worker is gone.
pub(crate) async fn progress_writer<R: Runner>(shared: Arc<Shared<R>>, mut own: mpsc::Receiver<Progress>) {
    let mut of_runner = shared.runner.progress();
    let mut latest: BTreeMap<AttemptKey, String> = BTreeMap::new();
    loop {
        let news = tokio::select! {
            news = own.recv() => news,
            news = async { match &mut of_runner { Some(queue) => queue.recv().await, None => std::future::pending().await } } => news,
            () = tokio::time::sleep(GATHER), if !latest.is_empty() => {
                let batch: Vec<(AttemptKey, String)> = std::mem::take(&mut latest).into_iter().collect();
                if let Err(error) = shared.store.attempts_progress(&batch).await {
                    debug!(error = %error, "news of attempts were not written");
                }
                continue;
            }
        };
        match news {
            Some(Progress { key, detail }) if latest.len() < MOST => drop(latest.insert(key, detail)),
            Some(_) => {}
            None if shared.shutdown.is_cancelled() => return,
            // The runner has nothing more to say.
            None => of_runner = None,
        }
    }
}
