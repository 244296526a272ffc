//! What a caller may do: permissions, the roles that are built in, and over which DAGs somebody has them.
//!
//! A permission is a thing and a verb. A role is a set of them. A user has roles, each over everything (`*`) or over some DAGs. What is not
//! about a DAG (pools, variables, connections, users, the installation) takes a role over everything.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use updraft_store::users::UserRow;

use crate::error::Error;
use crate::routes::{May, Thing};

/// The scope of a role over everything.
pub(crate) const EVERYTHING: &str = "*";

impl Thing {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Dags,
        Self::Runs,
        Self::TaskInstances,
        Self::Logs,
        Self::XComs,
        Self::Pools,
        Self::Variables,
        Self::Connections,
        Self::Backfills,
        Self::ImportErrors,
        Self::Jobs,
        Self::AuditLog,
        Self::Page,
        Self::Installation,
        Self::Users,
    ];

    /// As permissions write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dags => "dags",
            Self::Runs => "runs",
            Self::TaskInstances => "task_instances",
            Self::Logs => "logs",
            Self::XComs => "xcoms",
            Self::Pools => "pools",
            Self::Variables => "variables",
            Self::Connections => "connections",
            Self::Backfills => "backfills",
            Self::ImportErrors => "import_errors",
            Self::Jobs => "jobs",
            Self::AuditLog => "audit_log",
            Self::Page => "page",
            Self::Installation => "installation",
            Self::Users => "users",
        }
    }

    /// Whether each one belongs to a DAG, so that a role over some DAGs counts.
    pub const fn of_a_dag(self) -> bool {
        matches!(self, Self::Dags | Self::Runs | Self::TaskInstances | Self::Logs | Self::XComs | Self::Backfills | Self::AuditLog)
    }
}

impl fmt::Display for May {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anybody => f.write_str("anybody"),
            Self::LoggedIn => f.write_str("logged_in"),
            Self::Read(thing) => write!(f, "{}.read", thing.name()),
            Self::Create(thing) => write!(f, "{}.create", thing.name()),
            Self::Edit(thing) => write!(f, "{}.edit", thing.name()),
            Self::Delete(thing) => write!(f, "{}.delete", thing.name()),
        }
    }
}

impl May {
    /// Everything that a role can permit.
    pub fn all() -> impl Iterator<Item = Self> {
        Thing::ALL.iter().flat_map(|thing| [Self::Read(*thing), Self::Create(*thing), Self::Edit(*thing), Self::Delete(*thing)])
    }

    /// The permission that is written so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::all().find(|may| may.to_string() == text)
    }

    const fn thing(self) -> Option<Thing> {
        match self {
            Self::Anybody | Self::LoggedIn => None,
            Self::Read(thing) | Self::Create(thing) | Self::Edit(thing) | Self::Delete(thing) => Some(thing),
        }
    }
}

/// The roles that are always there, least first. Airflow's names.
pub const BUILT_IN: &[&str] = &["viewer", "user", "op", "admin"];

/// Whether a built-in role permits this; none: there is no such role.
pub fn built_in(role: &str, may: May) -> Option<bool> {
    use Thing::{
        AuditLog, Backfills, Connections, Dags, ImportErrors, Installation, Jobs, Logs, Page, Pools, Runs, TaskInstances, Users, Variables,
        XComs,
    };
    let viewer = matches!(
        may,
        May::LoggedIn | May::Read(Dags | Runs | TaskInstances | Logs | XComs | Pools | Backfills | ImportErrors | Jobs | Page)
    );
    let user = viewer
        || matches!(
            may,
            May::Edit(Dags | Runs | TaskInstances | Backfills)
                | May::Create(Runs | TaskInstances | Backfills)
                | May::Delete(Runs | TaskInstances)
        );
    let op = user
        || matches!(may.thing(), Some(Pools | Variables | Connections | XComs | Dags | Installation))
        || matches!(may, May::Read(AuditLog));
    match role {
        "viewer" => Some(viewer),
        "user" => Some(user),
        "op" => Some(op && may.thing() != Some(Users)),
        "admin" => Some(true),
        _ => None,
    }
}

/// A role that somebody has, over what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Grant {
    scope: String,
    /// A built-in role's name, or the permissions of another.
    role: Result<String, BTreeSet<String>>,
}

impl Grant {
    fn permits(&self, may: May) -> bool {
        match &self.role {
            Ok(role) => built_in(role, may).unwrap_or(false),
            Err(permissions) => may == May::LoggedIn || may == May::Read(Thing::Page) || permissions.contains(&may.to_string()),
        }
    }
}

/// Over what somebody may do what a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Over {
    /// Everything.
    Everything,
    /// The DAGs of these selectors.
    Some(Vec<String>),
}

/// Somebody who has proved who they are.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    /// Their name.
    pub(crate) name: String,
    /// None: may everything, as who has the deployment's own password or sits on this host.
    grants: Option<Vec<Grant>>,
    /// What a personal token is limited to.
    limit: Option<BTreeSet<String>>,
    /// Whether a browser sends the proof by itself, whoever's page asks.
    pub(crate) by_cookie: bool,
}

impl Principal {
    /// Who has the deployment's own password.
    pub(crate) fn owner(name: &str) -> Self {
        Self { name: name.to_owned(), grants: None, limit: None, by_cookie: false }
    }

    pub(crate) fn user(row: &UserRow) -> Self {
        let grants = row.roles.iter().zip(&row.scopes).zip(&row.custom).map(|((role, scope), custom)| Grant {
            scope: scope.clone(),
            role: match custom {
                // A built-in name is never shadowed by a row.
                Some(words) if built_in(role, May::LoggedIn).is_none() => Err(words.split_whitespace().map(str::to_owned).collect()),
                _ => Ok(role.clone()),
            },
        });
        Self { name: row.name.clone(), grants: Some(grants.collect()), limit: None, by_cookie: false }
    }

    pub(crate) fn limited(mut self, permissions: Option<Vec<String>>) -> Self {
        self.limit = permissions.map(|list| list.into_iter().collect());
        self
    }

    /// Whether a token limits them to less than their roles.
    pub(crate) const fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    pub(crate) fn by_cookie(mut self) -> Self {
        self.by_cookie = true;
        self
    }

    /// Over what they may do this; none: over nothing.
    pub(crate) fn over(&self, may: May) -> Option<Over> {
        if may == May::LoggedIn || may == May::Anybody {
            return Some(Over::Everything);
        }
        if self.limit.as_ref().is_some_and(|limit| !limit.contains(&may.to_string())) {
            return None;
        }
        let Some(grants) = &self.grants else { return Some(Over::Everything) };
        let permitting: Vec<&Grant> = grants.iter().filter(|grant| grant.permits(may)).collect();
        // The page itself shows nothing: what it reads is asked for again.
        if permitting.iter().any(|grant| grant.scope == EVERYTHING) || (may == May::Read(Thing::Page) && !permitting.is_empty()) {
            return Some(Over::Everything);
        }
        if permitting.is_empty() || !may.thing().is_some_and(Thing::of_a_dag) {
            return None;
        }
        let mut selectors: Vec<String> = permitting.iter().map(|grant| grant.scope.clone()).collect();
        selectors.sort();
        selectors.dedup();
        Some(Over::Some(selectors))
    }

    /// All that they may do, with over what, for people: `("runs.create", ["*"])`.
    pub(crate) fn permissions(&self) -> Vec<(String, Vec<String>)> {
        let of = |may: May| match self.over(may)? {
            Over::Everything => Some((may.to_string(), vec![EVERYTHING.to_owned()])),
            Over::Some(selectors) => Some((may.to_string(), selectors)),
        };
        May::all().filter_map(of).collect()
    }
}

/// The DAGs that a request may see and touch. Kept with the request by the guard.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope(pub(crate) Option<Arc<[String]>>);

impl Scope {
    /// All of them.
    pub(crate) const ALL: Self = Self(None);

    /// That of a request which has passed the guard.
    pub(crate) fn of(parts: &axum::http::request::Parts) -> Self {
        // Without one it has not: nothing, then.
        parts.extensions.get().cloned().unwrap_or_else(|| Self(Some(Arc::new([]))))
    }

    /// The refusal of what is about all DAGs.
    pub(crate) fn all_of_it() -> Error {
        let remedy = "name one in the path, or ask an administrator for a role over everything (*)";
        Error::Forbidden(format!("your roles are over some DAGs, and this is about all of them: {remedy}"))
    }

    /// Whether there is nothing that they may not see.
    pub(crate) const fn is_all(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn has(&self, dag_id: &str) -> bool {
        self.0.as_ref().is_none_or(|ids| ids.iter().any(|id| id == dag_id))
    }

    /// Refuses what is of another DAG.
    pub(crate) fn check(&self, dag_id: &str) -> Result<(), Error> {
        if self.has(dag_id) { Ok(()) } else { Err(Self::refusal(dag_id)) }
    }

    pub(crate) fn refusal(dag_id: &str) -> Error {
        Error::Forbidden(format!("none of your roles permits this for the DAG {dag_id:?}: ask an administrator for a role over it"))
    }
}

/// What is wrong with the scope of a role.
pub(crate) fn scope_mistake(scope: &str) -> Option<String> {
    let good = scope == EVERYTHING
        || ["dag:", "tag:", "owner:", "bundle:"].iter().any(|kind| scope.strip_prefix(kind).is_some_and(|rest| !rest.trim().is_empty()));
    (!good).then(|| format!("a scope is *, dag:GLOB, tag:NAME, owner:NAME or bundle:NAME, not {scope:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(roles: &[(&str, &str, Option<&str>)]) -> Principal {
        Principal::user(&UserRow {
            id: 1,
            name: "eve".to_owned(),
            display_name: None,
            email: None,
            password_hash: None,
            active: true,
            generation: 0,
            origin: None,
            created_at: chrono::Utc::now(),
            last_login_at: None,
            roles: roles.iter().map(|r| r.0.to_owned()).collect(),
            scopes: roles.iter().map(|r| r.1.to_owned()).collect(),
            custom: roles.iter().map(|r| r.2.map(str::to_owned)).collect(),
        })
    }

    #[test]
    fn permissions_read_back() {
        for may in May::all() {
            assert_eq!(May::parse(&may.to_string()), Some(may));
        }
        assert_eq!(May::parse("dags.fly"), None);
        assert_eq!(May::parse("anybody"), None);
    }

    #[test]
    fn each_built_in_role_has_all_of_the_one_before_it() {
        for pair in BUILT_IN.windows(2) {
            for may in May::all() {
                assert!(!built_in(pair[0], may).unwrap() || built_in(pair[1], may).unwrap(), "{may}: {pair:?}");
            }
        }
        assert_eq!(built_in("op", May::Create(Thing::Users)), Some(false));
        assert_eq!(built_in("viewer", May::Read(Thing::Variables)), Some(false), "who reads only does not read secrets");
        assert_eq!(built_in("viewer", May::Read(Thing::AuditLog)), Some(false));
        assert_eq!(built_in("user", May::Delete(Thing::Dags)), Some(false));
    }

    #[test]
    fn a_role_over_some_dags_counts_for_what_is_of_a_dag_alone() {
        let eve = principal(&[("op", "tag:team-a", None)]);
        assert_eq!(eve.over(May::Edit(Thing::Runs)), Some(Over::Some(vec!["tag:team-a".to_owned()])));
        assert_eq!(eve.over(May::Read(Thing::Variables)), None);
        assert_eq!(eve.over(May::Edit(Thing::Installation)), None);
        assert_eq!(eve.over(May::Read(Thing::Page)), Some(Over::Everything));
        let both = principal(&[("op", "tag:team-a", None), ("viewer", "*", None)]);
        assert_eq!(both.over(May::Read(Thing::Runs)), Some(Over::Everything));
        assert_eq!(both.over(May::Edit(Thing::Runs)), Some(Over::Some(vec!["tag:team-a".to_owned()])));
        assert_eq!(principal(&[]).over(May::Read(Thing::Dags)), None);
        assert_eq!(principal(&[("nonsense", "*", None)]).over(May::Read(Thing::Dags)), None);
    }

    #[test]
    fn roles_of_ones_own_and_limits_of_tokens() {
        let eve = principal(&[("triggerer", "*", Some("dags.read runs.create"))]);
        assert_eq!(eve.over(May::Create(Thing::Runs)), Some(Over::Everything));
        assert_eq!(eve.over(May::Edit(Thing::Runs)), None);
        let admin = principal(&[("admin", "*", Some("dags.read"))]);
        assert_eq!(admin.over(May::Create(Thing::Users)), Some(Over::Everything), "a row does not change a built-in role");
        let limited = admin.limited(Some(vec!["dags.read".to_owned()]));
        assert_eq!(limited.over(May::Read(Thing::Dags)), Some(Over::Everything));
        assert_eq!(limited.over(May::Create(Thing::Users)), None);
        assert_eq!(Principal::owner("admin").limited(Some(vec![])).over(May::Read(Thing::Dags)), None);
    }

    #[test]
    fn scopes_are_read() {
        for good in ["*", "dag:etl_*", "tag:a b", "owner:x", "bundle:dags"] {
            assert_eq!(scope_mistake(good), None);
        }
        for bad in ["", "etl", "dag:", "team:x"] {
            assert!(scope_mistake(bad).is_some(), "{bad}");
        }
    }
}
