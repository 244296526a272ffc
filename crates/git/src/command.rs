//! The `git` program, on a short leash.
//!
//! It is started with an environment of its own: no setting of the host or the user, no question to a terminal, no hook, no submodule, one
//! transport. All of that is in a file that we write, so that the words of its command line stay few. A clock runs over each command, and
//! its whole process group ends with it: git has children (`git-remote-https`, `ssh`) that would otherwise go on.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt as _;

use crate::Error;
use crate::credentials::Credentials;
use crate::source::{GitUrl, Scheme};

/// Most of what it prints that is kept. The longest is the list of a tree's files.
const OUTPUT_BYTES: u64 = 256 * 1024 * 1024;
/// Most of what it complains that is kept, and shown.
const COMPLAINT_BYTES: u64 = 16 * 1024;
/// Of our environment, what it needs to reach a server; none of it is ours.
const PASSED_ON: &[&str] = &[
    "PATH",
    "HTTPS_PROXY",
    "https_proxy",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "GIT_EXEC_PATH",
    "LD_LIBRARY_PATH",
];

/// How git is called for one repository.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    program: PathBuf,
    environment: Vec<(OsString, OsString)>,
    repository: PathBuf,
    limit: Duration,
    remote: String,
}

impl Git {
    /// Writes what git needs into `home`; the clone will be `home/repo.git`.
    pub(crate) fn new(program: &Path, home: &Path, url: &GitUrl, credentials: &Credentials, limit: Duration) -> Result<Self, Error> {
        let config = home.join("config");
        std::fs::write(&config, settings(url, credentials)).map_err(Error::io("write", &config))?;
        let mut environment: Vec<(OsString, OsString)> =
            PASSED_ON.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?))).collect();
        let mut set = |name: &str, value: OsString| environment.push((name.into(), value));
        set("HOME", home.into());
        // Messages are looked into: they must be in the language that we know.
        set("LC_ALL", "C".into());
        set("GIT_CONFIG_NOSYSTEM", "1".into());
        set("GIT_CONFIG_GLOBAL", config.into());
        set("GIT_TERMINAL_PROMPT", "0".into());
        set("GIT_OPTIONAL_LOCKS", "0".into());
        set("GIT_SSH_COMMAND", credentials.ssh_command().into());
        set("GIT_SSH_VARIANT", "ssh".into());
        // Without an answer git would look for a window to ask in.
        let mut answerer = OsString::from("/bin/false");
        if let Some((script, needs)) = credentials.script(url) {
            let path = home.join("askpass");
            write_program(&path, script).map_err(Error::io("write", &path))?;
            answerer = path.into();
            needs.into_iter().for_each(|(name, value)| set(name, value.into()));
        }
        set("GIT_ASKPASS", answerer.clone());
        set("SSH_ASKPASS", answerer);
        Ok(Self { program: program.to_owned(), environment, repository: home.join("repo.git"), limit, remote: url.to_string() })
    }

    /// The clone.
    pub(crate) fn repository(&self) -> &Path {
        &self.repository
    }

    /// A command over the clone, ready to be started.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--git-dir").arg(&self.repository).args(words).current_dir("/").env_clear();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        command
    }

    /// Runs it to its end. Its output, when it says that all is well.
    pub(crate) async fn run(&self, what: &'static str, words: &[&str]) -> Result<Vec<u8>, Error> {
        let spawn = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => Error::NoGit(source),
            _ => Error::Io { what: "start", path: self.program.clone(), source },
        };
        let mut command = tokio::process::Command::from(self.command(words));
        let mut child = command.kill_on_drop(true).spawn().map_err(spawn)?;
        let _group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let ended = async {
            let (mut output, mut complaint) = (Vec::new(), Vec::new());
            let read_out = async {
                if let Some(out) = out {
                    out.take(OUTPUT_BYTES).read_to_end(&mut output).await?;
                }
                Ok::<_, std::io::Error>(())
            };
            let read_err = async {
                if let Some(err) = err {
                    // The rest is dropped with the pipe: a server may talk for ever.
                    err.take(COMPLAINT_BYTES).read_to_end(&mut complaint).await?;
                }
                Ok::<_, std::io::Error>(())
            };
            tokio::try_join!(read_out, read_err)?;
            Ok::<_, std::io::Error>((child.wait().await?, output, complaint))
        };
        match tokio::time::timeout(self.limit, ended).await {
            Err(_) => Err(Error::TimedOut { what, limit: self.limit }),
            Ok(Err(error)) => Err(Error::Io { what: "listen to", path: self.program.clone(), source: error }),
            Ok(Ok((status, output, _))) if status.success() => Ok(output),
            Ok(Ok((_, _, complaint))) => Err(refusal(what, &String::from_utf8_lossy(&complaint), &self.remote)),
        }
    }
}

/// Ends a process group when its time is over, however that comes.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}

fn settings(url: &GitUrl, credentials: &Credentials) -> String {
    let mut text = "# Written at each start of Updraft.\n\
        [core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n\tlogAllRefUpdates = false\n\
        [init]\n\tdefaultBranch = main\n\
        [submodule]\n\trecurse = false\n\
        [fetch]\n\trecurseSubmodules = false\n\twriteCommitGraph = false\n\
        [gc]\n\tauto = 0\n\
        [maintenance]\n\tauto = false\n\
        [http]\n\tlowSpeedLimit = 1000\n\tlowSpeedTime = 20\n\
        [protocol]\n\tallow = never\n"
        .to_owned();
    let allowed: &[&str] = match url.scheme() {
        Scheme::Https => &["https"],
        // A server may send its plain visitors to its better address.
        Scheme::Http => &["http", "https"],
        Scheme::Ssh => &["ssh"],
        Scheme::File => &["file"],
    };
    for transport in allowed {
        text.push_str(&format!("[protocol \"{transport}\"]\n\tallow = always\n"));
    }
    // The empty helper empties the list: no store of the host is asked, and none is told.
    text.push_str(&format!("[credential]\n\thelper =\n\tusername = {}\n", credentials.username()));
    if let Some(path) = url.remote().strip_prefix("file://") {
        // Whoever names the path trusts it, whoever owns it.
        let path = path.replace('\\', "\\\\").replace('"', "\\\"");
        text.push_str(&format!("[safe]\n\tdirectory = \"{path}\"\n\tdirectory = \"{path}/.git\"\n"));
    }
    text
}

fn write_program(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::File::options().write(true).create(true).truncate(true).mode(0o700).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o700))?;
    file.write_all(text.as_bytes())
}

/// Git's complaint, in front of it what it means and what to do, where we know.
fn refusal(what: &'static str, complaint: &str, remote: &str) -> Error {
    let has = |parts: &[&str]| parts.iter().any(|part| complaint.contains(part));
    let meaning = if has(&["Authentication failed", "could not read Password", "could not read Username", "error: 401", "error: 403"]) {
        "the server refused the token: is --git-token-file right, may it read this repository, and does it want another --git-username?"
    } else if has(&["Host key verification failed"]) {
        "the host showed a key that --git-known-hosts-file does not have: look whether it is the right host, then add its key"
    } else if has(&["UNPROTECTED PRIVATE KEY"]) {
        "the file of --git-ssh-key-file can be read by others, which ssh does not take: chmod 0400"
    } else if has(&["Permission denied (publickey"]) {
        "the server refused the key: is --git-ssh-key-file right, and may it read this repository?"
    } else if has(&[
        "Could not resolve host",
        "Failed to connect",
        "Couldn't connect",
        "Connection refused",
        "Connection timed out",
        "Could not connect",
        "unreachable",
    ]) {
        "the host cannot be reached: is it up, and may this process reach it?"
    } else if has(&["couldn't find remote ref", "not our ref", "no such remote ref"]) {
        "the repository has no such branch, tag or commit: name another after @"
    } else if has(&["No user exists for uid"]) {
        "ssh wants a name for this user id: add it to /etc/passwd, or use git+https"
    } else if has(&["not found", "does not appear to be a git repository", "does not exist", "not a git repository"]) {
        "there is no such repository, or not for this token or key"
    } else {
        ""
    };
    let lines = complaint.lines().map(|l| l.trim().trim_start_matches("fatal: ").trim_start_matches("error: ")).filter(|l| !l.is_empty());
    let mut own: Vec<&str> = lines.collect();
    own.truncate(5);
    let own = own.join("; ").chars().filter(|c| !c.is_control()).take(600).collect::<String>();
    let said = match (meaning, own.as_str()) {
        ("", "") => format!("git {what} of {remote} failed without a word"),
        ("", own) => format!("git {what} of {remote} failed: {own}"),
        (meaning, own) => format!("{remote}: {meaning} (git: {own})"),
    };
    // What a killed git leaves behind, and what a broken disk does: a new clone is the cure, and costs a fetch.
    let broken = &[".lock': File exists", "bad object", "corrupt", "loose object", "unable to read", "missing blob", "missing tree"];
    Error::Failed { what, said, clone_is_broken: has(broken) || (what != "fetch" && meaning.is_empty()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_told_with_their_remedy() {
        let check = |complaint: &str, part: &str, broken: bool| {
            let Error::Failed { said, clone_is_broken, .. } = refusal("fetch", complaint, "git+https://h/a") else {
                panic!("another error")
            };
            assert!(said.contains(part) && said.contains("git+https://h/a"), "{said}");
            assert_eq!(clone_is_broken, broken, "{complaint}");
        };
        check("fatal: Authentication failed for 'https://h/a/'", "--git-token-file", false);
        check("fatal: couldn't find remote ref nope", "no such branch", false);
        check("fatal: unable to access 'https://h/a/': Could not resolve host: h", "cannot be reached", false);
        check("Host key verification failed.\nfatal: Could not read from remote repository.", "--git-known-hosts-file", false);
        check("fatal: Unable to create '/d/repo.git/shallow.lock': File exists.", "shallow.lock", true);
        check("", "without a word", false);
    }
}
