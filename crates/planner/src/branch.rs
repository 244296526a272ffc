//! Operators that choose among the tasks right after them by the time: `BranchDateTimeOperator`, `BranchDayOfWeekOperator`.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use updraft_model::dag::native::{BranchTask, BranchTest};

use crate::timetable::zone;
use crate::view::RunView;
use crate::wait::{Clock, clock_of};

/// The tasks that a branch goes on with, and all that come after those: of the tasks right after the branch only the others are skipped.
/// None: the task is no branch.
pub(crate) fn followed(view: &RunView, task: u32, now: DateTime<Utc>) -> Option<BTreeSet<u32>> {
    let branch = view.graph.branch(task)?;
    let zone = view.graph.spec().timezone.parse().unwrap_or(Tz::UTC);
    let ids = if is_true(branch, zone, view.logical_date, now) { &branch.if_true } else { &branch.if_false };
    let chosen: Vec<u32> = ids.iter().filter_map(|id| view.graph.position(id)).collect();
    let mut followed: BTreeSet<u32> = view.graph.closure(&chosen, true).into_iter().collect();
    followed.extend(chosen);
    Some(followed)
}

fn is_true(branch: &BranchTask, zone: Tz, logical_date: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    let at = if branch.of_logical_date { logical_date.unwrap_or(now) } else { now };
    match &branch.test {
        // As Airflow: today is a day of the DAG's zone, a logical date one of UTC.
        BranchTest::Weekday { days } => {
            let day = if branch.of_logical_date { at.weekday() } else { zone::wall(at, zone).weekday() };
            u8::try_from(day.number_from_monday()).is_ok_and(|day| days.contains(&day))
        }
        BranchTest::Between { lower, upper } => {
            let bound = |text: &Option<String>| text.as_deref().and_then(clock_of);
            let (lower, upper) = (bound(lower), bound(upper));
            let instant = |clock: Clock| match clock {
                // As Airflow: the time of day on the day that it is in UTC, read in the DAG's zone.
                Clock::Time(time) => zone::instant(at.date_naive().and_time(time), zone),
                Clock::Local(local) => zone::instant(local, zone),
                Clock::Instant(instant) => instant,
            };
            let first = lower.map(instant);
            let mut last = upper.map(instant);
            // From 22:00 to 02:00 ends on the day after. Two whole moments are taken as they stand.
            let of_day = |clock: Option<Clock>| matches!(clock, Some(Clock::Time(_)));
            if (of_day(lower) || of_day(upper))
                && let (Some(from), Some(to)) = (first, last)
                && to < from
            {
                last = Some(match upper {
                    Some(Clock::Time(time)) => next_day(at, time, zone),
                    _ => to + TimeDelta::days(1),
                });
            }
            first.is_none_or(|first| first <= at) && last.is_none_or(|last| at <= last)
        }
    }
}

fn next_day(at: DateTime<Utc>, time: NaiveTime, zone: Tz) -> DateTime<Utc> {
    zone::instant(at.date_naive().and_time(time) + TimeDelta::days(1), zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn between(lower: Option<&str>, upper: Option<&str>) -> BranchTask {
        BranchTask {
            test: BranchTest::Between { lower: lower.map(str::to_owned), upper: upper.map(str::to_owned) },
            of_logical_date: false,
            if_true: vec![],
            if_false: vec![],
        }
    }

    #[test]
    fn times_of_the_day_are_those_of_the_dags_zone() {
        let at_noon = time("2026-11-27T12:00:00Z");
        for (lower, upper, zone, good) in [
            (Some("11:00:00"), Some("13:00:00"), Tz::UTC, true),
            (Some("11:00:00"), Some("13:00:00"), Tz::Europe__Berlin, true),
            (Some("11:30:00"), Some("12:30:00"), Tz::Europe__Berlin, false),
            (Some("12:30:00"), Some("13:30:00"), Tz::Europe__Berlin, true),
            (None, Some("11:59:59"), Tz::UTC, false),
            (Some("12:00:00"), None, Tz::UTC, true),
            // Over midnight: the evening of this day, not its morning.
            (Some("22:00:00"), Some("02:00:00"), Tz::UTC, false),
            (Some("11:00:00"), Some("02:00:00"), Tz::UTC, true),
            (Some("2026-11-27T11:00:00"), Some("2026-11-27T13:00:00+00:00"), Tz::Asia__Tokyo, true),
            (Some("2026-11-28T11:00:00"), Some("2026-11-27T13:00:00"), Tz::UTC, false),
        ] {
            assert_eq!(is_true(&between(lower, upper), zone, None, at_noon), good, "{lower:?} {upper:?} {zone}");
        }
    }

    #[test]
    fn today_is_a_day_of_the_zone_and_a_date_one_of_utc() {
        // A Friday in UTC, Saturday in Tokyo.
        let at = time("2026-11-27T20:00:00Z");
        let of = |days: &[u8], of_logical_date| BranchTask {
            test: BranchTest::Weekday { days: days.to_vec() },
            of_logical_date,
            if_true: vec![],
            if_false: vec![],
        };
        assert!(is_true(&of(&[6, 7], false), Tz::Asia__Tokyo, None, at));
        assert!(!is_true(&of(&[5], false), Tz::Asia__Tokyo, None, at));
        assert!(is_true(&of(&[5], true), Tz::Asia__Tokyo, Some(at), at + TimeDelta::days(1)));
    }
}
