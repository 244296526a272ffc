//! Which Airflow a file was written for, by the words in it. Airflow 2 and 3 mean different days by the same schedule, so it matters.

use std::sync::OnceLock;

use regex::Regex;
use serde::Serialize;

/// A word that tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// Where, from 1.
    pub line: u32,
    /// The word.
    pub word: String,
}

/// Which Airflow a file was written for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(tag = "airflow", rename_all = "snake_case")]
pub enum WrittenFor {
    /// Words that Airflow 3 has no more, and none that Airflow 2 has not.
    #[serde(rename = "2")]
    Airflow2 {
        /// The first few of them.
        evidence: Vec<Evidence>,
    },
    /// Words that Airflow 2 does not have. What is old beside them still works in 3.
    #[serde(rename = "3")]
    Airflow3 {
        /// The first few of them.
        evidence: Vec<Evidence>,
    },
    /// Nothing in it tells.
    #[default]
    #[serde(rename = "either")]
    Either,
}

impl WrittenFor {
    /// The words in JSON.
    pub const WORDS: [&'static str; 3] = ["2", "3", "either"];

    /// The word in JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Airflow2 { .. } => "2",
            Self::Airflow3 { .. } => "3",
            Self::Either => "either",
        }
    }

    /// For people, with what tells.
    pub fn title(&self) -> String {
        let words = |evidence: &[Evidence]| {
            let words: Vec<String> = evidence.iter().map(|one| format!("{} in line {}", one.word, one.line)).collect();
            words.join(", ")
        };
        match self {
            Self::Airflow2 { evidence } => format!("Airflow 2 ({})", words(evidence)),
            Self::Airflow3 { evidence } => format!("Airflow 3 ({})", words(evidence)),
            Self::Either => "either Airflow (nothing in it tells)".to_owned(),
        }
    }
}

/// What Airflow 3 took away or gave another name.
const OLD: &str = r"(?x)
    \b(?: orientation | sla | concurrency )\s*=
  | \b(?:
        schedule_interval | provide_context | default_view | sla_miss_callback | task_concurrency | SubDagOperator | DummyOperator | days_ago
      | execution_date | next_execution_date | prev_execution_date | prev_ds | next_ds | prev_ds_nodash | next_ds_nodash
      | yesterday_ds | tomorrow_ds | yesterday_ds_nodash | tomorrow_ds_nodash | apply_defaults
    )\b
  | \bairflow\.(?:
        contrib | datasets | decorators | kubernetes | hooks\.\w+_hook | operators\.\w+ | sensors\.\w+
      | utils\.(?: dates | helpers | decorators | task_group | trigger_rule )
      | models\.(?: baseoperator | dag | param | variable | connection )
    )\b
";

/// What came with Airflow 3.
const NEW: &str = r"(?x)
    \bairflow\.(?: sdk | assets | providers\.standard | timetables\.assets )\b
  | \b(?: CronTriggerTimetable | CronPartitionTimetable )\s*\(
  | \b(?: AssetOrTimeSchedule | DeadlineAlert | AssetAlias | AssetWatcher | HITLOperator )\b
  | \b(?: fail_fast | allowed_run_types | retry_policy )\s*=
";

/// How many words are told.
const TOLD: usize = 3;

/// Looks for words that tell. Comments do not count.
pub(super) fn of(source: &str) -> WrittenFor {
    static PATTERNS: OnceLock<Option<(Regex, Regex)>> = OnceLock::new();
    let patterns = PATTERNS.get_or_init(|| Some((Regex::new(OLD).ok()?, Regex::new(NEW).ok()?)));
    let Some((old, new)) = patterns else { return WrittenFor::Either };
    let find = |pattern: &Regex| -> Vec<Evidence> {
        let mut found: Vec<Evidence> = Vec::new();
        for (number, line) in (1..).zip(source.lines()) {
            if line.trim_start().starts_with('#') {
                continue;
            }
            for word in pattern.find_iter(line) {
                let word = word.as_str().trim_end_matches(['=', '(', ' ', '\t']).to_owned();
                if found.len() < TOLD && !found.iter().any(|known| known.word == word) {
                    found.push(Evidence { line: number, word });
                }
            }
        }
        found
    };
    let evidence = find(new);
    if !evidence.is_empty() {
        return WrittenFor::Airflow3 { evidence };
    }
    match find(old) {
        evidence if evidence.is_empty() => WrittenFor::Either,
        evidence => WrittenFor::Airflow2 { evidence },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_tell_which_airflow_a_file_was_written_for() {
        for (source, expect, words) in [
            ("from airflow import DAG\nDAG('a', schedule='@daily')\n", "either", &[] as &[&str]),
            ("from airflow import DAG\nDAG('a', schedule_interval='@daily')\n", "2", &["schedule_interval"]),
            ("from airflow.contrib.operators.kubernetes_pod_operator import X\n", "2", &["airflow.contrib"]),
            ("from airflow.operators.bash_operator import BashOperator\n", "2", &["airflow.operators.bash_operator"]),
            ("BashOperator(bash_command='echo {{ execution_date }} {{ next_ds }}')\n", "2", &["execution_date", "next_ds"]),
            ("from airflow.sdk import dag, task\n", "3", &["airflow.sdk"]),
            ("from airflow.providers.standard.operators.bash import BashOperator\n", "3", &["airflow.providers.standard"]),
            ("# schedule_interval was here\nfrom airflow import DAG\n", "either", &[]),
            ("from airflow.sdk import DAG\nBashOperator(bash_command='{{ execution_date }}')\n", "3", &["airflow.sdk"]),
            (
                "from airflow.timetables.trigger import CronTriggerTimetable\nX = CronTriggerTimetable('@daily')\n",
                "3",
                &["CronTriggerTimetable"],
            ),
            ("from airflow.decorators import dag, task\n", "2", &["airflow.decorators"]),
        ] {
            let found = of(source);
            assert_eq!(found.as_str(), expect, "{source}");
            let told: Vec<&str> = match &found {
                WrittenFor::Airflow2 { evidence } | WrittenFor::Airflow3 { evidence } => {
                    evidence.iter().map(|one| one.word.as_str()).collect()
                }
                WrittenFor::Either => Vec::new(),
            };
            assert_eq!(told, words, "{source}");
        }
    }
}
