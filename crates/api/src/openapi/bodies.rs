//! Bodies of requests: their names are the keys that the readers take, and each name means the same in all of them.

use serde_json::{Map, Value, json};

use crate::request::MOST_NOTE;
use crate::routes::May;
use crate::{
    auth, backfills, batch, clear, connections, fleet, instances, maintenance, pools, rerun, runs, trigger, users, variables, xcoms,
};

/// A body.
#[derive(Debug)]
pub(super) struct Body {
    kind: &'static str,
    required: bool,
    schema: Value,
}

impl Body {
    pub(super) const fn kind(&self) -> &'static str {
        self.kind
    }

    pub(super) const fn required(&self) -> bool {
        self.required
    }

    pub(super) const fn schema(&self) -> &Value {
        &self.schema
    }

    fn json(schema: Value) -> Self {
        Self { kind: "application/json", required: true, schema }
    }
}

fn or_null(mut schema: Value) -> Value {
    schema["type"] = json!([schema["type"], "null"]);
    schema
}

fn of_words(words: &[&str]) -> Value {
    let words: Vec<Option<&str>> = words.iter().copied().map(Some).chain([None]).collect();
    json!({"type": ["string", "null"], "enum": words})
}

/// What a name means, in whatever body it is.
fn field(name: &str) -> Value {
    if BOUNDS.iter().any(|bound| name.ends_with(bound)) {
        return or_null(if name.starts_with("duration") { json!({"type": "number"}) } else { time() });
    }
    match name {
        "dry_run"
        | "only_failed"
        | "only_running"
        | "only_new"
        | "reset_dag_runs"
        | "include_upstream"
        | "include_downstream"
        | "include_future"
        | "include_past"
        | "run_on_latest_version"
        | "prevent_running_task"
        | "run_backwards"
        | "include_deferred"
        | "clear_task_instances" => or_null(json!({"type": "boolean"})),
        "logical_date"
        | "run_after"
        | "data_interval_start"
        | "data_interval_end"
        | "start_date"
        | "end_date"
        | "from_date"
        | "to_date"
        | "partition_date_start"
        | "partition_date_end" => or_null(time()),
        "conf" | "dag_run_conf" => or_null(json!({"type": "object"})),
        "note" => or_null(json!({"type": "string", "maxLength": MOST_NOTE})),
        "map_index" => or_null(json!({"type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX})),
        "page_limit" | "page_offset" => or_null(json!({"type": "integer", "minimum": 0, "maximum": i64::MAX})),
        "max_active_runs" => or_null(json!({"type": "integer", "minimum": 1, "maximum": i32::MAX})),
        "port" => or_null(json!({"type": "integer", "minimum": 0, "maximum": u16::MAX})),
        "slots" => or_null(json!({"type": "integer", "minimum": -1, "maximum": i32::MAX})),
        "value" => json!({"description": "Any JSON"}),
        "dag_ids" | "dag_run_ids" | "executor" => or_null(texts()),
        "states" => states(runs::STATES),
        "new_state" => of_words(&instances::change::MARKS),
        "reprocess_behavior" => of_words(backfills::REPROCESS),
        _ => or_null(json!({"type": "string"})),
    }
}

const BOUNDS: [&str; 4] = ["_gte", "_gt", "_lte", "_lt"];

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn texts() -> Value {
    json!({"type": "array", "items": {"type": "string"}})
}

fn states(words: &[&str]) -> Value {
    json!({"type": ["array", "null"], "items": of_words(words)})
}

fn object<'a>(keys: impl IntoIterator<Item = &'a str>, required: &[&str]) -> Value {
    let properties: Map<String, Value> = keys.into_iter().map(|key| (key.to_owned(), field(key))).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// Says otherwise of one name.
fn with(mut schema: Value, name: &str, is: Value) -> Value {
    schema["properties"][name] = is;
    schema
}

pub(super) fn is_paused() -> Body {
    Body::json(with(object(["is_paused"], &["is_paused"]), "is_paused", json!({"type": "boolean"})))
}

pub(super) fn trigger() -> Body {
    let run_id = or_null(json!({"type": "string", "minLength": 1, "maxLength": 250, "pattern": "^[A-Za-z0-9_.~:+-]+$"}));
    Body::json(with(object(trigger::KEYS.iter().copied(), &["logical_date"]), "dag_run_id", run_id))
}

pub(super) fn patch_run() -> Body {
    Body::json(with(object(runs::PATCH_KEYS.iter().copied(), &[]), "state", of_words(runs::MARKS)))
}

pub(super) fn clear_run() -> Body {
    Body::json(object(clear::RUN_KEYS, &[]))
}

pub(super) fn clear_runs() -> Body {
    let entry = with(object(runs::NAMED_KEYS.iter().copied(), &["dag_run_id"]), "dag_run_id", json!({"type": "string"}));
    let keys = clear::RUN_KEYS.into_iter().chain(clear::PARTITION_KEYS).chain(["dag_runs"]);
    Body::json(with(object(keys, &[]), "dag_runs", json!({"type": ["array", "null"], "items": entry})))
}

pub(super) fn clear_partitions() -> Body {
    Body::json(object(clear::PARTITION_KEYS.into_iter().chain(clear::OF_PARTITIONS), &[]))
}

/// Task ids, or pairs of one and a map index.
fn some_tasks() -> Value {
    let pair = json!({
        "type": "array", "prefixItems": [{"type": "string"}, {"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX}],
        "minItems": 2, "maxItems": 2, "items": false,
    });
    json!({"type": ["array", "null"], "minItems": 1, "items": {"anyOf": [{"type": "string"}, pair]}})
}

pub(super) fn clear_instances() -> Body {
    Body::json(with(object(clear::KEYS.iter().copied(), &[]), "task_ids", some_tasks()))
}

pub(super) fn rerun() -> Body {
    let body = with(object(rerun::KEYS, &["conf"]), "conf", json!({"type": "object"}));
    Body::json(with(body, "task_ids", some_tasks()))
}

pub(super) fn patch_instance() -> Body {
    Body::json(object(instances::change::PATCH_KEYS, &[]))
}

pub(super) fn list_runs() -> Body {
    let keys = batch::runs_keys();
    Body::json(object(keys.iter().map(String::as_str), &[]))
}

pub(super) fn list_instances() -> Body {
    let keys = batch::instances_keys();
    let mut schema = with(object(keys.iter().map(String::as_str), &[]), "state", states(instances::STATES));
    for name in ["task_ids", "pool", "queue"] {
        schema = with(schema, name, or_null(texts()));
    }
    Body::json(schema)
}

pub(super) fn backfill() -> Body {
    let mut schema = object(backfills::KEYS.iter().copied(), &["dag_id", "from_date", "to_date"]);
    for (name, is) in [("dag_id", json!({"type": "string"})), ("from_date", time()), ("to_date", time())] {
        schema = with(schema, name, is);
    }
    Body::json(schema)
}

fn pool_entity(required: &[&str]) -> Value {
    let name = || json!({"type": "string", "minLength": 1, "maxLength": pools::MOST_NAME});
    let schema = with(with(object(pools::KEYS.iter().copied(), required), "name", name()), "pool", or_null(name()));
    with(schema, "slots", json!({"type": "integer", "minimum": -1, "maximum": i32::MAX}))
}

pub(super) fn pool() -> Body {
    Body::json(pool_entity(&["name", "slots"]))
}

pub(super) fn patch_pool() -> Body {
    Body::json(pool_entity(&[]))
}

fn variable_entity() -> Value {
    let key = json!({"type": "string", "minLength": 1, "maxLength": variables::MOST_KEY});
    with(object(variables::KEYS.iter().copied(), &["key", "value"]), "key", key)
}

pub(super) fn variable() -> Body {
    Body::json(variable_entity())
}

fn connection_entity() -> Value {
    let id = json!({"type": "string", "minLength": 1, "maxLength": connections::MOST_ID, "pattern": r"^[\w.-]+$"});
    let schema = with(object(connections::KEYS.iter().copied(), &["connection_id", "conn_type"]), "connection_id", id);
    let schema = with(schema, "conn_type", json!({"type": "string"}));
    with(schema, "extra", json!({"type": ["string", "null"], "description": "A JSON object, as text"}))
}

pub(super) fn connection() -> Body {
    Body::json(connection_entity())
}

pub(super) fn xcom() -> Body {
    let key = json!({"type": "string", "minLength": 1, "maxLength": xcoms::MOST_KEY});
    Body::json(with(object(xcoms::KEYS, &["key", "value"]), "key", key))
}

pub(super) fn patch_xcom() -> Body {
    Body::json(object(xcoms::KEYS.into_iter().skip(1), &["value"]))
}

pub(super) fn drain() -> Body {
    Body::json(object(fleet::DRAIN_KEYS.iter().copied(), &[]))
}

pub(super) fn maintenance() -> Body {
    Body::json(object(maintenance::KEYS.iter().copied(), &[]))
}

/// What is asked of many at once.
fn bulk(entity: &Value, update: &Value, named: &Value) -> Body {
    let action = |kind: &str, entity: &Value, more: &[(&str, &[&str])]| {
        let mut schema = json!({
            "type": "object", "required": ["action", "entities"], "additionalProperties": false,
            "properties": {"action": {"type": "string", "const": kind}, "entities": {"type": "array", "items": entity}},
        });
        for (name, words) in more {
            schema["properties"][*name] = of_words(words);
        }
        schema
    };
    let skip: (&str, &[&str]) = ("action_on_non_existence", &["fail", "skip"]);
    let mut update = action("update", update, &[skip]);
    update["properties"]["update_mask"] = or_null(texts());
    let actions = [
        action("create", entity, &[("action_on_existence", &["fail", "skip", "overwrite"])]),
        update,
        action("delete", &json!({"anyOf": [{"type": "string"}, named]}), &[skip]),
    ];
    Body::json(json!({
        "type": "object", "required": ["actions"], "additionalProperties": false,
        "properties": {"actions": {"type": "array", "items": {"oneOf": actions}}},
    }))
}

/// By its name; what else is said of it does not matter.
fn by_name(key: &str) -> Value {
    json!({"type": "object", "required": [key], "properties": {key: {"type": "string"}}})
}

pub(super) fn bulk_pools() -> Body {
    bulk(&pool_entity(&["name", "slots"]), &pool_entity(&["name"]), &by_name("name"))
}

pub(super) fn bulk_variables() -> Body {
    bulk(&variable_entity(), &variable_entity(), &by_name("key"))
}

pub(super) fn bulk_connections() -> Body {
    bulk(&connection_entity(), &connection_entity(), &by_name("connection_id"))
}

pub(super) fn bulk_runs() -> Body {
    let named = with(object(runs::NAMED_KEYS.iter().copied(), &["dag_run_id"]), "dag_run_id", json!({"type": "string"}));
    let named = with(named, "state", of_words(runs::MARKS));
    bulk(&named, &named, &named)
}

pub(super) fn bulk_instances() -> Body {
    let keys = instances::change::PATCH_KEYS.into_iter().chain(instances::change::NAMED_KEYS);
    let named = with(object(keys, &["task_id"]), "task_id", json!({"type": "string"}));
    bulk(&named, &named, &named)
}

pub(super) fn login() -> Body {
    let text = json!({"type": "string"});
    let schema = json!({
        "type": "object", "required": ["username", "password"], "properties": {"username": text, "password": text},
    });
    Body { kind: "application/json", required: false, schema }
}

pub(super) fn password() -> Body {
    let text = json!({"type": "string"});
    Body::json(with(with(object(auth::PASSWORD_KEYS.iter().copied(), auth::PASSWORD_KEYS), "old", text.clone()), "new", text))
}

fn permissions() -> Value {
    let all: Vec<String> = May::all().map(|may| may.to_string()).collect();
    json!({"type": "array", "items": {"type": "string", "enum": all}})
}

pub(super) fn token() -> Body {
    let schema =
        with(object(auth::TOKEN_KEYS.iter().copied(), &["name"]), "name", json!({"type": "string", "minLength": 1, "maxLength": 100}));
    let schema = with(schema, "days", or_null(json!({"type": "integer", "minimum": 1, "maximum": auth::MOST_DAYS})));
    Body::json(with(schema, "permissions", or_null(permissions())))
}

pub(super) fn user(new: bool) -> Body {
    let keys = if new { users::KEYS } else { &users::KEYS[1..] };
    let schema = object(keys.iter().copied(), if new { &["name"] } else { &[] });
    let schema = with(schema, "active", or_null(json!({"type": "boolean"})));
    let of = json!({"type": "object", "required": ["role"], "properties": {"role": {"type": "string"}, "scope": {"type": "string"}}});
    let schema = with(schema, "roles", or_null(json!({"type": "array", "items": {"anyOf": [{"type": "string"}, of]}})));
    Body::json(if new { with(schema, "name", json!({"type": "string", "minLength": 1, "maxLength": 100})) } else { schema })
}

pub(super) fn role(new: bool) -> Body {
    let keys = if new { users::ROLE_KEYS } else { &users::ROLE_KEYS[1..] };
    let schema = with(object(keys.iter().copied(), keys), "permissions", permissions());
    Body::json(if new { with(schema, "name", json!({"type": "string", "minLength": 1, "maxLength": 100})) } else { schema })
}

/// Whatever the git server sends: only its signature counts.
pub(super) fn anything() -> Body {
    Body { kind: "application/json", required: false, schema: json!({}) }
}
