//! A mirror against real repositories: by path, and over HTTP by git's own server.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not in a test function")]

mod http;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use updraft_git::{Checkout, Credentials, Mirror, Options, Origin, Published, State, SyncNow, parse};

const PERIOD: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(30);

/// A bare repository, and a working copy to push from.
pub(crate) struct Upstream {
    folder: TempDir,
}

impl Upstream {
    fn new() -> Self {
        let upstream = Self { folder: tempfile::tempdir().unwrap() };
        upstream.run(upstream.folder.path(), &["init", "--quiet", "--bare", "-b", "main", "bare.git"]);
        upstream.run(upstream.folder.path(), &["clone", "--quiet", "bare.git", "work"]);
        upstream
    }

    fn bare(&self) -> PathBuf {
        self.folder.path().join("bare.git")
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn run(&self, at: &Path, words: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(at)
            .args(["-c", "user.name=t", "-c", "user.email=t@t.invalid", "-c", "commit.gpgsign=false", "-c", "protocol.file.allow=always"])
            .args(words)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.work().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The commit's id.
    fn commit(&self, subject: &str) -> String {
        self.run(&self.work(), &["add", "--all"]);
        self.run(&self.work(), &["commit", "--quiet", "--allow-empty", "-m", subject]);
        self.run(&self.work(), &["rev-parse", "HEAD"])
    }

    fn push(&self, subject: &str) -> String {
        let id = self.commit(subject);
        self.run(&self.work(), &["push", "--quiet", "--force", "origin", "HEAD:main"]);
        id
    }
}

struct Followed {
    mirror: Mirror,
    sync_now: SyncNow,
    home: TempDir,
}

fn options(source: &str, home: &Path) -> Options {
    let Origin::Git(url) = parse(&[source]).unwrap().remove(0).origin else { panic!("{source} is a folder") };
    Options { period: PERIOD, time_limit: Duration::from_secs(20), ..Options::new(url, home) }
}

fn follow(source: &str) -> Followed {
    follow_by(source, |_| {})
}

fn follow_by(source: &str, change: impl FnOnce(&mut Options)) -> Followed {
    let home = tempfile::tempdir().unwrap();
    let mut options = options(source, home.path());
    change(&mut options);
    let sync_now = SyncNow::default();
    Followed { mirror: Mirror::start(options, &sync_now, CancellationToken::new()), sync_now, home }
}

impl Followed {
    async fn until(&self, what: &str, is: impl Fn(&Published) -> bool) -> Published {
        let mut published = self.mirror.published();
        let waited = tokio::time::timeout(PATIENCE, published.wait_for(|p| is(p))).await.map(|p| p.unwrap().clone());
        waited.unwrap_or_else(|_| panic!("never: {what}; last {:#?}", self.mirror.published().borrow().status))
    }

    async fn at(&self, commit: &str) -> Checkout {
        let is = |p: &Published| p.checkout.as_ref().is_some_and(|c| c.commit.id == commit) && p.status.state == State::Ok;
        self.until(commit, is).await.checkout.unwrap()
    }

    async fn degraded(&self, part: &str) -> Published {
        self.until(part, |p| p.status.state == State::Degraded && p.status.last_error.as_ref().is_some_and(|e| e.contains(part))).await
    }
}

fn read(checkout: &Checkout, path: &str) -> String {
    fs::read_to_string(checkout.tree.folder.join(path)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_seen_within_the_period() {
    let upstream = Upstream::new();
    upstream.put("dags/a.yaml", "one");
    let first = upstream.push("the first");
    let followed = follow(&format!("git+file://{}@main#dags", upstream.bare().display()));
    let seen = followed.at(&first).await;
    assert_eq!((read(&seen, "a.yaml").as_str(), seen.commit.subject.as_str()), ("one", "the first"));
    assert!(fs::metadata(seen.tree.folder.join("a.yaml")).unwrap().permissions().readonly());

    upstream.put("dags/a.yaml", "two");
    let second = upstream.push("the second");
    let begin = Instant::now();
    let newer = followed.at(&second).await;
    assert!(begin.elapsed() < PERIOD + Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!((read(&seen, "a.yaml").as_str(), read(&newer, "a.yaml").as_str()), ("one", "two"), "a published folder does not change");

    // Another commit with the same files is another commit in the same folder.
    upstream.put("elsewhere.txt", "x");
    let third = upstream.push("not below dags");
    assert_eq!(followed.at(&third).await.tree.folder, newer.tree.folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_does_not_wait_for_the_period() {
    let upstream = Upstream::new();
    upstream.put("a.yaml", "one");
    let first = upstream.push("first");
    let followed = follow_by(&format!("git+{}", upstream.bare().display()), |o| o.period = Duration::from_secs(3600));
    followed.at(&first).await;
    let second = upstream.push("second");
    followed.sync_now.ask();
    let begin = Instant::now();
    followed.at(&second).await;
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_tags_and_commits_are_followed_and_a_force_push_is_a_commit() {
    let upstream = Upstream::new();
    upstream.put("a.yaml", "one");
    let first = upstream.push("first");
    upstream.run(&upstream.work(), &["tag", "-a", "-m", "t", "v1"]);
    upstream.run(&upstream.work(), &["push", "--quiet", "origin", "v1"]);
    upstream.put("a.yaml", "two");
    let second = upstream.push("second");
    let bare = upstream.bare().display().to_string();
    let (head, tag, pinned) = (follow(&format!("git+{bare}")), follow(&format!("git+{bare}@v1")), follow(&format!("git+{bare}@{first}")));
    head.at(&second).await;
    assert_eq!(tag.at(&first).await.tree.id, pinned.at(&first).await.tree.id);

    upstream.run(&upstream.work(), &["reset", "--quiet", "--hard", &first]);
    upstream.put("a.yaml", "instead");
    let forced = upstream.push("history is rewritten");
    assert_eq!(read(&head.at(&forced).await, "a.yaml"), "instead");
    // The tag moves.
    upstream.run(&upstream.work(), &["tag", "--force", "-a", "-m", "t", "v1"]);
    upstream.run(&upstream.work(), &["push", "--quiet", "--force", "origin", "v1"]);
    tag.at(&forced).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_leaves_the_last_good_commit_and_says_so() {
    let upstream = Upstream::new();
    upstream.put("dags/a.yaml", "one");
    let first = upstream.push("first");
    let followed = follow(&format!("git+{}@main#dags", upstream.bare().display()));
    followed.at(&first).await;

    // The folder goes.
    upstream.run(&upstream.work(), &["mv", "dags", "gone"]);
    let second = upstream.push("no folder");
    let held = followed.degraded("has no folder dags").await;
    assert_eq!(
        held.status.last_error.as_deref(),
        Some(format!("commit {} has no folder dags: name another after #, or bring it back", &second[..10]).as_str())
    );
    assert_eq!(held.checkout.unwrap().commit.id, first);
    // A file takes its name.
    upstream.put("dags", "a file");
    upstream.push("a file");
    assert_eq!(followed.degraded("has no folder dags").await.status.commit.as_deref(), Some(first.as_str()));
    upstream.run(&upstream.work(), &["rm", "--quiet", "-f", "dags"]);
    upstream.run(&upstream.work(), &["mv", "gone", "dags"]);
    let back = upstream.push("it is back");
    assert_eq!(followed.at(&back).await.commit.id, back);

    // The repository goes away, and comes back.
    let aside = upstream.folder.path().join("aside.git");
    fs::rename(upstream.bare(), &aside).unwrap();
    let lost = followed.degraded("no such repository").await;
    assert!(lost.status.failing_since.is_some() && lost.status.failures >= 1);
    assert_eq!(lost.checkout.unwrap().commit.id, back);
    fs::rename(&aside, upstream.bare()).unwrap();
    let well = followed.until("well again", |p| p.status.state == State::Ok).await.status;
    assert_eq!((well.failures, well.last_error, well.failing_since), (0, None, None));

    let unknown = follow(&format!("git+{}@nope", upstream.bare().display()));
    assert!(unknown.degraded("no such branch").await.checkout.is_none());
    let without_git = follow_by(&format!("git+{}", upstream.bare().display()), |o| o.program = "/nowhere/git".into());
    without_git.degraded("install the package git").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_leave_and_files_that_are_none_are_told() {
    let upstream = Upstream::new();
    upstream.put("dags/a.yaml", "one");
    upstream.put("dags/deep/er/b.yaml", "b");
    upstream.put("secret.txt", "outside of the folder");
    let link = |target: &str, name: &str| symlink(target, upstream.work().join("dags").join(name)).unwrap();
    link("a.yaml", "good.yaml");
    link("deep/er", "folder");
    link("/etc/passwd", "absolute.yaml");
    link("../secret.txt", "climbs.yaml");
    // Each name by itself stays inside; the way through both does not.
    link("..", "deep/up");
    link("deep/up/../secret.txt", "by_another_link.yaml");
    link("nothing", "dangling.yaml");
    upstream.put("dags/model.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    upstream.put("dags/big.yaml", &"x".repeat(21 * 1024 * 1024));
    upstream.put("dags/.gitattributes", "hidden.yaml export-ignore\nsubst.yaml export-subst\n");
    upstream.put("dags/hidden.yaml", "hidden");
    upstream.put("dags/subst.yaml", "$Format:%H$");
    let commit = upstream.push("odd things");
    let followed = follow(&format!("git+{}#dags", upstream.bare().display()));
    let seen = followed.at(&commit).await;
    let folder = &seen.tree.folder;
    let left_out: BTreeSet<&str> = seen.tree.notes.iter().filter(|n| n.left_out).map(|n| n.path.as_str()).collect();
    assert_eq!(left_out, ["absolute.yaml", "big.yaml", "by_another_link.yaml", "climbs.yaml", "dangling.yaml"].into());
    for path in left_out {
        assert!(fs::symlink_metadata(folder.join(path)).is_err(), "{path} is there");
    }
    assert_eq!((read(&seen, "good.yaml").as_str(), read(&seen, "folder/b.yaml").as_str()), ("one", "b"));
    assert_eq!((read(&seen, "hidden.yaml").as_str(), read(&seen, "subst.yaml").as_str()), ("hidden", "$Format:%H$"));
    let notes = followed.mirror.published().borrow().status.notes.join("\n");
    assert!(notes.contains("model.bin: it is a pointer of Git LFS"), "{notes}");
    assert!(notes.contains("climbs.yaml: it is a link to ../secret.txt"), "{notes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_trees_go_unless_somebody_reads_them() {
    let upstream = Upstream::new();
    upstream.put("a.yaml", "0");
    let first = upstream.push("0");
    let followed = follow_by(&format!("git+{}", upstream.bare().display()), |o| o.period = Duration::from_millis(20));
    let held = followed.at(&first).await;
    for n in 1..=20 {
        upstream.put("a.yaml", &n.to_string());
        let commit = upstream.push(&n.to_string());
        followed.at(&commit).await;
    }
    let trees = || fs::read_dir(followed.home.path().join("trees")).unwrap().count();
    let begin = Instant::now();
    while trees() > 12 {
        assert!(begin.elapsed() < PATIENCE, "{} trees are left", trees());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(read(&held, "a.yaml"), "0");
    drop(held);
    while trees() > 11 {
        assert!(begin.elapsed() < PATIENCE, "{} trees are left", trees());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_without_the_server_knows_what_was_fetched() {
    let upstream = Upstream::new();
    upstream.put("a.yaml", "one");
    let first = upstream.push("first");
    let source = format!("git+{}", upstream.bare().display());
    let Followed { mirror, home, .. } = follow(&source);
    let again = Followed { mirror, home, sync_now: SyncNow::default() };
    again.at(&first).await;
    // A second process may not have the same folder.
    let second = Mirror::start(options(&source, again.home.path()), &SyncNow::default(), CancellationToken::new());
    let mut published = second.published();
    let refused = tokio::time::timeout(PATIENCE, published.wait_for(|p| p.status.state == State::Degraded)).await.unwrap().unwrap().clone();
    assert!(refused.status.last_error.unwrap().contains("a data folder of its own"));
    drop(second);

    let Followed { mirror, home, .. } = again;
    drop(mirror);
    // A killed fetch, a torn tree and no server.
    let trees = home.path().join("trees");
    fs::create_dir_all(trees.join("torn")).unwrap();
    fs::rename(upstream.bare(), upstream.folder.path().join("aside.git")).unwrap();
    let start = || Mirror::start(options(&source, home.path()), &SyncNow::default(), CancellationToken::new());
    let begin = Instant::now();
    let seen = loop {
        // The lock goes with the task, which ends at its next turn.
        let mirror = start();
        let mut published = mirror.published();
        let seen =
            tokio::time::timeout(PATIENCE, published.wait_for(|p| p.status.state == State::Degraded)).await.unwrap().unwrap().clone();
        if seen.checkout.is_some() {
            break seen;
        }
        assert!(begin.elapsed() < PATIENCE, "{:?}", seen.status);
    };
    assert_eq!(read(seen.checkout.as_ref().unwrap(), "a.yaml"), "one");
    assert!(!trees.join("torn").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_a_killed_git_does_not_stop_it_for_ever() {
    let upstream = Upstream::new();
    upstream.put("a.yaml", "one");
    let first = upstream.push("first");
    let followed = follow(&format!("git+{}", upstream.bare().display()));
    followed.at(&first).await;
    fs::write(followed.home.path().join("repo.git/shallow.lock"), "").unwrap();
    let second = upstream.push("second");
    followed.at(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_with_a_token_and_a_server_that_goes_away() {
    let upstream = Upstream::new();
    upstream.put("a.yaml", "one");
    let first = upstream.push("first");
    let server = http::Server::start(upstream.folder.path(), Some("s3cret")).await;
    let token = upstream.folder.path().join("token");
    fs::write(&token, "wrong\n").unwrap();
    let source = format!("git+http://127.0.0.1:{}/bare.git@main", server.port);
    let followed = follow_by(&source, |o| o.credentials = Credentials { token_file: Some(token.clone()), ..Credentials::default() });
    let refused = followed.degraded("the server refused the token").await;
    assert!(refused.checkout.is_none() && !format!("{:?}", refused.status).contains("wrong"));
    // The secret is rotated in its file.
    fs::write(&token, "s3cret\n").unwrap();
    followed.sync_now.ask();
    followed.at(&first).await;

    let port = server.port;
    server.stop().await;
    let lost = followed.degraded("the host cannot be reached").await;
    assert_eq!(lost.checkout.unwrap().commit.id, first);
    let second = upstream.push("second");
    let _server = http::Server::start_at(port, upstream.folder.path(), Some("s3cret")).await;
    followed.sync_now.ask();
    followed.at(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_costs_the_time_limit_and_leaves_no_process() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let source = format!("git+http://{}/a.git", silent.local_addr().unwrap());
    let followed = follow_by(&source, |o| o.time_limit = Duration::from_secs(1));
    followed.degraded("took longer than 1 s").await;
    let home = followed.home.path().as_os_str().as_encoded_bytes().to_vec();
    drop(followed);
    let begin = Instant::now();
    let left = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let ours = |env: Vec<u8>| env.windows(home.len()).any(|w| w == home);
        processes.filter(|p| fs::read(p.path().join("environ")).is_ok_and(ours)).count()
    };
    while left() > 0 {
        assert!(begin.elapsed() < Duration::from_secs(10), "git goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
