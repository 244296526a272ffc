//! `why` and `doctor`: the answers to the two questions that people ask.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::http::{Client, Failure, part};
use super::output::{Column, Output, state as state_word, text};

/// Options of `why`.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// The DAG.
    dag: String,
    /// The run, or `latest`.
    run: String,
    /// The task.
    task: String,
    /// Which instance of a mapped task.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true, hide_default_value = true)]
    map_index: i32,
    #[command(flatten)]
    output: Output,
}

/// Options of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn why(client: &Client, options: &Why) -> Result<ExitCode, Failure> {
    let path = format!("/ui/why/{}/{}/{}?map_index={}", part(&options.dag), part(&options.run), part(&options.task), options.map_index);
    let answer = client.get(&path).await?;
    let list = |key: &str, show: fn(&Value) -> String| -> String {
        answer[key].as_array().map(|items| items.iter().map(show).collect::<Vec<_>>().join("\n")).unwrap_or_default()
    };
    let evidence = match &answer["evidence"] {
        Value::Object(map) => map.iter().map(|(k, v)| format!("{k}={}", text(v))).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    };
    let tries = match (answer["try_number"].as_i64(), answer["attempts_left"].as_i64()) {
        (Some(n), Some(left)) => format!("{n} so far, {left} retries left"),
        _ => String::new(),
    };
    let pairs = [
        ("task", format!("{} of {} {}", options.task, text(&answer["dag_id"]), text(&answer["dag_run_id"]))),
        ("state", state_word(&answer["state"])),
        ("because", text(&answer["summary"])),
        (
            "waits for",
            list("waiting", |w| match text(&w["remedy"]) {
                remedy if remedy.is_empty() => text(&w["detail"]),
                remedy => format!("{} ({remedy})", text(&w["detail"])),
            }),
        ),
        ("next try at", text(&answer["next_attempt_at"])),
        ("tries", tries),
        ("reason", text(&answer["reason"])),
        ("paid by", text(&answer["budget"])),
        ("evidence", evidence),
        (
            "history",
            list("attempts", |a| {
                format!("try {}: {} {}", text(&a["try_number"]), text(&a["state"]), text(&a["reason"])).trim_end().to_owned()
            }),
        ),
        ("log", text(&answer["log"])),
    ];
    Ok(options.output.one(&answer, &pairs))
}

pub(crate) async fn doctor(client: &Client, options: &Doctor) -> Result<ExitCode, Failure> {
    let answer = client.get("/ui/doctor").await?;
    let broken = answer["status"] == "fail";
    let code = match options.output.output {
        super::output::Format::Table => {
            const COLUMNS: &[Column] = &[
                ("status", |f| match f["status"].as_str() {
                    Some("ok") => "✓ ok".to_owned(),
                    Some("warn") => "! warn".to_owned(),
                    _ => "✗ FAIL".to_owned(),
                }),
                ("check", |f| text(&f["name"])),
                ("detail", |f| match text(&f["remedy"]) {
                    remedy if remedy.is_empty() => text(&f["detail"]),
                    remedy => format!("{}\n→ {remedy}", text(&f["detail"])),
                }),
            ];
            options.output.rows(answer["findings"].as_array().map_or(&[], Vec::as_slice), COLUMNS)
        }
        _ => options.output.one(&answer, &[]),
    };
    Ok(if broken { ExitCode::FAILURE } else { code })
}
