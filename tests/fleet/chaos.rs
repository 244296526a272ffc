//! kill -9, again and again, of schedulers and workers: nothing is lost, nothing runs twice, nothing out of order.

use std::time::{Duration, Instant};

use crate::ledger::{Ledger, diamond};
use crate::roles::{Fleet, Plan};

/// How many runs a test makes.
pub(crate) fn runs(usual: usize) -> usize {
    std::env::var("UPDRAFT_FLEET_RUNS").map_or(usual, |n| n.parse().unwrap())
}

/// Numbers that follow from a seed (xorshift64*): when and whom.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        let seed = std::env::var("UPDRAFT_FLEET_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs());
        eprintln!("UPDRAFT_FLEET_SEED={seed}");
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }
}

/// Triggers runs of the diamond, at most so many at once, until all are over; calls `meanwhile` all the time.
pub(crate) fn drive(fleet: &mut Fleet, runs: usize, limit: Duration, meanwhile: impl FnMut(&mut Fleet, u64)) {
    drive_at_once(fleet, 100, runs, limit, meanwhile);
}

/// The same, with as many runs at once as are asked for.
pub(crate) fn drive_at_once(fleet: &mut Fleet, at_once: u64, runs: usize, limit: Duration, mut meanwhile: impl FnMut(&mut Fleet, u64)) {
    let begin = Instant::now();
    let mut triggered = 0;
    let mut ended = 0;
    while ended < runs as u64 {
        let mut batch = 0;
        while triggered < runs && (triggered as u64) < ended + at_once && batch < 5 {
            fleet.trigger("diamond", &format!("run{triggered}"));
            triggered += 1;
            batch += 1;
        }
        meanwhile(fleet, ended);
        ended = fleet.ended("diamond").unwrap_or(ended);
        assert!(begin.elapsed() < limit, "only {ended} of {runs} runs have ended\n{}", fleet.ends_of_logs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn two_thousand_runs_survive_two_hundred_kills() {
    let runs = runs(2000);
    let mut fleet = Fleet::start(&[("diamond.yaml", &diamond())], Plan::default());
    fleet.until_dag("diamond");
    let mut random = Random::new();
    let mut kills = 0;
    // By the runs that have ended, not by the clock: a fast machine is killed as often.
    let mut next_kill = 1;
    let begin = Instant::now();
    drive(&mut fleet, runs, Duration::from_secs(900), |fleet, ended| {
        while ended >= next_kill {
            let mut roles = fleet.roles();
            let victim = usize::try_from(random.below(roles.len() as u64)).unwrap();
            roles[victim].kill_9_and_restart();
            kills += 1;
            next_kill += 1 + random.below(17);
        }
    });
    eprintln!("{runs} runs, {kills} kills, {:.1} s", begin.elapsed().as_secs_f64());
    assert!(kills >= runs / 10, "only {kills} kills");
    let ledger = Ledger::read(&fleet.ledger());
    ledger.assert_once();
    for n in 0..runs {
        ledger.assert_diamond(&format!("run{n}"));
    }
    fleet.assert_clean();
}
