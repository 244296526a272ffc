//! How it goes: the status that health, doctor and workers read, and the counters. Changes are logged here, once each.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use tokio::sync::watch;
use tracing::{info, warn};

use crate::broker::lock;

/// How it goes with the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerStatus {
    /// All connections that are needed are there.
    pub connected: bool,
    /// Why they are not, with the remedy.
    pub reason: Option<String>,
    /// RabbitMQ takes no messages now, and why it says so: it is short of memory or disk. They wait here, in bounds.
    pub blocked: Option<String>,
    /// What works, but not as it is set: a queue that exists with other arguments.
    pub warnings: Vec<String>,
    /// Since when `connected`, `reason` and `blocked` are what they are.
    pub since: SystemTime,
}

impl BrokerStatus {
    pub(crate) fn always_up() -> Self {
        Self { connected: true, reason: None, blocked: None, warnings: Vec::new(), since: SystemTime::now() }
    }

    /// Hints flow in both directions.
    pub fn is_up(&self) -> bool {
        self.connected && self.blocked.is_none()
    }
}

impl fmt::Display for BrokerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.reason, &self.blocked) {
            (Some(reason), _) => write!(f, "away: {reason}"),
            (None, Some(alarm)) => write!(f, "blocked: {alarm}"),
            (None, None) => f.write_str("up"),
        }
    }
}

/// Which of the two connections. They are apart because RabbitMQ stops reading from a connection that publishes while it is short of
/// memory, and with it would stop the acknowledgements that make it shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Publish,
    Consume,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish => "publish",
            Self::Consume => "consume",
        })
    }
}

/// Where the links write how it goes, and from which the one status is made.
#[derive(Debug)]
pub(crate) struct StatusBoard {
    address: String,
    sides: Mutex<Sides>,
    sender: watch::Sender<BrokerStatus>,
}

/// A side that is not in here is not needed: nobody consumes.
#[derive(Debug, Default)]
struct Sides {
    links: BTreeMap<Side, Link>,
    blocked: BTreeMap<Side, String>,
    warnings: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
enum Link {
    Up,
    Away(String),
}

impl StatusBoard {
    pub(crate) fn new(address: String) -> Self {
        let reason = Some(format!("connecting to {address}"));
        let status = BrokerStatus { connected: false, reason, blocked: None, warnings: Vec::new(), since: SystemTime::now() };
        Self { address, sides: Mutex::default(), sender: watch::Sender::new(status) }
    }

    pub(crate) fn current(&self) -> BrokerStatus {
        self.sender.borrow().clone()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<BrokerStatus> {
        self.sender.subscribe()
    }

    pub(crate) fn connecting(&self, side: Side) {
        self.change(|sides| {
            sides.links.entry(side).or_insert_with(|| Link::Away(format!("connecting to {}", self.address)));
        });
    }

    pub(crate) fn up(&self, side: Side) {
        self.change(|sides| {
            sides.links.insert(side, Link::Up);
        });
    }

    pub(crate) fn away(&self, side: Side, reason: String) {
        self.change(|sides| {
            sides.blocked.remove(&side);
            sides.links.insert(side, Link::Away(reason));
        });
    }

    pub(crate) fn blocked(&self, side: Side, alarm: Option<String>) {
        self.change(|sides| {
            match alarm {
                Some(alarm) => sides.blocked.insert(side, alarm),
                None => sides.blocked.remove(&side),
            };
        });
    }

    pub(crate) fn is_blocked(&self, side: Side) -> bool {
        lock(&self.sides).blocked.contains_key(&side)
    }

    /// Says something about a thing that works, or with `None` that it is mended.
    pub(crate) fn warn(&self, about: &str, text: Option<String>) {
        self.change(|sides| {
            match text {
                Some(text) => {
                    if sides.warnings.get(about) != Some(&text) {
                        warn!("{text}");
                    }
                    sides.warnings.insert(about.to_owned(), text);
                }
                None => {
                    sides.warnings.remove(about);
                }
            };
        });
    }

    fn change(&self, change: impl FnOnce(&mut Sides)) {
        let mut sides = lock(&self.sides);
        change(&mut sides);
        let reason = sides.links.values().find_map(|link| match link {
            Link::Away(reason) => Some(reason.clone()),
            Link::Up => None,
        });
        let blocked = sides.blocked.values().next().cloned();
        let warnings: Vec<String> = sides.warnings.values().cloned().collect();
        self.sender.send_if_modified(|status| {
            let connected = reason.is_none() && !sides.links.is_empty();
            let same = status.connected == connected && status.reason == reason && status.blocked == blocked;
            if same && status.warnings == warnings {
                return false;
            }
            if !same {
                status.since = SystemTime::now();
                self.log(connected, reason.as_deref(), blocked.as_deref());
            }
            status.connected = connected;
            status.reason = reason;
            status.blocked = blocked;
            status.warnings = warnings;
            true
        });
    }

    fn log(&self, connected: bool, reason: Option<&str>, blocked: Option<&str>) {
        match (connected, reason, blocked) {
            (_, Some(reason), _) if reason.starts_with("connecting") => info!("rabbitmq: {reason}"),
            (_, Some(reason), _) => warn!("rabbitmq is away: {reason}; workers pull from postgres until it is back"),
            (_, None, Some(alarm)) => {
                warn!("rabbitmq takes no messages: {alarm}; free memory or disk there; until then workers pull from postgres")
            }
            (true, None, None) => info!("rabbitmq is connected: {}", self.address),
            (false, None, None) => {}
        }
    }
}

/// What was sent and what became of it, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Messages handed to a connection.
    pub published: u64,
    /// Messages that RabbitMQ put into a queue.
    pub confirmed: u64,
    /// Messages that came back because their queue was missing. They are sent again.
    pub returned: u64,
    /// Messages that RabbitMQ refused, mostly because their queue is full. They are sent again a few times.
    pub refused: u64,
    /// Ids (attempts, runs, workers) that were given up: an outbox was full, or all tries failed. They are found in Postgres.
    pub dropped: u64,
    /// Messages that could not be read and went to the dead-letter queue.
    pub dead_lettered: u64,
    /// Connections that came back after they had been lost.
    pub reconnects: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) published: AtomicU64,
    pub(crate) confirmed: AtomicU64,
    pub(crate) returned: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) dead_lettered: AtomicU64,
    pub(crate) reconnects: AtomicU64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            published: read(&self.published),
            confirmed: read(&self.confirmed),
            returned: read(&self.returned),
            refused: read(&self.refused),
            dropped: read(&self.dropped),
            dead_lettered: read(&self.dead_lettered),
            reconnects: read(&self.reconnects),
        }
    }
}

/// Counts.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
