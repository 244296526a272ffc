//! Jinja's and Airflow's filters, tests and functions that the engine lacks or has otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use minijinja::value::{Kwargs, Object, ObjectRepr, Rest, Tuple, Value, ValueKind, from_args};
use minijinja::{Environment, Error, State};

use super::context::Part;
use super::json::{Style, dumps};
use super::moment::{Moment, invalid};
use super::python::{centered, repr_of, str_of};

/// Teaches the engine.
pub(super) fn add(env: &mut Environment<'static>) {
    for (name, format) in [("ds", "%Y-%m-%d"), ("ds_nodash", "%Y%m%d"), ("ts_nodash", "%Y%m%dT%H%M%S")] {
        env.add_filter(name, move |value: Value| of_time(&value, |time| time.strftime(format)));
    }
    env.add_filter("ts", |value: Value| of_time(&value, |time| Ok(time.iso('T'))));
    env.add_filter("ts_nodash_with_tz", |value: Value| of_time(&value, |time| Ok(time.iso('T').replace(['-', ':'], ""))));
    env.add_filter("string", |value: Value| text_of(&value));
    env.add_filter("title", |value: Value| text_of(&value).map(|text| title_of_words(&text)));
    env.add_filter("lower", |value: Value| text_of(&value).map(|text| text.to_lowercase()));
    env.add_filter("upper", |value: Value| text_of(&value).map(|text| text.to_uppercase()));
    env.add_filter("pprint", |value: Value| text_of(&value).map(|_| repr_of(&value)));
    env.add_filter("center", |value: Value, width: Option<usize>| text_of(&value).map(|text| centered(&text, width.unwrap_or(80), ' ')));
    env.add_filter("wordcount", |value: Value| {
        text_of(&value).map(|text| text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty()).count())
    });
    for name in ["default", "d"] {
        env.add_filter(name, default);
    }
    env.add_filter("int", int);
    env.add_filter("float", float);
    env.add_filter("dictsort", dictsort);
    env.add_filter("indent", indent);
    env.add_filter("urlencode", urlencode);
    env.add_test("sequence", |value: Value| matches!(value.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Map));
    env.add_filter("filesizeformat", filesizeformat);
    env.add_filter("truncate", truncate);
    env.add_filter("wordwrap", wordwrap);
    env.add_filter("striptags", |value: Value| text_of(&value).map(|text| striptags(&text)));
    for name in ["e", "escape", "forceescape"] {
        let again = name == "forceescape";
        env.add_filter(name, move |value: Value| {
            if value.is_safe() && !again { Ok(value) } else { text_of(&value).map(|text| Value::from_safe_string(escaped(&text))) }
        });
    }
    env.add_filter("xmlattr", xmlattr);
    env.add_filter("tojson", tojson);
    env.add_filter("random", random);
    env.add_test("callable", |value: Value| value.as_object().is_some_and(|object| object.repr() == ObjectRepr::Plain));
    env.add_function("cycler", |items: Rest<Value>| Value::from_object(Cycler { items: items.0, at: AtomicUsize::new(0) }));
    env.add_function("joiner", |separator: Option<String>| {
        Value::from_object(Joiner { separator: separator.unwrap_or_else(|| ", ".to_owned()), used: AtomicBool::new(false) })
    });
}

/// The text of a value; what is undefined has none.
fn text_of(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        // The engine's own error knows the name of what is missing.
        value.get_attr("value")?;
    }
    Ok(str_of(value))
}

fn of_time(value: &Value, show: impl Fn(&Moment) -> Result<String, Error>) -> Result<Value, Error> {
    match value.downcast_object_ref::<Moment>() {
        Some(time) => show(time).map(Value::from),
        // Airflow hands an absent date through.
        None if value.is_none() => Ok(Value::from(())),
        // The engine's own error knows the name of what is missing.
        None if value.is_undefined() => value.get_attr("value"),
        None => Err(invalid(format!("this filter is for times, not for a {}", value.kind()))),
    }
}

/// An argument by place or by name.
macro_rules! argument {
    ($positional:expr, $kwargs:expr, $name:literal) => {
        match $positional {
            Some(value) => Some(value),
            None => $kwargs.get::<Option<_>>($name)?,
        }
    };
}

/// `default(default_value='', boolean=False)`.
fn default(value: Value, given: Option<Value>, boolean: Option<bool>, kwargs: Kwargs) -> Result<Value, Error> {
    let given = argument!(given, kwargs, "default_value").unwrap_or_else(|| "".into());
    let boolean = argument!(boolean, kwargs, "boolean").unwrap_or(false);
    kwargs.assert_all_used()?;
    Ok(if value.is_undefined() || boolean && !value.is_true() { given } else { value })
}

/// `int(default=0, base=10)`: what is no number is the default.
fn int(value: Value, given: Option<Value>, base: Option<u32>, kwargs: Kwargs) -> Result<Value, Error> {
    let given = argument!(given, kwargs, "default").unwrap_or_else(|| 0.into());
    let base = argument!(base, kwargs, "base").unwrap_or(10);
    kwargs.assert_all_used()?;
    if let Some(text) = value.as_str() {
        let text = text.trim().replace('_', "");
        let digits = match base {
            16 => text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")),
            8 => text.strip_prefix("0o"),
            2 => text.strip_prefix("0b"),
            _ => None,
        };
        if !(2..=36).contains(&base) {
            return Ok(given);
        }
        if let Ok(number) = i128::from_str_radix(digits.unwrap_or(&text), base) {
            return Ok(number.into());
        }
        return Ok(text.parse::<f64>().ok().and_then(whole).unwrap_or(given));
    }
    Ok(match value.kind() {
        ValueKind::Bool => i64::from(value.is_true()).into(),
        ValueKind::Number if value.is_integer() => value,
        ValueKind::Number => whole(f64::try_from(value)?).unwrap_or(given),
        ValueKind::Undefined => return value.get_attr("value"),
        _ => given,
    })
}

/// Towards zero, as Python's `int()`.
fn whole(float: f64) -> Option<Value> {
    #[expect(clippy::cast_possible_truncation, reason = "what is too large was left out")]
    (float.is_finite() && float.abs() < 1e30).then(|| Value::from(float.trunc() as i128))
}

/// `float(default=0.0)`.
fn float(value: Value, given: Option<f64>, kwargs: Kwargs) -> Result<Value, Error> {
    let given = argument!(given, kwargs, "default").unwrap_or(0.0);
    kwargs.assert_all_used()?;
    Ok(match (value.as_str(), value.kind()) {
        (Some(text), _) => text.trim().parse::<f64>().unwrap_or(given),
        (_, ValueKind::Bool) => f64::from(u8::from(value.is_true())),
        (_, ValueKind::Number) => f64::try_from(value)?,
        (_, ValueKind::Undefined) => return value.get_attr("value"),
        _ => given,
    }
    .into())
}

/// `dictsort(case_sensitive=False, by='key', reverse=False)`.
fn dictsort(value: Value, case: Option<bool>, by: Option<String>, reverse: Option<bool>, kwargs: Kwargs) -> Result<Value, Error> {
    let case = argument!(case, kwargs, "case_sensitive").unwrap_or(false);
    let by = argument!(by, kwargs, "by").unwrap_or_else(|| "key".to_owned());
    let reverse = argument!(reverse, kwargs, "reverse").unwrap_or(false);
    kwargs.assert_all_used()?;
    if !matches!(by.as_str(), "key" | "value") {
        return Err(invalid("dictsort: by is 'key' or 'value'"));
    }
    let mut pairs = value.try_iter()?.map(|key| value.get_item(&key).map(|item| (key, item))).collect::<Result<Vec<_>, Error>>()?;
    let folded = |value: &Value| value.as_str().filter(|_| !case).map_or_else(|| value.clone(), |text| text.to_lowercase().into());
    pairs.sort_by_cached_key(|(key, item)| folded(if by == "key" { key } else { item }));
    if reverse {
        pairs.reverse();
    }
    Ok(pairs.into_iter().map(|(key, item)| Value::from(Tuple::new(vec![key, item]))).collect::<Vec<_>>().into())
}

/// `indent(width=4, first=False, blank=False)`.
fn indent(value: Value, width: Option<Value>, first: Option<bool>, blank: Option<bool>, kwargs: Kwargs) -> Result<String, Error> {
    let width = argument!(width, kwargs, "width").unwrap_or_else(|| 4.into());
    let first = argument!(first, kwargs, "first").unwrap_or(false);
    let blank = argument!(blank, kwargs, "blank").unwrap_or(false);
    kwargs.assert_all_used()?;
    let by = match width.as_str() {
        Some(text) => text.to_owned(),
        None => " ".repeat(usize::try_from(width)?.min(1_000)),
    };
    let text = text_of(&value)?;
    let line = |(n, line): (usize, &str)| {
        let moves = if n == 0 { first } else { blank || !line.is_empty() };
        if moves { format!("{by}{line}") } else { line.to_owned() }
    };
    Ok(text.split('\n').enumerate().map(line).collect::<Vec<_>>().join("\n"))
}

/// A text for a path, pairs for a query.
fn urlencode(value: Value) -> Result<String, Error> {
    fn quoted(text: &str, keep: char, space: &str) -> String {
        let mut out = String::new();
        for byte in text.bytes() {
            match byte {
                b' ' => out.push_str(space),
                byte if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) || char::from(byte) == keep => out.push(char::from(byte)),
                byte => out.push_str(&format!("%{byte:02X}")),
            }
        }
        out
    }
    let part = |value: &Value| text_of(value).map(|text| quoted(&text, '~', "+"));
    match value.kind() {
        ValueKind::Map => {
            let pair = |key: Value| Ok(format!("{}={}", part(&key)?, part(&value.get_item(&key)?)?));
            Ok(value.try_iter()?.map(pair).collect::<Result<Vec<_>, Error>>()?.join("&"))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let pair = |pair: Value| Ok(format!("{}={}", part(&pair.get_item_by_index(0)?)?, part(&pair.get_item_by_index(1)?)?));
            Ok(value.try_iter()?.map(pair).collect::<Result<Vec<_>, Error>>()?.join("&"))
        }
        _ => text_of(&value).map(|text| quoted(&text, '/', "%20")),
    }
}

/// Jinja's filter, other than Python's method, takes a word to go on after an apostrophe.
fn title_of_words(text: &str) -> String {
    let mut out = String::new();
    let mut start = true;
    for c in text.chars() {
        if start {
            out.extend(c.to_uppercase())
        } else {
            out.extend(c.to_lowercase())
        }
        start = c.is_whitespace() || matches!(c, '-' | '(' | '{' | '[' | '<');
    }
    out
}

fn filesizeformat(bytes: f64, binary: Option<bool>) -> String {
    let (base, units) = match binary.unwrap_or(false) {
        true => (1024.0, ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"]),
        false => (1000.0, ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"]),
    };
    match bytes {
        1.0 => "1 Byte".to_owned(),
        bytes if bytes < base => format!("{} Bytes", bytes.trunc()),
        bytes => {
            let mut size = bytes / base;
            let mut units = units.into_iter().peekable();
            while let Some(unit) = units.next() {
                if size < base || units.peek().is_none() {
                    return format!("{size:.1} {unit}");
                }
                size /= base;
            }
            String::new()
        }
    }
}

/// `truncate(length=255, killwords=False, end='...', leeway=5)`.
fn truncate(value: Value, positional: Rest<Value>, kwargs: Kwargs) -> Result<String, Error> {
    let (length, kill, end, leeway): (Option<usize>, Option<bool>, Option<String>, Option<usize>) = from_args(&positional)?;
    let length = argument!(length, kwargs, "length").unwrap_or(255);
    let kill = argument!(kill, kwargs, "killwords").unwrap_or(false);
    let end = argument!(end, kwargs, "end").unwrap_or_else(|| "...".to_owned());
    let leeway = argument!(leeway, kwargs, "leeway").unwrap_or(5);
    kwargs.assert_all_used()?;
    let text = text_of(&value)?;
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text);
    }
    let keep = length.checked_sub(end.chars().count()).ok_or_else(|| invalid("truncate: the length is less than that of the end"))?;
    let kept: String = text.chars().take(keep).collect();
    let kept = if kill { kept.as_str() } else { kept.rsplit_once(' ').map_or(kept.as_str(), |(words, _)| words) };
    Ok(format!("{kept}{end}"))
}

/// `wordwrap(width=79, break_long_words=True, wrapstring='\n', break_on_hyphens=True)`.
fn wordwrap(value: Value, positional: Rest<Value>, kwargs: Kwargs) -> Result<String, Error> {
    let (width, long, wrap, hyphens): (Option<usize>, Option<bool>, Option<String>, Option<bool>) = from_args(&positional)?;
    let width = argument!(width, kwargs, "width").unwrap_or(79).max(1);
    let long = argument!(long, kwargs, "break_long_words").unwrap_or(true);
    let wrap = argument!(wrap, kwargs, "wrapstring").unwrap_or_else(|| "\n".to_owned());
    let hyphens = argument!(hyphens, kwargs, "break_on_hyphens").unwrap_or(true);
    kwargs.assert_all_used()?;
    let text = text_of(&value)?;
    let lines: Vec<String> = text.lines().map(|line| wrapped(line, width, long, hyphens).join(&wrap)).collect();
    Ok(lines.join(&wrap))
}

fn wrapped(line: &str, width: usize, break_long: bool, hyphens: bool) -> Vec<String> {
    // Pieces that stay together: words, their parts up to a hyphen, and the white space between.
    let mut pieces: Vec<String> = Vec::new();
    let mut before = ' ';
    for c in line.chars() {
        let joins = pieces.last().is_some_and(|last: &String| {
            last.ends_with(char::is_whitespace) == c.is_whitespace() && !(hyphens && before == '-' && c.is_alphabetic() && last.len() > 1)
        });
        match pieces.last_mut() {
            Some(last) if joins => last.push(c),
            _ => pieces.push(c.to_string()),
        }
        before = c;
    }
    let mut lines = vec![String::new()];
    let mut room = width;
    for piece in pieces {
        let length = piece.chars().count();
        let blank = piece.starts_with(char::is_whitespace);
        if length <= room {
            if !(blank && room == width && lines.len() > 1) {
                room -= length;
                if let Some(line) = lines.last_mut() {
                    line.push_str(&piece);
                }
            }
            continue;
        }
        if blank {
            // It is where the line breaks.
            lines.push(String::new());
            room = width;
            continue;
        }
        let mut rest: Vec<char> = piece.chars().collect();
        if length > width && break_long {
            while !rest.is_empty() {
                if room == 0 {
                    lines.push(String::new());
                    room = width;
                }
                let taken: String = rest.drain(..rest.len().min(room)).collect();
                room -= taken.chars().count();
                if let Some(line) = lines.last_mut() {
                    line.push_str(&taken);
                }
            }
            continue;
        }
        if room < width {
            lines.push(String::new());
        }
        room = width.saturating_sub(length);
        if let Some(line) = lines.last_mut() {
            line.push_str(&piece);
        }
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
}

fn striptags(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, tag)) = rest.split_once('<') {
        out.push_str(before);
        let (close, length) = if tag.starts_with("!--") { ("-->", 3) } else { (">", 1) };
        match tag.find(close) {
            Some(at) => rest = &tag[at + length..],
            None => {
                out.push('<');
                rest = tag;
                break;
            }
        }
    }
    out.push_str(rest);
    let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&nbsp;", "\u{a0}"), ("&amp;", "&")];
    let text = plain.into_iter().fold(out, |text, (entity, letter)| text.replace(entity, letter));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// As MarkupSafe writes it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    out
}

fn xmlattr(value: Value, autospace: Option<bool>) -> Result<String, Error> {
    let mut out = Vec::new();
    for key in value.try_iter()? {
        let of_key = value.get_item(&key)?;
        if of_key.is_none() || of_key.is_undefined() {
            continue;
        }
        let key = str_of(&key);
        if key.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '>' | '=')) {
            return Err(invalid(format!("xmlattr: {key:?} is no name of an attribute")));
        }
        out.push(format!("{}=\"{}\"", escaped(&key), escaped(&str_of(&of_key))));
    }
    let space = if autospace.unwrap_or(true) && !out.is_empty() { " " } else { "" };
    Ok(format!("{space}{}", out.join(" ")))
}

/// `tojson(indent=None)`: keys in order, safe in a page.
fn tojson(value: Value, indent: Option<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let mut style = Style { sorted: true, html: true, ..Style::default() };
    style.set_indent(argument!(indent, kwargs, "indent"))?;
    kwargs.assert_all_used()?;
    dumps(&value, &style).map(Value::from_safe_string)
}

/// One of several, by the chance that follows from the attempt.
fn random(state: &mut State<'_, '_>, value: Value) -> Result<Value, Error> {
    let items: Vec<Value> = match value.as_str() {
        Some(text) => text.chars().map(Value::from).collect(),
        None => value.try_iter()?.collect(),
    };
    let part = state.lookup("macros");
    let drawn = part.as_ref().and_then(|part| part.downcast_object_ref::<Part>()).map(Part::draw).unwrap_or_default();
    let [a, b, c, d, ..] = drawn;
    let at = u32::from_be_bytes([a, b, c, d]) as usize % items.len().max(1);
    Ok(items.get(at).cloned().unwrap_or_default())
}

/// Jinja's `cycler('odd', 'even')`.
#[derive(Debug)]
struct Cycler {
    items: Vec<Value>,
    at: AtomicUsize,
}

impl Object for Cycler {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let current = self.at.load(Ordering::Relaxed) % self.items.len().max(1);
        (key.as_str()? == "current").then(|| self.items.get(current).cloned())?
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        from_args::<()>(args)?;
        match method {
            "next" => {
                let at = self.at.fetch_add(1, Ordering::Relaxed) % self.items.len().max(1);
                self.items.get(at).cloned().ok_or_else(|| invalid("cycler: no items given"))
            }
            "reset" => {
                self.at.store(0, Ordering::Relaxed);
                Ok(Value::from(()))
            }
            _ => Err(super::arithmetic::no_method()),
        }
    }
}

/// Jinja's `joiner(', ')`: nothing the first time.
#[derive(Debug)]
struct Joiner {
    separator: String,
    used: AtomicBool,
}

impl Object for Joiner {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        from_args::<()>(args)?;
        Ok(if self.used.swap(true, Ordering::Relaxed) { self.separator.as_str() } else { "" }.into())
    }
}
