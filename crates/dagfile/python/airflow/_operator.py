"""BaseOperator: the arguments that every operator has, `default_args`, and a task's place in its DAG.

A new operator that we run is a subclass whose `__init__` names its own arguments as keywords and hands the rest on, which sets
`template_fields` to Airflow's list, and whose `_updraft_run` gives the `run` of the model's TaskSpec. Every other operator becomes a task of
the kind `airflow`: its arguments are kept, and it says why it needs Airflow itself.
"""

from datetime import timedelta

from airflow import _context, _session, _setup_teardown
from airflow._ids import check_id
from airflow._missing import Absent, is_given
from airflow._param import take_params
from airflow._problem import InvalidArgument, Unsupported, did_you_mean
from airflow._relations import Node, XComArg, flatten, values_of_tasks
from airflow._values import for_people

# Every argument of BaseOperator from 1.10 to 3 with its default.
ARGUMENTS = {
    "task_id": None, "owner": "airflow", "email": None, "email_on_retry": True, "email_on_failure": True, "retries": 0,
    "retry_delay": timedelta(seconds=300), "retry_exponential_backoff": False, "max_retry_delay": None, "retry_policy": None,
    "start_date": None, "end_date": None, "depends_on_past": False, "ignore_first_depends_on_past": True,
    "wait_for_past_depends_before_skipping": False, "wait_for_downstream": False, "dag": None, "params": None, "default_args": None,
    "priority_weight": 1, "weight_rule": "downstream", "queue": "default", "pool": "default_pool", "pool_slots": 1, "sla": None,
    "execution_timeout": None, "on_execute_callback": None, "on_failure_callback": None, "on_success_callback": None,
    "on_retry_callback": None, "on_skipped_callback": None, "pre_execute": None, "post_execute": None, "trigger_rule": "all_success",
    "resources": None, "run_as_user": None, "map_index_template": None, "max_active_tis_per_dag": None,
    "max_active_tis_per_dagrun": None, "task_concurrency": None, "executor": None, "executor_config": None, "do_xcom_push": True,
    "multiple_outputs": False, "inlets": None, "outlets": None, "task_group": None, "doc": None, "doc_md": None, "doc_json": None,
    "doc_yaml": None, "doc_rst": None, "task_display_name": None, "logger_name": None, "allow_nested_operators": True, "adhoc": False,
    "render_template_as_native_obj": None, "is_setup": False, "is_teardown": False, "on_failure_fail_dagrun": False,
}

# Accepted for the file's sake; what they ask for does not happen.
_WITHOUT_EFFECT = {
    "sla": "sla is accepted but not watched",
    "on_execute_callback": "on_execute_callback is accepted but not called",
    "on_failure_callback": "on_failure_callback is accepted but not called",
    "on_success_callback": "on_success_callback is accepted but not called",
    "on_retry_callback": "on_retry_callback is accepted but not called",
    "on_skipped_callback": "on_skipped_callback is accepted but not called",
    "pre_execute": "pre_execute is accepted but not called",
    "post_execute": "post_execute is accepted but not called",
    "retry_policy": "retry_policy is accepted but has no effect: every failure of the task's own code counts against retries",
    "run_as_user": "run_as_user is accepted but has no effect",
    "resources": "resources of a task is accepted but has no effect",
    "executor": "executor is accepted but has no effect: Updraft has one way to run a task",
    "executor_config": "executor_config is accepted but has no effect",
    "inlets": "inlets are accepted but not recorded",
    "outlets": "outlets are accepted but no asset events are sent",
    "max_active_tis_per_dagrun": "max_active_tis_per_dagrun is accepted but has no effect without mapped tasks",
    "wait_for_past_depends_before_skipping": "wait_for_past_depends_before_skipping is accepted but has no effect",
}


def parameters_of(function):
    """Names and required names of a function's parameters after self. Reads the code object: `inspect` costs more than a parse."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = getattr(function, "__code__", None)
    if code is None:
        return (), ()
    positional = code.co_varnames[1:code.co_argcount]
    named = code.co_varnames[code.co_argcount:code.co_argcount + code.co_kwonlyargcount]
    with_default = len(function.__defaults__ or ())
    required = positional[:len(positional) - with_default] if with_default else positional
    required += tuple(name for name in named if name not in (function.__kwdefaults__ or {}))
    return positional + named, required


class OperatorMeta(type):
    """Wraps every `__init__` of an operator: `default_args` fill what the author left out, mistakes get names."""

    def __new__(mcs, name, bases, namespace, **kwargs):
        if "__init__" in namespace:
            namespace["__init__"] = _with_defaults(namespace["__init__"], is_base=not any(isinstance(base, OperatorMeta) for base in bases))
        return super().__new__(mcs, name, bases, namespace, **kwargs)

    def __getattr__(cls, name):
        # Constants and methods of a class that we know only by its name.
        if name.startswith("_") or not cls._updraft_any_arguments:
            raise AttributeError("type object %r has no attribute %r" % (cls.__name__, name))
        return Absent("%s.%s" % (cls.__name__, name))


def _with_defaults(init, is_base):
    names, required = parameters_of(init)
    if is_base:
        names = tuple(ARGUMENTS)
        required = ()

    def __init__(self, *args, **kwargs):
        cls = type(self).__name__
        if args:
            raise InvalidArgument("%s is given arguments without names" % cls, "write task_id=… and so on: operators take keywords only")
        outermost = "_updraft_defaults" not in self.__dict__
        if outermost:
            _begin(self, kwargs)
        defaults = self._updraft_defaults
        for name in names:
            if name not in kwargs and name in defaults and name not in ("dag", "params", "task_group", "default_args"):
                kwargs[name] = defaults[name]
        missing = [name for name in required if name not in kwargs]
        if missing:
            given = [name for name in kwargs if name not in names and name not in ARGUMENTS and did_you_mean(name, missing)]
            raise InvalidArgument(
                "%s of task %s lacks the argument %s" % (cls, kwargs.get("task_id") or "?", ", ".join(missing)),
                "%s is no argument: %s" % (given[0], did_you_mean(given[0], missing)) if given else "add %s=…" % missing[0],
            )
        init(self, **kwargs)
        if outermost:
            if "task_id" not in self.__dict__:
                raise InvalidArgument("%s does not call the __init__ of its base class" % cls, "call super().__init__(**kwargs) in it")
            link_values(self)

    __init__.__wrapped__ = init
    __init__.__doc__ = init.__doc__
    return __init__


def _begin(task, kwargs):
    dag = kwargs.get("dag") or _context.current_dag()
    group = kwargs.get("task_group") or _context.group_for(dag)
    defaults = dict(dag.default_args) if dag is not None else {}
    if group is not None:
        defaults.update(group.all_default_args())
    defaults.update(kwargs.get("default_args") or {})
    task.__dict__["_updraft_defaults"] = defaults
    task.__dict__["_updraft_given"] = kwargs
    task.__dict__["_updraft_line"] = _session.current().user_line()
    task.__dict__["_dag"] = None


def known_arguments(cls):
    """Every argument that a class and its bases take."""
    names = set(ARGUMENTS)
    for base in cls.__mro__:
        if "__init__" in base.__dict__ and isinstance(base, OperatorMeta):
            names.update(parameters_of(base.__dict__["__init__"])[0])
    return names


def link_values(task):
    """A task that uses another's value waits for it."""
    for given in task._updraft_templated():
        if given is None or isinstance(given, str):
            continue
        for other in values_of_tasks(given):
            if other is not task and other.task_id not in task.upstream_task_ids:
                task.set_upstream(other)


def fields_of(task):
    """The names of the task's templated arguments."""
    fields = task.template_fields
    return [fields] if isinstance(fields, str) else [str(field) for field in fields]


class BaseOperator(Node, metaclass=OperatorMeta):
    """What all operators have in common."""

    template_fields = ()
    template_ext = ()
    template_fields_renderers = {}
    ui_color = "#fff"
    ui_fgcolor = "#000"
    operator_extra_links = ()
    shallow_copy_attrs = ()
    subdag = None
    # Whether its class is one that we know only by name: any argument may be a template.
    _updraft_any_arguments = False
    # What must hold for it to be run: (function of the context, what it must answer, what is said otherwise).
    _updraft_conditions = ()
    # Whether it is made many of, and by which arguments.
    _updraft_is_mapped = False
    _updraft_expanded = ()

    def __init__(self, **kwargs):
        cls = type(self).__name__
        task_id = kwargs.get("task_id")
        for name in kwargs:
            if name not in ARGUMENTS:
                hint = did_you_mean(name, sorted(known_arguments(type(self)) - {name}))
                raise InvalidArgument(
                    "%s of task %s has no argument %s" % (cls, task_id or "?", name), hint or "take it out: %s does not know it" % cls
                )
        if task_id is None:
            raise InvalidArgument("a %s has no task_id" % cls, "add task_id=\"…\"")
        session = _session.current()
        for name, message in _WITHOUT_EFFECT.items():
            if is_given(kwargs.get(name)):
                session.warn(message)
        if kwargs.get("email") and (kwargs.get("email_on_failure", True) or kwargs.get("email_on_retry", True)):
            session.warn("email is accepted but no mail is sent")
        dag = kwargs.pop("dag", None) or _context.current_dag()
        group = kwargs.pop("task_group", None) or _context.group_for(dag)
        if dag is None and group is not None:
            dag = group.dag
        params = take_params(self._updraft_defaults.get("params"), "task %s" % task_id)
        params.update(take_params(kwargs.pop("params", None), "task %s" % task_id))
        kwargs.pop("default_args", None)
        for name, default in ARGUMENTS.items():
            if name not in ("task_id", "dag", "task_group", "params", "default_args", "pre_execute", "post_execute"):
                setattr(self, name, kwargs.get(name, default))
        if kwargs.get("task_concurrency") is not None and kwargs.get("max_active_tis_per_dag") is None:
            self.max_active_tis_per_dag = kwargs["task_concurrency"]
        self.params = params
        self.label = check_id(task_id, "task id")
        self.task_id = check_id(group.child_id(task_id), "task id") if group is not None else self.label
        self.task_group = group
        self.upstream_task_ids = set()
        self.downstream_task_ids = set()
        session.tasks.append(self)
        if dag is not None:
            self.dag = dag
        if not self._updraft_is_mapped:
            _setup_teardown.note(self)

    def __repr__(self):
        return "<Task(%s): %s>" % (type(self).__name__, self.__dict__.get("task_id"))

    @property
    def dag(self):
        """The DAG that the task belongs to."""
        if self._dag is None:
            raise InvalidArgument("task %s belongs to no DAG yet" % self.task_id, "give it dag=… or make it inside `with dag:`")
        return self._dag

    @dag.setter
    def dag(self, dag):
        if dag is self._dag or dag is None:
            return
        if self._dag is not None:
            raise InvalidArgument("task %s belongs to DAG %s and cannot move to %s" % (self.task_id, self._dag.dag_id, dag.dag_id))
        dag.add_task(self)

    def has_dag(self):
        """Whether it belongs to a DAG."""
        return self._dag is not None

    @property
    def dag_id(self):
        """The id of its DAG."""
        return self._dag.dag_id if self._dag is not None else "adhoc_%s" % self.owner

    @property
    def node_id(self):
        """Its id, as a node of the graph."""
        return self.task_id

    @property
    def task_type(self):
        """The name of its class."""
        return type(self).__name__

    operator_name = task_type

    @property
    def output(self):
        """Its value, for an argument of another task."""
        return XComArg(self)

    @property
    def upstream_list(self):
        """The tasks right before it."""
        return [self.dag.get_task(task_id) for task_id in sorted(self.upstream_task_ids)]

    @property
    def downstream_list(self):
        """The tasks right after it."""
        return [self.dag.get_task(task_id) for task_id in sorted(self.downstream_task_ids)]

    def get_direct_relative_ids(self, upstream=False):
        """Ids of the tasks right before or after it."""
        return self.upstream_task_ids if upstream else self.downstream_task_ids

    def get_direct_relatives(self, upstream=False):
        """The tasks right before or after it."""
        return self.upstream_list if upstream else self.downstream_list

    def starts(self):
        return [self]

    def ends(self):
        return [self]

    def execute(self, context):
        """Tasks do not run here."""
        raise Unsupported("tasks do not run while the file is read")

    def defer(self, *args, **kwargs):
        """There is no triggerer to hand it to."""
        raise Unsupported("task %s defers itself, and no trigger is run here" % self.task_id,
                          "give it deferrable=False, or wait in a sensor of mode=\"reschedule\"")

    @staticmethod
    def xcom_push(context, key, value, **kwargs):
        """Leaves a value for other tasks."""
        context["ti"].xcom_push(key, value)

    @staticmethod
    def xcom_pull(context, task_ids=None, dag_id=None, key="return_value", **kwargs):
        """The value of another task."""
        return context["ti"].xcom_pull(task_ids=task_ids, dag_id=dag_id, key=key, **kwargs)

    def on_kill(self):
        """Called when the task's process is told to end."""

    def pre_execute(self, context=None):
        """Airflow's hook; not called."""

    def post_execute(self, context=None, result=None):
        """Airflow's hook; not called."""

    def as_setup(self):
        """Makes it a setup task."""
        self.is_setup = True
        return self

    def as_teardown(self, *, setups=None, on_failure_fail_dagrun=None):
        """Makes it a teardown task, of these setup tasks."""
        self.is_teardown = True
        self.trigger_rule = "all_done_setup_success"
        if on_failure_fail_dagrun is not None:
            self.on_failure_fail_dagrun = on_failure_fail_dagrun
        for setup in flatten(setups) if setups is not None else []:
            for task in setup.ends():
                task.is_setup = True
            setup.set_downstream(self)
        return self

    def __enter__(self):
        _setup_teardown.enter(self)
        return _setup_teardown.SetupTeardownContext

    def __exit__(self, *exception):
        _setup_teardown.leave()

    @classmethod
    def partial(cls, **kwargs):
        """The arguments that all of the mapped tasks share."""
        from airflow._mapping import Partial

        return Partial(cls, kwargs)

    @classmethod
    def expand(cls, **kwargs):
        """Mapped tasks need a task id of their own first."""
        raise InvalidArgument("%s.expand() has no task_id" % cls.__name__, "write %s.partial(task_id=…).expand(…)" % cls.__name__)

    @property
    def log(self):
        """A logger of the operator's name."""
        import logging

        return logging.getLogger("airflow.task.operators")

    def _updraft_templated(self):
        """The values that may hold other tasks' values."""
        if self._updraft_any_arguments:
            return [value for name, value in self._updraft_given.items() if name not in ARGUMENTS]
        return [getattr(self, field, None) for field in fields_of(self)]

    def _updraft_run(self):
        """The `run` of the task's spec."""
        return self._updraft_airflow("%s is Airflow's own code" % type(self).__name__)

    def _updraft_airflow(self, reason):
        """The `run` of a task that needs Airflow itself, and why."""
        given = {name: value for name, value in self._updraft_given.items() if name not in ARGUMENTS}
        run = {"kind": "airflow", "reason": reason, "arguments": {str(name): for_people(given[name]) for name in sorted(given)}}
        if self._updraft_expanded:
            run["expand"] = sorted(self._updraft_expanded)
        return run


class BaseSensorOperator(BaseOperator):
    """What all sensors have in common."""

    __module__ = "airflow.sdk.bases.sensor"
    ui_color = "#e6f1f2"

    def __init__(self, *, poke_interval=60, timeout=604800, soft_fail=False, mode="poke", exponential_backoff=False, max_wait=None,
                 silent_fail=False, never_fail=False, **kwargs):
        super().__init__(**kwargs)
        self.poke_interval = poke_interval
        self.timeout = timeout
        self.soft_fail = soft_fail
        self.mode = mode
        self.exponential_backoff = exponential_backoff
        self.max_wait = max_wait
        self.silent_fail = silent_fail
        self.never_fail = never_fail

    @property
    def reschedule(self):
        """Whether it gives its slot back between two looks."""
        return self.mode == "reschedule"

    def poke(self, context):
        """One look, for a class of one's own to say."""
        raise NotImplementedError("%s has no method poke()" % type(self).__name__)

    def execute(self, context):
        """Looks until the answer is yes, when the task runs."""
        from airflow import _execute

        return _execute.sense(self, context, self.poke)


def apply_defaults(function):
    """Airflow 1's decorator: every operator has what it does."""
    return function
