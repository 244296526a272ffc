//! `updraft api GET /dags`: any request, with the address and the login of the other verbs.
//!
//! `updraft api` alone is the role that answers such requests. A method or a path behind the word makes it a call: [`rewritten`].

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::http::{Client, Failure, part};

/// The methods that a call may have.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Options of a call.
#[derive(Debug, Args)]
pub(crate) struct Call {
    /// GET, POST, PUT, PATCH or DELETE.
    #[arg(ignore_case = true, value_parser = METHODS)]
    method: String,
    /// What is asked: /dags is short for /api/v2/dags. Paths that begin with /api, /ui or /auth are taken as they are.
    path: String,
    /// The body: JSON, or @FILE, or - for standard input.
    #[arg(short, long, value_name = "JSON", allow_hyphen_values = true)]
    data: Option<String>,
    /// A parameter; encoded for you. May be given more than once.
    #[arg(short, long, value_name = "KEY=VALUE")]
    query: Vec<String>,
}

/// The words of the command line, with `api METHOD PATH` and `api PATH` made a call.
pub(crate) fn rewritten(mut words: Vec<OsString>) -> Vec<OsString> {
    let at = |words: &[OsString], at: usize| words.get(at).and_then(|word| word.to_str()).map(str::to_owned);
    let Some(api) = (1..words.len()).find(|index| at(&words, *index).as_deref() == Some("api")) else { return words };
    match at(&words, api + 1) {
        Some(next) if METHODS.iter().any(|method| method.eq_ignore_ascii_case(&next)) => words[api] = "call".into(),
        Some(next) if next.starts_with('/') => {
            words[api] = "call".into();
            words.insert(api + 1, "GET".into());
        }
        _ => {}
    }
    words
}

fn whole_path(path: &str, query: &[String]) -> Result<String, Failure> {
    let known = ["/api", "/ui", "/auth"].iter().any(|known| path == *known || path.starts_with(&format!("{known}/")));
    let mut whole = match (known, path.starts_with('/')) {
        (true, _) => path.to_owned(),
        (false, true) => format!("/api/v2{path}"),
        (false, false) => format!("/api/v2/{path}"),
    };
    for pair in query {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Failure::usage(format!("--query {pair:?}: write KEY=VALUE")));
        };
        whole.push(if whole.contains('?') { '&' } else { '?' });
        whole.push_str(&format!("{}={}", part(key), part(value)));
    }
    Ok(whole)
}

fn body(data: &str) -> Result<Value, Failure> {
    let text = match data.strip_prefix('@') {
        Some(file) => super::read(file)?,
        None if data == "-" => super::read("-")?,
        None => data.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| Failure::usage(format!("--data is not JSON: {error}")))
}

pub(crate) async fn run(client: &Client, options: &Call) -> Result<ExitCode, Failure> {
    let path = whole_path(&options.path, &options.query)?;
    let body = options.data.as_deref().map(body).transpose()?;
    let method = Method::from_bytes(options.method.to_ascii_uppercase().as_bytes())
        .map_err(|error| Failure::usage(format!("{} is no method: {error}", options.method)))?;
    let response = client.send(method, &path, body.as_ref()).await?;
    let bytes = response.bytes().await.map_err(|error| Failure::new(6, format!("the API went away in mid-answer: {error}")))?;
    if let Ok(value) = serde_json::from_slice::<Value>(&bytes) {
        return Ok(crate::print(&format!("{value:#}\n")));
    }
    // NDJSON, text: as it came.
    let mut out = std::io::stdout().lock();
    let written = out.write_all(&bytes).and_then(|()| out.flush());
    Ok(if written.is_err_and(|error| error.kind() != std::io::ErrorKind::BrokenPipe) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn api_with_a_method_or_a_path_is_a_call_and_alone_it_is_the_role() {
        for (given, meant) in [
            ("updraft api GET /dags", "updraft call GET /dags"),
            ("updraft --context api2 api delete /dags/x", "updraft --context api2 call delete /dags/x"),
            ("updraft api /dags", "updraft call GET /dags"),
            ("updraft api --port 80", "updraft api --port 80"),
            ("updraft api", "updraft api"),
            ("updraft dags list", "updraft dags list"),
        ] {
            assert_eq!(rewritten(words(given)), words(meant));
        }
    }

    #[test]
    fn paths_are_completed_and_parameters_encoded() {
        let query = ["tags=a b".to_owned(), "limit=1".to_owned()];
        assert_eq!(whole_path("/dags", &query).ok().as_deref(), Some("/api/v2/dags?tags=a%20b&limit=1"));
        assert_eq!(whole_path("pools", &[]).ok().as_deref(), Some("/api/v2/pools"));
        assert_eq!(whole_path("/ui/doctor", &[]).ok().as_deref(), Some("/ui/doctor"));
        assert_eq!(whole_path("/api/v2/dags", &[]).ok().as_deref(), Some("/api/v2/dags"));
        assert!(whole_path("/dags", &["limit".to_owned()]).is_err());
    }
}
