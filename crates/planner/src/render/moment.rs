//! Times in templates: what pendulum's and Python's objects answer.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use minijinja::value::{DynObject, Kwargs, Object, ObjectRepr, Value, from_args};
use minijinja::{Error, ErrorKind, State};

use crate::timetable::zone;

pub(super) fn invalid(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail.into())
}

fn too_far() -> Error {
    invalid("the date is out of range: years go from 1 to 9999")
}

/// Python's years, which also keep every sum below in range.
fn in_range(wall: NaiveDateTime) -> Result<NaiveDateTime, Error> {
    if (1..=9999).contains(&wall.year()) { Ok(wall) } else { Err(too_far()) }
}

/// Which Python class it plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    DateTime,
    Date,
    Time,
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
        Self { wall: at.naive_utc(), zone: Some((Tz::UTC, TimeDelta::zero())), class: Class::DateTime, separator }
    }

    fn naive(wall: NaiveDateTime) -> Self {
        Self { wall, zone: None, class: Class::DateTime, separator: ' ' }
    }

    /// Python's `datetime.fromisoformat`, in the shapes that turn up.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        if let Ok(at) = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z")) {
            return Ok(Self::utc(at.with_timezone(&Utc), ' '));
        }
        for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
            if let Ok(wall) = NaiveDateTime::parse_from_str(text, format) {
                return Ok(Self::naive(wall));
            }
        }
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| invalid(format!("{text:?} is no date such as 2026-01-02")))?;
        Ok(Self::naive(date.into()))
    }

    /// Python's `datetime.strptime`.
    pub(super) fn strptime(text: &str, format: &str) -> Result<Self, Error> {
        let bad = || invalid(format!("{text:?} does not match the format {format:?}"));
        if format.contains("%z") {
            return DateTime::parse_from_str(text, format).map(|at| Self::utc(at.with_timezone(&Utc), ' ')).map_err(|_| bad());
        }
        NaiveDateTime::parse_from_str(text, format)
            .or_else(|_| NaiveDate::parse_from_str(text, format).map(Into::into))
            .or_else(|_| NaiveDate::parse_from_str(&format!("{text} 1"), &format!("{format} %d")).map(Into::into))
            .map_err(|_| bad())
            .and_then(in_range)
            .map(Self::naive)
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

    pub(super) fn minus(&self, other: &Self) -> Result<TimeDelta, Error> {
        if self.zone.is_some() != other.zone.is_some() {
            return Err(invalid("a time with a zone and one without cannot be subtracted"));
        }
        Ok(self.instant() - other.instant())
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
            _ => None,
        };
        let (from, to) =
            span.ok_or_else(|| invalid(format!("{unit:?} is no unit: second, minute, hour, day, week, month, quarter, year")))?;
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
            Class::DateTime => format!("{}{separator}{time}{}", self.wall.format("%Y-%m-%d"), self.offset_text(true)),
        }
    }

    /// Python's strftime. chrono reads the same letters but for a few.
    pub(super) fn strftime(&self, format: &str) -> Result<String, Error> {
        use fmt::Write as _;
        let mut plain = String::with_capacity(format.len());
        let mut letters = format.chars();
        while let Some(c) = letters.next() {
            if c != '%' {
                plain.push(c);
                continue;
            }
            match letters.next() {
                Some('z') => plain.push_str(&self.offset_text(false)),
                Some('Z') => plain.push_str(&self.zone_abbreviation()),
                Some('f') => plain.push_str("%6f"),
                Some('s') => plain.push_str(&self.instant().and_utc().timestamp().to_string()),
                Some('c') => plain.push_str("%a %b %e %H:%M:%S %Y"),
                Some(other) => plain.extend(['%', other]),
                None => plain.push_str("%%"),
            }
        }
        let mut text = String::new();
        write!(text, "{}", self.wall.format(&plain)).map_err(|_| invalid(format!("{format:?} is no format that strftime knows")))?;
        Ok(text)
    }

    fn zone_abbreviation(&self) -> String {
        use chrono::TimeZone as _;
        self.zone.map(|(zone, _)| zone.from_utc_datetime(&self.instant()).format("%Z").to_string()).unwrap_or_default()
    }

    /// pendulum's `format`, the tokens in use.
    fn pendulum_format(&self, format: &str) -> Result<String, Error> {
        const TOKENS: &[(&str, &str)] = &[
            ("YYYY", "%Y"),
            ("YY", "%y"),
            ("MMMM", "%B"),
            ("MMM", "%b"),
            ("MM", "%m"),
            ("M", "%-m"),
            ("DDDD", "%j"),
            ("DDD", "%-j"),
            ("DD", "%d"),
            ("D", "%-d"),
            ("dddd", "%A"),
            ("ddd", "%a"),
            ("HH", "%H"),
            ("H", "%-H"),
            ("hh", "%I"),
            ("h", "%-I"),
            ("mm", "%M"),
            ("m", "%-M"),
            ("ss", "%S"),
            ("s", "%-S"),
            ("SSSSSS", "%f"),
            ("SSS", "%3f"),
            ("A", "%p"),
            ("ZZ", "%z"),
            ("X", "%s"),
        ];
        let mut out = String::new();
        let mut rest = format;
        'next: while let Some(c) = rest.chars().next() {
            if let Some((literal, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
                out.push_str(&literal.replace('%', "%%"));
                rest = after;
                continue;
            }
            for (token, strftime) in TOKENS {
                if let Some(after) = rest.strip_prefix(token) {
                    out.push_str(strftime);
                    rest = after;
                    continue 'next;
                }
            }
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
        self.strftime(&out)
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
            "time" => Value::from_object(Self { zone: None, class: Class::Time, ..**self }),
            "naive" => Value::from_object(Self { zone: None, separator: ' ', ..**self }),
            "timestamp" => float_timestamp(self.instant().and_utc()).into(),
            "weekday" => self.wall.weekday().num_days_from_monday().into(),
            "isoweekday" => self.wall.weekday().number_from_monday().into(),
            "to_date_string" => self.strftime("%Y-%m-%d")?.into(),
            "to_time_string" => self.strftime("%H:%M:%S")?.into(),
            "to_datetime_string" => self.strftime("%Y-%m-%d %H:%M:%S")?.into(),
            "to_iso8601_string" | "to_rfc3339_string" => {
                let iso = self.iso('T');
                if method == "to_iso8601_string" { iso.replace("+00:00", "Z") } else { iso }.into()
            }
            "diff" => {
                let (other,): (Value,) = from_args(args)?;
                let other = other.downcast_object_ref::<Self>().ok_or_else(|| invalid("diff takes a date"))?;
                Value::from_object(Delta(other.minus(self)?))
            }
            _ => return Err(Error::from(ErrorKind::UnknownMethod)),
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

/// Python's timedelta.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delta(pub(super) TimeDelta);

impl Delta {
    /// Python's `timedelta(days=…, hours=…)`.
    pub(super) fn from_parts(args: &[Value]) -> Result<Self, Error> {
        let (days, seconds, kwargs): (Option<f64>, Option<f64>, Kwargs) = from_args(args)?;
        let mut micros = days.unwrap_or(0.0) * 86_400e6 + seconds.unwrap_or(0.0) * 1e6;
        for (name, size) in [
            ("weeks", 604_800e6),
            ("days", 86_400e6),
            ("hours", 3_600e6),
            ("minutes", 60e6),
            ("seconds", 1e6),
            ("milliseconds", 1e3),
            ("microseconds", 1.0),
        ] {
            micros += kwargs.get::<Option<f64>>(name)?.unwrap_or(0.0) * size;
        }
        kwargs.assert_all_used()?;
        #[expect(clippy::cast_possible_truncation, reason = "a float that is too large saturates, and the sum then fails as out of range")]
        Ok(Self(TimeDelta::microseconds(micros.round() as i64)))
    }

    fn seconds(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "as in Python")]
        let micros = self.0.num_microseconds().unwrap_or(i64::MAX) as f64;
        micros / 1e6
    }
}

impl Object for Delta {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let seconds = self.0.num_seconds();
        Some(match key.as_str()? {
            "days" => seconds.div_euclid(86_400).into(),
            "seconds" => seconds.rem_euclid(86_400).into(),
            "microseconds" => (i64::from(self.0.subsec_nanos()) / 1000).into(),
            _ => return None,
        })
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        from_args::<()>(args)?;
        let seconds = self.0.num_seconds();
        Ok(match method {
            "total_seconds" => self.seconds().into(),
            "in_days" => (seconds / 86_400).into(),
            "in_hours" => (seconds / 3_600).into(),
            "in_minutes" => (seconds / 60).into(),
            "in_seconds" => seconds.into(),
            _ => return Err(Error::from(ErrorKind::UnknownMethod)),
        })
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Self>()?.0))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.num_seconds();
        match seconds.div_euclid(86_400) {
            0 => {}
            days @ (1 | -1) => write!(f, "{days} day, ")?,
            days => write!(f, "{days} days, ")?,
        }
        let rest = seconds.rem_euclid(86_400);
        write!(f, "{}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
    }
}

/// `a + b` and `a - b`, see [`super::rewrite`].
pub(super) fn sum(a: &Value, b: &Value, plus: bool) -> Result<Value, Error> {
    let (time_a, time_b) = (a.downcast_object_ref::<Moment>(), b.downcast_object_ref::<Moment>());
    let (delta_a, delta_b) = (a.downcast_object_ref::<Delta>(), b.downcast_object_ref::<Delta>());
    let sign = if plus { '+' } else { '-' };
    Ok(match (time_a, time_b, delta_a, delta_b) {
        (Some(time), _, _, Some(Delta(delta))) => Value::from_object(time.plus(if plus { *delta } else { -*delta })?),
        (_, Some(time), Some(Delta(delta)), _) if plus => Value::from_object(time.plus(*delta)?),
        (Some(a), Some(b), ..) if !plus => Value::from_object(Delta(a.minus(b)?)),
        (_, _, Some(Delta(a)), Some(Delta(b))) => {
            Value::from_object(Delta(if plus { a.checked_add(b) } else { a.checked_sub(b) }.ok_or_else(too_far)?))
        }
        _ => {
            if let (Some(a), Some(b)) = (a.as_str(), b.as_str())
                && plus
            {
                return Ok(format!("{a}{b}").into());
            }
            if let (Some(x), Some(y)) = (a.as_i64(), b.as_i64())
                && a.is_integer()
                && b.is_integer()
            {
                return if plus { x.checked_add(y) } else { x.checked_sub(y) }
                    .map(Value::from)
                    .ok_or_else(|| invalid("the number is too large"));
            }
            if let (Ok(x), Ok(y)) = (f64::try_from(a.clone()), f64::try_from(b.clone())) {
                return Ok(Value::from(if plus { x + y } else { x - y }));
            }
            let is_list = |v: &Value| v.kind() == minijinja::value::ValueKind::Seq;
            if plus && is_list(a) && is_list(b) {
                return Ok(a.try_iter()?.chain(b.try_iter()?).collect::<Vec<Value>>().into());
            }
            for value in [a, b] {
                if value.is_undefined() {
                    // An attribute of nothing: the engine's own error knows the name of what is missing.
                    return value.get_attr("value");
                }
            }
            return Err(invalid(format!("{} {sign} {} makes no sense", a.kind(), b.kind())));
        }
    })
}
