//! `docs/metrics.md` beside what a process tells on `/metrics`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What is said of a metric, by the page or by a process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Metric {
    kind: String,
    labels: BTreeSet<String>,
}

/// The metrics of the page that a role tells. A row names all roles that do; `all` is everybody.
fn documented(roles: &[&str], airflow: bool) -> BTreeMap<String, Metric> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md")).unwrap();
    let mut metrics = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, from, meaning] = cells.as_slice() else { panic!("not five cells: {line}") };
        assert!(!meaning.is_empty(), "{line}");
        let ticked = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
        let name = name.trim_matches('`').to_owned();
        let by_role = from.split(", ").any(|role| role == "all" || roles.contains(&role));
        if by_role && (airflow || !name.starts_with("airflow_")) {
            let metric = Metric { kind: (*kind).to_owned(), labels: ticked(labels) };
            assert_eq!(metrics.insert(name.clone(), metric), None, "{name} is there twice");
        }
    }
    metrics
}

/// The metrics of a scrape.
fn told(scrape: &str) -> BTreeMap<String, Metric> {
    assert!(scrape.ends_with("# EOF\n"), "cut off: {scrape}");
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    for line in scrape.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            metrics.insert(name, Metric { kind: kind.to_owned(), labels: BTreeSet::new() });
        } else if !line.starts_with('#') {
            let key = line.rsplit_once(' ').unwrap().0;
            let (name, labels) = key.split_once('{').map_or((key, ""), |(name, labels)| (name, labels.trim_end_matches('}')));
            let base = ["", "_bucket", "_sum", "_count"].iter().find_map(|end| {
                let base = name.strip_suffix(end)?;
                metrics.contains_key(base).then(|| base.to_owned())
            });
            let metric = metrics.get_mut(&base.unwrap_or_else(|| panic!("{name} has no type"))).unwrap();
            // Values are in quotes and may hold commas.
            let names = labels.split('"').step_by(2).map(|text| text.trim_matches([',', '='])).filter(|text| !text.is_empty());
            metric.labels.extend(names.filter(|name| !["le", "quantile"].contains(name)).map(str::to_owned));
        }
    }
    // Airflow's timers are three names there, and one here. Its counters have no type.
    for name in metrics.keys().cloned().collect::<Vec<_>>() {
        let parts = [format!("{name}_sum"), format!("{name}_count")];
        if name.starts_with("airflow_") && parts.iter().all(|part| metrics.contains_key(part)) {
            for part in &parts {
                metrics.remove(part);
            }
            metrics.get_mut(&name).unwrap().kind = "summary".to_owned();
        }
    }
    metrics
}

/// Compares a scrape of somebody who is these roles with the page. What differs, in words.
pub(crate) fn differences(scrape: &str, roles: &[&str], airflow: bool) -> Vec<String> {
    let (page, told) = (documented(roles, airflow), told(scrape));
    let mut differences: Vec<String> =
        page.keys().filter(|name| !told.contains_key(*name)).map(|name| format!("{name} is not told")).collect();
    for (name, is) in &told {
        let Some(said) = page.get(name) else {
            differences.push(format!("{name} is not on the page for {roles:?}"));
            continue;
        };
        // Without a type: a counter that has no `_total`.
        if is.kind != said.kind && !(is.kind == "unknown" && ["counter", "gauge", "summary"].contains(&said.kind.as_str())) {
            differences.push(format!("{name} is a {}, and on the page a {}", is.kind, said.kind));
        }
        // What has no row yet has no labels; a DAG's id is there where it was asked for.
        if !is.labels.is_empty() && is.labels != said.labels || is.labels.is_empty() && has_row(scrape, name) && !said.labels.is_empty() {
            differences.push(format!("{name} has the labels {:?}, and on the page {:?}", is.labels, said.labels));
        }
    }
    differences
}

fn has_row(scrape: &str, name: &str) -> bool {
    scrape.lines().any(|line| line.starts_with(&format!("{name} ")) || line.starts_with(&format!("{name}_count ")))
}

/// The value of a row, by its whole key.
pub(crate) fn value(scrape: &str, key: &str) -> Option<f64> {
    scrape.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
}
