//! The gate: a pod is created unable to run, and opened once the store has bound its uid (H6). Pure.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::marks::{GATE_IMAGE, Gate, OPENED, Plan, SCHEDULING_GATE};

/// Keeps every container from running: the plan remembers how it is opened.
pub(crate) fn close_gate(plan: &mut Plan, pod_spec: &mut Map<String, Value>) {
    match plan.gate {
        Gate::None => {}
        Gate::Scheduling => {
            let mut gates = vec![json!({"name": SCHEDULING_GATE})];
            gates.extend(pod_spec.get("schedulingGates").and_then(Value::as_array).into_iter().flatten().cloned());
            pod_spec.insert("schedulingGates".to_owned(), Value::Array(gates));
        }
        Gate::Image => {
            let inits = pod_spec.get_mut("initContainers").and_then(Value::as_array_mut).filter(|list| !list.is_empty());
            // Nothing runs before the first init container; without one, every container has to be held.
            let (held, init) = match inits {
                Some(inits) => (&mut inits[..1], true),
                None => match pod_spec.get_mut("containers").and_then(Value::as_array_mut) {
                    Some(containers) => (&mut containers[..], false),
                    None => return,
                },
            };
            plan.init = init;
            for container in held.iter_mut().filter_map(Value::as_object_mut) {
                let image = container.get("image").and_then(Value::as_str).unwrap_or_default().to_owned();
                // The server fixes the default at creation, by the image that it sees then.
                container.entry("imagePullPolicy").or_insert_with(|| json!(pull_policy(&image)));
                container.insert("image".to_owned(), json!(GATE_IMAGE));
                plan.images.push(image);
            }
        }
    }
}

/// What the server would choose for an image.
pub(crate) fn pull_policy(image: &str) -> &'static str {
    if image.contains('@') {
        return "IfNotPresent";
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    match last.split_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

/// The patch that opens the gate of the pod of that uid: the same call notes when.
pub(crate) fn open_gate(plan: &Plan, uid: &str, now: DateTime<Utc>) -> Value {
    let mut patch = vec![json!({"op": "test", "path": "/metadata/uid", "value": uid})];
    match plan.gate {
        Gate::None => {}
        Gate::Scheduling => {
            patch.push(json!({"op": "test", "path": "/spec/schedulingGates/0/name", "value": SCHEDULING_GATE}));
            patch.push(json!({"op": "remove", "path": "/spec/schedulingGates/0"}));
        }
        Gate::Image => {
            let list = if plan.init { "initContainers" } else { "containers" };
            for (at, image) in plan.images.iter().enumerate() {
                let path = format!("/spec/{list}/{at}/image");
                patch.push(json!({"op": "test", "path": path, "value": GATE_IMAGE}));
                patch.push(json!({"op": "replace", "path": path, "value": image}));
            }
        }
    }
    patch.push(json!({"op": "add", "path": format!("/metadata/annotations/{}", escape(OPENED)), "value": now.to_rfc3339()}));
    Value::Array(patch)
}

/// A key in a JSON pointer.
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
