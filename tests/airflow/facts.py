"""What Airflow itself reads in its example files, as JSON: run it with the Python of a virtual environment that has Airflow and the
Kubernetes provider. `make test-airflow` does.

    facts.py              the example files
    facts.py FOLDER       the files of a folder

For every file: the DAGs that Airflow finds, or the error that it reports. What is Airflow's default is left out.
"""

import json
import os
import sys
import tempfile
import warnings
from datetime import date, timedelta

import examples
from compare import DEFAULTS, steady

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp())
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "CRITICAL"
# The provider's system tests make ids of it.
os.environ["SYSTEM_TESTS_ENV_ID"] = "facts"

CLASSES_OF_SCHEDULES = {
    "NullTimetable": "none", "OnceTimetable": "once", "ContinuousTimetable": "continuous",
    "CronTriggerTimetable": "cron", "MultipleCronTriggerTimetable": "cron", "CronDataIntervalTimetable": "cron",
    "DeltaTriggerTimetable": "delta", "DeltaDataIntervalTimetable": "delta",
    "AssetTriggeredTimetable": "assets", "PartitionedAssetTimetable": "assets", "PartitionedAtRuntime": "none",
    "CronPartitionTimetable": "cron",
}


def schedule(table):
    if type(table).__name__ == "AssetOrTimeSchedule":
        table = table.timetable
    kind = CLASSES_OF_SCHEDULES.get(type(table).__name__, type(table).__name__)
    if kind == "cron":
        several = getattr(table, "_timetables", None) or getattr(table, "timetables", None)
        crons = [one.expression if hasattr(one, "expression") else one._expression for one in several] if several else [
            getattr(table, "expression", None) or getattr(table, "_expression", None)]
        return {"kind": kind, "expressions": crons}
    if kind == "delta":
        every = getattr(table, "delta", None) or getattr(table, "_delta", None)
        return {"kind": kind, "seconds": every.total_seconds() if isinstance(every, timedelta) else str(every)}
    return {"kind": kind}


def params(of):
    found = {}
    for name, param in of.items():
        value = param.value if hasattr(param, "value") and hasattr(param, "schema") else param
        try:
            json.dumps(value)
        except TypeError:
            value = None
        found[name] = value
    return found


def raw(of):
    return {name: of.get_param(name) if hasattr(of, "get_param") else of[name] for name in of}


def task_facts(task):
    found = {
        "upstream": sorted(task.upstream_task_ids),
        "trigger_rule": str(getattr(task.trigger_rule, "value", task.trigger_rule)),
        "retries": task.retries or 0,
        "retry_delay": task.retry_delay.total_seconds(),
        "pool": task.pool,
        "pool_slots": task.pool_slots,
        "queue": task.queue,
        "owner": task.owner,
        "depends_on_past": bool(task.depends_on_past or task.wait_for_downstream),
        "weight_rule": _word(task.weight_rule),
        "priority_weight": task.priority_weight,
        "execution_timeout": task.execution_timeout.total_seconds() if task.execution_timeout else None,
        "mapped": type(task).__name__.endswith("MappedOperator"),
        "setup": bool(task.is_setup),
        "teardown": bool(task.is_teardown),
        "params": params(raw(task.params)),
    }
    return {name: value for name, value in found.items() if value != DEFAULTS[name]}


def _word(rule):
    word = getattr(rule, "value", rule)
    return word if word in ("downstream", "upstream", "absolute") else "a class of its own"


def dag_facts(dag):
    return {
        "schedule": schedule(dag.timetable),
        "catchup": bool(dag.catchup),
        "start_date": steady(dag.start_date.timestamp()) if dag.start_date else None,
        "tags": sorted(dag.tags),
        "description": dag.description,
        "params": params(raw(dag.params)),
        "max_active_runs": dag.max_active_runs,
        "max_active_tasks": dag.max_active_tasks,
        "groups": {group_id: sorted(group.children) for group_id, group in dag.task_group.get_task_group_dict().items() if group_id},
        "tasks": {task.task_id: task_facts(task) for task in dag.tasks},
    }


def of_file(path):
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(path, safe_mode=True)
    if bag.import_errors:
        return {"error": list(bag.import_errors.values())[0].strip().splitlines()[-1]}
    return {dag_id: dag_facts(dag) for dag_id, dag in sorted(bag.dags.items())}


def main():
    warnings.simplefilter("ignore")
    # Files and Airflow print what they like.
    out = os.dup(1)
    os.dup2(2, 1)
    sys.path.append(examples.BESIDE)
    found = {}
    for path in examples.dag_files(sys.argv[1]) if len(sys.argv) > 1 else ():
        found[os.path.basename(path)] = of_file(path)
    for name, _, _ in examples.SETS if len(sys.argv) == 1 else ():
        root = os.path.join(examples.folder(), name)
        sys.path.insert(0, root)
        for path in examples.dag_files(root):
            found["%s/%s" % (name, os.path.relpath(path, root))] = of_file(path)
        sys.path.remove(root)
    text = json.dumps(found, indent=1, sort_keys=True).replace(date.today().isoformat(), "<today>")
    with os.fdopen(out, "w") as stdout:
        stdout.write(text + "\n")


main()
