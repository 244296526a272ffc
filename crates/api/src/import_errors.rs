//! `/ui/import-errors`: the files that cannot be read, mistake by mistake, each with the lines around it. `/api/v2/importErrors` has the same as
//! one text, in Airflow's shape.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use updraft_store::read::dags::{IMPORT_ERROR_COLUMNS, ImportErrorRow};

use crate::ApiState;
use crate::error::Error;
use crate::listing::collection;
use crate::request::Params;
use crate::shapes::{Time, time};

/// Lines of a file.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SourceLines {
    /// The number of the first one.
    first: i64,
    lines: Vec<String>,
}

/// One mistake.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FileMistake {
    /// `syntax`, `import`, `unknown_key` and so on.
    kind: String,
    message: String,
    /// What to do about it.
    hint: Option<String>,
    line: Option<i64>,
    column: Option<i64>,
    /// The lines around it.
    around: Option<SourceLines>,
    /// Spaces and carets to print below its line.
    caret: Option<String>,
    dag_id: Option<String>,
    traceback: Option<String>,
}

/// A file that cannot be read.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BrokenFile {
    import_error_id: i64,
    timestamp: Time,
    filename: String,
    bundle_name: String,
    /// All of it as one text.
    text: String,
    /// Empty: a scheduler of an older version read it.
    mistakes: Vec<FileMistake>,
}

collection!(BrokenFiles, "BrokenFileCollection", files: BrokenFile);

fn mistake(value: &Value) -> FileMistake {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let number = |name: &str| value[name].as_i64();
    let lines = value["around"]["lines"].as_array().filter(|lines| !lines.is_empty());
    FileMistake {
        kind: text("kind").unwrap_or_default(),
        message: text("message").unwrap_or_default(),
        hint: text("hint"),
        line: number("line"),
        column: number("column"),
        around: lines.map(|lines| SourceLines {
            first: value["around"]["first"].as_i64().unwrap_or(1),
            lines: lines.iter().map(|line| line.as_str().unwrap_or_default().to_owned()).collect(),
        }),
        caret: value["snippet"]["caret"].as_str().filter(|caret| !caret.is_empty()).map(str::to_owned),
        dag_id: text("dag_id"),
        traceback: text("traceback"),
    }
}

fn shape(row: &ImportErrorRow) -> BrokenFile {
    BrokenFile {
        import_error_id: row.id,
        timestamp: time(row.at),
        filename: row.relative_fileloc.clone(),
        bundle_name: row.bundle.clone(),
        text: row.message.clone(),
        mistakes: row.details.as_ref().and_then(Value::as_array).into_iter().flatten().map(mistake).collect(),
    }
}

pub(crate) async fn list(State(state): State<ApiState>, params: Params) -> Result<Json<BrokenFiles>, Error> {
    let page = state.store().import_error_list(&params.list(IMPORT_ERROR_COLUMNS)?).await?;
    Ok(Json(BrokenFiles { files: page.rows.iter().map(shape).collect(), total_entries: page.total }))
}
