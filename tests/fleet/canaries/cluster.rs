//! An API server with one node, small enough for a test: pods are made, opened, run as processes of this host, looked at and deleted. It keeps
//! whatever it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/tasks/pods";
/// The words of a failed container's log that a kubelet hands back.
const LAST_WORDS: usize = 300;

#[derive(Default)]
pub(crate) struct World {
    version: u64,
    pods: BTreeMap<String, Value>,
    /// Every state of every pod.
    history: Vec<(u64, Value)>,
    logs: BTreeMap<String, Vec<(DateTime<Utc>, String)>>,
    /// Requests as they came.
    pub(crate) asked: Vec<u8>,
    /// Pods as they were created.
    pub(crate) created: Vec<Value>,
}

pub(crate) struct Cluster {
    pub(crate) port: u16,
    pub(crate) world: Arc<Mutex<World>>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let world = Arc::new(Mutex::new(World::default()));
        let shared = Arc::clone(&world);
        std::thread::spawn(move || {
            for client in listener.incoming().filter_map(Result::ok) {
                let world = Arc::clone(&shared);
                // Who hangs up hears no answer.
                std::thread::spawn(move || _ = serve(client, &world));
            }
        });
        Self { port, world }
    }

    pub(crate) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],
            "clusters": [{"name": "k", "cluster": {"server": format!("http://127.0.0.1:{}", self.port)}}],
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "tasks"}}],
        })
        .to_string()
    }
}

fn serve(client: TcpStream, world: &Arc<Mutex<World>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line)? > 2 {
        head += &std::mem::take(&mut line);
    }
    let length = head.to_ascii_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    world.lock().unwrap().asked.extend([head.as_bytes(), &body, b"\n"].concat());
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    if path == PODS && parameter("watch") == Some("true") {
        return watch(client, world, parameter("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0));
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let (status, answer) = match (method, path.strip_prefix(PODS)) {
        (_, None) if path == "/version" => (200, version().to_string()),
        (_, None) => (200, json!({"metadata": {}, "items": []}).to_string()),
        ("POST", Some(_)) => create(&mut world.lock().unwrap(), body),
        ("GET", Some("")) => list(&world.lock().unwrap()),
        (_, Some(name)) => {
            let name = name.trim_start_matches('/');
            match (method, name.strip_suffix("/log")) {
                ("GET", Some(name)) => (200, log(&world.lock().unwrap(), name, parameter("sinceTime").unwrap_or_default())),
                ("PATCH", _) => patch(world, name, &body),
                ("DELETE", _) => delete(&mut world.lock().unwrap(), name),
                _ => world.lock().unwrap().pods.get(name).map_or_else(|| failure(404, "NotFound"), |pod| (200, pod.to_string())),
            }
        }
    };
    answer_with(client, status, &answer)
}

fn answer_with(mut client: TcpStream, status: u16, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(client, "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn version() -> Value {
    let rest = ["gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"].map(|name| (name.to_owned(), json!("")));
    let mut info = serde_json::Map::from_iter(rest);
    info.extend([("major", "1"), ("minor", "31"), ("gitVersion", "v1.31.0")].map(|(name, value)| (name.to_owned(), json!(value))));
    Value::Object(info)
}

fn failure(code: u16, reason: &str) -> (u16, String) {
    (code, json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason}).to_string())
}

impl World {
    /// A new state of a pod.
    fn put(&mut self, name: &str, mut pod: Value) -> String {
        self.version += 1;
        pod["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.history.push((self.version, json!({"type": "MODIFIED", "object": pod})));
        let text = pod.to_string();
        self.pods.insert(name.to_owned(), pod);
        text
    }

    /// Gone, if nothing holds it.
    fn collect(&mut self, name: &str) {
        let held = |pod: &Value| pod["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        if self.pods.get(name).is_some_and(|pod| !pod["metadata"]["deletionTimestamp"].is_null() && !held(pod)) {
            let pod = self.pods.remove(name);
            self.version += 1;
            self.history.push((self.version, json!({"type": "DELETED", "object": pod})));
        }
    }
}

fn create(world: &mut World, mut pod: Value) -> (u16, String) {
    let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
    if world.pods.contains_key(&name) {
        return failure(409, "AlreadyExists");
    }
    world.created.push(pod.clone());
    pod["metadata"]["uid"] = json!(format!("uid-{}", world.version));
    pod["metadata"]["creationTimestamp"] = json!(now());
    pod["status"] = json!({"phase": "Pending"});
    (201, world.put(&name, pod))
}

fn list(world: &World) -> (u16, String) {
    let items: Vec<&Value> = world.pods.values().collect();
    (200, json!({"kind": "PodList", "metadata": {"resourceVersion": world.version.to_string()}, "items": items}).to_string())
}

fn delete(world: &mut World, name: &str) -> (u16, String) {
    let Some(mut pod) = world.pods.get(name).cloned() else { return failure(404, "NotFound") };
    pod["metadata"]["deletionTimestamp"] = json!(now());
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    let text = world.put(name, pod);
    world.collect(name);
    (200, text)
}

fn patch(shared: &Arc<Mutex<World>>, name: &str, operations: &Value) -> (u16, String) {
    let mut world = shared.lock().unwrap();
    let Some(mut pod) = world.pods.get(name).cloned() else { return failure(404, "NotFound") };
    let gated = |pod: &Value| pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty());
    let was_gated = gated(&pod);
    if operations.as_array().unwrap().iter().any(|operation| apply(&mut pod, operation).is_none()) {
        return failure(422, "Invalid");
    }
    if was_gated && !gated(&pod) {
        pod["spec"]["nodeName"] = json!("this-host");
        pod["status"] = status("Running", json!({"running": {"startedAt": now()}}));
        let (shared, name, pod) = (Arc::clone(shared), name.to_owned(), pod.clone());
        std::thread::spawn(move || run(&shared, &name, &pod));
    }
    let text = world.put(name, pod);
    world.collect(name);
    (200, text)
}

/// One operation of a JSON patch. None: it does not apply.
fn apply(pod: &mut Value, operation: &Value) -> Option<()> {
    let path = operation["path"].as_str()?;
    let value = &operation["value"];
    if operation["op"] == "test" {
        return (pod.pointer(path)? == value).then_some(());
    }
    let (parent, key) = path.rsplit_once('/')?;
    let key = key.replace("~1", "/").replace("~0", "~");
    match (pod.pointer_mut(parent)?, operation["op"].as_str()?) {
        (Value::Object(fields), "remove") => _ = fields.remove(&key)?,
        (Value::Object(fields), _) => _ = fields.insert(key, value.clone()),
        (Value::Array(items), "remove") => _ = items.remove(key.parse().ok()?),
        (Value::Array(items), _) => items.push(value.clone()),
        _ => return None,
    }
    Some(())
}

fn status(phase: &str, state: Value) -> Value {
    json!({"phase": phase, "containerStatuses": [{"name": "base", "state": state}]})
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The kubelet: the command of the container, with its environment.
fn run(world: &Mutex<World>, name: &str, pod: &Value) {
    let container = &pod["spec"]["containers"][0];
    let texts = |value: &Value| value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect::<Vec<_>>();
    let words = [texts(&container["command"]), texts(&container["args"])].concat();
    let env = container["env"].as_array().into_iter().flatten().filter_map(|var| Some((var["name"].as_str()?, var["value"].as_str()?)));
    let began = now();
    let path = std::env::var_os("PATH").unwrap();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env_clear().env("PATH", path).envs(env);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        world.lock().unwrap().logs.entry(name.to_owned()).or_default().push((Utc::now(), std::mem::take(&mut line)));
    }
    let code = child.wait().unwrap().code();
    let mut world = world.lock().unwrap();
    let log: String = world.logs.get(name).into_iter().flatten().map(|(_, line)| line.as_str()).collect();
    let last = log.char_indices().rev().nth(LAST_WORDS).map_or(0, |(at, _)| at);
    let words = if code == Some(0) { "" } else { &log[last..] };
    let ended = json!({"exitCode": code, "reason": if code == Some(0) { "Completed" } else { "Error" }, "message": words,
        "startedAt": began, "finishedAt": now()});
    if let Some(mut pod) = world.pods.get(name).cloned() {
        pod["status"] = status(if code == Some(0) { "Succeeded" } else { "Failed" }, json!({"terminated": ended}));
        world.put(name, pod);
    }
}

fn log(world: &World, name: &str, since: &str) -> String {
    let since = since.replace("%3A", ":").replace("%2B", "+");
    let since: DateTime<Utc> = since.parse().unwrap_or_default();
    let lines = world.logs.get(name).into_iter().flatten().filter(|(at, _)| *at >= since);
    lines.map(|(at, line)| format!("{} {line}", at.to_rfc3339_opts(SecondsFormat::Nanos, true))).collect()
}

fn watch(mut client: TcpStream, world: &Mutex<World>, from: u64) -> std::io::Result<()> {
    write!(client, "HTTP/1.1 200 X\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")?;
    let (begin, mut seen) = (Instant::now(), from);
    while begin.elapsed() < Duration::from_secs(25) {
        let news: Vec<(u64, String)> = {
            let world = world.lock().unwrap();
            let is_new = world.history.iter().skip_while(|(version, _)| *version <= seen);
            is_new.map(|(version, event)| (*version, event.to_string())).collect()
        };
        for (version, event) in news {
            writeln!(client, "{event}")?;
            seen = version;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
