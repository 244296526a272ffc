//! XComs.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use updraft_model::hint::NOT_MAPPED;
use updraft_store::read::audit::Audit;
use updraft_store::read::runs::RunRow;
use updraft_store::read::secrets::Existing;
use updraft_store::read::xcoms::{XCOM_COLUMNS, XcomRow};

use crate::ApiState;
use crate::access::Scope;
use crate::error::Error;
use crate::listing::collection;
use crate::request::{Body, Caller, Fields, Params};
use crate::shapes::{Time, maybe, task_name, time};

/// What a task left, without its value.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "XComResponse")]
pub(crate) struct Xcom {
    key: String,
    timestamp: Time,
    logical_date: Option<Time>,
    map_index: i32,
    task_id: String,
    dag_id: String,
    run_id: String,
    dag_display_name: String,
    run_after: Time,
    task_display_name: String,
}

/// What a task left.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "XComResponseNative")]
pub(crate) struct XcomWithValue {
    #[serde(flatten)]
    xcom: Xcom,
    /// Any JSON; with `stringify`, the JSON as text.
    value: Value,
}

collection!(Xcoms, "XComCollectionResponse", xcom_entries: Xcom);

async fn shape(state: &ApiState, row: &XcomRow) -> Result<Xcom, Error> {
    let version = state.version(row.version_id).await?;
    let task = version
        .task(row.idx)
        .ok_or_else(|| Error::Broken(format!("xcom of {} names task {}, which its version lacks", row.run_id, row.idx)))?;
    Ok(Xcom {
        key: row.key.clone(),
        timestamp: time(row.at),
        logical_date: maybe(row.logical_date),
        map_index: row.map_index,
        task_id: task.task_id.to_string(),
        dag_id: row.dag_id.clone(),
        run_id: row.run_id.clone(),
        dag_display_name: version.spec().display_name.as_deref().unwrap_or(&row.dag_id).to_owned(),
        run_after: time(row.run_after),
        task_display_name: task_name(task),
    })
}

pub(crate) async fn list(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    mut params: Params,
) -> Result<Json<Xcoms>, Error> {
    if task_id != "~" {
        params.0.push(("task_id".to_owned(), task_id));
    }
    let scope = super::instances::scope(&state, &dag_id, &run_id, &params).await?;
    let page = state.store().xcom_list(&scope, &params.list(XCOM_COLUMNS)?).await?;
    let mut rows = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        rows.push(shape(&state, row).await?);
    }
    Ok(Json(Xcoms { xcom_entries: rows, total_entries: page.total }))
}

/// Most characters of a key.
pub(crate) const MOST_KEY: usize = 512;
pub(crate) const KEYS: [&str; 3] = ["key", "value", "map_index"];

/// Most bytes of a value that is left by hand: as of one that a task leaves.
const MOST_VALUE: usize = 1 << 20;

/// Fields that Airflow's serialisation keeps for itself: whoever reads such a value with it would make an object of a class that we were told.
const RESERVED: [&str; 8] = ["__cache__", "__classname__", "__data__", "__id__", "__source", "__type", "__var", "__version__"];
/// How often JSON may stand in text within JSON: each time is read again. Whoever writes a value needs one.
const MOST_TEXTS: u32 = 4;

/// What is wrong with a value, and where: a reserved field, in JSON within text too, since that is read again. Values are bounded, and so is
/// how deep each JSON goes, by whoever parsed it.
fn reserved(value: &Value, texts: u32) -> Option<(String, String)> {
    match value {
        // Most texts are not worth a parser: the names have two underscores, which may also stand there escaped.
        Value::String(text) if text.trim_start().starts_with(['{', '[']) && (text.contains("__") || text.contains('\\')) => {
            let inner = serde_json::from_str(text).ok()?;
            if texts == 0 {
                return Some((String::new(), format!("has JSON within text more than {MOST_TEXTS} times; write it as JSON")));
            }
            reserved(&inner, texts - 1)
        }
        Value::Array(items) => items.iter().enumerate().find_map(|(nth, item)| {
            let (within, what) = reserved(item, texts)?;
            Some((format!("[{nth}]{within}"), what))
        }),
        Value::Object(fields) => {
            let found: Vec<_> = RESERVED.into_iter().filter(|name| fields.contains_key(*name)).collect();
            if !found.is_empty() {
                let what = format!("has fields that Airflow's serialisation keeps for itself: {}; call them otherwise", found.join(", "));
                return Some((String::new(), what));
            }
            fields.iter().find_map(|(name, item)| {
                let (within, what) = reserved(item, texts)?;
                Some((format!(".{name}{within}"), what))
            })
        }
        _ => None,
    }
}

struct Entry {
    value: Value,
    map_index: i32,
}

impl Entry {
    /// Reads a body; `key` is a field of it where it is not in the path.
    fn read(mut fields: Fields) -> Result<Self, Error> {
        fields.require("value");
        let value = fields.json("value").unwrap_or_default();
        let map_index = fields.map_index().unwrap_or(NOT_MAPPED);
        if value.to_string().len() > MOST_VALUE {
            fields.refuse(
                "value",
                &format!("a value has at most {MOST_VALUE} bytes as JSON: leave what is larger in a bucket, and its address here"),
            );
        } else if let Some((place, wrong)) = reserved(&value, MOST_TEXTS) {
            fields.refuse("value", &format!("value{place} {wrong}"));
        }
        fields.done()?;
        Ok(Self { value, map_index })
    }
}

async fn log(state: &ApiState, caller: &Caller, event: &str, run: &RunRow, task_id: &str, key: &str) -> Result<(), Error> {
    let audit = Audit {
        who: &caller.user,
        event,
        dag_id: Some(&run.dag_id),
        run_id: Some(&run.run_id),
        task_id: Some(task_id),
        extra: Some(json!({"key": key})),
        ..Audit::default()
    };
    Ok(state.store().audit_write(&audit).await?)
}

async fn written(state: &ApiState, path: (&str, &str, &str, &str), map_index: i32) -> Result<Json<XcomWithValue>, Error> {
    let (dag_id, run_id, task_id, key) = path;
    let path = Path((dag_id.to_owned(), run_id.to_owned(), task_id.to_owned(), key.to_owned()));
    show(State(state.clone()), path, Params(vec![("map_index".to_owned(), map_index.to_string())], Scope::ALL)).await
}

/// Says, in Airflow's words, which of run and task is missing: the task is looked for first, in the newest version where there is no run.
async fn has_place(state: &ApiState, dag_id: &str, run_id: &str, task_id: &str) -> Result<(), Error> {
    let dag = super::dags::find(state, dag_id).await?;
    let (version, run) = match super::runs::find(state, dag_id, run_id).await {
        Ok(run) => (run.version_id, true),
        Err(Error::NotFound(_)) => (dag.version_id, false),
        Err(error) => return Err(error),
    };
    if state.version(version).await?.position(task_id).is_none() {
        return Err(Error::NotFound(format!("Task with ID: `{task_id}` not found in dag: `{dag_id}`")));
    }
    if run { Ok(()) } else { Err(Error::NotFound(format!("Dag Run with ID: `{run_id}` not found for dag: `{dag_id}`"))) }
}

pub(crate) async fn create(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    caller: Caller,
    Body(body): Body,
) -> Result<(StatusCode, Json<XcomWithValue>), Error> {
    let mut fields = Fields::of(body, &KEYS)?;
    fields.require("key");
    let key = fields.text("key").unwrap_or_default();
    if key.is_empty() || key.chars().count() > MOST_KEY {
        fields.refuse("key", &format!("a key has 1 to {MOST_KEY} characters"));
    }
    let entry = Entry::read(fields)?;
    has_place(&state, &dag_id, &run_id, &task_id).await?;
    let (run, row) = super::instances::find(&state, &dag_id, &run_id, &task_id, entry.map_index).await?;
    if !state.store().xcom_put(run.key(), row.idx, entry.map_index, &key, &entry.value, Existing::Keep).await? {
        return Err(Error::Conflict(format!("The XCom with key: `{key}` with mentioned task instance already exists.")));
    }
    log(&state, &caller, "create_xcom_entry", &run, &task_id, &key).await?;
    Ok((StatusCode::CREATED, written(&state, (&dag_id, &run_id, &task_id, &key), entry.map_index).await?))
}

fn missing(key: &str) -> Error {
    Error::NotFound(format!("The XCom with key: `{key}` with mentioned task instance doesn't exist."))
}

pub(crate) async fn update(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, key)): Path<(String, String, String, String)>,
    caller: Caller,
    Body(body): Body,
) -> Result<Json<XcomWithValue>, Error> {
    let entry = Entry::read(Fields::of(body, &KEYS[1..])?)?;
    let (run, row) = super::instances::find(&state, &dag_id, &run_id, &task_id, entry.map_index).await?;
    if !state.store().xcom_put(run.key(), row.idx, entry.map_index, &key, &entry.value, Existing::Overwrite).await? {
        return Err(missing(&key));
    }
    log(&state, &caller, "update_xcom_entry", &run, &task_id, &key).await?;
    written(&state, (&dag_id, &run_id, &task_id, &key), entry.map_index).await
}

pub(crate) async fn delete(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, key)): Path<(String, String, String, String)>,
    params: Params,
    caller: Caller,
) -> Result<StatusCode, Error> {
    let map_index = params.map_index()?;
    let (run, row) = super::instances::find(&state, &dag_id, &run_id, &task_id, map_index).await?;
    if !state.store().xcom_delete(run.key(), row.idx, map_index, &key).await? {
        return Err(missing(&key));
    }
    log(&state, &caller, "delete_xcom_entry", &run, &task_id, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn show(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, key)): Path<(String, String, String, String)>,
    params: Params,
) -> Result<Json<XcomWithValue>, Error> {
    let map_index = params.map_index()?;
    let wanted = Params(
        vec![("task_id".to_owned(), task_id), ("key".to_owned(), key.clone()), ("map_index".to_owned(), map_index.to_string())],
        Scope::ALL,
    );
    let scope = super::instances::scope(&state, &dag_id, &run_id, &wanted).await?;
    let page = state.store().xcom_list(&scope, &wanted.list(XCOM_COLUMNS)?).await?;
    let row = page.rows.first().ok_or_else(|| Error::NotFound(format!("XCom entry with key: `{key}` not found")))?;
    // Airflow shows the serialised value as text unless it is asked not to.
    let value = if params.flag("deserialize")?.unwrap_or(false) || !params.flag("stringify")?.unwrap_or(false) {
        row.value.clone()
    } else {
        Value::String(row.value.to_string())
    };
    Ok(Json(XcomWithValue { xcom: shape(&state, row).await?, value }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(value: &Value) -> Option<String> {
        reserved(value, MOST_TEXTS).map(|(place, what)| format!("value{place} {what}"))
    }

    #[test]
    fn reserved_fields_are_found_wherever_they_are_read() {
        let hidden = json!({"a": [1, {"b": {"__var": 1, "__type": "x", "c": 2}}]});
        let what = "has fields that Airflow's serialisation keeps for itself: __type, __var; call them otherwise";
        assert_eq!(wrong(&hidden).unwrap(), format!("value.a[1].b {what}"));
        assert_eq!(wrong(&json!({"t": hidden.to_string()})).unwrap(), format!("value.t.a[1].b {what}"));
        assert!(wrong(&json!(json!([hidden.to_string()]).to_string())).is_some());
        assert!(wrong(&json!(r#"{"\u005f\u005ftype": 1}"#)).is_some(), "escaped");
        for fine in [json!(null), json!("__type"), json!({"type": 1, "__": 2}), json!("{ no JSON with __type"), json!(["[1, 2]"])] {
            assert_eq!(wrong(&fine), None, "{fine}");
        }
    }

    #[test]
    fn text_within_text_ends() {
        let mut value = json!([{"__": 1}]);
        for _ in 0..MOST_TEXTS {
            value = json!([value.to_string()]);
        }
        assert_eq!(wrong(&value), None);
        let deeper = wrong(&json!([value.to_string()])).unwrap();
        assert_eq!(deeper, "value[0][0][0][0][0] has JSON within text more than 4 times; write it as JSON");
    }
}
