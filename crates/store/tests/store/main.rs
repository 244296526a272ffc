//! The store on a real Postgres: each test has a database of its own, made from the migrations. `DATABASE_URL` names the server.

#![expect(clippy::unwrap_used, reason = "these are tests; what allows it in tests does not see their helpers")]

mod admit;
mod backfill;
mod bind;
mod claim;
mod deadlock;
mod deferred;
mod finish;
mod fixture;
mod intent;
mod law;
mod lease;
mod plan;
mod runs;
mod schema;
