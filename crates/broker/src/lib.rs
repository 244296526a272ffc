//! The wire between scheduler, workers and API.
//!
//! Everything that travels here is a hint: ids that say "look there", never state. Losing all of them loses nothing (I10): workers pull
//! from Postgres now and then, schedulers look for the durable marks. So nothing here waits for anything, and a full channel drops.
//!
//! There are two wires behind one [`Broker`]: sets inside one process, and RabbitMQ between processes. `tests/broker` holds both to the
//! same behaviour; `docs/broker.md` has the picture.

mod broker;
mod in_process;
mod rabbitmq;

pub use broker::{Broker, Hints, Notices, QueueDepth, Taken, Wakes};
pub use rabbitmq::options::{Error, Options, QueueType};
pub use rabbitmq::status::{BrokerStatus, Stats};
