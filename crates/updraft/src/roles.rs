//! The roles of a fleet, each a process of its own, any number of each: `updraft scheduler`, `updraft worker`, `updraft api`. They meet in
//! Postgres and, for speed, in RabbitMQ. None keeps state that matters, and none exits because a server is away.

pub(crate) mod api;
pub(crate) mod scheduler;
pub(crate) mod worker;

use tokio_util::sync::CancellationToken;
use tracing::info;

/// Cancelled by SIGTERM and Ctrl-C.
fn until_told() -> std::io::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = CancellationToken::new();
    let told = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM: leaving"),
            _ = interrupt.recv() => info!("Ctrl-C: leaving"),
        }
        told.cancel();
    });
    Ok(token)
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
