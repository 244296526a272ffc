//! One suite for both wires, and what only RabbitMQ can do: refuse, forget, be short of memory, go away. On a real server; see
//! `tools/with-rabbitmq.sh`.

mod conformance;
mod harness;
mod node;
mod refusals;
mod topology;
