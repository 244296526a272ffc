//! XComs.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Map, Value, json};
use updraft_store::read::xcoms::{XCOM_COLUMNS, XcomRow};

use crate::ApiState;
use crate::error::Error;
use crate::request::Params;
use crate::shapes::{maybe, time};

async fn shape(state: &ApiState, row: &XcomRow, value: Option<Value>) -> Result<Value, Error> {
    let version = state.version(row.version_id).await?;
    let task = version
        .task(row.idx)
        .ok_or_else(|| Error::Broken(format!("xcom of {} names task {}, which its version lacks", row.run_id, row.idx)))?;
    let mut map = Map::new();
    let name = version.spec().display_name.as_deref().unwrap_or(&row.dag_id);
    if let Value::Object(fields) = json!({
        "key": row.key, "timestamp": time(row.at), "logical_date": maybe(row.logical_date), "map_index": row.map_index, "task_id": task.task_id,
        "dag_id": row.dag_id, "run_id": row.run_id, "dag_display_name": name, "run_after": time(row.run_after),
        "task_display_name": task.display_name.as_deref().unwrap_or(task.task_id.as_str()),
    }) {
        map.extend(fields);
    }
    if let Some(value) = value {
        map.insert("value".to_owned(), value);
    }
    Ok(Value::Object(map))
}

pub(crate) async fn list(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id)): Path<(String, String, String)>,
    mut params: Params,
) -> Result<Json<Value>, Error> {
    if task_id != "~" {
        params.0.push(("task_id".to_owned(), task_id));
    }
    let scope = super::instances::scope(&state, &dag_id, &run_id, &params).await?;
    let page = state.store().xcom_list(&scope, &params.list(XCOM_COLUMNS)?).await?;
    let mut rows = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        rows.push(shape(&state, row, None).await?);
    }
    Ok(Json(json!({"xcom_entries": rows, "total_entries": page.total})))
}

pub(crate) async fn show(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, key)): Path<(String, String, String, String)>,
    params: Params,
) -> Result<Json<Value>, Error> {
    let map_index = params.int("map_index")?.unwrap_or(-1);
    let wanted =
        Params(vec![("task_id".to_owned(), task_id), ("key".to_owned(), key.clone()), ("map_index".to_owned(), map_index.to_string())]);
    let scope = super::instances::scope(&state, &dag_id, &run_id, &wanted).await?;
    let page = state.store().xcom_list(&scope, &wanted.list(XCOM_COLUMNS)?).await?;
    let row = page.rows.first().ok_or_else(|| Error::NotFound(format!("XCom entry with key: `{key}` not found")))?;
    // Airflow shows the serialised value as text unless it is asked not to.
    let value = if params.flag("deserialize")?.unwrap_or(false) || !params.flag("stringify")?.unwrap_or(false) {
        row.value.clone()
    } else {
        Value::String(row.value.to_string())
    };
    Ok(Json(shape(&state, row, Some(value)).await?))
}
