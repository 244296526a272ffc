//! Probes and metrics, on a port of their own in every role: `/livez`, `/readyz`, `/metrics`.
//!
//! ```text
//! /livez    the process answers, and the loop that it is there for came round within two minutes
//! /readyz   the database answers, too, and its schema is not behind
//! /metrics  what this process knows; the API adds what it reads from the database about the whole installation
//! ```
//!
//! A lost database makes no role restart: that would help nobody. There is nothing secret here, and nothing can be changed.

mod airflow;
mod process;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use updraft_broker::Broker;
use updraft_store::read::fleet::Gauge;
use updraft_store::{MigrationState, Store};
use updraft_telemetry::{Pulse, metrics};

/// A loop that was silent for longer hangs. It comes round every ten seconds, or waits for the database with the same patience.
const HANGS: Duration = Duration::from_secs(120);
/// How long a probe waits for the database.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the probes look at.
#[derive(Debug, Clone)]
pub struct Health {
    /// Which role this is.
    pub role: &'static str,
    /// This program's version.
    pub version: &'static str,
    /// Where the truth is, for roles that have it.
    pub store: Option<Store>,
    /// The wire, for roles that have it.
    pub broker: Option<Broker>,
    /// The loop that this process is there for, if it has one.
    pub pulse: Option<Pulse>,
    /// Whether `/metrics` tells of the whole installation: one role does.
    pub whole: bool,
}

/// Serves the probes until `shutdown`.
pub async fn serve(listener: TcpListener, health: Health, shutdown: CancellationToken) -> std::io::Result<()> {
    axum::serve(listener, router(health)).with_graceful_shutdown(async move { shutdown.cancelled().await }).await
}

/// The routes of the probes.
pub fn router(health: Health) -> Router {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).route("/metrics", get(scrape)).with_state(Arc::new(health))
}

async fn livez(State(health): State<Arc<Health>>) -> Response {
    match health.hangs() {
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
        None => "ok\n".into_response(),
    }
}

async fn readyz(State(health): State<Arc<Health>>) -> Response {
    let why = match health.hangs() {
        Some(why) => Some(why),
        None => match health.database_away().await {
            Some(why) => Some(why),
            None => health.schema_behind().await,
        },
    };
    match why {
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
        None => "ok\n".into_response(),
    }
}

impl Health {
    fn hangs(&self) -> Option<String> {
        let silence = self.pulse.as_ref()?.silence()?;
        (silence > HANGS).then(|| format!("the {}'s loop has not come round for {} s\n", self.role, silence.as_secs()))
    }

    async fn database_away(&self) -> Option<String> {
        let store = self.store.as_ref()?;
        match tokio::time::timeout(PATIENCE, store.ping()).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(format!("the database does not answer: {error}\n")),
            Err(_) => Some(format!("the database did not answer within {} s\n", PATIENCE.as_secs())),
        }
    }

    async fn schema_behind(&self) -> Option<String> {
        match self.store.as_ref()?.migration_state().await {
            Ok(MigrationState::Behind(missing)) => Some(format!("the schema lacks the migrations {missing:?}\n")),
            Ok(MigrationState::Current | MigrationState::Ahead(_)) => None,
            Err(error) => Some(format!("the database does not answer: {error}\n")),
        }
    }

    async fn gauges(&self) -> Vec<Gauge> {
        let Some(store) = self.store.as_ref().filter(|_| self.whole) else { return Vec::new() };
        match tokio::time::timeout(PATIENCE, store.gauges()).await {
            Ok(Ok(gauges)) => gauges,
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }
}

async fn scrape(State(health): State<Arc<Health>>) -> Response {
    // Who is not there is asked once: a scrape must not take longer than its reader waits.
    let database_up = health.database_away().await.is_none();
    let gauges = if database_up { health.gauges().await } else { Vec::new() };
    let mut registry = Registry::default();
    if let Some(process) = process::Process::now() {
        registry.register_collector(Box::new(process));
    }
    if metrics::airflow().is_some() {
        registry.sub_registry_with_prefix("airflow").register_collector(Box::new(airflow::Airflow { gauges: gauges.clone() }));
    }
    let ours = registry.sub_registry_with_prefix("updraft");
    metrics::register(ours);
    ours.register_collector(Box::new(Scrape { database_up, gauges, health }));
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Measures requests to the API, from outside of everything else. A path is known by its template: what people put in it is without bound.
pub(crate) async fn measure(request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    metrics::http().answered(method.as_str(), &route, response.status().as_u16(), begin.elapsed());
    response
}

/// What is known at one scrape.
#[derive(Debug)]
struct Scrape {
    health: Arc<Health>,
    database_up: bool,
    gauges: Vec<Gauge>,
}

impl Collector for Scrape {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let one = |value: f64| [(Vec::new(), value)];
        let labels = vec![("version", self.health.version.to_owned()), ("role", self.health.role.to_owned())];
        gauge(&mut out, "build_info", "Always 1. The labels say what runs", &[(labels, 1.0)])?;
        if self.health.store.is_some() {
            gauge(&mut out, "database_up", "1: the database answers", &one(f64::from(u8::from(self.database_up))))?;
        }
        if let Some((used, idle)) = self.health.store.as_ref().map(Store::connections) {
            let row = |state: &str, count: usize| (vec![("state", state.to_owned())], f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
            gauge(&mut out, "database_connections", "Connections of this process", &[row("used", used), row("idle", idle)])?;
        }
        if let Some(broker) = &self.health.broker {
            gauge(&mut out, "broker_connected", "1: hints flow in both directions", &one(f64::from(u8::from(broker.is_up()))))?;
            let stats = broker.stats();
            for (name, help, value) in [
                ("broker_published", "Messages handed to RabbitMQ", stats.published),
                ("broker_confirmed", "Messages that RabbitMQ confirmed", stats.confirmed),
                ("broker_returned", "Messages that came back because their queue was missing", stats.returned),
                ("broker_refused", "Messages that RabbitMQ refused", stats.refused),
                ("broker_dropped", "Ids that were given up, to be found in Postgres", stats.dropped),
                ("broker_dead_lettered", "Messages that could not be read", stats.dead_lettered),
                ("broker_reconnects", "Connections that came back", stats.reconnects),
            ] {
                let counter = ConstCounter::new(value);
                counter.encode(out.encode_descriptor(name, help, None, counter.metric_type())?)?;
            }
        }
        if let Some(silence) = self.health.pulse.as_ref().and_then(Pulse::silence) {
            gauge(&mut out, "loop_silence_seconds", "How long ago this process's loop came round", &one(silence.as_secs_f64()))?;
        }
        // Rows of one name come together, as the format wants them.
        let mut rest = self.gauges.as_slice();
        while let Some(first) = rest.first() {
            let many = rest.iter().take_while(|gauge| gauge.name == first.name).count();
            let (same, more) = rest.split_at(many);
            rest = more;
            let rows: Vec<Row> = same.iter().map(|gauge| (gauge.labels.clone(), gauge.value)).collect();
            gauge(&mut out, first.name, first.help, &rows)?;
        }
        Ok(())
    }
}

/// The labels of a row, and its value.
type Row = (Vec<(&'static str, String)>, f64);

fn gauge(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, rows: &[Row]) -> Result<(), std::fmt::Error> {
    let mut family = out.encode_descriptor(name, help, None, ConstGauge::new(0.0).metric_type())?;
    for (labels, value) in rows {
        ConstGauge::new(*value).encode(family.encode_family(labels)?)?;
    }
    Ok(())
}
