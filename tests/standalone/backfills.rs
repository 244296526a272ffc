//! Backfills from the command line to the last run: in order, under their own limit, through a kill -9, paused and cancelled.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Standalone, lines};

/// `chained` needs the day before; `wide` does not. Neither makes runs by itself any more, and a DAG's own limit is one run.
fn dags(folder: &Path) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    format!(
        r#"
dag_id: chained
schedule: "@daily"
start_date: 2026-01-01
end_date: 2026-01-31
max_active_runs: 1
tasks:
  link: {{bash_command: "echo {{{{ ds }}}} >> {chained}; sleep 0.3", depends_on_past: true}}
---
dag_id: wide
schedule: "@daily"
start_date: 2026-01-01
end_date: 2026-01-31
max_active_runs: 1
tasks:
  work: {{bash_command: "echo + {{{{ ds }}}} >> {wide}; sleep 0.3; echo - {{{{ ds }}}} >> {wide}"}}
"#,
        chained = file("chained"),
        wide = file("wide"),
    )
}

fn show(server: &Standalone, id: &str) -> Value {
    server.cli_json(&["backfill", "show", id, "-o", "json"])
}

/// Creates a backfill of days of January and returns its number, the only word on stdout.
fn create(server: &Standalone, dag: &str, days: [u32; 2], more: &[&str]) -> String {
    let [from, to] = days.map(|day| format!("2026-01-{day:02}"));
    let words = [&["backfill", "create", "--dag-id", dag, "--from-date", &from, "--to-date", &to], more].concat();
    let output = server.cli(&words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_backfill_runs_in_order_through_a_kill_9_and_is_complete_by_itself() {
    let mut server = Standalone::start(&[], &[]);
    let folder = server.path("told");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    std::fs::write(server.path("dags/past.yaml"), dags(&folder)).unwrap();
    server.until_dag("wide");
    server.until_dag("chained");

    let wrong = server.cli(&["backfill", "create", "--dag-id", "chained", "--from-date", "2026-01-01", "--to-date", "2026-01-02"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("You must set reprocess behavior"), "{wrong:?}");
    let dry =
        ["backfill", "create", "--dag-id", "wide", "--from-date", "2026-01-01", "--to-date", "2026-01-02", "--run-backwards", "--dry-run"];
    assert_eq!(String::from_utf8(server.cli(&dry).stdout).unwrap(), "logical_date\n2026-01-02T00:00:00Z\n2026-01-01T00:00:00Z\n");

    let chained = create(&server, "chained", [1, 6], &["--reprocess-behavior", "failed", "--max-active-runs", "3"]);
    let wide = create(&server, "wide", [1, 8], &["--run-backwards", "--max-active-runs", "2", "--dag-run-conf", "{\"x\": 1}"]);
    let twice = server.cli(&["backfill", "create", "--dag-id", "wide", "--from-date", "2026-01-20", "--to-date", "2026-01-21"]);
    assert_eq!(twice.status.code(), Some(5), "{twice:?}");

    server.until(Duration::from_secs(60), "both have begun", || {
        lines(&folder.join("chained")).len() > 1 && lines(&folder.join("wide")).len() > 2
    });
    server.kill_9();
    server.launch();
    for id in [&chained, &wide] {
        server.until(Duration::from_secs(90), "the backfill is complete", || !show(&server, id)["completed_at"].is_null());
    }
    assert_eq!(show(&server, &chained)["run_counts"], json!({"success": 6}));
    assert_eq!(show(&server, &wide)["run_counts"], json!({"success": 8}));
    assert_eq!(
        lines(&folder.join("chained")),
        (1..=6).map(|day| format!("2026-01-{day:02}")).collect::<Vec<_>>(),
        "each once, each after its past"
    );
    let told = lines(&folder.join("wide"));
    let mut running = 0;
    for line in &told {
        running += if line.starts_with('+') { 1 } else { -1 };
        assert!((0..=2).contains(&running), "its own limit: {told:?}");
    }
    assert_eq!(told.len(), 16, "each once: {told:?}");
    assert!(told[0].ends_with("07") || told[0].ends_with("08"), "backwards: {told:?}");
    assert!(told[15].ends_with("01") || told[15].ends_with("02"), "backwards: {told:?}");
}

#[test]
fn a_backfill_is_paused_and_cancelled_by_hand() {
    let server = Standalone::start(&[], &[]);
    let folder = server.path("told");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    std::fs::write(server.path("dags/past.yaml"), dags(&folder)).unwrap();
    server.until_dag("wide");
    let said = |words: &[&str], code: i32| {
        let output = server.cli(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
    };
    said(&["dags", "pause", "wide"], 0);
    let id = create(&server, "wide", [1, 3], &[]);
    assert!(said(&["backfill", "pause", &id], 0).contains("\tpaused\t"));
    said(&["dags", "unpause", "wide"], 0);
    let why = server.cli_json(&["why", "wide", "backfill__2026-01-01T00:00:00+00:00", "work", "-o", "json"]);
    assert_eq!(why["waiting"][0]["kind"], "backfill_paused", "{why}");
    said(&["dags", "pause", "wide"], 0);
    assert!(said(&["backfill", "unpause", &id], 0).contains("\tactive\t"));
    assert!(said(&["backfill", "cancel", &id], 0).contains("\tcomplete\t"));
    assert_eq!(show(&server, &id)["run_counts"], json!({"failed": 3}));
    assert!(said(&["backfill", "cancel", &id], 5).contains("Backfill is already completed."));
    assert!(said(&["backfill", "show", "99"], 3).contains("next:  updraft backfill list DAG"));
    assert!(said(&["backfill", "list", "wide"], 0).lines().count() == 2);

    // What was not done is done by the next one.
    said(&["dags", "unpause", "wide"], 0);
    let again = create(&server, "wide", [1, 3], &["--reprocess-behavior", "failed"]);
    server.until(Duration::from_secs(60), "the backfill is complete", || !show(&server, &again)["completed_at"].is_null());
    assert_eq!(show(&server, &again)["run_counts"], json!({"success": 3}));
    assert_eq!(show(&server, &id)["run_counts"], json!({}), "they belong to the one that did them");
    assert_eq!(lines(&folder.join("wide")).len(), 6);
}
