//! What a worker adds to a Python task: a program that begins, the package that it begins with, and the code of the task's DAG version.
//!
//! All of it travels in the environment, in pieces that fit into one variable, for processes and pods alike. None of it is stored with the
//! attempt: the code is read once for each version, the package is the worker's own.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};
use tracing::warn;
use updraft_model::dag::CodeSpec;
use updraft_model::launch::Carried;
use updraft_model::{EndFacts, LaunchSpec};
use updraft_store::Store;

/// Most bytes of one variable: the kernel takes 128 KiB with its name.
const PIECE: usize = 96 * 1024;
/// DAG versions whose code is kept.
const MOST_VERSIONS: usize = 32;

/// How Python tasks are run.
#[derive(Debug)]
pub struct PythonRuntime {
    /// The interpreter: a name that is looked up where the task runs, or a path there.
    interpreter: String,
    /// The program that it is handed.
    bootstrap: String,
    package: String,
    /// Packed code by version.
    codes: Mutex<BTreeMap<i64, Arc<str>>>,
}

impl PythonRuntime {
    /// Packs the files of the package.
    pub fn new(interpreter: impl Into<String>, bootstrap: &str, package: &BTreeMap<String, String>) -> io::Result<Self> {
        Ok(Self { interpreter: interpreter.into(), bootstrap: bootstrap.to_owned(), package: pack(package)?, codes: Mutex::default() })
    }

    /// The spec of a Python task with what starts it. `Err`: what the end of the attempt is, since it can never be started.
    pub(crate) async fn complete(&self, store: &Store, spec: &LaunchSpec) -> Result<LaunchSpec, Box<EndFacts>> {
        let Some(python) = &spec.python else { return Ok(spec.clone()) };
        let refused = |why: String| Box::new(EndFacts { spawn_error: Some(why), ..EndFacts::default() });
        let code = loop {
            match self.code(store, python.version).await {
                Ok(code) => break code,
                Err(CodeError::Store(error)) => error.patience("read the code of a DAG version").await,
                Err(CodeError::Absent(why)) => return Err(refused(why)),
            }
        };
        let input = pack(&python.input).map_err(|error| refused(format!("its input cannot be packed: {error}")))?;
        let mut env = BTreeMap::new();
        for (name, text) in [("RUNTIME", self.package.as_str()), ("CODE", &*code), ("INPUT", input.as_str())] {
            for (at, piece) in text.as_bytes().chunks(PIECE).enumerate() {
                env.insert(format!("UPDRAFT_PYTHON_{name}_{at}"), String::from_utf8_lossy(piece).into_owned());
            }
        }
        let argv = vec![self.interpreter.clone(), "-c".to_owned(), self.bootstrap.clone()];
        Ok(LaunchSpec { carried: Some(Arc::new(Carried { argv, env })), ..spec.clone() })
    }

    async fn code(&self, store: &Store, version: i64) -> Result<Arc<str>, CodeError> {
        if let Some(code) = self.codes.lock().unwrap_or_else(PoisonError::into_inner).get(&version) {
            return Ok(Arc::clone(code));
        }
        let absent = |why: &str| CodeError::Absent(format!("the code of DAG version {version} {why}"));
        let spec = store.dag_version_spec(version).await.map_err(CodeError::Store)?.ok_or_else(|| absent("is not stored any more"))?;
        let code = serde_json::from_str::<Coded>(&spec).ok().and_then(|coded| coded.code).ok_or_else(|| absent("is not in it"))?;
        let packed: Arc<str> = pack(&code).map_err(|error| absent(&format!("cannot be packed: {error}")))?.into();
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        if codes.len() >= MOST_VERSIONS {
            codes.pop_first();
        }
        codes.insert(version, Arc::clone(&packed));
        Ok(packed)
    }
}

/// The one field of a DAG's spec that is looked for.
#[derive(Deserialize)]
struct Coded {
    #[serde(default)]
    code: Option<CodeSpec>,
}

enum CodeError {
    Store(updraft_store::Error),
    Absent(String),
}

/// The spec as it is started, of whatever sort of task.
pub(crate) async fn complete(runtime: Option<&PythonRuntime>, store: &Store, spec: &LaunchSpec) -> Result<LaunchSpec, Box<EndFacts>> {
    match runtime {
        Some(runtime) => runtime.complete(store, spec).await,
        None if spec.python.is_some() => {
            warn!("this worker has no Python for the task {}", spec.task_id);
            let why = "this worker was started without Python tasks".to_owned();
            Err(Box::new(EndFacts { spawn_error: Some(why), ..EndFacts::default() }))
        }
        None => Ok(spec.clone()),
    }
}

/// JSON, deflated, as text.
fn pack(value: &impl Serialize) -> io::Result<String> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&serde_json::to_vec(value)?)?;
    Ok(STANDARD.encode(packed.finish()?))
}
