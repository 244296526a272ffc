"""Makes the public modules of `airflow` from the table in `_names`: one row for each import path, no file for each."""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec

from airflow._names import MODULES


def _packages():
    names = set()
    for name in MODULES:
        while "." in name:
            name = name.rpartition(".")[0]
            names.add(name)
    return names


_PACKAGES = _packages()


def is_public(name):
    """Whether a row or a folder of rows has this name."""
    return name in MODULES or name in _PACKAGES


class _Finder:
    """Finder and loader of the table's modules."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if not name.startswith("airflow.") or not is_public(name):
            return None
        return ModuleSpec(name, _Finder, origin="updraft", is_package=name in _PACKAGES)

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


def resolve(place):
    """The object at `module:name`; the module is one of ours with an underscore."""
    module, _, name = place.partition(":")
    return getattr(import_module("airflow._" + module), name)


def preload():
    """Imports everything behind the public names, for the parent of the children that read files."""
    for place in {place.partition(":")[0] for names in MODULES.values() for place in names.values()}:
        import_module("airflow._" + place)


def install():
    """Puts the finder first, so that no installed `airflow` package answers for a public name."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
