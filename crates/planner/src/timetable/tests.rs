//! Tables and laws.

use chrono::{Datelike, NaiveDateTime, Timelike};
use proptest::prelude::*;

use super::*;

fn cron(text: &str, zone: &str, semantics: Semantics) -> Timetable {
    let schedule = Schedule::Cron { expressions: vec![text.to_owned()], data_intervals: None };
    Timetable::new(&schedule, zone, semantics).unwrap()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test of speed needs a clock")]
fn a_thousand_minutes_take_no_time() {
    let from = "2026-03-01T00:00:00Z".parse().unwrap();
    let table = cron("* * * * *", "America/New_York", Semantics::Airflow3);
    let started = std::time::Instant::now();
    assert_eq!(table.fires(from, 1000).unwrap().len(), 1000);
    let took = started.elapsed();
    println!("1000 minutes: {took:?}");
    // Debug builds on a busy machine; a release build takes some 2 ms.
    assert!(took.as_millis() < 500, "{took:?}");
    for text in ["0 0 31 2 *", "0 0 29 2 1#1", "0 0 31 2 1#1"] {
        let schedule = Schedule::Cron { expressions: vec![text.to_owned()], data_intervals: None };
        let started = std::time::Instant::now();
        assert!(matches!(Timetable::new(&schedule, "UTC", Semantics::Airflow3), Err(Error::NeverFires { .. })), "{text}");
        println!("{text}: {:?}", started.elapsed());
    }
    let started = std::time::Instant::now();
    println!("{} {:?}", cron("0 0 29 2 *", "UTC", Semantics::Airflow3).fires(from, 12).unwrap().len(), started.elapsed());
}

fn at(text: &str) -> DateTime<Utc> {
    let text = if text.len() == 10 { format!("{text}T00:00:00Z") } else { format!("{text}:00Z") };
    text.parse().unwrap()
}

fn delta(every: TimeDelta, semantics: Semantics) -> Timetable {
    let schedule = Schedule::Delta { every_ms: every.num_milliseconds().unsigned_abs(), data_intervals: None };
    Timetable::new(&schedule, "UTC", semantics).unwrap()
}

fn window(start: Option<&str>, end: Option<&str>, catchup: bool) -> Window {
    Window { start_date: start.map(at), end_date: end.map(at), catchup }
}

/// The first slots, each made as soon as it is due, as `start/end` of the interval.
fn slots(table: &Timetable, window: Window, now: &str, count: usize) -> Vec<String> {
    let mut now = at(now);
    let mut last: Option<Slot> = None;
    let mut found = Vec::new();
    while found.len() < count {
        let Some(slot) = table.next_slot(last.as_ref(), &window, now) else { break };
        assert_eq!(table.next_slot(last.as_ref(), &window, now), Some(slot), "asked twice");
        assert_eq!(slot.logical_date, slot.data_interval_start);
        assert_eq!(slot.run_after, slot.data_interval_end);
        let short = |t: DateTime<Utc>| t.format("%m-%dT%H:%M").to_string();
        found.push(if slot.data_interval_start == slot.data_interval_end {
            short(slot.logical_date)
        } else {
            format!("{}/{}", short(slot.data_interval_start), short(slot.data_interval_end))
        });
        now = now.max(slot.run_after);
        last = Some(slot);
    }
    found
}

#[test]
fn slots_are_airflows() {
    use Semantics::{Airflow2, Airflow3};
    let day = TimeDelta::days(1);
    let now = "2026-03-10T12:00";
    let daily = |semantics| cron("@daily", "UTC", semantics);
    for (name, table, window, expect) in [
        (
            "3 catchup",
            daily(Airflow3),
            window(Some("2026-03-07T06:00"), None, true),
            &["03-08T00:00", "03-09T00:00", "03-10T00:00", "03-11T00:00"] as &[&str],
        ),
        ("3 catchup, aligned", daily(Airflow3), window(Some("2026-03-08"), None, true), &["03-08T00:00", "03-09T00:00"]),
        ("3 latest", daily(Airflow3), window(Some("2015-01-01"), None, false), &["03-10T00:00", "03-11T00:00"]),
        ("3 future", daily(Airflow3), window(Some("2026-04-01T01:00"), None, false), &["04-02T00:00", "04-03T00:00"]),
        ("3 end", daily(Airflow3), window(Some("2026-03-08"), Some("2026-03-09"), true), &["03-08T00:00", "03-09T00:00"]),
        ("3 over", daily(Airflow3), window(Some("2026-03-01"), Some("2026-03-09"), false), &[]),
        ("3 no start, long ago", daily(Airflow3), window(None, None, false), &["03-11T00:00"]),
        (
            "2 catchup",
            daily(Airflow2),
            window(Some("2026-03-07T06:00"), None, true),
            &["03-08T00:00/03-09T00:00", "03-09T00:00/03-10T00:00", "03-10T00:00/03-11T00:00"],
        ),
        ("2 latest", daily(Airflow2), window(Some("2015-01-01"), None, false), &["03-09T00:00/03-10T00:00", "03-10T00:00/03-11T00:00"]),
        ("2 new", daily(Airflow2), window(Some("2026-03-10T06:00"), None, false), &["03-11T00:00/03-12T00:00"]),
        (
            "2 end",
            daily(Airflow2),
            window(Some("2026-03-08"), Some("2026-03-09"), true),
            &["03-08T00:00/03-09T00:00", "03-09T00:00/03-10T00:00"],
        ),
        ("2 no start", daily(Airflow2), window(None, None, true), &[]),
        (
            "delta 3, years ago",
            delta(day, Airflow3),
            window(Some("2015-01-01T06:00"), None, false),
            &["03-10T06:00", "03-11T06:00", "03-12T06:00"],
        ),
        (
            "delta 3 catchup",
            delta(day, Airflow3),
            window(Some("2026-03-08T06:00"), None, true),
            &["03-08T06:00", "03-09T06:00", "03-10T06:00", "03-11T06:00"],
        ),
        (
            "delta 2, years ago",
            delta(day, Airflow2),
            window(Some("2015-01-01T06:00"), None, false),
            &["03-09T00:00/03-10T00:00", "03-10T00:00/03-11T00:00"],
        ),
        (
            "delta 2 catchup",
            delta(day, Airflow2),
            window(Some("2026-03-08T06:00"), None, true),
            &["03-08T06:00/03-09T06:00", "03-09T06:00/03-10T06:00"],
        ),
        ("once", Timetable::new(&Schedule::Once, "UTC", Airflow3).unwrap(), window(Some("2026-01-01"), None, false), &["01-01T00:00"]),
        ("once, now", Timetable::new(&Schedule::Once, "UTC", Airflow3).unwrap(), window(None, None, false), &["03-10T12:00"]),
        ("never", Timetable::new(&Schedule::None, "UTC", Airflow3).unwrap(), window(Some("2026-01-01"), None, true), &[]),
        (
            "continuous",
            Timetable::new(&Schedule::Continuous, "UTC", Airflow3).unwrap(),
            window(Some("2026-03-01"), None, false),
            &["03-01T00:00/03-10T12:00"],
        ),
    ] {
        let wanted = expect.len().max(1);
        assert_eq!(slots(&table, window, now, wanted), expect, "{name}");
        if ["3 end", "3 over", "2 end", "once", "never", "2 no start"].contains(&name) {
            assert_eq!(slots(&table, window, now, 9), expect, "{name}: and no more");
        }
    }
}

#[test]
fn several_expressions_are_one_schedule() {
    let expressions = vec!["0 6 * * *".to_owned(), "30 18 * * *".to_owned(), "0 6 1 * *".to_owned()];
    let table = |data_intervals| {
        Timetable::new(&Schedule::Cron { expressions: expressions.clone(), data_intervals }, "UTC", Semantics::Airflow3).unwrap()
    };
    let from = |catchup| window(Some("2026-02-28T12:00"), None, catchup);
    assert_eq!(slots(&table(None), from(true), "2026-03-01T12:00", 3), ["02-28T18:30", "03-01T06:00", "03-01T18:30"]);
    assert_eq!(slots(&table(None), from(false), "2026-03-01T12:00", 2), ["03-01T06:00", "03-01T18:30"]);
    assert_eq!(slots(&table(Some(true)), from(true), "2026-03-01T12:00", 2), ["02-28T18:30/03-01T06:00", "03-01T06:00/03-01T18:30"]);
    assert_eq!(table(None).summary(), "0 6 * * *, 30 18 * * *, 0 6 1 * *");
}

#[test]
fn a_coarser_schedule_does_not_repeat_a_run() {
    // The last run was hourly; now the DAG is daily. Aligned back, the next interval would begin before the last one.
    let last = Slot::interval(at("2026-03-10T10:00"), at("2026-03-10T11:00"));
    let next =
        cron("@daily", "UTC", Semantics::Airflow2).next_slot(Some(&last), &window(None, None, true), at("2026-03-10T12:00")).unwrap();
    assert_eq!(next, Slot::interval(at("2026-03-11"), at("2026-03-12")));
}

#[test]
fn runs_by_hand_cover_the_last_whole_interval() {
    let by_hand = |table: Timetable| table.manual_interval(at("2026-03-25T01:00"));
    assert_eq!(by_hand(cron("@daily", "UTC", Semantics::Airflow2)), (at("2026-03-24"), at("2026-03-25")));
    assert_eq!(by_hand(cron("@daily", "UTC", Semantics::Airflow3)), (at("2026-03-25T01:00"), at("2026-03-25T01:00")));
    assert_eq!(by_hand(delta(TimeDelta::hours(6), Semantics::Airflow2)), (at("2026-03-24T19:00"), at("2026-03-25T01:00")));
}

#[test]
fn schedules_have_words() {
    let of = |schedule: Schedule| {
        let table = Timetable::new(&schedule, "UTC", Semantics::Airflow3).unwrap();
        (table.summary().to_owned(), table.description())
    };
    assert_eq!(of(Schedule::None), ("None".into(), "Never, external triggers only".into()));
    assert_eq!(of(Schedule::Once).0, "@once");
    for (every, text) in [(86_400_000, "1 day, 0:00:00"), (172_805_000, "2 days, 0:00:05"), (90_500, "0:01:30.500000")] {
        assert_eq!(of(Schedule::Delta { every_ms: every, data_intervals: None }).0, text);
    }
}

#[test]
fn mistakes_name_the_field_and_the_remedy() {
    let error = |text: &str| {
        let schedule = Schedule::Cron { expressions: vec![text.to_owned()], data_intervals: None };
        Timetable::new(&schedule, "UTC", Semantics::Airflow3).unwrap_err().to_string()
    };
    for (text, parts) in [
        ("61 * * * *", &["\"61\" is no minute", "from 0 to 59"] as &[&str]),
        ("0 24 * * *", &["\"24\" is no hour", "from 0 to 23"]),
        ("0 0 * * 8", &["day of the week", "from 0 to 7"]),
        ("0 0 * foo *", &["\"foo\" is no month", "names from jan to dec"]),
        ("0 0 1 * * *", &["has 6 fields", "seconds and years are not supported"]),
        ("* * * *", &["has 4 fields"]),
        ("0 0 31 2 *", &["never fires"]),
        ("0 0 29 2 1#1", &["never fires"]),
        ("*/0 * * * *", &["a step of 0"]),
        ("h * * * *", &["hashed"]),
        ("@fortnightly", &["is no preset", "@weekly"]),
        ("0 0 * * 1,2#1", &["cannot be mixed"]),
    ] {
        let found = error(text);
        assert!(parts.iter().all(|part| found.contains(part)), "{text}: {found}");
    }
    let zone =
        Timetable::new(&Schedule::Cron { expressions: vec!["@daily".to_owned()], data_intervals: None }, "Mars/Base", Semantics::Airflow3);
    assert!(zone.unwrap_err().to_string().contains("Mars/Base"));
    assert!(Timetable::new(&Schedule::Delta { every_ms: 0, data_intervals: None }, "UTC", Semantics::Airflow3).is_err());
    assert!(Timetable::new(&Schedule::Delta { every_ms: u64::MAX, data_intervals: None }, "UTC", Semantics::Airflow3).is_err());
}

const ZONES: &[&str] = &[
    "UTC",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Havana",
    "America/Santiago",
    "America/Asuncion",
    "America/Caracas",
    "America/Nuuk",
    "America/Los_Angeles",
    "America/Anchorage",
    "Atlantic/Azores",
    "Europe/London",
    "Europe/Dublin",
    "Europe/Stockholm",
    "Europe/Lisbon",
    "Europe/Istanbul",
    "Europe/Moscow",
    "Europe/Chisinau",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Africa/Juba",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Tehran",
    "Asia/Amman",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Asia/Dhaka",
    "Asia/Hovd",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Australia/Adelaide",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Pacific/Fakaofo",
    "Antarctica/Troll",
    "Antarctica/Casey",
];

/// Every change of the clock in a zone, to the minute.
fn changes(zone: Tz, years: std::ops::Range<i32>) -> Vec<DateTime<Utc>> {
    let start = |year: i32| at(&format!("{year}-01-01"));
    let offset = |t: DateTime<Utc>| zone::wall(t, zone) - t.naive_utc();
    let mut found = Vec::new();
    let mut t = start(years.start);
    while t < start(years.end) {
        let next = t + TimeDelta::days(1);
        if offset(t) != offset(next) {
            let mut minute = t;
            while offset(minute) == offset(t) {
                minute += TimeDelta::minutes(1);
            }
            found.push(minute);
        }
        t = next;
    }
    found
}

/// All instants at which the wall shows `wall`: it does so by one of the offsets that hold within a day or so of it.
fn shown(wall: NaiveDateTime, zone: Tz) -> Vec<DateTime<Utc>> {
    let offset = |hours: i64| {
        let t = wall.and_utc() + TimeDelta::hours(hours);
        zone::wall(t, zone) - t.naive_utc()
    };
    let offsets: std::collections::BTreeSet<TimeDelta> = (-26..=26).map(offset).collect();
    let mut found: Vec<_> = offsets.into_iter().map(|offset| (wall - offset).and_utc()).filter(|t| zone::wall(*t, zone) == wall).collect();
    found.sort_unstable();
    found
}

#[test]
fn each_change_of_the_clock_keeps_the_definition() {
    let mut seen = 0;
    for name in ZONES {
        let zone: Tz = name.parse().unwrap();
        for change in changes(zone, 2005..2030).into_iter().step_by(3) {
            // Wall times from an hour before to an hour after, at a quarter past each half hour.
            let wall = zone::wall(change, zone);
            for half in -3..=3 {
                let target = wall + TimeDelta::minutes(half * 30 + 15);
                seen += 1;
                let text = format!("{} {} {} {} *", target.minute(), target.hour(), target.day(), target.month());
                let table = cron(&text, name, Semantics::Airflow3);
                let fire = table.fires((wall - TimeDelta::days(3)).and_utc(), 1).unwrap()[0];
                match shown(target, zone).last() {
                    Some(last) => assert_eq!(fire, *last, "{name} {target}: not the last time the wall shows it"),
                    None => {
                        let before = zone::wall(change - TimeDelta::minutes(1), zone) - (change - TimeDelta::minutes(1)).naive_utc();
                        assert_eq!(fire, (target - before).and_utc(), "{name} {target}: not pushed on by the gap");
                    }
                }
            }
            // With `*` hours each real hour has its fire, none twice, whatever the wall shows.
            let table = cron("30 * * * *", name, Semantics::Airflow3);
            let fires = table.fires(change - TimeDelta::hours(5), 10).unwrap();
            assert!(
                fires.windows(2).all(|pair| pair[0] < pair[1] && pair[1] - pair[0] <= TimeDelta::hours(2)),
                "{name} {change}: {fires:?}"
            );
        }
    }
    assert!(seen > 1_000, "{seen}: the zones have lost their changes");
}

fn expressions() -> impl Strategy<Value = String> {
    let pick = |items: &'static [&'static str]| proptest::sample::select(items);
    (
        pick(&["0", "*", "*/15", "30", "5,35", "0/20", "59"]),
        pick(&["*", "0", "2", "1-3", "*/6", "22-2", "3"]),
        pick(&["*", "1", "L", "*/10", "15w"]),
        pick(&["*", "3", "*/4"]),
        pick(&["*", "mon-fri", "0", "5#2", "fri-mon"]),
    )
        .prop_map(|(a, b, c, d, e)| format!("{a} {b} {c} {d} {e}"))
}

#[test]
fn a_stretch_has_the_slots_of_the_schedule_both_ends_included() {
    let daily = |semantics| cron("0 0 * * *", "UTC", semantics);
    let dates = |table: &Timetable, from: &str, to: &str, anchor: Option<&str>| -> Vec<DateTime<Utc>> {
        table.slots_between(at(from), at(to), anchor.map(at)).map(|slot| slot.logical_date).collect()
    };
    let days = ["2026-04-01", "2026-04-02", "2026-04-03"].map(at).to_vec();
    for semantics in [Semantics::Airflow2, Semantics::Airflow3] {
        assert_eq!(dates(&daily(semantics), "2026-04-01", "2026-04-03", None), days, "{semantics:?}");
        assert_eq!(dates(&daily(semantics), "2026-03-31T00:01", "2026-04-03T23:59", None), days, "{semantics:?}");
        assert!(dates(&daily(semantics), "2026-04-01T01:00", "2026-04-01T02:00", None).is_empty());
        // A delta meets the runs that are there, on either side of what it is counted from.
        let steps = delta(TimeDelta::days(1), semantics);
        let six = ["2026-04-01T06:00", "2026-04-02T06:00"].map(at).to_vec();
        assert_eq!(dates(&steps, "2026-04-01", "2026-04-03", Some("2026-01-01T06:00")), six, "{semantics:?}");
        assert_eq!(dates(&steps, "2026-04-01", "2026-04-03", Some("2026-06-01T06:00")), six, "{semantics:?}");
        assert_eq!(dates(&steps, "2026-04-01T06:00", "2026-04-02T06:00", Some("2026-04-01T06:00")), six, "{semantics:?}");
        assert_eq!(dates(&steps, "2026-04-01", "2026-04-03", None), days, "{semantics:?}");
    }
    let intervals = daily(Semantics::Airflow2);
    let slot = intervals.slots_between(at("2026-04-01"), at("2026-04-01"), None).next().unwrap();
    assert_eq!((slot.data_interval_end, slot.run_after), (at("2026-04-02"), at("2026-04-02")));
    for schedule in [Schedule::None, Schedule::Once, Schedule::Continuous] {
        let table = Timetable::new(&schedule, "UTC", Semantics::Airflow3).unwrap();
        assert_eq!(table.slots_between(at("2026-04-01"), at("2026-04-03"), None).next(), None, "{schedule:?}");
    }
}

#[test]
fn two_times_in_the_hour_that_is_left_out_leave_no_gap_between_intervals() {
    // On 2007-03-11 New York has neither 02:05 nor 02:35: they are 03:05 and 03:35 in summer time.
    let table = cron("5,35 2 * 3 0", "America/New_York", Semantics::Airflow2);
    let window = Window { start_date: Some(at("2007-03-04T05:00")), end_date: None, catchup: true };
    let slots = std::iter::successors(table.next_slot(None, &window, at("2008-01-01")), |last| {
        table.next_slot(Some(last), &window, at("2008-01-01"))
    });
    let starts: Vec<DateTime<Utc>> = slots.take(4).map(|slot| slot.data_interval_start).collect();
    assert_eq!(starts, ["2007-03-04T07:05", "2007-03-04T07:35", "2007-03-11T07:05", "2007-03-18T06:05"].map(at));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn fires_rise_and_slots_follow_them(
        text in expressions(),
        zone in proptest::sample::select(ZONES),
        start in 1_100_000_000i64..1_900_000_000,
        ahead in 0i64..40_000_000,
        semantics in proptest::sample::select(&[Semantics::Airflow2, Semantics::Airflow3][..]),
    ) {
        let schedule = Schedule::Cron { expressions: vec![text], data_intervals: None };
        let Ok(table) = Timetable::new(&schedule, zone, semantics) else { return Ok(()) };
        let from = DateTime::from_timestamp(start, 0).unwrap();
        let now = from + TimeDelta::seconds(ahead);
        let fires = table.fires(from, 20).unwrap();
        prop_assert!(fires.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(fires.first().is_none_or(|first| *first >= from));

        // With catchup none is left out, whenever the scheduler looks.
        let window = Window { start_date: Some(from), end_date: None, catchup: true };
        let mut last = None;
        for pair in fires.windows(2) {
            let slot = table.next_slot(last.as_ref(), &window, now).unwrap();
            prop_assert_eq!(slot.data_interval_start, pair[0]);
            prop_assert_eq!(slot.data_interval_end, if table.has_intervals() { pair[1] } else { pair[0] });
            last = Some(slot);
        }

        // Without it, a slot once made is not made again.
        let window = Window { catchup: false, ..window };
        if let Some(first) = table.next_slot(None, &window, now) {
            prop_assert_eq!(table.next_slot(None, &window, now), Some(first));
            let second = table.next_slot(Some(&first), &window, now.max(first.run_after)).unwrap();
            prop_assert!(second.logical_date > first.logical_date, "{:?} {:?}", first, second);
        }
    }
}

#[test]
fn events_are_run_for_one_by_one() {
    let day = |n: u32| format!("2026-03-{n:02}T06:00:00Z").parse::<DateTime<Utc>>().unwrap();
    let schedule =
        |restrict| Schedule::Events { times: vec![day(20), day(10), day(5), day(10)], restrict_to_events: restrict, description: None };
    let table = Timetable::new(&schedule(false), "UTC", Semantics::Airflow3).unwrap();
    assert_eq!(table.summary(), "3 events");
    assert_eq!(table.description(), "3 events between 2026-03-05T06:00:00+00:00 and 2026-03-20T06:00:00+00:00");
    let window = |start: Option<u32>, end: Option<u32>, catchup| Window { start_date: start.map(day), end_date: end.map(day), catchup };
    let next = |last: Option<u32>, window: Window, now: u32| {
        table.next_slot(last.map(day).map(Slot::exact).as_ref(), &window, day(now)).map(|slot| {
            assert_eq!(
                (slot.data_interval_start, slot.data_interval_end, slot.run_after),
                (slot.logical_date, slot.logical_date, slot.logical_date)
            );
            slot.logical_date
        })
    };
    for (last, window, now, expect) in [
        // Catchup: all of them from the start date on.
        (None, window(Some(1), None, true), 12, Some(5)),
        (Some(5), window(Some(1), None, true), 12, Some(10)),
        (Some(10), window(Some(1), None, true), 12, Some(20)),
        (Some(20), window(Some(1), None, true), 25, None),
        (None, window(Some(6), None, true), 12, Some(10)),
        (Some(5), window(Some(15), None, true), 12, Some(20)),
        (None, window(None, None, true), 12, Some(5)),
        // Without: the next to come, and what came since the last run.
        (None, window(Some(1), None, false), 12, Some(20)),
        (None, window(Some(1), None, false), 10, Some(10)),
        (Some(5), window(Some(1), None, false), 12, Some(10)),
        (Some(10), window(Some(1), None, false), 12, Some(20)),
        (None, window(Some(1), None, false), 21, None),
        // The window's end counts.
        (Some(10), window(Some(1), Some(15), true), 12, None),
    ] {
        assert_eq!(next(last, window, now), expect.map(day), "{last:?} {window:?} {now}");
    }
    assert_eq!(table.manual_interval(day(12)), (day(12), day(12)));
    let restricted = Timetable::new(&schedule(true), "UTC", Semantics::Airflow3).unwrap();
    assert_eq!([restricted.manual_interval(day(12)).0, restricted.manual_interval(day(1)).0], [day(10), day(5)]);
    assert_eq!(table.slots_between(day(1), day(12), None).map(|slot| slot.logical_date).collect::<Vec<_>>(), [day(5), day(10)]);
    let none = Schedule::Events { times: Vec::new(), restrict_to_events: true, description: Some("mine".to_owned()) };
    let none = Timetable::new(&none, "UTC", Semantics::Airflow3).unwrap();
    assert_eq!((none.summary(), none.next_slot(None, &Window::default(), day(1))), ("mine", None));
}
