//! `updraft migrate airflow`: what becomes of a folder of Airflow's DAG files here, before anybody moves.
//!
//! Each file is read as the scheduler would read it, without a server or a database, and gets one of four verdicts, the worst of what was
//! found in it. [`page`] writes the report as one HTML page.

mod age;
pub mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use updraft_model::{DagSpec, Schedule, Semantics, TaskKind};
use updraft_planner::render;

pub use age::{Evidence, WrittenFor};

use crate::check::{self, Meaning, count};
use crate::diagnostic::{Diagnostic, Kind, Warning};
use crate::loader::{Error, FileResult, Loader};
use crate::python::Processor;
use crate::scan::Language;

/// What becomes of a file, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every task runs as the file stands.
    Unchanged,
    /// Something in it has to be written otherwise.
    Edit,
    /// It loads, and some of its tasks need an image with Airflow.
    Image,
    /// It asks for what there is not here.
    Unsupported,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Unchanged, Self::Edit, Self::Image, Self::Unsupported];

    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Unchanged => "runs unchanged",
            Self::Edit => "needs an edit",
            Self::Image => "needs an image with Airflow",
            Self::Unsupported => "not supported",
        }
    }

    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Edit => "edit",
            Self::Image => "image",
            Self::Unsupported => "unsupported",
        }
    }
}

/// The whole folder.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The folder, as it was named.
    pub folder: String,
    /// Which Airflow's meaning files will have that do not say: the installation's.
    pub semantics: Semantics,
    /// In numbers.
    pub totals: Totals,
    /// Every operator that is used.
    pub operators: Vec<OperatorCount>,
    /// Every file with a DAG or a mistake, by path.
    pub files: Vec<FileVerdict>,
}

/// The folder in numbers.
#[derive(Debug, Default, Serialize)]
pub struct Totals {
    /// Files with a DAG or a mistake.
    pub files: usize,
    /// Files without either: helpers, plugins, tests.
    pub without_dags: usize,
    /// DAGs that load.
    pub dags: usize,
    /// Their tasks.
    pub tasks: usize,
    /// Those of them that need an image with Airflow.
    pub tasks_with_airflow: usize,
    /// Files by verdict.
    pub verdicts: BTreeMap<&'static str, usize>,
    /// DAGs by the Airflow that they were written for.
    pub written_for: BTreeMap<&'static str, usize>,
    /// DAGs that change unless something is said.
    pub dags_that_change: usize,
}

/// One operator.
#[derive(Debug, Serialize)]
pub struct OperatorCount {
    /// Its class.
    pub operator: String,
    /// Where that is from.
    pub module: String,
    /// How many tasks are of it.
    pub tasks: usize,
    /// In how many files.
    pub files: usize,
    /// How many of them need an image with Airflow.
    pub with_airflow: usize,
}

/// One file.
#[derive(Debug, Serialize)]
pub struct FileVerdict {
    /// Relative to the folder.
    pub path: String,
    /// The worst of what was found.
    pub verdict: Verdict,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// Its DAGs.
    pub dags: Vec<DagVerdict>,
}

/// One thing to know about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it makes of the file. Absent: a remark that changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What it is.
    pub what: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// How often it was found in this file.
    #[serde(skip_serializing_if = "is_one")]
    pub times: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_one(times: &usize) -> bool {
    *times == 1
}

/// One DAG.
#[derive(Debug, Serialize)]
pub struct DagVerdict {
    /// Its id.
    pub dag_id: String,
    /// How many tasks.
    pub tasks: usize,
    /// Its schedule.
    pub schedule: String,
    /// Which Airflow it was written for.
    pub written_for: WrittenFor,
    /// What changes when it runs here, with the installation's semantics. Empty: nothing.
    pub changes: Vec<String>,
}

/// Reads the folder and says what becomes of it.
pub async fn report(folder: &Path, processor: Option<&Processor>, options: &check::Options) -> Result<Report, Error> {
    let root = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let mut loader = Loader::new(processor.cloned(), options.ignore).filtered(options.filter.clone());
    let changes = loader.refresh(&root, &options.snapshot).await?;
    let mut report = Report {
        folder: folder.display().to_string(),
        semantics: options.semantics,
        totals: Totals::default(),
        operators: Vec::new(),
        files: Vec::new(),
    };
    let mut operators: BTreeMap<(String, String), (usize, BTreeSet<String>, usize)> = BTreeMap::new();
    for file in changes.files {
        if file.dags.is_empty() && file.errors.is_empty() && file.warnings.is_empty() {
            report.totals.without_dags += 1;
            continue;
        }
        let source = std::fs::read_to_string(root.join(&file.path)).unwrap_or_default();
        for task in file.dags.iter().flat_map(|dag| &dag.tasks) {
            let entry = operators.entry((task.operator.clone(), task.operator_module.clone())).or_default();
            entry.0 += 1;
            entry.1.insert(file.path.clone());
            entry.2 += usize::from(matches!(task.run, TaskKind::Airflow(_)));
        }
        report.files.push(of_file(file, &source, options));
    }
    for problem in changes.problems.into_iter().chain(changes.notes) {
        report.files.push(FileVerdict {
            path: problem.file.clone(),
            verdict: Verdict::Edit,
            findings: vec![of_error(&problem)],
            dags: Vec::new(),
        });
    }
    report.operators = operators
        .into_iter()
        .map(|((operator, module), (tasks, files, with_airflow))| OperatorCount {
            operator,
            module,
            tasks,
            files: files.len(),
            with_airflow,
        })
        .collect();
    report.operators.sort_by(|a, b| b.tasks.cmp(&a.tasks).then_with(|| a.operator.cmp(&b.operator)));
    report.count();
    Ok(report)
}

impl Report {
    fn count(&mut self) {
        let totals = &mut self.totals;
        totals.files = self.files.len();
        totals.verdicts = Verdict::ALL.map(|verdict| (verdict.as_str(), 0)).into();
        totals.written_for = WrittenFor::WORDS.map(|word| (word, 0)).into();
        for file in &self.files {
            *totals.verdicts.entry(file.verdict.as_str()).or_default() += 1;
            totals.dags += file.dags.len();
            for dag in &file.dags {
                totals.tasks += dag.tasks;
                *totals.written_for.entry(dag.written_for.as_str()).or_default() += 1;
                totals.dags_that_change += usize::from(!dag.changes.is_empty());
            }
        }
        totals.tasks_with_airflow = self.operators.iter().map(|operator| operator.with_airflow).sum();
    }
}

fn of_file(file: FileResult, source: &str, options: &check::Options) -> FileVerdict {
    let python = Language::of(Path::new(&file.path)) == Some(Language::Python);
    let mut findings: Vec<Finding> = file.errors.iter().map(of_error).collect();
    // What is a finding of its own need not be told twice.
    let told =
        |warning: &&Warning| warning.message.contains("need an image with Airflow") || warning.message.contains("is scheduled by assets");
    findings.extend(file.warnings.iter().filter(|warning| !told(warning)).map(of_warning));
    for (kind, command, names) in [("variable", "variables", &file.asked.variables), ("connection", "connections", &file.asked.connections)]
    {
        for name in names {
            findings.push(Finding {
                verdict: None,
                line: None,
                what: format!("it asks for the {kind} {name} while it is read"),
                remedy: Some(format!("bring it along: airflow {command} export, updraft {command} import")),
                times: 1,
            });
        }
    }
    for dag in &file.dags {
        of_dag(dag, &mut findings);
        if let Some(policy) = &options.policy {
            findings.extend(crate::policy::violations(policy, dag, &file.path).iter().map(of_error));
        }
    }
    let mut once: Vec<Finding> = Vec::new();
    for finding in findings {
        match once.iter_mut().find(|known| (&known.what, known.line) == (&finding.what, finding.line)) {
            Some(known) => known.times += finding.times,
            None => once.push(finding),
        }
    }
    once.sort_by_key(|finding| (std::cmp::Reverse(finding.verdict), finding.line));
    let age = if python { age::of(source) } else { WrittenFor::default() };
    let says = source.contains("schedule");
    let dags = file.dags.iter().map(|dag| of_schedule(dag, &age, says, options)).collect();
    let verdict = once.iter().filter_map(|finding| finding.verdict).max().unwrap_or(Verdict::Unchanged);
    FileVerdict { path: file.path, verdict, findings: once, dags }
}

fn of_error(error: &Diagnostic) -> Finding {
    let (verdict, remedy) = match error.kind {
        Kind::Unsupported => (Verdict::Unsupported, "write it without this"),
        Kind::Signal | Kind::Internal => (Verdict::Unsupported, "take out what ends the process that reads the file"),
        Kind::Import => (Verdict::Edit, "install the package where --dag-python finds it, or import it inside the task"),
        Kind::Timeout | Kind::Memory | Kind::Processes => (Verdict::Edit, "do the work inside a task"),
        _ => (Verdict::Edit, "mend it: Airflow cannot read it either"),
    };
    Finding {
        verdict: Some(verdict),
        line: error.line,
        what: error.message.clone(),
        remedy: Some(error.hint.clone().unwrap_or_else(|| remedy.to_owned())),
        times: 1,
    }
}

fn of_warning(warning: &Warning) -> Finding {
    Finding { verdict: None, line: warning.line, what: warning.message.clone(), remedy: None, times: 1 }
}

/// What a DAG that loads comes to when it runs.
fn of_dag(dag: &Arc<DagSpec>, findings: &mut Vec<Finding>) {
    if let Schedule::Assets { .. } = dag.schedule {
        findings.push(Finding {
            verdict: Some(Verdict::Edit),
            line: None,
            what: format!("DAG {} is scheduled by assets, which start no run yet", dag.dag_id),
            remedy: Some("give it times, or trigger it through the API at the end of what changes the asset".to_owned()),
            times: 1,
        });
    }
    for task in &dag.tasks {
        if let TaskKind::Airflow(airflow) = &task.run {
            findings.push(Finding {
                verdict: Some(Verdict::Image),
                line: None,
                what: airflow.reason.clone(),
                remedy: Some(
                    "it loads and is shown; put its work into an image of its own and run that with KubernetesPodOperator until tasks run in an \
                     image with Airflow"
                        .to_owned(),
                ),
                times: 1,
            });
        }
        for mistake in render::mistakes(dag, task) {
            findings.push(Finding {
                verdict: Some(Verdict::Edit),
                line: None,
                what: format!("task {} of DAG {}, {}, line {}: {}", task.task_id, dag.dag_id, mistake.field, mistake.line, mistake.message),
                remedy: Some(mistake.remedy.to_owned()),
                times: 1,
            });
        }
    }
}

/// What a DAG's schedule comes to, by what it was written for.
fn of_schedule(dag: &DagSpec, age: &WrittenFor, says: bool, options: &check::Options) -> DagVerdict {
    let here = dag.semantics.unwrap_or(options.semantics);
    let mut schedule = String::new();
    let mut changes = Vec::new();
    match check::dag(dag, options) {
        Ok(report) => {
            schedule.clone_from(&report.schedule);
            let meant = match age {
                WrittenFor::Airflow2 { .. } => Some(Semantics::Airflow2),
                WrittenFor::Airflow3 { .. } => Some(Semantics::Airflow3),
                // Who mixes both has moved to 3 and kept old words.
                WrittenFor::Either => None,
            };
            if let Some(meant) = meant.filter(|meant| *meant != here)
                && let (Some(before), Some(after)) = (report.meanings.get(meant.as_str()), report.meanings.get(here.as_str()))
            {
                changes = differences(dag, before, after, meant);
                if meant == Semantics::Airflow2 && dag.schedule == Schedule::None && !says {
                    changes.push(
                        "the file gives no schedule: every day in Airflow 2, never here: write schedule=timedelta(days=1) to keep it"
                            .to_owned(),
                    );
                }
            }
        }
        Err(message) => changes.push(message),
    }
    DagVerdict { dag_id: dag.dag_id.to_string(), tasks: dag.tasks.len(), schedule, written_for: age.clone(), changes }
}

fn differences(dag: &DagSpec, before: &Meaning, after: &Meaning, meant: Semantics) -> Vec<String> {
    let mut changes = Vec::new();
    let old = meant.as_str();
    if before.catchup != after.catchup && !(before.next.is_empty() && after.next.is_empty()) {
        let (was, is) = if before.catchup { ("are made up", "are not") } else { ("are not made up", "are") };
        let remedy = if before.catchup { "catchup=True" } else { "catchup=False" };
        changes.push(format!("missed runs {was} in Airflow {old}, and {is} here: write {remedy} to keep it"));
    }
    let first = |meaning: &Meaning| meaning.next.last().map(|run| (run.logical_date, run.run_after));
    if let (Some((was, at)), Some((is, after))) = (first(before), first(after))
        && at - was != after - is
    {
        let (word, timetable) = match (&dag.schedule, meant) {
            (Schedule::Cron { .. }, Semantics::Airflow2) => ("the start of the interval that ends then", "CronDataIntervalTimetable"),
            (Schedule::Cron { .. }, Semantics::Airflow3) => ("its own fire time", "CronTriggerTimetable"),
            (_, Semantics::Airflow2) => ("the start of the interval that ends then", "DeltaDataIntervalTimetable"),
            (_, Semantics::Airflow3) => ("its own fire time", "DeltaTriggerTimetable"),
        };
        let format = "%Y-%m-%d %H:%M";
        changes.push(format!(
            "{{{{ ds }}}} and {{{{ logical_date }}}} of a run are {word} in Airflow {old}: the run that starts at {}Z is that of {}Z there, and of {}Z here. \
             Set --airflow-semantics {old} for the installation, or write schedule={timetable}(…) to keep it",
            at.format(format),
            was.format(format),
            (at - (after - is)).format(format),
        ));
    }
    changes
}

impl Report {
    /// For people at a terminal.
    pub fn human(&self) -> String {
        let mut text = String::new();
        for file in &self.files {
            let _ = writeln!(text, "{}: {}", file.path, file.verdict.title());
            for finding in &file.findings {
                let at = finding.line.map(|line| format!("line {line}: ")).unwrap_or_default();
                let times = if finding.times > 1 { format!(" ({} tasks)", finding.times) } else { String::new() };
                let mark = match finding.verdict {
                    None => "note",
                    Some(verdict) => verdict.as_str(),
                };
                let _ = writeln!(text, "  {mark}: {at}{}{times}", finding.what);
                if let Some(remedy) = &finding.remedy {
                    let _ = writeln!(text, "    = {remedy}");
                }
            }
            for dag in &file.dags {
                let _ = writeln!(
                    text,
                    "  DAG {}: {}, schedule {}, written for {}",
                    dag.dag_id,
                    count(dag.tasks, "task"),
                    dag.schedule,
                    dag.written_for.title()
                );
                for change in &dag.changes {
                    let _ = writeln!(text, "    changes: {change}");
                }
            }
        }
        if !self.operators.is_empty() {
            let _ = writeln!(text, "\nOperators");
        }
        for operator in &self.operators {
            let how = if operator.with_airflow == 0 { "run here".to_owned() } else { format!("{} with Airflow", operator.with_airflow) };
            let _ = writeln!(text, "  {:>5}  {} ({}), {how}", operator.tasks, operator.operator, count(operator.files, "file"));
        }
        let totals = &self.totals;
        let _ = writeln!(
            text,
            "\n{}, {}, {}; {} without a DAG",
            count(totals.files, "file"),
            count(totals.dags, "DAG"),
            count(totals.tasks, "task"),
            count(totals.without_dags, "file")
        );
        for verdict in Verdict::ALL {
            let _ = writeln!(text, "  {:>5}  {}", totals.verdicts.get(verdict.as_str()).copied().unwrap_or(0), verdict.title());
        }
        if totals.dags_that_change > 0 {
            let _ = writeln!(
                text,
                "{} written for another Airflow than this installation's {} and change: see above",
                count(totals.dags_that_change, "DAG"),
                self.semantics.as_str()
            );
        }
        text
    }
}
