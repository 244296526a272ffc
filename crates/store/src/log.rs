//! The logs of attempts, in chunks.

use updraft_model::{AttemptKey, InstanceKey, RunKey};

use crate::connect::Store;
use crate::error::Error;

/// A piece of an attempt's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// The attempt.
    pub key: AttemptKey,
    /// Offset of its first byte.
    pub start: u64,
    /// Its bytes.
    pub data: Vec<u8>,
    /// The runner's own mark of where it ends.
    pub cursor: Option<String>,
}

/// How far an attempt's log is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogEnd {
    /// Bytes.
    pub offset: u64,
    /// The runner's own mark of that place.
    pub cursor: Option<String>,
}

impl Store {
    /// Stores chunks, and says of which attempts a chunk was *not* taken: another worker, which died or was stopped for a while, had stored
    /// one that starts there. Then go on from [`Store::log_end`]. Not synchronous: the runner keeps a log until it is stored and can be read
    /// back.
    pub async fn log_append(&self, chunks: &[LogChunk]) -> Result<Vec<AttemptKey>, Error> {
        let rows = sqlx::query!(
            r#"with off as (select set_config('synchronous_commit', 'off', true)),
               c as (select c.* from off, unnest($1::bigint[], $2::int[], $3::int[], $4::int[], $5::bigint[], $6::bytea[], $7::text[], $8::int[])
                   as c (run_id, idx, map_index, attempt, start, data, cursor, lines)),
               taken as (
                   insert into log_chunk (run_id, idx, map_index, attempt, start, data, cursor, lines) select * from c on conflict do nothing
                   returning run_id, idx, map_index, attempt, start)
               select c.run_id as "run!", c.idx as "idx!", c.map_index as "map!", c.attempt as "attempt!" from c
               where (c.run_id, c.idx, c.map_index, c.attempt, c.start) not in (select * from taken)"#,
            &chunks.iter().map(|c| c.key.instance.run.0).collect::<Vec<_>>(),
            &chunks.iter().map(|c| c.key.instance.idx).collect::<Vec<_>>(),
            &chunks.iter().map(|c| c.key.instance.map_index).collect::<Vec<_>>(),
            &chunks.iter().map(|c| c.key.attempt).collect::<Vec<_>>(),
            &chunks.iter().map(|c| i64::try_from(c.start).unwrap_or(i64::MAX)).collect::<Vec<_>>(),
            &chunks.iter().map(|c| c.data.clone()).collect::<Vec<_>>(),
            &chunks.iter().map(|c| c.cursor.clone()).collect::<Vec<_>>() as &[Option<String>],
            &chunks.iter().map(|c| i32::try_from(memchr::memchr_iter(b'\n', &c.data).count()).unwrap_or(i32::MAX)).collect::<Vec<_>>(),
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("log_append"))?;
        Ok(rows
            .into_iter()
            .map(|r| AttemptKey { instance: InstanceKey { run: RunKey(r.run), idx: r.idx, map_index: r.map }, attempt: r.attempt })
            .collect())
    }

    /// How far an attempt's log is stored.
    pub async fn log_end(&self, key: AttemptKey) -> Result<LogEnd, Error> {
        let end = sqlx::query!(
            r#"select start + length(data) as "end!", cursor from log_chunk
               where run_id = $1 and idx = $2 and map_index = $3 and attempt = $4 order by start desc limit 1"#,
            key.instance.run.0,
            key.instance.idx,
            key.instance.map_index,
            key.attempt
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(Error::of("log_end"))?;
        Ok(end.map(|end| LogEnd { offset: u64::try_from(end.end).unwrap_or(0), cursor: end.cursor }).unwrap_or_default())
    }
}
