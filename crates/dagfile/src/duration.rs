//! Durations as people write them: `30s`, `5m`, `1h30m`, `PT5M`, or a number of seconds.

/// Milliseconds of `text`, or why there are none. Months and years are refused: they have no fixed length.
pub fn parse_ms(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err("a duration must not be empty".to_owned());
    }
    let ms = if trimmed.starts_with(['P', 'p']) {
        iso(&trimmed[1..])
    } else if trimmed.contains(':') {
        clock(trimmed)
    } else {
        plain(trimmed)
    };
    ms.ok_or_else(|| format!("{text:?} is not a duration: write 30s, 5m, 1h30m, 2d, PT5M or a number of seconds"))
}

/// Milliseconds of a number of seconds.
pub fn from_seconds(seconds: f64) -> Result<u64, String> {
    let ms = seconds * 1000.0;
    if !ms.is_finite() || ms < 0.0 || ms >= u64::MAX as f64 / 2.0 {
        return Err(format!("{seconds} seconds is not a duration"));
    }
    Ok(ms.round() as u64)
}

fn unit(word: &str) -> Option<f64> {
    Some(match word {
        "ms" => 1.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000.0,
        "d" | "day" | "days" => 86_400_000.0,
        "w" | "week" | "weeks" => 604_800_000.0,
        _ => return None,
    })
}

fn sum(parts: impl Iterator<Item = Option<f64>>) -> Option<u64> {
    let total = parts.sum::<Option<f64>>()?;
    (total.is_finite() && total < u64::MAX as f64 / 2.0).then_some(total.round() as u64)
}

/// Splits into (number, letters) pairs; `None` where the text is anything else.
fn pairs(text: &str) -> Option<Vec<(f64, String)>> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let number = rest[..digits].parse::<f64>().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        found.push((number, rest[..letters].to_ascii_lowercase()));
        rest = rest[letters..].trim_start();
    }
    Some(found)
}

fn plain(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return from_seconds(seconds).ok();
    }
    let pairs = pairs(text)?;
    sum(pairs.into_iter().map(|(number, letters)| unit(&letters).map(|ms| number * ms)))
}

fn iso(text: &str) -> Option<u64> {
    let text = text.to_ascii_uppercase();
    let (days, times) = match text.split_once('T') {
        Some((days, times)) if !times.is_empty() => (days, times),
        None if !text.is_empty() => (text.as_str(), ""),
        _ => return None,
    };
    let days = pairs(days)?.into_iter().map(|(n, u)| matches!(u.as_str(), "d" | "w").then(|| unit(&u).map(|ms| n * ms)).flatten());
    let times = pairs(times)?.into_iter().map(|(n, u)| matches!(u.as_str(), "h" | "m" | "s").then(|| unit(&u).map(|ms| n * ms)).flatten());
    sum(days.chain(times))
}

/// `HH:MM:SS`, as Python prints a timedelta.
fn clock(text: &str) -> Option<u64> {
    let parts: Vec<f64> = text.split(':').map(|p| p.parse().ok()).collect::<Option<_>>()?;
    match parts[..] {
        [h, m, s] if m < 60.0 && s < 60.0 => sum([Some((h * 3600.0 + m * 60.0 + s) * 1000.0)].into_iter()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("2d", 172_800_000),
            ("1 week", 604_800_000),
            ("250ms", 250),
            ("1.5s", 1_500),
            ("PT5M", 300_000),
            ("P1DT2H", 93_600_000),
            ("pt0.5s", 500),
            ("90", 90_000),
            ("0", 0),
            ("01:02:03", 3_723_000),
        ] {
            assert_eq!(parse_ms(text), Ok(ms), "{text}");
        }
        for text in ["", " ", "P", "PT", "5x", "m5", "P1M", "P1Y", "-5m", "1:2", "nan", "inf", "9e300h", "5m!", "1e400"] {
            assert!(parse_ms(text).is_err(), "{text}");
        }
    }
}
