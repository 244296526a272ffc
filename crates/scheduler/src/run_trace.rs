//! The trace of a run: what its attempts carry, and its span, once it is over. `docs/traces.md` has the protocol.

use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use updraft_model::{InstanceKey, LaunchSpec, RunKey, TraceNotes};
use updraft_store::{Error, RunFacts, Store};
use updraft_telemetry::metrics;
use updraft_telemetry::traces::{Context, Tracer, tracer};
use uuid::Uuid;

/// Variables that hand a context to a child process, as OpenTelemetry names them.
const TRACEPARENT: &str = "TRACEPARENT";
const TRACESTATE: &str = "TRACESTATE";

/// Most runs whose spans wait to be read.
const MOST: usize = 4096;
/// Most runs read at once.
const BATCH: usize = 128;

/// What the attempts of a run belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunTrace {
    /// Spans of ours: the run's own.
    Ours(Context),
    /// We trace nothing and hand on what triggered the run.
    HandedOn(Context),
}

impl RunTrace {
    /// None: nobody traces this run, or it has not started.
    pub(crate) fn of(tracer: Option<&Tracer>, installation: Option<Uuid>, facts: &RunFacts) -> Option<Self> {
        let trigger = facts.trace.as_deref().and_then(Context::from_carrier);
        match (tracer, installation) {
            (Some(tracer), Some(installation)) => {
                let started = facts.start_date?.timestamp_micros();
                Some(Self::Ours(tracer.run(installation, facts.run.0, started, trigger.as_ref())))
            }
            _ => trigger.map(Self::HandedOn),
        }
    }

    /// The header of hints.
    pub(crate) fn traceparent(&self) -> String {
        match self {
            Self::Ours(context) | Self::HandedOn(context) => context.traceparent(),
        }
    }

    /// Puts the context of an attempt into the environment of its command, unless the task has one of its own there. What is noted for the worker
    /// that will make the span.
    pub(crate) fn attempt(
        &self,
        instance: InstanceKey,
        attempt: i32,
        pool: &str,
        queue: &str,
        launch: &mut LaunchSpec,
    ) -> Option<TraceNotes> {
        let (context, notes) = match self {
            Self::HandedOn(context) => (context.clone(), None),
            Self::Ours(run) => {
                let notes = TraceNotes { run: run.carrier(), queue: queue.to_owned(), pool: pool.to_owned() };
                (run.attempt(instance.idx, instance.map_index, attempt), run.is_sampled().then_some(notes))
            }
        };
        let is_set = |name: &str| launch.env.contains_key(name) || launch.pod.as_ref().is_some_and(|pod| names_variable(pod, name));
        if !is_set(TRACEPARENT) {
            let state = context.tracestate().filter(|_| !is_set(TRACESTATE)).map(str::to_owned);
            launch.env.insert(TRACEPARENT.to_owned(), context.traceparent());
            if let Some(state) = state {
                launch.env.insert(TRACESTATE.to_owned(), state);
            }
        }
        notes
    }
}

/// Whether some container of a pod has a variable of this name, wherever in it.
fn names_variable(pod: &Value, name: &str) -> bool {
    match pod {
        Value::Object(fields) => fields.iter().any(|(key, value)| {
            let is_list = ["env", "env_vars"].contains(&key.as_str());
            let of_list = |item: &Value| item.get("name").and_then(Value::as_str) == Some(name);
            (is_list && value.as_array().is_some_and(|list| list.iter().any(of_list))) || names_variable(value, name)
        }),
        Value::Array(items) => items.iter().any(|item| names_variable(item, name)),
        _ => false,
    }
}

/// Takes runs that have ended, to make their spans beside the plan loop, which never waits for it.
#[derive(Debug)]
pub(crate) struct EndedRuns(mpsc::Sender<RunKey>);

impl EndedRuns {
    pub(crate) fn channel() -> (Self, mpsc::Receiver<RunKey>) {
        let (sender, receiver) = mpsc::channel(MOST);
        (Self(sender), receiver)
    }

    pub(crate) fn send(&self, run: RunKey) {
        if self.0.try_send(run).is_err() {
            metrics::traces().dropped.inc();
        }
    }
}

/// Makes the spans of runs from what the database says of them, until nobody sends any more. After `shutdown` a database that does not answer is
/// not waited for.
pub(crate) async fn emit(store: Store, tracer: &'static Tracer, mut ended: mpsc::Receiver<RunKey>, shutdown: CancellationToken) {
    let mut installation = None;
    let mut runs: Vec<RunKey> = Vec::new();
    while !runs.is_empty() || ended.recv_many(&mut runs, BATCH).await > 0 {
        match read(&store, &mut installation, &runs).await {
            Ok((installation, spans)) => {
                spans.iter().for_each(|span| tracer.run_ended(installation, span));
                runs.clear();
            }
            Err(error) if shutdown.is_cancelled() => {
                warn!(error = %error, "the spans of {} runs that ended just now are lost", runs.len());
                return;
            }
            Err(error) => error.patience("read runs for their spans").await,
        }
    }
}

type Spans = (Uuid, Vec<updraft_telemetry::traces::RunSpan>);

async fn read(store: &Store, installation: &mut Option<Uuid>, runs: &[RunKey]) -> Result<Spans, Error> {
    let id = match *installation {
        Some(id) => id,
        None => *installation.insert(store.installation_id().await?),
    };
    Ok((id, store.runs_over(runs).await?))
}

/// The tracer, where there is one, with the task that makes the spans of runs.
pub(crate) fn begin(store: &Store, shutdown: &CancellationToken) -> (Option<EndedRuns>, Option<tokio::task::JoinHandle<()>>) {
    let Some(tracer) = tracer() else { return (None, None) };
    let (sender, receiver) = EndedRuns::channel();
    let emitter = tokio::spawn(emit(store.clone(), tracer, receiver, shutdown.clone()));
    (Some(sender), Some(emitter))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use updraft_model::hint::NOT_MAPPED;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const KEY: InstanceKey = InstanceKey { run: RunKey(1), idx: 0, map_index: NOT_MAPPED };

    fn environment(trace: &RunTrace, mut launch: LaunchSpec) -> Vec<(String, String)> {
        trace.attempt(KEY, 1, "p", "q", &mut launch);
        launch.env.into_iter().collect()
    }

    #[test]
    fn what_triggered_the_run_is_handed_on_where_nothing_is_traced() {
        let context = Context::parse(PARENT, Some("a=b")).unwrap();
        let mut launch = LaunchSpec::default();
        assert_eq!(RunTrace::HandedOn(context).attempt(KEY, 1, "p", "q", &mut launch), None);
        let expected = [(TRACEPARENT.to_owned(), PARENT.to_owned()), (TRACESTATE.to_owned(), "a=b".to_owned())];
        assert_eq!(launch.env.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn each_attempt_has_a_context_of_its_own_below_the_runs() {
        let run = Context::parse(PARENT, None).unwrap();
        let trace = RunTrace::Ours(run.clone());
        let of = |attempt| {
            let mut launch = LaunchSpec::default();
            let notes = trace.attempt(KEY, attempt, "p", "q", &mut launch).unwrap();
            assert_eq!((notes.run.as_str(), notes.queue.as_str(), notes.pool.as_str()), (PARENT, "q", "p"));
            launch.env.remove(TRACEPARENT).unwrap()
        };
        assert_eq!(of(1), run.attempt(0, NOT_MAPPED, 1).traceparent());
        assert_ne!(of(1), of(2));
        let unsampled = RunTrace::Ours(Context::parse(&PARENT.replace("-01", "-00"), None).unwrap());
        assert_eq!(unsampled.attempt(KEY, 1, "p", "q", &mut LaunchSpec::default()), None, "no worker makes a span of it");
    }

    #[test]
    fn a_context_that_the_task_sets_stays() {
        let trace = RunTrace::Ours(Context::parse(PARENT, Some("a=b")).unwrap());
        let own = LaunchSpec { env: [(TRACEPARENT.to_owned(), "mine".to_owned())].into(), ..LaunchSpec::default() };
        assert_eq!(environment(&trace, own), [(TRACEPARENT.to_owned(), "mine".to_owned())]);
        for pod in [
            json!({"env_vars": [{"name": TRACEPARENT, "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]}),
            json!({"full_pod_spec": {"spec": {"containers": [{"name": "base", "env": [{"name": "A"}, {"name": TRACEPARENT, "value": "mine"}]}]}}}),
        ] {
            assert_eq!(environment(&trace, LaunchSpec { pod: Some(pod.clone()), ..LaunchSpec::default() }), [], "{pod}");
        }
        let named_so = json!({"volumes": [{"name": TRACEPARENT}]});
        assert_eq!(environment(&trace, LaunchSpec { pod: Some(named_so), ..LaunchSpec::default() }).len(), 2);
    }
}
