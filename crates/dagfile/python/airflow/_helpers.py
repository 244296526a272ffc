"""Small functions of `airflow.utils.helpers` that files call while they are read."""


def exactly_one(*args):
    """Whether one of them says something, and no other."""
    return sum(map(bool, args)) == 1


def at_most_one(*args):
    """Whether no two of them say something."""
    return sum(1 for arg in args if arg is not None and bool(arg)) <= 1


def merge_dicts(dict1, dict2):
    """One dict of two, the second winning, in depth."""
    merged = dict(dict1)
    for name, value in dict2.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = merge_dicts(merged[name], value) if both else value
    return merged


def chunks(items, chunk_size):
    """The items in pieces of one size."""
    for start in range(0, len(items), chunk_size):
        yield items[start:start + chunk_size]


def is_container(thing):
    """Whether it holds others, as a list does and text does not."""
    return hasattr(thing, "__iter__") and not isinstance(thing, str)


def as_tuple(thing):
    """What it holds, or itself, as a tuple."""
    return tuple(thing) if is_container(thing) else (thing,)
