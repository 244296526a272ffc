//! Values as Python prints them, and the methods of Python's strings, lists and dicts.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, Output, State};

use super::moment::invalid;

/// Writes a value as `str()` does. minijinja writes `none` and `true`.
pub(super) fn format(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.kind() {
        // The engine's own formatter knows what was undefined.
        ValueKind::Undefined => minijinja::escape_formatter(out, state, value),
        ValueKind::String => out.write_str(value.as_str().unwrap_or_default()).map_err(Error::from),
        _ => out.write_str(&str_of(value)).map_err(Error::from),
    }
}

/// Python's `str()`.
pub(super) fn str_of(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => {
            let mut out = String::new();
            repr(value, &mut out, 0);
            out
        }
    }
}

fn repr(value: &Value, out: &mut String, depth: usize) {
    let list = |out: &mut String, open: char, close: char| {
        out.push(open);
        for (i, item) in value.try_iter().into_iter().flatten().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            repr(&item, out, depth + 1);
            if value.kind() == ValueKind::Map
                && let Ok(of_key) = value.get_item(&item)
            {
                out.push_str(": ");
                repr(&of_key, out, depth + 1);
            }
        }
        out.push(close);
    };
    match value.kind() {
        _ if depth > 32 => out.push_str("..."),
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
            out.push(quote);
            for c in text.chars() {
                match c {
                    '\n' => out.push_str("\\n"),
                    '\t' => out.push_str("\\t"),
                    '\r' => out.push_str("\\r"),
                    '\\' => out.push_str("\\\\"),
                    c if c == quote => out.extend(['\\', c]),
                    c => out.push(c),
                }
            }
            out.push(quote);
        }
        ValueKind::Seq | ValueKind::Iterable => list(out, '[', ']'),
        ValueKind::Map => list(out, '{', '}'),
        _ => {
            let _ = write!(out, "{value}");
        }
    }
}

/// Methods that objects of the engine do not have.
pub(super) fn method(_: &mut State<'_, '_>, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => string(value.as_str().unwrap_or_default(), name, args),
        ValueKind::Map => map(value, name, args),
        ValueKind::Seq => list(value, name, args),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn string(text: &str, name: &str, args: &[Value]) -> Result<Value, Error> {
    // The characters that strip() and its kin take off.
    let strip = |start: bool, end: bool| -> Result<Value, Error> {
        let (set,): (Option<&str>,) = from_args(args)?;
        let takes = |c: char| set.map_or_else(|| c.is_whitespace(), |set| set.contains(c));
        let text = if start { text.trim_start_matches(takes) } else { text };
        Ok(if end { text.trim_end_matches(takes) } else { text }.into())
    };
    let none = || from_args::<()>(args);
    Ok(match name {
        "upper" => none().map(|()| text.to_uppercase())?.into(),
        "lower" => none().map(|()| text.to_lowercase())?.into(),
        "strip" => strip(true, true)?,
        "lstrip" => strip(true, false)?,
        "rstrip" => strip(false, true)?,
        "title" | "capitalize" => {
            none()?;
            let mut out = String::new();
            let mut start = true;
            for c in text.chars() {
                if start {
                    out.extend(c.to_uppercase())
                } else {
                    out.extend(c.to_lowercase())
                }
                start = name == "title" && !c.is_alphabetic();
            }
            out.into()
        }
        "replace" => {
            let (old, new, count): (&str, &str, Option<i64>) = from_args(args)?;
            match count.and_then(|n| usize::try_from(n).ok()) {
                Some(n) => text.replacen(old, new, n),
                None => text.replace(old, new),
            }
            .into()
        }
        "split" | "rsplit" => {
            let (by, most, kwargs): (Option<&str>, Option<i64>, Kwargs) = from_args(args)?;
            let most = most.map_or_else(|| kwargs.get::<Option<i64>>("maxsplit"), |n| Ok(Some(n)))?;
            let most = most.and_then(|n| usize::try_from(n).ok()).map_or(usize::MAX, |n| n.saturating_add(1));
            let mut parts: Vec<&str> = match (by, name) {
                (Some(""), _) => return Err(invalid("empty separator")),
                (Some(by), "split") => text.splitn(most, by).collect(),
                (Some(by), _) => text.rsplitn(most, by).collect(),
                (None, _) if most == usize::MAX => text.split_whitespace().collect(),
                (None, _) => return Err(invalid("split needs a separator together with maxsplit")),
            };
            if name == "rsplit" && by.is_some() {
                parts.reverse();
            }
            parts.into_iter().map(Value::from).collect::<Vec<_>>().into()
        }
        "splitlines" => none().map(|()| text.lines().map(Value::from).collect::<Vec<_>>())?.into(),
        "startswith" | "endswith" => {
            let (what,): (Value,) = from_args(args)?;
            let one = |w: &str| if name == "startswith" { text.starts_with(w) } else { text.ends_with(w) };
            match what.as_str() {
                Some(w) => one(w),
                None => what.try_iter()?.any(|w| w.as_str().is_some_and(one)),
            }
            .into()
        }
        "removeprefix" | "removesuffix" => {
            let (what,): (&str,) = from_args(args)?;
            let cut = if name == "removeprefix" { text.strip_prefix(what) } else { text.strip_suffix(what) };
            cut.unwrap_or(text).into()
        }
        "join" => {
            let (parts,): (Value,) = from_args(args)?;
            parts.try_iter()?.map(|part| str_of(&part)).collect::<Vec<_>>().join(text).into()
        }
        "find" | "rfind" | "index" => {
            let (what,): (&str,) = from_args(args)?;
            let at = if name == "rfind" { text.rfind(what) } else { text.find(what) };
            match at {
                Some(at) => text[..at].chars().count().into(),
                None if name == "index" => return Err(invalid("substring not found")),
                None => Value::from(-1),
            }
        }
        "count" => from_args::<(&str,)>(args).map(|(what,)| text.matches(what).count())?.into(),
        "zfill" => {
            let (width,): (usize,) = from_args(args)?;
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
            format!("{sign}{}{digits}", "0".repeat(width.min(10_000).saturating_sub(text.chars().count()))).into()
        }
        "ljust" | "rjust" => {
            let (width, fill): (usize, Option<char>) = from_args(args)?;
            let pad = fill.unwrap_or(' ').to_string().repeat(width.min(10_000).saturating_sub(text.chars().count()));
            if name == "ljust" { format!("{text}{pad}") } else { format!("{pad}{text}") }.into()
        }
        "isdigit" | "isnumeric" | "isdecimal" => (!text.is_empty() && text.chars().all(char::is_numeric)).into(),
        "isalpha" => (!text.is_empty() && text.chars().all(char::is_alphabetic)).into(),
        "isalnum" => (!text.is_empty() && text.chars().all(char::is_alphanumeric)).into(),
        "isupper" => (text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)).into(),
        "islower" => (text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)).into(),
        "format" => braces(text, args)?.into(),
        _ => return Err(Error::from(ErrorKind::UnknownMethod)),
    })
}

/// `"{} {name}".format(…)`, without format specs.
fn braces(text: &str, args: &[Value]) -> Result<String, Error> {
    let (positional, named): (&[Value], Option<&Value>) = match args.split_last() {
        Some((last, rest)) if last.is_kwargs() => (rest, Some(last)),
        _ => (args, None),
    };
    let mut out = String::new();
    let mut next = 0;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' | '}' if chars.peek() == Some(&c) => {
                chars.next();
                out.push(c);
            }
            '{' => {
                let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
                let value = if name.is_empty() {
                    next += 1;
                    positional.get(next - 1).cloned()
                } else if let Ok(i) = name.parse::<usize>() {
                    positional.get(i).cloned()
                } else {
                    named.and_then(|named| named.get_attr(&name).ok()).filter(|v| !v.is_undefined())
                };
                let value = value
                    .ok_or_else(|| invalid(format!("format() has no value for {{{name}}}; formats after a colon are not supported")))?;
                out.push_str(&str_of(&value));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

fn map(value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    Ok(match name {
        "get" => {
            let (key, default): (Value, Option<Value>) = from_args(args)?;
            let found = value.get_item(&key)?;
            if found.is_undefined() { default.unwrap_or_else(|| Value::from(())) } else { found }
        }
        "keys" => from_args::<()>(args).and_then(|()| Ok(value.try_iter()?.collect::<Vec<_>>()))?.into(),
        "values" => {
            from_args::<()>(args)?;
            value.try_iter()?.map(|key| value.get_item(&key)).collect::<Result<Vec<_>, _>>()?.into()
        }
        "items" => {
            from_args::<()>(args)?;
            let pair = |key: Value| Ok(Value::from(vec![key.clone(), value.get_item(&key)?]));
            value.try_iter()?.map(pair).collect::<Result<Vec<_>, Error>>()?.into()
        }
        _ => return Err(Error::from(ErrorKind::UnknownMethod)),
    })
}

fn list(value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let (what,): (Value,) = from_args(args)?;
    let mut items = value.try_iter()?;
    Ok(match name {
        "index" => items.position(|item| item == what).map(Value::from).ok_or_else(|| invalid(format!("{what} is not in the list")))?,
        "count" => items.filter(|item| *item == what).count().into(),
        _ => return Err(Error::from(ErrorKind::UnknownMethod)),
    })
}
