"""What authors give as arguments, as the plain values of the spec."""

from datetime import date, time, timedelta

from airflow._param import DagParam
from airflow._problem import InvalidArgument


def is_later(value):
    """Whether it is known only when the task runs: its text stands for it."""
    return isinstance(value, DagParam) or hasattr(value, "_updraft_tasks")


def text(value, what):
    """Text; numbers are written out, values of other tasks and parameters of the run become templates."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)) or is_later(value):
        return str(value)
    if hasattr(value, "__fspath__"):
        return str(value.__fspath__())
    raise InvalidArgument("%s is a %s, not text" % (what, type(value).__name__), "write it in quotes")


def text_map(value, what):
    """A dict of texts, sorted by name. A missing value is the empty text."""
    if not isinstance(value, dict):
        raise InvalidArgument("%s is a %s, not a dict" % (what, type(value).__name__), "write {\"NAME\": \"value\"}")
    return {str(name): text("" if value[name] is None else value[name], "%s[%r]" % (what, name)) for name in sorted(value, key=str)}


def text_list(value, what):
    """A list of texts; one text is a list of one."""
    if value is None:
        return []
    if isinstance(value, str) or is_later(value):
        return [text(value, what)]
    if not isinstance(value, (list, tuple)):
        raise InvalidArgument("%s is a %s, not a list" % (what, type(value).__name__), "write [\"one\", \"two\"]")
    return [text(item, what) for item in value]


def exit_codes(value, where):
    """One exit code or several, sorted."""
    if value is None:
        return []
    values = [value] if isinstance(value, int) else value
    try:
        codes = sorted({int(code) for code in values})
    except (TypeError, ValueError):
        raise InvalidArgument("skip_on_exit_code %s is %r" % (where, value), "write a number or a list of numbers") from None
    if any(not -(2**31) <= code < 2**31 for code in codes):
        raise InvalidArgument("skip_on_exit_code %s is out of range" % where, "an exit code is 0 to 255")
    return codes


def whole(value, what, least, most):
    """A whole number within bounds."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidArgument("%s is %r, not a whole number" % (what, value), "write a number") from None
    if not least <= number <= most:
        raise InvalidArgument("%s is %d" % (what, number), "it must be %d to %d" % (least, most))
    return number


def plain(value, what):
    """JSON for machines: what has no JSON form is an error."""
    if value is None or isinstance(value, (bool, int, str)):
        return value if not isinstance(value, str) else str(value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise InvalidArgument("%s holds %r, which JSON cannot" % (what, value))
        return value
    if is_later(value):
        return str(value)
    if isinstance(value, dict):
        return {str(getattr(key, "value", key)): plain(inner, what) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner, what) for inner in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(inner, what) for inner in value), key=repr)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if hasattr(value, "__fspath__"):
        return str(value.__fspath__())
    raise InvalidArgument("%s holds a %s, which JSON cannot" % (what, type(value).__name__), "write text, numbers, lists and dicts")


def for_people(value):
    """JSON for people: functions and objects by name, never by address."""
    if isinstance(value, dict):
        return {getattr(key, "_updraft_name", None) or str(getattr(key, "value", key)): for_people(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [for_people(inner) for inner in value]
    if isinstance(value, timedelta):
        return str(value)
    if hasattr(value, "_updraft_name"):
        return "<%s>" % value._updraft_name
    try:
        return plain(value, "")
    except InvalidArgument:
        return "<%s>" % (getattr(value, "__qualname__", None) or type(value).__name__)
