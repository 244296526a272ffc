//! The servers of one fleet: a Postgres that it may restart at will, and the RabbitMQ that the test run was given.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A durable Postgres in a folder of its own.
pub(crate) struct Postgres {
    bin: PathBuf,
    folder: PathBuf,
    port: u16,
}

fn newest_server() -> PathBuf {
    if let Some(paths) = std::env::var_os("PATH")
        && let Some(bin) = std::env::split_paths(&paths).find(|dir| dir.join("initdb").exists())
    {
        return bin;
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().expect("a Postgres server is installed: run tools/setup.sh test")
}

/// The server refuses root.
fn as_server(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

fn done(mut command: Command) -> Output {
    let output = command.current_dir("/").output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    output
}

impl Postgres {
    pub(crate) fn start(folder: PathBuf) -> Self {
        std::fs::create_dir(&folder).unwrap();
        Self::start_with(folder, "")
    }

    /// In a folder that is there, whose files the server is given, with further options.
    pub(crate) fn start_with(folder: PathBuf, more: &str) -> Self {
        if rustix::process::geteuid().is_root() {
            done({
                let mut chown = Command::new("chown");
                chown.args(["-R", "postgres"]).arg(&folder);
                chown
            });
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { bin: newest_server(), folder, port };
        let mut initdb = as_server(&server.bin.join("initdb"));
        initdb.arg("-D").arg(server.data()).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        done(initdb);
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={} -c max_connections=150 -c log_lock_waits=on {more}",
            server.folder.display()
        );
        std::fs::write(server.folder.join("options"), &options).unwrap();
        server.control("start", &["-o", &options]);
        server
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The log goes to a file: nothing of the server holds the test's own output.
    fn control(&self, what: &str, more: &[&str]) {
        let mut command = as_server(&self.bin.join("pg_ctl"));
        command.arg("-D").arg(self.data()).arg("-l").arg(self.folder.join("log")).args(["-w", "-t", "60"]).args(more).arg(what);
        let output = command
            .current_dir("/")
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(output.success(), "pg_ctl {what}: {}", std::fs::read_to_string(self.folder.join("log")).unwrap_or_default());
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// While its folder is there: without it, the server is not found.
    pub(crate) fn stop(&self) {
        let mut stop = as_server(&self.bin.join("pg_ctl"));
        let _ = stop.current_dir("/").arg("-D").arg(self.data()).args(["-m", "immediate", "stop"]).output();
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// As a power cut of the server.
    pub(crate) fn restart_immediately(&self) {
        let options = std::fs::read_to_string(self.folder.join("options")).unwrap();
        self.control("restart", &["-m", "immediate", "-o", &options]);
    }

    pub(crate) fn query(&self, sql: &str) -> String {
        let own = self.bin.join("psql");
        let mut psql = Command::new(if own.exists() { own } else { PathBuf::from("psql") });
        psql.args(["-X", "-A", "-t", "-q", "-c", sql, &self.url()]);
        String::from_utf8_lossy(&done(psql).stdout).trim().to_owned()
    }

    /// All of it, as a backup has it.
    pub(crate) fn dump(&self) -> String {
        let own = self.bin.join("pg_dump");
        let mut dump = Command::new(if own.exists() { own } else { PathBuf::from("pg_dump") });
        dump.arg(self.url());
        String::from_utf8(done(dump).stdout).unwrap()
    }

    /// How many deadlocks the server broke, by its own log: its counters do not survive an immediate restart.
    pub(crate) fn deadlocks(&self) -> usize {
        self.log().matches("deadlock detected").count()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where the test run's RabbitMQ is.
pub(crate) fn amqp_url() -> String {
    std::env::var("UPDRAFT_TEST_AMQP_URL")
        .expect("UPDRAFT_TEST_AMQP_URL is not set: run the tests by `make test`, or under tools/with-rabbitmq.sh")
}

/// Does something to the whole node. The words are a shell's.
pub(crate) fn rabbitmqctl(words: &[&str]) {
    done(rabbitmqctl_command(words));
}

pub(crate) fn rabbitmqctl_command(words: &[&str]) -> Command {
    let program = std::env::var("UPDRAFT_TEST_RABBITMQCTL").expect("UPDRAFT_TEST_RABBITMQCTL is not set: run under tools/with-rabbitmq.sh");
    let mut command = Command::new("sh");
    // The variable is a command line.
    command.arg("-c").arg(format!("{program} {}", words.join(" ")));
    command
}
