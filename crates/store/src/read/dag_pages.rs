//! What the pages of one DAG gather from many of its runs: a calendar, and how its tasks have fared.

use chrono::{DateTime, NaiveDateTime, Utc};
use sqlx::FromRow;

use crate::{Error, Store};

/// How finely a calendar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum By {
    Day,
    Hour,
}

/// How many runs of a stretch of a calendar are in a state.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct CalendarRow {
    /// When the stretch begins, as the clocks of the zone show it.
    pub begins: NaiveDateTime,
    /// `queued`, `running`, `success`, `failed`.
    pub state: String,
    /// How many.
    pub count: i64,
}

/// How a task fared in one run.
#[derive(Debug, Clone, FromRow)]
pub struct TaskInRun {
    /// The key of the run.
    pub run: i64,
    /// The run's version.
    pub version_id: i64,
    /// The task's position in it.
    pub idx: i32,
    /// The states of its instances, the live attempts' word included.
    pub states: Vec<String>,
    /// How many instances it has.
    pub instances: i64,
    /// When the last of them started.
    pub started_at: Option<DateTime<Utc>>,
    /// How long the longest took that ran to an end, in seconds.
    pub seconds: Option<f64>,
}

impl Store {
    /// The key of a version of a DAG.
    pub async fn version_find(&self, dag_id: &str, number: i32) -> Result<Option<i64>, Error> {
        sqlx::query_scalar("select id from dag_version where dag_id = $1 and number = $2")
            .bind(dag_id)
            .bind(number)
            .fetch_optional(&self.pool)
            .await
            .map_err(Error::of("version_find"))
    }

    /// How many runs of a DAG that were due in `from..to` are in which state, by days or hours of a zone that Postgres knows.
    pub async fn run_calendar(
        &self,
        dag_id: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        zone: &str,
        by: By,
    ) -> Result<Vec<CalendarRow>, Error> {
        let unit = match by {
            By::Day => "day",
            By::Hour => "hour",
        };
        sqlx::query_as(
            "select date_trunc($5, run_after at time zone $4) as begins, state, count(*) as count from run \
             where dag_id = $1 and run_after >= $2 and run_after < $3 group by 1, 2 order by 1, 2",
        )
        .bind(dag_id)
        .bind(from)
        .bind(to)
        .bind(zone)
        .bind(unit)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("run_calendar"))
    }

    /// When the first run of a DAG was due.
    pub async fn run_first_due(&self, dag_id: &str) -> Result<Option<DateTime<Utc>>, Error> {
        sqlx::query_scalar("select min(run_after) from run where dag_id = $1")
            .bind(dag_id)
            .fetch_one(&self.pool)
            .await
            .map_err(Error::of("run_first_due"))
    }

    /// How the tasks of a DAG fared in its latest runs, newest run first.
    pub async fn task_fares(&self, dag_id: &str, runs: i64) -> Result<Vec<TaskInRun>, Error> {
        sqlx::query_as(
            "with shown as materialized (select id, version_id, run_after from run where dag_id = $1 order by run_after desc, id desc limit $2) \
             select s.id as run, s.version_id, f.idx, f.states, f.instances, f.started_at, f.seconds from shown s \
             join lateral (select t.idx, \
                                  array_agg(distinct case when t.state = 'queued' and l.state = 'running' then 'running' else t.state end) as states, \
                                  count(*) as instances, max(t.started_at) as started_at, \
                                  (max(extract(epoch from t.ended_at - t.started_at)) filter (where t.state in ('success', 'failed')))::float8 as seconds \
                           from task_instance t \
                           left join live_attempt l on l.run_id = t.run_id and l.idx = t.idx and l.map_index = t.map_index \
                           where t.run_id = s.id group by t.idx) f on true \
             order by s.run_after desc, s.id desc, f.idx",
        )
        .bind(dag_id)
        .bind(runs)
        .fetch_all(&self.pool)
        .await
        .map_err(Error::of("task_fares"))
    }
}
