//! The span of an attempt, made once its end is written. `docs/traces.md` has the protocol.

use chrono::Utc;
use updraft_model::Verdict;
use updraft_store::Finished;
use updraft_store::read::traces::AttemptOver;
use updraft_telemetry::traces::{AttemptSpan, Context, tracer};

use crate::Shared;
use crate::runner::{Assignment, Runner};

/// Exports the span of an attempt that this worker has written the end of, and of which `state` is the instance's state since.
pub(crate) fn ended<R: Runner>(shared: &Shared<R>, end: &Finished, state: &str) {
    let (reason, budget) = match end.verdict() {
        Verdict::Success | Verdict::Skipped => (None, None),
        Verdict::Failed { budget, reason, .. } => (Some(reason.clone()), Some(budget.as_str().to_owned())),
    };
    let ended_at = end.evidence().facts.ended_at.unwrap_or_else(Utc::now);
    export(shared, end, &AttemptOver { state: state.to_owned(), reason, budget, ended_at });
}

/// The same, where the end had been written before: by this worker, which did not hear the answer, or by another one, which may have died since.
/// It is the database that says how it ended.
pub(crate) async fn ended_before<R: Runner>(shared: &Shared<R>, end: &Finished) {
    if run_of(end).is_none() {
        return;
    }
    match shared.store.attempt_over(end.key()).await {
        Ok(Some(mut over)) => {
            // It has a reason when it was skipped, too.
            over.reason = over.reason.filter(|_| matches!(over.state.as_str(), "failed" | "up_for_retry"));
            export(shared, end, &over);
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(error = %error, key = ?end.key(), "the span of an attempt is lost: its end cannot be read"),
    }
}

/// The run's span, where there is one to be the parent of the attempt's.
fn run_of(end: &Finished) -> Option<Context> {
    tracer()?;
    Context::from_carrier(&end.attempt().notes().trace.as_ref()?.run).filter(Context::is_sampled)
}

fn export<R: Runner>(shared: &Shared<R>, end: &Finished, over: &AttemptOver) {
    let (Some(tracer), Some(run), Some(notes)) = (tracer(), run_of(end), &end.attempt().notes().trace) else { return };
    let attempt = end.attempt();
    let (key, launch, evidence) = (attempt.key(), attempt.launch(), end.evidence());
    let assignment = Assignment { key, group: attempt.group(), bound: attempt.bound(), spec: launch };
    let object_name = shared.runner.object_name(assignment);
    let is_pod = object_name.is_some();
    // Only of a pod that was bound is it known that it was there.
    let (pod_name, pod_uid) = (object_name.filter(|_| evidence.handle.is_some()), evidence.handle.as_deref().filter(|_| is_pod));
    let host = evidence.host.as_deref();
    tracer.attempt_ended(&AttemptSpan {
        run: &run,
        key: (key.instance.idx, key.instance.map_index, key.attempt),
        dag_id: &launch.dag_id,
        run_id: &launch.run_id,
        task_id: &launch.task_id,
        try_number: launch.try_number,
        state: &over.state,
        reason: over.reason.as_deref(),
        budget: over.budget.as_deref(),
        queue: &notes.queue,
        pool: &notes.pool,
        runner: &evidence.runner,
        pod_name: pod_name.as_deref(),
        pod_uid,
        // Where no node was seen, the cluster's name stands in its place.
        node: host.filter(|host| is_pod && *host != shared.runner.host()),
        // The rest of it tells boots and folders apart.
        host: host.filter(|_| !is_pod).and_then(|host| host.split('/').next()),
        exit_code: evidence.facts.exit_code,
        scheduled_at: attempt.notes().scheduled_at,
        queued_at: attempt.queued_at(),
        claimed_at: attempt.started_at(),
        started_at: evidence.facts.started_at,
        ended_at: over.ended_at,
    });
}
