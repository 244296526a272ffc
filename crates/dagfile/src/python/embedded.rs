//! The Python side, carried in the binary and unpacked once per content.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::python::Error;

type File = (&'static str, &'static [u8]);

static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/python_files.rs"));

/// The program that the process of a Python task is handed, for `python3 -c`.
pub fn task_bootstrap() -> &'static str {
    let found = FILES.iter().find(|(name, _)| *name == BOOTSTRAP);
    found.and_then(|(_, bytes)| std::str::from_utf8(bytes).ok()).unwrap_or_default()
}

/// The package that the process of a Python task begins with: texts by path.
pub fn task_package() -> BTreeMap<String, String> {
    let of_tasks =
        |name: &str| name != BOOTSTRAP && ["airflow/", "fallback/", "updraft_task/"].iter().any(|folder| name.starts_with(*folder));
    let mut files = BTreeMap::new();
    for (name, bytes) in FILES {
        if of_tasks(name)
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            files.insert((*name).to_owned(), text.to_owned());
        }
    }
    files
}

const BOOTSTRAP: &str = "updraft_task/bootstrap.py";

/// A folder that holds the files.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) path: PathBuf,
    /// Set where the folder is private to this process and goes with it.
    _temporary: Option<TempDir>,
}

/// Unpacks into `base` (the system's folder for temporary files when absent), into a folder named by user and content that later starts find
/// again. `shared` opens it to other users for reading: the parser may run as another user.
pub(crate) fn unpack(base: Option<&Path>, shared: bool) -> Result<Unpacked, Error> {
    let base = base.map_or_else(std::env::temp_dir, Path::to_path_buf);
    let user = rustix::process::geteuid().as_raw();
    let kind = if shared { "s" } else { "p" };
    let path = base.join(format!("updraft-python-{user}{kind}-{}", content_hash()));
    let fail = |source| Error::Unpack { path: path.clone(), source };
    if is_intact(&path, user) {
        return Ok(Unpacked { path, _temporary: None });
    }
    let fresh = tempfile::Builder::new().prefix("updraft-python-").tempdir_in(&base).map_err(fail)?;
    write(fresh.path(), shared).map_err(fail)?;
    // Another process may have been faster, or a stranger may sit on the name: then the private folder does.
    if fs::rename(fresh.path(), &path).is_ok() && is_intact(&path, user) {
        let _ = fresh.keep();
        return Ok(Unpacked { path, _temporary: None });
    }
    if is_intact(&path, user) {
        return Ok(Unpacked { path, _temporary: None });
    }
    Ok(Unpacked { path: fresh.path().to_owned(), _temporary: Some(fresh) })
}

fn content_hash() -> String {
    let mut hasher = Sha256::new();
    for (name, bytes) in FILES {
        hasher.update((name.len() as u64).to_le_bytes());
        hasher.update(name);
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    hasher.finalize().iter().take(10).map(|byte| format!("{byte:02x}")).collect()
}

fn write(folder: &Path, shared: bool) -> std::io::Result<()> {
    let (folder_mode, file_mode) = if shared { (0o755, 0o444) } else { (0o700, 0o400) };
    fs::set_permissions(folder, fs::Permissions::from_mode(folder_mode))?;
    for (name, bytes) in FILES {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(folder_mode).create(parent)?;
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(file_mode).open(&path)?;
        file.write_all(bytes)?;
        // The umask may have taken more away than `shared` can bear.
        file.set_permissions(fs::Permissions::from_mode(file_mode))?;
    }
    Ok(())
}

/// Whether the folder is ours alone to write, and holds exactly our bytes.
fn is_intact(folder: &Path, user: u32) -> bool {
    let ours = |path: &Path| fs::symlink_metadata(path).is_ok_and(|m| !m.is_symlink() && m.uid() == user && m.mode() & 0o022 == 0);
    ours(folder)
        && FILES.iter().all(|(name, bytes)| ours(&folder.join(name)) && fs::read(folder.join(name)).is_ok_and(|have| have == *bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_finds_the_folder_and_a_changed_one_is_not_used() {
        let base = tempfile::tempdir().unwrap();
        let first = unpack(Some(base.path()), false).unwrap();
        assert!(first.path.join("updraft_dagfile/main.py").is_file());
        assert_eq!(fs::metadata(&first.path).unwrap().mode() & 0o777, 0o700);
        assert_eq!(unpack(Some(base.path()), false).unwrap().path, first.path);

        let victim = first.path.join("updraft_dagfile/main.py");
        fs::remove_file(&victim).unwrap();
        fs::write(&victim, "evil").unwrap();
        let second = unpack(Some(base.path()), false).unwrap();
        assert_ne!(second.path, first.path);
        assert_ne!(fs::read(second.path.join("updraft_dagfile/main.py")).unwrap(), b"evil");
    }
}
