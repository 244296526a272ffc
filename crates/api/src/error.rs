//! What a request can meet, as status and body: `{"detail": …}` in Airflow's words.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// An answer that is not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 400.
    #[error("{0}")]
    BadRequest(String),
    /// 401, without asking a browser to log in.
    #[error("{0}")]
    Unauthorized(String),
    /// 403.
    #[error("{0}")]
    Forbidden(String),
    /// 404.
    #[error("{0}")]
    NotFound(String),
    /// 406.
    #[error("{0}")]
    NotAcceptable(String),
    /// 409.
    #[error("{0}")]
    Conflict(String),
    /// 409 where Airflow reports a unique constraint.
    #[error("{0}")]
    Exists(String),
    /// 501: Airflow's, and not ours.
    #[error("{0}")]
    NotImplemented(String),
    /// 503: later, or elsewhere.
    #[error("{0}")]
    Busy(String),
    /// 422: each with its place.
    #[error("the request is not valid")]
    Invalid(Vec<Value>),
    /// The database.
    #[error(transparent)]
    Store(#[from] updraft_store::Error),
    /// A stored row that cannot be understood.
    #[error("{0}")]
    Broken(String),
}

impl Error {
    /// One invalid value, in FastAPI's form.
    pub(crate) fn invalid(kind: &str, loc: Value, msg: &str, input: Value) -> Self {
        Self::Invalid(vec![problem(kind, loc, msg, input)])
    }
}

impl Error {
    /// The same, with what is wrong found inside of a larger body.
    pub(crate) fn within(self, place: &[Value]) -> Self {
        let Self::Invalid(mut problems) = self else { return self };
        for problem in &mut problems {
            if let Some(loc) = problem.get_mut("loc").and_then(Value::as_array_mut) {
                // Its own `body` comes off.
                let inner = loc.split_off(loc.len().min(1));
                *loc = place.iter().cloned().chain(inner).collect();
            }
        }
        Self::Invalid(problems)
    }
}

/// One entry of a 422.
pub(crate) fn problem(kind: &str, loc: Value, msg: &str, input: Value) -> Value {
    json!({"type": kind, "loc": loc, "msg": msg, "input": input})
}

/// An error with its causes, for people.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl Error {
    /// What it is answered with.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::NotAcceptable(_) => StatusCode::NOT_ACCEPTABLE,
            Self::Conflict(_) | Self::Exists(_) => StatusCode::CONFLICT,
            Self::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Store(error) => match error.retry() {
                updraft_store::Retry::After(_) => StatusCode::SERVICE_UNAVAILABLE,
                updraft_store::Retry::Never => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        let detail = match self {
            Self::BadRequest(text)
            | Self::Unauthorized(text)
            | Self::Forbidden(text)
            | Self::NotFound(text)
            | Self::NotAcceptable(text)
            | Self::Conflict(text)
            | Self::NotImplemented(text)
            | Self::Busy(text) => Value::String(text),
            Self::Exists(text) => {
                json!({"reason": "Unique constraint violation", "statement": "hidden", "orig_error": "hidden", "message": text})
            }
            Self::Invalid(problems) => Value::Array(problems),
            Self::Store(error) => {
                let text = chain(&error);
                tracing::warn!(error = %text, "a request failed in the store: {text}");
                // The cause is for the log: it may quote a statement.
                Value::String(error.to_string())
            }
            Self::Broken(text) => {
                tracing::error!(error = %text, "a stored row cannot be read: {text}");
                Value::String(text)
            }
        };
        (status, Json(json!({"detail": detail}))).into_response()
    }
}
