//! `GET /ui/calendar/{dag_id}`: runs by day or hour and state. What is planned is worked out from the schedule, for DAGs that are on.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Days, NaiveDateTime, TimeDelta, TimeZone as _, Timelike as _, Utc};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use updraft_model::{DagSpec, Semantics};
use updraft_planner::timetable::{Slot, Timetable, Window};
use updraft_store::read::dag_pages::By;
use updraft_store::read::dags::DagRow;

use crate::ApiState;
use crate::dags;
use crate::error::Error;
use crate::request::{Params, parse_time};
use crate::shapes::{Time, maybe, time};

pub(crate) const UNITS: &[&str] = &["day", "hour"];
/// The longest stretches.
const MOST_DAYS: i64 = 400;
const MOST_DAYS_OF_HOURS: i64 = 8;
/// Most planned runs that are worked out. A DAG of every minute has as many in a week.
const MOST_PLANNED: usize = 10_000;
/// What a run that is not there yet is counted under.
const PLANNED: &str = "planned";

/// A day or an hour with runs in it.
#[derive(Debug, Serialize, JsonSchema)]
struct CalendarBucket {
    /// As the clocks of the zone show it: `2026-11-27`, or `2026-11-27T13`.
    label: String,
    /// When it begins, for asking for its runs.
    from: Time,
    /// When the next begins.
    to: Time,
    /// How many runs are in which state; those that are not there yet are `planned`.
    counts: BTreeMap<String, i64>,
}

/// Runs by day or hour.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Calendar {
    dag_id: String,
    zone: String,
    /// Those without a run are left out.
    buckets: Vec<CalendarBucket>,
    /// When the first of all runs was due.
    first: Option<Time>,
    /// Up to when runs are planned, where there would be more than 10,000.
    planned_until: Option<Time>,
}

pub(crate) async fn calendar(State(state): State<ApiState>, Path(dag_id): Path<String>, params: Params) -> Result<Json<Calendar>, Error> {
    let dag = dags::find(&state, &dag_id).await?;
    let by = if params.word("by", UNITS)? == Some("hour") { By::Hour } else { By::Day };
    let name = params.one("zone").unwrap_or("UTC");
    let unknown = || {
        Error::invalid("value_error", json!(["query", "zone"]), "Input should be an IANA time zone, such as Europe/Stockholm", json!(name))
    };
    let zone: Tz = name.parse().map_err(|_| unknown())?;
    let read = |key: &str| params.one(key).map(|text| parse_time("query", key, text)).transpose();
    let now = Utc::now();
    let to = read("to")?.unwrap_or(now);
    let most = TimeDelta::days(if by == By::Day { MOST_DAYS } else { MOST_DAYS_OF_HOURS });
    let from = read("from")?.unwrap_or_else(|| to.checked_sub_signed(most).unwrap_or(to));
    if to - from > most {
        return Err(Error::BadRequest(format!("this is more than {} days: ask for less at once", most.num_days())));
    }
    let mut buckets: BTreeMap<NaiveDateTime, BTreeMap<String, i64>> = BTreeMap::new();
    for row in state.store().run_calendar(&dag_id, from, to, zone.name(), by).await? {
        buckets.entry(row.begins).or_default().insert(row.state, row.count);
    }
    let mut planned_until = None;
    if to > now && !dag.is_paused && !dag.is_stale {
        let version = state.version(dag.version_id).await?;
        let semantics = version.spec().semantics.unwrap_or(state.inner.semantics);
        let mut times = tokio::task::spawn_blocking(move || planned(version.spec(), semantics, &dag, now, to))
            .await
            .map_err(|error| Error::Broken(format!("the plan of {dag_id} cannot be worked out: {error}")))?;
        planned_until = times.get(MOST_PLANNED).copied();
        times.truncate(MOST_PLANNED);
        for at in times.into_iter().filter(|at| *at >= from) {
            *buckets.entry(begin_of(at, zone, by)).or_default().entry(PLANNED.to_owned()).or_default() += 1;
        }
    }
    let shown = buckets.into_iter().map(|(begins, counts)| CalendarBucket {
        label: begins.format(if by == By::Day { "%Y-%m-%d" } else { "%Y-%m-%dT%H" }).to_string(),
        from: time(moment(begins, zone)),
        to: time(moment(end_of(begins, by), zone)),
        counts,
    });
    Ok(Json(Calendar {
        dag_id: dag_id.clone(),
        zone: zone.name().to_owned(),
        buckets: shown.collect(),
        first: maybe(state.store().run_first_due(&dag_id).await?),
        planned_until: maybe(planned_until),
    }))
}

/// When the runs to come before `to` start by themselves, from the next one on; one more than the most, where there are more.
fn planned(spec: &DagSpec, semantics: Semantics, dag: &DagRow, now: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let timetable = Timetable::new(&spec.schedule, &spec.timezone, semantics).ok().filter(Timetable::is_periodic);
    let start_date = spec.start_date.or_else(|| spec.tasks.iter().filter_map(|task| task.start_date).min());
    // What follows a slot follows it with or without catchup, once it is there.
    let window = Window { start_date, end_date: spec.end_date, catchup: true };
    let first = (|| {
        let run_after = dag.next_run_after?;
        let logical_date = dag.next_logical_date?;
        let data_interval_start = dag.next_interval_start.unwrap_or(logical_date);
        Some(Slot { logical_date, data_interval_start, data_interval_end: dag.next_interval_end.unwrap_or(data_interval_start), run_after })
    })();
    let following = move |last: &Slot| timetable.as_ref()?.next_slot(Some(last), &window, last.run_after.max(now));
    std::iter::successors(first, following).map(|slot| slot.run_after).take_while(|at| *at < to).take(MOST_PLANNED + 1).collect()
}

fn begin_of(at: DateTime<Utc>, zone: Tz, by: By) -> NaiveDateTime {
    let local = at.with_timezone(&zone).naive_local();
    local.date().and_hms_opt(if by == By::Hour { local.hour() } else { 0 }, 0, 0).unwrap_or(local)
}

fn end_of(begins: NaiveDateTime, by: By) -> NaiveDateTime {
    match by {
        By::Day => begins.checked_add_days(Days::new(1)),
        By::Hour => begins.checked_add_signed(TimeDelta::hours(1)),
    }
    .unwrap_or(begins)
}

/// The moment of a time on the wall; where the clocks were put forward over it, the moment when they were.
fn moment(wall: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    (0..4)
        .find_map(|step| zone.from_local_datetime(&(wall + TimeDelta::minutes(30 * step))).earliest())
        .map_or_else(|| wall.and_utc(), |at| at.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_zone_where_clocks_are_moved_too() {
        let zone: Tz = "Europe/Berlin".parse().unwrap();
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let day = |text: &str| begin_of(at(text), zone, By::Day).to_string();
        assert_eq!(day("2026-03-28T22:59:59Z"), "2026-03-28 00:00:00");
        assert_eq!(day("2026-03-28T23:00:00Z"), "2026-03-29 00:00:00");
        // The day has 23 hours, and 2:00 is none of them.
        let begins = begin_of(at("2026-03-29T05:00:00Z"), zone, By::Day);
        assert_eq!(moment(begins, zone), at("2026-03-28T23:00:00Z"));
        assert_eq!(moment(end_of(begins, By::Day), zone), at("2026-03-29T22:00:00Z"));
        let gone = begins + TimeDelta::hours(2);
        assert_eq!(moment(gone, zone), at("2026-03-29T01:00:00Z"));
        assert_eq!(begin_of(at("2026-03-29T01:30:00Z"), zone, By::Hour), begins + TimeDelta::hours(3));
    }
}
