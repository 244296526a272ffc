"""Names of Airflow and its providers that `_names` does not have: by their kind, which Airflow's names end in."""

from importlib import import_module

from airflow import _finder, _missing
from airflow._names import MODULES
from airflow._operator import BaseOperator, BaseSensorOperator, OperatorMeta
from airflow._problem import AirflowException, did_you_mean
from airflow._task_group import TaskGroup, argument_names

# Folders of Airflow's packages that may hold anything: providers, plugins of Airflow 1, parts that only workers use.
OPEN = frozenset("""
    airflow.api airflow.api_connexion airflow.api_fastapi airflow.api_internal airflow.assets airflow.callbacks airflow.cli airflow.compat
    airflow.configuration airflow.contrib airflow.dag_processing airflow.datasets airflow.decorators airflow.example_dags airflow.exceptions
    airflow.executors airflow.hooks airflow.io airflow.jobs airflow.kubernetes airflow.lineage airflow.listeners airflow.logging_config
    airflow.macros airflow.metrics airflow.migrations airflow.models airflow.notifications airflow.operators airflow.partition_mappers
    airflow.plugins_manager airflow.policies airflow.providers airflow.providers_manager airflow.reproducible_build airflow.sdk
    airflow.secrets airflow.security airflow.sensors airflow.sentry airflow.serialization airflow.settings airflow.stats airflow.task
    airflow.template airflow.templates airflow.ti_deps airflow.timetables airflow.traces airflow.triggers airflow.typing_compat
    airflow.utils airflow.version airflow.www airflow.xcom_backend
""".split())

_OPERATORS = ("Operator", "OperatorAsync", "AsyncOperator", "Transfer")
_SENSORS = ("Sensor", "SensorAsync", "AsyncSensor")
_made = {}


def is_open(name):
    """Whether a module of this name may be made up. Classes are no modules."""
    return ".".join(name.split(".")[:2]) in OPEN and not name.rpartition(".")[2][:1].isupper()


class _OfRecords(type):
    def __getattr__(cls, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return _missing.Absent("%s.%s" % (cls.__name__, name))


class _Record(metaclass=_OfRecords):
    """An object of a provider that tasks are given: a hook, a trigger, a notifier. It keeps its arguments, and does nothing."""

    def __init__(self, *args, **kwargs):
        self._updraft_given = (args, kwargs)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return _missing.Absent("%s.%s" % (type(self).__name__, name))

    def __call__(self, *args, **kwargs):
        return None


def _operator_init(self, **kwargs):
    from airflow._operator import ARGUMENTS

    own = {name: kwargs.pop(name) for name in list(kwargs) if name not in ARGUMENTS}
    super(self._updraft_unknown, self).__init__(**kwargs)
    for name, value in own.items():
        try:
            setattr(self, name, value)
        except AttributeError:
            pass


def _group_init(self, group_id=None, **kwargs):
    TaskGroup.__init__(self, group_id, **{name: value for name, value in kwargs.items() if name in argument_names(TaskGroup.__init__)})


def make(module, name):
    """The class or object that stands for `module.name`."""
    found = _made.get((module, name))
    if found is None:
        found = _made[module, name] = _make(module, name)
    return found


def _places():
    """Where the table has a name, for modules that only hand on what others define. Names with two meanings are left out."""
    found = {}
    for names in MODULES.values():
        for name, place in names.items():
            found[name] = place if found.get(name, place) == place else None
    return found


_PLACES = _places()


def _hands_on(module):
    """Whether a module's names are Airflow's own by another path, not a provider's."""
    return not module.startswith(("airflow.providers.", "airflow.contrib.")) or module.startswith(
        ("airflow.providers.common.compat", "airflow.providers.standard", "airflow.providers.cncf.kubernetes"))


def _make(module, name):
    place = _PLACES.get(name) if _hands_on(module) else None
    if place is not None:
        return _finder.resolve(place)
    if name == "timezone" and _hands_on(module):
        return import_module("airflow.utils.timezone")
    if name.endswith(_SENSORS) or name.endswith(_OPERATORS):
        base = BaseSensorOperator if name.endswith(_SENSORS) else BaseOperator
        body = {"__module__": module, "__init__": _operator_init, "_updraft_any_arguments": True}
        made = OperatorMeta(name, (base,), body)
        made._updraft_unknown = made
        return made
    if name.endswith("TaskGroup"):
        return type(name, (TaskGroup,), {"__module__": module, "__init__": _group_init})
    if name.endswith(("Hook", "HookAsync", "Trigger", "Notifier", "Link", "Timetable")):
        return _OfRecords(name, (_Record,), {"__module__": module})
    if name.endswith(("Exception", "Error")):
        return type(name, (AirflowException,), {"__module__": module})
    if name.endswith("Warning"):
        return type(name, (DeprecationWarning,), {"__module__": module})
    return _missing.Absent("%s.%s" % (module, name))


def attribute_of(module, known):
    """The `__getattr__` of a module. A name that is nearly one of ours is a slip of the pen, and an error."""

    def attribute(name):
        if name.startswith("_"):
            raise AttributeError("module %r has no attribute %r" % (module, name))
        if _finder.is_row("%s.%s" % (module, name)):
            return import_module("%s.%s" % (module, name))
        near = did_you_mean(name, known, cutoff=0.86) if known else ""
        if near:
            raise AttributeError("module %r has no attribute %r: %s" % (module, name, near))
        return make(module, name)

    return attribute
