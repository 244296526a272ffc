//! The Python example that the project starts from, exactly as it was published.

use std::fs;
use std::time::Duration;

use crate::harness::Standalone;

/// Cuts the example out of the article. None: the article is not on this machine.
fn example() -> Option<String> {
    let folder = fs::read_dir("/work/shared/seed").ok()?;
    for entry in folder.filter_map(Result::ok) {
        let bytes = fs::read(entry.path()).ok()?;
        let text: String = String::from_utf8_lossy(&bytes).into_owned();
        if let Some(block) = text.split("```").find(|b| b.contains("KubernetesPodOperator(") && b.contains("from airflow import DAG")) {
            return Some(block.trim_start_matches('\n').to_owned());
        }
    }
    None
}

#[test]
fn the_published_example_runs_as_it_stands() {
    let Some(text) = example() else {
        eprintln!("skipped: the article with the example is not on this machine");
        return;
    };
    let server = Standalone::start(&[("seed.py", &text)], &[]);
    server.until_dag("kube-operator");
    // Its start date is in 2015 and it runs daily: one run, for the latest day, not one for each day since.
    server.until(Duration::from_secs(30), "a run is made", || {
        server.get("/api/v2/dags/kube-operator/dagRuns").is_some_and(|r| r["total_entries"] == 1)
    });
    let runs = server.get("/api/v2/dags/kube-operator/dagRuns").unwrap();
    let run_id = runs["dag_runs"][0]["dag_run_id"].as_str().unwrap().to_owned();
    assert!(run_id.starts_with("scheduled__"), "{run_id}");
    assert_eq!(server.end_of("kube-operator", &run_id, Duration::from_secs(60)), "success");

    let instance = |task: &str| server.instance("kube-operator", &run_id, task);
    let time = |task: &str, key: &str| instance(task)[key].as_str().unwrap().to_owned();
    for (before, after) in [("pod1", "pod2"), ("pod1", "pod3"), ("pod2", "pod4"), ("pod3", "pod4")] {
        assert!(time(before, "end_date") <= time(after, "start_date"), "{before} before {after}");
    }
    for task in ["pod1", "pod2", "pod3", "pod4"] {
        let log = server.log_of("kube-operator", &run_id, task, 1);
        assert!(log.contains("image ubuntu:16.04 is ignored"), "{log}");
        // What `bash -cx echo "hello world"` prints: its trace and, since "hello world" is $0, an empty line.
        assert!(log.contains("+ echo"), "{log}");
        let why = server.cli_json(&["why", "kube-operator", &run_id, task, "-o", "json"]);
        assert_eq!(why["evidence"]["exit_code"], 0, "{why}");
        assert!(why["evidence"]["started_at"].is_string() && why["evidence"]["ended_at"].is_string(), "{why}");
    }
    assert_eq!(server.get("/api/v2/dags/kube-operator/dagRuns").unwrap()["total_entries"], 1);
}
