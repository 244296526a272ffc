//! The pod runner: one pod per attempt, and the only user of `kube`.
