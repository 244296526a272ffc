"""The code that Python tasks need when they run: the DAG file, and what is beside it and was imported or read while it was.

What functions import only when they are called is found in their text. It is carried in the DAG's spec, so a run has the code of its
version, wherever it runs and whatever becomes of the folder.
"""

import ast
import json
import os
import zlib

from airflow._problem import InvalidArgument

# Most bytes of all of it, compressed: it travels in the environment of each attempt, and in the object of its pod.
MOST_COMPRESSED = 256 * 2**10
# More files than this are no code beside a DAG.
_MOST_FILES = 2000


def of_file(session, read):
    """The `code` of the spec. `read` are the other files that were read; those that are found besides are noted as read, too."""
    found = {}
    waiting = [session.path] + list(read)
    while waiting:
        path = waiting.pop()
        name = os.path.relpath(path, session.root)
        if name in found or name.startswith("..") or len(found) >= _MOST_FILES:
            continue
        text = _text(path, session)
        if text is None:
            continue
        found[name] = text
        if path.endswith(".py"):
            for more in _imports(path, text, session):
                if more not in session.read_files:
                    session.read_files.add(more)
                waiting.append(more)
    _check_size(found)
    return {"file": os.path.relpath(session.path, session.root), "files": {name: found[name] for name in sorted(found)}}


def _text(path, session):
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8")
    except UnicodeDecodeError:
        session.warn("%s is no UTF-8 text: tasks that are Python code do not have it" % os.path.relpath(path, session.root))
    except OSError:
        pass
    return None


def _check_size(found):
    raw = sum(map(len, found.values()))
    if raw <= MOST_COMPRESSED:
        return
    size = len(zlib.compress(json.dumps(found, sort_keys=True).encode(), 6))
    if size <= MOST_COMPRESSED:
        return
    largest = sorted(found, key=lambda name: (-len(found[name]), name))[:3]
    raise InvalidArgument(
        "the code that its Python tasks need is %d KiB compressed, and at most %d KiB are kept with a version; the largest: %s" % (
            size // 1024, MOST_COMPRESSED // 1024, ", ".join("%s (%d KiB)" % (name, len(found[name]) // 1024) for name in largest)),
        "read data inside the tasks instead of beside the DAG file, or put large modules into the image or the Python that runs them",
    )


def _imports(path, text, session):
    """Files of the folder that a file may import, anywhere in it."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    folders = [session.root.rstrip("/"), os.path.dirname(session.path)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files_of(alias.name, folders)
        elif isinstance(node, ast.ImportFrom):
            bases, module = folders, node.module
            if node.level:
                base = os.path.dirname(path)
                for _ in range(node.level - 1):
                    base = os.path.dirname(base)
                bases = [base]
            if module:
                yield from _files_of(module, bases)
            for alias in node.names:
                if alias.name != "*":
                    yield from _files_of("%s.%s" % (module, alias.name) if module else alias.name, bases)


def _files_of(module, folders):
    parts = module.split(".")
    if parts[0] == "airflow":
        return
    for folder in folders:
        at = folder
        for number, part in enumerate(parts):
            at = os.path.join(at, part)
            last = number == len(parts) - 1
            package = os.path.join(at, "__init__.py")
            if os.path.isfile(package):
                yield package
            elif last and os.path.isfile(at + ".py"):
                yield at + ".py"
            elif not os.path.isdir(at):
                break
