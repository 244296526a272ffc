//! `GET /ui/logs/…/follow`: what a log grows by, as it grows (server-sent events). The id of a message is where the line begins that is under
//! way, so a stream that breaks off goes on there, and that line is told again with its end.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};

use super::index::{Index, index};
use super::lines::Cutter;
use super::{Place, place};
use crate::ApiState;
use crate::changes::Open;
use crate::error::Error;
use crate::request::Params;

/// Between two looks. Workers store what is new twice a second.
const TICK: Duration = Duration::from_millis(250);
/// How long a stream lasts. A browser opens the next at once, and proves by it that it still may.
const LASTS: Duration = Duration::from_secs(60);
/// Bytes of a message. What grows faster is not told but counted: whoever looks at it reads what they see.
const MOST: i64 = 512 * 1024;

/// Where a line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) offset: i64,
    pub(super) line: i64,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.offset, self.line)
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (offset, line) = text.split_once('.').ok_or(())?;
        let mark = Self { offset: offset.parse().map_err(drop)?, line: line.parse().map_err(drop)? };
        (mark.offset >= 0 && mark.line >= 1).then_some(mark).ok_or(())
    }
}

struct Follower {
    state: ApiState,
    place: Place,
    mark: Mark,
    /// Up to which byte was told.
    told: i64,
    ticks: tokio::time::Interval,
    until: Instant,
    ended: bool,
    _open: Open,
}

impl Follower {
    /// The next message; none: the stream ends, and is to be opened again unless `end` was told.
    async fn next(&mut self) -> Option<Event> {
        while !self.ended && Instant::now() < self.until {
            tokio::select! {
                () = self.state.closing() => return None,
                _ = self.ticks.tick() => {}
            }
            match self.look().await {
                Ok(Some(event)) => return Some(event),
                Ok(None) => {}
                // The database is away: the next look asks again.
                Err(error) => tracing::debug!(%error, "a log that is followed cannot be read"),
            }
        }
        None
    }

    async fn look(&mut self) -> Result<Option<Event>, Error> {
        let attempts = self.state.store().attempt_list(self.place.run, self.place.idx, self.place.map_index).await?;
        let Some(attempt) = attempts.into_iter().find(|one| one.attempt == self.place.attempt.attempt) else {
            self.ended = true;
            return Ok(Some(self.event("gone", &json!({}))));
        };
        // Whether it is over is known from before the read: what is stored in between is read next time.
        self.place.attempt = attempt;
        let over = self.place.over();
        let index = index(&self.state, &self.place).await?;
        if index.end() <= self.told {
            self.ended = over;
            return Ok(over.then(|| self.event("end", &json!({"total": index.lines(), "bytes": index.end()}))));
        }
        self.tell(&index).await.map(Some)
    }

    async fn tell(&mut self, index: &Index) -> Result<Event, Error> {
        let first = self.mark.line;
        self.told = index.end();
        let counted = json!({"first": first, "total": index.lines(), "bytes": index.end()});
        if index.end() - self.mark.offset > MOST {
            let span = index.of_line(index.next_line());
            self.mark = Mark { offset: index.begin(*span.start()).1, line: index.begin(*span.start()).0 };
            let bytes = self.read(index).await?;
            let mut cutter = Cutter::new(&[], self.mark.line, self.mark.offset);
            cutter.feed(&bytes);
            self.mark = Mark { offset: cutter.begin, line: index.next_line() };
            return Ok(self.event("grown", &counted));
        }
        let bytes = self.read(index).await?;
        let wanted: Vec<i64> = (first..=index.lines()).collect();
        let mut cutter = Cutter::new(&wanted, first, self.mark.offset);
        cutter.feed(&bytes);
        self.mark = Mark { offset: cutter.begin, line: index.next_line() };
        let found = cutter.finish();
        let mut data = counted;
        data["marks"] = found.iter().map(|(_, _, mark)| *mark).collect::<String>().into();
        data["lines"] = found.into_iter().map(|(_, text, _)| text).collect::<Vec<_>>().into();
        Ok(self.event("lines", &data))
    }

    /// From the mark to the end.
    async fn read(&self, index: &Index) -> Result<Vec<u8>, Error> {
        let Some(all) = index.all() else { return Ok(Vec::new()) };
        let from = index.of_byte(self.mark.offset);
        let mut bytes = Vec::new();
        let mut at = self.mark.offset;
        for window in index.windows(from..=*all.end()) {
            let piece = super::pieces(&self.state, &self.place, window, at).await?;
            at += i64::try_from(piece.len()).unwrap_or(0);
            bytes.extend(piece);
        }
        Ok(bytes)
    }

    fn event(&self, name: &str, data: &Value) -> Event {
        Event::default().event(name).id(self.mark.to_string()).retry(Duration::from_millis(200)).data(data.to_string())
    }
}

pub(crate) async fn follow(
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, try_number)): Path<(String, String, String, String)>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Error> {
    let place = place(&state, (&dag_id, &run_id, &task_id), &try_number, &params).await?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).or_else(|| params.one("from")).filter(|text| !text.is_empty());
    let mark = match last {
        None => Mark { offset: 0, line: 1 },
        Some(text) => text.parse().map_err(|()| Error::BadRequest(format!("{text} is no place in a log: ask with what `next` said")))?,
    };
    let open = Open::begin(&state)?;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The line that is under way is told again: it may have grown.
    let follower = Follower { state, place, mark, told: mark.offset, ticks, until: Instant::now() + LASTS, ended: false, _open: open };
    let events = stream::unfold(follower, |mut follower| async move { Some((Ok::<_, Infallible>(follower.next().await?), follower)) });
    // Proxies that gather answers before they pass them on would make it late.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"))];
    Ok((unbuffered, Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_round_trip() {
        let mark = Mark { offset: 12, line: 3 };
        assert_eq!(mark.to_string().parse(), Ok(mark));
        for bad in ["", "12", "-1.1", "1.0", "a.b"] {
            assert_eq!(bad.parse::<Mark>(), Err(()), "{bad}");
        }
    }
}
