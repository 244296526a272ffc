//! The flags that say where DAG files come from and who reads them: the same for every role that reads them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use updraft_dagfile::parser::ParserConfig;
use updraft_dagfile::python;
use updraft_git::{Credentials, Origin, Scheme, Source};
use updraft_scheduler::{DagOrigin, DagSource};

/// Where DAG files come from.
#[derive(Debug, Clone, Args)]
pub(crate) struct DagSources {
    /// Folder of DAG files, .py and .yaml, or a repository: git+https://host/team/dags.git@main#folder, git+ssh://…, git+file:///srv/dags.git.
    /// May be given several times; the variable holds several separated by commas.
    #[arg(long, env = "UPDRAFT_DAGS", default_value = "dags", value_name = "FOLDER|URL")]
    pub(crate) dags: Vec<String>,
    /// How often repositories are asked for news, in seconds.
    #[arg(long, env = "UPDRAFT_GIT_PERIOD", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    git_period: u64,
    /// How long one git command may take, in seconds. A first fetch of a very large repository may need more.
    #[arg(long, env = "UPDRAFT_GIT_TIMEOUT", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    git_timeout: u64,
    /// A file with the token for git+https. Read at each fetch.
    #[arg(long, env = "UPDRAFT_GIT_TOKEN_FILE", value_name = "FILE")]
    git_token_file: Option<PathBuf>,
    /// The user that the token belongs to. Default: x-access-token.
    #[arg(long, env = "UPDRAFT_GIT_USERNAME")]
    git_username: Option<String>,
    /// A private key for git+ssh.
    #[arg(long, env = "UPDRAFT_GIT_SSH_KEY_FILE", value_name = "FILE")]
    git_ssh_key_file: Option<PathBuf>,
    /// The known_hosts file for git+ssh.
    #[arg(long, env = "UPDRAFT_GIT_KNOWN_HOSTS_FILE", value_name = "FILE")]
    git_known_hosts_file: Option<PathBuf>,
    /// Who reads DAG files: `here`, in this process; `child`, a process of its own without credentials; `unix:PATH`, one that listens there.
    #[arg(long, env = "UPDRAFT_DAG_PROCESSOR", value_name = "here|child|unix:PATH", value_parser = reader)]
    dag_processor: Option<Reader>,
    /// The Python that reads DAG files. Default: python3 of PATH.
    #[arg(long, env = "UPDRAFT_DAG_PYTHON")]
    dag_python: Option<PathBuf>,
    /// How long one Python file may take, in seconds.
    #[arg(long, env = "UPDRAFT_DAG_FILE_TIMEOUT", default_value_t = 30)]
    dag_file_timeout: u64,
}

/// Who reads DAG files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reader {
    /// This process.
    Here,
    /// A child of it.
    Child,
    /// A container of its own.
    Remote(PathBuf),
}

fn reader(text: &str) -> Result<Reader, String> {
    match text {
        "here" => Ok(Reader::Here),
        "child" => Ok(Reader::Child),
        _ => socket(text).map(Reader::Remote).map_err(|_| "here, child, or unix: and the path of a socket".to_owned()),
    }
}

/// The path after `unix:`.
pub(crate) fn socket(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("unix:").map(Path::new) {
        Some(path) if path.is_absolute() => Ok(path.to_owned()),
        _ => Err("unix: and the absolute path of a socket".to_owned()),
    }
}

impl DagSources {
    /// The Python that standalone runs Python tasks with: the one that reads DAG files.
    pub(crate) fn task_python(&self) -> String {
        let Some(python) = &self.dag_python else { return "python3".to_owned() };
        // A task runs in a folder of its own. A bare name is looked up in PATH.
        let bare = python.components().count() == 1;
        let found = if bare { python.clone() } else { std::path::absolute(python).unwrap_or_else(|_| python.clone()) };
        found.to_string_lossy().into_owned()
    }

    /// All that is wrong with the flags.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let sources = match updraft_git::parse(&self.dags) {
            Ok(sources) => sources,
            Err(mistakes) => return mistakes.iter().map(ToString::to_string).collect(),
        };
        let credentials = self.credentials();
        let mut mistakes = Vec::new();
        for source in sources {
            match &source.origin {
                Origin::Folder(path) if !path.is_dir() => {
                    mistakes.push(format!("--dags {}: no such folder; make it, or name another", path.display()));
                }
                Origin::Folder(_) => {}
                Origin::Git(url) => {
                    for mistake in credentials.mistakes(url) {
                        if !mistakes.contains(&mistake) {
                            mistakes.push(mistake);
                        }
                    }
                }
            }
        }
        mistakes
    }

    /// What should be known before the start, but does not prevent it.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let plain = |source: &Source| matches!(&source.origin, Origin::Git(url) if url.scheme() == Scheme::Http);
        let sends = self.git_token_file.is_some() && updraft_git::parse(&self.dags).is_ok_and(|all| all.iter().any(plain));
        sends
            .then(|| "--git-token-file: git+http sends the token readable over the network; git+https does not".to_owned())
            .into_iter()
            .collect()
    }

    /// The sources as people should see them.
    pub(crate) fn shown(&self) -> Vec<String> {
        let sources = updraft_git::parse(&self.dags).unwrap_or_default();
        sources
            .into_iter()
            .map(|source| match source.origin {
                Origin::Folder(path) => path.canonicalize().unwrap_or(path).display().to_string(),
                Origin::Git(url) => url.to_string(),
            })
            .collect()
    }

    /// The only folder, if there is nothing else: what a data folder may be named after.
    pub(crate) fn only_folder(&self) -> Option<PathBuf> {
        match updraft_git::parse(&self.dags).ok()?.as_slice() {
            [Source { origin: Origin::Folder(path), .. }] => path.canonicalize().ok(),
            _ => None,
        }
    }

    /// What the scheduler follows. Clones and Python's side go below `data`; `default` reads the files where no flag says who does.
    pub(crate) fn sources(&self, data: &Path, default: Reader) -> anyhow::Result<Vec<DagSource>> {
        let parser = self.parser(data, self.dag_processor.clone().unwrap_or(default))?;
        let sources = updraft_git::parse(&self.dags).map_err(|mistakes| anyhow::anyhow!("{}", mistakes[0]))?;
        let mut found = Vec::with_capacity(sources.len());
        for Source { bundle, origin } in sources {
            let origin = match origin {
                // Links on the way stay: git-sync switches one of them.
                Origin::Folder(path) => DagOrigin::Folder(std::path::absolute(&path)?),
                Origin::Git(url) => DagOrigin::Git(Box::new(updraft_git::Options {
                    credentials: self.credentials(),
                    period: Duration::from_secs(self.git_period),
                    time_limit: Duration::from_secs(self.git_timeout),
                    ..updraft_git::Options::new(url, data.join("git").join(&bundle))
                })),
            };
            found.push(DagSource { bundle, origin, parser: parser.clone() });
        }
        Ok(found)
    }

    fn credentials(&self) -> Credentials {
        Credentials {
            token_file: self.git_token_file.clone(),
            username: self.git_username.clone(),
            ssh_key_file: self.git_ssh_key_file.clone(),
            known_hosts_file: self.git_known_hosts_file.clone(),
        }
    }

    fn parser(&self, data: &Path, reader: Reader) -> anyhow::Result<ParserConfig> {
        let unpack_to = data.join("python");
        std::fs::create_dir_all(&unpack_to).with_context(|| format!("cannot make {}", unpack_to.display()))?;
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        // A file may be read twice, when the warm Python died before it; then there is the rest of the work.
        let patience = Duration::from_secs(self.dag_file_timeout.saturating_mul(2).saturating_add(60));
        Ok(match reader {
            Reader::Here => ParserConfig::InProcess {
                python: Some(python::Options {
                    python: self.dag_python.clone(),
                    helper: vec![program.into(), "sandbox".into()],
                    timeout: Duration::from_secs(self.dag_file_timeout),
                    unpack_to: Some(unpack_to),
                    hide: vec![data.to_owned()],
                    ..python::Options::default()
                }),
            },
            Reader::Child => {
                let mut command = vec![program.into(), "dag-processor".into(), "--stdio".into(), "--dag-file-timeout".into()];
                command.push(self.dag_file_timeout.to_string().into());
                command.extend(["--unpack-to".into(), unpack_to.into_os_string(), "--hide".into(), data.into()]);
                if let Some(python) = &self.dag_python {
                    command.extend(["--dag-python".into(), python.into()]);
                }
                ParserConfig::Child { command, patience }
            }
            Reader::Remote(socket) => ParserConfig::Remote { socket, patience },
        })
    }
}
