//! `updraft doctor`: findings about the installation, worst first in meaning, in a fixed order.

mod host;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use updraft_store::MigrationState;
use updraft_store::read::doctor::{CHECKS, Severity};

use crate::ApiState;
use crate::meta::SILENT_SECONDS;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "FindingStatus")]
pub(crate) enum Status {
    Ok,
    Warn,
    Fail,
}

/// What was looked at, and what was found.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Finding {
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

/// How an installation is: the worst of its findings, and all of them.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DoctorReport")]
pub(crate) struct Report {
    status: Status,
    version: String,
    uptime_seconds: i64,
    findings: Vec<Finding>,
}

pub(crate) async fn doctor(State(state): State<ApiState>) -> Json<Report> {
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
            clock(&state, &mut findings).await;
            processes(&state, &mut findings).await;
            maintenance(&state, &mut findings).await;
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
    let broker = state.inner.broker.status().borrow().clone();
    findings.push(host::broker(&broker, Utc::now()));
    findings.extend(host::disks(&state.inner.folders));
    let status = findings.iter().map(|f| f.status).max().unwrap_or(Status::Ok);
    let uptime_seconds = (Utc::now() - state.inner.started_at).num_seconds();
    Json(Report { status, version: state.inner.version.clone(), uptime_seconds, findings })
}

async fn clock(state: &ApiState, findings: &mut Vec<Finding>) {
    let before = Utc::now();
    if let Ok(Ok(there)) = tokio::time::timeout(host::PATIENCE, state.store().clock()).await {
        findings.push(host::clock(before, there, Utc::now()));
    }
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

async fn maintenance(state: &ApiState, findings: &mut Vec<Finding>) {
    let name = "launches are not stopped";
    findings.push(match state.store().maintenance().await {
        Ok(found) => match found.since {
            None => finding("maintenance", name, Status::Ok, "", None),
            Some(since) => {
                let by = found.by.as_deref().unwrap_or("somebody");
                let reason = found.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                let detail = format!("maintenance since {}, begun by {by}{reason}", crate::shapes::time_text(since));
                finding("maintenance", name, Status::Warn, detail, Some("updraft maintenance off"))
            }
        },
        Err(error) => finding("maintenance", name, Status::Fail, error.to_string(), None),
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
                dag_sources(&s.dags_status, Utc::now(), findings);
                let stored = state.store().secrets_count().await.ok();
                findings.extend(secret_sources(&s.secrets_status, stored, state.inner.keyring.is_some()));
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

/// One finding for each source of DAG files.
fn dag_sources(status: &Value, now: DateTime<Utc>, findings: &mut Vec<Finding>) {
    let sources = status.as_object().filter(|all| !all.is_empty());
    let Some(sources) = sources else {
        findings.push(finding("dags", "DAG files are read", Status::Ok, "the scheduler has not said anything of it yet", None));
        return;
    };
    for (bundle, source) in sources {
        let (status, detail) = dag_source(source, now);
        let remedy =
            "what is named above; until then the last good DAGs stay, and `updraft dags list-import-errors` has the errors of files";
        findings.push(finding(&format!("dags:{bundle}"), &format!("the DAG files of {bundle} are read"), status, detail, Some(remedy)));
    }
}

/// Where templates get variables and connections from, in the order in which they are asked. Numbers, and no value.
fn secret_sources(status: &Value, stored: Option<(i64, i64)>, sealed: bool) -> Option<Finding> {
    // A scheduler of the version before says nothing of it.
    status.get("environment")?;
    let count = |of: i64, one: &str| format!("{of} {one}{}", if of == 1 { "" } else { "s" });
    let counts = |variables: i64, connections: i64| format!("{}, {}", count(variables, "variable"), count(connections, "connection"));
    let mut lines = Vec::new();
    let mut mistakes = Vec::new();
    for place in ["folder", "environment"] {
        let source = &status[place];
        let Some(variables) = source["variables"].as_i64() else { continue };
        let path = source["path"].as_str().map(|path| format!(" {path}")).unwrap_or_default();
        lines.push(format!("{place}{path}: {}", counts(variables, source["connections"].as_i64().unwrap_or(0))));
        mistakes.extend(source["mistakes"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
        mistakes.extend(source["more_mistakes"].as_i64().filter(|more| *more > 0).map(|more| format!("… and {more} more")));
    }
    lines.extend(stored.map(|(variables, connections)| {
        let without = if sealed { "" } else { ", which nobody can open: there are no secret keys" };
        format!("database: {}{}", counts(variables, connections), if variables + connections > 0 { without } else { "" })
    }));
    let found = if mistakes.is_empty() { Status::Ok } else { Status::Warn };
    lines.extend(mistakes);
    let remedy = "mend what is named above: a template that reads it ends its task with render_error, and no other source stands in for it";
    Some(finding("secrets", "variables and connections can be read", found, lines.join("\n"), Some(remedy)))
}

/// The commit, its age, what its files came to, and what is wrong since when.
fn dag_source(source: &Value, now: DateTime<Utc>) -> (Status, String) {
    let text = |key: &str| source[key].as_str().filter(|text| !text.is_empty());
    let ago = |key: &str| {
        let at = DateTime::parse_from_rfc3339(text(key)?).ok()?;
        let seconds = (now - at.with_timezone(&Utc)).num_seconds().max(0);
        Some(match seconds {
            0..120 => format!("{seconds} s"),
            120..7200 => format!("{} min", seconds / 60),
            _ => format!("{} h", seconds / 3600),
        })
    };
    let mut parts = Vec::new();
    parts.extend(text("source").or_else(|| text("root")).map(str::to_owned));
    match (text("commit"), text("subject")) {
        (Some(commit), Some(subject)) => parts.push(format!("commit {} ({subject})", commit.get(..10).unwrap_or(commit))),
        (Some(commit), None) => parts.push(format!("commit {}", commit.get(..10).unwrap_or(commit))),
        _ => {}
    }
    parts.extend(ago("committed_at").map(|ago| format!("made {ago} ago")));
    parts.extend(ago("fetched_at").map(|ago| format!("asked for {ago} ago")));
    let count = |key: &str| source[key].as_u64().unwrap_or(0);
    parts.push(format!("{} DAGs in {} files, {} with mistakes", count("dags"), count("files"), count("files_with_errors")));
    let mut detail = parts.join(", ");
    for note in source["notes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        detail.push_str(&format!("\n{note}"));
    }
    let Some(error) = text("last_error") else { return (Status::Ok, detail) };
    detail.push_str(&format!("\n{error}"));
    if let Some(since) = ago("failing_since") {
        detail.push_str(&format!("\nfor {since}, {} times", count("failures")));
    }
    // Old DAGs run on; none at all is an outage.
    (if count("dags") == 0 { Status::Fail } else { Status::Warn }, detail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sources_of_secrets_are_told_by_their_numbers() {
        let of = |variables: i64, connections: i64, mistakes: &[&str]| json!({"variables": variables, "connections": connections, "mistakes": mistakes, "more_mistakes": 0});
        assert!(secret_sources(&json!({}), Some((1, 1)), true).is_none());
        let mut status = json!({"environment": of(1, 0, &[])});
        let found = secret_sources(&status, Some((12, 1)), true).unwrap();
        assert_eq!(found.detail, "environment: 1 variable, 0 connections\ndatabase: 12 variables, 1 connection");
        assert_eq!((found.status, found.remedy), (Status::Ok, None));
        status["folder"] = of(3, 2, &["/s/variables/x is not UTF-8"]);
        status["folder"]["path"] = json!("/s");
        status["folder"]["more_mistakes"] = json!(4);
        let found = secret_sources(&status, Some((0, 1)), false).unwrap();
        let expect = "folder /s: 3 variables, 2 connections\nenvironment: 1 variable, 0 connections\n\
            database: 0 variables, 1 connection, which nobody can open: there are no secret keys\n/s/variables/x is not UTF-8\n… and 4 more";
        assert_eq!((found.detail.as_str(), found.status), (expect, Status::Warn));
        assert!(found.remedy.is_some());
    }

    #[test]
    fn a_source_is_told_with_commit_age_and_error() {
        let now: DateTime<Utc> = "2026-01-01T12:00:00Z".parse().unwrap();
        let mut source = json!({
            "state": "ok", "source": "git+https://h/dags.git@main", "commit": "0123456789abcdef", "subject": "add etl",
            "committed_at": "2026-01-01T09:00:00Z", "fetched_at": "2026-01-01T11:59:57Z", "last_error": null, "failing_since": null,
            "failures": 0, "files": 3, "dags": 2, "files_with_errors": 1, "notes": [],
        });
        let well =
            "git+https://h/dags.git@main, commit 0123456789 (add etl), made 3 h ago, asked for 3 s ago, 2 DAGs in 3 files, 1 with mistakes";
        assert_eq!(dag_source(&source, now), (Status::Ok, well.to_owned()));
        source["last_error"] = "the host cannot be reached".into();
        source["failing_since"] = "2026-01-01T11:50:00Z".into();
        source["failures"] = 12.into();
        let (status, detail) = dag_source(&source, now);
        assert_eq!((status, detail), (Status::Warn, format!("{well}\nthe host cannot be reached\nfor 10 min, 12 times")));
        source["dags"] = 0.into();
        assert_eq!(dag_source(&source, now).0, Status::Fail);
    }
}
