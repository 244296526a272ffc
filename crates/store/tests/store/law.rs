//! The law of the cache: folding a run's events over an older view gives what loading the run anew gives, whatever happened in between.

use std::sync::Arc;

use sqlx::PgPool;
use updraft_model::state::Intent;
use updraft_model::{RunKey, RunState, TaskState};
use updraft_planner::{DagGraph, InstanceState, RunView, plan};
use updraft_store::{Commit, MoveRow, RunEnd, RunningAttempt};

use crate::fixture::{Fixture, Random, exit, lost, spec_of, step};

const TASKS: usize = 14;

struct Cached {
    view: RunView,
    seq: i64,
    epoch: i64,
}

async fn load(f: &Fixture, graph: &Arc<DagGraph>, run: RunKey) -> Cached {
    let head = f.store.run_load(run).await.unwrap().unwrap();
    let instances = head.instances.iter().map(|row| InstanceState {
        task: u32::try_from(row.idx).unwrap(),
        state: row.state.parse().unwrap(),
        not_before: row.not_before,
    });
    let state: RunState = head.facts.state.parse().unwrap();
    Cached { view: RunView::new(Arc::clone(graph), state, instances, None, None), seq: head.seq, epoch: head.epoch }
}

/// Something that is not the planner's: an admission, a claim, an end, a person's word, a time that has come.
async fn disturb(f: &Fixture, run: RunKey, random: &mut Random, held: &mut Vec<RunningAttempt>) {
    match random.below(5) {
        0 => {
            let keys: Vec<_> = f.admit(|c| c.user_retries_left = 1).await.iter().map(|a| a.key).collect();
            held.extend(f.claim(&f.group().await, &keys[..keys.len().min(3)]).await);
        }
        1 => {
            let rows: Vec<(i32, i32)> = sqlx::query_as("select idx, attempt from live_attempt where state = 'queued' order by idx limit 4")
                .fetch_all(&f.db)
                .await
                .unwrap();
            let keys: Vec<_> = rows.iter().map(|r| crate::fixture::key(run, r.0, r.1)).collect();
            held.extend(f.claim(&f.group().await, &keys).await);
        }
        2 => {
            random.shuffle(held);
            let ends: Vec<_> = held
                .drain(..held.len().min(3))
                .map(|a| {
                    a.finish(match random.below(5) {
                        0 => exit(1),
                        1 => lost(),
                        2 => exit(99),
                        _ => exit(0),
                    })
                })
                .collect();
            f.store.attempts_finish(&ends).await.unwrap();
        }
        3 if random.below(3) == 0 => {
            let keys: Vec<(i32, i32)> = (0..3).map(|_| (i32::try_from(random.below(TASKS)).unwrap(), -1)).collect();
            let intent = *random.of(&[Intent::Clear, Intent::Cancel, Intent::MarkSuccess, Intent::MarkFailed, Intent::Skip]);
            f.store.intent_request(run, &keys, intent, "ann").await.unwrap();
        }
        _ => drop(f.store.due_take(10).await.unwrap()),
    }
}

async fn fold(f: &Fixture, run: RunKey, cached: &mut Cached) -> bool {
    let (_, loads) = f.store.plan_load(&[(run, cached.seq)]).await.unwrap();
    for (expected, event) in (cached.seq + 1..).zip(&loads[0].events) {
        assert_eq!(event.seq, expected, "numbers without gaps");
        let Ok(task) = u32::try_from(event.idx) else { continue };
        match &event.state {
            Some(state) => cached.view.apply(task, state.parse::<TaskState>().unwrap()),
            None => cached.view.due(task),
        }
    }
    cached.seq = loads[0].seq;
    cached.epoch == loads[0].epoch
}

#[sqlx::test(migrations = "../../migrations")]
async fn folding_events_equals_loading_after_any_sequence_of_steps(db: PgPool) {
    let f = Fixture::new(&db);
    let spec = spec_of("d", TASKS, |i| match i {
        0..4 => Vec::new(),
        4..10 => vec![i - 4, i - 3],
        _ => vec![i - 4, i - 1],
    });
    let version = f.dag_of(&spec, 9).await;
    let graph = Arc::new(DagGraph::new(spec));
    let (mut ended, mut reloads, mut folds) = (0, 0, 0);
    for seed in 1..=6 {
        let mut random = Random::new(seed);
        let run = f.store.run_create(&Fixture::new_run("d", &format!("r{seed}"), version)).await.unwrap().unwrap();
        f.store.runs_start("d").await.unwrap();
        let mut held = Vec::new();
        let mut cached = load(&f, &graph, run).await;
        for turn in 0..60 {
            disturb(&f, run, &mut random, &mut held).await;
            let same_epoch = fold(&f, run, &mut cached).await;
            let loaded = load(&f, &graph, run).await;
            assert!(cached.view == loaded.view, "seed {seed}, turn {turn}: folded {:?}, loaded {:?}", cached.view, loaded.view);
            assert_eq!(cached.seq, loaded.seq);
            folds += 1;
            if !same_epoch {
                cached = loaded;
                reloads += 1;
            }
            // Plan on the folded view; sometimes the world moves on before the commit.
            let now = f.one("select now()").await;
            let planned = plan(&mut cached.view, now);
            if random.below(2) == 0 {
                disturb(&f, run, &mut random, &mut held).await;
            }
            let moves: Vec<MoveRow> = planned
                .steps
                .iter()
                .map(|s| step(run, i32::try_from(s.task).unwrap(), s.from.as_str(), s.step.target().as_str()))
                .collect();
            let ends: Vec<RunEnd> = planned.end.iter().map(|e| RunEnd { run, state: e.0.as_str(), reason: None }).collect();
            let over = !ends.is_empty();
            let commit = Commit { runs: vec![(run, cached.epoch, cached.seq)], moves, ends, poke: Vec::new() };
            let committed = f.store.plan_commit(&commit).await.unwrap()[0];
            if !committed.fresh {
                cached = load(&f, &graph, run).await;
                reloads += 1;
                continue;
            }
            if committed.base == cached.seq {
                cached.seq = committed.seq;
                assert!(!f.dirty(run).await, "seed {seed}, turn {turn}: everything was seen");
                assert!(cached.view == load(&f, &graph, run).await.view, "seed {seed}, turn {turn}: a complete commit needs no load");
            }
            if over {
                ended += 1;
                f.store.intent_request(run, &[(1, -1), (5, -1), (9, -1), (13, -1)], Intent::Clear, "ann").await.unwrap();
                f.store.run_reopen(run).await.unwrap();
                f.store.runs_start("d").await.unwrap();
                cached = load(&f, &graph, run).await;
            }
        }
        f.run_sql(&format!("update run set state = 'failed' where id = {run}")).await;
        f.run_sql("delete from ready").await;
        f.run_sql("delete from pool_run").await;
        f.run_sql("update task_instance set state = 'none' where state = 'scheduled'").await;
    }
    println!("{folds} folds, {reloads} reloads, {ended} ends of runs");
    assert!(ended > 0 && reloads > 0);
}
