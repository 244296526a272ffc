use std::fs;

use super::*;

struct Folder {
    root: tempfile::TempDir,
    loader: Loader,
}

impl Folder {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), loader: Loader::new(None, IgnoreSyntax::Glob) }
    }

    fn put(&self, path: &str, text: &str) {
        fs::write(self.root.path().join(path), text).unwrap();
    }

    fn dag(&self, path: &str, id: &str) {
        self.put(path, &format!("dag_id: {id}\ntasks: {{}}\n"));
    }

    async fn refresh(&mut self) -> Changes {
        self.loader.refresh(self.root.path(), &Snapshot::default()).await.unwrap()
    }
}

/// `path: ids (errors)` of each file, in short.
fn short(changes: &Changes) -> Vec<String> {
    let ids = |file: &FileResult| file.dags.iter().map(|dag| dag.dag_id.to_string()).collect::<Vec<_>>().join(",");
    changes.files.iter().map(|file| format!("{}: {} ({})", file.path, ids(file), file.errors.len())).collect()
}

#[tokio::test]
async fn only_what_changed_is_parsed() {
    let mut folder = Folder::new();
    folder.dag("a.yaml", "a");
    folder.dag("b.yaml", "b");
    folder.put("values.yaml", "replicas: 3\n");
    assert_eq!(short(&folder.refresh().await), ["a.yaml: a (0)", "b.yaml: b (0)", "values.yaml:  (0)"]);
    let again = folder.refresh().await;
    assert_eq!((again.files.len(), again.unchanged), (0, 3));
    folder.dag("b.yaml", "b2");
    assert_eq!(short(&folder.refresh().await), ["b.yaml: b2 (0)"]);
    fs::remove_file(folder.root.path().join("a.yaml")).unwrap();
    let gone = folder.refresh().await;
    assert_eq!((gone.files.len(), gone.removed), (0, vec!["a.yaml".to_owned()]));
}

#[tokio::test]
async fn an_id_belongs_to_one_file() {
    let mut folder = Folder::new();
    folder.dag("b.yaml", "x");
    folder.refresh().await;
    // An earlier name does not take it away.
    folder.dag("a.yaml", "x");
    let second = folder.refresh().await;
    assert_eq!(short(&second), ["a.yaml:  (1)"]);
    assert!(second.files[0].errors[0].message.contains("is taken by b.yaml"), "{}", second.files[0].errors[0]);
    // A broken owner keeps its id.
    folder.put("b.yaml", "dag_id: x\ntasks: [\n");
    assert_eq!(short(&folder.refresh().await), ["b.yaml:  (1)"]);
    // A gone one does not, and the other file is told without being parsed.
    fs::remove_file(folder.root.path().join("b.yaml")).unwrap();
    let last = folder.refresh().await;
    assert_eq!((short(&last), last.unchanged), (vec!["a.yaml: x (0)".to_owned()], 1));

    // Of two new files the first by path has it.
    let mut fresh = Folder::new();
    fresh.dag("b.yaml", "x");
    fresh.dag("a.yaml", "x");
    assert_eq!(short(&fresh.refresh().await), ["a.yaml: x (0)", "b.yaml:  (1)"]);
}

#[tokio::test]
async fn a_missing_or_emptied_folder_takes_nothing_away_unseen() {
    let mut folder = Folder::new();
    folder.dag("a.yaml", "a");
    folder.refresh().await;
    let elsewhere = folder.root.path().join("missing");
    assert!(matches!(folder.loader.refresh(&elsewhere, &Snapshot::default()).await, Err(Error::Root(_))));
    assert_eq!(folder.refresh().await.unchanged, 1, "a failed refresh forgets nothing");
    fs::remove_file(folder.root.path().join("a.yaml")).unwrap();
    let empty = folder.refresh().await;
    assert!(empty.emptied);
    assert_eq!(empty.removed, ["a.yaml"]);
}

#[tokio::test]
async fn another_folder_with_the_same_files_costs_nothing() {
    let mut folder = Folder::new();
    folder.dag("a.yaml", "a");
    folder.refresh().await;
    let next = tempfile::tempdir().unwrap();
    fs::copy(folder.root.path().join("a.yaml"), next.path().join("a.yaml")).unwrap();
    let changes = folder.loader.refresh(next.path(), &Snapshot::default()).await.unwrap();
    assert_eq!((changes.files.len(), changes.unchanged), (0, 1));
}
