//! Where the lines of a log are. The store knows of each chunk how many lines end in it, so that any of a million lines is found by reading
//! the one or two chunks that hold it.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use updraft_model::AttemptKey;
use updraft_store::read::logs::LogPart;

use super::Place;
use crate::ApiState;
use crate::error::Error;

/// Logs whose indexes are kept: those that were looked at last.
const KEPT: usize = 128;
/// Bytes up to which chunks that follow each other count as one place. A command that writes a word a second leaves very many.
const SEGMENT: i64 = 128 * 1024;
/// Bytes that are read at once.
const WINDOW: i64 = 8 * 1024 * 1024;

/// Chunks that follow each other.
#[derive(Debug, Clone, Copy)]
struct Segment {
    /// Where its first chunk starts.
    start: i64,
    /// Where its last one does.
    last: i64,
    bytes: i64,
    /// Line feeds before it.
    before: i64,
    /// And in it.
    lines: i64,
}

/// The index of a log, as far as it is stored.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    segments: Vec<Segment>,
    /// Whether something follows the last line feed.
    open: bool,
}

impl Index {
    /// Bytes.
    pub(super) fn end(&self) -> i64 {
        self.segments.last().map_or(0, |last| last.start + last.bytes)
    }

    fn feeds(&self) -> i64 {
        self.segments.last().map_or(0, |last| last.before + last.lines)
    }

    /// Lines, with one that has no end yet.
    pub(super) fn lines(&self) -> i64 {
        self.feeds() + i64::from(self.open)
    }

    /// The line that the next byte belongs to.
    pub(super) fn next_line(&self) -> i64 {
        self.feeds() + 1
    }

    fn add(&mut self, part: LogPart) {
        let before = self.feeds();
        match self.segments.last_mut().filter(|last| last.bytes + part.bytes <= SEGMENT) {
            Some(last) => {
                last.last = part.start;
                last.bytes = part.start + part.bytes - last.start;
                last.lines += part.lines;
            }
            None => self.segments.push(Segment { start: part.start, last: part.start, bytes: part.bytes, before, lines: part.lines }),
        }
    }

    /// The segment in which the n-th line feed is; the last, if there are not so many.
    fn of_feed(&self, n: i64) -> usize {
        self.segments.partition_point(|segment| segment.before + segment.lines < n).min(self.segments.len().saturating_sub(1))
    }

    /// The segments that hold a line.
    pub(super) fn of_line(&self, line: i64) -> RangeInclusive<usize> {
        self.of_feed(line - 1)..=self.of_feed(line)
    }

    /// The segment that holds a byte, and the line feeds before it.
    pub(super) fn of_byte(&self, offset: i64) -> usize {
        self.segments.partition_point(|segment| segment.start <= offset).saturating_sub(1)
    }

    pub(super) fn all(&self) -> Option<RangeInclusive<usize>> {
        self.segments.len().checked_sub(1).map(|last| 0..=last)
    }

    /// The number of the line that a segment begins in, and at which byte it begins.
    pub(super) fn begin(&self, segment: usize) -> (i64, i64) {
        self.segments.get(segment).map_or((1, 0), |segment| (segment.before + 1, segment.start))
    }

    /// These segments in pieces that are small enough to be read at once: where their first and their last chunks start.
    pub(super) fn windows(&self, segments: RangeInclusive<usize>) -> Vec<(i64, i64)> {
        let mut windows: Vec<(i64, i64)> = Vec::new();
        let mut bytes = 0;
        for segment in self.segments.get(segments).unwrap_or_default() {
            bytes += segment.bytes;
            match windows.last_mut().filter(|_| bytes <= WINDOW) {
                Some(window) => window.1 = segment.last,
                None => {
                    windows.push((segment.start, segment.last));
                    bytes = segment.bytes;
                }
            }
        }
        windows
    }
}

/// The indexes that are kept. A log only grows, and an attempt's number is never used twice: none can be wrong, only short.
#[derive(Debug, Default)]
pub(crate) struct Indexes {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Moves with every look.
    clock: u64,
    /// Each with the last look at it.
    logs: HashMap<AttemptKey, (u64, Arc<Index>)>,
}

impl Indexes {
    fn get(&self, key: AttemptKey) -> Option<Arc<Index>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let now = kept.clock;
        kept.logs.get_mut(&key).map(|(used, index)| {
            *used = now;
            Arc::clone(index)
        })
    }

    fn put(&self, key: AttemptKey, index: Arc<Index>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let now = kept.clock;
        kept.logs.insert(key, (now, index));
        if kept.logs.len() > KEPT
            && let Some(oldest) = kept.logs.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key)
        {
            kept.logs.remove(&oldest);
        }
    }
}

/// The index of a log as it is now.
pub(super) async fn index(state: &ApiState, place: &Place) -> Result<Arc<Index>, Error> {
    let (key, over) = (place.key(), place.over());
    let known = state.inner.log_indexes.get(key);
    let parts = state.store().log_parts(key, known.as_ref().map_or(0, |index| index.end())).await?;
    if let (Some(known), true) = (&known, parts.is_empty()) {
        return Ok(Arc::clone(known));
    }
    let mut index = known.map_or_else(Index::default, |known| (*known).clone());
    for mut part in parts {
        let gap = part.start - index.end();
        // A gap is a chunk that is on its way: what comes after it waits for it.
        if gap > 0 && !over {
            break;
        }
        // Two workers stored the same bytes, each in its own pieces: a line is counted once.
        if gap < 0 {
            if part.start + part.bytes <= index.end() {
                continue;
            }
            let fresh = super::pieces(state, place, (part.start, part.start), index.end()).await?;
            part.lines = i64::try_from(memchr::memchr_iter(b'\n', &fresh).count()).unwrap_or(0);
        }
        index.add(part);
    }
    if let Some(last) = index.segments.last() {
        let end = super::pieces(state, place, (last.last, last.last), last.last).await?;
        index.open = end.last().is_some_and(|byte| *byte != b'\n');
    }
    let index = Arc::new(index);
    state.inner.log_indexes.put(key, Arc::clone(&index));
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[(i64, i64)]) -> Index {
        let mut index = Index::default();
        for (bytes, lines) in parts {
            index.add(LogPart { start: index.end(), bytes: *bytes, lines: *lines });
        }
        index
    }

    #[test]
    fn lines_are_found_in_their_segments() {
        // 10 lines, none (one line goes on over it), 5 lines.
        let index = of(&[(SEGMENT, 10), (SEGMENT, 0), (SEGMENT, 5)]);
        for (line, segments) in [(1, 0..=0), (10, 0..=0), (11, 0..=2), (12, 2..=2), (15, 2..=2), (16, 2..=2), (99, 2..=2)] {
            assert_eq!(index.of_line(line), segments, "line {line}");
        }
        assert_eq!((index.lines(), index.next_line(), index.end()), (15, 16, 3 * SEGMENT));
        assert_eq!(index.begin(2), (11, 2 * SEGMENT));
        assert_eq!([0, SEGMENT - 1, SEGMENT, 3 * SEGMENT].map(|at| index.of_byte(at)), [0, 0, 1, 2]);
    }

    #[test]
    fn small_chunks_become_one_place_and_windows_are_bounded() {
        let index = of(&[(10, 1); 1000]);
        assert_eq!(index.segments.len(), 1);
        assert_eq!(index.windows(0..=0), [(0, 9990)]);
        let index = of(&[(WINDOW / 2, 1); 5]);
        assert_eq!(index.windows(0..=4), [(0, WINDOW / 2), (WINDOW, WINDOW * 3 / 2), (WINDOW * 2, WINDOW * 2)]);
    }
}
