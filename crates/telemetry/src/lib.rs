//! What a process tells of itself, the same in every role: its log (people read text on a terminal, machines read JSON), [`metrics`], and [`traces`].

#![warn(missing_docs)]

pub mod metrics;
pub mod traces;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::ChronoUtc;

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl std::str::FromStr for LogFormat {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("{other:?} is not text or json")),
        }
    }
}

/// Sends log lines to stderr. `filter` is a level or `tracing`'s directives (`info,updraft_scheduler=debug`). Call it once.
pub fn init(format: LogFormat, filter: &str) -> Result<(), String> {
    // A bare level is about us: the driver's notices are not.
    let directives = if filter.contains(['=', ',']) { filter.to_owned() } else { format!("{filter},sqlx=warn") };
    let filter = EnvFilter::try_new(directives).map_err(|e| format!("log filter {filter:?}: {e}"))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_timer(ChronoUtc::new("%Y-%m-%dT%H:%M:%S%.3fZ".to_owned()));
    match format {
        LogFormat::Text => {
            use std::io::IsTerminal as _;
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            lines.with_ansi(colour).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(|e| format!("logging is set up already: {e}"))
}

/// Says that a loop still turns: a process that answers to probes may have a loop that hangs. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<AtomicU64>);

/// From when pulses are counted.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Pulse {
    /// The loop has come round.
    pub fn beat(&self) {
        let at: u64 = START.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        self.0.store(at.saturating_add(1), Ordering::Relaxed);
    }

    /// How long ago the last beat was. None before the first one: the loop has not begun, a server is waited for.
    pub fn silence(&self) -> Option<Duration> {
        let at = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        Some(START.elapsed().saturating_sub(Duration::from_millis(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_is_silent_since_its_last_beat() {
        let pulse = Pulse::default();
        assert_eq!(pulse.silence(), None, "it has not begun");
        let clone = pulse.clone();
        clone.beat();
        assert!(pulse.silence().is_some_and(|silence| silence < Duration::from_secs(5)));
        // Had it beaten at the start only, it would be as silent as the process is old.
        std::thread::sleep(Duration::from_millis(20));
        assert!(pulse.silence().is_some_and(|silence| silence >= Duration::from_millis(15)));
    }
}
