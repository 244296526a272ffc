//! One attempt from claim to end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tracing::{info, warn};
use updraft_model::{AttemptKey, EndFacts, Evidence};
use updraft_store::RunningAttempt;

use crate::finish::End;
use crate::runner::{Handle, Retry, Runner};
use crate::{Shared, log_ship};

/// How often a start that the host refuses is tried before the attempt is given back as lost.
const LAUNCH_TRIES: u32 = 5;

/// Starts the attempt (or finds it, when it was started before), waits for its end and hands that to the finisher.
pub(crate) async fn drive<R: Runner>(shared: Arc<Shared<R>>, attempt: RunningAttempt, permit: Option<OwnedSemaphorePermit>) {
    let key = attempt.key();
    // An attempt is driven once in a process: an adopted group may hold what this worker already watches.
    {
        let mut driven = shared.driven();
        if driven.contains_key(&key) {
            return;
        }
        driven.insert(key, log_ship::NOT_YET);
    }
    let (handle, facts) = match launch(&shared, &attempt).await {
        Ok(handle) => {
            let stored = if handle.found { log_length(&shared, key).await } else { 0 };
            shared.driven().insert(key, stored);
            (Some(handle.id), shared.runner.wait(key).await)
        }
        Err(detail) => (None, EndFacts { detail: Some(detail), ..EndFacts::default() }),
    };
    let evidence = Evidence { runner: shared.runner.kind().to_owned(), handle, host: Some(shared.runner.host().to_owned()), facts };
    // The slot is free as soon as nothing runs, not when the end is written.
    drop(permit);
    let _ = shared.ends.send(End { finished: attempt.finish(evidence) });
}

async fn launch<R: Runner>(shared: &Shared<R>, attempt: &RunningAttempt) -> Result<Handle, String> {
    let key = attempt.key();
    let mut tries = 0;
    loop {
        match shared.runner.launch(key, attempt.launch()).await {
            Ok(handle) => {
                if handle.found {
                    let launch = attempt.launch();
                    info!(
                        dag.id = launch.dag_id,
                        run.id = launch.run_id,
                        task.id = launch.task_id,
                        attempt = key.attempt,
                        "adopted {}/{}/{}: it was started before and goes on",
                        launch.dag_id,
                        launch.run_id,
                        launch.task_id
                    );
                }
                return Ok(handle);
            }
            Err(error) => {
                tries += 1;
                let cause = error.source.to_string();
                warn!(error = %error, cause, tries, "cannot launch attempt {} of run {}", key.attempt, key.instance.run);
                match error.retry {
                    Retry::After(wait) if tries < LAUNCH_TRIES => tokio::time::sleep(wait.min(Duration::from_secs(5))).await,
                    _ => return Err(format!("the host could not start it: {error}: {cause}")),
                }
            }
        }
    }
}

/// Where the worker before me stopped copying the log.
async fn log_length<R: Runner>(shared: &Shared<R>, key: AttemptKey) -> u64 {
    loop {
        match shared.store.log_length(key).await {
            Ok(length) => return length,
            Err(error) => error.patience("read the length of a log").await,
        }
    }
}
