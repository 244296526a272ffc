//! The attempts that this process looks after, by their keys and by the names of their pods. Only a cache: everything in it is also written
//! on the pods, and an attempt that is missing here is found by its label.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use updraft_model::AttemptKey;
use uuid::Uuid;

use crate::logs::LogState;
use crate::marks::Plan;
use crate::seen::{Seen, SlimPod};

/// After this time without a call, what nobody waits for is dropped: its attempt went to another worker.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// An attempt and its pod.
pub(crate) struct Entry {
    pub(crate) key: AttemptKey,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) group: Uuid,
    pub(crate) plan: Plan,
    pub(crate) log: tokio::sync::Mutex<LogState>,
    view: watch::Sender<View>,
    uid: Mutex<Option<String>>,
    told: Mutex<String>,
    touched: Mutex<Instant>,
    waiting: AtomicUsize,
}

/// What is known of a pod.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    pub(crate) seen: Option<Arc<Seen>>,
    /// Moves when there is reason to believe that the pod is gone. Only a read by name can tell.
    pub(crate) doubt: u64,
}

impl Entry {
    pub(crate) fn new(key: AttemptKey, group: Uuid, namespace: String, name: String, plan: Plan) -> Self {
        Self {
            key,
            namespace,
            name,
            group,
            plan,
            log: tokio::sync::Mutex::default(),
            view: watch::Sender::default(),
            uid: Mutex::default(),
            told: Mutex::default(),
            touched: Mutex::new(Instant::now()),
            waiting: AtomicUsize::new(0),
        }
    }

    /// The entry of a pod of ours that another process created.
    pub(crate) fn of(pod: &SlimPod) -> Option<Self> {
        let entry = Self::new(pod.attempt()?, pod.group(), pod.namespace().to_owned(), pod.name().to_owned(), pod.plan()?);
        entry.bind(pod.uid());
        entry.absorb(pod);
        Some(entry)
    }

    /// The pod that counts, once it is known.
    pub(crate) fn uid(&self) -> Option<String> {
        lock(&self.uid).clone()
    }

    /// Looks at the pod of that uid only, from now on.
    pub(crate) fn bind(&self, uid: &str) {
        *lock(&self.uid) = Some(uid.to_owned());
        self.view.send_if_modified(|view| view.seen.take_if(|seen| seen.uid != uid).is_some());
    }

    /// Takes note of a look at the pod of this name.
    pub(crate) fn absorb(&self, pod: &SlimPod) {
        if self.uid().is_some_and(|uid| uid != pod.uid()) {
            return self.doubt();
        }
        let seen = Seen::of(pod);
        self.view.send_if_modified(|view| {
            let seen = match &view.seen {
                Some(known) => seen.after(known),
                None => seen,
            };
            if view.seen.as_ref().is_some_and(|known| **known == seen) {
                return false;
            }
            view.seen = Some(Arc::new(seen));
            true
        });
    }

    /// Takes note that the pod may be gone.
    pub(crate) fn doubt(&self) {
        self.view.send_modify(|view| view.doubt += 1);
    }

    pub(crate) fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    pub(crate) fn seen(&self) -> Option<Arc<Seen>> {
        self.view.borrow().seen.clone()
    }

    /// Whether a line about it is news.
    pub(crate) fn is_news(&self, line: &str) -> bool {
        let mut told = lock(&self.told);
        if *told == line {
            return false;
        }
        line.clone_into(&mut told);
        true
    }

    fn touch(&self) {
        *lock(&self.touched) = Instant::now();
    }

    /// Holds it in the registry while somebody waits for its end.
    pub(crate) fn waits(self: &Arc<Self>) -> Waits {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waits(Arc::clone(self))
    }

    fn is_forgotten(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0 && lock(&self.touched).elapsed() > FORGOTTEN_AFTER
    }
}

/// See [`Entry::waits`].
pub(crate) struct Waits(Arc<Entry>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.touch();
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All entries, and the groups that are watched.
#[derive(Default)]
pub(crate) struct Registry(Mutex<State>);

#[derive(Default)]
struct State {
    by_key: HashMap<AttemptKey, Arc<Entry>>,
    by_name: HashMap<(String, String), Arc<Entry>>,
    watched: BTreeSet<(String, Uuid)>,
}

impl Registry {
    pub(crate) fn get(&self, key: AttemptKey) -> Option<Arc<Entry>> {
        let entry = lock(&self.0).by_key.get(&key).cloned();
        if let Some(entry) = &entry {
            entry.touch();
        }
        entry
    }

    /// The entry of an attempt, which is made if there is none, and whether the caller has to start the watch of its group.
    pub(crate) fn get_or_insert(&self, key: AttemptKey, make: impl FnOnce() -> Entry) -> (Arc<Entry>, bool) {
        let mut state = lock(&self.0);
        if let Some(entry) = state.by_key.get(&key) {
            entry.touch();
            return (Arc::clone(entry), false);
        }
        let entry = Arc::new(make());
        state.by_key.insert(key, Arc::clone(&entry));
        state.by_name.insert((entry.namespace.clone(), entry.name.clone()), Arc::clone(&entry));
        let is_new = state.watched.insert((entry.namespace.clone(), entry.group));
        (entry, is_new)
    }

    pub(crate) fn remove(&self, key: AttemptKey) {
        let mut state = lock(&self.0);
        if let Some(entry) = state.by_key.remove(&key) {
            state.by_name.remove(&(entry.namespace.clone(), entry.name.clone()));
        }
    }

    pub(crate) fn by_name(&self, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        lock(&self.0).by_name.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// The entries of a group, after those were dropped that nobody asks for any more.
    pub(crate) fn of_group(&self, namespace: &str, group: Uuid) -> Vec<Arc<Entry>> {
        let mut state = lock(&self.0);
        let State { by_key, by_name, .. } = &mut *state;
        by_key.retain(|_, entry| {
            let keep = !entry.is_forgotten();
            if !keep {
                by_name.remove(&(entry.namespace.clone(), entry.name.clone()));
            }
            keep
        });
        by_key.values().filter(|entry| entry.group == group && entry.namespace == namespace).cloned().collect()
    }

    /// Gives the watch of a group up, unless somebody came in meanwhile.
    pub(crate) fn unwatch(&self, namespace: &str, group: Uuid) -> bool {
        let mut state = lock(&self.0);
        if state.by_key.values().any(|entry| entry.group == group && entry.namespace == namespace) {
            return false;
        }
        state.watched.remove(&(namespace.to_owned(), group));
        true
    }

    /// How many groups are watched.
    pub(crate) fn watches(&self) -> usize {
        lock(&self.0).watched.len()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half-changed by a panic: each change is one statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
