//! A hundred secrets in variables, connections and environments; tasks that print what they can get hold of, in every way; and then a look at
//! everything that Updraft writes or answers.
//!
//! Every place is searched for a word that is no secret, too, and must have it: a search that looks nowhere finds no secret either.

mod cluster;
mod dump;
mod forms;
mod tap;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::encode;
use crate::roles::{Fleet, PROGRAM, Plan};
use crate::servers::{amqp_url, rabbitmqctl, rabbitmqctl_command};
use cluster::Cluster;
use dump::Field;
use forms::{Canary, Finder, Kind, canaries, padded_base64, percent};
use tap::Tap;

const COUNTS: [(Kind, usize); 6] =
    [(Kind::Variable, 20), (Kind::Nested, 14), (Kind::Password, 18), (Kind::Extra, 12), (Kind::Task, 24), (Kind::Role, 12)];
/// No secret: to be found everywhere.
const MARKER: &str = "markerQx7TzR4bLm9w";
const RUN: &str = "run-markerQx7TzR4bLm9w";

/// Writes out texts in every way, and each once more with a pause in the middle, so that it lies in two pieces of the log.
const SHOW: &str = r#"
import base64, json, os, re, sys, time
from urllib.parse import quote, quote_plus, unquote, urlsplit

def show(text):
    data = text.encode()
    print("raw:", text)
    print("json:", json.dumps(text), json.dumps(text, ensure_ascii=False))
    print("url:", quote(text, safe=""), quote_plus(text), re.sub("%..", lambda code: code.group().lower(), quote(text, safe="")))
    print("hex:", data.hex(), data.hex().upper())
    for before in (b"", b"u", b"us", b"user:"):
        print("base64:", base64.b64encode(before + data + b"tail").decode(), base64.urlsafe_b64encode(before + data).decode())
    for form in (text, base64.b64encode(data).decode(), data.hex()):
        middle = len(form) // 2
        print("in two:", form[:middle], end="", flush=True)
        time.sleep(0.7)
        print(form[middle:], flush=True)

def of_worker():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
            if words[1:2] == [b"worker"] and any(os.path.dirname(sys.argv[1]).encode() in word for word in words):
                return open(f"/proc/{pid}/environ").read().split("\0")
        except OSError:
            pass

if len(sys.argv) > 1:
    for line in of_worker():
        name, _, value = line.partition("=")
        if not re.match("UPDRAFT_(DATABASE|BROKER)_URL|AIRFLOW_|AWS_SECRET_ACCESS_KEY|GITHUB_TOKEN|SMTP_PASSWORD", name):
            continue
        print("worker:", line)
        show(unquote(urlsplit(value).password) if "://" in value else value)
    show(os.environ["REGION"])
else:
    for name, value in sorted(os.environ.items()):
        print("mine:", f"{name}={value}")
        if name.startswith("CANARY_") or name == "REGION":
            show(value)
print("that was all")
if "CANARY_TOKEN_23" in os.environ:
    print("it did not work:", os.environ["CANARY_TOKEN_22"], os.environ["CANARY_TOKEN_23"])
    sys.exit(3)
"#;

/// What is a template and reads a secret: most of them end their task, the others have a mask.
const LEAKS: [&str; 11] = [
    "{{ var.value.canary_token_0 }}",
    "{{ var.value.get('canary_token_1') }}",
    "{{ var.value['canary_token_2'] | upper }}",
    "{{ var.json.settings_0.db.password }}",
    "{{ var.json.settings_1 | tojson }}",
    "{{ var.value.settings_2 }}",
    "{{ conn.c0.password }}",
    "{{ conn.c1.extra_dejson.private_key }}",
    "{{ conn.c2.get_uri() }}",
    "{{ conn.c3.extra }}",
    "{{ conn.c4 }}",
];

/// What was looked through, and what was found there.
struct Look<'a> {
    canaries: &'a [Canary],
    finder: Finder,
    marker: Finder,
    /// By place: bytes, and in how many forms the marker stood there.
    places: BTreeMap<String, (usize, BTreeSet<&'static str>)>,
    found: BTreeSet<String>,
}

impl<'a> Look<'a> {
    fn new(canaries: &'a [Canary]) -> Self {
        let (finder, marker) = (Finder::of_canaries(canaries), Finder::of([(0, MARKER)]));
        Self { canaries, finder, marker, places: BTreeMap::new(), found: BTreeSet::new() }
    }

    /// `but`: what has to stand there, and why it may is in docs/secrets.md.
    fn at(&mut self, place: &str, part: &str, bytes: &[u8], but: Option<Kind>) {
        for (number, encoding) in self.finder.find(bytes) {
            let kind = self.canaries[number].kind;
            if Some(kind) != but {
                self.found.insert(format!("{place}, {part}: canary {number} ({kind:?}) as {encoding}"));
            }
        }
        let (size, forms) = self.places.entry(place.to_owned()).or_default();
        *size += bytes.len();
        forms.extend(self.marker.find(bytes).into_iter().map(|(_, encoding)| encoding));
    }
}

/// Reads an event stream until it is closed.
fn listen(fleet: &Fleet, authorization: &str) -> (TcpStream, Arc<Mutex<Vec<u8>>>) {
    let mut stream = TcpStream::connect(("127.0.0.1", fleet.port)).unwrap();
    let host = format!("127.0.0.1:{}", fleet.port);
    write!(stream, "GET /ui/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n\r\n").unwrap();
    let (mut reader, heard) = (stream.try_clone().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let shared = Arc::clone(&heard);
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            shared.lock().unwrap().extend_from_slice(&buffer[..count]);
        }
    });
    (stream, heard)
}

/// The DAG files: tasks that show their environment (some of commands, some of pods), one that reads its worker's, and templates that leak.
fn files(canaries: &[Canary], show: &str, folder_mark: &str) -> Vec<(String, String)> {
    let own: Vec<&Canary> = canaries.iter().filter(|canary| canary.kind == Kind::Task).collect();
    let env = |n: usize| {
        let mut env = serde_json::Map::from_iter([("REGION".to_owned(), json!(MARKER))]);
        env.extend((3 * n..3 * n + 3).map(|n| (format!("CANARY_TOKEN_{n}"), json!(own[n].text))));
        Value::Object(env)
    };
    let mut bash = format!("dag_id: bash_{MARKER}\nschedule: null\ntasks:\n");
    for n in 0..4 {
        bash += &format!("  shows{n}: {{bash_command: \"python3 {show}\", append_env: true, env: {}}}\n", env(n));
    }
    bash += &format!("  worker: {{bash_command: \"python3 {show} {folder_mark}\", append_env: true, env: {{REGION: {MARKER}}}}}\n");
    let mut pods = format!(
        "from airflow import DAG\nfrom airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator as Pod\n\n\
         with DAG('pods_{MARKER}', schedule=None):\n"
    );
    for n in 0..4 {
        let env = env(n + 4);
        pods += &format!(
            "    Pod(task_id='shows{n}', name='shows', namespace='tasks', image='python:3', cmds=['python3', '{show}'], env_vars={env}, \
             queue='pods', labels={{'app': '{MARKER}'}})\n"
        );
    }
    let mut leaks = format!("dag_id: leaks_{MARKER}\nschedule: null\ntasks:\n");
    for (n, template) in LEAKS.iter().enumerate() {
        leaks += &format!("  leak{n}: {{bash_command: \"echo $SHOWN {MARKER}\", append_env: true, env: {{SHOWN: {}}}}}\n", json!(template));
    }
    vec![
        ("bash.yaml".to_owned(), bash),
        ("pods.py".to_owned(), pods),
        ("leaks.yaml".to_owned(), leaks),
        ("broken.py".to_owned(), format!("from airflow import DAG\nraise ValueError('{MARKER}')\n")),
    ]
}

/// Every way to read of the API, with ids of what is there.
fn walk(fleet: &Fleet, tasks: &[(String, String)], connections: usize) -> Vec<(String, String)> {
    let events = fleet.get("/api/v2/eventLogs?order_by=-event_log_id&limit=1").unwrap();
    let last_event = events["event_logs"][0]["event_log_id"].as_u64().unwrap();
    let numbers = |end: u64| (1..=end).map(|n| n.to_string()).collect::<Vec<_>>();
    let variables = fleet.get("/api/v2/variables?limit=1000").unwrap();
    let keys: Vec<String> = variables["variables"].as_array().unwrap().iter().map(|v| v["key"].as_str().unwrap().to_owned()).collect();
    let workers = fleet.get("/ui/workers").unwrap();
    let workers: Vec<String> = workers["workers"].as_array().unwrap().iter().map(|worker| encode(worker["id"].as_str().unwrap())).collect();
    let mut paths = Vec::new();
    for route in updraft_api::routes().iter().filter(|route| route.method == "GET" && route.path != "/ui/events") {
        let path = &route.path;
        let ids: Vec<String> = match path.split('/').find(|part| !["", "api", "v2", "ui"].contains(part)).unwrap_or_default() {
            "eventLogs" => numbers(last_event),
            "connections" => (0..connections).map(|n| format!("c{n}")).collect(),
            "workers" => workers.clone(),
            _ => numbers(1),
        };
        let mut filled = BTreeSet::new();
        for (dag_id, task_id) in tasks {
            let path = path.replace("{dag_id}", dag_id).replace("{run_id}", RUN).replace("{task_id}", task_id);
            let path = path.replace("{try_number}", "1").replace("{map_index}", "-1").replace("{number}", "1").replace("{group}", "none");
            let path = path
                .replace("{section}", "core")
                .replace("{option}", "parallelism")
                .replace("{*rest}", "dags")
                .replace("{*file}", "docs.js");
            let path = path.replace("{name}", if path.contains("/users") { "eve" } else { "default_pool" });
            match (path.contains("{id}"), path.contains("{*key}")) {
                (true, _) => filled.extend(ids.iter().map(|id| path.replace("{id}", id))),
                (_, true) if path.contains("/variables/") => filled.extend(keys.iter().map(|key| path.replace("{*key}", &encode(key)))),
                (_, true) => _ = filled.insert(path.replace("{*key}", "return_value")),
                _ => filled.extend([
                    path.clone(),
                    format!("{path}?limit=1000&interval=1&q=a"),
                    format!("{path}?full_content=true&offset=0&dag_id=~"),
                ]),
            }
        }
        assert!(filled.iter().all(|path| !path.contains('{')), "a parameter is new to this test: {path}");
        paths.extend(filled.into_iter().map(|filled| (path.clone(), filled)));
    }
    paths
}

#[test]
fn a_hundred_canaries_get_nowhere() {
    let seed = std::env::var("UPDRAFT_FLEET_SEED").map_or(20_260_101, |seed| seed.parse().unwrap());
    eprintln!("UPDRAFT_FLEET_SEED={seed}");
    let canaries = canaries(seed, &COUNTS);
    assert_eq!(canaries.len(), 100);
    let of = |kind: Kind| canaries.iter().filter(|canary| canary.kind == kind).map(|canary| canary.text.as_str()).collect::<Vec<_>>();
    let [database, broker, api, webhook, oidc, user, aws, alchemy, warehouse, github, smtp, key] = of(Kind::Role)[..] else {
        panic!("not as many as named")
    };

    // A broker with a password of ours, and somebody who listens on the line.
    let _ = rabbitmqctl_command(&["delete_user", "canary"]).output();
    rabbitmqctl(&["add_user", "canary", &format!("'{broker}'")]);
    rabbitmqctl(&["set_permissions", "-p", "/", "canary", "'.*'", "'.*'", "'.*'"]);
    let url = amqp_url();
    let tap = Tap::start(url.rsplit_once('@').unwrap().1.split('/').next().unwrap().to_owned());

    let script = tempfile::Builder::new().prefix("updraft-canaries.").tempdir().unwrap();
    fs::set_permissions(script.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let show = script.path().join("show.py").display().to_string();
    fs::write(&show, SHOW).unwrap();
    let files = files(&canaries, &show, "{ledger}");
    let pairs: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let named = |pairs: &[(&str, String)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<Vec<_>>();
    let authorization = format!("Basic {}", padded_base64(format!("admin:{api}").as_bytes()));
    let plan = Plan {
        schedulers: 1,
        workers: 1,
        concurrency: 16,
        broker_url: Some(format!("amqp://canary:{}@127.0.0.1:{}/%2F", percent(broker, true), tap.port)),
        password: Some(percent(database, true)),
        authorization: Some(authorization.clone()),
        environment: named(&[
            ("UPDRAFT_LOG", "debug".to_owned()),
            ("UPDRAFT_QUEUES", format!("default,{MARKER}")),
            ("AWS_SECRET_ACCESS_KEY", aws.to_owned()),
            ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", format!("postgresql://airflow:{}@db/airflow", percent(alchemy, true))),
            ("AIRFLOW_CONN_WAREHOUSE", format!("postgres://etl:{}@warehouse/dwh", percent(warehouse, true))),
            ("GITHUB_TOKEN", github.to_owned()),
            ("SMTP_PASSWORD", smtp.to_owned()),
        ]),
        keepers: named(&[
            ("UPDRAFT_API_PASSWORD", api.to_owned()),
            ("UPDRAFT_GIT_WEBHOOK_SECRET", webhook.to_owned()),
            ("UPDRAFT_OIDC_CLIENT_SECRET", oidc.to_owned()),
            ("UPDRAFT_OIDC_ISSUER", "http://127.0.0.1:9".to_owned()),
            ("UPDRAFT_OIDC_CLIENT_ID", "updraft".to_owned()),
            ("UPDRAFT_OIDC_ROLES", "* => viewer".to_owned()),
            ("UPDRAFT_EXTERNAL_URL", "http://127.0.0.1:9".to_owned()),
            ("UPDRAFT_SECRET_KEYS", format!("first:{}", padded_base64(format!("{key}{}", "x".repeat(32 - key.len())).as_bytes()))),
        ]),
        ..Plan::default()
    };
    let mut fleet = Fleet::start(&pairs, plan);
    let cluster = Cluster::start();
    let kubeconfig = script.path().join("kubeconfig").display().to_string();
    fs::write(&kubeconfig, cluster.kubeconfig()).unwrap();
    let queues = format!("pods,{MARKER}");
    fleet.add_worker(1, 16, &[("UPDRAFT_RUNNER", "kubernetes"), ("KUBECONFIG", &kubeconfig), ("UPDRAFT_QUEUES", &queues)]);
    let dags = ["bash", "pods", "leaks"].map(|name| format!("{name}_{MARKER}"));
    dags.iter().for_each(|dag| fleet.until_dag(dag));
    let (stream, heard) = listen(&fleet, &authorization);

    // What the API is given to keep.
    let made = |path: &str, body: Value| {
        let (status, answer) = fleet.send("POST", path, &body);
        assert!(status == 200 || status == 201, "{path}: {status} {answer}");
    };
    made("/api/v2/variables", json!({"key": MARKER, "value": MARKER, "description": MARKER}));
    for (n, text) in of(Kind::Variable).iter().enumerate() {
        made("/api/v2/variables", json!({"key": format!("canary_token_{n}"), "value": text, "description": MARKER}));
    }
    for (n, text) in of(Kind::Nested).iter().enumerate() {
        let field = ["password", "api_key", "private_key", "access_token"][n % 4];
        let value = json!({"db": {"host": MARKER, field: text}, "list": [{"client_secret": text}]});
        made("/api/v2/variables", json!({"key": format!("settings_{n}"), "value": value}));
    }
    let extras = of(Kind::Extra);
    for (n, text) in of(Kind::Password).iter().enumerate() {
        let extra = json!({"region": MARKER, "private_key": extras[n % extras.len()], "deep": {"token": extras[n % extras.len()]}});
        let connection = json!({
            "connection_id": format!("c{n}"), "conn_type": "postgres", "host": MARKER, "login": "etl", "password": text,
            "extra": extra.to_string(),
        });
        made("/api/v2/connections", connection);
    }
    made("/ui/users", json!({"name": "eve", "password": user, "roles": ["viewer"]}));

    for dag in &dags {
        fleet.trigger(dag, RUN);
    }
    let mut ends = BTreeMap::new();
    for dag in &dags {
        fleet.until(Duration::from_secs(120), &format!("{dag} ends"), |fleet| {
            ends.insert(dag.clone(), fleet.run_state(dag, RUN));
            ["success", "failed"].contains(&ends[dag].as_str())
        });
    }
    assert_eq!(ends.values().collect::<Vec<_>>(), ["success", "failed", "failed"], "{ends:?}");
    let tasks: Vec<(String, String)> = fleet.get("/api/v2/dags/~/dagRuns/~/taskInstances?limit=1000").unwrap()["task_instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| (task["dag_id"].as_str().unwrap().to_owned(), task["task_id"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(tasks.len(), 5 + 4 + LEAKS.len());
    for (dag, task) in tasks.iter().filter(|(dag, _)| *dag != dags[2]) {
        let path = format!("/ui/logs/{dag}/{RUN}/{task}/1");
        fleet.until(Duration::from_secs(20), &format!("the log of {task} is whole"), |fleet| {
            fleet.ask(&path).is_some_and(|(_, _, log)| log.contains("that was all"))
        });
    }
    let (dag, task) = &tasks[0];
    let xcoms = format!("/api/v2/dags/{dag}/dagRuns/{RUN}/taskInstances/{task}/xcomEntries");
    assert_eq!(fleet.send("POST", &xcoms, &json!({"key": "return_value", "value": MARKER})).0, 201);

    let mut look = Look::new(&canaries);
    // The API, as its administrator.
    let mut unanswered: BTreeMap<String, u16> = BTreeMap::new();
    let mut answered = BTreeSet::new();
    for (route, path) in walk(&fleet, &tasks, of(Kind::Password).len()) {
        let (status, head, body) = fleet.ask(&path).expect("the API answers");
        let place = if path.contains("/logs/") { "logs by the API" } else { "API" };
        // The file as its author wrote it.
        let but = route.contains("/dagSources/").then_some(Kind::Task);
        look.at(place, &path, format!("{head}\n{body}").as_bytes(), but);
        if status == 200 {
            answered.insert(route);
        } else {
            unanswered.entry(route).or_insert(status);
        }
    }
    unanswered.retain(|route, _| !answered.contains(route));
    // What is refused to everybody, and what there is none of: backfills, mapped tasks, a provider.
    let none = ["/api/v1", "/config", "/enqueue-test", "/externalLogUrl/", "/state-store", "/oidc/", "/backfills/{id}", "/listMapped"];
    unanswered.retain(|route, _| !none.iter().any(|part| route.contains(part)));
    assert!(unanswered.is_empty() && answered.len() > 60, "{} answered, without an answer: {unanswered:?}", answered.len());

    // What the roles and the servers said of themselves.
    for role in fleet.schedulers.iter().chain(&fleet.workers).chain([&fleet.api]) {
        look.at(&format!("log of {}", role.name), "its lines", role.log().as_bytes(), None);
    }
    fleet.postgres.query(&format!("do $$ begin raise log '{MARKER}'; end $$"));
    look.at("log of Postgres", "its lines", fleet.postgres.log().as_bytes(), None);
    stream.shutdown(Shutdown::Both).unwrap();
    look.at("event stream", "its messages", &heard.lock().unwrap(), None);
    let bundle = fleet.folder.join("bundle.json").display().to_string();
    let api_url = format!("http://127.0.0.1:{}", fleet.port);
    let mut command = |place: &str, words: &[&str]| {
        let mut command = Command::new(PROGRAM);
        let output = command.args(words).env("UPDRAFT_API_URL", &api_url).env("UPDRAFT_API_PASSWORD", api).output().unwrap();
        look.at(place, "what it printed", &[output.stdout, output.stderr].concat(), None);
    };
    command("command line", &["variables", "list", "-o", "json"]);
    command("command line", &["connections", "list", "-o", "json"]);
    command("command line", &["doctor", "--bundle", &bundle]);
    look.at("doctor's bundle", "the file", &fs::read(&bundle).unwrap(), None);

    // The wire.
    {
        let seen = tap.seen.lock().unwrap();
        assert!(seen.logins >= 3 && seen.bodies.iter().any(|body| body.starts_with(b"{\"v\":1,\"hints\":[[")), "{} logins", seen.logins);
        look.at("messages", "frames", &seen.frames, None);
    }

    // The API server of Kubernetes: pods as they are created (their variables are the DAG file's), and all the rest that it is asked.
    {
        let world = cluster.world.lock().unwrap();
        assert_eq!(world.created.len(), 4);
        for pod in &world.created {
            let mut rest = pod.clone();
            let env = rest["spec"]["containers"][0]["env"].take();
            look.at("pods", "but their variables", rest.to_string().as_bytes(), None);
            look.at("pods", "their variables", env.to_string().as_bytes(), Some(Kind::Task));
        }
        look.at("calls of Kubernetes", "requests", &world.asked, Some(Kind::Task));
    }

    // The database.
    let text = fleet.postgres.dump();
    let fields = dump::fields(&text);
    // What an author wrote into a file stands where the file stands, and where a task is started from it.
    let written = [("dag_version", "source"), ("dag_version", "spec"), ("attempt", "launch"), ("live_attempt", "launch")];
    let mut logs = Vec::new();
    for Field { table, column, value } in &fields {
        let but = written.contains(&(table.as_str(), column.as_str())).then_some(Kind::Task);
        let place = match (table.as_str(), column.as_str()) {
            ("audit_log", _) => "audit log",
            ("attempt" | "live_attempt", "launch") => "launch specs",
            (table, "data") if table.starts_with("log_chunk") => {
                logs.extend_from_slice(value);
                "logs as stored"
            }
            _ => "dump",
        };
        look.at(place, &format!("{table}.{column}"), value, but);
    }
    look.at("logs as stored", "all of them", &logs, None);
    let outside: String = text.lines().filter(|line| !line.contains('\t')).collect::<Vec<_>>().join("\n");
    look.at("dump", "schema", outside.as_bytes(), None);
    assert!(fields.iter().any(|field| field.table == "variable" && field.column == "sealed" && field.value.len() > 60));

    for (place, (size, forms)) in &look.places {
        eprintln!("{place}: {size} bytes, the marker as {forms:?}");
    }
    let found: Vec<&String> = look.found.iter().take(60).collect();
    assert!(found.is_empty(), "{} traces of secrets, the first: {found:#?}", look.found.len());
    let blind: Vec<&String> = look.places.iter().filter(|(_, (_, forms))| forms.is_empty()).map(|(place, _)| place).collect();
    assert!(blind.is_empty(), "nothing was found in {blind:?}, not even the marker");
    for place in ["logs by the API", "logs as stored"] {
        let forms = &look.places[place].1;
        assert!(["raw", "hex", "base64"].iter().all(|form| forms.contains(form)), "{place}: {forms:?}");
    }
    assert_eq!(look.places.len(), 17, "{:?}", look.places.keys());
    let _ = rabbitmqctl_command(&["delete_user", "canary"]).output();
}
