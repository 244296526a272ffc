//! The process runner with real processes: every end, stops, adoption, and what a killed worker or supervisor leaves behind.
//!
//! Nothing here sleeps to be in time: tests wait for files and conditions, with a limit that only a broken runner reaches.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "the fixture is test code, too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use updraft_model::end::Stopped;
use updraft_model::{AttemptKey, EndFacts, InstanceKey, LaunchSpec, RunKey, Verdict, verdict};
use updraft_worker::process::{ProcessConfig, ProcessRunner};
use updraft_worker::runner::{Assignment, LogPosition, Outcome, Runner, StopError};

const HELPER: &str = env!("CARGO_BIN_EXE_process_test_helper");
const PATIENCE: Duration = Duration::from_secs(30);

struct Fixture {
    state: tempfile::TempDir,
    runner: ProcessRunner,
}

impl Fixture {
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let runner = runner(state.path(), Duration::from_secs(10));
        Self { state, runner }
    }

    /// A path for the test's own files, beside the runner's.
    fn path(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }

    async fn run(&self, spec: &LaunchSpec) -> EndFacts {
        self.runner.launch(Assignment::unbound(KEY, spec)).await.unwrap();
        self.wait().await
    }

    async fn wait(&self) -> EndFacts {
        wait(&self.runner).await
    }

    fn file(&self, name: &str) -> PathBuf {
        self.runner.folder(KEY).join(name)
    }

    async fn log(&self) -> String {
        String::from_utf8(self.runner.read_log(KEY, &LogPosition::from(0), 1 << 20).await.unwrap().data).unwrap()
    }

    fn supervisor(&self) -> Pid {
        let started: serde_json::Value = serde_json::from_str(&fs::read_to_string(self.file("started")).unwrap()).unwrap();
        Pid::from_raw(i32::try_from(started["supervisor"].as_i64().unwrap()).unwrap()).unwrap()
    }
}

const KEY: AttemptKey = AttemptKey { instance: InstanceKey { run: RunKey(1), idx: 0, map_index: -1 }, attempt: 1 };

fn runner(state: &Path, grace: Duration) -> ProcessRunner {
    let config = ProcessConfig { supervisor: (HELPER.into(), vec!["supervise".into()]), grace, ..ProcessConfig::new(state) };
    ProcessRunner::new(config).unwrap()
}

async fn wait(runner: &ProcessRunner) -> EndFacts {
    tokio::time::timeout(PATIENCE, runner.wait(KEY)).await.expect("the attempt does not end")
}

fn sh(script: impl Into<String>) -> LaunchSpec {
    LaunchSpec { argv: vec!["sh".into(), "-c".into(), script.into()], ..LaunchSpec::default() }
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The number that a script writes into a file.
async fn number(path: &Path) -> i32 {
    let read = || fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'))?.trim().parse().ok();
    until(&format!("{} holds a number", path.display()), || read().is_some()).await;
    read().unwrap()
}

/// Whether a process runs: a zombie does not.
fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn parent(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn can_make_memory_cgroups() -> bool {
    let probe = format!("/sys/fs/cgroup/memory/updraft-probe-{}", std::process::id());
    fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe)).is_ok()
}

#[tokio::test]
async fn exit_codes_and_signals_are_facts() {
    let table: [(&str, Option<i32>, Option<i32>); 4] =
        [("true", Some(0), None), ("exit 7", Some(7), None), ("kill -9 $$", None, Some(9)), ("kill -15 $$", None, Some(15))];
    for (script, exit_code, signal) in table {
        let fixture = Fixture::new();
        let facts = fixture.run(&sh(script)).await;
        assert_eq!((facts.exit_code, facts.signal), (exit_code, signal), "{script}: {facts:?}");
        assert!(facts.started_at.unwrap() <= facts.ended_at.unwrap());
        assert_eq!((facts.stopped, facts.oom_killed, facts.spawn_error, facts.detail, facts.xcom), (None, false, None, None, None));
    }
}

#[tokio::test]
async fn what_cannot_start_is_the_tasks_mistake_and_says_so() {
    let fixture = Fixture::new();
    let script = fixture.path("script");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    let executable = fixture.path("executable");
    fs::write(&executable, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&executable, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let text = fixture.path("text");
    fs::write(&text, "echo no first line\n").unwrap();
    fs::set_permissions(&text, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let argv = |program: &str| LaunchSpec { argv: vec![program.to_owned()], ..LaunchSpec::default() };
    let table = [
        (argv("no-such-program"), "no-such-program: command not found in PATH"),
        (argv("/no/such/program"), "/no/such/program: no such file"),
        (argv(script.to_str().unwrap()), "permission denied; make it executable"),
        (argv(executable.to_str().unwrap()), "its interpreter /no/such/interpreter does not exist"),
        (argv(text.to_str().unwrap()), "exec format error; a script needs a first line"),
        (argv("/tmp"), "is a directory"),
        (LaunchSpec { image: Some("ubuntu:16.04".into()), ..LaunchSpec::default() }, "cannot run the entrypoint of ubuntu:16.04"),
        (LaunchSpec { cwd: Some("/no/such/folder".into()), ..sh("true") }, "the working directory /no/such/folder does not exist"),
        (LaunchSpec { env: [("A=B".to_owned(), String::new())].into(), ..sh("true") }, "\"A=B\" cannot be set"),
        (argv("a\0b"), "NUL"),
    ];
    for (attempt, (spec, expected)) in (2..).zip(table) {
        let key = AttemptKey { attempt, ..KEY };
        fixture.runner.launch(Assignment::unbound(key, &spec)).await.unwrap();
        let facts = fixture.runner.wait(key).await;
        let error = facts.spawn_error.as_deref().unwrap_or_else(|| panic!("no spawn error for {spec:?}: {facts:?}"));
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        assert!(facts.started_at.is_none() && facts.exit_code.is_none());
        let log = fixture.runner.read_log(key, &LogPosition::from(0), 4096).await.unwrap();
        assert!(String::from_utf8(log.data).unwrap().contains(expected));
    }
}

#[tokio::test]
async fn a_timeout_ends_the_command_and_its_daemons() {
    let fixture = Fixture::new();
    let (child, daemon) = (fixture.path("child"), fixture.path("daemon"));
    // The daemon leaves the session, loses its parent and closes every descriptor, lock included; it ignores SIGTERM as well.
    let script = format!(
        "trap '' TERM; sleep 600 & echo $! > {}; (setsid sh -c 'trap \"\" TERM; echo $$ > {}; exec 3>&- 4>&- 5>&- 6>&-; sleep 600' &) ; wait",
        child.display(),
        daemon.display()
    );
    let runner = runner(fixture.state.path(), Duration::from_millis(50));
    runner.launch(Assignment::unbound(KEY, &LaunchSpec { timeout_ms: Some(300), ..sh(script) })).await.unwrap();
    let (child, daemon) = (number(&child).await, number(&daemon).await);
    let facts = wait(&runner).await;
    assert_eq!(facts.stopped, Some(Stopped::Timeout), "{facts:?}");
    assert!(!alive(child) && !alive(daemon), "a descendant outlived the end");
    assert!(facts.ended_at.unwrap() - facts.started_at.unwrap() >= chrono::TimeDelta::milliseconds(300));
    assert!(fixture.log().await.contains("longer than its timeout"));
}

#[tokio::test]
async fn descendants_do_not_outlive_a_command_that_ends_by_itself() {
    let fixture = Fixture::new();
    let daemon = fixture.path("daemon");
    let script = format!("(setsid sh -c 'echo $$ > {0}; sleep 600' &); until [ -s {0} ]; do :; done; exit 3", daemon.display());
    let facts = fixture.run(&sh(script)).await;
    assert_eq!((facts.exit_code, facts.stopped), (Some(3), None));
    assert!(!alive(number(&daemon).await));
}

#[tokio::test]
async fn who_exits_0_on_sigterm_was_stopped() {
    let fixture = Fixture::new();
    let ready = fixture.path("ready");
    let script = format!("trap 'exit 0' TERM; sleep 600 & echo $$ > {}; wait", ready.display());
    fixture.runner.launch(Assignment::unbound(KEY, &sh(script))).await.unwrap();
    number(&ready).await;
    fixture.runner.stop(KEY, Stopped::Cancelled).await.unwrap();
    // The first reason stays.
    fixture.runner.stop(KEY, Stopped::Disrupted).await.unwrap();
    let facts = fixture.wait().await;
    assert_eq!((facts.exit_code, facts.stopped), (Some(0), Some(Stopped::Cancelled)));
    assert!(matches!(verdict(&facts, &[]), Verdict::Failed { .. }));
    // Stopping what has ended changes nothing.
    fixture.runner.stop(KEY, Stopped::Disrupted).await.unwrap();
    assert_eq!(fixture.wait().await, facts);
}

#[tokio::test]
async fn who_ignores_sigterm_is_killed_after_the_grace() {
    let fixture = Fixture::new();
    let ready = fixture.path("ready");
    let runner = runner(fixture.state.path(), Duration::from_millis(100));
    runner
        .launch(Assignment::unbound(KEY, &sh(format!("trap '' TERM; echo $$ > {}; while :; do sleep 600; done", ready.display()))))
        .await
        .unwrap();
    number(&ready).await;
    runner.stop(KEY, Stopped::Disrupted).await.unwrap();
    let facts = wait(&runner).await;
    assert_eq!((facts.signal, facts.stopped), (Some(9), Some(Stopped::Disrupted)));
}

#[tokio::test]
async fn what_was_never_launched_cannot_be_stopped_and_is_lost() {
    let fixture = Fixture::new();
    assert!(matches!(fixture.runner.stop(KEY, Stopped::Cancelled).await, Err(StopError::NotLaunched)));
    let facts = fixture.wait().await;
    assert!(matches!(verdict(&facts, &[]), Verdict::Failed { reason, .. } if reason == "lost"), "{facts:?}");
}

#[tokio::test]
async fn too_much_memory_is_an_oom_kill_or_a_failed_allocation() {
    let fixture = Fixture::new();
    let script = "x=a; while :; do x=$x$x$x$x; done";
    let facts = fixture.run(&LaunchSpec { memory_limit: Some(64 << 20), ..sh(script) }).await;
    let log = fixture.log().await;
    // As root, which may make cgroups, the fallback would be a defect.
    assert!(!(log.contains("RLIMIT_AS") && can_make_memory_cgroups()), "{log}");
    if log.contains("RLIMIT_AS") {
        assert!(!facts.oom_killed && facts.exit_code != Some(0), "{facts:?}\n{log}");
    } else {
        assert!(facts.oom_killed, "{facts:?}\n{log}");
        assert!(matches!(verdict(&facts, &[]), Verdict::Failed { reason, .. } if reason == "oom_killed"));
        assert!(!Path::new(&fs::read_to_string(fixture.file("cgroup")).unwrap()).exists(), "the cgroup is still there");
    }
}

#[tokio::test]
async fn a_memory_limit_leaves_a_modest_command_alone() {
    let fixture = Fixture::new();
    let facts = fixture.run(&LaunchSpec { memory_limit: Some(256 << 20), ..sh("exit 5") }).await;
    assert_eq!((facts.exit_code, facts.oom_killed), (Some(5), false));
}

#[tokio::test]
async fn the_log_is_both_streams_in_order_and_read_by_offset() {
    let fixture = Fixture::new();
    let spec = LaunchSpec { image: Some("ubuntu:16.04".into()), ..sh("echo out; echo err >&2; printf last") };
    fixture.run(&spec).await;
    let all = "[updraft] process runner: image ubuntu:16.04 is ignored, the command runs on this host\nout\nerr\nlast";
    assert_eq!(fixture.log().await, all);
    let mut read = Vec::new();
    loop {
        let piece = fixture.runner.read_log(KEY, &LogPosition::from(read.len() as u64), 7).await.unwrap();
        assert!(piece.data.len() <= 7);
        read.extend(piece.data);
        assert_eq!(piece.next.offset, read.len() as u64);
        if piece.eof {
            break;
        }
    }
    assert_eq!(String::from_utf8(read).unwrap(), all);
    for until in 0..=all.len() {
        let before = fixture.runner.read_log_before(KEY, &LogPosition::from(until as u64), 7).await.unwrap();
        assert_eq!(String::from_utf8(before).unwrap(), all[until.saturating_sub(7)..until]);
    }
}

#[tokio::test]
async fn xcom_is_a_json_value_or_an_error_that_says_why() {
    let table = [
        ("echo '{\"rows\": 12}' > $UPDRAFT_XCOM_PATH", Some(Ok("{\"rows\":12}"))),
        ("true", None),
        ("echo hello > $UPDRAFT_XCOM_PATH", Some(Err("not JSON"))),
        ("head -c 5000 /dev/zero | tr '\\0' 1 > $UPDRAFT_XCOM_PATH", Some(Err("longer than 4096 bytes"))),
    ];
    for (script, expected) in table {
        let fixture = Fixture::new();
        let facts = fixture.run(&LaunchSpec { xcom: true, ..sh(script) }).await;
        assert_eq!(facts.exit_code, Some(0));
        match (&facts.xcom, expected) {
            (None, None) => {}
            (Some(Ok(value)), Some(Ok(text))) => assert_eq!(value.to_string(), text),
            (Some(Err(error)), Some(Err(text))) => assert!(error.contains(text), "{error}"),
            (found, _) => panic!("{script}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn the_command_sees_what_it_needs_and_no_credentials() {
    let fixture = Fixture::new();
    let state = fixture.path("leak");
    let script = "env; pwd; ls -l /proc/self/fd; cat /proc/$PPID/environ | tr '\\0' '\\n'";
    let mut worker = std::process::Command::new(HELPER)
        .arg("launch-and-hang")
        .args([&state])
        .arg(script)
        .env("DATABASE_URL", "postgres://canary")
        .env("UPDRAFT_SECRET", "canary")
        .env("TZ", "Europe/Zurich")
        .spawn()
        .unwrap();
    let second = runner(&state, Duration::from_secs(1));
    until("it ended", || second.folder(KEY).join("exit").exists()).await;
    worker.kill().unwrap();
    worker.wait().unwrap();
    assert_eq!(wait(&second).await.exit_code, Some(0));
    let log = String::from_utf8(second.read_log(KEY, &LogPosition::from(0), 1 << 20).await.unwrap().data).unwrap();
    assert!(!log.contains("canary"), "{log}");
    assert!(log.contains("TZ=Europe/Zurich") && log.contains("PATH="), "{log}");
    assert!(log.contains(second.folder(KEY).join("work").to_str().unwrap()), "{log}");

    let spec =
        LaunchSpec { clear_env: true, env: [("ONLY".into(), "this".into())].into(), argv: vec!["env".into()], ..LaunchSpec::default() };
    fixture.run(&spec).await;
    let mut names: Vec<String> = fixture.log().await.lines().filter_map(|line| Some(line.split_once('=')?.0.to_owned())).collect();
    names.sort();
    assert_eq!(names, ["ONLY", "UPDRAFT_ATTEMPT_DIR"]);
}

#[tokio::test]
async fn another_worker_adopts_a_running_attempt() {
    let fixture = Fixture::new();
    let (starts, go) = (fixture.path("starts"), fixture.path("go"));
    let script = format!("echo $$ >> {}; until [ -e {} ]; do sleep 0.01; done; exit 4", starts.display(), go.display());
    fixture.runner.launch(Assignment::unbound(KEY, &sh(script.clone()))).await.unwrap();
    let command = number(&starts).await;
    let second = runner(fixture.state.path(), Duration::from_secs(10));
    assert_eq!(second.host(), fixture.runner.host());
    assert_eq!(second.present().await.unwrap(), [KEY]);
    assert!(second.launch(Assignment::unbound(KEY, &sh(script))).await.unwrap().made().unwrap().found);
    assert!(alive(command));
    let waiting = {
        let second = second.clone();
        tokio::spawn(async move { wait(&second).await })
    };
    fs::write(&go, "").unwrap();
    let facts = waiting.await.unwrap();
    assert_eq!(facts.exit_code, Some(4));
    assert_eq!(facts, fixture.wait().await);
    assert_eq!(number(&starts).await, command, "it was started more than once");
}

#[tokio::test]
async fn a_killed_supervisor_is_lost_once_its_descendants_are_gone() {
    let fixture = Fixture::new();
    let (command, daemon) = (fixture.path("command"), fixture.path("daemon"));
    let script = format!(
        "trap '' TERM HUP; (setsid sh -c 'exec 3>&- 4>&- 5>&- 6>&-; echo $$ > {}; sleep 600' &); echo $$ > {}; sleep 600",
        daemon.display(),
        command.display()
    );
    fixture.runner.launch(Assignment::unbound(KEY, &sh(script))).await.unwrap();
    let (command, daemon) = (number(&command).await, number(&daemon).await);
    kill_process(fixture.supervisor(), Signal::KILL).unwrap();
    let facts = fixture.wait().await;
    assert!(!alive(command) && !alive(daemon), "something of it still runs");
    assert!(facts.detail.as_deref().unwrap().contains("the supervisor was killed"), "{facts:?}");
    assert!(matches!(verdict(&facts, &[]), Verdict::Failed { reason, .. } if reason == "lost"));
    // And it is not started again.
    assert!(fixture.runner.launch(Assignment::unbound(KEY, &sh("true"))).await.unwrap().made().unwrap().found);
    assert_eq!(fixture.wait().await, facts);
}

#[tokio::test]
async fn a_killed_fork_server_is_replaced_and_takes_nothing_with_it() {
    let fixture = Fixture::new();
    let (ready, go) = (fixture.path("ready"), fixture.path("go"));
    let script = format!("echo $$ > {}; until [ -e {} ]; do sleep 0.01; done; exit 3", ready.display(), go.display());
    fixture.runner.launch(Assignment::unbound(KEY, &sh(script))).await.unwrap();
    let command = number(&ready).await;
    let server = parent(fixture.supervisor().as_raw_nonzero().get());
    assert_eq!(fs::read_to_string(format!("/proc/{server}/comm")).unwrap(), "updraft-forks\n");
    kill_process(Pid::from_raw(server).unwrap(), Signal::KILL).unwrap();
    // Still our child: it is gone when we have reaped it, and then the next launch cannot meet it.
    until("the server is reaped", || !Path::new(&format!("/proc/{server}")).exists()).await;
    let second = AttemptKey { attempt: 2, ..KEY };
    fixture.runner.launch(Assignment::unbound(second, &sh("exit 4"))).await.unwrap();
    assert_eq!(fixture.runner.wait(second).await.exit_code, Some(4));
    assert!(alive(command));
    fs::write(&go, "").unwrap();
    assert_eq!(fixture.wait().await.exit_code, Some(3));
}

#[tokio::test]
async fn a_supervisor_that_is_told_to_terminate_blames_the_host() {
    let fixture = Fixture::new();
    let ready = fixture.path("ready");
    fixture.runner.launch(Assignment::unbound(KEY, &sh(format!("echo $$ > {}; exec sleep 600", ready.display())))).await.unwrap();
    let command = number(&ready).await;
    for ignored in [Signal::HUP, Signal::INT] {
        kill_process(fixture.supervisor(), ignored).unwrap();
    }
    assert!(alive(command));
    // The command first, as may happen in a shutdown.
    kill_process(Pid::from_raw(command).unwrap(), Signal::TERM).unwrap();
    kill_process(fixture.supervisor(), Signal::TERM).unwrap();
    let facts = fixture.wait().await;
    assert_eq!((facts.signal, facts.stopped), (Some(15), Some(Stopped::Disrupted)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_launches_start_the_command_once() {
    let fixture = Fixture::new();
    let starts = fixture.path("starts");
    let spec = sh(format!("echo $$ >> {}", starts.display()));
    let mut launches = tokio::task::JoinSet::new();
    for _ in 0..50 {
        // Each a worker of its own, as far as the runner can tell.
        let (runner, spec) = (runner(fixture.state.path(), Duration::from_secs(10)), spec.clone());
        launches.spawn(async move {
            let handle = runner.launch(Assignment::unbound(KEY, &spec)).await.unwrap().made().unwrap();
            (handle.found, wait(&runner).await)
        });
    }
    let ends = launches.join_all().await;
    assert_eq!(ends.iter().filter(|(found, _)| !found).count(), 1);
    assert!(ends.iter().all(|(_, facts)| facts.exit_code == Some(0) && *facts == ends[0].1), "{ends:?}");
    assert_eq!(fs::read_to_string(&starts).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn a_killed_worker_does_not_take_its_command_with_it() {
    let fixture = Fixture::new();
    let (state, ready, go) = (fixture.path("state"), fixture.path("ready"), fixture.path("go"));
    let script = format!("echo $$ > {}; until [ -e {} ]; do sleep 0.01; done; exit 6", ready.display(), go.display());
    let mut command = std::process::Command::new(HELPER);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut worker = command.arg("launch-and-hang").arg(&state).arg(script).spawn().unwrap();
    let pid = number(&ready).await;
    let server = parent(parent(pid));
    assert!(alive(server));
    kill_process_group(Pid::from_child(&worker), Signal::KILL).unwrap();
    worker.wait().unwrap();
    // Its supervisors hold nothing that would keep the fork server.
    until("the fork server ends with its worker", || !alive(server)).await;
    assert!(alive(pid));
    let second = runner(&state, Duration::from_secs(10));
    fs::write(&go, "").unwrap();
    assert_eq!(wait(&second).await.exit_code, Some(6));
}

#[tokio::test]
async fn a_worker_killed_at_any_moment_of_the_launch_leaves_one_start() {
    for delay_us in (0..6_000).step_by(250) {
        let fixture = Fixture::new();
        let (state, starts) = (fixture.path("state"), fixture.path("starts"));
        let script = format!("echo $$ >> {}", starts.display());
        let second = runner(&state, Duration::from_secs(10));
        let mut command = std::process::Command::new(HELPER);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut worker = command.arg("launch-and-hang").arg(&state).arg(&script).spawn().unwrap();
        // Not to be in time for anything: each delay hits another moment.
        std::thread::sleep(Duration::from_micros(delay_us));
        kill_process_group(Pid::from_child(&worker), Signal::KILL).unwrap();
        worker.wait().unwrap();
        second.launch(Assignment::unbound(KEY, &sh(script))).await.unwrap();
        let facts = wait(&second).await;
        let count = fs::read_to_string(&starts).unwrap_or_default().lines().count();
        // The supervisor leaves the group before it makes `started`, so the kill can only come before the start or miss.
        assert_eq!((facts.exit_code, count), (Some(0), 1), "after {delay_us} µs: {facts:?}");
    }
}

#[tokio::test]
async fn an_end_that_waits_for_room_on_the_disk_is_not_taken_for_a_lost_one() {
    let disk = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"]).arg(disk.path()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: a file system of its own can be mounted by root alone");
        return;
    }
    let _mount = Unmount(disk.path());
    let (first, second) = (runner(disk.path(), Duration::from_secs(10)), runner(disk.path(), Duration::from_secs(10)));
    let (full, go) = (disk.path().join("full"), disk.path().join("filler"));
    // Its filler takes all room, and it says so by a folder, which takes none.
    let script = format!("cat /dev/zero > {} 2>/dev/null; mkdir {}; exit 0", go.display(), full.display());
    first.launch(Assignment::unbound(KEY, &sh(script))).await.unwrap();
    until("the disk is full", || full.exists()).await;
    let started = fs::read_to_string(first.folder(KEY).join("started")).unwrap();
    let supervisor = i32::try_from(serde_json::from_str::<serde_json::Value>(&started).unwrap()["supervisor"].as_i64().unwrap()).unwrap();
    let children = format!("/proc/{supervisor}/task/{supervisor}/children");
    until("the command is reaped", || fs::read_to_string(&children).is_ok_and(|children| children.is_empty())).await;
    let early = tokio::time::timeout(Duration::from_millis(1500), second.wait(KEY)).await;
    assert!(early.is_err(), "it was given up while its supervisor lives: {early:?}");
    assert!(alive(supervisor));
    fs::remove_file(&go).unwrap();
    assert_eq!(wait(&second).await.exit_code, Some(0));
}

/// Takes a file system away at the end of a test.
struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _busy = std::process::Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[tokio::test]
async fn what_was_released_never_starts_again() {
    let fixture = Fixture::new();
    let starts = fixture.path("starts");
    let go = fixture.path("go");
    let spec = sh(format!("echo $$ >> {}; until [ -e {} ]; do sleep 0.01; done", starts.display(), go.display()));
    fixture.runner.launch(Assignment::unbound(KEY, &spec)).await.unwrap();
    number(&starts).await;
    assert_eq!(fixture.runner.release(KEY, Outcome::Good).await.unwrap_err().kind(), std::io::ErrorKind::ResourceBusy);
    fs::write(&go, "").unwrap();
    fixture.wait().await;
    fixture.runner.release(KEY, Outcome::Good).await.unwrap();
    fixture.runner.release(KEY, Outcome::Good).await.unwrap();
    assert!(!fixture.runner.folder(KEY).exists());
    assert_eq!(fixture.runner.present().await.unwrap(), []);
    assert!(fixture.runner.launch(Assignment::unbound(KEY, &spec)).await.unwrap().made().unwrap().found);
    assert!(matches!(verdict(&fixture.wait().await, &[]), Verdict::Failed { reason, .. } if reason == "lost"));
    assert_eq!(fs::read_to_string(&starts).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn the_spec_with_its_secrets_goes_once_it_is_used() {
    let fixture = Fixture::new();
    let go = fixture.path("go");
    let env = [("TOKEN".to_owned(), "canary".to_owned())].into();
    fixture
        .runner
        .launch(Assignment::unbound(KEY, &LaunchSpec { env, ..sh(format!("until [ -e {} ]; do sleep 0.01; done", go.display())) }))
        .await
        .unwrap();
    until("the spec is gone", || fixture.file("started").exists() && !fixture.file("spec").exists()).await;
    fs::write(&go, "").unwrap();
    assert_eq!(fixture.wait().await.exit_code, Some(0));
}

#[tokio::test]
async fn a_state_folder_that_cannot_be_written_says_what_to_do() {
    let fixture = Fixture::new();
    fs::remove_dir(fixture.state.path().join("attempts")).unwrap();
    let error = fixture.runner.launch(Assignment::unbound(KEY, &sh("true"))).await.unwrap_err();
    assert!(error.to_string().contains("check the state folder"), "{error}");
}

#[tokio::test]
async fn descriptors_that_the_worker_inherited_do_not_reach_the_command() {
    let fixture = Fixture::new();
    let state = fixture.path("state");
    // A worker with a pipe of somebody else's as descriptor 9.
    let script = "ls /proc/self/fd | tr '\\n' ' '; ls -l /proc/self/fd";
    let worker = format!("exec {HELPER} launch-and-hang {} \"$0\" 9>{}", state.display(), fixture.path("foreign").display());
    let mut worker = std::process::Command::new("sh").arg("-c").arg(worker).arg(script).spawn().unwrap();
    let second = runner(&state, Duration::from_secs(1));
    until("it ended", || second.folder(KEY).join("exit").exists()).await;
    worker.kill().unwrap();
    worker.wait().unwrap();
    let log = String::from_utf8(second.read_log(KEY, &LogPosition::from(0), 1 << 20).await.unwrap().data).unwrap();
    assert!(log.contains("/lock") && !log.contains("foreign"), "{log}");
}

#[tokio::test]
async fn what_a_worker_left_half_made_is_cleared_up() {
    let fixture = Fixture::new();
    let mut dead = std::process::Command::new("true").spawn().unwrap();
    let pid = dead.id();
    dead.wait().unwrap();
    let attempts = fixture.state.path().join("attempts");
    let (abandoned, fresh) = (attempts.join(format!(".9-0--1-1.{pid}.1")), attempts.join(format!(".9-1--1-1.{}.1", std::process::id())));
    for folder in [&abandoned, &fresh] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("spec"), "canary").unwrap();
    }
    assert_eq!(fixture.runner.present().await.unwrap(), []);
    assert!(!abandoned.exists(), "its maker is dead");
    assert!(fresh.exists(), "its maker lives");
}
