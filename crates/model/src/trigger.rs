//! What is checked of a run that somebody or something triggers.

use serde_json::{Map, Value, json};

use crate::dag::{DagSpec, Param};

/// Run ids become names of folders and labels: Airflow's own pattern, without the prefixes of automatic runs.
pub fn check_run_id(run_id: &str) -> Result<(), String> {
    if run_id.is_empty() || run_id.len() > 250 || !run_id.chars().all(|c| c.is_ascii_alphanumeric() || "_.~:+-".contains(c)) {
        return Err(format!(
            "The run_id provided '{run_id}' does not match the configured pattern '^[A-Za-z0-9_.~:+-]+$' or is longer than 250 characters"
        ));
    }
    for (prefix, kind) in [("scheduled__", "scheduled"), ("backfill__", "backfill"), ("asset_triggered__", "asset_triggered")] {
        if run_id.starts_with(prefix) {
            return Err(format!("A manual DAG run cannot use ID '{run_id}' since it is reserved for {kind} runs"));
        }
    }
    Ok(())
}

/// Checks the configuration against the DAG's params: types, enums, bounds, and that what has no default is given.
pub fn check_conf(spec: &DagSpec, conf: &Map<String, Value>) -> Result<(), String> {
    for (name, param) in &spec.params {
        let value = conf.get(name).unwrap_or(&param.value);
        if conf.get(name).is_none() && param.value.is_null() && !param.schema.is_empty() && !allows(param, &Value::Null) {
            return Err(format!("Invalid input for param {name}: No value passed and Param has no default value"));
        }
        check_param(param, value).map_err(|why| format!("Invalid input for param {name}: {why}"))?;
    }
    Ok(())
}

fn is_of_type(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|f| f.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn allows(param: &Param, value: &Value) -> bool {
    match param.schema.get("type") {
        Some(Value::String(kind)) => is_of_type(value, kind),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).any(|kind| is_of_type(value, kind)),
        _ => true,
    }
}

fn check_param(param: &Param, value: &Value) -> Result<(), String> {
    let schema = |name: &str| param.schema.get(name);
    if !allows(param, value) {
        return Err(format!("{value} is not of type {}", schema("type").cloned().unwrap_or_default()));
    }
    if let Some(Value::Array(choices)) = schema("enum")
        && !choices.contains(value)
    {
        return Err(format!("{value} is not one of {}", Value::Array(choices.clone())));
    }
    if let Some(only) = schema("const")
        && only != value
    {
        return Err(format!("{only} was expected"));
    }
    if let Some(number) = value.as_f64() {
        let bound = |name: &str| schema(name).and_then(Value::as_f64);
        if bound("minimum").is_some_and(|least| number < least) || bound("exclusiveMinimum").is_some_and(|least| number <= least) {
            return Err(format!("{value} is less than the minimum"));
        }
        if bound("maximum").is_some_and(|most| number > most) || bound("exclusiveMaximum").is_some_and(|most| number >= most) {
            return Err(format!("{value} is greater than the maximum"));
        }
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as u64;
        let bound = |name: &str| schema(name).and_then(Value::as_u64);
        if bound("minLength").is_some_and(|least| length < least) {
            return Err(format!("{} is too short", json!(text)));
        }
        if bound("maxLength").is_some_and(|most| length > most) {
            return Err(format!("{} is too long", json!(text)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(schema: Value, default: Value) -> Param {
        serde_json::from_value(json!({"value": default, "schema": schema})).unwrap()
    }

    #[test]
    fn params_are_checked() {
        for (schema, value, good) in [
            (json!({}), json!(1), true),
            (json!({"type": "string"}), json!("x"), true),
            (json!({"type": "string"}), json!(1), false),
            (json!({"type": ["string", "null"]}), json!(null), true),
            (json!({"type": "integer", "minimum": 3}), json!(2), false),
            (json!({"type": "integer", "minimum": 3}), json!(3), true),
            (json!({"enum": ["eu", "us"]}), json!("as"), false),
            (json!({"type": "string", "maxLength": 2}), json!("abc"), false),
        ] {
            assert_eq!(check_param(&param(schema.clone(), Value::Null), &value).is_ok(), good, "{schema} {value}");
        }
    }

    #[test]
    fn run_ids_of_automatic_runs_are_reserved() {
        assert!(check_run_id("manual__2026-01-01T00:00:00+00:00").is_ok());
        assert!(check_run_id("mine").is_ok());
        for bad in ["", "a b", "a/b", "scheduled__x", "../x"] {
            assert!(check_run_id(bad).is_err(), "{bad}");
        }
    }
}
