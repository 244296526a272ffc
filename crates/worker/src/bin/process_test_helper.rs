//! For the tests of the process runner only: a supervisor, and a worker that can be killed. Not shipped.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use updraft_model::{AttemptKey, InstanceKey, LaunchSpec, RunKey};
use updraft_worker::process::{ProcessConfig, ProcessRunner};
use updraft_worker::runner::{Assignment, Runner};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(|word| word.to_str()) {
        Some("supervise") => updraft_worker::supervise::main(arguments),
        // `launch-and-hang <state folder> <shell script>`: launches attempt 1 of task 0 of run 1, and waits to be killed.
        Some("launch-and-hang") => launch_and_hang(arguments.collect()),
        _ => ExitCode::from(2),
    }
}

fn launch_and_hang(arguments: Vec<OsString>) -> ExitCode {
    let [state, script] = arguments.as_slice() else { return ExitCode::from(2) };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return ExitCode::FAILURE };
    runtime.block_on(async {
        let Ok(runner) = ProcessRunner::new(ProcessConfig::new(state)) else { return ExitCode::FAILURE };
        let script = script.to_string_lossy().into_owned();
        let spec = LaunchSpec { argv: vec!["sh".to_owned(), "-c".to_owned(), script], ..LaunchSpec::default() };
        let key = AttemptKey { instance: InstanceKey { run: RunKey(1), idx: 0, map_index: -1 }, attempt: 1 };
        if runner.launch(Assignment::unbound(key, &spec)).await.is_err() {
            return ExitCode::FAILURE;
        }
        tokio::time::sleep(Duration::from_secs(600)).await;
        ExitCode::SUCCESS
    })
}
