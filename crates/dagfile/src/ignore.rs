//! `.airflowignore`.
//!
//! Each folder may have one; it speaks for that folder and what is below. Two dialects, as in Airflow: *glob*, which is that of
//! `.gitignore` and Airflow 3's default (`*`, `?`, `[a-z]`, `**`, a leading `!` takes back, a trailing `/` means folders alone, a slash
//! inside ties the pattern to the folder of the file), and *regexp*, Airflow 2's default (a regular expression found anywhere in the path
//! below the folder). A line that begins with `#` is a comment.

use regex::{Regex, RegexBuilder};

/// How `.airflowignore` files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IgnoreSyntax {
    /// As `.gitignore`: Airflow 3's default.
    #[default]
    Glob,
    /// Regular expressions: Airflow 2's default.
    Regexp,
}

/// One file's lines.
#[derive(Debug, Clone)]
pub(crate) struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    pattern: Regex,
    keep: bool,
    folders_only: bool,
}

/// Most memory of one compiled pattern.
const PATTERN_BYTES: usize = 1024 * 1024;

impl Ignore {
    /// Reads `text`; lines that are no pattern are told with their number.
    pub(crate) fn parse(text: &str, syntax: IgnoreSyntax) -> (Self, Vec<(u32, String)>) {
        let mut rules = Vec::new();
        let mut bad = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_end();
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (source, keep, folders_only) = match syntax {
                IgnoreSyntax::Regexp => (line.split(" #").next().unwrap_or(line).trim().to_owned(), false, false),
                IgnoreSyntax::Glob => {
                    let (line, keep) = line.strip_prefix('!').map_or((line, false), |rest| (rest, true));
                    let line = line.strip_prefix('\\').filter(|rest| rest.starts_with(['!', '#'])).unwrap_or(line);
                    let (line, folders_only) = line.strip_suffix('/').map_or((line, false), |rest| (rest, true));
                    (glob(line), keep, folders_only)
                }
            };
            match RegexBuilder::new(&source).size_limit(PATTERN_BYTES).build() {
                Ok(pattern) => rules.push(Rule { pattern, keep, folders_only }),
                Err(error) => {
                    bad.push((number, format!("{line:?} is no pattern: {}", error.to_string().lines().last().unwrap_or_default())))
                }
            }
        }
        (Self { rules }, bad)
    }

    /// What it says of `path`, relative to its own folder: `Some(true)` leave it out, `Some(false)` keep it after all.
    pub(crate) fn says(&self, path: &str, is_folder: bool) -> Option<bool> {
        let rule = self.rules.iter().rev().find(|rule| (is_folder || !rule.folders_only) && rule.pattern.is_match(path))?;
        Some(!rule.keep)
    }
}

/// Which files of a folder are looked at: patterns as in `.gitignore`, relative to the folder.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    include: Option<Ignore>,
    exclude: Option<Ignore>,
}

impl Filter {
    /// Without patterns to include, everything is. What is excluded is left out all the same.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, String> {
        let read = |patterns: &[String]| {
            if patterns.is_empty() {
                return Ok(None);
            }
            // A comment of a file is a pattern here.
            let lines: Vec<String> =
                patterns.iter().map(|line| line.strip_prefix('#').map_or_else(|| line.clone(), |_| format!("\\{line}"))).collect();
            match Ignore::parse(&lines.join("\n"), IgnoreSyntax::Glob) {
                (ignore, bad) if bad.is_empty() => Ok(Some(ignore)),
                (_, bad) => Err(bad.into_iter().map(|(_, why)| why).collect::<Vec<_>>().join("; ")),
            }
        };
        Ok(Self { include: read(include)?, exclude: read(exclude)? })
    }

    /// Whether the file with this path is looked at.
    pub(crate) fn takes(&self, path: &str) -> bool {
        let named = |patterns: &Ignore| {
            let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
            patterns.says(path, false).or_else(|| folders.rev().find_map(|folder| patterns.says(folder, true))).unwrap_or(false)
        };
        self.include.as_ref().is_none_or(named) && !self.exclude.as_ref().is_some_and(named)
    }
}

/// A `.gitignore` pattern as a regular expression over a path without a leading slash.
fn glob(pattern: &str) -> String {
    let tied = pattern.trim_end_matches('/').contains('/');
    let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
    let mut regex = String::from(if tied { "^" } else { "^(?:.*/)?" });
    let chars: Vec<char> = pattern.chars().collect();
    let mut i = 0;
    while i < chars.len() {
        match chars[i] {
            '*' if chars[i..].starts_with(&['*', '*', '/']) && (i == 0 || chars[i - 1] == '/') => {
                regex.push_str("(?:.*/)?");
                i += 2;
            }
            '*' if chars[i..] == ['*', '*'] && (i == 0 || chars[i - 1] == '/') => {
                regex.push_str(".+");
                i += 1;
            }
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '[' => match chars[i + 1..].iter().skip(1).position(|c| *c == ']') {
                Some(length) => {
                    let inner: String = chars[i + 1..i + 2 + length].iter().collect();
                    let inner = inner.strip_prefix('!').map_or_else(|| inner.clone(), |rest| format!("^{rest}"));
                    regex.push('[');
                    regex.push_str(&inner.replace('\\', "\\\\").replace('[', "\\["));
                    regex.push(']');
                    i += length + 2;
                }
                None => regex.push_str("\\["),
            },
            '\\' if i + 1 < chars.len() => {
                i += 1;
                regex.push_str(&regex::escape(&chars[i].to_string()));
            }
            c => regex.push_str(&regex::escape(&c.to_string())),
        }
        i += 1;
    }
    regex.push('$');
    regex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_those_of_gitignore() {
        let (ignore, bad) = Ignore::parse(
            "# comment\n*.tmp.py\n/top.py\nbuild/\na/*/c.py\n**/deep.py\nlogs/**\nx[0-9].py\n!keep.tmp.py\nq?.py\n",
            IgnoreSyntax::Glob,
        );
        assert!(bad.is_empty(), "{bad:?}");
        for (path, folder, expect) in [
            ("x.tmp.py", false, Some(true)),
            ("sub/x.tmp.py", false, Some(true)),
            ("keep.tmp.py", false, Some(false)),
            ("top.py", false, Some(true)),
            ("sub/top.py", false, None),
            ("build", true, Some(true)),
            ("build", false, None),
            ("a/b/c.py", false, Some(true)),
            ("a/b/b/c.py", false, None),
            ("deep.py", false, Some(true)),
            ("a/b/deep.py", false, Some(true)),
            ("logs/a/b.py", false, Some(true)),
            ("x1.py", false, Some(true)),
            ("xa.py", false, None),
            ("qq.py", false, Some(true)),
            ("q/.py", false, None),
        ] {
            assert_eq!(ignore.says(path, folder), expect, "{path}");
        }
    }

    #[test]
    fn regular_expressions_are_found_anywhere() {
        let (ignore, bad) = Ignore::parse("project_a\ntenant_[\\d]\n(\n", IgnoreSyntax::Regexp);
        assert_eq!(bad[0].0, 3);
        for (path, expect) in [("sub/project_a_dag.py", Some(true)), ("tenant_1.py", Some(true)), ("tenant_x.py", None)] {
            assert_eq!(ignore.says(path, false), expect, "{path}");
        }
    }

    #[test]
    fn a_filter_takes_what_is_included_and_not_excluded() {
        let takes = |include: &[&str], exclude: &[&str], path: &str| {
            let own = |patterns: &[&str]| patterns.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
            Filter::new(&own(include), &own(exclude)).unwrap().takes(path)
        };
        for (include, exclude, path, expect) in [
            (&[] as &[&str], &[] as &[&str], "a/b.py", true),
            (&["*.py"], &[], "a/b.py", true),
            (&["*.py"], &[], "a/b.yaml", false),
            (&["team_a/"], &[], "team_a/x/b.py", true),
            (&["team_a/"], &[], "team_b/b.py", false),
            (&["team_a"], &["legacy/"], "team_a/legacy/b.py", false),
            (&[], &["**/old_*.py"], "a/old_b.py", false),
            (&[], &["a/*.py", "!a/keep.py"], "a/keep.py", true),
            (&["#odd.py"], &[], "#odd.py", true),
        ] {
            assert_eq!(takes(include, exclude, path), expect, "{include:?} {exclude:?} {path}");
        }
        assert!(Filter::new(&["[".to_owned()], &[]).is_err() || Filter::new(&["[".to_owned()], &[]).is_ok_and(|filter| !filter.takes("a")));
    }
}
