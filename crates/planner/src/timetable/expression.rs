//! A cron expression in a zone: the next and the previous fire time, as Airflow's `CronMixin` finds them.
//!
//! croner walks the calendar on the naive wall clock; what the zone makes of it is decided here (ADR 2).

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc, Weekday};
use chrono_tz::Tz;
use croner::{
    Cron, Direction,
    errors::CronError,
    parser::{CronParser, Seconds, Year},
    time::{CivilDate, CivilDateTime, CivilTime, CronDateTime, Resolution},
};

use super::describe::describe;
use super::field::{Field, Values, read};
use super::{Error, zone};

/// croniter gives up when the next match is more years away.
const HORIZON_YEARS: i32 = 50;

/// One expression. Made by [`Expression::parse`].
#[derive(Debug, Clone)]
pub(super) struct Expression {
    text: String,
    zone: Tz,
    /// Fires when any of them does.
    patterns: Vec<Cron>,
    /// The hour is `*`: the wall clock's distance to the next fire is walked in real time, so that an hour that occurs twice fires twice.
    every_hour: bool,
}

/// Airflow's presets and croniter's further ones.
fn preset(text: &str) -> Option<&'static str> {
    Some(match text.to_ascii_lowercase().as_str() {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@quarterly" => "0 0 1 */3 *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        _ => return None,
    })
}

impl Expression {
    pub(super) fn parse(text: &str, zone: Tz) -> Result<Self, Error> {
        let text = preset(text.trim()).unwrap_or(text).to_owned();
        if text.trim().starts_with('@') {
            return Err(Error::Preset { expression: text });
        }
        let lower = text.to_lowercase();
        let fields: Vec<&str> = lower.split_ascii_whitespace().collect();
        let &[minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(Error::FieldCount { expression: text, found: fields.len() });
        };
        let [minute, hour, day, month, weekday] = {
            let mut values: [Values; 5] = Default::default();
            for (i, (field, item)) in Field::ALL.into_iter().zip([minute, hour, day, month, weekday]).enumerate() {
                let other_has_star = match field {
                    Field::Day => weekday.contains('*'),
                    Field::Weekday => day.contains('*'),
                    _ => true,
                };
                values[i] = read(&text, field, item, other_has_star)?;
            }
            values
        };
        let clock = format!("{} {}", minute.list(), hour.list());
        let (days, needed) = days(&day, &weekday, &month);
        let parse = |days: &Days| {
            let pattern = format!("{clock} {} {} {}", days.day, days.month, days.weekday);
            CronParser::builder()
                .seconds(Seconds::Disallowed)
                .year(Year::Disallowed)
                .build()
                .parse(&pattern)
                .map_err(|why| Error::Expression { expression: text.clone(), why: why.to_string() })
        };
        let patterns = days.iter().map(&parse).collect::<Result<Vec<_>, _>>()?;
        let needed = needed.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let made = Self { every_hour: hour.is_plain_star(), text, zone, patterns };
        // 400 years are a whole cycle of the calendar, and no day that exists stays away for more than 40: what does not come within the
        // horizon of this day never comes.
        let any_day = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap_or_default().into();
        if made.next_on_wall(any_day).is_none() || needed.iter().any(|cron| search(cron, any_day, Direction::Forward).is_none()) {
            return Err(Error::NeverFires { expression: made.text });
        }
        Ok(made)
    }

    /// As written, presets spelled out.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// In English: Airflow's words where the shape has plain ones, else croner's.
    pub(super) fn description(&self) -> String {
        describe(&self.text).or_else(|| self.patterns.first().map(Cron::describe)).unwrap_or_default()
    }

    fn next_on_wall(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        self.patterns.iter().filter_map(|cron| search(cron, after, Direction::Forward)).min()
    }

    fn previous_on_wall(&self, before: NaiveDateTime) -> Option<NaiveDateTime> {
        self.patterns.iter().filter_map(|cron| search(cron, before, Direction::Backward)).max()
    }

    /// The first fire time after `current`; nothing beyond croniter's horizon of 50 years.
    pub(super) fn next(&self, current: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let wall = zone::wall(current, self.zone);
        let next = self.next_on_wall(wall)?;
        if self.every_hour { current.checked_add_signed(next - wall) } else { Some(zone::instant(next, self.zone)) }
    }

    /// The last fire time before `current`, by the wall clock: in an hour that occurs twice it may lie ahead, as it does in Airflow.
    pub(super) fn previous(&self, current: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let wall = zone::wall(current, self.zone);
        let previous = self.previous_on_wall(wall)?;
        if self.every_hour { current.checked_sub_signed(wall - previous) } else { Some(zone::instant(previous, self.zone)) }
    }
}

fn search(cron: &Cron, from: NaiveDateTime, direction: Direction) -> Option<NaiveDateTime> {
    let found = match direction {
        Direction::Forward => cron.find_next_occurrence(&Wall(from), false),
        Direction::Backward => {
            // croner drops the part of a second; the minute that it belongs to has begun before.
            let whole = from.with_nanosecond(0)?;
            cron.find_previous_occurrence(&Wall(whole), whole != from)
        }
    };
    let found = found.ok()?.0;
    // croniter counts from the minute after, which may be in the next year.
    let first =
        from.checked_add_signed(if direction == Direction::Forward { TimeDelta::minutes(1) } else { TimeDelta::microseconds(-1) })?;
    ((found.year() - first.year()).abs() <= HORIZON_YEARS).then_some(found)
}

/// The three day fields of a pattern for croner.
struct Days {
    day: String,
    month: String,
    weekday: String,
}

/// What croniter makes of the day fields, as patterns of which any may match, and as patterns that must be able to match at all for
/// croniter not to give up.
///
/// Both day fields restricted: either may match. `#`, `L5` and `15W` stay in force on both sides of that *or*, so it shrinks to them, and
/// croniter fails for good when the other side can never be met together with them (`0 0 29 2 1#1`).
fn days(day: &Values, weekday: &Values, month: &Values) -> (Vec<Days>, Vec<Days>) {
    let either = !day.star && !weekday.star;
    let months = month.list();
    let make = |day: &str, weekday: &str| Days { day: day.to_owned(), month: months.clone(), weekday: weekday.to_owned() };
    let has_nth = !weekday.nth.is_empty();
    let nth = format!("+{}", weekday.nth_list());
    match (day.nearest, has_nth) {
        (None, false) => (vec![make(&day.list(), &weekday.list())], vec![]),
        (None, true) if either => (vec![make("*", &weekday.nth_list())], vec![make(&day.list(), &nth)]),
        (None, true) if day.star => (vec![make("*", &weekday.nth_list())], vec![]),
        (None, true) => (vec![make(&day.list(), &nth)], vec![]),
        (Some(nearest), _) => {
            let with = if has_nth { nth } else { "*".to_owned() };
            let needed = if either && !has_nth { nearest_weekday(nearest, month, &format!("+{}", weekday.list())) } else { vec![] };
            (nearest_weekday(nearest, month, &with), needed)
        }
    }
}

/// `29W` to `31W` mean the last day of a month that is shorter; croner leaves such a month out.
fn nearest_weekday(day: u32, month: &Values, weekday: &str) -> Vec<Days> {
    let long_enough = |month: u32| match month {
        2 => day <= 28,
        4 | 6 | 9 | 11 => day <= 30,
        _ => true,
    };
    let wanted: Vec<u32> = if month.star { (1..=12).collect() } else { month.set.iter().copied().collect() };
    let (long, short): (Vec<u32>, Vec<u32>) = wanted.into_iter().partition(|m| long_enough(*m));
    let list = |months: &[u32]| months.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let mut days = Vec::new();
    if !long.is_empty() {
        days.push(Days { day: format!("{day}W"), month: list(&long), weekday: weekday.to_owned() });
    }
    if !short.is_empty() {
        days.push(Days { day: "LW".to_owned(), month: list(&short), weekday: weekday.to_owned() });
    }
    days
}

/// A wall clock without a zone, as croner sees it.
#[derive(Debug, Clone, Copy)]
struct Wall(NaiveDateTime);

impl CronDateTime for Wall {
    fn to_civil(&self) -> CivilDateTime {
        let t = self.0;
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(t.year(), t.month(), t.day()),
            CivilTime::from_parts_unchecked(t.hour(), t.minute(), t.second()),
        )
    }

    fn civil_weekday(&self) -> croner::time::Weekday {
        match self.0.weekday() {
            Weekday::Mon => croner::time::Weekday::Monday,
            Weekday::Tue => croner::time::Weekday::Tuesday,
            Weekday::Wed => croner::time::Weekday::Wednesday,
            Weekday::Thu => croner::time::Weekday::Thursday,
            Weekday::Fri => croner::time::Weekday::Friday,
            Weekday::Sat => croner::time::Weekday::Saturday,
            Weekday::Sun => croner::time::Weekday::Sunday,
        }
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        NaiveDate::from_ymd_opt(civil.year(), civil.month(), civil.day())
            .and_then(|day| day.and_hms_opt(civil.hour(), civil.minute(), civil.second()))
            .map(|at| Resolution::Single(Self(at)))
            .ok_or(CronError::InvalidDate)
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        TimeDelta::try_seconds(seconds).and_then(|delta| self.0.checked_add_signed(delta)).map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
