"""What the scheduler does itself, without Airflow: sensors that a clock or the state of another DAG answers, branches by the time, and runs of
other DAGs. Each function gives the `run` of a task's spec, or None and why it takes Airflow."""

from datetime import datetime, time, timedelta

from airflow._dates import to_milliseconds
from airflow._decorated_pod import json_template
from airflow._enums import WeekDay
from airflow._problem import InvalidArgument, did_you_mean
from airflow._values import is_later, plain, text

_TASK_STATES = ("none", "removed", "scheduled", "queued", "running", "success", "restarting", "failed", "up_for_retry",
                "up_for_reschedule", "upstream_failed", "skipped", "deferred")
_RUN_STATES = ("queued", "running", "success", "failed")


def sensor(task, what, timeout=True, poke_interval=None):
    """A task that waits. `timeout`: whether the sensor's own counts."""
    if task.never_fail:
        return task._updraft_airflow("%s has never_fail" % task.task_type)
    of = " of task %s" % task.task_id
    return {
        "kind": "wait",
        "what": {name: value for name, value in what.items() if value is not None},
        "poke_interval_ms": _milliseconds(task.poke_interval if poke_interval is None else poke_interval, "poke_interval" + of),
        "timeout_ms": _milliseconds(task.timeout, "timeout" + of) if timeout else None,
        "soft_fail": True if task.soft_fail else None,
        "exponential_backoff": True if task.exponential_backoff else None,
        "max_wait_ms": None if task.max_wait is None else _milliseconds(task.max_wait, "max_wait" + of),
    }


def _milliseconds(value, what):
    return to_milliseconds(value if isinstance(value, timedelta) else timedelta(seconds=_number(value, what)), what)


def _number(value, what):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or value < 0:
        raise InvalidArgument("%s is %r" % (what, value), "write seconds, or a timedelta")
    return min(float(value), 1e10)


def date_time(task):
    """DateTimeSensor."""
    target = task.target_time
    if isinstance(target, datetime):
        target = target.isoformat()
    elif not isinstance(target, str) and not is_later(target):
        raise InvalidArgument("target_time of task %s is a %s" % (task.task_id, type(target).__name__), "write a datetime, or text with a date and time")
    return {"kind": "moment", "target_time": text(target, "target_time")}


def time_of_day(task):
    """TimeSensor."""
    target = task.target_time
    if not isinstance(target, time):
        raise InvalidArgument("target_time of task %s is a %s" % (task.task_id, type(target).__name__), "write datetime.time(hour, minute)")
    return {"kind": "time_of_day", "target_time": target.replace(tzinfo=None).isoformat()}


def delta(task):
    """TimeDeltaSensor. None: its delta is known only when it runs."""
    if not isinstance(task.delta, timedelta):
        if isinstance(task.delta, str) or is_later(task.delta):
            return None
        raise InvalidArgument("delta of task %s is a %s" % (task.task_id, type(task.delta).__name__), "write timedelta(hours=…)")
    return {"kind": "delta", "delta_ms": int(task.delta / timedelta(milliseconds=1))}


def duration(task):
    """WaitSensor: a number is minutes. None: it is known only when it runs."""
    value = task.time_to_wait
    if isinstance(value, str) or is_later(value):
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = timedelta(minutes=value)
    if not isinstance(value, timedelta):
        raise InvalidArgument("time_to_wait of task %s is a %s" % (task.task_id, type(value).__name__), "write timedelta(minutes=…)")
    return {"kind": "duration", "duration_ms": max(0, int(value / timedelta(milliseconds=1)))}


def days_of(value, task_id):
    """Days of the week by number, 1 is Monday."""
    days = [value] if isinstance(value, (str, int)) else list(value or ())
    found = set()
    for day in days:
        if isinstance(day, str) and day.upper() in WeekDay.__members__:
            found.add(int(WeekDay[day.upper()]))
        elif isinstance(day, int) and 1 <= int(day) <= 7:
            found.add(int(day))
        else:
            names = [name.capitalize() for name in WeekDay.__members__]
            raise InvalidArgument("week_day of task %s is %r" % (task_id, day), did_you_mean(str(day).capitalize(), names) or "write Monday")
    if not found:
        raise InvalidArgument("week_day of task %s names no day" % task_id, "write Monday, or a set of such names")
    return sorted(found)


def weekday(task):
    """DayOfWeekSensor."""
    of_date = bool(task.use_task_logical_date or task.use_task_execution_day)
    return {"kind": "weekday", "days": days_of(task.week_day, task.task_id), "of_logical_date": of_date or None}


def external(task):
    """ExternalTaskSensor: what it waits for, or None and why it takes Airflow."""
    where = " of task %s" % task.task_id
    if task.execution_date_fn is not None:
        if task.execution_delta is not None:
            raise InvalidArgument("execution_delta and execution_date_fn%s are both given" % where, "give one of them")
        return None, "execution_date_fn%s is Python code" % where
    ids = task.external_task_ids
    if task.external_task_id is not None and ids:
        raise InvalidArgument("external_task_id and external_task_ids%s are both given" % where, "give one of them")
    if task.external_task_id is not None:
        ids = [task.external_task_id]
    elif is_later(ids) or isinstance(ids, str):
        return None, "external_task_ids%s is a value of another task" % where
    ids = [text(one, "external_task_ids" + where) for one in ids or ()]
    if task.external_task_group_id is not None and ids:
        raise InvalidArgument("external_task_group_id%s stands beside tasks" % where, "give the group or the tasks")
    if len(set(ids)) < len(ids):
        raise InvalidArgument("external_task_ids%s has an id twice" % where, "take one of them out")
    known = _TASK_STATES if ids or task.external_task_group_id is not None else _RUN_STATES
    states = {
        "allowed_states": _states(task.allowed_states, known, "allowed_states" + where) or ["success"],
        "skipped_states": _states(task.skipped_states, known, "skipped_states" + where),
        "failed_states": _states(task.failed_states, known, "failed_states" + where),
    }
    every = [state for some in states.values() for state in some]
    if len(set(every)) < len(every):
        raise InvalidArgument("allowed_states, skipped_states and failed_states%s have a state twice" % where, "each state means one thing")
    if task.execution_delta is not None and not isinstance(task.execution_delta, timedelta):
        raise InvalidArgument("execution_delta%s is a %s" % (where, type(task.execution_delta).__name__), "write timedelta(hours=…)")
    return {
        "kind": "external",
        "external_dag_id": text(task.external_dag_id, "external_dag_id" + where),
        "external_task_ids": ids or None,
        "external_task_group_id": None if task.external_task_group_id is None else text(task.external_task_group_id, "external_task_group_id" + where),
        "execution_delta_ms": int(task.execution_delta / timedelta(milliseconds=1)) if task.execution_delta else None,
        "check_existence": bool(task.check_existence) or None,
        **{name: some for name, some in states.items() if some},
    }, None


def _states(given, known, what):
    words = [given] if isinstance(given, str) else list(given or ())
    words = ["none" if word is None else str(getattr(word, "value", word)) for word in words]
    for word in words:
        if word not in known:
            raise InvalidArgument("%s has %r" % (what, word), did_you_mean(word, known) or "it is one of " + ", ".join(known))
    return words


def trigger(task):
    """TriggerDagRunOperator."""
    where = " of task %s" % task.task_id
    for name in ("wait_for_completion", "skip_when_already_exists", "reset_dag_run", "fail_when_dag_is_paused"):
        if isinstance(getattr(task, name), str) or is_later(getattr(task, name)):
            return task._updraft_airflow("%s%s is known only when it runs" % (name, where))
    if task.python_callable is not None:
        return task._updraft_airflow("python_callable%s is Python code" % where)
    date = task.logical_date if task.logical_date is not None else task.execution_date
    none_given = date is None and "logical_date" in task._updraft_given
    what = {
        "kind": "run",
        "trigger_dag_id": text(task.trigger_dag_id, "trigger_dag_id" + where),
        "trigger_run_id": None if not task.trigger_run_id else text(task.trigger_run_id, "trigger_run_id" + where),
        "conf": _conf(task.conf, "conf" + where),
        "logical_date": _date(date, "logical_date" + where),
        "no_logical_date": none_given or None,
        "run_after": _date(task.run_after, "run_after" + where),
        "note": None if task.note is None else str(task.note),
        "reset_dag_run": bool(task.reset_dag_run) or None,
        "skip_when_already_exists": bool(task.skip_when_already_exists) or None,
        "fail_when_dag_is_paused": bool(task.fail_when_dag_is_paused) or None,
        "wait_for_completion": bool(task.wait_for_completion) or None,
        "allowed_states": _states(task.allowed_states, _RUN_STATES, "allowed_states" + where) or ["success"],
        "failed_states": (["failed"] if task.failed_states is None else _states(task.failed_states, _RUN_STATES, "failed_states" + where)) or None,
    }
    return {
        "kind": "wait",
        "what": {name: value for name, value in what.items() if value is not None},
        "poke_interval_ms": _milliseconds(task.poke_interval, "poke_interval" + where),
    }


def _date(value, what):
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) or is_later(value):
        return text(value, what)
    raise InvalidArgument("%s is a %s" % (what, type(value).__name__), "write a datetime, or text with a date and time")


def _conf(value, what):
    if value is None:
        return None
    if isinstance(value, str):
        return str(value)
    if _holds_later(value):
        # Values of other tasks keep their type.
        return json_template(value, what)
    if not isinstance(value, dict):
        raise InvalidArgument("%s is a %s" % (what, type(value).__name__), "write a dict")
    return plain(value, what)


def _holds_later(value):
    if is_later(value):
        return True
    if isinstance(value, dict):
        return any(_holds_later(inner) for inner in value.values())
    return isinstance(value, (list, tuple)) and any(_holds_later(inner) for inner in value)


def branch(task, test, of_logical_date):
    """A branch by the time."""
    return {
        "kind": "branch", "test": test, "of_logical_date": True if of_logical_date else None,
        "if_true": _followed(task, task.follow_task_ids_if_true), "if_false": _followed(task, task.follow_task_ids_if_false),
    }


def _followed(task, given):
    """The ids of the tasks; a group stands for those that it begins with."""
    found = []
    groups = task.dag.task_group.get_task_group_dict()
    for one in [given] if isinstance(given, str) else list(given or ()):
        one = str(getattr(one, "task_id", one))
        if one in task.dag.task_dict:
            found.append(one)
        elif one in groups:
            found.extend(first.task_id for first in groups[one].starts())
        else:
            hint = did_you_mean(one, sorted(task.dag.task_dict)) or "write the whole id, with those of the groups around it"
            raise InvalidArgument("task %s goes on with %s, which is no task of its DAG" % (task.task_id, one), hint)
    return found


def between(task):
    """The test of BranchDateTimeOperator. None: one of its times is in a zone of its own."""
    test = {"kind": "between"}
    for name, value in (("lower", task.target_lower), ("upper", task.target_upper)):
        if value is None:
            continue
        if isinstance(value, time) and value.tzinfo is not None:
            return None
        if not isinstance(value, (datetime, time)):
            raise InvalidArgument("target_%s of task %s is a %s" % (name, task.task_id, type(value).__name__), "write a datetime or a time")
        test[name] = value.isoformat()
    if len(test) == 1:
        raise InvalidArgument("task %s has neither target_lower nor target_upper" % task.task_id, "give one of them")
    return test
