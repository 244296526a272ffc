//! A fleet as a whole: schedulers, workers and an API as processes of their own, a Postgres of the test's own (durable), a real RabbitMQ; and
//! what can go wrong with each.
//!
//! What happened is counted by a ledger to which the commands append, not by our own tables. `UPDRAFT_FLEET_RUNS` sets how many runs each
//! test makes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]
#![expect(clippy::print_stderr, reason = "the seed of a failed test, and what the cluster held")]

mod canaries;
mod chaos;
#[path = "../collector.rs"]
mod collector;
mod crash_points;
mod database_tls;
mod drain;
mod faults;
mod git;
#[path = "../http.rs"]
mod http;
mod ledger;
mod metrics;
#[path = "../metrics_page.rs"]
mod metrics_page;
mod pods;
mod roles;
mod servers;
mod traces;
