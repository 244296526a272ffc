"""Parameters of DAGs and tasks, and the things that stand for a value of later."""

from airflow._problem import InvalidArgument

_ABSENT = object()


class Param:
    """A default, a JSON Schema for what may replace it, and a text for people."""

    def __init__(self, default=_ABSENT, description=None, schema=None, **kwargs):
        self.value = None if default is _ABSENT else default
        self.has_value = default is not _ABSENT
        self.description = description
        self.schema = dict(schema or {})
        self.schema.update(kwargs)

    def resolve(self, value=_ABSENT, suppress_exception=False):
        """The value given, or the default."""
        return self.value if value is _ABSENT else value


class ParamsDict(dict):
    """Parameters by name. Reading gives values; `items_as_params` gives the parameters themselves."""

    def __init__(self, values=None, suppress_exception=False):
        super().__init__()
        self.update(values or {})

    def __setitem__(self, name, value):
        super().__setitem__(name, value if isinstance(value, Param) else Param(value))

    def __getitem__(self, name):
        return super().__getitem__(name).value

    def get(self, name, default=None):
        return self[name] if name in self else default

    def update(self, *others, **more):
        for other in others + (more,):
            pairs = other.items_as_params() if isinstance(other, ParamsDict) else dict(other).items()
            for name, value in pairs:
                self[name] = value

    def items(self):
        return [(name, self[name]) for name in self]

    def values(self):
        return [self[name] for name in self]

    def items_as_params(self):
        """Names and parameters."""
        return [(name, dict.__getitem__(self, name)) for name in self]

    def get_param(self, name):
        """The parameter itself."""
        return dict.__getitem__(self, name)

    def dump(self):
        """Names and values."""
        return dict(self.items())

    def copy(self):
        return ParamsDict(self)


def take_params(params, owner):
    """Checks what the author gave as `params`."""
    if params is not None and not isinstance(params, dict):
        raise InvalidArgument("params of %s is a %s, not a dict" % (owner, type(params).__name__), "write params={\"name\": value}")
    return ParamsDict(params)


class DagParam:
    """A parameter of the run, for use in templated arguments: its text is a template."""

    def __init__(self, dag, name, default=None):
        self.name = name
        if dag is not None and name not in dag.params:
            dag.params[name] = default

    def __str__(self):
        return "{{ %s }}" % self._updraft_expression()

    def _updraft_expression(self):
        return "params.%s" % self.name if self.name.isidentifier() else "params[%r]" % self.name

    def _updraft_value(self, ti):
        """What it is, when a task that uses it runs."""
        return ti._updraft_params()[self.name]

    def iter_references(self):
        """It comes from no task."""
        return ()
