"""Updraft's stand-in for Airflow: enough of its names for DAG files to say what they define. Runs no task.

Public import paths are rows of `_names.MODULES`; the code behind them is in the modules with an underscore.
"""

from airflow import _finder

_finder.install()

from airflow._dag import DAG  # noqa: E402

from airflow._version import version as __version__  # noqa: E402

__all__ = ["DAG", "__version__"]


def __getattr__(name):
    """`import airflow` alone gives `airflow.models` and the like, and what Airflow 2 had right here."""
    if name in ("Dataset", "Asset", "XComArg"):
        return _finder.resolve("relations:XComArg" if name == "XComArg" else "assets:" + name)
    if _finder.is_public("airflow." + name):
        import importlib

        return importlib.import_module("airflow." + name)
    raise AttributeError("module 'airflow' has no attribute %r" % name)
