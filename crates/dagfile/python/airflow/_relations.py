"""The arrows between tasks: `>>`, `<<`, chains, labels, and values of one task used by another."""

from airflow._problem import InvalidArgument


def flatten(items):
    """Lists, tuples and sets of tasks as one list, each once, in their order. A set of tasks has no order of its own: by id."""
    if isinstance(items, (set, frozenset)):
        items = sorted(items, key=lambda item: str(getattr(item, "node_id", item)))
    if isinstance(items, (list, tuple)):
        found = []
        for item in items:
            found.extend(flatten(item))
        return found
    if hasattr(items, "__iter__") and not isinstance(items, (Node, str, bytes, dict)):
        return flatten(list(items))
    return [items]


class Node:
    """What arrows may join: a task, a group of tasks, the value of a task."""

    def starts(self):
        """The tasks that an arrow to this node points to."""
        raise NotImplementedError

    def ends(self):
        """The tasks that an arrow from this node comes from."""
        raise NotImplementedError

    def set_downstream(self, task_or_task_list, edge_modifier=None):
        """Has the others wait for this one."""
        for other in flatten(task_or_task_list):
            _join(self, other)

    def set_upstream(self, task_or_task_list, edge_modifier=None):
        """Has this one wait for the others."""
        for other in flatten(task_or_task_list):
            _join(other, self)

    def __rshift__(self, other):
        if _is_dag(other):
            return self._adopt(other)
        self.set_downstream(other)
        return other

    def __lshift__(self, other):
        if _is_dag(other):
            return self._adopt(other)
        self.set_upstream(other)
        return other

    def __rrshift__(self, other):
        self.set_upstream(other)
        return self

    def __rlshift__(self, other):
        self.set_downstream(other)
        return self

    def _adopt(self, dag):
        # `task >> dag` is how Airflow 1 put a task into a DAG.
        for task in self.starts():
            task.dag = dag
        return dag


def _is_dag(thing):
    return isinstance(getattr(thing, "task_dict", None), dict)


def _join(before, after):
    if isinstance(before, EdgeModifier) or isinstance(after, EdgeModifier):
        if isinstance(before, EdgeModifier):
            before.set_downstream(after)
        else:
            after.set_upstream(before)
        return
    for node in (before, after):
        if not isinstance(node, Node):
            raise InvalidArgument(
                "a task can only be joined to tasks, task groups and lists of them, this is a %s" % type(node).__name__,
                "write task_a >> [task_b, task_c]",
            )
    for group, other in ((before, after), (after, before)):
        if hasattr(group, "group_id") and not hasattr(other, "group_id"):
            ids = {task.task_id for task in (other.starts() if group is before else other.ends())}
            (group.downstream_task_ids if group is before else group.upstream_task_ids).update(ids)
    for first in before.ends():
        for second in after.starts():
            _share_dag(first, second)
            second.upstream_task_ids.add(first.task_id)
            first.downstream_task_ids.add(second.task_id)


def _share_dag(first, second):
    if first._dag is None and second._dag is None:
        raise InvalidArgument(
            "%s and %s are joined but belong to no DAG yet" % (first.task_id, second.task_id),
            "give them dag=… or make them inside `with dag:`",
        )
    if first._dag is None:
        first.dag = second._dag
    elif second._dag is None:
        second.dag = first._dag
    elif first._dag is not second._dag:
        raise InvalidArgument(
            "%s of DAG %s and %s of DAG %s are joined" % (first.task_id, first._dag.dag_id, second.task_id, second._dag.dag_id),
            "arrows join tasks of one DAG",
        )


class EdgeModifier(Node):
    """A label on arrows: `a >> Label("why") >> b`. It joins what stands on its two sides; the text is for people and is not kept."""

    def __init__(self, label=None):
        self.label = label
        self._before = []
        self._after = []

    def set_upstream(self, task_or_task_list, edge_modifier=None):
        self._before.extend(flatten(task_or_task_list))
        self._link()

    def set_downstream(self, task_or_task_list, edge_modifier=None):
        self._after.extend(flatten(task_or_task_list))
        self._link()

    def _link(self):
        for before in self._before:
            for after in self._after:
                _join(before, after)


def Label(label):
    """A label for arrows."""
    return EdgeModifier(label)


def chain(*tasks):
    """Joins each to the next; two lists in a row, of one length, are joined pair by pair."""
    from airflow._task_group import TaskGroup

    for before, after in zip(tasks, tasks[1:]):
        many_before = isinstance(before, (list, tuple)) and not isinstance(before, TaskGroup)
        many_after = isinstance(after, (list, tuple)) and not isinstance(after, TaskGroup)
        if many_before and many_after:
            if len(before) != len(after):
                raise InvalidArgument(
                    "chain() got lists of %d and %d tasks in a row" % (len(before), len(after)),
                    "give lists of one length, or use cross_downstream()",
                )
            for one, other in zip(before, after):
                _join_any(one, other)
        else:
            _join_any(before, after)


def _join_any(before, after):
    for first in flatten(before):
        for second in flatten(after):
            _join(first, second)


def chain_linear(*elements):
    """Joins each, or each of a list, to all of the next."""
    if len(elements) < 2:
        raise InvalidArgument("chain_linear() needs two elements or more", "give it the tasks in their order")
    for before, after in zip(elements, elements[1:]):
        _join_any(before, after)


def cross_downstream(from_tasks, to_tasks):
    """Joins every one of the first to every one of the second."""
    _join_any(from_tasks, to_tasks)


class XComArg(Node):
    """The value that a task will give. Its text is a template that fetches it."""

    def __init__(self, operator, key="return_value"):
        self.operator = operator
        self.key = key

    def __getitem__(self, key):
        if not isinstance(key, str):
            raise InvalidArgument("a value of task %s is asked for by %r, not by text" % (self.operator.task_id, key))
        return XComArg(self.operator, key)

    def __iter__(self):
        raise InvalidArgument(
            "the value of task %s is not known while the file is read: it cannot be looped over" % self.operator.task_id,
            "loop over it in a template or inside the container, or map over it with expand()",
        )

    def __str__(self):
        return "{{ %s }}" % self._updraft_expression()

    def _updraft_expression(self):
        """The expression of a template that fetches it; nothing where there is none."""
        return "task_instance.xcom_pull(task_ids='%s', key='%s')" % (self.operator.task_id, self.key)

    def __enter__(self):
        return self.operator.__enter__()

    def __exit__(self, *exception):
        self.operator.__exit__(*exception)

    def _updraft_value(self, ti):
        """What it is, when the task that uses it runs."""
        return ti._updraft_argument(self.operator.task_id, self.key)

    def map(self, f):
        """What a function makes of it."""
        return _Computed([self], "map", f)

    def zip(self, *others, fillvalue=None):
        """It and others side by side."""
        return _Computed((self,) + others, "zip", fillvalue)

    def concat(self, *others):
        """It and others one after the other."""
        return _Computed((self,) + others, "concat")

    def starts(self):
        return self.operator.starts()

    def ends(self):
        return self.operator.ends()

    def as_setup(self):
        """Makes the task a setup task."""
        for operator in self._updraft_tasks():
            operator.as_setup()
        return self

    def as_teardown(self, **options):
        """Makes the task a teardown task."""
        for operator in self._updraft_tasks():
            operator.as_teardown(**options)
        return self

    def iter_references(self):
        """The tasks that it comes from."""
        return [(task, self.key) for task in self._updraft_tasks()]

    def _updraft_tasks(self):
        return [self.operator]

    @property
    def node_id(self):
        """The task's id."""
        return self.operator.task_id


class _Computed(XComArg):
    """A value that is made of others when the tasks run."""

    def __init__(self, sources, how, by=None):
        self.sources = [source for source in sources if isinstance(source, XComArg)]
        self.how = how
        self._by = by
        self._all = list(sources)
        self.key = "return_value"
        self.operator = self._updraft_tasks()[0]

    def _updraft_expression(self):
        return None

    def _updraft_value(self, ti):
        from itertools import chain, zip_longest

        values = [source._updraft_value(ti) if isinstance(source, XComArg) else source for source in self._all]
        if self.how == "map":
            from airflow._problem import AirflowSkipException

            made = []
            for value in values[0] or ():
                try:
                    made.append(self._by(value))
                except AirflowSkipException:
                    pass
            return made
        if self.how == "zip":
            return list(zip(*values)) if self._by is None else list(zip_longest(*values, fillvalue=self._by))
        return list(chain(*values))

    def __str__(self):
        return "%s(%s)" % (self.how, ", ".join(str(source) for source in self.sources))

    def _updraft_tasks(self):
        return [task for source in self.sources for task in source._updraft_tasks()]

    def starts(self):
        return self._updraft_tasks()

    ends = starts


def values_of_tasks(value):
    """Every task whose value is inside lists and dicts."""
    if hasattr(value, "_updraft_tasks"):
        yield from value._updraft_tasks()
    elif isinstance(value, dict):
        for inner in value.values():
            yield from values_of_tasks(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from values_of_tasks(inner)
