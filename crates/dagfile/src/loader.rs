//! A folder's DAGs, kept up to date.
//!
//! [`Loader::refresh`] parses a file again only when its content, a file that it imported or read, a folder that it listed or an answer
//! that it was given has changed. A DAG id belongs to one file: to the one that already has it, else to the first by path; the other file
//! gets an error. A loader remembers one folder; where each commit has a folder of its own, the same loader is given the next one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::debug;
use updraft_model::{DagId, DagSpec};

use crate::diagnostic::{Diagnostic, Kind, Warning};
use crate::ignore::{Filter, IgnoreSyntax};
use crate::python::{self, Outcome, Processor, Snapshot};
use crate::scan::{self, FileEntry, Hash, Language, RootError, Scan};
use crate::yaml;

/// Why a folder could not be loaded. What was known before stays known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder itself cannot be read.
    #[error(transparent)]
    Root(#[from] RootError),
    /// Python files cannot be read.
    #[error(transparent)]
    Python(#[from] python::Error),
    /// The thread that reads files is gone: the process is ending.
    #[error("the reading of files was cancelled")]
    Cancelled(#[source] tokio::task::JoinError),
}

/// What one file gives.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct FileResult {
    /// Relative to the folder.
    pub path: String,
    /// Of its content, in hex.
    pub hash: String,
    /// The DAGs that it owns.
    pub dags: Vec<Arc<DagSpec>>,
    /// Its mistakes. A file with mistakes may still have good DAGs; those that it had before and that are missing now are broken, not gone.
    pub errors: Vec<Diagnostic>,
    /// What its author should know.
    pub warnings: Vec<Warning>,
    /// What it printed.
    pub output: String,
    /// How long Python took.
    pub duration_ms: u64,
    /// The variables, connections and configuration that it asked for: it is read again when an answer changes.
    #[serde(default, skip_serializing_if = "python::Asked::is_empty")]
    pub asked: python::Asked,
}

/// What has changed since the last refresh.
#[derive(Debug, Default)]
pub struct Changes {
    /// Files that were parsed again, or that won or lost a DAG id, in the order of their paths.
    pub files: Vec<FileResult>,
    /// Files that are gone. Empty unless the scan was complete.
    pub removed: Vec<String>,
    /// Files that cost nothing.
    pub unchanged: usize,
    /// What could not be read; not empty: the scan was not complete.
    pub problems: Vec<Diagnostic>,
    /// What is odd about the folder.
    pub notes: Vec<Diagnostic>,
    /// Whether the folder holds no file that may have DAGs although it held some: more likely a broken mount than a wish.
    pub emptied: bool,
}

#[derive(Debug, Default)]
struct Known {
    hash: Hash,
    dags: Vec<Arc<DagSpec>>,
    result: FileResult,
    /// Ids that it owned at the last refresh.
    owned: BTreeSet<DagId>,
    needs: Needs,
}

/// What a file's result depends on besides its own content.
#[derive(Debug, Default)]
struct Needs {
    files: Vec<(Place, Option<Hash>)>,
    folders: Vec<(Place, Option<Hash>)>,
    asked: python::Asked,
    answers: Hash,
    /// It failed to import something: any new file may be it.
    missing: bool,
}

/// A path that survives a move of the folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    Below(PathBuf),
    Elsewhere(PathBuf),
}

impl Place {
    fn of(path: PathBuf, root: &Path) -> Self {
        match path.strip_prefix(root) {
            Ok(below) => Self::Below(below.to_owned()),
            Err(_) => Self::Elsewhere(path),
        }
    }

    fn path(&self, root: &Path) -> PathBuf {
        match self {
            Self::Below(path) => root.join(path),
            Self::Elsewhere(path) => path.clone(),
        }
    }
}

/// The DAGs of a folder.
#[derive(Debug, Default)]
pub struct Loader {
    processor: Option<Processor>,
    syntax: IgnoreSyntax,
    filter: Filter,
    scan: Scan,
    known: BTreeMap<String, Known>,
    owners: BTreeMap<DagId, String>,
    announce: Option<Announce>,
    one_by_one: bool,
    /// Files that are not read, by path, as long as they have this hash.
    set_aside: BTreeMap<String, String>,
}

/// Is told the path and the hash of each file before it is read, and its path alone afterwards: what ends the process is known to whoever
/// listened.
#[derive(Clone)]
struct Announce(Arc<AnnounceFn>);

type AnnounceFn = dyn Fn(&str, Option<&str>) + Send + Sync;

impl std::fmt::Debug for Announce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Announce")
    }
}

impl Loader {
    /// A loader that knows nothing yet. Without a processor, Python files are each an error.
    pub fn new(processor: Option<Processor>, syntax: IgnoreSyntax) -> Self {
        Self { processor, syntax, ..Self::default() }
    }

    /// Tells `announce` the path and the hash of each file before it is read, and its path alone afterwards.
    #[must_use]
    pub(crate) fn announcing(mut self, announce: impl Fn(&str, Option<&str>) + Send + Sync + 'static) -> Self {
        self.announce = Some(Announce(Arc::new(announce)));
        self
    }

    /// Looks only at the files that the filter takes.
    #[must_use]
    pub fn filtered(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Whether no two files are read at the same time.
    pub(crate) const fn one_by_one(&mut self, on: bool) {
        self.one_by_one = on;
    }

    /// Files that are an error instead of being read, as long as they have this hash.
    pub(crate) fn set_aside(&mut self, files: BTreeMap<String, String>) {
        self.set_aside = files;
    }

    /// Reads everything again at the next refresh: what was read last may have been torn. Who owns which id stays.
    pub fn distrust(&mut self) {
        self.scan = Scan::default();
        for known in self.known.values_mut() {
            // Of no file.
            known.hash = [0; 32];
        }
    }

    /// Reads what has changed below `root`.
    pub async fn refresh(&mut self, root: &Path, snapshot: &Snapshot) -> Result<Changes, Error> {
        // Phase 1: look.
        let (folder, syntax, before) = (root.to_owned(), self.syntax, std::mem::take(&mut self.scan));
        let (looked, before) = blocking(move || (scan::scan(&folder, syntax, Some(&before)), before)).await?;
        let mut found = match looked {
            Ok(found) => found,
            Err(error) => {
                self.scan = before;
                return Err(error.into());
            }
        };
        found.files.retain(|path, _| self.filter.takes(path));
        let complete = found.problems.is_empty();
        let emptied = found.files.is_empty() && !self.known.is_empty();
        let mut changes = Changes { problems: found.problems.clone(), notes: found.notes.clone(), emptied, ..Changes::default() };

        // Phase 2: which files need to be parsed.
        let news = found.files.iter().any(|(path, entry)| self.known.get(path).is_none_or(|known| known.hash != entry.hash));
        let mut hashes = Hashes { root, found: &found, memo: HashMap::new() };
        let stale: Vec<FileEntry> = found
            .files
            .values()
            .filter(|entry| match self.known.get(&entry.path) {
                None => true,
                Some(known) => known.hash != entry.hash || known.needs.missing && news || !hashes.still(&known.needs, snapshot),
            })
            .cloned()
            .collect();
        changes.unchanged = found.files.len() - stale.len();

        // Phase 3: parse them. Nothing of `self` has changed yet, so that an error leaves all as it was.
        let mut parsed: BTreeMap<String, Known> = BTreeMap::new();
        let (aside, stale): (Vec<_>, Vec<_>) =
            stale.into_iter().partition(|entry| self.set_aside.get(&entry.path).is_some_and(|hash| *hash == scan::hex(&entry.hash)));
        parsed.extend(aside.into_iter().map(|entry| not_read(&entry)));
        let (yaml, python): (Vec<_>, Vec<_>) = stale.into_iter().partition(|entry| entry.language == Language::Yaml);
        let (folder, announce) = (root.to_owned(), self.announce.clone());
        let read = move |entry: FileEntry| {
            let announced = Announced::new(announce.as_ref(), &entry);
            let read = read_yaml(&folder, entry);
            drop(announced);
            read
        };
        parsed.extend(blocking(move || yaml.into_iter().filter_map(read).collect::<Vec<_>>()).await?);
        let at_once = if self.one_by_one { 1 } else { self.processor.as_ref().map_or(1, Processor::at_once) };
        let this = &*self;
        let mut reading = stream::iter(python)
            .map(|entry| async move {
                let announced = Announced::new(this.announce.as_ref(), &entry);
                let read = this.read_python(root, &entry, snapshot).await;
                drop(announced);
                (entry, read)
            })
            .buffer_unordered(at_once);
        while let Some((entry, read)) = reading.next().await {
            let mut known = Known { hash: entry.hash, ..Known::default() };
            known.result.path.clone_from(&entry.path);
            known.result.hash = scan::hex(&entry.hash);
            if let Some(outcome) = read? {
                known.take(outcome, root, snapshot, &mut hashes);
            }
            parsed.insert(entry.path, known);
        }
        drop(reading);
        debug!(parsed = parsed.len(), unchanged = changes.unchanged, "read the DAG folder");

        // Phase 4: take the results, forget what is gone.
        let mut touched: BTreeSet<String> = parsed.keys().cloned().collect();
        for (path, mut known) in parsed {
            known.owned = self.known.get(&path).map(|old| old.owned.clone()).unwrap_or_default();
            self.known.insert(path, known);
        }
        if complete {
            changes.removed = self.known.keys().filter(|path| !found.files.contains_key(*path)).cloned().collect();
            self.known.retain(|path, _| found.files.contains_key(path));
        }
        self.scan = found;

        // Phase 5: who owns which id.
        touched.extend(self.settle_owners());
        changes.files = touched.iter().filter_map(|path| self.known.get(path).map(|known| known.result.clone())).collect();
        Ok(changes)
    }

    /// Every file's result as it stands.
    pub fn results(&self) -> impl Iterator<Item = &FileResult> {
        self.known.values().map(|known| &known.result)
    }

    /// What a file says. None: nothing, it has no DAG.
    async fn read_python(&self, root: &Path, entry: &FileEntry, snapshot: &Snapshot) -> Result<Option<Outcome>, Error> {
        let path = root.join(&entry.path);
        if !mentions_dags(&path) {
            return Ok(None);
        }
        let Some(processor) = &self.processor else {
            let error =
                Diagnostic::new(entry.path.as_str(), Kind::Unsupported, "python files are not read here").hint("start the dag-processor");
            return Ok(Some(Outcome::failed(error)));
        };
        Ok(Some(processor.parse(root, &path, &entry.path, snapshot).await?))
    }

    /// Gives each id to one file, and the others their error. Says which files' results changed by it.
    fn settle_owners(&mut self) -> Vec<String> {
        let mut claims: BTreeMap<&DagId, Vec<&String>> = BTreeMap::new();
        for (path, known) in &self.known {
            for dag in &known.dags {
                claims.entry(&dag.dag_id).or_default().push(path);
            }
        }
        let mut owners = BTreeMap::new();
        for (id, paths) in claims {
            // An owner that is broken now keeps its ids: they are its last good DAGs.
            let keeps = self.owners.get(id).filter(|owner| {
                paths.contains(owner)
                    || self.known.get(*owner).is_some_and(|known| known.owned.contains(id) && !known.result.errors.is_empty())
            });
            if let Some(owner) = keeps.or_else(|| paths.first().copied()) {
                owners.insert(id.clone(), owner.clone());
            }
        }
        // Ids whose broken owner is the only one to know them are kept too.
        for (id, owner) in &self.owners {
            let broken = self.known.get(owner).is_some_and(|known| known.owned.contains(id) && !known.result.errors.is_empty());
            if broken && !owners.contains_key(id) {
                owners.insert(id.clone(), owner.clone());
            }
        }
        let mut changed = Vec::new();
        for (path, known) in &mut self.known {
            let owned: BTreeSet<DagId> = owners.iter().filter(|(_, owner)| *owner == path).map(|(id, _)| id.clone()).collect();
            let mine: Vec<_> = known.dags.iter().filter(|dag| owned.contains(&dag.dag_id)).cloned().collect();
            let mut errors: Vec<_> = known.result.errors.iter().filter(|error| error.kind != Kind::DuplicateDag).cloned().collect();
            for dag in known.dags.iter().filter(|dag| !owned.contains(&dag.dag_id)) {
                let other = owners.get(&dag.dag_id).map_or("another file", String::as_str);
                let message = format!("the DAG id {} is taken by {other}", dag.dag_id);
                errors.push(
                    Diagnostic::new(path.as_str(), Kind::DuplicateDag, message)
                        .hint("give one of them another id")
                        .dag(dag.dag_id.as_str()),
                );
            }
            let ids = |dags: &[Arc<DagSpec>]| dags.iter().map(|dag| dag.dag_id.clone()).collect::<Vec<_>>();
            if ids(&mine) != ids(&known.result.dags) || errors != known.result.errors {
                changed.push(path.clone());
            }
            known.result.dags = mine;
            known.result.errors = errors;
            known.owned = owned;
        }
        self.owners = owners;
        changed
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(Error::Cancelled)
}

/// Airflow's own shortcut: a file without both words has no DAG.
fn mentions_dags(path: &Path) -> bool {
    let Ok(bytes) = std::fs::read(path) else { return true };
    let lower = bytes.to_ascii_lowercase();
    let has = |word: &[u8]| lower.windows(word.len()).any(|window| window == word);
    has(b"dag") && has(b"airflow")
}

/// A file that is being read, until it is dropped.
struct Announced<'a> {
    announce: Option<&'a Announce>,
    path: String,
}

impl<'a> Announced<'a> {
    fn new(announce: Option<&'a Announce>, entry: &FileEntry) -> Self {
        if let Some(Announce(tell)) = announce {
            tell(&entry.path, Some(&scan::hex(&entry.hash)));
        }
        Self { announce, path: entry.path.clone() }
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        if let Some(Announce(tell)) = self.announce {
            tell(&self.path, None);
        }
    }
}

impl Known {
    /// Takes what was read.
    fn take(&mut self, outcome: Outcome, root: &Path, snapshot: &Snapshot, hashes: &mut Hashes<'_>) {
        let place = |path| Place::of(path, root);
        self.needs = Needs {
            files: outcome.modules.into_iter().map(place).map(|place| (place.clone(), hashes.file(&place))).collect(),
            folders: outcome.folders.into_iter().map(place).map(|place| (place.clone(), hashes.folder(&place))).collect(),
            answers: outcome.asked.answers(snapshot),
            missing: outcome.errors.iter().any(|error| matches!(error.kind, Kind::Import | Kind::Exception)),
            asked: outcome.asked.clone(),
        };
        self.result.asked = outcome.asked;
        self.dags = outcome.dags.into_iter().map(Arc::new).collect();
        self.result.errors = outcome.errors;
        self.result.warnings = outcome.warnings;
        self.result.output = outcome.output;
        self.result.duration_ms = outcome.duration_ms;
    }
}

/// The result of a file that is set aside.
fn not_read(entry: &FileEntry) -> (String, Known) {
    let mut known = Known { hash: entry.hash, ..Known::default() };
    known.result.path.clone_from(&entry.path);
    known.result.hash = scan::hex(&entry.hash);
    let error = Diagnostic::new(entry.path.as_str(), Kind::Internal, "reading this file ended the dag-processor, twice: it is set aside");
    known.result.errors.push(error.hint("change the file: it is read again then; and tell us, no file should be able to do that"));
    (entry.path.clone(), known)
}

fn read_yaml(root: &Path, entry: FileEntry) -> Option<(String, Known)> {
    let mut known = Known { hash: entry.hash, ..Known::default() };
    known.result.path.clone_from(&entry.path);
    known.result.hash = scan::hex(&entry.hash);
    match std::fs::read(root.join(&entry.path)) {
        Ok(bytes) => {
            let parsed = yaml::parse(&entry.path, &bytes);
            if parsed.is_dag_file {
                known.dags = parsed.dags.into_iter().map(Arc::new).collect();
                known.result.errors = parsed.errors;
                known.result.warnings = parsed.warnings;
            }
        }
        // It went between the scan and now; the next scan tells.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => known.result.errors.push(Diagnostic::new(entry.path.as_str(), Kind::Io, format!("the file cannot be read: {error}"))),
    }
    Some((entry.path, known))
}

/// Hashes of what files depend on, each computed once in a refresh.
struct Hashes<'a> {
    root: &'a Path,
    found: &'a Scan,
    memo: HashMap<Place, Option<Hash>>,
}

impl Hashes<'_> {
    fn file(&mut self, place: &Place) -> Option<Hash> {
        if let Place::Below(path) = place
            && let Some(entry) = path.to_str().and_then(|path| self.found.files.get(path))
        {
            return Some(entry.hash);
        }
        let root = self.root;
        *self.memo.entry(place.clone()).or_insert_with(|| scan::hash_file(&place.path(root)).ok())
    }

    /// Of the names in a folder.
    fn folder(&mut self, place: &Place) -> Option<Hash> {
        let root = self.root;
        *self.memo.entry(place.clone()).or_insert_with(|| {
            let mut names: Vec<_> = std::fs::read_dir(place.path(root)).ok()?.flatten().map(|entry| entry.file_name()).collect();
            names.sort();
            let mut hasher = Sha256::new();
            for name in names {
                hasher.update(name.as_encoded_bytes());
                hasher.update([0]);
            }
            Some(hasher.finalize().into())
        })
    }

    fn still(&mut self, needs: &Needs, snapshot: &Snapshot) -> bool {
        needs.files.iter().all(|(place, hash)| self.file(place) == *hash)
            && needs.folders.iter().all(|(place, hash)| self.folder(place) == *hash)
            && (needs.asked.is_empty() || needs.asked.answers(snapshot) == needs.answers)
    }
}

#[cfg(test)]
mod tests;
