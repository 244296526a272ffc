//! The trigger rules: what the states of a task's direct upstreams decide about it. Airflow's meaning, rule by rule.

use updraft_model::{TaskState, TriggerRule};

/// How the direct upstreams of a task stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// How many there are.
    pub total: u32,
    /// In `success`.
    pub success: u32,
    /// In `failed`.
    pub failed: u32,
    /// In `upstream_failed`.
    pub upstream_failed: u32,
    /// In `skipped`.
    pub skipped: u32,
    /// In `removed`: done, but not a success.
    pub removed: u32,
}

impl Counts {
    fn slot(&mut self, state: TaskState) -> Option<&mut u32> {
        match state {
            TaskState::Success => Some(&mut self.success),
            TaskState::Failed => Some(&mut self.failed),
            TaskState::UpstreamFailed => Some(&mut self.upstream_failed),
            TaskState::Skipped => Some(&mut self.skipped),
            TaskState::Removed => Some(&mut self.removed),
            _ => None,
        }
    }

    /// Counts an upstream that went from one state to another.
    pub fn shift(&mut self, from: TaskState, to: TaskState) {
        if let Some(count) = self.slot(from) {
            *count -= 1;
        }
        if let Some(count) = self.slot(to) {
            *count += 1;
        }
    }

    /// How many are over.
    pub fn done(&self) -> u32 {
        self.success + self.failed + self.upstream_failed + self.skipped + self.removed
    }
}

/// What a trigger rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Not yet.
    Wait,
    /// Run it.
    Run,
    /// It can only be skipped.
    Skip,
    /// It can no longer run, because an upstream failed.
    UpstreamFailed,
}

/// Applies a rule. A task without upstreams runs, whatever its rule. What setups add to it is in `scope`.
pub fn decide(rule: TriggerRule, counts: &Counts) -> Decision {
    if counts.total == 0 || rule == TriggerRule::Always {
        return Decision::Run;
    }
    let all_done = counts.done() >= counts.total;
    let bad = counts.failed + counts.upstream_failed;
    let when = |met: bool| if met { Decision::Run } else { Decision::Wait };
    match rule {
        TriggerRule::Always => Decision::Run,
        TriggerRule::AllSuccess => {
            if bad > 0 {
                Decision::UpstreamFailed
            } else if counts.skipped > 0 || (all_done && counts.removed > 0) {
                Decision::Skip
            } else {
                when(counts.success == counts.total)
            }
        }
        TriggerRule::AllFailed => {
            if counts.success + counts.skipped + counts.removed > 0 {
                Decision::Skip
            } else {
                when(bad == counts.total)
            }
        }
        TriggerRule::AllDone | TriggerRule::AllDoneSetupSuccess => when(all_done),
        TriggerRule::AllDoneMinOneSuccess => {
            // A skipped one is not done in the sense of this rule, and never will be.
            if counts.skipped > 0 {
                Decision::Skip
            } else if !all_done {
                Decision::Wait
            } else if counts.success > 0 {
                Decision::Run
            } else {
                Decision::UpstreamFailed
            }
        }
        TriggerRule::AllSkipped => {
            if counts.success + bad + counts.removed > 0 {
                Decision::Skip
            } else {
                when(counts.skipped == counts.total)
            }
        }
        TriggerRule::OneSuccess => {
            if counts.success > 0 {
                Decision::Run
            } else if all_done && counts.skipped < counts.total {
                Decision::UpstreamFailed
            } else if all_done {
                Decision::Skip
            } else {
                Decision::Wait
            }
        }
        TriggerRule::OneFailed => {
            if bad > 0 {
                Decision::Run
            } else if all_done {
                Decision::Skip
            } else {
                Decision::Wait
            }
        }
        TriggerRule::OneDone => {
            if counts.success + counts.failed > 0 {
                Decision::Run
            } else if all_done {
                Decision::Skip
            } else {
                Decision::Wait
            }
        }
        TriggerRule::NoneFailed => {
            if bad > 0 {
                Decision::UpstreamFailed
            } else {
                when(all_done)
            }
        }
        TriggerRule::NoneFailedMinOneSuccess => {
            if bad > 0 {
                Decision::UpstreamFailed
            } else if counts.skipped == counts.total {
                Decision::Skip
            } else if all_done && counts.success == 0 {
                Decision::UpstreamFailed
            } else {
                when(all_done)
            }
        }
        TriggerRule::NoneSkipped => {
            if counts.skipped > 0 {
                Decision::Skip
            } else {
                when(all_done)
            }
        }
    }
}

#[cfg(test)]
mod tests;
