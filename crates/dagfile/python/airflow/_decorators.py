"""`@task` and its kin, `@setup`, `@teardown`: functions that become tasks."""

import functools
import inspect
import re

from airflow import _context
from airflow._decorated_pod import _KubernetesDecoratedOperator
from airflow._mapping import make_mapped
from airflow._operator import ARGUMENTS, BaseOperator
from airflow._problem import InvalidArgument
from airflow._relations import XComArg
from airflow._standard_operators import BranchMixIn, SkipMixin

# Names of the context that a function may ask for; their values come when the task runs.
_CONTEXT = frozenset("""
    conf conn context dag dag_run data_interval_end data_interval_start ds ds_nodash exception execution_date expanded_ti_count inlets
    inlet_events logical_date macros map_index_template outlets outlet_events params prev_data_interval_end_success
    prev_data_interval_start_success prev_end_date_success prev_start_date_success reason run_id start_date task task_instance
    task_instance_key_str task_reschedule_count templates_dict test_mode ti triggering_asset_events triggering_dataset_events try_number
    ts ts_nodash ts_nodash_with_tz var next_ds next_ds_nodash next_execution_date prev_ds prev_ds_nodash prev_execution_date
    prev_execution_date_success tomorrow_ds tomorrow_ds_nodash yesterday_ds yesterday_ds_nodash partition_key task_state_store
    asset_state_store
""".split())


class DecoratedOperator(BaseOperator):
    """A function's call as a task."""

    __module__ = "airflow.sdk.bases.decorator"
    template_fields = ("op_args", "op_kwargs")
    ui_color = "#ffefeb"
    custom_operator_name = "@task"

    def __init__(self, *, python_callable, op_args=None, op_kwargs=None, **kwargs):
        own = {name: kwargs.pop(name) for name in list(kwargs) if name not in ARGUMENTS}
        super().__init__(**kwargs)
        self.python_callable = python_callable
        self.op_args = op_args or ()
        self.op_kwargs = op_kwargs or {}
        for name, value in own.items():
            setattr(self, name, value)

    def execute(self, context):
        """Calls it, when the task runs."""
        from airflow import _execute

        result = _execute.call(self, context)
        if getattr(self, "show_return_value_in_logs", True):
            self.log.info("Done. Returned value was: %s", result)
        else:
            self.log.info("Done. Returned value not shown")
        return result

    def _updraft_templated(self):
        return [self.op_args, self.op_kwargs] + [value for name, value in self._updraft_given.items() if name not in ARGUMENTS]


def _kind(name, *bases, module="python"):
    body = {
        "__module__": "airflow.providers.standard.decorators." + module, "__doc__": "A function as a task of one sort.",
        "custom_operator_name": "@task" if name == "python" else "@task." + name,
    }
    words = "".join(word.capitalize() for word in name.split("_"))
    return type(BaseOperator)("_%sDecoratedOperator" % words, (DecoratedOperator,) + bases, body)


def _branch(self, context):
    return self.do_branch(context, DecoratedOperator.execute(self, context))


def _short_circuit(self, context):
    from airflow import _execute

    return _execute.short_circuit(self, context, DecoratedOperator.execute(self, context))


def _sense(self, context):
    from airflow import _execute

    return _execute.sense(self, context, lambda context: _execute.poke_function(self, context))


def _bash(self, context):
    from airflow import _execute

    return _execute.run_bash(self, _execute.call(self, context))


_PYTHON = _kind("python")
_KINDS = {
    "python": _PYTHON, "virtualenv": _kind("virtualenv"), "external_python": _kind("external_python"), "bash": _kind("bash", module="bash"),
    "branch": _kind("branch", BranchMixIn), "branch_virtualenv": _kind("branch_virtualenv", BranchMixIn),
    "branch_external_python": _kind("branch_external_python", BranchMixIn), "short_circuit": _kind("short_circuit", SkipMixin),
    "sensor": _kind("sensor", module="sensor"), "stub": _kind("stub", module="stub"),
}
# Those that a task's own process does.
for _name, _execute_it in (("python", DecoratedOperator.execute), ("branch", _branch), ("short_circuit", _short_circuit), ("sensor", _sense),
                           ("bash", _bash)):
    _KINDS[_name].execute = _execute_it
    _KINDS[_name]._updraft_runs_python = True
_KINDS["kubernetes"] = _KubernetesDecoratedOperator
_KINDS["sensor"].ui_color = "#e6f1f2"


def unique_id(task_id, dag, group):
    """The id, or it with the next free number, as functions may be called many times."""
    if dag is None:
        return task_id
    whole = group.child_id(task_id) if group is not None else task_id
    if whole not in dag.task_dict:
        return task_id
    beginning = re.split(r"__\d+$", whole)[0]
    numbers = [int(found.group(1)) for found in (re.match(r"^%s__(\d+)$" % re.escape(beginning), other) for other in dag.task_dict) if found]
    return "%s__%d" % (re.split(r"__\d+$", task_id)[0], max(numbers + [0]) + 1)


class DecoratedTask:
    """A function that makes a task when it is called."""

    def __init__(self, function, operator_class, options, setup=False, teardown=False, fail_run=False):
        functools.update_wrapper(self, function)
        self.function = function
        self.operator_class = operator_class
        self.kwargs = options
        self.is_setup = setup
        self.is_teardown = teardown
        self.on_failure_fail_dagrun = fail_run
        self.conditions = ()

    def _like(self, **options):
        made = DecoratedTask(self.function, self.operator_class, dict(self.kwargs, **options), self.is_setup, self.is_teardown,
                             self.on_failure_fail_dagrun)
        made.conditions = self.conditions
        return made

    def _base(self):
        """The arguments of the operator: the given ones, an id of its own, and what a function's words say."""
        options = dict(self.kwargs)
        dag = options.get("dag") or _context.current_dag()
        group = options.get("task_group") or _context.group_for(dag)
        name = options.pop("task_id", None) or getattr(self.function, "__name__", None) or type(self.function).__name__
        options["task_id"] = unique_id(name, dag, group)
        if self.is_teardown:
            options["trigger_rule"] = "all_done_setup_success"
        documented = any(options.get(name) for name in ("doc", "doc_md", "doc_json", "doc_yaml", "doc_rst"))
        if getattr(self.function, "__doc__", None) and not documented and not isinstance(self.function, type):
            options["doc_md"] = self.function.__doc__
        options.update(is_setup=self.is_setup, is_teardown=self.is_teardown)
        if self.is_teardown:
            options["on_failure_fail_dagrun"] = self.on_failure_fail_dagrun
        return options

    def __call__(self, *args, **kwargs):
        self._check(args, kwargs)
        options = self._base()
        shared = options.pop("op_kwargs", None) or {}
        made = self.operator_class(python_callable=self.function, op_args=args, op_kwargs=dict(shared, **kwargs), **options)
        made._updraft_conditions = self.conditions
        return XComArg(made)

    def _check(self, args, kwargs):
        try:
            signature = inspect.signature(self.function)
        except (TypeError, ValueError):
            return
        free = {name for name in signature.parameters if name in _CONTEXT}
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        shared = self.kwargs.get("op_kwargs") or {}
        try:
            bound = signature.bind_partial(*args, **dict(shared, **kwargs))
        except TypeError as exception:
            raise InvalidArgument("%s() of @task: %s" % (self.__name__, exception)) from None
        missing = [parameter.name for parameter in signature.parameters.values()
                   if parameter.kind in kinds and parameter.default is parameter.empty and parameter.name not in bound.arguments
                   and parameter.name not in free]
        if missing:
            raise InvalidArgument("%s() of @task lacks the argument %s" % (self.__name__, ", ".join(missing)), "give it %s=…" % missing[0])

    def override(self, **options):
        """The same function with other arguments of its task."""
        return self._like(**options)

    def partial(self, **kwargs):
        """The same function with some of its own arguments given."""
        return self._like(op_kwargs=dict(self.kwargs.get("op_kwargs") or {}, **kwargs))

    def expand(self, **mapped):
        """A task for each element, of all combinations of several."""
        if not mapped:
            raise InvalidArgument("%s.expand() has nothing to expand over" % self.__name__, "give it a list or a task's value")
        return self._mapped(mapped, mapped)

    def expand_kwargs(self, kwargs, strict=True):
        """A task for each dict of arguments."""
        return self._mapped({"expand_kwargs": kwargs}, ["expand_kwargs"])

    def _mapped(self, more, expanded):
        options = self._base()
        shared = options.pop("op_kwargs", None) or {}
        twice = sorted(set(shared) & set(more))
        if twice:
            raise InvalidArgument("%s() gets the argument %s in partial() and in expand()" % (self.__name__, twice[0]),
                                  "leave it in one of them")
        base = {name: options[name] for name in options if name in ARGUMENTS}
        own = {name: options[name] for name in options if name not in ARGUMENTS}
        own.update(python_callable=self.function, op_kwargs=dict(shared, **more))
        return XComArg(make_mapped(self.operator_class, base, own, expanded))


class TaskDecorator:
    """`@task`, `@task(…)`, and `@task.branch` and so on: one of every name, as providers add more."""

    def __init__(self, operator_class, **shared):
        self._operator_class = operator_class
        self._shared = shared

    def __call__(self, function=None, **options):
        options = dict(self._shared, **options)
        if function is None:
            return lambda inner: self(inner, **options)
        if isinstance(function, DecoratedTask):
            return function._like(**options)
        if not callable(function):
            raise InvalidArgument("@task is given a %s" % type(function).__name__, "write @task or @task(name=value)")
        return DecoratedTask(function, self._operator_class, options)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        if name in ("skip_if", "run_if"):
            return lambda condition, skip_message=None: functools.partial(_conditional, condition, name == "run_if", skip_message)
        if name not in _KINDS:
            _KINDS[name] = _kind(name, module=name)
        return TaskDecorator(_KINDS[name], **self._shared)


task = TaskDecorator(_PYTHON)


def _conditional(condition, wanted, skip_message, decorated):
    """The condition is asked where the task runs."""
    if isinstance(decorated, DecoratedTask):
        decorated.conditions = decorated.conditions + ((condition, wanted, skip_message),)
    return decorated


def _decorated(function):
    return function if isinstance(function, DecoratedTask) else task(function)


def setup(function):
    """Makes a function a setup task, or a task or group one."""
    return _marked(function, lambda made: _mark(made, setup=True))


def teardown(function=None, *, on_failure_fail_dagrun=False):
    """Makes a function a teardown task, or a task or group one."""
    if function is None:
        return lambda inner: teardown(inner, on_failure_fail_dagrun=on_failure_fail_dagrun)
    return _marked(function, lambda made: _mark(made, teardown=True, fail_run=on_failure_fail_dagrun))


def _marked(function, mark):
    if hasattr(function, "expand_kwargs") and not isinstance(function, DecoratedTask):
        return function
    return mark(_decorated(function))


def _mark(made, setup=False, teardown=False, fail_run=False):
    return DecoratedTask(made.function, made.operator_class, made.kwargs, setup, teardown, fail_run)


def task_decorator_factory(python_callable=None, *, multiple_outputs=None, decorated_operator_class=None, **options):
    """Airflow's way to make a decorator of one's own."""
    return TaskDecorator(decorated_operator_class or _PYTHON)(python_callable, **options)
