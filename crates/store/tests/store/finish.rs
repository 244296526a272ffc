//! The end of attempts: state by evidence and budget, once and for all (I4, I5).

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgPool;
use updraft_model::end::Stopped;
use updraft_model::{EndFacts, Evidence};
use updraft_store::FinishResult;

use crate::fixture::{Fixture, exit, key, lost, moment, step};

async fn failures(f: &Fixture, idx: i32) -> (i32, i32) {
    sqlx::query_as("select user_failures, infra_failures from task_instance where idx = $1").bind(idx).fetch_one(&f.db).await.unwrap()
}

#[sqlx::test(migrations = "../../migrations")]
async fn i4_success_is_written_with_its_evidence(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(1).await;
    let attempt = f.start(run, 0, |_| {}).await;
    let outcome = f.finish(attempt, exit(0)).await;
    assert_eq!((outcome.result, outcome.state.as_str(), outcome.not_before), (FinishResult::Finished, "success", None));
    let (state, evidence, ended): (String, serde_json::Value, DateTime<Utc>) =
        sqlx::query_as("select state, evidence, ended_at from attempt").fetch_one(&f.db).await.unwrap();
    assert_eq!((state.as_str(), ended), ("success", moment(20)));
    assert_eq!((&evidence["exit_code"], &evidence["host"]), (&json!(0), &json!("here")));
    assert_eq!(f.one::<DateTime<Utc>>("select started_at from task_instance").await, moment(10));
    assert!(f.dirty(run).await);
    assert_eq!(f.count("live_attempt").await, 0);
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn i4_the_schema_refuses_a_success_without_evidence(db: PgPool) {
    let f = Fixture::new(&db);
    let insert = async |evidence: serde_json::Value| {
        sqlx::query("insert into attempt (run_id, idx, map_index, attempt, state, evidence, queue, pool, slots, ended_at) values (1, 0, -1, 1, 'success', $1, 'q', 'p', 1, now())")
            .bind(evidence)
            .execute(&f.db)
            .await
    };
    let times = || json!({"started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:00Z"});
    let with = |key: &str, value: serde_json::Value| {
        let mut evidence = times();
        evidence[key] = value;
        evidence
    };
    for bad in [
        json!({}),
        json!({"runner": "process"}),
        times(),
        with("exit_code", json!(1)),
        with("exit_code", json!(null)),
        with("runner", json!(null)),
        with("runner", json!("kubernetes")),
        json!({"exit_code": 0}),
        json!({"exit_code": 0, "started_at": "2026-01-01T00:00:00Z"}),
        json!([]),
        json!(null),
    ] {
        let error = insert(bad.clone()).await.expect_err(&bad.to_string());
        assert_eq!(error.as_database_error().unwrap().code().unwrap(), "23514", "{bad}");
    }
    insert(with("exit_code", json!(0))).await.unwrap();
}

#[sqlx::test(migrations = "../../migrations")]
async fn i4_an_exit_0_that_was_stopped_or_has_no_times_is_no_success(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(3).await;
    let stopped = |why| Evidence { facts: EndFacts { stopped: Some(why), ..exit(0).facts }, ..exit(0) };
    let timeless = Evidence { facts: EndFacts { exit_code: Some(0), ..EndFacts::default() }, ..exit(0) };
    for (idx, evidence) in [(0, stopped(Stopped::Disrupted)), (1, stopped(Stopped::Timeout)), (2, timeless)] {
        let attempt = f.start(run, idx, |_| {}).await;
        assert_eq!(f.finish(attempt, evidence).await.state, "up_for_retry");
    }
    assert_eq!((failures(&f, 0).await, failures(&f, 1).await, failures(&f, 2).await), ((0, 1), (1, 0), (0, 1)));
}

#[sqlx::test(migrations = "../../migrations")]
async fn i5_each_budget_pays_for_its_own_failures(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(6).await;
    for (idx, evidence, user, infra, state, counted, attempt_state) in [
        (0, exit(1), 1, 0, "up_for_retry", (1, 0), "up_for_retry"),
        (1, exit(1), 0, 5, "failed", (1, 0), "failed"),
        (2, lost(), 0, 1, "up_for_retry", (0, 1), "up_for_retry"),
        (3, lost(), 5, 0, "failed", (0, 1), "failed"),
        (4, exit(99), 1, 1, "skipped", (0, 0), "skipped"),
        (5, exit(0), 0, 0, "success", (0, 0), "success"),
    ] {
        let attempt = f
            .start(run, idx, |c| {
                (c.user_retries_left, c.infra_retries_left) = (user, infra);
                (c.user_retry_delay_ms, c.infra_retry_delay_ms) = (3_600_000, 7_200_000);
            })
            .await;
        let outcome = f.finish(attempt, evidence).await;
        assert_eq!(outcome.state, state, "task {idx}");
        assert_eq!(failures(&f, idx).await, counted, "task {idx}");
        assert_eq!(f.one::<String>(&format!("select state from attempt where idx = {idx}")).await, attempt_state);
        assert_eq!(outcome.not_before.is_some(), state == "up_for_retry");
        let due: Option<DateTime<Utc>> =
            sqlx::query_scalar("select max(at) from due where kind = 'retry' and idx = $1").bind(idx).fetch_one(&f.db).await.unwrap();
        assert_eq!(due, outcome.not_before, "the wake of task {idx}");
    }
    let hours: Vec<i32> = sqlx::query_scalar("select round(extract(epoch from at - now()) / 3600)::int from due order by idx")
        .fetch_all(&f.db)
        .await
        .unwrap();
    assert_eq!(hours, [1, 2]);
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_finish_that_comes_twice_is_already_done_and_an_unknown_one_unknown(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(2).await;
    let attempt = f.start(run, 0, |_| {}).await;
    let group: uuid::Uuid = f.one("select group_id from live_attempt").await;
    let twin = f.store.attempts_of_group(group).await.unwrap().pop().unwrap();
    let third = f.store.attempts_of_group(group).await.unwrap().pop().unwrap();
    // Both in one batch, as a worker may have that claimed and adopted the same attempt.
    let outcomes = f.store.attempts_finish(&[attempt.finish(exit(0)), twin.finish(lost())]).await.unwrap();
    assert_eq!(outcomes.iter().map(|o| o.result).collect::<Vec<_>>(), [FinishResult::Finished, FinishResult::Already]);
    let seq = f.seq(run).await.0;
    let again = f.finish(third, exit(1)).await;
    assert_eq!((again.result, again.state.as_str()), (FinishResult::Already, "success"));
    assert_eq!((f.seq(run).await.0, f.count("attempt").await), (seq, 1));

    let gone = f.start(run, 1, |_| {}).await;
    f.run_sql("delete from live_attempt").await;
    f.run_sql("update task_instance set state = 'none' where idx = 1").await;
    assert_eq!(f.finish(gone, exit(0)).await.result, FinishResult::Unknown);
    assert_eq!(f.state(run, 1).await, "none");
    assert!(f.store.attempts_finish(&[]).await.unwrap().is_empty());
}

#[sqlx::test(migrations = "../../migrations")]
async fn i3_the_end_of_an_older_attempt_does_not_touch_the_one_that_lives(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(1).await;
    let first = f.start(run, 0, |_| {}).await;
    let group: uuid::Uuid = f.one("select group_id from live_attempt").await;
    let stale = f.store.attempts_of_group(group).await.unwrap().pop().unwrap();
    f.finish(first, exit(1)).await;
    f.commit(run, vec![step(run, 0, "up_for_retry", "scheduled")]).await;
    f.admit(|_| {}).await;
    let second = f.claim(&f.group().await, &[key(run, 0, 2)]).await.pop().unwrap();
    let outcome = f.finish(stale, exit(0)).await;
    assert_eq!((outcome.result, outcome.state.as_str()), (FinishResult::Already, "queued"));
    assert_eq!(f.count("live_attempt where attempt = 2 and state = 'running'").await, 1);
    assert_eq!(f.finish(second, exit(0)).await.result, FinishResult::Finished);
    assert_eq!(f.count("attempt").await, 2);
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn xcom_is_stored_on_success_only_and_not_with_the_evidence(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(3).await;
    let with = |code, xcom| Evidence { facts: EndFacts { xcom: Some(xcom), ..exit(code).facts }, ..exit(code) };
    for (idx, evidence, state) in [
        (0, with(0, Ok(json!({"a": 1}))), "success"),
        (1, with(1, Ok(json!(2))), "up_for_retry"),
        (2, with(0, Err("too long".to_owned())), "up_for_retry"),
    ] {
        let attempt = f.start(run, idx, |_| {}).await;
        assert_eq!(f.finish(attempt, evidence).await.state, state);
    }
    assert_eq!(f.store.xcoms_of(run).await.unwrap(), [(0, "return_value".to_owned(), json!({"a": 1}))]);
    assert_eq!(f.count("attempt where evidence ? 'xcom'").await, 0);
}

#[sqlx::test(migrations = "../../migrations")]
async fn i1_the_due_row_of_a_retry_wakes_its_run_once(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(1).await;
    let attempt = f.start(run, 0, |_| {}).await;
    f.finish(attempt, exit(1)).await;
    f.commit(run, Vec::new()).await;
    assert!(f.store.due_next().await.unwrap().unwrap() <= 0);
    assert_eq!(f.store.due_take(10).await.unwrap(), [run]);
    assert!(f.dirty(run).await);
    assert!(f.store.due_take(10).await.unwrap().is_empty());
    assert_eq!(f.store.due_next().await.unwrap(), None);
}

#[sqlx::test(migrations = "../../migrations")]
async fn i5_a_due_row_of_an_overtaken_retry_does_not_start_the_next_one_early(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(1).await;
    let attempt = f.start(run, 0, |_| {}).await;
    f.finish(attempt, exit(1)).await; // due at once
    f.store.intent_request(run, &[(0, -1)], updraft_model::state::Intent::Clear, "me").await.unwrap();
    let attempt = f.start(run, 0, |c| c.user_retry_delay_ms = 3_600_000).await;
    assert_eq!(f.finish(attempt, exit(1)).await.state, "up_for_retry");
    f.commit(run, Vec::new()).await;
    f.store.due_take(10).await.unwrap();
    assert!(!f.dirty(run).await, "the first retry's time has come, but that retry is no more");
    assert_eq!(f.count("due").await, 1);
}
