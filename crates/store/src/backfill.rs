//! Backfills: making one with all its runs, pausing, cancelling. Reads are in [`crate::read::backfills`].

use chrono::{DateTime, Utc};
use serde_json::Value;
use updraft_model::RunKey;

use crate::connect::Store;
use crate::dag::SlotRow;
use crate::error::Error;

/// What becomes of a slot that has a run already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reprocess {
    /// It is passed over.
    None,
    /// A run that failed is done again.
    Failed,
    /// A run that is over is done again.
    Completed,
}

impl Reprocess {
    /// As people and the database call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Failed => "failed",
            Self::Completed => "completed",
        }
    }

    /// Whether a run in this state is done again.
    pub fn takes(self, state: &str) -> bool {
        match self {
            Self::None => false,
            Self::Failed => state == "failed",
            Self::Completed => matches!(state, "failed" | "success"),
        }
    }
}

/// A backfill to create.
#[derive(Debug, Clone)]
pub struct NewBackfill<'a> {
    /// The DAG.
    pub dag_id: &'a str,
    /// The version that its slots were worked out from: the DAG must still have it.
    pub version_id: i64,
    /// The stretch, both ends included.
    pub from: DateTime<Utc>,
    /// See `from`.
    pub to: DateTime<Utc>,
    /// Whether its last slot is the first to run.
    pub backwards: bool,
    /// The conf of its runs. None: new runs have an empty one, runs that are done again keep theirs.
    pub conf: Option<Value>,
    /// What becomes of runs that are there.
    pub reprocess: Reprocess,
    /// How many of its runs may run at once, whatever the DAG's own runs do.
    pub max_active_runs: i32,
    /// The person.
    pub user: &'a str,
    /// Versions of the DAG whose runs go on with `version_id` when they are done again: those that have the same tasks at the same places.
    pub movable: &'a [i64],
    /// Its slots with the names of their runs, in the order in which they run.
    pub slots: &'a [(String, SlotRow)],
}

/// What became of a backfill that was to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackfillCreated {
    /// It is there.
    Done {
        /// Its key.
        id: i64,
        /// How many runs were made.
        made: i32,
        /// Runs that were there, and are done again.
        again: Vec<RunKey>,
    },
    /// The DAG has one that is not complete.
    Active,
    /// The DAG has another version by now, or is gone.
    Changed,
}

/// What became of a request on a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackfillChanged {
    /// It is as wanted.
    Done,
    /// It is complete: nothing changes any more.
    Completed,
    /// There is none.
    Missing,
}

impl Store {
    /// Creates a backfill and its runs, queued: all of it, or nothing when this process or its connection dies.
    pub async fn backfill_create(&self, new: &NewBackfill<'_>) -> Result<BackfillCreated, Error> {
        let of = |part: fn(&SlotRow) -> DateTime<Utc>| new.slots.iter().map(|(_, slot)| part(slot)).collect::<Vec<_>>();
        let row: (String, Option<i64>, i32, Vec<i64>) = sqlx::query_as(
            "select r_result, r_id, r_made, r_again from backfill_create($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        )
        .bind(new.dag_id)
        .bind(new.version_id)
        .bind(new.from)
        .bind(new.to)
        .bind(new.backwards)
        .bind(&new.conf)
        .bind(new.reprocess.as_str())
        .bind(new.max_active_runs)
        .bind(new.user)
        .bind(new.movable)
        .bind(new.slots.iter().map(|(run_id, _)| run_id.clone()).collect::<Vec<_>>())
        .bind(of(|slot| slot.logical_date))
        .bind(of(|slot| slot.interval_start))
        .bind(of(|slot| slot.interval_end))
        .bind(of(|slot| slot.run_after))
        .fetch_one(&self.pool)
        .await
        .map_err(Error::of("backfill_create"))?;
        Ok(match row {
            (result, Some(id), made, again) if result == "created" => {
                BackfillCreated::Done { id, made, again: again.into_iter().map(RunKey).collect() }
            }
            (result, ..) if result == "active" => BackfillCreated::Active,
            _ => BackfillCreated::Changed,
        })
    }

    /// Pauses a backfill, or lets it go on. What runs of it goes on.
    pub async fn backfill_pause(&self, id: i64, paused: bool) -> Result<BackfillChanged, Error> {
        let result: Option<String> = sqlx::query_scalar("select backfill_pause($1, $2)")
            .bind(id)
            .bind(paused)
            .fetch_one(&self.pool)
            .await
            .map_err(Error::of("backfill_pause"))?;
        Ok(changed(result.as_deref()))
    }

    /// Ends a backfill: what is queued of it fails, what runs of it goes on.
    pub async fn backfill_cancel(&self, id: i64, by: &str) -> Result<BackfillChanged, Error> {
        let result: Option<String> = sqlx::query_scalar("select backfill_cancel($1, $2)")
            .bind(id)
            .bind(by)
            .fetch_one(&self.pool)
            .await
            .map_err(Error::of("backfill_cancel"))?;
        Ok(changed(result.as_deref()))
    }
}

fn changed(result: Option<&str>) -> BackfillChanged {
    match result {
        None => BackfillChanged::Missing,
        Some("done") => BackfillChanged::Done,
        Some(_) => BackfillChanged::Completed,
    }
}
