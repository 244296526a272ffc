//! The wire between scheduler, workers and API.
//!
//! Everything that travels here is a hint: ids that say "look there", never state. Losing all of them loses nothing (I10): workers pull from
//! Postgres now and then, schedulers look for the durable marks. So nothing here waits for anything, and a full channel drops.

mod in_process;

pub use in_process::{Broker, Hints, Notices, Wakes};
