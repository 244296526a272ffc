//! The locked room in which Python reads DAG files.
//!
//! [`enter_and_exec`] is what the hidden subcommand `updraft sandbox` runs. It gives up, in this order: room for many files and processes
//! (rlimits), the root user or, where the files are readable to root alone, root's capabilities, the file system (landlock) and the
//! dangerous system calls (seccomp), and then becomes the program that follows `--`. Nothing of this can be taken back by that program or
//! its children. One line of JSON on stderr, a [`Report`], tells what holds.
//!
//! The room has no network at all, no `/proc`, no home folders and no writable place but those named by `--write`.

mod filter;

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use serde::{Deserialize, Serialize};

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
    #[error("sandbox: {0}; usage: updraft sandbox [--read PATH]… [--write PATH]… [--env NAME]… [--user UID] -- PROGRAM [ARGUMENT]…")]
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
    #[error("sandbox: cannot lock the file system")]
    Landlock(#[source] landlock::RulesetError),
    /// The filter of system calls could not be set.
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
    /// `full`, `partial` (an older kernel: files are locked, some newer rights are not) or `none`.
    pub landlock: String,
    /// Whether dangerous system calls, the network among them, are refused.
    pub seccomp: bool,
    /// The user that the program runs as.
    pub user: u32,
    /// What the operator should know, in sentences.
    #[serde(default)]
    pub warnings: Vec<String>,
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

fn enter(words: impl IntoIterator<Item = OsString>) -> Result<std::convert::Infallible, Error> {
    let rules = Rules::parse(words)?;
    let mut report = Report { user: rules.user.unwrap_or_else(|| rustix::process::geteuid().as_raw()), ..Report::default() };

    // Processes that a file leaves behind come back to the Python parser, which ends them. Survives the exec.
    system("become a subreaper", rustix::process::set_child_subreaper(Some(rustix::process::getpid())))?;
    system("forbid new privileges", rustix::thread::set_no_new_privs(true))?;
    limits(rules.user.is_some())?;
    if rules.user.is_none() && rustix::process::geteuid().is_root() {
        // Root without capabilities is a user like others; reading on is kept, since the checkout may belong to another user and
        // landlock decides what may be read.
        let keep = CapabilitySet::DAC_READ_SEARCH;
        let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
        system("drop capabilities", rustix::thread::set_capabilities(None, sets))?;
        report
            .warnings
            .push("DAG files are read as root without capabilities, since they or python are not readable to other users".to_owned());
    }
    report.landlock = lock_files(&rules.read, &rules.write)?;
    if report.landlock == "none" {
        report
            .warnings
            .push("this kernel has no landlock: DAG files can read what their user can read; use a kernel of 5.13 or newer".to_owned());
    }
    filter::apply().map_err(Error::Seccomp)?;
    report.seccomp = true;
    tell(&ReportLine { sandbox: report });

    let mut command = Command::new(&rules.program);
    command.args(&rules.arguments).env_clear();
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

/// Files of the system that any program needs, besides what the caller names.
const SYSTEM: &[&str] = &["/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/etc/timezone"];
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"];

fn lock_files(read: &[PathBuf], write: &[PathBuf]) -> Result<String, Error> {
    let abi = ABI::V6;
    let locked = || -> Result<RulesetStatus, landlock::RulesetError> {
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()?;
        let given = read.iter().map(|path| (path.as_path(), AccessFs::from_read(abi)));
        let system = SYSTEM.iter().map(|path| (Path::new(*path), AccessFs::from_read(abi)));
        let devices = DEVICES.iter().map(|path| (Path::new(*path), AccessFs::ReadFile | AccessFs::WriteFile));
        let scratch = write.iter().map(|path| (path.as_path(), AccessFs::from_all(abi) & !AccessFs::Execute));
        for (path, access) in given.chain(system).chain(devices).chain(scratch) {
            // What is not there needs no rule.
            let Ok(at) = PathFd::new(path) else { continue };
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(abi) };
            rules = rules.add_rule(PathBeneath::new(at, access))?;
        }
        Ok(rules.restrict_self()?.ruleset)
    };
    locked().map_err(Error::Landlock).map(|status| {
        match status {
            RulesetStatus::FullyEnforced => "full",
            RulesetStatus::PartiallyEnforced => "partial",
            RulesetStatus::NotEnforced => "none",
        }
        .to_owned()
    })
}

/// The words of a call of the helper, for the parent.
pub(crate) fn words(read: &[PathBuf], write: &[PathBuf], env: &[&str], user: Option<u32>) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    let mut add = |flag: &str, value: &OsStr| words.extend([OsString::from(flag), value.to_owned()]);
    read.iter().for_each(|path| add("--read", path.as_os_str()));
    write.iter().for_each(|path| add("--write", path.as_os_str()));
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
        let mut given = words(&["/a".into()], &["/b".into()], &["LANG"], Some(7));
        given.extend(["prog".into(), "--read".into()]);
        let rules = Rules::parse(given).unwrap();
        let expect = Rules {
            read: vec!["/a".into()],
            write: vec!["/b".into()],
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
