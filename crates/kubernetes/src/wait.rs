//! Waiting for the end of an attempt, and minding the clocks meanwhile: the start, the image, the timeout.
//!
//! ```text
//! news ─► judge ─► ended ─────────────────────────────► facts
//!   ▲        ├ lives   what is overdue? note it on the pod, delete the pod, go on waiting for its end
//!   │        └ settles removed, but its node may still speak: after a while a last look
//!   └ doubt ─► read by name ─► there: go on        gone, or another uid: lost
//!                           └► no answer: nothing is known, ask again
//! ```

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tracing::{debug, info};
use updraft_model::{AttemptKey, EndFacts};
use updraft_worker::runner::Progress;

use crate::entry::Entry;
use crate::errors::Fault;
use crate::facts::{Judged, judge, one_line, trouble};
use crate::marks::{Gate, StopNote, Why};
use crate::seen::{Container, Phase, Seen};
use crate::{Inner, end, record};

/// Pause after a call that failed.
const AGAIN: Duration = Duration::from_secs(2);
/// How long a pod may say nothing of why it does not start before its events are read, and how often then.
const EVENTS_AFTER: Duration = Duration::from_secs(10);
const EVENTS_EVERY: Duration = Duration::from_secs(30);

/// Resolves when the attempt has ended.
pub(crate) async fn wait(inner: &Arc<Inner>, key: AttemptKey) -> EndFacts {
    let mut facts = end_of(inner, key).await;
    let is_well = facts.exit_code == Some(0) && facts.stopped.is_none();
    // Of a pod that is gone nothing is left to be kept.
    let is_gone = facts == EndFacts { detail: facts.detail.clone(), ..EndFacts::default() };
    if !is_well
        && !is_gone
        && let Some(entry) = inner.registry.get(key)
    {
        facts.pod = record::of(inner, &entry).await;
    }
    facts
}

async fn end_of(inner: &Arc<Inner>, key: AttemptKey) -> EndFacts {
    let entry = loop {
        match inner.find_watched(key).await {
            Ok(Some(entry)) => break entry,
            Ok(None) => return lost("no pod was made for it"),
            Err(fault) => patience(&fault, key).await,
        }
    };
    let _waits = entry.waits();
    let Some(uid) = entry.uid() else { return lost("no pod was made for it") };
    let mut news = entry.view();
    let mut doubts = 0;
    let mut clocks = Clocks::default();
    loop {
        let view = news.borrow_and_update().clone();
        if view.doubt != doubts || view.seen.is_none() {
            match look(inner, &entry, &uid).await {
                Ok(true) => doubts = view.doubt,
                Ok(false) => return gone(&entry, &uid),
                Err(fault) => patience(&fault, key).await,
            }
            continue;
        }
        let Some(seen) = view.seen else { continue };
        let judged = judge(&seen, &entry.plan, inner.config.node_grace);
        let next = match judged {
            Judged::Ended(facts) => return *facts,
            Judged::Settles(after, facts) => {
                let since = *clocks.settles.get_or_insert_with(Instant::now);
                if since.elapsed() >= after {
                    match look(inner, &entry, &uid).await {
                        Ok(false) => return gone(&entry, &uid),
                        Ok(true) if entry.seen().is_some_and(|now| *now == *seen) => return *facts,
                        Ok(true) => {}
                        Err(fault) => patience(&fault, key).await,
                    }
                    continue;
                }
                since + after
            }
            Judged::Lives => {
                clocks.settles = None;
                mind(inner, &entry, &seen, &mut clocks).await
            }
        };
        tokio::select! {
            _ = news.changed() => {}
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

/// Reads the pod by name. Whether it is still the one.
pub(crate) async fn look(inner: &Inner, entry: &Entry, uid: &str) -> Result<bool, Fault> {
    match inner.cluster.get(&entry.namespace, &entry.name).await? {
        Some(pod) if pod.uid() == uid => {
            entry.absorb(&pod);
            Ok(true)
        }
        _ => Ok(false),
    }
}

async fn patience(fault: &Fault, key: AttemptKey) {
    debug!(error = %fault, "cannot look at attempt {} of run {}", key.attempt, key.instance.run);
    let after = match fault {
        Fault::Away { after, .. } => *after,
        _ => AGAIN,
    };
    tokio::time::sleep(after.max(Duration::from_millis(200))).await;
}

fn lost(detail: &str) -> EndFacts {
    EndFacts { detail: Some(detail.to_owned()), ..EndFacts::default() }
}

fn gone(entry: &Entry, uid: &str) -> EndFacts {
    lost(&format!("pod {}/{} ({uid}) is gone and nobody saw how it ended", entry.namespace, entry.name))
}

/// When things began, on this process's clock.
#[derive(Default)]
struct Clocks {
    opened: Option<Instant>,
    running: Option<Instant>,
    trouble: Option<Instant>,
    settles: Option<Instant>,
    events: Option<Instant>,
    stop_tried: Option<Instant>,
}

/// Ends what is overdue and says when to look again.
async fn mind(inner: &Inner, entry: &Entry, seen: &Seen, clocks: &mut Clocks) -> Instant {
    let now = Instant::now();
    // The events of a group come by the watch and the relist; this is only the bound of the sleep.
    let mut next = now + Duration::from_secs(3600);
    tell(inner, entry, seen, clocks, &mut next).await;
    if seen.deleting.is_some() {
        return next;
    }
    let overdue = overdue(inner, entry, seen, clocks, &mut next);
    if let Some(note) = overdue {
        if clocks.stop_tried.is_none_or(|tried| tried.elapsed() >= AGAIN) {
            clocks.stop_tried = Some(now);
            info!(pod = entry.name, detail = note.detail, "ending attempt {} of run {}", entry.key.attempt, entry.key.instance.run);
            if let Err(fault) = end::end_pod(inner, entry, note).await {
                debug!(error = %fault, pod = entry.name, "cannot end a pod yet");
            }
        }
        return (now + AGAIN).min(next);
    }
    next
}

fn overdue(inner: &Inner, entry: &Entry, seen: &Seen, clocks: &mut Clocks, next: &mut Instant) -> Option<StopNote> {
    let now = Instant::now();
    let plan = &entry.plan;
    let mut due = |since: Instant, limit: Duration| {
        let at = since.checked_add(limit)?;
        if now < at {
            *next = (*next).min(at);
        }
        (now >= at).then_some(())
    };
    if let Container::Running { since } = &seen.base {
        let since = *clocks.running.get_or_insert_with(|| ago(*since));
        let limit = plan.timeout()?;
        due(since, limit)?;
        return Some(StopNote { why: Why::Timeout, detail: None });
    }
    if seen.gate_closed {
        return None;
    }
    match trouble(seen) {
        Some((why, words)) => {
            let since = *clocks.trouble.get_or_insert_with(Instant::now);
            if due(since, inner.config.pull_grace).is_some() {
                return Some(StopNote { why, detail: Some(words) });
            }
        }
        // `ErrImagePull` and `ImagePullBackOff` take turns; anything else is progress.
        None => clocks.trouble = None,
    }
    let opened = if plan.gate == Gate::None { seen.created } else { seen.opened.or(seen.created) };
    let since = *clocks.opened.get_or_insert_with(|| ago(opened));
    let words = || {
        line(seen).filter(|line| !line.is_empty()).unwrap_or_else(|| {
            // The cluster's scheduler may not have said anything yet.
            (if seen.node.is_none() { "no node was chosen for it" } else { "nothing says why" }).to_owned()
        })
    };
    let never = |what: &str, limit: Duration| {
        Some(StopNote { why: Why::NeverStarted, detail: Some(format!("it {what} within {} s: {}", limit.as_secs(), words())) })
    };
    if seen.node.is_none()
        && let Some(limit) = plan.schedule_ms.map(Duration::from_millis)
        && due(since, limit).is_some()
    {
        return never("got no node", limit);
    }
    due(since, plan.startup())?;
    never("did not start", plan.startup())
}

/// A time of the cluster on this process's clock. The two may differ: a time in the future counts as now.
fn ago(time: Option<DateTime<Utc>>) -> Instant {
    let now = Instant::now();
    let elapsed = time.and_then(|time| (Utc::now() - time).to_std().ok()).unwrap_or_default();
    now.checked_sub(elapsed).unwrap_or(now)
}

/// What a pod that does not run says of itself.
fn line(seen: &Seen) -> Option<String> {
    let unreachable = seen.disruption.as_ref().is_some_and(|(reason, _)| reason == "DeletionByTaintManager");
    if seen.phase == Phase::Unknown || unreachable {
        return Some(format!("node {} does not answer: waiting for it, or for its removal", seen.node.as_deref().unwrap_or("unknown")));
    }
    if seen.started() || seen.gate_closed {
        return Some(String::new());
    }
    if let Some((_, words)) = trouble(seen) {
        return Some(words);
    }
    if let Some(words) = &seen.unschedulable {
        return Some(one_line(&format!("Unschedulable: {words}")));
    }
    None
}

/// Tells people where it stands, when that has changed.
async fn tell(inner: &Inner, entry: &Entry, seen: &Seen, clocks: &mut Clocks, next: &mut Instant) {
    let said = match line(seen) {
        Some(line) => line,
        None => {
            let since = *clocks.opened.get_or_insert_with(|| ago(seen.opened.or(seen.created)));
            let due = clocks.events.map_or(since + EVENTS_AFTER, |last| last + EVENTS_EVERY);
            if Instant::now() < due {
                *next = (*next).min(due);
                return;
            }
            clocks.events = Some(Instant::now());
            *next = (*next).min(Instant::now() + EVENTS_EVERY);
            match warning(inner, entry, &seen.uid).await {
                Some(words) => words,
                None => return,
            }
        }
    };
    if entry.is_news(&said) {
        // Nobody waits for it: when the queue is full, it is lost.
        let _ = inner.news.try_send(Progress { key: entry.key, detail: said });
    }
}

async fn warning(inner: &Inner, entry: &Entry, uid: &str) -> Option<String> {
    let events = match inner.cluster.warnings(&entry.namespace, uid).await {
        Ok(events) => events,
        Err(fault) => {
            debug!(error = %fault, pod = entry.name, "cannot read the events of a pod");
            return None;
        }
    };
    let newest = events.into_iter().filter(|e| e.message.is_some()).max_by_key(|e| e.last_timestamp.as_ref().map(|time| time.0))?;
    let reason = newest.reason.unwrap_or_default();
    // The image gate's own complaint.
    let message = newest.message.filter(|message| !message.contains(crate::marks::GATE_IMAGE))?;
    Some(one_line(&format!("{reason}: {message}")))
}
