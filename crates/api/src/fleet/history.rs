//! `/ui/fleet/history`: what was done, how long it waited and how much waited, minute by minute or in longer steps.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta};
use schemars::JsonSchema;
use serde::Serialize;
use updraft_store::read::history::MinuteRow;

use crate::ApiState;
use crate::error::Error;
use crate::request::Params;
use crate::shapes::{Time, time};

/// Ranges: the word, how many steps, and how many seconds each has.
const RANGES: &[(&str, i64, i64)] = &[("1h", 60, 60), ("24h", 288, 300), ("7d", 336, 1800)];

/// A step of time. Null: nobody counted, as no scheduler was alive, or this is from before it was counted.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FleetPoint {
    at: Time,
    /// Task instances that ended so within it.
    success: Option<i64>,
    failed: Option<i64>,
    /// Tries that failed and were followed by another.
    retried: Option<i64>,
    skipped: Option<i64>,
    /// How long tries that ended within it had waited for a worker: half of them at most so long, in seconds.
    wait_p50: Option<f64>,
    /// All but one in twenty.
    wait_p95: Option<f64>,
    /// By queue the most that waited for a worker at the end of a minute.
    queued: BTreeMap<String, i64>,
    /// The most that ran.
    running: Option<i64>,
    workers: Option<i64>,
    slots: Option<i64>,
}

/// What became of the fleet's time.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FleetHistory {
    range: &'static str,
    step_seconds: i64,
    /// Oldest first, without a gap.
    points: Vec<FleetPoint>,
}

/// What the minutes of a step came to.
#[derive(Default)]
struct Sum {
    counts: [i64; 4],
    waits: Vec<i64>,
    queued: BTreeMap<String, i64>,
    running: Option<i64>,
    workers: Option<i64>,
    slots: Option<i64>,
}

impl Sum {
    fn add(&mut self, row: &MinuteRow) {
        for (sum, count) in self.counts.iter_mut().zip([row.success, row.failed, row.retried, row.skipped]) {
            *sum += i64::from(count);
        }
        self.waits.resize(self.waits.len().max(row.waits.len()), 0);
        for (sum, count) in self.waits.iter_mut().zip(&row.waits) {
            *sum += i64::from(*count);
        }
        if let Some(queues) = row.queues.as_ref().and_then(|queues| queues.as_object()) {
            let mut running = 0;
            for (queue, now) in queues {
                let waiting = self.queued.entry(queue.clone()).or_default();
                *waiting = (*waiting).max(now[0].as_i64().unwrap_or(0));
                running += now[1].as_i64().unwrap_or(0);
            }
            self.running = self.running.max(Some(running));
        }
        self.workers = self.workers.max(row.workers.map(i64::from));
        self.slots = self.slots.max(row.slots.map(i64::from));
    }
}

/// How long at most so many of a hundred had waited, in seconds. Entry i (from 0) of the counts is of at most 2^(i/2) milliseconds.
fn percentile(waits: &[i64], of_hundred: i64) -> Option<f64> {
    let total: i64 = waits.iter().sum();
    let mut before = 0;
    for (i, count) in waits.iter().enumerate() {
        if *count > 0 && (before + count) * 100 >= total * of_hundred {
            #[expect(clippy::cast_precision_loss, reason = "counts of a plot")]
            let within = ((total * of_hundred) as f64 / 100.0 - before as f64) / *count as f64;
            let bound = |i: f64| 2f64.powf(i / 2.0);
            #[expect(clippy::cast_precision_loss, reason = "there are 48 of them")]
            let (low, high) = if i == 0 { (0.0, 1.0) } else { (bound(i as f64 - 1.0), bound(i as f64)) };
            return Some((low + (high - low) * within.clamp(0.0, 1.0)) / 1000.0);
        }
        before += count;
    }
    None
}

pub(crate) async fn history(State(state): State<ApiState>, params: Params) -> Result<Json<FleetHistory>, Error> {
    let wanted = params.one("range").unwrap_or("1h");
    let (range, steps, step_seconds) = *RANGES
        .iter()
        .find(|(word, ..)| *word == wanted)
        .ok_or_else(|| Error::BadRequest(format!("range must be 1h, 24h or 7d, not {wanted:?}")))?;
    // The last step is the one that the last whole minute belongs to.
    let last = (state.store().now().await?.timestamp() - 60).div_euclid(step_seconds);
    let first = last - steps + 1;
    let at = |step: i64| DateTime::from_timestamp(step * step_seconds, 0).unwrap_or_default();
    let mut sums: BTreeMap<i64, Sum> = BTreeMap::new();
    for row in state.store().fleet_minutes(at(first) - TimeDelta::seconds(1)).await? {
        sums.entry(row.at.timestamp().div_euclid(step_seconds)).or_default().add(&row);
    }
    let points = (first..=last)
        .map(|step| {
            let sum = sums.remove(&step);
            let count = |which: usize| sum.as_ref().map(|sum| sum.counts[which]);
            FleetPoint {
                at: time(at(step)),
                success: count(0),
                failed: count(1),
                retried: count(2),
                skipped: count(3),
                wait_p50: sum.as_ref().and_then(|sum| percentile(&sum.waits, 50)),
                wait_p95: sum.as_ref().and_then(|sum| percentile(&sum.waits, 95)),
                running: sum.as_ref().and_then(|sum| sum.running),
                workers: sum.as_ref().and_then(|sum| sum.workers),
                slots: sum.as_ref().and_then(|sum| sum.slots),
                queued: sum.map(|sum| sum.queued).unwrap_or_default(),
            }
        })
        .collect();
    Ok(Json(FleetHistory { range, step_seconds, points }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_where_they_should() {
        let mut waits = vec![0; 48];
        assert_eq!(percentile(&waits, 50), None);
        // At most 1024 ms and more than 724.
        waits[20] = 100;
        let half = percentile(&waits, 50).unwrap();
        assert!(half > 0.724 && half < 1.024, "{half}");
        assert_eq!(percentile(&waits, 100), Some(1.024));
        // One in ten waited for a minute.
        waits[32] = 11;
        assert!(percentile(&waits, 50).unwrap() < 1.024);
        let worst = percentile(&waits, 95).unwrap();
        assert!(worst > 46.0 && worst < 65.6, "{worst}");
    }
}
