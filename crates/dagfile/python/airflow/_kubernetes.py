"""Kubernetes objects in DAG files: Airflow's own small classes, and every object as camelCase JSON."""

import re

from airflow._problem import InvalidArgument
from airflow._values import plain


class Secret:
    """A Kubernetes secret in a pod: a variable, all of its keys as variables, or a volume."""

    def __init__(self, deploy_type, deploy_target, secret, key=None, items=None):
        if deploy_type not in ("env", "volume"):
            raise InvalidArgument("Secret has the deploy_type %r" % (deploy_type,), "write \"env\" or \"volume\"")
        if deploy_target is None and key is not None:
            raise InvalidArgument("Secret %s has a key but no deploy_target" % secret, "name the variable in deploy_target")
        self.deploy_type = deploy_type
        self.deploy_target = deploy_target.upper() if deploy_target is not None and deploy_type == "env" else deploy_target
        self.secret = secret
        self.key = key
        self.items = items or []


class Volume:
    """Airflow 1's volume: a name and the rest of the Kubernetes object."""

    def __init__(self, name, configs):
        self.name = name
        self.configs = configs

    def _updraft_json(self):
        return dict({"name": self.name}, **to_json(self.configs, "volume"))


class VolumeMount:
    """Airflow 1's volume mount."""

    def __init__(self, name, mount_path, sub_path=None, read_only=False):
        self.name = name
        self.mount_path = mount_path
        self.sub_path = sub_path
        self.read_only = read_only

    def _updraft_json(self):
        found = {"name": self.name, "mountPath": self.mount_path, "subPath": self.sub_path, "readOnly": self.read_only or None}
        return {name: value for name, value in found.items() if value is not None}


class Port:
    """Airflow 1's container port."""

    def __init__(self, name=None, container_port=None):
        self.name = name
        self.container_port = container_port

    def _updraft_json(self):
        return {name: value for name, value in (("name", self.name), ("containerPort", self.container_port)) if value is not None}


class PodRuntimeInfoEnv:
    """Airflow 1's variable that holds a field of the pod."""

    def __init__(self, name, field_path):
        self.name = name
        self.field_path = field_path

    def _updraft_json(self):
        return {"name": self.name, "valueFrom": {"fieldRef": {"fieldPath": self.field_path}}}


class Resources:
    """Airflow 1's requests and limits."""

    def __init__(self, request_memory=None, request_cpu=None, request_ephemeral_storage=None, limit_memory=None, limit_cpu=None,
                 limit_gpu=None, limit_ephemeral_storage=None):
        self.given = {
            "request_memory": request_memory, "request_cpu": request_cpu, "request_ephemeral_storage": request_ephemeral_storage,
            "limit_memory": limit_memory, "limit_cpu": limit_cpu, "limit_gpu": limit_gpu,
            "limit_ephemeral_storage": limit_ephemeral_storage,
        }

    def _updraft_json(self):
        return old_resources(self.given)


def old_resources(given):
    """Airflow 1's `resources={"request_memory": …}` as a ResourceRequirements. A dict that is one already stays."""
    if "requests" in given or "limits" in given or "claims" in given:
        return to_json(given, "resources")
    found = {}
    for name, value in given.items():
        kind, _, what = str(name).partition("_")
        known = {"memory": "memory", "cpu": "cpu", "ephemeral_storage": "ephemeral-storage", "ephemeral-storage": "ephemeral-storage",
                 "gpu": "nvidia.com/gpu"}
        if kind not in ("request", "limit") or what not in known:
            raise InvalidArgument(
                "resources holds %r" % (name,), "write container_resources={\"requests\": {\"memory\": \"1Gi\"}, \"limits\": {}}"
            )
        if value is not None:
            found.setdefault(kind + "s", {})[known[what]] = plain(value, "resources")
    return found


# Words that Kubernetes writes in capitals where camelCase would not.
_SPECIAL = {
    "_from": "from", "_continue": "continue", "_not": "not", "api_version": "apiVersion", "cluster_ip": "clusterIP", "host_ip": "hostIP",
    "pod_ip": "podIP", "host_ipc": "hostIPC", "host_pid": "hostPID", "volume_id": "volumeID", "disk_uri": "diskURI",
    "storage_policy_id": "storagePolicyID", "downward_api": "downwardAPI", "target_ww_ns": "targetWWNs", "dataset_uuid": "datasetUUID",
    "external_i_ps": "externalIPs", "pd_id": "pdID", "_exec": "exec", "ww_ids": "wwids", "non_resource_ur_ls": "nonResourceURLs",
}


def camel(name):
    """`mount_path` as `mountPath`, as the Kubernetes client maps its attributes."""
    if name in _SPECIAL:
        return _SPECIAL[name]
    return re.sub(r"_([a-z0-9])", lambda match: match.group(1).upper(), name)


def to_json(value, what):
    """A Kubernetes object as its API writes it. The client's objects are mapped, dicts stay, absent fields are left out."""
    if hasattr(value, "_updraft_json"):
        return value._updraft_json()
    # The real client's objects say themselves how their attributes are called; the stand-in's say what they were given.
    names = getattr(type(value), "attribute_map", None)
    if isinstance(names, dict):
        found = {key: getattr(value, name, None) for name, key in names.items()}
        return {key: to_json(inner, what) for key, inner in found.items() if inner is not None}
    fields = getattr(value, "_updraft_fields", None)
    if isinstance(fields, dict):
        return {camel(name): to_json(inner, what) for name, inner in fields.items() if inner is not None}
    if isinstance(value, dict):
        return {str(key): to_json(inner, what) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(inner, what) for inner in value]
    return plain(value, what)
