//! What opens a repository: files, never words.
//!
//! A token is neither in an argument nor in an environment, where every process of the user could read it: git asks a small script, the
//! script prints the file. It answers for the one host that the source names, so that a redirect elsewhere gets nothing. Files are read at
//! each fetch: a secret that is rotated in its mount needs no restart.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::source::{GitUrl, Scheme};

/// The user that token-taking servers expect where none is named: GitHub wants this one, others take any.
const USERNAME: &str = "x-access-token";

/// The answers of [`Credentials::script`]. `$1` is the prompt; the host comes last in it, so that no user name can pose as one.
const SCRIPT: &str = r#"#!/bin/sh
# Answers git's question for a password, for one host alone.
case "$1" in
  "Password for '"*"@$UPDRAFT_GIT_HOST': "*) exec cat -- "$UPDRAFT_GIT_TOKEN_FILE" ;;
esac
exit 1
"#;

/// Names of files, and a user's name. Nothing secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// A file with the token or password, for `git+https`.
    pub token_file: Option<PathBuf>,
    /// The user that it belongs to.
    pub username: Option<String>,
    /// A private key, for `git+ssh`.
    pub ssh_key_file: Option<PathBuf>,
    /// The keys of hosts, for `git+ssh`.
    pub known_hosts_file: Option<PathBuf>,
}

impl Credentials {
    /// What is wrong with them for this repository, each with its remedy.
    pub fn mistakes(&self, url: &GitUrl) -> Vec<String> {
        let mut mistakes = Vec::new();
        if let Some(name) = &self.username
            && (name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.~".contains(c)))
        {
            mistakes.push("--git-username: letters, digits and - _ . ~ only".to_owned());
        }
        let files = [
            ("--git-token-file", &self.token_file),
            ("--git-ssh-key-file", &self.ssh_key_file),
            ("--git-known-hosts-file", &self.known_hosts_file),
        ];
        for (flag, file) in files {
            if let Some(Err(error)) = file.as_ref().map(std::fs::File::open) {
                mistakes.push(format!("{flag}: cannot be read: {error}"));
            }
        }
        if url.scheme() == Scheme::Ssh && self.known_hosts_file.is_none() {
            let host = url.host();
            mistakes.push(format!("{url}: give --git-known-hosts-file with the key of {host}: without it anybody could pose as that host"));
        }
        mistakes
    }

    pub(crate) fn username(&self) -> &str {
        self.username.as_deref().unwrap_or(USERNAME)
    }

    /// The script, and the environment that it needs; none where there is nothing to answer.
    pub(crate) fn script(&self, url: &GitUrl) -> Option<(&'static str, [(&'static str, PathBuf); 2])> {
        let token = self.token_file.as_ref().filter(|_| matches!(url.scheme(), Scheme::Https | Scheme::Http))?;
        Some((SCRIPT, [("UPDRAFT_GIT_HOST", PathBuf::from(url.host())), ("UPDRAFT_GIT_TOKEN_FILE", token.clone())]))
    }

    /// `GIT_SSH_COMMAND`: this key or none, no question, no host that is not known, and nothing of the user's own settings.
    pub(crate) fn ssh_command(&self) -> String {
        let mut command =
            "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=20 -o ServerAliveInterval=15".to_owned();
        command.push_str(
            " -o ForwardAgent=no -o ClearAllForwardings=yes -o PermitLocalCommand=no -o IdentitiesOnly=yes -o IdentityAgent=none",
        );
        if let Some(file) = &self.known_hosts_file {
            let _ = write!(command, " -o {}", quoted(&format!("UserKnownHostsFile={}", file.display())));
        }
        if let Some(file) = &self.ssh_key_file {
            let _ = write!(command, " -i {}", quoted_path(file));
        }
        command
    }
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// For the shell that git hands the command to.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::source::{Origin, parse};

    fn url(text: &str) -> GitUrl {
        match parse(&[text]).unwrap().remove(0).origin {
            Origin::Git(url) => url,
            Origin::Folder(_) => panic!("a folder"),
        }
    }

    #[test]
    fn ssh_is_given_one_key_and_asks_nothing() {
        let credentials = Credentials {
            ssh_key_file: Some("/keys/o'key".into()),
            known_hosts_file: Some("/keys/known hosts".into()),
            ..Credentials::default()
        };
        let command = credentials.ssh_command();
        assert!(command.contains("-o BatchMode=yes -o StrictHostKeyChecking=yes"), "{command}");
        assert!(command.ends_with(r"-o 'UserKnownHostsFile=/keys/known hosts' -i '/keys/o'\''key'"), "{command}");
    }

    #[test]
    fn ssh_without_known_hosts_and_unreadable_files_are_mistakes() {
        let mistakes = Credentials { token_file: Some("/nowhere".into()), username: Some("a b".into()), ..Credentials::default() }
            .mistakes(&url("git+ssh://git@example.com/a.git"))
            .join("\n");
        for part in ["--git-username", "--git-token-file", "--git-known-hosts-file with the key of example.com"] {
            assert!(mistakes.contains(part), "{mistakes}");
        }
    }

    #[test]
    fn the_script_answers_for_its_host_alone() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "s3cret\n").unwrap();
        let credentials = Credentials { token_file: Some(token), ..Credentials::default() };
        let (script, environment) = credentials.script(&url("git+https://host.example:8443/a.git")).unwrap();
        let ask = |prompt: &str| {
            let mut shell = Command::new("/bin/sh");
            // With -c, the word after the script is $0: the prompt is $1, as it is in the file.
            shell.args(["-c", script, "askpass", prompt]).env_clear().env("PATH", "/usr/bin:/bin");
            let answer = shell.envs(environment.iter().map(|(name, value)| (name, value))).output().unwrap();
            String::from_utf8(answer.stdout).unwrap()
        };
        assert_eq!(ask("Password for 'https://x-access-token@host.example:8443': "), "s3cret\n");
        for other in
            ["https://x@evil.example", "https://x@host.example", "https://x@host.example:8443.evil", "https://host.example:8443@evil"]
        {
            assert_eq!(ask(&format!("Password for '{other}': ")), "", "{other}");
        }
        assert_eq!(ask("Username for 'https://host.example:8443': "), "");
        assert!(credentials.script(&url("git+ssh://git@host/a.git")).is_none());
    }
}
