//! Variables.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::http::{Client, Failure, part};
use super::output::{Column, Output, text};

/// The verbs about variables.
#[derive(Debug, Subcommand)]
pub(crate) enum Variables {
    /// Lists variables. Those whose name says that they are secret are masked.
    #[command(after_help = "Example:\n  updraft variables list")]
    List(List),
    /// Prints the value of a variable.
    #[command(after_help = "Example:\n  updraft variables get region")]
    Get(Get),
    /// Makes a variable, or changes it.
    #[command(after_help = "Examples:\n  updraft variables set region eu\n  updraft variables set api_token - < token.txt")]
    Set(Set),
    /// Deletes variables.
    #[command(after_help = "Example:\n  updraft variables delete region")]
    Delete(Delete),
    /// Makes or changes the variables of a JSON file, an object of keys and values, as Airflow exports them.
    #[command(after_help = "Example:\n  updraft variables import variables.json")]
    Import(Import),
    /// Writes variables to a JSON file that `import` reads. What is secret by its name comes out masked.
    #[command(after_help = "Example:\n  updraft variables export variables.json")]
    Export(Export),
}

/// Options of `variables list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    output: Output,
}

/// Options of `variables get`.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The key.
    key: String,
    /// Printed when there is no such variable.
    #[arg(short, long, value_name = "VALUE")]
    default: Option<String>,
}

/// Options of `variables set`.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The key.
    key: String,
    /// The value; - reads it from standard input, which nobody else can see.
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// For people.
    #[arg(long)]
    description: Option<String>,
}

/// Options of `variables delete`.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The keys.
    #[arg(required = true)]
    keys: Vec<String>,
}

/// Options of `variables import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file; - is standard input.
    file: String,
    /// What to do with variables that are there.
    #[arg(short, long, default_value = "overwrite", value_parser = ["overwrite", "fail", "skip"])]
    action_on_existing_key: String,
}

/// Options of `variables export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The file; - is standard output.
    file: String,
}

const COLUMNS: &[Column] = &[("key", |v| text(&v["key"])), ("value", |v| text(&v["value"])), ("description", |v| text(&v["description"]))];

fn path_of(key: &str) -> String {
    format!("/api/v2/variables/{}", part(key))
}

pub(crate) async fn run(client: &Client, command: &Variables) -> Result<ExitCode, Failure> {
    match command {
        Variables::List(options) => {
            let rows = client.all("/api/v2/variables", "variables", None).await?;
            return Ok(options.output.rows(&rows, COLUMNS));
        }
        Variables::Get(options) => {
            let value = match (client.get(&path_of(&options.key)).await, &options.default) {
                (Err(failure), Some(default)) if failure.code == 3 => default.clone(),
                (found, _) => text(&found?["value"]),
            };
            return Ok(crate::print(&format!("{value}\n")));
        }
        Variables::Set(options) => set(client, options).await?,
        Variables::Delete(options) => {
            for key in &options.keys {
                client.delete(&path_of(key)).await?;
            }
        }
        Variables::Import(options) => import(client, options).await?,
        Variables::Export(options) => {
            let rows = client.all("/api/v2/variables", "variables", None).await?;
            let all: Map<String, Value> =
                rows.iter().filter_map(|row| Some((row["key"].as_str()?.to_owned(), row["value"].clone()))).collect();
            super::write(&options.file, &format!("{:#}\n", Value::Object(all)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn set(client: &Client, options: &Set) -> Result<(), Failure> {
    let value = if options.value == "-" { super::read("-")?.trim_end_matches('\n').to_owned() } else { options.value.clone() };
    let mut body = json!({"key": options.key, "value": value});
    if let Some(description) = &options.description {
        body["description"] = json!(description);
    }
    match client.patch(&path_of(&options.key), &body).await {
        Err(failure) if failure.code == 3 => client.post("/api/v2/variables", &body).await?,
        other => other?,
    };
    Ok(())
}

async fn import(client: &Client, options: &Import) -> Result<(), Failure> {
    let entities: Vec<Value> = super::read_object(&options.file)?
        .into_iter()
        .map(|(key, value)| match value {
            // As Airflow writes them when they have a description.
            Value::Object(mut whole) if whole.contains_key("value") => {
                json!({"key": key, "value": whole.remove("value"), "description": whole.remove("description")})
            }
            value => json!({"key": key, "value": value}),
        })
        .collect();
    super::bulk_create(client, "/api/v2/variables", entities, &options.action_on_existing_key).await
}
