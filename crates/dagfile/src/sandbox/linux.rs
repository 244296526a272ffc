//! The room on Linux: landlock for files, seccomp for system calls, no capabilities.

mod filter;

use std::path::{Path, PathBuf};
use std::process::Command;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::{Error, Report, Rules, limits, system};

/// Shuts the room around this process, and says what to become.
pub(crate) fn enter(rules: &Rules, report: &mut Report) -> Result<Command, Error> {
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
    let mut command = Command::new(&rules.program);
    command.args(&rules.arguments);
    Ok(command)
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
