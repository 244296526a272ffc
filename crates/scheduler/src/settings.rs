//! The variables and connections that templates read: opened for one batch of admissions, and forgotten with it.

use serde_json::{Map, Value, json};
use tracing::warn;
use updraft_planner::render::Settings;
use updraft_store::read::secrets::Sealed;
use updraft_store::{Error, Keyring, Store};

use crate::{Config, Scheduler};

impl Scheduler {
    /// All of them, for the templates of one batch.
    pub(crate) async fn settings(&self) -> Result<Settings, Error> {
        settings(&self.store, &self.config).await
    }
}

/// All of them: installations have hundreds, and a template names them as it runs. Without keys the database has none; what cannot be opened
/// is left out, so that only a task that names it ends.
pub(crate) async fn settings(store: &Store, config: &Config) -> Result<Settings, Error> {
    let sources = &config.secrets;
    let mut settings = Settings { folder: sources.folder().await, environment: sources.environment(), ..Settings::default() };
    let Some(keyring) = config.keyring.as_deref() else { return Ok(settings) };
    for row in store.variables_all().await? {
        if let Some(value) = open(keyring, Sealed::Variable, &row.key, &row.sealed) {
            settings.variables.insert(row.key, value);
        }
    }
    for row in store.connections_all().await? {
        let mut fields = Map::new();
        let texts = [("conn_type", Some(row.conn_type)), ("description", row.description), ("host", row.host)];
        for (name, text) in texts.into_iter().chain([("schema", row.schema), ("login", row.login)]) {
            fields.extend(text.map(|text| (name.to_owned(), Value::String(text))));
        }
        fields.extend(row.port.map(|port| ("port".to_owned(), json!(port))));
        // No template may have it, so it stays sealed.
        fields.extend(row.sealed_password.map(|_| ("password".to_owned(), json!(updraft_model::redact::MASK))));
        let extra = row.sealed_extra.and_then(|sealed| open(keyring, Sealed::Extra, &row.connection_id, &sealed));
        fields.extend(extra.map(|extra| ("extra".to_owned(), json!(extra))));
        settings.connections.insert(row.connection_id, Value::Object(fields));
    }
    Ok(settings)
}

fn open(keyring: &Keyring, of: Sealed, name: &str, sealed: &[u8]) -> Option<String> {
    match keyring.open(&of.place(name), sealed) {
        Ok(value) => String::from_utf8(value).ok(),
        Err(error) => {
            warn!("{}: {error}", of.place(name));
            None
        }
    }
}
