//! Lease groups: owned by one worker at a time, taken over in one step, never removed while they hold something (I10).

use std::time::Instant;

use sqlx::PgPool;
use updraft_model::state::Intent;
use updraft_store::{RunningAttempt, Store, WorkerRow};
use uuid::Uuid;

use crate::fixture::{Fixture, exit, key, wide};

pub(crate) async fn worker(store: &Store) -> Uuid {
    let id = Uuid::new_v4();
    let row =
        WorkerRow { id, host: "here".to_owned(), pid: 1, runner: "process".to_owned(), queues: vec!["default".to_owned()], concurrency: 4 };
    store.worker_register(&row).await.unwrap();
    id
}

#[sqlx::test(migrations = "../../migrations")]
async fn of_two_adopters_one_wins(db: PgPool) {
    let f = Fixture::new(&db);
    let many = wide(&db, 4);
    let store = Store::from_pool(many.clone());
    for _ in 0..20 {
        let seen = f.group().await;
        let (a, b) = (Uuid::new_v4(), Uuid::new_v4());
        let (first, second) = tokio::join!(store.group_adopt(&seen, a), store.group_adopt(&seen, b));
        let won: Vec<_> = [first.unwrap(), second.unwrap()].into_iter().flatten().collect();
        assert_eq!(won.len(), 1);
        assert_eq!((won[0].epoch, won[0].beat), (seen.epoch + 1, 0));
        // The winner may ask again, as it must when it did not hear of it; nobody else.
        let winner = won[0].owner.unwrap();
        assert_eq!(store.group_adopt(&seen, winner).await.unwrap().unwrap().epoch, seen.epoch + 1);
        assert!(store.group_adopt(&seen, if winner == a { b } else { a }).await.unwrap().is_none());
    }
    many.close().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_beat_moves_my_groups_and_refuses_an_adopter_that_saw_the_one_before(db: PgPool) {
    let f = Fixture::new(&db);
    let me = worker(&f.store).await;
    let group = f.store.group_create(me, "here").await.unwrap();
    let other = f.group().await;
    let beat = f.store.worker_beat(me).await.unwrap();
    assert_eq!(beat.groups, [(group.id, group.epoch)]);
    assert_eq!(f.one::<i64>(&format!("select beat from lease_group where id = '{}'", group.id)).await, group.beat + 1);
    assert_eq!(f.one::<i64>(&format!("select beat from lease_group where id = '{}'", other.id)).await, other.beat);
    assert!(f.store.group_adopt(&group, Uuid::new_v4()).await.unwrap().is_none());
    let thief = Uuid::new_v4();
    let now = updraft_store::GroupRow { beat: group.beat + 1, ..group };
    assert!(f.store.group_adopt(&now, thief).await.unwrap().is_some());
    assert!(f.store.worker_beat(me).await.unwrap().groups.is_empty(), "the old owner learns it with its next beat");
    assert_eq!(f.store.worker_beat(thief).await.unwrap().groups, [(now.id, now.epoch + 1)]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_beat_tells_the_intents_of_my_attempts_only(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(2).await;
    let _mine = f.start(run, 0, |_| {}).await;
    let _other = f.start(run, 1, |_| {}).await;
    let owners: Vec<Uuid> = sqlx::query_scalar("select g.owner from live_attempt l join lease_group g on g.id = l.group_id order by l.idx")
        .fetch_all(&f.db)
        .await
        .unwrap();
    assert!(f.store.worker_beat(owners[0]).await.unwrap().intents.is_empty());
    let effect = f.store.intent_request(run, &[(0, -1)], Intent::Cancel, "me").await.unwrap();
    assert_eq!(effect[0].told, Some(owners[0]));
    assert_eq!(f.store.worker_beat(owners[0]).await.unwrap().intents, [key(run, 0, 1)]);
    assert!(f.store.worker_beat(owners[1]).await.unwrap().intents.is_empty());
}

#[sqlx::test(migrations = "../../migrations")]
async fn i10_a_group_of_500_attempts_is_adopted_in_one_step(db: PgPool) {
    let f = Fixture::new(&db);
    f.run_sql("update pool set slots = -1").await;
    let run = f.run(500).await;
    f.schedule(run, 0..500).await;
    let keys: Vec<_> = f.admit_all().await.iter().map(|a| a.key).collect();
    let dead = f.group().await;
    assert_eq!(f.claim(&dead, &keys).await.len(), 500);
    let me = worker(&f.store).await;
    let begin = Instant::now();
    let foreign = f.store.groups_foreign(me, Some("here")).await.unwrap();
    assert_eq!(foreign, std::slice::from_ref(&dead));
    let mine = f.store.group_adopt(&foreign[0], me).await.unwrap().unwrap();
    let attempts = f.store.attempts_of_group(mine.id).await.unwrap();
    let took = begin.elapsed();
    println!("adopted 500 attempts in {took:?}");
    assert_eq!(attempts.len(), 500);
    assert!(took.as_secs() < 2, "{took:?}");
    assert!(f.store.groups_foreign(me, None).await.unwrap().is_empty());
    let ends: Vec<_> = attempts.into_iter().map(|a| a.finish(exit(0))).collect();
    assert_eq!(f.store.attempts_finish(&ends).await.unwrap().len(), 500);
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn hand_over_leaves_groups_for_the_next_and_removes_empty_ones(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(1).await;
    f.schedule(run, [0]).await;
    f.admit(|_| {}).await;
    let me = worker(&f.store).await;
    let (full, _empty) = (f.store.group_create(me, "here").await.unwrap(), f.store.group_create(me, "here").await.unwrap());
    let running = f.claim(&full, &[key(run, 0, 1)]).await;
    f.store.groups_hand_over(me).await.unwrap();
    let left = f.store.groups_foreign(Uuid::new_v4(), Some("here")).await.unwrap();
    assert_eq!(left.iter().map(|g| (g.id, g.owner)).collect::<Vec<_>>(), [(full.id, None)]);
    assert!(f.store.groups_foreign(Uuid::new_v4(), Some("elsewhere")).await.unwrap().is_empty());
    assert_eq!(f.count("lease_group").await, 1);
    // What was handed over can still end: the evidence is true whoever saw it.
    assert_eq!(f.finish(running.into_iter().next().unwrap(), exit(0)).await.state, "success");
    f.store.groups_prune().await.unwrap();
    assert_eq!(f.count("lease_group").await, 0, "I7: no open lease is left");
}

#[sqlx::test(migrations = "../../migrations")]
async fn i10_a_group_is_not_pruned_while_a_claim_puts_attempts_into_it(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(1).await;
    f.schedule(run, [0]).await;
    f.admit(|_| {}).await;
    // Its worker has no row: by the rules of pruning it is as good as gone, but it lives.
    let group = f.group().await;
    let mut claim = f.db.begin().await.unwrap();
    sqlx::query("select 1 from lease_group where id = $1 for share").bind(group.id).execute(&mut *claim).await.unwrap();
    sqlx::query("update live_attempt set state = 'running', group_id = $1, started_at = now()")
        .bind(group.id)
        .execute(&mut *claim)
        .await
        .unwrap();
    // The sweep of another worker must neither wait for the claim nor remove its group afterwards.
    f.store.groups_prune().await.unwrap();
    claim.commit().await.unwrap();
    f.store.groups_prune().await.unwrap();
    assert_eq!(f.count("lease_group").await, 1);
    assert_eq!(f.store.attempts_of_group(group.id).await.unwrap().iter().map(RunningAttempt::key).collect::<Vec<_>>(), [key(run, 0, 1)]);
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_living_workers_empty_group_stays_and_a_stopped_ones_goes(db: PgPool) {
    let f = Fixture::new(&db);
    let me = worker(&f.store).await;
    f.store.group_create(me, "here").await.unwrap();
    f.store.groups_prune().await.unwrap();
    assert_eq!(f.count("lease_group").await, 1);
    f.store.worker_leave(me).await.unwrap();
    f.store.groups_prune().await.unwrap();
    assert_eq!(f.count("lease_group").await, 0);
}
