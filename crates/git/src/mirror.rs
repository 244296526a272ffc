//! Keeps up with one repository.
//!
//! ```text
//! fetch (one revision, no history) → which commit? ─ the same ──────────────► wait
//!                                        │ another
//!                                        ▼
//!                                  its tree → folder (checkout.rs) → publish → wait
//! ```
//!
//! It waits for the period, less while somebody asks ([`SyncNow`]), more while the server cannot be reached. A force-push is a commit like
//! another. A commit that is refused (its folder is missing) is looked at once; the last good one stays published.
//!
//! A restart publishes what the clone already has before it asks the server, so that a scheduler whose git server is down still knows its
//! DAGs. Trees are made anew then: a power cut may have left a folder whose name reached the disk before its files did.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::fs::FlockOperation;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::Error;
use crate::checkout::{self, Note, Tree};
use crate::command::Git;
use crate::credentials::Credentials;
use crate::source::GitUrl;

/// Trees that are kept besides those in use: a push that is taken back costs nothing, and Python's sandbox need not be built anew.
const KEPT_TREES: usize = 10;
/// Longest wait between two tries while the server cannot be reached.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Shortest time between two fetches, however often somebody asks.
const SHORTEST_WAIT: Duration = Duration::from_millis(250);
/// New commits after which the clone is packed: each fetch adds a few objects and drops the history that led to the old ones.
const PACK_AFTER: u32 = 200;
/// The name of what was fetched, in the clone.
const HEAD: &str = "refs/updraft/head";
/// Notes that a status shows.
const NOTES_SHOWN: usize = 20;

/// What to follow, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The repository, revision and folder.
    pub url: GitUrl,
    /// What opens it.
    pub credentials: Credentials,
    /// A folder for the clone and the trees, for this source and this process alone.
    pub home: PathBuf,
    /// How often the server is asked.
    pub period: Duration,
    /// How long one git command may take.
    pub time_limit: Duration,
    /// The git program.
    pub program: PathBuf,
}

impl Options {
    /// Every 5 s, with 60 s for a command, by the `git` of `PATH`.
    pub fn new(url: GitUrl, home: impl Into<PathBuf>) -> Self {
        Self {
            url,
            credentials: Credentials::default(),
            home: home.into(),
            period: Duration::from_secs(5),
            time_limit: Duration::from_secs(60),
            program: PathBuf::from("git"),
        }
    }
}

/// Asks every mirror that has it to fetch at once, for a webhook. Cheap to clone. Asking often is harmless.
#[derive(Debug, Clone, Default)]
pub struct SyncNow(Arc<watch::Sender<u64>>);

impl SyncNow {
    /// Asks.
    pub fn ask(&self) {
        self.0.send_modify(|asked| *asked = asked.wrapping_add(1));
    }
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its full id.
    pub id: String,
    /// Who wrote it: a name, without the address.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
    /// When it was made, as it says.
    pub committed_at: Option<DateTime<Utc>>,
}

impl Commit {
    /// What people call it.
    pub fn short(&self) -> &str {
        self.id.get(..10).unwrap_or(&self.id)
    }
}

/// A commit, and its files. Whoever holds it keeps the folder.
#[derive(Debug, Clone)]
pub struct Checkout {
    /// The commit.
    pub commit: Commit,
    /// The files of the source's folder in it.
    pub tree: Arc<Tree>,
}

/// How it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing was heard yet.
    #[default]
    Starting,
    /// The last fetch succeeded, and its commit is published.
    Ok,
    /// It did not, or the commit was refused; what was published stays.
    Degraded,
}

/// What people are told of a source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Status {
    /// How it goes.
    pub state: State,
    /// The repository, without credentials: there are none in it.
    pub source: String,
    /// The published commit.
    pub commit: Option<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// The first line of its message.
    pub subject: Option<String>,
    /// When it was made.
    pub committed_at: Option<DateTime<Utc>>,
    /// When the server last answered.
    pub fetched_at: Option<DateTime<Utc>>,
    /// What is wrong; absent: nothing.
    pub last_error: Option<String>,
    /// Since when.
    pub failing_since: Option<DateTime<Utc>>,
    /// How often in a row.
    pub failures: u32,
    /// What the published tree lacks or what is odd in it.
    pub notes: Vec<String>,
}

/// What is published.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// How it goes.
    pub status: Status,
    /// The newest good commit; none: there has been none yet.
    pub checkout: Option<Checkout>,
}

/// A repository that is being followed, until it is dropped or shut down.
#[derive(Debug)]
pub struct Mirror {
    published: watch::Receiver<Published>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Mirror {
    /// Begins to follow.
    pub fn start(options: Options, sync_now: &SyncNow, shutdown: CancellationToken) -> Self {
        let status = Status { source: options.url.to_string(), ..Status::default() };
        let (publish, published) = watch::channel(Published { status, checkout: None });
        let asked = sync_now.0.subscribe();
        let task = tokio::spawn(async move {
            let work =
                Work { options, publish, clone: None, shallow: true, refused: None, trees: VecDeque::new(), retired: Vec::new(), new: 0 };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = work.follow(asked) => {}
            }
        });
        Self { published, task }
    }

    /// What is published now, and how to wait for more.
    pub fn published(&self) -> watch::Receiver<Published> {
        self.published.clone()
    }
}

struct Work {
    options: Options,
    publish: watch::Sender<Published>,
    clone: Option<Clone>,
    /// Whether the server hands out a revision without its history.
    shallow: bool,
    /// The commit that was refused last.
    refused: Option<String>,
    /// Trees on disk, the newest last.
    trees: VecDeque<Arc<Tree>>,
    /// Trees to be removed when nobody reads them any more.
    retired: Vec<Arc<Tree>>,
    /// Commits since the clone was packed.
    new: u32,
}

/// The clone, and the lock on its folder.
struct Clone {
    git: Git,
    _lock: fs::File,
}

impl Work {
    async fn follow(mut self, mut asked: watch::Receiver<u64>) {
        loop {
            let begin = Instant::now();
            asked.mark_unchanged();
            let wait = match self.turn().await {
                Ok(()) => self.options.period,
                Err(error) => self.tell(&error),
            };
            self.forget_old_trees().await;
            // A little early rather than late, and never in step with others that started at the same time.
            let jitter = f64::from(Utc::now().timestamp_subsec_micros() % 1000) / 10_000.0;
            tokio::select! {
                () = tokio::time::sleep(wait.mul_f64(1.0 - jitter)) => {}
                Ok(()) = asked.changed() => tokio::time::sleep_until(begin + SHORTEST_WAIT).await,
            }
        }
    }

    async fn turn(&mut self) -> Result<(), Error> {
        if self.clone.is_none() {
            self.clone = Some(self.open().await?);
            // What the last process fetched, before the server is asked.
            if let Ok(commit) = self.head().await {
                info!("{} starts at commit {}, fetched earlier", self.options.url, commit.short());
                self.show(commit).await?;
            }
        }
        self.fetch().await?;
        self.publish.send_modify(|p| p.status.fetched_at = Some(Utc::now()));
        let commit = self.head().await?;
        if self.refused.as_deref() == Some(commit.id.as_str()) {
            return Ok(());
        }
        let shown = self.publish.borrow().checkout.as_ref().is_some_and(|c| c.commit.id == commit.id);
        if !shown {
            self.show(commit).await?;
            self.new += 1;
        }
        let recovered = self.publish.borrow().status.failures;
        if recovered > 0 {
            info!("{} is followed again, after {recovered} failures", self.options.url);
        }
        self.publish.send_if_modified(|p| {
            let was = (p.status.state, p.status.failures);
            (p.status.state, p.status.failures, p.status.last_error, p.status.failing_since) = (State::Ok, 0, None, None);
            was != (State::Ok, 0)
        });
        if self.new >= PACK_AFTER {
            self.new = 0;
            self.git()?.run("gc", &["gc", "--quiet", "--prune=now"]).await?;
        }
        Ok(())
    }

    /// Says what is wrong, and how long to wait.
    fn tell(&mut self, error: &Error) -> Duration {
        if let Error::Failed { clone_is_broken: true, .. } = error {
            warn!("{}: the clone is thrown away, and made anew", self.options.url);
            self.clone = None;
            let _ = fs::remove_dir_all(self.options.home.join("repo.git"));
        }
        let mut failures = 0;
        self.publish.send_modify(|p| {
            p.status.state = State::Degraded;
            p.status.failures = p.status.failures.saturating_add(1);
            p.status.last_error = Some(error.to_string());
            p.status.failing_since.get_or_insert_with(Utc::now);
            failures = p.status.failures;
        });
        // Once, then less and less: the status has the rest.
        if failures.is_power_of_two() {
            warn!(error = %error, failures, "{}: what was fetched before stays: {error}", self.options.url);
        }
        if error.is_of_the_commit() {
            return self.options.period;
        }
        let longest = LONGEST_WAIT.max(self.options.period);
        self.options.period.saturating_mul(1 << (failures - 1).min(10)).min(longest)
    }

    fn git(&self) -> Result<&Git, Error> {
        let closed = || Error::Io { what: "use", path: self.options.home.clone(), source: std::io::ErrorKind::NotConnected.into() };
        self.clone.as_ref().map(|clone| &clone.git).ok_or_else(closed)
    }

    async fn open(&mut self) -> Result<Clone, Error> {
        let home = &self.options.home;
        fs::create_dir_all(home).map_err(Error::io("make", home))?;
        let path = home.join("lock");
        let lock = fs::File::options().create(true).truncate(false).write(true).open(&path).map_err(Error::io("write", &path))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| Error::Locked { path: home.clone() })?;
        let Options { program, url, credentials, time_limit, .. } = &self.options;
        let git = Git::new(program, home, url, credentials, *time_limit)?;
        // Of another process, dead now: nobody reads them. Trees of this process stay, somebody may.
        let trees = home.join("trees");
        if self.trees.is_empty() && self.retired.is_empty() && trees.exists() {
            checkout::remove(&trees).map_err(Error::io("remove", &trees))?;
        }
        fs::create_dir_all(&trees).map_err(Error::io("make", &trees))?;
        let (mark, source) = (home.join("source"), url.to_string());
        let repository = git.repository().to_owned();
        if repository.exists() && fs::read_to_string(&mark).is_ok_and(|known| known == source) && repository.join("HEAD").is_file() {
            return Ok(Clone { git, _lock: lock });
        }
        if repository.exists() {
            fs::remove_dir_all(&repository).map_err(Error::io("remove", &repository))?;
        }
        fs::create_dir(&repository).map_err(Error::io("make", &repository))?;
        git.run("init", &["init", "--bare", "--quiet", "--template="]).await?;
        fs::write(&mark, source).map_err(Error::io("write", &mark))?;
        Ok(Clone { git, _lock: lock })
    }

    async fn fetch(&mut self) -> Result<(), Error> {
        let url = self.options.url.clone();
        if url.is_pinned() && self.head().await.is_ok() {
            return Ok(());
        }
        let refspec = format!("+{}:{HEAD}", url.reference().unwrap_or("HEAD"));
        let fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--depth=1", "--", url.remote(), &refspec];
        if self.shallow {
            match self.git()?.run("fetch", &fetch).await {
                Err(Error::Failed { said, .. }) if said.contains("shallow") && !said.contains("shallow.lock") => {
                    debug!("{url} gives no revision without its history: all of it is fetched");
                    self.shallow = false;
                }
                other => return other.map(drop),
            }
        }
        let whole: Vec<&str> = fetch.into_iter().filter(|word| *word != "--depth=1").collect();
        self.git()?.run("fetch", &whole).await.map(drop)
    }

    /// The commit that was fetched.
    async fn head(&self) -> Result<Commit, Error> {
        let words =
            ["log", "-1", "--no-show-signature", "--no-decorate", "--encoding=UTF-8", "--format=%H%x00%ct%x00%an%x00%s", HEAD, "--"];
        let output = self.git()?.run("log", &words).await?;
        let text = String::from_utf8_lossy(&output);
        let mut parts = text.trim_end().splitn(4, '\0');
        let mut next = || parts.next().unwrap_or_default();
        let (id, at, author, subject) = (next(), next(), next(), next());
        let shown = |text: &str| text.chars().filter(|c| !c.is_control()).take(200).collect();
        Ok(Commit {
            id: id.to_owned(),
            author: shown(author),
            subject: shown(subject),
            committed_at: at.parse().ok().and_then(|s| DateTime::from_timestamp(s, 0)),
        })
    }

    /// Makes the commit's folder and publishes it.
    async fn show(&mut self, commit: Commit) -> Result<(), Error> {
        let tree = match self.tree(&commit).await {
            Ok(tree) => tree,
            Err(error) => {
                if error.is_of_the_commit() {
                    self.refused = Some(commit.id);
                }
                return Err(error);
            }
        };
        self.refused = None;
        for Note { path, message, .. } in &tree.notes {
            warn!(commit.id = %commit.id, "{path} of commit {}: {message}", commit.short());
        }
        info!(commit.id = %commit.id, "{} is at commit {} ({})", self.options.url, commit.short(), commit.subject);
        self.publish.send_modify(|p| {
            p.status.commit = Some(commit.id.clone());
            p.status.author = Some(commit.author.clone());
            p.status.subject = Some(commit.subject.clone());
            p.status.committed_at = commit.committed_at;
            p.status.notes = tree.notes.iter().take(NOTES_SHOWN).map(|n| format!("{}: {}", n.path, n.message)).collect();
            p.checkout = Some(Checkout { commit, tree });
        });
        Ok(())
    }

    async fn tree(&mut self, commit: &Commit) -> Result<Arc<Tree>, Error> {
        let git = self.git()?.clone();
        let folder = self.options.url.folder();
        let absent = || Error::NoFolder { commit: commit.short().to_owned(), folder: folder.to_owned() };
        let of = if folder.is_empty() { format!("{}^{{tree}}", commit.id) } else { format!("{}:{folder}", commit.id) };
        let id = match git.run("rev-parse", &["rev-parse", "--verify", "--quiet", &of]).await {
            Ok(output) => String::from_utf8_lossy(&output).trim().to_owned(),
            Err(Error::Failed { .. }) => return Err(absent()),
            Err(other) => return Err(other),
        };
        let known = |tree: &Arc<Tree>| tree.id == id;
        let found = self.trees.iter().position(known).and_then(|at| self.trees.remove(at));
        let found = found.or_else(|| self.retired.iter().position(known).map(|at| self.retired.swap_remove(at)));
        if let Some(tree) = found {
            self.trees.push_back(tree.clone());
            return Ok(tree);
        }
        let list = match git.run("ls-tree", &["ls-tree", "-r", "-z", "-l", "--full-tree", &id]).await {
            // A file of that name.
            Err(Error::Failed { said, .. }) if said.contains("not a tree object") => return Err(absent()),
            other => other?,
        };
        let trees = self.options.home.join("trees");
        let (temporary, place) = (trees.join(format!(".{id}")), trees.join(&id));
        let short = commit.short().to_owned();
        let made = tokio::task::spawn_blocking(move || {
            clear(&temporary)?;
            clear(&place)?;
            let entries = checkout::entries(&short, &list)?;
            checkout::make(&git, &short, &id, &entries, &temporary, &place)
        });
        let cancelled =
            |error: tokio::task::JoinError| Error::Io { what: "fill", path: trees.clone(), source: std::io::Error::other(error) };
        let tree = Arc::new(made.await.map_err(cancelled)??);
        self.trees.push_back(tree.clone());
        Ok(tree)
    }

    /// Removes the trees that are old and that nobody reads.
    async fn forget_old_trees(&mut self) {
        // One is the published one.
        while self.trees.len() > KEPT_TREES + 1 {
            self.retired.extend(self.trees.pop_front());
        }
        let (free, held) = std::mem::take(&mut self.retired).into_iter().partition(|tree| Arc::strong_count(tree) == 1);
        self.retired = held;
        let free: Vec<Arc<Tree>> = free;
        if free.is_empty() {
            return;
        }
        let removed = tokio::task::spawn_blocking(move || {
            for tree in free {
                if let Err(error) = checkout::remove(&tree.folder) {
                    warn!(error = %error, "cannot remove the old tree {}", tree.folder.display());
                }
            }
        });
        let _ = removed.await;
    }
}

/// What a try that failed may have left.
fn clear(folder: &Path) -> Result<(), Error> {
    match folder.symlink_metadata() {
        Ok(_) => checkout::remove(folder).map_err(Error::io("remove", folder)),
        Err(_) => Ok(()),
    }
}
