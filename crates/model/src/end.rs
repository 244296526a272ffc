//! How attempts end: the facts that a runner saw, the evidence that is stored, and the verdict that follows from them.
//!
//! The rule (invariant I4): `success` needs proof that the bound container exited 0 by itself. A program that exits 0 because it was told
//! to stop was killed, not done. What cannot be proved is *lost*, an infrastructure failure, and never a success.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who pays for a failed attempt (invariant I5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// The task's `retries`: its own code failed.
    User,
    /// The infrastructure's: the code had no fair chance.
    Infra,
    /// Nobody's: the task itself says that trying again is of no use.
    Final,
}

impl Budget {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Infra => "infra",
            Self::Final => "none",
        }
    }
}

/// Why somebody stopped an attempt from outside, if somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// Its `execution_timeout` was over.
    Timeout,
    /// A person cancelled, cleared or marked it, or its run ended.
    Cancelled,
    /// The host or the cluster took it away (eviction, drain, preemption, shutdown).
    Disrupted,
}

/// What a runner saw of an attempt's end. `Option` means: not seen.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EndFacts {
    /// When the command started. Absent: it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// The node that it ran on, where the runner's own host is more than one machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its exit code, when it exited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended it, when one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// The kernel ended it for want of memory.
    #[serde(skip_serializing_if = "is_false")]
    pub oom_killed: bool,
    /// It was stopped from outside before it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// The command could not be started, and why: the user's mistake (no such file, not executable).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spawn_error: Option<String>,
    /// The infrastructure's cause, as one word for machines: `evicted`, `preempted`, `node_lost`, `image_pull`, `never_started`, `quota`. Used
    /// where the end is not the command's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The runner's own words about what happened (`Evicted`, `supervisor was killed`), for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What it left as XCom, verified; an error text when it left something that is not a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xcom: Option<Result<Value, String>>,
    /// What it used, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The pod as it was at its end, for people: `metadata`, `spec`, `status`, and its `events`. Of pods that did not end well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Value>,
}

/// What a command and its descendants used.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// The command's process id.
    pub pid: i32,
    /// Processor time in its own code, in seconds.
    pub user_seconds: f64,
    /// Processor time in the kernel, in seconds.
    pub system_seconds: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// What is stored for ever with an ended attempt: which object, on which host, and the facts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// `kubernetes`, `process`; `manual` for a mark by hand, `noop` for an empty operator, `scheduler` for what the scheduler waited for.
    pub runner: String,
    /// The object that ran: the pod's uid, or the supervisor's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
    /// The node or host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What was seen.
    #[serde(flatten)]
    pub facts: EndFacts,
}

/// What an end means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// It ran to its end and exited 0 by itself.
    Success,
    /// It said, by its exit code, that there was nothing to do.
    Skipped,
    /// It failed.
    Failed {
        /// Who pays.
        budget: Budget,
        /// A short word for machines: `exit_code`, `signal`, `oom_killed`, `timeout`, `cancelled`, `lost`, …
        reason: String,
        /// A sentence for people.
        message: String,
    },
}

/// As [`verdict`], of a task that says by these exit codes that no retry shall follow.
pub fn verdict_with(facts: &EndFacts, skip_on_exit_code: &[i32], final_exit_code: &[i32]) -> Verdict {
    match (verdict(facts, skip_on_exit_code), facts.exit_code) {
        (Verdict::Failed { budget: Budget::User, reason, .. }, Some(code)) if reason == "exit_code" && final_exit_code.contains(&code) => {
            Verdict::Failed {
                budget: Budget::Final,
                reason: "failed_for_good".to_owned(),
                message: "the task says that it has failed for good, and is not tried again; its log says why".to_owned(),
            }
        }
        (verdict, _) => verdict,
    }
}

/// What a Python task has left: values by key. None: what was left is one value.
pub fn values_by_key(left: &Value) -> Option<BTreeMap<String, Value>> {
    let left = left.as_object().filter(|left| left.len() == 2 && left.get("updraft") == Some(&Value::from(1)))?;
    Some(left.get("xcom")?.as_object()?.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// Decides what an end means. `skip_on_exit_code` are the task's own codes for *skipped*, `lost` says that the runner knows for certain that
/// nothing runs any more and that no more facts will come.
pub fn verdict(facts: &EndFacts, skip_on_exit_code: &[i32]) -> Verdict {
    let failed = |budget, reason: &str, message: String| Verdict::Failed { budget, reason: reason.to_owned(), message };
    // What was stopped from outside did not end by itself, whatever its exit code says.
    match facts.stopped {
        Some(Stopped::Timeout) => {
            return failed(Budget::User, "timeout", "the attempt took longer than its execution_timeout and was stopped".to_owned());
        }
        Some(Stopped::Cancelled) => {
            return failed(Budget::User, "cancelled", "the attempt was stopped on request".to_owned());
        }
        Some(Stopped::Disrupted) => {
            let detail = facts.detail.as_deref().unwrap_or("the host stopped it");
            return failed(
                Budget::Infra,
                facts.cause.as_deref().unwrap_or("disrupted"),
                format!("the attempt was taken away before its end: {detail}"),
            );
        }
        None => {}
    }
    if let Some(error) = &facts.spawn_error {
        return failed(Budget::User, "cannot_start", format!("the command could not be started: {error}"));
    }
    if facts.oom_killed {
        return failed(
            Budget::User,
            "oom_killed",
            "the command used more memory than its limit and was killed (OOMKilled); raise the memory limit of the task".to_owned(),
        );
    }
    match (facts.exit_code, facts.signal) {
        (Some(code), _) if skip_on_exit_code.contains(&code) => Verdict::Skipped,
        (Some(0), None) if facts.started_at.is_some() && facts.ended_at.is_some() => match &facts.xcom {
            Some(Err(error)) => failed(Budget::User, "xcom", format!("the command exited 0, but its XCom cannot be taken: {error}")),
            _ => Verdict::Success,
        },
        (Some(0), _) => failed(Budget::Infra, "lost", "exit code 0 was reported without the times of start and end".to_owned()),
        (Some(code), _) => failed(Budget::User, "exit_code", format!("the command exited with code {code}")),
        (None, Some(signal)) => {
            failed(Budget::User, "signal", format!("the command was ended by signal {signal} ({})", signal_name(signal)))
        }
        (None, None) => {
            let detail = facts.detail.as_deref().unwrap_or("nothing says how it ended");
            if let Some(cause) = &facts.cause {
                return failed(Budget::Infra, cause, format!("the attempt never ran to an end: {detail}"));
            }
            failed(Budget::Infra, "lost", format!("the attempt is gone without evidence of its end: {detail}"))
        }
    }
}

/// The name of a signal on Linux, for messages.
pub fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => "a signal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(change: impl FnOnce(&mut EndFacts)) -> EndFacts {
        let mut facts = EndFacts { started_at: Some(DateTime::UNIX_EPOCH), ended_at: Some(DateTime::UNIX_EPOCH), ..EndFacts::default() };
        change(&mut facts);
        facts
    }

    fn reason(facts: &EndFacts) -> (Option<Budget>, String) {
        match verdict(facts, &[99]) {
            Verdict::Success => (None, "success".to_owned()),
            Verdict::Skipped => (None, "skipped".to_owned()),
            Verdict::Failed { budget, reason, .. } => (Some(budget), reason),
        }
    }

    #[test]
    fn ends_mean_what_the_design_says() {
        let table: &[(EndFacts, Option<Budget>, &str)] = &[
            (ran(|f| f.exit_code = Some(0)), None, "success"),
            (ran(|f| f.exit_code = Some(99)), None, "skipped"),
            (ran(|f| f.exit_code = Some(1)), Some(Budget::User), "exit_code"),
            (ran(|f| f.signal = Some(9)), Some(Budget::User), "signal"),
            (
                ran(|f| {
                    f.signal = Some(9);
                    f.oom_killed = true;
                }),
                Some(Budget::User),
                "oom_killed",
            ),
            (ran(|f| f.spawn_error = Some("no such file".to_owned())), Some(Budget::User), "cannot_start"),
            (EndFacts::default(), Some(Budget::Infra), "lost"),
            (EndFacts { exit_code: Some(0), ..EndFacts::default() }, Some(Budget::Infra), "lost"),
            (
                ran(|f| {
                    f.exit_code = Some(0);
                    f.xcom = Some(Err("too long".to_owned()));
                }),
                Some(Budget::User),
                "xcom",
            ),
        ];
        for (facts, budget, expected) in table {
            assert_eq!(reason(facts), (*budget, (*expected).to_owned()), "{facts:?}");
        }
    }

    #[test]
    fn a_task_may_say_that_it_failed_for_good() {
        let of = |code, stopped| match verdict_with(&ran(|f| (f.exit_code, f.stopped) = (Some(code), stopped)), &[199], &[198]) {
            Verdict::Failed { budget, reason, .. } => (Some(budget), reason),
            _ => (None, String::new()),
        };
        assert_eq!(of(198, None), (Some(Budget::Final), "failed_for_good".to_owned()));
        assert_eq!(of(1, None).0, Some(Budget::User));
        assert_eq!(of(199, None).0, None);
        // Who was stopped says nothing by its code.
        assert_eq!(of(198, Some(Stopped::Disrupted)).0, Some(Budget::Infra));
    }

    #[test]
    fn values_have_their_keys() {
        let left = serde_json::json!({"updraft": 1, "xcom": {"return_value": 1, "other": [2]}});
        assert_eq!(values_by_key(&left).unwrap().keys().collect::<Vec<_>>(), ["other", "return_value"]);
        for one in [serde_json::json!({"xcom": {}}), serde_json::json!([1]), serde_json::json!({"updraft": 2, "xcom": {}})] {
            assert_eq!(values_by_key(&one), None);
        }
    }

    #[test]
    fn whoever_was_stopped_never_succeeds() {
        for stopped in [Stopped::Timeout, Stopped::Cancelled, Stopped::Disrupted] {
            for code in [None, Some(0), Some(99), Some(143)] {
                let facts = ran(|f| {
                    f.stopped = Some(stopped);
                    f.exit_code = code;
                });
                assert!(matches!(verdict(&facts, &[99]), Verdict::Failed { .. }), "{facts:?}");
            }
        }
    }
}
