//! What people and programs see: `/api/v2` in the shape of Airflow's REST API, `/ui` for what the page and the CLI need beyond it, and
//! the page itself.
//!
//! Nothing is decided here. A request becomes a read, or an intent in the store and a wake of the scheduler. [`guard`] says who may ask: on
//! loopback everybody on this host, elsewhere whoever has the password.

mod bulk;
mod changes;
mod clear;
mod connections;
mod dags;
mod doctor;
mod error;
mod guard;
pub mod health;
mod instances;
mod logs;
mod maintenance;
mod meta;
mod page;
mod pools;
mod refused;
mod request;
mod runs;
mod shapes;
mod trigger;
mod variables;
mod versions;
mod webhook;
mod why;
mod xcoms;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{any, get, patch, post};
use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tower_http::limit::RequestBodyLimitLayer;
use updraft_broker::Broker;
use updraft_model::Semantics;
use updraft_planner::Defaults;
use updraft_store::Keyring;
use updraft_store::Store;
use updraft_store::read::secrets::Sealed;
use uuid::Uuid;

pub use error::Error;
pub use guard::Account;

/// Largest body of a request, in bytes.
const MOST_BODY: usize = 4 * 1024 * 1024;

/// What every request needs. Clones share it.
#[derive(Clone)]
pub struct ApiState {
    inner: Arc<Inner>,
}

// By hand: there are secrets in it.
impl std::fmt::Debug for ApiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiState").field("version", &self.inner.version).field("account", &self.inner.account).finish_non_exhaustive()
    }
}

/// Who may ask, and what proves it.
#[derive(Clone, Default)]
pub struct Access {
    /// None: everybody may who reaches it, so it must be on loopback.
    pub account: Option<Account>,
    /// What a git server signs its webhooks with. None: they are refused.
    pub webhook_secret: Option<String>,
    /// What seals variables and connections. None: there can be none.
    pub keyring: Option<Arc<Keyring>>,
}

// By hand: these are secrets.
impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("account", &self.account).finish_non_exhaustive()
    }
}

struct Inner {
    store: Store,
    broker: Broker,
    semantics: Semantics,
    defaults: Defaults,
    version: String,
    started_at: DateTime<Utc>,
    versions: versions::Versions,
    installation: OnceCell<Uuid>,
    account: Option<Account>,
    webhook_secret: Option<String>,
    keyring: Option<Arc<Keyring>>,
    feed: changes::Feed,
    /// Ends what would never end by itself: the event streams.
    closing: CancellationToken,
}

impl ApiState {
    /// `version` is this program's own, `started_at` when the process began.
    pub fn new(
        store: Store,
        broker: Broker,
        semantics: Semantics,
        defaults: Defaults,
        version: impl Into<String>,
        started_at: DateTime<Utc>,
        access: Access,
    ) -> Self {
        let inner = Inner {
            store,
            broker,
            semantics,
            defaults,
            version: version.into(),
            started_at,
            versions: versions::Versions::default(),
            installation: OnceCell::new(),
            account: access.account,
            webhook_secret: access.webhook_secret,
            keyring: access.keyring,
            feed: changes::Feed::default(),
            closing: CancellationToken::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }

    fn keyring(&self) -> Result<&Keyring, Error> {
        self.inner.keyring.as_deref().ok_or_else(|| {
            let remedy = "make one by `updraft secrets new-key`, and give it to this API and to the schedulers as UPDRAFT_SECRET_KEYS_FILE";
            Error::Conflict(format!("this installation has no key to seal variables and connections with: {remedy}"))
        })
    }

    /// Seals a secret that belongs to the variable or connection of this name.
    fn seal(&self, of: Sealed, name: &str, secret: &str) -> Result<Vec<u8>, Error> {
        self.keyring()?.seal(&of.place(name), secret.as_bytes()).map_err(|error| Error::Broken(format!("{name} cannot be sealed: {error}")))
    }

    /// Opens what [`Self::seal`] made.
    fn open(&self, of: Sealed, name: &str, sealed: &[u8]) -> Result<String, Error> {
        let opened = self.keyring()?.open(&of.place(name), sealed);
        let text = opened.map_err(|error| Error::Conflict(format!("{name} cannot be read: {error}")))?;
        String::from_utf8(text).map_err(|_| Error::Broken(format!("{name} is not text")))
    }

    async fn version(&self, id: i64) -> Result<Arc<versions::Version>, Error> {
        self.inner.versions.get(&self.inner.store, id).await
    }

    async fn head(&self, id: i64) -> Result<Arc<versions::Head>, Error> {
        self.inner.versions.head(&self.inner.store, id).await
    }

    /// The id of this installation: the name space of the ids of task instances.
    async fn installation(&self) -> Result<Uuid, Error> {
        Ok(*self.inner.installation.get_or_try_init(|| self.inner.store.installation_id()).await?)
    }

    /// Starts what may start of a DAG after a change, and wakes the scheduler.
    async fn nudge(&self, dag_id: &str, runs: &[updraft_model::RunKey]) -> Result<(), Error> {
        let started = self.inner.store.runs_start(dag_id).await?;
        let mut keys = runs.to_vec();
        keys.extend(started.into_iter().map(|(key, _)| key));
        self.inner.broker.wake(&keys);
        self.inner.broker.wake_all();
        Ok(())
    }
}

/// All routes.
pub fn router(state: ApiState) -> Router {
    let v2 = Router::new()
        .route("/version", get(meta::version))
        .route("/monitor/health", get(meta::health))
        .route("/jobs", get(meta::jobs))
        .route("/eventLogs", get(meta::event_logs))
        .route("/eventLogs/{id}", get(meta::event_log))
        .route("/config", get(meta::config))
        .route("/config/section/{section}/option/{option}", get(meta::config))
        .route("/dagWarnings", get(meta::no_warnings))
        .route("/variables", get(variables::list).post(variables::create).patch(variables::bulk))
        .route("/variables/{*key}", get(variables::show).patch(variables::patch).delete(variables::delete))
        .route("/connections", get(connections::list).post(connections::create).patch(connections::bulk))
        .route("/connections/test", post(connections::test))
        .route("/connections/enqueue-test", get(connections::tested).post(connections::test))
        .route("/connections/defaults", post(connections::defaults))
        .route("/connections/{id}", get(connections::show).patch(connections::patch).delete(connections::delete))
        .route("/importErrors", get(dags::import_errors))
        .route("/importErrors/{id}", get(dags::import_error))
        .route("/dagStats", get(dags::stats))
        .route("/dagTags", get(dags::tags))
        .route("/dagSources/{dag_id}", get(dags::source))
        .route("/dags", get(dags::list).patch(dags::patch_many))
        .route("/dags/{dag_id}", get(dags::show).patch(dags::patch).delete(dags::delete))
        .route("/dags/{dag_id}/details", get(dags::details))
        .route("/dags/{dag_id}/tasks", get(dags::tasks))
        .route("/dags/{dag_id}/tasks/{task_id}", get(dags::task))
        .route("/dags/{dag_id}/dagVersions", get(dags::versions))
        .route("/dags/{dag_id}/dagVersions/{number}", get(dags::version))
        .route("/dags/{dag_id}/clearTaskInstances", post(clear::instances))
        .route("/dags/{dag_id}/dagRuns", get(runs::list).post(trigger::trigger))
        .route("/dags/{dag_id}/dagRuns/list", post(runs::list_by_body))
        .route("/dags/{dag_id}/dagRuns/{run_id}", get(runs::show).patch(runs::patch).delete(runs::delete))
        .route("/dags/{dag_id}/dagRuns/{run_id}/clear", post(clear::run))
        .route("/dags/{dag_id}/dagRuns/{run_id}/upstreamAssetEvents", get(runs::no_asset_events))
        .route("/dags/{dag_id}/dagRuns/{run_id}/wait", get(runs::wait))
        .nest("/dags/{dag_id}/dagRuns/{run_id}/taskInstances", instance_routes())
        .route("/pools", get(pools::list).post(pools::create).patch(pools::bulk))
        .route("/pools/{name}", get(pools::show).patch(pools::patch).delete(pools::delete))
        .fallback(refused::fallback);
    let ui = Router::new()
        .route("/overview", get(page::overview))
        .route("/runs/{dag_id}/{run_id}", get(page::run))
        .route("/runs/{dag_id}/{run_id}/tasks", get(page::tasks))
        .route("/logs/{dag_id}/{run_id}/{task_id}/{try_number}", get(logs::raw))
        .route("/why/{dag_id}/{run_id}/{task_id}", get(why::why))
        .route("/events", get(changes::events))
        .route("/doctor", get(doctor::doctor))
        .route("/maintenance", get(maintenance::show).put(maintenance::begin).delete(maintenance::end))
        .fallback(meta::not_found);
    Router::new()
        .nest("/api/v2", v2)
        .route("/api/v1", any(meta::gone))
        .route("/api/v1/{*rest}", any(meta::gone))
        .nest("/ui", ui)
        .route("/auth/token", post(meta::token))
        .route("/auth/token/cli", post(meta::token))
        .route("/git/webhook", post(webhook::git))
        .merge(page::routes())
        .fallback(meta::not_found)
        .method_not_allowed_fallback(meta::method_not_allowed)
        .layer(RequestBodyLimitLayer::new(MOST_BODY))
        .layer(middleware::from_fn_with_state(state.inner.account.clone(), guard::check))
        .with_state(state)
}

fn instance_routes() -> Router<ApiState> {
    Router::new()
        .route("/", get(instances::list))
        .route("/list", post(instances::list_by_body))
        .route("/{task_id}", get(instances::show).patch(instances::patch))
        .route("/{task_id}/dry_run", patch(instances::patch_dry))
        .route("/{task_id}/tries", get(instances::tries))
        .route("/{task_id}/tries/{try_number}", get(instances::one_try))
        .route("/{task_id}/links", get(instances::links))
        .route("/{task_id}/externalLogUrl/{try_number}", get(logs::no_external))
        .route("/{task_id}/state-store", any(refused::state_store))
        .route("/{task_id}/state-store/{*key}", any(refused::state_store))
        .route("/{task_id}/listMapped", get(instances::list_mapped))
        .route("/{task_id}/logs/{try_number}", get(logs::airflow))
        .route("/{task_id}/xcomEntries", get(xcoms::list).post(xcoms::create))
        .route("/{task_id}/xcomEntries/{*key}", get(xcoms::show).patch(xcoms::update).delete(xcoms::delete))
        .route("/{task_id}/{map_index}", get(instances::show_mapped).patch(instances::patch_mapped))
        .route("/{task_id}/{map_index}/tries", get(instances::tries_mapped))
        .route("/{task_id}/{map_index}/tries/{try_number}", get(instances::one_try_mapped))
}

/// Serves until `shutdown`, then lets requests that are under way end.
pub async fn serve(listener: TcpListener, state: ApiState, shutdown: CancellationToken) -> std::io::Result<()> {
    let closing = state.inner.closing.clone();
    let ended = async move {
        shutdown.cancelled().await;
        closing.cancel();
    };
    axum::serve(listener, router(state)).with_graceful_shutdown(ended).await
}
