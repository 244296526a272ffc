//! Hints that were delivered to this worker and are not acknowledged yet. [`HintInbox::take`] hands them out, [`super::consumer`] fills it
//! and carries out what became of each delivery. Nothing in here talks to RabbitMQ.
//!
//! A delivery holds several ids, and they end one by one: handed out and done, handed out and given back, or never handed out. It is
//! settled when none of its ids is out any more:
//!
//! ```text
//! all done            → ack
//! none done           → requeue: it keeps its place in the queue
//! some done           → the others become a new message, then ack: a requeue would hand out for a second time what is claimed already
//! ```
//!
//! When the channel is gone, so are its deliveries: RabbitMQ gives them to somebody else. [`HintInbox::forget`] drops them, and a receipt
//! that comes later finds nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lapin::Acker;
use tokio::sync::Notify;
use tokio::time::Instant;
use updraft_model::AttemptKey;

use crate::broker::{Taken, Trace, lock};

/// A worker that has not asked for this long has no room: it must not be sent more. Longer than a claim usually takes, so that a busy
/// worker keeps its consumer from one claim to the next.
const IDLE: Duration = Duration::from_millis(100);
/// The same after a claim has ended while ids lie here that somebody else could start. A worker with room asks again at once.
const IDLE_WITH_LEFTOVERS: Duration = Duration::from_millis(20);
/// The longest that ids lie here even if the worker goes on asking: one slot with short tasks would keep a whole message from idle workers.
const KEEP: Duration = Duration::from_millis(250);

/// Some ids of one delivery that were handed out together.
#[derive(Debug)]
pub(crate) struct Part {
    delivery: u64,
    keys: Vec<AttemptKey>,
}

/// What is to be done with a delivery.
#[derive(Debug)]
pub(crate) enum Settlement {
    Ack(Acker),
    Requeue(Acker),
    /// Send these ids anew.
    Republish {
        queue: Arc<str>,
        keys: Vec<AttemptKey>,
        trace: Trace,
    },
}

/// What the consumer has to know to choose between consuming and pausing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Somebody waits in `take`.
    pub(crate) waiting: bool,
    /// The room of the last `take`.
    pub(crate) room: usize,
    /// When the worker counts as one without room. `None` while it waits.
    pub(crate) idle_at: Option<Instant>,
    /// When the oldest ids have lain here for too long.
    pub(crate) stale_at: Option<Instant>,
    /// The handle was dropped.
    pub(crate) closed: bool,
}

/// The inbox of one [`crate::Hints`].
#[derive(Debug)]
pub(crate) struct HintInbox {
    pub(crate) queues: Vec<String>,
    state: Mutex<State>,
    /// For `take`: there are ids.
    arrived: Notify,
    /// For the consumer: the demand or a delivery changed.
    pub(crate) changed: Notify,
}

#[derive(Debug)]
struct State {
    /// In the order of arrival. Bounded by the prefetch of the consumer.
    deliveries: BTreeMap<u64, Delivery>,
    next: u64,
    settlements: Vec<Settlement>,
    waiting: bool,
    room: usize,
    /// When the worker was last seen: it left `take`, or settled what it took.
    last_seen: Instant,
    closed: bool,
}

#[derive(Debug)]
struct Delivery {
    acker: Acker,
    queue: Arc<str>,
    trace: Trace,
    since: Instant,
    /// Not handed out yet.
    rest: VecDeque<AttemptKey>,
    /// Handed out and given back.
    returned: Vec<AttemptKey>,
    /// Handed out, outcome unknown.
    out: usize,
    /// Handed out and done.
    done: usize,
}

impl HintInbox {
    pub(crate) fn new(queues: Vec<String>) -> Self {
        let state = State {
            deliveries: BTreeMap::new(),
            next: 0,
            settlements: Vec::new(),
            waiting: false,
            room: 0,
            last_seen: Instant::now(),
            closed: false,
        };
        Self { queues, state: Mutex::new(state), arrived: Notify::new(), changed: Notify::new() }
    }

    /// Waits for ids and hands out up to `most`.
    pub(crate) async fn take(self: &Arc<Self>, most: usize) -> Taken {
        let _leaving = Leaving(self);
        loop {
            if let Some(taken) = self.try_take(most) {
                return taken;
            }
            self.changed.notify_one();
            // There is one taker. A permit left over from before costs one more look.
            self.arrived.notified().await;
        }
    }

    fn try_take(self: &Arc<Self>, most: usize) -> Option<Taken> {
        let mut state = lock(&self.state);
        let mut keys = Vec::new();
        let mut parts = Vec::new();
        for (id, delivery) in &mut state.deliveries {
            let count = delivery.rest.len().min(most - keys.len());
            if count == 0 {
                continue;
            }
            let handed: Vec<AttemptKey> = delivery.rest.drain(..count).collect();
            delivery.out += count;
            keys.extend(handed.iter().map(|key| (*key, delivery.trace.clone())));
            parts.push(Part { delivery: *id, keys: handed });
            if keys.len() == most {
                break;
            }
        }
        state.room = most;
        state.waiting = keys.is_empty();
        drop(state);
        (!keys.is_empty()).then(|| Taken::rabbitmq(Arc::clone(self), keys, parts))
    }

    /// These are claimed.
    pub(crate) fn done(&self, parts: Vec<Part>) {
        self.finish(parts, |delivery, keys| delivery.done += keys.len());
    }

    /// These were not claimed.
    pub(crate) fn give_back(&self, parts: Vec<Part>) {
        self.finish(parts, |delivery, keys| delivery.returned.extend(keys));
    }

    fn finish(&self, parts: Vec<Part>, end: impl Fn(&mut Delivery, Vec<AttemptKey>)) {
        if parts.is_empty() {
            return;
        }
        let mut state = lock(&self.state);
        state.last_seen = Instant::now();
        for part in parts {
            if let Some(delivery) = state.deliveries.get_mut(&part.delivery) {
                delivery.out -= part.keys.len();
                end(delivery, part.keys);
                state.settle_if_over(part.delivery);
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Adds a delivery.
    pub(crate) fn add(&self, acker: Acker, queue: Arc<str>, keys: Vec<AttemptKey>, trace: Trace) {
        let mut state = lock(&self.state);
        let id = state.next;
        state.next += 1;
        let delivery = Delivery { acker, queue, trace, since: Instant::now(), rest: keys.into(), returned: Vec::new(), out: 0, done: 0 };
        state.deliveries.insert(id, delivery);
        drop(state);
        self.arrived.notify_one();
    }

    /// Gives up what is not handed out: all of it, or what has lain here since before a time.
    pub(crate) fn release(&self, since_before: Option<Instant>) {
        let mut state = lock(&self.state);
        let ids: Vec<u64> = state.deliveries.keys().copied().collect();
        for id in ids {
            let Some(delivery) = state.deliveries.get_mut(&id) else { continue };
            if since_before.is_some_and(|time| delivery.since > time) {
                continue;
            }
            let rest = std::mem::take(&mut delivery.rest);
            delivery.returned.extend(rest);
            if delivery.out > 0 && !delivery.returned.is_empty() {
                // The receipt of the others may take long: a claim waits for Postgres. What nobody holds goes on now.
                let keys = std::mem::take(&mut delivery.returned);
                // From now on it counts as begun: a requeue would double what was sent anew.
                delivery.done += keys.len();
                let (queue, trace) = (Arc::clone(&delivery.queue), delivery.trace.clone());
                state.settlements.push(Settlement::Republish { queue, keys, trace });
            } else {
                state.settle_if_over(id);
            }
        }
    }

    /// What is to be carried out.
    pub(crate) fn settlements(&self) -> Vec<Settlement> {
        std::mem::take(&mut lock(&self.state).settlements)
    }

    /// The channel is gone, and with it all deliveries.
    pub(crate) fn forget(&self) {
        let mut state = lock(&self.state);
        state.deliveries.clear();
        state.settlements.clear();
    }

    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_one();
    }

    pub(crate) fn demand(&self) -> Demand {
        let state = lock(&self.state);
        let mut leftovers = state.deliveries.values().filter(|delivery| !delivery.rest.is_empty());
        let oldest = leftovers.next().map(|delivery| delivery.since);
        let claiming = state.deliveries.values().any(|delivery| delivery.out > 0);
        let grace = if oldest.is_some() && !claiming { IDLE_WITH_LEFTOVERS } else { IDLE };
        Demand {
            waiting: state.waiting,
            room: state.room,
            idle_at: (!state.waiting).then(|| state.last_seen + grace),
            stale_at: oldest.map(|since| since + KEEP),
            closed: state.closed,
        }
    }

    /// The time that stale ids are older than.
    pub(crate) fn stale_before() -> Option<Instant> {
        Instant::now().checked_sub(KEEP)
    }
}

impl State {
    fn settle_if_over(&mut self, id: u64) {
        let over = self.deliveries.get(&id).is_some_and(|delivery| delivery.out == 0 && delivery.rest.is_empty());
        if !over {
            return;
        }
        let Some(delivery) = self.deliveries.remove(&id) else { return };
        let Delivery { acker, queue, trace, returned, done, .. } = delivery;
        if returned.is_empty() {
            self.settlements.push(Settlement::Ack(acker));
        } else if done == 0 {
            self.settlements.push(Settlement::Requeue(acker));
        } else {
            self.settlements.push(Settlement::Republish { queue, keys: returned, trace });
            self.settlements.push(Settlement::Ack(acker));
        }
    }
}

/// Whoever leaves `take`, with ids or because it was dropped, has not asked since now.
struct Leaving<'a>(&'a HintInbox);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.waiting = false;
        state.last_seen = Instant::now();
        drop(state);
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::message::Delivery as Message;
    use updraft_model::{InstanceKey, RunKey};

    fn keys(count: i32) -> Vec<AttemptKey> {
        (0..count).map(|idx| AttemptKey { instance: InstanceKey { run: RunKey(1), idx, map_index: -1 }, attempt: 1 }).collect()
    }

    fn filled(count: i32) -> Arc<HintInbox> {
        let inbox = Arc::new(HintInbox::new(vec!["q".to_owned()]));
        let message = Message::mock(1, "".into(), "q".into(), false, Vec::new());
        inbox.add(message.acker, Arc::from("q"), keys(count), None);
        inbox
    }

    fn names(inbox: &HintInbox) -> Vec<String> {
        let name = |settlement| match settlement {
            Settlement::Ack(_) => "ack".to_owned(),
            Settlement::Requeue(_) => "requeue".to_owned(),
            Settlement::Republish { keys, .. } => format!("republish {}", keys.len()),
        };
        inbox.settlements().into_iter().map(name).collect()
    }

    #[tokio::test]
    async fn a_delivery_is_acknowledged_when_all_of_it_is_done() {
        let inbox = filled(3);
        let first = inbox.take(2).await;
        let second = inbox.take(2).await;
        assert_eq!((first.keys.len(), second.keys.len()), (2, 1));
        first.done();
        assert!(names(&inbox).is_empty());
        second.done();
        assert_eq!(names(&inbox), ["ack"]);
    }

    #[tokio::test]
    async fn what_nobody_took_is_requeued_and_a_remainder_is_sent_anew() {
        let inbox = filled(3);
        inbox.release(None);
        assert_eq!(names(&inbox), ["requeue"]);

        let inbox = filled(3);
        inbox.take(1).await.done();
        inbox.release(None);
        assert_eq!(names(&inbox), ["republish 2", "ack"]);
    }

    #[tokio::test]
    async fn a_remainder_does_not_wait_for_the_receipt_of_the_others() {
        let inbox = filled(3);
        let taken = inbox.take(1).await;
        inbox.release(None);
        assert_eq!(names(&inbox), ["republish 2"]);
        taken.done();
        assert_eq!(names(&inbox), ["ack"]);
    }

    #[tokio::test]
    async fn dropped_without_done_goes_back() {
        let inbox = filled(2);
        drop(inbox.take(5).await);
        assert_eq!(names(&inbox), ["requeue"]);

        let inbox = filled(2);
        let one = inbox.take(1).await;
        inbox.take(1).await.done();
        drop(one);
        assert_eq!(names(&inbox), ["republish 1", "ack"]);
    }

    #[tokio::test]
    async fn a_receipt_of_a_lost_channel_is_void() {
        let inbox = filled(2);
        let taken = inbox.take(2).await;
        inbox.forget();
        taken.done();
        assert!(names(&inbox).is_empty());
    }

    #[tokio::test]
    async fn a_take_that_is_given_up_is_no_demand() {
        let inbox = Arc::new(HintInbox::new(vec!["q".to_owned()]));
        {
            let mut taking = std::pin::pin!(inbox.take(4));
            assert!(futures::poll!(&mut taking).is_pending());
            assert_eq!((inbox.demand().waiting, inbox.demand().idle_at), (true, None));
        }
        assert!(!inbox.demand().waiting);
        assert!(inbox.demand().idle_at.is_some());
    }
}
