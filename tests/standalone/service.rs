//! What a person sees of the program itself: start, stop, restart, mistakes.

use std::process::Command;
use std::time::Duration;

use crate::harness::{PROGRAM, Standalone, processes_with};

const SLOW: &str = "dag_id: slow\nschedule: null\ntasks:\n  sleeps: {bash_command: 'echo begun; sleep 3603; echo done'}\n";
const EMPTY_BIG: &str = r#"
# airflow DAG
from airflow import DAG
from airflow.operators.empty import EmptyOperator
with DAG("wide", schedule=None):
    for i in range(5000):
        EmptyOperator(task_id=f"t{i}")
"#;

#[test]
fn ctrl_c_stops_all_that_was_started_and_the_next_start_goes_on() {
    let mut server = Standalone::start(&[("slow.yaml", SLOW)], &[]);
    server.until_dag("slow");
    let run = server.trigger("slow");
    server.until(Duration::from_secs(30), "the task runs", || !processes_with("sleep\x003603").is_empty());
    let took = server.interrupt();
    assert!(took < Duration::from_secs(14), "the stop took {took:?}");
    assert!(processes_with("sleep\x003603").is_empty(), "the command lives on");
    assert!(processes_with(server.folder.to_str().unwrap()).is_empty(), "something of ours lives on");
    server.launch();
    // Taken away by us: its own retries (it has none) are not spent.
    server.until(Duration::from_secs(30), "the task runs again", || !processes_with("sleep\x003603").is_empty());
    assert_eq!(server.run_state("slow", &run), "running");
    assert_eq!(server.instance("slow", &run, "sleeps")["try_number"], 2);
}

#[test]
fn a_running_command_is_adopted_after_kill_9() {
    let mut server = Standalone::start(&[("slow.yaml", &SLOW.replace("3603", "6"))], &[]);
    server.until_dag("slow");
    let run = server.trigger("slow");
    server.until(Duration::from_secs(30), "the task runs", || server.log_of("slow", &run, "sleeps", 1).contains("begun"));
    server.kill_9();
    server.launch();
    assert_eq!(server.end_of("slow", &run, Duration::from_secs(30)), "success");
    assert_eq!(server.instance("slow", &run, "sleeps")["try_number"], 1);
    let log = server.log_of("slow", &run, "sleeps", 1);
    assert_eq!(log.matches("begun").count(), 1, "{log}");
    server.until(Duration::from_secs(10), "the rest of the log is there", || server.log_of("slow", &run, "sleeps", 1).contains("done"));
}

#[test]
fn a_second_standalone_is_told_who_is_in_the_way() {
    let server = Standalone::start(&[("slow.yaml", SLOW)], &[]);
    let same_port = Command::new(PROGRAM)
        .args(["standalone", "--dags", server.path("dags").to_str().unwrap(), "--port", &server.port.to_string()])
        .args(["--data-dir", server.path("other").to_str().unwrap()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&same_port.stderr).into_owned();
    assert!(!same_port.status.success());
    assert!(text.contains(&server.pid().to_string()) && text.contains("--port"), "{text}");
    let same_data = Command::new(PROGRAM)
        .args(["standalone", "--dags", server.path("dags").to_str().unwrap(), "--port", "1"])
        .args(["--data-dir", server.path("data").to_str().unwrap()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&same_data.stderr).into_owned();
    assert!(text.contains(&server.pid().to_string()) && text.contains("--data-dir"), "{text}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let output = Command::new(PROGRAM)
        .args(["standalone", "--dags", "/no/such/folder", "--concurrency", "0", "--runner", "magic"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    for word in ["/no/such/folder", "--concurrency", "magic"] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn a_wide_run_of_empty_tasks_ends() {
    let server = Standalone::start(&[("wide.py", EMPTY_BIG)], &[]);
    server.until_dag("wide");
    let run = server.trigger("wide");
    assert_eq!(server.end_of("wide", &run, Duration::from_secs(60)), "success");
}

#[test]
fn values_may_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("port");
    std::fs::write(&file, "not-a-port\n").unwrap();
    let output = Command::new(PROGRAM).args(["standalone", "--dags", "/tmp"]).env("UPDRAFT_PORT_FILE", &file).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not-a-port"));
}
