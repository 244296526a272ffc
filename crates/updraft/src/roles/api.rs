//! `updraft api`: the REST API and the page.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use chrono::Utc;
use clap::Args;
use tokio::net::TcpListener;
use tracing::info;
use updraft_api::health::Health;
use updraft_api::{Access, Account, TrustedProxies};

use crate::cli::Global;
use crate::settings::{Database, Logging, Meaning, Probes, SecretKeys, Wire, health, say_mistakes};
use crate::{USAGE, port, roles, say};

/// How an API is run.
#[derive(Args)]
#[command(after_help = "Example:\n  updraft api --database-url postgres://updraft@db/updraft --broker-url amqp://updraft@mq/updraft")]
pub(crate) struct Options {
    /// Address that the page and the API listen on. Any but a loopback address needs a password (UPDRAFT_API_PASSWORD_FILE).
    #[arg(long, env = "UPDRAFT_LISTEN", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "IP")]
    listen: IpAddr,
    /// Port of the page and the API.
    #[arg(long, env = "UPDRAFT_PORT", default_value_t = 8080)]
    port: u16,
    /// Addresses and networks of the proxies in front of this API, by commas: their X-Forwarded-For says who the client is, for the audit log and
    /// for the limit on wrong passwords.
    #[arg(long, env = "UPDRAFT_TRUSTED_PROXIES", value_name = "NETWORKS", default_value = "")]
    trusted_proxies: String,
    /// What a git server signs its webhooks with: POST /git/webhook makes all schedulers fetch at once. Without it they are refused.
    #[arg(long, env = "UPDRAFT_GIT_WEBHOOK_SECRET", hide_env_values = true)]
    git_webhook_secret: Option<String>,
    #[command(flatten)]
    secret_keys: SecretKeys,
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    wire: Wire,
    #[command(flatten)]
    meaning: Meaning,
    #[command(flatten)]
    probes: Probes,
    #[command(flatten)]
    logging: Logging,
}

// By hand: there is a secret in it.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("listen", &self.listen).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Options {
    /// Who may ask, or what stands against it.
    fn access(&self, global: &Global) -> Result<Access, String> {
        let account = match &global.api_password {
            Some(password) => {
                Some(Account::new(&global.api_user, password).map_err(|why| format!("--api-user and --api-password: {why}"))?)
            }
            None if self.listen.is_loopback() => None,
            None => {
                return Err(format!(
                    "--listen {}: everybody who reaches it could do everything; set a password by UPDRAFT_API_PASSWORD_FILE, or listen on 127.0.0.1",
                    self.listen
                ));
            }
        };
        if self.git_webhook_secret.as_ref().is_some_and(|secret| secret.len() < Account::SHORTEST) {
            return Err(format!("--git-webhook-secret: at least {} characters", Account::SHORTEST));
        }
        let keyring = self.secret_keys.read()?.map(Arc::new);
        let proxies = TrustedProxies::parse(&self.trusted_proxies).map_err(|why| format!("--trusted-proxies: {why}"))?;
        Ok(Access { account, webhook_secret: self.git_webhook_secret.clone(), keyring, proxies })
    }
}

pub(crate) async fn run(options: Options, global: &Global) -> ExitCode {
    let mut mistakes = options.wire.mistakes();
    mistakes.extend(options.database.mistakes());
    let access = options.access(global);
    mistakes.extend(access.as_ref().err().cloned());
    mistakes.extend(options.logging.begin().err());
    if say_mistakes(&mistakes) {
        return ExitCode::from(USAGE);
    }
    match serve(options, access.unwrap_or_default()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options, access: Access) -> anyhow::Result<()> {
    let shutdown = roles::until_told()?;
    let address = SocketAddr::new(options.listen, options.port);
    let listener = TcpListener::bind(address).await.map_err(|error| anyhow::anyhow!("{}", port::taken(options.port, &error)))?;
    let store = options.database.open("updraft api", 8, false)?;
    let broker = options.wire.connect("api")?;
    let health = Health { whole: true, ..health("api", Some(&store), Some(&broker), None) };
    options.probes.serve(health, &shutdown).await?;
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        () = options.database.ready(&store) => {}
    }
    let state = updraft_api::ApiState::new(
        store.clone(),
        broker.clone(),
        options.meaning.airflow_semantics,
        options.meaning.defaults(),
        env!("CARGO_PKG_VERSION"),
        Utc::now(),
        access,
    );
    info!("the API answers on http://{address}");
    updraft_api::serve(listener, state, shutdown).await.context("the API stopped")?;
    broker.close().await;
    store.close().await;
    Ok(())
}
