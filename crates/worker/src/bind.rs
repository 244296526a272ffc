//! Binding: of all the objects that anybody ever made for an attempt, the store lets one start. One transaction for whatever waits by now, as
//! with ends: the commit is on the path of every pod.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tracing::error;
use updraft_model::AttemptKey;
use updraft_store::Bound;

use crate::Shared;
use crate::runner::Runner;

/// Most binds in one transaction.
const BATCH: usize = 64;

/// An object that wants to start.
pub(crate) struct Bind {
    key: AttemptKey,
    handle: String,
    answer: oneshot::Sender<Bound>,
}

/// Binds an object to an attempt and waits for the answer. While the store is away, so does the object.
pub(crate) async fn bind<R: Runner>(shared: &Shared<R>, key: AttemptKey, handle: &str) -> Bound {
    let (answer, answered) = oneshot::channel();
    let _ = shared.binds.send(Bind { key, handle: handle.to_owned(), answer });
    // Without an answer nothing is known: whoever has the attempt after this worker goes on.
    answered.await.unwrap_or(Bound::NotMine)
}

/// Binds until the worker is gone.
pub(crate) async fn binder<R: Runner>(shared: Arc<Shared<R>>, mut queue: mpsc::UnboundedReceiver<Bind>) {
    let mut batch: Vec<Bind> = Vec::new();
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let binds: Vec<(AttemptKey, String)> = batch.iter().map(|b| (b.key, b.handle.clone())).collect();
        let answers = loop {
            match shared.store.attempts_bind(shared.id, &binds).await {
                Ok(answers) => break answers,
                Err(error) if error.retry() == updraft_store::Retry::Never => {
                    error!(error = %error, "attempts cannot be bound");
                    break vec![Bound::NotMine; binds.len()];
                }
                Err(error) => error.patience("bind").await,
            }
        };
        for (bind, answer) in batch.drain(..).zip(answers) {
            let _ = bind.answer.send(answer);
        }
    }
}
