//! `updraft dags check`: what files hold, and what each DAG's schedule comes to under Airflow 2 and under Airflow 3.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::Serialize;
use updraft_model::{DagSpec, PodPolicy, Semantics};
use updraft_planner::timetable::{Timetable, Window};

use crate::diagnostic::{Diagnostic, Kind, Warning};
use crate::ignore::{Filter, IgnoreSyntax};
use crate::loader::{Error, Loader};
use crate::python::{Asked, Processor, Snapshot};
use crate::scan::Language;
use crate::yaml;

/// Runs shown for each meaning of a schedule.
const SHOWN: usize = 3;
/// Most runs of a first activation that are counted one by one.
const COUNTED: usize = 10_000;

/// How to check.
#[derive(Debug, Clone)]
pub struct Options {
    /// The time that it is taken to be.
    pub now: DateTime<Utc>,
    /// The installation's `airflow_semantics`.
    pub semantics: Semantics,
    /// How `.airflowignore` files are read.
    pub ignore: IgnoreSyntax,
    /// Which files of a folder are looked at.
    pub filter: Filter,
    /// What files may ask for.
    pub snapshot: Snapshot,
    /// What pods may be, where that is known.
    pub policy: Option<PodPolicy>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct CheckReport {
    /// Each file with a DAG or a mistake.
    pub files: Vec<FileReport>,
    /// Files without either.
    pub without_dags: usize,
    /// How many DAGs.
    pub dags: usize,
    /// How many mistakes.
    pub errors: usize,
    /// How many warnings.
    pub warnings: usize,
}

/// One file.
#[derive(Debug, Serialize)]
pub struct FileReport {
    /// As it was named, or relative to the folder that was named.
    pub path: String,
    /// Its DAGs.
    pub dags: Vec<DagReport>,
    /// Its mistakes.
    pub errors: Vec<Diagnostic>,
    /// What its author should know.
    pub warnings: Vec<Warning>,
    /// What it asks for while it is read.
    #[serde(skip_serializing_if = "Asked::is_empty")]
    pub asked: Asked,
}

/// One DAG.
#[derive(Debug, Serialize)]
pub struct DagReport {
    /// Its id.
    pub dag_id: String,
    /// How many tasks.
    pub tasks: usize,
    /// How many arrows.
    pub edges: usize,
    /// Its schedule as Airflow's API has it.
    pub schedule: String,
    /// The zone of its cron times.
    pub timezone: String,
    /// Which meaning holds here.
    pub semantics: Semantics,
    /// Whether the file says so, or the installation.
    pub semantics_from_file: bool,
    /// What the schedule comes to, by major version of Airflow.
    pub meanings: BTreeMap<&'static str, Meaning>,
}

/// A schedule under one Airflow.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Meaning {
    /// Whether missed runs are made up.
    pub catchup: bool,
    /// How many runs are due at once when the DAG is first switched on.
    pub runs_at_activation: usize,
    /// Whether there are more of them than were counted.
    pub more: bool,
    /// The next runs, those at activation included.
    pub next: Vec<NextRun>,
}

/// One run to be.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct NextRun {
    /// What it is named after, and what `{{ ds }}` is the day of.
    pub logical_date: DateTime<Utc>,
    /// When it starts.
    pub run_after: DateTime<Utc>,
}

/// Checks files and folders. A file that is named itself must hold a DAG; in a folder the others are passed over.
pub async fn check(paths: &[PathBuf], processor: Option<&Processor>, options: &Options) -> Result<CheckReport, Error> {
    let mut files = Vec::new();
    let mut without_dags = 0;
    for path in paths {
        if path.is_dir() {
            let root = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let mut loader = Loader::new(processor.cloned(), options.ignore).filtered(options.filter.clone());
            let changes = loader.refresh(&root, &options.snapshot).await?;
            for file in changes.files {
                if file.dags.is_empty() && file.errors.is_empty() && file.warnings.is_empty() {
                    without_dags += 1;
                    continue;
                }
                let specs: Vec<&DagSpec> = file.dags.iter().map(AsRef::as_ref).collect();
                let read = report(path.join(&file.path).display().to_string(), &specs, file.errors, file.warnings, options);
                files.push(FileReport { asked: file.asked.clone(), ..read });
            }
            for problem in changes.problems.into_iter().chain(changes.notes) {
                files.push(report(path.join(&problem.file).display().to_string(), &[], vec![problem], Vec::new(), options));
            }
        } else {
            files.push(named(path, processor, options).await?);
        }
    }
    let (dags, errors, warnings) =
        files.iter().fold((0, 0, 0), |(d, e, w), file| (d + file.dags.len(), e + file.errors.len(), w + file.warnings.len()));
    Ok(CheckReport { files, without_dags, dags, errors, warnings })
}

async fn named(path: &Path, processor: Option<&Processor>, options: &Options) -> Result<FileReport, Error> {
    let name = path.display().to_string();
    let one = |kind, message: String| report(name.clone(), &[], vec![Diagnostic::new(name.as_str(), kind, message)], Vec::new(), options);
    match Language::of(path) {
        Some(Language::Yaml) => {
            let bytes = match std::fs::read(path) {
                Ok(bytes) => bytes,
                Err(error) => return Ok(one(Kind::Io, format!("the file cannot be read: {error}"))),
            };
            let parsed = yaml::parse(&name, &bytes);
            Ok(report(name, &parsed.dags.iter().collect::<Vec<_>>(), parsed.errors, parsed.warnings, options))
        }
        Some(Language::Python) => {
            let Some(processor) = processor else {
                return Ok(one(Kind::Unsupported, "python files are not read here".to_owned()));
            };
            let file = match path.canonicalize() {
                Ok(file) => file,
                Err(error) => return Ok(one(Kind::Io, format!("the file cannot be read: {error}"))),
            };
            let root = file.parent().unwrap_or_else(|| Path::new("/"));
            let outcome = processor.parse(root, &file, &name, &options.snapshot).await?;
            let mut errors = outcome.errors;
            if outcome.dags.is_empty() && errors.is_empty() {
                errors.push(Diagnostic::new(name.as_str(), Kind::NoDag, "there is no DAG in this file"));
            }
            let read = report(name, &outcome.dags.iter().collect::<Vec<_>>(), errors, outcome.warnings, options);
            Ok(FileReport { asked: outcome.asked, ..read })
        }
        None if path.exists() => Ok(one(Kind::NoDag, "this is no DAG file: its name ends in none of .py, .yaml, .yml, .json".to_owned())),
        None => Ok(one(Kind::Io, "there is no such file or folder".to_owned())),
    }
}

fn report(path: String, specs: &[&DagSpec], mut errors: Vec<Diagnostic>, warnings: Vec<Warning>, options: &Options) -> FileReport {
    let mut dags = Vec::new();
    for spec in specs {
        if let Some(policy) = &options.policy {
            errors.extend(crate::policy::violations(policy, spec, &path));
        }
        match dag(spec, options) {
            Ok(report) => dags.push(report),
            Err(message) => errors.push(Diagnostic::new(path.as_str(), Kind::Invalid, message).dag(spec.dag_id.as_str())),
        }
    }
    FileReport { path, dags, errors, warnings, asked: Asked::default() }
}

pub(crate) fn dag(spec: &DagSpec, options: &Options) -> Result<DagReport, String> {
    let mut meanings = BTreeMap::new();
    let mut summary = String::new();
    for semantics in [Semantics::Airflow2, Semantics::Airflow3] {
        let timetable = Timetable::new(&spec.schedule, &spec.timezone, semantics).map_err(|error| error.to_string())?;
        timetable.summary().clone_into(&mut summary);
        meanings.insert(semantics.as_str(), meaning(spec, &timetable, semantics, options.now));
    }
    Ok(DagReport {
        dag_id: spec.dag_id.to_string(),
        tasks: spec.tasks.len(),
        edges: spec.tasks.iter().map(|task| task.upstream.len()).sum(),
        schedule: summary,
        timezone: spec.timezone.clone(),
        semantics: spec.semantics.unwrap_or(options.semantics),
        semantics_from_file: spec.semantics.is_some(),
        meanings,
    })
}

fn meaning(spec: &DagSpec, timetable: &Timetable, semantics: Semantics, now: DateTime<Utc>) -> Meaning {
    let catchup = spec.catchup.unwrap_or_else(|| semantics.catchup());
    let window = Window { start_date: spec.start_date, end_date: spec.end_date, catchup };
    let mut next = Vec::new();
    let mut runs_at_activation = 0;
    let mut last = None;
    // `@continuous` is always due: it has one run at a time, and no list of them.
    let most = if timetable.is_periodic() { COUNTED } else { 1 };
    while runs_at_activation < most {
        let Some(slot) = timetable.next_slot(last.as_ref(), &window, now) else { break };
        let due = slot.run_after <= now;
        runs_at_activation += usize::from(due);
        if next.len() < SHOWN {
            next.push(NextRun { logical_date: slot.logical_date, run_after: slot.run_after });
        } else if !due {
            break;
        }
        last = Some(slot);
        if !timetable.is_periodic() {
            break;
        }
    }
    Meaning { catchup, runs_at_activation, more: timetable.is_periodic() && runs_at_activation >= COUNTED, next }
}

/// Whether a schedule can be at all: cron fields that make sense, a date that comes, a zone that exists.
pub(crate) fn schedule(schedule: &updraft_model::Schedule, timezone: &str) -> Result<(), String> {
    Timetable::new(schedule, timezone, Semantics::Airflow3).map(|_| ()).map_err(|error| error.to_string())
}

impl CheckReport {
    /// For people.
    pub fn human(&self) -> String {
        let mut text = String::new();
        for file in &self.files {
            for error in &file.errors {
                let _ = writeln!(text, "{error}\n");
            }
            for warning in &file.warnings {
                let at = warning.line.map(|line| format!(":{line}")).unwrap_or_default();
                let _ = writeln!(text, "warning: {}\n --> {}{at}\n", warning.message, file.path);
            }
            for dag in &file.dags {
                dag.write(&file.path, &mut text);
            }
        }
        let _ = write!(text, "{}, {}, {}", count(self.dags, "DAG"), count(self.errors, "error"), count(self.warnings, "warning"));
        if self.without_dags > 0 {
            let _ = write!(text, "; {} without a DAG", count(self.without_dags, "file"));
        }
        text.push('\n');
        text
    }
}

impl DagReport {
    fn write(&self, path: &str, text: &mut String) {
        let _ = writeln!(text, "ok {} ({path}): {}, {}", self.dag_id, count(self.tasks, "task"), count(self.edges, "arrow"));
        let by = if self.semantics_from_file { "the file" } else { "the installation" };
        let _ =
            writeln!(text, "   schedule {} in {}, meant as in Airflow {} by {by}", self.schedule, self.timezone, self.semantics.as_str());
        let same = self.meanings.values().collect::<Vec<_>>().windows(2).all(|pair| pair[0] == pair[1]);
        for (version, meaning) in &self.meanings {
            if same && *version != self.semantics.as_str() {
                continue;
            }
            let mark = if *version == self.semantics.as_str() { '*' } else { ' ' };
            let more = if meaning.more { "+" } else { "" };
            let title = if same { "both".to_owned() } else { format!("Airflow {version}") };
            let catchup = if meaning.catchup { "on" } else { "off" };
            let due = count(meaning.runs_at_activation, "run");
            let _ = writeln!(text, " {mark} {title}: catchup {catchup}, {due}{more} at first activation");
            for run in &meaning.next {
                let format = "%Y-%m-%d %H:%M:%SZ";
                let _ = writeln!(text, "     {} starts {}", run.logical_date.format(format), run.run_after.format(format));
            }
        }
        text.push('\n');
    }
}

pub(crate) fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
