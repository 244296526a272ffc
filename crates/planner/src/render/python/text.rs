//! The methods of Python's strings.

use minijinja::Error;
use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Kwargs, Tuple, Value, ValueKind, from_args};

use super::super::arithmetic::no_method;
use super::super::moment::{Moment, invalid};
use super::{repr_of, str_of};

/// Calls `text.name(…)`.
pub(super) fn method(text: &str, name: &str, args: &[Value]) -> Result<Value, Error> {
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
        "title" => none().map(|()| title(text))?.into(),
        "capitalize" => {
            none()?;
            let mut letters = text.chars();
            let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
            (first + &letters.as_str().to_lowercase()).into()
        }
        "swapcase" => {
            none()?;
            let mut out = String::new();
            for c in text.chars() {
                if c.is_uppercase() { out.extend(c.to_lowercase()) } else { out.extend(c.to_uppercase()) }
            }
            out.into()
        }
        // What lower case leaves apart: the one letter that turns up.
        "casefold" => none().map(|()| text.to_lowercase().replace('ß', "ss"))?.into(),
        "replace" => {
            let (old, new, count): (&str, &str, Option<i64>) = from_args(args)?;
            match count.and_then(|n| usize::try_from(n).ok()) {
                Some(n) => text.replacen(old, new, n),
                None => text.replace(old, new),
            }
            .into()
        }
        "split" | "rsplit" => {
            let (by, most, kwargs): (Option<Value>, Option<i64>, Kwargs) = from_args(args)?;
            let by = by.map_or_else(|| kwargs.get::<Option<Value>>("sep"), |by| Ok(Some(by)))?.filter(|by| !by.is_none());
            let most = most.map_or_else(|| kwargs.get::<Option<i64>>("maxsplit"), |n| Ok(Some(n)))?;
            kwargs.assert_all_used()?;
            let most = most.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
            let by = by.as_ref().map(|by| by.as_str().ok_or_else(|| invalid("the separator is no text"))).transpose()?;
            split(text, by, most, name == "rsplit")?.into_iter().map(Value::from).collect::<Vec<_>>().into()
        }
        "partition" | "rpartition" => {
            let (by,): (&str,) = from_args(args)?;
            if by.is_empty() {
                return Err(invalid("empty separator"));
            }
            let found = if name == "partition" { text.split_once(by) } else { text.rsplit_once(by) };
            let parts = match (found, name) {
                (Some((before, after)), _) => [before, by, after],
                (None, "partition") => [text, "", ""],
                (None, _) => ["", "", text],
            };
            Tuple::new(parts.map(Value::from).into()).into()
        }
        "splitlines" => {
            let (keep, kwargs): (Option<bool>, Kwargs) = from_args(args)?;
            let keep = keep.map_or_else(|| kwargs.get::<Option<bool>>("keepends"), |keep| Ok(Some(keep)))?.unwrap_or(false);
            kwargs.assert_all_used()?;
            let lines = text.split_inclusive('\n').map(|line| if keep { line } else { line.trim_end_matches(['\n', '\r']) });
            lines.map(Value::from).collect::<Vec<_>>().into()
        }
        "startswith" | "endswith" => {
            let (what, from, to): (Value, Option<i64>, Option<i64>) = from_args(args)?;
            let text = between(text, from, to).1;
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
        "find" | "rfind" | "index" | "rindex" => {
            let (what, from, to): (&str, Option<i64>, Option<i64>) = from_args(args)?;
            let (start, part) = between(text, from, to);
            let at = if name.starts_with('r') { part.rfind(what) } else { part.find(what) };
            match at {
                Some(at) => (start + part[..at].chars().count()).into(),
                None if name.ends_with("index") => return Err(invalid("substring not found")),
                None => Value::from(-1),
            }
        }
        "count" => {
            let (what, from, to): (&str, Option<i64>, Option<i64>) = from_args(args)?;
            between(text, from, to).1.matches(what).count().into()
        }
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
        "center" => {
            let (width, fill): (usize, Option<char>) = from_args(args)?;
            centered(text, width, fill.unwrap_or(' ')).into()
        }
        "expandtabs" => {
            let (size, kwargs): (Option<usize>, Kwargs) = from_args(args)?;
            let size = size.map_or_else(|| kwargs.get::<Option<usize>>("tabsize"), |size| Ok(Some(size)))?.unwrap_or(8).min(100);
            expand_tabs(text, size).into()
        }
        "isspace" => (!text.is_empty() && text.chars().all(char::is_whitespace)).into(),
        "isascii" => text.is_ascii().into(),
        "istitle" => (text.chars().any(char::is_alphabetic) && title(text) == text).into(),
        "isidentifier" => {
            let mut letters = text.chars();
            let word = |c: char| c == '_' || c.is_alphanumeric();
            letters.next().is_some_and(|c| word(c) && !c.is_numeric()) && letters.all(word)
        }
        .into(),
        "isdigit" | "isnumeric" | "isdecimal" => (!text.is_empty() && text.chars().all(char::is_numeric)).into(),
        "isalpha" => (!text.is_empty() && text.chars().all(char::is_alphabetic)).into(),
        "isalnum" => (!text.is_empty() && text.chars().all(char::is_alphanumeric)).into(),
        "isupper" => (text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)).into(),
        "islower" => (text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)).into(),
        "format" => braces(text, args)?.into(),
        "format_map" => {
            let (map,): (Value,) = from_args(args)?;
            braces_of(text, &[], Some(&map))?.into()
        }
        _ => return Err(no_method()),
    })
}

/// The part of a text from and up to the given characters, as in a slice, and where it starts.
fn between(text: &str, from: Option<i64>, to: Option<i64>) -> (usize, &str) {
    let length = text.chars().count();
    let place = |at: i64| {
        let at = if at < 0 { at.saturating_add(i64::try_from(length).unwrap_or(i64::MAX)).max(0) } else { at };
        usize::try_from(at).unwrap_or(usize::MAX).min(length)
    };
    let (from, to) = (from.map_or(0, place), to.map_or(length, place));
    let byte = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
    (from, if from < to { &text[byte(from)..byte(to)] } else { "" })
}

fn split<'a>(text: &'a str, by: Option<&str>, most: usize, from_right: bool) -> Result<Vec<&'a str>, Error> {
    let count = most.saturating_add(1);
    Ok(match by {
        Some("") => return Err(invalid("empty separator")),
        Some(by) if from_right => {
            let mut parts: Vec<&str> = text.rsplitn(count, by).collect();
            parts.reverse();
            parts
        }
        Some(by) => text.splitn(count, by).collect(),
        None => {
            // Runs of white space; what is left over keeps its inner ones.
            let mut parts = Vec::new();
            let mut rest = if from_right { text.trim_end() } else { text.trim_start() };
            while !rest.is_empty() {
                let cut = if parts.len() == most {
                    None
                } else if from_right {
                    rest.char_indices().rev().find(|(_, c)| c.is_whitespace()).map(|(at, c)| (at, at + c.len_utf8()))
                } else {
                    rest.char_indices().find(|(_, c)| c.is_whitespace()).map(|(at, c)| (at, at + c.len_utf8()))
                };
                match cut {
                    Some((end, start)) if from_right => {
                        parts.push(&rest[start..]);
                        rest = rest[..end].trim_end();
                    }
                    Some((end, start)) => {
                        parts.push(&rest[..end]);
                        rest = rest[start..].trim_start();
                    }
                    None => {
                        parts.push(rest);
                        break;
                    }
                }
            }
            if from_right {
                parts.reverse();
            }
            parts
        }
    })
}

/// Every word with a capital, as Python has it: whatever follows something that is no letter.
fn title(text: &str) -> String {
    let mut out = String::new();
    let mut start = true;
    for c in text.chars() {
        if start {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
        start = !c.is_alphabetic();
    }
    out
}

/// Python's `center`: the odd space goes to the left when the width is odd.
pub(in crate::render) fn centered(text: &str, width: usize, fill: char) -> String {
    let length = text.chars().count();
    let width = width.min(10_000);
    let pad = width.saturating_sub(length);
    let left = pad / 2 + (pad & width & 1);
    let fill = |count: usize| std::iter::repeat_n(fill, count).collect::<String>();
    format!("{}{text}{}", fill(left), fill(pad - left))
}

fn expand_tabs(text: &str, size: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' if size > 0 => {
                let spaces = size - column % size;
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            '\t' => {}
            c => {
                out.push(c);
                column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
            }
        }
    }
    out
}

/// `"{} {name:>5} {x.year!r}".format(…)`.
fn braces(text: &str, args: &[Value]) -> Result<String, Error> {
    match args.split_last() {
        Some((last, rest)) if last.is_kwargs() => braces_of(text, rest, Some(last)),
        _ => braces_of(text, args, None),
    }
}

fn braces_of(text: &str, positional: &[Value], named: Option<&Value>) -> Result<String, Error> {
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
                let field: String = chars.by_ref().take_while(|c| *c != '}').collect();
                let (name, spec) = field.split_once(':').unwrap_or((&field, ""));
                let (name, conversion) = name.split_once('!').unwrap_or((name, ""));
                let value =
                    of_path(name, positional, named, &mut next).ok_or_else(|| invalid(format!("format() has no value for {{{name}}}")))?;
                out.push_str(&formatted(&value, conversion, spec)?);
            }
            '}' => return Err(invalid("format(): single '}' in the text")),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// `name.attribute[key]` of a field.
fn of_path(path: &str, positional: &[Value], named: Option<&Value>, next: &mut usize) -> Option<Value> {
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (first, mut rest) = path.split_at(end);
    let mut value = if first.is_empty() {
        *next += 1;
        positional.get(*next - 1).cloned()
    } else if let Ok(i) = first.parse::<usize>() {
        positional.get(i).cloned()
    } else {
        named.and_then(|named| named.get_attr(first).ok())
    }?;
    while !rest.is_empty() {
        let (key, after) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']')?,
            None => {
                let inner = rest.strip_prefix('.')?;
                inner.split_at(inner.find(['.', '[']).unwrap_or(inner.len()))
            }
        };
        value = match key.parse::<usize>() {
            Ok(i) => value.get_item(&Value::from(i)).ok()?,
            Err(_) => value.get_attr(key).ok()?,
        };
        rest = after;
    }
    Some(value).filter(|value| !value.is_undefined())
}

fn formatted(value: &Value, conversion: &str, spec: &str) -> Result<String, Error> {
    let value = match conversion {
        "r" => Value::from(repr_of(value)),
        "s" => Value::from(str_of(value)),
        _ => value.clone(),
    };
    if spec.is_empty() {
        return Ok(str_of(&value));
    }
    if let Some(time) = value.downcast_object_ref::<Moment>() {
        return time.strftime(spec);
    }
    if let Some(of_percent) = spec.strip_suffix('%') {
        let hundredfold = f64::try_from(value)? * 100.0;
        let precise = if of_percent.contains('.') { of_percent.to_owned() } else { format!("{of_percent}.6") };
        return Ok(format(FormatStyle::StrFormat, &format!("{{:{precise}f}}"), &[hundredfold.into()])? + "%");
    }
    let value = if matches!(value.kind(), ValueKind::Number | ValueKind::String) { value } else { str_of(&value).into() };
    format(FormatStyle::StrFormat, &format!("{{:{spec}}}"), &[value])
}
