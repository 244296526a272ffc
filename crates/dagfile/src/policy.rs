//! The operator's pod policy, applied to DAGs as they are read: a DAG that breaks a rule is refused with the rule's name.

use updraft_model::{DagSpec, PodPolicy, TaskKind};

use crate::diagnostic::{Diagnostic, Kind};

/// What a policy has against a DAG of `file`, one mistake for each task and rule.
pub fn violations(policy: &PodPolicy, dag: &DagSpec, file: &str) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
    for task in &dag.tasks {
        let TaskKind::Pod(pod) = &task.run else { continue };
        let mut found = policy.check_task(pod);
        // The text of `pod_template_file`. What it means is known at launch, when it is rendered; what stands in it, now.
        let text = pod.rest.get("pod_template_text").and_then(serde_json::Value::as_str);
        if let Some(template) = text.and_then(|text| serde_saphyr::from_str::<serde_json::Value>(text).ok()) {
            found.extend(policy.check_pod(&template));
        }
        mistakes.extend(found.into_iter().map(|violation| {
            Diagnostic::new(file, Kind::Policy, format!("task {}: {violation}", task.task_id))
                .dag(dag.dag_id.as_str())
                .hint("take it out of the task, or ask the operator to allow it in --pod-policy")
        }));
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_of_files_are_read_too() {
        let dag: DagSpec = serde_json::from_value(serde_json::json!({
            "dag_id": "d", "schedule": {"kind": "none"}, "tasks": [
                {"task_id": "a", "run": {"kind": "pod", "rest": {"pod_template_text": "spec:\n  hostNetwork: true\n  containers: []\n"}}},
                {"task_id": "b", "run": {"kind": "pod", "rest": {"volumes": [{"name": "v", "hostPath": {"path": "/etc"}}]}}},
                {"task_id": "c", "run": {"kind": "pod", "image": "busybox"}},
            ]
        }))
        .unwrap();
        let found = violations(&PodPolicy::default(), &dag, "d.py");
        let mut messages: Vec<&str> = found.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
        messages.sort_unstable();
        assert_eq!(
            messages,
            [
                "task a: the pod policy's rule hostNamespaces forbids hostNetwork",
                "task b: the pod policy's rule hostPath forbids a volume of the node's /etc",
            ]
        );
        assert!(found[0].to_string().contains("error[policy]"), "{}", found[0]);
    }
}
