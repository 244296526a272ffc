//! Times in templates: what pendulum's and Python's objects answer.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use minijinja::value::{DynObject, Kwargs, Object, ObjectRepr, Tuple, Value, from_args};
use minijinja::{Error, ErrorKind, State};

mod format;
mod parse;

use super::arithmetic::no_method;
use super::span::Delta;
use crate::timetable::zone;

pub(super) fn invalid(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail.into())
}

pub(super) fn too_far() -> Error {
    invalid("the date is out of range: years go from 1 to 9999")
}

/// Python's years, which also keep every sum below in range.
fn in_range(wall: NaiveDateTime) -> Result<NaiveDateTime, Error> {
    if (1..=9999).contains(&wall.year()) { Ok(wall) } else { Err(too_far()) }
}

/// Which Python class it plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// pendulum's: what Airflow puts into the context.
    Pendulum,
    /// Python's own.
    DateTime,
    Date,
    Time,
    /// `time.struct_time`.
    Tuple,
}

/// A date and time on the wall, with a zone or without.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    wall: NaiveDateTime,
    /// The zone and its offset at that time. Absent: naive, as `macros.datetime(2026, 1, 2)` is.
    zone: Option<(Tz, TimeDelta)>,
    class: Class,
    /// What stands between date and time when it is printed: pendulum 2 (Airflow 2) has a `T`, pendulum 3 and Python have a space.
    separator: char,
}

impl Moment {
    pub(super) fn utc(at: DateTime<Utc>, separator: char) -> Self {
        Self { wall: at.naive_utc(), zone: Some((Tz::UTC, TimeDelta::zero())), class: Class::Pendulum, separator }
    }

    pub(super) fn naive(wall: NaiveDateTime) -> Self {
        Self { wall, zone: None, class: Class::DateTime, separator: ' ' }
    }

    pub(super) fn wall(&self) -> NaiveDateTime {
        self.wall
    }

    pub(super) fn separator(&self) -> char {
        self.separator
    }

    /// Its wall clock as it would be where the other is.
    pub(super) fn wall_beside(&self, other: &Self) -> NaiveDateTime {
        other.zone.map_or(self.wall, |(_, offset)| self.instant() + offset)
    }

    /// The same kind of time with other hands.
    pub(super) fn moved_to(&self, wall: NaiveDateTime) -> Result<Self, Error> {
        in_range(wall).map(|wall| self.with(wall))
    }

    /// Python's `datetime(year, month, day, …)`.
    pub(super) fn from_parts(args: &[Value]) -> Result<Self, Error> {
        const NAMES: [&str; 7] = ["year", "month", "day", "hour", "minute", "second", "microsecond"];
        let (positional, named) = match args.split_last() {
            Some((last, rest)) if last.is_kwargs() => (rest, Some(last)),
            _ => (args, None),
        };
        let mut parts = [0u32; 7];
        for (i, (part, name)) in parts.iter_mut().zip(NAMES).enumerate() {
            let given =
                positional.get(i).cloned().or_else(|| named.and_then(|named| named.get_attr(name).ok()).filter(|v| !v.is_undefined()));
            *part = match given {
                Some(value) => u32::try_from(value).map_err(|_| invalid(format!("datetime: {name} is no number")))?,
                None if i < 3 => return Err(invalid(format!("datetime needs a {name}"))),
                None => 0,
            };
        }
        let [y, mo, d, h, mi, s, us] = parts;
        let y = i32::try_from(y).map_err(|_| invalid("datetime: the year is out of range"))?;
        let wall = NaiveDate::from_ymd_opt(y, mo, d).and_then(|day| day.and_hms_micro_opt(h, mi, s, us));
        wall.filter(|wall| in_range(*wall).is_ok())
            .map(Self::naive)
            .ok_or_else(|| invalid(format!("there is no {y}-{mo}-{d} {h}:{mi}:{s}")))
    }

    fn instant(&self) -> NaiveDateTime {
        self.wall - self.zone.map_or(TimeDelta::zero(), |(_, offset)| offset)
    }

    fn with(&self, wall: NaiveDateTime) -> Self {
        let zone = self.zone.map(|(zone, _)| (zone, wall - zone::instant(wall, zone).naive_utc()));
        // A time that the zone leaves out moves forward.
        let wall = self.zone.map_or(wall, |(zone, _)| zone::wall(zone::instant(wall, zone), zone));
        Self { wall, zone: zone.map(|(z, _)| (z, wall - zone::instant(wall, z).naive_utc())), ..*self }
    }

    fn in_zone(&self, name: &str) -> Result<Self, Error> {
        let to: Tz = name.parse().map_err(|_| invalid(format!("{name:?} is no time zone: write an IANA name such as Europe/Stockholm")))?;
        let instant = self.instant();
        let wall = zone::wall(instant.and_utc(), to);
        Ok(Self { wall, zone: Some((to, wall - instant)), ..*self })
    }

    pub(super) fn plus(&self, delta: TimeDelta) -> Result<Self, Error> {
        match self.zone {
            // Aware times move in real time.
            Some((zone, _)) => {
                let instant = self.instant().checked_add_signed(delta).ok_or_else(too_far)?;
                let wall = zone::wall(in_range(instant)?.and_utc(), zone);
                Ok(Self { wall, zone: Some((zone, wall - instant)), ..*self })
            }
            None => Ok(Self { wall: in_range(self.wall.checked_add_signed(delta).ok_or_else(too_far)?)?, ..*self }),
        }
    }

    /// What is between the other and this: pendulum's interval where one of the two is pendulum's.
    pub(super) fn since(&self, other: &Self) -> Result<Delta, Error> {
        if self.zone.is_some() != other.zone.is_some() {
            return Err(invalid("a time with a zone and one without cannot be subtracted"));
        }
        let length = self.instant() - other.instant();
        let knows_ends = |time: &Self| matches!(time.class, Class::Pendulum | Class::Date);
        Ok(if knows_ends(self) || knows_ends(other) { Delta::between(other, self, length) } else { Delta::new(length) })
    }

    /// pendulum's `add(years=…, days=…)`, or with `sign` -1 `subtract`.
    fn shifted(&self, args: &[Value], sign: i64) -> Result<Self, Error> {
        let (kwargs,): (Kwargs,) = from_args(args)?;
        let get = |name| kwargs.get::<Option<i64>>(name).map(|v| v.unwrap_or(0).saturating_mul(sign));
        let months = get("years")?.saturating_mul(12).saturating_add(get("months")?);
        let days = get("weeks")?.saturating_mul(7).saturating_add(get("days")?);
        let mut rest = TimeDelta::zero();
        for (name, size) in [("hours", 3_600_000_000), ("minutes", 60_000_000), ("seconds", 1_000_000), ("microseconds", 1)] {
            let micros = get(name)?.checked_mul(size).ok_or_else(too_far)?;
            rest = rest.checked_add(&TimeDelta::microseconds(micros)).ok_or_else(too_far)?;
        }
        kwargs.assert_all_used()?;
        let count = |n: i64| u32::try_from(n.unsigned_abs()).unwrap_or(u32::MAX);
        let wall = if months < 0 {
            self.wall.checked_sub_months(Months::new(count(months)))
        } else {
            self.wall.checked_add_months(Months::new(count(months)))
        };
        let wall = wall.and_then(|wall| {
            let by = Days::new(days.unsigned_abs());
            if days < 0 { wall.checked_sub_days(by) } else { wall.checked_add_days(by) }
        });
        // Years to days move the hands of the clock, hours and less go by.
        let moved = if months == 0 && days == 0 { self.clone() } else { self.with(in_range(wall.ok_or_else(too_far)?)?) };
        moved.plus(rest)
    }

    fn replaced(&self, args: &[Value]) -> Result<Self, Error> {
        let (kwargs,): (Kwargs,) = from_args(args)?;
        let w = self.wall;
        let get = |name, old: u32| kwargs.get::<Option<u32>>(name).map(|v| v.unwrap_or(old));
        let year = kwargs.get::<Option<i32>>("year")?.unwrap_or_else(|| w.year());
        let date = NaiveDate::from_ymd_opt(year, get("month", w.month())?, get("day", w.day())?);
        let micro = get("microsecond", w.and_utc().timestamp_subsec_micros())?;
        let time = (get("hour", w.hour())?, get("minute", w.minute())?, get("second", w.second())?);
        let wall =
            date.and_then(|date| date.and_hms_micro_opt(time.0, time.1, time.2, micro)).ok_or_else(|| invalid("there is no such date"))?;
        let cut = kwargs.has("tzinfo") && kwargs.get::<Value>("tzinfo")?.is_none();
        kwargs.assert_all_used()?;
        let wall = in_range(wall)?;
        Ok(if cut { Self { wall, zone: None, ..*self } } else { self.with(wall) })
    }

    fn bound(&self, unit: &str, end: bool) -> Result<Self, Error> {
        let day = self.wall.date();
        let months = |from: Option<NaiveDate>, n| from.and_then(|from| Some((from, from.checked_add_months(Months::new(n))?)));
        let span = match unit {
            "second" | "minute" | "hour" => {
                let seconds = i64::from(self.wall.num_seconds_from_midnight());
                let size = match unit {
                    "second" => 1,
                    "minute" => 60,
                    _ => 3600,
                };
                let from = day.and_time(NaiveTime::MIN) + TimeDelta::seconds(seconds - seconds % size);
                let to = from + TimeDelta::seconds(size) - TimeDelta::microseconds(1);
                return Ok(self.with(if end { to } else { from }));
            }
            "day" => Some((day, day + Days::new(1))),
            "week" => {
                let from = day - Days::new(day.weekday().num_days_from_monday().into());
                Some((from, from + Days::new(7)))
            }
            "month" => months(day.with_day(1), 1),
            "quarter" => months(NaiveDate::from_ymd_opt(day.year(), (day.month0() / 3) * 3 + 1, 1), 3),
            "year" => months(NaiveDate::from_ymd_opt(day.year(), 1, 1), 12),
            "decade" => months(NaiveDate::from_ymd_opt(day.year() / 10 * 10, 1, 1), 120),
            "century" => months(NaiveDate::from_ymd_opt((day.year() - 1) / 100 * 100 + 1, 1, 1), 1200),
            _ => None,
        };
        let (from, to) = span.ok_or_else(|| {
            invalid(format!("{unit:?} is no unit: second, minute, hour, day, week, month, quarter, year, decade, century"))
        })?;
        let wall = if end { NaiveDateTime::from(to) - TimeDelta::microseconds(1) } else { from.into() };
        Ok(self.with(wall))
    }

    fn offset_text(&self, colon: bool) -> String {
        let Some((_, offset)) = self.zone else { return String::new() };
        let minutes = offset.num_minutes();
        let sign = if minutes < 0 { '-' } else { '+' };
        let minutes = minutes.abs();
        format!("{sign}{:02}{}{:02}", minutes / 60, if colon { ":" } else { "" }, minutes % 60)
    }

    pub(super) fn iso(&self, separator: char) -> String {
        let micros = self.wall.and_utc().timestamp_subsec_micros();
        let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
        let time = format!("{}{fraction}", self.wall.format("%H:%M:%S"));
        match self.class {
            Class::Date => self.wall.format("%Y-%m-%d").to_string(),
            Class::Time => time,
            Class::Pendulum | Class::DateTime | Class::Tuple => {
                format!("{}{separator}{time}{}", self.wall.format("%Y-%m-%d"), self.offset_text(true))
            }
        }
    }

    /// pendulum's `next` and `previous` day of the week, 0 for Monday; without one, that of this day.
    fn neighbour(&self, args: &[Value], forward: bool) -> Result<Self, Error> {
        let (weekday,): (Option<u32>,) = from_args(args)?;
        let own = self.wall.weekday().num_days_from_monday();
        let wanted = weekday.unwrap_or(own);
        if wanted > 6 {
            return Err(invalid("days of the week go from 0, Monday, to 6"));
        }
        let distance = if forward { wanted + 7 - own } else { own + 7 - wanted };
        let days = Days::new(u64::from(if distance % 7 == 0 { 7 } else { distance % 7 }));
        let day = self.wall.date();
        let day = if forward { day.checked_add_days(days) } else { day.checked_sub_days(days) };
        self.moved_to(day.ok_or_else(too_far)?.into())
    }

    /// pendulum's `diff` and what it says of it. Without another time it would ask the clock.
    fn diff(&self, args: &[Value]) -> Result<(Delta, bool), Error> {
        let (positional, kwargs) = super::span::split(args)?;
        let other = positional.first().cloned().map_or_else(|| kwargs.get::<Option<Value>>("other"), |other| Ok(Some(other)))?;
        let absolute = kwargs.get::<Option<bool>>("absolute")?;
        let absolute = positional.get(1).map_or(absolute, |given| Some(given.is_true()));
        let _ = (kwargs.get::<Option<bool>>("abs")?, kwargs.get::<Option<Value>>("dt")?);
        kwargs.assert_all_used()?;
        let other = other.filter(|other| !other.is_none()).ok_or_else(|| invalid("without another time that reads the clock: name one"))?;
        let other = other.downcast_object_ref::<Self>().ok_or_else(|| invalid("that is no time to compare with"))?;
        Ok((self.since(other)?, absolute.unwrap_or(false)))
    }

    /// `for_humans`: `1 day after`.
    pub(super) fn diff_for_humans(&self, args: &[Value]) -> Result<String, Error> {
        self.diff(args).map(|(span, absolute)| span.for_humans(absolute))
    }

    /// Python's `datetime.combine`.
    pub(super) fn combined(date: &Self, time: &Self) -> Self {
        Self { zone: time.zone, ..Self::naive(date.wall.date().and_time(time.wall.time())) }
    }

    /// Seconds since 1970, of a naive time as UTC.
    pub(super) fn timestamp(&self) -> f64 {
        float_timestamp(self.instant().and_utc())
    }

    /// `time.struct_time`.
    pub(super) fn tuple(&self) -> Self {
        Self { class: Class::Tuple, ..self.clone() }
    }

    fn date(&self) -> Self {
        Self { wall: self.wall.date().into(), zone: None, class: Class::Date, separator: ' ' }
    }
}

impl Object for Moment {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let (w, instant) = (self.wall, self.instant().and_utc());
        Some(match key.as_str()? {
            "year" => w.year().into(),
            "month" => w.month().into(),
            "day" => w.day().into(),
            "hour" => w.hour().into(),
            "minute" => w.minute().into(),
            "second" => w.second().into(),
            "microsecond" => instant.timestamp_subsec_micros().into(),
            "int_timestamp" => instant.timestamp().into(),
            "float_timestamp" => float_timestamp(instant).into(),
            "day_of_week" => w.weekday().num_days_from_monday().into(),
            "day_of_year" => w.ordinal().into(),
            "week_of_year" => w.iso_week().week().into(),
            "week_of_month" => ((w.day() + w.with_day(1)?.weekday().num_days_from_monday()).div_ceil(7)).into(),
            "days_in_month" => u32::from(w.num_days_in_month()).into(),
            "quarter" => (w.month0() / 3 + 1).into(),
            "tm_year" if self.class == Class::Tuple => w.year().into(),
            "tm_mon" if self.class == Class::Tuple => w.month().into(),
            "tm_mday" if self.class == Class::Tuple => w.day().into(),
            "tm_hour" if self.class == Class::Tuple => w.hour().into(),
            "tm_min" if self.class == Class::Tuple => w.minute().into(),
            "tm_sec" if self.class == Class::Tuple => w.second().into(),
            "tm_wday" if self.class == Class::Tuple => w.weekday().num_days_from_monday().into(),
            "tm_yday" if self.class == Class::Tuple => w.ordinal().into(),
            "tzinfo" => self.zone.map_or_else(|| Value::from(()), |(zone, _)| zone.name().into()),
            "offset_hours" =>
            {
                #[expect(clippy::cast_precision_loss, reason = "a day has few seconds")]
                Value::from(self.zone?.1.num_seconds() as f64 / 3600.0)
            }
            "timezone_name" => self.zone?.0.name().into(),
            "offset" => self.zone?.1.num_seconds().into(),
            _ => return None,
        })
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        let text = || from_args::<(&str,)>(args).map(|(text,)| text);
        Ok(match method {
            "strftime" => self.strftime(text()?)?.into(),
            "format" => self.pendulum_format(text()?)?.into(),
            "isoformat" => {
                let (separator, kwargs): (Option<String>, Kwargs) = from_args(args)?;
                let separator = separator.map_or_else(|| kwargs.get::<Option<String>>("sep"), |s| Ok(Some(s)))?;
                kwargs.assert_all_used()?;
                self.iso(separator.and_then(|s| s.chars().next()).unwrap_or('T')).into()
            }
            "add" => Value::from_object(self.shifted(args, 1)?),
            "subtract" => Value::from_object(self.shifted(args, -1)?),
            "replace" | "set" => Value::from_object(self.replaced(args)?),
            "in_timezone" | "in_tz" | "astimezone" => Value::from_object(self.in_zone(text()?)?),
            "start_of" => Value::from_object(self.bound(text()?, false)?),
            "end_of" => Value::from_object(self.bound(text()?, true)?),
            "date" => Value::from_object(self.date()),
            "time" => Value::from_object(Self { zone: None, class: Class::Time, separator: ' ', ..**self }),
            "naive" => Value::from_object(Self { zone: None, separator: ' ', ..**self }),
            "timestamp" => self.timestamp().into(),
            "weekday" => self.wall.weekday().num_days_from_monday().into(),
            "isoweekday" => self.wall.weekday().number_from_monday().into(),
            "toordinal" => self.wall.num_days_from_ce().into(),
            "isocalendar" => {
                let week = self.wall.iso_week();
                let parts = [i64::from(week.year()), week.week().into(), self.wall.weekday().number_from_monday().into()];
                Value::from(Tuple::new(parts.map(Value::from).into()))
            }
            "timetuple" | "utctimetuple" => Value::from_object(self.tuple()),
            "is_leap_year" => self.wall.date().leap_year().into(),
            "next" => Value::from_object(self.neighbour(args, true)?),
            "previous" => Value::from_object(self.neighbour(args, false)?),
            "first_of" => Value::from_object(self.bound(text()?, false)?),
            "last_of" => Value::from_object(self.bound(text()?, true)?.bound("day", false)?),
            "average" => {
                let (span, _) = self.diff(args)?;
                Value::from_object(self.plus(-span.length() / 2)?)
            }
            "diff" => {
                let (span, _) = self.diff(args)?;
                let other = self.plus(-span.length())?;
                // It goes from the earlier to the later.
                let (from, to) = if span.length() < TimeDelta::zero() { (self.as_ref(), &other) } else { (&other, self.as_ref()) };
                Value::from_object(Delta::between(from, to, span.length().abs()))
            }
            "diff_for_humans" => self.diff_for_humans(args)?.into(),
            "utcoffset" => self.zone.map_or_else(|| Value::from(()), |(_, offset)| Value::from_object(Delta::new(offset))),
            "tzname" => self.strftime("%Z")?.into(),
            _ => match self.named_format(method) {
                Some(text) => text?.into(),
                None => return Err(no_method()),
            },
        })
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        Some(self.instant().cmp(&other.downcast_ref::<Self>()?.instant()))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iso(self.separator))
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of this age fit a double, as they do in Python")]
fn float_timestamp(at: DateTime<Utc>) -> f64 {
    at.timestamp_micros() as f64 / 1e6
}
