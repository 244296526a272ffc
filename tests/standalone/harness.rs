//! A standalone in a folder of its own, and what tests ask of it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http;
pub(crate) use crate::http::encode;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_updraft");

/// One standalone. Dropped: stopped, and its folder removed.
pub(crate) struct Standalone {
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
    child: Option<Child>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Standalone {
    /// Starts one with these DAG files (name, text), and waits until its API answers.
    pub(crate) fn start(files: &[(&str, &str)], arguments: &[&str]) -> Self {
        Self::start_with(files, arguments, &[])
    }

    /// The same, with more in its environment.
    pub(crate) fn start_with(files: &[(&str, &str)], arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        // Where the server's unprivileged user may go, which a private folder of root is not.
        let base = if rustix::process::geteuid().is_root() { PathBuf::from("/var/lib") } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("updraft-test.").tempdir_in(base).unwrap().keep();
        fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::create_dir(folder.join("dags")).unwrap();
        for (name, text) in files {
            let path = folder.join("dags").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut standalone = Self {
            folder,
            port,
            child: None,
            arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
            environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        standalone.launch();
        standalone
    }

    /// Starts the process anew on the same folder.
    pub(crate) fn launch(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let child = Command::new(PROGRAM)
            .arg("standalone")
            .args(["--dags", self.folder.join("dags").to_str().unwrap()])
            .args(["--data-dir", self.folder.join("data").to_str().unwrap()])
            .args(["--port", &self.port.to_string()])
            .args(["--log", "info"])
            .args(&self.arguments)
            .env("DATABASE_PASSWORD_CANARY", "canary-of-the-environment")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        self.until(Duration::from_secs(60), "the API answers", || self.get("/api/v2/version").is_some());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// SIGKILL, as a power cut for this process.
    pub(crate) fn kill_9(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Ctrl-C. Returns how long the stop took.
    pub(crate) fn interrupt(&mut self) -> Duration {
        let mut child = self.child.take().unwrap();
        let begin = Instant::now();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert!(child.wait().unwrap().success(), "{}", self.log());
        begin.elapsed()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Waits for a condition; says what did not come, and the end of the log.
    pub(crate) fn until(&self, limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !condition() {
            if begin.elapsed() > limit {
                let log = self.log();
                panic!("within {limit:?} not: {what}\n{}", &log[log.len().saturating_sub(6000)..]);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A GET; none while the server does not answer with 200.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        let (status, body) = self.request("GET", path, None)?;
        if status == 200 { serde_json::from_str(&body).ok() } else { None }
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, text) = self.request("POST", path, Some(body)).expect("the server answers");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, text) = self.request("PATCH", path, Some(body)).expect("the server answers");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, String)> {
        http::request(self.port, method, path, body)
    }

    /// Runs a verb of the CLI against this server.
    pub(crate) fn cli(&self, words: &[&str]) -> Output {
        Command::new(PROGRAM)
            .args(["--api-url", &format!("http://127.0.0.1:{}", self.port)])
            .args(words)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    pub(crate) fn cli_json(&self, words: &[&str]) -> Value {
        let output = self.cli(words);
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("{words:?} printed no JSON ({e}): {text}\n{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Waits until the DAG is known.
    pub(crate) fn until_dag(&self, dag_id: &str) {
        self.until(Duration::from_secs(30), &format!("DAG {dag_id} is there"), || self.get(&format!("/api/v2/dags/{dag_id}")).is_some());
    }

    /// Triggers a run and returns its id.
    pub(crate) fn trigger(&self, dag_id: &str) -> String {
        let body = serde_json::json!({"logical_date": null});
        let (status, run) = self.post(&format!("/api/v2/dags/{dag_id}/dagRuns"), &body);
        assert_eq!(status, 200, "{run}");
        run["dag_run_id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn run_state(&self, dag_id: &str, run_id: &str) -> String {
        let run = self.get(&format!("/api/v2/dags/{dag_id}/dagRuns/{}", encode(run_id)));
        run.and_then(|r| r["state"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Waits for the end of a run and returns its state.
    pub(crate) fn end_of(&self, dag_id: &str, run_id: &str, limit: Duration) -> String {
        let mut state = String::new();
        self.until(limit, &format!("run {run_id} of {dag_id} ends"), || {
            state = self.run_state(dag_id, run_id);
            state == "success" || state == "failed"
        });
        state
    }

    pub(crate) fn instance(&self, dag_id: &str, run_id: &str, task_id: &str) -> Value {
        self.get(&format!("/api/v2/dags/{dag_id}/dagRuns/{}/taskInstances/{task_id}", encode(run_id))).unwrap_or_default()
    }

    pub(crate) fn log_of(&self, dag_id: &str, run_id: &str, task_id: &str, attempt: u32) -> String {
        let path = format!("/api/v2/dags/{dag_id}/dagRuns/{}/taskInstances/{task_id}/logs/{attempt}", encode(run_id));
        let answer = self.get(&path).unwrap_or_default();
        let lines = answer["content"].as_array().cloned().unwrap_or_default();
        lines.iter().filter_map(|l| l["event"].as_str()).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT);
            let begin = Instant::now();
            while child.try_wait().is_ok_and(|s| s.is_none()) {
                if begin.elapsed() > Duration::from_secs(20) {
                    let _ = child.kill();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        // A server that a kill -9 left behind.
        if let Ok(file) = fs::read_to_string(self.folder.join("data/postgres/data/postmaster.pid"))
            && let Some(pid) = file.lines().next().and_then(|l| l.trim().parse().ok()).and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

pub(crate) fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// The processes that have this text in their command line.
pub(crate) fn processes_with(text: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if pid != std::process::id() && String::from_utf8_lossy(&line).contains(text) {
            found.push(pid);
        }
    }
    found
}
