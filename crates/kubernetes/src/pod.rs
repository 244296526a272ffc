//! From a launch spec to the pod that runs it. Pure: equal specs give equal pods, byte for byte.
//!
//! The pod is built as JSON and sent as such, so that fields which are newer than this crate's types reach the server. Later wins, as in
//! Airflow: template, `full_pod_spec`, the operator's own arguments, and last what this crate needs.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use updraft_model::dag::OnFinishAction;
use updraft_model::pod_policy::Violation;
use updraft_model::{AttemptKey, LaunchSpec};
use uuid::Uuid;

use crate::config::Config;
use crate::gate::close_gate;
use crate::marks::{ATTEMPT, CONTAINER, FINALIZER, GROUP, Gate, INSTALLATION, KEY, PLAN, Plan, SPEC_HASH};
use crate::name::{self, Ids};
use crate::pod_merge::{merge, overlay};

/// Where a value for XCom is left.
const XCOM_PATH: &str = "/airflow/xcom/return.json";
/// What keeps cluster-autoscaler from removing the node under a pod.
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
/// The container that counts, unless the task says otherwise.
const BASE: &str = "base";
/// How much longer than its timeout a pod may be there before the kubelet ends it by itself, when no worker did.
const DEADLINE_SLACK_SECONDS: u64 = 60;

/// A pod to create.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Built {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) spec_hash: String,
    pub(crate) plan: Plan,
    pub(crate) pod: Value,
}

/// Why a task cannot be made a pod of: the words are for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mistake {
    #[error("the task has no image: give it one, or start the workers with --pod-default-image")]
    NoImage,
    #[error(
        "the Python task has no image: name one in its executor_config (pod_override), or start the workers with --pod-python-image, an image \
         with Python 3.9 or later"
    )]
    NoPythonImage,
    #[error("the task wants namespace {wanted:?}, which is not open to tasks: add it to --allowed-namespaces of the workers (now: {open})")]
    Namespace { wanted: String, open: String },
    #[error("{field} of the task is not {expected}")]
    Shape { field: &'static str, expected: &'static str },
    #[error("pod_template_file of the task cannot be read: {0}")]
    Template(String),
    #[error("{0}: change the task, or --pod-policy of schedulers and workers")]
    Policy(Violation),
}

/// The namespace of a task's pod.
pub(crate) fn namespace(config: &Config, default: &str, spec: &LaunchSpec) -> Result<String, Mistake> {
    let empty = Map::new();
    let rest = spec.pod.as_ref().and_then(Value::as_object).unwrap_or(&empty);
    // As in Airflow: the operator's word, then that of the whole pod, then the template's. What is wrong with one is said when it is built.
    let of_pod =
        |pod: &Value| pod.pointer("/metadata/namespace").and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let wanted = text(rest, "namespace").map(str::to_owned);
    let wanted = wanted.or_else(|| rest.get("full_pod_spec").and_then(of_pod));
    match wanted.or_else(|| template(rest).ok().as_ref().and_then(of_pod)).as_deref() {
        None => Ok(default.to_owned()),
        Some(wanted) if wanted == default => Ok(wanted.to_owned()),
        Some(wanted) => {
            if let Some(violation) = config.policy.namespace(wanted) {
                return Err(Mistake::Policy(violation));
            }
            if config.allowed_namespaces.contains(wanted) {
                return Ok(wanted.to_owned());
            }
            let open: Vec<&str> = std::iter::once(default).chain(config.allowed_namespaces.iter().map(String::as_str)).collect();
            Err(Mistake::Namespace { wanted: wanted.to_owned(), open: open.join(", ") })
        }
    }
}

/// The name of an attempt's pod.
pub(crate) fn name(config: &Config, key: AttemptKey, spec: &LaunchSpec) -> String {
    let given = spec.pod.as_ref().and_then(|pod| pod.get("name")).and_then(Value::as_str).filter(|name| !name.is_empty());
    let readable = given.map_or_else(|| format!("{}-{}", spec.dag_id, spec.task_id), str::to_owned);
    let ids = Ids { dag_id: &spec.dag_id, run_id: &spec.run_id, task_id: &spec.task_id, key };
    name::pod_name(&readable, config.installation, ids)
}

/// A hash of what an attempt is told to run. Fields that say nothing are left out, so that a newer worker, whose specs have more fields,
/// finds the same.
pub(crate) fn spec_hash(spec: &LaunchSpec) -> String {
    let mut value = serde_json::to_value(spec).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, value| !is_nothing(value));
    }
    let mut hash = Sha256::new();
    feed(&mut hash, &value);
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Feeds a value with its keys in order, whatever order the map has.
fn feed(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            hash.update(b"{");
            for (name, value) in fields {
                feed(hash, &Value::String(name.clone()));
                feed(hash, value);
            }
            hash.update(b"}");
        }
        Value::Array(items) => {
            hash.update(b"[");
            items.iter().for_each(|item| feed(hash, item));
            hash.update(b"]");
        }
        plain => {
            hash.update(plain.to_string().as_bytes());
            hash.update(b",");
        }
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Number(_) | Value::String(_) | Value::Bool(true) => false,
    }
}

/// Makes the pod of an attempt.
pub(crate) fn build(
    config: &Config,
    default_namespace: &str,
    gate: Gate,
    key: AttemptKey,
    group: Uuid,
    spec: &LaunchSpec,
) -> Result<Built, Mistake> {
    let empty = Map::new();
    let rest = match &spec.pod {
        None | Some(Value::Null) => &empty,
        Some(Value::Object(rest)) => rest,
        Some(_) => return Err(Mistake::Shape { field: "the pod", expected: "an object" }),
    };
    let namespace = namespace(config, default_namespace, spec)?;
    let name = name(config, key, spec);
    let base_name = text(rest, "base_container_name").unwrap_or(BASE);

    // What the operator of this installation gives every pod, and what the task brings as a whole pod.
    let mut pod = config.policy.base_pod(&namespace, &spec.queue, base_name);
    if rest.get("container_resources").is_some_and(|own| !own.is_null()) {
        // Half of one and half of the other might be a request above its limit.
        pod["spec"]["containers"][0].as_object_mut().map(|base| base.remove("resources"));
    }
    let mut own = template(rest)?;
    if let Some(full) = rest.get("full_pod_spec").filter(|full| !full.is_null()) {
        if !full.is_object() {
            return Err(Mistake::Shape { field: "full_pod_spec", expected: "a pod" });
        }
        overlay(&mut own, full);
    }
    // The operator's arguments.
    let mut over = Map::new();
    pod_fields(rest, &mut over)?;
    let mut spec_fields = Value::Object(over);
    spec_fields["containers"] = json!([container(&spec.with_carried(), rest, base_name)]);
    let labels_and_annotations = json!({"labels": rest.get("labels"), "annotations": rest.get("annotations")});
    overlay(&mut own, &json!({"metadata": labels_and_annotations, "spec": spec_fields}));
    merge(&mut pod, &own);

    // What the runner needs.
    let pod_spec = object(&mut pod, "spec")?;
    pod_spec.insert("restartPolicy".to_owned(), json!("Never"));
    pod_spec.remove("nodeName");
    pod_spec.remove("ephemeralContainers");
    defaults(config, pod_spec);
    complete_base(config, base_name, spec.python.is_some(), pod_spec)?;
    let mut plan = plan(config, spec, gate);
    deadline(&plan, pod_spec);
    close_gate(&mut plan, pod_spec);

    let spec_hash = spec_hash(spec);
    let metadata = object(&mut pod, "metadata")?;
    // By these the runner finds its pods, and services those of the installation: no task may pose as either.
    if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
        labels.retain(|name, _| !name.starts_with("updraft.dev/"));
    }
    // A node that is removed to save money takes the work of hours with it. A task that can bear it says so.
    if let Value::Object(annotations) = metadata.entry("annotations").or_insert_with(|| json!({})) {
        annotations.entry(SAFE_TO_EVICT).or_insert_with(|| json!("false"));
    }
    for generated in ["generateName", "uid", "resourceVersion", "creationTimestamp", "ownerReferences", "selfLink", "managedFields"] {
        metadata.remove(generated);
    }
    metadata.insert("name".to_owned(), json!(name));
    metadata.insert("namespace".to_owned(), json!(namespace));
    // Only ours: another controller's finalizer would hold the name for as long as it likes.
    metadata.insert("finalizers".to_owned(), json!([FINALIZER]));
    merge(
        &mut pod,
        &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {
            "labels": labels(config, key, group, spec),
            "annotations": {
                (ATTEMPT): name::attempt_text(key),
                (SPEC_HASH): spec_hash,
                (CONTAINER): base_name,
                (PLAN): serde_json::to_string(&plan).unwrap_or_default(),
            },
        }}),
    );
    if let Some(Value::Object(fields)) = pod.get_mut("metadata") {
        for texts in ["labels", "annotations"] {
            stringify(fields.get_mut(texts));
        }
    }
    if let Some(pod) = pod.as_object_mut() {
        pod.remove("status");
    }
    // Last, so that nothing comes after it.
    match config.policy.check_pod(&pod).into_iter().next() {
        Some(violation) => Err(Mistake::Policy(violation)),
        None => Ok(Built { namespace, name, spec_hash, plan, pod }),
    }
}

fn text<'a>(rest: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    rest.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn object<'a>(value: &'a mut Value, field: &'static str) -> Result<&'a mut Map<String, Value>, Mistake> {
    let whole = value.as_object_mut().ok_or(Mistake::Shape { field: "the pod", expected: "an object" })?;
    let inner = whole.entry(field).or_insert_with(|| json!({}));
    inner.as_object_mut().ok_or(Mistake::Shape { field, expected: "an object" })
}

fn template(rest: &Map<String, Value>) -> Result<Value, Mistake> {
    let mut pod = json!({});
    // A file is asked first, as in Airflow: the dict beside one says nothing.
    if let Some(file) = text(rest, "pod_template_text") {
        pod = serde_saphyr::from_str(file).map_err(|error| Mistake::Template(error.to_string()))?;
    } else if let Some(inline) = rest.get("pod_template_dict").filter(|inline| inline.is_object()) {
        pod.clone_from(inline);
    }
    if pod.is_object() { Ok(pod) } else { Err(Mistake::Shape { field: "pod_template_file", expected: "one pod" }) }
}

/// Airflow's names of fields of the pod's spec.
const POD_FIELDS: &[(&str, &str)] = &[
    ("volumes", "volumes"),
    ("image_pull_secrets", "imagePullSecrets"),
    ("affinity", "affinity"),
    ("tolerations", "tolerations"),
    ("node_selector", "nodeSelector"),
    ("priority_class_name", "priorityClassName"),
    ("schedulername", "schedulerName"),
    ("runtime_class_name", "runtimeClassName"),
    ("service_account_name", "serviceAccountName"),
    ("automount_service_account_token", "automountServiceAccountToken"),
    ("host_aliases", "hostAliases"),
    ("dnspolicy", "dnsPolicy"),
    ("dns_config", "dnsConfig"),
    ("hostname", "hostname"),
    ("subdomain", "subdomain"),
    ("security_context", "securityContext"),
    ("init_containers", "initContainers"),
    ("termination_grace_period", "terminationGracePeriodSeconds"),
    ("active_deadline_seconds", "activeDeadlineSeconds"),
];

/// Airflow's names of fields of the container.
const CONTAINER_FIELDS: &[(&str, &str)] = &[
    ("ports", "ports"),
    ("env_from", "envFrom"),
    ("volume_mounts", "volumeMounts"),
    ("container_resources", "resources"),
    ("container_security_context", "securityContext"),
    ("image_pull_policy", "imagePullPolicy"),
    ("termination_message_policy", "terminationMessagePolicy"),
];

fn pod_fields(rest: &Map<String, Value>, spec: &mut Map<String, Value>) -> Result<(), Mistake> {
    for (theirs, ours) in POD_FIELDS {
        if let Some(value) = rest.get(*theirs).filter(|value| !value.is_null()) {
            spec.insert((*ours).to_owned(), value.clone());
        }
    }
    for field in ["termination_grace_period", "active_deadline_seconds"] {
        if rest.get(field).is_some_and(|value| !value.is_null() && value.as_u64().is_none()) {
            return Err(Mistake::Shape { field, expected: "a whole number of seconds" });
        }
    }
    if rest.get("hostnetwork").and_then(Value::as_bool) == Some(true) {
        spec.insert("hostNetwork".to_owned(), json!(true));
    }
    Ok(())
}

fn container(spec: &LaunchSpec, rest: &Map<String, Value>, name: &str) -> Value {
    let mut container = Map::from_iter([("name".to_owned(), json!(name))]);
    if let Some(image) = &spec.image {
        container.insert("image".to_owned(), json!(image));
    }
    let (command, args) = spec.argv.split_at(spec.entrypoint_length.min(spec.argv.len()));
    for (field, words) in [("command", command), ("args", args)] {
        if !words.is_empty() {
            container.insert(field.to_owned(), json!(words));
        }
    }
    container.insert("env".to_owned(), Value::Array(environment(spec, rest)));
    if let Some(cwd) = &spec.cwd {
        container.insert("workingDir".to_owned(), json!(cwd));
    }
    if spec.xcom {
        container.insert("terminationMessagePath".to_owned(), json!(XCOM_PATH));
    }
    for (theirs, ours) in CONTAINER_FIELDS {
        if let Some(value) = rest.get(*theirs).filter(|value| !value.is_null()) {
            container.insert((*ours).to_owned(), value.clone());
        }
    }
    Value::Object(container)
}

/// The variables: ours, then the task's in the order of its author, because `$(NAME)` in one sees only those before it.
fn environment(spec: &LaunchSpec, rest: &Map<String, Value>) -> Vec<Value> {
    let plain = |name: &str, value: &str| json!({"name": name, "value": value});
    let from: Vec<&Value> = rest.get("env_vars").and_then(Value::as_array).into_iter().flatten().collect();
    let order: Vec<&str> = rest.get("env_order").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut env: Vec<Value> = spec.env.iter().filter(|(name, _)| !order.contains(&name.as_str())).map(|(n, v)| plain(n, v)).collect();
    for name in &order {
        match from.iter().find(|one| one.get("name").and_then(Value::as_str) == Some(name)) {
            Some(one) => env.push((*one).clone()),
            None => env.extend(spec.env.get(*name).map(|value| plain(name, value))),
        }
    }
    let ordered = |one: &&Value| one.get("name").and_then(Value::as_str).is_some_and(|name| order.contains(&name));
    env.extend(from.iter().filter(|one| !ordered(one)).map(|one| (*one).clone()));
    env
}

fn defaults(config: &Config, pod_spec: &mut Map<String, Value>) {
    // A task has no business with the cluster unless it says so.
    pod_spec.entry("automountServiceAccountToken").or_insert_with(|| json!(false));
    if let Some(account) = &config.service_account {
        pod_spec.entry("serviceAccountName").or_insert_with(|| json!(account));
    }
}

/// Sees to it that the base container has an image.
fn complete_base(config: &Config, base_name: &str, python: bool, pod_spec: &mut Map<String, Value>) -> Result<(), Mistake> {
    let containers = pod_spec.get_mut("containers").and_then(Value::as_array_mut);
    let containers = containers.ok_or(Mistake::Shape { field: "containers", expected: "a list" })?;
    let base = containers.iter_mut().filter_map(Value::as_object_mut).find(|c| c.get("name").and_then(Value::as_str) == Some(base_name));
    let base = base.ok_or(Mistake::Shape { field: "the base container", expected: "an object" })?;
    if base.get("image").and_then(Value::as_str).is_none_or(str::is_empty) {
        let (own, mistake) = if python { (config.python_image.as_ref(), Mistake::NoPythonImage) } else { (None, Mistake::NoImage) };
        base.insert("image".to_owned(), json!(own.or(config.default_image.as_ref()).ok_or(mistake)?));
    }
    Ok(())
}

/// How the pod of a spec is looked after.
pub(crate) fn plan(config: &Config, spec: &LaunchSpec, gate: Gate) -> Plan {
    let empty = Map::new();
    let rest = spec.pod.as_ref().and_then(Value::as_object).unwrap_or(&empty);
    let on_finish = rest.get("on_finish_action").and_then(|value| serde_json::from_value::<OnFinishAction>(value.clone()).ok());
    let seconds = |key: &str| {
        let seconds = rest.get(key).and_then(Value::as_f64).filter(|seconds| *seconds > 0.0);
        seconds.and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok())
    };
    let startup = seconds("startup_timeout_seconds").unwrap_or(config.startup_timeout);
    Plan {
        container: text(rest, "base_container_name").unwrap_or(BASE).to_owned(),
        on_finish: on_finish.unwrap_or_default(),
        xcom: spec.xcom,
        logs: rest.get("get_logs").and_then(Value::as_bool).unwrap_or(true),
        timeout_ms: spec.timeout_ms,
        startup_ms: u64::try_from(startup.as_millis()).unwrap_or(u64::MAX),
        schedule_ms: seconds("schedule_timeout_seconds").and_then(|limit| u64::try_from(limit.as_millis()).ok()),
        gate,
        images: Vec::new(),
        init: false,
    }
}

/// A belt for the time when no worker is there to stop it. The kubelet counts from its first look at the pod, pulls of images included.
fn deadline(plan: &Plan, pod_spec: &mut Map<String, Value>) {
    let Some(timeout_ms) = plan.timeout_ms else { return };
    let belt = timeout_ms.div_ceil(1000).saturating_add(plan.startup_ms / 1000).saturating_add(DEADLINE_SLACK_SECONDS);
    // The field is an int32 in practice: the kubelet refuses more.
    let belt = belt.min(u64::from(i32::MAX.unsigned_abs()));
    let own = pod_spec.get("activeDeadlineSeconds").and_then(Value::as_u64);
    pod_spec.insert("activeDeadlineSeconds".to_owned(), json!(own.map_or(belt, |own| own.min(belt))));
}

fn labels(config: &Config, key: AttemptKey, group: Uuid, spec: &LaunchSpec) -> Value {
    let mut labels = json!({
        "dag_id": name::label_value(&spec.dag_id),
        "task_id": name::label_value(&spec.task_id),
        "run_id": name::label_value(&spec.run_id),
        "try_number": spec.try_number.to_string(),
        "kubernetes_pod_operator": "True",
        (INSTALLATION): config.installation.to_string(),
        (GROUP): group.to_string(),
        (KEY): name::attempt_label(key),
    });
    if key.instance.map_index >= 0 {
        labels["map_index"] = json!(key.instance.map_index.to_string());
    }
    labels
}

/// Labels and annotations are texts, whatever a template holds.
fn stringify(texts: Option<&mut Value>) {
    for value in texts.and_then(Value::as_object_mut).into_iter().flat_map(|map| map.values_mut()) {
        if !value.is_string() {
            *value = Value::String(value.to_string());
        }
    }
}

#[cfg(test)]
mod airflow;
#[cfg(test)]
mod tests;
