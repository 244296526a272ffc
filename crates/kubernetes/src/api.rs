//! The calls that are made to the API server: each with a deadline, each counted, each with its fault named.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::io::AsyncBufRead;
use k8s_openapi::api::core::v1::Event;
use kube::api::{DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{ObjectList, Request};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;
use updraft_telemetry::metrics;

use crate::errors::Fault;
use crate::seen::SlimPod;

/// Objects in a page of a list.
const PAGE: u32 = 500;

/// A cluster.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    timeout: Duration,
    calls: Counters,
}

#[derive(Default)]
struct Counters {
    create: AtomicU64,
    get: AtomicU64,
    patch: AtomicU64,
    delete: AtomicU64,
    list: AtomicU64,
    logs: AtomicU64,
    events: AtomicU64,
}

/// How many calls were made since the start, watches aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Calls {
    /// Pods created, or tried to.
    pub create: u64,
    /// Pods read by name.
    pub get: u64,
    /// Patches: the start, the stop note, the release.
    pub patch: u64,
    /// Pods deleted.
    pub delete: u64,
    /// Pages of pods.
    pub list: u64,
    /// Reads of logs.
    pub logs: u64,
    /// Reads of a pod's events.
    pub events: u64,
}

impl Calls {
    /// All of them.
    pub fn total(&self) -> u64 {
        let Self { create, get, patch, delete, list, logs, events } = *self;
        create + get + patch + delete + list + logs + events
    }
}

impl Cluster {
    pub(crate) fn new(client: Client, timeout: Duration) -> Self {
        Self { client, timeout, calls: Counters::default() }
    }

    pub(crate) fn calls(&self) -> Calls {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { create, get, patch, delete, list, logs, events } = &self.calls;
        Calls {
            create: read(create),
            get: read(get),
            patch: read(patch),
            delete: read(delete),
            list: read(list),
            logs: read(logs),
            events: read(events),
        }
    }

    /// The server's version, as major and minor.
    pub(crate) async fn version(&self) -> Result<(u32, u32), Fault> {
        let info = self.within(self.client.apiserver_version()).await?;
        let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
        Ok((number(&info.major), number(&info.minor)))
    }

    pub(crate) async fn create(&self, namespace: &str, pod: &Value) -> Result<SlimPod, Fault> {
        count(&self.calls.create, "create");
        let begin = Instant::now();
        let answer = self.call(pods(namespace).create(&PostParams::default(), pod.to_string().into_bytes())).await;
        metrics::pods().created(answer.as_ref().map_or_else(Fault::word, |_| "ok"), begin.elapsed());
        answer
    }

    /// A pod as it is now: read from the quorum, not from a cache. `None` is the server's own word that there is none.
    pub(crate) async fn get(&self, namespace: &str, name: &str) -> Result<Option<SlimPod>, Fault> {
        count(&self.calls.get, "get");
        match self.call(pods(namespace).get(name, &kube::api::GetParams::default())).await {
            Ok(pod) => Ok(Some(pod)),
            Err(fault) if fault.is_not_found() => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// All of a pod, not only what decides something.
    pub(crate) async fn whole(&self, namespace: &str, name: &str) -> Result<Value, Fault> {
        count(&self.calls.get, "get");
        self.call(pods(namespace).get(name, &kube::api::GetParams::default())).await
    }

    /// All events of a pod.
    pub(crate) async fn events(&self, namespace: &str, uid: &str, limit: u32) -> Result<Vec<Event>, Fault> {
        count(&self.calls.events, "events");
        let params = ListParams::default().fields(&format!("involvedObject.uid={uid}")).limit(limit);
        let events: ObjectList<Event> = self.call(Request::new(Event::url_path(&(), Some(namespace))).list(&params)).await?;
        Ok(events.items)
    }

    /// A JSON patch. One whose tests fail is [`Fault::Refused`]: whether the object or only the field changed, a [`Cluster::get`] says.
    pub(crate) async fn patch(&self, namespace: &str, name: &str, operations: Value) -> Result<SlimPod, Fault> {
        count(&self.calls.patch, "patch");
        let operations = serde_json::from_value(operations).map_err(|error| Fault::Refused(error.to_string()))?;
        self.call(pods(namespace).patch(name, &PatchParams::default(), &Patch::Json::<()>(operations))).await
    }

    /// Deletes the pod of that uid and no other. Gone is good.
    pub(crate) async fn delete(&self, namespace: &str, name: &str, uid: &str, grace: Option<u32>) -> Result<(), Fault> {
        count(&self.calls.delete, "delete");
        let begin = Instant::now();
        let params = DeleteParams {
            grace_period_seconds: grace,
            preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            ..DeleteParams::default()
        };
        let answer = self.call::<serde::de::IgnoredAny>(pods(namespace).delete(name, &params)).await;
        metrics::pods().deleted(answer.as_ref().map_or_else(Fault::word, |_| "ok"), begin.elapsed());
        match answer {
            Ok(_) => Ok(()),
            Err(fault) if fault.is_gone() => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// All pods of a selector, page by page.
    pub(crate) async fn list(&self, namespace: &str, selector: &str, mut each: impl FnMut(SlimPod)) -> Result<(), Fault> {
        let mut params = ListParams::default().labels(selector).limit(PAGE);
        loop {
            count(&self.calls.list, "list");
            let page: ObjectList<SlimPod> = self.call(pods(namespace).list(&params)).await?;
            page.items.into_iter().for_each(&mut each);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(()),
            }
        }
    }

    /// The log as a stream. Dropping it ends the transfer.
    pub(crate) async fn logs(&self, namespace: &str, name: &str, params: &LogParams) -> Result<impl AsyncBufRead + use<>, Fault> {
        count(&self.calls.logs, "logs");
        let request = pods(namespace).logs(name, params).map_err(|error| Fault::Refused(error.to_string()))?;
        self.within(self.client.request_stream(request)).await
    }

    /// What is worth a warning about a pod, newest last.
    pub(crate) async fn warnings(&self, namespace: &str, uid: &str) -> Result<Vec<Event>, Fault> {
        count(&self.calls.events, "events");
        let params = ListParams::default().fields(&format!("involvedObject.uid={uid},type=Warning")).limit(20);
        let events: ObjectList<Event> = self.call(Request::new(Event::url_path(&(), Some(namespace))).list(&params)).await?;
        Ok(events.items)
    }

    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<T, Fault> {
        let request = request.map_err(|error| Fault::Refused(error.to_string()))?;
        self.within(self.client.request(request)).await
    }

    /// The client itself waits for ever on a connection that went silent.
    async fn within<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, Fault> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(answer) => answer.map_err(Fault::from),
            Err(_) => Err(Fault::timeout(self.timeout)),
        }
    }
}

fn pods(namespace: &str) -> Request {
    Request::new(SlimPod::url_path(&(), Some(namespace)))
}

fn count(counter: &AtomicU64, verb: &str) {
    counter.fetch_add(1, Ordering::Relaxed);
    metrics::pods().called(verb);
}
