//! The report as one HTML page: no script, nothing fetched, every text escaped, so that it can be mailed and opened anywhere.

use std::fmt::Write as _;

use super::{DagVerdict, FileVerdict, Finding, Report, Verdict};
use crate::check::count;

const STYLE: &str = include_str!("page.css");

/// Text as HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // They would not be seen, and could turn a line around.
            c if c.is_control() && c != '\n' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// The whole page.
pub fn html(report: &Report) -> String {
    let mut out = String::new();
    let folder = escaped(&report.folder);
    let totals = &report.totals;
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Moving {folder} to Updraft</title>\n<style>{STYLE}</style>\n<main>\n<h1>Moving <code>{folder}</code> to Updraft</h1>\n\
         <p class=\"lead\">{}, {}, {}; {} without a DAG. Read as Airflow {} where a file does not say.</p>\n",
        count(totals.files, "file"),
        count(totals.dags, "DAG"),
        count(totals.tasks, "task"),
        count(totals.without_dags, "file"),
        report.semantics.as_str(),
    );
    out.push_str("<ul class=\"totals\">\n");
    for verdict in Verdict::ALL {
        let files = totals.verdicts.get(verdict.as_str()).copied().unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "a share in percent")]
        let share = 100.0 * files as f64 / totals.files.max(1) as f64;
        let _ = writeln!(
            out,
            "<li class=\"{}\"><a href=\"#{0}\"><b>{files}</b> {}<small>{share:.0} % of the files</small></a></li>",
            verdict.as_str(),
            verdict.title()
        );
    }
    out.push_str("</ul>\n");
    semantics(report, &mut out);
    operators(report, &mut out);
    for verdict in Verdict::ALL.iter().rev() {
        let files: Vec<&FileVerdict> = report.files.iter().filter(|file| file.verdict == *verdict).collect();
        let _ = writeln!(
            out,
            "<section id=\"{}\"><h2>{} <small>{}</small></h2>",
            verdict.as_str(),
            capital(verdict.title()),
            count(files.len(), "file")
        );
        if files.is_empty() {
            out.push_str("<p>None.</p>\n");
        }
        for file in files {
            of_file(file, &mut out);
        }
        out.push_str("</section>\n");
    }
    out.push_str("</main>\n</html>\n");
    out
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn semantics(report: &Report, out: &mut String) {
    let of = |word: &str| report.totals.written_for.get(word).copied().unwrap_or(0);
    let _ = writeln!(
        out,
        "<section><h2>Airflow 2 or 3</h2><p>They mean different days by the same schedule. {} written for Airflow 2, {} for Airflow 3, of {} nothing \
         in the file tells. {} when they run here as they stand{}.</p></section>",
        count(of("2"), "DAG"),
        of("3"),
        of("either"),
        if report.totals.dags_that_change == 1 { "One changes".to_owned() } else { format!("{} change", report.totals.dags_that_change) },
        if report.totals.dags_that_change == 0 { "" } else { ": what, stands with each" },
    );
}

fn operators(report: &Report, out: &mut String) {
    if report.operators.is_empty() {
        return;
    }
    out.push_str(
        "<section><h2>Operators</h2><table><thead><tr><th scope=\"col\">Operator<th scope=\"col\">From<th scope=\"col\" class=\"n\">Tasks\
         <th scope=\"col\" class=\"n\">Files<th scope=\"col\">Where it runs</tr></thead><tbody>\n",
    );
    for operator in &report.operators {
        let runs = match operator.with_airflow {
            0 => "here".to_owned(),
            all if all == operator.tasks => "in an image with Airflow".to_owned(),
            some => format!("{some} in an image with Airflow"),
        };
        let module = if operator.module.is_empty() { "YAML" } else { &operator.module };
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}<td><code>{}</code><td class=\"n\">{}<td class=\"n\">{}<td>{runs}</tr>",
            escaped(&operator.operator),
            escaped(module),
            operator.tasks,
            operator.files
        );
    }
    out.push_str("</tbody></table></section>\n");
}

fn of_file(file: &FileVerdict, out: &mut String) {
    let open = if file.findings.iter().any(|finding| finding.verdict.is_some()) { " open" } else { "" };
    let _ = writeln!(
        out,
        "<details class=\"{}\"{open}><summary><code>{}</code> <small>{}</small></summary>",
        file.verdict.as_str(),
        escaped(&file.path),
        count(file.dags.len(), "DAG")
    );
    if !file.findings.is_empty() {
        out.push_str("<ul class=\"findings\">\n");
        for finding in &file.findings {
            of_finding(finding, out);
        }
        out.push_str("</ul>\n");
    }
    for dag in &file.dags {
        of_dag(dag, out);
    }
    out.push_str("</details>\n");
}

fn of_finding(finding: &Finding, out: &mut String) {
    let (class, word) = finding.verdict.map_or(("note", "note"), |verdict| (verdict.as_str(), verdict.as_str()));
    let _ = write!(out, "<li class=\"{class}\"><span class=\"kind\">{word}</span><div>");
    if let Some(line) = finding.line {
        let _ = write!(out, "<span class=\"line\">line {line}</span> ");
    }
    out.push_str(&escaped(&finding.what));
    if finding.times > 1 {
        let _ = write!(out, " <small>{} times</small>", finding.times);
    }
    if let Some(remedy) = &finding.remedy {
        let _ = write!(out, "<p class=\"remedy\">{}</p>", escaped(remedy));
    }
    out.push_str("</div></li>\n");
}

fn of_dag(dag: &DagVerdict, out: &mut String) {
    let _ = write!(
        out,
        "<div class=\"dag\"><b>{}</b> {}, schedule <code>{}</code>, written for {}",
        escaped(&dag.dag_id),
        count(dag.tasks, "task"),
        escaped(&dag.schedule),
        escaped(&dag.written_for.title())
    );
    for change in &dag.changes {
        let _ = write!(out, "<p class=\"change\">{}</p>", escaped(change));
    }
    out.push_str("</div>\n");
}
