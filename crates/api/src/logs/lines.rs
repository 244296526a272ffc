//! `/ui/logs/…/lines`: lines by their numbers, each with what it is.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use axum::Json;
use axum::extract::{Path, State};
use regex::bytes::Regex;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::index::{Index, index};
use super::{Place, place};
use crate::ApiState;
use crate::error::Error;
use crate::request::Params;
use crate::shapes::{Time, time};

/// Lines of an answer, and the most.
const LINES: i64 = 500;
const MOST: i64 = 2_000;
/// Bytes of a line that are shown. What has more is not for reading.
const LONGEST: usize = 16 * 1024;

static ESCAPES: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?-u)\x1b\[[0-9;]*[A-Za-z]").ok());
static LEVELS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let words = r"(?-u:\b)(?:(CRITICAL|FATAL|ERROR)|(WARN(?:ING)?)|(INFO)|(DEBUG))(?-u:\b)";
    Regex::new(&format!(r"{words}|(Traceback \(most recent call last\)|(?-u:\w)(?:Error|Exception): )")).ok()
});

/// How bad a line says it is, by the first word in it that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

impl Level {
    pub(super) const WORDS: [&'static str; 4] = ["debug", "info", "warning", "error"];

    pub(super) fn of_word(word: &str) -> Option<Self> {
        [Self::Debug, Self::Info, Self::Warning, Self::Error]
            .into_iter()
            .zip(Self::WORDS)
            .find(|(_, own)| *own == word)
            .map(|(level, _)| level)
    }

    /// Of a line without escapes.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        let found = LEVELS.as_ref()?.captures(text)?;
        let levels = [Self::Error, Self::Warning, Self::Info, Self::Debug, Self::Error];
        (1..).zip(levels).find(|(group, _)| found.get(*group).is_some()).map(|(_, level)| level)
    }

    pub(super) fn pattern() -> Option<&'static Regex> {
        LEVELS.as_ref()
    }
}

/// Without the escapes of terminals.
pub(super) fn plain(text: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    match ESCAPES.as_ref() {
        Some(escapes) if memchr::memchr(0x1b, text).is_some() => escapes.replace_all(text, &b""[..]),
        _ => text.into(),
    }
}

/// What a line without escapes has to do with groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group<'a> {
    Opens(&'a [u8]),
    Closes,
}

pub(super) const OPENS: &[u8] = b"::group::";
pub(super) const CLOSES: &[u8] = b"::endgroup::";

/// At its beginning, or after the ` - ` that Airflow's own formatter puts before a message.
pub(super) fn group_of(text: &[u8]) -> Option<Group<'_>> {
    let at = memchr::memmem::find(text, b"::")?;
    if at > 0 && !text[..at].ends_with(b" - ") {
        return None;
    }
    match &text[at..] {
        mark if mark.starts_with(OPENS) => Some(Group::Opens(&mark[OPENS.len()..])),
        mark if mark.starts_with(CLOSES) => Some(Group::Closes),
        _ => None,
    }
}

fn mark_of(text: &[u8]) -> char {
    let text = plain(text);
    match (group_of(&text), Level::of(&text)) {
        (Some(Group::Opens(_)), _) => 'g',
        (Some(Group::Closes), _) => 'c',
        (None, Some(Level::Error)) => 'e',
        (None, Some(Level::Warning)) => 'w',
        (None, Some(Level::Info)) => 'i',
        (None, Some(Level::Debug)) => 'd',
        (None, None) => ' ',
    }
}

/// From when on lines were stored.
#[derive(Debug, Serialize, JsonSchema)]
struct Stored {
    line: i64,
    at: Time,
}

/// Some lines of a log.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Lines {
    /// Their numbers, in order; the first line of a log is 1.
    numbers: Vec<i64>,
    /// As they were written, without the line feed. What is longer than 16 KiB is cut, and says so.
    pub(super) lines: Vec<String>,
    /// A letter for each: `e`rror, `w`arning, `i`nfo, `d`ebug, `g`roup, its end `c`, or a space.
    pub(super) marks: String,
    /// When the lines from each of these on were stored.
    stored: Vec<Stored>,
    /// Lines of the log, with one that has no end yet.
    total: i64,
    bytes: i64,
    /// Whether no more will come.
    end: bool,
    /// What `follow` is asked with to hear of what comes after this.
    next: String,
}

/// Collects wanted lines from bytes that come piece by piece.
pub(super) struct Cutter<'a> {
    wanted: &'a [i64],
    /// The line that the next byte belongs to.
    line: i64,
    /// Where the line begins that is under way.
    pub(super) begin: i64,
    at: i64,
    open: Vec<u8>,
    cut: usize,
    pub(super) found: Vec<(i64, String, char)>,
}

impl<'a> Cutter<'a> {
    /// `line` and `at` are those of the first byte that it is given. The line that it begins in must not be wanted, if it is not its beginning.
    pub(super) const fn new(wanted: &'a [i64], line: i64, at: i64) -> Self {
        Self { wanted, line, begin: at, at, open: Vec::new(), cut: 0, found: Vec::new() }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let mut from = 0;
        for feed in memchr::memchr_iter(b'\n', bytes) {
            self.push(&bytes[from..feed]);
            self.end_line();
            from = feed + 1;
            self.begin = self.at + i64::try_from(from).unwrap_or(0);
        }
        self.push(&bytes[from..]);
        self.at += i64::try_from(bytes.len()).unwrap_or(0);
    }

    fn is_wanted(&self) -> bool {
        self.wanted.first() == Some(&self.line)
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.is_wanted() {
            let room = LONGEST.saturating_sub(self.open.len()).min(bytes.len());
            self.open.extend_from_slice(&bytes[..room]);
            self.cut += bytes.len() - room;
        }
    }

    fn end_line(&mut self) {
        if self.is_wanted() {
            let bare = self.open.strip_suffix(b"\r").unwrap_or(&self.open);
            let mut text = String::from_utf8_lossy(bare).into_owned();
            if self.cut > 0 {
                text.push_str(&format!(" … {} bytes more: download the log to see them", self.cut));
            }
            self.found.push((self.line, text, mark_of(bare)));
            self.wanted = &self.wanted[1..];
            self.open.clear();
            self.cut = 0;
        }
        self.line += 1;
    }

    /// Nothing more is there: what has no end is a line as well.
    pub(super) fn finish(mut self) -> Vec<(i64, String, char)> {
        if !self.open.is_empty() {
            self.end_line();
        }
        self.found
    }
}

/// The lines with these numbers, which are in order, and when the chunks that were read for it were stored.
async fn lines_of(
    state: &ApiState,
    place: &Place,
    index: &Index,
    numbers: &[i64],
    stored: &mut Vec<(i64, chrono::DateTime<chrono::Utc>)>,
) -> Result<Vec<(i64, String, char)>, Error> {
    // Neighbours are read together.
    let mut spans: Vec<(RangeInclusive<usize>, usize)> = Vec::new();
    for number in numbers {
        let of = index.of_line(*number);
        match spans.last_mut().filter(|(span, _)| *of.start() <= *span.end()) {
            Some((span, count)) => {
                *span = *span.start()..=*of.end();
                *count += 1;
            }
            None => spans.push((of, 1)),
        }
    }
    let mut found = Vec::with_capacity(numbers.len());
    let mut rest = numbers;
    for (span, count) in spans {
        let (wanted, others) = rest.split_at(count);
        rest = others;
        let (line, mut at) = index.begin(*span.start());
        let mut cutter = Cutter::new(wanted, line, at);
        for (from, until) in index.windows(span) {
            for piece in state.store().log_pieces(place.key(), from, until).await? {
                let skip = usize::try_from(at - piece.start).unwrap_or(0).min(piece.data.len());
                stored.push((cutter.line, piece.at));
                cutter.feed(&piece.data[skip..]);
                at = at.max(piece.start + i64::try_from(piece.data.len()).unwrap_or(0));
            }
        }
        found.extend(cutter.finish());
    }
    Ok(found)
}

/// Which lines are asked for.
fn wanted(params: &Params, total: i64) -> Result<Vec<i64>, Error> {
    let limit = params.int("limit")?.unwrap_or(LINES).clamp(1, MOST);
    if let Some(text) = params.one("at") {
        let bad = |input: &str| {
            Error::invalid("int_parsing", json!(["query", "at"]), "Input should be line numbers with commas between them", json!(input))
        };
        let mut numbers = text.split(',').map(|one| one.trim().parse::<i64>().map_err(|_| bad(one))).collect::<Result<Vec<_>, _>>()?;
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|number| (1..=total).contains(number));
        numbers.truncate(usize::try_from(limit).unwrap_or(0));
        return Ok(numbers);
    }
    // From the end, if it is negative: -1 is the last.
    let from = params.int("from")?.unwrap_or(-limit);
    let first = if from < 0 { total + 1 + from } else { from }.max(1);
    Ok((first..=total.min(first.saturating_add(limit - 1))).collect())
}

pub(crate) async fn lines(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, try_number)): Path<(String, String, String, String)>,
    params: Params,
) -> Result<Json<Lines>, Error> {
    let place = place(&state, (&dag_id, &run_id, &task_id), &try_number, &params).await?;
    let index = index(&state, &place).await?;
    let numbers = wanted(&params, index.lines())?;
    let mut stored = Vec::new();
    let found = lines_of(&state, &place, &index, &numbers, &mut stored).await?;
    let next = next_of(&state, &place, &index).await?;
    stored.dedup_by_key(|(_, at)| *at);
    Ok(Json(Lines {
        numbers: found.iter().map(|(number, _, _)| *number).collect(),
        marks: found.iter().map(|(_, _, mark)| *mark).collect(),
        lines: found.into_iter().map(|(_, text, _)| text).collect(),
        stored: stored.into_iter().map(|(line, at)| Stored { line, at: time(at) }).collect(),
        total: index.lines(),
        bytes: index.end(),
        end: place.over(),
        next,
    }))
}

/// Where the line begins that the next byte belongs to.
async fn next_of(state: &ApiState, place: &Place, index: &Index) -> Result<String, Error> {
    if place.over() || index.lines() < index.next_line() {
        return Ok(super::follow::Mark { offset: index.end(), line: index.next_line() }.to_string());
    }
    let span = index.of_line(index.next_line());
    let (line, at) = index.begin(*span.start());
    let mut cutter = Cutter::new(&[], line, at);
    for window in index.windows(span) {
        cutter.feed(&super::pieces(state, place, window, at).await?);
    }
    Ok(super::follow::Mark { offset: cutter.begin, line: index.next_line() }.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        for (text, mark) in [
            ("plain", ' '),
            ("2026-01-01 ERROR no price", 'e'),
            ("INFO no ERROR so far", 'i'),
            ("\x1b[33mWARN\x1b[0m: mild", 'w'),
            ("WARNING: late", 'w'),
            ("MIRRORED", ' '),
            ("ValueError: bad", 'e'),
            ("Traceback (most recent call last):", 'e'),
            ("DEBUG x", 'd'),
            ("::group::part ERROR", 'g'),
            ("\x1b[1m::endgroup::", 'c'),
            ("[2026-01-01T00:00:00] {x.py:1} INFO - ::group::Pre", 'g'),
            ("std::group::of", ' '),
        ] {
            assert_eq!(mark_of(text.as_bytes()), mark, "{text}");
        }
    }

    #[test]
    fn wanted_lines_are_cut_out_of_pieces() {
        let mut cutter = Cutter::new(&[2, 4, 5], 1, 100);
        for piece in ["one\ntw", "o\r\nthree\nfo", "ur\nfi"] {
            cutter.feed(piece.as_bytes());
        }
        assert_eq!(cutter.begin, 100 + 20, "the line that has no end");
        let found: Vec<_> = cutter.finish().into_iter().map(|(number, text, _)| (number, text)).collect();
        assert_eq!(found, [(2, "two".to_owned()), (4, "four".to_owned()), (5, "fi".to_owned())]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut cutter = Cutter::new(&[1, 2], 1, 0);
        cutter.feed(&vec![b'x'; LONGEST]);
        cutter.feed(b"yyy\nnext\n");
        let found = cutter.finish();
        assert!(found[0].1.ends_with("x … 3 bytes more: download the log to see them"), "{}", &found[0].1[LONGEST - 3..]);
        assert_eq!(found[1].1, "next");
    }
}
