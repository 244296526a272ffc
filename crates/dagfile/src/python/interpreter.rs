//! Finding the real `python3`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::python::Error;

/// A Python interpreter, itself and not a shim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// The program.
    pub executable: PathBuf,
    /// Its own folders, which it must read.
    pub prefixes: Vec<PathBuf>,
    /// Such as `3.11.7`.
    pub version: String,
}

#[derive(Deserialize)]
struct Told {
    executable: PathBuf,
    prefixes: Vec<PathBuf>,
    version: (u32, u32, u32),
}

/// Oldest version that the Python side is written for.
const OLDEST: (u32, u32) = (3, 8);

const QUESTION: &str = "import json,os,sys;\
    print(json.dumps({'executable':os.path.realpath(sys.executable),\
    'prefixes':sorted({os.path.realpath(p) for p in (sys.prefix,sys.base_prefix,sys.exec_prefix,sys.base_exec_prefix)}),\
    'version':list(sys.version_info[:3])}))";

impl Interpreter {
    /// The interpreter at `named`, else the first on `PATH`, else `/usr/bin/python3`. Starts it once to ask where it lives: a version
    /// manager's shim is a script that would not run inside the sandbox.
    pub fn find(named: Option<&Path>) -> Result<Self, Error> {
        let mut tried = Vec::new();
        let candidates: Vec<PathBuf> = match named {
            Some(path) => vec![path.to_owned()],
            None => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let on_path = std::env::split_paths(&path).map(|folder| folder.join("python3")).find(|p| p.is_file());
                on_path.into_iter().chain([PathBuf::from("/usr/bin/python3")]).collect()
            }
        };
        for candidate in candidates {
            match ask(&candidate) {
                Ok(found) => return Ok(found),
                Err(why) => tried.push(format!("{}: {why}", candidate.display())),
            }
        }
        Err(Error::NoPython { tried: tried.join("; ") })
    }
}

fn ask(program: &Path) -> Result<Interpreter, String> {
    let output =
        Command::new(program).args(["-I", "-S", "-B", "-c", QUESTION]).stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("it ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()));
    }
    let told: Told = serde_json::from_slice(&output.stdout).map_err(|_| "it does not answer as python does".to_owned())?;
    let (major, minor, patch) = told.version;
    if (major, minor) < OLDEST {
        return Err(format!("it is {major}.{minor}, older than {}.{}", OLDEST.0, OLDEST.1));
    }
    let prefixes = told.prefixes.into_iter().filter(|prefix| prefix.components().count() > 1).collect();
    Ok(Interpreter { executable: told.executable, prefixes, version: format!("{major}.{minor}.{patch}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shim_is_resolved_and_nonsense_is_refused() {
        let found = Interpreter::find(None).unwrap();
        let magic = std::fs::read(&found.executable).unwrap();
        assert_ne!(&magic[..2], b"#!", "{found:?}");
        #[cfg(target_os = "linux")]
        assert_eq!(&magic[..4], b"\x7fELF", "{found:?}");
        let error = Interpreter::find(Some(Path::new("/bin/true"))).unwrap_err().to_string();
        assert!(error.contains("/bin/true: it does not answer as python does"), "{error}");
    }
}
