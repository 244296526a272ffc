//! What RabbitMQ itself says of the queues: asked now and then, by people.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use tokio::time::timeout;

use super::status::Side;
use super::words::{LinkError, explain, is_not_found};
use super::{Shared, link, topology};
use crate::QueueDepth;

/// The longest that an answer may take, the connection included.
const WITHIN: Duration = Duration::from_secs(5);
/// The longest that the farewell may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// How many messages are ready in each of these logical queues, and how many consumers it has. A queue that RabbitMQ does not have is left out.
///
/// On a connection of its own: a passive declare of a queue that is not there closes its channel, and a server that is slow to answer must not
/// hold up hints.
pub(crate) async fn depths(shared: &Shared, queues: &[String]) -> Result<Vec<QueueDepth>, String> {
    let asked = timeout(WITHIN, ask(shared, queues)).await.unwrap_or(Err(LinkError::Silent("the counts of its queues")));
    asked.map_err(|error| explain(&error, &shared.options))
}

async fn ask(shared: &Shared, queues: &[String]) -> Result<Vec<QueueDepth>, LinkError> {
    let connection = link::open(shared, Side::Publish).await?;
    let mut found = Vec::with_capacity(queues.len());
    for queue in queues {
        let channel = connection.create_channel().await?;
        let name = topology::name(&topology::hints_queue(&shared.options.prefix, queue))?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        match channel.queue_declare(name, passive, FieldTable::default()).await {
            Ok(declared) => {
                found.push(QueueDepth { queue: queue.clone(), messages: declared.message_count(), consumers: declared.consumer_count() });
                topology::close(&channel).await;
            }
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let _ = timeout(CLOSE_WITHIN, connection.close(200, "done".into())).await;
    Ok(found)
}
