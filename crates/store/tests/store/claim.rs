//! The claim: each attempt goes to one worker, whatever the hints say (I2, I3, I10).

use std::collections::BTreeSet;

use sqlx::PgPool;
use updraft_model::AttemptKey;
use updraft_store::read::fleet::Drained;
use updraft_store::{Claimed, GroupRow, RunningAttempt, Store};
use uuid::Uuid;

use crate::fixture::{Fixture, exit, key, step, wide};

async fn pull(store: &Store, group: &GroupRow, queues: &[&str], limit: i64) -> Vec<AttemptKey> {
    let queues: Vec<String> = queues.iter().map(|q| (*q).to_owned()).collect();
    match store.attempts_pull(&queues, limit, group.id, group.owner.unwrap(), group.epoch, "here").await.unwrap() {
        Claimed::Attempts(attempts) => attempts.iter().map(RunningAttempt::key).collect(),
        lost => panic!("{lost:?}"),
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn i2_many_claimers_of_the_same_hints_get_each_key_once(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(120).await;
    f.schedule(run, 0..120).await;
    let keys: Vec<AttemptKey> = f.admit_all().await.iter().map(|a| a.key).collect();
    assert_eq!(keys.len(), 120);
    let many = wide(&db, 8);
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..4 {
        let f = Fixture::new(&many);
        let mut keys = keys.clone();
        if worker % 2 == 1 {
            keys.reverse();
        }
        tasks.spawn(async move {
            let group = f.group().await;
            let mut mine = Vec::new();
            for part in keys.chunks(16) {
                // Each hint comes twice in one message, too.
                let doubled: Vec<_> = part.iter().chain(part).copied().collect();
                mine.extend(f.claim(&group, &doubled).await.iter().map(RunningAttempt::key));
                mine.extend(pull(&f.store, &group, &["default"], 1).await);
            }
            mine
        });
    }
    let mut claimed = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        claimed.extend(joined.unwrap());
    }
    many.close().await;
    assert_eq!(claimed.len(), 120);
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), keys.into_iter().collect());
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn i3_stale_duplicate_and_unknown_hints_claim_nothing(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(1).await;
    let attempt = f.start(run, 0, |_| {}).await;
    let group = f.group().await;
    assert!(f.claim(&group, &[key(run, 0, 1)]).await.is_empty(), "it runs");
    f.finish(attempt, exit(1)).await;
    f.commit(run, vec![step(run, 0, "up_for_retry", "scheduled")]).await;
    f.admit(|_| {}).await;
    assert!(f.claim(&group, &[key(run, 0, 1), key(run, 0, 3), key(run, 7, 1)]).await.is_empty());
    assert_eq!(f.claim(&group, &[key(run, 0, 2)]).await[0].key(), key(run, 0, 2));
    assert!(f.claim(&group, &[]).await.is_empty());
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_group_that_is_not_mine_any_more_claims_nothing_and_says_so(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(1).await;
    f.schedule(run, [0]).await;
    f.admit(|_| {}).await;
    let group = f.group().await;
    let (owner, hints) = (group.owner.unwrap(), [key(run, 0, 1)]);
    let taken = f.store.group_adopt(&group, Uuid::new_v4()).await.unwrap().unwrap();
    let lost = f.store.attempts_claim(&hints, group.id, owner, group.epoch, "here").await.unwrap();
    assert!(matches!(lost, Claimed::GroupLost));
    // Mine again, by an id that came back: the epoch still tells them apart.
    let back = f.store.group_adopt(&taken, owner).await.unwrap().unwrap();
    let lost = f.store.attempts_pull(&["default".to_owned()], 9, group.id, owner, group.epoch, "here").await.unwrap();
    assert!(matches!(lost, Claimed::GroupLost));
    assert_eq!(f.claim(&back, &hints).await.len(), 1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_claim_without_an_answer_is_found_and_fenced(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(2).await;
    f.schedule(run, [0, 1]).await;
    f.admit(|_| {}).await;
    let group = f.group().await;
    let owner = group.owner.unwrap();
    // Nobody hears of this one.
    assert_eq!(f.claim(&group, &[key(run, 0, 1)]).await.len(), 1);
    // Asked twice, since the first answer may be lost, too.
    for _ in 0..2 {
        assert_eq!(f.store.group_renew(&group, owner).await.unwrap(), Some(group.epoch + 1));
    }
    let found: Vec<_> = f.store.attempts_of_group(group.id).await.unwrap().iter().map(RunningAttempt::key).collect();
    assert_eq!(found, [key(run, 0, 1)]);
    // A claim that reaches the server only now takes nothing.
    let late = f.store.attempts_claim(&[key(run, 1, 1)], group.id, owner, group.epoch, "here").await.unwrap();
    assert!(matches!(late, Claimed::GroupLost));
    let renewed = updraft_store::GroupRow { epoch: group.epoch + 1, ..group };
    assert_eq!(f.claim(&renewed, &[key(run, 1, 1)]).await.len(), 1);
    // Somebody else's is not mine to renew.
    assert_eq!(f.store.group_renew(&renewed, Uuid::new_v4()).await.unwrap(), None);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_pull_takes_the_highest_priority_of_its_queues_up_to_its_limit(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(6).await;
    let moves = (0..6).map(|i| updraft_store::MoveRow { prio: i, ..step(run, i, "none", "scheduled") }).collect();
    f.commit(run, moves).await;
    f.admit(|c| c.queue = if c.key.instance.idx == 5 { "gpu" } else { "default" }.to_owned()).await;
    let group = f.group().await;
    let took: BTreeSet<_> = pull(&f.store, &group, &["default"], 2).await.into_iter().collect();
    assert_eq!(took, BTreeSet::from([key(run, 4, 1), key(run, 3, 1)]));
    assert!(pull(&f.store, &group, &["nobody"], 9).await.is_empty());
    assert_eq!(pull(&f.store, &group, &["gpu"], 9).await, [key(run, 5, 1)]);
    assert!(pull(&f.store, &group, &["default"], 0).await.is_empty());
    assert_eq!(pull(&f.store, &group, &["default", "gpu"], 9).await.len(), 3);
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_claim_passes_over_what_another_transaction_holds_instead_of_waiting(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(2).await;
    f.schedule(run, [0, 1]).await;
    f.admit(|_| {}).await;
    let mut other = f.db.begin().await.unwrap();
    sqlx::query("select 1 from live_attempt where idx = 0 for update").execute(&mut *other).await.unwrap();
    let group = f.group().await;
    let mine = f.claim(&group, &[key(run, 0, 1), key(run, 1, 1)]).await;
    assert_eq!(mine.iter().map(RunningAttempt::key).collect::<Vec<_>>(), [key(run, 1, 1)]);
    other.rollback().await.unwrap();
    assert_eq!(f.claim(&group, &[key(run, 0, 1)]).await.len(), 1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn in_a_maintenance_nothing_is_admitted_or_claimed_and_what_runs_ends(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(3).await;
    let running = f.start(run, 0, |_| {}).await;
    f.schedule(run, [1]).await;
    let queued: Vec<AttemptKey> = f.admit(|_| {}).await.iter().map(|a| a.key).collect();
    f.schedule(run, [2]).await;
    let group = f.group().await;
    let begun = f.store.maintenance_begin("ops", Some("upgrade")).await.unwrap();
    assert!(begun.since.is_some());
    assert_eq!(f.store.maintenance_begin("ops", None).await.unwrap().since, begun.since, "it began once");
    assert!(f.claim(&group, &queued).await.is_empty());
    assert!(pull(&f.store, &group, &["default"], 10).await.is_empty());
    let heads = f.store.admit_heads("default_pool").await.unwrap().expect("the pool is there");
    assert!(heads.heads.is_empty());
    f.finish(running, exit(0)).await;
    assert_eq!(f.state(run, 0).await, "success");
    assert_eq!(f.store.maintenance_end().await.unwrap().since, None);
    assert_eq!(f.claim(&group, &queued).await.len(), 1);
    assert_eq!(f.store.admit_heads("default_pool").await.unwrap().unwrap().heads.len(), 1);
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn nothing_is_claimed_for_a_worker_that_drains(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(3).await;
    f.schedule(run, 0..3).await;
    f.admit_all().await;
    let me = crate::lease::worker(&f.store).await;
    let group = f.store.group_create(me, "here").await.unwrap();
    assert_eq!(f.claim(&group, &[key(run, 0, 1)]).await.len(), 1);
    assert!(!f.store.worker_beat(me).await.unwrap().draining);

    assert_eq!(f.store.worker_drain(me, "eve", Some("node upgrade")).await.unwrap(), Drained::Yes);
    let since = f.store.fleet_worker_list().await.unwrap()[0].draining_since;
    let claimed = f.store.attempts_claim(&[key(run, 1, 1)], group.id, me, group.epoch, "here").await.unwrap();
    assert!(matches!(claimed, Claimed::Draining), "{claimed:?}");
    let pulled = f.store.attempts_pull(&["default".to_owned()], 9, group.id, me, group.epoch, "here").await.unwrap();
    assert!(matches!(pulled, Claimed::Draining), "{pulled:?}");
    let beat = f.store.worker_beat(me).await.unwrap();
    assert!(beat.draining, "it hears of it");
    assert_eq!(beat.groups, [(group.id, group.epoch)], "what it watches it goes on watching");
    // Another one takes, and a second word does not begin the time anew.
    assert_eq!(f.claim(&f.group().await, &[key(run, 1, 1)]).await.len(), 1);
    assert_eq!(f.store.worker_drain(me, "eve", None).await.unwrap(), Drained::Yes);
    let row = f.store.fleet_worker_list().await.unwrap().remove(0);
    assert_eq!((row.draining_since, row.running), (since, 1));

    assert!(f.store.worker_undrain(me).await.unwrap());
    assert!(!f.store.worker_beat(me).await.unwrap().draining);
    assert_eq!(f.claim(&group, &[key(run, 2, 1)]).await.len(), 1);
    f.store.worker_leave(me).await.unwrap();
    assert_eq!(f.store.worker_drain(me, "eve", None).await.unwrap(), Drained::Gone);
    assert_eq!(f.store.worker_drain(Uuid::new_v4(), "eve", None).await.unwrap(), Drained::Unknown);
    assert!(!f.store.worker_undrain(Uuid::new_v4()).await.unwrap());
}
