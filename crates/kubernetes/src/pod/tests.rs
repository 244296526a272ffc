//! Launch specs and the pods that they become.

use chrono::DateTime;
use k8s_openapi::api::core::v1::Pod;
use updraft_model::{InstanceKey, RunKey};

use super::*;
use crate::gate::{open_gate, pull_policy};
use crate::marks::GATE_IMAGE;

fn key() -> AttemptKey {
    AttemptKey { instance: InstanceKey { run: RunKey(7), idx: 3, map_index: 2 }, attempt: 4 }
}

fn spec(pod: Value) -> LaunchSpec {
    LaunchSpec {
        dag_id: "etl".to_owned(),
        run_id: "scheduled__2026-01-01T00:00:00+00:00".to_owned(),
        task_id: "group.load".to_owned(),
        try_number: 2,
        argv: ["sh", "-c", "true"].map(str::to_owned).to_vec(),
        entrypoint_length: 1,
        image: Some("registry/app:1".to_owned()),
        pod: Some(pod),
        ..LaunchSpec::default()
    }
}

fn built(gate: Gate, spec: &LaunchSpec) -> Built {
    let mut config = Config::new(Uuid::nil());
    config.service_account = Some("tasks".to_owned());
    config.allowed_namespaces = ["other".to_owned()].into();
    // What they may be is another question.
    let lifted = json!({"hostPath": false, "hostNamespaces": false, "hostPorts": false, "privileged": false, "serviceAccounts": false});
    config.policy = serde_json::from_value(json!({"deny": lifted})).expect("a policy");
    let built = build(&config, "home", gate, key(), Uuid::nil(), spec).expect("a pod");
    // Every pod that this crate makes is one by Kubernetes' own types.
    serde_json::from_value::<Pod>(built.pod.clone()).expect("a pod of Kubernetes");
    built
}

#[test]
fn a_python_task_has_an_image_of_its_own_and_what_the_worker_carries() {
    let mut config = Config::new(Uuid::nil());
    let mut python = LaunchSpec { python: Some(updraft_model::launch::PythonLaunch::default()), ..spec(json!({})) };
    (python.argv, python.entrypoint_length, python.image) = (Vec::new(), 0, None);
    let make = |config: &Config, spec: &LaunchSpec| build(config, "home", Gate::None, key(), Uuid::nil(), spec);
    assert_eq!(make(&config, &python).unwrap_err(), Mistake::NoPythonImage);
    config.default_image = Some("bash:1".to_owned());
    let bare = make(&config, &python).unwrap();
    assert_eq!(bare.pod.pointer("/spec/containers/0/image"), Some(&json!("bash:1")));
    config.python_image = Some("py:1".to_owned());
    let env = [("UPDRAFT_PYTHON_CODE_0".to_owned(), "abc".to_owned())].into();
    let argv = ["python3", "-c", "begin"].map(str::to_owned).to_vec();
    python.carried = Some(std::sync::Arc::new(updraft_model::launch::Carried { argv, env }));
    let whole = make(&config, &python).unwrap();
    let container = &whole.pod["spec"]["containers"][0];
    assert_eq!((&container["image"], &container["command"]), (&json!("py:1"), &json!(["python3", "-c", "begin"])));
    assert!(container["env"].as_array().unwrap().contains(&json!({"name": "UPDRAFT_PYTHON_CODE_0", "value": "abc"})));
    // A worker of another version, which carries something else, knows the pod for its own.
    assert_eq!(whole.spec_hash, bare.spec_hash);
}

#[test]
fn a_plain_task_becomes_a_plain_pod() {
    let built = built(Gate::Scheduling, &spec(json!({})));
    assert_eq!(built.namespace, "home");
    assert!(built.name.starts_with("etl-group-load-"), "{}", built.name);
    let zero = Uuid::nil().to_string();
    assert_eq!(
        built.pod,
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": built.name,
                "namespace": "home",
                "finalizers": ["updraft.dev/evidence"],
                "labels": {
                    "dag_id": "etl",
                    "task_id": "group.load",
                    "run_id": name::label_value("scheduled__2026-01-01T00:00:00+00:00"),
                    "try_number": "2",
                    "map_index": "2",
                    "kubernetes_pod_operator": "True",
                    "updraft.dev/installation": zero,
                    "updraft.dev/group": zero,
                    "updraft.dev/key": "7.3.2.4",
                },
                "annotations": {
                    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
                    "updraft.dev/attempt": "7/3/2/4",
                    "updraft.dev/spec-hash": built.spec_hash,
                    "updraft.dev/plan": serde_json::to_string(&built.plan).expect("JSON"),
                    "kubectl.kubernetes.io/default-container": "base",
                },
            },
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "serviceAccountName": "tasks",
                "schedulingGates": [{"name": "updraft.dev/bound"}],
                "containers": [{"name": "base", "image": "registry/app:1", "command": ["sh"], "args": ["-c", "true"], "env": []}],
            },
        })
    );
}

#[test]
fn every_argument_of_the_operator_arrives() {
    let mut spec = spec(json!({
        "name": "Nice Name",
        "namespace": "other",
        "labels": {"team": "data", "number": 5, "updraft.dev/key": "mine", "updraft.dev/role": "api"},
        "annotations": {"note": "x"},
        "env_vars": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        "env_from": [{"configMapRef": {"name": "c"}}],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "volume_mounts": [{"name": "v", "mountPath": "/v"}],
        "ports": [{"containerPort": 80}],
        "container_resources": {"limits": {"cpu": 0.5, "memory": "1Gi"}},
        "container_security_context": {"runAsUser": 1},
        "image_pull_policy": "Never",
        "termination_message_policy": "FallbackToLogsOnError",
        "image_pull_secrets": [{"name": "pull"}],
        "affinity": {"nodeAffinity": {}},
        "tolerations": [{"key": "t", "operator": "Exists"}],
        "node_selector": {"disk": "ssd"},
        "priority_class_name": "high",
        "schedulername": "mine",
        "runtime_class_name": "gvisor",
        "service_account_name": "own",
        "automount_service_account_token": true,
        "hostnetwork": true,
        "host_aliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}],
        "dns_config": {"nameservers": ["10.0.0.2"]},
        "hostname": "h",
        "subdomain": "s",
        "security_context": {"runAsNonRoot": true},
        "init_containers": [{"name": "i", "image": "init"}],
        "termination_grace_period": 5,
        "active_deadline_seconds": 100,
        "base_container_name": "main",
        "startup_timeout_seconds": 30,
        "get_logs": false,
        "on_finish_action": "keep_pod",
    }));
    spec.env.insert("A".to_owned(), "1".to_owned());
    spec.cwd = Some("/work".to_owned());
    spec.xcom = true;
    spec.timeout_ms = Some(10_500);
    let Built { namespace, name, plan, pod, .. } = built(Gate::Scheduling, &spec);
    assert_eq!(namespace, "other");
    assert!(name.starts_with("nice-name-"), "{name}");
    let at = |pointer: &str| pod.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(at("/metadata/labels/team"), "data");
    assert_eq!(at("/metadata/labels/number"), "5");
    // What the runner finds its pods by is its own.
    assert_eq!(at("/metadata/labels/updraft.dev~1key"), "7.3.2.4");
    assert_eq!(at("/metadata/labels/updraft.dev~1role"), Value::Null, "a service would send it what is meant for the API");
    assert_eq!(at("/metadata/annotations/note"), "x");
    assert_eq!(
        at("/spec/containers"),
        json!([{
            "name": "main",
            "image": "registry/app:1",
            "command": ["sh"],
            "args": ["-c", "true"],
            "env": [{"name": "A", "value": "1"}, {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            "workingDir": "/work",
            "terminationMessagePath": "/airflow/xcom/return.json",
            "ports": [{"containerPort": 80}],
            "envFrom": [{"configMapRef": {"name": "c"}}],
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "resources": {"limits": {"cpu": 0.5, "memory": "1Gi"}},
            "securityContext": {"runAsUser": 1},
            "imagePullPolicy": "Never",
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }])
    );
    for (field, value) in [
        ("volumes", json!([{"name": "v", "emptyDir": {}}])),
        ("imagePullSecrets", json!([{"name": "pull"}])),
        ("affinity", json!({"nodeAffinity": {}})),
        ("tolerations", json!([{"key": "t", "operator": "Exists"}])),
        ("nodeSelector", json!({"disk": "ssd"})),
        ("priorityClassName", json!("high")),
        ("schedulerName", json!("mine")),
        ("runtimeClassName", json!("gvisor")),
        ("serviceAccountName", json!("own")),
        ("automountServiceAccountToken", json!(true)),
        ("hostNetwork", json!(true)),
        ("hostAliases", json!([{"ip": "10.0.0.1", "hostnames": ["a"]}])),
        ("dnsConfig", json!({"nameservers": ["10.0.0.2"]})),
        ("hostname", json!("h")),
        ("subdomain", json!("s")),
        ("securityContext", json!({"runAsNonRoot": true})),
        ("initContainers", json!([{"name": "i", "image": "init"}])),
        ("terminationGracePeriodSeconds", json!(5)),
        // 11 s of its own, 30 s to start, 60 s of slack: more than the task's own.
        ("activeDeadlineSeconds", json!(100)),
    ] {
        assert_eq!(at(&format!("/spec/{field}")), value, "{field}");
    }
    assert_eq!((plan.on_finish, plan.logs, plan.startup_ms), (OnFinishAction::KeepPod, false, 30_000));
}

#[test]
fn the_belt_is_wider_than_the_timeout() {
    let mut spec = spec(json!({}));
    spec.timeout_ms = Some(10_500);
    assert_eq!(built(Gate::None, &spec).pod["spec"]["activeDeadlineSeconds"], 11 + 600 + 60);
    spec.timeout_ms = None;
    assert_eq!(built(Gate::None, &spec).pod["spec"].get("activeDeadlineSeconds"), None);
}

#[test]
fn operator_wins_over_full_pod_spec_which_wins_over_the_template() {
    let pod = built(
        Gate::None,
        &spec(json!({
            "pod_template_text": "metadata: {labels: {from: template, t: '1'}, generateName: x}\nspec: {nodeName: n, \
                                  priorityClassName: low, restartPolicy: Always, containers: [\
                                  {name: base, image: t, env: [{name: A, value: t}]}, {name: side, image: s}]}",
            "pod_template_dict": {"metadata": {"labels": {"from": "dict"}}},
            "full_pod_spec": {
                "metadata": {"labels": {"from": "full"}},
                "spec": {"containers": [{"name": "base", "image": "f", "stdin": true}]},
            },
            "labels": {"from": "operator"},
        })),
    )
    .pod;
    assert_eq!(pod["metadata"]["labels"]["from"], "operator");
    assert_eq!(pod["metadata"]["labels"]["t"], "1");
    assert_eq!(pod["metadata"].get("generateName"), None);
    assert_eq!(pod["spec"]["restartPolicy"], "Never");
    assert_eq!(pod["spec"]["priorityClassName"], "low");
    // It would go past the scheduler, and past the gate.
    assert_eq!(pod["spec"].get("nodeName"), None);
    let base = &pod["spec"]["containers"][0];
    assert_eq!((&base["image"], &base["stdin"], &base["env"][0]["value"]), (&json!("registry/app:1"), &json!(true), &json!("t")));
    assert_eq!(pod["spec"]["containers"][1]["name"], "side");
}

#[test]
fn the_image_gate_holds_whatever_would_start_first() {
    let alone = built(Gate::Image, &spec(json!({})));
    assert_eq!(alone.pod["spec"]["containers"][0]["image"], GATE_IMAGE);
    assert_eq!(alone.pod["spec"]["containers"][0]["imagePullPolicy"], "IfNotPresent");
    assert_eq!((alone.plan.images.as_slice(), alone.plan.init), (&["registry/app:1".to_owned()][..], false));

    let side = json!({"full_pod_spec": {"spec": {"containers": [{"name": "base"}, {"name": "side", "image": "s"}]}}});
    let company = built(Gate::Image, &spec(side));
    assert_eq!(company.plan.images, ["registry/app:1", "s"]);
    for container in company.pod["spec"]["containers"].as_array().expect("containers") {
        assert_eq!(container["image"], GATE_IMAGE);
    }
    let inits = json!({"init_containers": [{"name": "i", "image": "one"}, {"name": "j", "image": "two"}]});
    let prepared = built(Gate::Image, &spec(inits));
    assert_eq!((prepared.plan.images.as_slice(), prepared.plan.init), (&["one".to_owned()][..], true));
    assert_eq!(prepared.pod["spec"]["initContainers"][0]["image"], GATE_IMAGE);
    assert_eq!(prepared.pod["spec"]["initContainers"][1]["image"], "two");
    assert_eq!(prepared.pod["spec"]["containers"][0]["image"], "registry/app:1");
}

#[test]
fn opening_the_gate_gives_back_the_pod_that_was_asked_for() {
    for rest in [json!({}), json!({"init_containers": [{"name": "i", "image": "one"}]})] {
        let open = built(Gate::None, &spec(rest.clone())).pod["spec"].clone();
        for gate in [Gate::Scheduling, Gate::Image] {
            let Built { mut pod, plan, .. } = built(gate, &spec(rest.clone()));
            pod["metadata"]["uid"] = json!("u");
            let patch = open_gate(&plan, "u", DateTime::UNIX_EPOCH);
            apply(&mut pod, &patch).expect("it fits");
            let mut spec = pod["spec"].clone();
            // The server's default is made explicit, and an empty list is none.
            for list in ["containers", "initContainers"] {
                for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                    container.as_object_mut().expect("an object").remove("imagePullPolicy");
                }
            }
            let fields = spec.as_object_mut().expect("an object");
            if fields.get("schedulingGates") == Some(&json!([])) {
                fields.remove("schedulingGates");
            }
            assert_eq!(spec, open, "{gate:?}");
            assert_eq!(pod["metadata"]["annotations"]["updraft.dev/opened"], "1970-01-01T00:00:00+00:00");
            // A second time, or on another pod, it does nothing.
            assert_eq!(apply(&mut pod, &patch), None);
            let Built { mut pod, .. } = built(gate, &super::tests::spec(rest.clone()));
            pod["metadata"]["uid"] = json!("other");
            assert_eq!(apply(&mut pod, &patch), None);
        }
    }
}

/// The part of RFC 6902 that is used.
fn apply(pod: &mut Value, patch: &Value) -> Option<()> {
    let mut changed = pod.clone();
    for operation in patch.as_array()? {
        let path = operation["path"].as_str()?;
        let (parent, last) = path.rsplit_once('/')?;
        match operation["op"].as_str()? {
            "test" => (changed.pointer(path)? == &operation["value"]).then_some(())?,
            "replace" => *changed.pointer_mut(path)? = operation["value"].clone(),
            "add" => drop(changed.pointer_mut(parent)?.as_object_mut()?.insert(last.replace("~1", "/"), operation["value"].clone())),
            "remove" => drop(changed.pointer_mut(parent)?.as_array_mut()?.remove(last.parse().ok()?)),
            _ => return None,
        }
    }
    *pod = changed;
    Some(())
}

#[test]
fn pull_policies_are_those_of_the_server() {
    for (image, policy) in [
        ("app", "Always"),
        ("app:latest", "Always"),
        ("app:1", "IfNotPresent"),
        ("registry:5000/app", "Always"),
        ("registry:5000/app:1", "IfNotPresent"),
        ("app@sha256:00", "IfNotPresent"),
    ] {
        assert_eq!(pull_policy(image), policy, "{image}");
    }
}

#[test]
fn mistakes_name_what_to_change() {
    let config = Config::new(Uuid::nil());
    let mistake = |spec: &LaunchSpec| build(&config, "home", Gate::None, key(), Uuid::nil(), spec).expect_err("a mistake").to_string();
    let bash = LaunchSpec { image: None, pod: None, ..spec(json!({})) };
    assert!(mistake(&bash).contains("--pod-default-image"), "{}", mistake(&bash));
    let elsewhere = mistake(&spec(json!({"namespace": "kube-system"})));
    assert!(elsewhere.contains("--allowed-namespaces") && elsewhere.contains("kube-system") && elsewhere.contains("home"), "{elsewhere}");
    assert!(mistake(&spec(json!({"pod_template_text": "a: [b"}))).contains("pod_template_file"));
    assert!(mistake(&spec(json!({"full_pod_spec": [5]}))).contains("full_pod_spec"));
    assert!(mistake(&spec(json!({"termination_grace_period": "soon"}))).contains("seconds"));
    assert!(mistake(&spec(json!([]))).contains("pod"));
    let with_default = Config { default_image: Some("bash:5".to_owned()), ..Config::new(Uuid::nil()) };
    let built = build(&with_default, "home", Gate::None, key(), Uuid::nil(), &bash).expect("a pod");
    assert_eq!(built.pod["spec"]["containers"][0]["image"], "bash:5");
}

#[test]
fn the_hash_is_that_of_what_runs() {
    let one = spec(json!({"a": 1, "b": [1, 2]}));
    assert_eq!(spec_hash(&one), spec_hash(&spec(json!({"b": [1, 2], "a": 1}))));
    let changes: [fn(&mut LaunchSpec); 4] = [
        |spec| spec.argv.push("x".to_owned()),
        |spec| spec.image = None,
        |spec| spec.pod = Some(json!({"a": 1, "b": [12]})),
        |spec| drop(spec.env.insert("A".to_owned(), "1".to_owned())),
    ];
    for change in changes {
        let mut other = one.clone();
        change(&mut other);
        assert_ne!(spec_hash(&one), spec_hash(&other), "{other:?}");
    }
}

#[test]
fn the_policy_gives_defaults_and_sees_through_templates() {
    let mut config = Config::new(Uuid::nil());
    config.service_account = Some("tasks".to_owned());
    config.policy = serde_json::from_value(json!({
        "defaults": {
            "nodeSelector": {"pool": "tasks", "arch": "amd64"}, "labels": {"team": "none"}, "imagePullSecrets": [{"name": "reg"}],
            "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"},
            "resources": {"requests": {"cpu": "1"}}, "env": [{"name": "HTTPS_PROXY", "value": "p"}, {"name": "A", "value": "default"}],
        },
        "queues": {"gpu": {"tolerations": [{"key": "gpu"}]}},
    }))
    .expect("a policy");
    config.allow_own_account();
    let make = |rest: Value, queue: &str| {
        let mut spec = spec(rest);
        spec.queue = queue.to_owned();
        spec.env.insert("A".to_owned(), "own".to_owned());
        build(&config, "home", Gate::Scheduling, key(), Uuid::nil(), &spec)
    };
    let pod = make(json!({"node_selector": {"pool": "mine"}, "labels": {"team": "a"}, "tolerations": [{"key": "own"}]}), "gpu")
        .expect("a pod")
        .pod;
    assert_eq!(pod["spec"]["nodeSelector"], json!({"pool": "mine", "arch": "amd64"}));
    assert_eq!(pod["metadata"]["labels"]["team"], "a");
    assert_eq!(pod["metadata"]["annotations"][SAFE_TO_EVICT], "true");
    assert_eq!(pod["spec"]["tolerations"], json!([{"key": "gpu"}, {"key": "own"}]));
    assert_eq!(pod["spec"]["imagePullSecrets"], json!([{"name": "reg"}]));
    let base = &pod["spec"]["containers"][0];
    assert_eq!(base["env"], json!([{"name": "HTTPS_PROXY", "value": "p"}, {"name": "A", "value": "own"}]));
    assert_eq!(base["resources"], json!({"requests": {"cpu": "1"}}));
    let own = make(json!({"container_resources": {"limits": {"memory": "1Gi"}}}), "default").expect("a pod").pod;
    assert_eq!(own["spec"]["containers"][0]["resources"], json!({"limits": {"memory": "1Gi"}}), "half of each would be neither");
    assert!(own["spec"].get("tolerations").is_none(), "another queue's");

    let refused = |rest: Value| make(rest, "default").map(|built| built.pod).expect_err("it breaks a rule").to_string();
    for (rest, rule) in [
        (json!({"pod_template_text": "spec: {hostNetwork: true}"}), "hostNamespaces"),
        (json!({"pod_template_text": "spec: {volumes: [{name: v, hostPath: {path: /}}]}"}), "hostPath"),
        (
            json!({"full_pod_spec": {"spec": {"containers": [{"name": "side", "image": "x", "securityContext": {"privileged": true}}]}}}),
            "privileged",
        ),
        (json!({"service_account_name": "updraft-worker"}), "serviceAccounts"),
    ] {
        let message = refused(rest);
        assert!(message.contains(&format!("rule {rule} ")) && message.contains("--pod-policy"), "{message}");
    }
    assert!(make(json!({"service_account_name": "tasks"}), "default").is_ok(), "the workers' own default");
}
