//! Writes down what each minute came to. Any number of schedulers may: who comes second finds it written.
//!
//! Beside the plan loop, on a connection of its own, and after the minute: no task waits for it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use updraft_store::Store;

/// Shortest and longest wait between two looks.
const WAITS: (f64, f64) = (1.0, 70.0);
/// After a look that failed. What it missed the next one counts.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Counts until shutdown.
pub(crate) async fn count(store: Store, shutdown: CancellationToken) {
    loop {
        let wait = tokio::select! {
            () = shutdown.cancelled() => return,
            taken = store.fleet_minutes_take() => match taken {
                Ok(seconds) => Duration::from_secs_f64(seconds.clamp(WAITS.0, WAITS.1)),
                Err(error) => {
                    warn!(error = %error, "could not write down what the last minute came to; tried again in half a minute");
                    AFTER_FAILURE
                }
            },
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}
