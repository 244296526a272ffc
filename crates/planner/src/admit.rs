//! Which of the ready instances of one pool get its free slots.
//!
//! Fair by run, by priority inside a run: the run that has been given least so far goes first, so that a huge DAG does not starve a small
//! one (weighted fair queueing with virtual time; every slot given moves a run's time on by one).

use std::collections::BTreeMap;

use updraft_model::RunKey;

/// One instance that waits, as far as admission cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmitHead {
    /// Its run.
    pub run: RunKey,
    /// Slots that it takes.
    pub slots: i32,
    /// What its run has been given so far.
    pub vtime: i64,
    /// How many more tasks its run may have at once; absent: any number.
    pub run_room: Option<i64>,
}

/// The order of admission: positions in `heads`, at most `most`, as far as `free` slots go. `heads` come by run, and inside a run by priority.
///
/// A head that does not fit is not overtaken: otherwise a task of many slots would wait for ever behind small ones.
pub fn admit(heads: &[AdmitHead], free: i64, most: usize) -> Vec<usize> {
    struct Queue {
        vtime: i64,
        room: i64,
        waiting: std::collections::VecDeque<usize>,
    }
    let mut queues: BTreeMap<RunKey, Queue> = BTreeMap::new();
    for (position, head) in heads.iter().enumerate() {
        queues
            .entry(head.run)
            .or_insert_with(|| Queue {
                vtime: head.vtime,
                room: head.run_room.unwrap_or(i64::MAX),
                waiting: std::collections::VecDeque::new(),
            })
            .waiting
            .push_back(position);
    }
    // (vtime, run) of every run that still has something to give.
    let mut turn: std::collections::BTreeSet<(i64, RunKey)> =
        queues.iter().filter(|(_, q)| q.room > 0).map(|(run, q)| (q.vtime, *run)).collect();
    let mut free = free;
    let mut admitted = Vec::new();
    while admitted.len() < most {
        let Some((vtime, run)) = turn.pop_first() else { break };
        let Some(queue) = queues.get_mut(&run) else { break };
        let Some(position) = queue.waiting.pop_front() else { continue };
        let slots = i64::from(heads[position].slots);
        if slots > free {
            break;
        }
        free -= slots;
        queue.room -= 1;
        admitted.push(position);
        if queue.room > 0 && !queue.waiting.is_empty() {
            turn.insert((vtime + slots, run));
        }
    }
    admitted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(run: i64, slots: i32, vtime: i64, run_room: Option<i64>) -> AdmitHead {
        AdmitHead { run: RunKey(run), slots, vtime, run_room }
    }

    #[test]
    fn runs_take_turns() {
        let heads: Vec<_> = (0..100).map(|_| head(1, 1, 0, None)).chain((0..3).map(|_| head(2, 1, 0, None))).collect();
        let admitted = admit(&heads, 6, 64);
        assert_eq!(admitted.iter().filter(|p| heads[**p].run == RunKey(2)).count(), 3);
    }

    #[test]
    fn a_run_that_was_given_much_waits_for_the_others() {
        let heads = [head(1, 1, 50, None), head(2, 1, 0, None), head(2, 1, 0, None)];
        assert_eq!(admit(&heads, 2, 64), [1, 2]);
    }

    #[test]
    fn a_big_task_is_not_overtaken() {
        let heads = [head(1, 5, 0, None), head(2, 1, 1, None)];
        assert_eq!(admit(&heads, 3, 64), Vec::<usize>::new());
    }

    proptest! {
        #[test]
        fn limits_hold(spec in prop::collection::vec((0i64..5, 1i32..4, 0i64..10, prop::option::of(0i64..4)), 0..60), free in 0i64..40, most in 0usize..40) {
            let mut heads: Vec<_> = spec.iter().map(|(run, slots, _, _)| head(*run, *slots, 0, None)).collect();
            heads.sort_by_key(|h| h.run);
            for (head, (_, _, vtime, room)) in heads.clone().iter().zip(&spec) {
                for other in heads.iter_mut().filter(|o| o.run == head.run) {
                    other.vtime = *vtime;
                    other.run_room = *room;
                }
            }
            let admitted = admit(&heads, free, most);
            prop_assert!(admitted.len() <= most);
            prop_assert!(admitted.iter().map(|p| i64::from(heads[*p].slots)).sum::<i64>() <= free);
            for run in 0..5 {
                let of_run: Vec<_> = admitted.iter().filter(|p| heads[**p].run == RunKey(run)).collect();
                // Inside a run the order is kept.
                prop_assert!(of_run.windows(2).all(|w| w[0] < w[1]));
                if let Some(first) = heads.iter().find(|h| h.run == RunKey(run)) {
                    prop_assert!(i64::try_from(of_run.len()).unwrap() <= first.run_room.unwrap_or(i64::MAX));
                }
            }
        }
    }
}
