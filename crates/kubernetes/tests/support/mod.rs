//! A cluster for tests, and attempts of them.

use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::{ContainerStatus, Namespace, Pod, ResourceQuota};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use serde_json::{Value, json};
use updraft_kubernetes::{Config, KubernetesRunner};
use updraft_model::{AttemptKey, EndFacts, InstanceKey, LaunchSpec, RunKey};
use updraft_worker::runner::{Assignment, Handle, Launched, LogPosition, Runner};
use uuid::Uuid;

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(60);

/// The image that the tests run.
pub(crate) fn image() -> String {
    std::env::var("UPDRAFT_TEST_IMAGE").unwrap_or_else(|_| "busybox:1".to_owned())
}

/// The shell of [`image`].
pub(crate) struct Shell;

impl Shell {
    pub(crate) const PROGRAM: &str = "sh";
}

/// Workers of one installation, of which each test has its own.
pub(crate) struct Fleet {
    client: Client,
    installation: Uuid,
}

impl Fleet {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        std::env::var("KUBECONFIG").context("KUBECONFIG names no cluster: make test-cluster")?;
        // The tests look and kill with an administrator's rights; what is tested has the chart's.
        let client = match std::env::var_os("UPDRAFT_TEST_ADMIN_KUBECONFIG") {
            None => Client::try_default().await?,
            Some(path) => {
                let kubeconfig = kube::config::Kubeconfig::read_from(path)?;
                Client::try_from(kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await?)?
            }
        };
        Ok(Self { client, installation: Uuid::new_v4() })
    }

    /// A worker's runner. Each is one that knows nothing of the others.
    pub(crate) async fn runner(&self, change: impl FnOnce(&mut Config)) -> anyhow::Result<KubernetesRunner> {
        let mut config = Config::new(self.installation);
        change(&mut config);
        Ok(KubernetesRunner::connect(config).await?)
    }

    fn pods(&self) -> Api<Pod> {
        Api::all(self.client.clone())
    }

    pub(crate) async fn pod(&self, uid: &str) -> anyhow::Result<Option<Pod>> {
        let selector = format!("updraft.dev/installation={}", self.installation);
        let pods = self.pods().list(&ListParams::default().labels(&selector)).await?;
        Ok(pods.items.into_iter().find(|pod| pod.metadata.uid.as_deref() == Some(uid)))
    }

    async fn containers(&self, uid: &str) -> anyhow::Result<Vec<ContainerStatus>> {
        let status = self.pod(uid).await?.context("the pod is gone")?.status.unwrap_or_default();
        Ok([status.init_container_statuses, status.container_statuses].into_iter().flatten().flatten().collect())
    }

    /// Whether a container of the pod runs or has run.
    pub(crate) async fn ever_started(&self, uid: &str) -> anyhow::Result<bool> {
        Ok(self.containers(uid).await?.iter().any(|c| c.state.as_ref().is_some_and(|s| s.running.is_some() || s.terminated.is_some())))
    }

    pub(crate) async fn until_running(&self, uid: &str) -> anyhow::Result<()> {
        eventually("the container runs", || async {
            Ok(self.containers(uid).await?.iter().any(|c| c.state.as_ref().is_some_and(|s| s.running.is_some())).then_some(()))
        })
        .await?;
        // The shell needs a moment to set its traps; it says nothing that could be waited for in every test.
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok(())
    }

    pub(crate) async fn until_ended(&self, uid: &str) -> anyhow::Result<()> {
        eventually("the container has ended", || async {
            Ok(self.containers(uid).await?.iter().any(|c| c.state.as_ref().is_some_and(|s| s.terminated.is_some())).then_some(()))
        })
        .await
    }

    /// As `kubectl delete pod` does it.
    pub(crate) async fn delete(&self, uid: &str, grace: Option<u32>) -> anyhow::Result<()> {
        let pod = self.pod(uid).await?.context("the pod is gone")?;
        let meta = pod.metadata;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &meta.namespace.unwrap_or_default());
        let preconditions = Some(Preconditions { uid: meta.uid, resource_version: None });
        let params = DeleteParams { grace_period_seconds: grace, preconditions, ..DeleteParams::default() };
        pods.delete(&meta.name.unwrap_or_default(), &params).await?;
        Ok(())
    }

    /// Removes every trace, finalizer and all: what an operator does who has lost patience.
    pub(crate) async fn tear_out(&self, uid: &str) -> anyhow::Result<()> {
        let meta = self.pod(uid).await?.context("the pod is gone")?.metadata;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &meta.namespace.clone().unwrap_or_default());
        let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        pods.patch(&meta.name.clone().unwrap_or_default(), &PatchParams::default(), &patch).await?;
        self.delete(uid, Some(0)).await
    }

    /// A namespace that has room for so many pods.
    pub(crate) async fn namespace_with_quota(&self, pods: u32) -> anyhow::Result<String> {
        let name = format!("quota-{}", Uuid::new_v4().simple());
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &namespace).await?;
        if let Some(administrator) = std::env::var_os("UPDRAFT_TEST_ADMIN_KUBECONFIG") {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cluster/worker-role.sh");
            let done = std::process::Command::new(script).arg(&name).env("KUBECONFIG", administrator).status()?;
            anyhow::ensure!(done.success(), "the worker has no Role in {name}");
        }
        let quota: ResourceQuota =
            serde_json::from_value(json!({"metadata": {"name": "room"}, "spec": {"hard": {"pods": pods.to_string()}}}))?;
        let quotas: Api<ResourceQuota> = Api::namespaced(self.client.clone(), &name);
        quotas.create(&PostParams::default(), &quota).await?;
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(self.client.clone(), &name);
        eventually("the quota counts and the namespace has its account", || async {
            let counts = quotas.get("room").await?.status.and_then(|status| status.hard).is_some();
            Ok((counts && accounts.get_opt("default").await?.is_some()).then_some(()))
        })
        .await?;
        Ok(name)
    }

    pub(crate) async fn set_quota(&self, namespace: &str, pods: u32) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({"spec": {"hard": {"pods": pods.to_string()}}}));
        let quotas: Api<ResourceQuota> = Api::namespaced(self.client.clone(), namespace);
        quotas.patch("room", &PatchParams::default(), &patch).await?;
        Ok(())
    }
}

/// Waits for a condition.
pub(crate) async fn eventually<T, F: Future<Output = anyhow::Result<Option<T>>>>(
    what: &str,
    mut check: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < deadline {
        if let Some(value) = check().await? {
            return Ok(value);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("within {} s this did not come true: {what}", PATIENCE.as_secs())
}

pub(crate) async fn until_gone(fleet: &Fleet, uid: &str) -> anyhow::Result<()> {
    eventually("the pod is gone", || async { Ok(fleet.pod(uid).await?.is_none().then_some(())) }).await
}

pub(crate) fn made(launched: Launched) -> anyhow::Result<Handle> {
    match launched {
        Launched::Made(handle) => Ok(handle),
        Launched::Ended(facts) => bail!("it ended before it began: {facts:?}"),
    }
}

pub(crate) fn ended(launched: Launched) -> anyhow::Result<EndFacts> {
    match launched {
        Launched::Ended(facts) => Ok(*facts),
        Launched::Made(handle) => bail!("it should not have been made: {handle:?}"),
    }
}

/// An attempt.
pub(crate) struct Attempt {
    pub(crate) key: AttemptKey,
    pub(crate) group: Uuid,
    pub(crate) spec: LaunchSpec,
}

impl Attempt {
    /// That runs a script. No two of them are the same.
    pub(crate) fn sh(script: &str) -> Self {
        let id = Uuid::new_v4();
        let run = i64::try_from(id.as_u128() >> 80).expect("48 bits");
        Self {
            key: AttemptKey { instance: InstanceKey { run: RunKey(run), idx: 0, map_index: -1 }, attempt: 1 },
            group: Uuid::now_v7(),
            spec: LaunchSpec {
                dag_id: "cluster_test".to_owned(),
                run_id: format!("manual__{id}"),
                task_id: "task".to_owned(),
                try_number: 1,
                argv: [Shell::PROGRAM, "-c", script].map(str::to_owned).to_vec(),
                entrypoint_length: 3,
                image: Some(image()),
                pod: Some(json!({})),
                ..LaunchSpec::default()
            },
        }
    }

    pub(crate) fn pod(&mut self, pod: Value) {
        self.spec.pod = Some(pod);
    }

    pub(crate) fn unbound(&self) -> Assignment<'_> {
        Assignment { key: self.key, group: self.group, bound: None, spec: &self.spec }
    }

    pub(crate) fn bound<'a>(&'a self, uid: &'a str) -> Assignment<'a> {
        Assignment { bound: Some(uid), ..self.unbound() }
    }

    /// Launches it for the first time and gives the pod's uid.
    pub(crate) async fn launch(&self, runner: &KubernetesRunner) -> anyhow::Result<String> {
        let handle = made(runner.launch(self.unbound()).await?)?;
        anyhow::ensure!(!handle.found, "it had been launched before");
        Ok(handle.id)
    }

    /// All of its log, once it has ended.
    pub(crate) async fn whole_log(&self, runner: &KubernetesRunner) -> anyhow::Result<String> {
        let mut log = Vec::new();
        let mut at = LogPosition::default();
        loop {
            let read = runner.read_log(self.key, &at, 64 * 1024).await?;
            anyhow::ensure!(read.data.len() <= 64 * 1024 && (read.eof || !read.data.is_empty()), "a read of {} bytes", read.data.len());
            anyhow::ensure!(read.next.offset == at.offset + read.data.len() as u64, "the offset does not follow");
            log.extend(read.data);
            at = read.next;
            if read.eof {
                return Ok(String::from_utf8(log)?);
            }
        }
    }
}
