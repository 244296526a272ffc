//! What a process may do, asked of an API server that says what the test wants.

use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tower::BoxError;

type Asked = Arc<Mutex<Vec<Value>>>;

/// A server that allows everything but what `refuses` says, and that notes what it was asked.
fn server(refuses: impl Fn(&Value) -> bool + Clone + Send + Sync + 'static) -> (kube::Client, Asked) {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (noted, refuses) = (Arc::clone(&noted), refuses.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let answer = match parts.uri.path() {
                "/version" => json!({
                    "major": "1", "minor": "31+", "gitVersion": "v1.31.0", "gitCommit": "", "gitTreeState": "", "buildDate": "",
                    "goVersion": "", "compiler": "", "platform": "",
                }),
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" => {
                    let mut review: Value = serde_json::from_slice(&body)?;
                    let what = review["spec"]["resourceAttributes"].clone();
                    review["status"] = json!({"allowed": !refuses(&what), "reason": if refuses(&what) { "no rule" } else { "" }});
                    noted.lock().map_err(|_| "poisoned")?.push(what);
                    review
                }
                other => return Err(format!("{other} is not asked for").into()),
            };
            Response::builder().status(200).body(Body::from(answer.to_string().into_bytes())).map_err(BoxError::from)
        }
    });
    (kube::Client::new(service, "tasks"), asked)
}

#[tokio::test]
async fn all_that_the_chart_gives_is_asked_for_and_nothing_else() -> anyhow::Result<()> {
    let (client, asked) = server(|_| false);
    let (version, rights) = updraft_kubernetes::rights_of(client, &[]).await?;
    assert_eq!(version, "1.31");
    assert!(rights.iter().all(|right| right.allowed && right.namespace == "tasks"), "{rights:?}");
    // The Role of the chart, word for word: a right that the code needs and the chart forgets would be found here.
    let role = include_str!("../../../deploy/helm/updraft/templates/rbac.yaml");
    for (resource, verbs) in [("pods", "create, get, list, watch, patch, delete"), ("pods/log", "get"), ("events", "list")] {
        assert!(role.contains(&format!("resources: [{resource}]\n    verbs: [{verbs}]")), "the chart's Role: {resource}");
        let found: Vec<&str> = rights.iter().filter(|right| right.resource == resource).map(|right| right.verb).collect();
        assert_eq!(found.join(", "), verbs);
    }
    let asked = asked.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
    assert_eq!(asked.len(), rights.len());
    let log = json!({"namespace": "tasks", "verb": "get", "resource": "pods", "subresource": "log"});
    assert!(asked.contains(&log), "{asked:?}");
    Ok(())
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_with_its_namespace() -> anyhow::Result<()> {
    let (client, _) = server(|what| what["namespace"] == "b" && what["verb"] == "delete");
    let (_, rights) = updraft_kubernetes::rights_of(client, &["a".to_owned(), "b".to_owned()]).await?;
    let missing: Vec<_> = rights.iter().filter(|right| !right.allowed).collect();
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!((missing[0].namespace.as_str(), missing[0].verb, missing[0].resource.as_str()), ("b", "delete", "pods"));
    assert_eq!((missing[0].reason.as_str(), missing[0].without), ("no rule", "no attempt can run"));
    Ok(())
}

#[tokio::test]
async fn a_server_that_refuses_to_say_is_an_error() {
    let service = tower::service_fn(|_: Request<Body>| async {
        let body = json!({"kind": "Status", "status": "Failure", "code": 401, "reason": "Unauthorized", "message": "who are you"});
        Response::builder().status(401).body(Body::from(body.to_string().into_bytes())).map_err(BoxError::from)
    });
    let error = updraft_kubernetes::rights_of(kube::Client::new(service, "tasks"), &[]).await.expect_err("no rights can be known");
    assert!(error.to_string().contains("who are you"), "{error}");
}
