//! Where DAG files come from, as people write it.
//!
//! ```text
//! dags                                              a folder
//! git+https://host/team/dags.git@main#airflow/dags  a repository, its branch, tag or commit, a folder in it
//! git+ssh://git@host/team/dags.git                  the default branch, the whole tree
//! git+file:///srv/dags.git@main   git+/srv/dags.git a bare repository of this host
//! ```
//!
//! A URL holds no password: what is shown in pages and logs must not need a censor.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// The name that Airflow gives the bundle of its DAG folder, and so do we: the first plain folder.
const FOLDER_BUNDLE: &str = "dags-folder";

/// One source of DAG files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name, unique among the sources: Airflow's *bundle*.
    pub bundle: String,
    /// Where its files are.
    pub origin: Origin,
}

/// A folder or a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A folder of this host, which others write.
    Folder(PathBuf),
    /// A repository, which is fetched here.
    Git(GitUrl),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Git(url) => url.fmt(f),
        }
    }
}

/// How a repository is reached. No other way is ever allowed to git, whatever a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `git+https`
    Https,
    /// `git+http`
    Http,
    /// `git+ssh`
    Ssh,
    /// `git+file`, or a path
    File,
}

/// A repository, a revision, a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitUrl {
    scheme: Scheme,
    remote: String,
    host: String,
    reference: Option<String>,
    folder: String,
}

impl GitUrl {
    /// How it is reached.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What `git fetch` is given. Free of credentials.
    pub fn remote(&self) -> &str {
        &self.remote
    }

    /// Host and port; empty for a repository of this host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Branch, tag or commit; none: the default branch.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// The folder with the DAG files, without slashes at its ends; empty: the whole tree.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Whether the reference is a full commit id, which can never mean anything else.
    pub fn is_pinned(&self) -> bool {
        self.reference().is_some_and(|r| matches!(r.len(), 40 | 64) && r.bytes().all(|b| b.is_ascii_hexdigit()))
    }
}

impl fmt::Display for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "git+{}", self.remote)?;
        if let Some(reference) = &self.reference {
            write!(f, "@{reference}")?;
        }
        if !self.folder.is_empty() {
            write!(f, "#{}", self.folder)?;
        }
        Ok(())
    }
}

/// A source that cannot be meant, with its remedy. The text is shown without what may be a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--dags {shown}: {why}")]
pub struct Mistake {
    shown: String,
    why: String,
}

/// Reads all sources: each text may hold several, separated by commas or line ends. All mistakes at once.
pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Vec<Source>, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut origins: Vec<Origin> = Vec::new();
    for word in texts.iter().flat_map(|text| text.as_ref().split([',', '\n'])).map(str::trim).filter(|word| !word.is_empty()) {
        match origin(word) {
            Ok(origin) if origins.contains(&origin) => mistakes.push(mistake(word, "it is named twice: name it once")),
            Ok(origin) => origins.push(origin),
            Err(why) => mistakes.push(mistake(word, why)),
        }
    }
    if origins.is_empty() && mistakes.is_empty() {
        mistakes.push(mistake("", "name a folder, or a repository such as git+https://host/team/dags.git@main#dags"));
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let mut taken = BTreeSet::new();
    let mut folders = 0;
    let sources = origins.into_iter().map(|origin| {
        folders += usize::from(matches!(origin, Origin::Folder(_)));
        let first_folder = folders == 1 && matches!(origin, Origin::Folder(_));
        let wish = if first_folder { FOLDER_BUNDLE.to_owned() } else { last_segment(&origin) };
        let bundle = (1..).map(|n| if n == 1 { wish.clone() } else { format!("{wish}-{n}") }).find(|name| !taken.contains(name));
        let bundle = bundle.unwrap_or_default();
        taken.insert(bundle.clone());
        Source { bundle, origin }
    });
    Ok(sources.collect())
}

fn mistake(word: &str, why: impl Into<String>) -> Mistake {
    Mistake { shown: redacted(word), why: why.into() }
}

/// The text without what is between `://` and `@` of the authority, and without a query.
fn redacted(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?…"));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let authority = authority.rsplit_once('@').map_or_else(|| authority.to_owned(), |(_, host)| format!("…@{host}"));
    format!("{scheme}://{authority}{path}{query}")
}

fn last_segment(origin: &Origin) -> String {
    let text = match origin {
        Origin::Folder(path) => path.to_string_lossy().into_owned(),
        Origin::Git(url) => url.remote.clone(),
    };
    let last = text.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
    let last = last.strip_suffix(".git").unwrap_or(last);
    let name: String = last.chars().map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' }).take(100).collect();
    if name.trim_matches(['.', '-']).is_empty() { "dags".to_owned() } else { name }
}

fn origin(word: &str) -> Result<Origin, String> {
    if word.chars().any(|c| c.is_control()) {
        return Err("it holds a control character".to_owned());
    }
    let Some(rest) = word.strip_prefix("git+") else { return folder(word) };
    let (rest, sub) = rest.split_once('#').unwrap_or((rest, ""));
    let (scheme, authority, path) = if rest.starts_with('/') {
        (Scheme::File, "", rest)
    } else {
        let (scheme, after) = rest.split_once("://").ok_or("after git+ comes https://, http://, ssh://, file:// or an absolute path")?;
        let scheme = match scheme {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "ssh" => Scheme::Ssh,
            "file" => Scheme::File,
            other => return Err(format!("git+{other} is not known: use git+https, git+http, git+ssh or git+file")),
        };
        let (authority, path) = after.find('/').map_or((after, ""), |at| after.split_at(at));
        (scheme, authority, path)
    };
    let host = authority_checked(scheme, authority)?;
    if path.trim_matches('/').is_empty() {
        return Err("the path of the repository is missing".to_owned());
    }
    if path.contains(['?', ' ']) {
        return Err("a query or a space has no place here; a token is given by --git-token-file".to_owned());
    }
    let (path, reference) = match path.find(".git@").map(|at| (&path[..at + 4], &path[at + 5..])).or_else(|| path.rsplit_once('@')) {
        Some((_, "")) => return Err("after @ comes a branch, a tag or a commit; without @ it is the default branch".to_owned()),
        Some((path, reference)) => (path, Some(reference_checked(reference)?)),
        None => (path, None),
    };
    let remote = match scheme {
        Scheme::Https => format!("https://{authority}{path}"),
        Scheme::Http => format!("http://{authority}{path}"),
        Scheme::Ssh => format!("ssh://{authority}{path}"),
        Scheme::File => format!("file://{path}"),
    };
    Ok(Origin::Git(GitUrl { scheme, remote, host, reference, folder: folder_checked(sub)? }))
}

fn folder(word: &str) -> Result<Origin, String> {
    for scheme in ["https://", "http://", "ssh://", "file://"] {
        if word.starts_with(scheme) {
            return Err(format!("a repository is written git+{scheme}…"));
        }
    }
    if let Some((before, _)) = word.split_once(':')
        && before.contains('@')
        && !before.contains('/')
        && !Path::new(word).exists()
    {
        return Err("a repository reached by ssh is written git+ssh://user@host/path".to_owned());
    }
    Ok(Origin::Folder(PathBuf::from(word)))
}

/// The host and port.
fn authority_checked(scheme: Scheme, authority: &str) -> Result<String, String> {
    if scheme == Scheme::File {
        if !authority.is_empty() {
            return Err("git+file has no host: three slashes, git+file:///srv/dags.git".to_owned());
        }
        return Ok(String::new());
    }
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    match user {
        Some(_) if scheme != Scheme::Ssh => {
            return Err("credentials do not belong in a URL: use --git-username and --git-token-file".to_owned());
        }
        Some(user) if user.contains(':') => return Err("a password does not belong in a URL: use --git-ssh-key-file".to_owned()),
        Some(user) if user.is_empty() || !user.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) || user.starts_with('-') => {
            return Err("the user before @ is none".to_owned());
        }
        _ => {}
    }
    // A name that begins with a dash is an option to ssh.
    if host.is_empty() || host.starts_with('-') || !host.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:[]".contains(c)) {
        return Err("the host is missing, or is none".to_owned());
    }
    Ok(host.to_owned())
}

fn reference_checked(reference: &str) -> Result<String, String> {
    let bad = reference.starts_with(['-', '/', '.', '+'])
        || reference.ends_with(['/', '.'])
        || reference.contains("..")
        || reference.contains("@{")
        || reference.contains([' ', ':', '*', '?', '[', '\\', '^', '~']);
    if bad { Err(format!("{reference} is no name of a branch or tag, and no commit")) } else { Ok(reference.to_owned()) }
}

fn folder_checked(folder: &str) -> Result<String, String> {
    let trimmed = folder.trim_matches('/');
    if trimmed.split('/').any(|part| matches!(part, "." | "..") || part.is_empty()) && !trimmed.is_empty() {
        return Err(format!("#{folder} must be a plain path inside the repository"));
    }
    Ok(trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(text: &str) -> GitUrl {
        match parse(&[text]).unwrap().remove(0).origin {
            Origin::Git(url) => url,
            Origin::Folder(path) => panic!("a folder {}", path.display()),
        }
    }

    #[test]
    fn every_form_is_read_and_shown_as_it_was_written() {
        let check = |text: &str, remote: &str, reference: Option<&str>, folder: &str| {
            let url = git(text);
            assert_eq!((url.remote(), url.reference(), url.folder()), (remote, reference, folder), "{text}");
            assert_eq!(git(&url.to_string()), url, "what is shown can be given again");
        };
        check("git+https://host/t/dags.git@main#a/b", "https://host/t/dags.git", Some("main"), "a/b");
        check("git+https://host:8443/t/dags", "https://host:8443/t/dags", None, "");
        check("git+http://host/dags@feature/x@2", "http://host/dags@feature/x", Some("2"), "");
        check("git+http://host/dags.git@feature/x@2", "http://host/dags.git", Some("feature/x@2"), "");
        check("git+ssh://git@host:22/t/dags.git@v1.2#/sub/", "ssh://git@host:22/t/dags.git", Some("v1.2"), "sub");
        check("git+ssh://git@host/t/dags", "ssh://git@host/t/dags", None, "");
        check("git+file:///srv/dags.git@main", "file:///srv/dags.git", Some("main"), "");
        check("git+/srv/dags.git#dags", "file:///srv/dags.git", None, "dags");
        assert!(git(&format!("git+/srv/dags.git@{}", "a1".repeat(20))).is_pinned());
        assert!(!git("git+/srv/dags.git@a1a1a1").is_pinned());
    }

    #[test]
    fn bundles_have_names_of_their_own() {
        let bundles = |texts: &[&str]| parse(texts).unwrap().into_iter().map(|s| s.bundle).collect::<Vec<_>>();
        assert_eq!(bundles(&["dags"]), ["dags-folder"]);
        assert_eq!(bundles(&["git+/srv/etl.git, dags\nmore/dags"]), ["etl", "dags-folder", "dags"]);
        assert_eq!(bundles(&["git+/a/etl.git@x", "git+/a/etl.git@y", "git+/b/etl"]), ["etl", "etl-2", "etl-3"]);
    }

    #[test]
    fn mistakes_are_named_with_their_remedy_and_without_the_password() {
        let check = |text: &str, remedy: &str| {
            let mistake = parse(&[text]).unwrap_err().remove(0).to_string();
            assert!(mistake.contains(remedy), "{text}: {mistake}");
            assert!(!mistake.contains("s3cret"), "{mistake}");
        };
        check("git+https://user:s3cret@host/a.git", "--git-token-file");
        check("git+https://s3cret@host/a.git", "--git-token-file");
        check("git+https://host/a.git?token=s3cret", "--git-token-file");
        check("git+ssh://git:s3cret@host/a.git", "--git-ssh-key-file");
        check("git+ssh://-oProxyCommand=x/a.git", "the host");
        check("https://host/a.git", "git+https://");
        check("git@host:team/a.git", "git+ssh://user@host/path");
        check("git+ftp://host/a.git", "git+https");
        check("git+host/a.git", "after git+ comes");
        check("git+file://host/a.git", "three slashes");
        check("git+https://host", "path");
        check("git+https://host/a.git@", "default branch");
        check("git+https://host/a.git@--upload-pack=x", "no name of a branch");
        check("git+https://host/a.git@a:b", "no name of a branch");
        check("git+https://host/a.git#../b", "inside the repository");
        check("git+/a.git,git+/a.git", "twice");
        check("", "name a folder");
        assert_eq!(parse(&["git+ftp://h/a", "git+x"]).unwrap_err().len(), 2, "all at once");
    }
}
