use super::*;

#[test]
fn figures_of_dags_are_capped() {
    let mut known = BTreeSet::new();
    assert_eq!(label_of(&mut known, 0, "a"), None, "off");
    assert_eq!(label_of(&mut known, 2, "a").as_deref(), Some("a"));
    assert_eq!(label_of(&mut known, 2, "b").as_deref(), Some("b"));
    assert_eq!(label_of(&mut known, 2, "c").as_deref(), Some("other"));
    assert_eq!(label_of(&mut known, 2, "a").as_deref(), Some("a"), "it keeps its own");
}

#[test]
fn labels_have_known_values() {
    let text = || {
        let mut registry = Registry::default();
        register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    };
    assert!(!text().contains("database_"), "nobody asked for it");
    worker().ended(&AttemptEnded {
        dag_id: "d",
        state: "a state of tomorrow",
        ran: Some(Duration::from_secs(2)),
        ..AttemptEnded::default()
    });
    http().answered("BREW", "/coffee/{id}", 418, Duration::from_millis(3));
    http().answered("GET", "/", 42, Duration::ZERO);
    let text = text();
    for line in [
        r#"attempts_ended_total{state="other",budget="none"} 1"#,
        r#"task_duration_seconds_sum{state="other"} 2.0"#,
        r#"http_request_seconds_count{method="other",route="/coffee/{id}",status="4xx"} 1"#,
        r#"http_request_seconds_count{method="GET",route="/",status="other"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains("dag_id"), "figures of DAGs are off:\n{text}");
}
