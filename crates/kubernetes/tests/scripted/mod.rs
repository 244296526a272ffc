//! An API server that answers as a test says. It has no state of its own.

use std::sync::Arc;

use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tower::BoxError;
use updraft_kubernetes::{Config, KubernetesRunner};
use updraft_model::{AttemptKey, InstanceKey, LaunchSpec, RunKey};
use updraft_worker::runner::Assignment;
use uuid::Uuid;

/// A request of the runner. Names are those of pods.
#[derive(Debug)]
pub(crate) enum Asked {
    Create(Value),
    Get(String),
    Patch(#[expect(dead_code, reason = "for a panic's message")] String, Value),
    Delete(#[expect(dead_code, reason = "for a panic's message")] String, Value),
    List,
    Watch,
    Other(String),
}

/// What it is answered with.
pub(crate) enum Answer {
    Json(u16, Value),
    Text(u16, &'static str),
    /// The connection ends without a reply.
    Broken,
    /// There is no reply.
    Never,
}

pub(crate) fn status(code: u16, reason: &str, message: &str) -> Answer {
    Answer::Json(code, json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}))
}

pub(crate) fn not_found() -> Answer {
    status(404, "NotFound", "pods \"x\" not found")
}

/// A pod whose command has ended by itself.
pub(crate) fn ended_pod(name: &str, uid: &str, code: i32) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "tasks", "uid": uid, "finalizers": ["updraft.dev/evidence"]},
        "spec": {"nodeName": "n", "containers": [{"name": "base", "image": "i"}]},
        "status": {"phase": if code == 0 { "Succeeded" } else { "Failed" }, "containerStatuses": [{"name": "base", "state": {"terminated": {
            "exitCode": code, "startedAt": "2026-01-02T03:04:05Z", "finishedAt": "2026-01-02T03:04:06Z",
        }}}]},
    })
}

/// A runner on a server of version 1.31 that gives these answers. A group's watch starts with every attempt, but few tests are about it:
/// here it hears nothing.
pub(crate) async fn runner(answer: impl Fn(Asked) -> Answer + Send + Sync + 'static) -> KubernetesRunner {
    watching(move |asked| if matches!(asked, Asked::List | Asked::Watch) { None } else { Some(answer(asked)) }).await
}

/// The same, with watches. Nothing is an answer that never comes.
pub(crate) async fn watching(answer: impl Fn(Asked) -> Option<Answer> + Send + Sync + 'static) -> KubernetesRunner {
    let answer = Arc::new(answer);
    let service = tower::service_fn(move |request: Request<Body>| {
        let answer = Arc::clone(&answer);
        async move {
            let version = request.uri().path() == "/version";
            let given = if version {
                let info = json!({
                    "major": "1", "minor": "31+", "gitVersion": "v1.31.0", "gitCommit": "", "gitTreeState": "", "buildDate": "",
                    "goVersion": "", "compiler": "", "platform": "",
                });
                Answer::Json(200, info)
            } else {
                let asked = understand(request).await?;
                answer(asked).unwrap_or(Answer::Never)
            };
            let reply = |code: u16, body: Vec<u8>| Response::builder().status(code).body(Body::from(body)).map_err(BoxError::from);
            match given {
                Answer::Json(code, value) => reply(code, value.to_string().into_bytes()),
                Answer::Text(code, text) => reply(code, text.as_bytes().to_vec()),
                Answer::Broken => Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into()),
                Answer::Never => std::future::pending().await,
            }
        }
    });
    KubernetesRunner::with_client(kube::Client::new(service, "tasks"), Config::new(Uuid::nil())).await
}

async fn understand(request: Request<Body>) -> Result<Asked, BoxError> {
    let (parts, body) = request.into_parts();
    let body = body.collect_bytes().await?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let query = parts.uri.query().unwrap_or_default();
    Ok(match parts.uri.path().strip_prefix("/api/v1/namespaces/tasks/pods") {
        Some("") if parts.method == Method::POST => Asked::Create(body),
        Some("") if query.contains("watch=true") => Asked::Watch,
        Some("") => Asked::List,
        Some(name) => {
            let name = name.trim_start_matches('/').to_owned();
            match parts.method {
                Method::GET => Asked::Get(name),
                Method::PATCH => Asked::Patch(name, body),
                Method::DELETE => Asked::Delete(name, body),
                _ => Asked::Other(name),
            }
        }
        None => Asked::Other(parts.uri.to_string()),
    })
}

/// An attempt that is always the same.
pub(crate) fn attempt() -> (AttemptKey, Uuid, LaunchSpec) {
    let key = AttemptKey { instance: InstanceKey { run: RunKey(1), idx: 2, map_index: -1 }, attempt: 3 };
    let spec = LaunchSpec {
        dag_id: "etl".to_owned(),
        run_id: "manual".to_owned(),
        task_id: "load".to_owned(),
        argv: vec!["true".to_owned()],
        entrypoint_length: 1,
        image: Some("app:1".to_owned()),
        ..LaunchSpec::default()
    };
    (key, Uuid::nil(), spec)
}

pub(crate) fn assignment<'a>(key: AttemptKey, group: Uuid, spec: &'a LaunchSpec, bound: Option<&'a str>) -> Assignment<'a> {
    Assignment { key, group, bound, spec }
}
