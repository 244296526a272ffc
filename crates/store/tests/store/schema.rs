//! Migrations, partitions, logs and the sorting of errors.

use std::time::Duration;

use sqlx::PgPool;
use updraft_store::{Error, LogChunk, LogEnd, MigrationState, NewRun, Options, Retry, Store};

use crate::fixture::{Fixture, key, wide};

#[sqlx::test(migrations = false)]
async fn two_roles_may_migrate_an_empty_database_at_once(db: PgPool) {
    let many = [wide(&db, 2), wide(&db, 2)];
    let stores = [Store::from_pool(many[0].clone()), Store::from_pool(many[1].clone())];
    let MigrationState::Behind(missing) = stores[0].migration_state().await.unwrap() else { panic!("it is empty") };
    assert_eq!(missing[..2], [1, 2]);
    let (one, two) = tokio::join!(stores[0].migrate(), stores[1].migrate());
    one.unwrap();
    two.unwrap();
    assert_eq!(stores[1].migration_state().await.unwrap(), MigrationState::Current);
    stores[0].migrate().await.unwrap();
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'newer', true, '', 0)",
    )
    .execute(&db)
    .await
    .unwrap();
    assert_eq!(stores[0].migration_state().await.unwrap(), MigrationState::Ahead(vec![9999]));
    stores[0].migrate().await.expect("after a rollback the older program runs on the newer schema");
    sqlx::query("delete from _sqlx_migrations where version = 2").execute(&db).await.unwrap();
    assert_eq!(stores[0].migration_state().await.unwrap(), MigrationState::Behind(vec![2]));
    for pool in many {
        pool.close().await;
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn partitions_are_made_once_even_by_two_at_once(db: PgPool) {
    let f = Fixture::new(&db);
    let partitions = "pg_inherits where inhparent in ('event'::regclass, 'log_chunk'::regclass)";
    let all = f.count(partitions).await;
    assert_eq!(all, 18, "eight days and the default, of two tables");
    f.store.partitions_ensure().await.unwrap();
    for back in [7, 6, 5] {
        for table in ["event", "log_chunk"] {
            let name: String = f.one(&format!("select '{table}_' || to_char(current_date + {back}, 'YYYYMMDD')")).await;
            f.run_sql(&format!("drop table {name}")).await;
        }
    }
    let many = wide(&db, 4);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = Store::from_pool(many.clone());
        tasks.spawn(async move { store.partitions_ensure().await.unwrap() });
    }
    tasks.join_all().await;
    many.close().await;
    assert_eq!(f.count(partitions).await, all);
}

#[sqlx::test(migrations = "../../migrations")]
async fn i1_a_day_that_went_to_the_default_partition_stops_no_scheduler(db: PgPool) {
    let f = Fixture::new(&db);
    // Nobody was there for more than a week: today has no partition, and an event of today is in the default one.
    for back in [0, 7] {
        let name: String = f.one(&format!("select 'event_' || to_char(current_date + {back}, 'YYYYMMDD')")).await;
        f.run_sql(&format!("drop table {name}")).await;
    }
    let run = f.run(1).await;
    assert!(f.count("event_default").await > 0);
    f.store.partitions_ensure().await.unwrap();
    f.store.partitions_ensure().await.unwrap();
    assert_eq!(f.count("pg_inherits where inhparent = 'event'::regclass").await, 8, "the other days have theirs");
    f.schedule(run, [0]).await;
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_log_chunk_that_is_sent_again_is_stored_once(db: PgPool) {
    let f = Fixture::new(&db);
    let of = key(updraft_model::RunKey(1), 0, 1);
    let chunk = |start, text: &str| LogChunk { key: of, start, data: text.as_bytes().to_vec(), cursor: Some(format!("after {text}")) };
    assert_eq!(f.store.log_end(of).await.unwrap(), LogEnd::default());
    assert_eq!(f.store.log_append(&[chunk(0, "hello ")]).await.unwrap(), []);
    assert_eq!(f.store.log_append(&[chunk(6, "world")]).await.unwrap(), []);
    // A worker that was taken for dead comes back and goes on from where it was: it is told, and nothing is stored twice.
    assert_eq!(f.store.log_append(&[chunk(6, "WORLD")]).await.unwrap(), [of]);
    assert_eq!(f.store.log_append(&[chunk(11, "!")]).await.unwrap(), []);
    assert_eq!(f.store.log_append(&[]).await.unwrap(), []);
    assert_eq!(f.store.log_end(of).await.unwrap(), LogEnd { offset: 12, cursor: Some("after !".to_owned()) });
    assert_eq!(f.store.log_end(key(updraft_model::RunKey(1), 0, 2)).await.unwrap().offset, 0);
    let text: String = f.one("select string_agg(convert_from(data, 'UTF8'), '' order by start) from log_chunk").await;
    assert_eq!(text, "hello world!");
}

#[sqlx::test(migrations = "../../migrations")]
async fn errors_say_whether_the_same_call_may_succeed_later(db: PgPool) {
    let f = Fixture::new(&db);
    // Refused: the row cannot be.
    let version = f.dag("d", 1, 1).await;
    let bad = NewRun { run_type: "nonsense", ..Fixture::new_run("d", "r", version) };
    let error = f.store.run_create(&bad).await.unwrap_err();
    assert!(matches!(error, Error::Refused { operation: "run_create", .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::Never);

    // In favour of another: a lock that is not to be had.
    let run = f.store.run_create(&Fixture::new_run("d", "r", version)).await.unwrap().unwrap();
    let mut other = f.db.begin().await.unwrap();
    sqlx::query("select 1 from run_seq for update").execute(&mut *other).await.unwrap();
    let impatient = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with((*db.connect_options()).clone().options([("lock_timeout", "50ms")]));
    let error = Store::from_pool(impatient.clone()).run_reopen(run).await.unwrap_err();
    assert!(matches!(error, Error::Conflict(_)) && matches!(error.retry(), Retry::After(_)), "{error:?}");
    impatient.close().await;
    other.rollback().await.unwrap();

    // In favour of another: a deadlock, made by hand. Its victim is whoever waited a second first.
    f.runs_of("other", 1, 1).await;
    let mut other = f.db.begin().await.unwrap();
    sqlx::query("select 1 from run_seq where run_id > $1 for update").bind(run.0).execute(&mut *other).await.unwrap();
    let waiting = tokio::spawn({
        let (store, batch) =
            (f.store.clone(), updraft_store::Commit { poke: vec![run, updraft_model::RunKey(run.0 + 1)], ..Default::default() });
        async move { store.plan_commit(&batch).await.map(|_| ()) }
    });
    while f.count("pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'").await == 0 {
        tokio::task::yield_now().await;
    }
    let cycle = sqlx::query("select 1 from run_seq where run_id = $1 for update").bind(run.0).execute(&mut *other).await;
    other.rollback().await.unwrap();
    match (waiting.await.unwrap(), cycle) {
        (Err(error), Ok(_)) => assert!(matches!(error, Error::Conflict(_)), "{error:?}"),
        (Ok(()), Err(error)) => assert_eq!(error.as_database_error().unwrap().code().unwrap(), "40P01"),
        both => panic!("one of the two must go: {both:?}"),
    }

    // Nobody there.
    let mut options = Options::new("postgres://nobody@127.0.0.1:1/none", "test");
    options.acquire_timeout = Duration::from_millis(300);
    let error = Store::open(&options).unwrap().ping().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)) && matches!(error.retry(), Retry::After(_)), "{error:?}");

    // The server ends the connection.
    f.run_sql("select 1").await;
    let doomed = wide(&db, 1);
    let store = Store::from_pool(doomed.clone());
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&doomed).await.unwrap();
    f.run_sql(&format!("select pg_terminate_backend({pid})")).await;
    while f.count(&format!("pg_stat_activity where pid = {pid}")).await > 0 {
        tokio::task::yield_now().await;
    }
    // The pool notices at once, or hands the dead connection out: then the error must say that it is worth another try.
    if let Err(error) = store.ping().await {
        assert!(matches!(error.retry(), Retry::After(_)), "{error:?}");
    }
    store.ping().await.unwrap();
    doomed.close().await;
}
