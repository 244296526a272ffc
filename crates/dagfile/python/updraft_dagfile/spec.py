"""A DAG as the DagSpec of crates/model/src/dag.rs. Fields with the model's default are left out only where the model does so."""

import os

from airflow import _python_tasks, _python_uses, _session
from airflow._dates import default_timezone, to_datetime, to_milliseconds, to_text, zone_name
from airflow._enums import OLD_TRIGGER_RULES, TriggerRule
from airflow._operator import BaseOperator, fields_of, link_values
from airflow._param import Param
from airflow._plain_operators import find_file
from airflow._problem import InvalidArgument, Unsupported, did_you_mean
from airflow._schedule import to_schedule
from airflow._values import for_people, plain, text_map, whole

_WEIGHT_RULES = ("downstream", "upstream", "absolute")
_MAX_U32 = 2**32 - 1


def dag_spec(dag, session):
    """The DAG's JSON. Raises a Problem that says what is wrong, with the line of the task where there is one."""
    where = "DAG %s" % dag.dag_id
    schedule, zone_of_schedule = to_schedule(dag.schedule, where)
    schedule = {key: value for key, value in schedule.items() if value is not None}
    tasks = list(dag.task_dict.values())
    for task in tasks:
        link_values(task)
    given_start = dag.start_date if dag.start_date is not None else dag.default_args.get("start_date")
    given_end = dag.end_date if dag.end_date is not None else dag.default_args.get("end_date")
    start = _moment(given_start, "start_date of " + where)
    end = _moment(given_end, "end_date of " + where)
    starts = [_start_of(task) for task in tasks]
    if start is None and starts and all(starts):
        start = min(starts)
        given_start = next(task.start_date for task, at in zip(tasks, starts) if at == start)
    zone = zone_of_schedule or getattr(given_start, "tzinfo", None) or default_timezone()
    spec = {
        "dag_id": dag.dag_id,
        "display_name": _text(dag.dag_display_name),
        "description": _text(dag.description),
        "doc_md": _markdown(dag.doc_md, dag),
        "tags": dag.tags if isinstance(dag.tags, list) and dag.tags == sorted(dag.tags) else sorted({str(tag) for tag in dag.tags or []}),
        "owner_links": text_map(dag.owner_links or {}, "owner_links of " + where),
        "schedule": schedule,
        "timezone": zone_name(zone, start),
        "start_date": to_text(start) if start else None,
        "end_date": to_text(end) if end else None,
        "catchup": None if dag.catchup is None else bool(dag.catchup),
        "max_active_runs": _limit(dag.max_active_runs, "max_active_runs of " + where),
        "max_active_tasks": _limit(dag.max_active_tasks, "max_active_tasks of " + where),
        "max_consecutive_failed_dag_runs":
            whole(dag.max_consecutive_failed_dag_runs or 0, "max_consecutive_failed_dag_runs of " + where, 0, _MAX_U32),
        "dagrun_timeout_ms": _duration(dag.dagrun_timeout, "dagrun_timeout of " + where),
        "is_paused_upon_creation": None if dag.is_paused_upon_creation is None else bool(dag.is_paused_upon_creation),
        "params": _params(dag.params, where),
        "default_args": {str(key): for_people(dag.default_args[key]) for key in sorted(dag.default_args, key=str)},
        "render_template_as_native_obj": bool(dag.render_template_as_native_obj),
        "task_groups": _groups(dag),
        "tasks": [],
    }
    for task in tasks:
        try:
            spec["tasks"].append(_task_spec(task, dag, session, start, end))
        except (InvalidArgument, Unsupported) as problem:
            if problem.line is None:
                problem.line = task._updraft_line
            raise
    return _without_nothing(spec)


def _start_of(task):
    try:
        return _moment(task.start_date, "start_date of task %s" % task.task_id)
    except InvalidArgument as problem:
        problem.line = task._updraft_line
        raise


def _task_spec(task, dag, session, dag_start, dag_end):
    where = "task %s" % task.task_id
    of = " of " + where
    start = _moment(task.start_date, "start_date" + of)
    end = _moment(task.end_date, "end_date" + of)
    # As Airflow: a task starts no earlier and ends no later than its DAG.
    if start is not None and dag_start is not None and start <= dag_start:
        start = None
    if end is not None and dag_end is not None and end >= dag_end:
        end = None
    spec = {
        "task_id": task.task_id,
        "display_name": _text(task.task_display_name),
        "run": _without_nothing(_run(task)),
        "operator": task.task_type,
        "operator_module": _module_of(getattr(task, "operator_class", type(task)), session),
        "task_group": task.task_group.group_id if task.task_group is not None else None,
        "is_setup": bool(task.is_setup) or None,
        "is_teardown": bool(task.is_teardown) or None,
        "on_failure_fail_dagrun": bool(task.is_teardown and task.on_failure_fail_dagrun) or None,
        "owner": str(task.owner),
        "upstream": sorted(task.upstream_task_ids),
        "trigger_rule": _trigger_rule(task.trigger_rule, of),
        "depends_on_past": bool(task.depends_on_past) or bool(task.wait_for_downstream),
        "wait_for_downstream": bool(task.wait_for_downstream),
        "retries": whole(task.retries or 0, "retries" + of, 0, _MAX_U32),
        "retry_delay_ms": to_milliseconds(task.retry_delay, "retry_delay" + of),
        "retry_exponential_backoff_milli": _backoff(task.retry_exponential_backoff, of),
        "max_retry_delay_ms": _duration(task.max_retry_delay, "max_retry_delay" + of),
        "execution_timeout_ms": _duration(task.execution_timeout, "execution_timeout" + of),
        "pool": str(task.pool or "default_pool"),
        "pool_slots": whole(task.pool_slots, "pool_slots" + of, 1, _MAX_U32),
        "queue": str(task.queue or "default"),
        "priority_weight": whole(task.priority_weight, "priority_weight" + of, -(2**31), 2**31 - 1),
        "weight_rule": _weight_rule(task.weight_rule, of),
        "max_active_tis_per_dag": _limit(task.max_active_tis_per_dag, "max_active_tis_per_dag" + of),
        "start_date": to_text(start) if start else None,
        "end_date": to_text(end) if end else None,
        "params": _params(task.params, where),
        "doc_md": _markdown(task.doc_md, dag) or _text(task.doc) or _text(task.doc_rst),
        "groups": _groups_not_in_its_id(task),
        "template_fields": fields_of(task),
    }
    return _without_nothing(spec)


def _groups_not_in_its_id(task):
    """The groups around a task that its id does not tell, outermost first: those of `prefix_group_id=False`."""
    groups = []
    group = task.task_group
    while group is not None and not group.is_root:
        if not task.task_id.startswith(group.group_id + "."):
            groups.insert(0, group.group_id)
        group = group.parent_group
    return groups


def _without_nothing(spec):
    """Without the fields that the model leaves out when there is nothing in them."""
    return {key: value for key, value in spec.items() if value is not None and (value or value in (0, False) or key in _KEPT)}


# Texts and lists that may be empty and are written all the same.
_KEPT = frozenset(["upstream", "tasks", "bash_command", "owner", "skip_on_exit_code", "env", "do_xcom_push"])


# Methods in which an operator's own class says what it does.
_WORK = ("execute", "execute_sync", "build_pod_request_obj", "create_pod_request_obj", "pre_execute", "post_execute", "choose_branch", "poke")


def _run(task):
    """What the task does. What only Airflow can do is kept for it, with the reason."""
    cls = type(task)
    reason = None
    if task.task_group is not None and task.task_group.mapped_around():
        reason = "%s is in a mapped task group" % task.task_id
    elif _python_tasks.runs_here(task):
        missing = _python_uses.what_is_missing(task)
        if missing is None:
            return _python_tasks.python_run(task)
        reason = "the code of %s uses %s" % (task.task_id, missing)
    elif task._updraft_conditions:
        reason = "%s has a condition (run_if or skip_if)" % task.task_id
    elif cls._updraft_run is not BaseOperator._updraft_run:
        ours = next(base for base in cls.__mro__ if "_updraft_run" in base.__dict__)
        for base in cls.__mro__[:cls.__mro__.index(ours)]:
            name = next((name for name in _WORK if name in base.__dict__), None)
            if name is not None:
                reason = "%s has a method %s() of its own" % (cls.__name__, name)
                break
    return task._updraft_run() if reason is None else task._updraft_airflow(reason)


def _groups(dag):
    """The task groups, in the order of their making, outer ones before those inside."""
    found = []
    for group in dag.task_group.get_task_group_dict().values():
        if not group.is_root:
            found.append(_without_nothing({
                "group_id": group.group_id,
                "display_name": _text(group.group_display_name),
                "tooltip": _text(group.tooltip),
                "parent": group.parent_group.group_id,
                "is_mapped": group.is_mapped or None,
            }))
    return found


def _module_of(cls, session):
    module = cls.__module__
    if module == session.module_name:
        path = os.path.relpath(session.path, session.root or "/")
        return path[:-3].replace("/", ".") if path.endswith(".py") else path.replace("/", ".")
    return module


def _text(value):
    return None if value is None or value == "" else str(value)


def _markdown(value, dag):
    if value is None or value == "":
        return None
    value = str(value)
    if value.endswith(".md") and "\n" not in value:
        probe = _Anywhere(dag)
        return find_file(probe, value) or value
    return value


class _Anywhere:
    """Stands for a task where a file is looked for on behalf of the DAG."""

    def __init__(self, dag):
        self._dag = dag


def _moment(value, what):
    return None if value is None else to_datetime(value, what)


def _duration(value, what):
    return None if value is None else to_milliseconds(value, what)


def _limit(value, what):
    if value is None:
        return None
    number = whole(value, what, 0, _MAX_U32)
    if number == 0:
        raise InvalidArgument("%s is 0" % what, "it must be at least 1; leave it out for the installation's limit")
    return number


def _backoff(value, of):
    if value is None or value is False:
        return 0
    if value is True:
        return 2000
    if not isinstance(value, (int, float)) or not 0 <= value <= 1000000:
        raise InvalidArgument("retry_exponential_backoff%s is %r" % (of, value), "write True or a factor such as 2.0")
    return int(round(value * 1000))


def _trigger_rule(value, of):
    word = str(getattr(value, "value", value))
    word = OLD_TRIGGER_RULES.get(word, word)
    if word not in TriggerRule.all_triggers():
        known = sorted(TriggerRule.all_triggers())
        raise InvalidArgument("trigger_rule%s is %r" % (of, word), did_you_mean(word, known) or "it is one of " + ", ".join(known))
    return word


def _weight_rule(value, of):
    word = getattr(value, "value", value)
    if not isinstance(word, str) or "." in word:
        _session.current().warn("weight_rule%s is a strategy of your own, which is not called: the rule downstream stands for it" % of)
        return "downstream"
    if word not in _WEIGHT_RULES:
        hint = did_you_mean(word, _WEIGHT_RULES) or "use one of " + ", ".join(_WEIGHT_RULES)
        raise InvalidArgument("weight_rule%s is %r" % (of, word), hint)
    return str(word)


def _params(params, where):
    pairs = params.items_as_params() if hasattr(params, "items_as_params") else dict(params or {}).items()
    found = {}
    for name, param in sorted(pairs, key=lambda pair: str(pair[0])):
        what = "param %s of %s" % (name, where)
        if not isinstance(param, Param):
            param = Param(param)
        made = {"value": plain(param.value, what)}
        if param.schema:
            made["schema"] = {str(key): plain(param.schema[key], what) for key in sorted(param.schema, key=str)}
        if param.description:
            made["description"] = str(param.description)
        found[str(name)] = made
    return found
