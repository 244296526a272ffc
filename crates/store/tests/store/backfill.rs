//! Backfills: all of one or nothing (I8), started in order under a limit of its own (I9), paused, cancelled, complete by itself.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgPool;
use updraft_model::RunKey;
use updraft_store::read::ListQuery;
use updraft_store::read::instances::InstanceScope;
use updraft_store::read::runs::InstanceDeleted;
use updraft_store::{BackfillChanged, BackfillCreated, NewBackfill, NewRun, Reprocess, SlotRow, Store};

use crate::fixture::{Fixture, exit, moment, spec_of, wide};

const DAY: i64 = 86_400;

fn slot(day: i64) -> (String, SlotRow) {
    let at = moment(day * DAY);
    (format!("b{day}"), SlotRow { logical_date: at, interval_start: at, interval_end: at, run_after: at })
}

fn slots(days: impl IntoIterator<Item = i64>) -> Vec<(String, SlotRow)> {
    days.into_iter().map(slot).collect()
}

fn new(version_id: i64, slots: &[(String, SlotRow)]) -> NewBackfill<'_> {
    NewBackfill {
        dag_id: "d",
        version_id,
        from: moment(0),
        to: moment(100 * DAY),
        backwards: false,
        conf: None,
        reprocess: Reprocess::None,
        max_active_runs: 2,
        user: "ann",
        movable: &[],
        slots,
    }
}

/// Creates one and returns its key, how many runs it made, and those that it does again.
async fn create(f: &Fixture, new: &NewBackfill<'_>) -> (i64, i32, Vec<RunKey>) {
    match f.store.backfill_create(new).await.unwrap() {
        BackfillCreated::Done { id, made, again } => (id, made, again),
        other => panic!("{other:?}"),
    }
}

async fn started(f: &Fixture) -> Vec<String> {
    f.store.runs_start("d").await.unwrap().into_iter().map(|(_, name)| name).collect()
}

async fn end(f: &Fixture, run_id: &str, state: &str) {
    f.run_sql(&format!("update run set state = '{state}', end_date = now() where run_id = '{run_id}'")).await;
}

async fn complete(f: &Fixture, id: i64) -> bool {
    f.store.backfill_get(id).await.unwrap().unwrap().completed_at.is_some()
}

/// A run of the DAG's own.
async fn own(f: &Fixture, name: &str, version: i64, day: Option<i64>) -> RunKey {
    let run = NewRun { logical_date: day.map(|day| moment(day * DAY)), ..Fixture::new_run("d", name, version) };
    f.store.run_create(&run).await.unwrap().unwrap()
}

#[sqlx::test(migrations = "../../migrations")]
async fn i9_a_backfill_starts_in_order_under_a_limit_of_its_own(db: PgPool) {
    let f = Fixture::new(&db);
    let version = f.dag("d", 2, 1).await;
    own(&f, "own 1", version, None).await;
    own(&f, "own 2", version, None).await;
    let days = slots(0..5);
    let (id, made, again) = create(&f, &new(version, &days)).await;
    assert_eq!((made, again.len(), f.count("task_instance").await), (5, 0, 14));
    assert_eq!(
        f.count("run where run_type = 'backfill' and triggered_by = 'backfill' and triggering_user_name = 'ann' and state = 'queued'")
            .await,
        5
    );
    assert_eq!(f.store.dags_to_start().await.unwrap(), ["d"]);

    let many = wide(&db, 4);
    let mut starters = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = Store::from_pool(many.clone());
        starters.spawn(async move { store.runs_start("d").await.unwrap() });
    }
    let mut names: Vec<String> = starters.join_all().await.into_iter().flatten().map(|r| r.1).collect();
    names.sort();
    many.close().await;
    assert_eq!(names, ["b0", "b1", "own 1"], "one of the DAG's own, and two of the backfill beside it");
    assert!(f.store.dags_to_start().await.unwrap().is_empty());

    end(&f, "b1", "failed").await;
    assert_eq!(f.store.dags_to_start().await.unwrap(), ["d"], "the sweeper finds a start that was lost");
    assert_eq!(started(&f).await, ["b2"], "the first that ends makes room, however it ended");
    end(&f, "own 1", "success").await;
    assert_eq!(started(&f).await, ["own 2"], "the end of another run makes no room in the backfill");
    for (ended, next) in [("b0", vec!["b3"]), ("b2", vec!["b4"]), ("b3", vec![])] {
        end(&f, ended, "success").await;
        assert_eq!(started(&f).await, next);
    }
    assert!(!complete(&f, id).await);
    end(&f, "b4", "success").await;
    assert_eq!(f.store.dags_to_start().await.unwrap(), ["d"], "nobody has said that it is complete");
    assert!(started(&f).await.is_empty());
    assert!(complete(&f, id).await, "although the DAG has a run that runs");
    assert!(f.store.dags_to_start().await.unwrap().is_empty());
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_backfill_takes_no_room_from_the_schedule(db: PgPool) {
    let f = Fixture::new(&db);
    let version = f.dag("d", 1, 1).await;
    let days = slots(0..3);
    create(&f, &new(version, &days)).await;
    assert_eq!(started(&f).await.len(), 2);
    f.store.dag_next_set("d", None, Some(slot(9).1)).await.unwrap();
    assert_eq!(f.store.dags_due(9).await.unwrap()[0].room, 1);
    f.store.dag_cap("d").await.unwrap();
    let due = f.store.dags_due(9).await.unwrap();
    assert!(f.store.dag_slot_take(&due[0], "scheduled", Some(slot(10).1)).await.unwrap(), "it is not capped");
    assert_eq!(started(&f).await, ["scheduled"]);
    f.store.dag_cap("d").await.unwrap();
    assert!(f.store.dags_due(9).await.unwrap().is_empty());
    end(&f, "scheduled", "success").await;
    assert!(started(&f).await.is_empty());
    assert_eq!(f.store.dags_due(9).await.unwrap().len(), 1, "the backfill that still runs does not keep the cap");
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_backfill_runs_in_the_order_that_it_is_given(db: PgPool) {
    let f = Fixture::new(&db);
    let version = f.dag("d", 1, 1).await;
    let days = slots((0..4).rev());
    create(&f, &NewBackfill { backwards: true, max_active_runs: 1, ..new(version, &days) }).await;
    for day in [3, 2, 1, 0] {
        assert_eq!(started(&f).await, [format!("b{day}")]);
        end(&f, &format!("b{day}"), "success").await;
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_paused_backfill_starts_nothing_and_a_cancelled_one_ends_what_is_queued(db: PgPool) {
    let f = Fixture::new(&db);
    let version = f.dag("d", 1, 1).await;
    let days = slots(0..3);
    let (id, ..) = create(&f, &NewBackfill { max_active_runs: 1, ..new(version, &days) }).await;
    let (pause, cancel) = (
        async |id, paused| f.store.backfill_pause(id, paused).await.unwrap(),
        async |id| f.store.backfill_cancel(id, "bob").await.unwrap(),
    );
    for _ in 0..2 {
        assert_eq!(pause(id, true).await, BackfillChanged::Done, "it may be paused twice");
    }
    assert!(f.store.dags_to_start().await.unwrap().is_empty());
    assert!(started(&f).await.is_empty());
    assert_eq!(pause(id, false).await, BackfillChanged::Done);
    f.run_sql("update dag set is_paused = true where dag_id = 'd'").await;
    assert!(started(&f).await.is_empty(), "the DAG is paused, too");
    f.run_sql("update dag set is_paused = false where dag_id = 'd'").await;
    assert_eq!(started(&f).await, ["b0"]);

    assert_eq!(cancel(id).await, BackfillChanged::Done);
    let row = f.store.backfill_get(id).await.unwrap().unwrap();
    assert!(row.is_paused && row.completed_at.is_some());
    assert_eq!(f.store.backfill_run_counts(&row).await.unwrap(), [("failed".to_owned(), 2), ("running".to_owned(), 1)]);
    assert_eq!(f.count("run where state = 'failed' and reason = 'backfill cancelled by bob' and end_date is not null").await, 2);
    assert_eq!(f.count("task_instance where state <> 'none'").await, 0, "what did not run is not done for the runs after it");
    assert_eq!(
        (cancel(id).await, pause(id, true).await, pause(id, false).await),
        (BackfillChanged::Completed, BackfillChanged::Completed, BackfillChanged::Completed)
    );
    assert_eq!((cancel(99).await, pause(99, true).await), (BackfillChanged::Missing, BackfillChanged::Missing));
    assert!(started(&f).await.is_empty());

    // Reopened, a run of it is one of the DAG's own: nobody would start it in a backfill that is complete.
    let run = RunKey(f.one("select id from run where run_id = 'b2'").await);
    f.store.run_reopen(run).await.unwrap();
    assert_eq!(started(&f).await, ["b2"]);
    assert_eq!(f.count("run where run_id = 'b2' and backfill_id is null").await, 1);
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_run_that_is_reopened_keeps_its_backfill_open(db: PgPool) {
    let f = Fixture::new(&db);
    let version = f.dag("d", 1, 1).await;
    let days = slots(0..2);
    let (id, ..) = create(&f, &new(version, &days)).await;
    started(&f).await;
    end(&f, "b0", "failed").await;
    f.store.run_reopen(RunKey(f.one("select id from run where run_id = 'b0'").await)).await.unwrap();
    end(&f, "b1", "success").await;
    assert_eq!(started(&f).await, ["b0"], "under the backfill's limit, where it was");
    assert!(!complete(&f, id).await);
    end(&f, "b0", "success").await;
    started(&f).await;
    assert!(complete(&f, id).await);
}

/// Days 0 to 5: succeeded, failed, running, ended by hand with an attempt that still stops, none, none.
async fn past(f: &Fixture) -> i64 {
    let version = f.dag("d", 2, 9).await;
    for (day, name) in ["good", "bad", "busy", "stopping"].into_iter().enumerate() {
        let run = own(f, name, version, Some(i64::try_from(day).unwrap())).await;
        assert_eq!(f.store.runs_start("d").await.unwrap().len(), 1);
        f.commit(run, Vec::new()).await;
    }
    let stopping = RunKey(f.one("select id from run where run_id = 'stopping'").await);
    drop(f.start(stopping, 0, |_| {}).await);
    f.run_sql(
        "update task_instance set state = 'failed', attempt = 3, user_failures = 2, ended_at = now(), reason = 'exit_code' \
         where run_id in (select id from run where run_id in ('good', 'bad'))",
    )
    .await;
    f.run_sql(
        "insert into xcom (run_id, idx, map_index, key, value, attempt) select id, 0, -1, 'k', '1', 3 from run where run_id <> 'busy'",
    )
    .await;
    f.run_sql("update run set conf = '{\"old\": 1}'").await;
    end(f, "good", "success").await;
    end(f, "bad", "failed").await;
    end(f, "stopping", "failed").await;
    version
}

#[sqlx::test(migrations = "../../migrations")]
async fn i8_what_is_there_is_passed_over(db: PgPool) {
    let f = Fixture::new(&db);
    let version = past(&f).await;
    let days = slots(0..6);
    let (_, made, again) = create(&f, &NewBackfill { conf: Some(json!({"new": 1})), ..new(version, &days) }).await;
    assert_eq!((made, again), (2, Vec::new()));
    assert_eq!(f.count("run").await, 6);
    assert_eq!(f.count("run where backfill_id is not null and conf = '{\"new\": 1}' and run_id in ('b4', 'b5')").await, 2);
    assert_eq!(f.count("run where backfill_id is null and run_type = 'manual' and conf = '{\"old\": 1}'").await, 4);
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_over_is_done_again_under_its_name(db: PgPool) {
    for (reprocess, expected) in [(Reprocess::Failed, vec!["bad"]), (Reprocess::Completed, vec!["bad", "good"])] {
        let f = Fixture::new(&db);
        f.run_sql("truncate run, dag, dag_version, backfill, task_instance, live_attempt, ready, pool_run, xcom, event cascade").await;
        let version = past(&f).await;
        let days = slots(0..6);
        let (id, made, again) = create(&f, &NewBackfill { reprocess, ..new(version, &days) }).await;
        assert_eq!((made, again.len()), (2, expected.len()), "{reprocess:?}");
        let found: Vec<String> = sqlx::query_scalar("select run_id from run where id = any ($1) order by run_id")
            .bind(again.iter().map(|run| run.0).collect::<Vec<_>>())
            .fetch_all(&db)
            .await
            .unwrap();
        assert_eq!(found, expected);
        for run in &again {
            let what = format!(
                "run where id = {run} and state = 'queued' and run_type = 'backfill' and triggered_by = 'backfill' and backfill_id = {id} \
                and start_date is null and end_date is null and conf = '{{\"old\": 1}}'"
            );
            assert_eq!(f.count(&what).await, 1, "{reprocess:?}");
            let clean = format!(
                "task_instance where run_id = {run} and state = 'none' and attempt = 3 and user_failures = 0 and reason is null and ended_at is null"
            );
            assert_eq!(f.count(&clean).await, 2, "attempts go on counting");
            assert_eq!(f.count(&format!("xcom where run_id = {run}")).await, 0);
            assert!(f.dirty(*run).await, "whatever waits for it as its past must look again");
            assert_eq!(f.seq(*run).await.2, 1, "an older plan of it is not committed");
        }
        assert_eq!(f.count("live_attempt").await, 1, "I3: what still stops is left alone");
        assert_eq!(started(&f).await, expected.iter().rev().take(2).copied().chain(["b4"]).take(2).collect::<Vec<_>>());
        f.assert_consistent().await;
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_done_again_goes_on_with_the_dag_as_it_is_now(db: PgPool) {
    let f = Fixture::new(&db);
    let old = f.dag("d", 2, 9).await;
    for (day, name) in ["moves", "stays"].into_iter().enumerate() {
        own(&f, name, old, Some(i64::try_from(day).unwrap())).await;
        end(&f, name, "failed").await;
    }
    let now = f.dag_of(&spec_of("d", 3, |_| Vec::new()), 9).await;
    let days = slots(0..1);
    let wanted = NewBackfill { reprocess: Reprocess::Failed, ..new(old, &days) };
    assert_eq!(
        f.store.backfill_create(&wanted).await.unwrap(),
        BackfillCreated::Changed,
        "it was worked out from a version that is no more"
    );
    assert_eq!(f.store.backfill_create(&NewBackfill { dag_id: "nope", ..wanted.clone() }).await.unwrap(), BackfillCreated::Changed);
    assert_eq!(f.count("backfill").await, 0);
    let (id, ..) = create(&f, &NewBackfill { version_id: now, movable: &[old], ..wanted.clone() }).await;
    f.store.backfill_cancel(id, "ann").await.unwrap();
    let days = slots(1..2);
    create(&f, &NewBackfill { version_id: now, slots: &days, ..wanted }).await;
    let tasks = async |name: &str| {
        let of_its_version = "r.task_count = (select task_count from dag_version v where v.id = r.version_id)";
        f.count(&format!("task_instance t join run r on r.id = t.run_id where r.run_id = '{name}' and {of_its_version}")).await
    };
    assert_eq!((tasks("moves").await, tasks("stays").await), (3, 2));
}

#[sqlx::test(migrations = "../../migrations")]
async fn of_eight_who_create_a_backfill_one_does(db: PgPool) {
    let f = Fixture::new(&db);
    let version = f.dag("d", 3, 9).await;
    let many = wide(&db, 8);
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..8 {
        let store = Store::from_pool(many.clone());
        tasks.spawn(async move {
            // Half of them make a run by hand for one of the dates at the same time.
            if i % 2 == 0 {
                let name = format!("by hand {i}");
                let run = NewRun { logical_date: Some(moment(i * DAY)), ..Fixture::new_run("d", &name, version) };
                store.run_create(&run).await.unwrap();
            }
            let days = slots(0..20);
            matches!(store.backfill_create(&new(version, &days)).await.unwrap(), BackfillCreated::Done { .. })
        });
    }
    let done = tasks.join_all().await.into_iter().filter(|done| *done).count();
    many.close().await;
    assert_eq!(done, 1);
    assert_eq!((f.count("backfill").await, f.count("run").await, f.count("task_instance").await), (1, 20, 60));
    assert_eq!(f.one::<i64>("select count(distinct logical_date) from run").await, 20, "I8");
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_creation_that_is_cut_off_leaves_nothing(db: PgPool) {
    let f = Fixture::new(&db);
    let version = f.dag("d", 3, 9).await;
    let over = own(&f, "bad", version, Some(4)).await;
    end(&f, "bad", "failed").await;
    let days = slots(0..9);
    // It waits for a row that somebody holds when its connection ends, as by a kill -9 of the API.
    let mut other = db.begin().await.unwrap();
    sqlx::query("select 1 from run_seq where run_id = $1 for update").bind(over.0).execute(&mut *other).await.unwrap();
    let store = f.store.clone();
    let creating = tokio::spawn({
        let days = days.clone();
        async move { store.backfill_create(&NewBackfill { reprocess: Reprocess::Failed, ..new(version, &days) }).await }
    });
    let killed =
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while f.one::<i64>(killed).await == 0 {
        tokio::task::yield_now().await;
    }
    assert!(creating.await.unwrap().is_err());
    other.rollback().await.unwrap();
    assert_eq!((f.count("backfill").await, f.count("run").await, f.count("task_instance").await), (0, 1, 3));
    assert_eq!(f.one::<String>("select state from run").await, "failed");
    let (_, made, again) = create(&f, &NewBackfill { reprocess: Reprocess::Failed, ..new(version, &days) }).await;
    assert_eq!((made, again), (8, vec![over]));
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_dag_has_one_backfill_at_a_time(db: PgPool) {
    let f = Fixture::new(&db);
    let version = f.dag("d", 1, 9).await;
    let (days, later) = (slots(0..1), slots(5..6));
    let (first, ..) = create(&f, &new(version, &days)).await;
    assert!(f.store.backfill_active("d").await.unwrap());
    assert_eq!(f.store.backfill_create(&new(version, &later)).await.unwrap(), BackfillCreated::Active);
    // Its last run has ended, and nobody has said so yet.
    end(&f, "b0", "success").await;
    assert!(!f.store.backfill_active("d").await.unwrap());
    let (second, ..) = create(&f, &new(version, &later)).await;
    assert!(complete(&f, first).await && second > first);
    // All dates have a run: there is nothing to wait for.
    end(&f, "b5", "success").await;
    let (third, made, _) = create(&f, &new(version, &later)).await;
    assert_eq!(made, 0);
    assert!(started(&f).await.is_empty());
    assert!(complete(&f, third).await);
    let updated: DateTime<Utc> = f.store.backfill_get(third).await.unwrap().unwrap().updated_at;
    assert!(updated >= f.store.backfill_get(third).await.unwrap().unwrap().created_at);
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_was_deleted_of_a_run_is_back_when_it_is_done_again_and_uses_no_attempt_number_twice(db: PgPool) {
    let f = Fixture::new(&db);
    let version = f.dag("d", 2, 1).await;
    let run = own(&f, "mine", version, Some(1)).await;
    assert_eq!(started(&f).await, ["mine"]);
    let attempt = f.start(run, 0, |_| {}).await;
    f.finish(attempt, exit(0)).await;
    assert_eq!(f.store.instance_delete(run, 0, -1, "ann").await.unwrap(), InstanceDeleted::Done);
    end(&f, "mine", "failed").await;
    let day = slots([1]);
    let (_, _, again) = create(&f, &NewBackfill { reprocess: Reprocess::Failed, ..new(version, &day) }).await;
    assert_eq!(again, [run]);
    let scope = InstanceScope { run: Some(run), ..InstanceScope::default() };
    assert_eq!(f.store.instance_list(&scope, &ListQuery::first(9)).await.unwrap().total, 2, "both, by count as by rows");
    assert_eq!((f.count("task_instance where attempt = 1").await, f.count("task_instance where attempt = 0").await), (1, 1));
    assert_eq!(started(&f).await, ["mine"]);
    assert_eq!(f.start(run, 0, |_| {}).await.key().attempt, 2, "the first was another's");
    f.assert_consistent().await;
}
