//! Reading requests as FastAPI does: query parameters that repeat, bodies with named fields, and a 422 that says which value is wrong.

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, Utc};
use serde_json::{Value, json};
use updraft_model::hint::NOT_MAPPED;
use updraft_store::Change;
use updraft_store::read::audit::Audit;
use updraft_store::read::{Column, Compare, Filter, Kind, ListQuery, Test, escape_like};

use crate::ApiState;
use crate::access::{Principal, Scope};
use crate::cursor;
use crate::error::{Error, problem};

mod body;

pub(crate) use body::{Body, Fields};

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
        for (key, _) in &self.0 {
            if seen.contains(&key.as_str()) {
                continue;
            }
            seen.push(key);
            // Of a parameter with one value the last counts, as in FastAPI, and only that is read.
            let value = self.one(key).unwrap_or_default();
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

/// Who asks, and through what. Nobody proves anything on loopback: there the name is the client's own word, for the audit log.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: String,
    pub(crate) by: &'static str,
    /// The DAGs that they may touch with this request.
    pub(crate) scope: Scope,
}

impl Caller {
    /// Writes to the audit log what they did that is of no DAG. Names are for the log, secrets never.
    pub(crate) async fn log(&self, state: &ApiState, event: &str, extra: Value) -> Result<(), Error> {
        Ok(state.store().audit_write(&Audit { who: &self.user, event, extra: Some(extra), ..Audit::default() }).await?)
    }

    /// Ends a change, with its entry in the audit log: what was before, and what is after. Secrets stand in neither.
    pub(crate) async fn commit(&self, change: Change, event: &str, extra: Value) -> Result<(), Error> {
        Ok(change.commit(&Audit { who: &self.user, event, extra: Some(extra), ..Audit::default() }).await?)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let header = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok());
        let claimed = || {
            header("updraft-user")
                .filter(|u| !u.is_empty() && u.len() <= 100 && u.chars().all(|c| c.is_alphanumeric() || "-_.@".contains(c)))
                .unwrap_or("anonymous")
        };
        // Whoever has proved who they are is nobody else.
        let user = parts.extensions.get::<Principal>().map_or_else(claimed, |principal| &principal.name).to_owned();
        let by = match header("updraft-client") {
            Some("cli") => "cli",
            Some("ui") => "ui",
            _ => "rest_api",
        };
        Ok(Self { user, by, scope: Scope::of(parts) })
    }
}
