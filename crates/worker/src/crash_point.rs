//! Named points at which tests stop or kill a worker: between claim, launch, bind, start and finish, where a crash hurts most.
//!
//! `UPDRAFT_CRASH_POINT=NAME=stop` (or `kill`) makes the process stop itself (SIGSTOP; somebody wakes it) or kill itself (SIGKILL) the first
//! time that it comes to that point; `UPDRAFT_CRASH_POINT_SKIP=N` lets it pass N times before. Compiled in with the feature `crash-points`
//! alone; otherwise nothing of this exists.

/// A point is reached.
#[cfg(not(feature = "crash-points"))]
#[expect(clippy::unused_async, reason = "the same shape as with the feature")]
pub(crate) async fn reached(_name: &'static str) {}

/// A point is reached.
#[cfg(feature = "crash-points")]
pub(crate) async fn reached(name: &'static str) {
    use std::sync::atomic::{AtomicI64, Ordering};
    static LEFT: AtomicI64 = AtomicI64::new(i64::MIN);

    let Ok(wish) = std::env::var("UPDRAFT_CRASH_POINT") else { return };
    let Some((point, what)) = wish.split_once('=') else { return };
    if point != name {
        return;
    }
    let skip = std::env::var("UPDRAFT_CRASH_POINT_SKIP").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let _ = LEFT.compare_exchange(i64::MIN, skip, Ordering::SeqCst, Ordering::SeqCst);
    if LEFT.fetch_sub(1, Ordering::SeqCst) != 0 {
        return;
    }
    tracing::warn!("crash point {name}: {what}");
    let signal = if what == "kill" { rustix::process::Signal::KILL } else { rustix::process::Signal::STOP };
    // The whole process, so that heartbeats stand still as well.
    let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
    if what == "kill" {
        std::future::pending::<()>().await;
    }
}
