//! Fetches what is meant for this process: hints while there is room, wakes and notices always. One channel for each.
//!
//! Hints are consumed only while the worker asks for them ([`HintInbox::demand`]):
//!
//! ```text
//!            take() waits               no take() for 100 ms, or for 20 ms after a claim while ids are left over
//! paused ────────────────────► consuming ─────────────────────────────────────────────────────────────────────► cancel, give back, paused
//! ```
//!
//! so that a worker without room holds no message that an idle one could have. A consumer that RabbitMQ cancels (its queue was deleted)
//! declares the queue again and goes on; any other error ends the connection, and the link makes a new one.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered, SelectAll};
use futures::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Acker, Channel, Connection};
use tokio::time::{Instant, timeout};
use tracing::debug;
use uuid::Uuid;

use super::inbox::{HintInbox, Settlement};
use super::link::jitter;
use super::status::{Side, count};
use super::subscriptions::Subscription;
use super::words::LinkError;
use super::{Shared, message, topology};

/// Most messages of a queue that a worker holds. With 16 ids in each that is several claims ahead.
const MOST_PREFETCH: usize = 16;
/// Most wakes that are on their way here. They are acknowledged as they arrive.
const WAKES_PREFETCH: u16 = 64;
/// The longest that an answer of RabbitMQ on a living connection takes.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The longest that an unreadable message waits for its way to the dead-letter queue with a reason. After that it goes without.
const BURY_WITHIN: Duration = Duration::from_secs(2);
/// The bytes of an unreadable message that are kept.
const BURIED_BYTES: usize = message::MOST_BYTES;
/// The wait before a cancelled consumer comes back. Some of it is random: all workers of a queue lose it at the same moment.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(100);

/// Serves all subscriptions, and those that are added, until the connection breaks or the process stops.
pub(crate) async fn consume(shared: &Arc<Shared>, connection: &Connection) -> Result<(), LinkError> {
    let mut changes = shared.subscriptions.changes();
    let mut feeds: FuturesUnordered<BoxFuture<'_, Result<(), LinkError>>> = FuturesUnordered::new();
    let mut served = 0;
    loop {
        for (id, subscription) in shared.subscriptions.since(served) {
            served = id + 1;
            feeds.push(match subscription {
                Subscription::Hints(inbox) => HintFeed::run(shared, connection, inbox).boxed(),
                Subscription::Wakes => wakes(shared, connection).boxed(),
                Subscription::Notices(worker) => notices(shared, connection, worker, id).boxed(),
            });
        }
        tokio::select! {
            biased;
            Some(ended) = feeds.next() => ended?,
            changed = changes.changed() => if changed.is_err() { return Ok(()) },
            // Each feed sees it too and gives back what it holds; the connection must live until they have.
            () = shared.stopped(Side::Consume), if feeds.is_empty() => return Ok(()),
        }
    }
}

/// A delivery, or the end of a consumer.
enum Event {
    Message(Arc<str>, Box<Result<Delivery, lapin::Error>>),
    Ended(ShortString),
}

struct HintFeed<'a> {
    shared: &'a Arc<Shared>,
    connection: &'a Connection,
    inbox: Arc<HintInbox>,
    channel: Channel,
    consumers: SelectAll<BoxStream<'static, Event>>,
    tags: Vec<ShortString>,
    prefetch: usize,
    burials: Burials,
}

/// What is gone with the channel must not be handed out any more.
struct Forget(Arc<HintInbox>);

impl Drop for Forget {
    fn drop(&mut self) {
        self.0.forget();
    }
}

impl<'a> HintFeed<'a> {
    async fn run(shared: &'a Arc<Shared>, connection: &'a Connection, inbox: Arc<HintInbox>) -> Result<(), LinkError> {
        let _forget = Forget(Arc::clone(&inbox));
        let channel = connection.create_channel().await?;
        let mut feed = Self {
            shared,
            connection,
            inbox,
            channel,
            consumers: SelectAll::new(),
            tags: Vec::new(),
            prefetch: 0,
            burials: FuturesUnordered::new(),
        };
        feed.declare().await?;
        feed.feed().await
    }

    async fn feed(&mut self) -> Result<(), LinkError> {
        loop {
            self.settle().await?;
            let demand = self.inbox.demand();
            let now = Instant::now();
            if demand.closed || self.shared.is_stopping(Side::Consume) {
                self.pause().await?;
                topology::close(&self.channel).await;
                return Ok(());
            }
            let consuming = !self.tags.is_empty();
            if demand.waiting {
                let fits = demand.room.clamp(1, MOST_PREFETCH);
                // Raised in large steps only: each costs two round trips.
                if !consuming || (fits >= 4 * self.prefetch) {
                    self.stop_consumers(true).await?;
                    self.start_consumers(fits).await?;
                }
            } else if consuming && demand.idle_at.is_some_and(|idle_at| idle_at <= now) {
                self.pause().await?;
                continue;
            }
            if demand.stale_at.is_some_and(|stale_at| stale_at <= now) {
                self.inbox.release(HintInbox::stale_before());
                continue;
            }
            let idle_at = demand.idle_at.filter(|_| !self.tags.is_empty());
            let look_at = [idle_at, demand.stale_at].into_iter().flatten().min();
            tokio::select! {
                biased;
                () = self.shared.stopped(Side::Consume) => {}
                Some(event) = self.consumers.next() => match event {
                    Event::Message(queue, delivery) => self.receive(&queue, (*delivery)?),
                    Event::Ended(tag) => self.resubscribe(&tag).await?,
                },
                Some(buried) = self.burials.next() => buried?,
                () = self.inbox.changed.notified() => {}
                () = sleep_until(look_at) => {}
            }
        }
    }

    async fn declare(&mut self) -> Result<(), LinkError> {
        for queue in &self.inbox.queues {
            let name = topology::hints_queue(&self.shared.options.prefix, queue);
            topology::declare_queue(self.shared, self.connection, &name).await?;
        }
        Ok(())
    }

    async fn start_consumers(&mut self, prefetch: usize) -> Result<(), LinkError> {
        let count = u16::try_from(prefetch).unwrap_or(1);
        // For each consumer of this channel that comes after it; RabbitMQ 4 refuses the other kind.
        self.channel.basic_qos(count, BasicQosOptions { global: false }).await?;
        self.prefetch = prefetch;
        for queue in &self.inbox.queues {
            let name = topology::name(&topology::hints_queue(&self.shared.options.prefix, queue))?;
            let consumer = self.channel.basic_consume(name, "".into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
            let (tag, queue) = (consumer.tag(), Arc::<str>::from(queue.as_str()));
            self.tags.push(tag.clone());
            let messages = consumer.map(move |delivery| Event::Message(Arc::clone(&queue), Box::new(delivery)));
            // A stream that only ends is a worker that is deaf and does not know it.
            self.consumers.push(messages.chain(futures::stream::once(async move { Event::Ended(tag) })).boxed());
        }
        Ok(())
    }

    /// Cancels and takes what was under way: into the inbox, or back to the queue.
    async fn stop_consumers(&mut self, keep: bool) -> Result<(), LinkError> {
        for tag in self.tags.drain(..) {
            self.channel.basic_cancel(tag, BasicCancelOptions::default()).await?;
        }
        let drain = async {
            while let Some(event) = self.consumers.next().await {
                match event {
                    Event::Message(queue, delivery) if keep => {
                        let delivery = (*delivery)?;
                        receive(self.shared, &self.inbox, &mut self.burials, &queue, delivery);
                    }
                    Event::Message(_, delivery) => requeue(&(*delivery)?.acker).await?,
                    Event::Ended(_) => {}
                }
            }
            Ok(())
        };
        timeout(ANSWER_WITHIN, drain).await.unwrap_or(Err(LinkError::Silent("the end of a consumer")))
    }

    async fn pause(&mut self) -> Result<(), LinkError> {
        self.stop_consumers(false).await?;
        self.inbox.release(None);
        self.settle().await
    }

    /// A consumer ended that we did not cancel.
    async fn resubscribe(&mut self, tag: &ShortString) -> Result<(), LinkError> {
        debug!(consumer = %tag, "rabbitmq cancelled a consumer; subscribing again");
        self.tags.retain(|other| other != tag);
        self.stop_consumers(true).await?;
        tokio::time::sleep(RESUBSCRIBE_AFTER + jitter(RESUBSCRIBE_AFTER)).await;
        self.declare().await
    }

    fn receive(&mut self, queue: &Arc<str>, delivery: Delivery) {
        receive(self.shared, &self.inbox, &mut self.burials, queue, delivery);
    }

    async fn settle(&mut self) -> Result<(), LinkError> {
        for settlement in self.inbox.settlements() {
            match settlement {
                Settlement::Ack(acker) => ack(&acker).await?,
                Settlement::Requeue(acker) => requeue(&acker).await?,
                Settlement::Republish { queue, keys, trace } => {
                    self.shared.outbox.hint(&queue, keys.into_iter().map(|key| (key, trace.clone())));
                }
            }
        }
        Ok(())
    }
}

fn receive(shared: &Arc<Shared>, inbox: &HintInbox, burials: &mut Burials, queue: &Arc<str>, delivery: Delivery) {
    match message::decode_hints(&delivery.properties, &delivery.data) {
        Ok((keys, trace)) => inbox.add(delivery.acker, Arc::clone(queue), keys, trace),
        Err(reason) => burials.push(bury(shared, delivery, reason).boxed()),
    }
}

/// Wakes are merged into a set that is always open, and acknowledged as they arrive: a scheduler that dies has left durable marks.
async fn wakes(shared: &Arc<Shared>, connection: &Connection) -> Result<(), LinkError> {
    let queue = topology::wakes_queue(&shared.options.prefix);
    let channel = connection.create_channel().await?;
    channel.basic_qos(WAKES_PREFETCH, BasicQosOptions { global: false }).await?;
    loop {
        let options = BasicConsumeOptions::default();
        let mut consumer = channel.basic_consume(topology::name(&queue)?, "".into(), options, FieldTable::default()).await?;
        let mut burials = Burials::new();
        loop {
            tokio::select! {
                biased;
                () = shared.stopped(Side::Consume) => return Ok(()),
                Some(buried) = burials.next() => buried?,
                delivery = consumer.next() => {
                    let Some(delivery) = delivery else { break };
                    let delivery = delivery?;
                    match message::decode_wakes(&delivery.properties, &delivery.data) {
                        Ok((runs, all)) => {
                            count(&shared.counters.dropped, shared.wakes.add(&runs, all));
                            ack(&delivery.acker).await?;
                        }
                        Err(reason) => burials.push(bury(shared, delivery, reason).boxed()),
                    }
                }
            }
        }
        tokio::time::sleep(RESUBSCRIBE_AFTER + jitter(RESUBSCRIBE_AFTER)).await;
        topology::declare_queue(shared, connection, &queue).await?;
    }
}

/// Notices arrive in a queue of this connection alone, under a name of RabbitMQ's: the last connection could still hold a fixed one.
async fn notices(shared: &Arc<Shared>, connection: &Connection, worker: Uuid, id: u64) -> Result<(), LinkError> {
    let mut changes = shared.subscriptions.changes();
    let channel = connection.create_channel().await?;
    let exchange = topology::name(&topology::notices_exchange(&shared.options.prefix))?;
    loop {
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare("".into(), options, FieldTable::default()).await?.name().clone();
        let key = topology::name(&worker.to_string())?;
        channel.queue_bind(queue.clone(), exchange.clone(), key, QueueBindOptions::default(), FieldTable::default()).await?;
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let mut consumer = channel.basic_consume(queue, "".into(), options, FieldTable::default()).await?;
        // Whatever was sent while there was no queue is lost: one look makes up for it.
        shared.notices.add(worker);
        loop {
            tokio::select! {
                biased;
                () = shared.stopped(Side::Consume) => return Ok(()),
                changed = changes.changed() => if changed.is_err() || !shared.subscriptions.contains(id) {
                    topology::close(&channel).await;
                    return Ok(());
                },
                delivery = consumer.next() => {
                    let Some(delivery) = delivery else { break };
                    let delivery = delivery?;
                    match message::decode_notice(&delivery.properties, &delivery.data) {
                        Ok(addressee) if addressee == worker => shared.notices.add(worker),
                        Ok(_) => debug!(worker = %worker, "a notice for another worker came here"),
                        // It is taken already: whether it reaches the dead-letter queue is not waited for.
                        Err(reason) => drop(send_to_grave(shared, &delivery, &reason)),
                    }
                }
            }
        }
        tokio::time::sleep(RESUBSCRIBE_AFTER + jitter(RESUBSCRIBE_AFTER)).await;
    }
}

type Burials = FuturesUnordered<BoxFuture<'static, Result<(), LinkError>>>;

/// Brings an unreadable message to the dead-letter queue with its reason, then acknowledges it. If that does not work out in time it is
/// rejected, and RabbitMQ brings it there without the reason. Either way it is gone from here and comes no second time.
fn bury(shared: &Arc<Shared>, delivery: Delivery, reason: String) -> impl Future<Output = Result<(), LinkError>> + Send + 'static {
    count(&shared.counters.dead_lettered, 1);
    let outcome = send_to_grave(shared, &delivery, &reason);
    async move {
        if let Ok(Ok(true)) = timeout(BURY_WITHIN, outcome).await {
            ack(&delivery.acker).await
        } else {
            delivery.acker.reject(BasicRejectOptions { requeue: false }).await?;
            Ok(())
        }
    }
}

fn send_to_grave(shared: &Arc<Shared>, delivery: &Delivery, reason: &str) -> tokio::sync::oneshot::Receiver<bool> {
    let queue = delivery.routing_key.as_str();
    tracing::warn!(queue, bytes = delivery.data.len(), "a message that cannot be read went to the dead-letter queue: {reason}");
    let properties = message::dead_properties(&delivery.properties, reason, queue, delivery.data.len());
    let kept = delivery.data.iter().take(BURIED_BYTES).copied().collect();
    shared.outbox.bury(properties, kept)
}

async fn ack(acker: &Acker) -> Result<(), LinkError> {
    acker.ack(BasicAckOptions::default()).await?;
    Ok(())
}

async fn requeue(acker: &Acker) -> Result<(), LinkError> {
    acker.nack(BasicNackOptions { requeue: true, multiple: false }).await?;
    Ok(())
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
