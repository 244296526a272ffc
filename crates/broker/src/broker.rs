//! The handle that scheduler, worker and API hold. It chooses the wire; the rules are in [`crate::in_process`] and [`crate::rabbitmq`].
//!
//! Senders never wait and never fail: what does not fit is dropped and counted. Receivers wait, and say how much room they have.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use updraft_model::{AttemptKey, RunKey};
use uuid::Uuid;

use crate::in_process;
use crate::rabbitmq::inbox::{HintInbox, Part};
use crate::rabbitmq::options::Options;
use crate::rabbitmq::status::{BrokerStatus, Stats};
use crate::rabbitmq::{self, WakeInbox};

/// The trace that a hint belongs to, as a `traceparent` of W3C Trace Context.
pub(crate) type Trace = Option<Arc<str>>;

/// What RabbitMQ says of a queue of hints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDepth {
    /// The logical queue.
    pub queue: String,
    /// Messages that are ready. Each has one hint or many, and some may be stale: Postgres knows how many attempts wait.
    pub messages: u32,
    /// Workers that have room and listen.
    pub consumers: u32,
}

/// A handle on the broker. Clones share it; when the last one is gone, its connections close.
#[derive(Debug, Clone)]
pub struct Broker {
    wire: Wire,
}

#[derive(Debug, Clone)]
enum Wire {
    InProcess(Arc<in_process::Sets>),
    RabbitMq(Arc<rabbitmq::Client>),
}

impl Default for Broker {
    fn default() -> Self {
        Self::in_process()
    }
}

impl Broker {
    /// An in-process broker.
    pub fn in_process() -> Self {
        Self { wire: Wire::InProcess(Arc::default()) }
    }

    /// A broker over RabbitMQ. Returns at once and connects in the background, for as long as it takes: whoever wants to know asks
    /// [`Broker::status`]. Must be called inside a tokio runtime.
    pub fn connect(options: Options) -> Self {
        // Told of from the start, whether or not RabbitMQ answers.
        let _ = updraft_telemetry::metrics::broker();
        Self { wire: Wire::RabbitMq(Arc::new(rabbitmq::Client::start(options))) }
    }

    /// Tells the workers of a queue that these attempts are queued.
    pub fn hint(&self, queue: &str, keys: impl IntoIterator<Item = AttemptKey>) {
        self.hint_traced(queue, keys, None);
    }

    /// The same, with the `traceparent` of what queued them, which whoever takes them gets back in [`Taken::traceparents`].
    pub fn hint_traced(&self, queue: &str, keys: impl IntoIterator<Item = AttemptKey>, traceparent: Option<&str>) {
        let trace: Trace = traceparent.filter(|text| rabbitmq::message::is_traceparent(text)).map(Arc::from);
        let keys = keys.into_iter().map(|key| (key, trace.clone()));
        match &self.wire {
            Wire::InProcess(sets) => sets.hint(queue, keys),
            Wire::RabbitMq(client) => client.shared.outbox.hint(queue, keys),
        }
    }

    /// Tells the scheduler that these runs have changed.
    pub fn wake(&self, runs: &[RunKey]) {
        match &self.wire {
            Wire::InProcess(sets) => drop(sets.wakes.add(runs, false)),
            Wire::RabbitMq(client) => client.shared.outbox.wake(runs, false),
        }
    }

    /// Tells the scheduler to look for what is due: a DAG was unpaused, a run was created.
    pub fn wake_all(&self) {
        match &self.wire {
            Wire::InProcess(sets) => drop(sets.wakes.add(&[], true)),
            Wire::RabbitMq(client) => client.shared.outbox.wake(&[], true),
        }
    }

    /// Tells one process, by the id of its row, to look: a worker for attempts that somebody wants stopped, a scheduler for news of its
    /// repositories.
    pub fn notify(&self, process: Uuid) {
        match &self.wire {
            Wire::InProcess(sets) => sets.notify(process),
            Wire::RabbitMq(client) => client.shared.outbox.notify(process),
        }
    }

    /// The hints of some queues.
    pub fn hints(&self, queues: Vec<String>) -> Hints {
        let source = match &self.wire {
            Wire::InProcess(_) => HintSource::InProcess { queues },
            Wire::RabbitMq(client) => HintSource::RabbitMq(client.subscribe_hints(queues)),
        };
        Hints { broker: self.clone(), source }
    }

    /// The scheduler's wakes.
    pub fn wakes(&self) -> Wakes {
        let inbox = match &self.wire {
            Wire::InProcess(sets) => Arc::clone(&sets.wakes),
            Wire::RabbitMq(client) => client.subscribe_wakes(),
        };
        Wakes { _broker: self.clone(), inbox }
    }

    /// The notices of one process.
    pub fn notices(&self, worker: Uuid) -> Notices {
        if let Wire::RabbitMq(client) = &self.wire {
            client.subscribe_notices(worker);
        }
        Notices { broker: self.clone(), worker }
    }

    /// Whether hints can be relied on to come soon. While it is false a worker pulls every second instead of every ten.
    pub fn is_up(&self) -> bool {
        match &self.wire {
            Wire::InProcess(_) => true,
            Wire::RabbitMq(client) => client.shared.status.current().is_up(),
        }
    }

    /// How it goes with the connection, now and whenever that changes.
    pub fn status(&self) -> watch::Receiver<BrokerStatus> {
        match &self.wire {
            Wire::InProcess(sets) => sets.status.subscribe(),
            Wire::RabbitMq(client) => client.shared.status.subscribe(),
        }
    }

    /// Asks RabbitMQ how deep these queues are, within a few seconds; those that it does not have are left out. `None`: there is no RabbitMQ,
    /// everything is in one process.
    ///
    /// # Errors
    ///
    /// It cannot be reached or refuses: in words for people, with the remedy.
    pub async fn depths(&self, queues: &[String]) -> Option<Result<Vec<QueueDepth>, String>> {
        match &self.wire {
            Wire::InProcess(_) => None,
            Wire::RabbitMq(client) => Some(rabbitmq::depth::depths(&client.shared, queues).await),
        }
    }

    /// What was sent and what became of it, since the start.
    pub fn stats(&self) -> Stats {
        match &self.wire {
            Wire::InProcess(sets) => Stats { dropped: sets.dropped(), ..Stats::default() },
            Wire::RabbitMq(client) => client.shared.counters.snapshot(),
        }
    }

    /// Sends what is waiting (for a few seconds at most), gives back what was not taken, and closes the connections. Later calls
    /// do nothing.
    pub async fn close(&self) {
        match &self.wire {
            Wire::InProcess(_) => {}
            Wire::RabbitMq(client) => client.close().await,
        }
    }
}

/// Hints that arrive for a worker.
#[derive(Debug)]
pub struct Hints {
    broker: Broker,
    source: HintSource,
}

#[derive(Debug)]
enum HintSource {
    InProcess { queues: Vec<String> },
    RabbitMq(Arc<HintInbox>),
}

impl Hints {
    /// Waits for hints and takes up to `most`. Whoever has no room does not call it, and leaves them to others: what was fetched and not
    /// taken goes back soon after.
    pub async fn take(&mut self, most: usize) -> Taken {
        match (&self.source, &self.broker.wire) {
            (HintSource::InProcess { queues }, Wire::InProcess(sets)) => sets.take(queues, most).await,
            (HintSource::RabbitMq(inbox), _) => inbox.take(most).await,
            // A handle is made with the source that fits its wire.
            (HintSource::InProcess { .. }, Wire::RabbitMq(_)) => std::future::pending().await,
        }
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        if let (HintSource::RabbitMq(inbox), Wire::RabbitMq(client)) = (&self.source, &self.broker.wire) {
            client.unsubscribe_hints(inbox);
        }
    }
}

/// Hints in hand. [`Taken::done`] once their claim has committed; dropped without it, they go back to their queues.
#[derive(Debug)]
#[must_use = "hints that are dropped go back to their queue; call done() once they are claimed"]
pub struct Taken {
    /// The attempts.
    pub keys: Vec<AttemptKey>,
    /// The `traceparent` of those that came with one.
    pub traceparents: BTreeMap<AttemptKey, Arc<str>>,
    receipt: Receipt,
}

impl Taken {
    /// The claim has committed: nobody needs these hints any more, whether or not it got the attempts.
    pub fn done(mut self) {
        match &mut self.receipt {
            Receipt::InProcess { parts, .. } => parts.clear(),
            Receipt::RabbitMq { inbox, parts } => inbox.done(std::mem::take(parts)),
        }
    }

    pub(crate) fn in_process(sets: Arc<in_process::Sets>, parts: Vec<(String, AttemptKey, Trace)>) -> Self {
        Self::of(parts.iter().map(|(_, key, trace)| (*key, trace.clone())).collect(), Receipt::InProcess { sets, parts })
    }

    pub(crate) fn rabbitmq(inbox: Arc<HintInbox>, keys: Vec<(AttemptKey, Trace)>, parts: Vec<Part>) -> Self {
        Self::of(keys, Receipt::RabbitMq { inbox, parts })
    }

    fn of(taken: Vec<(AttemptKey, Trace)>, receipt: Receipt) -> Self {
        let keys = taken.iter().map(|(key, _)| *key).collect();
        let traceparents = taken.into_iter().filter_map(|(key, trace)| Some((key, trace?))).collect();
        Self { keys, traceparents, receipt }
    }
}

/// Where the hints go back to. Its parts are empty once that is settled.
#[derive(Debug)]
enum Receipt {
    InProcess { sets: Arc<in_process::Sets>, parts: Vec<(String, AttemptKey, Trace)> },
    RabbitMq { inbox: Arc<HintInbox>, parts: Vec<Part> },
}

impl Drop for Receipt {
    fn drop(&mut self) {
        match self {
            Self::InProcess { sets, parts } => {
                for (queue, key, trace) in parts.drain(..) {
                    sets.hint(&queue, [(key, trace)]);
                }
            }
            Self::RabbitMq { inbox, parts } => inbox.give_back(std::mem::take(parts)),
        }
    }
}

/// Wakes that arrive for a scheduler.
#[derive(Debug)]
pub struct Wakes {
    /// Keeps the connection.
    _broker: Broker,
    inbox: Arc<WakeInbox>,
}

impl Wakes {
    /// Takes what is there now: nothing, if there is nothing.
    pub fn try_take(&mut self) -> (Vec<RunKey>, bool) {
        self.inbox.try_take()
    }

    /// Waits for wakes and takes them all: the runs to look at, and whether to look for what is due as well.
    pub async fn take(&mut self) -> (Vec<RunKey>, bool) {
        self.inbox.take().await
    }
}

/// Notices for one process.
#[derive(Debug)]
pub struct Notices {
    broker: Broker,
    worker: Uuid,
}

impl Notices {
    /// Waits for a notice.
    pub async fn take(&mut self) {
        match &self.broker.wire {
            Wire::InProcess(sets) => sets.notices.take(self.worker).await,
            Wire::RabbitMq(client) => client.shared.notices.take(self.worker).await,
        }
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        if let Wire::RabbitMq(client) = &self.broker.wire {
            client.unsubscribe_notices(self.worker);
        }
    }
}

/// Every critical section of this crate is a few insertions or removals: nothing in it can be left half-changed by a panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
