//! Variables and connections, from the command line to a task; what is secret gets nowhere; and the keys change under them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::harness::{PROGRAM, Standalone};

const DAG: &str = r#"
dag_id: settings
schedule: null
tasks:
  reads: {bash_command: "echo {{ var.value.region }} {{ var.json.limits.rows }} {{ conn.warehouse.host }}:{{ conn.warehouse.port }}"}
  leaks: {bash_command: "echo {{ conn.warehouse.password }}"}
  leaks_too: {bash_command: "echo {{ var.value.api_token }}"}
"#;

fn done(server: &Standalone, words: &[&str]) -> String {
    let output = server.cli(words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn settings_reach_tasks_and_secrets_do_not() {
    let mut server = Standalone::start(&[("settings.yaml", DAG)], &[]);
    server.until_dag("settings");
    done(&server, &["variables", "set", "region", "eu", "--description", "where"]);
    let file = server.path("variables.json");
    fs::write(&file, json!({"limits": {"rows": 7}, "api_token": "canary-1", "region": "us"}).to_string()).unwrap();
    done(&server, &["variables", "import", file.to_str().unwrap(), "--action-on-existing-key", "skip"]);
    assert_eq!(done(&server, &["variables", "get", "region"]), "eu\n");
    assert_eq!(done(&server, &["variables", "get", "nope", "-d", "none"]), "none\n");
    assert_eq!(server.cli(&["variables", "get", "nope"]).status.code(), Some(3));
    let connection = json!({"conn_type": "postgres", "host": "db", "port": 5432, "password": "canary-2", "extra": {"sslmode": "require"}});
    done(&server, &["connections", "add", "warehouse", "--conn-json", &connection.to_string()]);
    let shown = server.cli_json(&["connections", "get", "warehouse", "-o", "json"]).to_string();
    assert!(shown.contains("\"db\"") && !shown.contains("canary"), "{shown}");

    let run = server.trigger("settings");
    assert_eq!(server.end_of("settings", &run, Duration::from_secs(60)), "failed");
    assert!(server.log_of("settings", &run, "reads", 1).contains("eu 7 db:5432"), "{}", server.log_of("settings", &run, "reads", 1));
    let states = server.cli_json(&["tasks", "states", "settings", &run, "-o", "json"]);
    for (task, name) in [("leaks", "conn.warehouse.password"), ("leaks_too", "var.value.api_token")] {
        let row = states.as_array().unwrap().iter().find(|t| t["task_id"] == task).unwrap();
        assert_eq!(row["reason"], "render_error", "{row}");
        let message = row["message"].as_str().unwrap();
        assert!(message.contains(name) && message.contains("Kubernetes Secret"), "{message}");
    }

    // The keys change: a new one in front, everything sealed anew, the old one gone.
    let keys = server.path("data/secret-keys");
    let old = fs::read_to_string(&keys).unwrap();
    assert_eq!(fs::metadata(&keys).map(|m| std::os::unix::fs::PermissionsExt::mode(&m.permissions()) & 0o777).unwrap(), 0o600);
    let new = Command::new(PROGRAM).args(["secrets", "new-key", "--id", "second"]).output().unwrap();
    let new = String::from_utf8(new.stdout).unwrap();
    let sockets = server.path("data/postgres/run");
    let url = format!("postgres://updraft@localhost:5432/postgres?host={}&sslmode=disable", sockets.to_str().unwrap().replace('/', "%2F"));
    let rotate = |keys: &str| {
        let output =
            Command::new(PROGRAM).args(["secrets", "rotate", "--database-url", &url]).env("UPDRAFT_SECRET_KEYS", keys).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(rotate(&format!("{new}{old}")), (Some(0), "sealed 5 values anew; 0 had the first key already\n".to_owned()));
    assert_eq!(rotate(&format!("{new}{old}")), (Some(0), "sealed 0 values anew; 5 had the first key already\n".to_owned()));
    let (code, said) = rotate(&old);
    assert_eq!(code, Some(1));
    assert!(said.contains("variable/region") && said.contains("\"second\""), "{said}");
    fs::write(&keys, new).unwrap();
    server.interrupt();
    server.launch();
    assert_eq!(done(&server, &["variables", "get", "region"]), "eu\n");
    let everything =
        server.log() + &done(&server, &["variables", "list", "-o", "json"]) + &server.get("/api/v2/eventLogs").unwrap().to_string();
    assert!(!everything.contains("canary-1") && !everything.contains("canary-2"), "a secret was shown");
}

const SOURCES: &str = r#"
dag_id: sources
schedule: null
tasks:
  reads:
    bash_command: >-
      echo {{ var.value.region }} {{ var.value.stage }} {{ var.value.own }}
      {{ conn.warehouse.host }}:{{ conn.warehouse.port }}/{{ conn.warehouse.schema }} {{ conn.api.host }} {{ conn.api.extra_dejson.timeout }}
  leaks: {bash_command: "echo {{ conn.warehouse.password }}"}
  leaks_too: {bash_command: "echo {{ var.value.api_token }}"}
"#;

/// Whether any file below a folder has this text in it.
fn has(folder: &Path, text: &str) -> bool {
    Command::new("grep").args(["-rqaF", "-D", "skip", text]).arg(folder).status().unwrap().success()
}

#[test]
fn folder_environment_and_database_are_asked_in_this_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    for kind in ["variables", "connections"] {
        fs::create_dir(file(kind)).unwrap();
    }
    fs::write(file("variables/region"), "folder\n").unwrap();
    fs::write(file("variables/api_token"), "canary-1\n").unwrap();
    fs::write(file("connections/warehouse"), "postgres://etl:canary-2@mounted:5432/sales\n").unwrap();
    let environment = [
        ("AIRFLOW_VAR_REGION", "environment"),
        ("AIRFLOW_VAR_STAGE", "environment"),
        ("AIRFLOW_CONN_WAREHOUSE", "mysql://etl:canary-3@elsewhere/x"),
        ("AIRFLOW_CONN_API", r#"{"conn_type": "http", "host": "api", "password": "canary-4", "extra": {"timeout": 5}}"#),
    ];
    let mut server =
        Standalone::start_with(&[("sources.yaml", SOURCES)], &["--secrets-folder", folder.path().to_str().unwrap()], &environment);
    server.until_dag("sources");
    for key in ["region", "stage", "own"] {
        done(&server, &["variables", "set", key, "database"]);
    }
    let read = |server: &Standalone, number: u32| {
        let run = server.trigger("sources");
        assert_eq!(server.end_of("sources", &run, Duration::from_secs(60)), "failed", "the leaks fail");
        let states = server.cli_json(&["tasks", "states", "sources", &run, "-o", "json"]);
        let row = |task: &str| states.as_array().unwrap().iter().find(|t| t["task_id"] == task).unwrap().clone();
        for (task, name) in [("leaks", "conn.warehouse.password"), ("leaks_too", "var.value.api_token")] {
            assert_eq!(row(task)["reason"], "render_error", "{number}: {states}");
            let message = row(task)["message"].as_str().unwrap().to_owned();
            assert!(message.contains(name) && message.contains("Kubernetes Secret"), "{number}: {message}");
        }
        let reads = row("reads");
        match reads["reason"].as_str() {
            Some("render_error") => reads["message"].as_str().unwrap().to_owned(),
            _ => server.log_of("sources", &run, "reads", 1),
        }
    };
    let log = read(&server, 1);
    assert!(log.contains("folder environment database mounted:5432/sales api 5"), "{log}");

    let findings = server.get("/ui/doctor").unwrap();
    let found = findings["findings"].as_array().unwrap().iter().find(|f| f["id"] == "secrets").unwrap_or_else(|| panic!("{findings}"));
    let counts = format!(
        "folder {}: 2 variables, 1 connection\nenvironment: 2 variables, 2 connections\ndatabase: 3 variables, 0 connections",
        folder.path().display()
    );
    assert_eq!((found["status"].as_str(), found["detail"].as_str()), (Some("ok"), Some(counts.as_str())));

    // No restart, nobody is told: the next task sees it.
    fs::write(file("variables/new"), "changed").unwrap();
    fs::rename(file("variables/new"), file("variables/region")).unwrap();
    fs::remove_file(file("connections/warehouse")).unwrap();
    fs::write(file("connections/warehouse"), r#"{"conn_type": "postgres", "host": "moved", "password": "canary-2"}"#).unwrap();
    let log = read(&server, 2);
    assert!(log.contains("changed environment database moved:None/None api 5"), "{log}");
    fs::remove_file(file("variables/region")).unwrap();
    let log = read(&server, 3);
    assert!(log.contains("environment environment database"), "{log}");
    // What cannot be read is not what the next source says.
    fs::write(file("variables/own"), [0xff]).unwrap();
    let said = read(&server, 4);
    assert!(said.contains("variables/own is not UTF-8"), "{said}");

    // Nobody has stored or shown any of it.
    let keys: Vec<_> = server.cli_json(&["variables", "list", "-o", "json"]).as_array().unwrap().iter().map(|v| v["key"].clone()).collect();
    assert_eq!(keys, ["own", "region", "stage"]);
    assert_eq!(server.get("/api/v2/connections").unwrap()["total_entries"], 0);
    let shown = server.log() + &findings.to_string() + &server.get("/api/v2/eventLogs").unwrap().to_string();
    server.interrupt();
    let stored = |needle: &str| has(&server.path("data"), needle);
    assert!(stored("changed environment database"), "the search finds what is there");
    for canary in ["canary-1", "canary-2", "canary-3", "canary-4"] {
        assert!(!shown.contains(canary) && !stored(canary), "{canary} was shown or stored");
    }

    // A folder that is not there is a mistake of the start.
    let output = Command::new(PROGRAM).args(["standalone", "--dags", "/", "--secrets-folder", "/nowhere/at/all"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--secrets-folder /nowhere/at/all: No such file") && said.contains("; mount a folder"), "{said}");
}

#[test]
fn a_secret_of_the_environment_gets_into_no_log() {
    // Written whole, as base64 in a longer text, in a URL, as hex, and with a pause in the middle, so that it lies in two chunks.
    let dag = r#"
dag_id: talks
schedule: null
tasks:
  all:
    env: {API_TOKEN: "canary/of the+log=7", REGION: "eu-north"}
    bash_command: |
      echo "$API_TOKEN in $REGION"
      printf 'user:%s' "$API_TOKEN" | base64
      echo 'https://host/?token=canary%2Fof%20the%2Blog%3D7'
      printf %s "$API_TOKEN" | od -An -tx1 | tr -d ' \n'; echo
      printf %.8s "$API_TOKEN"; sleep 1.2; printf '%s\n' "${API_TOKEN#????????}"
      echo end
"#;
    let server = Standalone::start(&[("talks.yaml", dag)], &[]);
    server.until_dag("talks");
    let run = server.trigger("talks");
    assert_eq!(server.end_of("talks", &run, Duration::from_secs(60)), "success");
    server.until(Duration::from_secs(10), "the log is there", || server.log_of("talks", &run, "all", 1).contains("end"));
    let log = server.log_of("talks", &run, "all", 1);
    assert!(log.contains("*** in eu-north") && log.contains("?token=****"), "{log}");
    for trace in ["canary", "the+log", "of the", "Y2FuYXJ5", "NhbmFyeS", "jYW5hcnkv", "%2Fof", "63616e617279"] {
        assert!(!log.contains(trace), "{trace}: {log}");
    }
}

const READS: &str = r#"
from airflow import DAG
from airflow.configuration import conf
from airflow.hooks.base import BaseHook
from airflow.models import Variable
from airflow.operators.bash import BashOperator

for region in Variable.get("regions", default_var=["none"], deserialize_json=True):
    with DAG("for_" + region) as made:
        BashOperator(task_id="a", bash_command="echo " + conf.get("acme", "site", fallback="nowhere"))
    globals()[region] = made
"#;

const ASKS_FOR_A_SECRET: &str = r#"
from airflow import DAG
from airflow.models import Variable

dag = DAG("asks_" + Variable.get("api_token", "nothing"))
"#;

const ASKS_FOR_A_CONNECTION: &str = r#"
from airflow import DAG
from airflow.hooks.base import BaseHook

db = BaseHook.get_connection("warehouse")
dag = DAG("at_" + db.host)
"#;

#[test]
fn dag_files_are_answered_and_read_again_when_an_answer_changes() {
    let files = [("reads.py", READS), ("asks.py", ASKS_FOR_A_SECRET), ("connection.py", ASKS_FOR_A_CONNECTION)];
    let environment = [("AIRFLOW__ACME__SITE", "north"), ("AIRFLOW__CELERY__BROKER_URL", "amqp://u:canary-0@h")];
    let server = Standalone::start_with(&files, &[], &environment);
    server.until_dag("for_none");
    server.until_dag("asks_nothing");
    let source = server.cli_json(&["tasks", "list", "for_none", "-o", "json"]).to_string();
    assert!(source.contains("\"a\""), "{source}");
    let errors = |server: &Standalone| server.cli_json(&["dags", "list-import-errors", "-o", "json"]).to_string();
    assert!(errors(&server).contains("connection warehouse does not exist"), "{}", errors(&server));

    done(&server, &["variables", "set", "regions", "[\"eu\", \"us\"]"]);
    server.until_dag("for_eu");
    server.until_dag("for_us");
    let connection = json!({"conn_type": "postgres", "host": "db", "password": "canary-1"});
    done(&server, &["connections", "add", "warehouse", "--conn-json", &connection.to_string()]);
    server.until_dag("at_db");
    let run = server.trigger("for_eu");
    assert_eq!(server.end_of("for_eu", &run, Duration::from_secs(60)), "success");
    assert!(server.log_of("for_eu", &run, "a", 1).contains("north"));

    // A secret is there now, and no default stands in for it.
    done(&server, &["variables", "set", "api_token", "canary-2"]);
    server.until(Duration::from_secs(30), "the file is an error", || {
        errors(&server).contains("variable api_token: it is secret by its name")
    });
    assert!(!errors(&server).contains("canary"), "{}", errors(&server));
    assert!(!server.log().contains("canary"));
}
