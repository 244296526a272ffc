"""DAG and the `@dag` decorator."""

from airflow import _context, _session
from airflow._ids import check_id
from airflow._missing import is_given
from airflow._operator import parameters_of
from airflow._param import DagParam, take_params
from airflow._problem import DuplicateTaskIdFound, InvalidArgument, TaskNotFound, Unsupported, did_you_mean
from airflow._schedule import ABSENT
from airflow._task_group import TaskGroup

# Every argument of DAG from 1.10 to 3 besides dag_id, description and schedule, with its default.
ARGUMENTS = {
    "schedule_interval": ABSENT, "timetable": None, "start_date": None, "end_date": None, "full_filepath": None,
    "template_searchpath": None, "template_undefined": None, "user_defined_macros": None, "user_defined_filters": None,
    "default_args": None, "concurrency": None, "max_active_tasks": None, "max_active_runs": None,
    "max_consecutive_failed_dag_runs": None, "dagrun_timeout": None, "sla_miss_callback": None, "default_view": None,
    "orientation": None, "catchup": None, "on_success_callback": None, "on_failure_callback": None, "doc_md": None, "params": None,
    "access_control": None, "is_paused_upon_creation": None, "jinja_environment_kwargs": None, "render_template_as_native_obj": False,
    "tags": None, "owner_links": None, "auto_register": True, "fail_stop": False, "fail_fast": False, "dag_display_name": None,
    "deadline": None, "disable_bundle_versioning": None, "rerun_with_latest_version": None, "allowed_run_types": None,
    "is_subdag": False, "parent_dag": None, "last_loaded": None, "tags_display": None,
}

_WITHOUT_EFFECT = {
    "user_defined_macros": "user_defined_macros are accepted but templates cannot call them",
    "user_defined_filters": "user_defined_filters are accepted but templates cannot call them",
    "sla_miss_callback": "sla_miss_callback is accepted but not called",
    "on_success_callback": "on_success_callback of the DAG is accepted but not called",
    "on_failure_callback": "on_failure_callback of the DAG is accepted but not called",
    "template_undefined": "template_undefined is accepted but has no effect: undefined names are errors",
    "jinja_environment_kwargs": "jinja_environment_kwargs are accepted but have no effect",
    "fail_stop": "fail_stop is accepted but has no effect",
    "fail_fast": "fail_fast is accepted but has no effect",
    "deadline": "deadline is accepted but not watched",
    "access_control": "access_control is accepted but has no effect: rights are set in Updraft",
    "allowed_run_types": "allowed_run_types is accepted but has no effect",
}


class DAG:
    """Tasks, the arrows between them, and when they run."""

    def __init__(self, dag_id, description=None, schedule=ABSENT, **kwargs):
        session = _session.current()
        for name in kwargs:
            if name not in ARGUMENTS:
                raise InvalidArgument(
                    "DAG %s has no argument %s" % (dag_id, name),
                    did_you_mean(name, sorted(set(ARGUMENTS) | {"dag_id", "description", "schedule"})) or "take it out",
                )
            if name in _WITHOUT_EFFECT and is_given(kwargs[name]):
                session.warn(_WITHOUT_EFFECT[name])
        values = dict(ARGUMENTS, **kwargs)
        self.dag_id = check_id(dag_id, "DAG id")
        self._updraft_line = session.user_line()
        defaults = values.pop("default_args") or {}
        if not isinstance(defaults, dict):
            raise InvalidArgument("default_args of DAG %s is a %s, not a dict" % (dag_id, type(defaults).__name__))
        self.default_args = dict(defaults)
        self.params = take_params(self.default_args.pop("params", None), "DAG %s" % dag_id)
        self.params.update(take_params(values.pop("params"), "DAG %s" % dag_id))
        given = [value for value in (schedule, values.pop("schedule_interval"), values.pop("timetable") or ABSENT) if value is not ABSENT]
        if len(given) > 1:
            raise InvalidArgument("DAG %s has more than one of schedule, schedule_interval and timetable" % dag_id, "keep one of them")
        self.schedule = given[0] if given else ABSENT
        self.description = description
        if values["max_active_tasks"] is None:
            values["max_active_tasks"] = values["concurrency"]
        for name, value in values.items():
            setattr(self, name, value)
        self.tags = _tags(values["tags"], dag_id)
        self.fileloc = session.path
        self.task_dict = {}
        self.task_group = TaskGroup(dag=self, _is_root=True)
        session.dags.append(self)

    def __repr__(self):
        return "<DAG: %s>" % self.dag_id

    def __enter__(self):
        _context.dags.append(self)
        _context.groups.append(self.task_group)
        return self

    def __exit__(self, *exception):
        _context.dags.pop()
        _context.groups.pop()
        session = _session.current()
        if self.auto_register and self not in session.kept_dags:
            session.kept_dags.append(self)

    def __rshift__(self, other):
        return other._adopt(self) and other

    __lshift__ = __rshift__

    @property
    def schedule_interval(self):
        """The schedule, by its old name."""
        return None if self.schedule is ABSENT else self.schedule

    @property
    def timetable(self):
        """The schedule, by its other name."""
        return self.schedule_interval

    @timetable.setter
    def timetable(self, value):
        self.schedule = value

    @property
    def timezone(self):
        """The time zone of its start date."""
        start = self.start_date or self.default_args.get("start_date")
        from airflow._dates import default_timezone

        return getattr(start, "tzinfo", None) or default_timezone()

    @property
    def folder(self):
        """The folder of its file."""
        return self.fileloc.rpartition("/")[0]

    filepath = property(lambda self: self.fileloc)
    owner = property(lambda self: ", ".join(sorted({task.owner for task in self.tasks})))
    tasks = property(lambda self: list(self.task_dict.values()))
    task_ids = property(lambda self: list(self.task_dict))
    task_count = property(lambda self: len(self.task_dict))
    roots = property(lambda self: [task for task in self.tasks if not task.upstream_task_ids])
    leaves = property(lambda self: [task for task in self.tasks if not task.downstream_task_ids])

    @property
    def task(self):
        """`@dag.task`: a function as a task of this DAG."""
        from airflow._decorators import TaskDecorator, task

        return TaskDecorator(task._operator_class, dag=self)

    def add_task(self, task):
        """Takes in a task."""
        other = self.task_dict.get(task.task_id)
        if other is not None and other is not task:
            where = " (first in line %s)" % other._updraft_line if other._updraft_line else ""
            raise DuplicateTaskIdFound(
                "task id %s is used twice in DAG %s%s" % (task.task_id, self.dag_id, where), "give each task an id of its own"
            )
        if other is task:
            return
        if task.task_id in self.task_group.used_group_ids:
            raise DuplicateTaskIdFound("task id %s is that of a task group in DAG %s" % (task.task_id, self.dag_id),
                                       "rename one of the two")
        task.__dict__["_dag"] = self
        self.task_dict[task.task_id] = task
        if task.task_group is None:
            task.task_group = self.task_group
        task.task_group.add(task)

    def add_tasks(self, tasks):
        """Takes in tasks."""
        for task in tasks:
            self.add_task(task)

    def has_task(self, task_id):
        """Whether it has such a task."""
        return task_id in self.task_dict

    def get_task(self, task_id, include_subdags=False):
        """The task with this id."""
        if task_id not in self.task_dict:
            raise TaskNotFound("task %s is not in DAG %s" % (task_id, self.dag_id))
        return self.task_dict[task_id]

    def set_dependency(self, upstream_task_id, downstream_task_id):
        """Joins two tasks by their ids."""
        self.get_task(upstream_task_id).set_downstream(self.get_task(downstream_task_id))

    def param(self, name, default=None):
        """A parameter of the run, for templated arguments."""
        return DagParam(self, name, default)

    def get_run_dates(self, *args, **kwargs):
        """Runs are not known here."""
        raise Unsupported("runs are not known while the file is read")

    def cli(self):
        """Airflow's way to run a file as a program; nothing to do here."""

    def test(self, *args, **kwargs):
        """Airflow's way to try a DAG; nothing to do here."""


def _tags(tags, dag_id):
    if tags is None:
        return []
    if isinstance(tags, str):
        raise InvalidArgument("tags of DAG %s is one text" % dag_id, "write tags=[%r]" % tags)
    return sorted({str(tag) for tag in tags})


class _DagFactory:
    def __init__(self, function, options):
        self.function = function
        self.options = options
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__

    def __call__(self, *args, **kwargs):
        function = self.function
        while hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        # parameters_of leaves out the first name (self), so the code object is asked for that one.
        code = function.__code__
        names = code.co_varnames[:1 if code.co_argcount else 0] + parameters_of(function)[0]
        defaults = function.__defaults__ or ()
        values = dict(zip(code.co_varnames[code.co_argcount - len(defaults):code.co_argcount], defaults))
        values.update(function.__kwdefaults__ or {})
        if len(args) > len(names):
            raise InvalidArgument("%s() takes %d arguments, got %d" % (self.__name__, len(names), len(args)))
        values.update(zip(names, args))
        for name in kwargs:
            if name not in names:
                raise InvalidArgument("%s() has no argument %s" % (self.__name__, name), did_you_mean(name, names) or None)
        values.update(kwargs)
        options = dict({"dag_id": self.__name__}, **self.options)
        if self.__doc__ and not options.get("doc_md"):
            options["doc_md"] = self.__doc__
        with DAG(**options) as made:
            given = {}
            for name in names:
                if name not in made.params:
                    made.params[name] = values.get(name)
                given[name] = DagParam(made, name)
            self.function(**given)
        return made


def dag(dag_id=None, description=None, **options):
    """Makes a function that makes a DAG: `@dag` or `@dag(schedule=…)`."""
    if callable(dag_id):
        return _DagFactory(dag_id, options)
    if dag_id:
        options["dag_id"] = dag_id
    if description is not None:
        options["description"] = description
    return lambda function: _DagFactory(function, options)
