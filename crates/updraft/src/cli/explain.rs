//! `why`: the answer to the question that people ask.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::http::{Client, Failure, part};
use super::output::{Output, state as state_word, text};

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
