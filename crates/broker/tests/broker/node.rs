//! What happens to all of a RabbitMQ node. Each test has a node of its own.

use std::time::{Duration, Instant};

use updraft_broker::{BrokerStatus, QueueType};
use updraft_model::RunKey;
use uuid::Uuid;

use crate::harness::{Installation, Node, collect, default_queue, eventually, key, keys, see, status, within};

#[tokio::test]
async fn a_node_that_restarts_without_its_data_is_used_again_within_seconds() {
    let Some(node) = Node::start() else { return };
    let it = Installation::at(&node.url, QueueType::Classic);
    let (scheduler, worker) = (it.end().await, it.end().await);
    let mut hints = worker.hints(default_queue());
    let mut wakes = scheduler.wakes();
    let id = Uuid::new_v4();
    let mut notices = worker.notices(id);
    within("the first notice", notices.take()).await;
    scheduler.hint("default", [key(0)]);
    collect(&mut hints, 8, &keys(0..1)).await;

    node.ctl(&["stop_app"]);
    status(&worker, "away", |status| !status.connected).await;
    assert!(!worker.is_up() && worker.status().borrow().reason.is_some());
    scheduler.hint("default", [key(1)]);
    node.ctl(&["reset"]);
    node.ctl(&["start_app"]);
    let begun = Instant::now();
    collect(&mut hints, 8, &keys(1..2)).await;
    worker.wake(&[RunKey(3)]);
    assert_eq!(within("a wake", wakes.take()).await, (vec![RunKey(3)], false));
    // The worker is told to look, for what it may have missed; then notices flow again.
    within("a notice", notices.take()).await;
    scheduler.notify(id);
    within("a notice", notices.take()).await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    status(&worker, "up", BrokerStatus::is_up).await;
    assert!(worker.stats().reconnects > 0);
}

#[tokio::test]
async fn connections_that_are_all_closed_come_back() {
    let Some(node) = Node::start() else { return };
    let it = Installation::at(&node.url, QueueType::Quorum);
    let (scheduler, worker) = (it.end().await, it.end().await);
    let mut hints = worker.hints(default_queue());
    for round in 0..3 {
        let first = round * 100;
        scheduler.hint("default", (first..first + 100).map(key));
        // Some of them unacknowledged, some on their way, when it happens.
        let taken = within("a hint", hints.take(5)).await;
        node.ctl(&["close_all_connections", "test"]);
        taken.done();
        scheduler.hint("default", (first..first + 100).map(key));
        see(&mut hints, &keys(first..first + 100)).await;
        // RabbitMQ closes in its own time: the hints may have come before.
        eventually("another connection", || async { worker.stats().reconnects > u64::try_from(round).unwrap() }).await;
    }
}

#[tokio::test]
async fn a_node_without_memory_blocks_nobody_and_is_said() {
    let Some(node) = Node::start() else { return };
    let it = Installation::at(&node.url, QueueType::Classic);
    let (scheduler, worker) = (it.end().await, it.end().await);
    let mut hints = worker.hints(default_queue());
    scheduler.hint("default", [key(0)]);
    collect(&mut hints, 8, &keys(0..1)).await;

    node.ctl(&["set_vm_memory_high_watermark", "absolute", "1MiB"]);
    // RabbitMQ tells a connection when it publishes.
    scheduler.hint("default", [key(1)]);
    let blocked = status(&scheduler, "blocked", |status| status.blocked.is_some()).await;
    assert!(blocked.connected && !blocked.is_up());
    let begun = Instant::now();
    scheduler.hint("default", (2..100_000).map(key));
    scheduler.wake(&[RunKey(1)]);
    assert!(begun.elapsed() < Duration::from_secs(2), "hint() waited {:?}", begun.elapsed());
    eventually("drops", || async { scheduler.stats().dropped > 0 }).await;

    // Longer than a confirm may take without an alarm: the connection must not be given up.
    let reconnects = scheduler.stats().reconnects;
    tokio::time::sleep(Duration::from_secs(12)).await;
    node.ctl(&["set_vm_memory_high_watermark", "0.4"]);
    status(&scheduler, "up", BrokerStatus::is_up).await;
    see(&mut hints, &keys(1..1_000)).await;
    assert_eq!(scheduler.stats().reconnects, reconnects);
}
