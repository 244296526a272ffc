//! Bodies: JSON objects whose fields are read one by one.

use axum::extract::{FromRequest, Request};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::{MOST_NOTE, TOO_LARGE, read_time};
use crate::error::{Error, problem};

/// Whether there is a NUL in any text of it.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// A JSON body.
#[derive(Debug, Clone)]
pub(crate) struct Body(pub(crate) Value);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Error;
    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let bytes = axum::body::Bytes::from_request(request, state)
            .await
            .map_err(|e| Error::invalid("body", json!(["body"]), &e.body_text(), Value::Null))?;
        if bytes.is_empty() {
            return Err(Error::invalid("missing", json!(["body"]), "Field required", Value::Null));
        }
        let body: Value = serde_json::from_slice(&bytes).map_err(|e| {
            let mut entry = problem("json_invalid", json!(["body", e.column()]), "JSON decode error", json!({}));
            entry["ctx"] = json!({"error": e.to_string()});
            Error::Invalid(vec![entry])
        })?;
        if has_nul(&body) {
            let words = "Value error, a text has a NUL character, which the database cannot keep: leave it out";
            return Err(Error::invalid("value_error", json!(["body"]), words, Value::Null));
        }
        Ok(Self(body))
    }
}

fn not_an_object(body: &Value) -> Error {
    Error::invalid(
        "model_attributes_type",
        json!(["body"]),
        "Input should be a valid dictionary or object to extract fields from",
        body.clone(),
    )
}

/// The fields of a body, read one by one; what is wrong is collected and told at once.
#[derive(Debug)]
pub(crate) struct Fields {
    fields: Map<String, Value>,
    problems: Vec<Value>,
}

impl Fields {
    /// Refuses keys that are not `allowed`.
    pub(crate) fn of(body: Value, allowed: &[&str]) -> Result<Self, Error> {
        let Value::Object(fields) = body else { return Err(not_an_object(&body)) };
        let problems = fields
            .iter()
            .filter(|(key, _)| !allowed.contains(&key.as_str()))
            .map(|(key, value)| problem("extra_forbidden", json!(["body", key]), "Extra inputs are not permitted", value.clone()))
            .collect();
        Ok(Self { fields, problems })
    }

    /// Whether the key is there, null or not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Demands the key, and that it is not null.
    pub(crate) fn demand(&mut self, name: &str, kind: &str, called: &str) {
        self.require(name);
        if self.fields.get(name).is_some_and(Value::is_null) {
            self.wrong(kind, name, &format!("Input should be a valid {called}"), Value::Null);
        }
    }

    /// Demands the key.
    pub(crate) fn require(&mut self, name: &str) {
        if !self.has(name) {
            self.problems.push(problem("missing", json!(["body", name]), "Field required", Value::Object(self.fields.clone())));
        }
    }

    pub(crate) fn wrong(&mut self, kind: &str, name: &str, msg: &str, value: Value) {
        self.problems.push(problem(kind, json!(["body", name]), msg, value));
    }

    /// A problem that the caller found, in its own words.
    pub(crate) fn add(&mut self, entry: Value) {
        self.problems.push(entry);
    }

    /// A problem that the caller found.
    pub(crate) fn refuse(&mut self, name: &str, msg: &str) {
        let value = self.fields.get(name).cloned().unwrap_or(Value::Null);
        self.wrong("value_error", name, &format!("Value error, {msg}"), value);
    }

    /// Refuses a text that is too long, in FastAPI's words; empty ones, when the key is there at all.
    pub(crate) fn bounded(&mut self, name: &str, most: usize) -> Option<String> {
        let text = self.text(name)?;
        let length = text.chars().count();
        if length > most {
            self.wrong("string_too_long", name, &format!("String should have at most {most} characters"), Value::String(text.clone()));
        } else if length == 0 {
            self.wrong("string_too_short", name, "String should have at least 1 character", Value::String(text.clone()));
        }
        Some(text)
    }

    /// A note for people, of at most 1000 characters. None: the key is not there. An empty one takes the note away.
    pub(crate) fn note(&mut self) -> Option<Option<String>> {
        let given = self.has("note");
        let note = self.text("note");
        if let Some(text) = note.as_ref().filter(|text| text.chars().count() > MOST_NOTE) {
            self.wrong(
                "string_too_long",
                "note",
                &format!("String should have at most {MOST_NOTE} characters"),
                Value::String(text.clone()),
            );
        }
        given.then(|| note.filter(|text| !text.is_empty()))
    }

    /// Refuses a text that is not of a form.
    pub(crate) fn mismatch(&mut self, name: &str, pattern: &str) {
        let value = self.fields.get(name).cloned().unwrap_or(Value::Null);
        self.wrong("string_pattern_mismatch", name, &format!("String should match pattern '{pattern}'"), value);
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.get(name).filter(|v| !v.is_null()).cloned()
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            other => {
                self.wrong("string_type", name, "Input should be a valid string", other);
                None
            }
        }
    }

    /// Any JSON, null too. None: the key is not there.
    pub(crate) fn json(&mut self, name: &str) -> Option<Value> {
        self.fields.get(name).cloned()
    }

    pub(crate) fn list(&mut self, name: &str) -> Option<Vec<Value>> {
        match self.take(name)? {
            Value::Array(items) => Some(items),
            other => {
                self.wrong("list_type", name, "Input should be a valid list", other);
                None
            }
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        for (at, item) in self.list(name)?.into_iter().enumerate() {
            match item {
                Value::String(text) => texts.push(text),
                other => self.add(problem("string_type", json!(["body", name, at]), "Input should be a valid string", other)),
            }
        }
        Some(texts)
    }

    /// A text of a few.
    pub(crate) fn one_of(&mut self, name: &str, allowed: &[&str]) -> Option<String> {
        let text = self.text(name)?;
        if allowed.contains(&text.as_str()) {
            return Some(text);
        }
        let expected = allowed.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" or ");
        self.wrong("literal_error", name, &format!("Input should be {expected}"), Value::String(text));
        None
    }

    pub(crate) fn flag(&mut self, name: &str, default: bool) -> bool {
        match self.take(name) {
            None => default,
            Some(Value::Bool(value)) => value,
            Some(other) => {
                self.wrong("bool_type", name, "Input should be a valid boolean", other);
                default
            }
        }
    }

    pub(crate) fn int(&mut self, name: &str) -> Option<i64> {
        let value = self.take(name)?;
        if let Value::String(text) = &value {
            let found = text.trim().parse().ok();
            if found.is_none() {
                self.wrong("int_parsing", name, "Input should be a valid integer, unable to parse string as an integer", value);
            }
            return found;
        }
        // What is larger would become another number.
        let whole = |f: &f64| f.fract() == 0.0 && f.abs() < i64::MAX as f64;
        let found = value.as_i64().or_else(|| value.as_f64().filter(whole).map(|f| f as i64));
        if found.is_none() {
            self.wrong("int_type", name, "Input should be a valid integer", value);
        }
        found
    }

    /// Which instance of a mapped task.
    pub(crate) fn map_index(&mut self) -> Option<i32> {
        let number = self.int("map_index")?;
        let found = i32::try_from(number).ok();
        if found.is_none() {
            self.wrong("int_parsing_size", "map_index", TOO_LARGE, json!(number));
        }
        found
    }

    pub(crate) fn time(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let value = self.take(name)?;
        let found = value.as_str().and_then(read_time);
        if found.is_none() {
            self.wrong("datetime_from_date_parsing", name, "Input should be a valid datetime or date", value);
        }
        found
    }

    pub(crate) fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.take(name)? {
            Value::Object(map) => Some(map),
            other => {
                self.wrong("dict_type", name, "Input should be a valid dictionary", other);
                None
            }
        }
    }

    /// A list whose items may be a text or a pair of a text and a number.
    pub(crate) fn tasks(&mut self, name: &str) -> Option<Vec<(String, Option<i32>)>> {
        let value = self.take(name)?;
        let read = |item: &Value| match item {
            Value::String(id) => Some((id.clone(), None)),
            Value::Array(pair) => {
                let id = pair.first()?.as_str()?.to_owned();
                Some((id, Some(i32::try_from(pair.get(1)?.as_i64()?).ok()?)))
            }
            _ => None,
        };
        let list = value.as_array().and_then(|items| items.iter().map(read).collect::<Option<Vec<_>>>());
        if list.is_none() {
            self.wrong("list_type", name, "Input should be a list of task ids, or of pairs of a task id and a map index", value);
        }
        list
    }

    /// Ends the reading: the first chance to fail for all that was wrong.
    pub(crate) fn done(self) -> Result<(), Error> {
        if self.problems.is_empty() { Ok(()) } else { Err(Error::Invalid(self.problems)) }
    }
}
