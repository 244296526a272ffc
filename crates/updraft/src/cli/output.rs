//! How data is written: a table for people, tab-separated lines for pipes, JSON and YAML for programs.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// A form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns on a terminal, tab-separated when piped.
    Table,
    /// The same with more columns.
    Wide,
    /// JSON, with the keys of the API.
    Json,
    /// YAML, with the keys of the API.
    Yaml,
    /// Only names, one a line.
    Name,
}

impl Format {
    /// Whether it is for programs: whole objects with the keys of the API.
    pub(crate) fn is_data(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

/// How to print.
#[derive(Debug, Clone, Args)]
pub(crate) struct Output {
    /// The form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Format,
    /// Leave out the first line of a table.
    #[arg(long)]
    pub(crate) no_headers: bool,
}

/// A column of a table: its title, and what it shows of a row.
pub(crate) type Column = (&'static str, fn(&Value) -> String);

/// What of a row is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listing {
    /// What `-o name` prints.
    pub(crate) name: fn(&Value) -> String,
    /// The columns.
    pub(crate) columns: &'static [Column],
    /// Those that `-o wide` adds.
    pub(crate) wide: &'static [Column],
}

/// A value as text for people.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A time as people read it: how long ago on a terminal, as it is in a pipe.
pub(crate) fn when(value: &Value) -> String {
    let Some(at) = value.as_str().and_then(|t| DateTime::parse_from_rfc3339(t).ok()) else { return text(value) };
    if !std::io::stdout().is_terminal() {
        return text(value);
    }
    let seconds = (Utc::now() - at.with_timezone(&Utc)).num_seconds();
    let (word, n) = match seconds.unsigned_abs() {
        n @ 0..=119 => ("s", n),
        n @ 120..=7199 => ("min", n / 60),
        n @ 7200..=172_799 => ("h", n / 3600),
        n => ("d", n / 86_400),
    };
    if seconds >= 0 { format!("{n} {word} ago") } else { format!("in {n} {word}") }
}

/// Seconds as people read them.
pub(crate) fn took(value: &Value) -> String {
    match value.as_f64() {
        None => String::new(),
        Some(s) if s < 60.0 => format!("{s:.2} s"),
        Some(s) if s < 7200.0 => format!("{:.1} min", s / 60.0),
        Some(s) => format!("{:.1} h", s / 3600.0),
    }
}

/// A state with its sign: never by colour alone.
pub(crate) fn state(value: &Value) -> String {
    let word = value.as_str().unwrap_or("none");
    if std::io::stdout().is_terminal() { format!("{} {word}", sign(word)) } else { word.to_owned() }
}

fn sign(state: &str) -> char {
    match state {
        "success" => '✓',
        "failed" => '✗',
        "upstream_failed" => '⊘',
        "running" => '▶',
        "queued" | "scheduled" => '…',
        "up_for_retry" => '↻',
        "deferred" => '‖',
        "skipped" | "removed" => '–',
        _ => '·',
    }
}

impl Output {
    /// Writes a list whose first column is the name of a row.
    pub(crate) fn rows(&self, rows: &[Value], columns: &'static [Column]) -> ExitCode {
        let name = columns.first().map_or(text as fn(&Value) -> String, |(_, show)| *show);
        self.list(rows, &Listing { name, columns, wide: &[] })
    }

    /// Writes a list.
    pub(crate) fn list(&self, rows: &[Value], listing: &Listing) -> ExitCode {
        let wide = if self.output == Format::Wide { listing.wide } else { &[] };
        match self.output {
            Format::Json => crate::print(&format!("{:#}\n", Value::Array(rows.to_vec()))),
            Format::Yaml => crate::print(&yaml(&Value::Array(rows.to_vec()))),
            Format::Name => crate::print(&rows.iter().map(|row| format!("{}\n", (listing.name)(row))).collect::<String>()),
            Format::Table | Format::Wide => {
                let columns = || listing.columns.iter().chain(wide);
                let cells: Vec<Vec<String>> = rows.iter().map(|row| columns().map(|(_, show)| show(row)).collect()).collect();
                let titles: Vec<&str> = columns().map(|(title, _)| *title).collect();
                crate::print(&self.table(&titles, &cells))
            }
        }
    }

    /// Writes one thing: pairs of a name and a value as a table, the first value as its name, or the whole.
    pub(crate) fn one(&self, whole: &Value, pairs: &[(&str, String)]) -> ExitCode {
        match self.output {
            Format::Json => crate::print(&format!("{whole:#}\n")),
            Format::Yaml => crate::print(&yaml(whole)),
            Format::Name => crate::print(&pairs.first().map(|(_, name)| format!("{name}\n")).unwrap_or_default()),
            Format::Table | Format::Wide => {
                let cells: Vec<Vec<String>> =
                    pairs.iter().filter(|(_, v)| !v.is_empty()).map(|(name, value)| vec![(*name).to_owned(), value.clone()]).collect();
                let headless = Self { no_headers: true, ..self.clone() };
                crate::print(&headless.table(&["", ""], &cells))
            }
        }
    }

    fn table(&self, titles: &[&str], cells: &[Vec<String>]) -> String {
        if !std::io::stdout().is_terminal() {
            return self.plain(titles, cells);
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if !self.no_headers {
            table.set_header(titles.iter().map(|t| t.to_uppercase()).collect::<Vec<_>>());
        }
        for row in cells {
            table.add_row(row);
        }
        let mut out = String::new();
        let colours = super::terminal::colours();
        for line in table.lines() {
            let line = line.trim_end();
            let _ = writeln!(out, "{}", if colours { super::terminal::paint(line) } else { line.to_owned() });
        }
        out
    }

    /// One line a row, cells apart by tabs: for `cut`, `awk` and `grep`.
    fn plain(&self, titles: &[&str], cells: &[Vec<String>]) -> String {
        let mut out = String::new();
        if !self.no_headers {
            let _ = writeln!(out, "{}", titles.join("\t"));
        }
        for row in cells {
            let row: Vec<String> = row.iter().map(|cell| cell.replace(['\t', '\r'], " ").replace('\n', "; ")).collect();
            let _ = writeln!(out, "{}", row.join("\t"));
        }
        out
    }
}

/// YAML of a JSON value: blocks, keys in order, every text that could be read as something else in quotes.
pub(crate) fn yaml(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Array(items) if items.is_empty()) || matches!(value, Value::Object(map) if map.is_empty())
}

fn block(value: &Value, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    match value {
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let mut inner = String::new();
                block(item, depth + 1, &mut inner);
                // The first line of the item stands beside the dash.
                let _ = write!(out, "{pad}- {}", inner.trim_start());
            }
        }
        Value::Object(map) if !map.is_empty() => {
            for (key, item) in map {
                if item.is_object() && !is_empty(item) || item.is_array() && !is_empty(item) {
                    let _ = writeln!(out, "{pad}{}:", scalar(&Value::String(key.clone())));
                    block(item, depth + 1, out);
                } else {
                    let _ = writeln!(out, "{pad}{}: {}", scalar(&Value::String(key.clone())), scalar(item));
                }
            }
        }
        other => {
            let _ = writeln!(out, "{pad}{}", scalar(other));
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let plain = !text.is_empty()
                && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./+@ ".contains(c))
                && !text.ends_with(' ')
                && !["true", "false", "null", "yes", "no", "on", "off", "y", "n", "inf", "nan"]
                    .contains(&text.to_ascii_lowercase().as_str());
            // JSON's quotes are YAML's.
            if plain { text.clone() } else { value.to_string() }
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_says_the_same() {
        let value = json!({"a": 1, "b": [{"c": "no", "d": []}, "x: y", "2026-01-01"], "e": {"f": null}, "g": ""});
        let expected = "a: 1\nb:\n  - c: \"no\"\n    d: []\n  - \"x: y\"\n  - \"2026-01-01\"\ne:\n  f: null\ng: \"\"\n";
        assert_eq!(yaml(&value), expected);
    }

    #[test]
    fn pipes_get_one_line_a_row() {
        let output = Output { output: Format::Table, no_headers: false };
        let cells = [vec!["a".to_owned(), "two\nlines\tand a tab".to_owned()]];
        assert_eq!(output.plain(&["id", "text"], &cells), "id\ttext\na\ttwo; lines and a tab\n");
    }
}
