//! DAGs, their versions, tags and import errors.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use updraft_model::RunKey;

use super::runs::RunDeleted;
use super::{Column, Filter, Kind, ListQuery, Page, Test, column};
use crate::{Error, Store};

/// What a list of DAGs can be filtered and ordered by.
pub const DAG_COLUMNS: &[Column] = &[
    column("dag_id", "d.dag_id", Kind::Text),
    column("dag_display_name", "coalesce(v.head ->> 'display_name', d.dag_id)", Kind::Text),
    column("paused", "d.is_paused", Kind::Bool),
    column("is_paused", "d.is_paused", Kind::Bool),
    column("is_stale", "d.is_stale", Kind::Bool),
    column("bundle_name", "d.bundle", Kind::Text),
    column("bundle_version", "v.git_commit", Kind::Text),
    column("timetable_type", "(v.head ->> 'timetable_type')", Kind::Text),
    // No DAG has a schedule of assets, nor any dependency on one.
    column("has_asset_schedule", "(d.dag_id is null)", Kind::Bool),
    column("asset_dependency", "null::text", Kind::Text),
    column("relative_fileloc", "d.relative_fileloc", Kind::Text),
    column("last_parsed_time", "d.last_parsed_at", Kind::Time),
    column("next_dagrun", "d.next_logical_date", Kind::Time),
    column("next_dagrun_run_after", "d.next_run_after", Kind::Time),
    column(
        "has_import_errors",
        "exists (select 1 from import_error e where e.bundle = d.bundle and e.relative_fileloc = d.relative_fileloc)",
        Kind::Bool,
    ),
    column(
        "last_run_state",
        "(select r.state from run r where r.dag_id = d.dag_id order by r.run_after desc, r.id desc limit 1)",
        Kind::Text,
    ),
    column(
        "last_dag_run_state",
        "(select r.state from run r where r.dag_id = d.dag_id order by r.run_after desc, r.id desc limit 1)",
        Kind::Text,
    ),
    column(
        "last_run_start_date",
        "(select r.start_date from run r where r.dag_id = d.dag_id order by r.run_after desc, r.id desc limit 1)",
        Kind::Time,
    ),
    // Airflow's other names of the last two.
    column("state", "(select r.state from run r where r.dag_id = d.dag_id order by r.run_after desc, r.id desc limit 1)", Kind::Text)
        .order_only(),
    column(
        "start_date",
        "(select r.start_date from run r where r.dag_id = d.dag_id order by r.run_after desc, r.id desc limit 1)",
        Kind::Time,
    )
    .order_only(),
];

/// What any one run of a DAG must have, for a list of DAGs by their runs. Airflow's names.
pub const ANY_RUN_COLUMNS: &[Column] = &[
    column("dag_run_state", "r.state", Kind::Text),
    column("dag_run_start_date", "r.start_date", Kind::Time),
    column("dag_run_end_date", "r.end_date", Kind::Time),
];

/// What a list of DAG versions can be filtered and ordered by.
pub const VERSION_COLUMNS: &[Column] = &[
    column("dag_id", "v.dag_id", Kind::Text),
    column("version_number", "v.number", Kind::Number),
    column("bundle_name", "d.bundle", Kind::Text),
    column("bundle_version", "v.git_commit", Kind::Text),
    column("created_at", "v.created_at", Kind::Time),
    column("id", "v.id", Kind::Number),
];

/// What a list of import errors can be filtered and ordered by.
pub const IMPORT_ERROR_COLUMNS: &[Column] = &[
    column("filename", "e.relative_fileloc", Kind::Text),
    column("stacktrace", "e.message", Kind::Text).order_only(),
    column("timestamp", "e.at", Kind::Time),
    column("id", "e.id", Kind::Number),
    column("bundle_name", "e.bundle", Kind::Text),
];

/// A DAG with its current version.
#[derive(Debug, Clone, FromRow)]
pub struct DagRow {
    /// Its id.
    pub dag_id: String,
    /// The version that new runs get.
    pub version_id: i64,
    /// Where its file comes from.
    pub bundle: String,
    /// Its file, within the bundle.
    pub relative_fileloc: String,
    /// Its file.
    pub fileloc: String,
    /// Whether it makes no runs by itself.
    pub is_paused: bool,
    /// Whether its file no longer has it.
    pub is_stale: bool,
    /// When its file was last read.
    pub last_parsed_at: DateTime<Utc>,
    /// How long that took, in milliseconds.
    pub last_parse_ms: f64,
    /// The schedule as written.
    pub timetable_summary: String,
    /// The schedule in words.
    pub timetable_description: String,
    /// At most so many runs at once.
    pub max_active_runs: i32,
    /// The next slot.
    pub next_logical_date: Option<DateTime<Utc>>,
    /// Its interval.
    pub next_interval_start: Option<DateTime<Utc>>,
    /// Its interval.
    pub next_interval_end: Option<DateTime<Utc>>,
    /// When that run is made.
    pub next_run_after: Option<DateTime<Utc>>,
    /// Whether the file that it comes from has an error now.
    pub has_import_errors: bool,
    /// The version, as the API names it.
    pub version_uuid: Uuid,
    /// 1 for its first version.
    pub version_number: i32,
    /// The commit that it came with.
    pub git_commit: Option<String>,
    /// When the version was first seen.
    pub version_created_at: DateTime<Utc>,
    /// How many tasks it has.
    pub task_count: i32,
}

/// One version of a DAG.
#[derive(Debug, Clone, FromRow)]
pub struct VersionRow {
    /// Its key.
    pub id: i64,
    /// As the API names it.
    pub uuid: Uuid,
    /// Its DAG.
    pub dag_id: String,
    /// 1 for the first.
    pub number: i32,
    /// The commit that it came with.
    pub git_commit: Option<String>,
    /// Where its file comes from; absent when the DAG is gone.
    pub bundle: Option<String>,
    /// When it was first seen.
    pub created_at: DateTime<Utc>,
}

/// A DAG's source.
#[derive(Debug, Clone, FromRow)]
pub struct SourceRow {
    /// The file as it was read.
    pub source: String,
    /// Of which version.
    pub number: i32,
    /// Where it was.
    pub relative_fileloc: Option<String>,
}

/// How many runs of a DAG are in a state.
#[derive(Debug, Clone, FromRow)]
pub struct StatRow {
    /// The DAG.
    pub dag_id: String,
    /// The state; absent for a DAG without runs.
    pub state: Option<String>,
    /// How many.
    pub count: i64,
    /// The DAG, as people name it, where that is another name.
    pub display_name: Option<String>,
}

/// A file that cannot be read.
#[derive(Debug, Clone, FromRow)]
pub struct ImportErrorRow {
    /// Its key.
    pub id: i64,
    /// Where the file comes from.
    pub bundle: String,
    /// The file.
    pub relative_fileloc: String,
    /// What is wrong, where, and what to do.
    pub message: String,
    /// Since when.
    pub at: DateTime<Utc>,
    /// Its mistakes one by one, with the lines around each. None: a scheduler of the version before wrote it.
    pub details: Option<serde_json::Value>,
}

/// Narrows a list of DAGs by what is in their files.
#[derive(Debug, Clone, Default)]
pub struct DagNarrow {
    /// Tags that it must have.
    pub tags: Vec<String>,
    /// All of them instead of any.
    pub tags_all: bool,
    /// Owners of at least one of its tasks.
    pub owners: Vec<String>,
    /// One run of it must pass all of these, of [`ANY_RUN_COLUMNS`].
    pub any_run: Vec<Filter>,
    /// A favorite of this user, or not one.
    pub favorite: Option<(String, bool)>,
}

/// A pool that a DAG names, and that does not exist.
#[derive(Debug, Clone, FromRow)]
pub struct MissingPoolRow {
    /// The DAG.
    pub dag_id: String,
    /// As people name it, where that is another name.
    pub display_name: Option<String>,
    /// The pool.
    pub pool: String,
    /// Since when the DAG names it.
    pub at: DateTime<Utc>,
}

const DAG_SELECT: &str = "select d.dag_id, d.version_id, d.bundle, d.relative_fileloc, d.fileloc, d.is_paused, d.is_stale, d.last_parsed_at, \
    d.last_parse_ms, d.timetable_summary, d.timetable_description, d.max_active_runs, d.next_logical_date, d.next_interval_start, \
    d.next_interval_end, d.next_run_after, \
    exists (select 1 from import_error e where e.bundle = d.bundle and e.relative_fileloc = d.relative_fileloc) as has_import_errors, \
    v.uuid as version_uuid, v.number as version_number, v.git_commit, v.created_at as version_created_at, v.task_count";
const DAG_FROM: &str = " from dag d join dag_version v on v.id = d.version_id where true";

impl DagNarrow {
    fn push(&self, sql: &mut QueryBuilder<Postgres>) {
        if !self.tags.is_empty() {
            sql.push(" and v.head -> 'tags' ").push(if self.tags_all { "?&" } else { "?|" }).push(" ").push_bind(self.tags.clone());
        }
        if !self.owners.is_empty() {
            sql.push(" and v.head -> 'owners' ?| ").push_bind(self.owners.clone());
        }
        if !self.any_run.is_empty() {
            sql.push(" and exists (select 1 from run r where r.dag_id = d.dag_id");
            for Filter { column, test } in &self.any_run {
                sql.push(" and ");
                test.push(column.sql, sql);
            }
            sql.push(")");
        }
        if let Some((user, is)) = &self.favorite {
            sql.push(if *is { " and " } else { " and not " });
            sql.push("exists (select 1 from dag_favorite f where f.dag_id = d.dag_id and f.user_name = ").push_bind(user.clone()).push(")");
        }
    }
}

impl Store {
    /// DAGs, by id unless the query orders them.
    pub async fn dag_list(&self, query: &ListQuery, narrow: &DagNarrow) -> Result<Page<DagRow>, Error> {
        let mut sql = QueryBuilder::new(DAG_SELECT);
        sql.push(DAG_FROM);
        narrow.push(&mut sql);
        query.push_filters(&mut sql);
        query.push_tail(&mut sql, "d.dag_id", "d.dag_id");
        let rows = sql.build_query_as().fetch_all(&self.pool).await.map_err(Error::of("dag_list"))?;
        let mut sql = QueryBuilder::new("select count(*)");
        sql.push(DAG_FROM);
        narrow.push(&mut sql);
        query.push_filters(&mut sql);
        let total = sql.build_query_scalar().fetch_one(&self.pool).await.map_err(Error::of("dag_list"))?;
        Ok(Page { rows, total })
    }

    /// Forgets the runs of a DAG, and the DAG itself when no file has it any more: one that a file has would be back with the next look at it.
    /// False: attempts of it are live, and what is left stays.
    pub async fn dag_forget(&self, dag_id: &str, by: &str) -> Result<bool, Error> {
        let op = "dag_forget";
        let live: bool =
            sqlx::query_scalar("select exists (select 1 from live_attempt l join run r on r.id = l.run_id where r.dag_id = $1)")
                .bind(dag_id)
                .fetch_one(&self.pool)
                .await
                .map_err(Error::of(op))?;
        if live {
            return Ok(false);
        }
        let runs: Vec<(i64, String)> = sqlx::query_as("select id, state from run where dag_id = $1 order by id")
            .bind(dag_id)
            .fetch_all(&self.pool)
            .await
            .map_err(Error::of(op))?;
        for (run, state) in runs {
            let run = RunKey(run);
            if matches!(state.as_str(), "queued" | "running") {
                self.run_end_by_hand(run, "failed", by).await?;
            }
            // Something of it was admitted since we looked.
            if self.run_delete(run).await? == RunDeleted::Active {
                return Ok(false);
            }
        }
        let mut tx = self.pool.begin().await.map_err(Error::of(op))?;
        // Whoever writes a backfill holds its DAG's row.
        sqlx::query("select 1 from dag where dag_id = $1 for update").bind(dag_id).execute(&mut *tx).await.map_err(Error::of(op))?;
        sqlx::query("delete from backfill where dag_id = $1").bind(dag_id).execute(&mut *tx).await.map_err(Error::of(op))?;
        let gone =
            sqlx::query("delete from dag where dag_id = $1 and is_stale").bind(dag_id).execute(&mut *tx).await.map_err(Error::of(op))?;
        if gone.rows_affected() == 1 {
            sqlx::query("delete from dag_version where dag_id = $1").bind(dag_id).execute(&mut *tx).await.map_err(Error::of(op))?;
        }
        tx.commit().await.map_err(Error::of(op))?;
        Ok(true)
    }

    /// One DAG.
    pub async fn dag_get(&self, dag_id: &str) -> Result<Option<DagRow>, Error> {
        let mut sql = QueryBuilder::new(DAG_SELECT);
        sql.push(DAG_FROM).push(" and d.dag_id = ").push_bind(dag_id);
        sql.build_query_as().fetch_optional(&self.pool).await.map_err(Error::of("dag_get"))
    }

    /// Keys of the versions of a DAG, or of all, whose spec contains `text`: a coarse sieve before looking into the spec itself.
    pub async fn versions_containing(&self, dag_id: Option<&str>, text: &str) -> Result<Vec<i64>, Error> {
        sqlx::query_scalar("select id from dag_version where ($1::text is null or dag_id = $1) and position($2 in spec) > 0")
            .bind(dag_id)
            .bind(text)
            .fetch_all(&self.pool)
            .await
            .map_err(Error::of("versions_containing"))
    }

    /// The source of a version, by its number, or of the current one.
    pub async fn dag_source(&self, dag_id: &str, number: Option<i32>) -> Result<Option<SourceRow>, Error> {
        sqlx::query_as(
            "select v.source, v.number, d.relative_fileloc from dag_version v left join dag d on d.dag_id = v.dag_id \
             where v.dag_id = $1 and case when $2::int is null then v.id = d.version_id else v.number = $2 end",
        )
        .bind(dag_id)
        .bind(number)
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::of("dag_source"))
    }

    /// Versions of a DAG, or of all, oldest first.
    pub async fn version_list(&self, dag_id: Option<&str>, query: &ListQuery) -> Result<Page<VersionRow>, Error> {
        let start = |select: &str| {
            let mut sql = QueryBuilder::<Postgres>::new(select);
            sql.push(" from dag_version v left join dag d on d.dag_id = v.dag_id where true");
            if let Some(dag_id) = dag_id {
                sql.push(" and v.dag_id = ").push_bind(dag_id.to_owned());
            }
            query.push_filters(&mut sql);
            sql
        };
        let mut sql = start("select v.id, v.uuid, v.dag_id, v.number, v.git_commit, d.bundle, v.created_at");
        query.push_tail(&mut sql, "v.id", "v.id");
        let rows = sql.build_query_as().fetch_all(&self.pool).await.map_err(Error::of("version_list"))?;
        let total = start("select count(*)").build_query_scalar().fetch_one(&self.pool).await.map_err(Error::of("version_list"))?;
        Ok(Page { rows, total })
    }

    /// How many runs of these DAGs (empty: of all) are in which state. A DAG without runs has one row without a state.
    pub async fn dag_stats(&self, dag_ids: &[String]) -> Result<Vec<StatRow>, Error> {
        sqlx::query_as(
            // Counted before it is joined: the index on (dag_id, state) has all that the count needs.
            "select d.dag_id, c.state, coalesce(c.count, 0) as count, v.head ->> 'display_name' as display_name \
             from dag d join dag_version v on v.id = d.version_id \
             left join (select r.dag_id, r.state, count(*) as count from run r \
                        where cardinality($1::text[]) = 0 or r.dag_id = any($1) group by r.dag_id, r.state) c on c.dag_id = d.dag_id \
             where (cardinality($1::text[]) = 0 or d.dag_id = any($1)) and (not d.is_stale or d.dag_id = any($1)) order by d.dag_id",
        )
        .bind(dag_ids)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("dag_stats"))
    }

    /// All tags of DAGs that exist and pass the tests, sorted.
    pub async fn dag_tags(&self, tests: &[Test], descending: bool, limit: i64, offset: i64) -> Result<Page<String>, Error> {
        let mut sql = QueryBuilder::new(
            "select distinct t from dag d join dag_version v on v.id = d.version_id, jsonb_array_elements_text(v.head -> 'tags') t where not d.is_stale",
        );
        for test in tests {
            sql.push(" and ");
            test.push("t", &mut sql);
        }
        sql.push(if descending { " order by t desc" } else { " order by t" });
        let all: Vec<String> = sql.build_query_scalar().fetch_all(&self.pool).await.map_err(Error::of("dag_tags"))?;
        let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
        let skip = usize::try_from(offset).unwrap_or(0);
        let take = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(Page { rows: all.into_iter().skip(skip).take(take).collect(), total })
    }

    /// Pools that tasks of DAGs name and that do not exist: their tasks wait for ever.
    pub async fn missing_pools(&self) -> Result<Vec<MissingPoolRow>, Error> {
        sqlx::query_as(
            "select d.dag_id, v.head ->> 'display_name' as display_name, k as pool, v.created_at as at \
             from dag d join dag_version v on v.id = d.version_id, jsonb_array_elements_text(v.head -> 'pools') k \
             where not d.is_stale and not exists (select 1 from pool p where p.name = k) order by d.dag_id, k",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("missing_pools"))
    }

    /// Makes a DAG a favorite of a user; false: it is one already.
    pub async fn favorite_add(&self, dag_id: &str, user: &str) -> Result<bool, Error> {
        let done = sqlx::query("insert into dag_favorite (dag_id, user_name) values ($1, $2) on conflict do nothing")
            .bind(dag_id)
            .bind(user)
            .execute(&self.pool)
            .await
            .map_err(Error::of("favorite_add"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Takes a DAG from the favorites of a user; false: it is none.
    pub async fn favorite_remove(&self, dag_id: &str, user: &str) -> Result<bool, Error> {
        let done = sqlx::query("delete from dag_favorite where dag_id = $1 and user_name = $2")
            .bind(dag_id)
            .bind(user)
            .execute(&self.pool)
            .await
            .map_err(Error::of("favorite_remove"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Whether a DAG is a favorite of a user.
    pub async fn favorite_is(&self, dag_id: &str, user: &str) -> Result<bool, Error> {
        sqlx::query_scalar("select exists (select 1 from dag_favorite where dag_id = $1 and user_name = $2)")
            .bind(dag_id)
            .bind(user)
            .fetch_one(&self.pool)
            .await
            .map_err(Error::of("favorite_is"))
    }

    /// Files that cannot be read, newest last.
    pub async fn import_error_list(&self, query: &ListQuery) -> Result<Page<ImportErrorRow>, Error> {
        let mut sql =
            QueryBuilder::new("select e.id, e.bundle, e.relative_fileloc, e.message, e.at, e.details from import_error e where true");
        query.push_filters(&mut sql);
        query.push_tail(&mut sql, "e.id", "e.id");
        let rows = sql.build_query_as().fetch_all(&self.pool).await.map_err(Error::of("import_error_list"))?;
        let mut sql = QueryBuilder::new("select count(*) from import_error e where true");
        query.push_filters(&mut sql);
        let total = sql.build_query_scalar().fetch_one(&self.pool).await.map_err(Error::of("import_error_list"))?;
        Ok(Page { rows, total })
    }

    /// One of them.
    pub async fn import_error_get(&self, id: i64) -> Result<Option<ImportErrorRow>, Error> {
        sqlx::query_as("select id, bundle, relative_fileloc, message, at, details from import_error where id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(Error::of("import_error_get"))
    }
}
