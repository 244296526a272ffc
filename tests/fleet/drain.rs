//! A worker that is to take nothing new, in the middle of work.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::chaos::{drive_at_once, runs};
use crate::ledger::{Ledger, diamond};
use crate::roles::{Fleet, PROGRAM, Plan};

/// The worker of this id as the API tells it.
fn worker(fleet: &Fleet, id: &str) -> Value {
    let answer = fleet.get("/ui/workers").expect("workers are listed");
    answer["workers"].as_array().unwrap().iter().find(|worker| worker["id"] == id).unwrap().clone()
}

/// `updraft workers …`, and the worker that it prints.
fn workers(fleet: &Fleet, words: &[&str]) -> Value {
    let url = format!("http://127.0.0.1:{}", fleet.port);
    let done = Command::new(PROGRAM).arg("workers").args(words).args(["-o", "json", "--api-url", &url]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice::<Value>(&done.stdout).unwrap()[0].take()
}

#[test]
fn a_worker_that_drains_takes_nothing_and_keeps_nobody_waiting() {
    let runs = runs(240);
    let mut fleet = Fleet::start(&[("diamond.yaml", &diamond())], Plan { schedulers: 1, workers: 2, concurrency: 4, ..Plan::default() });
    fleet.until_dag("diamond");
    let both = |fleet: &mut Fleet| fleet.get("/ui/workers").is_some_and(|answer| answer["total_entries"] == 2);
    fleet.until(Duration::from_secs(30), "two workers are there", both);
    let id = fleet.get("/ui/workers").unwrap()["workers"][0]["id"].as_str().unwrap().to_owned();
    let (mut drained, mut again) = (false, false);
    // Enough at once for hints to wait with both workers, and few enough for none to wait long for its turn: on a slow machine the work of a
    // hundred runs takes as long as the next pull.
    drive_at_once(&mut fleet, 20, runs, Duration::from_secs(300), |fleet, ended| {
        if !drained && ended >= runs as u64 / 3 {
            let answer = workers(fleet, &["drain", &id, "--reason", "node upgrade"]);
            assert_eq!(answer["drain_reason"], "node upgrade", "{answer}");
            let begin = Instant::now();
            fleet.until(Duration::from_secs(10), "it is drained", |fleet| worker(fleet, &id)["state"] == "drained");
            eprintln!("drained after {:?}", begin.elapsed());
            // It no longer stands at the queue: what it had fetched is back there.
            let consumers = |fleet: &mut Fleet| fleet.get("/ui/queues").map(|queues| queues["queues"][0]["broker_consumers"].clone());
            fleet.until(Duration::from_secs(10), "the other worker alone takes from the queue", |fleet| consumers(fleet) == Some(json!(1)));
            drained = true;
        }
        if drained && !again {
            let shown = worker(fleet, &id);
            assert_eq!((&shown["running"], &shown["state"]), (&json!(0), &json!("drained")), "{shown}");
            if ended >= 2 * runs as u64 / 3 {
                let answer = workers(fleet, &["undrain", &id]);
                assert_eq!(answer["draining_since"], Value::Null, "{answer}");
                fleet.until(Duration::from_secs(10), "it takes again", |fleet| worker(fleet, &id)["running"].as_i64() > Some(0));
                again = true;
            }
        }
    });
    assert!(again, "{runs} runs were too few");
    let ledger = Ledger::read(&fleet.ledger());
    ledger.assert_once();
    // Hints that it had fetched went back at once: nothing waited for the next pull, which comes after ten seconds.
    let longest = fleet.postgres.query("select extract(epoch from max(started_at - queued_at)) from attempt");
    eprintln!("the longest wait for a worker: {longest} s");
    assert!(longest.trim().parse::<f64>().unwrap() < 8.0, "{longest}");
    let queues = fleet.get("/ui/queues").unwrap();
    let queue = &queues["queues"][0];
    assert_eq!((&queue["queue"], &queue["workers"], &queue["slots"]), (&json!("default"), &json!(2), &json!(8)), "{queues}");
    assert_eq!((&queue["broker_consumers"], &queues["broker_error"]), (&json!(2), &Value::Null), "{queues}");
    assert!(queue["ended_per_minute"].as_i64() > Some(0), "{queues}");
    fleet.assert_clean();
}
