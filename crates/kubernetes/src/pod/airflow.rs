//! The pods of `tests/airflow/pods.py` beside those that Airflow's own operator makes of it (`tests/airflow/pod_facts.json`).
//!
//! Allowed to differ, and listed in `docs/kubernetes.md`: what [`normalised`] takes away or adds.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use updraft_model::{DagSpec, InstanceKey, RunKey, Semantics};
use updraft_planner::render::{RenderContext, RunFacts, render};

use super::*;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/airflow");
const PARSER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../dagfile/python/updraft_dagfile/main.py");

/// What our parser reads in a file of the folder.
fn dag(file: &str) -> DagSpec {
    let root = Path::new(TESTS).canonicalize().expect("the folder of the tests");
    let mut parser = Command::new("python3")
        .args(["-I", "-S", "-B", PARSER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 can be started");
    let request = json!({"id": 1, "path": root.join(file), "root": root});
    writeln!(parser.stdin.take().expect("a pipe"), "{request}").expect("the parser reads");
    let output = parser.wait_with_output().expect("an answer");
    let mut answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["errors"], json!([]));
    serde_json::from_value(answer["dags"][0].take()).expect("a DAG of the model")
}

/// The pod of each task of a file.
fn pods(file: &str) -> Vec<(String, Value)> {
    let dag = Arc::new(dag(file));
    let facts = RunFacts::new(Arc::clone(&dag), Semantics::Airflow3, "r", chrono::DateTime::UNIX_EPOCH);
    let context = RenderContext::new(Arc::new(facts));
    let mut config = Config::new(Uuid::nil());
    config.allowed_namespaces = ["other", "t", "f"].map(str::to_owned).into();
    // What they may be is another question.
    let lifted = json!({"hostPath": false, "hostNamespaces": false, "hostPorts": false, "privileged": false, "serviceAccounts": false});
    config.policy = serde_json::from_value(json!({"deny": lifted})).expect("a policy");
    let key = AttemptKey { instance: InstanceKey { run: RunKey(1), idx: 0, map_index: -1 }, attempt: 1 };
    let made = dag.tasks.iter().map(|task| {
        let spec = render(&context, task).expect("a launch");
        let built =
            build(&config, "default", Gate::None, key, Uuid::nil(), &spec).unwrap_or_else(|error| panic!("{}: {error}", task.task_id));
        (task.task_id.to_string(), normalised(built.pod))
    });
    made.collect()
}

/// Our pod without what is ours: the name, finalizer, labels, annotations and variables of the runner, and the token that nobody asked for.
fn normalised(mut pod: Value) -> Value {
    let metadata = pod["metadata"].as_object_mut().expect("metadata");
    metadata.remove("finalizers");
    metadata.remove("name");
    let ours = ["dag_id", "task_id", "run_id", "try_number", "map_index", "kubernetes_pod_operator"];
    metadata["labels"]
        .as_object_mut()
        .expect("labels")
        .retain(|name, _| !name.starts_with("updraft.dev/") && !ours.contains(&name.as_str()));
    metadata["annotations"]
        .as_object_mut()
        .expect("annotations")
        .retain(|name, _| !["updraft.dev/", "cluster-autoscaler", "kubectl"].iter().any(|prefix| name.starts_with(prefix)));
    for container in pod["spec"]["containers"].as_array_mut().expect("containers") {
        if let Some(env) = container.get_mut("env").and_then(Value::as_array_mut) {
            let is_ours = |name: &str| name.starts_with("UPDRAFT_") || name.starts_with("AIRFLOW_CTX_");
            env.retain(|one| !one["name"].as_str().is_some_and(is_ours));
        }
    }
    without_nothing(&pod)
}

/// As `pod_facts.py` has it: without what says nothing.
fn without_nothing(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, inner)| (name.clone(), without_nothing(inner)))
            .filter(|(name, inner)| name == "emptyDir" || !(is_nothing(inner)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nothing).collect(),
        plain => plain.clone(),
    }
}

/// Airflow's pods by task, without its names and its version.
fn theirs() -> Map<String, Value> {
    let facts = std::fs::read(Path::new(TESTS).join("pod_facts.json")).expect("the facts");
    let mut theirs: Map<String, Value> = serde_json::from_slice(&facts).expect("JSON");
    for pod in theirs.values_mut() {
        let metadata = pod["metadata"].as_object_mut().expect("metadata");
        metadata.remove("name");
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            labels.remove("airflow_version");
        }
        // The default of the operator and of the server.
        for container in pod["spec"]["containers"].as_array_mut().expect("containers") {
            if container["terminationMessagePolicy"] == "File" {
                container.as_object_mut().map(|fields| fields.remove("terminationMessagePolicy"));
            }
        }
        *pod = without_nothing(pod);
    }
    theirs
}

fn compare(ours: &[(String, Value)], theirs: &Map<String, Value>) {
    let mut different = Vec::new();
    for (task, ours) in ours {
        let pod = theirs.get(task).unwrap_or_else(|| panic!("{task} is not in the facts"));
        if ours != pod {
            different.push(format!("{task}\n  ours    {ours}\n  Airflow {pod}"));
        }
    }
    assert!(different.is_empty(), "{} differ\n{}", different.len(), different.join("\n"));
}

#[test]
fn the_same_pods_as_airflow() {
    let (ours, theirs) = (pods("pods.py"), theirs());
    compare(&ours, &theirs);
    assert_eq!(ours.len(), theirs.len());
}

/// The calls of Airflow 1.10 and of the provider's first version make the pods of today's.
#[test]
fn the_same_pods_from_old_calls() {
    compare(&pods("pods_1_10.py"), &theirs());
}
