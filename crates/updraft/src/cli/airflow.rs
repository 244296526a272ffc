//! Airflow's verbs that are not here, each with the reason and what to type instead. Nobody should have to guess.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// A verb of Airflow's, why it is not here, and what does its work.
struct Absent {
    /// As it is typed: a noun with all its verbs, or a noun and a verb.
    words: &'static str,
    why: &'static str,
    instead: &'static str,
}

const fn absent(words: &'static str, why: &'static str, instead: &'static str) -> Absent {
    Absent { words, why, instead }
}

const ABSENT: &[Absent] = &[
    absent("assets", "assets are not scheduled on in this version", "updraft dags list"),
    absent("celery", "there is no Celery: workers are a role of this program", "updraft worker --help"),
    absent(
        "config",
        "settings are the flags and the environment of each role, and are not readable through the API",
        "updraft scheduler --help",
    ),
    absent("connections create-default-connections", "no connection is made that nobody asked for", "updraft connections add --help"),
    absent("connections test", "the API opens no connection for anybody: that is done where tasks run", "updraft connections get ID"),
    absent("dags list-jobs", "schedulers and workers are not jobs of one DAG", "updraft jobs list"),
    absent(
        "dags report",
        "no DAG file is loaded twice to measure it; what a file costs and holds is said by the check",
        "updraft dags check FOLDER",
    ),
    absent("dags reserialize", "files are read again when they change", "updraft dags list-import-errors"),
    absent(
        "dags show-dependencies",
        "DAGs that wait for each other do so by triggers and sensors, which are tasks",
        "updraft dags show DAG",
    ),
    absent(
        "dags test",
        "a run without a scheduler would prove little; a whole installation starts in two seconds",
        "updraft standalone, then updraft dags trigger DAG --wait",
    ),
    absent("dags clear", "it clears partitioned runs, which are not here", "updraft tasks clear DAG RUN"),
    absent("db downgrade", "migrations only add: an older program runs on a newer schema", "updraft db check"),
    absent("db drop-archived", "nothing is archived: what is forgotten is gone", "updraft db clean --help"),
    absent("db export-archived", "nothing is archived: what is forgotten is gone", "updraft db clean --help"),
    absent("db reset", "no command throws everything away: drop the database with Postgres's own tools", "updraft db migrate"),
    absent("db shell", "Postgres has one", "psql \"$UPDRAFT_DATABASE_URL\""),
    absent("db-manager", "there is one database and one schema", "updraft db --help"),
    absent("info", "what is known of the installation is said by the doctor", "updraft doctor"),
    absent("kerberos", "tickets are renewed beside a task, not by its scheduler", "updraft worker --help"),
    absent("kubernetes", "pods are made, watched and removed by workers", "updraft doctor --kubernetes"),
    absent("partitions", "runs have no partitions", "updraft runs list DAG"),
    absent("plugins", "there are no plugins: nothing of a user's runs inside this program", "updraft --help"),
    absent("providers", "there are no providers: a task is a pod, and what it imports is in its image", "updraft init --help"),
    absent("rotate-fernet-key", "keys are changed by a verb of their own", "updraft secrets rotate"),
    absent("state-store", "tasks have no state store", "updraft --help"),
    absent("tasks run", "tasks are run by workers only", "updraft dags trigger DAG"),
    absent(
        "tasks test",
        "a task runs in its pod, with what the worker gives it",
        "updraft standalone, then updraft dags trigger DAG --wait",
    ),
    absent("teams", "there are no teams", "updraft --help"),
    absent("triggerer", "there is no triggerer: what waits holds no process", "updraft scheduler --help"),
    absent("webserver", "the API serves the page, too", "updraft api --help"),
];

/// What to say of a command line that clap refused, if its verb is Airflow's.
pub(crate) fn explain(error: &clap::Error, words: &[String]) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument) {
        return None;
    }
    let verb = [ContextKind::InvalidSubcommand, ContextKind::InvalidArg].iter().find_map(|kind| match error.get(*kind) {
        Some(ContextValue::String(verb)) => Some(verb.as_str()),
        _ => None,
    })?;
    let found = ABSENT.iter().find(|absent| match absent.words.split_once(' ') {
        None => absent.words == verb,
        Some((noun, of)) => of == verb && words.windows(2).any(|pair| pair[0] == noun && pair[1] == of),
    })?;
    Some(format!("error: `{}` is not here: {}\nnext:  {}", found.words, found.why, found.instead))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// What `airflow --help` of 3.3.2 lists, noun by noun; of its nouns whose verbs are all absent, one verb.
    const AIRFLOWS: &str = "assets list; config get-value; config lint; config list; connections add; connections create-default-connections; \
        connections delete; connections export; connections get; connections import; connections list; connections test; dags clear; \
        dags delete; dags details; dags list; dags list-import-errors; dags list-jobs; dags list-runs; dags next-execution; dags pause; \
        dags report; dags reserialize; dags show; dags show-dependencies; dags state; dags test; dags trigger; dags unpause; db check; \
        db check-migrations; db clean; db downgrade; db drop-archived; db export-archived; db migrate; db reset; db shell; db-manager reset; \
        jobs check; kerberos; partitions clear; plugins; pools delete; pools export; pools get; pools import; pools list; pools set; \
        providers list; state-store clean; tasks clear; tasks failed-deps; tasks list; tasks render; tasks state; \
        tasks states-for-dag-run; tasks test; teams list; variables delete; variables export; variables get; variables import; \
        variables list; variables set; api-server; cheat-sheet; dag-processor; info; rotate-fernet-key; scheduler; standalone; \
        triggerer; version";

    fn is_here(command: &clap::Command, words: &[&str]) -> bool {
        match words.split_first() {
            None => true,
            Some((first, rest)) => command.find_subcommand(first).is_some_and(|sub| is_here(sub, rest)),
        }
    }

    #[test]
    fn every_verb_of_airflows_is_here_or_says_why_not() {
        let command = crate::Cli::command();
        for line in AIRFLOWS.split("; ") {
            let words: Vec<&str> = line.split(' ').collect();
            let here = is_here(&command, &words);
            let typed: Vec<String> = std::iter::once("updraft").chain(words.iter().copied()).map(str::to_owned).collect();
            let error = command.clone().try_get_matches_from(&typed).err();
            let explained = error.as_ref().and_then(|error| explain(error, &typed));
            assert_ne!(here, explained.is_some(), "airflow {line}: here {here}, said {explained:?}, clap {error:?}");
        }
    }

    #[test]
    fn no_explanation_is_in_the_way_of_a_verb() {
        let command = crate::Cli::command();
        for absent in ABSENT {
            let words: Vec<&str> = absent.words.split(' ').collect();
            assert!(!is_here(&command, &words), "{} is here", absent.words);
        }
    }

    #[test]
    fn a_slip_of_the_finger_is_not_explained() {
        let typed: Vec<String> = ["updraft", "dags", "lits"].map(str::to_owned).to_vec();
        let error = crate::Cli::command().try_get_matches_from(&typed).expect_err("no such verb");
        assert_eq!(explain(&error, &typed), None);
    }
}
