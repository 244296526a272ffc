//! The bind: of all the objects that were made for an attempt, one may start, and only its end counts (I2, I4).

use sqlx::PgPool;
use updraft_model::{AttemptKey, EndFacts, Evidence};
use updraft_store::{Bound, FinishResult, GroupRow, RunningAttempt};
use uuid::Uuid;

use crate::fixture::{Fixture, exit, key, wide};

fn of_pod(uid: Option<&str>, code: i32) -> Evidence {
    Evidence { runner: "kubernetes".to_owned(), handle: uid.map(str::to_owned), ..exit(code) }
}

async fn bind(f: &Fixture, group: &GroupRow, key: AttemptKey, uid: &str) -> Bound {
    f.store.attempts_bind(group.owner.unwrap(), &[(key, uid.to_owned())]).await.unwrap()[0]
}

/// One running attempt and the group that it was claimed into.
async fn running(f: &Fixture) -> (RunningAttempt, GroupRow) {
    let run = f.run(1).await;
    f.schedule(run, [0]).await;
    let admitted = f.admit(|_| {}).await;
    let group = f.group().await;
    (f.claim(&group, &[admitted[0].key]).await.pop().unwrap(), group)
}

async fn adopted(f: &Fixture, group: &GroupRow) -> GroupRow {
    let seen = f.store.groups_foreign(Uuid::new_v4(), None).await.unwrap().into_iter().find(|g| g.id == group.id).unwrap();
    f.store.group_adopt(&seen, Uuid::new_v4()).await.unwrap().unwrap()
}

#[sqlx::test(migrations = "../../migrations")]
async fn i2_one_object_is_bound_for_ever(db: PgPool) {
    let f = Fixture::new(&db);
    let (attempt, group) = running(&f).await;
    assert_eq!(attempt.bound(), None);
    assert_eq!(bind(&f, &group, attempt.key(), "u1").await, Bound::Yes);
    assert_eq!(bind(&f, &group, attempt.key(), "u1").await, Bound::Yes, "asking again changes nothing");
    assert_eq!(bind(&f, &group, attempt.key(), "u2").await, Bound::Refused);
    assert_eq!(f.store.attempts_of_group(group.id).await.unwrap()[0].bound(), Some("u1"));
    assert_eq!(f.finish(attempt, of_pod(Some("u1"), 0)).await.result, FinishResult::Finished);
    assert_eq!(bind(&f, &group, key(updraft_model::RunKey(1), 0, 1), "u1").await, Bound::Refused, "it is over");
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn i2_a_worker_that_lost_its_group_knows_nothing_until_something_is_bound(db: PgPool) {
    let f = Fixture::new(&db);
    let (attempt, group) = running(&f).await;
    let adopter = adopted(&f, &group).await;
    // The adopter may be about to bind this very object: whoever removed it would kill the healthy one.
    assert_eq!(bind(&f, &group, attempt.key(), "u1").await, Bound::NotMine);
    assert_eq!(bind(&f, &adopter, attempt.key(), "u1").await, Bound::Yes);
    assert_eq!(bind(&f, &group, attempt.key(), "u1").await, Bound::NotMine, "bound, but not mine to start");
    assert_eq!(bind(&f, &group, attempt.key(), "u2").await, Bound::Refused, "now it is certain");
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_nobody_wants_any_more_is_not_bound(db: PgPool) {
    let f = Fixture::new(&db);
    let (attempt, group) = running(&f).await;
    let key = attempt.key();
    f.store.intent_request(key.instance.run, &[(0, -1)], updraft_model::state::Intent::Cancel, "ann").await.unwrap();
    assert_eq!(bind(&f, &group, key, "u1").await, Bound::Unwanted);
    let facts = EndFacts { stopped: Some(updraft_model::end::Stopped::Cancelled), ..EndFacts::default() };
    let end = Evidence { runner: "kubernetes".to_owned(), facts, ..Evidence::default() };
    assert_eq!(f.finish(attempt, end).await.result, FinishResult::Finished);
    assert_eq!(f.state(key.instance.run, 0).await, "failed");
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn i4_only_the_bound_object_ends_its_attempt(db: PgPool) {
    let f = Fixture::new(&db);
    let (attempt, group) = running(&f).await;
    let key = attempt.key();
    assert_eq!(bind(&f, &group, key, "u1").await, Bound::Yes);
    let again = |f: &Fixture| {
        let store = f.store.clone();
        async move { store.attempts_of_group(group.id).await.unwrap().pop().unwrap() }
    };
    let other = again(&f).await;
    assert_eq!(f.finish(other, of_pod(Some("u2"), 0)).await.result, FinishResult::Refused);
    let nothing = again(&f).await;
    assert_eq!(f.finish(nothing, of_pod(None, 0)).await.result, FinishResult::Refused, "an end without an object, of a bound attempt");
    assert_eq!(f.state(key.instance.run, 0).await, "queued");
    assert_eq!(f.finish(attempt, of_pod(Some("u1"), 0)).await.result, FinishResult::Finished);
    assert_eq!(f.state(key.instance.run, 0).await, "success");
    f.assert_consistent().await;
}

/// An end without an object and a bind at once: either the object is bound and the end is refused, or the attempt is over and the bind is.
#[sqlx::test(migrations = "../../migrations")]
async fn i2_a_bind_and_an_end_without_an_object_exclude_each_other(db: PgPool) {
    let many = wide(&db, 8);
    let f = Fixture::new(&many);
    let tasks = 60;
    let run = f.run(tasks).await;
    f.schedule(run, 0..60).await;
    let keys: Vec<AttemptKey> = f.admit_all().await.iter().map(|a| a.key).collect();
    let group = f.group().await;
    let attempts = f.claim(&group, &keys).await;
    let mut races = tokio::task::JoinSet::new();
    for attempt in attempts {
        let (binder, finisher, owner, key) = (f.store.clone(), f.store.clone(), group.owner.unwrap(), attempt.key());
        races.spawn(async move {
            let binds = [(key, "u".to_owned())];
            let ends = [attempt.finish(of_pod(None, 1))];
            let (bound, ended) = tokio::join!(binder.attempts_bind(owner, &binds), finisher.attempts_finish(&ends));
            (bound.unwrap()[0], ended.unwrap()[0].result)
        });
    }
    let mut seen = [0, 0];
    while let Some(race) = races.join_next().await {
        match race.unwrap() {
            (Bound::Yes, FinishResult::Refused) => seen[0] += 1,
            (Bound::Refused, FinishResult::Finished) => seen[1] += 1,
            impossible => panic!("{impossible:?}"),
        }
    }
    assert_eq!(seen[0] + seen[1], tasks);
    f.assert_consistent().await;
    many.close().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn only_what_is_known_to_be_over_is_swept(db: PgPool) {
    let f = Fixture::new(&db);
    let (attempt, _) = running(&f).await;
    let key = attempt.key();
    let unknown = AttemptKey { attempt: 77, ..key };
    assert_eq!(f.store.attempts_closed(&[key, unknown]).await.unwrap(), []);
    f.finish(attempt, exit(0)).await;
    assert_eq!(f.store.attempts_closed(&[key, unknown]).await.unwrap(), [(key, true)]);
}
