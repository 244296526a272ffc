//! Traces: spans of runs and attempts, over OTLP, and the context that ties them together. `docs/traces.md` has the protocol.
//!
//! What is traced outlives every process: a run takes hours, a worker dies and another one watches its attempts. So no span is ever open in
//! memory. It is made at its end, from times that the database has, under an id that follows from what it stands for: whoever makes it once more
//! (after a crash, after an answer that was lost) makes the same one.
//!
//! Off unless an endpoint is set, and then [`tracer`] is one look at an empty cell.

mod context;
mod export;
mod settings;
mod spans;

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry::trace::TraceId;
use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc::error::TrySendError;
use uuid::Uuid;

pub use context::Context;
pub use spans::{AttemptSpan, RequestSpan, RunSpan};

use crate::metrics;
use settings::{Sampler, Settings};

static TRACER: OnceLock<Tracer> = OnceLock::new();

/// Where spans go, in a process that traces.
#[derive(Debug)]
pub struct Tracer {
    sampler: Sampler,
    queue: export::Queue,
    scope: InstrumentationScope,
}

/// Begins tracing, if the environment names an endpoint (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`). Once, in a runtime,
/// after logging has begun: a mistake in the settings is said there and leaves tracing off, since it is no reason not to run tasks.
pub fn begin(version: &'static str) {
    // Told of from the start, whether or not anything is ever traced.
    let _ = metrics::traces();
    let settings = match Settings::read(|name| std::env::var(name).ok()) {
        Ok(Some(settings)) => settings,
        Ok(None) => return,
        Err(why) => {
            tracing::error!("nothing is traced: {why}");
            return;
        }
    };
    match export::begin(&settings, version) {
        Ok(queue) => {
            let scope = InstrumentationScope::builder("updraft").with_version(version).build();
            let _ = TRACER.set(Tracer { sampler: settings.sampler, queue, scope });
        }
        Err(why) => tracing::error!("nothing is traced: {why}"),
    }
}

/// Where spans go. None: this process does not trace.
pub fn tracer() -> Option<&'static Tracer> {
    TRACER.get()
}

/// Exports what waits, for so long at most. What is left then is lost.
pub async fn flush(most: Duration) {
    if let Some(tracer) = tracer() {
        tracer.queue.flush(most).await;
    }
}

impl Tracer {
    /// The context of a run from its start on: a child of what triggered it, or the root of a trace of its own. It follows from its arguments
    /// alone, so every process comes to the same one. A run that is started again goes on in its trace under another span.
    pub fn run(&self, installation: Uuid, run: i64, started_us: i64, trigger: Option<&Context>) -> Context {
        let trace_id = trigger.map_or_else(|| context::trace_id(installation, run), Context::trace_id);
        let sampled = self.sampler.decide(trigger.map(Context::is_sampled), trace_id);
        Context::of_run(trace_id, sampled, installation, run, started_us, trigger)
    }

    /// The context of a request: a child of what came with it, or the root of a trace.
    pub fn request(&self, incoming: Option<&Context>) -> Context {
        let trace_id = incoming.map_or_else(|| TraceId::from_bytes(*Uuid::new_v4().as_bytes()), Context::trace_id);
        let trace_id = if incoming.is_some() { trace_id } else { context::spread(trace_id) };
        Context::of_request(trace_id, self.sampler.decide(incoming.map(Context::is_sampled), trace_id), incoming)
    }

    /// Queues a span. Never waits: what finds no room is dropped and counted.
    fn send(&self, span: SpanData) {
        if let Err(TrySendError::Full(_) | TrySendError::Closed(_)) = self.queue.spans.try_send(span) {
            metrics::traces().dropped.inc();
        }
    }
}
