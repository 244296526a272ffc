//! Parsed DAG versions, kept. A version never changes, so nothing here grows stale; what is kept is bounded by its number of tasks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use updraft_model::DagSpec;
use updraft_planner::DagGraph;
use updraft_store::Store;

use crate::error::Error;

/// Most tasks of all graphs that are kept.
const MOST_TASKS: usize = 300_000;
/// Most heads that are kept.
const MOST_HEADS: usize = 20_000;

/// A version with all its tasks.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) graph: Arc<DagGraph>,
    positions: HashMap<String, u32>,
}

impl Version {
    pub(crate) fn position(&self, task_id: &str) -> Option<u32> {
        self.positions.get(task_id).copied()
    }
    pub(crate) fn spec(&self) -> &DagSpec {
        self.graph.spec()
    }
    /// The task at a position; a position outside of the version is a row that nobody wrote.
    pub(crate) fn task(&self, idx: i32) -> Option<&updraft_model::TaskSpec> {
        usize::try_from(idx).ok().and_then(|i| self.spec().tasks.get(i))
    }
}

/// What a list of DAGs shows of a version: all but its tasks.
#[derive(Debug)]
pub(crate) struct Head {
    /// Without its tasks.
    pub(crate) spec: DagSpec,
    pub(crate) owners: Vec<String>,
    pub(crate) limits_tasks: bool,
}

#[derive(Debug, Default)]
struct Kept {
    clock: u64,
    graphs: HashMap<i64, (u64, Arc<Version>)>,
    heads: HashMap<i64, Arc<Head>>,
}

/// The cache.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    kept: Mutex<Kept>,
}

impl Versions {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(store: &Store, id: i64) -> Result<DagSpec, Error> {
        let text = store.dag_version_spec(id).await?.ok_or_else(|| Error::Broken(format!("dag_version {id} does not exist")))?;
        serde_json::from_str(&text).map_err(|e| Error::Broken(format!("the spec of dag_version {id} cannot be read: {e}")))
    }

    /// A version with its tasks.
    pub(crate) async fn get(&self, store: &Store, id: i64) -> Result<Arc<Version>, Error> {
        {
            let mut kept = self.kept();
            kept.clock += 1;
            let now = kept.clock;
            if let Some((used, version)) = kept.graphs.get_mut(&id) {
                *used = now;
                return Ok(Arc::clone(version));
            }
        }
        let spec = Self::read(store, id).await?;
        let positions = spec.tasks.iter().zip(0u32..).map(|(task, at)| (task.task_id.to_string(), at)).collect();
        let version = Arc::new(Version { graph: Arc::new(DagGraph::new(spec)), positions });
        let mut kept = self.kept();
        let now = kept.clock;
        kept.graphs.insert(id, (now, Arc::clone(&version)));
        while kept.graphs.len() > 1 && kept.graphs.values().map(|(_, v)| v.graph.len()).sum::<usize>() > MOST_TASKS {
            let Some(oldest) = kept.graphs.iter().filter(|(k, _)| **k != id).min_by_key(|(_, (used, _))| *used).map(|(k, _)| *k) else {
                break;
            };
            kept.graphs.remove(&oldest);
        }
        Ok(version)
    }

    /// A version without its tasks.
    pub(crate) async fn head(&self, store: &Store, id: i64) -> Result<Arc<Head>, Error> {
        if let Some(head) = self.kept().heads.get(&id) {
            return Ok(Arc::clone(head));
        }
        let mut spec = Self::read(store, id).await?;
        let tasks = std::mem::take(&mut spec.tasks);
        let mut owners: Vec<String> = tasks.iter().map(|t| t.owner.clone()).collect();
        owners.sort();
        owners.dedup();
        let head = Arc::new(Head { spec, owners, limits_tasks: tasks.iter().any(|t| t.max_active_tis_per_dag.is_some()) });
        let mut kept = self.kept();
        if kept.heads.len() >= MOST_HEADS {
            kept.heads.clear();
        }
        kept.heads.insert(id, Arc::clone(&head));
        Ok(head)
    }
}
