//! kill -9, again and again: nothing is lost, nothing runs twice, nothing out of order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::harness::{Standalone, lines};

const RUNS: usize = 300;

/// a >> [b, c] >> d; b fails at its first try. Every command notes its start and its end.
fn dag(ledger: &str) -> String {
    let note = |what: &str| format!("echo \"{what} $UPDRAFT_RUN_ID $UPDRAFT_TASK_ID $UPDRAFT_TRY_NUMBER $(date +%s%N)\" >> {ledger}");
    let start = note("S");
    let end = note("E");
    format!(
        r#"
dag_id: diamond
schedule: null
max_active_runs: 40
tasks:
  a: {{bash_command: '{start}; sleep 0.02; {end}'}}
  b: {{needs: [a], retries: 1, retry_delay: 0, bash_command: '{start}; sleep 0.05; [ $UPDRAFT_TRY_NUMBER -gt 1 ] || exit 1; {end}'}}
  c: {{needs: [a], bash_command: '{start}; sleep 0.2; {end}'}}
  d: {{needs: [b, c], bash_command: '{start}; {end}'}}
"#
    )
}

#[test]
fn three_hundred_runs_survive_kill_9() {
    let ledger = std::env::temp_dir().join(format!("updraft-ledger-{}", std::process::id()));
    let _ = std::fs::remove_file(&ledger);
    let mut server = Standalone::start(&[("diamond.yaml", &dag(ledger.to_str().unwrap()))], &["--concurrency", "16"]);
    server.until_dag("diamond");
    let body = |n: usize| serde_json::json!({"logical_date": null, "dag_run_id": format!("run{n}")});
    let mut kills = 0u64;
    let mut triggered = 0;
    let begin = Instant::now();
    let mut next_kill = Instant::now() + Duration::from_millis(1500);
    loop {
        while triggered < RUNS && triggered < 30 + 30 * usize::try_from(kills).unwrap() {
            let (status, answer) = server.post("/api/v2/dags/diamond/dagRuns", &body(triggered));
            assert_eq!(status, 200, "{answer}");
            triggered += 1;
        }
        let ended = server
            .get("/api/v2/dags/diamond/dagRuns?state=success&state=failed&limit=1")
            .map_or(0, |r| r["total_entries"].as_u64().unwrap());
        if ended == RUNS as u64 {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(400), "only {ended} of {RUNS} runs have ended; {}", server.log());
        if Instant::now() >= next_kill {
            server.kill_9();
            kills += 1;
            server.launch();
            // Not in step with anything: between 0.4 and 2.4 s.
            next_kill = Instant::now() + Duration::from_millis(400 + (kills * 7919) % 2000);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(kills >= 8, "only {kills} kills");

    let mut starts: BTreeMap<(String, String, u32), u32> = BTreeMap::new();
    let mut started_at: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut ended_at: BTreeMap<(String, String), u64> = BTreeMap::new();
    for line in lines(&ledger) {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, run, task, attempt, at] = words[..] else { panic!("torn line {line:?}") };
        let key = (run.to_owned(), task.to_owned());
        let at: u64 = at.parse().unwrap();
        if what == "S" {
            *starts.entry((key.0.clone(), key.1.clone(), attempt.parse().unwrap())).or_default() += 1;
            started_at.entry(key).or_insert(at);
        } else {
            ended_at.insert(key, at);
        }
    }
    let doubled: Vec<_> = starts.iter().filter(|(_, n)| **n != 1).collect();
    assert!(doubled.is_empty(), "started more than once: {doubled:?}");
    for n in 0..RUNS {
        let run = format!("run{n}");
        for (task, tries) in [("a", 1), ("b", 2), ("c", 1), ("d", 1)] {
            let made: Vec<u32> = starts.keys().filter(|k| k.0 == run && k.1 == task).map(|k| k.2).collect();
            let expected: Vec<u32> = (1..=tries).collect();
            // More tries would mean that a running command was given up as lost instead of adopted.
            assert_eq!(made, expected, "tries of {task} in {run}");
        }
        for (before, after) in [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")] {
            let ended = ended_at.get(&(run.clone(), before.to_owned()));
            let started = started_at.get(&(run.clone(), after.to_owned()));
            assert!(ended <= started && ended.is_some(), "{after} of {run} started before {before} ended");
        }
    }
    let findings = server.cli_json(&["doctor", "-o", "json"]);
    eprintln!("{RUNS} runs, {kills} kills, {:.1} s", begin.elapsed().as_secs_f64());
    let failed: Vec<_> = findings.as_array().map(|all| all.iter().filter(|f| f["status"] == "fail").cloned().collect()).unwrap_or_default();
    assert!(failed.is_empty(), "{failed:?}");
    let _ = std::fs::remove_file(&ledger);
}
