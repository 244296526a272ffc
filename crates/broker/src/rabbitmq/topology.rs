//! The names of queues and exchanges, and how they come to be. Whoever needs one declares it; nobody deletes one.
//!
//! ```text
//! PREFIX.hints.QUEUE   durable queue, by the default exchange: what workers of a logical queue consume
//! PREFIX.wakes         durable queue, by the default exchange: what schedulers consume
//! PREFIX.notices       direct exchange, by worker id, to an exclusive queue that RabbitMQ names and that dies with the worker's connection
//! PREFIX.dead          fanout exchange and queue: what could not be read
//! ```

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ExchangeKind};
use uuid::Uuid;

use super::Shared;
use super::words::{self, LinkError};

/// Most messages in a queue of hints or wakes: RabbitMQ refuses more, and the publisher drops them.
const MOST_WAITING: i64 = 100_000;
/// Most unreadable messages that are kept; the oldest go.
const MOST_DEAD: i64 = 10_000;
/// The longest name that AMQP can carry, in bytes.
const MOST_NAME: usize = 255;

pub(crate) fn hints_queue(prefix: &str, queue: &str) -> String {
    let name = format!("{prefix}.hints.{queue}");
    if name.len() <= MOST_NAME {
        return name;
    }
    // A long name in a script of three bytes a letter. Both ends derive the same short one.
    format!("{prefix}.hints.~{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, queue.as_bytes()))
}

pub(crate) fn wakes_queue(prefix: &str) -> String {
    format!("{prefix}.wakes")
}

pub(crate) fn notices_exchange(prefix: &str) -> String {
    format!("{prefix}.notices")
}

/// The exchange, and the queue behind it.
pub(crate) fn dead(prefix: &str) -> String {
    format!("{prefix}.dead")
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.as_bytes().to_vec().into())
}

/// Declares what is there for everybody. Called at every new connection.
pub(crate) async fn declare_common(shared: &Shared, connection: &Connection) -> Result<(), LinkError> {
    let prefix = &shared.options.prefix;
    let dead = dead(prefix);
    declare_exchange(shared, connection, &dead, ExchangeKind::Fanout).await?;
    declare_exchange(shared, connection, &notices_exchange(prefix), ExchangeKind::Direct).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("classic"));
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(MOST_DEAD));
    declare(shared, connection, &dead, arguments).await?;
    let channel = connection.create_channel().await?;
    channel.queue_bind(name(&dead)?, name(&dead)?, "".into(), QueueBindOptions::default(), FieldTable::default()).await?;
    close(&channel).await;
    declare_queue(shared, connection, &wakes_queue(prefix)).await
}

/// Declares a queue of hints or wakes.
pub(crate) async fn declare_queue(shared: &Shared, connection: &Connection, queue: &str) -> Result<(), LinkError> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text(shared.options.queue_type.as_str()));
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(MOST_WAITING));
    // Refusing the newest tells the publisher; dropping the oldest would go to the dead-letter queue and fill it with what is no riddle.
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments.insert("x-dead-letter-exchange".into(), text(&dead(&shared.options.prefix)));
    declare(shared, connection, queue, arguments).await
}

/// Each on a channel of its own, since a refusal closes the channel. A queue that exists with other arguments works as well as ours: it is
/// used as it is, and said once, instead of hints standing still over a setting.
async fn declare(shared: &Shared, connection: &Connection, queue: &str, arguments: FieldTable) -> Result<(), LinkError> {
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    match channel.queue_declare(name(queue)?, options, arguments).await {
        Ok(_) => {
            close(&channel).await;
            shared.status.warn(queue, None);
            Ok(())
        }
        Err(error) if words::is_precondition_failed(&error) => {
            let text = format!(
                "rabbitmq queue {queue:?} exists with other arguments than these settings give it ({}); it is used as it is; delete it \
                 once (rabbitmqctl delete_queue {queue}) and it is made anew, or set the queue type back",
                words::server_text(&error)
            );
            shared.status.warn(queue, Some(text));
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

async fn declare_exchange(shared: &Shared, connection: &Connection, exchange: &str, kind: ExchangeKind) -> Result<(), LinkError> {
    let channel = connection.create_channel().await?;
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    match channel.exchange_declare(name(exchange)?, kind, options, FieldTable::default()).await {
        Ok(()) => {
            close(&channel).await;
            shared.status.warn(exchange, None);
            Ok(())
        }
        Err(error) if words::is_precondition_failed(&error) => {
            let text = format!("rabbitmq exchange {exchange:?} exists and is another one ({}); delete it once", words::server_text(&error));
            shared.status.warn(exchange, Some(text));
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// A name for the wire. Prefix and queue are checked to fit; a name that does not is an error and never a panic inside the client.
pub(crate) fn name(text: &str) -> Result<ShortString, LinkError> {
    ShortString::try_new(text).map_err(|_| LinkError::Name(text.to_owned()))
}

/// A channel that does not close any more is closed already.
pub(crate) async fn close(channel: &Channel) {
    let _ = channel.close(200, "done".into()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_has_a_name_that_fits() {
        assert_eq!(hints_queue("updraft", "default"), "updraft.hints.default");
        let long = hints_queue(&"p".repeat(100), &"統".repeat(250));
        assert!(long.len() <= MOST_NAME, "{}", long.len());
        assert_ne!(long, hints_queue(&"p".repeat(100), &"統".repeat(249)));
    }
}
