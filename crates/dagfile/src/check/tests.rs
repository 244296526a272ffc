use super::*;

fn options() -> Options {
    Options {
        now: "2026-03-10T12:00:00Z".parse().unwrap(),
        semantics: Semantics::Airflow3,
        ignore: IgnoreSyntax::Glob,
        filter: Filter::default(),
        snapshot: Snapshot::default(),
        policy: None,
    }
}

async fn of(text: &str) -> CheckReport {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.yaml");
    std::fs::write(&path, text).unwrap();
    check(&[path], None, &options()).await.unwrap()
}

#[tokio::test]
async fn both_meanings_of_a_schedule_are_told() {
    let report = of("dag_id: a\nschedule: '@daily'\nstart_date: 2026-03-01\ntasks: {one: , two: {needs: one}}\n").await;
    let dag = &report.files[0].dags[0];
    assert_eq!((dag.tasks, dag.edges, report.errors), (2, 1, 0));
    let two = &dag.meanings["2"];
    // The days 1 to 9 of March, each once it is over.
    assert_eq!((two.catchup, two.runs_at_activation), (true, 9));
    assert_eq!(two.next[0].logical_date.to_rfc3339(), "2026-03-01T00:00:00+00:00");
    assert_eq!(two.next[0].run_after.to_rfc3339(), "2026-03-02T00:00:00+00:00");
    let three = &dag.meanings["3"];
    assert_eq!((three.catchup, three.runs_at_activation), (false, 1));
    assert_eq!(three.next[0].logical_date.to_rfc3339(), "2026-03-10T00:00:00+00:00");
    assert_eq!(three.next[0].run_after, three.next[0].logical_date);
    assert_eq!(three.next.len(), SHOWN);
    let text = report.human();
    assert!(text.contains("Airflow 2: catchup on, 9 runs at first activation"), "{text}");
    assert!(text.contains(" * Airflow 3: catchup off, 1 run at first activation"), "{text}");
    assert!(serde_json::to_value(&report).unwrap()["files"][0]["dags"][0]["meanings"]["3"]["next"][0]["logical_date"].is_string());
}

#[tokio::test]
async fn schedules_without_times_end() {
    for schedule in ["null", "'@once'", "'@continuous'"] {
        let report = of(&format!("dag_id: a\nschedule: {schedule}\nstart_date: 2026-03-01\ntasks: {{}}\n")).await;
        assert!(report.files[0].dags[0].meanings["2"].next.len() <= 1, "{schedule}");
    }
    let report = of("dag_id: a\nschedule: 1s\nstart_date: 2020-01-01\ncatchup: true\ntasks: {}\n").await;
    assert!(report.files[0].dags[0].meanings["3"].more);
}

#[tokio::test]
async fn a_schedule_that_never_comes_has_its_line() {
    let report = of("dag_id: a\nschedule: '0 0 31 2 *'\ntasks: {}\n").await;
    assert_eq!((report.files[0].errors[0].line, report.dags), (Some(2), 0));
    let report = of("dag_id: a\nschedule: '0 25 * * *'\ntasks: {}\n").await;
    assert_eq!(report.files[0].errors[0].line, Some(2));
}

#[tokio::test]
async fn a_named_file_must_hold_a_dag() {
    assert_eq!(of("replicas: 3\n").await.files[0].errors[0].kind, Kind::NoDag);
    let report = check(&["/nowhere/x.yaml".into(), "/nowhere".into()], None, &options()).await.unwrap();
    assert!(report.files.iter().all(|file| file.errors[0].kind == Kind::Io));
}
