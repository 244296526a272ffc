//! Runs: one per name and logical date (I8), no more than may be active (I9), and the durable marks that wake them (I1).

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use updraft_model::RunKey;
use updraft_store::read::retention::Retention;
use updraft_store::read::runs::{InstanceDeleted, RunDeleted};
use updraft_store::{NewRun, SlotRow, Store};

use crate::fixture::{Fixture, exit, moment, wide};

#[sqlx::test(migrations = "../../migrations")]
async fn i8_a_run_is_unique_by_name_and_by_logical_date(db: PgPool) {
    let f = Fixture::new(&db);
    let version = f.dag("d", 3, 9).await;
    let run = |run_id, day: Option<i64>| NewRun { logical_date: day.map(|d| moment(d * 86_400)), ..Fixture::new_run("d", run_id, version) };
    assert!(f.store.run_create(&run("a", Some(1))).await.unwrap().is_some());
    assert!(f.store.run_create(&run("a", Some(2))).await.unwrap().is_none(), "the same name");
    assert!(f.store.run_create(&run("b", Some(1))).await.unwrap().is_none(), "the same logical date");
    assert!(f.store.run_create(&run("b", None)).await.unwrap().is_some());
    assert!(f.store.run_create(&run("c", None)).await.unwrap().is_some(), "runs without a logical date do not meet");
    assert_eq!((f.count("task_instance").await, f.count("run_seq").await), (9, 3));
    let many = wide(&db, 8);
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..8 {
        let store = Store::from_pool(many.clone());
        tasks.spawn(async move {
            let name = format!("same date {i}");
            let new = NewRun { logical_date: Some(moment(9 * 86_400)), ..Fixture::new_run("d", &name, version) };
            store.run_create(&new).await.unwrap().is_some()
        });
    }
    let mut made = 0;
    while let Some(joined) = tasks.join_next().await {
        made += i32::from(joined.unwrap());
    }
    many.close().await;
    assert_eq!(made, 1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn i3_a_run_of_a_name_that_was_deleted_goes_on_counting_attempts(db: PgPool) {
    let f = Fixture::new(&db);
    let version = f.dag("d", 2, 9).await;
    f.run_sql("insert into attempt_tombstone values ('d', 'r', 7)").await;
    let run = f.store.run_create(&Fixture::new_run("d", "r", version)).await.unwrap().unwrap();
    f.store.runs_start("d").await.unwrap();
    f.schedule(run, [0]).await;
    assert_eq!(f.admit(|_| {}).await[0].key.attempt, 8);
}

fn slot_of(day: i64) -> SlotRow {
    let at = moment(day * 86_400);
    SlotRow { logical_date: at, interval_start: at, interval_end: at, run_after: at }
}

#[sqlx::test(migrations = "../../migrations")]
async fn i8_a_slot_is_taken_once_and_none_is_skipped_by_four_takers(db: PgPool) {
    let f = Fixture::new(&db);
    f.dag("d", 1, 1000).await;
    f.store.dag_next_set("d", None, Some(slot_of(0))).await.unwrap();
    // Somebody has triggered day 3 by hand: the cursor passes it all the same.
    let version: i64 = f.one("select version_id from dag").await;
    f.store
        .run_create(&NewRun { logical_date: Some(moment(3 * 86_400)), ..Fixture::new_run("d", "by hand", version) })
        .await
        .unwrap()
        .unwrap();
    let many = wide(&db, 4);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = Store::from_pool(many.clone());
        tasks.spawn(async move {
            let mut taken = 0;
            while let Some(due) = store.dags_due(9).await.unwrap().pop() {
                let day = (due.cursor.next.unwrap().run_after - moment(0)).num_days();
                let next = (day < 11).then(|| slot_of(day + 1));
                taken += i32::from(store.dag_slot_take(&due, &format!("day {day}"), next).await.unwrap());
            }
            taken
        });
    }
    let mut taken = 0;
    while let Some(joined) = tasks.join_next().await {
        taken += joined.unwrap();
    }
    many.close().await;
    assert_eq!(taken, 12);
    assert_eq!(f.count("run").await, 12);
    assert_eq!(f.one::<DateTime<Utc>>("select last_logical_date from dag").await, moment(11 * 86_400));
    // A scheduler that saw an older cursor sets nothing.
    f.store.dag_next_set("d", Some(slot_of(10)), Some(slot_of(5))).await.unwrap();
    assert!(f.store.dags_due(9).await.unwrap().is_empty());
}

#[sqlx::test(migrations = "../../migrations")]
async fn i9_four_starters_start_no_more_runs_than_may_be_active_oldest_first(db: PgPool) {
    let f = Fixture::new(&db);
    let version = f.dag("d", 1, 3).await;
    for i in (0..10).rev() {
        let name = format!("r{i}");
        f.store.run_create(&NewRun { run_after: moment(i), ..Fixture::new_run("d", &name, version) }).await.unwrap().unwrap();
    }
    let far = NewRun { run_after: DateTime::from_timestamp(32_503_680_000, 0).unwrap(), ..Fixture::new_run("d", "later", version) };
    let far = f.store.run_create(&far).await.unwrap().unwrap();
    f.run_sql("update dag set is_paused = true where dag_id = 'd'").await;
    assert!(f.store.runs_start("d").await.unwrap().is_empty());
    assert!(f.store.dags_to_start().await.unwrap().is_empty());
    f.run_sql("update dag set is_paused = false where dag_id = 'd'").await;
    assert_eq!(f.store.dags_to_start().await.unwrap(), ["d"]);
    let many = wide(&db, 4);
    let start = async || {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let store = Store::from_pool(many.clone());
            tasks.spawn(async move { store.runs_start("d").await.unwrap() });
        }
        let mut names: Vec<String> = tasks.join_all().await.into_iter().flatten().map(|r| r.1).collect();
        names.sort();
        names
    };
    assert_eq!(start().await, ["r0", "r1", "r2"]);
    assert!(start().await.is_empty());
    assert_eq!(f.count("run_seq where seq = 1 and planned = 0").await, 3, "each that started must be planned, and only those");
    f.run_sql("update run set state = 'success' where run_id in ('r0', 'r2')").await;
    assert_eq!(start().await, ["r3", "r4"]);
    f.run_sql("update run set state = 'success' where run_after < '2026-02-01'; ").await;
    assert!(start().await.is_empty(), "run {far} waits for its time");
    assert!(f.store.runs_start("nobody").await.unwrap().is_empty());
    many.close().await;
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_run_that_is_over_is_reopened_into_the_queue(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(1).await;
    let (.., epoch) = f.seq(run).await;
    f.store.run_reopen(run).await.unwrap();
    assert_eq!(f.one::<String>("select state from run").await, "running", "what runs goes on");
    f.run_sql("update run set state = 'failed', end_date = now(), reason = 'x'").await;
    f.store.run_reopen(run).await.unwrap();
    assert_eq!(f.count("run where state = 'queued' and end_date is null and reason is null").await, 1);
    assert!(f.dirty(run).await && f.seq(run).await.2 > epoch);
    assert_eq!(f.store.runs_start("d").await.unwrap(), [(run, "r0".to_owned())]);
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn i1_what_is_due_marks_its_run_and_a_deleted_run_is_passed_over(db: PgPool) {
    let f = Fixture::new(&db);
    let runs = f.runs(2, 1).await;
    assert_eq!(f.store.due_next().await.unwrap(), None);
    let now: DateTime<Utc> = f.one("select now()").await;
    f.store.due_add("run_timeout", runs[0], now + chrono::TimeDelta::seconds(100)).await.unwrap();
    let ms = f.store.due_next().await.unwrap().unwrap();
    assert!((1..=100_000).contains(&ms), "{ms}");
    assert!(f.store.due_take(9).await.unwrap().is_empty());
    f.store.due_add("run_timeout", runs[1], now - chrono::TimeDelta::seconds(1)).await.unwrap();
    f.store.due_add("run_start", RunKey(-1), now - chrono::TimeDelta::seconds(2)).await.unwrap();
    assert_eq!(f.store.due_take(9).await.unwrap(), [RunKey(-1), runs[1]]);
    assert!(f.dirty(runs[1]).await && !f.dirty(runs[0]).await);
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_due_is_taken_in_parts_and_once_by_two_takers(db: PgPool) {
    let f = Fixture::new(&db);
    let runs = f.runs(20, 1).await;
    for run in &runs {
        f.store.due_add("run_timeout", *run, moment(0)).await.unwrap();
    }
    assert_eq!(f.store.due_take(3).await.unwrap().len(), 3);
    let many = wide(&db, 4);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = Store::from_pool(many.clone());
        tasks.spawn(async move {
            let mut taken = 0;
            while store.due_next().await.unwrap().is_some_and(|ms| ms <= 0) {
                taken += store.due_take(4).await.unwrap().len();
            }
            taken
        });
    }
    let taken: usize = tasks.join_all().await.into_iter().sum();
    many.close().await;
    assert_eq!(taken, 17);
    assert_eq!(f.count("event where reason = 'run_timeout due'").await, 20);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_dag_at_its_limit_is_capped_until_a_run_ends(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(1).await;
    f.run_sql("update dag set max_active_runs = 1").await;
    f.store.dag_next_set("d", None, Some(slot_of(0))).await.unwrap();
    assert_eq!(f.store.dags_due(9).await.unwrap()[0].room, 0);
    f.store.dag_cap("d").await.unwrap();
    assert!(f.store.dags_due(9).await.unwrap().is_empty());
    assert_eq!(f.store.due_next().await.unwrap(), None, "nobody need wake for it");
    assert!(f.store.dags_to_start().await.unwrap().is_empty());
    f.run_sql(&format!("update run set state = 'success' where id = {run}")).await;
    assert_eq!(f.store.dags_to_start().await.unwrap(), ["d"]);
    f.store.runs_start("d").await.unwrap();
    assert_eq!(f.store.dags_due(9).await.unwrap()[0].room, 1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn old_runs_are_forgotten_and_the_newest_and_the_living_are_not(db: PgPool) {
    let f = Fixture::new(&db);
    let runs = f.runs(6, 1).await;
    for (age, run) in runs.iter().enumerate() {
        let sql = format!(
            "update run set state = 'success', run_after = now() - interval '{0} days', start_date = now() - interval '{0} days', \
                 end_date = now() - interval '{0} days' where id = {1}",
            100 - age,
            run.0
        );
        f.run_sql(&sql).await;
        f.run_sql(&format!("insert into log_chunk (run_id, idx, map_index, attempt, start, data) values ({}, 0, -1, 1, 0, 'x')", run.0))
            .await;
    }
    f.run_sql(&format!("update run set state = 'running', end_date = null where id = {}", runs[0].0)).await;
    f.run_sql("select partitions_ensure(current_date - 200)").await;
    let day = std::time::Duration::from_secs(86_400);
    let retention = Retention { older_than: day * 90, keep_last: 2 };
    let old = f.store.runs_old(retention, 100).await.unwrap();
    assert_eq!(old.len(), 3, "six, of which one runs and two are the newest: {old:?}");
    assert!(f.store.runs_old(Retention { older_than: day * 200, keep_last: 0 }, 100).await.unwrap().is_empty());
    assert_eq!(f.store.runs_old(Retention { older_than: day * 90, keep_last: 0 }, 100).await.unwrap().len(), 5);
    for run in &old {
        assert!(f.store.run_forget(run).await.unwrap());
        assert!(!f.store.run_forget(run).await.unwrap(), "somebody was faster");
    }
    assert_eq!(f.count("run").await, 3);
    assert_eq!(f.count("log_chunk").await, 3);
    let dropped = f.store.partitions_drop(day * 90).await.unwrap();
    assert_eq!(dropped.len(), 2, "of events and of logs: {dropped:?}");
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_instance_is_deleted_when_no_attempt_of_it_lives(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(4).await;
    let attempt = f.start(run, 0, |_| {}).await;
    assert_eq!(f.store.instance_delete(run, 0, -1, "ann").await.unwrap(), InstanceDeleted::Live("running".to_owned()));
    f.finish(attempt, exit(0)).await;
    f.run_sql("insert into xcom (run_id, idx, map_index, key, value, attempt) select id, 0, -1, 'k', '1', 1 from run").await;
    f.run_sql("insert into log_chunk (run_id, idx, map_index, attempt, start, data) select id, 0, -1, 1, 0, 'x' from run").await;
    f.schedule(run, [1, 2]).await;
    let (seq, _, epoch) = f.seq(run).await;
    for idx in [0, 1] {
        assert_eq!(f.store.instance_delete(run, idx, -1, "ann").await.unwrap(), InstanceDeleted::Done);
        assert_eq!(f.store.instance_delete(run, idx, -1, "ann").await.unwrap(), InstanceDeleted::Missing);
    }
    assert_eq!(f.count("task_instance").await, 2);
    for left in ["xcom", "log_chunk", "attempt", "ready where idx = 1"] {
        assert_eq!(f.count(left).await, 0, "{left}");
    }
    assert_eq!(f.seq(run).await.2, epoch + 2, "a plan that was made before is dropped");
    assert_eq!(f.count(&format!("event where seq > {seq} and state = 'removed' and reason = 'deleted by ann'")).await, 2);
    assert!(f.dirty(run).await, "what waited for it is planned");
    f.assert_consistent().await;
    // The last head of its pool goes with it.
    assert_eq!(f.store.instance_delete(run, 2, -1, "ann").await.unwrap(), InstanceDeleted::Done);
    assert_eq!(f.count("pool_run").await, 0);

    // Its attempt numbers are used up, for the next run of this name too.
    f.run_sql("update run set state = 'success', end_date = now()").await;
    assert_eq!(f.store.run_delete(run).await.unwrap(), RunDeleted::Done);
    let version: i64 = f.one("select version_id from dag").await;
    f.store.run_create(&Fixture::new_run("d", "r0", version)).await.unwrap().unwrap();
    assert_eq!(f.count("task_instance where attempt = 1").await, 4);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_run_that_waits_is_deleted_and_one_that_runs_is_not(db: PgPool) {
    let f = Fixture::new(&db);
    let version = f.dag("d", 1, 1).await;
    let first = f.store.run_create(&Fixture::new_run("d", "first", version)).await.unwrap().unwrap();
    let second = f.store.run_create(&Fixture::new_run("d", "second", version)).await.unwrap().unwrap();
    assert_eq!(f.store.runs_start("d").await.unwrap().len(), 1);
    assert_eq!(f.store.run_delete(first).await.unwrap(), RunDeleted::Active);
    assert_eq!(f.store.run_delete(second).await.unwrap(), RunDeleted::Done);
    assert_eq!(f.store.run_delete(second).await.unwrap(), RunDeleted::Missing);
    assert_eq!((f.count("run").await, f.count("run_seq").await, f.count("task_instance").await), (1, 1, 1));
    // One that was over and waits to go on may have an attempt that is still being stopped.
    f.schedule(first, [0]).await;
    f.admit(|_| {}).await;
    f.run_sql("update run set state = 'queued'").await;
    assert_eq!(f.store.run_delete(first).await.unwrap(), RunDeleted::Active);
}
