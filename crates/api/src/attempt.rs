//! `GET /ui/attempts/…`: one attempt with what it was started with and what is known of it: the command and its environment, the pod, and the
//! evidence of its end. Nothing of it is a secret: names of secrets are masked here, and the worker masks their values.

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use updraft_model::LaunchSpec;
use updraft_model::redact::{MASK, is_sensitive, redact, redact_text};

use crate::ApiState;
use crate::error::Error;
use crate::request::Params;
use crate::shapes::{self, Time, maybe};

/// A variable of the environment.
#[derive(Debug, Serialize, JsonSchema)]
struct Variable {
    name: String,
    /// `***` where it is a secret.
    value: String,
}

/// One attempt.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AttemptShown {
    try_number: i32,
    state: String,
    /// `kubernetes`, `process`, `manual`; none before its end.
    runner: Option<String>,
    /// The object that ran: the pod's uid, or the supervisor's folder.
    handle: Option<String>,
    host: Option<String>,
    queue: String,
    pool: String,
    slots: i32,
    queued_at: Option<Time>,
    started_at: Option<Time>,
    ended_at: Option<Time>,
    budget: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    /// The program and its arguments.
    command: Vec<String>,
    env: Vec<Variable>,
    cwd: Option<String>,
    image: Option<String>,
    timeout_seconds: Option<f64>,
    memory_limit: Option<u64>,
    /// The pod that its task asks for; none where it asks for no pod.
    #[schemars(with = "Option<Map<String, Value>>")]
    asked: Option<Value>,
    /// The pod as the cluster had it at its end: its spec, the states of its containers and its events. None: it ended well, or was no pod.
    #[schemars(with = "Option<Map<String, Value>>")]
    pod: Option<Value>,
    /// The facts that its state follows from.
    #[schemars(with = "Option<Map<String, Value>>")]
    evidence: Option<Value>,
}

fn is_secret(name: &str) -> bool {
    // A connection in a variable is a URL with its password.
    is_sensitive(name) || name.starts_with("AIRFLOW_CONN_")
}

/// Masks `{"name": …, "value": …}` too, wherever it stands in a pod.
fn masked(value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let is_secret = fields.get("name").and_then(Value::as_str).is_some_and(is_secret);
                if let Some(Value::String(value)) = fields.get_mut("value").filter(|_| is_secret) {
                    MASK.clone_into(value);
                }
                // Says the whole pod once more.
                if let Some(annotations) = fields.get_mut("annotations").and_then(Value::as_object_mut) {
                    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
                }
                fields.values_mut().for_each(walk);
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    let mut value = value;
    walk(&mut value);
    keep_names(value)
}

/// [`redact`], but a volume or an account whose *field* has a secret's name (`secretName`, `serviceAccountName`) is named: those are names.
fn keep_names(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let names = name.ends_with("Name")
                    || name.ends_with("Token")
                    || matches!(name.as_str(), "secret" | "secretKeyRef" | "secretRef" | "serviceAccount");
                let shown = match value {
                    value @ (Value::Object(_) | Value::Array(_)) if names => keep_names(value),
                    value if names => value,
                    value if is_sensitive(&name) && !value.is_null() => json!(MASK),
                    value => keep_names(value),
                };
                (name, shown)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(keep_names).collect(),
        other => other,
    }
}

/// The manifest of the pod that the task asks for: what it brings as a whole, and over that its own arguments.
fn asked(launch: &LaunchSpec) -> Option<Value> {
    let rest = launch.pod.as_ref()?.as_object()?;
    let (cmds, arguments) = launch.argv.split_at(launch.entrypoint_length.min(launch.argv.len()));
    let mut env: Vec<Value> = launch.env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    env.extend(rest.get("env_vars").and_then(Value::as_array).into_iter().flatten().cloned());
    let mut container = json!({
        "name": rest.get("base_container_name").and_then(Value::as_str).unwrap_or("base"),
        "image": launch.image, "command": cmds, "args": arguments, "env": env,
    });
    if let Some(resources) = rest.get("container_resources") {
        container["resources"] = resources.clone();
    }
    let others: Map<String, Value> = rest
        .iter()
        .filter(|(name, value)| !OF_METADATA.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let metadata: Map<String, Value> = ["name", "namespace", "labels", "annotations"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), rest.get(name).filter(|value| !value.is_null())?.clone())))
        .collect();
    Some(json!({"metadata": metadata, "containers": [container], "arguments": others}))
}

/// Arguments that have their place in [`asked`] already.
const OF_METADATA: [&str; 7] = ["name", "namespace", "labels", "annotations", "env_vars", "container_resources", "base_container_name"];

pub(crate) async fn attempt(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, try_number)): Path<(String, String, String, String)>,
    params: Params,
) -> Result<Json<AttemptShown>, Error> {
    let map_index = params.map_index()?;
    let (run, row) = crate::instances::find(&state, &dag_id, &run_id, &task_id, map_index).await?;
    let attempts = state.store().attempt_list(run.key(), row.idx, row.map_index).await?;
    let number = try_number.parse::<i32>().ok().and_then(|number| number.checked_add(run.attempt_base));
    let found =
        number.filter(|number| *number > run.attempt_base).and_then(|number| attempts.into_iter().find(|one| one.attempt == number));
    let found = found.ok_or_else(|| Error::NotFound(format!("{dag_id} {run_id} {task_id} has no try {try_number}")))?;
    let launch: LaunchSpec = found.launch.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let is_live = found.ended_at.is_none();
    let mut evidence = found.evidence;
    let pod = evidence.as_mut().and_then(Value::as_object_mut).and_then(|facts| facts.remove("pod")).map(masked);
    let of_evidence = |name: &str| evidence.as_ref().and_then(|facts| facts.get(name)).and_then(Value::as_str).map(str::to_owned);
    let env = launch.env.iter().map(|(name, value)| {
        let value = if is_secret(name) { MASK.to_owned() } else { redact_text(name, value.clone()) };
        Variable { name: name.clone(), value }
    });
    let seconds = |ms: u64| std::time::Duration::from_millis(ms).as_secs_f64();
    Ok(Json(AttemptShown {
        try_number: found.attempt - run.attempt_base,
        state: found.state,
        runner: of_evidence("runner"),
        handle: of_evidence("handle"),
        host: found.host.as_deref().map(|host| shapes::hostname(Some(host)).to_owned()),
        queue: found.queue,
        pool: found.pool,
        slots: found.slots,
        queued_at: maybe(found.queued_at),
        started_at: maybe(found.started_at.filter(|at| *at > DateTime::<Utc>::UNIX_EPOCH)),
        ended_at: maybe(found.ended_at),
        budget: found.budget,
        reason: found.reason,
        // Of a live one the row of the instance tells where it stands.
        message: found.message.or_else(|| row.message.clone().filter(|_| is_live)),
        env: env.collect(),
        cwd: launch.cwd.clone(),
        image: launch.image.clone(),
        timeout_seconds: launch.timeout_ms.map(seconds),
        memory_limit: launch.memory_limit,
        asked: asked(&launch).map(masked),
        command: launch.argv,
        pod,
        evidence: evidence.map(redact),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_a_pod_is_shown_and_no_name_is_hidden() {
        let launch = LaunchSpec {
            argv: vec!["sh".to_owned(), "-c".to_owned(), "true".to_owned()],
            entrypoint_length: 1,
            image: Some("busybox".to_owned()),
            env: [("DB_PASSWORD".to_owned(), "hunter2".to_owned()), ("REGION".to_owned(), "eu".to_owned())].into(),
            pod: Some(json!({
                "namespace": "jobs", "labels": {"app": "x"}, "base_container_name": "main",
                "env_vars": [{"name": "AIRFLOW_CONN_DB", "value": "postgres://u:hunter2@h/d"}, {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                "full_pod_spec": {"spec": {"serviceAccountName": "jobs", "volumes": [{"name": "v", "secret": {"secretName": "s"}}], "x": {"api_key": "hunter2"}}},
            })),
            ..LaunchSpec::default()
        };
        let shown = masked(asked(&launch).unwrap());
        assert!(!shown.to_string().contains("hunter2"), "{shown}");
        let container = &shown["containers"][0];
        assert_eq!(
            (&container["name"], &container["command"], &container["args"]),
            (&json!("main"), &json!(["sh"]), &json!(["-c", "true"]))
        );
        assert!(container["env"].as_array().unwrap().contains(&json!({"name": "REGION", "value": "eu"})));
        assert_eq!(shown["arguments"]["full_pod_spec"]["spec"]["serviceAccountName"], "jobs");
        assert_eq!(shown["arguments"]["full_pod_spec"]["spec"]["volumes"][0]["secret"]["secretName"], "s");
        assert!(asked(&LaunchSpec::default()).is_none());
    }
}
