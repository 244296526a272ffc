//! plan-commit: guarded moves, the bookkeeping of events, the end of a run.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use updraft_model::RunKey;
use updraft_model::state::Intent;
use updraft_store::{Commit, RunEnd};

use crate::fixture::{Fixture, exit, step};

#[sqlx::test(migrations = "../../migrations")]
async fn own_events_keep_a_clean_run_clean_and_number_without_gaps(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(5).await;
    let before = f.seq(run).await.0;
    let committed = f.commit(run, (0..3).map(|i| step(run, i, "none", "scheduled")).collect()).await;
    assert_eq!((committed.base, committed.seq, committed.fresh), (before, before + 3, true));
    assert!(!f.dirty(run).await);
    assert_eq!(f.count("ready").await, 3);
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn foreign_events_leave_the_run_dirty_until_they_were_seen(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(3).await;
    let (seen, _, epoch) = f.seq(run).await;
    let attempt = f.start(run, 0, |_| {}).await;
    f.finish(attempt, exit(0)).await;
    assert!(f.dirty(run).await);
    assert_eq!(f.store.runs_dirty(10).await.unwrap(), [run]);
    // A planner that saw less than the end commits: its moves go in, the mark stays.
    let late = Commit { runs: vec![(run, epoch, seen)], moves: vec![step(run, 1, "none", "scheduled")], ..Commit::default() };
    let committed = f.store.plan_commit(&late).await.unwrap()[0];
    assert!(committed.fresh && committed.base > seen);
    assert_eq!(f.state(run, 1).await, "scheduled");
    assert!(f.dirty(run).await);
    f.commit(run, Vec::new()).await;
    assert!(!f.dirty(run).await);
    // A planner that is behind cannot take the mark back.
    f.store.plan_commit(&Commit { runs: vec![(run, epoch, seen)], ..Commit::default() }).await.unwrap();
    assert!(!f.dirty(run).await);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_move_from_another_state_is_dropped_alone(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(3).await;
    f.schedule(run, [0]).await;
    let committed = f.commit(run, vec![step(run, 0, "none", "scheduled"), step(run, 1, "none", "success")]).await;
    assert_eq!(committed.seq, committed.base + 1);
    assert_eq!((f.state(run, 0).await, f.state(run, 1).await), ("scheduled".to_owned(), "success".to_owned()));
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_move_of_an_instance_with_an_intent_is_dropped(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(1).await;
    let attempt = f.start(run, 0, |_| {}).await;
    f.store.intent_request(run, &[(0, -1)], Intent::Cancel, "me").await.unwrap();
    let committed = f.commit(run, vec![step(run, 0, "queued", "skipped")]).await;
    assert_eq!(committed.seq, committed.base);
    assert_eq!(f.finish(attempt, exit(1)).await.state, "failed");
}

#[sqlx::test(migrations = "../../migrations")]
async fn nothing_of_a_run_with_another_epoch_is_written(db: PgPool) {
    let f = Fixture::new(&db);
    let runs = f.runs(2, 2).await;
    let (seq, _, epoch) = f.seq(runs[0]).await;
    f.store.intent_request(runs[0], &[(1, -1)], Intent::MarkSuccess, "me").await.unwrap();
    let (other_seq, _, other_epoch) = f.seq(runs[1]).await;
    let committed = f
        .store
        .plan_commit(&Commit {
            runs: vec![(runs[0], epoch, seq), (runs[1], other_epoch, other_seq)],
            moves: vec![step(runs[0], 0, "none", "scheduled"), step(runs[1], 0, "none", "scheduled")],
            ends: vec![RunEnd { run: runs[0], state: "success", reason: None }],
            poke: Vec::new(),
        })
        .await
        .unwrap();
    assert_eq!(committed.iter().map(|c| c.fresh).collect::<Vec<_>>(), [false, true]);
    assert_eq!((f.state(runs[0], 0).await, f.state(runs[1], 0).await), ("none".to_owned(), "scheduled".to_owned()));
    assert_eq!(f.one::<String>(&format!("select state from run where id = {}", runs[0])).await, "running");
    assert!(f.dirty(runs[0]).await);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_run_ends_only_from_running_and_only_once(db: PgPool) {
    let f = Fixture::new(&db);
    let version = f.dag("d", 1, 1).await;
    let run = f.store.run_create(&Fixture::new_run("d", "r", version)).await.unwrap().unwrap();
    let end = |state| RunEnd { run, state, reason: None };
    let commit = async |ends| {
        let (seq, _, epoch) = f.seq(run).await;
        f.store.plan_commit(&Commit { runs: vec![(run, epoch, seq)], ends, ..Commit::default() }).await.unwrap()[0]
    };
    let queued = commit(vec![end("success")]).await;
    assert_eq!(queued.seq, queued.base, "a queued run cannot end");
    f.store.runs_start("d").await.unwrap();
    let ended = commit(vec![end("failed")]).await;
    assert_eq!(ended.seq, ended.base + 1);
    let again = commit(vec![end("success")]).await;
    assert_eq!(again.seq, again.base, "what is over does not end again, and says nothing");
    assert_eq!(f.one::<String>("select state from run").await, "failed");
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_mark_says_whether_it_was_what_ended_the_run(db: PgPool) {
    let f = Fixture::new(&db);
    let version = f.dag("d", 1, 9).await;
    let create = async |name| f.store.run_create(&Fixture::new_run("d", name, version)).await.unwrap().unwrap();
    let (by_plan, by_hand) = (create("plan").await, create("hand").await);
    f.store.runs_start("d").await.unwrap();
    let end_date = async |run: RunKey| f.one::<DateTime<Utc>>(&format!("select end_date from run where id = {run}")).await;

    let (seq, _, epoch) = f.seq(by_plan).await;
    let ends = vec![RunEnd { run: by_plan, state: "failed", reason: None }];
    f.store.plan_commit(&Commit { runs: vec![(by_plan, epoch, seq)], ends, ..Commit::default() }).await.unwrap();
    let ended = end_date(by_plan).await;
    assert!(!f.store.run_end_by_hand(by_plan, "failed", "ann").await.unwrap(), "the plan ended it");
    assert_eq!(end_date(by_plan).await, ended, "the end of a run moves with its state alone");
    assert!(!f.store.run_end_by_hand(by_plan, "success", "ann").await.unwrap());
    assert!(end_date(by_plan).await > ended);

    assert!(f.store.run_end_by_hand(by_hand, "failed", "ann").await.unwrap());
    assert!(!f.store.run_end_by_hand(by_hand, "failed", "ann").await.unwrap(), "it was over");
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_poke_wakes_another_run_even_when_the_same_commit_plans_it(db: PgPool) {
    let f = Fixture::new(&db);
    let runs = f.runs(3, 2).await;
    let mut seen = Vec::new();
    for run in &runs[..2] {
        let (seq, _, epoch) = f.seq(*run).await;
        seen.push((*run, epoch, seq));
    }
    let moves = vec![step(runs[1], 0, "none", "scheduled")];
    let committed = f.store.plan_commit(&Commit { runs: seen, moves, ends: Vec::new(), poke: vec![runs[1], runs[2]] }).await.unwrap();
    assert!(f.dirty(runs[1]).await && f.dirty(runs[2]).await && !f.dirty(runs[0]).await);
    // A scheduler goes on from the number that it is given: the poke must come after it.
    let (_, loads) = f.store.plan_load(&[(runs[1], committed[1].seq)]).await.unwrap();
    assert_eq!(loads[0].events.len(), 1, "{committed:?}");
    assert_eq!(loads[0].events[0].idx, -1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_skipped_while_it_waits_leaves_no_head_behind(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(2).await;
    f.schedule(run, [0, 1]).await;
    f.commit(run, vec![step(run, 0, "scheduled", "skipped")]).await;
    assert_eq!(f.count("pool_run").await, 1);
    f.commit(run, vec![step(run, 1, "scheduled", "skipped")]).await;
    assert_eq!(f.count("pool_run").await, 0, "an empty head takes a place from those that wait");
    f.assert_consistent().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_load_gives_the_events_after_those_that_were_seen(db: PgPool) {
    let f = Fixture::new(&db);
    let run = f.run(3).await;
    let seen = f.seq(run).await.0;
    f.schedule(run, [0, 2]).await;
    let (_, loads) = f.store.plan_load(&[(run, seen)]).await.unwrap();
    let events: Vec<_> = loads[0].events.iter().map(|e| (e.seq, e.idx, e.state.clone().unwrap())).collect();
    assert_eq!(events, [(seen + 1, 0, "scheduled".to_owned()), (seen + 2, 2, "scheduled".to_owned())]);
    assert!(f.store.plan_load(&[(run, i64::MAX)]).await.unwrap().1[0].events.is_empty());
    assert!(f.store.plan_load(&[(updraft_model::RunKey(-1), 0)]).await.unwrap().1.is_empty());
}
