//! The bodies of `…/list`: the filters of a list as JSON, for who has more of them than fit into an address. Each is checked by name, and
//! then says what the parameters of the list say.

use serde_json::{Value, json};

use crate::access::Scope;
use crate::error::{Error, problem};
use crate::request::{Fields, Params};

/// Rows of a page when the body does not say: Airflow's, which is not that of its lists.
const PAGE: i64 = 100;
const TIMES: [&str; 4] = ["run_after", "logical_date", "start_date", "end_date"];
const BOUNDS: [&str; 4] = ["gte", "gt", "lte", "lt"];

const RUN_LISTS: &[(&str, &str)] = &[("dag_ids", "dag_id")];
const RUN_TEXTS: &[&str] = &["conf_contains"];
const INSTANCE_LISTS: &[(&str, &str)] = &[
    ("dag_ids", "dag_id"),
    ("dag_run_ids", "run_id"),
    ("task_ids", "task_id"),
    ("pool", "pool"),
    ("queue", "queue"),
    ("executor", "executor"),
];

/// The body of a list of runs.
pub(crate) fn runs(body: Value) -> Result<Params, Error> {
    read(body, RUN_LISTS, ("states", super::runs::STATES), RUN_TEXTS)
}

/// What it may have.
pub(crate) fn runs_keys() -> Vec<String> {
    keys(RUN_LISTS, "states", RUN_TEXTS)
}

/// The body of a list of task instances.
pub(crate) fn instances(body: Value) -> Result<Params, Error> {
    read(body, INSTANCE_LISTS, ("state", super::instances::STATES), &[])
}

/// What it may have.
pub(crate) fn instances_keys() -> Vec<String> {
    keys(INSTANCE_LISTS, "state", &[])
}

fn bounds(of: &str) -> [String; 4] {
    BOUNDS.map(|bound| format!("{of}_{bound}"))
}

fn keys(lists: &[(&str, &str)], states: &str, texts: &[&str]) -> Vec<String> {
    let named = ["order_by", "page_limit", "page_offset", states].into_iter().chain(lists.iter().map(|(name, _)| *name));
    let named = named.chain(texts.iter().copied()).map(str::to_owned);
    named.chain(TIMES.iter().copied().chain(["duration"]).flat_map(bounds)).collect()
}

/// `lists` are fields with texts, and the parameters that they stand for.
fn read(body: Value, lists: &[(&str, &'static str)], states: (&str, &[&str]), texts: &[&'static str]) -> Result<Params, Error> {
    let times: Vec<String> = TIMES.iter().flat_map(|name| bounds(name)).collect();
    let durations = bounds("duration");
    let allowed = keys(lists, states.0, texts);
    let mut fields = Fields::of(body, &allowed.iter().map(String::as_str).collect::<Vec<_>>())?;

    let mut pairs: Vec<(String, String)> = Vec::new();
    for (name, default, parameter) in [("page_limit", PAGE, "limit"), ("page_offset", 0, "offset")] {
        let number = fields.int(name).unwrap_or(default);
        if number < 0 {
            let mut entry =
                problem("greater_than_equal", json!(["body", name]), "Input should be greater than or equal to 0", json!(number));
            entry["ctx"] = json!({"ge": 0});
            fields.add(entry);
        }
        pairs.push((parameter.to_owned(), number.to_string()));
    }
    if let Some(order) = fields.text("order_by") {
        pairs.push(("order_by".to_owned(), order));
    }
    for (name, parameter) in lists {
        // As in Airflow an empty list asks for nothing, and so for all.
        let texts = fields.texts(name).unwrap_or_default();
        pairs.extend(texts.into_iter().map(|text| ((*parameter).to_owned(), text)));
    }
    let (name, words) = states;
    for (at, item) in fields.list(name).unwrap_or_default().into_iter().enumerate() {
        match item {
            Value::Null => pairs.push(("state".to_owned(), "none".to_owned())),
            Value::String(word) if words.contains(&word.as_str()) => pairs.push(("state".to_owned(), word)),
            other => {
                let expected = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", ");
                fields.add(problem("enum", json!(["body", name, at]), &format!("Input should be {expected}"), other));
            }
        }
    }
    for name in texts {
        if let Some(text) = fields.text(name) {
            pairs.push(((*name).to_owned(), text));
        }
    }
    for name in times {
        if let Some(at) = fields.time(&name) {
            pairs.push((name, at.to_rfc3339()));
        }
    }
    for name in durations {
        match fields.take(&name) {
            None => {}
            Some(Value::Number(number)) => pairs.push((name, number.to_string())),
            Some(other) => fields.wrong("float_type", &name, "Input should be a valid number", other),
        }
    }
    fields.done()?;
    Ok(Params(pairs, Scope::ALL))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(body: Value) -> Vec<(String, Value)> {
        let Err(Error::Invalid(found)) = instances(body) else { panic!("it is taken") };
        found.iter().map(|p| (p["type"].as_str().unwrap().to_owned(), p["loc"].clone())).collect()
    }

    #[test]
    fn a_body_says_what_parameters_say() {
        let body = json!({"dag_ids": ["a", "b"], "state": [null, "failed"], "page_offset": 3, "order_by": "-start_date",
            "run_after_gte": "2026-02-01T00:00:00Z", "duration_lt": 1.5, "task_ids": null});
        let params = instances(body).unwrap();
        assert_eq!(params.all("dag_id"), ["a", "b"]);
        assert_eq!(params.all("state"), ["none", "failed"]);
        assert_eq!((params.one("limit"), params.one("offset"), params.one("order_by")), (Some("100"), Some("3"), Some("-start_date")));
        assert_eq!((params.one("run_after_gte"), params.one("duration_lt")), (Some("2026-02-01T00:00:00+00:00"), Some("1.5")));
        assert_eq!(params.one("task_id"), None);
        assert_eq!(runs(json!({})).unwrap().one("limit"), Some("100"));
        assert!(runs(json!({"dag_ids": [], "states": []})).unwrap().0.iter().all(|(name, _)| name == "limit" || name == "offset"));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let found =
            problems(json!({"surprise": 1, "page_limit": -1, "state": ["happy"], "pool": [1], "end_date_lt": "soon", "duration_gt": "x"}));
        let expected = [
            ("extra_forbidden", json!(["body", "surprise"])),
            ("greater_than_equal", json!(["body", "page_limit"])),
            ("string_type", json!(["body", "pool", 0])),
            ("enum", json!(["body", "state", 0])),
            ("datetime_from_date_parsing", json!(["body", "end_date_lt"])),
            ("float_type", json!(["body", "duration_gt"])),
        ];
        assert_eq!(found, expected.map(|(kind, loc)| (kind.to_owned(), loc)));
    }
}
