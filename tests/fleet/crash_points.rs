//! A worker that stands still (SIGSTOP) for three leases right where it hurts, and then goes on as if nothing had been; and one that dies
//! there. The process runner's points; those of pods are in the tests of the cluster.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::ledger::{Ledger, diamond};
use crate::roles::{Fleet, Plan};

/// Three leases of the fleet's workers.
const THREE_LEASES: Duration = Duration::from_secs(3);
const POINTS: [&str; 5] = ["claimed", "before-launch", "launched", "before-finish", "before-release"];

#[test]
fn a_worker_that_sleeps_at_any_point_for_three_leases_changes_nothing() {
    let mut fleet = Fleet::start(&[("diamond.yaml", &diamond())], Plan { schedulers: 2, workers: 1, ..Plan::default() });
    fleet.until_dag("diamond");
    let mut runs = 0;
    for (n, point) in POINTS.into_iter().enumerate() {
        // More than one of them may take the work: the sleeper must be one that does.
        fleet.add_worker(10 + n, 8, &[("UPDRAFT_CRASH_POINT", &format!("{point}=stop")), ("UPDRAFT_CRASH_POINT_SKIP", "2")]);
        let sleeper = fleet.workers.len() - 1;
        let begin = Instant::now();
        while !fleet.workers[sleeper].is_stopped() {
            assert!(begin.elapsed() < Duration::from_secs(60), "nobody came to {point}\n{}", fleet.ends_of_logs());
            fleet.trigger("diamond", &format!("run{runs}"));
            runs += 1;
            std::thread::sleep(Duration::from_millis(30));
        }
        // This is the fault itself, not a wait for something.
        std::thread::sleep(THREE_LEASES);
        // The others have taken over and ended everything.
        fleet.until(Duration::from_secs(60), &format!("all runs end while a worker sleeps at {point}"), |fleet| {
            fleet.ended("diamond") == Some(runs)
        });
        fleet.workers[sleeper].signal(Signal::CONT);
        let marker = format!("slept{n}");
        fleet.trigger("diamond", &marker);
        fleet.until(Duration::from_secs(30), "a run after the sleep ends", |fleet| fleet.run_state("diamond", &marker) == "success");
        assert!(fleet.workers[sleeper].runs(), "the sleeper has exited: {}", fleet.workers[sleeper].log());
        fleet.workers[sleeper].terminate();
        runs += 1;
    }
    let ledger = Ledger::read(&fleet.ledger());
    ledger.assert_once();
    for n in 0..POINTS.len() {
        ledger.assert_diamond(&format!("slept{n}"));
    }
    let named: std::collections::BTreeSet<&String> = ledger.starts.keys().map(|key| &key.0).collect();
    for run in named {
        ledger.assert_diamond(run);
    }
    fleet.assert_clean();
}

#[test]
fn a_worker_that_dies_at_any_point_changes_nothing() {
    let mut fleet = Fleet::start(&[("diamond.yaml", &diamond())], Plan { schedulers: 1, workers: 1, ..Plan::default() });
    fleet.until_dag("diamond");
    let mut runs = 0;
    for (n, point) in POINTS.into_iter().enumerate() {
        fleet.add_worker(10 + n, 8, &[("UPDRAFT_CRASH_POINT", &format!("{point}=kill"))]);
        let victim = fleet.workers.len() - 1;
        let begin = Instant::now();
        while fleet.workers[victim].runs() {
            assert!(begin.elapsed() < Duration::from_secs(60), "nobody came to {point}\n{}", fleet.ends_of_logs());
            fleet.trigger("diamond", &format!("run{runs}"));
            runs += 1;
            std::thread::sleep(Duration::from_millis(30));
        }
        fleet.workers[victim].kill_9();
        fleet.until(Duration::from_secs(60), &format!("all runs end after a worker died at {point}"), |fleet| {
            fleet.ended("diamond") == Some(runs)
        });
    }
    let ledger = Ledger::read(&fleet.ledger());
    ledger.assert_once();
    for n in 0..runs {
        ledger.assert_diamond(&format!("run{n}"));
    }
    fleet.assert_clean();
}

#[test]
fn workers_that_are_told_to_leave_do_so_within_two_seconds_and_nothing_is_spent() {
    let text = "dag_id: slow\nschedule: null\nmax_active_tasks: 64\ntasks:\n".to_owned()
        + &(0..10).map(|n| format!("  t{n}: {{bash_command: 'echo \"S $UPDRAFT_RUN_ID $UPDRAFT_TASK_ID $UPDRAFT_TRY_NUMBER ${{EPOCHREALTIME/./}}\" >> {{ledger}}; sleep 6; echo \"E $UPDRAFT_RUN_ID $UPDRAFT_TASK_ID $UPDRAFT_TRY_NUMBER ${{EPOCHREALTIME/./}}\" >> {{ledger}}'}}\n")).collect::<String>();
    let mut fleet = Fleet::start(&[("slow.yaml", &text)], Plan { schedulers: 1, workers: 2, ..Plan::default() });
    fleet.until_dag("slow");
    fleet.trigger("slow", "r");
    let path = fleet.ledger();
    fleet.until(Duration::from_secs(30), "ten commands run", |_| Ledger::read(&path).starts.len() == 10);
    for worker in &mut fleet.workers {
        let took = worker.terminate();
        assert!(took < Duration::from_secs(2), "{} took {took:?} to leave", worker.name);
    }
    fleet.workers.clear();
    fleet.add_worker(20, 4, &[]);
    fleet.until(Duration::from_secs(30), "the run ends", |fleet| fleet.run_state("slow", "r") == "success");
    let ledger = Ledger::read(&path);
    ledger.assert_once();
    assert!(ledger.starts.keys().all(|key| key.2 == 1), "an attempt was spent: {:?}", ledger.starts.keys());
    assert_eq!(ledger.ends.len(), 10);
    fleet.assert_clean();
}
