"""What a task's code is given: Airflow's context, of what the scheduler handed over."""

import datetime
import os
import socket

from airflow import _answers, _context
from airflow._problem import AirflowException
from updraft_task import values


def make(given, task):
    """The context and the task instance in it."""
    run = DagRun(given, task)
    ti = TaskInstance(given, task, run)
    at = run.logical_date
    day = datetime.timedelta(days=1)
    made = _context.Context()
    made.update({name: _moment(given["dates"].get(name)) for name in _MOMENTS})
    for name, moment in (("ds", at), ("yesterday_ds", at - day), ("tomorrow_ds", at + day), ("prev_ds", made["prev_execution_date"]),
                         ("next_ds", made["next_execution_date"])):
        made[name] = moment.strftime("%Y-%m-%d") if moment is not None else None
        made[name + "_nodash"] = moment.strftime("%Y%m%d") if moment is not None else None
    ts = at.isoformat()
    made.update({
        "conf": _answers.conf, "conn": _Connections(), "dag": task.dag, "dag_run": run, "execution_date": at, "expanded_ti_count": None,
        "inlets": [], "inlet_events": {}, "macros": _context.macros, "map_index_template": None, "outlets": [], "outlet_events": {},
        "params": ti._updraft_params(), "run_id": run.run_id, "task": task, "task_instance": ti, "ti": ti,
        "task_instance_key_str": "%s__%s__%s" % (ti.dag_id, ti.task_id, made["ds_nodash"]), "task_reschedule_count": 0, "templates_dict": None,
        "test_mode": False, "triggering_asset_events": {}, "triggering_dataset_events": {}, "try_number": ti.try_number, "ts": ts,
        "ts_nodash": at.strftime("%Y%m%dT%H%M%S"), "ts_nodash_with_tz": ts.replace("-", "").replace(":", ""),
        "var": {"value": _Variables(False), "json": _Variables(True)}, "partition_key": None,
    })
    return made, ti


_MOMENTS = ("logical_date", "data_interval_start", "data_interval_end", "run_after", "start_date", "prev_execution_date", "next_execution_date",
            "prev_data_interval_start_success", "prev_data_interval_end_success", "prev_start_date_success", "prev_end_date_success")


def _moment(text):
    if text is None:
        return None
    import pendulum

    return pendulum.instance(datetime.datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text))


class DagRun:
    """The run."""

    def __init__(self, given, task):
        run = given["run"]
        self.dag_id = given["dag_id"]
        self.run_id = run["run_id"]
        self.run_type = run["run_type"]
        self.conf = run.get("conf") or {}
        self.dag = task.dag
        self.external_trigger = self.run_type == "manual"
        self.triggering_user_name = run.get("triggering_user")
        self.state = "running"
        for name in ("logical_date", "data_interval_start", "data_interval_end", "run_after", "start_date"):
            setattr(self, name, _moment(given["dates"].get(name)))
        self.execution_date = self.logical_date
        self.end_date = None

    def __repr__(self):
        return "<DagRun %s @ %s>" % (self.dag_id, self.run_id)

    def __getattr__(self, name):
        raise AttributeError("dag_run.%s is not passed to tasks: what else is known of the run is in Updraft's API" % name)


class TaskInstance:
    """The task instance: who it is, and the values of other tasks."""

    map_index = -1
    state = "running"
    end_date = duration = None

    def __init__(self, given, task, run):
        self._given = given
        self.task = task
        self.dag_run = run
        self.dag_id, self.task_id, self.run_id = given["dag_id"], given["task_id"], run.run_id
        self.try_number, self.max_tries = given["try_number"], given["max_tries"]
        self.execution_date = self.logical_date = run.logical_date
        self.operator, self.queue, self.pool, self.priority_weight = task.task_type, task.queue, task.pool, task.priority_weight
        self.hostname, self.pid = socket.gethostname(), os.getpid()
        self.log = task.log
        self.start_date = _moment(datetime.datetime.now(datetime.timezone.utc).isoformat())
        self.key = (self.dag_id, self.task_id, self.run_id, self.try_number, self.map_index)
        self.pushed = {}

    def __repr__(self):
        return "<TaskInstance: %s.%s %s [running]>" % (self.dag_id, self.task_id, self.run_id)

    def __getattr__(self, name):
        raise AttributeError("ti.%s is not passed to tasks: what else is known of the task instance is in Updraft's API" % name)

    def get_dagrun(self, *args, **kwargs):
        """The run."""
        return self.dag_run

    def get_template_context(self, *args, **kwargs):
        """The whole context."""
        return _context.running

    def xcom_push(self, key, value, *args, **kwargs):
        """Leaves a value for other tasks. It is stored when the task ends well."""
        self.pushed[str(key)] = values.to_json(value, "the value %s" % key)

    def xcom_pull(self, task_ids=None, dag_id=None, key="return_value", include_prior_dates=False, session=None, *, map_indexes=None,
                  default=None, run_id=None):
        """The values of other tasks of this run."""
        if dag_id not in (None, self.dag_id) or run_id not in (None, self.run_id) or include_prior_dates:
            raise AirflowException("xcom_pull() of another DAG or run is not supported: store what is shared outside, and read it there")
        if task_ids is None:
            if key in self.pushed:
                return values.from_json(self.pushed[key])
            return next((self._value(task, key) for task in sorted(self._given["xcoms"], reverse=True) if key in self._given["xcoms"][task]), default)
        if isinstance(task_ids, str):
            return self._value(task_ids, key, default)
        missing = object()
        found = [self._value(task_id, key, missing) for task_id in task_ids]
        if self._given.get("semantics") == "2":
            return [value for value in found if value is not missing]
        return [default if value is missing else value for value in found]

    def _value(self, task_id, key, default=None):
        found = self._given["xcoms"].get(task_id, {})
        if key in found:
            return values.from_json(found[key])
        if task_id == self.task_id and key in self.pushed:
            return values.from_json(self.pushed[key])
        if self._given.get("xcoms_cut") and task_id in self.task.dag.task_dict and task_id not in self._given["xcoms_of"]:
            raise AirflowException("the values of this run are too many to pass all of them to each task, and %s does not come before %s: add an arrow "
                                   "between the two" % (task_id, self.task_id))
        return default

    def _updraft_argument(self, task_id, key):
        """The value that stands in an argument."""
        missing = object()
        value = self._value(task_id, key, missing)
        if value is missing:
            if key != "return_value":
                raise AirflowException("task %s left no value %s, and an argument of %s is made of it" % (task_id, key, self.task_id))
            return None
        return value

    def _updraft_params(self):
        """The parameters of the run, with what it was triggered with."""
        return dict(self._given["params"])


class _Variables:
    """`var.value.name`, `var.json.name`."""

    def __init__(self, json):
        self._json = json

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _answers.Variable.get(name, deserialize_json=self._json)

    def get(self, name, default=None):
        """Its value, or the default."""
        return _answers.Variable.get(name, default, deserialize_json=self._json)


class _Connections:
    """`conn.name`."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _answers.Connection.get(name)
