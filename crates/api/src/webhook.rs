//! `POST /git/webhook`: a git server says that something was pushed, and all schedulers fetch at once instead of at their next period.
//!
//! The body is not believed, only its signature: whatever it names, every repository is asked. GitHub, Gitea, Forgejo and Bitbucket sign the
//! body (`X-Hub-Signature-256`, `X-Gitea-Signature`); GitLab sends the secret itself (`X-Gitlab-Token`).

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::ApiState;
use crate::error::Error;
use crate::guard;
use crate::meta::SILENT_SECONDS;

/// How many schedulers were told.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookAnswer")]
pub(crate) struct Told {
    pub(crate) schedulers: usize,
}

pub(crate) async fn git(State(state): State<ApiState>, headers: HeaderMap, body: Bytes) -> Result<Response, Error> {
    let Some(secret) = &state.inner.webhook_secret else {
        return Err(Error::Forbidden("no webhook is set up here: give the API a --git-webhook-secret".to_owned()));
    };
    if !is_signed(secret, &headers, &body) {
        let why = "the signature is missing or wrong: is the secret there the same as --git-webhook-secret here?";
        return Err(Error::Unauthorized(why.to_owned()));
    }
    Ok((StatusCode::ACCEPTED, Json(tell_schedulers(&state).await?)).into_response())
}

/// Has all living schedulers ask their repositories.
pub(crate) async fn tell_schedulers(state: &ApiState) -> Result<Told, Error> {
    let mut schedulers = 0;
    for scheduler in state.store().scheduler_list().await?.iter().filter(|s| s.silent_seconds <= SILENT_SECONDS) {
        state.inner.broker.notify(scheduler.id);
        schedulers += 1;
    }
    Ok(Told { schedulers })
}

fn is_signed(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let right = guard::sign(secret.as_bytes(), body);
    let signature = text("x-hub-signature-256").and_then(|value| value.strip_prefix("sha256=")).or_else(|| text("x-gitea-signature"));
    if let Some(given) = signature.and_then(unhex) {
        return guard::same(&right, &given);
    }
    // Both are hashed, so that the comparison tells nothing by its time.
    text("x-gitlab-token").is_some_and(|given| guard::same(&guard::sign(b"", secret.as_bytes()), &guard::sign(b"", given.as_bytes())))
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(name: &'static str, value: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        is_signed("It's a Secret to Everybody", &headers, b"Hello, World!")
    }

    #[test]
    fn the_signature_is_github_s() {
        // The example of GitHub's documentation, "Validating webhook deliveries".
        let right = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(verdict("x-hub-signature-256", &format!("sha256={right}")));
        assert!(verdict("x-gitea-signature", right));
        assert!(verdict("x-gitlab-token", "It's a Secret to Everybody"));
        for (name, value) in [
            ("x-hub-signature-256", right.to_owned()),
            ("x-hub-signature-256", format!("sha256={}", right.replace('7', "8"))),
            ("x-hub-signature-256", "sha256=".to_owned()),
            ("x-gitlab-token", "It's a secret".to_owned()),
            ("x-gitlab-token", String::new()),
            ("x-other", right.to_owned()),
        ] {
            assert!(!verdict(name, &value), "{name}: {value}");
        }
    }
}
