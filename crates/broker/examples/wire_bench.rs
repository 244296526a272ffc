//! How fast hints travel: from `hint()` in one end to `take()` in another, over the RabbitMQ of `UPDRAFT_TEST_AMQP_URL`.
//!
//! ```text
//! tools/with-rabbitmq.sh cargo run -p updraft-broker --example wire_bench
//! ```
//!
//! One line for each queue type: latency of hints that come one by one, then throughput of many at once. Both ends are in this process, but
//! each has its own connections.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use updraft_broker::{Broker, BrokerStatus, Options, QueueType};
use updraft_model::{AttemptKey, InstanceKey, RunKey};
use uuid::Uuid;

/// Hints whose latency is measured, one every few milliseconds as a chain of tasks makes them.
const SINGLE: i32 = 2_000;
const PAUSE: Duration = Duration::from_millis(2);
/// Hints that are sent at once. Below the bound of the outbox, or they would be dropped.
const MANY: i32 = 60_000;
/// The room of the taker, as that of a claim.
const ROOM: usize = 64;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the figures are the output")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("UPDRAFT_TEST_AMQP_URL")?;
    for queue_type in [QueueType::Classic, QueueType::Quorum] {
        let mut options = Options::new(&url)?;
        options.prefix = format!("bench-{}", Uuid::new_v4());
        options.queue_type = queue_type;
        let (scheduler, worker) = (Broker::connect(options.clone()), Broker::connect(options));
        let mut hints = worker.hints(vec!["default".to_owned()]);
        for broker in [&scheduler, &worker] {
            broker.status().wait_for(BrokerStatus::is_up).await?;
        }
        let mut latencies = Vec::new();
        for idx in 0..SINGLE {
            tokio::time::sleep(PAUSE).await;
            let sent = Instant::now();
            scheduler.hint("default", [key(idx)]);
            hints.take(ROOM).await.done();
            latencies.push(sent.elapsed());
        }
        // The first ones declare the queue and start the consumer.
        let mut latencies = latencies.split_off(20);
        latencies.sort_unstable();
        let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1e3;

        let begun = Instant::now();
        scheduler.hint("default", (SINGLE..SINGLE + MANY).map(key));
        let mut seen = BTreeSet::new();
        while seen.len() < usize::try_from(MANY)? {
            let taken = hints.take(ROOM).await;
            seen.extend(taken.keys.iter().copied());
            taken.done();
        }
        let rate = f64::from(MANY) / begun.elapsed().as_secs_f64();
        println!("{queue_type}: hint to take p50 {:.2} ms, p99 {:.2} ms; {rate:.0} hints/s; {:?}", at(50), at(99), scheduler.stats());
        scheduler.close().await;
        worker.close().await;
    }
    Ok(())
}

fn key(idx: i32) -> AttemptKey {
    AttemptKey { instance: InstanceKey { run: RunKey(1), idx, map_index: -1 }, attempt: 1 }
}
