//! The fleet on a real cluster: a real API server, a real kubelet, one pod for each attempt. `make test-cluster`.
//!
//! The pods keep the ledger themselves, in a folder of the node that they mount: the single node is this machine.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::git::git;
use crate::http::encode;
use crate::ledger::Ledger;
use crate::roles::{Fleet, Plan};

/// A namespace of its own for each test, gone afterwards.
struct Namespace {
    name: String,
    /// What pods of it write.
    node: PathBuf,
}

/// The tests look and kill with an administrator's rights; what is tested has the chart's.
fn administrator() -> Option<std::ffi::OsString> {
    std::env::var_os("UPDRAFT_TEST_ADMIN_KUBECONFIG").or_else(|| std::env::var_os("KUBECONFIG"))
}

fn as_administrator(program: &str) -> Command {
    let mut command = Command::new(program);
    command.envs(administrator().map(|config| ("KUBECONFIG", config)));
    command
}

fn kubectl(words: &[&str]) -> String {
    let output = as_administrator("kubectl").args(words).output().expect("kubectl is installed: run tools/setup.sh cluster");
    assert!(output.status.success(), "kubectl {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Namespace {
    fn new(test: &str) -> Self {
        let name = format!("updraft-{test}-{}", std::process::id());
        kubectl(&["create", "namespace", &name]);
        let node = tempfile::Builder::new().prefix("updraft-pods.").tempdir_in("/var/lib").unwrap().keep();
        fs::set_permissions(&node, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let namespace = Self { name, node };
        let begin = Instant::now();
        while !namespace.ctl(&["get", "serviceaccounts"]).contains("default") {
            assert!(begin.elapsed() < Duration::from_secs(30), "no service account");
            std::thread::sleep(Duration::from_millis(50));
        }
        if std::env::var_os("UPDRAFT_TEST_ADMIN_KUBECONFIG").is_some() {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cluster/worker-role.sh");
            assert!(as_administrator(script).arg(&namespace.name).status().unwrap().success(), "the worker has no Role");
        }
        namespace
    }

    fn ctl(&self, words: &[&str]) -> String {
        kubectl(&[&["-n", &self.name], words].concat())
    }

    fn pods(&self) -> Vec<Value> {
        let list: Value = serde_json::from_str(&self.ctl(&["get", "pods", "-o", "json"])).unwrap();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    fn ledger(&self) -> PathBuf {
        self.node.join("ledger")
    }

    fn plan(&self, schedulers: usize, workers: usize) -> Plan {
        Plan { schedulers, workers, concurrency: 50, pods: Some(self.name.clone()), ..Plan::default() }
    }

    /// A DAG of one task, whose pod runs `script` and may write to /ledger. `more`: further keys of the task.
    fn one_task(&self, dag_id: &str, script: &str, more: &str) -> String {
        let quoted = serde_json::to_string(script).unwrap();
        let node = self.node.display();
        format!(
            "dag_id: {dag_id}\nschedule: null\ntasks:\n  t:\n    image: {}\n    cmds: [sh, -c]\n    arguments: [{quoted}]\n    \
             volumes: [{{name: ledger, hostPath: {{path: {node}}}}}]\n    volume_mounts: [{{name: ledger, mountPath: /ledger}}]\n{more}",
            image()
        )
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.ctl(&["get", "pods", "-o", "wide"]));
        }
        // A finalizer of ours that was left would hold the namespace for ever: that it goes is part of each test.
        let _ = as_administrator("kubectl").args(["delete", "namespace", &self.name, "--wait=false"]).output();
        let _ = fs::remove_dir_all(&self.node);
    }
}

fn image() -> String {
    std::env::var("UPDRAFT_TEST_IMAGE").expect("UPDRAFT_TEST_IMAGE is not set: run by `make test-cluster`")
}

/// Notes the start and the end in the ledger. The pod's environment has no ids: they are rendered into the script.
fn noted(body: &str) -> String {
    let line = |what: &str| {
        format!("echo \"{what} {{{{ run_id }}}} {{{{ ti.task_id }}}} {{{{ ti.try_number }}}} $(date +%s)000000\" >> /ledger/ledger")
    };
    format!("{}; {body}; {}", line("S"), line("E"))
}

fn why(fleet: &Fleet, dag_id: &str, run_id: &str, task: &str) -> Value {
    fleet.get(&format!("/ui/why/{dag_id}/{}/{task}", encode(run_id))).unwrap_or_default()
}

fn log_of(fleet: &Fleet, dag_id: &str, run_id: &str, task: &str, attempt: u32) -> Vec<String> {
    let path = format!("/api/v2/dags/{dag_id}/dagRuns/{}/taskInstances/{task}/logs/{attempt}", encode(run_id));
    let answer = fleet.get(&path).unwrap_or_default();
    answer["content"].as_array().into_iter().flatten().filter_map(|line| line["event"].as_str().map(str::to_owned)).collect()
}

fn until_state(fleet: &mut Fleet, dag_id: &str, run_id: &str, state: &str, limit: u64) {
    fleet.until(Duration::from_secs(limit), &format!("{run_id} of {dag_id} is {state}"), |fleet| fleet.run_state(dag_id, run_id) == state);
}

/// Which worker's log says something.
fn who_says(fleet: &Fleet, text: &str) -> Option<usize> {
    fleet.workers.iter().position(|worker| worker.log().contains(text))
}

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn a_pod_outlives_its_worker_and_its_log_is_whole() {
    let namespace = Namespace::new("adopt");
    let script = noted("i=0; while [ $i -lt 60 ]; do echo line-$i; i=$((i+1)); sleep 0.5; done");
    let mut fleet = Fleet::start(&[("long.yaml", &namespace.one_task("long", &script, ""))], namespace.plan(1, 2));
    fleet.until_dag("long");
    fleet.trigger("long", "r");
    let ledger = namespace.ledger();
    fleet.until(Duration::from_secs(60), "the pod runs", |_| !Ledger::read(&ledger).starts.is_empty());
    fleet.until(Duration::from_secs(20), "the first lines are stored", |fleet| {
        log_of(fleet, "long", "r", "t", 1).iter().any(|line| line == "line-3")
    });
    let uid = namespace.pods()[0]["metadata"]["uid"].as_str().unwrap().to_owned();
    let hosts =
        fleet.postgres.query("select w.pid from lease_group g join worker w on w.id = g.owner join live_attempt l on l.group_id = g.id");
    let victim =
        fleet.workers.iter().position(|worker| worker.pid().as_raw_nonzero().to_string() == hosts).expect("one of ours watches it");
    let mut dead = fleet.workers.remove(victim);
    dead.kill_9();
    let begin = Instant::now();
    fleet.until(Duration::from_secs(10), "the other worker adopts it", |fleet| who_says(fleet, "adopted 1 attempts").is_some());
    eprintln!("adopted {:?} after the kill", begin.elapsed());
    until_state(&mut fleet, "long", "r", "success", 90);
    let evidence = why(&fleet, "long", "r", "t")["evidence"].clone();
    assert_eq!(evidence["handle"], json!(uid), "one pod for the attempt");
    assert_eq!(evidence["exit_code"], 0);
    let lines: Vec<String> = log_of(&fleet, "long", "r", "t", 1).into_iter().filter(|line| line.starts_with("line-")).collect();
    assert_eq!(lines, (0..60).map(|n| format!("line-{n}")).collect::<Vec<_>>(), "no line lost, none doubled");
    Ledger::read(&ledger).assert_once();
    fleet.until(Duration::from_secs(20), "the pod is gone", |_| namespace.pods().is_empty());
    fleet.assert_clean();
}

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn workers_leave_their_pods_running() {
    let namespace = Namespace::new("leave");
    let script = noted("sleep 25");
    let text = namespace.one_task("ten", &script, "");
    // Ten of the same task.
    let (head, task) = text.split_once("  t:\n").unwrap();
    let tasks: String = (0..10).map(|n| format!("  t{n}:\n{task}\n")).collect();
    let mut fleet = Fleet::start(&[("ten.yaml", &format!("{head}{tasks}"))], namespace.plan(1, 2));
    fleet.until_dag("ten");
    fleet.trigger("ten", "r");
    let ledger = namespace.ledger();
    fleet.until(Duration::from_secs(90), "ten pods run", |_| Ledger::read(&ledger).starts.len() == 10);
    for worker in &mut fleet.workers {
        let took = worker.terminate();
        assert!(took < Duration::from_secs(2), "{} took {took:?}", worker.name);
    }
    fleet.workers.clear();
    assert_eq!(namespace.pods().iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).count(), 10, "no pod was deleted");
    fleet.add_worker(7, 5, &[]);
    until_state(&mut fleet, "ten", "r", "success", 90);
    let ledger = Ledger::read(&ledger);
    ledger.assert_once();
    assert_eq!(ledger.starts.len(), 10);
    assert!(ledger.starts.keys().all(|key| key.2 == 1), "an attempt was spent");
    fleet.until(Duration::from_secs(30), "the pods are gone", |_| namespace.pods().is_empty());
    fleet.assert_clean();
}

/// A worker stands still between {claim, POST, bind, start, finish, release} and comes back before the others have adopted, after that, after
/// the attempt is over, and when its successor runs.
#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn a_worker_that_sleeps_anywhere_starts_nothing_twice_and_kills_nothing() {
    let namespace = Namespace::new("sleep");
    let points = ["claimed", "before-launch", "before-bind", "before-start", "before-finish", "before-release"];
    let moments = ["before adoption", "after adoption", "when it is over", "when the next attempt runs"];
    let script = noted("sleep 3");
    let mut fleet = Fleet::start(&[("nap.yaml", &namespace.one_task("nap", &script, ""))], namespace.plan(1, 0));
    fleet.until_dag("nap");
    let ledger = namespace.ledger();
    for (p, point) in points.into_iter().enumerate() {
        for (m, moment) in moments.into_iter().enumerate() {
            let run = format!("r{p}{m}");
            let what = format!("asleep at {point}, back {moment}");
            eprintln!("{what}");
            // Only the sleeper is there to take it.
            fleet.add_worker(100 + 10 * p + m, 50, &[("UPDRAFT_CRASH_POINT", &format!("{point}=stop"))]);
            fleet.trigger("nap", &run);
            fleet.until(Duration::from_secs(60), &format!("{what}: it sleeps"), |fleet| fleet.workers[0].is_stopped());
            if m > 0 {
                fleet.add_worker(200 + 10 * p + m, 50, &[]);
            }
            let closed = "select count(*) from live_attempt";
            match m {
                0 => {}
                1 if p < 5 => fleet.until(Duration::from_secs(20), &format!("{what}: adopted"), |fleet| {
                    // What was written already (the last point) leaves nothing to adopt.
                    fleet.workers[1].log().contains("adopted 1 attempts") || fleet.postgres.query(closed) == "0"
                }),
                1 => {}
                _ => until_state(&mut fleet, "nap", &run, "success", 60),
            }
            if m == 3 {
                let body = json!({"dry_run": false, "dag_run_id": run, "task_ids": ["t"], "only_failed": false, "reset_dag_runs": true});
                assert_eq!(fleet.send("POST", "/api/v2/dags/nap/clearTaskInstances", &body).0, 200);
                let (key, path) = ((run.clone(), "t".to_owned(), 2), ledger.clone());
                fleet.until(Duration::from_secs(60), &format!("{what}: the next attempt runs"), |_| {
                    Ledger::read(&path).starts.contains_key(&key)
                });
            }
            fleet.workers[0].signal(Signal::CONT);
            until_state(&mut fleet, "nap", &run, "success", 60);
            assert!(fleet.workers[0].runs(), "{what}: the sleeper has exited\n{}", fleet.workers[0].log());
            for worker in &mut fleet.workers {
                worker.terminate();
            }
            fleet.workers.clear();
        }
    }
    let read = Ledger::read(&ledger);
    read.assert_once();
    for (p, point) in points.iter().enumerate() {
        for (m, moment) in moments.iter().enumerate() {
            let of_run: Vec<u32> = read.starts.keys().filter(|key| key.0 == format!("r{p}{m}")).map(|key| key.2).collect();
            // One attempt each, and two where it was cleared: a third would be one that was killed or lost.
            assert_eq!(of_run, (1..=if m == 3 { 2 } else { 1 }).collect::<Vec<_>>(), "{point} {moment}");
        }
    }
    assert_eq!(read.starts.len(), read.ends.len(), "a container was killed");
    fleet.add_worker(999, 50, &[]);
    fleet.until(Duration::from_secs(60), "the pods are gone", |_| namespace.pods().is_empty());
    fleet.assert_clean();
}

/// One way to end, and what must be said of it.
struct End {
    dag: &'static str,
    script: &'static str,
    more: &'static str,
    /// What the test does once the pod runs.
    then: fn(&Namespace, &str),
    reason: &'static str,
    budget: &'static str,
}

fn nothing(_: &Namespace, _: &str) {}

fn delete(namespace: &Namespace, pod: &str) {
    namespace.ctl(&["delete", "pod", pod, "--wait=false"]);
}

fn evict(namespace: &Namespace, pod: &str) {
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", namespace.name);
    let body = json!({"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace.name}});
    let file = namespace.node.join("eviction.json");
    fs::write(&file, body.to_string()).unwrap();
    kubectl(&["create", "--raw", &path, "-f", file.to_str().unwrap()]);
}

/// Exits 0 when it is told to terminate: killed, not done.
const POLITE: &str = "trap 'exit 0' TERM; touch /ledger/{{ dag.dag_id }}; while :; do sleep 0.2; done";

const ENDS: [End; 9] = [
    End { dag: "exit1", script: "exit 1", more: "", then: nothing, reason: "exit_code", budget: "user" },
    End {
        dag: "oom",
        script: "exec dd if=/dev/zero of=/dev/null bs=200M",
        more: "    container_resources: {limits: {memory: 32Mi}}\n",
        then: nothing,
        reason: "oom_killed",
        budget: "user",
    },
    End { dag: "deleted", script: POLITE, more: "", then: delete, reason: "disrupted", budget: "infra" },
    End { dag: "evicted", script: POLITE, more: "", then: evict, reason: "disrupted", budget: "infra" },
    End { dag: "deadline", script: POLITE, more: "    execution_timeout: 4s\n", then: nothing, reason: "timeout", budget: "user" },
    End {
        dag: "killed",
        script: "touch /ledger/{{ dag.dag_id }}; sleep 600",
        more: "",
        then: delete,
        reason: "disrupted",
        budget: "infra",
    },
    End {
        dag: "nowhere",
        script: "true",
        more: "    node_selector: {updraft.dev/nowhere: 'true'}\n",
        then: nothing,
        reason: "never_started",
        budget: "infra",
    },
    End { dag: "no-image", script: "true", more: "    image_pull_policy: Never\n", then: nothing, reason: "image_pull", budget: "infra" },
    End {
        dag: "bad-spec",
        script: "true",
        more: "    container_resources: {limits: {memory: 1Mi}, requests: {memory: 2Mi}}\n",
        then: nothing,
        reason: "cannot_start",
        budget: "user",
    },
];

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn every_end_has_its_reason_and_its_budget_and_none_is_a_success() {
    let namespace = Namespace::new("ends");
    let files: Vec<(String, String)> = ENDS
        .iter()
        .map(|end| {
            let text = namespace.one_task(end.dag, end.script, end.more);
            let text = if end.dag == "no-image" { text.replace(&image(), "updraft-test/absent:1") } else { text };
            (format!("{}.yaml", end.dag), text)
        })
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let mut fleet = Fleet::start(&files, namespace.plan(1, 1));
    // An infrastructure's failure is tried again, so the first attempt is looked at.
    for end in &ENDS {
        fleet.until_dag(end.dag);
        fleet.trigger(end.dag, "r");
    }
    for end in &ENDS {
        let marker = namespace.node.join(end.dag);
        if end.script.contains("touch") {
            fleet.until(Duration::from_secs(90), &format!("{} runs", end.dag), |_| marker.exists());
        }
        if let Some(pod) = namespace.pods().iter().find(|pod| pod["metadata"]["labels"]["dag_id"] == json!(end.dag)) {
            (end.then)(&namespace, pod["metadata"]["name"].as_str().unwrap());
        }
        let first = |fleet: &Fleet| {
            why(fleet, end.dag, "r", "t")["attempts"].as_array().and_then(|all| all.iter().find(|a| a["budget"].is_string()).cloned())
        };
        fleet.until(Duration::from_secs(90), &format!("the first attempt of {} ends", end.dag), |fleet| first(fleet).is_some());
        let attempt = first(&fleet).unwrap();
        eprintln!("{}: {} ({}): {}", end.dag, attempt["reason"], attempt["budget"], attempt["message"]);
        assert_eq!((&attempt["reason"], &attempt["budget"]), (&json!(end.reason), &json!(end.budget)), "{}: {attempt}", end.dag);
        assert_ne!(attempt["state"], json!("success"), "{attempt}");
        // Nothing more of it.
        let path = format!("/api/v2/dags/{}/dagRuns/r/taskInstances/t", end.dag);
        fleet.send("PATCH", &path, &json!({"new_state": "failed"}));
    }
    fleet.until(Duration::from_secs(90), "the pods are gone", |_| namespace.pods().is_empty());
    fleet.assert_clean();
}

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn a_full_quota_is_waited_for_and_said() {
    let namespace = Namespace::new("quota");
    namespace.ctl(&["create", "quota", "few", "--hard=pods=1"]);
    let text = namespace.one_task("two", &noted("sleep 5"), "");
    let (head, task) = text.split_once("  t:\n").unwrap();
    let mut fleet = Fleet::start(&[("two.yaml", &format!("{head}  t1:\n{task}\n  t2:\n{task}\n"))], namespace.plan(1, 1));
    fleet.until_dag("two");
    fleet.trigger("two", "r");
    fleet.until(Duration::from_secs(60), "why says that the quota is full", |fleet| {
        ["t1", "t2"].iter().any(|task| why(fleet, "two", "r", task)["summary"].as_str().is_some_and(|text| text.contains("quota")))
    });
    until_state(&mut fleet, "two", "r", "success", 90);
    let ledger = Ledger::read(&namespace.ledger());
    ledger.assert_once();
    assert!(ledger.starts.keys().all(|key| key.2 == 1), "no attempt was spent on the quota");
    assert_eq!(ledger.most_at_once(), 1);
}

/// t1, then t2 and t3, then t4, as pods, from a git repository; a second push changes the DAG while a run is under way.
#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn a_dag_from_git_runs_as_pods_in_the_order_of_its_arrows() {
    let namespace = Namespace::new("git");
    let repository = namespace.node.join("dags.git");
    let clone = namespace.node.join("clone");
    fs::create_dir(&repository).unwrap();
    git(&repository, &["init", "-q", "--bare"]);
    git(&namespace.node, &["clone", "-q", repository.to_str().unwrap(), "clone"]);
    let dag = |word: &str| {
        format!(
            "from datetime import datetime\nfrom airflow import DAG\nfrom airflow.contrib.operators.kubernetes_pod_operator import KubernetesPodOperator\n\n\
             dag = DAG('pods', schedule_interval=None, start_date=datetime(2020, 1, 1))\n\n\
             def pod(name):\n    return KubernetesPodOperator(namespace='{}', image='{}', cmds=['sh', '-c'], arguments=['echo {word}; sleep 3'], name=name, task_id=name, is_delete_operator_pod=True, in_cluster=False, dag=dag)\n\n\
             pod('t1') >> [pod('t2'), pod('t3')] >> pod('t4')\n",
            namespace.name,
            image()
        )
    };
    let push = |word: &str| {
        fs::write(clone.join("pods.py"), dag(word)).unwrap();
        git(&clone, &["add", "-A"]);
        git(&clone, &["commit", "-q", "-m", word]);
        git(&clone, &["push", "-q", "origin", "HEAD:main"]);
    };
    push("first");
    let plan = Plan { dags: Some(format!("git+file://{}@main", repository.display())), ..namespace.plan(2, 2) };
    let mut fleet = Fleet::start(&[], plan);
    fleet.until_dag("pods");
    fleet.trigger("pods", "one");
    fleet.until(Duration::from_secs(60), "t1 runs", |_| namespace.pods().iter().any(|pod| pod["status"]["phase"] == "Running"));
    let name = namespace.pods()[0]["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(name.contains("t1"), "{name}");
    push("second");
    let version =
        |fleet: &Fleet| fleet.get("/api/v2/dags/pods/dagVersions").map_or(0, |answer| answer["total_entries"].as_u64().unwrap_or(0));
    fleet.until(Duration::from_secs(10), "the second push is seen", |fleet| version(fleet) == 2);
    fleet.trigger("pods", "two");
    for run in ["one", "two"] {
        until_state(&mut fleet, "pods", run, "success", 120);
    }
    let nodes = kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"]);
    for (run, word) in [("one", "first"), ("two", "second")] {
        let ends = |task: &str| why(&fleet, "pods", run, task)["evidence"].clone();
        let time = |evidence: &Value, key: &str| evidence[key].as_str().unwrap_or_else(|| panic!("{evidence}")).to_owned();
        for (before, after) in [("t1", "t2"), ("t1", "t3"), ("t2", "t4"), ("t3", "t4")] {
            assert!(time(&ends(before), "ended_at") <= time(&ends(after), "started_at"), "{before} before {after}");
        }
        for task in ["t1", "t2", "t3", "t4"] {
            let evidence = ends(task);
            assert_eq!(evidence["exit_code"], 0, "{evidence}");
            assert!(
                evidence["handle"].as_str().is_some_and(|uid| uid.len() == 36) && nodes.split(' ').any(|node| evidence["host"] == node),
                "{evidence}"
            );
            assert!(log_of(&fleet, "pods", run, task, 1).iter().any(|line| line == word), "{run} ran what was pushed as {word}");
        }
    }
    fleet.until(Duration::from_secs(30), "the pods are gone", |_| namespace.pods().is_empty());
    fleet.assert_clean();
}
