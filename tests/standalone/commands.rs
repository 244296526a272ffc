//! Every command of the program's own tree, run against a server: what `-o json` prints is one JSON document and nothing else, and every
//! form of output is taken. A new command fails here until it says how it is run.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{PROGRAM, Standalone};

const DAG: &str = r#"
dag_id: walk
schedule: "@daily"
start_date: "2020-01-01"
catchup: false
tasks:
  first: {bash_command: "echo said-by-first"}
  second: {bash_command: "echo said-by-second", upstream: [first]}
"#;

/// What each command gets behind its words. `@` is a folder of the test's own, `#` a number: 0, then the next one. None: it is a role, or it does not end by itself.
fn arguments(words: &str) -> Option<&'static [&'static str]> {
    Some(match words {
        "standalone" | "scheduler" | "worker" | "api" | "dag-processor" => return None,
        // Tested where they belong: they want a database of their own.
        "db migrate" | "db check" | "db clean" | "secrets rotate" => return None,
        "secrets new-key" | "schema" | "version" | "cheat-sheet" | "doctor" => &[],
        "init" => &["project"],
        "schedule next" => &["0 6 * * *"],
        "completion" => &["bash"],
        "dags check" | "migrate airflow" => &["@/dags"],
        "dags diff" => &["HEAD", "-C", "@/repository"],
        "dags list" | "dags list-import-errors" => &[],
        "dags show" | "dags next-execution" | "dags versions" | "dags source" | "dags pause" | "dags unpause" => &["walk"],
        "dags trigger" => &["walk"],
        "dags list-runs" | "runs list" => &["walk"],
        "dags state" | "runs show" | "runs watch" => &["walk", "known"],
        "dags delete" => &["walk", "--yes"],
        "tasks list" => &["walk"],
        "tasks states" => &["walk", "known"],
        "tasks state" | "tasks failed-deps" | "tasks history" | "tasks render" => &["walk", "first", "known"],
        "tasks logs" => &["walk", "known", "first"],
        "tasks clear" => &["walk", "known", "--dry-run"],
        "why" => &["walk", "known", "second"],
        "jobs list" | "jobs check" => &[],
        "backfill create" => &["--dag-id", "walk", "--from-date", "2026-01-01", "--to-date", "2026-01-02", "--dry-run"],
        "backfill list" => &["walk"],
        "backfill show" | "backfill pause" | "backfill unpause" | "backfill cancel" => return None,
        "pools list" => &[],
        "pools set" => &["little", "3"],
        "pools get" | "pools delete" => &["little"],
        "pools export" | "pools import" => &["@/pools.json"],
        "variables list" => &[],
        "variables set" => &["region", "eu"],
        "variables get" | "variables delete" => &["region"],
        "variables export" | "variables import" => &["@/variables.json"],
        "connections list" => &[],
        "connections add" => &["db", "--conn-type", "postgres", "--conn-host", "h"],
        "connections get" | "connections delete" => &["db"],
        "connections export" => &["@/connections.json"],
        "connections import" => &["@/connections.json", "--overwrite"],
        "users list" | "roles list" => &[],
        "users create" => &["eve#", "--role", "viewer=dag:walk", "--random-password"],
        "users get" | "users disable" | "users enable" | "users delete" => &["eve0"],
        "users reset-password" => &["eve0", "--random-password"],
        "users add-role" => &["eve0", "op"],
        // A role is taken away once.
        "users remove-role" => return None,
        "roles create" => &["triggerer#", "runs.create"],
        "roles set" => &["triggerer0", "runs.create", "runs.read"],
        "roles delete" => &["triggerer0"],
        // On loopback nobody is anybody: tested where people log in.
        "tokens list" | "tokens create" | "tokens revoke" => return None,
        "workers list" | "queues list" => &[],
        // Tested in a fleet: the one worker here has work to do.
        "workers drain" | "workers undrain" => return None,
        "maintenance on" | "maintenance off" | "maintenance status" => &[],
        "context add" => &["walked", "http://127.0.0.1:1"],
        "context use" | "context remove" => &["walked"],
        "context list" => &[],
        // No password is asked for on loopback: any will do.
        "login" | "logout" => &[],
        "call" => &["GET", "/dags"],
        other => panic!("`updraft {other}` is new: say here how it is run"),
    })
}

/// Commands that others need: before the alphabet's order.
const FIRST: &[&str] = &[
    "users create",
    "users add-role",
    "roles create",
    "pools set",
    "variables set",
    "connections add",
    "context add",
    "login",
    "pools export",
    "variables export",
    "connections export",
];
/// And those that take away what others need.
const LAST: &[&str] =
    &["pools delete", "variables delete", "connections delete", "logout", "context remove", "dags delete", "users delete", "roles delete"];

struct Walk {
    server: Standalone,
    home: tempfile::TempDir,
    /// What stands at each `#` next.
    numbers: RefCell<HashMap<String, usize>>,
}

impl Walk {
    fn run(&self, words: &[&str]) -> Output {
        let folder = self.server.folder.to_str().unwrap();
        let mut numbers = self.numbers.borrow_mut();
        let mut numbered = |word: String| {
            let Some(name) = word.strip_suffix('#') else { return word };
            let next = numbers.entry(name.to_owned()).or_default();
            *next += 1;
            format!("{name}{}", *next - 1)
        };
        let words: Vec<String> = words.iter().map(|word| numbered(word.replace('@', folder))).collect();
        Command::new(PROGRAM)
            .args(&words)
            .env("XDG_CONFIG_HOME", self.home.path())
            .env("UPDRAFT_API_URL", format!("http://127.0.0.1:{}", self.server.port))
            .env("UPDRAFT_API_PASSWORD", "any-password-does")
            .current_dir(&self.server.folder)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn json(&self, words: &[&str]) -> Value {
        let output = self.run(words);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{words:?}: {out}{err}");
        // A watch says one object a line; everything else one document.
        let text =
            if words.starts_with(&["runs", "watch"]) { format!("[{}]", out.trim().replace("}\n{", "},\n{")) } else { out.into_owned() };
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?} printed no JSON ({error}): {text}\n{err}"))
    }
}

fn git(folder: &Path, words: &[&str]) {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]).args(words);
    let done = git.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(done.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn every_command_does_what_it_says_and_prints_data_only() {
    let walk =
        Walk { server: Standalone::start(&[("walk.yaml", DAG)], &[]), home: tempfile::tempdir().unwrap(), numbers: RefCell::default() };
    let server = &walk.server;
    server.until_dag("walk");
    let body = json!({"logical_date": null, "dag_run_id": "known"});
    assert_eq!(server.post("/api/v2/dags/walk/dagRuns", &body).0, 200);
    assert_eq!(server.end_of("walk", "known", Duration::from_secs(60)), "success");
    // A repository whose working tree has a task more.
    let repository = server.path("repository");
    fs::create_dir(&repository).unwrap();
    fs::write(repository.join("walk.yaml"), DAG).unwrap();
    git(&repository, &["init", "-q"]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "-q", "-m", "one"]);
    fs::write(repository.join("walk.yaml"), format!("{DAG}  third: {{bash_command: \"true\", upstream: [second]}}\n")).unwrap();

    let tree = walk.json(&["docs", "commands"]);
    let mut all: Vec<(String, bool)> = tree
        .as_array()
        .unwrap()
        .iter()
        .map(|command| {
            let words: Vec<&str> = command["words"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            (words.join(" "), command["has_output"] == true)
        })
        .collect();
    assert!(all.len() > 50, "the tree has lost its leaves: {all:?}");
    all.sort_by_key(|(words, _)| {
        let at = |order: &[&str]| order.iter().position(|known| known == words);
        match (at(FIRST), at(LAST)) {
            (Some(at), _) => (0, at),
            (_, Some(at)) => (2, at),
            _ => (1, 0),
        }
    });
    for (words, has_output) in &all {
        let Some(arguments) = arguments(words) else { continue };
        if LAST.contains(&words.as_str()) {
            server.until(Duration::from_secs(60), "what was triggered is over", || {
                let open = server.get("/api/v2/dags/walk/dagRuns?state=running&state=queued&limit=1");
                open.is_none_or(|open| open["total_entries"] == 0)
            });
        }
        let mut typed: Vec<&str> = words.split(' ').collect();
        typed.extend(arguments);
        if !has_output {
            let output = walk.run(&typed);
            assert_eq!(output.status.code(), Some(0), "{words}: {}", String::from_utf8_lossy(&output.stderr));
            continue;
        }
        let answer = walk.json(&[typed.as_slice(), &["-o", "json"]].concat());
        if words.ends_with(" list") {
            assert!(answer.is_array(), "{words}: a list is an array: {answer}");
        }
        // These have forms of their own.
        let forms: &[&str] = if ["dags check", "migrate airflow", "schedule next"].contains(&words.as_str()) {
            &["yaml"]
        } else {
            &["table", "wide", "yaml", "name"]
        };
        for form in forms {
            let output = walk.run(&[typed.as_slice(), &["-o", form]].concat());
            assert_eq!(output.status.code(), Some(0), "{words} -o {form}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    said(&walk);
}

/// What a few of them say, in the places where it is easy to be wrong.
fn said(walk: &Walk) {
    let out = |words: &[&str]| String::from_utf8(walk.run(words).stdout).unwrap();
    let changed = walk.json(&["dags", "diff", "HEAD", "-C", "@/repository", "-o", "json"]);
    assert_eq!(changed.as_array().unwrap().len(), 1, "{changed}");
    assert_eq!((&changed[0]["change"], &changed[0]["task_id"]), (&json!("added"), &json!("third")));
    let status = walk.run(&["dags", "diff", "HEAD", "-C", "@/repository", "--exit-code"]).status.code();
    assert_eq!(status, Some(1));
    assert_eq!(walk.run(&["dags", "diff", "HEAD..HEAD", "-C", "@/repository", "--exit-code"]).status.code(), Some(0));
    assert_eq!(walk.run(&["dags", "diff", "nope..HEAD", "-C", "@/repository"]).status.code(), Some(3));

    // `api` with a method is a request; Airflow's other verbs have reasons.
    assert_eq!(walk.json(&["api", "GET", "/pools", "-q", "limit=1"])["pools"].as_array().unwrap().len(), 1);
    let absent = walk.run(&["providers", "list"]);
    assert_eq!(absent.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("next:"), "{absent:?}");
    // The walk deleted it, and its file brings it back without its runs; a file that is touched is read at once.
    let file = walk.server.path("dags/walk.yaml");
    fs::write(&file, format!("{DAG}# again\n")).unwrap();
    walk.server.until_dag("walk");
    assert_eq!(walk.run(&["tasks", "state", "walk", "first", "known"]).status.code(), Some(3), "its runs are gone");
    let run = walk.server.trigger("walk");
    assert_eq!(walk.server.end_of("walk", &run, Duration::from_secs(60)), "success");
    assert_eq!(out(&["tasks", "state", "walk", "first", "latest"]), "success\n");
    assert_eq!(out(&["tasks", "state", "walk", "latest", "first"]), "success\n", "our own order is understood, too");
    assert_eq!(out(&["dags", "state", "walk", "latest"]), "success\n");
    let day = json!({"logical_date": "2026-01-31T00:00:00Z", "dag_run_id": "of-a-day"});
    assert_eq!(walk.server.post("/api/v2/dags/walk/dagRuns", &day).0, 200);
    assert_eq!(walk.server.end_of("walk", "of-a-day", Duration::from_secs(60)), "success");
    assert_eq!(walk.json(&["runs", "show", "walk", "2026-01-31", "-o", "json"])["dag_run_id"], "of-a-day", "by its date");
    assert_eq!(walk.run(&["runs", "show", "walk", "2026-02-01"]).status.code(), Some(3));
    let cleared = walk.json(&["tasks", "clear", "walk", "-s", "2026-01-31", "-e", "2026-01-31", "--dry-run", "-o", "json"]);
    assert!(cleared.is_array(), "{cleared}");
    assert_eq!(out(&["dags", "list", "-o", "name"]), "walk\n");
    assert!(out(&["runs", "list", "walk", "-o", "name"]).lines().any(|name| name == run));
    assert!(out(&["dags", "source", "walk"]).contains("said-by-first"));
    let slow = walk.run(&["runs", "watch", "walk", &run, "--timeout", "5m", "-o", "name"]);
    assert_eq!(slow.status.code(), Some(0), "over already");

    // The bundle holds much, and nothing secret.
    let set = walk.run(&["variables", "set", "api_token", "canary-value"]);
    assert!(set.status.success(), "{set:?}");
    assert!(walk.run(&["doctor", "--bundle", "@/bundle.json"]).status.success());
    let bundle = fs::read_to_string(walk.server.path("bundle.json")).unwrap();
    assert!(!bundle.contains("canary") && !bundle.contains("any-password-does"), "{bundle}");
    let bundle: Value = serde_json::from_str(&bundle).unwrap();
    for part in ["client", "doctor", "health", "jobs", "dags", "runs_failed", "events"] {
        assert!(bundle[part].is_object() && bundle[part]["not_to_be_had"].is_null(), "{part}: {}", bundle[part]);
    }
    let ids: Vec<&str> = bundle["doctor"]["findings"].as_array().unwrap().iter().filter_map(|f| f["id"].as_str()).collect();
    for id in ["database", "clock", "clock:here", "broker"] {
        assert!(ids.contains(&id), "{id} is not among {ids:?}");
    }
}

#[test]
fn a_login_is_kept_in_a_context_and_nobody_else_can_read_it() {
    let walk =
        Walk { server: Standalone::start(&[("walk.yaml", DAG)], &[]), home: tempfile::tempdir().unwrap(), numbers: RefCell::default() };
    let url = format!("http://127.0.0.1:{}", walk.server.port);
    let bare = |words: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(words).env("XDG_CONFIG_HOME", walk.home.path()).env_remove("UPDRAFT_API_URL").stdin(Stdio::null());
        command.output().unwrap()
    };
    let password = walk.home.path().join("password");
    fs::write(&password, "any-password-does\n").unwrap();
    let mut login = Command::new(PROGRAM);
    login.args(["login", &url, "--context", "here"]).env("XDG_CONFIG_HOME", walk.home.path()).stdin(fs::File::open(&password).unwrap());
    let login = login.output().unwrap();
    assert!(login.status.success(), "{login:?}");
    let file = walk.home.path().join("updraft/contexts.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let kept: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert!(kept["contexts"]["here"]["token"].is_string(), "{kept}");

    // The context says where the API is; a flag says otherwise.
    assert_eq!(bare(&["pools", "list", "-o", "name"]).stdout, b"default_pool\n");
    assert_eq!(bare(&["pools", "list", "--api-url", "http://127.0.0.1:1"]).status.code(), Some(6));
    assert_eq!(bare(&["pools", "list", "--context", "nope"]).status.code(), Some(3));
    let list = bare(&["context", "list", "-o", "json"]);
    let token = kept["contexts"]["here"]["token"].as_str().unwrap();
    assert!(!String::from_utf8_lossy(&list.stdout).contains(token), "a token is never shown");
    assert!(bare(&["logout"]).status.success());
    assert!(!fs::read_to_string(&file).unwrap().contains(token));
}

#[test]
fn the_tab_key_knows_dags_runs_and_tasks() {
    let server = Standalone::start(&[("walk.yaml", DAG)], &[]);
    server.until_dag("walk");
    let offered = |words: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.arg("--").args(words).env("UPDRAFT_COMPLETE", "fish").env("UPDRAFT_API_URL", format!("http://127.0.0.1:{}", server.port));
        String::from_utf8(command.env("XDG_CONFIG_HOME", "/nonexistent").output().unwrap().stdout).unwrap()
    };
    assert_eq!(offered(&["updraft", "dags", "show", "wa"]), "walk\n");
    assert!(offered(&["updraft", "tasks", "logs", "walk", "l"]).contains("latest"));
    assert_eq!(offered(&["updraft", "why", "walk", "latest", "s"]), "second\n");
    assert!(offered(&["updraft", "pools", "get", ""]).contains("default_pool"));
    assert!(offered(&["updraft", "dags", "li"]).contains("list-import-errors"));
}

/// Not a bound that a busy machine could break, but one that no start with the host's certificates or a waiting thread would keep.
#[test]
fn a_list_of_dags_is_quick() {
    let server = Standalone::start(&[("walk.yaml", DAG)], &[]);
    server.until_dag("walk");
    let mut took: Vec<Duration> = (0..20)
        .map(|_| {
            let begin = Instant::now();
            assert!(server.cli(&["dags", "list"]).status.success());
            begin.elapsed()
        })
        .collect();
    took.sort();
    let median = took[took.len() / 2];
    println!("dags list: median {median:?}, fastest {:?}, slowest {:?}", took[0], took[19]);
    assert!(median < Duration::from_millis(250), "{took:?}");
}

/// Files below a folder that end so, but for what is generated.
fn files(folder: &Path, ends: &[&str], found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name().into_string().unwrap();
        if path.is_dir() && name != "node_modules" && name != "dist" {
            files(&path, ends, found);
        } else if ends.iter().any(|end| name.ends_with(end)) && !name.ends_with("schema.d.ts") {
            found.push(path);
        }
    }
}

/// Whether what stands before the program's name says that a command begins there.
fn begins_a_command(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default();
    line.trim().is_empty() || line.ends_with(['`', '"', '>', '(']) || line.ends_with(": ") || line.ends_with("; ") || line.ends_with("$ ")
}

#[test]
fn every_command_that_the_pages_answers_and_docs_name_is_there() {
    let tree: Value = serde_json::from_slice(&Command::new(PROGRAM).args(["docs", "commands"]).output().unwrap().stdout).unwrap();
    let leaves: Vec<Vec<&str>> = tree
        .as_array()
        .unwrap()
        .iter()
        .map(|command| command["words"].as_array().unwrap().iter().filter_map(Value::as_str).collect())
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut sources = vec![root.join("README.md")];
    for (folder, ends) in [("crates", &[".rs", ".ts", ".tsx"][..]), ("docs", &[".md"][..])] {
        files(&root.join(folder), ends, &mut sources);
    }
    let mut named = 0;
    let mut wrong = Vec::new();
    for source in sources {
        let text = fs::read_to_string(&source).unwrap();
        for (at, _) in text.match_indices("updraft ").filter(|(at, _)| begins_a_command(&text[..*at])) {
            let line = text[at..].lines().next().unwrap_or_default();
            let is_word =
                |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
            // What cannot be a word of a command is an argument, or the end; so is what a quote or a tag closes.
            let mut typed: Vec<&str> = Vec::new();
            for word in line.split(' ').skip(1).take(2) {
                let bare = word.split('<').next().unwrap_or_default().trim_end_matches(['`', '"', ')', ',', ';', '.', ':']);
                if is_word(bare) {
                    typed.push(bare);
                }
                if bare != word || !is_word(bare) {
                    break;
                }
            }
            let Some(first) = typed.first() else { continue };
            named += 1;
            let known = leaves.iter().any(|words| words.first() == Some(first))
                && typed
                    .get(1)
                    .is_none_or(|second| leaves.iter().any(|words| words[0] == *first && words.get(1).is_none_or(|word| word == second)));
            // Those after the third are for the program itself.
            if !known && !["api", "docs", "help", "supervise", "sandbox", "raw"].contains(first) {
                wrong.push(format!("{}: {line}", source.strip_prefix(&root).unwrap().display()));
            }
        }
    }
    assert!(named > 100, "only {named} were found");
    assert!(wrong.is_empty(), "no such commands: {wrong:#?}");
}
