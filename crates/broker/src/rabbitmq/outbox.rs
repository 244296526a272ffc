//! What waits to be sent: bounded sets that senders fill without waiting, and that [`super::publisher`] empties when there is a connection.
//!
//! It merges: an id that waits already is not added again, so a broker that is away for an hour costs one set of ids and not an hour of
//! messages. What does not fit is dropped and counted; its rows are found in Postgres.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use lapin::BasicProperties;
use tokio::sync::{Notify, oneshot};
use updraft_model::{AttemptKey, RunKey};
use uuid::Uuid;

use super::message::{self, MOST_IDS};
use super::status::{Counters, count};
use crate::broker::{Trace, lock};
use crate::in_process::WakeSet;

/// Most hints that wait, of all queues together.
const MOST_HINTS: usize = 65_536;
/// Most workers for which a notice waits.
const MOST_NOTICES: usize = 4_096;
/// Most unreadable messages that wait for their way to the dead-letter queue. Past it they are rejected without a reason.
const MOST_DEAD: usize = 256;
/// Most ids in one message that we send. Fewer than are read: a message goes to one worker, and small ones spread over the workers that
/// have room, where a large one would have to come back from the first.
const SPREAD: usize = 16;
/// How often a message is sent before it is given up.
const MOST_TRIES: u8 = 4;

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    Hints(String),
    Wakes,
    Notice(Uuid),
    Dead,
}

/// A message on its way. It knows how often it was tried, and who waits for its end.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) destination: Destination,
    pub(crate) body: Vec<u8>,
    pub(crate) properties: BasicProperties,
    /// Told `true` once it is confirmed; closed when it was given up.
    answer: Option<oneshot::Sender<bool>>,
    /// How many ids are lost with it.
    ids: u64,
    tries: u8,
}

#[derive(Debug, Default)]
struct Waiting {
    hints: BTreeMap<String, BTreeMap<AttemptKey, Trace>>,
    hint_count: usize,
    /// The queue that was served last: the next one is the one after it, so that no queue waits for another to be empty.
    served: Option<String>,
    wakes: WakeSet,
    notices: BTreeSet<Uuid>,
    dead: VecDeque<Outgoing>,
    /// What came back. Bounded by the messages in flight.
    again: VecDeque<Outgoing>,
}

/// The outbox.
#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    pub(crate) filled: Notify,
    counters: Arc<Counters>,
}

impl Outbox {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self { waiting: Mutex::default(), filled: Notify::new(), counters }
    }

    pub(crate) fn hint(&self, queue: &str, keys: impl IntoIterator<Item = (AttemptKey, Trace)>) {
        let mut dropped = 0;
        {
            let mut waiting = lock(&self.waiting);
            let waiting = &mut *waiting;
            let of_queue = match waiting.hints.get_mut(queue) {
                Some(of_queue) => of_queue,
                None => waiting.hints.entry(queue.to_owned()).or_default(),
            };
            for (key, trace) in keys {
                if waiting.hint_count >= MOST_HINTS {
                    dropped += 1;
                } else if of_queue.insert(key, trace).is_none() {
                    waiting.hint_count += 1;
                }
            }
        }
        count(&self.counters.dropped, dropped);
        self.filled.notify_one();
    }

    pub(crate) fn wake(&self, runs: &[RunKey], look_around: bool) {
        let dropped = lock(&self.waiting).wakes.add(runs, look_around);
        count(&self.counters.dropped, dropped);
        self.filled.notify_one();
    }

    pub(crate) fn notify(&self, worker: Uuid) {
        {
            let mut waiting = lock(&self.waiting);
            if waiting.notices.len() >= MOST_NOTICES && !waiting.notices.contains(&worker) {
                count(&self.counters.dropped, 1);
                return;
            }
            waiting.notices.insert(worker);
        }
        self.filled.notify_one();
    }

    /// Sends an unreadable message to the dead-letter queue. The answer is `true` once it is there.
    pub(crate) fn bury(&self, properties: BasicProperties, body: Vec<u8>) -> oneshot::Receiver<bool> {
        let (answer, outcome) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        if waiting.dead.len() < MOST_DEAD {
            waiting.dead.push_back(Outgoing { destination: Destination::Dead, body, properties, answer: Some(answer), ids: 0, tries: 0 });
        }
        drop(waiting);
        self.filled.notify_one();
        outcome
    }

    /// Takes a message that was not confirmed, to be sent again, or gives it up.
    pub(crate) fn again(&self, mut outgoing: Outgoing) {
        outgoing.tries += 1;
        if outgoing.tries >= MOST_TRIES {
            count(&self.counters.dropped, outgoing.ids);
            return;
        }
        lock(&self.waiting).again.push_back(outgoing);
        self.filled.notify_one();
    }

    /// The next message. Notices first, for somebody waits for a command to be stopped; then wakes, for one wake makes many hints.
    pub(crate) fn next(&self) -> Option<Outgoing> {
        let mut waiting = lock(&self.waiting);
        if let Some(outgoing) = waiting.again.pop_front() {
            return Some(outgoing);
        }
        if let Some(worker) = waiting.notices.pop_first() {
            return Some(Outgoing::new(Destination::Notice(worker), message::encode_notice(worker), &None, 1));
        }
        if let Some(outgoing) = waiting.next_wakes() {
            return Some(outgoing);
        }
        waiting.next_hints().or_else(|| waiting.dead.pop_front())
    }

    pub(crate) fn is_empty(&self) -> bool {
        let waiting = lock(&self.waiting);
        waiting.again.is_empty()
            && waiting.notices.is_empty()
            && waiting.wakes.runs.is_empty()
            && !waiting.wakes.look_around
            && waiting.hint_count == 0
            && waiting.dead.is_empty()
    }
}

impl Waiting {
    fn next_wakes(&mut self) -> Option<Outgoing> {
        let all = std::mem::take(&mut self.wakes.look_around);
        let mut runs = Vec::new();
        while runs.len() < MOST_IDS
            && let Some(run) = self.wakes.runs.pop_first()
        {
            runs.push(run);
        }
        let ids = runs.len() as u64 + u64::from(all);
        (ids > 0).then(|| Outgoing::new(Destination::Wakes, message::encode_wakes(&runs, all), &None, ids))
    }

    fn next_hints(&mut self) -> Option<Outgoing> {
        let after = self.served.take();
        let next = match &after {
            Some(after) => self.hints.range::<String, _>((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded)).next(),
            None => None,
        };
        let queue = next.or_else(|| self.hints.iter().next()).map(|(queue, _)| queue.clone())?;
        let of_queue = self.hints.get_mut(&queue)?;
        let mut keys = Vec::with_capacity(SPREAD);
        let mut trace = None;
        while keys.len() < SPREAD
            && let Some(entry) = of_queue.first_entry()
        {
            // One message has one trace.
            if keys.is_empty() {
                trace.clone_from(entry.get());
            } else if *entry.get() != trace {
                break;
            }
            keys.push(entry.remove_entry().0);
        }
        self.hint_count -= keys.len();
        if of_queue.is_empty() {
            self.hints.remove(&queue);
        }
        self.served = Some(queue.clone());
        (!keys.is_empty()).then(|| Outgoing::new(Destination::Hints(queue), message::encode_hints(&keys), &trace, keys.len() as u64))
    }
}

impl Outgoing {
    fn new(destination: Destination, body: Vec<u8>, trace: &Trace, ids: u64) -> Self {
        Self { destination, body, properties: message::properties(trace), answer: None, ids, tries: 0 }
    }

    pub(crate) fn confirmed(self) {
        if let Some(answer) = self.answer {
            // Whoever asked may have stopped waiting.
            let _ = answer.send(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use updraft_model::InstanceKey;

    fn key(idx: i32) -> (AttemptKey, Trace) {
        (AttemptKey { instance: InstanceKey { run: RunKey(1), idx, map_index: -1 }, attempt: 1 }, None)
    }

    fn hints(outgoing: &Outgoing) -> (String, usize) {
        let Destination::Hints(queue) = &outgoing.destination else { panic!("{outgoing:?}") };
        (queue.clone(), message::decode_hints(&outgoing.properties, &outgoing.body).unwrap().0.len())
    }

    #[test]
    fn it_merges_and_serves_queues_in_turn() {
        let outbox = Outbox::new(Arc::default());
        outbox.hint("a", (0..20).map(key));
        outbox.hint("a", (0..20).map(key));
        outbox.hint("b", [key(0)]);
        let sent: Vec<_> = std::iter::from_fn(|| outbox.next()).map(|outgoing| hints(&outgoing)).collect();
        assert_eq!(sent, [("a".to_owned(), 16), ("b".to_owned(), 1), ("a".to_owned(), 4)]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_full_outbox_drops_and_counts() {
        let counters = Arc::new(Counters::default());
        let outbox = Outbox::new(Arc::clone(&counters));
        outbox.hint("a", (0..70_000).map(key));
        assert_eq!(counters.snapshot().dropped, 70_000 - MOST_HINTS as u64);
    }

    #[test]
    fn a_message_that_never_gets_through_is_given_up() {
        let counters = Arc::new(Counters::default());
        let outbox = Outbox::new(Arc::clone(&counters));
        outbox.hint("a", (0..3).map(key));
        let mut sent = 0;
        while let Some(outgoing) = outbox.next() {
            sent += 1;
            outbox.again(outgoing);
        }
        assert_eq!(sent, MOST_TRIES);
        assert_eq!(counters.snapshot().dropped, 3);
    }

    #[test]
    fn hints_of_two_traces_are_two_messages() {
        let outbox = Outbox::new(Arc::default());
        let trace: Trace = Some(Arc::from("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        outbox.hint("a", [key(0), (key(1).0, trace.clone()), (key(2).0, trace)]);
        let sent: Vec<_> = std::iter::from_fn(|| outbox.next()).map(|outgoing| hints(&outgoing).1).collect();
        assert_eq!(sent, [1, 2]);
    }
}
