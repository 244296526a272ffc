//! JSON as Python writes it: `macros.json.dumps` and Jinja's `tojson`.

use std::fmt::Write as _;

use minijinja::Error;
use minijinja::value::{Kwargs, Value, ValueKind};

use super::moment::invalid;
use super::python::float_repr;

/// How it is written.
#[derive(Debug, Clone)]
pub(super) struct Style {
    /// Whether letters beyond ASCII are written as numbers.
    pub(super) ascii: bool,
    /// Whether keys are in order.
    pub(super) sorted: bool,
    /// What a level is indented by. Nothing: all of it is one line.
    pub(super) indent: Option<String>,
    /// Between items, and between a key and its value.
    pub(super) separators: (String, String),
    /// Whether `<`, `>`, `&` and `'` are written as numbers.
    pub(super) html: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self { ascii: true, sorted: false, indent: None, separators: (", ".to_owned(), ": ".to_owned()), html: false }
    }
}

impl Style {
    /// Python's keyword arguments of `json.dumps`.
    pub(super) fn from_kwargs(kwargs: &Kwargs) -> Result<Self, Error> {
        let (ascii, sorted) = (kwargs.get::<Option<bool>>("ensure_ascii")?, kwargs.get::<Option<bool>>("sort_keys")?);
        let mut style = Self { ascii: ascii.unwrap_or(true), sorted: sorted.unwrap_or(false), ..Self::default() };
        style.set_indent(kwargs.get::<Option<Value>>("indent")?)?;
        if let Some(separators) = kwargs.get::<Option<Vec<String>>>("separators")? {
            let [item, key] = <[String; 2]>::try_from(separators).map_err(|_| invalid("json.dumps: separators are two texts"))?;
            style.separators = (item, key);
        }
        Ok(style)
    }

    pub(super) fn set_indent(&mut self, indent: Option<Value>) -> Result<(), Error> {
        self.indent = match indent.filter(|indent| !indent.is_none()) {
            None => None,
            Some(text) if text.as_str().is_some() => text.as_str().map(str::to_owned),
            Some(width) => Some(" ".repeat(usize::try_from(width).map_err(|_| invalid("indent is a number or a text"))?.min(80))),
        };
        if self.indent.is_some() {
            // Python leaves the space at the end of a line away.
            self.separators.0 = ",".to_owned();
        }
        Ok(())
    }
}

/// The value as JSON.
pub(super) fn dumps(value: &Value, style: &Style) -> Result<String, Error> {
    let mut out = String::new();
    write(value, style, 0, &mut out)?;
    Ok(out)
}

fn write(value: &Value, style: &Style, depth: usize, out: &mut String) -> Result<(), Error> {
    if depth > 64 {
        return Err(invalid("the value is too deep for JSON"));
    }
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = &style.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(indent.as_str(), depth));
        }
    };
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => match f64::try_from(value.clone()) {
            Ok(float) if !value.is_integer() => out.push_str(&float_repr(float).replace("inf", "Infinity").replace("nan", "NaN")),
            _ => {
                let _ = write!(out, "{value}");
            }
        },
        ValueKind::String => quote(value.as_str().unwrap_or_default(), style, out),
        ValueKind::Seq | ValueKind::Iterable => {
            let mut empty = true;
            out.push('[');
            for item in value.try_iter()? {
                if !empty {
                    out.push_str(&style.separators.0);
                }
                empty = false;
                line(out, depth + 1);
                write(&item, style, depth + 1, out)?;
            }
            if !empty {
                line(out, depth);
            }
            out.push(']');
        }
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if style.sorted {
                keys.sort();
            }
            out.push('{');
            for (i, key) in keys.iter().enumerate() {
                if i > 0 {
                    out.push_str(&style.separators.0);
                }
                line(out, depth + 1);
                match key.as_str() {
                    Some(text) => quote(text, style, out),
                    None => {
                        let mut text = String::new();
                        write(key, style, depth + 1, &mut text)?;
                        quote(&text, style, out);
                    }
                }
                out.push_str(&style.separators.1);
                write(&value.get_item(key)?, style, depth + 1, out)?;
            }
            if !keys.is_empty() {
                line(out, depth);
            }
            out.push('}');
        }
        // The engine's own error knows the name of what is missing.
        ValueKind::Undefined => return value.get_attr("value").map(|_| ()),
        _ => return Err(invalid(format!("{value} cannot be written as JSON: turn it into a text first"))),
    }
    Ok(())
}

fn quote(text: &str, style: &Style, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || (style.ascii && !c.is_ascii()) || (style.html && matches!(c, '<' | '>' | '&' | '\'')) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
