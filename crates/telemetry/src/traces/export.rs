//! The way out: a bounded queue, and one task that empties it in batches. Whoever has a span never waits, and a collector that is away costs
//! spans and nothing else.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{info, warn};
use uuid::Uuid;

use super::settings::Settings;
use crate::metrics;

/// The near end.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) spans: mpsc::Sender<SpanData>,
    flushes: mpsc::Sender<oneshot::Sender<()>>,
}

impl Queue {
    /// Exports what waits now, for so long at most.
    pub(super) async fn flush(&self, most: Duration) {
        let (done, flushed) = oneshot::channel();
        let all = async {
            if self.flushes.send(done).await.is_ok() {
                let _ = flushed.await;
            }
        };
        if tokio::time::timeout(most, all).await.is_err() {
            warn!("not all spans could be exported within {most:?}: the collector is slow or away, and those that waited are lost");
        }
    }
}

/// Begins the exporting task. Connects to nothing until there is a span.
pub(super) fn begin(settings: &Settings, version: &'static str) -> Result<Queue, String> {
    let mut http = reqwest::Client::builder().timeout(settings.timeout).redirect(reqwest::redirect::Policy::none());
    if let Some(path) = &settings.ca {
        let pem = std::fs::read(path).map_err(|error| format!("OTEL_EXPORTER_OTLP_CERTIFICATE {}: {error}", path.display()))?;
        let authorities = reqwest::Certificate::from_pem_bundle(&pem).ok().filter(|all| !all.is_empty());
        let authorities =
            authorities.ok_or_else(|| format!("OTEL_EXPORTER_OTLP_CERTIFICATE {}: it holds no certificate (PEM)", path.display()))?;
        http = http.tls_certs_merge(authorities);
    }
    let http = http.build().map_err(|error| format!("cannot set up HTTP: {error}"))?;
    // Endpoint, headers, timeout and compression it reads from the environment.
    let exporter =
        opentelemetry_otlp::SpanExporter::builder().with_http().with_http_client(http).with_protocol(Protocol::HttpBinary).build();
    let mut exporter = exporter.map_err(|error| format!("OTEL_EXPORTER_OTLP_*: {error}"))?;
    let mut resource = Resource::builder()
        .with_attributes([KeyValue::new("service.version", version), KeyValue::new("service.instance.id", Uuid::new_v4().to_string())]);
    if !settings.service_is_named {
        resource = resource.with_service_name("updraft");
    }
    exporter.set_resource(&resource.build());

    let (spans, waiting) = mpsc::channel(settings.queue);
    let (flushes, asked) = mpsc::channel(1);
    tokio::spawn(work(exporter, waiting, asked, settings.batch, settings.delay));
    Ok(Queue { spans, flushes })
}

/// Exports whenever a batch is full, or its first span has waited for long enough. Asleep while there is none.
async fn work(
    exporter: opentelemetry_otlp::SpanExporter,
    mut waiting: mpsc::Receiver<SpanData>,
    mut flushes: mpsc::Receiver<oneshot::Sender<()>>,
    size: usize,
    delay: Duration,
) {
    let mut batch: Vec<SpanData> = Vec::new();
    let mut due = Instant::now();
    let mut is_away = false;
    loop {
        let mut asked = None;
        while batch.len() < size && asked.is_none() {
            let room = size - batch.len();
            let is_first = batch.is_empty();
            tokio::select! {
                taken = waiting.recv_many(&mut batch, room) => {
                    if taken == 0 {
                        return;
                    }
                    if is_first {
                        due = Instant::now() + delay;
                    }
                }
                Some(done) = flushes.recv() => asked = Some(done),
                () = tokio::time::sleep_until(due), if !is_first => break,
            }
        }
        if asked.is_some() {
            while let Ok(span) = waiting.try_recv() {
                batch.push(span);
            }
        }
        while !batch.is_empty() {
            let rest = batch.split_off(batch.len().min(size));
            let part = std::mem::replace(&mut batch, rest);
            export(&exporter, part, &mut is_away).await;
        }
        if let Some(done) = asked {
            let _ = done.send(());
        }
    }
}

async fn export(exporter: &opentelemetry_otlp::SpanExporter, batch: Vec<SpanData>, is_away: &mut bool) {
    let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
    match exporter.export(batch).await {
        Ok(()) => {
            metrics::traces().exported.inc_by(count);
            if std::mem::take(is_away) {
                info!("the OTLP collector takes spans again");
            }
        }
        Err(error) => {
            metrics::traces().failed.inc_by(count);
            // Said once: a collector may be away for days.
            if !std::mem::replace(is_away, true) {
                warn!(error = %error, "the OTLP collector does not take spans: they are lost until it does (updraft_trace_spans_total counts them)");
            }
        }
    }
}
