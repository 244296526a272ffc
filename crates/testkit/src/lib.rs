//! For tests only: the seeded simulation, and what tests of several crates share.

pub mod random;
pub mod sim;
