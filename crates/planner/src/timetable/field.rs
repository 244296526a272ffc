//! One field of a cron expression, read as croniter reads it and written again as the plain list that croner takes.
//!
//! The two crates agree on what a list of numbers means and on little else: croniter wraps a range that runs backwards (`22-4`, `fri-mon`),
//! takes `0/15` and a step that is longer than the field, reads an equal range (`5-5`) as the whole field, and refuses `/5`, `1,,2` and
//! `LW`. So ranges, steps and names are gone before croner sees anything.

use std::collections::{BTreeMap, BTreeSet};

use super::Error;

/// Which of the five.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Minute,
    Hour,
    Day,
    Month,
    Weekday,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Field {
    pub(super) const ALL: [Self; 5] = [Self::Minute, Self::Hour, Self::Day, Self::Month, Self::Weekday];

    fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day of the month",
            Self::Month => "month",
            Self::Weekday => "day of the week",
        }
    }

    /// Least and greatest value. Sunday is 0; 7 is turned into it.
    const fn range(self) -> (u32, u32) {
        match self {
            Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::Day => (1, 31),
            Self::Month => (1, 12),
            Self::Weekday => (0, 6),
        }
    }

    const fn size(self) -> usize {
        let (low, high) = self.range();
        (high - low + 1) as usize
    }

    fn number(self, text: &str) -> Option<u32> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            // A number too long for the type is out of every field's range all the same.
            let value = text.parse().unwrap_or(u32::MAX);
            return Some(if self == Self::Weekday && value == 7 { 0 } else { value });
        }
        let (names, first): (&[&str], u32) = match self {
            Self::Month => (&MONTHS, 1),
            Self::Weekday => (&WEEKDAYS, 0),
            _ => return None,
        };
        names.iter().zip(first..).find(|(name, _)| **name == text).map(|(_, value)| value)
    }
}

/// What a field asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Values {
    /// `*` is one of its items: no restriction, and the field does not take part in *day of the month or day of the week*.
    pub(super) star: bool,
    /// Plain values.
    pub(super) set: BTreeSet<u32>,
    /// `L`: the last day of the month.
    pub(super) last: bool,
    /// `15W`: the weekday (Monday to Friday) nearest to the 15th.
    pub(super) nearest: Option<u32>,
    /// `5#2` and `L5`: weekday → which of the month; 6 stands for the last.
    pub(super) nth: BTreeMap<u32, BTreeSet<u32>>,
}

/// Stands for `L` in [`Values::nth`].
pub(super) const LAST: u32 = 6;

impl Values {
    /// Whether it is `*` and nothing else, or was written in another way that croniter turns into that.
    pub(super) fn is_plain_star(&self) -> bool {
        self.star && self.set.is_empty() && !self.last
    }

    /// The list that croner takes.
    pub(super) fn list(&self) -> String {
        if self.star {
            return "*".to_owned();
        }
        let mut items: Vec<String> = self.set.iter().map(u32::to_string).collect();
        if self.last {
            items.push("L".to_owned());
        }
        items.join(",")
    }

    /// The list of [`Values::nth`] that croner takes.
    pub(super) fn nth_list(&self) -> String {
        let mut items = Vec::new();
        for (weekday, which) in &self.nth {
            items.extend(which.iter().map(|n| if *n == LAST { format!("{weekday}#L") } else { format!("{weekday}#{n}") }));
        }
        items.join(",")
    }
}

/// Reads a field. `text` is in lower case; `other_has_star` says whether the other of the two day fields holds a `*` anywhere, which
/// decides whether a field that lists all of its values counts as `*`.
pub(super) fn read(expression: &str, field: Field, text: &str, other_has_star: bool) -> Result<Values, Error> {
    let bad = |why: String| Error::Field { expression: expression.to_owned(), field: field.name(), value: text.to_owned(), why };
    let mut values = Values::default();
    if text == "?" && matches!(field, Field::Day | Field::Weekday) {
        values.star = true;
        return Ok(values);
    }
    for item in text.split(',') {
        read_item(field, item, &mut values).map_err(|why| bad(why.unwrap_or_else(|| advice(field, item))))?;
    }
    if values.nearest.is_some() && text.contains(',') {
        return Err(bad("W stands alone: it takes one day, and no list".to_owned()));
    }
    if !values.nth.is_empty() {
        // croniter keeps the weekdays of `#` items among the plain ones and refuses a plain one that has no `#` of its own.
        let plain = values.set.iter().any(|day| !values.nth.contains_key(day));
        let whole_week = values.set.union(&values.nth.keys().copied().collect()).count() == field.size();
        if plain && !whole_week {
            return Err(bad("plain weekdays and weekdays with # or L cannot be mixed: write two schedules".to_owned()));
        }
    }
    let listed = values.set.iter().chain(values.nth.keys()).collect::<BTreeSet<_>>().len();
    let everything = listed + usize::from(values.last) == field.size();
    if everything && !values.star && (other_has_star || !matches!(field, Field::Day | Field::Weekday)) {
        values.star = true;
        values.set.clear();
        values.last = false;
    }
    Ok(values)
}

type ItemResult<T> = Result<T, Option<String>>;

fn read_item(field: Field, item: &str, values: &mut Values) -> ItemResult<()> {
    if item == "*" {
        values.star = true;
        return Ok(());
    }
    match field {
        Field::Day if item == "l" => {
            values.last = true;
            return Ok(());
        }
        Field::Day => {
            if let Some(day) = item.strip_suffix('w').or_else(|| item.strip_prefix('w')).and_then(|day| field.number(day)) {
                if !(1..=31).contains(&day) {
                    return Err(Some(format!("{item} is not a day from 1 to 31")));
                }
                values.nearest = Some(day);
                return Ok(());
            }
        }
        Field::Weekday => {
            if let Some(day) = item.strip_prefix('l').and_then(|day| field.number(day)) {
                check(field, day)?;
                values.nth.entry(day).or_default().insert(LAST);
                return Ok(());
            }
            if let Some((days, nth)) = item.split_once('#') {
                let nth = nth.parse::<u32>().ok().filter(|n| (1..=5).contains(n));
                let Some(nth) = nth else { return Err(Some(format!("{item} asks for a week of the month that is not 1 to 5"))) };
                // Only names make a range here: croniter refuses `1-5#2` and takes `mon-fri#2`.
                let days = match days.split_once('-') {
                    Some((low, high)) if WEEKDAYS.contains(&low) && WEEKDAYS.contains(&high) => range(field, days)?.ok_or(None)?,
                    _ => BTreeSet::from([field.number(days).ok_or(None)?]),
                };
                for day in days {
                    check(field, day)?;
                    values.nth.entry(day).or_default().insert(nth);
                }
                return Ok(());
            }
        }
        Field::Minute | Field::Hour | Field::Month => {}
    }
    if let Some(found) = range(field, item)? {
        values.set.extend(found);
        return Ok(());
    }
    let value = field.number(item).ok_or(None)?;
    check(field, value)?;
    values.set.insert(value);
    Ok(())
}

fn check(field: Field, value: u32) -> ItemResult<()> {
    let (low, high) = field.range();
    if (low..=high).contains(&value) { Ok(()) } else { Err(Some(out_of_range(field))) }
}

fn out_of_range(field: Field) -> String {
    let (low, high) = field.range();
    format!("it goes from {low} to {}", if field == Field::Weekday { 7 } else { high })
}

/// `low-high`, `low-high/step`, `low/step` or `*/step`; nothing for an item that is none of them.
fn range(field: Field, item: &str) -> ItemResult<Option<BTreeSet<u32>>> {
    let (least, greatest) = field.range();
    let (bounds, step) = match item.split_once('/') {
        Some((bounds, step)) => (bounds, Some(step)),
        None => (item, None),
    };
    let step = match step {
        None => 1,
        Some(step) if !step.is_empty() && step.bytes().all(|b| b.is_ascii_digit()) => step.parse::<u32>().unwrap_or(u32::MAX),
        Some(_) => return Err(None),
    };
    if step == 0 {
        return Err(Some("a step of 0 goes nowhere".to_owned()));
    }
    let (low, high, starts_somewhere) = if bounds == "*" {
        (least, greatest, false)
    } else if let Some((low, high)) = bounds.split_once('-') {
        let high = if field == Field::Day && high == "l" { Some(31) } else { field.number(high) };
        (field.number(low).ok_or(None)?, high.ok_or(None)?, false)
    } else if item.contains('/') {
        (field.number(bounds).ok_or(None)?, greatest, true)
    } else {
        return Ok(None);
    };
    if low.max(high) > greatest {
        return Err(Some(out_of_range(field)));
    }
    // `sun-sun` and `5-5` go once round the clock; `59/15` is a start that leaves no room for a step.
    let (low, high) = if low == high && !starts_somewhere { (least, greatest) } else { (low, high) };
    let mut found: BTreeSet<u32> = (low..=greatest).step_by(step as usize).collect();
    if low <= high {
        found.retain(|value| *value <= high);
    } else {
        found.extend(wrapped(field, &found, step).filter(|value| *value <= high));
    }
    match found.first() {
        Some(first) => check(field, *first).map(|()| Some(found)),
        None => Err(None),
    }
}

/// The values of a range that runs backwards, from the start of the field on: croniter keeps the rhythm of the step across the end of the
/// field only where the next beat would fall beyond the first value.
fn wrapped(field: Field, before_end: &BTreeSet<u32>, step: u32) -> impl Iterator<Item = u32> + use<> {
    let (least, greatest) = field.range();
    let last = before_end.last().copied().unwrap_or(greatest);
    let left_over = greatest - last;
    let beyond = (last - least) as usize + step as usize > field.size();
    let skip = if beyond && left_over < step { step - left_over } else { 0 };
    (least + skip..=greatest).step_by(step as usize)
}

/// What to write instead of an item that makes no sense.
fn advice(field: Field, item: &str) -> String {
    let names = match field {
        Field::Month => ", or names from jan to dec",
        Field::Weekday => ", or names from sun to sat",
        _ => "",
    };
    if item.starts_with(['h', 'r']) && !item.chars().all(char::is_alphabetic) || item == "h" || item == "r" {
        return "hashed and random fields are not supported: write the time".to_owned();
    }
    let item = if item.is_empty() { "an empty item".to_owned() } else { format!("{item:?}") };
    format!("{item} is not understood: write numbers{names}, lists (1,5), ranges (1-5), steps (*/5)")
}
