//! (skeleton)

pub mod process;
pub mod runner;
pub mod supervise;
