//! What a terminal gets beyond a pipe: colours, and one line that says how far things are.

use std::io::{IsTerminal as _, Write as _};

/// Whether stdout may have colours: a terminal that can show them, and nobody has said `NO_COLOR`.
pub(crate) fn colours() -> bool {
    std::io::stdout().is_terminal() && wanted(std::env::var_os("NO_COLOR").as_deref(), std::env::var_os("TERM").as_deref())
}

fn wanted(no_color: Option<&std::ffi::OsStr>, term: Option<&std::ffi::OsStr>) -> bool {
    no_color.is_none_or(std::ffi::OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

/// States and verdicts as tables write them, and their colours. The sign before each says the same without one.
const PAINTED: &[(&str, &str)] = &[
    ("✓ success", "32"),
    ("✓ ok", "32"),
    ("✗ failed", "31"),
    ("✗ FAIL", "31"),
    ("⊘ upstream_failed", "33"),
    ("! warn", "33"),
    ("↻ up_for_retry", "33"),
    ("▶ running", "36"),
    ("‖ deferred", "35"),
];

/// A line with its states in colour. Done after the layout: colours have no width.
pub(crate) fn paint(line: &str) -> String {
    let mut painted = line.to_owned();
    for (word, colour) in PAINTED {
        if painted.contains(word) {
            painted = painted.replace(word, &format!("\x1b[{colour}m{word}\x1b[0m"));
        }
    }
    painted
}

/// One line on stderr that is written over and over, on a terminal; nothing elsewhere. It goes away when it is dropped.
#[derive(Debug)]
pub(crate) struct StatusLine {
    on: bool,
    shown: bool,
}

impl StatusLine {
    pub(crate) fn new() -> Self {
        let on = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { on, shown: false }
    }

    /// Shows this instead of what was there.
    pub(crate) fn show(&mut self, text: &str) {
        if self.on {
            let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
            self.shown = true;
        }
    }

    /// Makes room for a line of data or talk.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn no_color_and_dumb_terminals_are_respected() {
        assert!(wanted(None, Some(OsStr::new("xterm"))));
        assert!(wanted(Some(OsStr::new("")), None), "NO_COLOR counts when it is not empty");
        assert!(!wanted(Some(OsStr::new("1")), Some(OsStr::new("xterm"))));
        assert!(!wanted(None, Some(OsStr::new("dumb"))));
    }

    #[test]
    fn words_are_painted_and_nothing_else_changes() {
        assert_eq!(paint("load  ✗ failed  x"), "load  \x1b[31m✗ failed\x1b[0m  x");
        assert_eq!(paint("failed_loads  success"), "failed_loads  success");
    }
}
