//! Logs, by offset: the same for an attempt that lives and for one that is over.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use updraft_model::{AttemptKey, InstanceKey, RunKey};

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

/// A chunk of a log, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct LogPart {
    /// Offset of its first byte.
    pub start: i64,
    /// How many it has.
    pub bytes: i64,
    /// How many of them are line feeds.
    pub lines: i64,
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

    /// Where the chunks of an attempt's log from `start` on are, and how many lines end in each. Their bytes are not read for it.
    pub async fn log_parts(&self, of: AttemptKey, start: i64) -> Result<Vec<LogPart>, Error> {
        let AttemptKey { instance: InstanceKey { run, idx, map_index }, attempt } = of;
        sqlx::query_as(
            "select start, octet_length(data)::int8 as bytes, coalesce(lines, log_lines(data))::int8 as lines from log_chunk \
             where run_id = $1 and idx = $2 and map_index = $3 and attempt = $4 and start >= $5 order by start",
        )
        .bind(run.0)
        .bind(idx)
        .bind(map_index)
        .bind(attempt)
        .bind(start)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("log_parts"))
    }

    /// The chunks that start at one of `from`, `until`, or between them.
    pub async fn log_pieces(&self, of: AttemptKey, from: i64, until: i64) -> Result<Vec<LogPiece>, Error> {
        let AttemptKey { instance: InstanceKey { run, idx, map_index }, attempt } = of;
        sqlx::query_as(
            "select start, data, at from log_chunk \
             where run_id = $1 and idx = $2 and map_index = $3 and attempt = $4 and start between $5 and $6 order by start",
        )
        .bind(run.0)
        .bind(idx)
        .bind(map_index)
        .bind(attempt)
        .bind(from)
        .bind(until)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("log_pieces"))
    }
}
