//! The promises of Updraft, by number. Code that keeps one names it; `updraft doctor`, the simulation and the tests check them.

/// One promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invariant {
    /// `I1` to `I10`.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub says: &'static str,
}

/// All promises, in order.
pub const ALL: &[Invariant] = &[
    Invariant { id: "I1", name: "no loss", says: "every task instance whose upstreams are met reaches a terminal state once faults stop" },
    Invariant { id: "I2", name: "one start per attempt", says: "at most one user command ever starts for an attempt" },
    Invariant { id: "I3", name: "no overlap", says: "commands of two attempts of one task instance never run at the same time" },
    Invariant { id: "I4", name: "truthful end", says: "the system writes success only with evidence that the command exited 0 by itself" },
    Invariant { id: "I5", name: "two budgets", says: "retries are spent only on failures of the user's code" },
    Invariant { id: "I6", name: "order", says: "no command starts before the upstream ends that its trigger rule needs" },
    Invariant { id: "I7", name: "no leak", says: "after the last task no process, message, slot or lease is left over" },
    Invariant { id: "I8", name: "one run per logical date", says: "none is doubled, and none is skipped when catchup is on" },
    Invariant { id: "I9", name: "limits", says: "a pool, max_active_runs or max_active_tasks is never exceeded and never leaks" },
    Invariant {
        id: "I10",
        name: "Postgres is the only truth",
        says: "the broker can be wiped and workers killed: all is rebuilt, and nothing restarted",
    },
];
