//! Connections as one text, as Airflow reads them from the environment and from secret backends: a JSON object, or a URI.
//!
//! Who reads one: the scheduler, for values from outside of the database, and the command line, for imports. What is wrong is told without
//! the text: there is a password in it.

use serde_json::{Map, Value, json};

/// What a JSON object may have.
const FIELDS: [&str; 8] = ["conn_type", "description", "host", "login", "password", "schema", "port", "extra"];

/// Reads a connection: an object with those of `conn_type`, `description`, `host`, `login`, `password`, `schema`, `port` and `extra` that it
/// has. `extra` is JSON as text.
pub fn parse(text: &str) -> Result<Map<String, Value>, String> {
    let text = text.trim();
    let fields = if text.starts_with('{') { of_json(text)? } else { of_uri(text)? };
    match fields.get("extra").and_then(Value::as_str).map(serde_json::from_str) {
        None | Some(Ok(Value::Object(_))) => Ok(fields),
        Some(_) => Err("its extra is no JSON object".to_owned()),
    }
}

fn of_json(text: &str) -> Result<Map<String, Value>, String> {
    // The parser's own words may quote the text.
    let read: Result<Map<String, Value>, _> = serde_json::from_str(text);
    let mut given = read.map_err(|error| format!("it begins as JSON and is none (line {}, column {})", error.line(), error.column()))?;
    given.retain(|_, value| !value.is_null());
    if let Some(uri) = given.remove("uri") {
        let uri = uri.as_str().ok_or_else(|| "its uri is no text".to_owned())?;
        return if given.keys().any(|name| name != "description") {
            Err("it has a uri and other fields: write one or the other".to_owned())
        } else {
            let mut fields = of_uri(uri.trim())?;
            fields.extend(given);
            Ok(fields)
        };
    }
    given.remove("team_name");
    let mut fields = Map::new();
    for (name, value) in given {
        let value = match (name.as_str(), value) {
            ("extra", Value::String(text)) if text.is_empty() => continue,
            ("extra", extra @ (Value::Object(_) | Value::Array(_))) => json!(extra.to_string()),
            ("port", Value::String(text)) if text.is_empty() => continue,
            ("port", port) => {
                let number = port.as_str().map_or_else(|| port.as_u64(), |text| text.trim().parse().ok());
                json!(number.and_then(|port| u16::try_from(port).ok()).ok_or("its port is no number from 0 to 65535")?)
            }
            ("conn_type", Value::String(text)) => json!(normal(&text)),
            (name, value @ Value::String(_)) if FIELDS.contains(&name) => value,
            (name, _) if FIELDS.contains(&name) => return Err(format!("its {name} is no text")),
            _ => return Err(format!("it has a field that no connection has: there are {} and uri", FIELDS.join(", "))),
        };
        fields.insert(name, value);
    }
    Ok(fields)
}

/// Airflow's own form of a type: that of a URI has dashes, since no scheme may have an underscore.
fn normal(conn_type: &str) -> String {
    if conn_type == "postgresql" { "postgres".to_owned() } else { conn_type.replace('-', "_") }
}

/// `TYPE://LOGIN:PASSWORD@HOST:PORT/SCHEMA?EXTRA`, each part percent-encoded. The host may have a protocol before it: `http://https://host`.
fn of_uri(uri: &str) -> Result<Map<String, Value>, String> {
    let form =
        || "it is neither a JSON object nor a URI: TYPE://LOGIN:PASSWORD@HOST:PORT/SCHEMA?EXTRA, each part percent-encoded".to_owned();
    let (scheme, rest) = uri.split_once("://").ok_or_else(form)?;
    if scheme.contains('_') {
        return Err("the type of a URI has dashes, not underscores: google-cloud-platform://".to_owned());
    }
    if !is_scheme(scheme) {
        return Err(form());
    }
    // A second one is the host's own, and there is no third.
    let (protocol, rest) = match rest.split_once("://") {
        None => (None, rest),
        Some((protocol, rest)) if is_scheme(protocol) && !rest.contains("://") => (Some(protocol.to_ascii_lowercase()), rest),
        Some(_) => {
            return Err("only the host may have a protocol, before anything else: http://https://host; encode :// elsewhere".to_owned());
        }
    };
    let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, authority),
    };
    let (login, password) = match user.map(|user| user.split_once(':')) {
        Some(Some((login, password))) => (Some(login), Some(password)),
        _ => (user, None),
    };
    let (host, port) = match place.split_once('[') {
        // An address of IPv6.
        Some((_, inner)) => {
            let (host, after) = inner.split_once(']').ok_or_else(form)?;
            (host, after.split_once(':').map_or("", |(_, port)| port))
        }
        None => place.split_once(':').unwrap_or((place, "")),
    };
    let mut fields = Map::from_iter([("conn_type".to_owned(), json!(normal(&scheme.to_ascii_lowercase())))]);
    let mut put = |name: &str, value: String| fields.insert(name.to_owned(), Value::String(value));
    let named = host_name(host)?;
    put("host", protocol.filter(|_| !named.is_empty()).map_or_else(|| named.clone(), |protocol| format!("{protocol}://{named}")));
    put("schema", decoded(path)?);
    for (name, part) in [("login", login), ("password", password)] {
        if let Some(part) = part {
            put(name, decoded(part)?);
        }
    }
    if !query.is_empty() {
        put("extra", extra(query)?);
    }
    if !port.is_empty() {
        let number: Option<u16> = Some(port).filter(|port| port.bytes().all(|b| b.is_ascii_digit())).and_then(|port| port.parse().ok());
        fields.insert(
            "port".to_owned(),
            json!(number.ok_or("its port is no number from 0 to 65535: is a :, / or @ of its password not encoded?")?),
        );
    }
    Ok(fields)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// Names are the same in capitals, and come out small; what is encoded, such as the path of a socket, stays as it is.
fn host_name(host: &str) -> Result<String, String> {
    let whole = decoded(host)?;
    if whole.contains('/') {
        return Ok(whole);
    }
    let (name, encoded) = host.split_at(host.find('%').unwrap_or(host.len()));
    Ok(name.to_lowercase() + &decoded(encoded)?)
}

/// The query as JSON: what `__extra__` says, or its names and texts.
fn extra(query: &str) -> Result<String, String> {
    let mut fields = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let text = |text: &str| decoded(&text.replace('+', " "));
        fields.insert(text(name)?, Value::String(text(value)?));
    }
    Ok(match fields.remove("__extra__") {
        Some(Value::String(whole)) => whole,
        _ => Value::Object(fields).to_string(),
    })
}

/// Percent-encoding undone. A `%` that encodes nothing stands for itself, as in Python.
fn decoded(text: &str) -> Result<String, String> {
    let digit = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16)).and_then(|n| u8::try_from(n).ok());
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high * 16 + low);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).map_err(|_| "what is percent-encoded in it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Value) {
        assert_eq!(parse(text).map(Value::Object), Ok(expect), "{text}");
    }

    #[test]
    fn a_uri_is_taken_apart_as_airflow_does() {
        check(
            "postgresql://Ada:p%40ss%2Fw%3Ard@DB.example:5432/sales?sslmode=require&n=1",
            json!({"conn_type": "postgres", "host": "db.example", "login": "Ada", "password": "p@ss/w:rd", "port": 5432, "schema": "sales",
                "extra": r#"{"n":"1","sslmode":"require"}"#}),
        );
        check("aws://", json!({"conn_type": "aws", "host": "", "schema": ""}));
        check(
            " google-cloud-platform://?__extra__=%7B%22project%22%3A+%22p%22%7D\n",
            json!({"conn_type": "google_cloud_platform", "host": "", "schema": "", "extra": r#"{"project": "p"}"#}),
        );
        check("HTTP://https://host/x", json!({"conn_type": "http", "host": "https://host", "schema": "x"}));
        check(
            "http://https://me:pw@host:80",
            json!({"conn_type": "http", "host": "https://host", "schema": "", "login": "me", "password": "pw", "port": 80}),
        );
        check("mysql://%2Ftmp%2FMy.sock/db", json!({"conn_type": "mysql", "host": "/tmp/My.sock", "schema": "db"}));
        check(
            "x://user@[::1]:5?a",
            json!({"conn_type": "x", "host": "::1", "schema": "", "login": "user", "port": 5, "extra": r#"{"a":""}"#}),
        );
        check("x://:pw@h#fragment", json!({"conn_type": "x", "host": "h", "schema": "", "login": "", "password": "pw"}));
        check("x://a@b@h/100%", json!({"conn_type": "x", "host": "h", "schema": "100%", "login": "a@b"}));
    }

    #[test]
    fn json_is_taken_as_it_is() {
        check(
            r#" {"conn_type": "google-x", "host": "Db", "port": "5432", "login": null, "extra": {"a": 1}, "description": "d"}"#,
            json!({"conn_type": "google_x", "host": "Db", "port": 5432, "extra": r#"{"a":1}"#, "description": "d"}),
        );
        check(r#"{"conn_type": "http", "port": "", "extra": ""}"#, json!({"conn_type": "http"}));
        check(r#"{"uri": "x://h"}"#, json!({"conn_type": "x", "host": "h", "schema": ""}));
    }

    #[test]
    fn mistakes_are_told_without_the_text() {
        for (text, words) in [
            ("canary", "neither a JSON object nor a URI"),
            ("", "neither a JSON object nor a URI"),
            ("{\"canary\": 1", "begins as JSON and is none"),
            (r#"{"canary": 1}"#, "a field that no connection has"),
            (r#"{"host": 1}"#, "its host is no text"),
            (r#"{"port": "canary"}"#, "its port is no number"),
            (r#"{"port": 65536}"#, "its port is no number"),
            (r#"{"extra": "canary"}"#, "its extra is no JSON object"),
            (r#"{"extra": [1]}"#, "its extra is no JSON object"),
            (r#"{"uri": "x://h", "host": "canary"}"#, "a uri and other fields"),
            ("my_type://canary", "dashes, not underscores"),
            ("x://u:can:ary@h:p/", "its port is no number"),
            ("x://u:p/canary@h", "its port is no number"),
            ("x://h?__extra__=canary", "its extra is no JSON object"),
            ("x://u:canary@http://h", "only the host may have a protocol"),
            ("x://http://h/canary://", "only the host may have a protocol"),
            ("x://canary%ff", "not UTF-8"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words) && !error.contains("canary"), "{text}: {error}");
        }
    }
}
