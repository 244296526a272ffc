//! One mistake in one DAG file, in the form that every face shows: text like rustc's, JSON for the API and the dashboard.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What sort of mistake it is. The words are those of the Python front end's protocol, plus those that only this side can find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The text is not YAML, JSON or Python.
    Syntax,
    /// An import that failed.
    Import,
    /// The file took longer than it may.
    Timeout,
    /// The file took more memory than it may.
    Memory,
    /// The file ended its process.
    Exit,
    /// A signal ended the process.
    Signal,
    /// Something of Airflow that Updraft does not have.
    Unsupported,
    /// A value that cannot be.
    Invalid,
    /// The file raised.
    Exception,
    /// More bytes, nodes or levels than a file may have.
    TooLarge,
    /// The file wanted the network.
    Network,
    /// The file started more processes than it may.
    Processes,
    /// There is no DAG in it.
    NoDag,
    /// A key that no DAG has.
    UnknownKey,
    /// A DAG id that another file owns.
    DuplicateDag,
    /// What the operator does not allow.
    Policy,
    /// The file cannot be read.
    Io,
    /// The front end itself failed, not the file.
    Internal,
}

impl Kind {
    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Import => "import",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Exit => "exit",
            Self::Signal => "signal",
            Self::Unsupported => "unsupported",
            Self::Invalid => "invalid",
            Self::Exception => "exception",
            Self::TooLarge => "too_large",
            Self::Network => "network",
            Self::Processes => "processes",
            Self::NoDag => "no_dag",
            Self::UnknownKey => "unknown_key",
            Self::DuplicateDag => "duplicate_dag",
            Self::Policy => "policy",
            Self::Io => "io",
            Self::Internal => "internal",
        }
    }

    /// The kind of a word of the Python front end; an unknown word is an exception, since that is what it wraps by default.
    pub fn from_word(word: &str) -> Self {
        serde_json::from_value(serde_json::Value::String(word.to_owned())).unwrap_or(Self::Exception)
    }
}

/// One mistake, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The file, relative to the folder that was scanned, or as the caller named it.
    pub file: String,
    /// The line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// What sort of mistake.
    pub kind: Kind,
    /// What is wrong, in one or a few lines.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The line of the file, and the one below it with the carets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snippet: Option<Snippet>,
    /// The DAG that is concerned, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dag_id: Option<String>,
    /// Python's traceback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceback: Option<String>,
}

/// The line of a mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snippet {
    /// The line, tabs as single spaces, cut to a width that fits a terminal.
    pub text: String,
    /// Spaces and carets to print below it; empty where the column is unknown.
    pub caret: String,
}

/// Longest line that a snippet shows, in characters.
const SNIPPET_WIDTH: usize = 160;

impl Snippet {
    /// The line `line` (from 1) of `source` with `length` carets at `column` (from 1).
    pub fn of(source: &str, line: u32, column: Option<u32>, length: usize) -> Option<Self> {
        let text = source.lines().nth((line as usize).checked_sub(1)?)?;
        Some(Self::of_line(text, column, length))
    }

    /// The same from the line itself.
    pub fn of_line(text: &str, column: Option<u32>, length: usize) -> Self {
        let characters = text.trim_end().chars().count();
        let at = column.map_or(0, |c| (c as usize).saturating_sub(1));
        // A long line is shown from a little before the mistake.
        let skip = if at > SNIPPET_WIDTH * 3 / 4 { at - SNIPPET_WIDTH / 2 } else { 0 };
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        let shown: String = text.trim_end().chars().skip(skip).take(SNIPPET_WIDTH).map(clean).collect();
        let caret = match column {
            Some(_) => {
                let left = characters.saturating_sub(at).min(SNIPPET_WIDTH - (at - skip).min(SNIPPET_WIDTH - 1));
                format!("{}{}", " ".repeat(at - skip), "^".repeat(length.clamp(1, left.max(1))))
            }
            None => String::new(),
        };
        Self { text: shown, caret }
    }
}

impl Diagnostic {
    /// A mistake of `file` with no place yet.
    pub fn new(file: impl Into<String>, kind: Kind, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: None,
            column: None,
            kind,
            message: message.into(),
            hint: None,
            snippet: None,
            dag_id: None,
            traceback: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the DAG that is concerned.
    #[must_use]
    pub fn dag(mut self, dag_id: impl Into<String>) -> Self {
        self.dag_id = Some(dag_id.into());
        self
    }

    /// Adds the place, and the line from `source`.
    #[must_use]
    pub fn at(mut self, source: &str, line: u32, column: Option<u32>, length: usize) -> Self {
        self.line = Some(line);
        self.column = column;
        self.snippet = Snippet::of(source, line, column, length);
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error[{}]: {}", self.kind.as_str(), self.message.trim_end())?;
        let margin = self.line.map_or(1, |line| line.to_string().len());
        write!(f, "{:margin$}--> {}", "", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        if let (Some(line), Some(snippet)) = (self.line, &self.snippet) {
            write!(f, "\n{:margin$} |\n{line} | {}", "", snippet.text)?;
            if !snippet.caret.is_empty() {
                write!(f, "\n{:margin$} | {}", "", snippet.caret)?;
            }
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n{:margin$} = help: {hint}", "")?;
        }
        if let Some(traceback) = &self.traceback {
            for line in traceback.trim_end().lines() {
                write!(f, "\n{:margin$} : {line}", "")?;
            }
        }
        Ok(())
    }
}

/// Something that works, but that its author should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What.
    pub message: String,
    /// Where, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// The word of `known` that `word` most likely stands for.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = word.to_ascii_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|candidate| {
            let near = strsim::jaro_winkler(&folded, candidate);
            let edits = strsim::damerau_levenshtein(&folded, candidate);
            (candidate, near, edits)
        })
        .filter(|(candidate, near, edits)| *edits <= 2.max(candidate.len() / 4) || *near > 0.92)
        .min_by(|a, b| a.2.cmp(&b.2).then(b.1.total_cmp(&a.1)))
        .map(|(candidate, ..)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_reads_like_one_of_rustc() {
        let source = "dag_id: x\nshcedule: '@daily'\n";
        let text = Diagnostic::new("dags/x.yaml", Kind::UnknownKey, "unknown key `shcedule`")
            .at(source, 2, Some(1), 8)
            .hint("did you mean `schedule`?")
            .to_string();
        assert_eq!(
            text,
            "error[unknown_key]: unknown key `shcedule`\n --> dags/x.yaml:2:1\n  |\n2 | shcedule: '@daily'\n  | ^^^^^^^^\n  = help: did you mean `schedule`?"
        );
    }

    #[test]
    fn a_long_line_is_shown_around_the_mistake_and_controls_do_not_reach_the_terminal() {
        let line = format!("{}\u{1b}[31mX{}", "a".repeat(10_000), "b".repeat(10_000));
        let snippet = Snippet::of_line(&line, Some(10_006), 1);
        assert!(snippet.text.chars().count() <= SNIPPET_WIDTH);
        let at = snippet.caret.find('^').unwrap();
        assert_eq!(&snippet.text[at..=at], "X");
        assert!(!snippet.text.contains('\u{1b}'));
    }

    #[test]
    fn suggestions_are_near_or_absent() {
        let known = ["schedule", "start_date", "retries", "retry_delay", "needs"];
        for (word, expect) in [
            ("shcedule", Some("schedule")),
            ("startdate", Some("start_date")),
            ("start-date", Some("start_date")),
            ("retrys", Some("retries")),
            ("zebra", None),
        ] {
            assert_eq!(did_you_mean(word, known), expect, "{word}");
        }
    }

    #[test]
    fn words_of_the_python_side_are_known() {
        for word in ["syntax", "import", "timeout", "memory", "exit", "signal", "unsupported", "network", "no_dag", "too_large"] {
            assert_eq!(Kind::from_word(word).as_str(), word);
        }
        assert_eq!(Kind::from_word("surprise"), Kind::Exception);
    }
}
