//! What people ask for, against every point of an attempt's life: asked of the worker while it runs, done at once otherwise.

use sqlx::PgPool;
use updraft_model::state::Intent;
use updraft_model::{EndFacts, Evidence, RunKey};
use updraft_store::IntentEffect;

use crate::fixture::{Fixture, exit, key, step};

const ALL: [(Intent, &str); 5] = [
    (Intent::Clear, "none"),
    (Intent::Cancel, "failed"),
    (Intent::MarkSuccess, "success"),
    (Intent::MarkFailed, "failed"),
    (Intent::Skip, "skipped"),
];

async fn ask(f: &Fixture, run: RunKey, idx: i32, intent: Intent) -> IntentEffect {
    f.store.intent_request(run, &[(idx, -1)], intent, "ann").await.unwrap().pop().unwrap()
}

#[sqlx::test(migrations = "../../migrations")]
async fn before_the_claim_the_attempt_is_closed_at_once_and_its_hint_is_stale(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(5).await;
    f.schedule(run, 0..5).await;
    f.admit(|_| {}).await;
    let group = f.group().await;
    for (idx, (intent, state)) in (0..5).zip(ALL) {
        let (.., epoch) = f.seq(run).await;
        let effect = ask(&f, run, idx, intent).await;
        assert_eq!((effect.was.as_str(), effect.effect.as_str(), effect.told), ("queued", "done", None), "{intent:?}");
        assert_eq!(f.state(run, idx).await, state, "{intent:?}");
        assert!(f.claim(&group, &[key(run, idx, 1)]).await.is_empty(), "{intent:?}");
        assert_eq!(f.count(&format!("attempt where idx = {idx} and state = 'failed' and reason = 'never_started'")).await, 1);
        assert_eq!(f.seq(run).await.2, epoch + 1);
        f.assert_consistent().await;
    }
    assert!(f.dirty(run).await);
    assert_eq!(f.count("live_attempt").await, 0, "I7: no slot is held");
    // The number is used up: the next attempt is another.
    f.schedule(run, [0]).await;
    assert_eq!(f.admit(|_| {}).await[0].key, key(run, 0, 2));
}

#[sqlx::test(migrations = "../../migrations")]
async fn between_claim_and_finish_the_worker_is_told_and_the_intent_decides(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(15).await;
    let cancelled = Evidence { facts: EndFacts { stopped: Some(updraft_model::end::Stopped::Cancelled), ..exit(143).facts }, ..exit(143) };
    for (part, (evidence, attempt_state)) in [(exit(0), "success"), (exit(1), "failed"), (cancelled, "failed")].into_iter().enumerate() {
        for (nth, (intent, state)) in ALL.into_iter().enumerate() {
            let idx = i32::try_from(part * 5 + nth).unwrap();
            let attempt = f.start(run, idx, |_| {}).await;
            let owner =
                f.one(&format!("select g.owner from lease_group g join live_attempt l on l.group_id = g.id where idx = {idx}")).await;
            let (.., epoch) = f.seq(run).await;
            let effect = ask(&f, run, idx, intent).await;
            assert_eq!((effect.was.as_str(), effect.effect.as_str(), effect.told), ("running", "asked", Some(owner)));
            assert_eq!(f.seq(run).await.2, epoch, "what is only asked has changed nothing yet");
            assert_eq!(f.state(run, idx).await, "queued");
            let outcome = f.finish(attempt, evidence.clone()).await;
            assert_eq!((outcome.state.as_str(), outcome.not_before), (state, None), "{intent:?}");
            assert_eq!(
                f.one::<String>(&format!("select state from attempt where idx = {idx}")).await,
                attempt_state,
                "history tells the truth"
            );
            let of = format!("task_instance where idx = {idx} and intent is null and user_failures = 0 and infra_failures = 0");
            assert_eq!(f.count(&of).await, 1, "a person's word costs no retry");
            assert_eq!(f.seq(run).await.2, epoch + i64::from(intent == Intent::Clear));
        }
    }
    assert_eq!(f.count("due").await, 0);
    assert_eq!(f.count("task_instance where state = 'none' and (started_at is not null or ended_at is not null)").await, 0);
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn after_the_finish_clear_and_marks_are_done_and_cancel_and_skip_are_nothing(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(10).await;
    for (part, evidence) in [exit(0), exit(1)].into_iter().enumerate() {
        for (nth, (intent, state)) in ALL.into_iter().enumerate() {
            let idx = i32::try_from(part * 5 + nth).unwrap();
            let attempt = f.start(run, idx, |c| c.user_retries_left = 0).await;
            let was = f.finish(attempt, evidence.clone()).await.state;
            let (seq, _, epoch) = f.seq(run).await;
            let effect = ask(&f, run, idx, intent).await;
            assert_eq!(effect.was, was);
            let nothing = matches!(intent, Intent::Cancel | Intent::Skip);
            assert_eq!(effect.effect, if nothing { "nothing" } else { "done" }, "{intent:?}");
            assert_eq!(f.state(run, idx).await, if nothing { was.as_str() } else { state });
            assert_eq!(f.seq(run).await.0 - seq, i64::from(!nothing));
            assert_eq!(f.seq(run).await.2 - epoch, i64::from(!nothing));
        }
    }
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_only_waits_is_changed_at_once_and_leaves_nothing_ready(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(15).await;
    for (nth, (intent, state)) in ALL.into_iter().enumerate() {
        let [none, ready, retry] = [0, 5, 10].map(|of| i32::try_from(nth).unwrap() + of);
        let attempt = f.start(run, retry, |c| c.user_retry_delay_ms = 60_000).await;
        assert_eq!(f.finish(attempt, exit(1)).await.state, "up_for_retry");
        f.schedule(run, [ready]).await;
        for (idx, was) in [(none, "none"), (ready, "scheduled"), (retry, "up_for_retry")] {
            let effect = ask(&f, run, idx, intent).await;
            assert_eq!((effect.was.as_str(), effect.effect.as_str()), (was, "done"), "{intent:?}");
            assert_eq!(f.state(run, idx).await, state, "{intent:?} of {was}");
        }
        assert_eq!(f.count("ready").await + f.count("pool_run").await, 0);
        f.assert_consistent().await;
    }
    assert_eq!(f.count("task_instance where not_before is not null").await, 0);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_clear_resets_failures_xcom_and_the_next_attempt_has_its_full_budget(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(2).await;
    let attempt = f.start(run, 0, |_| {}).await;
    f.finish(attempt, exit(1)).await;
    f.commit(run, vec![step(run, 0, "up_for_retry", "scheduled")]).await;
    f.admit(|_| {}).await;
    let attempt = f.claim(&f.group().await, &[key(run, 0, 2)]).await.pop().unwrap();
    let value = Evidence { facts: EndFacts { xcom: Some(Ok(serde_json::json!(1))), ..exit(0).facts }, ..exit(0) };
    f.finish(attempt, value).await;
    assert_eq!(f.store.xcoms_of(run).await.unwrap().len(), 1);
    ask(&f, run, 0, Intent::Clear).await;
    assert!(f.store.xcoms_of(run).await.unwrap().is_empty());
    assert_eq!(f.count("task_instance where idx = 0 and user_failures = 0 and started_at is null and reason is null").await, 1);
    let attempt = f.start(run, 0, |_| {}).await;
    assert_eq!(attempt.key(), key(run, 0, 3));
    // A clear while it runs does the same when it ends.
    ask(&f, run, 0, Intent::Clear).await;
    f.finish(attempt, exit(1)).await;
    let heads = {
        f.schedule(run, [0]).await;
        f.store.admit_heads("default_pool").await.unwrap().unwrap().heads
    };
    assert_eq!((heads[0].attempt, heads[0].user_failures), (3, 0));
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_last_intent_counts_and_unknown_instances_are_passed_over(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(1).await;
    let attempt = f.start(run, 0, |_| {}).await;
    ask(&f, run, 0, Intent::Cancel).await;
    ask(&f, run, 0, Intent::Clear).await;
    assert!(f.store.intent_request(run, &[(7, -1), (0, 3)], Intent::Clear, "ann").await.unwrap().is_empty());
    assert!(f.store.intent_request(RunKey(-1), &[(0, -1)], Intent::Clear, "ann").await.unwrap().is_empty());
    assert_eq!(f.finish(attempt, exit(0)).await.state, "none");
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_clear_of_20000_instances_takes_time_in_proportion(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(20_000).await;
    let keys: Vec<(i32, i32)> = (0..20_000).map(|i| (i, -1)).collect();
    let begin = std::time::Instant::now();
    f.store.intent_request(run, &keys, Intent::MarkSuccess, "ann").await.unwrap();
    println!("marked 20,000 instances in {:?}", begin.elapsed());
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_person_skips_what_is_over_and_no_planner_sees_it_in_between(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(4).await;
    let done = f.start(run, 0, |_| {}).await;
    assert_eq!(f.finish(done, exit(0)).await.state, "success");
    let running = f.start(run, 1, |_| {}).await;
    f.commit(run, vec![step(run, 2, "none", "skipped")]).await;
    let before = f.seq(run).await;
    let effects = f.store.instances_skip(run, &[(0, -1), (1, -1), (2, -1), (3, -1)], "ann").await.unwrap();
    let by_task: Vec<(i32, &str)> = effects.iter().map(|e| (e.idx, e.effect.as_str())).collect();
    assert_eq!(by_task, [(0, "done"), (1, "asked"), (2, "nothing"), (3, "done")]);
    assert!(effects[1].told.is_some(), "what runs is stopped by its worker first");
    assert_eq!(
        (f.state(run, 0).await, f.state(run, 1).await, f.state(run, 3).await),
        ("skipped".into(), "queued".into(), "skipped".into())
    );
    assert_eq!(f.count("attempt where idx = 0 and state = 'success'").await, 1, "history tells the truth");
    let last: String = f.one(&format!("select state from event where run_id = {run} and idx = 0 order by seq desc limit 1")).await;
    assert_eq!(last, "skipped", "a planner that follows events ends where one that loads does");
    assert!(f.seq(run).await.2 > before.2, "a plan that was made before is dropped");
    assert_eq!(f.finish(running, exit(0)).await.state, "skipped");
    f.assert_consistent().await;
}
