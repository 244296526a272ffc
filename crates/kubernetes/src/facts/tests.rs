//! Pod states as the API server writes them, and what they mean. Taken from real ones (v1.20 and v1.31) where there was one to take.

use serde_json::json;
use updraft_model::dag::OnFinishAction;
use updraft_model::{Budget, Verdict, verdict};

use super::*;
use crate::marks::Gate;
use crate::seen::SlimPod;

const GRACE: Duration = Duration::from_secs(120);

fn plan() -> Plan {
    Plan {
        container: "base".to_owned(),
        on_finish: OnFinishAction::DeletePod,
        xcom: true,
        logs: true,
        timeout_ms: None,
        startup_ms: 600_000,
        schedule_ms: None,
        gate: Gate::Image,
        images: Vec::new(),
        init: false,
    }
}

/// A pod whose command ran from 10:00:00 to 10:00:10, changed.
fn pod(change: serde_json::Value) -> Seen {
    let mut pod = json!({
        "metadata": {
            "name": "p", "uid": "u", "creationTimestamp": "2026-01-02T09:59:50Z", "finalizers": ["updraft.dev/evidence"],
            "annotations": {"kubectl.kubernetes.io/default-container": "base"},
        },
        "spec": {"nodeName": "n1", "containers": [{"name": "side"}, {"name": "base"}]},
        "status": {"phase": "Running"},
    });
    crate::pod_merge::merge(&mut pod, &change);
    Seen::of(&serde_json::from_value::<SlimPod>(pod).expect("a pod"))
}

fn exited(code: i32, reason: &str, message: &str) -> serde_json::Value {
    json!({"name": "base", "state": {"terminated": {
        "exitCode": code, "reason": reason, "message": message,
        "startedAt": "2026-01-02T10:00:00Z", "finishedAt": "2026-01-02T10:00:10Z",
    }}})
}

fn over(code: i32, reason: &str, message: &str) -> serde_json::Value {
    json!({"status": {"phase": if code == 0 { "Succeeded" } else { "Failed" }, "containerStatuses": [exited(code, reason, message)]}})
}

/// `over`, with more of it.
fn over_and(code: i32, more: serde_json::Value) -> Seen {
    let mut pod = over(code, if code == 0 { "Completed" } else { "Error" }, "");
    crate::pod_merge::merge(&mut pod, &more);
    super::tests::pod(pod)
}

fn deleted(at: &str, grace: i64) -> serde_json::Value {
    json!({"metadata": {"deletionTimestamp": at, "deletionGracePeriodSeconds": grace}})
}

fn stop(note: &str) -> serde_json::Value {
    json!({"metadata": {"annotations": {"updraft.dev/stop": note}}})
}

fn both(mut a: serde_json::Value, b: &serde_json::Value) -> serde_json::Value {
    crate::pod_merge::merge(&mut a, b);
    a
}

fn facts(seen: &Seen) -> EndFacts {
    match judge(seen, &plan(), GRACE) {
        Judged::Ended(facts) => *facts,
        other => panic!("{other:?} of {seen:?}"),
    }
}

fn meaning(facts: &EndFacts) -> (Option<Budget>, String) {
    match verdict(facts, &[99]) {
        Verdict::Success => (None, "success".to_owned()),
        Verdict::Skipped => (None, "skipped".to_owned()),
        Verdict::Failed { budget, reason, .. } => (Some(budget), reason),
    }
}

#[test]
fn ends_mean_what_happened() {
    let user = Some(Budget::User);
    let infra = Some(Budget::Infra);
    let disruption = |reason: &str| json!({"status": {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason}]}});
    let failed = |reason: &str| json!({"status": {"phase": "Failed", "reason": reason, "message": "words"}});
    let running = json!({"status": {"containerStatuses": [{"name": "base", "state": {"running": {"startedAt": "2026-01-02T10:00:00Z"}}}]}});
    let table = [
        ("exit 0", pod(over(0, "Completed", "")), None, "success"),
        ("a code for skipped", pod(over(99, "Error", "")), None, "skipped"),
        ("exit 1", pod(over(1, "Error", "")), user, "exit_code"),
        ("killed by itself", pod(over(137, "Error", "")), user, "exit_code"),
        ("out of memory", pod(over(137, "OOMKilled", "")), user, "oom_killed"),
        ("out of memory in a child that the command survived", pod(over(0, "OOMKilled", "")), None, "success"),
        ("no such program", pod(over(128, "StartError", "exec: no such file")), user, "cannot_start"),
        ("no such program, Docker", pod(over(127, "ContainerCannotRun", "exec: no such file")), user, "cannot_start"),
        ("a container that the kubelet lost", pod(over(137, "ContainerStatusUnknown", "")), infra, "lost"),
        // H2: exit 0 on SIGTERM is no success.
        ("deleted, exit 0 after it", over_and(0, deleted("2026-01-02T10:00:38Z", 30)), infra, "disrupted"),
        ("deleted, exit 143 after it", over_and(143, deleted("2026-01-02T10:00:38Z", 30)), infra, "disrupted"),
        ("deleted in the very second of the end", over_and(0, deleted("2026-01-02T10:00:40Z", 30)), infra, "disrupted"),
        ("deleted long after the end", over_and(0, deleted("2026-01-02T10:00:42Z", 30)), None, "success"),
        ("deleted at once, long after the end", over_and(0, deleted("2026-01-02T10:00:12Z", 0)), None, "success"),
        ("the kubelet's last word moves the time, not the request", over_and(0, deleted("2026-01-02T10:00:08Z", 0)), infra, "disrupted"),
        ("evicted with exit 0", over_and(0, failed("Evicted")), infra, "evicted"),
        ("preempted", over_and(143, failed("Preempting")), infra, "preempted"),
        ("shut down", over_and(0, failed("Shutdown")), infra, "disrupted"),
        ("shut down, newer", over_and(0, failed("Terminated")), infra, "disrupted"),
        ("evicted by the API", over_and(0, disruption("EvictionByEvictionAPI")), infra, "evicted"),
        ("preempted by the scheduler", over_and(0, disruption("PreemptionByScheduler")), infra, "preempted"),
        ("node lost", over_and(0, disruption("DeletionByTaintManager")), infra, "node_lost"),
        ("some other disruption", over_and(0, disruption("New")), infra, "disrupted"),
        ("deadline of the pod", over_and(143, failed("DeadlineExceeded")), user, "timeout"),
        // Rejected by the node, evicted before it ran: no container has a state.
        ("evicted before it ran", pod(failed("Evicted")), infra, "evicted"),
        ("rejected", pod(failed("OutOfcpu")), infra, "never_started"),
        ("not admitted", pod(failed("UnexpectedAdmissionError")), infra, "never_started"),
        ("failed without a word", pod(json!({"status": {"phase": "Failed"}})), infra, "never_started"),
        ("succeeded without a word", pod(json!({"status": {"phase": "Succeeded"}})), infra, "never_started"),
        (
            "deleted before a node had it",
            pod(both(deleted("2026-01-02T10:00:00Z", 0), &json!({"spec": {"nodeName": ""}}))),
            infra,
            "disrupted",
        ),
        // Stopped by us.
        ("timeout", over_and(0, both(deleted("2026-01-02T10:00:38Z", 30), &stop(r#"{"why":"timeout"}"#))), user, "timeout"),
        ("cancelled", over_and(0, both(deleted("2026-01-02T10:00:38Z", 30), &stop(r#"{"why":"cancelled"}"#))), user, "cancelled"),
        (
            "cancelled after its own end",
            over_and(0, both(deleted("2026-01-02T10:01:38Z", 30), &stop(r#"{"why":"cancelled"}"#))),
            None,
            "success",
        ),
        ("noted, never deleted, ended by itself", over_and(0, stop(r#"{"why":"cancelled"}"#)), None, "success"),
        (
            "given up",
            pod(both(failed("x"), &both(deleted("2026-01-02T10:00:38Z", 30), &stop(r#"{"why":"image_pull","detail":"words"}"#)))),
            infra,
            "image_pull",
        ),
        (
            "given up when it came up",
            over_and(0, both(deleted("2026-01-02T10:00:38Z", 30), &stop(r#"{"why":"never_started"}"#))),
            infra,
            "never_started",
        ),
    ];
    for (what, seen, budget, reason) in table {
        let seen = Seen { node: seen.node.clone().filter(|node| !node.is_empty()), ..seen };
        let facts = facts(&seen);
        assert_eq!(meaning(&facts), (budget, reason.to_owned()), "{what}: {facts:?}");
    }
    // Removed by force: the node may still speak, and if it does not, nobody knows.
    let seen = pod(both(running.clone(), &deleted("2026-01-02T10:00:08Z", 0)));
    match judge(&seen, &plan(), GRACE) {
        Judged::Settles(GRACE, facts) => assert_eq!(meaning(&facts), (infra, "node_lost".to_owned())),
        other => panic!("{other:?}"),
    }
    // Asked to go, and still there.
    assert_eq!(judge(&pod(both(running, &deleted("2026-01-02T10:00:38Z", 30))), &plan(), GRACE), Judged::Lives);
}

#[test]
fn the_base_container_decides() {
    let side = |state: serde_json::Value| json!({"name": "side", "state": state});
    let seen = pod(json!({"status": {"containerStatuses": [side(json!({"running": {}})), exited(0, "Completed", "")]}}));
    assert_eq!(meaning(&facts(&seen)), (None, "success".to_owned()));
    let seen = pod(json!({"status": {"phase": "Failed", "containerStatuses": [
        side(json!({"terminated": {"exitCode": 1}})), exited(0, "Completed", ""),
    ]}}));
    assert_eq!(meaning(&facts(&seen)), (None, "success".to_owned()));
    let seen = pod(json!({"status": {"containerStatuses": [side(json!({"terminated": {"exitCode": 0}}))]}}));
    assert_eq!(judge(&seen, &plan(), GRACE), Judged::Lives);
}

#[test]
fn a_failed_init_container_is_the_task_s_failure() {
    let seen = pod(json!({"status": {
        "phase": "Failed",
        "initContainerStatuses": [
            {"name": "one", "state": {"terminated": {"exitCode": 0}}},
            {"name": "two", "state": {"terminated": {
                "exitCode": 3, "startedAt": "2026-01-02T10:00:00Z", "finishedAt": "2026-01-02T10:00:10Z",
            }}},
        ],
        "containerStatuses": [{"name": "base", "state": {"waiting": {"reason": "PodInitializing"}}}],
    }}));
    let facts = facts(&seen);
    assert_eq!((facts.exit_code, meaning(&facts).0), (Some(3), Some(Budget::User)));
    assert_eq!(facts.detail.as_deref(), Some("the init container two failed, on node n1"));
}

#[test]
fn times_and_words_are_kept() {
    let facts = facts(&pod(over(2, "Error", "line one\nline two")));
    assert_eq!(facts.started_at.map(|time| time.to_rfc3339()).as_deref(), Some("2026-01-02T10:00:00+00:00"));
    assert_eq!(facts.ended_at.map(|time| time.to_rfc3339()).as_deref(), Some("2026-01-02T10:00:10+00:00"));
    assert_eq!(facts.detail.as_deref(), Some("line one line two, on node n1"));
}

#[test]
fn a_value_is_taken_whole_or_not_at_all() {
    let xcom = |message: &str| facts(&pod(over(0, "Completed", message))).xcom;
    assert_eq!(xcom("[1, 2]"), Some(Ok(json!([1, 2]))));
    assert_eq!(xcom(""), None);
    // The kubelet keeps the last 4,096 bytes: of a long number they are a number, and a wrong one.
    assert!(matches!(xcom(&"7".repeat(4096)), Some(Err(error)) if error.contains("4095")));
    assert!(matches!(xcom(&"7".repeat(300)), Some(Ok(_))));
    assert!(matches!(xcom("{"), Some(Err(error)) if error.contains("not JSON")));
    assert_eq!(facts(&pod(over(1, "Error", "1"))).xcom, None);
    assert_eq!(meaning(&facts(&pod(over(0, "Completed", "{")))), (Some(Budget::User), "xcom".to_owned()));
}

#[test]
fn old_news_change_nothing() {
    let waiting = pod(json!({"status": {"containerStatuses": [{"name": "base", "state": {"waiting": {}}}]}}));
    let running = pod(json!({"status": {"containerStatuses": [{"name": "base", "state": {"running": {}}}]}}));
    let ended = pod(over(0, "Completed", ""));
    let going = pod(both(deleted("2026-01-02T10:00:38Z", 30), &stop(r#"{"why":"cancelled"}"#)));
    for (old, new) in
        [(&waiting, &running), (&waiting, &ended), (&running, &ended), (&Seen { base: Container::Absent, ..running.clone() }, &running)]
    {
        assert_eq!(&old.clone().after(new), new);
        assert_eq!(&new.clone().after(old), new);
    }
    let both = running.clone().after(&going);
    assert_eq!((both.deleting, &both.stop, &both.base), (going.deleting, &going.stop, &running.base));
    let other = Seen { uid: "other".to_owned(), ..waiting };
    assert_eq!(other.clone().after(&ended), other);
}

#[test]
fn a_kubelet_that_threw_the_container_away_takes_nothing_back() {
    // As v1.20 leaves a pod that was deleted while it ran and that a finalizer holds.
    let thrown_away = both(
        json!({"status": {"phase": "Failed", "containerStatuses": [{
            "name": "base",
            "state": {"waiting": {"reason": "ContainerCreating"}},
            "lastState": {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": null, "finishedAt": null}},
        }]}}),
        &deleted("2026-01-02T10:00:08Z", 0),
    );
    let running = pod(json!({"status": {"containerStatuses": [{"name": "base", "state": {"running": {}}}]}}));
    // Not seen in time: nobody knows the code.
    let facts_of_it = facts(&pod(thrown_away.clone()).after(&running));
    assert_eq!((facts_of_it.exit_code, facts_of_it.stopped), (None, Some(Stopped::Disrupted)));
    // Seen in time: it stays.
    let ended = over_and(5, deleted("2026-01-02T10:00:08Z", 0));
    let facts_of_it = facts(&pod(thrown_away.clone()).after(&ended));
    assert_eq!((facts_of_it.exit_code, facts_of_it.stopped), (Some(5), Some(Stopped::Disrupted)));
    // Without a deletion it is lost, and not one that never started.
    let mut alone = thrown_away;
    alone["metadata"] = json!({});
    assert_eq!(meaning(&facts(&pod(alone))), (Some(Budget::Infra), "lost".to_owned()));
}

#[test]
fn what_hinders_a_start_is_told_but_not_our_own_gate() {
    let waiting = |reason: &str| {
        json!({"status": {"phase": "Pending", "containerStatuses": [
            {"name": "base", "state": {"waiting": {"reason": reason, "message": "words"}}},
        ]}})
    };
    for (reason, why) in [
        ("ErrImagePull", Some(Why::ImagePull)),
        ("ImagePullBackOff", Some(Why::ImagePull)),
        ("InvalidImageName", Some(Why::ImagePull)),
        ("CreateContainerConfigError", Some(Why::NeverStarted)),
        ("ContainerCreating", None),
        ("", None),
    ] {
        assert_eq!(trouble(&pod(waiting(reason))).map(|(why, _)| why), why, "{reason}");
    }
    let slow = json!({"status": {"phase": "Pending", "containerStatuses": [{"name": "base", "state": {"waiting": {
        "reason": "CreateContainerConfigError", "message": "failed to sync secret cache: timed out waiting for the condition",
    }}}]}});
    assert_eq!(trouble(&pod(slow)), None);
    let gated = both(waiting("InvalidImageName"), &json!({"spec": {"containers": [{"name": "base", "image": "INVALID//gate"}]}}));
    assert_eq!(trouble(&pod(gated)), None);
    assert_eq!(trouble(&pod(waiting("ErrImagePull"))).map(|(_, words)| words).as_deref(), Some("ErrImagePull: words"));
}

#[test]
fn long_words_are_cut_between_characters() {
    let line = one_line(&"ä ".repeat(2000));
    assert!(line.len() <= MAX_DETAIL + '…'.len_utf8() && line.ends_with('…'), "{}", line.len());
}
