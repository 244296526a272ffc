//! What the runner makes of each answer that an API server can give, by one that says what the test wants: lost replies, conflicts, quotas,
//! faults. What a server really does is in `cluster.rs`.

mod scripted;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use scripted::{Answer, Asked, attempt, ended_pod, not_found, runner, status, watching};
use serde_json::{Value, json};
use updraft_model::{Budget, EndFacts, Verdict, verdict};
use updraft_worker::runner::{Launched, Retry, Runner};

fn reason(facts: &EndFacts) -> (Option<Budget>, String) {
    match verdict(facts, &[]) {
        Verdict::Success => (None, "success".to_owned()),
        Verdict::Skipped => (None, "skipped".to_owned()),
        Verdict::Failed { budget, reason, .. } => (Some(budget), reason),
    }
}

fn ended(launched: Launched) -> EndFacts {
    match launched {
        Launched::Ended(facts) => *facts,
        Launched::Made(handle) => panic!("made {handle:?}"),
    }
}

/// An answer of a table.
type Says = fn() -> Answer;
/// A change of a pod of a table.
type Change = fn(&mut Value);
/// Who pays, the word for machines, and words for people.
type Means = (Budget, &'static str, &'static str);

/// A server that refuses every creation with this answer.
async fn refusing(answer: impl Fn() -> Answer + Send + Sync + 'static) -> updraft_kubernetes::KubernetesRunner {
    runner(move |asked| match asked {
        Asked::Create(_) => answer(),
        other => panic!("{other:?}"),
    })
    .await
}

#[tokio::test]
async fn what_passes_is_waited_for_as_long_as_the_server_asks() {
    let table: [(&str, Says, Option<Duration>); 8] = [
        ("full quota", || status(403, "Forbidden", "pods \"x\" is forbidden: exceeded quota: room"), None),
        ("quota is being counted", || status(409, "Conflict", "Operation cannot be fulfilled on resourcequotas \"room\""), None),
        (
            "asked for patience",
            || {
                Answer::Json(
                    429,
                    json!({"kind": "Status", "code": 429, "reason": "TooManyRequests", "message": "x",
            "details": {"retryAfterSeconds": 7}}),
                )
            },
            Some(Duration::from_secs(7)),
        ),
        ("internal error", || status(500, "InternalError", "etcdserver: leader changed"), None),
        ("a proxy's error", || Answer::Text(502, "<html>bad gateway</html>"), None),
        ("unavailable", || status(503, "ServiceUnavailable", "x"), None),
        ("token not known yet", || status(401, "Unauthorized", "x"), None),
        ("no reply", || Answer::Broken, None),
    ];
    for (what, answer, after) in table {
        let runner = refusing(answer).await;
        let (key, group, spec) = attempt();
        let error = runner.launch(scripted::assignment(key, group, &spec, None)).await.expect_err(what);
        let Retry::Wait(wait) = error.retry else { panic!("{what}: {error:?}") };
        assert!(after.is_none_or(|after| after == wait), "{what}: {wait:?}");
        assert_eq!(error.source.to_string().starts_with("quota: "), what == "full quota", "{what}: {}", error.source);
        // One try is one request: a POST is not repeated behind our back.
        assert_eq!(runner.calls().create, 1, "{what}");
    }
}

#[tokio::test]
async fn what_can_never_be_ends_and_the_right_one_pays() {
    let table: [(&str, Says, Means); 7] = [
        (
            "invalid",
            || status(422, "Invalid", "spec.containers[0].image: Required value"),
            (Budget::User, "cannot_start", "Required value"),
        ),
        ("not a pod", || status(400, "BadRequest", "cannot unmarshal number"), (Budget::User, "cannot_start", "unmarshal")),
        ("policy", || status(403, "Forbidden", "violates PodSecurity \"restricted\""), (Budget::User, "cannot_start", "PodSecurity")),
        (
            "quota that wants limits",
            || status(403, "Forbidden", "failed quota: room: must specify memory"),
            (Budget::User, "cannot_start", "must specify"),
        ),
        ("limits", || status(403, "Forbidden", "maximum cpu usage per Container is 1"), (Budget::User, "cannot_start", "maximum cpu")),
        (
            "no right",
            || status(403, "Forbidden", "User \"w\" cannot create resource \"pods\" in API group \"\""),
            (Budget::Infra, "never_started", "docs/kubernetes.md"),
        ),
        ("no namespace", || status(404, "NotFound", "namespaces \"tasks\" not found"), (Budget::Infra, "never_started", "--namespace")),
    ];
    for (what, answer, (budget, word, words)) in table {
        let runner = refusing(answer).await;
        let (key, group, spec) = attempt();
        let facts = ended(runner.launch(scripted::assignment(key, group, &spec, None)).await.expect(what));
        assert_eq!(reason(&facts), (Some(budget), word.to_owned()), "{what}: {facts:?}");
        let told = format!("{:?} {:?}", facts.spawn_error, facts.detail);
        assert!(told.contains(words), "{what}: {told}");
    }
}

#[tokio::test]
async fn a_reply_that_was_lost_is_found_again() {
    let made = Arc::new(std::sync::Mutex::new(None::<Value>));
    let server = Arc::clone(&made);
    let runner = runner(move |asked| {
        let mut made = server.lock().expect("not poisoned");
        match (asked, made.as_mut()) {
            (Asked::Create(mut pod), None) => {
                pod["metadata"]["uid"] = json!("u1");
                *made = Some(pod);
                Answer::Broken
            }
            (Asked::Create(_), Some(_)) => status(409, "AlreadyExists", "pods \"x\" already exists"),
            (Asked::Get(_), Some(pod)) => Answer::Json(200, pod.clone()),
            (other, _) => panic!("{other:?}"),
        }
    })
    .await;
    let (key, group, spec) = attempt();
    let assignment = scripted::assignment(key, group, &spec, None);
    assert!(matches!(runner.launch(assignment).await.expect_err("the reply is lost").retry, Retry::Wait(_)));
    let handle = runner.launch(assignment).await.expect("an answer").made().expect("a pod");
    assert_eq!((handle.id.as_str(), handle.found), ("u1", true));
}

/// A server where the name is taken by the pod that would be created, changed.
async fn occupied(change: impl Fn(&mut Value) + Send + Sync + 'static) -> updraft_kubernetes::KubernetesRunner {
    let pod = Arc::new(std::sync::Mutex::new(json!({})));
    runner(move |asked| {
        let mut pod = pod.lock().expect("not poisoned");
        match asked {
            Asked::Create(mut wanted) => {
                wanted["metadata"]["uid"] = json!("u1");
                change(&mut wanted);
                *pod = wanted;
                status(409, "AlreadyExists", "pods \"x\" already exists")
            }
            Asked::Get(_) => Answer::Json(200, pod.clone()),
            Asked::Patch(_, operations) => {
                assert_eq!(operations[0], json!({"op": "test", "path": "/metadata/uid", "value": "u1"}));
                Answer::Json(200, pod.clone())
            }
            Asked::Delete(_, options) => {
                assert_eq!(options["preconditions"]["uid"], "u1");
                Answer::Json(200, pod.clone())
            }
            other => panic!("{other:?}"),
        }
    })
    .await
}

#[tokio::test]
async fn only_this_attempt_s_own_pod_is_taken_for_it() {
    let foreign: [(&str, Change); 3] = [
        ("not ours", |pod| pod["metadata"]["annotations"] = json!({})),
        ("another attempt", |pod| pod["metadata"]["annotations"]["updraft.dev/attempt"] = json!("9/9/-1/9")),
        ("the same numbers, another command", |pod| pod["metadata"]["annotations"]["updraft.dev/spec-hash"] = json!("other")),
    ];
    for (what, change) in foreign {
        let runner = occupied(change).await;
        let (key, group, spec) = attempt();
        let facts = ended(runner.launch(scripted::assignment(key, group, &spec, None)).await.expect(what));
        assert_eq!(reason(&facts), (Some(Budget::Infra), "never_started".to_owned()), "{what}: {facts:?}");
        assert!(facts.detail.as_deref().is_some_and(|detail| detail.contains("delete it")), "{what}: {facts:?}");
        assert_eq!((runner.calls().patch, runner.calls().delete), (0, 0), "{what}: another's pod is left alone");
    }
}

#[tokio::test]
async fn a_pod_that_goes_is_waited_for_or_read() {
    let going = json!("2026-01-02T03:04:05Z");
    // Somebody else's: the name will be free.
    let time = going.clone();
    let runner = occupied(move |pod| {
        pod["metadata"]["annotations"] = json!({});
        pod["metadata"]["deletionTimestamp"] = time.clone();
    })
    .await;
    let (key, group, spec) = attempt();
    let assignment = scripted::assignment(key, group, &spec, None);
    assert!(matches!(runner.launch(assignment).await.expect_err("taken").retry, Retry::Wait(_)));
    assert_eq!(runner.calls().patch, 0);
    // This attempt's, never started: nothing but our finalizer holds it.
    let time = going.clone();
    let runner = occupied(move |pod| pod["metadata"]["deletionTimestamp"] = time.clone()).await;
    assert!(matches!(runner.launch(assignment).await.expect_err("taken").retry, Retry::Wait(_)));
    assert_eq!((runner.calls().patch, runner.calls().delete), (1, 0));
    // This attempt's, started: it may have run, and a second one must not.
    let runner = occupied(move |pod| {
        pod["metadata"]["deletionTimestamp"] = going.clone();
        pod["metadata"]["annotations"]["updraft.dev/opened"] = json!("2026-01-02T03:00:00Z");
    })
    .await;
    let handle = runner.launch(assignment).await.expect("an answer").made().expect("found");
    assert_eq!((handle.id.as_str(), handle.found), ("u1", true));
}

#[tokio::test]
async fn nothing_is_lost_while_the_server_does_not_answer() {
    let asked_for = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked_for);
    let runner = runner(move |asked| match asked {
        Asked::Get(_) => match count.fetch_add(1, Ordering::SeqCst) {
            0 | 3 => not_found(),
            1 => status(500, "InternalError", "x"),
            // A proxy knows nothing of pods.
            2 => Answer::Text(404, "no such page"),
            _ => panic!("it was certain by then"),
        },
        other => panic!("{other:?}"),
    })
    .await;
    let (key, group, spec) = attempt();
    // Bound, gone: not made again.
    let handle = runner.launch(scripted::assignment(key, group, &spec, Some("u1"))).await.expect("an answer").made().expect("a handle");
    assert_eq!((handle.id.as_str(), handle.found), ("u1", true));
    let facts = runner.wait(key).await;
    assert_eq!(reason(&facts), (Some(Budget::Infra), "lost".to_owned()), "{facts:?}");
    assert_eq!(asked_for.load(Ordering::SeqCst), 4);
    assert_eq!(runner.calls().create, 0);
}

#[tokio::test]
async fn another_pod_by_the_name_is_not_the_bound_one() {
    let runner = runner(|asked| match asked {
        Asked::Get(name) => Answer::Json(200, ended_pod(&name, "u2", 0)),
        other => panic!("{other:?}"),
    })
    .await;
    let (key, group, spec) = attempt();
    runner.launch(scripted::assignment(key, group, &spec, Some("u1"))).await.expect("an answer");
    let facts = runner.wait(key).await;
    assert_eq!(reason(&facts), (Some(Budget::Infra), "lost".to_owned()), "{facts:?}");
}

#[tokio::test]
async fn a_watch_that_is_too_old_starts_again_and_misses_nothing() {
    let pod = Arc::new(std::sync::Mutex::new(json!({})));
    let watches = Arc::new(AtomicUsize::new(0));
    let (server, count) = (Arc::clone(&pod), Arc::clone(&watches));
    let runner = watching(move |asked| {
        let mut pod = server.lock().expect("not poisoned");
        Some(match asked {
            Asked::Create(mut wanted) => {
                wanted["metadata"]["uid"] = json!("u1");
                *pod = wanted;
                Answer::Json(201, pod.clone())
            }
            Asked::Get(_) => Answer::Json(200, pod.clone()),
            Asked::Other(path) if path.contains("/events?") => {
                Answer::Json(200, json!({"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": []}))
            }
            Asked::Watch if count.fetch_add(1, Ordering::SeqCst) == 0 => {
                let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}});
                Answer::Json(200, gone)
            }
            Asked::Watch => return None,
            Asked::List => {
                // It has ended while nobody looked.
                if count.load(Ordering::SeqCst) > 0 {
                    pod["status"] = ended_pod("x", "u1", 4)["status"].clone();
                }
                Answer::Json(200, json!({"kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": [pod.clone()]}))
            }
            other => panic!("{other:?}"),
        })
    })
    .await;
    let (key, group, spec) = attempt();
    runner.launch(scripted::assignment(key, group, &spec, None)).await.expect("an answer").made().expect("a pod");
    let facts = tokio::time::timeout(Duration::from_secs(20), runner.wait(key)).await.expect("it is seen");
    assert_eq!(facts.exit_code, Some(4), "{facts:?}");
}

#[tokio::test]
async fn a_gate_that_is_open_is_not_opened_again() {
    let uid = Arc::new(std::sync::Mutex::new("u1".to_owned()));
    let now = Arc::clone(&uid);
    let runner = runner(move |asked| match asked {
        Asked::Create(mut wanted) => {
            wanted["metadata"]["uid"] = json!("u1");
            Answer::Json(201, wanted)
        }
        // A test of the patch failed.
        Asked::Patch(..) => status(422, "Invalid", "the server rejected our request due to an error in our request"),
        Asked::Get(name) => Answer::Json(200, ended_pod(&name, &now.lock().expect("not poisoned"), 0)),
        other => panic!("{other:?}"),
    })
    .await;
    let (key, group, spec) = attempt();
    let assignment = scripted::assignment(key, group, &spec, None);
    runner.launch(assignment).await.expect("an answer");
    // Somebody opened it before.
    runner.start(assignment, "u1").await.expect("nothing to do");
    assert_eq!((runner.calls().patch, runner.calls().get), (1, 1));
    runner.start(assignment, "u1").await.expect("nothing to do");
    assert_eq!((runner.calls().patch, runner.calls().get), (1, 1), "it is known to be open");
    assert_eq!(reason(&runner.wait(key).await).1, "success");
}
