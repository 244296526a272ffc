"""One class for each name that looks like a Kubernetes object (`V1Pod`, `CoreV1Event`); it keeps what it is given."""

import re

from kubernetes.client._fields import FIELDS

_OBJECT = re.compile(r"^(V[0-9]+([a-z]+[0-9]+)?|CoreV1|EventsV1|Rbac[A-Z]*V1|Discovery[A-Z]*V1)[A-Z]\w*$")
_made = {}


class _Object:
    """What all of them are. Attributes that were not given are None, as in the client."""

    def __init__(self, *args, **kwargs):
        kwargs.pop("local_vars_configuration", None)
        name = type(self).__name__
        fields = FIELDS.get(name)
        if args:
            if fields is None or len(args) > len(fields):
                raise TypeError("%s() takes its values by name" % name)
            kwargs = dict(zip(fields, args), **kwargs)
        for field in kwargs:
            if fields is not None and field not in fields:
                raise TypeError("%s.__init__() got an unexpected keyword argument %r" % (name, field))
        self.__dict__["_updraft_fields"] = kwargs

    def __getattr__(self, name):
        if name.startswith(("__", "_updraft")) or name in ("attribute_map", "openapi_types"):
            raise AttributeError(name)
        return self.__dict__.get("_updraft_fields", {}).get(name)

    def __setattr__(self, name, value):
        self._updraft_fields[name] = value

    def __eq__(self, other):
        return type(self) is type(other) and self._updraft_fields == other._updraft_fields

    def __hash__(self):
        return id(self)

    def __repr__(self):
        return "%s(%s)" % (type(self).__name__, ", ".join("%s=%r" % pair for pair in sorted(self._updraft_fields.items())))

    def to_dict(self, serialize=False):
        """The fields in snake_case, or as the API writes them."""
        if serialize:
            from airflow._kubernetes import to_json

            return to_json(self, type(self).__name__)
        return {name: _to_dict(value) for name, value in self._updraft_fields.items()}


def _to_dict(value):
    if isinstance(value, _Object):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [_to_dict(item) for item in value]
    if isinstance(value, dict):
        return {key: _to_dict(item) for key, item in value.items()}
    return value


def __getattr__(name):
    if not _OBJECT.match(name) or name.endswith("Api"):
        raise AttributeError("the stand-in for the Kubernetes client has no %s" % name)
    if name not in _made:
        _made[name] = type(name, (_Object,), {"__module__": "kubernetes.client.models"})
    return _made[name]
