//! What a worker asks of a cluster.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Histograms, Label, airflow, one_of, short};

/// What an API server answers, as Airflow counts it: by HTTP status.
const ANSWERS: &[(&str, &str)] = &[
    ("ok", "200"),
    ("exists", "409"),
    ("refused", "422"),
    ("quota", "403"),
    ("rights", "403"),
    ("not_found", "404"),
    ("changed", "409"),
    ("away", "error"),
];
const VERBS: &[&str] = &["create", "get", "patch", "delete", "list", "logs", "events"];

/// See [`pods`](fn@super::pods).
pub struct Pods {
    calls: Family<[Label; 1], Counter>,
    create: Histograms<[Label; 1]>,
    delete: Histograms<[Label; 1]>,
}

impl Pods {
    pub(super) fn new() -> Self {
        let histograms = || Histograms::new_with_constructor(short as fn() -> Histogram);
        let (create, delete) = (histograms(), histograms());
        for family in [&create, &delete] {
            let _ = family.get_or_create(&[("answer", "ok")]);
        }
        let calls = Family::<[Label; 1], Counter>::default();
        for verb in VERBS {
            let _ = calls.get_or_create(&[("verb", *verb)]);
        }
        Self { calls, create, delete }
    }

    pub(super) fn register(&self, to: &mut Registry) {
        to.register("kubernetes_calls", "Calls to the API server of Kubernetes, watches aside", self.calls.clone());
        to.register("pod_create_seconds", "Creating a pod: the call, not the pod's own start", self.create.clone());
        to.register("pod_delete_seconds", "Deleting a pod: the call, not the pod's own end", self.delete.clone());
    }

    /// A call was made.
    pub fn called(&self, verb: &str) {
        self.calls.get_or_create(&[("verb", one_of(verb, VERBS))]).inc();
    }

    /// A pod was created, or not: `answer` says how.
    pub fn created(&self, answer: &str, took: Duration) {
        Self::answered(&self.create, ["kubernetes_executor_pod_creation", "kubernetes_executor_pod_creation_status"], answer, took);
    }

    /// A pod was deleted, or not.
    pub fn deleted(&self, answer: &str, took: Duration) {
        Self::answered(&self.delete, ["kubernetes_executor_pod_deletion", "kubernetes_executor_pod_deletion_status"], answer, took);
    }

    fn answered(family: &Histograms<[Label; 1]>, names: [&'static str; 2], answer: &str, took: Duration) {
        let (answer, status) = ANSWERS.iter().copied().find(|(one, _)| *one == answer).unwrap_or(("other", "error"));
        family.get_or_create(&[("answer", answer)]).observe(took.as_secs_f64());
        if let Some(airflow) = airflow() {
            airflow.time(names[0], None, took);
            airflow.count(names[1], Some(status.to_owned()), 1);
        }
    }
}
