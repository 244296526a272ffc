//! Which instances a list is about: runs by their names, tasks by what their DAG version says of them.

use serde_json::Value;
use updraft_model::TaskSpec;
use updraft_store::read::Test;
use updraft_store::read::instances::{Fallback, InstanceScope, POOL, QUEUE};

use crate::error::Error;
use crate::request::Params;
use crate::{ApiState, dags, runs, shapes};

/// What is said of a task in its DAG version, and not in rows, with the parameters that ask for it: all of it, a pattern, a prefix.
type Said = (fn(&TaskSpec) -> &str, [&'static str; 3]);

const TASK_ID: Said = (|task| task.task_id.as_str(), ["task_id", "task_id_pattern", "task_id_prefix_pattern"]);
const DISPLAY_NAME: Said = (
    |task| task.display_name.as_deref().unwrap_or(task.task_id.as_str()),
    ["", "task_display_name_pattern", "task_display_name_prefix_pattern"],
);
const OPERATOR: Said = (shapes::operator, ["operator", "operator_name_pattern", "operator_name_prefix_pattern"]);
/// The same, of which an attempt may say something else.
const POOLS: Said = (|task| &task.pool, ["pool", "pool_name_pattern", "pool_name_prefix_pattern"]);
const QUEUES: Said = (|task| &task.queue, ["queue", "queue_name_pattern", "queue_name_prefix_pattern"]);

/// The parameters that choose tasks: all of a text, patterns, prefixes.
pub(crate) fn parameters() -> impl Iterator<Item = &'static str> {
    [TASK_ID, DISPLAY_NAME, OPERATOR, POOLS, QUEUES].into_iter().flat_map(|(_, names)| names).filter(|name| !name.is_empty())
}

/// The scope of a list: `~` for any DAG or run, and the tasks that the parameters choose.
pub(crate) async fn scope(state: &ApiState, dag_id: &str, run_id: &str, params: &Params) -> Result<InstanceScope, Error> {
    let mut scope = InstanceScope::default();
    let mut version = None;
    if dag_id == "~" && run_id != "~" {
        return Err(Error::BadRequest("dag_id is required when dag_run_id is specified".to_owned()));
    }
    if run_id != "~" {
        let run = runs::find(state, dag_id, run_id).await?;
        scope.run = Some(run.key());
        version = Some(run.version_id);
    } else if dag_id != "~" {
        dags::find(state, dag_id).await?;
        scope.dag_id = Some(dag_id.to_owned());
    }
    let tests =
        |(said, [equal, pattern, prefix]): Said| params.text_tests(equal, pattern, prefix).into_iter().map(move |test| (said, test));
    let by_task: Vec<_> = [TASK_ID, DISPLAY_NAME, OPERATOR].into_iter().flat_map(tests).collect();
    let group = params.one("task_group_id");
    let by_attempt: Vec<_> =
        [(POOL, POOLS), (QUEUE, QUEUES)].into_iter().flat_map(|(of, said)| tests(said).map(move |(said, test)| (of, said, test))).collect();
    let order = params.order_by()?;
    let word = [("operator", OPERATOR), ("task_id", TASK_ID)].into_iter().find(|(name, _)| order.iter().any(|(by, _)| by == name));
    if by_task.is_empty() && by_attempt.is_empty() && word.is_none() && group.is_none() {
        return Ok(scope);
    }
    let ids = params.all("task_id");
    let named = |id: String| format!("\"task_id\":{}", Value::String(id));
    let versions = match (version, ids.as_slice(), group) {
        (Some(version), ..) => vec![version],
        (None, [id], _) => state.store().versions_containing(scope.dag_id.as_deref(), &named(id.clone())).await?,
        (None, _, Some(group)) => {
            // The beginning of an id, or a group that no id begins with.
            let text = Value::String(group.to_owned()).to_string();
            state.store().versions_containing(scope.dag_id.as_deref(), text.strip_suffix('"').unwrap_or(&text)).await?
        }
        _ => state.store().versions_containing(scope.dag_id.as_deref(), "").await?,
    };
    let mut chosen = Vec::new();
    let mut fallbacks: Vec<Fallback> =
        by_attempt.iter().map(|(of, _, test)| Fallback { of, test: test.clone(), tasks: Vec::new() }).collect();
    let mut words = Vec::new();
    let mut in_a_group = false;
    for id in versions {
        let version = state.version(id).await?;
        for (task, at) in version.spec().tasks.iter().zip(0i32..) {
            if !group.is_none_or(|group| in_group(task, group)) {
                continue;
            }
            in_a_group = true;
            if !by_task.iter().all(|(said, test)| holds(test, said(task))) {
                continue;
            }
            chosen.push((id, at));
            for ((_, said, test), fallback) in by_attempt.iter().zip(&mut fallbacks) {
                if holds(test, said(task)) {
                    fallback.tasks.push((id, at));
                }
            }
            if let Some((_, (said, _))) = word {
                words.push((id, at, said(task).to_owned()));
            }
        }
    }
    if let Some(group) = group.filter(|_| !in_a_group) {
        return Err(Error::NotFound(format!("Task group {group} not found")));
    }
    scope.tasks = (!by_task.is_empty() || group.is_some()).then_some(chosen);
    scope.fallbacks = fallbacks;
    scope.words = word.map(|_| words);
    Ok(scope)
}

/// Whether a task is in a group, or in a group within it. Its id begins with the group's, unless its author said `prefix_group_id=False`: then
/// the task names the group.
pub(crate) fn in_group(task: &TaskSpec, group: &str) -> bool {
    task.task_id.as_str().strip_prefix(group).is_some_and(|rest| rest.starts_with('.')) || task.groups.iter().any(|name| name == group)
}

/// Whether a text passes, as in the database.
fn holds(test: &Test, text: &str) -> bool {
    match test {
        Test::AnyOf(values) => values.iter().any(|value| value == text),
        Test::Like(patterns) => patterns.iter().any(|pattern| like_matches(&pattern.to_lowercase(), &text.to_lowercase())),
        Test::Prefix(prefixes) => prefixes.iter().any(|prefix| text.starts_with(prefix)),
        _ => false,
    }
}

/// `LIKE`, for names that are not in the database.
fn like_matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    // Greedy with one way back: the last `%`.
    let (mut p, mut t, mut back) = (0, 0, None);
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '%' {
            back = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '_' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star, from)) = back {
            back = Some((star, from + 1));
            p = star + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '%')
}

#[cfg(test)]
mod tests {
    use updraft_model::{TaskId, TaskKind, TaskSpec};

    use super::{in_group, like_matches};

    #[test]
    fn a_group_has_what_is_in_groups_within_it() {
        let mut task = TaskSpec::new(TaskId::new("a").unwrap(), TaskKind::Empty);
        for (id, inside) in [("block.a", true), ("block.inner.a", true), ("block", false), ("blocks.a", false), ("a.block.b", false)] {
            task.task_id = TaskId::new(id).unwrap();
            assert_eq!(in_group(&task, "block"), inside, "{id}");
        }
        task.groups = vec!["block".to_owned(), "inner".to_owned()];
        for (group, inside) in [("block", true), ("inner", true), ("a", true), ("a.block", true), ("bloc", false)] {
            assert_eq!(in_group(&task, group), inside, "{group}");
        }
    }

    #[test]
    fn like_is_postgres_like() {
        for (pattern, text, hit) in [
            ("%", "", true),
            ("a%", "abc", true),
            ("%c", "abc", true),
            ("a_c", "abc", true),
            ("a_c", "ac", false),
            ("%b%", "abc", true),
            ("%bb%c", "abbbc", true),
            ("a", "ab", false),
        ] {
            assert_eq!(like_matches(pattern, text), hit, "{pattern} {text}");
        }
    }
}
