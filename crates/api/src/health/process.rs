//! The figures of a process that every exporter has, under the names that all of them use. Where the system does not tell (it is not Linux)
//! there are none.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// What the system says of this process now.
#[derive(Debug)]
pub(super) struct Process {
    cpu_seconds: f64,
    resident_bytes: f64,
    start_time: f64,
    open_files: f64,
}

impl Process {
    #[expect(clippy::cast_precision_loss, reason = "bytes and ticks of one process")]
    pub(super) fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // Behind the program's name, which may have spaces and brackets: proc(5) counts from 3 here.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |nth: usize| fields.get(nth - 3)?.parse::<u64>().ok().map(|n| n as f64);
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let boot = fs::read_to_string("/proc/stat").ok()?;
        let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            resident_bytes: field(24)? * rustix::param::page_size() as f64,
            start_time: boot + field(22)? / ticks,
            open_files: fs::read_dir("/proc/self/fd").ok()?.count() as f64,
        })
    }
}

impl Collector for Process {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let cpu = ConstCounter::new(self.cpu_seconds);
        cpu.encode(out.encode_descriptor("process_cpu_seconds", "Processor time", None, cpu.metric_type())?)?;
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Resident memory", self.resident_bytes),
            ("process_start_time_seconds", "When it started, as a Unix time", self.start_time),
            ("process_open_fds", "Open file descriptors", self.open_files),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(out.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself() {
        let process = Process::now().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(process.resident_bytes > 1e6 && process.resident_bytes < 1e9, "{process:?}");
        assert!(process.start_time <= now + 2.0 && process.start_time > now - 3600.0, "{process:?}, now {now}");
        assert!(process.open_files >= 3.0 && process.cpu_seconds >= 0.0, "{process:?}");
    }
}
