//! XComs: the small values that tasks leave for others.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, Postgres, QueryBuilder};

use updraft_model::RunKey;

use super::instances::InstanceScope;
use super::secrets::Existing;
use super::{Column, Kind, ListQuery, Page, column};
use crate::{Error, Store};

/// What a list of XComs can be filtered and ordered by.
pub const XCOM_COLUMNS: &[Column] = &[
    column("key", "x.key", Kind::Text),
    column("xcom_key", "x.key", Kind::Text),
    column("map_index", "x.map_index", Kind::Number),
    column("map_index_filter", "x.map_index", Kind::Number),
    column("timestamp", "x.at", Kind::Time),
    column("logical_date", "r.logical_date", Kind::Time),
    column("run_after", "r.run_after", Kind::Time),
    column("dag_id", "r.dag_id", Kind::Text),
    column("run_id", "r.run_id", Kind::Text),
    column("dag_display_name", "coalesce(v.head ->> 'display_name', r.dag_id)", Kind::Text),
    // Filtered by through InstanceScope::tasks, ordered by through its words.
    column("task_id", "w.word", Kind::Text).order_only(),
];

/// One value.
#[derive(Debug, Clone, FromRow)]
pub struct XcomRow {
    /// The DAG.
    pub dag_id: String,
    /// The run.
    pub run_id: String,
    /// The run's version.
    pub version_id: i64,
    /// The run's logical date.
    pub logical_date: Option<DateTime<Utc>>,
    /// The run's time.
    pub run_after: DateTime<Utc>,
    /// Position of the task in the version.
    pub idx: i32,
    /// -1 when it is not mapped.
    pub map_index: i32,
    /// `return_value` for what a task returns.
    pub key: String,
    /// The value.
    pub value: Value,
    /// When it was left.
    pub at: DateTime<Utc>,
}

impl Store {
    /// Leaves a value by hand; false: there is one of that key, and it was kept.
    pub async fn xcom_put(
        &self,
        run: RunKey,
        idx: i32,
        map_index: i32,
        key: &str,
        value: &Value,
        existing: Existing,
    ) -> Result<bool, Error> {
        let sql = match existing {
            Existing::Keep => {
                "insert into xcom (run_id, idx, map_index, key, value, attempt)
                 select run_id, idx, map_index, $4, $5, attempt from task_instance where (run_id, idx, map_index) = ($1, $2, $3)
                 on conflict do nothing"
            }
            Existing::Overwrite => "update xcom set value = $5, at = now() where (run_id, idx, map_index, key) = ($1, $2, $3, $4)",
        };
        let done = sqlx::query(sql).bind(run.0).bind(idx).bind(map_index).bind(key).bind(value).execute(&self.pool).await;
        Ok(done.map_err(Error::of("xcom_put"))?.rows_affected() == 1)
    }

    /// Takes a value away; false: there was none.
    pub async fn xcom_delete(&self, run: RunKey, idx: i32, map_index: i32, key: &str) -> Result<bool, Error> {
        let done = sqlx::query("delete from xcom where (run_id, idx, map_index, key) = ($1, $2, $3, $4)")
            .bind(run.0)
            .bind(idx)
            .bind(map_index)
            .bind(key)
            .execute(&self.pool)
            .await
            .map_err(Error::of("xcom_delete"))?;
        Ok(done.rows_affected() == 1)
    }

    /// XComs, in the order of the file.
    pub async fn xcom_list(&self, scope: &InstanceScope, query: &ListQuery) -> Result<Page<XcomRow>, Error> {
        let start = |select: &str| {
            let mut sql = QueryBuilder::<Postgres>::new(select);
            // Outer joins: a count leaves out those of which nothing is asked.
            sql.push(" from xcom x left join run r on r.id = x.run_id left join dag_version v on v.id = r.version_id");
            scope.push_words(&mut sql, "x");
            sql.push(" where true");
            if let Some(run) = scope.run {
                sql.push(" and x.run_id = ").push_bind(run.0);
            }
            if let Some(dag_id) = &scope.dag_id {
                sql.push(" and r.dag_id = ").push_bind(dag_id.clone());
            }
            if let Some(tasks) = &scope.tasks {
                let (versions, positions): (Vec<i64>, Vec<i32>) = tasks.iter().copied().unzip();
                sql.push(" and (r.version_id, x.idx) in (select * from unnest(")
                    .push_bind(versions)
                    .push("::bigint[], ")
                    .push_bind(positions)
                    .push("::int[]))");
            }
            query.push_filters(&mut sql);
            sql
        };
        let mut sql =
            start("select r.dag_id, r.run_id, r.version_id, r.logical_date, r.run_after, x.idx, x.map_index, x.key, x.value, x.at");
        query.push_tail(&mut sql, "x.run_id, x.idx, x.map_index, x.key", "x.run_id, x.idx, x.map_index, x.key");
        let rows = sql.build_query_as().fetch_all(&self.pool).await.map_err(Error::of("xcom_list"))?;
        let total = start("select count(*)").build_query_scalar().fetch_one(&self.pool).await.map_err(Error::of("xcom_list"))?;
        Ok(Page { rows, total })
    }
}
