//! One connection that is kept: open, declare, serve, and when it breaks in any way, drop everything and begin again.
//!
//! The client's own recovery is not used. It brings back connections but not channels, and calls made meanwhile fail in ways of their own;
//! here a broken connection is one error in one place, whatever broke it, and the next one starts from nothing.
//!
//! ```text
//! connecting ──► up ──(connection lost · channel closed · no confirm · heartbeat missed)──► away ──(wait with jitter)──► connecting …
//! ```

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::{Connection, ConnectionProperties, Event};
use tokio::time::{Instant, timeout};
use tracing::debug;
use uuid::Uuid;

use super::status::{Side, count};
use super::words::{LinkError, explain};
use super::{Shared, consumer, publisher, topology};

/// Largest frame, in bytes; a longer message is several. lapin keeps two buffers of 32 frames for each connection and touches all of them: with
/// RabbitMQ's 128 KiB they are two thirds of an idle role's memory.
const FRAME_MAX: u32 = 16 * 1024;
/// The longest that one try to connect may take. A network that swallows packets answers nothing at all.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// The waits between tries: doubled from the first to the last.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LAST_WAIT: Duration = Duration::from_secs(5);
/// A connection that held this long was a good one: the next wait is the first again.
const GOOD: Duration = Duration::from_secs(10);
/// How often the connection is looked at, should an event have been lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The longest that a farewell may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Keeps a connection of one side until shutdown.
pub(crate) async fn keep(shared: Arc<Shared>, side: Side) {
    let mut failures: u32 = 0;
    let mut was_up = false;
    loop {
        if side == Side::Consume && !wait_for_subscription(&shared).await {
            return;
        }
        shared.status.connecting(side);
        let opened = tokio::select! {
            biased;
            () = shared.stopped(side) => return,
            opened = open(&shared, side) => opened,
        };
        let error = match opened {
            Ok(connection) => {
                if was_up {
                    count(&shared.counters.reconnects, 1);
                }
                was_up = true;
                shared.status.up(side);
                let since = Instant::now();
                let outcome = serve(&shared, side, &connection).await;
                if since.elapsed() >= GOOD {
                    failures = 0;
                }
                // Its channels and tasks are gone; the farewell lets RabbitMQ requeue at once what was not acknowledged.
                let _ = timeout(CLOSE_WITHIN, connection.close(200, "done".into())).await;
                match outcome {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        debug!(side = %side, error = ?error, "connection to rabbitmq is lost");
        shared.status.away(side, explain(&error, &shared.options));
        let wait = backoff(failures);
        failures = failures.saturating_add(1);
        tokio::select! {
            () = shared.stopped(side) => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// `false` at shutdown.
async fn wait_for_subscription(shared: &Shared) -> bool {
    let mut changes = shared.subscriptions.changes();
    loop {
        if !shared.subscriptions.is_empty() {
            return true;
        }
        tokio::select! {
            () = shared.stopped(Side::Consume) => return false,
            changed = changes.changed() => if changed.is_err() { return false },
        }
    }
}

/// Half to all of a wait that doubles. Without the jitter a whole fleet would come back in the same millisecond.
fn backoff(failures: u32) -> Duration {
    let full = FIRST_WAIT.saturating_mul(1 << failures.min(10)).min(LAST_WAIT);
    full / 2 + jitter(full / 2)
}

/// A random part of a time. Random enough: it only has to differ between processes.
pub(crate) fn jitter(most: Duration) -> Duration {
    let [.., low, high] = *Uuid::new_v4().as_bytes();
    most.mul_f64(f64::from(u16::from_be_bytes([low, high])) / f64::from(u16::MAX))
}

pub(crate) async fn open(shared: &Shared, side: Side) -> Result<Connection, LinkError> {
    let options = &shared.options;
    let mut uri = options.uri.clone();
    let heartbeat = u16::try_from(options.heartbeat.as_secs().max(1)).unwrap_or(u16::MAX);
    uri.query.heartbeat.get_or_insert(heartbeat);
    uri.query.frame_max.get_or_insert(FRAME_MAX);
    let tls = tls_files(shared).await?;
    let properties = ConnectionProperties::default().with_connection_name(format!("{} {side}", options.connection_name).into());
    let runtime = lapin::runtime::default_runtime()?;
    let connecting = async {
        let connection = Connection::connect_uri_with_config(uri, properties, tls, runtime).await?;
        topology::declare_common(shared, &connection).await?;
        Ok(connection)
    };
    timeout(CONNECT_WITHIN, connecting).await.unwrap_or(Err(LinkError::Silent("the connection")))
}

/// Reads the files anew each time: certificates are rotated under a running process.
async fn tls_files(shared: &Shared) -> Result<OwnedTLSConfig, LinkError> {
    let options = &shared.options;
    let mut config = OwnedTLSConfig::default();
    if let Some(path) = &options.ca_file {
        config.cert_chain = Some(read_pem(path, "CERTIFICATE-----", "certificate").await?);
    }
    if let (Some(cert), Some(key)) = (&options.client_cert_file, &options.client_key_file) {
        let pem = read_pem(cert, "CERTIFICATE-----", "certificate").await?.into_bytes();
        let key = read_pem(key, "PRIVATE KEY-----", "private key").await?.into_bytes();
        config.identity = Some(OwnedIdentity::PKCS8 { pem, key });
    }
    Ok(config)
}

async fn read_pem(path: &Path, marker: &str, expected: &'static str) -> Result<String, LinkError> {
    let shown = path.display().to_string();
    let text = tokio::fs::read_to_string(path).await.map_err(|source| LinkError::File { path: shown.clone(), source })?;
    // The client skips what it cannot read, and the error would be about trust.
    if !text.contains(marker) {
        return Err(LinkError::NotPem { path: shown, expected });
    }
    Ok(text)
}

/// Works until the connection breaks (an error) or shutdown (`Ok`).
async fn serve(shared: &Arc<Shared>, side: Side, connection: &Connection) -> Result<(), LinkError> {
    let work = match side {
        Side::Publish => publisher::publish(shared, connection).boxed(),
        Side::Consume => consumer::consume(shared, connection).boxed(),
    };
    let result = tokio::select! {
        result = work => result,
        error = watch(shared, side, connection) => Err(error),
    };
    shared.status.blocked(side, None);
    result
}

/// Waits for the connection to break, and tells of alarms meanwhile.
async fn watch(shared: &Shared, side: Side, connection: &Connection) -> LinkError {
    let mut events = std::pin::pin!(connection.events_listener());
    // Blocked before anybody listened.
    if connection.status().blocked() {
        shared.status.blocked(side, Some("memory or disk alarm".to_owned()));
    }
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(alarm)) => shared.status.blocked(side, Some(alarm)),
                Some(Event::ConnectionUnblocked) => shared.status.blocked(side, None),
                // Errors of a channel come here too. Whoever works on the channel gets them as well, and knows which of them matter.
                Some(Event::Error(error)) if !error.is_amqp_soft_error() => return error.into(),
                Some(_) => {}
                None => return LinkError::Silent("anything"),
            },
            _ = look.tick() => if !connection.status().connected() {
                return LinkError::Silent("heartbeats");
            },
        }
    }
}
