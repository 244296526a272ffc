//! Bad files: one clear error each, and every other DAG goes on.

use std::fs;
use std::time::Duration;

use crate::harness::Standalone;

const GOOD: &str = "dag_id: good\nschedule: null\ntasks:\n  hello: {bash_command: 'echo hello'}\n";

fn python(body: &str) -> String {
    format!("# A DAG for airflow.\nfrom airflow import DAG\n{body}\n")
}

#[test]
fn bad_files_are_told_and_hurt_nobody() {
    let cycle = "dag_id: cycle\nschedule: null\ntasks:\n  a: {needs: [b], bash_command: 'true'}\n  b: {needs: [a], bash_command: 'true'}\n";
    let files: Vec<(&str, String, &str)> = vec![
        ("cycle.yaml", cycle.to_owned(), "circle"),
        ("syntax.py", python("def broken(:\n    pass"), "syntax"),
        ("key.yaml", "dag_id: key\nschedul: null\ntasks: {a: {bash_command: 'true'}}\n".to_owned(), "schedule"),
        (
            "twice.yaml",
            "dag_id: twice\nschedule: null\ntasks:\n  - {task_id: a, bash_command: 'true'}\n  - {task_id: a, bash_command: 'true'}\n"
                .to_owned(),
            "a",
        ),
        // An operator of a provider that nobody has loads, as a task that needs Airflow; a slip of the pen does not.
        ("unknown.py", python("from airflow.operators.bash import BashOpertor"), "did you mean bashoperator"),
        ("never.yaml", "dag_id: never\nschedule: '0 0 31 2 *'\ntasks: {a: {bash_command: 'true'}}\n".to_owned(), "never fires"),
        ("loops.py", python("while True:\n    pass"), "timeout"),
        ("eats.py", python("x = []\nwhile True:\n    x.append(bytearray(10_000_000))"), "memory"),
        ("calls.py", python("import socket\nsocket.create_connection(('127.0.0.1', 80))"), "network"),
        (
            "huge.yaml",
            format!("dag_id: huge\nschedule: null\ntasks: {{a: {{bash_command: 'true'}}}}\n#{}\n", "x".repeat(20 * 1024 * 1024)),
            "large",
        ),
    ];
    let mut written: Vec<(&str, &str)> = vec![("good.yaml", GOOD)];
    written.extend(files.iter().map(|(name, text, _)| (*name, text.as_str())));
    let server = Standalone::start(&written, &["--dag-file-timeout", "3"]);
    server.until_dag("good");
    let run = server.trigger("good");
    assert_eq!(server.end_of("good", &run, Duration::from_secs(30)), "success");

    server.until(Duration::from_secs(90), "every bad file has its error", || {
        server.get("/api/v2/importErrors").is_some_and(|e| e["total_entries"].as_u64() == Some(files.len() as u64))
    });
    let errors = server.get("/api/v2/importErrors?limit=100").unwrap();
    for (name, _, word) in &files {
        let error = errors["import_errors"].as_array().unwrap().iter().find(|e| e["filename"].as_str().is_some_and(|f| f.ends_with(name)));
        let text = error.and_then(|e| e["stack_trace"].as_str()).unwrap_or_else(|| panic!("no error for {name}: {errors}"));
        assert!(text.to_lowercase().contains(word), "{name} says: {text}");
    }
    // `dags check` says the same, file by file.
    let output = server.cli(&["dags", "check", server.path("dags").to_str().unwrap(), "-o", "json", "--dag-file-timeout", "3"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["files"].as_array().unwrap().iter().filter(|f| !f["errors"].as_array().unwrap().is_empty()).count(), files.len());

    // A file that is mended is read at once; a good file that breaks keeps its last good version.
    fs::write(server.path("dags/key.yaml"), "dag_id: key\nschedule: null\ntasks: {a: {bash_command: 'true'}}\n").unwrap();
    server.until_dag("key");
    fs::write(server.path("dags/good.yaml"), "dag_id: good\nschedule: [").unwrap();
    server.until(Duration::from_secs(30), "the broken file is told", || {
        server.get("/api/v2/importErrors?limit=100").is_some_and(|e| e.to_string().contains("good.yaml"))
    });
    let run = server.trigger("good");
    assert_eq!(server.end_of("good", &run, Duration::from_secs(30)), "success");
}

#[test]
fn a_dag_file_finds_no_credentials() {
    let secret = std::env::temp_dir().join(format!("updraft-secret-{}", std::process::id()));
    fs::write(&secret, "canary-of-a-file").unwrap();
    let spy = python(&format!(
        r#"
import os
from airflow.operators.bash import BashOperator
found = []
def look(path):
    try:
        with open(path, "rb") as f:
            found.append(path + ": " + repr(f.read()[:20000]))
    except OSError:
        pass
found += ["%s=%s" % item for item in os.environ.items()]
look({secret:?})
for path in ["/etc/shadow", "/root/.bashrc", os.path.expanduser("~/.ssh/id_rsa"), "/proc/1/environ", "/proc/self/environ"]:
    look(path)
try:
    pids = os.listdir("/proc")
except OSError:
    pids = [str(n) for n in range(1, 65536)]
for pid in pids:
    if pid.isdigit():
        look("/proc/%s/environ" % pid)
with DAG("spy", schedule=None) as dag:
    BashOperator(task_id="report", bash_command="true", doc_md="\n".join(found).replace(chr(0), " "))
"#,
        secret = secret.to_str().unwrap()
    ));
    let server = Standalone::start(&[("spy.py", &spy)], &[]);
    server.until_dag("spy");
    let source = server.get("/api/v2/dags/spy/tasks").unwrap().to_string();
    assert!(source.contains("PATH="), "the spy saw its own environment: {source}");
    for canary in ["canary-of-a-file", "canary-of-the-environment", "root:", "postgres://", "UPDRAFT_"] {
        assert!(!source.contains(canary), "the file found {canary}: {source}");
    }
    let _ = fs::remove_file(secret);
}
