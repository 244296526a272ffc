//! The broker of one process: channels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use updraft_model::{AttemptKey, RunKey};
use uuid::Uuid;

/// Most hints that wait for one queue. Past it they are dropped, and workers find the attempts by pulling.
const MOST_HINTS: usize = 65_536;

#[derive(Debug, Default)]
struct Shared {
    hints: Mutex<BTreeMap<String, BTreeSet<AttemptKey>>>,
    hinted: Notify,
    wakes: Mutex<WakeSet>,
    woken: Notify,
    notices: Mutex<BTreeSet<Uuid>>,
    noticed: Notify,
}

#[derive(Debug, Default)]
struct WakeSet {
    runs: BTreeSet<RunKey>,
    look_around: bool,
}

/// A handle on the broker. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Broker {
    shared: Arc<Shared>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing in here can be left half-changed: every critical section is one insertion or one take.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Broker {
    /// An in-process broker.
    pub fn in_process() -> Self {
        Self::default()
    }

    /// Tells the workers of a queue that these attempts are queued.
    pub fn hint(&self, queue: &str, keys: impl IntoIterator<Item = AttemptKey>) {
        let mut hints = lock(&self.shared.hints);
        let waiting = match hints.get_mut(queue) {
            Some(waiting) => waiting,
            None => hints.entry(queue.to_owned()).or_default(),
        };
        for key in keys {
            if waiting.len() >= MOST_HINTS {
                break;
            }
            waiting.insert(key);
        }
        drop(hints);
        self.shared.hinted.notify_waiters();
    }

    /// Tells the scheduler that these runs have changed.
    pub fn wake(&self, runs: &[RunKey]) {
        lock(&self.shared.wakes).runs.extend(runs.iter().copied());
        self.shared.woken.notify_one();
    }

    /// Tells the scheduler to look for what is due: a DAG was unpaused, a run was created.
    pub fn wake_all(&self) {
        lock(&self.shared.wakes).look_around = true;
        self.shared.woken.notify_one();
    }

    /// Tells a worker that somebody wants one of its attempts stopped.
    pub fn notify_worker(&self, worker: Uuid) {
        lock(&self.shared.notices).insert(worker);
        self.shared.noticed.notify_waiters();
    }

    /// The hints of some queues.
    pub fn hints(&self, queues: Vec<String>) -> Hints {
        Hints { broker: self.clone(), queues }
    }

    /// The scheduler's wakes.
    pub fn wakes(&self) -> Wakes {
        Wakes { broker: self.clone() }
    }

    /// The notices of one worker.
    pub fn notices(&self, worker: Uuid) -> Notices {
        Notices { broker: self.clone(), worker }
    }
}

/// Hints that arrive for a worker.
#[derive(Debug)]
pub struct Hints {
    broker: Broker,
    queues: Vec<String>,
}

impl Hints {
    /// Waits for hints and takes up to `most`. Whoever has no room does not call it, and leaves them to others.
    pub async fn take(&mut self, most: usize) -> Vec<AttemptKey> {
        loop {
            let notified = self.broker.shared.hinted.notified();
            tokio::pin!(notified);
            // Registered before looking, or a hint between the look and the wait is missed.
            notified.as_mut().enable();
            let mut taken = Vec::new();
            {
                let mut hints = lock(&self.broker.shared.hints);
                for queue in &self.queues {
                    if let Some(waiting) = hints.get_mut(queue) {
                        while taken.len() < most {
                            match waiting.pop_first() {
                                Some(key) => taken.push(key),
                                None => break,
                            }
                        }
                    }
                }
            }
            if !taken.is_empty() {
                return taken;
            }
            notified.await;
        }
    }
}

/// Wakes that arrive for a scheduler.
#[derive(Debug)]
pub struct Wakes {
    broker: Broker,
}

impl Wakes {
    /// Takes what is there now: nothing, if there is nothing.
    pub fn try_take(&mut self) -> (Vec<RunKey>, bool) {
        let taken = std::mem::take(&mut *lock(&self.broker.shared.wakes));
        (taken.runs.into_iter().collect(), taken.look_around)
    }

    /// Waits for wakes and takes them all: the runs to look at, and whether to look for what is due as well.
    pub async fn take(&mut self) -> (Vec<RunKey>, bool) {
        loop {
            {
                let mut wakes = lock(&self.broker.shared.wakes);
                if !wakes.runs.is_empty() || wakes.look_around {
                    let taken = std::mem::take(&mut *wakes);
                    return (taken.runs.into_iter().collect(), taken.look_around);
                }
            }
            self.broker.shared.woken.notified().await;
        }
    }
}

/// Notices for one worker.
#[derive(Debug)]
pub struct Notices {
    broker: Broker,
    worker: Uuid,
}

impl Notices {
    /// Waits for a notice.
    pub async fn take(&mut self) {
        loop {
            let notified = self.broker.shared.noticed.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if lock(&self.broker.shared.notices).remove(&self.worker) {
                return;
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use updraft_model::InstanceKey;

    fn key(idx: i32) -> AttemptKey {
        AttemptKey { instance: InstanceKey { run: RunKey(1), idx, map_index: -1 }, attempt: 1 }
    }

    #[tokio::test]
    async fn a_worker_takes_only_what_it_has_room_for() {
        let broker = Broker::in_process();
        broker.hint("default", (0..5).map(key));
        broker.hint("gpu", [key(9)]);
        let mut one = broker.hints(vec!["default".to_owned()]);
        let mut two = broker.hints(vec!["default".to_owned(), "gpu".to_owned()]);
        assert_eq!(one.take(2).await.len(), 2);
        assert_eq!(two.take(10).await.len(), 4);
    }

    #[tokio::test]
    async fn a_hint_that_comes_while_waiting_is_seen() {
        let broker = Broker::in_process();
        let mut hints = broker.hints(vec!["default".to_owned()]);
        let waiting = tokio::spawn(async move { hints.take(1).await });
        tokio::task::yield_now().await;
        broker.hint("default", [key(0)]);
        assert_eq!(waiting.await.unwrap(), vec![key(0)]);
    }

    #[tokio::test]
    async fn wakes_are_merged() {
        let broker = Broker::in_process();
        broker.wake(&[RunKey(2), RunKey(1)]);
        broker.wake(&[RunKey(2)]);
        broker.wake_all();
        assert_eq!(broker.wakes().take().await, (vec![RunKey(1), RunKey(2)], true));
    }
}
