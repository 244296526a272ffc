//! A tree of a commit → a folder that never changes.
//!
//! Not `git worktree`, which leaves half a tree under its final name when it is killed, and not `git archive`, which obeys attributes of the
//! commit (`export-ignore` hides files, `export-subst` changes them): the objects themselves, each written once, counted against git's own
//! list, made read-only, and only then named. What the folder does not take from the commit is a [`Note`].
//!
//! A commit is written by whoever may push, so nothing of it is believed: names may not climb, and a link may not lead out of the tree, by
//! whatever way round other links.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, BufWriter, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal};

use crate::Error;
use crate::command::Git;

/// Largest file that is taken: a DAG file is text.
const FILE_BYTES: u64 = 20 * 1024 * 1024;
/// Largest sum of all files.
const TREE_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Most files.
const TREE_FILES: usize = 200_000;
/// Longest target of a link.
const LINK_BYTES: u64 = 4096;
/// Most notes; a tree with more has one cause.
const NOTES: usize = 100;
/// How a pointer of Git LFS begins.
const LFS: &[u8] = b"version https://git-lfs";

/// A folder that holds one tree, complete and read-only.
#[derive(Debug)]
pub struct Tree {
    /// Git's id of the tree: equal ids are equal files.
    pub id: String,
    /// Where it is.
    pub folder: PathBuf,
    /// What was left out, or is not what it seems.
    pub notes: Vec<Note>,
}

/// Something about a file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Below the folder of the source.
    pub path: String,
    /// What, and what to do.
    pub message: String,
    /// Whether the file is not there at all.
    pub left_out: bool,
}

/// One line of git's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    mode: Mode,
    object: String,
    size: u64,
    path: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    File,
    Program,
    Link,
    Submodule,
}

/// Reads `git ls-tree -r -z -l --full-tree`.
pub(crate) fn entries(commit: &str, list: &[u8]) -> Result<Vec<Entry>, Error> {
    let refused = |why: String| Error::BadTree { commit: commit.to_owned(), why };
    let mut found = Vec::new();
    for line in list.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let odd = || refused(format!("git lists {:?}", String::from_utf8_lossy(line)));
        let tab = line.iter().position(|byte| *byte == b'\t').ok_or_else(odd)?;
        let path = PathBuf::from(OsStr::from_bytes(&line[tab + 1..]));
        let words: Vec<&str> = std::str::from_utf8(&line[..tab]).map_err(|_| odd())?.split_ascii_whitespace().collect();
        let [mode, _, object, size] = words[..] else { return Err(odd()) };
        let mode = match mode {
            "100644" | "100664" => Mode::File,
            "100755" => Mode::Program,
            "120000" => Mode::Link,
            "160000" => Mode::Submodule,
            _ => return Err(odd()),
        };
        let climbs = path.components().any(|part| match part {
            Component::Normal(name) => name.as_bytes().eq_ignore_ascii_case(b".git"),
            _ => true,
        });
        if climbs {
            return Err(refused(format!("it has a file named {}", path.display())));
        }
        found.push(Entry { mode, object: object.to_owned(), size: size.parse().unwrap_or(0), path });
    }
    let taken: u64 = found.iter().map(|entry| entry.size).filter(|size| *size <= FILE_BYTES).sum();
    if found.len() > TREE_FILES || taken > TREE_BYTES {
        let why = format!("{} files with {} MB are more than DAGs need: name their folder after #", found.len(), taken / 1_000_000);
        return Err(refused(why));
    }
    Ok(found)
}

/// Makes `folder` of the entries, by way of `temporary`, which must be on the same file system and not be there. Blocks.
pub(crate) fn make(git: &Git, commit: &str, id: &str, entries: &[Entry], temporary: &Path, folder: &Path) -> Result<Tree, Error> {
    let made = Maker { root: temporary, commit, notes: Vec::new() }.fill(git, entries).and_then(|notes| {
        fs::rename(temporary, folder).map_err(Error::io("rename", temporary))?;
        // Only now: a folder that may not be written cannot be renamed on every system.
        read_only(folder).map_err(Error::io("make read-only", folder))?;
        Ok(Tree { id: id.to_owned(), folder: folder.to_owned(), notes })
    });
    if made.is_err() {
        let _ = remove(temporary);
    }
    made
}

/// Removes a read-only folder.
pub(crate) fn remove(folder: &Path) -> std::io::Result<()> {
    let mut queue = vec![folder.to_owned()];
    while let Some(at) = queue.pop() {
        fs::set_permissions(&at, fs::Permissions::from_mode(0o755))?;
        for entry in fs::read_dir(&at)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                queue.push(entry.path());
            }
        }
    }
    fs::remove_dir_all(folder)
}

struct Maker<'a> {
    root: &'a Path,
    commit: &'a str,
    notes: Vec<Note>,
}

impl Maker<'_> {
    fn fill(mut self, git: &Git, entries: &[Entry]) -> Result<Vec<Note>, Error> {
        fs::create_dir(self.root).map_err(Error::io("make", self.root))?;
        let mut files = Vec::new();
        let mut links = Vec::new();
        for entry in entries {
            match entry.mode {
                Mode::Submodule => {
                    self.note(&entry.path, "it is a submodule, which is not fetched: put its files into the repository", true)
                }
                _ if entry.size > FILE_BYTES => {
                    let why = format!("it has {} MB: files over {} MB are left out", entry.size / 1_000_000, FILE_BYTES / 1024 / 1024);
                    self.note(&entry.path, why, true);
                }
                Mode::Link if entry.size > LINK_BYTES => self.note(&entry.path, "its target is too long: it is left out", true),
                Mode::Link => links.push(entry),
                Mode::File | Mode::Program => files.push(entry),
            }
        }
        // Links last: while files are written there is nothing that could lead a path elsewhere.
        let wanted: Vec<&Entry> = files.iter().chain(&links).copied().collect();
        let mut targets = Vec::new();
        read_objects(git, &wanted, |entry, content| self.take(entry, content, &mut targets))?;
        self.verify(&files)?;
        self.link(targets)?;
        Ok(self.notes)
    }

    fn note(&mut self, path: &Path, message: impl Into<String>, left_out: bool) {
        if self.notes.len() < NOTES {
            self.notes.push(Note { path: path.to_string_lossy().into_owned(), message: message.into(), left_out });
        }
    }

    fn take(&mut self, entry: &Entry, content: &mut dyn Read, targets: &mut Vec<(PathBuf, PathBuf)>) -> Result<(), Error> {
        let path = self.root.join(&entry.path);
        let failed = |source| Error::Io { what: "write", path: path.clone(), source };
        if entry.mode == Mode::Link {
            let mut target = Vec::new();
            content.read_to_end(&mut target).map_err(failed)?;
            targets.push((entry.path.clone(), PathBuf::from(OsStr::from_bytes(&target))));
            return Ok(());
        }
        if let Some(above) = path.parent() {
            fs::create_dir_all(above).map_err(failed)?;
        }
        let mode = if entry.mode == Mode::Program { 0o755 } else { 0o644 };
        // New or not at all: two names that this file system takes for one are a mistake, not a race.
        let mut file = fs::File::options().write(true).create_new(true).mode(mode).open(&path).map_err(failed)?;
        let mut start = Vec::new();
        (&mut *content).take(LFS.len() as u64).read_to_end(&mut start).map_err(failed)?;
        if start == LFS {
            self.note(&entry.path, "it is a pointer of Git LFS, not the file: LFS is not fetched, put the file into the repository", false);
        }
        file.write_all(&start).map_err(failed)?;
        std::io::copy(content, &mut file).map_err(failed)?;
        Ok(())
    }

    /// Every file is there, with the length that git lists, and no other.
    fn verify(&self, files: &[&Entry]) -> Result<(), Error> {
        let torn = |why: String| Error::BadTree { commit: self.commit.to_owned(), why };
        for entry in files {
            let path = self.root.join(&entry.path);
            let meta = fs::symlink_metadata(&path).map_err(Error::io("look at", &path))?;
            if !meta.is_file() || meta.len() != entry.size {
                return Err(torn(format!("{} has {} bytes here and {} in git", entry.path.display(), meta.len(), entry.size)));
            }
        }
        let mut count = 0;
        let mut queue = vec![self.root.to_owned()];
        while let Some(at) = queue.pop() {
            for entry in fs::read_dir(&at).map_err(Error::io("read", &at))? {
                let entry = entry.map_err(Error::io("read", &at))?;
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => queue.push(entry.path()),
                    _ => count += 1,
                }
            }
        }
        if count != files.len() {
            return Err(torn(format!("{count} files are here and {} in git", files.len())));
        }
        Ok(())
    }

    /// Makes the links, then takes away those that lead out. The way of a link is known only when all are there: `a/b/..` is the parent of
    /// whatever `a/b` leads to. One that is taken away may leave another without an end, so it goes on until all that stay are good.
    fn link(&mut self, targets: Vec<(PathBuf, PathBuf)>) -> Result<(), Error> {
        let root = self.root.canonicalize().map_err(Error::io("find", self.root))?;
        let mut made = Vec::new();
        for (path, target) in targets {
            if target.is_absolute() {
                self.note(&path, format!("it is a link to {}, out of the repository's folder: it is left out", target.display()), true);
                continue;
            }
            let full = root.join(&path);
            if let Some(above) = full.parent() {
                fs::create_dir_all(above).map_err(Error::io("make", above))?;
            }
            symlink(&target, &full).map_err(Error::io("make the link", &full))?;
            made.push((path, target));
        }
        loop {
            let before = made.len();
            let mut kept = Vec::with_capacity(before);
            for (path, target) in made {
                let full = root.join(&path);
                if full.canonicalize().is_ok_and(|end| end.starts_with(&root)) {
                    kept.push((path, target));
                } else {
                    fs::remove_file(&full).map_err(Error::io("remove the link", &full))?;
                    let why = format!("it is a link to {}, out of the repository's folder or to nothing: it is left out", target.display());
                    self.note(&path, why, true);
                }
            }
            if kept.len() == before {
                return Ok(());
            }
            made = kept;
        }
    }
}

/// Hands each object to `take`, by one `git cat-file` for all.
fn read_objects(git: &Git, wanted: &[&Entry], mut take: impl FnMut(&Entry, &mut dyn Read) -> Result<(), Error>) -> Result<(), Error> {
    if wanted.is_empty() {
        return Ok(());
    }
    let repository = git.repository().to_owned();
    let io = |source| Error::Io { what: "read the objects of", path: repository.clone(), source };
    let ended = || io(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "git cat-file ended early"));
    let mut command = git.command(&["cat-file", "--batch", "--buffer"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(io)?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let read = std::thread::scope(|scope| {
        // Asked from a thread of its own: with both pipes full, one that asks and reads by turns would wait for ever.
        scope.spawn(move || {
            let Some(stdin) = stdin else { return };
            let mut asks = BufWriter::new(stdin);
            // It ends early when the reader below gives up.
            let _ = wanted.iter().try_for_each(|entry| writeln!(asks, "{}", entry.object)).and_then(|()| asks.flush());
        });
        let mut answers = BufReader::new(stdout.ok_or_else(ended)?);
        let read = wanted.iter().try_for_each(|entry| {
            let mut head = String::new();
            (&mut answers).take(256).read_line(&mut head).map_err(io)?;
            if head.trim_end() != format!("{} blob {}", entry.object, entry.size) {
                return Err(if head.is_empty() {
                    ended()
                } else {
                    io(std::io::Error::other(format!("git answered {:?}", head.trim_end())))
                });
            }
            let mut content = (&mut answers).take(entry.size);
            take(entry, &mut content)?;
            if content.limit() != 0 {
                return Err(ended());
            }
            answers.read_exact(&mut [0]).map_err(io)
        });
        if read.is_err() {
            // The asker hangs on a full pipe until its reader is gone.
            if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
                let _ = rustix::process::kill_process_group(group, Signal::KILL);
            }
        }
        read
    });
    let _ = child.wait();
    read
}

fn read_only(folder: &Path) -> std::io::Result<()> {
    let mut queue = vec![folder.to_owned()];
    while let Some(at) = queue.pop() {
        for entry in fs::read_dir(&at)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                queue.push(entry.path());
            } else if kind.is_file() {
                let writable = entry.metadata()?.permissions().mode();
                fs::set_permissions(entry.path(), fs::Permissions::from_mode(writable & 0o111 | 0o444))?;
            }
        }
        fs::set_permissions(&at, fs::Permissions::from_mode(0o555))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_climb_are_refused() {
        let line = |path: &str| format!("100644 blob {} 3\t{path}\0", "a".repeat(40)).into_bytes();
        assert_eq!(entries("c", &line("a/b.py")).unwrap()[0].path, Path::new("a/b.py"));
        for bad in ["../x", "/etc/passwd", "a/../../x", ".git/hooks/x", "a/.GIT/config"] {
            let error = entries("abc", &line(bad)).unwrap_err().to_string();
            assert!(error.starts_with("commit abc is refused") && error.contains(bad), "{error}");
        }
        assert!(entries("c", b"nonsense\0").is_err());
    }
}
