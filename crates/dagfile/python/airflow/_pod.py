"""KubernetesPodOperator: a container of its own."""

from datetime import timedelta
from enum import Enum

from airflow import _session
from airflow._kubernetes import Secret, old_resources, to_json
from airflow._operator import BaseOperator
from airflow._plain_operators import find_file
from airflow._problem import InvalidArgument, did_you_mean
from airflow._values import exit_codes, plain, text, text_list, text_map

# Arguments that the pod or its watching is made of and that PodTask has no field for, with Airflow's default: they go into `rest`.
REST = {
    "ports": None, "env_from": None, "volumes": None, "volume_mounts": None, "image_pull_policy": None, "image_pull_secrets": None,
    "affinity": None, "tolerations": None, "node_selector": None, "priority_class_name": None, "schedulername": None,
    "runtime_class_name": None, "service_account_name": None, "automount_service_account_token": None, "hostnetwork": False,
    "host_aliases": None, "dnspolicy": None, "dns_config": None, "hostname": None, "subdomain": None, "security_context": None,
    "container_security_context": None, "init_containers": None, "full_pod_spec": None, "pod_template_file": None,
    "pod_template_dict": None, "base_container_name": None, "random_name_suffix": True, "startup_timeout_seconds": None,
    "schedule_timeout_seconds": None, "get_logs": True, "termination_grace_period": None, "active_deadline_seconds": None, "termination_message_policy": None,
    "log_events_on_failure": False, "kubernetes_conn_id": "kubernetes_default",
}

# Arguments about how Airflow's worker sits beside the pod. Updraft watches every pod from outside: nothing to choose.
MOOT = {
    "in_cluster": None, "reattach_on_restart": True, "durable": True, "startup_check_interval_seconds": None,
    "base_container_status_polling_interval": None, "container_name_log_prefix_enabled": True, "log_formatter": None,
    "xcom_sidecar_container_security_context": None, "log_events_on_startup": True, "log_pod_spec_on_failure": True, "deferrable": False,
    "poll_interval": None, "logging_interval": None, "trigger_kwargs": None, "is_delete_operator_pod": None, "xcom_push": None,
    "pod_runtime_info_envs": None, "secrets": None, "configmaps": None, "resources": None, "node_selectors": None,
}

# Arguments that ask for something that does not happen.
_WITHOUT_EFFECT = {
    "callbacks": "callbacks of KubernetesPodOperator are accepted but not called",
    "progress_callback": "progress_callback is accepted but not called",
    "config_file": "config_file is accepted but has no effect: pods run in the cluster that the workers are set up for",
    "cluster_context": "cluster_context is accepted but has no effect: pods run in the cluster that the workers are set up for",
    "init_container_logs": "init_container_logs is accepted but has no effect: the log is that of the base container",
}

_FINISH = ("delete_pod", "keep_pod", "delete_succeeded_pod", "delete_active_pod")


class KubernetesPodOperator(BaseOperator):
    """Runs a pod and waits for its end."""

    __module__ = "airflow.providers.cncf.kubernetes.operators.pod"
    template_fields = (
        "image", "name", "hostname", "cmds", "annotations", "arguments", "env_vars", "labels", "config_file", "pod_template_file",
        "pod_template_dict", "container_resources", "volumes", "volume_mounts", "cluster_context", "env_from", "node_selector",
        "kubernetes_conn_id", "base_container_name", "trigger_kwargs", "namespace", "configmaps",
    )
    template_ext = (".json", ".yaml", ".yml")
    ui_color = "#7FC9D6"
    BASE_CONTAINER_NAME = "base"
    POD_CHECKED_KEY = "already_checked"

    def __init__(self, *, image=None, name=None, namespace=None, cmds=None, arguments=None, env_vars=None, labels=None, annotations=None,
                 container_resources=None, on_finish_action=None, skip_on_exit_code=None, do_xcom_push=False, ports=None, env_from=None,
                 volumes=None, volume_mounts=None, image_pull_policy=None, image_pull_secrets=None, affinity=None, tolerations=None,
                 node_selector=None, priority_class_name=None, schedulername=None, runtime_class_name=None, service_account_name=None,
                 automount_service_account_token=None, hostnetwork=False, host_aliases=None, dnspolicy=None, dns_config=None, hostname=None,
                 subdomain=None, security_context=None, container_security_context=None, init_containers=None, full_pod_spec=None,
                 pod_template_file=None, pod_template_dict=None, base_container_name=None, random_name_suffix=True,
                 startup_timeout_seconds=None, schedule_timeout_seconds=None, get_logs=True, container_logs=None, init_container_logs=None,
                 on_kill_action="delete_pod", termination_grace_period=None, active_deadline_seconds=None, termination_message_policy=None,
                 log_events_on_failure=False, kubernetes_conn_id="kubernetes_default", in_cluster=None, reattach_on_restart=True,
                 durable=True, startup_check_interval_seconds=None, base_container_status_polling_interval=None,
                 container_name_log_prefix_enabled=True, log_formatter=None, xcom_sidecar_container_security_context=None,
                 log_events_on_startup=True, log_pod_spec_on_failure=True, deferrable=False, poll_interval=None, logging_interval=None,
                 trigger_kwargs=None, is_delete_operator_pod=None, xcom_push=None, pod_runtime_info_envs=None, secrets=None,
                 configmaps=None, resources=None, node_selectors=None, callbacks=None, progress_callback=None, config_file=None,
                 cluster_context=None, **kwargs):
        given = {key: value for key, value in locals().items() if key not in ("self", "kwargs", "__class__")}
        super().__init__(do_xcom_push=do_xcom_push if xcom_push is None else xcom_push, **kwargs)
        for key, message in _WITHOUT_EFFECT.items():
            if given[key]:
                _session.current().warn(message)
        if container_logs is not None and container_logs is not True and container_logs != (base_container_name or "base"):
            _session.current().warn("container_logs is accepted but has no effect: the log is that of the base container")
        if str(getattr(on_kill_action, "value", on_kill_action)) != "delete_pod":
            _session.current().warn("on_kill_action is accepted but has no effect: the pod of an attempt that is stopped is removed")
        del given["do_xcom_push"]
        for key, value in given.items():
            setattr(self, key, value)
        if node_selector is None:
            self.node_selector = node_selectors
        if on_finish_action is None:
            self.on_finish_action = "keep_pod" if is_delete_operator_pod is not None and not is_delete_operator_pod else "delete_pod"

    def _updraft_run(self):
        where = " of task %s" % self.task_id
        env_vars, rest = _environment(self, where)
        _volumes(self, rest, where)
        for key, default in REST.items():
            value = getattr(self, key)
            if value is None or value == default or key in rest or (key == "hostnetwork" and not value):
                continue
            rest[key] = _rest(key, value, where)
        if self.pod_template_file is not None:
            template = find_file(self, text(self.pod_template_file, "pod_template_file" + where))
            if template is None:
                _session.current().warn(
                    "pod_template_file %s%s is not beside the DAG file, and workers have no files of their own"
                    % (self.pod_template_file, where), self._updraft_line,
                )
            else:
                rest["pod_template_text"] = template
        resources = self.container_resources
        if resources is None and self.resources is not None:
            resources = old_resources(self.resources) if isinstance(self.resources, dict) else self.resources
        action = str(getattr(self.on_finish_action, "value", self.on_finish_action))
        if action not in _FINISH:
            raise InvalidArgument(
                "on_finish_action%s is %r" % (where, action), did_you_mean(action, _FINISH) or "it is one of " + ", ".join(_FINISH)
            )
        run = {
            "kind": "pod",
            "image": _optional(self.image, "image" + where),
            "name": _optional(self.name, "name" + where),
            "namespace": _optional(self.namespace, "namespace" + where),
            "cmds": text_list(self.cmds, "cmds" + where),
            "arguments": text_list(self.arguments, "arguments" + where),
            "env_vars": env_vars,
            "labels": text_map(self.labels or {}, "labels" + where),
            "annotations": text_map(self.annotations or {}, "annotations" + where),
            "container_resources": to_json(resources, "container_resources" + where) if resources else None,
            "on_finish_action": action,
            "do_xcom_push": bool(self.do_xcom_push),
            "skip_on_exit_code": exit_codes(self.skip_on_exit_code, where) or None,
            "rest": {key: rest[key] for key in sorted(rest)},
        }
        return run


# In Airflow a deprecated subclass; files compare and subclass it as if it were the same.
KubernetesPodOperatorAsync = KubernetesPodOperator


def _optional(value, what):
    return text(value, what) if value is not None else None


def _rest(key, value, where):
    what = key + where
    if key == "image_pull_secrets":
        if isinstance(value, str):
            return [{"name": name.strip()} for name in value.split(",") if name.strip()]
        return [{"name": item} if isinstance(item, str) else to_json(item, what) for item in value]
    if isinstance(value, timedelta):
        return int(value.total_seconds())
    if isinstance(value, (set, frozenset)):
        return plain(value, what)
    return to_json(value.value if isinstance(value, Enum) else value, what)


def _variable(item, what):
    found = to_json(item, what)
    if not isinstance(found, dict) or not found.get("name"):
        raise InvalidArgument("%s holds a %s without a name" % (what, type(item).__name__),
                              "write {\"NAME\": \"value\"} or V1EnvVar objects")
    value = found.get("value")
    made = {"name": str(found["name"])}
    if value is not None:
        made["value"] = text(value, what)
    source = found.get("valueFrom", found.get("value_from"))
    if source is not None:
        made["value_from"] = source
    return made


def _environment(task, where):
    """The pod's variables and the sources of more: env_vars, then pod_runtime_info_envs, then secrets, as Airflow adds them."""
    rest = {}
    what = "env_vars" + where
    given = task.env_vars
    if given is None:
        found = []
    elif isinstance(given, dict):
        found = [_variable({"name": str(name), "value": value}, what) for name, value in given.items()]
    elif isinstance(given, (list, tuple)):
        found = [_variable(item, what) for item in given]
    else:
        raise InvalidArgument("%s is a %s, not a dict" % (what, type(given).__name__), "write {\"NAME\": \"value\"}")
    for item in task.pod_runtime_info_envs or []:
        found.append(_variable(item, "pod_runtime_info_envs" + where))
    sources = to_json(list(task.env_from or []), "env_from" + where)
    for name in task.configmaps or []:
        sources.append({"configMapRef": {"name": text(name, "configmaps" + where)}})
    for secret in _secrets(task, where):
        if secret.deploy_type != "env":
            continue
        if secret.key is None:
            sources.append({"secretRef": {"name": secret.secret}})
        else:
            reference = {"secretKeyRef": {"name": secret.secret, "key": secret.key}}
            found.append({"name": secret.deploy_target, "value_from": reference})
    if sources:
        rest["env_from"] = sources
    return found, rest


def _volumes(task, rest, where):
    volumes = to_json(list(task.volumes or []), "volumes" + where)
    mounts = to_json(list(task.volume_mounts or []), "volume_mounts" + where)
    number = 0
    for secret in _secrets(task, where):
        if secret.deploy_type != "volume":
            continue
        name = "secretvol%d" % number
        number += 1
        source = {"secretName": secret.secret}
        items = to_json(list(secret.items), "secrets" + where)
        # As in Airflow: a key without items mounts the whole secret.
        if items:
            source["items"] = items
        volumes.append({"name": name, "secret": source})
        mounts.append({"name": name, "mountPath": secret.deploy_target, "readOnly": True})
    if volumes:
        rest["volumes"] = volumes
    if mounts:
        rest["volume_mounts"] = mounts


def _secrets(task, where):
    for secret in task.secrets or []:
        if not isinstance(secret, Secret):
            raise InvalidArgument(
                "secrets%s holds a %s" % (where, type(secret).__name__), "write Secret(\"env\", \"NAME\", \"secret\", \"key\")"
            )
        yield secret
