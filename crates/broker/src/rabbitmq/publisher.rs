//! Empties the outbox onto a connection. Many messages are in flight at once; nobody waits for a confirm but this task.
//!
//! A message that is not confirmed goes back to the outbox, whatever the reason: refused, returned because its queue is gone, or lost with
//! its connection. That can double it, which is harmless: a claim is won once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, Connection};
use tokio::time::{Instant, timeout};

use super::outbox::{Destination, Outbox, Outgoing};
use super::status::{Side, count};
use super::words::LinkError;
use super::{Shared, topology};

/// Most messages that wait for their confirm. Past it the outbox fills.
const MOST_IN_FLIGHT: usize = 256;
/// A confirm that takes longer, without an alarm, means that the connection is dead.
const CONFIRM_WITHIN: Duration = Duration::from_secs(10);
/// The longest that the outbox is emptied for at shutdown.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);

/// A message in flight. Dropped before it is confirmed, it goes back.
struct Flight<'a> {
    outgoing: Option<Outgoing>,
    outbox: &'a Outbox,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if let Some(outgoing) = self.outgoing.take() {
            self.outbox.again(outgoing);
        }
    }
}

/// Publishes until the connection breaks, or until all is sent after shutdown.
pub(crate) async fn publish(shared: &Arc<Shared>, connection: &Connection) -> Result<(), LinkError> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut declared = BTreeSet::new();
    let mut in_flight = FuturesUnordered::new();
    let mut flush_until = None;
    loop {
        while in_flight.len() < MOST_IN_FLIGHT
            && let Some(outgoing) = shared.outbox.next()
        {
            let flight = Flight { outgoing: Some(outgoing), outbox: &shared.outbox };
            if let Some(Outgoing { destination: Destination::Hints(queue), .. }) = &flight.outgoing
                && !declared.contains(queue)
            {
                let queue = queue.clone();
                let name = topology::hints_queue(&shared.options.prefix, &queue);
                unless_blocked(shared, topology::declare_queue(shared, connection, &name)).await?;
                declared.insert(queue);
            }
            in_flight.push(send(shared, &channel, flight));
        }
        if flush_until.is_some() && in_flight.is_empty() && shared.outbox.is_empty() {
            return Ok(());
        }
        tokio::select! {
            biased;
            Some(sent) = in_flight.next() => {
                let (mut flight, confirmation) = sent;
                let Some(outgoing) = flight.outgoing.take() else { continue };
                match confirmation {
                    Ok(Confirmation::Ack(None) | Confirmation::NotRequested) => {
                        count(&shared.counters.confirmed, 1);
                        outgoing.confirmed();
                    }
                    Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => {
                        // It was confirmed and yet is nowhere: its queue is gone. The next try declares it again.
                        count(&shared.counters.returned, 1);
                        if let Destination::Hints(queue) = &outgoing.destination {
                            declared.remove(queue);
                        } else {
                            topology::declare_common(shared, connection).await?;
                        }
                        shared.outbox.again(outgoing);
                    }
                    Ok(Confirmation::Nack(None)) => {
                        count(&shared.counters.refused, 1);
                        shared.outbox.again(outgoing);
                    }
                    Err(error) => {
                        shared.outbox.again(outgoing);
                        return Err(error);
                    }
                }
            }
            () = shared.outbox.filled.notified(), if in_flight.len() < MOST_IN_FLIGHT => {}
            () = shared.stopped(Side::Publish), if flush_until.is_none() => flush_until = Some(Instant::now() + FLUSH_WITHIN),
            () = until(flush_until) => return Ok(()),
        }
    }
}

/// Sends one and waits for its confirm. While RabbitMQ has an alarm there is none, for as long as it takes.
async fn send<'a>(shared: &'a Shared, channel: &'a Channel, flight: Flight<'a>) -> (Flight<'a>, Result<Confirmation, LinkError>) {
    let confirmation = match &flight.outgoing {
        Some(outgoing) => {
            count(&shared.counters.published, 1);
            let begin = Instant::now();
            let confirmation = unless_blocked(shared, confirmed(shared, channel, outgoing)).await;
            if confirmation.is_ok() {
                updraft_telemetry::metrics::broker().confirm.observe(begin.elapsed().as_secs_f64());
            }
            confirmation
        }
        // Nobody takes it while it is in flight.
        None => Ok(Confirmation::NotRequested),
    };
    (flight, confirmation)
}

async fn confirmed(shared: &Shared, channel: &Channel, outgoing: &Outgoing) -> Result<Confirmation, LinkError> {
    let prefix = &shared.options.prefix;
    let (exchange, key, mandatory) = match &outgoing.destination {
        Destination::Hints(queue) => (String::new(), topology::hints_queue(prefix, queue), true),
        Destination::Wakes => (String::new(), topology::wakes_queue(prefix), true),
        // A worker that is gone needs no notice.
        Destination::Notice(worker) => (topology::notices_exchange(prefix), worker.to_string(), false),
        Destination::Dead => (topology::dead(prefix), String::new(), true),
    };
    let options = BasicPublishOptions { mandatory, immediate: false };
    let (exchange, key) = (topology::name(&exchange)?, topology::name(&key)?);
    Ok(channel.basic_publish(exchange, key, options, &outgoing.body, outgoing.properties.clone()).await?.await?)
}

/// Gives work the usual time, and all the time there is while an alarm blocks the connection.
async fn unless_blocked<T>(shared: &Shared, work: impl Future<Output = Result<T, LinkError>>) -> Result<T, LinkError> {
    let mut work = std::pin::pin!(work);
    loop {
        if let Ok(result) = timeout(CONFIRM_WITHIN, &mut work).await {
            return result;
        }
        if !shared.status.is_blocked(Side::Publish) {
            return Err(LinkError::Silent("a message"));
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
