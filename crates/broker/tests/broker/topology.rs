//! Queues that vanish, that exist in another shape, and messages that nobody can read.

use lapin::BasicProperties;
use lapin::types::AMQPValue;
use updraft_broker::{Broker, QueueType};
use updraft_model::RunKey;

use crate::harness::{Installation, Plain, amqp_url, collect, default_queue, eventually, key, keys, status, within};

#[tokio::test]
async fn garbage_goes_to_the_dead_letter_queue_with_a_reason_and_disturbs_nothing() {
    let Some(it) = Installation::classic() else { return };
    let (scheduler, worker) = (it.end().await, it.end().await);
    let plain = Plain::connect(&amqp_url().unwrap()).await;
    let mut hints = worker.hints(default_queue());
    scheduler.hint("default", [key(0)]);
    collect(&mut hints, 8, &keys(0..1)).await;

    let json = || BasicProperties::default().with_content_type("application/json".into());
    let deep = format!("{}1{}", "[".repeat(3_000), "]".repeat(3_000));
    let big = format!(r#"{{"v":1,"hints":[{}[1,0,-1,1]]}}"#, "[1,0,-1,1],".repeat(200_000));
    let many = format!(r#"{{"v":1,"hints":[{}[1,0,-1,1]]}}"#, "[1,0,-1,1],".repeat(64));
    let garbage: [(BasicProperties, &[u8], &str); 14] = [
        (json(), b"", "empty"),
        (json(), b"hello", "no message"),
        (json(), b"\x00\x01\xff\xfe\x80", "no message"),
        (json(), br#"{"v":1,"hints":[[1,0,-1,1]"#, "no message"),
        (json(), br#"{"v":99,"hints":[[1,0,-1,1]],"new":true}"#, "version 99"),
        (json(), br#"{"v":1,"hints":[[1,0,-1,1]],"state":"success"}"#, "state"),
        (json(), br#"{"v":1,"hints":"all"}"#, "not of this queue"),
        (json(), br#"{"v":1,"hints":[[1,0,-1,99999999999999999999999]]}"#, "not of this queue"),
        (json(), br#"{"v":1,"hints":[[1,0,-1,-5]]}"#, "no attempt"),
        (json(), br#"{"v":1,"runs":[1],"all":false}"#, "not of this queue"),
        (json(), deep.as_bytes(), "no message"),
        (json(), big.as_bytes(), "at most 8192"),
        (json(), many.as_bytes(), "65 hints"),
        (BasicProperties::default().with_content_type("text/xml".into()), br#"{"v":1,"hints":[[1,0,-1,1]]}"#, "text/xml"),
    ];
    for (index, (properties, body, _)) in garbage.iter().enumerate() {
        plain.send(&it.queue("default"), properties.clone(), body).await;
        scheduler.hint("default", [key(100 + i32::try_from(index).unwrap())]);
    }
    collect(&mut hints, 8, &keys(100..114)).await;
    // Somebody has to go on asking: a worker without room fetches no garbage either.
    tokio::select! {
        taken = hints.take(8) => panic!("no more hints were sent: {taken:?}"),
        () = eventually("all garbage was seen", || async { worker.stats().dead_lettered == garbage.len() as u64 }) => {}
    }

    let dead = format!("{}.dead", it.options().prefix);
    let mut reasons = Vec::new();
    for _ in &garbage {
        let message = plain.get(&dead).await;
        assert!(message.data.len() <= 8_192);
        let headers = message.properties.headers().clone().unwrap_or_default();
        let Some(AMQPValue::LongString(reason)) = headers.inner().get("x-updraft-reason") else { panic!("no reason: {headers:?}") };
        reasons.push(reason.to_string());
    }
    for (_, _, expected) in &garbage {
        assert!(reasons.iter().any(|reason| reason.contains(expected)), "no reason says {expected:?}: {reasons:#?}");
    }
    assert_eq!(worker.stats().dead_lettered, garbage.len() as u64);
    // It comes no second time.
    drop(hints);
    worker.close().await;
    let next = it.end().await;
    scheduler.hint("default", [key(500)]);
    collect(&mut next.hints(default_queue()), 8, &keys(500..501)).await;
    assert_eq!(next.stats().dead_lettered, 0);
}

#[tokio::test]
async fn garbage_among_wakes_disturbs_nothing() {
    let Some(it) = Installation::classic() else { return };
    let (worker, scheduler) = (it.end().await, it.end().await);
    let plain = Plain::connect(&amqp_url().unwrap()).await;
    let mut wakes = scheduler.wakes();
    plain.send(&format!("{}.wakes", it.options().prefix), BasicProperties::default(), b"wake up").await;
    worker.wake(&[RunKey(1)]);
    assert_eq!(within("the wake", wakes.take()).await, (vec![RunKey(1)], false));
    plain.get(&format!("{}.dead", it.options().prefix)).await;
}

#[tokio::test]
async fn a_queue_that_is_deleted_under_both_ends_comes_back() {
    let Some(it) = Installation::classic() else { return };
    let (scheduler, worker) = (it.end().await, it.end().await);
    let plain = Plain::connect(&amqp_url().unwrap()).await;
    let mut hints = worker.hints(default_queue());
    let mut wakes = scheduler.wakes();
    scheduler.hint("default", [key(0)]);
    collect(&mut hints, 8, &keys(0..1)).await;
    worker.wake(&[RunKey(1)]);
    within("a wake", wakes.take()).await;

    // Once while the worker waits in take, which is when its consumer is cancelled.
    let waiting = tokio::spawn(async move {
        collect(&mut hints, 8, &keys(1..2)).await;
        hints
    });
    eventually("a consumer", || async {
        let queue = plain.channel.queue_declare(it.queue("default").as_str().into(), passive(), Default::default()).await.unwrap();
        queue.consumer_count() == 1
    })
    .await;
    plain.delete(&it.queue("default")).await;
    plain.delete(&format!("{}.wakes", it.options().prefix)).await;
    scheduler.hint("default", [key(1)]);
    let mut hints = within("the hint after", waiting).await.unwrap();
    worker.wake(&[RunKey(2)]);
    assert_eq!(within("the wake after", wakes.take()).await, (vec![RunKey(2)], false));
    scheduler.hint("default", [key(2)]);
    collect(&mut hints, 8, &keys(2..3)).await;
    assert_eq!((scheduler.stats().reconnects, worker.stats().reconnects), (0, 0), "no connection had to be made anew");
}

#[tokio::test]
async fn a_worker_that_does_not_ask_holds_no_message_and_no_consumer() {
    let Some(it) = Installation::classic() else { return };
    let (scheduler, worker) = (it.end().await, it.end().await);
    let plain = Plain::connect(&amqp_url().unwrap()).await;
    scheduler.hint("default", (0..160).map(key));
    let mut hints = worker.hints(default_queue());
    within("a hint", hints.take(1)).await.done();
    // Nine messages that it may have fetched, and one for what was left of the one that it began.
    eventually("everything is back", || async {
        let queue = plain.channel.queue_declare(it.queue("default").as_str().into(), passive(), Default::default()).await.unwrap();
        queue.consumer_count() == 0 && queue.message_count() == 10
    })
    .await;
    collect(&mut hints, 64, &keys(1..160)).await;
}

#[tokio::test]
async fn a_message_whose_queue_is_gone_is_returned_and_sent_again() {
    let Some(it) = Installation::classic() else { return };
    let (scheduler, worker) = (it.end().await, it.end().await);
    let plain = Plain::connect(&amqp_url().unwrap()).await;
    scheduler.hint("default", [key(0)]);
    eventually("a confirm", || async { scheduler.stats().confirmed == 1 }).await;
    plain.delete(&it.queue("default")).await;
    scheduler.hint("default", [key(1)]);
    eventually("a second confirm", || async { scheduler.stats().confirmed == 2 }).await;
    assert_eq!(scheduler.stats().returned, 1);
    collect(&mut worker.hints(default_queue()), 8, &keys(1..2)).await;
}

#[tokio::test]
async fn a_queue_of_another_type_is_used_and_said() {
    let Some(it) = Installation::classic() else { return };
    let scheduler = it.end().await;
    scheduler.hint("default", [key(0)]);
    eventually("a confirm", || async { scheduler.stats().confirmed == 1 }).await;
    let mut options = it.options();
    options.queue_type = QueueType::Quorum;
    let other = Broker::connect(options);
    let mut hints = other.hints(default_queue());
    collect(&mut hints, 8, &keys(0..1)).await;
    // One of the two connections may be there, and warn, before the other.
    let status = status(&other, "up and warned", |status| status.is_up() && status.warnings.len() == 2).await;
    let warning = &status.warnings[0];
    assert!(warning.contains("delete_queue") && warning.contains("x-queue-type"), "{warning}");
    // Not a loop: what is known to differ is not declared again and again.
    assert_eq!(other.stats().reconnects, 0);
}

#[tokio::test]
async fn closing_gives_back_what_was_not_claimed_and_sends_what_waits() {
    let Some(it) = Installation::classic() else { return };
    let (scheduler, worker, other) = (it.end().await, it.end().await, it.end().await);
    scheduler.hint("default", (0..100).map(key));
    scheduler.close().await;
    let mut hints = worker.hints(default_queue());
    let taken = within("a hint", hints.take(10)).await;
    within("the end", worker.close()).await;
    drop(taken);
    collect(&mut other.hints(default_queue()), 64, &keys(0..100)).await;
}

fn passive() -> lapin::options::QueueDeclareOptions {
    lapin::options::QueueDeclareOptions { passive: true, ..Default::default() }
}
