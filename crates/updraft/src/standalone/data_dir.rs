//! The folder of everything that must survive, and its lock: one standalone at a time.

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::fs::FlockOperation;
use rustix::process::{Pid, test_kill_process};
use sha2::{Digest as _, Sha256};
use updraft_store::Keyring;

/// The locked data folder.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    /// Held while this process lives: whoever has it knows that every earlier standalone of this folder is dead.
    _lock: fs::File,
}

impl DataDir {
    /// Opens and locks it. Without a wish it is a folder of its own for each DAG folder, so that two projects do not meet.
    pub(super) fn open(wish: Option<&Path>, dags: &Path) -> anyhow::Result<Self> {
        let path = match wish {
            Some(path) => std::path::absolute(path)?,
            None => default_base()?.join(name_of(dags)),
        };
        // Others may pass through (the server's user has a folder in here), but not look.
        fs::DirBuilder::new().mode(0o711).recursive(true).create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let file = path.join("lock");
        let mut lock = fs::File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&file)
            .with_context(|| format!("cannot write {}", file.display()))?;
        let begin = Instant::now();
        while rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut owner = String::new();
            lock.rewind()?;
            let _ = lock.read_to_string(&mut owner);
            // A process that was killed while it started another leaves the lock with that one until it has become its program.
            let gone = owner.trim().parse().ok().and_then(Pid::from_raw).is_none_or(|pid| test_kill_process(pid).is_err());
            if gone && begin.elapsed() < Duration::from_secs(2) {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
            bail!(
                "another standalone{} uses {}: stop it, or give another --data-dir",
                if owner.trim().is_empty() { String::new() } else { format!(" (process {})", owner.trim()) },
                path.display()
            );
        }
        lock.set_len(0)?;
        lock.rewind()?;
        writeln!(lock, "{}", std::process::id())?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The key that seals variables and connections: made with the folder, readable to its owner alone.
    pub(super) fn keyring(&self) -> anyhow::Result<Keyring> {
        let path = self.path.join("secret-keys");
        let context = || format!("the key of variables and connections, {}", path.display());
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = Keyring::generate("standalone").with_context(context)?;
                // Renamed into place: half a key would lock the next start out.
                let draft = self.path.join(".secret-keys");
                let mut file =
                    fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft).with_context(context)?;
                writeln!(file, "{key}").and_then(|()| file.sync_all()).with_context(context)?;
                fs::rename(&draft, &path).with_context(context)?;
                key
            }
            other => other.with_context(context)?,
        };
        Keyring::parse(&text).map_err(anyhow::Error::msg).with_context(context)
    }
}

fn default_base() -> anyhow::Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/updraft"));
    }
    if let Some(data) = std::env::var_os("XDG_DATA_HOME").filter(|d| !d.is_empty()) {
        return Ok(PathBuf::from(data).join("updraft"));
    }
    let home = std::env::var_os("HOME").context("HOME is not set: give a --data-dir")?;
    Ok(PathBuf::from(home).join(".local/share/updraft"))
}

/// Short, because a socket's path must fit 100 characters, and readable.
fn name_of(dags: &Path) -> String {
    let digest = Sha256::digest(dags.as_os_str().as_encoded_bytes());
    let hash: String = digest.iter().take(4).map(|b| format!("{b:02x}")).collect();
    let project = dags.parent().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let project: String = project.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).take(24).collect();
    format!("{project}-{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_standalone_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDir::open(Some(folder.path()), Path::new("/x/dags")).unwrap();
        let second = DataDir::open(Some(folder.path()), Path::new("/x/dags")).unwrap_err().to_string();
        assert!(second.contains(&std::process::id().to_string()), "{second}");
        drop(first);
        DataDir::open(Some(folder.path()), Path::new("/x/dags")).unwrap();
    }

    #[test]
    fn projects_do_not_meet() {
        assert_ne!(name_of(Path::new("/a/dags")), name_of(Path::new("/b/dags")));
        assert!(name_of(Path::new("/a/my project/dags")).starts_with("myproject-"));
    }
}
