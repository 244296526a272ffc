//! Secrets in logs: masked before a log is stored, so that no reader, no dump and no export has them.
//!
//! What is secret: values of the attempt's environment whose names say so ([`updraft_model::redact`]), and what the worker itself logs in with.
//! They are found as they are, line by line, and as base64 (wherever in a longer text it begins), in URLs, in JSON and as hex. Base64 and hex
//! are found across line breaks, too: `base64` ends its lines after 76 characters, PEM after 64, `xxd` after 60. Each byte but a line break
//! becomes a `*`, so that positions in a log stay what they are.
//!
//! A secret may lie across two chunks. Of the chunk before, the bytes that may be the beginning of one are remembered; and where a chunk ends
//! in what looks like the beginning of a secret, that is masked before anybody knows how it goes on. Who goes on with a log that another worker
//! began reads what comes right before once more ([`Mask::remember`]).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use updraft_model::LaunchSpec;
use updraft_model::redact::is_sensitive;

/// What is shorter is no secret that could be told from ordinary text.
const SHORTEST: usize = 5;
/// Longer ones are found by their beginning.
const LONGEST: usize = 4096;
/// So many bytes at the end of a chunk look like the beginning of a secret.
const BEGINNING: usize = 4;

/// Finds secrets.
#[derive(Debug)]
pub(crate) struct Finder {
    /// As they stand, each in one piece.
    whole: Patterns,
    /// As characters that a program may have broken into lines: looked for in a text without its line breaks.
    broken: Patterns,
}

#[derive(Debug)]
struct Patterns {
    patterns: Vec<Vec<u8>>,
    automaton: AhoCorasick,
    longest: usize,
}

impl Patterns {
    fn of(patterns: BTreeSet<Vec<u8>>) -> Option<Self> {
        let patterns: Vec<Vec<u8>> = patterns.into_iter().collect();
        let longest = patterns.iter().map(Vec::len).max()?;
        let automaton = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&patterns).ok()?;
        Some(Self { patterns, automaton, longest })
    }

    /// The longest end of a text that begins a secret and does not finish it.
    fn begun(&self, text: &[u8]) -> usize {
        let most = (self.longest - 1).min(text.len());
        let begins = |n: &usize| self.patterns.iter().any(|p| p.len() > *n && p.starts_with(&text[text.len() - n..]));
        (BEGINNING..=most).rev().find(begins).unwrap_or(0)
    }

    /// Where secrets are in a text; with `begun` its end, too, where one may begin.
    fn places(&self, text: &[u8], begun: bool) -> Vec<Range<usize>> {
        let mut places: Vec<Range<usize>> = self.automaton.find_overlapping_iter(text).map(|found| found.range()).collect();
        if begun {
            places.push(text.len() - self.begun(text)..text.len());
        }
        places
    }
}

impl Finder {
    /// None, if there is nothing to find.
    pub(crate) fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Option<Arc<Self>> {
        let (mut whole, mut broken) = (BTreeSet::new(), BTreeSet::new());
        for line in secrets.into_iter().flat_map(lines) {
            whole.extend(forms(line));
            broken.extend(characters(line));
        }
        whole.extend(broken.iter().cloned());
        Some(Arc::new(Self { whole: Patterns::of(whole)?, broken: Patterns::of(broken)? }))
    }

    /// How much of a text may be the beginning of a secret that goes on behind it.
    fn reach(&self) -> usize {
        // Breaks of two characters after each 16: no program breaks sooner.
        (self.whole.longest - 1).max(self.broken.longest - 1 + self.broken.longest / 8)
    }

    /// Where secrets are in a text.
    fn places(&self, text: &[u8], begun: bool) -> Vec<Range<usize>> {
        let mut places = self.whole.places(text, begun);
        let is_break = |byte: u8| byte == b'\n' || byte == b'\r';
        if text.iter().any(|byte| is_break(*byte)) {
            let (at, joined): (Vec<usize>, Vec<u8>) = text.iter().copied().enumerate().filter(|(_, byte)| !is_break(*byte)).unzip();
            // One by one, so that the line breaks stay.
            let found = self.broken.places(&joined, begun);
            places.extend(found.into_iter().flatten().map(|n| at[n]..at[n] + 1));
        }
        places
    }
}

/// The secret values that an attempt is started with.
pub(crate) fn of_launch(spec: &LaunchSpec) -> Vec<&str> {
    let mut found: Vec<&str> = spec.env.iter().filter(|(name, _)| is_sensitive(name)).map(|(_, value)| value.as_str()).collect();
    if let Some(pod) = &spec.pod {
        in_pod(pod, &mut found);
    }
    found
}

/// `{"name": …, "value": …}`, wherever it stands in a pod.
fn in_pod<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            if let (Some(Value::String(name)), Some(Value::String(value))) = (fields.get("name"), fields.get("value"))
                && is_sensitive(name)
            {
                found.push(value);
            }
            fields.values().for_each(|value| in_pod(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| in_pod(value, found)),
        _ => {}
    }
}

/// A log shows a secret of several lines (a key, a certificate) line by line.
fn lines(secret: &str) -> impl Iterator<Item = &str> {
    secret.lines().chain(std::iter::once(secret)).map(str::trim).filter(|line| line.len() >= SHORTEST).map(|line| {
        let end = (0..=LONGEST.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        &line[..end]
    })
}

/// A secret as base64 and as hex.
fn characters(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let mut forms = Vec::new();
    for shift in 0..3 {
        let mut text = vec![0; shift];
        text.extend_from_slice(bytes);
        // Characters that the bytes before and behind have a part in are nobody's.
        let (first, last) = ((shift * 8).div_ceil(6), text.len() * 8 / 6);
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            forms.push(engine.encode(&text).as_bytes()[first..last].to_vec());
        }
    }
    let hex = |upper: bool| {
        bytes.iter().fold(String::new(), |mut text, b| {
            _ = if upper { write!(text, "{b:02X}") } else { write!(text, "{b:02x}") };
            text
        })
    };
    forms.extend([hex(false).into_bytes(), hex(true).into_bytes()]);
    forms
}

/// The other forms in which a secret may be written.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let mut forms = vec![bytes.to_vec()];
    let percent = |space: &str, upper: bool| {
        let mut text = String::new();
        for byte in bytes {
            match byte {
                b' ' => text.push_str(space),
                b if b.is_ascii_alphanumeric() || b"-_.~".contains(b) => text.push(char::from(*b)),
                b if upper => _ = write!(text, "%{b:02X}"),
                b => _ = write!(text, "%{b:02x}"),
            }
        }
        text.into_bytes()
    };
    forms.extend([percent("%20", true), percent("%20", false), percent("+", true)]);
    if let Ok(json) = serde_json::to_string(secret) {
        let inner = &json[1..json.len() - 1];
        forms.extend([inner.as_bytes().to_vec(), ascii(inner).into_bytes()]);
    }
    forms
}

/// JSON as Python and others write it by default: what is not ASCII as the numbers of UTF-16.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            text.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| _ = write!(text, "\\u{unit:04x}"));
        }
    }
    text
}

/// The mask over one log.
#[derive(Debug)]
pub(crate) struct Mask {
    finder: Arc<Finder>,
    /// The end of what was seen, as it was.
    before: Vec<u8>,
}

impl Mask {
    pub(crate) fn new(finder: Arc<Finder>) -> Self {
        Self { finder, before: Vec::new() }
    }

    /// How much of what comes right before must be remembered.
    pub(crate) fn reach(&self) -> usize {
        self.finder.reach()
    }

    /// Goes on behind this text, as the command wrote it.
    pub(crate) fn remember(&mut self, before: Vec<u8>) {
        self.before = before;
    }

    /// Masks a text that is whole: what the cluster says of an end may have words of the command's in it.
    pub(crate) fn hide(&self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for place in self.finder.places(text.as_bytes(), false) {
            bytes[place].fill(b'*');
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Masks all texts of a value.
    pub(crate) fn hide_in(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.hide(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide_in(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.hide_in(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Masks what comes next in the log.
    pub(crate) fn apply(&mut self, data: &mut [u8]) {
        if data.is_empty() {
            return;
        }
        let old = self.before.len();
        let mut text = std::mem::take(&mut self.before);
        text.extend_from_slice(data);
        for place in self.finder.places(&text, true).into_iter().filter(|place| place.end > old) {
            data[place.start.saturating_sub(old)..place.end - old].fill(b'*');
        }
        text.drain(..text.len().saturating_sub(self.finder.reach()));
        self.before = text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr3t/+ \"käse\"";

    fn masked(finder: &Arc<Finder>, text: &[u8], cuts: &[usize]) -> Vec<u8> {
        let mut mask = Mask::new(Arc::clone(finder));
        let mut all = Vec::new();
        let mut from = 0;
        for to in cuts.iter().copied().chain([text.len()]) {
            let mut piece = text[from..to].to_vec();
            mask.apply(&mut piece);
            all.extend(piece);
            from = to;
        }
        all
    }

    fn written() -> Vec<Vec<u8>> {
        let hex: String = SECRET.bytes().map(|b| format!("{b:02x}")).collect();
        let mut written = vec![
            SECRET.as_bytes().to_vec(),
            b"s3cr3t%2F%2B%20%22k%C3%A4se%22".to_vec(),
            br#"s3cr3t/+ \"k\u00e4se\""#.to_vec(),
            r#"s3cr3t/+ \"käse\""#.as_bytes().to_vec(),
            hex.into_bytes(),
        ];
        // As part of a longer text, as in an Authorization header.
        for user in ["u", "us", "use", "user"] {
            written.push(base64::engine::general_purpose::STANDARD.encode(format!("{user}:{SECRET}")).into_bytes());
        }
        written
    }

    #[test]
    fn a_secret_is_masked_in_every_form_wherever_the_log_is_cut() {
        let finder = Finder::of([SECRET]).unwrap();
        for form in written() {
            let text = [b"before ".as_slice(), &form, b" behind\n"].concat();
            let whole = masked(&finder, &text, &[]);
            assert_eq!(whole.len(), text.len(), "positions stay");
            assert!(whole.starts_with(b"before ") && whole.ends_with(b" behind\n"), "{}", String::from_utf8_lossy(&whole));
            let left = whole.iter().filter(|b| **b != b'*').count() - b"before  behind\n".len();
            // In base64 the user's name goes before, and the edges belong to both.
            assert!(left <= 12, "{left} bytes of {} are left", String::from_utf8_lossy(&form));
            for cut in 0..text.len() {
                let cut_once = masked(&finder, &text, &[cut]);
                let differ = whole.iter().zip(&cut_once).filter(|(a, b)| **a == b'*' && **b != b'*').count();
                // What is shorter than a beginning cannot be told from ordinary text.
                assert!(differ < BEGINNING, "cut at {cut}: {}", String::from_utf8_lossy(&cut_once));
            }
            let every = masked(&finder, &text, &(1..text.len()).collect::<Vec<_>>());
            let tail = every.iter().rev().zip(whole.iter().rev()).filter(|(a, b)| **b == b'*' && **a != b'*').count();
            assert!(tail < BEGINNING, "byte by byte: {}", String::from_utf8_lossy(&every));
        }
    }

    #[test]
    fn base64_is_masked_across_the_ends_of_its_lines() {
        let secret = "long enough to lie over the end of a line, and over the end of the one after that: so it goes on for a while";
        let finder = Finder::of([secret]).unwrap();
        for (columns, line_break) in [(76, "\n"), (76, "\r\n"), (64, "\n"), (64, "\r\n"), (16, "\r\n")] {
            // From where in a line, and in three bytes, it begins.
            for before in 40..=43 {
                let text = format!("{}{secret}, and the rest", "u".repeat(before));
                let encoded = base64::engine::general_purpose::STANDARD.encode(text);
                let broken = encoded.as_bytes().chunks(columns).map(String::from_utf8_lossy).collect::<Vec<_>>().join(line_break);
                let whole = masked(&finder, broken.as_bytes(), &[]);
                let line_breaks = |text: &[u8]| text.iter().map(|byte| byte.is_ascii_control()).collect::<Vec<_>>();
                assert_eq!(line_breaks(&whole), line_breaks(broken.as_bytes()), "lines and positions stay");
                let hidden = whole.iter().filter(|byte| **byte == b'*').count();
                // Characters at its edges that others have a part in are not its own.
                let least = secret.len() * 8 / 6 - 1;
                assert!(hidden >= least, "{columns} {before}: {hidden} of {least}: {}", String::from_utf8_lossy(&whole));
                for cut in 0..broken.len() {
                    let cut_once = masked(&finder, broken.as_bytes(), &[cut]);
                    let differ = whole.iter().zip(&cut_once).filter(|(a, b)| **a == b'*' && **b != b'*').count();
                    assert!(differ < BEGINNING, "{columns} {before} cut at {cut}: {}", String::from_utf8_lossy(&cut_once));
                }
            }
        }
        // What is broken elsewhere is ordinary text.
        let text = b"long enough to lie over\nthe end of a line\n";
        assert_eq!(masked(&finder, text, &[30]), text);
    }

    #[test]
    fn who_goes_on_behind_the_middle_of_a_secret_masks_the_rest() {
        let finder = Finder::of([SECRET]).unwrap();
        let text = format!("before {SECRET} behind");
        for cut in 0..text.len() {
            let mut mask = Mask::new(Arc::clone(&finder));
            mask.remember(text.as_bytes()[cut.saturating_sub(mask.reach())..cut].to_vec());
            let mut rest = text.as_bytes()[cut..].to_vec();
            mask.apply(&mut rest);
            assert_eq!(rest, masked(&finder, text.as_bytes(), &[])[cut..], "{cut}");
        }
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        let finder = Finder::of([SECRET, "abc", ""]).unwrap();
        let text = b"abc s3c secret s3cr3t/- and more s3cr3t!";
        assert_eq!(masked(&finder, text, &[8, 27]), text);
        assert!(Finder::of(["abcd", "  "]).is_none(), "too short to be told from ordinary words");
    }

    #[test]
    fn a_key_is_masked_line_by_line() {
        let finder = Finder::of(["-----BEGIN KEY-----\nMIIEvAIBADANBg\nkqhkiG9w0BAQ\n-----END KEY-----\n"]).unwrap();
        let shown = masked(&finder, b"2026-01-31 MIIEvAIBADANBg\n2026-01-31 kqhkiG9w0BAQ\n", &[]);
        assert_eq!(shown, b"2026-01-31 **************\n2026-01-31 ************\n");
    }

    #[test]
    fn a_whole_text_keeps_what_is_no_secret() {
        let mask = Mask::new(Finder::of([SECRET]).unwrap());
        assert_eq!(mask.hide(&format!("käse, {SECRET}, s3cr")), format!("käse, {}, s3cr", "*".repeat(SECRET.len())));
    }

    #[test]
    fn what_is_secret_is_said_by_names() {
        let mut spec = LaunchSpec {
            env: [("API_TOKEN", "one-one"), ("HOME", "/home/me")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            ..LaunchSpec::default()
        };
        spec.pod =
            Some(serde_json::json!({"containers": [{"env": [{"name": "DB_PASSWORD", "value": "two-two"}, {"name": "X", "value": "y"}]}]}));
        assert_eq!(of_launch(&spec), ["one-one", "two-two"]);
    }
}
