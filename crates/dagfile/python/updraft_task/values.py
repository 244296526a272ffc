"""Values between tasks: JSON, and marked by their class what JSON has no form for."""

import datetime
import decimal
import enum

_MARK = "__classname__"


def to_json(value, place="the value"):
    """What is stored. What has no form is an error that says where it is."""
    if value is None or isinstance(value, (bool, str)) and not isinstance(value, enum.Enum):
        return value if not isinstance(value, str) else str(value)
    if isinstance(value, enum.Enum):
        return to_json(value.value, place)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise TypeError("%s holds %r, which JSON cannot: return text instead" % (place, value))
        return float(value)
    if isinstance(value, dict):
        return {_key(key): to_json(inner, "%s[%r]" % (place, key)) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(inner, "%s[%d]" % (place, at)) for at, inner in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        return _marked("builtins.set", sorted((to_json(inner, place) for inner in value), key=repr))
    if isinstance(value, datetime.datetime):
        return _marked("datetime.datetime", value.isoformat())
    if isinstance(value, datetime.date):
        return _marked("datetime.date", value.isoformat())
    if isinstance(value, datetime.timedelta):
        return _marked("datetime.timedelta", value.total_seconds())
    if isinstance(value, decimal.Decimal):
        return _marked("decimal.Decimal", str(value))
    # Numbers of numpy and the like.
    if hasattr(value, "item") and hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0:
        return to_json(value.item(), place)
    if hasattr(value, "__fspath__"):
        return str(value.__fspath__())
    raise TypeError("%s is a %s, which other tasks cannot be given: return text, numbers, lists and dicts, or store it elsewhere and return "
                    "where it is" % (place, type(value).__name__))


def _key(key):
    return str(getattr(key, "value", key))


def _marked(name, data):
    return {_MARK: name, "__data__": data}


def from_json(value):
    """What it was."""
    if isinstance(value, list):
        return [from_json(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    name = value.get(_MARK)
    if name is None or "__data__" not in value:
        return {key: from_json(inner) for key, inner in value.items()}
    data = value["__data__"]
    if name == "builtins.set":
        return set(from_json(inner) for inner in data)
    if name == "datetime.datetime":
        return datetime.datetime.fromisoformat(data)
    if name == "datetime.date":
        return datetime.date.fromisoformat(data)
    if name == "datetime.timedelta":
        return datetime.timedelta(seconds=data)
    return decimal.Decimal(data) if name == "decimal.Decimal" else value
