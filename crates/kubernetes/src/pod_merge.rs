//! Laying one half-written pod over another, as Airflow does: objects field by field, containers and other named things by name, lists of
//! named things one after the other. Pure.

use serde_json::Value;

/// Lays `over` onto `base`. Nulls say nothing.
pub(crate) fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (_, Value::Null) => {}
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over.iter().filter(|(_, value)| !value.is_null()) {
                match base.get_mut(name) {
                    Some(Value::Array(known)) if value.is_array() => lists(name, known, value.as_array().map_or(&[], Vec::as_slice)),
                    Some(known) => merge(known, value),
                    None => drop(base.insert(name.clone(), value.clone())),
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}

fn lists(field: &str, base: &mut Vec<Value>, over: &[Value]) {
    if over.is_empty() {
        return;
    }
    if !over.iter().all(Value::is_object) {
        // Words of a command: the later list is the list.
        base.clear();
        base.extend_from_slice(over);
        return;
    }
    for item in over {
        match identity(item).and_then(|id| base.iter_mut().find(|known| identity(known) == Some(id))) {
            Some(known) if matches!(field, "containers" | "initContainers") => merge(known, item),
            // Half a volume of one kind and half of another would be none.
            Some(known) => known.clone_from(item),
            None => base.push(item.clone()),
        }
    }
}

/// What tells one item of a list from another: where it is mounted, or its name.
fn identity(item: &Value) -> Option<&str> {
    ["mountPath", "name", "containerPort"].into_iter().find_map(|field| item.get(field)).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn later_wins_and_named_things_meet() {
        let mut pod = json!({
            "metadata": {"labels": {"a": "1", "b": "1"}},
            "spec": {
                "containers": [
                    {"name": "base", "image": "old", "args": ["x", "y"], "env": [{"name": "A", "value": "1"}]},
                    {"name": "side"},
                ],
                "tolerations": [{"key": "a"}],
                "volumes": [{"name": "v", "emptyDir": {}}],
            },
        });
        merge(
            &mut pod,
            &json!({
                "metadata": {"labels": {"b": "2"}, "annotations": null},
                "spec": {
                    "containers": [{"name": "base", "image": "new", "args": ["z"], "env": [{"name": "A", "valueFrom": {}}, {"name": "B"}]}],
                    "tolerations": [{"key": "b"}],
                    "volumes": [],
                },
            }),
        );
        assert_eq!(
            pod,
            json!({
                "metadata": {"labels": {"a": "1", "b": "2"}},
                "spec": {
                    "containers": [
                        {"name": "base", "image": "new", "args": ["z"], "env": [{"name": "A", "valueFrom": {}}, {"name": "B"}]},
                        {"name": "side"},
                    ],
                    "tolerations": [{"key": "a"}, {"key": "b"}],
                    "volumes": [{"name": "v", "emptyDir": {}}],
                },
            })
        );
    }
}
