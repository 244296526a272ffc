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
use updraft_api::{Access, Account, Oidc, RoleMap, TrustedProxies};

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
    oidc: OidcOptions,
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

/// A login by OpenID Connect.
#[derive(Args)]
struct OidcOptions {
    /// The issuer: its configuration is at ISSUER/.well-known/openid-configuration. docs/access.md has an example.
    #[arg(long, env = "UPDRAFT_OIDC_ISSUER", value_name = "URL", requires_all = ["oidc_client_id", "external_url", "oidc_roles"])]
    oidc_issuer: Option<String>,
    /// Who this API is to the issuer.
    #[arg(long, env = "UPDRAFT_OIDC_CLIENT_ID", value_name = "ID")]
    oidc_client_id: Option<String>,
    /// What proves it. Better given as UPDRAFT_OIDC_CLIENT_SECRET_FILE. None for a public client.
    #[arg(long, env = "UPDRAFT_OIDC_CLIENT_SECRET", hide_env_values = true, value_name = "SECRET")]
    oidc_client_secret: Option<String>,
    /// Under which address browsers reach this API: the issuer sends them back to URL/auth/oidc/callback.
    #[arg(long, env = "UPDRAFT_EXTERNAL_URL", value_name = "URL")]
    external_url: Option<String>,
    /// Which group has which role: GROUP => ROLE or GROUP => ROLE=SCOPE, by commas or lines; the group * is everybody. Set anew at each login.
    #[arg(long, env = "UPDRAFT_OIDC_ROLES", value_name = "MAP")]
    oidc_roles: Option<String>,
    /// What is asked of the issuer, by spaces.
    #[arg(long, env = "UPDRAFT_OIDC_SCOPES", value_name = "SCOPES", default_value = "openid profile email groups")]
    oidc_scopes: String,
    /// The claim that names the user.
    #[arg(long, env = "UPDRAFT_OIDC_NAME_CLAIM", value_name = "CLAIM", default_value = "preferred_username")]
    oidc_name_claim: String,
    /// The claim with the user's groups.
    #[arg(long, env = "UPDRAFT_OIDC_GROUPS_CLAIM", value_name = "CLAIM", default_value = "groups")]
    oidc_groups_claim: String,
}

impl OidcOptions {
    fn read(&self) -> Result<Option<Oidc>, String> {
        let (Some(issuer), Some(client_id), Some(external_url), Some(roles)) =
            (&self.oidc_issuer, &self.oidc_client_id, &self.external_url, &self.oidc_roles)
        else {
            return Ok(None);
        };
        let local = |url: &str| url.starts_with("http://127.0.0.1") || url.starts_with("http://localhost");
        for (flag, url) in [("--oidc-issuer", issuer), ("--external-url", external_url)] {
            if !url.starts_with("https://") && !local(url) {
                return Err(format!("{flag} {url}: it must begin with https://, or everybody on the way logs in as anybody"));
            }
        }
        Ok(Some(Oidc {
            issuer: issuer.clone(),
            client_id: client_id.clone(),
            client_secret: self.oidc_client_secret.clone(),
            external_url: external_url.clone(),
            scopes: self.oidc_scopes.clone(),
            name_claim: self.oidc_name_claim.clone(),
            groups_claim: self.oidc_groups_claim.clone(),
            roles: RoleMap::parse(roles).map_err(|why| format!("--oidc-roles: {why}"))?,
        }))
    }
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
        let oidc = self.oidc.read()?;
        if oidc.is_some() && account.is_none() {
            return Err(
                "--oidc-issuer: without a password of the deployment (UPDRAFT_API_PASSWORD_FILE) nobody is asked who they are".to_owned()
            );
        }
        Ok(Access { account, webhook_secret: self.git_webhook_secret.clone(), keyring, proxies, oidc })
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
