//! What the tests of the store share: a database with a DAG and runs, and short words for the steps of an attempt's life.

use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use updraft_model::{AttemptKey, DagSpec, EndFacts, Evidence, InstanceKey, LaunchSpec, RunKey};
use updraft_store::{
    Admission, Candidate, Claimed, Commit, Committed, DagUpsert, FinishOutcome, GroupRow, Head, MoveRow, NewRun, RunningAttempt, Store,
};
use uuid::Uuid;

/// A store on the database of one test.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) db: PgPool,
}

/// More connections than the five that a test is given. Close it before the test ends.
pub(crate) fn wide(db: &PgPool, connections: u32) -> PgPool {
    PgPoolOptions::new().max_connections(connections).connect_lazy_with((*db.connect_options()).clone())
}

/// A moment, in seconds since 2026-01-01 00:00 UTC.
pub(crate) fn moment(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
}

pub(crate) fn spec_of(dag_id: &str, tasks: usize, upstream: impl Fn(usize) -> Vec<usize>) -> DagSpec {
    let tasks: Vec<Value> = (0..tasks)
        .map(|i| {
            let ups: Vec<String> = upstream(i).into_iter().map(|u| format!("t{u}")).collect();
            json!({"task_id": format!("t{i}"), "run": {"kind": "bash", "bash_command": "true"}, "upstream": ups})
        })
        .collect();
    serde_json::from_value(json!({"dag_id": dag_id, "schedule": {"kind": "none"}, "tasks": tasks})).unwrap()
}

pub(crate) fn exit(code: i32) -> Evidence {
    Evidence {
        runner: "process".to_owned(),
        handle: Some("h".to_owned()),
        host: Some("here".to_owned()),
        facts: EndFacts { started_at: Some(moment(10)), ended_at: Some(moment(20)), exit_code: Some(code), ..EndFacts::default() },
    }
}

pub(crate) fn lost() -> Evidence {
    Evidence { runner: "process".to_owned(), ..Evidence::default() }
}

pub(crate) fn key(run: RunKey, idx: i32, attempt: i32) -> AttemptKey {
    AttemptKey { instance: InstanceKey { run, idx, map_index: -1 }, attempt }
}

pub(crate) fn step(run: RunKey, idx: i32, from: &'static str, to: &'static str) -> MoveRow {
    MoveRow {
        run,
        idx,
        map_index: -1,
        from,
        to,
        reason: None,
        message: None,
        queue: "default".to_owned(),
        pool: "default_pool".to_owned(),
        prio: 1,
        slots: 1,
    }
}

/// A candidate with one retry of each kind, without delay and without limits.
pub(crate) fn candidate(head: &Head) -> Candidate {
    candidate_of(key(head.run, head.idx, head.attempt + 1))
}

pub(crate) fn candidate_of(key: AttemptKey) -> Candidate {
    Candidate {
        key,
        queue: "default".to_owned(),
        launch: serde_json::to_string(&LaunchSpec { skip_on_exit_code: vec![99], ..LaunchSpec::default() }).unwrap(),
        user_retries_left: 1,
        user_retry_delay_ms: 0,
        infra_retries_left: 1,
        infra_retry_delay_ms: 0,
        run_limit: None,
        dag_id: "d".to_owned(),
        dag_limit: None,
        task_limit: None,
    }
}

impl Fixture {
    pub(crate) fn new(db: &PgPool) -> Self {
        Self { store: Store::from_pool(db.clone()), db: db.clone() }
    }

    pub(crate) async fn dag(&self, dag_id: &str, tasks: usize, max_active_runs: i32) -> i64 {
        self.dag_of(&spec_of(dag_id, tasks, |_| Vec::new()), max_active_runs).await
    }

    pub(crate) async fn dag_of(&self, spec: &DagSpec, max_active_runs: i32) -> i64 {
        let json = serde_json::to_string(spec).unwrap();
        let mut hasher = DefaultHasher::new();
        json.hash(&mut hasher);
        let upserted = self
            .store
            .dag_upsert(&DagUpsert {
                spec,
                json: &json,
                hash: &hasher.finish().to_string(),
                source: "",
                bundle: "b",
                relative_fileloc: "d.py",
                fileloc: "/d.py",
                git_commit: None,
                paused_at_creation: false,
                max_active_runs,
                parse_ms: 1.0,
                timetable_summary: "",
                timetable_description: "",
            })
            .await
            .unwrap();
        upserted.version_id
    }

    pub(crate) fn new_run<'a>(dag_id: &'a str, run_id: &'a str, version_id: i64) -> NewRun<'a> {
        NewRun {
            dag_id,
            run_id,
            run_type: "manual",
            logical_date: None,
            data_interval: None,
            run_after: moment(0),
            conf: json!({}),
            note: None,
            triggered_by: "cli",
            triggering_user: None,
            version_id,
            trace: None,
        }
    }

    /// A DAG `d` of so many tasks with one run of it, started, planned and clean.
    pub(crate) async fn run(&self, tasks: usize) -> RunKey {
        self.runs(1, tasks).await[0]
    }

    /// The same with several runs.
    pub(crate) async fn runs(&self, runs: usize, tasks: usize) -> Vec<RunKey> {
        self.runs_of("d", runs, tasks).await
    }

    pub(crate) async fn runs_of(&self, dag_id: &str, runs: usize, tasks: usize) -> Vec<RunKey> {
        let version = self.dag(dag_id, tasks, 1000).await;
        let mut keys = Vec::new();
        for i in 0..runs {
            keys.push(self.store.run_create(&Self::new_run(dag_id, &format!("r{i}"), version)).await.unwrap().unwrap());
        }
        assert_eq!(self.store.runs_start(dag_id).await.unwrap().len(), runs);
        for run in &keys {
            self.commit(*run, Vec::new()).await;
        }
        keys
    }

    /// Commits moves of a run as a planner that has seen everything.
    pub(crate) async fn commit(&self, run: RunKey, moves: Vec<MoveRow>) -> Committed {
        let (seq, _, epoch) = self.seq(run).await;
        self.store.plan_commit(&Commit { runs: vec![(run, epoch, seq)], moves, ..Commit::default() }).await.unwrap()[0]
    }

    pub(crate) async fn schedule(&self, run: RunKey, tasks: impl IntoIterator<Item = i32>) {
        let moves = tasks.into_iter().map(|idx| step(run, idx, "none", "scheduled")).collect();
        assert!(self.commit(run, moves).await.fresh);
    }

    /// Admits all heads of the default pool, each changed by `with`.
    pub(crate) async fn admit(&self, with: impl Fn(&mut Candidate)) -> Vec<Admission> {
        let heads = self.store.admit_heads("default_pool").await.unwrap().unwrap();
        let mut candidates: Vec<Candidate> = heads.heads.iter().map(candidate).collect();
        candidates.iter_mut().for_each(with);
        self.store.admit_commit("default_pool", &candidates).await.unwrap()
    }

    /// Admits until nothing waits: a single admission sees only the first heads of each run.
    pub(crate) async fn admit_all(&self) -> Vec<Admission> {
        let mut all = Vec::new();
        loop {
            let admitted = self.admit(|_| {}).await;
            if admitted.is_empty() {
                return all;
            }
            all.extend(admitted);
        }
    }

    pub(crate) async fn group(&self) -> GroupRow {
        self.store.group_create(Uuid::new_v4(), "here").await.unwrap()
    }

    pub(crate) async fn claim(&self, group: &GroupRow, keys: &[AttemptKey]) -> Vec<RunningAttempt> {
        match self.store.attempts_claim(keys, group.id, group.owner.unwrap(), group.epoch, "here").await.unwrap() {
            Claimed::Attempts(attempts) => attempts,
            lost => panic!("{lost:?}"),
        }
    }

    /// From `none` to running.
    pub(crate) async fn start(&self, run: RunKey, idx: i32, with: impl Fn(&mut Candidate)) -> RunningAttempt {
        self.schedule(run, [idx]).await;
        let admitted = self.admit(with).await;
        assert_eq!(admitted.len(), 1);
        self.claim(&self.group().await, &[admitted[0].key]).await.pop().unwrap()
    }

    pub(crate) async fn finish(&self, attempt: RunningAttempt, evidence: Evidence) -> FinishOutcome {
        self.store.attempts_finish(&[attempt.finish(evidence)]).await.unwrap().pop().unwrap()
    }

    pub(crate) async fn state(&self, run: RunKey, idx: i32) -> String {
        self.one(&format!("select state from task_instance where run_id = {run} and idx = {idx}")).await
    }

    /// The run's (seq, planned, epoch).
    pub(crate) async fn seq(&self, run: RunKey) -> (i64, i64, i64) {
        sqlx::query_as("select seq, planned, epoch from run_seq where run_id = $1").bind(run.0).fetch_one(&self.db).await.unwrap()
    }

    pub(crate) async fn dirty(&self, run: RunKey) -> bool {
        let (seq, planned, _) = self.seq(run).await;
        seq > planned
    }

    pub(crate) async fn one<T>(&self, sql: &str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(&self.db).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.one(&format!("select count(*) from {sql}")).await
    }

    pub(crate) async fn run_sql(&self, sql: &str) {
        sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&self.db).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    /// What must hold whenever no transaction is open.
    pub(crate) async fn assert_consistent(&self) {
        for (what, sql) in [
            (
                "I3: a live attempt whose instance is not queued with that number",
                "live_attempt l left join task_instance t using (run_id, idx, map_index) where t.state is distinct from 'queued' or t.attempt <> l.attempt",
            ),
            (
                "I1: a queued instance without a live attempt",
                "task_instance t where state = 'queued' and not exists (select 1 from live_attempt l where l.run_id = t.run_id and l.idx = t.idx and l.map_index = t.map_index)",
            ),
            ("an intent without a live attempt", "task_instance where intent is not null and state <> 'queued'"),
            (
                "what waits without a row, or a row that nobody waits in",
                "deferred d full join (select * from task_instance where state = 'deferred') t using (run_id, idx, map_index) where d.attempt is distinct from t.attempt",
            ),
            (
                "ready, but not scheduled",
                "ready r left join task_instance t using (run_id, idx, map_index) where t.state is distinct from 'scheduled'",
            ),
            (
                "scheduled, but not ready",
                "task_instance t where state = 'scheduled' and not exists (select 1 from ready r where r.run_id = t.run_id and r.idx = t.idx and r.map_index = t.map_index)",
            ),
            (
                "ready, but its run is no head",
                "ready r where not exists (select 1 from pool_run h where h.pool = r.pool and h.run_id = r.run_id)",
            ),
            (
                "I7: a head without anything ready",
                "pool_run h where not exists (select 1 from ready r where r.pool = h.pool and r.run_id = h.run_id)",
            ),
            (
                "events with gaps",
                "(select s.run_id from run_seq s left join event e using (run_id) group by s.run_id, s.seq having count(e.seq) <> s.seq or coalesce(max(e.seq), 0) <> s.seq) x",
            ),
            ("planned beyond the last event", "run_seq where planned > seq"),
            ("an attempt that is live and over", "live_attempt join attempt using (run_id, idx, map_index, attempt)"),
            (
                "up_for_retry without a due row",
                "task_instance t where state = 'up_for_retry' and not_before > now() and not exists (select 1 from due d where d.run_id = t.run_id and d.idx = t.idx)",
            ),
            (
                "a running attempt whose group is gone",
                "live_attempt l where state = 'running' and not exists (select 1 from lease_group g where g.id = l.group_id)",
            ),
            (
                "I9: a pool that holds more than its slots",
                "pool p where slots >= 0 and (select coalesce(sum(slots), 0) from live_attempt l where l.pool = p.name) > p.slots",
            ),
        ] {
            assert_eq!(self.count(sql).await, 0, "{what}");
        }
    }
}

/// Numbers that follow from a seed (xorshift64*), so that a failure can be run again.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    pub(crate) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        for i in (1..all.len()).rev() {
            all.swap(i, self.below(i + 1));
        }
    }
}
