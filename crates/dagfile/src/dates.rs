//! Dates as people write them in DAG files.

use chrono::{DateTime, Duration, LocalResult, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

/// The instant of `text`; one without an offset is in `zone`. A time that a clock change leaves out moves forward, one that comes twice is
/// the first.
pub(crate) fn parse(text: &str, zone: Tz) -> Result<DateTime<Utc>, String> {
    let text = text.trim();
    let joined =
        if text.as_bytes().get(10) == Some(&b' ') { format!("{}T{}", &text[..10], text[11..].trim_start()) } else { text.to_owned() };
    if let Ok(time) = DateTime::parse_from_rfc3339(&joined) {
        return Ok(time.with_timezone(&Utc));
    }
    let naive = NaiveDate::parse_from_str(&joined, "%Y-%m-%d")
        .map(|day| day.and_time(chrono::NaiveTime::MIN))
        .or_else(|_| NaiveDateTime::parse_from_str(&joined, "%Y-%m-%dT%H:%M:%S%.f"))
        .or_else(|_| NaiveDateTime::parse_from_str(&joined, "%Y-%m-%dT%H:%M"))
        .map_err(|_| format!("{text:?} is not a date"))?;
    Ok(local(naive, zone))
}

fn local(naive: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    match zone.from_local_datetime(&naive) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => time.with_timezone(&Utc),
        LocalResult::None => {
            // The offset from before the gap, so that the time moves on by the width of the gap.
            let before = zone.offset_from_utc_datetime(&(naive - Duration::hours(24)));
            (naive - chrono::Offset::fix(&before)).and_utc()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (text, zone, expect) in [
            ("2026-01-31", Tz::UTC, "2026-01-31T00:00:00+00:00"),
            ("2026-01-31", Tz::Europe__Stockholm, "2026-01-30T23:00:00+00:00"),
            ("2026-01-31 06:30", Tz::UTC, "2026-01-31T06:30:00+00:00"),
            ("2026-01-31T06:30:15.5", Tz::UTC, "2026-01-31T06:30:15.500+00:00"),
            ("2026-01-31 06:30:00+02:00", Tz::America__New_York, "2026-01-31T04:30:00+00:00"),
            ("2026-01-31T06:30:00Z", Tz::America__New_York, "2026-01-31T06:30:00+00:00"),
            // 02:30 does not exist on this day.
            ("2026-03-08 02:30", Tz::America__New_York, "2026-03-08T07:30:00+00:00"),
        ] {
            assert_eq!(parse(text, zone).map(|time| time.to_rfc3339()), Ok(expect.to_owned()), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "2026-02-30", "31.01.2026", "2026-01-31 25:00"] {
            assert!(parse(text, Tz::UTC).is_err(), "{text}");
        }
    }
}
