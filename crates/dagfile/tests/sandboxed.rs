//! Python files inside the sandbox, end to end: what hostile and broken files can do, which is nothing.
//!
//! A harness of its own, since the sandbox is entered by a program that execs: this one, called again with `sandbox` as its first word.

#![allow(clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used, reason = "a test, without the harness that clippy knows")]

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use updraft_dagfile::loader::Loader;
use updraft_dagfile::python::{Options, Outcome, Processor, Snapshot};
use updraft_dagfile::{IgnoreSyntax, Kind, sandbox};

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("a_dag_is_read_and_a_broken_file_is_told", a_dag_is_read_and_a_broken_file_is_told),
    ("the_sandbox_says_that_it_holds", the_sandbox_says_that_it_holds),
    ("nothing_but_the_dag_folder_can_be_read", nothing_but_the_dag_folder_can_be_read),
    ("nothing_can_be_written_but_scratch", nothing_can_be_written_but_scratch),
    ("there_is_no_network", there_is_no_network),
    ("dangerous_calls_are_refused", dangerous_calls_are_refused),
    ("the_environment_is_empty", the_environment_is_empty),
    ("no_descriptor_leaks", no_descriptor_leaks),
    ("an_endless_loop_is_ended", an_endless_loop_is_ended),
    ("a_memory_bomb_is_ended", a_memory_bomb_is_ended),
    ("an_exit_is_one_error", an_exit_is_one_error),
    ("a_huge_answer_is_one_error", a_huge_answer_is_one_error),
    ("fifty_megabytes_of_dag_are_one_error", fifty_megabytes_of_dag_are_one_error),
    ("a_fork_bomb_is_ended", a_fork_bomb_is_ended),
    ("files_that_are_read_beside_a_killer_are_free", files_that_are_read_beside_a_killer_are_free),
    ("deep_recursion_and_a_crash_are_one_error_each", deep_recursion_and_a_crash_are_one_error_each),
    ("what_is_printed_is_no_answer", what_is_printed_is_no_answer),
    ("another_user_without_privileges_keeps_it_all_in_as_well", another_user_without_privileges_keeps_it_all_in_as_well),
    ("our_process_cannot_be_signalled", our_process_cannot_be_signalled),
    ("a_killed_child_is_started_again", a_killed_child_is_started_again),
    ("an_idle_child_is_ended", an_idle_child_is_ended),
    ("root_is_left_where_the_files_allow_it", root_is_left_where_the_files_allow_it),
    ("the_examples_are_read_without_a_mistake", the_examples_are_read_without_a_mistake),
    ("a_changed_helper_is_a_reason_to_parse", a_changed_helper_is_a_reason_to_parse),
    ("variables_come_from_the_snapshot", variables_come_from_the_snapshot),
    ("settings_in_the_dag_folder_are_not_run", settings_in_the_dag_folder_are_not_run),
];

fn main() {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: landlock, seccomp and /proc are Linux's");
        return;
    }
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|word| word == "sandbox") {
        let error = sandbox::enter_and_exec(arguments.into_iter().skip(2));
        eprintln!("{error}");
        std::process::exit(127);
    }
    let words: Vec<String> = arguments.iter().skip(1).filter_map(|word| word.to_str().map(str::to_owned)).collect();
    if words.iter().any(|word| word == "--list") {
        if !words.iter().any(|word| word == "--ignored") {
            TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return;
    }
    let exact = words.iter().any(|word| word == "--exact");
    let filters: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let chosen =
        |name: &str| filters.is_empty() || filters.iter().any(|f| if exact { name == f.as_str() } else { name.contains(f.as_str()) });
    let mut failed = 0;
    for (name, test) in TESTS.iter().filter(|(name, _)| chosen(name)) {
        let before = Instant::now();
        let ok = std::panic::catch_unwind(AssertUnwindSafe(test)).is_ok();
        failed += usize::from(!ok);
        println!("test {name} ... {} ({:?})", if ok { "ok" } else { "FAILED" }, before.elapsed());
    }
    println!("test result: {} failed", failed);
    std::process::exit(i32::from(failed > 0));
}

struct Room {
    folder: TempDir,
    processor: Processor,
    runtime: tokio::runtime::Runtime,
}

fn options() -> Options {
    let helper = vec![std::env::current_exe().unwrap().into(), "sandbox".into()];
    Options { helper, timeout: Duration::from_secs(10), ..Options::default() }
}

fn room_with(options: Options) -> Room {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let processor = runtime.block_on(async { Processor::new(options).unwrap() });
    Room { folder: tempfile::tempdir().unwrap(), processor, runtime }
}

fn room() -> Room {
    room_with(options())
}

impl Room {
    fn parse(&self, name: &str, text: &str) -> Outcome {
        self.parse_with(name, text, &Snapshot::default())
    }

    fn parse_with(&self, name: &str, text: &str, snapshot: &Snapshot) -> Outcome {
        let root = self.folder.path();
        let path = root.join(name);
        fs::write(&path, text).unwrap();
        self.runtime.block_on(self.processor.parse(root, &path, name, snapshot)).unwrap()
    }

    /// Runs `body` at the top of a DAG file; each `say(x)` of it comes back as a line.
    fn ask(&self, body: &str) -> Vec<String> {
        let text = format!(
            "# airflow dag\nimport os, sys\nsaid = []\nsay = lambda x: said.append(str(x))\n{body}\nraise ValueError('@@' + '@@'.join(said) + '@@')\n"
        );
        let outcome = self.parse("ask.py", &text);
        let error = outcome.errors.first().unwrap_or_else(|| panic!("no error came back: {outcome:?}"));
        let mut parts: Vec<String> = error.message.split("@@").map(str::to_owned).collect();
        assert!(parts.len() >= 2, "{error}");
        parts.pop();
        parts.remove(0);
        parts
    }
}

const GOOD: &str = r#"
from datetime import datetime
from airflow import DAG
from airflow.operators.bash import BashOperator

with DAG("good", schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False) as dag:
    BashOperator(task_id="a", bash_command="echo a") >> BashOperator(task_id="b", bash_command="echo b")
"#;

fn a_dag_is_read_and_a_broken_file_is_told() {
    let room = room();
    let outcome = room.parse("good.py", GOOD);
    assert!(outcome.errors.is_empty(), "{}", outcome.errors[0]);
    assert_eq!(outcome.dags[0].dag_id.as_str(), "good");
    assert_eq!(outcome.dags[0].tasks[1].upstream[0].as_str(), "a");
    let outcome = room.parse("bad.py", "from airflow import DAG\nwith DAG('x'):\n    undefined_name\n");
    assert_eq!(outcome.errors[0].line, Some(3), "{}", outcome.errors[0]);
    assert_eq!(outcome.errors[0].snippet.as_ref().unwrap().text, "    undefined_name");
    assert_eq!(room.parse("syntax.py", "import airflow\ndag = (\n").errors[0].kind, Kind::Syntax);
    assert_eq!(room.processor.status().starts, 1, "one child reads many files");
}

fn the_sandbox_says_that_it_holds() {
    let room = room();
    room.parse("good.py", GOOD);
    let report = room.processor.status().sandbox.expect("the helper reports");
    assert!(report.seccomp);
    if report.landlock == "none" {
        println!("  (this kernel has no landlock: {:?})", report.warnings);
    } else {
        assert_eq!(report.landlock, "full");
    }
}

fn landlocked(room: &Room) -> bool {
    room.parse("good.py", GOOD);
    let locked = room.processor.status().sandbox.is_some_and(|report| report.landlock != "none");
    if !locked {
        println!("  skipped: this kernel has no landlock");
    }
    locked
}

fn nothing_but_the_dag_folder_can_be_read() {
    let room = room();
    if !landlocked(&room) {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(outside.path().join(".ssh")).unwrap();
    let key = outside.path().join(".ssh/id_ed25519");
    fs::write(&key, "SECRET").unwrap();
    std::os::unix::fs::symlink(&key, room.folder.path().join("link.txt")).unwrap();
    fs::write(room.folder.path().join("near.txt"), "NEAR").unwrap();
    let ours = std::process::id();
    let body = format!(
        "here = os.path.dirname(os.path.abspath(__file__))\nfor p in [{key:?}, here + '/link.txt', '/proc/1/environ', '/proc/{ours}/environ', '/proc/self/environ', '/proc/%d/environ' % os.getppid(), '/proc/{ours}/mem', '/etc/shadow', '/etc/passwd', '/root', '/home', '/sys/kernel', here + '/near.txt']:\n    try:\n        say(os.listdir(p) if os.path.isdir(p) else open(p, 'rb').read(4))\n    except OSError as e: say(type(e).__name__)\n"
    );
    let said = room.ask(&body);
    let (near, rest) = said.split_last().unwrap();
    assert_eq!(near, "b'NEAR'");
    assert!(rest.iter().all(|s| s.ends_with("Error")), "{said:?}");
    assert_eq!(rest.len(), 12);
}

fn nothing_can_be_written_but_scratch() {
    let room = room();
    if !landlocked(&room) {
        return;
    }
    let body = "here = os.path.dirname(os.path.abspath(__file__))\nfor p in [here + '/new.py', __file__, '/tmp/updraft-test-escape', '/dev/shm/updraft-test-escape', os.environ['TMPDIR'] + '/ok']:\n    try:\n        open(p, 'a').write('x'); say('WROTE')\n    except OSError as e: say(type(e).__name__)\n";
    let said = room.ask(body);
    assert_eq!(said[4], "WROTE", "{said:?}");
    assert!(said[..4].iter().all(|s| s.ends_with("Error")), "{said:?}");
    assert!(!Path::new("/tmp/updraft-test-escape").exists());
}

fn there_is_no_network() {
    let room = room();
    let outcome = room.parse("net.py", "# airflow dag\nimport socket\nsocket.create_connection(('127.0.0.1', 1))\n");
    assert!(matches!(outcome.errors[0].kind, Kind::Network | Kind::Exception), "{}", outcome.errors[0]);
    let body = "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\nfor family in (1, 2, 10, 16, 17, 38, 40):\n    say(libc.socket(family, 1, 0)); say(errno.errorcode.get(ctypes.get_errno()))\n";
    let said = room.ask(body);
    for pair in said.chunks(2) {
        assert_eq!(pair, ["-1", "EACCES"], "{said:?}");
    }
}

fn dangerous_calls_are_refused() {
    let room = room();
    // By number on x86-64: the x32 twin of socket, ptrace(PTRACE_TRACEME), unshare(NEWUSER), bpf, io_uring_setup, keyctl, mount, and
    // clone3, which pretends not to exist.
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let body = "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\nfor call in ((0x40000000 | 41, 2, 1, 0), (101, 0, 0, 0), (272, 0x10000000), (321, 0, 0, 0), (425, 1, 0), (250, 0, -3, 0), (165, 0, 0, 0, 0, 0), (56, 0x10000000 | 17, 0, 0, 0, 0), (435, 0, 0)):\n    ctypes.set_errno(0); r = libc.syscall(*call); say(call[0]); say(errno.errorcode.get(ctypes.get_errno()))\n";
    let said = room.ask(body);
    let refused: Vec<&str> = said.chunks(2).map(|pair| pair[1].as_str()).collect();
    assert_eq!(refused, ["EACCES", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "ENOSYS"], "{said:?}");
}

fn the_environment_is_empty() {
    // What our process has, its children must not see. The name is of no consequence, and every test of this file runs in one thread.
    assert!(std::env::vars_os().count() > 3, "cargo sets many");
    let mut with = options();
    with.env.insert("AIRFLOW_HOME".to_owned(), "/opt/airflow".to_owned());
    let room = room_with(with);
    let mut said = room.ask("for k in sorted(os.environ): say(k)\n");
    said.retain(|name| !matches!(name.as_str(), "PATH" | "LANG" | "TZ" | "HOME" | "TMPDIR" | "LC_CTYPE" | "AIRFLOW_HOME"));
    assert!(said.is_empty(), "{said:?}");
    let home = room.ask("say(os.environ.get('AIRFLOW_HOME'))\n");
    assert_eq!(home, ["/opt/airflow"]);
}

fn no_descriptor_leaks() {
    // A descriptor that whoever started us left open: bash does not set close-on-exec.
    if std::env::var_os("UPDRAFT_TEST_INHERITS").is_none() {
        let me = std::env::current_exe().unwrap();
        let call = format!("exec 9</etc/passwd; UPDRAFT_TEST_INHERITS=1 exec {me:?} --exact no_descriptor_leaks");
        assert!(std::process::Command::new("bash").args(["-c", &call]).status().unwrap().success());
        return;
    }
    assert!(Path::new("/proc/self/fd/9").exists());
    let room = room();
    let body = "import stat\nfor fd in range(0, 256):\n    try: s = os.fstat(fd)\n    except OSError: continue\n    if fd > 2: say('%d %o %d' % (fd, stat.S_IFMT(s.st_mode), s.st_size))\n";
    let said = room.ask(body);
    assert!(said.iter().all(|fd| !fd.contains(" 140000 ")), "a socket is open: {said:?}");
    assert!(said.len() <= 3, "{said:?}");
}

fn an_endless_loop_is_ended() {
    let room = room_with(Options { timeout: Duration::from_secs(1), ..options() });
    room.parse("good.py", GOOD);
    let before = Instant::now();
    let outcome = room.parse("loop.py", "# airflow dag\nimport signal\nfor s in range(1, 32):\n    try: signal.signal(s, signal.SIG_IGN)\n    except Exception: pass\nwhile True:\n    try:\n        while True: pass\n    except BaseException: pass\n");
    assert_eq!(outcome.errors[0].kind, Kind::Timeout, "{}", outcome.errors[0]);
    assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
    assert_eq!(room.parse("good.py", GOOD).dags.len(), 1, "the next file is read");
}

fn a_memory_bomb_is_ended() {
    let room = room_with(Options { memory_bytes: 200 * 1024 * 1024, ..options() });
    let outcome = room.parse("bomb.py", "# airflow dag\nx = []\nwhile True: x.append(bytearray(10_000_000))\n");
    assert_eq!(outcome.errors[0].kind, Kind::Memory, "{}", outcome.errors[0]);
    assert_eq!(room.parse("good.py", GOOD).dags.len(), 1);
}

fn an_exit_is_one_error() {
    let room = room();
    let outcome = room.parse("exit.py", "# airflow dag\nimport os\nos._exit(0)\n");
    assert_eq!(outcome.errors[0].kind, Kind::Exit, "{}", outcome.errors[0]);
    let outcome = room.parse("abort.py", "# airflow dag\nimport os\nos.abort()\n");
    assert_eq!(outcome.errors[0].kind, Kind::Signal, "{}", outcome.errors[0]);
    assert_eq!(room.parse("good.py", GOOD).dags.len(), 1);
    assert_eq!(room.processor.status().starts, 1);
}

fn a_huge_answer_is_one_error() {
    let room = room_with(Options { max_output_bytes: 1024 * 1024, ..options() });
    let text = "from airflow import DAG\nfrom airflow.operators.bash import BashOperator\nwith DAG('big', schedule=None):\n    BashOperator(task_id='a', bash_command='x' * 5_000_000)\n";
    let outcome = room.parse("big.py", text);
    assert_eq!((outcome.dags.len(), outcome.errors[0].kind), (0, Kind::TooLarge), "{}", outcome.errors[0]);
    let huge = format!("# airflow dag\n#{}\n", "x".repeat(20 * 1024 * 1024));
    let outcome = room.parse("huge.py", &huge);
    assert!(outcome.dags.is_empty());
    assert_eq!(room.parse("good.py", GOOD).dags.len(), 1);
}

fn fifty_megabytes_of_dag_are_one_error() {
    let room = room();
    let text = "from airflow import DAG\nfrom airflow.operators.bash import BashOperator\nwith DAG('big', schedule=None):\n    for n in range(55):\n        BashOperator(task_id='a%d' % n, bash_command='x' * 1_000_000)\n";
    let outcome = room.parse("big.py", text);
    // It fits the limit of an answer, and is read whole or refused by name: never half.
    match outcome.errors.first() {
        Some(error) => assert_eq!((error.kind, outcome.dags.len()), (Kind::TooLarge, 0), "{error}"),
        None => assert_eq!(outcome.dags[0].tasks.len(), 55),
    }
    let outcome = room.parse("bigger.py", &text.replace("range(55)", "range(80)"));
    assert_eq!((outcome.dags.len(), outcome.errors[0].kind), (0, Kind::TooLarge), "{}", outcome.errors[0]);
    assert!(outcome.errors[0].hint.is_some());
    assert_eq!(room.parse("good.py", GOOD).dags.len(), 1);
}

fn files_that_are_read_beside_a_killer_are_free() {
    let room = room_with(Options { at_once: 3, ..options() });
    let root = room.folder.path();
    let killer = "# airflow dag\nimport os, signal\nos.kill(-1, signal.SIGKILL)\nos.kill(os.getppid(), signal.SIGKILL)\nos._exit(1)\n";
    let slow = format!("import time\ntime.sleep(0.05)\n{GOOD}");
    let names: Vec<String> = (0..18).map(|n| format!("{}{n}.py", if n % 6 == 2 { "killer" } else { "good" })).collect();
    for name in &names {
        fs::write(root.join(name), if name.starts_with("killer") { killer } else { &slow }).unwrap();
    }
    let outcomes = room.runtime.block_on(async {
        let snapshot = Snapshot::default();
        futures::future::join_all(names.iter().map(|name| {
            let (snapshot, processor) = (snapshot.clone(), room.processor.clone());
            async move { processor.parse(root, &root.join(name), name, &snapshot).await.unwrap() }
        }))
        .await
    });
    for (name, outcome) in names.iter().zip(outcomes) {
        let told: Vec<_> = outcome.errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            (outcome.dags.len(), told.is_empty()),
            if name.starts_with("killer") { (0, false) } else { (1, true) },
            "{name}: {told:?}"
        );
    }
}

fn a_fork_bomb_is_ended() {
    let room = room();
    // Each of them in a session of its own, so that no group's signal reaches it. All stop by themselves: the kernel counts the processes of
    // `nobody` together, and other tests run beside this one.
    let bomb = "# airflow dag\nimport os, time\nfor n in range(250):\n    try:\n        if os.fork() == 0:\n            os.setsid()\n            time.sleep(600)\n            os._exit(0)\n    except OSError: break\nwhile True: time.sleep(1)\n";
    // One that doubles and never ends a process, and one whose processes end as soon as they have made others.
    let doubling = |body: &str| {
        format!(
            "# airflow dag\nimport os, resource\nresource.setrlimit(resource.RLIMIT_NPROC, (300, 300))\nwhile True:\n    try:\n        {body}\n    except OSError: pass\n"
        )
    };
    let bombs = [
        (bomb.to_owned(), &[Kind::Processes][..]),
        (doubling("os.fork()"), &[Kind::Processes]),
        (doubling("if os.fork() and os.fork(): os._exit(0)"), &[Kind::Processes, Kind::Exit]),
    ];
    let mut places = Vec::new();
    for (bomb, kinds) in &bombs {
        places.push(room.ask("say(os.environ['HOME'])\n").remove(0));
        let outcome = room.parse("bomb.py", bomb);
        assert!(kinds.contains(&outcome.errors[0].kind), "{}", outcome.errors[0]);
        assert_eq!(room.parse("good.py", GOOD).dags.len(), 1, "the next file is read");
    }
    drop(room);
    for scratch in places {
        let left = processes_with(&format!("HOME={scratch}"));
        assert!(left.is_empty(), "{left:?} are left");
    }
}

/// Processes, by their words, that were started with this in their environment and are not dead.
fn processes_with(mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
        if environment.split(|byte| *byte == 0).any(|pair| pair == mark.as_bytes()) {
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push(String::from_utf8_lossy(&words).replace('\0', " "));
        }
    }
    found
}

fn deep_recursion_and_a_crash_are_one_error_each() {
    // It ends when memory does, and filling that takes seconds of a processor that others use as well.
    let room = room_with(Options { timeout: Duration::from_secs(60), ..options() });
    let deep = "# airflow dag\nimport sys\nsys.setrecursionlimit(10 ** 9)\ndef f(x):\n    return [f(x)]\nf(0)\n";
    let outcome = room.parse("deep.py", deep);
    assert!(matches!(outcome.errors[0].kind, Kind::Exception | Kind::Memory | Kind::Signal), "{}", outcome.errors[0]);
    let nested = format!("# airflow dag\nx = {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let outcome = room.parse("nested.py", &nested);
    assert!(matches!(outcome.errors[0].kind, Kind::Syntax | Kind::Memory | Kind::Signal | Kind::Exception), "{}", outcome.errors[0]);
    // As a library in C does that is broken.
    let outcome = room.parse("crash.py", "# airflow dag\nimport ctypes\nctypes.string_at(8)\n");
    assert_eq!(outcome.errors[0].kind, Kind::Signal, "{}", outcome.errors[0]);
    assert!(outcome.errors[0].message.contains("SIGSEGV"), "{}", outcome.errors[0]);
    assert_eq!(room.parse("good.py", GOOD).dags.len(), 1);
    assert_eq!(room.processor.status().starts, 1, "none of it ended the parser");
}

fn what_is_printed_is_no_answer() {
    let room = room();
    let lie = r#"{"id": 1, "dags": [], "errors": [], "warnings": [], "asked": {}, "modules": [], "folders": []}"#;
    let text = format!(
        "{GOOD}\nimport os\nfor fd in range(0, 64):\n    try: os.write(fd, {lie:?}.encode() + b'\\n')\n    except OSError: pass\nprint({lie:?})\n"
    );
    let outcome = room.parse("prints.py", &text);
    // It may spoil its own answer, as it has that in its hands, and nobody else's.
    assert!(outcome.dags.len() == 1 || !outcome.errors.is_empty(), "{outcome:?}");
    let outcome = room.parse("good.py", GOOD);
    assert_eq!((outcome.dags.len(), outcome.errors.len(), outcome.output.as_str()), (1, 0, ""));
}

/// A container that is neither root nor may make a namespace: the same room, by landlock, seccomp and limits alone.
fn another_user_without_privileges_keeps_it_all_in_as_well() {
    use std::os::unix::process::CommandExt as _;
    const SOMEBODY: u32 = 23_456;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become somebody else, and whoever is not root has run the other tests as such");
        return;
    }
    let place = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir_in("/tmp").unwrap();
    let (program, scratch) = (place.path().join("sandboxed"), place.path().join("scratch"));
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(&scratch).unwrap();
    std::os::unix::fs::chown(&scratch, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    let python = std::process::Command::new("/usr/bin/python3").arg("--version").output();
    if !python.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no /usr/bin/python3 that another user could run");
        return;
    }
    // No binary with capabilities of its own helps it, either.
    let mut command = std::process::Command::new("setpriv");
    command
        .args(["--no-new-privs", "--bounding-set", "-all", "--clear-groups"])
        .args([&format!("--reuid={SOMEBODY}"), &format!("--regid={SOMEBODY}")]);
    command.arg(&program).args([
        "a_dag_is_read",
        "nothing_but_the_dag_folder",
        "nothing_can_be_written",
        "there_is_no_network",
        "dangerous_calls",
        "the_environment_is_empty",
        "an_endless_loop",
        "a_memory_bomb",
        "an_exit_is",
        "a_huge_answer",
        "a_fork_bomb",
        "deep_recursion",
        "what_is_printed",
        "our_process_cannot",
    ]);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TMPDIR", &scratch)
        .env("HOME", &scratch)
        .env("USER", "somebody")
        .current_dir("/")
        .process_group(0);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.matches("... ok").count() >= 14, "{said}");
}

fn our_process_cannot_be_signalled() {
    let room = room();
    if !landlocked(&room) {
        return;
    }
    let said = room
        .ask(&format!("import signal\ntry: os.kill({}, 0); say('CAN')\nexcept OSError as e: say(type(e).__name__)\n", std::process::id()));
    assert_eq!(said, ["PermissionError"]);
}

fn a_killed_child_is_started_again() {
    let unpacked = tempfile::tempdir().unwrap();
    fs::set_permissions(unpacked.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let room = room_with(Options { unpack_to: Some(unpacked.path().to_owned()), ..options() });
    room.parse("good.py", GOOD);
    // From inside the room the parser itself is in reach; that costs the file that does it, and the next one starts another.
    let outcome =
        room.parse("kill.py", "# airflow dag\nimport os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nimport time\ntime.sleep(60)\n");
    assert!(!outcome.errors.is_empty());
    assert_eq!(room.parse("good.py", GOOD).dags.len(), 1);
    assert!(room.processor.status().starts >= 2);
    room.runtime.block_on(room.processor.rest());
    let mark = unpacked.path().to_str().unwrap().to_owned();
    let left = || {
        let commands = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        commands.filter(|line| String::from_utf8_lossy(line).contains(&mark)).count()
    };
    // The file's own alarm would end it after 10 s.
    let until = Instant::now() + Duration::from_secs(5);
    while left() > 0 {
        assert!(Instant::now() < until, "a process of the file that sleeps for 60 s is left");
        std::thread::yield_now();
    }
}

fn an_idle_child_is_ended() {
    let room = room_with(Options { idle: Duration::from_millis(50), ..options() });
    room.parse("good.py", GOOD);
    let until = Instant::now() + Duration::from_secs(10);
    while room.processor.status().running {
        assert!(Instant::now() < until, "the child is still there");
        std::thread::yield_now();
    }
    assert_eq!(room.parse("good.py", GOOD).dags.len(), 1);
    assert_eq!(room.processor.status().starts, 2);
}

fn root_is_left_where_the_files_allow_it() {
    if !rustix::process::geteuid().is_root() {
        println!("  skipped: not root");
        return;
    }
    let python = PathBuf::from("/usr/bin/python3");
    if !python.exists() {
        println!("  skipped: no /usr/bin/python3 that every user can start");
        return;
    }
    let room = room_with(Options { python: Some(python), ..options() });
    fs::set_permissions(room.folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let private = room.ask("say(os.getuid())\n");
    assert_eq!(private, ["0"], "a folder of mode 0700 is read as root");
    assert!(room.processor.status().sandbox.unwrap().warnings[0].contains("as root without capabilities"));
    fs::set_permissions(room.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    room.runtime.block_on(room.processor.rest());
    let open = room.ask("say(os.getuid()); say(os.getgid()); say(os.getgroups())\ntry: os.setuid(0); say('ROOT')\nexcept OSError as e: say(type(e).__name__)\n");
    assert_eq!(open, ["65534", "65534", "[]", "PermissionError"]);
}

/// Files that Python or Airflow would run for their names.
fn settings_in_the_dag_folder_are_not_run() {
    let room = room();
    for name in ["airflow_local_settings.py", "sitecustomize.py", "usercustomize.py", "webserver_config.py"] {
        fs::write(room.folder.path().join(name), "import builtins\nbuiltins.was_run = True\n").unwrap();
    }
    fs::write(room.folder.path().join("airflow.cfg"), "[core]\nlazy_load_plugins = False\n").unwrap();
    fs::create_dir(room.folder.path().join("plugins")).unwrap();
    fs::write(room.folder.path().join("plugins/one.py"), "import builtins\nbuiltins.was_run = True\n").unwrap();
    let said = room.ask("import airflow, builtins\nsay(hasattr(builtins, 'was_run'))");
    assert_eq!(said, ["False"]);
}

fn variables_come_from_the_snapshot() {
    let room = room();
    let mut snapshot = Snapshot::default();
    snapshot.variables.insert("region".to_owned(), "eu".to_owned());
    let text =
        "from airflow import DAG\nfrom airflow.models import Variable\nwith DAG('dag_' + Variable.get('region'), schedule=None): pass\n";
    let outcome = room.parse_with("vars.py", text, &snapshot);
    assert!(outcome.errors.is_empty(), "{}", outcome.errors[0]);
    assert_eq!(outcome.dags[0].dag_id.as_str(), "dag_eu");
}

fn the_examples_are_read_without_a_mistake() {
    let room = room();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dags").canonicalize().unwrap();
    let mut loader = Loader::new(Some(room.processor.clone()), IgnoreSyntax::Glob);
    let changes = room.runtime.block_on(loader.refresh(&root, &Snapshot::default())).unwrap();
    let mut shapes = Vec::new();
    for file in &changes.files {
        assert!(file.errors.is_empty(), "{}", file.errors[0]);
        for dag in &file.dags {
            let edges: usize = dag.tasks.iter().map(|task| task.upstream.len()).sum();
            shapes.push(format!("{} {} {edges}", dag.dag_id, dag.tasks.len()));
        }
    }
    for shape in ["diamond 4 4", "diamond_yaml 4 4", "failing 5 4", "retries_and_pool 5 4", "tutorial_bash 5 6"] {
        assert!(shapes.iter().any(|have| have == shape), "{shape} is not among {shapes:?}");
    }
    let again = room.runtime.block_on(loader.refresh(&root, &Snapshot::default())).unwrap();
    assert_eq!(again.files.len(), 0, "an unchanged folder costs nothing");
}

fn a_changed_helper_is_a_reason_to_parse() {
    let room = room();
    let root = room.folder.path().to_owned();
    let put = |name: &str, text: &str| fs::write(root.join(name), text).unwrap();
    put("helper.py", "NAME = 'one'\n");
    put("list.txt", "a b\n");
    put(
        "uses.py",
        "import os\nfrom airflow import DAG\nfrom airflow.configuration import conf\nfrom airflow.models import Variable\nfrom helper import NAME\nnames = open(os.path.join(os.path.dirname(__file__), 'list.txt')).read().split()\nfor n in names:\n    globals()[n] = DAG(NAME + n + Variable.get('x', 'q') + conf.get('acme', 'c', fallback=''), schedule=None)\n",
    );
    put("other.py", GOOD);
    let mut loader = Loader::new(Some(room.processor.clone()), IgnoreSyntax::Glob);
    let mut snapshot = Snapshot::default();
    let mut refresh = |snapshot: &Snapshot| {
        let changes = room.runtime.block_on(loader.refresh(&root, snapshot)).unwrap();
        let named = |file: &updraft_dagfile::loader::FileResult| {
            assert!(file.errors.is_empty(), "{}", file.errors[0]);
            format!("{}:{}", file.path, file.dags.iter().map(|dag| dag.dag_id.to_string()).collect::<Vec<_>>().join(","))
        };
        changes.files.iter().map(named).collect::<Vec<_>>()
    };
    assert_eq!(refresh(&snapshot), ["helper.py:", "other.py:good", "uses.py:oneaq,onebq"]);
    assert!(refresh(&snapshot).is_empty());
    put("helper.py", "NAME = 'two'\n");
    assert_eq!(refresh(&snapshot), ["helper.py:", "uses.py:twoaq,twobq"]);
    put("list.txt", "c\n");
    assert_eq!(refresh(&snapshot), ["uses.py:twocq"]);
    snapshot.variables.insert("unrelated".to_owned(), "1".to_owned());
    assert!(refresh(&snapshot).is_empty(), "an answer that nobody asked for changes nothing");
    snapshot.variables.insert("x".to_owned(), "z".to_owned());
    assert_eq!(refresh(&snapshot), ["uses.py:twocz"]);
    snapshot.conf.insert("acme.other".to_owned(), "1".to_owned());
    assert!(refresh(&snapshot).is_empty());
    snapshot.conf.insert("acme.c".to_owned(), "d".to_owned());
    assert_eq!(refresh(&snapshot), ["uses.py:twoczd"]);
    // The environment's names are in capitals, and come after those of the folder.
    snapshot.capitals.variables.insert("X".to_owned(), "loud".to_owned());
    assert_eq!(refresh(&snapshot), ["uses.py:twoczd"], "read again, since nobody can tell that it is the same");
    snapshot.variables.remove("x");
    assert_eq!(refresh(&snapshot), ["uses.py:twocloudd"]);
    let asked = loader.results().find(|file| file.path == "uses.py").unwrap().asked.clone();
    assert_eq!((asked.variables, asked.conf), (vec!["x".to_owned()], vec!["acme.c".to_owned()]));
}
