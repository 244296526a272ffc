//! Backfills: runs for a stretch of the past. What there is to run follows from the DAG's timetable and from the runs that are there; the
//! store makes all of it at once, and starts it in order under a limit of its own.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use updraft_model::DagSpec;
use updraft_planner::timetable::{Slot, Timetable};
use updraft_store::read::audit::Audit;
use updraft_store::read::backfills::{BACKFILL_COLUMNS, BackfillRow};
use updraft_store::read::dags::DagRow;
use updraft_store::{BackfillChanged, BackfillCreated, NewBackfill, Reprocess, SlotRow};

use crate::ApiState;
use crate::clear::latest::can_go_on;
use crate::error::{Error, problem};
use crate::listing::{self, collection};
use crate::request::{Body, Caller, Fields, Params};
use crate::shapes::{self, Nothing, Time};
use crate::trigger::check_conf;

/// Most slots of one backfill.
const MOST_SLOTS: usize = 10_000;
/// Most task instances of one: they are written in one transaction, during which nothing else of the DAG starts.
const MOST_INSTANCES: usize = 500_000;
/// How many runs of a backfill run at once when nobody says.
const DEFAULT_ACTIVE: i32 = 10;
/// How often a creation looks again when the DAG got another version meanwhile.
const LOOKS: usize = 5;
/// Most runs that the scheduler is told of by name; the others it finds by their marks.
const MOST_TOLD: usize = 500;

pub(crate) const KEYS: &[&str] =
    &["dag_id", "from_date", "to_date", "run_backwards", "dag_run_conf", "reprocess_behavior", "max_active_runs", "run_on_latest_version"];

pub(crate) const REPROCESS: &[&str] = &["failed", "completed", "none"];

/// A backfill as a request has it.
struct Wanted {
    dag_id: String,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    backwards: bool,
    conf: Option<Map<String, Value>>,
    reprocess: Reprocess,
    max_active_runs: i32,
    latest_version: bool,
}

impl Wanted {
    fn read(body: Value) -> Result<Self, Error> {
        let null: Vec<&str> = ["dag_id", "from_date", "to_date"].into_iter().filter(|name| body.get(name) == Some(&Value::Null)).collect();
        let mut fields = Fields::of(body, KEYS)?;
        for name in ["dag_id", "from_date", "to_date"] {
            fields.require(name);
        }
        for name in null {
            fields.refuse(name, "it must not be null");
        }
        let dag_id = fields.text("dag_id").unwrap_or_default();
        let from = fields.time("from_date").unwrap_or_default();
        let to = fields.time("to_date").unwrap_or_default();
        let backwards = fields.flag("run_backwards", false);
        let conf = fields.object("dag_run_conf");
        let reprocess = match fields.one_of("reprocess_behavior", REPROCESS).as_deref() {
            Some("failed") => Reprocess::Failed,
            Some("completed") => Reprocess::Completed,
            _ => Reprocess::None,
        };
        let max_active_runs = match fields.int("max_active_runs").map(i32::try_from) {
            None => DEFAULT_ACTIVE,
            Some(Ok(most)) if most > 0 => most,
            Some(_) => {
                fields.refuse("max_active_runs", "max_active_runs must be 1 or more: a backfill that is to wait is paused");
                DEFAULT_ACTIVE
            }
        };
        let latest_version = fields.flag("run_on_latest_version", true);
        fields.done()?;
        Ok(Self { dag_id, from, to, backwards, conf, reprocess, max_active_runs, latest_version })
    }
}

/// What is wrong with a whole request: Airflow's words, in the form of a 422.
fn refused(text: impl Into<String>) -> Error {
    Error::Invalid(vec![problem("value_error", json!(["body"]), &text.into(), Value::Null)])
}

/// The DAG as it is now, if it can have backfills.
async fn dag_of(state: &ApiState, wanted: &Wanted) -> Result<(DagRow, Timetable), Error> {
    let missing = || Error::NotFound(format!("Could not find dag {}", wanted.dag_id));
    let dag = state.store().dag_get(&wanted.dag_id).await?.filter(|dag| !dag.is_stale).ok_or_else(missing)?;
    let head = state.head(dag.version_id).await?;
    let semantics = head.spec.semantics.unwrap_or(state.inner.semantics);
    let timetable = Timetable::new(&head.spec.schedule, &head.spec.timezone, semantics)
        .map_err(|error| refused(format!("the schedule of {} cannot be followed: {error}", wanted.dag_id)))?;
    if !timetable.is_periodic() {
        return Err(refused(format!("{} has a non-periodic schedule that does not support backfills", wanted.dag_id)));
    }
    Ok((dag, timetable))
}

/// What the DAG's tasks and the calendar have against it.
fn check(wanted: &Wanted, spec: &DagSpec, now: DateTime<Utc>) -> Result<(), Error> {
    if wanted.from > wanted.to {
        let (from, to) = (shapes::iso(wanted.from), shapes::iso(wanted.to));
        return Err(refused(format!("from_date ({from}) must not be after to_date ({to}).")));
    }
    if wanted.from >= now && wanted.to >= now {
        return Err(refused("Backfill cannot be executed for future dates."));
    }
    if spec.tasks.iter().any(updraft_model::TaskSpec::waits_for_past) {
        if wanted.backwards {
            return Err(refused("Backfill cannot be run in reverse when the Dag has tasks where depends_on_past=True."));
        }
        if wanted.reprocess == Reprocess::None {
            return Err(refused(
                "Dag has tasks for which depends_on_past=True. You must set reprocess behavior to reprocess completed or reprocess failed.",
            ));
        }
    }
    wanted.conf.as_ref().map_or(Ok(()), |conf| check_conf(spec, conf)).map_err(refused)
}

/// The slots of the stretch whose intervals are over, in the order in which they run.
fn slots_of(wanted: &Wanted, dag: &DagRow, spec: &DagSpec, timetable: &Timetable, now: DateTime<Utc>) -> Result<Vec<Slot>, Error> {
    let anchor = dag.next_logical_date.or(spec.start_date);
    let over = timetable.slots_between(wanted.from, wanted.to, anchor).take_while(|slot| slot.data_interval_end < now);
    let mut slots: Vec<Slot> = over.take(MOST_SLOTS + 1).collect();
    if slots.len() > MOST_SLOTS || slots.len() * spec.tasks.len() > MOST_INSTANCES {
        return Err(refused(format!(
            "this is too much for one backfill, which has at most {MOST_SLOTS} runs and {MOST_INSTANCES} task instances: \
             take a shorter range, and the rest when it is complete"
        )));
    }
    if wanted.backwards {
        slots.reverse();
    }
    Ok(slots)
}

/// A run that a backfill would make, or do again.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DryRunBackfillResponse")]
pub(crate) struct Planned {
    logical_date: Time,
    partition_key: Nothing,
    partition_date: Nothing,
}

collection!(AllPlanned, "DryRunBackfillCollectionResponse", backfills: Planned);

pub(crate) async fn dry_run(State(state): State<ApiState>, caller: Caller, Body(body): Body) -> Result<Json<AllPlanned>, Error> {
    let wanted = Wanted::read(body)?;
    caller.scope.check(&wanted.dag_id)?;
    let (dag, timetable) = dag_of(&state, &wanted).await?;
    let version = state.version(dag.version_id).await?;
    let now = Utc::now();
    check(&wanted, version.spec(), now)?;
    let mut slots = slots_of(&wanted, &dag, version.spec(), &timetable, now)?;
    let dates: Vec<_> = slots.iter().map(|slot| slot.logical_date).collect();
    let there = state.store().runs_of_dates(&wanted.dag_id, &dates).await?;
    let passed_over: std::collections::BTreeSet<_> =
        there.iter().filter(|run| run.live || !wanted.reprocess.takes(&run.state)).map(|run| run.logical_date).collect();
    slots.retain(|slot| !passed_over.contains(&slot.logical_date));
    let planned = |slot: &Slot| Planned { logical_date: shapes::time(slot.logical_date), partition_key: (), partition_date: () };
    let backfills: Vec<Planned> = slots.iter().map(planned).collect();
    Ok(Json(AllPlanned { total_entries: listing::count(backfills.len()), backfills }))
}

pub(crate) async fn create(State(state): State<ApiState>, caller: Caller, Body(body): Body) -> Result<Json<Backfill>, Error> {
    let wanted = Wanted::read(body.clone())?;
    caller.scope.check(&wanted.dag_id)?;
    for _ in 0..LOOKS {
        match make(&state, &wanted, &caller).await? {
            BackfillCreated::Done { id, mut again, .. } => {
                let audit = Audit {
                    who: &caller.user,
                    event: "create_backfill",
                    dag_id: Some(&wanted.dag_id),
                    extra: Some(body),
                    ..Audit::default()
                };
                state.store().audit_write(&audit).await?;
                // Whose runs wait for these as their past looks again, too.
                again.truncate(MOST_TOLD);
                state.nudge(&wanted.dag_id, &again).await?;
                return Ok(Json(shape(&state, &find(&state, id).await?).await?));
            }
            BackfillCreated::Active => return Err(active(&wanted.dag_id)),
            BackfillCreated::Changed => {}
        }
    }
    Err(Error::Conflict(format!("the file of {} changes faster than a backfill of it is made: try again", wanted.dag_id)))
}

fn active(dag_id: &str) -> Error {
    Error::Conflict(format!("There is already a running backfill for dag {dag_id}"))
}

async fn make(state: &ApiState, wanted: &Wanted, caller: &Caller) -> Result<BackfillCreated, Error> {
    let (dag, timetable) = dag_of(state, wanted).await?;
    if state.store().backfill_active(&wanted.dag_id).await? {
        return Err(active(&wanted.dag_id));
    }
    let version = state.version(dag.version_id).await?;
    let now = Utc::now();
    check(wanted, version.spec(), now)?;
    let slots = slots_of(wanted, &dag, version.spec(), &timetable, now)?;
    if slots.is_empty() {
        let [from, to] = [wanted.from, wanted.to].map(|at| shapes::iso(at).replacen('T', " ", 1));
        return Err(refused(format!("No runs to create for Dag {} in the range [{from}, {to}]", wanted.dag_id)));
    }
    let named: Vec<(String, SlotRow)> =
        slots.iter().map(|slot| (format!("backfill__{}", shapes::iso(slot.logical_date)), row(slot))).collect();
    let new = NewBackfill {
        dag_id: &wanted.dag_id,
        version_id: dag.version_id,
        from: wanted.from,
        to: wanted.to,
        backwards: wanted.backwards,
        conf: wanted.conf.clone().map(Value::Object),
        reprocess: wanted.reprocess,
        max_active_runs: wanted.max_active_runs,
        user: &caller.user,
        movable: &movable(state, wanted, &dag, &slots).await?,
        slots: &named,
    };
    Ok(state.store().backfill_create(&new).await?)
}

fn row(slot: &Slot) -> SlotRow {
    SlotRow {
        logical_date: slot.logical_date,
        interval_start: slot.data_interval_start,
        interval_end: slot.data_interval_end,
        run_after: slot.run_after,
    }
}

/// The versions whose runs go on with the DAG as it is now when they are done again. The runs of other versions keep theirs, as when they are
/// cleared.
async fn movable(state: &ApiState, wanted: &Wanted, dag: &DagRow, slots: &[Slot]) -> Result<Vec<i64>, Error> {
    if !wanted.latest_version || wanted.reprocess == Reprocess::None {
        return Ok(Vec::new());
    }
    let dates: Vec<_> = slots.iter().map(|slot| slot.logical_date).collect();
    let mut versions: Vec<i64> = state.store().runs_of_dates(&wanted.dag_id, &dates).await?.into_iter().map(|run| run.version_id).collect();
    versions.sort_unstable();
    versions.dedup();
    let new = state.version(dag.version_id).await?;
    let mut movable = Vec::new();
    for id in versions {
        if can_go_on(state.version(id).await?.spec(), new.spec()) {
            movable.push(id);
        }
    }
    Ok(movable)
}

async fn find(state: &ApiState, id: i64) -> Result<BackfillRow, Error> {
    state.store().backfill_get(id).await?.ok_or_else(missing)
}

/// One that the caller may see.
async fn find_for(state: &ApiState, id: &str, caller: &Caller) -> Result<BackfillRow, Error> {
    let row = find(state, number(id)?).await?;
    caller.scope.check(&row.dag_id)?;
    Ok(row)
}

fn missing() -> Error {
    Error::NotFound("Backfill not found".to_owned())
}

/// The number in a path.
fn number(text: &str) -> Result<i64, Error> {
    text.parse().ok().filter(|id| *id >= 0).ok_or_else(|| {
        Error::invalid("int_parsing", json!(["path", "backfill_id"]), "Input should be a valid integer, 0 or more", json!(text))
    })
}

/// Runs for a stretch of the past.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BackfillResponse")]
pub(crate) struct Backfill {
    id: i64,
    dag_id: String,
    dag_display_name: String,
    from_date: Time,
    to_date: Time,
    /// What each of its runs is given.
    #[schemars(with = "Option<BTreeMap<String, Value>>")]
    dag_run_conf: Option<Value>,
    is_paused: bool,
    #[schemars(schema_with = "reprocess")]
    reprocess_behavior: String,
    max_active_runs: i32,
    created_at: Time,
    completed_at: Option<Time>,
    updated_at: Time,
}

fn reprocess(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "string", "enum": REPROCESS})
}

collection!(Backfills, "BackfillCollectionResponse", backfills: Backfill);

/// A backfill, and how its runs stand.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BackfillProgress {
    #[serde(flatten)]
    backfill: Backfill,
    /// How many of its runs are in which state.
    run_counts: BTreeMap<String, i64>,
    run_backwards: bool,
    triggering_user_name: Option<String>,
}

async fn shape(state: &ApiState, row: &BackfillRow) -> Result<Backfill, Error> {
    let name = match state.store().dag_get(&row.dag_id).await? {
        Some(dag) => state.head(dag.version_id).await?.spec.display_name.clone(),
        None => None,
    };
    Ok(Backfill {
        id: row.id,
        dag_id: row.dag_id.clone(),
        dag_display_name: name.unwrap_or_else(|| row.dag_id.clone()),
        from_date: shapes::time(row.from_date),
        to_date: shapes::time(row.to_date),
        dag_run_conf: row.dag_run_conf.clone(),
        is_paused: row.is_paused,
        reprocess_behavior: row.reprocess_behavior.clone(),
        max_active_runs: row.max_active_runs,
        created_at: shapes::time(row.created_at),
        completed_at: shapes::maybe(row.completed_at),
        updated_at: shapes::time(row.updated_at),
    })
}

pub(crate) async fn list(State(state): State<ApiState>, params: Params) -> Result<Json<Backfills>, Error> {
    let dag_id =
        params.one("dag_id").ok_or_else(|| Error::invalid("missing", json!(["query", "dag_id"]), "Field required", Value::Null))?;
    let page = state.store().backfill_list(Some(&[dag_id.to_owned()]), &params.list(BACKFILL_COLUMNS)?).await?;
    let mut rows = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        rows.push(shape(&state, row).await?);
    }
    Ok(Json(Backfills { backfills: rows, total_entries: page.total }))
}

pub(crate) async fn show(State(state): State<ApiState>, Path(id): Path<String>, caller: Caller) -> Result<Json<Backfill>, Error> {
    Ok(Json(shape(&state, &find_for(&state, &id, &caller).await?).await?))
}

/// The same with what Airflow's answer has no place for: how its runs stand.
pub(crate) async fn progress(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Json<BackfillProgress>, Error> {
    Ok(Json(progress_of(&state, find_for(&state, &id, &caller).await?).await?))
}

async fn progress_of(state: &ApiState, row: BackfillRow) -> Result<BackfillProgress, Error> {
    Ok(BackfillProgress {
        backfill: shape(state, &row).await?,
        run_counts: state.store().backfill_run_counts(&row).await?.into_iter().collect(),
        run_backwards: row.run_backwards,
        triggering_user_name: row.triggering_user_name,
    })
}

collection!(BackfillsProgress, "BackfillProgressCollection", backfills: BackfillProgress);

/// Those of all DAGs, or of one.
pub(crate) async fn recent(State(state): State<ApiState>, params: Params, caller: Caller) -> Result<Json<BackfillsProgress>, Error> {
    let dag_ids = match params.one("dag_id").filter(|id| *id != "~") {
        Some(dag_id) => {
            caller.scope.check(dag_id)?;
            Some(vec![dag_id.to_owned()])
        }
        None => caller.scope.0.as_deref().map(<[String]>::to_vec),
    };
    let page = state.store().backfill_list(dag_ids.as_deref(), &params.list(BACKFILL_COLUMNS)?).await?;
    let mut backfills = Vec::with_capacity(page.rows.len());
    for row in page.rows {
        backfills.push(progress_of(&state, row).await?);
    }
    Ok(Json(BackfillsProgress { backfills, total_entries: page.total }))
}

pub(crate) async fn pause(state: State<ApiState>, id: Path<String>, caller: Caller) -> Result<Json<Backfill>, Error> {
    change(state, id, caller, "pause_backfill").await
}

pub(crate) async fn unpause(state: State<ApiState>, id: Path<String>, caller: Caller) -> Result<Json<Backfill>, Error> {
    change(state, id, caller, "unpause_backfill").await
}

pub(crate) async fn cancel(state: State<ApiState>, id: Path<String>, caller: Caller) -> Result<Json<Backfill>, Error> {
    change(state, id, caller, "cancel_backfill").await
}

async fn change(State(state): State<ApiState>, Path(id): Path<String>, caller: Caller, event: &str) -> Result<Json<Backfill>, Error> {
    let id = find_for(&state, &id, &caller).await?.id;
    let changed = match event {
        "cancel_backfill" => state.store().backfill_cancel(id, &caller.user).await?,
        _ => state.store().backfill_pause(id, event == "pause_backfill").await?,
    };
    match changed {
        BackfillChanged::Done => {}
        BackfillChanged::Completed => return Err(Error::Conflict("Backfill is already completed.".to_owned())),
        BackfillChanged::Missing => return Err(missing()),
    }
    let row = find(&state, id).await?;
    let extra = Some(json!({"backfill_id": id}));
    let audit = Audit { who: &caller.user, event, dag_id: Some(&row.dag_id), extra, ..Audit::default() };
    state.store().audit_write(&audit).await?;
    state.nudge(&row.dag_id, &[]).await?;
    Ok(Json(shape(&state, &row).await?))
}
