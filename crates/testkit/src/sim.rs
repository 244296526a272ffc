//! The protocol in memory, under a seeded schedule of everything that can go wrong.
//!
//! The planner is the real one. Database, broker, workers and runner are small models of the statements in `migrations/0002_functions.sql` and
//! of `crates/worker`: each step of the simulation is one transaction, one message or one fault, in an order drawn from the seed.
//! Schedulers work on cached views that lag, crash and race each other; workers crash, stop for longer than their lease and wake up again;
//! hints are lost, doubled and delayed; the broker is wiped; clocks of hosts do not exist. After every step the invariants are checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use updraft_model::{DagSpec, RunState, TaskState};
use updraft_planner::{AdmitHead, DagGraph, InstanceState, RunView, admit, plan};

use crate::random::Random;

/// What is wrong after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant, as in `model::invariants`.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

/// Deliberate mistakes: the simulation must find each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// None.
    Honest,
    /// The claim does not look whether the attempt is still queued.
    ClaimTwice,
    /// A retry is admitted without looking at the pool.
    NoPoolLimit,
    /// An adopter starts the command again instead of finding it.
    RestartOnAdopt,
    /// The end of an attempt is success whatever the exit code.
    FalseSuccess,
    /// The planner's moves are written without a guard on the state.
    UnguardedMoves,
    /// Nothing looks for runs whose hint was lost.
    NoSweep,
    /// What a look at a deferred instance came to is written whatever became of the instance meanwhile.
    UnguardedLook,
}

/// A fault schedule.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Drives everything.
    pub seed: u64,
    /// Schedulers.
    pub schedulers: usize,
    /// Workers.
    pub workers: usize,
    /// Slots of the only pool.
    pub pool: i32,
    /// In how many of a hundred steps a fault is drawn.
    pub faults: usize,
    /// The mistake.
    pub mutant: Mutant,
}

#[derive(Debug, Clone)]
struct Row {
    state: TaskState,
    attempt: u32,
    failures: u32,
}

#[derive(Debug, Clone)]
struct Live {
    attempt: u32,
    group: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Running,
    Ended { exit: i32 },
}

#[derive(Debug, Clone, Default)]
struct Worker {
    alive: bool,
    /// Steps for which it is stopped: it does nothing, and wakes up believing what it believed.
    stopped: usize,
    group: usize,
    /// Attempts that it believes to be its own, by (task, attempt), and whether it has launched them.
    mine: BTreeMap<(usize, u32), bool>,
}

struct Scheduler {
    view: Option<(RunView, usize)>,
}

/// The world.
pub struct Sim {
    random: Random,
    setup: Setup,
    graph: Arc<DagGraph>,
    retries: Vec<u32>,
    exits: Vec<i32>,
    rows: Vec<Row>,
    ready: BTreeSet<usize>,
    live: BTreeMap<usize, Live>,
    events: Vec<(usize, TaskState)>,
    planned: usize,
    run_state: RunState,
    group_owner: Vec<Option<usize>>,
    hints: Vec<(usize, u32)>,
    schedulers: Vec<Scheduler>,
    workers: Vec<Worker>,
    /// What really runs or ran, outside the system's own tables.
    commands: BTreeMap<(usize, u32), Command>,
    /// Looks at deferred instances that some scheduler has begun, by (task, attempt).
    looks: Vec<(usize, u32)>,
    /// How instances ended: nobody clears here, so that is how they stay.
    ends: BTreeMap<usize, TaskState>,
    starts: BTreeMap<(usize, u32), u32>,
    now: DateTime<Utc>,
}

impl Sim {
    /// A world with one run of a DAG. Exit codes are drawn from the seed.
    pub fn new(mut spec: DagSpec, setup: Setup) -> Self {
        let mut random = Random::new(setup.seed);
        let retries: Vec<u32> = spec.tasks.iter().map(|_| u32::try_from(random.below(3)).unwrap_or(0)).collect();
        for (task, retries) in spec.tasks.iter_mut().zip(&retries) {
            task.retries = *retries;
        }
        let graph = Arc::new(DagGraph::new(spec));
        let tasks = graph.len();
        let exits = (0..tasks).map(|_| if random.chance(20) { 1 } else { 0 }).collect();
        let mut workers = vec![Worker::default(); setup.workers];
        let mut group_owner = Vec::new();
        for (i, worker) in workers.iter_mut().enumerate() {
            worker.alive = true;
            worker.group = i;
            group_owner.push(Some(i));
        }
        Self {
            retries,
            exits,
            rows: vec![Row { state: TaskState::None, attempt: 0, failures: 0 }; tasks],
            ready: BTreeSet::new(),
            live: BTreeMap::new(),
            events: vec![(usize::MAX, TaskState::None)],
            planned: 0,
            run_state: RunState::Running,
            group_owner,
            hints: Vec::new(),
            schedulers: (0..setup.schedulers).map(|_| Scheduler { view: None }).collect(),
            workers,
            commands: BTreeMap::new(),
            looks: Vec::new(),
            ends: BTreeMap::new(),
            starts: BTreeMap::new(),
            now: DateTime::UNIX_EPOCH,
            graph,
            random,
            setup,
        }
    }

    /// Runs until the run has ended and nothing is live, with faults for the first `stormy` steps. An error is a violation; so is no end.
    pub fn run(&mut self, stormy: usize) -> Result<usize, Violation> {
        for step in 0..stormy + 40_000 {
            let fault = step < stormy && self.random.chance(self.setup.faults);
            if fault {
                self.fault();
            } else {
                self.step();
            }
            self.check()?;
            if self.run_state.is_terminal() && self.live.is_empty() && self.commands.values().all(|c| *c != Command::Running) {
                return self.check_end().map(|()| step);
            }
        }
        Err(Violation { invariant: "I1", what: format!("no end: {:?}", self.rows) })
    }

    fn step(&mut self) {
        self.now += TimeDelta::seconds(1);
        match self.random.below(8) {
            6 => self.begin_a_look(),
            7 => self.end_a_look(),
            0 | 1 => {
                let which = self.random.below(self.schedulers.len());
                // A wake, or the sweeper: the model has no wakes, so without a sweep only a fresh scheduler ever looks.
                if self.setup.mutant != Mutant::NoSweep || self.schedulers[which].view.is_none() {
                    self.schedule(which);
                }
            }
            2..=4 => {
                let which = self.random.below(self.workers.len());
                self.work(which);
            }
            _ => self.end_a_command(),
        }
    }

    fn fault(&mut self) {
        match self.random.below(8) {
            0 => {
                // kill -9 of a scheduler, and a new one.
                let which = self.random.below(self.schedulers.len());
                self.schedulers[which].view = None;
            }
            1 => {
                // kill -9 of a worker: its commands go on. A new one takes its place, with a group of its own.
                let which = self.random.below(self.workers.len());
                let group = self.group_owner.len();
                self.group_owner.push(Some(which));
                for owner in self.group_owner.iter_mut().take(group).filter(|o| **o == Some(which)) {
                    *owner = None;
                }
                self.workers[which] = Worker { alive: true, stopped: 0, group, mine: BTreeMap::new() };
            }
            2 => {
                let which = self.random.below(self.workers.len());
                self.workers[which].stopped = self.random.below(200);
            }
            3 => self.hints.clear(),
            4 => {
                let doubled = self.hints.clone();
                self.hints.extend(doubled);
            }
            5 => {
                // Redelivery of something old.
                let old: Vec<(usize, u32)> = self.starts.keys().copied().collect();
                if !old.is_empty() {
                    let pick = self.random.below(old.len());
                    self.hints.push(old[pick]);
                }
            }
            6 => {
                // Two planners on the same view: one of them commits what is stale.
                if self.schedulers.len() > 1 {
                    let view = self.schedulers[0].view.clone();
                    self.schedulers[1].view = view;
                }
            }
            _ => {
                // Adoption of a worker that is only slow.
                let victim = self.random.below(self.workers.len());
                for owner in self.group_owner.iter_mut().filter(|o| **o == Some(victim)) {
                    *owner = None;
                }
            }
        }
    }

    fn schedule(&mut self, which: usize) {
        // Load: fold the events that came since, or everything.
        let (mut view, seen) = match self.schedulers[which].view.take() {
            Some((mut view, seen)) => {
                for (task, state) in &self.events[seen..] {
                    if let Ok(task) = u32::try_from(*task) {
                        view.apply(task, *state);
                        if *state == TaskState::UpForRetry {
                            view.due(task);
                        }
                    }
                }
                (view, self.events.len())
            }
            None => (self.load(), self.events.len()),
        };
        if self.random.chance(5) {
            // The law of the cache: what was folded is what would be loaded.
            assert!(view == self.load(), "fold(deltas) != load (seed {})", self.setup.seed);
        }
        // Plan on what was loaded; others may commit before this one does.
        let moves = plan(&mut view, self.now);
        if self.setup.schedulers > 1 && self.random.chance(20) {
            let other = (which + 1) % self.schedulers.len();
            if other != which {
                self.schedule(other);
            }
        }
        let base = self.events.len();
        let mut complete = base == seen;
        for step in &moves.steps {
            let task = step.task as usize;
            let guarded = self.rows[task].state == step.from;
            if !guarded && self.setup.mutant != Mutant::UnguardedMoves {
                complete = false;
                continue;
            }
            let to = step.step.target();
            self.rows[task].state = to;
            if to == TaskState::Scheduled {
                self.ready.insert(task);
            }
            if to == TaskState::Deferred {
                self.rows[task].attempt += 1;
            }
            self.events.push((task, to));
        }
        if let Some((state, _)) = moves.end
            && self.run_state == RunState::Running
        {
            self.run_state = state;
        }
        self.planned = self.planned.max(seen);
        self.admit();
        // A view that misses something is thrown away.
        self.schedulers[which].view = complete.then_some((view, base));
    }

    fn load(&self) -> RunView {
        let instances = self.rows.iter().zip(0u32..).map(|(row, task)| InstanceState { task, state: row.state, not_before: None });
        RunView::new(Arc::clone(&self.graph), self.run_state, instances, None, None)
    }

    fn admit(&mut self) {
        let heads: Vec<usize> = self.ready.iter().copied().collect();
        let offered: Vec<AdmitHead> =
            heads.iter().map(|_| AdmitHead { run: updraft_model::RunKey(1), slots: 1, vtime: 0, run_room: None }).collect();
        let used = i64::try_from(self.live.len()).unwrap_or(i64::MAX);
        let free = if self.setup.mutant == Mutant::NoPoolLimit { 1000 } else { i64::from(self.setup.pool) - used };
        for position in admit(&offered, free, 8) {
            let task = heads[position];
            if self.rows[task].state != TaskState::Scheduled {
                continue;
            }
            self.ready.remove(&task);
            let row = &mut self.rows[task];
            row.state = TaskState::Queued;
            row.attempt += 1;
            self.live.insert(task, Live { attempt: row.attempt, group: None });
            self.events.push((task, TaskState::Queued));
            self.hints.push((task, row.attempt));
        }
    }

    fn work(&mut self, which: usize) {
        if self.workers[which].stopped > 0 {
            self.workers[which].stopped -= 1;
            return;
        }
        match self.random.below(4) {
            0 => self.claim(which),
            1 => self.launch(which),
            2 => self.finish(which),
            _ => self.adopt(which),
        }
    }

    fn claim(&mut self, which: usize) {
        let group = self.workers[which].group;
        if self.group_owner[group] != Some(which) {
            // My group was adopted: a new one.
            self.workers[which].group = self.group_owner.len();
            self.group_owner.push(Some(which));
            return;
        }
        let hinted = if self.hints.is_empty() { None } else { Some(self.hints.swap_remove(self.random.below(self.hints.len()))) };
        // Without a hint: a pull.
        let key = hinted.or_else(|| {
            let queued: Vec<_> = self.live.iter().filter(|(_, l)| l.group.is_none()).map(|(t, l)| (*t, l.attempt)).collect();
            if queued.is_empty() { None } else { Some(queued[self.random.below(queued.len())]) }
        });
        let Some((task, attempt)) = key else { return };
        if let Some(live) = self.live.get_mut(&task)
            && live.attempt == attempt
            && (live.group.is_none() || self.setup.mutant == Mutant::ClaimTwice)
        {
            live.group = Some(group);
            self.workers[which].mine.insert((task, attempt), false);
        } else if self.setup.mutant == Mutant::ClaimTwice {
            self.workers[which].mine.insert((task, attempt), false);
        }
    }

    fn launch(&mut self, which: usize) {
        let Some(key) = self.workers[which].mine.iter().find(|(_, launched)| !**launched).map(|(key, _)| *key) else { return };
        self.workers[which].mine.insert(key, true);
        let known = self.commands.contains_key(&key);
        // The runner starts an attempt once: who comes later finds it.
        if !known || matches!(self.setup.mutant, Mutant::RestartOnAdopt | Mutant::ClaimTwice) {
            *self.starts.entry(key).or_default() += 1;
            self.commands.insert(key, Command::Running);
        }
    }

    fn finish(&mut self, which: usize) {
        let ended = self.workers[which].mine.iter().find_map(|(key, launched)| match self.commands.get(key) {
            Some(Command::Ended { exit }) if *launched => Some((*key, *exit)),
            _ => None,
        });
        let Some(((task, attempt), exit)) = ended else { return };
        self.workers[which].mine.remove(&(task, attempt));
        // Guarded by the attempt itself: whoever comes second finds it closed.
        if self.live.get(&task).is_none_or(|live| live.attempt != attempt) {
            return;
        }
        self.live.remove(&task);
        self.settle(task, exit == 0 || self.setup.mutant == Mutant::FalseSuccess);
    }

    /// What an instance becomes at the end of its attempt.
    fn settle(&mut self, task: usize, good: bool) {
        let row = &mut self.rows[task];
        row.state = if good {
            TaskState::Success
        } else if row.failures < self.retries[task] {
            row.failures += 1;
            TaskState::UpForRetry
        } else {
            TaskState::Failed
        };
        self.events.push((task, row.state));
    }

    fn adopt(&mut self, which: usize) {
        let Some(group) = self.group_owner.iter().position(Option::is_none) else { return };
        self.group_owner[group] = Some(which);
        let keys: Vec<(usize, u32)> =
            self.live.iter().filter(|(_, live)| live.group == Some(group)).map(|(task, live)| (*task, live.attempt)).collect();
        for key in keys {
            self.workers[which].mine.entry(key).or_insert(false);
        }
    }

    fn end_a_command(&mut self) {
        let running: Vec<(usize, u32)> = self.commands.iter().filter(|(_, c)| **c == Command::Running).map(|(key, _)| *key).collect();
        if running.is_empty() {
            return;
        }
        let key = running[self.random.below(running.len())];
        // A task that fails does so at its first attempt; half of them recover.
        let exit = if self.exits[key.0] != 0 && (key.1 == 1 || self.random.chance(50)) { 1 } else { 0 };
        self.commands.insert(key, Command::Ended { exit });
    }

    /// A scheduler takes what is due; of another one that has it already the lease may be over.
    fn begin_a_look(&mut self) {
        let deferred: Vec<(usize, u32)> = self
            .rows
            .iter()
            .enumerate()
            .filter(|(_, row)| row.state == TaskState::Deferred)
            .map(|(task, row)| (task, row.attempt))
            .collect();
        if !deferred.is_empty() {
            let pick = self.random.below(deferred.len());
            self.looks.push(deferred[pick]);
        }
    }

    /// What it came to is written, or its scheduler has died.
    fn end_a_look(&mut self) {
        if self.looks.is_empty() {
            return;
        }
        let (task, attempt) = self.looks.swap_remove(self.random.below(self.looks.len()));
        // It waits on, or nobody writes.
        if self.random.chance(30) {
            return;
        }
        let good = self.random.chance(60);
        let row = &self.rows[task];
        if (row.state != TaskState::Deferred || row.attempt != attempt) && self.setup.mutant != Mutant::UnguardedLook {
            return;
        }
        self.settle(task, good);
    }

    fn is_waited_for(&self, task: usize) -> bool {
        self.graph.spec().tasks[task].waits().is_some()
    }

    fn check(&mut self) -> Result<(), Violation> {
        let fail = |invariant, what: String| Err(Violation { invariant, what });
        if let Some((key, n)) = self.starts.iter().find(|(_, n)| **n > 1) {
            return fail("I2", format!("attempt {key:?} was started {n} times"));
        }
        let mut running: BTreeMap<usize, u32> = BTreeMap::new();
        for ((task, _), _) in self.commands.iter().filter(|(_, c)| **c == Command::Running) {
            *running.entry(*task).or_default() += 1;
        }
        if let Some((task, n)) = running.iter().find(|(_, n)| **n > 1) {
            return fail("I3", format!("{n} commands of task {task} run at once"));
        }
        for (task, row) in self.rows.iter().enumerate().filter(|(_, row)| row.state.is_terminal()) {
            let end = *self.ends.entry(task).or_insert(row.state);
            if end != row.state {
                return fail("I4", format!("task {task} ended as {end} and is {}", row.state));
            }
        }
        if let Some((task, _)) = self.ends.iter().find(|(task, _)| !self.rows[**task].state.is_terminal()) {
            return fail("I4", format!("task {task} was over and is {}", self.rows[*task].state));
        }
        for (task, row) in self.rows.iter().enumerate().filter(|(task, _)| !self.is_waited_for(*task)) {
            if row.state == TaskState::Success && self.commands.get(&(task, row.attempt)) != Some(&Command::Ended { exit: 0 }) {
                return fail("I4", format!("task {task} is success, its command is {:?}", self.commands.get(&(task, row.attempt))));
            }
        }
        for (task, attempt) in self.starts.keys() {
            // Teardowns wait for the end of what is before them; the other tasks of the simulation all have the rule all_success.
            let ups = self.graph.upstream(u32::try_from(*task).unwrap_or(0));
            let is_teardown = self.graph.spec().tasks[*task].is_teardown;
            let met = |state: TaskState| if is_teardown { state.is_terminal() } else { state == TaskState::Success };
            if let Some(up) = ups.iter().find(|up| !met(self.rows[**up as usize].state)) {
                return fail(
                    "I6",
                    format!("attempt {attempt} of task {task} started while its upstream {up} is {}", self.rows[*up as usize].state),
                );
            }
        }
        if i32::try_from(self.live.len()).unwrap_or(i32::MAX) > self.setup.pool {
            return fail("I9", format!("{} live in a pool of {}", self.live.len(), self.setup.pool));
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), Violation> {
        if let Some((task, row)) = self.rows.iter().enumerate().find(|(_, row)| !row.state.is_terminal()) {
            return Err(Violation { invariant: "I1", what: format!("the run is over and task {task} is {}", row.state) });
        }
        for (task, row) in self.rows.iter().enumerate() {
            let spent = match self.starts.keys().filter(|(t, _)| *t == task).count() {
                _ if self.is_waited_for(task) => row.attempt,
                starts => u32::try_from(starts).unwrap_or(u32::MAX),
            };
            if spent > self.retries[task] + 1 {
                return Err(Violation {
                    invariant: "I5",
                    what: format!("task {task} made {spent} attempts with {} retries", self.retries[task]),
                });
            }
            if row.state == TaskState::Failed && spent < self.retries[task] + 1 {
                return Err(Violation {
                    invariant: "I5",
                    what: format!("task {task} failed after {spent} attempts with {} retries", self.retries[task]),
                });
            }
        }
        Ok(())
    }
}
