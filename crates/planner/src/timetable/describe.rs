//! A cron expression in English, in the words of the library that Airflow asks.

/// The item of a field.
enum Item<'a> {
    Star,
    One(&'a str),
    /// `*/5`, `0/5`, `3/5`, `1-9/5`.
    Every {
        bounds: Option<(&'a str, Option<&'a str>)>,
        step: &'a str,
    },
    Range(&'a str, &'a str),
    List(Vec<Item<'a>>),
}

fn item<'a>(text: &'a str, least: &str) -> Item<'a> {
    if text.contains(',') {
        return Item::List(text.split(',').map(|part| item(part, least)).collect());
    }
    match (text.split_once('/'), text.split_once('-')) {
        (Some((_, "1")), _) | (None, None) if matches!(text, "*" | "?" | "*/1") => Item::Star,
        (Some((bounds, step)), _) => {
            let bounds = match bounds.split_once('-') {
                Some((low, high)) => Some((low, Some(high))),
                None if bounds == "*" || bounds == least => None,
                None => Some((bounds, None)),
            };
            Item::Every { bounds, step }
        }
        (None, Some((low, high))) => Item::Range(low, high),
        _ => Item::One(text),
    }
}

/// `a`, `a and b`, `a, b, and c`.
fn join(parts: &[String], comma_before_and: bool) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [a, b] => format!("{a} and {b}"),
        [most @ .., last] => format!("{}{} and {last}", most.join(", "), if comma_before_and { "," } else { "" }),
    }
}

/// Describes the five fields of `text`; nothing for a shape that has no plain words.
pub(super) fn describe(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    let &[minute, hour, day, month, weekday] = text.split_ascii_whitespace().collect::<Vec<_>>().as_slice() else { return None };
    let one = |day: &str, weekday: &str| -> Option<String> {
        let sentence = format!("{}{}{}{}", time(minute, hour)?, days(day)?, weekdays(weekday)?, months(month)?);
        let mut letters = sentence.chars();
        Some(letters.next()?.to_uppercase().chain(letters).collect())
    };
    if day != "*" && weekday != "*" {
        return Some(format!("{} (or) {}", one(day, "*")?, one("*", weekday)?));
    }
    one(day, weekday)
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

fn clock(hour: &str, minute: u32) -> Option<String> {
    Some(format!("{:02}:{minute:02}", number(hour)?))
}

fn time(minute: &str, hour: &str) -> Option<String> {
    let (m, h) = (item(minute, "0"), item(hour, "0"));
    match (&m, &h) {
        (Item::One(m), Item::One(h)) => return Some(format!("at {}", clock(h, number(m)?)?)),
        (Item::Range(low, high), Item::One(h)) => {
            return Some(format!("every minute between {} and {}", clock(h, number(low)?)?, clock(h, number(high)?)?));
        }
        (Item::One(m), Item::List(hours)) if hours.iter().all(|h| matches!(h, Item::One(_))) => {
            let minute = number(m)?;
            let hours: Option<Vec<String>> = hours.iter().map(|h| if let Item::One(h) = h { clock(h, minute) } else { None }).collect();
            return Some(format!("at {}", join(&hours?, false)));
        }
        _ => {}
    }
    let past = "past the hour";
    let minutes = match &m {
        Item::Star => "every minute".to_owned(),
        // The full hour goes without saying where the hours have a rhythm of their own.
        Item::One("0") if matches!(h, Item::Star | Item::Every { bounds: None | Some((_, None)), .. }) => String::new(),
        Item::One(m) => format!("at {} minutes {past}", number(m)?),
        Item::Every { bounds: None, step } => format!("every {step} minutes"),
        Item::Every { bounds: Some((from, None)), step } => format!("every {step} minutes, starting at {from} minutes {past}"),
        Item::Every { bounds: Some((low, Some(high))), step } => format!("every {step} minutes, minutes {low} through {high} {past}"),
        Item::Range(low, high) => format!("minutes {low} through {high} {past}"),
        Item::List(items) => format!("at {} minutes {past}", join(&plain(items, |m| Some(number(m)?.to_string()))?, true)),
    };
    let hours = match &h {
        Item::Star => if minutes.is_empty() { "every hour" } else { "" }.to_owned(),
        Item::One(h) => format!("between {} and {}", clock(h, 0)?, clock(h, 59)?),
        Item::Every { bounds: None, step } => format!("every {step} hours"),
        Item::Every { bounds: Some((from, None)), step } => format!("every {step} hours, starting at {}", clock(from, 0)?),
        Item::Every { bounds: Some((low, Some(high))), step } => {
            format!("every {step} hours, between {} and {}", clock(low, 0)?, clock(high, 59)?)
        }
        Item::Range(low, high) => format!("between {} and {}", clock(low, 0)?, clock(high, 59)?),
        Item::List(items) => format!("at {}", join(&plain(items, |h| clock(h, 0))?, true)),
    };
    Some([minutes, hours].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "))
}

/// The texts of a list of plain values.
fn plain(items: &[Item<'_>], name: impl Fn(&str) -> Option<String>) -> Option<Vec<String>> {
    items.iter().map(|item| if let Item::One(value) = item { name(value) } else { None }).collect()
}

fn days(text: &str) -> Option<String> {
    Some(match item(text, "1") {
        Item::Star => String::new(),
        Item::One("l") => ", on the last day of the month".to_owned(),
        Item::One(day) => match day.strip_suffix('w').or_else(|| day.strip_prefix('w')) {
            Some(day) => format!(", on the weekday nearest day {} of the month", number(day)?),
            None => format!(", on day {} of the month", number(day)?),
        },
        Item::Every { bounds: None, step } => format!(", every {step} days"),
        Item::Every { bounds: Some((from, None)), step } => format!(", every {step} days, starting on day {from} of the month"),
        Item::Every { bounds: Some((low, Some(high))), step } => format!(", every {step} days, between day {low} and {high} of the month"),
        Item::Range(low, high) => format!(", between day {} and {} of the month", number(low)?, number(high)?),
        Item::List(items) => format!(", on day {} of the month", join(&plain(&items, |day| Some(number(day)?.to_string()))?, true)),
    })
}

fn month_name(text: &str) -> Option<String> {
    const NAMES: [&str; 12] =
        ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
    let named = |name: &&&str| name[..3].eq_ignore_ascii_case(text);
    match number(text) {
        Some(n) => NAMES.get((n as usize).checked_sub(1)?),
        None => NAMES.iter().find(named),
    }
    .map(|name| (*name).to_owned())
}

fn months(text: &str) -> Option<String> {
    Some(match item(text, "1") {
        Item::Star => String::new(),
        Item::One(month) => format!(", only in {}", month_name(month)?),
        Item::Every { bounds: None, step } => format!(", every {step} months"),
        Item::Every { bounds: Some((low, high)), step } => {
            format!(", every {step} months, {} through {}", month_name(low)?, month_name(high.unwrap_or("12"))?)
        }
        Item::Range(low, high) => format!(", {} through {}", month_name(low)?, month_name(high)?),
        Item::List(items) => format!(", only in {}", join(&plain(&items, month_name)?, true)),
    })
}

fn day_name(text: &str) -> Option<String> {
    const NAMES: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    let named = |name: &&&str| name[..3].eq_ignore_ascii_case(text);
    match number(text) {
        Some(n) if n <= 7 => NAMES.get(n as usize % 7),
        Some(_) => None,
        None => NAMES.iter().find(named),
    }
    .map(|name| (*name).to_owned())
}

fn weekdays(text: &str) -> Option<String> {
    Some(match item(text, "0") {
        Item::Star => String::new(),
        Item::One(day) => {
            if let Some(day) = day.strip_prefix('l') {
                format!(", on the last {} of the month", day_name(day)?)
            } else if let Some((day, nth)) = day.split_once('#') {
                let nth = ["first", "second", "third", "fourth", "fifth"].get((number(nth)? as usize).checked_sub(1)?)?;
                format!(", on the {nth} {} of the month", day_name(day)?)
            } else {
                format!(", only on {}", day_name(day)?)
            }
        }
        Item::Every { bounds: None, step } => format!(", every {step} days of the week"),
        Item::Every { .. } => return None,
        Item::Range(low, high) => format!(", {} through {}", day_name(low)?, day_name(high)?),
        Item::List(items) => format!(", only on {}", join(&plain(&items, day_name)?, true)),
    })
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn the_words_are_those_of_airflow() {
        let mut wrong = Vec::new();
        for (text, expect) in [
            ("* * * * *", "Every minute"),
            ("*/5 * * * *", "Every 5 minutes"),
            ("0 * * * *", "Every hour"),
            ("30 * * * *", "At 30 minutes past the hour"),
            ("0 0 * * *", "At 00:00"),
            ("15 6 * * *", "At 06:15"),
            ("0 6,18 * * *", "At 06:00 and 18:00"),
            ("0 6,12,18 * * *", "At 06:00, 12:00 and 18:00"),
            ("30 6,18 * * *", "At 06:30 and 18:30"),
            ("0 */2 * * *", "Every 2 hours"),
            ("15 */2 * * *", "At 15 minutes past the hour, every 2 hours"),
            ("*/30 8-17 * * *", "Every 30 minutes, between 08:00 and 17:59"),
            ("0 8-17 * * 1-5", "At 0 minutes past the hour, between 08:00 and 17:59, Monday through Friday"),
            ("0 0 1 * *", "At 00:00, on day 1 of the month"),
            ("0 0 * * 0", "At 00:00, only on Sunday"),
            ("0 0 * * 7", "At 00:00, only on Sunday"),
            ("0 0 1 1 *", "At 00:00, on day 1 of the month, only in January"),
            ("0 0 1 */3 *", "At 00:00, on day 1 of the month, every 3 months"),
            ("15,45 8-17 * * 1-5", "At 15 and 45 minutes past the hour, between 08:00 and 17:59, Monday through Friday"),
            ("0 9 * * mon-fri", "At 09:00, Monday through Friday"),
            ("0 9 * * MON,WED", "At 09:00, only on Monday and Wednesday"),
            ("0 0 13 * 5", "At 00:00, on day 13 of the month (or) At 00:00, only on Friday"),
            ("0 6 1 1,4,7,10 *", "At 06:00, on day 1 of the month, only in January, April, July, and October"),
            ("0 0 29 2 *", "At 00:00, on day 29 of the month, only in February"),
            ("0/15 * * * *", "Every 15 minutes"),
            ("0 0 L * *", "At 00:00, on the last day of the month"),
            ("0 0 * * 1#2", "At 00:00, on the second Monday of the month"),
            ("23 0-20/2 * * *", "At 23 minutes past the hour, every 2 hours, between 00:00 and 20:59"),
            ("0 0,12 1 */2 *", "At 00:00 and 12:00, on day 1 of the month, every 2 months"),
            ("5 4 * * sun", "At 04:05, only on Sunday"),
            ("10-20 3 * * *", "Every minute between 03:10 and 03:20"),
            ("10-20 * * * *", "Minutes 10 through 20 past the hour"),
            ("* 3 * * *", "Every minute, between 03:00 and 03:59"),
            ("0 0 1,15 * *", "At 00:00, on day 1 and 15 of the month"),
            ("0 0 1,10,15 * *", "At 00:00, on day 1, 10, and 15 of the month"),
            ("0 0 1-7 * *", "At 00:00, between day 1 and 7 of the month"),
            ("0 0 */2 * *", "At 00:00, every 2 days"),
            ("0 0 * 1-3 *", "At 00:00, January through March"),
            ("0 0 * jan *", "At 00:00, only in January"),
            ("0 0 * * 1,3,5", "At 00:00, only on Monday, Wednesday, and Friday"),
            ("0 0 15W * *", "At 00:00, on the weekday nearest day 15 of the month"),
            ("*/5 2 * * *", "Every 5 minutes, between 02:00 and 02:59"),
            ("*/1 * * * *", "Every minute"),
            ("0 */1 * * *", "Every hour"),
            ("*/5 */2 * * *", "Every 5 minutes, every 2 hours"),
            ("0,30 * * * *", "At 0 and 30 minutes past the hour"),
            ("0,15,30 * * * *", "At 0, 15, and 30 minutes past the hour"),
            ("5/15 * * * *", "Every 15 minutes, starting at 5 minutes past the hour"),
            ("0 22 * * 1-5", "At 22:00, Monday through Friday"),
            ("1 * * * *", "At 1 minutes past the hour"),
            ("0 0 * * */2", "At 00:00, every 2 days of the week"),
            ("0 1/3 * * *", "Every 3 hours, starting at 01:00"),
            ("0 0 * 3/2 *", "At 00:00, every 2 months, March through December"),
            ("0 0 5/3 * *", "At 00:00, every 3 days, starting on day 5 of the month"),
        ] {
            let found = describe(text).unwrap_or_default();
            if found != expect {
                wrong.push(format!("{text}\n  expected {expect}\n  found    {found}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(describe("1-5,*/20 * * * *"), None);
    }
}
