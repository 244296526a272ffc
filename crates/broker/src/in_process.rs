//! The broker of one process: bounded sets. Also the receiving ends that both wires share, [`WakeInbox`] and [`NoticeInbox`].
//!
//! A hint that is there already is not added again; a full set drops. It never stores anything and never waits for a reader.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, watch};
use updraft_model::{AttemptKey, RunKey};
use uuid::Uuid;

use crate::broker::{Taken, Trace, lock};
use crate::rabbitmq::status::BrokerStatus;

/// Most hints that wait for one queue. Past it they are dropped, and workers find the attempts by pulling.
const MOST_HINTS: usize = 65_536;
/// Most runs that wait for a scheduler. Past it they are dropped, and schedulers find the runs by their durable marks.
const MOST_WAKES: usize = 65_536;

/// The in-process wire.
#[derive(Debug)]
pub(crate) struct Sets {
    hints: Mutex<BTreeMap<String, BTreeMap<AttemptKey, Trace>>>,
    hinted: Notify,
    pub(crate) wakes: Arc<WakeInbox>,
    pub(crate) notices: NoticeInbox,
    pub(crate) status: watch::Sender<BrokerStatus>,
    dropped: AtomicU64,
}

impl Default for Sets {
    fn default() -> Self {
        Self {
            hints: Mutex::default(),
            hinted: Notify::new(),
            wakes: Arc::default(),
            notices: NoticeInbox::default(),
            status: watch::Sender::new(BrokerStatus::always_up()),
            dropped: AtomicU64::new(0),
        }
    }
}

impl Sets {
    pub(crate) fn hint(&self, queue: &str, keys: impl IntoIterator<Item = (AttemptKey, Trace)>) {
        let mut hints = lock(&self.hints);
        let waiting = match hints.get_mut(queue) {
            Some(waiting) => waiting,
            None => hints.entry(queue.to_owned()).or_default(),
        };
        for (key, trace) in keys {
            if waiting.len() < MOST_HINTS {
                waiting.insert(key, trace);
            } else {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        drop(hints);
        self.hinted.notify_waiters();
    }

    pub(crate) async fn take(self: &Arc<Self>, queues: &[String], most: usize) -> Taken {
        loop {
            let notified = self.hinted.notified();
            tokio::pin!(notified);
            // Registered before looking, or a hint between the look and the wait is missed.
            notified.as_mut().enable();
            let mut taken = Vec::new();
            {
                let mut hints = lock(&self.hints);
                for queue in queues {
                    if let Some(waiting) = hints.get_mut(queue) {
                        while taken.len() < most {
                            match waiting.pop_first() {
                                Some((key, trace)) => taken.push((queue.clone(), key, trace)),
                                None => break,
                            }
                        }
                    }
                }
            }
            if !taken.is_empty() {
                return Taken::in_process(Arc::clone(self), taken);
            }
            notified.await;
        }
    }

    pub(crate) fn notify(&self, worker: Uuid) {
        self.notices.add(worker);
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed) + self.wakes.dropped.load(Ordering::Relaxed)
    }
}

/// Runs that wait for a scheduler.
#[derive(Debug, Default)]
pub(crate) struct WakeSet {
    pub(crate) runs: BTreeSet<RunKey>,
    pub(crate) look_around: bool,
}

impl WakeSet {
    /// Adds, up to the bound. Answers how many were dropped.
    pub(crate) fn add(&mut self, runs: &[RunKey], look_around: bool) -> u64 {
        self.look_around |= look_around;
        let mut dropped = 0;
        for run in runs {
            if self.runs.len() < MOST_WAKES {
                self.runs.insert(*run);
            } else if !self.runs.contains(run) {
                dropped += 1;
            }
        }
        dropped
    }

    fn is_empty(&self) -> bool {
        self.runs.is_empty() && !self.look_around
    }
}

/// The receiving end of wakes.
#[derive(Debug, Default)]
pub(crate) struct WakeInbox {
    set: Mutex<WakeSet>,
    woken: Notify,
    dropped: AtomicU64,
}

impl WakeInbox {
    /// Answers how many did not fit.
    pub(crate) fn add(&self, runs: &[RunKey], look_around: bool) -> u64 {
        let dropped = lock(&self.set).add(runs, look_around);
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
        self.woken.notify_one();
        dropped
    }

    pub(crate) fn try_take(&self) -> (Vec<RunKey>, bool) {
        let taken = std::mem::take(&mut *lock(&self.set));
        (taken.runs.into_iter().collect(), taken.look_around)
    }

    pub(crate) async fn take(&self) -> (Vec<RunKey>, bool) {
        loop {
            let taken = {
                let mut set = lock(&self.set);
                (!set.is_empty()).then(|| std::mem::take(&mut *set))
            };
            if let Some(taken) = taken {
                return (taken.runs.into_iter().collect(), taken.look_around);
            }
            self.woken.notified().await;
        }
    }
}

/// The receiving end of notices: one flag for each worker that has one waiting.
#[derive(Debug, Default)]
pub(crate) struct NoticeInbox {
    waiting: Mutex<BTreeSet<Uuid>>,
    noticed: Notify,
}

impl NoticeInbox {
    pub(crate) fn add(&self, worker: Uuid) {
        lock(&self.waiting).insert(worker);
        self.noticed.notify_waiters();
    }

    pub(crate) async fn take(&self, worker: Uuid) {
        loop {
            let notified = self.noticed.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if lock(&self.waiting).remove(&worker) {
                return;
            }
            notified.await;
        }
    }
}
