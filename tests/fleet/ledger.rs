//! What the commands themselves wrote down, and what must be true of it.

use std::collections::BTreeMap;
use std::path::Path;

/// A diamond whose `b` fails at its first try. Every command notes its start, and its end however it comes (but by SIGKILL).
pub(crate) const DIAMOND: &str = r#"
dag_id: diamond
schedule: null
max_active_runs: 60
max_active_tasks: 64
tasks:
  a: {bash_command: '{note}; sleep 0.02'}
  b: {needs: [a], retries: 1, retry_delay: 0, bash_command: '{note}; sleep 0.05; [ $UPDRAFT_TRY_NUMBER -gt 1 ]'}
  c: {needs: [a], bash_command: '{note}; sleep 0.2'}
  d: {needs: [b, c], bash_command: '{note}'}
"#;

/// The diamond with the shell text that keeps the ledger.
pub(crate) fn diamond() -> String {
    let line =
        |what: &str| format!("echo \"{what} $UPDRAFT_RUN_ID $UPDRAFT_TASK_ID $UPDRAFT_TRY_NUMBER ${{EPOCHREALTIME/./}}\" >> {{ledger}}");
    // YAML doubles a quote inside single ones.
    let note = format!("trap \"exit 143\" TERM; end() {{ {}; }}; trap end EXIT; {}", line("E"), line("S"));
    DIAMOND.replace("{note}", &note)
}

/// One command: a try of a task of a run.
pub(crate) type Key = (String, String, u32);

/// The ledger, read.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Times of starts, in microseconds.
    pub(crate) starts: BTreeMap<Key, Vec<u64>>,
    pub(crate) ends: BTreeMap<Key, Vec<u64>>,
}

impl Ledger {
    pub(crate) fn read(path: &Path) -> Self {
        let mut ledger = Self::default();
        for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [what, run, task, attempt, at] = words[..] else { panic!("torn line {line:?}") };
            let key = (run.to_owned(), task.to_owned(), attempt.parse().unwrap());
            let of = if what == "S" { &mut ledger.starts } else { &mut ledger.ends };
            of.entry(key).or_default().push(at.parse().unwrap());
        }
        ledger
    }

    /// I2, I3: no try was started twice, and no try before the one before it was over.
    pub(crate) fn assert_once(&self) {
        let doubled: Vec<_> = self.starts.iter().filter(|(_, starts)| starts.len() != 1).collect();
        assert!(doubled.is_empty(), "run twice: {doubled:?}");
        for ((run, task, attempt), starts) in &self.starts {
            let before = (run.clone(), task.clone(), attempt - 1);
            if self.starts.contains_key(&before) {
                let ended = self.ends.get(&before).and_then(|ends| ends.first());
                assert!(ended.is_some_and(|ended| *ended <= starts[0]), "try {attempt} of {task} in {run} overlaps the one before it");
            }
        }
    }

    /// I1, I5, I6: a run of the diamond was whole, in order, and nothing was tried more often than its own code asked for: a lost attempt would
    /// show as one more.
    pub(crate) fn assert_diamond(&self, run: &str) {
        for (task, tries) in [("a", 1), ("b", 2), ("c", 1), ("d", 1)] {
            let made: Vec<u32> = self.starts.keys().filter(|key| key.0 == run && key.1 == task).map(|key| key.2).collect();
            assert_eq!(made, (1..=tries).collect::<Vec<_>>(), "tries of {task} in {run}");
        }
        for (before, tries, after) in [("a", 1, "b"), ("a", 1, "c"), ("b", 2, "d"), ("c", 1, "d")] {
            let ended = self.ends.get(&(run.to_owned(), before.to_owned(), tries)).map(|ends| ends[0]);
            let started = self.starts.get(&(run.to_owned(), after.to_owned(), 1)).map(|starts| starts[0]);
            assert!(ended.is_some() && ended <= started, "{after} of {run} started before {before} ended");
        }
    }

    /// Most commands that ran at one moment.
    pub(crate) fn most_at_once(&self) -> i64 {
        let mut changes: Vec<(u64, i64)> = self.starts.values().flatten().map(|at| (*at, 1)).collect();
        changes.extend(self.ends.values().flatten().map(|at| (*at, -1)));
        // At the same microsecond an end comes first.
        changes.sort_unstable();
        let (mut now, mut most) = (0, 0);
        for (_, change) in changes {
            now += change;
            most = most.max(now);
        }
        most
    }
}
