"""Groups of tasks: a prefix of ids, defaults, and one end of an arrow for many tasks."""

from airflow import _context
from airflow._ids import check_id
from airflow._problem import DuplicateTaskIdFound, InvalidArgument
from airflow._relations import Node, values_of_tasks


class TaskGroup(Node):
    """Tasks that belong together."""

    def __init__(self, group_id=None, prefix_group_id=True, parent_group=None, dag=None, default_args=None, tooltip="", ui_color=None,
                 ui_fgcolor=None, add_suffix_on_collision=False, group_display_name="", doc_md=None, _is_root=False):
        self.prefix_group_id = prefix_group_id
        self.default_args = dict(default_args or {})
        self.tooltip = tooltip
        self.doc_md = doc_md
        self.group_display_name = group_display_name
        self.members = []
        # Whether it is made many of, by `expand`.
        self.is_mapped = False
        # What comes before and after it as a whole: an empty group hands arrows on.
        self.upstream_task_ids = set()
        self.downstream_task_ids = set()
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

    def __getitem__(self, label):
        return self.get_child_by_label(label)

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
        tasks = {task.task_id: task for task in self.all_tasks()}
        found = []
        for task in tasks.values():
            if task.downstream_task_ids & set(tasks):
                continue
            # Teardowns hold nothing up: what comes after the group waits for the work before them.
            for end in self._work_before(task, tasks) if task.is_teardown else [task]:
                if end not in found:
                    found.append(end)
        if found or self.is_root:
            return found
        # Nothing to wait for: what comes after waits for what came before, or for the group around.
        return [self.dag.get_task(task_id) for task_id in sorted(self.upstream_task_ids)] or self.parent_group.ends()

    @staticmethod
    def _work_before(teardown, tasks):
        found = []
        for task_id in sorted(teardown.upstream_task_ids):
            task = tasks.get(task_id)
            if task is None or (task.is_setup and not task.is_teardown):
                continue
            if task.is_teardown:
                found += TaskGroup._work_before(task, tasks)
            elif not any(other in tasks and other != teardown.task_id and not tasks[other].is_teardown
                         for other in task.downstream_task_ids):
                found.append(task)
        return found

    get_roots = starts
    get_leaves = ends

    def get_child_by_label(self, label):
        """The task or group with this id, without prefix."""
        return self.children[self.child_id(label)]

    def as_setup(self):
        """Makes its tasks setup tasks."""
        for task in self.all_tasks():
            task.as_setup()
        return self

    def as_teardown(self, **options):
        """Makes its tasks teardown tasks."""
        for task in self.all_tasks():
            task.as_teardown(**options)
        return self

    def has_task(self, task):
        """Whether the task is inside, also in groups inside."""
        return any(other is task for other in self.all_tasks())

    def get_task_group_dict(self):
        """This group and those inside it, by id."""
        found = {self.group_id: self}
        for member in self.members:
            if isinstance(member, TaskGroup):
                found.update(member.get_task_group_dict())
        return found

    def mapped_around(self):
        """Whether it or a group around it is mapped."""
        return self.is_mapped or (self.parent_group is not None and self.parent_group.mapped_around())

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
    def __init__(self, function, options, shared=None):
        self.function = function
        self.options = options
        self.shared = shared or {}
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__wrapped__ = function

    def __call__(self, *args, **kwargs):
        return self._make(args, kwargs, None)

    def _make(self, args, kwargs, mapped):
        options = dict({"group_id": self.function.__name__, "add_suffix_on_collision": True}, **self.options)
        if self.function.__doc__ and not options.get("tooltip"):
            options["tooltip"] = self.function.__doc__
        with TaskGroup(**options) as group:
            group.is_mapped = mapped is not None
            value = self.function(*args, **dict(self.shared, **kwargs))
        for task in values_of_tasks(mapped):
            group.set_upstream(task)
        return group if value is None else value

    def override(self, **options):
        """The same group with other options."""
        return _GroupFactory(self.function, dict(self.options, **options), self.shared)

    def partial(self, **kwargs):
        """The same group with some of the function's arguments given."""
        return _GroupFactory(self.function, self.options, dict(self.shared, **kwargs))

    def expand(self, **mapped):
        """A group for each element."""
        from airflow._mapping import MappedArgument

        if not mapped:
            raise InvalidArgument("%s.expand() has nothing to expand over" % self.__name__, "give it a list or a task's value")
        return self._make((), {name: MappedArgument(list(mapped.values()), name) for name in mapped}, list(mapped.values()))

    def expand_kwargs(self, kwargs):
        """A group for each dict of arguments."""
        from airflow._mapping import MappedArgument

        names = argument_names(self.function)
        return self._make((), {name: MappedArgument([kwargs], name) for name in names if name not in self.shared}, [kwargs])


def argument_names(function):
    """The names of a function's arguments."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = function.__code__
    return code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]


def task_group(function=None, **options):
    """Makes a function that fills a group: `@task_group` or `@task_group(group_id=…)`."""
    if callable(function):
        return _GroupFactory(function, options)
    if function is not None:
        options["group_id"] = function
    return lambda inner: _GroupFactory(inner, options)
