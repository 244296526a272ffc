//! What is in a DAG folder: which files may hold DAGs, and the hash of each.
//!
//! Hidden folders, `__pycache__` and what `.airflowignore` names are left out; links are followed, but never in a circle. A file that
//! changes while it is read is read again. What cannot be read is a problem of the scan, and a scan with problems is not complete: nobody
//! may conclude from it that a file is gone.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::diagnostic::{Diagnostic, Kind};
use crate::ignore::{Ignore, IgnoreSyntax};

/// Deepest nesting of folders.
const MAX_DEPTH: usize = 64;
/// Most files of one scan.
const MAX_FILES: usize = 200_000;
/// A file younger than this at its scan may have changed again within the clock's grain: its hash is not trusted a second time.
const GRAIN: Duration = Duration::from_secs(2);

/// What a file may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `.py`
    Python,
    /// `.yaml`, `.yml`, `.json`
    Yaml,
}

impl Language {
    /// By the end of the name.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "py" => Some(Self::Python),
            "yaml" | "yml" | "json" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// SHA-256 of a file.
pub type Hash = [u8; 32];

/// One file that may hold DAGs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Relative to the root, with `/`.
    pub path: String,
    /// What it may hold.
    pub language: Language,
    /// Of its content.
    pub hash: Hash,
    /// Its length in bytes.
    pub size: u64,
    /// When its content last changed, as the file system says.
    pub modified: SystemTime,
    /// Device, inode, change time: what tells without reading that nothing changed.
    stamp: (u64, u64, i64, i64),
    settled: bool,
}

/// A folder at one time.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// Its files by relative path.
    pub files: BTreeMap<String, FileEntry>,
    /// What could not be read. Not empty: the scan is not complete.
    pub problems: Vec<Diagnostic>,
    /// What is odd but does not make the scan incomplete: lines of `.airflowignore` that are no pattern, links in a circle.
    pub notes: Vec<Diagnostic>,
}

/// A folder that cannot be scanned at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the DAG folder {root}")]
pub struct RootError {
    /// The folder.
    pub root: PathBuf,
    /// Why not.
    #[source]
    pub source: std::io::Error,
}

struct Folder {
    path: PathBuf,
    relative: String,
    ignores: Vec<(usize, Ignore)>,
    /// Device and inode of this folder and those above: a link to one of them is a circle.
    above: HashSet<(u64, u64)>,
    depth: usize,
}

/// Scans `root`. Hashes of files that `before` has with the same stamp are taken from there.
pub fn scan(root: &Path, syntax: IgnoreSyntax, before: Option<&Scan>) -> Result<Scan, RootError> {
    let fail = |source| RootError { root: root.to_owned(), source };
    let meta = fs::metadata(root).map_err(fail)?;
    fs::read_dir(root).map_err(fail)?;
    let mut found = Scan::default();
    let above = HashSet::from([(meta.dev(), meta.ino())]);
    let mut queue = vec![Folder { path: root.to_owned(), relative: String::new(), ignores: Vec::new(), above, depth: 0 }];
    while let Some(folder) = queue.pop() {
        let entries = match fs::read_dir(&folder.path) {
            Ok(entries) => entries,
            Err(error) => {
                let name = if folder.relative.is_empty() { "." } else { folder.relative.trim_end_matches('/') };
                found.problems.push(Diagnostic::new(name, Kind::Io, format!("the folder cannot be read: {error}")));
                continue;
            }
        };
        let mut ignores = folder.ignores.clone();
        read_ignore(&folder, syntax, &mut ignores, &mut found);
        for entry in entries {
            let name = match &entry {
                Ok(entry) => entry.file_name(),
                Err(error) => {
                    found.problems.push(Diagnostic::new(folder.relative.as_str(), Kind::Io, format!("the folder cannot be read: {error}")));
                    continue;
                }
            };
            let Some(name) = name.to_str() else {
                let shown = format!("{}{}", folder.relative, name.to_string_lossy());
                found.notes.push(Diagnostic::new(shown, Kind::Io, "the name of this file is not UTF-8: it is left out"));
                continue;
            };
            if name.starts_with('.') || name == "__pycache__" {
                continue;
            }
            let path = folder.path.join(name);
            let relative = format!("{}{name}", folder.relative);
            let meta = match fs::metadata(&path) {
                Ok(meta) => meta,
                // A link to nothing, or a file that went just now.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    found.problems.push(Diagnostic::new(relative, Kind::Io, format!("it cannot be read: {error}")));
                    continue;
                }
            };
            let ignored = ignores.iter().rev().find_map(|(skip, ignore)| ignore.says(&relative[*skip..], meta.is_dir())).unwrap_or(false);
            if ignored {
                continue;
            }
            if meta.is_dir() {
                let own = (meta.dev(), meta.ino());
                if folder.above.contains(&own) || folder.depth >= MAX_DEPTH {
                    found.notes.push(Diagnostic::new(
                        relative,
                        Kind::Io,
                        "this folder leads back to one above it, or is too deep: it is left out",
                    ));
                    continue;
                }
                let mut above = folder.above.clone();
                above.insert(own);
                let relative = format!("{relative}/");
                queue.push(Folder { path, relative, ignores: ignores.clone(), above, depth: folder.depth + 1 });
            } else if meta.is_file()
                && let Some(language) = Language::of(&path)
            {
                if found.files.len() >= MAX_FILES {
                    found.problems.push(Diagnostic::new(relative, Kind::TooLarge, format!("the folder has more than {MAX_FILES} files")));
                    return Ok(found);
                }
                match file(&path, &relative, language, &meta, before) {
                    Ok(entry) => {
                        found.files.insert(relative, entry);
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => found.problems.push(Diagnostic::new(relative, Kind::Io, format!("the file cannot be read: {error}"))),
                }
            }
        }
    }
    Ok(found)
}

fn read_ignore(folder: &Folder, syntax: IgnoreSyntax, ignores: &mut Vec<(usize, Ignore)>, found: &mut Scan) {
    let name = format!("{}.airflowignore", folder.relative);
    match fs::read(folder.path.join(".airflowignore")) {
        Ok(bytes) => {
            let (ignore, bad) = Ignore::parse(&String::from_utf8_lossy(&bytes), syntax);
            for (line, message) in bad {
                found.notes.push(Diagnostic { line: Some(line), ..Diagnostic::new(name.as_str(), Kind::Syntax, message) });
            }
            ignores.push((folder.relative.len(), ignore));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => found.problems.push(Diagnostic::new(name, Kind::Io, format!("the file cannot be read: {error}"))),
    }
}

fn stamp(meta: &fs::Metadata) -> (u64, u64, i64, i64) {
    (meta.dev(), meta.ino(), meta.ctime(), meta.ctime_nsec())
}

fn file(path: &Path, relative: &str, language: Language, meta: &fs::Metadata, before: Option<&Scan>) -> std::io::Result<FileEntry> {
    let known = before.and_then(|scan| scan.files.get(relative));
    if let Some(known) = known.filter(|known| known.settled && known.stamp == stamp(meta) && known.size == meta.len()) {
        return Ok(known.clone());
    }
    let mut meta = meta.clone();
    for _ in 0..5 {
        let hash = hash_file(path)?;
        let after = fs::metadata(path)?;
        let stable = stamp(&after) == stamp(&meta) && after.len() == meta.len();
        meta = after;
        if stable {
            let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(meta.ctime().try_into().unwrap_or(0));
            let settled = changed.elapsed().is_ok_and(|age| age > GRAIN);
            return Ok(FileEntry { path: relative.to_owned(), language, hash, size: meta.len(), modified, stamp: stamp(&meta), settled });
        }
    }
    Err(std::io::Error::other("it changes faster than it can be read"))
}

/// SHA-256 of a file's content, read in pieces.
pub(crate) fn hash_file(path: &Path) -> std::io::Result<Hash> {
    let mut hasher = Sha256::new();
    let mut file = fs::File::open(path)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer)?;
        if read == 0 {
            return Ok(hasher.finalize().into());
        }
        hasher.update(&buffer[..read]);
    }
}

/// The hash in hex.
pub fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(scan: &Scan) -> Vec<&str> {
        scan.files.keys().map(String::as_str).collect()
    }

    #[test]
    fn a_scan_finds_dag_files_and_leaves_the_rest() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for path in [
            "a.py",
            "b/c.yaml",
            "b/d.yml",
            "b/e.json",
            "notes.txt",
            ".git/x.py",
            "__pycache__/a.py",
            "old/z.py",
            "b/skip.py",
            "b/keep/skip.py",
        ] {
            put(path, path);
        }
        put(".airflowignore", "old/\n");
        put("b/.airflowignore", "skip.py\n!keep/skip.py\n");
        std::os::unix::fs::symlink(root.path(), root.path().join("b/loop")).unwrap();
        std::os::unix::fs::symlink("/nowhere", root.path().join("dangling.py")).unwrap();
        let first = scan(root.path(), IgnoreSyntax::Glob, None).unwrap();
        assert_eq!(names(&first), ["a.py", "b/c.yaml", "b/d.yml", "b/e.json", "b/keep/skip.py"]);
        assert!(first.problems.is_empty(), "{:?}", first.problems);
        assert_eq!(first.notes[0].file, "b/loop");

        // Same length within the same second: the change is seen.
        put("a.py", "b.py");
        let second = scan(root.path(), IgnoreSyntax::Glob, Some(&first)).unwrap();
        assert_ne!(first.files["a.py"].hash, second.files["a.py"].hash);
        assert_eq!(first.files["b/c.yaml"].hash, second.files["b/c.yaml"].hash);
        assert!(scan(&root.path().join("missing"), IgnoreSyntax::Glob, None).is_err());
    }
}
