//! Reading logs: each call is one GET that goes on where the one before stopped, whoever made that.
//!
//! The API server counts no bytes of a log. It has times: `sinceTime`, in whole seconds, and a timestamp before each line. So a position is
//! the time of the last line, how many lines of that very time were taken, and how far into the line after (`cursor`). A GET starts at the
//! second of that time and skips what was taken. A line of the position that is not there any more was rotated away: that is said in the
//! log, and never waited for.
//!
//! Nothing is followed: a stream per pod would be thousands of them. Running pods are read once a second at most and only so many of them;
//! everybody is read to the end when the container has ended. The log decides nothing.

mod cursor;
mod splitter;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::io::AsyncBufReadExt;
use futures::pin_mut;
use k8s_openapi::jiff::Timestamp;
use kube::api::LogParams;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use updraft_model::AttemptKey;
use updraft_worker::runner::{LogPosition, LogRead};

use crate::Inner;
use crate::entry::Entry;
use crate::errors::Fault;
use crate::seen::Container;
use cursor::Cursor;
use splitter::Splitter;

/// Bytes that a GET may bring beyond what is wanted: timestamps, and lines of the same second.
const SLACK: u64 = 64 * 1024;
/// Most bytes of a GET for what comes before a position.
const MOST_BEFORE: u64 = 4 * 1024 * 1024;
/// Reads of an ended log are tried this often: the next step throws it away.
const TRIES: u32 = 3;
/// Slower reads of a pod that writes nothing.
const MAX_IDLE: u32 = 5;

/// What is remembered between two reads. Not the position: that is the caller's.
#[derive(Default)]
pub(crate) struct LogState {
    live: Option<OwnedSemaphorePermit>,
    next: Option<Instant>,
    idle: u32,
}

/// Up to `max` bytes of a log.
pub(crate) async fn read(inner: &Arc<Inner>, key: AttemptKey, from: &LogPosition, max: usize) -> io::Result<LogRead> {
    let Some(entry) = inner.find(key).await? else { return Err(io::Error::new(io::ErrorKind::NotFound, "it has no pod")) };
    let nothing = LogRead { data: Vec::new(), next: from.clone(), eof: true };
    let base = entry.seen().map(|seen| seen.base.clone()).unwrap_or_default();
    let mut state = entry.log.lock().await;
    match base {
        _ if !entry.plan.logs => Ok(nothing),
        Container::Absent | Container::Waiting { .. } => Ok(nothing),
        Container::Running { .. } => {
            let now = Instant::now();
            // Its first read waits, too: what ends within a second is read once.
            if *state.next.get_or_insert(now + inner.config.log_every) > now {
                return Ok(nothing);
            }
            if state.live.is_none() {
                let Ok(permit) = Arc::clone(&inner.live_logs).try_acquire_owned() else { return Ok(nothing) };
                state.live = Some(permit);
            }
            let read = get(inner, &entry, from, max).await?;
            state.idle = if read.data.is_empty() { (state.idle + 1).min(MAX_IDLE) } else { 1 };
            // One that has more goes on at once.
            state.next = read.eof.then(|| Instant::now() + inner.config.log_every * state.idle).or(Some(now));
            Ok(read)
        }
        Container::Ended(exit) => {
            state.live = None;
            if exit.started.is_none() {
                return Ok(nothing);
            }
            let mut tries = 1;
            loop {
                match get(inner, &entry, from, max).await {
                    Err(error) if tries < TRIES && error.kind() == io::ErrorKind::TimedOut => {
                        tokio::time::sleep(Duration::from_millis(500) * tries).await;
                        tries += 1;
                    }
                    read => return read,
                }
            }
        }
    }
}

/// Up to `max` bytes right before a position: what of the second that it lies in was taken. The server counts no bytes, so nothing tells how far
/// it is from an earlier second.
pub(crate) async fn read_before(inner: &Arc<Inner>, key: AttemptKey, at: &LogPosition, max: usize) -> io::Result<Vec<u8>> {
    let Some(entry) = inner.find(key).await? else { return Err(io::Error::new(io::ErrorKind::NotFound, "it has no pod")) };
    let cursor = at.cursor.as_deref().and_then(Cursor::parse).filter(|cursor| entry.plan.logs && cursor.raw <= MOST_BEFORE);
    let Some(cursor) = cursor else { return Ok(Vec::new()) };
    let mut splitter = Splitter::new(Cursor::default(), usize::MAX);
    feed(inner, &entry, cursor.second(), cursor.raw, &mut splitter).await?;
    let (mut data, _) = splitter.finish();
    data.drain(..data.len().saturating_sub(max));
    Ok(data)
}

async fn get(inner: &Inner, entry: &Entry, from: &LogPosition, max: usize) -> io::Result<LogRead> {
    let mut cursor = from.cursor.as_deref().and_then(Cursor::parse).unwrap_or_default();
    loop {
        let limit = cursor.raw + max as u64 + SLACK;
        let since = cursor.second();
        let mut splitter = Splitter::new(cursor, max);
        let Some((raw, full)) = feed(inner, entry, since, limit, &mut splitter).await? else {
            return Ok(LogRead { data: Vec::new(), next: from.clone(), eof: true });
        };
        let whole = !full && raw < limit;
        let (data, mut next) = splitter.finish();
        if data.is_empty() && !whole {
            // Everything was skipped: more was written within that second than was thought.
            next.raw = next.raw.max(raw);
            cursor = next;
            continue;
        }
        let position = LogPosition { offset: from.offset + data.len() as u64, cursor: next.text().or_else(|| from.cursor.clone()) };
        return Ok(LogRead { data, next: position, eof: whole });
    }
}

/// One GET into a splitter: how many bytes came, and whether it took as many as it wanted. None: there is no log yet.
async fn feed(
    inner: &Inner,
    entry: &Entry,
    since_time: Option<Timestamp>,
    limit: u64,
    splitter: &mut Splitter,
) -> io::Result<Option<(u64, bool)>> {
    let params = LogParams {
        container: Some(entry.plan.container.clone()),
        timestamps: true,
        since_time,
        limit_bytes: Some(i64::try_from(limit).unwrap_or(i64::MAX)),
        ..LogParams::default()
    };
    let stream = match inner.cluster.logs(&entry.namespace, &entry.name, &params).await {
        Ok(stream) => stream,
        // The container is there by its status and not yet by its log.
        Err(Fault::Refused(_)) => return Ok(None),
        Err(fault) => return Err(fault.into()),
    };
    pin_mut!(stream);
    let mut raw = 0u64;
    loop {
        let chunk = match tokio::time::timeout(inner.config.call_timeout, stream.fill_buf()).await {
            Ok(chunk) => chunk?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        if chunk.is_empty() {
            return Ok(Some((raw, false)));
        }
        let length = chunk.len();
        raw += length as u64;
        let full = !splitter.feed(chunk);
        stream.consume_unpin(length);
        if full {
            return Ok(Some((raw, true)));
        }
    }
}
