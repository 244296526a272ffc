//! The ways into the API, each with what a caller must be allowed to do. There is no way to add a route without saying so.

use std::convert::Infallible;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware;
use axum::routing::{MethodFilter, MethodRouter};

use crate::ApiState;
use crate::guard;

/// What a permission is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Thing {
    Dags,
    Runs,
    TaskInstances,
    Logs,
    XComs,
    Pools,
    Variables,
    Connections,
    Backfills,
    ImportErrors,
    Jobs,
    AuditLog,
    /// The page itself, and what it is made of.
    Page,
    /// Findings, settings and the maintenance mode of the installation.
    Installation,
    /// Users, their roles and tokens. Everybody has a say over their own.
    Users,
}

/// What a caller must be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum May {
    /// Nothing: probes, logins, and what is signed in another way.
    Anybody,
    /// Nothing but to be somebody: what tells nothing.
    LoggedIn,
    /// See it.
    Read(Thing),
    /// Make one.
    Create(Thing),
    /// Change it.
    Edit(Thing),
    /// Take it away.
    Delete(Thing),
}

/// One way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path, with names in braces.
    pub path: String,
    /// What it takes.
    pub may: May,
}

/// Routes under a common beginning of their paths.
pub(crate) struct Routes {
    prefix: &'static str,
    router: Router<ApiState>,
    table: Vec<Route>,
}

impl Routes {
    pub(crate) fn new(prefix: &'static str) -> Self {
        Self { prefix, router: Router::new(), table: Vec::new() }
    }

    /// Paths that follow begin with this.
    pub(crate) fn under(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self
    }

    fn on<H, T>(mut self, filter: MethodFilter, method: Method, path: &str, may: May, handler: H) -> Self
    where
        H: Handler<T, ApiState>,
        T: 'static,
    {
        let path = format!("{}{path}", self.prefix);
        let route: MethodRouter<ApiState, Infallible> =
            MethodRouter::new().on(filter, handler).route_layer(middleware::from_fn_with_state(may, guard::admit));
        self.router = self.router.route(&path, route);
        self.table.push(Route { method, path, may });
        self
    }

    pub(crate) fn get<H: Handler<T, ApiState>, T: 'static>(self, path: &str, may: May, handler: H) -> Self {
        self.on(MethodFilter::GET, Method::GET, path, may, handler)
    }

    pub(crate) fn post<H: Handler<T, ApiState>, T: 'static>(self, path: &str, may: May, handler: H) -> Self {
        self.on(MethodFilter::POST, Method::POST, path, may, handler)
    }

    pub(crate) fn put<H: Handler<T, ApiState>, T: 'static>(self, path: &str, may: May, handler: H) -> Self {
        self.on(MethodFilter::PUT, Method::PUT, path, may, handler)
    }

    pub(crate) fn patch<H: Handler<T, ApiState>, T: 'static>(self, path: &str, may: May, handler: H) -> Self {
        self.on(MethodFilter::PATCH, Method::PATCH, path, may, handler)
    }

    pub(crate) fn delete<H: Handler<T, ApiState>, T: 'static>(self, path: &str, may: May, handler: H) -> Self {
        self.on(MethodFilter::DELETE, Method::DELETE, path, may, handler)
    }

    /// All methods, for what is refused whatever is asked.
    pub(crate) fn any<H: Handler<T, ApiState> + Copy, T: 'static>(self, path: &str, may: May, handler: H) -> Self {
        self.get(path, may, handler).post(path, may, handler).put(path, may, handler).patch(path, may, handler).delete(path, may, handler)
    }

    pub(crate) fn done(self) -> (Router<ApiState>, Vec<Route>) {
        (self.router, self.table)
    }
}
