//! Takes timestamped log text apart: what was taken before is skipped, timestamps go, every other byte comes out as the container wrote it.
//! Pure; holds no line, however long it is.

use chrono::{DateTime, FixedOffset};

use super::cursor::Cursor;

/// The runtime cuts lines here. Kubelets before 1.26 put a timestamp before each of the pieces.
const PIECE: u64 = 16 * 1024;
/// A timestamp with its space: `2026-01-02T03:04:05.123456789+00:00 `.
const LONGEST_STAMP: usize = 36;
/// Written where lines are missing.
const GAP: &[u8] = b"[updraft: the node rotated this log faster than it was read; lines are missing here]\n";

/// See the module.
pub(super) struct Splitter {
    /// Where the read before stopped.
    from: Cursor,
    /// Where this one is.
    at: Cursor,
    max: usize,
    out: Vec<u8>,
    /// Bytes seen.
    raw: u64,
    /// Where the first line of the current second begins.
    second_begins: u64,
    /// Lines of `from.time` that were met.
    met: u64,
    /// Whether what comes is new.
    past: bool,
    /// Lines are missing before the next one.
    gap: bool,
    state: State,
    /// The beginning of what may be a timestamp.
    stamp: Vec<u8>,
    /// The line that is being read.
    time: Option<DateTime<FixedOffset>>,
    line_begins: u64,
    /// Bytes of its text met so far.
    position: u64,
    /// What of it is known: everything before this.
    skip: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the beginning of a line.
    Stamp,
    /// At the beginning of a piece of a line, where some kubelets have one.
    PerhapsStamp,
    Text,
}

impl Splitter {
    pub(super) fn new(from: Cursor, max: usize) -> Self {
        Self {
            at: from.clone(),
            past: from.time.is_none(),
            from,
            gap: false,
            max,
            out: Vec::new(),
            raw: 0,
            second_begins: 0,
            met: 0,
            state: State::Stamp,
            stamp: Vec::new(),
            time: None,
            line_begins: 0,
            position: 0,
            skip: 0,
        }
    }

    /// Takes a piece of the answer. `false`: as much was taken as was wanted.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.out.len() >= self.max {
                return false;
            }
            match self.state {
                State::Stamp | State::PerhapsStamp => {
                    self.raw += 1;
                    self.stamp.push(bytes[0]);
                    bytes = &bytes[1..];
                    if !self.stamped() {
                        return false;
                    }
                }
                State::Text => {
                    let to_piece = usize::try_from(PIECE - self.position % PIECE).unwrap_or(usize::MAX);
                    let room = usize::try_from(self.skip.saturating_sub(self.position)).unwrap_or(usize::MAX);
                    // Skipped text takes no room.
                    let room = if room > 0 { room } else { self.max.saturating_sub(self.out.len()) };
                    let window = &bytes[..bytes.len().min(to_piece).min(room)];
                    let (text, ends) = match window.iter().position(|byte| *byte == b'\n') {
                        Some(at) => (&window[..=at], true),
                        None => (window, false),
                    };
                    bytes = &bytes[text.len()..];
                    self.raw += text.len() as u64;
                    self.text(text, ends);
                }
            }
        }
        self.out.len() < self.max
    }

    /// What was taken, and where to go on.
    pub(super) fn finish(self) -> (Vec<u8>, Cursor) {
        (self.out, self.at)
    }

    /// Looks at what may be a timestamp. `false`: as much was taken as was wanted.
    fn stamped(&mut self) -> bool {
        let is_whole = self.stamp.ends_with(b" ");
        if !is_whole && self.stamp.len() < LONGEST_STAMP && looks_like_stamp(&self.stamp) {
            return true;
        }
        let text = std::mem::take(&mut self.stamp);
        let time = std::str::from_utf8(text.trim_ascii_end()).ok().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        let time = time.filter(|_| is_whole);
        if self.state == State::Stamp {
            self.state = State::Text;
            self.position = 0;
            self.line_begins = self.raw - text.len() as u64;
            // A line without a time is the runtime's own complaint: it belongs to the line before.
            self.begin(time.or(self.at.time));
            if time.is_some() {
                return true;
            }
        } else {
            self.state = State::Text;
            if time.is_some() {
                return true;
            }
        }
        // It was text.
        let mut rest = &text[..];
        while !rest.is_empty() {
            let length = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
            let (piece, more) = rest.split_at(length);
            self.text(piece, piece.ends_with(b"\n"));
            rest = more;
        }
        self.out.len() < self.max
    }

    /// A line of this time begins: is it new?
    fn begin(&mut self, time: Option<DateTime<FixedOffset>>) {
        self.time = time;
        self.skip = 0;
        if !self.past {
            match (time, self.from.time) {
                (Some(time), Some(last)) if time < last => self.skip = u64::MAX,
                (Some(time), Some(last)) if time == last && self.met < self.from.lines => {
                    self.met += 1;
                    self.skip = u64::MAX;
                }
                (Some(time), Some(last)) if time == last && self.from.within > 0 => {
                    self.past = true;
                    self.skip = self.from.within;
                }
                (time, last) => {
                    self.past = true;
                    let is_known_missing = time > last && (self.met < self.from.lines || self.from.within > 0);
                    self.gap = is_known_missing;
                }
            }
        }
        let second = |time: Option<DateTime<FixedOffset>>| time.map(|time| time.timestamp());
        if self.past && second(time) != second(self.at.time) {
            self.second_begins = self.line_begins;
        }
    }

    /// Text of the current line, with its line break if `ends`.
    fn text(&mut self, text: &[u8], ends: bool) {
        let known = usize::try_from(self.skip.saturating_sub(self.position)).unwrap_or(usize::MAX).min(text.len());
        self.position += text.len() as u64;
        if self.past && self.skip != u64::MAX {
            if std::mem::take(&mut self.gap) {
                self.out.extend_from_slice(GAP);
            }
            self.out.extend_from_slice(&text[known..]);
            self.take(ends);
        }
        if ends {
            self.state = State::Stamp;
        } else if self.position.is_multiple_of(PIECE) {
            self.state = State::PerhapsStamp;
        }
    }

    /// Moves the position behind the text that was just taken.
    fn take(&mut self, ends: bool) {
        // A clock that was set back does not move it: the order of the lines does.
        if self.time > self.at.time {
            self.at.time = self.time;
            self.at.lines = 0;
        }
        if ends {
            self.at.lines += u64::from(self.time == self.at.time);
            self.at.within = 0;
        } else {
            self.at.within = self.position;
        }
        self.at.raw = self.raw - self.second_begins;
    }
}

/// Whether a text may become a timestamp.
fn looks_like_stamp(text: &[u8]) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00.000000000";
    text.iter().enumerate().all(|(at, byte)| match SHAPE.get(at) {
        Some(b'0') => byte.is_ascii_digit(),
        Some(other) => byte == other,
        None => byte.is_ascii_digit() || matches!(byte, b'Z' | b'+' | b'-' | b':'),
    })
}

#[cfg(test)]
mod tests;
