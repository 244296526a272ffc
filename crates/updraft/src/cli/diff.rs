//! `dags diff A..B`: what two commits of a repository mean for the DAGs: which come, which go, what changes in the others. Needs no API.
//!
//! Both commits' files are written to folders of their own, with an index of their own: neither the working tree nor git's index is touched.
//! They are read as the scheduler reads them, and compared by what they say, not by their text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::Args;
use serde_json::{Map, Value, json};
use updraft_dagfile::IgnoreSyntax;
use updraft_dagfile::loader::Loader;
use updraft_dagfile::python::{Processor, Snapshot};
use updraft_model::dag::diff::changes;

use super::http::Failure;
use super::output::{Listing, Output, text};

/// Options of `dags diff`.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// A..B: from commit A to commit B (HEAD when it is left out). A...B: from where both part. A alone: to the files as they are now.
    range: String,
    /// The repository, or a folder in it.
    #[arg(short = 'C', long, default_value = ".", value_name = "FOLDER")]
    repository: PathBuf,
    /// The folder of the DAG files in the repository.
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    folder: PathBuf,
    /// Exit with 1 when there is a difference, as git does.
    #[arg(long)]
    exit_code: bool,
    /// The Python that reads DAG files. Default: python3 of PATH.
    #[arg(long, env = "UPDRAFT_DAG_PYTHON")]
    dag_python: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

const LISTING: Listing = Listing {
    name: |d| text(&d["dag_id"]),
    columns: &[
        ("change", |d| text(&d["change"])),
        ("dag_id", |d| text(&d["dag_id"])),
        ("task_id", |d| text(&d["task_id"])),
        ("field", |d| text(&d["field"])),
        ("before", |d| text(&d["before"])),
        ("after", |d| text(&d["after"])),
    ],
    wide: &[("file", |d| text(&d["file"]))],
};

/// The DAGs of one side, and what cannot be read there.
#[derive(Debug, Default)]
struct Side {
    /// By id: the file, and what it says.
    dags: BTreeMap<String, (String, Value)>,
    broken: BTreeMap<String, String>,
}

/// What a range names.
#[derive(Debug, PartialEq, Eq)]
struct Range<'a> {
    from: &'a str,
    /// None: the files as they are.
    to: Option<&'a str>,
    /// From where both part.
    parting: bool,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Result<Self, Failure> {
        let or_head = |side: &'a str| if side.is_empty() { "HEAD" } else { side };
        let range = match (text.split_once("..."), text.split_once("..")) {
            (Some((from, to)), _) => Self { from: or_head(from), to: Some(or_head(to)), parting: true },
            (None, Some((from, to))) => Self { from: or_head(from), to: Some(or_head(to)), parting: false },
            (None, None) => Self { from: text, to: None, parting: false },
        };
        // What begins with a dash would be an option of git's.
        if [Some(range.from), range.to].into_iter().flatten().any(|side| side.is_empty() || side.starts_with('-')) {
            return Err(Failure::usage(format!("{text:?} names no commits: write A..B, as in main..my-branch")));
        }
        Ok(range)
    }
}

struct Repository<'a> {
    folder: &'a Path,
}

impl Repository<'_> {
    fn git(&self, index: Option<&Path>, words: &[&str]) -> Result<String, Failure> {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.folder).args(words).stdin(Stdio::null());
        // A hook that calls us has set these for its own repository.
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
            command.env_remove(name);
        }
        if let Some(index) = index {
            command.env("GIT_INDEX_FILE", index);
        }
        let done = command.output().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::usage("there is no git program: install git"),
            _ => Failure::new(1, format!("cannot start git: {error}")),
        })?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned());
        }
        let said = String::from_utf8_lossy(&done.stderr);
        let said = said.lines().find(|line| line.starts_with("fatal:")).or_else(|| said.lines().next()).unwrap_or("no reason given");
        Err(Failure::usage(format!("git {}: {}", words.first().copied().unwrap_or_default(), said.trim_start_matches("fatal: "))))
    }

    fn commit(&self, name: &str) -> Result<String, Failure> {
        self.git(None, &["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")])
            .map_err(|_| Failure::new(3, format!("there is no commit {name:?} in {}", self.folder.display())).next("git log --oneline"))
    }

    /// Writes the files of a commit to a folder.
    fn write(&self, commit: &str, folder: &Path) -> Result<(), Failure> {
        let index = folder.with_extension("index");
        self.git(Some(&index), &["read-tree", commit])?;
        // Relative to the top, wherever in the repository we are.
        let top = self.git(None, &["rev-parse", "--show-toplevel"])?;
        let top = PathBuf::from(top);
        let prefix = format!("--prefix={}/", folder.display());
        Repository { folder: &top }.git(Some(&index), &["checkout-index", "--all", &prefix])?;
        Ok(())
    }
}

async fn read(root: &Path, processor: Option<&Processor>) -> Result<Side, Failure> {
    let mut loader = Loader::new(processor.cloned(), IgnoreSyntax::default());
    let failed = |error: &dyn std::fmt::Display| Failure::new(1, format!("cannot read {}: {error}", root.display()));
    let changes = loader.refresh(root, &Snapshot::default()).await.map_err(|error| failed(&error))?;
    let mut side = Side::default();
    for file in changes.files {
        for dag in file.dags {
            let spec = serde_json::to_value(&*dag).map_err(|error| failed(&error))?;
            side.dags.insert(dag.dag_id.to_string(), (file.path.clone(), spec));
        }
        if let Some(error) = file.errors.first() {
            side.broken.insert(file.path.clone(), error.message.clone());
        }
    }
    Ok(side)
}

fn change(kind: &str, dag: &str, file: &str) -> Map<String, Value> {
    let mut row = Map::new();
    for (key, value) in [("change", json!(kind)), ("dag_id", json!(dag)), ("file", json!(file))] {
        row.insert(key.to_owned(), value);
    }
    for key in ["task_id", "field", "before", "after"] {
        row.insert(key.to_owned(), Value::Null);
    }
    row
}

/// What changed, one row for each.
fn compare(before: &Side, after: &Side) -> Vec<Value> {
    let mut rows: Vec<Value> = Vec::new();
    let mut push = |mut row: Map<String, Value>, set: &[(&str, Value)]| {
        for (key, value) in set {
            row.insert((*key).to_owned(), value.clone());
        }
        rows.push(Value::Object(row));
    };
    for (file, message) in &after.broken {
        if !before.broken.contains_key(file) {
            push(change("broken", "", file), &[("after", json!(message))]);
        }
    }
    let ids: std::collections::BTreeSet<&String> = before.dags.keys().chain(after.dags.keys()).collect();
    for id in ids {
        let (file, old, new) = match (before.dags.get(id), after.dags.get(id)) {
            (Some((_, old)), Some((file, new))) => (file, old, new),
            (None, Some((file, new))) => {
                push(change("added", id, file), &[("after", json!(count(new)))]);
                continue;
            }
            (Some((file, old)), None) => {
                // Its file is still there and cannot be read: the DAG is not gone.
                let kind = if after.broken.contains_key(file) { "broken" } else { "removed" };
                push(change(kind, id, file), &[("before", json!(count(old)))]);
                continue;
            }
            (None, None) => continue,
        };
        for found in changes(old, new) {
            push(
                change(found.kind.as_str(), id, file),
                &[("task_id", json!(found.task_id)), ("field", json!(found.field)), ("before", found.before), ("after", found.after)],
            );
        }
    }
    rows
}

fn count(dag: &Value) -> String {
    let count = dag["tasks"].as_array().map_or(0, Vec::len);
    format!("{count} task{}", if count == 1 { "" } else { "s" })
}

pub(crate) async fn run(options: &Diff) -> Result<ExitCode, Failure> {
    let range = Range::parse(&options.range)?;
    let repository = Repository { folder: &options.repository };
    let mut from = repository.commit(range.from)?;
    let to = range.to.map(|name| repository.commit(name)).transpose()?;
    if let (true, Some(to)) = (range.parting, &to) {
        from = repository.git(None, &["merge-base", &from, to])?;
    }
    let scratch = Scratch::new()?;
    let (old, new) = (scratch.path.join("a"), scratch.path.join("b"));
    repository.write(&from, &old)?;
    let new = match &to {
        Some(to) => {
            repository.write(to, &new)?;
            new
        }
        None => PathBuf::from(repository.git(None, &["rev-parse", "--show-toplevel"])?),
    };
    let processor = match crate::check::reader(options.dag_python.clone(), std::time::Duration::from_secs(30)) {
        Ok(processor) => Some(processor),
        Err(error) => {
            crate::say(&format!("warning: python DAG files are left out: {error}"));
            None
        }
    };
    let mut sides = Vec::new();
    for (root, name) in [(&old, range.from), (&new, range.to.unwrap_or("the working tree"))] {
        let folder = root.join(&options.folder);
        if !folder.is_dir() {
            // A folder that comes or goes with the range.
            crate::say(&format!("note: there is no folder {} in {name}", options.folder.display()));
            sides.push(Side::default());
            continue;
        }
        sides.push(read(&folder, processor.as_ref()).await?);
    }
    let [before, after] = &sides[..] else { return Err(Failure::new(1, "two sides were expected")) };
    let rows = compare(before, after);
    if rows.is_empty() {
        crate::say(&format!("no difference: {} DAGs say the same", after.dags.len()));
    }
    let printed = options.output.list(&rows, &LISTING);
    Ok(if options.exit_code && !rows.is_empty() { ExitCode::FAILURE } else { printed })
}

/// A folder that goes when it is dropped.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> Result<Self, Failure> {
        use std::os::unix::fs::DirBuilderExt as _;
        let path = std::env::temp_dir().join(format!("updraft-diff-{}-{}", std::process::id(), uuid::Uuid::new_v4().simple()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Failure::new(1, format!("cannot make {}: {error}", path.display())))?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(dags: &[(&str, Value)]) -> Side {
        let dags = dags.iter().map(|(id, spec)| ((*id).to_owned(), ("a.yaml".to_owned(), spec.clone()))).collect();
        Side { dags, broken: BTreeMap::new() }
    }

    fn short(rows: &[Value]) -> Vec<String> {
        rows.iter().map(|row| LISTING.columns.iter().map(|(_, show)| show(row)).collect::<Vec<_>>().join("|")).collect()
    }

    #[test]
    fn ranges_are_gits() {
        let range = |text| Range::parse(text).ok();
        assert_eq!(range("a..b"), Some(Range { from: "a", to: Some("b"), parting: false }));
        assert_eq!(range("a.."), Some(Range { from: "a", to: Some("HEAD"), parting: false }));
        assert_eq!(range("main...topic"), Some(Range { from: "main", to: Some("topic"), parting: true }));
        assert_eq!(range("v1.2"), Some(Range { from: "v1.2", to: None, parting: false }));
        assert!(range("--upload-pack=x..b").is_none() && range("a..-b").is_none() && range("").is_none());
    }

    #[test]
    fn what_dags_say_is_compared() {
        let dag = |schedule: &str, tasks: Value| json!({"dag_id": "x", "schedule": schedule, "tasks": tasks});
        let before = side(&[
            ("gone", dag("@daily", json!([]))),
            ("same", dag("@daily", json!([{"task_id": "t"}]))),
            ("x", dag("@daily", json!([{"task_id": "load", "retries": 1}, {"task_id": "old"}]))),
        ]);
        let after = side(&[
            ("fresh", dag("@daily", json!([{"task_id": "t"}]))),
            ("same", dag("@daily", json!([{"task_id": "t"}]))),
            ("x", dag("@hourly", json!([{"task_id": "load", "retries": 2, "pool": "p"}, {"task_id": "new"}]))),
        ]);
        assert_eq!(
            short(&compare(&before, &after)),
            [
                "added|fresh||||1 task",
                "removed|gone|||0 tasks|",
                "changed|x||schedule|@daily|@hourly",
                "changed|x|load|pool||p",
                "changed|x|load|retries|1|2",
                "added|x|new|||",
                "removed|x|old|||",
            ]
        );
        assert!(compare(&before, &before).is_empty());
    }

    #[test]
    fn a_dag_whose_file_broke_is_not_gone() {
        let before = side(&[("x", json!({"tasks": []}))]);
        let mut after = side(&[]);
        after.broken.insert("a.yaml".to_owned(), "no".to_owned());
        assert_eq!(short(&compare(&before, &after)), ["broken|||||no", "broken|x|||0 tasks|"]);
    }
}
