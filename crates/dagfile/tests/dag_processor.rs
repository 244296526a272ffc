//! A dag-processor in a process of its own, and what its scheduler makes of it. The real thing on both sides: this program is both, and
//! called with `dag-processor` as its first word it is the other one. Its Python has no sandbox, so that a file can kill it.

#![allow(clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used, reason = "a test, without the harness that clippy knows")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use updraft_dagfile::IgnoreSyntax;
use updraft_dagfile::loader::{Changes, FileResult};
use updraft_dagfile::parser::{Error, Parser, ParserConfig, serve};
use updraft_dagfile::python::{Options, Processor, Snapshot};

const CANARY: &str = "canary-4711";
/// Ends the dag-processor: the file's process is a child of the warm python, which is a child of it.
const KILLER: &str = "# airflow dag\nimport os, signal\nwarm = os.getppid()\n\
    above = int(open(f'/proc/{warm}/stat').read().rsplit(')', 1)[1].split()[1])\nos.kill(above, signal.SIGKILL)\n";

const TESTS: &[(&str, fn())] = &[
    ("what_comes_back_is_what_would_be_read_here", what_comes_back_is_what_would_be_read_here),
    ("a_file_that_kills_is_set_aside_and_the_others_are_read", a_file_that_kills_is_set_aside_and_the_others_are_read),
    ("what_went_while_it_was_dead_is_gone", what_went_while_it_was_dead_is_gone),
    ("the_child_has_none_of_our_secrets_and_ends_with_us", the_child_has_none_of_our_secrets_and_ends_with_us),
    ("a_remote_one_serves_by_its_socket", a_remote_one_serves_by_its_socket),
    ("nonsense_is_given_up", nonsense_is_given_up),
];

fn main() {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: /proc is Linux's");
        return;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("dag-processor") => {
            // Its own signs of life are its descriptors and its environment: both are looked at from outside.
            let runtime = runtime();
            let python = Processor::new(Options::default()).map_err(|error| error.to_string());
            runtime.block_on(serve(std::io::stdin(), std::io::stdout(), python)).unwrap();
            runtime.shutdown_timeout(Duration::from_millis(200));
            return;
        }
        // A scheduler with secrets in its environment, which dies without a word when it is told to.
        Some("scheduler") => return scheduler(Path::new(&words[1])),
        _ => {}
    }
    if words.iter().any(|word| word == "--list") {
        if !words.iter().any(|word| word == "--ignored") {
            TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return;
    }
    let filters: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let mut failed = 0;
    for (name, test) in TESTS.iter().filter(|(name, _)| filters.is_empty() || filters.iter().any(|f| name.contains(f.as_str()))) {
        let ok = std::panic::catch_unwind(test).is_ok();
        failed += usize::from(!ok);
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
    }
    std::process::exit(i32::from(failed > 0));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn child() -> ParserConfig {
    ParserConfig::Child {
        command: vec![std::env::current_exe().unwrap().into(), "dag-processor".into()],
        patience: Duration::from_secs(60),
    }
}

struct Room {
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    parser: Parser,
}

impl Room {
    fn new(config: &ParserConfig) -> Self {
        let runtime = runtime();
        let parser = Parser::new("test", config, IgnoreSyntax::Glob);
        Self { folder: tempfile::tempdir().unwrap(), runtime, parser }
    }

    fn put(&self, path: &str, text: &str) {
        fs::write(self.folder.path().join(path), text).unwrap();
    }

    fn dag(&self, id: &str) {
        self.put(&format!("{id}.yaml"), &format!("dag_id: {id}\ntasks: {{}}\n"));
    }

    fn refresh(&mut self) -> Changes {
        self.runtime.block_on(self.parser.refresh(self.folder.path(), &Snapshot::default())).unwrap()
    }

    fn pid(&self) -> u32 {
        *children("dag-processor").last().unwrap()
    }
}

/// Processes below this one whose words hold `word`.
fn children(word: &str) -> Vec<u32> {
    let ours = std::process::id();
    let mut found: Vec<u32> = fs::read_dir("/proc").unwrap().flatten().filter_map(|p| p.file_name().to_str()?.parse().ok()).collect();
    found.retain(|pid| {
        parent(*pid) == Some(ours) && fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|c| String::from_utf8_lossy(&c).contains(word))
    });
    found
}

fn parent(pid: u32) -> Option<u32> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()?.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn kill(pid: u32) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid.cast_signed()).unwrap(), rustix::process::Signal::KILL).unwrap();
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// `path: ids (errors)` of each file.
fn short<'a>(files: impl IntoIterator<Item = &'a FileResult>) -> Vec<String> {
    let ids = |file: &FileResult| file.dags.iter().map(|dag| dag.dag_id.to_string()).collect::<Vec<_>>().join(",");
    files.into_iter().map(|file| format!("{}: {} ({})", file.path, ids(file), file.errors.len())).collect()
}

fn what_comes_back_is_what_would_be_read_here() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dags").canonicalize().unwrap();
    let runtime = runtime();
    let mut away = Parser::new("test", &child(), IgnoreSyntax::Glob);
    let mut here = Parser::new("test", &ParserConfig::InProcess { python: Some(Options::default()) }, IgnoreSyntax::Glob);
    let both = [&mut away, &mut here].map(|parser| {
        let changes = runtime.block_on(parser.refresh(&root, &Snapshot::default())).unwrap();
        let hashes: Vec<_> = changes.files.iter().flat_map(|f| &f.dags).map(|dag| (dag.dag_id.to_string(), dag.version_hash())).collect();
        let again = runtime.block_on(parser.refresh(&root, &Snapshot::default())).unwrap();
        assert_eq!((again.files.len(), again.unchanged), (0, changes.files.len()), "an unchanged folder costs nothing");
        (short(&changes.files), hashes, short(parser.results()))
    });
    assert!(both[0].1.len() > 4, "{both:?}");
    assert_eq!(both[0], both[1]);
    let missing = runtime.block_on(away.refresh(Path::new("/nowhere"), &Snapshot::default())).unwrap_err().to_string();
    assert!(missing.contains("cannot read the DAG folder /nowhere: No such file"), "{missing}");
}

fn a_file_that_kills_is_set_aside_and_the_others_are_read() {
    let mut room = Room::new(&child());
    room.dag("a");
    room.put("killer.py", KILLER);
    room.put("z.py", "from airflow import DAG\ndag = DAG('z', schedule=None)\n");
    let changes = room.refresh();
    assert_eq!(short(&changes.files), ["a.yaml: a (0)", "killer.py:  (1)", "z.py: z (0)"]);
    assert!(changes.files[1].errors[0].message.contains("ended the dag-processor, twice"), "{}", changes.files[1].errors[0]);
    let starts = |room: &Room| room.parser.status()["dag_processor"]["starts"].as_u64().unwrap();
    assert_eq!(room.parser.status()["dag_processor"]["set_aside"], serde_json::json!(["killer.py"]));
    // Twice for the killer, once more if another file was being read beside it: then nobody was blamed.
    let started = starts(&room);
    assert!((3..=4).contains(&started), "{started}");
    // Neither a quiet folder nor another file makes it die again.
    room.dag("b");
    assert_eq!(short(&room.refresh().files), ["b.yaml: b (0)"]);
    assert_eq!(starts(&room), started);
    // The file is mended.
    room.put("killer.py", "from airflow import DAG\ndag = DAG('mended', schedule=None)\n");
    assert_eq!(short(&room.refresh().files), ["killer.py: mended (0)"]);
    assert_eq!(starts(&room), started);
}

fn what_went_while_it_was_dead_is_gone() {
    let mut room = Room::new(&child());
    room.dag("a");
    room.dag("b");
    room.refresh();
    kill(room.pid());
    fs::remove_file(room.folder.path().join("a.yaml")).unwrap();
    let changes = room.refresh();
    assert_eq!((changes.removed, changes.emptied), (vec!["a.yaml".to_owned()], false));
    kill(room.pid());
    fs::remove_file(room.folder.path().join("b.yaml")).unwrap();
    let changes = room.refresh();
    assert!(changes.emptied, "an emptied folder is one, whoever saw it full");
}

/// Reads a folder by a child of its own, says its id, and waits to be killed.
fn scheduler(folder: &Path) {
    // Open to whoever inherits it, if anybody does.
    let _listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let _file = fs::File::open("/etc/hostname");
    let runtime = runtime();
    let mut parser = Parser::new("test", &child(), IgnoreSyntax::Glob);
    runtime.block_on(parser.refresh(folder, &Snapshot::default())).unwrap();
    println!("{}", children("dag-processor")[0]);
    std::thread::sleep(Duration::from_secs(60));
}

fn the_child_has_none_of_our_secrets_and_ends_with_us() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), "dag_id: a\ntasks: {}\n").unwrap();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.arg("scheduler").arg(folder.path()).stdout(std::process::Stdio::piped());
    for name in ["UPDRAFT_DATABASE_URL", "UPDRAFT_BROKER_URL", "UPDRAFT_GIT_TOKEN_FILE", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY"] {
        command.env(name, CANARY);
    }
    let mut scheduler = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(scheduler.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let pid: u32 = line.trim().parse().unwrap();
    let read = |what: &str| String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/{what}")).unwrap()).into_owned();
    let environment = read("environ");
    assert!(!environment.contains(CANARY) && environment.contains("PATH="), "{environment}");
    assert!(!read("cmdline").contains(CANARY));
    let inherited: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .filter_map(|fd| Some((fd.file_name().to_str()?.parse::<u32>().ok()?, fs::read_link(fd.path()).ok()?)))
        .filter(|(fd, to)| *fd > 2 && !to.to_string_lossy().starts_with("anon_inode:") && !to.to_string_lossy().starts_with("pipe:"))
        .map(|(fd, to)| format!("{fd} → {}", to.display()))
        // The child's own, while it starts Python; there is nothing to read in it.
        .filter(|line| !line.ends_with("/dev/null"))
        // tokio's own, for signals.
        .filter(|line| {
            !line.contains("socket:") || own_sockets(pid).is_none_or(|own| !own.contains(line.rsplit(' ').next().unwrap_or_default()))
        })
        .collect();
    assert!(inherited.is_empty(), "{inherited:?}");
    // Nobody else of the user reads the scheduler's environment: the kernel gives the file to root.
    assert_eq!(fs::metadata(format!("/proc/{}/environ", scheduler.id())).unwrap().uid(), 0);
    kill(scheduler.id());
    scheduler.wait().unwrap();
    until("the child ends with its scheduler", || !Path::new(&format!("/proc/{pid}")).exists());
}

/// Its Unix sockets, which are pairs that tokio makes; an inherited TCP socket is not among them.
fn own_sockets(pid: u32) -> Option<String> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/unix")).ok()?;
    Some(table.lines().skip(1).filter_map(|l| Some(format!("socket:[{}]", l.split_whitespace().nth(6)?))).collect())
}

fn a_remote_one_serves_by_its_socket() {
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("dagp.sock");
    let mut room = Room::new(&ParserConfig::Remote { socket: socket.clone(), patience: Duration::from_secs(20) });
    room.dag("a");
    let nobody = room.runtime.block_on(room.parser.refresh(room.folder.path(), &Snapshot::default())).unwrap_err();
    assert!(matches!(&nobody, Error::Connect { .. }) && nobody.to_string().contains("--listen unix:"), "{nobody}");
    let listener = UnixListener::bind(&socket).unwrap();
    let accept = |listener: &UnixListener, runtime: &tokio::runtime::Runtime| {
        let (stream, listener) = (listener.try_clone().unwrap(), listener.try_clone().unwrap());
        drop(stream);
        runtime.spawn(async move {
            let (stream, _) = tokio::task::spawn_blocking(move || listener.accept()).await.unwrap().unwrap();
            serve(stream.try_clone().unwrap(), stream, Err("no python here".to_owned())).await
        })
    };
    let serving = accept(&listener, &room.runtime);
    assert_eq!(short(&room.refresh().files), ["a.yaml: a (0)"]);
    assert_eq!(room.parser.status()["python"], "no python here");
    // It goes, another comes: everything is read again, nothing is lost.
    serving.abort();
    let _serving = accept(&listener, &room.runtime);
    room.dag("b");
    assert_eq!(short(&room.refresh().files), ["a.yaml: a (0)", "b.yaml: b (0)"]);
}

fn nonsense_is_given_up() {
    let command = ["/bin/sh", "-c", "read line; echo '{\"say\":\"file\",\"file\":{\"path\":\"../x\"}}'"].map(Into::into).to_vec();
    let room = Room::new(&ParserConfig::Child { command, patience: Duration::from_secs(5) });
    let Room { folder, runtime, mut parser } = room;
    let error = runtime.block_on(parser.refresh(folder.path(), &Snapshot::default())).unwrap_err();
    assert!(matches!(error, Error::Ended { times: 8, .. }), "{error}");
}
