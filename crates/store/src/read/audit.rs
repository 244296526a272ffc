//! The audit log: who asked for what.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgExecutor, Postgres, QueryBuilder};

use super::{Column, Kind, ListQuery, Page, column};
use crate::{Error, Store};

/// What the audit log can be filtered and ordered by.
pub const AUDIT_COLUMNS: &[Column] = &[
    column("event_log_id", "g.id", Kind::Number),
    column("id", "g.id", Kind::Number),
    column("when", "g.at", Kind::Time),
    column("dttm", "g.at", Kind::Time),
    column("event", "g.event", Kind::Text),
    column("owner", "g.who", Kind::Text),
    column("dag_id", "g.dag_id", Kind::Text),
    column("run_id", "g.run_id", Kind::Text),
    column("task_id", "g.task_id", Kind::Text),
    column("map_index", "g.map_index", Kind::Number),
    column("try_number", "g.try_number", Kind::Number),
    column("logical_date", "g.logical_date", Kind::Time),
    column("extra", "(g.extra::text)", Kind::Text).order_only(),
];

/// One entry.
#[derive(Debug, Clone, FromRow)]
pub struct AuditRow {
    /// Its key.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub who: String,
    /// What, in Airflow's words.
    pub event: String,
    /// The DAG.
    pub dag_id: Option<String>,
    /// The run.
    pub run_id: Option<String>,
    /// The task.
    pub task_id: Option<String>,
    /// Its map index.
    pub map_index: Option<i32>,
    /// Which try.
    pub try_number: Option<i32>,
    /// The run's logical date.
    pub logical_date: Option<DateTime<Utc>>,
    /// The request's own words.
    pub extra: Option<Value>,
    /// Where the client is, as far as it is known.
    pub address: Option<String>,
    /// The DAG, as people name it now; absent when it has no such name, or is gone.
    pub dag_display_name: Option<String>,
}

const SELECT: &str = "select g.id, g.at, g.who, g.event, g.dag_id, g.run_id, g.task_id, g.map_index, g.try_number, g.logical_date, g.extra, g.address, \
    v.head ->> 'display_name' as dag_display_name";
// Outer joins by key: a count leaves them out.
const FROM: &str = " from audit_log g left join dag d on d.dag_id = g.dag_id left join dag_version v on v.id = d.version_id where true";

/// An entry to write.
#[derive(Debug, Clone, Default)]
pub struct Audit<'a> {
    /// Who.
    pub who: &'a str,
    /// What, in Airflow's words (`trigger_dag_run`, `patch_dag`, …).
    pub event: &'a str,
    /// The DAG.
    pub dag_id: Option<&'a str>,
    /// The run.
    pub run_id: Option<&'a str>,
    /// The task.
    pub task_id: Option<&'a str>,
    /// Its map index.
    pub map_index: Option<i32>,
    /// The run's logical date.
    pub logical_date: Option<DateTime<Utc>>,
    /// The request's own words.
    pub extra: Option<Value>,
}

tokio::task_local! {
    /// Where the client is whose request this task answers: for all that is written to the audit log on the way.
    pub static ADDRESS: Option<String>;
}

pub(crate) fn address() -> Option<String> {
    ADDRESS.try_with(Clone::clone).unwrap_or_default()
}

/// The row that stays.
pub(crate) async fn insert(executor: impl PgExecutor<'_>, entry: &Audit<'_>, address: Option<&str>) -> Result<(), Error> {
    sqlx::query(
        "insert into audit_log (who, event, dag_id, run_id, task_id, map_index, logical_date, extra, address)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(entry.who)
    .bind(entry.event)
    .bind(entry.dag_id)
    .bind(entry.run_id)
    .bind(entry.task_id)
    .bind(entry.map_index)
    .bind(entry.logical_date)
    .bind(&entry.extra)
    .bind(address)
    .execute(executor)
    .await
    .map_err(Error::of("audit_write"))?;
    Ok(())
}

/// The line of the role's log.
pub(crate) fn say(entry: &Audit<'_>, address: Option<&str>) {
    tracing::info!(
        target: "updraft::audit",
        who = entry.who, dag_id = entry.dag_id, run_id = entry.run_id, task_id = entry.task_id, map_index = entry.map_index,
        extra = entry.extra.as_ref().map(tracing::field::display), address, "{}", entry.event
    );
}

impl Store {
    /// Writes an entry: a row that stays, and a line of the role's log. What [`Store::change`] can do is written together with its entry.
    pub async fn audit_write(&self, entry: &Audit<'_>) -> Result<(), Error> {
        let address = address();
        insert(&self.pool, entry, address.as_deref()).await?;
        say(entry, address.as_deref());
        Ok(())
    }

    /// Entries, oldest first unless the query orders them.
    pub async fn audit_list(&self, query: &ListQuery) -> Result<Page<AuditRow>, Error> {
        let start = |select: &str| {
            let mut sql = QueryBuilder::<Postgres>::new(select);
            sql.push(FROM);
            query.push_filters(&mut sql);
            sql
        };
        let mut sql = start(SELECT);
        query.push_tail(&mut sql, "g.id", "g.id");
        let mut count = start("select count(*)");
        let (rows, total) = tokio::try_join!(sql.build_query_as().fetch_all(&self.pool), count.build_query_scalar().fetch_one(&self.pool))
            .map_err(Error::of("audit_list"))?;
        Ok(Page { rows, total })
    }

    /// One entry.
    pub async fn audit_get(&self, id: i64) -> Result<Option<AuditRow>, Error> {
        let mut sql = QueryBuilder::new(SELECT);
        sql.push(FROM).push(" and g.id = ").push_bind(id);
        sql.build_query_as().fetch_optional(&self.pool).await.map_err(Error::of("audit_get"))
    }
}
