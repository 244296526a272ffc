//! What a pod's state says about the end of its attempt. Pure, and the only place that decides it.
//!
//! Success needs exit 0 *and* no sign that somebody took the pod away (H2): a program that handles SIGTERM exits 0 in the middle of its
//! work. The base container decides, sidecars do not.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::Value;
use updraft_model::EndFacts;
use updraft_model::end::Stopped;

use crate::marks::{Plan, Why};
use crate::seen::{Container, Exit, Phase, Seen};

/// Longest text from the cluster in a detail.
const MAX_DETAIL: usize = 1024;
/// The kubelet hands back this much of a termination message: the *last* bytes, without a word.
const XCOM_LIMIT: usize = 4096;
/// Times of containers are those of the node, in whole seconds.
const CLOCK_SLACK: TimeDelta = TimeDelta::seconds(1);
/// How long a container that was about to start may still turn up after its pod was removed.
const START_SETTLES: Duration = Duration::from_secs(3);

/// What a look at a pod says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Judged {
    /// It has not ended.
    Lives,
    /// It has, and this is known of it.
    Ended(Box<EndFacts>),
    /// It was removed, and if nothing more is heard for this long, nothing will be.
    Settles(Duration, Box<EndFacts>),
}

/// Judges a pod. `node_grace` is how long a node may take to say how a container ended whose pod was removed by force.
pub(crate) fn judge(seen: &Seen, plan: &Plan, node_grace: Duration) -> Judged {
    if let Container::Ended(exit) = &seen.base {
        return Judged::Ended(Box::new(ended(seen, plan, Some(exit))));
    }
    if seen.phase == Phase::Over {
        return Judged::Ended(Box::new(ended(seen, plan, None)));
    }
    let Some(deleting) = seen.deleting else { return Judged::Lives };
    if !deleting.final_ {
        return Judged::Lives;
    }
    let facts = Box::new(ended(seen, plan, None));
    match (&seen.base, &seen.node) {
        // A pod that is being deleted is not given to a node any more.
        (_, None) => Judged::Ended(facts),
        (Container::Running { .. }, Some(_)) => Judged::Settles(node_grace, facts),
        (_, Some(_)) => Judged::Settles(START_SETTLES, facts),
    }
}

fn ended(seen: &Seen, plan: &Plan, exit: Option<&Exit>) -> EndFacts {
    // An exit that the kubelet made up because it lost the container is none.
    let exit = exit.filter(|exit| !exit.is_unknown());
    let mut facts = EndFacts { node: seen.node.clone(), detail: detail(seen, exit), ..EndFacts::default() };
    if let Some(exit) = exit {
        facts.started_at = exit.started;
        facts.ended_at = exit.ended;
        facts.signal = exit.signal;
        if cannot_start(exit) {
            facts.started_at = None;
            facts.spawn_error = Some(one_line(if exit.message.is_empty() { &exit.reason } else { &exit.message }));
        } else {
            facts.exit_code = Some(exit.code);
            // The kernel may have killed a child of a command that went on and ended well.
            facts.oom_killed = exit.reason == "OOMKilled" && exit.code != 0;
            if plan.xcom && exit.code == 0 && !exit.message.is_empty() {
                facts.xcom = Some(xcom(&exit.message));
            }
        }
    } else if let Some((name, Container::Ended(exit))) = &seen.init {
        facts.started_at = exit.started;
        facts.ended_at = exit.ended;
        facts.exit_code = Some(exit.code);
        facts.oom_killed = exit.reason == "OOMKilled";
        facts.detail = Some(format!("the init container {name} failed, {}", detail(seen, Some(exit)).unwrap_or_default()));
    } else if let Container::Running { since } = &seen.base {
        facts.started_at = *since;
    }
    taken_away(seen, &mut facts);
    if facts.stopped.is_none() && facts.exit_code.is_none() && facts.spawn_error.is_none() && facts.signal.is_none() {
        facts.cause = facts.cause.or_else(|| (!seen.started()).then(|| "never_started".to_owned()));
    }
    facts
}

/// Who ended it, if not itself.
fn taken_away(seen: &Seen, facts: &mut EndFacts) {
    let before_the_end = |deleting: crate::seen::Deleting| facts.ended_at.is_none_or(|end| end >= deleting.requested - CLOCK_SLACK);
    let deleted = seen.deleting.is_some_and(before_the_end);
    if deleted && let Some(note) = &seen.stop {
        let (stopped, cause) = match note.why {
            Why::Timeout => (Some(Stopped::Timeout), None),
            Why::Cancelled => (Some(Stopped::Cancelled), None),
            Why::Disrupted => (Some(Stopped::Disrupted), None),
            // It came up in the very moment that it was given up.
            Why::NeverStarted => (seen.started().then_some(Stopped::Disrupted), Some("never_started")),
            Why::ImagePull => (seen.started().then_some(Stopped::Disrupted), Some("image_pull")),
        };
        facts.stopped = stopped;
        facts.cause = cause.map(str::to_owned);
        facts.detail = note.detail.clone().or_else(|| facts.detail.take());
        return;
    }
    if seen.reason.as_deref() == Some("DeadlineExceeded") {
        facts.stopped = Some(Stopped::Timeout);
        return;
    }
    let (cause, why) = if let Some(cause) = seen.reason.as_deref().and_then(cause_of_reason) {
        (cause, None)
    } else if let Some((reason, message)) = &seen.disruption {
        (cause_of_condition(reason), Some(format!("{reason}: {message}")))
    } else if deleted {
        let by_force = seen.deleting.is_some_and(|deleting| deleting.final_) && matches!(seen.base, Container::Running { .. });
        let why = if by_force {
            "the pod was removed by force and its node does not say how it ended"
        } else {
            "the pod was deleted from outside"
        };
        (if by_force { "node_lost" } else { "disrupted" }, Some(why.to_owned()))
    } else {
        return;
    };
    facts.stopped = Some(Stopped::Disrupted);
    facts.cause = (cause != "disrupted").then(|| cause.to_owned());
    if let Some(why) = why {
        facts.detail = Some(match facts.detail.take() {
            Some(detail) => format!("{}, {detail}", one_line(&why)),
            None => one_line(&why),
        });
    }
}

/// Words of `status.reason` that mean that the pod was taken away, or never let in.
fn cause_of_reason(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "Evicted" => "evicted",
        "Preempting" | "Preempted" => "preempted",
        "NodeLost" => "node_lost",
        "Shutdown" | "NodeShutdown" | "Terminated" => "disrupted",
        // The kubelet refused it: the node changed between the scheduler's look and its own.
        "UnexpectedAdmissionError" | "NodeAffinity" | "NodePorts" | "NodeName" | "TopologyAffinityError" => "never_started",
        other if other.starts_with("OutOf") => "never_started",
        _ => return None,
    })
}

/// Reasons of the condition `DisruptionTarget`.
fn cause_of_condition(reason: &str) -> &'static str {
    match reason {
        "PreemptionByScheduler" => "preempted",
        "EvictionByEvictionAPI" | "TerminationByKubelet" => "evicted",
        "DeletionByTaintManager" | "DeletionByPodGC" => "node_lost",
        _ => "disrupted",
    }
}

/// Whether the runtime could not even start the command: no such file, not executable.
fn cannot_start(exit: &Exit) -> bool {
    matches!(exit.reason.as_str(), "StartError" | "ContainerCannotRun")
}

/// The value in the termination message.
fn xcom(message: &str) -> Result<Value, String> {
    if message.len() >= XCOM_LIMIT {
        return Err(format!(
            "/airflow/xcom/return.json is longer than the {} bytes that Kubernetes hands back: write the value to a store of your own and \
             leave its address",
            XCOM_LIMIT - 1
        ));
    }
    serde_json::from_str(message).map_err(|error| format!("/airflow/xcom/return.json is not JSON: {error}"))
}

/// Where it ran and what was said about its end.
fn detail(seen: &Seen, exit: Option<&Exit>) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(reason) = &seen.reason {
        parts.push(match &seen.message {
            Some(message) => format!("{reason}: {}", one_line(message)),
            None => reason.clone(),
        });
    }
    if let Some(exit) = exit.filter(|exit| exit.code != 0) {
        if !matches!(exit.reason.as_str(), "" | "Error") {
            parts.push(exit.reason.clone());
        }
        if !exit.message.is_empty() {
            parts.push(one_line(&exit.message));
        }
    }
    if let Some(node) = &seen.node {
        parts.push(format!("on node {node}"));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// A text of the cluster as one line of bounded length.
pub(crate) fn one_line(text: &str) -> String {
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > MAX_DETAIL {
        let end = (0..=MAX_DETAIL).rev().find(|&at| line.is_char_boundary(at)).unwrap_or(0);
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Why a pod does not come up, when waiting will hardly help: the cause and what the kubelet says.
pub(crate) fn trouble(seen: &Seen) -> Option<(Why, String)> {
    if seen.gate_closed || seen.started() {
        return None;
    }
    let (reason, message) = match (&seen.init, &seen.base) {
        (Some((_, Container::Waiting { reason, message })), _) | (_, Container::Waiting { reason, message }) => (reason, message),
        _ => return None,
    };
    let why = match reason.as_str() {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError" | "RegistryUnavailable" => {
            Why::ImagePull
        }
        // The kubelet waits one second for its first look at a Secret or ConfigMap and then says this, whether there is one or not: a slow
        // API server, and no reason to give up. Its next try, some ten seconds on, finds the thing or says "not found".
        "CreateContainerConfigError" if message.starts_with("failed to sync ") && message.contains("cache") => return None,
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => Why::NeverStarted,
        _ => return None,
    };
    Some((why, one_line(&format!("{reason}: {message}"))))
}

#[cfg(test)]
mod tests;
