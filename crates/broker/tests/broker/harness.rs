//! An installation of its own for each test: its own prefix, any number of ends.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lapin::options::{BasicGetOptions, BasicPublishOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use updraft_broker::{Broker, BrokerStatus, Hints, Options, QueueType};
use updraft_model::{AttemptKey, InstanceKey, RunKey};
use uuid::Uuid;

/// Everything here takes milliseconds; a node that restarts takes seconds.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// The address of the RabbitMQ of this test run. `None` only if somebody said that it is to be left out.
pub(crate) fn amqp_url() -> Option<String> {
    match std::env::var("UPDRAFT_TEST_AMQP_URL") {
        Ok(skip) if skip == "skip" => {
            eprintln!("left out: UPDRAFT_TEST_AMQP_URL is skip");
            None
        }
        Ok(url) => Some(url),
        Err(_) => panic!(
            "these tests need a RabbitMQ: run them inside tools/with-rabbitmq.sh, or set UPDRAFT_TEST_AMQP_URL=skip to leave them out"
        ),
    }
}

pub(crate) enum Installation {
    InProcess(Broker),
    RabbitMq(Box<Options>),
}

impl Installation {
    pub(crate) fn in_process() -> Option<Self> {
        Some(Self::InProcess(Broker::in_process()))
    }

    pub(crate) fn classic() -> Option<Self> {
        Some(Self::at(&amqp_url()?, QueueType::Classic))
    }

    pub(crate) fn quorum() -> Option<Self> {
        Some(Self::at(&amqp_url()?, QueueType::Quorum))
    }

    pub(crate) fn at(url: &str, queue_type: QueueType) -> Self {
        let mut options = Options::new(url).unwrap();
        options.prefix = format!("test-{}", Uuid::new_v4());
        options.queue_type = queue_type;
        Self::RabbitMq(Box::new(options))
    }

    pub(crate) fn options(&self) -> Options {
        match self {
            Self::InProcess(_) => panic!("an in-process broker has no options"),
            Self::RabbitMq(options) => Options::clone(options),
        }
    }

    pub(crate) fn queue(&self, queue: &str) -> String {
        format!("{}.hints.{queue}", self.options().prefix)
    }

    /// Another end: another process, so to speak.
    pub(crate) async fn end(&self) -> Broker {
        match self {
            Self::InProcess(broker) => broker.clone(),
            Self::RabbitMq(options) => {
                let broker = Broker::connect(Options::clone(options));
                status(&broker, "up", BrokerStatus::is_up).await;
                broker
            }
        }
    }
}

pub(crate) fn key(idx: i32) -> AttemptKey {
    AttemptKey { instance: InstanceKey { run: RunKey(7), idx, map_index: -1 }, attempt: 1 }
}

pub(crate) fn keys(range: std::ops::Range<i32>) -> BTreeSet<AttemptKey> {
    range.map(key).collect()
}

pub(crate) fn default_queue() -> Vec<String> {
    vec!["default".to_owned()]
}

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what} did not happen within {SOON:?}"))
}

/// Waits for a status.
pub(crate) async fn status(broker: &Broker, what: &str, is: impl Fn(&BrokerStatus) -> bool) -> BrokerStatus {
    let mut receiver = broker.status();
    let found = tokio::time::timeout(SOON, receiver.wait_for(|status| is(status))).await.map(|found| found.unwrap().clone());
    found.unwrap_or_else(|_| panic!("the status {what:?} did not come; it is {:?}", broker.status().borrow()))
}

/// Takes and claims until these are there. Answers how often each batch held something that was there before.
pub(crate) async fn collect(hints: &mut Hints, room: usize, expected: &BTreeSet<AttemptKey>) -> usize {
    let mut seen = BTreeSet::new();
    let mut doubled = 0;
    while !seen.is_superset(expected) {
        let missing = expected.len() - seen.intersection(expected).count();
        let taken = tokio::time::timeout(SOON, hints.take(room))
            .await
            .unwrap_or_else(|_| panic!("{missing} hints of {} never came", expected.len()));
        assert!(taken.keys.len() <= room, "{} hints for a room of {room}", taken.keys.len());
        for key in &taken.keys {
            assert!(expected.contains(key), "{key:?} was not expected");
            doubled += usize::from(!seen.insert(*key));
        }
        taken.done();
    }
    doubled
}

/// The same where hints may come twice and others come as well: something failed on the way.
pub(crate) async fn see(hints: &mut Hints, expected: &BTreeSet<AttemptKey>) {
    let mut seen = BTreeSet::new();
    while !seen.is_superset(expected) {
        let taken = within("the hints again", hints.take(64)).await;
        seen.extend(taken.keys.iter().copied());
        taken.done();
    }
}

/// Waits until it is true. For what has no signal of its own.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, is: impl Fn() -> F) {
    within(what, async {
        while !is().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// A plain client beside ours, for what ours never does.
pub(crate) struct Plain {
    _connection: Connection,
    pub(crate) channel: Channel,
}

impl Plain {
    pub(crate) async fn connect(url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        Self { _connection: connection, channel }
    }

    pub(crate) async fn send(&self, queue: &str, properties: BasicProperties, body: &[u8]) {
        let options = BasicPublishOptions::default();
        self.channel.basic_publish("".into(), queue.into(), options, body, properties).await.unwrap().await.unwrap();
    }

    /// Waits for a message and takes it.
    pub(crate) async fn get(&self, queue: &str) -> lapin::message::BasicGetMessage {
        within("a message", async {
            loop {
                if let Some(message) = self.channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap() {
                    return message;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    pub(crate) async fn delete(&self, queue: &str) {
        self.channel.queue_delete(queue.into(), Default::default()).await.unwrap();
    }
}

pub(crate) fn rabbitmqctl(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "rabbitmqctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn shared_rabbitmqctl(arguments: &[&str]) {
    rabbitmqctl(&std::env::var("UPDRAFT_TEST_RABBITMQCTL").unwrap(), arguments);
}

/// A node of its own, for tests that disturb all of it. It goes when this is dropped.
pub(crate) struct Node {
    script: Child,
    pub(crate) url: String,
    ctl: String,
}

impl Node {
    pub(crate) fn start() -> Option<Self> {
        amqp_url()?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/with-rabbitmq.sh");
        let print = r#"printf '%s\n%s\n' "$UPDRAFT_TEST_AMQP_URL" "$UPDRAFT_TEST_RABBITMQCTL"; cat"#;
        let mut script = Command::new(script).args(["sh", "-c", print]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(script.stdout.take().unwrap()).lines();
        let mut line = || lines.next().unwrap().unwrap();
        let (url, ctl) = (line(), line());
        Some(Self { script, url, ctl })
    }

    pub(crate) fn ctl(&self, arguments: &[&str]) {
        rabbitmqctl(&self.ctl, arguments);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The end of its input is the end of the script, which takes the node away.
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}
