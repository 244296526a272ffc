//! Times out of text: Python's `fromisoformat` and `strptime`, dateutil's `parse`.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use chrono_tz::Tz;
use minijinja::Error;

use super::{Class, Moment, in_range, invalid};

impl Moment {
    /// Python's own time, in UTC.
    fn aware(at: DateTime<Utc>) -> Self {
        Self { class: Class::DateTime, ..Self::utc(at, ' ') }
    }

    /// Python's `datetime.fromisoformat`, in the shapes that turn up.
    pub(in crate::render) fn parse(text: &str) -> Result<Self, Error> {
        if let Ok(at) = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z")) {
            return Ok(Self::aware(at.with_timezone(&Utc)));
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
    pub(in crate::render) fn strptime(text: &str, format: &str) -> Result<Self, Error> {
        let bad = || invalid(format!("{text:?} does not match the format {format:?}"));
        if format.contains("%z") {
            return DateTime::parse_from_str(text, format).map(|at| Self::aware(at.with_timezone(&Utc))).map_err(|_| bad());
        }
        NaiveDateTime::parse_from_str(text, format)
            .or_else(|_| NaiveDate::parse_from_str(text, format).map(Into::into))
            .or_else(|_| NaiveDate::parse_from_str(&format!("{text} 1"), &format!("{format} %d")).map(Into::into))
            .map_err(|_| bad())
            .and_then(in_range)
            .map(Self::naive)
    }

    /// dateutil's `parser.parse`, in the shapes that turn up: ISO, and a day with its month in words or its parts with slashes.
    pub(in crate::render) fn parse_any(text: &str) -> Result<Self, Error> {
        const DATES: &[&str] = &[
            "%Y-%m-%d",
            "%Y%m%d",
            "%Y/%m/%d",
            "%m/%d/%Y",
            "%d %b %Y",
            "%d %B %Y",
            "%b %d %Y",
            "%B %d %Y",
            "%b %d, %Y",
            "%B %d, %Y",
            "%d-%b-%Y",
            "%d.%m.%Y",
        ];
        const TIMES: &[&str] = &["", " %H:%M", " %H:%M:%S", " %H:%M:%S%.f", " %I:%M %p", "T%H%M%S", "T%H:%M"];
        let text = text.trim();
        if let Ok(found) = Self::parse(text) {
            return Ok(found);
        }
        if let Some(rest) = text.strip_suffix(" UTC").or_else(|| text.strip_suffix('Z')) {
            return Self::parse_any(rest).map(|found| Self { zone: Some((Tz::UTC, chrono::TimeDelta::zero())), ..found });
        }
        for date in DATES {
            for time in TIMES {
                let format = format!("{date}{time}");
                let wall = NaiveDateTime::parse_from_str(text, &format)
                    .or_else(|_| NaiveDate::parse_from_str(text, &format).map(|day| day.and_time(NaiveTime::MIN)));
                if let Ok(wall) = wall {
                    return in_range(wall).map(Self::naive);
                }
            }
        }
        Err(invalid(format!("dateutil.parser.parse: {text:?} is in no format that is known here; strptime takes one")))
    }
}
