//! The shape of a file → [`DagSpec`].

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::Value;
use updraft_model::dag::{InvalidDag, Param, PodTask, TaskGroupSpec};
use updraft_model::{DagId, DagSpec, Schedule, TaskId, TaskKind, TaskSpec};

use crate::dates;
use crate::diagnostic::{Kind, did_you_mean};
use crate::duration;
use crate::yaml::de::Error;
use crate::yaml::node::{Node, Place};
use crate::yaml::shape::{BASH_KEYS, Backoff, Codes, DagShape, POD_KEYS, TaskShape, When};
use crate::yaml::{Told, groups, teardown, waits};

const PRESETS: &[&str] = &["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@quarterly", "@yearly", "@annually"];

/// Decodes one document and adds its DAG, or its mistakes, to `told`.
pub(crate) fn document(document: &Node<'_>, told: &mut Told<'_>) {
    let before = told.count();
    let named = document.get("dag_id").and_then(Node::text).map(str::to_owned);
    let named = named.as_deref();
    let header = document.filtered(|key| key != "tasks" && !key.starts_with("x-"));
    let shape = match DagShape::deserialize(&header) {
        Ok(shape) => Some(shape),
        Err(error) => {
            let hint = missing_hint(document, &error);
            let error = Error { hint: error.hint.clone().or(hint), ..error };
            told.told(error, document.at, named);
            None
        }
    };
    let defaults = shape.as_ref().and_then(|shape| shape.default_args.clone()).unwrap_or_default();
    let zone = shape.as_ref().map_or(Some(Tz::UTC), |shape| zone(shape, document, told, named)).unwrap_or(Tz::UTC);
    if let Some(node) = document.get("default_args") {
        for key in ["task_id", "needs", "dependencies", "upstream", "depends_on", "setup", "teardown"] {
            if let Some(value) = node.get(key) {
                told.error(value.at, Kind::Invalid, format!("`{key}` belongs to one task, not to default_args"), None, named);
            }
        }
        aside(node, told);
    }
    let (tasks, groups) = tasks(document, &defaults, zone, told, named);
    let Some(shape) = shape else { return };
    let spec = dag(shape, document, zone, tasks.iter().map(|(_, task)| task.clone()).collect(), told, named);
    let Some(mut spec) = spec else { return };
    spec.task_groups = groups;
    if told.count() > before {
        return;
    }
    match spec.validate() {
        Ok(()) => told.parsed.dags.push(spec),
        Err(invalid) => {
            let at = place_of(&invalid, document, &tasks);
            let hint = matches!(invalid, InvalidDag::Cycle(_)).then(|| "take one of these out of `needs`".to_owned());
            told.error(at, Kind::Invalid, invalid.to_string(), hint, named);
        }
    }
}

fn missing_hint(document: &Node<'_>, error: &Error) -> Option<String> {
    if error.message != "`dag_id` is missing" {
        return None;
    }
    let keys = document.entries()?.iter().filter_map(|(key, _)| key.text());
    did_you_mean("dag_id", keys).map(|near| format!("`{near}` is not `dag_id`")).or_else(|| Some("every DAG has a `dag_id`".to_owned()))
}

fn place_of(invalid: &InvalidDag, document: &Node<'_>, tasks: &[(Place, TaskSpec)]) -> Place {
    let of_task = |id: &str| tasks.iter().find(|(_, task)| task.task_id.as_str() == id).map(|(at, _)| *at);
    match invalid {
        InvalidDag::DuplicateTask(id) => of_task(id.as_str()),
        InvalidDag::UnknownUpstream { task, .. } => of_task(task.as_str()),
        InvalidDag::Cycle(circle) => circle.first().and_then(|id| of_task(id.as_str())),
        InvalidDag::Zero { field, of } => document.get(field).map(|node| node.at).or_else(|| of_task(of)),
        InvalidDag::Continuous(_) => document.get("max_active_runs").map(|node| node.at),
        InvalidDag::TooManySetups { .. } => document.get("tasks").map(|node| node.at),
    }
    .unwrap_or(document.at)
}

fn zone(shape: &DagShape, document: &Node<'_>, told: &mut Told<'_>, named: Option<&str>) -> Option<Tz> {
    let Some(name) = &shape.timezone else { return Some(Tz::UTC) };
    if let Ok(zone) = name.parse::<Tz>() {
        return Some(zone);
    }
    let at = document.get("timezone").map_or(document.at, |node| node.at);
    let near = did_you_mean_zone(name);
    let hint = near.map_or_else(|| "write an IANA name such as Europe/Stockholm".to_owned(), |near| format!("did you mean `{near}`?"));
    told.error(at, Kind::Invalid, format!("there is no time zone {name:?}"), Some(hint), named);
    None
}

fn did_you_mean_zone(name: &str) -> Option<&'static str> {
    let folded = name.to_ascii_lowercase();
    let score = |zone: &&str| strsim::damerau_levenshtein(&folded, &zone.to_ascii_lowercase());
    chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).min_by_key(score).filter(|zone| score(zone) <= 3)
}

fn dag(shape: DagShape, document: &Node<'_>, zone: Tz, tasks: Vec<TaskSpec>, told: &mut Told<'_>, named: Option<&str>) -> Option<DagSpec> {
    let at = |key: &str| document.get(key).map_or(document.at, |node| node.at);
    let before = told.count();
    if let Some(version) = &shape.api_version
        && version != "updraft/v1"
    {
        let message = format!("apiVersion {version:?} is not known here");
        told.error(at("apiVersion"), Kind::Invalid, message, Some("write updraft/v1, or leave it out".to_owned()), named);
    }
    let dag_id = match DagId::new(shape.dag_id) {
        Ok(id) => Some(id),
        Err(error) => {
            told.error(at("dag_id"), Kind::Invalid, error.to_string(), None, named);
            None
        }
    };
    let schedule = match schedule(shape.schedule, at("schedule")) {
        Ok(schedule) => schedule,
        Err(error) => {
            told.told(error, at("schedule"), named);
            Schedule::None
        }
    };
    // Only where the fields and the zone could be read: the timetable would tell the same again.
    if told.count() == before
        && let Err(message) = crate::check::schedule(&schedule, zone.name())
    {
        told.error(at("schedule"), Kind::Invalid, message, None, named);
    }
    let mut date = |key: &'static str, text: Option<String>| date(text.as_deref(), zone, at(key), told, named);
    let start_date = date("start_date", shape.start_date);
    let end_date = date("end_date", shape.end_date);
    if let (Some(start), Some(end)) = (start_date, end_date)
        && end < start
    {
        told.error(at("end_date"), Kind::Invalid, "end_date is before start_date: this DAG would never run".to_owned(), None, named);
    }
    if document.get("tasks").is_none() {
        told.error(
            at("dag_id"),
            Kind::Invalid,
            "`tasks` is missing".to_owned(),
            Some("a DAG without tasks is written `tasks: {}`".to_owned()),
            named,
        );
    }
    let default_args = match document.get("default_args").filter(|node| !node.is_null()).map(BTreeMap::<String, Value>::deserialize) {
        Some(Ok(map)) => map,
        Some(Err(_)) | None => BTreeMap::new(),
    };
    if told.count() > before {
        return None;
    }
    Some(DagSpec {
        dag_id: dag_id?,
        display_name: shape.display_name,
        description: shape.description,
        doc_md: shape.doc_md,
        tags: shape.tags.0,
        owner_links: shape.owner_links,
        schedule,
        timezone: zone.name().to_owned(),
        start_date,
        end_date,
        catchup: shape.catchup,
        semantics: shape.semantics,
        max_active_runs: shape.max_active_runs,
        max_active_tasks: shape.max_active_tasks,
        max_consecutive_failed_dag_runs: shape.max_consecutive_failed_dag_runs.unwrap_or(0),
        dagrun_timeout_ms: shape.dagrun_timeout.map(|ms| ms.0),
        is_paused_upon_creation: shape.is_paused_upon_creation,
        params: params(shape.params),
        default_args,
        render_template_as_native_obj: shape.render_template_as_native_obj,
        task_groups: Vec::new(),
        code: None,
        tasks,
    })
}

fn date(text: Option<&str>, zone: Tz, at: Place, told: &mut Told<'_>, named: Option<&str>) -> Option<DateTime<Utc>> {
    match dates::parse(text?, zone) {
        Ok(time) => Some(time),
        Err(message) => {
            told.error(
                at,
                Kind::Invalid,
                message,
                Some("write 2026-01-31, 2026-01-31 06:00 or 2026-01-31T06:00:00+01:00".to_owned()),
                named,
            );
            None
        }
    }
}

fn schedule(when: Option<When>, at: Place) -> Result<Schedule, Error> {
    let cron = |expressions| Schedule::Cron { expressions, data_intervals: None };
    match when {
        None => Ok(Schedule::None),
        Some(When::Seconds(seconds)) => delta(duration::from_seconds(seconds).map_err(|message| Error::new(at, message))?, at),
        Some(When::Many(list)) if list.is_empty() => Ok(Schedule::None),
        Some(When::Many(list)) => {
            for text in &list {
                fields(text, at)?;
            }
            Ok(cron(list))
        }
        Some(When::Text(text)) => match text.trim() {
            "" | "None" | "none" | "null" => Ok(Schedule::None),
            "@once" => Ok(Schedule::Once),
            "@continuous" => Ok(Schedule::Continuous),
            trimmed if trimmed.starts_with('@') || trimmed.contains(' ') && !trimmed.starts_with(|c: char| c.is_ascii_digit()) => {
                fields(trimmed, at)?;
                Ok(cron(vec![trimmed.to_owned()]))
            }
            trimmed => match duration::parse_ms(trimmed) {
                Ok(ms) => delta(ms, at),
                Err(_) => {
                    fields(trimmed, at)?;
                    Ok(cron(vec![trimmed.to_owned()]))
                }
            },
        },
    }
}

fn delta(every_ms: u64, at: Place) -> Result<Schedule, Error> {
    match every_ms {
        0 => Err(Error::new(at, "a schedule of 0 seconds never stops").hint("for a run as soon as the last has ended write @continuous")),
        every_ms => Ok(Schedule::Delta { every_ms, data_intervals: None }),
    }
}

fn fields(text: &str, at: Place) -> Result<(), Error> {
    if text.starts_with('@') {
        let all = PRESETS.iter().chain(&["@once", "@continuous"]).copied();
        return match PRESETS.contains(&text) {
            true => Ok(()),
            false => Err(Error::new(at, format!("there is no preset {text:?}")).hint(match did_you_mean(text, all) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("one of {}, @once, @continuous", PRESETS.join(", ")),
            })),
        };
    }
    match text.split_whitespace().count() {
        5 => Ok(()),
        6 | 7 => Err(Error::new(at, format!("{text:?} has more than five fields"))
            .hint("cron has minute, hour, day of month, month, day of week: seconds and years are not supported")),
        _ => Err(Error::new(at, format!("{text:?} is no schedule"))
            .hint("write five cron fields (\"0 6 * * *\"), a preset (@daily), a duration (30m) or null")),
    }
}

/// Tasks with their places, and the groups that they are in.
type Tasks = (Vec<(Place, TaskSpec)>, Vec<TaskGroupSpec>);

fn tasks(document: &Node<'_>, defaults: &TaskShape, zone: Tz, told: &mut Told<'_>, named: Option<&str>) -> Tasks {
    let Some(node) = document.get("tasks") else { return Tasks::default() };
    let mut made: Vec<(Place, TaskSpec)> = Vec::new();
    let mut nodes: Vec<&Node<'_>> = Vec::new();
    let add = |at: Place, id: Option<&str>, task: &'_ Node<'_>, told: &mut Told<'_>| -> Option<(Place, TaskSpec)> {
        match one(at, id, task, defaults, zone, told) {
            Ok(spec) => Some((at, spec)),
            Err(error) => {
                told.told(error, at, named);
                None
            }
        }
    };
    if let Some(entries) = node.entries() {
        for (key, task) in entries {
            if let Some(spec) = add(key.at, key.text(), task, told) {
                made.push(spec);
                nodes.push(task);
            }
        }
    } else if let Some(items) = node.items() {
        for task in items {
            let at = task.get("task_id").map_or(task.at, |id| id.at);
            if let Some(spec) = add(at, None, task, told) {
                made.push(spec);
                nodes.push(task);
            }
        }
    } else if !node.is_null() {
        let hint = "write a map from id to task, or a list of tasks with task_id".to_owned();
        told.error(node.at, Kind::Invalid, "expected the tasks here".to_owned(), Some(hint), named);
    }
    teardown::mark_setups(&mut made, &nodes, told, named);
    let groups = groups::weave(document, &mut made, &nodes, told, named);
    twice_or_unknown(&made, &nodes, told, named);
    waits::check_branches(&made, &nodes, told, named);
    (made, groups)
}

/// Tells a second task of one id and upstreams that are not there: the checks of `validate`, but every case and at its own place.
fn twice_or_unknown(made: &[(Place, TaskSpec)], nodes: &[&Node<'_>], told: &mut Told<'_>, named: Option<&str>) {
    let mut first: HashMap<&str, Place> = HashMap::with_capacity(made.len());
    for (at, task) in made {
        if let Some(before) = first.insert(task.task_id.as_str(), *at) {
            let hint = Some(format!("the first is on line {}", before.line));
            told.error(*at, Kind::Invalid, format!("task id `{}` is used twice", task.task_id), hint, named);
        }
    }
    let clean = told.parsed.errors.is_empty();
    for ((at, task), node) in made.iter().zip(nodes) {
        for upstream in &task.upstream {
            // Where a task could not be read, its id is not missing: one mistake is told once.
            if first.contains_key(upstream.as_str()) || !clean {
                continue;
            }
            let needs = ["needs", "dependencies", "upstream", "depends_on"].iter().find_map(|key| node.get(key));
            let as_setup = teardown::named(node).find(|item| item.text() == Some(upstream.as_str()));
            let at = as_setup
                .map(|item| item.at)
                .or_else(|| {
                    needs.map(|needs| {
                        let of_item = needs.items().unwrap_or_default().iter().find(|item| item.text() == Some(upstream.as_str()));
                        of_item.map_or(needs.at, |item| item.at)
                    })
                })
                .unwrap_or(*at);
            // A hint costs a look at every id: only for mistakes that are shown.
            let near = if told.is_full() { None } else { did_you_mean(upstream.as_str(), first.keys().copied()) };
            let hint = near.map(|near| format!("did you mean `{near}`?"));
            let how = if as_setup.is_some() { "is the teardown of" } else { "needs" };
            let message = format!("task `{}` {how} `{upstream}`, which this DAG does not have", task.task_id);
            told.error(at, Kind::Invalid, message, hint, named);
        }
    }
}

fn one(at: Place, id: Option<&str>, node: &Node<'_>, defaults: &TaskShape, zone: Tz, told: &mut Told<'_>) -> Result<TaskSpec, Error> {
    let mut shape = if node.is_null() {
        TaskShape::default()
    } else if node.entries().is_some() {
        TaskShape::deserialize(node).map_err(elsewhere)?
    } else {
        return Err(Error::new(node.at, "expected a task: a map such as `{bash_command: echo hi}`"));
    };
    let id = match (id, shape.task_id.take()) {
        (Some(key), Some(own)) if key != own => {
            return Err(Error::new(node.get("task_id").map_or(at, |n| n.at), format!("task_id `{own}` is not the key `{key}`")));
        }
        (Some(id), _) => id.to_owned(),
        (None, Some(id)) => id,
        (None, None) => return Err(Error::new(at, "`task_id` is missing").hint("in a list, each task has a `task_id`")),
    };
    let id = TaskId::new(id).map_err(|error| Error::new(at, error.to_string()))?;
    aside(node, told);
    let what = what(&shape, defaults, node, at)?;
    let of_wait;
    let (is, takes) = match what {
        What::Bash => ("bash", "a bash task runs on the worker: leave it out, or use `image` with `cmds: [bash, -c]`"),
        What::Pod => ("pod", "a pod runs `cmds` and `arguments`: leave it out"),
        What::Empty => ("empty", "an empty task runs nothing: add an `image` or a `bash_command`"),
        What::LatestOnly => ("latest_only", "it runs nothing: it skips the tasks right after it unless its run is the newest"),
        What::Waits(operator) => {
            of_wait = format!("leave it out: its own keys are {}", operator.keys());
            (operator.class(), of_wait.as_str())
        }
    };
    let is_wrong = |key: &str| match what {
        What::Pod => BASH_KEYS.contains(&key) || waits::is_key(key),
        What::Bash | What::Empty | What::LatestOnly => POD_KEYS.contains(&key) || waits::is_key(key),
        What::Waits(operator) => BASH_KEYS.contains(&key) || POD_KEYS.contains(&key) || waits::is_key(key) && !operator.takes(key),
    };
    let own = node.entries().unwrap_or_default();
    if let Some((key, _)) = own.iter().find(|(key, _)| key.text().is_some_and(is_wrong)) {
        return Err(
            Error::new(key.at, format!("`{}` has no meaning for a task of operator {is}", key.text().unwrap_or_default())).hint(takes)
        );
    }
    teardown::check(&id, &shape, node)?;
    shape.or(defaults);
    spec(id, shape, what, node, at, zone)
}

/// A key in default_args, or merged from an anchor, has its own place; nothing to move today, but errors of tasks all pass here.
fn elsewhere(error: Error) -> Error {
    match (&error.kind, error.message.as_str()) {
        (Kind::UnknownKey, "unknown key `matrix`" | "unknown key `expand`") => {
            Error { hint: Some("mapped tasks are not supported yet: write one task for each value".to_owned()), ..error }
        }
        (Kind::UnknownKey, "unknown key `command`" | "unknown key `run`" | "unknown key `script`") => {
            Error { hint: Some("write `bash_command` for a command line, or `cmds` and `arguments` for a container".to_owned()), ..error }
        }
        _ => error,
    }
}

/// Warns of keys that Airflow has and Updraft reads without doing anything.
fn aside(node: &Node<'_>, told: &mut Told<'_>) {
    for (key, _) in node.entries().unwrap_or_default() {
        if let Some(name @ ("email" | "email_on_failure" | "email_on_retry")) = key.text() {
            told.warning(format!("`{name}` is read and left aside: Updraft sends no mail"), key.at.line);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    Bash,
    Pod,
    Empty,
    LatestOnly,
    Waits(waits::Class),
}

fn what(own: &TaskShape, defaults: &TaskShape, node: &Node<'_>, at: Place) -> Result<What, Error> {
    let by_keys = |shape: &TaskShape| {
        if shape.bash_command.is_some() {
            Some(What::Bash)
        } else if shape.image.is_some() || shape.cmds.is_some() || shape.arguments.is_some() || shape.full_pod_spec.is_some() {
            Some(What::Pod)
        } else if shape.external_dag_id.is_some() {
            Some(What::Waits(waits::Class::ExternalTaskSensor))
        } else if shape.trigger_dag_id.is_some() {
            Some(What::Waits(waits::Class::TriggerDagRunOperator))
        } else {
            None
        }
    };
    let named = own.operator.as_ref().or_else(|| by_keys(own).is_none().then_some(()).and(defaults.operator.as_ref()));
    let Some(name) = named else {
        return Ok(by_keys(own).or_else(|| by_keys(defaults)).unwrap_or(What::Empty));
    };
    let class = name.rsplit('.').next().unwrap_or(name);
    match class {
        "empty" | "EmptyOperator" | "DummyOperator" => Ok(What::Empty),
        "latest_only" | "LatestOnlyOperator" => Ok(What::LatestOnly),
        "pod" | "kubernetes" | "KubernetesPodOperator" => Ok(What::Pod),
        "bash" | "BashOperator" if own.bash_command.is_some() || defaults.bash_command.is_some() => Ok(What::Bash),
        "bash" | "BashOperator" => Err(Error::new(at, "a bash task needs a `bash_command`")),
        _ => {
            if let Some(operator) = waits::Class::named(class) {
                return Ok(What::Waits(operator));
            }
            let at = node.get("operator").map_or(at, |node| node.at);
            let known = [
                "bash",
                "pod",
                "empty",
                "latest_only",
                "BashOperator",
                "KubernetesPodOperator",
                "EmptyOperator",
                "LatestOnlyOperator",
                "DateTimeSensor",
                "TimeSensor",
                "TimeDeltaSensor",
                "WaitSensor",
                "DayOfWeekSensor",
                "ExternalTaskSensor",
                "TriggerDagRunOperator",
                "BranchDateTimeOperator",
                "BranchDayOfWeekOperator",
            ];
            let hint = match did_you_mean(class, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "YAML has bash, pod, empty, latest_only, and sensors and branches of times and other DAGs; Python code runs as a pod of \
                         an image that holds it"
                    .to_owned(),
            };
            Err(Error::new(at, format!("there is no operator {name:?}")).hint(hint))
        }
    }
}

fn spec(id: TaskId, mut shape: TaskShape, what: What, node: &Node<'_>, at: Place, zone: Tz) -> Result<TaskSpec, Error> {
    let place = |key: &str| node.get(key).map_or(at, |node| node.at);
    let day = |key: &'static str, text: Option<String>| match text {
        Some(text) => dates::parse(&text, zone).map(Some).map_err(|message| Error::new(place(key), message)),
        None => Ok(None),
    };
    let (start_date, end_date) = (day("start_date", shape.start_date.take())?, day("end_date", shape.end_date.take())?);
    let codes = shape.skip_on_exit_code.take().map(|codes| match codes {
        Codes::One(code) => vec![code],
        Codes::Many(codes) => codes,
    });
    let mut upstream = Vec::new();
    for word in shape.needs.take().unwrap_or_default().0 {
        upstream.push(TaskId::new(word).map_err(|error| Error::new(place("needs"), error.to_string()))?);
    }
    let (run, operator, templated): (_, _, &[&str]) = match what {
        What::Empty => (TaskKind::Empty, "EmptyOperator", &[]),
        What::LatestOnly => (TaskKind::LatestOnly, "LatestOnlyOperator", &[]),
        What::Waits(operator) => {
            let run = waits::Making { id: &id, node, at, zone }.run(operator, &mut shape)?;
            (run, operator.class(), operator.templated())
        }
        What::Bash => {
            let run = TaskKind::Bash {
                bash_command: shape.bash_command.take().unwrap_or_default(),
                env: shape.env.take(),
                append_env: shape.append_env.unwrap_or(false),
                cwd: shape.cwd.take(),
                skip_on_exit_code: codes.unwrap_or_else(|| vec![99]),
            };
            (run, "BashOperator", &["bash_command", "env", "cwd"])
        }
        What::Pod => {
            let rest = shape.take_rest();
            if shape.image.is_none() && !rest.contains_key("full_pod_spec") && !rest.contains_key("pod_template_dict") {
                return Err(
                    Error::new(at, format!("task `{id}` has no `image`")).hint("a pod needs an image: give one here or in default_args")
                );
            }
            let run = TaskKind::Pod(Box::new(PodTask {
                image: shape.image.take(),
                name: shape.name.take(),
                namespace: shape.namespace.take(),
                cmds: shape.cmds.take().unwrap_or_default().0,
                arguments: shape.arguments.take().unwrap_or_default().0,
                env_vars: shape.env_vars.take().map(|vars| vars.0).unwrap_or_default(),
                labels: shape.labels.take().unwrap_or_default(),
                annotations: shape.annotations.take().unwrap_or_default(),
                container_resources: shape.container_resources.take(),
                on_finish_action: shape.on_finish_action.unwrap_or_default(),
                do_xcom_push: shape.do_xcom_push.unwrap_or(false),
                skip_on_exit_code: codes.unwrap_or_default(),
                rest,
            }));
            (
                run,
                "KubernetesPodOperator",
                &["image", "name", "namespace", "cmds", "arguments", "env_vars", "labels", "annotations", "container_resources"],
            )
        }
    };
    let mut task = TaskSpec::new(id, run);
    task.operator = operator.to_owned();
    task.template_fields = templated.iter().map(|field| (*field).to_owned()).collect();
    task.upstream = upstream;
    task.start_date = start_date;
    task.end_date = end_date;
    task.task_group = shape.task_group;
    task.display_name = shape.display_name;
    task.doc_md = shape.doc_md;
    task.max_retry_delay_ms = shape.max_retry_delay.map(|ms| ms.0);
    task.execution_timeout_ms = shape.execution_timeout.map(|ms| ms.0);
    task.max_active_tis_per_dag = shape.max_active_tis_per_dag;
    task.params = params(shape.params.unwrap_or_default());
    if let Some(factor) = shape.retry_exponential_backoff {
        task.retry_exponential_backoff_milli = match factor {
            Backoff::Switch(on) => u32::from(on) * 2_000,
            Backoff::Factor(0.0) => 0,
            Backoff::Factor(factor) if (1.0..=1_000.0).contains(&factor) => (factor * 1_000.0).round() as u32,
            Backoff::Factor(factor) => {
                return Err(Error::new(
                    place("retry_exponential_backoff"),
                    format!("a factor of {factor} makes no sense: 1 to 1000, or true for 2"),
                ));
            }
        };
    }
    macro_rules! set {
        ($($field:ident),+) => { $(if let Some(value) = shape.$field { task.$field = value; })+ };
    }
    if let Some(delay) = shape.retry_delay {
        task.retry_delay_ms = delay.0;
    }
    set!(trigger_rule, owner, retries, pool, pool_slots, queue, priority_weight, weight_rule, depends_on_past, wait_for_downstream);
    task.is_setup = shape.setup.unwrap_or(false);
    if let Some(of) = shape.teardown {
        teardown::apply(of, &mut task).map_err(|error| Error::new(place("teardown"), error.to_string()))?;
    }
    Ok(task)
}

/// A plain default, or an object of JSON Schema with `default`.
fn params(raw: BTreeMap<String, Value>) -> BTreeMap<String, Param> {
    let is_schema = |map: &serde_json::Map<String, Value>| {
        map.contains_key("default") || map.get("type").is_some_and(|t| t.is_string() || t.is_array())
    };
    raw.into_iter()
        .map(|(name, value)| match value {
            Value::Object(mut map) if is_schema(&map) => {
                let default = map.remove("default").unwrap_or(Value::Null);
                let description = map.remove("description").and_then(|d| d.as_str().map(str::to_owned));
                (name, Param { value: default, schema: map.into_iter().collect(), description })
            }
            value => (name, Param { value, schema: BTreeMap::new(), description: None }),
        })
        .collect()
}
