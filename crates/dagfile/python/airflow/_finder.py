"""Makes the public modules of `airflow` from the table in `_names`: one row for each import path, no file for each."""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec

from airflow._names import MODULES

# The module of that name: it needs operators, which are not there yet when this one is imported.
_unknown = None


def _packages():
    names = set()
    for name in MODULES:
        while "." in name:
            name = name.rpartition(".")[0]
            names.add(name)
    return names


_PACKAGES = _packages()


def is_row(name):
    """Whether a row or a folder of rows has this name."""
    return name in MODULES or name in _PACKAGES


def is_public(name):
    """Whether there is such a module, or anything may have its name."""
    return is_row(name) or _rest().is_open(name)


def _rest():
    global _unknown
    if _unknown is None:
        _unknown = import_module("airflow._unknown")
    return _unknown


class _Finder:
    """Finder and loader of the table's modules."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if not name.startswith("airflow.") or name.startswith("airflow._") or not is_public(name):
            return None
        # Any of them may have more below it: plugins of Airflow 1 put modules where they like.
        return ModuleSpec(name, _Finder, origin="updraft", is_package=True)

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        names = MODULES.get(module.__name__, {})
        for name, place in names.items():
            setattr(module, name, resolve(place))
        module.__all__ = sorted(names)
        module.__file__ = None
        module.__getattr__ = _rest().attribute_of(module.__name__, names)


def resolve(place):
    """The object at `module:name`; the module is one of ours with an underscore."""
    module, _, name = place.partition(":")
    return getattr(import_module("airflow._" + module), name)


def preload():
    """Imports everything behind the public names, for the parent of the children that read files."""
    for place in {place.partition(":")[0] for names in MODULES.values() for place in names.values()}:
        import_module("airflow._" + place)
    _rest()


def install():
    """Puts the finder first, so that no installed `airflow` package answers for a public name."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
        import_module("airflow._missing").install()
