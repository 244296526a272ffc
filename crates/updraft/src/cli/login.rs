//! `login` and `logout`: a password becomes a token, kept in a context.

use std::fs::File;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::json;

use super::Global;
use super::contexts::{Context, Contexts, Proof, Target, address};
use super::http::{Client, Failure};

/// Options of `login`.
#[derive(Args)]
pub(crate) struct Login {
    /// Where the API is. Default: that of --context, or of the context in use.
    url: Option<String>,
    /// A token that somebody made for you, instead of a password; - reads it from standard input.
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    token: Option<String>,
}

// By hand: there is a secret in it.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Asks the API for a token, and keeps it.
pub(crate) async fn login(options: &Login, global: &Global) -> Result<ExitCode, Failure> {
    let mut contexts = Contexts::read()?;
    let known = |name: &String| contexts.contexts.get(name).map(|context| context.url.clone());
    let named = global.context.clone().or_else(|| contexts.current.clone());
    let url = match options.url.as_ref().or(global.api_url.as_ref()) {
        Some(url) => url.clone(),
        None => named.as_ref().and_then(known).ok_or_else(|| {
            Failure::usage("where is the API? Say it: updraft login https://updraft.example.com").next("updraft context list")
        })?,
    };
    let url = address(&url)?;
    let same = |name: &String| contexts.contexts.get(name).is_some_and(|context| context.url == url);
    let name = match &global.context {
        Some(name) => name.clone(),
        // An address that has a name keeps it.
        None => named.filter(same).or_else(|| contexts.contexts.keys().find(|name| same(name)).cloned()).unwrap_or_else(|| host(&url)),
    };
    let at = |proof| Client::at(Target { url: url.clone(), proof, context: None });
    let (user, token) = match options.token.as_deref() {
        Some(given) => {
            let token = if given == "-" { super::read("-")?.trim().to_owned() } else { given.to_owned() };
            // A request that every account may make: it says whether the token is good.
            at(Proof::Token(token.clone()))?.get("/api/v2/dags?limit=1").await?;
            (None, token)
        }
        None => {
            if url.starts_with("http://") && !is_local(&url) {
                crate::say(&format!("warning: {url} is not encrypted: everybody on the way can read the password"));
            }
            let password = match &global.api_password {
                Some(password) => password.clone(),
                None => ask(&format!("Password of {} at {url}: ", global.api_user))?,
            };
            let mut answer = at(Proof::Nothing)?.post("/auth/token", &json!({"username": global.api_user, "password": password})).await?;
            let token = answer["access_token"].take();
            let token = token.as_str().ok_or_else(|| Failure::new(1, format!("{url} gave no token: is it an Updraft API?")))?;
            (Some(global.api_user.clone()), token.to_owned())
        }
    };
    let who = user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
    contexts.keep(&name, Context { url: url.clone(), user, token: Some(token) });
    contexts.current = Some(name.clone());
    contexts.write()?;
    crate::say(&format!("logged in at {url}{who}; the context {name} is in use"));
    Ok(ExitCode::SUCCESS)
}

/// Forgets the token of the context.
pub(crate) fn logout(global: &Global) -> Result<ExitCode, Failure> {
    let mut contexts = Contexts::read()?;
    let Some(name) = global.context.clone().or_else(|| contexts.current.clone()) else {
        return Err(Failure::new(3, "no context is in use").next("updraft context list"));
    };
    let Some(context) = contexts.contexts.get_mut(&name) else {
        return Err(Failure::new(3, format!("there is no context {name:?}")).next("updraft context list"));
    };
    context.token = None;
    context.user = None;
    contexts.write()?;
    crate::say(&format!("the token of {name} is forgotten here; it stays good until it expires or its password changes"));
    Ok(ExitCode::SUCCESS)
}

fn host(url: &str) -> String {
    url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or(url).to_owned()
}

/// Whether an address stays on this host.
pub(crate) fn is_local(url: &str) -> bool {
    let host = url.split_once("://").map_or("", |(_, rest)| rest);
    let name = host.split(['/', ':']).next().unwrap_or_default();
    host.starts_with("[::1]") || name == "localhost" || name.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

/// A secret from the terminal, unseen; from the first line of standard input where that is no terminal.
pub(crate) fn ask(question: &str) -> Result<String, Failure> {
    let broken = |error: std::io::Error| Failure::usage(format!("cannot read the password: {error}"));
    let mut line = String::new();
    if std::io::stdin().is_terminal() {
        let mut terminal = File::options().read(true).write(true).open("/dev/tty").map_err(broken)?;
        let before = tcgetattr(&terminal).map_err(|error| broken(error.into()))?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Flush, &silent).map_err(|error| broken(error.into()))?;
        let read = terminal.write_all(question.as_bytes()).and_then(|()| BufReader::new(&terminal).read_line(&mut line));
        let _ = tcsetattr(&terminal, OptionalActions::Flush, &before);
        crate::say("");
        read.map_err(broken)?;
    } else {
        std::io::stdin().lock().read_line(&mut line).map_err(broken)?;
    }
    let password = line.trim_end_matches(['\n', '\r']).to_owned();
    if password.is_empty() {
        return Err(Failure::usage("no password was given: type it, pipe it in, or set UPDRAFT_API_PASSWORD_FILE"));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_is_what_stays_here() {
        for here in ["http://127.0.0.1:8080", "http://127.1.2.3", "http://localhost", "http://[::1]:80/x"] {
            assert!(is_local(here), "{here}");
        }
        for there in ["http://127.example.com", "http://localhost.example.com", "http://10.0.0.1"] {
            assert!(!is_local(there), "{there}");
        }
        assert_eq!(host("https://h:8443/x"), "h:8443");
    }
}
