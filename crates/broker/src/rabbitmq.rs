//! The broker between processes. [`crate::Broker`] is the only caller.
//!
//! ```text
//!  hint, wake, notify ──► outbox (bounded sets) ──► publisher ══ publish connection ══╗
//!                                                                                    ║ RabbitMQ
//!  take ◄── inbox (unacknowledged hints) ◄── consumer ══ consume connection ═════════╝
//! ```
//!
//! Callers touch only the sets on the left and never wait for the network. Two links ([`link`]) keep the connections, each on its own; when
//! one is away its sets fill up to their bound and then drop. Messages may be lost, doubled and out of order: whoever takes one looks into
//! Postgres.

pub(crate) mod consumer;
pub(crate) mod depth;
pub(crate) mod inbox;
pub(crate) mod link;
pub(crate) mod message;
pub(crate) mod options;
pub(crate) mod outbox;
pub(crate) mod publisher;
pub(crate) mod status;
pub(crate) mod subscriptions;
pub(crate) mod topology;
pub(crate) mod words;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::broker::lock;
use crate::in_process::NoticeInbox;
pub(crate) use crate::in_process::WakeInbox;
use inbox::HintInbox;
use options::Options;
use outbox::Outbox;
use status::{Counters, Side, StatusBoard};
use subscriptions::{Subscription, Subscriptions};

/// The longest that [`Client::close`] waits for each link.
const CLOSE_WITHIN: Duration = Duration::from_secs(8);

/// What the handle and the two links share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) outbox: Outbox,
    pub(crate) wakes: Arc<WakeInbox>,
    pub(crate) notices: NoticeInbox,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) status: StatusBoard,
    pub(crate) counters: Arc<Counters>,
    stop_consuming: CancellationToken,
    stop_publishing: CancellationToken,
}

impl Shared {
    fn stop(&self, side: Side) -> &CancellationToken {
        match side {
            Side::Publish => &self.stop_publishing,
            Side::Consume => &self.stop_consuming,
        }
    }

    pub(crate) fn is_stopping(&self, side: Side) -> bool {
        self.stop(side).is_cancelled()
    }

    /// Waits for the shutdown of a side.
    pub(crate) async fn stopped(&self, side: Side) {
        self.stop(side).cancelled().await;
    }
}

/// The RabbitMQ wire. Dropped, it stops its links; [`Client::close`] also waits for them.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) shared: Arc<Shared>,
    links: Mutex<Vec<(Side, JoinHandle<()>)>>,
    _stop: [DropGuard; 2],
}

impl Client {
    pub(crate) fn start(options: Options) -> Self {
        let counters = Arc::new(Counters::default());
        let (stop_consuming, stop_publishing) = (CancellationToken::new(), CancellationToken::new());
        let guards = [stop_consuming.clone().drop_guard(), stop_publishing.clone().drop_guard()];
        let shared = Arc::new(Shared {
            status: StatusBoard::new(options.address()),
            options,
            outbox: Outbox::new(Arc::clone(&counters)),
            wakes: Arc::default(),
            notices: NoticeInbox::default(),
            subscriptions: Subscriptions::default(),
            counters,
            stop_consuming,
            stop_publishing,
        });
        // Closed in this order: what the consumer gives back is sent by the publisher.
        let links = [Side::Consume, Side::Publish].map(|side| (side, tokio::spawn(link::keep(Arc::clone(&shared), side))));
        Self { shared, links: Mutex::new(links.into()), _stop: guards }
    }

    pub(crate) fn subscribe_hints(&self, queues: Vec<String>) -> Arc<HintInbox> {
        let inbox = Arc::new(HintInbox::new(queues));
        self.shared.subscriptions.add(Subscription::Hints(Arc::clone(&inbox)));
        inbox
    }

    pub(crate) fn unsubscribe_hints(&self, inbox: &Arc<HintInbox>) {
        self.shared.subscriptions.remove(|other| matches!(other, Subscription::Hints(other) if Arc::ptr_eq(other, inbox)));
        // Its consumer gives back what it holds and ends.
        inbox.close();
    }

    pub(crate) fn subscribe_wakes(&self) -> Arc<WakeInbox> {
        self.shared.subscriptions.add(Subscription::Wakes);
        Arc::clone(&self.shared.wakes)
    }

    pub(crate) fn subscribe_notices(&self, worker: Uuid) {
        self.shared.subscriptions.add(Subscription::Notices(worker));
    }

    pub(crate) fn unsubscribe_notices(&self, worker: Uuid) {
        self.shared.subscriptions.remove(|other| matches!(other, Subscription::Notices(other) if *other == worker));
    }

    pub(crate) async fn close(&self) {
        let links = std::mem::take(&mut *lock(&self.links));
        for (side, link) in links {
            self.shared.stop(side).cancel();
            // A link that panicked or takes too long has nothing left that anybody needs.
            let _ = tokio::time::timeout(CLOSE_WITHIN, link).await;
        }
    }
}
