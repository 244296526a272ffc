//! An OTLP collector for tests: takes `POST /v1/traces` as protobuf over HTTP, as a real one does, and keeps the spans.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::Event;
use prost::Message as _;

/// A span as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Received {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    /// Empty: it is a root.
    pub(crate) parent: String,
    pub(crate) state: String,
    pub(crate) name: String,
    pub(crate) kind: i32,
    /// In nanoseconds since 1970.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) resource: BTreeMap<String, String>,
    /// In order.
    pub(crate) events: Vec<String>,
    /// 0 unset, 1 ok, 2 error.
    pub(crate) status: i32,
    pub(crate) status_message: String,
}

#[derive(Default)]
struct Kept {
    spans: Vec<Received>,
    /// All that arrived, for whoever looks for what must not be in it.
    bytes: Vec<u8>,
    heads: String,
}

/// One that answers until the test ends.
pub(crate) struct Collector {
    port: u16,
    kept: Arc<Mutex<Kept>>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let to = Arc::clone(&kept);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let to = Arc::clone(&to);
                std::thread::spawn(move || while take(&stream, &to).is_some() {});
            }
        });
        Self { port, kept }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn spans(&self) -> Vec<Received> {
        self.kept.lock().unwrap().spans.clone()
    }

    /// Those of this name, in order of their starts.
    pub(crate) fn named(&self, name: &str) -> Vec<Received> {
        let mut spans = self.spans();
        spans.retain(|span| span.name == name);
        spans.sort_by_key(|span| span.start);
        spans
    }

    pub(crate) fn holds(&self, text: &str) -> bool {
        self.kept.lock().unwrap().bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }

    pub(crate) fn heads(&self) -> String {
        self.kept.lock().unwrap().heads.clone()
    }
}

/// One request of a connection. None: there is no more.
fn take(stream: &TcpStream, to: &Mutex<Kept>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let header =
        |name: &str| head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix(name).map(|value| value.trim().to_owned()));
    let mut body = vec![0; header("content-length:")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let is_ours = head.starts_with("POST /v1/traces ") && header("content-type:").as_deref() == Some("application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body.as_slice()).ok().filter(|_| is_ours);
    let status = if request.is_some() { "200 OK" } else { "400 Bad Request" };
    let mut kept = to.lock().unwrap();
    kept.heads.push_str(&head);
    kept.bytes.extend_from_slice(&body);
    kept.spans.extend(request.into_iter().flat_map(received));
    drop(kept);
    write!(&*stream, "HTTP/1.1 {status}\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n").ok()
}

fn received(request: ExportTraceServiceRequest) -> Vec<Received> {
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = attributes(of_resource.resource.unwrap_or_default().attributes);
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let status = span.status.unwrap_or_default();
            spans.push(Received {
                trace_id: hex(&span.trace_id),
                span_id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                state: span.trace_state,
                name: span.name,
                kind: span.kind,
                start: span.start_time_unix_nano,
                end: span.end_time_unix_nano,
                attributes: attributes(span.attributes),
                resource: resource.clone(),
                events: in_order(span.events),
                status: status.code,
                status_message: status.message,
            });
        }
    }
    spans
}

fn in_order(mut events: Vec<Event>) -> Vec<String> {
    events.sort_by_key(|event| event.time_unix_nano);
    events.into_iter().map(|event| event.name).collect()
}

fn attributes(list: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: any_value::Value| match value {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    list.into_iter().filter_map(|one| Some((one.key, text(one.value?.value?)))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
