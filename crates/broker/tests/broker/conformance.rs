//! What callers rely on, over every wire.

use std::collections::BTreeSet;
use std::time::Duration;

use updraft_broker::Notices;
use updraft_model::RunKey;
use uuid::Uuid;

use crate::harness::{Installation, collect, default_queue, key, keys, within};

macro_rules! over_every_wire {
    ($wire:ident: $($name:ident)*) => {
        mod $wire {
            $(#[tokio::test]
            async fn $name() {
                if let Some(it) = super::Installation::$wire() {
                    super::$name(it).await;
                }
            })*
        }
    };
    ($($name:ident)*) => {
        over_every_wire! { in_process: $($name)* }
        over_every_wire! { classic: $($name)* }
        over_every_wire! { quorum: $($name)* }
    };
}

over_every_wire! {
    a_hint_is_taken_once_and_is_gone_when_done
    a_hint_that_comes_while_somebody_waits_is_seen
    nobody_gets_more_than_its_room_and_the_rest_stays_for_others
    one_slot_and_a_thousand_hints_leave_work_for_a_second_worker
    one_slot_works_through_many_hints
    dropped_without_done_comes_again
    queues_are_apart_and_one_worker_may_have_several
    a_trace_travels_with_its_hints
    wakes_are_merged
    notices_reach_only_their_worker
}

async fn a_hint_is_taken_once_and_is_gone_when_done(it: Installation) {
    let (scheduler, worker) = (it.end().await, it.end().await);
    scheduler.hint("default", (0..3).map(key));
    let mut hints = worker.hints(default_queue());
    assert_eq!(collect(&mut hints, 10, &keys(0..3)).await, 0);
    drop(hints);
    worker.close().await;
    // Whatever had not been acknowledged would come now, before the one that is sent now.
    let mut hints = it.end().await.hints(default_queue());
    scheduler.hint("default", [key(99)]);
    collect(&mut hints, 10, &keys(99..100)).await;
}

async fn a_hint_that_comes_while_somebody_waits_is_seen(it: Installation) {
    let (scheduler, worker) = (it.end().await, it.end().await);
    let mut hints = worker.hints(default_queue());
    let waiting = tokio::spawn(async move { collect(&mut hints, 1, &keys(0..1)).await });
    tokio::task::yield_now().await;
    scheduler.hint("default", [key(0)]);
    within("the hint", waiting).await.unwrap();
}

async fn nobody_gets_more_than_its_room_and_the_rest_stays_for_others(it: Installation) {
    let (scheduler, one, two) = (it.end().await, it.end().await, it.end().await);
    scheduler.hint("default", (0..40).map(key));
    let mut first = one.hints(default_queue());
    let taken = within("a first hint", first.take(7)).await;
    assert!((1..=7).contains(&taken.keys.len()), "{}", taken.keys.len());
    let mine: BTreeSet<_> = taken.keys.iter().copied().collect();
    taken.done();
    let others: BTreeSet<_> = keys(0..40).difference(&mine).copied().collect();
    collect(&mut two.hints(default_queue()), 64, &others).await;
}

async fn one_slot_and_a_thousand_hints_leave_work_for_a_second_worker(it: Installation) {
    let (scheduler, one, two) = (it.end().await, it.end().await, it.end().await);
    let mut first = one.hints(default_queue());
    scheduler.hint("default", (0..1_000).map(key));
    let taken = within("a first hint", first.take(1)).await;
    assert_eq!(taken.keys.len(), 1);
    // Its claim takes long, its command longer: it never asks again, and holds on to its handle.
    let others: BTreeSet<_> = keys(0..1_000).difference(&taken.keys.iter().copied().collect()).copied().collect();
    let doubled = collect(&mut two.hints(default_queue()), 64, &others).await;
    assert_eq!(doubled, 0);
    taken.done();
}

async fn one_slot_works_through_many_hints(it: Installation) {
    let (scheduler, worker) = (it.end().await, it.end().await);
    scheduler.hint("default", (0..200).map(key));
    let doubled = collect(&mut worker.hints(default_queue()), 1, &keys(0..200)).await;
    assert_eq!(doubled, 0, "hints came twice without anything having failed");
}

async fn dropped_without_done_comes_again(it: Installation) {
    let (scheduler, worker, other) = (it.end().await, it.end().await, it.end().await);
    scheduler.hint("default", (0..5).map(key));
    let mut hints = worker.hints(default_queue());
    drop(within("a hint", hints.take(2)).await);
    drop(hints);
    collect(&mut other.hints(default_queue()), 10, &keys(0..5)).await;
}

async fn queues_are_apart_and_one_worker_may_have_several(it: Installation) {
    let (scheduler, worker, other) = (it.end().await, it.end().await, it.end().await);
    scheduler.hint("gpu", [key(1)]);
    scheduler.hint("default", [key(0)]);
    collect(&mut worker.hints(default_queue()), 10, &keys(0..1)).await;
    scheduler.hint("default", [key(2)]);
    collect(&mut other.hints(vec!["default".to_owned(), "gpu".to_owned()]), 10, &keys(1..3)).await;
}

async fn a_trace_travels_with_its_hints(it: Installation) {
    let (scheduler, worker) = (it.end().await, it.end().await);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    scheduler.hint_traced("default", [key(0)], Some(trace));
    let taken = within("the hint", worker.hints(default_queue()).take(5)).await;
    assert_eq!(taken.traceparents.get(&key(0)).map(AsRef::as_ref), Some(trace));
    taken.done();
}

async fn wakes_are_merged(it: Installation) {
    let (worker, scheduler) = (it.end().await, it.end().await);
    let mut wakes = scheduler.wakes();
    worker.wake(&[RunKey(2), RunKey(1)]);
    worker.wake(&[RunKey(2)]);
    worker.wake_all();
    let (mut runs, mut all) = (BTreeSet::new(), false);
    while runs.len() < 2 || !all {
        let (more, look) = within("the wakes", wakes.take()).await;
        runs.extend(more);
        all |= look;
    }
    assert_eq!(runs, BTreeSet::from([RunKey(1), RunKey(2)]));
    // A backlog of wakes is one wake for each run.
    worker.wake(&[RunKey(5), RunKey(5), RunKey(5)]);
    assert_eq!(within("the wakes", wakes.take()).await, (vec![RunKey(5)], false));
    assert_eq!(wakes.try_take(), (vec![], false));
}

async fn notices_reach_only_their_worker(it: Installation) {
    let (api, one, two) = (it.end().await, it.end().await, it.end().await);
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    let (mut of_first, mut of_second) = (one.notices(first), two.notices(second));
    // A worker that has just come may be told to look once, for what it missed. Told until it hears, it is there.
    for (worker, notices) in [(first, &mut of_first), (second, &mut of_second)] {
        within("a notice", async {
            loop {
                api.notify(worker);
                if tokio::time::timeout(Duration::from_millis(200), notices.take()).await.is_ok() {
                    return;
                }
            }
        })
        .await;
        quiet(notices).await;
    }
    api.notify(first);
    within("its notice", of_first.take()).await;
    let other = tokio::time::timeout(Duration::from_millis(200), of_second.take()).await;
    assert!(other.is_err(), "a notice reached another worker");
}

/// Takes until nothing comes any more.
async fn quiet(notices: &mut Notices) {
    while tokio::time::timeout(Duration::from_millis(200), notices.take()).await.is_ok() {}
}
