//! One attempt from claim to end.
//!
//! ```text
//! launch ─► made ─► bind (runners that bind) ─► yes ─► start ─► wait ─► end, to the finisher
//!    │                   ├ refused   another object is bound, or it is over: remove this one, walk away
//!    │                   ├ unwanted  cancelled before anything started: remove this one, that is the end
//!    │                   └ not mine  adopted meanwhile: walk away and touch nothing, the adopter may be binding this very object
//!    └► ended  it can never run: that is the end
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use updraft_model::end::Stopped;
use updraft_model::{AttemptKey, EndFacts, Evidence};
use updraft_store::{Bound, RunningAttempt};

use crate::finish::End;
use crate::runner::{Assignment, Handle, LaunchError, Launched, LogPosition, Progress, Retry, Runner};
use crate::{Driven, Shared, bind, crash_point, mask, python};

/// How often a start that the host refuses is tried before the attempt is given back as lost.
const LAUNCH_TRIES: u32 = 5;

/// How long the end of a log that another worker copied may take to be read.
const READ_BEFORE: Duration = Duration::from_secs(10);

/// How an attempt is left.
enum Left {
    /// With an end to write.
    Ended { handle: Option<String>, facts: Box<EndFacts> },
    /// To somebody else.
    WalkedAway,
}

/// Starts the attempt (or finds it, when it was started before), waits for its end and hands that to the finisher.
pub(crate) async fn drive<R: Runner>(shared: Arc<Shared<R>>, attempt: RunningAttempt, permit: Option<OwnedSemaphorePermit>) {
    let key = attempt.key();
    let unwanted = CancellationToken::new();
    // An attempt is driven once in a process: an adopted group may hold what this worker already watches.
    {
        let mask = shared.mask(attempt.launch());
        let mut driven = shared.driven();
        if driven.contains_key(&key) {
            return;
        }
        driven.insert(key, Driven { log: None, unwanted: unwanted.clone(), mask });
    }
    shared.tell_watched();
    let left = watch_over(&shared, &attempt, &unwanted).await;
    // The slot is free as soon as nothing runs, not when the end is written.
    drop(permit);
    match left {
        Left::Ended { handle, mut facts } => {
            if let Some(mask) = shared.driven().get(&key).and_then(|driven| driven.mask.as_ref()) {
                for text in [&mut facts.detail, &mut facts.spawn_error].into_iter().flatten() {
                    *text = mask.hide(text);
                }
                if let Some(pod) = &mut facts.pod {
                    mask.hide_in(pod);
                }
            }
            let host = facts.node.take().unwrap_or_else(|| shared.runner.host().to_owned());
            let evidence = Evidence { runner: shared.runner.kind().to_owned(), handle, host: Some(host), facts: *facts };
            crash_point::reached("before-finish").await;
            let _ = shared.ends.send(End { finished: attempt.finish(evidence) });
        }
        Left::WalkedAway => {
            shared.driven().remove(&key);
        }
    }
}

async fn watch_over<R: Runner>(shared: &Shared<R>, attempt: &RunningAttempt, unwanted: &CancellationToken) -> Left {
    let key = attempt.key();
    let handle = match launch(shared, attempt, unwanted).await {
        Ok(Launched::Made(handle)) => handle,
        Ok(Launched::Ended(facts)) => return Left::Ended { handle: attempt.bound().map(str::to_owned), facts },
        Err(detail) => return lost(attempt, detail),
    };
    if R::BINDS {
        if attempt.bound() != Some(handle.id.as_str()) {
            crash_point::reached("before-bind").await;
            match bind::bind(shared, key, &handle.id).await {
                Bound::Yes => {}
                Bound::NotMine => {
                    info!(handle = handle.id, "attempt {} of run {} has another worker now", key.attempt, key.instance.run);
                    return Left::WalkedAway;
                }
                refusal @ (Bound::Refused | Bound::Unwanted) => {
                    discard(shared, attempt, &handle).await;
                    if refusal == Bound::Refused {
                        info!(handle = handle.id, "attempt {} of run {} is over or runs elsewhere", key.attempt, key.instance.run);
                        return Left::WalkedAway;
                    }
                    return Left::Ended { handle: None, facts: Box::new(cancelled_before_start()) };
                }
            }
        }
        crash_point::reached("before-start").await;
        if let Err(detail) = start(shared, attempt, &handle).await {
            // Bound: whether it runs is for `wait` to say, by what it finds.
            warn!(detail, handle = handle.id, "cannot open the gate of attempt {} of run {}", key.attempt, key.instance.run);
        }
    }
    crash_point::reached("launched").await;
    let stored = if handle.found { log_resume(shared, key).await } else { LogPosition::default() };
    if let Some(driven) = shared.driven().get_mut(&key) {
        driven.log = Some(stored);
    }
    let facts = shared.runner.wait(key).await;
    Left::Ended { handle: Some(handle.id), facts: Box::new(facts) }
}

fn assignment(attempt: &RunningAttempt) -> Assignment<'_> {
    Assignment { key: attempt.key(), group: attempt.group(), bound: attempt.bound(), spec: attempt.launch() }
}

fn lost(attempt: &RunningAttempt, detail: String) -> Left {
    let facts = EndFacts { detail: Some(detail), ..EndFacts::default() };
    Left::Ended { handle: attempt.bound().map(str::to_owned), facts: Box::new(facts) }
}

fn cancelled_before_start() -> EndFacts {
    EndFacts { stopped: Some(Stopped::Cancelled), detail: Some("stopped before it started".to_owned()), ..EndFacts::default() }
}

async fn launch<R: Runner>(shared: &Shared<R>, attempt: &RunningAttempt, unwanted: &CancellationToken) -> Result<Launched, String> {
    let key = attempt.key();
    let mut tries = 0;
    let spec = match python::complete(shared.config.python.as_deref(), &shared.store, attempt.launch()).await {
        Ok(spec) => spec,
        Err(facts) => return Ok(Launched::Ended(facts)),
    };
    crash_point::reached("before-launch").await;
    loop {
        let error = match shared.runner.launch(Assignment { spec: &spec, ..assignment(attempt) }).await {
            Ok(launched) => {
                if let Launched::Made(Handle { found: true, .. }) = &launched {
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
                return Ok(launched);
            }
            Err(error) => error,
        };
        tries += 1;
        let cause = error.source.to_string();
        warn!(error = %error, cause, tries, "cannot launch attempt {} of run {}", key.attempt, key.instance.run);
        let wait = match error.retry {
            Retry::Wait(wait) => {
                shared.news(Progress { key, detail: format!("waits to be launched: {cause}") });
                wait
            }
            Retry::After(wait) if tries < LAUNCH_TRIES => wait.min(Duration::from_secs(5)),
            _ => return Err(format!("the host could not start it: {error}: {cause}")),
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            // Nobody waits for a place that is no longer wanted. What a lost reply may have made is gated, and the sweeper finds it.
            () = unwanted.cancelled(), if attempt.bound().is_none() => return Ok(Launched::Ended(Box::new(cancelled_before_start()))),
        }
    }
}

async fn start<R: Runner>(shared: &Shared<R>, attempt: &RunningAttempt, handle: &Handle) -> Result<(), String> {
    let mut tries = 0;
    loop {
        let error: LaunchError = match shared.runner.start(assignment(attempt), &handle.id).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        tries += 1;
        let cause = error.source.to_string();
        match error.retry {
            Retry::Wait(wait) => tokio::time::sleep(wait).await,
            Retry::After(wait) if tries < LAUNCH_TRIES => tokio::time::sleep(wait.min(Duration::from_secs(5))).await,
            _ => return Err(format!("{error}: {cause}")),
        }
    }
}

async fn discard<R: Runner>(shared: &Shared<R>, attempt: &RunningAttempt, handle: &Handle) {
    if let Err(error) = shared.runner.discard(assignment(attempt), &handle.id).await {
        let key = attempt.key();
        // It is gated and never starts; the sweeper removes it.
        warn!(error = %error, handle = handle.id, "cannot remove what was made for attempt {} of run {}", key.attempt, key.instance.run);
    }
}

/// Where the worker before me stopped copying the log. The mask goes on there, too: it is told what comes right before.
pub(crate) async fn log_resume<R: Runner>(shared: &Shared<R>, key: AttemptKey) -> LogPosition {
    let at = loop {
        match shared.store.log_end(key).await {
            Ok(end) => break LogPosition { offset: end.offset, cursor: end.cursor },
            Err(error) => error.patience("read the length of a log").await,
        }
    };
    let reach = shared.driven().get(&key).and_then(|driven| driven.mask.as_ref()).map(mask::Mask::reach);
    if let Some(reach) = reach
        && at.offset > 0
    {
        let read = tokio::time::timeout(READ_BEFORE, shared.runner.read_log_before(key, &at, reach)).await;
        let before = read.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).unwrap_or_else(|error| {
            let what = "a secret across the place where its log is taken over may be masked in part";
            warn!(error = %error, "{what}: attempt {} of run {}", key.attempt, key.instance.run);
            Vec::new()
        });
        if let Some(mask) = shared.driven().get_mut(&key).and_then(|driven| driven.mask.as_mut()) {
            mask.remember(before);
        }
    }
    at
}
