//! What Airflow has and Updraft has not: 501, with the reason and the way round, so that nobody takes it for a mistake in a path.

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};

use crate::error::Error;

const ASSETS: &str = "Updraft has no assets: a DAG that waits for another one's data is triggered by it, or waits in a task";
const ASKING: &str = "Updraft has no tasks that ask people: end the DAG before the question, and trigger the one after it with the answer";
const STATE: &str = "Updraft has no state store: keep what a task must remember in a bucket or a database";

/// By the first segment of a path, or by any one of it.
const FIRST: &[(&str, &str)] = &[
    ("assets", ASSETS),
    ("plugins", "Updraft has no plugins: nothing of a user's runs in its processes"),
    ("providers", "Updraft has no providers: hooks and operators are in the images of tasks"),
    ("parseDagFile", "Updraft reads a DAG file again when it changes: push it, or save it"),
    ("auth", "Updraft has no page to log in: programs get a token from POST /auth/token"),
];
const ANY: &[(&str, &str)] = &[("assets", ASSETS), ("hitlDetails", ASKING), ("state-store", STATE)];

/// The answer to a path that has no route.
pub(crate) async fn fallback(uri: Uri) -> Error {
    let Some(path) = uri.path().strip_prefix("/api/v2/") else { return Error::NotFound("Not Found".to_owned()) };
    let mut segments = path.split('/');
    // Of an asset or of a task: the words are about the store.
    if segments.clone().any(|segment| segment == "state-store") {
        return Error::NotImplemented(STATE.to_owned());
    }
    let first = segments.next().and_then(|first| FIRST.iter().find(|(name, _)| *name == first));
    let found = first.or_else(|| segments.find_map(|segment| ANY.iter().find(|(name, _)| *name == segment)));
    found.map_or_else(|| Error::NotFound("Not Found".to_owned()), |(_, why)| Error::NotImplemented((*why).to_owned()))
}

/// A browser that nobody is logged in with is led to the login, and back.
pub(crate) fn to_login(from: &Uri) -> Response {
    let next: String = form_urlencoded::byte_serialize(from.path_and_query().map_or("/", |path| path.as_str()).as_bytes()).collect();
    (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/auth/login?next={next}"))]).into_response()
}

/// For routes that would otherwise be taken by another one.
pub(crate) async fn state_store() -> Error {
    Error::NotImplemented(STATE.to_owned())
}
