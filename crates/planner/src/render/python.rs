//! Values as Python prints them, and the methods of Python's strings, lists and dicts.

mod text;

pub(super) use text::centered;

use std::fmt::Write as _;

use minijinja::value::{Tuple, Value, ValueKind, from_args};
use minijinja::{Error, Output, State};

use super::arithmetic::no_method;
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
        let mut count = 0;
        out.push(open);
        for (i, item) in value.try_iter().into_iter().flatten().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            repr(&item, out, depth + 1);
            count = i + 1;
            if value.kind() == ValueKind::Map
                && let Ok(of_key) = value.get_item(&item)
            {
                out.push_str(": ");
                repr(&of_key, out, depth + 1);
            }
        }
        if count == 1 && close == ')' {
            out.push(',');
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
                    c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                        let _ = write!(out, "\\x{:02x}", c as u32);
                    }
                    c => out.push(c),
                }
            }
            out.push(quote);
        }
        ValueKind::Number if !value.is_integer() => match f64::try_from(value.clone()) {
            Ok(float) => out.push_str(&float_repr(float)),
            Err(_) => {
                let _ = write!(out, "{value}");
            }
        },
        _ if value.is_tuple() => list(out, '(', ')'),
        ValueKind::Seq | ValueKind::Iterable => list(out, '[', ']'),
        ValueKind::Map => list(out, '{', '}'),
        _ => {
            let _ = write!(out, "{value}");
        }
    }
}

/// Python's `repr()`.
pub(super) fn repr_of(value: &Value) -> String {
    let mut out = String::new();
    repr(value, &mut out, 0);
    out
}

/// A float as Python writes it: as few digits as tell it apart, and with an exponent from 1e16 on and below 0.0001.
pub(super) fn float_repr(float: f64) -> String {
    if !float.is_finite() {
        let text = if float.is_nan() { "nan" } else { "inf" };
        return if float.is_sign_negative() && !float.is_nan() { format!("-{text}") } else { text.to_owned() };
    }
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>().unwrap_or(0) {
        exponent if float != 0.0 && !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => format!("{float:?}"),
    }
}

/// Methods that objects of the engine do not have.
pub(super) fn method(_: &mut State<'_, '_>, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => text::method(value.as_str().unwrap_or_default(), name, args),
        ValueKind::Map => map(value, name, args),
        ValueKind::Seq | ValueKind::Iterable => list(value, name, args),
        ValueKind::Number | ValueKind::Bool => number(value, name, args),
        _ => Err(no_method()),
    }
}

/// Attributes that are none of the engine's: `(10).real`.
fn number(value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    from_args::<()>(args)?;
    Ok(match name {
        "is_integer" => (f64::try_from(value.clone())?.fract() == 0.0).into(),
        "bit_length" if value.is_integer() => (128 - i128::try_from(value.clone())?.unsigned_abs().leading_zeros()).into(),
        "conjugate" => value.clone(),
        _ => return Err(no_method()),
    })
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
        "copy" => from_args::<()>(args).map(|()| value.clone())?,
        "update" | "pop" | "setdefault" | "popitem" | "clear" => return Err(unchangeable(name)),
        "items" => {
            from_args::<()>(args)?;
            let pair = |key: Value| Ok(Value::from(Tuple::new(vec![key.clone(), value.get_item(&key)?])));
            value.try_iter()?.map(pair).collect::<Result<Vec<_>, Error>>()?.into()
        }
        _ => return Err(no_method()),
    })
}

/// Values do not change here.
fn unchangeable(name: &str) -> Error {
    invalid(format!(
        "{name}() changes a value, which a template cannot: make a new one, as in {{% set x = x + [1] %}}, or keep it in a namespace()"
    ))
}

fn list(value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    if matches!(name, "append" | "extend" | "insert" | "pop" | "remove" | "sort" | "reverse" | "clear") {
        return Err(unchangeable(name));
    }
    if name == "copy" {
        return from_args::<()>(args).map(|()| value.clone());
    }
    if !matches!(name, "index" | "count") {
        return Err(no_method());
    }
    let (what,): (Value,) = from_args(args)?;
    let mut items = value.try_iter()?;
    Ok(match name {
        "index" => items.position(|item| item == what).map(Value::from).ok_or_else(|| invalid(format!("{what} is not in the list")))?,
        "count" => items.filter(|item| *item == what).count().into(),
        _ => return Err(no_method()),
    })
}
