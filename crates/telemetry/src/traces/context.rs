//! The context of a span: W3C Trace Context, and ids that follow from what a span stands for.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Most of a `tracestate` that is carried, in bytes: what the specification asks for at least.
const MOST_STATE: usize = 512;

/// Which span, in which trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    trace_id: TraceId,
    span_id: SpanId,
    sampled: bool,
    /// `tracestate` as it came: it belongs to others.
    state: Option<String>,
}

impl Context {
    /// Reads a `traceparent`, and the `tracestate` that came with it. None: it is none, and then there is no trace, as the specification says.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let mut parts = traceparent.trim().split('-');
        let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, digits: usize| text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        // A later version may have more fields, version 00 has not.
        if !hex(version, 2) || version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        if !hex(trace_id, 32) || !hex(span_id, 16) || !hex(flags, 2) {
            return None;
        }
        let (trace_id, span_id) = (TraceId::from_hex(trace_id).ok()?, SpanId::from_hex(span_id).ok()?);
        if trace_id == TraceId::INVALID || span_id == SpanId::INVALID {
            return None;
        }
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        let state = tracestate.map(str::trim).filter(|state| is_state(state)).map(str::to_owned);
        Some(Self { trace_id, span_id, sampled, state })
    }

    /// Reads what [`Context::carrier`] wrote.
    pub fn from_carrier(text: &str) -> Option<Self> {
        let (traceparent, tracestate) = text.split_once(' ').map_or((text, None), |(parent, state)| (parent, Some(state)));
        Self::parse(traceparent, tracestate)
    }

    /// Both headers as one text: `traceparent`, and after a space `tracestate`, if there is one.
    pub fn carrier(&self) -> String {
        match &self.state {
            Some(state) => format!("{} {state}", self.traceparent()),
            None => self.traceparent(),
        }
    }

    /// The header.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }

    /// The other header.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Whether its spans are exported.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// An attempt of this run.
    #[must_use]
    pub fn attempt(&self, idx: i32, map_index: i32, attempt: i32) -> Self {
        let parts: [&[u8]; 5] =
            [b"attempt", &self.span_id.to_bytes(), &idx.to_be_bytes(), &map_index.to_be_bytes(), &attempt.to_be_bytes()];
        Self { span_id: span_id(self.trace_id, &parts), ..self.clone() }
    }

    pub(super) fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    pub(super) fn span_id(&self) -> SpanId {
        self.span_id
    }

    pub(super) fn of_run(trace_id: TraceId, sampled: bool, installation: Uuid, run: i64, started_us: i64, trigger: Option<&Self>) -> Self {
        // Traces of several installations may meet (a task of one triggers a run of the other): the installation is part of the id.
        let parts: [&[u8]; 4] = [b"run", installation.as_bytes(), &run.to_be_bytes(), &started_us.to_be_bytes()];
        Self { trace_id, span_id: span_id(trace_id, &parts), sampled, state: trigger.and_then(|trigger| trigger.state.clone()) }
    }

    pub(super) fn of_request(trace_id: TraceId, sampled: bool, incoming: Option<&Self>) -> Self {
        let span_id = span_id(trace_id, &[b"request", Uuid::new_v4().as_bytes()]);
        Self { trace_id, span_id, sampled, state: incoming.and_then(|incoming| incoming.state.clone()) }
    }

    pub(super) fn span_context(&self) -> SpanContext {
        let flags = if self.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let state = self.state.as_deref().and_then(|state| state.parse::<TraceState>().ok()).unwrap_or_default();
        SpanContext::new(self.trace_id, self.span_id, flags, false, state)
    }
}

/// Whether a text may be handed on as `tracestate`. It becomes a variable of a task's environment: nothing but what can be seen.
fn is_state(text: &str) -> bool {
    !text.is_empty() && text.len() <= MOST_STATE && text.bytes().all(|b| matches!(b, b' '..=b'~')) && text.contains('=')
}

/// The trace of a run that nobody's trace triggered.
pub(super) fn trace_id(installation: Uuid, run: i64) -> TraceId {
    TraceId::from_bytes(digest(&[b"trace", installation.as_bytes(), &run.to_be_bytes()]))
}

/// Spreads an id evenly: samplers take its bits for chance, and a UUID has some that are fixed.
pub(super) fn spread(id: TraceId) -> TraceId {
    TraceId::from_bytes(digest(&[b"spread", &id.to_bytes()]))
}

fn span_id(trace_id: TraceId, parts: &[&[u8]]) -> SpanId {
    let trace_id = trace_id.to_bytes();
    let mut all: Vec<&[u8]> = vec![&trace_id];
    all.extend_from_slice(parts);
    let [a, b, c, d, e, f, g, h, ..] = digest(&all);
    SpanId::from_bytes([a, b, c, d, e, f, g, h])
}

/// All parts but the first word of each kind have a fixed length, so no two lists are the same bytes.
fn digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let mut out = [0; 16];
    out.copy_from_slice(&hash.finalize()[..16]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_comes_is_handed_on_as_it_came() {
        for (parent, state) in [(PARENT, None), (PARENT, Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"))] {
            let context = Context::parse(parent, state).unwrap();
            assert_eq!((context.traceparent().as_str(), context.tracestate()), (parent, state));
            assert_eq!(Context::from_carrier(&context.carrier()), Some(context));
        }
        let later = Context::parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-more", None).unwrap();
        assert_eq!(later.traceparent(), PARENT, "of a later version the fields that we know count");
        assert!(!Context::parse(&PARENT.replace("-01", "-00"), None).unwrap().is_sampled());
    }

    #[test]
    fn what_is_no_context_is_none() {
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(Context::parse(bad, None), None, "{bad}");
        }
        for bad in ["", "no pair", "a=b\nc", &format!("a={}", "x".repeat(600)), "ä=b"] {
            assert_eq!(Context::parse(PARENT, Some(bad)).unwrap().tracestate(), None, "{bad}");
        }
    }

    #[test]
    fn every_span_has_an_id_of_its_own_that_stays_the_same() {
        let installation = Uuid::from_u128(7);
        let trace = trace_id(installation, 1);
        let run = |run, started| Context::of_run(trace, true, installation, run, started, None);
        assert_eq!(run(1, 5), run(1, 5));
        let mut ids = std::collections::BTreeSet::new();
        for context in [run(1, 5), run(1, 6), run(2, 5), Context::of_run(trace, true, Uuid::from_u128(8), 1, 5, None)] {
            assert!(ids.insert(context.span_id().to_bytes()));
            for (idx, map_index, attempt) in [(0, -1, 1), (0, -1, 2), (0, 0, 1), (1, -1, 1)] {
                assert_eq!(context.attempt(idx, map_index, attempt), context.attempt(idx, map_index, attempt));
                assert!(ids.insert(context.attempt(idx, map_index, attempt).span_id().to_bytes()));
            }
        }
    }
}
