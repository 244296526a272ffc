//! `updraft standalone` as a whole: the real binary, its own Postgres, real processes, killed and restarted.
//!
//! What happened is counted by files to which the commands append, not by our own tables.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod backfills;
mod bad_input;
mod chaos;
#[path = "../collector.rs"]
mod collector;
mod commands;
mod ends;
mod events;
mod harness;
#[path = "../http.rs"]
mod http;
mod metrics;
#[path = "../metrics_page.rs"]
mod metrics_page;
mod migrate;
mod python;
mod secrets;
mod seed;
mod service;
mod setup_teardown;
mod traces;
mod waits;
