//! Turns a launch spec into a process.
//!
//! The program is looked up here and not by `std`: with a `PATH` of its own in the environment `std` would fork instead of `posix_spawn`, and
//! a person gets a better sentence than *No such file or directory*.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Pid;
use updraft_model::LaunchSpec;

use super::memory::MemoryCap;
use crate::process::folder;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(crate) enum Spawned {
    Running(Pid),
    /// The task asks for something that cannot be started. A sentence for its author.
    Refused(String),
}

/// Starts the command. An error is the host's (no processes, no memory), and was tried several times.
pub(crate) fn spawn(spec: &LaunchSpec, dir: &Path, log: &File, memory: Option<&MemoryCap>) -> io::Result<Spawned> {
    let environment = match environment(spec, dir) {
        Ok(environment) => environment,
        Err(refusal) => return Ok(Spawned::Refused(refusal)),
    };
    let cwd = match &spec.cwd {
        Some(cwd) => dir.join(folder::WORK).join(cwd),
        None => dir.join(folder::WORK),
    };
    if spec.cwd.as_ref().is_none_or(|cwd| Path::new(cwd).is_relative()) {
        folder::make_private_dir(Path::new(folder::WORK))?;
    }
    let program = match program(spec, environment.get("PATH").map(OsString::from)) {
        Ok(program) => program,
        Err(refusal) => return Ok(Spawned::Refused(refusal)),
    };
    let mut command = Command::new(&program);
    command.arg0(&spec.argv[0]).args(&spec.argv[1..]).current_dir(&cwd).process_group(0);
    if spec.clear_env {
        command.env_clear();
    }
    command.envs(&environment);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);

    let mut attempts = 0..6;
    loop {
        if let Some(memory) = memory {
            memory.enter()?;
        }
        let spawned = command.spawn();
        if let Some(memory) = memory {
            // Staying inside costs nobody anything but an empty cgroup; failing here would orphan the command.
            let _stays_inside = memory.leave();
        }
        match spawned {
            Ok(child) => {
                let pid = Pid::from_child(&child);
                if let Some(memory) = memory {
                    memory.limit(pid);
                }
                return Ok(Spawned::Running(pid));
            }
            Err(error) => match refusal(&error, &program, &cwd) {
                Some(refusal) => return Ok(Spawned::Refused(refusal)),
                // 10 ms, then four times as long each time: about 3.4 s in all.
                None => match attempts.next() {
                    Some(step) if step < 5 => std::thread::sleep(Duration::from_millis(10 << (2 * step))),
                    _ => return Err(error),
                },
            },
        }
    }
}

/// What the task asks for, where it may leave its value, and who it is. The allow-listed rest is in our own environment already.
fn environment(spec: &LaunchSpec, dir: &Path) -> Result<BTreeMap<String, OsString>, String> {
    let mut environment = BTreeMap::new();
    if !spec.clear_env {
        for (name, value) in [("DAG_ID", &spec.dag_id), ("DAG_RUN_ID", &spec.run_id), ("TASK_ID", &spec.task_id)] {
            environment.insert(format!("AIRFLOW_CTX_{name}"), OsString::from(value));
        }
        environment.insert("AIRFLOW_CTX_TRY_NUMBER".to_owned(), spec.try_number.to_string().into());
    }
    for (name, value) in &spec.env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(format!(
                "the environment variable {name:?} cannot be set: names have no =, and neither they nor values a NUL byte"
            ));
        }
        environment.insert(name.clone(), value.into());
    }
    if spec.xcom {
        environment.insert("UPDRAFT_XCOM_PATH".to_owned(), dir.join(folder::XCOM).into());
    }
    environment.insert(folder::MARKER.to_owned(), dir.into());
    Ok(environment)
}

/// The file to execute, found as a shell would.
fn program(spec: &LaunchSpec, own_path: Option<OsString>) -> Result<PathBuf, String> {
    let Some(name) = spec.argv.first().filter(|name| !name.is_empty()) else {
        let image = spec.image.as_deref().map_or_else(String::new, |image| format!(" of {image}"));
        return Err(format!(
            "the task names no command, and the process runner cannot run the entrypoint{image}, since it ignores images; \
             set the task's command (cmds), or use the Kubernetes runner"
        ));
    };
    if spec.argv.iter().any(|argument| argument.contains('\0')) {
        return Err("an argument of the command holds a NUL byte".to_owned());
    }
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let inherited = || if spec.clear_env { None } else { std::env::var_os("PATH") };
    let path = own_path.or_else(inherited).unwrap_or_else(|| DEFAULT_PATH.into());
    let mut not_executable = None;
    for folder in std::env::split_paths(&path).filter(|folder| folder.is_absolute()) {
        let candidate = folder.join(name);
        match rustix::fs::access(&candidate, rustix::fs::Access::EXEC_OK) {
            Ok(()) if candidate.is_file() => return Ok(candidate),
            Err(Errno::ACCESS) if candidate.is_file() => not_executable = Some(candidate),
            _ => {}
        }
    }
    Err(match not_executable {
        Some(candidate) => format!("{}: permission denied; make it executable (chmod +x)", candidate.display()),
        None => format!("{name}: command not found in PATH ({}); install it on the worker's host, or name its full path", path.display()),
    })
}

/// What the task's author did wrong; `None` when it is the host's fault.
fn refusal(error: &io::Error, program: &Path, cwd: &Path) -> Option<String> {
    use io::ErrorKind::{ArgumentListTooLong, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied};
    if !cwd.is_dir() {
        return Some(format!(
            "the working directory {} does not exist on this host; create it, or leave the task's cwd empty",
            cwd.display()
        ));
    }
    let shown = program.display();
    let at = cwd.join(program);
    // Those without a stable kind.
    let is = |errno: Errno| error.raw_os_error() == Some(errno.raw_os_error());
    Some(match error.kind() {
        NotFound if at.exists() => match interpreter(&at) {
            Some(interpreter) => format!("{shown}: its interpreter {interpreter} does not exist on this host"),
            None => format!("{shown}: its program loader does not exist on this host; it was built for another system"),
        },
        NotFound | NotADirectory => format!("{shown}: no such file on this host; check the path"),
        PermissionDenied if at.is_dir() => format!("{shown}: is a directory, not a program"),
        PermissionDenied if fs::metadata(&at).is_ok() => format!("{shown}: permission denied; make it executable (chmod +x)"),
        PermissionDenied => format!("{shown}, or the working directory {}: permission denied", cwd.display()),
        IsADirectory => format!("{shown}: is a directory, not a program"),
        ArgumentListTooLong => format!("{shown}: the arguments and the environment are too long together; pass large values in a file"),
        InvalidInput | InvalidFilename => format!("{shown}: {error}"),
        _ if is(Errno::LOOP) => format!("{shown}: {error}"),
        _ if is(Errno::NOEXEC) => {
            format!("{shown}: exec format error; a script needs a first line such as #!/bin/sh, a program must be built for this machine")
        }
        _ => return None,
    })
}

fn interpreter(script: &Path) -> Option<String> {
    use std::io::Read;
    let mut start = [0; 256];
    let read = File::open(script).ok()?.read(&mut start).ok()?;
    let line = std::str::from_utf8(start[..read].strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?).ok()?;
    line.split_whitespace().next().map(str::to_owned)
}
