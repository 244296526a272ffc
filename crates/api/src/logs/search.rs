//! `/ui/logs/…/search` and `/ui/logs/…/outline`: what is where in a log, without sending it. The next piece is read while one is searched, and
//! nothing of a log is kept.

use axum::Json;
use axum::extract::{Path, State};
use regex::bytes::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::index::index;
use super::lines::{CLOSES, Group, Level, OPENS, group_of, plain};
use super::{Place, place};
use crate::ApiState;
use crate::error::Error;
use crate::request::Params;

/// Line numbers of an answer, and the most.
const NUMBERS: i64 = 10_000;
const MOST: i64 = 50_000;
/// The longest that may be searched for.
const LONGEST: usize = 1_000;
/// Memory of a compiled pattern, in bytes.
const PATTERN: usize = 1 << 20;
/// Groups of an outline.
const GROUPS: usize = 10_000;

/// Where something is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Hits {
    /// Numbers of lines, in order: those after `after`, as many as `limit` allows.
    numbers: Vec<i64>,
    /// How many lines there are in all, before `after` and past the limit too.
    total: i64,
    /// How many of them come before the first that is listed.
    before: i64,
    /// Lines that were searched.
    lines: i64,
    /// Whether no more will come.
    end: bool,
}

/// A group of lines.
#[derive(Debug, Serialize, JsonSchema)]
struct GroupShown {
    /// The line that opens it.
    from: i64,
    /// Its last line: the one that closes it, or the one before the next group, or the last of the log.
    to: i64,
    name: String,
}

/// What a log is made of.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Outline {
    /// The first 10,000 of them.
    groups: Vec<GroupShown>,
    errors: i64,
    warnings: i64,
    first_error: Option<i64>,
    last_error: Option<i64>,
    lines: i64,
    end: bool,
}

/// What looks at whole lines.
trait Look: Send + 'static {
    /// Lines without escapes; the first has this number. Returns how many there were.
    fn look(&mut self, text: &[u8], line: i64) -> i64;
}

fn feeds(text: &[u8]) -> i64 {
    i64::try_from(memchr::memchr_iter(b'\n', text).count()).unwrap_or(0)
}

/// The line around a match that starts at `start`, of a text that was looked at up to `from`.
fn line_around(text: &[u8], from: usize, start: usize) -> (usize, usize) {
    let begin = memchr::memrchr(b'\n', &text[from..start]).map_or(from, |at| from + at + 1);
    let end = memchr::memchr(b'\n', &text[start..]).map_or(text.len(), |at| start + at);
    (begin, end)
}

/// Calls `found` with each line that the pattern is in, and returns how many lines there were.
fn each_line(pattern: &Regex, text: &[u8], mut line: i64, mut found: impl FnMut(i64, &[u8])) -> i64 {
    let (first, mut from) = (line, 0);
    while let Some(hit) = (from < text.len()).then(|| pattern.find_at(text, from)).flatten() {
        // An empty one may be behind the last line feed, where no line is.
        if hit.start() >= text.len() {
            break;
        }
        let (begin, end) = line_around(text, from, hit.start());
        line += feeds(&text[from..begin]);
        found(line, &text[begin..end]);
        if end == text.len() {
            return line - first + 1;
        }
        line += 1;
        from = end + 1;
    }
    let rest = &text[from..];
    line - first + feeds(rest) + i64::from(rest.last().is_some_and(|byte| *byte != b'\n'))
}

struct Search {
    pattern: Regex,
    level: Option<Level>,
    after: i64,
    limit: usize,
    numbers: Vec<i64>,
    total: i64,
    before: i64,
}

impl Look for Search {
    fn look(&mut self, text: &[u8], line: i64) -> i64 {
        let Self { pattern, level, after, limit, numbers, total, before } = self;
        each_line(pattern, text, line, |line, words| {
            if level.is_some_and(|least| Level::of(words).is_none_or(|own| own < least)) {
                return;
            }
            *total += 1;
            if line <= *after {
                *before += 1;
            } else if numbers.len() < *limit {
                numbers.push(line);
            }
        })
    }
}

struct Outlining {
    pattern: Regex,
    open: bool,
    outline: Outline,
}

impl Outlining {
    fn close(&mut self, at: i64) {
        if std::mem::take(&mut self.open)
            && let Some(last) = self.outline.groups.last_mut()
        {
            last.to = at;
        }
    }
}

impl Look for Outlining {
    fn look(&mut self, text: &[u8], line: i64) -> i64 {
        let mut marks: Vec<(i64, Option<String>)> = Vec::new();
        let outline = &mut self.outline;
        let count = each_line(&self.pattern, text, line, |line, words| match group_of(words) {
            Some(Group::Opens(name)) => marks.push((line, Some(String::from_utf8_lossy(&name[..name.len().min(200)]).trim().to_owned()))),
            Some(Group::Closes) => marks.push((line, None)),
            None => match Level::of(words) {
                Some(Level::Error) => {
                    outline.errors += 1;
                    outline.first_error.get_or_insert(line);
                    outline.last_error = Some(line);
                }
                Some(Level::Warning) => outline.warnings += 1,
                _ => {}
            },
        });
        for (line, name) in marks {
            match name {
                Some(name) => {
                    self.close(line - 1);
                    if self.outline.groups.len() < GROUPS {
                        self.open = true;
                        self.outline.groups.push(GroupShown { from: line, to: line, name });
                    }
                }
                None => self.close(line),
            }
        }
        count
    }
}

/// Shows a log to `look`, whole lines at a time. Returns it with the number of lines.
async fn scan<L: Look>(state: &ApiState, place: &Place, mut look: L) -> Result<(L, i64), Error> {
    let index = index(state, place).await?;
    let windows = index.all().map(|all| index.windows(all)).unwrap_or_default();
    let (mut line, mut rest, mut at) = (1, Vec::new(), 0);
    let mut windows = windows.into_iter();
    let mut next = match windows.next() {
        Some(window) => Some(super::pieces(state, place, window, at).await?),
        None => None,
    };
    while let Some(bytes) = next.take() {
        at += i64::try_from(bytes.len()).unwrap_or(0);
        let searched = tokio::task::spawn_blocking(move || {
            let text = if rest.is_empty() { bytes } else { [rest, bytes].concat() };
            let end = memchr::memrchr(b'\n', &text).map_or(0, |at| at + 1);
            let count = look.look(&plain(&text[..end]), line);
            (look, line + count, text[end..].to_vec())
        });
        let read = async {
            match windows.next() {
                Some(window) => super::pieces(state, place, window, at).await.map(Some),
                None => Ok(None),
            }
        };
        let (searched, read) = tokio::join!(searched, read);
        (look, line, rest) = searched.map_err(|error| Error::Broken(format!("a search of a log ended: {error}")))?;
        next = read?;
    }
    if !rest.is_empty() {
        line += look.look(&plain(&rest), line);
    }
    Ok((look, line - 1))
}

/// What is searched for; `None`: nothing is.
fn pattern(params: &Params) -> Result<Option<Regex>, Error> {
    let Some(words) = params.one("q").filter(|q| !q.is_empty()) else { return Ok(None) };
    let refuse = |why: &str| Err(Error::invalid("value_error", json!(["query", "q"]), why, json!(words)));
    if words.len() > LONGEST {
        return refuse("it is longer than 1,000 bytes");
    }
    let source = if params.flag("regex")?.unwrap_or(false) { words.to_owned() } else { regex::escape(words) };
    let exact = params.flag("case")?.unwrap_or(false);
    match RegexBuilder::new(&source).case_insensitive(!exact).multi_line(true).size_limit(PATTERN).dfa_size_limit(PATTERN).build() {
        Ok(pattern) => Ok(Some(pattern)),
        Err(error) => refuse(&format!("it is no regular expression: {error}")),
    }
}

pub(crate) async fn search(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, try_number)): Path<(String, String, String, String)>,
    params: Params,
) -> Result<Json<Hits>, Error> {
    let level = params.word("level", &Level::WORDS)?.and_then(Level::of_word);
    let after = params.int("after")?.unwrap_or(0);
    let limit = usize::try_from(params.int("limit")?.unwrap_or(NUMBERS).clamp(0, MOST)).unwrap_or(0);
    // The levels' own pattern finds the lines that say one.
    let pattern = match (pattern(&params)?, level) {
        (Some(pattern), _) => pattern,
        (None, Some(_)) => Level::pattern().cloned().ok_or_else(|| Error::Broken("the levels have no pattern".to_owned()))?,
        (None, None) => {
            let why = "q or level is needed: what is searched for";
            return Err(Error::invalid("missing", json!(["query", "q"]), why, json!(null)));
        }
    };
    let place = place(&state, (&dag_id, &run_id, &task_id), &try_number, &params).await?;
    let end = place.over();
    let wanted = Search { pattern, level, after, limit, numbers: Vec::new(), total: 0, before: 0 };
    let (Search { numbers, total, before, .. }, lines) = scan(&state, &place, wanted).await?;
    Ok(Json(Hits { numbers, total, before, lines, end }))
}

pub(crate) async fn outline(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, try_number)): Path<(String, String, String, String)>,
    params: Params,
) -> Result<Json<Outline>, Error> {
    let place = place(&state, (&dag_id, &run_id, &task_id), &try_number, &params).await?;
    let end = place.over();
    let levels = Level::pattern().map_or("", |pattern| pattern.as_str());
    let [opens, closes] = [OPENS, CLOSES].map(|mark| String::from_utf8_lossy(mark).into_owned());
    let pattern =
        Regex::new(&format!("{opens}|{closes}|{levels}")).map_err(|error| Error::Broken(format!("the pattern of outlines: {error}")))?;
    let (mut outlining, lines) = scan(&state, &place, Outlining { pattern, open: false, outline: Outline::default() }).await?;
    outlining.close(lines);
    Ok(Json(Outline { lines, end, ..outlining.outline }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(pattern: &str, level: Option<Level>, pieces: &[&str]) -> (Vec<i64>, i64) {
        let pattern = RegexBuilder::new(pattern).case_insensitive(true).multi_line(true).build().unwrap();
        let mut search = Search { pattern, level, after: 0, limit: 100, numbers: Vec::new(), total: 0, before: 0 };
        let mut line = 1;
        for piece in pieces {
            line += search.look(piece.as_bytes(), line);
        }
        (search.numbers, line - 1)
    }

    #[test]
    fn lines_are_found_and_counted() {
        let text = "one\ntwo ONE one\n\nthree\none";
        assert_eq!(search("one", None, &[text]), (vec![1, 2, 5], 5));
        assert_eq!(search("one", None, &["one\ntwo ONE one\n", "\nthree\n", "one\n"]), (vec![1, 2, 5], 5));
        assert_eq!(search("nothing", None, &[text]), (vec![], 5));
        assert_eq!(search("", None, &["a\n\nb\n"]), (vec![1, 2, 3], 3), "what is empty is in every line, once");
        assert_eq!(search("straße", None, &["STRASSE\nSTRAßE\n"]), (vec![2], 2));
        assert_eq!(search("^t", None, &[text]), (vec![2, 4], 5));
    }

    #[test]
    fn of_a_line_its_first_level_counts() {
        let text = "INFO no ERROR\nERROR yes\nWARN mild\nplain yes\n";
        let pattern = Level::pattern().unwrap().as_str();
        assert_eq!(search(pattern, Some(Level::Error), &[text]).0, [2]);
        assert_eq!(search(pattern, Some(Level::Warning), &[text]).0, [2, 3]);
        assert_eq!(search("yes", Some(Level::Info), &[text]).0, [2], "both");
    }

    #[test]
    fn an_outline_has_groups_and_counts() {
        let pattern = Regex::new(&format!("::group::|::endgroup::|{}", Level::pattern().unwrap().as_str())).unwrap();
        let mut outlining = Outlining { pattern, open: false, outline: Outline::default() };
        let text = "a\n::group::one\nERROR x\n::endgroup::\nWARN y\n::group::two\nb\n::group::three\nERROR z\n";
        let lines = outlining.look(text.as_bytes(), 1);
        outlining.close(lines);
        let groups: Vec<_> = outlining.outline.groups.iter().map(|group| (group.from, group.to, group.name.as_str())).collect();
        assert_eq!(groups, [(2, 4, "one"), (6, 7, "two"), (8, 9, "three")]);
        let Outline { errors, warnings, first_error, last_error, .. } = outlining.outline;
        assert_eq!((errors, warnings, first_error, last_error), (2, 1, Some(3), Some(9)));
    }
}
