//! What this process wants to receive. It outlives connections: each new one serves all that is in here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use uuid::Uuid;

use super::inbox::HintInbox;
use crate::broker::lock;

#[derive(Debug, Clone)]
pub(crate) enum Subscription {
    Hints(Arc<HintInbox>),
    Wakes,
    Notices(Uuid),
}

/// All subscriptions, by a number that only grows. A process has a handful.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    all: Mutex<BTreeMap<u64, Subscription>>,
    /// Changes with every change; its value is the next number.
    next: watch::Sender<u64>,
}

impl Subscriptions {
    /// Adds one, unless the same is there already. Wakes are one set for the process, notices one flag for each worker.
    pub(crate) fn add(&self, subscription: Subscription) {
        let mut all = lock(&self.all);
        let there = all.values().any(|other| match (other, &subscription) {
            (Subscription::Wakes, Subscription::Wakes) => true,
            (Subscription::Notices(one), Subscription::Notices(other)) => one == other,
            _ => false,
        });
        if !there {
            let id = *self.next.borrow();
            all.insert(id, subscription);
            drop(all);
            self.next.send_modify(|next| *next += 1);
        }
    }

    /// Removes those for which it is true.
    pub(crate) fn remove(&self, gone: impl Fn(&Subscription) -> bool) {
        lock(&self.all).retain(|_, subscription| !gone(subscription));
        self.next.send_modify(|_| {});
    }

    /// Those from a number on.
    pub(crate) fn since(&self, id: u64) -> Vec<(u64, Subscription)> {
        lock(&self.all).range(id..).map(|(id, subscription)| (*id, subscription.clone())).collect()
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        lock(&self.all).contains_key(&id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.all).is_empty()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.next.subscribe()
    }
}
