//! Task instances and their attempts.
//!
//! The row of an instance stays `queued` while its attempt runs, so that a claim touches one small table: `live_attempt` tells the two
//! apart, here.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, Postgres, QueryBuilder};
use updraft_model::RunKey;
use uuid::Uuid;

use super::keyset::Keyset;
use super::{Column, Filter, KeyedPage, Kind, ListQuery, Page, Test, column};
use crate::{Error, Store};

/// States that a run which is over counts its instances by (see 0013).
const TALLIED: [(&str, &str); 4] = [
    ("success", "r.tally_success"),
    ("failed", "r.tally_failed"),
    ("upstream_failed", "r.tally_upstream_failed"),
    ("skipped", "r.tally_skipped"),
];

const STATE: &str = "(case when t.state = 'queued' and l.state = 'running' then 'running' else t.state end)";

/// Pool and queue of the newest attempt.
pub const POOL: &str = "coalesce(l.pool, a.pool, y.pool)";
/// See [`POOL`].
pub const QUEUE: &str = "coalesce(l.queue, a.queue)";

/// What a list of instances can be filtered and ordered by. Task ids live in the DAG version: see [`InstanceScope`].
pub const INSTANCE_COLUMNS: &[Column] = &[
    column("id", "t.run_id", Kind::Number).sure(),
    column("dag_id", "r.dag_id", Kind::Text).sure(),
    column("run_id", "r.run_id", Kind::Text).sure(),
    column("dag_run_id", "r.run_id", Kind::Text).sure(),
    column("state", STATE, Kind::Text).sure(),
    column("map_index", "t.map_index", Kind::Number).sure(),
    column("logical_date", "r.logical_date", Kind::Time),
    column("run_after", "r.run_after", Kind::Time).sure(),
    column("start_date", "coalesce(t.started_at, l.started_at)", Kind::Time),
    column("end_date", "t.ended_at", Kind::Time),
    column("queued_at", "coalesce(l.queued_at, a.queued_at)", Kind::Time),
    column("queued_when", "coalesce(l.queued_at, a.queued_at)", Kind::Time),
    column("updated_at", "coalesce(t.ended_at, l.started_at, l.queued_at)", Kind::Time),
    // As it is shown: none while it runs. A duration that grows would carry its row past a cursor.
    column("duration", "date_part('epoch', t.ended_at - coalesce(t.started_at, l.started_at))", Kind::Real),
    // A task without work ends without an attempt, and counts as tried.
    column(
        "try_number",
        "(t.attempt - r.attempt_base + case when t.attempt = r.attempt_base and t.state = 'success' and t.reason is null then 1 else 0 end)",
        Kind::Number,
    )
    .sure(),
    // What they are before there is an attempt is in the version: InstanceScope::fallbacks filters.
    column("pool", POOL, Kind::Text).order_only(),
    column("queue", QUEUE, Kind::Text).order_only(),
    column("hostname", "coalesce(l.host, a.host)", Kind::Text),
    column("version_number", "v.number", Kind::Number),
    column("data_interval_start", "r.data_interval_start", Kind::Time),
    column("data_interval_end", "r.data_interval_end", Kind::Time),
    column("operator", "w.word", Kind::Text).order_only(),
    // No instance has either.
    column("executor", "null::text", Kind::Text),
    column("rendered_map_index", "null::text", Kind::Text),
];

/// What makes every order of instances total, and orders them when nobody says how: by run, and in the order of the file.
pub const INSTANCE_KEY: &[Column] = &[
    column("run_id", "t.run_id", Kind::Number).sure(),
    column("idx", "t.idx", Kind::Number).sure(),
    column("map_index", "t.map_index", Kind::Number).sure(),
];

/// An instance with its run and its newest attempt.
#[derive(Debug, Clone, FromRow)]
pub struct InstanceRow {
    /// The run's key.
    pub run_key: i64,
    /// The DAG.
    pub dag_id: String,
    /// The run's name.
    pub run_id: String,
    /// The run's version.
    pub version_id: i64,
    /// As the API names it.
    pub version_uuid: Uuid,
    /// 1 for the first.
    pub version_number: i32,
    /// The commit.
    pub git_commit: Option<String>,
    /// When the version was first seen.
    pub version_created_at: DateTime<Utc>,
    /// Where the file comes from.
    pub bundle: Option<String>,
    /// The run's logical date.
    pub logical_date: Option<DateTime<Utc>>,
    /// The run's time.
    pub run_after: DateTime<Utc>,
    /// Attempts of an earlier run of this name.
    pub attempt_base: i32,
    /// Position of the task in the version.
    pub idx: i32,
    /// -1 when it is not mapped.
    pub map_index: i32,
    /// The state, `running` included.
    pub state: String,
    /// The newest attempt.
    pub attempt: i32,
    /// Failures of the user's code since the last clear.
    pub user_failures: i32,
    /// Failures of the infrastructure since the last clear.
    pub infra_failures: i32,
    /// What a person asked for while an attempt is live.
    pub intent: Option<String>,
    /// Who.
    pub intent_by: Option<String>,
    /// When it is tried again.
    pub not_before: Option<DateTime<Utc>>,
    /// When its newest attempt started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it is in its state, in a word.
    pub reason: Option<String>,
    /// In a sentence.
    pub message: Option<String>,
    /// By a person.
    pub note: Option<String>,
    /// Where the newest attempt ran.
    pub host: Option<String>,
    /// Its queue.
    pub queue: Option<String>,
    /// Its pool.
    pub pool: Option<String>,
    /// How many slots.
    pub slots: Option<i32>,
    /// Its priority, while it waits or lives.
    pub prio: Option<i32>,
    /// When it was queued.
    pub queued_at: Option<DateTime<Utc>>,
    /// Since when it is ready for a slot.
    pub ready_since: Option<DateTime<Utc>>,
}

/// An instance came into a state.
#[derive(Debug, Clone, FromRow)]
pub struct MoveRow {
    /// The attempt that it was at.
    pub attempt: i32,
    /// Into which.
    pub state: String,
    /// Why, in a word, or what somebody asked for.
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// An instance as a bar in the picture of its run.
#[derive(Debug, Clone, FromRow)]
pub struct BarRow {
    /// Position of the task in the version.
    pub idx: i32,
    /// -1 when it is not mapped.
    pub map_index: i32,
    /// The state, `running` included.
    pub state: String,
    /// The newest attempt.
    pub attempt: i32,
    /// When that started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// In a word.
    pub reason: Option<String>,
    /// In a sentence.
    pub message: Option<String>,
    /// Whether a person wrote a note.
    pub has_note: bool,
    /// What a person asked for while an attempt is live.
    pub intent: Option<String>,
}

/// One attempt, live or over.
#[derive(Debug, Clone, FromRow)]
pub struct AttemptRow {
    /// Its number.
    pub attempt: i32,
    /// `queued`, `running`, or how it ended.
    pub state: String,
    /// Who paid for its failure.
    pub budget: Option<String>,
    /// In a word.
    pub reason: Option<String>,
    /// In a sentence.
    pub message: Option<String>,
    /// What proves its end; absent while it lives.
    pub evidence: Option<Value>,
    /// Where it ran.
    pub host: Option<String>,
    /// Its queue.
    pub queue: String,
    /// Its pool.
    pub pool: String,
    /// How many slots.
    pub slots: i32,
    /// When it was queued.
    pub queued_at: Option<DateTime<Utc>>,
    /// When it started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// JSON of `model::LaunchSpec`.
    pub launch: Option<String>,
}

/// Which instances a list is about.
#[derive(Debug, Clone, Default)]
pub struct InstanceScope {
    /// One run.
    pub run: Option<RunKey>,
    /// Runs of one DAG.
    pub dag_id: Option<String>,
    /// Only these tasks: pairs of a version's key and a position in it.
    pub tasks: Option<Vec<(i64, i32)>>,
    /// Filters on what a version says until an attempt says more.
    pub fallbacks: Vec<Fallback>,
    /// A word for each task, from the versions, for an order that needs it: version, position, word.
    pub words: Option<Vec<(i64, i32, String)>>,
}

/// A filter on an expression of the attempt, and the tasks that pass it while there is no attempt.
#[derive(Debug, Clone)]
pub struct Fallback {
    /// [`POOL`] or [`QUEUE`].
    pub of: &'static str,
    /// What must be true of it.
    pub test: Test,
    /// The tasks of which it is true by their versions.
    pub tasks: Vec<(i64, i32)>,
}

const SELECT: &str = "select t.run_id as run_key, r.dag_id, r.run_id, r.version_id, v.uuid as version_uuid, v.number as version_number, v.git_commit, \
    v.created_at as version_created_at, d.bundle, r.logical_date, r.run_after, r.attempt_base, t.idx, t.map_index, \
    case when t.state = 'queued' and l.state = 'running' then 'running' else t.state end as state, \
    t.attempt, t.user_failures, t.infra_failures, t.intent, t.intent_by, t.not_before, coalesce(t.started_at, l.started_at) as started_at, t.ended_at, \
    t.reason, coalesce(t.message, l.detail) as message, t.note, coalesce(l.host, a.host) as host, coalesce(l.queue, a.queue) as queue, coalesce(l.pool, a.pool, y.pool) as pool, \
    coalesce(l.slots, a.slots, y.slots) as slots, coalesce(l.prio, y.prio) as prio, coalesce(l.queued_at, a.queued_at) as queued_at, y.since as ready_since";
const RUN: &str = " join run r on r.id = t.run_id";
// Every run has a version. The joins are outer ones all the same: Postgres leaves out those of which nothing is asked, and a count mostly asks
// nothing, not of the run either. A page keeps the run's join an inner one, so that its plan can begin at the runs.
const JOINS: &str = " left join dag_version v on v.id = r.version_id \
    left join dag d on d.dag_id = r.dag_id \
    left join live_attempt l on l.run_id = t.run_id and l.idx = t.idx and l.map_index = t.map_index \
    left join attempt a on a.run_id = t.run_id and a.idx = t.idx and a.map_index = t.map_index and a.attempt = t.attempt \
    left join ready y on y.run_id = t.run_id and y.idx = t.idx and y.map_index = t.map_index";

impl InstanceScope {
    /// Pushes the join that the words need. `task` is the table with the position.
    pub(super) fn push_words(&self, sql: &mut QueryBuilder<Postgres>, task: &str) {
        if let Some(words) = &self.words {
            let versions: Vec<i64> = words.iter().map(|(version, _, _)| *version).collect();
            let positions: Vec<i32> = words.iter().map(|(_, idx, _)| *idx).collect();
            let words: Vec<String> = words.iter().map(|(_, _, word)| word.clone()).collect();
            sql.push(" left join unnest(").push_bind(versions).push("::bigint[], ").push_bind(positions).push("::int[], ");
            sql.push_bind(words)
                .push("::text[]) as w (version_id, idx, word) on w.version_id = r.version_id and w.idx = ")
                .push(task)
                .push(".idx");
        }
    }

    fn push(&self, sql: &mut QueryBuilder<Postgres>) {
        if let Some(run) = self.run {
            sql.push(" and t.run_id = ").push_bind(run.0);
        }
        self.push_dag(sql);
        if let Some(tasks) = &self.tasks {
            sql.push(" and ");
            push_tasks(sql, tasks);
        }
        for Fallback { of, test, tasks } in &self.fallbacks {
            sql.push(" and (");
            test.push(of, sql);
            sql.push(" or (").push(*of).push(" is null and ");
            push_tasks(sql, tasks);
            sql.push("))");
        }
    }

    fn push_dag(&self, sql: &mut QueryBuilder<Postgres>) {
        if let Some(dag_id) = &self.dag_id {
            sql.push(" and r.dag_id = ").push_bind(dag_id.clone());
        }
    }

    /// Whether runs alone say which instances these are, but for these filters.
    fn whole_runs(&self, query: &ListQuery, but: impl Fn(&Filter) -> bool) -> bool {
        let of_run = |filter: &Filter| filter.column.sql.starts_with("r.") || but(filter);
        self.tasks.is_none() && self.fallbacks.is_empty() && query.filters.iter().all(of_run)
    }

    /// Pushes a count by what runs know: how many instances they have, and of those that are over how many ended in which state. `false`: they
    /// do not know what is asked for.
    fn push_known(&self, sql: &mut QueryBuilder<Postgres>, query: &ListQuery) -> bool {
        let of_run = |sql: &mut QueryBuilder<Postgres>| {
            if let Some(run) = self.run {
                sql.push(" and r.id = ").push_bind(run.0);
            }
            self.push_dag(sql);
            for filter in query.filters.iter().filter(|filter| !is_state(filter)) {
                sql.push(" and ");
                filter.test.push(filter.column.sql, sql);
            }
        };
        let states: Vec<&Filter> = query.filters.iter().filter(|filter| is_state(filter)).collect();
        match states.as_slice() {
            [] if self.whole_runs(query, |_| false) => {
                sql.push("select coalesce(sum(r.task_count - r.instances_gone), 0)::int8 from run r where true");
                of_run(sql);
                true
            }
            [Filter { test: Test::AnyOf(words), .. }]
                if self.whole_runs(query, is_state) && words.iter().all(|word| TALLIED.iter().any(|(known, _)| known == word)) =>
            {
                sql.push("select (select coalesce(sum(0");
                for (_, column) in TALLIED.iter().filter(|(known, _)| words.iter().any(|word| word == known)) {
                    sql.push(" + ").push(*column);
                }
                sql.push("), 0)::int8 from run r where r.tally_failed is not null");
                of_run(sql);
                // A state in which an instance ends is told by its row alone.
                sql.push(") + (select count(*) from run r join task_instance t on t.run_id = r.id where r.tally_failed is null and t.state = any (");
                sql.push_bind(words.clone()).push(")");
                of_run(sql);
                sql.push(")");
                true
            }
            _ => false,
        }
    }
}

fn is_state(filter: &Filter) -> bool {
    filter.column.sql == STATE
}

fn push_tasks(sql: &mut QueryBuilder<Postgres>, tasks: &[(i64, i32)]) {
    let (versions, positions): (Vec<i64>, Vec<i32>) = tasks.iter().copied().unzip();
    sql.push("(r.version_id, t.idx) in (select * from unnest(")
        .push_bind(versions)
        .push("::bigint[], ")
        .push_bind(positions)
        .push("::int[]))");
}

/// What waits or runs is in small tables: a filter by such states alone starts there.
fn push_small(sql: &mut QueryBuilder<Postgres>, filters: &[Filter]) {
    const KEYS: &str = "select run_id, idx, map_index from ";
    for filter in filters {
        let Test::AnyOf(states) = &filter.test else { continue };
        if filter.column.name != "state" || !states.iter().all(|s| matches!(s.as_str(), "scheduled" | "queued" | "running" | "deferred")) {
            continue;
        }
        sql.push(" and (t.run_id, t.idx, t.map_index) in (").push(KEYS).push("live_attempt");
        if states.iter().any(|s| s == "scheduled") {
            sql.push(" union all ").push(KEYS).push("ready");
        }
        if states.iter().any(|s| s == "deferred") {
            sql.push(" union all ").push(KEYS).push("deferred");
        }
        sql.push(")");
    }
}

/// What failed is in few runs, and they know it: a filter by such states alone passes over the others.
fn push_rare(sql: &mut QueryBuilder<Postgres>, filters: &[Filter]) {
    for filter in filters.iter().filter(|filter| is_state(filter)) {
        let Test::AnyOf(states) = &filter.test else { continue };
        let columns: Option<Vec<&str>> = states
            .iter()
            .map(|state| TALLIED.iter().find(|(known, _)| known == state && state != "success").map(|(_, column)| *column))
            .collect();
        let Some(columns) = columns else { continue };
        sql.push(" and (r.tally_failed is null");
        for column in columns {
            sql.push(" or ").push(column).push(" > 0");
        }
        sql.push(")");
    }
}

impl Store {
    /// Instances, in the order of runs and of the file unless the query orders them.
    pub async fn instance_list(&self, scope: &InstanceScope, query: &ListQuery) -> Result<Page<InstanceRow>, Error> {
        let KeyedPage { rows, total, .. } = self.instance_page(scope, query).await?;
        Ok(Page { rows, total })
    }

    /// The same, by cursor if the query says so.
    pub async fn instance_page(&self, scope: &InstanceScope, query: &ListQuery) -> Result<KeyedPage<InstanceRow>, Error> {
        let keyset = Keyset::of(query, INSTANCE_KEY);
        let from = |sql: &mut QueryBuilder<Postgres>, outer: &str| {
            sql.push(" from task_instance t").push(outer).push(RUN).push(JOINS);
            scope.push_words(sql, "t");
            sql.push(" where true");
            scope.push(sql);
            query.push_filters(sql);
            push_small(sql, &query.filters);
            push_rare(sql, &query.filters);
        };
        // The page is cut among narrow rows, before what is shown of each is fetched: each of the many pages of a large run would cost as
        // much as all of them.
        let mut sql = QueryBuilder::new(SELECT);
        sql.push(", k.sort_key from (select t.run_id, t.idx, t.map_index");
        keyset.push_key(&mut sql);
        from(&mut sql, "");
        keyset.push_place(&mut sql);
        keyset.push_order(&mut sql);
        keyset.push_limit(&mut sql);
        sql.push(") k join task_instance t on t.run_id = k.run_id and t.idx = k.idx and t.map_index = k.map_index").push(RUN).push(JOINS);
        scope.push_words(&mut sql, "t");
        keyset.push_order(&mut sql);
        let mut count = QueryBuilder::new("");
        if !scope.push_known(&mut count, query) {
            keyset.push_count(&mut count, |sql| from(sql, " left"));
        }
        // Where both read all of the table, the caller waits for one of them.
        let (page, total) = tokio::try_join!(keyset.fetch(&self.pool, &mut sql), count.build_query_scalar().fetch_one(&self.pool))
            .map_err(Error::of("instance_list"))?;
        let total = keyset.counted(total);
        Ok(KeyedPage { total, ..page })
    }

    /// One instance.
    pub async fn instance_get(&self, run: RunKey, idx: i32, map_index: i32) -> Result<Option<InstanceRow>, Error> {
        Ok(self.instances_get(&[(run, idx, map_index)]).await?.pop())
    }

    /// These instances, in this order; those that are missing are left out.
    pub async fn instances_get(&self, keys: &[(RunKey, i32, i32)]) -> Result<Vec<InstanceRow>, Error> {
        let runs: Vec<i64> = keys.iter().map(|key| key.0.0).collect();
        let idx: Vec<i32> = keys.iter().map(|key| key.1).collect();
        let map: Vec<i32> = keys.iter().map(|key| key.2).collect();
        let mut sql = QueryBuilder::new(SELECT);
        sql.push(" from unnest(").push_bind(runs).push("::bigint[], ").push_bind(idx).push("::int[], ").push_bind(map);
        sql.push("::int[]) with ordinality as k (run_id, idx, map_index, nth)")
            .push(" join task_instance t on t.run_id = k.run_id and t.idx = k.idx and t.map_index = k.map_index")
            .push(RUN)
            .push(JOINS)
            .push(" order by k.nth");
        sql.build_query_as().fetch_all(&self.pool).await.map_err(Error::of("instances_get"))
    }

    /// Position, map index and state of every instance of a run: what clear and mark choose from.
    pub async fn instance_states(&self, run: RunKey) -> Result<Vec<(i32, i32, String)>, Error> {
        sqlx::query_as(
            "select t.idx, t.map_index, case when t.state = 'queued' and l.state = 'running' then 'running' else t.state end \
             from task_instance t left join live_attempt l on l.run_id = t.run_id and l.idx = t.idx and l.map_index = t.map_index \
             where t.run_id = $1 order by t.idx, t.map_index",
        )
        .bind(run.0)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("instance_states"))
    }

    /// What the attempts of these keys (run, position, map index, attempt) were started with: JSON of `model::LaunchSpec`.
    pub async fn launches_of(&self, keys: &[(i64, i32, i32, i32)]) -> Result<Vec<(i64, i32, i32, String)>, Error> {
        let runs: Vec<i64> = keys.iter().map(|k| k.0).collect();
        let idx: Vec<i32> = keys.iter().map(|k| k.1).collect();
        let map: Vec<i32> = keys.iter().map(|k| k.2).collect();
        let attempts: Vec<i32> = keys.iter().map(|k| k.3).collect();
        sqlx::query_as(
            "select k.run_id, k.idx, k.map_index, coalesce(l.launch, a.launch) \
             from unnest($1::bigint[], $2::int[], $3::int[], $4::int[]) as k (run_id, idx, map_index, attempt) \
             left join live_attempt l on l.run_id = k.run_id and l.idx = k.idx and l.map_index = k.map_index and l.attempt = k.attempt \
             left join attempt a on a.run_id = k.run_id and a.idx = k.idx and a.map_index = k.map_index and a.attempt = k.attempt \
             where coalesce(l.launch, a.launch) is not null",
        )
        .bind(runs)
        .bind(idx)
        .bind(map)
        .bind(attempts)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("launches_of"))
    }

    /// All instances of a run with what a bar of each needs, and nothing else: 10,000 of them are one answer.
    pub async fn run_bars(&self, run: RunKey) -> Result<Vec<BarRow>, Error> {
        sqlx::query_as(
            "select t.idx, t.map_index, case when t.state = 'queued' and l.state = 'running' then 'running' else t.state end as state, t.attempt, \
             coalesce(t.started_at, l.started_at) as started_at, t.ended_at, t.reason, coalesce(t.message, l.detail) as message, \
             t.note is not null as has_note, t.intent \
             from task_instance t left join live_attempt l on l.run_id = t.run_id and l.idx = t.idx and l.map_index = t.map_index \
             where t.run_id = $1 order by t.idx, t.map_index",
        )
        .bind(run.0)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("run_bars"))
    }

    /// The states that an instance came into, in order, for as long as its run is kept.
    pub async fn instance_moves(&self, run: RunKey, idx: i32, map_index: i32) -> Result<Vec<MoveRow>, Error> {
        sqlx::query_as(
            "select attempt, state, reason, at from event \
             where run_id = $1 and idx = $2 and map_index = $3 and state is not null order by seq",
        )
        .bind(run.0)
        .bind(idx)
        .bind(map_index)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("instance_moves"))
    }

    /// Attempts of an instance, oldest first, the live one last.
    pub async fn attempt_list(&self, run: RunKey, idx: i32, map_index: i32) -> Result<Vec<AttemptRow>, Error> {
        sqlx::query_as(
            "select attempt, state, budget, reason, message, evidence, host, queue, pool, slots, queued_at, started_at, ended_at, launch \
             from attempt where run_id = $1 and idx = $2 and map_index = $3 \
             union all \
             select attempt, state, null, null, null, null, host, queue, pool, slots, queued_at, started_at, null, launch \
             from live_attempt where run_id = $1 and idx = $2 and map_index = $3 \
             union all \
             select attempt, 'deferred', null, null, null, null, null, queue, pool, slots, null, since, null, null \
             from deferred where run_id = $1 and idx = $2 and map_index = $3 order by attempt",
        )
        .bind(run.0)
        .bind(idx)
        .bind(map_index)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("attempt_list"))
    }
}
