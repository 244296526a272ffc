//! Contexts: names for APIs, each with its address and what proves who asks, in a file of the user's.
//!
//! ```text
//! address  --api-url, UPDRAFT_API_URL, the context's, http://127.0.0.1:8080
//! proof    --api-token, --api-password, UPDRAFT_API_TOKEN, UPDRAFT_API_PASSWORD, the context's token
//! context  --context, UPDRAFT_CONTEXT, the one in use
//! ```
//!
//! The first that is there wins, and `--context` on the command line beats the whole environment. A context's token goes to the context's own
//! address and nowhere else. Tokens are written to a file that only its owner reads, and are never printed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Global;
use super::http::Failure;
use super::output::{Listing, Output, text};

/// Where the API is when nobody says otherwise.
pub(crate) const LOCAL: &str = "http://127.0.0.1:8080";

/// The verbs about contexts.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// Names an API. The first one that is named is used from then on.
    #[command(
        after_help = "Examples:\n  updraft context add prod https://updraft.example.com\n  updraft context add prod https://updraft.example.com --token - < token"
    )]
    Add(Add),
    /// Uses a context from now on.
    #[command(after_help = "Example:\n  updraft context use prod")]
    Use(Name),
    /// Lists contexts. Tokens are not shown.
    #[command(after_help = "Examples:\n  updraft context list\n  updraft context list -o name")]
    List(List),
    /// Forgets a context and its token.
    #[command(alias = "delete", after_help = "Example:\n  updraft context remove prod")]
    Remove(Name),
}

/// Options of `context add`.
#[derive(Args)]
pub(crate) struct Add {
    /// What it is called.
    name: String,
    /// Where its API is.
    url: String,
    /// What proves who you are; - reads it from standard input, which nobody else can see. `updraft login` gets one for a password.
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    token: Option<String>,
    /// Use it from now on.
    #[arg(long = "use")]
    in_use: bool,
}

// By hand: there is a secret in it.
impl std::fmt::Debug for Add {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Add").field("name", &self.name).field("url", &self.url).finish_non_exhaustive()
    }
}

/// The name of a context.
#[derive(Debug, Args)]
pub(crate) struct Name {
    /// The context.
    name: String,
}

/// Options of `context list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    output: Output,
}

/// One API.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Context {
    pub(crate) url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
}

/// The file.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Contexts {
    #[serde(default)]
    pub(crate) current: Option<String>,
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// What proves who asks.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nothing: an API on loopback wants none.
    Nothing,
    /// HTTP Basic.
    Password(String, String),
    /// A bearer token.
    Token(String),
}

/// Where a verb's requests go, and what they carry.
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) proof: Proof,
    /// The context's name, if its address is used.
    pub(crate) context: Option<String>,
}

impl Target {
    /// What the flags, the environment and the file come to.
    pub(crate) fn of(global: &Global) -> Result<Self, Failure> {
        // The file is not read when it could change nothing.
        let proven = global.api_token.is_some() || global.api_password.is_some();
        let contexts = if global.context.is_none() && global.api_url.is_some() && proven { Contexts::default() } else { Contexts::read()? };
        Self::choose(global, &contexts)
    }

    fn choose(global: &Global, contexts: &Contexts) -> Result<Self, Failure> {
        let name = global.context.as_ref().or(contexts.current.as_ref());
        let context = match name {
            Some(name) => Some((name, contexts.get(name)?)),
            None => None,
        };
        let given = global.api_url.as_deref().map(|url| url.trim_end_matches('/'));
        // A token is for its own API: another address does not get it.
        let context = context.filter(|(_, context)| given.is_none_or(|url| url == context.url));
        let url = given.or_else(|| context.map(|(_, context)| context.url.as_str())).unwrap_or(LOCAL).to_owned();
        let proof = match (&global.api_token, &global.api_password, context.and_then(|(_, context)| context.token.as_ref())) {
            (Some(token), ..) | (None, None, Some(token)) => Proof::Token(token.clone()),
            (None, Some(password), _) => Proof::Password(global.api_user.clone(), password.clone()),
            (None, None, None) => Proof::Nothing,
        };
        Ok(Self { url, proof, context: context.map(|(name, _)| name.clone()) })
    }
}

/// An address as it is kept, or what is wrong with it.
pub(crate) fn address(url: &str) -> Result<String, Failure> {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(host) = host.filter(|host| !host.is_empty()) else {
        return Err(Failure::usage(format!("the API's address is {url:?}; it must begin with http:// or https:// and name a host")));
    };
    if host.split('/').next().is_some_and(|authority| authority.contains('@')) {
        return Err(Failure::usage("the API's address holds a user or a password: leave it out, and use `updraft login`"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

impl Contexts {
    fn path() -> Option<PathBuf> {
        let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")))?;
        Some(config.join("updraft/contexts.json"))
    }

    /// The file's contexts; none where there is no file.
    pub(crate) fn read() -> Result<Self, Failure> {
        let Some(path) = Self::path() else { return Ok(Self::default()) };
        let shown = path.display();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            // In a container HOME may be a folder that is not ours: there are no contexts then.
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory | std::io::ErrorKind::PermissionDenied
                ) =>
            {
                return Ok(Self::default());
            }
            Err(error) => return Err(Failure::usage(format!("cannot read {shown}: {error}"))),
        };
        let contexts: Self = serde_json::from_str(&text).map_err(|error| {
            Failure::usage(format!("{shown} does not hold contexts: {error}; mend it, or remove it and add them again"))
        })?;
        let open = std::fs::metadata(&path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0);
        if open && contexts.contexts.values().any(|context| context.token.is_some()) {
            crate::say(&format!("warning: {shown} holds tokens and others may read it: chmod 600 {shown}"));
        }
        Ok(contexts)
    }

    /// Replaces the file, at once and for its owner only.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let Some(path) = Self::path() else {
            return Err(Failure::usage("there is no place for contexts: set HOME or XDG_CONFIG_HOME"));
        };
        let broken = |error: std::io::Error| Failure::new(1, format!("cannot write {}: {error}", path.display()));
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(broken)?;
        }
        let new = path.with_extension(format!("{}.new", std::process::id()));
        let text = serde_json::to_string_pretty(self).map_err(|error| broken(error.into()))?;
        let written = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&new).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        });
        written.and_then(|()| std::fs::rename(&new, &path)).map_err(|error| {
            let _ = std::fs::remove_file(&new);
            broken(error)
        })
    }

    fn get(&self, name: &str) -> Result<&Context, Failure> {
        self.contexts
            .get(name)
            .ok_or_else(|| Failure::new(3, format!("there is no context {name:?}")).next("updraft context list, or updraft context add"))
    }

    /// Keeps a context under its name. The first one is the one in use.
    pub(crate) fn keep(&mut self, name: &str, context: Context) {
        self.contexts.insert(name.to_owned(), context);
        if self.current.is_none() {
            self.current = Some(name.to_owned());
        }
    }
}

const LISTING: Listing = Listing {
    name: |c| text(&c["name"]),
    columns: &[
        ("current", |c| if c["current"] == true { "*".to_owned() } else { String::new() }),
        ("name", |c| text(&c["name"])),
        ("url", |c| text(&c["url"])),
        ("user", |c| text(&c["user"])),
        ("token", |c| if c["has_token"] == true { "kept".to_owned() } else { String::new() }),
    ],
    wide: &[],
};

pub(crate) fn run(command: &ContextCommand) -> Result<ExitCode, Failure> {
    let mut contexts = Contexts::read()?;
    match command {
        ContextCommand::Add(options) => {
            let token = match options.token.as_deref() {
                Some("-") => Some(super::read("-")?.trim().to_owned()),
                other => other.map(str::to_owned),
            };
            if options.name.is_empty() || token.as_ref().is_some_and(String::is_empty) {
                return Err(Failure::usage("the name and the token of a context must not be empty"));
            }
            contexts.keep(&options.name, Context { url: address(&options.url)?, user: None, token });
            if options.in_use {
                contexts.current = Some(options.name.clone());
            }
        }
        ContextCommand::Use(Name { name }) => {
            contexts.get(name)?;
            contexts.current = Some(name.clone());
        }
        ContextCommand::Remove(Name { name }) => {
            contexts.get(name)?;
            contexts.contexts.remove(name);
            contexts.current = contexts.current.filter(|current| current != name);
        }
        ContextCommand::List(options) => {
            let rows: Vec<Value> = contexts
                .contexts
                .iter()
                .map(|(name, context)| {
                    let current = contexts.current.as_ref() == Some(name);
                    json!({"name": name, "url": context.url, "user": context.user, "current": current, "has_token": context.token.is_some()})
                })
                .collect();
            return Ok(options.output.list(&rows, &LISTING));
        }
    }
    contexts.write()?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global() -> Global {
        Global { context: None, api_url: None, api_user: "admin".to_owned(), api_password: None, api_token: None }
    }

    fn contexts() -> Contexts {
        let context = |url: &str, token: Option<&str>| Context { url: url.to_owned(), user: None, token: token.map(str::to_owned) };
        Contexts {
            current: Some("prod".to_owned()),
            contexts: BTreeMap::from([
                ("prod".to_owned(), context("https://prod", Some("of-prod"))),
                ("test".to_owned(), context("http://test", None)),
            ]),
        }
    }

    fn chosen(global: &Global, contexts: &Contexts) -> (String, Proof) {
        let target = Target::choose(global, contexts).unwrap();
        (target.url, target.proof)
    }

    #[test]
    fn without_anything_it_is_this_host() {
        assert!(chosen(&global(), &Contexts::default()) == (LOCAL.to_owned(), Proof::Nothing));
    }

    #[test]
    fn the_context_in_use_counts_and_a_named_one_beats_it() {
        assert!(chosen(&global(), &contexts()) == ("https://prod".to_owned(), Proof::Token("of-prod".to_owned())));
        let named = Global { context: Some("test".to_owned()), ..global() };
        assert!(chosen(&named, &contexts()) == ("http://test".to_owned(), Proof::Nothing));
        let missing = Global { context: Some("nope".to_owned()), ..global() };
        assert_eq!(Target::choose(&missing, &contexts()).err().map(|failure| failure.code), Some(3));
    }

    #[test]
    fn a_token_goes_to_its_own_address_only() {
        let other = Global { api_url: Some("https://elsewhere".to_owned()), ..global() };
        assert!(chosen(&other, &contexts()) == ("https://elsewhere".to_owned(), Proof::Nothing));
        let same = Global { api_url: Some("https://prod/".to_owned()), ..global() };
        assert!(chosen(&same, &contexts()).1 == Proof::Token("of-prod".to_owned()));
    }

    #[test]
    fn what_is_given_beats_the_context() {
        let given = Global { api_token: Some("mine".to_owned()), ..global() };
        assert!(chosen(&given, &contexts()).1 == Proof::Token("mine".to_owned()));
        let password = Global { api_password: Some("secret".to_owned()), ..global() };
        assert!(chosen(&password, &contexts()).1 == Proof::Password("admin".to_owned(), "secret".to_owned()));
    }

    #[test]
    fn addresses_are_looked_at() {
        assert_eq!(address("https://h/").ok().as_deref(), Some("https://h"));
        for wrong in ["h:8080", "ftp://h", "http://", "https://me:secret@h"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
