//! A RabbitMQ that says no: it is said in words with a remedy, nobody waits, and it works as soon as it is mended.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use updraft_broker::{Broker, BrokerStatus, Options};
use uuid::Uuid;

use crate::harness::{Installation, amqp_url, collect, default_queue, key, keys, shared_rabbitmqctl, status, within};

async fn reason(broker: &Broker, words: &str) -> String {
    let found = status(broker, words, |status| status.reason.as_ref().is_some_and(|reason| reason.contains(words))).await;
    found.reason.unwrap()
}

fn with_user(url: &str, user: &str, password: &str) -> String {
    let (_, host) = url.split_once('@').unwrap();
    format!("amqp://{user}:{password}@{host}")
}

#[tokio::test]
async fn a_wrong_password_is_said_and_works_once_it_is_right() {
    let Some(url) = amqp_url() else { return };
    let user = format!("user-{}", Uuid::new_v4());
    shared_rabbitmqctl(&["add_user", &user, "first"]);
    shared_rabbitmqctl(&["set_permissions", &user, ".*", ".*", ".*"]);
    let mut options = Options::new(&with_user(&url, &user, "se%40cret%2Fword")).unwrap();
    options.prefix = format!("test-{}", Uuid::new_v4());
    let broker = Broker::connect(options);
    let mut hints = broker.hints(default_queue());
    let said = reason(&broker, "wrong user or password").await;
    assert!(said.contains(&user) && said.contains("change_password") && !said.contains("se@cret") && !said.contains("se%40"), "{said}");
    assert!(!broker.is_up());
    broker.hint("default", [key(0)]);

    shared_rabbitmqctl(&["change_password", &user, "se@cret/word"]);
    status(&broker, "up", BrokerStatus::is_up).await;
    collect(&mut hints, 8, &keys(0..1)).await;
}

#[tokio::test]
async fn missing_virtual_hosts_and_permissions_are_said() {
    let Some(url) = amqp_url() else { return };
    let vhost = format!("team/{}", Uuid::new_v4());
    let user = format!("user-{}", Uuid::new_v4());
    shared_rabbitmqctl(&["add_user", &user, "word"]);
    let base = with_user(&url, &user, "word");
    let path = vhost.replace('/', "%2F");
    let broker = Broker::connect(Options::new(&format!("{}/{path}", base.rsplit_once('/').unwrap().0)).unwrap());
    let mut hints = broker.hints(default_queue());
    let worker = Uuid::new_v4();
    let mut notices = broker.notices(worker);
    let said = reason(&broker, "does not exist").await;
    assert!(said.contains(&vhost) && said.contains("add_vhost"), "{said}");
    shared_rabbitmqctl(&["add_vhost", &vhost]);
    reason(&broker, "set_permissions").await;
    shared_rabbitmqctl(&["set_permissions", "-p", &vhost, &user, "^$", ".*", ".*"]);
    let said = reason(&broker, "needs more permissions").await;
    // What it asks for is enough.
    let names = said.split('\'').nth(1).unwrap();
    shared_rabbitmqctl(&["set_permissions", "-p", &vhost, &user, names, names, names]);
    status(&broker, "up", BrokerStatus::is_up).await;
    broker.hint("default", [key(0)]);
    collect(&mut hints, 8, &keys(0..1)).await;
    within("the first notice", notices.take()).await;
    broker.notify(worker);
    within("a notice", notices.take()).await;
}

#[tokio::test]
async fn nothing_that_listens_is_said_and_nobody_waits() {
    // Bound and not listening: nobody else gets the port meanwhile.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    drop(taken);
    let broker = Broker::connect(Options::new(&format!("amqp://u:secret@127.0.0.1:{port}")).unwrap());
    let begun = Instant::now();
    broker.hint("default", (0..70_000).map(key));
    broker.wake_all();
    broker.notify(Uuid::new_v4());
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(broker.stats().dropped, 70_000 - 65_536);
    let said = reason(&broker, "nothing listens").await;
    assert!(!said.contains("secret"), "{said}");
    let begun = Instant::now();
    broker.close().await;
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_said() {
    let broker = Broker::connect(Options::new("amqp://u:secret@no-such-host.invalid").unwrap());
    reason(&broker, "\"no-such-host.invalid\" is not known").await;
}

/// The TLS address and the folder of its certificates.
fn tls() -> Option<(Options, PathBuf)> {
    amqp_url()?;
    let url = std::env::var("UPDRAFT_TEST_AMQPS_URL").unwrap();
    assert!(!url.is_empty(), "the TLS tests need the openssl command: install it and run this again");
    let mut options = Options::new(&url).unwrap();
    options.prefix = format!("test-{}", Uuid::new_v4());
    Some((options, std::env::var("UPDRAFT_TEST_AMQPS_FILES").unwrap().into()))
}

#[tokio::test]
async fn tls_with_our_authority_and_a_client_certificate() {
    let Some((mut options, files)) = tls() else { return };
    options.ca_file = Some(files.join("ca.pem"));
    options.client_cert_file = Some(files.join("client.pem"));
    options.client_key_file = Some(files.join("client.key"));
    let it = Installation::RabbitMq(Box::new(options));
    let (scheduler, worker) = (it.end().await, it.end().await);
    scheduler.hint("default", [key(0)]);
    collect(&mut worker.hints(default_queue()), 8, &keys(0..1)).await;
}

#[tokio::test]
async fn an_authority_that_nobody_trusts_is_said() {
    let Some((mut options, files)) = tls() else { return };
    options.client_cert_file = Some(files.join("client.pem"));
    options.client_key_file = Some(files.join("client.key"));
    reason(&Broker::connect(options), "CA file").await;
}

#[tokio::test]
async fn a_missing_client_certificate_is_said() {
    let Some((mut options, files)) = tls() else { return };
    options.ca_file = Some(files.join("ca.pem"));
    reason(&Broker::connect(options), "client certificate").await;
}

#[tokio::test]
async fn a_file_that_is_missing_or_something_else_is_said() {
    let Some((mut options, _)) = tls() else { return };
    let folder = tempfile::tempdir().unwrap();
    options.ca_file = Some(folder.path().join("ca.pem"));
    let broker = Broker::connect(options);
    reason(&broker, "cannot read").await;
    // Files are read at each try: it is mended without a restart.
    std::fs::write(folder.path().join("ca.pem"), "not a certificate").unwrap();
    reason(&broker, "holds no certificate").await;
}

#[tokio::test]
async fn tls_at_a_plain_port_is_said() {
    let Some(url) = amqp_url() else { return };
    let broker = Broker::connect(Options::new(&url.replace("amqp://", "amqps://")).unwrap());
    reason(&broker, "does not speak TLS").await;
}
