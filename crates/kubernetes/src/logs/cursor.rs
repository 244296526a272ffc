//! A place in a log that has times and no offsets. Pure.

use chrono::{DateTime, FixedOffset};
use k8s_openapi::jiff::Timestamp;

/// How far a log was taken.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Cursor {
    /// The time of the last line that was taken, whole or in part. Absent: nothing was.
    pub(super) time: Option<DateTime<FixedOffset>>,
    /// Whole lines taken that have this very time.
    pub(super) lines: u64,
    /// Bytes taken of the line after those.
    pub(super) within: u64,
    /// Bytes that the server sends from the second of `time` up to here: what a GET has to bring before anything new comes.
    pub(super) raw: u64,
}

impl Cursor {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let time = DateTime::parse_from_rfc3339(words.next()?).ok()?;
        let mut number = || words.next()?.parse().ok();
        Some(Self { time: Some(time), lines: number()?, within: number()?, raw: number()? })
    }

    pub(super) fn text(&self) -> Option<String> {
        let time = self.time?.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true);
        Some(format!("{time} {} {} {}", self.lines, self.within, self.raw))
    }

    /// The whole second that it lies in: the server takes nothing finer, and rounding up would lose lines.
    pub(super) fn second(&self) -> Option<Timestamp> {
        self.time.and_then(|time| Timestamp::from_second(time.timestamp()).ok())
    }
}
