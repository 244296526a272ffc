//! What went wrong elsewhere (docs/cve.md) and has no place of its own among the other tests; and that the page tells the truth about all of
//! them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::Api;

#[sqlx::test(migrations = "../../migrations")]
async fn a_run_id_is_a_short_name_and_no_path(pool: PgPool) {
    let api = Api::new(pool).await;
    let runs = "/api/v2/dags/diamond/dagRuns";
    let long = "x".repeat(1024 * 1024);
    for run_id in ["../../etc/passwd", "a/b", "a\\b", "/etc/passwd", "a b", "{{ ds }}", "$(id)", "a'b", "a\nb", "", &long] {
        let (status, detail) = api.refused("POST", runs, Some(json!({"logical_date": null, "dag_run_id": run_id}))).await;
        assert!(status == 400 || status == 422, "{status} {detail}");
    }
    for path in ["%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%2f..", &"x".repeat(16 * 1024)] {
        let logs = format!("{runs}/{path}/taskInstances/a/logs/1");
        assert_eq!([api.status("GET", &format!("{runs}/{path}")).await, api.status("GET", &logs).await], [404, 404], "{path:.40}");
    }
    assert_eq!(api.get(runs).await["total_entries"], 0);
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_words_about_a_dag_are_text(pool: PgPool) {
    let api = Api::new(pool).await;
    let words = "<script>alert(1)</script>{{ 7 * 7 }}";
    api.sql("update dag_version set spec = replace(spec, '# Hello', '<script>alert(1)</script>{{ 7 * 7 }}')").await;
    let answer = api.call("GET", "/api/v2/dags/diamond/details", None, "application/json").await;
    assert_eq!(answer.json()["doc_md"], words, "nothing of it is rendered");
    let header = |name: &str| answer.headers[name].to_str().unwrap();
    assert_eq!((header("content-type"), header("x-content-type-options")), ("application/json", "nosniff"));
    // Were the page to show it as HTML, a browser would still not run it.
    let page = api.call("GET", "/", None, "text/html").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'self'") && !policy.contains("unsafe-inline") && !policy.contains("unsafe-eval"), "{policy}");
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_xcom_is_data_whatever_it_names(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let entries = "/api/v2/dags/diamond/dagRuns/r1/taskInstances/a/xcomEntries";
    // What Airflow's own serialisation would make an object of: whoever reads our values with it must not be told to.
    let posing = json!({"a": [{"__classname__": "subprocess.Popen", "__version__": 1, "__data__": {"args": ["id"]}}]});
    let (status, refused) = api.refused("POST", entries, Some(json!({"key": "k", "value": posing}))).await;
    assert_eq!((status, &refused[0]["loc"]), (422, &json!(["body", "value"])), "{refused}");
    let value = json!({
        "py/object": "os.system", "py/reduce": [{"py/function": "os.system"}, ["id"]], "!!python/object/apply:os.system": ["id"],
        "$type": "System.Diagnostics.Process", "@class": "java.lang.Runtime",
    });
    api.send("POST", entries, json!({"key": "k", "value": value})).await;
    for query in ["", "?deserialize=true", "?stringify=false"] {
        let shown = api.get(&format!("{entries}/k{query}")).await["value"].take();
        let shown = shown.as_str().map_or_else(|| shown.clone(), |text| serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(shown, value, "{query}: it comes back as it went in");
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn no_parameter_becomes_sql(pool: PgPool) {
    let api = Api::new(pool).await;
    api.half_done().await;
    let lists = [
        "/api/v2/dags",
        "/api/v2/dags/~/dagRuns",
        "/api/v2/dags/~/dagRuns/~/taskInstances",
        "/api/v2/eventLogs",
        "/api/v2/pools",
        "/api/v2/variables",
        "/api/v2/connections",
        "/api/v2/backfills?dag_id=diamond",
        "/api/v2/importErrors",
        "/api/v2/dags/diamond/dagRuns/r1/taskInstances/a/xcomEntries",
        "/ui/overview",
    ];
    let names = [
        "order_by",
        "limit",
        "offset",
        "cursor",
        "dag_id",
        "dag_id_pattern",
        "dag_ids",
        "tags",
        "owners",
        "state",
        "last_dag_run_state",
        "run_id_pattern",
        "run_type",
        "start_date_gte",
        "logical_date_lte",
        "task_id",
        "pool",
        "queue",
        "executor",
        "version_number",
        "pool_name_pattern",
        "variable_key_pattern",
        "connection_id_pattern",
        "event",
        "xcom_key_pattern",
        "map_index",
        "bundle_name",
    ];
    let texts = [
        "'; drop table run; --",
        "1); select pg_sleep(60); --",
        "\" desc; delete from pool; --",
        "x' or '1'='1",
        "-id,(select 1)",
        "%' union select 1",
    ];
    for list in lists {
        for name in names {
            for text in texts {
                let join = if list.contains('?') { '&' } else { '?' };
                let quoted: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
                let answer = api.call("GET", &format!("{list}{join}{name}={quoted}"), None, "application/json").await;
                assert!(answer.status.as_u16() < 500, "{list} {name}={text}: {} {}", answer.status, answer.text);
            }
        }
    }
    let rows: (i64, i64, i64) =
        sqlx::query_as("select (select count(*) from run), (select count(*) from pool), (select count(*) from dag)")
            .fetch_one(&api.pool)
            .await
            .unwrap();
    assert_eq!(rows, (1, 1, 2));
}

/// What we give people to copy: what a trigger says goes by the environment, not into the text of a command.
#[test]
fn examples_give_no_shell_what_a_trigger_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (mut files, mut seen) = (0, 0);
    for folder in ["dags", "crates/updraft/src/init/template/dags"] {
        for entry in fs::read_dir(root.join(folder)).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            files += 1;
            // `{{%` is how an f-string of Python writes a statement, which prints nothing.
            let text = fs::read_to_string(entry.path()).unwrap().replace("{{%", "{%");
            for line in text.lines().filter(|line| line.contains("{{")) {
                if ["params", "conf", "run_id", "dag_run", "var.", "conn."].iter().any(|word| line.contains(word)) {
                    seen += 1;
                    assert!(line.trim_start().starts_with("env"), "{}: {line}", entry.path().display());
                }
            }
        }
    }
    assert!(files > 5 && seen > 1, "{files} files, {seen} lines");
}

/// docs/cve.md: every test that it names is there, and every line says something.
#[test]
fn the_page_names_tests_that_exist() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let page = fs::read_to_string(docs.join("cve.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit()).collect();
    let numbers: BTreeSet<u32> = rows.iter().map(|row| row[2..].split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (1..=25).collect(), "the list that the page answers");
    let mut named = 0;
    for row in &rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(cells.len() == 5 && cells[3].len() > 20, "a line has a number, names, what it was, why not here, and tests: {row}");
        // [`name`](file)
        for link in cells[4].split("[`").skip(1) {
            let (name, rest) = link.split_once("`](").unwrap_or_else(|| panic!("not [`name`](file): {link}"));
            let file = docs.join(rest.split(')').next().unwrap());
            let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {}: {error}", file.display()));
            let function = if file.extension().is_some_and(|end| end == "py") { "def" } else { "fn" };
            assert!(text.contains(&format!("{function} {name}(")), "{name} is not in {}", file.display());
            named += 1;
        }
    }
    assert!(named >= 25, "{named}");
}
