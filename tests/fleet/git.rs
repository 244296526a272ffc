//! DAG files from a repository that is pushed to without a pause, forced back, broken, emptied and taken away: no version mixes two commits,
//! no DAG is lost that the last good commit has, `doctor` says how it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::chaos::runs;
use crate::roles::{Fleet, Plan};

/// Runs git in a folder.
pub(crate) fn git(folder: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "init.defaultBranch=main", "-c", "gc.auto=0"])
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const DAGS: [&str; 5] = ["a", "b", "c", "d", "e"];

struct Repository {
    /// What is served.
    bare: PathBuf,
    clone: PathBuf,
    pushes: usize,
}

impl Repository {
    fn new(folder: &Path) -> Self {
        let (bare, clone) = (folder.join("dags.git"), folder.join("clone"));
        fs::create_dir_all(&bare).unwrap();
        git(&bare, &["init", "-q", "--bare"]);
        git(folder, &["clone", "-q", bare.to_str().unwrap(), "clone"]);
        Self { bare, clone, pushes: 0 }
    }

    /// Pushes what the change leaves in the clone, and returns the commit.
    fn push(&mut self, change: impl FnOnce(&Path), force: bool) -> String {
        change(&self.clone);
        git(&self.clone, &["add", "-A"]);
        git(&self.clone, &["commit", "-q", "--allow-empty", "-m", &format!("push {}", self.pushes)]);
        git(&self.clone, if force { &["push", "-q", "-f", "origin", "HEAD:main"] } else { &["push", "-q", "origin", "HEAD:main"] });
        self.pushes += 1;
        git(&self.clone, &["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// A commit in which every DAG says the same number.
    fn push_all(&mut self, force: bool) -> String {
        let n = self.pushes;
        self.push(|clone| write_all(clone, n), force)
    }
}

fn write_all(clone: &Path, n: usize) {
    for dag in DAGS {
        fs::write(clone.join(format!("{dag}.yaml")), format!("dag_id: {dag}\ntasks:\n  t: {{bash_command: echo {n}}}\n")).unwrap();
    }
}

/// The ids of the DAGs that are scheduled.
fn dags(fleet: &Fleet) -> Option<Vec<String>> {
    let answer = fleet.get("/api/v2/dags?order_by=dag_id")?;
    Some(answer["dags"].as_array()?.iter().map(|dag| dag["dag_id"].as_str().unwrap_or_default().to_owned()).collect())
}

/// The newest version of a DAG: its commit and its file.
fn newest(fleet: &Fleet, dag: &str) -> Option<(String, String)> {
    let answer = fleet.get(&format!("/api/v2/dags/{dag}/dagVersions?order_by=-version_number&limit=1"))?;
    let version = &answer["dag_versions"][0];
    let source = fleet.get(&format!("/api/v2/dagSources/{dag}?version_number={}", version["version_number"]))?;
    Some((version["bundle_version"].as_str()?.to_owned(), source["content"].as_str()?.to_owned()))
}

/// What `doctor` says of the repository.
fn doctor(fleet: &Fleet) -> Value {
    let answer = fleet.get("/ui/doctor").unwrap_or_default();
    let of_dags = |finding: &&Value| finding["id"].as_str().is_some_and(|id| id.starts_with("dags:"));
    answer["findings"].as_array().and_then(|all| all.iter().find(of_dags)).cloned().unwrap_or_default()
}

#[test]
fn five_hundred_pushes_tear_no_version_and_lose_no_dag() {
    let folder = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(folder.path());
    repository.push_all(false);
    let source = format!("git+file://{}@main", repository.bare.display());
    // A second is the shortest period: as many scans as can be among the pushes.
    let plan = Plan { schedulers: 1, workers: 1, dags: Some(source), scheduler_words: &["--git-period", "1"], ..Plan::default() };
    let mut fleet = Fleet::start(&[], plan);
    fleet.until(Duration::from_secs(30), "the first commit is there", |fleet| dags(fleet).is_some_and(|all| all == DAGS));
    let all_there = |fleet: &Fleet, when: &str| {
        if let Some(found) = dags(fleet) {
            assert_eq!(found, DAGS, "{when}");
        }
    };
    let pushes = runs(500);
    for n in 1..pushes {
        match n % 50 {
            // History that is taken back, as after a rebase.
            10 => {
                git(&repository.clone, &["reset", "-q", "--hard", "HEAD~1"]);
                repository.push_all(true);
            }
            // One file that cannot be read, beside four new ones.
            20 => {
                repository.push(
                    |clone| {
                        write_all(clone, n);
                        fs::write(clone.join("b.yaml"), "dag_id: b\ntasks: [").unwrap();
                    },
                    false,
                );
            }
            30 => {
                repository.push(|clone| DAGS.iter().for_each(|dag| fs::remove_file(clone.join(format!("{dag}.yaml"))).unwrap()), false);
            }
            _ => {
                repository.push_all(false);
            }
        }
        all_there(&fleet, &format!("after push {n}"));
    }
    let last = repository.push_all(false);
    fleet.until(Duration::from_secs(10), "the last push is seen", |fleet| newest(fleet, "e").is_some_and(|(commit, _)| commit == last));
    // Each version's text is that of the commit which it names.
    let versions = fleet.postgres.query("select dag_id || ' ' || git_commit || ' ' || replace(source, E'\\n', '|') from dag_version");
    let mut seen = 0;
    for line in versions.lines() {
        let [dag, commit, text] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        // A commit that was forced away is still in the clone.
        let pushed = git(&repository.clone, &["show", &format!("{commit}:{dag}.yaml")]);
        assert_eq!(text, pushed.replace('\n', "|"), "{dag} of {commit}");
        seen += 1;
    }
    // All DAGs of a commit, or (in a commit with a broken file) all but one, came in together.
    let torn = fleet.postgres.query("select count(*) from (select git_commit from dag_version group by 1 having count(*) < 4) as torn");
    assert_eq!(torn, "0");
    eprintln!("{pushes} pushes, {} commits taken", seen / DAGS.len());
    assert!(seen >= DAGS.len() * 5, "too few scans for so many pushes: {seen} versions");
    goes_wrong(&mut fleet, &mut repository);
    fleet.assert_clean();
}

/// A broken commit, an emptied one and a server that cannot be reached: what is there stays, and it is said with the next heartbeat, which comes
/// every ten seconds.
fn goes_wrong(fleet: &mut Fleet, repository: &mut Repository) {
    let stays = |fleet: &mut Fleet, what: &str, words: &str| {
        fleet.until(Duration::from_secs(25), &format!("doctor says {words:?} ({what})"), |fleet| {
            assert_eq!(dags(fleet).unwrap(), DAGS, "{what}");
            doctor(fleet).to_string().contains(words)
        });
        eprintln!("{what}: {}", doctor(fleet));
    };
    repository.push(|clone| fs::write(clone.join("c.yaml"), "dag_id: c\ntasks: [").unwrap(), false);
    stays(fleet, "a broken file", "1 with mistakes");
    let errors = fleet.get("/api/v2/importErrors").unwrap();
    assert!(errors["total_entries"] == 1 && errors.to_string().contains("c.yaml"), "{errors}");
    repository.push(|clone| DAGS.iter().for_each(|dag| fs::remove_file(clone.join(format!("{dag}.yaml"))).unwrap()), false);
    stays(fleet, "an emptied tree", "has no DAG any more");
    let away = repository.bare.with_extension("away");
    fs::rename(&repository.bare, &away).unwrap();
    stays(fleet, "a repository that is gone", " times");
    fs::rename(&away, &repository.bare).unwrap();
    let again = repository.push_all(false);
    fleet.until(Duration::from_secs(70), "it goes on", |fleet| newest(fleet, "c").is_some_and(|(commit, _)| commit == again));
    fleet.until(Duration::from_secs(25), "doctor is content", |fleet| doctor(fleet)["status"] == "ok");
}

#[test]
fn a_push_is_visible_within_the_period_and_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(folder.path());
    repository.push_all(false);
    let source = format!("git+file://{}@main", repository.bare.display());
    let mut fleet = Fleet::start(&[], Plan { schedulers: 1, workers: 0, dags: Some(source), ..Plan::default() });
    fleet.until_dag("e");
    for _ in 0..5 {
        let commit = repository.push_all(false);
        let begin = Instant::now();
        fleet.until(Duration::from_secs(6), "a push is visible", |fleet| newest(fleet, "e").is_some_and(|(at, _)| at == commit));
        eprintln!("visible after {:.2} s", begin.elapsed().as_secs_f64());
    }
}
