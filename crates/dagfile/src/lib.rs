//! DAG files → [`updraft_model::DagSpec`].
//!
//! [`yaml`] reads YAML and JSON in process; [`python`] runs Python files in a child process that [`sandbox`] locks down. [`loader`] keeps a
//! folder's DAGs up to date and parses only what changed; [`parser`] has that done in this process or in another, the dag-processor, which
//! holds no credential; [`check`] is the report behind `updraft dags check`, [`migrate`] the one behind `updraft migrate`. Every mistake is a [`Diagnostic`] with its file, line and
//! remedy.
//!
//! Nothing here talks to a database, a broker or a cluster.

pub mod check;
mod dates;
pub mod diagnostic;
pub mod duration;
mod ignore;
pub mod loader;
pub mod migrate;
pub mod parser;
pub mod policy;
pub mod python;
pub mod sandbox;
pub mod scan;
pub mod yaml;

pub use diagnostic::{Diagnostic, Kind, Warning};
pub use ignore::{Filter, IgnoreSyntax};
