//! What DAG files are answered at their top level: `Variable.get`, `BaseHook.get_connection`, `conf.get`.
//!
//! Whoever may write a DAG file may read all of it, and a dag-processor holds no credential, so there is no secret in it: a variable that is
//! secret by its name, a password, a field of an extra. What is left out leaves its name behind, with the reason, so that a file that asks for it
//! is an error instead of being read with a default that is not meant.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use updraft_dagfile::python::{Capitals, Snapshot, Withheld};
use updraft_model::DagSpec;
use updraft_model::redact::{MASK, has_secret, is_sensitive, redact};
use updraft_planner::render::{Outside, Settings};
use updraft_store::Store;

use crate::Config;
use crate::settings::settings;

/// How often variables and connections are looked at: a change is seen by the files that read it within this time.
const EVERY: Duration = Duration::from_secs(2);

/// Options of Airflow's that hold what somebody logs in with, beside those whose names say so.
const SECRET_OPTIONS: &[&str] =
    &["sql_alchemy_conn", "sql_alchemy_conn_async", "broker_url", "result_backend", "fernet_key", "secret_key", "jwt_private_key_path"];

/// Keeps the answers up to date until shutdown. The first are there when this returns.
pub(crate) async fn follow(store: Store, config: Config, shutdown: CancellationToken) -> watch::Receiver<Arc<Snapshot>> {
    let (told, answers) = watch::channel(Arc::default());
    let look = async move |told: &watch::Sender<Arc<Snapshot>>| match settings(&store, &config).await {
        Ok(settings) => {
            let new = snapshot(&settings, config.secrets.conf());
            told.send_if_modified(|old| {
                let changed = **old != new;
                if changed {
                    *old = Arc::new(new);
                }
                changed
            });
            true
        }
        Err(error) => {
            error.patience("read variables and connections for DAG files").await;
            false
        }
    };
    // Without them files would be read with the wrong answers, and their DAGs change.
    tokio::select! {
        () = shutdown.cancelled() => return answers,
        () = async { while !look(&told).await {} } => {}
    }
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = told.closed() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            look(&told).await;
        }
    });
    answers
}

/// Settings of the environment, `AIRFLOW__SECTION__KEY`, that files may see, by `section.key`.
pub(crate) fn conf_of(environment: impl Iterator<Item = (OsString, OsString)>) -> BTreeMap<String, String> {
    let mut conf = BTreeMap::new();
    for (name, value) in environment {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
        let Some((section, key)) = name.strip_prefix("AIRFLOW__").and_then(|rest| rest.split_once("__")) else { continue };
        let (section, key) = (section.to_lowercase(), key.to_lowercase());
        let logs_in = value.split_once("://").is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|host| host.contains('@')));
        let secret =
            is_sensitive(&key) || SECRET_OPTIONS.contains(&key.as_str()) || key.ends_with("_cmd") || section == "secrets" || logs_in;
        if !secret && !key.is_empty() {
            conf.insert(format!("{section}.{key}"), value.to_owned());
        }
    }
    conf
}

/// What files may see of the settings. The folder comes before the environment, and that before the database.
pub(crate) fn snapshot(settings: &Settings, conf: BTreeMap<String, String>) -> Snapshot {
    let mut snapshot = Snapshot { conf, ..Snapshot::default() };
    let Settings { folder, environment, variables, connections } = settings;
    snapshot.withheld.all.clone_from(&folder.unreadable);
    let mut names = Names { variables: &mut snapshot.variables, connections: &mut snapshot.connections, withheld: &mut snapshot.withheld };
    for (key, value) in variables {
        if !environment.variables.contains_key(&key.to_uppercase()) {
            names.variable(key, Ok(value));
        }
    }
    for (id, value) in connections {
        if !environment.connections.contains_key(&id.to_uppercase()) {
            names.connection(id, Ok(value));
        }
    }
    names.outside(folder);
    let Capitals { variables, connections, withheld } = &mut snapshot.capitals;
    Names { variables, connections, withheld }.outside(environment);
    snapshot
}

/// What of it the process of a Python task is handed: what its DAG's code names. Of all else only the names, so that a task that asks for one
/// of them hears that it was not handed over, and takes no default for it.
pub(crate) fn for_task(mut snapshot: Snapshot, dag: &DagSpec) -> Value {
    let texts: Vec<&str> = dag.code.iter().flat_map(|code| code.files.values()).map(String::as_str).collect();
    let loud: Vec<String> =
        if snapshot.capitals == Capitals::default() { Vec::new() } else { texts.iter().map(|text| text.to_uppercase()).collect() };
    let named = |name: &str| {
        matches!(name, "fs_default" | "smtp_default")
            || texts.iter().any(|text| text.contains(name))
            || loud.iter().any(|text| text.contains(name))
    };
    let mut rest: [BTreeSet<String>; 2] = Default::default();
    fn keep<T>(values: &mut BTreeMap<String, T>, rest: &mut BTreeSet<String>, named: &dyn Fn(&str) -> bool) {
        values.retain(|name, _| {
            let named = named(name);
            if !named {
                rest.insert(name.clone());
            }
            named
        });
    }
    let [variables, connections] = &mut rest;
    let Capitals { variables: loud_variables, connections: loud_connections, withheld: loud_withheld } = &mut snapshot.capitals;
    for values in [&mut snapshot.variables, loud_variables] {
        keep(values, variables, &named);
    }
    for values in [&mut snapshot.connections, loud_connections] {
        keep(values, connections, &named);
    }
    for withheld in [&mut snapshot.withheld, loud_withheld] {
        keep(&mut withheld.variables, variables, &named);
        keep(&mut withheld.connections, connections, &named);
    }
    let mut answers = serde_json::to_value(&snapshot).unwrap_or_default();
    let [variables, connections] = rest;
    answers["existing"] = serde_json::json!({"variables": variables, "connections": connections});
    answers
}

struct Names<'a> {
    variables: &'a mut BTreeMap<String, String>,
    connections: &'a mut BTreeMap<String, Value>,
    withheld: &'a mut Withheld,
}

impl Names<'_> {
    fn outside(&mut self, outside: &Outside) {
        for (key, value) in &outside.variables {
            self.variable(key, value.as_ref().map_err(String::as_str));
        }
        for (id, value) in &outside.connections {
            self.connection(id, value.as_ref().map_err(String::as_str));
        }
    }

    fn variable(&mut self, key: &str, value: Result<&String, &str>) {
        let json = || value.ok().and_then(|text| serde_json::from_str::<Value>(text).ok());
        let why = match value {
            Err(why) => Some(why.to_owned()),
            Ok(_) if is_sensitive(key) => Some("it is secret by its name, and DAG files are read without secrets".to_owned()),
            Ok(_) if json().as_ref().is_some_and(has_secret) => {
                Some("it has a field that is secret by its name, and DAG files are read without secrets".to_owned())
            }
            Ok(_) => None,
        };
        self.variables.remove(key);
        self.withheld.variables.remove(key);
        match (value, why) {
            (Ok(value), None) => {
                self.variables.insert(key.to_owned(), value.clone());
            }
            (_, why) => {
                self.withheld.variables.insert(key.to_owned(), why.unwrap_or_default());
            }
        }
    }

    fn connection(&mut self, id: &str, value: Result<&Value, &str>) {
        self.connections.remove(id);
        self.withheld.connections.remove(id);
        match value {
            Ok(connection) => {
                self.connections.insert(id.to_owned(), without_secrets(connection));
            }
            Err(why) => {
                self.withheld.connections.insert(id.to_owned(), why.to_owned());
            }
        }
    }
}

/// A connection with `***` for its password and for what its extra has that is secret by its name.
fn without_secrets(connection: &Value) -> Value {
    let mut shown = connection.clone();
    let Some(fields) = shown.as_object_mut() else { return shown };
    for (name, value) in fields.iter_mut() {
        if name == "extra" {
            *value = match &*value {
                Value::String(text) => match serde_json::from_str::<Value>(text) {
                    Ok(json) => redact(json),
                    // What is no JSON has no names to tell by.
                    Err(_) => MASK.into(),
                },
                other => redact(other.clone()),
            };
        } else if is_sensitive(name) && !value.is_null() {
            *value = MASK.into();
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outside(variables: &[(&str, Result<&str, &str>)], connections: &[(&str, Value)]) -> Arc<Outside> {
        let own = |value: &Result<&str, &str>| value.map(str::to_owned).map_err(str::to_owned);
        Arc::new(Outside {
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), own(value))).collect(),
            connections: connections.iter().map(|(id, value)| ((*id).to_owned(), Ok(value.clone()))).collect(),
            unreadable: None,
        })
    }

    #[test]
    fn no_secret_gets_to_a_file() {
        let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let settings = Settings {
            folder: outside(&[("region", Ok("folder")), ("broken", Err("/x/broken is not UTF-8"))], &[]),
            environment: outside(
                &[("LOUD", Ok("l")), ("MY_TOKEN", Ok("canary"))],
                &[("WAREHOUSE", json!({"host": "env", "password": "***"}))],
            ),
            variables: pairs(&[
                ("region", "database"),
                ("broken", "database"),
                ("loud", "database"),
                ("plain", "p"),
                ("api_key", "canary"),
                ("mixed", r#"{"a": 1, "password": "canary"}"#),
            ]),
            connections: [
                (
                    "db".to_owned(),
                    json!({"conn_type": "x", "host": "h", "password": "canary", "extra": r#"{"a": 1, "deep": {"secret": "canary"}}"#}),
                ),
                ("odd".to_owned(), json!({"conn_type": "x", "extra": "canary"})),
                ("warehouse".to_owned(), json!({"conn_type": "x", "host": "database"})),
            ]
            .into(),
        };
        let found = snapshot(&settings, BTreeMap::new());
        assert_eq!(found.variables, pairs(&[("plain", "p"), ("region", "folder")]));
        let held: Vec<&str> = found.withheld.variables.keys().map(String::as_str).collect();
        assert_eq!(held, ["api_key", "broken", "mixed"]);
        assert_eq!(found.withheld.variables["broken"], "/x/broken is not UTF-8", "the database's does not stand in for it");
        assert_eq!(found.capitals.variables, pairs(&[("LOUD", "l")]));
        assert!(found.capitals.withheld.variables["MY_TOKEN"].contains("secret by its name"));
        assert_eq!(found.connections["db"]["extra"], json!({"a": 1, "deep": {"secret": "***"}}));
        assert_eq!((&found.connections["db"]["password"], &found.connections["odd"]["extra"]), (&json!("***"), &json!("***")));
        assert!(!found.connections.contains_key("warehouse"), "the environment has it");
        assert_eq!(found.capitals.connections["WAREHOUSE"]["host"], "env");
        assert!(!serde_json::to_string(&found).unwrap().contains("canary"));
    }

    #[test]
    fn configuration_is_that_of_the_environment_without_what_logs_in() {
        let pairs = [
            ("AIRFLOW__CORE__PARALLELISM", "64"),
            ("AIRFLOW__ACME__REGION", "eu"),
            ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "canary"),
            ("AIRFLOW__CELERY__BROKER_URL", "canary"),
            ("AIRFLOW__ACME__URL", "https://me:canary@host/x"),
            ("AIRFLOW__ACME__PAGE", "https://host/x@y"),
            ("AIRFLOW__WEBSERVER__SECRET_KEY", "canary"),
            ("AIRFLOW__CORE__FERNET_KEY_CMD", "canary"),
            ("AIRFLOW__SECRETS__BACKEND_KWARGS", "canary"),
            ("AIRFLOW_VAR_X", "x"),
            ("PATH", "/bin"),
        ];
        let conf = conf_of(pairs.into_iter().map(|(name, value)| (name.into(), value.into())));
        let shown: Vec<(&str, &str)> = conf.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(shown, [("acme.page", "https://host/x@y"), ("acme.region", "eu"), ("core.parallelism", "64")]);
    }
}
