//! The worker's side of the fork server: a process that forks a supervisor for each attempt (`crate::supervise::fork_server` is the other
//! side, and has the words that the two exchange).
//!
//! It is started with the first attempt, and again whenever it is found gone. Nothing depends on it but the start of supervisors and the
//! early news of their end: who waits looks at the evidence on disk, whatever happens here.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot, watch};

use crate::supervise::fork_server::Answer;

/// What of the worker's own environment a command gets, unless its task asks for an empty one. Credentials are not among it.
const INHERITED: [&str; 8] = ["PATH", "HOME", "LANG", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR"];

/// Forks supervisors.
#[derive(Debug)]
pub(super) struct ForkServer {
    /// The program and its first arguments; the folder of all attempts is added.
    program: (PathBuf, Vec<OsString>),
    attempts: PathBuf,
    requests: Mutex<Option<mpsc::UnboundedSender<Request>>>,
}

/// One supervisor to be forked.
#[derive(Debug)]
struct Request {
    name: String,
    told: oneshot::Sender<io::Result<()>>,
    running: watch::Sender<()>,
}

/// A supervisor as its server tells of it.
#[derive(Debug)]
struct Child {
    /// Until it was said whether it was forked.
    told: Option<oneshot::Sender<io::Result<()>>>,
    /// Dropped at its end.
    _running: watch::Sender<()>,
}

impl ForkServer {
    pub(super) fn new(program: (PathBuf, Vec<OsString>), attempts: PathBuf) -> Self {
        Self { program, attempts, requests: Mutex::new(None) }
    }

    /// Forks a supervisor for the attempt with this folder. The channel closes when the supervisor has ended, or nobody can tell any more.
    ///
    /// # Errors
    /// No supervisor was forked; or the server was killed in the middle of it, and perhaps one was.
    pub(super) async fn fork(&self, name: String) -> io::Result<watch::Receiver<()>> {
        let (told, answer) = oneshot::channel();
        let (running, ended) = watch::channel(());
        self.send(Request { name, told, running })?;
        answer.await.map_err(|_gone| io::Error::new(io::ErrorKind::BrokenPipe, "the process that forks supervisors was killed"))??;
        Ok(ended)
    }

    fn send(&self, request: Request) -> io::Result<()> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let live = match requests.take().filter(|live| !live.is_closed()) {
            Some(live) => live,
            None => self.start()?,
        };
        requests.insert(live).send(request).map_err(|_gone| io::ErrorKind::BrokenPipe.into())
    }

    /// Starts a server, and the task that talks to it. It ends when its last connection does: with this process, or this value.
    fn start(&self) -> io::Result<mpsc::UnboundedSender<Request>> {
        let (ours, theirs) = UnixStream::pair()?;
        let theirs = theirs.into_std()?;
        theirs.set_nonblocking(false)?;
        let (program, arguments) = &self.program;
        let mut command = std::process::Command::new(program);
        std::os::unix::process::CommandExt::arg0(&mut command, "updraft");
        // Its environment is what the commands may inherit: the worker's credentials are not even in its memory.
        command.args(arguments).arg(&self.attempts).env_clear();
        command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = Command::from(command).kill_on_drop(false).spawn()?;
        let (send, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            if let Err(error) = talk(ours, requests).await {
                tracing::warn!(%error, "lost the process that forks supervisors; the next attempt starts another, and those that run go on");
            }
            if let Err(error) = server.wait().await {
                tracing::error!(%error, "waiting for the process that forks supervisors failed");
            }
        });
        Ok(send)
    }
}

/// Until nobody forks any more, or the server is gone: an error.
async fn talk(socket: UnixStream, mut requests: mpsc::UnboundedReceiver<Request>) -> io::Result<()> {
    let (answers, mut wire) = socket.into_split();
    let mut answers = BufReader::new(answers).lines();
    let mut children: HashMap<u64, Child> = HashMap::new();
    let mut tokens = 0..;
    loop {
        tokio::select! {
            request = requests.recv() => {
                let Some(Request { name, told, running }) = request else { return Ok(()) };
                let token = tokens.next().unwrap_or_default();
                children.insert(token, Child { told: Some(told), _running: running });
                wire.write_all(format!("{token} {name}\n").as_bytes()).await?;
            }
            line = answers.next_line() => {
                let line = line?.ok_or(io::ErrorKind::UnexpectedEof)?;
                let (told, answer) = match Answer::read(&line).ok_or(io::ErrorKind::InvalidData)? {
                    Answer::Forked(token) => (children.get_mut(&token).and_then(|child| child.told.take()), Ok(())),
                    Answer::Failed(token, errno) => {
                        (children.remove(&token).and_then(|child| child.told), Err(io::Error::from_raw_os_error(errno)))
                    }
                    Answer::Ended(token) => {
                        children.remove(&token);
                        continue;
                    }
                };
                if let Some(told) = told {
                    let _nobody_waits_any_more = told.send(answer);
                }
            }
        }
    }
}
