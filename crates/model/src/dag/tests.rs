use super::*;

fn dag(tasks: &[(&str, &[&str])]) -> DagSpec {
    let tasks = tasks
        .iter()
        .map(|(id, ups)| {
            let mut task = TaskSpec::new(TaskId::new(*id).unwrap(), TaskKind::Empty);
            task.upstream = ups.iter().map(|u| TaskId::new(*u).unwrap()).collect();
            task
        })
        .collect();
    serde_json::from_value::<DagSpec>(serde_json::json!({"dag_id": "d", "schedule": {"kind": "none"}, "tasks": []}))
        .map(|spec| DagSpec { tasks, ..spec })
        .unwrap()
}

#[test]
fn a_circle_is_named_in_the_direction_of_its_arrows() {
    let mut spec = dag(&[("z", &[]), ("a", &["c", "z"]), ("b", &["a"]), ("c", &["b"]), ("d", &["c"])]);
    let Err(InvalidDag::Cycle(circle)) = spec.validate() else { panic!("no cycle found") };
    assert_eq!(circle.len(), 4);
    for pair in circle.windows(2) {
        let later = spec.tasks.iter().find(|t| t.task_id == pair[1]).unwrap();
        assert!(later.upstream.contains(&pair[0]), "{circle:?}");
    }
}

#[test]
fn mistakes_are_found() {
    assert!(matches!(dag(&[("a", &[]), ("a", &[])]).validate(), Err(InvalidDag::DuplicateTask(_))));
    assert!(matches!(dag(&[("a", &["b"])]).validate(), Err(InvalidDag::UnknownUpstream { .. })));
    assert!(matches!(dag(&[("a", &["a"])]).validate(), Err(InvalidDag::Cycle(_))));
}

#[test]
fn setups_that_would_take_too_long_to_follow_are_refused() {
    let ids: Vec<String> = (0..6401).map(|i| format!("t{i}")).collect();
    let chain: Vec<Vec<&str>> = (0..ids.len()).map(|i| if i == 0 { vec![] } else { vec![ids[i - 1].as_str()] }).collect();
    let tasks: Vec<(&str, &[&str])> = ids.iter().zip(&chain).map(|(id, ups)| (id.as_str(), ups.as_slice())).collect();
    let mut spec = dag(&tasks);
    let setups = |spec: &mut DagSpec, many: usize| spec.tasks.iter_mut().take(many).for_each(|task| task.is_setup = true);
    setups(&mut spec, 6250);
    assert_eq!(spec.validate(), Ok(()));
    setups(&mut spec, 6251);
    let error = spec.validate().unwrap_err();
    assert_eq!(error.to_string(), "6251 setup and teardown tasks among 6400 arrows are too many: at most 6250");
}

#[test]
fn a_version_does_not_depend_on_the_order_of_arrows() {
    let mut one = dag(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]);
    let mut two = dag(&[("a", &[]), ("b", &[]), ("c", &["b", "a"])]);
    one.validate().unwrap();
    two.validate().unwrap();
    assert_eq!(one.version_hash(), two.version_hash());
}

#[test]
fn a_long_chain_is_checked_without_recursion() {
    let ids: Vec<String> = (0..100_000).map(|i| format!("t{i}")).collect();
    let mut spec = dag(&[]);
    spec.tasks = ids
        .iter()
        .enumerate()
        .map(|(i, id)| {
            let mut task = TaskSpec::new(TaskId::new(id.as_str()).unwrap(), TaskKind::Empty);
            if i > 0 {
                task.upstream.push(TaskId::new(ids[i - 1].as_str()).unwrap());
            }
            task
        })
        .collect();
    spec.validate().unwrap();
}
