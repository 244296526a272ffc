//! When a DAG runs by itself: Airflow's timetables as pure functions of the last run, the DAG's window and `now`.
//!
//! The scheduler asks [`Timetable::next_slot`] each time it has made a run; the API and the CLI ask for [`Timetable::summary`],
//! [`Timetable::fires`] and, when somebody triggers a run by hand, [`Timetable::manual_interval`]. Nothing here reads a clock.
//!
//! | Schedule | Airflow's timetable | A run is for | It starts at |
//! |---|---|---|---|
//! | `None` | Null | nothing: never by itself | – |
//! | `@once` | Once | the start date, or `now` | the same |
//! | `@continuous` | Continuous | the time since the last run's end | `now`, or the start date when that is later |
//! | cron, semantics 3 | CronTrigger, MultipleCronTrigger | its fire time, which is also both ends of its interval | its fire time |
//! | cron, semantics 2 | CronDataInterval | the interval that begins at one fire time | the next fire time |
//! | events | Events | its time, one of the list | the same |
//! | delta, semantics 3 | DeltaTrigger | its time: start date + k · delta | the same |
//! | delta, semantics 2 | DeltaDataInterval | an interval of one delta | the end of the interval |
//!
//! **Catchup on:** every slot from the first one at or after the start date, in order. **Off:** whatever lies before the latest slot that is
//! due is left out; a DAG that is new with a start date of years ago gets one run, for the latest slot, and then goes on from there.
//! With catchup off and semantics 2, cron: an interval that ends right now counts as due; Airflow's epsilon is copied.
//!
//! **Daylight saving.** A cron expression is matched against the clock on the wall. If its hour is `*` (or lists all 24), the distance to the
//! next match is walked in real time, so an hour that occurs twice has its fires twice and an hour that is left out has none. Otherwise a
//! time that occurs twice fires at its second occurrence, and one that never occurs fires as much later as the clock was put forward.
//!
//! **Three deviations.** Airflow's EventsTimetable with catchup off forgets an event that came while no scheduler looked; here the latest event
//! since the last run gets its run. Airflow's DeltaTrigger with catchup off makes its first run at the very moment the scheduler looks, and slides by the
//! scheduler's delay ever after; here the slots stay on the grid of the start date (or of the last run). And Airflow looks back for the beat
//! that an interval begins at even when the last one ended on it: of two times that both fall into the hour that is left out in spring it
//! finds the later one, and what lies between them belongs to no run; here an interval begins where the last one ended.

mod describe;
mod expression;
mod field;
pub(crate) mod zone;

#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use updraft_model::{Schedule, Semantics};

use expression::Expression;

/// Why a schedule is no timetable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message says what each part is")]
pub enum Error {
    /// One field of a cron expression makes no sense.
    #[error("cron expression {expression:?}: {value:?} is no {field}: {why}")]
    Field { expression: String, field: &'static str, value: String, why: String },
    /// Not five fields.
    #[error("cron expression {expression:?} has {found} fields, it needs five (minute, hour, day of the month, month, day of the week){}",
        if *.found > 5 { ": seconds and years are not supported, take them out" } else { "" })]
    FieldCount { expression: String, found: usize },
    /// A preset that does not exist.
    #[error(
        "{expression:?} is no preset: there are @hourly, @daily, @weekly, @monthly, @quarterly, @yearly, and @once and @continuous alone"
    )]
    Preset { expression: String },
    /// The fields are fine one by one and croner refuses the whole.
    #[error("cron expression {expression:?} is not understood: {why}")]
    Expression { expression: String, why: String },
    /// No date ever meets the expression.
    #[error("cron expression {expression:?} never fires: no date of the next 50 years meets it, check the days against the months")]
    NeverFires { expression: String },
    /// No such zone.
    #[error("{timezone:?} is no time zone: write an IANA name such as UTC or Europe/Stockholm")]
    Timezone { timezone: String },
    /// A schedule of no expressions.
    #[error("a cron schedule needs at least one expression")]
    NoExpression,
    /// A delta that does not move.
    #[error("a schedule of every {every_ms} ms cannot be followed: it must be more than 0 and less than 100 years")]
    Delta { every_ms: u64 },
}

/// One automated run to be: what it is for and when it may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// What the run is named after.
    pub logical_date: DateTime<Utc>,
    /// Start of the time that it covers.
    pub data_interval_start: DateTime<Utc>,
    /// End of the time that it covers.
    pub data_interval_end: DateTime<Utc>,
    /// Not before.
    pub run_after: DateTime<Utc>,
}

impl Slot {
    fn interval(start: DateTime<Utc>, end: DateTime<Utc>) -> Self {
        Self { logical_date: start, data_interval_start: start, data_interval_end: end, run_after: end }
    }
    fn exact(at: DateTime<Utc>) -> Self {
        Self::interval(at, at)
    }
}

/// What the DAG allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// No slot before it.
    pub start_date: Option<DateTime<Utc>>,
    /// No slot after it. As in Airflow, an interval may end after it as long as it starts at or before it.
    pub end_date: Option<DateTime<Utc>>,
    /// Whether missed slots are made up.
    pub catchup: bool,
}

/// When a DAG runs by itself. See the [module](self) for what each kind does.
#[derive(Debug, Clone)]
pub struct Timetable {
    kind: Kind,
    summary: String,
}

#[derive(Debug, Clone)]
enum Kind {
    Never,
    Once,
    Continuous,
    Cron { expressions: Vec<Expression>, intervals: bool },
    Delta { every: TimeDelta, intervals: bool },
    Events { times: Vec<DateTime<Utc>>, restricted: bool, description: String },
}

impl Timetable {
    /// Reads a schedule. `timezone` is an IANA name and matters to cron alone; `semantics` decides what `data_intervals` leaves open.
    pub fn new(schedule: &Schedule, timezone: &str, semantics: Semantics) -> Result<Self, Error> {
        let (kind, summary) = match schedule {
            Schedule::None => (Kind::Never, "None".to_owned()),
            Schedule::Assets { .. } => (Kind::Never, "Asset".to_owned()),
            Schedule::Once => (Kind::Once, "@once".to_owned()),
            Schedule::Continuous => (Kind::Continuous, "@continuous".to_owned()),
            Schedule::Cron { expressions, data_intervals } => {
                let zone: Tz = timezone.parse().map_err(|_| Error::Timezone { timezone: timezone.to_owned() })?;
                let expressions = expressions.iter().map(|text| Expression::parse(text, zone)).collect::<Result<Vec<_>, _>>()?;
                if expressions.is_empty() {
                    return Err(Error::NoExpression);
                }
                let summary = expressions.iter().map(Expression::text).collect::<Vec<_>>().join(", ");
                (Kind::Cron { expressions, intervals: data_intervals.unwrap_or_else(|| semantics.data_intervals()) }, summary)
            }
            Schedule::Events { times, restrict_to_events, description } => {
                let mut times = times.clone();
                times.sort_unstable();
                times.dedup();
                let summary = description.clone().unwrap_or_else(|| format!("{} events", times.len()));
                let iso = |at: &DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, false);
                let between = match (times.first(), times.last()) {
                    (Some(first), Some(last)) => format!("{} events between {} and {}", times.len(), iso(first), iso(last)),
                    _ => "No events".to_owned(),
                };
                let description = description.clone().unwrap_or(between);
                (Kind::Events { times, restricted: *restrict_to_events, description }, summary)
            }
            Schedule::Delta { every_ms, data_intervals } => {
                const CENTURY: TimeDelta = TimeDelta::days(36_525);
                let every = i64::try_from(*every_ms).ok().and_then(TimeDelta::try_milliseconds);
                let every = every.filter(|every| *every > TimeDelta::zero() && *every < CENTURY);
                let every = every.ok_or(Error::Delta { every_ms: *every_ms })?;
                (Kind::Delta { every, intervals: data_intervals.unwrap_or_else(|| semantics.data_intervals()) }, python_timedelta(every))
            }
        };
        Ok(Self { kind, summary })
    }

    /// The automated run after `last`, which is the last automated run there was, by the schedule of that time. `None`: there is none,
    /// ever, within the window. The slot may lie in the future: a run is due once `now >= run_after`.
    pub fn next_slot(&self, last: Option<&Slot>, window: &Window, now: DateTime<Utc>) -> Option<Slot> {
        let slot = match &self.kind {
            Kind::Never => None,
            Kind::Once if last.is_some() => None,
            Kind::Once => Some(Slot::exact(window.start_date.unwrap_or(now))),
            Kind::Continuous => Some(continuous(last, window, now)),
            Kind::Cron { expressions, intervals: true } => interval(&Union(expressions), last, window, now),
            Kind::Cron { expressions, intervals: false } => {
                let due = |slot: &Slot| slot.logical_date <= now;
                let slots = expressions.iter().filter_map(|cron| trigger(cron, last, window, now));
                // With catchup the earliest; without it the latest that is due, or else the earliest to come.
                slots.filter(|slot| within(slot, window)).reduce(|a, b| match (window.catchup, due(&a), due(&b)) {
                    (false, true, true) => a.max(b),
                    (false, true, false) => a,
                    (false, false, true) => b,
                    _ => a.min(b),
                })
            }
            Kind::Delta { every, intervals: true } => interval(&Steps(*every), last, window, now),
            Kind::Delta { every, intervals: false } => delta_trigger(*every, last, window, now),
            Kind::Events { times, .. } => event(times, last, window, now).map(Slot::exact),
        };
        slot.filter(|slot| within(slot, window))
    }

    /// The first `count` fire times at or after `from`. Fewer where croniter's horizon of 50 years without a fire is reached, none for
    /// a schedule that has no times of its own. A delta counts from `from`.
    pub fn fires(&self, from_inclusive: DateTime<Utc>, count: usize) -> Result<Vec<DateTime<Utc>>, Error> {
        let Some(all) = self.beat() else { return Ok(Vec::new()) };
        let first = all.align_next(from_inclusive);
        Ok(std::iter::successors(first, |at| all.next(*at)).take(count).collect())
    }

    /// The slots of a stretch of time, both ends included, in order, whatever the DAG's own window says: what a backfill makes runs for. None
    /// for a schedule that is not periodic. A delta stays on the grid that `anchor` (a slot of the DAG, or its start date) is on, so that the
    /// runs that are there already are met; without one its grid begins at `from`.
    pub fn slots_between(&self, from: DateTime<Utc>, to: DateTime<Utc>, anchor: Option<DateTime<Utc>>) -> impl Iterator<Item = Slot> + '_ {
        let start = match &self.kind {
            Kind::Delta { every, .. } => anchor.and_then(|anchor| first_on_grid(anchor, *every, from)).unwrap_or(from),
            _ => from,
        };
        let window = Window { start_date: Some(start), end_date: Some(to), catchup: true };
        // With catchup the slots follow from the window alone.
        let next = move |last: Option<&Slot>| if self.is_periodic() { self.next_slot(last, &window, from) } else { None };
        std::iter::successors(next(None), move |last| next(Some(last)))
    }

    /// The time that a run triggered by hand at `run_after` covers, start and end: the last whole interval before it, or that moment alone.
    pub fn manual_interval(&self, run_after: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
        match &self.kind {
            Kind::Cron { expressions, intervals: true } => {
                let all = Union(expressions);
                let end = all.align_previous(run_after);
                end.and_then(|end| Some((all.previous(end)?, end))).unwrap_or((run_after, run_after))
            }
            Kind::Delta { every, intervals: true } => (run_after - *every, run_after),
            Kind::Events { times, restricted: true, .. } => {
                let come = times.partition_point(|at| *at <= run_after);
                let at = times.get(come.saturating_sub(1)).copied().unwrap_or(run_after);
                (at, at)
            }
            _ => (run_after, run_after),
        }
    }

    /// The fire time after `at`, for `next_ds`; none for a schedule without times of its own.
    pub(crate) fn following(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.beat()?.next(at)
    }

    /// The fire time before `at`, for `prev_ds`.
    pub(crate) fn preceding(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.beat()?.previous(at)
    }

    fn beat(&self) -> Option<Box<dyn Beat + '_>> {
        match &self.kind {
            Kind::Never | Kind::Once | Kind::Continuous => None,
            Kind::Cron { expressions, .. } => Some(Box::new(Union(expressions))),
            Kind::Delta { every, .. } => Some(Box::new(Steps(*every))),
            Kind::Events { times, .. } => Some(Box::new(List(times))),
        }
    }

    /// The schedule in short, as Airflow's API has it: `*/5 * * * *`, `@once`, `1 day, 0:00:00`, `None`.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The schedule for people: `Every 5 minutes`, `Never, external triggers only`; empty for a delta, as in Airflow.
    pub fn description(&self) -> String {
        match &self.kind {
            Kind::Never => "Never, external triggers only".to_owned(),
            Kind::Once => "Once, as soon as possible".to_owned(),
            Kind::Continuous => "As frequently as possible, but only one run at a time.".to_owned(),
            Kind::Cron { expressions, .. } => expressions.iter().map(Expression::description).collect::<Vec<_>>().join(", "),
            Kind::Delta { .. } => String::new(),
            Kind::Events { description, .. } => description.clone(),
        }
    }

    /// Whether it makes runs by itself again and again.
    pub fn is_periodic(&self) -> bool {
        matches!(self.kind, Kind::Cron { .. } | Kind::Delta { .. } | Kind::Events { .. })
    }

    /// Whether a run covers the interval before its start.
    pub fn has_intervals(&self) -> bool {
        matches!(self.kind, Kind::Cron { intervals: true, .. } | Kind::Delta { intervals: true, .. })
    }
}

/// Airflow compares the start of an interval with the end date, not its end.
fn within(slot: &Slot, window: &Window) -> bool {
    window.end_date.is_none_or(|end| slot.logical_date <= end)
}

/// A rhythm: what every kind of schedule is made of.
trait Beat {
    /// The first beat after `at`.
    fn next(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>>;
    /// The last beat before `at`.
    fn previous(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>>;
    /// `at` if it is a beat, else the next.
    fn align_next(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let next = self.next(at)?;
        Some(if self.previous(next) == Some(at) { at } else { next })
    }
    /// `at` if it is a beat, else the one before.
    fn align_previous(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let previous = self.previous(at)?;
        Some(if self.next(previous) == Some(at) { at } else { previous })
    }
    /// The start of the interval that is the earliest one worth a run when catchup is off.
    fn latest_interval(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>>;
}

impl Beat for Expression {
    fn next(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Self::next(self, at)
    }
    fn previous(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Self::previous(self, at)
    }
    fn latest_interval(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Union(std::slice::from_ref(self)).latest_interval(now)
    }
}

/// Several expressions as one.
struct Union<'a>(&'a [Expression]);

impl Beat for Union<'_> {
    fn next(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.0.iter().filter_map(|cron| cron.next(at)).min()
    }
    fn previous(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.0.iter().filter_map(|cron| cron.previous(at)).max()
    }
    fn align_next(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.0.iter().filter_map(|cron| cron.align_next(at)).min()
    }
    fn latest_interval(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut start = self.previous(now)?;
        let mut end = self.next(start)?;
        // In an hour that occurs twice the beat before `now` on the wall need not be the last one before it; Airflow asserts that it is.
        while end < now {
            (start, end) = (end, self.next(end)?);
        }
        if end == now { Some(start) } else { self.previous(start) }
    }
}

/// Steps of equal length, without a beginning: every time is a beat.
struct Steps(TimeDelta);

impl Beat for Steps {
    fn next(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        at.checked_add_signed(self.0)
    }
    fn previous(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        at.checked_sub_signed(self.0)
    }
    fn align_next(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Some(at)
    }
    fn align_previous(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Some(at)
    }
    fn latest_interval(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // Airflow floors to a grid that starts at the epoch, whatever the start date.
        let into = now.timestamp_micros().rem_euclid(self.0.num_microseconds()?);
        self.previous(now - TimeDelta::microseconds(into))
    }
}

/// Times of a list, in order.
struct List<'a>(&'a [DateTime<Utc>]);

impl Beat for List<'_> {
    fn next(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.0.get(self.0.partition_point(|event| *event <= at)).copied()
    }
    fn previous(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.0.get(self.0.partition_point(|event| *event < at).checked_sub(1)?).copied()
    }
    fn align_next(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.0.get(self.0.partition_point(|event| *event < at)).copied()
    }
    fn align_previous(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.0.get(self.0.partition_point(|event| *event <= at).checked_sub(1)?).copied()
    }
    fn latest_interval(&self, _: DateTime<Utc>) -> Option<DateTime<Utc>> {
        None
    }
}

/// The event to run for.
fn event(times: &[DateTime<Utc>], last: Option<&Slot>, window: &Window, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let list = List(times);
    let open =
        |at: &DateTime<Utc>| window.start_date.is_none_or(|start| *at >= start) && last.is_none_or(|last| *at > last.data_interval_end);
    let first = match last {
        Some(last) => {
            list.next(last.data_interval_end.max(window.start_date.unwrap_or(last.data_interval_end) - TimeDelta::microseconds(1)))
        }
        None => list.align_next(window.start_date.unwrap_or(DateTime::<Utc>::MIN_UTC)),
    };
    if window.catchup {
        return first;
    }
    // Without catchup: a new DAG waits for the next event, any other makes up for the one that has just been missed.
    let missed = last.and_then(|_| list.align_previous(now)).filter(open);
    missed.or_else(|| list.align_next(now.max(first?)))
}

/// Runs for intervals: CronDataInterval and DeltaDataInterval.
fn interval(beat: &dyn Beat, last: Option<&Slot>, window: &Window, now: DateTime<Utc>) -> Option<Slot> {
    let aligned = match window.start_date {
        Some(date) => Some(beat.align_next(date)?),
        None => None,
    };
    let earliest = if window.catchup { aligned } else { Some(aligned.max(beat.latest_interval(now))?) };
    let start = match last {
        None => earliest?,
        Some(last) => {
            let end = last.data_interval_end;
            let same_schedule = beat.next(last.data_interval_start) == Some(end);
            let follows = if same_schedule { end } else { beat.align_previous(end)? };
            let start = earliest.map_or(follows, |earliest| earliest.max(follows));
            // One step is enough: `follows` is at most one beat back.
            if start <= last.data_interval_start { beat.next(start)? } else { start }
        }
    };
    Some(Slot::interval(start, beat.next(start)?))
}

/// Runs for moments: CronTrigger.
fn trigger(cron: &Expression, last: Option<&Slot>, window: &Window, now: DateTime<Utc>) -> Option<Slot> {
    let follows = match (last, window.start_date) {
        (Some(last), _) => Some(cron.next(last.data_interval_end)?),
        (None, None) => Some(first_of_all(cron, now)?),
        (None, Some(_)) => None,
    };
    let at = if window.catchup {
        match (follows, window.start_date) {
            (Some(at), _) => at,
            (None, Some(start)) => cron.align_next(start)?,
            (None, None) => return None,
        }
    } else {
        let earliest = match window.start_date {
            Some(start) => Some(cron.align_next(start)?),
            None => None,
        };
        cron.align_previous(now).max(follows).max(earliest)?
    };
    Some(Slot::exact(at))
}

/// Without a start date: the last fire time if it has just gone by, else the next.
fn first_of_all(cron: &Expression, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let (past, next) = (cron.align_previous(now)?, cron.align_next(now)?);
    let just = ((next - past) / 10).max(TimeDelta::minutes(5));
    Some(if now - past <= just { past } else { next })
}

/// Runs for moments on a grid: DeltaTrigger, save that its grid stays where it is.
fn delta_trigger(every: TimeDelta, last: Option<&Slot>, window: &Window, now: DateTime<Utc>) -> Option<Slot> {
    let first = match last {
        Some(last) => last.data_interval_end.checked_add_signed(every)?,
        None => window.start_date.unwrap_or(now),
    };
    // A start date that was moved beyond the last run begins a new grid.
    let first = if window.catchup { first } else { window.start_date.map_or(first, |start| start.max(first)) };
    let missed = if window.catchup || now < first { 0 } else { (now - first).num_microseconds()? / every.num_microseconds()? };
    let skipped = TimeDelta::microseconds(every.num_microseconds()?.checked_mul(missed)?);
    Some(Slot::exact(first.checked_add_signed(skipped)?))
}

/// The first time at or after `from` that lies a whole number of steps from `anchor`.
fn first_on_grid(anchor: DateTime<Utc>, every: TimeDelta, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let step = every.num_microseconds()?;
    let beyond = (from - anchor).num_microseconds()?.rem_euclid(step);
    from.checked_add_signed(TimeDelta::microseconds(if beyond == 0 { 0 } else { step - beyond }))
}

fn continuous(last: Option<&Slot>, window: &Window, now: DateTime<Utc>) -> Slot {
    let first = window.start_date.unwrap_or(now);
    let (start, end) = match last {
        None => (first, first.max(now)),
        // It ran for a time that has not come yet.
        Some(last) if last.data_interval_end > now => (first, first + (last.data_interval_end - last.data_interval_start)),
        Some(last) => (last.data_interval_end, now),
    };
    Slot::interval(start, end)
}

/// As Python prints a timedelta.
fn python_timedelta(delta: TimeDelta) -> String {
    let days = delta.num_days();
    let rest = delta - TimeDelta::days(days);
    let seconds = rest.num_seconds();
    let mut text = match days {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        days => format!("{days} days, "),
    };
    text.push_str(&format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
    let micros = (rest - TimeDelta::seconds(seconds)).num_microseconds().unwrap_or(0);
    if micros > 0 {
        text.push_str(&format!(".{micros:06}"));
    }
    text
}
