//! Completions that know what is there: ids of DAGs, runs, tasks, pools, variables, connections, contexts.
//!
//! The shell calls this program with `UPDRAFT_COMPLETE` set and the words so far behind `--`. What cannot be asked in time is not offered:
//! a shell that hangs on the tab key is worse than one that knows nothing.

use std::ffi::OsStr;
use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Command;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};

use super::Global;
use super::contexts::Contexts;
use super::http::{Client, part};

/// What the shell sets.
pub(crate) const VARIABLE: &str = "UPDRAFT_COMPLETE";
/// How long the tab key waits.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Most that is offered.
const MOST: usize = 500;

/// Answers the shell and exits, when it is the shell who asks.
pub(crate) fn answer(command: fn() -> Command) {
    if std::env::var_os(VARIABLE).is_some() {
        CompleteEnv::with_factory(|| knowing(command())).var(VARIABLE).complete();
    }
}

/// What a shell must run once to have completions.
pub(crate) fn registration(shell: clap_complete::Shell) -> Result<String, String> {
    let program = std::env::args().next().filter(|program| program.contains('/'));
    let program = program.and_then(|program| std::path::absolute(program).ok()).map(|path| path.display().to_string());
    let program = program.unwrap_or_else(|| "updraft".to_owned());
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let completer = shells.completer(&shell.to_string()).ok_or_else(|| format!("there are no completions for {shell}"))?;
    completer.write_registration(VARIABLE, "updraft", "updraft", &program, &mut script).map_err(|error| error.to_string())?;
    String::from_utf8(script).map_err(|error| error.to_string())
}

/// The command with completers at the arguments whose values the API knows. By the arguments' names, so that no verb is forgotten.
fn knowing(command: Command) -> Command {
    fn walk(command: Command, noun: &str) -> Command {
        let noun = noun.to_owned();
        command
            .mut_args(|arg| {
                let completer: fn(&OsStr) -> Vec<CompletionCandidate> = match (noun.as_str(), arg.get_id().as_str()) {
                    (_, "dag" | "dags" | "dag_id" | "dag_ids") => dags,
                    (_, "run") => runs,
                    (_, "task" | "tasks") => tasks,
                    ("pools", "name") => |current| named(current, "/api/v2/pools", "pools", "name"),
                    ("users", "name") => |current| named(current, "/ui/users", "users", "name"),
                    ("roles", "name") | ("users", "role") => |current| named(current, "/ui/roles", "roles", "name"),
                    ("variables", "key" | "keys") => |current| named(current, "/api/v2/variables", "variables", "key"),
                    ("connections", "id" | "ids") => |current| named(current, "/api/v2/connections", "connections", "connection_id"),
                    ("context", "name") | (_, "context") => contexts,
                    _ => return arg,
                };
                arg.add(ArgValueCompleter::new(completer))
            })
            .mut_subcommands(|sub| {
                let name = if noun.is_empty() { sub.get_name().to_owned() } else { noun.clone() };
                walk(sub, &name)
            })
    }
    walk(command, "")
}

fn offered(words: impl IntoIterator<Item = String>, current: &OsStr) -> Vec<CompletionCandidate> {
    let begun = current.to_string_lossy().into_owned();
    words.into_iter().filter(|word| word.starts_with(&begun)).take(MOST).map(CompletionCandidate::new).collect()
}

fn contexts(current: &OsStr) -> Vec<CompletionCandidate> {
    offered(Contexts::read().map(|contexts| contexts.contexts.into_keys().collect::<Vec<_>>()).unwrap_or_default(), current)
}

fn dags(current: &OsStr) -> Vec<CompletionCandidate> {
    let begun = current.to_string_lossy();
    let path =
        if begun.is_empty() { String::from("/api/v2/dags?") } else { format!("/api/v2/dags?dag_id_prefix_pattern={}&", part(&begun)) };
    offered(ask(&format!("{path}order_by=dag_id&limit={MOST}"), "dags", "dag_id"), current)
}

fn runs(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(dag) = dag_of(&words()) else { return Vec::new() };
    let known = ask(&format!("/api/v2/dags/{}/dagRuns?order_by=-run_after&limit=50", part(&dag)), "dag_runs", "dag_run_id");
    offered(std::iter::once("latest".to_owned()).chain(known), current)
}

fn tasks(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(dag) = dag_of(&words()) else { return Vec::new() };
    offered(ask(&format!("/api/v2/dags/{}/tasks", part(&dag)), "tasks", "task_id"), current)
}

fn named(current: &OsStr, path: &str, list: &str, key: &str) -> Vec<CompletionCandidate> {
    offered(ask(&format!("{path}?limit={MOST}"), list, key), current)
}

/// The words of the line that is being typed.
fn words() -> Vec<String> {
    std::env::args().skip_while(|word| word != "--").skip(1).collect()
}

/// The value of a flag among the words.
fn flag(words: &[String], name: &str) -> Option<String> {
    words.iter().enumerate().find_map(|(at, word)| match word.strip_prefix(name) {
        Some("") => words.get(at + 1).cloned(),
        Some(rest) => rest.strip_prefix('=').map(str::to_owned),
        None => None,
    })
}

/// The DAG that the line names: the first plain word behind its verb.
fn dag_of(words: &[String]) -> Option<String> {
    let mut plain = Vec::new();
    let mut rest = words.iter().skip(1);
    while let Some(word) = rest.next() {
        if ["--api-url", "--api-user", "--api-token", "--api-password", "--context"].contains(&word.as_str()) {
            rest.next();
        } else if !word.starts_with('-') {
            plain.push(word);
        }
    }
    let verb = if plain.first().is_some_and(|noun| *noun == "why") { 0 } else { 1 };
    // The last word is the one that is being typed.
    plain.get(verb + 1).filter(|_| plain.len() > verb + 2).map(|dag| (*dag).clone())
}

/// One field of the rows of a list; nothing when that takes too long.
fn ask(path: &str, list: &str, key: &str) -> Vec<String> {
    let variable = |name: &str| {
        std::env::var(name).ok().or_else(|| {
            let file = std::env::var_os(format!("{name}_FILE"))?;
            std::fs::read_to_string(file).ok().map(|text| text.trim_end_matches(['\n', '\r']).to_owned())
        })
    };
    let words = words();
    let global = Global {
        context: flag(&words, "--context").or_else(|| variable("UPDRAFT_CONTEXT")),
        api_url: flag(&words, "--api-url").or_else(|| variable("UPDRAFT_API_URL")),
        api_user: flag(&words, "--api-user").or_else(|| variable("UPDRAFT_API_USER")).unwrap_or_else(|| "admin".to_owned()),
        api_password: variable("UPDRAFT_API_PASSWORD"),
        api_token: variable("UPDRAFT_API_TOKEN"),
    };
    let Ok(client) = Client::new(&global) else { return Vec::new() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
    let asked = runtime.block_on(async { tokio::time::timeout(PATIENCE, client.get(path)).await });
    let Ok(Ok(answer)) = asked else { return Vec::new() };
    answer[list].as_array().into_iter().flatten().filter_map(|row| row[key].as_str().map(str::to_owned)).collect()
}

/// Where the words of a completion go, for somebody who sees them on a terminal.
pub(crate) fn hint(shell: clap_complete::Shell) {
    use clap_complete::Shell;
    if !std::io::stdout().is_terminal() {
        return;
    }
    let line = match shell {
        Shell::Bash => "echo 'source <(updraft completion bash)' >> ~/.bashrc",
        Shell::Zsh => "echo 'source <(updraft completion zsh)' >> ~/.zshrc",
        Shell::Fish => "updraft completion fish > ~/.config/fish/completions/updraft.fish",
        _ => return,
    };
    crate::say(&format!("next: {line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_dag_of_a_line_is_the_word_behind_the_verb() {
        assert_eq!(dag_of(&line("updraft tasks logs -f sales latest ")).as_deref(), Some("sales"));
        assert_eq!(dag_of(&line("updraft --context prod why sales latest ")).as_deref(), Some("sales"));
        assert_eq!(dag_of(&line("updraft tasks logs")), None);
    }

    #[test]
    fn flags_are_read_in_both_ways() {
        assert_eq!(flag(&line("updraft --api-url http://a dags"), "--api-url").as_deref(), Some("http://a"));
        assert_eq!(flag(&line("updraft --api-url=http://a dags"), "--api-url").as_deref(), Some("http://a"));
        assert_eq!(flag(&line("updraft dags"), "--api-url"), None);
    }

    #[test]
    fn every_shell_can_be_told() {
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish, clap_complete::Shell::Elvish] {
            assert!(registration(shell).is_ok_and(|script| script.contains(VARIABLE)), "{shell}");
        }
        assert!(registration(clap_complete::Shell::PowerShell).is_ok_and(|script| script.contains(VARIABLE)));
    }

    #[test]
    fn what_the_api_knows_has_a_completer() {
        let command = knowing(<crate::Cli as clap::CommandFactory>::command());
        let logs = command.find_subcommand("tasks").and_then(|tasks| tasks.find_subcommand("logs"));
        for name in ["dag", "run", "task"] {
            let arg = logs.and_then(|logs| logs.get_arguments().find(|arg| arg.get_id() == name));
            assert!(arg.is_some_and(|arg| arg.get::<ArgValueCompleter>().is_some()), "{name}");
        }
    }
}
