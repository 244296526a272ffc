"""Calls of pods.py in the words of Airflow 1.10 and of the Kubernetes provider 1.0: the same pods come of them."""

from airflow import DAG
from airflow.contrib.kubernetes.pod import Port
from airflow.contrib.kubernetes.pod_runtime_info_env import PodRuntimeInfoEnv
from airflow.contrib.kubernetes.secret import Secret
from airflow.contrib.kubernetes.volume import Volume
from airflow.contrib.kubernetes.volume_mount import VolumeMount
from airflow.contrib.operators.kubernetes_pod_operator import KubernetesPodOperator

CALLS = {
    "nothing": {"is_delete_operator_pod": True, "reattach_on_restart": True, "in_cluster": True, "get_logs": True},
    "name_and_namespace": {"name": "my-pod", "namespace": "other", "xcom_push": False},
    "cmds_and_arguments": {"cmds": ["bash", "-cx"], "arguments": ["echo", "10"]},
    "env_dict": {"env_vars": {"B": "1", "A": "2"}},
    "runtime_info": {"env_vars": {"A": "1"}, "pod_runtime_info_envs": [PodRuntimeInfoEnv("P", "spec.nodeName")]},
    "configmaps": {"configmaps": ["one", "two"]},
    "secret_env": {"secrets": [Secret("env", "sql_conn", "airflow-secrets", "sql_alchemy_conn")]},
    "secret_all": {"secrets": [Secret("env", None, "airflow-secrets")]},
    "secret_volume": {"secrets": [Secret("volume", "/etc/sql", "airflow-secrets", "key")]},
    "labels": {"labels": {"team": "data", "n": "1"}},
    "annotations": {"annotations": {"a/b": "c"}},
    "ports": {"ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}]},
    "volumes": {
        "volumes": [Volume("pvc", {"persistentVolumeClaim": {"claimName": "c"}}),
                    Volume("cm", {"configMap": {"name": "m", "defaultMode": 420, "items": [{"key": "k", "path": "p"}]}})],
        "volume_mounts": [VolumeMount("pvc", "/data", "x", True), VolumeMount("cm", mount_path="/cm", sub_path=None, read_only=False)]},
    "image_pull_policy": {"image_pull_policy": "Always"},
    "image_pull_secrets": {"image_pull_secrets": "one,two"},
    "affinity": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "preference": {"matchExpressions": [{"key": "disktype", "operator": "In", "values": ["ssd"]}]}}]}}},
    "tolerations": {"tolerations": [{"key": "key", "operator": "Equal", "value": "value", "effect": "NoSchedule"}]},
    "node_selector": {"node_selectors": {"pool": "big"}},
    "host_network": {"hostnetwork": True},
    "host_network_and_dns": {"hostnetwork": True, "dnspolicy": "Default"},
    "security_context": {"security_context": {"runAsUser": 1000, "fsGroup": 2000}},
    "resources": {"resources": {
        "request_memory": "64Mi", "request_cpu": "250m", "request_ephemeral_storage": "1Gi", "limit_memory": "64Mi", "limit_cpu": 0.5,
        "limit_gpu": "1"}},
}

dag = DAG("pods_1_10", schedule_interval=None)
for task_id, call in CALLS.items():
    KubernetesPodOperator(dag=dag, **dict({"task_id": task_id, "image": "image:1"}, **call))
unused = Port("http", 80)
