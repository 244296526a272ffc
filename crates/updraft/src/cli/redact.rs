//! Taking secrets out of what is sent to others.
//!
//! By key (`password`, `token` …), by what users fill in (values, configurations, notes), and in texts by form: credentials in addresses,
//! bearer tokens, private keys, `password=…`. Too much is taken rather than too little.

use serde_json::Value;
use updraft_model::redact::{MASK, is_sensitive};

/// Keys whose values are the users' own affair.
const THEIRS: &[&str] = &["conf", "extra", "value", "rendered_fields", "params", "note", "doc_md", "executor_config", "default_args"];
/// How tokens begin.
const TOKENS: &[&str] = &["eyJ", "updraft_", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xox", "AKIA", "sk-", "hvs."];
/// A token is no shorter than this.
const SHORTEST: usize = 16;

fn is_secret(key: &str) -> bool {
    let key = key.replace('-', "_");
    is_sensitive(&key) || key.to_ascii_lowercase().contains("cookie")
}

/// The same without secrets.
pub(crate) fn redacted(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| {
                    let empty =
                        value.is_null() || value.is_boolean() || value == "" || value.as_object().is_some_and(serde_json::Map::is_empty);
                    let gone = !empty && (is_secret(&key) || THEIRS.contains(&key.as_str()));
                    let value = if gone { Value::from(MASK) } else { redacted(value) };
                    (key, value)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(redacted).collect()),
        Value::String(text) => Value::String(clean(&text)),
        other => other,
    }
}

/// A text without what looks like a secret.
fn clean(text: &str) -> String {
    if text.contains("PRIVATE KEY") {
        return MASK.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    // The next word is a secret.
    let mut next = false;
    let mut previous = String::new();
    for piece in text.split_inclusive([' ', '\n', '\t', '"', '\'', ',', ';', '<', '>', '(', ')', '&']) {
        let end = piece.len() - piece.chars().next_back().filter(|c| " \n\t\"',;<>()&".contains(*c)).map_or(0, char::len_utf8);
        let (word, separator) = piece.split_at(end);
        // `Authorization: Bearer …`: the scheme is not the secret.
        let scheme = matches!(word.trim_end_matches(':').to_ascii_lowercase().as_str(), "bearer" | "basic");
        if next && !word.is_empty() && !scheme {
            out.push_str(MASK);
            next = false;
        } else if !word.is_empty() {
            out.push_str(&clean_word(word));
            let name = word.trim_end_matches([':', '=']).to_ascii_lowercase();
            let assigned = if name.is_empty() { is_secret(&previous) } else { word.ends_with([':', '=']) && is_secret(&name) };
            next = assigned || scheme;
            previous = name;
        }
        out.push_str(separator);
    }
    out
}

fn clean_word(word: &str) -> String {
    if let Some((scheme, rest)) = word.split_once("://") {
        return match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://{MASK}@{}", clean_word(host)),
            None => format!("{scheme}://{}", clean_word(rest)),
        };
    }
    if let Some((key, value)) = word.split_once('=').or_else(|| word.split_once(':'))
        && !value.is_empty()
    {
        // Also in the query of an address.
        let name = key.rsplit(['?', '/', '.']).next().unwrap_or(key);
        if is_secret(name) {
            return format!("{key}={MASK}");
        }
    }
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if bare.len() >= SHORTEST && TOKENS.iter().any(|begin| bare.starts_with(begin)) {
        return MASK.to_owned();
    }
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_canary_gets_out() {
        let text = redacted(json!({
            "password": "canary", "nested": [{"api-Key": "canary", "x_token": "canary"}], "conf": {"any": "canary"}, "extra": "canary",
            "a": "postgres://me:canary@db/x?sslmode=require failed", "b": "cannot reach amqp://u:canary@mq:5672, trying again",
            "c": "Authorization: Bearer canary was refused", "d": "-----BEGIN RSA PRIVATE KEY-----\ncanary", "e": "host=db password=canary user=x",
            "f": "https://h/x?access_token=canary&y=1", "g": "eyJhbGciOiJIUzI1NiJ9canary", "h": "PASSWORD: canary", "i": "'updraft_canary0123456789ab'",
            "j": "git+https://x:canary/with/slash@h/repo.git", "k": "db.password=canary", "l": "secret:canary",
            "m": "got {\"token\": \"canary\"} back", "n": "http://h:80/x?api_key=canary",
        }))
        .to_string();
        assert!(!text.contains("canary"), "{text}");
        for kept in ["postgres://***@db/x?sslmode=require failed", "amqp://***@mq:5672, trying again", "user=x", "host=db"] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        let value = json!({
            "dag_id": "sales_daily", "status": "fail", "detail": "queue gpu: no worker takes from it (3 wait)", "conf": {}, "has_token": true,
            "at": "2026-01-01T00:00:00Z", "run": "manual__2026-01-01T00:00:00+00:00", "note": null, "url": "https://updraft.example.com/x",
        });
        assert_eq!(redacted(value.clone()), value);
    }
}
