//! One source of DAG files, read so that each look sees one state of it.
//!
//! ```text
//! Folder   resolve its links → read → resolve again: elsewhere now? then the look is thrown away and made again
//! Git      the mirror's newest tree, which never changes
//! ```
//!
//! The first is for `git-sync`, which switches a link from one worktree to the next and removes the old one: a look that began in the old
//! one may have seen half of it go. Called by the DAG sync; it writes nothing and decides nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::Watcher as _;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use updraft_dagfile::IgnoreSyntax;
use updraft_dagfile::loader::Changes;
use updraft_dagfile::parser::{self, Parser, ParserConfig};
use updraft_dagfile::python::Snapshot;
use updraft_git::{Commit, Mirror, Note, Published, SyncNow, Tree};

/// How long a folder must be quiet after a change before it is read: editors and `git` write in several steps.
const SETTLE: Duration = Duration::from_millis(100);
/// How often it is read even if nothing says that it changed: some file systems tell nothing.
const AT_LEAST_EVERY: Duration = Duration::from_secs(30);
/// The same where links lead to it, which few file systems watch, and where nothing is told at all.
const UNTOLD_EVERY: Duration = Duration::from_secs(2);
/// Looks at a folder that is switched under each of them, before it is given up for now.
const LOOKS: u32 = 20;

/// Where DAG files come from, and who reads them.
#[derive(Debug, Clone)]
pub struct DagSource {
    /// Its name: Airflow's *bundle*. Unique among the sources.
    pub bundle: String,
    /// Where the files are.
    pub origin: DagOrigin,
    /// Who reads them.
    pub parser: ParserConfig,
}

/// Where files are.
#[derive(Debug, Clone)]
pub enum DagOrigin {
    /// A folder of this host.
    Folder(PathBuf),
    /// A repository, fetched here.
    Git(Box<updraft_git::Options>),
}

impl DagOrigin {
    /// What people are told that a file is.
    pub(crate) fn name_of(&self, file: &str) -> String {
        match self {
            Self::Folder(root) => root.join(file).to_string_lossy().into_owned(),
            Self::Git(options) if options.url.folder().is_empty() => format!("{}#{file}", options.url),
            Self::Git(options) => format!("{}/{file}", options.url),
        }
    }
}

/// Why a source cannot be read now. What was known stays known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder is not there.
    #[error("cannot read the DAG folder {root}: {source}: does the folder of --dags exist, and may this user read it?")]
    Root {
        /// The folder.
        root: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Its files cannot be read.
    #[error(transparent)]
    Parser(#[from] parser::Error),
    /// It did not hold still.
    #[error("{root} was switched during each of {LOOKS} looks at it: is something wrong with what fills it?")]
    Restless {
        /// The folder.
        root: PathBuf,
    },
}

/// One look at a source.
#[derive(Debug)]
pub struct Reading {
    /// What has changed.
    pub changes: Changes,
    /// Whether the look counts for all files, changed or not: the first does, and each after one that could not be used.
    pub whole: bool,
    /// Where the files are as long as this reading is held.
    pub root: PathBuf,
    /// The commit that they are of, where that is known.
    pub commit: Option<String>,
    /// The same with what is known of it beside its id: where this scheduler fetches it.
    pub fetched: Option<Commit>,
    /// What the folder lacks of that commit.
    pub notes: Vec<Note>,
    _tree: Option<Arc<Tree>>,
}

/// A source that is being followed.
#[derive(Debug)]
pub struct Feed {
    parser: Parser,
    place: Place,
    whole: bool,
    /// Whether the last look is of no use.
    again: bool,
    /// What files are answered.
    answers: watch::Receiver<Arc<Snapshot>>,
}

#[derive(Debug)]
enum Place {
    Folder(Folder),
    Git { _mirror: Mirror, published: watch::Receiver<Published>, read: Option<String> },
}

#[derive(Debug)]
struct Folder {
    root: PathBuf,
    watch: Option<Watch>,
    told: (mpsc::Sender<()>, mpsc::Receiver<()>),
    commit: Option<String>,
}

/// What tells of changes, and the resolved folder that it looks at.
#[derive(Debug)]
struct Watch {
    watcher: Option<notify::RecommendedWatcher>,
    resolved: PathBuf,
}

impl Feed {
    /// Begins to follow a source, whose files are given these answers.
    pub fn start(source: &DagSource, sync_now: &SyncNow, answers: watch::Receiver<Arc<Snapshot>>, shutdown: CancellationToken) -> Self {
        let place = match &source.origin {
            DagOrigin::Folder(root) => {
                let root = std::path::absolute(root).unwrap_or_else(|_| root.clone());
                Place::Folder(Folder { root, watch: None, told: mpsc::channel(1), commit: None })
            }
            DagOrigin::Git(options) => {
                let mirror = Mirror::start((**options).clone(), sync_now, shutdown);
                let published = mirror.published();
                Place::Git { _mirror: mirror, published, read: None }
            }
        };
        Self { parser: Parser::new(&source.bundle, &source.parser, IgnoreSyntax::default()), place, whole: true, again: true, answers }
    }

    /// Who reads the files, and what it knows of them.
    pub fn parser(&self) -> &Parser {
        &self.parser
    }

    /// Looks at the source. None: there is nothing new, or nothing yet.
    pub async fn read(&mut self) -> Result<Option<Reading>, Error> {
        let news = self.answers.has_changed().unwrap_or(false);
        let answers = Arc::clone(&self.answers.borrow_and_update());
        let looked = match &mut self.place {
            Place::Folder(folder) => folder.look(&mut self.parser, &mut self.whole, &answers).await.map(Some),
            Place::Git { published, read, .. } => {
                let checkout = published.borrow_and_update().checkout.clone();
                match checkout {
                    Some(checkout) if self.again || news || read.as_ref() != Some(&checkout.commit.id) => {
                        let root = checkout.tree.folder.clone();
                        let look = self.parser.refresh(&root, &answers).await;
                        *read = Some(checkout.commit.id.clone());
                        let reading = |changes| Reading {
                            changes,
                            whole: false,
                            root,
                            commit: Some(checkout.commit.id.clone()),
                            fetched: Some(checkout.commit),
                            notes: checkout.tree.notes.clone(),
                            _tree: Some(checkout.tree),
                        };
                        look.map(|changes| Some(reading(changes))).map_err(Error::from)
                    }
                    _ => Ok(None),
                }
            }
        };
        match looked {
            Ok(Some(mut reading)) => {
                reading.whole = self.whole;
                self.again = !reading.changes.problems.is_empty();
                // A look from which nobody may conclude that something is gone leaves that to the next.
                self.whole = self.again || reading.changes.emptied;
                Ok(Some(reading))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                (self.whole, self.again) = (true, true);
                Err(error)
            }
        }
    }

    /// Waits until another look may be worth it.
    pub async fn changed(&mut self) {
        let Self { place, answers, .. } = self;
        let place = async {
            match place {
                Place::Folder(folder) => folder.changed().await,
                Place::Git { published, .. } => {
                    // The mirror ends at shutdown alone.
                    if published.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            }
        };
        let answers = async {
            if answers.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            // The next look takes it as news.
            answers.mark_changed();
        };
        tokio::select! {
            () = place => {}
            () = answers => {}
        }
    }

    /// What people are told of it.
    pub fn status(&self) -> Value {
        match &self.place {
            Place::Folder(folder) => json!({"state": "ok", "root": folder.root, "commit": folder.commit}),
            Place::Git { published, .. } => serde_json::to_value(&published.borrow().status).unwrap_or_default(),
        }
    }
}

impl Folder {
    async fn look(&mut self, parser: &mut Parser, whole: &mut bool, answers: &Snapshot) -> Result<Reading, Error> {
        let gone = |source| Error::Root { root: self.root.clone(), source };
        for _ in 0..LOOKS {
            let resolved = self.root.canonicalize().map_err(gone)?;
            if self.watch.as_ref().is_none_or(|watch| watch.resolved != resolved) {
                // Before it is read, so that no change falls in between.
                self.watch = Some(watch_folder(&self.root, &resolved, &self.told.0));
            }
            let looked = parser.refresh(&resolved, answers).await;
            if self.root.canonicalize().ok().as_ref() == Some(&resolved) {
                let changes = looked?;
                self.commit = commit_of(&resolved);
                let commit = self.commit.clone();
                return Ok(Reading { changes, whole: false, root: resolved, commit, fetched: None, notes: Vec::new(), _tree: None });
            }
            debug!("{} was switched while it was read: it is read again", self.root.display());
            parser.distrust();
            *whole = true;
        }
        Err(Error::Restless { root: self.root.clone() })
    }

    async fn changed(&mut self) {
        let linked = self.watch.as_ref().is_none_or(|watch| watch.resolved != self.root);
        let is_told = self.watch.as_ref().is_some_and(|watch| watch.watcher.is_some());
        let most = if linked || !is_told { UNTOLD_EVERY } else { AT_LEAST_EVERY };
        if tokio::time::timeout(most, self.told.1.recv()).await.is_ok() {
            // Wait until it is quiet.
            while tokio::time::timeout(SETTLE, self.told.1.recv()).await.is_ok_and(|told| told.is_some()) {}
        }
    }
}

/// The commit that a folder is a worktree of, as `git-sync` makes them: the name of the worktree is the commit, or its `.git` tells. A clone
/// in which somebody works is not asked: its files are of no commit.
fn commit_of(resolved: &Path) -> Option<String> {
    let is_id = |text: &str| matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let named = resolved.components().rev().filter_map(|part| part.as_os_str().to_str()).find(|name| is_id(name));
    if let Some(name) = named {
        return Some(name.to_owned());
    }
    let pointer = resolved.ancestors().map(|folder| folder.join(".git")).find(|path| path.exists())?;
    // A folder for a clone, a file for a worktree.
    let text = pointer.is_file().then(|| std::fs::read_to_string(&pointer).ok()).flatten()?;
    let folder = pointer.parent()?.join(text.trim().strip_prefix("gitdir:")?.trim());
    let head = std::fs::read_to_string(folder.join("HEAD")).ok()?;
    is_id(head.trim()).then(|| head.trim().to_owned())
}

/// Tells when something below the folder changes, or a link on the way to it.
fn watch_folder(root: &Path, resolved: &Path, changed: &mpsc::Sender<()>) -> Watch {
    let changed = changed.clone();
    let told = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|e| !e.kind.is_access()) {
            let _ = changed.try_send(());
        }
    };
    let watcher = notify::recommended_watcher(told).and_then(|mut watcher| {
        watcher.watch(resolved, notify::RecursiveMode::Recursive)?;
        for link in root.ancestors().filter(|path| path.is_symlink()) {
            if let Some(folder) = link.parent() {
                watcher.watch(folder, notify::RecursiveMode::NonRecursive)?;
            }
        }
        Ok(watcher)
    });
    let watcher = watcher
        .inspect_err(|error| warn!(error = %error, "{} cannot be watched, looking every {} s", root.display(), UNTOLD_EVERY.as_secs()))
        .ok();
    Watch { watcher, resolved: resolved.to_owned() }
}
