//! `GET /ui/graph/{dag_id}`: where the boxes and lines of a DAG go. A version never changes, so a picture is made once for each choice of folded
//! groups, kept here, and kept by the browser, which asks with its `ETag` whether it may show it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use updraft_layout::{End, Graph, Group, Layout, Node, Rect, Size};
use updraft_model::{DagSpec, TaskSpec};

use crate::error::Error;
use crate::groups::Groups;
use crate::request::Params;
use crate::versions::Version;
use crate::{ApiState, dags, shapes};

/// Most bytes of all pictures that are kept.
const MOST_KEPT: usize = 32 * 1024 * 1024;
/// A DAG with more tasks is shown with its groups folded, unless something else is asked for.
const OPEN_UP_TO: usize = 200;
/// All groups, where names of groups are asked for.
const ALL: &str = "*";

/// A task or a group of a picture.
#[derive(Debug, Serialize, JsonSchema)]
struct GraphBox {
    /// The task's, or the group's.
    id: String,
    /// What it is called within the group around it.
    label: String,
    /// `task`, or `group`.
    kind: &'static str,
    x: i32,
    y: i32,
    width: i32,
    height: i32,
    /// The place of the group around it among the boxes, which comes before this one.
    parent: Option<usize>,
    /// Of a group: whether what is in it is shown.
    is_open: bool,
    /// Of a group: the tasks in it, and in groups in it.
    members: Vec<String>,
    /// Of a task.
    operator: Option<String>,
    /// Of a task: what must be true of those before it, where that is not that all succeeded.
    trigger_rule: Option<String>,
    is_setup: bool,
    is_teardown: bool,
}

/// A piece of an arrow.
#[derive(Debug, Serialize, JsonSchema)]
struct GraphLine {
    /// A place among the boxes; from the number of boxes on, a port in the border of an open group, where other lines go on.
    from: usize,
    /// The same.
    to: usize,
    /// x, y, x, y, …
    points: Vec<i32>,
    /// It leads to the left, since groups wait for each other.
    is_back: bool,
}

/// A group that can be folded.
#[derive(Debug, Serialize, JsonSchema)]
struct GraphGroup {
    group_id: String,
    parent: Option<String>,
}

/// A version of a DAG as boxes and lines, from left to right.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct GraphPicture {
    dag_id: String,
    version_number: i32,
    width: i32,
    height: i32,
    boxes: Vec<GraphBox>,
    lines: Vec<GraphLine>,
    /// All groups, shown or not, outer ones first.
    groups: Vec<GraphGroup>,
}

/// Pictures that were made, as they are sent.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    clock: u64,
    bytes: usize,
    pictures: HashMap<(i64, String), (u64, Arc<str>)>,
}

impl Pictures {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &(i64, String)) -> Option<Arc<str>> {
        let mut kept = self.kept();
        kept.clock += 1;
        let now = kept.clock;
        let (used, picture) = kept.pictures.get_mut(key)?;
        *used = now;
        Some(Arc::clone(picture))
    }

    fn put(&self, key: (i64, String), picture: &Arc<str>) {
        let mut kept = self.kept();
        kept.clock += 1;
        let now = kept.clock;
        kept.bytes += picture.len();
        if let Some((_, old)) = kept.pictures.insert(key.clone(), (now, Arc::clone(picture))) {
            kept.bytes -= old.len();
        }
        while kept.bytes > MOST_KEPT {
            let others = kept.pictures.iter().filter(|(other, _)| **other != key);
            let Some(oldest) = others.min_by_key(|(_, (used, _))| *used).map(|(other, _)| other.clone()) else { break };
            if let Some((_, old)) = kept.pictures.remove(&oldest) {
                kept.bytes -= old.len();
            }
        }
    }
}

/// Which groups are folded.
fn folded(params: &Params, groups: &Groups, tasks: usize) -> Result<BTreeSet<usize>, Error> {
    let all = || (0..groups.list.len()).collect::<BTreeSet<usize>>();
    let named = |names: &str| -> BTreeSet<usize> {
        if names == ALL {
            return all();
        }
        // A name of another version names nothing in this one.
        let names: BTreeSet<&str> = names.split(',').collect();
        all().into_iter().filter(|at| names.contains(groups.list[*at].id.as_str())).collect()
    };
    match (params.one("folded"), params.one("open")) {
        (Some(_), Some(_)) => Err(Error::BadRequest("say which groups are folded or which are open, not both".to_owned())),
        (Some(names), None) => Ok(named(names)),
        (None, Some(names)) => Ok(&all() - &named(names)),
        (None, None) => Ok(if tasks > OPEN_UP_TO { all() } else { BTreeSet::new() }),
    }
}

/// The picture of a version.
pub(crate) async fn graph(
    State(state): State<ApiState>,
    Path(dag_id): Path<String>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let (number, id) = version_of(&state, &dag_id, params.int("version")?).await?;
    let version = state.version(id).await?;
    let groups = Groups::of(version.spec());
    let folded = folded(&params, &groups, version.spec().tasks.len())?;
    let choice = folded.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let installation = state.installation().await?;
    // Another release may draw another picture.
    let digest = Sha256::digest(format!("{} {installation} {id} {choice}", state.inner.version));
    let tag = format!("\"{}\"", digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>());
    // It may be kept, and whoever shows it again asks first: a DAG may be hidden from them by then.
    let head = [
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
        (header::ETAG, HeaderValue::from_str(&tag).map_err(|_| Error::Broken("a tag that is no header".to_owned()))?),
    ];
    let asked = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if asked.split(',').any(|one| one.trim().trim_start_matches("W/") == tag) {
        return Ok((StatusCode::NOT_MODIFIED, head).into_response());
    }
    let key = (id, choice);
    let picture = match state.inner.pictures.get(&key) {
        Some(picture) => picture,
        None => {
            let draw = move || serde_json::to_string(&draw(&version, number, &groups, &folded));
            let text = tokio::task::spawn_blocking(draw)
                .await
                .map_err(|error| Error::Broken(format!("the graph of {dag_id} cannot be laid out: {error}")))?;
            let text: Arc<str> = text.map_err(|error| Error::Broken(format!("the graph of {dag_id} cannot be written: {error}")))?.into();
            state.inner.pictures.put(key, &text);
            text
        }
    };
    Ok((head, [(header::CONTENT_TYPE, "application/json")], picture.to_string()).into_response())
}

/// The number and the key of a version, the newest if no number is given.
pub(crate) async fn version_of(state: &ApiState, dag_id: &str, number: Option<i64>) -> Result<(i32, i64), Error> {
    let dag = dags::find(state, dag_id).await?;
    let Some(number) = number.filter(|number| *number != i64::from(dag.version_number)) else {
        return Ok((dag.version_number, dag.version_id));
    };
    let missing = || Error::NotFound(format!("The DagVersion with dag_id: `{dag_id}` and version_number: `{number}` was not found"));
    let wanted = i32::try_from(number).map_err(|_| missing())?;
    let id = state.store().version_find(dag_id, wanted).await?.ok_or_else(missing)?;
    Ok((wanted, id))
}

fn is_wide(letter: char) -> bool {
    u32::from(letter) >= 0x1100
}

/// About as wide as it is painted: in a browser a text that is longer is cut.
fn width_of(text: &str, each: f64) -> f64 {
    text.chars().map(|letter| if is_wide(letter) { 1.8 } else { 1.0 }).sum::<f64>() * each
}

fn boxed(label: &str, below: &str) -> Size {
    let text = width_of(label, 7.3).max(width_of(below, 6.2));
    Size { width: (text + 52.0).clamp(112.0, 300.0).round(), height: 44.0 }
}

fn label_of(task: &TaskSpec, around: Option<&str>) -> String {
    let id = task.task_id.as_str();
    let short = around.and_then(|group| id.strip_prefix(group)?.strip_prefix('.')).unwrap_or(id);
    task.display_name.clone().unwrap_or_else(|| short.to_owned())
}

fn counted(count: usize) -> String {
    format!("{count} task{}", if count == 1 { "" } else { "s" })
}

fn draw(version: &Version, number: i32, groups: &Groups, folded: &BTreeSet<usize>) -> GraphPicture {
    let spec = version.spec();
    let around = |task: usize| groups.of_task[task].map(|group| groups.list[group].id.as_str());
    let members = groups.members(spec);
    let labels: Vec<String> = spec.tasks.iter().enumerate().map(|(at, task)| label_of(task, around(at))).collect();
    let edges = (0u32..).zip(&spec.tasks).flat_map(|(at, _)| version.graph.upstream(at).iter().map(move |up| (*up as usize, at as usize)));
    let graph = Graph {
        nodes: spec
            .tasks
            .iter()
            .zip(&labels)
            .zip(&groups.of_task)
            .map(|((task, label), group)| {
                // The page puts an arrow before the name of a setup or teardown.
                let sign = if task.is_setup || task.is_teardown { "↗ " } else { "" };
                Node { size: boxed(&format!("{sign}{label}"), shapes::operator(task)), group: *group }
            })
            .collect(),
        groups: groups
            .list
            .iter()
            .enumerate()
            .map(|(at, group)| Group {
                parent: group.parent,
                folded: folded.contains(&at).then(|| boxed(&group.label, &counted(members[at].len()))),
                least_width: width_of(&group.label, 7.3) + 60.0,
            })
            .collect(),
        edges: edges.collect(),
    };
    let layout = updraft_layout::layout(&graph);
    picture(spec, number, groups, folded, &labels, &members, &layout)
}

#[expect(clippy::cast_possible_truncation, reason = "no picture is 2^31 pixels wide, and one that were would only be cut")]
fn whole(number: f64) -> i32 {
    number.round() as i32
}

fn picture(
    spec: &DagSpec,
    number: i32,
    groups: &Groups,
    folded: &BTreeSet<usize>,
    labels: &[String],
    members: &[Vec<String>],
    layout: &Layout,
) -> GraphPicture {
    let mut boxes: Vec<GraphBox> = Vec::new();
    let mut at: BTreeMap<End, usize> = BTreeMap::new();
    let make = |id: &str, label: &str, kind, rect: &Rect, parent| GraphBox {
        id: id.to_owned(),
        label: label.to_owned(),
        kind,
        x: whole(rect.x),
        y: whole(rect.y),
        width: whole(rect.width),
        height: whole(rect.height),
        parent,
        is_open: false,
        members: Vec::new(),
        operator: None,
        trigger_rule: None,
        is_setup: false,
        is_teardown: false,
    };
    for (group, rect) in layout.groups.iter().enumerate() {
        let (Some(rect), own) = (rect, &groups.list[group]) else { continue };
        let parent = own.parent.and_then(|parent| at.get(&End::Group(parent)).copied());
        at.insert(End::Group(group), boxes.len());
        boxes.push(GraphBox {
            is_open: !folded.contains(&group),
            members: members[group].clone(),
            ..make(&own.id, &own.label, "group", rect, parent)
        });
    }
    for (n, rect) in layout.nodes.iter().enumerate() {
        let (Some(rect), task) = (rect, &spec.tasks[n]) else { continue };
        let parent = groups.of_task[n].and_then(|group| at.get(&End::Group(group)).copied());
        at.insert(End::Node(n), boxes.len());
        let rule = task.trigger_rule.as_str();
        boxes.push(GraphBox {
            operator: Some(shapes::operator(task).to_owned()),
            trigger_rule: (rule != "all_success").then(|| rule.to_owned()),
            is_setup: task.is_setup,
            is_teardown: task.is_teardown,
            ..make(task.task_id.as_str(), &labels[n], "task", rect, parent)
        });
    }
    let count = boxes.len();
    let place = |end: End| match end {
        End::Port(port) => Some(count + port),
        end => at.get(&end).copied(),
    };
    let lines = layout.lines.iter().filter_map(|line| {
        let points = line.points.iter().flat_map(|(x, y)| [whole(*x), whole(*y)]).collect();
        Some(GraphLine { from: place(line.from)?, to: place(line.to)?, points, is_back: line.is_back })
    });
    GraphPicture {
        dag_id: spec.dag_id.to_string(),
        version_number: number,
        width: whole(layout.width),
        height: whole(layout.height),
        lines: lines.collect(),
        boxes,
        groups: groups
            .list
            .iter()
            .map(|group| GraphGroup { group_id: group.id.clone(), parent: group.parent.map(|parent| groups.list[parent].id.clone()) })
            .collect(),
    }
}
