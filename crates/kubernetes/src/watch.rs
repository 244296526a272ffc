//! One list and watch per lease group and namespace, shared by all attempts of the group: at thousands of pods a connection each would be
//! what breaks first.
//!
//! The watch only tells; it never decides. An event `DELETED` also means that a label changed, and a watch that died in silence looks like
//! one without news. So a pod that seems to be gone is *doubted*, whoever waits for it reads it by name, and beside the watch the group is
//! listed now and then.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, pin_mut};
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::Inner;
use crate::marks::GROUP;
use crate::seen::SlimPod;

/// The server ends each watch after this time, so that a connection which went silent is noticed 5 s later.
const WATCH_SECONDS: u32 = 25;
/// Rounds without an attempt before the watch is given up: the next attempt of the group often comes within seconds.
const IDLE_ROUNDS: u32 = 2;

/// Watches a group until nobody needs it.
pub(crate) async fn watch(inner: Arc<Inner>, namespace: String, group: Uuid) {
    let selector = format!("{GROUP}={group}");
    let pods: Api<SlimPod> = Api::namespaced(inner.cluster.client.clone(), &namespace);
    let config = watcher::Config::default().labels(&selector).timeout(WATCH_SECONDS);
    let stream = watcher(pods, config).default_backoff();
    pin_mut!(stream);
    let mut round = tokio::time::interval_at(Instant::now() + inner.config.relist_every, inner.config.relist_every);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut listing = Listing::default();
    let mut idle = 0;
    loop {
        tokio::select! {
            () = inner.shutdown.cancelled() => return,
            event = stream.next() => match event {
                Some(Ok(event)) => hear(&inner, &namespace, group, event, &mut listing),
                Some(Err(error)) => debug!(error = %error, group = %group, "the watch of a group was interrupted and starts again"),
                // It never ends by itself.
                None => return,
            },
            _ = round.tick() => {
                if inner.registry.of_group(&namespace, group).is_empty() {
                    idle += 1;
                    if idle >= IDLE_ROUNDS && inner.registry.unwatch(&namespace, group) {
                        return;
                    }
                    continue;
                }
                idle = 0;
                relist(&inner, &namespace, group, &selector).await;
            }
        }
    }
}

/// The names that a list has had so far, and when it began.
#[derive(Default)]
struct Listing {
    names: BTreeSet<String>,
    bound: BTreeSet<String>,
}

impl Listing {
    /// Begins with the pods that must be in it: what is created while the list is made may be missing.
    fn begin(&mut self, inner: &Inner, namespace: &str, group: Uuid) {
        self.names.clear();
        self.bound = inner.registry.of_group(namespace, group).iter().filter(|e| e.uid().is_some()).map(|e| e.name.clone()).collect();
    }

    /// Doubts what it should have had.
    fn end(&mut self, inner: &Inner, namespace: &str) {
        for name in self.bound.difference(&self.names) {
            if let Some(entry) = inner.registry.by_name(namespace, name) {
                entry.doubt();
            }
        }
        self.bound.clear();
        self.names.clear();
    }
}

fn hear(inner: &Inner, namespace: &str, group: Uuid, event: watcher::Event<SlimPod>, listing: &mut Listing) {
    match event {
        watcher::Event::Init => listing.begin(inner, namespace, group),
        watcher::Event::InitApply(pod) => {
            listing.names.insert(pod.name().to_owned());
            absorb(inner, namespace, &pod);
        }
        watcher::Event::InitDone => listing.end(inner, namespace),
        watcher::Event::Apply(pod) => absorb(inner, namespace, &pod),
        watcher::Event::Delete(pod) => {
            if let Some(entry) = inner.registry.by_name(namespace, pod.name()) {
                // The last state that it had may hold its end.
                if entry.uid().is_some_and(|uid| uid == pod.uid()) {
                    entry.absorb(&pod);
                }
                entry.doubt();
            }
        }
    }
}

fn absorb(inner: &Inner, namespace: &str, pod: &SlimPod) {
    if let Some(entry) = inner.registry.by_name(namespace, pod.name()) {
        entry.absorb(pod);
    }
}

async fn relist(inner: &Inner, namespace: &str, group: Uuid, selector: &str) {
    let mut listing = Listing::default();
    listing.begin(inner, namespace, group);
    let names = &mut listing.names;
    let listed = inner
        .cluster
        .list(namespace, selector, |pod| {
            names.insert(pod.name().to_owned());
            absorb(inner, namespace, &pod);
        })
        .await;
    match listed {
        Ok(()) => listing.end(inner, namespace),
        Err(fault) => warn!(error = %fault, group = %group, "cannot list the pods of a group: what ends now is seen later"),
    }
}
