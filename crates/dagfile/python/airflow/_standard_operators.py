"""The operators and sensors of Airflow's standard provider: their arguments, from 1.10 to 3. Most need Airflow to run."""

from airflow import _waits
from airflow._operator import BaseOperator, BaseSensorOperator
from airflow._plain_operators import EmptyOperator
from airflow._problem import InvalidArgument

_OPERATORS = "airflow.providers.standard.operators."
_SENSORS = "airflow.providers.standard.sensors."


def _keep(task, given):
    for name, value in given.items():
        if name not in ("self", "kwargs", "__class__"):
            setattr(task, name, value)


class SkipMixin:
    """Airflow's name: skips tasks while one runs."""

    def skip(self, *args, **kwargs):
        """Skips these tasks: the last argument that is a list of them, as its place differs between Airflow's versions."""
        from airflow import _context, _execute

        tasks = kwargs.get("tasks") or next((arg for arg in reversed(args) if isinstance(arg, (list, tuple))), [])
        _execute.leave_out(self, _context.get_current_context(), [task.task_id for task in tasks])

    def skip_all_except(self, ti, branch_task_ids):
        """Follows these tasks, and no others of those right after it."""
        from airflow import _context, _execute

        _execute.branch(self, _context.get_current_context(), branch_task_ids)


class BranchMixIn(SkipMixin):
    """Airflow's name."""

    def do_branch(self, context, branches_to_execute):
        """Follows these tasks, and hands them back."""
        from airflow import _execute

        return _execute.branch(self, context, branches_to_execute)


class BaseBranchOperator(BaseOperator, BranchMixIn):
    """The base of operators that choose among the tasks after them."""

    __module__ = _OPERATORS + "branch"

    def choose_branch(self, context):
        """The tasks to go on with, for a class of one's own to say."""
        raise NotImplementedError

    def execute(self, context):
        """Chooses, when the task runs."""
        return self.do_branch(context, self.choose_branch(context))


class PythonOperator(BaseOperator):
    """Calls a function."""

    __module__ = _OPERATORS + "python"
    template_fields = ("templates_dict", "op_args", "op_kwargs")
    ui_color = "#ffefeb"
    _updraft_runs_python = True

    def __init__(self, *, python_callable, op_args=None, op_kwargs=None, templates_dict=None, templates_exts=None,
                 show_return_value_in_logs=True, provide_context=None, **kwargs):
        super().__init__(**kwargs)
        if not callable(python_callable):
            raise InvalidArgument("python_callable of task %s is a %s" % (self.task_id, type(python_callable).__name__),
                                  "give it a function, without calling it")
        self.python_callable = python_callable
        self.op_args = op_args or ()
        self.op_kwargs = op_kwargs or {}
        self.templates_dict = templates_dict
        self.templates_exts = templates_exts
        self.show_return_value_in_logs = show_return_value_in_logs

    def execute(self, context):
        """Calls it, when the task runs."""
        result = self.execute_callable(context)
        if self.show_return_value_in_logs:
            self.log.info("Done. Returned value was: %s", result)
        else:
            self.log.info("Done. Returned value not shown")
        return result

    def execute_callable(self, context=None):
        """Calls it with its arguments."""
        from airflow import _context, _execute

        return _execute.call(self, context if context is not None else _context.get_current_context())


class BranchPythonOperator(PythonOperator, BranchMixIn):
    """Calls a function that names the tasks to go on with."""

    __module__ = _OPERATORS + "python"

    def execute(self, context):
        """Chooses, when the task runs."""
        return self.do_branch(context, super().execute(context))


class ShortCircuitOperator(PythonOperator, SkipMixin):
    """Calls a function that says whether to go on."""

    __module__ = _OPERATORS + "python"

    def __init__(self, *, ignore_downstream_trigger_rules=True, **kwargs):
        super().__init__(**kwargs)
        self.ignore_downstream_trigger_rules = ignore_downstream_trigger_rules

    def execute(self, context):
        """Asks, when the task runs."""
        from airflow import _execute

        return _execute.short_circuit(self, context, super().execute(context))


class _OtherPython(PythonOperator):
    template_fields = ("templates_dict", "op_args", "op_kwargs")
    # Another Python than that of the task's process.
    _updraft_runs_python = False

    def __init__(self, *, serializer=None, use_dill=False, string_args=None, expect_airflow=True, expect_pendulum=False,
                 skip_on_exit_code=None, env_vars=None, inherit_env=True, use_airflow_context=False, **kwargs):
        super().__init__(**kwargs)
        _keep(self, locals())


class PythonVirtualenvOperator(_OtherPython):
    """Calls a function in a virtual environment that is made for it."""

    __module__ = _OPERATORS + "python"
    template_fields = _OtherPython.template_fields + (
        "requirements", "venv_cache_path", "index_urls", "index_urls_from_connection_ids")
    template_ext = (".txt",)

    def __init__(self, *, requirements=None, python_version=None, system_site_packages=True, pip_install_options=None, index_urls=None,
                 index_urls_from_connection_ids=None, venv_cache_path=None, **kwargs):
        super().__init__(**kwargs)
        _keep(self, locals())


class ExternalPythonOperator(_OtherPython):
    """Calls a function in another Python."""

    __module__ = _OPERATORS + "python"
    template_fields = _OtherPython.template_fields + ("python",)

    def __init__(self, *, python, **kwargs):
        super().__init__(**kwargs)
        self.python = python


class BranchPythonVirtualenvOperator(PythonVirtualenvOperator, BranchMixIn):
    """Both."""

    __module__ = _OPERATORS + "python"


class BranchExternalPythonOperator(ExternalPythonOperator, BranchMixIn):
    """Both."""

    __module__ = _OPERATORS + "python"


class LatestOnlyOperator(BaseBranchOperator):
    """Goes on only in the newest run."""

    __module__ = _OPERATORS + "latest_only"
    ui_color = "#e9ffdb"

    def _updraft_run(self):
        return {"kind": "latest_only"}


class BranchDateTimeOperator(BaseBranchOperator):
    """Chooses by the time."""

    __module__ = _OPERATORS + "datetime"

    def __init__(self, *, follow_task_ids_if_true, follow_task_ids_if_false, target_lower, target_upper, use_task_logical_date=False,
                 use_task_execution_date=False, **kwargs):
        super().__init__(**kwargs)
        _keep(self, locals())

    def _updraft_run(self):
        test = _waits.between(self)
        if test is None:
            return self._updraft_airflow("%s has a time of the day with a zone of its own" % self.task_id)
        return _waits.branch(self, test, self.use_task_logical_date or self.use_task_execution_date)


class BranchDayOfWeekOperator(BaseBranchOperator):
    """Chooses by the day of the week."""

    __module__ = _OPERATORS + "weekday"

    def __init__(self, *, follow_task_ids_if_true, follow_task_ids_if_false, week_day, use_task_logical_date=False,
                 use_task_execution_day=False, **kwargs):
        super().__init__(**kwargs)
        _keep(self, locals())

    def _updraft_run(self):
        test = {"kind": "weekday", "days": _waits.days_of(self.week_day, self.task_id)}
        return _waits.branch(self, test, self.use_task_logical_date or self.use_task_execution_day)


class TriggerDagRunOperator(BaseOperator):
    """Starts a run of another DAG."""

    __module__ = _OPERATORS + "trigger_dagrun"
    template_fields = ("trigger_dag_id", "trigger_run_id", "logical_date", "conf", "wait_for_completion", "skip_when_already_exists")
    ui_color = "#ffefeb"

    def __init__(self, *, trigger_dag_id, trigger_run_id=None, conf=None, logical_date=None, execution_date=None, run_after=None,
                 reset_dag_run=False, wait_for_completion=False, poke_interval=60, allowed_states=None, failed_states=None,
                 skip_when_already_exists=False, fail_when_dag_is_paused=False, note=None, deferrable=False, python_callable=None,
                 openlineage_inject_parent_info=True, **kwargs):
        super().__init__(**kwargs)
        _keep(self, locals())

    def _updraft_run(self):
        return _waits.trigger(self)


class HITLOperator(BaseOperator):
    """Waits for a person's answer."""

    __module__ = _OPERATORS + "hitl"
    template_fields = ("subject", "body")

    def __init__(self, *, subject, options, body=None, defaults=None, multiple=False, params=None, notifiers=None, assigned_users=None,
                 respondents=None, response_timeout=None, **kwargs):
        # The params are the answer's form, and the task's params as well.
        super().__init__(params=params, **kwargs)
        given = dict(locals())
        del given["params"]
        _keep(self, given)


class ApprovalOperator(HITLOperator, SkipMixin):
    """Waits for a person's yes."""

    __module__ = _OPERATORS + "hitl"

    def __init__(self, *, ignore_downstream_trigger_rules=False, fail_on_reject=False, **kwargs):
        super().__init__(options=["Approve", "Reject"], **kwargs)
        self.ignore_downstream_trigger_rules = ignore_downstream_trigger_rules
        self.fail_on_reject = fail_on_reject


class HITLBranchOperator(HITLOperator, BranchMixIn):
    """Has a person choose among the tasks after it."""

    __module__ = _OPERATORS + "hitl"

    def __init__(self, *, options_mapping=None, **kwargs):
        super().__init__(**kwargs)
        self.options_mapping = options_mapping


class HITLEntryOperator(HITLOperator):
    """Has a person fill in a form."""

    __module__ = _OPERATORS + "hitl"

    def __init__(self, *, options=None, **kwargs):
        super().__init__(options=options or ["OK"], **kwargs)


class EmailOperator(BaseOperator):
    """Sends a mail."""

    __module__ = "airflow.providers.smtp.operators.smtp"
    template_fields = ("to", "from_email", "subject", "html_content", "files", "cc", "bcc", "mime_subtype", "mime_charset", "conn_id")
    template_ext = (".html",)
    ui_color = "#e6faf9"
    _updraft_runs_python = True

    def execute(self, context):
        """Sends it, when the task runs."""
        from airflow import _mail

        _mail.of_operator(self)

    def __init__(self, *, to, subject=None, html_content=None, from_email=None, files=None, cc=None, bcc=None, mime_subtype="mixed",
                 mime_charset="utf-8", conn_id=None, custom_headers=None, **kwargs):
        super().__init__(**kwargs)
        _keep(self, locals())


class BashSensor(BaseSensorOperator):
    """Waits until a command ends well."""

    __module__ = _SENSORS + "bash"
    template_fields = ("bash_command", "env")
    _updraft_runs_python = True

    def poke(self, context):
        """Looks, when the task runs."""
        from airflow import _execute

        return _execute.poke_bash(self, context)

    def __init__(self, *, bash_command, env=None, output_encoding="utf-8", retry_exit_code=None, **kwargs):
        super().__init__(**kwargs)
        _keep(self, locals())


class PythonSensor(BaseSensorOperator):
    """Waits until a function says yes."""

    __module__ = _SENSORS + "python"
    template_fields = ("templates_dict", "op_args", "op_kwargs")
    _updraft_runs_python = True

    def poke(self, context):
        """Looks, when the task runs."""
        from airflow import _execute

        return _execute.poke_function(self, context)

    def __init__(self, *, python_callable, op_args=None, op_kwargs=None, templates_dict=None, **kwargs):
        super().__init__(**kwargs)
        _keep(self, locals())


class DateTimeSensor(BaseSensorOperator):
    """Waits for a moment."""

    __module__ = _SENSORS + "date_time"
    template_fields = ("target_time",)

    def __init__(self, *, target_time, **kwargs):
        super().__init__(**kwargs)
        self.target_time = target_time

    # Airflow's triggers know no timeout, those of its slots do.
    _updraft_times_out = True

    def _updraft_run(self):
        return _waits.sensor(self, _waits.date_time(self), timeout=self._updraft_times_out)


class DateTimeSensorAsync(DateTimeSensor):
    """The same without a slot."""

    __module__ = _SENSORS + "date_time"
    _updraft_times_out = False

    def __init__(self, *, start_from_trigger=False, end_from_trigger=False, trigger_kwargs=None, **kwargs):
        super().__init__(**kwargs)
        _keep(self, locals())


class TimeSensor(BaseSensorOperator):
    """Waits for a time of the day."""

    __module__ = _SENSORS + "time"

    def __init__(self, *, target_time, deferrable=False, start_from_trigger=False, end_from_trigger=False, trigger_kwargs=None, **kwargs):
        super().__init__(**kwargs)
        _keep(self, locals())

    def _updraft_run(self):
        return _waits.sensor(self, _waits.time_of_day(self), timeout=not (self.deferrable or isinstance(self, TimeSensorAsync)))


class TimeSensorAsync(TimeSensor):
    """The same without a slot."""

    __module__ = _SENSORS + "time"


class TimeDeltaSensor(BaseSensorOperator):
    """Waits for some time after the data interval."""

    __module__ = _SENSORS + "time_delta"
    template_fields = ("delta",)

    def __init__(self, *, delta, deferrable=False, end_from_trigger=False, **kwargs):
        super().__init__(**kwargs)
        _keep(self, locals())

    def _updraft_run(self):
        what = _waits.delta(self)
        return self._updraft_airflow("delta of %s is known only when it runs" % self.task_id) if what is None else _waits.sensor(self, what)


class TimeDeltaSensorAsync(TimeDeltaSensor):
    """The same without a slot."""

    __module__ = _SENSORS + "time_delta"


class WaitSensor(BaseSensorOperator):
    """Waits for some time."""

    __module__ = _SENSORS + "time_delta"
    template_fields = ("time_to_wait",)

    def __init__(self, *, time_to_wait, deferrable=False, **kwargs):
        super().__init__(**kwargs)
        _keep(self, locals())

    def _updraft_run(self):
        what = _waits.duration(self)
        if what is None:
            return self._updraft_airflow("time_to_wait of %s is known only when it runs" % self.task_id)
        # It sleeps, or defers itself: neither looks at the timeout.
        return _waits.sensor(self, what, timeout=False)


class DayOfWeekSensor(BaseSensorOperator):
    """Waits for a day of the week."""

    __module__ = _SENSORS + "weekday"

    def __init__(self, *, week_day, use_task_logical_date=False, use_task_execution_day=False, **kwargs):
        super().__init__(**kwargs)
        _keep(self, locals())

    def _updraft_run(self):
        return _waits.sensor(self, _waits.weekday(self))


class FileSensor(BaseSensorOperator):
    """Waits for a file."""

    __module__ = _SENSORS + "filesystem"
    template_fields = ("filepath", "fs_conn_id")
    ui_color = "#91818a"
    _updraft_runs_python = True

    def poke(self, context):
        """Looks, when the task runs."""
        from airflow import _execute

        return _execute.poke_file(self, context)

    def __init__(self, *, filepath, fs_conn_id="fs_default", recursive=False, deferrable=False, start_from_trigger=False,
                 trigger_kwargs=None, **kwargs):
        super().__init__(**kwargs)
        _keep(self, locals())


class ExternalTaskSensor(BaseSensorOperator):
    """Waits for tasks of another DAG."""

    __module__ = _SENSORS + "external_task"
    template_fields = ("external_dag_id", "external_task_id", "external_task_ids", "external_task_group_id")
    ui_color = "#4db7db"

    def __init__(self, *, external_dag_id, external_task_id=None, external_task_ids=None, external_task_group_id=None, allowed_states=None,
                 skipped_states=None, failed_states=None, execution_delta=None, execution_date_fn=None, check_existence=False,
                 poll_interval=2.0, deferrable=False, **kwargs):
        super().__init__(**kwargs)
        _keep(self, locals())

    def _updraft_run(self):
        what, reason = _waits.external(self)
        if what is None:
            return self._updraft_airflow(reason)
        return _waits.sensor(self, what, poke_interval=self.poll_interval if self.deferrable else None)


class ExternalTaskMarker(EmptyOperator):
    """Says that a task of another DAG depends on this place; clearing goes on there in Airflow."""

    __module__ = _SENSORS + "external_task"
    template_fields = ("external_dag_id", "external_task_id", "logical_date")
    ui_color = "#4db7db"

    def __init__(self, *, external_dag_id, external_task_id, logical_date=None, execution_date=None, recursion_depth=10, **kwargs):
        super().__init__(**kwargs)
        _keep(self, locals())
