//! Connections.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::http::{Client, Failure, part};
use super::output::{Column, Output, text};

/// The verbs about connections.
#[derive(Debug, Subcommand)]
pub(crate) enum Connections {
    /// Lists connections. Passwords are never shown.
    #[command(after_help = "Example:\n  updraft connections list")]
    List(List),
    /// Shows a connection. Its password is never shown.
    #[command(after_help = "Example:\n  updraft connections get warehouse")]
    Get(Get),
    /// Makes a connection.
    #[command(
        after_help = "Examples:\n  updraft connections add warehouse --conn-type postgres --conn-host db --conn-login etl --conn-password - < password\n  \
        updraft connections add warehouse --conn-json - < connection.json"
    )]
    Add(Add),
    /// Deletes connections.
    #[command(after_help = "Example:\n  updraft connections delete warehouse")]
    Delete(Delete),
    /// Makes or changes the connections of a JSON file, an object of ids and connections, as Airflow exports them.
    #[command(after_help = "Example:\n  updraft connections import connections.json")]
    Import(Import),
    /// Writes connections to a JSON file that `import` reads. Passwords and secret extras come out masked: they have to be filled in.
    #[command(after_help = "Example:\n  updraft connections export connections.json")]
    Export(Export),
}

/// Options of `connections export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The file; - is standard output.
    file: String,
}

/// Options of `connections list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    output: Output,
}

/// Options of `connections get`.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The id.
    id: String,
    #[command(flatten)]
    output: Output,
}

/// Options of `connections add`.
#[derive(Args)]
pub(crate) struct Add {
    /// The id.
    id: String,
    /// The type: postgres, aws, http …
    #[arg(long, required_unless_present = "conn_json")]
    conn_type: Option<String>,
    /// Where.
    #[arg(long)]
    conn_host: Option<String>,
    /// Where, too.
    #[arg(long)]
    conn_port: Option<u16>,
    /// Who.
    #[arg(long)]
    conn_login: Option<String>,
    /// The password; - reads it from standard input, which nobody else can see.
    #[arg(long, allow_hyphen_values = true)]
    conn_password: Option<String>,
    /// The database, or what the type calls a schema.
    #[arg(long)]
    conn_schema: Option<String>,
    /// A JSON object of whatever else the type knows.
    #[arg(long)]
    conn_extra: Option<String>,
    /// For people.
    #[arg(long)]
    conn_description: Option<String>,
    /// All of it as a JSON object with `conn_type`, `host`, `login`, `password`, `schema`, `port`, `extra`; - is standard input.
    #[arg(long, conflicts_with_all = ["conn_type", "conn_host", "conn_port", "conn_login", "conn_password", "conn_schema", "conn_extra"])]
    conn_json: Option<String>,
}

// By hand: there are secrets in it.
impl std::fmt::Debug for Add {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Add").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Options of `connections delete`.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The ids.
    #[arg(required = true)]
    ids: Vec<String>,
}

/// Options of `connections import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file; - is standard input.
    file: String,
    /// Write over connections that are there. Without it, one that is there ends the import before it begins.
    #[arg(long)]
    overwrite: bool,
}

const COLUMNS: &[Column] = &[
    ("connection_id", |c| text(&c["connection_id"])),
    ("conn_type", |c| text(&c["conn_type"])),
    ("host", |c| text(&c["host"])),
    ("port", |c| text(&c["port"])),
    ("login", |c| text(&c["login"])),
    ("schema", |c| text(&c["schema"])),
    ("description", |c| text(&c["description"])),
];

fn path_of(id: &str) -> String {
    format!("/api/v2/connections/{}", part(id))
}

pub(crate) async fn run(client: &Client, command: &Connections) -> Result<ExitCode, Failure> {
    match command {
        Connections::List(options) => {
            let rows = client.all("/api/v2/connections", "connections", None).await?;
            return Ok(options.output.rows(&rows, COLUMNS));
        }
        Connections::Get(options) => return Ok(options.output.rows(&[client.get(&path_of(&options.id)).await?], COLUMNS)),
        Connections::Add(options) => {
            client.post("/api/v2/connections", &options.body()?).await?;
        }
        Connections::Delete(options) => {
            for id in &options.ids {
                client.delete(&path_of(id)).await?;
            }
        }
        Connections::Export(options) => {
            let rows = client.all("/api/v2/connections", "connections", None).await?;
            let all: serde_json::Map<String, Value> = rows
                .into_iter()
                .filter_map(|row| {
                    let Value::Object(mut fields) = row else { return None };
                    let id = fields.remove("connection_id")?.as_str()?.to_owned();
                    fields.retain(|key, value| !value.is_null() && key != "team_name");
                    Some((id, Value::Object(fields)))
                })
                .collect();
            super::write(&options.file, &format!("{:#}\n", Value::Object(all)))?;
        }
        Connections::Import(options) => {
            let mut entities = Vec::new();
            for (id, connection) in super::read_object(&options.file)? {
                entities.push(body_of(&id, connection)?);
            }
            let existing = if options.overwrite { "overwrite" } else { "fail" };
            super::bulk_create(client, "/api/v2/connections", entities, existing).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Add {
    fn body(&self) -> Result<Value, Failure> {
        if let Some(whole) = &self.conn_json {
            let text = if whole == "-" { super::read("-")? } else { whole.clone() };
            let whole = serde_json::from_str(&text).map_err(|error| Failure::usage(format!("--conn-json is not JSON: {error}")))?;
            return body_of(&self.id, whole);
        }
        let password = match self.conn_password.as_deref() {
            Some("-") => Some(super::read("-")?.trim_end_matches('\n').to_owned()),
            other => other.map(str::to_owned),
        };
        Ok(json!({
            "connection_id": self.id, "conn_type": self.conn_type, "host": self.conn_host, "port": self.conn_port, "login": self.conn_login,
            "password": password, "schema": self.conn_schema, "extra": self.conn_extra, "description": self.conn_description,
        }))
    }
}

/// A connection as Airflow's files have it: `extra` may be an object there, and all of it a URI.
fn body_of(id: &str, connection: Value) -> Result<Value, Failure> {
    let mut fields = match connection {
        Value::Object(fields) => fields,
        Value::String(text) => updraft_model::connection::parse(&text).map_err(|why| Failure::usage(format!("connection {id}: {why}")))?,
        _ => return Err(Failure::usage(format!("connection {id} is neither an object with conn_type, host, login … nor a URI"))),
    };
    fields.retain(|_, value| !value.is_null());
    if let Some(extra) = fields.get_mut("extra").filter(|extra| extra.is_object()) {
        *extra = json!(extra.to_string());
    }
    fields.insert("connection_id".to_owned(), json!(id));
    Ok(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_have_uris() {
        let body = body_of("warehouse", json!("postgresql://etl:p%40ss@db:5432/dwh?sslmode=require")).ok().unwrap();
        let expect = json!({"connection_id": "warehouse", "conn_type": "postgres", "host": "db", "port": 5432, "login": "etl", "password": "p@ss",
            "schema": "dwh", "extra": "{\"sslmode\":\"require\"}"});
        assert_eq!(body, expect);
        for wrong in [json!(7), json!("nowhere")] {
            assert!(body_of("warehouse", wrong).is_err());
        }
    }
}
