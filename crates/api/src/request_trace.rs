//! The span of a request that begins something: what comes of it is below this span, which itself is below the caller's, where there is one.

use std::time::SystemTime;

use axum::http::HeaderMap;
use updraft_telemetry::traces::{Context, RequestSpan, tracer};

/// A request that is being answered.
pub(crate) struct RequestTrace {
    incoming: Option<Context>,
    /// Its own span's, if this process traces.
    own: Option<Context>,
    started_at: SystemTime,
}

impl RequestTrace {
    /// By the headers `traceparent` and `tracestate`. What is no context counts as none.
    pub(crate) fn begin(headers: &HeaderMap) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        // A tracestate may come in several headers, and then none of them is whole.
        let state = header("tracestate").filter(|_| headers.get_all("tracestate").iter().count() == 1);
        let incoming = header("traceparent").and_then(|parent| Context::parse(parent, state));
        let own = tracer().map(|tracer| tracer.request(incoming.as_ref()));
        Self { incoming, own, started_at: SystemTime::now() }
    }

    /// What the request makes is a child of this. Without tracing here that is the caller's span.
    pub(crate) fn carrier(&self) -> Option<String> {
        self.own.as_ref().or(self.incoming.as_ref()).map(Context::carrier)
    }

    /// The request is answered.
    pub(crate) fn end(&self, method: &'static str, route: &'static str, status: u16, dag_id: &str, run_id: Option<&str>) {
        if let (Some(tracer), Some(context)) = (tracer(), &self.own) {
            let (incoming, started_at) = (self.incoming.as_ref(), self.started_at);
            tracer.request_ended(&RequestSpan { context, incoming, method, route, status, dag_id, run_id, started_at });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tracing_the_callers_context_is_handed_on() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let carrier = |headers: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().unwrap());
            }
            RequestTrace::begin(&map).carrier()
        };
        assert_eq!(carrier(&[]), None);
        assert_eq!(carrier(&[("traceparent", "nonsense"), ("tracestate", "a=b")]), None);
        assert_eq!(carrier(&[("traceparent", parent)]).as_deref(), Some(parent));
        assert_eq!(carrier(&[("traceparent", parent), ("tracestate", "a=b")]), Some(format!("{parent} a=b")));
        assert_eq!(carrier(&[("traceparent", parent), ("tracestate", "a=b"), ("tracestate", "c=d")]).as_deref(), Some(parent));
    }
}
