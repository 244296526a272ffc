//! The lines around a mistake, for who looks at it in a browser and has the file nowhere near.

use serde_json::{Value, json};
use updraft_dagfile::Diagnostic;

/// Lines before and after the one that is meant.
const AROUND: usize = 4;
/// Longest line that is kept, in characters.
const WIDTH: usize = 240;
/// Most mistakes of one file.
const MOST: usize = 20;

/// The mistakes of a file as JSON, each with `around`: the lines of its neighbourhood, and the number of the first.
pub(crate) fn details(errors: &[Diagnostic], source: &str) -> Value {
    let one = |error: &Diagnostic| {
        let mut value = serde_json::to_value(error).unwrap_or_default();
        if let (Some(fields), Some(line)) = (value.as_object_mut(), error.line) {
            fields.insert("around".to_owned(), around(source, line as usize));
        }
        value
    };
    Value::Array(errors.iter().take(MOST).map(one).collect())
}

fn around(source: &str, line: usize) -> Value {
    let first = line.saturating_sub(AROUND).max(1);
    let shown = |text: &str| text.chars().take(WIDTH).collect::<String>();
    let lines: Vec<String> = source.lines().skip(first - 1).take(line + AROUND + 1 - first).map(shown).collect();
    json!({"first": first, "lines": lines})
}

#[cfg(test)]
mod tests {
    use updraft_dagfile::Kind;

    use super::*;

    #[test]
    fn a_mistake_has_its_neighbourhood() {
        let source = (1..=20).map(|n| format!("line {n}\n")).collect::<String>();
        let at = |line| details(&[Diagnostic::new("a.yaml", Kind::Syntax, "no").at(&source, line, Some(2), 3)], &source)[0].clone();
        let middle = at(10);
        assert_eq!((&middle["line"], &middle["column"], &middle["around"]["first"]), (&json!(10), &json!(2), &json!(6)));
        assert_eq!(middle["around"]["lines"].as_array().unwrap().len(), 9);
        assert_eq!(middle["around"]["lines"][4], "line 10");
        assert_eq!(at(1)["around"], json!({"first": 1, "lines": ["line 1", "line 2", "line 3", "line 4", "line 5"]}));
        assert_eq!(at(20)["around"]["lines"].as_array().unwrap().last().unwrap(), "line 20");
        assert_eq!(at(99)["around"]["lines"], json!([]), "a line that the file does not have");
        let long = "x".repeat(1000);
        let value = details(&[Diagnostic::new("a", Kind::Syntax, "no").at(&long, 1, None, 0)], &long);
        assert_eq!(value[0]["around"]["lines"][0].as_str().unwrap().len(), WIDTH);
        assert!(details(&[Diagnostic::new("a", Kind::Import, "no")], "")[0].get("around").is_none(), "no place, no lines");
    }
}
