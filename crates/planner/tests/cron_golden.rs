//! Fire times against Airflow's own. The file is not part of the project: the test skips where it is absent.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use updraft_model::{Schedule, Semantics};
use updraft_planner::timetable::Timetable;

#[derive(Debug, Deserialize)]
struct Case {
    cron: String,
    timezone: String,
    start: DateTime<Utc>,
    #[serde(default)]
    fires: Vec<DateTime<Utc>>,
    error: Option<String>,
}

#[test]
fn fires_as_airflow_does() {
    let path = std::env::var("UPDRAFT_CRON_GOLDEN").unwrap_or_else(|_| "/work/shared/airflow/cron-golden.json".to_owned());
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: {path} is not here; it holds fire times computed by Airflow");
        return;
    };
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    assert!(!cases.is_empty());
    let mut wrong = Vec::new();
    for case in &cases {
        let schedule = Schedule::Cron { expressions: vec![case.cron.clone()], data_intervals: None };
        // One more than Airflow gave before it failed.
        let count = case.fires.len() + usize::from(case.error.is_some());
        let ours = Timetable::new(&schedule, &case.timezone, Semantics::Airflow3).and_then(|t| t.fires(case.start, count));
        let right = match (&ours, &case.error) {
            (Ok(fires), _) => *fires == case.fires,
            (Err(_), Some(_)) => case.fires.is_empty(),
            (Err(_), None) => false,
        };
        // An expression that Airflow refuses must be refused here too, not give an empty list.
        let right = right && (ours.is_err() == (case.error.is_some() && case.fires.is_empty()));
        if !right {
            wrong.push(format!(
                "{} in {} from {}:\n  Airflow {:?} {:?}\n  ours    {ours:?}",
                case.cron, case.timezone, case.start, case.fires, case.error
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), cases.len(), wrong[..wrong.len().min(20)].join("\n"));
}
