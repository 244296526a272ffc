"""The pods that Airflow's KubernetesPodOperator makes of pods.py, as JSON: run it as facts.py."""

import json
import logging
import os
import re
import sys
import tempfile

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp())
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "CRITICAL"

OUT = os.dup(1)
os.dup2(2, 1)


def without_nothing(value):
    """Without what says nothing: the API server takes both for the same. An empty volume source says something."""
    if isinstance(value, dict):
        found = {name: without_nothing(inner) for name, inner in value.items()}
        return {name: inner for name, inner in found.items()
                if not (inner is None or inner is False or inner == [] or (inner == {} and name != "emptyDir"))}
    if isinstance(value, list):
        return [without_nothing(inner) for inner in value]
    return value


def numbered(pod):
    """With numbers for the chance in the names of secret volumes."""
    text = json.dumps(pod)
    for number, name in enumerate(dict.fromkeys(re.findall(r"secretvol[0-9a-f-]{36}", text))):
        text = text.replace(name, "secretvol%d" % number)
    return json.loads(text)


def main():
    from kubernetes.client import ApiClient

    logging.disable(logging.CRITICAL)
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import pods

    found = {}
    for task in pods.dag.tasks:
        if task.namespace is None:
            # Asked of a connection in Airflow, and of the installation here.
            task.namespace = (task.full_pod_spec.metadata or pods.k8s.V1ObjectMeta()).namespace if task.full_pod_spec else None
            task.namespace = task.namespace or (task.pod_template_dict or {}).get("metadata", {}).get("namespace") or "default"
        # The part of a name that is chance is left out.
        task.random_name_suffix = False
        pod = ApiClient().sanitize_for_serialization(task.build_pod_request_obj(dry_run=True))
        found[task.task_id] = numbered(without_nothing(pod))
    with os.fdopen(OUT, "w") as stdout:
        json.dump(found, stdout, indent=1, sort_keys=True)
        stdout.write("\n")


main()
