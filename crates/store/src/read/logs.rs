//! Logs, by offset: the same for an attempt that lives and for one that is over.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use updraft_model::RunKey;

use crate::{Error, Store};

/// Some bytes of an attempt's log, in order.
#[derive(Debug, Clone, FromRow)]
pub struct LogPiece {
    /// Offset of the first byte.
    pub start: i64,
    /// The bytes.
    pub data: Vec<u8>,
    /// When they were stored.
    pub at: DateTime<Utc>,
}

impl Store {
    /// The pieces that hold bytes from `offset` on, at most about `limit` bytes. The first may begin before `offset`.
    pub async fn log_read(
        &self,
        run: RunKey,
        idx: i32,
        map_index: i32,
        attempt: i32,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<LogPiece>, Error> {
        sqlx::query_as(
            "select start, data, at from ( \
                 select start, data, at, sum(length(data)) over (order by start) - length(data) as before from log_chunk \
                 where run_id = $1 and idx = $2 and map_index = $3 and attempt = $4 and start + length(data) > $5) c \
             where before < $6 order by start",
        )
        .bind(run.0)
        .bind(idx)
        .bind(map_index)
        .bind(attempt)
        .bind(offset)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("log_read"))
    }
}
