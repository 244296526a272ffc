//! A private Postgres: found, set up, started, watched and stopped by `standalone`.
//!
//! It listens on a socket in its own folder and nowhere else. Durability stays on. It is a process group of its own, so that a Ctrl-C on the
//! terminal reaches `standalone` first; when `standalone` is killed it goes on, and the next start finds it and uses it.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal};

/// Where packages put the server.
const PLACES: &[&str] =
    &["/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin"];

/// The oldest server that the schema works on.
const OLDEST: u32 = 13;

/// Settings, beside the defaults of the server. Small, because a laptop has other work; durable, because the truth lives here.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", ""),
    ("shared_buffers", "64MB"),
    ("max_connections", "40"),
    ("jit", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("max_wal_size", "512MB"),
    ("deadlock_timeout", "200ms"),
    ("autovacuum_naptime", "20s"),
    ("log_min_messages", "warning"),
    ("log_line_prefix", "%m [%p] "),
    ("unix_socket_permissions", "0700"),
];

/// A running private server.
#[derive(Debug)]
pub(super) struct Postgres {
    data: PathBuf,
    sockets: PathBuf,
    bin: PathBuf,
    user: Option<(u32, u32)>,
    log: PathBuf,
}

impl Postgres {
    /// Starts the server of a data folder, or finds it running. Sets it up the first time.
    pub(super) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let bin = find_server()?;
        let user = if rustix::process::geteuid().is_root() { Some(unprivileged()?) } else { None };
        let server = Self { data: folder.join("data"), sockets: folder.join("run"), log: folder.join("log"), bin, user };
        server.make_folders(folder)?;
        if !server.data.join("PG_VERSION").exists() {
            server.init()?;
        }
        server.check_version()?;
        server.ensure_running().await?;
        Ok(server)
    }

    /// What to give to the store.
    pub(super) fn url(&self) -> String {
        // Everything is named, or libpq's variables (PGPORT …) of whoever starts us would decide.
        let bytes = self.sockets.to_string_lossy().into_owned();
        let path: String =
            bytes.bytes().map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") }).collect();
        format!("postgres://updraft@localhost:5432/postgres?host={path}&sslmode=disable")
    }

    /// Starts the server if it is not running, and waits until it answers.
    pub(super) async fn ensure_running(&self) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut child = None;
        if self.pid().is_none() {
            child = Some(self.spawn()?);
        }
        loop {
            if self.answers() {
                return Ok(());
            }
            if let Some(child) = &mut child
                && let Some(status) = child.try_wait()?
            {
                // Another start may have won; its server answers soon.
                if self.pid().is_none() {
                    bail!("postgres ended at once ({status}); the end of {} says:\n{}", self.log.display(), tail(&self.log));
                }
            }
            if begin.elapsed() > Duration::from_secs(60) {
                bail!("postgres does not answer within 60 s; the end of {} says:\n{}", self.log.display(), tail(&self.log));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Keeps the server running until dropped: one that dies is started again.
    pub(super) async fn supervise(&self) {
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            if self.pid().is_none() {
                tracing::warn!("postgres is gone, starting it again");
                if let Err(error) = self.ensure_running().await {
                    tracing::error!(error = format!("{error:#}"), "cannot start postgres");
                }
            }
        }
    }

    /// Stops the server: open transactions are rolled back, everything that was committed is there at the next start.
    pub(super) async fn stop(&self) {
        let Some(pid) = self.pid() else { return };
        let _ = rustix::process::kill_process(pid, Signal::INT);
        let begin = Instant::now();
        while self.pid().is_some() {
            if begin.elapsed() > Duration::from_secs(10) {
                let _ = rustix::process::kill_process(pid, Signal::QUIT);
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn make_folders(&self, folder: &Path) -> anyhow::Result<()> {
        for sub in [folder, &self.data, &self.sockets] {
            match fs::DirBuilder::new().mode(0o700).recursive(true).create(sub) {
                Ok(()) => {}
                Err(error) => return Err(error).with_context(|| format!("cannot make {}", sub.display())),
            }
            if let Some((uid, gid)) = self.user
                && fs::metadata(sub)?.uid() != uid
            {
                chown(sub, Some(uid), Some(gid)).with_context(|| format!("cannot give {} to the server's user", sub.display()))?;
            }
        }
        let longest = self.sockets.as_os_str().len() + "/.s.PGSQL.5432.lock".len();
        if longest > 100 {
            bail!("the path {} is too long for a socket: give a shorter --data-dir", self.sockets.display());
        }
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8").env("TZ", "UTC").current_dir("/").stdin(Stdio::null());
        // macOS: a locale that it does not know makes the server ask the system's libraries, which start threads, which it refuses.
        #[cfg(target_os = "macos")]
        command.env("LC_ALL", "C");
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn init(&self) -> anyhow::Result<()> {
        let output = self
            .command("initdb")
            .args(["--username=updraft", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions", "-D"])
            .arg(&self.data)
            .output()
            .context("cannot run initdb")?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            if self.user.is_some() && text.contains("ermission denied") {
                bail!(
                    "postgres does not run as root, and its user may not enter {}: give a --data-dir that every user may enter, such as /var/lib/updraft\n{text}",
                    self.data.display()
                );
            }
            bail!("initdb failed:\n{text}");
        }
        Ok(())
    }

    fn check_version(&self) -> anyhow::Result<()> {
        let made: String = fs::read_to_string(self.data.join("PG_VERSION")).unwrap_or_default().trim().to_owned();
        let output = self.command("postgres").arg("--version").output().context("cannot run postgres")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.split_whitespace().nth(2).and_then(|v| v.split('.').next()).unwrap_or_default();
        if !made.is_empty() && made != version {
            bail!(
                "{} was made by postgres {made}, and {} is version {version}: install postgres {made}, or start anew with another --data-dir",
                self.data.display(),
                self.bin.display()
            );
        }
        if version.parse::<u32>().is_ok_and(|v| v < OLDEST) {
            bail!("{} is postgres {version}: at least {OLDEST} is needed", self.bin.display());
        }
        Ok(())
    }

    fn spawn(&self) -> anyhow::Result<std::process::Child> {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        if let Some((uid, gid)) = self.user {
            let _ = chown(&self.log, Some(uid), Some(gid));
        }
        let mut command = self.command("postgres");
        command.arg("-D").arg(&self.data).arg("-k").arg(&self.sockets);
        for (name, value) in SETTINGS {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        // A group of its own: Ctrl-C on the terminal is for us.
        command.process_group(0).stdout(log.try_clone()?).stderr(log);
        command.spawn().context("cannot start postgres")
    }

    /// The server's process, if it runs.
    fn pid(&self) -> Option<Pid> {
        let file = fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        let pid = file.lines().next()?.trim().parse().ok().and_then(Pid::from_raw)?;
        // A file that a crash left behind may name a process that is somebody else's by now.
        if let Ok(name) = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()))
            && !name.starts_with("postgres")
        {
            return None;
        }
        match rustix::process::test_kill_process(pid) {
            Ok(()) | Err(rustix::io::Errno::PERM) => Some(pid),
            Err(_) => None,
        }
    }

    fn answers(&self) -> bool {
        // The line "ready" appears in the pid file when the server takes connections.
        let ready = fs::read_to_string(self.data.join("postmaster.pid"))
            .is_ok_and(|file| file.lines().nth(7).is_some_and(|status| status.trim() == "ready"));
        ready && std::os::unix::net::UnixStream::connect(self.sockets.join(".s.PGSQL.5432")).is_ok()
    }
}

fn find_server() -> anyhow::Result<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&on_path).collect();
    for pattern in PLACES {
        // One star, in one folder's name.
        let (before, after) = pattern.split_once('*').unwrap_or((pattern, ""));
        let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
        let mut found: Vec<PathBuf> = fs::read_dir(parent)
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(|entry| PathBuf::from(format!("{}{after}", entry.path().display())))
            .collect();
        // The newest first.
        found.sort();
        found.reverse();
        places.extend(found);
    }
    places.into_iter().find(|bin| bin.join("postgres").is_file() && bin.join("initdb").is_file()).context(
        "no postgres server is installed here: install one (Debian: `apt-get install postgresql`, macOS: `brew install postgresql@17`), \
         or name a server with --database-url",
    )
}

/// Postgres refuses to run as root. The packages make a user for it; any other user without rights does too.
fn unprivileged() -> anyhow::Result<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let find = |name: &str| {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (user, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            if user == name { Some((uid.parse().ok()?, gid.parse().ok()?)) } else { None }
        })
    };
    // macOS has one of its own; its nobody has the number -2, which is no number here.
    let for_servers = if cfg!(target_os = "macos") { "_postgres" } else { "postgres" };
    find(for_servers)
        .or_else(|| find("nobody"))
        .context("postgres does not run as root, and this system has neither a user postgres nor nobody")
}

fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|error: io::Error| error.to_string());
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
