//! Pools: what they hold, and changing them.

use sqlx::{FromRow, QueryBuilder};

use super::{Column, Kind, ListQuery, Page, column};
use crate::{Error, Store};

/// What a list of pools can be filtered and ordered by.
pub const POOL_COLUMNS: &[Column] = &[
    column("name", "p.name", Kind::Text),
    column("pool_name", "p.name", Kind::Text),
    column("slots", "p.slots", Kind::Number),
    column("id", "p.name", Kind::Text),
    column("pool", "p.name", Kind::Text).order_only(),
];

/// A pool and what is in it, in slots.
#[derive(Debug, Clone, FromRow)]
pub struct PoolRow {
    /// Its name.
    pub name: String,
    /// How many slots; -1: without limit.
    pub slots: i32,
    /// For people.
    pub description: Option<String>,
    /// Airflow's switch.
    pub include_deferred: bool,
    /// Held by attempts that run.
    pub running: i64,
    /// Held by attempts that no worker has taken yet.
    pub queued: i64,
    /// Wanted by instances that are ready.
    pub scheduled: i64,
    /// Of instances that are deferred: they hold none.
    pub deferred: i64,
}

/// A pool to write.
#[derive(Debug, Clone)]
pub struct PoolWrite<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many slots; -1: without limit.
    pub slots: i32,
    /// For people.
    pub description: Option<&'a str>,
    /// Airflow's switch.
    pub include_deferred: bool,
}

pub(crate) const SELECT: &str = "select p.name, p.slots, p.description, p.include_deferred, \
    coalesce((select sum(l.slots) from live_attempt l where l.pool = p.name and l.state = 'running'), 0)::int8 as running, \
    coalesce((select sum(l.slots) from live_attempt l where l.pool = p.name and l.state = 'queued'), 0)::int8 as queued, \
    coalesce((select sum(y.slots) from ready y where y.pool = p.name), 0)::int8 as scheduled, \
    coalesce((select sum(d.slots) from deferred d where d.pool = p.name), 0)::int8 as deferred from pool p where true";

impl Store {
    /// Pools, by name.
    pub async fn pool_list(&self, query: &ListQuery) -> Result<Page<PoolRow>, Error> {
        let mut sql = QueryBuilder::new(SELECT);
        query.push_filters(&mut sql);
        query.push_tail(&mut sql, "p.name", "p.name");
        let rows = sql.build_query_as().fetch_all(&self.pool).await.map_err(Error::of("pool_list"))?;
        let mut sql = QueryBuilder::new("select count(*) from pool p where true");
        query.push_filters(&mut sql);
        let total = sql.build_query_scalar().fetch_one(&self.pool).await.map_err(Error::of("pool_list"))?;
        Ok(Page { rows, total })
    }

    /// One pool.
    pub async fn pool_get(&self, name: &str) -> Result<Option<PoolRow>, Error> {
        let mut sql = QueryBuilder::new(SELECT);
        sql.push(" and p.name = ").push_bind(name);
        sql.build_query_as().fetch_optional(&self.pool).await.map_err(Error::of("pool_get"))
    }
}
