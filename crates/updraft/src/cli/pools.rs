//! Pools.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::http::{Client, Failure, part};
use super::output::{Column, Output, text};

/// The verbs about pools.
#[derive(Debug, Subcommand)]
pub(crate) enum Pools {
    /// Lists pools and what is in them.
    #[command(after_help = "Example:\n  updraft pools list")]
    List(List),
    /// Shows a pool.
    #[command(after_help = "Example:\n  updraft pools get default_pool")]
    Get(Get),
    /// Makes a pool, or changes it.
    #[command(after_help = "Examples:\n  updraft pools set warehouse 4 'at most four loads at once'\n  updraft pools set unlimited -- -1")]
    Set(Set),
    /// Deletes pools. Tasks that name one that is gone wait until there is one of that name.
    #[command(after_help = "Example:\n  updraft pools delete warehouse")]
    Delete(Delete),
    /// Makes or changes the pools of a JSON file, an object of names and pools, as Airflow exports them.
    #[command(after_help = "Example:\n  updraft pools import pools.json")]
    Import(File),
    /// Writes pools to a JSON file that `import` reads, here and in Airflow.
    #[command(after_help = "Example:\n  updraft pools export pools.json")]
    Export(File),
}

/// Options of `pools delete`.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The pools.
    #[arg(required = true, value_name = "NAME")]
    name: Vec<String>,
}

/// Options of `pools import` and `pools export`.
#[derive(Debug, Args)]
pub(crate) struct File {
    /// The file; - is standard input or output.
    file: String,
}

/// Options of `pools list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    output: Output,
}

/// Options of `pools get`.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The pool.
    name: String,
    #[command(flatten)]
    output: Output,
}

/// Options of `pools set`.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The pool.
    name: String,
    /// How many slots; -1: without limit.
    #[arg(allow_negative_numbers = true)]
    slots: i32,
    /// For people.
    description: Option<String>,
    #[command(flatten)]
    output: Output,
}

const COLUMNS: &[Column] = &[
    ("name", |p| text(&p["name"])),
    ("slots", |p| text(&p["slots"])),
    ("running", |p| text(&p["running_slots"])),
    ("queued", |p| text(&p["queued_slots"])),
    ("waiting", |p| text(&p["scheduled_slots"])),
    ("open", |p| text(&p["open_slots"])),
    ("description", |p| text(&p["description"])),
];

pub(crate) async fn list(client: &Client, options: &List) -> Result<ExitCode, Failure> {
    let rows = client.all("/api/v2/pools", "pools", None).await?;
    Ok(options.output.rows(&rows, COLUMNS))
}

pub(crate) async fn get(client: &Client, options: &Get) -> Result<ExitCode, Failure> {
    let pool = client.get(&format!("/api/v2/pools/{}", part(&options.name))).await?;
    Ok(options.output.rows(&[pool], COLUMNS))
}

pub(crate) async fn set(client: &Client, options: &Set) -> Result<ExitCode, Failure> {
    let path = format!("/api/v2/pools/{}", part(&options.name));
    let mut body = json!({"slots": options.slots});
    if let Some(description) = &options.description {
        body["description"] = json!(description);
    }
    let pool = match client.patch(&path, &body).await {
        Err(failure) if failure.code == 3 => {
            body["name"] = json!(options.name);
            client.post("/api/v2/pools", &body).await?
        }
        other => other?,
    };
    Ok(options.output.rows(&[pool], COLUMNS))
}

pub(crate) async fn delete(client: &Client, options: &Delete) -> Result<ExitCode, Failure> {
    for name in &options.name {
        client.delete(&format!("/api/v2/pools/{}", part(name))).await?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn import(client: &Client, options: &File) -> Result<ExitCode, Failure> {
    let mut entities = Vec::new();
    for (name, pool) in super::read_object(&options.file)? {
        let Value::Object(mut fields) = pool else {
            return Err(Failure::usage(format!("pool {name} is not an object with slots and description")));
        };
        fields.retain(|_, value| !value.is_null());
        fields.insert("name".to_owned(), json!(name));
        entities.push(Value::Object(fields));
    }
    super::bulk_create(client, "/api/v2/pools", entities, "overwrite").await?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn export(client: &Client, options: &File) -> Result<ExitCode, Failure> {
    let rows = client.all("/api/v2/pools", "pools", None).await?;
    let all: Map<String, Value> = rows
        .iter()
        .filter_map(|pool| {
            let fields = json!({"slots": pool["slots"], "description": pool["description"], "include_deferred": pool["include_deferred"]});
            Some((pool["name"].as_str()?.to_owned(), fields))
        })
        .collect();
    super::write(&options.file, &format!("{:#}\n", Value::Object(all)))?;
    Ok(ExitCode::SUCCESS)
}
