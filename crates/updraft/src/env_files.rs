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
                // A default does not count where clap requires an answer.
                Some(value) => arg.default_value(clap::builder::OsStr::from(value)).hide_default_value(true).required(false),
                None => arg,
            }
        })
        .mut_subcommands(|sub| apply(sub, values))
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction};

    use super::*;

    #[test]
    fn a_file_answers_what_is_required_and_a_list() {
        let command = Command::new("x").subcommand(
            Command::new("role")
                .arg(Arg::new("url").long("url").env("UPDRAFT_TEST_URL").required(true))
                .arg(Arg::new("list").long("list").env("UPDRAFT_TEST_LIST").value_delimiter(',').action(ArgAction::Append)),
        );
        let values = BTreeMap::from([
            ("UPDRAFT_TEST_URL".to_owned(), "postgres://u:p@h/d".to_owned()),
            ("UPDRAFT_TEST_LIST".to_owned(), "a,b".to_owned()),
        ]);
        let matches = apply(command.clone(), &values).try_get_matches_from(["x", "role"]).unwrap();
        let (_, role) = matches.subcommand().unwrap();
        assert_eq!(role.get_one::<String>("url").unwrap(), "postgres://u:p@h/d");
        assert_eq!(role.get_many::<String>("list").unwrap().collect::<Vec<_>>(), ["a", "b"]);
        let matches = apply(command.clone(), &values).try_get_matches_from(["x", "role", "--url", "flag"]).unwrap();
        assert_eq!(matches.subcommand().unwrap().1.get_one::<String>("url").unwrap(), "flag", "a flag beats a file");
        assert!(command.try_get_matches_from(["x", "role"]).is_err(), "without either it is missing");
    }
}
