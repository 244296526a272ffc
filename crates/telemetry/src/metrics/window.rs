//! Quantiles of the last minutes, in little memory: what Airflow's users see of a timer.

use std::time::{Duration, Instant};

/// A slot's length. The quantiles are of the last five slots.
const SLOT: Duration = Duration::from_secs(120);
const SLOTS: usize = 5;
/// Buckets grow by a quarter, from a tenth of a millisecond to some days.
const FIRST: f64 = 0.0001;
const GROWTH: f64 = 1.25;
const BUCKETS: usize = 96;

/// Durations of the last ten minutes, and the sum and number of all.
#[derive(Debug)]
pub(super) struct Window {
    slots: [[u32; BUCKETS]; SLOTS],
    current: usize,
    since: Instant,
    pub(super) sum: f64,
    pub(super) count: u64,
}

impl Window {
    pub(super) fn new(now: Instant) -> Self {
        Self { slots: [[0; BUCKETS]; SLOTS], current: 0, since: now, sum: 0.0, count: 0 }
    }

    pub(super) fn add(&mut self, seconds: f64, now: Instant) {
        self.turn(now);
        self.sum += seconds;
        self.count += 1;
        let bucket = (0..BUCKETS - 1).find(|n| seconds <= bound(*n)).unwrap_or(BUCKETS - 1);
        self.slots[self.current][bucket] = self.slots[self.current][bucket].saturating_add(1);
    }

    /// NaN when there was nothing lately.
    pub(super) fn quantile(&mut self, q: f64, now: Instant) -> f64 {
        self.turn(now);
        let total: u32 = self.slots.iter().flatten().sum();
        if total == 0 {
            return f64::NAN;
        }
        let wanted = (q * f64::from(total)).max(1.0);
        let mut seen = 0;
        for bucket in 0..BUCKETS {
            let here: u32 = self.slots.iter().map(|slot| slot[bucket]).sum();
            if f64::from(seen + here) >= wanted {
                let below = if bucket == 0 { 0.0 } else { bound(bucket - 1) };
                return below + (bound(bucket) - below) * (wanted - f64::from(seen)) / f64::from(here);
            }
            seen += here;
        }
        bound(BUCKETS - 1)
    }

    fn turn(&mut self, now: Instant) {
        let mut turns = 0;
        while now.saturating_duration_since(self.since) >= SLOT {
            self.current = (self.current + 1) % SLOTS;
            self.slots[self.current] = [0; BUCKETS];
            self.since += SLOT;
            turns += 1;
            if turns == SLOTS {
                // All of it is old.
                self.since = now;
            }
        }
    }
}

fn bound(bucket: usize) -> f64 {
    FIRST * GROWTH.powi(i32::try_from(bucket).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_last_ten_minutes() {
        let begin = Instant::now();
        let mut window = Window::new(begin);
        assert!(window.quantile(0.5, begin).is_nan());
        for n in 1..=100 {
            window.add(f64::from(n), begin);
        }
        for (q, exact) in [(0.5, 50.0), (0.9, 90.0), (0.99, 99.0)] {
            let found = window.quantile(q, begin);
            assert!((found / exact - 1.0).abs() < 0.25, "{q}: {found}, not {exact}");
        }
        let later = begin + Duration::from_secs(300);
        window.add(1000.0, later);
        assert!(window.quantile(0.5, later) < 100.0, "still there after five minutes");
        let much_later = begin + Duration::from_secs(11 * 60);
        assert!(window.quantile(0.5, much_later) > 800.0, "only the last is left");
        assert!(window.quantile(0.5, begin + Duration::from_secs(3600)).is_nan());
        assert_eq!((window.count, window.sum), (101, 6050.0), "of all");
    }
}
