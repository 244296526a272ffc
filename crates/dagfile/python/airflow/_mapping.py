"""Mapped tasks and groups: one definition, as many instances as a value turns out to have elements."""

from airflow._operator import ARGUMENTS, BaseOperator
from airflow._problem import InvalidArgument
from airflow._relations import values_of_tasks


class MappedOperator(BaseOperator):
    """A task that is made many of. Its operator's own `__init__` does not run: the values are not known yet."""

    _updraft_is_mapped = True

    def __init__(self, *, _updraft_class, _updraft_own, _updraft_expanded, _updraft_unlinked, **kwargs):
        super().__init__(**kwargs)
        self.operator_class = _updraft_class
        self._updraft_expanded = _updraft_expanded
        self._updraft_own = _updraft_own
        self._updraft_unlinked = _updraft_unlinked
        self.template_fields = _updraft_class.template_fields
        self.template_ext = _updraft_class.template_ext
        self.ui_color = _updraft_class.ui_color
        self.__dict__["_updraft_given"] = _updraft_own

    @property
    def task_type(self):
        """The name of its operator's class."""
        return self.operator_class.__name__

    operator_name = task_type

    @property
    def partial_kwargs(self):
        """Its arguments."""
        return dict(self._updraft_own)

    def _updraft_templated(self):
        own = self._updraft_own
        return [own[name] for name in own if name not in self._updraft_unlinked]

    def _updraft_run(self):
        return self._updraft_airflow("%s is a mapped task" % self.task_type)


def make_mapped(cls, base, own, expanded, unlinked=()):
    """The mapped task of a class: the arguments that every operator has, its own, and which of them are mapped."""
    return MappedOperator(_updraft_class=cls, _updraft_own=own, _updraft_expanded=tuple(expanded), _updraft_unlinked=frozenset(unlinked),
                          **base)


class Partial:
    """`Operator.partial(…)`: waits for `expand` or `expand_kwargs`."""

    def __init__(self, cls, kwargs):
        self.operator_class = cls
        self.kwargs = kwargs

    def expand(self, **mapped):
        """A task for each element, of all combinations of several."""
        return self._make(mapped, mapped)

    def expand_kwargs(self, kwargs, strict=True):
        """A task for each dict of arguments."""
        return self._make({"expand_kwargs": kwargs}, ["expand_kwargs"])

    def _make(self, more, expanded):
        twice = sorted(set(self.kwargs) & set(more))
        if twice:
            raise InvalidArgument("%s gets the argument %s in partial() and in expand()" % (self.operator_class.__name__, twice[0]),
                                  "leave it in one of them")
        if not more:
            raise InvalidArgument("%s.expand() has nothing to expand over" % self.operator_class.__name__, "give it a list or a task's value")
        given = dict(self.kwargs, **more)
        base = {name: given[name] for name in given if name in ARGUMENTS and name not in more}
        own = {name: given[name] for name in given if name not in base}
        fields = self.operator_class.template_fields
        unlinked = [name for name in self.kwargs if name not in fields and not self.operator_class._updraft_any_arguments]
        return make_mapped(self.operator_class, base, own, expanded, unlinked)


class MappedArgument:
    """One argument of a mapped group: known when the group's tasks run."""

    def __init__(self, sources, name):
        self.sources = sources
        self.name = name

    def __getitem__(self, key):
        return MappedArgument(self.sources, "%s[%r]" % (self.name, key))

    def __iter__(self):
        raise InvalidArgument("the mapped argument %s is not known while the file is read: it cannot be looped over" % self.name,
                              "loop over it inside a task")

    def __str__(self):
        return "<mapped argument %s>" % self.name

    def _updraft_tasks(self):
        return list(values_of_tasks(self.sources))

    def iter_references(self):
        """The tasks that it comes from."""
        return [(task, "return_value") for task in self._updraft_tasks()]
