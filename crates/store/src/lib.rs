//! All of Postgres: the schema, the one state writer, the claim, leases, logs, and what the API reads.
//!
//! Nobody else writes SQL. A [`Store`] is a handle on a pool of connections; clones share it. Methods are `noun_verb`. Every statement is
//! either a read, a single guarded write, or one of the functions of `migrations/0002_functions.sql` and `0005_backfills.sql`, so that a
//! dropped future or a lost connection never leaves half of a step.

mod admit;
mod attempt;
mod backfill;
mod change;
mod connect;
mod dag;
mod deferred;
mod error;
mod keyring;
mod lease;
mod log;
mod plan;
mod pool;
pub mod read;
mod run;
pub mod users;

pub use admit::{Admission, Candidate, HEAD_RUNS, HEADS_EACH, Head, Heads};
pub use attempt::{Bound, Claimed, FinishOutcome, FinishResult, Finished, RunningAttempt};
pub use backfill::{BackfillChanged, BackfillCreated, NewBackfill, Reprocess};
pub use change::Change;
pub use connect::{MigrationState, Options, Store, Tls};
pub use dag::{DagCursor, DagUpsert, DueDag, SlotRow, Upserted};
pub use deferred::{Deferred, Looked, OtherDag, OtherRun, Triggered, Triggering};
pub use error::{Error, Retry};
pub use keyring::{Keyring, SealError};
pub use lease::{Beat, GroupRow, SchedulerBeat, WorkerRow};
pub use log::{LogChunk, LogEnd};
pub use plan::{Commit, Committed, EventRow, InstanceRow, MOST_EVENTS, MoveRow, RunEnd, RunFacts, RunHead, RunLoad};
pub use run::{IntentEffect, NewRun};
