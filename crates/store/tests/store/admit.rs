//! admit-commit: what is queued never exceeds a limit (I9), and nobody starves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::PgPool;
use updraft_model::RunKey;
use updraft_planner::{AdmitHead, admit};
use updraft_store::{Admission, Candidate, Claimed, Store};

use crate::fixture::{Fixture, candidate, exit, key, step, wide};

/// One admission as a scheduler does it, with the planner's fair order.
async fn admit_once(store: &Store, most: usize) -> Vec<Admission> {
    let heads = store.admit_heads("default_pool").await.unwrap().unwrap();
    let offered: Vec<AdmitHead> =
        heads.heads.iter().map(|h| AdmitHead { run: h.run, slots: h.slots, vtime: h.vtime, run_room: None }).collect();
    let candidates: Vec<Candidate> = admit(&offered, heads.free, most).into_iter().map(|i| candidate(&heads.heads[i])).collect();
    store.admit_commit("default_pool", &candidates).await.unwrap()
}

async fn pool(f: &Fixture, slots: i32) {
    f.run_sql(&format!("update pool set slots = {slots}")).await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn i9_a_pool_is_never_exceeded_by_four_admitters(db: PgPool) {
    const POOL: i64 = 37;
    let f = Fixture::new(&db);
    pool(&f, i32::try_from(POOL).unwrap()).await;
    let runs = f.runs(4, 250).await;
    for run in &runs {
        f.schedule(*run, 0..250).await;
    }
    let many = wide(&db, 12);
    let done = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (store, many, done) = (Store::from_pool(many.clone()), many.clone(), Arc::clone(&done));
        tasks.spawn(async move {
            while done.load(Ordering::SeqCst) < 1000 {
                let admitted = admit_once(&store, 64).await;
                let mut other = many.acquire().await.unwrap();
                let held: i64 =
                    sqlx::query_scalar("select coalesce(sum(slots), 0) from live_attempt").fetch_one(&mut *other).await.unwrap();
                assert!(held <= POOL, "{held} slots are held");
                if admitted.is_empty() {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    for _ in 0..2 {
        let (f, done) = (Fixture::new(&many), Arc::clone(&done));
        let group = f.group().await;
        tasks.spawn(async move {
            while done.load(Ordering::SeqCst) < 1000 {
                let queues = ["default".to_owned()];
                let Claimed::Attempts(mine) =
                    f.store.attempts_pull(&queues, 9, group.id, group.owner.unwrap(), group.epoch, "here").await.unwrap()
                else {
                    panic!("the group is lost")
                };
                let ends: Vec<_> = mine.into_iter().map(|a| a.finish(exit(0))).collect();
                done.fetch_add(f.store.attempts_finish(&ends).await.unwrap().len(), Ordering::SeqCst);
            }
        });
    }
    while let Some(joined) = tasks.join_next().await {
        joined.unwrap();
    }
    many.close().await;
    assert_eq!(f.count("attempt where state = 'success'").await, 1000);
    assert_eq!(f.count("pool_run").await, 0);
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn twenty_runs_get_their_fair_share(db: PgPool) {
    let f = Fixture::new(&db);
    pool(&f, 200).await;
    let runs = f.runs(20, 100).await;
    // One run comes first and has everything to itself for a while.
    f.schedule(runs[0], 0..100).await;
    let mut first = 0;
    while first < 20 {
        first += admit_once(&f.store, 10).await.len();
    }
    for run in &runs[1..] {
        f.schedule(*run, 0..100).await;
    }
    let many = wide(&db, 4);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = Store::from_pool(many.clone());
        tasks.spawn(async move { while !admit_once(&store, 7).await.is_empty() {} });
    }
    while let Some(joined) = tasks.join_next().await {
        joined.unwrap();
    }
    many.close().await;
    // An admitter may stop for a while because the others took what it saw.
    while !admit_once(&f.store, 7).await.is_empty() {}
    let held: Vec<(i64, i64)> = sqlx::query_as("select run_id, count(*) from live_attempt group by run_id").fetch_all(&f.db).await.unwrap();
    let held: BTreeMap<i64, i64> = held.into_iter().collect();
    assert_eq!(held.values().sum::<i64>(), 200);
    let late: Vec<i64> = runs[1..].iter().map(|r| held.get(&r.0).copied().unwrap_or(0)).collect();
    let (least, most) = (late.iter().min().unwrap(), late.iter().max().unwrap());
    assert!(most - least <= 4, "{late:?}");
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn attempt_numbers_go_up_by_one_and_stale_candidates_are_left_out(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(2).await;
    f.schedule(run, [0, 1]).await;
    let heads = f.store.admit_heads("default_pool").await.unwrap().unwrap();
    let mut stale = candidate(&heads.heads[0]);
    stale.key.attempt = 2;
    assert!(f.store.admit_commit("default_pool", &[stale]).await.unwrap().is_empty());
    let before = f.seq(run).await.0;
    let admitted = f.admit(|_| {}).await;
    assert_eq!(admitted.iter().map(|a| a.key).collect::<Vec<_>>(), [key(run, 0, 1), key(run, 1, 1)]);
    assert!(admitted.iter().all(|a| a.base == before && a.seq == before + 2), "{admitted:?}");
    assert!(!f.dirty(run).await, "an admission is the planner's own");
    // A second scheduler that saw the same heads.
    let again: Vec<_> = heads.heads.iter().map(candidate).collect();
    assert!(f.store.admit_commit("default_pool", &again).await.unwrap().is_empty());
    let mine = f.claim(&f.group().await, &[key(run, 0, 1)]).await.pop().unwrap();
    assert_eq!(f.finish(mine, exit(1)).await.state, "up_for_retry");
    f.commit(run, vec![step(run, 0, "up_for_retry", "scheduled")]).await;
    assert_eq!(f.admit(|_| {}).await[0].key, key(run, 0, 2));
    f.assert_consistent().await;
}

async fn admitted_of(f: &Fixture, with: impl Fn(&mut Candidate)) -> Vec<(RunKey, i32)> {
    f.admit(with).await.iter().map(|a| (a.key.instance.run, a.key.instance.idx)).collect()
}

#[sqlx::test(migrations = "../../migrations")]
async fn i9_the_limit_of_a_run_parks_it_until_one_of_its_tasks_ends(db: PgPool) {
    let f = Fixture::new(&db);
    let runs = f.runs(2, 5).await;
    f.schedule(runs[0], 0..5).await;
    let two = |c: &mut Candidate| c.run_limit = Some(2);
    assert_eq!(admitted_of(&f, two).await, [(runs[0], 0), (runs[0], 1)]);
    assert_eq!(admitted_of(&f, two).await, []);
    assert_eq!(f.count("pool_run where parked").await, 1);
    // Parked: not among the heads, and not in the way of another run.
    f.schedule(runs[1], [0]).await;
    assert_eq!(admitted_of(&f, two).await, [(runs[1], 0)]);
    let mine = f.claim(&f.group().await, &[key(runs[0], 0, 1)]).await.pop().unwrap();
    f.finish(mine, exit(0)).await;
    assert_eq!(f.count("pool_run where parked").await, 0);
    assert_eq!(admitted_of(&f, two).await, [(runs[0], 2)]);
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn i9_the_limit_of_a_dag_counts_all_its_runs_and_no_other(db: PgPool) {
    let f = Fixture::new(&db);
    let runs = f.runs(3, 4).await;
    let other = f.runs_of("other", 1, 4).await[0];
    for run in runs.iter().chain([&other]) {
        f.schedule(*run, 0..4).await;
    }
    let three = |c: &mut Candidate| {
        c.dag_limit = Some(3);
        if c.key.instance.run == other {
            c.dag_id = "other".to_owned();
        }
    };
    let admitted = admitted_of(&f, three).await;
    assert_eq!(admitted.len(), 6);
    assert_eq!(admitted.iter().filter(|a| a.0 == other).count(), 3);
    assert!(admitted_of(&f, three).await.is_empty());
    // The end of a task of one run lets another run of the DAG go on.
    assert_eq!(f.count("pool_run where parked and dag_id = 'd'").await, 3);
    let (run, idx) = *admitted.iter().find(|a| a.0 != other).unwrap();
    let mine = f.claim(&f.group().await, &[key(run, idx, 1)]).await.pop().unwrap();
    f.finish(mine, exit(0)).await;
    assert_eq!(f.count("pool_run where parked and dag_id = 'd'").await, 0);
    assert_eq!(admitted_of(&f, three).await.len(), 1);
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn i9_the_limit_of_a_dag_holds_with_four_admitters(db: PgPool) {
    let f = Fixture::new(&db);
    let runs = f.runs(8, 10).await;
    for run in &runs {
        f.schedule(*run, 0..10).await;
    }
    let heads = f.store.admit_heads("default_pool").await.unwrap().unwrap().heads;
    let many = wide(&db, 4);
    let mut tasks = tokio::task::JoinSet::new();
    for part in heads.chunks(20) {
        let candidates: Vec<_> = part.iter().map(|h| Candidate { dag_limit: Some(7), task_limit: Some(3), ..candidate(h) }).collect();
        let store = Store::from_pool(many.clone());
        tasks.spawn(async move { store.admit_commit("default_pool", &candidates).await.unwrap().len() });
    }
    let mut admitted = 0;
    while let Some(joined) = tasks.join_next().await {
        admitted += joined.unwrap();
    }
    many.close().await;
    assert_eq!((admitted, f.count("live_attempt").await), (7, 7));
    assert_eq!(f.count("(select idx from live_attempt group by idx having count(*) > 3) x").await, 0);
}

#[sqlx::test(migrations = "../../migrations")]
async fn i9_the_limit_of_a_task_counts_its_instances_in_all_runs(db: PgPool) {
    let f = Fixture::new(&db);
    let runs = f.runs(3, 2).await;
    for run in &runs {
        f.schedule(*run, 0..2).await;
    }
    let one = |c: &mut Candidate| c.task_limit = (c.key.instance.idx == 0).then_some(1);
    let admitted = admitted_of(&f, one).await;
    assert_eq!(admitted.iter().filter(|a| a.1 == 0).count(), 1);
    assert_eq!(admitted.iter().filter(|a| a.1 == 1).count(), 3, "the others do not wait for it");
    assert!(admitted_of(&f, one).await.is_empty());
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_sweep_unparks_and_names_the_pools_in_which_something_waits(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(3).await;
    assert!(f.store.pools_unpark().await.unwrap().is_empty());
    f.schedule(run, 0..3).await;
    let none = |c: &mut Candidate| c.run_limit = Some(0);
    assert!(admitted_of(&f, none).await.is_empty());
    assert!(f.store.admit_heads("default_pool").await.unwrap().unwrap().heads.is_empty());
    assert_eq!(f.store.pools_unpark().await.unwrap(), ["default_pool"]);
    assert_eq!(f.store.admit_heads("default_pool").await.unwrap().unwrap().heads.len(), 3);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_pool_without_limit_takes_all_and_a_missing_pool_none(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(300).await;
    f.schedule(run, 0..300).await;
    pool(&f, 0).await;
    assert!(f.admit(|_| {}).await.is_empty());
    pool(&f, -1).await;
    assert_eq!(f.admit_all().await.len(), 300);
    assert!(f.store.admit_heads("nowhere").await.unwrap().is_none());
    let stray = crate::fixture::candidate_of(key(run, 0, 2));
    assert!(f.store.admit_commit("nowhere", &[stray]).await.unwrap().is_empty());
}

async fn schedule_with_slots(f: &Fixture, run: RunKey, slots: &[(i32, i32)]) {
    let moves = slots.iter().map(|(idx, n)| updraft_store::MoveRow { slots: *n, ..step(run, *idx, "none", "scheduled") }).collect();
    assert!(f.commit(run, moves).await.fresh);
}

#[sqlx::test(migrations = "../../migrations")]
async fn i9_a_task_of_many_slots_holds_them_all_and_is_not_overtaken(db: PgPool) {
    let f = Fixture::new(&db);
    pool(&f, 5).await;
    let run = f.run(4).await;
    schedule_with_slots(&f, run, &[(0, 3), (1, 3), (2, 1)]).await;
    assert_eq!(admitted_of(&f, |_| {}).await, [(run, 0)], "task 2 would fit, but task 1 would wait for ever behind such");
    assert_eq!(f.store.admit_heads("default_pool").await.unwrap().unwrap().free, 2);
    let mine = f.claim(&f.group().await, &[key(run, 0, 1)]).await.pop().unwrap();
    f.finish(mine, exit(0)).await;
    assert_eq!(admitted_of(&f, |_| {}).await, [(run, 1), (run, 2)]);
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn i1_a_task_larger_than_its_whole_pool_stands_in_nobodys_way(db: PgPool) {
    let f = Fixture::new(&db);
    pool(&f, 2).await;
    let runs = f.runs(42, 2).await;
    schedule_with_slots(&f, runs[0], &[(0, 3), (1, 1)]).await;
    // More runs than are looked at have nothing that could ever fit: they must not take the places of the last one.
    for run in &runs[1..41] {
        schedule_with_slots(&f, *run, &[(0, 3), (1, 3)]).await;
    }
    schedule_with_slots(&f, runs[41], &[(0, 1)]).await;
    let heads = f.store.admit_heads("default_pool").await.unwrap().unwrap();
    assert_eq!(heads.heads.iter().map(|h| (h.run, h.idx)).collect::<Vec<_>>(), [(runs[0], 1), (runs[41], 0)]);
    assert_eq!(admitted_of(&f, |_| {}).await, [(runs[0], 1), (runs[41], 0)]);
    // Offered all the same, by a scheduler that saw a larger pool:
    let too_large = crate::fixture::candidate_of(key(runs[0], 0, 1));
    assert!(f.store.admit_commit("default_pool", &[too_large]).await.unwrap().is_empty());
    pool(&f, 8).await;
    assert_eq!(admitted_of(&f, |_| {}).await.len(), 2, "two more of three slots, beside the two that are held");
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_cannot_be_rendered_fails_without_an_attempt(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(2).await;
    f.schedule(run, [0]).await;
    assert!(f.store.admit_reject(key(run, 0, 1).instance, "render_error", "no such variable").await.unwrap());
    assert!(!f.store.admit_reject(key(run, 0, 1).instance, "render_error", "again").await.unwrap());
    assert!(!f.store.admit_reject(key(run, 1, 1).instance, "render_error", "not waiting").await.unwrap());
    assert_eq!(f.state(run, 0).await, "failed");
    assert_eq!(f.count("attempt").await + f.count("live_attempt").await + f.count("pool_run").await, 0);
    assert!(f.dirty(run).await, "its downstream must be planned");
    f.assert_consistent().await;
}
