//! Spans of time in templates: Python's `timedelta`, pendulum's `Interval` between two times, and dateutil's `relativedelta`.

use std::fmt;
use std::sync::Arc;

use chrono::{Datelike, Months, NaiveDate, NaiveDateTime, TimeDelta, Timelike};
use minijinja::value::{DynObject, Kwargs, Object, ObjectRepr, Value, from_args};
use minijinja::{Error, State};

use super::moment::{Moment, invalid, too_far};

/// A length of time. One that is a difference knows between what, as pendulum's does.
#[derive(Debug, Clone)]
pub(super) struct Delta {
    length: TimeDelta,
    /// From, to. `length` is negative when they are the other way round.
    ends: Option<(Moment, Moment)>,
}

impl Delta {
    pub(super) fn new(length: TimeDelta) -> Self {
        Self { length, ends: None }
    }

    /// What is between two times.
    pub(super) fn between(from: &Moment, to: &Moment, length: TimeDelta) -> Self {
        Self { length, ends: Some((from.clone(), to.clone())) }
    }

    pub(super) fn length(&self) -> TimeDelta {
        self.length
    }

    pub(super) fn micros(&self) -> i128 {
        i128::from(self.length.num_seconds()) * 1_000_000 + i128::from(self.length.subsec_nanos() / 1000)
    }

    pub(super) fn of_micros(micros: i128) -> Result<Self, Error> {
        let micros = i64::try_from(micros).map_err(|_| too_far())?;
        Ok(Self::new(TimeDelta::microseconds(micros)))
    }

    #[expect(clippy::cast_precision_loss, reason = "as in Python")]
    pub(super) fn seconds(&self) -> f64 {
        self.micros() as f64 / 1e6
    }

    /// Python's `timedelta(days=…, hours=…)`.
    pub(super) fn from_parts(args: &[Value]) -> Result<Self, Error> {
        const NAMES: [(&str, f64); 7] = [
            ("days", 86_400e6),
            ("seconds", 1e6),
            ("microseconds", 1.0),
            ("milliseconds", 1e3),
            ("minutes", 60e6),
            ("hours", 3_600e6),
            ("weeks", 604_800e6),
        ];
        let (positional, kwargs) = split(args)?;
        if positional.len() > NAMES.len() {
            return Err(invalid("timedelta takes days, seconds, microseconds, milliseconds, minutes, hours, weeks"));
        }
        let mut micros = 0.0;
        for (i, (name, size)) in NAMES.into_iter().enumerate() {
            let given = match positional.get(i) {
                Some(value) => Some(f64::try_from(value.clone())?),
                None => kwargs.get::<Option<f64>>(name)?,
            };
            micros += given.unwrap_or(0.0) * size;
        }
        kwargs.assert_all_used()?;
        #[expect(clippy::cast_possible_truncation, reason = "a float that is too large saturates, and the sum then fails as out of range")]
        Ok(Self::new(TimeDelta::microseconds(micros.round_ties_even() as i64)))
    }

    /// Whole years, months, weeks, days, hours, minutes and seconds, in this order, without a sign.
    fn parts(&self) -> [i64; 7] {
        let (mut from, to) = match &self.ends {
            Some((from, to)) if self.length >= TimeDelta::zero() => (from.wall_beside(to), to.wall()),
            Some((from, to)) => (to.wall_beside(from), from.wall()),
            None => (NaiveDateTime::default(), NaiveDateTime::default() + self.length.abs()),
        };
        let mut months = 0;
        if self.ends.is_some() {
            months = i64::from(to.year() - from.year()) * 12 + i64::from(to.month()) - i64::from(from.month());
            let after = |months: i64| from.checked_add_months(Months::new(u32::try_from(months).unwrap_or(0)));
            if after(months).is_none_or(|there| there > to) {
                months -= 1;
            }
            from = after(months.max(0)).unwrap_or(from);
        }
        let rest = to - from;
        let days = rest.num_days();
        let seconds = rest.num_seconds() - days * 86_400;
        let months = months.max(0);
        [months / 12, months % 12, days / 7, days % 7, seconds / 3600, seconds / 60 % 60, seconds % 60]
    }

    fn in_words(&self) -> String {
        const UNITS: [&str; 7] = ["year", "month", "week", "day", "hour", "minute", "second"];
        let words: Vec<String> =
            self.parts().into_iter().zip(UNITS).filter(|(count, _)| *count > 0).map(|(count, unit)| counted(count, unit)).collect();
        if words.is_empty() { "0 microseconds".to_owned() } else { words.join(" ") }
    }

    /// pendulum's words for how far apart two times are: `1 day after`. `absolute`: `1 day`.
    pub(super) fn for_humans(&self, absolute: bool) -> String {
        let [years, months, weeks, days, hours, minutes, seconds] = self.parts();
        let rest = weeks * 7 + days;
        // pendulum's thresholds for rounding up.
        let words = if years > 0 {
            counted(years + i64::from(months > 6), "year")
        } else if months == 11 && rest > 15 {
            counted(1, "year")
        } else if months > 0 {
            counted(months + i64::from(rest >= 27), "month")
        } else if weeks > 0 {
            counted(weeks + i64::from(days > 3), "week")
        } else if days > 0 {
            counted(days + i64::from(hours >= 22), "day")
        } else if hours > 0 {
            counted(hours, "hour")
        } else if minutes > 0 {
            counted(minutes, "minute")
        } else if seconds > 10 {
            counted(seconds, "second")
        } else {
            "a few seconds".to_owned()
        };
        match absolute {
            true => words,
            false if self.length > TimeDelta::zero() => format!("{words} after"),
            false => format!("{words} before"),
        }
    }
}

fn counted(count: i64, unit: &str) -> String {
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Arguments by place, and those by name.
pub(super) fn split(args: &[Value]) -> Result<(&[Value], Kwargs), Error> {
    Ok(match args.split_last() {
        Some((last, rest)) if last.is_kwargs() => (rest, Kwargs::try_from(last.clone())?),
        _ => (args, Kwargs::from_iter(std::iter::empty::<(&str, Value)>())),
    })
}

impl Object for Delta {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let micros = self.micros();
        let seconds = i64::try_from(micros.div_euclid(1_000_000)).ok()?;
        let [years, months, weeks, days, hours, minutes, remaining] = self.parts();
        Some(match (key.as_str()?, self.ends.is_some()) {
            ("days", _) => seconds.div_euclid(86_400).into(),
            ("seconds", _) => seconds.rem_euclid(86_400).into(),
            ("microseconds", _) => i64::try_from(micros.rem_euclid(1_000_000)).ok()?.into(),
            ("years", true) => years.into(),
            ("months", true) => months.into(),
            ("weeks", true) => weeks.into(),
            ("remaining_days", true) => days.into(),
            ("hours", true) => hours.into(),
            ("minutes", true) => minutes.into(),
            ("remaining_seconds", true) => remaining.into(),
            ("invert", true) => (self.length < TimeDelta::zero()).into(),
            ("start", true) => Value::from_object(self.ends.as_ref()?.0.clone()),
            ("end", true) => Value::from_object(self.ends.as_ref()?.1.clone()),
            _ => return None,
        })
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        from_args::<()>(args)?;
        let seconds = self.length.num_seconds();
        let [years, months, ..] = self.parts();
        Ok(match (method, self.ends.is_some()) {
            ("total_seconds", _) => self.seconds().into(),
            ("total_minutes", true) => (self.seconds() / 60.0).into(),
            ("total_hours", true) => (self.seconds() / 3600.0).into(),
            ("total_days", true) => (self.seconds() / 86_400.0).into(),
            ("total_weeks", true) => (self.seconds() / 604_800.0).into(),
            ("in_years", true) => years.into(),
            ("in_months", true) => (years * 12 + months).into(),
            ("in_weeks", true) => (seconds / 604_800).into(),
            ("in_days", true) => (seconds / 86_400).into(),
            ("in_hours", true) => (seconds / 3_600).into(),
            ("in_minutes", true) => (seconds / 60).into(),
            ("in_seconds", true) => seconds.into(),
            ("in_words", true) => self.in_words().into(),
            ("as_timedelta" | "as_duration", true) => Value::from_object(Self::new(self.length)),
            _ => return Err(super::arithmetic::no_method()),
        })
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        Some(self.length.cmp(&other.downcast_ref::<Self>()?.length))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((from, to)) = &self.ends {
            let name = if from.separator() == 'T' { "Period" } else { "Interval" };
            return write!(f, "<{name} [{} -> {}]>", from.iso(from.separator()), to.iso(to.separator()));
        }
        let micros = self.micros();
        let seconds = micros.div_euclid(1_000_000);
        match seconds.div_euclid(86_400) {
            0 => {}
            days @ (1 | -1) => write!(f, "{days} day, ")?,
            days => write!(f, "{days} days, ")?,
        }
        let rest = seconds.rem_euclid(86_400);
        write!(f, "{}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)?;
        match micros.rem_euclid(1_000_000) {
            0 => Ok(()),
            fraction => write!(f, ".{fraction:06}"),
        }
    }
}

/// dateutil's `relativedelta`: `months=-1` moves, `day=31` sets.
#[derive(Debug, Clone, Default)]
pub(super) struct Relative {
    months: i64,
    rest: TimeDelta,
    /// Year, month, day, hour, minute, second, microsecond.
    set: [Option<u32>; 7],
}

impl Relative {
    pub(super) fn from_parts(args: &[Value]) -> Result<Self, Error> {
        let (kwargs,): (Kwargs,) = from_args(args)?;
        let number = |name: &str| kwargs.get::<Option<i64>>(name).map(Option::unwrap_or_default);
        let months =
            number("years")?.checked_mul(12).and_then(|years| years.checked_add(number("months").unwrap_or(0))).ok_or_else(too_far)?;
        let _ = kwargs.get::<Option<i64>>("months")?;
        let mut rest = TimeDelta::zero();
        for (name, size) in [
            ("weeks", 604_800_000_000),
            ("days", 86_400_000_000),
            ("hours", 3_600_000_000),
            ("minutes", 60_000_000),
            ("seconds", 1_000_000),
            ("microseconds", 1),
        ] {
            let micros = number(name)?.checked_mul(size).ok_or_else(too_far)?;
            rest = rest.checked_add(&TimeDelta::microseconds(micros)).ok_or_else(too_far)?;
        }
        let mut set = [None; 7];
        for (slot, name) in set.iter_mut().zip(["year", "month", "day", "hour", "minute", "second", "microsecond"]) {
            *slot = kwargs.get::<Option<u32>>(name)?;
        }
        kwargs.assert_all_used()?;
        Ok(Self { months, rest, set })
    }

    /// The time moved by this, or with `sign` -1 moved back. What is set is set either way.
    pub(super) fn applied(&self, time: &Moment, sign: i64) -> Result<Moment, Error> {
        let wall = time.wall();
        let [year, month, day, hour, minute, second, micro] = self.set;
        let old = |given: Option<u32>, old: u32| given.unwrap_or(old);
        let year = year.and_then(|year| i32::try_from(year).ok()).unwrap_or_else(|| wall.year());
        let first =
            NaiveDate::from_ymd_opt(year, old(month, wall.month()), 1).ok_or_else(|| invalid("relativedelta: there is no such month"))?;
        let by = self.months.saturating_mul(sign);
        let count = Months::new(u32::try_from(by.unsigned_abs()).unwrap_or(u32::MAX));
        let first = if by < 0 { first.checked_sub_months(count) } else { first.checked_add_months(count) }.ok_or_else(too_far)?;
        // A day that the month does not have is its last.
        let date = first.with_day(old(day, wall.day()).clamp(1, u32::from(first.num_days_in_month()))).ok_or_else(too_far)?;
        let micros = old(micro, wall.and_utc().timestamp_subsec_micros());
        let moved = date
            .and_hms_micro_opt(old(hour, wall.hour()), old(minute, wall.minute()), old(second, wall.second()), micros)
            .ok_or_else(|| invalid("relativedelta: there is no such time"))?;
        let rest = if sign < 0 { -self.rest } else { self.rest };
        time.moved_to(moved.checked_add_signed(rest).ok_or_else(too_far)?)
    }
}

impl Object for Relative {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "relativedelta(months={:+}, seconds={:+})", self.months, self.rest.num_seconds())
    }
}
