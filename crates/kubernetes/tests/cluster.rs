//! The pod runner against a real cluster: `make test-cluster`, or `KUBECONFIG=… UPDRAFT_TEST_IMAGE=busybox:1 cargo nextest run -p
//! updraft-kubernetes --run-ignored only`. The image needs `sh` and must be on the node.
//!
//! What happened is asked of the cluster, never of the runner alone.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use support::{Attempt, Fleet, Shell, eventually, until_gone};
use updraft_model::end::Stopped;
use updraft_model::{Budget, Verdict, verdict};
use updraft_worker::runner::{Assignment, LogPosition, Outcome, Retry, Runner, StopError};

fn reason(facts: &updraft_model::EndFacts) -> (Option<Budget>, String) {
    match verdict(facts, &[]) {
        Verdict::Success => (None, "success".to_owned()),
        Verdict::Skipped => (None, "skipped".to_owned()),
        Verdict::Failed { budget, reason, .. } => (Some(budget), reason),
    }
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn an_attempt_runs_and_leaves_its_log_its_value_and_nothing_else() -> anyhow::Result<()> {
    let fleet = Fleet::new().await?;
    let runner = fleet.runner(|_| {}).await?;
    let mut attempt = Attempt::sh("echo one; echo two; echo \"$GREETING\"; echo '{\"rows\": 3}' > /airflow/xcom/return.json");
    attempt.spec.xcom = true;
    attempt.spec.env.insert("GREETING".to_owned(), "good morning".to_owned());
    let uid = attempt.launch(&runner).await?;
    runner.start(attempt.bound(&uid), &uid).await?;
    let facts = runner.wait(attempt.key).await;
    assert_eq!(reason(&facts), (None, "success".to_owned()), "{facts:?}");
    assert_eq!(facts.xcom, Some(Ok(json!({"rows": 3}))));
    assert!(facts.detail.as_deref().is_some_and(|detail| detail.starts_with("on node ")), "{facts:?}");
    assert_eq!(attempt.whole_log(&runner).await?, "one\ntwo\ngood morning\n");
    runner.release(attempt.key, Outcome::Good).await?;
    // What the API server is asked for is part of the promise: create, start, log, release, delete.
    let calls = runner.calls();
    assert_eq!((calls.create, calls.patch, calls.logs, calls.delete), (1, 2, 1, 1), "{calls:?}");
    assert_eq!(calls.total(), 5, "{calls:?}");
    until_gone(&fleet, &uid).await?;
    // Once more, by somebody who knows nothing: nothing to do.
    fleet.runner(|_| {}).await?.release(attempt.key, Outcome::Good).await?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_failure_is_the_command_s_own_and_an_end_for_want_of_memory_has_its_name() -> anyhow::Result<()> {
    let fleet = Fleet::new().await?;
    let runner = fleet.runner(|_| {}).await?;
    let plain = Attempt::sh("exit 7");
    let mut hungry = Attempt::sh("exec tail /dev/zero");
    hungry.pod(json!({"container_resources": {"limits": {"memory": "16Mi"}}}));
    let mut absent = Attempt::sh("");
    absent.spec.argv = vec!["/no/such/program".to_owned()];
    absent.spec.entrypoint_length = 1;
    let mut init = Attempt::sh("echo never");
    init.pod(json!({"init_containers": [{"name": "prepare", "image": support::image(), "command": ["sh", "-c", "exit 3"]}]}));
    for attempt in [&plain, &hungry, &absent, &init] {
        let uid = attempt.launch(&runner).await?;
        runner.start(attempt.bound(&uid), &uid).await?;
    }
    let facts = runner.wait(plain.key).await;
    assert_eq!((facts.exit_code, reason(&facts).0), (Some(7), Some(Budget::User)), "{facts:?}");
    let facts = runner.wait(hungry.key).await;
    assert_eq!(reason(&facts), (Some(Budget::User), "oom_killed".to_owned()), "{facts:?}");
    let facts = runner.wait(absent.key).await;
    assert_eq!(reason(&facts), (Some(Budget::User), "cannot_start".to_owned()), "{facts:?}");
    assert!(facts.spawn_error.as_deref().is_some_and(|error| error.contains("/no/such/program")), "{facts:?}");
    let facts = runner.wait(init.key).await;
    assert_eq!((facts.exit_code, reason(&facts).0), (Some(3), Some(Budget::User)), "{facts:?}");
    assert!(facts.detail.as_deref().is_some_and(|detail| detail.contains("prepare")), "{facts:?}");
    for attempt in [plain, hungry, absent, init] {
        runner.release(attempt.key, Outcome::Bad).await?;
    }
    assert_eq!(runner.present().await?, []);
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn no_container_of_a_pod_starts_before_the_gate_opens() -> anyhow::Result<()> {
    let fleet = Fleet::new().await?;
    let runner = fleet.runner(|_| {}).await?;
    let alone = Attempt::sh("true");
    let mut company = Attempt::sh("true");
    company.pod(json!({"full_pod_spec": {"spec": {"containers": [
        {"name": "base"}, {"name": "side", "image": support::image(), "command": ["sleep", "600"]},
    ]}}}));
    let mut prepared = Attempt::sh("true");
    prepared.pod(json!({"init_containers": [{"name": "prepare", "image": support::image(), "command": ["true"]}]}));
    let all = [alone, company, prepared];
    let mut uids = Vec::new();
    for attempt in &all {
        uids.push(attempt.launch(&runner).await?);
    }
    // Long enough for a container of this image to start, as the rest of the test shows.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for uid in &uids {
        assert!(!fleet.ever_started(uid).await?, "a container of {uid} started behind a closed gate");
    }
    for (attempt, uid) in all.iter().zip(&uids) {
        runner.start(attempt.bound(uid), uid).await?;
        // Twice, by another worker: nothing changes.
        runner.start(attempt.bound(uid), uid).await?;
        let facts = runner.wait(attempt.key).await;
        assert_eq!(reason(&facts), (None, "success".to_owned()), "{facts:?}");
        runner.release(attempt.key, Outcome::Good).await?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn two_workers_that_launch_one_attempt_make_one_pod() -> anyhow::Result<()> {
    let fleet = Fleet::new().await?;
    let (a, b) = (fleet.runner(|_| {}).await?, fleet.runner(|_| {}).await?);
    for _ in 0..5 {
        let attempt = Attempt::sh("true");
        let (one, other) = tokio::join!(a.launch(attempt.unbound()), b.launch(attempt.unbound()));
        let (one, other) = (support::made(one?)?, support::made(other?)?);
        assert_eq!(one.id, other.id);
        assert_eq!([one.found, other.found].iter().filter(|found| **found).count(), 1);
        let (started, too) = tokio::join!(a.start(attempt.bound(&one.id), &one.id), b.start(attempt.bound(&one.id), &one.id));
        started?;
        too?;
        let (facts, same) = tokio::join!(a.wait(attempt.key), b.wait(attempt.key));
        assert_eq!(facts, same);
        assert_eq!(reason(&facts).1, "success");
        let (gone, too) = tokio::join!(a.release(attempt.key, Outcome::Good), b.release(attempt.key, Outcome::Good));
        gone?;
        too?;
        until_gone(&fleet, &one.id).await?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn an_adopted_attempt_goes_on_and_no_line_of_its_log_is_lost_or_doubled() -> anyhow::Result<()> {
    let fleet = Fleet::new().await?;
    let attempt = Attempt::sh("i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i; [ $((i % 20)) = 0 ] && sleep 0.5; done");
    let (uid, mut log, mut at) = {
        let first = fleet.runner(|_| {}).await?;
        let uid = attempt.launch(&first).await?;
        first.start(attempt.bound(&uid), &uid).await?;
        let mut log = Vec::new();
        let mut at = LogPosition::default();
        // Small bites, so that positions within a second and within a line are met.
        while log.len() < 700 {
            let read = first.read_log(attempt.key, &at, 101).await?;
            log.extend(read.data);
            at = read.next;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (uid, log, at)
    };
    let second = fleet.runner(|_| {}).await?;
    let handle = support::made(second.launch(attempt.bound(&uid)).await?)?;
    assert!(handle.found);
    second.start(attempt.bound(&uid), &uid).await?;
    let facts = second.wait(attempt.key).await;
    assert_eq!(reason(&facts).1, "success");
    loop {
        let read = second.read_log(attempt.key, &at, 4096).await?;
        log.extend(read.data);
        at = read.next;
        if read.eof {
            break;
        }
    }
    let expected: String = (1..=400).map(|i| format!("line {i}\n")).collect();
    assert_eq!(String::from_utf8(log)?, expected);
    assert_eq!(at.offset, expected.len() as u64);
    second.release(attempt.key, Outcome::Good).await?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_log_comes_out_as_it_was_written_however_long_its_lines_are() -> anyhow::Result<()> {
    let fleet = Fleet::new().await?;
    let runner = fleet.runner(|_| {}).await?;
    // Lines of every awkward length around the runtime's 16 KiB pieces, a flood within one second, and an end without a line break.
    // The second at the end is for the runtime: containerd 1.6 throws away what it has not written when the process exits.
    let attempt = Attempt::sh(
        "line() { head -c $1 /dev/zero | tr '\\0' x; echo; }; for n in 0 1 16383 16384 16385 32768 100000 300000; do line $n; done; \
         seq 1 60000; printf end; sleep 1",
    );
    let uid = attempt.launch(&runner).await?;
    runner.start(attempt.bound(&uid), &uid).await?;
    let facts = runner.wait(attempt.key).await;
    assert_eq!(reason(&facts).1, "success", "{facts:?}");
    let log = attempt.whole_log(&runner).await?;
    let mut expected: String = [0, 1, 16383, 16384, 16385, 32768, 100_000, 300_000].map(|n| format!("{}\n", "x".repeat(n))).concat();
    expected.extend((1..=60_000).map(|i| format!("{i}\n")));
    expected.push_str("end");
    let same = log.bytes().zip(expected.bytes()).take_while(|(a, b)| a == b).count();
    let there = log[same..].chars().take(80).collect::<String>();
    assert!(
        log == expected || log == format!("{expected}\n"),
        "{} bytes instead of {}, other from {same} on: {there:?}",
        log.len(),
        expected.len()
    );
    runner.release(attempt.key, Outcome::Good).await?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn whoever_is_stopped_tells_why_and_with_what_code() -> anyhow::Result<()> {
    let fleet = Fleet::new().await?;
    let runner = fleet.runner(|_| {}).await?;
    let asleep = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done";
    let cancelled = Attempt::sh(asleep);
    let mut late = Attempt::sh(asleep);
    late.spec.timeout_ms = Some(1500);
    assert!(matches!(runner.stop(cancelled.key, Stopped::Cancelled).await, Err(StopError::NotLaunched)));
    for attempt in [&cancelled, &late] {
        let uid = attempt.launch(&runner).await?;
        runner.start(attempt.bound(&uid), &uid).await?;
        fleet.until_running(&uid).await?;
    }
    // Another worker may be told to stop it: it finds the pod.
    fleet.runner(|_| {}).await?.stop(cancelled.key, Stopped::Cancelled).await?;
    runner.stop(cancelled.key, Stopped::Disrupted).await?;
    let facts = runner.wait(cancelled.key).await;
    assert_eq!((facts.stopped, facts.exit_code), (Some(Stopped::Cancelled), Some(0)), "{facts:?}");
    let facts = runner.wait(late.key).await;
    assert_eq!((facts.stopped, facts.exit_code), (Some(Stopped::Timeout), Some(0)), "{facts:?}");
    for attempt in [cancelled, late] {
        // What has ended is not stopped a second time.
        runner.stop(attempt.key, Stopped::Disrupted).await?;
        runner.release(attempt.key, Outcome::Bad).await?;
    }
    assert_eq!(runner.present().await?, []);
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_pod_that_is_deleted_from_outside_was_no_success_and_keeps_its_exit_code() -> anyhow::Result<()> {
    let fleet = Fleet::new().await?;
    let runner = fleet.runner(|_| {}).await?;
    let old = runner.gate() == updraft_kubernetes::Gate::Image;
    let graceful = Attempt::sh("trap 'exit 0' TERM; while :; do sleep 0.1; done");
    let failing = Attempt::sh("trap 'exit 5' TERM; while :; do sleep 0.1; done");
    let mut deaf = Attempt::sh("trap '' TERM; while :; do sleep 0.1; done");
    deaf.pod(json!({"termination_grace_period": 1}));
    for (attempt, code) in [(&graceful, 0), (&failing, 5), (&deaf, 137)] {
        let uid = attempt.launch(&runner).await?;
        runner.start(attempt.bound(&uid), &uid).await?;
        fleet.until_running(&uid).await?;
        fleet.delete(&uid, None).await?;
        let facts = runner.wait(attempt.key).await;
        assert_eq!(facts.stopped, Some(Stopped::Disrupted), "{facts:?}");
        assert_eq!(reason(&facts), (Some(Budget::Infra), "disrupted".to_owned()));
        // A kubelet before 1.22 may throw the container away before it has told how it ended.
        assert!(facts.exit_code == Some(code) || facts.exit_code.is_none() && old, "{facts:?}");
        runner.release(attempt.key, Outcome::Bad).await?;
        until_gone(&fleet, &uid).await?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn evidence_waits_for_a_worker_that_is_not_there() -> anyhow::Result<()> {
    let fleet = Fleet::new().await?;
    let done = Attempt::sh("exit 0");
    let failed = Attempt::sh("exit 9");
    for (attempt, code) in [(&done, 0), (&failed, 9)] {
        let uid = {
            let runner = fleet.runner(|_| {}).await?;
            let uid = attempt.launch(&runner).await?;
            runner.start(attempt.bound(&uid), &uid).await?;
            uid
        };
        fleet.until_ended(&uid).await?;
        // Times on a node are whole seconds: what is deleted within the second of its end counts as taken away.
        tokio::time::sleep(Duration::from_secs(3)).await;
        fleet.delete(&uid, Some(0)).await?;
        let later = fleet.runner(|_| {}).await?;
        assert!(later.present().await?.contains(&attempt.key));
        support::made(later.launch(attempt.bound(&uid)).await?)?;
        let facts = later.wait(attempt.key).await;
        assert_eq!((facts.stopped, facts.exit_code), (None, Some(code)), "{facts:?}");
        later.release(attempt.key, Outcome::Good).await?;
        until_gone(&fleet, &uid).await?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_bound_pod_that_is_gone_is_lost_and_never_made_again() -> anyhow::Result<()> {
    let fleet = Fleet::new().await?;
    let attempt = Attempt::sh("sleep 600");
    let runner = fleet.runner(|_| {}).await?;
    let uid = attempt.launch(&runner).await?;
    runner.start(attempt.bound(&uid), &uid).await?;
    fleet.until_running(&uid).await?;
    fleet.tear_out(&uid).await?;
    let facts = runner.wait(attempt.key).await;
    assert_eq!(reason(&facts), (Some(Budget::Infra), "lost".to_owned()), "{facts:?}");
    assert_eq!(facts.cause, None);
    let later = fleet.runner(|_| {}).await?;
    assert_eq!(support::made(later.launch(attempt.bound(&uid)).await?)?.id, uid);
    let facts = later.wait(attempt.key).await;
    assert_eq!(reason(&facts), (Some(Budget::Infra), "lost".to_owned()), "{facts:?}");
    assert_eq!(later.calls().create, 0);
    later.release(attempt.key, Outcome::Bad).await?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn what_never_comes_up_is_given_up_with_the_cluster_s_words() -> anyhow::Result<()> {
    let fleet = Fleet::new().await?;
    let runner = fleet
        .runner(|config| {
            config.pull_grace = Duration::from_secs(2);
            // The kubelet of a busy node may need some tries to look for the Secret.
            config.startup_timeout = Duration::from_secs(120);
        })
        .await?;
    let mut news = runner.progress().expect("the first to ask");
    let mut unpullable = Attempt::sh("true");
    unpullable.spec.image = Some("localhost:1/no/such:image".to_owned());
    let mut nowhere = Attempt::sh("true");
    nowhere.pod(json!({"node_selector": {"no": "such-node"}, "startup_timeout_seconds": 2}));
    let mut homeless = Attempt::sh("true");
    homeless.pod(json!({"node_selector": {"no": "such-node"}, "schedule_timeout_seconds": 2}));
    let mut secretive = Attempt::sh("true");
    secretive.pod(json!({"env_from": [{"secretRef": {"name": "no-such-secret"}}]}));
    let table = [
        (&unpullable, "image_pull", "such"),
        (&nowhere, "never_started", "did not start within 2 s"),
        (&homeless, "never_started", "got no node within 2 s"),
        (&secretive, "never_started", "no-such-secret"),
    ];
    let mut patient = Attempt::sh("true");
    patient.pod(json!({"node_selector": {"no": "such-node"}}));
    for attempt in table.map(|(attempt, ..)| attempt).into_iter().chain([&patient]) {
        let uid = attempt.launch(&runner).await?;
        runner.start(attempt.bound(&uid), &uid).await?;
    }
    let mut told = BTreeSet::new();
    let ends = tokio::join!(runner.wait(unpullable.key), runner.wait(nowhere.key), runner.wait(homeless.key), runner.wait(secretive.key));
    for ((attempt, cause, words), facts) in table.into_iter().zip([ends.0, ends.1, ends.2, ends.3]) {
        assert_eq!(reason(&facts), (Some(Budget::Infra), cause.to_owned()), "{facts:?}");
        assert!(facts.detail.as_deref().is_some_and(|detail| detail.contains(words)), "{facts:?}");
        runner.release(attempt.key, Outcome::Bad).await?;
        while let Ok(progress) = news.try_recv() {
            if !progress.detail.is_empty() {
                told.insert(progress.key);
            }
        }
    }
    // The cluster's scheduler says in its own time that there is no node: those that had two seconds for one may have ended before.
    let heard = async {
        loop {
            let progress = news.recv().await.expect("the runner is there");
            if progress.key == patient.key && progress.detail.starts_with("Unschedulable: ") {
                break;
            }
        }
    };
    tokio::select! {
        facts = runner.wait(patient.key) => panic!("nobody was told why it waits: {facts:?}"),
        () = heard => {}
    }
    runner.stop(patient.key, Stopped::Cancelled).await?;
    runner.wait(patient.key).await;
    runner.release(patient.key, Outcome::Bad).await?;
    assert!(told.is_superset(&[unpullable.key, secretive.key].into()), "{told:?}");
    assert_eq!(runner.present().await?, []);
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_full_quota_is_waited_for_and_what_can_never_be_ends() -> anyhow::Result<()> {
    let fleet = Fleet::new().await?;
    let crowded = fleet.namespace_with_quota(0).await?;
    let runner = fleet.runner(|config| config.allowed_namespaces = [crowded.clone(), "no-such-namespace".to_owned()].into()).await?;
    let mut waiting = Attempt::sh("true");
    waiting.pod(json!({"namespace": crowded}));
    let refusal = runner.launch(waiting.unbound()).await.expect_err("there is no room");
    assert!(matches!(refusal.retry, Retry::Wait(_)), "{refusal:?}");
    assert!(refusal.source.to_string().starts_with("quota: "), "{}", refusal.source);
    fleet.set_quota(&crowded, 5).await?;
    let uid = eventually("room for the pod", || async { Ok(runner.launch(waiting.unbound()).await.ok()) }).await?;
    let uid = support::made(uid)?.id;
    runner.discard(waiting.bound(&uid), &uid).await?;
    until_gone(&fleet, &uid).await?;

    let mut nowhere = Attempt::sh("true");
    nowhere.pod(json!({"namespace": "no-such-namespace"}));
    let facts = support::ended(runner.launch(nowhere.unbound()).await?)?;
    assert_eq!(reason(&facts), (Some(Budget::Infra), "never_started".to_owned()));
    assert!(facts.detail.as_deref().is_some_and(|detail| detail.contains("no-such-namespace")), "{facts:?}");
    let mut closed = Attempt::sh("true");
    closed.pod(json!({"namespace": "kube-system"}));
    let facts = support::ended(runner.launch(closed.unbound()).await?)?;
    assert!(facts.spawn_error.as_deref().is_some_and(|error| error.contains("--allowed-namespaces")), "{facts:?}");
    let mut invalid = Attempt::sh("true");
    invalid.pod(json!({"container_resources": {"limits": {"memory": "much"}}}));
    let facts = support::ended(runner.launch(invalid.unbound()).await?)?;
    assert_eq!(reason(&facts), (Some(Budget::User), "cannot_start".to_owned()), "{facts:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_pod_is_kept_when_its_task_says_so_and_the_sweeper_hears_of_it_no_more() -> anyhow::Result<()> {
    let fleet = Fleet::new().await?;
    let runner = fleet.runner(|_| {}).await?;
    let mut attempt = Attempt::sh("true");
    attempt.pod(json!({"on_finish_action": "keep_pod"}));
    let uid = attempt.launch(&runner).await?;
    assert_eq!(runner.present().await?, [attempt.key]);
    runner.start(attempt.bound(&uid), &uid).await?;
    // What runs is not let go of.
    runner.wait(attempt.key).await;
    runner.release(attempt.key, Outcome::Good).await?;
    assert_eq!(runner.present().await?, []);
    let pod = fleet.pod(&uid).await?.expect("it was kept");
    assert_eq!(pod.metadata.finalizers, None);
    // A worker that slept through all of it makes no second pod, and the kept one survives its clearing up.
    let late = fleet.runner(|_| {}).await?;
    let handle = support::made(late.launch(attempt.unbound()).await?)?;
    assert_eq!((handle.id.as_str(), handle.found), (uid.as_str(), true));
    late.discard(attempt.unbound(), &uid).await?;
    assert!(fleet.pod(&uid).await?.is_some());
    fleet.delete(&uid, Some(0)).await?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn attempts_of_a_group_share_a_watch_which_ends_with_them() -> anyhow::Result<()> {
    let fleet = Fleet::new().await?;
    let runner = fleet.runner(|config| config.relist_every = Duration::from_millis(200)).await?;
    let group = uuid::Uuid::now_v7();
    let attempts: Vec<Attempt> = (0..4)
        .map(|_| {
            let mut attempt = Attempt::sh("true");
            attempt.group = group;
            attempt
        })
        .collect();
    for attempt in &attempts {
        let uid = attempt.launch(&runner).await?;
        runner.start(attempt.bound(&uid), &uid).await?;
    }
    assert_eq!(runner.watches(), 1);
    for attempt in &attempts {
        assert_eq!(reason(&runner.wait(attempt.key).await).1, "success");
        runner.release(attempt.key, Outcome::Good).await?;
    }
    eventually("the watch ended", || async { Ok((runner.watches() == 0).then_some(())) }).await?;
    Ok(())
}

#[test]
fn an_attempt_of_these_tests_is_what_it_seems() {
    let attempt = Attempt::sh("true");
    let Assignment { bound, spec, .. } = attempt.unbound();
    assert_eq!((bound, spec.argv[0].as_str()), (None, Shell::PROGRAM));
}
