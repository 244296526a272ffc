//! The secrets of this test, the ways to write one down, and the search for all of them at once. Written without the code under test.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

/// What the search knows a text by.
const BEGINNING: usize = 8;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Where a secret is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A variable whose name says that it is secret.
    Variable,
    /// A field of a variable that is JSON.
    Nested,
    /// The password of a connection.
    Password,
    /// A field of the extra of a connection.
    Extra,
    /// A variable of a task's environment, as the DAG file has it.
    Task,
    /// The environment of the roles: what they log in with, and what else is there.
    Role,
}

/// One of a hundred.
#[derive(Debug)]
pub(crate) struct Canary {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// The part that is the same in raw, percent-encoded and JSON text, and that no line break cuts.
    core: String,
}

/// Numbers that follow from a seed (xorshift64*).
struct Random(u64);

impl Random {
    fn letters(&mut self, count: usize) -> String {
        let mut letter = || {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            char::from(ALPHABET[usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % ALPHABET.len()])
        };
        (0..count).map(|_| letter()).collect()
    }
}

/// What stands before and behind the letters. Who logs in over HTTP or in a URL has plain ones.
const ODD: [(&str, &str); 10] = [
    ("q'", "\"w"),
    ("e%2", "%41"),
    ("r/+", "+/="),
    ("t&=", "?#x"),
    ("y\\", "\\n"),
    ("zß", "é€"),
    ("Zeile1", "!"),
    ("🔑 ", " $HOME"),
    ("<b>", "</b>&amp;"),
    ("`id`", ";|*"),
];
const PLAIN: [(&str, &str); 4] = [("p%2", "%41"), ("p/+", "+/="), ("p&=", "?#x"), ("p@:", "!$")];

pub(crate) fn canaries(seed: u64, counts: &[(Kind, usize)]) -> Vec<Canary> {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut made = Vec::new();
    for (kind, count) in counts {
        for n in 0..*count {
            let core = random.letters(14);
            let (before, behind) = if *kind == Kind::Role { PLAIN[n % PLAIN.len()] } else { ODD[n % ODD.len()] };
            // A key of two lines.
            let before = if before == "Zeile1" { format!("{}\n", random.letters(9)) } else { before.to_owned() };
            made.push(Canary { kind: *kind, text: format!("{before}{core}{behind}"), core });
        }
    }
    made
}

/// Base64 of a text that begins so many bytes into a group of three: the characters that are the text's alone.
fn base64(bytes: &[u8], shift: usize, url: bool) -> Vec<u8> {
    let bits: Vec<bool> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect();
    let skip = (6 - shift * 8 % 6) % 6;
    let of = |six: &[bool]| six.iter().fold(0, |number, bit| number << 1 | usize::from(*bit));
    let letter = |number: usize| match number {
        62 if url => b'-',
        63 if url => b'_',
        62 => b'+',
        63 => b'/',
        n => ALPHABET[n],
    };
    bits[skip..].chunks_exact(6).map(|six| letter(of(six))).collect()
}

/// Base64 with its padding.
pub(crate) fn padded_base64(bytes: &[u8]) -> String {
    let missing = (3 - bytes.len() % 3) % 3;
    let whole = [bytes, &[0; 2][..missing]].concat();
    let mut text = String::from_utf8(base64(&whole, 0, false)).unwrap();
    text.truncate(text.len() - missing);
    text + &"=".repeat(missing)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Percent-encoded, with small or large digits.
pub(crate) fn percent(text: &str, large: bool) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) => out.push(char::from(b)),
            b if large => write!(out, "%{b:02X}").unwrap(),
            b => write!(out, "%{b:02x}").unwrap(),
        }
        out
    })
}

/// As JSON has it between its quotes, in ASCII or not.
fn json(text: &str, ascii: bool) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    let inner = &quoted[1..quoted.len() - 1];
    if !ascii {
        return inner.to_owned();
    }
    inner.chars().fold(String::new(), |mut out, c| {
        if c.is_ascii() {
            out.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| write!(out, "\\u{unit:04x}").unwrap());
        }
        out
    })
}

/// Every form of a text, with the name of its encoding.
fn forms(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = text.as_bytes();
    let mut forms = vec![("raw", bytes.to_vec()), ("hex", hex(bytes).into_bytes()), ("hex", hex(bytes).to_uppercase().into_bytes())];
    forms.extend((0..6).map(|n| ("base64", base64(bytes, n % 3, n > 2))));
    forms.extend([true, false].map(|large| ("percent-encoded", percent(text, large).into_bytes())));
    forms.extend([true, false].map(|ascii| ("JSON", json(text, ascii).into_bytes())));
    forms
}

/// Finds any of many texts.
pub(crate) struct Finder {
    forms: Vec<(usize, &'static str, Vec<u8>)>,
    by_beginning: HashMap<[u8; BEGINNING], Vec<usize>>,
    /// Whether a form begins with these two bytes: most places of a text are passed by this alone.
    begins: Vec<bool>,
}

impl Finder {
    /// Of the texts by number; several may have the same one.
    pub(crate) fn of<'a>(texts: impl IntoIterator<Item = (usize, &'a str)>) -> Self {
        let mut finder = Self { forms: Vec::new(), by_beginning: HashMap::new(), begins: vec![false; 1 << 16] };
        for (number, text) in texts {
            for (encoding, form) in forms(text) {
                finder.by_beginning.entry(form[..BEGINNING].try_into().unwrap()).or_default().push(finder.forms.len());
                finder.begins[usize::from(form[0]) << 8 | usize::from(form[1])] = true;
                finder.forms.push((number, encoding, form));
            }
        }
        finder
    }

    /// Of whole canaries and of what they are at heart: one that was masked in part is found, too.
    pub(crate) fn of_canaries(canaries: &[Canary]) -> Self {
        Self::of(canaries.iter().enumerate().flat_map(|(n, canary)| [(n, canary.text.as_str()), (n, canary.core.as_str())]))
    }

    /// Which are there, and how they are written.
    pub(crate) fn find(&self, text: &[u8]) -> BTreeSet<(usize, &'static str)> {
        let mut found = BTreeSet::new();
        for (at, window) in text.windows(BEGINNING).enumerate() {
            if !self.begins[usize::from(window[0]) << 8 | usize::from(window[1])] {
                continue;
            }
            for form in self.by_beginning.get(window).into_iter().flatten() {
                let (number, encoding, form) = &self.forms[*form];
                if text[at..].starts_with(form) {
                    found.insert((*number, *encoding));
                }
            }
        }
        found
    }
}

#[test]
fn the_search_finds_every_form() {
    let made = canaries(7, &[(Kind::Task, 20), (Kind::Role, 4)]);
    let finder = Finder::of_canaries(&made);
    assert_eq!(String::from_utf8(base64(b"any carnal pleas", 0, false)).unwrap(), "YW55IGNhcm5hbCBwbGVhc");
    assert_eq!(String::from_utf8(base64(b"ny carnal pleas", 1, false)).unwrap(), "55IGNhcm5hbCBwbGVhc");
    for (n, canary) in made.iter().enumerate() {
        assert!(canary.text.len() >= 16 && finder.find(b"nothing of it here").is_empty());
        for (encoding, form) in forms(&canary.text) {
            let text = [b"before ", form.as_slice(), b" behind"].concat();
            assert!(finder.find(&text).contains(&(n, encoding)), "{encoding} of {canary:?}");
        }
    }
}
