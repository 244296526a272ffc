//! The connections, with a clock beside them: how long a statement waited for one, and how long it took.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Instant;

use futures::future::{BoxFuture, FusedFuture as _, FutureExt as _};
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

// As sqlx's own for its pool.
impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    // Rows are handed on as they come, never gathered: answers are of 100,000 rows, and whoever asked makes something smaller of each.
    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        // The future owns the connection that the rows borrow from. It lays each one here and stops until that was taken.
        let handed = Arc::new(Mutex::new(None));
        let hand = Arc::clone(&handed);
        let mut reading = async move {
            let mut connection = self.acquire().await?;
            let begin = Instant::now();
            let mut rows = connection.fetch_many(query);
            let end = loop {
                match rows.try_next().await {
                    Ok(Some(row)) => {
                        *hand.lock().unwrap_or_else(PoisonError::into_inner) = Some(row);
                        futures::pending!();
                    }
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            measured(begin);
            end
        }
        .boxed()
        .fuse();
        stream::poll_fn(move |context| {
            if reading.is_terminated() {
                return Poll::Ready(None);
            }
            match reading.poll_unpin(context) {
                Poll::Ready(end) => Poll::Ready(end.err().map(Err)),
                Poll::Pending => match handed.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    Some(row) => Poll::Ready(Some(Ok(row))),
                    None => Poll::Pending,
                },
            }
        })
        .boxed()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer whose end is a fault is still an answer with a beginning.
    #[sqlx::test(migrations = false)]
    async fn rows_are_handed_on_before_the_answer_ends(pool: PgPool) {
        let pool = Pool::new(pool);
        let mut rows = sqlx::query_scalar::<_, i32>("select 1000000 / (200000 - n) from generate_series(1, 200000) n").fetch(&pool);
        assert_eq!(rows.try_next().await.unwrap(), Some(5));
        let mut seen = 1;
        let end = loop {
            match rows.try_next().await {
                Ok(Some(_)) => seen += 1,
                Ok(None) => panic!("it divided by zero"),
                Err(error) => break error,
            }
        };
        assert!(seen > 100_000 && end.to_string().contains("zero"), "{seen} rows, then {end}");
        drop(rows);
        // The connection is in order again, and an answer that nobody read to its end costs only itself.
        let mut rows = sqlx::query("select n from generate_series(1, 200000) n").fetch(&pool);
        assert!(rows.try_next().await.unwrap().is_some());
        drop(rows);
        assert_eq!(sqlx::query_scalar::<_, i32>("select 7").fetch_all(&pool).await.unwrap(), [7]);
        // Waits until all are back.
        tokio::time::timeout(std::time::Duration::from_secs(30), pool.close()).await.unwrap();
    }
}
