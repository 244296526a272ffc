use std::collections::BTreeSet;

use super::*;

fn of_document(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let methods = paths.iter().flat_map(|(path, methods)| methods.as_object().unwrap().iter().map(move |(method, is)| (path, method, is)));
    methods.map(|(path, method, is)| (method.to_uppercase(), path.clone(), is)).collect()
}

#[test]
fn every_route_has_its_operation_and_every_operation_its_route() {
    let routes: BTreeSet<(String, String)> = crate::routes().into_iter().map(|r| (r.method.to_string(), r.path)).collect();
    let operations: Vec<(String, String)> = operations::all().iter().map(|o| (o.method.to_string(), o.path.to_string())).collect();
    let described: BTreeSet<(String, String)> = operations.iter().cloned().collect();
    assert_eq!(described.len(), operations.len(), "an operation is there twice");
    let bare: Vec<_> = routes.difference(&described).collect();
    assert!(bare.is_empty(), "these routes have no operation in crates/api/src/openapi/operations.rs: {bare:?}");
    let gone: Vec<_> = described.difference(&routes).collect();
    assert!(gone.is_empty(), "these operations have no route: {gone:?}");
    assert_eq!(of_document(&document()).len(), routes.len(), "all of them are in the document");
}

#[test]
fn numbers_are_of_the_path() {
    for operation in operations::all() {
        let names = names_in(&operation.path);
        for number in operation.numbers {
            assert!(names.contains(number), "{} {} has no {number}", operation.method, operation.path);
        }
    }
}

#[test]
fn parameters_are_those_of_the_path_and_said_once() {
    let document = document();
    for (method, path, operation) in of_document(&document) {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let mut seen = BTreeSet::new();
        for parameter in &parameters {
            let key = (parameter["in"].as_str().unwrap().to_owned(), parameter["name"].as_str().unwrap().to_owned());
            assert!(seen.insert(key.clone()), "{method} {path}: {key:?} is there twice");
        }
        let given: BTreeSet<&str> = seen.iter().filter(|(place, _)| place == "path").map(|(_, name)| name.as_str()).collect();
        assert_eq!(given, names_in(&path).into_iter().collect(), "{method} {path}");
    }
}

#[test]
fn all_that_is_referred_to_is_there_and_nothing_else() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                if let Some(to) = map.get("$ref").and_then(Value::as_str) {
                    found.insert(to.to_owned());
                }
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for to in &found {
        assert!(document.pointer(to.trim_start_matches('#')).is_some(), "{to} leads nowhere");
    }
    for kind in ["schemas", "responses"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(found.contains(&format!("#/components/{kind}/{name}")), "nothing refers to {kind}/{name}");
        }
    }
}

#[test]
fn operations_have_names_of_their_own_tags_answers_and_permissions() {
    let document = document();
    let tags: BTreeSet<&str> = document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in of_document(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} is there twice");
        assert!(id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{id}");
        assert!(tags.contains(operation["tags"][0].as_str().unwrap()), "{method} {path}");
        let answers = operation["responses"].as_object().unwrap();
        let refuses = ["403", "404", "400", "410", "501"].iter().any(|status| answers.contains_key(*status));
        assert!(refuses || answers.keys().any(|status| status.starts_with('2')), "{method} {path} has no answer");
        let open = operation["x-permission"] == "anybody";
        assert_eq!(open, operation["security"] == json!([]), "{method} {path}");
        assert_eq!(
            open && !["create_token", "create_token_cli", "login", "git_webhook"].contains(&id),
            !answers.contains_key("401"),
            "{method} {path}"
        );
    }
    assert!(ids.contains("get_dags") && ids.contains("trigger_dag_run"));
}

#[test]
fn a_list_has_the_filters_of_its_columns() {
    let document = document();
    let parameters = document["paths"]["/api/v2/dags/{dag_id}/dagRuns"]["get"]["parameters"].as_array().unwrap();
    let named = |name: &str| parameters.iter().find(|p| p["name"] == name && p["in"] == "query").map(|p| &p["schema"]);
    assert_eq!(named("logical_date_gte").unwrap()["format"], "date-time");
    assert_eq!(named("limit").unwrap()["minimum"], 0);
    assert!(named("state").unwrap()["items"]["enum"].as_array().unwrap().contains(&json!("running")));
    assert!(named("run_id_pattern").is_some() && named("cursor").is_some());
    assert!(named("order_by").unwrap()["items"]["enum"].as_array().unwrap().contains(&json!("-run_after")));
    assert!(named("partition_date_gte").is_none(), "it only orders");
}
