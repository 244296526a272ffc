//! What people and programs see: `/api/v2` in the shape of Airflow's REST API, `/ui` for what the page and the CLI need beyond it, and
//! the page itself.
//!
//! Nothing is decided here. A request becomes a read, or an intent in the store and a wake of the scheduler. [`mod@routes`] says what each way
//! in takes, and [`guard`] who may ask: on loopback everybody on this host, elsewhere whoever has the password.

mod access;
mod attempt;
mod auth;
mod backfills;
mod bars;
mod batch;
mod bulk;
mod calendar;
mod changes;
mod clear;
mod condition;
mod connections;
mod cursor;
mod dag_diff;
mod dags;
mod doctor;
mod error;
mod fleet;
mod graph;
mod grid;
mod groups;
mod guard;
pub mod health;
mod history;
mod identity;
mod import_errors;
mod instances;
mod listing;
mod logs;
mod maintenance;
mod meta;
mod oidc;
mod openapi;
mod page;
mod pools;
mod refused;
mod request;
mod request_trace;
mod rerun;
mod routes;
mod runs;
mod shapes;
mod sources;
mod task_fares;
mod trigger;
mod users;
mod variables;
mod versions;
mod webhook;
mod why;
mod xcoms;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{MethodRouter, any};
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

use crate::identity::Identity;
use crate::routes::Routes;

pub use access::{BUILT_IN, built_in};
pub use error::Error;
pub use guard::{Account, TrustedProxies};
pub use oidc::{Oidc, RoleMap};
pub use openapi::document as openapi;
pub use routes::{May, Route, Thing};

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
        f.debug_struct("ApiState").field("version", &self.inner.version).field("identity", &self.inner.identity).finish_non_exhaustive()
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
    /// Whose word on the client's address counts.
    pub proxies: TrustedProxies,
    /// Who else says who somebody is.
    pub oidc: Option<Oidc>,
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
    pictures: graph::Pictures,
    installation: OnceCell<Uuid>,
    identity: Identity,
    proxies: TrustedProxies,
    oidc: Option<oidc::Client>,
    webhook_secret: Option<String>,
    keyring: Option<Arc<Keyring>>,
    feed: changes::Feed,
    log_indexes: logs::index::Indexes,
    /// Ends what would never end by itself: the event streams.
    closing: CancellationToken,
    folders: Vec<PathBuf>,
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
            pictures: graph::Pictures::default(),
            installation: OnceCell::new(),
            identity: Identity::new(access.account),
            proxies: access.proxies,
            oidc: access.oidc.map(oidc::Client::new),
            webhook_secret: access.webhook_secret,
            keyring: access.keyring,
            feed: changes::Feed::default(),
            log_indexes: logs::index::Indexes::default(),
            closing: CancellationToken::new(),
            folders: vec![std::env::temp_dir()],
        };
        Self { inner: Arc::new(inner) }
    }

    /// Folders that must have room, for `doctor`. To be called before there are clones.
    #[must_use]
    pub fn watching(mut self, folders: Vec<PathBuf>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.folders = folders;
        }
        self
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

    /// Resolves when streams have to end.
    async fn closing(&self) {
        self.inner.closing.cancelled().await;
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

/// All routes, with what each takes.
pub fn routes() -> Vec<Route> {
    ways_in().1
}

/// The API and the page.
pub fn router(state: ApiState) -> Router {
    let (routes, _) = ways_in();
    let refused = |handler: MethodRouter<ApiState>| handler.layer(middleware::from_fn_with_state(May::LoggedIn, guard::admit));
    routes
        .fallback_service(refused(any(refused::fallback)).with_state(state.clone()))
        .method_not_allowed_fallback(meta::method_not_allowed)
        .layer(RequestBodyLimitLayer::new(MOST_BODY))
        .layer(middleware::from_fn(request::readable))
        .layer(middleware::from_fn_with_state(state.clone(), guard::same_site_only))
        .layer(middleware::from_fn(guard::seal_answer))
        .layer(middleware::from_fn(health::measure))
        .with_state(state)
}

fn ways_in() -> (Router<ApiState>, Vec<Route>) {
    let routes = Routes::new("/api/v2")
        .get("/version", May::Anybody, meta::version)
        .get("/monitor/health", May::Anybody, meta::health)
        .get("/jobs", May::Read(Thing::Jobs), meta::jobs)
        .get("/eventLogs", May::Read(Thing::AuditLog), meta::event_logs)
        .get("/eventLogs/{id}", May::Read(Thing::AuditLog), meta::event_log)
        .get("/config", May::Read(Thing::Installation), meta::config)
        .get("/config/section/{section}/option/{option}", May::Read(Thing::Installation), meta::config)
        .get("/dagWarnings", May::Read(Thing::Dags), dags::warnings)
        .get("/variables", May::Read(Thing::Variables), variables::list)
        .post("/variables", May::Create(Thing::Variables), variables::create)
        .patch("/variables", May::Edit(Thing::Variables), variables::bulk)
        .get("/variables/{*key}", May::Read(Thing::Variables), variables::show)
        .patch("/variables/{*key}", May::Edit(Thing::Variables), variables::patch)
        .delete("/variables/{*key}", May::Delete(Thing::Variables), variables::delete)
        .get("/connections", May::Read(Thing::Connections), connections::list)
        .post("/connections", May::Create(Thing::Connections), connections::create)
        .patch("/connections", May::Edit(Thing::Connections), connections::bulk)
        .post("/connections/test", May::Edit(Thing::Connections), connections::test)
        .get("/connections/enqueue-test", May::Read(Thing::Connections), connections::tested)
        .post("/connections/enqueue-test", May::Edit(Thing::Connections), connections::test)
        .post("/connections/defaults", May::Create(Thing::Connections), connections::defaults)
        .get("/connections/{id}", May::Read(Thing::Connections), connections::show)
        .patch("/connections/{id}", May::Edit(Thing::Connections), connections::patch)
        .delete("/connections/{id}", May::Delete(Thing::Connections), connections::delete)
        .get("/backfills", May::Read(Thing::Backfills), backfills::list)
        .post("/backfills", May::Create(Thing::Backfills), backfills::create)
        .post("/backfills/dry_run", May::Create(Thing::Backfills), backfills::dry_run)
        .get("/backfills/{id}", May::Read(Thing::Backfills), backfills::show)
        .put("/backfills/{id}/pause", May::Edit(Thing::Backfills), backfills::pause)
        .put("/backfills/{id}/unpause", May::Edit(Thing::Backfills), backfills::unpause)
        .put("/backfills/{id}/cancel", May::Edit(Thing::Backfills), backfills::cancel)
        .get("/importErrors", May::Read(Thing::ImportErrors), dags::import_errors)
        .get("/importErrors/{id}", May::Read(Thing::ImportErrors), dags::import_error)
        .get("/dagStats", May::Read(Thing::Dags), dags::stats)
        .get("/dagTags", May::Read(Thing::Dags), dags::tags)
        .get("/dagSources/{dag_id}", May::Read(Thing::Dags), dags::source)
        .get("/dags", May::Read(Thing::Dags), dags::list)
        .patch("/dags", May::Edit(Thing::Dags), dags::patch_many)
        .get("/dags/{dag_id}", May::Read(Thing::Dags), dags::show)
        .patch("/dags/{dag_id}", May::Edit(Thing::Dags), dags::patch)
        .delete("/dags/{dag_id}", May::Delete(Thing::Dags), dags::delete)
        .get("/dags/{dag_id}/details", May::Read(Thing::Dags), dags::details)
        .post("/dags/{dag_id}/favorite", May::Read(Thing::Dags), dags::favorite)
        .post("/dags/{dag_id}/unfavorite", May::Read(Thing::Dags), dags::unfavorite)
        .get("/dags/{dag_id}/tasks", May::Read(Thing::Dags), dags::tasks)
        .get("/dags/{dag_id}/tasks/{task_id}", May::Read(Thing::Dags), dags::task)
        .get("/dags/{dag_id}/dagVersions", May::Read(Thing::Dags), dags::versions)
        .get("/dags/{dag_id}/dagVersions/{number}", May::Read(Thing::Dags), dags::version)
        .post("/dags/{dag_id}/clearTaskInstances", May::Edit(Thing::TaskInstances), clear::instances)
        .post("/dags/{dag_id}/clearDagRuns", May::Edit(Thing::Runs), clear::runs)
        .post("/dags/{dag_id}/clearPartitions", May::Edit(Thing::Runs), clear::partitions)
        .get("/dags/{dag_id}/dagRuns", May::Read(Thing::Runs), runs::list)
        .patch("/dags/{dag_id}/dagRuns", May::Delete(Thing::Runs), runs::bulk)
        .post("/dags/{dag_id}/dagRuns", May::Create(Thing::Runs), trigger::trigger)
        .post("/dags/{dag_id}/dagRuns/list", May::Read(Thing::Runs), runs::list_by_body)
        .get("/dags/{dag_id}/dagRuns/{run_id}", May::Read(Thing::Runs), runs::show)
        .patch("/dags/{dag_id}/dagRuns/{run_id}", May::Edit(Thing::Runs), runs::patch)
        .delete("/dags/{dag_id}/dagRuns/{run_id}", May::Delete(Thing::Runs), runs::delete)
        .post("/dags/{dag_id}/dagRuns/{run_id}/clear", May::Edit(Thing::Runs), clear::run)
        .get("/dags/{dag_id}/dagRuns/{run_id}/upstreamAssetEvents", May::Read(Thing::Runs), runs::no_asset_events)
        .get("/dags/{dag_id}/dagRuns/{run_id}/wait", May::Read(Thing::Runs), runs::wait)
        .get("/pools", May::Read(Thing::Pools), pools::list)
        .post("/pools", May::Create(Thing::Pools), pools::create)
        .patch("/pools", May::Edit(Thing::Pools), pools::bulk)
        .get("/pools/{name}", May::Read(Thing::Pools), pools::show)
        .patch("/pools/{name}", May::Edit(Thing::Pools), pools::patch)
        .delete("/pools/{name}", May::Delete(Thing::Pools), pools::delete)
        .patch(
            "/dags/{dag_id}/dagRuns/{run_id}/taskGroupInstances/{group}",
            May::Edit(Thing::TaskInstances),
            instances::change::patch_group,
        )
        .patch(
            "/dags/{dag_id}/dagRuns/{run_id}/taskGroupInstances/{group}/dry_run",
            May::Edit(Thing::TaskInstances),
            instances::change::patch_group_dry,
        )
        .under("/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances")
        .get("", May::Read(Thing::TaskInstances), instances::list)
        .patch("", May::Delete(Thing::TaskInstances), instances::change::bulk)
        .post("/list", May::Read(Thing::TaskInstances), instances::list_by_body)
        .get("/{task_id}", May::Read(Thing::TaskInstances), instances::show)
        .patch("/{task_id}", May::Edit(Thing::TaskInstances), instances::change::patch)
        .delete("/{task_id}", May::Delete(Thing::TaskInstances), instances::change::delete)
        .patch("/{task_id}/dry_run", May::Edit(Thing::TaskInstances), instances::change::patch_dry)
        .get("/{task_id}/dependencies", May::Read(Thing::TaskInstances), why::dependencies)
        .get("/{task_id}/tries", May::Read(Thing::TaskInstances), instances::tries)
        .get("/{task_id}/tries/{try_number}", May::Read(Thing::TaskInstances), instances::one_try)
        .get("/{task_id}/links", May::Read(Thing::TaskInstances), instances::links)
        .get("/{task_id}/externalLogUrl/{try_number}", May::Read(Thing::Logs), logs::no_external)
        .any("/{task_id}/state-store", May::Read(Thing::TaskInstances), refused::state_store)
        .any("/{task_id}/state-store/{*key}", May::Read(Thing::TaskInstances), refused::state_store)
        .get("/{task_id}/listMapped", May::Read(Thing::TaskInstances), instances::list_mapped)
        .get("/{task_id}/logs/{try_number}", May::Read(Thing::Logs), logs::airflow)
        .get("/{task_id}/xcomEntries", May::Read(Thing::XComs), xcoms::list)
        .post("/{task_id}/xcomEntries", May::Create(Thing::XComs), xcoms::create)
        .get("/{task_id}/xcomEntries/{*key}", May::Read(Thing::XComs), xcoms::show)
        .patch("/{task_id}/xcomEntries/{*key}", May::Edit(Thing::XComs), xcoms::update)
        .delete("/{task_id}/xcomEntries/{*key}", May::Delete(Thing::XComs), xcoms::delete)
        .get("/{task_id}/{map_index}", May::Read(Thing::TaskInstances), instances::show_mapped)
        .patch("/{task_id}/{map_index}", May::Edit(Thing::TaskInstances), instances::change::patch_mapped)
        .patch("/{task_id}/{map_index}/dry_run", May::Edit(Thing::TaskInstances), instances::change::patch_mapped_dry)
        .get("/{task_id}/{map_index}/dependencies", May::Read(Thing::TaskInstances), why::dependencies_mapped)
        .get("/{task_id}/{map_index}/tries", May::Read(Thing::TaskInstances), instances::tries_mapped)
        .get("/{task_id}/{map_index}/tries/{try_number}", May::Read(Thing::TaskInstances), instances::one_try_mapped)
        .under("/ui")
        .get("/overview", May::Read(Thing::Dags), page::overview)
        .get("/grid/{dag_id}", May::Read(Thing::TaskInstances), grid::grid)
        .get("/graph/{dag_id}", May::Read(Thing::Dags), graph::graph)
        .get("/diff/{dag_id}", May::Read(Thing::Dags), dag_diff::diff)
        .get("/calendar/{dag_id}", May::Read(Thing::Runs), calendar::calendar)
        .get("/taskFares/{dag_id}", May::Read(Thing::TaskInstances), task_fares::fares)
        .get("/runs/{dag_id}/{run_id}", May::Read(Thing::Runs), page::run)
        .get("/runs/{dag_id}/{run_id}/tasks", May::Read(Thing::TaskInstances), page::tasks)
        .get("/runs/{dag_id}/{run_id}/bars", May::Read(Thing::TaskInstances), bars::bars)
        .post("/runs/{dag_id}/{run_id}/rerun", May::Edit(Thing::Runs), rerun::rerun)
        .get("/attempts/{dag_id}/{run_id}/{task_id}/{try_number}", May::Read(Thing::TaskInstances), attempt::attempt)
        .get("/logs/{dag_id}/{run_id}/{task_id}/{try_number}", May::Read(Thing::Logs), logs::raw)
        .get("/logs/{dag_id}/{run_id}/{task_id}/{try_number}/lines", May::Read(Thing::Logs), logs::lines::lines)
        .get("/logs/{dag_id}/{run_id}/{task_id}/{try_number}/search", May::Read(Thing::Logs), logs::search::search)
        .get("/logs/{dag_id}/{run_id}/{task_id}/{try_number}/outline", May::Read(Thing::Logs), logs::search::outline)
        .get("/logs/{dag_id}/{run_id}/{task_id}/{try_number}/follow", May::Read(Thing::Logs), logs::follow::follow)
        .get("/why/{dag_id}/{run_id}/{task_id}", May::Read(Thing::TaskInstances), why::why)
        .get("/history/{dag_id}/{run_id}/{task_id}", May::Read(Thing::TaskInstances), history::history)
        .get("/events", May::Read(Thing::Runs), changes::events)
        .get("/backfills", May::Read(Thing::Backfills), backfills::recent)
        .get("/backfills/{id}", May::Read(Thing::Backfills), backfills::progress)
        .get("/doctor", May::Read(Thing::Installation), doctor::doctor)
        .get("/workers", May::Read(Thing::Jobs), fleet::workers)
        .put("/workers/{id}/drain", May::Edit(Thing::Installation), fleet::drain)
        .delete("/workers/{id}/drain", May::Edit(Thing::Installation), fleet::undrain)
        .get("/workers/{id}/attempts", May::Read(Thing::Jobs), fleet::attempts)
        .get("/schedulers", May::Read(Thing::Jobs), fleet::schedulers)
        .get("/queues", May::Read(Thing::Jobs), fleet::queues)
        .get("/fleet/history", May::Read(Thing::Jobs), fleet::history::history)
        .get("/health", May::Read(Thing::Page), condition::health)
        .get("/sources", May::Read(Thing::Dags), sources::list)
        .post("/sources/sync", May::Edit(Thing::Dags), sources::sync)
        .get("/import-errors", May::Read(Thing::ImportErrors), import_errors::list)
        .get("/maintenance", May::Read(Thing::Installation), maintenance::show)
        .put("/maintenance", May::Edit(Thing::Installation), maintenance::begin)
        .delete("/maintenance", May::Edit(Thing::Installation), maintenance::end)
        .get("/me", May::LoggedIn, auth::me)
        .put("/me/password", May::LoggedIn, auth::password)
        .get("/tokens", May::LoggedIn, auth::tokens)
        .post("/tokens", May::LoggedIn, auth::token_create)
        .delete("/tokens/{id}", May::LoggedIn, auth::token_delete)
        .get("/users", May::Read(Thing::Users), users::list)
        .post("/users", May::Create(Thing::Users), users::create)
        .get("/users/{name}", May::Read(Thing::Users), users::show)
        .patch("/users/{name}", May::Edit(Thing::Users), users::patch)
        .delete("/users/{name}", May::Delete(Thing::Users), users::delete)
        .put("/users/{name}/roles/{role}", May::Edit(Thing::Users), users::role_add)
        .delete("/users/{name}/roles/{role}", May::Edit(Thing::Users), users::role_remove)
        .get("/roles", May::Read(Thing::Users), users::roles)
        .post("/roles", May::Create(Thing::Users), users::role_create)
        .patch("/roles/{name}", May::Edit(Thing::Users), users::role_patch)
        .delete("/roles/{name}", May::Delete(Thing::Users), users::role_delete)
        .under("")
        .any("/api/v1", May::Anybody, meta::gone)
        .any("/api/v1/{*rest}", May::Anybody, meta::gone)
        .post("/auth/token", May::Anybody, auth::token)
        .post("/auth/token/cli", May::Anybody, auth::token_cli)
        .get("/auth/login", May::Anybody, auth::login_page)
        .get("/auth/login.css", May::Anybody, auth::login_style)
        .post("/auth/login", May::Anybody, auth::login)
        .post("/auth/logout", May::Anybody, auth::logout)
        .get("/auth/oidc/login", May::Anybody, oidc::begin)
        .get("/auth/oidc/callback", May::Anybody, oidc::end)
        .post("/git/webhook", May::Anybody, webhook::git);
    page::routes(routes).done()
}

/// Serves until `shutdown`, then lets requests that are under way end.
pub async fn serve(listener: TcpListener, state: ApiState, shutdown: CancellationToken) -> std::io::Result<()> {
    let closing = state.inner.closing.clone();
    let ended = async move {
        shutdown.cancelled().await;
        closing.cancel();
    };
    axum::serve(listener, router(state).into_make_service_with_connect_info::<SocketAddr>()).with_graceful_shutdown(ended).await
}
