//! Wall clocks and instants, resolved as Airflow (pendulum) does.

use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// What a clock on the wall in `zone` shows at `instant`.
pub(crate) fn wall(instant: DateTime<Utc>, zone: Tz) -> NaiveDateTime {
    let utc = instant.naive_utc();
    utc + offset_at(utc, zone)
}

/// The instant at which a clock on the wall in `zone` shows `local`. Shown twice: the later one. Never shown: as much later as the clock
/// was put forward, so that 02:30 in a gap of an hour is 03:30.
pub(crate) fn instant(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    let shift = into_known_years(local);
    let known = local - shift;
    let utc = match zone.from_local_datetime(&known) {
        LocalResult::Single(at) => at.naive_utc(),
        LocalResult::Ambiguous(_, later) => later.naive_utc(),
        // Reading the wall with the offset from before the gap is the same as pushing it forward by the width of the gap.
        LocalResult::None => known - offset_before_gap(known, zone),
    };
    (utc + shift).and_utc()
}

fn offset_at(utc: NaiveDateTime, zone: Tz) -> TimeDelta {
    let known = utc - into_known_years(utc);
    TimeDelta::seconds(zone.offset_from_utc_datetime(&known).fix().local_minus_utc().into())
}

/// chrono-tz has its tables up to 2099 and keeps the last offset from then on. The rules go on, so a later year is read as one of the
/// years before that has the same weekdays: the distance to it, zero for a year that is known.
fn into_known_years(at: NaiveDateTime) -> TimeDelta {
    let year = at.year();
    if year < 2100 {
        return TimeDelta::zero();
    }
    let first = |year: i32| NaiveDate::from_ymd_opt(year, 1, 1).unwrap_or_default();
    // 28 years hold each of the 14 kinds of year.
    let twin =
        (2072..2100).find(|twin| first(*twin).leap_year() == first(year).leap_year() && first(*twin).weekday() == first(year).weekday());
    first(year) - first(twin.unwrap_or(2099))
}

/// The offset that held up to the moment at which the clock jumped over `local`.
fn offset_before_gap(local: NaiveDateTime, zone: Tz) -> TimeDelta {
    // No zone was ever 17 hours off, so the jump lies in between; halving the distance finds it to the second, be the gap half an hour
    // (Lord Howe) or a whole day (Apia, 2011).
    let (mut before, mut after) = (local - TimeDelta::hours(17), local + TimeDelta::hours(17));
    while after - before > TimeDelta::seconds(1) {
        let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
        if middle + offset_at(middle, zone) <= local {
            before = middle;
        } else {
            after = middle;
        }
    }
    offset_at(before, zone)
}
