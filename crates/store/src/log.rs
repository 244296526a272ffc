//! The logs of attempts, in chunks.

use updraft_model::AttemptKey;

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
}

impl Store {
    /// Stores chunks. A chunk that is there already is left as it is, so that a worker that adopted an attempt may send it again. Not
    /// synchronous: the runner keeps a log until it is stored and can be read back.
    pub async fn log_append(&self, chunks: &[LogChunk]) -> Result<(), Error> {
        sqlx::query!(
            r#"with off as (select set_config('synchronous_commit', 'off', true))
               insert into log_chunk (run_id, idx, map_index, attempt, start, data)
               select c.* from off, unnest($1::bigint[], $2::int[], $3::int[], $4::int[], $5::bigint[], $6::bytea[]) as c
               on conflict do nothing"#,
            &chunks.iter().map(|c| c.key.instance.run.0).collect::<Vec<_>>(),
            &chunks.iter().map(|c| c.key.instance.idx).collect::<Vec<_>>(),
            &chunks.iter().map(|c| c.key.instance.map_index).collect::<Vec<_>>(),
            &chunks.iter().map(|c| c.key.attempt).collect::<Vec<_>>(),
            &chunks.iter().map(|c| i64::try_from(c.start).unwrap_or(i64::MAX)).collect::<Vec<_>>(),
            &chunks.iter().map(|c| c.data.clone()).collect::<Vec<_>>(),
        )
        .execute(&self.pool)
        .await
        .map_err(Error::of("log_append"))?;
        Ok(())
    }

    /// How many bytes of an attempt's log are stored.
    pub async fn log_length(&self, key: AttemptKey) -> Result<u64, Error> {
        let end = sqlx::query_scalar!(
            r#"select coalesce(max(start + length(data)), 0) as "end!" from log_chunk
               where run_id = $1 and idx = $2 and map_index = $3 and attempt = $4"#,
            key.instance.run.0,
            key.instance.idx,
            key.instance.map_index,
            key.attempt
        )
        .fetch_one(&self.pool)
        .await
        .map_err(Error::of("log_length"))?;
        Ok(u64::try_from(end).unwrap_or(0))
    }
}
