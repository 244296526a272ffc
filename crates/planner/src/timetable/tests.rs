//! Tables and laws.
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
