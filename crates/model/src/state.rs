//! The states of task instances and runs, and the table of legal moves between them.
//!
//! [`moves`] is the whole law: the state writer of the store guards each write with the sources of one of its constants, the planner
//! may only propose them, and `docs/state_machine.md` is generated from it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a state")]
pub struct UnknownState(pub String);

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every state, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Airflow's word for the state, as the database and the API have it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownState;
            fn from_str(text: &str) -> Result<Self, UnknownState> {
                match text { $($text => Ok(Self::$variant),)+ other => Err(UnknownState(other.to_owned())) }
            }
        }
    };
}

states!(
    /// The state of a task instance. The words are Airflow's.
    TaskState {
        /// Nothing decided yet: its upstreams are not met. Airflow shows it as null.
        None = "none",
        /// Its upstreams are met; it waits for a slot of its pool and for the limits of its DAG.
        Scheduled = "scheduled",
        /// It holds a slot and has an attempt that a worker may claim.
        Queued = "queued",
        /// A worker has claimed the attempt. Derived: `live_attempt` holds it, the instance's own row stays `queued`.
        Running = "running",
        /// The scheduler waits for something on its behalf, without a slot: a time, tasks of another DAG, a run that it has made.
        Deferred = "deferred",
        /// It ended well, and there is evidence.
        Success = "success",
        /// It ended badly and no attempt is left.
        Failed = "failed",
        /// An attempt ended badly; the next may start at `not_before`.
        UpForRetry = "up_for_retry",
        /// A failed upstream makes its trigger rule impossible.
        UpstreamFailed = "upstream_failed",
        /// It was left out: by a branch, by its trigger rule, by its own exit code, or by the end of its run.
        Skipped = "skipped",
        /// Its task is no longer in the DAG version of its run.
        Removed = "removed",
    }
);

states!(
    /// The state of a run.
    RunState {
        /// Created; waits for `max_active_runs`, or for its DAG to be unpaused.
        Queued = "queued",
        /// Its tasks are being scheduled.
        Running = "running",
        /// Every task is done and no leaf failed.
        Success = "success",
        /// Every task is done and a leaf failed, or the run timed out, or a person said so.
        Failed = "failed",
    }
);

impl TaskState {
    /// Whether nothing but a person can move the instance from here.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::UpstreamFailed | Self::Skipped | Self::Removed)
    }

    /// The wire form of a nullable state: `none` is null in Airflow's API.
    pub const fn as_api(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            other => Some(other.as_str()),
        }
    }
}

impl RunState {
    /// Whether the run is over.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed)
    }
}

/// One legal move: from any of `sources` to `target`. The fields are private, so that no other crate can invent a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Move {
    name: &'static str,
    sources: &'static [TaskState],
    target: TaskState,
    cause: &'static str,
}

impl Move {
    /// The name of the move, as in [`moves`].
    pub const fn name(self) -> &'static str {
        self.name
    }
    /// The states that the instance may be in before.
    pub const fn sources(self) -> &'static [TaskState] {
        self.sources
    }
    /// The state that it is in afterwards.
    pub const fn target(self) -> TaskState {
        self.target
    }
    /// Who makes the move, and why.
    pub const fn cause(self) -> &'static str {
        self.cause
    }
    /// Whether an instance in `state` may make it.
    pub fn allows(self, state: TaskState) -> bool {
        self.sources.contains(&state)
    }
}

macro_rules! transitions {
    ($($name:ident: [$($source:ident),+] => $target:ident, $cause:literal;)+) => {
        /// The table of legal moves.
        pub mod moves {
            use super::{Move, TaskState};
            $(
                #[doc = $cause]
                pub const $name: Move = Move {
                    name: stringify!($name),
                    sources: &[$(TaskState::$source),+],
                    target: TaskState::$target,
                    cause: $cause,
                };
            )+
            /// Every legal move.
            pub const ALL: &[Move] = &[$($name,)+];
        }
    };
}

transitions! {
    SCHEDULE:      [None, UpForRetry] => Scheduled, "planner: the trigger rule is met, or the retry delay is over";
    ENQUEUE:       [Scheduled] => Queued, "admission: a slot of the pool is free and no limit of the DAG stands in the way";
    CLAIM:         [Queued] => Running, "worker: takes the attempt into its lease group";
    SUCCEED:       [Queued, Running] => Success, "worker: evidence of exit 0 of the bound container";
    FAIL:          [Queued, Running] => Failed, "worker: evidence of another end, and no attempt is left in its budget";
    RETRY_LATER:   [Queued, Running] => UpForRetry, "worker: evidence of another end, and an attempt is left in its budget";
    SKIP_SELF:     [Queued, Running] => Skipped, "worker: the exit code is one that the task declares as a skip";
    COMPLETE_NOOP: [None] => Success, "planner: an empty operator whose trigger rule is met has nothing to run";
    DEFER:         [None, UpForRetry] => Deferred, "planner: the trigger rule is met, or the retry delay is over, and the scheduler waits for it itself";
    ARRIVE:        [Deferred] => Success, "scheduler: what it waited for is there";
    GIVE_UP:       [Deferred] => Failed, "scheduler: it waited for too long, or what it waited for failed and no attempt is left";
    DEFER_LATER:   [Deferred] => UpForRetry, "scheduler: what it waited for failed, and an attempt is left";
    PASS:          [Deferred] => Skipped, "scheduler: what it waited for was skipped, or it failed and soft_fail is on";
    SKIP:          [None, Scheduled, Deferred, UpForRetry] => Skipped, "planner: the trigger rule asks for it, or the run is over";
    FAIL_UPSTREAM: [None] => UpstreamFailed, "planner: the trigger rule can no longer be met";
    REJECT:        [Scheduled] => Failed, "admission: the task cannot be rendered, and no attempt was made";
    MARK_SUCCESS:  [None, Scheduled, Deferred, UpForRetry, Success, Failed, UpstreamFailed, Skipped, Removed] => Success, "person: marked";
    MARK_FAILED:   [None, Scheduled, Deferred, UpForRetry, Success, Failed, UpstreamFailed, Skipped, Removed] => Failed, "person: marked or cancelled";
    CLEAR:         [None, Scheduled, Deferred, UpForRetry, Success, Failed, UpstreamFailed, Skipped, Removed] => None, "person: cleared, to run again";
    CLEAR_LIVE:    [Queued, Running] => None, "worker: the attempt is over and a clear was asked for while it lived";
}

/// What a person asked for while an attempt is live; decided against its end under the row's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// End the attempt and fail the instance.
    Cancel,
    /// End the attempt and run the instance again from the start.
    Clear,
    /// End the attempt and call the instance a success, by hand.
    MarkSuccess,
    /// End the attempt and call the instance failed, by hand.
    MarkFailed,
    /// End the attempt and skip the instance: its run timed out.
    Skip,
}

impl Intent {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Clear => "clear",
            Self::MarkSuccess => "mark_success",
            Self::MarkFailed => "mark_failed",
            Self::Skip => "skip",
        }
    }
}

/// `docs/state_machine.md`: a Mermaid diagram and a table of [`moves`]. A test fails when the page is stale.
pub fn state_machine_page() -> String {
    use std::fmt::Write as _;
    let mut page = String::from(
        "# The states of a task instance\n\nGenerated from `crates/model/src/state.rs` (`cargo run -p updraft -- docs state-machine`); a test fails when it is stale.\n\n```mermaid\nstateDiagram-v2\n    [*] --> none\n",
    );
    for m in moves::ALL {
        for source in m.sources {
            let _ = writeln!(page, "    {source} --> {}: {}", m.target, m.name);
        }
    }
    page.push_str("```\n\n| Move | From | To | Who, and why |\n|---|---|---|---|\n");
    for m in moves::ALL {
        let sources: Vec<_> = m.sources.iter().map(|s| s.as_str()).collect();
        let _ = writeln!(page, "| `{}` | {} | {} | {} |", m.name, sources.join(", "), m.target, m.cause);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip() {
        for state in TaskState::ALL {
            assert_eq!(state.as_str().parse::<TaskState>().unwrap(), *state);
        }
        assert!("nope".parse::<RunState>().is_err());
    }

    #[test]
    fn every_state_is_reachable() {
        let mut reached = vec![TaskState::None];
        loop {
            let before = reached.len();
            for m in moves::ALL {
                if m.sources.iter().any(|s| reached.contains(s)) && !reached.contains(&m.target) {
                    reached.push(m.target);
                }
            }
            if reached.len() == before {
                break;
            }
        }
        // `removed` is reached by a change of version, which a later DAG version may bring.
        for state in TaskState::ALL.iter().filter(|s| **s != TaskState::Removed) {
            assert!(reached.contains(state), "{state} cannot be reached");
        }
    }

    #[test]
    fn only_people_leave_a_terminal_state() {
        for m in moves::ALL {
            if m.sources.iter().any(|s| s.is_terminal()) {
                assert!(m.cause.starts_with("person"), "{} leaves a terminal state", m.name);
            }
        }
    }

    #[test]
    fn live_attempts_end_only_by_their_worker() {
        for m in moves::ALL {
            if m.sources.contains(&TaskState::Running) {
                assert!(m.cause.starts_with("worker"), "{} takes a running instance", m.name);
            }
        }
    }
}
