//! Every flag is also `UPDRAFT_<FLAG>`, which clap reads, and `UPDRAFT_<FLAG>_FILE`: the path of a file that holds the value, as secrets are
//! mounted.

use std::collections::BTreeMap;

use clap::Command;

/// Gives the flags of a command, and of its subcommands, the values of their files. All mistakes at once.
pub(crate) fn with_files(command: Command) -> Result<Command, String> {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let mut mistakes = Vec::new();
    for (name, path) in std::env::vars_os() {
        let (Some(name), Some(path)) = (name.to_str(), path.to_str()) else { continue };
        let Some(flag) = name.strip_suffix("_FILE").filter(|n| n.starts_with("UPDRAFT_")) else { continue };
        if std::env::var_os(flag).is_some() {
            mistakes.push(format!("error: {flag} and {name} are both set: unset one"));
            continue;
        }
        match std::fs::read_to_string(path) {
            Ok(text) => {
                values.insert(flag.to_owned(), text.trim_end_matches(['\n', '\r']).to_owned());
            }
            Err(error) => mistakes.push(format!("error: {name} names {path}, which cannot be read: {error}")),
        }
    }
    if mistakes.is_empty() { Ok(apply(command, &values)) } else { Err(mistakes.join("\n")) }
}

fn apply(command: Command, values: &BTreeMap<String, String>) -> Command {
    if values.is_empty() {
        return command;
    }
    command
        .mut_args(|arg| {
            let value = arg.get_env().and_then(|env| env.to_str()).and_then(|env| values.get(env)).cloned();
            match value {
                Some(value) => arg.default_value(clap::builder::OsStr::from(value)).hide_default_value(true),
                None => arg,
            }
        })
        .mut_subcommands(|sub| apply(sub, values))
}
