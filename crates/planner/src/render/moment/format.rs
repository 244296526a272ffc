//! Times as text: Python's `strftime`, pendulum's `format` and the formats that pendulum has names for.

use chrono::Datelike as _;
use minijinja::Error;

use super::{Moment, invalid};

impl Moment {
    /// Python's strftime. chrono reads the same letters but for a few.
    pub(in crate::render) fn strftime(&self, format: &str) -> Result<String, Error> {
        use std::fmt::Write as _;
        let mut plain = String::with_capacity(format.len());
        let mut letters = format.chars();
        while let Some(c) = letters.next() {
            if c != '%' {
                plain.push(c);
                continue;
            }
            match letters.next() {
                Some('z') => plain.push_str(&self.offset_text(false)),
                Some('Z') => plain.push_str(&self.zone_abbreviation()),
                Some('f') => plain.push_str(&format!("{:06}", self.wall.and_utc().timestamp_subsec_micros())),
                Some('s') => plain.push_str(&self.instant().and_utc().timestamp().to_string()),
                Some('c') => plain.push_str("%a %b %e %H:%M:%S %Y"),
                Some(other) => plain.extend(['%', other]),
                None => plain.push_str("%%"),
            }
        }
        let mut text = String::new();
        write!(text, "{}", self.wall.format(&plain)).map_err(|_| no_format(format))?;
        Ok(text)
    }

    fn zone_abbreviation(&self) -> String {
        use chrono::TimeZone as _;
        self.zone.map(|(zone, _)| zone.from_utc_datetime(&self.instant()).format("%Z").to_string()).unwrap_or_default()
    }

    /// pendulum's `format`.
    pub(super) fn pendulum_format(&self, format: &str) -> Result<String, Error> {
        // Longest first, so that `MM` is not two `M`.
        const TOKENS: &[(&str, &str)] = &[
            ("YYYY", "%Y"),
            ("YY", "%y"),
            ("Y", "%-Y"),
            ("MMMM", "%B"),
            ("MMM", "%b"),
            ("MM", "%m"),
            ("M", "%-m"),
            ("DDDD", "%j"),
            ("DDD", "%-j"),
            ("DD", "%d"),
            ("Do", "\u{1}"),
            ("D", "%-d"),
            ("dddd", "%A"),
            ("ddd", "%a"),
            ("dd", "%a"),
            ("d", "%w"),
            ("E", "%u"),
            ("Q", "\u{2}"),
            ("HH", "%H"),
            ("H", "%-H"),
            ("hh", "%I"),
            ("h", "%-I"),
            ("mm", "%M"),
            ("m", "%-M"),
            ("ss", "%S"),
            ("s", "%-S"),
            ("SSSSSS", "%f"),
            ("SSS", "\u{7}"),
            ("A", "%p"),
            ("ZZ", "%z"),
            ("Z", "\u{3}"),
            ("zz", "\u{4}"),
            ("z", "\u{5}"),
            ("X", "%s"),
            ("x", "\u{6}"),
        ];
        let mut out = String::new();
        let mut rest = format;
        'next: while let Some(c) = rest.chars().next() {
            if let Some((literal, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
                out.push_str(&literal.replace('%', "%%"));
                rest = after;
                continue;
            }
            for (token, strftime) in TOKENS {
                if let Some(after) = rest.strip_prefix(token) {
                    match *strftime {
                        "\u{1}" => out.push_str(&ordinal(self.wall.day())),
                        "\u{2}" => out.push_str(&(self.wall.month0() / 3 + 1).to_string()),
                        "\u{3}" => out.push_str(&self.offset_text(true)),
                        "\u{4}" => out.push_str(&self.zone_abbreviation()),
                        "\u{5}" => out.push_str(self.zone.map_or("", |(zone, _)| zone.name())),
                        "\u{6}" => out.push_str(&self.instant().and_utc().timestamp_millis().to_string()),
                        "\u{7}" => out.push_str(&format!("{:03}", self.wall.and_utc().timestamp_subsec_millis())),
                        strftime => out.push_str(strftime),
                    }
                    rest = after;
                    continue 'next;
                }
            }
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
        self.strftime(&out)
    }

    /// What pendulum calls `to_…_string`.
    pub(super) fn named_format(&self, method: &str) -> Option<Result<String, Error>> {
        Some(match method {
            "to_date_string" => self.strftime("%Y-%m-%d"),
            "to_time_string" => self.strftime("%H:%M:%S"),
            "to_datetime_string" => self.strftime("%Y-%m-%d %H:%M:%S"),
            "to_formatted_date_string" => self.strftime("%b %d, %Y"),
            "to_day_datetime_string" => self.pendulum_format("ddd, MMM D, YYYY h:mm A"),
            "to_iso8601_string" => Ok(self.iso('T').replace("+00:00", "Z")),
            "to_rfc3339_string" | "to_atom_string" | "to_w3c_string" => Ok(self.iso('T')),
            "to_rfc822_string" | "to_rfc1036_string" => self.strftime("%a, %d %b %y %H:%M:%S %z"),
            "to_rfc1123_string" | "to_rfc2822_string" | "to_rss_string" => self.strftime("%a, %d %b %Y %H:%M:%S %z"),
            "to_cookie_string" | "to_rfc850_string" => {
                let year = if method == "to_cookie_string" { "%Y" } else { "%y" };
                self.strftime(&format!("%A, %d-%b-{year} %H:%M:%S %Z"))
            }
            "ctime" => self.strftime("%c"),
            _ => return None,
        })
    }
}

/// 1st, 2nd, 3rd.
fn ordinal(day: u32) -> String {
    let ending = match (day % 10, day % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{day}{ending}")
}

fn no_format(format: &str) -> Error {
    invalid(format!("{format:?} is no format that strftime knows"))
}
