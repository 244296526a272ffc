//! Users, roles and personal tokens.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::http::{Client, Failure, part};
use super::login::ask;
use super::output::{Column, Output, text, when};

/// The verbs about users.
#[derive(Debug, Subcommand)]
pub(crate) enum Users {
    /// Lists users with their roles.
    #[command(after_help = "Example:\n  updraft users list")]
    List(List),
    /// Shows a user.
    #[command(after_help = "Example:\n  updraft users get eve")]
    Get(Get),
    /// Makes a user. The password is asked for, or the first line of standard input.
    #[command(
        after_help = "Examples:\n  updraft users create eve --role op --email eve@example.com\n  updraft users create bob --role viewer --role op=tag:team-a --random-password"
    )]
    Create(Create),
    /// Gives a user another password, which is asked for. What they are logged in with ends.
    #[command(after_help = "Example:\n  updraft users reset-password eve")]
    ResetPassword(Password),
    /// Shuts a user out, at once and until `users enable`: password, sessions and tokens.
    #[command(after_help = "Example:\n  updraft users disable eve")]
    Disable(Get),
    /// Lets a user in again.
    #[command(after_help = "Example:\n  updraft users enable eve")]
    Enable(Get),
    /// Gives a user one more role.
    #[command(after_help = "Example:\n  updraft users add-role eve op --scope 'dag:etl_*'")]
    AddRole(Role),
    /// Takes a role away from a user.
    #[command(after_help = "Example:\n  updraft users remove-role eve op --scope 'dag:etl_*'")]
    RemoveRole(Role),
    /// Deletes users with their tokens. What the audit log says of them stays.
    #[command(after_help = "Example:\n  updraft users delete eve")]
    Delete(Delete),
}

/// The verbs about roles.
#[derive(Debug, Subcommand)]
pub(crate) enum Roles {
    /// Lists roles with what they permit.
    #[command(after_help = "Example:\n  updraft roles list")]
    List(List),
    /// Makes a role.
    #[command(after_help = "Example:\n  updraft roles create triggerer dags.read runs.read runs.create")]
    Create(RoleWrite),
    /// Gives a role other permissions.
    #[command(after_help = "Example:\n  updraft roles set triggerer dags.read runs.read runs.create logs.read")]
    Set(RoleWrite),
    /// Deletes roles, also from the users who have them.
    #[command(after_help = "Example:\n  updraft roles delete triggerer")]
    Delete(Delete),
}

/// The verbs about personal tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// Lists your tokens; who administrates users sees those of others, too.
    #[command(after_help = "Examples:\n  updraft tokens list\n  updraft tokens list --user '~'")]
    List(TokenList),
    /// Makes a token for a program and prints it: nobody sees it again.
    #[command(after_help = "Example:\n  updraft tokens create ci --days 30 --permission runs.create --permission runs.read")]
    Create(TokenCreate),
    /// Voids a token at once.
    #[command(after_help = "Example:\n  updraft tokens revoke 0190a1b2-0000-7000-8000-000000000000")]
    Revoke(TokenRevoke),
}

/// Options of `users list` and `roles list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    output: Output,
}

/// A user.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The user.
    name: String,
    #[command(flatten)]
    output: Output,
}

/// Options of `users create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The name to log in with.
    name: String,
    /// A role, over everything, or ROLE=SCOPE over some DAGs: dag:GLOB, tag:NAME, owner:NAME or bundle:NAME. Several times for several.
    #[arg(long = "role", value_name = "ROLE[=SCOPE]")]
    roles: Vec<String>,
    /// Where mail reaches them.
    #[arg(long)]
    email: Option<String>,
    /// As people call them.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Makes a password and prints it, instead of asking for one.
    #[arg(long)]
    random_password: bool,
    #[command(flatten)]
    output: Output,
}

/// Options of `users reset-password`.
#[derive(Debug, Args)]
pub(crate) struct Password {
    /// The user.
    name: String,
    /// Makes a password and prints it, instead of asking for one.
    #[arg(long)]
    random_password: bool,
}

/// Options of `users add-role` and `users remove-role`.
#[derive(Debug, Args)]
pub(crate) struct Role {
    /// The user.
    name: String,
    /// The role.
    role: String,
    /// Over what: *, dag:GLOB, tag:NAME, owner:NAME or bundle:NAME. Default: everything, and for remove-role whatever it is over.
    #[arg(long)]
    scope: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// Which to delete.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Which.
    #[arg(required = true, value_name = "NAME")]
    name: Vec<String>,
}

/// Options of `roles create` and `roles set`.
#[derive(Debug, Args)]
pub(crate) struct RoleWrite {
    /// The role.
    name: String,
    /// What it permits: thing.verb, as `roles list -o json` has them.
    #[arg(required = true, value_name = "PERMISSION")]
    permissions: Vec<String>,
    #[command(flatten)]
    output: Output,
}

/// Options of `tokens list`.
#[derive(Debug, Args)]
pub(crate) struct TokenList {
    /// Another user's; ~ is everybody's.
    #[arg(long)]
    user: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// Options of `tokens create`.
#[derive(Debug, Args)]
pub(crate) struct TokenCreate {
    /// What it is for.
    name: String,
    /// How many days it is good.
    #[arg(long, default_value_t = 90)]
    days: u16,
    /// Only this of what you may do. Several times for several; without any it may do all that you may.
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<String>,
    #[command(flatten)]
    output: Output,
}

/// Options of `tokens revoke`.
#[derive(Debug, Args)]
pub(crate) struct TokenRevoke {
    /// The token's id, as `tokens list` has it.
    id: String,
}

fn roles_of(user: &Value) -> String {
    let roles = user["roles"].as_array().cloned().unwrap_or_default();
    let one = |role: &Value| match role["scope"].as_str() {
        Some("*") | None => text(&role["role"]),
        Some(scope) => format!("{}={scope}", text(&role["role"])),
    };
    roles.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn words(list: &Value) -> String {
    let list = list.as_array().cloned().unwrap_or_default();
    list.iter().map(text).collect::<Vec<_>>().join(" ")
}

const USER: &[Column] = &[
    ("name", |u| text(&u["name"])),
    ("display_name", |u| text(&u["display_name"])),
    ("email", |u| text(&u["email"])),
    ("active", |u| text(&u["active"])),
    ("roles", roles_of),
    ("last_login", |u| when(&u["last_login_at"])),
];
const ROLE: &[Column] =
    &[("name", |r| text(&r["name"])), ("built_in", |r| text(&r["built_in"])), ("permissions", |r| words(&r["permissions"]))];
const TOKEN: &[Column] = &[
    ("id", |t| text(&t["id"])),
    ("user", |t| text(&t["user"])),
    ("name", |t| text(&t["name"])),
    ("permissions", |t| if t["permissions"].is_null() { "all".to_owned() } else { words(&t["permissions"]) }),
    ("expires", |t| when(&t["expires_at"])),
    ("last_used", |t| when(&t["last_used_at"])),
];

/// A password to set: asked for, or made. Made ones are to be printed.
fn password(name: &str, random: bool) -> Result<(String, bool), Failure> {
    if random {
        // 24 of 62 signs: 142 bits.
        const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut made = String::new();
        while made.len() < 24 {
            // Bytes 6 and 8 say what kind of UUID it is. Even chances: what does not divide is thrown away.
            for (_, byte) in uuid::Uuid::new_v4().into_bytes().into_iter().enumerate().filter(|(at, _)| ![6, 8].contains(at)) {
                if let Some(sign) = SIGNS.get(usize::from(byte & 63)) {
                    made.push(char::from(*sign));
                }
            }
        }
        made.truncate(24);
        return Ok((made, true));
    }
    Ok((ask(&format!("New password of {name}: "))?, false))
}

fn path(name: &str) -> String {
    format!("/ui/users/{}", part(name))
}

fn role_path(options: &Role) -> String {
    let scope = options.scope.as_ref().map(|scope| format!("?scope={}", part(scope))).unwrap_or_default();
    format!("{}/roles/{}{scope}", path(&options.name), part(&options.role))
}

pub(crate) async fn users(client: &Client, command: &Users) -> Result<ExitCode, Failure> {
    match command {
        Users::List(options) => Ok(options.output.rows(&client.all("/ui/users", "users", None).await?, USER)),
        Users::Get(options) => Ok(options.output.rows(&[client.get(&path(&options.name)).await?], USER)),
        Users::Create(options) => {
            let roles: Vec<Value> = options
                .roles
                .iter()
                .map(|role| match role.split_once('=') {
                    Some((role, scope)) => json!({"role": role, "scope": scope}),
                    None => json!(role),
                })
                .collect();
            let (password, made) = password(&options.name, options.random_password)?;
            let mut body = json!({"name": options.name, "roles": roles, "password": password});
            for (key, value) in [("email", &options.email), ("display_name", &options.display_name)] {
                if let Some(value) = value {
                    body[key] = json!(value);
                }
            }
            let mut user = client.post("/ui/users", &body).await?;
            if made {
                crate::say(&format!("password: {password}"));
                user["password"] = json!(password);
            }
            Ok(options.output.rows(&[user], USER))
        }
        Users::ResetPassword(options) => {
            let (password, made) = password(&options.name, options.random_password)?;
            client.patch(&path(&options.name), &json!({"password": password})).await?;
            if made {
                return Ok(crate::print(&format!("{password}\n")));
            }
            Ok(ExitCode::SUCCESS)
        }
        Users::Disable(options) => Ok(options.output.rows(&[client.patch(&path(&options.name), &json!({"active": false})).await?], USER)),
        Users::Enable(options) => Ok(options.output.rows(&[client.patch(&path(&options.name), &json!({"active": true})).await?], USER)),
        Users::AddRole(options) => Ok(options.output.rows(&[client.put(&role_path(options), &Value::Null).await?], USER)),
        Users::RemoveRole(options) => Ok(options.output.rows(&[client.delete(&role_path(options)).await?], USER)),
        Users::Delete(options) => {
            for name in &options.name {
                client.delete(&path(name)).await?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

pub(crate) async fn roles(client: &Client, command: &Roles) -> Result<ExitCode, Failure> {
    match command {
        Roles::List(options) => Ok(options.output.rows(&client.all("/ui/roles", "roles", None).await?, ROLE)),
        Roles::Create(options) => {
            let body = json!({"name": options.name, "permissions": options.permissions});
            Ok(options.output.rows(&[client.post("/ui/roles", &body).await?], ROLE))
        }
        Roles::Set(options) => {
            let body = json!({"permissions": options.permissions});
            Ok(options.output.rows(&[client.patch(&format!("/ui/roles/{}", part(&options.name)), &body).await?], ROLE))
        }
        Roles::Delete(options) => {
            for name in &options.name {
                client.delete(&format!("/ui/roles/{}", part(name))).await?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

pub(crate) async fn tokens(client: &Client, command: &Tokens) -> Result<ExitCode, Failure> {
    match command {
        Tokens::List(options) => {
            let user = options.user.as_ref().map(|user| format!("?user={}", part(user))).unwrap_or_default();
            let mut answer = client.get(&format!("/ui/tokens{user}")).await?;
            let rows = answer["tokens"].take();
            Ok(options.output.rows(rows.as_array().map_or(&[], Vec::as_slice), TOKEN))
        }
        Tokens::Create(options) => {
            let mut body: Map<String, Value> = Map::new();
            body.insert("name".to_owned(), json!(options.name));
            body.insert("days".to_owned(), json!(options.days));
            if !options.permissions.is_empty() {
                body.insert("permissions".to_owned(), json!(options.permissions));
            }
            let made = client.post("/ui/tokens", &Value::Object(body)).await?;
            if options.output.output.is_data() {
                return Ok(options.output.rows(&[made], TOKEN));
            }
            // Alone on a line, so that it can be piped where it is kept.
            let printed = crate::print(&format!("{}\n", text(&made["token"])));
            crate::say(&format!(
                "this is {}'s token {:?}, good until {}; it is not shown again",
                text(&made["user"]),
                options.name,
                when(&made["expires_at"])
            ));
            Ok(printed)
        }
        Tokens::Revoke(options) => {
            client.delete(&format!("/ui/tokens/{}", part(&options.id))).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
