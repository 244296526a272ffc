//! `doctor`: what the API finds about the installation, what this host finds about itself, and all of it in one file for whoever helps.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Map, Value, json};

use super::http::{Client, Failure};
use super::output::{Listing, Output, text};
use super::redact::redacted;

/// The clock of an HTTP answer has whole seconds, and takes a moment to arrive.
const SKEW_SECONDS: i64 = 5;

/// Options of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Writes what is known of the installation to a file, without secrets: for whoever is asked for help. Default: a name with the time.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "")]
    bundle: Option<String>,
    /// Ask the cluster, too, whether this process has a worker's rights: of the kubeconfig's context, or in a worker's pod.
    #[arg(long)]
    kubernetes: bool,
    /// With --kubernetes: in which namespaces. Default: the context's own. May be given more than once.
    #[arg(short, long, requires = "kubernetes", value_name = "NAMESPACE")]
    namespace: Vec<String>,
    #[command(flatten)]
    output: Output,
}

const LISTING: Listing = Listing {
    name: |f| text(&f["id"]),
    columns: &[
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
    ],
    wide: &[("id", |f| text(&f["id"]))],
};

fn finding(id: &str, name: &str, status: &str, detail: impl Into<String>, remedy: &str) -> Value {
    let remedy = if status == "ok" { Value::Null } else { json!(remedy) };
    json!({"id": id, "name": name, "status": status, "detail": detail.into(), "remedy": remedy})
}

pub(crate) async fn run(client: &Client, options: &Doctor) -> Result<ExitCode, Failure> {
    let (mut answer, failure) = match ask(client).await {
        Ok(answer) => (answer, None),
        // The rights, and a bundle, are worth something without the API.
        Err(failure) if options.kubernetes || options.bundle.is_some() => (unreachable(&failure), Some(failure)),
        Err(failure) => return Err(failure),
    };
    if options.kubernetes {
        add(&mut answer, kubernetes(&options.namespace).await);
    }
    let broken = answer["status"] == "fail";
    if let Some(file) = &options.bundle {
        let file = if file.is_empty() { format!("updraft-support-{}.json", Utc::now().format("%Y%m%dT%H%M%SZ")) } else { file.clone() };
        let bundle = bundle(client, answer, failure.is_none()).await;
        super::write(&file, &format!("{bundle:#}\n"))?;
        if file != "-" {
            crate::say(&format!("wrote {file}. Secrets were taken out as far as they can be told: look through it before you send it"));
        }
    } else if options.output.output.is_data() {
        options.output.one(&answer, &[]);
    } else {
        options.output.list(answer["findings"].as_array().map_or(&[], Vec::as_slice), &LISTING);
    }
    match failure {
        Some(failure) => Err(failure),
        None if broken => Ok(ExitCode::FAILURE),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn unreachable(failure: &Failure) -> Value {
    let finding = finding("api", "the API answers", "fail", failure.what(), "start it, or name another with --api-url or --context");
    json!({"status": "fail", "version": null, "uptime_seconds": null, "findings": [finding]})
}

/// The API's findings, and how far its clock is from ours.
async fn ask(client: &Client) -> Result<Value, Failure> {
    let before = Utc::now();
    let response = client.send(reqwest::Method::GET, "/ui/doctor", None).await?;
    let after = Utc::now();
    let date = response.headers().get("date").and_then(|date| date.to_str().ok()).and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    let answer = response.text().await.ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let mut answer = answer.filter(|answer| answer["findings"].is_array()).ok_or_else(|| {
        Failure::new(1, format!("{} did not answer as a doctor does: is it an Updraft API of this version?", client.base()))
    })?;
    if let Some(date) = date {
        add(&mut answer, vec![clock(before, date.with_timezone(&Utc), after)]);
    }
    Ok(answer)
}

fn clock(before: DateTime<Utc>, there: DateTime<Utc>, after: DateTime<Utc>) -> Value {
    let name = "this host's clock is the API's";
    let off = if there < before { (there - before).num_seconds() } else { (there - after).num_seconds().max(0) };
    let (status, detail) = match off {
        _ if off.abs() < SKEW_SECONDS => ("ok", String::new()),
        _ if off < 0 => ("warn", format!("it is {} s ahead", -off)),
        _ => ("warn", format!("it is {off} s behind")),
    };
    finding("clock:here", name, status, detail, "let chrony or systemd-timesyncd set it: times such as `3 s ago` are wrong here")
}

/// Adds findings to an answer, and their status to its own.
fn add(answer: &mut Value, findings: Vec<Value>) {
    let rank = |status: &Value| ["ok", "warn", "fail"].iter().position(|word| status == word).unwrap_or(0);
    for finding in findings {
        if rank(&finding["status"]) > rank(&answer["status"]) {
            answer["status"] = finding["status"].clone();
        }
        if let Some(all) = answer["findings"].as_array_mut() {
            all.push(finding);
        }
    }
}

async fn kubernetes(namespaces: &[String]) -> Vec<Value> {
    let name = "this process may do what workers do";
    match updraft_kubernetes::rights(namespaces).await {
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            let remedy = "set KUBECONFIG, or ask in a worker's pod: kubectl exec deployment/updraft-worker -- updraft doctor --kubernetes";
            vec![finding("kubernetes", name, "fail", format!("{error}{cause}"), remedy)]
        }
        Ok((version, rights)) => judged(&version, &rights),
    }
}

/// One finding for each namespace.
fn judged(version: &str, rights: &[updraft_kubernetes::Right]) -> Vec<Value> {
    let mut namespaces: Vec<&str> = rights.iter().map(|right| right.namespace.as_str()).collect();
    namespaces.dedup();
    let of = |namespace: &str| {
        let missing: Vec<String> = rights
            .iter()
            .filter(|right| right.namespace == namespace && !right.allowed)
            .map(|right| {
                let reason = if right.reason.is_empty() { String::new() } else { format!(" ({})", right.reason) };
                format!("may not {} {}{reason}: {}", right.verb, right.resource, right.without)
            })
            .collect();
        let status = if missing.is_empty() { "ok" } else { "fail" };
        let detail = if missing.is_empty() { format!("Kubernetes {version}") } else { missing.join("\n") };
        let remedy = format!(
            "bind the chart's worker Role in {namespace} to this account: `taskNamespaces` of the chart does it, or \
             kubectl auth can-i --list -n {namespace} shows what it has"
        );
        finding(&format!("kubernetes:{namespace}"), &format!("a worker's rights in {namespace}"), status, detail, &remedy)
    };
    namespaces.into_iter().map(of).collect()
}

/// What is asked for a bundle, by the name that it gets there.
const ASKED: &[(&str, &str)] = &[
    ("version", "/api/v2/version"),
    ("health", "/api/v2/monitor/health"),
    ("maintenance", "/ui/maintenance"),
    ("jobs", "/api/v2/jobs?limit=200"),
    ("pools", "/api/v2/pools?limit=200"),
    ("dags", "/api/v2/dags?limit=200"),
    ("dag_stats", "/api/v2/dagStats"),
    ("import_errors", "/api/v2/importErrors?limit=100"),
    ("dag_warnings", "/api/v2/dagWarnings?limit=100"),
    ("runs_failed", "/api/v2/dags/~/dagRuns?state=failed&order_by=-run_after&limit=20"),
    ("runs_running", "/api/v2/dags/~/dagRuns?state=running&order_by=run_after&limit=50"),
    ("tasks_failed", "/api/v2/dags/~/dagRuns/~/taskInstances?state=failed&order_by=-start_date&limit=50"),
    ("tasks_queued", "/api/v2/dags/~/dagRuns/~/taskInstances?state=queued&limit=50"),
    ("events", "/api/v2/eventLogs?order_by=-event_log_id&limit=200"),
];

async fn bundle(client: &Client, doctor: Value, answers: bool) -> Value {
    let mut bundle = Map::new();
    bundle.insert("made_at".to_owned(), json!(Utc::now()));
    bundle.insert(
        "client".to_owned(),
        json!({
            "version": env!("CARGO_PKG_VERSION"), "os": std::env::consts::OS, "arch": std::env::consts::ARCH,
            "kernel": rustix::system::uname().release().to_string_lossy(), "api": client.base(),
            // Names alone: which settings there are, and not one value.
            "environment": std::env::vars_os()
                .filter_map(|(name, _)| name.into_string().ok())
                .filter(|name| name.starts_with("UPDRAFT_"))
                .collect::<std::collections::BTreeSet<_>>(),
        }),
    );
    bundle.insert("doctor".to_owned(), doctor);
    if answers {
        for (name, path) in ASKED {
            let answer = client.get(path).await.unwrap_or_else(|failure| json!({"not_to_be_had": failure.what()}));
            bundle.insert((*name).to_owned(), answer);
        }
    }
    redacted(Value::Object(bundle))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(namespace: &str, verb: &'static str, allowed: bool) -> updraft_kubernetes::Right {
        let resource = "pods".to_owned();
        updraft_kubernetes::Right {
            namespace: namespace.to_owned(),
            verb,
            resource,
            allowed,
            reason: String::new(),
            without: "no attempt can run",
        }
    }

    #[test]
    fn missing_rights_fail_their_namespace_and_the_whole() {
        let found =
            judged("1.31", &[right("a", "get", true), right("a", "list", true), right("b", "get", true), right("b", "list", false)]);
        assert_eq!(
            (&found[0]["status"], &found[0]["detail"], &found[0]["remedy"]),
            (&json!("ok"), &json!("Kubernetes 1.31"), &Value::Null)
        );
        assert_eq!(found[1]["detail"], "may not list pods: no attempt can run");
        assert!(found[1]["remedy"].as_str().unwrap().contains("-n b"));
        let mut answer = json!({"status": "warn", "findings": []});
        add(&mut answer, found);
        assert_eq!((&answer["status"], answer["findings"].as_array().unwrap().len()), (&json!("fail"), 2));
    }

    #[test]
    fn a_clock_that_is_off_is_found_in_both_directions() {
        let at = |seconds| DateTime::<Utc>::from_timestamp(seconds, 0).unwrap();
        assert_eq!(clock(at(100), at(99), at(100))["status"], "ok", "whole seconds are cut off");
        assert_eq!(clock(at(100), at(40), at(100))["detail"], "it is 60 s ahead");
        assert_eq!(clock(at(100), at(160), at(101))["detail"], "it is 59 s behind");
    }
}
