//! Ending pods and letting go of them: stop, release, discard, and the list that the sweeper asks for.
//!
//! Every delete names the uid that it means, and our finalizer keeps the object until its end is in the store: whoever deletes a pod, how
//! it ended can still be read.

use std::io;
use std::sync::Arc;

use serde_json::{Value, json};
use updraft_model::AttemptKey;
use updraft_model::dag::OnFinishAction;
use updraft_model::end::Stopped;
use updraft_worker::runner::{Outcome, StopError};

use crate::Inner;
use crate::entry::Entry;
use crate::errors::Fault;
use crate::facts::{Judged, judge};
use crate::gate::escape;
use crate::marks::{FINALIZER, INSTALLATION, KEPT, STOP, StopNote, Why};
use crate::seen::{Container, Phase, Seen};

/// Tries of a patch whose object changes under it.
const TRIES: u32 = 4;

/// Asks for the end of an attempt.
pub(crate) async fn stop(inner: &Arc<Inner>, key: AttemptKey, why: Stopped) -> Result<(), StopError> {
    let failed = |name: String| move |fault: Fault| StopError::Object { object: name, source: fault.into() };
    let entry = inner.find(key).await.map_err(failed(format!("the pod of attempt {} of run {}", key.attempt, key.instance.run)))?;
    let Some(entry) = entry.filter(|entry| entry.uid().is_some()) else { return Err(StopError::NotLaunched) };
    let why = match why {
        Stopped::Timeout => Why::Timeout,
        Stopped::Cancelled => Why::Cancelled,
        Stopped::Disrupted => Why::Disrupted,
    };
    let name = format!("pod {}/{}", entry.namespace, entry.name);
    end_pod(inner, &entry, StopNote { why, detail: None }).await.map_err(failed(name))
}

/// Writes down why, then deletes. The first reason stays. What has ended, or is gone, is left as it is.
pub(crate) async fn end_pod(inner: &Inner, entry: &Entry, note: StopNote) -> Result<(), Fault> {
    let Some(uid) = entry.uid() else { return Ok(()) };
    let seen = entry.seen();
    if let Some(seen) = &seen {
        if matches!(judge(seen, &entry.plan, inner.config.node_grace), Judged::Ended(_)) {
            return Ok(());
        }
        if seen.deleting.is_some() && seen.stop.is_some() {
            return Ok(());
        }
    }
    // One that never ran has nothing to finish. Not 0: then the object would say that it is gone before the node has heard of it.
    let grace = seen.as_ref().is_some_and(|seen| !seen.started()).then_some(1);
    if seen.is_none_or(|seen| seen.stop.is_none()) {
        let note = serde_json::to_string(&note).unwrap_or_default();
        let patch = json!([
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": format!("/metadata/annotations/{}", escape(STOP)), "value": note},
        ]);
        match inner.cluster.patch(&entry.namespace, &entry.name, patch).await {
            Ok(pod) => entry.absorb(&pod),
            Err(fault) if fault.is_gone() => {
                entry.doubt();
                return Ok(());
            }
            // Another pod by this name, or somebody took our annotations away: the delete below asks for the uid.
            Err(Fault::Refused(_)) => {}
            Err(fault) => return Err(fault),
        }
    }
    inner.cluster.delete(&entry.namespace, &entry.name, &uid, grace).await
}

/// Lets go of an ended attempt.
pub(crate) async fn release(inner: &Arc<Inner>, key: AttemptKey, outcome: Outcome) -> io::Result<()> {
    let Some(entry) = inner.find(key).await? else { return Ok(()) };
    let Some(uid) = entry.uid() else {
        inner.registry.remove(key);
        return Ok(());
    };
    for _ in 0..TRIES {
        let Some(seen) = entry.seen() else {
            if !crate::wait::look(inner, &entry, &uid).await? {
                break;
            }
            continue;
        };
        if runs(&seen) {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("pod {}/{} still runs", entry.namespace, entry.name)));
        }
        let delete = match entry.plan.on_finish {
            OnFinishAction::DeletePod => true,
            OnFinishAction::KeepPod => false,
            OnFinishAction::DeleteSucceededPod => outcome == Outcome::Good,
            OnFinishAction::DeleteActivePod => seen.phase != Phase::Over,
        };
        if let_go(inner, &entry, &seen, &uid, !delete).await? {
            if delete && seen.deleting.is_none() {
                // What never ran has nothing to finish, and a kubelet of before 1.22 takes a minute to say so of a pod behind the image gate.
                let grace = if seen.gate_closed { Some(0) } else { (!seen.started()).then_some(1) };
                inner.cluster.delete(&entry.namespace, &entry.name, &uid, grace).await?;
            }
            break;
        }
    }
    inner.registry.remove(key);
    Ok(())
}

/// Whether its command runs. A command behind a closed gate does not, and never will.
fn runs(seen: &Seen) -> bool {
    matches!(seen.base, Container::Running { .. }) && seen.phase != Phase::Over && !seen.deleting.is_some_and(|deleting| deleting.final_)
}

/// Takes our finalizer off the pod of that uid; of one that stays, the sweeper's label too. `false`: it changed meanwhile, look again.
async fn let_go(inner: &Inner, entry: &Entry, seen: &Seen, uid: &str, keep: bool) -> Result<bool, Fault> {
    let mut patch = vec![json!({"op": "test", "path": "/metadata/uid", "value": uid})];
    if let Some(at) = seen.finalizer {
        let path = format!("/metadata/finalizers/{at}");
        patch.push(json!({"op": "test", "path": path, "value": FINALIZER}));
        patch.push(json!({"op": "remove", "path": path}));
    }
    if keep && !seen.kept {
        patch.push(json!({"op": "add", "path": format!("/metadata/labels/{}", escape(KEPT)), "value": "true"}));
    }
    if patch.len() == 1 {
        return Ok(true);
    }
    match inner.cluster.patch(&entry.namespace, &entry.name, Value::Array(patch)).await {
        Ok(_) => Ok(true),
        Err(Fault::NotFound(_)) => Ok(true),
        // A test failed: another uid, or the list of finalizers moved.
        Err(Fault::Refused(_) | Fault::Changed(_)) => match inner.cluster.get(&entry.namespace, &entry.name).await? {
            Some(pod) if pod.uid() == uid => {
                entry.absorb(&pod);
                Ok(false)
            }
            _ => Ok(true),
        },
        Err(fault) => Err(fault),
    }
}

/// Removes the pod of that uid, which never started.
pub(crate) async fn discard(inner: &Arc<Inner>, key: AttemptKey, namespace: &str, name: &str, uid: &str) -> io::Result<()> {
    for _ in 0..TRIES {
        let Some(pod) = inner.cluster.get(namespace, name).await? else { break };
        // It stays as evidence of an attempt that ended long ago, or is not the one that was meant.
        if pod.uid() != uid || Seen::of(&pod).kept {
            break;
        }
        let Some(entry) = Entry::of(&pod) else { break };
        let seen = Seen::of(&pod);
        if let_go(inner, &entry, &seen, uid, false).await? {
            if seen.deleting.is_none() {
                inner.cluster.delete(namespace, name, uid, Some(0)).await?;
            }
            break;
        }
    }
    if inner.registry.get(key).is_some_and(|entry| entry.uid().is_none_or(|known| known == uid)) {
        inner.registry.remove(key);
    }
    Ok(())
}

/// The attempts whose pods wait to be let go of.
pub(crate) async fn present(inner: &Arc<Inner>) -> io::Result<Vec<AttemptKey>> {
    let selector = format!("{INSTALLATION}={},!{KEPT}", inner.config.installation);
    let mut keys = Vec::new();
    for namespace in inner.namespaces() {
        inner
            .cluster
            .list(&namespace, &selector, |pod| {
                let seen = Seen::of(&pod);
                // One that is deleted and not held by us goes by itself.
                if seen.finalizer.is_some() || seen.deleting.is_none() {
                    keys.extend(pod.attempt());
                }
            })
            .await?;
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}
