use super::*;

const RULES: [(TriggerRule, &str); 13] = [
    (TriggerRule::AllSuccess, "all_success"),
    (TriggerRule::AllFailed, "all_failed"),
    (TriggerRule::AllDone, "all_done"),
    (TriggerRule::AllDoneMinOneSuccess, "all_done_min_one_success"),
    (TriggerRule::AllDoneSetupSuccess, "all_done_setup_success"),
    (TriggerRule::AllSkipped, "all_skipped"),
    (TriggerRule::OneSuccess, "one_success"),
    (TriggerRule::OneFailed, "one_failed"),
    (TriggerRule::OneDone, "one_done"),
    (TriggerRule::NoneFailed, "none_failed"),
    (TriggerRule::NoneFailedMinOneSuccess, "none_failed_min_one_success"),
    (TriggerRule::NoneSkipped, "none_skipped"),
    (TriggerRule::Always, "always"),
];

fn counts(upstreams: &str) -> Counts {
    let mut counts = Counts { total: u32::try_from(upstreams.len()).unwrap(), ..Counts::default() };
    for letter in upstreams.chars() {
        let state = match letter {
            's' => TaskState::Success,
            'f' => TaskState::Failed,
            'u' => TaskState::UpstreamFailed,
            'k' => TaskState::Skipped,
            'x' => TaskState::Removed,
            _ => TaskState::None,
        };
        counts.shift(TaskState::None, state);
    }
    counts
}

/// One row per pair of upstreams, one column per rule in the order of `RULES`:
/// `r` run, `w` wait, `k` skip, `u` upstream_failed. `.` is an upstream that is not over.
const TABLE: &[(&str, &str)] = &[
    ("..", "wwwwwwwwwwwwr"),
    ("s.", "wkwwwkrwrwwwr"),
    ("f.", "uwwwwkwrruuwr"),
    ("u.", "uwwwwkwrwuuwr"),
    ("k.", "kkwkwwwwwwwkr"),
    ("ss", "rkrrrkrkrrrrr"),
    ("sf", "ukrrrkrrruurr"),
    ("su", "ukrrrkrrruurr"),
    ("sk", "kkrkrkrkrrrkr"),
    ("ff", "urrurkurruurr"),
    ("fu", "urrurkurruurr"),
    ("uu", "urrurkurkuurr"),
    ("fk", "ukrkrkurruukr"),
    ("uk", "ukrkrkurkuukr"),
    ("kk", "kkrkrrkkkrkkr"),
    // What a newer version of the DAG no longer has is over, and neither a success nor a skip.
    ("kx", "kkrkrkukkrukr"),
    ("xx", "kkrurkukkrurr"),
];

#[test]
fn the_table_of_pairs() {
    for (upstreams, expected) in TABLE {
        for ((rule, name), letter) in RULES.iter().zip(expected.chars()) {
            let decision = match decide(*rule, &counts(upstreams)) {
                Decision::Run => 'r',
                Decision::Wait => 'w',
                Decision::Skip => 'k',
                Decision::UpstreamFailed => 'u',
            };
            assert_eq!(decision, letter, "{name} with upstreams {upstreams}");
        }
    }
}

#[test]
fn nothing_before_it_means_run() {
    for (rule, name) in RULES {
        assert_eq!(decide(rule, &Counts::default()), Decision::Run, "{name}");
    }
}

/// When every upstream is over, no rule may go on waiting: the run would never end (I1).
#[test]
fn no_rule_waits_for_upstreams_that_are_over() {
    let letters = ['s', 'f', 'u', 'k', 'x'];
    for a in letters {
        for b in letters {
            for c in letters {
                let all: String = [a, b, c].iter().collect();
                for (rule, name) in RULES {
                    assert_ne!(decide(rule, &counts(&all)), Decision::Wait, "{name} with {all}");
                }
            }
        }
    }
}

/// A rule that has said "run" never takes it back when more upstreams end.
#[test]
fn what_may_run_may_still_run_later() {
    let letters = ['s', 'f', 'u', 'k'];
    for a in letters {
        for b in letters {
            for (rule, name) in RULES {
                if decide(rule, &counts(&format!("{a}."))) == Decision::Run {
                    assert_eq!(decide(rule, &counts(&format!("{a}{b}"))), Decision::Run, "{name}: {a}. then {a}{b}");
                }
            }
        }
    }
}
