//! What this process may do in the cluster, asked of the API server itself: the rights that a worker's Role must give.
//!
//! Called by `updraft doctor --kubernetes`. It changes nothing, and needs no right: everybody may ask about themselves.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::core::Request;
use kube::{Client, Resource as _};

use crate::api::Cluster;
use crate::config::CALL_TIMEOUT;
use crate::errors::{Error, Fault};

/// What workers do, and nothing more: resource, subresource, verbs, and what cannot be done without.
const NEEDED: &[(&str, &str, &[&str], &str)] = &[
    ("pods", "", &["create", "get", "list", "watch", "patch", "delete"], "no attempt can run"),
    ("pods", "log", &["get"], "logs stay empty"),
    ("events", "", &["list"], "nobody learns why a pod does not start"),
];

/// One right, and whether this process has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// Where.
    pub namespace: String,
    /// What may be done.
    pub verb: &'static str,
    /// With what: `pods`, `pods/log`, `events`.
    pub resource: String,
    /// Whether it may.
    pub allowed: bool,
    /// What the server says about it, which is often nothing.
    pub reason: String,
    /// What cannot be done without it.
    pub without: &'static str,
}

/// The cluster's version and the rights in these namespaces; in the client's own where none is named.
pub async fn rights(namespaces: &[String]) -> Result<(String, Vec<Right>), Error> {
    let config = kube::Config::infer().await.map_err(Error::NoCluster)?;
    rights_of(Client::try_from(config).map_err(Error::Client)?, namespaces).await
}

/// The same over a client that the caller made.
pub async fn rights_of(client: Client, namespaces: &[String]) -> Result<(String, Vec<Right>), Error> {
    let own = [client.default_namespace().to_owned()];
    let namespaces = if namespaces.is_empty() { &own[..] } else { namespaces };
    let cluster = Cluster::new(client, CALL_TIMEOUT);
    let silent = |fault: Fault| Error::Silent(fault.to_string());
    let (major, minor) = cluster.version().await.map_err(silent)?;
    let mut rights = Vec::new();
    for namespace in namespaces {
        for (resource, subresource, verbs, without) in NEEDED {
            for verb in *verbs {
                let (allowed, reason) = ask(&cluster, namespace, verb, resource, subresource).await.map_err(silent)?;
                let resource = if subresource.is_empty() { (*resource).to_owned() } else { format!("{resource}/{subresource}") };
                rights.push(Right { namespace: namespace.clone(), verb, resource, allowed, reason, without });
            }
        }
    }
    Ok((format!("{major}.{minor}"), rights))
}

async fn ask(cluster: &Cluster, namespace: &str, verb: &str, resource: &str, subresource: &str) -> Result<(bool, String), Fault> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(namespace.to_owned()),
                verb: Some(verb.to_owned()),
                resource: Some(resource.to_owned()),
                subresource: (!subresource.is_empty()).then(|| subresource.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let body = serde_json::to_vec(&review).map_err(|error| Fault::Refused(error.to_string()))?;
    let request = Request::new(SelfSubjectAccessReview::url_path(&(), None)).create(&PostParams::default(), body);
    let answer: SelfSubjectAccessReview = cluster.call(request).await?;
    let status = answer.status.unwrap_or_default();
    let reason = [status.reason, status.evaluation_error].into_iter().flatten().collect::<Vec<_>>().join("; ");
    Ok((status.allowed, reason))
}
