//! `updraft migrate airflow` on a folder of awkward files, whose verdicts are written down, and on Airflow's own examples.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::PROGRAM;

fn migrate(folder: &Path, more: &[&str]) -> (String, String) {
    let output =
        Command::new(PROGRAM).args(["migrate", "airflow"]).arg(folder).args(["--dag-file-timeout", "4"]).args(more).output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{err}{out}");
    (out, err)
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/airflow/migrate")
}

fn reported(folder: &Path, more: &[&str]) -> Value {
    let (out, _) = migrate(folder, &[&["-o", "json"], more].concat());
    serde_json::from_str(&out).unwrap()
}

#[test]
fn every_awkward_file_gets_its_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    let report = reported(&here(), &["--html", page.to_str().unwrap()]);
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(here().join("verdicts.json")).unwrap()).unwrap();
    let expected = expected.as_object().unwrap();
    let files = report["files"].as_array().unwrap();
    let mut wrong = Vec::new();
    for (path, expect) in expected {
        let Some(file) = files.iter().find(|file| file["path"] == path.as_str()) else {
            wrong.push(format!("{path} is not in the report"));
            continue;
        };
        let findings = file["findings"].to_string();
        let dags = file["dags"].as_array().unwrap();
        if file["verdict"] != expect["verdict"] {
            wrong.push(format!("{path} is {}, not {}: {findings}", file["verdict"], expect["verdict"]));
        }
        if let Some(word) = expect["finding"].as_str()
            && (file["findings"].as_array().unwrap().is_empty() || !findings.contains(word))
        {
            wrong.push(format!("{path}: nothing is found of {word:?}: {findings}"));
        }
        if let Some(age) = expect["written_for"].as_str()
            && dags.iter().any(|dag| dag["written_for"]["airflow"] != age)
        {
            wrong.push(format!("{path} is not written for {age}: {dags:?}"));
        }
        let changes = dags.iter().map(|dag| dag["changes"].as_array().unwrap().len()).max().unwrap_or(0);
        if changes as u64 != expect["changes"].as_u64().unwrap() {
            wrong.push(format!("{path} changes otherwise: {dags:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(files.len(), expected.len(), "{files:?}");
    assert!(expected.len() >= 30);

    // Totals are sums.
    let totals = &report["totals"];
    let of = |verdict: &str| files.iter().filter(|file| file["verdict"] == verdict).count();
    for verdict in ["unchanged", "edit", "image", "unsupported"] {
        assert_eq!(totals["verdicts"][verdict], of(verdict), "{totals}");
        assert!(of(verdict) > 0, "no file is {verdict}");
    }
    let tasks: u64 = report["operators"].as_array().unwrap().iter().map(|operator| operator["tasks"].as_u64().unwrap()).sum();
    assert_eq!(totals["tasks"], tasks);
    assert_eq!((&totals["files"], &totals["without_dags"]), (&files.len().into(), &1.into()), "lib/commands.py has no DAG");

    // The page says the same and runs nothing.
    let html = std::fs::read_to_string(&page).unwrap();
    for path in expected.keys() {
        assert!(html.contains(&format!("<code>{path}</code>")), "{path}");
    }
    assert!(html.contains("&lt;script&gt;alert(&#39;owned&#39;)&lt;/script&gt;"));
    for bad in ["<script", "<img", "http://", "https://", "onerror=alert(1)>"] {
        assert!(!html.contains(bad), "{bad}");
    }
    let (printed, _) = migrate(&here(), &["-o", "html", "--include", "plain_pod.py"]);
    assert!(printed.starts_with("<!doctype html>") && printed.contains("plain_pod") && !printed.contains("taskflow"));

    // The table has all of it, too.
    let (table, _) = migrate(&here(), &[]);
    for line in [
        "plain_pod.py: runs unchanged",
        "custom_timetable.py: not supported",
        "mapped.py: needs an image with Airflow",
        "same_id.py: needs an edit",
    ] {
        assert!(table.contains(line), "{line}:\n{table}");
    }
    assert!(table.contains("written for Airflow 2 (airflow.contrib in line 2, schedule_interval in line 5)"), "{table}");
}

#[test]
fn semantics_decide_what_changes() {
    let report = reported(&here(), &["--airflow-semantics", "2", "--include", "plain_pod.py", "--include", "sdk_bash.py"]);
    let of =
        |path: &str| report["files"].as_array().unwrap().iter().find(|file| file["path"] == path).unwrap()["dags"][0]["changes"].clone();
    assert_eq!(of("plain_pod.py").as_array().unwrap().len(), 0);
    let changes = of("sdk_bash.py").to_string();
    assert!(changes.contains("its own fire time in Airflow 3") && changes.contains("CronTriggerTimetable"), "{changes}");
    let report = reported(&here(), &["--include", "plain_pod.py"]);
    let changes = report["files"][0]["dags"][0]["changes"].to_string();
    assert!(
        changes.contains("write catchup=True")
            && changes.contains("--airflow-semantics 2")
            && changes.contains("CronDataIntervalTimetable"),
        "{changes}"
    );
}

#[test]
fn airflows_examples_are_read() {
    let cache =
        std::env::var_os("XDG_CACHE_HOME").map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"), PathBuf::from);
    let examples = cache.join("updraft/airflow-examples-3.3.2-1");
    if !examples.is_dir() {
        eprintln!(
            "skipped: Airflow's example files are not in {}: python3 -m unittest discover -s tests/airflow fetches them",
            examples.display()
        );
        return;
    }
    for (set, least) in [("core", 40), ("standard", 20), ("kubernetes", 4)] {
        let report = reported(&examples.join(set), &[]);
        let files = report["files"].as_array().unwrap();
        assert!(files.len() >= least, "{set} has {} files", files.len());
        for file in files {
            let (path, verdict) = (file["path"].as_str().unwrap(), file["verdict"].as_str().unwrap());
            match path {
                "example_workday_timetable.py" => assert_eq!(verdict, "unsupported"),
                _ => assert_ne!(verdict, "unsupported", "{file}"),
            }
            // Who loads and has no task for Airflow runs, or says what to change.
            let airflow = file["findings"].as_array().unwrap().iter().any(|finding| finding["verdict"] == "image");
            assert_eq!(verdict == "image", airflow, "{file}");
        }
    }
}

#[test]
fn a_folder_that_is_none_is_a_mistake_of_usage() {
    let output = Command::new(PROGRAM).args(["migrate", "airflow", "/nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere: no such folder"));
}

#[test]
fn a_pod_is_shown_without_a_server() {
    // A file of its own: in the folder is one that never ends.
    let render = |file: &str, words: &[&str]| {
        Command::new(PROGRAM).args(["tasks", "render"]).args(words).arg("--dags").arg(here().join(file)).output().unwrap()
    };
    let output = render("plain_pod.py", &["plain_pod", "load", "--date", "2026-01-31", "-o", "json"]);
    let pod: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let base = &pod["spec"]["containers"][0];
    assert_eq!((&base["image"], &base["args"]), (&"etl:1".into(), &serde_json::json!(["--day", "2026-01-31"])));
    assert_eq!((&pod["metadata"]["namespace"], &pod["metadata"]["labels"]["task_id"]), (&"jobs".into(), &"load".into()));
    assert!(String::from_utf8(render("plain_pod.py", &["plain_pod", "load"]).stdout).unwrap().starts_with("apiVersion: v1\nkind: Pod\n"));
    for (file, words, code, said) in [
        ("plain_pod.py", &["plain_pod", "nope"] as &[&str], 3, "has no task nope; it has load"),
        ("lib", &["nope", "x"], 3, "there is no DAG nope"),
        ("syntax_error.py", &["nope", "x"], 3, "error[syntax]"),
        ("sdk_bash.py", &["sdk_bash", "a"], 1, "--pod-default-image"),
        ("sdk_bash.py", &["sdk_bash", "a", "--date", "soon"], 2, "is no date"),
        ("user_macros.py", &["user_macros", "a", "--pod-default-image", "debian"], 1, "'bucket' is undefined"),
    ] {
        let output = render(file, words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {error}");
        assert!(error.contains(said), "{words:?}: {error}");
    }
}
