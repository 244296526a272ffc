"""Groups of tasks: a prefix of ids, defaults, and one end of an arrow for many tasks."""

from airflow import _context
from airflow._ids import check_id
from airflow._problem import DuplicateTaskIdFound, InvalidArgument, Unsupported
from airflow._relations import Node


class TaskGroup(Node):
    """Tasks that belong together."""

    def __init__(self, group_id=None, prefix_group_id=True, parent_group=None, dag=None, default_args=None, tooltip="", ui_color=None,
                 ui_fgcolor=None, add_suffix_on_collision=False, group_display_name="", doc_md=None, _is_root=False):
        self.prefix_group_id = prefix_group_id
        self.default_args = dict(default_args or {})
        self.tooltip = tooltip
        self.members = []
        self.used_group_ids = set()
        if _is_root:
            self.dag = dag
            self.parent_group = None
            self._group_id = None
            return
        self.dag = dag or (parent_group.dag if parent_group is not None else _context.current_dag())
        if self.dag is None:
            raise InvalidArgument("task group %s is in no DAG" % group_id, "make it inside `with dag:` or give it dag=…")
        self.parent_group = parent_group or _context.group_for(self.dag)
        check_id(group_id, "group id")
        self._group_id = group_id
        taken = self.dag.task_group.used_group_ids
        if self.group_id in taken or self.group_id in self.dag.task_dict:
            if not add_suffix_on_collision:
                raise DuplicateTaskIdFound("group id %s is used twice in DAG %s" % (self.group_id, self.dag.dag_id),
                                           "rename one of the two")
            number = 1
            while True:
                self._group_id = "%s__%d" % (group_id, number)
                if self.group_id not in taken and self.group_id not in self.dag.task_dict:
                    break
                number += 1
        taken.add(self.group_id)
        self.parent_group.members.append(self)

    @property
    def group_id(self):
        """The id, with the prefixes of the groups around it."""
        if self.parent_group is not None and self._group_id is not None:
            return self.parent_group.child_id(self._group_id)
        return self._group_id

    node_id = group_id

    @property
    def label(self):
        """The id without prefixes."""
        return self._group_id

    @property
    def is_root(self):
        """Whether it is the group of the whole DAG."""
        return self._group_id is None

    @property
    def children(self):
        """Tasks and groups right inside it, by id."""
        return {member.node_id: member for member in self.members}

    def child_id(self, label):
        """The id of something inside this group."""
        if self.prefix_group_id and self._group_id:
            return "%s.%s" % (self.group_id, label)
        return label

    def all_default_args(self):
        """Defaults of this group and of those around it; the inner ones win."""
        found = self.parent_group.all_default_args() if self.parent_group is not None else {}
        found.update(self.default_args)
        return found

    def add(self, member):
        """Takes in a task."""
        self.members.append(member)
        return member

    def all_tasks(self):
        """Every task inside, also those in groups inside."""
        for member in self.members:
            if isinstance(member, TaskGroup):
                yield from member.all_tasks()
            else:
                yield member

    iter_tasks = all_tasks

    def starts(self):
        tasks = list(self.all_tasks())
        inside = {task.task_id for task in tasks}
        return [task for task in tasks if not task.upstream_task_ids & inside]

    def ends(self):
        tasks = list(self.all_tasks())
        inside = {task.task_id for task in tasks}
        return [task for task in tasks if not task.downstream_task_ids & inside]

    get_roots = starts
    get_leaves = ends

    def get_child_by_label(self, label):
        """The task or group with this id, without prefix."""
        return self.children[self.child_id(label)]

    def __enter__(self):
        _context.groups.append(self)
        _context.dags.append(self.dag)
        return self

    def __exit__(self, *exception):
        _context.groups.pop()
        _context.dags.pop()

    def __iter__(self):
        return self.all_tasks()


class _GroupFactory:
    def __init__(self, function, options):
        self.function = function
        self.options = options
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__

    def __call__(self, *args, **kwargs):
        options = dict({"group_id": self.function.__name__, "add_suffix_on_collision": True}, **self.options)
        if self.function.__doc__ and not options.get("tooltip"):
            options["tooltip"] = self.function.__doc__
        with TaskGroup(**options) as group:
            value = self.function(*args, **kwargs)
        return group if value is None else value

    def override(self, **options):
        """The same group with other options."""
        return _GroupFactory(self.function, dict(self.options, **options))

    def partial(self, **kwargs):
        """Mapped groups are not there yet."""
        raise Unsupported("mapped task groups are not supported", "call the group's function in a for loop")

    expand = expand_kwargs = partial


def task_group(function=None, **options):
    """Makes a function that fills a group: `@task_group` or `@task_group(group_id=…)`."""
    if callable(function):
        return _GroupFactory(function, options)
    if function is not None:
        options["group_id"] = function
    return lambda inner: _GroupFactory(inner, options)


class _PythonTask:
    """`@task`: can be imported, cannot be used."""

    def __call__(self, *args, **kwargs):
        raise Unsupported(
            "@task runs Python code inside Airflow's workers, which Updraft does not do",
            "put the code into an image and run it with KubernetesPodOperator, or run a command with BashOperator",
        )

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self


task = _PythonTask()
