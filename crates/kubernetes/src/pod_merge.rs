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

/// Lays the pod `over` onto the pod `base` as Airflow's KubernetesPodOperator does. Labels and annotations are joined; volumes, and a
/// container's variables, mounts, ports and devices, come one after the other; every other field of `over` that says something takes the
/// place of the whole field. Unlike there, an entry that comes twice is there once, and containers meet by name before they meet by
/// position.
pub(crate) fn overlay(base: &mut Value, over: &Value) {
    fields(base, over, &|name, base, over| match name {
        "metadata" => fields(base, over, &|name, base, over| match name {
            "labels" | "annotations" => fields(base, over, &|_, base, over| base.clone_from(over)),
            "finalizers" | "ownerReferences" => append(base, over),
            _ => base.clone_from(over),
        }),
        "spec" => fields(base, over, &|name, base, over| match name {
            "containers" => containers(base, over, true),
            "initContainers" => containers(base, over, false),
            "volumes" => append(base, over),
            _ => base.clone_from(over),
        }),
        _ => base.clone_from(over),
    });
}

/// For each field of `over` that says something: put into `base`, or `join`ed with what is there.
fn fields(base: &mut Value, over: &Value, join: &dyn Fn(&str, &mut Value, &Value)) {
    let (Value::Object(known), Value::Object(over)) = (&mut *base, over) else {
        base.clone_from(over);
        return;
    };
    for (name, value) in over.iter().filter(|(_, value)| !value.is_null()) {
        match known.get_mut(name).filter(|known| says_something(known)) {
            None => drop(known.insert(name.clone(), value.clone())),
            Some(known) if says_something(value) => join(name, known, value),
            Some(_) => {}
        }
    }
}

/// What Python takes for true.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

fn append(base: &mut Value, over: &Value) {
    let (Value::Array(known), Value::Array(over)) = (&mut *base, over) else {
        base.clone_from(over);
        return;
    };
    for item in over {
        match known.iter().position(|one| one == item || identity(one).is_some_and(|id| identity(item) == Some(id))) {
            Some(at) => known[at].clone_from(item),
            None => known.push(item.clone()),
        }
    }
}

fn containers(base: &mut Value, over: &Value, by_position: bool) {
    let (Value::Array(known), Value::Array(over)) = (&mut *base, over) else {
        base.clone_from(over);
        return;
    };
    for (at, item) in over.iter().enumerate() {
        let named = known.iter().position(|one| one.get("name") == item.get("name"));
        let free = |at: &usize| known.get(*at).is_some_and(|one| over.iter().all(|other| other.get("name") != one.get("name")));
        match named.or_else(|| Some(at).filter(|at| by_position && free(at))) {
            Some(at) => fields(&mut known[at], item, &|name, base, over| match name {
                "volumeMounts" | "env" | "envFrom" | "ports" | "volumeDevices" => append(base, over),
                _ => base.clone_from(over),
            }),
            None => known.push(item.clone()),
        }
    }
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
