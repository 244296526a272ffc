//! The processes of a fleet, killed and started again at will.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::http::{Answer, encode, exchange};
use crate::servers::{Postgres, amqp_url};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_updraft");

/// One process of the fleet.
pub(crate) struct Role {
    pub(crate) name: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
    /// Where its probes are; 0: nowhere.
    pub(crate) health: u16,
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Role {
    fn launch(&mut self) {
        let log = fs::File::options().create(true).append(true).open(&self.log).unwrap();
        let child = Command::new(PROGRAM)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// SIGKILL, and a new one in its place.
    pub(crate) fn kill_9_and_restart(&mut self) {
        self.kill_9();
        self.launch();
    }

    pub(crate) fn kill_9(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM; how long it took to leave.
    pub(crate) fn terminate(&mut self) -> Duration {
        let mut child = self.child.take().unwrap();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let begin = Instant::now();
        let status = child.wait().unwrap();
        assert!(status.success(), "{} left with {status}", self.name);
        begin.elapsed()
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Whether it is stopped (SIGSTOP), by the kernel's word.
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid().as_raw_nonzero())).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// How a fleet is put together.
pub(crate) struct Plan {
    pub(crate) schedulers: usize,
    pub(crate) workers: usize,
    /// Attempts of one worker at once.
    pub(crate) concurrency: usize,
    /// None: the test run's own.
    pub(crate) broker_url: Option<String>,
    /// The namespace of pods. None: processes of this host.
    pub(crate) pods: Option<String>,
    /// Instead of the folder of DAG files.
    pub(crate) dags: Option<String>,
    /// Further flags of the schedulers.
    pub(crate) scheduler_words: &'static [&'static str],
    /// What all roles find in their environment.
    pub(crate) environment: Vec<(String, String)>,
    /// What the API and the schedulers find there besides.
    pub(crate) keepers: Vec<(String, String)>,
    /// The database's password as a URL has it: with one, database and broker are named by the environment, not by flags.
    pub(crate) password: Option<String>,
    /// The `Authorization` of the test's own requests.
    pub(crate) authorization: Option<String>,
    /// Whether roles have probes.
    pub(crate) probes: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            schedulers: 3,
            workers: 4,
            concurrency: 8,
            broker_url: None,
            pods: None,
            dags: None,
            scheduler_words: &[],
            environment: Vec::new(),
            keepers: Vec::new(),
            password: None,
            authorization: None,
            probes: false,
        }
    }
}

/// A running fleet. Dropped: everything of it is ended and its folder removed.
pub(crate) struct Fleet {
    pub(crate) folder: PathBuf,
    pub(crate) postgres: Postgres,
    pub(crate) schedulers: Vec<Role>,
    pub(crate) workers: Vec<Role>,
    pub(crate) api: Role,
    pub(crate) port: u16,
    wire: Vec<String>,
    environment: Vec<(String, String)>,
    keepers: Vec<(String, String)>,
    authorization: Option<String>,
    pods: Option<String>,
    dags: String,
    scheduler_words: &'static [&'static str],
    probes: bool,
}

impl Fleet {
    /// Starts one with these DAG files, and waits until all DAGs are known. `{ledger}` in a file is the path of the ledger.
    pub(crate) fn start(files: &[(&str, &str)], plan: Plan) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let base = if rustix::process::geteuid().is_root() { PathBuf::from("/var/lib") } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("updraft-fleet.").tempdir_in(base).unwrap().keep();
        fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        for sub_folder in ["dags", "logs", "cache"] {
            fs::create_dir(folder.join(sub_folder)).unwrap();
        }
        let ledger = folder.join("ledger");
        for (name, text) in files {
            fs::write(folder.join("dags").join(name), text.replace("{ledger}", ledger.to_str().unwrap())).unwrap();
        }
        let postgres = Postgres::start(folder.join("postgres"));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let prefix = format!("fleet-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut wire = vec!["--broker-prefix".to_owned(), prefix];
        let mut environment = plan.environment;
        let broker_url = plan.broker_url.unwrap_or_else(amqp_url);
        match plan.password {
            Some(password) => {
                let url = postgres.url().replace("postgres@", &format!("postgres:{password}@"));
                environment.extend([("UPDRAFT_DATABASE_URL".to_owned(), url), ("UPDRAFT_BROKER_URL".to_owned(), broker_url)]);
            }
            None => wire.extend(["--database-url".to_owned(), postgres.url(), "--broker-url".to_owned(), broker_url]),
        }
        let mut fleet = Self {
            postgres,
            schedulers: Vec::new(),
            workers: Vec::new(),
            api: role(&folder, "api", &wire, &["--port", &port.to_string()]),
            port,
            wire,
            environment,
            keepers: plan.keepers,
            authorization: plan.authorization,
            pods: plan.pods,
            dags: plan.dags.unwrap_or_else(|| folder.join("dags").display().to_string()),
            scheduler_words: plan.scheduler_words,
            probes: plan.probes,
            folder,
        };
        let mut api = std::mem::replace(&mut fleet.api, role(&fleet.folder, "api", &[], &[]));
        fleet.prepare(&mut api, &[]);
        fleet.api = api;
        fleet.api.launch();
        for n in 0..plan.schedulers {
            fleet.add_scheduler(n);
        }
        for n in 0..plan.workers {
            fleet.add_worker(n, plan.concurrency, &[]);
        }
        fleet
    }

    pub(crate) fn add_scheduler(&mut self, n: usize) {
        let cache = self.folder.join("cache").join(n.to_string());
        let policy = self.pod_policy();
        let mut more = [&["--dags", self.dags.as_str(), "--cache-dir", cache.to_str().unwrap()], self.scheduler_words].concat();
        if self.pods.is_some() {
            more.extend(["--pod-policy", policy.to_str().unwrap()]);
        }
        let role = self.launch(&format!("scheduler-{n}"), &more, &[]);
        self.schedulers.push(role);
    }

    /// What all roles of the fleet have besides.
    fn prepare(&self, role: &mut Role, environment: &[(&str, &str)]) {
        role.environment.clone_from(&self.environment);
        if !role.name.starts_with("worker") {
            role.environment.extend_from_slice(&self.keepers);
        }
        role.environment.extend(environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        if self.probes {
            role.health = free_port();
            role.environment.push(("UPDRAFT_HEALTH_ADDRESS".to_owned(), format!("127.0.0.1:{}", role.health)));
        }
    }

    /// Starts a role with these flags beside those of the fleet.
    pub(crate) fn launch(&self, name: &str, words: &[&str], environment: &[(&str, &str)]) -> Role {
        let mut role = role(&self.folder, name, &self.wire, words);
        self.prepare(&mut role, environment);
        role.launch();
        role
    }

    /// Starts a role that is no part of the fleet, in its folder.
    pub(crate) fn launch_without_wire(&self, name: &str, words: &[&str]) -> Role {
        let mut role = role(&self.folder, name, &[], words);
        role.arguments[0] = name.to_owned();
        role.launch();
        role
    }

    pub(crate) fn add_worker(&mut self, n: usize, concurrency: usize, environment: &[(&str, &str)]) {
        let (state, policy, concurrency) = (self.folder.join("runner"), self.pod_policy(), concurrency.to_string());
        let mut more = vec!["--concurrency", &concurrency, "--heartbeat", "0.3", "--lease-ttl", "1"];
        match &self.pods {
            // Short waits for what a test is about: a pod that never starts.
            Some(namespace) => {
                more.extend(["--runner", "kubernetes", "--namespace", namespace, "--pod-startup-timeout", "20", "--pod-pull-grace", "5"]);
                more.extend(["--pod-policy", policy.to_str().unwrap()]);
            }
            None => more.extend(["--state-dir", state.to_str().unwrap()]),
        }
        let role = self.launch(&format!("worker-{n}"), &more, environment);
        self.workers.push(role);
    }

    /// Pods keep the ledger in a folder of the node, which the default policy forbids.
    fn pod_policy(&self) -> PathBuf {
        let path = self.folder.join("pod-policy.yaml");
        // Once: a role that starts must not read it half written.
        if !path.exists() {
            std::fs::write(&path, "deny: {hostPath: false}\n").unwrap();
        }
        path
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.folder.join("ledger")
    }

    /// All roles but the API.
    pub(crate) fn roles(&mut self) -> Vec<&mut Role> {
        self.schedulers.iter_mut().chain(&mut self.workers).collect()
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        let (status, _, body) = self.ask(path)?;
        if status == 200 { serde_json::from_str(&body).ok() } else { None }
    }

    /// A GET, whatever comes of it. None while nobody answers.
    pub(crate) fn ask(&self, path: &str) -> Option<Answer> {
        exchange(self.port, "GET", path, self.authorization.as_deref(), None)
    }

    /// Status and answer; 0 while nobody answers.
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let answer = exchange(self.port, method, path, self.authorization.as_deref(), Some(body));
        answer.map_or((0, Value::Null), |(status, _, text)| (status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    /// Waits for a condition; says what did not come, and how the logs end.
    pub(crate) fn until(&mut self, limit: Duration, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let begin = Instant::now();
        while !condition(self) {
            if begin.elapsed() > limit {
                panic!("within {limit:?} not: {what}\n{}", self.ends_of_logs());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn ends_of_logs(&self) -> String {
        let mut text = String::new();
        for role in self.schedulers.iter().chain(&self.workers).chain([&self.api]) {
            let log = role.log();
            let from = log.char_indices().rev().nth(1200).map_or(0, |(i, _)| i);
            text.push_str(&format!("--- {}\n{}\n", role.name, &log[from..]));
        }
        text
    }

    pub(crate) fn until_dag(&mut self, dag_id: &str) {
        let path = format!("/api/v2/dags/{dag_id}");
        self.until(Duration::from_secs(60), &format!("DAG {dag_id} is there"), |fleet| fleet.get(&path).is_some());
    }

    /// Triggers a run under a name of our own, for as long as it takes: the name makes it happen once.
    pub(crate) fn trigger(&mut self, dag_id: &str, run_id: &str) {
        let (path, body) = (format!("/api/v2/dags/{dag_id}/dagRuns"), json!({"logical_date": null, "dag_run_id": run_id}));
        self.until(Duration::from_secs(60), &format!("{run_id} is triggered"), |fleet| {
            matches!(fleet.send("POST", &path, &body).0, 200 | 409)
        });
    }

    /// How many runs are over.
    pub(crate) fn ended(&self, dag_id: &str) -> Option<u64> {
        self.get(&format!("/api/v2/dags/{dag_id}/dagRuns?state=success&state=failed&limit=1"))?["total_entries"].as_u64()
    }

    pub(crate) fn run_state(&self, dag_id: &str, run_id: &str) -> String {
        let run = self.get(&format!("/api/v2/dags/{dag_id}/dagRuns/{}", encode(run_id)));
        run.and_then(|run| run["state"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// I7, and what `doctor` says: nothing is left some seconds after the last task, and no statement ran into a deadlock.
    pub(crate) fn assert_clean(&mut self) {
        let live = "select count(*) from live_attempt";
        self.until(Duration::from_secs(20), "no attempt is live", |fleet| fleet.postgres.query(live) == "0");
        let attempts = self.folder.join("runner/attempts");
        // The sweeper looks every 30 s for what a worker that died left lying.
        self.until(Duration::from_secs(75), "no folder of an attempt is left", |_| fs::read_dir(&attempts).map_or(0, Iterator::count) == 0);
        let doctor = self.get("/ui/doctor").expect("doctor answers");
        let findings = doctor["findings"].as_array().expect("doctor has findings");
        let failed: Vec<&Value> = findings.iter().filter(|finding| finding["status"] == "fail").collect();
        assert!(!findings.is_empty() && failed.is_empty(), "{failed:?}");
        assert_eq!(self.postgres.deadlocks(), 0, "deadlocks in Postgres");
    }
}

fn role(folder: &Path, name: &str, wire: &[String], more: &[&str]) -> Role {
    let kind = name.split('-').next().unwrap().to_owned();
    let arguments = std::iter::once(kind).chain(wire.iter().cloned()).chain(more.iter().map(|word| (*word).to_owned())).collect();
    Role { name: name.to_owned(), arguments, environment: Vec::new(), log: folder.join("logs").join(name), child: None, health: 0 }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for role in self.schedulers.iter_mut().chain(&mut self.workers).chain([&mut self.api]) {
            if role.child.is_some() {
                let _ = kill_process(role.pid(), Signal::CONT);
            }
            role.kill_9();
        }
        // Supervisors and commands outlive their workers.
        let marker = self.folder.to_string_lossy().into_owned();
        for entry in fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else { continue };
            let of_ours = |file: &str| {
                String::from_utf8_lossy(&fs::read(entry.path().join(file)).unwrap_or_default()).contains(&format!("{marker}/runner"))
            };
            if pid != rustix::process::getpid() && (of_ours("cmdline") || of_ours("environ")) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        if std::thread::panicking() {
            return;
        }
        self.postgres.stop();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
