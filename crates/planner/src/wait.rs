//! What a task that the scheduler waits for itself comes to: the rules of Airflow's sensors as pure functions of what is known and of `now`.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use updraft_model::DagSpec;
use updraft_model::dag::native::{ExternalTasks, WaitFor, WaitTask};

use crate::render::RunFacts;
use crate::timetable::zone;

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is there.
    There(String),
    /// It is not there, and will be at this time; never, if there is none. What it is, as the end of a sentence.
    At(Option<DateTime<Utc>>, String),
    /// It is not there, and only another look can tell.
    LookAgain(String),
    /// It will not come: what was waited for failed, or does not exist. Costs a retry.
    Failed(&'static str, String),
    /// It was skipped.
    Skipped(&'static str, String),
}

/// What becomes of the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It is a success.
    Succeed {
        /// For people.
        message: String,
    },
    /// It waits on.
    Wait {
        /// It is looked at again then.
        at: DateTime<Utc>,
        /// For people.
        message: String,
    },
    /// It fails.
    Fail {
        /// A short word.
        reason: &'static str,
        /// For people.
        message: String,
        /// Whether it may be tried again.
        again: bool,
    },
    /// It is skipped.
    Skip {
        /// A short word.
        reason: &'static str,
        /// For people.
        message: String,
    },
}

/// Weighs what was found against the task's time limits. `since` is when this attempt began to wait.
pub fn weigh(wait: &WaitTask, execution_timeout_ms: Option<u64>, since: DateTime<Utc>, now: DateTime<Utc>, found: Found) -> Next {
    let ends = |ms: Option<u64>| ms.and_then(|ms| since.checked_add_signed(delta(ms)));
    let (timeout, execution_timeout) = (ends(wait.timeout_ms), ends(execution_timeout_ms));
    let fail = |reason, message: String, again| {
        if wait.soft_fail {
            Next::Skip { reason, message: format!("{message}; it is skipped, since soft_fail is on") }
        } else {
            Next::Fail { reason, message, again }
        }
    };
    let (at, message) = match found {
        Found::There(message) => return Next::Succeed { message },
        Found::Failed(reason, message) => return fail(reason, message, true),
        Found::Skipped(reason, message) => return Next::Skip { reason, message },
        Found::At(Some(at), what) if at <= now => return Next::Succeed { message: format!("waited {what}") },
        Found::At(at, what) => (at.unwrap_or(DateTime::<Utc>::MAX_UTC), format!("waits {what}")),
        Found::LookAgain(message) => (now + pause(wait, now - since), message),
    };
    if execution_timeout.is_some_and(|end| end <= now) {
        return fail("timeout", format!("{message}; it took longer than its execution_timeout"), true);
    }
    if timeout.is_some_and(|end| end <= now) {
        // As Airflow: a sensor that has waited for too long is not tried again.
        return fail("sensor_timeout", format!("{message}; it waited for longer than its timeout"), false);
    }
    let at = [timeout, execution_timeout].into_iter().flatten().fold(at, Ord::min);
    Next::Wait { at, message }
}

/// How long until the next look. With a backoff the time grows with what was waited already: each look is about twice as late as the last.
fn pause(wait: &WaitTask, waited: TimeDelta) -> TimeDelta {
    let interval = delta(wait.poke_interval_ms.max(1000));
    if !wait.exponential_backoff {
        return interval;
    }
    let grown = waited.max(interval);
    wait.max_wait_ms.map_or(grown, |most| grown.min(delta(most)).max(TimeDelta::seconds(1)))
}

fn delta(ms: u64) -> TimeDelta {
    // A thousand years are for ever.
    TimeDelta::milliseconds(i64::try_from(ms).unwrap_or(i64::MAX).min(31_536_000_000_000))
}

/// Of what a clock alone tells: whether it is there, and when it will be. None: it takes more than a clock.
pub fn by_clock(what: &WaitFor, run: &RunFacts, since: DateTime<Utc>) -> Result<Option<Found>, String> {
    let zone: Tz = run.dag.timezone.parse().unwrap_or(Tz::UTC);
    let (at, what) = match what {
        WaitFor::Moment { target_time } => match clock_of(target_time) {
            Some(Clock::Instant(at)) => (at, String::new()),
            Some(Clock::Local(local)) => (local.and_utc(), String::new()),
            _ => {
                return Err(format!("target_time is {target_time:?}, which is no date and time; write it as 2026-11-27T08:00:00+00:00"));
            }
        },
        WaitFor::TimeOfDay { target_time } => match clock_of(target_time) {
            Some(Clock::Time(time)) => {
                let day = zone::wall(since, zone).date();
                (zone::instant(day.and_time(time), zone), format!(" ({target_time} in {})", run.dag.timezone))
            }
            _ => return Err(format!("target_time is {target_time:?}, which is no time of the day")),
        },
        WaitFor::Delta { delta_ms } => {
            let end = run.data_interval_end.unwrap_or(run.run_after);
            let at = end.checked_add_signed(TimeDelta::milliseconds(*delta_ms)).unwrap_or(DateTime::<Utc>::MAX_UTC);
            (at, format!(" ({} after the end of the run's data interval)", span(*delta_ms)))
        }
        WaitFor::Duration { duration_ms } => (
            since.checked_add_signed(delta(*duration_ms)).unwrap_or(DateTime::<Utc>::MAX_UTC),
            format!(" ({} after it began)", span(i64::try_from(*duration_ms).unwrap_or(i64::MAX))),
        ),
        WaitFor::Weekday { days, of_logical_date } => return Ok(Some(weekday(days, *of_logical_date, run, since))),
        WaitFor::External(_) | WaitFor::Run(_) => return Ok(None),
    };
    Ok(Some(Found::At(Some(at), format!("until {}{what}", text(at)))))
}

fn weekday(days: &[u8], of_logical_date: bool, run: &RunFacts, since: DateTime<Utc>) -> Found {
    const NAMES: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let is_one = |day: NaiveDate| u8::try_from(day.weekday().number_from_monday()).is_ok_and(|day| days.contains(&day));
    let named: Vec<&str> = days.iter().filter_map(|day| NAMES.get(usize::from(*day).wrapping_sub(1)).copied()).collect();
    let wanted = named.join(" or ");
    if of_logical_date {
        let day = run.logical_date().date_naive();
        return if is_one(day) {
            Found::There(format!("the run's date {day} is a {wanted}"))
        } else {
            Found::At(None, format!("for the run's date to be a {wanted}, which {day} never will be"))
        };
    }
    let today = since.date_naive();
    let day = today.iter_days().take(8).find(|day| is_one(*day));
    let at = day.map(|day| if day == today { since } else { day.and_time(NaiveTime::MIN).and_utc() });
    Found::At(at, format!("for {wanted} (by UTC)"))
}

/// Of tasks or a run of another DAG, by their states in its run for the date. `states` is empty when there is no such run yet; `wanted` how many
/// there have to be.
pub fn by_states(external: &ExternalTasks, states: &[String], wanted: usize, date: DateTime<Utc>) -> Found {
    let any = |of: &[String]| states.iter().find(|state| of.contains(state));
    let dag = &external.external_dag_id;
    let what = match (&external.external_task_group_id, external.external_task_ids.as_slice()) {
        (Some(group), _) => format!("the tasks of group {group} of DAG {dag}"),
        (None, []) => format!("the run of DAG {dag}"),
        (None, [one]) => format!("task {one} of DAG {dag}"),
        (None, more) => format!("tasks {} of DAG {dag}", more.join(", ")),
    };
    let what = format!("{what} for {}", text(date));
    if let Some(state) = any(&external.failed_states) {
        return Found::Failed("external_failed", format!("{what}: {state}, which failed_states has"));
    }
    if let Some(state) = any(&external.skipped_states) {
        return Found::Skipped("external_skipped", format!("{what}: {state}, which skipped_states has"));
    }
    let there = states.iter().filter(|state| external.allowed_states.contains(state)).count();
    let allowed = external.allowed_states.join(" or ");
    if wanted > 0 && there == wanted {
        return Found::There(format!("{what}: {allowed}"));
    }
    let stand = match states {
        [] => "there is no such run yet".to_owned(),
        [one] if wanted <= 1 => format!("it is {one}"),
        _ => format!("{there} of {wanted} are"),
    };
    Found::LookAgain(format!("waits for {what} to be {allowed}: {stand}"))
}

/// Positions of a group's tasks, those of groups in it too. None: there is no such group.
pub fn tasks_of_group(dag: &DagSpec, group: &str) -> Option<Vec<u32>> {
    dag.task_groups.iter().find(|known| known.group_id == group)?;
    let inside = |task_group: Option<&str>| {
        let mut at = task_group;
        while let Some(id) = at {
            if id == group {
                return true;
            }
            at = dag.task_groups.iter().find(|known| known.group_id == id).and_then(|known| known.parent.as_deref());
        }
        false
    };
    Some((0u32..).zip(&dag.tasks).filter(|(_, task)| inside(task.task_group.as_deref())).map(|(at, _)| at).collect())
}

/// A time as files have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Of any day.
    Time(NaiveTime),
    /// Without a zone.
    Local(NaiveDateTime),
    /// With one.
    Instant(DateTime<Utc>),
}

/// An instant of a text in ISO 8601; what has no zone is UTC, as Airflow reads it.
pub fn instant_of(text: &str) -> Option<DateTime<Utc>> {
    match clock_of(text)? {
        Clock::Instant(at) => Some(at),
        Clock::Local(local) => Some(local.and_utc()),
        Clock::Time(_) => None,
    }
}

/// Reads one.
pub(crate) fn clock_of(text: &str) -> Option<Clock> {
    let text = text.trim();
    let joined = match text.as_bytes().get(10) {
        Some(b' ') => format!("{}T{}", text.get(..10)?, text.get(11..)?.trim_start()),
        _ => text.to_owned(),
    };
    if let Ok(at) = DateTime::parse_from_rfc3339(&joined).or_else(|_| DateTime::parse_from_str(&joined, "%Y-%m-%dT%H:%M:%S%.f%z")) {
        return Some(Clock::Instant(at.with_timezone(&Utc)));
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(local) = NaiveDateTime::parse_from_str(&joined, format) {
            return Some(Clock::Local(local));
        }
    }
    for format in ["%Y-%m-%d", "%Y%m%d"] {
        if let Ok(day) = NaiveDate::parse_from_str(&joined, format) {
            return Some(Clock::Local(day.and_time(NaiveTime::MIN)));
        }
    }
    ["%H:%M:%S%.f", "%H:%M"].iter().find_map(|format| NaiveTime::parse_from_str(text, format).ok()).map(Clock::Time)
}

/// An instant for people.
fn text(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn span(ms: i64) -> String {
    let seconds = ms / 1000;
    match seconds {
        s if s % 86_400 == 0 && s != 0 => format!("{} d", s / 86_400),
        s if s % 3600 == 0 && s != 0 => format!("{} h", s / 3600),
        s if s % 60 == 0 && s != 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

#[cfg(test)]
mod tests;
