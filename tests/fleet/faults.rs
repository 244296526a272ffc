//! What the servers can do to a fleet, and people: a wiped broker, a broker that never was, a Postgres that restarts, a full pool, clears and
//! cancels at random.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::chaos::{Random, drive, runs};
use crate::http::encode;
use crate::ledger::{Ledger, diamond};
use crate::roles::{Fleet, Plan};
use crate::servers::rabbitmqctl;

fn check(fleet: &mut Fleet, runs: usize) -> Ledger {
    let ledger = Ledger::read(&fleet.ledger());
    ledger.assert_once();
    for n in 0..runs {
        ledger.assert_diamond(&format!("run{n}"));
    }
    fleet.assert_clean();
    ledger
}

#[test]
fn a_broker_that_is_wiped_in_mid_run_costs_nothing() {
    let runs = runs(400);
    let mut fleet = Fleet::start(&[("diamond.yaml", &diamond())], Plan::default());
    fleet.until_dag("diamond");
    let mut wiped = None;
    let mut resumed = None;
    let wipe_at = runs as u64 / 3;
    let path = fleet.ledger();
    drive(&mut fleet, runs, Duration::from_secs(600), |_, ended| {
        if wiped.is_none() && ended >= wipe_at {
            for words in [&["stop_app"][..], &["reset"], &["start_app"]] {
                rabbitmqctl(words);
            }
            wiped = Some((Instant::now(), Ledger::read(&path).starts.len()));
        }
        if let (Some((at, before)), None) = (&wiped, &resumed)
            && Ledger::read(&path).starts.len() > *before
        {
            resumed = Some(at.elapsed());
        }
    });
    let resumed = resumed.expect("commands started after the wipe");
    eprintln!("{runs} runs; going again {resumed:?} after the wipe");
    assert!(resumed < Duration::from_secs(15), "{resumed:?}");
    check(&mut fleet, runs);
}

#[test]
fn without_any_broker_everything_still_runs() {
    let runs = runs(200);
    // Nobody listens there.
    let plan = Plan { broker_url: Some("amqp://guest:guest@127.0.0.1:9/".to_owned()), ..Plan::default() };
    let mut fleet = Fleet::start(&[("diamond.yaml", &diamond())], plan);
    fleet.until_dag("diamond");
    let begin = Instant::now();
    drive(&mut fleet, runs, Duration::from_secs(600), |_, _| {});
    eprintln!("{runs} runs without a broker, {:.1} s", begin.elapsed().as_secs_f64());
    check(&mut fleet, runs);
}

#[test]
fn a_postgres_that_restarts_makes_nobody_exit() {
    let runs = runs(400);
    let mut fleet = Fleet::start(&[("diamond.yaml", &diamond())], Plan::default());
    fleet.until_dag("diamond");
    let mut restarts = 0;
    drive(&mut fleet, runs, Duration::from_secs(600), |fleet, ended| {
        if ended >= (restarts + 1) * runs as u64 / 14 {
            fleet.postgres.restart_immediately();
            restarts += 1;
        }
    });
    assert!(restarts >= 12, "{restarts} restarts");
    for role in fleet.schedulers.iter_mut().chain(&mut fleet.workers) {
        assert!(role.runs(), "{} has exited\n{}", role.name, role.log());
    }
    assert!(fleet.api.runs(), "the API has exited");
    check(&mut fleet, runs);
}

#[test]
fn a_pool_of_ten_never_holds_eleven() {
    let runs = runs(300);
    let text = diamond().replace("max_active_tasks: 64", "max_active_tasks: 64\ndefault_args: {pool: narrow}");
    let mut fleet = Fleet::start(&[("diamond.yaml", &text)], Plan { schedulers: 4, ..Plan::default() });
    let pool = json!({"name": "narrow", "slots": 10, "description": null, "include_deferred": false});
    fleet.until(Duration::from_secs(30), "the pool is made", |fleet| {
        matches!(fleet.send("POST", "/api/v2/pools", &pool).0, 200 | 201 | 409)
    });
    fleet.until_dag("diamond");
    let mut most = 0;
    let mut look = Instant::now();
    drive(&mut fleet, runs, Duration::from_secs(600), |fleet, _| {
        if Instant::now() >= look {
            let live: i64 = fleet.postgres.query("select coalesce(sum(slots), 0) from live_attempt where pool = 'narrow'").parse().unwrap();
            most = most.max(live);
            look = Instant::now() + Duration::from_millis(250);
        }
    });
    let ledger = check(&mut fleet, runs);
    eprintln!("most live by our table {most}, by the commands themselves {}", ledger.most_at_once());
    assert!(most <= 10, "{most} were live");
    assert!((6..=10).contains(&ledger.most_at_once()), "{} ran at once", ledger.most_at_once());
}

#[test]
fn clears_and_cancels_at_random_double_nothing() {
    let runs = runs(300);
    let mut fleet = Fleet::start(&[("diamond.yaml", &diamond())], Plan::default());
    fleet.until_dag("diamond");
    let mut random = Random::new();
    let (mut clears, mut cancels) = (0, 0);
    // By the runs that have ended, not by the clock: a fast machine, or a slow one, is disturbed as often.
    let mut next = 1;
    drive(&mut fleet, runs, Duration::from_secs(600), |fleet, ended| {
        if ended < next || ended + 1 >= runs as u64 {
            return;
        }
        next = ended + 1 + random.below(3);
        // One that runs now, by the API's word: it may end before the cancel comes, and is then marked all the same.
        let live = fleet.get("/api/v2/dags/diamond/dagRuns/~/taskInstances?state=running&limit=20");
        let live = live.and_then(|page| page["task_instances"].as_array().cloned()).unwrap_or_default();
        if !live.is_empty() {
            let one = &live[usize::try_from(random.below(live.len() as u64)).unwrap()];
            let (run, task) = (one["dag_run_id"].as_str().unwrap(), one["task_id"].as_str().unwrap());
            let path = format!("/api/v2/dags/diamond/dagRuns/{}/taskInstances/{task}", encode(run));
            cancels += u32::from(fleet.send("PATCH", &path, &json!({"new_state": "failed"})).0 == 200);
        }
        // Among those that are under way now, mostly: some have nothing to clear yet.
        for _ in 0..4 {
            let run = format!("run{}", ended.saturating_sub(5) + random.below(40));
            let task = ["a", "b", "c", "d"][usize::try_from(random.below(4)).unwrap()];
            let body = json!({"dry_run": false, "dag_run_id": run, "task_ids": [task], "include_downstream": true, "only_failed": false, "reset_dag_runs": true});
            clears += u32::from(fleet.send("POST", "/api/v2/dags/diamond/clearTaskInstances", &body).0 == 200);
        }
        if random.below(8) == 0 {
            let mut roles = fleet.roles();
            let victim = usize::try_from(random.below(roles.len() as u64)).unwrap();
            roles[victim].kill_9_and_restart();
        }
    });
    eprintln!("{runs} runs, {clears} clears, {cancels} cancels");
    assert!(clears > 20 && cancels > 10, "{clears} clears, {cancels} cancels");
    // What was cleared last may still be under way.
    fleet.until(Duration::from_secs(120), "every run is over", |fleet| fleet.ended("diamond") == Some(runs as u64));
    fleet.assert_clean();
    Ledger::read(&fleet.ledger()).assert_once();
}
