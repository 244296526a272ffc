"""KubernetesPodOperator calls that together have every argument that makes a pod, as a DAG file: Airflow and we make pods of it."""

import os

from airflow import DAG
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.secret import Secret
from kubernetes.client import models as k8s

CALLS = {
    "nothing": {},
    "name_and_namespace": {"name": "my-pod", "namespace": "other"},
    "name_of_odd_letters": {"name": "My_Pod.Name"},
    "cmds_and_arguments": {"cmds": ["bash", "-cx"], "arguments": ["echo", "10"]},
    "arguments_only": {"arguments": ["a", "b"]},
    "env_dict": {"env_vars": {"B": "1", "A": "2"}},
    "env_list": {"env_vars": [k8s.V1EnvVar(name="B", value="1"), k8s.V1EnvVar(name="A", value="2")]},
    "env_value_from": {"env_vars": [
        k8s.V1EnvVar(name="N", value_from=k8s.V1EnvVarSource(field_ref=k8s.V1ObjectFieldSelector(field_path="metadata.name"))),
        k8s.V1EnvVar(name="A", value="$(N)-x")]},
    "env_order": {"env_vars": [
        k8s.V1EnvVar(name="Z", value="1"),
        k8s.V1EnvVar(name="N", value_from=k8s.V1EnvVarSource(field_ref=k8s.V1ObjectFieldSelector(field_path="status.podIP"))),
        k8s.V1EnvVar(name="A", value="$(Z)")]},
    "runtime_info": {"env_vars": {"A": "1"}, "pod_runtime_info_envs": [
        k8s.V1EnvVar("P", None, k8s.V1EnvVarSource(field_ref=k8s.V1ObjectFieldSelector(field_path="spec.nodeName")))]},
    "env_from": {"env_from": [k8s.V1EnvFromSource(config_map_ref=k8s.V1ConfigMapEnvSource(name="c")),
                              k8s.V1EnvFromSource(prefix="P_", secret_ref=k8s.V1SecretEnvSource(name="s", optional=True))]},
    "configmaps": {"configmaps": ["one", "two"]},
    "configmaps_and_env_from": {"configmaps": ["two"], "env_from": [k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name="s"))]},
    "secret_env": {"secrets": [Secret("env", "sql_conn", "airflow-secrets", "sql_alchemy_conn")]},
    "secret_all": {"secrets": [Secret("env", None, "airflow-secrets")]},
    "secret_volume": {"secrets": [Secret("volume", "/etc/sql", "airflow-secrets", "key")]},
    "secret_volume_whole": {"secrets": [Secret("volume", "/etc/sql", "airflow-secrets")]},
    "secret_items": {"secrets": [Secret("volume", "/etc/x", "s", items=[k8s.V1KeyToPath(key="k", path="p", mode=256)])]},
    "secrets_and_env": {"env_vars": {"A": "1"}, "secrets": [Secret("env", "X", "s", "k"), Secret("env", "Y", "s", "l")]},
    "labels": {"labels": {"team": "data", "n": "1"}},
    "annotations": {"annotations": {"a/b": "c"}},
    "ports": {"ports": [k8s.V1ContainerPort(name="http", container_port=80, protocol="TCP")]},
    "volumes": {
        "volumes": [k8s.V1Volume(name="pvc", persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(claim_name="c")),
                    k8s.V1Volume(name="cm", config_map=k8s.V1ConfigMapVolumeSource(name="m", default_mode=420,
                                                                                   items=[k8s.V1KeyToPath(key="k", path="p")]))],
        "volume_mounts": [k8s.V1VolumeMount(name="pvc", mount_path="/data", sub_path="x", read_only=True),
                          k8s.V1VolumeMount(name="cm", mount_path="/cm")]},
    "empty_dir": {"volumes": [k8s.V1Volume(name="e", empty_dir=k8s.V1EmptyDirVolumeSource(medium="Memory", size_limit="1Gi"))],
                  "volume_mounts": [k8s.V1VolumeMount(name="e", mount_path="/e")]},
    "image_pull_policy": {"image_pull_policy": "Always"},
    "image_pull_secrets": {"image_pull_secrets": [k8s.V1LocalObjectReference("one"), k8s.V1LocalObjectReference(name="two")]},
    "resources": {"container_resources": k8s.V1ResourceRequirements(
        requests={"memory": "64Mi", "cpu": "250m", "ephemeral-storage": "1Gi"}, limits={"memory": "64Mi", "cpu": 0.5, "nvidia.com/gpu": "1"})},
    "affinity": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "preference": {"matchExpressions": [{"key": "disktype", "operator": "In", "values": ["ssd"]}]}}]}}},
    "affinity_objects": {"affinity": k8s.V1Affinity(pod_anti_affinity=k8s.V1PodAntiAffinity(
        required_during_scheduling_ignored_during_execution=[k8s.V1PodAffinityTerm(
            topology_key="kubernetes.io/hostname",
            label_selector=k8s.V1LabelSelector(match_labels={"app": "x"}))]))},
    "tolerations": {"tolerations": [k8s.V1Toleration(key="key", operator="Equal", value="value", effect="NoSchedule")]},
    "tolerations_dicts": {"tolerations": [{"key": "key", "operator": "Exists", "tolerationSeconds": 30}]},
    "node_selector": {"node_selector": {"pool": "big"}},
    "priority_class": {"priority_class_name": "high", "schedulername": "volcano", "runtime_class_name": "gvisor"},
    "service_account": {"service_account_name": "robot", "automount_service_account_token": True},
    "no_token": {"automount_service_account_token": False},
    "host_network": {"hostnetwork": True},
    "host_network_and_dns": {"hostnetwork": True, "dnspolicy": "Default"},
    "host_aliases": {"host_aliases": [k8s.V1HostAlias(ip="1.2.3.4", hostnames=["a", "b"])]},
    "dns": {"dnspolicy": "None", "dns_config": k8s.V1PodDNSConfig(
        nameservers=["1.1.1.1"], searches=["x.y"], options=[k8s.V1PodDNSConfigOption(name="ndots", value="2")])},
    "host_names": {"hostname": "h", "subdomain": "s"},
    "security_context": {"security_context": {"runAsUser": 1000, "fsGroup": 2000}},
    "security_context_object": {"security_context": k8s.V1PodSecurityContext(run_as_user=1000, run_as_non_root=True, sysctls=[
        k8s.V1Sysctl(name="a", value="b")])},
    "container_security_context": {"container_security_context": {"allowPrivilegeEscalation": False}},
    "container_security_context_object": {"container_security_context": k8s.V1SecurityContext(
        read_only_root_filesystem=True, capabilities=k8s.V1Capabilities(drop=["ALL"]))},
    "init_containers": {"init_containers": [k8s.V1Container(
        name="init", image="i", command=["sh"], args=["-c", "true"], env=[k8s.V1EnvVar(name="A", value="b")],
        volume_mounts=[k8s.V1VolumeMount(name="e", mount_path="/e")])],
        "volumes": [k8s.V1Volume(name="e", empty_dir=k8s.V1EmptyDirVolumeSource())]},
    "termination_grace_period": {"termination_grace_period": 0},
    "active_deadline": {"active_deadline_seconds": 600, "termination_grace_period": 45},
    "termination_message_policy": {"termination_message_policy": "FallbackToLogsOnError"},
    "base_container_name": {"base_container_name": "main"},
    "template_dict": {"image": None, "pod_template_dict": {
        "metadata": {"name": "t", "labels": {"from": "template"}, "annotations": {"x": "y"}},
        "spec": {"containers": [{"name": "base", "image": "from-template", "env": [{"name": "T", "value": "1"}], "workingDir": "/w"}],
                 "nodeSelector": {"a": "b"}, "serviceAccountName": "t"}}},
    "template_dict_overridden": {
        "labels": {"from": "operator", "more": "1"}, "env_vars": {"A": "1"}, "node_selector": {"c": "d"}, "service_account_name": "o",
        "arguments": ["x"], "pod_template_dict": {
            "metadata": {"labels": {"from": "template", "kept": "1"}, "namespace": "t"},
            "spec": {"containers": [{"name": "base", "image": "from-template", "args": ["t"], "env": [{"name": "T", "value": "1"}]}],
                     "nodeSelector": {"a": "b"}, "serviceAccountName": "t", "tolerations": [{"key": "t"}]}},
        "tolerations": [k8s.V1Toleration(key="o")]},
    "full_pod_spec": {"full_pod_spec": k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(labels={"full": "1"}, namespace="f"),
        spec=k8s.V1PodSpec(
            containers=[k8s.V1Container(name="base", image="full", working_dir="/w"), k8s.V1Container(name="side", image="s")],
            share_process_namespace=True, enable_service_links=False))},
    "full_over_template": {
        "image": None,
        "pod_template_dict": {"metadata": {"labels": {"a": "template", "b": "template"}},
                              "spec": {"containers": [{"name": "base", "image": "template", "imagePullPolicy": "Always"}]}},
        "full_pod_spec": k8s.V1Pod(metadata=k8s.V1ObjectMeta(labels={"b": "full"}),
                                   spec=k8s.V1PodSpec(containers=[k8s.V1Container(name="base", image="full")]))},
    "sidecar": {"full_pod_spec": k8s.V1Pod(spec=k8s.V1PodSpec(containers=[
        k8s.V1Container(name="base"), k8s.V1Container(name="proxy", image="p", ports=[k8s.V1ContainerPort(container_port=1)],
                                                      lifecycle=k8s.V1Lifecycle(pre_stop=k8s.V1LifecycleHandler(
                                                          _exec=k8s.V1ExecAction(command=["true"]))))]))},
    "template_with_volumes": {
        "volumes": [k8s.V1Volume(name="o", empty_dir=k8s.V1EmptyDirVolumeSource())],
        "volume_mounts": [k8s.V1VolumeMount(name="o", mount_path="/o")],
        "pod_template_dict": {"spec": {
            "containers": [{"name": "base", "volumeMounts": [{"name": "t", "mountPath": "/t"}]}],
            "volumes": [{"name": "t", "emptyDir": {}}], "imagePullSecrets": [{"name": "t"}], "hostNetwork": True}},
        "image_pull_secrets": [k8s.V1LocalObjectReference("o")]},
    "template_resources": {
        "pod_template_dict": {"spec": {"containers": [{"name": "base", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}}]}},
        "container_resources": k8s.V1ResourceRequirements(limits={"memory": "1Gi"})},
    "lifecycle": {"full_pod_spec": k8s.V1Pod(spec=k8s.V1PodSpec(containers=[k8s.V1Container(
        name="base", liveness_probe=k8s.V1Probe(http_get=k8s.V1HTTPGetAction(path="/", port=80), period_seconds=3))]))},
    "topology": {"full_pod_spec": k8s.V1Pod(spec=k8s.V1PodSpec(
        containers=[k8s.V1Container(name="base")],
        topology_spread_constraints=[k8s.V1TopologySpreadConstraint(
            max_skew=1, topology_key="zone", when_unsatisfiable="DoNotSchedule",
            label_selector=k8s.V1LabelSelector(match_expressions=[k8s.V1LabelSelectorRequirement(key="a", operator="Exists")]))]))},
    "projected": {"volumes": [k8s.V1Volume(name="p", projected=k8s.V1ProjectedVolumeSource(sources=[
        k8s.V1VolumeProjection(service_account_token=k8s.V1ServiceAccountTokenProjection(path="t", expiration_seconds=600)),
        k8s.V1VolumeProjection(downward_api=k8s.V1DownwardAPIProjection(items=[k8s.V1DownwardAPIVolumeFile(
            path="l", field_ref=k8s.V1ObjectFieldSelector(field_path="metadata.labels"))]))]))]},
    "host_path_and_nfs": {"volumes": [
        k8s.V1Volume(name="h", host_path=k8s.V1HostPathVolumeSource(path="/h", type="Directory")),
        k8s.V1Volume(name="n", nfs=k8s.V1NFSVolumeSource(path="/n", server="s", read_only=True)),
        k8s.V1Volume(name="c", csi=k8s.V1CSIVolumeSource(driver="d", volume_attributes={"a": "b"}))]},
}

with DAG("pods") as dag:
    for task_id, call in CALLS.items():
        KubernetesPodOperator(**dict({"task_id": task_id, "image": "image:1"}, **call))

    KubernetesPodOperator(task_id="template_file", image="image:1",
                          pod_template_file=os.path.join(os.path.dirname(os.path.abspath(__file__)), "pod_template.yaml"))
