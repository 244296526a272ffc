//! The room on macOS: what `/usr/bin/sandbox-exec` can make. On another system there is none, and the report says so.
//!
//! The profile is tried on a harmless program first. A system that refuses it (no such program, or a sandbox around us already, which
//! cannot be nested) costs the room, not the DAGs: a laptop has its owner's files only, and the operator reads the warning.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::profile::profile;
use super::{Error, Report, Rules, limits};

const SANDBOX_EXEC: &str = "/usr/bin/sandbox-exec";
const HARMLESS: &str = "/usr/bin/true";

/// Sets the limits, and says what to become: `sandbox-exec`, which shuts the room and becomes the program.
pub(crate) fn enter(rules: &Rules, report: &mut Report) -> Result<Command, Error> {
    limits(rules.user.is_some())?;
    "none".clone_into(&mut report.landlock);
    report.limits.extend(
        [
            "DAG files can see and signal other processes of their user, and read the environment those were started with",
            "the memory of a DAG file is not limited, and a process that it leaves behind in a session of its own is not ended",
        ]
        .map(str::to_owned),
    );
    if rustix::process::geteuid().is_root() && rules.user.is_none() {
        report.warnings.push("DAG files are read as root, since they or python are not readable to other users".to_owned());
    }
    match shut(rules) {
        Ok(command) => {
            report.seatbelt = true;
            Ok(command)
        }
        Err(why) => {
            report.warnings.push(format!("DAG files can read, write and reach whatever their user can: {why}"));
            let mut command = Command::new(&rules.program);
            command.args(&rules.arguments);
            Ok(command)
        }
    }
}

fn shut(rules: &Rules) -> Result<Command, String> {
    if !Path::new(SANDBOX_EXEC).is_file() {
        return Err(format!("this system has no {SANDBOX_EXEC}"));
    }
    let profile = profile(&both(&rules.read), &both(&rules.write), &both(&rules.hide))
        .ok_or("a path that they need is not UTF-8, and sandbox-exec cannot be told of it; rename it")?;
    let tried = Command::new(SANDBOX_EXEC)
        .args(["-p", &profile, HARMLESS])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{SANDBOX_EXEC} cannot be started ({error})"))?;
    if !tried.status.success() {
        return Err(format!("{SANDBOX_EXEC} refuses ({}: {})", tried.status, String::from_utf8_lossy(&tried.stderr).trim()));
    }
    let mut command = Command::new(SANDBOX_EXEC);
    command.args(["-p", &profile]).arg(&rules.program).args(&rules.arguments);
    Ok(command)
}

/// The paths as they were given, for links on the way, and as they really are (`/tmp` is `/private/tmp`), for the rules.
fn both(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = paths.iter().flat_map(|path| path.canonicalize().ok().into_iter().chain([path.clone()])).collect();
    all.sort();
    all.dedup();
    all
}
