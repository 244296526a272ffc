//! Which values are secret: Airflow's rule, by the name that a value has. Answers of the API mask them, and templates refuse them.

use serde_json::Value;

/// What stands for a secret. A client that sends it back means "as it was".
pub const MASK: &str = "***";

/// A name with one of these in it is that of a secret.
const SENSITIVE: &[&str] = &[
    "access_key",
    "access_token",
    "api_key",
    "apikey",
    "auth_header",
    "authorization",
    "bearer",
    "connection_string",
    "credential",
    "dsn",
    "keyfile_dict",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "proxies",
    "proxy",
    "secret",
    "service_account",
    "service_key",
    "token",
    "webhook_url",
];

/// Whether a value of this name is a secret.
pub fn is_sensitive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SENSITIVE.iter().any(|word| name.contains(word))
}

/// Whether a JSON value has a secret in it, by name.
pub fn has_secret(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(name, value)| (is_sensitive(name) && !value.is_null()) || has_secret(value)),
        Value::Array(items) => items.iter().any(has_secret),
        _ => false,
    }
}

/// A JSON value without the secrets that are in it by name, however deep.
pub fn redact(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let shown = if is_sensitive(&name) && !value.is_null() { Value::from(MASK) } else { redact(value) };
                (name, shown)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(redact).collect(),
        other => other,
    }
}

/// A text as it may be shown. JSON in it is looked into; `name` is the text's own.
pub fn redact_text(name: &str, text: String) -> String {
    if is_sensitive(name) {
        return MASK.to_owned();
    }
    match serde_json::from_str(&text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => redact(value).to_string(),
        _ => text,
    }
}

/// A JSON text as it is to be stored: what `new` has masked is taken from `old`.
pub fn unmask(new: Value, old: &Value) -> Value {
    match (new, old) {
        (Value::String(text), old) if text == MASK => old.clone(),
        (Value::Object(fields), Value::Object(before)) => {
            fields.into_iter().map(|(name, value)| (name.clone(), unmask(value, before.get(&name).unwrap_or(&Value::Null)))).collect()
        }
        (other, _) => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for (name, hidden) in [("db_PASSWORD", true), ("ApiKey", true), ("region", false), ("http_proxy", true), ("key", false)] {
            assert_eq!(is_sensitive(name), hidden, "{name}");
        }
        assert_eq!(redact_text("token", "1".into()), MASK);
        assert_eq!(redact_text("region", "eu".into()), "eu");
        assert_eq!(redact_text("conf", r#"{"a": [{"secret": {"b": 1}, "c": 2}]}"#.into()), r#"{"a":[{"c":2,"secret":"***"}]}"#);
        assert_eq!(redact(json!({"password": null})), json!({"password": null}));
    }

    #[test]
    fn what_comes_back_masked_stays_as_it_was() {
        let old = json!({"token": "t", "a": {"secret": "s"}, "b": 1});
        assert_eq!(
            unmask(json!({"token": MASK, "a": {"secret": MASK, "n": 2}}), &old),
            json!({"token": "t", "a": {"secret": "s", "n": 2}})
        );
        assert_eq!(unmask(json!({"new": MASK}), &old), json!({"new": null}));
    }
}
