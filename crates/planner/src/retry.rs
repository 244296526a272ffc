//! How long to wait before the next attempt.

use sha2::{Digest, Sha256};
use updraft_model::TaskSpec;

/// Longest delay, as in Airflow: a day.
const MOST_MS: u64 = 86_400_000;

/// The delay after the `failures`-th failure of the user's code (1 for the first), in milliseconds.
///
/// Without backoff it is `retry_delay`. With it, `retry_delay × factor^(failures-1)`, at least a second, plus a jitter of up to as much
/// again that follows from who and when the task is, so that many tasks that failed at once do not come back at once; capped by
/// `max_retry_delay` and by a day.
pub fn user_retry_delay_ms(task: &TaskSpec, dag_id: &str, date: &str, failures: u32) -> u64 {
    let base = task.retry_delay_ms;
    if task.retry_exponential_backoff_milli == 0 {
        return base.min(MOST_MS);
    }
    let factor = f64::from(task.retry_exponential_backoff_milli) / 1000.0;
    #[expect(clippy::cast_precision_loss, reason = "a delay of 285,000 years may be off by a millisecond")]
    let grown = base as f64 * factor.powi(i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range")]
    let grown = grown.clamp(1000.0, MOST_MS as f64) as u64;
    let jitter = draw(&format!("{dag_id}#{}#{date}#{failures}", task.task_id)) % grown;
    (grown + jitter).min(task.max_retry_delay_ms.unwrap_or(MOST_MS)).min(MOST_MS)
}

/// The delay after the `failures`-th failure of the infrastructure (1 for the first), in milliseconds: from a second, doubled each time, at
/// most a minute, plus jitter of up to a half.
pub fn infra_retry_delay_ms(dag_id: &str, task_id: &str, date: &str, failures: u32) -> u64 {
    let grown = 1000u64 << failures.saturating_sub(1).min(6);
    let grown = grown.min(60_000);
    grown + draw(&format!("{dag_id}#{task_id}#{date}#{failures}")) % (grown / 2)
}

fn draw(of: &str) -> u64 {
    let digest = Sha256::digest(of.as_bytes());
    digest.iter().take(8).fold(0u64, |n, byte| n << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use updraft_model::{TaskId, TaskKind};

    #[test]
    fn delays_grow_and_are_capped() {
        let mut task = TaskSpec::new(TaskId::new("t").unwrap(), TaskKind::Empty);
        task.retry_delay_ms = 2000;
        assert_eq!(user_retry_delay_ms(&task, "d", "x", 3), 2000);
        task.retry_exponential_backoff_milli = 2000;
        for failures in 1..10 {
            let floor = 2000u64 << (failures - 1);
            let delay = user_retry_delay_ms(&task, "d", "x", failures);
            assert!((floor..floor * 2).contains(&delay), "{failures}: {delay}");
        }
        task.max_retry_delay_ms = Some(5000);
        assert_eq!(user_retry_delay_ms(&task, "d", "x", 200), 5000);
        assert!(infra_retry_delay_ms("d", "t", "x", 1) >= 1000);
        assert!(infra_retry_delay_ms("d", "t", "x", 60) <= 90_000);
    }
}
