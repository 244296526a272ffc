//! The protocol under thousands of seeded fault schedules. A failing seed is printed; put it into `SEEDS` to keep it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use updraft_model::{DagSpec, TaskId, TaskKind, TaskSpec, TriggerRule};
use updraft_testkit::random::Random;
use updraft_testkit::sim::{Mutant, Setup, Sim};

/// Seeds that once found something.
const SEEDS: &[u64] = &[1, 42];

fn random_dag(seed: u64) -> DagSpec {
    let mut random = Random::new(seed ^ 0xDA6);
    // Drawn apart, so that seeds from before setups were there give the graphs that they gave.
    let mut roles = Random::new(seed ^ 0x7EA);
    let empty = serde_json::json!({"dag_id": "d", "schedule": {"kind": "none"}, "tasks": []});
    let mut spec: DagSpec = serde_json::from_value(empty).unwrap();
    for i in 0..1 + random.below(12) {
        let bash = TaskKind::Bash { bash_command: "true".to_owned(), env: None, append_env: false, cwd: None, skip_on_exit_code: vec![] };
        // Some of them the scheduler waits for itself.
        let wait = serde_json::json!({"kind": "wait", "what": {"kind": "duration", "duration_ms": 1}});
        let run = if random.chance(25) { serde_json::from_value(wait).unwrap() } else { bash };
        let mut task = TaskSpec::new(TaskId::new(format!("t{i}")).unwrap(), run);
        task.upstream = (0..i).filter(|_| random.chance(30)).map(|up| TaskId::new(format!("t{up}")).unwrap()).collect();
        match roles.below(6) {
            0 => task.is_setup = true,
            1 => (task.is_teardown, task.trigger_rule) = (true, TriggerRule::AllDoneSetupSuccess),
            _ => {}
        }
        spec.tasks.push(task);
    }
    spec.validate().unwrap();
    spec
}

fn setup(seed: u64, mutant: Mutant) -> Setup {
    let mut random = Random::new(seed ^ 0x5E7);
    Setup {
        seed,
        schedulers: 1 + random.below(3),
        workers: 1 + random.below(4),
        pool: 1 + i32::try_from(random.below(5)).unwrap(),
        faults: 5 + random.below(30),
        mutant,
    }
}

#[test]
fn no_seed_breaks_an_invariant() {
    let seeds: u64 = std::env::var("UPDRAFT_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3000);
    for seed in SEEDS.iter().copied().chain(0..seeds) {
        if let Err(violation) = Sim::new(random_dag(seed), setup(seed, Mutant::Honest)).run(600) {
            panic!("seed {seed}: {violation:?}");
        }
    }
}

/// A simulation that finds nothing proves nothing: each deliberate mistake must be found within a few hundred seeds, by the right
/// invariant.
#[test]
fn every_mutant_is_caught() {
    for (mutant, expected) in [
        (Mutant::ClaimTwice, "I2"),
        (Mutant::NoPoolLimit, "I9"),
        (Mutant::RestartOnAdopt, "I2"),
        (Mutant::FalseSuccess, "I4"),
        (Mutant::NoSweep, "I1"),
        (Mutant::UnguardedLook, "I4"),
    ] {
        let caught = (0..300).find_map(|seed| Sim::new(random_dag(seed), setup(seed, mutant)).run(600).err());
        assert_eq!(caught.map(|v| v.invariant), Some(expected), "{mutant:?}");
    }
    // Without the guard several invariants may break first.
    let caught = (0..300).any(|seed| Sim::new(random_dag(seed), setup(seed, Mutant::UnguardedMoves)).run(600).is_err());
    assert!(caught, "UnguardedMoves");
}
