//! `updraft db`: the schema, by hand. Roles do it themselves.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use updraft_store::read::retention::Retention;
use updraft_store::{MigrationState, Store};

use crate::settings::{DatabaseTls, say_mistakes};
use crate::{USAGE, say};

/// About the database.
#[derive(Debug, Subcommand)]
pub(crate) enum Db {
    /// Brings the schema up to date. Safe to run twice, and at once with others.
    #[command(after_help = "Example:\n  updraft db migrate --database-url postgres://updraft@localhost/updraft")]
    Migrate(Target),
    /// Says whether the database answers and its schema fits this program. Exit code 1: it does not.
    #[command(alias = "check-migrations", after_help = "Example:\n  updraft db check --database-url postgres://updraft@localhost/updraft")]
    Check(Target),
    /// Forgets finished runs that are old, with their attempts, logs and values. Schedulers do it by themselves with --retention.
    #[command(after_help = "Examples:\n  updraft db clean --older-than 90d --dry-run\n  updraft db clean --older-than 90d")]
    Clean(Clean),
}

/// Options of `db clean`.
#[derive(Debug, Args)]
pub(crate) struct Clean {
    /// Runs that ended longer ago: 90d, 12h.
    #[arg(long, value_name = "DURATION", value_parser = crate::settings::duration)]
    older_than: std::time::Duration,
    /// But never the newest so many runs of a DAG.
    #[arg(long, default_value_t = 10)]
    keep_last: u32,
    /// Only say what would be forgotten.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    target: Target,
}

impl Clean {
    async fn run(&self, store: &Store) -> Result<(), updraft_store::Error> {
        let retention = Retention { older_than: self.older_than, keep_last: self.keep_last };
        if self.dry_run {
            let old = store.runs_old(retention, i64::MAX).await?;
            let lines: String = old.iter().map(|run| format!("{}\t{}\t{}\n", run.dag_id, run.run_id, run.end_date.to_rfc3339())).collect();
            crate::print(&lines);
            say(&format!("{} runs would be forgotten", old.len()));
            return Ok(());
        }
        let forgotten = store.runs_forget(retention).await?;
        let partitions = store.partitions_drop(self.older_than).await?;
        say(&format!("forgot {forgotten} runs, and dropped {} empty partitions", partitions.len()));
        Ok(())
    }
}

#[derive(Args)]
pub(crate) struct Target {
    /// Where Postgres is: postgres://USER@HOST:PORT/DATABASE.
    #[arg(long, env = "UPDRAFT_DATABASE_URL", hide_env_values = true)]
    database_url: String,
    #[command(flatten)]
    tls: DatabaseTls,
}

// By hand: the URL may hold a password.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").finish_non_exhaustive()
    }
}

impl Target {
    /// Opens it, or says what is wrong with the options. No connection is made yet.
    pub(crate) fn open(&self, name: &str) -> Result<Store, ExitCode> {
        if say_mistakes(&self.tls.mistakes()) {
            return Err(ExitCode::from(USAGE));
        }
        Store::open(&self.tls.options(&self.database_url, name)).map_err(|error| failed(&error))
    }
}

pub(crate) async fn run(command: Db) -> ExitCode {
    let (Db::Migrate(target) | Db::Check(target) | Db::Clean(Clean { target, .. })) = &command;
    let store = match target.open("updraft db") {
        Ok(store) => store,
        Err(code) => return code,
    };
    let done = match &command {
        Db::Clean(clean) => return clean.run(&store).await.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS),
        Db::Migrate(_) => store.migrate().await.map(|()| ("the schema is up to date".to_owned(), true)),
        Db::Check(_) => store.migration_state().await.map(|state| match state {
            MigrationState::Current => ("the database answers and its schema fits".to_owned(), true),
            MigrationState::Behind(missing) => {
                (format!("the schema lacks the migrations {}: run `updraft db migrate`", numbers(&missing)), false)
            }
            MigrationState::Ahead(newer) => {
                (format!("the schema is newer than this program (migrations {}), which is fine during a rollout", numbers(&newer)), true)
            }
        }),
    };
    match done {
        Ok((text, good)) => {
            say(&text);
            if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => failed(&error),
    }
}

fn numbers(versions: &[i64]) -> String {
    versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

pub(crate) fn failed(error: &updraft_store::Error) -> ExitCode {
    let mut text = format!("error: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let why = inner.to_string();
        // The driver's errors end with their own cause.
        if !text.ends_with(&why) {
            text.push_str(&format!(": {why}"));
        }
        cause = inner.source();
    }
    if let Some(remedy) = error.remedy() {
        text.push_str(&format!("; {remedy}"));
    }
    say(&text);
    ExitCode::from(if matches!(error, updraft_store::Error::Unreachable(_)) { 6 } else { 1 })
}
