//! `updraft secrets`: the keys that seal variables and connections.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use updraft_store::read::secrets::Sealed;
use updraft_store::{Keyring, SealError, Store};

use crate::database::{Target, failed};
use crate::settings::SecretKeys;
use crate::{USAGE, print, say};

/// About the keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
    /// Prints a new key, as UPDRAFT_SECRET_KEYS wants it. Keep it: what was sealed with a lost key is lost.
    #[command(after_help = "Examples:\n  updraft secrets new-key > secret-keys\n  \
        kubectl create secret generic updraft-secret-keys --from-file=keys=secret-keys\n\n\
        To change the key: put a new one on the first line, restart the API and the schedulers, run `updraft secrets rotate`, take the old one out.")]
    NewKey(NewKey),
    /// Seals everything with the first key of UPDRAFT_SECRET_KEYS. Safe to run twice, and while everything runs.
    #[command(
        after_help = "Example:\n  UPDRAFT_SECRET_KEYS_FILE=secret-keys updraft secrets rotate --database-url postgres://updraft@localhost/updraft"
    )]
    Rotate(Rotate),
}

/// Options of `secrets new-key`.
#[derive(Debug, Args)]
pub(crate) struct NewKey {
    /// What the key is called. It is kept beside everything that it seals. Default: today's date.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

/// Options of `secrets rotate`.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    keys: SecretKeys,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(command: Secrets) -> ExitCode {
    match command {
        Secrets::NewKey(options) => new_key(options.id),
        Secrets::Rotate(options) => rotate(&options).await,
    }
}

fn new_key(id: Option<String>) -> ExitCode {
    let id = id.unwrap_or_else(|| chrono::Utc::now().format("%Y-%m-%d").to_string());
    let made = Keyring::generate(&id).map_err(|error| error.to_string()).and_then(|key| Keyring::parse(&key).map(|_| key));
    match made {
        Ok(key) => {
            print(&format!("{key}\n"));
            ExitCode::SUCCESS
        }
        Err(why) => {
            say(&format!("error: {why}"));
            ExitCode::from(USAGE)
        }
    }
}

async fn rotate(options: &Rotate) -> ExitCode {
    let keyring = match options.keys.read() {
        Ok(Some(keyring)) => keyring,
        Ok(None) => {
            say("error: --secret-keys is missing: give all keys, the new one first, as UPDRAFT_SECRET_KEYS_FILE");
            return ExitCode::from(USAGE);
        }
        Err(why) => {
            say(&format!("error: {why}"));
            return ExitCode::from(USAGE);
        }
    };
    let store = match options.target.open("updraft secrets") {
        Ok(store) => store,
        Err(code) => return code,
    };
    let mut tally = Tally { keyring: &keyring, store: &store, done: 0, already: 0, lost: Vec::new() };
    match tally.everything().await {
        Ok(()) => {}
        Err(error) => return failed(&error),
    }
    for (name, why) in &tally.lost {
        say(&format!("error: {name}: {why}"));
    }
    say(&format!("sealed {} values anew; {} had the first key already", tally.done, tally.already));
    if tally.lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Tally<'a> {
    keyring: &'a Keyring,
    store: &'a Store,
    done: usize,
    already: usize,
    lost: Vec<(String, SealError)>,
}

impl Tally<'_> {
    async fn everything(&mut self) -> Result<(), updraft_store::Error> {
        for row in self.store.variables_all().await? {
            self.one(Sealed::Variable, &row.key, &row.sealed).await?;
        }
        for row in self.store.connections_all().await? {
            for (of, sealed) in [(Sealed::Password, &row.sealed_password), (Sealed::Extra, &row.sealed_extra)] {
                if let Some(sealed) = sealed {
                    self.one(of, &row.connection_id, sealed).await?;
                }
            }
        }
        Ok(())
    }

    async fn one(&mut self, of: Sealed, name: &str, sealed: &[u8]) -> Result<(), updraft_store::Error> {
        let place = of.place(name);
        match self.keyring.reseal(&place, sealed) {
            Ok(None) => self.already += 1,
            // Whoever wrote it meanwhile used the first key, or an old one: the next round will say.
            Ok(Some(anew)) => self.done += usize::from(self.store.reseal(of, name, sealed, &anew).await?),
            Err(why) => self.lost.push((place, why)),
        }
        Ok(())
    }
}
