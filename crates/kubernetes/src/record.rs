//! What is kept of a pod that did not end well, for people: its spec as the cluster had it, the states of its containers, and its events. It
//! decides nothing, and an end waits for it no longer than a moment.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tracing::debug;

use crate::Inner;
use crate::entry::Entry;
use crate::errors::Fault;
use crate::facts::one_line;
use crate::marks::moment;

/// How long it may take. Without it the evidence is the same, only shorter.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most that is kept, in bytes of JSON.
const MOST: usize = 64 * 1024;
/// Events that are read, and kept: the latest.
const EVENTS: u32 = 100;
const KEPT: usize = 30;
/// Of metadata: what people look for.
const METADATA: [&str; 6] = ["name", "namespace", "uid", "labels", "annotations", "creationTimestamp"];

/// The record of a pod; none where it is gone, or the API server does not answer.
pub(crate) async fn of(inner: &Inner, entry: &Entry) -> Option<Value> {
    let uid = entry.uid()?;
    let read = async {
        let pod = inner.cluster.whole(&entry.namespace, &entry.name).await?;
        // Another one by that name, or none of it any more.
        if pod.pointer("/metadata/uid").and_then(Value::as_str) != Some(&uid) {
            return Ok(None);
        }
        let events = inner.cluster.events(&entry.namespace, &uid, EVENTS).await.unwrap_or_default();
        Ok::<_, Fault>(Some((pod, events)))
    };
    let (mut pod, mut events) = match tokio::time::timeout(PATIENCE, read).await {
        Ok(Ok(found)) => found?,
        Ok(Err(fault)) => {
            debug!(error = %fault, pod = entry.name, "no record of a pod");
            return None;
        }
        Err(_) => {
            debug!(pod = entry.name, "no record of a pod: the API server takes too long");
            return None;
        }
    };
    events.sort_by_key(|event| event.last_timestamp.as_ref().or(event.first_timestamp.as_ref()).map(|time| time.0));
    let events = events.split_off(events.len().saturating_sub(KEPT));
    let events: Vec<Value> = events
        .into_iter()
        .map(|event| {
            json!({
                "at": event.last_timestamp.as_ref().or(event.first_timestamp.as_ref()).and_then(moment), "type": event.type_, "reason": event.reason,
                "message": event.message.as_deref().map(one_line), "count": event.count,
            })
        })
        .collect();
    Some(trimmed(&mut pod, events))
}

/// What is kept of it.
fn trimmed(pod: &mut Value, events: Vec<Value>) -> Value {
    let mut metadata: Map<String, Value> =
        METADATA.iter().filter_map(|name| Some(((*name).to_owned(), pod["metadata"].get_mut(*name)?.take()))).collect();
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.retain(|name, _| !name.starts_with("updraft.dev/") && !name.starts_with("kubectl.kubernetes.io/"));
    }
    let mut kept = json!({"metadata": metadata, "spec": pod["spec"].take(), "status": pod["status"].take(), "events": events});
    // A pod can be very long; its end is short.
    for part in ["spec", "metadata"] {
        if kept.to_string().len() > MOST {
            kept[part] = json!({"left_out": "it is too long to be kept"});
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_short_and_has_the_end() {
        let pod = |env: usize| {
            json!({
                "metadata": {"name": "p", "uid": "u", "managedFields": [1], "annotations": {"updraft.dev/plan": "x", "mine": "y"}},
                "spec": {"containers": [{"name": "base", "env": vec![json!({"name": "A", "value": "x"}); env]}]},
                "status": {"phase": "Failed"},
            })
        };
        let kept = trimmed(&mut pod(1), vec![json!({"reason": "Killing"})]);
        assert_eq!(kept["metadata"], json!({"name": "p", "uid": "u", "annotations": {"mine": "y"}}));
        assert_eq!((&kept["status"]["phase"], &kept["events"][0]["reason"]), (&json!("Failed"), &json!("Killing")));
        assert_eq!(kept["spec"]["containers"][0]["name"], "base");
        let kept = trimmed(&mut pod(10_000), Vec::new());
        assert!(kept.to_string().len() < MOST && kept["status"]["phase"] == "Failed" && kept["spec"]["left_out"].is_string());
    }
}
