//! The connections, with a clock beside them: how long a statement waited for one, and how long it took.

use std::time::Instant;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Either, Execute, Executor, Postgres, SqlSafeStr, SqlStr, Transaction};
use updraft_telemetry::metrics;

/// A pool of connections. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Pool(PgPool);

impl Pool {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self(pool)
    }

    pub(crate) async fn acquire(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        let begin = Instant::now();
        let connection = self.0.acquire().await;
        metrics::database().pool_wait.observe(begin.elapsed().as_secs_f64());
        connection
    }

    pub(crate) async fn begin(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        Transaction::begin(self.acquire().await?, None).await
    }

    pub(crate) async fn begin_with(&self, statement: impl SqlSafeStr) -> sqlx::Result<Transaction<'static, Postgres>> {
        Transaction::begin(self.acquire().await?, Some(statement.into_sql_str())).await
    }

    pub(crate) async fn close(&self) {
        self.0.close().await;
    }

    /// Connections that are in use, and those that wait for use.
    pub(crate) fn connections(&self) -> (usize, usize) {
        let (all, idle) = (usize::try_from(self.0.size()).unwrap_or(usize::MAX), self.0.num_idle());
        (all.saturating_sub(idle), idle)
    }
}

fn measured(begin: Instant) {
    metrics::database().statement.observe(begin.elapsed().as_secs_f64());
}

// As sqlx's own for its pool, except that rows are taken from the server all at once: nobody here reads a part of an answer.
impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let all = async move {
            let mut connection = self.acquire().await?;
            let begin = Instant::now();
            let all: sqlx::Result<Vec<_>> = connection.fetch_many(query).try_collect().await;
            measured(begin);
            all.map(|all| stream::iter(all).map(Ok))
        };
        stream::once(all).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let mut connection = self.acquire().await?;
            let begin = Instant::now();
            let row = connection.fetch_optional(query).await;
            measured(begin);
            row
        })
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'p: 'e,
    {
        Box::pin(async move { self.acquire().await?.prepare_with(sql, parameters).await })
    }

    // For sqlx's macros, which have this compiled in.
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<sqlx::Describe<Postgres>>>
    where
        'p: 'e,
    {
        Box::pin(async move { self.acquire().await?.describe(sql).await })
    }
}
