//! The commands, told from clap's own tree: the page `docs/cli-reference.md`, the cheat sheet, and a list for the test that walks them all.

use std::fmt::Write as _;

use clap::{Arg, Command};
use serde_json::{Value, json};

/// Every command with its words (without the program's name), nouns before their verbs, built so that its usage can be told. Hidden ones are
/// left out.
fn commands(mut program: Command) -> Vec<(Vec<String>, Command)> {
    fn walk(command: &Command, words: &[String], all: &mut Vec<(Vec<String>, Command)>) {
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
            let words = [words, &[sub.get_name().to_owned()]].concat();
            all.push((words.clone(), sub.clone()));
            walk(sub, &words, all);
        }
    }
    program.build();
    let mut all = Vec::new();
    walk(&program, &[], &mut all);
    all
}

/// Those that do something.
fn verbs(program: Command) -> impl Iterator<Item = (Vec<String>, Command)> {
    commands(program).into_iter().filter(|(_, command)| !command.has_subcommands())
}

fn own(command: &Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !arg.is_global_set() && !["help", "version"].contains(&arg.get_id().as_str()))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The page `docs/cli-reference.md`.
pub(crate) fn page(program: Command) -> String {
    let globals: Vec<Arg> = program.get_arguments().filter(|arg| arg.is_global_set()).cloned().collect();
    let mut out = String::from(
        "# Every command\n\nGenerated from the program's own `--help` (`cargo run -p updraft -- docs cli > docs/cli-reference.md`); a test fails when it is \
         stale. What they have in common is in [cli.md](cli.md).\n\n## Flags of all commands that talk to the API\n\n",
    );
    globals.iter().for_each(|arg| line(arg, &mut out));
    out.push_str("\n## Exit codes\n\n| Code | Meaning |\n|---|---|\n");
    for (code, meaning) in super::EXIT_CODES {
        let _ = writeln!(out, "| {code} | {meaning} |");
    }
    for (words, mut command) in commands(program) {
        let _ = write!(out, "\n{} {}\n", if words.len() > 1 { "###" } else { "##" }, words.join(" "));
        let about = command.get_about().map(|about| one_line(&about.to_string())).unwrap_or_default();
        if command.has_subcommands() {
            let _ = write!(out, "\n{about}\n");
            continue;
        }
        let usage = one_line(&command.render_usage().to_string());
        let _ = write!(out, "\n{about}\n\n```text\n{}\n```\n\n", usage.trim_start_matches("Usage: "));
        let before = out.len();
        own(&command).for_each(|arg| line(arg, &mut out));
        if out.len() > before {
            out.push('\n');
        }
        if let Some(after) = command.get_after_help() {
            let _ = write!(out, "```text\n{after}\n```\n");
        }
    }
    out
}

/// One argument, as an item of a list.
fn line(arg: &Arg, out: &mut String) {
    let names: Vec<&str> = arg.get_value_names().unwrap_or_default().iter().map(|name| name.as_str()).collect();
    let value = if arg.get_action().takes_values() { format!(" {}", names.join(" ")) } else { String::new() };
    let called = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}{value}"),
        (None, Some(long)) => format!("--{long}{value}"),
        (Some(short), None) => format!("-{short}{value}"),
        (None, None) => names.join(" "),
    };
    let mut notes = Vec::new();
    let possible: Vec<String> =
        arg.get_possible_values().iter().filter(|value| !value.is_hide_set()).map(|value| value.get_name().to_owned()).collect();
    if !possible.is_empty() && arg.get_action().takes_values() {
        notes.push(format!("one of {}", possible.join(", ")));
    }
    let default: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !default.is_empty() && !arg.is_hide_default_value_set() && arg.get_action().takes_values() {
        notes.push(format!("default `{}`", default.join(",")));
    }
    if let Some(variable) = arg.get_env() {
        notes.push(format!("`{}`", variable.to_string_lossy()));
    }
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
    let help = arg.get_help().map(|help| one_line(&help.to_string())).unwrap_or_default();
    let _ = writeln!(out, "- `{called}`: {help}{notes}");
}

/// Every command with one line each.
pub(crate) fn cheat_sheet(program: Command) -> String {
    let all: Vec<_> = verbs(program).collect();
    let width = all.iter().map(|(words, _)| words.join(" ").len()).max().unwrap_or(0);
    let mut out = String::new();
    for (words, command) in all {
        let about = command.get_about().map(|about| one_line(&about.to_string())).unwrap_or_default();
        let _ = writeln!(out, "updraft {:width$}  {about}", words.join(" "));
    }
    out
}

/// For the test that walks all commands: their words, and their arguments that have no flag.
pub(crate) fn list(program: Command) -> Value {
    let all = verbs(program).map(|(words, command)| {
        let positional: Vec<&str> =
            own(&command).filter(|arg| arg.is_positional() && arg.is_required_set()).map(|arg| arg.get_id().as_str()).collect();
        let has_output = own(&command).any(|arg| arg.get_id() == "output");
        json!({"words": words, "required": positional, "has_output": has_output})
    });
    Value::Array(all.collect())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_has_an_example_that_parses() {
        let program = crate::Cli::command();
        for (words, command) in commands(program.clone()) {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> = after.lines().map(str::trim).filter(|line| line.contains("updraft ")).collect();
            assert!(after.contains("Example") && !examples.is_empty(), "updraft {}: --help has no example", words.join(" "));
            let mut own = 0;
            for example in examples {
                let example = example.split(['|', '<', '>']).next().unwrap_or_default();
                let Some(at) = example.find("updraft ").filter(|_| !example.contains('`')) else { continue };
                let typed = super::super::call::rewritten(split(&example[at..]).into_iter().map(Into::into).collect());
                // What a role needs may come from the environment, which an example leaves out.
                let parsed = program.clone().try_get_matches_from(&typed);
                let refused = parsed.as_ref().err().map(clap::Error::kind);
                assert!(matches!(refused, None | Some(clap::error::ErrorKind::MissingRequiredArgument)), "{example}: {parsed:?}");
                own += 1;
            }
            assert!(own > 0, "updraft {}: no example can be parsed", words.join(" "));
        }
    }

    /// Words as a shell takes them: quotes keep blanks together.
    fn split(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for c in line.trim().chars() {
            match (quote, c) {
                (None, '\'' | '"') => quote = Some(c),
                (Some(open), c) if c == open => quote = None,
                (None, ' ') => words.push(std::mem::take(&mut word)),
                (_, c) => word.push(c),
            }
        }
        words.push(word);
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn the_page_is_what_the_program_says() {
        let page = page(crate::Cli::command());
        let kept = include_str!("../../../../docs/cli-reference.md");
        let stale = page.lines().zip(kept.lines()).find(|(now, then)| now != then);
        assert!(page == kept, "docs/cli-reference.md is stale at {stale:?}: cargo run -p updraft -- docs cli > docs/cli-reference.md");
    }

    #[test]
    fn the_hand_written_page_has_every_exit_code() {
        let kept = include_str!("../../../../docs/cli.md");
        for (code, _) in super::super::EXIT_CODES {
            assert!(kept.contains(&format!("\n| {code} | ")), "docs/cli.md does not say what exit code {code} means");
        }
    }
}
