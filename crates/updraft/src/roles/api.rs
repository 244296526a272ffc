//! `updraft api`: the REST API and the page.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use anyhow::Context as _;
use chrono::Utc;
use clap::Args;
use tokio::net::TcpListener;
use tracing::info;

use crate::settings::{Database, Logging, Meaning, Wire, say_mistakes};
use crate::{USAGE, port, roles, say};

/// How an API is run.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  updraft api --database-url postgres://updraft@db/updraft --broker-url amqp://updraft@mq/updraft")]
pub(crate) struct Options {
    /// Port of the page and the API, on 127.0.0.1 only: it has no passwords yet.
    #[arg(long, env = "UPDRAFT_PORT", default_value_t = 8080)]
    port: u16,
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    wire: Wire,
    #[command(flatten)]
    meaning: Meaning,
    #[command(flatten)]
    logging: Logging,
}

pub(crate) async fn run(options: Options) -> ExitCode {
    let mut mistakes = options.wire.mistakes();
    mistakes.extend(options.logging.begin().err());
    if say_mistakes(&mistakes) {
        return ExitCode::from(USAGE);
    }
    match serve(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let shutdown = roles::until_told()?;
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), options.port);
    let listener = TcpListener::bind(address).await.map_err(|error| anyhow::anyhow!("{}", port::taken(options.port, &error)))?;
    let store = options.database.open("updraft api", 8, false)?;
    let broker = options.wire.connect("api")?;
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
    );
    info!("the API answers on http://{address}");
    updraft_api::serve(listener, state, shutdown).await.context("the API stopped")?;
    broker.close().await;
    store.close().await;
    Ok(())
}
