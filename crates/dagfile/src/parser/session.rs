//! The scheduler's side of a dag-processor: asks, listens, starts it anew when it dies, and finds the file that it died of.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tracing::{info, warn};

use crate::ignore::IgnoreSyntax;
use crate::loader::{Changes, FileResult};
use crate::parser::Error;
use crate::parser::wire::{Done, LINE_BYTES, Reply, Request};
use crate::python::Snapshot;
use crate::sandbox;

/// Deaths in one refresh before it is given up: enough to find some files that cause them.
const DEATHS: u32 = 8;
/// Deaths over one file before that is set aside.
const STRIKES: u32 = 2;
/// Shortest and longest pause before it is started again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// Most files of an answer: more than a folder may have.
const FILES: usize = 250_000;
/// Of our environment, what a child gets: where programs are, and where temporary files may be.
const PASSED_ON: &[&str] = &["PATH", "TMPDIR"];

#[derive(Debug)]
enum Target {
    Child(Vec<OsString>),
    Remote(PathBuf),
}

#[derive(Debug)]
pub(super) struct Session {
    target: Target,
    name: String,
    syntax: IgnoreSyntax,
    patience: Duration,
    link: Option<Link>,
    files: BTreeMap<String, FileResult>,
    /// How often the dag-processor died of a file with this hash.
    strikes: BTreeMap<(String, String), u32>,
    distrust: bool,
    /// Whether somebody ended it while it read several files, and it has not answered since.
    one_by_one: bool,
    next_id: u64,
    starts: u64,
    python: Value,
}

/// A dag-processor that is there. Closing it is its sign to end.
struct Link {
    input: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    output: BufReader<Box<dyn AsyncRead + Send + Sync + Unpin>>,
    child: Option<Child>,
    /// Whether it has answered: before, its memory is empty.
    warm: bool,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("child", &self.child).field("warm", &self.warm).finish_non_exhaustive()
    }
}

/// Why there was no answer.
enum Silence {
    /// It is gone, or talks nonsense; the files that it was reading, with their hashes.
    Broken { why: String, suspects: BTreeMap<String, String> },
    /// It said that it cannot.
    Refused(String),
}

impl Session {
    pub(super) fn child(name: &str, command: Vec<OsString>, syntax: IgnoreSyntax, patience: Duration) -> Self {
        // Its user is ours: what is in our environment must not be found by way of /proc.
        sandbox::become_unreadable();
        Self::new(name, Target::Child(command), syntax, patience)
    }

    pub(super) fn remote(name: &str, socket: PathBuf, syntax: IgnoreSyntax, patience: Duration) -> Self {
        Self::new(name, Target::Remote(socket), syntax, patience)
    }

    fn new(name: &str, target: Target, syntax: IgnoreSyntax, patience: Duration) -> Self {
        Self {
            target,
            name: name.to_owned(),
            syntax,
            patience,
            link: None,
            files: BTreeMap::new(),
            strikes: BTreeMap::new(),
            distrust: false,
            one_by_one: false,
            next_id: 0,
            starts: 0,
            python: Value::Null,
        }
    }

    pub(super) fn results(&self) -> impl Iterator<Item = &FileResult> {
        self.files.values()
    }

    pub(super) fn distrust(&mut self) {
        self.distrust = true;
    }

    pub(super) fn status(&self) -> Value {
        let aside: Vec<&str> = self.strikes.iter().filter(|(_, n)| **n >= STRIKES).map(|((path, _), _)| path.as_str()).collect();
        json!({"python": self.python, "dag_processor": {"starts": self.starts, "set_aside": aside}})
    }

    pub(super) async fn refresh(&mut self, root: &Path, snapshot: &Snapshot) -> Result<Changes, Error> {
        let mut deaths = 0;
        loop {
            let (mut link, fresh) = match self.link.take() {
                Some(link) => {
                    let fresh = !link.warm;
                    (link, fresh)
                }
                None => (self.connect().await?, true),
            };
            self.next_id += 1;
            let request = Request {
                id: self.next_id,
                name: self.name.clone(),
                root: root.to_owned(),
                syntax: self.syntax,
                snapshot: snapshot.clone(),
                set_aside: self.strikes.iter().filter(|(_, n)| **n >= STRIKES).map(|(file, _)| file.clone()).collect(),
                distrust: self.distrust,
                one_by_one: self.one_by_one,
            };
            match link.ask(&request, self.patience).await {
                Ok((done, files)) => {
                    link.warm = true;
                    self.link = Some(link);
                    return Ok(self.take(done, files, fresh));
                }
                Err(Silence::Refused(message)) => {
                    self.link = Some(link);
                    return Err(Error::Read(message));
                }
                Err(Silence::Broken { why, suspects }) => {
                    let status = link.end().await;
                    deaths += 1;
                    let names: Vec<&str> = suspects.keys().map(String::as_str).collect();
                    let reading = if names.is_empty() { String::new() } else { format!(" while it read {}", names.join(", ")) };
                    warn!("the dag-processor ended{reading}: {why}{status}");
                    // Of several, one is to blame: read one by one, it shows.
                    self.one_by_one |= suspects.len() > 1;
                    if suspects.len() == 1 {
                        for file in suspects {
                            *self.strikes.entry(file).or_default() += 1;
                        }
                    }
                    if deaths >= DEATHS {
                        return Err(Error::Ended { times: deaths, why: format!("{why}{status}") });
                    }
                    tokio::time::sleep(PAUSES.0.saturating_mul(1 << deaths.min(10)).min(PAUSES.1)).await;
                }
            }
        }
    }

    fn take(&mut self, done: Done, files: Vec<FileResult>, fresh: bool) -> Changes {
        self.distrust = false;
        self.one_by_one = false;
        self.python = done.python;
        let mut changes = Changes {
            files,
            removed: done.removed,
            unchanged: done.unchanged,
            problems: done.problems,
            notes: done.notes,
            emptied: done.emptied,
        };
        if fresh {
            // It remembers nothing, so what has gone since the last one is for us to find.
            let now: BTreeMap<String, FileResult> = changes.files.iter().map(|file| (file.path.clone(), file.clone())).collect();
            changes.emptied = now.is_empty() && !self.files.is_empty();
            if changes.problems.is_empty() {
                changes.removed = self.files.keys().filter(|path| !now.contains_key(*path)).cloned().collect();
                self.files = now;
            } else {
                self.files.extend(now);
            }
        } else {
            for path in &changes.removed {
                self.files.remove(path);
            }
            self.files.extend(changes.files.iter().map(|file| (file.path.clone(), file.clone())));
        }
        // A file that has changed gets another chance.
        let files = &self.files;
        self.strikes.retain(|(path, hash), _| files.get(path).is_some_and(|file| file.hash == *hash));
        changes
    }

    async fn connect(&mut self) -> Result<Link, Error> {
        self.starts += 1;
        match &self.target {
            Target::Child(words) => {
                let program = words.first().cloned().unwrap_or_default();
                let failed = |source| Error::Start { program: program.clone(), source };
                let mut command = Command::new(&program);
                command.args(words.iter().skip(1)).current_dir("/").env_clear();
                command.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
                command.env("LANG", "C.UTF-8").env("TZ", "UTC");
                // A group of its own: Ctrl-C is for us, and it ends when we close its input.
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
                let mut child = command.spawn().map_err(failed)?;
                let missing = || failed(std::io::Error::other("a pipe is missing"));
                let input = Box::new(child.stdin.take().ok_or_else(missing)?);
                let output = child.stdout.take().ok_or_else(missing)?;
                info!(pid = child.id(), "started the dag-processor");
                Ok(Link { input, output: BufReader::new(Box::new(output)), child: Some(child), warm: false })
            }
            Target::Remote(socket) => {
                let stream = UnixStream::connect(socket).await.map_err(|source| Error::Connect { socket: socket.clone(), source })?;
                let (output, input) = stream.into_split();
                Ok(Link { input: Box::new(input), output: BufReader::new(Box::new(output)), child: None, warm: false })
            }
        }
    }
}

impl Link {
    async fn ask(&mut self, request: &Request, patience: Duration) -> Result<(Done, Vec<FileResult>), Silence> {
        let mut suspects = BTreeMap::new();
        let answer = self.talk(request, patience, &mut suspects).await;
        answer.map_err(|silence| match silence {
            Silence::Broken { why, .. } => Silence::Broken { why, suspects },
            other @ Silence::Refused(_) => other,
        })
    }

    async fn talk(
        &mut self,
        request: &Request,
        patience: Duration,
        suspects: &mut BTreeMap<String, String>,
    ) -> Result<(Done, Vec<FileResult>), Silence> {
        let broken = |why: String| Silence::Broken { why, suspects: BTreeMap::new() };
        let mut line = serde_json::to_vec(request).map_err(|error| Silence::Refused(error.to_string()))?;
        line.push(b'\n');
        let told = tokio::time::timeout(patience, self.input.write_all(&line)).await;
        told.map_err(|_| broken("it does not listen".to_owned()))?.map_err(|error| broken(error.to_string()))?;
        let mut files = Vec::new();
        loop {
            let mut line = Vec::new();
            let read = tokio::time::timeout(patience, (&mut self.output).take(LINE_BYTES).read_until(b'\n', &mut line)).await;
            read.map_err(|_| broken(format!("it said nothing for {} s", patience.as_secs())))?
                .map_err(|error| broken(error.to_string()))?;
            if line.last() != Some(&b'\n') {
                return Err(broken("its output ended".to_owned()));
            }
            match serde_json::from_slice(&line).map_err(|error| broken(format!("it talks nonsense: {error}")))? {
                Reply::Reading { path, hash } => {
                    suspects.insert(path, hash);
                }
                Reply::Read { path } => {
                    suspects.remove(&path);
                }
                Reply::File { file } if files.len() < FILES => files.push(checked(*file).map_err(broken)?),
                Reply::File { .. } => return Err(broken(format!("more than {FILES} files"))),
                Reply::Done(done) if done.id == request.id && done.removed.iter().all(|path| is_below(path)) => return Ok((*done, files)),
                Reply::Failed { id, message } if id == request.id => return Err(Silence::Refused(message)),
                Reply::Done(_) | Reply::Failed { .. } => return Err(broken("it answers another question".to_owned())),
            }
        }
    }

    /// Ends what is left of it, and says how it went.
    async fn end(mut self) -> String {
        let Some(mut child) = self.child.take() else { return String::new() };
        // It may be on its way; its own word for why is better than our signal.
        let status = match tokio::time::timeout(Duration::from_millis(500), child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                let _ = child.start_kill();
                child.wait().await
            }
        };
        status.map(|status| format!(" ({status})")).unwrap_or_default()
    }
}

/// A path that stays below the folder: we will read what it names.
fn is_below(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// Nothing of an answer is believed: a file may have had the dag-processor in its hands.
fn checked(mut file: FileResult) -> Result<FileResult, String> {
    if !is_below(&file.path) {
        return Err(format!("it names the file {:?}", file.path));
    }
    for dag in &mut file.dags {
        Arc::make_mut(dag).validate().map_err(|error| format!("{} has a DAG that is none: {error}", file.path))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_may_not_name_what_is_elsewhere() {
        for path in ["../x", "/proc/self/environ", "a/../../x", ""] {
            assert!(checked(FileResult { path: path.to_owned(), ..FileResult::default() }).is_err(), "{path}");
        }
        assert!(checked(FileResult { path: "a/b.yaml".to_owned(), ..FileResult::default() }).is_ok());
    }
}
