//! What a process costs: `cargo run --release --example spawn_bench -- [rounds]` prints microseconds for a bare spawn of `true`, and for
//! launch and wait through the process runner, supervisor included.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use updraft_model::{AttemptKey, InstanceKey, LaunchSpec, RunKey};
use updraft_worker::process::{ProcessConfig, ProcessRunner};
use updraft_worker::runner::{Assignment, Outcome, Runner};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    if first.as_deref().is_some_and(|word| word == "supervise") {
        return updraft_worker::supervise::main(arguments);
    }
    let rounds = first.and_then(|word| word.to_str()?.parse().ok()).unwrap_or(300);
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime.block_on(bench(rounds)),
        Err(_) => ExitCode::FAILURE,
    }
}

async fn bench(rounds: u32) -> ExitCode {
    let bare = (0..rounds).map(|_| {
        let start = Instant::now();
        let ended = Command::new("/bin/true").stdin(Stdio::null()).stdout(Stdio::null()).status();
        assert!(ended.is_ok_and(|status| status.success()));
        start.elapsed()
    });
    report("bare spawn of true", bare.collect());

    let state = std::env::temp_dir().join(format!("updraft-spawn-bench-{}", std::process::id()));
    let Ok(runner) = ProcessRunner::new(ProcessConfig::new(&state)) else { return ExitCode::FAILURE };
    let spec = LaunchSpec { argv: vec!["true".to_owned()], ..LaunchSpec::default() };
    let key = |run| AttemptKey { instance: InstanceKey { run: RunKey(run), idx: 0, map_index: -1 }, attempt: 1 };
    let (mut launches, mut both, mut releases) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..i64::from(rounds) {
        let start = Instant::now();
        assert!(runner.launch(Assignment::unbound(key(round), &spec)).await.is_ok());
        launches.push(start.elapsed());
        assert_eq!(runner.wait(key(round)).await.exit_code, Some(0));
        both.push(start.elapsed());
        let start = Instant::now();
        assert!(runner.release(key(round), Outcome::Good).await.is_ok());
        releases.push(start.elapsed());
    }
    report("launch", launches);
    report("launch and wait for true", both);
    report("release", releases);

    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 1..=8_i64 {
        let (runner, spec) = (runner.clone(), spec.clone());
        tasks.spawn(async move {
            for round in 0..i64::from(rounds) {
                let key = key(lane * 1_000_000 + round);
                assert!(runner.launch(Assignment::unbound(key, &spec)).await.is_ok());
                assert_eq!(runner.wait(key).await.exit_code, Some(0));
                assert!(runner.release(key, Outcome::Good).await.is_ok());
            }
        });
    }
    tasks.join_all().await;
    println!("8 lanes: {:.0} attempts/s", f64::from(rounds) * 8.0 / start.elapsed().as_secs_f64());
    let _left_for_the_system = std::fs::remove_dir_all(&state);
    ExitCode::SUCCESS
}

fn report(what: &str, mut times: Vec<std::time::Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_micros();
    println!("{what:<26} p50 {:>6} µs   p99 {:>6} µs   ({} rounds)", at(0.5), at(0.99), times.len());
}
