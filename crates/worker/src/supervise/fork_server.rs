//! The process that forks supervisors: `updraft supervise ATTEMPTS`, with a socket to its worker as standard input.
//!
//! A program of this size takes a millisecond to begin: mapping, the dynamic loader, and some thirty `cpuid` instructions of the C library,
//! each of which a virtual machine hands to its host. A fork of one that has begun takes a fifth of that. The process has one thread, so a fork
//! of it is a whole process and may do what it likes, unlike a fork of the worker.
//!
//! Lines of text over the socket:
//!
//! ```text
//! worker → server   TOKEN NAME     fork a supervisor for the attempt with this folder
//! server → worker   +TOKEN         it was forked
//!                   !TOKEN ERRNO   it could not be
//!                   -TOKEN         it has ended
//! ```
//!
//! When the worker is gone the socket ends, and the server with it; supervisors live on. Nothing rests on what is said here: an attempt is
//! started at most once and its end is proved by its folder.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::exit;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, waitpid};

/// What the server says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Forked(u64),
    Failed(u64, i32),
    Ended(u64),
}

impl Answer {
    pub(crate) fn read(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_at_checked(1)?;
        match kind {
            "+" => Some(Self::Forked(rest.parse().ok()?)),
            "-" => Some(Self::Ended(rest.parse().ok()?)),
            "!" => {
                let (token, errno) = rest.split_once(' ')?;
                Some(Self::Failed(token.parse().ok()?, errno.parse().ok()?))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forked(token) => writeln!(f, "+{token}"),
            Self::Failed(token, errno) => writeln!(f, "!{token} {errno}"),
            Self::Ended(token) => writeln!(f, "-{token}"),
        }
    }
}

/// A supervisor. Its end of the pipe closes when it has recorded the end, or dies.
struct Child {
    pid: Pid,
    token: u64,
    alive: io::PipeReader,
}

/// Serves until the worker is gone.
pub(super) fn serve(attempts: &Path) -> io::Result<()> {
    super::close_inherited(None)?;
    // No terminal and no signal to the worker's group reaches it.
    let _own_session = rustix::process::setsid();
    #[cfg(target_os = "linux")]
    let _for_ps = rustix::thread::set_name(c"updraft-forks");
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // A supervisor that kept the socket would keep the worker from seeing that the server is gone.
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;

    let mut children: Vec<Child> = Vec::new();
    let mut unread = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let mut awaited = vec![PollFd::new(&socket, PollFlags::IN)];
        awaited.extend(children.iter().map(|child| PollFd::new(&child.alive, PollFlags::IN)));
        match poll(&mut awaited, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let mut ready = awaited.iter().map(|awaited| !awaited.revents().is_empty()).collect::<Vec<_>>().into_iter();
        let asked = ready.next() == Some(true);
        for child in children.extract_if(.., |_| ready.next() == Some(true)) {
            // First the news, which somebody waits for, then the rest of its exit.
            socket.write_all(Answer::Ended(child.token).to_string().as_bytes())?;
            while matches!(waitpid(Some(child.pid), WaitOptions::empty()), Err(Errno::INTR)) {}
        }
        if asked {
            match socket.read(&mut chunk)? {
                0 => return Ok(()),
                read => unread.extend_from_slice(&chunk[..read]),
            }
            while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = unread.drain(..=end).collect();
                let (token, name) = request(&line).ok_or(io::ErrorKind::InvalidData)?;
                let answer = match fork(&attempts.join(name)) {
                    Ok((pid, alive)) => {
                        children.push(Child { pid, token, alive });
                        Answer::Forked(token)
                    }
                    Err(error) => Answer::Failed(token, error.raw_os_error().unwrap_or(Errno::IO.raw_os_error())),
                };
                socket.write_all(answer.to_string().as_bytes())?;
            }
        }
    }
}

fn request(line: &[u8]) -> Option<(u64, &str)> {
    let (token, name) = std::str::from_utf8(line).ok()?.trim_end().split_once(' ')?;
    Some((token.parse().ok()?, name))
}

/// Forks a supervisor of the attempt in `dir`. Returns in the parent only.
fn fork(dir: &Path) -> io::Result<(Pid, io::PipeReader)> {
    let (alive, kept) = io::pipe()?;
    match fork::fork()? {
        fork::Fork::Parent(pid) => Ok((Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?, alive)),
        fork::Fork::Child => {
            // Neither a return nor a panic may take it back into the server's loop. `exit` drops nothing: what it has of the server's is
            // closed by descriptor.
            let code = catch_unwind(AssertUnwindSafe(|| {
                super::close_inherited(Some(kept.as_raw_fd())).map_or(super::BROKEN, |()| super::main_of(dir))
            }));
            // The end is recorded: whoever waits need not wait for the rest of the exit.
            drop(kept);
            exit(code.unwrap_or(super::BROKEN).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_they_are_written() {
        for answer in [Answer::Forked(0), Answer::Ended(7), Answer::Failed(u64::MAX, 11)] {
            let line = answer.to_string();
            assert_eq!(Answer::read(line.strip_suffix('\n').unwrap()), Some(answer));
        }
        for bad in ["", "+", "-x", "!1", "!1 x", "?1", "ä"] {
            assert_eq!(Answer::read(bad), None, "{bad:?}");
        }
    }
}
