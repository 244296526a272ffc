//! What the scheduler waits for itself: one look at a time, one end for an attempt, whoever dies or asks for something else meanwhile.

use serde_json::json;
use sqlx::PgPool;
use updraft_model::state::Intent;
use updraft_model::{AttemptKey, RunKey};
use updraft_store::{Looked, Triggered, Triggering};

use crate::fixture::{Fixture, key, moment, step, wide};

fn looked(key: AttemptKey, state: &'static str) -> Looked {
    Looked { key, state, reason: None, message: "said so".to_owned(), at: None }
}

async fn defer(f: &Fixture, run: RunKey, tasks: impl IntoIterator<Item = i32>) {
    let moves = tasks.into_iter().map(|idx| step(run, idx, "none", "deferred")).collect();
    assert!(f.commit(run, moves).await.fresh);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_look_is_taken_once_and_comes_back_when_whoever_took_it_died(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(40).await;
    defer(&f, run, 0..40).await;
    f.assert_consistent().await;
    assert_eq!(f.count("live_attempt").await + f.count("ready").await, 0, "no slot is held");
    let wide = wide(&db, 4);
    let takers: Vec<_> = (0..4)
        .map(|_| {
            let store = Fixture::new(&wide).store;
            tokio::spawn(async move { store.deferred_take(15, 10).await.unwrap() })
        })
        .collect();
    let mut taken = Vec::new();
    for taker in takers {
        taken.extend(taker.await.unwrap().into_iter().map(|one| one.key));
    }
    taken.extend(f.store.deferred_take(40, 10).await.unwrap().into_iter().map(|one| one.key));
    taken.sort_unstable();
    assert_eq!(taken, (0..40).map(|idx| key(run, idx, 1)).collect::<Vec<_>>());
    assert!(f.store.due_next().await.unwrap().is_some_and(|ms| (1..=10_000).contains(&ms)), "its lease is what is waited for");
    // The lease is over.
    f.run_sql("update deferred set at = now() - interval '1 ms' where idx = 7").await;
    assert_eq!(f.store.deferred_take(40, 10).await.unwrap()[0].key, key(run, 7, 1));
    wide.close().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn of_two_that_looked_the_first_wins(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(4).await;
    defer(&f, run, 0..4).await;
    let ends = [(0, "success"), (1, "failed"), (2, "skipped"), (3, "up_for_retry")];
    let batch: Vec<Looked> = ends
        .iter()
        .map(|(idx, state)| Looked { at: (*state == "up_for_retry").then(|| moment(0)), ..looked(key(run, *idx, 1), state) })
        .collect();
    assert_eq!(f.store.deferred_commit(&batch).await.unwrap().len(), 4);
    assert!(f.dirty(run).await, "the planner looks at it next");
    let again: Vec<Looked> = (0..4).map(|idx| looked(key(run, idx, 1), "success")).collect();
    assert!(f.store.deferred_commit(&again).await.unwrap().is_empty());
    for (idx, state) in ends {
        assert_eq!(f.state(run, idx).await, state);
        assert_eq!(f.count(&format!("attempt where idx = {idx} and state = '{state}' and evidence ->> 'runner' = 'scheduler'")).await, 1);
    }
    assert_eq!(f.one::<i32>("select user_failures from task_instance where idx = 3").await, 1);
    assert_eq!(f.count("due where kind = 'retry' and idx = 3").await, 1);
    assert_eq!(f.count("deferred").await, 0);
    f.assert_consistent().await;
    // The next attempt is another: what was seen of the first does not end it.
    let moves = vec![step(run, 3, "up_for_retry", "deferred")];
    assert!(f.commit(run, moves).await.fresh);
    assert!(f.store.deferred_commit(&[looked(key(run, 3, 1), "success")]).await.unwrap().is_empty());
    assert_eq!((f.state(run, 3).await.as_str(), f.count("deferred where attempt = 2").await), ("deferred", 1));
}

#[sqlx::test(migrations = "../../migrations")]
async fn it_waits_on_without_an_event(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(1).await;
    defer(&f, run, [0]).await;
    let seq = f.seq(run).await;
    let later = f.one("select now() + interval '1 hour'").await;
    f.store.deferred_commit(&[Looked { at: Some(later), ..looked(key(run, 0, 1), "deferred") }]).await.unwrap();
    assert_eq!(f.seq(run).await, seq, "a wait costs the planner nothing");
    assert!(f.store.deferred_take(10, 10).await.unwrap().is_empty());
    assert!(f.store.due_next().await.unwrap().is_some_and(|ms| ms > 3_500_000));
    let said: String =
        f.one("select message from task_instance where state = 'deferred' and not_before > now() + interval '59 minutes'").await;
    assert_eq!(said, "said so");
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_people_ask_for_ends_the_wait_at_once(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(6).await;
    defer(&f, run, 0..6).await;
    let all = [
        (Intent::Clear, "none"),
        (Intent::Cancel, "failed"),
        (Intent::MarkSuccess, "success"),
        (Intent::MarkFailed, "failed"),
        (Intent::Skip, "skipped"),
    ];
    for (idx, (intent, state)) in (0..5).zip(all) {
        let effect = f.store.intent_request(run, &[(idx, -1)], intent, "ann").await.unwrap().pop().unwrap();
        assert_eq!((effect.was.as_str(), effect.effect.as_str()), ("deferred", "done"));
        assert_eq!(f.state(run, idx).await, state);
        assert_eq!(f.count(&format!("attempt where idx = {idx} and attempt = 1 and reason = '{}'", intent.as_str())).await, 1);
        // A look that was on its way comes to nothing.
        assert!(f.store.deferred_commit(&[looked(key(run, idx, 1), "success")]).await.unwrap().is_empty());
        assert_eq!(f.state(run, idx).await, state);
        f.assert_consistent().await;
    }
    // The end of its run by the planner.
    f.commit(run, vec![step(run, 5, "deferred", "skipped")]).await;
    assert_eq!(f.count("attempt where idx = 5 and state = 'skipped'").await, 1);
    assert_eq!(f.count("deferred").await, 0);
    defer(&f, run, [0]).await;
    assert_eq!(f.store.deferred_take(10, 10).await.unwrap()[0].key, key(run, 0, 2), "its number is used up");
    f.assert_consistent().await;
}

fn triggering<'a>(run_id: &'a str, version_id: i64, conf: &'a serde_json::Value) -> Triggering<'a> {
    Triggering {
        dag_id: "other",
        run_id,
        logical_date: None,
        data_interval: None,
        run_after: moment(0),
        conf,
        note: None,
        user: None,
        version_id,
        reset: false,
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_run_is_made_once_for_an_attempt(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(3).await;
    let version = f.dag("other", 2, 1000).await;
    defer(&f, run, 0..3).await;
    let conf = json!({"k": 1});
    let first = f.store.deferred_trigger(key(run, 0, 1), &triggering("one", version, &conf)).await.unwrap();
    let Triggered::Made(made, name, _) = &first else { panic!("{first:?}") };
    assert_eq!(name, "one");
    // Whoever looks again, with another name by now, finds the run that was made.
    assert_eq!(f.store.deferred_trigger(key(run, 0, 1), &triggering("later", version, &conf)).await.unwrap(), first);
    assert_eq!(f.count("run where dag_id = 'other' and run_type = 'operator_triggered' and conf = '{\"k\": 1}'").await, 1);
    assert_eq!(f.one::<serde_json::Value>("select value from xcom where idx = 0 and key = 'trigger_run_id'").await, json!("one"));
    let memo = f.store.deferred_take(10, 10).await.unwrap()[0].memo.clone();
    assert_eq!(memo, Some(json!({"run": made.0, "run_id": "one"})));
    assert_eq!(
        f.store.deferred_trigger(key(run, 1, 1), &triggering("one", version, &conf)).await.unwrap(),
        Triggered::Exists("one".to_owned())
    );
    // Cleared, which is not made anew.
    f.store.runs_start("other").await.unwrap();
    f.run_sql("update task_instance set state = 'success', ended_at = now() where run_id = (select id from run where run_id = 'one')")
        .await;
    f.run_sql("update run set state = 'success' where run_id = 'one'").await;
    let again = Triggering { reset: true, ..triggering("one", version, &conf) };
    assert_eq!(f.store.deferred_trigger(key(run, 1, 1), &again).await.unwrap(), Triggered::Made(*made, "one".to_owned(), vec![]));
    assert_eq!(f.one::<String>("select state from run where run_id = 'one'").await, "queued");
    assert_eq!(f.count(&format!("task_instance where run_id = {made} and state = 'none'")).await, 2);
    // Nobody waits for it any more.
    f.store.intent_request(run, &[(2, -1)], Intent::Clear, "ann").await.unwrap();
    assert_eq!(f.store.deferred_trigger(key(run, 2, 1), &triggering("two", version, &conf)).await.unwrap(), Triggered::Gone);
    assert_eq!(f.count("run where run_id = 'two'").await, 0);
}
