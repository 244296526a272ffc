"""What the code of a Python task uses that is not there: hooks and operators of providers, which only Airflow's own packages have.

Looked for in the compiled code, since it is asked for every Python task of every file: the names that a function uses, what they are in its
module, and what it imports by itself. Functions and classes of the author's that it uses are followed.
"""

import sys

from airflow import _finder, _missing, _names, _unknown

# More of an author's functions than this are not followed.
_MOST = 200


def what_is_missing(task):
    """The first such name; nothing where all is there."""
    waiting = []
    function = getattr(task, "python_callable", None)
    if function is not None:
        waiting.append(function)
    waiting.extend(base for base in type(task).__mro__ if not base.__module__.startswith("airflow.") and base is not object)
    waiting.extend(condition[0] for condition in task._updraft_conditions)
    seen = set()
    while waiting and len(seen) < _MOST:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        missing = _made_up(thing)
        if missing is not None:
            return missing
        if isinstance(thing, type):
            waiting.extend(_of_class(thing))
            continue
        thing = getattr(thing, "func", thing)
        thing = getattr(thing, "__func__", thing)
        thing = getattr(thing, "__wrapped__", thing)
        code = getattr(thing, "__code__", None)
        if code is None:
            continue
        known = getattr(thing, "__globals__", {})
        for inner in _codes(code):
            missing = _imported(inner)
            if missing is not None:
                return missing
            for name in inner.co_names:
                used = known.get(name)
                if _is_authors(used):
                    waiting.append(used)
        for cell in getattr(thing, "__closure__", None) or ():
            try:
                if _is_authors(cell.cell_contents):
                    waiting.append(cell.cell_contents)
            except ValueError:
                pass
    return None


def _is_authors(thing):
    """What is worth a look: functions and classes that are no package's, and what is made up."""
    if isinstance(thing, type):
        return isinstance(thing, _unknown._OfRecords) or _is_file_of_theirs(thing.__module__)
    if isinstance(thing, _missing.Absent):
        return thing._updraft_what is None
    return hasattr(thing, "__code__") and _is_file_of_theirs(getattr(thing, "__module__", None))


def _is_file_of_theirs(module):
    from airflow import _session

    path = getattr(sys.modules.get(module or ""), "__file__", None)
    return isinstance(path, str) and _session.current().is_users(path)


def _made_up(thing):
    if isinstance(thing, type) and isinstance(thing, _unknown._OfRecords):
        return "%s.%s" % (thing.__module__, thing.__name__)
    if isinstance(thing, _missing.Absent) and thing._updraft_what is None:
        return thing._updraft_name
    return None


def _of_class(cls):
    for value in list(cls.__dict__.values()):
        value = getattr(value, "fget", None) or getattr(value, "__func__", value)
        if hasattr(value, "__code__"):
            yield value


def _codes(code):
    """A function's code and that of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if hasattr(constant, "co_names"):
            yield from _codes(constant)


def _imported(code):
    """What a function imports by itself of Airflow's that is made up. Modules and names stand side by side in `co_names`."""
    names = code.co_names
    for at, name in enumerate(names):
        if not name.startswith("airflow."):
            continue
        for asked in names[at + 1:]:
            if "." in asked or asked.islower() and not asked.endswith("hook"):
                break
            if name in _names.MODULES and asked in _names.MODULES[name]:
                continue
            if _finder.is_row("%s.%s" % (name, asked)) or not _finder.is_public(name):
                continue
            if asked.endswith(("Hook", "HookAsync", "Operator", "Sensor", "Trigger", "Notifier", "Transfer")):
                return "%s.%s" % (name, asked)
    return None
