//! What an operator decides about all pods: defaults that tasks may override, and rules that they may not break.
//!
//! The rules are looked at twice. At parse, over the arguments as the author wrote them, so that a DAG which breaks one is refused with the
//! rule's name. At launch, over the finished pod, after templates and files have had their say: there nothing can be hidden any more.
//!
//! ```text
//! defaults of the installation < of the namespace < of the queue < what the task says
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::dag::PodTask;

/// Every rule has a name; this is what is refused when no policy says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Deny {
    /// Volumes of the node's own files.
    pub host_path: bool,
    /// The node's network, processes or IPC.
    pub host_namespaces: bool,
    /// Ports of the node.
    pub host_ports: bool,
    /// Containers that may do everything, or more than the runtime's defaults: `privileged`, added capabilities, an unmasked /proc.
    pub privileged: bool,
    /// Service accounts that are not listed: they may have rights, such as the workers' own.
    pub service_accounts: bool,
    /// Namespaces that are not listed. Without a list the workers decide by their `--allowed-namespaces`.
    pub namespaces: bool,
}

impl Default for Deny {
    fn default() -> Self {
        Self { host_path: true, host_namespaces: true, host_ports: true, privileged: true, service_accounts: true, namespaces: true }
    }
}

/// What pods get that do not say it themselves: Kubernetes' own field names.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PodDefaults {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Which nodes.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that do not keep them away. Added to the task's own.
    pub tolerations: Vec<Value>,
    /// Nodes and neighbours.
    pub affinity: Option<Value>,
    /// Secrets to pull images with: `[{name: regcred}]`. Added to the task's own.
    pub image_pull_secrets: Vec<Value>,
    /// Requests and limits of the container, for tasks that state none.
    pub resources: Option<Value>,
    /// Variables of the container, such as proxies: `[{name: HTTPS_PROXY, value: …}]`.
    pub env: Vec<Value>,
    /// `securityContext` of the pod.
    pub security_context: Option<Value>,
    /// `securityContext` of the container.
    pub container_security_context: Option<Value>,
    /// Priority class.
    pub priority_class_name: Option<String>,
    /// Runtime class.
    pub runtime_class_name: Option<String>,
    /// Scheduler.
    pub scheduler_name: Option<String>,
}

/// A policy, as it is written in a file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PodPolicy {
    /// For all pods.
    pub defaults: PodDefaults,
    /// For the pods of a namespace, by its name.
    pub namespaces: BTreeMap<String, PodDefaults>,
    /// For the pods of a queue, by its name.
    pub queues: BTreeMap<String, PodDefaults>,
    /// Which rules hold.
    pub deny: Deny,
    /// Service accounts that tasks may name, where that rule holds. `default` always may be, and a worker adds its own default.
    pub allowed_service_accounts: BTreeSet<String>,
    /// Namespaces that tasks may name. Empty: the workers decide.
    pub allowed_namespaces: BTreeSet<String>,
    /// Secrets that no task may read, by name or by `PREFIX*`: those of the installation itself, where tasks run in its namespace.
    pub denied_secrets: BTreeSet<String>,
}

/// A rule that is broken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The rule, as it is written in a policy: `hostPath`.
    pub rule: &'static str,
    /// What breaks it.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the pod policy's rule {} forbids {}", self.rule, self.what)
    }
}

impl PodPolicy {
    /// The rules that a task breaks as it is written. Templates are not rendered yet.
    pub fn check_task(&self, pod: &PodTask) -> Vec<Violation> {
        let mut found = BTreeSet::new();
        let rest = Value::Object(pod.rest.iter().map(|(name, value)| (name.clone(), value.clone())).collect());
        self.walk(&rest, &mut found);
        self.walk(&serde_json::to_value(&pod.env_vars).unwrap_or_default(), &mut found);
        let is_template = |text: &str| text.contains("{{") || text.contains("{%");
        if let Some(namespace) = pod.namespace.as_deref().filter(|text| !text.is_empty() && !is_template(text)) {
            found.extend(self.namespace(namespace));
        }
        found.into_iter().filter(|violation| !is_template(&violation.what)).collect()
    }

    /// The rules that a whole pod breaks.
    pub fn check_pod(&self, pod: &Value) -> Vec<Violation> {
        let mut found = BTreeSet::new();
        self.walk(&pod["spec"], &mut found);
        found.into_iter().collect()
    }

    /// Whether a task may name this namespace.
    pub fn namespace(&self, namespace: &str) -> Option<Violation> {
        let refused = self.deny.namespaces && !self.allowed_namespaces.is_empty() && !self.allowed_namespaces.contains(namespace);
        refused.then(|| Violation {
            rule: "namespaces",
            what: format!(
                "namespace {namespace:?}: allowed are {}",
                self.allowed_namespaces.iter().cloned().collect::<Vec<_>>().join(", ")
            ),
        })
    }

    /// Looks for fields by their names wherever they stand: in the operator's arguments, in whole pods, in lists of containers.
    fn walk(&self, value: &Value, found: &mut BTreeSet<Violation>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item, found)),
            Value::Object(fields) => {
                for (name, inner) in fields {
                    // Their keys are anybody's words.
                    if matches!(name.as_str(), "labels" | "annotations" | "matchLabels" | "nodeSelector" | "node_selector") {
                        continue;
                    }
                    if let Some(violation) = self.field(name, inner) {
                        found.insert(violation);
                    }
                    self.walk(inner, found);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn field(&self, name: &str, value: &Value) -> Option<Violation> {
        let on = value.as_bool() == Some(true);
        let violation = |rule, what: String| Some(Violation { rule, what });
        match name {
            "hostPath" | "host_path" if self.deny.host_path && value.is_object() => {
                violation("hostPath", format!("a volume of the node's {}", value["path"].as_str().unwrap_or("files")))
            }
            "hostNetwork" | "hostnetwork" | "host_network" | "hostPID" | "host_pid" | "hostIPC" | "host_ipc"
                if self.deny.host_namespaces && on =>
            {
                violation("hostNamespaces", name.to_owned())
            }
            "hostPort" | "host_port" if self.deny.host_ports && value.as_u64().is_some_and(|port| port > 0) => {
                violation("hostPorts", format!("hostPort {value}"))
            }
            "privileged" if self.deny.privileged && on => violation("privileged", "a privileged container".to_owned()),
            "procMount" | "proc_mount" if self.deny.privileged && value.as_str() == Some("Unmasked") => {
                violation("privileged", "procMount Unmasked".to_owned())
            }
            "capabilities" if self.deny.privileged => {
                let added: Vec<&str> = value["add"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let harmless = added.iter().all(|capability| matches!(*capability, "NET_BIND_SERVICE"));
                if harmless { None } else { violation("privileged", format!("the capabilities {}", added.join(", "))) }
            }
            "serviceAccountName" | "service_account_name" | "serviceAccount" if self.deny.service_accounts => {
                let account = value.as_str().filter(|account| !account.is_empty() && *account != "default")?;
                if self.allowed_service_accounts.contains(account) {
                    None
                } else {
                    violation("serviceAccounts", format!("service account {account:?}"))
                }
            }
            "secretName" | "secret_name" => self.secret(value),
            "secretKeyRef" | "secret_key_ref" | "secretRef" | "secret_ref" | "secret" => self.secret(&value["name"]),
            _ => None,
        }
    }

    fn secret(&self, name: &Value) -> Option<Violation> {
        let name = name.as_str()?;
        self.denied_secrets.iter().find(|denied| match denied.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == denied.as_str(),
        })?;
        Some(Violation { rule: "deniedSecrets", what: format!("secret {name:?}") })
    }

    /// The pod that a task's own is laid over.
    pub fn base_pod(&self, namespace: &str, queue: &str, container: &str) -> Value {
        let mut spec = Map::new();
        let mut metadata: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
        let mut base = Map::from_iter([("name".to_owned(), json!(container))]);
        let mut node_selector = BTreeMap::new();
        let mut lists: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        let layers = [Some(&self.defaults), self.namespaces.get(namespace), self.queues.get(queue)];
        for layer in layers.into_iter().flatten() {
            metadata.entry("labels").or_default().extend(layer.labels.clone());
            metadata.entry("annotations").or_default().extend(layer.annotations.clone());
            node_selector.extend(layer.node_selector.clone());
            lists.entry("tolerations").or_default().extend(layer.tolerations.iter().cloned());
            lists.entry("imagePullSecrets").or_default().extend(layer.image_pull_secrets.iter().cloned());
            for variable in &layer.env {
                let env = lists.entry("env").or_default();
                env.retain(|known| known["name"] != variable["name"]);
                env.push(variable.clone());
            }
            let values = [
                ("affinity", layer.affinity.clone()),
                ("securityContext", layer.security_context.clone()),
                ("priorityClassName", layer.priority_class_name.as_ref().map(|name| json!(name))),
                ("runtimeClassName", layer.runtime_class_name.as_ref().map(|name| json!(name))),
                ("schedulerName", layer.scheduler_name.as_ref().map(|name| json!(name))),
            ];
            spec.extend(values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
            let values = [("resources", layer.resources.clone()), ("securityContext", layer.container_security_context.clone())];
            base.extend(values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        }
        if !node_selector.is_empty() {
            spec.insert("nodeSelector".to_owned(), json!(node_selector));
        }
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            let fields = if name == "env" { &mut base } else { &mut spec };
            fields.insert(name.to_owned(), Value::Array(list));
        }
        spec.insert("containers".to_owned(), json!([base]));
        json!({"metadata": metadata, "spec": spec})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(rest: Value) -> PodTask {
        serde_json::from_value(json!({"rest": rest})).unwrap()
    }

    fn rules(policy: &PodPolicy, rest: Value) -> Vec<&'static str> {
        policy.check_task(&task(rest)).into_iter().map(|violation| violation.rule).collect()
    }

    #[test]
    fn the_default_refuses_the_node_and_foreign_accounts() {
        let policy = PodPolicy::default();
        let cases = [
            (json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), vec!["hostPath"]),
            (json!({"hostnetwork": true}), vec!["hostNamespaces"]),
            (
                json!({"full_pod_spec": {"spec": {"hostPID": true, "containers": [{"securityContext": {"privileged": true}}]}}}),
                vec!["hostNamespaces", "privileged"],
            ),
            (json!({"init_containers": [{"name": "i", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}), vec!["privileged"]),
            (json!({"container_security_context": {"procMount": "Unmasked"}}), vec!["privileged"]),
            (json!({"ports": [{"containerPort": 80, "hostPort": 80}]}), vec!["hostPorts"]),
            (json!({"container_security_context": {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}}), vec![]),
            (json!({"service_account_name": "updraft-worker"}), vec!["serviceAccounts"]),
            (json!({"service_account_name": "default", "volumes": [{"name": "v", "emptyDir": {}}], "hostnetwork": false}), vec![]),
            (json!({"annotations": {"hostPath": {"path": "/"}}, "labels": {"privileged": true}}), vec![]),
        ];
        for (rest, expected) in cases {
            assert_eq!(rules(&policy, rest.clone()), expected, "{rest}");
        }
    }

    #[test]
    fn a_rule_can_be_lifted_and_accounts_and_namespaces_listed() {
        let policy: PodPolicy = serde_json::from_value(json!({
            "deny": {"hostPath": false},
            "allowedServiceAccounts": ["loader"], "allowedNamespaces": ["team-a"],
        }))
        .unwrap();
        assert!(rules(&policy, json!({"volumes": [{"hostPath": {"path": "/data"}}]})).is_empty());
        assert!(rules(&policy, json!({"hostnetwork": true})) == ["hostNamespaces"], "the others hold");
        assert!(rules(&policy, json!({"service_account_name": "loader"})).is_empty());
        assert!(rules(&policy, json!({"service_account_name": "{{ params.account }}"})).is_empty(), "at launch it is known");
        let refused = policy.check_task(&task(json!({"service_account_name": "admin"})));
        assert_eq!(refused[0].to_string(), "the pod policy's rule serviceAccounts forbids service account \"admin\"");
        let pod = json!({"spec": {"serviceAccountName": "admin"}});
        assert_eq!(policy.check_pod(&pod).len(), 1);
        let elsewhere = PodTask { namespace: Some("team-b".to_owned()), ..PodTask::default() };
        assert_eq!(policy.check_task(&elsewhere)[0].rule, "namespaces");
        assert!(serde_json::from_value::<PodPolicy>(json!({"deny": {"hostpath": true}})).is_err(), "a misspelt rule is no rule");
    }

    #[test]
    fn the_installation_s_own_secrets_are_out_of_reach_in_every_form() {
        let policy: PodPolicy = serde_json::from_value(json!({"deniedSecrets": ["updraft-database", "updraft-worker-token-*"]})).unwrap();
        for rest in [
            json!({"volumes": [{"name": "v", "secret": {"secretName": "updraft-database"}}]}),
            json!({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "updraft-database"}}]}}]}),
            json!({"env_from": [{"secretRef": {"name": "updraft-database"}}]}),
            json!({"volumes": [{"name": "v", "secret": {"secretName": "updraft-worker-token-x7k2p"}}]}),
            json!({"volumes": [{"name": "v", "csi": {"nodePublishSecretRef": {"name": "x"}, "secretRef": {"name": "updraft-database"}}}]}),
            json!({"full_pod_spec": {"spec": {"containers": [{"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "updraft-database", "key": "connection"}}}]}]}}}),
        ] {
            assert_eq!(rules(&policy, rest.clone()), ["deniedSecrets"], "{rest}");
        }
        let variable =
            json!({"env_vars": [{"name": "A", "value_from": {"secretKeyRef": {"name": "updraft-database", "key": "connection"}}}]});
        match serde_json::from_value::<PodTask>(variable) {
            Ok(task) => assert_eq!(policy.check_task(&task)[0].rule, "deniedSecrets"),
            Err(error) => panic!("{error}"),
        }
        assert!(rules(&policy, json!({"env_from": [{"secretRef": {"name": "team-secret"}}]})).is_empty());
    }

    #[test]
    fn later_layers_win() {
        let policy: PodPolicy = serde_json::from_value(json!({
            "defaults": {"nodeSelector": {"pool": "any", "arch": "amd64"}, "env": [{"name": "P", "value": "1"}], "resources": {"requests": {"cpu": "1"}}},
            "namespaces": {"a": {"nodeSelector": {"pool": "a"}, "tolerations": [{"key": "a"}]}},
            "queues": {"gpu": {"nodeSelector": {"pool": "gpu"}, "env": [{"name": "P", "value": "2"}], "tolerations": [{"key": "gpu"}]}},
        }))
        .unwrap();
        let pod = policy.base_pod("a", "gpu", "base");
        assert_eq!(pod["spec"]["nodeSelector"], json!({"pool": "gpu", "arch": "amd64"}));
        assert_eq!(pod["spec"]["tolerations"], json!([{"key": "a"}, {"key": "gpu"}]));
        assert_eq!(
            pod["spec"]["containers"][0],
            json!({"name": "base", "env": [{"name": "P", "value": "2"}], "resources": {"requests": {"cpu": "1"}}})
        );
        assert_eq!(policy.base_pod("b", "default", "base")["spec"]["nodeSelector"]["pool"], "any");
    }
}
