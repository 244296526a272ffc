//! `setup` and `teardown` of tasks.

use std::collections::BTreeMap;

use updraft_model::ids::InvalidId;
use updraft_model::{TaskId, TaskSpec, TriggerRule};

use crate::diagnostic::Kind;
use crate::yaml::Told;
use crate::yaml::de::Error;
use crate::yaml::node::{Node, Place};
use crate::yaml::shape::{TaskShape, TeardownShape};

/// The setups that a teardown names.
pub(super) fn named<'n, 's>(task: &'n Node<'s>) -> impl Iterator<Item = &'n Node<'s>> {
    let setups = task.get("teardown").and_then(|teardown| teardown.get("setups"));
    setups.and_then(Node::items).unwrap_or_default().iter()
}

/// Refuses what cannot be meant. `shape` is the task's own, without defaults.
pub(super) fn check(id: &TaskId, shape: &TaskShape, node: &Node<'_>) -> Result<(), Error> {
    if !shape.teardown.as_ref().is_some_and(TeardownShape::is_on) {
        return Ok(());
    }
    let place = |key: &str| node.get(key).map_or(node.at, |node| node.at);
    if shape.setup == Some(true) {
        let hint = "a task is one of both: leave one out";
        return Err(Error::new(place("teardown"), format!("task `{id}` is setup and teardown")).hint(hint));
    }
    if shape.trigger_rule.is_some() {
        let hint = "leave it out: a teardown runs once all before it is over, if one of its setups succeeded";
        return Err(Error::new(place("trigger_rule"), format!("task `{id}` is a teardown and has a trigger rule")).hint(hint));
    }
    Ok(())
}

/// Makes a task what its `teardown` says.
pub(super) fn apply(of: TeardownShape, task: &mut TaskSpec) -> Result<(), InvalidId> {
    if !of.is_on() {
        return Ok(());
    }
    task.is_teardown = true;
    task.trigger_rule = TriggerRule::AllDoneSetupSuccess;
    if let TeardownShape::Of(of) = of {
        task.on_failure_fail_dagrun = of.on_failure_fail_dagrun;
        for setup in of.setups {
            task.upstream.push(TaskId::new(setup)?);
        }
    }
    Ok(())
}

/// Makes the tasks setups that teardowns name as such.
pub(super) fn mark_setups(made: &mut [(Place, TaskSpec)], nodes: &[&Node<'_>], told: &mut Told<'_>, dag: Option<&str>) {
    let items = nodes.iter().flat_map(|node| named(node));
    let setups: BTreeMap<&str, Place> = items.filter_map(|item| Some((item.text()?, item.at))).collect();
    for (_, task) in made {
        match setups.get(task.task_id.as_str()) {
            Some(at) if task.is_teardown => {
                let message = format!("task `{}` is a teardown and cannot be the setup of another", task.task_id);
                told.error(*at, Kind::Invalid, message, Some("name the task that prepares what is cleaned up".to_owned()), dag);
            }
            Some(_) => task.is_setup = true,
            None => {}
        }
    }
}

impl TeardownShape {
    fn is_on(&self) -> bool {
        !matches!(self, Self::Switch(false))
    }
}
