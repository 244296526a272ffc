//! One suite for both wires, and what only RabbitMQ can do: refuse, forget, be short of memory, go away. On a real server; see
//! `tools/with-rabbitmq.sh`.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "these are tests; what allows it in tests does not see their helpers")]

mod conformance;
mod harness;
mod node;
mod refusals;
mod topology;
