//! Creating the pod of an attempt, and opening its gate. Whoever does it, however often, after whatever lost reply: there is one pod (I2).
//!
//! ```text
//! bound before? ─► GET ─► that uid: go on with it.  Gone, another uid: it never comes again, `wait` says so
//! POST ─► 201 made
//!      ├► 409 ─► GET ─► this attempt, this spec: found.  Being deleted: wait for the name.  Somebody else's: the end, says whose
//!      ├► quota, 429, 5xx, silence: nothing is known or nothing is free, again later
//!      └► will never do: the end. What the task asks for is its author's mistake, what the worker may not do is the installation's
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tracing::{debug, warn};
use updraft_model::{AttemptKey, EndFacts};
use updraft_worker::runner::{Assignment, Handle, LaunchError, Launched, Retry};

use crate::entry::Entry;
use crate::errors::Fault;
use crate::facts::one_line;
use crate::marks::{Gate, StopNote, Why};
use crate::pod::{self, Built};
use crate::seen::{Seen, SlimPod};
use crate::{Inner, end, gate, wait};

/// Pause before a name that will be free is tried again.
const NAME_TAKEN: Duration = Duration::from_secs(1);
/// Pause before a full quota is tried again.
const QUOTA: Duration = Duration::from_secs(10);

/// Makes the pod, or finds it.
pub(crate) async fn launch(inner: &Arc<Inner>, assignment: Assignment<'_>) -> Result<Launched, LaunchError> {
    let Assignment { key, group, bound, spec } = assignment;
    if let Some(uid) = bound {
        return again(inner, assignment, uid).await;
    }
    let built = match pod::build(&inner.config, &inner.namespace, inner.gate, key, group, spec) {
        Ok(built) => built,
        Err(mistake) => return Ok(ended(EndFacts { spawn_error: Some(mistake.to_string()), ..EndFacts::default() })),
    };
    // Known before it is created: its first event may overtake the reply.
    let entry = inner.enter(key, || Entry::new(key, group, built.namespace.clone(), built.name.clone(), built.plan.clone()));
    let answer = match inner.cluster.create(&built.namespace, &built.pod).await {
        Ok(pod) => Ok(made(&entry, &pod, false)),
        Err(Fault::Exists(_)) => taken(inner, &entry, &built).await,
        Err(fault) => refused(&built, fault),
    };
    if let Ok(Launched::Ended(_)) = &answer {
        inner.registry.remove(key);
    }
    answer
}

fn made(entry: &Entry, pod: &SlimPod, found: bool) -> Launched {
    entry.bind(pod.uid());
    entry.absorb(pod);
    Launched::Made(Handle { id: pod.uid().to_owned(), found })
}

/// An attempt whose pod the store knows: that one or none.
async fn again(inner: &Arc<Inner>, assignment: Assignment<'_>, uid: &str) -> Result<Launched, LaunchError> {
    let Assignment { key, group, spec, .. } = assignment;
    // Where it was created, whatever the settings say by now.
    let wanted = spec.pod.as_ref().and_then(|pod| pod.get("namespace")).and_then(serde_json::Value::as_str);
    let namespace = wanted.filter(|text| !text.is_empty()).unwrap_or(&inner.namespace).to_owned();
    let name = pod::name(&inner.config, key, spec);
    let found = inner.cluster.get(&namespace, &name).await.map_err(|fault| later(format!("reading pod {namespace}/{name}"), fault))?;
    let found = found.filter(|pod| pod.uid() == uid);
    let entry = inner.enter(key, || {
        let plan = found.as_ref().and_then(SlimPod::plan).unwrap_or_else(|| pod::plan(&inner.config, spec, inner.gate));
        Entry::new(key, group, namespace, name, plan)
    });
    entry.bind(uid);
    match found {
        Some(pod) => entry.absorb(&pod),
        None => entry.doubt(),
    }
    Ok(Launched::Made(Handle { id: uid.to_owned(), found: true }))
}

/// The name is taken: by this attempt, as a rule.
async fn taken(inner: &Arc<Inner>, entry: &Entry, built: &Built) -> Result<Launched, LaunchError> {
    let operation = format!("creating pod {}/{}", built.namespace, built.name);
    let found = inner.cluster.get(&built.namespace, &built.name).await.map_err(|fault| later(operation.clone(), fault))?;
    let Some(found) = found else { return Err(name_taken(operation, "it was removed in this moment")) };
    let seen = Seen::of(&found);
    let is_ours = found.attempt() == Some(entry.key) && found.spec_hash() == Some(&built.spec_hash);
    if is_ours && seen.deleting.is_none() {
        return Ok(made(entry, &found, true));
    }
    if is_ours {
        let opened = built.plan.gate == Gate::None || seen.opened.is_some() || !seen.gate_closed;
        if opened {
            // Its command may have run. Its end is evidence: bind it, and `wait` reads that.
            return Ok(made(entry, &found, true));
        }
        // It never ran. Only our finalizer holds it.
        if let Err(error) = end::discard(inner, entry.key, &built.namespace, &built.name, found.uid()).await {
            debug!(error = %error, pod = built.name, "cannot let go of a pod that was deleted before it started");
        }
        return Err(name_taken(operation, "a pod of this attempt was deleted before it started"));
    }
    if seen.deleting.is_some() {
        return Err(name_taken(operation, "another pod of this name is going"));
    }
    let detail = format!(
        "pod {}/{} exists and is not this attempt's ({}): delete it and clear the task",
        built.namespace,
        built.name,
        found.attempt().map_or_else(|| "not made by Updraft".to_owned(), |other| format!("it is {}", crate::name::attempt_text(other)))
    );
    warn!(pod = built.name, "{detail}");
    Ok(never_started(detail))
}

/// What an answer other than 201 and 409 means for the attempt.
fn refused(built: &Built, fault: Fault) -> Result<Launched, LaunchError> {
    let Built { namespace, name, .. } = built;
    match fault {
        Fault::NotFound(words) => Ok(never_started(format!(
            "namespace {namespace} cannot be used: create it, or name another by the task's namespace or --namespace: {words}"
        ))),
        Fault::Rights(words) => Ok(never_started(format!(
            "the worker may not create pods in namespace {namespace}: bind its service account to the Role of docs/kubernetes.md: {words}"
        ))),
        // The server's words name the field.
        Fault::Refused(words) => Ok(ended(EndFacts { spawn_error: Some(one_line(&words)), ..EndFacts::default() })),
        fault => Err(later(format!("creating pod {namespace}/{name}"), fault)),
    }
}

fn ended(facts: EndFacts) -> Launched {
    Launched::Ended(Box::new(facts))
}

fn never_started(detail: String) -> Launched {
    ended(EndFacts { cause: Some("never_started".to_owned()), detail: Some(one_line(&detail)), ..EndFacts::default() })
}

fn name_taken(operation: String, words: &'static str) -> LaunchError {
    let source = io::Error::new(io::ErrorKind::AlreadyExists, words);
    LaunchError { operation, remedy: "nothing to do: the name will be free", retry: Retry::Wait(NAME_TAKEN), source }
}

/// A fault that passes.
fn later(operation: String, fault: Fault) -> LaunchError {
    let (remedy, after) = match &fault {
        Fault::Quota(_) => ("raise the quota of the namespace, or wait until other pods have ended", QUOTA),
        Fault::Away { after, .. } => ("check that the API server can be reached and is well", *after),
        Fault::Rights(_) => ("bind the worker's service account to the Role of docs/kubernetes.md", QUOTA),
        _ => ("nothing to do: it is tried again", NAME_TAKEN),
    };
    LaunchError { operation, remedy, retry: Retry::Wait(after), source: fault.into() }
}

/// Opens the gate of a bound pod.
pub(crate) async fn start(inner: &Arc<Inner>, assignment: Assignment<'_>, uid: &str) -> Result<(), LaunchError> {
    let key: AttemptKey = assignment.key;
    let operation = || format!("starting attempt {} of run {}", key.attempt, key.instance.run);
    let Some(entry) = inner.find_watched(key).await.map_err(|fault| later(operation(), fault))? else { return Ok(()) };
    // The plan of the pod, not this worker's: whoever made it may have met an older server.
    if entry.plan.gate == Gate::None || entry.seen().is_some_and(|seen| seen.uid == uid && !seen.gate_closed) {
        return Ok(());
    }
    let operation = format!("starting pod {}/{}", entry.namespace, entry.name);
    let refusal = match inner.cluster.patch(&entry.namespace, &entry.name, gate::open_gate(&entry.plan, uid, Utc::now())).await {
        Ok(pod) => {
            entry.absorb(&pod);
            return Ok(());
        }
        Err(Fault::NotFound(_)) => {
            entry.doubt();
            return Ok(());
        }
        Err(fault @ (Fault::Refused(_) | Fault::Changed(_) | Fault::Rights(_))) => fault,
        Err(fault) => return Err(later(operation, fault)),
    };
    // A test of the patch failed: somebody opened it before, or it is another pod. Or the cluster refuses the real image.
    let there = wait::look(inner, &entry, uid).await.map_err(|fault| later(operation.clone(), fault))?;
    if !there {
        entry.doubt();
        return Ok(());
    }
    if entry.seen().is_none_or(|seen| !seen.gate_closed || seen.deleting.is_some()) {
        return Ok(());
    }
    let note = StopNote { why: Why::NeverStarted, detail: Some(one_line(&format!("its gate could not be opened: {refusal}"))) };
    end::end_pod(inner, &entry, note).await.map_err(|fault| later(operation.clone(), fault))?;
    Err(LaunchError {
        operation,
        remedy: "the worker needs the right to patch pods, and admission must let the image pass",
        retry: Retry::Never,
        source: refusal.into(),
    })
}
