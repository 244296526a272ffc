//! Reading requests as FastAPI does: query parameters that repeat, bodies with named fields, and a 422 that says which value is wrong.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, Utc};
use serde_json::{Map, Value, json};
use updraft_model::hint::NOT_MAPPED;
use updraft_store::read::{Column, Compare, Filter, Kind, ListQuery, Test, escape_like};

use crate::access::Scope;
use crate::cursor;
use crate::error::{Error, problem};

/// Rows of a page when the request does not say.
const DEFAULT_LIMIT: i64 = 50;
/// Most rows of a page. Airflow's default cap is 100; ours is higher because a page costs little here.
pub(crate) const MOST_LIMIT: i64 = 1000;

/// Most columns of an order.
pub(crate) const MOST_ORDERS: usize = 10;
const TOO_LARGE: &str = "Input should be a valid integer, this one is out of range: no task is mapped so widely";
/// Most characters of a note.
pub(crate) const MOST_NOTE: usize = 1000;
/// The ways to say "no state".
pub(crate) const NO_STATE: [&str; 4] = ["none", "null", "no_status", "None"];

/// The query parameters, in order, and the DAGs that the caller may see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(pub(crate) Vec<(String, String)>, pub(crate) Scope);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(pairs)| Self(pairs, Scope::of(parts)))
            .map_err(|e| Error::invalid("query", json!(["query"]), &e.to_string(), Value::Null))
    }
}

impl Params {
    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// The last value of a parameter.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A switch.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        self.one(name).map(|value| parse_bool(name, value)).transpose()
    }

    /// A whole number.
    pub(crate) fn int(&self, name: &str) -> Result<Option<i64>, Error> {
        self.one(name).map(|value| parse_int(name, value)).transpose()
    }

    /// Which instance of a mapped task; [`NOT_MAPPED`] where nothing is said. What is out of range must not become another one.
    pub(crate) fn map_index(&self) -> Result<i32, Error> {
        let Some(number) = self.int("map_index")? else { return Ok(NOT_MAPPED) };
        i32::try_from(number)
            .map_err(|_| Error::invalid("int_parsing_size", json!(["query", "map_index"]), TOO_LARGE, json!(number.to_string())))
    }

    /// The names to order by, and whether each is descending.
    pub(crate) fn order_by(&self) -> Result<Vec<(String, bool)>, Error> {
        let given: Vec<String> = self.all("order_by").iter().flat_map(|value| value.split(',')).map(str::to_owned).collect();
        if given.len() > MOST_ORDERS {
            let list = given.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
            return Err(Error::BadRequest(format!("Ordering with more than {MOST_ORDERS} parameters is not allowed. Provided: [{list}]")));
        }
        let read = |name: String| match name.strip_prefix('-') {
            Some(rest) => (rest.to_owned(), true),
            None => (name, false),
        };
        Ok(given.into_iter().filter(|name| !name.is_empty()).map(read).collect())
    }

    /// Refuses every word but these, and says which it is.
    pub(crate) fn word(&self, name: &str, allowed: &[&str]) -> Result<Option<&str>, Error> {
        for value in self.all(name) {
            if !allowed.contains(&value.as_str()) {
                let expected = allowed.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" or ");
                return Err(Error::invalid("literal_error", json!(["query", name]), &format!("Input should be {expected}"), json!(value)));
            }
        }
        Ok(self.one(name))
    }

    /// Refuses words that a parameter cannot have; the ways to say "none" are among those that it can.
    pub(crate) fn words(&self, name: &str, called: &str, allowed: &[&str]) -> Result<(), Error> {
        for value in self.all(name) {
            if !allowed.contains(&value.as_str()) && !NO_STATE.contains(&value.as_str()) {
                let msg = format!("Invalid value for {called}. Valid values are {}", allowed.join(", "));
                return Err(Error::invalid("value_error", json!(["query", name]), &msg, json!(value)));
            }
        }
        Ok(())
    }

    /// What texts must be, by a parameter for the whole text, one for a pattern and one for a prefix.
    pub(crate) fn text_tests(&self, equal: &str, pattern: &str, prefix: &str) -> Vec<Test> {
        let whole = self.all(equal);
        let whole = (!whole.is_empty()).then_some(Test::AnyOf(whole));
        whole.into_iter().chain(self.one(pattern).and_then(pattern_test)).chain(self.one(prefix).and_then(prefix_test)).collect()
    }

    /// As [`Self::list`], with pages by cursor for who asks for them. `key` makes every order total.
    pub(crate) fn keyed_list(&self, columns: &'static [Column], key: &'static [Column]) -> Result<ListQuery, Error> {
        let mut query = self.list(columns)?;
        if let Some(token) = self.one("cursor") {
            query.offset = 0;
            query.paging = cursor::read(token, &query.total_order(key))?;
        }
        Ok(query)
    }

    /// Filters, order and page, by the columns of a list. Parameters that name no column are ignored, as in Airflow.
    pub(crate) fn list(&self, columns: &'static [Column]) -> Result<ListQuery, Error> {
        let mut query = ListQuery::first(self.limit()?);
        query.offset = self.offset()?;
        for (name, descending) in self.order_by()? {
            let Some(column) = columns.iter().find(|c| c.name == name) else {
                return Err(unorderable(&name, columns.iter().map(|c| c.name)));
            };
            query.order.push((column, descending));
        }
        let mut seen: Vec<&str> = Vec::new();
        for (key, value) in &self.0 {
            if seen.contains(&key.as_str()) {
                continue;
            }
            seen.push(key);
            if let Some(column) = columns.iter().find(|c| c.name == key && c.filters) {
                query.filters.push(Filter { column, test: self.equal(column, key)? });
            } else if let Some(column) = text_named(columns, key, "_contains") {
                query.filters.push(Filter { column, test: Test::Like(vec![format!("%{}%", escape_like(value))]) });
            } else if let Some(column) = text_named(columns, key, "_prefix_pattern") {
                query.filters.extend(prefix_test(value).map(|test| Filter { column, test }));
            } else if let Some(column) = text_named(columns, key, "_pattern") {
                query.filters.extend(pattern_test(value).map(|test| Filter { column, test }));
            } else {
                for (suffix, compare) in
                    [("_gte", Compare::GreaterOrEqual), ("_gt", Compare::Greater), ("_lte", Compare::LessOrEqual), ("_lt", Compare::Less)]
                {
                    if let Some(column) = named(columns, key, suffix) {
                        let test = match column.kind {
                            Kind::Time => Test::Time(compare, parse_time("query", key, value)?),
                            Kind::Number | Kind::Real => Test::Number(compare, parse_float(key, value)?),
                            Kind::Text | Kind::Bool => continue,
                        };
                        query.filters.push(Filter { column, test });
                    }
                }
            }
        }
        // The one place where lists learn of it: a list without a DAG in its rows is not for who may see some only.
        if let Some(ids) = &self.1.0 {
            let column = columns.iter().find(|c| c.name == "dag_id" && c.filters).ok_or_else(Scope::all_of_it)?;
            query.filters.push(Filter { column, test: Test::AnyOf(ids.to_vec()) });
        }
        Ok(query)
    }

    fn equal(&self, column: &Column, key: &str) -> Result<Test, Error> {
        let values = self.all(key);
        let last = values.last().cloned().unwrap_or_default();
        Ok(match column.kind {
            // The list says "no state" in three ways.
            Kind::Text if column.name == "state" => {
                Test::AnyOf(values.into_iter().map(|v| if NO_STATE.contains(&v.as_str()) { "none".to_owned() } else { v }).collect())
            }
            Kind::Text => Test::AnyOf(values),
            Kind::Bool => Test::Is(parse_bool(key, &last)?),
            Kind::Number | Kind::Real => Test::AnyNumber(values.iter().map(|v| parse_int(key, v)).collect::<Result<_, _>>()?),
            Kind::Time => Test::At(parse_time("query", key, &last)?),
        })
    }

    pub(crate) fn limit(&self) -> Result<i64, Error> {
        match self.int("limit")? {
            None => Ok(DEFAULT_LIMIT),
            Some(n) if n < 0 => Err(at_least_zero("limit", n)),
            Some(n) => Ok(n.min(MOST_LIMIT)),
        }
    }

    pub(crate) fn offset(&self) -> Result<i64, Error> {
        match self.int("offset")? {
            None => Ok(0),
            Some(n) if n < 0 => Err(at_least_zero("offset", n)),
            Some(n) => Ok(n),
        }
    }

    /// The fields that a PATCH is to change: several times, or separated by commas. Empty: all that the body has.
    pub(crate) fn mask(&self) -> Vec<String> {
        self.all("update_mask").iter().flat_map(|mask| mask.split(',')).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }
}

fn named(columns: &'static [Column], key: &str, suffix: &str) -> Option<&'static Column> {
    let name = key.strip_suffix(suffix)?;
    columns.iter().find(|c| c.name == name && c.filters)
}

/// A column of texts: nothing else has a pattern.
fn text_named(columns: &'static [Column], key: &str, suffix: &str) -> Option<&'static Column> {
    named(columns, key, suffix).filter(|column| column.kind == Kind::Text)
}

/// 400: the order names what is no column.
pub(crate) fn unorderable<'a>(name: &str, columns: impl Iterator<Item = &'a str>) -> Error {
    Error::BadRequest(format!(
        "Ordering with '{name}' is disallowed or the attribute does not exist on the model; one of: {}",
        columns.collect::<Vec<_>>().join(", ")
    ))
}

/// The test of a `…_pattern`; nothing asks for nothing.
pub(crate) fn pattern_test(value: &str) -> Option<Test> {
    let patterns: Vec<String> = alternatives(value).map(pattern).collect();
    (!patterns.is_empty()).then_some(Test::Like(patterns))
}

/// The test of a `…_prefix_pattern`.
pub(crate) fn prefix_test(value: &str) -> Option<Test> {
    let prefixes: Vec<String> = alternatives(value).map(|text| if text == "~" { String::new() } else { text.to_owned() }).collect();
    (!prefixes.is_empty()).then_some(Test::Prefix(prefixes))
}

/// Airflow's patterns are those of `ILIKE` anywhere in the text; `~` is any.
fn pattern(text: &str) -> String {
    if text == "~" { "%".to_owned() } else { format!("%{text}%") }
}

/// In a pattern, `|` is "or".
fn alternatives(text: &str) -> impl Iterator<Item = &str> {
    text.split('|').map(str::trim).filter(|text| !text.is_empty())
}

fn at_least_zero(name: &str, n: i64) -> Error {
    let mut entry =
        problem("greater_than_equal", json!(["query", name]), "Input should be greater than or equal to 0", json!(n.to_string()));
    entry["ctx"] = json!({"ge": 0});
    Error::Invalid(vec![entry])
}

fn parse_int(name: &str, value: &str) -> Result<i64, Error> {
    value.parse().map_err(|_| {
        Error::invalid(
            "int_parsing",
            json!(["query", name]),
            "Input should be a valid integer, unable to parse string as an integer",
            json!(value),
        )
    })
}

fn parse_float(name: &str, value: &str) -> Result<f64, Error> {
    value.parse().map_err(|_| {
        Error::invalid(
            "float_parsing",
            json!(["query", name]),
            "Input should be a valid number, unable to parse string as a number",
            json!(value),
        )
    })
}

fn parse_bool(name: &str, value: &str) -> Result<bool, Error> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "t" | "y" => Ok(true),
        "false" | "0" | "no" | "off" | "f" | "n" => Ok(false),
        _ => Err(Error::invalid(
            "bool_parsing",
            json!(["query", name]),
            "Input should be a valid boolean, unable to interpret input",
            json!(value),
        )),
    }
}

/// A time as people and clients write it: with an offset, without one (UTC), or a date alone. Of the years that have four digits: others
/// could not be written back.
pub(crate) fn read_time(text: &str) -> Option<DateTime<Utc>> {
    any_time(text).filter(|at| (1..=9999).contains(&at.year()))
}

fn any_time(text: &str) -> Option<DateTime<Utc>> {
    // A plus sign that nobody encoded arrives as a space.
    let text = text.trim();
    let fixed = match text.rsplit_once(' ') {
        Some((time, zone)) if time.contains('T') => format!("{time}+{zone}"),
        _ => text.to_owned(),
    };
    if let Ok(time) = DateTime::parse_from_rfc3339(&fixed) {
        return Some(time.with_timezone(&Utc));
    }
    // As Airflow's own client writes it.
    if let Ok(time) = DateTime::parse_from_str(&fixed, "%Y-%m-%dT%H:%M:%S%.f%z") {
        return Some(time.with_timezone(&Utc));
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(&fixed, format) {
            return Some(time.and_utc());
        }
    }
    NaiveDate::parse_from_str(&fixed, "%Y-%m-%d").ok().and_then(|d| d.and_hms_opt(0, 0, 0)).map(|t| t.and_utc())
}

pub(crate) fn parse_time(place: &str, name: &str, value: &str) -> Result<DateTime<Utc>, Error> {
    read_time(value).ok_or_else(|| {
        Error::invalid(
            "datetime_from_date_parsing",
            json!([place, name]),
            "Input should be a valid datetime or date, such as 2026-01-31T12:00:00Z",
            json!(value),
        )
    })
}

/// Refuses an address that is no text, before anything is looked up by it: a path must be UTF-8, and Postgres knows no NUL.
pub(crate) async fn readable(request: Request, next: Next) -> Response {
    let path = unescaped(request.uri().path());
    let query = request.uri().query().map(unescaped).unwrap_or_default();
    if path.contains(&0) || query.contains(&0) || std::str::from_utf8(&path).is_err() {
        return Error::BadRequest("the address is not valid: it must be UTF-8 text without NUL characters".to_owned()).into_response();
    }
    next.run(request).await
}

/// The bytes that an address means.
fn unescaped(text: &str) -> Vec<u8> {
    let digit = |at: usize| text.as_bytes().get(at).and_then(|byte| char::from(*byte).to_digit(16)).and_then(|n| u8::try_from(n).ok());
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(high * 16 + low);
                at += 3;
            }
            _ => {
                bytes.push(*byte);
                at += 1;
            }
        }
    }
    bytes
}

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

/// Who asks, and through what. Nobody proves anything on loopback: these are the client's own words, for the audit log.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: String,
    pub(crate) by: &'static str,
    /// The DAGs that they may touch with this request.
    pub(crate) scope: Scope,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let header = |headers: &HeaderMap, name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let user = header(&parts.headers, "updraft-user")
            .filter(|u| !u.is_empty() && u.len() <= 100 && u.chars().all(|c| c.is_alphanumeric() || "-_.@".contains(c)))
            .unwrap_or_else(|| "anonymous".to_owned());
        let by = match header(&parts.headers, "updraft-client").as_deref() {
            Some("cli") => "cli",
            Some("ui") => "ui",
            _ => "rest_api",
        };
        Ok(Self { user, by, scope: Scope::of(parts) })
    }
}
