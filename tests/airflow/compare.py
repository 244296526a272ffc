"""Our reading of DAG files beside Airflow's: the differences between two sets of facts.

`of_ours` makes the facts of facts.py out of the parser's answer; `differences` lists what is not the same.
"""


from datetime import date, datetime
from time import time

# A task's facts where its file says nothing.
DEFAULTS = {
    "upstream": [], "trigger_rule": "all_success", "retries": 0, "retry_delay": 300.0, "pool": "default_pool", "pool_slots": 1,
    "queue": "default", "owner": "airflow", "depends_on_past": False, "weight_rule": "downstream", "priority_weight": 1,
    "execution_timeout": None, "mapped": False, "setup": False, "teardown": False, "params": {},
}
PRESETS = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}




def steady(seconds):
    """A date that files count from today on differs every day."""
    return "about today" if seconds is not None and abs(time() - seconds) < 20 * 86400 else seconds


def _when(text):
    return steady(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()) if text else None


def _params(params):
    found = {name: param.get("value") for name, param in params.items()}
    today = date.today().isoformat()
    return {name: value.replace(today, "<today>") if isinstance(value, str) else value for name, value in found.items()}


def _schedule(schedule):
    kind = schedule["kind"]
    if kind == "cron":
        return {"kind": kind, "expressions": [PRESETS.get(one, one) for one in schedule["expressions"]]}
    if kind == "delta":
        return {"kind": kind, "seconds": schedule["every_ms"] / 1000}
    return {"kind": kind}


def of_ours(dag):
    """The facts of one DAG of ours."""
    groups = {group["group_id"]: [] for group in dag.get("task_groups", [])}
    for group in dag.get("task_groups", []):
        if group.get("parent"):
            groups[group["parent"]].append(group["group_id"])
    tasks = {}
    for task in dag["tasks"]:
        if task.get("task_group"):
            groups[task["task_group"]].append(task["task_id"])
        found = {
            "upstream": task.get("upstream"),
            "retry_delay": task["retry_delay_ms"] / 1000 if "retry_delay_ms" in task else None,
            "execution_timeout": task["execution_timeout_ms"] / 1000 if "execution_timeout_ms" in task else None,
            "mapped": bool(task["run"].get("expand")),
            "setup": task.get("is_setup"),
            "teardown": task.get("is_teardown"),
            # Airflow counts the DAG's params among each task's.
            "params": _params(dict(dag.get("params", {}), **task.get("params", {}))),
        }
        found.update({name: task.get(name) for name in DEFAULTS if name not in found})
        tasks[task["task_id"]] = {name: DEFAULTS[name] if value is None else value for name, value in found.items()}
    return {
        "schedule": _schedule(dag["schedule"]),
        "catchup": dag.get("catchup") or False,
        "start_date": _when(dag.get("start_date")),
        "tags": dag.get("tags", []),
        "description": dag.get("description"),
        "params": _params(dag.get("params", {})),
        "max_active_runs": dag.get("max_active_runs"),
        "max_active_tasks": dag.get("max_active_tasks"),
        "groups": {group_id: sorted(children) for group_id, children in groups.items()},
        "tasks": tasks,
    }


def _same(name, ours, theirs):
    # What the file leaves open, an installation decides.
    if name in ("max_active_runs", "max_active_tasks") and ours is None:
        return theirs == 16
    # A rule of the user's own orders tasks and changes nothing else; we have the default in its place.
    if name == "weight_rule" and theirs == "a class of its own":
        return ours == "downstream"
    if name == "schedule":
        return ours["kind"] == theirs["kind"] and all(ours.get(key) == theirs.get(key) for key in ("expressions", "seconds"))
    return ours == theirs


def differences(ours, theirs, where):
    """What differs between our facts and Airflow's of one file: a list of texts."""
    found = []
    for dag_id in sorted(set(ours) | set(theirs)):
        at = "%s: DAG %s" % (where, dag_id)
        if dag_id not in ours or dag_id not in theirs:
            found.append("%s is %s" % (at, "missing" if dag_id in theirs else "not in Airflow"))
            continue
        one, other = ours[dag_id], theirs[dag_id]
        for name in other:
            if name != "tasks" and not _same(name, one[name], other[name]):
                found.append("%s: %s is %r, in Airflow %r" % (at, name, one[name], other[name]))
        for task_id in sorted(set(one["tasks"]) | set(other["tasks"])):
            ours_of, theirs_of = one["tasks"].get(task_id), other["tasks"].get(task_id)
            if ours_of is None or theirs_of is None:
                found.append("%s: task %s is %s" % (at, task_id, "missing" if ours_of is None else "not in Airflow"))
                continue
            theirs_of = dict(DEFAULTS, **theirs_of)
            found += ["%s: %s of task %s is %r, in Airflow %r" % (at, name, task_id, ours_of[name], theirs_of[name])
                      for name in theirs_of if not _same(name, ours_of[name], theirs_of[name])]
    return found
