//! `updraft doctor`: findings about the installation, worst first in meaning, in a fixed order.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use updraft_store::MigrationState;
use updraft_store::read::doctor::{CHECKS, Severity};

use crate::ApiState;
use crate::meta::SILENT_SECONDS;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
struct Finding {
    id: String,
    name: String,
    status: Status,
    detail: String,
    remedy: Option<String>,
}

fn finding(id: &str, name: &str, status: Status, detail: impl Into<String>, remedy: Option<&str>) -> Finding {
    let remedy = remedy.filter(|_| status != Status::Ok).map(str::to_owned);
    Finding { id: id.to_owned(), name: name.to_owned(), status, detail: detail.into(), remedy }
}

pub(crate) async fn doctor(State(state): State<ApiState>) -> Json<Value> {
    let mut findings = Vec::new();
    match state.store().ping().await {
        Ok(took) => {
            findings.push(finding(
                "database",
                "the database answers",
                Status::Ok,
                format!("in {:.1} ms", took.as_secs_f64() * 1000.0),
                None,
            ));
            schema(&state, &mut findings).await;
            processes(&state, &mut findings).await;
            for check in CHECKS {
                findings.push(match state.store().doctor_check(check).await {
                    Ok(found) if found.count == 0 => finding(check.id, check.name, Status::Ok, "", None),
                    Ok(found) => {
                        let status = if check.severity == Severity::Fail { Status::Fail } else { Status::Warn };
                        let more = found.count - i64::try_from(found.examples.len()).unwrap_or(0);
                        let mut detail = found.examples.join("\n");
                        if more > 0 {
                            detail.push_str(&format!("\n… and {more} more"));
                        }
                        finding(check.id, check.name, status, detail, Some(check.remedy))
                    }
                    Err(error) => finding(check.id, check.name, Status::Fail, format!("cannot be checked: {error}"), None),
                });
            }
        }
        Err(error) => findings.push(finding(
            "database",
            "the database answers",
            Status::Fail,
            error.to_string(),
            Some("is Postgres running, and is --database-url right?"),
        )),
    }
    let status = findings.iter().map(|f| f.status).max().unwrap_or(Status::Ok);
    let uptime = (chrono::Utc::now() - state.inner.started_at).num_seconds();
    Json(json!({"status": status, "version": state.inner.version, "uptime_seconds": uptime, "findings": findings}))
}

async fn schema(state: &ApiState, findings: &mut Vec<Finding>) {
    let name = "the schema fits this program";
    findings.push(match state.store().migration_state().await {
        Ok(MigrationState::Current) => finding("schema", name, Status::Ok, "", None),
        Ok(MigrationState::Behind(missing)) => {
            finding("schema", name, Status::Fail, format!("migrations {missing:?} are missing"), Some("updraft db migrate"))
        }
        Ok(MigrationState::Ahead(newer)) => finding(
            "schema",
            name,
            Status::Warn,
            format!("a newer program added migrations {newer:?}"),
            Some("finish the rollout: run the newer program everywhere"),
        ),
        Err(error) => finding("schema", name, Status::Fail, error.to_string(), None),
    });
}

async fn processes(state: &ApiState, findings: &mut Vec<Finding>) {
    let name = "a scheduler is alive";
    let remedy = Some("start one: updraft standalone, or updraft scheduler");
    match state.store().scheduler_list().await {
        Ok(all) => {
            match all.first() {
                Some(s) if s.silent_seconds <= SILENT_SECONDS => {
                    let alive = all.iter().filter(|s| s.silent_seconds <= SILENT_SECONDS).count();
                    findings.push(finding("scheduler", name, Status::Ok, format!("{alive}, heard of {:.0} s ago", s.silent_seconds), None));
                }
                Some(s) => findings.push(finding("scheduler", name, Status::Fail, format!("silent for {:.0} s", s.silent_seconds), remedy)),
                None => findings.push(finding("scheduler", name, Status::Fail, "none has ever been heard of", remedy)),
            }
            if let Some(s) = all.iter().find(|s| s.silent_seconds <= SILENT_SECONDS) {
                let error = s.dags_status.get("error").and_then(Value::as_str);
                let text = match &s.dags_status {
                    Value::Object(map) if map.is_empty() => "the scheduler has not said anything of it yet".to_owned(),
                    other => other.to_string(),
                };
                let name = "the DAG folder can be read";
                let remedy = "does the folder of --dags exist, and may this user read it?";
                findings.push(match error {
                    Some(error) => finding("dags", name, Status::Fail, error, Some(remedy)),
                    None => finding("dags", name, Status::Ok, text, None),
                });
            }
        }
        Err(error) => findings.push(finding("scheduler", name, Status::Fail, error.to_string(), None)),
    }
    let name = "a worker is alive";
    findings.push(match state.store().fleet_worker_list().await {
        Ok(all) => {
            let alive: Vec<_> = all.iter().filter(|w| w.silent_seconds <= SILENT_SECONDS).collect();
            if alive.is_empty() {
                finding(
                    "workers",
                    name,
                    Status::Fail,
                    "none has been heard of for 30 s",
                    Some("start one: updraft standalone, or updraft worker"),
                )
            } else {
                let running: i64 = alive.iter().map(|w| w.running).sum();
                let room: i32 = alive.iter().map(|w| w.concurrency).sum();
                finding("workers", name, Status::Ok, format!("{}, {running} of {room} slots in use", alive.len()), None)
            }
        }
        Err(error) => finding("workers", name, Status::Fail, error.to_string(), None),
    });
}
