//! `updraft init`: a new repository of DAGs, with the image of its tasks and what installs Updraft.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::{USAGE, say};

/// The files of a repository. `@@name@@` and the like stand for the answers.
macro_rules! files {
    ($($path:literal),* $(,)?) => { &[$(($path, include_str!(concat!("init/template/", $path)))),*] };
}

const FILES: &[(&str, &str)] = files![
    ".dockerignore",
    ".github/workflows/dags.yaml",
    ".gitignore",
    "Makefile",
    "README.md",
    "dags/diamond.py",
    "dags/diamond_yaml.yaml",
    "image/.dockerignore",
    "image/Dockerfile",
    "image/VERSION",
    "image/bin/task",
    "image/requirements.txt",
    "image/task/__init__.py",
    "image/task/__main__.py",
    "image/task/cli.py",
    "image/task/steps.py",
    "image/task/xcom.py",
    "image/tests/__init__.py",
    "image/tests/test_task.py",
    "values/dev.yaml",
    "values/prod.yaml",
];
/// Those of them that are programs.
const PROGRAMS: &[&str] = &["image/bin/task"];

/// What is asked.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  updraft init sales\n  updraft init sales --registry 123456789012.dkr.ecr.eu-west-1.amazonaws.com --namespace sales\n\nWhat is not given is asked for on a terminal, and has its default elsewhere."
)]
pub(crate) struct Options {
    /// Name of the repository: of its folder, its DAGs and its image.
    #[arg(value_parser = name)]
    name: String,
    /// Where images are pushed to, without their name. Default: localhost.
    #[arg(long, value_parser = registry)]
    registry: Option<String>,
    /// The namespace of the cluster that Updraft and its tasks live in. Default: updraft.
    #[arg(long, value_parser = name)]
    namespace: Option<String>,
    /// Where the folder is made.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    directory: PathBuf,
}

/// A name that fits everywhere that it is used: Kubernetes, image registries, DAG ids.
fn name(text: &str) -> Result<String, String> {
    let fits = text.len() <= 40
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if fits { Ok(text.to_owned()) } else { Err("at most 40 of a-z, 0-9 and -, the first a letter, the last no -".to_owned()) }
}

fn registry(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    let fits = !text.is_empty()
        && !text.contains("//")
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._:/".contains(c));
    if fits { Ok(text.to_owned()) } else { Err("a host and perhaps a path, in lower case and without a scheme: ghcr.io/team".to_owned()) }
}

pub(crate) fn run(options: &Options) -> ExitCode {
    let answers = (|| {
        let registry = ask("Where are images pushed to", options.registry.as_deref(), "localhost", registry)?;
        let namespace = ask("Which namespace does Updraft live in", options.namespace.as_deref(), "updraft", name)?;
        Ok::<_, std::io::Error>((registry, namespace))
    })();
    let (registry, namespace) = match answers {
        Ok(answers) => answers,
        Err(error) => {
            say(&format!("error: cannot read the answer: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let folder = options.directory.join(&options.name);
    match make(&folder, &options.name, &registry, &namespace) {
        Ok(()) => {
            let shown = folder.display();
            say(&format!(
                "made {shown} with {} files\n\nNext:\n  cd {shown}\n  make help         # README.md says what each is for",
                FILES.len()
            ));
            if let Some(parent) = in_a_repository(&folder) {
                say(&format!("  git add .         # it lies in the repository {}", parent.display()));
            } else {
                say("  git init && git add . && git commit -m 'A repository of DAGs'");
            }
            ExitCode::SUCCESS
        }
        Err(mistake) => {
            say(&format!("error: {mistake}"));
            ExitCode::from(USAGE)
        }
    }
}

/// Asks until the answer fits; nobody is asked who gave it by a flag or is not there.
fn ask(question: &str, given: Option<&str>, default: &str, fits: fn(&str) -> Result<String, String>) -> std::io::Result<String> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(default.to_owned());
    }
    loop {
        say(&format!("{question}? [{default}]"));
        let mut line = String::new();
        if std::io::stdin().read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(default.to_owned());
        }
        match fits(line.trim()) {
            Ok(answer) => return Ok(answer),
            Err(why) => say(&format!("no: {why}")),
        }
    }
}

/// Writes the files. What is there already is never touched.
fn make(folder: &Path, name: &str, registry: &str, namespace: &str) -> Result<(), String> {
    let there: Vec<&str> = FILES.iter().map(|(path, _)| *path).filter(|path| folder.join(path).exists()).collect();
    if let Some(first) = there.first() {
        return Err(format!(
            "{} has {} of the files already, {first} among them: take another name, or remove them",
            folder.display(),
            there.len()
        ));
    }
    let image = format!("{registry}/{name}");
    for (path, text) in FILES {
        let text = [("@@name@@", name), ("@@registry@@", registry), ("@@namespace@@", namespace), ("@@image@@", &image)]
            .into_iter()
            .fold((*text).to_owned(), |text, (word, answer)| text.replace(word, answer));
        let path_there = folder.join(path);
        let failed = |error: std::io::Error| format!("cannot write {}: {error}", path_there.display());
        if let Some(parent) = path_there.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        std::fs::write(&path_there, text).map_err(failed)?;
        if PROGRAMS.contains(path) {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path_there, std::fs::Permissions::from_mode(0o755)).map_err(failed)?;
        }
    }
    Ok(())
}

fn in_a_repository(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    folder.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn below(folder: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "__pycache__") {
                    below(&path, found);
                }
            } else {
                found.insert(path);
            }
        }
    }

    #[test]
    fn every_file_of_the_template_is_in_the_program() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/init/template");
        let mut found = BTreeSet::new();
        below(&root, &mut found);
        let found: BTreeSet<&str> = found.iter().map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap()).collect();
        assert_eq!(found, FILES.iter().map(|(path, _)| *path).collect());
    }

    #[test]
    fn a_repository_has_no_open_question_and_is_made_once() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("sales");
        make(&folder, "sales", "ghcr.io/team", "analytics").unwrap();
        for (path, _) in FILES {
            let text = std::fs::read_to_string(folder.join(path)).unwrap();
            assert!(!text.contains("@@"), "{path} has a placeholder");
        }
        let makefile = std::fs::read_to_string(folder.join("Makefile")).unwrap();
        assert!(makefile.contains("NAME := sales") && makefile.contains("ghcr.io/team") && makefile.contains("analytics"), "{makefile}");
        let again = make(&folder, "sales", "elsewhere", "x").unwrap_err();
        assert!(again.contains("already"), "{again}");
        assert!(std::fs::read_to_string(folder.join("Makefile")).unwrap().contains("ghcr.io/team"), "nothing is overwritten");
    }

    #[test]
    fn names_fit_kubernetes_and_registries() {
        for good in ["sales", "a1", "team-sales-2"] {
            assert!(name(good).is_ok(), "{good}");
        }
        for bad in ["", "Sales", "1a", "-a", "a-", "a_b", "a b", "ä", &"a".repeat(41)] {
            assert!(name(bad).is_err(), "{bad}");
        }
        assert_eq!(registry("ghcr.io/team/").unwrap(), "ghcr.io/team");
        assert!(registry("https://ghcr.io").is_err() && registry("GHCR.io").is_err());
    }
}
