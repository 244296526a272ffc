//! What the messages look like. Whoever reads one believes nothing: a message that is not exactly this is refused with a reason in words.
//!
//! ```json
//! {"v":1,"hints":[[12,0,-1,1],[12,1,-1,1]]}          run, index of the task, map index, attempt
//! {"v":1,"runs":[12,13],"all":false}
//! {"v":1,"worker":"0192…"}
//! ```

use std::sync::Arc;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde::{Deserialize, Serialize};
use updraft_model::{AttemptKey, InstanceKey, RunKey};
use uuid::Uuid;

use crate::broker::Trace;

/// The version that we write, and the only one that we read.
const VERSION: u32 = 1;
/// The longest body. [`MOST_IDS`] of the widest ids fit.
pub(crate) const MOST_BYTES: usize = 8 * 1024;
/// Most ids in one message.
pub(crate) const MOST_IDS: usize = 64;
/// The map index of a task that is not mapped; less is nonsense.
const NOT_MAPPED: i32 = -1;
const CONTENT_TYPE: &str = "application/json";
const TRACEPARENT: &str = "traceparent";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HintsBody {
    v: u32,
    hints: Vec<(RunKey, i32, i32, i32)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WakesBody {
    v: u32,
    runs: Vec<RunKey>,
    all: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoticeBody {
    v: u32,
    worker: Uuid,
}

/// Read first: of another version nothing but this is known.
#[derive(Deserialize)]
struct VersionOnly {
    v: u32,
}

pub(crate) fn encode_hints(keys: &[AttemptKey]) -> Vec<u8> {
    let hints = keys.iter().map(|key| (key.instance.run, key.instance.idx, key.instance.map_index, key.attempt)).collect();
    encode(&HintsBody { v: VERSION, hints })
}

pub(crate) fn encode_wakes(runs: &[RunKey], all: bool) -> Vec<u8> {
    encode(&WakesBody { v: VERSION, runs: runs.to_vec(), all })
}

pub(crate) fn encode_notice(worker: Uuid) -> Vec<u8> {
    encode(&NoticeBody { v: VERSION, worker })
}

fn encode(body: &impl Serialize) -> Vec<u8> {
    // Integers, booleans and a UUID: there is nothing in it that JSON could not hold.
    serde_json::to_vec(body).unwrap_or_default()
}

/// Properties of what we send. Hints may be lost, so they are not written to disk (mode 1).
pub(crate) fn properties(trace: &Trace) -> BasicProperties {
    let properties = BasicProperties::default().with_content_type(CONTENT_TYPE.into()).with_delivery_mode(1);
    match trace {
        None => properties,
        Some(trace) => {
            let mut headers = FieldTable::default();
            headers.insert(TRACEPARENT.into(), AMQPValue::LongString(trace.as_bytes().to_vec().into()));
            properties.with_headers(headers)
        }
    }
}

/// Properties of what could not be read: kept until somebody looks, with what was wrong and where it came from.
pub(crate) fn dead_properties(original: &BasicProperties, reason: &str, queue: &str, size: usize) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert("x-updraft-reason".into(), AMQPValue::LongString(reason.as_bytes().to_vec().into()));
    headers.insert("x-updraft-queue".into(), AMQPValue::LongString(queue.as_bytes().to_vec().into()));
    headers.insert("x-updraft-size".into(), AMQPValue::LongLongInt(i64::try_from(size).unwrap_or(i64::MAX)));
    let mut properties = BasicProperties::default().with_delivery_mode(2).with_headers(headers);
    if let Some(content_type) = original.content_type() {
        properties = properties.with_content_type(content_type.clone());
    }
    properties
}

pub(crate) fn decode_hints(properties: &BasicProperties, body: &[u8]) -> Result<(Vec<AttemptKey>, Trace), String> {
    let HintsBody { hints, .. } = decode(properties, body)?;
    count_fits(hints.len(), "hints", 1)?;
    let keys = hints
        .into_iter()
        .map(|(run, idx, map_index, attempt)| {
            if run.0 < 0 || idx < 0 || map_index < NOT_MAPPED || attempt < 1 {
                return Err(format!("[{run},{idx},{map_index},{attempt}] is no attempt"));
            }
            Ok(AttemptKey { instance: InstanceKey { run, idx, map_index }, attempt })
        })
        .collect::<Result<_, _>>()?;
    Ok((keys, traceparent(properties)))
}

pub(crate) fn decode_wakes(properties: &BasicProperties, body: &[u8]) -> Result<(Vec<RunKey>, bool), String> {
    let WakesBody { runs, all, .. } = decode(properties, body)?;
    count_fits(runs.len(), "runs", usize::from(!all))?;
    Ok((runs, all))
}

pub(crate) fn decode_notice(properties: &BasicProperties, body: &[u8]) -> Result<Uuid, String> {
    let NoticeBody { worker, .. } = decode(properties, body)?;
    Ok(worker)
}

fn count_fits(count: usize, what: &str, least: usize) -> Result<(), String> {
    if count < least || count > MOST_IDS {
        return Err(format!("{count} {what}; {least} to {MOST_IDS} are expected"));
    }
    Ok(())
}

fn decode<'a, T: Deserialize<'a>>(properties: &BasicProperties, body: &'a [u8]) -> Result<T, String> {
    if body.is_empty() {
        return Err("the body is empty".to_owned());
    }
    if body.len() > MOST_BYTES {
        return Err(format!("the body has {} bytes; at most {MOST_BYTES} are read", body.len()));
    }
    match properties.content_type().as_ref().map(ShortString::as_str) {
        Some(CONTENT_TYPE) => {}
        Some(other) => return Err(format!("the content type is {:?}, not {CONTENT_TYPE}", shortened(other))),
        None => return Err(format!("there is no content type; {CONTENT_TYPE} is expected")),
    }
    if properties.content_encoding().as_ref().is_some_and(|encoding| !encoding.as_str().is_empty()) {
        return Err("the body has a content encoding; none is read".to_owned());
    }
    let VersionOnly { v } =
        serde_json::from_slice(body).map_err(|error| format!("the body is no message: {}", shortened(&error.to_string())))?;
    if v != VERSION {
        return Err(format!("version {v} is not known here, only {VERSION}; update this end first, then the sender"));
    }
    serde_json::from_slice(body).map_err(|error| format!("the body is not of this queue: {}", shortened(&error.to_string())))
}

/// The parser's messages quote what they found, which may be long.
fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

fn traceparent(properties: &BasicProperties) -> Trace {
    let value = properties.headers().as_ref()?.inner().get(TRACEPARENT)?;
    let text = match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok()?,
        AMQPValue::ShortString(text) => text.as_str(),
        _ => return None,
    };
    // A trace is a convenience: a wrong one is no reason to refuse the hints.
    is_traceparent(text).then(|| Arc::from(text))
}

/// Whether this is `version-trace id-parent id-flags` in hexadecimal, as W3C Trace Context has it.
pub(crate) fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(5, '-').collect();
    let hexadecimal = |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
    matches!(parts.as_slice(), [version, trace, parent, flags]
        if hexadecimal(version, 2) && hexadecimal(trace, 32) && hexadecimal(parent, 16) && hexadecimal(flags, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(run: i64, idx: i32) -> AttemptKey {
        AttemptKey { instance: InstanceKey { run: RunKey(run), idx, map_index: -1 }, attempt: i32::MAX }
    }

    #[test]
    fn hints_come_back_as_they_went() {
        let trace: Trace = Some(Arc::from("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        let keys: Vec<_> = (0..64).map(|n| key(i64::MAX - n, i32::MAX)).collect();
        let body = encode_hints(&keys);
        assert!(body.len() < MOST_BYTES, "{}", body.len());
        assert_eq!(decode_hints(&properties(&trace), &body), Ok((keys, trace)));
    }

    #[test]
    fn a_wrong_trace_costs_only_the_trace() {
        let body = encode_hints(&[key(1, 0)]);
        let (_, trace) = decode_hints(&properties(&Some(Arc::from("nonsense"))), &body).unwrap();
        assert_eq!(trace, None);
    }

    #[test]
    fn what_is_not_exactly_a_message_is_refused_with_a_reason() {
        let check = |body: &[u8], expected: &str| {
            let reason = decode_hints(&properties(&None), body).unwrap_err();
            assert!(reason.contains(expected), "{reason:?} does not contain {expected:?}");
        };
        check(b"", "empty");
        check(&vec![b' '; MOST_BYTES + 1], "at most 8192");
        check(b"\x00\xff\xfe", "no message");
        check(br#"{"v":2,"hints":[]}"#, "version 2");
        check(br#"{"v":1,"hints":[]}"#, "0 hints");
        check(br#"{"v":1,"hints":[[1,0,-1,0]]}"#, "no attempt");
        check(br#"{"v":1,"hints":[[1,0,-1]]}"#, "not of this queue");
        check(br#"{"v":1,"hints":[[1,0,-1,1,1]]}"#, "not of this queue");
        check(br#"{"v":1,"hints":[[1,0,-1,1]],"more":1}"#, "more");
        check(br#"{"v":1,"runs":[1],"all":true}"#, "not of this queue");
        check(br#"{"v":1,"hints":[[1e400,0,-1,1]]}"#, "not of this queue");
        check(br#"{"v":1,"hints":[[99999999999999999999999,0,-1,1]]}"#, "not of this queue");
        check(format!(r#"{{"v":1,"hints":{}{}}}"#, "[".repeat(2000), "]".repeat(2000)).as_bytes(), "");
        let many = format!(r#"{{"v":1,"hints":[{}[1,0,-1,1]]}}"#, "[1,0,-1,1],".repeat(64));
        check(many.as_bytes(), "65 hints");
        let other = BasicProperties::default().with_content_type("text/plain".into());
        assert!(decode_hints(&other, &encode_hints(&[key(1, 0)])).unwrap_err().contains("content type"));
        assert!(decode_wakes(&properties(&None), br#"{"v":1,"runs":[],"all":false}"#).unwrap_err().contains("0 runs"));
        assert!(decode_notice(&properties(&None), br#"{"v":1,"worker":"x"}"#).unwrap_err().contains("not of this queue"));
    }
}
