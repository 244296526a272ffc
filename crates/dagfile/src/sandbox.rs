//! The locked room in which Python reads DAG files.
//!
//! [`enter_and_exec`] is what the hidden subcommand `updraft sandbox` runs. It gives up, in this order: room for many files and processes
//! (rlimits), the root user or, where the files are readable to root alone, root's capabilities, the file system (landlock) and the
//! dangerous system calls (seccomp), and then becomes the program that follows `--`. Nothing of this can be taken back by that program or
//! its children. One line of JSON on stderr, a [`Report`], tells what holds.
//!
//! The room has no network at all, no `/proc`, no home folders and no writable place but those named by `--write`.
//!
//! That is Linux, where DAG files of strangers are read. On macOS, where people try things out, the room is what `sandbox-exec` can make:
//! no network, no home folders but what is named, and no writable place but those named by `--write`. The report says what is missing.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod macos;
// Plain text work: tested everywhere, used on macOS.
#[cfg(any(test, not(target_os = "linux")))]
mod profile;

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use rustix::process::{Resource, Rlimit};
use serde::{Deserialize, Serialize};

#[cfg(target_os = "linux")]
use self::linux as system;
#[cfg(not(target_os = "linux"))]
use self::macos as system;

/// The user and group that own nothing: `nobody`.
pub const NOBODY: u32 = 65534;
/// Most processes of [`NOBODY`]; only set after the change of user, since the limit counts per user.
const PROCESSES: u64 = 512;
const OPEN_FILES: u64 = 1_024;
const FILE_BYTES: u64 = 256 * 1024 * 1024;

/// Why the room could not be entered. Nothing ran.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is wrong.
    #[error(
        "sandbox: {0}; usage: updraft sandbox [--read PATH]… [--write PATH]… [--hide PATH]… [--env NAME]… [--user UID] -- PROGRAM [ARGUMENT]…"
    )]
    Usage(String),
    /// A limit could not be set.
    #[error("sandbox: cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        #[source]
        source: rustix::io::Errno,
    },
    /// Landlock refused the rules.
    #[cfg(target_os = "linux")]
    #[error("sandbox: cannot lock the file system")]
    Landlock(#[source] landlock::RulesetError),
    /// The filter of system calls could not be set.
    #[cfg(target_os = "linux")]
    #[error("sandbox: cannot filter system calls")]
    Seccomp(#[source] seccompiler::Error),
    /// The program could not be started.
    #[error("sandbox: cannot start {program:?}")]
    Exec {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// What holds, told by the helper on the first line of stderr.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// `full`, `partial` (an older kernel: files are locked, some newer rights are not) or `none`, as on every system but Linux.
    pub landlock: String,
    /// Whether dangerous system calls, the network among them, are refused. Linux only.
    pub seccomp: bool,
    /// Whether `sandbox-exec` keeps the program from the network, from other people's files and from writing. macOS only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seatbelt: bool,
    /// The user that the program runs as.
    pub user: u32,
    /// What the operator should know, in sentences.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What this system cannot keep from the files, whatever the operator does, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
}

/// The line that carries a [`Report`].
#[derive(Serialize, Deserialize)]
pub(crate) struct ReportLine {
    pub(crate) sandbox: Report,
}

#[derive(Debug, Default, PartialEq)]
struct Rules {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    /// Not to be read, except what `read` and `write` name. Linux reads nothing that is not named, and needs no such list.
    hide: Vec<PathBuf>,
    env: Vec<OsString>,
    user: Option<u32>,
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Rules {
    fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Error> {
        let mut rules = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if word == "--" {
                rules.program = words.next().ok_or_else(|| Error::Usage("no program after --".to_owned()))?.into();
                rules.arguments = words.collect();
                return Ok(rules);
            }
            let value = words.next().ok_or_else(|| Error::Usage(format!("{word:?} needs a value")))?;
            match word.to_str() {
                Some("--read") => rules.read.push(value.into()),
                Some("--write") => rules.write.push(value.into()),
                Some("--hide") => rules.hide.push(value.into()),
                Some("--env") => rules.env.push(value),
                Some("--user") => {
                    let user = value.to_str().and_then(|v| v.parse().ok()).filter(|user| *user != 0);
                    rules.user = Some(user.ok_or_else(|| Error::Usage(format!("{value:?} is no user id other than root's")))?);
                }
                _ => return Err(Error::Usage(format!("{word:?} is not known"))),
            }
        }
        Err(Error::Usage("-- and a program are missing".to_owned()))
    }
}

/// Enters the sandbox that `words` describe and becomes the program after `--`. Comes back only when that fails.
pub fn enter_and_exec(words: impl IntoIterator<Item = OsString>) -> Error {
    match enter(words) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

/// Keeps other processes of this user, the files' among them, out of this process' memory and of its `/proc` entry: its environment may
/// hold what they must not know.
#[cfg(target_os = "linux")]
pub fn become_unreadable() {
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "this process stays readable to others of its user");
    }
}

/// macOS keeps processes out of each other's memory by itself, and has no way to hide the environment.
#[cfg(not(target_os = "linux"))]
pub fn become_unreadable() {}

fn enter(words: impl IntoIterator<Item = OsString>) -> Result<std::convert::Infallible, Error> {
    let rules = Rules::parse(words)?;
    let mut report = Report { user: rules.user.unwrap_or_else(|| rustix::process::geteuid().as_raw()), ..Report::default() };

    let mut command = system::enter(&rules, &mut report)?;
    tell(&ReportLine { sandbox: report });

    command.env_clear();
    command.envs(rules.env.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    if let Some(user) = rules.user {
        // Also empties the list of groups, as std does for root.
        command.uid(user).gid(user);
    }
    let source = command.exec();
    Err(Error::Exec { program: rules.program, source })
}

#[expect(clippy::print_stderr, reason = "the report is this program's output, and stdout belongs to what it becomes")]
fn tell(line: &ReportLine) {
    eprintln!("{}", serde_json::to_string(line).unwrap_or_default());
}

fn system(what: &'static str, result: rustix::io::Result<()>) -> Result<(), Error> {
    result.map_err(|source| Error::System { what, source })
}

fn limits(own_user: bool) -> Result<(), Error> {
    let mut wanted = vec![(Resource::Core, 0), (Resource::Nofile, OPEN_FILES), (Resource::Fsize, FILE_BYTES)];
    if own_user {
        wanted.push((Resource::Nproc, PROCESSES));
    }
    for (resource, most) in wanted {
        let most = rustix::process::getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
        system("set a resource limit", rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }))?;
    }
    Ok(())
}

/// The words of a call of the helper, for the parent.
pub(crate) fn words(read: &[PathBuf], write: &[PathBuf], hide: &[PathBuf], env: &[&str], user: Option<u32>) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    let mut add = |flag: &str, value: &OsStr| words.extend([OsString::from(flag), value.to_owned()]);
    read.iter().for_each(|path| add("--read", path.as_os_str()));
    write.iter().for_each(|path| add("--write", path.as_os_str()));
    hide.iter().for_each(|path| add("--hide", path.as_os_str()));
    env.iter().for_each(|name| add("--env", OsStr::new(name)));
    if let Some(user) = user {
        add("--user", OsStr::new(&user.to_string()));
    }
    words.push("--".into());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_parent_are_read_by_the_helper() {
        let mut given = words(&["/a".into()], &["/b".into()], &["/c".into()], &["LANG"], Some(7));
        given.extend(["prog".into(), "--read".into()]);
        let rules = Rules::parse(given).unwrap();
        let expect = Rules {
            read: vec!["/a".into()],
            write: vec!["/b".into()],
            hide: vec!["/c".into()],
            env: vec!["LANG".into()],
            user: Some(7),
            program: "prog".into(),
            arguments: vec!["--read".into()],
        };
        assert_eq!(rules, expect);
        for bad in [vec!["--read"], vec!["--"], vec![], vec!["--user", "0", "--", "x"], vec!["--what", "x", "--", "x"]] {
            assert!(Rules::parse(bad.iter().map(OsString::from)).is_err(), "{bad:?}");
        }
    }
}
